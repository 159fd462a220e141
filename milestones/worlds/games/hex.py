"""Hex on 3 x 3 to 11 x 11 cells: the first player joins top and bottom, the second left and right; nobody swaps."""

from __future__ import annotations

import numpy as np

from ...media.board import spot
from ...parts.compiled import njit
from .game import Rules, Stones

SMALLEST, LARGEST = 3, 11
ASIDE = ((-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0))  # rows and columns to the six neighbours
ZERO, ONE = np.uint64(0), np.uint64(1)
BOTH = 3  # shores
GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def hex_game(size: int) -> Stones:
    """The game on so many rows and columns. Words: the first player's stones, as many words as they take, then the
    second's; bit row * size + column."""
    cells = size * size
    facts = {
        "kind": "game", "game": f"hex{size}", "title": "hex",
        "aim": "a chain: black's from the top to the bottom, white's from left to right",
        "rows": size, "columns": size, "actions": cells, "shape": [4, size, size], "levels": 1, "longest": cells,
        "pieces": ["black", "white"],
        "labels": [spot(k // size, k % size, size, down=True).lower() for k in range(cells)], "symmetries": 2,
    }  # fmt: skip
    words = 2 * ((cells + 63) // 64)
    rules = Rules(step, turn, planes, playout, mover, (neighbours(size), shores(size)))
    return Stones(facts, words, np.zeros(words, np.uint64), rules, (np.array, lambda board: np.rot90(board, 2)),
                  down=True, hexagons=True)  # fmt: skip


def neighbours(size: int) -> np.ndarray:
    """Of each cell the six around it "HW 6", -1 beyond the edge."""
    found = np.full((size * size, len(ASIDE)), -1)
    for cell in range(size * size):
        for k, (down, right) in enumerate(ASIDE):
            row, column = cell // size + down, cell % size + right
            if 0 <= row < size and 0 <= column < size:
                found[cell, k] = row * size + column
    return found


def shores(size: int) -> np.ndarray:
    """Of each player and cell "2 HW": 1 on the shore where the chain begins, 2 where it ends, 0 between."""
    row, column = np.divmod(np.arange(size * size), size)
    return np.stack([(at == 0) + 2 * (at == size - 1) for at in (row, column)])


def mover(states: np.ndarray, near: np.ndarray, shore: np.ndarray) -> np.ndarray:
    return (np.bitwise_count(states).sum(1) & 1).astype(np.int64)


@njit
def second(words, i):
    """1 where the second player is to move in position i: whether the stones are odd."""
    stones = ZERO
    for word in words[i]:
        stones ^= word
    for by in (32, 16, 8, 4, 2, 1):
        stones ^= stones >> np.uint64(by)
    return np.int64(stones & ONE)


@njit
def has(words, i, first, cell):
    """Whether a player, whose words begin at `first`, has a stone on a cell."""
    return (words[i, first + (cell >> 6)] >> np.uint64(cell & 63)) & ONE != ZERO


@njit
def touched(words, i, first, end, near, shore, queue, seen):
    """The shores that the groups of the first `end` stones in the queue touch. The queue holds what was `seen`."""
    at, found = 0, 0
    while at < end and found != BOTH:
        found |= shore[queue[at]]
        for k in range(near.shape[1]):
            cell = near[queue[at], k]
            if cell >= 0 and not seen[cell] and has(words, i, first, cell):
                seen[cell] = True
                queue[end] = cell
                end += 1
        at += 1
    for k in range(end):
        seen[queue[k]] = False
    return found


@njit
def joined(words, i, player, near, shores, queue, seen):
    """Whether a player's shores are joined."""
    first, end, shore = player * (words.shape[1] // 2), 0, shores[player]
    for cell in range(len(near)):
        if shore[cell] & 1 and has(words, i, first, cell):
            seen[cell] = True
            queue[end] = cell
            end += 1
    return touched(words, i, first, end, near, shore, queue, seen) == BOTH


@njit
def judge(words, i, over, legal, ended, value):
    """Write what position i is. Only the one who has just laid a stone can have won."""
    half = words.shape[1] // 2
    ended[i] = over
    value[i] = -1.0 if over else 0.0
    for cell in range(legal.shape[1]):
        legal[i, cell] = not (over or has(words, i, 0, cell) or has(words, i, half, cell))


@njit
def step(states, moves, near, shores):
    count, cells = len(states), len(near)
    new = states.copy()
    legal, ended = np.empty((count, cells), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    queue, seen = np.empty(cells, np.int64), np.zeros(cells, np.bool_)
    half = states.shape[1] // 2
    for i in range(count):
        move = moves[i]
        assert 0 <= move < cells
        assert not has(states, i, 0, move) and not has(states, i, half, move)
        player = second(states, i)
        new[i, player * half + (move >> 6)] |= ONE << np.uint64(move & 63)
        queue[0] = move
        seen[move] = True
        over = touched(new, i, player * half, 1, near, shores[player], queue, seen) == BOTH
        judge(new, i, over, legal, ended, value)
    return new, legal, ended, value


@njit
def turn(states, near, shores):
    count, cells = len(states), len(near)
    legal, ended = np.empty((count, cells), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    queue, seen = np.empty(cells, np.int64), np.zeros(cells, np.bool_)
    for i in range(count):
        over = joined(states, i, 1 - second(states, i), near, shores, queue, seen)
        judge(states, i, over, legal, ended, value)
    return legal, ended, value


@njit
def planes(states, near, shores):
    """Own stones, the other's, and two that say which shores the one to move joins: top and bottom, left and right."""
    count, cells = len(states), len(near)
    size = int(np.sqrt(cells))
    seen = np.empty((count, 4, size, size), np.uint8)
    half = states.shape[1] // 2
    for i in range(count):
        player = second(states, i)
        for row in range(size):
            for column in range(size):
                cell = row * size + column
                seen[i, 0, row, column] = has(states, i, player * half, cell)
                seen[i, 1, row, column] = has(states, i, (1 - player) * half, cell)
                seen[i, 2, row, column] = 1 - player
                seen[i, 3, row, column] = player
    return seen


@njit
def drawn(key):
    """Splitmix64: 64 random bits of a counter."""
    key = (key ^ (key >> np.uint64(30))) * FIRST
    key = (key ^ (key >> np.uint64(27))) * SECOND
    return key ^ (key >> np.uint64(31))


@njit
def playout(states, seed, near, shores):
    """A chain that is joined stays so: all empty cells are filled at random, and looked at once."""
    cells, half = len(near), states.shape[1] // 2
    value = np.empty(len(states), np.float32)
    queue, seen = np.empty(cells, np.int64), np.zeros(cells, np.bool_)
    empty, full = np.empty(cells, np.int64), np.empty((1, states.shape[1]), np.uint64)
    for i in range(len(states)):
        first, left, key = second(states, i), 0, drawn(seed + np.uint64(i) * FIRST)
        full[0] = states[i]
        for cell in range(cells):
            if not has(states, i, 0, cell) and not has(states, i, half, cell):
                empty[left] = cell
                left += 1
        player = first
        while left:
            key += GOLDEN
            pick = np.int64(((drawn(key) >> np.uint64(32)) * np.uint64(left)) >> np.uint64(32))
            cell = empty[pick]
            left -= 1
            empty[pick] = empty[left]
            full[0, player * half + (cell >> 6)] |= ONE << np.uint64(cell & 63)
            player = 1 - player
        value[i] = 1.0 if joined(full, 0, first, near, shores, queue, seen) else -1.0
    return value
