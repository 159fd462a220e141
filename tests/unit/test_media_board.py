"""Boards and their files: SGF as other programs write it, captures, refusals in one line."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milestones.core.errors import UserError
from milestones.media import Audio, Board, Move, read
from milestones.media.board import spot

KNOWN = b"""(;FF[4]GM[1]CA[UTF-8]SZ[9]KM[6.5]PB[One]PW[Two]RE[B+R]
AB[cc:cd]AW[gg]C[A \\[small\\] game]
;W[ee];B[ed](;W[dd]C[main line];B[dc])(;W[aa];B[bb]))"""


def test_a_known_file() -> None:
    board = Board.decoded(KNOWN, "known.sgf")
    assert board.cells.shape == (9, 9) and board.game == "go" and board.crossings and board.turn == 2
    assert board.moves == (Move(2, 4, 4), Move(1, 3, 4), Move(2, 3, 3), Move(1, 2, 3))  # the first variation
    assert board.setup == (Move(1, 2, 2), Move(1, 3, 2), Move(2, 6, 6)) and board.note == "main line"
    assert board.cells[2, 2] == board.cells[3, 2] == board.cells[3, 4] == board.cells[2, 3] == 1
    assert board.cells[6, 6] == board.cells[4, 4] == board.cells[3, 3] == 2 and (board.cells > 0).sum() == 7


def test_what_a_file_says_beside_its_moves() -> None:
    board = Board.decoded(KNOWN + b"(;SZ[9];B[aa])", "known.sgf")
    assert board.origin == "known.sgf" and board.omitted == "1 variation, other games"
    assert board.about == {"PB": "One", "PW": "Two", "KM": "6.5", "RE": "B+R"}
    again = Board.decoded(Board.of(board.plain()).sgf().encode(), "again.sgf")
    assert again.about == board.about and again.omitted == "" and "PB[One]PW[Two]KM[6.5]RE[B+R]" in board.sgf()
    plain = {**board.plain(), "about": {"PB": "x]" * 500, "XX": "y"}}
    assert list(Board.of(plain).about) == ["PB"] and len(Board.of(plain).about["PB"]) == 200
    assert Board.decoded(Board.of(plain).sgf().encode(), "x").about == Board.of(plain).about
    with pytest.raises(UserError, match="a board: rows of pieces"):
        Board.of({**board.plain(), "about": 1})


def test_files_in_other_encodings() -> None:
    board = Board.decoded("(;CA[GBK]SZ[5];B[aa]C[\u56f4\u68cb])".encode("gbk"), "x")
    assert board.note == "\u56f4\u68cb"
    with pytest.raises(UserError, match=r"expected a text in utf-8, as the file says, got byte 24 of x\.sgf"):
        Board.decoded(b"(;CA[UTF-8]SZ[5];B[aa]C\xff[a])", "x.sgf")


def test_stones_are_taken() -> None:
    board = Board.decoded(b"(;SZ[5];B[ba];W[aa];B[ab])", "x")
    assert board.cells.tolist()[0][:2] == [0, 1] and board.cells[1, 0] == 1
    both = Board.decoded(b"(;SZ[5]AB[ab][cb][da]AW[aa][ca];B[ba])", "x")
    assert both.cells[0].tolist() == [0, 1, 0, 1, 0] and not (both.cells == 2).any()  # two groups by one stone
    suicide = Board.decoded(b"(;SZ[3]AW[ba][ab];B[aa])", "x")
    assert suicide.cells[0, 0] == 0
    placed = Board.decoded(b"(;GM[4]GN[tic-tac-toe]SZ[3];B[ba];W[aa];B[ab])", "x")
    assert placed.cells[0, 0] == 2 and placed.game == "tic-tac-toe" and not placed.crossings


@pytest.mark.parametrize("content", [
    b"(;SZ[5];B[aa];W[];B[tt])", b"\xef\xbb\xbf (;SZ[5];B[aa]\n;W[];B[tt])", b"(;SiZe[5];Black[aa];White[];B[tt])",
])  # fmt: skip
def test_passes_and_older_forms(content: bytes) -> None:
    board = Board.decoded(content, "x")
    assert [tuple(move) for move in board.moves] == [(1, 0, 0), (2, -1, -1), (1, -1, -1)] and board.turn == 2


def test_handicap_rectangles_and_stones_placed_later() -> None:
    assert Board.decoded(b"(;SZ[9]HA[2]AB[cc][gg])", "x").turn == 2
    assert Board.decoded(b"(;SZ[9]AB[cc]PL[B])", "x").turn == 1
    assert Board.decoded(b"(;SZ[4:2];B[db])", "x").cells.shape == (2, 4)
    later = Board.decoded(b"(;SZ[5];B[aa];AW[cc]AE[aa];W[dd])", "x")
    assert later.setup == (Move(2, 2, 2),) and later.moves == (Move(2, 3, 3),)
    assert np.array_equal(Board.decoded(later.sgf().encode(), "x").cells, later.cells)


@pytest.mark.parametrize(("content", "says"), [
    (b"", "which is empty"),
    (b"hello", "of another kind"),
    (b"x(;B[aa])", "of another kind"),
    (b"()", "damaged .no moves"),
    (b"(;SZ[9];B[aa]", "it is cut off"),
    (b"(;SZ[9];B[aa", "it is cut off"),
    (b"(;SZ[9];B[aa\\]", "it is cut off"),
    (b"([aa])", "a value without a property"),
    (b"(;[aa])", "a value without a property"),
    (b"(;SZ[9]!B[aa])", "between its properties"),
    (b"(;SZ[53])", "a board of 1 to 52 rows, got SZ.53."),
    (b"(;SZ[x])", "a board of 1 to 52 rows"),
    (b"(;SZ[0])", "a board of 1 to 52 rows"),
    (b"(;SZ[9:9:9])", "a board of 1 to 52 rows"),
    (b"(;SZ[99999999999999999999])", "a board of 1 to 52 rows"),
    (b"(;SZ[9];B[zz])", "points on a board of 9 x 9, got 'zz'"),
    (b"(;SZ[9]AB[aa:zz])", "points on a board of 9 x 9, got 'zz'"),
    (b"(;SZ[9]AB[])", "points on a board"),
    (b"(;GM[3];B[aa])", "a game of placing stones, got game number '3' in x.*Choose another file"),
    (b"(;SZ[9]" + b";B[aa]" * 2001 + b")", "a game of at most 2,000 moves"),
    (b"(;C" + b"[]" * 20_001 + b")", "too many values"),
    (b"(" + b" " * (1 << 20) + b")", "an SGF file of at most 1 MiB"),
])  # fmt: skip
def test_bad_files_are_refused_in_one_line(content: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Board.decoded(content, "x.sgf")
    assert "\n" not in str(caught.value) and "x.sgf" in str(caught.value)


def test_hostile_files_end_soon() -> None:
    began = time.monotonic()
    for content in (b"(" * 500_000, b"(;C[" + b"\\" * 900_001 + b"])"):
        with pytest.raises(UserError, match="damaged"):
            Board.decoded(content, "x")
    assert not Board.decoded(b"(;" * 200_000 + b")" * 200_000, "x").moves
    assert len(Board.decoded(b"(;C[" + b"\\" * 900_000 + b"])", "x").note) == 2000
    points = [a + b for a in "abcdefghijklmnopqrs" for b in "abcdefghijklmnopqrs"]
    snake = "".join(f";B[{p}];W[]" for p in points[:-1]) + "".join(f";W[ss];B[{p}]" for p in points[:500])
    Board.decoded(f"(;SZ[19]{snake})".encode(), "x")
    assert time.monotonic() - began < 5


def test_endless_captures_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.media.sgf.MOST_WORK", 3)
    with pytest.raises(UserError, match="a game that can be played through, got x, of too many stones"):
        Board.decoded(b"(;SZ[9];B[aa];W[ab];B[ba];W[bb];B[ca];W[cb])", "x")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.integers(0, 200), st.sampled_from("()[];\\:BWxz\0 9"))
def test_no_text_breaks_the_reader(noise: str, at: int, letter: str) -> None:
    whole = KNOWN.decode()
    at %= len(whole)
    for text in (noise, "(;" + noise, "(;B[" + noise + "])", whole[:at] + letter + whole[at + 1 :], whole[:at]):
        with contextlib.suppress(UserError):
            Board.decoded(text.encode(), "x")


stones = st.tuples(st.integers(0, 4), st.integers(0, 6))


@settings(max_examples=100, deadline=None)
@given(st.lists(stones, unique=True, max_size=20), st.lists(stones, unique=True, max_size=6), st.text(max_size=30))
def test_what_is_written_is_read_again(played: list[tuple[int, int]], before: list[tuple[int, int]], note: str) -> None:
    note = note.replace("\r", " ").encode(errors="replace").decode()
    cells = np.zeros((5, 7), np.int8)
    setup = [Move(1 + k % 2, *at) for k, at in enumerate(before)]
    moves = [Move(1 + k % 2, *at) for k, at in enumerate(at for at in played if at not in before)]
    for move in [*setup, *moves]:
        cells[move.row, move.column] = move.piece
    turn = 1 + len(moves) % 2
    board = Board(cells, ("cross", "nought"), turn, moves, setup, "five", False, note=note)
    again = Board.decoded(board.sgf().encode(), "x")
    assert np.array_equal(again.cells, cells) and list(again.moves) == moves and again.turn == turn
    assert sorted(again.setup) == sorted(setup) and again.game == "five" and again.note == note
    same = Board.of(board.plain())
    assert np.array_equal(same.cells, cells) and same.moves == moves and same.setup == setup and same.turn == turn


def test_the_plain_form_holds_what_a_player_thinks() -> None:
    policy = np.array([[0.1, 0.9], [np.nan, 0]])
    tree = [["A1", 5, 0.5, [["B1", 2, None, []]]]]
    board = Board(np.zeros((2, 2), np.int8), policy=policy, visits=np.ones((2, 2), int), win=0.25, tree=tree)
    plain = board.plain()
    assert plain["policy"] == [[0.1, 0.9], [None, 0]] and plain["visits"] == [[1, 1], [1, 1]] and plain["win"] == 0.25
    assert plain["tree"] == [["A1", 5, 0.5, [["B1", 2, None, []]]]]
    assert str(board) == ". .\n. .\nblack to move; black wins with 25 %"
    deep = Board(np.zeros((2, 2), np.int8), tree=[["A1", 1, 0.5, []]] * 5000).plain()["tree"]
    assert len(deep) == 2000


def test_owners_are_told_with_a_board() -> None:
    owner = np.array([[1.0, -0.25], [0.0, 0.123456]])
    assert Board(np.zeros((2, 2), int), owner=owner).plain()["owner"] == [[1, -0.25], [0, 0.1235]]
    with pytest.raises(UserError, match="owner for each point of the board"):
        Board(np.zeros((2, 2), int), owner=np.zeros(4))


def test_other_arrays_are_no_board() -> None:
    for cells in (np.zeros((0, 3), int), np.full((2, 2), 3), np.zeros((2, 2)), np.zeros((53, 2), int)):
        with pytest.raises(UserError, match="a board of at most 52 x 52 points with pieces from 0 to 2"):
            Board(cells)
    with pytest.raises(UserError, match="policy for each point of the board"):
        Board(np.zeros((2, 2), int), policy=np.zeros(4))
    with pytest.raises(UserError, match="a board with two kinds of stones, got 3"):
        Board(np.zeros((2, 2), int), ("a", "b", "c")).sgf()


@pytest.mark.parametrize("change", [
    {"board": [[0, 1], [0]]}, {"board": [[9]]}, {"board": "aa"}, {"board": [[0.5]]}, {"turn": 3}, {"turn": "1"},
    {"moves": [[1, 9, 9]]}, {"moves": [[1, 0]]}, {"moves": 1}, {"setup": [[0, 0, 0]]}, {"pieces": []},
    {"moves": [[1, 0, 0]] * 2001}, {"board": [[True]]}, {"board": []}, {"board": [[]]},
])  # fmt: skip
def test_a_board_from_elsewhere_is_checked(change: dict[str, object]) -> None:
    plain = {**Board.empty(2, 2, "x").plain(), **change}
    with pytest.raises(UserError, match="a board: rows of pieces, whose turn it is"):
        Board.of(plain)
    with pytest.raises(UserError, match="list of another form"):
        Board.of([])


def test_names_of_points() -> None:
    assert [spot(18, 0, 19), spot(0, 8, 19), spot(0, 18, 19), spot(-1, -1, 19)] == ["A1", "J19", "T19", "pass"]
    assert spot(0, 25, 52) == "AA52" and Board.empty(3, 3, "x").spot(2, 1) == "B1"
    assert [spot(0, 0, 11, True), spot(10, 8, 11, True), spot(-1, -1, 11, True)] == ["A1", "I11", "pass"]
    assert spot(0, 26, 52, True) == "AA1" and Board(np.zeros((3, 3), int), down=True).spot(2, 1) == "B3"


def test_files_of_boards_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sgf"
    path.write_bytes(KNOWN)
    assert isinstance(read(path)[0], Board)
    (tmp_path / "b.sgf").mkdir()
    with pytest.raises(UserError, match="a folder with recordings"):
        read(tmp_path / "b.sgf", (Audio,))
