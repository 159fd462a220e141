"""Games that are small enough to be solved by trying all, written with NumPy alone; and a net that is none."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

GOLDEN, FIRST, SECOND = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Turn(NamedTuple):
    legal: np.ndarray
    ended: np.ndarray
    value: np.ndarray


class Game(Protocol):
    actions: int
    words: int

    def begin(self, count: int) -> np.ndarray: ...
    def turn(self, states: np.ndarray) -> Turn: ...
    def step(self, states: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, Turn]: ...


class Stones:
    """Words: the first player's stones and the second's, a bit a cell, row by row from below."""

    words = 2

    def __init__(self, rows: int, columns: int, actions: int) -> None:
        self.rows, self.columns, self.actions = rows, columns, actions
        self.bits = np.uint64(1) << np.arange(rows * columns, dtype=np.uint64)

    def begin(self, count: int) -> np.ndarray:
        return np.zeros((count, 2), np.uint64)

    def mover(self, states: np.ndarray) -> np.ndarray:
        return np.bitwise_count(states).sum(1) & 1

    def last(self, states: np.ndarray) -> np.ndarray:
        """The stones of the one who has just moved."""
        return states[np.arange(len(states)), 1 - self.mover(states)]

    def won(self, states: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def turn(self, states: np.ndarray) -> Turn:
        lost, taken = self.won(states), states[:, 0] | states[:, 1]
        ended = lost | (np.bitwise_count(taken) == len(self.bits))
        free = (taken[:, None] & self.bits) == 0
        legal = free[:, -self.actions :] if self.actions < len(self.bits) else free  # a column's top cell
        return Turn(legal & ~ended[:, None], ended, -lost.astype(np.float32))

    def step(self, states: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, Turn]:
        cells, taken, new = moves, states[:, 0] | states[:, 1], states.copy()
        if self.actions < len(self.bits):
            column = self.bits.reshape(self.rows, self.columns).sum(0, dtype=np.uint64)[moves]
            cells = np.bitwise_count(taken & column) * self.columns + moves
        assert ((taken & self.bits[cells]) == 0).all()
        new[np.arange(len(states)), self.mover(states)] |= self.bits[cells]
        return new, self.turn(new)


class Lines(Stones):
    """`row` stones in a row, a column or a diagonal win; with `falls` they fall down their column."""

    def __init__(self, rows: int, columns: int, row: int, falls: bool = False) -> None:
        super().__init__(rows, columns, columns if falls else rows * columns)
        places = [(r, c) for r in range(rows) for c in range(columns)]
        ways = [
            [(r + k * y, c + k * x) for k in range(row)]
            for r, c in places
            for y, x in ((0, 1), (1, 0), (1, 1), (1, -1))
        ]
        inside = [way for way in ways if all(r < rows and 0 <= c < columns for r, c in way)]
        self.lines = np.array([sum(1 << (r * columns + c) for r, c in way) for way in inside], np.uint64)

    def won(self, states: np.ndarray) -> np.ndarray:
        return ((self.last(states)[:, None] & self.lines) == self.lines).any(1)


class Hex(Stones):
    """The first player joins the first row with the last, the second the first column with the last."""

    def __init__(self, side: int) -> None:
        super().__init__(side, side, side * side)
        board = self.bits.reshape(side, side)
        self.edges = [(board[0].sum(), board[-1].sum()), (board[:, 0].sum(), board[:, -1].sum())]
        near = [[] for _ in self.bits]
        for r in range(side):
            for c in range(side):
                for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, -1), (-1, 1)):
                    if 0 <= r + y < side and 0 <= c + x < side:
                        near[r * side + c].append(1 << ((r + y) * side + c + x))
        self.near = np.array([sum(cells) for cells in near], np.uint64)

    def won(self, states: np.ndarray) -> np.ndarray:
        stones, who = self.last(states), 1 - self.mover(states)
        start, goal = np.array(self.edges, np.uint64)[who].T
        seen, before = stones & start, None
        while before is None or (seen != before).any():
            before = seen
            beside = np.where((seen[:, None] & self.bits) != 0, self.near, np.uint64(0))
            seen = seen | (np.bitwise_or.reduce(beside, 1) & stones)
        return (seen & goal) != 0


class Dice:
    """A game that nobody made up: what is legal, when it is over and who has won are drawn from the way there. Words:
    the way, mixed, and its length."""

    words = 2

    def __init__(self, actions: int, longest: int, seed: int = 0) -> None:
        self.actions, self.longest, self.seed = actions, longest, seed

    def begin(self, count: int) -> np.ndarray:
        way = mixed(np.arange(count, dtype=np.uint64) + np.uint64(1000 * self.seed))
        return np.stack([way, np.zeros(count, np.uint64)], 1)

    def turn(self, states: np.ndarray) -> Turn:
        way, length = states.T
        ended = (length >= self.longest) | ((length > 0) & (mixed(way + GOLDEN) % np.uint64(8) == 0))
        value = (mixed(way + FIRST) % np.uint64(3)).astype(np.float32) - 1
        bits = mixed(way + SECOND)[:, None] >> np.arange(self.actions, dtype=np.uint64)
        legal = (bits & np.uint64(1)) == 1
        legal[:, 0] |= ~legal.any(1)
        return Turn(legal & ~ended[:, None], ended, np.where(ended, value, np.float32(0)))

    def step(self, states: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, Turn]:
        way = mixed(states[:, 0] + (moves + 1).astype(np.uint64) * GOLDEN)
        new = np.stack([way, states[:, 1] + np.uint64(1)], 1)
        return new, self.turn(new)


def mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


def opinion(states: np.ndarray, actions: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of moves from -2 to 2, and values from -1 to 1 that are 64ths, so that floats add them up exactly: drawn
    from the position."""
    way = np.zeros(len(states), np.uint64)
    for word in states.T:
        way = mixed(way ^ word)
    draws = mixed(way[:, None] + np.arange(actions + 1, dtype=np.uint64) * GOLDEN) >> np.uint64(11)
    share = draws.astype(np.float64) / 2**53
    return (4 * share[:, 1:] - 2).astype(np.float32), np.floor(share[:, 0] * 129).astype(np.float32) / 64 - 1


def solved(game: Game, states: np.ndarray | None = None) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every position that can be reached from these, or from the beginning, ply by ply: states, their values for the
    one to move, and those of the moves (-2: illegal)."""
    layers, states = [], game.begin(1) if states is None else states
    while len(states):
        turn = game.turn(states)
        row, move = turn.legal.nonzero()
        if len(row):
            after, _ = game.step(states[row], move)
            after, child = np.unique(after, axis=0, return_inverse=True)
        else:
            after, child = states[:0], row
        layers.append((states, turn, row, move, child.reshape(-1)))
        states = after
    found, below = [], np.zeros(0, np.int64)
    for states, turn, row, move, child in reversed(layers):
        each = np.full((len(states), game.actions), -2, np.int64)
        each[row, move] = -below[child]
        below = np.where(turn.ended, turn.value.astype(np.int64), each.max(1))
        found.append((states, below, each))
    return found[::-1]
