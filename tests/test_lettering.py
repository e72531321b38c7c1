"""Words in pictures: letters of any script that the machine has a font for, and cuts where they do least harm."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path
from matplotlib.font_manager import FontEntry, fontManager
from PIL import Image

from deepinside import lettering
from deepinside.lettering import BREAK, face, fitted, font, length
from deepinside.tiles import captioned

BLANK = Image.new("RGB", (200, 10), "white")


@pytest.mark.parametrize("names", [("Weißwal", "Weiøwal"), ("Щука", "Ящик"), ("λύκος", "λύκοι")])
def test_letters_beyond_ascii_are_told_apart(names: tuple[str, str]) -> None:
    first, second = (np.asarray(captioned(BLANK, name)) for name in names)
    assert (first != second).any()


def test_ascii_needs_no_font_of_the_machine() -> None:
    assert face("black-and-tan coonhound   S = -1.0 …") is None


def test_a_script_that_no_font_has_gets_no_font_of_squares() -> None:
    found = face("\U00013000\U00013001 S = 1.0")  # hieroglyphs
    assert found is None or not found.name.startswith("Last Resort")


def test_a_font_that_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    sound = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    entries = [
        FontEntry(fname=str(file), name=name, style="normal", weight=400)
        for file, name in ((broken, "A"), (sound, "B"))
    ]
    monkeypatch.setattr(fontManager, "ttflist", entries)
    lettering._face.cache_clear()
    try:
        found = face("Щука")
        assert found is not None
        assert found.name == "B"
    finally:
        lettering._face.cache_clear()


def test_the_name_is_cut_before_the_numbers() -> None:
    words = f"black-and-tan coonhound{BREAK}S = 12.3   P = 0.99"
    told = fitted(words, 14, 240)
    assert length(told, 14) <= 240
    start, cut, end = told.partition("…")
    assert words.startswith(start)
    assert start
    assert cut
    assert end.endswith(f"{BREAK}S = 12.3   P = 0.99")
    assert fitted(words, 14, 2000) == words


@pytest.mark.parametrize("width", [0, 3, 40, 120])
def test_numbers_that_do_not_fit_are_cut_as_well(width: int) -> None:
    told = fitted(f"goose{BREAK}first guess: Greater Swiss Mountain dog P = 0.97", 14, width)
    assert told == "…" or length(told, 14) <= width


def test_the_letters_have_the_size_asked_for() -> None:
    small, large = (font("goose", size).getbbox("goose") for size in (11, 22))
    assert large[3] > 1.5 * small[3]
