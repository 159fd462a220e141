"""The table of evaluations against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason='Search needs an extra: pip install "milestones[games]"')
from milestones.parts.cache import NEAR, Cache, place


def told(states: np.ndarray, actions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Answers that tell whose they are."""
    own = states.astype(np.float64) @ np.arange(1, states.shape[1] + 1)
    return np.stack([own * k for k in range(actions)], 1).astype(np.float32), own.astype(np.float32)


def test_what_was_kept_is_found() -> None:
    rng, cache = np.random.default_rng(0), Cache(2, 3, 4096)
    states = rng.integers(0, 2**20, (500, 2), dtype=np.uint64)
    hit, logits, value = cache.find(states)
    assert not hit.any() and (logits == 0).all() and (value == 0).all()
    cache.keep(states, *told(states))
    asked = np.concatenate([states, states + np.uint64(2**30)])
    hit, logits, value = cache.find(asked)
    assert hit.tolist() == [True] * 500 + [False] * 500
    assert (logits[:500] == told(states)[0]).all() and (value[:500] == told(states)[1]).all()
    assert (logits[500:] == 0).all() and (value[500:] == 0).all()


@pytest.mark.parametrize("words", [1, 2, 5])
def test_all_words_are_compared(words: int) -> None:
    """Positions of one place in the table that differ in one word are not taken for each other."""
    cache, base = Cache(words, 1, 16), np.zeros((1, words), np.uint64)
    for k in range(300):
        other = base.copy()
        other[0, k % words] = np.uint64(k // words + 1)
        cache.keep(other, np.full((1, 1), k, np.float32), np.array([k], np.float32))
        hit, logits, value = cache.find(other)
        assert hit[0] and logits[0, 0] == k and value[0] == k
        assert not cache.find(base)[0][0]


def test_a_full_table_forgets_but_never_lies() -> None:
    rng, cache, known = np.random.default_rng(1), Cache(2, 3, 64), 0
    states = rng.integers(0, 2**63, (4000, 2), dtype=np.uint64)
    for rows in np.array_split(np.arange(4000), 80):
        cache.keep(states[rows], *told(states[rows]))
        hit, logits, value = cache.find(states[: rows[-1] + 1])
        right = told(states[: rows[-1] + 1])
        assert (logits[hit] == right[0][hit]).all() and (value[hit] == right[1][hit]).all()
        known = int(hit.sum())
    assert NEAR < known <= 64
    assert cache.find(states[-1:])[0][0], "the newest is there"


def test_a_position_has_one_place() -> None:
    cache, state = Cache(1, 1, 64), np.array([[7]], np.uint64)
    for k in range(5):
        cache.keep(state, np.full((1, 1), k, np.float32), np.array([k], np.float32))
    assert cache.find(state)[2][0] == 4
    assert int((cache._age == cache._now).sum()) == 1


def test_clearing() -> None:
    cache, states = Cache(2, 3, 64), np.arange(20, dtype=np.uint64).reshape(10, 2)
    cache.keep(states, *told(states))
    cache.clear()
    assert not cache.find(states)[0].any()
    cache.keep(states[:4], *told(states[:4]))
    assert cache.find(states)[0].tolist() == [True] * 4 + [False] * 6
    cache._now = 2**32 - 1  # the number of the table begins anew
    cache.keep(states, *told(states))
    cache.clear()
    assert not cache.find(states)[0].any()


def test_nothing_is_found_of_nothing() -> None:
    hit, logits, value = Cache(2, 3, 64).find(np.zeros((0, 2), np.uint64))
    assert hit.shape == value.shape == (0,) and logits.shape == (0, 3)


def test_places_spread() -> None:
    found = [int(place(np.array([k, 0], np.uint64))) & 255 for k in range(256 * 64)]
    count = np.bincount(found, minlength=256)
    assert count.min() > 30 and count.max() < 105
