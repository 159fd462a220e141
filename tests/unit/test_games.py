"""What games share: names, moves as people write them, boards, symmetries, random play, refusals."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from milestones.core.errors import UserError
from milestones.media import Board, Move
from milestones.report import drawn
from milestones.worlds.games import Game, game, names

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

ALL = [
    "tictactoe",
    "connect_four",
    "hex3",
    "hex5",
    "hex8",
    "hex9",
    "hex11",
    "othello6",
    "othello8",
    "go5",
    "go7",
    "go9",
]


def lines(own: Game, count: int, seed: int = 0) -> list[list[int]]:
    """Random games."""
    rng, states = np.random.default_rng(seed), own.begin(count)
    turn, found, going = own.turn(states), [[] for _ in range(count)], np.arange(count)
    while len(going):
        chances = turn.legal / turn.legal.sum(1, keepdims=True)
        moves = (chances.cumsum(1) > rng.random((len(going), 1))).argmax(1)
        for k, move in zip(going, moves.tolist(), strict=True):
            found[k].append(move)
        states, turn = own.step(states, moves)
        going, states = going[~turn.ended], states[~turn.ended]
        turn = own.turn(states)
    return found


def played(own: Game, moves: list[int]) -> np.ndarray:
    states = own.begin(1)
    for move in moves:
        states, _ = own.step(states, np.array([move]))
    return states[0]


@pytest.mark.parametrize("name", names())
def test_facts_are_small_and_true(name: str) -> None:
    own = game(name)
    facts = json.loads(json.dumps(own.facts))
    states = own.begin(3)
    assert facts["kind"] == "game" and game(facts["game"]).facts == own.facts and facts["game"] == name
    assert states.shape == (3, own.words) and states.dtype == np.uint64
    assert own.planes(states).shape == (3, *facts["shape"]) and own.planes(states).dtype == np.uint8
    assert facts["shape"][1:] == [facts["rows"], facts["columns"]] and facts["levels"] == 1
    turn = own.turn(states)
    assert turn.legal.shape == (3, facts["actions"]) and turn.legal.any() and not turn.ended.any()
    assert turn.value.dtype == np.float32 and own.mover(states).tolist() == [0, 0, 0]
    assert len(facts["labels"]) == len(set(facts["labels"])) == facts["actions"]
    assert [own.name(move) for move in range(facts["actions"])] == facts["labels"]
    assert len(facts["pieces"]) == 2 and len(own.twins()[0]) == facts["symmetries"]
    assert facts["title"] and facts["aim"]
    assert own.turn(own.begin(0)).legal.shape == (0, facts["actions"])


@pytest.mark.parametrize("name", ALL)
def test_symmetries_commute_with_play(name: str) -> None:
    own = game(name)
    cells, moves = own.twins()
    assert cells[0].tolist() == list(range(cells.shape[1])) and moves[0].tolist() == list(range(moves.shape[1]))
    assert len(np.unique(cells, axis=0)) == len(cells)
    for line in lines(own, 5):
        states = own.begin(1 + len(cells))  # the game, and each of its twins
        turn = own.turn(states)
        for move in line:
            for g in range(len(cells)):
                seen = own.planes(states).reshape(len(states), own.facts["shape"][0], -1)
                assert np.array_equal(seen[1 + g], seen[0][:, cells[g]])
                assert np.array_equal(turn.legal[1 + g], turn.legal[0][moves[g]])
            states, turn = own.step(states, np.array([move, *(np.argsort(of)[move] for of in moves)]))
        assert turn.ended.all() and len(set(turn.value.tolist())) == 1


@pytest.mark.parametrize("name", ALL)
def test_moves_are_read_as_they_are_written(name: str) -> None:
    own = game(name)
    for line in lines(own, 20):
        words = [own.name(move) for move in line]
        for between in ("", " ", ", ", ";\n"):
            assert own.parse(between.join(words)) == line
        assert own.parse(" " + " ".join(words).upper() + "\n") == line
        if not name.startswith("go"):  # where one may pass when one likes
            assert own.parse(" ".join(word for word in words if word != "pass")) == line or words[-1] == "pass"
        half = len(line) // 2
        assert own.parse(" ".join(words[half:]), played(own, line[:half])) == line[half:]
    assert own.parse("") == own.parse(" ,\n") == []


def test_passes_may_be_left_out() -> None:
    own = game("othello6")
    line = next(line for line in lines(own, 200) if 36 in line[:-1])
    words = [own.name(move) for move in line]
    assert "pass" in words and own.parse("".join(word for word in words if word != "pass")) == line
    with pytest.raises(UserError, match=r"othello: expected a move that is allowed there .* got 'pass' as move 1"):
        own.parse("pass")


def test_known_games() -> None:
    four, three, hex5, eight = (game(name) for name in ("connect_four", "tictactoe", "hex5", "othello8"))
    assert four.parse("4453") == [3, 3, 4, 2]
    assert three.parse("a1 b2 c3") == [6, 4, 2], "rows from below, as on a chessboard"
    assert hex5.parse("a1 b1 a2") == [0, 1, 5], "rows from the top, as players of hex count"
    assert eight.parse("f5d6c3") == [37, 43, 18], "a beginning that players of othello write"
    assert np.flatnonzero(eight.turn(eight.begin(1)).legal[0]).tolist() == [19, 26, 37, 44]
    assert three.turn(played(three, three.parse("a1 a2 b1 b2 c1"))[None]).value.tolist() == [-1]
    assert three.turn(played(three, three.parse("a3 b3 c3 b2 b1 c2 a2 a1 c1"))[None]).ended.tolist() == [True]
    black = played(hex5, hex5.parse("c1 a1 c2 a2 b3 b1 b4 b2 b5"))  # b3 joins c2 and b4
    assert hex5.turn(black[None]).value.tolist() == [-1] and hex5.mover(black[None]).tolist() == [1]
    assert [game(short).facts["game"] for short in ("hex", "othello")] == ["hex11", "othello8"]


def test_boards_are_what_people_see() -> None:
    own = game("connect_four")
    line = own.parse("4453")
    board = own.board(played(own, line), line)
    assert board.cells.shape == (6, 7) and board.cells[5].tolist() == [0, 0, 2, 1, 1, 0, 0] and board.cells[4, 3] == 2
    assert board.moves == (Move(1, 5, 3), Move(2, 4, 3), Move(1, 5, 4), Move(2, 5, 2)) and board.turn == 1
    assert board.pieces == ("yellow", "red") and not board.crossings and board.game == "connect four"
    again = Board.decoded(board.sgf().encode(), "x")
    assert np.array_equal(again.cells, board.cells) and again.moves == board.moves and again.game == "connect four"
    line = own.parse("4 3 4 3 4 3 4")
    over = own.board(played(own, line))
    assert over.turn == 0 and over.note == "yellow has won" and over.moves == ()
    line = own.parse("1234567" * 2)
    assert own.cell(2, played(own, line)) == (3, 2)
    three = game("tictactoe")
    assert three.board(played(three, three.parse("a3 b3 c3 b2 b1 c2 a2 a1 c1"))).note == "a draw"
    hexes = game("hex3")
    board = hexes.board(played(hexes, hexes.parse("b1 a2")))
    assert board.hexagons and board.down and str(board) == ". X .\n O . .\n  . . .\nblack to move"
    assert board.spot(0, 1) == "B1" and own.board(own.begin(1)[0]).spot(5, 0) == "A1"
    same = Board.of(board.plain())
    assert same.hexagons and same.down and not Board.of(own.board(own.begin(1)[0]).plain()).down
    eight = game("othello8")
    start = eight.board(eight.begin(1)[0])
    assert start.cells[3, 3:5].tolist() == [2, 1] and start.cells[4, 3:5].tolist() == [1, 2] and start.turn == 1
    assert eight.cell(64, eight.begin(1)[0]) == (-1, -1) and eight.cell(19, eight.begin(1)[0]) == (2, 3)
    small = game("othello6")
    line = next(line for line in lines(small, 200) if 36 in line[:-1])
    board = small.board(played(small, line), line)
    assert Move(1, -1, -1) in board.moves or Move(2, -1, -1) in board.moves
    assert board.note in ("black has won", "white has won", "a draw") and len(board.moves) == len(line)


def test_a_board_of_hexagons_is_drawn_in_a_report_too() -> None:
    own = game("hex3")
    plain = own.board(played(own, own.parse("b1 a2"))).plain()
    leaning, flat = (drawn.board("start", {**plain, "hexagons": slant}) for slant in (True, False))
    assert "dark: black, light: white" in leaning and leaning != flat


@pytest.mark.parametrize("name", ALL)
def test_random_play_can_be_repeated_and_keeps_what_is_decided(name: str) -> None:
    own = game(name)
    line = lines(own, 1)[0]
    states = own.begin(300)
    first, again, other = own.playout(states, 5), own.playout(states, 5), own.playout(states, -6)
    assert np.array_equal(first, again) and not np.array_equal(first, other) and set(first.tolist()) <= {-1, 0, 1}
    end = played(own, line)[None]
    assert np.array_equal(own.playout(end, 0), own.turn(end).value)
    assert own.playout(states[:0], 0).shape == (0,)


@pytest.mark.parametrize(("name", "moves", "bad"), [
    ("tictactoe", [0], 0), ("tictactoe", [], 9), ("connect_four", [3] * 6, 3), ("connect_four", [], 7),
    ("hex5", [7], 7), ("connect_four", [], -1), ("hex9", [80], 80), ("hex5", [], 25), ("othello8", [], 0),
    ("othello8", [], 64), ("othello8", [], 27),
])  # fmt: skip
def test_what_is_not_allowed_is_never_played(name: str, moves: list[int], bad: int) -> None:
    own = game(name)
    states = played(own, moves)[None]
    with pytest.raises(AssertionError):
        own.step(states, np.array([bad]))


@pytest.mark.parametrize(("name", "text", "says"), [
    ("connect_four", "44x", "connect four: expected moves written as '1 2', got 'x' as move 3"),
    ("connect_four", "4444444", r"a move that is allowed there \(1 2 3 5 6 7\), got '4' as move 7. Choose another"),
    ("connect_four", "43434345", "no move after the end of the game, got '5' as move 8. Leave it out"),
    ("tictactoe", "a1 d4", "tic-tac-toe: expected moves written as 'a3 b3', got 'd4' as move 2. Correct it"),
    ("hex5", "a1 A1", r"hex: expected a move that is allowed there \(b1 c1 d1 e1 .* \.\.\.\), got 'A1' as move 2"),
    ("othello8", "e4", r"othello: expected a move that is allowed there \(d3 c4 f5 e6\), got 'e4' as move 1"),
    ("othello8", "f5 " + "q" * 99, "got 'qqqqqqqqqqqqqqqqqqqq' as move 2"),
])  # fmt: skip
def test_wrong_moves_are_told(name: str, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        game(name).parse(text)


@pytest.mark.parametrize(("name", "says"), [
    ("conect_four", "a game that is known, got no 'conect_four'. Did you mean 'connect_four'"),
    ("hex12", "Did you mean 'hex1"), ("xyz", r"There are: tictactoe, connect_four, hex3.*'openspiel:NAME'"),
])  # fmt: skip
def test_unknown_games_are_told_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        game(name)


def test_without_numba_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "milestones.worlds.games.lines", None)
    with pytest.raises(UserError, match=r"numba, which compiles the rules of games, got .*milestones\[games\]"):
        game("tictactoe")
