"""Pure drawing: tensors in, pictures out. No files, no models. The only module that imports matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TILE = 240  # height of a tile, pixels
GAP = 8
INK, PAPER, SOFT = (28, 30, 36), (255, 255, 255), (110, 114, 122)
TRUTH_COLOUR, GUESS_COLOUR = (46, 204, 113), (255, 82, 54)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Explanation:
    """What there is to show of one picture.

    frame: uint8 (3, H, W); saliency (H, W) >= 0; mask (H, W) bool; guess and truth: boxes (M, 4), half-open edges in
    pixels of the frame; caption: one line below.
    """

    frame: Tensor
    saliency: Tensor
    caption: str
    mask: Tensor | None = None
    guess: Tensor | None = None
    truth: Tensor | None = None


def heat(saliency: Tensor, quantile: float = 0.995) -> Pixels:
    """(H, W) >= 0 -> uint8 (H, W, 3): magma over [0, the quantile]: single bright pixels do not darken the rest."""
    top = float(torch.quantile(saliency.flatten().float(), quantile)) or float(saliency.max()) or 1.0
    coloured = colormaps["magma"]((saliency / top).clamp(0, 1).cpu().numpy())[..., :3]
    return np.asarray(coloured * 255).astype(np.uint8)


def draw_explanation(shown: Explanation) -> Image.Image:
    """picture | saliency | overlay | mask and boxes (truth green, prediction red), with the caption below."""
    picture = _pixels(shown.frame)
    warm = heat(shown.saliency)
    strength = (warm.max(-1, keepdims=True) / 255.0) ** 0.7
    overlay = (picture * 0.75 * (1 - strength) + warm * strength).clip(0, 255).astype(np.uint8)
    tiles = [("picture", _tile(picture)), ("saliency", _tile(warm)), ("overlay", _tile(overlay))]
    if shown.mask is not None:
        tiles.append(("GraphCut, boxes", _with_boxes(shown, picture)))
    return _captioned(_row(tiles), shown.caption)


def _with_boxes(shown: Explanation, picture: Pixels) -> Image.Image:
    assert shown.mask is not None
    mask = shown.mask.cpu().numpy()[..., None]
    grey = picture.mean(-1, keepdims=True) * 0.35 + 20
    tile = _tile(np.where(mask, picture, grey).astype(np.uint8))
    zoom = tile.height / picture.shape[0]
    draw = ImageDraw.Draw(tile)
    for boxes, colour in ((shown.truth, TRUTH_COLOUR), (shown.guess, GUESS_COLOUR)):
        for x0, y0, x1, y1 in (boxes * zoom).tolist() if boxes is not None else []:
            corners = (x0, y0, min(x1, tile.width) - 1, min(y1, tile.height) - 1)
            draw.rectangle(corners, outline=colour, width=3)
    return tile


def sheet(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures of any size in a grid of so many columns, on white."""
    rows = [list(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    width = max(sum(p.width for p in row) + GAP * (len(row) + 1) for row in rows)
    height = sum(max(p.height for p in row) + GAP for row in rows) + GAP
    canvas, y = Image.new("RGB", (width, height), PAPER), GAP
    for row in rows:
        x = GAP
        for picture in row:
            canvas.paste(picture, (x, y))
            x += picture.width + GAP
        y += max(p.height for p in row) + GAP
    return canvas


def draw_class_model(image: Tensor, caption: str) -> Image.Image:
    """A class model as `class_model_picture` gives it, uint8 (3, H, W), as a tile with its class's name below."""
    return _captioned(_tile(_pixels(image)), caption)


def draw_film(frames: Tensor, caption: str) -> Image.Image:
    """How a class model came about: uint8 (F, 3, h, w) in a row, the zero image first, the result last.

    Small ones are enlarged to about half a tile.
    """
    strip = Image.fromarray(np.concatenate([_pixels(frame) for frame in frames], axis=1))
    zoom = max(1, round(TILE / 2 / strip.height))
    return _captioned(strip.resize((strip.width * zoom, strip.height * zoom), Image.Resampling.BICUBIC), caption)


def draw_traces(traces: Sequence[tuple[str, Tensor]]) -> Image.Image:
    """Three panels against the step of the ascent: S_c, P_c and ||I||_2; each class's name with its (3, steps)."""
    figure = Figure((12, 4), layout="constrained", dpi=100)
    axes = figure.subplots(1, 3)
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(traces)))
    for axis, title, row in zip(
        axes, ("class score $S_c$", "posterior $P_c$", r"$||I||_2$, grey levels"), range(3), strict=True
    ):
        for (name, values), colour in zip(traces, colours, strict=True):
            axis.plot(values[row].numpy(), color=colour, linewidth=1, label=name)
        axis.set(title=title, xlabel="step")
    axes[1].set_ylim(-0.02, 1.02)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def signed_grey(reconstruction: Tensor, quantile: float = 0.995) -> Pixels:
    """(3, H, W) -> uint8 (H, W, 3): 0 is mid-grey, +- the quantile of |R| white and black in each channel."""
    magnitude = reconstruction.abs().flatten().float()
    top = float(torch.quantile(magnitude, quantile)) or float(magnitude.max()) or 1.0
    return _pixels((127.5 + 127.5 * (reconstruction / top).clamp(-1, 1)).round().to(torch.uint8))


def draw_reconstructions(frame: Tensor, reconstructions: Mapping[str, Tensor], caption: str) -> Image.Image:
    """picture | a tile for each title and signed reconstruction (3, H, W), around mid-grey; the caption below."""
    tiles = [(title, _tile(signed_grey(values))) for title, values in reconstructions.items()]
    return _captioned(_row([("picture", _tile(_pixels(frame))), *tiles]), caption)


def to_tensorboard(picture: Image.Image) -> Tensor:
    """uint8 (3, H, W)"""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _pixels(frame: Tensor) -> Pixels:
    return frame.permute(1, 2, 0).cpu().numpy()


def _tile(pixels: Pixels) -> Image.Image:
    """Scaled to the height of a tile; very long pictures keep their shape up to three times as wide."""
    height, width = pixels.shape[:2]
    wide = max(1, min(round(width * TILE / height), 3 * TILE))
    return Image.fromarray(pixels).resize((wide, TILE), Image.Resampling.BICUBIC)


def _row(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    titled = []
    for title, tile in tiles:
        framed = Image.new("RGB", (tile.width, tile.height + 18), PAPER)
        ImageDraw.Draw(framed).text((0, 1), title, SOFT, _font(12))
        framed.paste(tile, (0, 18))
        titled.append(framed)
    canvas = Image.new("RGB", (sum(t.width + GAP for t in titled) - GAP, titled[0].height), PAPER)
    x = 0
    for framed in titled:
        canvas.paste(framed, (x, 0))
        x += framed.width + GAP
    return canvas


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    canvas = Image.new("RGB", (picture.width, picture.height + 22), PAPER)
    canvas.paste(picture, (0, 0))
    font = _font(14)
    while caption and font.getlength(caption) > picture.width:
        caption = caption[:-2].rstrip() + "…"
    ImageDraw.Draw(canvas).text((0, picture.height + 3), caption, INK, font)
    return canvas


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
