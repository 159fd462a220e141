"""Positions of games on boards, with what a player thinks of them; their files are SGF (see sgf.py) and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import UserError
from .records import as_json, finite

LONGEST = 52  # rows or columns: as many as SGF has letters
MOST_MOVES = 2000
MOST_NODES = 2000  # of a tree
ABOUT = ("PB", "PW", "KM", "RE", "RU", "DT")  # in SGF: who played black, white, komi, how it ended, the rules, the date


class Move(NamedTuple):
    """A stone on a point: the piece from 1 on, row and column from 0, the first row on top. A pass: row -1."""

    piece: int
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Board:
    """A position, and what a player thinks of it.

    `cells` "R C" holds 0 for empty, k for `pieces[k - 1]`; `turn` is the piece to move, 0 when the game is over.
    `policy` "R C" are chances of a move, `visits` "R C" how often a search looked at it, `win` the chance from 0 to 1
    that the first piece wins, `owner` "R C" whose each point will be in the end, from 1 (the first piece's) to -1.
    `tree` lists the moves of a search as [name, visits, win, [the same of its replies]].
    """

    cells: np.ndarray
    pieces: Sequence[str] = ("black", "white")
    turn: int = 1
    moves: Sequence[Move] = ()
    setup: Sequence[Move] = ()  # stones that lay there before the first move
    game: str = "go"
    crossings: bool = True  # stones lie on crossings of lines, as in go; else on squares
    policy: np.ndarray | None = None
    visits: np.ndarray | None = None
    win: float | None = None
    tree: Sequence[Any] = ()
    note: str = ""  # who has won; a comment
    wish: Move | None = None  # what the piece to move would play: a page that plays judges it, plays it and replies
    down: bool = False  # points are named from the top, with the letter i, as players of othello and hex do
    hexagons: bool = False  # cells have six neighbours: each row lies half a cell further right than that above
    owner: np.ndarray | None = None
    about: Mapping[str, str] = field(default_factory=dict)  # what an SGF file says of the game, by the keys in ABOUT
    origin: str = ""  # the file
    omitted: str = ""  # what else is in it

    def __post_init__(self) -> None:
        shape = self.cells.shape
        fits = self.cells.ndim == 2 and self.cells.dtype.kind in "iu" and all(1 <= n <= LONGEST for n in shape)
        if not fits or self.cells.min() < 0 or self.cells.max() > len(self.pieces):
            want = f"a board of at most {LONGEST} x {LONGEST} points with pieces from 0 to {len(self.pieces)}"
            got = f"{' x '.join(map(str, shape))} of {self.cells.dtype}"
            raise UserError(want, got, "Pass one position at a time")
        for name, heat in (("policy", self.policy), ("visits", self.visits), ("owner", self.owner)):
            if heat is not None and heat.shape != shape:
                raise UserError(f"{name} for each point of the board", f"{heat.shape} for {shape}", "Pass one a point")

    @classmethod
    def empty(cls, rows: int, columns: int, game: str, pieces: Sequence[str] = ("black", "white"),
              crossings: bool = False) -> Board:  # fmt: skip
        """A board without pieces, the first to move."""
        return cls(np.zeros((rows, columns), np.int8), pieces, 1, game=game, crossings=crossings)

    @classmethod
    def decoded(cls, content: bytes, name: str) -> Board:
        """The last position of the main line of an SGF file called `name`. UserError: see sgf.py."""
        from .sgf import read_sgf

        return read_sgf(content, name)

    @classmethod
    def of(cls, value: object) -> Board:
        """The position that `plain` wrote, without what a player thinks. UserError: another value."""
        try:
            assert isinstance(value, Mapping)
            rows, pieces = value["board"], [str(piece)[:40] for piece in value["pieces"]]
            assert 1 <= len(rows) <= LONGEST and 1 <= len(pieces) <= 32 and len(value["moves"]) <= MOST_MOVES
            assert len({len(row) for row in rows}) == 1 and 1 <= len(rows[0]) <= LONGEST
            assert all(type(cell) is int and 0 <= cell <= len(pieces) for row in rows for cell in row)
            cells, turn = np.array(rows, np.int8), value["turn"]
            assert type(turn) is int and 0 <= turn <= len(pieces)
            moves, setup = ([_move(m, cells.shape, len(pieces)) for m in value[key]] for key in ("moves", "setup"))
            game, crossings, note = str(value["game"])[:60], value["crossings"] is True, str(value.get("note", ""))
            down, hexagons = (value.get(key) is True for key in ("down", "hexagons"))
            about = {key: str(said)[:200] for key, said in dict(value.get("about", {})).items() if key in ABOUT}
            wish = value.get("wish")
            wish = None if wish is None else _move(wish, cells.shape, len(pieces))
        except (AssertionError, LookupError, TypeError, ValueError, OverflowError):
            raise UserError("a board: rows of pieces, whose turn it is, the moves so far",
                            f"{type(value).__name__} of another form", "Begin a new game") from None  # fmt: skip
        return cls(cells, pieces, turn, moves, setup, game, crossings, note=note[:2000], wish=wish, down=down,
                   hexagons=hexagons, about=about)  # fmt: skip

    def sgf(self) -> str:
        """The game as SGF."""
        from .sgf import write_sgf

        return write_sgf(self)

    def spot(self, row: int, column: int) -> str:
        """The name of a point, see `spot`."""
        return spot(row, column, self.cells.shape[0], self.down)

    def encode(self) -> tuple[str, bytes]:
        """JSON of the position."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """All fields; heats row by row."""
        heats = {
            name: None if heat is None else [finite([float(f"{v:.4g}") for v in row]) for row in heat.tolist()]
            for name, heat in (("policy", self.policy), ("visits", self.visits), ("owner", self.owner))
        }
        return {
            "board": self.cells.tolist(), "pieces": list(self.pieces), "turn": self.turn,
            "moves": [list(move) for move in self.moves], "setup": [list(move) for move in self.setup],
            "game": self.game, "crossings": self.crossings, **heats,
            "win": None if self.win is None else finite([self.win])[0],
            "tree": _pruned(self.tree, [MOST_NODES]), "note": self.note, "down": self.down, "hexagons": self.hexagons,
            "about": dict(self.about),
        }  # fmt: skip

    def __str__(self) -> str:
        signs = "." + "XO" if len(self.pieces) <= 2 else "." + "".join(name[0] for name in self.pieces)
        lines = [" ".join(signs[cell] for cell in row) for row in self.cells.tolist()]
        lines = [" " * k + line for k, line in enumerate(lines)] if self.hexagons else lines
        told = [self.note] if self.note else [f"{self.pieces[self.turn - 1]} to move"] if self.turn else []
        told += [f"{self.pieces[0]} wins with {100 * self.win:.0f} %"] if self.win is not None else []
        return "\n".join([*lines, "; ".join(told)]).rstrip()


def spot(row: int, column: int, rows: int, down: bool = False) -> str:
    """The name of a point on a board of so many rows: "C3"; "pass" for row -1. As go players write it, rows are counted
    from below and the letter i is left out; `down`: from the top, and it is not."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if down else "ABCDEFGHJKLMNOPQRSTUVWXYZ"
    if row < 0:
        return "pass"
    wide = len(letters)
    first = letters[column // wide - 1] if column >= wide else ""
    return f"{first}{letters[column % wide]}{row + 1 if down else rows - row}"


def _move(value: Any, shape: tuple[int, ...], pieces: int) -> Move:
    piece, row, column = value
    assert all(type(n) is int for n in (piece, row, column)) and 1 <= piece <= pieces
    assert (0 <= row < shape[0] and 0 <= column < shape[1]) or row == column == -1
    return Move(piece, row, column)


def _pruned(nodes: Sequence[Any], left: list[int]) -> list[Any]:
    """At most so many nodes of a tree, each [name, visits, win, replies], depth first."""
    found = []
    for name, visits, win, replies in nodes:
        if left[0] <= 0:
            break
        left[0] -= 1
        found.append([str(name), int(visits), None if win is None else finite([win])[0], _pruned(replies, left)])
    return found
