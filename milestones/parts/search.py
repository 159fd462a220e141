"""Monte-Carlo tree search of many games at once, one leaf a game, so that a net is called once for all of them.

It knows no game: whoever searches moves the positions, which are words of 64 bits, and asks the net.

    rows = tree.begin(states, turn.legal, keys(seed, game, move), 64)
    tree.settle(*net(states[rows]))
    while len((leaf := tree.leaves()).moves):
        new, turn = game.step(leaf.states, leaf.moves)
        rows = tree.grow(new, turn.legal, turn.ended, turn.value)
        tree.settle(*net(new[rows]))
    answer = tree.answer()

What a game's search finds depends on its position, key and net alone, never on its neighbours, nor on what its slot
held before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int8, UInt64

from . import tree as trees
from .keyed import dirichlets, gumbels
from .tree import HEAD, LINE, PROOF, UNKNOWN, VISITS

__all__ = ["UNKNOWN", "Answer", "Gumbel", "Leaves", "Puct", "Tree"]


class Puct(NamedTuple):
    """Moves are chosen by mean value and prior, the root's prior with Dirichlet noise (Silver et al. 2018)."""

    c: float = 1.25  # c_init
    base: float = 19652.0  # c_base of the logarithm; 0: c alone
    fpu: float = 0.0  # what is not visited is worth the node's mean less fpu sqrt(prior of what is)
    relative: bool = True  # False: is worth fpu itself
    alpha: float = 0.3  # of the noise
    noise: float = 0.25  # its share of the root's prior


class Gumbel(NamedTuple):
    """The root's moves are drawn without replacement and halved; below, visits follow the improved policy (Danihelka et
    al. 2022)."""

    considered: int = 16  # m: moves drawn at the root
    visit: float = 50.0  # c_visit
    scale: float = 1.0  # c_scale
    rescale: bool = False  # whether values become 0 to 1 in each node first, as in mctx, with a scale of 0.1
    noise: float = 1.0  # 0: for play, the same move each time


class Leaves(NamedTuple):
    """The moves that M games want to try next."""

    states: UInt64[np.ndarray, "M W"]  # before the move
    moves: Int[np.ndarray, "M"]
    slots: Int[np.ndarray, "M"]


class Answer(NamedTuple):
    """What searches found, for the one to move. Proven are -1, 0 and 1, else UNKNOWN."""

    policy: Float32[np.ndarray, "N A"]  # what a net should learn: improved by Gumbel, shares of the visits by Puct
    move: Int[np.ndarray, "N"]  # the one to play, without temperature; -1: there is none
    visits: Int[np.ndarray, "N A"]
    q: Float32[np.ndarray, "N A"]  # mean values, exact where proven; of what nobody visited the root's
    prior: Float32[np.ndarray, "N A"]  # the net's, without noise
    proven: Int8[np.ndarray, "N A"]
    value: Float32[np.ndarray, "N"]  # the root's mean, exact where proven
    decided: Int8[np.ndarray, "N"]  # the root itself


class Tree:
    """The searches of N games. A search ends after its simulations, or when the root's value is proven."""

    def __init__(
        self, games: int, actions: int, words: int, most: int, rule: Puct | Gumbel | None = None, *, solve: bool = True
    ) -> None:
        """`most`: simulations of a search. `solve`: proven values are backed up exactly, and end a search."""
        self.games, self.actions, self.most, self.solve = games, actions, most, solve
        self.rule = rule or Gumbel()
        self.gumbel = isinstance(self.rule, Gumbel)
        nodes, wide = most + 1, trees.width(actions)
        memory = np.zeros(games * nodes * wide + LINE, np.float32)
        begin = -memory.ctypes.data % (4 * LINE) // 4  # a row begins with a line of the cache
        self._f = memory[begin : begin + games * nodes * wide].reshape(games, nodes, wide)
        self._i = self._f.view(np.int32)
        self._states = np.zeros((games, nodes, words), np.uint64)
        self._path = np.zeros((games, nodes, 2), np.int32)
        self._used, self._spent, self._budget, self._depth = np.zeros((4, games), np.int64)
        self._base = np.zeros((games, actions))  # noise of the root; for Gumbel with the log prior
        self._prior = np.zeros((games, actions), np.float32)
        self._order = np.zeros((games, most if self.gumbel else 1), np.int32)
        self._rule = np.array([float(knob) for knob in self.rule][:4])
        if isinstance(self.rule, Gumbel):
            self._rule = np.array([self.rule.visit, self.rule.scale, self.rule.rescale, 0.0])
        self._all = np.arange(games)
        self._leaves = self._waiting = self._all[:0]

    def begin(
        self,
        states: UInt64[np.ndarray, "M W"],
        legal: Bool[np.ndarray, "M A"],
        keys: UInt64[np.ndarray, "M"],
        simulations: int | Int[np.ndarray, "M"],
        slots: Int[np.ndarray, "M"] | None = None,
    ) -> Int[np.ndarray, "K"]:
        """Begin searches in all slots, or in these: the rows of the positions that need the net, to be settled next.

        `keys` decide the noise (see keyed.py). A game without a legal move is over, and is not searched."""
        assert not len(self._waiting), "settle comes first"
        slots = self._all if slots is None else np.ascontiguousarray(slots, np.int64)
        budget = np.empty(len(slots), np.int64)
        budget[:] = simulations
        assert len(states) == len(legal) == len(keys) == len(slots) and budget.max(initial=0) <= self.most
        legal, rows = np.ascontiguousarray(legal), np.empty(len(slots), np.int64)
        if not isinstance(self.rule, Gumbel):
            self._base[slots] = dirichlets(keys, legal, self.rule.alpha) if self.rule.noise else 0.0
        else:
            self._base[slots] = self.rule.noise * gumbels(keys, self.actions) if self.rule.noise else 0.0
        considered = self.rule.considered if isinstance(self.rule, Gumbel) else 0
        count = trees.plant(
            self._f, self._i, self.actions, self._states, self._used, self._spent, self._budget, self._depth,
            self._order, considered, slots, np.ascontiguousarray(states, np.uint64), legal, budget, rows,
        )  # fmt: skip
        self._waiting = slots[rows[:count]]
        return rows[:count]

    def leaves(self) -> Leaves:
        """A move that was not tried for each game that still searches, in the order of the slots; none at the end."""
        assert not len(self._waiting), "settle comes first"
        before = np.empty((self.games, self._states.shape[2]), np.uint64)
        moves, slots = np.empty((2, self.games), np.int64)
        count = trees.descend(
            self._f, self._i, self.actions, self._states, self._used, self._spent, self._budget, self._path,
            self._depth, self._base, self._order, self._rule, self.gumbel, self.solve, before, moves, slots,
        )  # fmt: skip
        self._leaves = slots[:count]
        return Leaves(before[:count], moves[:count], slots[:count])

    def grow(
        self,
        states: UInt64[np.ndarray, "M W"],
        legal: Bool[np.ndarray, "M A"],
        ended: Bool[np.ndarray, "M"],
        value: Float[np.ndarray, "M"],
    ) -> Int[np.ndarray, "K"]:
        """Add what the leaves' moves led to: the rows that need the net. `value`: -1, 0 or 1 for the one to move where
        the game ended."""
        assert len(states) == len(legal) == len(ended) == len(value) == len(self._leaves)
        rows = np.empty(len(states), np.int64)
        count = trees.grow(
            self._f, self._i, self.actions, self._states, self._used, self._path, self._depth, self.solve,
            self._leaves, np.ascontiguousarray(states, np.uint64), np.ascontiguousarray(legal),
            np.ascontiguousarray(ended), np.ascontiguousarray(value, np.float32), rows,
        )  # fmt: skip
        self._waiting, self._leaves = self._leaves[rows[:count]], self._all[:0]
        return rows[:count]

    def settle(self, logits: Float[np.ndarray, "K A"], value: Float[np.ndarray, "K"]) -> None:
        """What the net says of the rows that needed it: a score for each move, and the value for the one to move."""
        assert len(logits) == len(value) == len(self._waiting)
        share = 0.0 if isinstance(self.rule, Gumbel) else float(self.rule.noise)
        trees.settle(
            self._f, self._i, self.actions, self._used, self._path, self._depth, self._base, self._prior, share,
            self.gumbel, self.solve, self._waiting, np.ascontiguousarray(logits, np.float32),
            np.ascontiguousarray(value, np.float32),
        )  # fmt: skip
        self._waiting = self._all[:0]

    def answer(self, slots: Int[np.ndarray, "N"] | None = None) -> Answer:
        """What the searches of all slots, or of these, have found so far."""
        slots = self._all if slots is None else np.ascontiguousarray(slots, np.int64)
        N, A = len(slots), self.actions
        found = Answer(
            np.empty((N, A), np.float32), np.empty(N, np.int64), np.empty((N, A), np.int32),
            np.empty((N, A), np.float32), self._prior[slots], np.empty((N, A), np.int8), np.empty(N, np.float32),
            np.empty(N, np.int8),
        )  # fmt: skip
        trees.conclude(
            self._f, self._i, A, self._base, self._prior, self._rule, self.gumbel, slots, found.policy, found.move,
            found.visits, found.q, found.proven, found.value, found.decided,
        )  # fmt: skip
        return found

    def line(self, slot: int, most: int = 20) -> list[int]:
        """What both sides are expected to play from the root on."""
        moves: list[int] = []
        node = 0
        while len(moves) < most and (ranked := self._ranked(slot, node)):
            move, node = ranked[0]
            moves.append(move)
        return moves

    def replies(self, slot: int, depth: int = 3, width: int = 8, node: int = 0) -> list[Any]:
        """The tree as [move, visits, mean value for the one who makes it, its replies], most visited first."""
        found = []
        for move, child in self._ranked(slot, node)[:width] if depth else []:
            visits, value = int(self._i[slot, child, VISITS]), 0.0 - self._value(slot, child)
            found.append([move, visits, value, self.replies(slot, depth - 1, width, child)])
        return found

    def _value(self, slot: int, node: int) -> float:
        """For the one to move: the mean, exact where it is proven."""
        proof = int(self._i[slot, node, PROOF])
        if proof & 3 == proof >> 2:
            return float((proof & 3) - 1)
        return float(self._f[slot, node, trees.SUM]) / max(1, int(self._i[slot, node, VISITS]))

    def _ranked(self, slot: int, node: int) -> list[tuple[int, int]]:
        """Moves that were tried and their nodes: what keeps a proven value first, lost ones last, then by visits."""
        A = self.actions
        children = self._i[slot, node, HEAD + 3 * A : HEAD + 4 * A].tolist()
        closed = np.isneginf(self._f[slot, node, HEAD + 2 * A : HEAD + 3 * A]).tolist()
        tried = [(move, child) for move, child in enumerate(children) if child]
        return sorted(tried, key=lambda pair: (closed[pair[0]], -int(self._i[slot, pair[1], VISITS])))
