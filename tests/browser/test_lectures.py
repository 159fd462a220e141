"""The course's view, and every place that its slides send a lecturer to: open from shipped runs, with no training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from milestones.studio.pages import lectures

from .conftest import Server, show

SLIDES = [slide for lecture in lectures()["lectures"] for slide in lecture["slides"]]
PATIENT = 20_000


def test_every_link_opens_from_shipped_runs(opened: Callable[..., Page], studio: Server) -> None:
    page = opened("#/lectures")
    for link in dict.fromkeys(slide["link"] for slide in SLIDES):
        show(page, link)
        expect(page.locator("main h1")).to_have_count(1, timeout=PATIENT)
        expect(page.get_by_text("Opening the run")).to_have_count(0, timeout=PATIENT)
        told = page.locator("main .error:visible").all_inner_texts()
        assert told == [], f"{link}: {told}"
    assert list(studio.folder.glob("runs/*-*")) == []  # no run of its own


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_the_course_is_drawn(opened: Callable[..., Page], width: int, dark: bool) -> None:
    page = opened("#/lectures/3", width=width, dark=dark)
    assert page.evaluate("document.activeElement.id") == "lecture-3"
    slides = page.locator("main article")
    assert slides.count() == len(SLIDES)
    assert slides.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))") == [
        s["link"] for s in SLIDES
    ]
    assert slides.locator("code").all_inner_texts() == [slide["command"] for slide in SLIDES]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    slides.first.locator("a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main h1")).not_to_have_text("Lectures")
