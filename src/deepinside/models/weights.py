"""Where weights come from: torchvision by name, a state_dict file, or one of our checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision import models as zoo

from deepinside.data.ilsvrc import imagenet_wnids
from deepinside.data.picture import Classes
from deepinside.errors import UserError, did_you_mean
from deepinside.models.convnet import Preprocessing


@dataclass(frozen=True)
class Weights:
    """A state_dict with what belongs to it. `preprocessing`, `classes` and `model` are None where a file lacks them."""

    state: dict[str, Tensor]
    preprocessing: Preprocessing | None = None
    classes: Classes | None = None
    model: str | None = None


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
    hint = did_you_mean(weights, valid)
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


def _from_torchvision(name: str, weights: str) -> Weights:
    chosen: Any = zoo.get_model_weights(name)[weights]
    try:
        state = dict(chosen.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        failure = f"model.weights={weights}: {name}'s weights could not be downloaded ({reason})"
        raise UserError(f"{failure}; model.weights also takes a file") from None
    return Weights(state, torchvision_preprocessing(name, weights), torchvision_classes(name), name)


def _from_file(path: Path) -> Weights:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # files of another kind are answered with many
        raise UserError(
            f"model.weights={path} is not a file of tensors that torch.load(weights_only=True) reads"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"model.weights={path} holds a {type(content).__name__}, not a state_dict")
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"model.weights={path} holds no state_dict: expected names with tensors")
    if "deepinside" not in content:
        return Weights({key.removeprefix("module."): value for key, value in state.items()})
    about = content["deepinside"]
    numbers, classes = about["preprocessing"], about["classes"]
    return Weights(
        {key.removeprefix("convnet.net."): value for key, value in state.items() if key.startswith("convnet.net.")},
        Preprocessing(tuple(numbers["mean"]), tuple(numbers["std"]), numbers["resize"], numbers["crop"]),
        Classes(tuple(classes["ids"]), tuple(classes["names"])),
        about["model"],
    )
