"""One picture through every method and every attribution of `localisation_table`: what each gets right."""

from contextlib import suppress

import numpy as np
import torch
import torch.nn.functional as functional
from scipy import ndimage
from torch import Tensor

from deepinside.attribution.context import gradients_on
from deepinside.attribution.crops import Crop, CropSaliency, crop_saliency, square_ten_crops, ten_crops
from deepinside.attribution.inner_layer import InnerGraph
from deepinside.attribution.methods import BASED
from deepinside.attribution.saliency import saliency
from deepinside.boxes import centre_box, mask_to_box, scale_boxes, to_whole_pixels, whole_box
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.localisation.evidence import evidence_boxes
from deepinside.localisation.guesses import allocate, mean_posteriors
from deepinside.localisation.locate import locate
from deepinside.localisation.looks import CELLS
from deepinside.localisation.presets import Evidence
from deepinside.localisation.segment import largest_component, object_box
from deepinside.metrics import MEASURES, score_picture
from deepinside.models.convnet import ConvNet
from tests.benchmarks.class_activation import class_activation_maps

CLASSES, WHOLE, CENTRE, THRESHOLDED, CAM, PAPER, VGG, VGG_SQUARE, BEST, REPEATED = (
    "classification, ten crops",
    "whole image",
    "centre box 72%",
    "gradient, ten crops, blurred (sigma 4), thresholded",
    "CAM, thresholded",
    "preset `paper`, full-frame crops",
    "preset `vgg`, full-frame crops",
    "preset `vgg`, crops of the central square",
    "preset `best`",
    "preset `best`, a class may come several times",
)
TABLE = (WHOLE, CENTRE, THRESHOLDED, CAM, PAPER, VGG, VGG_SQUARE, BEST, REPEATED)
GRADIENT_RULES = (*((share, "max") for share in (0.2, 0.3, 0.4, 0.5)), *((share, "mean") for share in (1.0, 1.25, 1.5)))
CAM_RULES = ((0.15, "max"), (0.2, "max"), (0.25, "max"))

GRADIENT, INNER = "gradient", "inner"
AVERAGING = {"smoothgrad": {"samples": 4}, "integrated_gradients": {"steps": 8}}
ATTRIBUTIONS = {
    GRADIENT: "gradient (paper)",
    "gradient_x_input": "gradient x input",
    "smoothgrad": "SmoothGrad, 4 samples",
    "integrated_gradients": "integrated gradients, 8 steps",
    "guided": "guided back-prop",
    "deconvnet": "DeconvNet",
    "cam": "CAM, its positive part",
    INNER: "gradient at strides 8 and 16 (`best`)",
}
CUTS = {
    "`paper`": ("paper", 0.0),
    "`paper`, blur 4": ("paper", 4.0),
    "`vgg`": ("vgg", 0.0),
    "`best`": ("best", 0.0),
}

Judged = dict[tuple[str, str], tuple[float, float]]
"""{(row, rule or cut): (class known: IoU >= 0.5, top-5 localisation error)} of one picture, 0 or 1 each."""


def methods(convnet: ConvNet, picture: WholePicture) -> Judged:
    """Every row. Only the picture's own class is explained: a guess of another one is wrong wherever its box lies."""
    image, size, side = _image(convnet, picture), _size(picture.frame), convnet.preprocessing.crop
    crops = ten_crops(*size, side)
    full = _explained(convnet, image, crops, picture.label)
    ranked = _ranked(full)
    known = ranked == picture.label
    found: Judged = {(CLASSES, ""): (float(known[0]), float(not known[:5].any()))}
    found[WHOLE, ""] = judge(whole_box(picture.size), ranked, picture)
    found[CENTRE, ""] = judge(centre_box(picture.size), ranked, picture)
    smooth = torch.from_numpy(ndimage.gaussian_filter(full.maps[0].cpu().numpy(), 4.0))
    found |= _thresholded(THRESHOLDED, smooth, GRADIENT_RULES, ranked, picture)
    with suppress(UserError):  # the command says why this net has none
        found |= _thresholded(CAM, activation_map(convnet, image, picture.label), CAM_RULES, ranked, picture)
    square = _explained(convnet, image, square_ten_crops(*size, side), picture.label)
    for row, preset, seen in ((PAPER, "paper", full), (VGG, "vgg", full), (VGG_SQUARE, "vgg", square)):
        box = object_box(picture.frame, seen.maps[0], preset, seen.coverage)[1]
        found[row, ""] = judge(in_original(box, picture), _ranked(seen), picture)
    best = locate(convnet, picture.frame, crops, picture.label, preset="best", guesses=0)
    found[BEST, ""] = judge(in_original(best.box, picture), ranked, picture)
    numbers = Evidence()
    classes, which = torch.tensor(allocate(mean_posteriors(full.scores) ** numbers.calibration, numbers.gains, 5)).T
    boxes = in_original(all_boxes(image, best.saliency), picture)
    found[REPEATED, ""] = judge(boxes[0], classes, picture, boxes[which])
    return found


def attributions(convnet: ConvNet, picture: WholePicture) -> Judged:
    """Every attribution through every cut; of the whole picture at once, averaged with the mirrored one, and `best`
    without its windows. Those that the net does not have are left out."""
    image, label = _image(convnet, picture), picture.label
    found: Judged = {}
    for name in ATTRIBUTIONS:
        try:
            map_ = attribution_map(convnet, image, label, name)
        except UserError:
            continue
        for cut, (preset, blur) in CUTS.items():
            box = object_box(picture.frame, map_, preset, **({"blur": blur} if blur else {}))[1]
            found[name, cut] = judge(in_original(box, picture), torch.tensor([label]), picture)
    return found


def judge(box: Tensor, ranked: Tensor, picture: WholePicture, boxes: Tensor | None = None) -> tuple[float, float]:
    """`score_picture`'s accuracy (class known) and top-5 error of a box (4,) in original pixels. The guesses are the
    first five classes of `ranked`, all with that box, or each with its own of `boxes` (5, 4)."""
    classes = ranked[:5]
    boxes = box.expand(len(classes), 4) if boxes is None else boxes
    rows = score_picture(picture.label, classes, boxes, box, picture.boxes, picture.size).rows
    assert rows is not None
    return float(rows[0, MEASURES.index("gt_known_accuracy")]), float(rows[0, MEASURES.index("top5_error")])


def in_original(box: Tensor, picture: WholePicture) -> Tensor:
    """From the frame to whole pixels of the original, as predictions.csv has them."""
    return to_whole_pixels(scale_boxes(box, _size(picture.frame), picture.size))


def all_boxes(image: Tensor, saliency: Tensor) -> Tensor:
    """All boxes that preset `best` has for the class of a map: (3, H, W), (H, W) -> (4, 4)."""
    pixels, maps = image.permute(1, 2, 0).double().cpu().numpy(), saliency[None].double().numpy()
    numbers = Evidence()
    return evidence_boxes(pixels, maps, np.ones(_size(image), dtype=bool), numbers, [len(numbers.gains)])[1]


def threshold_box(map_: Tensor, share: float, of: str) -> Tensor:
    """The box round the largest part of map (H, W) >= share of its max or mean; of a map without one, all of it."""
    mask = map_ >= share * (map_.max() if of == "max" else map_.mean())
    if map_.max() <= 0:
        return whole_box(_size(map_))
    return mask_to_box(torch.from_numpy(largest_component(mask.numpy())))


def activation_map(convnet: ConvNet, image: Tensor, label: int) -> Tensor:
    """The positive part of CAM, averaged with the mirrored picture's, at the picture's size (H, W)."""
    maps = class_activation_maps(convnet, torch.stack([image, image.flip(-1)]), label)[:, None]
    plain, mirrored = functional.interpolate(maps, image.shape[1:], mode="bilinear")[:, 0]
    return ((plain + mirrored.flip(-1)) / 2).clamp(min=0).cpu()


def attribution_map(convnet: ConvNet, image: Tensor, label: int, name: str) -> Tensor:
    """One of ATTRIBUTIONS, (3, H, W) -> (H, W) >= 0."""
    if name == "cam":
        return activation_map(convnet, image, label)
    both, classes = torch.stack([image, image.flip(-1)]), torch.tensor([label])
    if name == INNER:
        with gradients_on(convnet) as bare:
            layers = InnerGraph(bare, both, [convnet.preprocessing.crop / cells for cells in CELLS]).maps(classes)
        even = [layer / layer.mean((2, 3), keepdim=True) for layer in layers]
        planes = [functional.interpolate(layer, image.shape[1:], mode="bilinear")[:, 0] for layer in even]
        maps = torch.stack(planes).mean(0)
    else:
        options = AVERAGING.get(name, {}) | ({"baseline": convnet.mean} if name in BASED else {})
        maps = saliency(convnet, both, classes.repeat(2), name, strategy="loop", **options)
    return ((maps[0] + maps[1].flip(-1)) / 2).cpu()


def _thresholded(
    row: str, map_: Tensor, rules: tuple[tuple[float, str], ...], ranked: Tensor, picture: WholePicture
) -> Judged:
    return {
        (row, f"{share:g} of the {of}"): judge(in_original(threshold_box(map_, share, of), picture), ranked, picture)
        for share, of in rules
    }


def _explained(convnet: ConvNet, image: Tensor, crops: list[Crop], label: int) -> CropSaliency:
    return crop_saliency(convnet, image, crops, lambda scores: scores.new_tensor([label]).long(), strategy="loop")


def _ranked(seen: CropSaliency) -> Tensor:
    """Class indices (C,), best first."""
    return mean_posteriors(seen.scores).argsort(descending=True)


def _image(convnet: ConvNet, picture: WholePicture) -> Tensor:
    return picture.frame.to(convnet.mean.device).float() / 255


def _size(plane: Tensor) -> tuple[int, int]:
    return plane.shape[-2], plane.shape[-1]
