"""What every data set gives: a picture in its original pixels, with its class and the boxes of that class."""

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from deepinside.errors import UserError, did_you_mean

FEW = 20  # so many classes are listed where none is known by the name that was given


@dataclass(frozen=True)
class Classes:
    """Class `i` has the stable identifier `ids[i]` (a WNID, a folder's name) and, for people, the comma-separated
    synonyms `names[i]`, of which the first is its `short_name`; a name that is the identifier is one, commas or not."""

    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def short_name(self, i: int) -> str:
        return self.names[i] if self.names[i] == self.ids[i] else self.names[i].split(",")[0]

    @classmethod
    def unnamed(cls, count: int) -> "Classes":
        """The classes of weights that say nothing of them."""
        numbers = tuple(str(i) for i in range(count))
        return cls(numbers, numbers)


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    image: uint8 (3, H, W), RGB, original pixels; EXIF rotation is applied where there cannot be boxes.
    label: class index; -1 where it is unknown.
    boxes: float32 (M, 4), every box of `label`, half-open edges (x0, y0, x1, y1), original pixels; M = 0 without.
    name: the file's name without its extension; index: its place in the data set.
    """

    image: Tensor
    label: int
    boxes: Tensor
    name: str
    index: int


class UnreadablePicture(Exception):
    """A picture that cannot be decoded: it is reported and left out, it does not end a run."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def find_classes(wanted: str, classes: Classes) -> list[int]:
    """`all`, or a comma-separated list of indices, identifiers or names -> class indices, each once, in that order.

    A name fits case-insensitively if it equals one of the class's comma-separated synonyms; an identifier with commas
    stands alone. Raises UserError, for a name that several classes have (ImageNet's crane is a bird and a machine) too.
    """
    if wanted == "all":
        return list(range(len(classes)))
    identifiers, places = [identifier.lower() for identifier in classes.ids], dict[str, list[int]]()
    if "," in wanted and wanted.lower() in identifiers:
        return [identifiers.index(wanted.lower())]
    for i, (identifier, name) in enumerate(zip(identifiers, classes.names, strict=True)):
        for word in {identifier, *(synonym.strip().lower() for synonym in name.split(","))}:
            places.setdefault(word, []).append(i)
    times = Counter(identifiers)
    for i, identifier in enumerate(identifiers):  # before names: folders may be called cat and cat, black
        if times[identifier] == 1:
            places[identifier] = [i]
    for i in range(len(classes)):  # after the names: a class may be called 7
        places.setdefault(str(i), [i])
    found = []
    for word in (part.strip().lower() for part in wanted.split(",")):
        if word not in places:
            raise UserError(f"classes={wanted}: the ConvNet has no class '{word}'{_hint(word, places, classes)}")
        if len(places[word]) > 1:
            which = " and ".join(f"{i} ({classes.ids[i]})" for i in places[word])
            raise UserError(f"classes={wanted}: '{word}' is the name of {which}: give one of them")
        found += places[word]
    return list(dict.fromkeys(found))


def _hint(word: str, places: dict[str, list[int]], classes: Classes) -> str:
    if word.lstrip("-").isdigit():
        return f"; indices are 0 to {len(classes) - 1}"
    if len(classes) <= FEW:
        return f"; there are {', '.join(map(classes.short_name, range(len(classes))))}"
    return did_you_mean(word, places, "; give all, or names, identifiers or indices")


def labels_in(wanted: Classes, given: Classes, name: str) -> list[int]:
    """For each class of the data called `name` its index among the ConvNet's classes. Raises UserError where one is
    unknown to it."""
    if given.ids == wanted.ids:
        return list(range(len(given)))
    place = {identifier: i for i, identifier in enumerate(wanted.ids)}
    unknown = [identifier for identifier in given.ids if identifier not in place]
    if unknown:
        shapes = "the default data are drawn shapes: give data.name=... data.root=..., or images=...; "
        other, unlabelled = (shapes, "") if name == "shapes" else ("", ", or images=DIR, without labels")
        if wanted == Classes.unnamed(len(wanted)):
            other += "model.classes=FILE names the weights' classes, which they do not; "
        raise UserError(
            f"the ConvNet's {len(wanted)} classes do not include {len(unknown)} of the data's {len(given)}"
            f" (first: {unknown[0]}); {other}train.py fine-tunes a head of the data's{unlabelled}"
        )
    return [place[identifier] for identifier in given.ids]
