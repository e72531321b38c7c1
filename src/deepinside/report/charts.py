"""Line charts as SVG text: colours, dark and light come from the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from markupsafe import Markup

WIDTH, HEIGHT = 400, 236
LEFT, RIGHT, TOP, BOTTOM = 50, 96, 10, 34  # what axis, labels of the lines, and steps need
MOST_POINTS = 300
MOST_LABELS = 8  # lines that are named at their ends; of more, the names' stack would be higher than the picture
LINE = 13  # height of a label, units of the picture
COLOURS = 8
TINY = 1e-300


@dataclass(frozen=True)
class Series:
    """A line: points (step, value), and its class in the style sheet: "" takes the next colour, or "centre", "whole"
    for the trivial boxes."""

    name: str
    points: Sequence[tuple[float, float]]
    look: str = ""


def line_chart(title: str, series: Sequence[Series], percent: bool = False, along: str = "training step") -> Markup:
    """A <figure> with a line for each series, at most eight of them named at their ends; percent: values are fractions,
    told as per cent.

    More than 300 points a line are averaged in equal stretches. Series without a finite point are left out; "" without
    any.
    """
    drawn = [s for s in (Series(s.name, thinned(s.points), s.look) for s in series) if s.points]
    if not drawn:
        return Markup("")
    looks = _looks(drawn)
    x_span = _span([x for s in drawn for x, _ in s.points])
    low, high = _span([y for s in drawn for _, y in s.points])
    y_ticks = ticks(*((0.0, 1.0) if percent and low == high and 0 <= low <= 1 else (low, high)), 4)
    frame = _Frame(x_span, (y_ticks[0], y_ticks[-1]))
    x_ticks = [x for x in ticks(*x_span, 4) if x_span[0] <= x <= x_span[1]]
    parts = [_axes(frame, x_ticks, y_ticks, percent, along)]
    parts += [_line(frame, s, look) for s, look in zip(drawn, looks, strict=True)]
    if len(drawn) <= MOST_LABELS:
        parts.append(_labels(frame, drawn, looks))
    told = "; ".join(
        f"{s.name}: {_number(s.points[0][1], percent)} to {_number(s.points[-1][1], percent)}" for s in drawn
    )
    unit = ", per cent" if percent else ""
    return Markup(
        f'<figure class="chart"><figcaption>{escape(title)}<span class="unit">{unit}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title><desc>{escape(told)}</desc>'
        f"{''.join(parts)}</svg></figure>"
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS: means of equal stretches; the last point stays, finite values only."""
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if len(points) <= MOST_POINTS:
        return points
    bounds = [round(i * (len(points) - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)]
    means = [
        (sum(x for x, _ in points[a:b]) / (b - a), sum(y for _, y in points[a:b]) / (b - a))
        for a, b in pairwise(bounds)
    ]
    return [*means, points[-1]]


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from at or below `low` to at or above `high`."""
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, TINY):  # as good as one value
        half = size / 2 if size > TINY else 0.5
        low, high = low - half, high + half
    rough = (high - low) / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


@dataclass(frozen=True)
class _Frame:
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, x: float) -> float:
        share = (x - self.x[0]) / (self.x[1] - self.x[0]) if self.x[1] > self.x[0] else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(self, y: float) -> float:
        return HEIGHT - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _looks(series: Sequence[Series]) -> list[str]:
    own = iter(range(len(series)))
    return [s.look or f"c{next(own) % COLOURS}" for s in series]


def _axes(frame: _Frame, x_ticks: Sequence[float], y_ticks: Sequence[float], percent: bool, along: str) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for y, told in zip(y_ticks, _numbers(y_ticks, percent), strict=True):
        at = frame.down(y)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{told}</text>')
    for x in x_ticks:
        parts.append(f'<text x="{frame.across(x):.1f}" y="{bottom + 15}" text-anchor="middle">{_short(x)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(along)}</text>')
    return f'<g class="ticks">{"".join(parts)}</g>'


def _line(frame: _Frame, series: Series, look: str) -> str:
    at = [(frame.across(x), frame.down(y)) for x, y in series.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in at) if len(at) <= 12 else ""
    return f'<g class="line {look}"><title>{escape(series.name)}</title><path d="{path}"/>{dots}</g>'


def _labels(frame: _Frame, series: Sequence[Series], looks: Sequence[str]) -> str:
    """Each name beside the end of its line, moved up or down until none lies on another."""
    order = sorted(range(len(series)), key=lambda i: frame.down(series[i].points[-1][1]))
    places: list[float] = []
    for i in order:
        wanted = frame.down(series[i].points[-1][1]) + 4
        places.append(max(wanted, places[-1] + LINE if places else wanted))
    if places and places[-1] > HEIGHT - BOTTOM + 4:  # too far down: push the stack back up
        places[-1] = HEIGHT - BOTTOM + 4
        for k in range(len(places) - 2, -1, -1):
            places[k] = min(places[k], places[k + 1] - LINE)
    names = cut([s.name for s in series])
    told = [
        f'<text class="{looks[i]}" x="{WIDTH - RIGHT + 7}" y="{y:.1f}">{escape(names[i])}</text>'
        for i, y in zip(order, places, strict=True)
    ]
    return f'<g class="names">{"".join(told)}</g>'


def cut(names: Sequence[str], most: int = 14) -> list[str]:
    """Long names without their middles, or, where those would be alike, without what all begin with."""
    half = (most - 1) // 2
    told = [name if len(name) <= most else f"{name[: most - 1 - half]}…{name[-half:]}" for name in names]
    if len(set(told)) == len(set(names)):
        return told
    differ = (i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1)
    same = next(differ, min(map(len, names)))
    return [f"…{name[same:][: most - 2]}{'…' if len(name) - same > most - 2 else ''}" for name in names]


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.4g}" if percent else f"{value:.4g}"


def _numbers(values: Sequence[float], percent: bool) -> list[str]:
    """With equally many decimals: 2.30, 2.35"""
    told = [_number(value, percent) for value in values]
    if not any("e" in number for number in told):
        places = max(len(number.partition(".")[2]) for number in told)
        told = [f"{100 * value if percent else value:.{places}f}" for value in values]
    return [f"\N{MINUS SIGN}{number[1:]}" if number.startswith("-") else number for number in told]


def _short(value: float) -> str:
    """12000 -> 12k"""
    return f"{value / 1000:g}k" if value and value % 100 == 0 and abs(value) >= 10_000 else f"{value:g}"
