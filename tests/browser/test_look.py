"""Attack, look and landscape on shipped runs: each shows something at once, and follows what is set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

FIRST = 60_000


def slide(page: Page, to: int) -> None:
    page.evaluate("to => { const s = document.querySelector('input[type=range]'); s.value = to; "
                  "s.dispatchEvent(new Event('input')) }", to)  # fmt: skip


def test_an_attack_follows_the_slider(opened: Callable[..., Page], shared_data: Callable[[str], Path]) -> None:
    shared_data("mnist-test")  # whose first picture is a 7
    page = opened("#/attack/shipped:mlp?example=1&size=0.2")
    page.wait_for_selector(".look-verdict:has-text('Misled: 7')", timeout=FIRST)
    slide(page, 0)
    page.wait_for_selector(".look-verdict:has-text('Not misled: still 7')", timeout=FIRST)
    slide(page, 240)
    page.wait_for_selector(".look-verdict:has-text('Misled: 7')", timeout=FIRST)
    page.get_by_role("button", name="Find the smallest change").click()
    page.wait_for_selector("p:has-text('The smallest change found')", timeout=FIRST)
    page.get_by_label("Test examples", exact=True).fill("20")
    page.get_by_role("button", name="Accuracy over sizes").click()
    page.wait_for_selector("p:has-text('20 of 20 test examples')", timeout=FIRST)
    assert page.evaluate("location.hash").startswith("#/attack/shipped%3Amlp?example=1&method=pgd")


def test_a_run_without_a_probe_says_which_have_one(opened: Callable[..., Page]) -> None:
    page = opened("#/attack/shipped:perceptron")
    page.wait_for_selector(".error:has-text('which has no probe')", timeout=FIRST)
    assert "dqn (shipped)" in page.locator(".error a").all_inner_texts()


def test_maps_come_one_by_one_and_the_net_shows_its_inside(opened: Callable[..., Page]) -> None:
    page = opened("#/look/shipped:mlp?example=2")
    page.wait_for_selector("h2:text-is('How far they agree')", timeout=FIRST)
    assert page.locator(".look-maps article").count() >= 8
    pixels = "() => document.querySelector('.look-maps canvas').toDataURL()"
    before = page.evaluate(pixels)
    slide(page, 10)
    assert page.evaluate(pixels) != before
    page.get_by_role("button", name="Inside the net").click()
    page.wait_for_selector("h2:text-is('What can be read of each layer')", timeout=FIRST)
    assert page.locator(".look-points").is_visible()


def test_a_landscape_is_drawn_turned_and_stopped(opened: Callable[..., Page]) -> None:
    page = opened("#/landscape/shipped:mlp?size=25&examples=100")
    page.wait_for_selector("p:has-text('625 of 625 points')", timeout=FIRST)
    page.wait_for_selector("p:has-text('51 of 51 points')", timeout=FIRST)
    picture = "() => document.querySelector('.land-3d').toDataURL()"
    before = page.evaluate(picture)
    page.locator(".land-3d").focus()
    page.keyboard.press("ArrowLeft")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.evaluate(picture) != before
    page.get_by_label("Points", exact=True).select_option("97")
    page.wait_for_selector("p:has-text('of 9,409 points')", timeout=FIRST)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("button:text-is('Draw again')", timeout=FIRST)
