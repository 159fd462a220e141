"""Perfect players: what each move is worth where that is known exactly, in connect four, tic-tac-toe and small hex."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Int, Int8, UInt64

from ...parts.connection import Hex, won
from ...parts.retrograde import Table
from ...parts.solver import Solver
from ...parts.worths import best, careful, chosen, wrong

if TYPE_CHECKING:
    from .game import Game

__all__ = ["Perfect", "best", "careful", "chosen", "perfect", "wrong"]  # the last four know no game

DATA = Path(__file__).parents[2] / "data"
OPENING, HEX = DATA / "connect_four_opening.npz", DATA / "hex5_opening.npz"
WHOLE, SEARCHED = 4, 5  # rows of hex: up to how many there is a table of all positions, and a search
LINES = (0o007, 0o070, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124)  # rows, columns and diagonals of tic-tac-toe


class Perfect(Protocol):
    """Knows what every move of a game is worth. Not for two threads at once."""

    distance: bool  # whether worths tell how soon it ends; else they are 1, 0, -1

    def values(self, states: UInt64[np.ndarray, "N W"]) -> Int8[np.ndarray, "N A"]:
        """The worth of each move for the one to move: above 0 it wins, below 0 it loses, -128 it is not legal."""
        ...


class Placed(Protocol):
    """Scores positions that are two sets of stones."""

    def scores(self, first: Int[np.ndarray, "N"], second: Int[np.ndarray, "N"], legal: Bool[np.ndarray, "N A"]
               ) -> Int8[np.ndarray, "N A"]: ...  # fmt: skip


class Columns(NamedTuple):
    """Connect four: its words are those of the solver."""

    solver: Solver
    distance: bool = True

    def values(self, states: UInt64[np.ndarray, "N W"]) -> Int8[np.ndarray, "N A"]:
        """See Perfect."""
        return self.solver.scores(states)


class Stones(NamedTuple):
    """A game of stones placed on free cells, read from its planes."""

    game: Game
    known: Placed
    distance: bool

    def values(self, states: UInt64[np.ndarray, "N W"]) -> Int8[np.ndarray, "N A"]:
        """See Perfect."""
        planes = self.game.planes(states)[:, :2].reshape(len(states), 2, -1).astype(np.int64)
        own, other = (planes << np.arange(planes.shape[-1])).sum(-1).T
        second = self.game.mover(states) == 1
        legal = self.game.turn(states).legal
        return self.known.scores(np.where(second, other, own), np.where(second, own, other), legal)


def perfect(game: Game) -> Perfect | None:
    """The perfect player of a game, or None where nobody here is one. It takes a second or two to make for hex 4x4."""
    name, rows = str(game.facts["game"]), int(game.facts.get("rows", 0))
    if name == "connect_four":
        with np.load(OPENING, allow_pickle=False) as book:
            return Columns(Solver(book=book["worths"], stones=int(book["stones"])))
    if name == "tictactoe":
        every = np.arange(1 << 9)
        row = np.any([every & line == line for line in LINES], 0)
        return Stones(game, Table(row, row, 9), True)
    if name.startswith("hex") and rows <= WHOLE:
        every = np.arange(1 << rows * rows)
        return Stones(game, Table(won(every, rows, 0), won(every, rows, 1), rows * rows), True)
    if name.startswith("hex") and rows == SEARCHED:
        with np.load(HEX, allow_pickle=False) as book:
            return Stones(game, Hex(rows, opening=book["scores"]), False)
    return None
