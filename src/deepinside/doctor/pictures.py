"""Some pictures of a split, opened: which cannot be read (cut off, no pictures), which are grey or CMYK."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from deepinside.data.decode import FORMATS, decode
from deepinside.data.picture import UnreadablePicture
from deepinside.doctor.finding import BLOCKS, WARN, Finding
from deepinside.words import some

KINDS = {"RGB": "colour", "L": "grey", "CMYK": "CMYK", "1": "grey", "P": "palette", "RGBA": "with alpha"}


def spread_evenly(count: int, total: int) -> list[int]:
    """`count` places below `total`, evenly spaced, the first and the last among them."""
    count = min(count, total)
    return [i * (total - 1) // (count - 1) for i in range(count)] if count > 1 else list(range(count))


def check_pictures(split: str, files: Sequence[Path], advance: Callable[[float], None]) -> list[Finding]:
    """Reads every one of the files."""
    if not files:
        return []
    kinds: Counter[str] = Counter()
    unreadable = []
    for file in files:
        advance(1)
        try:
            decode(file)
            kinds[_kind(file)] += 1
        except UnreadablePicture as error:
            unreadable.append(f"{file.name} ({error.reason.rsplit(' (', 1)[0]})")
    told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    converted = "" if set(kinds) <= {"colour"} else "; all are read as RGB"
    findings = []
    if kinds:
        findings.append(Finding(f"{split}: pictures", f"{len(files):,} opened: {told}{converted}"))
    if unreadable:
        state = WARN if kinds else BLOCKS
        fix = "fetch them again; until then they are left out and named in metrics.json"
        words = f"{len(unreadable):,} of {len(files):,} opened cannot be read: {some(unreadable)}"
        findings.append(Finding(f"{split}: unreadable", words, state, fix))
    return findings


def _kind(file: Path) -> str:
    try:
        with Image.open(file, formats=FORMATS) as picture:
            return KINDS.get(picture.mode, picture.mode)
    except OSError:  # torchvision reads some that Pillow does not
        return "colour"
