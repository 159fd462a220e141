"""A shared studio, seen by who came with the password: all can be looked at, nothing changed, and no view breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.conftest import Server, show
from playwright.sync_api import Browser, Page

PASSWORD = "a long password"
OPEN = ("#/", "#/train", "#/train/lenet", "#/lectures", "#/quiz", "#/runs")
CLOSED = ("#/playground", "#/use", "#/use/lenet", "#/look", "#/attack", "#/landscape", "#/play", "#/giants")
CHANGES = ("Train", "Stop", "Finish", "Resume", "Delete", "Restore", "Choose files")


@pytest.fixture
def shared(home: Path) -> Iterator[Server]:
    server = Server(home, "--share", PASSWORD)
    yield server
    server.end()


@pytest.fixture
def viewer(browser: Browser, shared: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{shared.root}/login")
    page.fill("#password", PASSWORD)
    page.click("button")
    page.wait_for_selector("#view[data-ready=timeline]")
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    yield page
    context.close()
    assert problems == []


def test_a_viewer_looks_at_all_and_is_offered_nothing_that_changes(viewer: Page) -> None:
    assert viewer.locator("text=Looking only").is_visible()
    named = viewer.locator("#nav a").all_inner_texts()
    assert named == ["Timeline", "Train", "Lectures", "Quiz", "Runs"]
    for address in OPEN:
        show(viewer, address)
        assert viewer.locator("#view").inner_text().strip(), address
        for name in CHANGES:
            for button in viewer.get_by_role("button", name=name, exact=True).all():
                assert not button.is_visible(), f"{name} at {address}"
        assert viewer.locator("#view input[type=file]:visible").count() == 0
    for address in CLOSED:
        show(viewer, address)
        assert "only its owner may" in viewer.locator("#view").inner_text(), address
