"""The LightningDataModule: which pictures, in which batches, and what was unreadable among them."""

import logging
import os
import sys
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset

from deepinside.config import DataConfig
from deepinside.data.picture import UnreadablePicture, labels_in
from deepinside.data.source import PictureSource
from deepinside.data.views import EvaluationView, Shuffled, TrainingView, WholePicture, collate
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet

log = logging.getLogger(__name__)


def usable_cpus() -> int:
    """How many CPUs this process may use, which taskset and batch systems make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PictureData(LightningDataModule):
    """Batches {image (N, 3, crop, crop) float in [0, 1], label (N,), pictures: whole ones (test, predict)}.

    Labels are in the ConvNet's class order. A picture that cannot be decoded has the label UNREADABLE, which loss and
    metrics leave out; its name and reason are in `unreadable`. Evaluation is never padded over processes. Training
    batches are a function of `seed` and epoch: without a Trainer, `loader.sampler.set_epoch(n)` is yours to call.
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
        view = TrainingView(self.train, self.data, self.preprocessing, self.train_labels, self.seed)
        processes, rank = self._place()
        sampler = Shuffled(view, processes, rank, seed=self.seed)
        if self.trainer:  # Lightning tells it the epoch, but of a resumed run only when workers have begun to load
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)
        return self._loader(view, sampler=sampler, drop_last=len(view) >= self.data.batch_size * processes)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Without whole pictures: of 50,000 they would be 13 GB, sent from process to process in every epoch."""
        return self._evaluation(whole=False)

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The validation split: ILSVRC's test labels were never released."""
        return self._evaluation(whole=True)

    predict_dataloader = test_dataloader

    def _evaluation(self, *, whole: bool) -> DataLoader[dict[str, Any]]:
        assert self.val is not None
        view = EvaluationView(self.val, self.preprocessing, self.val_labels, whole)
        processes, rank = self._place()
        if len(view) < processes:
            raise UserError(
                f"{processes} processes share {len(view)} pictures: trainer.devices must be at most {len(view)}"
            )
        return self._loader(view, sampler=UnrepeatedDistributedSampler(view, processes, rank, shuffle=False))

    def whole_picture(self, i: int) -> WholePicture | None:
        """Validation picture `i`, None where it cannot be read (evaluation tells of it)."""
        assert self.val is not None
        try:
            return EvaluationView(self.val, self.preprocessing, self.val_labels).whole_picture(i)
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
            devices = self.trainer.num_devices if self.trainer else 1  # of this machine; each has loaders of its own
            workers = 0 if self.data.name == "shapes" else max(1, min(8, usable_cpus() // devices))
        return DataLoader(
            view,
            batch_size=self.data.batch_size,
            num_workers=workers,
            persistent_workers=workers > 0,
            # Python 3.14's own choice hands each the whole list of pictures, and takes callbacks/calls.py's place.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            collate_fn=collate,
            **options,
        )
