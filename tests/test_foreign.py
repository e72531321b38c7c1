"""The callbacks on a LightningModule that knows nothing of this project."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from callbacks import (
    ClassModels,
    FoundBoxes,
    Localisation,
    Pictures,
    Randomisation,
    Relation,
    SaliencyMaps,
)
from callbacks.gathering import spread
from callbacks.subject import convnet_of
from deepinside.config import ClassModelsConfig, LocalisationConfig, SaliencyConfig, SanityConfig
from deepinside.errors import UserError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class MyModule(LightningModule):
    """What a stranger writes: its own loss, optimiser and loaders; the normalisation lies in its data."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(128, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.body(x)
        return scores

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        assert not self.training, "callbacks leave the mode as Lightning has set it"
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.05)


def some(count: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, 32, 32, generator=generator), torch.arange(count) % 4


def pictures(**changes: Any) -> Pictures:
    images, labels = some()
    boxes = [torch.tensor([[4.0, 4.0, 20.0, 24.0]])] * len(images)
    return Pictures(**{"images": images, "labels": labels, "mean": MEAN, "std": STD, "boxes": boxes} | changes)


def loader() -> DataLoader[Any]:
    images, labels = some()
    normalised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return DataLoader(TensorDataset(normalised, labels), batch_size=4)


def trainer(out: Path, watchers: list[Callback], **options: Any) -> Trainer:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
    logger = TensorBoardLogger(out, name="", version="")
    quiet |= {"max_epochs": 2, "enable_checkpointing": False} | options
    return Trainer(accelerator="cpu", callbacks=watchers, logger=logger, **quiet)


def fit(out: Path, watchers: list[Callback]) -> tuple[MyModule, Tensor, Trainer]:
    seed_everything(1, verbose=False)
    module, at = MyModule(), trainer(out, watchers)
    at.fit(module, loader())
    return module, torch.rand(3), at


def test_training_is_watched_and_left_alone(tmp_path: Path) -> None:
    known = pictures(class_names=("ant", "bee", "cat", "dog"))
    watchers: list[Callback] = [
        SaliencyMaps(SaliencyConfig(images=3), pictures=known, max_overhead=None),
        ClassModels(ClassModelsConfig(every=1, steps=3), classes=[1, 3], pictures=known, max_overhead=None),
        Localisation(LocalisationConfig(every=1, images=2), pictures=known, max_overhead=None),
    ]
    watched, after, at = fit(tmp_path / "a", watchers)
    alone, after_alone, _ = fit(tmp_path / "b", [])
    assert all(
        torch.equal(a, b) for a, b in zip(watched.state_dict().values(), alone.state_dict().values(), strict=True)
    )
    assert watched.state_dict().keys() == alone.state_dict().keys()
    assert torch.equal(after, after_alone)
    assert [m.training for m in watched.modules()] == [m.training for m in alone.modules()]
    assert all(p.requires_grad for p in watched.parameters())
    logged = EventAccumulator(str(tmp_path / "a"), size_guidance={"images": 0}).Reload()
    tags = logged.Tags()["images"]
    assert {tag for tag in tags if "growth" in tag} == {"class_models/growth/0001_bee", "class_models/growth/0003_dog"}
    films = [tag for tag in tags if tag.startswith("saliency/films/")]
    assert len(films) == 3
    for tag in films:
        assert [e.step for e in logged.Images(tag)] == [3, 6]
        assert tag.split("_")[-1] == ("ant", "bee", "cat", "dog")[int(tag.split("/")[-1].split("_")[0]) % 4]
    assert [e.step for e in logged.Scalars("localisation/gt_known_accuracy")] == [3, 6]
    flat = {e.value for e in logged.Scalars("localisation_centre_box/gt_known_accuracy")}
    assert len(flat) == 1

    at.test(watched, loader(), verbose=False)
    assert watchers[2].results["images"] == 12  # type: ignore[attr-defined]
    assert len(watchers[0].results) == 3  # type: ignore[attr-defined]


def test_the_convnet_around_it_is_the_module() -> None:
    module, known = MyModule().eval(), pictures()
    convnet, images = convnet_of(module, known), some()[0]
    normalised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.equal(convnet(images), module(normalised))
    assert {id(p) for p in convnet.parameters()} == {id(p) for p in module.parameters()}
    assert [name for name, _ in module.named_children()] == ["body"]
    assert convnet.classes.names == convnet.classes.ids == ("0", "1", "2", "3")
    named = convnet_of(module, pictures(class_names=("crane", "crane", "cat", "dog"))).classes
    assert (named.ids, named.names) == (("0", "1", "2", "3"), ("crane", "crane", "cat", "dog"))
    assert module.train().training
    convnet_of(module, known)
    assert all(m.training for m in module.modules())
    assert int(module.body[1].num_batches_tracked) == 0, "BatchNorm has not seen the pass that counts the scores"


@pytest.mark.parametrize("callback", [SaliencyMaps, ClassModels, Localisation])
def test_missing_pictures_are_asked_for(tmp_path: Path, callback: type[Any]) -> None:
    with pytest.raises(UserError) as told:
        trainer(tmp_path, [callback()]).fit(MyModule(), loader())
    name = callback.__name__
    assert str(told.value).startswith(
        f"{name} on MyModule needs pictures: {name}(..., pictures=Pictures(images, labels, mean, std))"
    )
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (lambda: Localisation(pictures=pictures(boxes=None)), "needs the objects' boxes"),
        (lambda: Localisation(pictures=pictures(boxes=[torch.zeros(0, 4)] * 12)), "needs the objects' boxes"),
        (lambda: Localisation(pictures=pictures(labels=torch.full((12,), -1))), "all labels of Pictures are unknown"),
        (lambda: ClassModels(classes=[4], pictures=pictures()), "class 4 of Untouched, which gives 4 scores: 0 to 3"),
        (lambda: ClassModels(classes=[-1], pictures=pictures()), "class -1 of Untouched, which gives 4 scores: 0 to 3"),
        (lambda: ClassModels(classes=[1.5], pictures=pictures()), "class 1.5 of Untouched"),  # type: ignore[list-item]
        (lambda: ClassModels(classes=[True], pictures=pictures()), "class True of Untouched"),
        (lambda: ClassModels(mean_image=torch.rand(3, 9, 9), pictures=pictures()), r"must be .*, not \(3, 9, 9\)"),
        (lambda: SaliencyMaps(pictures=pictures(class_names=("a", "b"))), "gives 4 scores"),
        (lambda: Randomisation(pictures=pictures(class_names=("a", "b"))), "gives 4 scores"),
    ],
)
def test_what_cannot_be_looked_at_is_told_at_the_start(
    tmp_path: Path, callback: Callable[[], Callback], words: str
) -> None:
    class Untouched(MyModule):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            raise AssertionError("training, or the test, has begun")

        test_step = training_step  # type: ignore[assignment]

    watcher = callback()
    at = trainer(tmp_path, [watcher])
    with pytest.raises(UserError, match=words):
        (at.test if isinstance(watcher, Randomisation) else at.fit)(Untouched(), loader())


@pytest.mark.parametrize("callback", [SaliencyMaps, ClassModels, Localisation])
@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "max_overhead=0 must be at least 0.001"),
        (-1, "max_overhead=-1 must be at least 0.001"),
        (float("nan"), "max_overhead=nan must be a finite number"),
        ("0.5", "max_overhead=0.5 must be a number, not str"),
        ([1], r"max_overhead=\[1\] must be one value, not list"),
    ],
)
def test_a_share_that_is_none_is_told_before_the_training(callback: type[Callback], share: Any, words: str) -> None:
    """It is divided by only when the first look is done."""
    with pytest.raises(UserError, match=f"{callback.__name__}: {words}"):
        callback(pictures=pictures(), max_overhead=share)  # type: ignore[call-arg]


@pytest.mark.parametrize("callback", [SaliencyMaps, ClassModels, Localisation])
def test_a_tensor_is_no_pictures(callback: type[Callback]) -> None:
    with pytest.raises(UserError, match=f"{callback.__name__}: pictures must be Pictures.*, not Tensor"):
        callback(pictures=some()[0])  # type: ignore[call-arg]


@pytest.mark.parametrize("numbers", [{"std": (float("nan"),) * 3}, {"mean": (0.5, float("nan"), 0.5)}])
def test_numbers_that_are_none_normalise_nothing(numbers: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Pictures: mean"):
        pictures(**numbers)


@pytest.mark.parametrize(
    ("callback", "line"),
    [
        (SaliencyMaps, "SaliencyMaps takes a SaliencyConfig, not dict: SaliencyMaps(SaliencyConfig(...), ...)"),
        (ClassModels, "ClassModels takes a ClassModelsConfig, not dict"),
        (Localisation, "with `from deepinside.config import LocalisationConfig`"),
        (Randomisation, "Randomisation takes a SanityConfig, not dict"),
        (partial(Randomisation, None, None), "Randomisation takes a LocalisationConfig, not dict"),
    ],
)
def test_settings_of_another_class_are_told(callback: Callable[[Any], Callback], line: str) -> None:
    with pytest.raises(UserError, match=re.escape(line)) as told:
        callback({"every": 1})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("folder", ["kept", None])
def test_predict_is_left_to_the_module(tmp_path: Path, folder: str | None) -> None:
    """Its batches are pictures and labels; what comes of them is the module's own."""
    at = Path(tmp_path / folder) if folder else None
    watchers: list[Any] = [
        ClassModels(ClassModelsConfig(steps=2), at and at / "c", classes=[1], pictures=pictures()),
        SaliencyMaps(SaliencyConfig(images=1), at and at / "s", pictures=pictures()),
        Localisation(LocalisationConfig(), at and at / "l", pictures=pictures()),
    ]
    module = MyModule()
    module.predict_step = lambda batch, batch_idx: module(batch[0])  # type: ignore[method-assign, misc]
    scores = trainer(tmp_path, watchers).predict(module, loader())
    assert [tuple(batch.shape) for batch in scores or ()] == [(4, 4)] * 3  # type: ignore[union-attr]
    assert watchers[0].results == []
    assert [row["index"] for row in watchers[1].results] == spread(1, 12)
    assert not (tmp_path / "kept" / "c").exists()


def test_a_trial_run_writes_no_files(tmp_path: Path) -> None:
    """fast_dev_run looks in all ways, at class models for as many steps as batches; afterwards files are written."""
    known, out = pictures(), tmp_path / "kept"
    watchers: list[Any] = [
        SaliencyMaps(SaliencyConfig(images=1), out / "saliency", pictures=known),
        ClassModels(
            ClassModelsConfig(every=1, steps=5, warm_start=True), out / "class_models", classes=[1], pictures=known
        ),
        Localisation(LocalisationConfig(every=1, images=2), out / "localisation", pictures=known),
        Randomisation(SanityConfig(1, 1), folder=out / "sanity", pictures=known),
    ]
    module, trial = MyModule(), trainer(tmp_path / "log", watchers, fast_dev_run=2)
    trial.fit(module, loader())
    assert [watcher.looks for watcher in watchers[:3]] == [1, 1, 1]
    assert watchers[1].results[0]["steps"] == 2
    trial.test(module, loader(), verbose=False)
    assert watchers[1].results[0]["steps"] == 2
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    trainer(tmp_path / "log", watchers, max_epochs=1).fit(module, loader())
    assert {path.parent.name for path in out.rglob("*.npz")} == {"looks", "last"}
    assert (out / "class_models" / "growth" / "0001_1.png").exists()
    assert watchers[1].results[0]["steps"] == 5


def test_each_callback_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """All of them keep their looks there by the step; and a name, with which their tags begin."""
    watchers: list[Callback] = [SaliencyMaps(folder=tmp_path, pictures=pictures())]
    watchers.append(ClassModels(folder=f"{tmp_path}/x/..", pictures=pictures()))
    with pytest.raises(UserError, match=r"^SaliencyMaps: \S+ is another callback's folder too; each needs its own$"):
        trainer(tmp_path, watchers).fit(MyModule(), loader())
    watchers = [SaliencyMaps(pictures=pictures(), name="mine"), ClassModels(pictures=pictures(), name="mine")]
    with pytest.raises(UserError, match=r"^SaliencyMaps: mine is another callback's name too; each needs its own$"):
        trainer(tmp_path, watchers).fit(MyModule(), loader())


def test_two_of_a_class_go_by_their_names(tmp_path: Path) -> None:
    """Each has its own tags and its own numbers in a checkpoint; without a name what they have always been."""
    known = pictures()

    def pairs() -> list[Any]:
        watchers: list[Any] = []
        for prefix, method, preset in (("", "gradient", "paper"), ("my_", "guided", "fourier")):
            saliency = SaliencyConfig(images=1, method=method)
            class_models = ClassModelsConfig(every=2, steps=2, preset=preset)
            own: dict[str, Any] = {"pictures": known, "max_overhead": None}
            watchers += [
                SaliencyMaps(saliency, name=f"{prefix}saliency", **own),
                ClassModels(class_models, tmp_path / method, classes=[1], name=f"{prefix}class_models", **own),
                Localisation(LocalisationConfig(every=2, images=2), name=f"{prefix}localisation", **own),
            ]
        return watchers

    module, at = MyModule(), trainer(tmp_path / "log", pairs())
    at.fit(module, loader())
    at.test(module, loader(), verbose=False)
    at.save_checkpoint(tmp_path / "last.ckpt")
    tags = EventAccumulator(str(tmp_path / "log")).Reload().Tags()
    own = {tag for tag in (*tags["images"], *tags["scalars"], *tags["tensors"]) if "my_" in tag}
    usual = {tag for tag in (*tags["images"], *tags["scalars"], *tags["tensors"]) if "/" in tag} - own
    assert {tag.replace("my_", "") for tag in own} == usual - {"overhead/all"}
    assert {"saliency/drift_ssim", "class_models/sheet", "localisation/pictures", "test_localisation/mean_iou"} <= usual
    assert set(torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]) == {
        *("SaliencyMaps", "ClassModels", "Localisation"),
        *("SaliencyMaps.my_saliency", "ClassModels.my_class_models", "Localisation.my_localisation"),
    }

    again = pairs()
    trainer(tmp_path / "log", again, max_epochs=3).fit(module, loader(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert [watcher.looks for watcher in again] == [3, 2, 2] * 2


class Late(MyModule):
    """Makes its layers where Lightning lets it."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self.hook, self.made = hook, self.body
        del self.body

    def setup(self, stage: str) -> None:
        if self.hook == "setup":
            self.body = self.made

    def configure_model(self) -> None:
        self.body = self.made


@pytest.mark.parametrize("hook", ["setup", "configure_model"])
def test_layers_that_come_late_are_waited_for(tmp_path: Path, hook: str) -> None:
    watcher = SaliencyMaps(SaliencyConfig(images=1), pictures=pictures(), max_overhead=None)
    trainer(tmp_path, [watcher]).fit(Late(hook), loader())
    assert watcher.looks == 2


def test_whatever_a_module_raises_becomes_a_line() -> None:
    class Needy(MyModule):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("a second input is missing\nand more")

    with pytest.raises(UserError, match=r"Needy cannot be called with pictures .*a second input is missing") as told:
        convnet_of(Needy(), pictures())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_nets_of_another_precision(tmp_path: Path, precision: str) -> None:
    """All callbacks work, and in double precision they find what they find in single."""

    def look(out: Path, **options: Any) -> list[Any]:
        watchers: list[Any] = [
            SaliencyMaps(SaliencyConfig(images=3), pictures=pictures(), max_overhead=None),
            ClassModels(ClassModelsConfig(every=1, steps=3), classes=[1, 3], pictures=pictures(), max_overhead=None),
            Localisation(LocalisationConfig(every=1, images=2), pictures=pictures(), max_overhead=None),
            Randomisation(SanityConfig(2, 2), localisation=LocalisationConfig(preset="best"), pictures=pictures()),
        ]
        seed_everything(1, verbose=False)
        module, at = MyModule(), trainer(out, watchers, max_epochs=1, **options)
        at.fit(module, loader())
        at.test(module, loader(), verbose=False)
        assert [watcher.looks for watcher in watchers[:3]] == [1, 1, 1]
        return watchers

    found = look(tmp_path / "a", precision=precision)
    if precision == "64-true":
        single = look(tmp_path / "b")
        for i, key in ((0, "score"), (1, "score"), (1, "norm")):
            expected = [row[key] for row in single[i].results]
            assert [row[key] for row in found[i].results] == pytest.approx(expected, rel=1e-3)
        assert found[2].results["localisation"] == pytest.approx(single[2].results["localisation"], abs=1e-3)
        assert found[3].results["chance"] == pytest.approx(single[3].results["chance"], abs=1e-3)
    assert found[2].results["images"] == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": torch.rand(12, 1, 32, 32)}, r"images must be \(N, 3, H, W\)"),
        ({"images": torch.rand(12, 3, 32, 32) * 2 - 1}, "uint8 or in"),
        ({"images": torch.rand(12, 3, 32, 32) * 2}, "uint8 or in"),
        ({"labels": torch.zeros(12)}, "as many class indices"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "as many class indices"),
        ({"mean": (0.5,)}, "3 numbers each"),
        ({"std": (0.5, 0.5, 0.0)}, "std above 0"),
        ({"boxes": [torch.zeros(1, 4)]}, "as many boxes"),
        ({"images": torch.rand(12, 3, 32, 32).numpy()}, "images must be a tensor, not ndarray"),
        ({"labels": [0] * 12}, "labels must be a tensor, not list"),
        ({"boxes": [[4, 4, 20, 24]] * 12}, r"boxes\[0\] must be a tensor, not list"),
        ({"boxes": [torch.tensor([[20.0, 4.0, 4.0, 24.0]])] * 12}, "x0 < x1 and y0 < y1"),
        ({"mean": (124.0, 116.0, 104.0)}, "divide those of 0 to 255"),
        ({"std": (58.0, 57.0, 57.0)}, "divide those of 0 to 255"),
        ({"mean": 0.5}, "3 numbers each"),
        ({"mean": None, "std": None}, "3 numbers each"),
        ({"boxes": torch.tensor([[4.0, 4.0, 20.0, 24.0]] * 12)}, r"each a tensor \(M, 4\)"),
        ({"boxes": [torch.tensor([[4.0, 4.0, 20.0, 44.0]])] * 12}, r"boxes\[0\] reaches out of its picture, 32 wide"),
        ({"boxes": [torch.tensor([[-4.0, 4.0, 20.0, 24.0]])] * 12}, "reaches out of its picture"),
        ({"boxes": [torch.tensor([[-1.5, 4.0, 20.0, 24.0]])] * 12}, "reaches out of its picture"),
        ({"boxes": [torch.tensor([[4.0, 4.0, 33.5, 24.0]])] * 12}, "reaches out of its picture"),
        ({"boxes": [torch.tensor([[0.1, 0.1, 0.8, 0.8]])] * 12}, "boxes are in pixels, not in shares"),
    ],
)
def test_pictures_that_make_no_sense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        pictures(**changes)


def test_a_box_for_each_picture_may_be_one_tensor() -> None:
    assert pictures(boxes=torch.tensor([[[4.0, 4.0, 20.0, 24.0]]] * 12)).picture(3).boxes.tolist() == [[4, 4, 20, 24]]


def test_rounded_edges_may_lie_a_pixel_outside() -> None:
    assert len(pictures(boxes=[torch.tensor([[-1.0, -1.0, 33.0, 33.0]])] * 12)) == 12


def test_a_box_may_be_one_pixel_but_not_a_share() -> None:
    one = [torch.tensor([[0.0, 0.0, 1.0, 2.0]])] * 12
    assert pictures(boxes=one).picture(0).boxes.tolist() == [[0, 0, 1, 2]]
    with pytest.raises(UserError, match="boxes are in pixels, not in shares"):
        pictures(boxes=[torch.tensor([[0.0, 0.0, 1.0, 1.0]])] * 12)


def test_pictures_that_are_wider_than_high() -> None:
    """Boxes may reach as far as the picture does; floats become the nearest bytes; the net sees squares."""
    images = torch.full((2, 3, 24, 40), 0.999)
    boxes = [torch.tensor([[4.0, 4.0, 40.0, 24.0]])] * 2
    known = pictures(images=images, labels=torch.zeros(2, dtype=torch.int64), boxes=boxes)
    picture = known.picture(1)
    assert (picture.size, picture.index, picture.name, int(picture.frame.min())) == ((24, 40), 1, "00001", 255)
    convnet = convnet_of(MyModule(), known)
    assert (convnet.preprocessing.resize, convnet.preprocessing.crop) == (24, 24)
    with pytest.raises(UserError, match=r"boxes\[0\] reaches out of its picture, 40 wide and 24 high"):
        pictures(images=images, labels=known.labels, boxes=[torch.tensor([[4.0, 4.0, 20.0, 40.0]])] * 2)


def test_what_needs_a_classifier_says_so(tmp_path: Path) -> None:
    for watcher in (Relation(tmp_path), FoundBoxes(LocalisationConfig(), tmp_path)):
        with pytest.raises(UserError, match=rf"{type(watcher).__name__} works on deepinside's Classifier alone"):
            trainer(tmp_path, [watcher]).predict(MyModule(), loader())


def test_classes_are_no_folder() -> None:
    with pytest.raises(UserError, match=r"ClassModels: the folder must be a path, not \[4\]"):
        ClassModels(None, [4], pictures=pictures())  # type: ignore[arg-type]


def test_modules_that_give_no_scores() -> None:
    module = MyModule()

    class Closed(MyModule):
        @torch.no_grad()
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)

    with pytest.raises(UserError, match="Closed gives scores without a gradient: its forward must do without"):
        convnet_of(Closed(), pictures())
    with pytest.raises(UserError, match="gives 4 scores, but there are 2 class_names"):
        convnet_of(module, pictures(class_names=("ant", "bee")))
    with pytest.raises(UserError, match="gives 4 scores, so labels are 0 to 3, not 4"):
        convnet_of(module, pictures(labels=torch.full((12,), 4)))
    module.body = nn.Sequential(nn.Conv2d(3, 8, 5))
    with pytest.raises(UserError, match=r"must give class scores \(N, C\)"):
        convnet_of(module, pictures())
    module.body = nn.Sequential(nn.Flatten(), nn.Linear(5, 4))
    with pytest.raises(UserError, match="cannot be called with pictures"):
        convnet_of(module, pictures())


def test_bytes_and_unknown_labels(tmp_path: Path) -> None:
    """The best-scored class is explained; the film's name does not change with it."""
    known = pictures(
        images=(some()[0] * 255).to(torch.uint8), labels=torch.full((12,), -1), boxes=None, class_names=tuple("abcd")
    )
    watcher = SaliencyMaps(SaliencyConfig(images=1), pictures=known, max_overhead=None)
    fit(tmp_path, [watcher])
    logged = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    (film,) = [tag for tag in logged.Tags()["images"] if tag.startswith("saliency/films/")]
    assert film.split("/")[-1].isdigit()
    assert [e.step for e in logged.Images(film)] == [3, 6]
