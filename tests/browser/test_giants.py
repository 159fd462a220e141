"""The giant-target test, taken with keys and buttons."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page


def test_a_test_is_taken_and_kept(opened: Callable[..., Page]) -> None:
    page = opened("#/giants?count=12&ms=250&seed=3")
    page.get_by_role("button", name="Begin").click()
    for k in range(12):
        page.wait_for_selector("h2:text-is('Was there a mug?')", timeout=60_000)
        if k == 0:
            page.get_by_role("button", name="Yes (Y)").click()
        else:
            page.keyboard.press("y" if k < 11 else "n")
        page.wait_for_selector("h2:text-is('Was there a mug?')", state="detached")
    page.wait_for_selector("h2:text-is('Mugs that were missed')")
    rows = page.locator("tbody tr").all_inner_texts()
    assert len(rows) == 3 and "about 30 %" in rows[1]
    missed = sum(int(text.split(" of 2")[0].rsplit(" ", 1)[1]) for text in rows)
    assert missed <= 1  # the one answer that was no
    with page.expect_download() as made:
        page.get_by_role("button", name="Download as CSV").click()
    lines = made.value.path().read_text().splitlines()
    assert len(lines) == 13 and lines[0].startswith("room,mug,there,answer,ms")
    assert [line.split(",")[3] for line in lines[1:]] == ["1"] * 11 + ["0"]
