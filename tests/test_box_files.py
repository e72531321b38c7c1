"""Boxes and guesses in files: every format read and written by hand-made examples, mistakes in one line."""

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

import analyse
from deepinside.data.box_files import BoxedPicture, boxed_pictures, read_boxes
from deepinside.data.devkit import read_blacklist, read_label_ids
from deepinside.data.ilsvrc import ILSVRC, imagenet_wnids
from deepinside.errors import UserError
from deepinside.predictions import COLUMNS, Guesses, read_predictions, write_csv, write_submission
from deepinside.scoring import score_guesses_in_files, trivial_boxes, without_boxes

from . import trees
from .trees import CHIHUAHUA, TENCH, TISSUE, WNIDS

ROOT = Path(__file__).resolve().parent.parent
NAMES = list(trees.VAL)
ALL = [(0.0, 0.0, 32.0, 24.0)], [(4.0, 2.0, 10.0, 12.0), (10.0, 3.0, 32.0, 21.0)], [(8.0, 8.0, 9.0, 9.0)]
LOCALIZATION = """\
val/ILSVRC2012_val_00000001.JPEG,0,0,31,23
val/ILSVRC2012_val_00000002.JPEG,4,2,9,11
val/ILSVRC2012_val_00000002.JPEG,10,3,31,20
val/ILSVRC2012_val_00000003.JPEG,8,8,8,8
"""
SIZES = "".join(f"val/{name}.JPEG,32,24\n" for name in NAMES)
LABELS = "".join(f"val/{name}.JPEG,{i}\n" for name, i in zip(NAMES, (151, 999, 0), strict=True))


def summary(pictures: list[BoxedPicture]) -> list[tuple[object, ...]]:
    return [(p.name, p.label_id, [tuple(box) for box in p.boxes.tolist()], p.size) for p in pictures]


def expected(size: tuple[int, int] | None = (24, 32), labels: bool = True) -> list[tuple[object, ...]]:
    wnids = (CHIHUAHUA, TISSUE, TENCH) if labels else ("", "", "")
    return [(name, wnid, boxes, size) for name, wnid, boxes in zip(NAMES, wnids, ALL, strict=True)]


@pytest.mark.parametrize("inside", ["", "ILSVRC", "ILSVRC/Annotations/CLS-LOC", "ILSVRC/Annotations/CLS-LOC/val"])
def test_a_folder_of_xmls(tmp_path: Path, inside: str) -> None:
    trees.official(tmp_path)
    assert summary(read_boxes(tmp_path / inside)) == expected()


def test_xmls_come_by_name_whatever_their_folders(tmp_path: Path) -> None:
    for folder, name in (("b", "1"), ("a", "2"), ("a/c", "0")):
        trees.write_xml(tmp_path / folder / f"{name}.xml", [(TENCH, (0, 0, 3, 3))])
    assert [p.name for p in read_boxes(tmp_path)] == ["0", "1", "2"]


def test_the_solution_csv_knows_no_sizes(tmp_path: Path) -> None:
    table = trees.write_csv(tmp_path / "LOC_val_solution.csv", trees.VAL)
    assert summary(read_boxes(table)) == summary(read_boxes(tmp_path)) == expected(size=None)


def test_localization_txt(tmp_path: Path) -> None:
    file = trees.write(tmp_path / "localization.txt", LOCALIZATION)
    assert summary(read_boxes(file)) == expected(size=None, labels=False)
    trees.write(tmp_path / "image_sizes.txt", SIZES)
    trees.write(tmp_path / "class_labels.txt", LABELS)
    assert summary(read_boxes(file)) == summary(read_boxes(tmp_path)) == expected()
    trees.write(tmp_path / "class_labels.txt", LABELS.replace(",999", ",-1"))
    with pytest.raises(UserError, match=r"class_labels.txt: val/.*2.JPEG has the class number -1; they count from 0"):
        read_boxes(file)


def test_names_that_repeat_keep_their_folders(tmp_path: Path) -> None:
    file = trees.write(tmp_path / "localization.txt", "val2/0/1.jpeg,0,0,3,3\nval2/1/1.jpeg,0,0,4,4\n")
    assert [p.name for p in read_boxes(file)] == ["val2/0/1", "val2/1/1"]


def test_a_data_set_gives_the_same(tmp_path: Path) -> None:
    assert summary(boxed_pictures(ILSVRC(trees.official(tmp_path), "val"))) == expected()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("localization.txt", "a.jpg,1,2,3\n", "line 1: not of the form path,x0,y0,x1,y1: 4 fields"),
        ("localization.txt", "a.jpg,1,2,3,4\nb.jpg,1,2,x,4\n", "line 2: not of the form path,x0,y0,x1,y1"),
        ("localization.txt", "", "is empty"),
        ("image_sizes.txt", "val/ILSVRC2012_val_00000001.JPEG,32,24\n", "no line for 2 of localization.txt's"),
        ("class_labels.txt", "val/ILSVRC2012_val_00000001.JPEG,x\n", "line 1: not of the form path,number"),
    ],
)
def test_malformed_text_files_are_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    trees.write(tmp_path / "localization.txt", LOCALIZATION)
    trees.write(tmp_path / name, text)
    with pytest.raises(UserError) as caught:
        read_boxes(tmp_path)
    assert name in str(caught.value)
    assert words in str(caught.value)


def test_a_table_with_a_field_without_end_is_named(tmp_path: Path) -> None:
    trees.write(tmp_path / "localization.txt", "a" * 140_000)
    with pytest.raises(UserError, match=r"line 1: not of the form path,x0,y0,x1,y1: field larger than"):
        read_boxes(tmp_path)


def test_an_xml_may_lack_the_size_and_have_boxes_of_other_classes(tmp_path: Path) -> None:
    objects = [(TENCH, (0, 0, 3, 3)), (TISSUE, (4, 4, 5, 5)), (TENCH, (6, 6, 7, 7))]
    trees.write_xml(tmp_path / "a.xml", objects, size=None)
    assert summary(read_boxes(tmp_path)) == [("a", TENCH, [(0, 0, 4, 4), (6, 6, 8, 8)], None)]


def test_numbers_beyond_ilsvrcs_classes_are_their_own_names(tmp_path: Path) -> None:
    trees.write(tmp_path / "localization.txt", LOCALIZATION)
    trees.write(tmp_path / "class_labels.txt", LABELS.replace(",999\n", ",1000\n"))
    assert [p.label_id for p in read_boxes(tmp_path)] == [CHIHUAHUA, "1000", TENCH]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    trees.write(tmp_path / "localization.txt", LOCALIZATION)
    with pytest.raises(
        UserError, match=r"boxes=.*localisation.txt: no such file or folder; did you mean 'localization.txt'"
    ):
        read_boxes(tmp_path / "localisation.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no XMLs, localization\.txt or LOC_val_solution\.csv in there; it is empty"):
        read_boxes(tmp_path / "empty")


# Class numbers


def meta_mat(path: Path, numbers: dict[str, int]) -> Path:
    """As the kit's: a struct array of synsets, groups of classes after the leaves."""
    kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    synsets = [(number, wnid, "a name", 0) for wnid, number in numbers.items()] + [(1001, "n00001740", "entity", 3)]
    savemat(path, {"synsets": np.array(synsets, dtype=kinds)})
    return path


NUMBERS = {CHIHUAHUA: 1, TISSUE: 2, TENCH: 449}


def test_numbers_of_the_devkit(tmp_path: Path) -> None:
    assert dict(read_label_ids(str(meta_mat(tmp_path / "meta.mat", NUMBERS)), WNIDS)) == NUMBERS
    text = trees.write(tmp_path / "map_clsloc.txt", "".join(f"{w} {n} a_name\n" for w, n in NUMBERS.items()))
    assert dict(read_label_ids(str(text), WNIDS)) == NUMBERS


def test_numbers_by_sorted_wnids() -> None:
    numbers = read_label_ids("wnid", (TISSUE, TENCH))
    assert [numbers[wnid] for wnid in (TENCH, CHIHUAHUA, TISSUE)] == [1, 152, 1000]
    assert dict(read_label_ids("wnid", ("star", "disc"))) == {"disc": 1, "star": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n01440764 one\n", "line 1: must be a WNID and its number"),
        (f"{TENCH} 1\n{TENCH} 2\n", "line 2"),
        (f"{TENCH} 1\n{CHIHUAHUA} 1\n", "line 2"),
        (f"{TENCH} 1\n{CHIHUAHUA} 2\n", "no number for 1"),
    ],
)
def test_malformed_numbers_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_label_ids(str(trees.write(tmp_path / "map.txt", text)), WNIDS)
    assert words in str(caught.value)


def test_a_mat_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"meta\.mat is not the kit's"):
        read_label_ids(str(trees.write(tmp_path / "meta.mat", "no such thing")), WNIDS)
    with pytest.raises(UserError, match="no such file; valid: wnid"):
        read_label_ids("wnids", WNIDS)


def test_blacklist(tmp_path: Path) -> None:
    listed = read_blacklist(trees.write(tmp_path / "b.txt", "36\n50000\nILSVRC2012_val_00000003.JPEG\n"))
    assert listed == {f"ILSVRC2012_val_{n:08d}" for n in (36, 50000, 3)}


# Guesses


def guesses() -> list[Guesses]:
    """Right at the second guess, right at the first (its second box), nothing right."""
    return [
        Guesses((TENCH, CHIHUAHUA), torch.tensor([[0.0, 0, 32, 24], [0, 0, 20, 24]])),
        Guesses((TISSUE, TISSUE), torch.tensor([[12.0, 3, 32, 21], [0, 0, 1, 1]])),
        Guesses((TENCH,), torch.tensor([[0.0, 0, 8, 8]])),
    ]


def csv_rows() -> list[dict[str, object]]:
    rows = []
    for name, guess in zip(NAMES, guesses(), strict=True):
        for rank, (wnid, (x0, y0, x1, y1)) in enumerate(zip(guess.ids, guess.boxes.tolist(), strict=True), start=1):
            values = (name, rank, "", wnid, "", int(x0), int(y0), int(x1) - 1, int(y1) - 1, "", "")
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def same(found: dict[str, Guesses]) -> bool:
    return list(found) == NAMES and all(
        a.ids == b.ids and torch.equal(a.boxes, b.boxes) for a, b in zip(found.values(), guesses(), strict=True)
    )


def test_predictions_csv_with_empty_columns_in_any_order(tmp_path: Path) -> None:
    write_csv(tmp_path / "p.csv", csv_rows())
    assert same(read_predictions(tmp_path / "p.csv", NAMES, WNIDS, None))
    write_csv(tmp_path / "q.csv", sorted(csv_rows(), key=lambda row: (str(row["image"]), -int(str(row["rank"])))))
    assert same(read_predictions(tmp_path / "q.csv", NAMES, WNIDS, None))


def test_large_and_broken_edges_are_written_in_full(tmp_path: Path) -> None:
    boxes = torch.tensor([[0.25, 0.0, 12345.0, 20000.0]])
    write_submission(tmp_path / "s.txt", [("a", Guesses((TENCH,), boxes))], NUMBERS)
    assert (tmp_path / "s.txt").read_text() == "449 1.25 1 12345 20000\n"


def test_submission_lines_by_hand_and_back(tmp_path: Path) -> None:
    path = tmp_path / "submission.txt"
    write_submission(path, [(NAMES[2], guesses()[2]), (NAMES[0], guesses()[0]), (NAMES[1], None)], NUMBERS)
    assert path.read_text() == "449 1 1 32 24 1 1 1 20 24\n0 0 0 0 0\n449 1 1 8 8\n"
    kit = trees.write(tmp_path / "map.txt", "".join(f"{w} {n}\n" for w, n in NUMBERS.items()))
    found = read_predictions(path, NAMES, WNIDS, str(kit))
    assert [found[name].ids for name in NAMES] == [(TENCH, CHIHUAHUA), (), (TENCH,)]
    assert torch.equal(found[NAMES[0]].boxes, guesses()[0].boxes)


def test_a_submission_is_sorted_by_name_whatever_the_order_of_the_boxes(tmp_path: Path) -> None:
    """LOC_val_solution.csv is in no order, class folders are in another one than the pictures' names."""
    backwards = dict(reversed(trees.VAL.items()))
    table = trees.write_csv(tmp_path / "LOC_val_solution.csv", backwards)
    listing = trees.write(tmp_path / "localization.txt", "\n".join(reversed(LOCALIZATION.split("\n"))).strip())
    write_submission(tmp_path / "s.txt", zip(NAMES, guesses(), strict=True), NUMBERS)
    kit = trees.write(tmp_path / "map.txt", "".join(f"{w} {n}\n" for w, n in NUMBERS.items()))
    for file in (table, listing):
        names = [picture.name for picture in read_boxes(file)]
        assert names == NAMES[::-1]
        assert same(read_predictions(tmp_path / "s.txt", names, WNIDS, str(kit)))


def test_pictures_of_one_name_have_a_line_each(tmp_path: Path) -> None:
    """Class folders may hold a/1.jpg and b/1.jpg."""
    one, two = guesses()[0], guesses()[2]
    write_submission(tmp_path / "s.txt", [("2", None), ("1", one), ("1", two)], NUMBERS)
    assert (tmp_path / "s.txt").read_text() == "449 1 1 32 24 1 1 1 20 24\n449 1 1 8 8\n0 0 0 0 0\n"


def test_blanks_round_what_a_table_tells(tmp_path: Path) -> None:
    text = "image , rank, wnid , xmin,ymin, xmax,ymax , note\n\n p1 , 1 ,n01440764 , 1 ,2, 30,40 , no\n"
    (found,) = read_predictions(trees.write(tmp_path / "p.csv", text), ["p1"], WNIDS, None).items()
    assert found[0] == "p1"
    assert found[1].ids == (TENCH,)
    assert found[1].boxes.tolist() == [[1, 2, 31, 41]]
    boxes = trees.write(tmp_path / "b.csv", f"ImageId, PredictionString \n p1 , {TENCH} 1 2 30 40 \n ,\n")
    assert summary(read_boxes(boxes)) == [("p1", TENCH, [(1, 2, 31, 41)], None)]


def test_true_boxes_of_files_are_not_clipped(tmp_path: Path) -> None:
    """The kit's own evaluation does not know the pictures' sizes."""
    beyond = [(TENCH, (10, 10, 32, 23)), (TENCH, (32, 3, 32, 5))]
    trees.write_xml(tmp_path / "a.xml", beyond)
    (by_xml,), (by_table,) = read_boxes(tmp_path), read_boxes(trees.write_csv(tmp_path / "b.csv", {"a": beyond}))
    assert by_xml.boxes.tolist() == by_table.boxes.tolist() == [[10, 10, 33, 24], [32, 3, 33, 6]]


def test_lines_without_a_guess_are_counted() -> None:
    empty = Guesses((), torch.zeros(0, 4))
    pictures = [BoxedPicture(name, TENCH, torch.tensor([[0.0, 0, 4, 4]]), (24, 32)) for name in "abc"]
    right = Guesses((TENCH,), torch.tensor([[0.0, 0, 4, 4]]))
    assert score_guesses_in_files(pictures, {"a": empty, "b": right})["without_guess"] == 2


@pytest.mark.parametrize("numbering", ["wnid", "kit"])
def test_submission_there_and_back_in_both_numberings(tmp_path: Path, numbering: str) -> None:
    source = "wnid" if numbering == "wnid" else str(meta_mat(tmp_path / "meta.mat", NUMBERS))
    write_submission(tmp_path / "s.txt", zip(NAMES, guesses(), strict=True), read_label_ids(source, WNIDS))
    assert same(read_predictions(tmp_path / "s.txt", NAMES, WNIDS, source))


def test_the_two_numberings_are_not_interchangeable(tmp_path: Path) -> None:
    """A submission read in the other order names other classes, and nothing can tell: hence no default."""
    numbers = {TENCH: 152, CHIHUAHUA: 1, TISSUE: 1000}
    write_submission(tmp_path / "s.txt", zip(NAMES, guesses(), strict=True), numbers)
    found = read_predictions(tmp_path / "s.txt", NAMES, WNIDS, "wnid")
    assert found[NAMES[0]].ids == (CHIHUAHUA, TENCH)
    with pytest.raises(UserError, match="does not tell how its classes are numbered"):
        read_predictions(tmp_path / "s.txt", NAMES, WNIDS, None)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "1 1 1 2 2\n", "has 1 lines for 3 pictures"),
        ("a.txt", "1 1 1 2 2\n1 1 1 2\n1 1 1 2 2\n", "line 2: 4 numbers"),
        ("a.txt", "1 1 1 2 2\n1 1 1 2 2\n2000 1 1 2 2\n", "line 3: no class has the number 2000; they are 1 to 1000"),
        ("a.txt", "0 1 1 2 2\n\n\n", "line 1: no class has the number 0; they are 1 to 1000"),
        ("a.txt", "1 5 1 2 2\n\n\n", "line 1: x1 > x2"),
        ("a.txt", "1 1 5 2 2\n\n\n", "line 1: x1 > x2 or y1 > y2"),
        ("a.csv", "image,rank,wnid,xmin,ymin,xmax,ymax\na,1,n1,0,5,1,1\n", "line 2: xmin > xmax or ymin > ymax"),
        ("a.txt", "1 1 1 2 2 " * 6 + "\n\n\n", "line 1: 30 numbers"),
        ("a.csv", "image,rank,wnids,xmin,ymin,xmax,ymax\n", "no column wnid; needed: image, rank, wnid"),
        ("a.csv", "image,rank,wnid,xmin,ymin,xmax,ymax\na,1,n1,0,0,x,1\n", "line 2"),
        ("a.csv", "image,rank,wnid,xmin,ymin,xmax,ymax\na,1,n1,0,0\n", "line 2: not as many columns"),
        ("a.csv", "image,rank,wnid,xmin,ymin,xmax,ymax\na,1,n1,0,0,1,1,1\n", "line 2: not as many columns"),
        ("a.csv", "image,rank,wnid,xmin,ymin,xmax,ymax\n" + "a,1,n1,0,0,1,1\n" * 2, "line 3: a second guess of rank 1"),
        ("a.csv", "ImageId,PredictionString\n", "no column image (it has the form of true boxes"),
        ("a.txt", "n01440764 5 1 2 2\n\n\n", "line 1: n01440764 is no number; a guess is `label x1 y1 x2 y2`"),
        (
            "a.csv",
            "image,rank,wnid,xmin,ymin,xmax,ymax\n" + "".join(f"a,{rank},n1,0,0,1,1\n" for rank in range(1, 7)),
            "line 7: more than 5 guesses for a",
        ),
    ],
)
def test_malformed_guesses_are_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_predictions(trees.write(tmp_path / name, text), NAMES, WNIDS, "wnid")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# Scores


def pictures(tmp_path: Path) -> list[BoxedPicture]:
    return read_boxes(trees.official(tmp_path))


def test_scores_by_hand(tmp_path: Path) -> None:
    result = score_guesses_in_files(pictures(tmp_path), dict(zip(NAMES, guesses(), strict=True)))
    assert result["images"] == result["localisation"]["images"] == 3
    assert result["classification"]["top1_error"] == pytest.approx(1 / 3)
    assert result["classification"]["top2_error"] == 0
    assert result["localisation"]["top1_error"] == pytest.approx(2 / 3)
    assert result["localisation"]["top5_error"] == pytest.approx(1 / 3)
    assert result["localisation"]["gt_known_accuracy"] == pytest.approx(2 / 3)
    assert result["localisation"]["mean_iou"] == pytest.approx((20 / 32 + 20 / 22 + 0) / 3)
    assert result["baselines"]["whole_image"]["top1_error"] == pytest.approx(2 / 3)  # 22 x 18 of 32 x 24 is over a half
    assert result["errors"]["first_guess"] == {"right": 1, "wrong_class": 1, "wrong_instance": 1}
    assert result["without_guess"] == 0


def test_pictures_without_a_guess_are_wrong(tmp_path: Path) -> None:
    result = score_guesses_in_files(pictures(tmp_path), {NAMES[1]: guesses()[1]})
    assert result["without_guess"] == 2
    assert result["localisation"]["top5_error"] == pytest.approx(2 / 3)
    assert "gt_known_accuracy" not in result["localisation"]
    assert list(result["errors"]) == ["first_guess"]
    assert result["errors"]["first_guess"] == {"right": 1, "wrong_class": 2}


def test_blacklisted_pictures_are_classified_only(tmp_path: Path) -> None:
    left = without_boxes(pictures(tmp_path), {NAMES[2]})
    result = score_guesses_in_files(left, dict(zip(NAMES, guesses(), strict=True)))
    assert (result["images"], result["localisation"]["images"]) == (3, 2)
    assert result["classification"]["top1_error"] == pytest.approx(1 / 3)
    assert result["localisation"]["top5_error"] == 0


def test_without_sizes_there_are_no_trivial_rows(tmp_path: Path) -> None:
    unsized = read_boxes(trees.write_csv(tmp_path / "a.csv", trees.VAL))
    result = score_guesses_in_files(unsized, dict(zip(NAMES, guesses(), strict=True)))
    assert result["baselines"] == {}
    assert result["localisation"]["top5_error"] == pytest.approx(1 / 3)
    assert "minus_centre_box" not in result["intervals"]
    with pytest.raises(UserError, match="the sizes of 3 pictures are unknown"):
        trivial_boxes(unsized)


def test_guesses_about_other_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 1 guessed pictures have no true boxes \(first: stranger\)"):
        score_guesses_in_files(pictures(tmp_path), {"stranger": guesses()[0]})
    unlabelled = read_boxes(trees.write(tmp_path / "x" / "localization.txt", LOCALIZATION))
    with pytest.raises(UserError, match=r"the class of ILSVRC2012_val_00000001 is unknown"):
        score_guesses_in_files(unlabelled, {})


def test_trivial_boxes_by_hand() -> None:
    """Objects that are the centred 30%, 50% and 90% boxes, and a corner whose second box is the whole picture."""

    def picture(*boxes: tuple[float, float, float, float]) -> BoxedPicture:
        return BoxedPicture("a", "n1", torch.tensor(boxes, dtype=torch.float32), (100, 100))

    given = [picture((35, 35, 65, 65)), picture((25, 25, 75, 75)), picture((5, 5, 95, 95))]
    given.append(picture((0, 0, 10, 10), (0, 0, 100, 100)))
    found = trivial_boxes(given)
    shares = {row["box"]: row["accuracy"] for row in found["rows"]}
    assert (found["images"], found["boxes"]) == (4, 5)
    assert shares["whole image"] == 0.5
    assert shares["centred, 75% of each side"] == 0.5  # 90% and 100%: .69 and .56
    assert shares["centred, 72% of each side"] == 0.5  # and 50%: .48 is not enough
    assert shares["centred, 36% (best)"] == 0.5  # the smallest that hits 50% hits 30% too
    assert shares["best two centred (36%, 72%)"] == 1.0
    assert shares["75% box against the first true box only (a mistake)"] == 0.25


def test_trivial_boxes_are_of_exactly_these_sizes() -> None:
    """Centred objects of which the boxes up to 72.0% and up to 75.0%, no larger ones, hit one each."""
    sides = [torch.tensor([50 - 50 * f, 50 - 50 * f, 50 + 50 * f, 50 + 50 * f]) for f in (0.5092, 0.5304, 0.9)]
    given = [BoxedPicture("a", "n1", box[None], (100, 100)) for box in sides]
    shares = {row["box"]: row["accuracy"] for row in trivial_boxes(given)["rows"]}
    assert shares["centred, 72% of each side"] == 1.0
    assert shares["centred, 75% of each side"] == pytest.approx(2 / 3)
    assert shares["75% box against the first true box only (a mistake)"] == pytest.approx(2 / 3)


def test_three_boxes_hit_what_two_cannot() -> None:
    """Objects of 10%, 40% and 100%: no box hits two of them."""
    edges = ((45.0, 45.0, 55.0, 55.0), (30.0, 30.0, 70.0, 70.0), (0.0, 0.0, 100.0, 100.0))
    given = [BoxedPicture("a", "n1", torch.tensor([box]), (100, 100)) for box in edges]
    found = {row["box"].split(" (")[0]: row["accuracy"] for row in trivial_boxes(given)["rows"]}
    assert found["best two centred"] == pytest.approx(2 / 3)
    assert found["best three centred"] == 1.0


def test_the_published_figures() -> None:
    """Of all 50,000 validation pictures, from whichever form of their boxes someone has."""
    if "DEEPINSIDE_BOXES" not in os.environ:
        pytest.skip(
            "DEEPINSIDE_BOXES does not name ILSVRC's validation boxes (XMLs or localization.txt with its sizes)"
        )
    found = trivial_boxes(read_boxes(Path(os.environ["DEEPINSIDE_BOXES"])))
    shares = {re.sub(r"\(\d.*", "", row["box"]).strip(): round(100 * row["accuracy"], 2) for row in found["rows"]}
    assert found["images"] == 50_000
    assert shares["whole image"] == 40.34
    assert shares["centred, 75% of each side"] == 53.29
    assert shares["centred, 72% of each side"] == shares["centred, 72% (best)"] == 53.77
    assert shares["75% box against the first true box only (a mistake)"] == 51.79
    assert shares["best two centred"] == pytest.approx(59.78, abs=0.05)
    assert shares["best three centred"] == pytest.approx(61.95, abs=0.05)


def test_a_folder_of_guesses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder: predictions.csv or submission.txt is needed"):
        read_predictions(tmp_path, ["a"], WNIDS, None)


def test_spaces_after_commas_and_empty_last_lines_do_no_harm(tmp_path: Path) -> None:
    table = trees.write(tmp_path / "a.csv", "image, rank, wnid, xmin, ymin, xmax, ymax\na, 1, n1, 0, 0, 1, 1\n\n")
    assert read_predictions(table, ["a"], WNIDS, None)["a"].boxes.tolist() == [[0, 0, 2, 2]]
    commas = trees.write(tmp_path / "b.txt", "1,1,1,2,2, 2,3,3,4,4\n")
    assert read_predictions(commas, ["a"], WNIDS, "wnid")["a"].boxes.tolist() == [[0, 0, 2, 2], [2, 2, 4, 4]]
    padded = trees.write(tmp_path / "c.txt", "1 1 1 2 2 0 0 0 0 0 0 0 0 0 0\n")
    assert len(read_predictions(padded, ["a"], WNIDS, "wnid")["a"].ids) == 1
    first = trees.write(tmp_path / "d.txt", "0 0 0 0 0 1 1 1 2 2\n")  # left out, it would move the others up
    with pytest.raises(UserError, match=r"d.txt, line 1: no class has the number 0"):
        read_predictions(first, ["a"], WNIDS, "wnid")
    lines = trees.write(tmp_path / "a.txt", "1 1 1 2 2\n\n \n")
    assert list(read_predictions(lines, ["a"], WNIDS, "wnid")) == ["a"]
    assert list(read_predictions(lines, ["a", "b", "c"], WNIDS, "wnid")) == ["a", "b", "c"]


@pytest.mark.parametrize("edge", ["nan", "inf", "-inf"])
def test_edges_that_are_not_finite_are_refused(edge: str, tmp_path: Path) -> None:
    rows = trees.write(tmp_path / "p.csv", f"image,rank,wnid,xmin,ymin,xmax,ymax\na,1,n1,0,0,{edge},3\n")
    with pytest.raises(UserError, match=r"p.csv, line 2: an edge is not a finite number"):
        read_predictions(rows, ["a"], WNIDS, None)
    lines = trees.write(tmp_path / "s.txt", f"1 {edge} 1 2 3\n")
    with pytest.raises(UserError, match=r"s.txt, line 1: not all of its numbers are finite"):
        read_predictions(lines, ["a"], WNIDS, "wnid")


@pytest.mark.parametrize("name", ["p.csv", "s.txt"])
def test_files_of_guesses_that_are_no_text_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"image,rank\xff\xfe\x00")
    with pytest.raises(UserError, match=f"{name} is not a text in UTF-8"):
        read_predictions(tmp_path / name, ["a"], WNIDS, "wnid")


def test_a_table_that_csv_cannot_read_is_refused_in_one_line(tmp_path: Path) -> None:
    path = trees.write(tmp_path / "p.csv", "image" * 30_000)
    with pytest.raises(UserError, match=r"p\.csv is not a text in UTF-8: field larger than"):
        read_predictions(path, ["a"], WNIDS, None)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specification = importlib.util.spec_from_file_location("analyse", ROOT / "analyse.py")
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    trees.official(tmp_path / "tree")
    write_csv(tmp_path / "p.csv", csv_rows())
    commands = {
        "trivial": (f"boxes={tmp_path / 'tree'}", f"out={tmp_path / 'a'}"),
        "scored": (f"predictions={tmp_path / 'p.csv'}", f"boxes={tmp_path / 'tree'}", f"out={tmp_path / 'b'}"),
        "data": (f"predictions={tmp_path / 'p.csv'}", "data.name=ilsvrc", f"data.root={tmp_path / 'tree'}"),
    }
    said = {}
    for name, arguments in commands.items():
        script.main(["task=localise", *arguments])
        said[name] = capsys.readouterr().out
    assert "best two centred" in said["trivial"]
    assert said["trivial"].endswith(f"results: {tmp_path / 'a' / 'metrics.json'}\n")
    assert said["scored"] == f"{said['data']}results: {tmp_path / 'b' / 'metrics.json'}\n"
    assert "wrong class 1, elsewhere 1" in said["scored"]
    write_csv(tmp_path / "few.csv", csv_rows()[:2])
    script.main(["task=localise", f"predictions={tmp_path / 'few.csv'}", f"boxes={tmp_path / 'tree'}"])
    said["few"] = capsys.readouterr().out
    assert "2 of 3 pictures have no guess and count as wrong" in said["few"]
    write_csv(tmp_path / "by_index.csv", [row | {"wnid": "478"} for row in csv_rows()])
    script.main(["task=localise", f"predictions={tmp_path / 'by_index.csv'}", f"boxes={tmp_path / 'tree'}"])
    other = "no picture has any of the guessed classes: guesses name 478, the true boxes n01"
    assert [other in text for text in (capsys.readouterr().out, said["few"], said["scored"])] == [True, False, False]
    assert json.loads((tmp_path / "b" / "metrics.json").read_text())["localisation"]["images"] == 3
    assert "have no guess" not in said["scored"]
    picture = next((tmp_path / "tree").rglob(f"{NAMES[0]}.JPEG"))
    intact = picture.read_bytes()
    picture.write_bytes(b"no picture")
    script.main(["task=localise", *commands["data"], f"out={tmp_path / 'd'}"])
    assert f"1 picture could not be read, left out (first: {NAMES[0]})" in capsys.readouterr().out
    left = json.loads((tmp_path / "d" / "metrics.json").read_text())
    assert (left["images"], left["unreadable"], left["without_guess"]) == (2, [NAMES[0]], 0)
    picture.write_bytes(intact)
    annotation = next((tmp_path / "tree").rglob(f"{NAMES[0]}.xml"))
    annotation.write_text("<annotation>")
    script.main(["task=localise", *commands["data"]])  # a guess about it is none about a stranger
    assert f"1 picture could not be read, left out (first: {NAMES[0]})" in capsys.readouterr().out
    shutil.copytree(tmp_path / "tree", tmp_path / "spoilt")
    for file in (tmp_path / "spoilt").rglob("*.JPEG"):
        file.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"none of the 3 pictures of .*spoilt can be read"):
        script.main(["task=localise", *commands["data"][:2], f"data.root={tmp_path / 'spoilt'}"])
    trees.official(tmp_path / "tree")
    capsys.readouterr()
    listed, scored = trees.write(tmp_path / "list.txt", NAMES[2]), commands["scored"][:2]
    script.main(["task=localise", *scored, f"localisation.blacklist={listed}", f"out={tmp_path / 'c'}"])
    assert "names none" not in capsys.readouterr().out
    assert json.loads((tmp_path / "c" / "metrics.json").read_text())["localisation"]["images"] == 2
    listed.write_text("stranger")
    script.main(["task=localise", *scored, f"localisation.blacklist={listed}"])
    assert f"localisation.blacklist={listed} names none of the 3 pictures\n" in capsys.readouterr().out
    write_csv(tmp_path / "strange.csv", [row | {"image": "stranger"} for row in csv_rows()[:1]])
    for words, arguments in {
        "no guess is about a drawn shape": ("task=localise", f"predictions={tmp_path}/p.csv", "data.shapes_val=3"),
        "guessed pictures have no true boxes": (
            "task=localise",
            f"predictions={tmp_path / 'strange.csv'}",
            f"boxes={tmp_path / 'tree'}",
        ),
        "boxes belongs to task=localise": ("task=saliency", "boxes=x"),
        "no such file; did you mean 'p.csv'": (
            "task=localise",
            f"boxes={tmp_path / 'tree'}",
            f"predictions={tmp_path}/q.csv",
        ),
    }.items():
        with pytest.raises(UserError, match=words):
            script.main(list(arguments))


def test_numbers_of_classes_that_are_not_imagenets(tmp_path: Path) -> None:
    """Of classes a, b and c the true boxes have a and c alone: 2 is b, and no box tells that."""
    names = [f"n9999999{i}" for i in range(3)]
    trees.write(tmp_path / "tree/LOC_synset_mapping.txt", "".join(f"{name} {name[-1]}\n" for name in names))
    for image, name in (("p1", names[0]), ("p2", names[2])):
        trees.save(tmp_path / "tree/val" / name / f"{image}.JPEG")
        trees.write_xml(tmp_path / "tree/Annotations/CLS-LOC/val" / f"{image}.xml", [(name, (4, 4, 20, 20))])
    file = trees.write(tmp_path / "s.txt", "2 5 5 21 21 1 5 5 21 21\n2 5 5 21 21\n")
    scored = ["task=localise", f"predictions={file}", "localisation.label_ids=wnid", f"out={tmp_path / 'o'}"]
    analyse.main([*scored, "data.name=ilsvrc", f"data.root={tmp_path / 'tree'}"])
    found = json.loads((tmp_path / "o/metrics.json").read_text())["classification"]
    assert (found["top1_error"], found["top5_error"]) == (1.0, 0.5)
    with pytest.raises(UserError, match="label_ids=wnid numbers ImageNet's 1000 classes; true boxes do not tell all"):
        analyse.main([*scored, f"boxes={tmp_path / 'tree'}"])


def test_real_annotations_give_the_figures_of_their_pictures(shared: Path) -> None:
    """The same 300 pictures' boxes from the XMLs and, with sizes, from the table in localization.txt's form."""
    pictures = read_boxes(shared / "ilsvrc_mini")
    assert (len(pictures), sum(len(p.boxes) for p in pictures)) == (300, 510)
    assert {p.label_id for p in pictures} <= set(imagenet_wnids())
    table = {p.name: p for p in read_boxes(shared / "ilsvrc_mini" / "LOC_val_solution.csv")}
    assert all(torch.equal(p.boxes, table[p.name].boxes) and p.label_id == table[p.name].label_id for p in pictures)
    shares = {row["box"]: round(100 * row["accuracy"], 1) for row in trivial_boxes(pictures)["rows"]}
    assert shares["whole image"] == 47.0
