"""Folders of results as train.py leaves them, made up by hand: what comparisons and reports read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from deepinside.records import FILE, Guess, PictureRecord, write_records

TRUTH = [20.0, 20.0, 60.0, 60.0]


def record(
    index: int, right: bool = True, shift: float = 0.0, image: str = "", class_id: str = "n01", **more: Any
) -> PictureRecord:
    """The object is TRUTH, the predicted box TRUTH moved to the right by `shift` pixels, at most 40."""
    box = [TRUTH[0] + shift, TRUTH[1], TRUTH[2] + shift, TRUTH[3]]
    iou = (40 - shift) / (40 + shift)
    hit = right and iou >= 0.5
    guess = Guess(class_id if right else "n99", "goose" if right else "other", 0.75, box, iou, hit)
    values = {
        "index": index,
        "image": image or f"picture_{index}",
        "size": (100, 120),
        "class_id": class_id,
        "class_name": "goose",
        "boxes": [TRUTH],
        "guesses": [guess],
        "known_box": box,
        "classification": {"top1_error": float(not right), "top5_error": 0.0},
        "localisation": {
            "top1_error": float(not hit),
            "gt_known_accuracy": float(iou >= 0.5),
            "mean_iou": iou,
            "saliency_mass": 0.3,
        },
    }
    return PictureRecord(**(values | more))


def write_run(folder: Path, records: Sequence[PictureRecord], kept: int = 0, **config: Any) -> Path:
    """With the first so many pictures' files, a class model, and the centred box at 0.5 in everything."""
    place = folder / "localisation"
    (place / "kept").mkdir(parents=True)
    noise = np.random.default_rng(len(str(folder)))
    named = list(records)
    for i, one in enumerate(named[:kept]):
        Image.new("RGB", (60, 50), (90, 120, 60)).save(place / "kept" / f"{i}.jpg")
        Image.fromarray(noise.integers(0, 255, (25, 30), np.uint8)).save(place / "kept" / f"{i}_map.png")
        files = {"picture": f"kept/{i}.jpg", "saliency": f"kept/{i}_map.png"}
        named[i] = PictureRecord(**(vars(one) | files))
    write_records(place / FILE, named)
    (folder / "class_models" / "pictures").mkdir(parents=True)
    Image.new("RGB", (40, 60), (120, 60, 60)).save(folder / "class_models" / "pictures" / "0000_goose.png")
    (folder / "config.yaml").write_text(yaml.safe_dump({"name": folder.name, "out": None, "seed": 0} | config))
    centre = {"top1_error": 0.5, "gt_known_accuracy": 0.5, "mean_iou": 0.5}
    (folder / "metrics.json").write_text(json.dumps({"images": len(named), "baselines": {"centre_box": centre}}))
    return folder
