"""MaxBoxAcc and MaxBoxAccV2: how good boxes of a thresholded map get at the set's best threshold.

Choe et al. 2020, "Evaluating Weakly Supervised Object Localization Methods Right" (clovaai/wsolevaluation): the map is
stretched to [0, 1]; at each of 100 thresholds 0, 0.01, ... the pixels above it fall into 8-connected components. V1:
the box of the largest component has IoU >= 0.5 with any true box. V2: any component's box has IoU >= 0.3, 0.5, 0.7 with
any true box, the mean of the three. The share of pictures is taken at each threshold, the best threshold after that (in
V2 one for each IoU).

What differs: the largest component is the one of most pixels (there: of the largest contour area), a hole's outline is
no box (there it is one in V2), boxes have exact pixel edges (there they are a column and a row wider), and maps keep
their picture's shape (there 224 x 224), of which IoU knows nothing.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric

from deepinside.boxes import iou

THRESHOLDS = 100
IOUS = (0.5, 0.3, 0.5, 0.7)
"""Of the rows of what follows: V1's, then V2's three."""


def threshold_hits(saliency: Tensor, truth: Tensor) -> Tensor:
    """Whether a map's boxes are right at each threshold: bool (4, 100), rows as IOUS.

    saliency (H, W), finite; truth (M, 4), M > 0, in pixels of the map.
    """
    values = saliency.detach().cpu().double().numpy()
    low, span = values.min(), np.ptp(values)
    hits = torch.zeros(len(IOUS), THRESHOLDS, dtype=torch.bool, device="cpu")
    if not span > 0:
        return hits
    # In 256 levels, as there. A constant map has no box at all.
    levels = np.floor(255 * (values - low) / span).astype(np.uint8)
    found, left, top = [], 0, 0
    for t in range(THRESHOLDS):
        boxes, pixels = _components(levels > int(t / THRESHOLDS * 255))
        found.append((boxes + np.array([left, top, left, top]), pixels))
        # What is above a higher threshold lies within all that is above this one.
        (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        left, top, levels = left + x0, top + y0, levels[y0:y1, x0:x1]
    wanted = torch.tensor(IOUS, dtype=torch.float64, device="cpu")
    together = torch.from_numpy(np.concatenate([boxes for boxes, _ in found])).double()
    best = iou(together, truth.cpu().double()).amax(dim=1)
    for t, part in enumerate(best.split([len(boxes) for boxes, _ in found])):
        tried = torch.stack([part[int(found[t][1].argmax())], *[part.max()] * 3])
        hits[:, t] = tried >= wanted
    return hits


def centre_hits(truth: Tensor, size: tuple[int, int]) -> Tensor:
    """The same for centred boxes of 1%, 2%, ..., 100% of each side, what a map that knows nothing gives: bool (4, 100).

    truth (M, 4), M > 0, in pixels of a picture of `size` (height, width).
    """
    double = partial(torch.tensor, dtype=torch.float64, device="cpu")
    fractions = double(range(1, THRESHOLDS + 1))[:, None] / THRESHOLDS
    sides = double([size[1], size[0]])
    centred = torch.cat([(1 - fractions) / 2 * sides, (1 + fractions) / 2 * sides], dim=1)
    return iou(centred, truth.cpu().double()).amax(dim=1) >= double(IOUS)[:, None]


def best_thresholds(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """MaxBoxAcc and MaxBoxAccV2 from shares of pictures (..., 4, 100) -> (...), (...)."""
    best = shares.max(axis=-1)
    return best[..., 0], best[..., 1:].mean(axis=-1)


def at_best_thresholds(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each picture adds to MaxBoxAcc and MaxBoxAccV2: its hits at the thresholds that are best for all of them,
    (N, 4, 100) -> (N, 2)."""
    best = hits.mean(axis=0).argmax(axis=-1)
    chosen = np.take_along_axis(hits, best[None, :, None], axis=-1)[..., 0].astype(np.float64)
    return np.stack([chosen[:, 0], chosen[:, 1:].mean(axis=1)], axis=1)


class MaxBoxAccuracy(Metric):
    """MaxBoxAcc and MaxBoxAccV2 of a method's maps and of centred boxes, over processes.

    `update` with a picture's `threshold_hits` and `centre_hits` stacked, (2, 4, 100); `compute` gives
    {"method" | "centre_box": {"max_box_acc", "max_box_acc_v2"}}, in [0, 1], NaN without pictures. Sums of fixed size.
    """

    full_state_update = False

    images: Tensor
    hits: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(2, len(IOUS), THRESHOLDS, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, hits: Tensor) -> None:
        """Add one picture."""
        self.images += 1
        self.hits += hits.to(self.hits)

    def compute(self) -> dict[str, dict[str, float]]:
        """The dictionary described above."""
        v1, v2 = best_thresholds((self.hits.double() / self.images).cpu().numpy())
        return {
            name: {"max_box_acc": float(v1[row]), "max_box_acc_v2": float(v2[row])}
            for row, name in enumerate(("method", "centre_box"))
        }


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Boxes (C, 4) and pixels (C,) of the 8-connected components."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    where = np.flatnonzero(labels)
    place = labels.ravel()[where] - 1
    rows, columns = np.divmod(where, mask.shape[1])
    boxes = np.empty((count, 4), dtype=np.int64)
    # In reading order a component's first pixel has its least row, its last pixel its greatest: of the values that go
    # to one place the last one stays. (ndimage.find_objects takes many times as long on noise.)
    boxes[place[::-1], 1] = rows[::-1]
    boxes[place, 3] = rows + 1
    boxes[:, 0], boxes[:, 2] = mask.shape[1], 0
    np.minimum.at(boxes[:, 0], place, columns)
    np.maximum.at(boxes[:, 2], place, columns + 1)
    return boxes, np.bincount(place)
