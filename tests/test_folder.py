"""PictureFolder and PictureFiles: layouts, splits, order, and the errors a user meets."""

from pathlib import Path

import pytest
from PIL import Image

from deepinside.config import DataConfig
from deepinside.data import folder
from deepinside.data.folder import PictureFiles, PictureFolder
from deepinside.data.listing import find_pictures, holds_pictures, picture_names
from deepinside.data.picture import Classes, UnreadablePicture
from deepinside.data.source import open_split
from deepinside.errors import UserError

from . import trees

CLASSES = Classes(("n01440764", "n02085620"), ("tench", "Chihuahua"))


def names(data: PictureFolder | PictureFiles) -> list[str]:
    return [data.read(i).name for i in range(len(data))]


def error(root: Path, split: str = "train", limit: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        PictureFolder(root, split, limit)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "test"])
def test_split_folders(tmp_path: Path, val: str) -> None:
    trees.class_folders(tmp_path / "train", {"cat": 3, "ape": 2})
    trees.class_folders(tmp_path / val, {"cat": 1, "ape": 2})
    train, held_out = PictureFolder(tmp_path, "train"), PictureFolder(tmp_path, "val")
    assert train.classes == held_out.classes == Classes(("ape", "cat"), ("ape", "cat"))
    assert train.labels == [0, 0, 1, 1, 1]
    assert held_out.labels == [0, 0, 1]
    assert not train.has_boxes


def test_read_gives_the_picture_its_class_and_no_boxes(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "train", {"ape": 2, "cat": 2})
    picture = PictureFolder(tmp_path, "train").read(3)
    assert (picture.name, picture.index, picture.label) == ("01", 3, 1)
    assert picture.image.shape == (3, 24, 32)
    assert (picture.image[:, 1, 1].int() - picture.image.new_tensor(trees.colour(1)).int()).abs().max() <= 3
    assert picture.boxes.shape == (0, 4)


def test_val_wins_over_test(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "test", {"cat": 5})
    trees.class_folders(tmp_path / "val", {"cat": 1})
    assert len(PictureFolder(tmp_path, "val")) == 1


def test_every_tenth_picture_is_set_apart(tmp_path: Path) -> None:
    trees.class_folders(tmp_path, {"many": 21, "ten": 10, "few": 3, "one": 1})
    train, val = PictureFolder(tmp_path, "train"), PictureFolder(tmp_path, "val")
    assert train.classes == val.classes == Classes(("few", "many", "one", "ten"), ("few", "many", "one", "ten"))
    assert names(val) == ["02", "09", "19", "09"]
    assert val.labels == [0, 1, 1, 3]
    assert train.labels == [0] * 2 + [1] * 19 + [2] + [3] * 9
    many = [f"{i:02}" for i in range(21) if i not in (9, 19)]
    assert names(train) == ["00", "01", *many, "00", *(f"{i:02}" for i in range(9))]
    assert train.set_apart
    assert val.set_apart


def test_a_split_of_ones_own_is_not_set_apart(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "train", {"cat": 2})
    assert not PictureFolder(tmp_path, "train").set_apart


def test_a_cls_loc_tree_is_not_a_class_called_ilsvrc(tmp_path: Path) -> None:
    trees.save(tmp_path / "ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_1.JPEG")
    with pytest.raises(UserError, match=r"is an ILSVRC tree: data\.name=ilsvrc"):
        PictureFolder(tmp_path, "train")


def test_nested_hidden_and_other_files(tmp_path: Path) -> None:
    trees.save(tmp_path / "train/cat/b/2.PNG")
    trees.save(tmp_path / "train/cat/a/1.JpG")
    trees.save(tmp_path / "train/cat/3.jpeg")
    trees.save(tmp_path / "train/cat/._4.jpg")
    trees.save(tmp_path / "train/cat/.thumbnails/5.jpg")
    trees.save(tmp_path / "train/.cache/6.jpg")
    trees.save(tmp_path / "train/7.jpg")
    trees.write(tmp_path / "train/cat/notes.txt", "mine")
    trees.write(tmp_path / "train/documents/notes.txt", "mine")
    data = PictureFolder(tmp_path, "train")
    assert data.classes.ids == ("cat",)
    assert names(data) == ["3", "1", "2"]


def test_linked_classes_are_read_and_loops_are_not_followed(tmp_path: Path) -> None:
    """As subsets of ImageNet are made: folders of links to its classes."""
    trees.class_folders(tmp_path / "whole", {"ape": 2, "cat": 3, "dog": 4})
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "train/cat/inner").symlink_to(tmp_path / "whole/cat")
    (tmp_path / "train/ape").symlink_to(tmp_path / "whole/ape")
    (tmp_path / "whole/cat/up").symlink_to(tmp_path / "train")
    (tmp_path / "whole/ape/self").symlink_to(tmp_path / "whole/ape")
    assert PictureFolder(tmp_path, "train").classes.ids == ("ape", "cat")
    found = find_pictures(tmp_path / "train")
    assert [path.relative_to(tmp_path / "train").as_posix() for path in found] == [
        *("ape/00.jpg", "ape/01.jpg", "cat/inner/00.jpg", "cat/inner/01.jpg", "cat/inner/02.jpg"),
    ]


def test_limit_takes_pictures_from_all_over(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "train", {"ape": 2, "cat": 3})
    data = PictureFolder(tmp_path, "train", limit=3)
    assert names(data) == ["00", "01", "01"]
    assert data.labels == [0, 0, 1]
    assert PictureFolder(tmp_path, "train", limit=2).labels == [0, 1]
    assert data.classes.ids == ("ape", "cat")
    assert len(PictureFolder(tmp_path, "train", limit=99)) == 5
    for limit in (0, -1):
        assert error(tmp_path, limit=limit) == f"limit = {limit}; it must be at least 1 picture, or null for all"


def test_the_limit_of_the_configuration_is_heeded(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "train", {"ape": 5, "cat": 5})
    assert len(open_split(DataConfig("folder", str(tmp_path), limit=4), "train", 0)) == 4


def test_folders_called_train_and_test_may_be_classes(tmp_path: Path) -> None:
    trees.class_folders(tmp_path, {"train": 2, "plane": 2})
    assert PictureFolder(tmp_path, "train").classes.ids == ("plane", "train")


def test_split_folders_without_class_folders_are_not_taken_for_classes(tmp_path: Path) -> None:
    trees.class_folders(tmp_path, {"train": 2, "val": 2})
    expected = f"{tmp_path}: no pictures in train/<class>/, val/<class>/ or <class>/; it holds train, val"
    assert error(tmp_path) == expected


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    trees.class_folders(tmp_path / "pets", {"cat": 2})
    assert len(PictureFolder(Path("~/pets"), "train")) == 1


def test_errors_say_what_is_there(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "pets/train", {"cat": 2})
    assert error(tmp_path / "pest") == f"no folder {tmp_path / 'pest'}; did you mean 'pets'?"
    assert error(tmp_path / "x/y") == f"no folder {tmp_path / 'x/y'}"
    file = trees.save(tmp_path / "photo.jpg")
    assert error(file) == f"{file} is a file; a folder of pictures is needed"
    valid = "val, valid, validation, test"
    assert error(tmp_path / "pets", "val") == f"no val split in {tmp_path / 'pets'}: found train; valid: {valid}"
    (tmp_path / "empty").mkdir()
    assert error(tmp_path / "empty").endswith("it is empty")
    for number in range(10):
        trees.write(tmp_path / f"texts/{number}.txt", "")
    assert error(tmp_path / "texts").endswith("it holds 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, 6.txt, 7.txt, ...")


def test_no_pictures_in_a_split(tmp_path: Path) -> None:
    (tmp_path / "train/cat").mkdir(parents=True)
    assert error(tmp_path) == f"no pictures for the split train in {tmp_path}"
    trees.class_folders(tmp_path / "singles", {"ape": 1, "cat": 1})
    alone = ": of one picture a class none is left, every 10th is set apart for validation"
    assert error(tmp_path / "singles", "val") == f"no pictures for the split val in {tmp_path / 'singles'}{alone}"


def test_split_folders_may_be_written_in_capitals(tmp_path: Path) -> None:
    for split in ("Train", "VAL"):
        trees.class_folders(tmp_path / split, {"ape": 2, "cat": 1})
    found = PictureFolder(tmp_path, "val")
    assert (found.classes.ids, names(found)) == (("ape", "cat"), ["00", "01", "00"])
    assert not found.set_apart


@pytest.mark.parametrize("train", ["training_set", "Training", "seg_train"])
def test_splits_of_other_names_are_not_taken_for_classes(train: str, tmp_path: Path) -> None:
    for split in (train, "test_set"):
        trees.class_folders(tmp_path / split, {"ape": 2, "cat": 1})
    told = f"{tmp_path}: {train} and test_set look like splits, not classes: call them train and val"
    assert error(tmp_path) == told
    for name in ("bullet train", "trainer", "boat"):  # classes, whose pictures lie deeper
        trees.class_folders(tmp_path / "vehicles" / name, {"2018": 2, "2019": 1})
    assert PictureFolder(tmp_path / "vehicles", "train").classes.ids == ("boat", "bullet train", "trainer")


def test_of_split_folders_in_capitals_and_not_those_with_classes_count(tmp_path: Path) -> None:
    for split in ("train", "val"):
        trees.class_folders(tmp_path / "both" / split, {"ape": 2, "cat": 1})
    trees.save(tmp_path / "both" / "Train" / "loose.png")
    assert len(PictureFolder(tmp_path / "both", "train")) == 3
    for split in ("Train", "Val"):
        trees.save(tmp_path / "loose" / split / "1.png")
    assert "no pictures in train/<class>/" in error(tmp_path / "loose")


@pytest.mark.parametrize(("size", "read_at_all"), [((1, 101), False), ((303, 3), False), ((300, 3), True)])
def test_a_line_is_no_picture(size: tuple[int, int], read_at_all: bool, tmp_path: Path) -> None:
    """At the size of a net it would take gigabytes, and end the analysis of all others."""
    Image.new("RGB", size).save(tmp_path / "line.png")
    pictures = PictureFiles([str(tmp_path / "line.png")], Classes(("a",), ("a",)))
    if read_at_all:
        assert pictures.read(0).image.shape == (3, size[1], size[0])
    else:
        with pytest.raises(UnreadablePicture, match=f"line: {size[0]} x {size[1]} pixels, more than 100 times"):
            pictures.read(0)


def test_a_validation_class_that_training_lacks(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "train", {"siamese": 1, "tabby": 1})
    trees.class_folders(tmp_path / "val", {"siamesse": 1})
    where = tmp_path / "val/siamesse"
    assert error(tmp_path, "val") == f"{where}: the training pictures have no class siamesse; did you mean 'siamese'?"


def test_an_unreadable_picture_is_met_when_read(tmp_path: Path) -> None:
    trees.class_folders(tmp_path / "train", {"cat": 2})
    (tmp_path / "train/cat/00.jpg").write_bytes(b"")
    data = PictureFolder(tmp_path, "train")
    with pytest.raises(UnreadablePicture, match="empty"):
        data.read(0)
    assert data.read(1).name == "01"


def test_photographs_by_name_pattern_and_folder(tmp_path: Path) -> None:
    for name in ("b.jpg", "dir/2.jpg", "dir/1.PNG", "dir/.hidden.jpg", "album/x/3.jpg", "[odd] name.jpg"):
        trees.save(tmp_path / name)
    trees.write(tmp_path / "dir/notes.txt", "")
    given = ["b.jpg", "dir/*", "album", "dir/2.jpg", "[odd] name.jpg"]
    data = PictureFiles([str(tmp_path / name) for name in given], CLASSES)
    assert names(data) == ["b", "1", "2", "3", "[odd] name"]
    assert data.labels == [-1] * 5
    assert data.classes is CLASSES
    assert not data.has_boxes
    picture = data.read(2)
    assert (picture.label, picture.index, picture.boxes.shape) == (-1, 2, (0, 4))


def test_photographs_of_one_name_are_told_apart_as_shortly_as_possible(tmp_path: Path) -> None:
    given = [str(tmp_path / name) for name in ("a/goose.jpg", "a/goose.png", "a/swan.jpg", "b/swan.jpg", "b/duck.jpg")]
    for path in given:
        trees.save(Path(path))
    assert names(PictureFiles(given, CLASSES)) == ["goose.jpg", "goose.png", given[2], given[3], "duck"]


def test_photographs_that_are_not_there(tmp_path: Path) -> None:
    trees.save(tmp_path / "holiday.jpg")
    with pytest.raises(UserError) as caught:
        PictureFiles([str(tmp_path / "holyday.jpg")], CLASSES)
    assert str(caught.value) == f"no photograph {tmp_path / 'holyday.jpg'}; did you mean 'holiday.jpg'?"
    with pytest.raises(UserError, match=r"no photographs fit .*\*\.png; known are \.jpg"):
        PictureFiles([str(tmp_path / "*.png")], CLASSES)
    with pytest.raises(UserError, match="no photographs given"):
        PictureFiles([], CLASSES)
    with pytest.raises(UserError, match=r"no photograph x{300}"):
        PictureFiles(["x" * 300], CLASSES)


def test_an_explicit_file_that_is_no_picture_is_unreadable(tmp_path: Path) -> None:
    data = PictureFiles([str(trees.write(tmp_path / "notes.txt", "mine"))], CLASSES)
    with pytest.raises(UnreadablePicture, match="notes: not a picture"):
        data.read(0)


def test_photographs_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train/cat").mkdir(parents=True)
    file = tmp_path / "train/cat/a.jpg"
    trees.draw(1, size=(20, 30)).save(file, exif=exif)
    for source in (PictureFolder(tmp_path, "train"), PictureFiles([str(file)], Classes(("n1",), ("a",)))):
        assert source.read(0).image.shape == (3, 30, 20)


def test_pictures_are_listed_as_texts_in_the_order_of_paths(tmp_path: Path) -> None:
    """Paths of 1.28 million took 40 s and half a GB in each process; the order is still that of Paths."""
    names = ["b.jpg", "b/a.jpg", "b/c/a.jpg", "b-c/a.jpg", "b c/a.jpg", "a/z.jpg", "a0/z.jpg", "c/A.jpg", "c/a.JPEG"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = sorted(tmp_path / name for name in names)
    assert find_pictures(tmp_path) == expected
    assert picture_names(tmp_path) == [path.relative_to(tmp_path).as_posix() for path in expected]
    assert holds_pictures(tmp_path / "b")
    assert not holds_pictures(tmp_path / "none")


def test_of_the_training_folders_validation_needs_the_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train/a/deeper/0.jpg", "train/b/0.jpg", "val/b/0.jpg"):
        trees.save(tmp_path / name)
    (tmp_path / "train/empty").mkdir()
    listed: list[Path] = []
    monkeypatch.setattr(folder, "picture_names", lambda place: listed.append(place) or picture_names(place))
    assert PictureFolder(tmp_path, "val").classes.ids == ("a", "b")
    assert listed == [tmp_path / "val/b"]
