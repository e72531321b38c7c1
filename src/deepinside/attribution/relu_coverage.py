"""What DeconvNet and guided back-prop would touch in a net, before one believes their maps."""

from dataclasses import dataclass

from torch import Tensor, nn

from deepinside.attribution.activations import Activation, ActivationMode, open_gates
from deepinside.attribution.context import gradients_on
from deepinside.attribution.inputs import check_pictures


@dataclass(frozen=True)
class ReluCoverage:
    """Every non-linearity between picture and scores, in the order of the forward pass; printable."""

    activations: tuple[Activation, ...]

    def of_kind(self, kind: str) -> list[Activation]:
        """Those that are a `rectifier`, `smooth`, a `gate` or `undefined`."""
        return [a for a in self.activations if a.kind == kind]

    @property
    def rules_apply(self) -> bool:
        """Whether DeconvNet and guided back-prop are defined for this net."""
        return bool(self.of_kind("rectifier")) and not self.of_kind("smooth") and not self.of_kind("undefined")

    def __str__(self) -> str:
        lines = [
            f"{a.layer:<40} {a.function:<12} {a.kind:<10}" + ("" if a.open is None else f"{a.open:6.1%} open")
            for a in self.activations
        ]
        undefined = len(self.of_kind("undefined"))
        rectifiers, smooth, gates = (len(self.of_kind(kind)) for kind in ("rectifier", "smooth", "gate"))
        total = f"{rectifiers} rectifiers, {smooth} smooth activations, {gates} other gates"
        total += f", {undefined} undefined" if undefined else ""
        apply = "apply" if self.rules_apply else "do not apply"
        return "\n".join([*lines, f"{total}: DeconvNet and guided back-prop {apply}"])


class _Coverage(ActivationMode):
    def share(self, out: Tensor, high: float) -> Tensor:
        return open_gates(out.detach(), high).float().mean()


def relu_coverage(model: nn.Module, images: Tensor) -> ReluCoverage:
    """The rectifiers (with the share of their open gates), smooth activations and other gates that a picture meets:
    what the rules of section 4 (DeconvNet, guided back-prop) would touch, and what they cannot.

    images: (N, C, H, W) as the model takes them; one forward pass in eval mode, which leaves the model as it was.
    Raises ValueError for pictures of another shape or kind.
    """
    with gradients_on(model) as bare:
        check_pictures(bare, images)
        with _Coverage() as mode:
            scores = bare(images.detach().clone().requires_grad_().clone())
    return ReluCoverage(mode.activations(bare, scores))
