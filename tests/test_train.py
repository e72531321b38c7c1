"""The real scripts in small: train, resume, two processes, analyses; what they leave on disk and in TensorBoard."""

import csv
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision import models as zoo

from callbacks.gathering import spread
from callbacks.training import _keep_run
from deepinside.checkpoint import first_lost_step
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig, TrainConfig
from deepinside.data.picture import Classes
from deepinside.endings import how_to_go_on
from deepinside.errors import UserError
from deepinside.folders import ANALYSIS_MARK, END, RUN_MARK, check_out, clear_last_end, clear_last_looks, clear_run
from deepinside.load_config import load_config
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.predictions import read_csv
from deepinside.records import read_records
from deepinside.runs import open_run

from . import trees

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "data.shapes_train=96",
    "data.shapes_val=26",
    "data.batch_size=32",
    "trainer.accelerator=cpu",
    "saliency.images=3",
    "class_models.count=3",
    "class_models.steps=4",
    "localisation.images=4",
    "localisation.pictures=2",
    "sanity.images=2",
)
EVERY = ("localisation.every=1", "class_models.every=1", "trainer.log_every_n_steps=1")


def run(script: str, *arguments: str, code: int = 0, limit: float = 900) -> subprocess.CompletedProcess[str]:
    """limit: seconds, after which the script's stacks tell where it hangs."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, str(ROOT / script), *arguments]
    process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environment)
    try:
        told, complained = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        told, complained = process.communicate(timeout=30)  # one that hangs in a driver does not even hear this
    finally:
        process.kill()
    assert process.returncode == code, (arguments, told[-1000:], complained[-6000:])
    assert "Traceback" not in complained
    return subprocess.CompletedProcess(command, process.returncode, told, complained)


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    done = run("train.py", *SMALL, *EVERY, "trainer.max_epochs=2", f"out={out}")
    assert f"results: {out}" in done.stdout
    assert "centre box" in done.stdout
    return out


def test_a_run_leaves_everything_that_was_promised(trained: Path) -> None:
    config = load_config(TrainConfig, [f"config={trained / 'config.yaml'}"], ROOT / "configs")
    assert (config.data.shapes_train, config.trainer.max_epochs) == (96, 2)
    assert {p.name for p in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    for name, count in (("class_models", 3), ("saliency_maps", 3), ("localisation", 2)):
        assert len(list((trained / name / "pictures").glob("*.png"))) == count
        with Image.open(trained / name / "sheet.png") as sheet:
            assert sheet.width > 240


def test_metrics_json_has_its_keys_and_they_agree(trained: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    rows = [metrics["localisation"], metrics["baselines"]["centre_box"], metrics["baselines"]["whole_image"]]
    for row in rows:
        assert {"top1_error", "top5_error", "gt_known_accuracy", "mean_iou"} <= set(row)
        assert row["top1_error"] >= metrics["classification"]["top1_error"]
        assert row["top5_error"] >= metrics["classification"]["top5_error"]
        assert row["top1_error"] >= row["top5_error"]
    assert metrics["images"] == metrics["localisation"]["images"] == 26
    assert metrics["classes"] == 10
    assert metrics["images_per_second"] > 0
    assert metrics["unreadable"] == []


def test_predictions_csv_reproduces_the_metrics(trained: Path) -> None:
    with (trained / "localisation" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "image",
        "rank",
        "class_index",
        "wnid",
        "score",
        "xmin",
        "ymin",
        "xmax",
        "ymax",
        "iou",
        "correct",
    ]
    pictures = {row["image"] for row in rows}
    assert len(rows) == 5 * 26
    assert len(pictures) == 26
    right = {name: [int(r["correct"]) for r in rows if r["image"] == name] for name in pictures}
    localisation = read_json(trained / "metrics.json")["localisation"]
    assert localisation["top1_error"] == pytest.approx(1 - sum(r[0] for r in right.values()) / 26)
    assert localisation["top5_error"] == pytest.approx(1 - sum(any(r) for r in right.values()) / 26)
    for low, high in (("xmin", "xmax"), ("ymin", "ymax")):
        assert all(0 <= int(r[low]) <= int(r[high]) < 70 for r in rows)
    assert all((float(r["iou"]) >= 0.5) or not int(r["correct"]) for r in rows)


def test_tensorboard_holds_curves_and_pictures(trained: Path) -> None:
    logged = events(trained)
    for tag in ("train/loss", "val/top1_error", "val/top5_error", "test/top1_error", "localisation/gt_known_accuracy"):
        assert tag in logged.Tags()["scalars"], tag
    assert [e.step for e in logged.Scalars("val/top1_error")] == [2, 5]
    assert [e.step for e in logged.Scalars("localisation_centre_box/gt_known_accuracy")] == [3, 6]
    assert [e.step for e in logged.Scalars("test_localisation/mean_iou")] == [6]
    tags = logged.Tags()["images"]
    films = [tag for tag in tags if tag.startswith(("saliency/films/", "class_models/growth/"))]
    assert len(films) == 6
    for tag in films:
        assert [e.step for e in logged.Images(tag)] == [3, 6]
    assert len(logged.Images("saliency/pictures")) == 1  # the test
    assert len(logged.Images("class_models/sheet")) == 1
    assert len(logged.Images("localisation/pictures")) == 1


def told_tags() -> list[str]:
    """The README's tags as patterns; a name alone, as `ssim` behind `sanity/spearman`, is of the same group."""
    table = (ROOT / "README.md").read_text().partition("| tag in TensorBoard |")[2].partition("\n\n")[0]
    told = []
    for row in table.splitlines():
        group = ""
        for name in re.findall(r"`([^`]+)`", row):
            told += [name] if "/" in name else [name, f"{group}/{name}"]
            group = name.partition("/")[0] if "/" in name else group
    return [re.sub(r"<\w+>", "*", name) for name in told]


def test_every_tag_is_in_the_readme(trained: Path) -> None:
    tags = events(trained).Tags()
    texts = [tag.removesuffix("/text_summary") for tag in tags["tensors"] if tag.endswith("/text_summary")]
    found = {*tags["scalars"], *tags["images"], *texts} - {"epoch"}
    assert {"val/images", "sanity_chance/ssim", "class_models/table"} <= found
    assert [tag for tag in sorted(found) if not any(fnmatch(tag, told) for told in told_tags())] == []


def test_checkpoint_loads_with_weights_only(trained: Path) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["deepinside"]["model"] == "shapes_convnet"
    assert checkpoint["deepinside"]["preprocessing"]["crop"] == 64


def test_a_run_is_not_overwritten_unasked(trained: Path) -> None:
    before = (trained / "metrics.json").read_bytes()
    done = run("train.py", *SMALL, f"out={trained}", code=2)
    assert done.stderr.count("\n") == 1
    assert f"resume={trained}" in done.stderr
    assert (trained / "metrics.json").read_bytes() == before


def test_a_run_that_replaces_another_takes_its_analysis_of_boxes_away(tmp_path: Path) -> None:
    """localise/ holds records of the old net, which a comparison would take for the new one's."""
    for name in ("localise", "class_model"):
        trees.write(tmp_path / name / "pictures.jsonl", "")
    (tmp_path / RUN_MARK).touch()
    prepare_folder(TrainConfig(overwrite=True), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"class_model", RUN_MARK}


def prepare_folder(config: TrainConfig, out: Path) -> None:
    check_out(config, out)
    clear_run(config, out).close()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("saliency_maps/thesis.txt", "holds files that no run made"),
        ("config.yaml", "holds files that no run made"),
        (ANALYSIS_MARK, "holds files that no run made"),
        ("checkpoints/best.ckpt", "holds a run"),
    ],
)
def test_files_that_no_run_made_are_never_removed(file: str, words: str, tmp_path: Path) -> None:
    trees.write(tmp_path / file, "mine")
    with pytest.raises(UserError, match=words):
        prepare_folder(TrainConfig(), tmp_path)
    with pytest.raises(UserError, match="holds files that no run made"):
        prepare_folder(TrainConfig(overwrite=True), tmp_path)
    assert (tmp_path / file).read_text() == "mine"


def test_of_the_last_end_nothing_stays_that_would_pass_for_the_new_one(tmp_path: Path) -> None:
    old = (
        "localisation/pictures.jsonl",
        "localisation/predictions.csv",
        "class_models/films/a.png",
        "sanity_check/s.png",
        f"events.out.tfevents.2.host{END}",
    )
    growing = (
        "class_models/growth/a.png",
        "saliency_maps/films/a.png",
        "saliency_maps/looks/3.npz",
        "events.out.tfevents.1.host",
    )
    for file in (*old, *growing):
        trees.write(tmp_path / file, "")
    clear_last_looks(tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")} == set(growing)


def test_before_a_net_changes_what_was_measured_of_it_goes(tmp_path: Path) -> None:
    old = ("metrics.json", "report.html", "localise/pictures.jsonl", "localisation/pictures.jsonl")
    kept = ("provenance.json", "config.yaml", "checkpoints/last.ckpt", "class_model/pictures/0001_a.png")
    for file in (*old, *kept):
        trees.write(tmp_path / file, "")
    clear_last_end(tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")} == set(kept)


def test_what_was_measured_stays_until_an_epoch_has_changed_the_net(tmp_path: Path) -> None:
    """A resume that is stopped, or fails, before its first epoch is done has lost nothing."""
    before, _ = _keep_run(TrainConfig(), tmp_path, [])
    metrics = trees.write(tmp_path / "metrics.json", "{}")
    trainer: Any = SimpleNamespace(is_global_zero=True, global_step=3, save_checkpoint=lambda _: None)
    module: Any = torch.nn.Linear(2, 2)
    before.on_train_start(trainer, module)
    assert metrics.exists()
    before.on_train_epoch_end(trainer, module)
    assert not metrics.exists()


def test_a_run_may_begin_beside_analyses_and_where_it_was_stopped(tmp_path: Path) -> None:
    trees.write(tmp_path / "class_model" / ANALYSIS_MARK, "")
    prepare_folder(TrainConfig(), tmp_path)
    trees.write(tmp_path / "metrics.json", "{}")
    prepare_folder(TrainConfig(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"class_model", RUN_MARK}


def as_of_a_gpu(checkpoint: Path) -> None:
    """The file as a run on a GPU writes it: its tensors name the device that they were on."""
    content = torch.load(checkpoint, weights_only=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        torch.save(content, checkpoint)


def test_what_a_stopped_run_of_a_gpu_holds_is_told_without_one(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    last = tmp_path / "checkpoints" / "last.ckpt"
    as_of_a_gpu(last)
    assert first_lost_step(last) == first_lost_step(trained / "checkpoints" / "last.ckpt")
    assert "holds epoch 2 of 3" in how_to_go_on(tmp_path, 3, measuring=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_resume_goes_on_where_it_stopped(workers: int, tmp_path: Path) -> None:
    """One epoch, then a second by resume: the same net as from two epochs at a stretch, logged where it belongs."""
    steady = ("optim.schedule=step", "optim.step_epochs=1", "optim.factor=0.5")  # a cosine needs to know its end
    same = (*SMALL, "class_models.count=2", "saliency.images=0", "localisation.enabled=false", *steady)
    same = (*same, f"data.workers={workers}")
    run("train.py", *same, "trainer.max_epochs=2", f"out={tmp_path / 'whole'}")
    run("train.py", *same, "trainer.max_epochs=1", f"out={tmp_path / 'parts'}")
    as_of_a_gpu(tmp_path / "parts" / "checkpoints" / "last.ckpt")  # it goes on without one, too
    analysis = trees.write(tmp_path / "parts" / "localise" / "pictures.jsonl", "")  # of a net that will be another
    done = run("train.py", f"resume={tmp_path / 'parts'}", "trainer.max_epochs=2", "class_models.count=1")
    assert "goes on with trainer.max_epochs=2 (was 1), class_models.count=1 (was 2)" in done.stdout
    assert not analysis.exists()
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    assert parts["epoch"] == 1
    assert parts["global_step"] == whole["global_step"] == 6
    assert [e.step for e in events(tmp_path / "parts").Scalars("val/top1_error")] == [2, 5]
    assert parts["state_dict"].keys() == whole["state_dict"].keys()
    assert all(torch.equal(parts["state_dict"][key], value) for key, value in whole["state_dict"].items())
    assert read_json(tmp_path / "parts" / "metrics.json")["images"] == 26
    assert len(list((tmp_path / "parts" / "class_models" / "pictures").glob("*.png"))) == 1  # not those of before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.name=squeezenet1_1"], "model.name stays shapes_convnet"),
        (["optim.schedule=plateau"], "optim.schedule stays cosine"),
        (["name=other"], "without out, name and overwrite"),
        (["overwrite=true"], "without out, name and overwrite"),
        (["config"], "without out, name and overwrite"),
        (["trainer.max_steps=0"], "trainer.max_steps=0"),
        (["trainer.limit_val_batches=0"], "trainer.limit_val_batches=0"),
        (["trainer.limit_val_batches=true"], "trainer.limit_val_batches=True must be a share in"),
        (["trainer.limit_train_batches=abc"], "trainer.limit_train_batches=abc must be a share in"),
    ],
)
def test_a_refused_resume_leaves_the_run_as_it_was(
    trained: Path, arguments: list[str], words: str, tmp_path: Path
) -> None:
    if arguments == ["config"]:
        arguments = [f"config={trees.write(tmp_path / 'own.yaml', 'name: other')}"]
    before = (trained / "config.yaml").read_text()
    with pytest.raises(UserError, match=words):
        runpy.run_path(str(ROOT / "train.py"))["main"]([f"resume={trained}", *arguments])
    assert (trained / "config.yaml").read_text() == before


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("resume=latest", "resume=latest: there is no run in runs"),
        ("resume=", "name= and resume= take a value"),
        ("name=", "name= and resume= take a value"),
        ("name=../evil", "it must be without '/'"),
        ("name=..", "it must be without '/'"),
        ("name=a,b", "out= and name= are without commas"),
        ("out=runs/a,b", "out= and name= are without commas"),
        ("trainer.profiler=simpel", "did you mean 'simple'"),
    ],
)
def test_mistakes_are_told_before_anything_begins(
    argument: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        runpy.run_path(str(ROOT / "train.py"))["main"]([argument])
    assert not any(tmp_path.iterdir())


def test_a_validation_split_that_cannot_be_read_is_told_before_training(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "data", {"ape": 12, "cat": 12})
    for file in (tmp_path / "data").rglob("09.jpg"):  # every tenth picture is validation
        file.write_bytes(b"no picture")
    data = ("data.name=folder", f"data.root={tmp_path / 'data'}", "model.name=shapes_convnet")
    done = run("train.py", *data, f"out={tmp_path / 'out'}", code=2)
    assert "no picture can be read, of all 2" in done.stderr
    assert not (tmp_path / "out").exists()


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "data", {"cat": 12})
    data = ("data.name=folder", f"data.root={tmp_path / 'data'}", "model.name=shapes_convnet")
    done = run("train.py", *data, f"out={tmp_path / 'out'}", code=2)
    assert "has one class, cat: there is nothing to tell apart" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_resume_with_other_classes_leaves_the_run_as_it_was(trained: Path, tmp_path: Path) -> None:
    before, logged = (trained / "config.yaml").read_text(), sorted(trained.glob("events*"))
    trees.class_folders(tmp_path, {"ape": 3, "cat": 3})
    other = ("data.name=folder", f"data.root={tmp_path}", "trainer.max_epochs=3")
    done = run("train.py", f"resume={trained}", *other, code=2)
    assert "holds another net than" in done.stderr.splitlines()[-1]
    assert (trained / "config.yaml").read_text() == before
    assert sorted(trained.glob("events*")) == logged


def test_a_resume_with_as_many_but_other_classes_is_refused(trained: Path, tmp_path: Path) -> None:
    trees.class_folders(tmp_path, {f"{i}_thing": 3 for i in range(10)})
    weights = (trained / "checkpoints" / "last.ckpt").read_bytes()
    other = ("data.name=folder", f"data.root={tmp_path}", "trainer.max_epochs=3")
    done = run("train.py", f"resume={trained}", *other, code=2)
    assert "the run has another class, disc, where the data have 0_thing" in done.stderr.splitlines()[-1]
    assert (trained / "checkpoints" / "last.ckpt").read_bytes() == weights


def test_a_moved_run_knows_its_best_epoch(trained: Path, tmp_path: Path) -> None:
    """It is told that the best was perfect, so that no epoch to come can be better."""
    shutil.copytree(trained, tmp_path / "moved")
    last, best = (tmp_path / "moved" / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    content = torch.load(last, weights_only=True)
    (key,) = (key for key in content["callbacks"] if key.startswith("ModelCheckpoint"))
    state = content["callbacks"][key]
    state["best_model_score"] = state["kth_value"] = torch.tensor(0.0)
    state["best_k_models"] = {path: torch.tensor(0.0) for path in state["best_k_models"]}
    torch.save(content, last)
    before = best.read_bytes()
    done = run("train.py", f"resume={tmp_path / 'moved'}", "trainer.max_epochs=3", "class_models.every=0")
    assert "dirpath" not in done.stderr
    assert best.read_bytes() == before
    state = torch.load(last, weights_only=True)["callbacks"][key]
    assert state["best_k_models"] == {str(best): torch.tensor(0.0)}


def test_a_moved_run_without_its_best_epoch_finds_another(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "moved")
    best = tmp_path / "moved" / "checkpoints" / "best.ckpt"
    best.unlink()
    done = run("train.py", f"resume={tmp_path / 'moved'}", "trainer.max_epochs=3", "class_models.every=0")
    assert "dirpath" not in done.stderr
    assert torch.load(best, weights_only=True)["epoch"] == 2


def test_the_end_of_a_run_is_logged_once_however_often_it_is_resumed(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    once = events(trained)
    for epochs in (2, 3):
        done = run("train.py", f"resume={tmp_path / 'run'}", f"trainer.max_epochs={epochs}", "class_models.every=0")
        assert ("nothing is left to train: all 2 epochs are done" in done.stdout) == (epochs == 2)
        found = events(tmp_path / "run")
        for tag in (tag for tag in found.Tags()["scalars"] if tag.startswith(("test", "sanity"))):
            assert len(found.Scalars(tag)) == len(once.Scalars(tag)), tag
        assert [e.step for e in found.Scalars("test/top1_error")] == [3 * epochs]
        assert [e.step for e in found.Scalars("val/top1_error")] == [3 * epoch - 1 for epoch in range(1, epochs + 1)]
        assert len(found.Images("class_models/sheet")) == 1


def test_what_ended_a_training_early_is_said(tmp_path: Path) -> None:
    """Three steps an epoch."""
    bare = (*SMALL, "class_models.count=0", "saliency.images=0", "sanity.images=0", "localisation.enabled=false")
    done = run("train.py", *bare, "trainer.max_epochs=3", "trainer.max_steps=4", f"out={tmp_path / 'run'}")
    assert (
        "trainer.max_steps=4 ended the training at step 4, in epoch 2, whose rest a resumed run leaves out\n"
        in done.stdout
    )
    analysis = trees.write(tmp_path / "run" / "localise" / "pictures.jsonl", "")  # of this very net
    done = run("train.py", f"resume={tmp_path / 'run'}")
    assert "nothing is left to train: trainer.max_steps=4 are done\n" in done.stdout
    assert analysis.exists()
    done = run("train.py", f"resume={tmp_path / 'run'}", "trainer.max_steps=-1", "trainer.max_time=00:00:00:00")
    assert "nothing is left to train: trainer.max_time=00:00:00:00 is used up" in done.stdout
    done = run("train.py", f"resume={tmp_path / 'run'}", "trainer.max_time=00:01:00:00")
    assert "epoch 3/3" in done.stdout
    assert "to train" not in done.stdout
    assert "ended the training" not in done.stdout


def test_frozen_layers_need_weights(tmp_path: Path) -> None:
    done = run("train.py", *SMALL, "optim.freeze=true", f"out={tmp_path / 'run'}", code=2)
    assert done.stderr.startswith("error: optim.freeze=true needs model.weights=")
    assert not (tmp_path / "run").exists()


def test_a_run_is_of_one_process(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    out, last = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt"
    with clear_run(TrainConfig(resume=str(out)), out):
        for arguments in ((*SMALL, f"out={out}", "overwrite=true"), (f"resume={out}", "trainer.max_epochs=3")):
            done = run("train.py", *arguments, code=2)
            assert "is being trained by another process" in done.stderr.splitlines()[-1]
        assert last.read_bytes() == (trained / "checkpoints" / "last.ckpt").read_bytes()
    clear_run(TrainConfig(overwrite=True), out).close()
    assert not last.exists()


def test_what_is_printed_can_be_pasted_and_a_profile_is_left(tmp_path: Path) -> None:
    bare = (*SMALL, "class_models.count=0", "saliency.images=0", "sanity.images=0", "localisation.enabled=false")
    done = run("train.py", *bare, "trainer.max_epochs=1", "trainer.profiler=simple", f"out={tmp_path / 'my run'}")
    look, deeper = (line for line in done.stdout.splitlines() if line.startswith(("look:", "deeper:")))
    assert shlex.split(look)[:4] == ["look:", "tensorboard", "--logdir", str(tmp_path / "my run")]
    assert f"run={tmp_path / 'my run'}" in shlex.split(deeper)
    names = {path.name for path in (tmp_path / "my run").iterdir()}
    assert {"fit-profile.txt", "test-profile.txt", "config.yaml"} <= names
    assert "hparams.yaml" not in names
    assert "run_training_epoch" in (tmp_path / "my run" / "fit-profile.txt").read_text()
    refused = run(
        "train.py", *SMALL, "trainer.limit_val_batches=0.3", f"out={tmp_path / 'my run'}", "overwrite=true", code=2
    )
    assert refused.stderr == "error: trainer.limit_val_batches=0.3 of 1 batch is less than one\n"
    assert {path.name for path in (tmp_path / "my run").iterdir()} == names


def test_torchs_profiler_leaves_a_net_that_can_be_copied(tmp_path: Path) -> None:
    small = ("class_models.count=1", "class_models.blur=0.5", "saliency.images=0", "localisation.enabled=false")
    run("train.py", *SMALL, *small, "trainer.max_epochs=1", "trainer.profiler=pytorch", f"out={tmp_path / 'run'}")
    assert read_json(tmp_path / "run" / "metrics.json")["sanity"]
    assert list((tmp_path / "run").glob("fit-profile*"))


def test_resume_needs_a_run(tmp_path: Path) -> None:
    done = run("train.py", f"resume={tmp_path}", code=2)
    assert "config.yaml" in done.stderr


@pytest.mark.parametrize("devices", [2])
def test_two_processes_evaluate_every_picture_once(tmp_path: Path, devices: int) -> None:
    """27 pictures on two processes are neither 26 nor 28."""
    odd = [a for a in SMALL if not a.startswith("data.shapes_val")]
    ddp = (f"trainer.devices={devices}", "trainer.strategy=ddp", "trainer.max_epochs=1", "data.shapes_val=27")
    run("train.py", *odd, *ddp, *EVERY, f"out={tmp_path}")
    assert read_json(tmp_path / "metrics.json")["images"] == 27
    with (tmp_path / "localisation" / "predictions.csv").open() as file:
        names = [row["image"] for row in csv.DictReader(file) if row["rank"] == "1"]
    assert names == sorted(names)
    assert len(set(names)) == len(names) == 27
    records = read_records(tmp_path / "localisation" / "pictures.jsonl")
    assert [record.image for record in records] == names
    kept = {str(file) for record in records for file in (record.picture, record.saliency)}
    assert kept == {f"kept/{path.name}" for path in (tmp_path / "localisation" / "kept").iterdir()}
    assert len(kept) == 2 * 27
    logged = events(tmp_path)
    assert [e.value for e in logged.Scalars("val/images")] == [27.0]
    assert [e.value for e in logged.Scalars("test/images")] == [27.0]
    assert len(list((tmp_path / "class_models" / "pictures").glob("*.png"))) == 3
    assert len(logged.Images("saliency/pictures")) == 1
    same = ("task=localise", f"run={tmp_path}", f"out={tmp_path / 'alone'}", "trainer.accelerator=cpu")
    run("analyse.py", *same)
    together, alone = read_json(tmp_path / "metrics.json"), read_json(tmp_path / "alone" / "metrics.json")
    assert alone["images"] == 27
    for key in ("localisation", "classification"):
        assert alone[key] == pytest.approx(together[key])
    assert alone["baselines"]["centre_box"] == pytest.approx(together["baselines"]["centre_box"])
    assert alone["errors"] == together["errors"]
    for row in ("classification", "localisation", "minus_centre_box"):
        for measure, numbers in alone["intervals"][row].items():
            assert numbers == pytest.approx(together["intervals"][row][measure], abs=1e-4)


def test_analyse_class_model(trained: Path, tmp_path: Path) -> None:
    arguments = (
        "task=class_model",
        f"run={trained}",
        "classes=star,1",
        "class_models.steps=3",
        "trainer.accelerator=cpu",
    )
    done = run("analyse.py", *arguments, f"out={tmp_path}")
    assert str(tmp_path) in done.stdout
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {"0004_star.png", "0001_ring.png"}
    assert [c["class"] for c in read_json(tmp_path / "metrics.json")["classes"]] == ["star", "ring"]
    assert len(events(tmp_path).Images("class_models/sheet")) == 1


def test_analyse_saliency_of_photographs(trained: Path, tmp_path: Path) -> None:
    Image.new("RGB", (90, 130), (200, 30, 30)).save(tmp_path / "photo.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    paths = f"images={tmp_path}/photo.jpg,{tmp_path}/broken.jpg"
    done = run(
        "analyse.py", "task=saliency", f"run={trained}", paths, f"out={tmp_path / 'out'}", "trainer.accelerator=cpu"
    )
    assert "broken" in done.stdout + done.stderr
    metrics = read_json(tmp_path / "out" / "metrics.json")
    assert [row["image"] for row in metrics["pictures"]] == ["photo"]
    assert len(metrics["unreadable"]) == 1
    assert [p.name for p in (tmp_path / "out" / "pictures").iterdir()] == ["00000_photo.png"]


def test_the_last_checkpoint_knows_which_was_the_best(trained: Path) -> None:
    """Else a resumed run would take whatever comes for better."""
    states = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    [best] = [state for name, state in states.items() if name.startswith("ModelCheckpoint")]
    curve = EventAccumulator(str(trained)).Reload().Scalars("val/top1_error")
    assert float(best["best_model_score"]) == pytest.approx(min(event.value for event in curve))
    assert Path(best["best_model_path"]).name == "best.ckpt"


def test_boxes_in_photographs(trained: Path, tmp_path: Path) -> None:
    """Found and not scored, in pixels of the upright picture; a table, panels, predictions.csv and a report."""
    (tmp_path / "mine").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    drawn = Image.new("RGB", (130, 90), (40, 120, 60))
    drawn.paste((220, 40, 40), (20, 30, 60, 70))
    drawn.save(tmp_path / "mine" / "turned.jpg", exif=turned)
    drawn.save(tmp_path / "mine" / "plain.jpg")
    (tmp_path / "mine" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "mine" / "more").mkdir()
    drawn.save(tmp_path / "mine" / "more" / "[b]plain.png")
    out = tmp_path / "out"
    options = ("localisation.preset=vgg", "trainer.accelerator=cpu", f"out={out}")
    done = run("analyse.py", "task=localise", f"run={trained}", f"images={tmp_path / 'mine'},", *options)
    metrics = read_json(out / "metrics.json")
    assert [row["image"] for row in metrics["pictures"]] == ["[b]plain", "plain", "turned"]
    assert len(metrics["unreadable"]) == 1
    guesses = read_csv(out / "predictions.csv")
    assert {name: len(found.ids) for name, found in guesses.items()} == {"[b]plain": 5, "plain": 5, "turned": 5}
    for row, (width, height) in zip(metrics["pictures"], ((130, 90), (130, 90), (90, 130)), strict=True):
        box = [row[edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
        assert guesses[row["image"]].boxes[0].tolist() == [*box[:2], box[2] + 1, box[3] + 1]
        assert 0 <= box[0] <= box[2] < width
        assert 0 <= box[1] <= box[3] < height
        assert row["class"] in done.stdout
    assert "boxes found in 3 pictures, not scored" in done.stdout
    assert "[b]plain" in done.stdout
    panels = sorted(path.name for path in (out / "pictures").iterdir())
    assert len(panels) == 3
    report = (out / "report.html").read_text()
    assert all(f"pictures/{quote(name)}" in report for name in panels)
    none = subprocess.run(
        [sys.executable, str(ROOT / "analyse.py"), "task=localise", "images=photo.jpg", "boxes=x", f"run={trained}"],
        capture_output=True,
        text=True,
    )
    assert none.returncode == 2
    assert "boxes= and predictions= score files without one" in none.stderr


def test_pictures_that_no_analysis_made_are_never_deleted(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    mine = [tmp_path / "a.png", tmp_path / "pictures" / "b.png"]
    for file in mine:
        Image.new("RGB", (90, 130), (200, 30, 30)).save(file)
    arguments = ("task=saliency", f"run={trained}", f"images={tmp_path}/*.png", "trainer.accelerator=cpu")
    done = run("analyse.py", *arguments, f"out={tmp_path}", code=2)
    assert "holds files that no analysis made" in done.stderr
    assert sorted(file for file in tmp_path.rglob("*") if file.is_file()) == mine


@pytest.mark.parametrize("task", ["saliency", "relation"])
def test_only_the_chosen_pictures_are_decoded(task: str, tmp_path: Path) -> None:
    """All but two of twenty validation pictures are broken: nobody notices, and the two keep their own indices."""
    chosen = spread(2, 20)
    for split, count in (("train", 1), ("val", 20)):
        (tmp_path / split / "disc").mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (80, 90), (9 * i, 30, 30)).save(tmp_path / split / "disc" / f"{i:02d}.png")
            if split == "val" and i not in chosen:
                (tmp_path / split / "disc" / f"{i:02d}.png").write_bytes(b"broken")
    torch.manual_seed(0)
    convnet = ConvNet(
        "shapes_convnet",
        shapes_convnet(1),
        Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64),
        Classes(("disc",), ("disc",)),
        (),
    )
    content = {"state_dict": Classifier(convnet).state_dict(), "deepinside": convnet.description()}
    torch.save(content, tmp_path / "net.ckpt")
    run(
        "analyse.py",
        *(f"task={task}", f"{task}.images=2", "data.name=folder", f"data.root={tmp_path}", "data.workers=0"),
        *("model.name=shapes_convnet", f"model.weights={tmp_path}/net.ckpt", "trainer.accelerator=cpu"),
        f"out={tmp_path / 'out'}",
    )
    metrics = read_json(tmp_path / "out" / "metrics.json")
    assert metrics["unreadable"] == []
    assert [row["index"] for row in metrics["pictures"]] == chosen


def test_analysis_lands_in_the_run_by_default(trained: Path) -> None:
    of_training = {path: path.read_bytes() for path in trained.glob("saliency_maps/**/*.png")}
    run("analyse.py", "task=saliency", f"run={trained}", "saliency.images=2", "trainer.accelerator=cpu")
    assert len(read_json(trained / "saliency" / "metrics.json")["pictures"]) == 2
    reloaded = load_config(AnalyseConfig, [f"config={trained / 'saliency' / 'config.yaml'}"], ROOT / "configs")
    assert reloaded.task == "saliency"
    assert len(of_training) >= 4
    assert all(path.read_bytes() == content for path, content in of_training.items())
    done = run("analyse.py", "task=saliency", f"run={trained}", f"images={ROOT / 'README.md'}", code=2)
    assert "no picture can be read, of all 1" in done.stderr
    assert len(read_json(trained / "saliency" / "metrics.json")["pictures"]) == 2  # the earlier results stay


def test_analyses_heed_what_a_configuration_file_says(trained: Path, tmp_path: Path) -> None:
    trees.write(tmp_path / "own.yaml", f"run: {trained}\nmodel: {{weights: /absent.pth}}\n")
    done = run("analyse.py", "task=saliency", f"config={tmp_path / 'own.yaml'}", code=2)
    assert "model.weights=/absent.pth is neither a file" in done.stderr


def test_pictures_without_boxes_are_classified_and_it_is_said(trained: Path, tmp_path: Path) -> None:
    listed = trees.write(tmp_path / "blacklist.txt", "\n".join(f"shape_val_{i:06d}" for i in range(26)))
    few = ("localisation.pictures=1", "localisation.gallery=0", "trainer.accelerator=cpu")
    out = tmp_path / "out"
    given = ("task=localise", f"run={trained}", f"localisation.blacklist={listed}", f"out={out}")
    done = run("analyse.py", *given, *few)
    assert "none of the pictures measured has a box" in done.stderr
    assert "nan" not in done.stdout
    assert set(read_json(out / "metrics.json")) >= {"images", "classification"}
    assert "localisation" not in read_json(out / "metrics.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("task=localise",), "nothing to analyse"),
        (("task=localize",), "did you mean"),
        (("task=class_model", "classes=unicorn"), "no class 'unicorn'"),
        (("task=saliency", "images=absent.jpg"), "absent.jpg"),
        (("task=saliency", "trainer.accelerator=gpuu"), "gpuu"),
        (("task=saliency", "trainer.devices=none"), "trainer"),
        (("task=saliency", "saliency.images=0"), "no pictures to look at"),
    ],
)
def test_mistakes_end_in_one_line(trained: Path, arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    given = arguments if words in ("nothing to analyse", "did you mean") else (*arguments, f"run={trained}")
    with pytest.raises(UserError, match=words) as told:
        runpy.run_path(str(ROOT / "analyse.py"))["main"]([*given, f"out={tmp_path / 'x'}"])
    assert "\n" not in str(told.value)


def test_the_line_is_all_that_is_said_on_stderr(trained: Path, tmp_path: Path) -> None:
    done = run("analyse.py", "task=saliency", "images=absent.jpg", f"run={trained}", f"out={tmp_path / 'x'}", code=2)
    assert re.fullmatch(r"error: .*absent\.jpg.*\n", done.stderr)


def test_fine_tuning_on_a_real_tree_with_a_broken_picture(tmp_path: Path) -> None:
    """Three classes, a file of weights with a thousand, one validation picture broken: it is told, boxes are scored.
    With three guesses no class can be missed: no such error is told, but that of their boxes is."""
    root, weights, out = trees.official(tmp_path / "tree"), tmp_path / "weights.pth", tmp_path / "run"
    broken = root / "ILSVRC" / "Data" / "CLS-LOC" / "val" / "ILSVRC2012_val_00000002.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    torch.save(zoo.squeezenet1_1().state_dict(), weights)
    done = run(
        "train.py",
        *("data.name=ilsvrc", f"data.root={root}", "data.crop=64", "data.resize=72", "data.workers=1"),
        *("model.name=squeezenet1_1", f"model.weights={weights}", "optim.freeze=true"),
        *("trainer.max_epochs=1", "trainer.accelerator=cpu", "class_models.steps=2", f"out={out}"),
    )
    assert "has 1000 classes, the new head classifier.1.weight, classifier.1.bias has 3;" in done.stdout
    assert "ILSVRC2012_val_00000002" in done.stderr
    metrics = read_json(out / "metrics.json")
    assert (metrics["images"], metrics["localisation"]["images"], len(metrics["unreadable"])) == (2, 2, 1)
    errors = [f"top{k}_error" for k in (1, 2)]
    for part in (metrics["classification"], metrics["intervals"]["classification"]):
        assert [name for name in part if name.endswith("_error")] == errors
    assert "top5_error" in metrics["localisation"]
    assert [list(record.classification) for record in open_run(out).pictures] == [errors] * 2
    tags = EventAccumulator(str(out)).Reload().Tags()["scalars"]
    assert {tag for tag in tags if tag.startswith(("val/top", "test/top"))} == {"val/top1_error", "test/top1_error"}
    before, after = (torch.load(path, weights_only=True) for path in (weights, out / "checkpoints" / "last.ckpt"))
    state = after["state_dict"]
    assert torch.equal(before["features.0.weight"], state["convnet.net.features.0.weight"])
    assert state["convnet.net.classifier.1.weight"].shape == (3, 512, 1, 1)
    assert after["deepinside"]["classes"]["ids"] == list(trees.WNIDS)


def test_a_folder_without_boxes_is_classified(tmp_path: Path) -> None:
    root = trees.class_folders(tmp_path / "pictures", {"cats": 12, "dogs": 12})
    broken = sorted((root / "cats").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:200])
    small = ("data.crop=64", "data.resize=70", "data.workers=0", "trainer.max_epochs=1", "trainer.accelerator=cpu")
    out = tmp_path / "run"
    done = run("train.py", "data.name=folder", f"data.root={root}", "model.name=squeezenet1_1", *small, f"out={out}")
    assert "the validation pictures have no boxes: classes are measured, boxes are not" in done.stdout
    metrics = read_json(out / "metrics.json")
    assert metrics["images"] == 2
    assert set(metrics) == {"images", "classes", "classification", "intervals", "sanity", "unreadable"}
    assert [line.partition(":")[0] for line in metrics["unreadable"]] == [broken.stem]
    assert len(EventAccumulator(str(out)).Reload().Scalars("train/loss")) == 1
    run("train.py", f"resume={out}")  # nothing is left to train, and it still knows
    assert read_json(out / "metrics.json")["unreadable"] == metrics["unreadable"]
    done = run("analyse.py", "task=localise", f"run={out}", code=2)
    assert "needs boxes" in done.stderr
