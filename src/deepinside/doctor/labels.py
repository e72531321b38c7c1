"""Class numbers: whose order the data have, ImageNet's weights, and the devkit."""

from collections import Counter
from collections.abc import Set
from pathlib import Path

from deepinside.data.devkit import read_label_ids
from deepinside.data.folder import PictureFolder
from deepinside.data.ilsvrc import ILSVRC, imagenet_wnids
from deepinside.data.picture import Classes
from deepinside.doctor.finding import WARN, Finding
from deepinside.errors import UserError
from deepinside.words import counted, some

FEW = 10  # training pictures of a class
KITS = ("", "devkit", "devkit/data", "ILSVRC2012_devkit_t12/data", "ILSVRC2014_devkit/data", "data", "ILSVRC")
KIT_FILES = ("meta.mat", "map_clsloc.txt")


def check_classes(split: str, source: ILSVRC | PictureFolder, missing: Set[int]) -> list[Finding]:
    """Pictures per class, without those that are missing; some are there."""
    counts = Counter(label for i, label in enumerate(source.labels) if i not in missing)
    names = source.classes.ids
    present = [counts[i] for i in range(len(names)) if counts[i]]
    span = f"{min(present):,}" if min(present) == max(present) else f"{min(present):,} to {max(present):,}"
    told = f"{counted(counts.total(), 'picture')} of {counted(len(present), 'class', 'classes')}, {span} a class"
    findings = [Finding(f"{split}: classes", told)]
    if none := [name for i, name in enumerate(names) if not counts[i]]:
        words = f"{counted(len(none), 'class', 'classes')} of {len(names):,} without pictures: {some(none)}"
        fix = (
            "fine for a sample; else the copy is incomplete"
            if split == "val"
            else "they are never learnt: add pictures"
        )
        findings.append(Finding(f"{split}: classes without pictures", words, WARN, fix))
    if split == "train" and (few := [name for i, name in enumerate(names) if 0 < counts[i] < FEW]):
        words = f"{counted(len(few), 'class', 'classes')} with fewer than {FEW}: {some(few)}"
        findings.append(Finding("train: classes with few pictures", words, WARN, "they are learnt badly: add pictures"))
    return findings


def check_order(root: Path, classes: Classes, mapping: Path | None) -> list[Finding]:
    """Class i is the i-th WNID in sorted order, as in torchvision's weights; ILSVRC2012_ID is another order."""
    findings = []
    if mapping is not None and mapping.is_file():
        lines = mapping.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        given = [line.split()[0] for line in lines if line.strip()]
        order = "sorted by WNID" if given == sorted(given) else "not sorted by WNID (it is read as if it were)"
        findings.append(Finding("label order", f"{mapping.name}: {len(given):,} classes, {order}"))
    known = set(imagenet_wnids())
    if foreign := [name for name in classes.ids if name not in known]:
        words = f"{len(foreign):,} of {len(classes):,} classes are not ILSVRC2012's: {some(foreign)}"
        fix = "ImageNet weights need a new head for them: train.py fine-tunes one (model.weights=DEFAULT)"
        findings.append(Finding("ImageNet's classes", words, WARN, fix))
    else:
        findings.append(Finding("ImageNet's classes", f"all {len(classes):,} classes are ILSVRC2012's"))
    findings += [_check_kit(kit, classes) for kit in _kits(root)]
    return findings


def _kits(root: Path) -> list[Path]:
    return [file for place in KITS for name in KIT_FILES if (file := root / place / name).is_file()]


def _check_kit(kit: Path, classes: Classes) -> Finding:
    try:
        numbers = read_label_ids(str(kit), classes.ids)
    except UserError as error:
        return Finding("devkit", str(error), WARN, "localisation.label_ids cannot take it; fetch the devkit again")
    by_wnid = sorted(numbers, key=lambda wnid: numbers[wnid]) == sorted(numbers)
    order = "in the order of the WNIDs" if by_wnid else "not in the order of the WNIDs (ILSVRC2012_ID)"
    fix = f"for a submission: localisation.label_ids={kit}"
    return Finding("devkit", f"{kit.name} numbers {len(numbers):,} classes {order}", fix=fix)
