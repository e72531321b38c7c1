"""Where weights come from: torchvision by name, a state_dict file, or one of our checkpoints."""

import operator
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision import models as zoo

from deepinside.config import ModelConfig
from deepinside.data.annotations import read_class_list
from deepinside.data.ilsvrc import imagenet_wnids
from deepinside.data.picture import Classes
from deepinside.errors import UserError, did_you_mean, first_line, name_nearby
from deepinside.models.convnet import Preprocessing


@dataclass(frozen=True)
class Weights:
    """A state_dict with what belongs to it. `preprocessing`, `classes` and `model` are None where a file lacks them."""

    state: dict[str, Tensor]
    preprocessing: Preprocessing | None = None
    classes: Classes | None = None
    model: str | None = None


def read_weights(model: ModelConfig, first: str, last: str) -> Weights | None:
    """What `model.weights` names; None for none. first, last: the net's first parameter, and one that has a row for
    each class.

    What a module round the net put before its names (`module.`, `model.`) is taken off, and what else that module had
    is left out; `model.classes` names the classes of weights that do not. Raises UserError.
    """
    weights = load_weights(model.name, model.weights)
    if weights is None:
        if model.classes:
            raise UserError(f"model.classes={model.classes} must be null without model.weights, whose classes it names")
        return None
    if weights.model not in (None, model.name):
        raise UserError(f"model.weights={model.weights} holds a {weights.model}: set model.name={weights.model}")
    state = part_of(weights.state, _net_in(weights.state, first, last, model))
    if not state[last].ndim:
        raise UserError(f"model.weights={model.weights} does not fit {model.name}: it has another shape of '{last}'")
    for name, values in state.items():
        if values.is_floating_point() and not values.isfinite().all():
            raise UserError(f"model.weights={model.weights}: '{name}' has values that are not finite: did it diverge?")
    return replace(weights, state=state, classes=_named(model, weights, len(state[last])))


def _net_in(state: Mapping[str, Tensor], first: str, last: str, model: ModelConfig) -> str:
    """What stands before the net's own names."""
    starts = [key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")]
    nets = [start for start in starts if f"{start}{last}" in state]
    if "" in nets or (not nets and last in state):
        return ""
    if not nets:
        wrong = f"it has no '{last}' (its first is '{next(iter(state))}')"
        raise UserError(f"model.weights={model.weights} does not fit {model.name}: {wrong}")
    if len(nets) > 1:
        raise UserError(f"model.weights={model.weights} holds {len(nets)} nets, {', '.join(nets)}: give a file of one")
    return nets[0]


def _named(model: ModelConfig, weights: Weights, outputs: int) -> Classes | None:
    if not model.classes:
        return weights.classes
    if weights.classes is not None:
        raise UserError(f"model.weights={model.weights} names its classes: model.classes={model.classes} must be null")
    classes = read_class_list(Path(model.classes))
    if len(classes) != outputs:
        raise UserError(f"model.classes={model.classes} names {len(classes)} classes, {model.weights} has {outputs}")
    return classes


def load_weights(name: str, weights: str) -> Weights | None:
    """Weights for the net `name`; None for `none`.

    `weights`: `none`, the name of torchvision weights of that net (`DEFAULT`, `IMAGENET1K_V1`), or a file.
    Files are read with `weights_only=True`: they cannot run code. Raises UserError.
    """
    if weights == "none":
        return None
    if Path(weights).is_file():
        return _from_file(Path(weights))
    in_zoo = name in zoo.list_models(module=zoo)
    valid = ["none", *zoo.get_model_weights(name).__members__] if in_zoo else ["none"]  # DEFAULT is a member
    if in_zoo and weights in valid:
        return _from_torchvision(name, weights)
    hint = did_you_mean(weights, valid) or name_nearby(Path(weights))
    raise UserError(f"model.weights={weights} is neither a file nor one of {', '.join(valid)} (for {name}){hint}")


def torchvision_preprocessing(name: str, weights: str | None = None) -> Preprocessing:
    """What torchvision publishes for this net's weights, or for its first weights where none are named.

    GoogLeNet and Inception-v3 are built without torchvision's `transform_input`, whose effect, a normalisation by
    mean 0.5 and deviation 0.5, is stated here instead.
    """
    published = zoo.get_model_weights(name)
    transforms: Any = (published[weights] if weights else next(iter(published))).transforms()
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    if name in ("googlenet", "inception_v3"):
        mean = std = (0.5, 0.5, 0.5)
    return Preprocessing(mean, std, transforms.resize_size[0], transforms.crop_size[0])


def torchvision_classes(name: str) -> Classes:
    """ImageNet's 1000 classes in torchvision's order, which is that of the sorted WNIDs."""
    categories = next(iter(zoo.get_model_weights(name))).meta["categories"]
    return Classes(imagenet_wnids(), tuple(categories))


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What is named `prefix`..., without that prefix; its modules keep their versions."""
    part = OrderedDict((key.removeprefix(prefix), value) for key, value in state.items() if key.startswith(prefix))
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        below = (key for key in versions if f"{key}.".startswith(prefix))
        part._metadata = {f"{key}.".removeprefix(prefix)[:-1]: versions[key] for key in below}  # type: ignore[attr-defined]
    return part


def _from_torchvision(name: str, weights: str) -> Weights:
    chosen: Any = zoo.get_model_weights(name)[weights]
    try:
        state = _present_names(chosen.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        failure = f"model.weights={weights}: {name}'s weights could not be downloaded ({first_line(error)})"
        raise UserError(f"{failure}; model.weights also takes a file") from None
    return Weights(state, torchvision_preprocessing(name, weights), torchvision_classes(name), name)


def _from_file(path: Path) -> Weights:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript, which the error tells of
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # files of another kind are answered with many
        raise UserError(
            f"model.weights={path} is not a file of tensors that torch.load(weights_only=True) reads"
            f"{_how_to_save(path, str(error))}"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"model.weights={path} holds a {type(content).__name__}, not a state_dict")
    state = content.get("state_dict", content)
    named = isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    if not named or not state:
        raise UserError(f"model.weights={path} holds no state_dict: expected names with tensors")
    if "deepinside" not in content:
        return Weights(_present_names(state))
    try:
        about = content["deepinside"]
        numbers, classes = about["preprocessing"], about["classes"]
        mean, std = (tuple(float(number) for number in numbers[key]) for key in ("mean", "std"))
        resize, crop = (operator.index(numbers[key]) for key in ("resize", "crop"))
        preprocessing = Preprocessing(mean, std, resize, crop)
        known = Classes(*(tuple(map(str, classes[key])) for key in ("ids", "names")))
        if len(known.ids) != len(known.names):
            raise ValueError(f"{len(known.ids)} identifiers, {len(known.names)} names")
        return Weights(part_of(state, "convnet.net."), preprocessing, known, str(about["model"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"model.weights={path} is damaged: what it tells of its net: {first_line(error)}") from None


def _how_to_save(path: Path, error: str) -> str:
    """A file of tensors in place of one that holds something else, as far as torch's error tells what."""
    if path.suffix == ".safetensors":
        return "; torch.save(safetensors.torch.load_file(...), ...) makes one"
    whole = "Unsupported global" in error or "TorchScript" in error  # a pickled model, a script
    return "; save model.state_dict()" if whole else ""


def _present_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """DenseNet's published files have names of an older torchvision: denselayer1.norm.1.weight, now norm1.weight."""
    for key in [key for key in state if "denselayer" in key]:
        state[re.sub(r"(denselayer\d+\.(?:norm|conv))\.(?=\d\.)", r"\1", key)] = state.pop(key)
    return state
