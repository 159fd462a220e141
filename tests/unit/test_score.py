"""Scores and intervals against SciPy-free oracles: a search, a simulation, printed tables."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from milestones.core.interval import quantiles, spread, student
from milestones.core.score import Score, answers, error_score, mean_score, rate_score, wilson
from milestones.core.source import Held, Place


class Pairs(NamedTuple):
    input: torch.Tensor
    label: torch.Tensor


def held(input: torch.Tensor, label: torch.Tensor) -> Held[Pairs]:
    return Held(Pairs(input, label), Place(torch.device("cpu"), 0), "made", "test")


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate(pair: tuple[int, int]) -> None:
    wrong, over = pair
    low, high = wilson(wrong, over)
    assert 0 <= low <= 100 * wrong / over + 1e-9
    assert 100 * wrong / over - 1e-9 <= high <= 100


def test_wilson_of_all_and_of_none_ends_there_in_spite_of_rounding() -> None:
    assert all(wilson(n, n)[1] == 100.0 and wilson(0, n)[0] == 0.0 for n in range(1, 500))


@pytest.mark.parametrize(("wrong", "over"), [(0, 20), (1, 100), (50, 100), (81, 263), (9999, 10000)])
def test_wilson_solves_its_equation(wrong: int, over: int) -> None:
    """The bounds are the rates p at which the observed one is 1.96 standard errors away (by bisection)."""
    rate = wrong / over

    def bound(inside: float, outside: float) -> float:
        for _ in range(100):
            p = (inside + outside) / 2
            within = abs(rate - p) <= 1.959964 * math.sqrt(p * (1 - p) / over)
            inside, outside = (p, outside) if within else (inside, p)
        return 100 * inside

    assert wilson(wrong, over) == pytest.approx((bound(rate, 0.0), bound(rate, 1.0)), abs=1e-6)


def test_error_score_counts() -> None:
    model = torch.nn.Identity()
    logits = torch.tensor([[3.0, 1.0], [0.0, 1.0], [2.0, 0.0], [5.0, 0.0]])
    score = error_score(model, held(logits, torch.tensor([0, 1, 1, 1])), paper=1.0, paper_data="other")
    assert (score.value, score.over, score.unit, score.better, score.data, score.split) == (
        50.0,
        4,
        "%",
        "lower",
        "made",
        "test",
    )
    assert not score.comparable
    assert "published on other data (other; not comparable): 1 %" in str(score)
    assert "; published: 1 %" in str(rate_score(1, 4, held(logits, torch.zeros(4)), paper=1.0, paper_data="made"))


def test_answers_are_in_evaluation_mode_and_leave_training_mode() -> None:
    model = torch.nn.Dropout(0.9)
    model.train()
    outputs, targets = answers(model, held(torch.ones(1003, 2), torch.arange(1003)))
    assert torch.equal(outputs, torch.ones(1003, 2))
    assert torch.equal(targets, torch.arange(1003))
    assert model.training


def test_mean_score_covers_the_truth() -> None:
    """Of 400 intervals about 95 % hold the true mean, and of its root."""
    rng, hits, roots = torch.Generator().manual_seed(0), 0, 0
    source = held(torch.zeros(1), torch.zeros(1))
    for _ in range(400):
        values = 3 + torch.randn(200, generator=rng)
        score = mean_score(values, "cm", source)
        hits += score.low <= 3 <= score.high
        root = mean_score(values.square(), "cm", source, root=True)
        roots += root.low <= math.sqrt(10) <= root.high
        assert score.over == 200
    assert 366 <= hits <= 394
    assert 366 <= roots <= 394


def test_mean_score_of_equal_values() -> None:
    score = mean_score(torch.zeros(9), "cm", held(torch.zeros(1), torch.zeros(1)), root=True)
    assert (score.value, score.low, score.high) == (0, 0, 0)


def test_spread_of_seeds() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found["mean"] == 3
    assert found["sd"] == pytest.approx(math.sqrt(2.5))
    assert found["high"] - 3 == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), rel=1e-3)
    assert spread([4.0]) == {"mean": 4.0, "n": 1}


def test_students_table() -> None:
    assert [student(n) for n in (1, 4, 30)] == [12.706, 2.776, 2.042]
    assert student(10**6) == pytest.approx(1.96, abs=1e-3)
    assert all(student(n) > student(n + 1) for n in range(1, 40) if n != 31 and n < 31)


def test_score_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Score(1, 0, 2, "%", "lower", "d", "test", 3).value = 2


def test_quantiles_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=301).tolist()
    for some in (values, values[:2], values[:1], values[:40]):
        assert quantiles(some) == pytest.approx(tuple(np.quantile(some, [0.025, 0.975])))
