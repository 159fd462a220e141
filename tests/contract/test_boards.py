"""A run that plays a board game: you against it in the terminal, it against others, the record; the studio's desk."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.catalog import load
from milestones.cli import main
from milestones.core.errors import UserError
from milestones.media import Board
from milestones.studio.acts import play as acts
from milestones.verbs import board
from milestones.verbs.execute import Order, begin
from milestones.worlds.games import game, opponents

FILE = str(Path(__file__).parent / "pages" / "boards.py")
PLAN = {"plan": "contiguous/float32/1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: boards-1 plays tic-tac-toe, boards-2 connect four, boards-3 othello."""
    root = tmp_path_factory.mktemp("boards") / "runs"
    for name in ("tictactoe", "connect_four", "othello6"):
        begin(FILE, {"game": name, "steps": 20, "positions": 100}, Order(**PLAN), root)
    return root


class Sitting:
    """play(text, *words): what a game says in which this is typed."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.root, self.capsys, self.patch = root, capsys, patch

    def __call__(self, text: str, *words: str, run: str = "boards-1", code: int = 0) -> tuple[str, str]:
        self.patch.setattr(sys, "stdin", io.StringIO(text))
        given = ["play", run, "--runs", str(self.root), "--page", FILE, "--simulations", "16"]
        assert main([*given, *(["--human"] if text else []), *words]) == code
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return said.out, said.err


@pytest.fixture
def play(trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> Sitting:
    return Sitting(trained, capsys, monkeypatch)


def test_a_game_is_played_to_its_end(play: Sitting) -> None:
    every = "".join(f"{letter}{row}\n" for letter in "abc" for row in "123")
    out, err = play(every * 3, "--json")
    found = json.loads(out)["games"][0]
    assert found["players"] == ["you", "boards-1"]
    assert found["result"] in ("1-0", "0-1", "1/2")
    assert found["end"] == ""
    own = game("tictactoe")
    assert own.parse(" ".join(found["moves"])) == found["line"]
    assert found["moves"][0] == "a1"
    assert "tic-tac-toe: three in a row, column or diagonal" in err
    assert "you are X (cross), boards-1 is O (nought)" in err
    assert "(X)" in err or "(O)" in err, "the last stone is marked"
    out, _ = play(every * 3)
    assert out.startswith("you (cross) - boards-1 (nought): ")


def test_the_run_may_begin(play: Sitting) -> None:
    out, err = play("quit\n", "--begin", "run", "--json")
    found = json.loads(out)["games"][0]
    assert found["players"] == ["boards-1", "you"]
    assert len(found["moves"]) == 1
    assert (found["result"], found["end"]) == ("*", "left")
    assert f"boards-1: {found['moves'][0]}" in err


def test_moves_are_taken_back(play: Sitting) -> None:
    out, err = play("undo\nb2\nundo\na1\nb2\nundo\nundo\nc3\nquit\n", "--json")
    assert err.count("there is no move of yours to take back") == 1 + ("one of: moves" in err)
    found = json.loads(out)["games"][0]
    assert found["moves"][0] == "c3"
    assert len(found["moves"]) == 2
    out, err = play("undo\nquit\n", "--begin", "run", "--json")
    assert "there is no move of yours to take back" in err
    out, err = play("1\n2\nundo\nquit\n", "--moves", "4453", "--json", run="boards-2")
    assert json.loads(out)["games"][0]["moves"][:5] == ["4", "4", "5", "3", "1"]
    out, err = play("undo\nquit\n", "--moves", "4453", run="boards-2")
    assert "there is no move of yours to take back" in err


def test_hints_show_policy_and_visits(play: Sitting) -> None:
    _, err = play("hint\nmoves\nhelp\n\nboard\nquit\n", run="boards-2")
    assert "policy, %" in err and "visits, %" in err
    assert "visits, policy" in err and "% (16 simulations); expected: " in err
    assert "\n1 2 3 4 5 6 7\n" in err.replace("your move: ", "\n")
    assert "a move by its name; moves: all of them; hint" in err
    lines = err[err.index("policy, %") :].splitlines()
    assert len(lines[1]) <= 70


@pytest.mark.parametrize(("text", "message"), [
    ("z9\nquit\n", "expected moves written as 'a3 b3', got 'z9' as move 1"),
    ("b2\nb2\nquit\n", "expected a move that is allowed there ("),
    ("a1 b2\nquit\n", "one move at a time, as "),
    ("\x00\x1b[A\nquit\n", "expected moves written as"),
    ("b2", "no more input"),
    ("", "no more input"),
])  # fmt: skip
def test_what_is_typed_wrongly_is_told_and_the_game_goes_on(text: str, message: str, play: Sitting) -> None:
    out, err = play(text, *([] if text else ["--human"]), "--json")
    assert message in err
    assert json.loads(out)["games"][0]["end"] == "left"


def test_ctrl_c_keeps_the_record(play: Sitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(io.StringIO):
        def readline(self, *given: Any) -> str:  # type: ignore[override]
            text = super().readline()
            if not text:
                raise KeyboardInterrupt
            return text

    monkeypatch.setattr(io, "StringIO", Impatient)
    out, _ = play("b2\n", "--record", "a.json", "--json", code=130)
    kept = json.loads(Path("a.json").read_text())
    assert kept["format"] == 1
    assert kept["games"] == json.loads(out)["games"]
    assert kept["games"][0]["end"] == "interrupted"
    assert kept["games"][0]["moves"][0] == "b2"


def test_it_plays_others_without_a_terminal(play: Sitting) -> None:
    out, err = play("", "--opponent", "greedy", "--episodes", "2", "--json", run="boards-2")
    found = json.loads(out)
    assert [one["players"] for one in found["games"]] == [["boards-2", "greedy"], ["greedy", "boards-2"]]
    assert "game 2: greedy - boards-2 " in err
    assert found["simulations"] == 16
    out, _ = play("", run="boards-2@3")
    assert "boards-2 (yellow) - boards-2 (red): " in out
    assert " 1   2   3   4   5   6   7" in out
    out, _ = play("", "--opponent", "perfect", "--json")
    assert json.loads(out)["games"][0]["players"] == ["boards-1", "perfect"]
    out, _ = play("", "--opponent", "boards-1@4", "--json")
    assert json.loads(out)["games"][0]["result"] != "*"


def test_othello_passes_by_itself(play: Sitting) -> None:
    """In random games somebody must pass; whoever types is told and need not."""
    own = game("othello6")
    rng = np.random.default_rng(0)
    for _ in range(500):
        table = board.Table(own)
        while table.result == "*" and [table.name(move) for move in table.legal] != ["pass"]:
            table.play(int(rng.choice(table.legal)))
        if table.result == "*":
            break
    text = " ".join(name for name in table.names if name != "pass")
    out, err = play("quit\n", "--moves", text, "--json", run="boards-3")
    assert "you have no move, and pass" in err
    assert json.loads(out)["games"][0]["line"][: len(table.line) + 1] == [*table.line, 36]


def test_games_are_kept(play: Sitting) -> None:
    play("", "--opponent", "random", "--record", "four.sgf", run="boards-2")
    text = Path("four.sgf").read_text()
    found = Board.decoded(text.encode(), "four.sgf")
    assert found.game == "connect four"
    assert found.note.startswith("boards-2 (yellow) - random (red): ")
    play("", "--opponent", "random", "--record", "four.sgf", run="boards-2", code=2)
    play("", "--opponent", "random", "--record", "four.sgf", "--overwrite", "--seed", "4", run="boards-2")
    assert Path("four.sgf").read_text() != text


@pytest.mark.parametrize(("words", "message"), [
    (["--film", "a.gif"], "a game on a board, which has no film, got --film a.gif. Keep it by --record"),
    (["--record", "a.txt"], "a record whose name ends in .json or .sgf, got a.txt"),
    (["--record", "no/a.sgf"], "a record in an existing folder, got no/a.sgf"),
    (["--human", "--opponent", "random"], "you or an opponent against the run, got both"),
    (["--opponent", "boards-2"], "an opponent in tic-tac-toe, 3 x 3, got boards-2, which plays connect four, 6 x 7"),
    (["--opponent", "rollouts:x"], "random games a move from 1 to 1,000,000"),
    (["--moves", "b2 b2"], "got 'b2' as move 2"),
    (["--simulations", "0"], "simulations a move from 1 to 1,000,000, got 0"),
    (["--episodes", "0"], "episodes from 1 and a speed from 0.01 to 100"),
])  # fmt: skip
def test_what_it_refuses(words: list[str], message: str, play: Sitting) -> None:
    _, err = play("", *words, code=2)
    assert message in err
    assert err.count("\n") == 1


def test_a_run_of_a_world_has_no_opponent(play: Sitting, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--opponent", "random"], ["--record", "a.json"], ["--moves", "4"]):
        assert main(["play", "perceptron", *words]) == 2
        assert "--opponent, --record and --moves for a board game, got a run of the page" in capsys.readouterr().err


def test_a_run_that_fails_loses(play: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    def moves(*_: object) -> np.ndarray:
        raise RuntimeError("no more memory")

    monkeypatch.setattr(opponents.Searching, "moves", moves)
    out, _ = play("b2\n", "--json")
    found = json.loads(out)["games"][0]
    assert found["result"] == "1-0"
    assert found["end"] == "boards-1 forfeits: RuntimeError: no more memory"
    out, _ = play("", "--opponent", "random", "--json")
    assert json.loads(out)["games"][0]["result"] == "0-1"


def test_hex_leans(play: Sitting) -> None:
    own = game("hex5")
    table = board.Table(own, "a1 c3")
    lines = board.drawn(table).splitlines()
    assert [len(line) - len(line.lstrip()) for line in lines[:5]] == [0, 2, 4, 6, 8]
    assert "(O)" in lines[2]


# The studio's desk.


@pytest.fixture
def desk(trained: Path) -> Any:
    return SimpleNamespace(trained=lambda run: load(str(trained / run), page_name=FILE), memory={})


def test_the_studio_plays(desk: Any) -> None:
    first = acts.act(desk, {"do": "move", "run": "boards-1"}, b"").content
    assert first["thinks"] and first["solver"] and not first["passes"]
    fresh = first["items"][0]["value"]
    assert fresh["board"] == [[0] * 3] * 3
    wish = {**fresh, "wish": [1, 1, 1]}
    told = acts.act(desk, {"do": "move", "run": "boards-1", "board": wish, "simulations": 10}, b"").content
    names = [item["name"] for item in told["items"]]
    assert names == ["board", "considered", "line", "win"]
    now = told["items"][0]["value"]
    assert now["board"][1][1] == 1
    assert sum(map(sum, now["board"])) == 3
    assert now["turn"] == 1 and now["visits"] and now["policy"] and 0 <= now["win"] <= 1 and now["tree"]
    only = acts.act(desk, {"do": "move", "run": "boards-1", "board": now, "simulations": 10, "only": True}, b"").content
    assert only["items"][0]["value"]["board"] == now["board"]
    assert 0 < np.sum(only["items"][0]["value"]["visits"]) <= 10


def test_the_studio_asks_the_solver(desk: Any) -> None:
    fresh = acts.act(desk, {"do": "move", "run": "boards-1"}, b"").content["items"][0]["value"]
    told = acts.act(desk, {"do": "move", "run": "boards-1", "board": fresh, "solver": True}, b"").content
    assert told["worth"] == [[0] * 3] * 3, "all first moves draw"
    four = acts.act(desk, {"do": "move", "run": "boards-2"}, b"").content["items"][0]["value"]
    told = acts.act(desk, {"do": "move", "run": "boards-2", "board": four, "solver": True}, b"").content
    assert told["worth"][:5] == [[None] * 7] * 5, "where the stones would lie"
    assert told["worth"][5] == [-2, -1, 0, 1, 0, -1, -2]
    othello = acts.act(desk, {"do": "move", "run": "boards-3"}, b"").content
    assert not othello["solver"]
    ask = {"do": "move", "run": "boards-3", "board": othello["items"][0]["value"], "solver": True}
    with pytest.raises(UserError, match="solver: expected a game whose perfect play is known"):
        acts.act(desk, ask, b"")


def test_the_studio_judges_moves(desk: Any) -> None:
    four = acts.act(desk, {"do": "move", "run": "boards-2"}, b"").content["items"][0]["value"]
    told = acts.act(desk, {"do": "move", "run": "boards-2", "board": {**four, "wish": [1, 0, 3]}}, b"").content
    assert told["items"][0]["value"]["board"][5][3] == 1, "it falls"
    with pytest.raises(UserError, match="a move that the rules allow"):
        acts.act(desk, {"do": "move", "run": "boards-2", "board": {**four, "wish": [2, 5, 3]}}, b"")
    with pytest.raises(UserError, match=r"simulations from 1 to 10,000, got 0"):
        acts.act(desk, {"do": "move", "run": "boards-2", "board": four, "simulations": 0}, b"")
    with pytest.raises(UserError, match="a board of 3 x 3 for tic-tac-toe, got one of 6 x 7"):
        acts.act(desk, {"do": "move", "run": "boards-1", "board": four}, b"")
    loaded = acts.act(desk, {"do": "move", "run": "boards-1"}, b"(;GM[4]SZ[3]GN[x];B[bb];W[aa])").content
    assert loaded["items"][0]["value"]["board"] == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    with pytest.raises(UserError, match="a move that the rules allow"):
        acts.act(desk, {"do": "move", "run": "boards-1"}, b"(;GM[4]SZ[3]GN[x];B[bb];W[bb])")


def test_a_game_without_a_board_is_played_in_the_terminal(desk: Any, trained: Path) -> None:
    pytest.importorskip("pyspiel")
    one = load(str(trained / "boards-1"), page_name=FILE)
    facts = game("openspiel:breakthrough(rows=4,columns=4)").facts
    desk.trained = lambda run: one._replace(facts=facts)
    with pytest.raises(UserError, match="a game whose moves lay stones on a board, got Breakthrough"):
        acts.act(desk, {"do": "move", "run": "boards-1"}, b"")
