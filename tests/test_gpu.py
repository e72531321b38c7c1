"""What only a CUDA device can show; skipped elsewhere. Arithmetic is compared in double precision, where both agree."""

import copy
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from deepinside import crop_saliency, optimise_class_models, saliency, ten_crops
from deepinside.attribution import route
from deepinside.attribution.gradient import Pass
from deepinside.attribution.methods import METHODS
from deepinside.localisation.locate import locate
from deepinside.models.shapes_convnet import shapes_convnet

from .test_train import SMALL, read_json, run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def nets() -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same ConvNet in double precision on the CPU and on the GPU."""
    torch.manual_seed(0)
    net = shapes_convnet(10).double()
    return net, copy.deepcopy(net).cuda()


@pytest.mark.parametrize("method", [method for method in METHODS if method != "smoothgrad"])  # its noise differs
def test_saliency_is_that_of_a_cpu(nets: tuple[torch.nn.Module, torch.nn.Module], method: str) -> None:
    images, classes = torch.rand(3, 3, 64, 64, dtype=torch.float64), torch.tensor([[1, 2], [3, 4], [5, 6]])
    here, there = saliency(nets[0], images, classes, method), saliency(nets[1], images.cuda(), classes.cuda(), method)
    assert there.is_cuda
    assert there.cpu() == pytest.approx(here, rel=1e-6, abs=1e-12)
    assert here.any()


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "vgg16"])
def test_saliency_has_the_same_bits_every_time(name: str) -> None:
    """In single precision, as nets are; cuDNN's usual algorithms differed in four of four nets."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None).cuda()
    images, classes = torch.rand(10, 3, 224, 224).cuda(), torch.arange(50).view(10, 5)
    first = saliency(net, images, classes)
    assert first.any()
    assert all(torch.equal(saliency(net, images, classes), first) for _ in range(5))


@pytest.mark.parametrize("preset", ["paper", "vgg", "best"])
def test_boxes_are_those_of_a_cpu(nets: tuple[torch.nn.Module, torch.nn.Module], preset: str) -> None:
    generator = torch.Generator().manual_seed(1)
    frame = (torch.rand(3, 8, 10, generator=generator) * 255).byte().repeat_interleave(9, 1).repeat_interleave(9, 2)
    crops = ten_crops(72, 90, 64)
    here, there = (
        locate(net, to, crops, 3, preset=preset) for net, to in zip(nets, (frame, frame.cuda()), strict=True)
    )
    assert there.classes.tolist() == here.classes.tolist()
    assert there.boxes == pytest.approx(here.boxes, abs=1e-3)
    assert there.box == pytest.approx(here.box, abs=1e-3)


def test_class_models_are_those_of_a_cpu(nets: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    here, there = (
        optimise_class_models(net, torch.tensor([2, 5]), (64, 64), (0.5, 0.5, 0.5), steps=5, seed=3) for net in nets
    )
    assert there.images.cpu() == pytest.approx(here.images, rel=1e-6, abs=1e-6)


def test_out_of_memory_takes_smaller_chunks(nets: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    images = torch.rand(600, 3, 64, 64, dtype=torch.float64).cuda()
    classes = torch.zeros(600, 1, dtype=torch.long).cuda()
    whole = saliency(nets[1], images, classes)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (200 << 20)) / total)
    try:
        bounded = saliency(nets[1], images, classes, memory=1 << 40)  # a budget that promises too much
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert bounded.cpu() == pytest.approx(whole.cpu(), rel=1e-6, abs=1e-12)


def test_a_gpu_loops_over_the_classes_in_large_chunks(
    nets: tuple[torch.nn.Module, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(bare: torch.nn.Module, images: Tensor, classes: Tensor, what: Pass, strategy: str) -> Tensor:
        calls.append((strategy, len(images)))
        return route.class_gradients(bare, images, classes, what, strategy)

    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(import_module("deepinside.attribution.saliency"), "class_gradients", seen)
    saliency(
        nets[1], torch.rand(64, 3, 64, 64, dtype=torch.float64).cuda(), torch.zeros(64, 3, dtype=torch.long).cuda()
    )
    assert calls == [("loop", 64)]


def test_crops_of_one_picture_stay_on_the_device(nets: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    frame = torch.rand(3, 72, 90, dtype=torch.float64)
    found = [
        crop_saliency(net, to, ten_crops(72, 90, 64), lambda scores: scores.mean(0).topk(2).indices)
        for net, to in zip(nets, (frame, frame.cuda()), strict=True)
    ]
    assert found[1].maps.cpu() == pytest.approx(found[0].maps.cpu(), rel=1e-6, abs=1e-12)


def test_a_run_in_low_precision_its_resumption_and_its_analyses(tmp_path: Path) -> None:
    small = [argument for argument in SMALL if "accelerator" not in argument]
    out = tmp_path / "run"
    where = ("trainer.accelerator=gpu", "trainer.precision=bf16-mixed")
    run("train.py", *small, *where, "trainer.max_epochs=1", f"out={out}", limit=90)
    run("train.py", f"resume={out}", "trainer.max_epochs=2", limit=90)
    assert read_json(out / "provenance.json")["machine"]["gpus"]
    assert (out / "checkpoints" / "last.ckpt").is_file()
    for task in ("task=class_model", "task=localise localisation.workers=2"):
        run("analyse.py", *task.split(), f"run={out}", limit=90)
    assert read_json(out / "localise" / "metrics.json")["images"] == 26
