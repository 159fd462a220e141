"""Search by random games (UCT; Kocsis & Szepesvari 2006, Bandit based Monte-Carlo planning, ECML): the trees of N
positions in lock step, as arrays. It knows no game: whoever searches moves the positions and plays the random games.

A simulation goes down from the root to a move that was never tried, by the bandit rule: of the moves that were tried
the one of the highest mean + c * sqrt(ln visits of the parent / own visits). Values are from -1 to 1, for the one to
move at a node; a node's total is that of the one who moved to it. Where a game is over its value is exact, and visited
again as often as the rule says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt64

from .compiled import njit

ILLEGAL, UNTRIED = -2, -1  # instead of a child's number
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ONE = np.uint64(1)


class Leaves(NamedTuple):
    """Where the simulation of each tree has come to: a node, and the move from it that is new; -1 where the game is
    over there."""

    node: Int64[np.ndarray, "N"]
    move: Int64[np.ndarray, "N"]


class Trees:
    """N trees of `simulations` nodes beside the root, of positions with these legal moves. `seeds`: of each tree's
    chances."""

    def __init__(self, states: UInt64[np.ndarray, "N W"], legal: Bool[np.ndarray, "N A"], simulations: int,
                 seeds: UInt64[np.ndarray, "N"], c: float) -> None:  # fmt: skip
        (trees, words), nodes = states.shape, simulations + 1
        self.c, self.seeds, self.trips = c, seeds, 0
        self.states = np.zeros((trees, nodes, words), np.uint64)
        self.child = np.full((trees, nodes, legal.shape[1]), ILLEGAL, np.int32)
        self.parent = np.full((trees, nodes), -1, np.int32)
        self.visits = np.zeros((trees, nodes), np.int32)
        self.total = np.zeros((trees, nodes), np.float32)
        self.ended = np.zeros((trees, nodes), np.bool_)
        self.value = np.zeros((trees, nodes), np.float32)  # of a game that is over
        self.states[:, 0] = states
        self.child[:, 0][legal] = UNTRIED

    def leaves(self) -> Leaves:
        """The next simulation of each tree, down to its leaf."""
        node, move = np.empty(len(self.child), np.int64), np.empty(len(self.child), np.int64)
        descend(self.child, self.visits, self.total, self.ended, self.seeds, self.trips, self.c, node, move)
        return Leaves(node, move)

    def grow(self, leaves: Leaves, rows: Int64[np.ndarray, "M"], states: UInt64[np.ndarray, "M W"],
             legal: Bool[np.ndarray, "M A"], ended: Bool[np.ndarray, "M"], value: Float32[np.ndarray, "M"]
             ) -> None:  # fmt: skip
        """Put in what came of the new moves, which are those of the trees `rows`."""
        self.trips += 1
        insert(self.child, self.parent, self.states, self.ended, self.value, leaves.node, leaves.move, rows,
               self.trips, states, legal, ended, value)  # fmt: skip

    def back(self, leaves: Leaves, value: Float32[np.ndarray, "N"]) -> None:
        """Count the simulation on its way up. `value`: of each leaf, for the one to move there."""
        back_up(self.parent, self.visits, self.total, np.where(leaves.move < 0, leaves.node, self.trips), value)

    def found(self) -> tuple[Int64[np.ndarray, "N A"], Float32[np.ndarray, "N A"]]:
        """Visits of the root's moves, and what each was worth to the one to move, on average."""
        child = self.child[:, 0]
        at = np.maximum(child, 0)
        visits = np.where(child > 0, np.take_along_axis(self.visits, at, 1), 0).astype(np.int64)
        total = np.where(child > 0, np.take_along_axis(self.total, at, 1), 0)
        return visits, (total / np.maximum(visits, 1)).astype(np.float32)


@njit
def drawn(key):
    """Splitmix64: 64 random bits of a counter."""
    key = (key ^ (key >> np.uint64(30))) * FIRST
    key = (key ^ (key >> np.uint64(27))) * SECOND
    return key ^ (key >> np.uint64(31))


@njit
def descend(child, visits, total, ended, seeds, trip, c, node, move):
    """Write each tree's leaf."""
    actions = child.shape[2]
    for n in range(len(child)):
        at = 0
        while True:
            node[n], move[n] = at, -1
            if ended[n, at]:
                break
            untried = 0
            for a in range(actions):
                if child[n, at, a] == UNTRIED:
                    untried += 1
            if untried:
                bits = drawn(seeds[n] + GOLDEN * np.uint64(trip + 1)) >> np.uint64(32)
                left = np.int64((bits * np.uint64(untried)) >> np.uint64(32))
                for a in range(actions):
                    if child[n, at, a] == UNTRIED:
                        if left == 0:
                            move[n] = a
                            break
                        left -= 1
                break
            best, most = -1, -np.inf
            log = np.log(np.float64(max(visits[n, at], 1)))
            for a in range(actions):
                k = child[n, at, a]
                if k >= 0:
                    worth = total[n, k] / visits[n, k] + c * np.sqrt(log / visits[n, k])
                    if worth > most:
                        best, most = k, worth
            at = best


@njit
def insert(child, parent, states, ended, value, node, move, rows, number, new, legal, over, worth):
    """Put in the node of this number of the trees `rows`."""
    for m in range(len(rows)):
        n = rows[m]
        child[n, node[n], move[n]] = number
        parent[n, number] = node[n]
        states[n, number] = new[m]
        ended[n, number], value[n, number] = over[m], worth[m]
        for a in range(child.shape[2]):
            if legal[m, a]:
                child[n, number, a] = UNTRIED


@njit
def back_up(parent, visits, total, at, value):
    """Add a value, of the one to move at a node, to all nodes from there to the root."""
    for n in range(len(at)):
        k, gain = at[n], -value[n]
        while k >= 0:
            visits[n, k] += 1
            total[n, k] += gain
            gain = -gain
            k = parent[n, k]
