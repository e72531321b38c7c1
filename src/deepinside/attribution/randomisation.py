"""Cascading randomisation of a net's weights, from the scores down (Adebayo et al. 2018, Sanity Checks for Saliency
Maps, section 4): a map that does not change with the weights explains the picture, not the net."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepinside.attribution.context import bare_module, gradients_on, lent_buffers

SALT = 20180001  # a net that was itself made from a small seed must not get its own first weights back


def layers_in_use(model: nn.Module, images: Tensor) -> list[str]:
    """The layers that images (N, C, H, W) -> scores goes through, by name, in the order of their last use.

    A layer is a module with parameters of its own, or with a `reset_parameters`. The order is that of the forward pass,
    whatever order the modules were registered in; heads that are only used in training are left out. One forward pass
    in eval mode.
    """
    with gradients_on(model) as bare, torch.no_grad(), _Uses(bare) as uses:
        bare(images.clone())  # nets may change their input in place
    return list(uses.order)


def cascade(layers: Sequence[str], stages: int) -> list[list[str]]:
    """Layers in the order of use -> at most so many groups to randomise one after the other.

    The last layer comes alone, then the others, evenly, down to the first.
    """
    if stages < 1:
        raise ValueError(f"stages must be at least 1, not {stages}")
    down = list(reversed(layers))
    if stages == 1 or len(down) < 2:
        return [down] if down else []
    rest, groups = down[1:], min(stages - 1, len(down) - 1)
    cuts = [round(len(rest) * i / groups) for i in range(groups + 1)]
    return [down[:1], *(rest[low:high] for low, high in pairwise(cuts))]


def randomised(model: nn.Module, groups: Sequence[Sequence[str]], seed: int = 0) -> Generator[list[str], None, None]:
    """Each group of layers, as soon as the model's weights are fresh in this group and in all before it.

    It is the model itself: not every net can be copied. It has its own weights, buffers and modes back when the
    iteration ends or is closed (`contextlib.closing`); the random numbers' state is left alone. A layer draws its
    weights by its own `reset_parameters` (a batch norm forgets its statistics, too); those that it leaves as they were,
    and those of layers without one, are shuffled. The draws depend on the seed and the layer alone, on any device.
    """
    bare = bare_module(model)
    layers, number = dict(bare.named_modules()), 0
    with _lent(bare):
        for group in groups:
            with torch.inference_mode(False), torch.no_grad():
                for name in group:
                    _randomise(layers[name], SALT + 1000 * seed + number)
                    number += 1
            yield list(group)


@contextmanager
def _lent(bare: nn.Module) -> Iterator[None]:
    """Within, the model's weights and buffers are copies, in eval mode."""
    weights = [(parameter, parameter.data, parameter.grad) for parameter in bare.parameters()]
    named = [(module, dict(module._parameters.items())) for module in bare.modules()]  # a reset may make other ones
    # Weights that hooks compute (weight_norm's, spectral_norm's) are plain attributes, and may keep a graph.
    computed = [(m, name, t) for m in bare.modules() for name, t in vars(m).items() if isinstance(t, Tensor)]
    modes = [(module, module.training) for module in bare.modules()]
    try:
        with torch.inference_mode(False), torch.no_grad():
            for parameter, own, _ in weights:
                parameter.data, parameter.grad = own.clone(), None
            for module, name, tensor in computed:
                vars(module)[name] = tensor.detach().clone()
        for module, _ in modes:
            module.training = False
        with lent_buffers(bare):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for module, name, tensor in computed:
            vars(module)[name] = tensor
        for module, parameters in named:
            for name, kept in parameters.items():
                if name not in module._parameters or module._parameters[name] is not kept:
                    module._parameters[name] = kept
        for parameter, own, gradient in weights:
            parameter.grad = None
            parameter.data = own
            parameter.grad = gradient


def _randomise(layer: nn.Module, seed: int) -> None:
    """On the CPU, whose generator draws the same everywhere."""
    device = next((tensor.device for tensor in (*layer.parameters(False), *layer.buffers(False))), torch.device("cpu"))
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        layer.cpu()
        before = [parameter.clone() for parameter in layer.parameters(recurse=False)]
        if _has_reset(layer):
            layer.reset_parameters()  # type: ignore[operator]  # it is callable
        for parameter, old in zip(layer.parameters(recurse=False), before, strict=True):
            if torch.equal(parameter, old):  # weight_norm hides what it computes a weight from
                shuffled = parameter.flatten()[torch.randperm(parameter.numel())]
                parameter.copy_(shuffled.view_as(parameter))
        layer.to(device)


class _Uses(TorchFunctionMode):
    """Entered around a forward pass, it notes which layers' tensors the calls get, in the order of their last use."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.order: dict[str, None] = {}
        self.owners: dict[int, list[str]] = {}
        for name, module in model.named_modules():
            own = [*module.parameters(recurse=False)]
            if own or _has_reset(module):
                for tensor in (*own, *module.buffers(recurse=False)):
                    self.owners.setdefault(id(tensor), []).append(name)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "__get__":  # a look at weight.dtype is no use of the weight
            for value in (*args, *kwargs.values()):
                for tensor in value if isinstance(value, list | tuple) else [value]:
                    for name in self.owners.get(id(tensor), []):
                        self.order.pop(name, None)
                        self.order[name] = None
        return func(*args, **kwargs)


def _has_reset(module: nn.Module) -> bool:
    return callable(getattr(module, "reset_parameters", None))
