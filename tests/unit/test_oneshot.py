"""Prototypes, episodes and pairs against loops, enumeration and a known curve."""

from __future__ import annotations

import itertools

import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.oneshot import barred, missed, nearer, prototype_logits, same_chance, threshold


@pytest.mark.parametrize("drawings", [2, 4])
def test_logits_are_minus_the_distances_to_the_means_of_the_others(drawings: int) -> None:
    x = torch.randn(5, drawings, 3, generator=keyed("logits"))
    found = prototype_logits(x)
    assert found.shape == (5, drawings, 5)
    for b, s, c in itertools.product(range(5), range(drawings), range(5)):
        rest = torch.stack([x[c, t] for t in range(drawings) if t != s]).mean(0)
        assert float(found[b, s, c]) == pytest.approx(-float((x[b, s] - rest).square().sum()), abs=1e-5)


def test_rivals_are_other_classes_of_the_group() -> None:
    label, group = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 0, 1])
    assert (~barred(label, group)).int().tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


def test_nearer_counts_and_a_tie_is_an_error() -> None:
    example = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    query = torch.tensor([[0.2], [0.5], [0.0], [0.0]])
    ahead, others = nearer(query, example, torch.arange(4), torch.tensor([0, 0, 0, 1]))
    assert ahead.tolist() == [0, 1, 2, 0]  # the second lies between two
    assert others.tolist() == [2, 2, 2, 0]


def test_episodes_are_counted_as_enumeration_has_them() -> None:
    ahead, others = torch.tensor([0, 1, 3, 6]), torch.tensor([6, 6, 6, 6])
    for k, chance in zip(ahead.tolist(), missed(ahead, others, 4).tolist(), strict=True):
        draws = list(itertools.combinations(range(6), 3))  # the first k are nearer
        assert chance == pytest.approx(sum(min(draw) < k for draw in draws) / len(draws))
    assert missed(torch.tensor([1]), torch.tensor([2]), 5).tolist() == [1.0], "all others there are"
    assert missed(torch.tensor([0]), torch.tensor([0]), 5).tolist() == [0.0]


def test_the_threshold_is_the_curve_that_pairs_were_drawn_from() -> None:
    """Distances evenly spread; of one class with the chance of a known curve, as likely as not on the whole."""
    rng = keyed("pairs")
    far = 10 * torch.rand(200_000, generator=rng)
    same = torch.rand(len(far), generator=rng) < (1.5 * (5 - far)).sigmoid()
    slope, middle = threshold(far[same], far[~same])
    assert slope == pytest.approx(1.5, rel=0.05) and middle == pytest.approx(5.0, rel=0.02)
    chance = same_chance(torch.tensor([middle]), torch.tensor(slope), torch.tensor(middle))
    assert float(chance) == pytest.approx(0.5)


def test_pairs_that_a_threshold_tells_apart_have_a_finite_curve() -> None:
    slope, middle = threshold(torch.tensor([0.0, 0.1, 0.2]), torch.tensor([0.8, 0.9]))
    assert 0 < slope < 1e4 and 0.2 < middle < 0.8
