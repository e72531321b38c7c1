"""What `task=localise` has measured so far, a file a picture, so that the same command goes on after a kill."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from callbacks.kept_results import load_result, net_fingerprint, save_result
from callbacks.outcomes import Outcome
from deepinside.config import LocalisationConfig
from deepinside.localisation.presets import find_preset
from deepinside.metrics import PictureScore
from deepinside.models.convnet import ConvNet
from deepinside.plots import Explanation
from deepinside.predictions import Guesses
from deepinside.progress import Bar
from deepinside.records import Guess, PictureRecord

KINDS = (Outcome, Guesses, PictureScore, PictureRecord, Guess, Explanation)  # all that a file holds, beside tensors
IRRELEVANT = {"every", "unit", "images", "enabled", "workers", "label_ids", "blacklist"}  # settings, to an outcome


class OutcomeStore:
    """`<folder>/picture_<index>.pt`; found: what earlier starts with the same fingerprint left there.

    A file a picture: it is whole or not there, and processes need not know of each other.
    """

    def __init__(self, folder: Path, fingerprint: str, *, progress: bool = False) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.found: list[Outcome] = []
        files = sorted(self._files())
        with Bar("reading what was measured before", len(files), "pictures", enabled=progress and bool(files)) as bar:
            for file in files:
                if (content := load_result(file, fingerprint, KINDS)) is not None:
                    self.found.append(content["outcome"])
                bar.advance()

    def save(self, outcome: Outcome) -> None:
        save_result(self.folder / f"picture_{outcome.index:05d}.pt", self.fingerprint, {"outcome": outcome})

    def __len__(self) -> int:
        """How many pictures lie there now, from all processes."""
        return len(self._files())

    def missing(self, total: int, processes: int) -> list[int]:
        """Which of `total` pictures are to be measured. A process with nothing to do would stop the others, and none at
        all would draw nothing: where fewer are missing than processes, some that were found are measured again."""
        again = processes - (total - len(self.found))
        if again > 0:
            del self.found[-again:]
        done = {outcome.index for outcome in self.found}
        return [i for i in range(total) if i not in done]

    def _files(self) -> list[Path]:
        return list(self.folder.glob("picture_*.pt"))


def forget_outcomes(folder: Path) -> None:
    """When all results lie where they belong. Class models may share the folder."""
    for file in folder.glob("picture_*.p*t"):  # .part, too, what a kill has left half written
        file.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def outcome_fingerprint(
    convnet: ConvNet, settings: LocalisationConfig, blacklist: set[str], data: dict[str, Any]
) -> str:
    """Of all that an outcome depends on, and what of it is drawn and kept; data: all that tells which pictures."""
    numbers = {name: value for name, value in asdict(settings).items() if name not in IRRELEVANT}
    numbers |= {"numbers": asdict(find_preset(settings.preset)), "classes": asdict(convnet.classes)}
    numbers |= {"blacklist": sorted(blacklist), "data": data}  # the list's pictures, whatever its file is called
    return net_fingerprint(convnet, numbers)
