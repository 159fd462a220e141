"""Proxies of nets before training against what they are by hand, and rank correlation against scipy."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from milestones.parts.zerocost import jacobian_covariance, parameters, ranks, slopes, spearman, synflow


def net(width: int = 5) -> nn.Sequential:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def test_parameters() -> None:
    model = net()
    assert parameters(model) == 3 * 5 + 5 + 5 * 2 + 2
    model[0].weight.requires_grad_(False)
    assert parameters(model) == 5 + 5 * 2 + 2


def test_slopes_by_differences() -> None:
    model, x = net().double(), torch.randn(7, 3, dtype=torch.float64)

    def loss() -> torch.Tensor:
        return model(x).square().mean()

    norm, kept = slopes(model, loss())
    square, snip = 0.0, 0.0
    with torch.no_grad():
        for weight in model.parameters():
            flat = weight.view(-1)
            for k in range(len(flat)):
                was = float(flat[k])
                flat[k] = was + 1e-6
                above = float(loss())
                flat[k] = was - 1e-6
                slope = (above - float(loss())) / 2e-6
                flat[k] = was
                square, snip = square + slope**2, snip + abs(was * slope)
    assert norm == pytest.approx(math.sqrt(square), rel=1e-5)
    assert kept == pytest.approx(snip, rel=1e-5)


def test_synflow_of_a_linear_net_is_a_product() -> None:
    """Without biases, weights x slopes of each layer sum to the sum of the output, so two layers give twice that."""
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    want = 2 * float((model[1].weight.abs() @ model[0].weight.abs()).sum().detach())
    twin = copy.deepcopy(model)
    assert synflow(twin, twin, torch.randn(6, 3)) == pytest.approx(math.log(want), rel=1e-5)
    assert math.isnan(synflow(twin, lambda x: x, torch.randn(6, 3))), "nothing is learned in it"


def test_jacobian_covariance_prefers_slopes_that_differ() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 8)
    alike = jacobian_covariance(lambda x: x @ torch.arange(8.0)[:, None], x)
    differ = jacobian_covariance(lambda x: x.square(), x)
    assert differ > alike
    assert math.isnan(jacobian_covariance(lambda x: 0 * x, x)), "no slope at all"
    one = torch.eye(2) + torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    slope = one - one.mean(1, keepdim=True)
    slope = slope / slope.norm(dim=1, keepdim=True)
    values = torch.linalg.eigvalsh(slope.double() @ slope.double().T).clamp(min=0) + 1e-5
    want = -float((values.log() + 1 / values).sum())
    assert jacobian_covariance(lambda x: x * one, torch.ones(2, 2)) == pytest.approx(want, rel=1e-4)


def test_ranks() -> None:
    assert ranks([3.0, 1.0, 2.0]) == [3, 1, 2]
    assert ranks([1.0, 1.0, 2.0]) == [1.5, 1.5, 3]
    assert ranks([math.nan, -5.0]) == [1, 2]


def test_spearman_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    torch.manual_seed(0)
    for n in (4, 9, 30):
        a = torch.randint(0, 6, (n,)).tolist()
        b = (torch.tensor(a) + 2 * torch.randn(n)).tolist()
        rho, low, high = spearman(a, b)
        assert rho == pytest.approx(float(stats.spearmanr(a, b).statistic), abs=1e-9)
        assert -1 <= low <= rho <= high <= 1
    assert spearman([1, 2, 3, 4, 5], [2, 4, 6, 8, 9])[0] == pytest.approx(1)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3])[0])
    assert spearman([1, 2, 3], [3, 2, 1]) == (-1, -1, 1)


def test_the_interval_holds_what_it_should() -> None:
    """Of normal pairs with correlation 0.6, whose rank correlation is known: 95 % of intervals, within chance."""
    rng = torch.Generator().manual_seed(0)
    true, held = 6 / math.pi * math.asin(0.3), 0
    for _ in range(300):
        a = torch.randn(25, generator=rng)
        b = 0.6 * a + 0.8 * torch.randn(25, generator=rng)
        _, low, high = spearman(a.tolist(), b.tolist())
        held += low <= true <= high
    assert 270 <= held <= 298
