"""Boxes on real pictures: what the presets, CAM and boxes that know nothing get right, and which attribution cuts best.

    python -m tests.benchmarks.localisation_table data.root=DIR[,DIR] model.name=squeezenet1_1 model.weights=FILE
    python -m tests.benchmarks.localisation_table ... attributions=150

Any CLS-LOC tree, any classification ConvNet; the keys are those of analyse.py (data.limit=N: N pictures of
each tree), and attributions=N, for the second table, on N pictures drawn from all trees. Percent, class known: IoU >=
0.5 with any box; 95% bootstrap intervals over the pictures, differences paired. Markdown on stdout, progress on stderr.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray

from callbacks.gathering import spread
from deepinside.bootstrap import interval, interval_of_values, resampled_means
from deepinside.config import DataConfig, SharedConfig
from deepinside.config.options import option
from deepinside.data.chosen import ChosenPictures
from deepinside.data.devkit import read_blacklist
from deepinside.data.module import PictureData
from deepinside.data.source import open_split
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.launch import run_script
from deepinside.load_config import load_config
from deepinside.models.build import build_convnet
from deepinside.models.convnet import ConvNet
from deepinside.trainer import quieten
from tests.benchmarks import localisation_rows as rows
from tests.benchmarks.localisation_rows import Judged
from tests.benchmarks.side_by_side import machine, print_table

RECIPES = Path(__file__).resolve().parents[2] / "configs"
Values = NDArray[np.float64]
Item = TypeVar("Item")


@dataclass
class TableConfig(SharedConfig):
    data: DataConfig = field(default_factory=lambda: DataConfig(name="ilsvrc"))
    attributions: int = option(0, "compare attributions, on so many pictures; 0: the methods, on all", low=0)


def main(arguments: list[str]) -> None:
    config = load_config(TableConfig, arguments, RECIPES)
    if config.model.weights == "none" or not config.data.root:
        raise UserError("needed: data.root=DIR[,DIR] model.name=... model.weights=...")
    quieten()
    convnet = build_convnet(config.model, config.data).to("cuda" if torch.cuda.is_available() else "cpu")
    if config.attributions:
        check_any_size(convnet)
    trees = chosen(config)
    total = sum(len(source) for source in trees.values())
    work = rows.attributions if config.attributions else rows.methods
    seen = ((tree, p) for tree, source in trees.items() for p in pictures(config, convnet, source))
    judged = [(tree, work(convnet, picture)) for tree, picture in watched(seen, total)]
    if not judged:
        raise UserError(f"{config.data.root}: no picture has boxes to score against")
    print(machine(convnet.mean.device.type))
    for name in ("cam", "deconvnet", "guided"):
        if reason := missing(convnet, name):
            print(f"without {rows.ATTRIBUTIONS[name]}: {reason}")
    print()
    (print_attributions if config.attributions else print_methods)(judged)


def chosen(config: TableConfig) -> dict[str, ChosenPictures]:
    """The validation pictures of each tree, or some of all of them."""
    roots = [Path(root) for root in (config.data.root or "").split(",")]
    sources = [open_split(replace(config.data, root=str(root)), "val", config.seed) for root in roots]
    total, first, trees = sum(map(len, sources)), 0, {}
    wanted = spread(config.attributions or total, total)
    for root, source in zip(roots, sources, strict=True):
        name = root.name if root.name not in trees else str(root)
        trees[name] = ChosenPictures(source, [i - first for i in wanted if first <= i < first + len(source)])
        first += len(source)
    return {name: source for name, source in trees.items() if len(source)}


def pictures(config: TableConfig, convnet: ConvNet, source: ChosenPictures) -> Iterator[WholePicture]:
    """Those with boxes that the blacklist does not name."""
    listed = read_blacklist(Path(config.localisation.blacklist)) if config.localisation.blacklist else set()
    data = PictureData(replace(config.data, batch_size=1, workers=0), convnet, val=source)
    for batch in data.test_dataloader():
        yield from (p for p in batch["pictures"] if len(p.boxes) and p.name not in listed)


def watched(items: Iterable[Item], total: int, every: float = 20.0) -> Iterator[Item]:
    """The items, with a line on stderr every so many seconds."""
    start = told = time.monotonic()
    for done, item in enumerate(items):
        if (now := time.monotonic()) - told > every:
            left = (now - start) / done * (total - done) / 60
            print(f"{done} of {total} pictures, {left:.0f} min left", file=sys.stderr, flush=True)
            told = now
        yield item


def check_any_size(convnet: ConvNet) -> None:
    """Attributions are taken of whole pictures."""
    side = convnet.preprocessing.crop
    try:
        with torch.no_grad():
            convnet.eval()(torch.zeros(1, 3, side, side + 64).to(convnet.mean.device))
    except RuntimeError:
        raise UserError(f"attributions: {convnet.name} takes pictures of {side}x{side} only") from None


def missing(convnet: ConvNet, attribution: str) -> str:
    """Why the net does not have this attribution; empty where it does."""
    side = convnet.preprocessing.crop
    try:
        rows.attribution_map(convnet, torch.rand(3, side, side).to(convnet.mean.device), 0, attribution)
    except UserError as error:
        return str(error)
    return ""


def chosen_rules(judged: Sequence[tuple[str, Judged]]) -> dict[str, tuple[str, Values]]:
    """{row: (rule, (N, 2): class known, top-5 error)}. Of several rules the one that gets most pictures right is taken:
    chosen with the boxes of these very pictures."""
    rules: dict[str, list[str]] = {}
    for row, rule in judged[0][1]:
        rules.setdefault(row, []).append(rule)
    found = {}
    for row, several in rules.items():
        best = max(several, key=lambda rule: sum(one[row, rule][0] for _, one in judged))
        found[row] = best, np.array([one[row, best] for _, one in judged])
    return found


def print_methods(judged: Sequence[tuple[str, Judged]]) -> None:
    """A row for each method; two columns for each tree and for all of them; two of differences on all."""
    found, trees = chosen_rules(judged), np.array([tree for tree, _ in judged])
    parts = {tree: trees == tree for tree in dict.fromkeys(trees)}
    if len(parts) > 1:
        parts["all"] = trees != ""
    rivals = [rival for rival in (rows.CENTRE, rows.CAM) if rival in found]
    table = []
    for row in [row for row in rows.TABLE if row in found]:
        rule, values = found[row]
        tried = sum(other == row for other, _ in judged[0][1])
        cells = [f"{row}: {rule} (best of {tried} on these pictures)" if rule else row]
        for part in parts.values():
            cells += [percent(values[part, 0]), f"{100 * values[part, 1].mean():.1f}"]
        cells += [difference(values[:, 0] - found[rival][1][:, 0]) if row != rival else "" for rival in rivals]
        table.append(cells)
    figures = ("class known", "top-5 error")
    head = ["", *(f"{name}, {part.sum()}: {figure}" for name, part in parts.items() for figure in figures)]
    print_table([*head, *(f"minus {rival.split(',')[0]}" for rival in rivals)], table)
    for name, part in parts.items():
        top1, top5_error = 100 * found[rows.CLASSES][1][part].mean(0)
        print(f"\n{name}, {rows.CLASSES}: top-1 {top1:.1f}, top-5 {100 - top5_error:.1f}")


def print_attributions(judged: Sequence[tuple[str, Judged]]) -> None:
    """A row for each attribution, a column for each cut, and for `best` the difference to the gradient."""
    values = {key: np.array([one[key][0] for _, one in judged]) for key in judged[0][1]}
    last = list(rows.CUTS)[-1]
    table = [
        [
            title,
            *(percent(values[name, cut]) for cut in rows.CUTS),
            difference(values[name, last] - values[rows.GRADIENT, last]) if name != rows.GRADIENT else "",
        ]
        for name, title in rows.ATTRIBUTIONS.items()
        if (name, last) in values
    ]
    print(f"{len(judged)} pictures\n")
    print_table(["attribution", *rows.CUTS, f"{last}: minus gradient"], table)


def percent(values: Values) -> str:
    """Mean and 95% interval of (N,)."""
    found = interval(_draws(values), values)
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * number for number in (values.mean(), *found)))


def difference(values: Values) -> str:
    """The same of paired differences (N,), with its sign."""
    found = interval_of_values(_draws(values), values, least=-1)
    return "{:+.1f} [{:.1f}, {:.1f}]".format(*(100 * number for number in (values.mean(), *found)))


def _draws(values: Values) -> Values:
    return np.concatenate(list(resampled_means(values)))


if __name__ == "__main__":
    run_script(main)
