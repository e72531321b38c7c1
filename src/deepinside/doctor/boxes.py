"""The boxes of an ILSVRC split: how many pictures have them, and which are odd."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from deepinside.data.annotations import read_voc_xml
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.listing import file_names
from deepinside.doctor.finding import OK, WARN, Finding
from deepinside.doctor.pictures import spread_evenly
from deepinside.errors import UserError
from deepinside.words import some

# What is odd -> what the readers make of it.
ODD = {
    "no VOC annotation": "such a picture is left out as unreadable; fetch the XML again",
    "outside the picture": "clipped to the picture, left out where nothing remains",
    "empty or reversed (min > max)": "min and max are exchanged; look at the XML",
    "without a box of its class": "such a picture counts for the classification alone",
    "without a size": "the boxes are taken as pixels of the file",
}


def check_boxes(split: str, source: ILSVRC, count: int, advance: Callable[[float], None]) -> list[Finding]:
    """How many pictures have boxes, and what is odd in `count` of the XMLs."""
    folder = source.tree.annotations
    stems = {name.removesuffix(".xml") for name in file_names(folder) if name.endswith(".xml")}
    if not stems:
        return [_without_xmls(split, source)]
    annotated = [(i, stem) for i in range(len(source)) if (stem := _stem_of(source, i, stems))]
    chosen = [annotated[i] for i in spread_evenly(count, len(annotated))]
    boxes, odd = 0, defaultdict[str, list[str]](list)
    for i, stem in chosen:
        advance(1)
        file = folder / f"{stem}.xml"
        number, kinds = look_at_xml(file, source.classes.ids[source.labels[i]])
        boxes += number
        for kind in kinds:
            odd[kind].append(file.name)
    told = f"{len(annotated):,} of {len(source):,} pictures have an XML, {boxes:,} boxes in the {len(chosen):,} read"
    findings = [Finding(f"{split}: boxes", told, *_state(split, len(annotated), len(source)))]
    if unused := len(stems) - len(annotated):
        fix = "they are ignored; are pictures missing?"
        findings.append(Finding(f"{split}: XMLs without picture", f"{unused:,} in {folder}", WARN, fix))
    for kind, names in odd.items():
        words = f"{len(names):,} of {len(chosen):,}: {kind}: {some(names)}"
        findings.append(Finding(f"{split}: odd boxes", words, WARN, ODD[kind]))
    return findings


def look_at_xml(file: Path, wnid: str) -> tuple[int, list[str]]:
    """How many boxes the XML has, and which of `ODD` it is."""
    try:
        _, (height, width), objects = read_voc_xml(file)
    except (UserError, OSError):
        return 0, ["no VOC annotation"]
    kinds = []
    if min(height, width) <= 0:
        kinds.append("without a size")
    elif any(x0 < 0 or y0 < 0 or x1 > width or y1 > height for _, (x0, y0, x1, y1) in objects):
        kinds.append("outside the picture")
    if any(_is_reversed(box) for box in ElementTree.parse(file).getroot().iter("bndbox")):
        kinds.append("empty or reversed (min > max)")
    if wnid not in {name for name, _ in objects}:
        kinds.append("without a box of its class")
    return len(objects), kinds


def _is_reversed(box: ElementTree.Element) -> bool:
    low_x, low_y, high_x, high_y = (float(box.findtext(tag) or 0) for tag in ("xmin", "ymin", "xmax", "ymax"))
    return low_x > high_x or low_y > high_y


def _without_xmls(split: str, source: ILSVRC) -> Finding:
    if source.has_boxes:
        return Finding(f"{split}: boxes", f"from {source.tree.table}")
    if split == "train":
        return Finding("train: boxes", "none; training needs none")
    fix = f"boxes belong in {source.tree.annotations} (XMLs) or {source.tree.table}"
    return Finding(f"{split}: boxes", "none: task=localise has nothing to score against", WARN, fix)


def _state(split: str, annotated: int, total: int) -> tuple[str, str]:
    """Of ILSVRC's training pictures less than half have boxes, of its validation pictures all."""
    if split == "train" or annotated == total:
        return OK, ""
    return WARN, "pictures without a box count for the classification alone; fetch the missing XMLs"


def _stem_of(source: ILSVRC, i: int, stems: set[str]) -> str | None:
    """As the reader looks for it: beside the picture's folder, else in one folder."""
    stem = os.path.splitext(source.files[i])[0]
    flat = os.path.basename(stem)
    return stem if stem in stems else flat if flat in stems else None
