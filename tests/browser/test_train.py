"""Training in the studio: a form from the Config, curves that grow, a server that goes and comes, own data."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from milestones.catalog import SHIPPED
from milestones.core.folder import read_json
from milestones.studio.library import owner, state

from .conftest import Server, show

LONG = 150_000  # milliseconds: PyTorch starts on a busy machine


@pytest.fixture(autouse=True)
def _no_training_is_left(home: Path) -> Iterator[None]:
    """What a failed test leaves training is ended."""
    yield
    for folder in (home / "runs").glob("*-*"):
        if state(folder, read_json(folder, "status.json") if (folder / "status.json").exists() else {}) == "training":
            os.kill(owner(folder), signal.SIGKILL)


def step_of(page: Page) -> int:
    found = re.search(r"tep ([\d,]+)", page.locator(".status .now").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def stays(page: Page) -> bool:
    """Whether the chart is the same element after more points: one that is made anew flickers."""
    kept, before = page.evaluate_handle("() => document.querySelector('.plot canvas')"), step_of(page)
    until(lambda: step_of(page) > before)
    return bool(page.evaluate("(kept) => kept.isConnected", kept))


def until(met: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_form_says_what_is_wrong_and_keeps_its_state_in_the_link(opened: Callable[..., Page]) -> None:
    page = opened("#/train/mlp?preset=deep&lr=0.02")
    assert page.locator("#knob-lr").input_value() == "0.02"
    hidden = page.locator("#knob-hidden").input_value()
    assert hidden.count(" ") > 2  # the preset's own
    page.locator("#knob-hidden").fill("9, x")
    expect(page.locator("#wrong-hidden")).to_have_text("Expected a list, each a whole number from 1, got “9, x”.")
    page.get_by_role("button", name="Train", exact=True).click()  # nothing is sent
    expect(page.get_by_role("alert")).to_contain_text("hidden: Expected a list")
    assert page.evaluate("document.activeElement.id") == "knob-hidden"
    page.locator("#knob-hidden").fill("9 8")
    page.locator("#knob-dropout").fill("1")
    expect(page.locator("#wrong-dropout")).to_contain_text("a number from 0 below 1, got “1”")
    page.get_by_role("button", name="dropout: back to").click()
    assert page.locator(".knob.changed").count() == 2
    page.locator("#knob-seed").fill("7")
    expect(page.locator(".command code")).to_have_text(
        "milestones train mlp --preset deep --seed 7 --hidden 9 8 --lr 0.02"
    )
    assert page.evaluate("location.hash") == "#/train/mlp?preset=deep&hidden=9+8&lr=0.02&seed=7"
    page.get_by_label("Preset").select_option("quick")
    assert page.locator("#knob-lr").input_value() == "0.004"
    for address in ("descent?lr=none", "parity", "depth", "zipcode"):  # null-able, lists with a length, texts
        show(page, f"#/train/{address}")
        assert page.locator(".knob [aria-invalid=true]").count() == 0, address
    show(page, "#/train/descent?formula=x%20*%20'y'&start=1%202%203")
    expect(page.locator("#wrong-start")).to_have_text("Expected 0 to 2 values, got 3.")
    page.locator("#knob-start").fill("1 2")
    expect(page.locator(".command code")).to_contain_text("""--formula 'x * '"'"'y'"'"'' --start 1 2""")


def test_train_lose_the_server_pause_resume_and_finish(opened: Callable[..., Page], studio: Server) -> None:
    page = opened("#/train/mlp?steps=400000&hidden=8&pipelines=false")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_selector(".plot canvas", timeout=LONG)
    assert "#/train/mlp/mlp-1" in page.url
    words = "milestones train mlp --seed 0 --hidden 8 --steps 400000 --pipelines False"
    expect(page.locator(".command code")).to_have_text(words)
    until(lambda: stays(page))
    page.locator(".plot .u-over").first.hover(position={"x": 100, "y": 60})  # zoom
    page.mouse.down()
    page.mouse.move(page.locator(".plot .u-over").first.bounding_box()["x"] + 220, 400)  # type: ignore[index]
    page.mouse.up()
    page.get_by_role("button", name="Logarithmic").click()
    assert "log=1" in page.url
    other = opened("#/train/mlp/mlp-1")  # a second browser follows the same run
    seen = step_of(page)
    until(lambda: step_of(other) > seen)
    other.context.close()

    port = studio.root.rpartition(":")[2]
    studio.end()
    expect(page.locator("#link")).to_contain_text("Connection lost", timeout=LONG)
    at = step_of(page)
    studio.begin("--port", port)
    expect(page.locator("#link")).to_contain_text("open the new link that the terminal printed", timeout=LONG)
    entered = page.context.new_page()
    entered.goto(studio.link)
    studio.link = studio.next_link()
    expect(page.locator("#link")).to_have_text("", timeout=LONG)
    until(lambda: step_of(page) > at)  # the run went on, and the view shows it, without a reload
    entered.close()
    problems = page.problems  # type: ignore[attr-defined]
    assert all("ERR_" in line or "401" in line for line in problems), problems
    problems.clear()

    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector(".tag.stopped", timeout=LONG)
    paused = step_of(page)
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector(".tag.training", timeout=LONG)
    until(lambda: step_of(page) > paused)
    page.get_by_role("button", name="Finish now").click()
    page.wait_for_selector(".tag.finished", timeout=LONG)
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    expect(page.locator(".live table").first).to_contain_text("error")
    expect(page.locator(".doctor li").first).to_contain_text(
        re.compile("Nothing wrong was found|Certain|Likely|Possible")
    )
    page.wait_for_selector(".samples figure", timeout=LONG)


def write_log(folder: Path, losses: list[float]) -> None:
    lines = [{"stage": "train", "step": 10 * i, "seconds": i / 10, "loss": loss} for i, loss in enumerate(losses, 1)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_are_compared_and_a_log_that_was_cut_back_is_drawn_anew(opened: Callable[..., Page], home: Path) -> None:
    for number in (1, 2):
        folder = home / "runs" / f"mlp-{number}"
        shutil.copytree(SHIPPED / "mlp", folder)
        write_log(folder, [3 / i + number for i in range(1, 30)])
    page = opened("#/train/mlp/mlp-1")
    loss = page.locator(".facts div", has_text="Loss").locator("dd").first
    expect(loss).to_have_text("1.1")
    page.get_by_label("Compare with another run").select_option("mlp-2")
    expect(page.locator(".plot .u-legend").first).to_contain_text("mlp-2 loss")
    assert page.evaluate("location.hash") == "#/train/mlp/mlp-1?with=mlp-2"
    write_log(home / "runs" / "mlp-1", [9.0, 8.0, 7.5])  # as a resumed run does
    expect(loss).to_have_text("7.5")
    write_log(home / "runs" / "mlp-1", [5.0 - i / 100 for i in range(300)])  # cut back and longer at once
    expect(loss).to_have_text("2.01")
    page.get_by_role("button", name="Remove mlp-2").click()
    expect(page.locator(".plot .u-legend").first).not_to_contain_text("mlp-2")


def test_a_start_that_the_page_cannot_check_is_told_in_one_line(opened: Callable[..., Page]) -> None:
    page = opened("#/train/descent?formula=import+os")
    page.get_by_role("button", name="Train", exact=True).click()
    line = page.locator(".train .error")
    line.wait_for(timeout=LONG)
    expect(line).to_contain_text("descent: expected")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()


def test_offline_and_back(opened: Callable[..., Page]) -> None:
    page = opened("#/train/mlp/shipped:mlp")
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    page.context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.context.set_offline(False)
    expect(page.locator("#link")).to_have_text("", timeout=LONG)
    page.problems.clear()  # type: ignore[attr-defined]


def test_own_pictures_and_a_table(opened: Callable[..., Page], tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(30):
            picture = io.BytesIO()
            Pillow.effect_noise((12, 12), 20 + 60 * (number % 2)).save(picture, "PNG")
            archive.writestr(f"pets/{'cat' if number % 2 else 'dog'}/{number}.png", picture.getvalue())
    page = opened("#/train")
    file = page.locator("input[type=file]")
    file.set_input_files({"name": "../my secret.zip", "mimeType": "application/zip", "buffer": stream.getvalue()})
    expect(page.locator(".found")).to_contain_text("It can be trained on", timeout=LONG)
    expect(page.locator(".found table")).to_contain_text("cat")
    page.get_by_role("link", name="Train lenet on it").click()
    expect(page.locator(".command code")).to_contain_text("/.studio/uploads/", timeout=LONG)
    assert "secret" not in page.content()
    show(page, "#/train")
    rows = "".join(f"{i % 9},{'yes' if i % 2 else 'no'}\n" for i in range(80))
    file.set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": f"size,bought\n{rows}".encode()})
    page.get_by_label("Column to predict").select_option("bought", timeout=LONG)
    link = page.get_by_role("link", name="Train mlp on it")
    link.wait_for(timeout=LONG)
    link.click()
    page.locator("#knob-steps").fill("30")
    page.locator("#knob-hidden").fill("4")
    page.locator("#knob-pipelines").select_option("false")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_selector(".tag.finished", timeout=LONG)
    file = page.locator("input[type=file]")
    show(page, "#/train")
    file.set_input_files({"name": "a.zip", "mimeType": "application/zip", "buffer": b"PK\3\4 nothing"})
    expect(page.locator(".own .error")).to_contain_text("data: expected a zip with a folder of pictures", timeout=LONG)
    assert all("422" in line for line in page.problems), page.problems  # type: ignore[attr-defined]
    page.problems.clear()  # type: ignore[attr-defined]
