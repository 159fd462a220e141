"""Robust figures of several runs in several worlds, against plain loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.core.source import keyed
from milestones.parts import aggregate as robust

RNG = np.random.default_rng(0)
ROWS = [torch.from_numpy(RNG.normal(k, 1 + k, 5 + k)) for k in range(4)]  # tasks with 5 to 8 runs


def middle_of(values: list[float]) -> float:
    """The interquartile mean by hand."""
    ordered = sorted(values)
    cut = int(0.25 * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11, 12])
def test_the_middle_is_a_plain_trimmed_mean(count: int) -> None:
    values = RNG.normal(size=count)
    assert float(robust.middle(torch.from_numpy(values))) == pytest.approx(middle_of(values.tolist()))


def test_figures_are_those_of_a_plain_loop() -> None:
    everything = [float(value) for row in ROWS for value in row]
    each = [sum(map(float, row)) / len(row) for row in ROWS]
    assert robust.interquartile_mean(ROWS) == pytest.approx(middle_of(everything))
    assert robust.mean(ROWS) == pytest.approx(sum(each) / len(each))
    assert robust.median(ROWS) == pytest.approx(float(np.median(each)))
    gap = sum(1 - min(value, 1) for value in everything) / len(everything)
    assert robust.optimality_gap(ROWS) == pytest.approx(gap)
    at = torch.tensor([-1.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    for tau, share in zip(at.tolist(), robust.profile(ROWS, at).tolist(), strict=True):
        assert share == pytest.approx(np.mean([np.mean([float(v) > tau for v in row]) for row in ROWS]))
    wins = [np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a in row for b in other])
            for row, other in zip(ROWS, ROWS[::-1], strict=True)]  # fmt: skip
    assert robust.improvement(ROWS, ROWS[::-1]) == pytest.approx(np.mean(wins))
    assert robust.improvement(ROWS, ROWS) == pytest.approx(0.5)


def test_the_interquartile_mean_minds_no_outlier() -> None:
    calm = [torch.ones(8), torch.ones(8)]
    wild = [torch.cat([torch.ones(6), torch.tensor([1e6, -1e6])]), torch.ones(8)]
    assert robust.interquartile_mean(wild) == robust.interquartile_mean(calm) == 1


def test_random_is_0_and_human_1() -> None:
    score = torch.tensor([-20.7, 9.3, 24.3], dtype=torch.float64)
    assert robust.normalised(score, -20.7, 9.3).tolist() == pytest.approx([0, 1, 1.5])


def test_the_bootstrap_draws_within_each_task() -> None:
    """Of tasks whose runs are all alike nothing varies, however far the tasks are apart."""
    rows = [torch.full((5,), 1.0), torch.full((5,), 100.0)]
    assert robust.bootstrap(rows, robust.mean, keyed("a"), 200) == (50.5, 50.5)
    low, high = robust.bootstrap(ROWS, robust.interquartile_mean, keyed("a"))
    assert low < robust.interquartile_mean(ROWS) < high
    assert robust.bootstrap(ROWS, robust.interquartile_mean, keyed("a")) == (low, high), "of its generator alone"


def test_the_bootstraps_interval_is_that_of_a_plain_loop() -> None:
    rng, found = np.random.default_rng(1), []
    for _ in range(2000):
        found.append(middle_of([float(v) for row in ROWS for v in rng.choice(row.numpy(), len(row))]))
    low, high = robust.bootstrap(ROWS, robust.interquartile_mean, keyed("b"))
    wide = high - low
    assert (low, high) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.1 * wide)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of normal scores of 10 runs in 3 tasks; the percentile bootstrap is known to be a little short."""
    rng, hits = keyed("coverage"), 0
    for k in range(100):
        rows = [torch.randn(10, generator=keyed("run", k, task), dtype=torch.float64) for task in range(3)]
        low, high = robust.bootstrap(rows, robust.mean, rng, 100)
        hits += low <= 0 <= high
    assert 82 <= hits <= 99


def test_a_profile_has_its_band() -> None:
    at = torch.linspace(-2, 6, 9, dtype=torch.float64)
    share, (low, high) = robust.profile(ROWS, at), robust.profile_band(ROWS, at, keyed("c"), 400)
    assert (low <= share + 1e-9).all() and (share <= high + 1e-9).all()
    assert (share.diff() <= 1e-9).all(), "fewer reach more"
    assert float((high - low).max()) > 0.05
