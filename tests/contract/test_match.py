"""Matches of runs and fixed opponents: the ladder, its record, going on where it was stopped; and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')

from milestones.cli import main
from milestones.media import Board
from milestones.verbs.execute import Order, begin
from milestones.worlds.games import arena, game, opponents

FILE = str(Path(__file__).parent / "pages" / "boards.py")
PLAN = {"plan": "contiguous/float32/1"}
FOUR = {"game": "connect_four", "steps": 20, "positions": 200}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: boards-1 and boards-2 play connect four, boards-3 tic-tac-toe; mlp-1 nothing."""
    root = tmp_path_factory.mktemp("match") / "runs"
    begin(FILE, FOUR, Order(**PLAN), root)
    begin(FILE, {**FOUR, "steps": 40}, Order(seed=1, **PLAN), root)
    begin(FILE, {"steps": 10}, Order(**PLAN), root)
    return root


@pytest.fixture
def runs(trained: Path, home: Path) -> Path:
    shutil.copytree(trained, home / "runs")
    return home / "runs"


Told = Callable[..., dict[str, Any]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """told("greedy", "random", ...): the match's JSON."""

    def ask(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["match", *words, "--page", FILE, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


def rows(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "games.jsonl").read_text().splitlines()]


def test_a_ladder_has_every_pairing_with_both_colours(runs: Path, told: Told) -> None:
    found = told("boards-1", "boards-2", "greedy", "random", "--games", "6", "--simulations", "8")
    assert found["games"] == 36
    assert found["anchor"] == "boards-1"
    assert [one["elo"] for one in found["players"] if one["player"] == "boards-1"] == [0]
    assert {one["player"] for one in found["players"]} == {"boards-1", "boards-2", "greedy", "random"}
    assert sum(one["points"] for one in found["players"]) == 36
    for one in found["players"]:
        assert one["games"] == 18 == one["won"] + one["drawn"] + one["lost"]
        assert one["points"] == one["won"] + one["drawn"] / 2
    assert len(found["pairings"]) == 6
    for one in found["pairings"]:
        assert one["games"] == 6
        assert 1 <= one["distinct"] <= 6
    played = rows(found["match"])
    assert len(played) == 36
    for k in range(3):
        both = [one for one in played if one["pair"] == [0, 2] and one["opening"] == k]
        assert [one["began"] for one in both] == ["boards-1", "greedy"]
        assert both[0]["line"][:4] == both[1]["line"][:4], "from the same opening"
    assert Path(found["match"]).parent == Path("runs/matches")
    kept = json.loads((Path(found["match"]) / "match.json").read_text())
    assert kept["format"] == 1
    assert kept["pairings"] == found["pairings"]


def test_every_game_can_be_played_again(runs: Path, told: Told) -> None:
    found = told("boards-1", "rollouts:20", "--games", "4", "--simulations", "8")
    own = game("connect_four")
    for one in rows(found["match"]):
        assert own.parse(one["moves"]) == one["line"]
        one_game = arena.Played(one["opening"], one["first"], tuple(one["line"]), one["points"])
        assert arena.points_of(own, [one_game]) == [one["points"]]
        first = one["points"] if one["first"] == 0 else 1 - one["points"]
        assert one["result"] == {1: "1-0", 0.5: "1/2", 0: "0-1"}[first]
    texts = (Path(found["match"]) / "games.sgf").read_text().strip().split("\n")
    assert len(texts) == 4
    board = Board.decoded(texts[0].encode(), "games.sgf")
    assert [move.column for move in board.moves] == rows(found["match"])[0]["line"]
    assert board.note.startswith("boards-1 (yellow) - rollouts:20 (red): ")


def test_the_same_command_plays_nothing_again(runs: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("greedy", "random", "perfect", "--game", "tictactoe", "--seed", "5")
    whole = told(*words, "--games", "8")
    before = rows(whole["match"])
    shutil.move(whole["match"], "elsewhere")
    real, count = arena.contest, [0]

    def stops(*given: Any) -> Iterator[arena.Played]:
        for one in real(*given):
            if count[0] == 11:
                raise KeyboardInterrupt
            count[0] += 1
            yield one

    with monkeypatch.context() as patch:
        patch.setattr(arena, "contest", stops)
        assert main(["match", *words, "--games", "8"]) == 130
    assert len(rows(whole["match"])) == 11
    played: list[int] = []

    def counts(own: Any, players: Any, lines: Any, seed: int) -> Iterator[arena.Played]:
        played.append(len(lines))
        return real(own, players, lines, seed)

    monkeypatch.setattr(arena, "contest", counts)
    assert told(*words, "--games", "8") == whole
    assert sum(played) == 24 - 11
    assert rows(whole["match"]) == before
    played.clear()
    assert told(*words, "--games", "8") == whole
    assert played == []
    more = told(*words, "--games", "10")
    assert played == [2, 2, 2], "only those that are new"
    assert more["match"] == whole["match"]
    assert told(*words, "--games", "8") == whole
    assert len(rows(whole["match"])) == 30, "what was played is kept"
    assert told(*words[:-1], "6", "--games", "8")["match"] != whole["match"]


def test_who_won_all_is_told_so(runs: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rollouts:200", "random", "--games", "20", "--game", "connect_four"]
    found = told(*words)
    first, last = found["players"]
    assert (first["player"], first["elo"]) == ("rollouts:200", 0)
    if last["points"] == 0:
        assert last["elo"] is None
        assert last["low"] is None
        assert last["high"] < -100
    assert main(["match", *words]) == 0
    said = capsys.readouterr().out
    assert "connect four, 6 x 7; 20 games, " in said
    assert "rollouts:200 has Elo 0" in said
    assert ("without a lower end" in said) == (last["points"] == 0)
    assert main(["match", *words, "--anchor", "random"]) == 0
    assert "random has Elo 0" in capsys.readouterr().out


def test_equal_games_are_counted_once(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["match", "boards-1", "boards-1@9", "--games", "8", "--simulations", "8", "--openings", "0", "--page", FILE]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "boards-1@9" in said
    assert "boards-1 - boards-1@9: only " in said
    assert "more random moves in the openings (--openings) make more of them" in said


def test_a_player_that_fails_forfeits_and_the_match_goes_on(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def moves(self: Any, states: np.ndarray, lines: Any, seeds: np.ndarray) -> np.ndarray:
        raise RuntimeError("the net is gone")

    monkeypatch.setattr(opponents.Searching, "moves", moves)
    words = ["match", "boards-1", "random", "greedy", "--games", "4", "--page", FILE]
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "boards-1 - random: 4 games forfeited; the first for RuntimeError: the net is gone" in said.err
    by = {one["player"]: one for one in found["players"]}
    assert by["boards-1"]["points"] == 0
    assert by["greedy"]["games"] == 8
    assert [one["forfeits"] for one in found["pairings"]] == [4, 4, 0]
    assert all(one["forfeit"] == "RuntimeError: the net is gone" for one in rows(found["match"])[:8])
    assert main(words) == 0
    assert "boards-1 - random: 4 games were forfeited" in capsys.readouterr().out


def test_a_damaged_record_is_told(runs: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("greedy", "random", "--games", "4", "--game", "tictactoe")
    file = Path(told(*words)["match"]) / "games.jsonl"
    good = file.read_text()
    first = json.loads(good.splitlines()[0])
    turned = json.dumps({**first, "points": 0.0 if first["points"] else 1.0})
    for text in (
        good[:-20], good + good.splitlines()[0] + "\n", "[]\n", "\xff\n", turned + "\n",
        json.dumps({**first, "line": [*first["line"][:2], first["line"][0]]}) + "\n",
        json.dumps({**first, "line": [99]}) + "\n", json.dumps({**first, "pair": [0, 7]}) + "\n",
    ):  # fmt: skip
        file.write_text(text, encoding="latin-1")
        capsys.readouterr()
        assert main(["match", *words]) == 2, text
        said = capsys.readouterr().err
        assert "a readable games.jsonl in runs/matches/tictactoe-" in said
        assert "which is none of its games" in said
        assert said.count("\n") == 1
    file.write_text(good)
    assert main(["match", *words]) == 0


@pytest.mark.parametrize(("words", "message"), [
    (["boards-1"], "2 to 32 players and an even number of games, from 2 to 100,000, got 1 and --games 100"),
    (["boards-1", "random", "--games", "7"], "an even number of games, from 2 to 100,000, got 2 and --games 7"),
    (["boards-1", "boards-3"], "runs of one game and size, got connect four, 6 x 7 (boards-1) and tic-tac-toe, 3 x 3 "
                               "(boards-3). Let runs of the same game meet"),
    (["boards-1", "greedi"], "a run (a folder, a name as lenet-3, or a page), got 'greedi'"),
    (["boards-1", "rollouts:many"], "random games a move from 1 to 1,000,000, got 'rollouts:many'"),
    (["boards-1", "boards-1"], "players that differ, got boards-1 twice. Name each once; RUN@400 is RUN with 400"),
    (["random", "greedy"], "a run, or --game NAME for fixed opponents alone, got random greedy"),
    (["random", "greedy", "--game", "conect_four"], "a game that is known, got no 'conect_four'. Did you mean"),
    (["boards-1", "greedy", "--game", "hex5"], "--game connect_four, which the runs play, got --game hex5"),
    (["random", "perfect", "--game", "othello6"], "a game whose perfect play is known"),
    (["boards-1", "random", "--openings", "40"], "openings of 0 to 21 moves, got --openings 40"),
    (["boards-1", "random", "--anchor", "boards-9"], "one of the players: boards-1, random, got --anchor boards-9"),
    (["boards-1", "random", "--simulations", "0"], "simulations a move from 1 to 1,000,000, got 0"),
    (["boards-1@99999999", "random"], "simulations a move from 1 to 1,000,000, got 99,999,999"),
    (["perceptron", "random"], "a run that plays a board game, got perceptron of the page perceptron, which plays"),
    (["boards-1", "random", "--games"], "the words that --help lists"),
])  # fmt: skip
def test_what_cannot_meet_is_refused(
    words: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", *words, "--page", FILE]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (runs / "matches").exists(), "nothing is left of what did not begin"


def test_a_net_of_another_size_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import hashlib

    folder = runs / "boards-3"
    facts = json.loads((folder / "facts.json").read_text())
    (folder / "facts.json").write_text(json.dumps({**facts, "rows": 4}))
    status = json.loads((folder / "status.json").read_text())
    status["facts_sha256"] = hashlib.sha256((folder / "facts.json").read_bytes()).hexdigest()
    (folder / "status.json").write_text(json.dumps(status))
    assert main(["match", "boards-3", "random", "--page", FILE]) == 2
    said = capsys.readouterr().err
    assert "a net for tic-tac-toe, rows 3, got one that was trained for rows 4. Train again" in said


def test_hostile_names_stay_in_the_folder(runs: Path, told: Told) -> None:
    found = told("greedy", "random", "--games", "2", "--game", "openspiel:tic_tac_toe()")
    assert Path(found["match"]).parent == Path("runs/matches")
    assert Path(found["match"]).name.startswith("openspiel-tic_tac_toe--")


def test_what_is_missing_is_named(home: Path) -> None:
    """Without numba, which the games need."""
    code = "import sys; sys.modules['numba'] = None; from milestones.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["match", "random", "greedy", "--game", "tictactoe"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "numba, which compiles the rules of games" in done.stderr
    assert "Traceback" not in done.stderr
