"""Which of the known layouts a folder of pictures has."""

import re
from dataclasses import dataclass
from pathlib import Path

from deepinside.data.folder import SPLITS, split_folder
from deepinside.data.listing import class_folders, contents, holds_pictures
from deepinside.doctor.finding import BLOCKS, OK, WARN, Finding

WNID = re.compile(r"n\d{8}")
LOOKED_FOR = (
    "looked for ILSVRC/Data/CLS-LOC/{train,val}, Data/CLS-LOC/{train,val}, {train,val}/<WNID>/*, "
    "{train,val|valid|validation|test}/<class>/*, <class>/*"
)
NAMES = {
    "official": "ImageNet as distributed (CLS-LOC tree)",
    "torchvision": "ImageNet as torchvision lays it out: {train,val}/<WNID>",
    "splits": "folders of classes in folders of splits",
    "classes": "one folder a class, no splits: every tenth picture of a class is validation",
}


@dataclass(frozen=True)
class Layout:
    """kind: a key of NAMES, None where it is unknown; name: the data.name that reads it; data: where the splits lie."""

    kind: str | None
    name: str
    data: Path


def recognise(root: Path) -> Layout:
    """By the folders alone: fast however many pictures there are."""
    for base in (root / "ILSVRC", root):
        if _is_official(base):
            return Layout("official", "ilsvrc", base / "Data/CLS-LOC")
    inside = {name: class_folders(root / name) for split in SPLITS.values() for name in split if (root / name).is_dir()}
    classes = {name for names in inside.values() for name in names}
    if {"train", "val"} & set(inside) and any(map(WNID.fullmatch, classes)):
        return Layout("torchvision", "ilsvrc", root)
    if any(split_folder(root, split) for split in SPLITS):
        return Layout("splits", "folder", root)
    folders = class_folders(root)
    if any(_is_imagenet(root / name) for name in folders):
        return Layout(None, "ilsvrc", root)  # too high up
    if any(holds_pictures(root / name) for name in folders):
        return Layout("classes", "folder", root)
    return Layout(None, "folder", root)


def check_layout(root: Path, layout: Layout, name: str | None) -> Finding:
    """name: the data.name that the user gave."""
    if layout.kind is None:
        return Finding("layout", f"unknown: {contents(root)}; {LOOKED_FOR}", BLOCKS, _better_root(root))
    if layout.kind == "torchvision" and root.absolute().parts[-2:] == ("Data", "CLS-LOC"):
        words = "the pictures of an ImageNet tree without its boxes and lists, which lie above"
        return Finding("layout", words, WARN, _better_root(root))
    found, right = NAMES[layout.kind], f"data.name={layout.name} data.root={root}"
    if name is None or name == layout.name:
        return Finding("layout", found, OK, f"use it with {right}")
    if layout.kind in ("torchvision", "splits"):  # both readers take it
        less = "boxes are not read" if name == "folder" else "the names of the classes are not WordNet's"
        return Finding("layout", f"{found}; as data.name={name} {less}", WARN, f"usual: {right}")
    return Finding("layout", f"{found}, which data.name={name} cannot read", BLOCKS, f"give {right}")


def _better_root(root: Path) -> str:
    if below := [name for name in class_folders(root) if _is_imagenet(root / name)]:
        return " or ".join(f"data.root={root / name}" for name in below[:3])
    for above in list(root.absolute().parents)[:4]:
        if _is_official(above):
            return f"data.root={above}"
    return "give data.root the folder above train/ and val/, or above the folders of classes"


def _is_official(base: Path) -> bool:
    return any((base / "Data/CLS-LOC" / split).is_dir() for split in ("train", "val"))


def _is_imagenet(folder: Path) -> bool:
    return _is_official(folder) or _is_official(folder / "ILSVRC") or _has_wnids(folder / "train")


def _has_wnids(folder: Path) -> bool:
    return any(map(WNID.fullmatch, class_folders(folder)))
