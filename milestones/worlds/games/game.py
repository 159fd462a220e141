"""The interface of all games of two players, and what those share whose moves lay stones on a board."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64, UInt8, UInt64

from ...core.errors import UserError
from ...core.source import Facts
from ...media import Board, Move

PASS = "pass"
BETWEEN = re.compile(r"[\s,;]*")  # moves as they are written
MOST_NAMES = 12  # of legal moves in a message


class Turn(NamedTuple):
    """What N positions are."""

    legal: Bool[np.ndarray, "N A"]  # no move where the game is over
    ended: Bool[np.ndarray, "N"]
    value: Float32[np.ndarray, "N"]  # for the one to move: -1 lost, 0 drawn, 1 won; 0 where the game goes on


class Area(NamedTuple):
    """How N boards would be counted as they stand, where a game is won by points."""

    owner: Int8[np.ndarray, "N HW"]  # of each point: 1 the one to move, -1 the other, 0 nobody
    score: Float32[np.ndarray, "N"]  # points that the one to move is ahead, komi counted


@runtime_checkable
class Game(Protocol):
    """Rules of a game of two players who take turns, see everything, and of whom one wins what the other loses.

    A position is words: all that is known of it, the one to move included. Equal positions have equal words (not in
    OpenSpiel's games). Each call answers for N positions and changes none of them.

    `facts` has "kind": "game"; "game": its name here, "title": for people; "aim": how one wins; "rows", "columns";
    "actions" and "labels": how many moves there are, and their names; "shape": C H W of the planes, "levels": what they
    are to be divided by; "longest": moves of a game at most; "pieces": names; "symmetries": how many.
    """

    facts: Facts
    words: int  # of a position
    seen: int  # the first of them, which say all that a net is told; 0: all do

    def begin(self, count: int) -> UInt64[np.ndarray, "N W"]:
        """The beginning, `count` times."""
        ...

    def step(
        self, states: UInt64[np.ndarray, "N W"], moves: Int64[np.ndarray, "N"]
    ) -> tuple[UInt64[np.ndarray, "N W"], Turn]:
        """The positions after a move each, and what they are. Only legal moves may be asked for."""
        ...

    def turn(self, states: UInt64[np.ndarray, "N W"]) -> Turn: ...

    def planes(self, states: UInt64[np.ndarray, "N _"]) -> UInt8[np.ndarray, "N C H W"]:
        """What a net sees, from the side of the one to move: own stones, the other's, and what the game needs."""
        ...

    def twins(self) -> tuple[Int64[np.ndarray, "G HW"], Int64[np.ndarray, "G A"]]:
        """Symmetries, the first changes nothing: where the value of each cell, and of each move, comes from."""
        ...

    def mover(self, states: UInt64[np.ndarray, "N W"]) -> Int64[np.ndarray, "N"]:
        """Who is to move: 0 the first player, 1 the second."""
        ...

    def playout(self, states: UInt64[np.ndarray, "N W"], seed: int) -> Float32[np.ndarray, "N"]:
        """What the one to move gets where both play at random to the end."""
        ...

    def area(self, states: UInt64[np.ndarray, "N W"]) -> Area | None:
        """How each position would be counted as it stands; none where a game is not won by points."""
        ...

    def board(self, state: UInt64[np.ndarray, "W"], moves: Sequence[int] = ()) -> Board:
        """The position as people see it; `moves`: all that led to it from the beginning, or none."""
        ...

    def parse(self, text: str, state: UInt64[np.ndarray, "W"] | None = None) -> list[int]:
        """The moves of a text, from `state` or the beginning; forced passes that it leaves out are put in. UserError:
        what is no move, or not allowed, and which it is."""
        ...

    def name(self, move: int, state: UInt64[np.ndarray, "W"] | None = None) -> str:
        """The move as `parse` reads it; OpenSpiel's have their own words only where `state` is given."""
        ...

    def cell(self, move: int, state: UInt64[np.ndarray, "W"]) -> tuple[int, int]:
        """Row and column, the first row on top, where the move lays its stone; (-1, -1): nowhere."""
        ...


class Rules(NamedTuple):
    """What a game is made of. All take positions "N W", then what is theirs (moves, a seed), then `tables`."""

    step: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    turn: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
    planes: Callable[..., np.ndarray]
    playout: Callable[..., np.ndarray]
    mover: Callable[..., np.ndarray]
    tables: tuple[Any, ...] = ()
    counted: Callable[..., tuple[np.ndarray, np.ndarray]] | None = None  # as Area


@dataclass(frozen=True, eq=False)
class Stones:
    """A game of laying stones: compiled rules, and all the rest told from them.

    A move is a cell, row after row; the move behind the last is a pass. Where there are as many moves as columns, a
    move is a column, and its stone falls. `kept` are the symmetries: boards "H W" turned and mirrored.
    """

    facts: Facts
    words: int
    start: UInt64[np.ndarray, "W"]
    rules: Rules
    kept: Sequence[Callable[[np.ndarray], np.ndarray]]
    down: bool = False  # see Board
    hexagons: bool = False
    crossings: bool = False
    seen: int = 0

    def begin(self, count: int) -> UInt64[np.ndarray, "N W"]:
        return np.tile(self.start, (count, 1))

    def step(
        self, states: UInt64[np.ndarray, "N W"], moves: Int64[np.ndarray, "N"]
    ) -> tuple[UInt64[np.ndarray, "N W"], Turn]:
        states, moves = np.ascontiguousarray(states), np.ascontiguousarray(moves, np.int64)
        new, legal, ended, value = self.rules.step(states, moves, *self.rules.tables)
        return new, Turn(legal, ended, value)

    def turn(self, states: UInt64[np.ndarray, "N W"]) -> Turn:
        return Turn(*self.rules.turn(np.ascontiguousarray(states), *self.rules.tables))

    def planes(self, states: UInt64[np.ndarray, "N _"]) -> UInt8[np.ndarray, "N C H W"]:
        return self.rules.planes(np.ascontiguousarray(states), *self.rules.tables)

    def mover(self, states: UInt64[np.ndarray, "N W"]) -> Int64[np.ndarray, "N"]:
        return self.rules.mover(states, *self.rules.tables)

    def playout(self, states: UInt64[np.ndarray, "N W"], seed: int) -> Float32[np.ndarray, "N"]:
        return self.rules.playout(np.ascontiguousarray(states), np.uint64(seed % 2**64), *self.rules.tables)

    def area(self, states: UInt64[np.ndarray, "N W"]) -> Area | None:
        if self.rules.counted is None:
            return None
        return Area(*self.rules.counted(np.ascontiguousarray(states), *self.rules.tables))

    @property
    def _falls(self) -> bool:
        return self.facts["actions"] == self.facts["columns"]

    def twins(self) -> tuple[Int64[np.ndarray, "G HW"], Int64[np.ndarray, "G A"]]:
        rows, columns, actions = (self.facts[key] for key in ("rows", "columns", "actions"))
        board = np.arange(rows * columns).reshape(rows, columns)
        cells = np.stack([change(board).reshape(-1) for change in self.kept])
        if self._falls:
            return cells, cells[:, :columns] % columns
        passes = np.broadcast_to(np.arange(rows * columns, actions), (len(cells), actions - rows * columns))
        return cells, np.concatenate([cells, passes], 1)

    def cell(self, move: int, state: UInt64[np.ndarray, "W"]) -> tuple[int, int]:
        if self._falls:
            stones = self.planes(state[None])[0, :2, :, move]
            return self.facts["rows"] - 1 - int(stones.sum()), move
        row, column = divmod(move, self.facts["columns"])
        return (row, column) if row < self.facts["rows"] else (-1, -1)

    def name(self, move: int, state: UInt64[np.ndarray, "W"] | None = None) -> str:
        return self.facts["labels"][move]

    def parse(self, text: str, state: UInt64[np.ndarray, "W"] | None = None) -> list[int]:
        numbers = {label: move for move, label in enumerate(self.facts["labels"])}
        word = re.compile("|".join(sorted(numbers, key=len, reverse=True)), re.IGNORECASE)

        def read(rest: str, state: np.ndarray) -> tuple[int, int] | None:
            found = word.match(rest)
            return (numbers[found[0].lower()], found.end()) if found else None

        return written(self, text, state, read)

    def board(self, state: UInt64[np.ndarray, "W"], moves: Sequence[int] = ()) -> Board:
        (own, other), pieces = self.planes(state[None])[0, :2], self.facts["pieces"]
        mover, turn = int(self.mover(state[None])[0]), self.turn(state[None])
        cells = (own * (1 + mover) + other * (2 - mover)).astype(np.int8)
        note = told(float(turn.value[0]), mover, pieces) if turn.ended[0] else ""
        laid, at = [], self.begin(1)
        for move in moves:
            laid.append(Move(1 + int(self.mover(at)[0]), *self.cell(move, at[0])))
            at, _ = self.step(at, np.array([move]))
        assert not laid or (at[0] == state).all(), "the moves lead to the position"
        return Board(cells, tuple(pieces), 0 if note else 1 + mover, tuple(laid), (), self.facts["title"],
                     self.crossings, note=note, down=self.down, hexagons=self.hexagons)  # fmt: skip


def told(value: float, mover: int, pieces: Sequence[str]) -> str:
    """How a game has ended, whose value is that of the one to move."""
    return f"{pieces[mover if value > 0 else 1 - mover]} has won" if value else "a draw"


def written(game: Game, text: str, state: np.ndarray | None,
            read: Callable[[str, np.ndarray], tuple[int, int] | None]) -> list[int]:  # fmt: skip
    """The moves of a text; `read` gives the move that a rest of it begins with, and the letters that it takes.
    UserError: what is no move, or not allowed there."""
    who = game.facts["title"]
    states = game.begin(1) if state is None else state[None]
    turn, moves, number, at = game.turn(states), [], 1, len(BETWEEN.match(text)[0])
    while at < len(text):
        found = read(text[at:], states[0])
        word = text[at : at + found[1]] if found else text[at:].split()[0][:20]
        got = f"{word!r} as move {number}"
        if turn.ended[0]:
            raise UserError("no move after the end of the game", got, "Leave it out", who)
        if not found:
            names = [game.name(move, states[0]) for move in np.flatnonzero(turn.legal[0])[:2].tolist()]
            raise UserError(f"moves written as '{' '.join(names)}'", got, "Correct it", who)
        if (skipped := forced(game, turn)) not in (-1, found[0]):
            moves.append(skipped)
            states, turn = game.step(states, np.array([skipped]))
        if not turn.legal[0, found[0]]:
            legal = [game.name(move, states[0]) for move in np.flatnonzero(turn.legal[0]).tolist()]
            more = " ..." if len(legal) > MOST_NAMES else ""
            want = f"a move that is allowed there ({' '.join(legal[:MOST_NAMES])}{more})"
            raise UserError(want, got, "Choose another", who)
        moves.append(found[0])
        states, turn = game.step(states, np.array([found[0]]))
        at += found[1]
        at += len(BETWEEN.match(text, at)[0])
        number += 1
    return moves


def forced(game: Game, turn: Turn) -> int:
    """The pass, where the first position allows nothing else; else -1."""
    last = game.facts["actions"] - 1
    alone = turn.legal[0, last] and turn.legal[0].sum() == 1
    return last if alone and game.facts["labels"][last] == PASS else -1
