"""Ensembles that say a Gaussian, against torch's distributions and against single nets."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal
from torch.nn import functional as F

from milestones.parts.gaussians import Ensemble, Together, bounded, surprisal


def test_surprisal_is_that_of_a_normal_distribution() -> None:
    mean, log_variance, value = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0)).unbind()
    true = -Normal(mean, (log_variance / 2).exp()).log_prob(value)
    assert torch.allclose(surprisal(mean, log_variance, value), true, atol=1e-5)


def test_the_variance_stays_within_its_bounds() -> None:
    low, high = torch.tensor([-10.0, -3.0]), torch.tensor([0.5, 2.0])
    said = torch.linspace(-60, 60, 121)[:, None].expand(-1, 2)
    bent = bounded(said, low, high)
    assert (bent >= low - 1e-4).all() and (bent <= high + 1e-2).all(), "the upper one by a hair: the lower bends last"
    assert (bent.diff(dim=0) >= 0).all()
    middle = bounded(torch.tensor([[-5.0, -0.5]]), low, high)
    assert (middle - torch.tensor([[-5.0, -0.5]])).abs().max() < 0.1


def test_one_product_is_as_many_nets() -> None:
    torch.manual_seed(0)
    net = Ensemble(3, 4, [8, 6], 2)
    x = torch.randn(3, 7, 4)
    for k in range(3):
        y = x[k]
        for n, layer in enumerate(net.layers):
            y = F.linear(y, layer.weight[k].T, layer.bias.view(3, -1)[k])
            y = y * torch.sigmoid(y) if n < 2 else y
        assert torch.allclose(net(x)[k], y, atol=1e-6)


def test_nets_learn_apart() -> None:
    torch.manual_seed(0)
    net = Ensemble(3, 4, [8], 2)
    net(torch.randn(3, 7, 4))[1].square().sum().backward()
    for layer in net.layers:
        assert [bool(layer.weight.grad[k].any()) for k in range(3)] == [False, True, False]
        assert [bool(layer.bias.grad.view(3, -1)[k].any()) for k in range(3)] == [False, True, False]


def test_starting_weights() -> None:
    torch.manual_seed(0)
    layer = Together(4, 100, 200)
    assert layer.weight.abs().max() <= 0.1
    assert math.isclose(float(layer.weight.detach().std()), 0.05 * 0.88, rel_tol=0.02)  # a normal cut at two deviations
    assert not layer.bias.any()


def test_noise_of_two_sizes_is_learned() -> None:
    """y = 2x with a deviation of 0.1 where x < 0, of 0.5 where x > 0."""
    torch.manual_seed(0)
    net, low, high = Ensemble(2, 1, [16], 2), torch.tensor([-10.0]), torch.tensor([2.0])
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(800):
        x = torch.rand(2, 128, 1) * 2 - 1
        y = 2 * x + torch.where(x < 0, 0.1, 0.5) * torch.randn_like(x)
        mean, log_variance = net(x).chunk(2, -1)
        loss = surprisal(mean, bounded(log_variance, low, high), y).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        x = torch.tensor([[-0.6], [0.6]]).expand(2, 2, 1)
        mean, log_variance = net(x).chunk(2, -1)
        deviation = (bounded(log_variance, low, high) / 2).exp()
    assert (mean[..., 0] - torch.tensor([-1.2, 1.2])).abs().max() < 0.15
    assert ((deviation[..., 0] / torch.tensor([0.1, 0.5])).log().abs() < 0.4).all()
