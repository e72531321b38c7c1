"""Runs on data without boxes: what is recorded of each picture, its report, and a comparison of two such runs."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from callbacks import Classified
from callbacks.gathering import spread
from deepinside.classifier import Classifier
from deepinside.compare import compare
from deepinside.config import DataConfig, OptimConfig
from deepinside.data.folder import PictureFiles, PictureFolder
from deepinside.data.module import PictureData
from deepinside.data.picture import Picture
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.runs import Run, open_run

from . import trees
from .test_train import run

PICTURES, KEPT = 15, 9
SMALL = (
    *("model.name=shapes_convnet", "data.crop=64", "data.resize=70", "data.workers=0", "data.batch_size=16"),
    *("trainer.accelerator=cpu", "class_models.count=0", "saliency.images=0"),
    *("sanity.images=0", f"localisation.kept={KEPT}"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/a of one process and runs/b of two, which learns nothing, on seven classes of a colour each, with a broken
    picture among the 16 of validation."""
    folder = tmp_path_factory.mktemp("bare")
    root = folder / "pictures"
    for number, name in enumerate("abcdefg"):
        for i in range(40 if name == "g" else 20):
            trees.save(root / name / f"{i:02}.jpg", number)
    (root / "g" / "39.jpg").write_bytes(b"no picture")
    data = ("data.name=folder", f"data.root={root}")
    run("train.py", *data, *SMALL, "trainer.max_epochs=1", "seed=1", f"out={folder / 'runs' / 'a'}")
    two = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1", "optim.lr=0.0001")
    run("train.py", *data, *SMALL, "seed=2", *two, f"out={folder / 'runs' / 'b'}")
    return folder / "runs"


@pytest.mark.parametrize("name", ["a", "b"])
def test_records_average_to_metrics_json_and_to_the_curves(runs: Path, name: str) -> None:
    """Whether one process measured or two: every picture once, in order."""
    run = open_run(runs / name)
    assert run.pictures_folder == runs / name / "classification"
    assert [record.index for record in run.pictures] == list(range(PICTURES))
    assert len(run.metrics["unreadable"]) == 1
    assert run.metrics["images"] == PICTURES
    logged = EventAccumulator(str(runs / name), {"scalars": 0}).Reload()
    for error in ("top1_error", "top5_error"):
        mean = sum(record.classification[error] for record in run.pictures) / PICTURES
        assert mean == pytest.approx(run.metrics["classification"][error], abs=1e-12)
        assert mean == pytest.approx(logged.Scalars(f"test/{error}")[-1].value, abs=1e-6)
        low, high = run.metrics["intervals"]["classification"][error]
        assert low <= mean <= high
        assert 0 < high - low < 0.6


def test_records_hold_the_guesses(runs: Path) -> None:
    run = open_run(runs / "a")
    for record in run.pictures:
        assert (record.size, record.boxes, record.known_box, record.localisation) == ((24, 32), [], None, {})
        assert len({guess.class_id for guess in record.guesses}) == 5
        posteriors = [guess.posterior for guess in record.guesses]
        assert posteriors == sorted(posteriors, reverse=True)
        assert sum(posteriors) < 1
        ids = [guess.class_id for guess in record.guesses]
        assert record.classification == {
            "top1_error": float(ids[0] != record.class_id),
            "top5_error": float(record.class_id not in ids),
        }
        assert {guess.box for guess in record.guesses} == {None}
    assert [record.class_id for record in run.pictures] == [*"aabbccddeeffggg"]


def test_pictures_are_kept_without_maps(runs: Path) -> None:
    run = open_run(runs / "b")
    kept = [record for record in run.pictures if record.picture]
    assert [record.index for record in kept] == [i for i in spread(KEPT, PICTURES + 1) if i < PICTURES]
    folder = runs / "b" / "classification"
    assert {f"kept/{file.name}" for file in (folder / "kept").iterdir()} == {record.picture for record in kept}
    assert {record.saliency for record in run.pictures} == {None}
    with Image.open(folder / str(kept[0].picture)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (93, 70))


def test_the_report_has_a_gallery_of_classes_alone(runs: Path) -> None:
    run, page = open_run(runs / "a"), (runs / "a" / "report.html").read_text()
    kept = [record for record in run.pictures if record.picture]
    wrong = sum(record.classification["top1_error"] for record in kept)
    assert 0 < wrong < len(kept), "else nothing is told apart"
    assert page.count('<li class="card"') == page.count('<img class="photo"') == len(kept)
    assert page.count('data-kind-first="wrong_class"') == wrong
    assert page.count('data-kind-first="right_class"') == len(kept) - wrong
    for absent in ('id="map"', 'id="boxes"', 'id="view-map"', 'data-judge="first', 'class="heat"', "<rect", "IoU,"):
        assert absent not in page, absent
    about = json.loads(re.search(r'id="about">(.*?)</script>', page)[1])  # type: ignore[index]
    one = about[str(kept[0].index)]
    size = "32\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}24"
    assert one["lines"] == [f"{kept[0].image}, {size}", one["lines"][1]]
    assert re.fullmatch("first guess: (right|wrong) class", one["lines"][1])
    assert [guess["box"] for guess in one["guesses"]] == [None] * 5
    assert "Classification error, top-5" in page


def test_two_runs_are_compared(runs: Path, tmp_path: Path) -> None:
    folders = f"runs={runs / 'a'},{runs / 'b'}"
    said = run("analyse.py", "task=compare", folders, f"out={tmp_path / 'out'}").stdout
    assert "classification top-1 error" in said
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["images"] == PICTURES
    assert [(one["part"], one["name"]) for one in found["measures"]] == [
        ("classification", "top1_error"),
        ("classification", "top5_error"),
    ]
    first, second = ([r.classification["top1_error"] for r in open_run(runs / name).pictures] for name in "ab")
    test = found["measures"][0]["differences"][0]["mcnemar"]
    assert test["only_first"] == sum(x < y for x, y in zip(first, second, strict=True))
    assert test["only_this"] == sum(x > y for x, y in zip(first, second, strict=True))
    assert test["only_first"] + test["only_this"] > 0, "else nothing is compared"
    assert 0 < test["p"] <= 1
    assert {one["overlap"] for one in found["disagreements"]} == {None}
    page = (tmp_path / "out" / "report.html").read_text()
    kept = sum(record.picture is not None for record in open_run(runs / "a").pictures)
    assert page.count('<img class="photo"') == 2 * kept
    assert "Classification error, top-1" in page
    for absent in ('id="map"', 'id="boxes"', "least alike", "IoU", "<rect"):
        assert absent not in page, absent
    assert EventAccumulator(str(tmp_path / "out"), {"images": 0}).Reload().Tags()["images"] == ["compare/pictures"]


def test_the_advice_for_a_run_without_records_works(runs: Path, tmp_path: Path) -> None:
    """What two processes measured, one measures again."""
    old = tmp_path / "old"
    shutil.copytree(runs / "b", old)
    shutil.rmtree(old / "classification")
    with pytest.raises(UserError) as refusal:
        compare([open_run(runs / "a"), open_run(old)])
    [advice] = re.findall(r"`python train.py (resume=\S+)`", str(refusal.value))
    run("train.py", advice, "trainer.devices=1", "trainer.strategy=auto")
    again, before = open_run(old).pictures, open_run(runs / "b").pictures
    for one, other in zip(again, before, strict=True):
        assert (one.index, one.image, one.classification) == (other.index, other.image, other.classification)
        assert one.guesses[0].posterior == pytest.approx(other.guesses[0].posterior, abs=1e-5)
    assert len(compare([open_run(runs / "a"), open_run(old)]).measures) == 2


class Unlabelled(PictureFolder):
    """Nobody knows the class of every second picture."""

    def read(self, index: int) -> Picture:
        picture = super().read(index)
        return replace(picture, label=-1) if index % 2 else picture


def measured(folder: Path, source: PictureFolder, times: int = 1, **options: int) -> tuple[Classified, Run]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    convnet = ConvNet("tiny", net, Preprocessing((0.5,) * 3, (0.25,) * 3, 20, 16), source.classes, ())
    callback = Classified(folder, **({"kept": 3} | options))
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    data = PictureData(DataConfig(batch_size=3, workers=0), convnet, val=source)
    for _ in range(times):
        Trainer(callbacks=[callback], **quiet).test(Classifier(convnet, OptimConfig()), data, verbose=False)
    (folder / "config.yaml").write_text("seed: 0\n")
    return callback, open_run(folder)


def test_pictures_without_a_label_are_left_out(tmp_path: Path) -> None:
    """Whole batches of them too; with two classes there are two guesses. A second test finds what the first one did."""
    root = trees.class_folders(tmp_path / "pictures", {"cats": 80, "dogs": 40})
    callback, run = measured(tmp_path, Unlabelled(root, "val"), times=2, kept=8)
    assert [record.index for record in run.pictures] == list(range(0, 12, 2))
    assert callback.results["images"] == 6
    assert {len(record.guesses) for record in run.pictures} == {2}
    assert list(callback.results["classification"]) == ["top1_error"], "of two guesses one is right"
    for record in run.pictures:
        assert record.classification == {"top1_error": float(record.guesses[0].class_id != record.class_id)}
        assert sum(guess.posterior for guess in record.guesses) == pytest.approx(1)
    kept = [record.index for record in run.pictures if record.picture]
    assert kept == [i for i in spread(8, 12) if i % 2 == 0]


def test_nothing_to_measure_is_told(tmp_path: Path) -> None:
    root = trees.class_folders(tmp_path / "pictures", {"cats": 2, "dogs": 2})
    with pytest.raises(UserError, match="no validation picture with a label could be read"):
        measured(tmp_path, PictureFiles([str(root)], PictureFolder(root, "val").classes))
    for file in root.rglob("*.jpg"):
        file.write_bytes(b"no picture")
    with pytest.raises(UserError, match="no validation picture with a label could be read"):
        measured(tmp_path, PictureFolder(root, "val"))


def test_it_belongs_to_a_classifier() -> None:
    class Other(LightningModule):
        pass

    with pytest.raises(UserError, match="needs deepinside's Classifier"):
        Classified(Path("nowhere"), 0).setup(Trainer(logger=False), Other(), "test")
