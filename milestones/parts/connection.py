"""Who wins hex on small boards: what is joined, and a search that finds out.

Cell (row, column) is bit row * side + column and touches (row, column +- 1), (row +- 1, column), (row - 1, column + 1),
(row + 1, column - 1). The first player joins the first row with the last, the second the first column with the last.

Stones that share two free cells cannot be cut: who loses one of the cells takes the other (a bridge). So a position is
over for the search as soon as the player who has just moved is joined by stones and bridges that use no cell twice.
Whoever must stop such a win looks only at the cells that could. Moves on short ways of both players come first; what
was found out is kept by position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int8, Int64

from .compiled import njit
from .worths import NONE

FAR = 99
SPREAD = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 over the golden ratio, as a signed word
ENTRIES = 1 << 20  # of a table: 8 MB


class Plan(NamedTuple):
    """What of a board the search looks up, as sets of cells."""

    near: Int64[np.ndarray, "C"]  # the neighbours of each cell
    edges: Int64[np.ndarray, "2 2"]  # the two sides of each player
    holds: Int64[np.ndarray, "2 2 C"]  # two cells by which a stone one line away from a side is joined to it


def plan(side: int) -> Plan:
    """The plan of a board with `side` rows."""
    cells = side * side
    near = np.zeros(cells, np.int64)
    for cell in range(cells):
        row, column = divmod(cell, side)
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0), (-1, 1), (1, -1)):
            r, c = row + down, column + right
            if 0 <= r < side and 0 <= c < side:
                near[cell] |= 1 << r * side + c
    bits = 1 << np.arange(cells)
    rows, columns = np.divmod(np.arange(cells), side)
    last = side - 1
    edges = np.array([[bits[line == end].sum() for end in (0, last)] for line in (rows, columns)])
    holds = np.zeros((2, 2, cells), np.int64)
    for player in range(2):
        for end in range(2):
            both = near & edges[player, end]
            two = (both & (both - 1)) != 0
            holds[player, end] = np.where(two & (bits & edges[player, end] == 0), both, 0)
    return Plan(near, edges, holds)


def won(stones: Int64[np.ndarray, "S"], side: int, player: int) -> Bool[np.ndarray, "S"]:
    """Whether each set of stones of the player joins its two sides."""
    near, edges, _ = plan(side)
    reached = stones & edges[player, 0]
    for _ in range(side * side):
        more = reached.copy()
        for cell in range(side * side):
            more |= np.where(reached >> cell & 1, near[cell], 0) & stones
        if np.array_equal(more, reached):
            break
        reached = more
    return (reached & edges[player, 1]) != 0


@njit
def joined(stones: int, free: int, player: int, near: np.ndarray, edges: np.ndarray, holds: np.ndarray) -> int:
    """The free cells with which the sides are joined whatever the other plays, 0 where none are needed; -1 where they
    are not, or not in a way that is seen here."""
    cells = len(near)
    reached, used = stones & edges[player, 0], 0
    while True:
        grown = True
        while grown:  # by touch
            grown = False
            for cell in range(cells):
                if reached >> cell & 1 and near[cell] & stones & ~reached:
                    reached |= near[cell] & stones
                    grown = True
        if reached & edges[player, 1]:
            return used
        left = free & ~used
        for cell in range(cells):
            both = holds[player, 1, cell]
            if reached >> cell & 1 and both and both & left == both:
                return used | both
        found = 0
        for cell in range(cells):  # a stone not reached yet, one bridge away
            if not (stones & ~reached) >> cell & 1:
                continue
            both = holds[player, 0, cell]
            if both and both & left == both:
                found = both
            else:
                for other in range(cells):
                    if reached >> other & 1:
                        both = near[cell] & near[other] & left
                        if both & (both - 1):
                            found = both
                            break
            if found:
                used |= found
                reached |= 1 << cell
                break
        if not found:
            return -1


@njit
def ways(own: int, free: int, begin: int, near: np.ndarray, steps: np.ndarray) -> None:
    """Write how many free cells a player must take to join each cell with the side `begin`, itself counted."""
    cells = len(near)
    for cell in range(cells):
        steps[cell] = FAR
        if begin >> cell & 1:
            steps[cell] = 0 if own >> cell & 1 else 1 if free >> cell & 1 else FAR
    changed = True
    while changed:
        changed = False
        for cell in range(cells):
            cost = 0 if own >> cell & 1 else 1 if free >> cell & 1 else FAR
            if cost < FAR:
                least = steps[cell]
                for other in range(cells):
                    if near[cell] >> other & 1:
                        least = min(least, steps[other] + cost)
                if least < steps[cell]:
                    steps[cell] = least
                    changed = True


@njit
def answers(own: int, other: int, free: int, player: int, near: np.ndarray, edges: np.ndarray, holds: np.ndarray
            ) -> int:  # fmt: skip
    """The cells that the one to move must look at: one that wins at once, else those that stop each move by which the
    other would (Hayward's must-play region). None: it has lost."""
    must = free
    for cell in range(len(near)):
        if free >> cell & 1 and joined(own | 1 << cell, free ^ 1 << cell, player, near, edges, holds) >= 0:
            return 1 << cell
    for cell in range(len(near)):
        if must and free >> cell & 1:
            needed = joined(other | 1 << cell, free ^ 1 << cell, 1 - player, near, edges, holds)
            if needed >= 0:
                must &= needed | 1 << cell
    return must


@njit
def sorted_moves(own: int, other: int, free: int, must: int, player: int, near: np.ndarray, edges: np.ndarray,
                 holds: np.ndarray, steps: np.ndarray, moves: np.ndarray) -> int:  # fmt: skip
    """Write the cells of `must` into `moves`, last those that leave the other fewest answers, among equals those on the
    shortest ways of both players; how many there are."""
    cells, left = len(near), 0
    for k in range(4):
        who = player if k < 2 else 1 - player
        ways(own if k < 2 else other, free, edges[who, k % 2], near, steps[k])
    for cell in range(cells):
        if must >> cell & 1:
            length = steps[0, cell] + steps[1, cell] + steps[2, cell] + steps[3, cell]
            apart = abs(2 * cell - cells + 1)  # from the middle
            replies = answers(other, own | 1 << cell, free ^ 1 << cell, 1 - player, near, edges, holds)
            count = 0
            while replies:
                replies &= replies - 1
                count += 1
            order = (((63 - count) * 512 + 4 * FAR - min(4 * FAR, length)) * 64 + 63 - apart) * 64 + cell
            at = left
            while at > 0 and moves[at - 1] > order:
                moves[at] = moves[at - 1]
                at -= 1
            moves[at] = order
            left += 1
    return left


@njit
def wins(first: int, second: int, near: np.ndarray, edges: np.ndarray, holds: np.ndarray, table: np.ndarray,
         frames: np.ndarray, steps: np.ndarray) -> bool:  # fmt: skip
    """Whether the one to move wins a position of hex that is not over.

    A row of `frames` is a position on the way: own stones, the other's, number, moves left, and those, the best last.
    An entry of `table` is a number and an answer. The last row counts the positions looked at.
    """
    cells = len(near)
    every, places = (1 << cells) - 1, len(table) - 1
    stones = 0
    for cell in range(cells):
        stones += (first | second) >> cell & 1
    player = stones % 2
    own, other = (first, second) if player == 0 else (second, first)
    depth, fresh, known, answer = 0, True, False, False
    while True:
        if fresh:
            frames[len(frames) - 1, 0] += 1
            fresh, known, answer = False, True, False
            free = every & ~(own | other)
            if joined(other, free, 1 - player, near, edges, holds) < 0:
                key = (own << cells | other) << 1 | player
                entry = table[(key * SPREAD >> 38) & places]
                if entry >> 2 == key and entry & 2:
                    answer = entry & 1 == 1
                else:
                    known = False
                    must = answers(own, other, free, player, near, edges, holds)
                    left = sorted_moves(own, other, free, must, player, near, edges, holds, steps, frames[depth, 4:])
                    frames[depth, 0], frames[depth, 1], frames[depth, 2], frames[depth, 3] = own, other, key, left
        elif known:
            if depth == 0:
                return answer
            depth -= 1
            player = 1 - player
            known = not answer  # the other lost: this move wins
            answer = known
            if known:
                key = frames[depth, 2]
                table[(key * SPREAD >> 38) & places] = key << 2 | 3
        elif frames[depth, 3] == 0:
            key = frames[depth, 2]
            table[(key * SPREAD >> 38) & places] = key << 2 | 2
            known, answer = True, False
        else:
            frames[depth, 3] -= 1
            move = frames[depth, 4 + frames[depth, 3]] & 63
            own, other = frames[depth, 1], frames[depth, 0] | 1 << move
            player = 1 - player
            depth += 1
            fresh = True


def opened(opening: Int8[np.ndarray, "C C A"], first: int, second: int) -> Int8[np.ndarray, "A"]:
    """The scores of a position with at most two stones; -1: none yet. A move is worth what the best reply leaves."""
    if second >= 0:
        return opening[first, second]
    if first >= 0:
        left = -opening[first].max(1)
        left[first] = NONE
        return left
    return np.array([-opened(opening, cell, -1).max() for cell in range(len(opening))], np.int8)


class Hex:
    """Who wins hex on a board with `side` rows, at most 5. What it found out stays, in a table of `entries` (a power of
    2; 8 bytes each). `opening` are the scores of the positions with two stones, first's and second's. Not for two
    threads at once."""

    def __init__(self, side: int, entries: int = ENTRIES, opening: Int8[np.ndarray, "C C A"] | None = None) -> None:
        assert 2 <= side <= 5 and entries & (entries - 1) == 0
        self._opening = opening
        self.plan, cells = plan(side), side * side
        self._table, self._steps = np.zeros(entries, np.int64), np.zeros((4, cells), np.int64)
        self._frames = np.zeros((cells + 2, 4 + cells), np.int64)

    @property
    def nodes(self) -> int:
        """How many positions it has looked at."""
        return int(self._frames[-1, 0])

    def wins(self, first: int, second: int) -> bool:
        """Whether the one to move wins; nobody has won yet."""
        return bool(wins(first, second, *self.plan, self._table, self._frames, self._steps))

    def scores(self, first: Int[np.ndarray, "N"], second: Int[np.ndarray, "N"], legal: Bool[np.ndarray, "N A"]
               ) -> Int[np.ndarray, "N A"]:  # fmt: skip
        """For each legal move 1 where it wins, -1 where it loses; NONE of others. A position is two sets of stones."""
        scores = np.full(legal.shape, NONE, np.int8)
        legal = legal.copy()
        for n in range(len(legal)) if self._opening is not None else ():
            one, two = (int(stones[n]).bit_length() - 1 for stones in (first, second))  # the cell of the only stone
            if legal[n].sum() >= legal.shape[1] - 2:
                scores[n] = opened(self._opening, one, two)
                legal[n] = False
        near, edges, holds = self.plan
        every = (1 << len(near)) - 1
        for n, cell in np.argwhere(legal).tolist():
            one, two = int(first[n]), int(second[n])
            player = (one.bit_count() + two.bit_count()) % 2
            one, two = (one | 1 << cell, two) if player == 0 else (one, two | 1 << cell)
            over = joined((one, two)[player], every & ~(one | two), player, near, edges, holds) >= 0
            scores[n, cell] = 1 if over or not self.wins(one, two) else -1
        return scores
