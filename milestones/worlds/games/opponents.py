"""Players: what a match is between; and those of fixed strength that others are measured by: `random`; `greedy`, which
looks one move ahead; `rollouts:1000`, a search by so many random games a move; `perfect`; `gnugo:10`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt64

from ...core.errors import UserError, nearest
from .game import Game

if TYPE_CHECKING:
    from torch import nn

    from ...core.source import Facts

OPPONENTS = ("random", "greedy", "rollouts:1000", "perfect", "gnugo:10")
MOST = 1_000_000  # random games a move
C = 1.0  # of the bandit rule, for values from -1 to 1; from 0.8 to 1.4 it plays alike, beyond worse
BYTES = 100_000_000  # of the trees that grow side by side
BLOCK = 4_000_000  # moves that are looked at together

States = UInt64[np.ndarray, "N W"]
Seeds = UInt64[np.ndarray, "N"]


@runtime_checkable
class Player(Protocol):
    """Who plays many games of one kind at once."""

    name: str

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds
              ) -> Shaped[np.ndarray, "N"]:  # fmt: skip
        """A legal move in each position, none of which is over. `lines`: all moves that led there, which programs
        outside want to know; `seeds`: what all chance comes from, one number a position."""
        ...

    def close(self) -> None:
        """Free what the player holds; it may be called again."""
        ...


def opponent(word: str, game: Game) -> Player:
    """The player of fixed strength that a word names. UserError: there is none, or none in this game."""
    kind, colon, count = word.partition(":")
    if kind == "rollouts":
        if not count.isascii() or not count.isdecimal() or not 1 <= int(count[:9]) <= MOST:
            want = f"random games a move from 1 to {MOST:,}"
            raise UserError(want, repr(word[:40]), "For example rollouts:1000", "match")
        return Rollouts(game, int(count))
    if kind == "gnugo":
        from .program import GnuGo

        return GnuGo(game, int(count) if count.isascii() and count.isdecimal() and len(count) < 9 else -1)
    kinds: dict[str, Any] = {"random": Random, "greedy": Greedy, "perfect": Faultless}
    if kind not in kinds or colon:
        do = nearest(word, OPPONENTS, "Take one of these, or a run")
        raise UserError(f"an opponent: {', '.join(OPPONENTS)}", repr(word[:40]), do, "match")
    made: Player = kinds[kind](game)
    return made


def fixed(word: str) -> bool:
    """Whether a word names a player of fixed strength, and no run."""
    return word.partition(":")[0] in {name.partition(":")[0] for name in OPPONENTS}


class Random:
    """Any legal move, each with the same chance."""

    def __init__(self, game: Game) -> None:
        self.name, self.game = "random", game

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds
              ) -> Int64[np.ndarray, "N"]:  # fmt: skip
        return among(self.game.turn(states).legal, seeds)

    def close(self) -> None: ...


class Greedy:
    """Wins if it can at once; else makes no move that lets the other win at once, if there is one; else any."""

    def __init__(self, game: Game) -> None:
        self.name, self.game = "greedy", game

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds
              ) -> Int64[np.ndarray, "N"]:  # fmt: skip
        legal = self.game.turn(states).legal
        wins, safe = winning(self.game, states, legal), legal.copy()
        row, move = np.nonzero(legal & ~wins.any(1, keepdims=True))
        if len(row):
            after, turn = self.game.step(states[row], move)
            safe[row, move] = ~winning(self.game, after, turn.legal).any(1)
        better = np.where(wins.any(1, keepdims=True), wins, safe)
        return among(np.where(better.any(1, keepdims=True), better, legal), seeds)

    def close(self) -> None: ...


class Rollouts:
    """The most visited move of a search by so many random games."""

    def __init__(self, game: Game, count: int) -> None:
        self.name, self.game, self.count = f"rollouts:{count}", game, count

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds
              ) -> Int64[np.ndarray, "N"]:  # fmt: skip
        legal = self.game.turn(states).legal
        one = 4 * (self.count + 1) * (legal.shape[1] + 2 * states.shape[1] + 4)
        size = max(1, BYTES // one)
        parts = [slice(begin, begin + size) for begin in range(0, len(states), size)]
        return np.concatenate([self._searched(states[part], legal[part], seeds[part]) for part in parts])

    def _searched(self, states: States, legal: Bool[np.ndarray, "N A"], seeds: Seeds
                  ) -> Int64[np.ndarray, "N"]:  # fmt: skip
        from ...parts.uct import Trees

        trees, chances = Trees(states, legal, self.count, salted(seeds, 1), C), int(salted(seeds, 2)[0])
        value = np.empty(len(states), np.float32)
        for trip in range(self.count):
            leaves = trees.leaves()
            rows = np.flatnonzero(leaves.move >= 0)
            after, turn = self.game.step(trees.states[rows, leaves.node[rows]], leaves.move[rows])
            trees.grow(leaves, rows, after, turn.legal, turn.ended, turn.value)
            value[:] = trees.value[np.arange(len(states)), leaves.node]  # where the game was over before
            value[rows] = turn.value
            on = ~turn.ended
            value[rows[on]] = self.game.playout(after[on], chances + trip)
            trees.back(leaves, value)
        visits, worth = trees.found()
        rated = np.where(legal, visits + (1 + worth) / 4, -1.0)  # of equal visits the better
        return among(rated == rated.max(1, keepdims=True), seeds)

    def close(self) -> None: ...


class Faultless:
    """Any of the moves that win soonest, or lose latest, as perfect play knows them."""

    def __init__(self, game: Game) -> None:
        from .perfect import perfect

        self.name, self.known = "perfect", perfect(game)
        if self.known is None:
            want = "a game whose perfect play is known: connect four, tic-tac-toe, hex to 5 x 5"
            raise UserError(want, str(game.facts["title"]), "Take rollouts:1000", "perfect")

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds
              ) -> Int64[np.ndarray, "N"]:  # fmt: skip
        from .perfect import best

        assert self.known is not None
        return among(best(self.known.values(states)), seeds)

    def close(self) -> None: ...


class Searching:
    """A trained net that looks ahead. Without chance: equal positions have equal moves."""

    def __init__(self, name: str, model: nn.Module, facts: Facts, simulations: int) -> None:
        self.name, self.model, self.facts, self.simulations = name, model, facts, simulations

    def moves(self, states: States, lines: Sequence[Sequence[int]], seeds: Seeds
              ) -> Int64[np.ndarray, "N"]:  # fmt: skip
        from .thinking import think

        return think(self.model, self.facts, states, self.simulations).move.astype(np.int64)

    def close(self) -> None: ...


def winning(game: Game, states: States, legal: Bool[np.ndarray, "N A"]) -> Bool[np.ndarray, "N A"]:
    """Which of the legal moves win at once."""
    found, size = np.zeros_like(legal), max(1, BLOCK // legal.shape[1] ** 2)
    for begin in range(0, len(states), size):
        row, move = np.nonzero(legal[begin : begin + size])
        if not len(row):
            continue
        row += begin
        after, turn = game.step(states[row], move)
        same = game.mover(after) == game.mover(states[row])
        found[row, move] = turn.ended & (np.where(same, turn.value, -turn.value) > 0)
    return found


def among(moves: Bool[np.ndarray, "N A"], seeds: Seeds) -> Int64[np.ndarray, "N"]:
    """One of each row's moves, each with the same chance."""
    count, half = moves.sum(1), np.uint64(32)
    assert (count > 0).all(), "a position without a move"
    k = ((salted(seeds, 0) >> half) * count.astype(np.uint64)) >> half
    return (moves.cumsum(1) > k.astype(np.int64)[:, None]).argmax(1)


def salted(seeds: Seeds, salt: int) -> Seeds:
    """Other seeds, which are functions of these."""
    from ...parts.keyed import keys  # not above: what is missing without numba is told by `game`

    return keys(salt, seeds.astype(np.int64), np.zeros(len(seeds), np.int64))
