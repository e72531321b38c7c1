"""The callbacks on LightningModules that do more in their forward pass than to compute scores."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from callbacks import ClassModels, Localisation, Randomisation, SaliencyMaps
from callbacks.monitor import Monitor
from deepinside import saliency
from deepinside.config import ClassModelsConfig, LocalisationConfig, SaliencyConfig, SanityConfig
from deepinside.errors import UserError

from .test_foreign import MyModule, loader, pictures, some, trainer


def watchers() -> list[Callback]:
    own: dict[str, Any] = {"pictures": pictures(), "max_overhead": None}
    return [
        SaliencyMaps(SaliencyConfig(images=2), **own),
        ClassModels(ClassModelsConfig(every=1, steps=2), classes=[1], **own),
        Localisation(LocalisationConfig(every=1, images=2), **own),
    ]


def trained(out: Path, make: Callable[[], MyModule], looking: list[Callback], **options: Any) -> MyModule:
    torch.manual_seed(1)
    module = make()
    trainer(out, looking, **options).fit(module, loader())
    return module


class Observing(MyModule):
    """Its input is divided by a running range, which every forward pass moves, as in quantisation-aware training."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("range", torch.ones(()))
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.range.mul_(0.9).add_(0.1 * x.detach().abs().max())
        self.seen = 0.9 * self.seen + x.detach().mean((0, 2, 3))  # another tensor each time
        return super().forward(x / self.range)


def test_what_a_look_shows_the_net_leaves_no_trace_in_its_buffers(tmp_path: Path) -> None:
    alone = trained(tmp_path / "a", Observing, []).state_dict()
    watched = trained(tmp_path / "b", Observing, watchers()).state_dict()
    assert alone.keys() == watched.keys()
    assert {name: torch.equal(watched[name], alone[name]) for name in alone} == dict.fromkeys(alone, True)


def test_a_buffer_that_the_test_replaced_is_no_hindrance(tmp_path: Path) -> None:
    """Made under Trainer.test's inference mode, where no gradient passes through it."""
    watcher = SaliencyMaps(SaliencyConfig(images=2), pictures=pictures())
    trainer(tmp_path, [watcher]).test(Observing(), loader(), verbose=False)
    assert len(watcher.results) == 2


def test_the_same_buffer_twice_is_one_within() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            self.b.running_mean = self.a.running_mean
            self.together: list[bool] = []

        def forward(self, x: Tensor) -> Tensor:
            self.together.append(self.a.running_mean is self.b.running_mean)
            return self.b(self.a(x)).mean((2, 3))

    net = Twice()
    own = net.a.running_mean
    saliency(net, torch.rand(1, 3, 8, 8), torch.tensor([0]))
    assert all(net.together)
    assert net.a.running_mean is own
    assert net.b.running_mean is own


class Cached(nn.Module):
    """Keeps what depends on the size of its input, and in a number for which size; and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.size, self.calls = nn.Conv2d(3, 4, 3), 0, 0
        self.register_buffer("positions", torch.zeros(0), persistent=False)
        self.register_buffer("mask", None)
        self.register_buffer("once", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.conv(x).flatten(2)
        if y.shape[2] > self.size:
            self.size = y.shape[2]
            self.register_buffer("positions", torch.arange(float(self.size)), persistent=False)
        self.mask = y.sum()
        self.register_buffer("late", torch.ones(1))
        if hasattr(self, "once"):
            del self.once
        return (y + self.positions[: y.shape[2]]).mean(2)


def test_what_a_net_notes_of_its_input_is_noted_again(tmp_path: Path) -> None:
    net, images = Cached(), torch.rand(1, 3, 8, 8)
    saliency(net, images, torch.tensor([0]))
    assert (net.calls, net.size, len(net.positions), net.mask) == (0, 0, 0, None)
    assert not hasattr(net, "late")
    assert hasattr(net, "once")
    assert net(images).shape == (1, 4)
    assert (net.calls, net.size) == (1, 36)


class Reentrant(MyModule):
    def forward(self, x: Tensor) -> Tensor:
        return self.body[3:](checkpoint(self.body[:3], x, use_reentrant=True))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        raise AssertionError("the training has begun")


def test_a_net_without_a_backward_pass_to_the_picture_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Reentrant cannot be called with pictures .*use_reentrant") as told:
        trainer(tmp_path, watchers()).fit(Reentrant(), loader())
    assert "\n" not in str(told.value)


class Keeping(MyModule):
    """Keeps what has a graph and so cannot be copied."""

    def forward(self, x: Tensor) -> Tensor:
        self.features = {"first": self.body[0](x)}
        return self.body[1:](self.features["first"])


class Attached(MyModule):
    """A copy of a LightningModule has no trainer."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.trainer.world_size == 1
        return super().forward(x)


class Locked(MyModule):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize("kind", [Keeping, Attached, Locked])
def test_nets_that_cannot_be_copied_are_randomised(tmp_path: Path, kind: type[MyModule]) -> None:
    torch.manual_seed(0)
    module = kind()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    callback = Randomisation(SanityConfig(2, 2), pictures=pictures())
    trainer(tmp_path, [callback]).test(module, loader(), verbose=False)
    assert [stage["randomised"] for stage in callback.results["stages"]] == [0, 1, 3]
    assert callback.results["stages"][-1]["spearman"] < 0.99
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


class Masked(MyModule):
    """Its mask, additive, holds infinities."""

    def __init__(self, trained: bool = False) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.full((4, 4), -torch.inf).triu(1), requires_grad=trained)


def test_only_weights_that_are_trained_can_diverge(tmp_path: Path) -> None:
    watcher = SaliencyMaps(SaliencyConfig(images=1), pictures=pictures(), max_overhead=None)
    trainer(tmp_path, [watcher]).fit(Masked(), loader())
    assert watcher.looks == 2
    with pytest.raises(UserError, match="training diverged at step 3"):
        trainer(tmp_path, [watcher]).fit(Masked(trained=True), loader())


class Standardising(MyModule):
    """Divides each picture by its contrast: the zero image has none, and its gradient is NaN."""

    def forward(self, x: Tensor) -> Tensor:
        variance = x.var((1, 2, 3), keepdim=True)
        return super().forward((x - x.mean((1, 2, 3), keepdim=True)) / (variance.sqrt() + 1e-5))


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("anomalies", [False, True])
def test_class_models_start_from_noise_where_the_zero_image_has_no_number(tmp_path: Path, anomalies: bool) -> None:
    watcher = ClassModels(
        ClassModelsConfig(every=1, steps=3), classes=[1, 3], pictures=pictures(mean=(0.5,) * 3), max_overhead=None
    )
    trained(tmp_path, Standardising, [watcher], max_epochs=1, detect_anomaly=anomalies)
    assert [row["class_index"] for row in watcher.results] == [1, 3]
    assert torch.is_anomaly_enabled() is False


class Logging(MyModule):
    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        self.log("norm", scores.norm())
        self.log_dict({"largest": scores.max()})
        return scores


class Outer(MyModule):
    """Has a module of its own that logs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Logging()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.inner.body(batch[0]), batch[1])


def test_what_an_inner_module_logs_goes_nowhere(tmp_path: Path) -> None:
    looking = watchers()
    module = trained(tmp_path, Outer, looking, max_epochs=1)
    assert [one.looks for one in looking if isinstance(one, Monitor)] == [1, 1, 1]
    assert {"log", "log_dict"}.isdisjoint(vars(module.inner))


def test_what_the_forward_pass_logs_is_of_the_training_alone(tmp_path: Path) -> None:
    logged = []
    for looking in ([], watchers()):
        module, at = Logging(), trainer(tmp_path, looking, max_epochs=1)
        torch.manual_seed(0)
        module.load_state_dict(MyModule().state_dict())
        at.fit(module, loader())
        logged.append({key: float(at.callback_metrics[key]) for key in ("norm", "largest")})
        assert {"log", "log_dict"}.isdisjoint(vars(module))
    assert logged[0] == logged[1]


class Another(Logger):
    """Of another package than lightning: `pytorch_lightning`'s is no subclass of its own TensorBoardLogger."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.experiment = SummaryWriter(str(folder))
        self.name, self.version = "another", "0"  # type: ignore[misc]

    name = version = ""  # type: ignore[assignment]

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        pass

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


def test_pictures_go_to_every_logger_that_takes_them(tmp_path: Path) -> None:
    logger, at = Another(tmp_path), trainer(tmp_path / "own", watchers()[:1], max_epochs=1)
    at.loggers = [logger]
    at.fit(MyModule(), loader())
    logger.experiment.close()
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["images"]
    assert sum(tag.startswith("saliency/films/") for tag in tags) == 2


def test_a_checkpoint_restored_amid_a_training_counts_no_time_twice(tmp_path: Path) -> None:
    """As Lightning's learning rate finder does."""

    class Restoring(Callback):
        def on_train_batch_end(self, at: Any, *_: Any) -> None:
            for watcher, state in [(one, one.state_dict()) for one in looking]:
                watcher.load_state_dict(state)

    looking = [one for one in watchers() if isinstance(one, Monitor)]
    at = trainer(tmp_path, [*looking, Restoring()], max_epochs=2)
    images, labels = some()
    start = time.monotonic()
    at.fit(MyModule(), DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=1))
    assert 0 < looking[0].trained < time.monotonic() - start
