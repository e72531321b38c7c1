"""True boxes without their pictures: a folder of XMLs, LOC_val_solution.csv, wsolevaluation's localization.txt."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from deepinside.data.annotations import FURTHEST, Box, half_open, read_solution_csv, read_voc_xml
from deepinside.data.ilsvrc import imagenet_wnids
from deepinside.data.listing import contents
from deepinside.data.picture import UnreadablePicture
from deepinside.data.source import PictureSource, read
from deepinside.errors import UserError, name_nearby

LOCALIZATION, SIZES, LABELS = "localization.txt", "image_sizes.txt", "class_labels.txt"
FOLDERS = ("ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val", "CLS-LOC/val", "val", ".")


@dataclass(frozen=True)
class BoxedPicture:
    """What is known of a picture. name: the file's, without extension; label_id: its class's identifier, "" where it is
    unknown; boxes: float32 (M, 4), half-open edges; size: the (height, width) they refer to, None where unknown;
    readable: False where it should have been read for these and could not be."""

    name: str
    label_id: str
    boxes: Tensor
    size: tuple[int, int] | None
    readable: bool = True


def read_boxes(path: Path) -> list[BoxedPicture]:
    """The pictures and boxes of:

    * a folder of VOC XMLs, at any depth (or a CLS-LOC tree that holds one: its validation split), sorted by name;
    * LOC_val_solution.csv, which does not tell the pictures' sizes;
    * wsolevaluation's localization.txt (`path,x0,y0,x1,y1`, 0-based, inclusive), or the folder that holds it, with
      image_sizes.txt (`path,width,height`) and class_labels.txt (`path,number`) beside it where there are any; numbers
      of ILSVRC pictures are places among the sorted WNIDs.

    Raises UserError that names the file, line and form.
    """
    path = path.expanduser()
    if path.is_dir():
        if (path / LOCALIZATION).is_file():
            return _read_localization(path / LOCALIZATION)
        found = next((xmls for name in FOLDERS if (xmls := sorted((path / name).rglob("*.xml")))), None)
        if found:
            return [_read_xml(xml) for xml in sorted(found, key=lambda xml: xml.stem)]
        path, folder = path / "LOC_val_solution.csv", path
        if not path.is_file():
            raise UserError(f"boxes={folder}: no XMLs, {LOCALIZATION} or {path.name} in there; {contents(folder)}")
    if not path.is_file():
        raise UserError(f"boxes={path}: no such file or folder{name_nearby(path)}")
    if path.suffix != ".csv":
        return _read_localization(path)
    return [_boxed(name, boxes, None) for name, boxes in read_solution_csv(path).items()]


def boxed_pictures(source: PictureSource) -> list[BoxedPicture]:
    """The same of a data set, whose pictures are read for their sizes; of one that cannot be read there is the name."""
    found = []
    for i in range(len(source)):
        try:
            picture = read(source, i)
        except UnreadablePicture as error:
            found.append(BoxedPicture(error.name, "", torch.zeros(0, 4), None, readable=False))
            continue
        size = (picture.image.shape[-2], picture.image.shape[-1])
        found.append(BoxedPicture(picture.name, source.classes.ids[picture.label], picture.boxes, size))
    return found


def _read_xml(path: Path) -> BoxedPicture:
    _, size, objects = read_voc_xml(path)
    return _boxed(path.stem, objects, size if min(size) > 0 else None)


def _boxed(name: str, objects: Sequence[tuple[str, Box]], size: tuple[int, int] | None) -> BoxedPicture:
    """The picture's class is its first box's; boxes of other classes are left out, as ILSVRC's score has it. Boxes
    beyond the picture stay as they are, as there."""
    label_id = objects[0][0] if objects else ""
    edges = [box for wnid, box in objects if wnid == label_id]
    return BoxedPicture(name, label_id, torch.tensor(edges, dtype=torch.float32).reshape(-1, 4), size)


def _read_localization(path: Path) -> list[BoxedPicture]:
    edges: dict[str, list[Box]] = {}
    for name, box in _rows(path, "path,x0,y0,x1,y1", 4):
        edges.setdefault(name, []).append(half_open(box))
    sizes, labels = path.with_name(SIZES), path.with_name(LABELS)
    size_of = {name: (h, w) for name, (w, h) in _rows(sizes, "path,width,height", 2)} if sizes.is_file() else {}
    label_of = {name: number for name, (number,) in _rows(labels, "path,number", 1)} if labels.is_file() else {}
    for file, given in ((sizes, size_of), (labels, label_of)):
        missing = [name for name in edges if given and name not in given]
        if missing:
            raise UserError(f"{file} has no line for {len(missing)} of {path.name}'s pictures (first: {missing[0]})")
    for name, number in label_of.items():
        if number < 0:
            raise UserError(f"{labels}: {name} has the class number {number}; they count from 0")
    for name, size in size_of.items():
        if min(size) < 1:
            raise UserError(f"{sizes}: {name} has {size[1]} x {size[0]} pixels")
    for name in edges:
        if not Path(name).name:
            raise UserError(f"{path}: '{name}' is no name of a picture")
    wnids = imagenet_wnids() if all("ILSVRC2012" in name for name in edges) else ()
    ids = {name: wnids[n] if n < len(wnids) else str(n) for name, n in label_of.items()}
    repeated = Counter(Path(name).stem for name in edges).most_common(1)[0][1] > 1
    found = []
    for name, boxes in edges.items():
        short = str(Path(name).with_suffix("")) if repeated else Path(name).stem
        found.append(_boxed(short, [(ids.get(name, ""), box) for box in boxes], size_of.get(name)))
    return found


def _rows(path: Path, form: str, numbers: int) -> Iterator[tuple[str, list[int]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        try:
            for row in rows:
                if not row:
                    continue
                if len(row) != numbers + 1:
                    raise ValueError(f"{len(row)} fields")
                given = [int(field) for field in row[1:]]
                if max(map(abs, given)) > FURTHEST:
                    raise ValueError("a number is out of range")
                yield row[0], given
        except (ValueError, csv.Error) as error:
            raise UserError(f"{path}, line {rows.line_num}: not of the form {form}: {error}") from None
    if rows.line_num == 0:
        raise UserError(f"{path} is empty; a line must be {form}")
