"""Boxes in photographs of which nothing is known: found, not scored (paper, section 3.2)."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from rich.markup import escape
from rich.table import Table

from callbacks.gathering import gather, panel_file, save_picture, show_picture, spread
from callbacks.outcomes import Rows, find
from deepinside.classifier import Classifier
from deepinside.config import LocalisationConfig
from deepinside.data.picture import Classes
from deepinside.errors import UserError
from deepinside.plots import draw_explanation
from deepinside.predictions import write_csv
from deepinside.tiles import sheet
from deepinside.words import counted


class FoundBoxes(Callback):
    """At predict: up to five guesses for every picture that comes, each a class and its box.

    A PNG a picture goes into `folder` as soon as it is found, at the end predictions.csv and, with `settings.pictures`
    of them, sheet.png, which is logged as `localisation/pictures`. `results`: the first guess of each picture, its box
    in inclusive pixels of the picture. Works on a Classifier.
    """

    def __init__(self, settings: LocalisationConfig, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.found: list[tuple[int, Rows, Image.Image | None]] = []
        self.results: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, Classifier):
            raise UserError("FoundBoxes works on deepinside's Classifier alone")

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        assert isinstance(pl_module, Classifier)
        shown = spread(self.settings.pictures, len(trainer.predict_dataloaders.dataset))  # type: ignore[union-attr]
        for picture in batch["pictures"]:
            rows, explanation = find(pl_module.convnet, picture, self.settings)
            panel = draw_explanation(explanation)
            save_picture(panel, panel_file(self.folder, picture.index, picture.name))
            self.found.append((picture.index, rows, panel if picture.index in shown else None))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        found, self.found = sorted(gather(self.found), key=lambda item: item[0]), []
        classes = pl_module.convnet.classes
        self.results = [_first(index, rows[0], classes) for index, rows, _ in found]
        if not trainer.is_global_zero or not found:
            return
        write_csv(self.folder / "predictions.csv", (row for _, rows, _ in found for row in rows))
        if panels := [panel for _, _, panel in found if panel is not None]:
            overview = sheet(panels, min(2, len(panels)))
            show_picture(trainer, "localisation/pictures", overview, self.folder / "sheet.png")


def _first(index: int, row: dict[str, Any], classes: Classes) -> dict[str, Any]:
    box = {edge: row[edge] for edge in ("xmin", "ymin", "xmax", "ymax")}
    known = {"class_index": row["class_index"], "class": classes.short_name(row["class_index"])}
    return {"index": index, "image": row["image"], **known, "posterior": float(row["score"]), **box}


def found_table(results: list[dict[str, Any]]) -> Table:
    """What was found, as a table for the terminal."""
    table = Table(title=f"boxes found in {counted(len(results), 'picture')}, not scored", title_justify="left")
    for column in ("picture", "class"):
        table.add_column(column)
    for column in ("P_c", "xmin", "ymin", "xmax", "ymax"):
        table.add_column(column, justify="right")
    for row in results:
        box = (str(row[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
        table.add_row(escape(row["image"]), escape(row["class"]), f"{row['posterior']:.3f}", *box)
    return table
