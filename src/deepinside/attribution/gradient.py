"""The engine: gradients of class scores with respect to the picture, from one forward pass."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepinside.attribution.input_layer import SubPixelInputLayer
from deepinside.attribution.relu_rules import ReluRule
from deepinside.attribution.scores import Score, check_classes, check_dependence, check_scores, class_score, evaluate


class ScoreGraph:
    """One forward pass whose graph is kept, so that many classes cost one backward pass each.

    images: (N, C, H, W), as the model takes them. rule: how ReLUs are passed backwards, `gradient` (back-prop),
    `deconvnet` or `guided`. autocast: the forward pass's lower precision, or None. scores: (N, classes), before the
    soft-max. To be used within `gradients_on`, with the model that it gives. Raises UserError where a rule meets
    activations that it has no meaning for, ValueError where the model's output is not (N, classes) or has no gradient.
    """

    def __init__(
        self,
        bare: nn.Module,
        images: Tensor,
        *,
        rule: str = "gradient",
        autocast: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.images = images.detach().clone(memory_format=layout).requires_grad_()
        with ExitStack() as stack:
            device = images.device.type
            stack.enter_context(torch.autocast(device, autocast, enabled=autocast is not None))
            stack.enter_context(SubPixelInputLayer())
            relus = None if rule == "gradient" else stack.enter_context(ReluRule(rule))
            scores = bare(self.images.clone())  # nets may change their input in place
        check_scores(scores, len(images))
        check_dependence(scores)
        if relus is not None:
            relus.check(bare, scores)
        self._scores = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
        self.scores = self._scores.detach()

    def gradients(self, classes: Tensor, score: Score = class_score, *, batched: bool = False) -> Tensor:
        """dS_c/dI for each picture and each of its classes (paper, section 3.1).

        classes (N, K) -> (N, K, C, H, W). `autograd.grad` towards the picture alone: no parameter's gradient is
        computed and no `.grad` is touched. batched: the K backward passes as one vectorised pass. Raises ValueError for
        classes that are not int64 indices of scores, and a score that is not one number a picture.
        """
        check_classes(classes, self.scores.shape[1])
        # Cloned, since they may come from inference mode. Pictures do not mix in eval mode: one sum serves all.
        chosen = [evaluate(score, self._scores, column).sum() for column in classes.clone().unbind(1)]
        if not chosen:
            return self.images.new_zeros(len(classes), 0, *self.images.shape[1:])
        if batched:
            directions = torch.eye(len(chosen), dtype=self._scores.dtype, device=self._scores.device)
            scores = torch.stack(chosen)
            together = torch.autograd.grad(scores, self.images, directions, retain_graph=True, is_grads_batched=True)
            return together[0].transpose(0, 1)
        grads = [torch.autograd.grad(one, self.images, retain_graph=True)[0] for one in chosen]
        return torch.stack(grads, 1)


@dataclass(frozen=True)
class Pass:
    """What is differentiated: the ReLU rule on the way back, the score, the forward pass's lower precision."""

    rule: str = "gradient"
    score: Score = class_score
    autocast: torch.dtype | None = None

    def forward(self, bare: nn.Module, images: Tensor, channels_last: bool = False) -> ScoreGraph:
        return ScoreGraph(bare, images, rule=self.rule, autocast=self.autocast, channels_last=channels_last)
