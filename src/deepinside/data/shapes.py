"""Ten drawn shapes: a data set with exact masks and boxes that needs no download and is learnt in two minutes.

A picture is a pure function of (seed, index), with the same bits on every machine: its random numbers are the raw words
of a Philox stream keyed by the two, and whatever happens on pixels is + - * /, square root, minimum, maximum, floor and
comparison, which IEEE 754 rounds in one way only. Rotations are rational points of the circle, so no sine is needed.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepinside.data.outlines import OUTLINES, Floats
from deepinside.data.picture import Classes, Picture
from deepinside.errors import UserError

SHAPES: tuple[str, ...] = tuple(OUTLINES)
SIDE = 70
_ROWS = np.arange(SIDE, dtype=np.float32)[:, None] + np.float32(0.5)
_COLUMNS = _ROWS.T
_SPLITS = ("train", "val")
_BATCH = 20  # small enough for the grids to stay in the processor's cache
_NODES, _STROKES, _COLOURS = 4, 8, 16
_UNIFORMS = 175
_NOISE_WORDS = -(-3 * SIDE * SIDE // 8)  # a random byte for each channel of each pixel
_NOISE_STEP = 0.02 * 255 * math.sqrt(12) / 256


class _Uniforms:
    """Hands out the pictures' random numbers, drawn beforehand as (K, N) in [0, 1), one row after the other."""

    def __init__(self, numbers: Floats) -> None:
        self.numbers, self.used = numbers, 0

    def __call__(self, low: float, high: float, *shape: int) -> Floats:
        """(*shape, N) in [low, high)."""
        start, self.used = self.used, self.used + math.prod(shape)
        return low + (high - low) * self.numbers[start : self.used].reshape(*shape, -1)


def _on_pixels(parameter: Floats) -> Floats:
    """(..., N) in float64 -> (..., N, 1, 1) in float32, to combine with pixel grids."""
    return parameter.astype(np.float32)[..., None, None]


def _direction(half_angle_tangent: Floats) -> tuple[Floats, Floats]:
    """Cosine and sine of the angle whose half has this tangent: the rational points of the unit circle."""
    square = half_angle_tangent * half_angle_tangent
    return _on_pixels((1 - square) / (1 + square)), _on_pixels(2 * half_angle_tangent / (1 + square))


def _rgb(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """HSV (...,) -> RGB (3, ...), all in [0, 1]: each channel is a clipped triangle wave of the hue."""
    ramps = [np.clip(np.abs((6 * hue + offset) % 6 - 3) - 1, 0, 1) for offset in (0, 4, 2)]
    return np.stack([value * (1 - saturation * (1 - ramp)) for ramp in ramps])


def _blend(canvas: Floats, colour: Floats, opacity: Floats) -> None:
    """Draws a colour (3, N, h, w) over the canvas (3, N, H, W) where the opacity (N, H, W) says so, in place."""
    for channel in range(3):
        canvas[channel] += opacity * (colour[channel] - canvas[channel])


def _background(uniform: _Uniforms, base: Floats) -> Floats:
    """One colour each plus a smooth random field (cubic steps between 4x4 nodes), crossed by strokes: (3, N, H, W)."""
    step = np.maximum(1 - np.abs(_COLUMNS * ((_NODES - 1) / SIDE) - np.arange(_NODES, dtype=np.float32)[:, None]), 0)
    weight = step * step * (3 - 2 * step)
    nodes = _on_pixels(uniform(-0.14, 0.14, _NODES, _NODES, 3) + base)
    canvas = np.zeros((3, base.shape[1], SIDE, SIDE), np.float32)
    for row, across in zip(nodes, weight, strict=True):
        line = row[0] * weight[0]
        for column in range(1, _NODES):
            line = line + row[column] * weight[column]
        canvas += line * across[:, None]
    for _ in range(_STROKES):
        x, y = _on_pixels(uniform(0, SIDE, 2))
        along = uniform(-24, 24, 2)
        along_x, along_y = _on_pixels(along)
        per_x, per_y = _on_pixels(along / (along[0] * along[0] + along[1] * along[1] + 1))
        place = np.clip((_COLUMNS - x) * per_x + (_ROWS - y) * per_y, 0, 1)
        from_x, from_y = _COLUMNS - x - place * along_x, _ROWS - y - place * along_y
        reach = _on_pixels(uniform(0.9, 1.9)) - np.sqrt(from_x * from_x + from_y * from_y)
        _blend(canvas, _on_pixels(_rgb(uniform(0, 1), uniform(0, 0.8), uniform(0.2, 1))), np.clip(reach, 0, 1))
    return canvas


def _first_far(candidates: Floats, base: Floats) -> Floats:
    """The first of the colours (3, K, N) at least 0.45 from the background's (3, N), else the farthest: (3, N)."""
    red, green, blue = candidates - base[:, None]
    distance = np.minimum(np.sqrt(red * red + green * green + blue * blue), 0.45)
    return np.take_along_axis(candidates, distance.argmax(0)[None, None], axis=1)[:, 0]


def _draw_objects(uniform: _Uniforms, canvas: Floats, base: Floats, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Draws one object of the given class into every picture, in place, and returns the masks (N, H, W)."""
    radius = uniform(0.22 * SIDE, 0.38 * SIDE)
    x = _COLUMNS - _on_pixels(radius + uniform(0, 1) * (SIDE - 2 * radius))
    y = _ROWS - _on_pixels(radius + uniform(0, 1) * (SIDE - 2 * radius))
    cosine, sine = _direction(uniform(-0.15, 0.15))
    u, v = (x * cosine + y * sine) * _on_pixels(1 / radius), (y * cosine - x * sine) * _on_pixels(1 / radius)
    inside = np.empty_like(u)
    for label, outline in enumerate(OUTLINES.values()):
        chosen = labels == label
        inside[chosen] = -outline(u[chosen], v[chosen])
    inside *= _on_pixels(radius)

    period = uniform(5, 11)
    cosine, sine = _direction(uniform(-1, 1))
    phase = (x * cosine + y * sine) * _on_pixels(1 / period) + _on_pixels(uniform(0, 1))
    stripe = np.clip(0.5 + (np.abs(phase - np.floor(phase) - 0.5) - 0.25) * _on_pixels(period), 0, 1)
    stripe *= _on_pixels(uniform(0, 1)) < 0.5
    shade = 1 + u * _on_pixels(uniform(-0.3, 0.3)) + v * _on_pixels(uniform(-0.3, 0.3))
    # Colours are drawn alike for all classes. Stripes are halfway to another colour, lest they hide the outline.
    candidates = _rgb(uniform(0, 1, _COLOURS), uniform(0.2, 1, _COLOURS), uniform(0.3, 1, _COLOURS))
    first = _first_far(candidates[:, ::2], base)
    second = _first_far((candidates[:, 1::2] + first[:, None]) / 2, base)
    colour = _on_pixels(first) + _on_pixels(second - first) * stripe
    _blend(canvas, colour * shade, np.clip(0.5 + inside, 0, 1))
    return inside > 0


def _draw_batch(seed: int, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    keys = [np.array([seed, index], dtype=np.uint64) for index in indices]
    words = np.stack([np.random.Philox(key=key).random_raw(_UNIFORMS + _NOISE_WORDS) for key in keys])
    uniform = _Uniforms((words[:, :_UNIFORMS] >> np.uint64(11)).T * 2.0**-53)
    noise = words[:, _UNIFORMS:].astype("<u8").view(np.uint8)[:, : 3 * SIDE * SIDE].reshape(-1, 3, SIDE, SIDE)
    base = _rgb(uniform(0, 1), uniform(0.1, 0.6), uniform(0.3, 0.95))
    canvas = _background(uniform, base)
    masks = _draw_objects(uniform, canvas, base, indices % len(SHAPES))
    grey = canvas.swapaxes(0, 1) * 255 + noise * np.float32(_NOISE_STEP)
    return np.clip(grey + (0.5 - 127.5 * _NOISE_STEP), 0, 255).astype(np.uint8), masks


def _mask_boxes(masks: NDArray[np.bool_]) -> Floats:
    """Bounding boxes (N, 4) of masks (N, H, W), half-open edges."""
    columns, rows = masks.max(1), masks.max(2)
    start, end = (columns.argmax(1), rows.argmax(1)), (columns[:, ::-1].argmax(1), rows[:, ::-1].argmax(1))
    return np.stack([*start, *(SIDE - last for last in end)], axis=1).astype(np.float32)


def draw_shapes(
    seed: int, indices: Sequence[int], on_drawn: Callable[[int], None] | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draws the pictures with these indices of the stream `seed`; each depends on (seed, index) alone.

    Returns images uint8 (N, 3, 70, 70), labels int64 (N,) = index mod 10 into `SHAPES`, boxes float32 (N, 4), the
    half-open edges (x0, y0, x1, y1) of the mask in pixels, and masks bool (N, 70, 70), true where a pixel's centre lies
    in the object. Seed and indices are in [0, 2**63); others raise ValueError. on_drawn: told how many more are there.
    """
    if not 0 <= seed < 2**63 or any(not 0 <= index < 2**63 for index in indices):
        raise ValueError("seed and indices must be in [0, 2**63)")
    index = np.array(indices, dtype=np.int64)
    images, masks = np.empty((len(index), 3, SIDE, SIDE), np.uint8), np.empty((len(index), SIDE, SIDE), np.bool_)
    for start in range(0, len(index), _BATCH):
        part = slice(start, start + _BATCH)
        images[part], masks[part] = _draw_batch(seed, index[part])
        if on_drawn:
            on_drawn(len(index[part]))
    boxes = torch.from_numpy(_mask_boxes(masks))
    return torch.from_numpy(images), torch.from_numpy(index % len(SHAPES)), boxes, torch.from_numpy(masks)


class Shapes:
    """`size` drawn pictures of 70x70, class i mod 10 at place i; "train" and "val" never share one.

    All are drawn at construction (12,000 in about 8 s on one core) and kept as uint8, 15 kB each. Raises UserError for
    an unknown split, a seed outside [0, 2**62) and a size below 1.
    """

    classes = Classes(SHAPES, SHAPES)
    has_boxes = True

    def __init__(self, split: str, seed: int, size: int, on_drawn: Callable[[int], None] | None = None) -> None:
        if split not in _SPLITS:
            raise UserError(f"shapes have no split {split!r}; valid: {', '.join(_SPLITS)}")
        if not 0 <= seed < 2**62:
            raise UserError(f"the seed of the shapes must be at least 0 and below 2**62, not {seed}")
        if size < 1:
            raise UserError(f"the shapes must be at least 1 picture, not {size}")
        self.split = split
        self.images, labels, self.boxes, _ = draw_shapes(2 * seed + _SPLITS.index(split), range(size), on_drawn)
        self.labels: list[int] = labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Picture:
        """Picture `index`, with the one box of its mask."""
        name = f"shape_{self.split}_{index:06d}"
        return Picture(self.images[index], self.labels[index], self.boxes[index : index + 1], name, index)
