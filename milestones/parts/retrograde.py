"""Small boards solved whole, from full to empty (Stroehlein 1970): games in which two place stones on free cells until
one has won, as tic-tac-toe and hex.

A position has the number sum of 3^c (first's stones) + 2 3^c (second's); who has as many stones as the other is the
first, and moves. Worths are those of solver.py: k > 0 says that the one to move wins with the last but (k - 1) of its
stones, as if the board were filled.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Int8

from .compiled import njit
from .worths import NONE


def ternary(stones: Int[np.ndarray, "*N"], cells: int) -> Int[np.ndarray, "*N"]:
    """The sum of 3^c over the bits of `stones`."""
    total = np.zeros_like(stones)
    for cell in range(cells):
        total += (stones >> cell & 1) * 3**cell
    return total


@njit
def filled(first_won: np.ndarray, second_won: np.ndarray, number: np.ndarray, cells: int) -> np.ndarray:
    """The worths of all positions by their number; `number` are the sums of 3^c."""
    worths = np.zeros(3**cells, np.int8)
    for stones in range(cells, -1, -1):
        turn = 1 + stones % 2
        for taken in range(1 << cells):
            ones = 0
            bits = taken
            while bits:
                bits &= bits - 1
                ones += 1
            if ones != stones:
                continue
            first = taken
            while True:  # all ways to share the taken cells
                second = taken ^ first
                ones = 0
                bits = first
                while bits:
                    bits &= bits - 1
                    ones += 1
                if ones == (stones + 1) // 2:
                    at = number[first] + 2 * number[second]
                    if (second_won[second] if turn == 1 else first_won[first]) != 0:
                        worths[at] = -((cells + 2 - stones) // 2)
                    elif stones < cells:
                        most = -cells
                        for cell in range(cells):
                            if not taken >> cell & 1:
                                most = max(most, -worths[at + turn * number[1 << cell]])
                        worths[at] = most
                if first == 0:
                    break
                first = (first - 1) & taken
    return worths


class Table:
    """All positions of a board of `cells` cells. `first_won` and `second_won` tell of each set of a player's stones
    whether it has won."""

    def __init__(self, first_won: Bool[np.ndarray, "S"], second_won: Bool[np.ndarray, "S"], cells: int) -> None:
        assert len(first_won) == len(second_won) == 1 << cells
        self.cells = cells
        self._number = ternary(np.arange(1 << cells), cells)
        self._worths = filled(first_won, second_won, self._number, cells)

    def scores(self, first: Int[np.ndarray, "N"], second: Int[np.ndarray, "N"], legal: Bool[np.ndarray, "N A"]
               ) -> Int8[np.ndarray, "N A"]:  # fmt: skip
        """The worth of each legal move for the one to move, NONE of others. A position is two sets of stones."""
        at = self._number[first] + 2 * self._number[second]
        turn = 1 + (ternary(first, self.cells) + ternary(second, self.cells)) % 2  # 3^c is odd: one for each stone
        after = at[:, None] + turn[:, None] * 3 ** np.arange(self.cells)
        return np.where(legal, -self._worths[np.where(legal, after, 0)], NONE).astype(np.int8)
