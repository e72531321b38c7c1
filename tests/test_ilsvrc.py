"""ILSVRC trees: layouts, classes, labels, boxes, the annotation files and the errors a user meets."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from deepinside.data.annotations import read_solution_csv, read_synset_mapping, read_voc_xml
from deepinside.data.ilsvrc import ILSVRC, fit_boxes, imagenet_wnids
from deepinside.data.picture import Classes, UnreadablePicture
from deepinside.data.source import read
from deepinside.errors import UserError

from . import trees
from .trees import CHIHUAHUA, TENCH, TISSUE, WNIDS

CLASSES = Classes(WNIDS, ("tench", "Chihuahua", "toilet tissue"))
BOXES = [[[0.0, 0, 32, 24]], [[4.0, 2, 10, 12], [10, 3, 32, 21]], [[8.0, 8, 9, 9]]]
"""trees.VAL's boxes with half-open edges."""


def names(data: ILSVRC) -> list[str]:
    return [data.read(i).name for i in range(len(data))]


def boxes(data: ILSVRC) -> list[list[list[float]]]:
    return [data.read(i).boxes.tolist() for i in range(len(data))]


def error(root: Path, split: str = "val", limit: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        ILSVRC(root, split, limit)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The official layout


@pytest.mark.parametrize("xmls_csv", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("lists", [True, False])
def test_official_validation(tmp_path: Path, xmls_csv: tuple[bool, bool], lists: bool) -> None:
    data = ILSVRC(trees.official(tmp_path, xmls=xmls_csv[0], csv=xmls_csv[1], lists=lists), "val")
    assert data.classes == CLASSES
    assert data.labels == [1, 2, 0]
    assert data.has_boxes
    assert names(data) == list(trees.VAL)
    assert boxes(data) == BOXES


def test_a_picture_as_read(tmp_path: Path) -> None:
    picture = ILSVRC(trees.official(tmp_path), "val").read(1)
    assert (picture.name, picture.index, picture.label) == ("ILSVRC2012_val_00000002", 1, 2)
    assert picture.image.shape == (3, 24, 32)
    assert (picture.image[:, 1, 1].int() - torch.tensor(trees.colour(1))).abs().max() <= 3
    assert picture.boxes.dtype == torch.float32


def test_a_malformed_xml_makes_its_picture_unreadable(tmp_path: Path) -> None:
    data = ILSVRC(trees.official(tmp_path), "val")
    trees.write(tmp_path / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml", "<annotation>")
    assert read(data, 0).boxes.tolist() == BOXES[0]
    with pytest.raises(UnreadablePicture, match=r"ILSVRC2012_val_00000002: .*00000002\.xml: not a VOC annotation"):
        read(data, 1)


@pytest.mark.parametrize("lists", [True, False])
def test_official_training(tmp_path: Path, lists: bool) -> None:
    data = ILSVRC(trees.official(tmp_path, lists=lists), "train")
    assert data.labels == [0, 0, 1, 1, 2, 2]
    ids = [f"{wnid}_{k}" for wnid in WNIDS for k in (7, 12)]
    assert names(data) == (ids if lists else sorted(ids))
    assert data.has_boxes
    found = dict(zip(names(data), boxes(data), strict=True))
    assert found == {name: [[1.0, 2, 4, 5]] if name.endswith("_12") else [] for name in ids}
    assert data.read(0).boxes.dtype == torch.float32


def test_training_without_annotations_has_no_boxes(tmp_path: Path) -> None:
    trees.official(tmp_path, xmls=False)
    data = ILSVRC(tmp_path, "train")
    assert not data.has_boxes
    assert boxes(data) == [[]] * 6
    assert ILSVRC(tmp_path, "val").has_boxes


def test_training_boxes_from_the_csv(tmp_path: Path) -> None:
    trees.official(tmp_path, xmls=False)
    trees.write_csv(tmp_path / "LOC_train_solution.csv", {f"{TENCH}_12": [(TENCH, (1, 2, 3, 4))]})
    data = ILSVRC(tmp_path, "train")
    assert data.has_boxes
    assert boxes(data) == [[], [[1.0, 2, 4, 5]], [], [], [], []]


def test_the_large_training_csv_is_not_read_where_there_are_xmls(tmp_path: Path) -> None:
    trees.official(tmp_path)
    trees.write(tmp_path / "LOC_train_solution.csv", "malformed")
    assert boxes(ILSVRC(tmp_path, "train"))[1] == [[1.0, 2, 4, 5]]


def test_train_loc_lists_the_pictures_where_train_cls_is_absent(tmp_path: Path) -> None:
    sets = trees.official(tmp_path) / "ILSVRC/ImageSets/CLS-LOC"
    trees.write(sets / "train_loc.txt", f"{TISSUE}/{TISSUE}_12 1\n\n{TENCH}/{TENCH}_12 1\n")
    assert len(ILSVRC(tmp_path, "train")) == 6
    (sets / "train_cls.txt").unlink()
    assert names(ILSVRC(tmp_path, "train")) == [f"{TISSUE}_12", f"{TENCH}_12"]


@pytest.mark.parametrize("inside", [True, False])
def test_the_root_may_be_the_ilsvrc_folder_itself(
    tmp_path: Path, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.official(tmp_path) / "ILSVRC"
    if inside:
        for file in tmp_path.glob("LOC_*"):
            file.rename(root / file.name)
    assert ILSVRC(root, "val").classes == CLASSES
    monkeypatch.chdir(root)
    assert ILSVRC(Path("."), "val").labels == [1, 2, 0]


def test_the_csv_gives_labels_without_reading_an_xml(tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    broken = root / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml"
    trees.write(broken, "<annotation><object>")
    data = ILSVRC(root, "val")
    assert data.labels == [1, 2, 0]
    with pytest.raises(UserError, match=re.escape(f"{broken}: not a VOC annotation: ")):
        data.read(1)


def test_boxes_come_from_the_csv_where_an_xml_is_missing(tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    (root / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml").unlink()
    assert boxes(ILSVRC(root, "val")) == BOXES


def test_labels_of_pictures_the_csv_lacks_come_from_their_xml(tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    trees.write_csv(root / "LOC_val_solution.csv", {"ILSVRC2012_val_00000001": [(CHIHUAHUA, (0, 0, 31, 23))]})
    assert ILSVRC(root, "val").labels == [1, 2, 0]


def test_validation_pictures_sorted_into_class_folders(tmp_path: Path) -> None:
    """A common rearrangement; the flat list in ImageSets stays behind."""
    val = trees.official(tmp_path) / "ILSVRC/Data/CLS-LOC/val"
    for image, objects in trees.VAL.items():
        (val / objects[0][0]).mkdir()
        (val / f"{image}.JPEG").rename(val / objects[0][0] / f"{image}.JPEG")
    data = ILSVRC(tmp_path, "val")
    assert data.labels == [0, 1, 2]
    assert boxes(data) == [BOXES[2], BOXES[0], BOXES[1]]


def test_boxes_of_other_classes_are_left_out(tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    objects = [(CHIHUAHUA, (0, 0, 5, 5)), (TENCH, (1, 2, 3, 4)), (CHIHUAHUA, (6, 6, 7, 8))]
    trees.write_xml(root / f"ILSVRC/Annotations/CLS-LOC/train/{CHIHUAHUA}/{CHIHUAHUA}_7.xml", objects)
    assert ILSVRC(root, "train").read(2).boxes.tolist() == [[0, 0, 6, 6], [6, 6, 8, 9]]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((48, 64), [5, 1, 10, 8]), ((0, 0), [10, 2, 20, 16]), (None, [10, 2, 20, 16]), ((24, 64), [5, 2, 10, 16])],
)
def test_boxes_follow_the_real_size(tmp_path: Path, size: tuple[int, int] | None, expected: list[float]) -> None:
    root = trees.official(tmp_path)
    xml = root / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    trees.write_xml(xml, [(CHIHUAHUA, (10, 2, 19, 15))], size)
    assert ILSVRC(root, "val").read(0).boxes.tolist() == [expected]


def test_limit_takes_pictures_from_all_over(tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    assert names(ILSVRC(root, "val", limit=2)) == list(trees.VAL)[:2]
    assert ILSVRC(root, "train", limit=3).labels == [0, 1, 2]
    assert len(ILSVRC(root, "val", limit=99)) == 3
    assert error(root, limit=0) == "limit = 0; it must be at least 1 picture, or null for all"


def test_a_listed_picture_that_is_missing_is_unreadable(tmp_path: Path) -> None:
    root = trees.official(tmp_path)
    (root / "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG").unlink()
    data = ILSVRC(root, "val")
    assert len(data) == 3
    with pytest.raises(UnreadablePicture, match="ILSVRC2012_val_00000002: No such file"):
        data.read(1)
    assert data.read(2).label == 0


# torchvision's layout


def test_torchvision_tree_without_anything_else(tmp_path: Path) -> None:
    trees.torchvision_tree(tmp_path)
    train, val = ILSVRC(tmp_path, "train"), ILSVRC(tmp_path, "val")
    assert train.classes == val.classes == Classes(WNIDS, WNIDS)
    assert (train.labels, val.labels) == ([0, 1, 2], [0, 1, 2])
    assert not val.has_boxes
    assert boxes(val) == [[], [], []]


@pytest.mark.parametrize("where", ["Annotations/CLS-LOC/val", "ILSVRC/Annotations/CLS-LOC/val"])
def test_torchvision_tree_with_xmls(tmp_path: Path, where: str) -> None:
    trees.torchvision_tree(tmp_path)
    for image, objects in trees.VAL.items():
        trees.write_xml(tmp_path / where / f"{image}.xml", objects)
    data = ILSVRC(tmp_path, "val")
    assert data.has_boxes
    assert boxes(data) == [BOXES[2], BOXES[0], BOXES[1]]
    assert not ILSVRC(tmp_path, "train").has_boxes


def test_torchvision_tree_with_csv_and_mapping(tmp_path: Path) -> None:
    trees.torchvision_tree(tmp_path)
    trees.write_csv(tmp_path / "LOC_val_solution.csv", trees.VAL)
    trees.write(tmp_path / "LOC_synset_mapping.txt", trees.MAPPING + "n01443537 goldfish\n")
    data = ILSVRC(tmp_path, "val")
    assert data.classes.names == ("tench", "goldfish", "Chihuahua", "toilet tissue")
    assert data.labels == [0, 2, 3]
    assert boxes(data) == [BOXES[2], BOXES[0], BOXES[1]]


def test_an_empty_folder_of_annotations_and_rows_without_boxes_are_no_boxes(tmp_path: Path) -> None:
    trees.torchvision_tree(tmp_path)
    (tmp_path / "Annotations/CLS-LOC/val").mkdir(parents=True)
    assert not ILSVRC(tmp_path, "val").has_boxes
    trees.write_csv(tmp_path / "LOC_val_solution.csv", {image: [] for image in trees.VAL})
    assert not ILSVRC(tmp_path, "val").has_boxes
    trees.write_csv(tmp_path / "LOC_val_solution.csv", trees.VAL)
    data = ILSVRC(tmp_path, "val")
    assert data.has_boxes
    assert boxes(data) == [BOXES[2], BOXES[0], BOXES[1]]


def test_classes_of_a_tree_with_validation_only(tmp_path: Path) -> None:
    shutil.rmtree(trees.torchvision_tree(tmp_path) / "train")
    shutil.rmtree(tmp_path / "val" / CHIHUAHUA)
    data = ILSVRC(tmp_path, "val")
    assert data.classes.ids == (TENCH, TISSUE)
    assert data.labels == [0, 1]


def test_classes_are_the_training_folders_for_both_splits(tmp_path: Path) -> None:
    trees.torchvision_tree(tmp_path)
    shutil.rmtree(tmp_path / "val" / TENCH)
    assert ILSVRC(tmp_path, "val").labels == [1, 2]


# Errors


def test_errors_about_the_root(tmp_path: Path) -> None:
    trees.official(tmp_path / "imagenet")
    assert error(tmp_path / "imagnet") == f"no folder {tmp_path / 'imagnet'}; did you mean 'imagenet'?"
    file = trees.save(tmp_path / "photo.jpg")
    assert error(file) == f"{file} is a file; a folder of pictures is needed"
    assert error(tmp_path) == (
        f"{tmp_path}: no ILSVRC tree; looked for ILSVRC/Data/CLS-LOC/{{train,val}}, Data/CLS-LOC/{{train,val}}, "
        "{train,val}/<WNID>; it holds imagenet, photo.jpg"
    )


@pytest.mark.parametrize(("there", "wanted"), [("train", "val"), ("val", "train")])
def test_a_split_that_is_absent(tmp_path: Path, there: str, wanted: str) -> None:
    trees.official(tmp_path / "official")
    shutil.rmtree(tmp_path / "official/ILSVRC/Data/CLS-LOC" / wanted)
    trees.torchvision_tree(tmp_path / "torchvision")
    shutil.rmtree(tmp_path / "torchvision" / wanted)
    for root in (tmp_path / "official", tmp_path / "torchvision"):
        assert error(root, wanted) == f"no {wanted} split in {root}: found {there}"


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "val" / TENCH).mkdir(parents=True)
    assert error(tmp_path) == f"no pictures in {tmp_path / 'val'}"


def test_flat_validation_needs_csv_or_xmls(tmp_path: Path) -> None:
    root = trees.official(tmp_path, xmls=False, csv=False)
    picture = root / "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG"
    table, xmls = root / "LOC_val_solution.csv", root / "ILSVRC/Annotations/CLS-LOC/val"
    expected = f"{picture}: no classes given; need one class from its row in {table} or its XML in {xmls}"
    assert error(root) == expected


def test_an_xml_with_two_classes_is_no_label(tmp_path: Path) -> None:
    root = trees.official(tmp_path, csv=False)
    xml = root / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    trees.write_xml(xml, [(CHIHUAHUA, (0, 0, 1, 1)), (TENCH, (0, 0, 1, 1))])
    assert ": 2 classes given; need one class" in error(root)


def test_flat_validation_alone_needs_the_mapping(tmp_path: Path) -> None:
    root = trees.official(tmp_path, mapping=False)
    assert ILSVRC(root, "val").classes == Classes(WNIDS, WNIDS)
    data = root / "ILSVRC/Data/CLS-LOC"
    shutil.rmtree(data / "train")
    mapping = root / "LOC_synset_mapping.txt"
    assert error(root) == f"no {mapping}, and no folders in {data} that tell the classes: add that file"


def test_a_class_that_the_mapping_or_training_lacks(tmp_path: Path) -> None:
    trees.torchvision_tree(tmp_path)
    trees.save(tmp_path / "val/n02085621/1.JPEG")
    picture = tmp_path / "val/n02085621/1.JPEG"
    assert error(tmp_path) == f"{picture}: class n02085621 is not in {tmp_path}'s folders; did you mean 'n02085620'?"
    mapping = trees.write(tmp_path / "LOC_synset_mapping.txt", trees.MAPPING)
    assert error(tmp_path) == f"{picture}: class n02085621 is not in {mapping}; did you mean 'n02085620'?"


# The annotation files


def test_voc_xml(tmp_path: Path) -> None:
    objects = [(TENCH, (0, 3, 9, 12)), (TISSUE, (5, 5, 5, 5))]
    xml = trees.write_xml(tmp_path / "a.xml", objects, size=(20, 30))
    expected = [(TENCH, (0.0, 3.0, 10.0, 13.0)), (TISSUE, (5.0, 5.0, 6.0, 6.0))]
    assert read_voc_xml(xml) == ("a", (20, 30), expected)
    assert read_voc_xml(trees.write_xml(tmp_path / "b.xml", [], size=None)) == ("b", (0, 0), [])


def test_exchanged_edges_are_put_in_order(tmp_path: Path) -> None:
    xml = trees.write_xml(tmp_path / "a.xml", [(TENCH, (9, 12, 0, 3))])
    assert read_voc_xml(xml)[2] == [(TENCH, (0.0, 3.0, 10.0, 13.0))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation><object>",
        "<annotation><size><height>x</height></size></annotation>",
        "<annotation><object><name>n1</name></object></annotation>",
        "<annotation><object><bndbox/></object></annotation>",
        "<annotation><object><name>n1</name><bndbox><xmin>1</xmin><ymin>?</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
        "</object></annotation>",
    ],
)
def test_malformed_xmls_are_named(tmp_path: Path, text: str) -> None:
    xml = trees.write(tmp_path / "a.xml", text)
    with pytest.raises(UserError, match=re.escape(f"{xml}: not a VOC annotation: ")) as caught:
        read_voc_xml(xml)
    assert "\n" not in str(caught.value)


def test_solution_csv(tmp_path: Path) -> None:
    table = read_solution_csv(trees.write_csv(tmp_path / "a.csv", {**trees.VAL, "none": []}))
    assert list(table) == [*trees.VAL, "none"]
    assert table["ILSVRC2012_val_00000002"] == [(TISSUE, (4.0, 2.0, 10.0, 12.0)), (TISSUE, (10.0, 3.0, 32.0, 21.0))]
    assert table["none"] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("image,boxes\n", 1),
        ("", 1),
        ("ImageId,PredictionString\na,n1 1 2 3 4\nb,n1 1 2 3\n", 3),
        ("ImageId,PredictionString\na,n1 1 2 3 x\n", 2),
        ("ImageId,PredictionString\na\n", 2),
        ("ImageId,PredictionString\na,n1 nan 2 3 4\n", 2),
        ("ImageId,PredictionString\na,n1 1 2 inf 4\n", 2),
        ("ImageId,PredictionString\na,n1 1 2 3 4\n\nb,n1 1 2 3 4\na,n2 1 2 3 4\n", 5),
    ],
)
def test_malformed_csvs_are_named_with_their_line(tmp_path: Path, text: str, line: int) -> None:
    table = trees.write(tmp_path / "a.csv", text)
    with pytest.raises(UserError, match=re.escape(f"{table}, line {line}: not of the form")):
        read_solution_csv(table)


def test_blank_lines_and_rows_given_twice_do_no_harm(tmp_path: Path) -> None:
    table = trees.write(tmp_path / "a.csv", "ImageId,PredictionString\n\na,n1 1 2 3 4\na,n1 1 2 3 4\n\n")
    assert read_solution_csv(table) == {"a": [("n1", (1.0, 2.0, 4.0, 5.0))]}


def test_synset_mapping(tmp_path: Path) -> None:
    text = "n3 crane\nn1 great white shark, white shark\n\nn2 crane\nn4 maillot, tank suit\nn5 maillot\n"
    classes = read_synset_mapping(trees.write(tmp_path / "a.txt", text))
    assert classes.ids == ("n1", "n2", "n3", "n4", "n5")
    assert classes.names == ("great white shark", "crane (n2)", "crane (n3)", "maillot (n4)", "maillot (n5)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is empty"), ("n1 a\nn1 b\n", "line 2: a second line for n1"), ("n1\n", "no name after n1")],
)
def test_malformed_mappings_are_named(tmp_path: Path, text: str, reason: str) -> None:
    mapping = trees.write(tmp_path / "a.txt", text)
    with pytest.raises(UserError, match=re.escape(reason)) as caught:
        read_synset_mapping(mapping)
    assert str(caught.value).startswith(str(mapping))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    table = trees.write(tmp_path / "a.csv", "\ufeffImageId,PredictionString\r\na,n1 1 2 3 4\r\n")
    assert read_solution_csv(table) == {"a": [("n1", (1.0, 2.0, 4.0, 5.0))]}
    assert read_synset_mapping(trees.write(tmp_path / "a.txt", "\ufeffn1 crane\r\n")) == Classes(("n1",), ("crane",))


def test_boxes_beyond_the_picture_are_clipped_or_left_out() -> None:
    given = [(-5.0, 2.0, 10.0, 30.0), (40.0, 0.0, 50.0, 10.0), (3.0, 4.0, 5.0, 6.0)]
    assert fit_boxes(given, (20, 20), (20, 20)).tolist() == [[0, 2, 10, 20], [3, 4, 5, 6]]
    assert fit_boxes(given[1:2], (20, 20), (20, 20)).shape == (0, 4)
    assert fit_boxes([], (20, 20), (20, 20)).shape == (0, 4)
    assert fit_boxes(given[2:], (0, 20), (40, 10)).tolist() == [[3, 4, 5, 6]], "half a size is none"


def test_imagenet_wnids() -> None:
    wnids = imagenet_wnids()
    assert len(set(wnids)) == len(wnids) == 1000
    assert list(wnids) == sorted(wnids)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)
    # torchvision's output 0 is the tench, 151 the Chihuahua, 207 the golden retriever, 999 toilet tissue.
    assert [wnids[i] for i in (0, 151, 207, 999)] == [TENCH, CHIHUAHUA, "n02099601", TISSUE]


# Real trees


def test_ilsvrc_mini(shared: Path) -> None:
    data = ILSVRC(shared / "ilsvrc_mini", "val")
    assert data.classes.ids == imagenet_wnids()
    assert len(set(data.classes.names)) == 1000
    assert (len(data), len(set(data.labels)), data.has_boxes) == (300, 263, True)
    pictures = [data.read(i) for i in range(len(data))]
    assert sum(len(picture.boxes) for picture in pictures) == 510
    for i, picture in enumerate(pictures):
        height, width = picture.image.shape[1:]
        assert picture.index == i
        assert picture.label == data.labels[i]
        assert len(picture.boxes) >= 1
        assert (picture.boxes[:, :2] >= 0).all()
        assert (picture.boxes[:, 2:] <= picture.boxes.new_tensor([width, height])).all()
        assert (picture.boxes[:, :2] < picture.boxes[:, 2:]).all()
    table = read_solution_csv(shared / "ilsvrc_mini/LOC_val_solution.csv")
    for picture in pictures:
        # No XML's size differs from its picture's here, so that nothing was scaled or clipped.
        assert [tuple(box) for box in picture.boxes.tolist()] == [box for _, box in table[picture.name]]


def test_imagenette_mini(shared: Path) -> None:
    train, val = ILSVRC(shared / "imagenette_mini", "train"), ILSVRC(shared / "imagenette_mini", "val")
    assert (len(train), len(val), len(train.classes)) == (2500, 150, 10)
    assert (train.has_boxes, val.has_boxes) == (False, True)
    assert train.classes == val.classes
    assert train.classes.names[0] == "tench"
    assert set(train.labels) == set(val.labels) == set(range(10))
    for i in range(len(train)):
        picture = train.read(i)
        assert picture.image.shape[0] == 3
        assert len(picture.boxes) == 0
        assert picture.name.startswith(train.classes.ids[picture.label])
    for i in range(len(val)):
        picture = val.read(i)
        assert picture.image.shape == (3, 224, 224)
        assert len(picture.boxes) >= 1
        assert picture.boxes.max() <= 224


def test_classes_that_are_links_are_read(tmp_path: Path) -> None:
    """ImageNet-100, made of links into the whole ImageNet."""
    whole, part = trees.torchvision_tree(tmp_path / "whole"), tmp_path / "part"
    for split in ("train", "val"):
        (part / split).mkdir(parents=True)
        for wnid in (TENCH, TISSUE):
            (part / split / wnid).symlink_to(whole / split / wnid)
    for split, labels in (("train", [0, 1]), ("val", [0, 1])):
        data = ILSVRC(part, split)
        assert (data.classes.ids, data.labels) == ((TENCH, TISSUE), labels)
    assert names(ILSVRC(part, "val")) == ["ILSVRC2012_val_00000003", "ILSVRC2012_val_00000002"]


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    listing = trees.official(tmp_path) / "ILSVRC/ImageSets/CLS-LOC/val.txt"
    expected = ILSVRC(tmp_path, "val").files
    listing.write_bytes(b"\xef\xbb\xbf" + listing.read_bytes().replace(b"\n", b"\r\n"))
    assert ILSVRC(tmp_path, "val").files == expected
