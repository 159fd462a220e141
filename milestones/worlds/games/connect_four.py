"""Connect four: stones fall into seven columns of six cells; four in a row win."""

from __future__ import annotations

import numpy as np

from ...parts.compiled import njit
from .game import Rules, Stones

ROWS, COLUMNS = 6, 7
HIGH = ROWS + 1  # bits of a column, from below; the last stays empty, so that no row goes on in the next column
ZERO, ONE = np.uint64(0), np.uint64(1)
TOP = np.uint64(ROWS - 1)
FULL = np.uint64(sum((2**ROWS - 1) << HIGH * column for column in range(COLUMNS)))
WAYS = tuple(np.uint64(k) for k in (1, HIGH - 1, HIGH, HIGH + 1))  # bits from a cell to the next: up, down right, ...
GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def connect_four() -> Stones:
    """The game. Words: the stones of the one to move, all stones; bit 7 * column + row, rows from below."""
    facts = {
        "kind": "game", "game": "connect_four", "title": "connect four",
        "aim": "four in a row, column or diagonal; stones fall to the lowest free cell",
        "rows": ROWS, "columns": COLUMNS, "actions": COLUMNS, "shape": [3, ROWS, COLUMNS], "levels": 1,
        "longest": ROWS * COLUMNS, "pieces": ["yellow", "red"], "labels": [str(1 + k) for k in range(COLUMNS)],
        "symmetries": 2,
    }  # fmt: skip
    rules = Rules(step, turn, planes, playout, mover)
    return Stones(facts, 2, np.zeros(2, np.uint64), rules, (np.array, np.fliplr))


def mover(states: np.ndarray) -> np.ndarray:
    return (np.bitwise_count(states[:, 1]) & 1).astype(np.int64)


@njit
def won(stones):
    """Whether four lie in a row. Tromp's: pairs, then pairs of pairs."""
    found = ZERO
    for by in WAYS:
        pairs = stones & (stones >> by)
        found |= pairs & (pairs >> (by + by))
    return found != ZERO


@njit
def judge(own, taken, i, legal, ended, value):
    """Write what position i is. Only the one who has just laid a stone can have won."""
    lost = won(own ^ taken)
    over = lost or taken == FULL
    ended[i] = over
    value[i] = -1.0 if lost else 0.0
    for column in range(COLUMNS):
        legal[i, column] = not over and (taken >> (np.uint64(HIGH * column) + TOP)) & ONE == ZERO


@njit
def step(states, moves):
    count = len(states)
    new = np.empty_like(states)
    legal, ended = np.empty((count, COLUMNS), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    for i in range(count):
        assert 0 <= moves[i] < COLUMNS
        at = np.uint64(HIGH * moves[i])
        own, taken = states[i, 0], states[i, 1]
        assert (taken >> (at + TOP)) & ONE == ZERO
        other, after = own ^ taken, taken | (taken + (ONE << at))
        new[i, 0], new[i, 1] = other, after
        judge(other, after, i, legal, ended, value)
    return new, legal, ended, value


@njit
def turn(states):
    count = len(states)
    legal, ended = np.empty((count, COLUMNS), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    for i in range(count):
        judge(states[i, 0], states[i, 1], i, legal, ended, value)
    return legal, ended, value


@njit
def planes(states):
    seen = np.empty((len(states), 3, ROWS, COLUMNS), np.uint8)
    for i in range(len(states)):
        own, taken = states[i, 0], states[i, 1]
        for row in range(ROWS):
            for column in range(COLUMNS):
                bit = np.uint64(HIGH * column + ROWS - 1 - row)
                mine, stone = (own >> bit) & ONE, (taken >> bit) & ONE
                seen[i, 0, row, column] = mine
                seen[i, 1, row, column] = stone ^ mine
                seen[i, 2, row, column] = stone ^ ONE
    return seen


@njit
def drawn(key):
    """Splitmix64: 64 random bits of a counter."""
    key = (key ^ (key >> np.uint64(30))) * FIRST
    key = (key ^ (key >> np.uint64(27))) * SECOND
    return key ^ (key >> np.uint64(31))


@njit
def playout(states, seed):
    value = np.zeros(len(states), np.float32)
    for i in range(len(states)):
        own, taken, sign = states[i, 0], states[i, 1], np.float32(1.0)
        key = drawn(seed + np.uint64(i) * FIRST)
        lost = won(own ^ taken)
        while not lost and taken != FULL:
            key += GOLDEN
            column = ((drawn(key) >> np.uint64(32)) * np.uint64(COLUMNS)) >> np.uint64(32)
            at = column * np.uint64(HIGH)
            if (taken >> (at + TOP)) & ONE == ZERO:
                own, taken, sign = own ^ taken, taken | (taken + (ONE << at)), -sign
                lost = won(own ^ taken)
        if lost:
            value[i] = -sign
    return value
