"""The README's claims that a machine can check: its commands parse, its pictures exist, its Python runs."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from deepinside.attribution.methods import METHODS
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
    pictures = re.findall(r"!\[[^\]]*\]\((docs/[^)]+)\)", README)
    assert len(pictures) >= 4
    assert all((ROOT / picture).stat().st_size < 300_000 for picture in pictures)


def test_the_python_examples_run_and_agree() -> None:
    """They build on each other, as in a notebook; what is called once equals what is done by hand."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 5, stride=3), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(*layers, nn.Linear(6 * 8 * 8, 6)).eval()
    names = {"torch": torch, "model": model, "images": torch.rand(2, 3, 32, 32), "side": 32}
    names |= {"labels": torch.tensor([0, 1]), "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    names |= {"classes": torch.tensor([[0, 1], [2, 3]]), "picture": torch.rand(3, 40, 48)}
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        exec(example.replace("steps=200", "steps=3").replace("range(200)", "range(3)").replace("224", "32"), names)
    watched = [callback for callback in names["trainer"].callbacks if isinstance(callback, names["SaliencyMaps"])]
    assert [(one.every, one.unit, one.max_overhead, one.name) for one in watched] == [
        *((2, "steps", None, "saliency"), (1, "epochs", 0.05, "guided")),
    ]
    assert names["maps"].shape == (2, 2, 32, 32)
    assert names["mask"].shape == (40, 48)
    assert names["five"].boxes.shape == (5, 4)
    assert set(names["by_hand"]) == set(METHODS)
    assert float(names["models"].images.abs().max()) > 1
    torch.testing.assert_close(names["models"].images, names["found_by_hand"].detach(), rtol=1e-3, atol=1e-3)
    for method, by_hand in names["by_hand"].items():
        assert float(by_hand.abs().max()) > 0
        torch.testing.assert_close(names["one_call"][method], by_hand, rtol=1e-4, atol=1e-5)


def test_links_lead_to_files() -> None:
    links = re.findall(r"[^!]\[[^\]]*\]\(([^)#:]+)\)", README)
    assert links
    assert all((ROOT / link).is_file() for link in links)
