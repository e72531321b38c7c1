"""One picture through the whole of section 3.2: ten crops, saliency of the best classes, a cut and a box for each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from deepinside.attribution.crops import Crop, CropSaliency, crop_saliency
from deepinside.errors import UserError
from deepinside.localisation.evidence import evidence_boxes, evidence_map
from deepinside.localisation.guesses import allocate, mean_posteriors
from deepinside.localisation.looks import look_around
from deepinside.localisation.presets import Evidence, Preset, find_preset
from deepinside.localisation.segment import cut_seeds, in_unit_range, object_box


@dataclass(frozen=True)
class Located:
    """Guesses, best first, all in pixels of the frame.

    classes (K,), posteriors (K,) averaged over the crops, boxes (K, 4); a class may come several times, each time with
    another of its boxes, and posteriors need not fall then. After that the answer for the picture's own class: its
    saliency (H, W), mask (H, W) and box (4,); for the best guess where the own class is unknown. What its cut went by,
    (H, W): seeds int8, 1 object, -1 background, 0 free (presets `paper` and `vgg`); evidence >= 0, neutral at 1 (preset
    `best`).
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
    crops: Iterable[Crop],
    label: int = -1,
    *,
    preset: str = "paper",
    blur: float = 0.0,
    guesses: int = 5,
    repeat_classes: bool = False,
) -> Located:
    """The `guesses` best classes of a picture, each with its box (paper, section 3.2), or their best boxes.

    model: pictures in [0, 1] -> class scores. frame: (3, H, W) RGB, uint8 or floating in [0, 1]. The classes are ranked
    by the soft-max averaged over the crops (Krizhevsky et al. 2012). label: the picture's own class, which gets a box
    too, guessed or not; -1 where it is unknown; guesses=0 finds its box alone. preset, blur: see `segment`; preset
    `best` looks through windows, see `looks`, the others at the crops: one forward pass, and one backward pass a class.
    repeat_classes: the guesses go where posterior^calibration times gain is largest, see `allocate`, so that a class
    may come several times (preset `best`): ILSVRC's rules forbid no label twice. Everything returned is on the CPU.
    UserError for what the preset does not know; ValueError for a frame of another kind, guesses < 0, and guesses=0
    without a label.
    """
    if guesses < 0:
        raise ValueError(f"guesses must be >= 0, not {guesses}")
    if guesses == 0 and label < 0:
        raise ValueError("guesses=0 finds the box of the picture's own class alone: give its label")
    numbers = find_preset(preset)
    _check(numbers, preset, blur, repeat_classes)
    gains: tuple[float, ...] = (1.0,)
    power = 1.0
    if repeat_classes and isinstance(numbers, Evidence):
        gains, power = numbers.gains, numbers.calibration

    def guess(scores: Tensor) -> list[tuple[int, int]]:
        return allocate(mean_posteriors(scores) ** power, gains, guesses)

    def choose(scores: Tensor) -> Tensor:
        classes = [c for c, n in guess(scores) if n == 0]
        return torch.tensor(classes if label < 0 or label in classes else [*classes, label], device=scores.device)

    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    crops = list(crops)
    picture = in_unit_range(frame, "frame", like)
    if isinstance(numbers, Evidence):
        found = look_around(model, picture, crops, choose, numbers)
        pixels, maps = picture.permute(1, 2, 0).double().cpu().numpy(), found.maps.double().cpu().numpy()
        guessed = guess(found.scores)
        masks, boxes = evidence_boxes(pixels, maps, found.coverage.cpu().numpy(), numbers, _counts(found, guessed))
        answer = _answer(found, guessed, masks, boxes, label)
        return replace(answer, evidence=evidence_map(answer.saliency, numbers))
    found = crop_saliency(model, picture, crops, choose, strategy="loop")
    masks, boxes = object_box(frame, found.maps, preset, found.coverage, blur=blur)
    answer = _answer(found, guess(found.scores), masks, boxes, label)
    return replace(answer, seeds=cut_seeds(answer.saliency, found.coverage, replace(numbers, blur=blur)))


def _check(numbers: Preset | Evidence, preset: str, blur: float, repeat_classes: bool) -> None:
    if blur and isinstance(numbers, Evidence):
        raise UserError(f"localisation.blur: preset '{preset}' blurs its own maps; only paper and vgg take a blur")
    if repeat_classes and not isinstance(numbers, Evidence):
        raise UserError(f"localisation.repeat_classes: preset '{preset}' has one box a class; preset 'best' has more")


def _counts(found: CropSaliency, guessed: list[tuple[int, int]]) -> list[int]:
    """How many boxes of each class are needed: all that are guessed, and one of the own class anyhow."""
    times = Counter(c for c, _ in guessed)
    return [max(1, times[c]) for c in found.classes.tolist()]


def _answer(found: CropSaliency, guessed: list[tuple[int, int]], masks: Tensor, boxes: Tensor, label: int) -> Located:
    """masks (K, H, W) and boxes (sum of `_counts`, 4), those of a class in a row."""
    classes = found.classes.tolist()
    places = [(c, n) for c, count in zip(classes, _counts(found, guessed), strict=True) for n in range(count)]
    own = classes.index(label) if label >= 0 else 0
    chosen = torch.tensor([c for c, _ in guessed], dtype=torch.int64)
    return Located(
        chosen,
        mean_posteriors(found.scores)[chosen],
        boxes[[places.index(guess) for guess in guessed]],
        found.maps[own].float().cpu(),
        masks[own],
        boxes[places.index((classes[own], 0))],
    )
