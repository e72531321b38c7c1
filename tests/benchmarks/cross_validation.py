"""What preset `best` is worth on pictures that its numbers were not chosen on.

    python -m tests.benchmarks.cross_validation data.root=DIR[,DIR] model.name=squeezenet1_1 model.weights=FILE[,FILE]

The pictures are dealt into five parts. For each part, five numbers of the preset are chosen anew, out of 243 settings,
by how many boxes are right (class known, IoU >= 0.5) on the other four, with all nets together, and scored on that
part; so is CAM's threshold, out of three, for each net on its own. Twenty deals are averaged: a spread over them, and
95% bootstrap intervals over the pictures.
"""

import os
from dataclasses import replace
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray

from deepinside.attribution.crops import ten_crops
from deepinside.boxes import centre_box, iou
from deepinside.data.module import WholePicture
from deepinside.launch import quieten, run_script
from deepinside.load_config import load_config
from deepinside.localisation.locate import locate
from deepinside.localisation.segment import object_box
from deepinside.models.build import build_convnet
from deepinside.models.convnet import ConvNet
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
FOLDS, DEALS = 5, 20
Hits = NDArray[np.bool_]


def main(arguments: list[str]) -> None:
    config = load_config(TableConfig, arguments, RECIPES)
    quieten()
    files = str(config.model.weights).split(",")
    judged = [judge_net(replace(config, model=replace(config.model, weights=file))) for file in files]
    best = np.stack([right for right, _, _ in judged])
    deals = np.array([left_out(best, seed) for seed in range(DEALS)])
    print(machine("cuda" if torch.cuda.is_available() else "cpu"), f"\n{best.shape[1]} pictures\n")
    shares = best.mean(1)
    print(f"all {len(SETTINGS)} settings: {100 * shares.min():.1f} to {100 * shares.max():.1f} percent right")
    print("spread over the deals:", ", ".join(f"{100 * spread:.1f}" for spread in deals.mean(2).std(0)), "\n")
    rows = []
    for file, (right, cam, centre), scored in zip(files, judged, deals.mean(0), strict=True):
        rival = np.mean([left_out(cam[None], seed)[0] for seed in range(DEALS)], 0)
        own = right[:, SETTINGS.index({name: values[1] for name, values in GRID.items()})].astype(float)
        for name, values in (("preset `best` as it is", own), ("its numbers chosen on other pictures", scored)):
            cells = [percent(values), difference(values - centre), difference(values - rival)]
            rows.append([f"{Path(file).stem}: {name}", *cells])
    print_table(["", "class known", "minus centre box 72%", "minus CAM, threshold chosen on other pictures"], rows)


def judge_net(config: TableConfig) -> tuple[Hits, Hits, Hits]:
    """`hits` of one net on every picture: (N, settings), (N, thresholds), (N,)."""
    convnet = build_convnet(config.model, config.data).to("cuda" if torch.cuda.is_available() else "cpu")
    trees = chosen(config)
    seen = (p for source in trees.values() for p in pictures(config, convnet, source))
    judged = [hits(convnet, picture) for picture in watched(seen, sum(map(len, trees.values())))]
    best, cam, centre = (np.array(column) for column in zip(*judged, strict=True))
    return best, cam, centre


def hits(convnet: ConvNet, picture: WholePicture) -> tuple[Hits, Hits, bool]:
    """Which settings' box is right, which thresholds' of CAM, and whether the centre box is."""
    frame, side = picture.frame, convnet.preprocessing.crop
    crops = ten_crops(frame.shape[1], frame.shape[2], side)
    map_ = locate(convnet, frame, crops, picture.label, preset="best", guesses=0).saliency
    boxes = [object_box(frame, map_, "best", **numbers)[1] for numbers in SETTINGS]
    cam = activation_map(convnet, frame.to(convnet.mean.device).float() / 255, picture.label)
    boxes += [threshold_box(cam, share, of) for share, of in CAM_RULES]
    found = in_original(torch.stack(boxes), picture)
    right = iou(torch.cat([found, centre_box(picture.size)[None]]), picture.boxes).amax(1) >= 0.5
    return right[: len(SETTINGS)].numpy(), right[len(SETTINGS) : -1].numpy(), bool(right[-1])


def left_out(right: Hits, seed: int) -> NDArray[np.float64]:
    """right (nets, N, settings) -> (nets, N): what the setting that is best on the other parts, with all nets, gets
    right."""
    parts = np.random.default_rng(seed).permutation(right.shape[1]) % FOLDS
    scored = np.empty(right.shape[:2])
    for part in range(FOLDS):
        setting = right[:, parts != part].sum((0, 1)).argmax()
        scored[:, parts == part] = right[:, parts == part, setting]
    return scored


if __name__ == "__main__":
    run_script(main)
