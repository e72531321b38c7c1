"""Files of the ILSVRC development kit: the numbers of its classes, and the blacklist of validation pictures."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from deepinside.data.ilsvrc import imagenet_wnids
from deepinside.errors import UserError, did_you_mean, name_nearby

BLACKLISTED = "ILSVRC2012_val_{:08d}"


def read_label_ids(source: str, wnids: Collection[str]) -> Mapping[str, int]:
    """WNID -> the number by which a submission line names the class.

    source: `wnid` numbers the sorted WNIDs 1, 2, ... (all 1000 of ILSVRC2012 where `wnids` are among them); else a file
    of the kit: data/meta.mat (ILSVRC2012_ID), or a text whose lines begin `WNID number`, as map_clsloc.txt's do. The
    two orders differ, and no submission tells which of them it uses: the kit's evaluation takes ILSVRC2012_ID, which
    nothing but the kit's files can tell. Raises UserError for a file that is neither, or that lacks one of `wnids`.
    """
    if source == "wnid":
        all_wnids = imagenet_wnids() if set(wnids) <= set(imagenet_wnids()) else sorted(wnids)
        return {wnid: number for number, wnid in enumerate(all_wnids, start=1)}
    path = Path(source).expanduser()
    if not path.is_file():
        valid = "valid: wnid, the kit's meta.mat, map_clsloc.txt"
        raise UserError(f"localisation.label_ids={source}: no such file; {valid}{name_nearby(path)}")
    found = _read_mat(path) if path.suffix == ".mat" else _read_lines(path)
    missing = [wnid for wnid in wnids if wnid not in found]
    if missing:
        raise UserError(
            f"{path} has no number for {len(missing)} classes (first: {missing[0]}{did_you_mean(missing[0], found)})"
        )
    return found


def read_blacklist(path: Path) -> set[str]:
    """Names of the validation pictures that count for the classification alone.

    A line is a picture's number from 1 (as in ILSVRC2014_clsloc_validation_blacklist.txt) or its name. Raises
    UserError.
    """
    if not os.path.isfile(path):  # unlike a Path's own, without an error where a name is too long for one
        raise UserError(f"localisation.blacklist={path}: no such file{name_nearby(path)}")
    words = path.read_text(encoding="utf-8-sig", errors="replace").split()
    return {BLACKLISTED.format(int(word)) if word.isdecimal() and len(word) < 10 else Path(word).stem for word in words}


def _read_mat(path: Path) -> dict[str, int]:
    """The 1000 leaves among the synsets of meta.mat: the others are groups of classes, numbered after them."""
    from scipy.io import loadmat

    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        leaves = [synset for synset in synsets.ravel() if int(synset["num_children"]) == 0]
        return {str(synset["WNID"]): int(synset["ILSVRC2012_ID"]) for synset in leaves}
    except Exception as error:  # scipy's reader answers damaged files with many kinds of it
        raise UserError(f"{path} is not the kit's meta.mat: {' '.join(str(error).split())}") from None


def _read_lines(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not words[1].isdecimal() or words[0] in found or int(words[1]) in found.values():
            raise UserError(f"{path}, line {number}: must be a WNID and its number, each once, not {line.strip()[:60]}")
        found[words[0]] = int(words[1])
    return found
