"""What a run needs to go on, read from its checkpoint."""

from pathlib import Path
from typing import Any

import torch

from deepinside.classifier import Classifier
from deepinside.errors import UserError, first_line


def first_lost_step(checkpoint: Path) -> int:
    """The first step that a run which goes on from the checkpoint takes anew. Raises UserError."""
    try:
        return int(_content(checkpoint)["global_step"]) + 1
    except KeyError:
        raise UserError(f"{checkpoint} is no checkpoint of a run, so the run cannot go on") from None
    except Exception as error:  # damaged files are answered with many kinds
        raise UserError(f"{checkpoint} cannot be read, so the run cannot go on: {first_line(error)}") from None


def finished_epochs(checkpoint: Path) -> int:
    return int(_content(checkpoint)["epoch"]) + 1


def load_net(module: Classifier, checkpoint: Path) -> None:
    """Before the Trainer does, which first marks as lost what a resumed run logged last. Raises UserError where the
    checkpoint holds another net."""
    content = _content(checkpoint)
    module.on_load_checkpoint(content)
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError:
        summary = module.convnet.summary()
        raise UserError(f"{checkpoint} holds another net than {summary}: has the data other classes now?") from None


def _content(checkpoint: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return content
