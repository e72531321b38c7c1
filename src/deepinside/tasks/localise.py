"""task=localise: boxes from saliency, scored (paper, section 3.2), or scores of guesses that lie in a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from callbacks import FoundBoxes, Localisation, gather, progress
from callbacks.found_boxes import found_table
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig
from deepinside.data.box_files import boxed_pictures, read_boxes
from deepinside.data.devkit import read_blacklist
from deepinside.data.module import PictureData
from deepinside.data.source import check_readable, open_split
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.launch import make_trainer
from deepinside.predictions import read_predictions
from deepinside.progress import Bar
from deepinside.result_tables import print_results, print_table, print_trivial_boxes
from deepinside.scoring import score_guesses_in_files, trivial_boxes, without_boxes
from deepinside.tasks.analysis import look_at_pictures, shows, start


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
    callback = Localisation(config.localisation, out)
    small_batches = replace(config.data, batch_size=8)  # the boxes take the time, not the batch: let progress show
    data = PictureData(small_batches, module.convnet, val=source)
    trainer = make_trainer(
        config.trainer, out, [callback, *progress(config.trainer.enable_progress_bar)], own_samplers=True
    )
    check_readable(source)
    start(config, out)
    trainer.test(module, data, verbose=False)
    if trainer.is_global_zero:
        print_results(callback.results)
    unreadable = sorted(gather(list(data.unreadable)))
    return callback.results | {"classes": len(module.convnet.classes), "unreadable": unreadable}


def score_files(config: AnalyseConfig) -> None:
    """Without a net: guesses in a file, or boxes that know nothing, against boxes in files or of the data set."""
    with Bar("reading the boxes", enabled=shows(config)):
        if config.boxes:
            pictures = read_boxes(Path(config.boxes))
        else:
            pictures = boxed_pictures(open_split(config.data, "val", config.seed))
    if config.localisation.blacklist:
        blacklist = read_blacklist(Path(config.localisation.blacklist))
        if blacklist.isdisjoint(picture.name for picture in pictures):
            print(f"localisation.blacklist={config.localisation.blacklist} names none of the {len(pictures)} pictures")
        pictures = without_boxes(pictures, blacklist)
    if config.predictions:
        images, ids = [p.name for p in pictures], {p.label_id for p in pictures if p.label_id}
        guesses = read_predictions(Path(config.predictions), images, ids, config.localisation.label_ids)
        if not config.boxes and config.data.name == "shapes" and not set(guesses) & set(images):
            raise UserError("no guess is about a drawn shape: the true boxes come from boxes=... or data.root=...")
        with Bar("scoring", enabled=shows(config)):
            metrics = score_guesses_in_files(pictures, guesses)
        print_results(metrics)
        if metrics["without_guess"]:
            print(f"{metrics['without_guess']} of {len(pictures)} pictures have no guess and count as wrong")
    else:
        with Bar("scoring", enabled=shows(config)):
            metrics = trivial_boxes(pictures)
        print_trivial_boxes(metrics)
    if config.out:
        write_json(Path(config.out) / "metrics.json", metrics)
