"""Files that are damaged, or made to do damage: one line each; nothing is started, nothing waits for ever."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.film_strips import Looks
from deepinside.compare.kept import _copy
from deepinside.config import DataConfig
from deepinside.data.annotations import read_solution_csv, read_voc_xml
from deepinside.data.box_files import read_boxes
from deepinside.data.decode import decode
from deepinside.data.devkit import read_blacklist
from deepinside.data.listing import find_pictures
from deepinside.data.picture import UnreadablePicture
from deepinside.data.source import open_split
from deepinside.errors import UserError
from deepinside.files import replacing
from deepinside.launch import run_script
from deepinside.load_config import load_config
from deepinside.models.weights import load_weights
from deepinside.predictions import read_csv, read_submission
from deepinside.report.prints import prints
from deepinside.result_tables import markdown_table
from deepinside.runs import open_run
from deepinside.tasks.compared_maps import read_map
from tests.benchmarks.localisation_table import RECIPES, TableConfig

from . import trees
from .comparable_runs import record, write_run


def bomb(path: Path, side: int) -> Path:
    """A white PNG of side x side, one bit a pixel: some kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((1 + side // 8) * side), 9)
    header = pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_no_other_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    started = tmp_path / "started"
    trees.write(tmp_path / "bin" / "gs", f"#!/bin/sh\ntouch {started}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    trees.draw(0).save(tmp_path / "eps.eps")
    picture = (tmp_path / "eps.eps").rename(tmp_path / "photo.jpg")
    with pytest.raises(UnreadablePicture, match="not a picture in a known format"):
        decode(picture)
    with pytest.raises(UserError, match="is not a picture that can be read"):
        read_map(picture, (8, 8))
    assert prints([picture], "a print") == []
    assert not started.exists()


def test_a_picture_of_more_pixels_than_fit_is_not_unpacked(tmp_path: Path) -> None:
    file = bomb(tmp_path / "large.png", 20_000)
    assert file.stat().st_size < 100_000
    with pytest.raises(UnreadablePicture, match=r"exceeds limit of \d+ pixels"):
        decode(file)
    with pytest.raises(UserError, match="is not a picture that can be read"):
        read_map(file, (8, 8))
    assert prints([file], "a print") == []
    assert decode(bomb(tmp_path / "small.png", 64)).shape == (3, 64, 64)
    Image.new("L", (20_000, 20_000), 128).save(tmp_path / "large.jpg", quality=1)
    with pytest.raises(UnreadablePicture, match=r"exceeds limit of \d+ pixels"):
        decode(tmp_path / "large.jpg")


@pytest.mark.parametrize("kind", ["JPEG2000", "PPM"])
def test_what_pillow_reads_by_itself_is_read_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    trees.draw(0).save(tmp_path / "photo.jpg", format=kind)
    assert decode(tmp_path / "photo.jpg").shape == (3, 24, 32)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.xml"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(UnreadablePicture, match="a pipe, no file"):
        decode(tmp_path / "x.jpg")
    with pytest.raises(UserError, match="not a VOC annotation: it is no file"):
        read_voc_xml(tmp_path / "x.xml")


@pytest.mark.skipif(os.name == "nt", reason="there all names are Unicode")
def test_names_in_another_encoding_are_told_before_any_work(tmp_path: Path) -> None:
    """Reports, records and tables could not be written with them."""
    try:
        trees.save(tmp_path / os.fsdecode(b"caf\xe9") / "a.png")
    except OSError:
        pytest.skip("this file system refuses them")
    trees.save(tmp_path / "cup" / os.fsdecode(b"th\xe9.png"))
    with pytest.raises(UserError, match="the name 'café' is not in UTF-8: rename it"):
        open_split(DataConfig("folder", root=str(tmp_path)), "train", 0)
    for split in ("train", "val"):  # beside them nobody reads the name
        trees.save(tmp_path / split / "cup" / "a.png")
    assert open_split(DataConfig("folder", root=str(tmp_path)), "val", 0).classes.names == ("cup",)
    with pytest.raises(UserError, match=r"the name 'thé\.png' is not in UTF-8"):
        find_pictures(tmp_path / "cup")
    with pytest.raises(UserError, match=r"config error: data\.root= is not in UTF-8"):
        load_config(TableConfig, ["data.root=" + os.fsdecode(b"caf\xe9")], RECIPES)


def test_only_what_lies_in_a_run_is_copied_from_it(tmp_path: Path) -> None:
    """A comparison is made to be passed on; a record of a foreign run may name any file."""
    (tmp_path / "secret.txt").write_text("mine")
    folder = write_run(tmp_path / "run", [record(0)], kept=1)
    run = open_run(folder)
    assert run.pictures_folder is not None
    (run.pictures_folder / "link.jpg").symlink_to(tmp_path / "secret.txt")
    (run.pictures_folder / "ring.jpg").symlink_to("ring.jpg")
    for name in (str(tmp_path / "secret.txt"), "../../secret.txt", "link.jpg", "ring.jpg", "a\0b", ""):
        assert run.kept(name) is None
    kept = run.kept(run.pictures[0].picture)
    assert kept is not None
    assert _copy(kept, tmp_path / "out", "00000").is_file()


def test_a_link_where_half_a_file_would_lie_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "report.part").symlink_to(tmp_path / "mine.txt")
    with replacing(tmp_path / "report.html") as part:
        part.write_text("report")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "report.html").read_text() == "report"


@pytest.mark.parametrize("damage", ["empty", "half", "untitled", "objects"])
def test_a_damaged_look_is_left_out(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And told of once; it would end each resume, after the last results were removed."""
    good = {"title": np.array("epoch 1"), "maps": np.zeros((1, 2, 2), np.float16)}
    np.savez(tmp_path / "3.npz", **good)
    (tmp_path / "².npz").touch()
    bad = tmp_path / "6.npz"
    if damage == "empty":
        bad.touch()
    elif damage == "half":
        bad.write_bytes((tmp_path / "3.npz").read_bytes()[:200])
    elif damage == "untitled":
        np.savez(bad, maps=good["maps"])
    else:
        np.savez(bad, **good | {"maps": np.array([None])})
    looks = Looks(tmp_path)
    assert looks.steps() == looks.steps() == [3]
    assert capsys.readouterr().out == f"{bad} is damaged: that look is left out\n"
    beginning: Any = SimpleNamespace(is_global_zero=True)
    Looks(tmp_path).forget_after(0, beginning)  # another run in this folder
    assert list(tmp_path.glob("[0-9].npz")) == []
    assert capsys.readouterr().out == ""


def test_a_look_that_another_process_removes_is_not_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one forgets what lies after the step that a run goes on from; the others list what is there."""
    first: Any = SimpleNamespace(is_global_zero=True, global_step=500)
    second: Any = SimpleNamespace(is_global_zero=False, global_step=500)
    np.savez(tmp_path / "500.npz", title=np.array("before"))
    one, other = Looks(tmp_path), Looks(tmp_path)
    named = other._named()
    one.forget_after(0, first)
    with monkeypatch.context() as then:
        then.setattr(other, "_named", lambda: named)
        assert other.steps() == []
    for looks, trainer in ((one, first), (other, second)):
        looks.add(trainer, "now", {"maps": np.zeros((1, 2, 2), np.float16)})
    assert one.steps() == other.steps() == [500]
    assert capsys.readouterr().out == ""


EDGES = {"1e39": "1e39", "of 400 digits": "9" * 400}


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("a.xml", None, read_voc_xml),
        ("s.csv", "ImageId,PredictionString\na,n01440764 1 2 EDGE 4\n", read_solution_csv),
        ("localization.txt", "val/a.jpg,1,2,EDGE,4\n", read_boxes),
        ("p.csv", "image,rank,wnid,xmin,ymin,xmax,ymax\na,1,n01440764,1,2,EDGE,4\n", read_csv),
        ("submission.txt", "1 1 2 EDGE 4\n", lambda path: read_submission(path, ["a"], {"n01440764": 1})),
    ],
)
def test_an_edge_that_is_no_number_of_pixels(
    tmp_path: Path, name: str, text: str | None, read: Callable[[Path], Any], edge: str
) -> None:
    file = tmp_path / name
    if text is None:
        trees.write_xml(file, [("n01440764", (1, 2, 3, 4))])
        text = file.read_text().replace("<xmax>3<", "<xmax>EDGE<")
        assert "EDGE" in text
    file.write_text(text.replace("EDGE", edge))
    with pytest.raises(UserError) as told:
        read(file)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("words", ["no encoding", "a folder", "a dangling link", "a size of 400 digits"])
def test_an_annotation_that_is_none(tmp_path: Path, words: str) -> None:
    file = tmp_path / "a.xml"
    if words == "a folder":
        file.mkdir()
    elif words == "a dangling link":
        file.symlink_to(tmp_path / "gone.xml")
    else:
        trees.write_xml(file, [("n01440764", (1, 2, 3, 4))])
        text = file.read_text()
        if words == "no encoding":
            file.write_text('<?xml version="1.0" encoding="foo"?>' + text)
        else:
            file.write_text(text.replace("<width>32<", f"<width>{'9' * 400}<"))
            assert file.read_text() != text
    with pytest.raises(UserError, match="not a VOC annotation"):
        read_voc_xml(file)


@pytest.mark.parametrize(
    ("name", "sizes", "words"),
    [
        ("val/a.jpg", "val/a.jpg,-10,10", "a.jpg has -10 x 10 pixels"),
        ("val/a.jpg", "val/a.jpg,0,0", "a.jpg has 0 x 0 pixels"),
        ("/", "/,5,5", "'/' is no name of a picture"),
        (".", ".,5,5", "'.' is no name of a picture"),
    ],
)
def test_rows_about_no_picture(tmp_path: Path, name: str, sizes: str, words: str) -> None:
    (tmp_path / "localization.txt").write_text(f"{name},1,2,3,4\n")
    (tmp_path / "image_sizes.txt").write_text(f"{sizes}\n")
    with pytest.raises(UserError, match=words):
        read_boxes(tmp_path)


def test_a_number_in_a_blacklist_that_is_none_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("9" * 5000)
    assert read_blacklist(tmp_path / "list.txt") == {"9" * 5000}


ABOUT: dict[str, Any] = {
    "model": "shapes_convnet",
    "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "resize": 64, "crop": 64},
    "classes": {"ids": ["a", "b"], "names": ["a", "b"]},
}


@pytest.mark.parametrize(
    "about",
    [
        5,
        {},
        ABOUT | {"classes": None},
        ABOUT | {"classes": {"ids": ["a", "b"], "names": ["a"]}},
        ABOUT | {"preprocessing": ABOUT["preprocessing"] | {"mean": "abc"}},
        ABOUT | {"preprocessing": ABOUT["preprocessing"] | {"crop": [64]}},
        ABOUT | {"preprocessing": {"mean": [0.5] * 3}},
    ],
)
def test_a_checkpoint_whose_words_about_its_net_are_damaged(tmp_path: Path, about: Any) -> None:
    file = tmp_path / "a.ckpt"
    state = {"convnet.net.weight": torch.zeros(2)}
    torch.save({"state_dict": state, "deepinside": ABOUT}, file)
    found = load_weights("shapes_convnet", str(file))
    assert found is not None
    assert found.classes is not None
    assert found.classes.names == ("a", "b")
    torch.save({"state_dict": state, "deepinside": about}, file)
    with pytest.raises(UserError, match="is damaged: what it tells of its net") as told:
        load_weights("shapes_convnet", str(file))
    assert "\n" not in str(told.value)


def test_cells_are_text() -> None:
    table = markdown_table(["class"], [["<img src=x>"], ["a|b\nc & d"]])
    assert table.splitlines()[2:] == ["| &lt;img src=x> |", "| a\\|b c &amp; d |"]


def test_a_path_that_is_too_long_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_script(lambda _: print((tmp_path / ("x" * 300)).read_text()))
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "File name too long" in told
