"""A known rectangle goes through the whole path, from the file to the box in original pixels, and comes back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from callbacks import outcomes
from callbacks.outcomes import known_box, look_at, measure
from deepinside.attribution.crops import ten_crops
from deepinside.boxes import scale_boxes, to_whole_pixels
from deepinside.config import LocalisationConfig
from deepinside.data.decode import decode
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.picture import Classes
from deepinside.data.transforms import resize_whole
from deepinside.data.views import WholePicture
from deepinside.localisation.locate import Located, find_boxes, locate
from deepinside.models.convnet import ConvNet, Preprocessing

from . import trees

GROUND, OBJECT = (40, 60, 160), (220, 60, 40)


class Redness(nn.Module):
    """S_c = sum over pixels of relu(red - 1/2)^2 / 2: dS_c/dI is red - 1/2 on the red rectangle and 0 off it, so that
    the map is the rectangle wherever a crop sees it. Class 1 is class 0 halved."""

    def forward(self, images: Tensor) -> Tensor:
        score = 0.5 * (images[:, 0] - 0.5).relu().square().sum(dim=(1, 2))
        return torch.stack([score, score / 2], dim=1)


def tree(root: Path, size: tuple[int, int], box: tuple[int, int, int, int], **options: object) -> ILSVRC:
    """One validation picture (height, width) with one rectangle, the box in half-open edges, in ILSVRC's layout."""
    height, width = size
    picture = Image.new("RGB", (width, height), GROUND)
    picture.paste(OBJECT, box)
    base = trees.official(root) / "ILSVRC"
    name = next(iter(trees.VAL))
    picture.save(base / f"Data/CLS-LOC/val/{name}.JPEG", format="PNG" if not options else "JPEG", **options)
    inclusive = (box[0], box[1], box[2] - 1, box[3] - 1)
    trees.write_xml(base / f"Annotations/CLS-LOC/val/{name}.xml", [(trees.CHIHUAHUA, inclusive)], size)
    return ILSVRC(root, "val", limit=1)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((256, 420), (150, 31, 263, 170)),  # not resized: exact
        ((512, 768), (96, 200, 400, 420)),  # halved, edges between resized pixels
        ((1000, 512), (120, 620, 330, 860)),  # upright, low: only the lower crops see it
        ((512, 1400), (1000, 64, 1330, 300)),  # very long: no crop sees all of it
        ((640, 640), (100, 205, 345, 500)),  # a resized pixel has 2.5 of the original's
    ],
)
def test_a_rectangle_comes_back(tmp_path: Path, size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """Each edge within one pixel of the resized picture: where resizing mixes the edge's two colours, that pixel may go
    to either side of the cut, the same way all round, so that the middle is where it was."""
    picture = tree(tmp_path, size, box).read(0)
    assert picture.boxes.tolist() == [list(box)]
    frame = resize_whole(picture.image, 256)
    resized = (frame.shape[-2], frame.shape[-1])
    assert min(resized) == 256
    for preset in ("paper", "vgg"):
        found = locate(Redness(), frame, ten_crops(*resized, 224), 0, preset=preset)
        off = to_whole_pixels(scale_boxes(found.boxes[0], resized, size)) - picture.boxes[0]
        assert off.abs().max() <= (min(size) / 256 + 0.5 if min(size) > 256 else 0), (preset, off.tolist())
        assert ((off[:2] + off[2:]) / 2).abs().max() <= 1, (preset, off.tolist())
        if preset == "paper":
            assert off.abs().max() <= 1


def test_what_is_scored_and_written_is_in_whole_pixels_of_the_original_picture() -> None:
    """The frame is about half as large. The net takes it for class 0, the picture is of class 1."""
    preprocessing, classes = Preprocessing((0.0,) * 3, (1.0,) * 3, 256, 224), Classes(("n0", "n1"), ("zero", "one"))
    convnet, settings = ConvNet("red", Redness(), preprocessing, classes, ()).eval(), LocalisationConfig()
    frame = torch.tensor(GROUND, dtype=torch.uint8).view(3, 1, 1).repeat(1, 256, 420)
    frame[:, 31:170, 150:263] = torch.tensor(OBJECT, dtype=torch.uint8).view(3, 1, 1)
    truth = torch.tensor([[292.0, 60.0, 514.0, 333.0]])
    picture = WholePicture(frame, 1, truth, (500, 820), "a", 0)
    found = measure(classes, picture, look_at(convnet, picture, settings), settings)
    assert found.guesses.ids == ("n0", "n1")
    assert found.guesses.boxes.tolist() == [[293.0, 61.0, 513.0, 332.0]] * 2  # 292.9, 60.5, 513.5, 332.0
    assert [found.rows[1][edge] for edge in ("xmin", "ymin", "xmax", "ymax")] == [293, 61, 512, 331]
    assert (found.first_guess, found.class_known) == ("wrong_class", "right")
    assert found.record is not None
    assert found.record.known_box == known_box(convnet, picture, settings).tolist() == [293.0, 61.0, 513.0, 332.0]
    assert found.hits is not None
    assert found.hits[0, :, 50].all()  # the map, in the frame, against the boxes, in the picture
    unboxed = replace(picture, boxes=torch.zeros(0, 4))
    bare = measure(classes, unboxed, look_at(convnet, unboxed, settings), settings)
    assert bare.record is not None
    assert [(guess.iou, guess.right) for guess in bare.record.guesses] == [(None, None)] * 2


def test_the_error_of_the_known_class_is_that_of_its_own_box(monkeypatch: pytest.MonkeyPatch) -> None:
    def astray(*arguments: Any) -> Located:
        return replace(find_boxes(*arguments), boxes=torch.tensor([[0.0, 0, 9, 9]] * 2))

    preprocessing, classes = Preprocessing((0.0,) * 3, (1.0,) * 3, 256, 224), Classes(("n0", "n1"), ("zero", "one"))
    convnet, settings = ConvNet("red", Redness(), preprocessing, classes, ()).eval(), LocalisationConfig()
    frame = torch.tensor(GROUND, dtype=torch.uint8).view(3, 1, 1).repeat(1, 256, 300)
    frame[:, 31:170, 150:263] = torch.tensor(OBJECT, dtype=torch.uint8).view(3, 1, 1)
    picture = WholePicture(frame, 0, torch.tensor([[150.0, 31, 263, 170]]), (256, 300), "a", 0)
    monkeypatch.setattr(outcomes, "find_boxes", astray)
    found = measure(classes, picture, look_at(convnet, picture, settings), settings)
    assert (found.first_guess, found.class_known) == ("wrong_instance", "right")


def test_the_map_lies_where_the_rectangle_lies(tmp_path: Path) -> None:
    """Corners, centre and mirrored crops put their windows back pixel for pixel, into a wide picture."""
    picture = tree(tmp_path, (256, 420), (150, 30, 260, 170)).read(0)
    found = locate(Redness(), picture.image, ten_crops(256, 420, 224), 0)
    inside = torch.zeros(256, 420)
    inside[30:170, 150:260] = OBJECT[0] / 255 - 0.5
    seen = torch.zeros(256, 420, dtype=torch.bool)
    for crop in ten_crops(256, 420, 224):
        seen[crop.top : crop.top + 224, crop.left : crop.left + 224] = True
    torch.testing.assert_close(found.saliency, inside * seen)
    assert seen.all()


def test_exif_rotation_is_not_applied(tmp_path: Path) -> None:
    """ILSVRC's boxes are in the stored pixels: an orientation tag turns neither picture nor boxes."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    data = tree(tmp_path, (300, 480), (200, 40, 400, 160), exif=exif, quality=95)
    picture = data.read(0)
    file = next((tmp_path / "ILSVRC/Data/CLS-LOC/val").glob("*01.JPEG"))
    with Image.open(file) as opened:
        assert opened.getexif()[0x0112] == 6
    assert picture.image.shape == decode(file).shape == (3, 300, 480)
    assert picture.boxes.tolist() == [[200, 40, 400, 160]]
    red = picture.image[0].int() - picture.image[2].int() > 60
    rows, columns = red.any(dim=1).nonzero(), red.any(dim=0).nonzero()
    found = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).flatten()
    assert (found - picture.boxes[0]).abs().max() <= 1
