"""task=localise: boxes from saliency, scored (paper, section 3.2), or scores of guesses that lie in a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from callbacks import FoundBoxes, Localisation
from callbacks.found_boxes import found_table
from callbacks.gathering import gather
from callbacks.outcome_store import OutcomeStore, outcome_fingerprint
from callbacks.progress import progress_bars
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig
from deepinside.data.box_files import boxed_pictures, read_boxes
from deepinside.data.chosen import ChosenPictures
from deepinside.data.devkit import read_blacklist
from deepinside.data.ilsvrc import imagenet_wnids
from deepinside.data.module import PictureData
from deepinside.data.source import PictureSource, check_readable, open_split
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.launch import if_stopped
from deepinside.models.convnet import ConvNet
from deepinside.predictions import read_predictions
from deepinside.progress import Bar
from deepinside.result_tables import print_results, print_table, print_trivial_boxes
from deepinside.scoring import score_guesses_in_files, trivial_boxes, without_boxes
from deepinside.tasks.analysis import look_at_pictures, shows, start
from deepinside.trainer import make_trainer
from deepinside.words import counted


def localise(config: AnalyseConfig, module: Classifier, out: Path) -> dict[str, Any]:
    """Boxes for the whole validation split, scored; or for the photographs `images`, found and not scored."""
    if config.images:
        finder = FoundBoxes(config.localisation, out)
        unreadable = look_at_pictures(config, module, out, finder, 0)
        rank_zero_only(print_table)(found_table(finder.results))
        return {"pictures": finder.results, "unreadable": unreadable}
    source = open_split(config.data, "val", config.seed, shows(config))
    if not source.has_boxes:
        raise UserError(
            f"task=localise needs boxes to score against: there are none for {config.data.root};"
            " images=photo.jpg,folder finds boxes without scoring them"
        )
    store = open_store(config, module.convnet, source, out)
    callback = Localisation(config.localisation, out, store=store)
    trainer = make_trainer(
        config.trainer, out, [callback, *progress_bars(config.trainer.enable_progress_bar)], own_samplers=True
    )
    missing = ChosenPictures(source, store.missing(len(source), trainer.world_size))
    small_batches = replace(config.data, batch_size=8)  # the boxes take the time, not the batch: let progress show
    data = PictureData(small_batches, module.convnet, val=missing)
    check_readable(source)
    start(config, out, goes_on=bool(store.found))
    if store.found:
        rank_zero_only(print)(f"goes on: {len(store.found)} of {len(source)} pictures are measured already")
        module = _Part(module.convnet)
    with if_stopped(lambda: _how_many_are_kept(store, len(source))):
        trainer.test(module, data, verbose=False)
    if trainer.is_global_zero:
        print_results(callback.results)
    unreadable = sorted(gather(list(data.unreadable)))
    return callback.results | {"classes": len(module.convnet.classes), "unreadable": unreadable}


class _Part(Classifier):
    """Logs no `test/*`: means of the pictures that were missing would pass for those of all."""

    def log(self, *_: Any, **__: Any) -> None:
        pass


def open_store(config: AnalyseConfig, convnet: ConvNet, source: PictureSource, out: Path) -> OutcomeStore:
    """What earlier starts of the same analysis have measured."""
    settings, own = config.localisation, config.data
    blacklist = read_blacklist(Path(settings.blacklist)) if settings.blacklist else set()
    root = str(Path(own.root).resolve()) if own.root else None
    data: dict[str, Any] = {"name": own.name, "root": root, "limit": own.limit, "seed": config.seed}
    data |= {"ids": source.classes.ids, "labels": list(source.labels), "precision": config.trainer.precision}
    fingerprint = outcome_fingerprint(convnet, settings, blacklist, data)
    return OutcomeStore(out / "found", fingerprint, progress=shows(config))


def _how_many_are_kept(store: OutcomeStore, total: int) -> str:
    """After Ctrl-C."""
    kept = len(store)
    rest = "goes on with the others" if kept < total else "draws them"
    return f"{kept} of {total} pictures are measured and kept in {store.folder}; the same command {rest}"


def score_files(config: AnalyseConfig) -> None:
    """Without a net: guesses in a file, or boxes that know nothing, against boxes in files or of the data set."""
    with Bar("reading the boxes", enabled=shows(config)):
        if config.boxes:
            pictures = read_boxes(Path(config.boxes))
            ids = {p.label_id for p in pictures if p.label_id}
        else:
            source = open_split(config.data, "val", config.seed)
            pictures, ids = boxed_pictures(source), set(source.classes.ids)
    if config.localisation.blacklist:
        blacklist = read_blacklist(Path(config.localisation.blacklist))
        if blacklist.isdisjoint(picture.name for picture in pictures):
            print(f"localisation.blacklist={config.localisation.blacklist} names none of the {len(pictures)} pictures")
        pictures = without_boxes(pictures, blacklist)
    if config.predictions:
        numbered = Path(config.predictions).suffix != ".csv" and config.localisation.label_ids == "wnid"
        if config.boxes and numbered and not ids <= set(imagenet_wnids()):
            raise UserError(
                "localisation.label_ids=wnid numbers ImageNet's 1000 classes; true boxes do not tell all of others: "
                "localisation.label_ids=FILE with a line `class number` for each"
            )
        images = [p.name for p in pictures]
        guesses = read_predictions(Path(config.predictions), images, ids, config.localisation.label_ids)
        unreadable = [p.name for p in pictures if not p.readable]
        pictures = [p for p in pictures if p.readable]
        if not pictures:
            raise UserError(f"none of the {counted(len(unreadable), 'picture')} of {config.data.root} can be read")
        guesses = {name: guess for name, guess in guesses.items() if name not in unreadable}
        if not config.boxes and config.data.name == "shapes" and not set(guesses) & set(images):
            raise UserError("no guess is about a drawn shape: the true boxes come from boxes=... or data.root=...")
        with Bar("scoring", enabled=shows(config)):
            metrics = score_guesses_in_files(pictures, guesses) | {"unreadable": unreadable}
        print_results(metrics)
        if unreadable:
            print(f"{counted(len(unreadable), 'picture')} could not be read, left out (first: {unreadable[0]})")
        if metrics["without_guess"]:
            print(f"{metrics['without_guess']} of {len(pictures)} pictures have no guess and count as wrong")
        guessed = {one for guess in guesses.values() for one in guess.ids}
        if guessed and guessed.isdisjoint(ids):  # may be so, but most likely they are called otherwise
            print(f"no picture has any of the guessed classes: guesses name {min(guessed)}, the true boxes {min(ids)}")
    else:
        with Bar("scoring", enabled=shows(config)):
            metrics = trivial_boxes(pictures)
        print_trivial_boxes(metrics)
    if config.out:
        write_json(file := Path(config.out) / "metrics.json", metrics)
        print(f"results: {file}")
