"""Chances of actions against torch.distributions, running means against NumPy, and the nets that look at screens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Normal

from milestones.core.source import keyed
from milestones.parts.policy import Choices, Gaussian, Standard, head, perceptron
from milestones.parts.screens import Screens, smallest


def test_running_means_are_those_of_all_rows() -> None:
    rng, standard = keyed("rows"), Standard((3,))
    rows = [5 + 3 * torch.randn(n, 3, generator=rng) for n in (7, 1, 200, 33)]
    for part in rows:
        standard.update(part)
    every = torch.cat(rows).double().numpy()
    np.testing.assert_allclose(standard.mean.numpy(), every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(standard.variance.numpy(), every.var(0), rtol=1e-4)
    assert float(standard.count) == 241
    brought = standard(torch.cat(rows))
    torch.testing.assert_close(brought.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.back(brought), torch.cat(rows), atol=1e-4, rtol=1e-4)
    assert float(standard(torch.full((1, 3), 1e9)).max()) == 10.0


def test_a_number_has_no_columns_and_old_rows_are_forgotten() -> None:
    standard = Standard(least=0.5)
    for level in (1000.0, *[1.0] * 30):
        standard.update(torch.tensor([level - 1, level + 1]))
    assert float(standard.mean) == pytest.approx(1.0, abs=1e-4)
    assert float(standard.variance) == pytest.approx(1.0, rel=1e-2)


def test_it_does_nothing_before_it_has_seen_rows() -> None:
    raw = torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(Standard((2,))(raw), raw)


def test_choices_are_a_categorical() -> None:
    choices, features = Choices(4, 3), torch.randn(6, 4, generator=keyed("features"))
    policy = choices(features)
    truth = Categorical(logits=choices.out(features))
    action = torch.tensor([0, 1, 2, 2, 1, 0])
    torch.testing.assert_close(choices.chance(policy, action), truth.log_prob(action))
    torch.testing.assert_close(choices.entropy(policy), truth.entropy())
    assert torch.equal(choices.best(policy), truth.probs.argmax(-1))
    assert torch.equal(choices.legal(action), action)


def test_choices_are_drawn_as_often_as_they_should() -> None:
    torch.manual_seed(0)
    chance = torch.tensor([0.5, 0.3, 0.2])
    drawn = Choices(1, 3).draw(chance.log().expand(40_000, 3))
    share = torch.bincount(drawn, minlength=3) / len(drawn)
    torch.testing.assert_close(share, chance, atol=0.01, rtol=0)


def test_gaussians_are_normal_and_know_the_bounds() -> None:
    actor = Gaussian(4, [-2.0, 0.0, -math.inf], [2.0, 1.0, math.inf], spread=0.5)
    features = torch.randn(6, 4, generator=keyed("features"))
    policy = actor(features)
    truth = Normal(policy, 0.5)
    torch.manual_seed(0)
    action = actor.draw(policy)
    torch.testing.assert_close(actor.chance(policy, action), truth.log_prob(action).sum(-1))
    torch.testing.assert_close(actor.entropy(policy), truth.entropy().sum(-1))
    many = actor.draw(torch.zeros(50_000, 3))
    torch.testing.assert_close(many.std(0), torch.full((3,), 0.5), atol=0.01, rtol=0)
    ends = actor.legal(torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    assert ends.tolist() == [[-2.0, 0.0, -1.0], [2.0, 1.0, 1.0], [0.0, 0.5, 0.0]]
    assert torch.equal(actor.best(policy), policy)


def test_the_head_is_that_of_the_world() -> None:
    assert isinstance(head(8, {"discrete": True, "actions": 4}), Choices)
    found = head(8, {"discrete": False, "low": [-2.0], "high": [2.0], "actions": 1}, 0.3)
    assert isinstance(found, Gaussian)
    assert float(found.logarithm().exp().detach()) == pytest.approx(0.3)


def test_a_perceptron_starts_orthonormally() -> None:
    net = perceptron(6, (6, 3))
    weight = net[1].weight.detach()
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(6), atol=1e-5, rtol=0)
    assert net(torch.zeros(2, 2, 3)).shape == (2, 3)
    assert perceptron(6, ())(torch.zeros(2, 6)).shape == (2, 6)


@pytest.mark.parametrize(("kind", "width", "parameters"), [("nature", 512, 1_684_128), ("small", 256, 676_144)])
def test_screens_are_the_published_nets(kind: str, width: int, parameters: int) -> None:
    """Counted by hand: 32 8x8/4, 64 4x4/2, 64 3x3 and 512 units on 7 x 7; 16 8x8/4, 32 4x4/2 and 256 units on 9 x 9."""
    net = Screens(kind, (4, 84, 84))
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)).shape == (2, width) and net.width == width
    side = smallest(kind)
    assert Screens(kind, (1, side, side))(torch.zeros(1, 1, side, side, dtype=torch.uint8)).shape == (1, width)
