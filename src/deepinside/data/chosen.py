"""Some pictures of a source, so that the others are never decoded."""

from collections.abc import Sequence

from deepinside.data.picture import Picture
from deepinside.data.source import PictureSource, read


class ChosenPictures:
    """The pictures `indices` of `source`; each keeps the index that it has there."""

    def __init__(self, source: PictureSource, indices: Sequence[int]) -> None:
        self.source, self.indices = source, list(indices)
        self.classes, self.has_boxes = source.classes, source.has_boxes
        self.labels = [source.labels[i] for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, i: int) -> Picture:
        """The source's picture `indices[i]`; raises UnreadablePicture."""
        return read(self.source, self.indices[i])
