"""Records of go: games that were played from the empty board, read from SGF files and written to them."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from ...core.errors import UserError
from ...core.folder import write_whole
from ...media import Move
from ...media.sgf import Line, read_lines, written
from .game import Game

LARGEST = 1 << 26  # bytes of a file, unpacked
TOGETHER = 512  # games that are played through side by side
SIZES, GLANCED = range(5, 20), 200  # of boards; games that are looked at to tell which size they have
SUFFIXES = (".sgf", ".sgf.gz")
RESULT = re.compile(r"([BW])\+.*|(0|draw|jigo)", re.IGNORECASE)


class Record(NamedTuple):
    """A game from the empty board, Black first."""

    size: int
    komi: float | None  # None: the file does not say
    moves: tuple[int, ...]  # as the game numbers them
    result: str = ""  # as SGF has it: "B+2.5", "W+R", "0" a draw; "" nobody knows
    players: tuple[str, str] = ("", "")  # Black, White
    comment: str = ""

    @property
    def winner(self) -> int | None:
        """1 Black, -1 White, 0 a draw; None where nobody knows."""
        found = RESULT.fullmatch(self.result.strip())
        return None if not found else 0 if found[2] else 1 if found[1].upper() == "B" else -1


class Records(NamedTuple):
    """What was read."""

    games: list[Record]
    refused: list[str]  # why others were left out, each with its file and game
    variations: int  # that were passed over


def read_records(place: str | Path, game: Game) -> Records:
    """The games in an SGF file, in one that gzip has packed (.sgf.gz), or in all of a folder and those below it, in the
    order of their names. Of variations the first is read. A game of another size, with handicap or other stones that
    were laid by hand, or with a move that the rules forbid is left out. UserError: none can be used, which says why of
    the first; no such file; a game that is not go."""
    who, path = str(game.facts["title"]), Path(place)
    if who != "go":
        raise UserError("records of go", f"the game {who}", "Choose a game of go, as go7", "records")
    refused, variations, found = list[str](), 0, list[tuple[str, Record]]()
    for file in _files(path):
        for number, line in enumerate(read_lines(_content(file), file.name), 1):
            name = f"game {number} of {file.name}"
            why = f"expected {line.expected}, got {line.got}" if isinstance(line, UserError) else _unfit(line, game)
            if why:
                refused.append(why if name in why else f"{name}: {why}")
                continue
            assert isinstance(line, Line)
            variations += line.variations
            found.append((name, _record(line, game)))
    games = []
    for begin in range(0, len(found), TOGETHER):
        for name, record, at in _judged(game, found[begin : begin + TOGETHER]):
            if at < 0:
                games.append(record)
            else:
                refused.append(f"{name}: {game.name(record.moves[at]).upper()} as move {at + 1} is not allowed")
    if not games:
        got = f"{len(refused):,} that cannot be used; the first: {refused[0]}" if refused else f"none in {path}"
        size = game.facts["rows"]
        raise UserError(f"games of go on {size} x {size} in {path}", got, "Choose other files", "records")
    return Records(games, refused, variations)


def usual_size(place: str | Path) -> int:
    """The size, 5 to 19, of the board that most of the first GLANCED games have; of a file or a folder as of
    `read_records`. UserError: no such file; none of its games is on such a board."""
    found, problem = Counter[int](), ""
    for file in _files(Path(place)):
        for line in read_lines(_content(file), file.name):
            if isinstance(line, UserError):
                problem = problem or f"; {line.got}"
            elif line.rows == line.columns and line.rows in SIZES:
                found[line.rows] += 1
        if found.total() >= GLANCED:
            break
    if not found:
        do = "Choose other files"
        raise UserError("games of go on a square board of 5 to 19", f"none in {place}{problem}", do, "records")
    return found.most_common(1)[0][0]


def read_record(path: str | Path, game: Game) -> Record:
    """The only, or the first game of a file. UserError: as of `read_records`, and where that game is left out."""
    line = next(read_lines(_content(Path(path)), Path(path).name))
    if isinstance(line, UserError):
        raise line
    got = _unfit(line, game)
    if not got:
        record = _record(line, game)
        ((_, _, at),) = _judged(game, [("", record)])
        if at < 0:
            return record
        got = f"{game.name(record.moves[at]).upper()} as move {at + 1}, which is not allowed"
    size = game.facts["rows"]
    raise UserError(f"a game of go on {size} x {size}", f"{got} in {Path(path).name}", "Choose another", "records")


def write_records(path: Path, game: Game, records: Iterable[Record]) -> None:
    """Write games of one size as SGF, packed where the name ends in .gz; equal games make equal files."""
    text = "".join(sgf_of(game, record) for record in records).encode(errors="backslashreplace")
    write_whole(path, gzip.compress(text, 9, mtime=0) if path.suffix == ".gz" else text)


def sgf_of(game: Game, record: Record) -> str:
    """A game as SGF."""
    size = record.size
    moves = [Move(1 + k % 2, *(divmod(move, size) if move < size * size else (-1, -1)))
             for k, move in enumerate(record.moves)]  # fmt: skip
    black, white = record.players
    komi = "" if record.komi is None else f"{record.komi:g}"
    about = {"PB": black, "PW": white, "KM": komi, "RE": record.result}
    return written(size, size, str(game.facts["title"]), moves, about, record.comment)


def result_of(points: float) -> str:
    """As SGF has it, of the points that Black is ahead."""
    return f"{'B' if points > 0 else 'W'}+{abs(points):g}" if points else "0"


def about(game: Game, state: Shaped[np.ndarray, "W"], players: tuple[str, str], result: str, forfeit: bool
          ) -> dict[str, str]:  # fmt: skip
    """What SGF says of a game beside its moves, which led to `state`: who played, komi, points.
    `result`: 1-0, 0-1, 1/2, or * where it is not over."""
    won = {"1-0": "B+", "0-1": "W+", "1/2": "0"}.get(result, "?")
    area = None if forfeit or won == "?" else game.area(state[None])
    if area is not None:
        won = result_of(float(area.score[0]) * (1 - 2 * int(game.mover(state[None])[0])))
    komi = {"KM": f"{game.facts['komi']:g}", "RU": "Chinese"} if "komi" in game.facts else {}
    return {"PB": players[0], "PW": players[1], "RE": won + "F" * (forfeit and won != "?"), **komi}


def _files(path: Path) -> list[Path]:
    """UserError: there is none."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.name.lower().endswith(SUFFIXES) and file.is_file())
        if not found:
            raise UserError("a folder with SGF files", f"{path} without any", "Choose another", "records")
        return found
    if not path.exists():
        raise UserError("an SGF file or a folder of them", f"{path}, which does not exist", "Check the path", "records")
    return [path]


def _content(path: Path) -> bytes:
    """UserError: it cannot be read or unpacked, or is larger than 64 MiB."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError, ValueError, zlib.error) as problem:
        got = f"{path} ({getattr(problem, 'strerror', None) or problem})"
        raise UserError("an SGF file that can be read", got, "Check the path", "records") from None
    if len(content) > LARGEST:
        raise UserError("SGF files of at most 64 MiB", f"more in {path}", "Split it", "records")
    return content


def _unfit(line: Line, game: Game) -> str:
    """Why a game cannot be a record of this one; nothing where it can."""
    size = game.facts["rows"]
    if (line.rows, line.columns) != (size, size):
        return f"a board of {line.columns} x {line.rows}"
    if line.setup:
        return "handicap, or other stones that were laid by hand"
    if not line.moves:
        return "no moves"
    twice = next((k for k, move in enumerate(line.moves) if move.piece != 1 + k % 2), -1)
    return f"{('Black', 'White')[line.moves[twice].piece - 1]} as move {twice + 1}" if twice >= 0 else ""


def _record(line: Line, game: Game) -> Record:
    size, about = int(game.facts["rows"]), line.about
    try:
        komi = float(about.get("KM", "nan"))
    except ValueError:
        komi = math.nan
    moves = tuple(move.row * size + move.column if move.row >= 0 else size * size for move in line.moves)
    players = about.get("PB", ""), about.get("PW", "")
    return Record(size, komi if math.isfinite(komi) else None, moves, about.get("RE", ""), players, line.note)


def _judged(game: Game, found: Sequence[tuple[str, Record]]) -> Iterator[tuple[str, Record, int]]:
    """Each game with the number of its first move that the rules forbid, from 0; -1: there is none."""
    states, bad = game.begin(len(found)), np.full(len(found), -1)
    for ply in range(max((len(record.moves) for _, record in found), default=0)):
        rows = np.array([n for n, (_, record) in enumerate(found) if ply < len(record.moves) and bad[n] < 0], np.int64)
        if not len(rows):
            break
        moves = np.array([found[n][1].moves[ply] for n in rows], np.int64)
        fits = game.turn(states[rows]).legal[np.arange(len(rows)), moves]  # none where the game is over
        bad[rows[~fits]] = ply
        states[rows[fits]] = game.step(states[rows[fits]], moves[fits])[0]
    for (name, record), at in zip(found, bad.tolist(), strict=True):
        yield name, record, at
