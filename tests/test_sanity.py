"""Cascading randomisation: which layers, in which order, what becomes of their weights, and what is reported of it."""

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks import Localisation, Pictures, Randomisation
from callbacks.cascade import compare_maps
from callbacks.gathering import spread
from callbacks.saliency_maps import explain
from callbacks.sanity import sanity_table
from callbacks.subject import convnet_of
from deepinside import saliency
from deepinside.attribution.randomisation import cascade, layers_in_use, randomised
from deepinside.classifier import Classifier
from deepinside.config import (
    DataConfig,
    LocalisationConfig,
    ModelConfig,
    SaliencyConfig,
    SanityConfig,
    TrainerConfig,
)
from deepinside.data.folder import PictureFiles
from deepinside.data.module import PictureData
from deepinside.data.source import open_split
from deepinside.data.views import WholePicture
from deepinside.models.build import build_convnet
from deepinside.plots import draw_strip
from deepinside.report.run_report import _about_sanity
from deepinside.trainer import make_trainer

from .test_train import SMALL, run

IMAGE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Unordered(nn.Module):
    """Registers its layers in another order than it uses them in; one is used twice, one never, one by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 5)
        self.unused = nn.Linear(4, 4)
        self.by_hand = nn.Linear(4, 4)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.arange(1.0, 5.0))

    def forward(self, images: Tensor) -> Tensor:
        assert self.last.weight.dtype == images.dtype  # a look at a weight is no use of it
        x = self.norm(self.twice(self.first(images))).relu()
        x = self.twice(x).mean((2, 3)) * self.scale
        scores: Tensor = self.last(F.linear(x, self.by_hand.weight).relu())
        return scores


def unordered(seed: int) -> Unordered:
    torch.manual_seed(seed)
    net = Unordered()
    net.norm.running_mean = torch.randn(4)
    net.norm.weight.data.normal_()
    net.norm.bias.data.normal_()
    return net.eval()


def fresh_nets(net: nn.Module, groups: Sequence[Sequence[str]], seed: int = 0) -> Iterator[Any]:
    """Copies of what the net is after each group."""
    return (copy.deepcopy(net) for _ in randomised(net, groups, seed))


def test_layers_come_in_the_order_of_their_last_use() -> None:
    assert layers_in_use(unordered(0), IMAGE) == ["first", "norm", "twice", "", "by_hand", "last"]


def test_the_last_layer_comes_alone_and_the_others_evenly() -> None:
    layers = [f"layer{i}" for i in range(10)]
    groups = cascade(layers, 4)
    assert [len(group) for group in groups] == [1, 3, 3, 3]
    assert [name for group in groups for name in group] == layers[::-1]
    assert cascade(layers, 1) == [layers[::-1]]
    assert cascade(layers, 99) == [[name] for name in layers[::-1]]
    assert cascade([], 3) == []
    with pytest.raises(ValueError, match="stages"):
        cascade(layers, 0)


def test_each_stage_changes_its_own_layers_and_no_others() -> None:
    net = unordered(0)
    trained = copy.deepcopy(net)
    groups = cascade(layers_in_use(net, IMAGE), 6)
    done: list[str] = []
    for group in randomised(net, groups):
        done += group
        for name, layer in trained.named_modules():
            for key, value in layer.named_parameters(recurse=False):
                changed = not torch.equal(value, net.get_submodule(name).get_parameter(key))
                assert changed == (name in done), f"{name}.{key}"
    assert done == ["last", "by_hand", "", "twice", "norm", "first"]


def test_nothing_of_what_was_learnt_is_left_at_the_last_stage() -> None:
    """Two nets with other weights end as the same one; what has no reset of its own keeps its values, shuffled."""
    nets = [unordered(1), unordered(2)]
    last = [list(fresh_nets(net, cascade(layers_in_use(net, IMAGE), 3), seed=5))[-1] for net in nets]
    assert not torch.allclose(nets[0](IMAGE), nets[1](IMAGE))
    assert torch.equal(last[0](IMAGE), last[1](IMAGE))
    assert sorted(last[0].scale.tolist()) == [1, 2, 3, 4]
    assert last[0].norm.running_mean is not None
    assert last[0].norm.running_mean.tolist() == [0] * 4
    other = list(fresh_nets(nets[0], cascade(layers_in_use(nets[0], IMAGE), 3), seed=6))[-1]
    assert not torch.allclose(other(IMAGE), last[0](IMAGE))


def test_a_linear_nets_map_is_its_new_weights() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
    (fresh,) = fresh_nets(net, [["1"]])
    weights = fresh[1].weight.reshape(5, 3, 8, 8)
    maps = saliency(fresh, IMAGE, torch.tensor([2, 4]))
    assert torch.equal(maps, weights[[2, 4]].abs().amax(1))
    assert not torch.allclose(maps, saliency(net, IMAGE, torch.tensor([2, 4])))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_weights_that_hooks_compute_are_randomised_too(norm: Callable[[nn.Module], nn.Module]) -> None:
    """Also after a training step, which leaves them with a graph."""
    net = nn.Sequential(nn.Flatten(), norm(nn.Linear(3 * 8 * 8, 5)))
    net(IMAGE).sum().backward()
    weight, computed = net[1].weight, net[1].weight.detach().clone()
    for _ in randomised(net, [["1"]]):
        maps = saliency(net, IMAGE, torch.tensor([2, 4]))
        fresh = net[1].weight.detach().clone()
    assert net[1].weight is weight
    assert torch.equal(weight, computed)
    assert abs(float(torch.corrcoef(torch.stack([fresh.flatten(), computed.flatten()]))[0, 1])) < 0.2
    assert torch.allclose(maps, fresh.reshape(5, 3, 8, 8)[[2, 4]].abs().amax(1))


class Anew(nn.Linear):
    def reset_parameters(self) -> None:
        self.weight = nn.Parameter(torch.randn(self.out_features, self.in_features))


def test_parameters_that_a_reset_makes_anew_are_not_kept() -> None:
    net = nn.Sequential(nn.Flatten(), Anew(3 * 8 * 8, 5, bias=False))
    own, values = net[1].weight, net[1].weight.detach().clone()
    net(IMAGE).sum().backward()
    gradient = own.grad
    for _ in randomised(net, [["1"]]):
        assert not torch.equal(net[1].weight, values)
    assert net[1].weight is own
    assert torch.equal(own, values)
    assert own.grad is gradient


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_the_net_has_its_own_back(inference: bool, stopped: bool) -> None:
    net = unordered(0).train()
    net.first.weight.requires_grad_(False)
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    at = {name: tensor.data_ptr() for name, tensor in net.state_dict().items()}  # optimisers and DDP know them by it
    with torch.inference_mode(inference):
        groups = cascade(layers_in_use(net, IMAGE), 3)
        with closing(randomised(net, groups)) as stages:
            for _ in stages:
                saliency(net, IMAGE, torch.tensor([0, 1]))
                assert not any(module.training for module in net.modules())
                if stopped:
                    break
    assert {name: tensor.data_ptr() for name, tensor in net.state_dict().items()} == at
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert [key for key, value in net.named_parameters() if not value.requires_grad] == ["first.weight"]
    assert torch.equal(torch.get_rng_state(), random)


def shown_to(tmp_path: Path, *callbacks: Callback) -> tuple[Classifier, dict[str, Tensor]]:
    """`Trainer.test` of an untrained net on drawn shapes; the module, and its state before."""
    torch.manual_seed(0)
    data = DataConfig(shapes_val=6)
    val = open_split(data, "val", 0)
    convnet = build_convnet(ModelConfig("shapes_convnet"), data, val.classes)
    module = Classifier(convnet)
    before = copy.deepcopy(module.convnet.state_dict(prefix="convnet."))
    settings = TrainerConfig(accelerator="cpu", enable_progress_bar=False)
    make_trainer(settings, tmp_path, callbacks, own_samplers=True).test(
        module, PictureData(data, convnet, val=val), verbose=False
    )
    return module, before


def scalars(folder: Path, tag: str) -> dict[int, float]:
    events = EventAccumulator(str(folder)).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


def test_photographs_are_called_by_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    captions: list[str] = []

    def draw(columns: Any, caption: str) -> Image.Image:
        captions.append(caption)
        return draw_strip(columns, caption)

    monkeypatch.setattr("callbacks.sanity.draw_strip", draw)
    Image.new("RGB", (80, 80), "red").save(tmp_path / "goose.png")
    data = DataConfig(workers=0)
    convnet = build_convnet(ModelConfig("shapes_convnet"), data, open_split(data, "val", 0).classes)
    photographs = PictureData(data, convnet, val=PictureFiles([str(tmp_path / "goose.png")], convnet.classes))
    callback = Randomisation(SanityConfig(1, 1), SaliencyConfig(crops="one"), folder=tmp_path / "sanity")
    settings = TrainerConfig(accelerator="cpu", enable_progress_bar=False)
    trainer = make_trainer(settings, tmp_path, [callback], own_samplers=True)
    trainer.predict(Classifier(convnet), photographs, return_predictions=False)
    assert captions[0].startswith("goose: ")


def test_curves_picture_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[list[str], str]] = []

    def spy(columns: list[tuple[str, Any]], caption: str) -> Image.Image:
        drawn.append(([title for title, _ in columns], caption))
        return draw_strip(columns, caption)

    monkeypatch.setattr("callbacks.sanity.draw_strip", spy)
    callback = Randomisation(SanityConfig(4, 3), SaliencyConfig(crops="one"), LocalisationConfig(), tmp_path / "sanity")
    module, before = shown_to(tmp_path, callback)
    found = json.loads(json.dumps(callback.results, allow_nan=False))
    stages = found["stages"]
    assert (found["images"], found["images_with_boxes"]) == (4, 4)
    assert [stage["blank_maps"] for stage in stages] == [0] * 4
    assert [stage["layers"] for stage in stages] == [
        [],
        ["net.full7"],
        ["net.full6", "net.conv5", "net.conv4"],
        ["net.conv3", "net.conv2", "net.conv1"],
    ]
    assert [stage["randomised"] for stage in stages] == [0, 1, 4, 7]
    assert stages[0]["spearman"] == pytest.approx(1)
    assert stages[0]["ssim"] == pytest.approx(1)
    assert all(-1 <= stage[key] < 0.999 for stage in stages[1:] for key in ("spearman", "ssim"))
    for key in ("spearman", "ssim", "gt_known_accuracy"):
        logged = scalars(tmp_path, f"sanity/{key}")
        assert logged == pytest.approx({stage["randomised"]: stage[key] for stage in stages})
    for key, value in found["chance"].items():
        assert -0.6 < value < 0.9
        assert scalars(tmp_path, f"sanity_chance/{key}") == pytest.approx(dict.fromkeys((0, 1, 4, 7), value))
    centre = found["centre_box"]["gt_known_accuracy"]
    assert scalars(tmp_path, "sanity_centre_box/gt_known_accuracy") == dict.fromkeys((0, 1, 4, 7), centre)
    assert [titles for titles, _ in drawn] == [["picture", "trained", "to full7", "to conv4", "to conv1"]] * 4
    assert all("   rank correlation with the trained net's map: 1.00  " in caption for _, caption in drawn)
    with Image.open(tmp_path / "sanity" / "sheet.png") as picture:
        assert picture.width > 5 * 112  # the picture and four stages
        assert picture.height > 4 * 112
    assert all(torch.equal(value, before[key]) for key, value in module.convnet.state_dict(prefix="convnet.").items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    table = sanity_table(callback.results)
    assert [column.header for column in table.columns] == ["fresh layers", "rank correlation", "SSIM", "GT-known, %"]
    assert [*table.columns[0].cells] == ["0", "1", "4", "7", "chance", "centre box"]
    assert next(iter(table.columns[1].cells)) == "1.00"
    assert [*table.columns[3].cells][-2:] == ["", f"{100 * centre:.1f}"]


@pytest.mark.parametrize(
    "settings", [LocalisationConfig(blur=2.0), LocalisationConfig(preset="best", repeat_classes=True)]
)
def test_the_trained_nets_boxes_are_those_of_the_localisation(tmp_path: Path, settings: LocalisationConfig) -> None:
    """Whatever the maps that are looked at are made of."""
    sanity = Randomisation(SanityConfig(6, 1), SaliencyConfig(crops="one", method="guided"), settings)
    localisation = Localisation(settings)
    shown_to(tmp_path, sanity, localisation)
    found, expected = sanity.results, localisation.results
    key = "gt_known_accuracy"
    assert found["stages"][0][key] == pytest.approx(expected["localisation"][key])
    assert found["centre_box"][key] == pytest.approx(expected["baselines"]["centre_box"][key])


def noise(side: int, width: int, count: int) -> Tensor:
    return torch.rand(count, 3, side, width, generator=torch.Generator().manual_seed(0))


def test_chance_is_how_maps_of_different_pictures_agree(tmp_path: Path) -> None:
    """A linear net's map is its weights, whatever the picture: there chance is 1, and so are maps of other pictures."""
    module = Foreign()
    module.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    for labels, agree in (([1, 1, 1], True), ([0, 1, 2], False)):
        pictures = Pictures(noise(16, 16, 3), torch.tensor(labels), (0.5,) * 3, (0.25,) * 3)
        callback = Randomisation(SanityConfig(3, 1), SaliencyConfig(crops="one"), pictures=pictures)
        foreign_test(tmp_path, module, callback)
        assert (callback.results["chance"]["spearman"] > 0.999) == agree
        assert (callback.results["chance"]["ssim"] > 0.999) == agree


def test_maps_of_fresh_nets_are_as_the_settings_say_and_for_the_classes_of_before(tmp_path: Path) -> None:
    """Of pictures without a label for the class that the trained net scores best."""
    torch.manual_seed(0)
    module, images = Foreign(), noise(16, 16, 4)
    pictures = Pictures(images, torch.full((4,), -1), (0.5,) * 3, (0.25,) * 3)
    settings = SaliencyConfig(crops="one", method="gradient_x_input", reduction="l1")
    callback = Randomisation(SanityConfig(4, 2), settings, pictures=pictures, seed=3)
    foreign_test(tmp_path, module, callback)
    convnet = convnet_of(module, pictures)
    stages = cascade(layers_in_use(convnet, IMAGE.new_zeros(1, 3, 16, 16)), 2)
    nets = [copy.deepcopy(convnet), *fresh_nets(convnet, stages, 3)]
    found = []
    for i in range(4):
        picture = replace(pictures.picture(i), label=int(convnet(pictures.picture(i).frame[None] / 255).argmax()))
        maps = [explain(net, picture, settings)[1].saliency for net in nets]
        found.append(compare_maps(picture, "", maps, None, []))
    for i, stage in enumerate(callback.results["stages"]):
        assert stage["spearman"] == pytest.approx(sum(one.spearman[i] for one in found) / 4, abs=1e-5)
        assert stage["ssim"] == pytest.approx(sum(one.ssim[i] for one in found) / 4, abs=1e-5)


def test_pictures_of_the_blacklist_have_maps_and_no_boxes(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"shape_val_{spread(4, 6)[1]:06d}")
    settings = LocalisationConfig(blacklist=str(tmp_path / "list.txt"))
    callback = Randomisation(SanityConfig(4, 1), SaliencyConfig(crops="one"), settings)
    shown_to(tmp_path / "log", callback)
    assert (callback.results["images"], callback.results["images_with_boxes"]) == (4, 3)


def test_pictures_too_small_to_compare(tmp_path: Path) -> None:
    module = Foreign()
    module.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    pictures = Pictures(noise(8, 8, 3), torch.arange(3), (0.5,) * 3, (0.25,) * 3)
    callback = Randomisation(SanityConfig(3, 1), pictures=pictures)
    foreign_test(tmp_path, module, callback)
    assert [(stage["spearman"], stage["ssim"]) for stage in callback.results["stages"]] == [(None, None)] * 2
    assert callback.results["chance"] == {"spearman": None, "ssim": None}


def test_no_pictures_no_work(tmp_path: Path) -> None:
    callback = Randomisation(SanityConfig(images=0), folder=tmp_path / "sanity")
    shown_to(tmp_path, callback)
    assert callback.results == {}
    assert not (tmp_path / "sanity").exists()


class Emptied(Randomisation):
    """With a net whose weights were all lost before."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for parameter in pl_module.parameters():
            parameter.data.zero_()
        super().on_test_epoch_end(trainer, pl_module)


def test_maps_without_an_order_have_no_figure(tmp_path: Path) -> None:
    callback = Emptied(SanityConfig(2, 2), SaliencyConfig(crops="one"))
    shown_to(tmp_path, callback)
    assert [stage["spearman"] for stage in callback.results["stages"]] == [None] * 3
    assert callback.results["stages"][0]["blank_maps"] == 2
    told = {str(column.header): [*column.cells] for column in sanity_table(callback.results).columns}
    assert told["blank maps"] == ["2", "2", "0", ""]  # the last stage has fresh weights throughout; then chance
    assert "Up to 2 of the 2 maps of a stage came out blank" in _about_sanity(callback.results)
    assert "blank" not in _about_sanity({})
    assert "centre_box" not in callback.results
    json.dumps(callback.results, allow_nan=False)


def test_layers_of_one_shape_get_weights_of_their_own() -> None:
    [net] = fresh_nets(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), [["1", "0"]])
    assert not torch.equal(net[0].weight, net[1].weight)


def test_a_net_made_from_a_small_seed_does_not_get_its_own_weights_back() -> None:
    """Nor those in another order."""
    for seed in range(3):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(4, 4))
        [net] = fresh_nets(made, [["0"]], seed)
        assert not torch.equal(net[0].weight.flatten().sort().values, made[0].weight.flatten().sort().values)


def test_a_look_at_a_weights_type_is_no_use_of_its_layer() -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.unused = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.head(images.to(self.unused.weight.dtype))
            return scores

    assert layers_in_use(Looks(), torch.ones(1, 3)) == ["head"]


def test_a_net_that_changes_its_input_changes_none_of_the_pictures() -> None:
    images = torch.ones(1, 3)
    assert layers_in_use(nn.Sequential(nn.Hardtanh(0, 0.5, inplace=True), nn.Linear(3, 2)), images) == ["1"]
    assert (images == 1).all()


def test_a_blank_map_resembles_no_other() -> None:
    picture = WholePicture(torch.zeros(3, 20, 20, dtype=torch.uint8), 0, torch.zeros(0, 4), (20, 20), "a", 0)
    ramp, blank = torch.arange(20.0).expand(20, 20), torch.zeros(20, 20)
    found = compare_maps(picture, "goose", [ramp, blank, ramp], None, [])
    assert found.blank == [False, True, False]
    assert found.spearman == pytest.approx([1, 0, 1])
    assert compare_maps(picture, "goose", [blank, ramp], None, []).spearman == pytest.approx(
        [math.nan] * 2, nan_ok=True
    )


class Foreign(LightningModule):
    """Another project's: no ConvNet, a data pipeline that normalises."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.net(images)
        return scores

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        assert not self.training, "callbacks leave the mode as Lightning has set it"
        self.log("test/top1_error", float(self(batch).argmax(1)[0] != 0))


def foreign_test(out: Path, module: LightningModule, callback: Randomisation) -> None:
    assert callback.given is not None
    settings = TrainerConfig(accelerator="cpu", enable_progress_bar=False)
    loader: DataLoader[Any] = DataLoader(callback.given.images)  # type: ignore[arg-type]  # its rows are its items
    make_trainer(settings, out, [callback], own_samplers=False).test(module, loader, verbose=False)


def test_on_a_module_of_another_project(tmp_path: Path) -> None:
    images = torch.rand(3, 3, 16, 16)
    pictures = Pictures(images, torch.tensor([0, 2, -1]), (0.5,) * 3, (0.25,) * 3)
    callback = Randomisation(localisation=LocalisationConfig(), folder=tmp_path, pictures=pictures)
    module = Foreign()
    foreign_test(tmp_path, module, callback)
    assert (callback.results["images"], callback.results["images_with_boxes"]) == (3, 0)
    assert [len(stage["layers"]) for stage in callback.results["stages"]] == [0, 1, 1]
    assert (tmp_path / "sheet.png").is_file()
    assert module.trainer is not None


def test_two_processes_share_the_pictures_and_analyse_agrees(tmp_path: Path) -> None:
    """7 pictures on two processes: each once, with the same fresh weights in both, and as `task=sanity` finds them."""
    small = [a for a in SMALL if a.split("=")[0] not in ("class_models.count", "saliency.images")]
    off = (
        "class_models.count=0",
        "class_models.every=0",
        "saliency.images=0",
        "saliency.crops=one",
        "sanity.images=7",
        "sanity.stages=2",
    )
    ddp = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1", "localisation.blur=0")
    run("train.py", *small, *off, *ddp, f"out={tmp_path}")
    together = json.loads((tmp_path / "metrics.json").read_text())["sanity"]
    run("analyse.py", "task=sanity", f"run={tmp_path}", f"out={tmp_path / 'alone'}", "trainer.accelerator=cpu")
    alone = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    assert alone["images"] == together["images"] == 7
    assert alone["centre_box"] == together["centre_box"]
    for one, other in zip(alone["stages"], together["stages"], strict=True):
        assert one["layers"] == other["layers"]
        assert one["spearman"] == pytest.approx(other["spearman"], abs=1e-5)
        assert one["ssim"] == pytest.approx(other["ssim"], abs=1e-5)
        assert one["gt_known_accuracy"] == other["gt_known_accuracy"]
    assert (tmp_path / "sanity_check" / "sheet.png").is_file()
