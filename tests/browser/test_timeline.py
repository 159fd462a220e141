"""The timeline in real Chromium: years, results beside the published ones, ways on, kept up to date in place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Server

OWN = '''"""My own page.

Paper       none (2026).
"""
from milestones.systems.mlp import system as other

system = System(other.Config, takes=(Image, Text), loss=other.loss, probe=None)
'''


@pytest.fixture
def studio(home: Path) -> Iterator[Server]:
    """A studio with a page of the user's own."""
    (home / "mine.py").write_text(OWN)
    server = Server(home, "mine.py")
    yield server
    server.end()


def run(root: Path, name: str, **score: object) -> None:
    """A finished run of the user's with one score."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    whole = {
        "value": 2.0,
        "low": 1.0,
        "high": 3.0,
        "unit": "%",
        "better": "lower",
        "data": "digits",
        "split": "test",
        "over": 100,
    }
    (folder / "report.json").write_text(json.dumps({"format": 1, "scores": {"error": {**whole, **score}}}))
    (folder / "status.json").write_text(json.dumps({"format": 1, "state": "finished", "step": 3, "updated": 1}))
    config = {"format": 1, "system": name.rpartition("-")[0], "preset": "quick", "config": {}, "began": time.time()}
    (folder / "config.json").write_text(json.dumps(config))


def test_the_systems_stand_by_year_with_their_results(opened: Callable[..., Page], studio: Server) -> None:
    page = opened("#/")
    years = [int(text) for text in page.locator(".years .year").all_inner_texts()]
    assert years == sorted(years) and len(years) == len(page.locator(".years article").all()) >= 13
    lenet = page.locator("#year-lenet")
    report = json.loads((Path(__file__).parents[2] / "milestones/shipped/lenet/report.json").read_text())
    value = report["scores"]["error"]["value"]
    expect(lenet.locator(".figure")).to_contain_text(f"{value:.2f}")
    expect(lenet.locator(".published")).to_contain_text("not comparable")
    assert lenet.locator(".whisker .mark").count() == 0  # nothing is compared with a figure of other data
    hrefs = [link.get_attribute("href") for link in lenet.locator(".ways a").all()]
    assert hrefs == ["#/train/lenet", "#/runs/shipped%3Alenet", "#/use/shipped%3Alenet", "#/look/shipped%3Alenet",
                     "#/attack/shipped%3Alenet", "#/landscape/shipped%3Alenet"]  # fmt: skip
    own = page.locator(".own article")
    expect(own).to_contain_text("My own page")
    expect(own.locator(".result")).to_contain_text("No run of it here yet")
    assert own.locator(".ways a").count() == 1

    # A run that ends elsewhere appears without a reload; its figure of the same data is marked.
    lenet.locator(".ways a").first.focus()
    run(studio.folder, "lenet-1", paper=1.5, paper_data="digits")
    expect(lenet.locator(".published")).to_contain_text("published: 1.5 % on the same data", timeout=15_000)
    assert lenet.locator(".whisker .mark").count() == 1
    expect(lenet.locator(".ways a").first).to_be_focused()
    run(studio.folder, "mine-1")
    expect(own.locator(".ways a").nth(1)).to_have_attribute("href", "#/runs/mine-1", timeout=15_000)
    names = own.locator(".ways a").all_inner_texts()
    assert names == ["Train", "Open", "Use", "Look inside", "Landscape"]  # no probe: no attack
    lenet.locator(".ways a", has_text="Open").click()
    expect(page.locator("h1")).to_have_text("lenet-1")


def test_the_axis_leads_to_a_system(opened: Callable[..., Page]) -> None:
    page = opened("#/")
    spots = page.locator(".axis a[title]").evaluate_all(
        "links => links.map(a => [+a.title.split(', ')[1], a.offsetLeft])"
    )
    late = [spot for spot in spots if spot[0] > 1950]
    (year, left), (last, right) = late[0], late[-1]
    for now, at in late:  # true to scale behind the cut
        assert abs((at - left) - (right - left) * (now - year) / (last - year)) < 3
    page.locator(".axis a[title^='resnet,']").press("Enter")
    expect(page.locator("#year-resnet .ways a").first).to_be_focused()
    assert page.evaluate("location.hash") == "#/"


def test_the_timeline_fits_a_phone(opened: Callable[..., Page]) -> None:
    page = opened("#/", width=400, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    expect(page.locator("#year-lenet .figure")).to_be_visible()
