"""Saliency of five classes a picture, side by side with captum and pytorch-grad-cam.

    pip install -e ".[test,benchmark]" && python -m tests.benchmarks.saliency_speed [cpu|cuda]

Weights are random: they change no time. Every figure of a row comes from one interleaved run.
"""

import os
import sys
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from captum.attr import GuidedBackprop, Saliency
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import Tensor, nn
from torchvision import models as zoo

from deepinside import saliency
from tests.benchmarks.side_by_side import interleaved, machine, print_table, sgemm_rate
from tests.flops import FlopCounter

NETS, BATCHES, CLASSES, ROUNDS = ("alexnet", "squeezenet1_1", "resnet18", "vgg16"), (4, 16), 5, 3


def captums(model: nn.Module, images: Tensor, classes: Tensor, method: str) -> list[Tensor]:
    explainer = (Saliency if method == "gradient" else GuidedBackprop)(model)
    leaf = images.clone().requires_grad_()
    return [explainer.attribute(leaf, target=column).abs().amax(1) for column in classes.unbind(1)]


def grad_cams(model: nn.Module, images: Tensor, classes: Tensor, device: str) -> list[object]:
    """pytorch-grad-cam takes one picture and one class at a time, and changes the model's layers to and fro."""
    explainer = GuidedBackpropReLUModel(model=model, device=torch.device(device))
    pairs = [(image[None], int(c)) for image, row in zip(images, classes, strict=True) for c in row]
    return [explainer(image, target_category=c) for image, c in pairs]


def contestants(model: nn.Module, images: Tensor, classes: Tensor, device: str) -> dict[str, Callable[[], object]]:
    low = torch.bfloat16 if device == "cuda" else None
    return {
        "ours": lambda: saliency(model, images, classes),
        "captum": lambda: captums(model, images, classes, "gradient"),
        "guided, ours": lambda: saliency(model, images, classes, "guided"),
        "guided, captum": lambda: captums(model, images, classes, "guided"),
        "guided, grad-cam": lambda: grad_cams(model, images, classes, device),
    } | ({"bf16, ours": lambda: saliency(model, images, classes, autocast=low)} if low else {})


def main(device: str) -> None:
    warnings.filterwarnings("ignore")
    print(machine(device), "\n")
    rows = []
    for name in NETS:
        torch.manual_seed(0)
        model = zoo.get_model(name, weights=None).eval().to(device)
        for batch in BATCHES:
            images = torch.rand(batch, 3, 224, 224, device=device)
            classes = torch.stack([torch.randperm(1000)[:CLASSES] for _ in range(batch)]).to(device)
            with torch.no_grad(), FlopCounter() as forward:
                model(images)
            rate = sgemm_rate(device)
            times = interleaved(contestants(model, images, classes, device), ROUNDS)
            limit = (1 + CLASSES) * forward.flops / rate
            ours, guided = times["ours"], times["guided, ours"]
            ratios = [times["captum"] / ours, times["guided, captum"] / guided, times["guided, grad-cam"] / guided]
            figures = [
                f"{1000 * ours:.0f}",
                f"{ratios[0]:.2f}",
                f"{ours / limit:.2f}",
                *(f"{r:.2f}" for r in ratios[1:]),
            ]
            if "bf16, ours" in times:
                figures.append(f"{ours / times['bf16, ours']:.2f}")
            rows.append([name, str(batch), *figures, f"{rate / 1e9:.0f}"])
            print(*rows[-1], flush=True)
    head = [
        "net",
        "batch",
        "ours, ms",
        "captum / ours",
        "ours / limit",
        "guided: captum / ours",
        "guided: grad-cam / ours",
    ]
    print()
    print_table([*head, *(["fp32 / bf16"] if device == "cuda" else []), "sgemm, GFLOP/s"], rows)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cpu")
