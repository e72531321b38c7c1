"""One picture through the whole of section 3.2: ten crops, saliency of the best classes, a cut and a box for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepinside.attribution.crops import Crop, crop_saliency
from deepinside.localisation.segment import object_box


@dataclass(frozen=True)
class Located:
    """Guesses, best first, all in pixels of the frame.

    classes (K,), posteriors (K,) averaged over the crops, boxes (K, 4). Then the answer for the picture's own class:
    its saliency (H, W), mask (H, W) and box (4,); for the best guess where the own class is unknown.
    """

    classes: Tensor
    posteriors: Tensor
    boxes: Tensor
    saliency: Tensor
    mask: Tensor
    box: Tensor


def locate(
    model: nn.Module,
    frame: Tensor,
    crops: Sequence[Crop],
    label: int = -1,
    *,
    preset: str = "paper",
    blur: float = 0.0,
    guesses: int = 5,
) -> Located:
    """The `guesses` best classes of a picture, each with its box (paper, section 3.2).

    model: pictures in [0, 1] -> class scores. frame: uint8 (3, H, W). The classes are ranked by the soft-max averaged
    over the crops (Krizhevsky et al. 2012). label: the picture's own class, which gets a box too, guessed or not; -1
    where it is unknown. preset, blur: see `segment`. One forward pass, and one backward pass and one cut a class.
    Everything returned is on the CPU.
    """

    def choose(scores: Tensor) -> Tensor:
        best = scores.softmax(1).mean(0).topk(min(guesses, scores.shape[1])).indices
        return best if label < 0 or label in best else torch.cat([best, best.new_tensor([label])])

    device = next((p.device for p in model.parameters()), frame.device)
    found = crop_saliency(model, frame.to(device).float() / 255, crops, choose, strategy="loop")
    masks, boxes = object_box(frame, found.maps, preset, found.coverage, blur=blur)
    classes = found.classes.cpu()
    own = int((classes == label).nonzero()[0]) if label >= 0 else 0
    posteriors = found.scores.softmax(1).mean(0).cpu()
    best = classes[: min(guesses, len(posteriors))]
    return Located(best, posteriors[best], boxes[: len(best)], found.maps[own].cpu(), masks[own], boxes[own])
