"""task=saliency, task=sanity and task=relation: some pictures, looked into (paper, sections 3.1 and 4)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from callbacks import Randomisation, Relation, SaliencyMaps
from callbacks.relation import relation_table
from callbacks.saliency_maps import check_method
from callbacks.sanity import sanity_table
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig
from deepinside.errors import UserError
from deepinside.result_tables import print_table
from deepinside.tasks.analysis import look_at_pictures, shows

AS_KEYS = {"method=": "saliency.method="}


def saliency(config: AnalyseConfig, module: Classifier, out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    _check_method(module, config.saliency.method)
    callback = SaliencyMaps(config.saliency, out)
    unreadable = look_at_pictures(config, module, out, callback, config.saliency.images)
    return {"pictures": callback.results, "unreadable": unreadable}


def sanity(config: AnalyseConfig, module: Classifier, out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    _check_method(module, config.saliency.method)
    callback = Randomisation(
        config.sanity, config.saliency, config.localisation, out, seed=config.seed, progress=shows(config)
    )
    unreadable = look_at_pictures(config, module, out, callback, config.sanity.images)
    if callback.results:
        rank_zero_only(print_table)(sanity_table(callback.results))
    return callback.results | {"unreadable": unreadable}


def relation(config: AnalyseConfig, module: Classifier, out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    _check_method(module, "deconvnet", {"method=deconvnet": "DeconvNet", "method=gradient": "task=saliency"})
    callback = Relation(out)
    unreadable = look_at_pictures(config, module, out, callback, config.relation.images)
    if callback.results:
        rank_zero_only(print_table)(relation_table(callback.results), 110)
    return callback.results | {"unreadable": unreadable}


def _check_method(module: Classifier, method: str, words: Mapping[str, str] = AS_KEYS) -> None:
    """`check_method` before there is a folder; its error is written for calls, `words` say the same for the task."""
    try:
        check_method(module.convnet, method)
    except UserError as error:
        told = str(error)
        for call, word in words.items():
            told = told.replace(call, word)
        raise UserError(told) from None
