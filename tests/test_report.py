"""What Localisation keeps of each picture, and the report made of it: complete, escaped, without a network."""

import json
import math
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import torch
import yaml
from lightning.pytorch import Trainer, seed_everything
from PIL import Image
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from callbacks import Localisation
from callbacks.gathering import save_picture, spread
from deepinside.class_model_numbers import recipe
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig, DataConfig, LocalisationConfig, OptimConfig, TrainConfig
from deepinside.config.options import options
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes
from deepinside.data.shapes import Shapes
from deepinside.errors import UserError
from deepinside.events import read_scalars
from deepinside.files import write_json
from deepinside.load_config import load_config
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.plots import draw_class_model
from deepinside.provenance import provenance
from deepinside.records import Guess, PictureRecord, read_records
from deepinside.report import write_report
from deepinside.report.charts import Series, cut, line_chart, thinned, ticks
from deepinside.report.gallery import Card, kinds_of
from deepinside.report.page import kept
from deepinside.report.prints import prints
from deepinside.report.run_report import METHOD_TITLES, _about_class_models, _about_saliency, _lists
from deepinside.report.settings import settings
from deepinside.runs import Run, open_run
from deepinside.tasks.report import leave_report, report_again
from deepinside.words import hundredths, kind_name

ROOT = Path(__file__).resolve().parent.parent
TEN = Shapes("val", 0, 1).classes
ODD = "<b>\"ring\" & 'co'</b>"
PICTURES, KEPT = 20, 12
VOID = {"meta", "link", "img", "input", "br"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As train.py leaves it, from a net that has learnt nothing, with a class of an odd name."""
    folder = tmp_path_factory.mktemp("runs") / "odd & <i>name"
    seed_everything(0, verbose=False)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 10))
    names = Classes(TEN.ids, tuple(ODD if name == "ring" else name for name in TEN.names))
    convnet = ConvNet("tiny", net, Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64), names, ("3.weight", "3.bias"))
    localisation = Localisation(LocalisationConfig(kept=KEPT, preset="vgg"), folder / "localisation")
    data = PictureData(DataConfig(batch_size=8, workers=0), convnet, val=Shapes("val", 0, PICTURES))
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(callbacks=[localisation], **options)
    trainer.test(Classifier(convnet, OptimConfig()), data, verbose=False)
    write_json(folder / "metrics.json", localisation.results)
    write_json(folder / "provenance.json", provenance(0.0))
    (folder / "config.yaml").write_text(yaml.safe_dump({"name": ODD, "seed": 3, "data": {"name": "shapes"}}))
    (folder / "class_models" / "pictures").mkdir(parents=True)
    Image.new("RGB", (24, 26)).save(folder / "class_models" / "pictures" / "0001_ring & co.png")
    with SummaryWriter(str(folder)) as writer:
        for step in range(4):
            writer.add_scalar("val/top1_error", 1 - step / 10, step)
            writer.add_scalar("odd/<tag>", step, step)
    found = open_run(folder)
    write_report(found, folder / "report.html")
    return found


class Page(HTMLParser):
    """The elements of a page; fails where they are not closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, look: str = "") -> list[dict[str, str]]:
        return [a for name, a in self.elements if name == tag and (not look or look in a.get("class", "").split())]


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page((run.folder / "report.html").read_text(encoding="utf-8"))


def test_records_average_to_metrics_json(run: Run) -> None:
    assert [record.index for record in run.pictures] == list(range(PICTURES))
    for part in ("classification", "localisation"):
        for name in getattr(run.pictures[0], part):
            values = [getattr(record, part)[name] for record in run.pictures]
            assert sum(values) / PICTURES == pytest.approx(run.metrics[part][name], abs=1e-12), (part, name)
    assert set(run.pictures[0].localisation) == {
        key for key in run.metrics["localisation"] if not key.startswith(("images", "max_box"))
    }
    for judge in ("first_guess", "class_known"):
        assert Counter(getattr(record, judge) for record in run.pictures) == run.metrics["errors"][judge]


def test_records_hold_guesses_as_scored(run: Run) -> None:
    for record in run.pictures:
        assert len(record.guesses) == 5
        assert record.size == (70, 70)
        right = [bool(guess.right) for guess in record.guesses]
        assert record.localisation["top1_error"] == (not right[0])
        assert record.localisation["top5_error"] == (not any(right))
        assert all(
            guess.right == (guess.class_id == record.class_id and (guess.iou or 0) >= 0.5) for guess in record.guesses
        )
        assert record.localisation["gt_known_accuracy"] == (record.class_known == "right")
    assert {record.class_name for record in run.pictures} == {ODD if name == "ring" else name for name in TEN.names}


def test_pictures_are_kept_small_for_a_fixed_choice(run: Run) -> None:
    kept = [record for record in run.pictures if record.picture]
    assert [record.index for record in kept] == spread(KEPT, PICTURES)
    folder = run.pictures_folder
    assert folder is not None
    assert len(list((folder / "kept").iterdir())) == 2 * KEPT
    for record in kept:
        with Image.open(folder / str(record.picture)) as picture, Image.open(folder / str(record.saliency)) as heat:
            assert picture.size == heat.size == (70, 70)
            assert (picture.format, heat.mode) == ("JPEG", "L")
            low, high = heat.getextrema()
            assert (low, high) == (pytest.approx(0, abs=40), 255)


def test_large_pictures_are_shrunk(tmp_path: Path) -> None:
    from callbacks.kept import keep_files

    record = PictureRecord(3, "wide", (600, 900), "n1", "goose", [], [], [0, 0, 1, 1], {})
    kept = keep_files(record, torch.zeros(3, 600, 900, dtype=torch.uint8), torch.rand(600, 900), tmp_path)
    with Image.open(tmp_path / str(kept.picture)) as picture, Image.open(tmp_path / str(kept.saliency)) as heat:
        assert (picture.size, heat.size) == ((384, 256), (192, 128))


def test_a_bar_is_a_link_where_pictures_of_its_kind_were_kept(run: Run, page: Page) -> None:
    kept = [record for record in run.pictures if record.picture]
    kinds = {(judge, getattr(record, judge)) for record in kept for judge in ("first_guess", "class_known")}
    links = {a["href"] for a in page.all("a") if a.get("href", "").startswith("#judge=")}
    assert links == {f"#judge={judge}&kind={kind}" for judge, kind in kinds}


def test_every_link_of_the_page_is_there_and_none_leads_away(run: Run, page: Page) -> None:
    linked = [a[key] for _, a in page.elements for key in ("src", "href") if key in a]
    anchors = {f"#{a['id']}" for _, a in page.elements if "id" in a}
    files = 0
    for url in linked:
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) in (("", ""), ("data", "")), url
        if url.startswith("#"):
            assert url in anchors or "=" in url, url
        elif not parts.scheme:
            assert (run.folder / unquote(parts.path)).is_file(), url
            files += 1
    sheets = len(list((run.folder / "localisation" / "gallery").iterdir()))
    assert files == 2 * KEPT + 2 * (1 + PICTURES + sheets)  # a class model and the panels are links and pictures
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    for word in ("http:", "https:", "//cdn", "@import", "fetch("):
        assert word not in text
    assert {tag for tag, _ in page.elements} & {"iframe", "object", "embed"} == set()


def test_every_picture_has_a_size_and_a_text(page: Page) -> None:
    for image in page.all("img"):
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0
        assert image["loading"] == "lazy"
        assert image["alt"] or image["class"] == "heat"


def test_a_picture_s_caption_is_told_to_who_cannot_see_it(tmp_path: Path) -> None:
    tile = draw_class_model(torch.zeros(3, 8, 8, dtype=torch.uint8), "金鱼\nS = 1.0   P = 0.50")
    save_picture(tile, tmp_path / "0001_goldfish.png")
    Image.new("RGB", (24, 26)).save(tmp_path / "0002_ring_snake.png")  # as older runs left them
    told = [one["alt"] for one in prints(sorted(tmp_path.glob("*.png")), "class model")]
    assert told == ["class model: 金鱼, S = 1.0   P = 0.50", "class model: ring snake"]


def test_the_page_says_how_many_pictures_it_has(page: Page) -> None:
    assert [kept([0] * n, total) for n, total in ((1, 1), (24, 24), (1, 9), (200, 50_000))] == [
        "The one picture was kept",
        "All 24 pictures were kept",
        "1 of the 9 pictures was kept",
        "200 of the 50,000 pictures were kept",
    ]
    assert f"{KEPT} of the {PICTURES} pictures were kept." in " ".join(page.text)


def test_cards_tell_what_the_records_hold(run: Run, page: Page) -> None:
    cards, photos = page.all("li", "card"), page.all("img", "photo")
    kept = [record for record in run.pictures if record.picture]
    assert len(cards) == len(photos) == KEPT
    for card, photo, record in zip(cards, photos, kept, strict=True):
        assert int(card["data-index"]) == record.index
        assert (card["data-kind-first"], card["data-kind-known"]) == (record.first_guess, record.class_known)
        assert float(card["data-iou-first"]) == record.guesses[0].iou
        assert float(card["data-iou-known"]) == record.localisation["mean_iou"]
        assert card["data-class"] == f"{record.class_name} {record.class_id}"
        known = kind_name(record.class_known)
        for told in (record.class_name, known, hundredths(record.localisation["mean_iou"])):
            assert told in photo["alt"]
    truth = [rect for rect in page.all("rect", "truth") if "case" not in rect["class"]]
    drawn = [[float(rect[key]) for key in ("x", "y", "width", "height")] for rect in truth]
    assert drawn == [[x0, y0, x1 - x0, y1 - y0] for record in kept for x0, y0, x1, y1 in record.boxes]


def test_a_picture_without_boxes_has_a_card(tmp_path: Path) -> None:
    record = PictureRecord(
        3, "p", (60, 90), "n1", "goose", [], [Guess("n2", "swan", 0.5, [0, 0, 9, 9])], [0, 0, 1, 1], {}
    )
    card = Card(record, tmp_path, None)
    assert card.alt == "goose; first guess swan, P 0.50; no true boxes"
    assert card.kinds == {"first_guess": "no_boxes", "class_known": "no_boxes"}
    assert list(kinds_of([card])) == ["no_boxes"]
    assert [guess["below"] for guess in card.about["guesses"]] == ["", ""]


def test_a_box_on_no_true_one_is_elsewhere(tmp_path: Path) -> None:
    """The picture may hold one object: no words about instances, whatever the key is."""
    own = {"localisation": {"mean_iou": 0.0}, "first_guess": "wrong_instance", "class_known": "wrong_instance"}
    guess, box = Guess("n1", "goose", 0.5, [0, 0, 9, 9], 0.0, False), [50, 50, 60, 60]
    card = Card(PictureRecord(3, "p", (60, 90), "n1", "goose", [box], [guess], [0, 0, 9, 9], {}, **own), tmp_path, None)
    assert card.alt.endswith("P 0.50: elsewhere, IoU 0.00; class known: elsewhere, IoU 0.00")
    assert card.about["lines"][1] == "first guess: elsewhere; class known: elsewhere"
    assert list(kinds_of([card])) == ["wrong_instance"]


def test_odd_names_are_text_and_nothing_else(page: Page) -> None:
    text = (page.text, [a.get("alt", "") for a in page.all("img")])
    assert all(any(ODD in part for part in parts) for parts in text)
    bold = page.all("b")
    assert all(not a for a in bold)
    assert not page.all("tag")
    about = next(json.loads(part) for part in page.text if part.startswith('{"'))
    assert ODD in {one["class"] for one in about.values()}
    assert len(about) == KEPT
    assert all(len(one["guesses"]) == 6 for one in about.values())


def test_figures_are_those_of_metrics_json(run: Run, page: Page) -> None:
    values = {float(a["value"]) for a in page.all("data")}
    metrics = run.metrics
    rows = [metrics["localisation"], *metrics["baselines"].values()]
    wanted = {row[key] for row in rows for key in row if key != "images"}
    wanted |= {metrics["classification"][key] for key in ("top1_error", "top5_error")}
    wanted |= {difference[0] for difference in metrics["intervals"]["minus_centre_box"].values()}
    assert values == wanted
    low, high = metrics["intervals"]["localisation"]["gt_known_accuracy"]
    assert any(f"[{100 * low:.1f}, {100 * high:.1f}]" in part for part in page.text)
    counts = ["".join(part.split()) for part in page.text]
    assert all(str(count) in counts for count in metrics["errors"]["first_guess"].values())


def test_the_page_tells_how_it_came_about(run: Run, page: Page) -> None:
    text = " ".join(page.text)
    made = json.loads((run.folder / "provenance.json").read_text())
    assert made["command"].startswith("python ")
    assert made["command"] in text
    assert (
        made["versions"]["torch"] == torch.__version__.split("+")[0] or made["versions"]["torch"] == torch.__version__
    )
    assert f"lightning {made['versions']['lightning']}" in text
    changed, everything = settings(run.config)
    assert ("seed", "3", "0") in changed
    assert ("data.name", "shapes") in everything
    assert "data.name" not in [key for key, *_ in changed]


def test_a_run_that_went_on_is_made_again_by_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all parts together, with the folder as it was typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "resume=runs/a b", "trainer.max_epochs=9"])
    out = Path("runs/a b")
    now = time.time()
    unknown = provenance(now - 50, out)
    assert unknown["command"] == "python train.py 'config=runs/a b/config.yaml' 'name=a b_again'"
    assert unknown["seconds"] is None
    write_json(out / "provenance.json", {"seconds": 100.5, "started": "2026-01-02 03:04:05 +0000"})
    known = provenance(now - 50, out)
    assert known["seconds"] == pytest.approx(150.5, abs=10)
    assert known["started"].startswith("2026-01-02")
    assert provenance(now - 50)["seconds"] == pytest.approx(50, abs=10)
    assert provenance(now - 50)["command"].startswith("python train.py 'resume=")


def test_the_page_says_what_its_maps_are() -> None:
    assert _about_saliency({}) == (
        "Which pixels the class score hangs on, from one back-prop pass (paper, section 3.1)."
    )
    other = {"method": "guided", "reduction": "l2", "score": "log_softmax"}
    assert (
        _about_saliency(other) == "Which pixels the log soft-max hangs on, by guided back-prop; l2 over the channels."
    )
    offered = next(f for key, f in options(AnalyseConfig) if key == "saliency.method").metadata["choices"]
    assert {"gradient", *METHOD_TITLES} == set(offered)


def test_the_page_says_what_its_class_models_were_made_with() -> None:
    """The same words as the terminal's, and that the traces are of other pictures than the paper's."""
    config = load_config(TrainConfig, [], ROOT / "configs").class_models
    assert recipe(vars(config)) == "preset paper, but lambda 3e-05, jitter 4, 300 steps"
    assert _about_class_models(asdict(config)).endswith(
        "Preset paper, but lambda 3e-05, jitter 4, 300 steps; traces are of the pictures shifted, as they were shown."
    )
    assert _about_class_models({}).endswith("section 2). Preset paper, lambda 1e-05, 200 steps.")
    natural = _about_class_models({"preset": "natural", "steps": 90, "objective": "log_softmax"})
    assert "natural, lambda 1e-06, but objective log_softmax, 90 steps; traces" in natural
    assert "shifted, zoomed and turned, as" in natural
    assert _about_class_models({"preset": "of another version"}).endswith("section 2).")


def test_settings_that_are_defaults_are_not_told() -> None:
    config = TrainConfig()
    assert settings(asdict(config))[0] == []
    config.data.contrast = [0.5, 1.0]
    assert settings(asdict(config))[0] == [("data.contrast", "0.5, 1.0", "1.0, 1.0")]


def test_a_folder_with_nothing_but_a_configuration_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: saliency\n")
    write_report(open_run(tmp_path), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert [a["id"] for a in page.all("section")] == ["made"]


def test_task_report_makes_it_anew_without_torch(run: Run) -> None:
    page = run.folder / "report.html"
    before = page.read_text()
    page.unlink()
    code = "import sys, analyse; analyse.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, "task=report", f"run={run.folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"report:  {page}\n"
    assert page.read_text() == before


def test_task_report_takes_a_run_or_the_newest_and_writes_beside_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, task in (("runs/a", "null"), ("compared", "compare")):
        (tmp_path / folder / "checkpoints").mkdir(parents=True)
        (tmp_path / folder / "checkpoints" / "last.ckpt").touch()
        (tmp_path / folder / "config.yaml").write_text(f"task: {task}\n")
    report_again(AnalyseConfig(task="report", run="latest"))
    assert (tmp_path / "runs" / "a" / "report.html").is_file()
    assert capsys.readouterr().out == "report:  runs/a/report.html\n"
    for words, given in {
        "needs run=DIR": {},
        "into the run's folder, beside its pictures: without out=": {"run": "runs/a", "out": "elsewhere"},
        "compared is a comparison: its task=compare command": {"run": "compared"},
    }.items():
        with pytest.raises(UserError, match=words):
            report_again(AnalyseConfig(task="report", **given))
    assert not (tmp_path / "compared" / "report.html").exists()


def test_a_gpu_that_torch_cannot_use_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver counts it, also where it is too old for torch, which fails when asked for its name."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert provenance(0.0)["machine"]["gpus"] == []


@pytest.mark.parametrize(("resumed", "seconds"), [(True, 150), (False, 50)])
def test_a_report_counts_earlier_parts_of_a_run_that_went_on(tmp_path: Path, resumed: bool, seconds: float) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    write_json(tmp_path / "provenance.json", {"seconds": 100.0, "started": "2026-01-02 03:04:05 +0000"})
    leave_report(tmp_path, time.time() - 50, resumed)
    assert json.loads((tmp_path / "provenance.json").read_text())["seconds"] == pytest.approx(seconds, abs=20)
    assert (tmp_path / "report.html").is_file()


def test_curves_are_read_back_and_drawn(run: Run, page: Page, tmp_path: Path) -> None:
    curves = read_scalars(run.folder)
    assert curves["val/top1_error"] == [(step, pytest.approx(1 - step / 10)) for step in range(4)]
    assert read_scalars(tmp_path) == {}
    titles = [a for a in page.all("figure", "chart")]
    assert len(titles) == 2
    assert "odd/<tag>" in page.text
    with SummaryWriter(str(tmp_path)) as writer:  # a step that a resumed run logged again
        for value in (1.0, 2.0):
            writer.add_scalar("a", value, 7)
            writer.add_scalar("a", value, 5)
    assert read_scalars(tmp_path) == {"a": [(5, 2.0), (7, 2.0)]}
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-9])  # as a killed run leaves it
    assert read_scalars(tmp_path) == {"a": [(5, 1.0), (7, 2.0)]}


def test_axes_have_round_numbers_that_hold_the_data() -> None:
    assert ticks(0, 1, 4) == [0, 0.5, 1]
    assert ticks(0.11, 0.93, 4) == [0, 0.5, 1]
    assert ticks(2.1, 2.37, 4) == pytest.approx([2.1, 2.2, 2.3, 2.4])
    assert ticks(-3, 12, 4) == [-5, 0, 5, 10, 15]
    assert ticks(1e-13, 2e-13, 4) == pytest.approx([1e-13, 1.5e-13, 2e-13], rel=1e-9)
    for value in (0.4, 0.0, 1e-200, 1e-5):
        low, *_, high = ticks(value, math.nextafter(value, 1), 4)
        assert low < value < high


def test_the_numbers_of_an_axis_have_equally_many_decimals() -> None:
    told = Page(str(line_chart("loss", [Series("a", [(0, 2.16), (1, 2.34)])]))).text
    assert {"2.15", "2.20", "2.30", "2.35"} <= set(told)
    assert "\N{MINUS SIGN}0.5" in Page(str(line_chart("score", [Series("a", [(0, -0.5), (1, 1.5)])]))).text


def test_lists_of_an_analysis_align_words_and_tell_numbers_alike() -> None:
    rows = [{"score": -0.2388, "class": "heart", "labelled": True}, {"score": 2, "class": "disc", "labelled": False}]
    ((title, columns, cells, texts),) = _lists({"pictures": rows, "images": 2})
    assert (title, columns, texts) == ("pictures", ["class", "score", "labelled"], [0, 2])
    assert cells == [["heart", "\N{MINUS SIGN}0.2388", "yes"], ["disc", "2", "no"]]


def test_both_objectives_are_shown_and_told(tmp_path: Path) -> None:
    """As class_models.compare leaves them: a figure, and numbers beside each class's own."""
    (tmp_path / "config.yaml").write_text("task: class_model\nclass_models: {compare: log_softmax}\n")
    Image.new("RGB", (24, 26)).save(tmp_path / "objectives.png")
    other = {"objective": "log_softmax", "score": 3.5, "no_gradient": False, "judge_rank": 2}
    own = {"class": "heart", "objective": "score", "score": 7.25, "no_gradient": False, "judge_rank": 1}
    alone = own | {"class": "disc"}
    write_json(tmp_path / "metrics.json", {"classes": [own | {"compared": other}, alone]})
    found = open_run(tmp_path)
    ((_, columns, cells, _),) = _lists(found.metrics)
    beside = ["log_softmax score", "log_softmax judge_rank"]
    assert columns == ["class", "objective", "score", "no_gradient", "judge_rank", *beside]
    assert [line[-2:] for line in cells] == [["3.5", "2"], ["\N{EN DASH}"] * 2]
    write_report(found, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert [a["src"] for a in page.all("img")] == ["objectives.png"]
    assert {"Both objectives side by side", "log softmax score"} <= set(page.text)


def test_long_curves_are_averaged_and_keep_their_end() -> None:
    points = [(x, float(x % 2)) for x in range(10_000)]
    drawn = thinned([*points, (10_000, math.nan)])
    assert len(drawn) == 300
    assert drawn[-1] == points[-1]
    assert all(abs(y - 0.5) < 0.05 for _, y in drawn[:-1])


def test_lines_lie_where_their_values_are() -> None:
    chart = line_chart("a < b", [Series("flat", [(0, 0.5), (10, 0.5)]), Series("none", [])], percent=True)
    inner = Page(str(chart))
    path = next(a["d"] for tag, a in inner.elements if tag == "path" and a["d"].count("L"))
    heights = {point.split()[1] for point in path[1:].split("L")}
    assert len(heights) == 1
    assert any("flat: 50 to 50" in part for part in inner.text)
    assert "none" not in " ".join(inner.text)
    assert "a < b" in inner.text
    assert line_chart("nothing", [Series("none", [])]) == ""
    nan = Series("lost", [(0, math.nan), (1, math.inf)])
    assert line_chart("nothing", [nan]) == ""
    assert "lost" not in line_chart("half", [nan, Series("there", [(0, 1.0), (1, 2.0)])])


def test_a_flat_line_of_fractions_stays_within_them() -> None:
    chart = Page(str(line_chart("all right", [Series("flat", [(0, 1.0), (10, 1.0)])], percent=True)))
    assert "100" in chart.text
    assert not {"120", "150"} & set(chart.text)


def test_names_of_lines_are_cut_and_stay_apart() -> None:
    assert cut(["saliency", "centre box"]) == ["saliency", "centre box"]
    dates = ["vgg16_finetuned_2026-11-23", "vgg16_finetuned_2026-11-24"]
    assert cut(dates) == ["vgg16_f…-11-23", "vgg16_f…-11-24"]
    middles = ["vgg16_lr_0.1_and_the_rest", "vgg16_lr_0.2_and_the_rest"]
    assert cut(middles) == ["…1_and_the_re…", "…2_and_the_re…"]
    assert all(len(name) <= 14 for name in cut([*middles, *dates]))
    lines = [Series(f"run{i}", [(0, i), (1, i)]) for i in range(9)]
    assert ['class="names"' in line_chart("a", lines[:count]) for count in (8, 9)] == [True, False]


def test_records_survive_the_file(run: Run, tmp_path: Path) -> None:
    folder = run.pictures_folder
    assert folder is not None
    assert read_records(folder / "pictures.jsonl") == run.pictures
