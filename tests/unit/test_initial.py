"""Starting weights: against torch.nn.init with the same generator, and against what defines each."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from milestones.parts.initial import glorot, he, lsuv, orthogonal


def net() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 40), nn.ReLU(),
                         nn.Linear(40, 10))  # fmt: skip


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p for p in model.parameters() if p.dim() > 1]


@pytest.mark.parametrize(("start", "like"), [
    (glorot, nn.init.xavier_uniform_),
    (he, partial(nn.init.kaiming_normal_, nonlinearity="relu")),
    (orthogonal, nn.init.orthogonal_),
])  # fmt: skip
def test_as_torch_draws_them(start: Callable[[nn.Module], None], like: Callable[[torch.Tensor], torch.Tensor]) -> None:
    ours, theirs = net(), weights(net())
    torch.manual_seed(0)
    start(ours)
    torch.manual_seed(0)
    for mine, tensor in zip(weights(ours), theirs, strict=True):
        assert torch.equal(mine, like(tensor))
    assert all(not p.any() for p in ours.parameters() if p.dim() == 1), "biases are 0"


@pytest.mark.parametrize(("layer", "fan_in", "fan_out"), [
    (nn.Linear(300, 200), 300, 200), (nn.Conv2d(30, 40, 3), 30 * 9, 40 * 9),
])  # fmt: skip
def test_variances(layer: nn.Module, fan_in: int, fan_out: int) -> None:
    torch.manual_seed(1)
    (weight,) = weights(layer)
    glorot(layer)
    assert float(weight.detach().var()) == pytest.approx(2 / (fan_in + fan_out), rel=0.05)
    assert float(weight.detach().abs().max()) <= math.sqrt(6 / (fan_in + fan_out)) + 1e-6
    he(layer)
    assert float(weight.detach().var()) == pytest.approx(2 / fan_in, rel=0.05)
    he(layer, 0.5)
    assert float(weight.detach().std()) == pytest.approx(0.5 * math.sqrt(2 / fan_in), rel=0.05)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
def test_orthonormal_rows_or_columns(shape: tuple[int, int]) -> None:
    layer = nn.Linear(shape[1], shape[0])
    orthogonal(layer, 1.5)
    w = layer.weight.detach()
    product = w @ w.T if shape[0] <= shape[1] else w.T @ w
    torch.testing.assert_close(product, 2.25 * torch.eye(min(shape)), atol=1e-5, rtol=0)


def test_filters_are_orthonormal_rows() -> None:
    layer = nn.Conv2d(4, 8, 3)
    orthogonal(layer)
    w = layer.weight.detach().flatten(1)
    torch.testing.assert_close(w @ w.T, torch.eye(8), atol=1e-5, rtol=0)


def test_rectified_units_keep_their_mean_square_by_he_and_not_by_glorot() -> None:
    torch.manual_seed(2)
    deep = nn.Sequential(*(part for _ in range(10) for part in (nn.Linear(500, 500), nn.ReLU())))
    x = torch.randn(200, 500)
    he(deep)
    assert 0.4 < float(deep(x).detach().square().mean()) * 2 / float(x.square().mean()) < 2.5
    glorot(deep)
    assert float(deep(x).detach().square().mean()) < 0.01


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_lsuv_each_layer_puts_out_variance_1(scale: float) -> None:
    model, x = net(), scale * torch.randn(64, 1, 8, 8) + 0.3 * scale
    for p in model.parameters():
        nn.init.constant_(p, 7.0)  # nothing of what was there is left, biases neither
    lsuv(model, x)
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert float(x.detach().var()) == pytest.approx(1, abs=1e-3)
            w = layer.weight.detach().flatten(1)
            product = w @ w.T
            assert torch.allclose(product, product[0, 0] * torch.eye(len(w)), atol=1e-4 * float(product[0, 0]))
    before = [w.clone() for w in weights(model)]
    model(torch.randn(9, 1, 8, 8))
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True)), "its hooks are gone"


def test_lsuv_leaves_what_puts_out_a_constant_and_takes_a_shared_layer_once() -> None:
    model = net()
    lsuv(model, torch.zeros(4, 1, 8, 8))
    assert all(bool(w.isfinite().all()) for w in weights(model))
    layer = nn.Linear(8, 8)
    lsuv(nn.Sequential(layer, nn.ReLU(), layer), x := torch.randn(50, 8))
    assert float(layer(x).detach().var()) == pytest.approx(1, abs=1e-3)
