"""Tiles beside and below each other, with words."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from deepinside.lettering import fitted, font, length

GAP = 8
INK, PAPER, SOFT = (28, 30, 36), (255, 255, 255), (110, 114, 122)
TITLE, CAPTION = 11, 14  # heights of letters, pixels
Title = Sequence[tuple[str, tuple[int, int, int] | None]]
"""Words, each after a square of its colour where it has one."""


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


def letter_sizes(width: int) -> tuple[int, int]:
    """Of the titles and the caption of a panel: one as wide as two thirds of a screen is read at half its size."""
    return max(TITLE, min(24, width // 62)), max(CAPTION, min(28, width // 52))


def panel(tiles: Sequence[tuple[str | Title, Image.Image]], caption: str) -> Image.Image:
    """Tiles of one picture in a row, with its caption, in letters that suit their width."""
    title_size, caption_size = letter_sizes(sum(tile.width for _, tile in tiles))
    return captioned(row(tiles, title_size), caption, caption_size)


def row(tiles: Sequence[tuple[str | Title, Image.Image]], size: int = TITLE) -> Image.Image:
    """Side by side, each below its title; a column is never narrower than that."""
    titles: list[Title] = [[(title, None)] if isinstance(title, str) else title for title, _ in tiles]
    square, above = size - 3, size + 7
    parts = [[length(word, size) + (square + 3 if colour else 0) + 6 for word, colour in title] for title in titles]
    widths = [max(tile.width, math.ceil(sum(of) - 6)) for of, (_, tile) in zip(parts, tiles, strict=True)]
    canvas = Image.new("RGB", (sum(widths) + GAP * (len(tiles) - 1), tiles[0][1].height + above), PAPER)
    draw, left = ImageDraw.Draw(canvas), 0
    for title, (_, tile), width in zip(titles, tiles, widths, strict=True):
        x = float(left)
        for word, colour in title:
            if colour:
                draw.rectangle((x, 4, x + square, 4 + square), fill=colour)
                x += square + 3
            draw.text((x, 1), word, SOFT, font(word, size))
            x += length(word, size) + 6
        canvas.paste(tile, (left, above))
        left += width + GAP
    return canvas


def captioned(picture: Image.Image, caption: str, size: int = CAPTION) -> Image.Image:
    """A picture with lines of words below it, which its `info` tells, too."""
    lines = caption.split("\n")
    canvas = Image.new("RGB", (picture.width, picture.height + 4 + (size + 4) * len(lines)), PAPER)
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        words = fitted(line, size, picture.width)
        draw.text((0, picture.height + 3 + (size + 4) * number), words, INK, font(words, size))
    if caption:
        canvas.info["caption"] = ", ".join(lines)
    return canvas
