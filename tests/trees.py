"""Tiny trees in the real formats: drawn JPEGs, VOC's XMLs, ILSVRC's lists, tables and mapping."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

TENCH, CHIHUAHUA, TISSUE = WNIDS = ("n01440764", "n02085620", "n15075141")
MAPPING = "n15075141 toilet tissue, toilet paper\nn01440764 tench, Tinca tinca\nn02085620 Chihuahua\n"

EDGES = ("xmin", "ymin", "xmax", "ymax")
Pixels = tuple[int, int, int, int]
"""EDGES as ILSVRC writes them: 0-based, inclusive."""


def draw(number: int, size: tuple[int, int] = (24, 32)) -> Image.Image:
    """A (height, width) picture of one colour for each number, with a white rectangle in its middle."""
    height, width = size
    picture = Image.new("RGB", (width, height), colour(number))
    ImageDraw.Draw(picture).rectangle((width // 3, height // 3, width // 2, height // 2), fill="white")
    return picture


def colour(number: int) -> tuple[int, int, int]:
    """The ground colour of picture `number`."""
    return 40 + 53 * number % 160, 40 + 97 * number % 160, 40 + 31 * number % 160


def save(path: Path, number: int = 0, size: tuple[int, int] = (24, 32)) -> Path:
    """Picture `number` in a file of the format that the name asks for, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(number, size).save(path, quality=95, lossless=True)  # what a format does not know, Pillow ignores
    return path


def write(path: Path, text: str) -> Path:
    """A text file, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_xml(path: Path, objects: Sequence[tuple[str, Pixels]], size: tuple[int, int] | None = (24, 32)) -> Path:
    """A VOC annotation; `size` is the (height, width) that it claims."""
    lines = ["<annotation>", "<folder>val</folder>", f"<filename>{path.stem}</filename>"]
    if size is not None:
        lines.append(f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>")
    for wnid, box in objects:
        edges = "".join(f"<{tag}>{edge}</{tag}>" for tag, edge in zip(EDGES, box, strict=True))
        lines.append(f"<object><name>{wnid}</name><difficult>0</difficult><bndbox>{edges}</bndbox></object>")
    return write(path, "\n\t".join(lines) + "\n</annotation>\n")


def write_csv(path: Path, rows: Mapping[str, Sequence[tuple[str, Pixels]]]) -> Path:
    """LOC_val_solution.csv or LOC_train_solution.csv, with the blank that ends each of ILSVRC's own rows."""
    lines = ["ImageId,PredictionString"]
    for image, boxes in rows.items():
        lines.append(f"{image}," + "".join(f"{wnid} {' '.join(map(str, box))} " for wnid, box in boxes))
    return write(path, "\n".join(lines) + "\n")


VAL = {
    "ILSVRC2012_val_00000001": [(CHIHUAHUA, (0, 0, 31, 23))],
    "ILSVRC2012_val_00000002": [(TISSUE, (4, 2, 9, 11)), (TISSUE, (10, 3, 31, 20))],
    "ILSVRC2012_val_00000003": [(TENCH, (8, 8, 8, 8))],
}
"""The validation pictures of `official` and `torchvision_tree`, with their boxes."""


def official(root: Path, *, xmls: bool = True, csv: bool = True, mapping: bool = True, lists: bool = True) -> Path:
    """The CLS-LOC tree as distributed: two training pictures a class (one of them with a box), three for validation."""
    base = root / "ILSVRC"
    data, annotations, sets = (base / part / "CLS-LOC" for part in ("Data", "Annotations", "ImageSets"))
    listed = []
    for i, wnid in enumerate(WNIDS):
        for k in (7, 12):
            listed.append(f"{wnid}/{wnid}_{k}")
            save(data / "train" / f"{listed[-1]}.JPEG", 10 * i + k)
        if xmls:
            write_xml(annotations / "train" / f"{listed[-1]}.xml", [(wnid, (1, 2, 3, 4))])
    for number, (image, boxes) in enumerate(VAL.items()):
        save(data / "val" / f"{image}.JPEG", number)
        if xmls:
            write_xml(annotations / "val" / f"{image}.xml", boxes)
    if lists:
        for name, images in (("train_cls", listed), ("val", list(VAL))):
            write(sets / f"{name}.txt", "".join(f"{image} {i}\n" for i, image in enumerate(images, start=1)))
    if csv:
        write_csv(root / "LOC_val_solution.csv", dict(reversed(VAL.items())))
    if mapping:
        write(root / "LOC_synset_mapping.txt", MAPPING)
    return root


def torchvision_tree(root: Path) -> Path:
    """{train,val}/<WNID>/*.JPEG and nothing else."""
    for i, wnid in enumerate(WNIDS):
        save(root / "train" / wnid / f"{wnid}_7.JPEG", i)
    for number, (image, boxes) in enumerate(VAL.items()):
        save(root / "val" / boxes[0][0] / f"{image}.JPEG", number)
    return root


def class_folders(root: Path, pictures: Mapping[str, int]) -> Path:
    """<root>/<class>/00.jpg, 01.jpg, ...: so many of each class."""
    for name, count in pictures.items():
        for number in range(count):
            save(root / name / f"{number:02}.jpg", number)
    return root
