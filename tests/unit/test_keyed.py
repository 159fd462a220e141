"""Numbers from keys: against plain integers, and the distributions' known means and spreads."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba", reason='Search needs an extra: pip install "milestones[games]"')
from milestones.parts.keyed import dirichlets, gumbels, keys, mixed, uniform

MASK = 2**64 - 1


def splitmix(seed: int, k: int) -> int:
    """The k-th number of SplitMix64, as its authors wrote it."""
    z = (seed + (k + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_numbers_are_those_of_splitmix() -> None:
    assert splitmix(1234567, 0) == 6457827717110365317, "as published"
    for seed in (0, 1, 1234567, 2**63 + 5, MASK):
        for k in range(5):
            assert uniform(np.uint64(seed), k) == ((splitmix(seed, k) >> 12) + 0.5) / 2**52


def test_keys_depend_on_all_three() -> None:
    game, move = np.arange(50).repeat(20), np.tile(np.arange(20), 50)
    found = np.concatenate([keys(seed, game, move) for seed in (0, 1, -1, 2**70)])
    assert len(np.unique(found)) == len(found) - 1000, "2^70 and 0 are one seed: 64 bits"
    assert (keys(5, game, move)[7::20] == keys(5, np.arange(50), np.full(50, 7))).all()


def test_gumbel_noise() -> None:
    found = gumbels(keys(1, np.arange(20_000), np.zeros(20_000, int)), 5)
    assert np.isfinite(found).all()
    assert found.mean(0) == pytest.approx([0.5772] * 5, abs=0.04)
    assert found.var(0) == pytest.approx([math.pi**2 / 6] * 5, rel=0.05)
    assert np.abs(np.corrcoef(found.T) - np.eye(5)).max() < 0.03
    largest = np.bincount((found + np.log([0.5, 0.2, 0.1, 0.1, 0.1])).argmax(1), minlength=5) / 20_000
    assert largest == pytest.approx([0.5, 0.2, 0.1, 0.1, 0.1], abs=0.015), "the largest is a draw (Gumbel-max)"


@pytest.mark.parametrize("alpha", [0.03, 0.3, 1.0, 5.0])
def test_dirichlet_noise(alpha: float) -> None:
    legal = np.ones((20_000, 6), bool)
    legal[:, 4] = False
    found = dirichlets(keys(2, np.arange(20_000), np.zeros(20_000, int)), legal, alpha)
    assert np.isfinite(found).all() and (found[:, 4] == 0).all() and (found >= 0).all()
    assert found.sum(1) == pytest.approx(np.ones(20_000))
    found = found[:, [0, 1, 2, 3, 5]]
    assert found.mean(0) == pytest.approx([0.2] * 5, abs=0.012)
    assert found.var(0) == pytest.approx([0.16 / (5 * alpha + 1)] * 5, rel=0.06)  # p (1 - p) / (sum of alpha + 1)


def test_one_row_does_not_feel_another() -> None:
    key, legal = keys(3, np.arange(30), np.arange(30)), np.random.default_rng(0).random((30, 8)) < 0.7
    legal[:, 0] = True
    for k in range(30):
        assert (gumbels(key[k : k + 1], 8) == gumbels(key, 8)[k]).all()
        assert (dirichlets(key[k : k + 1], legal[k : k + 1], 0.3) == dirichlets(key, legal, 0.3)[k]).all()


def test_mixing_loses_nothing() -> None:
    found = {int(mixed(np.uint64(k))) for k in range(5000)}
    assert len(found) == 5000
