"""Boxes in photographs of which nothing is known: found, not scored (paper, section 3.2)."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table

from callbacks.gathering import gather, log_picture, save_picture
from callbacks.outcomes import Rows, find
from deepinside.classifier import Classifier
from deepinside.config import LocalisationConfig
from deepinside.plots import Explanation, draw_explanation, sheet
from deepinside.predictions import write_csv


class FoundBoxes(Callback):
    """At predict: the five best classes of every picture that comes, and a box for each.

    Logs `localisation/pictures`; writes predictions.csv, sheet.png and a PNG a picture into `folder`. `results`: the
    first guess of each picture, its box in inclusive pixels of the picture. Works on a Classifier.
    """

    def __init__(self, settings: LocalisationConfig, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.found: list[tuple[int, Rows, Explanation]] = []
        self.results: list[dict[str, Any]] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        assert isinstance(pl_module, Classifier)
        for picture in batch["pictures"]:
            self.found.append((picture.index, *find(pl_module.convnet, picture, self.settings)))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        found, self.found = sorted(gather(self.found), key=lambda item: item[0]), []
        names = pl_module.convnet.classes.names
        self.results = [_first(index, rows[0], names) for index, rows, _ in found]
        if not trainer.is_global_zero or not found:
            return
        write_csv(self.folder / "predictions.csv", (row for _, rows, _ in found for row in rows))
        panels = [draw_explanation(explanation) for _, _, explanation in found]
        for row, panel in zip(self.results, panels, strict=True):
            save_picture(panel, self.folder / "pictures" / f"{row['index']:05d}_{Path(row['image']).name}.png")
        overview = sheet(panels, min(2, len(panels)))
        log_picture(trainer, "localisation/pictures", overview)
        save_picture(overview, self.folder / "sheet.png")


def _first(index: int, row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    box = {edge: row[edge] for edge in ("xmin", "ymin", "xmax", "ymax")}
    known = {"class_index": row["class_index"], "class": names[row["class_index"]].split(",")[0]}
    return {"index": index, "image": row["image"], **known, "posterior": float(row["score"]), **box}


def found_table(results: list[dict[str, Any]]) -> Table:
    """What was found, as a table for the terminal."""
    table = Table(title=f"boxes found in {len(results)} pictures, not scored", title_justify="left")
    for column in ("picture", "class"):
        table.add_column(column)
    for column in ("P_c", "xmin", "ymin", "xmax", "ymax"):
        table.add_column(column, justify="right")
    for row in results:
        box = (str(row[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
        table.add_row(row["image"], row["class"], f"{row['posterior']:.3f}", *box)
    return table
