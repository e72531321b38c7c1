"""task=compare from the command line: comparison.json, TensorBoard, the report, and one line for a mistake."""

import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from deepinside.compare import Shown
from deepinside.compare.disagreement import Disagreement
from deepinside.launch import run_script
from deepinside.plots import TILE, draw_boxes, draw_strip, heat, overlay
from deepinside.progress import Bar
from deepinside.tasks.side_by_side import draw_class_models, draw_pictures
from deepinside.tiles import sheet

from .comparable_runs import record, write_run

ROOT = Path(__file__).resolve().parent.parent
Script = Callable[..., str]


@pytest.fixture
def analyse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Calls analyse.py with these arguments; returns what it printed, on stderr where it ends with exit code 2."""
    spec = importlib.util.spec_from_file_location("analyse", ROOT / "analyse.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["analyse.py", *arguments])
        if code:
            with pytest.raises(SystemExit) as stopped:
                run_script(script.main)
            assert stopped.value.code == code
            return capsys.readouterr().err
        run_script(script.main)
        return capsys.readouterr().out

    return call


@pytest.fixture
def runs(tmp_path: Path) -> str:
    """Two runs on eight pictures, six of them kept; the second misses the class of one and the box of another."""
    good = [record(i) for i in range(8)]
    worse = [record(i, right=i != 5, shift=30 if i == 2 else 0) for i in range(8)]
    folders = [
        write_run(tmp_path / "runs" / "a", good, kept=6, data={"erase": 0.5}),
        write_run(tmp_path / "runs" / "b", worse, kept=6, data={"erase": 0.0}),
    ]
    for slope, folder in enumerate(folders):
        with SummaryWriter(str(folder)) as writer:
            for step in range(3):
                writer.add_scalar("train/loss", slope * step, step)
    return ",".join(map(str, folders))


def test_everything_is_written(analyse: Script, runs: str, tmp_path: Path) -> None:
    out = tmp_path / "compared"
    said = analyse("task=compare", f"runs={runs}", f"out={out}")
    assert re.search(r"data.erase +│ +0.5 +│ +0.0", said)
    [row] = [line for line in said.splitlines() if "localisation top-1 error" in line]
    cells = [cell.strip() for cell in row.split("│")]
    assert cells[4] == "+25.0 [-12.0, +59.1]"  # Wilson's bounds of 2 and of 0 in 8, squared and added
    assert [*cells[2:4], *cells[5:-1]] == ["0.0", "25.0", "0.5", "2", "0", "50.0"]
    found = json.loads((out / "comparison.json").read_text())
    assert [run["label"] for run in found["runs"]] == ["a", "b"]
    assert found["images"] == 8
    assert found["settings"] == {"data.erase": ["0.5", "0.0"]}
    [top1] = [m for m in found["measures"] if (m["part"], m["name"]) == ("localisation", "top1_error")]
    assert top1["values"] == [0, 0.25]
    assert top1["differences"][0]["mcnemar"] == {"only_first": 2, "only_this": 0, "p": 0.5}
    assert [one["image"] for one in found["disagreements"][:3]] == ["picture_2", "picture_5", "picture_0"]
    [agreement] = found["agreement"]
    assert (agreement["run"], agreement["images"]) == ("b", 6)
    assert agreement["spearman"] == pytest.approx([1, 1, 1]), "both wrote the same maps"


def test_the_report_is_whole(analyse: Script, runs: str, tmp_path: Path) -> None:
    """It can be moved: every picture lies beside it. Nothing comes from a network."""
    out = tmp_path / "compared"
    analyse("task=compare", f"runs={runs}", f"out={out}")
    moved = out.rename(tmp_path / "moved")
    page = (moved / "report.html").read_text()
    sources = re.findall(r'<img[^>]* src="([^"]+)"', page)
    assert len(sources) == 6 * 4 + 2, "of six pictures two photographs and two maps, two class models"
    assert all((moved / source).is_file() for source in sources)
    assert not re.search(r'(src|href)="(https?:|/|\.\.)', page)
    assert (
        page.index("picture_2, maps agree 1.00") < page.index("picture_5, maps agree 1.00") < page.index("picture_0,")
    )
    assert page.count('data-differs="differs"') == 2
    assert 'alt="goose, b: first guess other 0.75, wrong, IoU 1.00"' in page
    assert [f'alt="class model of {label}: goose"' in page for label in "ab"] == [True, True]
    assert page.count('<g class="line') == 2, "the loss of both runs"
    legend = page[page.index('id="lines"') : page.index('class="charts"')]
    assert re.findall(r'<span class="run c(\d)">([^<]*)</span>', legend) == [("0", "a"), ("1", "b")]
    assert "<title>b against a · deepinside</title>" in page


def test_the_verdict_needs_both_interval_and_test(analyse: Script, tmp_path: Path) -> None:
    """Of 40 pictures five lost: the interval lies above 0, but p = 2 / 2^5; with six p = 2 / 2^6."""
    for name, lost in (("a", 0), ("b", 5), ("c", 6), ("d", 10), ("e", 20)):
        write_run(tmp_path / name, [record(i, right=i >= lost) for i in range(40)])
    runs = f"runs={','.join(str(tmp_path / name) for name in 'abcde')}"
    said = analyse("task=compare", runs, f"out={tmp_path / 'compared'}")
    rows = [line.split("│") for line in said.splitlines() if "classification top-1 error" in line]
    assert [row[5].strip() for row in rows] == ["0.062", "0.031", "0.002", "<0.0001"]
    page = (tmp_path / "compared" / "report.html").read_text()
    assert "<b>no clear difference</b> 0.0 → 12.5, p = 0.062" in page
    assert "<b>worse</b> 0.0 → 15.0, p = 0.031" in page
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert found["measures"][0]["differences"][0]["low"] > 0


def test_runs_of_several_seeds_are_recipes(analyse: Script, tmp_path: Path) -> None:
    folders = []
    for erase, wrong in ((0.5, 2), (0.0, 4)):
        for seed in (0, 1):
            pictures = [record(i, right=i >= wrong + seed) for i in range(10)]
            folders.append(write_run(tmp_path / f"r{erase}_{seed}", pictures, data={"erase": erase}, seed=seed))
    out = tmp_path / "compared"
    said = analyse("task=compare", f"runs={','.join(map(str, folders))}", f"out={out}")
    [row] = [line for line in said[said.index("over seeds:") :].splitlines() if "classification top-1 error" in line]
    cells = [cell.strip() for cell in row.split("│")[2:-1]]
    assert cells[:2] == ["25.0 ±7.1", "45.0 ±7.1"]
    assert cells[2].startswith("+20.0 [-")
    assert "what a setting does is told over seeds" in " ".join(said.split())
    found = json.loads((out / "comparison.json").read_text())["seeds"]
    assert [recipe["runs"] for recipe in found["recipes"]] == [["r0.5_0", "r0.5_1"], ["r0.0_0", "r0.0_1"]]
    assert found["measures"][0]["differences"][0]["difference"] == pytest.approx(0.2)
    page = (out / "report.html").read_text()
    assert page.index("25.0 ± 7.1") < page.index('id="figures"')
    assert "r0.5_0, 2 seeds: r0.5_0, r0.5_1" in page
    events = EventAccumulator(str(out)).Reload()
    [text] = events.Tensors("compare/over_seeds/text_summary")
    assert "| 25.0 ±7.1 | 45.0 ±7.1 |" in text.tensor_proto.string_val[0].decode()


def test_centre_boxes_that_differ_are_both_told(analyse: Script, runs: str, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "b" / "metrics.json"
    centre = {"baselines": {"centre_box": {"top1_error": 0.25, "gt_known_accuracy": 0.5}}}
    file.write_text(json.dumps(json.loads(file.read_text()) | centre))
    said = analyse("task=compare", f"runs={runs}", f"out={tmp_path / 'compared'}")
    rows = [line.split("│") for line in said.splitlines()]
    told = {row[1].strip(): row[8].strip() for row in rows if len(row) > 8}
    assert (told["localisation top-1 error"], told["GT-known"]) == ("50.0 / 25.0", "50.0")


def test_tensorboard_lays_the_curves_over_each_other(analyse: Script, runs: str, tmp_path: Path) -> None:
    out = tmp_path / "compared"
    analyse("task=compare", f"runs={runs}", f"out={out}")
    events = EventAccumulator(str(out), {"images": 0}).Reload()
    assert set(events.Tags()["images"]) == {"compare/pictures", "compare/class_models"}
    assert set(events.Tags()["tensors"]) == {"compare/settings/text_summary", "compare/b/text_summary"}
    [text] = events.Tensors("compare/b/text_summary")
    words = text.tensor_proto.string_val[0].decode()
    assert words.startswith("b (this) against a (first), 8 pictures\n")
    assert "| localisation top-1 error | 0.0 | 25.0 |" in words
    assert "| mean IoU | 100.0 |" in words
    for slope, label in enumerate("ab"):
        [*points] = EventAccumulator(str(out / "curves" / label)).Reload().Scalars("train/loss")
        assert [point.value for point in points] == [0, slope, 2 * slope]


def test_names_with_markup_are_names(analyse: Script, tmp_path: Path) -> None:
    """To Rich, square brackets are styles; to Markdown, a bar ends a cell."""
    for name in ("[bold]a", "b|c [/]"):
        write_run(tmp_path / name, [record(i) for i in range(3)], data={"root": f"[red]{name}"})
    out = tmp_path / "compared"
    said = analyse("task=compare", f"runs={tmp_path}/[bold]a,{tmp_path}/b|c [/]", f"out={out}")
    assert "b|c [/] (this) against [bold]a (first), 3 pictures" in said
    assert re.search(r"data\.root +│ \[red\]\[bold\]a +│ \[red\]b\|c \[/\]", said)
    events = EventAccumulator(str(out)).Reload()
    [text] = events.Tensors("compare/settings/text_summary")
    rows = text.tensor_proto.string_val[0].decode().splitlines()
    assert rows[0] == "| setting | [bold]a | b\\|c [/] |"


def test_progress_is_told(analyse: Script, runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part says what it is at, and how far; none with enable_progress_bar=false."""
    told: list[str] = []
    close = Bar.close

    def closes(bar: Bar) -> None:
        if bar in Bar._open:
            told.append(f"{bar.what}: {bar.done:g} {bar.unit}")
        close(bar)

    monkeypatch.setattr(Bar, "close", closes)
    analyse("task=compare", f"runs={runs}", f"out={tmp_path / 'compared'}")
    assert told == [
        "reading what was found in the pictures: 2 runs",
        "resampling the pictures: 0 ",
        "comparing saliency maps: 6 pairs",
    ]
    analyse("task=compare", f"runs={runs}", f"out={tmp_path / 'compared'}", "trainer.enable_progress_bar=false")
    assert len(told) == 3


def test_made_again_replaces_itself(analyse: Script, runs: str, tmp_path: Path) -> None:
    out = tmp_path / "compared"
    for _ in range(2):
        analyse("task=compare", f"runs={runs}", f"out={out}")
    assert len(list(out.glob("events.out.tfevents.*"))) == 1
    assert len(list((out / "curves" / "a").iterdir())) == 1


@pytest.mark.parametrize("out", ["runs/compare_a_b", "runs/a/localise"])
def test_what_a_run_left_is_not_touched(
    out: str, analyse: Script, runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a run that has the comparison's default name, nor the records that are compared."""
    monkeypatch.chdir(tmp_path)
    if out == "runs/compare_a_b":
        other, arguments, words = write_run(tmp_path / out, []), (), "holds files that no analysis made"
    else:
        other = (tmp_path / "runs/a/localisation").rename(tmp_path / out)
        (other / ".deepinside").touch()  # as task=localise leaves it
        arguments, words = (f"out={out}",), "is one of the runs"
    before = {file: file.read_bytes() for file in other.rglob("*") if file.is_file()}
    assert f"out={out} {words}" in analyse("task=compare", f"runs={runs}", *arguments, code=2)
    assert {file: file.read_bytes() for file in other.rglob("*") if file.is_file()} == before


def test_runs_that_kept_nothing(analyse: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, no maps, no curves: figures alone, in the folder that three runs have by default."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        write_run(tmp_path / name, [record(i, right=name != "c") for i in range(4)])
    said = analyse("task=compare", "runs=a, b, c")
    assert "no setting differs" in said
    assert "b (this) against a (first), 4 pictures" in said
    assert "c (this) against a (first), 4 pictures" in said
    rows = [line.split("│") for line in said.splitlines() if "classification top-1 error" in line]
    told = [[row[2].strip(), row[3].strip(), row[4].split()[0]] for row in rows]
    assert told == [["0.0", "0.0", "+0.0"], ["0.0", "100.0", "+100.0"]]
    out = tmp_path / "runs" / "compare_a_b_c"
    assert json.loads((out / "comparison.json").read_text())["agreement"] == [
        {"run": "b", "images": 0},
        {"run": "c", "images": 0},
    ]
    page = (out / "report.html").read_text()
    assert 'id="compared"' not in page
    assert "<title>a, b, c · deepinside</title>" in page


@pytest.mark.parametrize("kept", [0, 1])
def test_one_of_two_runs_kept_nothing_or_one(kept: int, analyse: Script, tmp_path: Path) -> None:
    """Too few common maps for an interval: the page has the pictures that there are, and no agreement."""
    for name, count in (("a", 3), ("b", kept)):
        write_run(tmp_path / name, [record(i) for i in range(4)], kept=count)
    analyse("task=compare", f"runs={tmp_path}/a,{tmp_path}/b", f"out={tmp_path / 'compared'}")
    page = (tmp_path / "compared" / "report.html").read_text()
    assert page.count('<li class="card"') == 3
    assert page.count('class="heat"') == 3 + kept
    assert "agree with Spearman" not in page


def test_maps_that_differ(analyse: Script, runs: str, tmp_path: Path) -> None:
    """A map turned upside down is still like itself, less so."""
    kept = tmp_path / "runs" / "b" / "localisation" / "kept"
    ramp = np.tile(np.linspace(0, 255, 25)[:, None], (1, 30)).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "runs" / "a" / "localisation" / "kept" / "0_map.png")
    Image.fromarray(ramp[::-1]).save(kept / "0_map.png")
    said = analyse("task=compare", f"runs={runs}", f"out={tmp_path / 'compared'}")
    page = (tmp_path / "compared" / "report.html").read_text()
    assert "picture_0, maps agree -1.00" in page
    [agreement] = json.loads((tmp_path / "compared" / "comparison.json").read_text())["agreement"]
    assert agreement["spearman"][0] == pytest.approx((5 - 1) / 6, abs=0.001)
    assert 0.8 < agreement["ssim"][0] < 0.9
    assert f"6 pictures: Spearman 0.67 [-0.19, 1.00], SSIM {agreement['ssim'][0]:.2f} [" in said


def test_blank_maps_are_like_none(analyse: Script, runs: str, tmp_path: Path) -> None:
    Image.new("L", (30, 25)).save(tmp_path / "runs" / "b" / "localisation" / "kept" / "3_map.png")
    analyse("task=compare", f"runs={runs}", f"out={tmp_path / 'compared'}")
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert [one["images"] for one in found["agreement"]] == [5]


def test_maps_that_the_first_run_lacks_are_compared_with_none(analyse: Script, tmp_path: Path) -> None:
    for name, kept in (("a", 1), ("b", 3)):
        write_run(tmp_path / name, [record(i) for i in range(4)], kept=kept)
    analyse("task=compare", f"runs={tmp_path}/a,{tmp_path}/b", f"out={tmp_path / 'compared'}")
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert found["agreement"] == [{"run": "b", "images": 1}]


def test_pictures_are_drawn_with_each_runs_map_and_box(tmp_path: Path) -> None:
    """At half the size that the boxes are of: the map over the picture where one was kept, the true box, the run's."""
    photo, heat_map = tmp_path / "photo.png", tmp_path / "map.png"
    pixels = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
    Image.fromarray(pixels).save(photo)
    Image.fromarray(np.arange(750, dtype=np.uint8).reshape(25, 30)).save(heat_map)
    records = [record(0, shift=30), record(0, right=False), record(0, guesses=[], known_box=None)]
    found = Disagreement(0, "picture_0", "goose", [True] * 3, [1.0] * 3, 1.0)
    shown = Shown(found, records, photo, [heat_map, None, None], [None, None])
    [values] = torch.from_numpy(np.array(Image.open(heat_map).resize((60, 50), Image.Resampling.BILINEAR)))[None]
    truth, moved = torch.tensor([[10.0, 10, 30, 30]]), torch.tensor([[25.0, 10, 45, 30]])
    columns = [
        ("goose: picture_0", pixels),
        ("a: goose", np.array(draw_boxes(overlay(pixels, heat(values.float() / 255)), truth, moved))),
        ("b: other", np.array(draw_boxes(pixels, truth, truth))),
        ("c", np.array(draw_boxes(pixels, truth, None))),
    ]
    drawn = draw_pictures("abc", [shown, replace(shown, photo=tmp_path / "absent.png")])
    assert drawn is not None
    assert drawn.tobytes() == sheet([draw_strip(columns, "", TILE)], 1).tobytes()
    assert draw_pictures("abc", [replace(shown, photo=heat_map.with_name("absent.png"))]) is None


def test_classes_of_one_name_are_not_mixed(analyse: Script, tmp_path: Path) -> None:
    """ImageNet's cranes are a bird and a machine."""
    colours = {"a": ((9, 0, 0), (0, 9, 0)), "b": ((0, 0, 9), (9, 9, 0))}
    for name, pair in colours.items():
        folder = write_run(tmp_path / name, [record(i) for i in range(4)]) / "class_models" / "pictures"
        for number, colour in zip((134, 517), pair, strict=True):
            Image.new("RGB", (4, 4), colour).save(folder / f"{number:04d}_crane.png")
    (folder / "0000_goose.png").rename(folder / "0007_goose.png")  # one class, which nets of other classes number so
    analyse("task=compare", f"runs={tmp_path}/a,{tmp_path}/b", f"out={tmp_path / 'compared'}")
    kept = tmp_path / "compared" / "kept"
    assert {path.stem for path in kept.glob("class_*")} == {
        f"class_{name}_{run}" for name in ("goose", "0134_crane", "0517_crane") for run in (0, 1)
    }
    shown = [Image.open(kept / f"class_0134_crane_{run}.png").getpixel((0, 0)) for run in (0, 1)]
    assert shown == [(9, 0, 0), (0, 0, 9)]


def test_class_models_that_a_run_lacks_are_blank(tmp_path: Path) -> None:
    Image.new("RGB", (40, 60), (120, 60, 60)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    drawn = draw_class_models("ab", {"n01": [tmp_path / "a.png", tmp_path / "b.png"]})
    assert drawn is not None
    columns = [("a", np.array(Image.open(tmp_path / "a.png"))), ("b", np.full((60, 40, 3), 255, np.uint8))]
    assert drawn.tobytes() == sheet([draw_strip(columns, "", 60)], 1).tobytes()
    assert draw_class_models("ab", {"n01": [None, tmp_path / "b.png"]}) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("task=compare",), "runs= needs at least two folders, separated by commas: runs=runs/a,runs/b"),
        (("task=compare", "runs=RUNS/a"), "runs= needs at least two folders"),
        (("task=compare", "runs="), "runs= is empty: give folders of runs, separated by commas"),
        (("task=compare", "runs=RUNS/a,RUNS/b/../a"), "names the same folder twice: RUNS/a"),
        (("task=compare", "runs=RUNS/a,RUNS/c"), "RUNS/c is not a folder of results: there is no RUNS/c/config.yaml"),
        (("task=compare", "runs=RUNS/a,RUNS/b", "out=RUNS/b"), "out=RUNS/b is one of the runs"),
        (("task=saliency", "runs=RUNS/a,RUNS/b"), "runs belongs to task=compare, not to task=saliency"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], words: str, analyse: Script, runs: str, tmp_path: Path
) -> None:
    folder = str(tmp_path / "runs")
    given = [argument.replace("RUNS", folder) for argument in arguments]
    said = analyse(*given, code=2)
    assert words.replace("RUNS", folder) in said
    assert said.count("\n") == 1
    assert (tmp_path / "runs" / "b" / "localisation" / "pictures.jsonl").is_file()
