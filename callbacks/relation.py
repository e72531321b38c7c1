"""DeconvNet and back-prop side by side on a few pictures (paper, section 4): numbers, pictures, TensorBoard."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from rich.table import Table
from torch import Tensor

from callbacks.gathering import gather, panel_file, save_picture, show_picture, writers
from deepinside.attribution.deconvnet import deconvnet
from deepinside.attribution.relation import LayerRelation, merge, relation, summarise
from deepinside.attribution.saliency import saliency
from deepinside.classifier import Classifier
from deepinside.data.transforms import centre_crop
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.models.convnet import ConvNet
from deepinside.plots import draw_reconstructions
from deepinside.result_tables import markdown_table
from deepinside.tiles import sheet
from deepinside.words import scored

TITLES = {"gradient": "back-prop", "deconvnet": "DeconvNet", "guided": "guided back-prop"}
MOST_ROWS = 80
COLUMNS = ("layer", "kind", "DeconvNet", "difference", "gates that disagree")
TITLE = "DeconvNet against back-prop, from the same R_{n+1}"


class Relation(Callback):
    """At predict: the layers of DeconvNet against back-prop, and the three reconstructions of pictures.

    Of every picture that comes, for its own class, or for the best-scored one where there is none, on the centre crop.
    Logs `relation/reconstructions` and `relation/table`; writes relation.png, relation.json and a PNG a picture into
    `folder`. `results`: {layers, kinds, explicit_deconvnet, pictures}. Works on a Classifier.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[tuple[dict[str, Any], list[LayerRelation], Image.Image]] = []
        self.results: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, Classifier):
            raise UserError("Relation works on deepinside's Classifier alone")

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        assert isinstance(pl_module, Classifier)
        self.found += [relate(pl_module.convnet, picture) for picture in batch["pictures"]]

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found, self.found = sorted(gather(self.found), key=lambda item: int(item[0]["index"])), []
        if not found:
            return
        rows, relations, panels = zip(*found, strict=True)
        layers = summarise(relations)
        self.results = {
            "layers": [asdict(layer) for layer in layers],
            "kinds": kinds(layers),
            "explicit_deconvnet": explicit(rows),
            "pictures": list(rows),
        }
        if not trainer.is_global_zero:
            return
        overview = sheet(panels, 1 if len(panels) < 4 else 2)
        show_picture(trainer, "relation/reconstructions", overview, self.folder / "relation.png")
        for row, panel in zip(rows, panels, strict=True):
            save_picture(panel, panel_file(self.folder, row["index"], row["image"]))
        write_json(self.folder / "relation.json", self.results)
        for writer in writers(trainer):
            writer.add_text("relation/table", _markdown(self.results), trainer.global_step)


def relate(convnet: ConvNet, picture: WholePicture) -> tuple[dict[str, Any], list[LayerRelation], Image.Image]:
    """What there is to say of one picture, its layers, and its reconstructions drawn."""
    frame = centre_crop(picture.frame, convnet.preprocessing.crop)
    image = (frame.to(convnet.mean.device).float() / 255)[None]
    with torch.no_grad():
        scores = convnet(image)[0]
    label = picture.label if picture.label >= 0 else int(scores.argmax())
    classes = torch.tensor([label], device=image.device)
    normalised = (image - convnet.mean) / convnet.std
    layers = relation(convnet.net, normalised, classes)
    drawn = {
        title: saliency(convnet, image, classes, method, reduction="none", strategy="loop")[0].cpu()
        for method, title in TITLES.items()
    }
    name, posterior = convnet.classes.short_name(label), float(scores.softmax(0)[label])
    photo = "" if picture.label >= 0 else f"{picture.name}: "
    panel = draw_reconstructions(frame, drawn, f"{photo}{name}   {scored(float(scores[label]), posterior)}")
    row = {"index": picture.index, "image": picture.name, "class_index": label, "class": name}
    row |= {"score": float(scores[label]), "posterior": posterior}
    return row | {"explicit_deconvnet": compare_explicit(convnet, normalised, classes)}, layers, panel


def compare_explicit(convnet: ConvNet, images: Tensor, classes: Tensor) -> float | str:
    """max |explicit - by rule| / max |by rule| of the DeconvNet's reconstruction, or why there is no explicit one.

    Where the reconstruction is 0 everywhere, the difference itself.
    """
    try:
        by_steps = deconvnet(convnet.net, images, classes)
    except UserError as error:
        return str(error).replace("saliency(..., method='deconvnet')", "task=saliency saliency.method=deconvnet")
    by_rule = saliency(convnet.net, images, classes, "deconvnet", reduction="none", strategy="loop")
    difference, size = float((by_steps - by_rule).abs().max()), float(by_rule.abs().max())
    return difference / size if size else difference


def explicit(rows: Sequence[dict[str, Any]]) -> float | str:
    """Over pictures: the largest difference, or the reason that is the same for all."""
    found = [row["explicit_deconvnet"] for row in rows]
    return found[0] if isinstance(found[0], str) else max(found)


def kinds(layers: Sequence[LayerRelation]) -> dict[str, dict[str, Any]]:
    """The table by kind of layer: how many, the largest difference, the disagreement over all gates."""
    table: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(layer.kind for layer in layers):
        same = [layer for layer in layers if layer.kind == kind]
        row = merge(same)
        table[kind] = {
            "layers": len(same),
            "rule": row.rule,
            "difference": row.difference,
            "disagreement": row.disagreement if row.gates else None,
        }
    return table


def relation_table(results: dict[str, Any]) -> Table:
    """`Relation.results` for the terminal: every layer where there are not too many, and every kind."""
    table = Table(title=TITLE, title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("difference", "gates that disagree") else "left")
    if len(results["layers"]) <= MOST_ROWS:
        for row in _layer_rows(results):
            table.add_row(*row)
        table.add_section()
    for row in _kind_rows(results):
        table.add_row(*row)
    table.caption, table.caption_justify = _told_explicit(results), "left"
    return table


def _markdown(results: dict[str, Any]) -> str:
    """The same for TensorBoard, where there is room for every layer."""
    rows = markdown_table(COLUMNS, [*_layer_rows(results), *_kind_rows(results)])
    return f"{TITLE}\n\n{rows}\n\n{_told_explicit(results)}"


def _layer_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(layer["layer"], layer["kind"], layer["rule"], *_numbers(layer)) for layer in results["layers"]]


def _kind_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(f"all {row['layers']}", kind, row["rule"], *_numbers(row)) for kind, row in results["kinds"].items()]


def _told_explicit(results: dict[str, Any]) -> str:
    found = results["explicit_deconvnet"]
    return (
        f"explicit DeconvNet pass against the ReLU rule: difference {found:.1e}" if isinstance(found, float) else found
    )


def _numbers(row: dict[str, Any]) -> tuple[str, str]:
    difference, disagreement = row["difference"], row["disagreement"]
    return (
        "" if difference is None else f"{difference:.1e}",
        "" if disagreement is None else f"{100 * disagreement:.1f} %",
    )
