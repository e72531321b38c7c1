"""The ReLU rules on hand-set weights, however a rectifier is written, and where other libraries stay silent."""

import warnings
from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from deepinside.attribution.activations import read_rectifier
from deepinside.attribution.relu_coverage import relu_coverage
from deepinside.attribution.relu_rules import RULES, ReluRule
from deepinside.attribution.saliency import saliency
from deepinside.errors import UserError

DOUBLE = {"dtype": torch.float64}


def linear(*rows: list[float]) -> nn.Linear:
    weight = torch.tensor(rows, **DOUBLE)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, **DOUBLE)
    layer.weight.data.copy_(weight)
    return layer


def reconstruct(net: nn.Module, images: Tensor, method: str, classes: Tensor | None = None) -> Tensor:
    chosen = torch.zeros(len(images), dtype=torch.int64) if classes is None else classes
    return saliency(net, images, chosen, method, reduction="none", strategy="loop")


@pytest.mark.parametrize(
    ("method", "expected"), [("gradient", [2.0, -4.0]), ("deconvnet", [-1.0, 0.0]), ("guided", [2.0, 0.0])]
)
def test_golden_numbers(method: str, expected: list[float]) -> None:
    """x = (1, 2) gives X = (1, -1, 2) before the ReLU, and R = (2, 3, -4) arrives: the four cases of both signs."""
    net = nn.Sequential(nn.Flatten(), linear([1, 0], [-1, 0], [0, 1]), nn.ReLU(), linear([2, 3, -4]))
    images = torch.tensor([1.0, 2.0], **DOUBLE).view(1, 2, 1, 1)
    assert reconstruct(net, images, method).flatten().tolist() == expected


@pytest.mark.parametrize(
    ("method", "expected"), [("gradient", [0, 3, 0, -4]), ("deconvnet", [2, 3, 5, 0]), ("guided", [0, 3, 0, 0])]
)
@pytest.mark.parametrize("relu", [nn.ReLU6(), nn.ReLU6(inplace=True), nn.Hardtanh(0, 6)])
def test_golden_numbers_of_relu6(method: str, expected: list[float], relu: nn.Module) -> None:
    """Its gate is shut above 6 too: X = (-1, 1, 7, 2) and R = (2, 3, 5, -4)."""
    net = nn.Sequential(nn.Flatten(), linear(*torch.eye(4).tolist()), relu, linear([2, 3, 5, -4]))
    images = torch.tensor([-1.0, 1.0, 7.0, 2.0], **DOUBLE).view(1, 4, 1, 1)
    assert reconstruct(net, images, method).flatten().tolist() == expected


def test_gates_alone_are_no_rectifiers() -> None:
    class Gated(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            flat = images.flatten(1)
            return flat * flat.mean(1, keepdim=True).sigmoid()

    assert [a.kind for a in relu_coverage(Gated(), torch.rand(1, 3, 2, 2)).activations] == ["gate"]
    assert not relu_coverage(Gated(), torch.rand(1, 3, 2, 2)).rules_apply
    with pytest.raises(UserError, match="found no rectifier between picture and scores of Gated"):
        reconstruct(Gated(), torch.rand(1, 3, 2, 2), "deconvnet")


def test_the_share_of_open_gates_counts_both_bounds() -> None:
    net = nn.Sequential(nn.Flatten(), nn.ReLU6(), nn.Linear(4, 1))
    [found] = relu_coverage(net, torch.tensor([-1.0, 1.0, 7.0, 9.0]).view(1, 4, 1, 1)).activations
    assert found.open == 0.25


def test_what_replaces_or_bounds_by_other_numbers_is_no_rectifier() -> None:
    x = torch.rand(4)
    assert read_rectifier("threshold", F.threshold, (x, 0.0, 0.0), {}) == (float("inf"), False)
    assert read_rectifier("threshold", F.threshold, (x, 0.0, 5.0), {}) is None
    assert read_rectifier("clamp", torch.clamp, (x, 0.0), {"max": torch.tensor(2.0)}) == (2.0, False)
    assert read_rectifier("clamp", torch.clamp, (x, 0.0), {"max": torch.rand(4)}) is None


def test_two_layers_by_hand() -> None:
    """A gate above decides what a gate below sees: R_1 = W_2^T (R_2 gated), then gated again."""
    net = nn.Sequential(nn.Flatten(), linear([1, 1], [1, -1]), nn.ReLU(), linear([-1, 2], [3, 1]), nn.ReLU())
    net.append(linear([1, -2]))
    images = torch.tensor([2.0, 1.0], **DOUBLE).view(1, 2, 1, 1)  # X_1 = (3, 1), X_2 = (-1, 10)
    # R_3 = (1, -2). Back-prop: (0, -2) -> (-6, -2) -> (-8, -4). DeconvNet: (1, 0) -> (-1, 2) -> (0, 2) -> (2, -2).
    assert reconstruct(net, images, "gradient").flatten().tolist() == [-8, -4]
    assert reconstruct(net, images, "deconvnet").flatten().tolist() == [2, -2]
    assert reconstruct(net, images, "guided").flatten().tolist() == [0, 0]


WRITTEN: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.Threshold": nn.Threshold(0, 0),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "F.relu": F.relu,
    "F.relu by keyword": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, True),
    "F.relu_": F.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "torch.clamp": lambda x: torch.clamp(x, min=0),
    "Tensor.clamp": lambda x: x.clamp(0),
    "Tensor.clamp_": lambda x: x.clamp_(min=0.0),
    "Tensor.clamp_min": lambda x: x.clamp_min(0),
    "Tensor.clamp_min_": lambda x: x.clamp_min_(0),
    "Tensor.clip": lambda x: x.clip(min=torch.tensor(0.0)),
    "F.threshold in place": lambda x: F.threshold(x, 0, 0, inplace=True),
    "relu of a view in place": lambda x: (x[:, :].relu_(), x)[1],
}


@pytest.mark.parametrize("relu", WRITTEN.values(), ids=WRITTEN.keys())
@pytest.mark.parametrize("rule", RULES)
def test_every_way_to_write_a_rectifier(relu: Callable[[Tensor], Tensor], rule: str) -> None:
    torch.manual_seed(0)
    images, arriving = torch.randn(3, 5, **DOUBLE).requires_grad_(), torch.randn(3, 5, **DOUBLE)
    before = images * 1
    with ReluRule(rule) as mode:
        after = relu(before)
    expected = arriving.clamp(min=0) * ((images > 0) if rule == "guided" else 1)
    assert torch.equal(after, images.detach().clamp(min=0))
    assert (after is before) == (after.data_ptr() == before.data_ptr())
    one = torch.autograd.grad(after, images, arriving, retain_graph=True)[0]
    assert torch.equal(one, expected)
    directions = torch.stack([arriving, -arriving])
    many = torch.autograd.grad(after, images, directions, is_grads_batched=True)[0]
    assert torch.equal(many[0], expected)
    assert torch.equal(many[1], (-arriving).clamp(min=0) * ((images > 0) if rule == "guided" else 1))
    assert len(mode.met) == 1


def test_only_a_part_is_rectified_in_place() -> None:
    images, arriving = torch.tensor([[-1.0, 2.0, -3.0]]).requires_grad_(), torch.tensor([[5.0, -6.0, -7.0]])
    values = images * 1
    with ReluRule("deconvnet"):
        values[:, :2].relu_()
    assert values.tolist() == [[0, 2, -3]]
    assert torch.autograd.grad(values, images, arriving)[0].tolist() == [[5, 0, -7]]


def test_a_reused_rectifier_applies_every_time() -> None:
    relu = nn.ReLU()
    once = nn.Sequential(nn.Flatten(), linear([1, 1], [1, -1]), nn.ReLU(), linear([-1, 2], [3, 1]), nn.ReLU())
    reused = nn.Sequential(once[0], once[1], relu, once[3], relu, linear([1, -2]))
    separate = nn.Sequential(*once, reused[5])
    images = torch.randn(4, 2, 1, 1, generator=torch.Generator().manual_seed(0), **DOUBLE)
    for method in RULES:
        assert torch.equal(reconstruct(reused, images, method), reconstruct(separate, images, method))
    assert len(relu_coverage(reused, images).of_kind("rectifier")) == 2


def test_where_both_gates_are_open_all_three_agree() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    for parameter in net.double().parameters():
        parameter.data.abs_()
    images = torch.rand(2, 3, 8, 8, **DOUBLE)
    plain = reconstruct(net, images, "gradient")
    assert all(torch.equal(reconstruct(net, images, method), plain) for method in RULES)
    net[5].weight.data.neg_()
    assert all(not reconstruct(net, images, method).any() for method in RULES)


def test_deconvnet_sees_the_picture_through_switches_alone() -> None:
    """Without max-pooling its reconstruction depends on the class, never on the picture; guided and gradient do."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 2)).double()
    images = torch.randn(2, 3, 8, 8, **DOUBLE)
    maps = {method: reconstruct(net, images, method) for method in ("gradient", *RULES)}
    assert torch.equal(maps["deconvnet"][0], maps["deconvnet"][1])
    assert not torch.equal(maps["gradient"][0], maps["gradient"][1])
    assert not torch.equal(maps["guided"][0], maps["guided"][1])


def test_scores_are_unchanged_also_in_low_precision() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3))
    images = torch.rand(2, 3, 8, 8).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        plain = net(images)
        with ReluRule("guided") as rule:
            ruled = net(images)
    rule.check(net, ruled)
    assert ruled.dtype == torch.bfloat16
    assert torch.equal(plain, ruled)
    assert torch.autograd.grad(ruled.float().sum(), images)[0].isfinite().all()


def test_a_net_without_rectifiers_is_refused() -> None:
    with pytest.raises(UserError, match="found no rectifier between picture and scores of Sequential"):
        reconstruct(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2), "guided")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("plain", [[], [nn.ReLU()]], ids=["alone", "beside a plain one"])
def test_scripted_rectifiers_are_refused_not_overlooked(plain: list[nn.Module]) -> None:
    scripted = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.ReLU()), torch.rand(1, 3, 2, 2))
    for _ in range(3):  # scripts are compiled as they run
        with pytest.raises(UserError, match="has other non-linear operations:"):
            reconstruct(nn.Sequential(scripted, *plain), torch.rand(1, 3, 2, 2), "deconvnet")


SMOOTH = [nn.GELU(), nn.SiLU(inplace=True), nn.Hardswish(), nn.Mish(), nn.ELU(), nn.CELU(), nn.SELU(), nn.Softplus()]
SMOOTH += [nn.Tanh(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.Softsign(), nn.LogSigmoid(), nn.Tanhshrink()]
SMOOTH += [nn.Softshrink(), nn.Hardshrink(), nn.Hardtanh()]


@pytest.mark.parametrize("smooth", SMOOTH, ids=lambda module: type(module).__name__)
def test_smooth_activations_are_named(smooth: nn.Module) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.ReLU(), nn.Sequential(smooth))
    with pytest.raises(UserError, match=r"method=guided is defined for rectifiers.*: 3\.0 \(\w+\); method=gradient"):
        reconstruct(net, torch.rand(1, 3, 2, 2), "guided")


def test_three_names_are_all_and_of_four_the_last_is_counted() -> None:
    layers = [nn.Flatten(), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Mish()]
    for count, names in ((4, r"1 \(gelu\), 2 \(silu\), 3 \(tanh\);"), (5, r"1 .*, 3 \(tanh\) and 1 more;")):
        with pytest.raises(UserError, match=f"smooth activations: {names} method=gradient"):
            reconstruct(nn.Sequential(*layers[:count]), torch.rand(1, 3, 2, 2), "guided")


def squares_below_one(h: Tensor) -> Tensor:
    h = h * 1
    h[:, :1].pow_(2)
    return h


def gated_by_comparison(h: Tensor) -> Tensor:
    return h * (h > 0)


UNDEFINED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "SiLU": (lambda h: h * torch.sigmoid(h), "mul"),
    "quick GELU": (lambda h: torch.sigmoid(1.702 * h) * h, "mul"),
    "GELU": (lambda h: 0.5 * h * (1 + torch.erf(h / 2**0.5)), "erf"),
    "hard swish": (lambda h: h * F.relu6(h + 3) / 6, "mul"),
    "torch.maximum": (lambda h: torch.maximum(h, torch.zeros_like(h)), "maximum"),
    "torch.max": (lambda h: torch.max(h, torch.zeros_like(h)), "maximum"),
    "torch.fmax": (lambda h: torch.fmax(h, torch.zeros_like(h)), "fmax"),
    "torch.where": (lambda h: torch.where(h > 0, h, torch.zeros_like(h)), "gt"),
    "where of a constant mask": (lambda h: torch.where(torch.tensor([True, False]), h, h.new_zeros(1)), "where"),
    "a mask": (gated_by_comparison, "gt"),
    "a mask of detached activity": (lambda h: h * (h.detach() > h.detach().mean()), "mul"),
    "maximum of a stack": (lambda h: torch.stack([h, torch.zeros_like(h)]).amax(0), "amax"),
    "absolute values": (lambda h: (h + h.abs()) / 2, "abs"),
    "clamp of places": (lambda h: h.clamp(min=torch.zeros(2)), "clamp"),
    "clamp(-1, 1)": (lambda h: h.clamp(-1, 1), "clamp"),
    "clamp(max=1)": (lambda h: h.clamp(max=1), "clamp"),
    "threshold": (lambda h: F.threshold(h, 0.1, 0), "threshold"),
    "exp": (torch.exp, "exp"),
    "sin": (torch.sin, "sin"),
    "a product": (lambda h: h * h, "mul"),
    "SiLU by division": (lambda h: h / (1 + torch.exp(-h)), "div"),
    "in place on a part": (squares_below_one, "pow"),
}


class OwnSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.save_for_backward(h)
        return h**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        result: Tensor = 2 * ctx.saved_tensors[0] * grads[0]
        return result


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, h: Tensor) -> Tensor:
        return self.function(h)


@pytest.mark.parametrize(("function", "name"), UNDEFINED.values(), ids=UNDEFINED.keys())
def test_whatever_else_is_not_linear_is_refused_and_named(function: Callable[[Tensor], Tensor], name: str) -> None:
    """Beside a plain rectifier, none of them passes as plain back-prop."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2), Calls(function), nn.Linear(2, 2))
    assert reconstruct(net, torch.rand(1, 3, 2, 2), "gradient").isfinite().all()
    for rule in RULES:
        with pytest.raises(UserError, match=rf"is defined for rectifiers.*[: ]4(\.\S+)? \({name}\)"):
            reconstruct(net, torch.rand(1, 3, 2, 2), rule)
    assert not relu_coverage(net, torch.rand(1, 3, 2, 2)).rules_apply


LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "branches": lambda h: torch.cat([part * 2 for part in h.chunk(2, 1)], 1) + h.roll(1, 1).flip(0),
    "normalised by hand": lambda h: (h - h.mean(1, keepdim=True)) / (h.var(1, keepdim=True) + 1e-5).sqrt(),
    "F.normalize": F.normalize,
    "attention": lambda h: h @ torch.softmax(h.T @ h, -1),
    "gate of another layer": lambda h: torch.sigmoid(h @ torch.ones(2, 2)) * h,
    "constant factors": lambda h: h * torch.tensor([1.0, 0.5]) * torch.ones(2),
    "half and back": lambda h: h.to(torch.bfloat16).float(),
    "group norm": lambda h: F.group_norm(h[..., None, None], 2).flatten(1),
}


@pytest.mark.parametrize("function", LINEAR.values(), ids=LINEAR.keys())
def test_linear_operations_gates_and_normalisation_pass(function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2), Calls(function), nn.Linear(2, 2))
    assert relu_coverage(net, torch.rand(2, 3, 2, 2)).rules_apply
    for rule in RULES:
        assert reconstruct(net, torch.rand(2, 3, 2, 2), rule).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_masks_are_counted_whatever_their_precision(dtype: torch.dtype) -> None:
    """Sums of ones overflow in float16 and round in bfloat16."""
    mask = torch.ones(70_000, dtype=dtype)
    first = nn.Sequential(nn.Flatten(), nn.Linear(12, 70_000), nn.ReLU())
    for zeros, refused in ((0, False), (1, True)):
        mask[:zeros] = 0
        net = nn.Sequential(first, Calls(lambda h: h * mask), Calls(lambda h: h[:, :2])).to(dtype)
        assert relu_coverage(net, torch.rand(1, 3, 2, 2, dtype=dtype)).rules_apply is not refused


def test_own_autograd_functions_are_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), Calls(OwnSquare.apply))
    with pytest.raises(UserError, match=r"other non-linear operations: .*\(ownsquare\)"):
        reconstruct(net, torch.rand(1, 3, 2, 2), "guided")


def test_a_clamp_of_the_picture_is_no_activation() -> None:
    net = nn.Sequential(nn.Flatten(), linear([1, 0], [-1, 0], [0, 1]), nn.ReLU(), linear([2, 3, -4]))
    clamped = nn.Sequential(Calls(lambda images: images.clamp(0, 3)), net)
    images = torch.tensor([1.0, 2.0], **DOUBLE).view(1, 2, 1, 1)
    for rule in RULES:  # its R = (-1, .) would not pass a rectifier of the DeconvNet
        assert torch.equal(reconstruct(clamped, images, rule), reconstruct(net, images, rule))
    assert len(relu_coverage(clamped, images).activations) == 1


def test_questions_about_a_number_or_the_picture_are_no_activations() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.full = nn.Linear(12, 2)

        def forward(self, images: Tensor) -> Tensor:
            found = self.full(images.flatten(1)).relu()
            if bool((images < 0).any()) or bool(found.sum() > 1e9):
                raise RuntimeError("not as expected")
            return found

    coverage = relu_coverage(Careful(), torch.rand(2, 3, 2, 2))
    assert [(a.function, a.kind) for a in coverage.activations] == [("relu", "rectifier")]


def test_checkpoints_are_refused() -> None:
    net = torchvision.models.DenseNet(4, (1, 1), 8, num_classes=2, memory_efficient=True)
    assert reconstruct(net, torch.rand(1, 3, 32, 32), "gradient").isfinite().all()
    with pytest.raises(UserError, match=r"method=guided cannot follow.*\(checkpoints\).*memory_efficient=False"):
        reconstruct(net, torch.rand(1, 3, 32, 32), "guided")


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="ReLU rule 'guide' is unknown; it is one of deconvnet, guided"):
        ReluRule("guide")


class Gated(nn.Module):
    """Squeeze-and-excitation around a rectifier; a clamp that only bounds a number; an index clamped at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.squeeze, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.body(images))
        x = x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True)))
        place = torch.tensor([0, 1]).clamp(min=0)
        pooled = x.mean((2, 3)) / x.norm().clamp(min=1e-6)
        return self.head(pooled)[:, place]


def test_coverage_lists_what_was_met_and_what_was_left_alone() -> None:
    torch.manual_seed(0)
    net, images = Gated(), torch.rand(2, 3, 8, 8)
    coverage = relu_coverage(net, images)
    assert [(a.layer, a.function, a.kind) for a in coverage.activations] == [
        ("Gated", "relu", "rectifier"),
        ("Gated", "sigmoid", "gate"),
    ]
    assert coverage.activations[0].open == pytest.approx(float((net.body(images) > 0).float().mean()))
    assert coverage.rules_apply
    assert str(coverage).endswith(
        "1 rectifiers, 0 smooth activations, 1 other gates: DeconvNet and guided back-prop apply"
    )
    assert not relu_coverage(nn.Sequential(net, nn.GELU()), images).rules_apply


def zoo_net(name: str, **options: bool) -> nn.Module:
    """With random weights, in float64; the widest full layers made narrow, so that it is built quickly."""
    torch.manual_seed(0)
    with torch.device("meta"):
        head = torchvision.models.get_model(name, num_classes=10, **options)
    if name in ("alexnet", "vgg11"):
        narrow = {i: m for i, m in enumerate(head.classifier) if isinstance(m, nn.Linear)}
        inputs, last = (256 * 36 if name == "alexnet" else 512 * 49), max(narrow)
        for i in narrow:
            head.classifier[i] = nn.Linear(inputs, 10 if i == last else 64)
            inputs = 64
        head.features.to_empty(device="cpu")
        for module in head.features.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        return head.double().eval()
    return torchvision.models.get_model(name, num_classes=10, **options).double().eval()


def captum_and_ours(net: nn.Module, side: int, method: str) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
    """captum's reconstruction, the plain gradient, and ours when it is asked for."""
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1), **DOUBLE)
    classes = torch.tensor([1, 3])
    peer = {"guided": captum.attr.GuidedBackprop, "deconvnet": captum.attr.Deconvolution}[method](net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it sets hooks
        theirs = peer.attribute(images.clone().requires_grad_(), target=classes)
    plain = reconstruct(net, images, "gradient", classes)
    return theirs.detach(), plain, lambda: reconstruct(net, images, method, classes)


def difference(a: Tensor, b: Tensor) -> float:
    """Largest, over pictures, relative to the picture's largest value."""
    return float(((a - b).abs().amax((1, 2, 3)) / b.abs().amax((1, 2, 3))).max())


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize(("name", "side"), [("alexnet", 64), ("vgg11", 32), ("resnet18", 32)])
def test_equal_to_captum_where_captum_applies(name: str, side: int, method: str) -> None:
    theirs, plain, ours = captum_and_ours(zoo_net(name), side, method)
    assert difference(ours(), theirs) < 1e-9
    assert difference(plain, theirs) > 0.1


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("googlenet", 64, {"aux_logits": False, "init_weights": False}),
        ("inception_v3", 80, {"aux_logits": False, "init_weights": False}),
        ("efficientnet_b0", 32, {}),
        ("convnext_tiny", 32, {}),
    ],
)
def test_where_captum_silently_gives_the_plain_gradient(
    name: str, side: int, options: dict[str, bool], method: str
) -> None:
    """captum changes `nn.ReLU` modules alone: functional rectifiers and smooth activations pass it unnoticed."""
    theirs, plain, ours = captum_and_ours(zoo_net(name, **options), side, method)
    assert difference(theirs, plain) < 1e-12
    if name in ("googlenet", "inception_v3"):
        assert difference(ours(), plain) > 0.1
    else:
        with pytest.raises(UserError, match=r"smooth activations: features\.\S+ \((silu|gelu)\)"):
            ours()
