"""How long a `vgg` cut takes: python -m tests.benchmarks.cut_speed [--pictures 12] [--repeats 3] [--real DIR FILE]

Interleaved medians of one core, as a markdown table: all five classes of a picture at short side 256, for each class;
one class at 500x375, beside one iteration of cv2.grabCut on the same picture with the same seeds; and how often the
boxes agree (IoU >= 0.95) with those of the exact cut, colours and graph built anew for each class in double precision.
Pictures and saliency are synthetic: objects of several colours on smooth clutter with noise. --real: as many pictures
of a CLS-LOC tree too, with the saliency of SqueezeNet 1.1 (its weights) for their five best classes.
"""

import argparse
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from deepinside.attribution.crops import crop_saliency, ten_crops
from deepinside.boxes import iou, mask_to_box
from deepinside.load_config import load_config
from deepinside.localisation.colour import fit_mixtures, monomials
from deepinside.localisation.graph_cut import contrast_weights, min_cut, seed_cost
from deepinside.localisation.presets import PRESETS, Preset
from deepinside.localisation.segment import (
    _log_odds,
    _sample,
    _samples_and_seeds,
    largest_component,
    object_box,
)
from deepinside.models.build import build_convnet
from tests.benchmarks.localisation_table import RECIPES, TableConfig, chosen, pictures

Scene = tuple[Tensor, Tensor, Tensor]
"""uint8 (3, H, W), maps (classes, H, W), coverage bool (H, W)."""


def scene(seed: int, height: int, width: int, classes: int = 5) -> Scene:
    """A synthetic picture, and maps that peak at five places."""
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
    image = torch.from_numpy((255 * pixels.clip(0, 1)).astype(np.uint8))
    return image, torch.from_numpy(np.stack(maps)), torch.ones(height, width, dtype=torch.bool)


def real_scenes(root: str, weights: str, count: int) -> Iterator[Scene]:
    """Pictures with the short side as the weights ask for, 256, and the maps of their ten crops."""
    arguments = [f"data.root={root}", "model.name=squeezenet1_1", f"model.weights={weights}", f"attributions={count}"]
    config = load_config(TableConfig, arguments, RECIPES)
    convnet = build_convnet(config.model, config.data)
    for source in chosen(config).values():
        for picture in pictures(config, convnet, source):
            crops = ten_crops(picture.frame.shape[1], picture.frame.shape[2], convnet.preprocessing.crop)
            best = crop_saliency(
                convnet, picture.frame / 255, crops, lambda scores: scores.softmax(1).mean(0).topk(5).indices
            )
            yield picture.frame, best.maps, best.coverage


def reference(image: Tensor, saliency: Tensor, coverage: Tensor) -> Tensor:
    """Boxes (K, 4) of preset `vgg` the slow way: nothing shared, double precision, the exact cut."""
    vgg = PRESETS["vgg"]
    assert isinstance(vgg, Preset)
    boxes = []
    for one in saliency.double().numpy():
        pixels = image.permute(1, 2, 0).numpy() / 255
        weights = contrast_weights(pixels, vgg.strength, vgg.beta_factor, vgg.neighbours)
        weights = {offset: np.rint(vgg.energy_scale * weight) for offset, weight in weights.items()}
        samples, seeds = _samples_and_seeds(one, coverage.numpy(), vgg)
        colours = pixels.reshape(-1, 3).T
        mixtures = [fit_mixtures([_sample(colours, where)], vgg.components)[0] for where in samples]
        odds = np.rint(vgg.energy_scale * _log_odds(monomials(colours), *mixtures, vgg)).reshape(one.shape)
        odds[seeds[0]], odds[seeds[1]] = np.array([1, -1]) * seed_cost(weights, vgg.energy_scale * vgg.data_clip)
        mask = min_cut(np.maximum(-odds, 0), np.maximum(odds, 0), weights)[0]
        boxes.append(mask_to_box(torch.from_numpy(largest_component(mask))))
    return torch.stack(boxes)


def agreement(scenes: list[Scene]) -> str:
    same = [
        iou(a[None], b[None]).item() >= 0.95
        for image, maps, coverage in scenes
        for a, b in zip(object_box(image, maps, "vgg", coverage)[1], reference(image, maps, coverage), strict=True)
    ]
    return f"{100 * sum(same) / len(same):.1f}% of {len(same)}"


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
    parser.add_argument("--real", nargs=2, metavar=("DIR", "FILE"))
    settings = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    small = {"synthetic": [scene(seed, 256, 341) for seed in range(settings.pictures)]}
    if settings.real:
        small["real"] = list(real_scenes(*settings.real, settings.pictures))
    large = [scene(seed, 375, 500) for seed in range(settings.pictures)]
    milliseconds: dict[str, list[float]] = defaultdict(list)

    def clock(name: str, call: Callable[[], object], share: int = 1) -> None:
        start = time.process_time()
        call()
        milliseconds[name].append(1000 * (time.process_time() - start) / share)

    for _ in range(settings.repeats):
        for kind, scenes in small.items():
            for image, maps, coverage in scenes:
                name = f"short side 256, {kind}, five classes, each"
                clock(name, lambda: object_box(image, maps, "vgg", coverage), len(maps))  # noqa: B023
        for image, maps, _ in large:
            clock("375x500, one class", lambda: object_box(image, maps[0], "vgg"))  # noqa: B023
            clock("375x500, cv2.grabCut, one iteration", lambda: grab_cut(image, maps[0]))  # noqa: B023
    print(f"{platform.machine()}, torch {torch.__version__}, cv2 {cv2.__version__}, one core\n")
    print("| cut | ms (median) |\n|---|---|")
    for name, values in milliseconds.items():
        print(f"| {name} | {statistics.median(values):.1f} |")
    for kind, scenes in small.items():
        print(f"\nboxes that agree with the reference, {kind}: {agreement(scenes)}")


if __name__ == "__main__":
    main()
