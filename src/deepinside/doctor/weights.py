"""Which weights load, and what is in torch's cache."""

import os
from pathlib import Path

import torch
from torchvision import models as zoo

from deepinside.config import DataConfig, ModelConfig
from deepinside.data.picture import Classes
from deepinside.doctor.finding import BLOCKS, OK, WARN, Finding
from deepinside.errors import UserError
from deepinside.models.build import OWN_NETS, build_convnet
from deepinside.words import some


def check_weights(model: ModelConfig, data_classes: Classes | None) -> list[Finding]:
    """Loads what `model` names, if it names weights; else tells which lie in torch's cache.

    For names that exist (`check_names`).
    """
    if model.weights == "none":
        try:
            return [_tell_cache(cached_weights())]
        except OSError as error:
            words = f"{_cache()}, where torch keeps what it fetched, cannot be read: {error.strerror}"
            return [Finding("weights", words, WARN, "chmod -R u+rX, or TORCH_HOME= a folder that is yours")]
    said: list[str] = []
    try:
        convnet = build_convnet(model, DataConfig(), None, said.append)
    except UserError as error:
        fix = f"without a network: copy the file to {_cache()}, or model.weights=FILE"
        return [Finding("weights", str(error), BLOCKS, fix if "downloaded" in str(error) else "give those of this net")]
    findings = [Finding("weights", f"{model.weights} loads: {convnet.summary()}")]
    findings += [Finding("weights", line, WARN, "give model.mean and model.std if this is wrong") for line in said]
    if data_classes is not None:
        findings.append(_compare(convnet.classes, data_classes))
    return findings


def check_names(model: ModelConfig) -> None:
    """Raises UserError for a net or weights that do not exist by name. It is instant: what comes next is not."""
    if not _exist(model):
        build_convnet(model, DataConfig())


def cached_weights() -> dict[str, str]:
    """{file in torch's cache: `model.name=... model.weights=...`}, for torchvision's classification nets."""
    folder = _cache()
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    found = {}
    for name in zoo.list_models(module=zoo):
        for member in zoo.get_model_weights(name):
            if (file := member.url.rsplit("/", 1)[-1]) in present:
                found[file] = f"model.name={name} model.weights={member.name}"
    return found


def _tell_cache(cached: dict[str, str]) -> Finding:
    folder = _cache()
    without = "without a network, only these and files load" if cached else "without a network, only files load"
    words = f"model.weights=DEFAULT fetches from download.pytorch.org into {folder}; {without}"
    if cached:
        return Finding(
            "weights", f"{words}: {some(sorted(cached.values()), 6)}", OK, "model.name= and model.weights= try one"
        )
    return Finding("weights", f"{words}; it holds none", OK, "model.name= and model.weights= try one")


def _compare(weights: Classes, data: Classes) -> Finding:
    unknown = [name for name in data.ids if name not in set(weights.ids)]
    if not unknown:
        return Finding("weights and data", f"the data's {len(data):,} classes are among the weights' {len(weights):,}")
    if weights == Classes.unnamed(len(weights)):
        words = f"the weights do not name their {len(weights):,} classes, the data have {len(data):,}"
        kept = "train.py takes them to be the data's" if len(weights) == len(data) else "train.py fine-tunes a new head"
        return Finding("weights and data", words, WARN, f"model.classes=FILE names them; {kept}")
    words = f"{len(unknown):,} of the data's {len(data):,} classes are not among the weights': {some(unknown)}"
    return Finding("weights and data", words, WARN, "analyse.py refuses this; train.py fine-tunes a new head")


def _exist(model: ModelConfig) -> bool:
    """Whether net and weights exist by name: else it is a mistake in the arguments."""
    in_zoo = model.name in zoo.list_models(module=zoo)
    members = zoo.get_model_weights(model.name).__members__ if in_zoo else ()  # DEFAULT is one
    known = model.weights == "none" or model.weights in members or Path(model.weights).is_file()
    return known and (in_zoo or model.name in OWN_NETS)


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
