"""One picture through the whole of section 3.2: ten crops, saliency of the best classes, a cut and a box for each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from deepinside.attribution.context import check_model
from deepinside.attribution.crops import Crop, CropSaliency, crop_saliency
from deepinside.attribution.inputs import is_whole
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


@dataclass(frozen=True)
class Question:
    """What is asked of a picture; the arguments of `locate`.

    UserError for what the preset does not know; ValueError for guesses < 0, and guesses=0 without a label.
    """

    label: int = -1
    preset: str = "vgg"
    blur: float = 0.0
    guesses: int = 5
    repeat_classes: bool = False

    def __post_init__(self) -> None:
        if not is_whole(self.guesses) or self.guesses < 0:
            raise ValueError(f"guesses must be a whole number >= 0, not {self.guesses!r}")
        if not is_whole(self.label):
            raise ValueError(f"label must be a class index, -1 where it is unknown, not {self.label!r}")
        if self.guesses == 0 and self.label < 0:
            raise ValueError("guesses=0 finds the box of the picture's own class alone: give its label")
        seeded, preset = isinstance(self.numbers, Preset), self.preset
        if self.blur and not seeded:
            raise UserError(
                f"localisation.blur={float(self.blur):g}: preset '{preset}' blurs its own maps and needs "
                "localisation.blur=0"
            )
        if self.repeat_classes and seeded:
            raise UserError(
                f"localisation.repeat_classes: preset '{preset}' has one box a class; preset 'best' has more"
            )

    @property
    def numbers(self) -> Preset | Evidence:
        """The preset's, with the blur that is asked for."""
        numbers = find_preset(self.preset)
        return replace(numbers, blur=self.blur) if isinstance(numbers, Preset) else numbers

    def guess(self, scores: Tensor) -> list[tuple[int, int]]:
        """Scores of the crops (crops, C) -> class and number of its box of every guess, best first."""
        posteriors, numbers = mean_posteriors(scores), self.numbers
        if self.repeat_classes and isinstance(numbers, Evidence):
            return allocate(posteriors**numbers.calibration, numbers.gains, self.guesses)
        return allocate(posteriors, (1.0,), self.guesses)

    def choose(self, scores: Tensor) -> Tensor:
        """The classes (K,) that need a map: those guessed first, then the picture's own."""
        classes = [c for c, n in self.guess(scores) if n == 0]
        own = [] if self.label < 0 or self.label in classes else [self.label]
        return torch.tensor([*classes, *own], device=scores.device)


def locate(
    model: nn.Module,
    frame: Tensor,
    crops: Iterable[Crop],
    label: int = -1,
    *,
    preset: str = "vgg",
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
    question = Question(label, preset, blur, guesses, repeat_classes)
    return find_boxes(frame, look(model, frame, crops, question), question)


def look(model: nn.Module, frame: Tensor, crops: Iterable[Crop], question: Question) -> CropSaliency:
    """The part of `locate` that needs the model: maps of the chosen classes and all scores, on the CPU."""
    check_model(model)
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    picture, numbers = in_unit_range(frame, "frame", like), question.numbers
    if isinstance(numbers, Evidence):
        found = look_around(model, picture, crops, question.choose, numbers)
    else:
        found = crop_saliency(model, picture, crops, question.choose, strategy="loop")
    return CropSaliency(found.maps.cpu(), found.coverage.cpu(), found.classes.cpu(), found.scores.cpu())


def find_boxes(frame: Tensor, found: CropSaliency, question: Question) -> Located:
    """The rest, on one core of the CPU: the cuts, and the boxes round them."""
    numbers, guessed = question.numbers, question.guess(found.scores)
    if isinstance(numbers, Evidence):
        pixels = in_unit_range(frame, "frame", None).permute(1, 2, 0).cpu().double().numpy()
        maps, counts = found.maps.cpu().double().numpy(), _counts(found, guessed)
        masks, boxes = evidence_boxes(pixels, maps, found.coverage.numpy(), numbers, counts)
        answer = _answer(found, guessed, masks, boxes, question.label)
        return replace(answer, evidence=evidence_map(answer.saliency, numbers))
    masks, boxes = object_box(frame, found.maps, question.preset, found.coverage, blur=question.blur)
    answer = _answer(found, guessed, masks, boxes, question.label)
    return replace(answer, seeds=cut_seeds(answer.saliency, found.coverage, numbers))


def _counts(found: CropSaliency, guessed: list[tuple[int, int]]) -> list[int]:
    """How many boxes of each class are needed: all that are guessed, and one of the own class anyhow."""
    times = Counter(c for c, _ in guessed)
    return [max(1, times[c]) for c in found.classes.tolist()]


def _answer(found: CropSaliency, guessed: list[tuple[int, int]], masks: Tensor, boxes: Tensor, label: int) -> Located:
    """masks (K, H, W) and boxes (sum of `_counts`, 4), those of a class in a row."""
    classes = found.classes.tolist()
    places = [(c, n) for c, count in zip(classes, _counts(found, guessed), strict=True) for n in range(count)]
    own = classes.index(label) if label >= 0 else 0
    chosen = torch.tensor([c for c, _ in guessed], dtype=torch.int64, device="cpu")
    return Located(
        chosen,
        mean_posteriors(found.scores)[chosen],
        boxes[[places.index(guess) for guess in guessed]],
        found.maps[own].float().clone(),  # a part keeps all of its tensor in memory, and in pickles
        masks[own].clone(),
        boxes[places.index((classes[own], 0))],
    )
