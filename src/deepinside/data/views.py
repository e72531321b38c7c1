"""What training and evaluation get of a picture: an augmented crop, or all of it with the centre crop."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from deepinside.config import DataConfig
from deepinside.data.picture import UnreadablePicture
from deepinside.data.source import PictureSource, read
from deepinside.data.transforms import centre_crop, resize_whole, training_transform
from deepinside.models.convnet import Preprocessing

UNREADABLE = -100  # the label cross-entropy and every metric leave out


@dataclass(frozen=True)
class WholePicture:
    """What evaluation gets of one picture: all of it, resized.

    frame: uint8 (3, h, w), short side as the weights ask; label in the ConvNet's order, -1 unknown;
    boxes: (M, 4) half-open edges in original pixels; size: (H, W) of the original.
    """

    frame: Tensor
    label: int
    boxes: Tensor
    size: tuple[int, int]
    name: str
    index: int


class WholePictures(list[WholePicture]):
    """Those of a batch. From one process to another they go as two tensors: each tensor is an open file at both ends,
    most systems allow a process 1024, and the batches that are loaded ahead hold more pictures."""

    def __reduce__(self) -> tuple[Any, ...]:
        if not self:
            return WholePictures, ()
        frames, boxes = torch.cat([p.frame.flatten() for p in self]), torch.cat([p.boxes for p in self])
        shapes = [(p.frame.shape, len(p.boxes)) for p in self]
        return _unpacked, (frames, boxes, shapes, [(p.label, p.size, p.name, p.index) for p in self])

    def __copy__(self) -> "WholePictures":
        return WholePictures(self)  # pinning copies the list


def _unpacked(
    frames: Tensor,
    boxes: Tensor,
    shapes: list[tuple[torch.Size, int]],
    others: list[tuple[int, tuple[int, int], str, int]],
) -> WholePictures:
    """Each with tensors of its own: a picture that is kept must not keep its whole batch."""
    parts = zip(frames.split([shape.numel() for shape, _ in shapes]), boxes.split([n for _, n in shapes]), strict=True)
    return WholePictures(
        WholePicture(pixels.view(shape).clone(), label, own.clone(), size, name, index)
        for (pixels, own), (shape, _), (label, size, name, index) in zip(parts, shapes, others, strict=True)
    )


class Shuffled(DistributedSampler[Any]):
    """(epoch, index) of this process's pictures: the order, and what augmentation draws, depend on seed and epoch
    alone, not on the number of loading processes, and a resumed run goes on with both."""

    def __iter__(self) -> Iterator[Any]:
        return ((self.epoch, i) for i in super().__iter__())


class TrainingView(Dataset[dict[str, Any]]):
    """Item (epoch, i), or i in epoch 0: an augmented crop of picture i, float32 (3, crop, crop), and its label in the
    ConvNet's order; what is drawn is a function of seed, epoch and i."""

    def __init__(
        self, source: PictureSource, data: DataConfig, preprocessing: Preprocessing, labels: list[int], seed: int
    ) -> None:
        self.source, self.labels, self.side, self.seed = source, labels, preprocessing.crop, seed
        self.transform = training_transform(data, preprocessing)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, place: tuple[int, int] | int) -> dict[str, Any]:
        epoch, i = place if isinstance(place, tuple) else (0, place)  # other samplers, as of overfit_batches
        try:
            picture = read(self.source, i)
        except UnreadablePicture as error:
            return {"image": torch.zeros(3, self.side, self.side), "label": UNREADABLE, "unreadable": error}
        with _drawing_from(self.seed, epoch, i):
            image = self.transform(picture.image)
        return {"image": image, "label": self.labels[picture.label], "unreadable": None}


@contextmanager
def _drawing_from(*numbers: int) -> Iterator[None]:
    """What is drawn within is a function of these numbers; what is drawn later, dropout for one, as if nothing were.
    `torch.random.fork_rng` does it in 300 microseconds, longer than a small picture takes."""
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(hash(numbers))  # of whole numbers it is the same everywhere
    try:
        yield
    finally:
        generator.set_state(before)


class EvaluationView(Dataset[dict[str, Any]]):
    """Item i: the centre crop of picture i, uint8 (3, crop, crop), its label, and, if `whole`, its `WholePicture`."""

    def __init__(
        self, source: PictureSource, preprocessing: Preprocessing, labels: list[int], whole: bool = True
    ) -> None:
        self.source, self.preprocessing, self.labels, self.whole = source, preprocessing, labels, whole

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> dict[str, Any]:
        side = self.preprocessing.crop
        try:
            picture = self.whole_picture(i)
        except UnreadablePicture as error:
            return {"image": torch.zeros(3, side, side, dtype=torch.uint8), "label": UNREADABLE, "unreadable": error}
        item = {"image": centre_crop(picture.frame, side), "label": picture.label, "unreadable": None}
        return item | {"picture": picture} if self.whole else item

    def whole_picture(self, i: int) -> WholePicture:
        picture = read(self.source, i)
        frame = resize_whole(picture.image, self.preprocessing.resize)
        label = self.labels[picture.label] if picture.label >= 0 else -1
        height, width = picture.image.shape[-2:]
        return WholePicture(frame, label, picture.boxes, (height, width), picture.name, picture.index)


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Items of a view -> the batch that `PictureData` describes."""
    return {
        "image": torch.stack([item["image"] for item in items]),
        "label": torch.tensor([item["label"] for item in items]),
        "pictures": WholePictures(item["picture"] for item in items if "picture" in item),
        "unreadable": [(e.name, e.reason) for item in items if (e := item["unreadable"]) is not None],
    }
