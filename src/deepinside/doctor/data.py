"""All that is looked at in a folder of pictures."""

from pathlib import Path

from deepinside.data.folder import SPLITS, PictureFolder, split_folder
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.listing import class_folders, existing_folder, holds_pictures
from deepinside.data.picture import Classes
from deepinside.doctor.boxes import check_boxes
from deepinside.doctor.files import check_files, scan
from deepinside.doctor.finding import BLOCKS, WARN, Finding
from deepinside.doctor.labels import check_classes, check_order
from deepinside.doctor.layout import Layout, check_layout, recognise
from deepinside.doctor.pictures import check_pictures, spread_evenly
from deepinside.errors import UserError
from deepinside.progress import Bar
from deepinside.words import some

LOOSE = (
    "its pictures lie loose: add LOC_val_solution.csv or their XMLs, which tell class and boxes, "
    "or sort them into folders of classes"
)


def check_data(
    root: Path, name: str | None, pictures: int, annotations: int, show: bool = False
) -> tuple[list[Finding], Classes | None]:
    """The findings, and the data's classes where they can be told.

    name: the data.name to read it as, None: the layout's own. Of each split `pictures` are decoded and `annotations`
    XMLs read, every file name is seen. Raises UserError where `root` is no folder.
    """
    root = existing_folder(root)
    try:
        layout = recognise(root)
        findings = [check_layout(root, layout, name)]
    except (UserError, PermissionError) as error:
        return [Finding("layout", str(error), BLOCKS, "chmod -R u+rX: neither script can read it")], None
    if findings[0].state == BLOCKS:
        return findings, None
    reader = ILSVRC if (name or layout.name) == "ilsvrc" else PictureFolder
    classes = mapping = None
    for split in SPLITS:
        folder = _folder(layout, split)
        if folder is None:
            findings.append(_missing(layout, split))
            continue
        if layout.kind != "classes" or split == "train":  # else the same files again
            with Bar(f"{split}: seeing every file name", None, "files", enabled=show) as bar:
                findings += check_files(split, scan(folder, bar.advance))
        try:
            with Bar(f"{split}: listing the pictures", enabled=show):
                source = reader(root, split)
        except UserError as error:
            fix = LOOSE if _is_loose(folder) else "mend this first: neither script can open the split"
            findings.append(Finding(split, str(error), BLOCKS, fix))
            continue
        findings += _check_split(split, source, pictures, annotations, show)
        classes, mapping = source.classes, source.tree.mapping if isinstance(source, ILSVRC) else None
    if classes is not None:
        findings += check_order(root, classes, mapping)
    return findings, classes


def _check_split(
    split: str, source: ILSVRC | PictureFolder, pictures: int, annotations: int, show: bool
) -> list[Finding]:
    listed = isinstance(source, ILSVRC) and source.tree.listing.is_file()
    missing = [i for i in range(len(source)) if not source.file(i).exists()] if listed else []
    findings = check_classes(split, source, set(missing)) if len(missing) < len(source) else []
    if isinstance(source, ILSVRC) and missing:
        findings.append(_check_list(split, source, missing))
    files = [source.file(i) for i in spread_evenly(pictures, len(source))]
    with Bar(f"{split}: opening pictures", len(files), "pictures", enabled=show) as bar:
        findings += check_pictures(split, [file for file in files if file.exists()], bar.advance)
    if isinstance(source, ILSVRC):
        with Bar(f"{split}: reading the boxes", None, "XMLs", enabled=show) as bar:
            findings += check_boxes(split, source, annotations, bar.advance)
    return findings


def _check_list(split: str, source: ILSVRC, missing: list[int]) -> Finding:
    """Pictures that ImageSets names and the disk has not."""
    state = BLOCKS if len(missing) == len(source) else WARN
    names = some([source.files[i] for i in missing])
    words = f"{len(missing):,} of {len(source):,} in {source.tree.listing.name} are not there: {names}"
    fix = "fetch them; until then they are left out as unreadable"
    return Finding(f"{split}: missing pictures", words, state, fix)


def _folder(layout: Layout, split: str) -> Path | None:
    if layout.kind == "classes":
        return layout.data
    if layout.kind in ("official", "torchvision"):
        return layout.data / split if (layout.data / split).is_dir() else None
    return split_folder(layout.data, split)


def _is_loose(folder: Path) -> bool:
    """Pictures, but no folders of classes."""
    return folder.is_dir() and not class_folders(folder) and holds_pictures(folder)


def _missing(layout: Layout, split: str) -> Finding:
    for name in SPLITS[split]:
        if _is_loose(layout.data / name):
            words = f"the pictures in {name}/ lie loose: nothing tells their classes"
            return Finding(split, words, BLOCKS, f"sort them into {name}/<class>/")
    if split == "train":
        return Finding("train", "there is no such split", WARN, "analyse.py works without it, train.py does not")
    return Finding("val", "there is no such split", BLOCKS, "both scripts measure on it: add val/")
