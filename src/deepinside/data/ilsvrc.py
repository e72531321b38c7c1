"""ILSVRC classification-and-localisation trees, as distributed and as torchvision lays them out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from deepinside.boxes import scale_boxes
from deepinside.data.annotations import Box, read_solution_csv, read_synset_mapping, read_voc_xml
from deepinside.data.decode import decode
from deepinside.data.listing import class_folders, contents, existing_folder, in_utf8, limited, picture_names
from deepinside.data.picture import Classes, Picture
from deepinside.errors import UserError, did_you_mean

MAPPING = "LOC_synset_mapping.txt"
LISTS = {"train": ("train_cls", "train_loc"), "val": ("val",)}


@dataclass(frozen=True)
class Tree:
    """Where one split keeps its parts. Only `pictures` is certain to exist."""

    pictures: Path
    annotations: Path
    table: Path
    mapping: Path
    listing: Path


class ILSVRC:
    """One split (`train` or `val`) of an ILSVRC tree, the pictures' classes and boxes included.

    Layouts, R = `root`:
    * official: R/ILSVRC/{Data,Annotations,ImageSets}/CLS-LOC, or R is that ILSVRC folder;
      LOC_synset_mapping.txt and LOC_{train,val}_solution.csv in R or in the ILSVRC folder;
    * torchvision's: R/{train,val}/<WNID>/*, boxes optional in R/Annotations/CLS-LOC, R/ILSVRC/Annotations/CLS-LOC or
      R/LOC_{train,val}_solution.csv, LOC_synset_mapping.txt optional.

    Class i is the i-th of the mapping's sorted WNIDs; without a mapping, of the training (else validation) folders'
    names. Order of pictures: ImageSets/CLS-LOC/{train_cls,train_loc,val}.txt where there is one, else sorted by path;
    `limit` keeps so many, spread over the split. A picture's class is its folder's name, else its row's in the CSV,
    else its XML's. `files` are paths below `tree.pictures`, with forward slashes; a listed one that is missing is an
    UnreadablePicture when it is read. Raises UserError where the tree lacks what is needed.
    """

    def __init__(self, root: Path, split: str, limit: int | None = None) -> None:
        self.tree = tree = find_tree(existing_folder(root), split)
        self.files = limited(_list_files(tree), limit)
        if not self.files:
            raise UserError(f"no pictures in {tree.pictures}")
        has_xmls = bool(tree.annotations.is_dir() and os.listdir(tree.annotations))
        in_folders = "/" in self.files[0]
        # The CSV is one file, 50,000 XMLs are not: it gives the labels. The boxes come from the XMLs, one at a time
        # when a picture is read, because only they tell the size that the boxes refer to; without XMLs, from the CSV.
        wanted = tree.table.is_file() and not (in_folders and has_xmls)
        self._table = read_solution_csv(tree.table) if wanted else {}
        self.has_boxes = has_xmls or any(self._table.values())
        self.classes = _read_classes(tree)
        numbers = {wnid: number for number, wnid in enumerate(self.classes.ids)}
        self.labels = [self._label(file, numbers) for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def file(self, index: int) -> Path:
        """Where picture `index` lies, or is said to lie."""
        return self.tree.pictures / self.files[index]

    def read(self, index: int) -> Picture:
        """Picture `index` with every box of its class; raises UnreadablePicture, UserError for a malformed XML."""
        file = self.file(index)
        image = decode(file)
        label = self.labels[index]
        size, found = self._annotation(self.files[index])
        boxes = [box for wnid, box in found if wnid == self.classes.ids[label]]
        return Picture(image, label, fit_boxes(boxes, size, (image.shape[1], image.shape[2])), file.stem, index)

    def _annotation(self, file: str) -> tuple[tuple[int, int], list[tuple[str, Box]]]:
        """The size that the boxes refer to, (0, 0) where it is unknown, and [(WNID, box), ...]."""
        stem = os.path.splitext(file)[0]
        # Validation XMLs lie in one folder even where the pictures were sorted into one for each class.
        for xml in (self.tree.annotations / f"{stem}.xml", self.tree.annotations / f"{os.path.basename(stem)}.xml"):
            if xml.is_file():
                return read_voc_xml(xml)[1:]
        return (0, 0), self._table.get(os.path.basename(stem), [])

    def _label(self, file: str, numbers: dict[str, int]) -> int:
        tree = self.tree
        if "/" in file:
            wnids = {file.split("/")[0]}
        else:
            found = self._table.get(os.path.splitext(file)[0]) or self._annotation(file)[1]
            wnids = {wnid for wnid, _ in found}
        if len(wnids) != 1:
            needed = f"need one class from its row in {tree.table} or its XML in {tree.annotations}"
            raise UserError(f"{tree.pictures / file}: {len(wnids) or 'no'} classes given; {needed}")
        wnid = wnids.pop()
        if wnid not in numbers:
            source = tree.mapping if tree.mapping.is_file() else f"{tree.pictures.parent}'s folders"
            raise UserError(f"{tree.pictures / file}: class {wnid} is not in {source}{did_you_mean(wnid, numbers)}")
        return numbers[wnid]


def fit_boxes(boxes: Sequence[Box], size: tuple[int, int], real: tuple[int, int]) -> Tensor:
    """Boxes that refer to a picture of `size` (height, width), in the pixels of one of `real` size: float32 (M, 4).

    x' = x * real width / width, y likewise; a size of 0 means unknown: no scaling. Some of ILSVRC's training boxes
    reach beyond the picture: they are clipped to it, and one that lies wholly outside is left out.
    """
    if not boxes:
        return torch.zeros(0, 4)
    edges = torch.tensor(boxes, dtype=torch.float64)
    if min(size) > 0:
        edges = scale_boxes(edges, size, real)
    height, width = real
    edges = edges.clamp(min=0).minimum(edges.new_tensor([width, height] * 2))
    return edges[(edges[:, 2:] > edges[:, :2]).all(dim=1)].float()


def imagenet_wnids() -> tuple[str, ...]:
    """The 1000 WNIDs of ILSVRC2012 classification, sorted: the order of the outputs of torchvision's weights."""
    return tuple(resources.files("deepinside.data").joinpath("ilsvrc2012_wnids.txt").read_text("ascii").split())


def find_tree(root: Path, split: str) -> Tree:
    """Where the parts of a split lie, in either layout. Raises UserError where there is no such tree or split."""
    base = next((base for base in (root / "ILSVRC", root) if (base / "Data/CLS-LOC").is_dir()), None)
    data = base / "Data/CLS-LOC" if base else root
    have = [part for part in ("train", "val") if (data / part).is_dir()]
    if not have:
        looked_for = "ILSVRC/Data/CLS-LOC/{train,val}, Data/CLS-LOC/{train,val}, {train,val}/<WNID>"
        raise UserError(f"{root}: no ILSVRC tree; looked for {looked_for}; {contents(root)}")
    if split not in have:
        raise UserError(f"no {split} split in {root}: found {', '.join(have)}")
    bases = [base] if base else [root, root / "ILSVRC"]
    tops = [root, base, base.absolute().parent] if base else [root]
    return Tree(
        pictures=data / split,
        annotations=_first_existing([place / "Annotations/CLS-LOC" / split for place in bases]),
        table=_first_existing([top / f"LOC_{split}_solution.csv" for top in tops]),
        mapping=_first_existing([top / MAPPING for top in tops]),
        listing=_first_existing([place / f"ImageSets/CLS-LOC/{name}.txt" for place in bases for name in LISTS[split]]),
    )


def _first_existing(paths: list[Path]) -> Path:
    """The first that exists, else the first: the place to name in an error message."""
    return next((path for path in paths if path.exists()), paths[0])


def _list_files(tree: Tree) -> list[str]:
    """Paths of the split's pictures relative to their folder, with forward slashes."""
    if tree.listing.is_file():
        lines = tree.listing.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        listed = [f"{line.split()[0]}.JPEG" for line in lines if line.strip()]
        # Many sort the validation pictures into a folder for each class and leave the old list: it is no use then.
        if listed and ("/" in listed[0]) == bool(class_folders(tree.pictures)):
            return listed
    return picture_names(tree.pictures)


def _read_classes(tree: Tree) -> Classes:
    if tree.mapping.is_file():
        return read_synset_mapping(tree.mapping)
    data = tree.pictures.parent
    folder = data / "train" if class_folders(data / "train") else data / "val"
    names = tuple(in_utf8(folder, class_folders(folder)))
    if not names:
        raise UserError(f"no {tree.mapping}, and no folders in {data} that tell the classes: add that file")
    return Classes(names, names)
