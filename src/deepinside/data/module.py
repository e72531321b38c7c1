"""The LightningDataModule: which pictures, in which batches, and what was unreadable among them."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from deepinside.config import DataConfig
from deepinside.data.folder import PictureFolder
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.picture import Classes, Picture, UnreadablePicture, labels_in
from deepinside.data.shapes import Shapes
from deepinside.data.transforms import centre_crop, resize_whole, training_transform
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.progress import Bar

log = logging.getLogger(__name__)

UNREADABLE = -100  # the label cross-entropy and every metric leave out


class PictureSource(Protocol):
    """What a data set must offer: `data/shapes.py`, `data/ilsvrc.py` and `data/folder.py` do."""

    @property
    def classes(self) -> Classes: ...
    @property
    def has_boxes(self) -> bool: ...
    def __len__(self) -> int: ...
    def read(self, i: int) -> Picture: ...


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


def open_split(data: DataConfig, split: str, seed: int, show: bool = False) -> PictureSource:
    """The `train` or `val` pictures that the configuration names; `show`: with progress. Raises UserError."""
    if data.name == "shapes":
        if data.root is not None:
            raise UserError(f"data.root={data.root} needs data.name=folder or data.name=ilsvrc; shapes are drawn here")
        size = data.shapes_train if split == "train" else data.shapes_val
        size = min(size, data.limit or size)
        with Bar(f"drawing the {split} shapes", size, "pictures", enabled=show) as bar:
            return Shapes(split, seed, size, bar.advance)
    if data.root is None:
        raise UserError(f"data.root is needed for data.name={data.name}: the folder of the pictures")
    source = ILSVRC if data.name == "ilsvrc" else PictureFolder
    with Bar(f"listing the {split} pictures of {data.root}", enabled=show):
        return source(Path(data.root), split, data.limit)


def usable_cpus() -> int:
    """How many CPUs this process may use, which taskset and batch systems make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read(source: PictureSource, i: int) -> Picture:
    """Picture `i`; one whose annotation is malformed is as unreadable as one that cannot be decoded."""
    try:
        return source.read(i)
    except UserError as error:
        raise UnreadablePicture(f"picture {i}", str(error)) from None


def check_readable(source: PictureSource) -> None:
    """Before anything begins, and earlier results go: one picture at least must be readable, else a UserError."""
    reasons = []
    for i in range(len(source)):
        try:
            read(source, i)
            return
        except UnreadablePicture as error:
            reasons.append(str(error))
    raise UserError(f"no picture can be read, of all {len(source)} (the first: {reasons[0]})")


class _Shuffled(DistributedSampler[Any]):
    """(epoch, index) of this process's pictures: the order, and what augmentation draws, depend on seed and epoch
    alone, not on the number of loading processes, and a resumed run goes on with both."""

    def __iter__(self) -> Iterator[Any]:
        return ((self.epoch, i) for i in super().__iter__())


class _Training(Dataset[dict[str, Any]]):
    def __init__(
        self, source: PictureSource, data: DataConfig, preprocessing: Preprocessing, labels: list[int], seed: int
    ) -> None:
        self.source, self.labels, self.side, self.seed = source, labels, preprocessing.crop, seed
        self.transform = training_transform(data, preprocessing)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        epoch, i = place
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


class _Evaluation(Dataset[dict[str, Any]]):
    def __init__(self, source: PictureSource, preprocessing: Preprocessing, labels: list[int]) -> None:
        self.source, self.preprocessing, self.labels = source, preprocessing, labels

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> dict[str, Any]:
        side = self.preprocessing.crop
        try:
            whole = self.whole_picture(i)
        except UnreadablePicture as error:
            return {"image": torch.zeros(3, side, side, dtype=torch.uint8), "label": UNREADABLE, "unreadable": error}
        return {"image": centre_crop(whole.frame, side), "label": whole.label, "picture": whole, "unreadable": None}

    def whole_picture(self, i: int) -> WholePicture:
        picture = read(self.source, i)
        frame = resize_whole(picture.image, self.preprocessing.resize)
        label = self.labels[picture.label] if picture.label >= 0 else -1
        height, width = picture.image.shape[-2:]
        return WholePicture(frame, label, picture.boxes, (height, width), picture.name, picture.index)


def _collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "image": torch.stack([item["image"] for item in items]),
        "label": torch.tensor([item["label"] for item in items]),
        "pictures": [item["picture"] for item in items if "picture" in item],
        "unreadable": [(e.name, e.reason) for item in items if (e := item["unreadable"]) is not None],
    }


class PictureData(LightningDataModule):
    """Batches {image (N, 3, crop, crop) float in [0, 1], label (N,), pictures: whole pictures (evaluation only)}.

    Labels are in the ConvNet's class order. A picture that cannot be decoded has the label UNREADABLE, which loss and
    metrics leave out; its name and reason are in `unreadable`. Evaluation is never padded over processes.
    """

    def __init__(
        self,
        data: DataConfig,
        convnet: ConvNet,
        *,
        train: PictureSource | None = None,
        val: PictureSource | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.data, self.preprocessing, self.seed = data, convnet.preprocessing, seed
        self.train, self.val = train, val
        self.train_labels = labels_in(convnet.classes, train.classes, data.name) if train else []
        self.val_labels = labels_in(convnet.classes, val.classes, data.name) if val else []
        self.unreadable: set[str] = set()

    def state_dict(self) -> dict[str, Any]:
        """Of the first process, in the checkpoint: a resumed run still knows what was left out."""
        return {"unreadable": sorted(self.unreadable)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.unreadable |= set(state_dict["unreadable"])

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        assert self.train is not None
        view = _Training(self.train, self.data, self.preprocessing, self.train_labels, self.seed)
        processes, rank = self._place()
        sampler = _Shuffled(view, processes, rank, seed=self.seed)  # Lightning tells it the epoch
        return self._loader(view, sampler=sampler, drop_last=len(view) >= self.data.batch_size * processes)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        assert self.val is not None
        view = _Evaluation(self.val, self.preprocessing, self.val_labels)
        processes, rank = self._place()
        if len(view) < processes:
            raise UserError(
                f"{processes} processes share {len(view)} pictures: trainer.devices must be at most {len(view)}"
            )
        return self._loader(view, sampler=UnrepeatedDistributedSampler(view, processes, rank, shuffle=False))

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The validation split: ILSVRC's test labels were never released."""
        return self.val_dataloader()

    predict_dataloader = test_dataloader

    def whole_picture(self, i: int) -> WholePicture | None:
        """Validation picture `i`, None where it cannot be read (evaluation tells of it)."""
        assert self.val is not None
        try:
            return _Evaluation(self.val, self.preprocessing, self.val_labels).whole_picture(i)
        except UnreadablePicture:
            return None

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        for name, reason in batch["unreadable"]:
            if (which := f"{name}: {reason}") not in self.unreadable:
                log.warning("left out, it cannot be read: %s", which)
                self.unreadable.add(which)
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        moved = {key: batch[key].to(device, non_blocking=True) for key in ("image", "label")}
        return batch | moved  # the whole pictures stay where they are: few of them are ever looked at

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if batch["image"].dtype == torch.uint8:  # evaluation travels as bytes
            batch["image"] = batch["image"].float() / 255
        return batch

    def _place(self) -> tuple[int, int]:
        """How many processes there are, and which one this is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _loader(self, view: Dataset[dict[str, Any]], **options: Any) -> DataLoader[dict[str, Any]]:
        workers = self.data.workers
        if workers is None:
            workers = 0 if self.data.name == "shapes" else min(8, usable_cpus())
        return DataLoader(
            view,
            batch_size=self.data.batch_size,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_collate,
            **options,
        )
