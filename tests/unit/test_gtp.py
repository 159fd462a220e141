"""The engine against the protocol's own words; a whole game against GNU Go, which speaks it, too."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Place
from milestones.systems import alphazero
from milestones.verbs.gtp import Engine, serve

pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')
REQUIRED = ["protocol_version", "name", "version", "known_command", "list_commands", "quit", "boardsize",
            "clear_board", "komi", "play", "genmove"]  # fmt: skip


class Named(NamedTuple):
    name: str


class Run(NamedTuple):
    """As much of a trained run as the engine asks for."""

    model: Any
    facts: dict[str, Any]
    entry: Named = Named("alphazero")
    folder: Named = Named("alphazero-1")


@pytest.fixture(scope="module")
def trained() -> Run:
    knobs = changed(alphazero.PRESETS["go5"], {"blocks": 1, "channels": 8, "together": 2}, "alphazero")
    facts = alphazero.prepare(knobs, Place(torch.device("cpu"), 0)).facts
    torch.manual_seed(0)
    return Run(alphazero.build(knobs, facts).eval(), facts)


def talk(trained: Run, text: str, simulations: int = 8) -> list[str]:
    """The answers, one by one."""
    sink = io.StringIO()
    serve(Engine(trained, simulations), io.StringIO(text), sink)  # type: ignore[arg-type]
    said = sink.getvalue()
    assert said == "" or said.endswith("\n\n")
    return said.split("\n\n")[:-1]


def test_it_says_what_it_is(trained: Run) -> None:
    said = talk(
        trained, "protocol_version\n1 name\n2 version\n3 known_command genmove\nknown_command dance\n4 quit\nname\n"
    )
    assert said == ["= 2", "=1 milestones alphazero", f"=2 {said[2][3:]}", "=3 true", "= false", "=4"]
    commands = talk(trained, "list_commands\n")[0].removeprefix("= ").split("\n")
    assert set(REQUIRED) <= set(commands) and {"lz-analyze", "kata-analyze", "loadsgf"} <= set(commands)
    assert all(talk(trained, f"known_command {name}\n") == ["= true"] for name in commands)


def test_lines_are_read_as_the_protocol_has_it(trained: Run) -> None:
    text = "\n   \n# all of it\n7\tname # who\r\nKomi 7\n8 dance\n  9   play   B   c3  \n10\n"
    said = talk(trained, text)
    assert said[:4] == ["=7 milestones alphazero", "? unknown command", "?8 unknown command", "=9"]
    assert len(said) == 4, "lines without a command have no answer"


@pytest.mark.parametrize(("line", "said"), [
    ("boardsize", "? boardsize not an integer"), ("boardsize 19", "? unacceptable size"), ("boardsize 5", "="),
    ("komi", "? komi not a float in steps of 0.5"), ("komi x", "? komi not a float in steps of 0.5"),
    ("komi 6.5", "="), ("komi -3", "="), ("play b", "? invalid color or coordinate"),
    ("play red c3", "? invalid color or coordinate"), ("play b i3", "? invalid color or coordinate"),
    ("play b c6", "? invalid color or coordinate"), ("play WHITE C3", "="), ("play b pass", "="),
    ("genmove", "? invalid color"), ("genmove red", "? invalid color"), ("undo", "? cannot undo"),
    ("loadsgf", "? cannot load file"), ("loadsgf /nowhere/x.sgf", "? cannot load file"),
    ("time_settings 1 2", "? not three numbers"), ("time_left b", "? not a color and two numbers"),
    ("_lay b c3", "? unknown command"), ("__init__", "? unknown command"), ("lay", "? unknown command"),
])  # fmt: skip
def test_each_line_has_its_answer(trained: Run, line: str, said: str) -> None:
    assert talk(trained, line + "\n") == [said]


def test_a_position_is_built_taken_back_and_counted(trained: Run) -> None:
    said = talk(trained, "play b c3\nplay w c3\nshowboard\nplay b d3\nfinal_score\nundo\nundo\nundo\nfinal_score\n"
                         "komi 0\nfinal_score\n")  # fmt: skip
    assert said[1] == "? illegal move"
    assert said[2].splitlines() == ["=", "   A B C D E", " 5 . . . . .", " 4 . . . . .", " 3 . . X . .", " 2 . . . . .",
                                    " 1 . . . . .", "   A B C D E"]  # fmt: skip
    assert said[4] == "= B+17.5", "25 points less komi"
    assert said[5:8] == ["=", "=", "? cannot undo"] and said[8] == "= W+7.5" and said[10] == "= 0"


def test_a_colour_may_move_twice(trained: Run) -> None:
    said = talk(trained, "play b c3\nplay b c2\ngenmove b\ngenmove w\nplay b pass\nplay w pass\nplay b a1\ngenmove b\n")
    assert said[:2] == ["=", "="] and all(one.startswith("= ") for one in said[2:4])
    assert said[4:] == ["=", "=", "? illegal move", "= pass"], "the game is over"


def test_moves_are_legal_and_equal_for_equal_games(trained: Run) -> None:
    text = "".join(f"genmove {'bw'[k % 2]}\n" for k in range(20)) + "showboard\n"
    assert talk(trained, text) == talk(trained, text)
    assert all(one.startswith("= ") for one in talk(trained, text)[:20])
    said = talk(trained, "reg_genmove b\nundo\n")
    assert said[0].startswith("= ") and said[1] == "? cannot undo"


def test_it_keeps_to_its_time(trained: Run) -> None:
    engine = Engine(trained, 1000)  # type: ignore[arg-type]
    assert engine.affordable(0) == 1000
    engine.answer("time_settings", ["30", "0", "0"])
    assert engine.affordable(0) == 1000, "not known yet how fast it is"
    engine.rate = 50.0
    assert engine.affordable(0) == int(0.95 * 30 / 12 * 50)
    engine.answer("time_left", ["b", "6", "0"])
    assert engine.affordable(0) == int(0.95 * 6 / 12 * 50) and engine.affordable(1) == int(0.95 * 30 / 12 * 50)
    engine.answer("time_settings", ["0", "1", "0"])  # no limit
    assert engine.affordable(0) == 1000
    engine.answer("time_settings", ["0", "20", "10"])
    assert engine.affordable(0) == int(0.95 * 2 * 50)


def test_games_are_loaded(trained: Run, tmp_path: Path) -> None:
    path = tmp_path / "game.sgf"
    path.write_text("(;GM[1]FF[4]SZ[5];B[cc];W[dd];B[];W[ee])")
    said = talk(trained, f"loadsgf {path}\nshowboard\nundo\nloadsgf {path} 2\nshowboard\n")
    assert said[0] == "= black" and " 1 . . . . O" in said[1] and said[3] == "= white"
    assert " 3 . . X . ." in said[4] and "O" not in said[4].replace("OO", "")
    path.write_text("(;GM[1]FF[4]SZ[9];B[cc])")
    assert talk(trained, f"loadsgf {path}\n") == ["? cannot load file"]


@pytest.mark.parametrize("how", ["lz", "kata"])
def test_an_analysis_goes_on_until_the_next_command(trained: Run, how: str) -> None:
    said = talk(trained, f"1 {how}-analyze b interval 1\n2 name\n")
    assert said[0].startswith("=1") and said[1] == "=2 milestones alphazero"
    engine, told = Engine(trained, 8), list[str]()  # type: ignore[arg-type]
    engine.answer(f"{how}-analyze", ["w", "1"])
    assert len(engine.moves) == 1, "black passes where white is asked for"
    engine.analyse(told.append, lambda: len(told) == 2)
    for line in told:
        first, *others = line.split("info move ")[1:]
        words = first.split()
        numbers = dict(zip(words[1::2], words[2::2], strict=False))
        assert int(numbers["visits"]) > 0 and numbers["order"] == "0" and words[words.index("pv") + 1] == words[0]
        chance = float(numbers["winrate"])
        assert 0 <= chance <= (10_000 if how == "lz" else 1)
        assert [int(one.split("order ")[1].split()[0]) for one in others] == list(range(1, len(others) + 1))


def test_other_games_are_refused(trained: Run) -> None:
    from milestones.verbs.gtp import run

    with pytest.raises(UserError, match=r"expected a run that plays go, got alphazero-1 .* which plays hex"):
        run(trained._replace(facts={**trained.facts, "title": "hex"}), 8)  # type: ignore[arg-type]


def test_whole_games_against_gnu_go(trained: Run, gnugo: str) -> None:
    from milestones.worlds.games import game
    from milestones.worlds.games.arena import both, contest, openings, points_of
    from milestones.worlds.games.opponents import Searching, fixed, opponent

    own = game("go5")
    assert fixed("gnugo:10")
    gnu = opponent("gnugo:1", own)
    try:
        mine = Searching("run", trained.model, trained.facts, 16)
        games = list(contest(own, (mine, gnu), both(openings(own, 2, 1, 0)), 0))
        assert len(games) == 4 and not any(one.forfeit for one in games)
        assert points_of(own, games) == [one.points for one in games]
        assert sum(one.points for one in games) <= 2, "GNU Go is better than any weights"
        states, first = own.begin(1), own.parse("c3")
        for move in first:
            states, _ = own.step(states, np.array([move]))
        seeds = np.array([5], np.uint64)
        assert gnu.moves(states, [first], seeds).tolist() == gnu.moves(states, [first], seeds).tolist()
    finally:
        gnu.close()
        gnu.close()


def test_gnu_go_is_asked_for_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    from milestones.worlds.games import game
    from milestones.worlds.games.opponents import opponent

    with pytest.raises(UserError, match="gnugo: expected a game of go, which GNU Go plays, got connect four"):
        opponent("gnugo:10", game("connect_four"))
    for wrong in ("gnugo:11", "gnugo:x", "gnugo"):
        with pytest.raises(UserError, match="gnugo: expected a level from 0 to 10"):
            opponent(wrong, game("go5"))
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(UserError, match=r"expected GNU Go, got no program called gnugo. Install it: sudo apt-get"):
        opponent("gnugo:10", game("go5"))
