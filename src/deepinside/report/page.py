"""One HTML file from a template: styles and script inside it, pictures beside it, nothing from a network."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deepinside.errors import UserError
from deepinside.files import replacing
from deepinside.report.charts import Series, line_chart
from deepinside.words import hundredths, kind_name


def write_page(file: Path, template: str, **content: Any) -> None:
    """`template` of templates/, which extends base.html.j2, filled with `content`.

    Everything is escaped. Pictures are named by `link`: relative to the page's own folder. Raises UserError where the
    file cannot be written.
    """
    text = _environment().get_template(template).render(link=lambda path: link(path, file.parent), **content)
    try:
        with replacing(file) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None


def link(path: Path, folder: Path) -> str:
    """The relative URL of a file for a page in `folder`."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())


@cache
def _environment() -> Environment:
    loader = PackageLoader("deepinside.report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "percent": percent,
        "signed": signed,
        "words": words,
        "kind_name": kind_name,
        "interval": interval,
        "times": times,
        "kept": kept,
        "hundredths": hundredths,
    }
    made.globals |= {"line_chart": line_chart, "Series": Series, "inline": lambda name: inline(loader, made, name)}
    return made


def inline(loader: PackageLoader, environment: Environment, name: str) -> Markup:
    """A style sheet or script of templates/, as it is."""
    return Markup(loader.get_source(environment, name)[0])


def percent(value: float) -> str:
    """0.90769 -> 90.8"""
    return f"{100 * value:.1f}"


def signed(value: float) -> str:
    """0.473 -> +47.3; -0.077 -> -7.7 with a true minus sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def interval(bounds: Sequence[float], sign: bool = False) -> str:
    """[0.873, 0.942] -> [87.3, 94.2]"""
    low, high = (signed(bound) if sign else percent(bound) for bound in bounds)
    return f"[{low}, {high}]"


def words(name: str) -> str:
    """too_large -> too large"""
    return name.replace("_", " ")


def kept(cards: Sequence[Any], total: int) -> str:
    """`All 24 pictures were kept`, `12 of the 1,000 pictures were kept`"""
    if len(cards) == total:
        return "The one picture was kept" if total == 1 else f"All {total:,} pictures were kept"
    return f"{len(cards):,} of the {total:,} pictures {'was' if len(cards) == 1 else 'were'} kept"


def times(seconds: float) -> str:
    """4215 -> 1 h 10 min"""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
