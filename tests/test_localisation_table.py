"""The table of boxes on real pictures: its figures are the library's, and its command runs on a tiny tree."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models as zoo

from deepinside.attribution.crops import ten_crops
from deepinside.boxes import centre_box, scale_boxes, to_whole_pixels, whole_box
from deepinside.config import DataConfig, ModelConfig
from deepinside.data.picture import Classes
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.localisation.locate import locate
from deepinside.metrics import MEASURES, ROWS, score_picture
from deepinside.models.build import build_convnet
from deepinside.models.convnet import ConvNet, Preprocessing
from tests.benchmarks import localisation_rows as rows
from tests.benchmarks.class_activation import class_activation_maps
from tests.benchmarks.localisation_table import check_any_size, chosen_rules, main
from tests.trees import WNIDS, official

KNOWN, TOP5 = MEASURES.index("gt_known_accuracy"), MEASURES.index("top5_error")
HEADS = {"squeezenet1_1": "classifier.1.weight", "resnet18": "fc.weight", "alexnet": "classifier.6.weight"}


def convnet(name: str) -> ConvNet:
    torch.manual_seed(0)
    net = zoo.get_model(name, weights=None, num_classes=3).eval()
    preprocessing = Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64)
    return ConvNet(name, net, preprocessing, Classes(WNIDS, WNIDS), (HEADS[name],)).eval()


def picture(truth: torch.Tensor, label: int = 2) -> WholePicture:
    return WholePicture(torch.zeros(3, 50, 100, dtype=torch.uint8), label, truth, (100, 200), "goose", 0)


@pytest.mark.parametrize("label_at", [0, 3, 4, 7])
@pytest.mark.parametrize("edge", [100.0, 195.0])
def test_a_box_is_judged_as_the_library_judges_it(label_at: int, edge: float) -> None:
    """The known box for every class gives the figures of five guesses with boxes of their own."""
    truth, box = torch.tensor([[10.0, 10.0, edge, 90.0]]), torch.tensor([10.0, 10.0, 100.0, 90.0])
    ranked = torch.tensor([n for n in range(10) if n != 2])
    ranked = torch.cat([ranked[:label_at], torch.tensor([2]), ranked[label_at:]])
    others = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)).sort().values[:, [0, 1, 2, 3]] * 90
    boxes = torch.where((ranked[:5] == 2)[:, None], box, others)
    theirs = score_picture(2, ranked[:5], boxes, box, truth, (100, 200)).rows
    assert theirs is not None
    assert rows.judge(box, ranked, picture(truth)) == (theirs[0, KNOWN], theirs[0, TOP5])
    assert rows.judge(box, ranked, picture(truth)) == (edge == 100, float(edge != 100 or label_at > 4))
    for row, trivial in zip(ROWS[1:], (centre_box((100, 200)), whole_box((100, 200))), strict=True):
        expected = theirs[ROWS.index(row), [KNOWN, TOP5]].tolist()
        assert list(rows.judge(trivial, ranked, picture(truth))) == expected


def test_guesses_with_boxes_of_their_own_are_judged_so() -> None:
    truth = torch.tensor([[10.0, 10.0, 60.0, 60.0]])
    wrong, right = torch.tensor([100.0, 10.0, 200.0, 90.0]), truth[0]
    ranked, shown = torch.tensor([2, 0, 2, 1, 2]), picture(truth)
    assert rows.judge(wrong, ranked, shown) == (0.0, 1.0)
    assert rows.judge(wrong, ranked, shown, torch.stack([wrong, wrong, wrong, wrong, right])) == (0.0, 0.0)
    assert rows.judge(right, ranked, shown, torch.stack([wrong, right, wrong, right, wrong])) == (1.0, 1.0)


def test_the_row_of_repeated_classes_is_that_of_the_located_guesses() -> None:
    """With the box of one guess for the true one: of the last class's only guess, of the best class's second one."""
    net = convnet("squeezenet1_1")
    tiles = (255 * torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(1))).byte()
    frame = tiles.repeat_interleave(16, 1).repeat_interleave(16, 2)
    located = locate(net, frame, ten_crops(96, 128, 64), preset="best", repeat_classes=True)
    assert located.classes.tolist() == [0, 2, 1, 0, 2]
    boxes = to_whole_pixels(scale_boxes(located.boxes, (96, 128), (192, 256)))
    for rank, label, error in ((2, 1, 0), (2, 0, 0), (3, 0, 0), (3, 2, 1), (3, 1, 1)):
        shown = WholePicture(frame, label, boxes[[rank]], (192, 256), "goose", 0)
        theirs = score_picture(label, located.classes, boxes, None, shown.boxes, shown.size).rows
        assert theirs is not None
        judged = rows.methods(net, shown)
        assert judged[rows.REPEATED, ""][1] == theirs[0, TOP5] == error
        assert judged[rows.REPEATED, ""][0] == judged[rows.BEST, ""][0] == (rank == 2)
        assert judged[rows.BEST, ""][1] == (rank == 3)


def test_a_thresholded_box_is_that_of_the_largest_part() -> None:
    map_ = torch.zeros(20, 30)
    map_[2:6, 3:9], map_[10:12, 20:22] = 0.6, 1.0
    assert rows.threshold_box(map_, 0.5, "max").tolist() == [3, 2, 9, 6]
    assert rows.threshold_box(map_, 0.7, "max").tolist() == [20, 10, 22, 12]
    assert rows.threshold_box(map_, 1.0, "mean").tolist() == [3, 2, 9, 6]
    assert rows.threshold_box(torch.zeros(20, 30), 0.5, "max").tolist() == [0, 0, 30, 20]


def test_the_rule_that_gets_most_pictures_right_is_taken() -> None:
    judged = [
        ("a", {("CAM", "low"): (1.0, 0.0), ("CAM", "high"): (0.0, 1.0), ("whole", ""): (0.0, 1.0)}),
        ("a", {("CAM", "low"): (0.0, 1.0), ("CAM", "high"): (1.0, 0.0), ("whole", ""): (1.0, 1.0)}),
        ("b", {("CAM", "low"): (0.0, 1.0), ("CAM", "high"): (1.0, 1.0), ("whole", ""): (0.0, 1.0)}),
    ]
    found = chosen_rules(judged)
    assert found["CAM"][0] == "high"
    assert np.array_equal(found["CAM"][1], [[0, 1], [1, 0], [1, 1]])
    assert np.array_equal(found["whole"][1], [[0, 1], [1, 1], [0, 1]])


def test_class_activation_maps_average_to_the_scores() -> None:
    pictures = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    squeeze, res = convnet("squeezenet1_1"), convnet("resnet18")
    with torch.no_grad():
        ours = class_activation_maps(squeeze, pictures, 1)
        torch.testing.assert_close(ours.relu().mean((1, 2)), squeeze(pictures)[:, 1])
        assert (ours < 0).any()
        ours = class_activation_maps(res, pictures, 1)
        bias = res.get_parameter("net.fc.bias")[1]
        torch.testing.assert_close(ours.mean((1, 2)) + bias, res(pictures)[:, 1])
    with pytest.raises(UserError, match="head is not fed with averaged"):
        class_activation_maps(convnet("alexnet"), torch.rand(1, 3, 96, 128), 1)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    net = convnet("squeezenet1_1")
    state = {f"convnet.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "deepinside": net.description()}, tmp_path / "net.ckpt")
    roots = [str(official(tmp_path / name)) for name in ("first", "second")]
    return [f"data.root={','.join(roots)}", "model.name=squeezenet1_1", f"model.weights={tmp_path}/net.ckpt"]


def table(text: str) -> dict[str, list[str]]:
    """The cells of each row of a markdown table."""
    lines = [line.strip()[1:-1].split("|") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_command_prints_every_method(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    out = capsys.readouterr().out
    found = table(out)
    assert set(rows.TABLE) == {row.split(":")[0] for row in found} - {"", "---"}
    assert all(len(cells) == 8 for cells in found.values())
    # Of the three pictures two have a box that is larger than half of them; of three classes none is beyond the fifth.
    assert [cell.split(" ")[0] for cell in found[rows.WHOLE][:6]] == ["66.7", "33.3"] * 3
    assert "best of 7" in out
    assert found[rows.CENTRE][6] == ""


def test_the_command_compares_attributions(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*arguments, "attributions=2"])
    out = capsys.readouterr().out
    assert "2 pictures" in out
    assert set(rows.ATTRIBUTIONS.values()) == set(table(out)) - {"attribution", "---"}
    with pytest.raises(UserError, match="needed: data"):
        main(arguments[:2])
    with pytest.raises(UserError, match="did you mean 'attributions'"):
        main([*arguments, "attribution=3"])
    with pytest.raises(UserError, match="pictures of 64x64 only"):
        check_any_size(build_convnet(ModelConfig("shapes_convnet", num_classes=10), DataConfig()))
