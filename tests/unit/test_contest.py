"""Groups of runs against each other: learning curves over steps of the world, and robust figures over games."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from milestones.core.interval import spread
from milestones.report.compared import html_of
from milestones.verbs.contest import curve, lines, together
from milestones.verbs.groups import differing
from milestones.verbs.tables import group_lines


def run(name: str, world: str, returns: float, normalised: float | None = None, lr: float = 0.1,
        steps: int = 100, played: int | None = 1000) -> dict[str, Any]:  # fmt: skip
    score = {"unit": "points", "low": 0, "high": 0, "data": world, "over": 5}
    scores = {"return": {"value": returns, **score}}
    if normalised is not None:
        scores["normalised"] = {"value": normalised, **score}
    config = {"system": "pqn", "config": {"world": world, "lr": lr}, "choice": {}}
    found = {"run": name, "scores": scores, "steps": steps, "seconds": 1.0, "config": config}
    return found if played is None else {**found, "world": {"world": world, "steps": played}}


def logged(values: dict[int, float], name: str = "return") -> list[dict[str, Any]]:
    return [{"stage": "train", "step": step, name: value} for step, value in values.items()]


def test_a_curve_is_the_mean_over_what_all_seeds_have() -> None:
    group = [run(f"a-{k}", "pong", 1.0) for k in range(3)]
    logs = [logged({10: 0.0, 100: 9.0}), logged({20: 1.0, 100: 9.0}), logged({10: 0.0, 60: 5.0, 90: 8.0})]
    found = curve(group, logs, "return")
    assert found is not None and found["unit"] == "steps of the world" and found["seeds"] == 3
    assert found["x"][0] == 200 and found["x"][-1] == 900, "ten steps of the world an update"
    each = [float(np.interp(20, list(map(float, d)), list(d.values())))
            for d in ({10: 0.0, 100: 9.0}, {20: 1.0, 100: 9.0}, {10: 0.0, 60: 5.0, 90: 8.0})]  # fmt: skip
    want = spread(each)
    assert (found["mean"][0], found["low"][0], found["high"][0]) == \
        pytest.approx((want["mean"], want["low"], want["high"]))  # fmt: skip


def test_a_curve_is_over_updates_where_no_world_is_told() -> None:
    found = curve([run("a", "x", 1.0, played=None)], [logged({1: 3.0, 5: 1.0}, "loss")], "loss")
    assert found is not None and found["unit"] == "updates" and found["x"][-1] == 5
    assert found["low"] == found["mean"] == found["high"], "one seed has no interval"


@pytest.mark.parametrize("log", [[], logged({5: 1.0}), logged({5: 1.0, 3: 2.0}), logged({1: float("nan")})])
def test_no_curve_of_a_log_that_has_none(log: list[dict[str, Any]]) -> None:
    assert curve([run("a", "x", 1.0)], [log], "return") is None


def test_games_are_taken_together_by_the_human_score() -> None:
    groups = [[run(f"{game}-{k}", game, 0.0, 100 * (share + 0.1 * k)) for k in range(5)]
              for game, share in (("pong", 0.8), ("breakout", 2.0), ("qbert", 0.1))]  # fmt: skip
    (found,) = together(groups)
    assert found["score"] == "normalised" and found["unit"] == "of human" and found["seeds"] == 5
    assert found["worlds"] == ["pong", "breakout", "qbert"] and len(found["runs"]) == 15
    assert found["mean"]["value"] == pytest.approx((1.0 + 2.2 + 0.3) / 3)
    assert found["median"]["value"] == pytest.approx(1.0)
    values = sorted(share + 0.1 * k for share in (0.8, 2.0, 0.1) for k in range(5))
    assert found["interquartile_mean"]["value"] == pytest.approx(np.mean(values[3:12]))
    for name in ("interquartile_mean", "median", "mean", "optimality_gap"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name
    assert found["profile"]["share"][0] == 1 and found["profile"]["share"][-1] < 1
    (line,) = lines([found])
    assert "over 3 games" in line and "stratified bootstrap 95 %" in line and "say little" not in line


def test_methods_are_kept_apart_and_one_world_has_its_return() -> None:
    groups = [[run(f"a-{k}", "CartPole-v1", 400 + k, lr=lr) for k in range(3)] for lr in (0.1, 0.2)]
    found = together(groups)
    assert [one["score"] for one in found] == ["return", "return"]
    assert found[0]["interquartile_mean"]["value"] == 401 and "profile" not in found[0]
    assert "3 seeds say little, 5 or more are usual" in lines(found)[0]
    other = [[run("a", "CartPole-v1", 1.0)], [run("b", "Acrobot-v1", 2.0)]]
    assert together(other) == [], "returns of two worlds have no common scale"
    assert together([[run("a", "chain", 1.0, played=None)]]) == [], "a process that was solved is no world"
    assert together([[{**run("a", "x", 1.0), "config": {"system": "y", "config": None}}]]) != []


def test_a_return_below_zero_keeps_its_interval() -> None:
    runs = [run(f"a-{k}", "Acrobot-v1", value) for k, value in enumerate((-90.0, -80.0, -85.0))]
    assert "[-97.42, -72.58]" in group_lines(runs)[0][0]
    assert "[0, " in group_lines([run(f"a-{k}", "x", value) for k, value in enumerate((0.0, 1.0))])[0][0]


def test_the_page_of_a_comparison() -> None:
    groups = [[run(f"{game}-{k}", game, 0.0, 100 * (share + 0.1 * k)) for k in range(5)]
              for game, share in (("pong", 0.8), ("<b>", 2.0))]  # fmt: skip
    shown = [curve(group, [logged({1: float(k), 50: 9.0 + k}) for k in range(5)], "return") for group in groups]
    table = [["runs", "return"], ["a", "1"], ["<i>", "2"]]
    labelled = [{"label": name, "curve": one} for name, one in zip(("a", "<i>"), shown, strict=True)]
    found = {"curve": "return", "table": table, "aggregates": together(groups), "groups": labelled}
    page = html_of(found)
    assert page == html_of(found), "the same comparison gives the same text"
    assert page.count("<svg") == 2 and "Share of runs that score above" in page and "return while learning" in page
    assert "<i>" not in page and "&lt;i&gt;" in page


def test_pages_are_compared_by_what_all_of_them_have() -> None:
    one = {"system": "ppo", "steps": 5, "clip": 0.2, "lr": 1}
    assert differing([one, {"system": "dqn", "steps": 7, "replay": 9, "lr": 1}]) == ["system", "steps"]
    assert differing([one, {**one, "clip": 0.1, "older": 1}]) == ["clip", "older"], "of one page, all that differs"
