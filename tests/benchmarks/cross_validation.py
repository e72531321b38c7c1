"""What preset `best` is worth on pictures that its numbers were not chosen on.

    python -m tests.benchmarks.cross_validation data.root=DIR[,DIR] model.name=squeezenet1_1 model.weights=FILE[,FILE]

The pictures are dealt into five parts. For each part, five numbers of the preset are chosen anew, out of 243 settings,
by how many boxes are right (class known, IoU >= 0.5) on the other four, with all nets together, and scored on that
part; so is CAM's threshold, out of three, for each net on its own. Then, with the other numbers as they are, the levels
of a class's further boxes are chosen anew and their gains measured on the other four parts, and the guesses that they
lead to are scored on that part (top-5 error). Twenty deals are averaged: a spread over them, and 95% bootstrap
intervals over the pictures.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray

from deepinside.attribution.crops import ten_crops
from deepinside.boxes import centre_box, iou
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.launch import run_script
from deepinside.load_config import load_config
from deepinside.localisation.evidence import evidence_boxes
from deepinside.localisation.guesses import allocate, mean_posteriors
from deepinside.localisation.looks import look_around
from deepinside.localisation.presets import Evidence
from deepinside.localisation.segment import object_box
from deepinside.models.build import build_convnet
from deepinside.models.convnet import ConvNet
from deepinside.trainer import quieten
from tests.benchmarks.localisation_rows import CAM_RULES, activation_map, in_original, threshold_box
from tests.benchmarks.localisation_table import RECIPES, TableConfig, chosen, difference, percent, pictures, watched
from tests.benchmarks.side_by_side import machine, print_table

GRID = {
    "power": (2.0, 2.25, 2.5),
    "level": (0.8, 0.9, 1.0),
    "mass_share": (0.15, 0.25, 0.35),
    "mass_tail": (0.04, 0.05, 0.06),
    "rim": (0.5, 0.6, 0.7),
}
SETTINGS = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
LEVELS = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)  # of further boxes
FOLDS, DEALS = 5, 20
Hits = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """What is right of N pictures with one net: the box of each setting (N, settings) and each threshold of CAM (N, 3),
    the centre box (N,), the box of the preset as it is and those at LEVELS (N, 1 + levels); the classes' posteriors
    (N, C) and the pictures' own classes (N,)."""

    best: Hits
    cam: Hits
    centre: Hits
    ladder: Hits
    posteriors: Values
    labels: NDArray[np.int64]


def main(arguments: list[str]) -> None:
    config = load_config(TableConfig, arguments, RECIPES)
    if not config.data.root or config.model.weights == "none":
        raise UserError("needed: data.root=DIR[,DIR] model.name=... model.weights=FILE[,FILE]")
    quieten()
    files = str(config.model.weights).split(",")
    judged = [judge_net(replace(config, model=replace(config.model, weights=file))) for file in files]
    nets = [Path(file).stem for file in files]
    print(machine("cuda" if torch.cuda.is_available() else "cpu"), f"\n{len(judged[0].centre)} pictures\n")
    print_boxes(nets, judged)
    print()
    print_guesses(nets, judged)


def print_boxes(nets: list[str], judged: list[Judged]) -> None:
    best = np.stack([net.best for net in judged])
    deals = np.array([left_out(best, seed) for seed in range(DEALS)])
    shares = best.mean(1)
    print(f"all {len(SETTINGS)} settings: {100 * shares.min():.1f} to {100 * shares.max():.1f} percent right")
    print(f"share of right boxes, spread over the deals: {spread(deals)}\n")
    rows = []
    for name, net, scored in zip(nets, judged, deals.mean(0), strict=True):
        rival = np.mean([left_out(net.cam[None], seed)[0] for seed in range(DEALS)], 0)
        for how, values in (("preset `best` as it is", net.ladder[:, 0]), ("numbers chosen on other pictures", scored)):
            cells = [percent(values.astype(float)), difference(values - 1.0 * net.centre), difference(values - rival)]
            rows.append([f"{name}: {how}", *cells])
    print_table(["", "class known", "minus centre box 72%", "minus CAM, threshold chosen on other pictures"], rows)


def print_guesses(nets: list[str], judged: list[Judged]) -> None:
    now = Evidence()
    places = [0, *(1 + LEVELS.index(level) for level in now.further_levels)]
    deals = np.array([left_out_guesses(judged, seed) for seed in range(DEALS)])
    levels, gains = further_levels(np.stack([net.ladder for net in judged]))
    told = [
        f"{LEVELS[place - 1] if place else now.level}: {gain:.3f}" for place, gain in zip(levels, gains, strict=True)
    ]
    print(f"levels and gains on all pictures: {', '.join(told)}")
    print(f"top-5 error, spread over the deals: {spread(deals)}\n")
    rows = []
    for name, net, scored in zip(nets, judged, deals.mean(0), strict=True):
        everything = np.arange(len(net.labels))
        five = guess_errors(net, everything, [0], [1.0])
        several = guess_errors(net, everything, places, now.gains)
        rows.append([f"{name}: five classes", percent(five), ""])
        for how, errors in (("classes repeated", several), ("levels and gains of other pictures", scored)):
            rows.append([f"{name}: {how}", percent(errors), difference(errors - five)])
    print_table(["", "top-5 error", "minus five classes"], rows)


def spread(deals: Values) -> str:
    """Standard deviation over the deals, in points: (deals, nets, N)."""
    return ", ".join(f"{100 * deviation:.1f}" for deviation in deals.mean(2).std(0))


def judge_net(config: TableConfig) -> Judged:
    convnet = build_convnet(config.model, config.data).to("cuda" if torch.cuda.is_available() else "cpu")
    trees = chosen(config)
    seen = (p for source in trees.values() for p in pictures(config, convnet, source))
    judged = [hits(convnet, picture) for picture in watched(seen, sum(map(len, trees.values())))]
    return Judged(*(np.array(column) for column in zip(*judged, strict=True)))


def hits(convnet: ConvNet, picture: WholePicture) -> tuple[Hits, Hits, bool, Hits, Values, int]:
    """One picture's share in `Judged`."""
    image, side = picture.frame.to(convnet.mean.device).float() / 255, convnet.preprocessing.crop
    crops = ten_crops(image.shape[1], image.shape[2], side)
    label = torch.tensor([picture.label], device=image.device)
    seen = look_around(convnet, image, crops, lambda scores: label, Evidence())
    boxes = [object_box(picture.frame, seen.maps[0].cpu(), "best", **numbers)[1] for numbers in SETTINGS]
    cam = activation_map(convnet, image, picture.label)
    boxes += [threshold_box(cam, share, of) for share, of in CAM_RULES]
    pixels, maps = (x.double().cpu().numpy() for x in (image.permute(1, 2, 0), seen.maps))
    numbers = replace(Evidence(), further_levels=LEVELS, gains=tuple(range(1 + len(LEVELS), 0, -1)))
    ladder = evidence_boxes(pixels, maps, seen.coverage.cpu().numpy(), numbers, [1 + len(LEVELS)])[1]
    found = in_original(torch.cat([torch.stack(boxes), ladder]), picture)
    right = iou(torch.cat([found, centre_box(picture.size)[None]]), picture.boxes).amax(1) >= 0.5
    best, rules, levels, centre = right.split([len(SETTINGS), len(CAM_RULES), len(ladder), 1])
    posteriors = mean_posteriors(seen.scores).double().numpy()
    return best.numpy(), rules.numpy(), bool(centre), levels.numpy(), posteriors, picture.label


def left_out(right: Hits, seed: int) -> Values:
    """right (nets, N, settings) -> (nets, N): what the setting that is best on the other parts, with all nets, gets
    right."""
    parts = np.random.default_rng(seed).permutation(right.shape[1]) % FOLDS
    scored = np.empty(right.shape[:2])
    for part in range(FOLDS):
        setting = right[:, parts != part].sum((0, 1)).argmax()
        scored[:, parts == part] = right[:, parts == part, setting]
    return scored


def left_out_guesses(judged: list[Judged], seed: int) -> Values:
    """Top-5 errors (nets, N) with the levels and gains of `further_levels` on the other parts, with all nets."""
    ladders = np.stack([net.ladder for net in judged])
    parts = np.random.default_rng(seed).permutation(ladders.shape[1]) % FOLDS
    errors = np.empty(ladders.shape[:2])
    for part in range(FOLDS):
        places, gains = further_levels(ladders[:, parts != part])
        for net, scored in zip(judged, errors, strict=True):
            scored[parts == part] = guess_errors(net, np.flatnonzero(parts == part), places, gains)
    return errors


def further_levels(ladders: Hits) -> tuple[list[int], list[float]]:
    """As many places in the ladders (nets, N, 1 + levels) as the preset has boxes, the first one first, then each time
    the one that adds most right boxes to those before it; and what each of them adds, of all N with all nets."""
    places, right = [0], ladders[..., 0]
    gains = [float(right.mean())]
    for _ in Evidence().further_levels:
        place = int((right[..., None] | ladders).mean((0, 1)).argmax())
        further = right | ladders[..., place]
        places.append(place)
        gains.append(float(further.mean() - right.mean()))
        right = further
    return places, gains


def guess_errors(net: Judged, pictures: NDArray[np.int64], places: Sequence[int], gains: Sequence[float]) -> Values:
    """Top-5 errors, one for each of these pictures, of the guesses that `allocate` makes of the boxes at these places
    of the ladders."""
    errors = []
    for i in pictures:
        guesses = allocate(torch.from_numpy(net.posteriors[i]) ** Evidence().calibration, gains, 5)
        errors.append(not any(c == net.labels[i] and net.ladder[i, places[n]] for c, n in guesses))
    return np.array(errors, dtype=float)


if __name__ == "__main__":
    run_script(main)
