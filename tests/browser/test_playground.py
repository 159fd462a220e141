"""The playground in a real browser: it learns, is bent by hand and drawn on, hides controls; its link repeats it."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from .conftest import show

PATIENT = 30_000


def ready(page: Page) -> None:
    expect(page.locator(".player button.main")).to_be_enabled(timeout=2 * PATIENT)  # a desk imports PyTorch first


def epoch(page: Page, number: int) -> None:
    """It has stopped by itself at an epoch."""
    expect(page.locator(".epochs output")).to_have_text(str(number), timeout=PATIENT)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=PATIENT)


def losses(page: Page) -> list[float]:
    return [float(text) for text in page.locator(".figures b").all_inner_texts()]


def pixels(page: Page, where: str) -> str:
    return page.locator(where).first.evaluate("canvas => canvas.toDataURL()")


def test_it_learns_and_the_link_repeats_it(opened: Callable[..., Page]) -> None:
    page = opened("#/playground?until=40&speed=fast")
    ready(page)
    before, hidden, plane = losses(page), pixels(page, ".unit >> nth=2 >> canvas"), pixels(page, ".plane .under")
    page.get_by_role("button", name="Play", exact=True).click()
    epoch(page, 40)
    after = losses(page)
    assert after[0] < 0.5 * before[0]
    assert pixels(page, ".unit >> nth=2 >> canvas") != hidden and pixels(page, ".plane .under") != plane
    expect(page.locator(".u-legend")).to_contain_text("training")
    page.get_by_role("button", name="Draw the loss").click()
    expect(page.locator("[data-part=landscape]")).to_contain_text("of it. Loss here", timeout=PATIENT)
    expect(page.locator(".ground")).to_be_visible()
    # A weight by the keyboard, then on: the link holds it, and gives the same losses in another page.
    page.locator(".unit.picked").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".inspector h3")).to_have_text("Layer 1, unit 2")
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="from x1, slider")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    typed = page.get_by_role("spinbutton", name="from x2")
    typed.fill("1.5")
    typed.press("Enter")
    expect(page.get_by_role("button", name=re.compile(r"Replay with \d changes"))).to_be_visible(timeout=PATIENT)
    assert losses(page) != after
    page.get_by_label("Stop at epoch").fill("45")
    page.get_by_label("Stop at epoch").press("Enter")
    page.get_by_role("button", name="Play", exact=True).click()
    epoch(page, 45)
    address = page.evaluate("location.hash")
    assert "w0.1.1=1.5" in address and "until=45" in address
    want, last = losses(page), pixels(page, ".plane .under")
    show(page, "#/lectures")
    show(page, address)
    ready(page)
    page.get_by_role("button", name="Play", exact=True).click()
    epoch(page, 45)
    assert losses(page) == want and pixels(page, ".plane .under") == last
    page.get_by_role("button", name="Reset").click()
    epoch(page, 0)
    assert losses(page) == before


def test_settings_and_their_errors(opened: Callable[..., Page]) -> None:
    page = opened("#/playground?until=3", width=400, dark=True)
    ready(page)
    page.get_by_role("button", name="One hidden layer more").click()
    expect(page.locator(".unit")).to_have_count(2 + 4 + 2 + 2 + 1)
    page.get_by_role("button", name="One unit less in layer 1").click()
    expect(page.locator(".unit")).to_have_count(2 + 3 + 2 + 2 + 1)
    page.get_by_label("sin x1").check()
    expect(page.locator(".unit")).to_have_count(3 + 3 + 2 + 2 + 1)
    page.get_by_role("button", name="y > f(x)").click()
    page.get_by_label("Class 1 where").fill("sin(")
    page.get_by_label("Class 1 where").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("got the end of it in the formula", timeout=PATIENT)
    page.get_by_label("Class 1 where").fill("sin(x)")
    page.get_by_label("Class 1 where").press("Enter")
    expect(page.get_by_role("alert")).to_be_hidden(timeout=PATIENT)
    page.get_by_label("Problem").select_option("Regression")
    page.get_by_role("button", name="Step").click()
    epoch(page, 1)
    expect(page.locator(".figures")).to_contain_text("mean distance")
    page.get_by_label("Learning rate").select_option("0.3")  # while it trains: a change by hand
    expect(page.get_by_role("button", name="Replay with 1 change", exact=True)).to_be_visible(timeout=PATIENT)
    for option in ("Adam", "Nesterov", "RMSprop"):
        page.get_by_label("Step rule").select_option(option)
    epoch(page, 0)
    assert "method=rmsprop" in page.evaluate("location.hash") and "problem=values" in page.evaluate("location.hash")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_label("Lessons").select_option("XOR needs a hidden layer")
    expect(page.locator("p.note")).to_contain_text("Add a hidden layer")
    expect(page.locator(".unit")).to_have_count(3)


def test_own_points(opened: Callable[..., Page]) -> None:
    page = opened("#/playground")
    ready(page)
    wrong = {"name": "a.csv", "mimeType": "text/csv", "buffer": b"1,2,a\n2,zwei,b\n3,3,a\n4,4,b\n"}
    page.set_input_files("input[type=file]", wrong)
    expect(page.get_by_role("alert")).to_contain_text("got 'zwei' in line 2", timeout=PATIENT)
    rows = "".join(f"{k % 7},{k % 5},{'near' if k % 7 < 3 else 'far'}\n" for k in range(60))
    page.set_input_files("input[type=file]", {"name": "b.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    expect(page.locator(".key")).to_contain_text("near", timeout=PATIENT)
    page.get_by_role("button", name="Draw points").click()
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("0 of at least 4 points")).to_be_visible()
    over = page.locator(".plane .over")
    for k, (x, y) in enumerate([(60, 60), (90, 60), (200, 220), (230, 220)]):
        page.get_by_role("button", name=f"Points of class {k // 2}").click()
        over.click(position={"x": x, "y": y})
    over.press("ArrowUp")
    over.press("Enter")
    expect(page.get_by_text("5 points")).to_be_visible()
    expect(page.locator(".epochs output")).to_have_text("0")
    page.get_by_role("button", name="Stop drawing").click()
    expect(page).to_have_url(re.compile(r"points=[\w-]{40}(&|$)"), timeout=PATIENT)
    page.get_by_role("button", name="Step").click()
    epoch(page, 1)
    # In plain PyTorch: the points stand in the script.
    page.get_by_role("button", name="Export as a PyTorch script").click()
    expect(page.locator("pre.script")).to_contain_text("rows = torch.tensor([", timeout=PATIENT)
    expect(page.locator("pre.script")).to_contain_text("nn.Linear(2, 4), nn.Tanh()")
    page.keyboard.press("Escape")


def test_a_teacher_hides_controls(opened: Callable[..., Page]) -> None:
    page = opened("#/playground?data=xor")
    ready(page)
    page.get_by_role("button", name="Make a link for a lesson").click()
    page.get_by_label("A task or a question").fill("Which unit cuts where?")
    for name in ("Learning rate", "Weights", "Data sets"):
        page.locator("dialog").get_by_label(name).check()
    link = page.get_by_label("The link").input_value()
    assert "hide=" in link and link.startswith("http://127.0.0.1")
    page.keyboard.press("Escape")
    show(page, "#/lectures")
    show(page, link[link.index("#") :])
    ready(page)
    expect(page.locator("p.note")).to_have_text("Which unit cuts where?")
    expect(page.get_by_label("Learning rate")).to_be_hidden()
    expect(page.locator(".inspector .weights")).to_be_hidden()
    expect(page.locator(".sets")).to_be_hidden()
    expect(page.get_by_label("Step rule")).to_be_visible()
