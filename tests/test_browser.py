"""A real small run, seen in a real browser: TensorBoard's tabs, and report.html as somebody uses it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from deepinside.events import read_scalars
from deepinside.report import write_report
from deepinside.runs import Run, open_run
from deepinside.tiles import letter_sizes

from .comparable_runs import record, write_run

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: pip install -e '.[test]'")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    *(
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
        "trainer.log_every_n_steps=1",
        "trainer.enable_progress_bar=false",
    ),
    *("data.shapes_train=64", "data.shapes_val=20", "data.batch_size=32", "monitor.max_overhead=null"),
    *("class_models.count=3", "class_models.steps=4", "class_models.every=1", "saliency.images=3", "saliency.every=1"),
    *("localisation.images=4", "localisation.every=1", "localisation.pictures=2", "sanity.images=2", "sanity.stages=2"),
)
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,1000"),
    *("--disable-background-networking", "--disable-component-update"),
)
# All text and all pictures of a page, through the shadow roots that TensorBoard is made of.
WALK = """
const text = [], pictures = [];
(function walk(node) {
  if (["STYLE", "SCRIPT", "TEMPLATE", "NOSCRIPT"].includes(node.nodeName)) return;
  if (node.nodeType === Node.TEXT_NODE) text.push(node.data);
  if (node.nodeName === "IMG") pictures.push(node.naturalWidth);
  if (node.shadowRoot) walk(node.shadowRoot);
  node.childNodes.forEach(walk);
})(document.body);
return [text.join(" ").replace(/\\s+/g, " "), pictures];
"""


def wait_for(seen: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """What `seen` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < end, f"not there after {seconds} s: {what}"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options, Service(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def trained(browser: WebDriver, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "small"
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, f"out={out}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith(f"report:  {out / 'report.html'}\n")
    return open_run(out)


@pytest.fixture(scope="module")
def tensorboard(trained: Run) -> Iterator[str]:
    """The address of a TensorBoard that has read the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["--host", "127.0.0.1", "--port", str(port), "--samples_per_plugin", "images=100"]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(trained.folder.parent), *options]

    def has_read() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/data/plugin/images/tags", timeout=5) as answer:
                return "sanity/pictures" in json.load(answer).get("small", {})  # among the last that a run logs
        except OSError:
            return False

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(has_read, "TensorBoard with the run", 60)
            yield address
        finally:
            server.terminate()


class SilentFiles(SimpleHTTPRequestHandler):
    """Serves a folder's files and logs no requests."""

    def log_message(self, *_: Any) -> None: ...


def visit(browser: WebDriver, url: str) -> None:
    browser.get("about:blank")  # else a change of the fragment alone loads nothing
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(url)


@pytest.mark.parametrize("tag", ["saliency/films", "class_models/growth"])
def test_tensorboard_shows_pictures_that_grow(browser: WebDriver, tensorboard: str, tag: str) -> None:
    visit(browser, f"{tensorboard}/?tagFilter={quote(tag, safe='')}#timeseries")

    def pictures() -> bool:
        text, widths = browser.execute_script(WALK)
        return tag in text and "Tags matching filter 3 cards" in text and sum(width > 200 for width in widths) >= 2

    assert wait_for(pictures, f"pictures of {tag}")


def test_tensorboard_shows_localisation_curves(browser: WebDriver, tensorboard: str, trained: Run) -> None:
    curves = read_scalars(trained.folder)
    visit(browser, f"{tensorboard}/?tagFilter=%5Elocalisation.*gt_known%23timeseries".replace("%23", "#"))
    rows = ("localisation", "localisation_centre_box", "localisation_whole_image")
    last = [curves[f"{row}/gt_known_accuracy"][-1][1] for row in rows]

    def told() -> bool:
        text, _ = browser.execute_script(WALK)
        return "Tags matching filter 3 cards" in text and all(f"{row} /gt_known" in text for row in rows)

    assert wait_for(told, "three cards of the ground-truth known accuracy")
    words = [f" {value:.4g} " for value in last]
    assert wait_for(lambda: all(word in browser.execute_script(WALK)[0] for word in words), f"the last values {words}")


def test_tensorboard_lists_true_hyper_parameters_and_results(
    browser: WebDriver, tensorboard: str, trained: Run
) -> None:
    visit(browser, f"{tensorboard}/#hparams")
    wanted = {
        "data.batch_size": f"{trained.config['data']['batch_size']:#.5g}",
        "model.name": trained.config["model"]["name"],
        "optim.lr": f"{trained.config['optim']['lr']:#.5g}",
        "test_localisation/gt_known_accuracy": f"{trained.metrics['localisation']['gt_known_accuracy']:#.5g}",
    }

    def told() -> bool:
        text, _ = browser.execute_script(WALK)
        _, there, table = text.partition("Trial ID")
        return bool(there) and all(word in table for pair in wanted.items() for word in pair)

    assert wait_for(told, f"a table with {wanted}")


@pytest.fixture
def report(browser: WebDriver, trained: Run) -> Iterator[WebDriver]:
    """The page, just opened; at the end it must have said nothing to the console and asked nobody for anything."""
    visit(browser, (trained.folder / "report.html").as_uri())
    yield browser
    check_silence(browser)


@pytest.fixture
def comparison(browser: WebDriver, tmp_path: Path) -> Iterator[WebDriver]:
    """Of two runs on eight pictures: of picture 2 the second one misses the box, of picture 5 the class."""
    good, worse = ([record(i) for i in range(8)] for _ in range(2))
    worse[2], worse[5] = record(2, shift=30), record(5, right=False)
    folders = [write_run(tmp_path / name, found, kept=6) for name, found in (("a", good), ("b", worse))]
    for folder in folders:
        with SummaryWriter(str(folder)) as writer:
            for step in range(3):
                writer.add_scalar("train/loss", step, step)
    for i in range(6):  # picture 3's maps are the least alike
        ramp = Image.linear_gradient("L").resize((30, 25))
        ramp.save(folders[0] / f"localisation/kept/{i}_map.png")
        (ramp.rotate(180) if i == 3 else ramp).save(folders[1] / f"localisation/kept/{i}_map.png")
    command = [sys.executable, str(ROOT / "analyse.py"), "task=compare", f"runs={folders[0]},{folders[1]}"]
    done = subprocess.run([*command, f"out={tmp_path / 'compared'}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    visit(browser, (tmp_path / "compared" / "report.html").as_uri())
    yield browser
    check_silence(browser)


def check_silence(browser: WebDriver) -> None:
    """The page has said nothing to the console and asked nobody for anything."""
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert urls
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}


def shown(browser: WebDriver) -> list[int]:
    script = "return [...document.querySelectorAll('.card')].filter(c => !c.hidden).map(c => Number(c.dataset.index))"
    found: list[int] = browser.execute_script(script)
    return found


def click(browser: WebDriver, selector: str) -> None:
    button = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()


def test_the_gallery_is_filtered_and_sorted(report: WebDriver, trained: Run) -> None:
    pictures = trained.pictures
    assert shown(report) == [picture.index for picture in pictures]
    click(report, "button[data-judge=class_known]")
    kind = max(trained.metrics["errors"]["class_known"], key=trained.metrics["errors"]["class_known"].get)
    click(report, f"button[data-kind={kind}]")
    wanted = [picture for picture in pictures if picture.class_known == kind]
    assert shown(report) == [picture.index for picture in wanted]
    name = wanted[0].class_name
    report.find_element(By.ID, "class").send_keys(name.upper())
    of_class = [picture for picture in wanted if picture.class_name == name]
    assert shown(report) == [picture.index for picture in of_class]
    assert report.find_element(By.ID, "count").text == f"{len(of_class)} of {len(pictures)} pictures"
    report.find_element(By.CSS_SELECTOR, "#sort option[value=iou]").click()
    by_iou = sorted(of_class, key=lambda picture: picture.localisation["mean_iou"])
    assert shown(report) == [picture.index for picture in by_iou]
    told = parse_qs(report.current_url.partition("#")[2])
    assert told == {"judge": ["class_known"], "kind": [kind], "class": [name.upper()], "sort": ["iou"]}
    report.refresh()
    assert shown(report) == [picture.index for picture in by_iou]


def test_bars_lead_to_their_pictures(report: WebDriver, trained: Run) -> None:
    judge, counts = "first_guess", trained.metrics["errors"]["first_guess"]
    kind = list(counts)[-1]
    click(report, f".bars a[href='#judge={judge}&kind={kind}']")
    assert wait_for(lambda: len(shown(report)) == counts[kind], f"the {counts[kind]} pictures of kind {kind}")


def test_the_theme_is_switched_and_remembered(browser: WebDriver, trained: Run) -> None:
    # Over HTTP: Chromium 156 loses what a file:// page has stored at about every sixth reload.
    background = "return getComputedStyle(document.body).backgroundColor"
    handler = partial(SilentFiles, directory=str(trained.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            visit(browser, f"http://127.0.0.1:{server.server_port}/report.html")
            before = browser.execute_script(background)
            click(browser, "#theme")
            after = browser.execute_script(background)
            assert after != before
            browser.refresh()
            assert browser.execute_script(background) == after
            click(browser, "#theme")
            assert browser.execute_script(background) == before
        finally:
            server.shutdown()


def test_the_large_view_by_keyboard_alone(report: WebDriver, trained: Run) -> None:
    active = "return document.activeElement.closest('.card')?.dataset.index ?? null"
    for _ in range(150):
        report.switch_to.active_element.send_keys(Keys.TAB)
        if report.execute_script(active) is not None:
            break
    first, second = trained.pictures[:2]
    assert report.execute_script(active) == str(first.index)
    report.switch_to.active_element.send_keys(Keys.ENTER)
    dialog, title = report.find_element(By.ID, "view"), report.find_element(By.ID, "view-title")
    assert dialog.get_attribute("open")
    assert title.text == first.class_name
    report.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert title.text == second.class_name
    assert report.find_element(By.ID, "view-place").text == f"2 of {len(trained.pictures)}"
    box = second.guesses[0].box
    drawn = report.find_element(By.CSS_SELECTOR, "#view rect.guess:not(.case)")
    assert [float(str(drawn.get_attribute(key))) for key in ("x", "y")] == box[:2]
    for key in (Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT):  # at the first picture the keys still work
        report.switch_to.active_element.send_keys(key)
    assert title.text == second.class_name
    report.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not dialog.get_attribute("open")
    assert report.execute_script(active) == str(second.index)


def test_a_long_gallery_begins_with_its_first_pictures(browser: WebDriver, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "long", [record(i, right=i != 44) for i in range(45)], kept=45)
    write_report(open_run(folder), folder / "report.html")
    visit(browser, (folder / "report.html").as_uri())
    seen = "return [...document.querySelectorAll('.card')].filter(c => c.offsetParent).length"
    assert browser.execute_script(seen) == 40
    browser.execute_script("document.querySelectorAll('.card button')[39].click()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)  # the large view leads on
    assert browser.find_element(By.ID, "view-place").text == "41 of 45"
    browser.refresh()
    click(browser, "#more")
    assert browser.execute_script(seen) == 45
    assert browser.execute_script("return document.activeElement.closest('.card').dataset.index") == "40"
    check_silence(browser)


def test_a_long_name_stays_within_the_large_view(browser: WebDriver, tmp_path: Path) -> None:
    """Of one picture without true boxes, which is neither right nor wrong."""
    one = replace(record(0), class_name="a_folder_s_name_without_spaces_" * 4, boxes=[])
    folder = write_run(tmp_path / "odd", [one], kept=1)
    write_report(open_run(folder), folder / "report.html")
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)  # type: ignore[attr-defined]
    try:
        visit(browser, (folder / "report.html").as_uri())
        assert browser.find_element(By.ID, "count").text == "1 of 1 picture"
        assert browser.find_elements(By.CSS_SELECTOR, ".card .verdict") == []
        browser.execute_script("document.querySelector('.card button').click()")
        wide = "const d = document.querySelector('#view .side'); return [d.scrollWidth, d.clientWidth]"
        assert browser.execute_script(wide) == [390, 390]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_the_slider_puts_the_map_over_the_picture(report: WebDriver) -> None:
    heat = "const h = document.querySelector('.card .heat'); return [getComputedStyle(h).display, h.naturalWidth]"
    assert report.execute_script(heat)[0] == "none"
    click(report, "#map")
    report.find_element(By.ID, "map").send_keys(Keys.END)
    wait_for(lambda: report.execute_script(heat) == ["block", 70], "the map")
    opacity = "return getComputedStyle(document.querySelector('.card .heat')).opacity"
    wait_for(lambda: report.execute_script(opacity) == "1", "an opaque map", 5)


def test_the_page_fits_a_phone(report: WebDriver) -> None:
    phone = {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    report.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)  # type: ignore[attr-defined]
    try:
        report.refresh()
        assert report.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    finally:
        report.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_white_paper_is_dimmed_in_the_dark_until_it_is_looked_at(report: WebDriver) -> None:
    paper = "return getComputedStyle(document.querySelector('.prints a')).backgroundColor"
    emulate = partial(report.execute_cdp_cmd, "Emulation.setEmulatedMedia")  # type: ignore[attr-defined]
    try:
        found = []
        for scheme in ("light", "dark"):
            emulate({"features": [{"name": "prefers-color-scheme", "value": scheme}]})
            found.append(report.execute_script(paper))
        report.find_element(By.CSS_SELECTOR, "#theme").send_keys(Keys.TAB)  # focus shows where the keyboard is
        report.execute_script("document.querySelector('.prints a').focus()")
        assert found[0] == report.execute_script(paper) == "rgb(255, 255, 255)"
        assert found[1] != found[0]
    finally:
        emulate({"features": []})


def test_words_in_panels_are_large_enough_to_read(report: WebDriver, trained: Run) -> None:
    """The smallest ones, of the titles, in CSS pixels."""
    width = "const i = document.querySelector('.sheets img'); return [i.clientWidth, Number(i.getAttribute('width'))]"
    for wide in (1400, 390):
        screen = {"width": wide, "height": 800, "deviceScaleFactor": 1, "mobile": wide < 500}
        report.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)  # type: ignore[attr-defined]
        try:
            seen, drawn = report.execute_script(width)
            assert letter_sizes(drawn)[0] * seen / drawn >= 8
            assert report.execute_script("return document.documentElement.scrollWidth") <= wide
        finally:
            report.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_a_comparison_is_filtered_and_sorted(comparison: WebDriver) -> None:
    assert shown(comparison) == [2, 5, 0, 1, 3, 4]  # the most disagreement first
    click(comparison, "[data-only=differs]")
    assert shown(comparison) == [2, 5]
    assert comparison.find_element(By.ID, "compared-count").text == "2 of 6 pictures"
    click(comparison, "[data-only=only0]")
    assert shown(comparison) == [2, 5]
    click(comparison, "[data-only=only1]")
    assert shown(comparison) == []
    click(comparison, "[data-only='']")
    comparison.find_element(By.CSS_SELECTOR, "#compared-sort option[value=index]").click()
    assert shown(comparison) == [0, 1, 2, 3, 4, 5]
    comparison.find_element(By.CSS_SELECTOR, "#compared-sort option[value=alike]").click()
    assert shown(comparison)[0] == 3
    comparison.find_element(By.ID, "compared-class").send_keys("no such class")
    assert shown(comparison) == []
    assert comparison.find_element(By.ID, "compared-empty").is_displayed()


def test_a_comparison_shows_its_pictures_and_its_theme(comparison: WebDriver) -> None:
    comparison.execute_script("document.querySelectorAll('img').forEach((img) => { img.loading = 'eager'; })")
    widths = "return [...document.images].filter((img) => !img.naturalWidth).map((img) => img.src)"
    wait_for(lambda: comparison.execute_script(widths) == [], "all pictures")
    lines = [line.text for line in comparison.find_elements(By.CSS_SELECTOR, "#lines .run")]
    assert lines == ["a", "b"]
    background = "return getComputedStyle(document.body).backgroundColor"
    before = comparison.execute_script(background)
    click(comparison, "#theme")
    assert comparison.execute_script(background) != before
    click(comparison, "#theme")
    assert comparison.execute_script(background) == before
