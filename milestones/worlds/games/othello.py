"""Othello on 6 x 6 or 8 x 8 cells: stones of the other that lie between two of one's own are turned."""

from __future__ import annotations

import numpy as np

from ...media.board import spot
from ...parts.compiled import njit
from .game import PASS, Rules, Stones

SIZES = (6, 8)
ZERO, ONE = np.uint64(0), np.uint64(1)
GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
PAIRS, FOURS, BYTES, SUM = (
    np.uint64(k) for k in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F, 0x0101010101010101)
)


def othello(size: int) -> Stones:
    """The game on so many rows and columns. Words: the stones of the one to move; all stones, but for one in the
    middle, where there always is one: its bit says that the first player is to move. Bit row * size + column."""
    cells, middle = size * size, size // 2
    facts = {
        "kind": "game", "game": f"othello{size}", "title": "othello",
        "aim": "more stones at the end; a move turns the stones between two of one's own, and must turn one",
        "rows": size, "columns": size, "actions": cells + 1, "shape": [4, size, size], "levels": 1,
        "longest": 2 * cells, "pieces": ["black", "white"],
        "labels": [*(spot(k // size, k % size, size, down=True).lower() for k in range(cells)), PASS],
        "symmetries": 4,
    }  # fmt: skip

    def bits(found: np.ndarray) -> np.uint64:
        return np.uint64(sum(1 << k for k in np.flatnonzero(found).tolist()))

    row, column = np.divmod(np.arange(cells), size)
    full, inner = bits(row >= 0), bits((column > 0) & (column < size - 1))
    black = bits((row + column == size - 1) & (np.abs(2 * row + 1 - size) == 1))
    white = bits((row == column) & (np.abs(2 * row + 1 - size) == 1))
    flag = bits((row == middle) & (column == middle))
    ways = np.array([1, size - 1, size, size + 1], np.uint64)
    lanes = np.array([inner, inner, full, inner], np.uint64)
    start = np.array([black, black | white], np.uint64)
    # The turns and mirrors that the beginning does not feel.
    kept = (np.array, np.transpose, lambda board: np.rot90(board, 2), lambda board: np.rot90(board, 2).T)
    rules = Rules(step, turn, planes, playout, mover, (size, full, flag, ways, lanes))
    return Stones(facts, 2, start, rules, kept, down=True)


def mover(states: np.ndarray, size: int, full: np.uint64, flag: np.uint64, *_: np.ndarray) -> np.ndarray:
    return (states[:, 1] & flag == 0).astype(np.int64)


@njit
def counted(stones):
    """How many there are."""
    stones = stones - ((stones >> ONE) & PAIRS)
    stones = (stones & FOURS) + ((stones >> np.uint64(2)) & FOURS)
    stones = (stones + (stones >> np.uint64(4))) & BYTES
    return np.int64((stones * SUM) >> np.uint64(56))


@njit
def allowed(own, other, full, ways, lanes, size):
    """The cells where a stone turns others. Rays of the other's stones grow from own ones, all at once."""
    found = ZERO
    for k in range(len(ways)):
        by, lane = ways[k], other & lanes[k]  # on a slant or along a row, no ray goes over the edge
        up, down = (own << by) & lane, (own >> by) & lane
        for _ in range(size - 3):
            up |= (up << by) & lane
            down |= (down >> by) & lane
        found |= (up << by) | (down >> by)
    return found & full & ~(own | other)


@njit
def turned(own, other, stone, ways, lanes, size):
    """The other's stones that a stone turns."""
    found = ZERO
    for k in range(len(ways)):
        by, lane = ways[k], other & lanes[k]
        up, down = (stone << by) & lane, (stone >> by) & lane
        for _ in range(size - 3):
            up |= (up << by) & lane
            down |= (down >> by) & lane
        if (up << by) & own != ZERO:
            found |= up
        if (down >> by) & own != ZERO:
            found |= down
    return found


@njit
def worth(own, other):
    more = counted(own) - counted(other)
    return 1.0 if more > 0 else -1.0 if more < 0 else 0.0


@njit
def judge(own, other, i, legal, ended, value, full, ways, lanes, size):
    """Write what position i is."""
    moves = allowed(own, other, full, ways, lanes, size)
    stuck = moves == ZERO
    over = stuck and allowed(other, own, full, ways, lanes, size) == ZERO
    cells = size * size
    for cell in range(cells):
        legal[i, cell] = (moves >> np.uint64(cell)) & ONE != ZERO
    legal[i, cells] = stuck and not over
    ended[i] = over
    value[i] = worth(own, other) if over else 0.0


@njit
def step(states, moves, size, full, flag, ways, lanes):
    count, cells = len(states), size * size
    new = np.empty_like(states)
    legal, ended = np.empty((count, cells + 1), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    for i in range(count):
        assert 0 <= moves[i] <= cells
        own, taken, second = states[i, 0], states[i, 1] | flag, states[i, 1] & flag == ZERO
        other = own ^ taken
        if moves[i] < cells:
            stone = ONE << np.uint64(moves[i])
            flips = turned(own, other, stone, ways, lanes, size)
            assert taken & stone == ZERO and flips != ZERO
            own, other, taken = own | stone | flips, other & ~flips, taken | stone
        else:
            assert allowed(own, other, full, ways, lanes, size) == ZERO
        new[i, 0] = other
        new[i, 1] = taken if second else taken & ~flag
        judge(other, own, i, legal, ended, value, full, ways, lanes, size)
    return new, legal, ended, value


@njit
def turn(states, size, full, flag, ways, lanes):
    count = len(states)
    legal, ended = np.empty((count, size * size + 1), np.bool_), np.empty(count, np.bool_)
    value = np.empty(count, np.float32)
    for i in range(count):
        own, taken = states[i, 0], states[i, 1] | flag
        judge(own, own ^ taken, i, legal, ended, value, full, ways, lanes, size)
    return legal, ended, value


@njit
def planes(states, size, full, flag, ways, lanes):
    """Own stones, the other's, empty cells, and those where a stone may be laid."""
    seen = np.empty((len(states), 4, size, size), np.uint8)
    for i in range(len(states)):
        own, taken = states[i, 0], states[i, 1] | flag
        moves = allowed(own, own ^ taken, full, ways, lanes, size)
        for row in range(size):
            for column in range(size):
                bit = np.uint64(row * size + column)
                mine, stone = (own >> bit) & ONE, (taken >> bit) & ONE
                seen[i, 0, row, column] = mine
                seen[i, 1, row, column] = stone ^ mine
                seen[i, 2, row, column] = stone ^ ONE
                seen[i, 3, row, column] = (moves >> bit) & ONE
    return seen


@njit
def drawn(key):
    """Splitmix64: 64 random bits of a counter."""
    key = (key ^ (key >> np.uint64(30))) * FIRST
    key = (key ^ (key >> np.uint64(27))) * SECOND
    return key ^ (key >> np.uint64(31))


@njit
def playout(states, seed, size, full, flag, ways, lanes):
    value, cells = np.zeros(len(states), np.float32), np.uint64(size * size)
    for i in range(len(states)):
        own, sign, passes, key = states[i, 0], 1.0, 0, drawn(seed + np.uint64(i) * FIRST)
        other = own ^ (states[i, 1] | flag)
        while passes < 2:
            moves = allowed(own, other, full, ways, lanes, size)
            passes = 0 if moves != ZERO else passes + 1
            while moves != ZERO:
                key += GOLDEN
                stone = ONE << (((drawn(key) >> np.uint64(32)) * cells) >> np.uint64(32))
                if moves & stone != ZERO:
                    flips = turned(own, other, stone, ways, lanes, size)
                    own, other, moves = own | stone | flips, other & ~flips, ZERO
            own, other, sign = other, own, -sign
        value[i] = sign * worth(own, other)
    return value
