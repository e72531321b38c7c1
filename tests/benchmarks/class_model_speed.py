"""Class models: sixteen classes in one batch, one at a time, and by torch-lucent's plain renderer.

    python -m tests.benchmarks.class_model_speed [cpu|cuda]

All climb S_c over plain pixels of 224x224 by Adam for the same steps. "One at a time" is the loop a person writes:
weights as they come, one class, `backward`.
"""

import os
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn
from torchvision import models as zoo

from deepinside.class_model import optimise_class_models
from tests.benchmarks.side_by_side import interleaved, machine, print_table, sgemm_rate
from tests.flops import FlopCounter

NETS, CLASSES, STEPS, SIDE, ROUNDS = ("alexnet", "squeezenet1_1", "resnet18"), 16, 12, 224, 1
MEAN = (0.5, 0.5, 0.5)


def by_hand(model: nn.Module, classes: Tensor) -> list[Tensor]:
    """One class after the other, as it is usually written."""
    images = []
    for c in classes.tolist():
        image = torch.zeros(1, 3, SIDE, SIDE, device=classes.device, requires_grad=True)
        optimiser = torch.optim.Adam([image], lr=1.0)
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = 1e-5 * image.square().sum() - model(0.5 + image / 255)[0, c]
            loss.backward()
            optimiser.step()
        images.append(image.detach())
    return images


def lucents(model: nn.Module, classes: Tensor) -> list[Any]:
    """torch-lucent without its transforms, which current kornia breaks, in plain pixels."""
    for name in ("IPython", "IPython.display"):  # it imports a notebook's display, which no renderer needs
        sys.modules.setdefault(name, types.ModuleType(name)).display = None  # type: ignore[attr-defined]
    from lucent.optvis import param, render

    head = [name for name, module in model.named_modules() if not list(module.children())][-1].replace(".", "_")
    options: dict[str, Any] = {"transforms": [], "preprocess": False, "thresholds": (STEPS,), "progress": False}
    return [
        render.render_vis(
            model,
            f"{head}:{c}",
            lambda: param.image(SIDE, fft=False, decorrelate=False),
            lambda parameters: torch.optim.Adam(parameters, lr=0.01),
            show_image=False,
            **options,
        )
        for c in classes.tolist()
    ]


def contestants(model: nn.Module, classes: Tensor) -> dict[str, Callable[[], object]]:
    def ours(each: Tensor) -> object:
        return optimise_class_models(model, each, (SIDE, SIDE), MEAN, steps=STEPS)

    return {
        "batch": lambda: ours(classes),
        "ours, one at a time": lambda: [ours(c[None]) for c in classes],
        "by hand": lambda: by_hand(model, classes),
        "lucent": lambda: lucents(model, classes),
    }


def main(device: str) -> None:
    warnings.filterwarnings("ignore")
    print(machine(device), "\n")
    rows = []
    for name in NETS:
        torch.manual_seed(0)
        model = zoo.get_model(name, weights=None).eval().to(device)
        with torch.no_grad():  # classes that random weights do not shut off at the zero image
            classes = model(torch.full((1, 3, SIDE, SIDE), 0.5, device=device))[0].topk(CLASSES).indices
        images = torch.rand(CLASSES, 3, SIDE, SIDE, device=device)
        with torch.no_grad(), FlopCounter() as forward:
            model(images)
        rate = sgemm_rate(device)
        times = interleaved(contestants(model, classes), ROUNDS)
        limit = 2 * STEPS * forward.flops / rate
        batch = times["batch"]
        ratios = [times[name] / batch for name in ("ours, one at a time", "by hand", "lucent")]
        rows.append([name, f"{1000 * batch / STEPS:.0f}", *(f"{r:.2f}" for r in ratios), f"{batch / limit:.2f}"])
        rows[-1].append(f"{rate / 1e9:.0f}")
        print(*rows[-1], flush=True)
    print()
    columns = ["a step of 16, ms", "one at a time / batch", "by hand / batch", "lucent / batch", "batch / limit"]
    print_table(["net", *columns, "sgemm, GFLOP/s"], rows)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cpu")
