"""The engine against the protocol's own words; a whole game against GNU Go, which speaks it, too."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
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
from milestones.worlds.games import Game
from milestones.worlds.games.analysis import state_after

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
    ("boardsize", "? boardsize not an integer"), ("boardsize " + "9" * 5000, "? unacceptable size"),
    ("boardsize 19", "? unacceptable size"), ("boardsize 5", "="),
    ("komi", "? komi not a float in steps of 0.5"), ("komi x", "? komi not a float in steps of 0.5"),
    ("komi nan", "? komi not a float in steps of 0.5"), ("komi 6.25", "? komi not a float in steps of 0.5"),
    ("komi 1e999", "? komi not a float in steps of 0.5"), ("komi 6.5", "="), ("komi -3", "="),
    ("play b", "? invalid color or coordinate"),
    ("play red c3", "? invalid color or coordinate"), ("play b i3", "? invalid color or coordinate"),
    ("play b c6", "? invalid color or coordinate"), ("play WHITE C3", "="), ("play b pass", "="),
    ("genmove", "? invalid color"), ("genmove red", "? invalid color"), ("undo", "? cannot undo"),
    ("loadsgf", "? cannot load file"), ("loadsgf /nowhere/x.sgf", "? cannot load file"),
    ("time_settings 1 2", "? not three numbers"), ("time_settings nan 0 0", "? not three numbers"),
    ("time_settings -1 0 0", "? not three numbers"), ("time_settings 1 2 2.5", "? not three numbers"),
    ("time_settings 1 2 3", "="), ("time_left b inf 0", "? not a color and two numbers"),
    ("time_left red 1 0", "? invalid color"), ("final_status_list", "? invalid status"),
    ("final_status_list gone", "? invalid status"), ("final_status_list dead", "="), ("final_status_list alive", "="),
    ("set_free_handicap c3", "? bad vertex list"), ("set_free_handicap c3 C3", "? bad vertex list"),
    ("set_free_handicap c3 pass", "? bad vertex list"), ("set_free_handicap c3 z9", "? bad vertex list"),
    ("set_free_handicap c3 d4", "="), ("protocol-version", "? unknown command"), ("lz_analyze", "? unknown command"),
    ("time_left b", "? not a color and two numbers"),
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
    engine.rate = 50.0
    assert engine.affordable(0) == int(0.95 * 30 / 12 * 50)
    engine.answer("time_left", ["b", "6", "0"])
    assert engine.affordable(0) == int(0.95 * 6 / 12 * 50) and engine.affordable(1) == int(0.95 * 30 / 12 * 50)
    engine.answer("time_settings", ["0", "1", "0"])  # no limit
    assert engine.affordable(0) == 1000
    engine.answer("time_settings", ["0", "20", "10"])
    assert engine.affordable(0) == int(0.95 * 2 * 50)
    measured = Engine(trained, 1000)  # type: ignore[arg-type]
    measured.answer("time_settings", ["30", "0", "0"])
    assert 1 <= measured.affordable(0) <= 1000 and measured.rate > 0 and 0 < measured.left[0] < 30


def test_games_are_loaded(trained: Run, tmp_path: Path) -> None:
    path = tmp_path / "game.sgf"
    path.write_text("(;GM[1]FF[4]SZ[5];B[cc];W[dd];B[];W[ee])")
    said = talk(trained, f"loadsgf {path}\nshowboard\nundo\nloadsgf {path} 2\nshowboard\n")
    assert said[0] == "=" and " 1 . . . . O" in said[1] and said[3] == "="
    assert " 3 . . X . ." in said[4] and "O" not in said[4].replace("OO", "")
    path.write_text("(;GM[1]FF[4]SZ[5]KM[3.5];B[cc])")
    assert talk(trained, f"loadsgf {path}\nfinal_score\n")[1] == "= B+21.5", "the komi of the file"
    for text in ("(;GM[1]FF[4]SZ[9];B[cc])", "(;GM[1]SZ[5];B[cc];W[cc])", "(;GM[1]SZ[5]AB[cc][dd];W[bb])", "(;SZ[5]"):
        path.write_text(text)
        assert talk(trained, f"loadsgf {path}\n") == ["? cannot load file"]


@pytest.mark.parametrize("how", ["lz", "kata"])
def test_an_analysis_goes_on_until_the_next_command(trained: Run, how: str) -> None:
    said = talk(trained, f"1 {how}-analyze b interval 1\n2 name\n")
    assert said[0].startswith("=1") and said[1] == "=2 milestones alphazero"
    engine, told = Engine(trained, 8), list[str]()  # type: ignore[arg-type]
    engine.answer(f"{how}-analyze", ["w", "1"])
    engine.analyse(told.append, lambda: len(told) == 2)
    for line in told:
        first, *others = line.split("info move ")[1:]
        words = first.split()
        numbers = dict(zip(words[1::2], words[2::2], strict=False))
        assert int(numbers["visits"]) > 0 and numbers["order"] == "0" and words[words.index("pv") + 1] == words[0]
        assert ("scoreLead" in numbers) == (how == "kata")
        chance = float(numbers["winrate"])
        assert 0 <= chance <= (10_000 if how == "lz" else 1)
        assert [int(one.split("order ")[1].split()[0]) for one in others] == list(range(1, len(others) + 1))
    visits = [line.split("visits ", 1)[1].split()[0] for line in told]
    assert int(visits[1]) >= int(visits[0]), "it is one search that goes on"
    assert not engine.moves, "an analysis changes nothing, though black would have to pass"


def test_an_analysis_ends_soon_and_may_end_with_a_move(trained: Run) -> None:
    engine, told = Engine(trained, 20), list[str]()  # type: ignore[arg-type]
    engine.answer("kata-analyze", ["interval", "5", "ownership", "true"])
    begin = time.monotonic()
    engine.analyse(told.append, lambda: time.monotonic() > begin + 0.4)
    assert time.monotonic() < begin + 2 and len(told) >= 2
    owner = told[-1].split(" ownership ")[1].split()
    assert len(owner) == 25 and all(-1 <= float(value) <= 1 for value in owner)
    text = "1 play w c3\n2 kata-genmove_analyze b 1\n3 showboard\n4 lz-genmove_analyze w\n"
    said = talk(trained, text + 4 * "undo\n")
    first = said[1].splitlines()
    assert first[0] == "=2" and first[-1].startswith("play ")
    assert all(line.startswith("info move ") for line in first[1:-1])
    assert said[2].count("X") + ("play pass" in first) == 1, "the move was made"
    assert said[3].splitlines()[-1].startswith("play ")
    assert said[4:] == ["=", "=", "=", "? cannot undo"], "black's pass goes with the move that it made room for"
    ended = talk(trained, "play b pass\nplay w pass\nlz-genmove_analyze b\nlz-analyze b\nname\n")
    assert ended[2] == "=\nplay pass" and ended[3] == "="


def test_handicap_stones_are_blacks_and_white_is_to_move(trained: Run) -> None:
    said = talk(trained, "set_free_handicap B2 d4 B4\nfinal_status_list alive\nset_free_handicap a1 a2\ngenmove w\n"
                         "undo\nundo\nundo\n")  # fmt: skip
    assert said[:3] == ["=", "= B4 D4 B2", "? board not empty"] and said[3].startswith("= ")
    assert said[4:] == ["=", "=", "? cannot undo"]


def test_other_games_are_refused(trained: Run) -> None:
    from milestones.verbs.gtp import run

    with pytest.raises(UserError, match=r"expected a run that plays go, got alphazero-1 .* which plays hex"):
        run(trained._replace(facts={**trained.facts, "title": "hex"}), 8)  # type: ignore[arg-type]


def black_ahead(own: Game, line: Sequence[int]) -> float:
    """Points of Black's lead as the board stands after these moves."""
    area = own.area(state_after(own, line)[None])
    assert area is not None
    return float(area.score[0]) * (-1 if len(line) % 2 else 1)


def test_whole_games_against_gnu_go(trained: Run, gnugo: str) -> None:
    from milestones.worlds.games import game
    from milestones.worlds.games.arena import both, contest, openings, points_of
    from milestones.worlds.games.opponents import Searching, fixed, opponent
    from milestones.worlds.games.program import GnuGo

    own = game("go5")
    assert fixed("gnugo:10")
    gnu = opponent("gnugo:10", own)
    assert isinstance(gnu, GnuGo)
    try:
        mine = Searching("run", trained.model, trained.facts, 16)
        games = list(contest(own, (mine, gnu), both(openings(own, 2, 1, 0)), 0))
        assert len(games) == 4 and not any(one.forfeit for one in games)
        assert points_of(own, games) == [one.points for one in games]
        for one in games:  # by how much may differ: it passes where all is lost, and takes off what is dead
            assert np.sign(gnu.score(one.line)) == np.sign(black_ahead(own, one.line)), "both name the same winner"
        assert sum(one.points for one in games) <= 2, "GNU Go is better than any weights"
        states, first = own.begin(1), own.parse("c3")
        for move in first:
            states, _ = own.step(states, np.array([move]))
        seeds = np.array([5], np.uint64)
        assert gnu.moves(states, [first], seeds).tolist() == gnu.moves(states, [first], seeds).tolist()
        with pytest.raises(RuntimeError, match=r"GNU Go says .* illegal move.* to 'play b c3'"):
            gnu.told("clear_board", "play b c3", "play b c3", "play b d3")
        assert gnu.told("name") == "GNU Go", "no answer was left unread"
        gnu.process.kill()
        with pytest.raises(RuntimeError, match="GNU Go ended with -9"):
            gnu.told("name")
        assert gnu.told("name") == "GNU Go", "one game was lost"
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
