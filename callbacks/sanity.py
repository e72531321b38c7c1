"""Whether saliency depends on what the net has learnt: cascading randomisation of its weights at the end."""

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from rich.table import Table

from callbacks.cascade import Cascaded, compare_maps, summarise
from callbacks.gathering import gather, log_numbers, show_picture
from callbacks.outcomes import known_box
from callbacks.saliency_maps import explain
from callbacks.subject import Pictures, convnet_of, fixed_pictures, require_pictures, settings_of
from deepinside.attribution.randomisation import cascade, layers_in_use, randomised
from deepinside.boxes import iou
from deepinside.config import LocalisationConfig, SaliencyConfig, SanityConfig
from deepinside.data.devkit import read_blacklist
from deepinside.data.views import WholePicture
from deepinside.models.convnet import ConvNet
from deepinside.plots import draw_strip, heat
from deepinside.progress import Bar
from deepinside.tiles import sheet
from deepinside.words import counted

DRAWN = 8  # pictures of the sheet


class Randomisation(Callback):
    """Cascading randomisation (Adebayo et al. 2018) for `settings.images` validation pictures, at test and at predict.

    The net gets fresh weights from the last layer down to the first, in `settings.stages` stages, and at the end its
    own again. After each, the maps for the classes of before are compared with the trained net's (see
    `metrics.agreement`), and labelled pictures are localised. Logs `sanity/spearman`, `sanity/ssim`,
    `sanity/gt_known_accuracy` and `sanity_centre_box/gt_known_accuracy` against the number of randomised layers, and
    `sanity/pictures`; with a `folder` also sheet.png. `sanity_chance/spearman` and `sanity_chance/ssim` tell how alike
    the trained net's maps of different pictures are. `results` is what metrics.json holds. Maps that stay as they were
    do not depend on what was learnt; one that is blank, behind a dead ReLU, resembles none. localisation None: no
    boxes. Works on a Classifier, and with `pictures` on any LightningModule, which it leaves as it was.
    """

    def __init__(
        self,
        settings: SanityConfig | None = None,
        saliency: SaliencyConfig | None = None,
        localisation: LocalisationConfig | None = None,
        folder: str | Path | None = None,
        *,
        pictures: Pictures | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.settings = settings_of(self, settings, SanityConfig())
        self.saliency = settings_of(self, saliency, SaliencyConfig())
        self.folder = Path(folder) if folder else None
        self.localisation = localisation and settings_of(self, localisation, LocalisationConfig())
        self.given, self.seed = pictures, seed
        self.progress = progress
        listed = localisation.blacklist if localisation else None
        self.blacklist = read_blacklist(Path(listed)) if listed else set()
        self.results: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_pictures(self, trainer, pl_module, self.given)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        convnet_of(pl_module, self.given)  # what is wrong with them is told before all the work

    on_predict_start = on_test_start

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        start = time.monotonic()
        convnet = convnet_of(pl_module, self.given)
        pictures = fixed_pictures(trainer, self.settings.images, self.given)
        side = convnet.preprocessing.crop
        layers = layers_in_use(convnet, convnet.mean.expand(1, 3, side, side))
        stages = cascade(layers, self.settings.stages)
        count = len(pictures) * (len(stages) + 1)
        with Bar("sanity", count, "maps", enabled=self.progress and trainer.is_global_zero) as bar:
            own = self._cascade(convnet, pictures, stages, bar)
        found = gather(own)
        if trainer.is_global_zero and found:
            found.sort(key=lambda one: one.picture.index)
            self.results = summarise(found, stages) | {"seconds": round(time.monotonic() - start, 2)}
            _log_curves(trainer, self.results)
            overview = _draw(found[:DRAWN], stages)
            folder = None if trainer.fast_dev_run else self.folder  # type: ignore[attr-defined]
            show_picture(trainer, "sanity/pictures", overview, folder and folder / "sheet.png")

    on_predict_epoch_end = on_test_epoch_end

    def _cascade(
        self, convnet: ConvNet, pictures: list[WholePicture], stages: list[list[str]], bar: Bar
    ) -> list[Cascaded]:
        trained, hits = [], []
        for picture in pictures:
            trained.append(explain(convnet, picture, self.saliency))
            hits.append(self._hit(convnet, picture))
            bar.advance()
        pictures = [replace(p, label=row["class_index"]) for p, (row, _) in zip(pictures, trained, strict=True)]
        maps = [[shown.saliency] for _, shown in trained]
        with closing(randomised(convnet, stages if pictures else [], self.seed)) as groups:
            for _ in groups:
                for own, told, picture in zip(maps, hits, pictures, strict=True):
                    own.append(explain(convnet, picture, self.saliency)[1].saliency)
                    if told:
                        told += self._hit(convnet, picture)
                    bar.advance()
        found = [
            compare_maps(picture, _title(row), own, shown.coverage, told)
            for picture, (row, shown), own, told in zip(pictures, trained, maps, hits, strict=True)
        ]
        return [*found[:DRAWN], *(replace(one, maps=[]) for one in found[DRAWN:])]

    def _hit(self, net: ConvNet, picture: WholePicture) -> list[bool]:
        """Whether the box for the picture's class hits; [] where localisation leaves the picture out."""
        if self.localisation is None or picture.label < 0 or not len(picture.boxes) or picture.name in self.blacklist:
            return []
        return [bool(iou(known_box(net, picture, self.localisation)[None], picture.boxes).max() >= 0.5)]


def sanity_table(results: dict[str, Any]) -> Table:
    """`Randomisation.results` for the terminal, a row a stage; below it what maps of different pictures have."""
    table = Table(title=f"{counted(results['images'], 'picture')}: what is left of the maps", title_justify="left")
    columns = {"rank correlation": "spearman", "SSIM": "ssim", "GT-known, %": "gt_known_accuracy"}
    if any(row["blank_maps"] for row in results["stages"]):  # as behind a shut ReLU; their rank correlation is 0
        columns["blank maps"] = "blank_maps"
    rows = [(str(row["randomised"]), row) for row in results["stages"]]
    rows += [("chance", results["chance"]), ("centre box", results.get("centre_box", {}))]
    table.add_column("fresh layers")
    told = {head: key for head, key in columns.items() if any(row.get(key) is not None for _, row in rows)}
    for head in told:
        table.add_column(head, justify="right")
    for name, row in rows:
        values = [row.get(key) for key in told.values()]
        if any(value is not None for value in values):
            table.add_row(name, *(_number(key, value) for key, value in zip(told.values(), values, strict=True)))
    return table


def _number(key: str, value: float | None) -> str:
    if value is None:
        return ""
    if key == "blank_maps":
        return str(value)
    return f"{100 * value:.1f}" if key == "gt_known_accuracy" else f"{value:.2f}"


def _log_curves(trainer: Trainer, results: dict[str, Any]) -> None:
    for row in results["stages"]:
        measured = {f"sanity/{key}": row.get(key) for key in ("spearman", "ssim", "gt_known_accuracy")}
        if "centre_box" in results:
            measured["sanity_centre_box/gt_known_accuracy"] = results["centre_box"]["gt_known_accuracy"]
        measured |= {f"sanity_chance/{key}": value for key, value in results["chance"].items()}
        numbers = {tag: value for tag, value in measured.items() if value is not None}
        log_numbers(trainer, numbers, row["randomised"])


def _title(row: dict[str, Any]) -> str:
    """The class; of a photograph without a label its name, too."""
    return row["class"] if row["labelled"] else f"{row['image']}: {row['class']}"


def _short(layer: str) -> str:
    """The last parts of its name that a column has room for."""
    while len(layer) > 14 and "." in layer:
        layer = layer.partition(".")[2]
    return layer[-14:]


def _draw(found: list[Cascaded], stages: list[list[str]]) -> Image.Image:
    """A row a picture, a column a stage, titled with the layer down to which the weights are fresh."""
    titles = ["trained", *(f"to {_short(group[-1].removeprefix('net.'))}" for group in stages)]
    strips = []
    for one in found:
        frame = one.picture.frame.permute(1, 2, 0).cpu().numpy()
        columns = [("picture", frame), *((name, heat(m)) for name, m in zip(titles, one.maps, strict=True))]
        told = "  ".join(
            "blank" if blank else f"{value:.2f}" for value, blank in zip(one.spearman, one.blank, strict=True)
        )
        strips.append(draw_strip(columns, f"{one.title}   rank correlation with the trained net's map: {told}"))
    return sheet(strips, 1)
