"""Class models: the closed form of a linear score, independence of the batch, the two objectives, the display."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from deepinside.class_model import class_model_picture, class_posterior, class_score, optimise_class_models

MEAN = (0.5, 0.4, 0.3)


class Linear(nn.Module):
    """S_c = <w_c, 255 (picture - MEAN)>, so the score is linear in I."""

    def __init__(self, classes: int = 4, side: int = 6) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(classes, 3, side, side, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", 255 * (images - images.new_tensor(MEAN).view(3, 1, 1)), self.weight)


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6 * 36, 5))


def test_linear_score_has_its_closed_form() -> None:
    """argmax <w, I> - lam ||I||^2 = w / (2 lam), in float64 and by plain gradient ascent."""
    model, lam, classes = Linear().double(), 0.05, torch.tensor([2, 0])
    plain = partial(SGD, lr=0.2 / (2 * lam))
    found = optimise_class_models(model, classes, (6, 6), MEAN, lam=lam, steps=400, optimiser=plain)
    torch.testing.assert_close(found.images, model.weight.detach()[classes] / (2 * lam), rtol=0, atol=1e-10)


def test_traces_start_at_the_zero_image_and_rise() -> None:
    model = Linear()
    found = optimise_class_models(model, torch.tensor([1]), (6, 6), MEAN, lam=0.01, steps=50)
    assert found.scores.shape == found.posteriors.shape == found.squared_norms.shape == (50, 1)
    assert abs(float(found.scores[0, 0])) < 1e-3
    assert float(found.squared_norms[0, 0]) == 0.0
    penalised = found.scores - 0.01 * found.squared_norms
    assert float(penalised[-1, 0]) > 10 * abs(float(penalised[0, 0])) + 1


def test_a_class_does_not_depend_on_its_batch() -> None:
    model = small_net()
    together = optimise_class_models(model, torch.tensor([0, 3, 4]), (8, 8), MEAN, steps=5, jitter=2)
    alone = optimise_class_models(model, torch.tensor([3]), (8, 8), MEAN, steps=5, jitter=2)
    torch.testing.assert_close(together.images[1], alone.images[0], rtol=1e-3, atol=1e-3)


def test_model_is_left_as_it_was_under_inference_mode() -> None:
    model = small_net().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.inference_mode():
        optimise_class_models(model, torch.tensor([1]), (8, 8), MEAN, steps=3, jitter=2)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_a_class_shut_at_the_zero_image_is_found_all_the_same() -> None:
    """A ReLU behind the last layer, as SqueezeNet has: its bias keeps class 1, not class 0, shut at the zero image."""
    model = nn.Sequential(Linear(2), nn.ReLU())
    linear = model[0].forward
    model[0].forward = lambda images: linear(images) - torch.tensor([-1.0, 5.0])
    found = optimise_class_models(model, torch.tensor([0, 1]), (6, 6), MEAN, lam=1e-3, steps=20)
    alone = optimise_class_models(model, torch.tensor([1]), (6, 6), MEAN, lam=1e-3, steps=20)
    assert float(found.squared_norms[0, 0]) == 0.0
    assert float(found.squared_norms[0, 1]) > 0.0
    assert float(found.scores[-1, 1]) > 10.0
    torch.testing.assert_close(found.images[1], alone.images[0], rtol=1e-5, atol=1e-5)


def test_objectives() -> None:
    scores, classes = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([1])
    assert float(class_score(scores, classes)) == 2.0
    expected = 2.0 - torch.logsumexp(scores, 1)
    torch.testing.assert_close(class_posterior(scores, classes), expected)


def test_display_adds_the_mean() -> None:
    image = torch.zeros(3, 4, 4)
    assert class_model_picture(image, MEAN)[:, 0, 0].tolist() == [128, 102, 76]
    image[0, 0, 0] = 5.0
    shown = class_model_picture(image, MEAN, contrast=1.0)
    assert shown.dtype == torch.uint8
    assert int(shown[0, 0, 0]) == 238


def test_no_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="K >= 1"):
        optimise_class_models(small_net(), torch.zeros(0, dtype=torch.int64), (8, 8), MEAN)
