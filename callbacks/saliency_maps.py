"""Saliency maps of a fixed set of pictures: film strips and drift while training, PNG files at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from callbacks.film_strips import Arrays, Looks, show_strips, shrink, slug
from callbacks.gathering import gather, log_numbers, panel_file, save_picture, show_picture
from callbacks.monitor import MAX_OVERHEAD, Monitor
from callbacks.subject import Pictures, convnet_of, settings_of
from deepinside.attribution.crops import CROPS, crop_saliency
from deepinside.attribution.methods import BASED
from deepinside.attribution.relu_rules import RULES
from deepinside.attribution.saliency import saliency
from deepinside.config import SaliencyConfig
from deepinside.data.views import WholePicture
from deepinside.metrics.agreement import SMALLEST, agreement, covered_part
from deepinside.models.convnet import ConvNet
from deepinside.plots import Explanation, Pixels, draw_explanation, heat
from deepinside.tiles import sheet
from deepinside.words import scored

Shown = list[tuple[dict[str, Any], Explanation]]


class SaliencyMaps(Monitor):
    """Saliency maps (paper, section 3.1) of `settings.images` validation pictures, at predict of all that come.

    c is the picture's own class, or the best-scored one where there is none. While training, every `settings.every`
    epochs or steps: `saliency/films/<index>_<class>`, an image a picture with a column a look, and how much maps
    resemble those of the look before, `saliency/drift_spearman` and `saliency/drift_ssim` (see `metrics.agreement`). At
    test, which is the films' last column, and at predict: `saliency/pictures`.
    With a `folder`: films/, looks/ which a resumed run takes up again, pictures/ and sheet.png. Works on a Classifier,
    and with `pictures` on any LightningModule; leaves training as it was. Raises UserError at the start where the
    method has no meaning for the net, or pictures are missing. Two on one Trainer, such as gradient and guided maps,
    want a `name` each, with which tags begin in place of `saliency`.
    """

    name = "saliency"

    def __init__(
        self,
        settings: SaliencyConfig | None = None,
        folder: str | Path | None = None,
        *,
        pictures: Pictures | None = None,
        max_overhead: float | None = MAX_OVERHEAD,
        name: str | None = None,
    ) -> None:
        self.settings = settings_of(self, settings, SaliencyConfig())
        every = self.settings.every if self.settings.images else 0
        super().__init__(every, self.settings.unit, max_overhead, pictures, folder, name)
        self.kept = Looks(None)
        self.strips = {"looks": self.kept}
        self.shown: Shown = []
        self.results: list[dict[str, Any]] = []

    def begin(self, trainer: Trainer, convnet: ConvNet) -> None:
        check_method(convnet, self.settings.method)

    def look(self, trainer: Trainer, module: LightningModule) -> None:
        self._add_column(trainer, self._explain_fixed(trainer, module), self.title(trainer))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        shown = self._explain_fixed(trainer, pl_module)
        steps = self.kept.steps()
        if steps and steps[-1] < trainer.global_step:
            self._add_column(trainer, shown, "end")
        self._show(trainer, shown)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        if self.given is None:
            convnet = convnet_of(pl_module, self.given)
            self.shown += [explain(convnet, picture, self.settings) for picture in batch["pictures"]]

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found, self.shown = _in_order(self.shown), []
        self._show(trainer, self._explain_fixed(trainer, pl_module) if self.given else found)

    def _explain_fixed(self, trainer: Trainer, module: LightningModule) -> Shown:
        convnet = convnet_of(module, self.given)
        pictures = self.pictures(trainer, self.settings.images)
        return _in_order([explain(convnet, picture, self.settings) for picture in pictures])

    def _add_column(self, trainer: Trainer, shown: Shown, heading: str) -> None:
        self.results = [row for row, _ in shown]
        if not trainer.is_global_zero or not shown:
            return
        earlier = self.kept.steps()
        maps = {str(row["index"]): _reduced(explanation.saliency) for row, explanation in shown}
        if earlier:
            covered = {str(row["index"]): explanation.coverage for row, explanation in shown}
            changed = drift(self.kept.read(earlier[-1])[1], maps, covered)
            log_numbers(trainer, {f"{self.name}/drift_{key}": value for key, value in changed.items()})
        self.kept.add(trainer, heading, maps)
        captions, first = {}, {}
        for row, explanation in shown:
            key = str(row["index"])
            name = slug(row["index"], row["class"] if row["labelled"] else "", 5)  # the best-scored class may change
            captions[key] = (name, explanation.caption)
            first[key] = ("picture", np.ascontiguousarray(explanation.frame.permute(1, 2, 0).cpu().numpy()))
        folder = self.folder / "films" if self.folder else None
        show_strips(trainer, self.kept, f"{self.name}/films", folder, captions, _drawn, first)

    def _show(self, trainer: Trainer, shown: Shown) -> None:
        self.results = [row for row, _ in shown]
        if not trainer.is_global_zero or not shown:
            return
        panels = [draw_explanation(explanation) for _, explanation in shown]
        overview = sheet(panels, min(2, len(panels)))
        show_picture(trainer, f"{self.name}/pictures", overview, self.folder and self.folder / "sheet.png")
        if self.folder is not None:
            for row, panel in zip(self.results, panels, strict=True):
                save_picture(panel, panel_file(self.folder, row["index"], row["image"]))


def _in_order(shown: Shown) -> Shown:
    """Those of all processes. A collective."""
    return sorted(gather(shown), key=lambda item: int(item[0]["index"]))


def _reduced(saliency: Tensor) -> NDArray[np.float16]:
    """As it is kept: small, and over its maximum, since a gradient may be too small for 16 bits."""
    small = shrink(saliency[None].float())[0]
    return np.asarray((small / (float(small.max()) or 1.0)).half().numpy())


def _drawn(kept: NDArray[np.float16]) -> Pixels:
    return heat(torch.from_numpy(kept.astype(np.float32)))


def drift(before: Arrays, now: Arrays, covered: Mapping[str, Tensor | None]) -> dict[str, float]:
    """The mean agreement of each picture's maps at two looks, where crops covered it, by the measure; 1: unchanged."""
    both = [key for key in now if key in before and now[key].shape == before[key].shape]
    pairs = [
        covered_part(torch.from_numpy(np.stack([before[key], now[key]])).float(), covered[key])[:, None] for key in both
    ]
    found = [agreement(*pair) for pair in pairs if min(pair.shape[-2:]) >= SMALLEST]
    if not found:
        return {}
    spearman, ssim = (torch.cat(values).nanmean() for values in zip(*found, strict=True))
    means = {"spearman": float(spearman), "ssim": float(ssim)}
    return {key: value for key, value in means.items() if value == value}  # NaN where every map was constant


def check_method(convnet: ConvNet, method: str) -> None:
    """Raises UserError where the method has no meaning for the net, whose layers it calls by their own names."""
    if method in RULES:
        side = convnet.preprocessing.crop
        blank = torch.zeros(1, 3, side, side, device=convnet.mean.device, dtype=convnet.dtype)
        saliency(convnet.net, blank, torch.zeros(1, dtype=torch.int64), method)


def explain(convnet: ConvNet, picture: WholePicture, settings: SaliencyConfig) -> tuple[dict[str, Any], Explanation]:
    """What there is to say of a picture (its class, score, posterior: means over crops) and its map for that class."""
    height, width = picture.frame.shape[-2:]
    image = picture.frame.to(convnet.mean.device, convnet.dtype) / 255
    crops = CROPS[settings.crops](height, width, convnet.preprocessing.crop)
    if len({(crop.top, crop.left, crop.side) for crop in crops}) == 1:  # the picture has the crop's size
        crops = list(dict.fromkeys(crops))

    def choose(scores: Tensor) -> Tensor:
        best = scores.softmax(1).mean(0).argmax()
        return best[None] if picture.label < 0 else torch.tensor([picture.label], device=scores.device)

    # As of the zero-centred picture.
    options: dict[str, Any] = {"baseline": convnet.mean} if settings.method in BASED else {}
    found = crop_saliency(
        convnet,
        image,
        crops,
        choose,
        settings.method,
        score=settings.score,
        reduction=settings.reduction,
        strategy="loop",  # the same maps in every process, whatever would be faster there
        **options,
    )
    label = int(found.classes)
    score, posterior = float(found.scores.mean(0)[label]), float(found.scores.softmax(1).mean(0)[label])
    name = convnet.classes.short_name(label)
    caption = f"{'' if picture.label >= 0 else f'{picture.name}: '}{name}   {scored(score, posterior)}"
    explanation = Explanation(picture.frame, found.maps[0].float().cpu(), caption, coverage=found.coverage.cpu())
    row = {"index": picture.index, "image": picture.name, "class_index": label, "class": name}
    return {**row, "labelled": picture.label >= 0, "score": score, "posterior": posterior}, explanation
