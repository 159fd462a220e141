"""Runs in real Chromium: listed, filtered, compared, exported, deleted and brought back, and one run's page."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from milestones.catalog import SHIPPED

from .conftest import Server, show


def made(root: Path, name: str, lines: int = 60, state: str = "finished", seed: int = 0, **more: Any) -> Path:
    """A run's folder, as a training leaves it."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    with open(folder / "log.jsonl", "w") as file:
        for i in range(1, lines + 1):
            row = {"stage": "train", "step": i, "seconds": i / 10, "loss": math.exp(-i / lines) + seed / 10}
            file.write(json.dumps({**row, "valid_error": 50 / i} if i % 10 == 0 else row) + "\n")
    now = time.time() if state == "training" else 1
    status = {"format": 1, "state": state, "step": lines, "total": 100, "seconds": lines / 10, "updated": now}
    (folder / "status.json").write_text(json.dumps(status))
    if state == "finished":
        score = {"value": 2.0 + seed, "low": 1.5 + seed, "high": 2.5 + seed, "unit": "%", "better": "lower",
                 "data": "digits", "split": "test", "over": 1000}  # fmt: skip
        finding = {"sure": "likely", "says": "the loss still falls", "do": "train longer"}
        report = {
            "format": 1,
            "scores": {"error": score},
            "seconds": lines / 10,
            "findings": [finding],
            "plan": "plain",
        }
        (folder / "report.json").write_text(json.dumps(report))
    config = {"format": 1, "system": name.rpartition("-")[0], "preset": "quick", "seed": seed, "began": 1.7e9 + seed,
              "command": f"milestones train lenet --seed {seed}", "config": {"lr": 0.1, **more}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def rows(page: Page) -> list[str]:
    """The names of the listed runs, in their order, without those that ship."""
    names = page.locator(".runs tbody td[data-label=Run]").all_inner_texts()
    return [name for name in names if not name.startswith("shipped:")]


@pytest.fixture
def four(studio: Server) -> Path:
    """Two seeds of one setting, another setting, and a run that trains."""
    made(studio.folder, "lenet-1", seed=0)
    made(studio.folder, "lenet-2", seed=1)
    made(studio.folder, "mlp-1", seed=2, lr=0.5)
    made(studio.folder, "lenet-10", 30, "training", seed=3)
    return studio.folder


def test_runs_are_listed_compared_deleted_and_brought_back(opened: Callable[..., Page], four: Path) -> None:
    page = opened("#/runs", height=560)
    assert rows(page) == ["lenet-10", "mlp-1", "lenet-2", "lenet-1"]  # the latest first
    page.get_by_role("button", name="Score").click()
    assert rows(page)[:3] == ["mlp-1", "lenet-2", "lenet-1"]
    page.get_by_role("button", name="Run", exact=True).click()
    assert rows(page) == ["lenet-1", "lenet-2", "lenet-10", "mlp-1"]
    expect(page.locator("th[aria-sort]")).to_have_text("Run ▲")
    page.get_by_label("Find runs").fill("mlp quick")
    assert rows(page) == ["mlp-1"]
    page.get_by_label("Find runs").fill("nothing like it")
    expect(page.get_by_text("No run fits")).to_be_visible()
    page.get_by_label("Find runs").fill("")
    page.get_by_label("State", exact=True).select_option("training")
    assert rows(page) == ["lenet-10"]
    page.get_by_label("Select lenet-10").check()
    expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    page.get_by_label("Select lenet-10").uncheck()
    page.get_by_label("State", exact=True).select_option("")

    for run in ("lenet-1", "lenet-2", "mlp-1"):
        page.get_by_label(f"Select {run}", exact=True).check()
    expect(page.locator(".curves[data-drawn='3'] canvas")).to_be_visible()
    table = page.locator(".compare")
    expect(table.locator("thead")).to_contain_text("lr")
    expect(table.locator("tr", has_text="lenet-1")).to_contain_text("2 runs, equal but for the seed")
    expect(table.locator("tr", has_text="lenet-1")).to_contain_text("2.5")  # the mean
    expect(table.locator("tr", has_text="mlp-1")).to_contain_text("3.50 to 4.50 %")
    page.get_by_label("Quantity").select_option("valid_error")
    expect(page.locator(".chart")).to_have_attribute("aria-label", re.compile("^valid error over step"))
    page.reload()  # the address holds what was selected
    expect(page.locator(".curves[data-drawn='3'] canvas")).to_be_visible()

    # Something new appears while the list is used: focus, selection and scroll stay.
    page.get_by_label("Select mlp-1").focus()
    page.evaluate("document.querySelector('.list').scrollTop = 20")
    made(four, "parity-1", seed=4)
    expect(page.locator(".runs a", has_text="parity-1")).to_be_visible(timeout=15_000)
    expect(page.get_by_label("Select mlp-1")).to_be_focused()
    assert page.evaluate("document.querySelector('.list').scrollTop") == 20
    assert page.locator(".runs tr.on").count() == 3

    page.get_by_label("Select lenet-1", exact=True).uncheck()
    page.get_by_label("Select lenet-2").uncheck()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export as zip").click()
    with zipfile.ZipFile(saved.value.path()) as zipped:
        assert saved.value.suggested_filename == "mlp-1.zip" and "mlp-1/log.jsonl" in zipped.namelist()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".toast")).to_contain_text("mlp-1 was moved to runs/.studio/trash/")
    expect(page.locator(".runs a", has_text="mlp-1")).to_have_count(0)
    assert not (four / "runs" / "mlp-1").exists()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".runs a", has_text="mlp-1")).to_be_visible()
    assert (four / "runs" / "mlp-1" / "log.jsonl").is_file()
    page.get_by_label("Select mlp-1").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("Deleted (1)").click()
    page.locator(".trash").get_by_role("button", name="Restore").click()
    expect(page.locator(".runs a", has_text="mlp-1")).to_be_visible()
    expect(page.locator(".trash")).to_be_hidden()
    page.get_by_label("Select all runs").check()
    page.get_by_role("button", name="Delete (4)").click()  # neither what ships nor what trains
    moved = page.locator(".toast", has_text="4 runs")  # with all that ship they are compared first
    expect(moved).to_contain_text("were moved to runs/.studio/trash", timeout=60_000)
    assert sorted(path.name for path in (four / "runs").glob("*-*")) == ["lenet-10"]
    page.locator(".toast", has_text="4 runs").get_by_role("button", name="Undo").click()
    expect(page.locator(".trash")).to_be_hidden(timeout=60_000)  # they come back one after the other
    assert len(list((four / "runs").glob("*-*"))) == 5


def test_the_page_of_a_run(opened: Callable[..., Page], studio: Server) -> None:
    folder = made(studio.folder, "lenet-1")
    (folder / "shows").mkdir()
    for step in (10, 20):
        picture = io.BytesIO()
        Image.new("L", (8, 8), step * 10).save(picture, "png")
        (folder / "shows" / f"train-{step:08d}-filters.png").write_bytes(picture.getvalue())
    ranking = {"format": 1, "value": [{"label": "seven", "chance": 0.75}, {"label": "one", "chance": 0.25}]}
    (folder / "shows" / "train-00000020-guess.json").write_text(json.dumps(ranking))
    (folder / "report.html").write_text("<title>r</title><h1>the report</h1><script>parent.harm = 1</script>")
    page = opened("#/runs/lenet-1")
    expect(page.locator("h1")).to_have_text("lenet-1")
    expect(page.locator(".figure")).to_have_text("2.00 %")
    expect(page.get_by_text("the loss still falls")).to_be_visible()
    expect(page.locator(".curves[data-drawn='1'] canvas")).to_be_visible()
    expect(page.locator(".sample", has_text="filters")).to_contain_text("step 20")
    page.get_by_label("Step of filters").press("ArrowLeft")
    expect(page.locator(".sample", has_text="filters")).to_contain_text("step 10")
    expect(page.get_by_alt_text("filters at step 10")).to_be_visible()
    expect(page.locator(".sample", has_text="guess")).to_contain_text("seven")
    expect(page.locator(".copy pre")).to_have_text("milestones train lenet --seed 0")
    hrefs = [link.get_attribute("href") for link in page.locator(".run-head a.button").all()]
    assert hrefs[:4] == [f"#/{view}/lenet-1" for view in ("use", "look", "attack", "landscape")]
    page.get_by_text("Report", exact=True).click()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("the report")
    assert page.evaluate("window.harm") is None  # the report's frame runs nothing
    page.problems[:] = [p for p in page.problems if "sandboxed" not in p]  # type: ignore[attr-defined]


def test_the_page_of_a_run_that_trains_and_of_one_that_stopped(opened: Callable[..., Page], studio: Server) -> None:
    folder = made(studio.folder, "lenet-1", 30, "training")
    page = opened("#/runs/lenet-1")
    expect(page.locator("progress")).to_have_js_property("value", 0.3)
    expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"stage": "train", "step": 50, "seconds": 5, "loss": 0.1}\n')
    status = {"format": 1, "state": "stopped", "step": 50, "total": 100, "seconds": 5, "updated": 2}
    (folder / "status.json").write_text(json.dumps(status))
    expect(page.locator(".run-head .tag")).to_have_text("stopped", timeout=15_000)
    expect(page.locator("progress")).to_be_hidden()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("h1")).to_have_text("Runs")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".runs a", has_text="lenet-1")).to_be_visible()
    shutil.copytree(SHIPPED / "mlp", studio.folder / "runs" / "mlp-7", ignore=shutil.ignore_patterns("log.jsonl"))
    show(page, "#/runs/mlp-7")
    expect(page.get_by_text("No curves")).to_be_visible()
    show(page, "#/runs/shipped:mlp")
    expect(page.locator(".chart").first).to_be_visible()
    assert page.get_by_role("button", name="Delete").count() == 0


def test_a_zoom_by_keys_asks_for_the_lines_of_its_range(opened: Callable[..., Page], studio: Server) -> None:
    made(studio.folder, "lenet-1", 40_000)
    page = opened("#/runs/lenet-1")
    expect(page.get_by_text("Thinned")).to_be_visible()
    with page.expect_response(lambda answer: "low=" in answer.url) as told:
        page.locator(".chart").focus()
        for _ in range(3):
            page.keyboard.press("+")
    assert told.value.json()["x"][0] > 10_000
    expect(page.locator(".curves[data-drawn='1']")).to_be_visible()


def test_the_runs_fit_a_phone(opened: Callable[..., Page], four: Path) -> None:
    page = opened("#/runs?runs=lenet-1,mlp-1", width=400, dark=True)
    expect(page.locator(".curves[data-drawn='2'] canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    box = page.locator(".runs tbody tr").first.bounding_box()
    assert box is not None and box["width"] <= 400 < 4 * box["height"]  # a card, not a line
    page.get_by_label("Sort").select_option("run")
    assert rows(page)[0] == "lenet-1"
    show(page, "#/runs/lenet-1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
