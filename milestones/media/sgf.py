"""SGF (FF[4]) of go and of games in which stones are only placed: the main line, read with suspicion, and written.

Read are SZ, GM, GN, CA, AB, AW, AE, B, W, PL, C, and who played, at which komi, and how it ended. Of go (GM[1], or
none) stones are taken as the rules say; whether a move was legal is not judged. Other games than go and gomoku (GM[4],
which we write with the game's name in GN for all that only place stones) are refused.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..core.errors import UserError
from .board import ABOUT, LONGEST, MOST_MOVES, Board, Move

LARGEST = 1 << 20  # bytes
MOST_VALUES = 20_000
MOST_WORK = 1_000_000  # points looked at for captures
LETTERS = string.ascii_lowercase + string.ascii_uppercase
SGF = "an SGF file (FF[4]) of go or a game of placing stones"
INSIDE = re.compile(r"(?:[^\]\\]++|\\.)*+", re.DOTALL)  # of brackets; possessive, so that it never goes back
ESCAPED = re.compile(r"\\(\r\n|.)", re.DOTALL)
CHARSET = re.compile(rb"CA\s*\[\s*([\w.:-]{1,40})\s*\]", re.ASCII)
# What CA may name, as letters and digits; other words of Python's codecs are no sets of letters.
CHARSETS = {"utf8": "utf-8", "ascii": "ascii", "usascii": "ascii", "iso88591": "latin-1", "latin1": "latin-1",
            "iso885915": "iso8859-15", "windows1252": "cp1252", "cp1252": "cp1252", "windows1251": "cp1251",
            "koi8r": "koi8-r", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5",
            "shiftjis": "cp932", "sjis": "cp932", "cp932": "cp932", "windows31j": "cp932", "eucjp": "euc-jp",
            "iso2022jp": "iso2022-jp", "euckr": "cp949", "cp949": "cp949", "ksc56011987": "cp949"}  # fmt: skip
Node = dict[str, list[str]]


class Line(NamedTuple):
    """The main line of a game in a file."""

    rows: int
    columns: int
    moves: tuple[Move, ...]
    setup: int  # stones that were laid or taken away by hand
    about: Mapping[str, str]  # see ABOUT
    note: str  # the first comment
    variations: int  # that were passed over


def read_sgf(content: bytes, name: str) -> Board:
    """The position after the main line of the first game in a file called `name`. UserError: not SGF or cut off,
    larger than 1 MiB, another game, a board above 52 x 52, more than 2,000 moves, a point that is not on the board,
    bytes that are no letters in the encoding it names."""
    if len(content) > LARGEST:
        raise UserError("an SGF file of at most 1 MiB", f"{len(content):,} bytes in {name}", "Keep its main line only")
    text = _decoded(content, name)
    nodes, end, variations = _main_line(text, name)
    root = nodes[0]
    kind, rows, columns = _kind(root, name)
    game = "go" if kind == "1" else root.get("GN", ["gomoku"])[0].strip()[:60] or "gomoku"
    cells, moves, turn, note = np.zeros((rows, columns), np.int8), [], 1, ""
    setup: list[Move] | None = []
    laid: set[tuple[int, int]] = set()  # the points of the setup
    work = [MOST_WORK]
    for node in nodes:
        for key, piece in (("AB", 1), ("AW", 2), ("AE", 0)):
            for value in node.get(key, []):
                area = _area(value, rows, columns, name)
                _spend(work, len(area), name)
                for row, column in area:
                    cells[row, column] = piece
                    if setup is None or moves or not piece or (row, column) in laid:
                        # Stones that come or go later: what lies there now is where the game begins.
                        moves, setup = [], None
                    else:
                        setup.append(Move(piece, row, column))
                        laid.add((row, column))
            if setup is None:
                setup = _stones(cells)
                laid = {(old.row, old.column) for old in setup}
                _spend(work, len(setup), name)
        if "AB" in node and "AW" not in node and not moves:
            turn = 2  # a handicap
        for key, piece in (("B", 1), ("W", 2)):
            for value in node.get(key, [])[:1]:
                row, column = _point(value, rows, columns, name, a_pass=True)
                moves.append(Move(piece, row, column))
                if len(moves) > MOST_MOVES:
                    raise UserError(f"a game of at most {MOST_MOVES:,} moves", f"more in {name}", "Cut it")
                if row >= 0:
                    cells[row, column] = piece
                    if kind == "1":
                        _capture(cells, row, column, work)
                        _spend(work, 0, name)
                turn = 3 - piece
        if node.get("PL", [""])[0].strip()[:1].upper() in ("B", "W"):
            turn = 1 if node["PL"][0].strip()[:1].upper() == "B" else 2
        note = node["C"][0] if node.get("C") else note
    left = [f"{variations} variation{'s' * (variations > 1)}"] * bool(variations)
    left += ["other games"] * ("(" in text[end:])
    return Board(cells, ("black", "white"), turn, tuple(moves), tuple(setup), game, kind == "1", note=note[:2000],
                 about=_about(root), origin=name, omitted=", ".join(left))  # fmt: skip


def read_lines(content: bytes, name: str) -> Iterator[Line | UserError]:
    """The main line of each game of go in a file called `name`, or why it cannot be read. What follows a damaged game
    is lost."""
    number = 0
    try:
        text, at = _decoded(content, name), 0
        while number == 0 or "(" in text[at : at + 1]:
            number += 1
            nodes, at, variations = _main_line(text, f"game {number} of {name}", at)
            at = found if (found := text.find("(", at)) >= 0 else len(text)
            try:
                yield _line(nodes, f"game {number} of {name}", variations)
            except UserError as problem:
                yield problem
    except UserError as problem:
        yield problem


def _line(nodes: Sequence[Node], name: str, variations: int) -> Line:
    """UserError: no game of go, more than 2,000 moves, a point that is not on the board."""
    kind, rows, columns = _kind(nodes[0], name)
    if kind != "1":
        raise UserError("a game of go", f"game number {kind} in {name}", "Choose another file")
    moves, setup, note = list[Move](), 0, ""
    for node in nodes:
        setup += sum(len(node.get(key, [])) for key in ("AB", "AW", "AE"))
        for key, piece in (("B", 1), ("W", 2)):
            for value in node.get(key, [])[:1]:
                moves.append(Move(piece, *_point(value, rows, columns, name, a_pass=True)))
        note = note or (node["C"][0] if node.get("C") else "")
    if len(moves) > MOST_MOVES:
        raise UserError(f"a game of at most {MOST_MOVES:,} moves", f"more in {name}", "Cut it")
    return Line(rows, columns, tuple(moves), setup, _about(nodes[0]), note[:2000], variations)


def write_sgf(board: Board) -> str:
    """The game of a board as SGF. UserError: pieces of more than two kinds."""
    if len(board.pieces) > 2:
        raise UserError("a board with two kinds of stones", f"{len(board.pieces)}", "SGF holds no others")
    rows, columns = board.cells.shape
    to_move = "" if board.moves or not board.turn else "BW"[board.turn - 1]
    return written(rows, columns, board.game, board.moves, board.about, board.note, board.setup, to_move)


def written(rows: int, columns: int, game: str, moves: Sequence[Move], about: Mapping[str, str], note: str = "",
            setup: Sequence[Move] = (), to_move: str = "") -> str:  # fmt: skip
    """A game as SGF: after its `setup`, B or W being `to_move` then. The note stands at the last move."""
    size = str(rows) if rows == columns else f"{columns}:{rows}"
    head = f"(;FF[4]CA[UTF-8]AP[milestones]GM[{1 if game == 'go' else 4}]SZ[{size}]GN[{_quoted(game)}]"
    head += "".join(f"{key}[{_quoted(about[key])}]" for key in ABOUT if about.get(key))
    for key, piece in (("AB", 1), ("AW", 2)):
        stones = "".join(f"[{LETTERS[m.column]}{LETTERS[m.row]}]" for m in setup if m.piece == piece)
        head += key + stones if stones else ""
    head += f"PL[{to_move}]" if to_move else ""
    lines = [f";{'BW'[m.piece - 1]}[{LETTERS[m.column] + LETTERS[m.row] if m.row >= 0 else ''}]" for m in moves]
    return head + "".join(lines) + (f"C[{_quoted(note)}]" if note else "") + ")\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("]", "\\]")


def _decoded(content: bytes, name: str) -> str:
    """The text, in the encoding that CA names; without one in UTF-8, or else Latin-1. UserError: it is not in that."""
    named = CHARSET.search(content[:4096])
    word = re.sub(r"[^a-z0-9]", "", named[1].decode("ascii").lower()) if named else ""
    charset = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else CHARSETS.get(word, "")
    try:
        return content.decode(charset or "utf-8")
    except UnicodeDecodeError as problem:
        if not charset:
            return content.decode("latin-1")
        want = f"a text in {charset.removesuffix('-sig')}, as the file says"
        got = f"byte {problem.start + 1:,} of {name}, which is no letter there"
        raise UserError(want, got, "Save it in UTF-8") from None


def _main_line(text: str, name: str, start: int = 0) -> tuple[list[Node], int, int]:
    """The nodes of the main line of the first game from a place on, of variations the first; where the game ends; how
    many other variations it has. A walk over the letters, without recursion."""
    begin, start = start, text.find("(", start)
    if start < 0 or text[begin:start].strip():
        raise UserError(SGF, f"{name}, which is {'empty' if not text.strip() else 'of another kind'}", "Choose another")
    at, depth, over, nodes, key, values, others = start, 0, 0, list[Node](), "", 0, 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "(":
            depth += 1
            others += over > 0
        elif letter == ")":
            over = over or depth  # the first variation that ends is the end of the main line
            depth -= 1
            if depth == 0:
                break
        elif letter == "[":
            value, at = _value(text, at, name)
            values += 1
            if not nodes or not key or values > MOST_VALUES:
                raise _damaged(name, "a value without a property" if values <= MOST_VALUES else "too many values")
            if not over:
                nodes[-1].setdefault(key, []).append(value)
        elif letter == ";":
            key = ""
            if not over or not nodes:
                nodes.append({})
        elif letter.isascii() and letter.isalpha():
            end = at
            while end < len(text) and end < at + 64 and text[end].isascii() and text[end].isalpha():
                end += 1
            key = "".join(c for c in text[at - 1 : end] if c.isupper())  # FF[3] wrote small letters between
            at = end
        elif not letter.isspace():
            raise _damaged(name, f"{letter!r} between its properties")
    if depth != 0 or not nodes:
        raise _damaged(name, "it is cut off" if nodes else "no moves")
    return nodes, at, others


def _value(text: str, at: int, name: str) -> tuple[str, int]:
    """The value that begins at a place, and where it goes on behind its bracket."""
    found = INSIDE.match(text, at)
    end = found.end() if found else at
    if text[end : end + 1] != "]":
        raise _damaged(name, "it is cut off")
    return ESCAPED.sub(lambda one: one[1].strip("\n\r"), text[at:end]), end + 1


def _kind(root: Node, name: str) -> tuple[str, int, int]:
    """The game's number in SGF, rows, columns. UserError: neither go nor gomoku, another size than 1 to 52."""
    kind = root.get("GM", ["1"])[0].strip()
    if kind not in ("1", "4"):
        raise UserError(SGF, f"game number {kind[:20]!r} in {name}", "Choose another file")
    return kind, *_size(root.get("SZ", ["19"])[0], name)


def _about(root: Node) -> dict[str, str]:
    """What the file says of the game beside its moves."""
    return {key: " ".join(root[key][0].split())[:200] for key in ABOUT if key in root}


def _size(value: str, name: str) -> tuple[int, int]:
    """(rows, columns) of SZ: "19", or "columns:rows"."""
    parts = [part.strip() for part in value.split(":")]
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and 1 <= int(part[:9]) <= LONGEST for part in parts):
        want = f"a board of 1 to {LONGEST} rows"
        raise UserError(want, f"SZ[{value[:20]}] in {name}", "Choose another file")
    return int(parts[-1]), int(parts[0])


def _point(value: str, rows: int, columns: int, name: str, a_pass: bool = False) -> tuple[int, int]:
    """(row, column); (-1, -1) for a pass. UserError: not on the board."""
    value = value.strip()
    if a_pass and (not value or (value == "tt" and rows <= 19 and columns <= 19)):
        return -1, -1
    column, row = (LETTERS.find(letter) for letter in value) if len(value) == 2 else (-1, -1)
    if not (0 <= row < rows and 0 <= column < columns):
        raise UserError(f"points on a board of {rows} x {columns}", f"{value[:20]!r} in {name}", "Correct the file")
    return row, column


def _area(value: str, rows: int, columns: int, name: str) -> list[tuple[int, int]]:
    """The points of "aa", or of a rectangle "aa:cc"."""
    first, _, last = value.partition(":")
    top, left = _point(first, rows, columns, name)
    bottom, right = _point(last, rows, columns, name) if last else (top, left)
    return [(r, c) for r in range(top, bottom + 1) for c in range(left, right + 1)]


def _stones(cells: np.ndarray) -> list[Move]:
    return [Move(int(cells[r, c]), int(r), int(c)) for r, c in np.argwhere(cells)]


def _spend(work: list[int], points: int, name: str) -> None:
    """Take so many points from the work that is left. UserError: there is none left."""
    work[0] -= points
    if work[0] < 0:
        raise UserError("a game that can be played through", f"{name}, of too many stones", "Cut it")


def _capture(cells: np.ndarray, row: int, column: int, work: list[int]) -> None:
    """Take the other side's groups beside a new stone that have no liberty, then its own if it has none; it ends
    where that would look at more points than `work` allows."""
    mine = cells[row, column]
    for r, c in [*_beside(cells, row, column), (row, column)]:
        if cells[r, c] and (cells[r, c] != mine or (r, c) == (row, column)):
            for spot in _dead(cells, r, c, work):
                cells[spot] = 0


def _beside(cells: np.ndarray, row: int, column: int) -> list[tuple[int, int]]:
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [(r, c) for r, c in around if 0 <= r < cells.shape[0] and 0 <= c < cells.shape[1]]


def _dead(cells: np.ndarray, row: int, column: int, work: list[int]) -> list[tuple[int, int]]:
    """The points of the group on a point if it has no liberty, else none."""
    piece, seen, todo = cells[row, column], {(row, column)}, [(row, column)]
    while todo:
        work[0] -= 1
        for spot in _beside(cells, *todo.pop()):
            if not cells[spot] or work[0] < 0:
                return []
            if cells[spot] == piece and spot not in seen:
                seen.add(spot)
                todo.append(spot)
    return list(seen)


def _damaged(name: str, what: str) -> UserError:
    return UserError("a whole SGF file", f"{name}, which is damaged ({what})", "Save it again")
