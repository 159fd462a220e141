"""Draw, see the answer and the maps, and take a number apart; by mouse and by keyboard, wide and narrow."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from .conftest import Server, show

SEVEN = ((0.25, 0.2), (0.75, 0.2), (0.42, 0.85))
ONE = ((0.5, 0.15), (0.5, 0.85))
PATIENCE = 60_000  # milliseconds: the first answer waits for PyTorch, and other work may take the machine


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One studio for all tests here: they only read what ships."""
    place = tmp_path_factory.mktemp("use")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(place))
        server = Server(place)
        yield server
        server.end()


def draw(page: Page, points: tuple[tuple[float, float], ...]) -> None:
    """One line with the mouse, in shares of the sheet."""
    pad = page.locator("canvas.pad")
    pad.scroll_into_view_if_needed(timeout=PATIENCE)
    box = pad.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def answers(page: Page, label: str) -> None:
    expect(page.locator(".answer p.best")).to_have_text(label, timeout=PATIENCE)


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def added(text: str) -> tuple[float, float]:
    """What the terms of a line such as "Sums: 0.5 − 0.25 (2 other maps) + 1 (bias) = 1.25" add up to, and its end."""
    terms, _, end = text.partition(":")[2].partition(" = ")
    terms = re.sub(r"\([^)]*\)", "", terms)
    return sum(number(sign + value) for sign, value in re.findall(r"([−+]?)\s*([\d.,e]+)", terms)), number(end)


def inspected(page: Page, title: str | re.Pattern[str]) -> None:
    expect(page.locator(".inspector h2")).to_have_text(title, timeout=PATIENCE)


def test_a_drawing_is_read_and_taken_apart_to_one_number(
    opened: Callable[..., Page], shared_data: Callable[[str], Path]
) -> None:
    shared_data("mnist-test")  # whose first picture is a 7
    page = opened("#/use/shipped%3Alenet")
    draw(page, SEVEN)
    answers(page, "7")
    maps = page.locator(".layers canvas[tabindex]")
    assert maps.count() == 12
    seven = maps.first.evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".layers")).to_be_hidden()
    page.evaluate("performance.clearMarks()")
    draw(page, ONE)
    answers(page, "1")
    assert maps.first.evaluate("canvas => canvas.toDataURL()") != seven
    marks = page.evaluate(
        """async () => {
            const of = (name) => performance.getEntriesByName(name).at(-1)?.startTime;
            for (let i = 0; i < 400 && !of("use:shown"); i++) await new Promise((done) => setTimeout(done, 20));
            return [of("use:drawn"), of("use:shown")];
        }"""
    )
    assert 0 < marks[0] < marks[1]

    page.locator(".sample").first.click(timeout=PATIENCE)
    answers(page, "7")
    expect(page.locator(".answer")).to_contain_text("True answer: 7")

    maps.nth(3).click(position={"x": 30, "y": 40})
    inspected(page, "convolution, map 1, row 7, column 6")
    inspector = page.locator(".inspector")
    total, end = added(inspector.locator(".formula").first.inner_text())
    assert total == pytest.approx(end, abs=2e-3)
    grids = inspector.locator(".product").first.locator(".numbers")
    cells = [
        [number(text) for text in grid]
        for grid in grids.evaluate_all("all => all.map((grid) => [...grid.children].map((cell) => cell.title))")
    ]
    assert [len(grid) for grid in cells] == [25, 25, 25]
    np.testing.assert_allclose(np.multiply(*cells[:2]), cells[2], rtol=1e-2, atol=1e-3)
    assert sum(cells[2]) == pytest.approx(number(inspector.locator(".factors > b").first.inner_text()), abs=5e-3)

    inspector.locator("canvas[tabindex]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    inspected(page, "convolution, map 1, row 8, column 7")
    expect(inspector.locator("canvas[tabindex]")).to_be_focused()
    inspector.get_by_role("button", name="The next one").click()
    inspected(page, "convolution, map 2, row 8, column 7")
    for step, title in (
        (1, "tanh, map 2"),
        (2, "average pool, map 2"),
        (6, "fully connected, unit 2"),
        (11, "softmax, 1"),
    ):
        maps.nth(step).focus()
        page.keyboard.press("ArrowRight")
        inspected(page, re.compile(f"^{title}"))
        expect(maps.nth(step)).to_be_focused()
        expect(inspector.locator(".formula").first).not_to_be_empty()
    inspector.get_by_role("button", name="Close").click()
    expect(inspector).to_be_hidden()


def test_other_runs_are_chosen_and_drawn_by_what_they_take(opened: Callable[..., Page]) -> None:
    page = opened("#/use")
    page.get_by_role("link", name="lenet1989 (shipped)").click()
    draw(page, SEVEN)
    answers(page, "7")
    assert page.locator(".layers canvas").count() >= 10
    page.get_by_label("Run", exact=True).select_option("shipped:mlp")
    expect(page.locator("h1")).to_have_text("Use mlp")
    expect(page.locator(".answer p.best")).to_have_count(0)
    draw(page, SEVEN)
    answers(page, "7")
    assert page.locator(".layers canvas").count() >= 5

    show(page, "#/use/shipped%3Aperceptron")
    expect(page.locator("canvas.pad")).to_have_count(0)
    page.locator(".sample").nth(6).click(timeout=PATIENCE)
    expect(page.locator(".answer")).to_contain_text("True answer: 1", timeout=PATIENCE)
    expect(page.locator(".answer .bar.best b")).to_have_text("1")
    page.get_by_label("x1", exact=True).fill("1000")
    expect(page.locator(".answer")).not_to_contain_text("True answer", timeout=PATIENCE)

    show(page, "#/use/nothing")
    expect(page.locator("main .error")).to_contain_text("expected a run of this studio", timeout=PATIENCE)


def test_keyboard_and_files_are_other_ways_in(opened: Callable[..., Page], tmp_path: Path) -> None:
    sheet = np.full((120, 120), 255, np.uint8)
    sheet[20:100, 54:66] = 0
    one, uno, none = (tmp_path / name for name in ("one.png", "uno.png", "none.png"))
    for file in (one, uno):
        Pillow.fromarray(sheet).save(file)
    none.write_bytes(b"no picture")
    page = opened("#/use/shipped%3Alenet")
    page.locator("canvas.pad").focus(timeout=PATIENCE)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(22):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    answers(page, "1")
    page.keyboard.press("Control+z")
    expect(page.locator(".answer p.best")).to_have_count(0)

    chooser = page.locator("input[type=file]")
    chooser.set_input_files(one)
    answers(page, "1")
    expect(page.locator("img.given")).to_be_visible()
    chooser.set_input_files(none)
    expect(page.locator(".answer .error")).to_contain_text("a PNG, JPEG, BMP, TIFF or WebP picture", timeout=PATIENCE)
    chooser.set_input_files([one, none, uno])
    rows = page.locator(".answer tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(2).locator(".bar b")).to_have_text("1", timeout=PATIENCE)
    expect(rows.nth(1)).to_contain_text("a PNG, JPEG, BMP, TIFF or WebP picture")
    page.get_by_role("button", name="Clear").click()
    page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "one.png", { type: "image/png" }));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
        }""",
        base64.b64encode(one.read_bytes()).decode(),
    )
    answers(page, "1")


def test_it_fits_a_narrow_dark_screen(opened: Callable[..., Page]) -> None:
    page = opened("#/use/shipped%3Alenet", width=400, dark=True)
    draw(page, SEVEN)
    answers(page, "7")
    page.locator(".layers canvas").nth(3).click(position={"x": 20, "y": 20})
    expect(page.locator(".inspector .product").first).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
