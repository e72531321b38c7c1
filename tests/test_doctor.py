"""The doctor: each damage that is done to a tree is found, named, and told how to mend; a healthy one is not blamed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from deepinside.config import AnalyseConfig, ModelConfig
from deepinside.data.ilsvrc import imagenet_wnids
from deepinside.data.module import usable_cpus
from deepinside.data.picture import Classes
from deepinside.doctor import Finding, check_data, check_machine, check_names, check_weights, machine
from deepinside.doctor.labels import check_order
from deepinside.doctor.layout import recognise
from deepinside.doctor.pictures import spread_evenly
from deepinside.errors import UserError
from deepinside.load_config import load_config
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.tasks.doctor import examine

from . import trees

ROOT = Path(__file__).resolve().parent.parent
VAL = "ILSVRC/Data/CLS-LOC/val"
XML = "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
FIRST = f"{VAL}/ILSVRC2012_val_00000001.JPEG"


def look(root: Path, name: str | None = None) -> list[Finding]:
    return check_data(root, name, 100, 100)[0]


def states(findings: list[Finding]) -> dict[str, str]:
    """{what: the worst state}."""
    order = ("ok", "warn", "blocks")
    return {f.what: max((g.state for g in findings if g.what == f.what), key=order.index) for f in findings}


def test_a_healthy_official_tree_has_nothing_in_the_way(tmp_path: Path) -> None:
    findings = look(trees.official(tmp_path))
    told = {finding.what: finding.found for finding in findings}
    assert told["layout"].startswith("ImageNet as distributed")
    assert told["train: classes"] == "6 pictures of 3 classes, 2 a class"
    assert told["val: boxes"] == "3 of 3 pictures have an XML, 4 boxes in the 3 read"
    assert told["label order"] == "LOC_synset_mapping.txt: 3 classes, not sorted by WNID (it is read as if it were)"
    assert told["ImageNet's classes"] == "all 3 classes are ILSVRC2012's"
    # Two training pictures a class are few, and nothing else is to be said.
    assert {f.what for f in findings if f.state != "ok"} == {"train: classes with few pictures"}


Damage = Callable[[Path], Any]
DAMAGES: dict[str, tuple[Damage, str, str, str]] = {
    "empty": (
        lambda r: (r / FIRST).write_bytes(b""),
        "val: empty files",
        "1 of 0 bytes: ILSVRC2012_val_00000001",
        "warn",
    ),
    "no picture": (
        lambda r: (r / FIRST).write_text("<html>404"),
        "val: unreadable",
        "1 of 3 opened cannot be read: ILSVRC2012_val_00000001.JPEG (not a picture",
        "warn",
    ),
    "cut off": (
        lambda r: (r / FIRST).write_bytes((r / FIRST).read_bytes()[:-20]),
        "val: unreadable",
        "ILSVRC2012_val_00000001.JPEG (image file is truncated",
        "warn",
    ),
    "missing": (
        lambda r: (r / FIRST).unlink(),
        "val: missing pictures",
        "1 of 3 in val.txt are not there: ILSVRC2012_val_00000001.JPEG",
        "warn",
    ),
    "others": (lambda r: (r / VAL / "val.tar").touch(), "val: other files", "1 file is no picture", "warn"),
    "broken link": (
        lambda r: (r / VAL / "gone.JPEG").symlink_to("nowhere"),
        "val: links",
        "1 lead nowhere: gone.JPEG",
        "warn",
    ),
    "broken link of a class": (
        lambda r: (r / "ILSVRC/Data/CLS-LOC/train/n02085936").symlink_to("nowhere"),
        "train: links",
        "1 lead nowhere: n02085936",
        "warn",
    ),
    "CMYK": (
        lambda r: Image.new("CMYK", (32, 24)).save(r / FIRST, "JPEG"),
        "val: pictures",
        "2 colour, 1 CMYK; all are read as RGB",
        "ok",
    ),
    "no XML": (lambda r: (r / XML).unlink(), "val: boxes", "2 of 3 pictures have an XML", "warn"),
    "broken XML": (lambda r: (r / XML).write_text("<annotation>"), "val: odd boxes", "no VOC annotation", "warn"),
    "XML of nothing": (
        lambda r: shutil.copy(r / XML, (r / XML).with_name("ILSVRC2012_val_00000009.xml")),
        "val: XMLs without picture",
        "1 in ",
        "warn",
    ),
    "outside": (
        lambda r: trees.write_xml(r / XML, [(trees.CHIHUAHUA, (0, 0, 32, 23))]),
        "val: odd boxes",
        "1 of 3: outside the picture: ILSVRC2012_val_00000001.xml",
        "warn",
    ),
    "reversed": (
        lambda r: trees.write_xml(r / XML, [(trees.CHIHUAHUA, (9, 0, 4, 5))]),
        "val: odd boxes",
        "1 of 3: empty or reversed (min > max)",
        "warn",
    ),
    "other class": (
        lambda r: trees.write_xml(r / XML, [(trees.TENCH, (1, 0, 4, 5))]),
        "val: odd boxes",
        "1 of 3: without a box of its class",
        "warn",
    ),
    "sizeless": (
        lambda r: trees.write_xml(r / XML, [(trees.CHIHUAHUA, (1, 0, 4, 5))], size=None),
        "val: odd boxes",
        "1 of 3: without a size",
        "warn",
    ),
    "half a mapping": (
        lambda r: (r / "LOC_synset_mapping.txt").write_text("n01440764 tench\n"),
        "val",
        "class n02085620 is not in",
        "blocks",
    ),
    "no val": (lambda r: shutil.rmtree(r / VAL), "val", "there is no such split", "blocks"),
    "no train": (
        lambda r: shutil.rmtree(r / "ILSVRC/Data/CLS-LOC/train"),
        "train",
        "there is no such split",
        "warn",
    ),
    "a class that only the list knows": (
        lambda r: shutil.rmtree(r / "ILSVRC/Data/CLS-LOC/train" / trees.TENCH),
        "train: classes without pictures",
        "1 class of 3 without pictures: n01440764",
        "warn",
    ),
    "no pictures of a class": (
        lambda r: [
            shutil.rmtree(r / "ILSVRC/Data/CLS-LOC/train" / trees.TENCH),
            (r / "ILSVRC/ImageSets/CLS-LOC/train_cls.txt").unlink(),
        ],
        "train: classes without pictures",
        "1 class of 3 without pictures: n01440764",
        "warn",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found_and_named(damage: str, tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    before = look(root)
    do, what, words, state = DAMAGES[damage]
    do(root)
    new = [finding for finding in look(root) if finding not in before]
    found = [finding for finding in new if finding.what == what and words in finding.found]
    assert found, new
    assert found[0].state == state
    assert found[0].fix or state == "ok"


def test_a_picture_that_pillow_finds_too_large_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.official(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    found = next(f for f in look(tmp_path) if f.what == "val: unreadable").found
    assert found.startswith("3 of 3 opened cannot be read: ")


def test_layouts_are_told_apart(tmp_path: Path) -> None:
    official = trees.official(tmp_path / "official")
    torchvision = trees.torchvision_tree(tmp_path / "torchvision")
    own = trees.class_folders(tmp_path / "own", {"cat": 12, "dog": 3})
    splits = trees.class_folders(tmp_path / "splits" / "train", {"cat": 2, "dog": 2}).parent
    trees.class_folders(splits / "valid", {"cat": 1, "dog": 1})
    (tmp_path / "nothing").mkdir()
    for split in ("Train", "Val"):
        trees.class_folders(tmp_path / "capitals" / split, {"cat": 2, "dog": 2})
    assert recognise(tmp_path / "capitals").kind == "splits"
    assert "blocks" not in states(look(tmp_path / "capitals")).values()
    for split in ("training_set", "test_set"):
        trees.class_folders(tmp_path / "named" / split, {"cat": 2, "dog": 2})
    assert states(look(tmp_path / "named"))["train"] == "blocks"
    kinds = [recognise(root).kind for root in (official, torchvision, own, splits, tmp_path / "nothing")]
    assert kinds == ["official", "torchvision", "classes", "splits", None]
    unknown = look(tmp_path / "nothing")
    assert [finding.state for finding in unknown] == ["blocks"]
    assert "it is empty; looked for ILSVRC/Data/CLS-LOC/{train,val}" in unknown[0].found
    assert "blocks" not in states(look(own)).values()
    assert "blocks" not in states(look(splits)).values()
    assert states(look(torchvision))["val: boxes"] == "warn"
    told = {finding.what: finding for finding in look(own)}
    assert told["ImageNet's classes"].found == "2 of 2 classes are not ILSVRC2012's: cat, dog"
    assert "train.py fine-tunes" in told["ImageNet's classes"].fix


def test_classes_that_are_links_are_seen(tmp_path: Path) -> None:
    whole, part = trees.torchvision_tree(tmp_path / "whole"), tmp_path / "part"
    for split in ("train", "val"):
        (part / split).mkdir(parents=True)
        for wnid in (trees.TENCH, trees.TISSUE):
            (part / split / wnid).symlink_to(whole / split / wnid)
        (whole / split / trees.TENCH / "up").symlink_to(part / split)
    told = {finding.what: finding.found for finding in look(part)}
    assert told["train: classes"] == told["val: classes"] == "2 pictures of 2 classes, 1 a class"


def test_loose_validation_pictures_need_their_classes(tmp_path: Path) -> None:
    imagenet = trees.torchvision_tree(tmp_path / "imagenet")
    own = trees.class_folders(tmp_path / "own" / "train", {"cat": 1}).parent
    shutil.rmtree(imagenet / "val")
    for root in (imagenet, own):
        trees.save(root / "val" / "ILSVRC2012_val_00000001.JPEG")
    [found] = [finding for finding in look(imagenet) if finding.what == "val"]
    assert found.state == "blocks"
    assert "add LOC_val_solution.csv or their XMLs" in found.fix
    told = {finding.what: finding for finding in look(own)}
    assert (told["val"].state, told["val"].fix) == ("blocks", "sort them into val/<class>/")
    assert told["val"].found == "the pictures in val/ lie loose: nothing tells their classes"
    assert told["train: classes"].found == "1 picture of 1 class, 1 a class"


def test_a_root_too_high_or_too_low_and_a_wrong_name_are_told(tmp_path: Path) -> None:
    root = trees.official(tmp_path / "imagenet")
    assert look(tmp_path)[0] == Finding("layout", look(tmp_path)[0].found, "blocks", f"data.root={root}")
    other = trees.official(tmp_path / "other")
    assert look(tmp_path)[0].fix == f"data.root={root} or data.root={other}"
    shutil.rmtree(other)
    low = look(root / "ILSVRC/Data/CLS-LOC")[0]
    assert (low.state, low.fix) == ("warn", f"data.root={root / 'ILSVRC'}")
    assert look(root / VAL)[0].fix == f"data.root={root / 'ILSVRC'}"
    wrong = look(root, "folder")
    assert [(f.state, f.fix) for f in wrong] == [("blocks", f"give data.name=ilsvrc data.root={root}")]
    own = trees.class_folders(tmp_path / "own", {"cat": 12, "dog": 3})
    assert look(own, "ilsvrc")[0].fix == f"give data.name=folder data.root={own}"
    with pytest.raises(UserError, match="did you mean 'imagenet'"):
        look(tmp_path / "imagenett")


def test_the_devkits_numbers_are_compared_with_the_wnids_order(tmp_path: Path) -> None:
    root, classes = trees.official(tmp_path), Classes(trees.WNIDS, trees.WNIDS)
    for lines, words in (
        ([f"{wnid} {i} x" for i, wnid in enumerate(trees.WNIDS, 1)], "3 classes in the order of the WNIDs"),
        ([f"{wnid} {4 - i} x" for i, wnid in enumerate(trees.WNIDS, 1)], "3 classes not in the order of the WNIDs"),
        ([f"{wnid} x" for wnid in trees.WNIDS], "line 1: must be a WNID and its number"),
    ):
        kit = trees.write(root / "devkit/data/map_clsloc.txt", "\n".join(lines))
        told = check_order(root, classes, None)[-1]
        assert told.what == "devkit"
        assert words in told.found
        assert "localisation.label_ids" in told.fix
        assert str(kit) in told.found + told.fix


def test_some_are_spread_over_all() -> None:
    assert spread_evenly(3, 9) == [0, 4, 8]
    assert spread_evenly(9, 3) == [0, 1, 2]
    assert (spread_evenly(1, 5), spread_evenly(0, 5), spread_evenly(4, 0)) == ([0], [], [])


def test_the_machine_is_described_and_what_is_little_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {finding.what: finding.found for finding in check_machine(tmp_path / "not" / "yet")}
    assert f"torch {torch.__version__.split('+')[0]}" in told["versions"]
    assert str(tmp_path) in told["results"]
    assert "GiB" in told["RAM"]
    monkeypatch.setattr(machine, "LITTLE_DISK", 1e18)
    monkeypatch.setattr(machine, "LITTLE_RAM", 1e18)
    assert machine.check_disk(tmp_path).state == machine.check_ram().state == "warn"
    assert "numba" in told["graph cuts"]
    monkeypatch.setitem(sys.modules, "deepinside.localisation.grid_flow", None)
    assert machine.check_cuts().state == "warn"
    assert "PyMaxflow" in machine.check_cuts().found
    monkeypatch.setattr(os, "cpu_count", lambda: 4096)
    assert "of the machine's 4096" in machine.check_cpus()[0].found
    (tmp_path / "file").touch()
    assert machine.check_disk(tmp_path / "file").state == "blocks"


def test_weights_are_loaded_or_said_to_be_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert "it holds none" in check_weights(ModelConfig(), None)[0].found
    trees.write(tmp_path / "hub/checkpoints/vgg16-397923af.pth", "")
    assert "model.name=vgg16 model.weights=IMAGENET1K_V1" in check_weights(ModelConfig(), None)[0].found
    file = tmp_path / "net.pth"
    torch.save(shapes_convnet(3).state_dict(), file)
    good = ModelConfig("shapes_convnet", str(file), mean=[0.5] * 3, std=[0.25] * 3)
    assert check_weights(good, None)[0].found.startswith(f"{file} loads: shapes_convnet: 3 classes")
    own = Classes(("0", "1"), ("0", "1"))
    assert [finding.state for finding in check_weights(good, own)] == ["ok", "ok"]
    dogs = Classes(("dog", "cat"), ("dog", "cat"))
    unnamed = check_weights(good, dogs)[-1]
    assert (unnamed.state, unnamed.found) == ("warn", "the weights do not name their 3 classes, the data have 2")
    assert unnamed.fix == "model.classes=FILE names them; train.py fine-tunes a new head"
    named = replace(good, classes=str(trees.write(tmp_path / "names.txt", "bird\ndog\nfish\n")))
    foreign = check_weights(named, dogs)[-1]
    assert (foreign.state, foreign.found) == ("warn", "1 of the data's 2 classes are not among the weights': cat")
    silent = check_weights(ModelConfig("shapes_convnet", str(file)), None)
    assert silent[0].state == "blocks"
    assert "says nothing of its normalisation" in silent[0].found
    assert check_weights(ModelConfig("alexnet", str(file)), None)[0].state == "blocks"
    for model in (
        ModelConfig("alexnett", "DEFAULT"),
        ModelConfig("alexnet", "DEFALT"),
        ModelConfig("alexnet", "x.pth"),
    ):
        with pytest.raises(UserError):
            check_names(model)
    for model in (ModelConfig(), ModelConfig("alexnet", "DEFAULT"), ModelConfig("shapes_convnet", str(file))):
        check_names(model)


@pytest.mark.parametrize("state", ["ok", "warn", "blocks"])
def test_only_what_blocks_fails_the_task(
    state: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is of."""
    monkeypatch.setattr("deepinside.tasks.doctor.check_machine", lambda _: [Finding("disk", "little", state)])
    monkeypatch.setattr("deepinside.tasks.doctor.check_weights", lambda *_: [])
    assert examine(load_config(AnalyseConfig, ["task=doctor"], ROOT / "configs")) == (state != "blocks")
    told = {"ok": "2 ok, 0 to know, 0", "warn": "1 ok, 1 to know, 0", "blocks": "1 ok, 0 to know, 1"}
    assert capsys.readouterr().out.endswith(f"{told[state]} in the way\n")


def test_the_task_prints_one_table_and_ends_with_its_code(tmp_path: Path) -> None:
    root, out = trees.official(tmp_path / "tree"), tmp_path / "out"
    shutil.rmtree(root / VAL)
    command = [sys.executable, str(ROOT / "analyse.py"), "task=doctor", f"data.root={root}", f"out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("┏") == 1
    content = json.loads((out / "doctor.json").read_text())
    blocking = [finding for finding in content["findings"] if finding["state"] == "blocks"]
    assert [finding["what"] for finding in blocking] == ["val"]
    assert content["counts"]["blocks"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.root=nowhere"], "nowhere"),
        (["data.name=folder"], r"data\.root is needed"),
        (["model.name=vgg17", "model.weights=DEFAULT"], "did you mean 'vgg19'"),
        (["model.name=vgg17", "data.root=nowhere"], "did you mean 'vgg19'"),  # before the pictures are looked at
    ],
)
def test_mistakes_in_the_arguments_are_the_users(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        examine(load_config(AnalyseConfig, ["task=doctor", *arguments], ROOT / "configs"))


def test_real_trees(shared: Path) -> None:
    told = {finding.what: finding for finding in look(shared / "ilsvrc_mini")}
    assert told["val: boxes"].found.startswith("300 of 300 pictures have an XML, ")
    assert told["val: boxes"].found.endswith(" boxes in the 100 read")
    assert told["label order"].found == "LOC_synset_mapping.txt: 1,000 classes, sorted by WNID"
    assert told["ImageNet's classes"].found == "all 1,000 classes are ILSVRC2012's"
    assert len(imagenet_wnids()) == 1000
    assert "blocks" not in states(list(told.values())).values()
    weights = check_weights(ModelConfig("squeezenet1_1", str(shared / "weights/squeezenet1_1.pth")), None)
    assert "1000 classes" in weights[0].found


def test_damage_in_a_real_tree(shared: Path, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    shutil.copytree(shared / "ilsvrc_mini", root, copy_function=os.symlink)
    files = sorted((root / VAL).iterdir())
    cut = files[0].read_bytes()
    files[0].unlink()
    files[0].write_bytes(cut[: len(cut) // 2])
    files[1].unlink()
    files[1].touch()
    xml = root / "ILSVRC/Annotations/CLS-LOC/val" / f"{files[2].stem}.xml"
    text = xml.read_text()
    xml.unlink()
    xml.write_text(text.replace("<xmax>", "<xmax>9"))
    findings = check_data(root, None, 300, 300)[0]
    for what, name in (("unreadable", files[0].name), ("empty files", files[1].name), ("odd boxes", xml.name)):
        assert any(f.what == f"val: {what}" and name in f.found and f.state == "warn" and f.fix for f in findings), what


def test_loaders_take_the_cpus_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert usable_cpus() == 2
    assert "data.workers=null takes 2 of them" in machine.check_cpus()[0].found
