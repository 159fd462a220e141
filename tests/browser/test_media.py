"""Sounds, texts, boards and worlds: pages of the test suite that take and answer them, used in Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from milestones.media import Audio

from .conftest import Server, show

PAGES = [str(Path(__file__).parent / "pages" / f"{name}.py") for name in ("tones", "reverser", "tictactoe", "road")]
SLOW = 30_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: each page trained once, in one process."""
    folder = tmp_path_factory.mktemp("media")
    code = "import sys; from milestones.cli import main; [main(['train', page]) for page in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *PAGES], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert len(list(folder.glob("runs/*/report.json"))) == len(PAGES), done.stderr[-2000:]
    return folder / "runs"


@pytest.fixture
def studio(home: Path, trained: Path) -> Iterator[Server]:
    shutil.copytree(trained, home / "runs")
    server = Server(home, *PAGES)
    yield server
    server.end()


@pytest.fixture(scope="module")
def browser(playwright: Playwright, browser: Browser) -> Iterator[Browser]:
    """Chromium with a microphone that beeps."""
    made = playwright.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=[
        "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])  # fmt: skip
    yield made
    made.close()


def narrow_enough(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_game_is_played_to_its_end_and_taken_back(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened("#/play/tictactoe-1")
    board = page.locator("svg.board")
    expect(board.locator(".lines")).to_have_count(1, timeout=SLOW)
    board.focus()
    for key in ("ArrowUp", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    expect(board.locator(".cross")).to_have_count(1, timeout=SLOW)
    expect(board.locator(".nought")).to_have_count(1)
    expect(page.locator(".chances")).to_contain_text("50 %")
    expect(page.locator("ul.tree details").first).to_be_attached()
    expect(board.locator(".map").first).to_be_visible()
    page.get_by_label("Show on the board").select_option("")
    expect(board.locator(".map")).to_have_count(0)
    board.focus()
    page.keyboard.press("Enter")  # the place that is taken
    expect(page.get_by_role("alert")).to_contain_text("a move to an empty square, got A3")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save SGF").click()
    saved.value.save_as(tmp_path / "a.sgf")
    assert (tmp_path / "a.sgf").read_text().startswith("(;FF[4]") and ";B[aa];W[bb]" in (tmp_path / "a.sgf").read_text()
    page.get_by_role("button", name="Undo").click()
    expect(board.locator(".cross")).to_have_count(0)
    page.locator("#sgf-input").set_input_files(tmp_path / "a.sgf")
    expect(board.locator(".cross")).to_have_count(1)
    (tmp_path / "bad.sgf").write_text("(;SZ[3];B[aa]")
    page.locator("#sgf-input").set_input_files(tmp_path / "bad.sgf")
    expect(page.get_by_role("alert")).to_contain_text("damaged (it is cut off)")
    page.get_by_label("You play").select_option("2")
    expect(board.locator(".cross")).to_have_count(1, timeout=SLOW)
    expect(board.locator(".nought")).to_have_count(0)
    box = board.bounding_box()
    assert box is not None
    for _ in range(4):  # second at every free square: by the mouse, until the game is over
        for x, y in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)):
            board.click(position={"x": box["width"] * (1.3 + x) / 4.6, "y": box["height"] * (0.8 + y) / 4.2})
    expect(page.locator(".position")).to_contain_text("won", timeout=SLOW)


def test_a_road_is_watched_and_driven(opened: Callable[..., Page]) -> None:
    page = opened("#/play/road-1")
    expect(page.locator(".film")).to_have_count(2, timeout=SLOW)  # what it does now, and while it learned
    film = page.locator(".film").first
    pixels = "node => node.toDataURL()"
    first = film.locator("canvas").evaluate(pixels)
    film.get_by_label("The next frame").click()
    expect(film).to_contain_text("frame 2 of 40, value")
    assert film.locator("canvas").evaluate(pixels) != first
    strong = film.locator("canvas").evaluate(pixels)
    film.get_by_label("Strength of the saliency").fill("0")
    assert film.locator("canvas").evaluate(pixels) != strong
    film.get_by_label("Frame", exact=True).fill("30")
    assert film.locator(".values line").get_attribute("x1") == "30"
    film.get_by_role("button", name="Play").click()
    expect(film).to_contain_text("frame 40 of 40", timeout=SLOW)
    page.get_by_role("button", name="straight").click()
    expect(page.get_by_text("1 steps, reward")).to_be_visible(timeout=SLOW)
    page.locator("h1").click()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("2 steps, reward")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("row", name="squares")).to_contain_text("40")


def test_a_sound_is_heard_from_file_and_microphone(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened("#/use/tones-1")
    page.get_by_role("button", name="Record").wait_for(timeout=SLOW)
    tone = 0.5 * np.sin(2 * np.pi * 2000 * np.arange(16000) / 16000)
    (tmp_path / "a.wav").write_bytes(Audio(tone.astype(np.float32), 16000).encode()[1])
    page.locator("#sound-input").set_input_files(tmp_path / "a.wav")
    answer = page.locator(".answer")
    expect(answer.locator("figure").first).to_contain_text(re.compile(r"tone\s*high"), timeout=SLOW)
    expect(answer.locator(".sound canvas")).to_have_count(2)
    expect(answer.locator(".timed.thin")).to_have_count(3)
    edges = answer.locator(".lane").evaluate_all(
        "lanes => lanes.map(l => l.getBoundingClientRect()).map(b => [b.left, b.right].map(Math.round).join())"
    )
    assert len(set(edges)) == 1, "sound and alignment have the same seconds"
    (tmp_path / "b.wav").write_bytes(b"RIFF nothing")
    page.locator("#sound-input").set_input_files(tmp_path / "b.wav")
    expect(page.get_by_role("alert")).to_contain_text("Expected a sound that this browser can read, got b.wav")
    page.get_by_role("button", name="Record").click()
    expect(page.locator("meter")).not_to_have_js_property("value", 0, timeout=SLOW)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".given-in .sound")).to_have_count(1, timeout=SLOW)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_refused_microphone_is_said(opened: Callable[..., Page]) -> None:
    page = opened("#/use/tones-1")
    refuse = "async () => { throw new DOMException('no', 'NotAllowedError') }"
    page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse} }}")
    page.get_by_role("button", name="Record").click(timeout=SLOW)
    expect(page.get_by_role("alert")).to_contain_text("Expected leave to use the microphone, which was refused")


def test_words_light_what_they_attend_to(opened: Callable[..., Page]) -> None:
    page = opened("#/use/reverser-1", width=400, dark=True)
    page.get_by_label("Your text").fill("stone")
    page.get_by_role("button", name="Ask").click()
    answer = page.locator(".answer")
    expect(answer).to_contain_text("enots", timeout=SLOW)
    answer.locator("button.token").first.focus()
    expect(answer.locator("span.token.lit")).to_have_text("e")
    expect(answer.get_by_role("status").first).to_contain_text("e: e")
    narrow_enough(page)


def test_options_of_a_page_change_its_answer(opened: Callable[..., Page]) -> None:
    page = opened("#/use/reverser-1")
    page.get_by_label("Your text").fill("stone")
    page.get_by_role("button", name="Ask").click()
    answer = page.locator(".answer")
    expect(answer).to_contain_text("enots", timeout=SLOW)
    page.get_by_label("case").select_option("upper")
    expect(answer).to_contain_text("ENOTS", timeout=SLOW)
    page.get_by_label("longest").fill("3")
    page.get_by_label("longest").press("Tab")
    expect(answer).to_contain_text("OTS", timeout=SLOW)
    expect(answer).not_to_contain_text("ENOTS")
    page.get_by_label("longest").fill("2.5")
    page.get_by_label("longest").press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("expected --longest as integer, got '2.5'", ignore_case=True)


def test_without_a_game_the_view_says_so(opened: Callable[..., Page]) -> None:
    page = opened("#/play/tones-1", width=400)
    expect(page.get_by_text("Runs that play a board game")).to_be_visible(timeout=SLOW)
    show(page, "#/play")
    expect(page.get_by_role("link", name="tictactoe-1")).to_be_visible()
    narrow_enough(page)
