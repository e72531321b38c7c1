"""ConvNets by name: the paper's layer by layer, torchvision's with files of weights, heads, normalisation, mistakes."""

import re
import urllib.request
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision import models as zoo

from deepinside.config import DataConfig, ModelConfig
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.picture import Classes, find_classes, labels_in
from deepinside.data.transforms import centre_crop, resize_whole
from deepinside.errors import UserError
from deepinside.models.build import _load, _own_keys, build_convnet
from deepinside.models.convnet import ConvNet
from deepinside.models.simonyan2013 import simonyan2013
from deepinside.models.weights import load_weights

TEN = Classes(tuple(f"n{i:08d}" for i in range(10)), tuple(f"thing {i}, object {i}" for i in range(10)))


def build(name: str, weights: str = "none", classes: Classes | None = None, **options: Any) -> ConvNet:
    said: list[str] = []
    convnet = build_convnet(ModelConfig(name, weights, **options), DataConfig(), classes, said.append)
    convnet.said = said  # type: ignore[assignment]
    return convnet


@pytest.fixture(scope="module")
def squeezenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(zoo.squeezenet1_1(num_classes=1000).state_dict(), path)
    return path


def test_data_with_some_of_the_weights_classes_need_no_new_head(tmp_path: Path) -> None:
    """Where the number of outputs is said to stay."""
    first = build("shapes_convnet", classes=TEN)
    state = {f"convnet.{key}": value for key, value in first.state_dict().items()}
    torch.save({"state_dict": state, "deepinside": first.description()}, tmp_path / "last.ckpt")
    few = Classes(TEN.ids[3:7], TEN.names[3:7])
    found = build("shapes_convnet", str(tmp_path / "last.ckpt"), few, num_classes=10)
    assert found.classes == TEN
    assert all(torch.equal(value, found.state_dict()[key]) for key, value in first.state_dict().items())


def test_simonyan2013_layer_by_layer() -> None:
    net, shapes = simonyan2013().eval(), {}
    for name, layer in net.named_children():
        layer.register_forward_hook(lambda _m, _i, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:])))
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))
    assert {k: v for k, v in shapes.items() if not k.startswith(("relu", "drop"))} == {
        "conv1": (64, 54, 54),
        "norm1": (64, 54, 54),
        "pool1": (64, 27, 27),
        "conv2": (256, 27, 27),
        "norm2": (256, 27, 27),
        "pool2": (256, 13, 13),
        "conv3": (256, 13, 13),
        "conv4": (256, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "flatten": (9216,),
        "full6": (4096,),
        "full7": (4096,),
        "full8": (1000,),
    }
    kernels = {k: (m.kernel_size, m.stride, m.padding) for k, m in net.named_children() if isinstance(m, nn.Conv2d)}
    assert kernels["conv1"] == ((11, 11), (4, 4), (0, 0))
    assert kernels["conv2"] == ((5, 5), (1, 1), (2, 2))
    assert kernels["conv3"] == kernels["conv4"] == kernels["conv5"] == ((3, 3), (1, 1), (1, 1))


def test_simonyan2013_has_60_834_536_parameters() -> None:
    """11*11*3*64+64 + 5*5*64*256+256 + 3*(3*3*256*256+256) + 9216*4096+4096 + 4096*4096+4096 + 4096*1000+1000"""
    with torch.device("meta"):
        net = simonyan2013()
    assert sum(p.numel() for p in net.parameters()) == 60_834_536


def test_the_picture_is_normalised_inside() -> None:
    convnet = build("shapes_convnet", classes=TEN, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.125])
    image = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 0.25, 0.125]).view(3, 1, 1)
    assert torch.equal(convnet(image), convnet.net((image - mean) / std))
    assert "mean" in convnet.state_dict()


def test_weights_from_a_file_keep_head_classes_and_normalisation(squeezenet_file: Path) -> None:
    convnet = build("squeezenet1_1", str(squeezenet_file))
    state = torch.load(squeezenet_file, weights_only=True)
    assert all(torch.equal(state[k], v) for k, v in convnet.net.state_dict().items())
    assert convnet.preprocessing.mean == (0.485, 0.456, 0.406)
    assert (convnet.preprocessing.resize, convnet.preprocessing.crop) == (256, 224)
    assert (len(convnet.classes), convnet.classes.ids[0], convnet.classes.names[99]) == (1000, "n01440764", "goose")


def test_another_number_of_classes_replaces_the_head_and_says_so(squeezenet_file: Path) -> None:
    convnet = build("squeezenet1_1", str(squeezenet_file), TEN)
    state = torch.load(squeezenet_file, weights_only=True)
    assert convnet.head == ("classifier.1.weight", "classifier.1.bias")
    assert convnet(torch.rand(1, 3, 224, 224)).shape == (1, 10)
    assert torch.equal(convnet.net.features[0].weight, state["features.0.weight"])
    assert convnet.classes == TEN
    assert any("has 1000 classes, the new head" in line for line in convnet.said)  # type: ignore[union-attr]
    assert [tuple(p.shape) for p in convnet.head_parameters()] == [(10, 512, 1, 1), (10,)]


def test_classes_that_the_weights_know_keep_their_rows(squeezenet_file: Path) -> None:
    classes = Classes(("n01440764", "n99999999", "n15075141"), ("tench", "unheard of", "toilet tissue"))
    convnet = build("squeezenet1_1", str(squeezenet_file), classes)
    old, new = torch.load(squeezenet_file, weights_only=True), convnet.net.state_dict()
    for key in convnet.head:
        assert torch.equal(new[key][[0, 2]], old[key][[0, 999]])
    assert not any(torch.equal(new[convnet.head[0]][1], row) for row in old[convnet.head[0]])
    assert any("own rows for 2 of them, at random for the rest" in line for line in convnet.said)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("alexnet", "classifier.6.weight"),
        ("resnet18", "fc.weight"),
        ("mobilenet_v3_small", "classifier.3.weight"),
        ("vit_b_16", "heads.head.weight"),
        ("googlenet", "fc.weight"),
    ],
)
def test_heads_are_found_in_any_architecture(name: str, head: str) -> None:
    assert _own_keys(name)[1][0] == head


def test_googlenet_takes_torchvisions_weights_as_torchvision_does(tmp_path: Path) -> None:
    """torchvision builds it with auxiliary heads and transform_input; ours has neither and gives the same scores."""
    torch.manual_seed(0)
    theirs = zoo.googlenet(aux_logits=True, transform_input=True, init_weights=True).eval()
    torch.save(theirs.state_dict(), tmp_path / "googlenet.pth")
    ours = build("googlenet", str(tmp_path / "googlenet.pth")).eval()
    image = torch.rand(2, 3, 224, 224)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs((image - mean) / std), rtol=1e-4, atol=1e-4)


def test_own_checkpoints_carry_everything(tmp_path: Path) -> None:
    convnet = build("shapes_convnet", classes=TEN, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.125])
    state = {f"convnet.{k}": v for k, v in convnet.state_dict().items()}
    torch.save({"state_dict": state, "deepinside": convnet.description()}, tmp_path / "last.ckpt")
    again = build("shapes_convnet", str(tmp_path / "last.ckpt"))
    assert (again.preprocessing, again.classes) == (convnet.preprocessing, convnet.classes)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(image), convnet(image))
    with pytest.raises(UserError, match=r"model\.name=shapes_convnet"):
        build("squeezenet1_1", str(tmp_path / "last.ckpt"))


def test_named_weights_go_through_torchvisions_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def offline(request: Any, *_: Any, **__: Any) -> None:
        asked.append(request.full_url)
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(UserError, match=r"squeezenet1_1's weights could not be downloaded.*no route to host"):
        build("squeezenet1_1", "DEFAULT")
    assert "squeezenet1_1" in asked[0]


@pytest.mark.parametrize(
    ("name", "weights", "options", "words"),
    [
        ("resnet81", "none", {}, "did you mean 'resnet18'"),
        ("squeezenet1_1", "DEFUALT", {}, "did you mean 'DEFAULT'"),
        ("simonyan2013", "DEFAULT", {}, "neither a file nor one of none"),
        ("squeezenet1_1", "none", {"num_classes": None}, "num_classes is needed"),
        ("fcn_resnet50", "none", {}, "unknown"),
    ],
)
def test_mistakes_in_names_are_one_line(name: str, weights: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        build(name, weights, **options)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_weights(tmp_path: Path, squeezenet_file: Path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    torch.save({1: torch.zeros(2)}, tmp_path / "unnamed.pth")
    torch.save({"fc.weight": torch.tensor(1.0)}, tmp_path / "flat.pth")
    torch.save(zoo.squeezenet1_1(), tmp_path / "whole.pth")
    torch.save(simonyan2013_state(), tmp_path / "own.pth")
    diverged = torch.load(squeezenet_file, weights_only=True)
    diverged["features.3.squeeze.bias"][2] = float("nan")
    torch.save(diverged, tmp_path / "diverged.pth")
    for name, path, words in (
        ("squeezenet1_1", tmp_path / "diverged.pth", "'features.3.squeeze.bias' has values that are not finite"),
        ("squeezenet1_1", tmp_path / "text.pth", r"not a file of tensors .* reads$"),
        ("squeezenet1_1", tmp_path / "whole.pth", r"not a file of tensors .* reads; save model\.state_dict\(\)$"),
        ("squeezenet1_1", tmp_path / "numbers.pth", "holds no state_dict"),
        ("squeezenet1_1", tmp_path / "unnamed.pth", "holds no state_dict"),
        ("resnet18", tmp_path / "flat.pth", "has another shape of 'fc.weight'"),
        ("resnet18", squeezenet_file, "does not fit resnet18: it has no 'fc.weight'"),
        ("simonyan2013", tmp_path / "own.pth", "give model.mean and model.std"),
    ):
        with pytest.raises(UserError, match=words):
            build(name, str(path))


def simonyan2013_state() -> dict[str, torch.Tensor]:
    return {k: torch.zeros(1).expand(v.shape) for k, v in simonyan2013_on_meta().items()}


def simonyan2013_on_meta() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return simonyan2013().state_dict()


def test_crops_that_are_too_small_are_told() -> None:
    with pytest.raises(UserError, match=r"simonyan2013 cannot take crops of 32x32 pixels \(data.crop\)"):
        build_convnet(ModelConfig("simonyan2013"), DataConfig(crop=32), TEN)
    with pytest.raises(UserError, match=r"data.crop=64 must be at most data.resize=32"):
        build_convnet(ModelConfig("shapes_convnet"), DataConfig(crop=64, resize=32), TEN)


def test_classes_by_name_identifier_index() -> None:
    assert find_classes("object 3, n00000001,7, THING 3", TEN) == [3, 1, 7]
    assert find_classes("all", TEN) == list(range(10))
    folders = Classes(("cat", "cat, black", "cat, white"), ("cat", "cat, black", "cat, white"))
    assert [folders.short_name(i) for i in range(3)] == ["cat", "cat, black", "cat, white"]
    asked = {"cat, white": [2], "Cat, White": [2], "1,2": [1, 2], "cat": [0], "black": [1], "cat,white": [0, 2]}
    assert {wanted: find_classes(wanted, folders) for wanted in asked} == asked
    assert find_classes("1,2", Classes(("2", "1", "x"), ("2", "1", "x"))) == [1, 0]  # names before indices
    with pytest.raises(UserError, match="no class 'objekt 3'; there are thing 0, thing 1"):
        find_classes("objekt 3", TEN)
    many = Classes(tuple(f"n{i:08d}" for i in range(30)), tuple(f"thing {i}, object {i}" for i in range(30)))
    with pytest.raises(UserError, match="no class 'objekt 3'; did you mean 'object 3'"):
        find_classes("objekt 3", many)
    for number in ("30", "-1"):
        with pytest.raises(UserError, match=f"no class '{number}'; indices are 0 to 29"):
            find_classes(number, many)


def test_a_name_of_several_classes_is_not_one_of_them() -> None:
    classes = Classes(("n1", "n2", "n3"), ("crane", "heron", "crane, derrick"))
    with pytest.raises(UserError, match=r"'crane' is the name of 0 \(n1\) and 2 \(n3\): give one of them"):
        find_classes("heron,crane", classes)
    assert find_classes("n1,derrick", classes) == [0, 2]


def test_real_weights_know_real_pictures(shared: Path) -> None:
    """Weights, normalisation, sizes and class order fit: 17 of the 28 untouched originals are right (60.7%)."""
    convnet = build("squeezenet1_1", str(shared / "weights" / "squeezenet1_1.pth")).eval()
    pictures = ILSVRC(shared / "ilsvrc_mini", "val")
    originals = [p for i in range(len(pictures)) if min((p := pictures.read(i)).image.shape[1:]) != 256]
    crops = torch.stack([centre_crop(resize_whole(picture.image, 256), 224) for picture in originals])
    with torch.no_grad():
        best = convnet(crops.float() / 255).argmax(1).tolist()
    assert [b == p.label for b, p in zip(best, originals, strict=True)].count(True) == 17
    assert len(originals) == 28


def test_other_classes_of_the_same_number_get_a_new_head(tmp_path: Path) -> None:
    first = build("shapes_convnet", classes=TEN)
    state = {f"convnet.{k}": v for k, v in first.state_dict().items()}
    torch.save({"state_dict": state, "deepinside": first.description()}, tmp_path / "last.ckpt")
    others = Classes(tuple("abcdefghij"), tuple("abcdefghij"))
    second = build("shapes_convnet", str(tmp_path / "last.ckpt"), others)
    assert second.classes == others
    assert torch.equal(second.net.conv1.weight, first.net.conv1.weight)
    assert not torch.equal(second.net.full7.weight, first.net.full7.weight)


def test_a_bare_file_of_the_datas_number_of_classes_keeps_its_head(tmp_path: Path) -> None:
    """It does not say what its classes are, so they are taken to be the data's."""
    state = build("shapes_convnet", classes=TEN).net.state_dict()
    torch.save(state, tmp_path / "bare.pth")
    again = build("shapes_convnet", str(tmp_path / "bare.pth"), TEN, mean=[0.5] * 3, std=[0.25] * 3)
    assert again.classes == TEN
    assert torch.equal(again.net.full7.weight, state["full7.weight"])
    assert any(
        "does not name its classes: they are taken to be the data's, in order: n00000000, " in line
        for line in again.said
    )  # type: ignore[union-attr]
    alone = build("shapes_convnet", str(tmp_path / "bare.pth"), mean=[0.5] * 3, std=[0.25] * 3)
    with pytest.raises(UserError, match=r"model\.classes=FILE names the weights' classes, which they do not"):
        labels_in(alone.classes, TEN, "folder")
    with pytest.raises(UserError, match=r"fine-tunes a head of the data's, or images=DIR, without labels$"):
        labels_in(alone.classes, TEN, "folder")


@pytest.mark.parametrize("name", ["regnet_y_400mf", "mnasnet0_5"])
def test_nets_that_compute_their_widths_or_ask_for_their_version(name: str, tmp_path: Path) -> None:
    torch.save(zoo.get_model(name, num_classes=3).state_dict(), tmp_path / "net.pth")
    assert len(build(name, str(tmp_path / "net.pth")).classes) == 3


def test_published_files_of_older_names(tmp_path: Path) -> None:
    """densenet121-a639ec97.pth has norm.1 for what is norm1 now, vit_b_16-c867db91.pth mlp.linear_1 for mlp.0."""
    state = zoo.densenet121(num_classes=3).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")  # without versions of its modules
    now = build("densenet121", str(tmp_path / "old.pth")).net.state_dict()
    assert all(torch.equal(now[key], value) for key, value in state.items())

    vit = zoo.VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3)
    state = vit.state_dict()
    older = OrderedDict(
        (k.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"), v) for k, v in state.items()
    )
    older._metadata = {key: {"version": 1} for key in state._metadata}  # type: ignore[attr-defined]
    assert older.keys() != state.keys()
    for given in (older, dict(older)):
        again = zoo.VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3)
        _load(again, given, (), ModelConfig("vit_b_16"))
        assert all(torch.equal(again.state_dict()[key], value) for key, value in state.items())


def test_vision_transformers_are_built_for_their_crops(tmp_path: Path) -> None:
    """As torchvision does for weights of another size: SWAG's of vit_b_16 are of 384 pixels, of vit_h_14 of 518."""
    state = zoo.vit_b_32(num_classes=3, image_size=64).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    model = ModelConfig("vit_b_32", str(tmp_path / "vit.pth"))
    convnet = build_convnet(model, DataConfig(crop=64), report=lambda _: None)
    assert torch.equal(convnet.net.encoder.pos_embedding, state["encoder.pos_embedding"])  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"pos_embedding' \(1 such\); data\.crop must be the side of its pictures"):
        build_convnet(model, DataConfig(), report=lambda _: None)
    with pytest.raises(UserError, match=r"vit_b_32 cannot take crops of 65x65 pixels \(data\.crop\): Input shape"):
        build_convnet(model, DataConfig(crop=65), report=lambda _: None)


@pytest.mark.parametrize("prefix", ["module.", "model.", "model._orig_mod."])
def test_a_module_round_the_net_is_taken_off(prefix: str, tmp_path: Path) -> None:
    """As DataParallel, Lightning modules and torch.compile leave checkpoints, with the versions of its modules."""
    whole = net = zoo.mnasnet0_5(num_classes=3)
    for name in reversed(prefix.split(".")[:-1]):
        inner, whole = whole, nn.Module()
        whole.add_module(name, inner)
    whole.register_buffer("criterion", torch.ones(3))
    assert f"{prefix}classifier.1.weight" in whole.state_dict()
    torch.save({"state_dict": whole.state_dict(), "epoch": 3}, tmp_path / "theirs.ckpt")
    convnet = build("mnasnet0_5", str(tmp_path / "theirs.ckpt"))
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in convnet.net.state_dict().items())


def test_other_heads_round_the_net_are_not_nets(tmp_path: Path) -> None:
    whole = nn.Module()
    whole.add_module("encoder", net := zoo.resnet18(num_classes=3))
    whole.add_module("fc", nn.Linear(8, 4))
    whole.add_module("projector", nn.ModuleDict({"fc": nn.Linear(8, 4)}))
    torch.save(whole.state_dict(), tmp_path / "theirs.pth")
    convnet = build("resnet18", str(tmp_path / "theirs.pth"))
    assert torch.equal(convnet.net.fc.weight, net.fc.weight)  # type: ignore[union-attr]


def test_a_file_of_two_nets_is_refused(tmp_path: Path) -> None:
    state = zoo.resnet18(num_classes=3).state_dict()
    both = {f"{one}.{key}": value for one in ("student", "teacher") for key, value in state.items()}
    torch.save(both, tmp_path / "two.pth")
    with pytest.raises(UserError, match=r"holds 2 nets, student\., teacher\.: give a file of one"):
        build("resnet18", str(tmp_path / "two.pth"))


def test_a_file_names_the_classes_of_weights_that_do_not(tmp_path: Path) -> None:
    torch.save(build("shapes_convnet", classes=TEN).net.state_dict(), bare := tmp_path / "bare.pth")
    model = ModelConfig(
        "shapes_convnet", str(bare), mean=[0.5] * 3, std=[0.25] * 3, classes=str(tmp_path / "names.txt")
    )
    lines = ["golden retriever", "n02056570 king penguin, Aptenodytes patagonica", *"abcdefgh"]
    (tmp_path / "names.txt").write_text("\n".join(lines) + "\n\n")
    classes = build_convnet(model, DataConfig()).classes
    assert classes.ids == ("golden retriever", "n02056570", *"abcdefgh")
    assert classes.names[:2] == ("golden retriever", "king penguin, Aptenodytes patagonica")
    assert labels_in(classes, Classes(("b", "n02056570"), ("b", "penguin")), "folder") == [3, 1]
    for text, words in (
        ("a\nb", "names 2 classes, .*bare.pth has 10"),
        ("a\nb\na", "line 3: a second line for a"),
        ("\n", "is empty"),
    ):
        (tmp_path / "names.txt").write_text(text)
        with pytest.raises(UserError, match=words):
            build_convnet(model, DataConfig())
    (tmp_path / "names.txt").unlink()
    with pytest.raises(UserError, match=r"model\.classes=.*names\.txt: no such file"):
        build_convnet(model, DataConfig())
    with pytest.raises(UserError, match=r"model\.classes=names.txt must be null without model\.weights"):
        build_convnet(ModelConfig("squeezenet1_1", classes="names.txt"), DataConfig(), TEN)


@pytest.mark.parametrize("text", ["train: 1", "a,b", "", "(dp0\n", "\x80\x02}q\x00."])
def test_texts_are_no_weights(text: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"w\.pth"):
        load_weights("alexnet", str(tmp_path / "w.pth"))
