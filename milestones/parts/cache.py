"""Evaluations of positions that were asked before: a table of fixed size, open addressing, all words compared."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt64

from .compiled import njit

NEAR = 8  # places that a position may lie in: the first that is free, else the one that its own number points to
FIRST, SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
BY_33 = np.uint64(33)


class Cache:
    """What a net said of positions, by their words. A position that finds no free place takes that of another."""

    def __init__(self, words: int, actions: int, entries: int) -> None:
        """About `entries` positions, rounded up to a power of 2."""
        size = 1 << max(entries - 1, NEAR).bit_length()
        self._words = np.zeros((size, words), np.uint64)
        self._logits = np.zeros((size, actions), np.float32)
        self._value = np.zeros(size, np.float32)
        self._age = np.zeros(size, np.uint32)  # of the entry: true if it is that of the table
        self._now = 1

    def find(
        self, states: UInt64[np.ndarray, "M W"]
    ) -> tuple[Bool[np.ndarray, "M"], Float32[np.ndarray, "M A"], Float32[np.ndarray, "M"]]:
        """Which of the positions are known, and what was said of them (0 of the rest)."""
        hit = np.zeros(len(states), np.bool_)
        logits = np.zeros((len(states), self._logits.shape[1]), np.float32)
        value = np.zeros(len(states), np.float32)
        _find(
            self._words, self._logits, self._value, self._age, np.uint32(self._now),
            np.ascontiguousarray(states, np.uint64), hit, logits, value,
        )  # fmt: skip
        return hit, logits, value

    def keep(
        self, states: UInt64[np.ndarray, "M W"], logits: Float[np.ndarray, "M A"], value: Float[np.ndarray, "M"]
    ) -> None:
        """Remember what was said of the positions."""
        assert len(states) == len(logits) == len(value)
        _keep(
            self._words, self._logits, self._value, self._age, np.uint32(self._now),
            np.ascontiguousarray(states, np.uint64), np.ascontiguousarray(logits, np.float32),
            np.ascontiguousarray(value, np.float32),
        )  # fmt: skip

    def clear(self) -> None:
        """Forget all, at once."""
        self._now += 1
        if self._now == 1 << 32:
            self._age[:], self._now = 0, 1


@njit
def place(words):
    """A number of 64 bits that depends on all of the words (MurmurHash3's finaliser, word by word)."""
    found = np.uint64(0)
    for w in range(len(words)):
        found = (found ^ words[w]) * FIRST
        found = (found ^ (found >> BY_33)) * SECOND
        found = found ^ (found >> BY_33)
    return found


@njit
def same(a, b):
    found = True
    for w in range(len(a)):
        found = found and a[w] == b[w]
    return found


@njit
def _find(words, known, worth, age, now, states, hit, logits, value):
    last = np.uint64(len(words) - 1)
    for m in range(len(states)):
        start = place(states[m])
        for k in range(NEAR):
            at = (start + np.uint64(k)) & last
            if age[at] != now:
                break  # nothing is ever taken out, so nothing lies beyond a free place
            if same(words[at], states[m]):
                hit[m], value[m] = True, worth[at]
                logits[m] = known[at]
                break


@njit
def _keep(words, known, worth, age, now, states, logits, value):
    last = np.uint64(len(words) - 1)
    for m in range(len(states)):
        start = place(states[m])
        chosen = start & last
        for k in range(NEAR):
            at = (start + np.uint64(k)) & last
            if age[at] != now or same(words[at], states[m]):
                chosen = at
                break
        age[chosen], worth[chosen] = now, value[m]
        words[chosen] = states[m]
        known[chosen] = logits[m]
