"""DeconvNet against back-prop, layer by layer (paper, section 4): equal but for the rectifiers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from deepinside.attribution.activations import open_gates
from deepinside.attribution.context import gradients_on
from deepinside.attribution.deconvnet import deconvnet_step
from deepinside.attribution.inputs import check_pictures, check_shapes
from deepinside.attribution.relu_rules import ReluRule
from deepinside.attribution.scores import check_classes, check_dependence, check_scores
from deepinside.attribution.trace import (
    CONVOLUTION,
    FULL,
    MAX_POOL,
    RELU,
    Step,
    TraceMode,
    layer_name,
    one_hot,
)
from deepinside.errors import UserError

RULES = {
    CONVOLUTION: "transposed convolution",
    RELU: "ReLU of what arrives, R 1(R > 0)",
    MAX_POOL: "switches",
    FULL: "transposed product",
}
NO_RULE = "back-prop"  # Zeiler & Fergus give no step


@dataclass(frozen=True)
class LayerRelation:
    """One layer's step from R_{n+1} to R_n, both ways, from the same R_{n+1} and X_n.

    layer: the module; kind: convolution, ReLU, max-pool, full layer, or torch's function; rule: the DeconvNet's step;
    difference: `relative_difference` of the two, None where the DeconvNet has no step of its own or nothing arrives;
    disagreement, for ReLU: the share of gates with 1(R_{n+1} > 0) != 1(X_n > 0) among those that something arrives at
    (R_{n+1} != 0), and gates: how many these are.
    """

    layer: str
    kind: str
    rule: str
    difference: float | None = None
    disagreement: float | None = None
    gates: int = 0


def relation(model: nn.Module, images: Tensor, classes: Tensor) -> list[LayerRelation]:
    """The DeconvNet's step against the back-prop step for every layer between pictures and scores (paper, section 4).

    One forward pass gives the activity X_n; the DeconvNet's reconstructions R_n of the class scores come from one pass
    back. At each layer both steps start from that R_{n+1}: convolutions, max-pools and full layers must agree up to
    rounding, rectifiers do not. Any net with rectifiers, branches included; layers in the order of the forward pass.
    images: (N, C, H, W) as the model takes them; classes: (N,).
    Raises UserError where the net has no rectifiers or smooth activations, or layers behind code that cannot be
    followed; ValueError for pictures or classes that do not fit, and scores without a gradient.
    """
    check_shapes(images, classes)
    if not len(images):
        raise ValueError("there is no picture whose gradients could be compared")
    with gradients_on(model) as bare:
        check_pictures(bare, images)
        leaf = images.detach().clone().requires_grad_()
        start = leaf.clone()  # nets may change their input in place
        with ReluRule("deconvnet") as rule, TraceMode(start) as trace:
            scores = bare(start)
        check_scores(scores, len(images))
        check_dependence(scores)
        rule.check(bare, scores)
        names = {module: name for name, module in bare.named_modules()}
        for layer, function in trace.lost:
            where = type(layer).__name__ if layer is None else names.get(layer) or type(layer).__name__
            raise UserError(f"the input of {where} ({function}) comes from code that cannot be followed to the picture")
        check_classes(classes, scores.shape[1])
        torch.autograd.grad(scores, leaf, one_hot(classes, scores.detach()))
        return [
            _compare(step, step.arrived, layer_name(step, names)) for step in trace.steps if step.arrived is not None
        ]


def _compare(step: Step, arrived: Tensor, name: str) -> LayerRelation:
    if step.kind not in RULES:
        return LayerRelation(name, step.function, NO_RULE)
    with torch.no_grad():
        theirs = deconvnet_step(step, arrived)
    ours = _back_prop(step, arrived)
    difference = relative_difference(theirs, ours)
    if step.kind != RELU:
        return LayerRelation(name, step.kind, RULES[step.kind], difference)
    assert step.high is not None
    reached = arrived != 0
    differ = ((arrived > 0) != open_gates(step.activity, step.high)) & reached
    gates = int(reached.sum())
    return LayerRelation(name, RELU, RULES[RELU], difference, int(differ.sum()) / max(gates, 1), gates)


def relative_difference(a: Tensor, b: Tensor) -> float | None:
    """max |a - b| / max(max |a|, max |b|), in 0..2; None where both are 0."""
    largest = torch.maximum(a.abs().max(), b.abs().max())
    return float((a - b).abs().max() / largest) if largest else None


def _back_prop(step: Step, arrived: Tensor) -> Tensor:
    """df/dX_n from df/dX_{n+1} by autograd, through this layer alone."""
    x = step.activity.clone().requires_grad_()
    arguments = {**step.kwargs} if step.args else {**step.kwargs, "input": x.clone()}  # cloned: it may work in place
    positional = (x.clone(), *step.args[1:]) if step.args else ()
    return torch.autograd.grad(step.func(*positional, **arguments), x, arrived)[0]


def summarise(relations: Sequence[Sequence[LayerRelation]]) -> list[LayerRelation]:
    """The tables of several pictures as one."""
    return [merge(same) for same in zip(*relations, strict=True)]


def merge(same: Sequence[LayerRelation]) -> LayerRelation:
    """Several of a kind as the first of them: the largest difference, the disagreement over all their gates."""
    gates = sum(row.gates for row in same)
    share = sum((row.disagreement or 0) * row.gates for row in same) / max(gates, 1)
    largest = max((row.difference for row in same if row.difference is not None), default=None)
    disagreement = share if same[0].disagreement is not None else None
    return replace(same[0], difference=largest, disagreement=disagreement, gates=gates)
