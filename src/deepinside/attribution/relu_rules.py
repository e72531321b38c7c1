"""How a reconstruction passes back through rectifiers: back-prop, DeconvNet, guided back-prop (paper, section 4)."""

from typing import Any

import torch
from torch import Tensor, nn

from deepinside.attribution.activations import ActivationMode, checkpointed, open_gates
from deepinside.errors import UserError

RULES = ("deconvnet", "guided")


class _Rectify(torch.autograd.Function):
    """x -> x clipped to [0, high]; backwards one of the rules, with the gate read from what came out."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, high: float, guided: bool, inplace: bool) -> Tensor:
        return (x.clamp_ if inplace else x.clamp)(0, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, bool, bool], output: Tensor) -> None:
        x, high, guided, inplace = inputs
        if inplace:
            ctx.mark_dirty(x)
        if guided:
            ctx.save_for_backward(open_gates(output, high))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        reconstruction = grads[0].clamp(min=0)
        for gate in ctx.saved_tensors:
            reconstruction = reconstruction * gate
        return reconstruction, None, None, None


class ReluRule(ActivationMode):
    """Entered around the forward pass, it sets how reconstructions pass back through its rectifiers (paper, section 4).

    With X_n the input of a rectifier and R_{n+1} what arrives from above,
      "deconvnet": R_n = R_{n+1} 1(R_{n+1} > 0)            (Zeiler & Fergus 2013)
      "guided":    R_n = R_{n+1} 1(R_{n+1} > 0) 1(X_n > 0)  (Springenberg et al. 2014), and X_n < 6 for ReLU6,
    where back-prop has R_{n+1} 1(X_n > 0). Rectifiers: relu, relu6, clamp, clip, clamp_min, hardtanh and threshold with
    a lower bound of 0, as modules, functions or methods, in place or not; what the forward pass computes is unchanged.
    Squeeze-and-excitation gates (sigmoid, hardsigmoid), soft-max and a clamp of the picture itself are left alone. Call
    `check` after the pass. Raises UserError at rectifiers within checkpoints, which run again without the rule.
    Raises ValueError for other names.
    """

    def __init__(self, rule: str) -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"ReLU rule '{rule}' is unknown; it is one of {', '.join(RULES)}")
        self.rule = rule

    def rectify(self, x: Tensor, high: float, inplace: bool) -> Tensor:
        """x clipped to [0, high], with the rule as its way back."""
        if checkpointed():
            raise UserError(
                f"method={self.rule} cannot follow activations that are computed again on the way back (checkpoints);"
                " build the net without them (torchvision's densenet: memory_efficient=False)"
            )
        out: Tensor = _Rectify.apply(x, high, self.rule == "guided", inplace)
        return out

    def check(self, model: nn.Module, scores: Any) -> None:
        """Raises UserError where the rule met no rectifier, or non-linearities that it does not define, in the graph of
        `scores`, the model's output: those would pass as plain back-prop."""
        found, net = self.activations(model, scores), type(model).__name__
        for kind, what in (("smooth", "smooth activations"), ("undefined", "other non-linear operations")):
            names = list(dict.fromkeys(f"{a.layer} ({a.function})" for a in found if a.kind == kind))
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                raise UserError(
                    f"method={self.rule} is defined for rectifiers, and {net} has {what}:"
                    f" {', '.join(names[:3])}{more}; method=gradient works on every net"
                )
        if not any(a.kind == "rectifier" for a in found):
            raise UserError(
                f"method={self.rule} found no rectifier between picture and scores of {net};"
                " method=gradient works on every net"
            )
