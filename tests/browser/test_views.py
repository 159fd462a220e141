"""Every view opens, and fits a narrow screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from .conftest import show

VIEWS = ["", "train", "playground", "use", "look", "attack", "landscape", "play", "lectures", "quiz", "giants", "runs"]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_every_view_opens_and_fits(opened: Callable[..., Page], width: int, dark: bool) -> None:
    page = opened("#/", width=width, dark=dark)
    assert set(page.evaluate("async () => Object.keys((await import('/page/main.js')).VIEWS)")) == set(VIEWS)
    for view in VIEWS:
        show(page, f"#/{view}")
        assert page.locator("main h1").count() == 1, view
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{view or 'timeline'} is {wide} pixels wide on a screen of {width}"


def test_a_view_has_its_own_style_alone(opened: Callable[..., Page]) -> None:
    applied = ("[...document.styleSheets].filter((s) => s.href?.includes('/page/views/') && !s.disabled)"
               ".map((s) => s.href.split('/').pop())")  # fmt: skip
    page = opened("#/use/shipped:mlp")
    before = page.evaluate(applied)
    assert "use.css" in before
    show(page, "#/playground")
    assert page.evaluate(applied) == ["playground.css"]
    show(page, "#/use/shipped:mlp")
    assert sorted(page.evaluate(applied)) == sorted(before)
