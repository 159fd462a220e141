"""A run that plays a board game, in Chromium: it replies and thinks aloud, the solver says what moves are worth."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Server

FILE = str(Path(__file__).parents[1] / "contract" / "pages" / "boards.py")
SLOW = 60_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: boards-1 plays connect four, boards-2 othello, alphazero-1 go."""
    folder = tmp_path_factory.mktemp("board")
    code = f"""
from milestones.cli import main
for name in ("connect_four", "othello6"):
    main(["train", {FILE!r}, "--game", name, "--steps", "20", "--positions", "100", "--pairs", "1"])
from pathlib import Path
from milestones.verbs.execute import Order, begin
small = dict(blocks=1, channels=8, steps=4, together=8, abreast=4, start=40, blind=4, simulations=4, few=4,
             considered=4, batch=16, looks=1, examined=1, pairs=1, searched=2, first=100, most=4)
begin("alphazero", dict(small, game="go5"), Order(plan="contiguous/float32/1"), Path("runs"))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, timeout=280)
    assert len(list(folder.glob("runs/*/report.json"))) == 3, done.stderr[-2000:]
    return folder / "runs"


@pytest.fixture
def studio(home: Path, trained: Path) -> Iterator[Server]:
    shutil.copytree(trained, home / "runs")
    server = Server(home, FILE)
    yield server
    server.end()


def test_a_run_is_played_against(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened("#/play/boards-1")
    board = page.locator("svg.board")
    expect(board.locator(".lines")).to_have_count(1, timeout=SLOW)
    page.get_by_role("button", name="Ask the solver").click()
    expect(board.locator(".worth")).to_have_count(7, timeout=SLOW)
    expect(board.locator(".worth.wins")).to_have_count(1)
    expect(board.locator(".worth.loses")).to_have_count(4)
    expect(page.get_by_text("The solver, for the one to move: above 0 wins")).to_be_visible()
    page.get_by_role("button", name="What does it think?").click()
    expect(board.locator(".worth")).to_have_count(0, timeout=SLOW)
    expect(board.locator(".map").first).to_be_visible()
    expect(page.locator(".chances")).to_contain_text("%")
    expect(page.locator("ul.tree li").first).to_be_attached()
    expect(board.locator(".stone")).to_have_count(0)
    page.get_by_label("Simulations a move").select_option("10")
    board.focus()
    page.keyboard.press("Enter")  # the middle: the stone falls
    expect(board.locator(".stone.yellow")).to_have_count(1, timeout=SLOW)
    expect(board.locator(".stone.red")).to_have_count(1)
    expect(page.locator(".position")).to_contain_text("yellow to move")
    expect(page.get_by_text("considered")).to_be_visible()
    expect(page.get_by_role("button", name="Pass")).to_be_hidden()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save SGF").click()
    saved.value.save_as(tmp_path / "a.sgf")
    assert ";B[df]" in (tmp_path / "a.sgf").read_text()
    page.get_by_role("button", name="Undo").click()
    expect(board.locator(".stone")).to_have_count(0)
    page.locator("#sgf-input").set_input_files(tmp_path / "a.sgf")
    expect(board.locator(".stone")).to_have_count(2, timeout=SLOW)
    (tmp_path / "bad.sgf").write_text("(;GM[4]GN[connect four]SZ[7:6];B[dc])")
    page.locator("#sgf-input").set_input_files(tmp_path / "bad.sgf")
    (tmp_path / "wrong.sgf").write_text("(;GM[4]GN[connect four]SZ[7:6];B[df];B[cf])")
    page.locator("#sgf-input").set_input_files(tmp_path / "wrong.sgf")
    expect(page.get_by_role("alert")).to_contain_text("a move that the rules allow", timeout=SLOW)
    page.get_by_label("You play").select_option("2")
    expect(board.locator(".stone.yellow")).to_have_count(1, timeout=SLOW)
    expect(board.locator(".stone.red")).to_have_count(0)


def test_a_game_without_a_solver_on_a_narrow_screen(opened: Callable[..., Page]) -> None:
    page = opened("#/play/boards-2", width=400)
    board = page.locator("svg.board")
    expect(board.locator(".stone")).to_have_count(4, timeout=SLOW)
    expect(page.get_by_role("button", name="Ask the solver")).to_have_count(0)
    box = board.bounding_box()
    assert box is not None
    board.click(position={"x": box["width"] * 1.3 / 7.6, "y": box["height"] * 0.8 / 7.2})  # a corner, too early
    expect(page.get_by_role("alert")).to_contain_text("a move that the rules allow, got A1 as move 1", timeout=SLOW)
    page.get_by_label("You play").select_option("2")
    expect(board.locator(".stone")).to_have_count(5, timeout=SLOW)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_game_of_go_is_loaded_walked_through_and_judged(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened("#/play/alphazero-1")
    board = page.locator("svg.board")
    expect(board.locator(".lines")).to_have_count(1, timeout=SLOW)
    (tmp_path / "a.sgf").write_text("(;GM[1]FF[4]SZ[5]KM[6.5];B[cc];W[cd];B[bd];W[ba];B[dd];W[aa];B[ce](;W[ca])(;W[]))")
    page.locator("#sgf-input").set_input_files(tmp_path / "a.sgf")
    expect(board.locator(".stone")).to_have_count(7, timeout=SLOW)  # eight were laid, one was taken
    walk = page.get_by_label("Move of the game")
    expect(page.get_by_text("8 of 8")).to_be_visible()
    expect(page.get_by_text("1 variation passed over; komi 6.5 there, the net learned with 7.5")).to_be_visible()
    expect(page.get_by_text("along the game", exact=True)).to_be_visible(timeout=SLOW)
    walk.focus()
    page.keyboard.press("Home")
    expect(board.locator(".stone")).to_have_count(0, timeout=SLOW)
    page.keyboard.press("ArrowRight")
    expect(board.locator(".stone.p1")).to_have_count(1, timeout=SLOW)
    expect(page.get_by_text("1 of 8")).to_be_visible()
    expect(page.get_by_text("along the game", exact=True)).to_be_visible()
    page.get_by_label("Show on the board").select_option("owner")
    expect(board.locator(".map")).to_have_count(0)
    expect(page.locator(".position")).to_contain_text("white to move")
    page.get_by_role("button", name="What does it think?").click()
    page.get_by_role("button", name="New game").click()  # what it thinks comes too late
    expect(walk).to_be_hidden()
    box = board.bounding_box()
    assert box is not None
    board.click(position={"x": box["width"] * 3.3 / 6.6, "y": box["height"] * 2.8 / 6.2})  # C3, the middle crossing
    expect(board.locator(".stone.p1")).to_have_count(1, timeout=SLOW)
    page.get_by_role("button", name="Chances along the game").click()
    expect(walk).to_be_visible(timeout=SLOW)
    (tmp_path / "bad.sgf").write_text("(;SZ[5];B[cc];W[cc])")
    page.locator("#sgf-input").set_input_files(tmp_path / "bad.sgf")
    expect(page.get_by_role("alert")).to_contain_text("got C3 as move 2 in your file", timeout=SLOW)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
