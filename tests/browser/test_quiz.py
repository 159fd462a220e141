"""The learning-rate quiz: curves are told apart, and its explanations are true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from .conftest import show

ROUNDS = json.loads((Path(__file__).parents[2] / "milestones/studio/quiz.json").read_text())["rounds"]


def test_a_round_is_answered_and_another_asked(opened: Callable[..., Page]) -> None:
    page = opened("#/quiz/0")
    expect(page.locator("main canvas").first).to_be_visible()
    rates = [str(curve["rate"]) for curve in ROUNDS[0]["curves"]]
    picks = page.locator("main select")
    assert picks.count() == len(rates) == 4
    options = picks.first.locator("option").all_inner_texts()[1:]
    assert sorted(map(float, options)) == sorted(map(float, rates))
    expect(page.get_by_role("button", name="Answer")).to_be_disabled()
    for k in range(4):
        picks.nth(k).select_option(index=1)  # one and the same: exactly one is right
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("heading", name="1 of 4 right")).to_be_visible()
    told = page.locator("main li").all_inner_texts()
    best = min(ROUNDS[0]["curves"], key=lambda curve: curve["y"][-1])
    (good,) = [line for line in told if "the best of these" in line]
    assert float(good.split(" is ")[1].split(":")[0]) == best["rate"]
    # The same link shows the same order; all are right when what was told is chosen.
    show(page, "#/quiz/1")
    show(page, "#/quiz/0")
    expect(page.get_by_text("1 of 4 curves right so far")).to_be_visible()
    for k, line in enumerate(told):
        picks.nth(k).select_option(
            index=1 + sorted(map(float, rates)).index(float(line.split(" is ")[1].split(":")[0]))
        )
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("heading", name="4 of 4 right")).to_be_visible()
    expect(page.get_by_text("1 of 4 curves right so far")).to_be_visible()  # a round counts once
    page.get_by_role("link", name="Next round").click()
    expect(page.get_by_text(f"Four trainings of {ROUNDS[1]['system']}")).to_be_visible()


def test_in_each_round_too_low_and_too_high_frame_the_best() -> None:
    for asked in ROUNDS:
        ends = {curve["rate"]: curve["y"][-1] for curve in asked["curves"]}
        best = min(ends, key=lambda rate: ends[rate])
        assert min(ends) < best < max(ends), "the best is neither the lowest nor the highest"
        assert all(len(curve["x"]) == len(curve["y"]) >= 30 for curve in asked["curves"])
