"""Go by the command line: a run is trained on it, speaks GTP, meets GNU Go, and reads games."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.cli import main
from milestones.verbs.execute import Order, begin
from milestones.worlds.games import game
from milestones.worlds.games.records import read_records

PLAN = {"plan": "contiguous/float32/1"}
TINY = {"game": "go5", "blocks": 1, "channels": 8, "steps": 4, "together": 8, "abreast": 4, "start": 40, "blind": 4,
        "simulations": 4, "few": 4, "considered": 4, "batch": 16, "looks": 1, "examined": 1, "pairs": 1,
        "searched": 2, "first": 100, "most": 4}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: alphazero-1 plays go, alphazero-2 tic-tac-toe."""
    root = tmp_path_factory.mktemp("go") / "runs"
    begin("alphazero", TINY, Order(**PLAN), root)
    begin("alphazero", {**TINY, "game": "tictactoe", "most": 3}, Order(**PLAN), root)
    return root


@pytest.fixture
def runs(trained: Path, home: Path) -> Path:
    shutil.copytree(trained, home / "runs")
    return home / "runs"


def test_the_run_learned_whose_each_point_is(runs: Path) -> None:
    lines = [json.loads(line) for line in (runs / "alphazero-1" / "log.jsonl").read_text().splitlines()]
    assert [line["owned"] for line in lines if "owned" in line]
    lines = [json.loads(line) for line in (runs / "alphazero-2" / "log.jsonl").read_text().splitlines()]
    assert not [line for line in lines if "owned" in line], "nobody counts points there"


def test_a_program_talks_to_it_through_pipes(runs: Path) -> None:
    words = [sys.executable, "-m", "milestones", "play", "alphazero-1", "--gtp", "--simulations", "4"]
    text = "1 name\n2 boardsize 5\nplay b c3\n3 genmove w\nfinal_score\n4 quit\n"
    done = subprocess.run(words, input=text.encode() + b"name\n", capture_output=True, timeout=120, check=True)
    said = done.stdout.decode().split("\n\n")
    assert said[0] == "=1 milestones alphazero" and said[1] == "=2" and said[3].startswith("=3 ")
    assert said[5] == "=4" and said[6] == "", "nothing else is on standard output"


def test_bytes_that_are_no_letters_are_an_unknown_command(runs: Path) -> None:
    words = [sys.executable, "-m", "milestones", "play", "alphazero-1", "--gtp"]
    done = subprocess.run(words, input=b"\xff\xfe\n7 name\n", capture_output=True, timeout=120, check=True)
    assert done.stdout == b"? unknown command\n\n=7 milestones alphazero\n\n"


def test_other_runs_do_not_speak_gtp(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "alphazero-2", "--gtp"]) == 2
    assert "expected a run that plays go, got alphazero-2" in capsys.readouterr().err


def test_games_are_read_and_told(runs: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "game.sgf").write_text("(;GM[1]FF[4]SZ[5]KM[6.5];B[cc];W[dd];B[dc](;W[bb])(;W[aa]))")
    assert main(["use", "alphazero-1", "game.sgf", "--simulations", "4", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    said = answer.get("says", answer)
    assert {"board", "owner", "ahead", "win", "along_the_game"} <= set(said)
    assert [move[1:] for move in said["board"]["moves"]] == [[2, 2], [3, 3], [2, 3], [1, 1]], "no move is added"
    assert said["board"]["turn"] == 1 and np.array(said["board"]["visits"]).sum() > 0
    assert np.allclose(said["board"]["owner"], said["owner"]["values"], atol=1e-3)
    (chances,) = said["along_the_game"]["lines"].values()
    assert len(chances) == 5 and all(0 <= chance <= 100 for chance in chances)
    assert said["aside"] == "1 variation passed over; komi 6.5 there, the net learned with 7.5"
    for text, what in (
        ("(;GM[1]SZ[9];B[cc])", "expected a board of 5 x 5 for go, got one of 9 x 9 in bad.sgf"),
        ("(;GM[1]SZ[5]AB[cc];W[dd])", "got stones that were laid by hand, as handicap is in bad.sgf"),
        ("(;GM[1]SZ[5];B[cc];W[cc])", "expected a move that the rules allow, got C3 as move 2 in bad.sgf"),
        ("(;CA[UTF-8]SZ[5];B[cc]C[\xff])", "expected a text in utf-8, as the file says, got byte 25 of bad.sgf"),
    ):
        (home / "bad.sgf").write_text(text, encoding="latin-1")
        assert main(["use", "alphazero-1", "bad.sgf"]) == 2
        assert what in capsys.readouterr().err


def test_it_meets_gnu_go(runs: Path, gnugo: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["match", "alphazero-1", "gnugo:10", "--games", "2", "--simulations", "4", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["games"] == 2 and {one["player"] for one in found["players"]} == {"alphazero-1", "gnugo:10"}
    rows = [json.loads(line) for line in (Path(found["match"]) / "games.jsonl").read_text().splitlines()]
    assert not any(row.get("forfeit") for row in rows) and len(rows) == 2
    kept = read_records(Path(found["match"]), game("go5")).games
    assert [one.moves for one in kept] == [tuple(row["line"]) for row in rows] and {one.komi for one in kept} == {7.5}
    for one, row in zip(kept, rows, strict=True):
        assert one.players == (row["began"], row["other"]) and one.winner == {"1-0": 1, "0-1": -1}[row["result"]]
        assert one.result[:2] in ("B+", "W+") and float(one.result[2:]) > 0
    assert main(["match", "alphazero-2", "gnugo:10", "--games", "2"]) == 2
    assert "gnugo: expected a game of go, which GNU Go plays, got tic-tac-toe" in capsys.readouterr().err


def test_a_record_can_be_read_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A game that the engine played is loaded from the SGF that a board writes."""
    from milestones.catalog import load
    from milestones.verbs.gtp import Engine, serve

    run, sink = load("alphazero-1", str(runs)), io.StringIO()
    engine = Engine(run, 2)
    serve(engine, io.StringIO("play b c3\ngenmove w\nplay b b2\n"), sink)
    Path("one.sgf").write_text(engine.game.board(engine.state()[0], engine.moves).sgf())
    again = Engine(run, 2)
    assert again.answer("loadsgf", ["one.sgf"]) == "" and again.moves == engine.moves
