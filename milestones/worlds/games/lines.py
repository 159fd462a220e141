"""Tic-tac-toe: three in a row on 3 x 3 cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...media.board import spot
from ...parts.compiled import njit
from .game import Rules, Stones

CELLS = 9
ZERO, ONE = np.uint64(0), np.uint64(1)
FULL = np.uint64(0o777)  # bit 3 * row + column
LINES = tuple(np.uint64(line) for line in (0o007, 0o070, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124))
GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def tictactoe() -> Stones:
    """The game. Words: the stones of the one to move, all stones."""
    facts = {
        "kind": "game", "game": "tictactoe", "title": "tic-tac-toe", "aim": "three in a row, column or diagonal",
        "rows": 3, "columns": 3, "actions": CELLS, "shape": [3, 3, 3], "levels": 1, "longest": CELLS,
        "pieces": ["cross", "nought"], "labels": [spot(k // 3, k % 3, 3).lower() for k in range(CELLS)],
        "symmetries": 8,
    }  # fmt: skip
    return Stones(facts, 2, np.zeros(2, np.uint64), Rules(step, turn, planes, playout, mover), [*map(turned, range(8))])


def turned(k: int) -> Callable[[np.ndarray], np.ndarray]:
    """The k-th of the eight ways to turn and mirror a square."""
    return lambda board: np.rot90(board if k < 4 else board.T, k % 4)


def mover(states: np.ndarray) -> np.ndarray:
    return (np.bitwise_count(states[:, 1]) & 1).astype(np.int64)


@njit
def won(stones):
    found = False
    for line in LINES:
        found = found or stones & line == line
    return found


@njit
def judge(own, taken, i, legal, ended, value):
    """Write what position i is."""
    lost = won(own ^ taken)
    over = lost or taken == FULL
    ended[i] = over
    value[i] = -1.0 if lost else 0.0
    for cell in range(CELLS):
        legal[i, cell] = not over and (taken >> np.uint64(cell)) & ONE == ZERO


@njit
def step(states, moves):
    count = len(states)
    new = np.empty_like(states)
    legal, ended = np.empty((count, CELLS), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    for i in range(count):
        assert 0 <= moves[i] < CELLS
        stone = ONE << np.uint64(moves[i])
        own, taken = states[i, 0], states[i, 1]
        assert taken & stone == ZERO
        new[i, 0] = own ^ taken
        new[i, 1] = taken | stone
        judge(new[i, 0], new[i, 1], i, legal, ended, value)
    return new, legal, ended, value


@njit
def turn(states):
    count = len(states)
    legal, ended = np.empty((count, CELLS), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    for i in range(count):
        judge(states[i, 0], states[i, 1], i, legal, ended, value)
    return legal, ended, value


@njit
def planes(states):
    seen = np.empty((len(states), 3, 3, 3), np.uint8)
    for i in range(len(states)):
        own, taken = states[i, 0], states[i, 1]
        for cell in range(CELLS):
            bit = np.uint64(cell)
            mine, stone = (own >> bit) & ONE, (taken >> bit) & ONE
            seen[i, 0, cell // 3, cell % 3] = mine
            seen[i, 1, cell // 3, cell % 3] = stone ^ mine
            seen[i, 2, cell // 3, cell % 3] = stone ^ ONE
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
            stone = ONE << (((drawn(key) >> np.uint64(32)) * np.uint64(CELLS)) >> np.uint64(32))
            if taken & stone == ZERO:
                own, taken, sign = own ^ taken, taken | stone, -sign
                lost = won(own ^ taken)
        if lost:
            value[i] = -sign
    return value
