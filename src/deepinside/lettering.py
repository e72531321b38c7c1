"""Words in pictures: a font that has their letters, and no more of them than there is room for."""

from functools import cache

from matplotlib.font_manager import FontEntry, fontManager, get_font
from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
BREAK = "   "  # in a caption between what something is and the numbers about it


def font(words: str, size: int) -> Font:
    """Pillow's own font, which has little beyond ASCII; for other letters one of the machine's that has most."""
    found = face(words)
    if found is not None:
        try:
            return ImageFont.truetype(found.fname, size)
        except OSError:  # such as pictures of fixed sizes
            pass
    return ImageFont.load_default(size)


def face(words: str) -> FontEntry | None:
    """The machine's font for letters that Pillow's own lacks; None where it lacks none. matplotlib brings DejaVu."""
    needed = frozenset(ord(letter) for letter in words if not letter.isspace())
    return _face(needed) if not all(_is_own(code) for code in needed) else None


def length(words: str, size: int) -> float:
    """In pixels."""
    return font(words, size).getlength(words)


def fitted(words: str, size: int, width: float) -> str:
    """What fits into so many pixels: middles go, of the name before of the numbers behind it."""
    letters = font(words, size)
    name, gap, numbers = words.partition(BREAK)
    if letters.getlength(gap + numbers) > 0.7 * width:  # little would be left of the name
        name, gap, numbers = words, "", ""
    told, keep = words, len(name)
    while keep and letters.getlength(told) > width:
        keep -= 1
        start, end = name[: keep - keep // 2].rstrip(), name[len(name) - keep // 2 :].lstrip()
        told = f"{start}…{end}{gap}{numbers}"
    return told


@cache
def _is_own(code: int) -> bool:
    """Whether Pillow's font has it: what it lacks all looks alike."""
    own = ImageFont.load_default(16)
    return code < 127 or bytes(own.getmask(chr(code))) != bytes(own.getmask("\uffff"))


@cache
def _face(needed: frozenset[int]) -> FontEntry | None:
    best, most = None, 0
    plain = [entry for entry in fontManager.ttflist if entry.style == "normal" and entry.weight in (400, "normal")]
    plain = [entry for entry in plain if not entry.name.startswith("Last Resort")]  # a square for every letter
    for entry in sorted(plain, key=lambda entry: (entry.name != "DejaVu Sans", entry.name)):
        has = len(needed & _letters(entry.fname))
        if has > most:
            best, most = entry, has
        if most == len(needed):
            break
    return best


@cache
def _letters(file: str) -> frozenset[int]:
    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):  # gone or damaged
        return frozenset()
