"""Multiply-adds of what runs, counted operator by operator below autograd."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCounter(TorchDispatchMode):
    """FLOPs of the operators of torch's own registry while it is entered, and how often weights' gradients were made.

    torch's ready-made FlopCounterMode tracks modules with hooks that fail under `torch.autograd.grad`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.weight_gradients = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        if packet.__name__ == "convolution_backward":
            self.weight_gradients += bool(args[-1][1])
        return out
