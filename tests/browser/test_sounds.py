"""A run that hears: examples of its own test data, heard and answered in Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Server

SLOW = 60_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the page sounds, of a few updates."""
    folder = tmp_path_factory.mktemp("sounds")
    words = ["train", "sounds", "--steps", "6", "--width", "2", "--plan", "exact"]
    command = [sys.executable, "-P", "-m", "milestones", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "runs"


@pytest.fixture
def studio(home: Path, trained: Path) -> Iterator[Server]:
    shutil.copytree(trained, home / "runs")
    server = Server(home)
    yield server
    server.end()


def test_an_example_is_heard_and_answered(opened: Callable[..., Page]) -> None:
    page = opened("#/use/sounds-1")
    sample = page.get_by_role("button", name=re.compile("Use an example, true answer")).nth(1)
    expect(sample).to_be_visible(timeout=SLOW)
    said = sample.inner_text().split()
    assert re.fullmatch(r"\d\.\d", said[0]) and said[1] == "s"
    sample.click()
    answer = page.locator(".answer")
    expect(answer).to_contain_text(f"True answer: {said[2]}", timeout=SLOW)
    expect(answer.locator("figure")).to_have_count(3)  # ranking, when, heard
    expect(page.get_by_role("img", name="spectrogram, 0 to 4000 hertz")).to_be_visible()  # of the sound itself
    page.get_by_label("More examples").click()
    expect(page.get_by_role("button", name=re.compile("Use an example, true answer"))).to_have_count(12)
