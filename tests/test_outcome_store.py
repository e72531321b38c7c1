"""task=localise goes on after Ctrl-C and a kill, and comes to the same files as at a stretch."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks import localisation
from callbacks.outcome_store import OutcomeStore, forget_outcomes, outcome_fingerprint
from callbacks.outcomes import Outcome
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig, LocalisationConfig
from deepinside.data.shapes import Shapes
from deepinside.load_config import load_config
from deepinside.models.build import build_convnet
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.tasks.localise import localise

from .test_interrupt import interrupt
from .test_train import run

ROOT = Path(__file__).resolve().parent.parent
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    weights, classes = (tmp_path_factory.mktemp("net") / name for name in ("weights.pth", "classes.txt"))
    torch.manual_seed(3)
    torch.save(shapes_convnet(10).state_dict(), weights)
    classes.write_text("\n".join(Shapes("val", 0, 1).classes.ids))
    own = [f"model.classes={classes}", "model.mean=[0.5,0.5,0.5]", "model.std=[0.25,0.25,0.25]"]
    own += ["data.resize=70", "data.crop=64", "data.shapes_val=21", "trainer.accelerator=cpu"]
    own += [f"localisation.{setting}" for setting in ("preset=vgg", "kept=7", "pictures=3", "gallery=2")]
    return ["task=localise", "model.name=shapes_convnet", f"model.weights={weights}", *own]


def measure(command: list[str], out: Path, *more: str) -> dict[str, Any]:
    config = load_config(AnalyseConfig, [*command, "trainer.enable_progress_bar=false", *more], ROOT / "configs")
    return localise(config, Classifier(build_convnet(config.model, config.data)), out)


def stopping(after: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which is interrupted in place of its call number `after`."""
    calls = iter(range(after))

    def call(*arguments: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return real(*arguments)

    return call


def stop(command: list[str], out: Path, after: int) -> str:
    """What is said when it is interrupted after so many pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutcomeStore, "save", stopping(after, OutcomeStore.save))
        with pytest.raises(KeyboardInterrupt) as stopped:
            measure(command, out)
    return str(stopped.value)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the pictures that are measured from now on."""
    indices, real = [], localisation.measure

    def measuring(classes: Any, picture: Any, *others: Any) -> Outcome:
        indices.append(picture.index)
        return real(classes, picture, *others)

    monkeypatch.setattr(localisation, "measure", measuring)
    return indices


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("whole")
    results = measure(command, out)
    assert len(list(out.glob("found/*"))) == 21
    forget_outcomes(out / "found")  # as analyse.py does
    return out, {key: value for key, value in results.items() if key not in TIMES}


def check_same(whole: tuple[Path, dict[str, Any]], out: Path, results: dict[str, Any]) -> None:
    assert {key: value for key, value in results.items() if key not in TIMES} == whole[1]
    made = [
        {
            str(file.relative_to(folder))
            for file in folder.rglob("*.*")
            if re.search(r"\.(png|jpg|csv|jsonl)$", file.name)
        }
        for folder in (whole[0], out)
    ]
    assert made[0] == made[1]
    assert {name.split("/")[0] for name in made[0]} >= {"kept", "gallery", "pictures", "sheet.png", "pictures.jsonl"}
    for name in made[0]:
        assert (whole[0] / name).read_bytes() == (out / name).read_bytes(), name


def test_after_ctrl_c_and_a_kill_only_what_is_missing_is_measured(
    command: list[str],
    whole: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = stop(command, tmp_path, 9)
    rest = "the same command goes on with the others"
    assert said == f"9 of 21 pictures are measured and kept in {tmp_path / 'found'}; {rest}"
    half = tmp_path / "found" / "picture_00004.pt"  # what a crash of the machine leaves, and a kill
    half.write_bytes(half.read_bytes()[:-700])
    (tmp_path / "found" / "picture_00009.part").write_bytes(b"PK")
    indices = counted(monkeypatch)
    results = measure(command, tmp_path, "localisation.label_ids=null", "localisation.images=5")
    assert indices == [4, *range(9, 21)]
    assert "goes on: 8 of 21 pictures are measured already\n" in capsys.readouterr().out
    check_same(whole, tmp_path, results)
    forget_outcomes(tmp_path / "found")
    assert not (tmp_path / "found").exists()


def test_a_stopped_end_is_made_up(
    command: list[str], whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No picture is missing: the last one is measured again."""
    with monkeypatch.context() as patch:
        patch.setattr(localisation, "draw_outcomes", stopping(0, print))
        with pytest.raises(KeyboardInterrupt, match=r"^21 of 21 .* command draws them$"):
            measure(command, tmp_path)
    indices = counted(monkeypatch)
    check_same(whole, tmp_path, measure(command, tmp_path))
    assert indices == [20]


def test_other_settings_begin_anew(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(command, tmp_path, 6)
    (tmp_path / "found" / "0003_score.pt").touch()  # a class model's
    indices = counted(monkeypatch)
    stop([*command, "localisation.blur=1"], tmp_path, 2)
    assert indices[:2] == [0, 1]
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names == {"picture_00000.pt", "picture_00001.pt", "0003_score.pt"}
    forget_outcomes(tmp_path / "found")
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"0003_score.pt"}


def test_stopped_with_further_processes_it_goes_on_with_two_devices(
    command: list[str], whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    begun = [*command, "localisation.workers=2", f"out={tmp_path}"]
    _, said, code = interrupt(lambda _: len(list(tmp_path.glob("found/*.pt"))) >= 4, 2, "analyse.py", *begun)
    assert code == 130
    told = re.fullmatch(r"stopped: (\d+) of 21 pictures are measured and kept in .* goes on with the others\n", said)
    assert told
    assert int(told[1]) >= 4
    two = ("trainer.devices=2", "trainer.strategy=ddp")
    done = run("analyse.py", *command, f"out={tmp_path}", *two)
    assert f"goes on: {told[1]} of 21 pictures" in done.stdout
    assert not (tmp_path / "found").exists()
    check_same(whole, tmp_path, json.loads((tmp_path / "metrics.json").read_text()))


@pytest.mark.parametrize(("found", "processes", "expected"), [(0, 2, [0, 1, 2, 3]), (2, 2, [2, 3]), (3, 3, [1, 2, 3])])
def test_every_process_has_a_picture(found: int, processes: int, expected: list[int], tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path, "mine")
    store.found = [Outcome(i, [], None, None) for i in range(found)]  # type: ignore[arg-type]
    assert store.missing(4, processes) == expected
    assert [outcome.index for outcome in store.found] == [i for i in range(4) if i not in expected]


def test_the_fingerprint_knows_everything_an_outcome_depends_on(command: list[str]) -> None:
    config = load_config(AnalyseConfig, command, ROOT / "configs")
    net, other = (build_convnet(config.model, config.data) for _ in range(2))
    torch.nn.init.zeros_(next(other.parameters()))
    data = {"root": "here", "labels": [1, 2]}

    def of(convnet: Any = net, listed: set[str] = frozenset(), labels: Any = (1, 2), **options: Any) -> str:  # type: ignore[assignment]
        return outcome_fingerprint(convnet, LocalisationConfig(**options), listed, data | {"labels": labels})

    changes: list[dict[str, Any]] = [{"convnet": other}, {"listed": {"a"}}, {"labels": (1, 3)}, {"preset": "paper"}]
    changes += [{"blur": 1.0}, {"kept": 3}, {"gallery": 1}, {"pictures": 1}]
    changes += [{"preset": "best"}, {"preset": "best", "repeat_classes": True}]
    assert len({of(), *(of(**change) for change in changes)}) == 1 + len(changes)
    assert of() == of(workers=3, every=2, images=7, label_ids="wnid", blacklist="x.txt")


def test_a_file_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "done"),)

    torch.save({"outcome": Evil(), "fingerprint": "mine"}, tmp_path / "picture_00000.pt")
    assert OutcomeStore(tmp_path, "mine").found == []
    assert not (tmp_path / "done").exists()
