"""How long a `vgg` cut takes: python tests/benchmarks/cut_speed.py [--pictures 12] [--repeats 3]

Interleaved medians of one core, as a markdown table: all five classes of a picture at short side 256, for each class;
one class at 500x375, beside one iteration of cv2.grabCut on the same picture with the same seeds; and how often the
boxes agree (IoU >= 0.95) with those of the exact cut, colours and graph built anew for each class in double precision.
Pictures and saliency are synthetic: objects of several colours on smooth clutter with noise.
"""

import argparse
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from deepinside.boxes import iou, mask_to_box
from deepinside.localisation.colour import monomials
from deepinside.localisation.graph_cut import contrast_weights, min_cut, seed_cost
from deepinside.localisation.presets import PRESETS, Preset
from deepinside.localisation.segment import _data_costs, _samples_and_seeds, largest_component, object_box


def scene(seed: int, height: int, width: int, classes: int = 5) -> tuple[Tensor, Tensor]:
    """uint8 (3, H, W) and maps (classes, H, W) that peak at five places."""
    draw = np.random.default_rng(seed)
    pixels = np.stack([gaussian_filter(draw.standard_normal((height, width)), height / 12) for _ in range(3)])
    pixels = 0.5 + 0.15 * pixels / pixels.std()
    rows, columns = np.mgrid[:height, :width]
    maps = []
    for _ in range(classes):
        y, x = draw.uniform(0.3, 0.7) * height, draw.uniform(0.3, 0.7) * width
        away = ((rows - y) / height) ** 2 + ((columns - x) / width) ** 2
        pixels = np.where(away < draw.uniform(0.005, 0.03), draw.uniform(0, 1, (3, 1, 1)), pixels)
        maps.append((np.exp(-away / 0.04) + 0.1) * draw.exponential(size=(height, width)))
    pixels = pixels + draw.normal(0, 0.04, pixels.shape)
    return torch.from_numpy((255 * pixels.clip(0, 1)).astype(np.uint8)), torch.from_numpy(np.stack(maps))


def reference(image: Tensor, saliency: Tensor) -> Tensor:
    """Boxes (K, 4) of preset `vgg` the slow way: nothing shared, double precision, the exact cut."""
    vgg = PRESETS["vgg"]
    assert isinstance(vgg, Preset)
    boxes = []
    for one in saliency.double().numpy():
        pixels = image.permute(1, 2, 0).numpy() / 255
        weights = contrast_weights(pixels, vgg.strength, vgg.beta_factor, vgg.neighbours)
        weights = {offset: np.rint(vgg.energy_scale * weight) for offset, weight in weights.items()}
        samples, seeds = _samples_and_seeds(one, np.ones_like(one, dtype=bool), vgg)
        colours = pixels.reshape(-1, 3).T
        costs = np.rint(vgg.energy_scale * _data_costs(colours, samples, monomials(colours), vgg)).reshape(
            2, *one.shape
        )
        costs[0][seeds[1]] = costs[1][seeds[0]] = seed_cost(weights, vgg.energy_scale * vgg.data_clip)
        costs[0][seeds[0]] = costs[1][seeds[1]] = 0
        boxes.append(mask_to_box(torch.from_numpy(largest_component(min_cut(costs[0], costs[1], weights)[0]))))
    return torch.stack(boxes)


def grab_cut(image: Tensor, saliency: Tensor) -> None:
    values, picture = saliency.numpy(), np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1])
    samples = np.quantile(values, [0.3, 0.95])
    seeds = np.quantile(values, [0.005, 0.995])
    marks = np.where(values >= samples[1], cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[values <= seeds[0]], marks[values >= seeds[1]] = cv2.GC_BGD, cv2.GC_FGD
    cv2.grabCut(picture, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), 1, cv2.GC_INIT_WITH_MASK)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    small = [scene(seed, 256, 341) for seed in range(settings.pictures)]
    large = [scene(seed, 375, 500) for seed in range(settings.pictures)]
    milliseconds: dict[str, list[float]] = defaultdict(list)

    def clock(name: str, call: Callable[[], object], share: int = 1) -> None:
        start = time.process_time()
        call()
        milliseconds[name].append(1000 * (time.process_time() - start) / share)

    for _ in range(settings.repeats):
        for (image, maps), (big, wide) in zip(small, large, strict=True):
            clock("256x341, five classes, each", lambda: object_box(image, maps, "vgg"), len(maps))  # noqa: B023
            clock("375x500, one class", lambda: object_box(big, wide[0], "vgg"))  # noqa: B023
            clock("375x500, cv2.grabCut, one iteration", lambda: grab_cut(big, wide[0]))  # noqa: B023
    same = [
        iou(a[None], b[None]).item() >= 0.95
        for image, maps in small
        for a, b in zip(object_box(image, maps, "vgg")[1], reference(image, maps), strict=True)
    ]
    print(f"{platform.machine()}, torch {torch.__version__}, cv2 {cv2.__version__}, one core\n")
    print("| cut | ms (median) |\n|---|---|")
    for name, values in milliseconds.items():
        print(f"| {name} | {statistics.median(values):.1f} |")
    print(f"\nboxes that agree with the reference: {100 * sum(same) / len(same):.1f}% of {len(same)}")


if __name__ == "__main__":
    main()
