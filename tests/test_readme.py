"""The README's claims that a machine can check: its commands parse, its pictures exist, its Python runs."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from deepinside.config import AnalyseConfig, TrainConfig
from deepinside.load_config import load_config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    python (train|analyse)\.py ?(.*)$", README, re.MULTILINE)


@pytest.mark.parametrize(("script", "arguments"), COMMANDS)
def test_commands_are_valid(script: str, arguments: str) -> None:
    schema = TrainConfig if script == "train" else AnalyseConfig
    assert load_config(schema, arguments.split(), ROOT / "configs").data.name in ("shapes", "ilsvrc", "folder")


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 8


def test_pictures_exist_and_are_small() -> None:
    pictures = re.findall(r"\]\((docs/[^)]+)\)", README)
    assert len(pictures) == 2
    assert all((ROOT / picture).stat().st_size < 300_000 for picture in pictures)


def test_the_python_example_runs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 11, stride=16), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 6))
    names = {"model": model, "images": torch.rand(2, 3, 224, 224), "classes": torch.tensor([[0, 1], [2, 3]])}
    names["image"] = names["images"][0]
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(example.replace("mean=(0.485, 0.456, 0.406)", "mean=(0.485, 0.456, 0.406), steps=2"), names)
    assert names["maps"].shape == (2, 2, 224, 224)
    assert names["mask"].shape == (224, 224)
    assert names["models"].images.shape == (2, 3, 224, 224)
