"""The saliency maps that callbacks show: of which class, with which numbers, how they are kept and compared."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from callbacks import Pictures, SaliencyMaps
from callbacks.saliency_maps import drift, explain
from deepinside.attribution.crops import CROPS, crop_saliency
from deepinside.classifier import Classifier
from deepinside.config import DataConfig, SaliencyConfig
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes
from deepinside.data.shapes import Shapes
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.words import scored

from .test_monitor import PICTURES, Net, events, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*predict returned None.*")
NAMES = ("ant", "bee", "cat")


def tiny(net: nn.Module | None = None) -> ConvNet:
    torch.manual_seed(0)
    net = net or nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    return ConvNet("tiny", net.eval(), Preprocessing((0.5,) * 3, (0.25,) * 3, 20, 16), Classes(NAMES, NAMES), ())


def photo(label: int, side: int = 24) -> WholePicture:
    frame = torch.randint(0, 256, (3, 20, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return WholePicture(frame, label, torch.zeros(0, 4), (20, side), "photo", 7)


@pytest.mark.parametrize("label", [0, 1, -1])
def test_a_picture_is_explained_as_its_settings_say(label: int) -> None:
    """For its own class, be it the first, or for the best-scored one."""
    convnet, picture = tiny(), photo(label)
    convnet.net[3].bias.data[2] += 3
    settings = SaliencyConfig(crops="square", method="guided", score="log_softmax", reduction="l2")
    row, shown = explain(convnet, picture, settings)
    crops, image = CROPS["square"](20, 24, 16), picture.frame.float() / 255
    index = label if label >= 0 else row["class_index"]
    options: dict[str, Any] = {"score": "log_softmax", "reduction": "l2"}
    found = crop_saliency(convnet, image, crops, lambda _: torch.tensor([index]), "guided", **options)
    chances = found.scores.softmax(1).mean(0)
    score, posterior = float(found.scores.mean(0)[index]), float(chances[index])
    assert label >= 0 or index == int(chances.argmax())
    torch.testing.assert_close(shown.saliency, found.maps[0])
    assert torch.equal(shown.coverage if shown.coverage is not None else image, found.coverage)
    assert not found.coverage.all()
    assert (row["index"], row["image"], row["class_index"], row["class"]) == (7, "photo", index, NAMES[index])
    assert (row["score"], row["posterior"]) == pytest.approx((score, posterior))
    assert row["labelled"] == (label >= 0)
    assert shown.caption == f"{'' if label >= 0 else 'photo: '}{NAMES[index]}   {scored(score, posterior)}"


def test_given_pictures_are_as_large_as_the_crops() -> None:
    at, module = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), Classifier(tiny())
    for height, width in ((16, 20), (15, 20), (20, 15)):
        images, labels = torch.rand(1, 3, height, width), torch.tensor([0])
        watcher = SaliencyMaps(pictures=Pictures(images, labels, (0.5,) * 3, (0.25,) * 3))
        if min(height, width) == 16:
            watcher.setup(at, module, "test")
        else:
            with pytest.raises(UserError, match=f"images are {height}x{width}, the ConvNet sees crops of 16x16"):
                watcher.setup(at, module, "test")


def test_a_method_without_meaning_for_the_net_is_told_at_the_start(tmp_path: Path) -> None:
    class Smooth(Net):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            raise AssertionError("training has begun")

    net = Smooth()
    net.body[1] = nn.GELU()
    with pytest.raises(UserError, match="gelu"):
        trainer(tmp_path, [SaliencyMaps(SaliencyConfig(method="guided"), pictures=PICTURES)], max_epochs=1).fit(
            net, loader(2)
        )


class BySide(nn.Module):
    """One class is sure of the left crop alone, the other a little better of all: by mean score the first is best."""

    def forward(self, images: Tensor) -> Tensor:
        left = images[:, :1, 0, 0] < -1  # the left half is black
        none = 0 * images.sum((1, 2, 3))[:, None]
        return torch.cat([torch.where(left, 30.0, 0.0), torch.full_like(none, 2.0), none - 9], 1) + none


def test_the_best_class_is_that_of_the_mean_posterior() -> None:
    frame = torch.full((3, 16, 32), 255, dtype=torch.uint8)
    frame[..., 0] = 0
    row, _ = explain(tiny(BySide()), WholePicture(frame, -1, torch.zeros(0, 4), (16, 32), "a", 0), SaliencyConfig())
    assert row["class"] == "bee"
    assert row["posterior"] < 0.9


@pytest.mark.parametrize(("scale", "largest"), [(1e-9, 1), (0.0, 0)])
def test_maps_are_kept_over_their_maximum(
    tmp_path: Path, scale: float, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 16 bits, of gradients too small for them; a blank one stays so."""
    net = Net()
    net.body[-1].weight.data *= scale
    monkeypatch.setattr(net, "configure_optimizers", lambda: torch.optim.SGD(net.parameters(), 0.0))
    watcher = SaliencyMaps(SaliencyConfig(images=1), pictures=PICTURES)
    trainer(tmp_path, [watcher], max_epochs=1).fit(net, loader(2))
    [kept] = watcher.kept.read(2)[1].values()
    assert (kept.dtype, kept.max()) == (np.float16, largest)
    assert np.isfinite(kept).all()


def test_drift_is_from_the_look_before(tmp_path: Path) -> None:
    watcher = SaliencyMaps(SaliencyConfig(images=2), pictures=PICTURES, max_overhead=None)
    trainer(tmp_path, [watcher], max_epochs=4).fit(Net(), loader(3))
    looks = [watcher.kept.read(step)[1] for step in (3, 6, 9, 12)]
    expected = [drift(*pair, dict.fromkeys(pair[0])) for pair in pairwise(looks)]
    for key in ("spearman", "ssim"):
        logged = events(tmp_path).Scalars(f"saliency/drift_{key}")
        assert [event.value for event in logged] == pytest.approx([one[key] for one in expected], abs=1e-5)


def test_drift_is_of_maps_that_can_be_compared() -> None:
    ramp = np.tile(np.arange(16, dtype=np.float16), (16, 1))
    blank, wide = np.zeros_like(ramp), np.zeros((16, 20), np.float16)
    none = dict.fromkeys("ab")
    assert drift({"a": ramp}, {"a": wide}, none) == {}
    assert drift({"a": blank}, {"a": blank}, none) == {"ssim": pytest.approx(1)}
    found = drift({"a": ramp, "b": blank}, {"a": ramp, "b": blank}, none)
    assert found == {"spearman": pytest.approx(1), "ssim": pytest.approx(1)}


@pytest.mark.parametrize(("every", "headings"), [(1, ["epoch 1", "epoch 2"]), (2, ["epoch 1", "end"])])
def test_the_end_is_a_column_where_it_was_not_looked_at(tmp_path: Path, every: int, headings: list[str]) -> None:
    watcher, net = SaliencyMaps(SaliencyConfig(every, images=1), pictures=PICTURES, max_overhead=None), Net()
    at = trainer(tmp_path, [watcher], max_epochs=2)
    at.fit(net, loader(3))
    at.test(net, loader(3), verbose=False)
    assert [watcher.kept.read(step)[0] for step in watcher.kept.steps()] == headings


def test_at_predict_all_pictures_are_shown_in_order_each_time_anew(tmp_path: Path) -> None:
    watcher, source = SaliencyMaps(SaliencyConfig(crops="one"), tmp_path), Shapes("val", 0, 11)
    convnet = ConvNet("tiny", tiny().net, Preprocessing((0.5,) * 3, (0.25,) * 3, 20, 16), source.classes, ())
    convnet.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10))
    quiet: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    data = PictureData(DataConfig(batch_size=4, workers=0), convnet, val=source)
    at = Trainer(callbacks=[watcher], logger=False, **quiet)
    for _ in range(2):
        at.predict(Classifier(convnet), data, return_predictions=False)
    assert [row["index"] for row in watcher.results] == list(range(11))
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "sheet.png"}
    assert len(list((tmp_path / "pictures").iterdir())) == 11
