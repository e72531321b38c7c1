"""ILSVRC's text files: VOC XMLs, LOC_*_solution.csv and LOC_synset_mapping.txt."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from deepinside.data.picture import Classes
from deepinside.errors import UserError, name_nearby

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1), half-open edges in pixels."""
FURTHEST = 1e9  # pixels; float32 and its areas have no room for much more


def read_voc_xml(path: Path) -> tuple[str, tuple[int, int], list[tuple[str, Box]]]:
    """One VOC XML as (file name, (height, width), [(WNID, box), ...]).

    Height and width are those that the boxes refer to; ILSVRC has XMLs whose size differs from the picture's. They are
    (0, 0) where the XML has none. Raises UserError where the file is no such XML.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        root = ElementTree.parse(path).getroot()
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
        edges = [f"bndbox/{edge}" for edge in ("xmin", "ymin", "xmax", "ymax")]
        if max(height, width) > FURTHEST:
            raise ValueError("a size is no number of pixels")
        objects = [(_text(o, "name"), half_open(_text(o, edge) for edge in edges)) for o in root.iter("object")]
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:  # an encoding nobody knows, a link
        raise UserError(f"{path}: not a VOC annotation: {error}") from error
    return root.findtext("filename") or "", (height, width), objects


def read_solution_csv(path: Path) -> dict[str, list[tuple[str, Box]]]:
    """LOC_val_solution.csv or LOC_train_solution.csv as {image id: [(WNID, box), ...]}.

    A row is `ImageId,PredictionString`, the string one or more times `WNID xmin ymin xmax ymax` (0-based, inclusive).
    Raises UserError that names the file and line, for a second row about an image with other boxes too.
    """
    found: dict[str, list[tuple[str, Box]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        try:
            if [name.strip() for name in next(rows, [])] != ["ImageId", "PredictionString"]:
                raise ValueError("the first line must be ImageId,PredictionString")
            for row in rows:
                if not any(field.strip() for field in row):
                    continue
                if len(row) != 2:
                    raise ValueError(f"{len(row)} columns")
                name, boxes = row[0].strip(), _parse_prediction(row[1])
                if found.setdefault(name, boxes) != boxes:
                    raise ValueError(f"a second row for {name}")
        except (ValueError, csv.Error) as error:
            form = "ImageId,WNID xmin ymin xmax ymax ..."
            raise UserError(f"{path}, line {max(1, rows.line_num)}: not of the form {form}: {error}") from error
    return found


def read_synset_mapping(path: Path) -> Classes:
    """LOC_synset_mapping.txt (a line: `WNID synonym, synonym, ...`) as Classes sorted by WNID.

    A class is named by its first synonym; where two classes share it (`crane`, the bird and the machine), the WNID
    follows in brackets. Raises UserError for an empty file, a line without a name and a WNID given twice.
    """
    first: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        wnid, _, synonyms = line.strip().partition(" ")
        if not wnid:
            continue
        if not synonyms or wnid in first:
            wrong = "a second line for" if wnid in first else "no name after"
            raise UserError(f"{path}, line {number}: {wrong} {wnid}; a line must be: WNID name, name, ...")
        first[wnid] = synonyms.split(",")[0].strip()
    if not first:
        raise UserError(f"{path} is empty; a line must be: WNID name, name, ...")
    times = Counter(first.values())
    ids = tuple(sorted(first))
    return Classes(ids, tuple(first[i] if times[first[i]] == 1 else f"{first[i]} ({i})" for i in ids))


def read_class_list(path: Path) -> Classes:
    """A net's classes in the order of its outputs, a line each: the name of the class's folder, or a WNID and a name.

    Raises UserError for a file that cannot be read, an empty one and a class given twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"model.classes={path}: no such file{name_nearby(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no text file that can be read: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if words := line.strip():
            wnid = re.match(r"(n\d{8})\s+(.+)", words)
            identifier, name = wnid.groups() if wnid else (words, words)
            if identifier in found:
                raise UserError(f"{path}, line {number}: a second line for {identifier}")
            found[identifier] = name
    if not found:
        raise UserError(f"{path} is empty: it must have a line for each output of the net")
    return Classes(tuple(found), tuple(found.values()))


def _parse_prediction(prediction: str) -> list[tuple[str, Box]]:
    words = prediction.split()
    if len(words) % 5:
        raise ValueError(f"{len(words)} words, not a multiple of 5")
    return [(words[i], half_open(words[i + 1 : i + 5])) for i in range(0, len(words), 5)]


def half_open(edges: Iterable[str | int]) -> Box:
    """xmin, ymin, xmax, ymax as ILSVRC counts them (0-based, inclusive) -> half-open edges.

    The same as boxes.from_inclusive, for plain numbers: LOC_train_solution.csv has half a million boxes.
    """
    left, top, right, bottom = (float(edge) for edge in edges)
    if not abs(left) + abs(top) + abs(right) + abs(bottom) < FURTHEST:
        raise ValueError("an edge is not a finite number of pixels")
    # A few of ILSVRC's training boxes have min and max exchanged.
    return min(left, right), min(top, bottom), max(left, right) + 1, max(top, bottom) + 1


def _text(element: ElementTree.Element, tag: str) -> str:
    text = element.findtext(tag)
    if not text:
        raise ValueError(f"an object without {tag}")
    return text.strip()
