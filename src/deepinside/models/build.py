"""From the names in the configuration to a ConvNet with its weights, normalisation, picture sizes and classes."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as zoo

from deepinside.config import DataConfig, ModelConfig
from deepinside.data.picture import Classes
from deepinside.errors import UserError, did_you_mean, first_line
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.models.simonyan2013 import simonyan2013
from deepinside.models.weights import Weights, read_weights, torchvision_classes, torchvision_preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
GREY_LEVEL = 1 / 255

OWN_NETS: dict[str, Callable[[int], nn.Module]] = {"simonyan2013": simonyan2013, "shapes_convnet": shapes_convnet}

# What the nets of this project are trained with; with weights from elsewhere it is the user who must say.
OWN_PREPROCESSING = {
    "simonyan2013": Preprocessing(IMAGENET_MEAN, (GREY_LEVEL,) * 3, 256, 224),
    "shapes_convnet": Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64),
}


def build_convnet(
    model: ModelConfig, data: DataConfig, data_classes: Classes | None = None, report: Callable[[str], None] = print
) -> ConvNet:
    """The ConvNet that `model` names, loaded, and tried on one blank crop.

    data_classes: the training data's classes, when the net is going to be trained: they decide the number of outputs
    unless `model.num_classes` does. A head of another size than the weights' is made anew, and `report` says so.
    Raises UserError for unknown names, weights that do not fit, unknown normalisation, crops that are too small.
    """
    first, head = _own_keys(model.name)
    weights = read_weights(model, first, head[0])
    had = None if weights is None else weights.state[head[0]].shape[0]
    num_classes = model.num_classes or (len(data_classes) if data_classes else had)
    if num_classes is None:
        raise UserError("model.num_classes is needed: there are neither weights nor data to tell it")
    preprocessing = _preprocessing(model, data, weights)
    net, new_head = _build(model.name, num_classes, preprocessing.crop), weights is None
    if weights is not None:
        if weights.preprocessing is None and model.name not in OWN_NETS and model.mean is None:
            report(f"{model.weights} says nothing of its normalisation: torchvision's for {model.name} is taken")
        before = _classes(model.name, weights, None, had or 0)
        told = weights.classes is not None or (model.name not in OWN_NETS and had == 1000)  # else the data's are theirs
        foreign = told and data_classes is not None and not set(data_classes.ids) <= set(before.ids)
        new_head = had != num_classes or foreign
        _load(net, weights.state, head if new_head else (), model)
        if data_classes is not None and not told and not new_head:
            order = ", ".join(data_classes.ids[:3]) + ", ..." * (len(data_classes) > 3)
            report(f"{model.weights} does not name its classes: they are taken to be the data's, in order: {order}")
        if new_head:
            if data_classes is None:
                outputs = f"model.num_classes={num_classes}, but {model.weights} has {had} classes"
                raise UserError(f"{outputs}: train.py fine-tunes")
            kept = _keep_known_rows(net, head, weights, before, data_classes)
            report(f"fine-tuning: {model.weights} has {had} classes, the new head {', '.join(head)} has {num_classes};")
            report(f"  it starts {_start(kept, num_classes, before)}")
    classes = _classes(model.name, None if new_head else weights, data_classes, num_classes)
    convnet = ConvNet(model.name, net, preprocessing, classes, head)
    _try_out(convnet)
    return convnet


def _build(name: str, num_classes: int, crop: int = 224) -> nn.Module:
    if name in OWN_NETS:
        return OWN_NETS[name](num_classes)
    names = zoo.list_models(module=zoo)
    if name not in names:
        valid = [*OWN_NETS, *names]
        nets = f"; {', '.join(OWN_NETS)}, or any torchvision classification net"
        raise UserError(f"model.name={name} is unknown{did_you_mean(name, valid, nets)}")
    options: dict[str, Any] = {"num_classes": num_classes}
    if name in ("googlenet", "inception_v3"):  # one output, and our own normalisation instead of transform_input
        options |= {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        options["image_size"] = crop  # these have parameters for each place of the picture
    try:
        return zoo.get_model(name, weights=None, **options)
    except AssertionError as error:
        raise UserError(_no_such_crops(name, crop, error)) from None


def _own_keys(name: str) -> tuple[str, tuple[str, ...]]:
    """The net's first parameter, and those whose shape depends on the number of classes, found by building it twice."""
    try:
        with torch.device("meta"):
            two, three = _build(name, 2).state_dict(), _build(name, 3).state_dict()
    except NotImplementedError:  # RegNet computes its widths with tensors
        two, three = _build(name, 2).state_dict(), _build(name, 3).state_dict()
    return next(iter(two)), tuple(key for key in two if two[key].shape != three[key].shape)


def _load(net: nn.Module, state: Mapping[str, Tensor], new_head: tuple[str, ...], model: ModelConfig) -> None:
    """Loads all but the new head; auxiliary classifiers, which the nets are built without, are left out."""
    mine = net.state_dict()
    left_out = ("aux1.", "aux2.", "AuxLogits.")
    given = OrderedDict((k, v) for k, v in state.items() if k not in new_head and not k.startswith(left_out))
    # The versions of its modules, by which some of torchvision's read what older ones wrote; MNASNet must have one.
    given._metadata = {"": mine._metadata[""]} | dict(getattr(state, "_metadata", {}))  # type: ignore[attr-defined]
    wrong = [k for k in given if k in mine and given[k].shape != mine[k].shape]
    missing, extra = ([], []) if wrong else net.load_state_dict(given, strict=False)
    missing = [k for k in missing if k not in new_head and not k.endswith("num_batches_tracked")]
    for keys, words in ((missing, "lacks"), (extra, "has the unknown"), (wrong, "has another shape of")):
        if keys:
            wrong_key = f"it {words} '{keys[0]}' ({len(keys)} such)"
            hint = "; data.crop must be the side of its pictures" if keys[0].endswith("pos_embedding") else ""
            raise UserError(f"model.weights={model.weights} does not fit {model.name}: {wrong_key}{hint}")


def _keep_known_rows(net: nn.Module, head: tuple[str, ...], weights: Weights, before: Classes, after: Classes) -> int:
    """Copies into the new head what the old one had for classes of the same identifier; how many these are."""
    places = {identifier: i for i, identifier in enumerate(before.ids)}
    known = [(new, places[identifier]) for new, identifier in enumerate(after.ids) if identifier in places]
    with torch.no_grad():
        for key in head:
            for new, old in known:
                if new < len(parameter := net.get_parameter(key)):
                    parameter[new] = weights.state[key][old]
    return len(known)


def _start(kept: int, outputs: int, before: Classes) -> str:
    """What a new head starts from, in words."""
    if not kept:
        return f"at random: the weights know none of the classes by its identifier, as {before.ids[0]} is one"
    rest = "all of them" if kept == outputs else f"{kept} of them, at random for the rest"
    return f"from the weights' own rows for {rest}"


def _preprocessing(model: ModelConfig, data: DataConfig, weights: Weights | None) -> Preprocessing:
    """The weights' own; else torchvision's for this net; else this project's when it trains from scratch."""
    stated = model.mean is not None and model.std is not None
    if weights is not None and weights.preprocessing is not None:
        base = weights.preprocessing
    elif model.name not in OWN_NETS:
        base = torchvision_preprocessing(model.name)
    elif weights is None or stated:
        base = OWN_PREPROCESSING[model.name]
    else:
        raise UserError(
            f"model.weights={model.weights} says nothing of its normalisation: give model.mean and model.std"
        )
    base = replace(
        base,
        mean=tuple(model.mean) if model.mean else base.mean,
        std=tuple(model.std) if model.std else base.std,
        resize=data.resize or max(base.resize, data.crop or 0),
        crop=data.crop or base.crop,
    )
    if base.crop > base.resize:
        raise UserError(f"data.crop={base.crop} must be at most data.resize={base.resize}")
    return base


def _classes(name: str, weights: Weights | None, data_classes: Classes | None, num_classes: int) -> Classes:
    if weights is not None and weights.classes is not None:
        return weights.classes
    if weights is not None and name not in OWN_NETS and num_classes == 1000:
        return torchvision_classes(name)
    if data_classes is not None and len(data_classes) == num_classes:
        return data_classes
    return Classes.unnamed(num_classes)


@torch.no_grad()
def _try_out(convnet: ConvNet) -> None:
    crop = convnet.preprocessing.crop
    was_training = convnet.training
    try:
        convnet.eval()(torch.zeros(1, 3, crop, crop))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(_no_such_crops(convnet.name, crop, error)) from None
    finally:
        convnet.train(was_training)


def _no_such_crops(name: str, crop: int, error: Exception) -> str:
    return f"{name} cannot take crops of {crop}x{crop} pixels (data.crop): {first_line(error)}"
