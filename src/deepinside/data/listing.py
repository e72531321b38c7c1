"""What lies in a folder: its pictures, its files, its class folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from deepinside.errors import UserError, is_utf8, name_nearby

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
T = TypeVar("T")


def existing_folder(root: Path) -> Path:
    """`root` with ~ resolved; raises UserError where it is missing (naming the nearest) or no folder."""
    root = Path(root).expanduser()
    if os.path.isdir(root):
        return root
    if os.path.exists(root):
        raise UserError(f"{root} is a file; a folder of pictures is needed")
    raise UserError(f"no folder {root}{name_nearby(root)}")


def find_pictures(folder: Path) -> list[Path]:
    """Every picture in `folder` and below, sorted by path; hidden files and folders are ignored."""
    return [folder / name for name in picture_names(folder)]


def picture_names(folder: Path) -> list[str]:
    """The same as paths below `folder` with forward slashes: a million Paths take half a minute and half a GB."""
    found = in_utf8(folder, (name for name in file_names(folder) if is_picture(name)))
    return sorted(found, key=lambda name: name.replace("/", "\0"))  # folder by folder, as Paths sort


def file_names(folder: Path) -> Iterator[str]:
    """Every file that `walk` finds, as a path below `folder` with forward slashes."""
    for place, files in walk(folder):
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in files)


def holds_pictures(folder: Path) -> bool:
    """In the folder itself or below; stops at the first."""
    return any(is_picture(name) for _, files in walk(folder) for name in files)


def walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(path, names of its files) of `folder` and of all visible folders below it, through links: that is how subsets of
    ImageNet are made. Not followed is a link to a folder above itself; what may not be opened is left out."""
    above = {str(folder): {os.path.realpath(folder)}}  # what each folder lies in, itself included, links resolved
    for place, inner, files in os.walk(folder, followlinks=True):
        own = above.pop(place)
        real = {name: os.path.realpath(os.path.join(place, name)) for name in inner if not name.startswith(".")}
        inner[:] = sorted(name for name in real if real[name] not in own)
        above |= {os.path.join(place, name): own | {real[name]} for name in inner}
        yield place, files


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the visible folders in `folder`; raises UserError where it may not be read."""
    if not os.path.isdir(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None


def in_utf8(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """The names; raises UserError for one that no text can hold, as old archives have them: reports and tables do."""
    for name in names:
        if not is_utf8(name):
            readable = name.encode(errors="surrogateescape").decode("latin-1")
            raise UserError(f"{folder}: the name {readable!r} is not in UTF-8: rename it (`convmv` does so for many)")
        yield name


def limited(files: list[T], limit: int | None) -> list[T]:
    """`limit` of the files in their order, evenly spaced, since they lie class by class; None: all. Raises UserError
    where it is below 1."""
    if limit is None or limit >= len(files):
        return files
    if limit < 1:
        raise UserError(f"limit = {limit}; it must be at least 1 picture, or null for all")
    return [files[i * len(files) // limit] for i in range(limit)]


def contents(folder: Path) -> str:
    """What lies in `folder`, for an error message."""
    names = sorted(names_in(folder))
    return f"it holds {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "it is empty"


def is_picture(name: str) -> bool:
    """By its ending, and visible."""
    return not os.path.basename(name).startswith(".") and name.lower().endswith(SUFFIXES)


def names_in(folder: Path) -> list[str]:
    """All names in `folder`, none where it is no folder; raises UserError where it may not be read."""
    try:
        return os.listdir(folder) if os.path.isdir(folder) else []
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None
