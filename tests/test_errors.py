"""What a user's mistake is answered with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepinside.data.annotations import read_class_list
from deepinside.data.box_files import read_boxes
from deepinside.data.devkit import read_blacklist, read_label_ids
from deepinside.errors import UserError
from deepinside.folders import check_run
from deepinside.models.weights import load_weights
from deepinside.predictions import read_predictions
from deepinside.runs import open_run


@pytest.mark.parametrize(
    ("read", "there"),
    [
        (lambda path: check_run(path, "run"), "runs/shapes/config.yaml"),
        (open_run, "runs/shapes/config.yaml"),
        (lambda path: load_weights("squeezenet1_1", str(path)), "runs/shapes"),
        (read_blacklist, "runs/shapes"),
        (lambda path: read_label_ids(str(path), ["n01440764"]), "runs/shapes"),
        (read_class_list, "runs/shapes"),
        (lambda path: read_predictions(path, [], [], None), "runs/shapes"),
        (read_boxes, "runs/shapes"),
    ],
)
def test_a_path_that_is_not_there_is_answered_with_what_lies_beside_it(
    tmp_path: Path, read: Callable[[Path], Any], there: str
) -> None:
    """Also where the folder above it is not there."""
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).touch()
    with pytest.raises(UserError, match=r"did you mean 'shapes'\?$"):
        read(tmp_path / "runs" / "shapse")
    with pytest.raises(UserError, match=r"did you mean 'runs'\?$"):
        read(tmp_path / "rnus" / "shapes")
    with pytest.raises(UserError) as told:
        read(tmp_path / "zzz" / "shapes")
    assert "did you mean" not in str(told.value)


def test_what_is_there_is_not_what_was_meant(tmp_path: Path) -> None:
    """A folder in place of a file."""
    with pytest.raises(UserError) as told:
        read_blacklist(tmp_path)
    assert "did you mean" not in str(told.value)
