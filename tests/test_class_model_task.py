"""The task class_model: each class kept, resumed, the same whoever it is found with; judge, comparison, mean image."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from markdown import markdown
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

import analyse
from callbacks import ClassModels, MeanImage, class_model_pages, class_model_store
from callbacks.class_model_pages import class_model_table
from callbacks.mean_image import load_mean_image
from deepinside.attribution.scores import SCORES
from deepinside.class_model import PRESETS, Numbers, class_model_picture
from deepinside.class_model.presets import OPTIMISERS, PARAMETERISATIONS
from deepinside.class_model_numbers import recipe
from deepinside.classifier import Classifier
from deepinside.config import ClassModelsConfig, DataConfig
from deepinside.config.options import options
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes
from deepinside.data.source import open_split
from deepinside.data.views import UNREADABLE
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.progress import Bar

pytestmark = pytest.mark.filterwarnings("ignore:.*predict returned None.*")
ROOT = Path(__file__).resolve().parent.parent
NAMES = ("disc", "ring", "square", "triangle", "star", "cross", "crescent", "heart", "arrow", "hourglass")
QUICK = {"steps": 6, "jitter": 2, "frames": 3, "tolerance": 0.0}


def convnet(seed: int = 0, names: tuple[str, ...] = NAMES) -> ConvNet:
    torch.manual_seed(seed)
    classes = Classes(names, names)
    return ConvNet(
        "shapes_convnet", shapes_convnet(len(names)), Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64), classes, ()
    )


def quiet_trainer(folder: Path, callback: Any) -> Trainer:
    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "max_epochs": 1}
    logger = TensorBoardLogger(folder, name="", version="")
    return Trainer(
        callbacks=[callback], logger=logger, enable_model_summary=False, enable_checkpointing=False, **options
    )


def find(folder: Path, classes: list[int], net: ConvNet | None = None, **options: Any) -> ClassModels:
    settings = {name: options.pop(name) for name in list(options) if name not in ("mean_image", "judge", "progress")}
    callback = ClassModels(ClassModelsConfig(**(QUICK | settings)), folder, classes=classes, **options)
    batches = DataLoader(torch.tensor(classes), batch_size=5)
    quiet_trainer(folder, callback).predict(Classifier(net or convnet()), batches, return_predictions=False)
    return callback


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The classes that were really optimised, in their order."""
    seen: list[int] = []
    real = class_model_store.optimise_class_models

    def counting(model: Any, classes: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        seen.extend(classes.tolist())
        return real(model, classes, *arguments, **options)

    monkeypatch.setattr(class_model_store, "optimise_class_models", counting)
    return seen


def test_a_class_is_the_same_whoever_it_is_found_with(tmp_path: Path) -> None:
    alone, together = find(tmp_path / "a", [3]), find(tmp_path / "b", list(range(10)))
    assert alone.results[0] == together.results[3]
    assert torch.load(tmp_path / "a/found/0003_score.pt")["image"].shape == (3, 64, 64)
    names = sorted(path.name for path in (tmp_path / "b/found").iterdir())
    assert names == [f"{i:04d}_score.pt" for i in range(10)]
    pictures = [(tmp_path / way / "pictures/0003_triangle.png").read_bytes() for way in "ab"]
    assert pictures[0] == pictures[1]


def test_a_killed_run_goes_on_with_what_is_missing(
    tmp_path: Path, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    real = class_model_store.Store.save

    def dying(self: Any, found: Any) -> None:
        if len(kept) == 6:
            raise RuntimeError("killed")
        kept.append(found.index)
        real(self, found)

    with monkeypatch.context() as patch:
        patch.setattr(class_model_store.Store, "save", dying)
        with pytest.raises(RuntimeError, match="killed"):
            find(tmp_path, list(range(10)))
    assert kept == [0, 1, 2, 3, 4, 5]
    counted.clear()
    resumed = find(tmp_path, list(range(10)))
    assert counted == [6, 7, 8, 9]
    assert [line["class"] for line in resumed.results] == list(NAMES)
    assert resumed.results == find(tmp_path / "fresh", list(range(10))).results


def test_progress_counts_what_was_kept_and_ends_with_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes, twice with a comparison."""
    told, close = [], Bar.close

    def closes(bar: Bar) -> None:
        told.append((bar.total, bar.skipped, round(bar.done, 6)))
        close(bar)

    monkeypatch.setattr(Bar, "close", closes)
    for classes in ([0, 1], [0, 1, 2]):
        find(tmp_path, classes, compare="softmax", progress=True)
    assert told == [(4, 0, 4), (6, 4, 6)]


def test_other_settings_make_it_anew(tmp_path: Path, counted: list[int]) -> None:
    find(tmp_path, [1, 2])
    find(tmp_path, [2])
    assert counted == [1, 2]
    find(tmp_path, [2], steps=7)
    assert counted == [1, 2, 2]


def test_the_fingerprint_knows_everything_a_class_model_depends_on() -> None:
    def of(net: ConvNet | None = None, **options: Any) -> str:
        return class_model_store.fingerprint(net or convnet(), ClassModelsConfig(**(QUICK | options)))

    changes: list[dict[str, Any]] = [{"steps": 7}, {"lam": 1e-3}, {"batch": 3}, {"frames": 2}, {"preset": "natural"}]
    changes += [{"net": convnet(1)}]
    assert len({of(), *(of(**change) for change in changes)}) == 1 + len(changes)
    assert of() == of(count=3, every=2, judge="x.pt", compare="softmax", mean_image="y.pt")
    assert of() == of(objective="softmax"), "what a comparison found is taken: the file's name tells them apart"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "preset paper, lambda 1e-05, 200 steps"),
        ({"preset": "natural", "jitter": 8, "lam": 1e-6}, "preset natural, lambda 1e-06, 160 steps"),  # as it has them
        ({"jitter": 4}, "preset paper, lambda 1e-05, 200 steps, but jitter 4"),
        ({"preset": "fourier", "tv": 1e-4, "steps": 1}, "preset fourier, lambda 1e-07, but tv 0.0001, 1 step"),
        ({"lam": 0.0, "optimiser": "sgd", "ramp": 1.0}, "preset paper, 200 steps, but lambda 0, optimiser sgd, ramp 1"),
    ],
)
def test_a_recipe_names_what_is_not_the_preset_s_own(changed: dict[str, Any], told: str) -> None:
    assert recipe(vars(ClassModelsConfig(**changed))) == told


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04half a file", None])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, damage: bytes | None) -> None:
    store, zeros = class_model_store.Store(tmp_path / "found", "mine"), torch.zeros(3, 8, 8).half()
    found = class_model_store.Found(4, "score", zeros, 1.0, 0.5, 2.0, False, torch.zeros(3, 5), zeros[None])
    assert store.load(4, "score") is None
    store.save(found)
    loaded = store.load(4, "score")
    assert loaded is not None
    assert (loaded.score, loaded.index, loaded.traces.shape) == (1.0, 4, (3, 5))
    assert class_model_store.Store(tmp_path / "found", "other").load(4, "score") is None
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["0004_score.pt"]
    file = store.path(4, "score")
    file.write_bytes(file.read_bytes()[:-700] if damage is None else damage)
    assert store.load(4, "score") is None


def test_judge_comparison_and_what_is_shown(tmp_path: Path) -> None:
    """The judge lists its classes in another order and knows one more."""
    judge = convnet(5, ("other", *reversed(NAMES)))
    callback = find(tmp_path, [7, 2], judge=judge, compare="softmax")
    assert [line["class"] for line in callback.results] == ["heart", "square"]
    for line in callback.results:
        assert line["compared"]["objective"] == "softmax"
        assert 1 <= line["judge_rank"] <= 11
        kept = torch.load(tmp_path / f"found/{line['class_index']:04d}_score.pt", weights_only=True)
        with torch.no_grad():
            picture = class_model_picture(kept["image"].float(), (0.5,) * 3)
            chances = judge.eval()(picture[None].float() / 255)[0].softmax(0)
        own = float(chances[judge.classes.ids.index(line["class"])])
        assert line["judge_posterior"] == pytest.approx(own, rel=1e-5)
        assert line["judge_rank"] == 1 + int((chances > own).sum())
        assert kept["traces"].shape == (3, 6)
        assert kept["frames"].shape == (3, 3, 64, 64)
    for name in ("sheet", "traces", "objectives", "films/0007_heart", "pictures/0002_square"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 190
    logged = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    for tag, count in (("sheet", 1), ("traces", 1), ("objectives", 1), ("pictures", 2), ("films", 2)):
        assert len(logged.Images(f"class_models/{tag}")) == count
    text = logged.Tensors("class_models/table/text_summary")[0].tensor_proto.string_val[0].decode()
    page = markdown(text, extensions=["tables"])  # as TensorBoard does
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in page.split("<tr>")[1:]]
    assert [row[0] for row in cells] == ["class", "heart", "square"]
    assert cells[0][:5] == ["class", "S_c", "P_c", "||I||", "steps"]
    assert {len(row) for row in cells} == {13}
    for tag in ("pictures", "films"):
        assert [event.step for event in logged.Images(f"class_models/{tag}")] == [7, 2], "the slider's are the classes"
    assert "softmax P_c" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1  # the norm's own bars end no cell


def test_many_class_models_are_shown_on_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []
    real = class_model_pages.draw_traces

    def spy(traces: Any) -> Any:
        drawn.append([name for name, _ in traces])
        return real(traces)

    monkeypatch.setattr(class_model_pages, "draw_traces", spy)
    for name, number in (("PAGE", 2), ("TRACED", 2), ("ROWS", 2)):
        monkeypatch.setattr(class_model_pages, name, number)
    results = find(tmp_path, [0, 4, 8], frames=0, compare="softmax").results
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("sheet_00.png", "sheet_01.png", "traces.png", "objectives.png")
    }
    assert not (tmp_path / "films").exists()
    assert drawn == [["disc", "star"]]
    with Image.open(tmp_path / "objectives.png") as pairs, Image.open(tmp_path / "pictures/0000_disc.png") as tile:
        assert pairs.width >= 4 * tile.width, "both of two classes"
    table = class_model_table(results)
    assert (table.title, table.row_count) == ("3 class models, the first 2; metrics.json has all", 2)


def test_the_end_of_a_training_shows_as_much(tmp_path: Path) -> None:
    """At `Trainer.test`, under inference mode: files of every class, and nothing kept for a resumption."""
    callback = ClassModels(ClassModelsConfig(**QUICK), tmp_path, classes=[5, 9])  # type: ignore[arg-type]
    net = convnet()
    source = open_split(DataConfig(shapes_val=6), "val", 0)
    data = PictureData(DataConfig(batch_size=6, workers=0), net, val=source)
    quiet_trainer(tmp_path, callback).test(Classifier(net), data, verbose=False)
    assert [line["class"] for line in callback.results] == ["cross", "hourglass"]
    for folder in ("pictures", "films"):
        assert {p.name for p in (tmp_path / folder).iterdir()} == {"0005_cross.png", "0009_hourglass.png"}
    assert not (tmp_path / "found").exists()
    kept = find(tmp_path / "analysis", [5, 9], net)
    assert kept.results == callback.results


def test_a_class_model_has_the_traces_of_its_own_ascent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the steps that it took, and ending where it is."""
    seen: list[Any] = []
    real = class_model_store.optimise_class_models

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.append(real(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(class_model_store, "optimise_class_models", spy)
    settings = ClassModelsConfig(steps=40, lr=0.5, tolerance=0.05, patience=1, jitter=0)
    found = class_model_store.find_class_models(convnet(), [3, 0, 8], settings)
    [models] = seen
    taken = models.steps.tolist()
    assert [item.traces.shape[1] for item in found] == taken
    assert min(taken) < max(taken), "else nothing is told apart"
    for i, item in enumerate(found):
        scores, posteriors, norms = item.traces
        assert torch.equal(scores, models.scores[: taken[i], i])
        assert torch.equal(posteriors, models.posteriors[: taken[i], i])
        torch.testing.assert_close(norms.square(), models.squared_norms[: taken[i], i])
        assert item.norm == pytest.approx(float(models.images[i].norm()), rel=1e-4)


@pytest.mark.parametrize("changed", ["score", "posterior", "norm"])
def test_a_class_model_with_a_number_that_is_none_has_diverged(changed: str) -> None:
    image = torch.zeros(3, 8, 8).half()
    found = class_model_store.Found(4, "score", image, 1.0, 0.5, 2.0, False, torch.zeros(3, 5), image[None])
    assert found.finite
    assert not replace(found, **{changed: float("nan")}).finite  # type: ignore[arg-type]


def test_a_judge_draws_no_random_numbers() -> None:
    """One that comes in training mode; a picture of another size than its own is resized."""
    judge, image = convnet(), torch.randn(3, 64, 64).half()
    judge.net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10)).train()
    judge.preprocessing = Preprocessing((0.5,) * 3, (0.25,) * 3, 35, 32)
    found = class_model_store.Found(3, "score", image, 0.0, 0.0, 0.0, False, torch.zeros(3, 1), image[None])
    known = convnet()
    one, other = (class_model_store.judge_pictures(judge.train(), known, [found], (0.5,) * 3) for _ in range(2))
    assert one == other


def test_what_begins_at_an_earlier_one_has_the_full_penalty() -> None:
    def image(ramp: float, start: torch.Tensor | None) -> torch.Tensor:
        settings = ClassModelsConfig(**(QUICK | {"ramp": ramp, "lam": 0.01}))  # type: ignore[arg-type]
        return class_model_store.find_class_models(convnet(), [0], settings, start=start)[0].image

    start = torch.full((1, 3, 64, 64), 20.0)
    assert not torch.equal(image(1.0, None), image(0.0, None))
    assert torch.equal(image(1.0, start), image(0.0, start))


def test_a_judge_that_does_not_know_a_class_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not know the class 'heart'"):
        class_model_store.check_judge(convnet(5, NAMES[:5]), convnet(), [7])


def test_the_mean_image_is_shown_below_and_changes_nothing_else(tmp_path: Path, counted: list[int]) -> None:
    """It is added when the class model is shown: another one finds nothing anew."""
    mean = torch.linspace(0, 1, 64).view(1, 1, 64).expand(3, 64, 64)
    find(tmp_path, [0])
    files = [tmp_path / name for name in ("pictures/0000_disc.png", "films/0000_disc.png")]
    before = [file.read_bytes() for file in files]
    find(tmp_path, [0], mean_image=mean)
    assert counted == [0]
    assert all(file.read_bytes() != old for file, old in zip(files, before, strict=True))
    kept = class_model_store.Store(tmp_path / "found", "")
    kept.fingerprint = class_model_store.fingerprint(convnet(), ClassModelsConfig(**QUICK))  # type: ignore[arg-type]
    found = kept.load(0, "score")
    assert found is not None
    for plain, shown in (
        (found.picture((0.5,) * 3), found.picture(mean)),
        (found.film((0.5,) * 3)[-1], found.film(mean)[-1]),
    ):
        inside = (plain > 30) & (plain < 225) & (shown > 0) & (shown < 255)
        difference = shown.float() - plain.float()
        torch.testing.assert_close(difference[inside], (255 * mean - 127.5)[inside], rtol=0, atol=1.001)


def test_the_frames_of_a_large_mean_image_are_small() -> None:
    image, frames = torch.zeros(3, 224, 224).half(), torch.zeros(2, 3, 112, 112).half()
    found = class_model_store.Found(0, "score", image, 0.0, 0.0, 0.0, False, torch.zeros(3, 1), frames)
    assert found.film(torch.full((3, 224, 224), 0.2)).unique().tolist() == [51]


def test_frames_of_a_film_say_where_they_were_seen() -> None:
    """A class that converged before shows its result from then on; the zero image is none where it has no gradient."""
    frames, traces = torch.zeros(5, 3, 8, 8).half(), torch.zeros(3, 30)
    found = class_model_store.Found(0, "score", frames[0], 0.0, 0.0, 0.0, False, traces, frames)
    assert found.film_titles(48) == ["zero image", "step 3", "step 12", "step 27", "step 30"]
    assert replace(found, frames=frames + 1).film_titles(30) == ["noise", "step 2", "step 8", "step 17", "step 30"]
    assert replace(found, frames=frames[:1]).film_titles(30) == ["step 30"]
    early = replace(found, traces=traces[:, :20])
    assert early.film_titles(48) == ["zero image", "step 3", "step 12", "step 20", "step 20"]
    few = replace(found, traces=traces[:, :6])  # of the frames after 0, 0, 2 and 3 steps one is not kept
    assert few.film_titles(6) == ["zero image", "step 2", "step 3", "step 6", "step 6"]


def test_frames_of_a_short_film_are_alike_where_their_titles_are() -> None:
    found = class_model_store.find_class_models(convnet(), [0], ClassModelsConfig(**QUICK), frames=6)[0]  # type: ignore[arg-type]
    titles = found.film_titles(6)
    assert titles == ["noise", "step 1", "step 2", "step 4", "step 6", "step 6"]  # this net has no gradient at zero
    frames = [frame.numpy().tobytes() for frame in found.frames]
    assert [frames.index(frame) for frame in frames] == [titles.index(title) for title in titles]


def test_a_diverged_class_model_is_told_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"class model of 'star', 'cross' diverged: lower class_models\.lr \(1e\+30\)"):
        find(tmp_path, [4, 5], lr=1e30)
    assert not (tmp_path / "found").exists()


def test_a_class_without_gradient_is_flagged(tmp_path: Path) -> None:
    """Class 1's ReLU is shut whatever the picture."""
    net = convnet()
    net.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 10), torch.nn.ReLU())
    torch.nn.init.constant_(net.net[1].bias, 100.0)
    torch.nn.init.constant_(net.net[1].bias[1:2], -1e4)
    results = find(tmp_path, [0, 1], net).results
    assert [line["no_gradient"] for line in results] == [False, True]
    table = class_model_table(results)
    assert list(table.columns[0].cells) == ["disc", "ring (no gradient)"]
    with Image.open(tmp_path / "pictures" / "0001_ring.png") as picture:
        assert picture.text["Description"].startswith("ring   no gradient, S = ")  # type: ignore[attr-defined]
    assert find(tmp_path, [1], net).results == results[1:]


def test_no_score_of_the_table_is_minus_zero() -> None:
    line = {"class": "disc", "posterior": 0.1, "norm": 1.0, "no_gradient": False, "steps": 2}
    table = class_model_table([line | {"score": score} for score in (-0.04, -0.06, 2.0)])
    assert list(table.columns[1].cells) == ["0.0", "-0.1", "2.0"]


def test_results_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finite number"):
        write_json(tmp_path / "metrics.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "analyse.py"), "trainer.accelerator=cpu", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == code, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with what the analyses read of it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "checkpoints").mkdir()
    module = Classifier(convnet())
    content = {"state_dict": module.state_dict(), "deepinside": module.convnet.description()}
    torch.save(content, folder / "checkpoints" / "last.ckpt")
    numbers = "".join(f"  {key}: {value}\n" for key, value in QUICK.items())
    data = "data:\n  shapes_train: 21\n  batch_size: 4\n"
    (folder / "config.yaml").write_text(f"model:\n  name: shapes_convnet\n{data}class_models:\n{numbers}")
    return folder


TWO = ("trainer.devices=2", "trainer.strategy=ddp")


def test_two_processes_find_what_one_finds(trained: Path, tmp_path: Path) -> None:
    """On the mean image that lies in the run, which the judge sees; the preset leaves out the run's own jitter."""
    mean = torch.linspace(0, 1, 64).view(1, 1, 64).expand(3, 64, 64)
    file, judge = trained / "checkpoints" / "mean_image.pt", f"class_models.judge={trained}/checkpoints/last.ckpt"
    torch.save({"mean": mean, "images": 1}, file)
    natural = ("class_models.preset=natural", "class_models.steps=6", "class_models.frames=3")
    done = run("task=class_model", f"run={trained}", judge, "classes=all", f"out={tmp_path}", *natural, *TWO)
    file.unlink()
    assert "10 class models" in done.stdout
    assert "rank" in done.stdout
    two = json.loads((tmp_path / "metrics.json").read_text())["classes"]
    whole = {"preset": "natural", "jitter": None, "tolerance": None}
    one = find(tmp_path / "one", list(range(10)), judge=convnet(), mean_image=mean, **whole).results
    assert [line["class"] for line in two] == list(NAMES)
    assert two == one


def test_what_one_process_meets_ends_both_in_one_line(trained: Path, tmp_path: Path) -> None:
    """Class 1, of the second process alone, diverges; what the first one finds is kept."""
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    (head,) = (weight for weight in content["state_dict"].values() if weight.shape == (10, 128))
    head[1] *= 1e20
    torch.save(content, tmp_path / "odd.ckpt")
    arguments = (f"run={trained}", f"model.weights={tmp_path / 'odd.ckpt'}", "classes=0,1,2,3", "class_models.batch=1")
    arguments += ("class_models.optimiser=sgd", "class_models.lr=1")
    done = run("task=class_model", *arguments, f"out={tmp_path / 'out'}", *TWO, code=2)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert "'ring' diverged" in errors[0]
    assert len(list((tmp_path / "out" / "found").glob("*"))) >= 2


def test_mean_image_of_the_training_pictures(trained: Path) -> None:
    """On two processes exactly the mean of the 21 centre crops, kept beside the run's checkpoints."""
    run("task=mean_image", f"run={trained}", *TWO)
    mean = load_mean_image(trained / "checkpoints" / "mean_image.pt", 64)
    data = DataConfig(shapes_train=21, batch_size=21, workers=0)
    batch = next(iter(PictureData(data, convnet(), val=open_split(data, "train", 0)).val_dataloader()))
    torch.testing.assert_close(mean, (batch["image"].double() / 255).mean(0).float(), rtol=0, atol=1e-7)
    assert json.loads((trained / "mean_image" / "metrics.json").read_text())["images"] == 21
    assert (trained / "mean_image" / "mean_image.png").is_file()
    assert 'src="mean_image.png"' in (trained / "mean_image" / "report.html").read_text()


@pytest.mark.parametrize("other", ["data.shapes_train=9", "data.limit=9", "data.resize=80", "weights"])
def test_the_mean_image_of_other_pictures_leaves_the_run_alone(trained: Path, tmp_path: Path, other: str) -> None:
    """Other data, part of the data, another net; only a mean image of the run's own is taken unasked."""
    file, last = trained / "checkpoints" / "mean_image.pt", trained / "checkpoints" / "last.ckpt"
    if other == "weights":
        shutil.copy(last, tmp_path / "other.ckpt")
        other = f"model.weights={tmp_path}/other.ckpt"
    file.write_bytes(b"the run's own")
    done = run("task=mean_image", f"run={trained}", other, "trainer.devices=1", f"out={tmp_path / 'out'}")
    kept = file.read_bytes()
    file.unlink()
    assert kept == b"the run's own"
    assert (tmp_path / "out" / "mean_image.pt").is_file()
    assert "(metrics.json)" in done.stdout


def test_a_file_that_is_no_mean_image(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "net.pt")
    for file in ("net.pt", "absent.pt"):
        with pytest.raises(UserError, match="is not what task=mean_image writes"):
            load_mean_image(tmp_path / file, 64)


def test_unreadable_pictures_are_not_averaged(tmp_path: Path) -> None:
    """One of unknown class is; what an earlier call has seen is no part of the mean."""
    callback = MeanImage(tmp_path / "mean_image.pt", tmp_path)
    images, labels = torch.rand(3, 3, 64, 64), torch.tensor([1, UNREADABLE, -1])
    images = (images * 255).round() / 255

    def find(number: int) -> None:
        rows = [{"image": i, "label": k} for i, k in zip(images[:number], labels[:number], strict=True)]
        batches = DataLoader(rows, batch_size=2)  # type: ignore[arg-type]
        quiet_trainer(tmp_path, callback).predict(Classifier(convnet()), batches, return_predictions=False)

    for number in (1, 3):
        find(number)
    torch.testing.assert_close(load_mean_image(tmp_path / "mean_image.pt", 64), images[[0, 2]].mean(0))
    assert callback.results["images"] == 2
    labels[:] = UNREADABLE
    with pytest.raises(UserError, match="task=mean_image: no training picture could be read"):
        find(3)
    with pytest.raises(
        UserError, match=r"is \(3, 64, 64\), the ConvNet's crop is \(3, 32, 32\): task=mean_image makes"
    ) as caught:
        load_mean_image(tmp_path / "mean_image.pt", 32)
    assert "class_models.mean_image" not in str(caught.value)


def test_more_processes_than_classes_is_one_line(trained: Path, tmp_path: Path) -> None:
    done = run("task=class_model", f"run={trained}", "classes=star,star", f"out={tmp_path}", *TWO, code=2)
    assert "2 processes cannot share 1 classes" in done.stderr


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("class_models.judge_name=resnet18", "needs class_models.judge"),
        ("class_models.judge=/absent.pth", "class_models.judge=/absent.pth is neither a file"),
        ("class_models.compare=score", "is what is maximised already"),
        ("classes=", "classes= is empty: give all, or names"),
        ("judge", "does not know the class 'disc'"),
        ("class_models.mean_image=absent.pt", "absent.pt is not what task=mean_image writes"),
    ],
)
def test_a_mistake_leaves_the_last_results(trained: Path, tmp_path: Path, argument: str, words: str) -> None:
    if argument == "judge":
        module = Classifier(convnet(1, ("x", "y")))
        content = {"state_dict": module.state_dict(), "deepinside": module.convnet.description()}
        torch.save(content, tmp_path / "judge.ckpt")
        argument = f"class_models.judge={tmp_path}/judge.ckpt"
    out = tmp_path / "out"
    contents = {out / name: name for name in (".deepinside", "config.yaml", "sheet.png", "films/a.png")}
    (out / "films").mkdir(parents=True)
    for file, text in contents.items():
        file.write_text(text)
    with pytest.raises(UserError) as told:
        analyse.main(["task=class_model", f"run={trained}", f"out={out}", argument])
    assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert {file: file.read_text() for file in out.rglob("*") if file.is_file()} == contents


def test_an_analysis_made_again_replaces_all_but_what_resumes(trained: Path, tmp_path: Path) -> None:
    run("task=class_model", f"run={trained}", "classes=0,1", f"out={tmp_path}")
    kept = (tmp_path / "found" / "0000_score.pt").stat().st_mtime_ns
    done = run("task=class_model", f"run={trained}", "classes=0", f"out={tmp_path}")
    for folder in ("pictures", "films"):
        assert [file.name for file in (tmp_path / folder).iterdir()] == ["0000_disc.png"]
    assert (tmp_path / "found" / "0000_score.pt").stat().st_mtime_ns == kept
    assert (tmp_path / "found" / "0001_score.pt").is_file()
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    assert "(metrics.json, pictures/, films/)" in done.stdout


def test_the_configuration_offers_what_the_library_has() -> None:
    known = {key: f.metadata["choices"] for key, f in options(ClassModelsConfig)}
    assert set(known["preset"]) == set(PRESETS)
    assert set(known["parameterisation"]) == set(PARAMETERISATIONS)
    assert set(known["optimiser"]) == set(OPTIMISERS)
    assert set(known["objective"]) == set(known["compare"]) == set(SCORES)
    assert {f.name for f in fields(Numbers)} <= set(known)
