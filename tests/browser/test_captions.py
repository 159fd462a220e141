"""A picture is answered by a sentence, and by where each of its words was looked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from .conftest import Server

SMALL = "--pictures 64 --short-steps 2 --steps 3 --batch 8 --width 4 --hidden 8"
TRAIN = ["train", "captions", *SMALL.split()]
SLOW = 60_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that learned hardly anything, but says what it sees."""
    folder = tmp_path_factory.mktemp("captions")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "milestones", *TRAIN], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert (folder / "runs" / "captions-1" / "report.json").exists(), done.stderr[-2000:]
    return folder / "runs"


@pytest.fixture
def studio(home: Path, trained: Path) -> Iterator[Server]:
    shutil.copytree(trained, home / "runs")
    server = Server(home)
    yield server
    server.end()


def test_a_picture_is_answered_by_a_sentence(opened: Callable[..., Page], tmp_path: Path) -> None:
    picture = tmp_path / "square.png"
    pixels = np.full((90, 120, 3), 128, np.uint8)
    pixels[30:60, 40:70] = (214, 38, 40)
    Pillow.fromarray(pixels).save(picture)
    page = opened("#/use/captions-1", width=400)
    page.locator("input[type=file]").set_input_files(picture, timeout=SLOW)
    answer = page.locator(".answer")
    expect(answer).to_contain_text("sentences", timeout=SLOW)
    rows = answer.locator("table tbody tr")
    expect(rows).to_have_count(3)
    best = rows.first.locator("td").first.inner_text()
    expect(answer.locator("figure").first).to_contain_text(best)
    expect(answer.locator("canvas").first).to_be_visible()
    page.get_by_label("beam").fill("5")
    page.get_by_label("beam").press("Tab")
    expect(rows).to_have_count(5, timeout=SLOW)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
