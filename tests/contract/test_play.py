"""The verb `play`: episodes watched, filmed, played by hand; and what it refuses."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from milestones.cli import main
from milestones.core.errors import UserError
from milestones.media import Video, screen
from milestones.media.screen import Keys, Screen, half_blocks, named
from milestones.verbs import play

TINY = {"world": "field", "height": 24, "width": 24, "together": 2, "steps": 6, "batch": 4, "rows": 20, "episodes": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs with one run of the driver."""
    from milestones.verbs.execute import Order, begin

    root = tmp_path_factory.mktemp("play") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milestones.core.plan.SECONDS", 0.0)
        begin("driver", TINY, Order(plan="contiguous/float32/1"), root)
    return root


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(runs: Path, *more: str) -> list[str]:
    return ["play", "driver-1", "--runs", str(runs), *more]


def test_it_plays_and_says_what_came_of_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(runs, "--episodes", "2")) == 0
    said = capsys.readouterr()
    assert said.out.startswith("run: return ") and "mean of 2" in said.out
    assert "driver of driver-1 in field, version 1; exploration off" in said.err
    assert said.err.count("episode ") == 2 and "steps, " in said.err
    assert "\x1b" not in said.err, "no pictures where there is no terminal"


def test_json_tells_each_episode(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for seed in ("0", "0", "1"):
        assert main(words(runs, "--episodes", "2", "--seed", seed, "--json")) == 0
        found.append(json.loads(capsys.readouterr().out))
    one = found[0]
    assert one["world"] == "field" and one["film"] is None
    assert [set(e) for e in one["episodes"]["run"]] == [{"value", "length", "end"}] * 2
    assert one["mean"]["run"] == pytest.approx(sum(e["value"] for e in one["episodes"]["run"]) / 2)
    assert one == found[1] != found[2], "a seed is a set of episodes"


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_is_kept(runs: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(runs, "--episodes", "1", "--film", f"a{suffix}", "--speed", "4", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    film = Video.open(f"a{suffix}")
    assert found["film"] == f"a{suffix}"
    assert len(film.frames) == found["episodes"]["run"][0]["length"] and film.frames.shape[1:] == (96, 192, 3)
    assert film.rate_hz == pytest.approx(20, rel=0.05)
    assert main(words(runs, "--gif", f"a{suffix}")) == 2
    assert "a film that does not exist yet" in capsys.readouterr().err
    assert main(words(runs, "--gif", f"a{suffix}", "--episodes", "1", "--overwrite")) == 0


def ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder / "ffmpeg"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(sys.platform == "win32", reason="a program that is a shell script")
def test_an_mp4_is_ffmpegs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Video(np.zeros((3, 5, 4), np.uint8), 10)
    ffmpeg(here, 'cat | wc -c | tr -d " \\n"; echo " $@"', monkeypatch)
    said = film.written(".mp4").decode()
    assert said.startswith("180 "), "3 frames of 5 x 4 in three colours"
    assert "-s 4x5" in said and "-r 10" in said and "rawvideo" in said
    ffmpeg(here, "cat >/dev/null; echo no such encoder >&2; exit 1", monkeypatch)
    with pytest.raises(UserError, match=r"an ffmpeg that can write \.mp4 files, got no such encoder"):
        film.written(".mp4")
    with pytest.raises(UserError, match=r"a film whose name ends in \.gif, \.webp, \.mp4, got '.avi'"):
        film.written(".avi")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"ffmpeg, which writes \.mp4 files, got no such program here\. Install ffmpeg"):
        film.written(".mp4")


@pytest.mark.parametrize(("more", "message"), [
    (["--episodes", "0"], "episodes from 1 and a speed from 0.01 to 100, got --episodes 0 --speed 1"),
    (["--speed", "nan"], "got --episodes 3 --speed nan"),
    (["--gif", "a.avi"], "a film whose name ends in .gif, .webp, .mp4, got 'a.avi'. For example out.gif"),
    (["--gif", "no/a.gif"], "a film in an existing folder, got no/a.gif. Make no first"),
    (["--human"], "a terminal to press keys in, got standard input that is none. Run it in a terminal of your own"),
])  # fmt: skip
def test_what_it_refuses(runs: Path, more: list[str], message: str, monkeypatch: pytest.MonkeyPatch,
                         capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    assert main(words(runs, *more)) == 2
    said = capsys.readouterr()
    assert message in said.err and said.out == ""


def test_an_mp4_without_ffmpeg_is_refused_before_it_plays(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(words(runs, "--film", "a.mp4")) == 2
    said = capsys.readouterr().err
    assert "ffmpeg, which writes .mp4 files, got no such program here" in said and "episode" not in said


def test_a_run_that_answers_is_no_player(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "lenet"]) == 2
    assert "a run that acts in a world, got the page lenet, which takes image" in capsys.readouterr().err


# By hand


def test_a_person_plays_the_same_episode(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Left, and then away: the second episode is not begun."""
    pressed = iter(["left"] * 400 + ["", "right", "q"])

    class Hands:
        def __enter__(self) -> Hands:
            return self

        def __exit__(self, *_: object) -> None: ...

        def pressed(self, seconds: float) -> str:
            assert seconds == pytest.approx(1 / 5)
            return next(pressed)

    monkeypatch.setattr(screen, "Keys", Hands)
    monkeypatch.setattr(screen.time, "sleep", lambda _: None)
    assert main(words(runs, "--human", "--episodes", "3")) == 0
    said = capsys.readouterr()
    assert "arrow keys; q ends" in said.err and "episode 1, human: return" in said.err
    assert "episode 1, run: return" in said.err and "stopped" in said.err and "\x1b[38;2;" in said.err
    assert said.out.splitlines()[0].startswith("human: return ") and "episode 3" not in said.err


def test_keys_of_worlds() -> None:
    atari = {"discrete": True, "actions": 5, "labels": ["NOOP", "FIRE", "UP", "RIGHT", "LEFT"]}
    keymap, said = play.keys_of(atari)
    assert [keymap[k] for k in ("", " ", "up", "right", "left", "0", "4")] == [0, 1, 2, 3, 4, 0, 4]
    assert "down" not in keymap and "space: fire" in said and "left: left" in said
    pole, _ = play.keys_of({"discrete": True, "actions": 2, "labels": ["push left", "push right"]})
    assert pole["left"] == 0 and pole["right"] == 1 and pole[""] is None
    plain, _ = play.keys_of({"discrete": True, "actions": 3})
    assert plain["2"] == 2 and plain[""] is None
    car, said = play.keys_of({"discrete": False, "actions": 3, "low": [-1, 0, 0], "high": [1, 1, 1]})
    assert car["left"] == [-1, 0, 0] and car["up"] == [0, 1, 0] and car[""] == [0, 0, 0]
    assert "of 3 actions only two have keys" in said
    wide, _ = play.keys_of({"discrete": False, "actions": 1, "low": [-float("inf")], "high": [float("inf")]})
    assert wide["right"] == [1e6]


def test_what_is_not_pressed_goes_on() -> None:
    pressed = iter(["right", "", "x", "left", "q"])
    keys: Any = SimpleNamespace(pressed=lambda _: next(pressed))
    pole = {"discrete": True, "actions": 2, "labels": ["left", "right"]}
    act = play.hand(keys, play.keys_of(pole)[0], pole, 0.1)
    found = [act() for _ in range(5)]
    assert found[4] is None and [int(a) for a in found[:4] if a is not None] == [1, 1, 1, 0]
    pressed = iter(["right", ""])
    car = {"discrete": False, "actions": 1, "low": [-1.0], "high": [1.0]}
    act = play.hand(keys, play.keys_of(car)[0], car, 0.1)
    assert [act().tolist(), act().tolist()] == [[[1.0]], [[0.0]]]  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_keys_are_read_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        before = termios.tcgetattr(theirs)
        with Keys() as keys:
            assert not termios.tcgetattr(theirs)[3] & termios.ICANON, "key by key"
            os.write(ours, b"\x1b[D")
            assert keys.pressed(0.1) == "left"
            assert keys.pressed(0.01) == ""
            os.write(ours, b"aQ")
            assert keys.pressed(0.1) == "q", "the last one"
        assert termios.tcgetattr(theirs)[3] == before[3]
    os.close(ours)
    assert [named(t) for t in ("\x1b[A", "\x1bOC", "\x1b", "", "W")] == ["up", "right", "", "", "w"]


# Pictures


def test_half_blocks_hold_two_rows_a_line() -> None:
    pixels = np.zeros((4, 2, 3), np.uint8)
    pixels[0, 0], pixels[1, 0] = (255, 0, 0), (0, 0, 255)
    lines = half_blocks(pixels, 2).split("\n")
    assert len(lines) == 2 and all(line.count("▀") == 2 and line.endswith("\x1b[0m") for line in lines)
    assert lines[0].startswith("\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[38;2;0;0;0;48;2;0;0;0m▀")
    assert lines[1].count("\x1b[38") == 1, "equal neighbours share their colours"
    assert half_blocks(np.full((8, 8), 7, np.uint8), 4).count("38;2;7;7;7;48;2;7;7;7") == 2


def test_a_screen_draws_over_itself_and_keeps_the_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(screen.time, "sleep", sleep)
    shown = Screen(10)
    for k in range(3):
        shown.show(np.zeros((10, 20), np.uint8), f"step {k}")
    now[0] += 5  # the world was slow: this frame is left out
    shown.show(np.zeros((10, 20), np.uint8), "late")
    shown.show(np.zeros((10, 20), np.uint8), "again")
    said = capsys.readouterr().err
    assert sum(slept[:3]) == pytest.approx(0.2) and "late" not in said and "again" in said
    height = said.split("step 0")[0].count("\n")
    assert said.count(f"\x1b[{height + 1}A\r") == 3


def test_a_long_film_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "MOST_BYTES", 500)
    reel = play.Reel()
    for k in range(100):
        reel.add(np.full((4, 5), k, np.uint8), float(k))
    film = reel.film(20)
    assert len(film.frames) * 20 <= 500 and reel.every == 4
    assert film.frames[:, 0, 0].tolist() == list(range(0, 100, 4)) == [int(v) for v in film.values["reward"]]
    assert film.rate_hz == 5 and film.seconds == pytest.approx(5)


def test_an_episode_ends_with_its_world() -> None:
    class Two:
        """Ends at the second step, or is cut there."""

        observation = torch.zeros(1, 1)
        steps = 0

        def __init__(self, cut: bool) -> None:
            self.cut = cut

        def step(self, action: torch.Tensor) -> Any:
            self.steps += 1
            over = torch.tensor([self.steps == 2])
            no = torch.zeros(1, dtype=torch.bool)
            ends = (no, over) if self.cut else (over, no)
            return SimpleNamespace(reward=torch.tensor([1.5]), ended=ends[0], cut=ends[1])

    act: Callable[[], torch.Tensor] = lambda: torch.zeros(1)  # noqa: E731
    assert play.episode(Two(False), act) == (3.0, 2, "ended")
    assert play.episode(Two(True), act) == (3.0, 2, "cut")
    assert play.episode(Two(True), lambda: None) == (0.0, 0, "stopped")
