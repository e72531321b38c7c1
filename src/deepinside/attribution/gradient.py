"""The engine: gradients of class scores with respect to the picture, from one forward pass.

This is the one place that turns gradients on: inside Lightning's test and validate loops the inference mode has to
be left as well, and its tensors copied. Whatever is entered here leaves the model as it was, also after an exception.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def gradients_on(model: nn.Module) -> Iterator[nn.Module]:
    """The bare model (no DDP wrapper, not compiled) in eval mode, gradients enabled, even under inference mode."""
    bare = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    bare = getattr(bare, "_orig_mod", bare)  # what torch.compile keeps of the module it wraps
    modes = [(module, module.training) for module in bare.modules()]
    try:
        bare.eval()
        with torch.inference_mode(False), torch.enable_grad():
            yield bare
    finally:
        for module, mode in modes:
            module.training = mode


class ScoreGraph:
    """One forward pass whose graph is kept, so that many classes cost one backward pass each.

    images: (N, C, H, W), as the model takes them. scores: (N, classes), before the soft-max. To be used within
    `gradients_on`, with the model that it gives.
    """

    def __init__(self, bare: nn.Module, images: Tensor) -> None:
        self.images = images.detach().clone().requires_grad_()
        self._scores: Tensor = bare(self.images)
        self.scores = self._scores.detach()

    def gradients(self, classes: Tensor) -> Tensor:
        """dS_c/dI for each picture and each of its classes (paper, section 3.1).

        classes (N, K) -> (N, K, C, H, W). `autograd.grad` towards the picture alone: no parameter's gradient is
        computed and no `.grad` is touched.
        """
        # Cloned, since they may come from inference mode. Pictures do not mix in eval mode: one sum serves all.
        chosen = self._scores.gather(1, classes.clone()).sum(0)
        grads = [torch.autograd.grad(score, self.images, retain_graph=True)[0] for score in chosen]
        return torch.stack(grads, 1)
