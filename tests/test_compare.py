"""Comparison of runs: paired statistics, what may be paired, where runs disagree, what differs in their settings."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student_t

from deepinside.compare import Comparison, Measure, OverSeeds, compare, mean_interval
from deepinside.compare.disagreement import by_disagreement, overlap
from deepinside.compare.kept import keep_class_models, keep_pictures
from deepinside.compare.pairing import label_runs, pair_pictures
from deepinside.compare.seeds import over_seeds
from deepinside.compare.settings import differing_settings, trained
from deepinside.compare.statistics import paired_differences
from deepinside.compare.tables import seeds_note, seeds_rows
from deepinside.errors import UserError
from deepinside.report.comparison_report import _over_seeds
from deepinside.runs import Run, open_run

from . import trees
from .comparable_runs import TRUTH, record, write_run


def hits(only_first: int, only_this: int, both: int = 5, neither: int = 5) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([1.0, 0.0, 1.0, 0.0], [only_first, only_this, both, neither])
    this = np.repeat([0.0, 1.0, 1.0, 0.0], [only_first, only_this, both, neither])
    return first[None], this[None]


class TestStatistics:
    def test_mcnemars_exact_p(self) -> None:
        """P(B(10, 1/2) <= 1 or >= 9) = 2 * 11 / 1024."""
        [found] = paired_differences(*hits(1, 9), [False])
        assert found.mcnemar is not None
        assert (found.mcnemar.only_first, found.mcnemar.only_this) == (1, 9)
        assert found.mcnemar.p == pytest.approx(22 / 1024)
        assert found.difference == pytest.approx(8 / 20)

    def test_an_error_of_zero_is_a_hit(self) -> None:
        first, this = hits(1, 9)
        [found] = paired_differences(1 - first, 1 - this, [True])
        assert found.mcnemar is not None
        assert (found.mcnemar.only_first, found.mcnemar.only_this) == (1, 9)
        assert found.difference == pytest.approx(-8 / 20)

    def test_a_measure_that_is_no_hit_has_no_test(self) -> None:
        first, this = np.array([[0.0, 0.25, 1.0]]), np.array([[1.0, 0.5, 1.0]])
        [found] = paired_differences(first, this, [False])
        assert found.mcnemar is None
        assert found.difference == pytest.approx(1.25 / 3)

    def test_a_run_does_not_differ_from_itself(self) -> None:
        values, _ = hits(3, 4)
        [found] = paired_differences(values, values, [False])
        assert found.difference == 0
        assert -found.low == found.high == pytest.approx(1.96**2 / (17 + 1.96**2), abs=1e-4)  # of 17 none differs
        assert found.mcnemar is not None
        assert (found.mcnemar.only_first, found.mcnemar.only_this, found.mcnemar.p) == (0, 0, 1)

    def test_shares_that_agree_in_every_picture_are_a_point(self) -> None:
        """One net twice: Wilson's width belongs to hits, not to a mean IoU."""
        values = np.random.default_rng(2).random((1, 12))
        [found] = paired_differences(values, values, [False])
        assert (found.low, found.high) == (0, 0)

    def test_what_is_hard_for_both_cancels(self) -> None:
        """A difference that is the same in every picture has no width, whatever the pictures' own spread."""
        first = np.random.default_rng(1).random((1, 50))
        [found] = paired_differences(first, first + 0.25, [False])
        assert (found.low, found.high) == pytest.approx((0.25, 0.25))
        mean, low, high = mean_interval(first[0])
        assert low < mean < high
        assert high - low > 0.1

    def test_intervals_of_few_graded_pictures_reach_below_zero(self) -> None:
        """-0.2, -0.3 and -0.4: mean -0.3, t s / sqrt(3) = 4.3027 * 0.1 / sqrt(3) = 0.24842."""
        first, this = np.array([[0.5, 0.6, 0.7]]), np.array([[0.3, 0.3, 0.3]])
        [found] = paired_differences(first, this, [False])
        assert (found.difference, found.low, found.high) == pytest.approx((-0.3, -0.54842, -0.05158), abs=1e-5)
        assert mean_interval((this - first)[0]) == pytest.approx((-0.3, -0.54842, -0.05158), abs=1e-5)

    def test_the_interval_is_the_binomials(self) -> None:
        [found] = paired_differences(*hits(0, 120, 280, 0), [False])
        spread = 1.96 * np.sqrt(0.3 * 0.7 / 400)
        assert (found.low, found.high) == pytest.approx((0.3 - spread, 0.3 + spread), abs=0.006)

    def test_two_pictures_that_one_alone_has_right_prove_nothing(self) -> None:
        [found] = paired_differences(*hits(0, 2, 0, 48), [False])
        assert found.low < 0 < found.difference == 0.04 < found.high
        assert found.mcnemar is not None
        assert found.mcnemar.p == 0.5

    def test_intervals_cover_the_truth_as_often_as_they_say(self) -> None:
        """Twice 200 pictures, the second run truly 10 points better: of 100 such experiments, 95 +- 3 sigma."""
        random = np.random.default_rng(3)
        first = (random.random((100, 200)) < 0.5).astype(float)
        this = np.where(random.random((100, 200)) < 0.2, 1.0, first)  # P(wins) = 0.5 * 0.2
        found = paired_differences(first, this, [False] * 100)
        assert 89 <= sum(one.low <= 0.1 <= one.high for one in found) <= 100

    def test_seeded(self) -> None:
        first, this = np.random.default_rng(4).random((2, 3, 40))
        kinds = [False] * 3
        assert paired_differences(first, this, kinds) == paired_differences(first, this, kinds)
        assert paired_differences(first, this, kinds) != paired_differences(first, this, kinds, seed=1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seed": ["0", "1"]}, "their seed alone: .* chance in training"),
        ({"seed": ["0", "1"], "optim.lr": ["1", "2"]}, "^Intervals and p hold for these nets; "),
        ({"localisation.preset": ["paper", "vgg"]}, "^$"),
        ({}, "^$"),
    ],
)
def test_what_the_intervals_do_not_cover_is_said(settings: dict[str, list[str | None]], told: str) -> None:
    assert re.search(told, Comparison(["a", "b"], [], [], settings, [], []).caveat)


class TestOverSeeds:
    """Settings are as `differing_settings` gives them, measures one of each run."""

    @staticmethod
    def found(values: list[float], **settings: list[str | None]) -> OverSeeds | None:
        labels = list("abcdefgh")[: len(values)]
        return over_seeds(labels, settings, [Measure("localisation", "mean_iou", 10, values, [None] * len(values), [])])

    def test_means_deviations_and_welchs_interval(self) -> None:
        """Means .2 and .5, deviations .1 and .2, three runs each: s^2 = .01 / 3 + .04 / 3 = .05 / 3, of
        (.05 / 3)^2 / ((.01 / 3)^2 / 2 + (.04 / 3)^2 / 2) = 50 / 17 degrees of freedom."""
        erase = ["0.5", "0.0"] * 3
        told = self.found([0.1, 0.3, 0.2, 0.5, 0.3, 0.7], seed=list("001122"), erase=erase)
        assert told is not None
        assert [recipe.label for recipe in told.recipes] == ["a, 3 seeds", "b, 3 seeds"]
        assert [recipe.runs for recipe in told.recipes] == [["a", "c", "e"], ["b", "d", "f"]]
        [measure] = told.measures
        assert measure.means == pytest.approx([0.2, 0.5])
        assert measure.deviations == pytest.approx([0.1, 0.2])
        [difference] = measure.differences
        half = student_t.ppf(0.975, 50 / 17) * np.sqrt(0.05 / 3)
        assert difference.difference == pytest.approx(0.3)
        assert difference.interval == pytest.approx((0.3 - half, 0.3 + half))
        assert told.tells
        assert "minus: Welch's" in seeds_note(told)

    def test_one_recipe_without_any_deviation(self) -> None:
        """s^2 / 2 of .1 and .2, 1 degree of freedom: t = 12.706; no warning of lost precision."""
        told = self.found([0.5, 0.1, 0.5, 0.2], seed=["0", "0", "1", "1"], erase=["0.5", "0.0"] * 2)
        assert told is not None
        [difference] = told.measures[0].differences
        half = student_t.ppf(0.975, 1) * 0.05
        assert difference.interval == pytest.approx((-0.35 - half, -0.35 + half))

    def test_one_run_has_no_deviation_and_no_interval(self) -> None:
        told = self.found([0.1, 0.2, 0.4], seed=["0", "1", "0"], erase=["0.5", "0.5", "0.0"])
        assert told is not None
        assert [recipe.label for recipe in told.recipes] == ["a, 2 seeds", "c"]
        [measure] = told.measures
        assert measure.deviations == [pytest.approx(0.1 / np.sqrt(2)), None]
        assert measure.differences[0].interval is None
        assert not told.tells
        assert seeds_note(told) == "mean ± standard deviation over runs that differ in their seed alone"

    def test_terminal_and_report_have_the_same_measures(self) -> None:
        names = ("top1_error", "top2_error", "mean_iou")
        measures = [Measure("localisation", name, 10, [0.1, 0.2], [None, None], []) for name in names]
        told = over_seeds(["a", "b"], {"seed": ["0", "1"]}, measures)
        assert told is not None
        shown = [[row[0] for row in rows] for rows in (seeds_rows(told)[1], _over_seeds(told)["rows"])]
        assert shown[0] == ["localisation top-1 error", "mean IoU"]
        assert shown[1] == ["Localisation error, top-1", "Mean IoU, class known"]

    def test_seeds_alone_are_one_recipe(self) -> None:
        told = self.found([0.1, 0.2], seed=["0", "1"])
        assert told is not None
        assert [recipe.label for recipe in told.recipes] == ["a, 2 seeds"]
        assert told.measures[0].differences == []

    def test_equal_values_do_not_tell_how_far_chance_reaches(self) -> None:
        told = self.found([0.1, 0.1, 0.4, 0.4], seed=list("0101"), erase=["0.5", "0.5", "0.0", "0.0"])
        assert told is not None
        assert told.measures[0].differences[0].interval is None

    @pytest.mark.parametrize(
        "settings",
        [
            {"seed": ["0", "1", "2"], "erase": ["0.5", "0.0", "0.1"]},  # a run each
            {"erase": ["0.5", "0.5", "0.0"]},  # two of the same seed
            {"seed": ["0", "0", "1"], "erase": ["0.5", "0.5", "0.0"]},
        ],
    )
    def test_other_runs_are_no_seeds(self, settings: dict[str, list[str | None]]) -> None:
        assert self.found([0.1, 0.2, 0.3], **settings) is None


class TestPairing:
    def test_in_the_order_of_the_first_run(self, tmp_path: Path) -> None:
        first = [record(0), record(1), record(2)]
        second = [record(0, image="picture_2"), record(1, image="picture_0"), record(2, image="picture_1", right=False)]
        paired = pair_pictures(runs(tmp_path, first, second))
        assert [one.image for one in paired[1]] == [one.image for one in paired[0]]
        assert paired[1][1].classification["top1_error"] == 1

    def test_the_same_name_twice_in_a_class(self, tmp_path: Path) -> None:
        pictures = [record(0, image="a"), record(1, image="a", right=False)]
        paired = pair_pictures(runs(tmp_path, pictures, pictures))
        assert [one.index for one in paired[1]] == [0, 1]
        paired = pair_pictures(runs(tmp_path / "other order", pictures, pictures[::-1]))
        assert [one.index for one in paired[1]] == [0, 1]

    def test_other_pictures(self, tmp_path: Path) -> None:
        found = refusal(tmp_path, [record(i) for i in range(3)], [record(i) for i in range(1, 5)])
        assert found == (
            f"{tmp_path}/b and {tmp_path}/a cannot be paired: 1 of 3 pictures of {tmp_path}/a are not in {tmp_path}/b, "
            f"the first is picture_0; 2 of 4 pictures of {tmp_path}/b are not in {tmp_path}/a, the first is picture_3"
        )

    def test_other_classes(self, tmp_path: Path) -> None:
        found = refusal(tmp_path, [record(0), record(1)], [record(0), record(1, class_id="n02")])
        assert "1 of 2 pictures have other classes" in found
        assert found.endswith(f"the first is picture_1: n01 in {tmp_path}/a, n02 in {tmp_path}/b")

    def test_other_pictures_of_the_same_name(self, tmp_path: Path) -> None:
        """Made anew by another script, say."""
        found = refusal(tmp_path, [record(0), record(1)], [record(0), record(1, boxes=[[0.0, 0.0, 9.0, 9.0]])])
        assert "1 of 2 pictures have another size or other true boxes, the first is picture_1" in found

    def test_other_sizes_of_pictures(self, tmp_path: Path) -> None:
        found = refusal(tmp_path, [record(0), record(1)], [record(0), record(1, size=(100, 121))])
        assert "1 of 2 pictures have another size or other true boxes, the first is picture_1" in found

    def test_no_records(self, tmp_path: Path) -> None:
        trees.write(tmp_path / "b" / "checkpoints" / "last.ckpt", "")
        found = refusal(tmp_path, [record(0), record(1)], [])
        assert f"`python train.py resume={tmp_path}/b` makes it at its end" in found

    def test_no_records_and_no_checkpoint(self, tmp_path: Path) -> None:
        found = refusal(tmp_path, [record(0), record(1)], [])
        assert found.endswith("its training was stopped before its first epoch was done")

    def test_no_records_of_an_analysis(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "b", [], task="saliency")
        photographs = write_run(tmp_path / "c", [], task="localise", images="photo.jpg")
        with pytest.raises(UserError, match="task=localise images= leaves none; give the folder of a run"):
            compare([open_run(photographs), open_run(run)])
        stopped = write_run(tmp_path / "d", [], task="localise", images=None)
        with pytest.raises(UserError, match="task=localise was stopped before its end; the same command goes on"):
            compare([open_run(stopped), open_run(run)])
        with pytest.raises(UserError, match="task=saliency leaves none; give the folder of a run"):
            pair_pictures([open_run(write_run(tmp_path / "a", [record(0), record(1)])), open_run(run)])

    def test_ten_crops_against_one(self, tmp_path: Path) -> None:
        bare = [replace(record(i), known_box=None, localisation={}) for i in range(2)]
        found = refusal(tmp_path, [record(0), record(1)], bare)
        assert f"{tmp_path}/b measured the classes of the centre crop, the other those of ten crops" in found
        assert found.endswith(f"`python analyse.py task=localise run={tmp_path}/b` measures them")

    def test_one_picture(self, tmp_path: Path) -> None:
        assert "evaluated on one picture" in refusal(tmp_path, [record(0)], [record(0)])

    def test_labels(self, tmp_path: Path) -> None:
        assert label_runs([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
        assert label_runs([tmp_path / "a", tmp_path / "b" / "localise"]) == ["a", "b/localise"]
        assert label_runs([tmp_path / "a", tmp_path / "a" / "localise"]) == ["a", "a/localise"]
        with pytest.raises(UserError, match="at least two folders"):
            label_runs([tmp_path])
        with pytest.raises(UserError, match=f"names the same folder twice: {tmp_path}/a"):
            label_runs([tmp_path / "a", tmp_path / "b" / ".." / "a"])
        (tmp_path / "a").mkdir()
        (tmp_path / "link").symlink_to("a")
        with pytest.raises(UserError, match=f"names the same folder twice: {tmp_path}/a"):
            label_runs([tmp_path / "a", tmp_path / "link"])


class TestDisagreement:
    def test_right_against_wrong_then_overlap_with_the_truth_then_with_each_other(self, tmp_path: Path) -> None:
        first = [record(0), record(1), record(2), record(3), record(4)]
        mirrored = [TRUTH[0] - 10, TRUTH[1], TRUTH[2] - 10, TRUTH[3]]
        first[2] = record(2, shift=10)
        second = [record(0), record(1, shift=5), record(2, shift=10, known_box=mirrored), record(3, right=False)]
        second.append(record(4, shift=10))
        found = by_disagreement([first, second])
        assert [one.place for one in found] == [3, 4, 1, 2, 0]
        assert found[0].right == [True, False]
        assert found[1].iou == pytest.approx([1, 0.6])
        assert (found[3].overlap, found[4].overlap) == pytest.approx((20 / 60, 1))

    def test_a_right_class_with_a_wrong_box_is_wrong(self) -> None:
        [found] = by_disagreement([[record(0)], [record(0, shift=20)]])
        assert found.right == [True, False]

    def test_without_true_boxes_the_class_decides(self) -> None:
        bare = [replace(record(i), boxes=[], localisation={}) for i in range(2)]
        wrong = [replace(record(i, right=i == 0), boxes=[], localisation={}) for i in range(2)]
        found = by_disagreement([bare, wrong])
        assert [(one.place, one.differs) for one in found] == [(1, True), (0, False)]
        assert found[0].iou == [None, None]

    def test_guessed_classes_without_boxes(self) -> None:
        bare = [replace(record(i), boxes=[], localisation={}, known_box=None) for i in range(2)]
        wrong = [replace(one, classification={"top1_error": float(one.index == 1)}) for one in bare]
        found = by_disagreement([bare, wrong])
        assert [(one.place, one.differs, one.overlap) for one in found] == [(1, True, None), (0, False, None)]

    def test_overlap(self) -> None:
        assert overlap([0, 0, 2, 2], [1, 1, 3, 3]) == pytest.approx(1 / 7)
        assert overlap([0, 0, 2, 2], [2, 0, 4, 2]) == 0
        assert overlap([0, 0, 9, 9], [10, 10, 19, 19]) == 0  # apart in both directions
        assert overlap([1, 1, 1, 1], [1, 1, 1, 1]) == 0


class TestSettings:
    def test_only_what_differs(self, tmp_path: Path) -> None:
        a = write_run(tmp_path / "a", [], data={"erase": 0.5, "root": None}, optim={"lr": 0.1}, seed=1)
        b = write_run(tmp_path / "b", [], data={"erase": 0.0, "root": None}, seed=1)
        c = write_run(tmp_path / "c", [], data={"erase": 0.5, "root": "pictures"}, optim={"lr": 0.1}, seed=2)
        assert differing_settings([open_run(folder) for folder in (a, b, c)]) == {
            "seed": ["1", "1", "2"],
            "data.erase": ["0.5", "0.0", "0.5"],
            "data.root": ["null", "null", "pictures"],
        }

    def test_an_analysis_takes_the_optimiser_from_its_run(self, tmp_path: Path) -> None:
        runs = []
        for name, lr in (("a", 0.1), ("b", 0.2)):
            run = write_run(
                tmp_path / name, [], optim={"lr": lr}, trainer={"max_epochs": 10 * lr, "devices": 8}, model={}
            )
            config = {"run": str(run), "task": "localise", "trainer": {"max_epochs": 90, "devices": name}}
            weights = {"weights": f"{run}/checkpoints/last.ckpt", "classes": f"{name}.txt"}
            runs.append(open_run(write_run(run / "localise", [], model=weights, **config)))
        assert differing_settings(runs) == {"optim.lr": ["0.1", "0.2"], "trainer.max_epochs": ["1.0", "2.0"]}

    def test_other_weights_than_those_of_its_run_are_told(self, tmp_path: Path) -> None:
        run, runs = write_run(tmp_path / "a", [], model={}), []
        for weights in (f"{run}/checkpoints/last.ckpt", "mine.pth", "yours.pth"):
            place = run / weights.replace("/", "_")
            runs.append(open_run(write_run(place, [], run=str(run), task="localise", model={"weights": weights})))
        assert differing_settings(runs) == {"model.weights": [None, "mine.pth", "yours.pth"]}

    def test_what_the_number_of_classes_came_to_is_told(self, tmp_path: Path) -> None:
        """`model.num_classes=null`, the default, is as many as data or weights have."""
        runs = [
            write_run(tmp_path / name, [], model={"num_classes": given}) for name, given in (("a", None), ("b", 10))
        ]
        trees.write(runs[1] / "metrics.json", '{"classes": 10}')
        assert differing_settings(list(map(open_run, runs))) == {"model.num_classes": ["null", "10"]}  # as it is known
        trees.write(runs[0] / "metrics.json", '{"classes": 10}')
        assert differing_settings(list(map(open_run, runs))) == {}
        trees.write(runs[0] / "metrics.json", '{"classes": 1000}')
        assert differing_settings(list(map(open_run, runs))) == {"model.num_classes": ["1000", "10"]}

    def test_what_an_analysis_does_not_heed_is_no_difference(self, tmp_path: Path) -> None:
        run = write_run(
            tmp_path / "a", [], class_models={"count": 2}, localisation={"preset": "best"}, optim={"lr": 0.1}
        )
        own = {"class_models": {"count": 10}, "localisation": {"preset": "vgg"}, "trainer": {"max_epochs": 90}}
        alone = write_run(tmp_path / "b", [], task="localise", model={"name": "vgg16"}, **own)
        found = differing_settings([open_run(folder) for folder in (run, alone)])
        assert found == {"localisation.preset": ["best", "vgg"]}

    def test_the_analysed_run_is_found_from_anywhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its folder is written as it was typed, from the project's folder."""
        write_run(tmp_path / "runs/a", [], optim={"lr": 0.1})
        weights = {"weights": "runs/a/checkpoints/last.ckpt"}
        found = open_run(write_run(tmp_path / "runs/a/localise", [], run="runs/a", task="localise", model=weights))
        write_run(tmp_path / "other/runs/a", [], optim={"lr": 0.7})
        monkeypatch.chdir(tmp_path / "other")
        assert trained(found).config["optim"] == {"lr": 0.1}
        monkeypatch.chdir(tmp_path / "runs/a")
        other = open_run(write_run(tmp_path / "b", [], optim={"lr": 0.2}))
        assert differing_settings([found, other]) == {"optim.lr": ["0.1", "0.2"]}


class TestCompare:
    def test_measures(self, tmp_path: Path) -> None:
        """By hand: of four pictures the first run has the classes right, the second misses one class and one box."""
        first = [record(i) for i in range(4)]
        second = [record(0), record(1, shift=20), record(2, right=False), record(3)]
        found = {(one.part, one.name): one for one in compare(runs(tmp_path, first, second)).measures}
        assert list(found)[:2] == [("classification", "top1_error"), ("classification", "top5_error")]
        top1 = found["localisation", "top1_error"]
        assert (top1.values, top1.images, top1.centre_box) == ([0.0, 0.5], 4, [0.5, 0.5])
        [difference] = top1.differences
        low = 0.5 - math.hypot(0.5 - 0.15, 0.4899)  # Wilson's bounds of 2 and of 0 in 4
        assert (difference.difference, difference.low, difference.high) == pytest.approx((0.5, low, 1), abs=1e-3)
        assert difference.mcnemar is not None
        assert (difference.mcnemar.only_first, difference.mcnemar.p) == (2, 0.5)
        assert found["classification", "top1_error"].values == [0, 0.25]
        iou = found["localisation", "mean_iou"]
        assert iou.values == pytest.approx([1, (3 + 1 / 3) / 4])
        assert iou.differences[0].mcnemar is None
        assert found["classification", "top1_error"].centre_box == [None, None]

    def test_pictures_without_boxes_are_classified_only(self, tmp_path: Path) -> None:
        pictures = [*(record(i) for i in range(3)), replace(record(3), boxes=[], localisation={})]
        found = compare(runs(tmp_path, pictures, pictures))
        assert {(one.part, one.images) for one in found.measures} == {("classification", 4), ("localisation", 3)}

    def test_one_picture_with_boxes_is_nothing_to_resample(self, tmp_path: Path) -> None:
        pictures = [record(0), *(replace(record(i), boxes=[], localisation={}) for i in (1, 2))]
        assert {one.part for one in compare(runs(tmp_path, pictures, pictures)).measures} == {"classification"}

    def test_what_one_run_alone_kept_is_shown_but_no_class_model_of_one_run(self, tmp_path: Path) -> None:
        records = [record(0), record(1)]
        first, second = (write_run(tmp_path / name, records, kept=kept) for name, kept in (("a", 0), ("b", 1)))
        (first / "class_models" / "pictures" / "0000_goose.png").rename(
            first / "class_models" / "pictures" / "0001_swan.png"
        )
        found = compare([open_run(first), open_run(second)])
        [shown] = keep_pictures(found, [{}], tmp_path / "out")
        assert shown.photo.is_file()
        assert [one is None for one in shown.maps] == [True, False]
        assert keep_class_models(found, tmp_path / "out") == {}

    def test_the_json_tells_the_first_500_pictures(self, tmp_path: Path) -> None:
        pictures = [record(0), record(1)]
        found = compare(runs(tmp_path, pictures, pictures))
        many = replace(found, disagreements=found.disagreements * 251)
        assert len(many.as_json()["disagreements"]) == 500

    def test_what_a_run_does_not_know_of_every_picture_is_not_compared(self, tmp_path: Path) -> None:
        first, second = [record(0), record(1)], [record(0), record(1)]
        second[1] = replace(second[1], localisation={"top1_error": second[1].localisation["top1_error"]})
        found = compare(runs(tmp_path, first, second)).measures
        assert [one.name for one in found if one.part == "localisation"] == ["top1_error"]

    def test_three_runs(self, tmp_path: Path) -> None:
        pictures = [record(i) for i in range(3)]
        worse = [record(i, right=False) for i in range(3)]
        found = compare(runs(tmp_path, pictures, pictures, worse))
        assert found.labels == ["a", "b", "c"]
        assert [one.difference for one in found.measures[0].differences] == [0, 1]

    def test_a_later_analysis_brings_its_own_centre_box(self, tmp_path: Path) -> None:
        pictures = [record(0), record(1)]
        both = runs(tmp_path, pictures, pictures)
        (both[1].folder / "localisation").rename(both[1].folder / "localise")
        place = both[1].folder / "localise"
        (place / "config.yaml").write_text("task: localise")
        (place / "metrics.json").write_text('{"baselines": {"centre_box": {"mean_iou": 0.4}}}')
        found = {one.name: one.centre_box for one in compare([open_run(run.folder) for run in both]).measures}
        assert found["mean_iou"] == [0.5, 0.4]


def runs(folder: Path, *pictures: list) -> list[Run]:
    return [open_run(write_run(folder / name, records)) for name, records in zip("abc", pictures, strict=False)]


def refusal(folder: Path, *pictures: list) -> str:
    with pytest.raises(UserError) as found:
        pair_pictures(runs(folder, *pictures))
    assert "\n" not in str(found.value)
    return str(found.value)
