"""One picture through the whole of section 3.2: ten crops, saliency of the best classes, a cut and a box for each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from deepinside.attribution.crops import Crop, CropSaliency, crop_saliency
from deepinside.errors import UserError
from deepinside.localisation.evidence import evidence_map
from deepinside.localisation.looks import Looks, look_around
from deepinside.localisation.presets import Evidence, find_preset
from deepinside.localisation.segment import cut_seeds, object_box


@dataclass(frozen=True)
class Located:
    """Guesses, best first, all in pixels of the frame.

    classes (K,), posteriors (K,) averaged over the crops, boxes (K, 4); a class may come twice, with two boxes.
    Then the answer for the picture's own class: its saliency (H, W), mask (H, W) and box (4,); for the best guess where
    the own class is unknown. What its cut went by, (H, W): seeds int8, 1 object, -1 background, 0 free (presets `paper`
    and `vgg`); evidence >= 0, neutral at 1 (preset `best`).
    """

    classes: Tensor
    posteriors: Tensor
    boxes: Tensor
    saliency: Tensor
    mask: Tensor
    box: Tensor
    seeds: Tensor | None = None
    evidence: Tensor | None = None


def locate(
    model: nn.Module,
    frame: Tensor,
    crops: Sequence[Crop],
    label: int = -1,
    *,
    preset: str = "paper",
    blur: float = 0.0,
    guesses: int = 5,
    second_guesses: int = 0,
) -> Located:
    """The `guesses` best classes of a picture, each with its box (paper, section 3.2).

    model: pictures in [0, 1] -> class scores. frame: uint8 (3, H, W). The classes are ranked by the soft-max averaged
    over the crops (Krizhevsky et al. 2012). label: the picture's own class, which gets a box too, guessed or not; -1
    where it is unknown; guesses=0 finds its box alone. preset, blur: see `segment`; preset `best` looks through
    windows, see `looks`, the others at the crops: one forward pass, and one backward pass a class. second_guesses: so
    many of the best classes get a second, tight box in place of the last guesses' classes (preset `best`): ILSVRC's
    rules forbid no label twice. Everything returned is on the CPU.
    """
    numbers = find_preset(preset)
    if second_guesses and not isinstance(numbers, Evidence):
        raise UserError(f"localisation.second_guesses: preset '{preset}' has one box a class; preset 'best' has two")
    if guesses < 1 and label < 0:
        raise ValueError("guesses=0 finds the box of the picture's own class alone: give its label")
    if 2 * second_guesses > guesses:
        raise UserError(f"second_guesses must be at most half of the {guesses} guesses, not {second_guesses}")
    if blur and isinstance(numbers, Evidence):
        raise UserError(f"localisation.blur: preset '{preset}' blurs its own maps; only paper and vgg take a blur")

    def choose(scores: Tensor) -> Tensor:
        best = scores.softmax(1).mean(0).topk(min(guesses - second_guesses, scores.shape[1])).indices
        return best if label < 0 or label in best else torch.cat([best, best.new_tensor([label])])

    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros((), device=frame.device))
    picture = frame.to(like) / 255
    if isinstance(numbers, Evidence):
        looks = look_around(model, picture, crops, choose, numbers)
        tight = looks.tight[:second_guesses]
        answer = _answer(looks, looks.masks, looks.boxes, label, guesses - second_guesses, tight)
        return replace(answer, evidence=evidence_map(answer.saliency, numbers))
    found = crop_saliency(model, picture, crops, choose, strategy="loop")
    masks, boxes = object_box(frame, found.maps, preset, found.coverage, blur=blur)
    answer = _answer(found, masks, boxes, label, guesses, boxes[:0])
    return replace(answer, seeds=cut_seeds(answer.saliency, found.coverage, replace(numbers, blur=blur)))


def _answer(
    found: CropSaliency | Looks, masks: Tensor, boxes: Tensor, label: int, distinct: int, tight: Tensor
) -> Located:
    """The guesses in order: each of the best classes with its box, then with its tight box where there is one."""
    classes = found.classes.cpu()
    own = int((classes == label).nonzero()[0]) if label >= 0 else 0
    posteriors = found.scores.float().softmax(1).mean(0).cpu()
    best = min(distinct, len(posteriors))
    order = sorted([*range(best), *range(len(tight))])  # with two guesses, a class's first comes first
    guessed = [(tight if n and order[n - 1] == k else boxes)[k] for n, k in enumerate(order)]
    ranked = classes[order]
    stacked = torch.stack(guessed) if guessed else boxes[:0]
    return Located(ranked, posteriors[ranked], stacked, found.maps[own].float().cpu(), masks[own], boxes[own])
