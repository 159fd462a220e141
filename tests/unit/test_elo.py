"""Ratings against a brute-force likelihood, choix, and what is known exactly; intervals that cover the truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from milestones.parts.elo import SCALE, expected, rated, ratings, scored, table

RNG = np.random.default_rng(0)


def likelihood(points: np.ndarray, rating: tuple[float, ...]) -> float:
    """Of the points, by the definition."""
    total = 0.0
    for i, j in itertools.permutations(range(len(rating)), 2):
        total += points[i, j] * math.log(1 / (1 + 10 ** ((rating[j] - rating[i]) / 400)))
    return total


def tournament(truth: np.ndarray, games: int) -> np.ndarray:
    """Points of games with draws between all, each against each."""
    points = np.zeros((len(truth), len(truth)))
    for i, j in itertools.combinations(range(len(truth)), 2):
        share = float(expected(np.array([truth[i] - truth[j]]))[0])
        found = RNG.choice([0, 0.5, 1], games, p=[(1 - share) ** 2, 2 * share * (1 - share), share**2])
        points[i, j], points[j, i] = found.sum(), games - found.sum()
    return points


def test_two_players_have_the_formula() -> None:
    for won, over in ((3, 4), (50.5, 100), (1, 40)):
        points = np.array([[0, over - won], [won, 0.0]])
        found = ratings(points[None])[0]
        assert found[0] == 0
        assert found[1] == pytest.approx(400 * math.log10(won / (over - won)))
    assert expected(np.array([0.0, 400.0])).tolist() == pytest.approx([0.5, 10 / 11])


def test_three_players_are_the_best_of_a_grid() -> None:
    points = tournament(np.array([0.0, 60.0, -150.0]), 30)
    best = ratings(points[None])[0]
    grid = [(0.0, float(b), float(c)) for b in np.arange(-400, 401, 5) for c in np.arange(-400, 401, 5)]
    found = max(grid, key=lambda rating: likelihood(points, rating))
    assert best == pytest.approx(found, abs=2.6)
    assert likelihood(points, tuple(best)) >= likelihood(points, found)
    for k in (1, 2):
        for step in (-0.01, 0.01):
            beside = best.copy()
            beside[k] += step
            assert likelihood(points, tuple(beside)) < likelihood(points, tuple(best))


def test_choix_says_the_same() -> None:
    choix = pytest.importorskip("choix")
    truth = RNG.normal(0, 150, 7)
    points = tournament(truth, 24)
    theirs = choix.ilsr_pairwise_dense(points, alpha=0.0, max_iter=1000, tol=1e-10)
    ours = ratings(points[None], anchor=3)[0]
    assert ours == pytest.approx(SCALE * (theirs - theirs[3]), abs=1e-3)


def test_many_tournaments_at_once_are_each_alone() -> None:
    points = np.stack([tournament(np.array([0.0, 300.0, -300.0, 20.0]), 12) for _ in range(20)])
    together = ratings(points, 2)
    for k in range(20):
        assert together[k] == pytest.approx(ratings(points[k : k + 1], 2)[0], abs=1e-6)


def test_who_never_lost_is_infinitely_far_above() -> None:
    points = np.array([[0.0, 3.0, 10.0], [7.0, 0.0, 10.0], [0.0, 0.0, 0.0]])
    assert ratings(points[None])[0] == pytest.approx([0, 400 * math.log10(7 / 3), -np.inf])
    assert ratings(points[None], 2)[0].tolist() == [np.inf, np.inf, 0]
    apart = np.zeros((4, 4))
    apart[0, 1] = apart[1, 0] = apart[2, 3] = 1.0
    assert np.isnan(ratings(apart[None])[0]).tolist() == [False, False, True, True]


def test_points_are_counted_from_pairs() -> None:
    found = table(3, {(0, 1): [2.0, 1.5, 0.0], (1, 2): [1.0]})
    assert found.tolist() == [[0, 3.5, 0], [2.5, 0, 1], [0, 1, 0]]


def test_intervals_hold_the_truth() -> None:
    truth, inside, of = np.array([0.0, 100.0, -80.0]), 0, 0
    for _ in range(100):
        pairs = {}
        for i, j in itertools.combinations(range(3), 2):
            share = float(expected(np.array([truth[i] - truth[j]]))[0])
            pairs[i, j] = (RNG.random((40, 2)) < share).sum(1).astype(float).tolist()
        found = rated(3, pairs, RNG, draws=200)
        assert found[0] == (0, 0, 0)
        assert all(one.low <= one.value <= one.high for one in found)
        inside += sum(one.low <= true <= one.high for one, true in zip(found[1:], truth[1:], strict=True))
        of += 2
    assert 0.88 <= inside / of <= 0.99


def test_a_player_that_won_all_has_a_lower_end_alone() -> None:
    won = rated(2, {(0, 1): [0.0] * 50}, np.random.default_rng(0))[1]
    assert won.value == won.high == np.inf
    assert 300 < won.low < 700  # at 100 games without a point lost
    few = rated(2, {(0, 1): [0.0] * 5}, np.random.default_rng(0))[1]
    assert few.low < won.low
    lost = rated(2, {(0, 1): [0.0] * 50}, np.random.default_rng(0), anchor=1)[0]
    assert lost.value == lost.low == -np.inf
    assert lost.high == pytest.approx(-won.low)


def test_pairs_are_drawn_whole() -> None:
    """Where each opening is won by whoever begins, every pair has one point: nothing varies."""
    found = rated(2, {(0, 1): [1.0] * 30}, RNG)[1]
    assert found == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_share_has_the_binomials_interval() -> None:
    pairs = RNG.binomial(2, 0.7, 200).astype(float).tolist()
    value, low, high = scored(pairs, np.random.default_rng(0))
    assert value == pytest.approx(50 * np.mean(pairs))
    half = 196 * math.sqrt(0.7 * 0.3 / 400)
    assert value - low == pytest.approx(half, rel=0.25)
    assert high - value == pytest.approx(half, rel=0.25)
    value, low, high = scored([2.0] * 50, np.random.default_rng(0))
    assert value == high == 100
    assert 92 < low < 99
