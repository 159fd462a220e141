"""Killed at random moments, with a clock that jumps, again and again in one process: short forms of the long campaigns
in benchmarks/killed.py and benchmarks/soak.py, and what the clock may not change."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import children
from contract.conftest import page_of
from contract.test_resume import log, resume, same, weights

from milestones.core.errors import UserError
from milestones.core.folder import held
from milestones.verbs.execute import Order, begin, go_on

Fork = Callable[..., Any]
JUMPS = (0.0, 86_400.0, -86_400.0, 3e9, -1.7e9)  # seconds: a day, and to either end of the age of clocks


@pytest.mark.parametrize("name", ["lenet", "charrnn", "dqn", "alphazero", "gan"])
def test_killed_at_random_moments(name: str, tmp_path: Path, place: Path, fork: Fork) -> None:
    """SIGKILL anywhere between the first file and the last: the bits are those of a run that nobody disturbed."""
    page = page_of(name, place)
    words = {"every": 2}
    began = time.monotonic()
    child = fork(children.train, str(tmp_path / "whole"), name, page.settings, page.order(), **words)
    whole = tmp_path / "whole" / f"{name}-1"
    while not (whole / "config.json").exists() and child.is_alive():
        time.sleep(0.002)
    first = time.monotonic() - began
    child.join(120)
    last = time.monotonic() - began
    assert child.exitcode == 0
    chance, kills = random.Random(name), 0
    for number in range(12):
        root = tmp_path / str(number)
        child = fork(children.train, str(root), name, page.settings, page.order(), **words)
        time.sleep(chance.uniform(first, last))
        child.kill()
        child.join()
        folder = root / f"{name}-1"
        if child.exitcode != -9 or not (folder / "config.json").exists():
            continue  # too late, or too early for a run to be there
        resume(folder, page)
        same(folder, whole)
        kills += 1
        if kills == 2:
            break
    assert kills, "none of twelve moments fell into the run"


def test_a_clock_that_jumps_changes_no_bit(
    tmp_path: Path, place: Path, trained_lenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, real, calls = page_of("lenet", place), time.time, 0

    def jumping() -> float:
        nonlocal calls
        calls += 1
        return max(0.0, real() + JUMPS[calls % len(JUMPS)])

    monkeypatch.setattr(time, "time", jumping)
    outcome = begin(page.name, page.settings, Order(**page.order()), tmp_path / "runs")
    assert calls > 2, "the clock was asked, and told nonsense"
    assert weights(outcome.folder) == weights(trained_lenet)
    assert log(outcome.folder) == log(trained_lenet)
    seconds = [json.loads(line)["seconds"] for line in (outcome.folder / "log.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds) and 0 <= seconds[-1] < 120, "seconds are those of a clock that only goes forward"
    assert 0 <= outcome.report["seconds"] < 120


def test_minutes_are_counted_by_a_clock_that_only_goes_forward(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, real, jump = page_of("lenet", place), time.time, [0.0]

    def later() -> float:
        jump[0] += 3600.0  # an hour at each look
        return real() + jump[0]

    monkeypatch.setattr(time, "time", later)
    outcome = begin(page.name, page.settings, Order(**page.order(minutes=10.0)), tmp_path / "runs")
    assert outcome.ended == "" and outcome.report["steps"] == page.settings["steps"], "ten minutes were not over"


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_lock_has_an_owner_and_an_age_even_where_the_clock_was_set_back(tmp_path: Path, hours: int) -> None:
    with held(tmp_path):
        when = time.time() + 3600 * hours
        os.utime(tmp_path / "lock", (when, when))
        minutes = 60 * max(0, -hours)
        with (
            pytest.raises(UserError, match=rf"held by process {os.getpid()} on .+ for {minutes} min\. Wait"),
            held(tmp_path),
        ):
            pass


def test_a_run_whose_last_word_comes_from_the_future_is_not_alive_for_that(tmp_path: Path) -> None:
    from milestones.studio.library import alive

    (tmp_path / "lock").write_text("process 999999999 on this")  # no process has such a number
    assert not alive(tmp_path, time.time() + 10_000) and not alive(tmp_path, time.time() - 10_000)
    assert alive(tmp_path, time.time() - 1) and alive(tmp_path, time.time() + 1)


def handles() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(sys.platform != "linux", reason="handles are counted in /proc")
def test_again_and_again_opens_nothing_that_stays_open(tmp_path: Path, place: Path) -> None:
    page = page_of("lenet", place)
    counts = []
    for turn in range(6):
        outcome = begin(page.name, page.settings, Order(**page.order(minutes=1e-6)), tmp_path / "runs")
        go_on(outcome.folder, "", None, lambda _: None)
        with pytest.raises(UserError):
            begin(page.name, page.settings, Order(**page.order(data="/no/such/file.npz")), tmp_path / "runs")
        counts += [handles()] if turn >= 2 else []
    assert counts[0] == counts[-1], counts


def test_a_log_grows_by_windows_and_not_by_updates(tmp_path: Path, place: Path) -> None:
    """At most 500 lines for any number of updates, a window of 100 updates apart."""
    page = page_of("lenet", place)
    settings = {**page.settings, "steps": 1500, "batch": 2}
    outcome = begin(page.name, settings, Order(**page.order()), tmp_path / "runs")
    lines = (outcome.folder / "log.jsonl").read_text().splitlines()
    means = [line for line in lines if '"vitals"' not in line]
    assert 500 <= len(means) <= 502, "three updates a line"
    assert max(map(len, means)) < 400
