"""The callbacks watch and leave training as it is, bit by bit; the metrics count exactly."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from PIL import Image
from torch import Tensor, nn

from callbacks import ClassModels, Localisation, SaliencyMaps, localisation
from callbacks.film_strips import Looks, slug
from callbacks.gathering import spread
from callbacks.kept import keep_files
from callbacks.saliency_maps import explain
from callbacks.subject import fixed_pictures
from deepinside.attribution.crops import CROPS, crop_saliency
from deepinside.classifier import Classifier, cosine_with_warmup
from deepinside.config import ClassModelsConfig, DataConfig, LocalisationConfig, OptimConfig, SaliencyConfig
from deepinside.data.box_files import boxed_pictures
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes, Picture, UnreadablePicture
from deepinside.data.shapes import Shapes
from deepinside.data.source import check_readable
from deepinside.data.views import UNREADABLE, WholePicture
from deepinside.errors import UserError
from deepinside.metrics import ERRORS, score_picture
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.predictions import NO_GUESS, read_predictions
from deepinside.records import FILE, PictureRecord, read_records
from deepinside.scoring import score_guesses_in_files

from . import trees

TEN = Shapes("val", 0, 1).classes


def convnet() -> ConvNet:
    """With BatchNorm and dropout, whose buffers and random numbers an intruder would disturb."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 15 * 15, 10),
    )
    preprocessing = Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64)
    return ConvNet("tiny", net, preprocessing, TEN, ("5.weight", "5.bias"))


class LastRandomNumbers(Callback):
    """Keeps what the generators would give next, and the modes, when training ends."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.next = torch.rand(5)
        self.modes = [m.training for m in pl_module.convnet.modules()]  # type: ignore[union-attr]


def fit(tmp_path: Path, watchers: list[Callback]) -> tuple[dict[str, torch.Tensor], LastRandomNumbers, Classifier]:
    seed_everything(3, verbose=False)
    module = Classifier(convnet(), OptimConfig(lr=0.05, schedule="cosine"))
    data = DataConfig(batch_size=16, workers=0, contrast=[0.5, 1.0], noise=0.1)
    pictures = PictureData(data, module.convnet, train=Shapes("train", 0, 48), val=Shapes("val", 0, 12))
    last = LastRandomNumbers()
    options = {"accelerator": "cpu", "max_epochs": 2, "enable_checkpointing": False, "log_every_n_steps": 1}
    trainer = Trainer(default_root_dir=tmp_path, callbacks=[*watchers, last], enable_progress_bar=False, **options)
    trainer.fit(module, pictures)
    return module.state_dict(), last, module


def test_training_is_the_same_bit_by_bit(tmp_path: Path) -> None:
    watchers: list[Callback] = [
        ClassModels(ClassModelsConfig(every=1, steps=2, jitter=2, warm_start=True), classes=[0, 5], max_overhead=None),
        SaliencyMaps(SaliencyConfig(images=4, every=2, unit="steps"), max_overhead=None),
        Localisation(LocalisationConfig(every=1, images=4), max_overhead=None),
    ]
    watched, watched_end, module = fit(tmp_path / "a", watchers)
    alone, alone_end, _ = fit(tmp_path / "b", [])
    assert [len(w.results) for w in watchers[:2]] == [2, 4]  # type: ignore[attr-defined]
    assert int(watchers[2].error.images) == 4  # type: ignore[attr-defined]
    assert [w.looks for w in watchers] == [2, 3, 2]  # type: ignore[attr-defined]
    assert watched.keys() == alone.keys()
    assert all(torch.equal(watched[key], alone[key]) for key in alone)
    assert torch.equal(watched_end.next, alone_end.next)
    assert watched_end.modes == alone_end.modes
    assert all(p.requires_grad for p in module.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in module.convnet.modules())
    assert int(watched["convnet.net.1.num_batches_tracked"]) == 6


class Broken:
    """Three pictures, the second unreadable."""

    classes = TEN
    labels = (0, 1, 2)
    has_boxes = True

    def __len__(self) -> int:
        return 3

    def read(self, i: int) -> Picture:
        if i == 1:
            raise UnreadablePicture("broken.jpg", "no picture")
        return Shapes("val", 0, 3).read(i)


def test_an_unreadable_picture_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    data = PictureData(DataConfig(batch_size=3, workers=0), convnet(), train=Broken(), val=Broken())
    for loader in (data.val_dataloader(), data.train_dataloader()):
        batch = data.on_before_batch_transfer(next(iter(loader)), 0)
        assert sorted(batch["label"].tolist()) == [UNREADABLE, 0, 2]
    assert data.unreadable == {"broken.jpg: no picture"}
    assert caplog.text.count("broken.jpg") == 1


def test_unreadable_pictures_are_not_looked_at() -> None:
    trainer: Any = SimpleNamespace(datamodule=PictureData(DataConfig(), convnet(), val=Broken()))
    trainer.global_rank, trainer.world_size = 0, 1
    assert [picture.index for picture in fixed_pictures(trainer, 3, None)] == [0, 2]
    trainer.global_rank, trainer.world_size = 1, 2
    assert fixed_pictures(trainer, 3, None) == [], "the second of two processes has the broken one alone"


def test_unreadable_pictures_do_not_count_in_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Classifier(convnet().eval())
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    images, labels = torch.rand(3, 3, 64, 64), torch.tensor([1, UNREADABLE, 4])
    loss = module.training_step({"image": images, "label": labels}, 0)
    expected = nn.functional.cross_entropy(module(images[[0, 2]]), labels[[0, 2]])
    torch.testing.assert_close(loss, expected)
    nothing = module.training_step({"image": images, "label": torch.full((3,), UNREADABLE)}, 0)
    assert float(nothing.detach()) == 0.0


def test_a_batch_without_readable_pictures_is_logged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that logged nothing would leave the others waiting at the epoch's end."""
    module, logged = Classifier(convnet().eval()), []
    monkeypatch.setattr(module, "log", lambda name, *_, **__: logged.append(name))
    module.validation_step({"image": torch.rand(2, 3, 64, 64), "label": torch.full((2,), UNREADABLE)}, 0)
    module.validation_step({"image": torch.rand(2, 3, 64, 64), "label": torch.tensor([3, UNREADABLE])}, 1)
    assert logged == ["val/images", "val/loss", "val/top1_error", "val/top5_error"] * 2
    assert int(module.images["val"].compute()) == 1  # type: ignore[operator]
    assert float(module.means["val_top1_error"].compute()) in (0.0, 1.0)  # type: ignore[operator]


def test_a_diverged_net_is_one_line() -> None:
    module = Classifier(convnet().eval())
    nn.init.constant_(module.convnet.net[5].weight, float("nan"))  # type: ignore[index, arg-type]
    with pytest.raises(UserError, match=r"training diverged, lower optim\.lr"):
        module.validation_step({"image": torch.rand(2, 3, 64, 64), "label": torch.tensor([3, 4])}, 0)


def test_labels_follow_the_convnets_class_order() -> None:
    """A ConvNet that knows the shapes backwards and more beside."""
    net = convnet()
    net.classes = Classes(("other", *reversed(TEN.ids)), ("other", *reversed(TEN.names)))
    data = PictureData(DataConfig(batch_size=4, workers=0), net, val=Shapes("val", 0, 4))
    val, test = (next(iter(loader)) for loader in (data.val_dataloader(), data.test_dataloader()))
    assert val["label"].tolist() == test["label"].tolist() == [10, 9, 8, 7]
    assert [p.label for p in test["pictures"]] == [10, 9, 8, 7]
    assert val["pictures"] == []  # nobody looks at them while training
    assert torch.equal(val["image"], test["image"])
    train = PictureData(DataConfig(batch_size=4, workers=0), net, train=Shapes("train", 0, 4)).train_dataloader()
    assert sorted(next(iter(train))["label"].tolist()) == [7, 8, 9, 10]


@pytest.mark.parametrize(("pictures", "batches"), [(3, [3]), (4, [4]), (6, [4])])
def test_only_whole_batches_are_trained_on_unless_there_is_none(pictures: int, batches: list[int]) -> None:
    data = PictureData(DataConfig(batch_size=4, workers=0), convnet(), train=Shapes("train", 0, pictures))
    assert [len(batch["label"]) for batch in data.train_dataloader()] == batches


def test_the_order_of_training_is_the_seeds() -> None:
    shapes, one = Shapes("train", 0, 16), DataConfig(workers=0)
    orders = [
        list(PictureData(one, convnet(), train=shapes, seed=seed).train_dataloader().sampler) for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]


def of_devices(count: int, kind: str = "cpu", world_size: int = 1) -> Any:
    """As much of a Trainer as data ask for."""
    strategy = SimpleNamespace(root_device=torch.device(kind))
    return SimpleNamespace(num_devices=count, world_size=world_size, global_rank=0, strategy=strategy)


@pytest.mark.parametrize(("kind", "pinned"), [("cpu", False), ("cuda", True), (None, False)])
def test_only_a_gpu_that_is_used_gets_pinned_memory(
    kind: str | None, pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinning takes a context on a GPU, which another one's job may fill."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    data = PictureData(DataConfig(workers=0), convnet(), val=Shapes("val", 0, 4))
    data.trainer = of_devices(1, kind) if kind else None
    assert data.val_dataloader().pin_memory == pinned


def test_more_processes_than_pictures_are_refused() -> None:
    data = PictureData(DataConfig(workers=0), convnet(), val=Shapes("val", 0, 4))
    data.trainer = of_devices(1, world_size=5)
    with pytest.raises(UserError, match=r"5 processes share 4 pictures: trainer\.devices must be at most 4"):
        data.val_dataloader()


def test_a_resumed_run_knows_what_was_and_what_is_unreadable() -> None:
    data = PictureData(DataConfig(), convnet())
    data.unreadable = {"a: empty"}
    data.load_state_dict({"unreadable": ["b: no picture"]})
    assert data.state_dict() == {"unreadable": ["a: empty", "b: no picture"]}


@pytest.mark.parametrize(("cpus", "devices", "expected"), [(64, 4, 8), (16, 4, 4), (2, 4, 1), (3, None, 3)])
def test_the_devices_of_a_machine_share_its_cpus(
    cpus: int, devices: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepinside.data.module.usable_cpus", lambda: cpus)
    monkeypatch.setattr("deepinside.data.module.DataLoader", lambda _, **options: options)
    data = PictureData(DataConfig(name="folder"), convnet(), val=Shapes("val", 0, 4))
    data.trainer = of_devices(devices) if devices else None
    assert data.val_dataloader()["num_workers"] == expected  # type: ignore[index]


def test_only_the_head_is_trained_when_the_rest_is_frozen() -> None:
    module = Classifier(convnet(), OptimConfig(freeze=True))
    assert [n for n, p in module.named_parameters() if p.requires_grad] == [
        "convnet.net.5.weight",
        "convnet.net.5.bias",
    ]
    module.train()
    module.on_train_epoch_start()
    assert not module.convnet.training


def test_cosine_schedule() -> None:
    factors = [cosine_with_warmup(step, 4, 24) for step in range(25)]
    assert factors[:4] == [0.2, 0.4, 0.6, 0.8]
    assert factors[4] == 1.0
    assert factors[14] == pytest.approx(0.5)
    assert factors[24] == pytest.approx(0.0)


def test_spread_is_fixed_and_fair() -> None:
    chosen = spread(8, 1000)
    assert chosen == spread(8, 1000) == sorted(set(chosen))
    assert len({i % 10 for i in chosen}) >= 5
    assert spread(10, 3) == [0, 1, 2]


def test_boxes_that_cannot_be_found_are_told_before_training() -> None:
    with pytest.raises(UserError, match=r"^localisation.blur=2: preset 'best' .* needs localisation.blur=0$"):
        Localisation(LocalisationConfig(preset="best", blur=2.0))


def test_localisation_measures_all_at_test(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = Classifier(convnet())
    watcher = Localisation(LocalisationConfig(pictures=2, gallery=1, label_ids="wnid"), tmp_path)
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trainer = Trainer(callbacks=[watcher], enable_progress_bar=False, enable_model_summary=False, **options)
    data = PictureData(DataConfig(batch_size=4, workers=0), module.convnet, val=Shapes("val", 0, 9))
    trainer.test(module, data, verbose=False)
    assert watcher.results["images"] == 9
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    kinds = watcher.results["errors"]["first_guess"]
    assert sum(kinds.values()) == 9
    assert {page.name for page in (tmp_path / "gallery").iterdir()} == {f"{kind}_1.png" for kind in kinds}
    _files_say_the_same(watcher, tmp_path)


def test_each_look_is_measured_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, told = torch.tensor([[2.0, 2, 8, 8]]), []
    boxes = iter((truth[0], torch.tensor([0.0, 0, 1, 1])))

    def found(*_: object) -> SimpleNamespace:
        box = next(boxes)
        return SimpleNamespace(score=score_picture(0, torch.tensor([0]), box[None], box, truth, (10, 10)))

    monkeypatch.setattr(localisation, "convnet_of", lambda *_: SimpleNamespace(classes=None))
    monkeypatch.setattr(localisation, "look_at", lambda *_: None)
    monkeypatch.setattr(localisation, "localise", found)
    monkeypatch.setattr(localisation, "log_numbers", lambda _, numbers: told.append(numbers))
    watcher, module = Localisation(), SimpleNamespace(device=torch.device("cpu"))
    watcher.fixed = [WholePicture(torch.zeros(3, 10, 10, dtype=torch.uint8), 0, truth, (10, 10), "a", 0)]
    for _ in range(2):
        watcher.look(None, module)  # type: ignore[arg-type]
    assert [numbers["localisation/gt_known_accuracy"] for numbers in told] == [1.0, 0.0]


def _files_say_the_same(watcher: Localisation, folder: Path) -> None:
    """What is written, scored again without the net, is what was measured, intervals included."""
    pictures = boxed_pictures(Shapes("val", 0, 9))
    names = [picture.name for picture in pictures]
    for file in ("predictions.csv", "submission.txt"):
        guesses = read_predictions(folder / file, names, TEN.ids, "wnid")
        again = score_guesses_in_files(pictures, guesses)
        assert again["classification"] == {key: watcher.results["classification"][key] for key in ERRORS}
        for key in ERRORS:
            assert again["localisation"][key] == watcher.results["localisation"][key]
            for row in ("localisation", "centre_box", "minus_centre_box"):
                assert again["intervals"][row][key] == watcher.results["intervals"][row][key]
        assert again["errors"]["first_guess"] == watcher.results["errors"]["first_guess"]


def test_blacklisted_pictures_count_for_the_classification_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = tmp_path / "blacklist.txt"
    listed.write_text("\n".join(picture.name for picture in boxed_pictures(Shapes("val", 0, 3))))
    module = Classifier(convnet())
    watcher = Localisation(LocalisationConfig(pictures=0, blacklist=str(listed)), tmp_path / "out")
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trainer = Trainer(callbacks=[watcher], enable_progress_bar=False, enable_model_summary=False, **options)
    trainer.test(module, PictureData(DataConfig(workers=0), module.convnet, val=Shapes("val", 0, 5)), verbose=False)
    records = read_records(tmp_path / "out" / FILE)
    assert [bool(record.localisation) for record in records] == [False] * 3 + [True] * 2
    judged = [{(guess.iou is None, guess.right is None) for guess in record.guesses} for record in records]
    assert judged == [{(True, True)}] * 3 + [{(False, False)}] * 2
    assert (watcher.results["images"], watcher.results["localisation"]["images"]) == (5, 2)
    assert sum(watcher.results["errors"]["class_known"].values()) == 2
    assert "blacklist" not in caplog.text
    listed.write_text("nothing here")
    watcher = Localisation(LocalisationConfig(pictures=0, blacklist=str(listed)))
    trainer = Trainer(callbacks=[watcher], enable_progress_bar=False, enable_model_summary=False, **options)
    trainer.test(module, PictureData(DataConfig(workers=0), module.convnet, val=Shapes("val", 0, 5)), verbose=False)
    assert watcher.results["localisation"]["images"] == 5
    assert f"localisation.blacklist={listed} names none of the pictures measured" in caplog.text


def test_a_data_set_of_which_nothing_can_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_readable(Broken())

    def read(_: Broken, i: int) -> Picture:
        raise UnreadablePicture(f"broken{i}.jpg", "no picture")

    monkeypatch.setattr(Broken, "read", read)
    with pytest.raises(UserError, match=r"no picture can be read, of all 3 \(the first: broken0.jpg: no picture\)"):
        check_readable(Broken())


@pytest.mark.parametrize("method", ["gradient", "gradient_x_input", "integrated_gradients"])
@pytest.mark.parametrize("crops", ["one", "ten"])
def test_maps_are_those_of_the_zero_centred_picture(method: str, crops: str) -> None:
    """As in the paper, w is multiplied with pictures whose mean is subtracted; black is no origin."""
    net, picture = convnet().eval(), Shapes("val", 0, 1).read(0)
    whole = WholePicture(picture.image, picture.label, picture.boxes, (70, 70), picture.name, 0)
    found = explain(net, whole, SaliencyConfig(method=method, crops=crops))[1]
    centred = (picture.image / 255 - 0.5) / 0.25
    ours = CROPS[crops](70, 70, 64)
    expected = crop_saliency(net.net, centred, ours, lambda scores: torch.tensor([picture.label]), method)
    per_pixel = 0.25 if method == "gradient" else 1  # the others are in scores
    assert found.saliency * per_pixel == pytest.approx(expected.maps[0], rel=1e-4, abs=1e-6)
    assert found.saliency.any()


def test_very_long_pictures_are_kept_small(tmp_path: Path) -> None:
    """JPEG ends at 65500 pixels: one such picture ended a run at its last step."""
    record = PictureRecord(
        index=3,
        image="line",
        size=(500, 1),
        class_id="a",
        class_name="a",
        boxes=[],
        guesses=[],
        known_box=None,
        classification={},
        localisation={},
        first_guess="",
        class_known="",
    )
    frame = torch.zeros(3, 256 * 300, 256, dtype=torch.uint8)
    files = keep_files(record, frame, torch.zeros(frame.shape[1:]), tmp_path)
    assert files.picture is not None
    assert files.saliency is not None
    for name, long in ((files.picture, 256 * 16), (files.saliency, 128 * 16)):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (round(long / 300), long)


def test_other_files_beside_the_looks_are_none(tmp_path: Path) -> None:
    for name in ("7.npz", "12.npz", "notes.npz"):
        np.savez(tmp_path / name, title=np.array("a look"))
    (tmp_path / "3.part").touch()
    assert Looks(tmp_path).steps() == [7, 12]


def test_pictures_of_unknown_class_are_not_localised_and_those_of_the_blacklist_have_no_boxes(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("b.JPEG")
    pictures = [
        WholePicture(torch.zeros(3, 8, 8, dtype=torch.uint8), label, torch.tensor([[0.0, 0, 4, 4]]), (8, 8), name, i)
        for i, (name, label) in enumerate((("a", 3), ("b", 3), ("c", -1)))
    ]
    callback = Localisation(LocalisationConfig(blacklist=str(tmp_path / "list.txt")))
    assert [(one.name, len(one.boxes)) for one in callback._labelled(pictures)] == [("a", 1), ("b", 0)]


def test_names_of_any_script_name_files() -> None:
    assert slug(12, "Grey  goose, Anser") == "0012_grey_goose_anser"
    assert slug(3, "\u65e5\u672c/x") == "0003_\u65e5\u672c_x"
    assert slug(7, " ", 2) == "07"


def test_augmentation_is_of_seed_and_epoch_whoever_loads() -> None:
    """Not of the number of loading processes; it leaves the random numbers of the training alone."""

    def first_batch(workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
        config = DataConfig(batch_size=8, workers=workers, noise=0.1, contrast=[0.5, 1.0])
        data = PictureData(config, convnet(), train=Shapes("train", 0, 16), val=Shapes("val", 0, 4), seed=seed)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # as Lightning does
        images: Tensor = next(iter(loader))["image"]
        return images

    once = first_batch(0)
    torch.manual_seed(6)
    assert torch.equal(once, first_batch(0))
    assert torch.equal(once, first_batch(2))
    assert not torch.equal(once, first_batch(0, epoch=1))
    assert not torch.equal(once, first_batch(0, seed=1))


def test_what_augmentation_draws_is_not_missing_elsewhere() -> None:
    view = PictureData(DataConfig(), convnet(), train=Shapes("train", 0, 2)).train_dataloader().dataset
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert not torch.equal(view[0, 0]["image"], view[1, 0]["image"])
    assert torch.equal(view[1]["image"], view[0, 1]["image"])  # of samplers that know no epoch
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_that_leaves_one_value_a_channel_is_told() -> None:
    own = convnet()
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, len(own.classes)))
    module = Classifier(ConvNet("mine", net, own.preprocessing, own.classes, ("3.weight", "3.bias"))).train()
    batch = {"image": torch.rand(2, 3, 16, 16), "label": torch.tensor([0, 1])}
    module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    assert module.training_step(batch, 0).isfinite()
    one = {name: values[:1] for name, values in batch.items()}
    with pytest.raises(UserError, match="mine normalises over the batch, and a batch of 1 of 16x16 pixels leaves one"):
        module.training_step(one, 0)


def test_the_submission_is_sorted_by_name(tmp_path: Path) -> None:
    """Class folders hold the third picture before the first; the second cannot be read."""
    tree = trees.torchvision_tree(tmp_path / "tree")
    for name, boxes in trees.VAL.items():
        trees.write_xml(tree / "Annotations/CLS-LOC/val" / f"{name}.xml", boxes)
    next(tree.rglob("*_00000002.JPEG")).write_bytes(b"no picture")
    own = convnet()
    own.net[5] = nn.Linear(8 * 15 * 15, 3)
    own.classes = Classes(trees.WNIDS, ("a", "b", "c"))
    watcher = Localisation(LocalisationConfig(pictures=1, gallery=0, label_ids="wnid"), tmp_path)
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trainer = Trainer(callbacks=[watcher], enable_progress_bar=False, enable_model_summary=False, **options)
    source = ILSVRC(tree, "val")
    assert [source.file(i).stem[-1] for i in range(3)] == ["3", "1", "2"]
    trainer.test(Classifier(own), PictureData(DataConfig(batch_size=2, workers=0), own, val=source), verbose=False)
    lines = (tmp_path / "submission.txt").read_text().splitlines()
    assert [line == NO_GUESS for line in lines] == [False, True, False]
    names = [source.file(i).stem for i in range(3)]
    by_table, by_lines = (
        read_predictions(tmp_path / file, names, trees.WNIDS, "wnid") for file in ("predictions.csv", "submission.txt")
    )
    for name in (names[0], names[1]):
        assert by_lines[name].ids == by_table[name].ids
        assert torch.equal(by_lines[name].boxes, by_table[name].boxes)
