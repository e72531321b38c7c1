"""Files from which a killed analysis goes on, each with a fingerprint of all that its content depends on."""

import hashlib
import json
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.serialization import safe_globals

from deepinside.files import replacing
from deepinside.models.convnet import ConvNet

DAMAGED = (
    *(OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError),
    *(pickle.PickleError, zipfile.BadZipFile),
)  # what reading such a file may end in


def net_fingerprint(convnet: ConvNet, numbers: dict[str, Any]) -> str:
    """Of a net, its weights and normalisation, and of numbers, which JSON must know."""
    numbers = numbers | {"net": convnet.name} | asdict(convnet.preprocessing)
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name, tensor in sorted(convnet.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def save_result(path: Path, fingerprint: str, content: dict[str, Any]) -> None:
    """The file is whole, or not there."""
    with replacing(path) as part:
        torch.save(content | {"fingerprint": fingerprint}, part)


def load_result(path: Path, fingerprint: str, kinds: Sequence[type] = ()) -> dict[str, Any] | None:
    """What was kept, or None where there is nothing, half a file, or the fruit of other settings. kinds: classes that
    it may hold beside tensors and plain values; of nothing else is any code run."""
    try:
        with safe_globals(list(kinds)):
            content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return content if content.pop("fingerprint") == fingerprint else None
    except DAMAGED:
        return None
