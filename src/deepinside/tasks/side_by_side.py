"""The pictures of a comparison drawn side by side, for TensorBoard: report.html lays them out itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from deepinside.boxes import scale_boxes
from deepinside.compare import Shown
from deepinside.plots import TILE, draw_boxes, draw_strip, heat, overlay
from deepinside.tasks.compared_maps import read_map
from deepinside.tiles import sheet


def draw_pictures(labels: Sequence[str], shown: Sequence[Shown]) -> Image.Image | None:
    """A sheet with a row a picture: the picture itself, then each run's map and box over it; None without any."""
    opened = [(one, photo) for one in shown if (photo := _open(one.photo))]
    return sheet([_side_by_side(labels, one, np.array(photo)) for one, photo in opened], 1) if opened else None


def draw_class_models(labels: Sequence[str], models: Mapping[str, list[Path | None]]) -> Image.Image | None:
    """A sheet with a row a class, a column a run with its label; None without any."""
    opened = [[_open(file) for file in files] for files in models.values()]
    pictures = [picture for row in opened for picture in row if picture]
    if not pictures:
        return None
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    blank = Image.new("RGB", (width, height), "white")
    rows = ([(label, np.array(one or blank)) for label, one in zip(labels, row, strict=True)] for row in opened)
    return sheet([draw_strip(row, "", height) for row in rows], 1)


def _open(file: Path | None) -> Image.Image | None:
    """None for a damaged file, too."""
    try:
        return Image.open(file, formats=["JPEG", "PNG"]).convert("RGB") if file else None
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None


def _side_by_side(labels: Sequence[str], one: Shown, picture: NDArray[np.uint8]) -> Image.Image:
    size, first = picture.shape[:2], one.records[0]
    truth = scale_boxes(torch.tensor(first.boxes).reshape(-1, 4), first.size, size)
    columns = [(f"{first.class_name}: {one.found.image}", picture)]
    for label, record, file in zip(labels, one.records, one.maps, strict=True):
        pixels = overlay(picture, heat(read_map(file, size))) if file else picture
        box = scale_boxes(torch.tensor(record.known_box or []).reshape(-1, 4), record.size, size)
        told = f"{label}: {record.guesses[0].class_name}" if record.guesses else label
        columns.append((told, np.array(draw_boxes(pixels, truth, box))))
    return draw_strip(columns, "", TILE)
