"""Where gradients are taken: the bare model, frozen, in eval mode, and as it was afterwards.

This is the one place that turns gradients on: inside Lightning's test and validate loops the inference mode has to
be left as well. Whatever is entered here leaves the model as it was, also after an exception.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from deepinside.errors import UserError


def bare_module(model: nn.Module) -> nn.Module:
    """The module itself, without DDP's, DataParallel's or torch.compile's wrappers."""
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return bare_module(model.module)
    compiled = getattr(model, "_orig_mod", None)  # what torch.compile keeps of the module it wraps
    return bare_module(compiled) if isinstance(compiled, nn.Module) else model


def check_model(model: object) -> None:
    """ValueError unless it is a net; torchvision's functions that make one are none."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, not {getattr(model, '__name__', model)!r}")


@contextmanager
def gradients_on(model: nn.Module) -> Iterator[nn.Module]:
    """The bare model, uncompiled, frozen, in eval mode; gradients enabled, even under inference mode; no autocast and
    no anomaly detection; of cuDNN's algorithms those that give the same bits every time.

    Modes, requires_grad, buffers (ranges that a quantisation-aware net observes, say), the random numbers' state and
    cuDNN's flags are put back at the end. Modes are the modules' flags alone: what a net's own `train` does beyond them
    (LoRA merges its weights) is not done. Raises UserError where batch norms have no running statistics, and for
    weights made under inference mode.
    """
    check_model(model)
    bare = bare_module(model)
    _check_pictures_stay_apart(bare)
    _check_weights_take_part(bare)
    modes = [(module, module.training) for module in bare.modules()]
    trained = [parameter for parameter in bare.parameters() if parameter.requires_grad]
    try:
        for module, _ in modes:
            module.training = False
        for parameter in trained:
            parameter.requires_grad_(False)
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(torch.autograd.set_detect_anomaly(False))  # it is the training's that is asked for
            stack.enter_context(lent_buffers(bare))
            devices = {parameter.device for parameter in bare.parameters()}
            for kind in {device.type for device in devices} or {"cpu"}:
                stack.enter_context(torch.autocast(kind, enabled=False))  # only where it is asked for
            if "torch._dynamo" in sys.modules:  # compiled parts may lie anywhere in the model
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(torch.random.fork_rng([device for device in devices if device.type == "cuda"]))
            stack.enter_context(_same_bits())
            yield bare
    finally:
        for module, mode in modes:  # these first: they cannot fail
            module.training = mode
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def lent_buffers(bare: nn.Module) -> Iterator[None]:
    """Within, the model's buffers are copies; what happens to them, or replaces them, is gone afterwards, and so is
    what its modules note in numbers and flags, as caches do of their size."""
    own = [(module, dict(module._buffers.items()), _notes(module)) for module in bare.modules()]
    with torch.inference_mode(False):  # some are one module's and another's
        copies = {id(b): b.detach().clone() for _, buffers, _ in own for b in buffers.values() if b is not None}
    try:
        for module, buffers, _ in own:
            for name, kept in buffers.items():
                if kept is not None:
                    module._buffers[name] = copies[id(kept)]
        yield
    finally:
        for module, buffers, notes in own:
            for name in {name for name, _ in module._buffers.items()} - buffers.keys():  # a script's are no dict
                del module._buffers[name]
            for name, kept in buffers.items():
                if name not in module._buffers or module._buffers[name] is not kept:
                    module._buffers[name] = kept
            vars(module).update({name: value for name, value in notes.items() if name in vars(module)})


def _notes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if value is None or isinstance(value, int | float)}


@contextmanager
def _same_bits() -> Iterator[None]:
    """On a GPU cuDNN's usual algorithms give other bits from call to call, SqueezeNet's maps by up to 1/1000 of their
    maximum, of which hard seeds may make other boxes. These take about as long (docs/benchmarks.md)."""
    if torch.backends.flags_frozen():  # `torch.backends.disable_global_flags`
        yield
        return
    cudnn = torch.backends.cudnn  # its own `flags` would set TF32's, too
    before = cudnn.deterministic, cudnn.benchmark
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.deterministic, cudnn.benchmark = True, False
    if insisted := torch.are_deterministic_algorithms_enabled():  # for the training; a look that lacks one goes on
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
        if insisted:
            torch.use_deterministic_algorithms(True, warn_only=warned)


def _check_pictures_stay_apart(bare: nn.Module) -> None:
    """Gradients of many pictures come from one sum of their scores: in eval mode no picture may see another."""
    for name, module in bare.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise UserError(f"{name} normalises by the batch even in eval mode (no running statistics): pictures mix")


def _check_weights_take_part(bare: nn.Module) -> None:
    """Inference tensors cannot be saved for a backward pass, nor be unfrozen again outside inference mode."""
    for name, tensor in bare.named_parameters():
        if tensor.is_inference() and tensor.is_floating_point():
            raise UserError(
                f"{name} was made or moved under torch.inference_mode and can take no part in gradients: make the model"
                " outside it, or take copy.deepcopy(model)"
            )
