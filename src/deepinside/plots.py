"""Pure drawing: tensors in, pictures out. No files, no models. Beside it only `lettering` imports matplotlib."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from torch import Tensor

from deepinside.lettering import face, fitted, length
from deepinside.tiles import CAPTION, Title, captioned, panel, row

TILE = 240  # height of a tile, pixels
STRIP = 112  # height of a film strip's columns, pixels
LEGEND = 160  # room for a name beside the traces, pixels
TRUTH_COLOUR, GUESS_COLOUR = (46, 204, 113), (255, 82, 54)
OBJECT_COLOUR, BACKGROUND_COLOUR, LINE_COLOUR = (255, 214, 10), (64, 156, 255), (90, 220, 230)
UNSEEN_COLOUR = (128, 128, 128)
BRIGHT = 0.995  # quantile of a map that is drawn as bright as what is above it
SPARSE = 0.03  # seeds that cover less of the picture are drawn three pixels wide

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Explanation:
    """What there is to show of one picture.

    frame: uint8 (3, H, W); saliency (H, W) >= 0; mask (H, W) bool; guess and truth: boxes (M, 4), half-open edges in
    pixels of the frame; caption: one line below. What the cut went by: seeds (H, W), 1 object, -1 background, 0 free,
    or evidence (H, W) >= 0, neutral at 1. coverage: bool (H, W), where a crop saw the picture.
    """

    frame: Tensor
    saliency: Tensor
    caption: str
    mask: Tensor | None = None
    guess: Tensor | None = None
    truth: Tensor | None = None
    seeds: Tensor | None = None
    evidence: Tensor | None = None
    coverage: Tensor | None = None


def heat(saliency: Tensor) -> Pixels:
    """(H, W) >= 0 -> uint8 (H, W, 3): magma over [0, a high quantile]: single bright pixels do not darken the rest."""
    coloured = colormaps["magma"](_scaled(saliency).cpu().numpy())[..., :3]
    return np.asarray(coloured * 255).astype(np.uint8)


def grey_map(saliency: Tensor) -> Pixels:
    """The same map uncoloured: uint8 (H, W)."""
    return np.asarray((_scaled(saliency) * 255).round().to(torch.uint8).cpu().numpy())


def _scaled(saliency: Tensor) -> Tensor:
    """(H, W) >= 0 -> [0, 1], the quantile BRIGHT and what is above it at 1."""
    # torch 2.11 has no quantile of more than 2^24 values
    top = float(np.quantile(saliency.float().cpu(), BRIGHT)) or float(saliency.max()) or 1.0
    return (saliency / top).clamp(0, 1)


def draw_explanation(shown: Explanation) -> Image.Image:
    """picture | saliency | what the cut went by, or the map over the picture | mask and boxes; the caption below."""
    picture = _pixels(shown.frame)
    tiles: list[tuple[str | Title, Image.Image]] = [("picture", _tile(picture)), _map_tile(shown)]
    if shown.seeds is not None:
        words = [("seeds: object", OBJECT_COLOUR), ("background", BACKGROUND_COLOUR)]
        tiles.append((words, _with_seeds(shown.seeds, picture)))
    elif shown.evidence is not None:
        tiles.append(([("evidence", None), ("neutral", LINE_COLOUR)], _with_evidence(shown.evidence, picture)))
    else:
        tiles.append(("overlay, smoothed", _tile(overlay(picture, heat(_smoothed(shown.saliency))))))
    if shown.mask is not None:
        known = [("truth", TRUTH_COLOUR)] if shown.truth is not None and len(shown.truth) else []
        tiles.append(([("cut", None), ("box", GUESS_COLOUR), *known], _with_boxes(shown, picture)))
    return panel(tiles, shown.caption)


def _map_tile(shown: Explanation) -> tuple[str | Title, Image.Image]:
    """The map; grey where no crop saw the picture: black would say that nothing there matters."""
    warm = heat(shown.saliency)
    if shown.coverage is None or bool(shown.coverage.all()):
        return "saliency", _tile(warm)
    warm[~shown.coverage.cpu().numpy()] = UNSEEN_COLOUR
    return [("saliency", None), ("in no crop", UNSEEN_COLOUR)], _tile(warm)


def overlay(picture: Pixels, warm: Pixels) -> Pixels:
    """A map as `heat` colours it over its picture, both (H, W, 3)."""
    strength = (warm.max(-1, keepdims=True) / 255.0) ** 0.7
    return (picture * (1 - strength) + warm * strength).clip(0, 255).astype(np.uint8)


def _smoothed(saliency: Tensor) -> Tensor:
    """(H, W) -> (H, W): a Gaussian of a hundredth of the short side, so that the picture shows between its pixels."""
    return torch.from_numpy(gaussian_filter(saliency.float().cpu().numpy(), min(saliency.shape) / 100))


def _faint(picture: Pixels) -> NDArray[np.float64]:
    return np.asarray(picture.mean(-1, keepdims=True) * 0.35 + 20)


def _with_seeds(seeds: Tensor, picture: Pixels) -> Image.Image:
    tile = _tile(_faint(picture).repeat(3, -1).astype(np.uint8))
    for sign, colour in ((-1, BACKGROUND_COLOUR), (1, OBJECT_COLOUR)):
        marks = (seeds == sign).float()
        if marks.mean() < SPARSE and tile.height < 2 * len(picture):
            marks = functional.max_pool2d(marks[None], 3, 1, 1)[0]
        stencil = Image.fromarray((255 * marks).to(torch.uint8).cpu().numpy())
        tile.paste(colour, (0, 0), stencil.resize(tile.size, Image.Resampling.NEAREST))
    return tile


def _with_evidence(evidence: Tensor, picture: Pixels) -> Image.Image:
    tile = _tile(overlay(picture, heat(evidence)))
    inside = functional.interpolate(evidence[None, None].float(), (tile.height, tile.width), mode="bilinear")[0] > 1
    rim = functional.max_pool2d(inside.float(), 3, 1, 1)[0] - inside[0].float()
    tile.paste(LINE_COLOUR, (0, 0), Image.fromarray((255 * rim).to(torch.uint8).cpu().numpy()))
    return tile


def _with_boxes(shown: Explanation, picture: Pixels) -> Image.Image:
    assert shown.mask is not None
    cut = np.where(shown.mask.cpu().numpy()[..., None], picture, _faint(picture)).astype(np.uint8)
    return draw_boxes(cut, shown.truth, shown.guess)


def draw_boxes(pixels: Pixels, truth: Tensor | None, guess: Tensor | None) -> Image.Image:
    """(H, W, 3) as a tile, with boxes (M, 4) in pixels of (H, W): truth green, prediction red."""
    tile = _tile(pixels)
    zoom = torch.tensor([tile.width / pixels.shape[1], tile.height / pixels.shape[0]]).repeat(2)
    draw = ImageDraw.Draw(tile)
    for boxes, colour, width in ((guess, GUESS_COLOUR, 5), (truth, TRUTH_COLOUR, 3)):  # equal ones both show
        for x0, y0, x1, y1 in (boxes.cpu() * zoom).tolist() if boxes is not None else []:
            corners = (x0, y0, max(x0, min(x1, tile.width) - 1), max(y0, min(y1, tile.height) - 1))  # however thin
            draw.rectangle(corners, outline=colour, width=width)
    return tile


def draw_class_model(image: Tensor, caption: str) -> Image.Image:
    """A class model as `class_model_picture` gives it, uint8 (3, H, W), as a tile with its class's name below."""
    return captioned(_tile(_pixels(image)), caption)


def draw_strip(columns: Sequence[tuple[str, Pixels]], caption: str, height: int = STRIP) -> Image.Image:
    """Small tiles in a row, each a title and uint8 (h, w, 3), with the caption below: one thing at many times."""
    tiles = row([(title, _tile(pixels, height)) for title, pixels in columns])
    if length(caption, CAPTION) > tiles.width:  # under a lone column name and scores are a line each
        caption = caption.replace("   ", "\n", 1)
    return captioned(tiles, caption)


def draw_traces(traces: Sequence[tuple[str, Tensor]]) -> Image.Image:
    """Three panels against the step of the ascent: S_c, P_c and ||I||_2; each class's name with its (3, steps)."""
    figure = Figure((12, 4), layout="constrained", dpi=100)
    axes = figure.subplots(1, 3)
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(traces))) * (0.8, 0.8, 0.8, 1)  # its yellow shows on white
    for axis, title, place in zip(
        axes, ("class score $S_c$", "posterior $P_c$", r"$||I||_2$, grey levels"), range(3), strict=True
    ):
        for (name, values), colour in zip(traces, colours, strict=True):
            axis.plot(values[place].numpy(), color=colour, linewidth=1, label=fitted(name, 11, LEGEND))
        axis.set(title=title, xlabel="step")
    axes[1].set_ylim(-0.02, 1.02)
    others = {found.name: None for name, _ in traces if (found := face(name))}  # for letters that the first one lacks
    letters = {"family": ["DejaVu Sans", *others], "size": 8}
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", prop=letters, frameon=False)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a script that no font has: squares
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def signed_grey(reconstruction: Tensor, quantile: float = BRIGHT) -> Pixels:
    """(3, H, W) -> uint8 (H, W, 3): 0 is mid-grey, +- the quantile of |R| white and black in each channel."""
    magnitude = reconstruction.abs().float()
    top = float(np.quantile(magnitude.cpu(), quantile)) or float(magnitude.max()) or 1.0
    return _pixels((127.5 + 127.5 * (reconstruction / top).clamp(-1, 1)).round().to(torch.uint8))


def draw_reconstructions(frame: Tensor, reconstructions: Mapping[str, Tensor], caption: str) -> Image.Image:
    """picture | a tile for each title and signed reconstruction (3, H, W), around mid-grey; the caption below."""
    tiles = [(title, _tile(signed_grey(values))) for title, values in reconstructions.items()]
    return panel([("picture", _tile(_pixels(frame))), *tiles], caption)


def _pixels(frame: Tensor) -> Pixels:
    return frame.permute(1, 2, 0).cpu().numpy()


def _tile(pixels: Pixels, tall: int = TILE) -> Image.Image:
    """Scaled to the height of a tile; very long pictures keep their shape up to three times as wide."""
    height, width = pixels.shape[:2]
    wide = max(1, min(round(width * tall / height), 3 * tall))
    return Image.fromarray(pixels).resize((wide, tall), Image.Resampling.BICUBIC)
