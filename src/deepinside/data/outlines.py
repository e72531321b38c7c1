"""Outlines of the drawn shapes as signed distance functions.

d(x, y) is below 0 inside, 0 on the outline and above 0 outside; x leads to the right and y down, and every shape stays
within -1..1 on both axes when rotated by up to 0.3 rad. Intersection is max, union min (constructive solid geometry):
d is the true distance at the outline, which is all that anti-aliasing and masks need. All are mirror-symmetric in x, so
a flipped picture keeps its class. Float32 arrays stay float32.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]


def _half_plane(x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float]) -> Floats:
    """Distance to the line from start to end, positive on the right of a line that leads down."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = math.sqrt(along_x * along_x + along_y * along_y)
    return (x - start[0]) * (along_y / length) - (y - start[1]) * (along_x / length)


def _disc(x: Floats, y: Floats, centre: tuple[float, float] = (0.0, 0.0), radius: float = 0.9) -> Floats:
    return np.sqrt((x - centre[0]) * (x - centre[0]) + (y - centre[1]) * (y - centre[1])) - radius


def _ring(x: Floats, y: Floats) -> Floats:
    outer = _disc(x, y, radius=0.95)
    return np.maximum(outer, -0.45 - outer)


def _square(x: Floats, y: Floats) -> Floats:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8


def _triangle(x: Floats, y: Floats) -> Floats:
    return np.maximum(y - 0.6, _half_plane(np.abs(x), y, (0.0, -1.0), (0.85, 0.6)))


def _star(x: Floats, y: Floats) -> Floats:
    """Pentagram: the points that lie outside at most one of its five lines, so the second largest distance counts."""
    largest, second = -y - 0.309017, np.full_like(x, -np.inf)
    for normal_x, normal_y in ((0.951057, -0.309017), (0.587785, 0.809017)):
        for side in (normal_x, -normal_x):
            line = x * side + y * normal_y - 0.309017
            second = np.maximum(second, np.minimum(largest, line))
            largest = np.maximum(largest, line)
    return second


def _cross(x: Floats, y: Floats) -> Floats:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(x, y) - 0.3, np.maximum(x, y) - 0.95)


def _crescent(x: Floats, y: Floats) -> Floats:
    return np.maximum(_disc(x, y, (0.0, -0.1), 0.97), -_disc(x, y, (0.0, -0.6), 0.88))


def _heart(x: Floats, y: Floats) -> Floats:
    x = np.abs(x)
    diamond = (x + np.abs(y - 0.09)) * math.sqrt(0.5) - 0.54
    return np.minimum(diamond, _disc(x, y, (0.381838, -0.291838), 0.54))


def _arrow(x: Floats, y: Floats) -> Floats:
    x = np.abs(x)
    head = np.maximum(y + 0.05, _half_plane(x, y, (0.0, -1.0), (0.85, -0.05)))
    return np.minimum(head, np.maximum(x - 0.28, np.abs(y - 0.37) - 0.55))


def _hourglass(x: Floats, y: Floats) -> Floats:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(y - 0.85, _half_plane(x, y, (0.09, 0.0), (0.65, 0.85)))


OUTLINES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "hourglass": _hourglass,
}
