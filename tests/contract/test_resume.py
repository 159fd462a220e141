"""Killed at any moment, signalled, stopped or out of space: a run goes on to the same bits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import children
from contract.conftest import Page, page_of

from milestones.core.errors import UserError
from milestones.verbs.execute import Order, begin, go_on

Fork = Callable[..., Any]
SECONDS = 120  # a child that takes longer hangs


def log(folder: Path) -> list[dict[str, Any]]:
    """The log without what the clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def own(page: Page) -> str:
    return page.name if page.name.endswith(".py") else ""


def resume(folder: Path, page: Page) -> None:
    assert go_on(folder, own(page), None, lambda _: None).ended == ""


def same(folder: Path, whole: Path) -> None:
    """Both runs ended in the same weights, log and scores."""
    assert weights(folder) == weights(whole)
    assert log(folder) == log(whole)
    ours, theirs = (json.loads((f / "report.json").read_text()) for f in (folder, whole))
    assert ours["scores"] == theirs["scores"]
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert not list(folder.rglob(".*")), "nothing written aside is left"


def run(fork: Fork, page: Page, root: Path, **more: Any) -> tuple[int, Path, str]:
    """Train in a child: exit code, run folder, what it said to the user."""
    said = root.parent / "said.txt"
    order = more.pop("order", page.order())
    child = fork(children.train, str(root), page.name, page.settings, order, said=str(said), **more)
    child.join(SECONDS)
    assert child.exitcode is not None, "hangs"
    return child.exitcode, root / f"{Path(page.name).stem}-1", said.read_text() if said.exists() else ""


@pytest.mark.parametrize("when", ["step", "rename", "renamed", "line", "weights"])
def test_kill_then_resume(page: Page, trained: Path, tmp_path: Path, fork: Fork, when: str) -> None:
    at = {"step": 4, "rename": 2, "renamed": 2, "line": 3, "weights": 1}[when]
    code, folder, said = run(fork, page, tmp_path / "runs", every=2, when=when, at=at)
    assert code == -9, said
    resume(folder, page)
    same(folder, trained)


@pytest.mark.parametrize(("when", "at"), [("step", 1), ("line", 1), ("rename", 1), ("score", 1), ("report", 1)])
def test_kill_early_and_late(tmp_path: Path, place: Path, fork: Fork, when: str, at: int) -> None:
    page = page_of("lenet", place)
    whole = begin(page.name, page.settings, Order(**page.order()), tmp_path / "whole").folder
    code, folder, said = run(fork, page, tmp_path / "runs", every=5, when=when, at=at)
    assert code == -9, said
    resume(folder, page)
    same(folder, whole)


def test_killed_again_and_again(tmp_path: Path, place: Path, fork: Fork, trained_lenet: Path) -> None:
    page = page_of("lenet", place)
    code, folder, _ = run(fork, page, tmp_path / "runs", every=3, when="step", at=5)
    for at in (1, 4, 8):
        assert code == -9
        code, _, _ = run(fork, page, tmp_path / "runs", every=3, when="step", at=at, resume=str(folder))
    assert code == -9
    resume(folder, page)
    same(folder, trained_lenet)


def test_channels_last_and_fused_adam(tmp_path: Path, place: Path, fork: Fork) -> None:
    page = page_of("lenet", place)
    order = page.order(plan="channels_last/float32/1")
    whole = begin(page.name, page.settings, Order(**order), tmp_path / "whole").folder
    code, folder, said = run(fork, page, tmp_path / "runs", order=order, every=4, when="step", at=18)
    assert code == -9, said
    assert (folder / "state" / "train.safetensors").exists()
    resume(folder, page)
    same(folder, whole)
    assert json.loads((folder / "plan.json").read_text())["layout"] == "channels_last"


@pytest.mark.parametrize("what", ["int", "term"])
def test_signal_saves_and_ends(page: Page, trained: Path, tmp_path: Path, fork: Fork, what: str) -> None:
    code, folder, said = run(fork, page, tmp_path / "runs", when="step", at=3, what=what)
    assert code == 130, said
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "stopped"
    assert 0 < status["step"] == log(folder)[-1]["step"] < log(trained)[-1]["step"]
    assert (folder / "weights.safetensors").exists()
    resume(folder, page)
    same(folder, trained)


def test_signal_in_the_last_step(tmp_path: Path, place: Path, fork: Fork, trained_lenet: Path) -> None:
    page = page_of("lenet", place)
    last = log(trained_lenet)[-1]["step"]
    code, folder, said = run(fork, page, tmp_path / "runs", when="step", at=last, what="int")
    assert code == 130, said
    assert json.loads((folder / "status.json").read_text())["state"] == "stopped"
    resume(folder, page)
    same(folder, trained_lenet)


def test_second_signal_ends_at_once(tmp_path: Path, place: Path, fork: Fork, trained_lenet: Path) -> None:
    page = page_of("lenet", place)
    code, folder, said = run(fork, page, tmp_path / "runs", every=2, when="step", at=7, what="int twice")
    assert code == 130, said
    assert not (folder / "weights.safetensors").exists(), "it did not wait for the end of the step"
    resume(folder, page)
    same(folder, trained_lenet)


def test_signal_while_scoring_is_not_lost(tmp_path: Path, place: Path, fork: Fork) -> None:
    page = page_of("lenet", place)
    code, folder, said = run(fork, page, tmp_path / "runs", when="score", at=1, what="int")
    assert code == 130, said
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"


def test_stop_file(
    tmp_path: Path, place: Path, fork: Fork, monkeypatch: pytest.MonkeyPatch, trained_lenet: Path
) -> None:
    import milestones.core.run as core

    page = page_of("lenet", place)
    seen: list[int] = []

    class Eager(core.Clock):
        files = 0.0  # looks for the file at each step

        def __setattr__(self, name: str, value: Any) -> None:
            if name not in ("files", "look"):
                super().__setattr__(name, value)

        look = 0.0

    def step(self: core.Run, **_: Any) -> None:
        seen.append(self.step)
        if self.step == 6:
            (self.folder / "stop").touch()
        inner(self, **_)

    inner = core.Run.log
    with monkeypatch.context() as patch:
        patch.setattr(core, "Clock", Eager)
        patch.setattr(core.Run, "log", step)
        outcome = begin(page.name, page.settings, Order(**page.order()), tmp_path / "runs")
    assert outcome.ended == "stopped"
    assert max(seen) == 6
    assert outcome.report["steps"] == 7
    resume(outcome.folder, page)
    assert not (outcome.folder / "stop").exists()
    assert weights(outcome.folder) == weights(trained_lenet)
    assert log(outcome.folder) == log(trained_lenet)


def test_minutes(tmp_path: Path, place: Path, trained_lenet: Path) -> None:
    page = page_of("lenet", place)
    outcome = begin(page.name, page.settings, Order(**page.order(minutes=1e-6)), tmp_path / "runs")
    assert outcome.ended == "minutes"
    assert outcome.report["steps"] == 1
    assert outcome.report["ended"] == "minutes"
    assert outcome.report["scores"]["error"]["over"] > 0
    resume(outcome.folder, page)
    assert weights(outcome.folder) == weights(trained_lenet)


def test_the_last_update_is_not_cut_off(tmp_path: Path, place: Path) -> None:
    page = page_of("lenet", place)
    outcome = begin(page.name, {**page.settings, "steps": 1}, Order(**page.order(minutes=1e-6)), tmp_path)
    assert outcome.ended == "" and outcome.report["ended"] == "finished"


def test_paced_to_the_minutes(tmp_path: Path, place: Path) -> None:
    """A recipe that was chosen for the user ends its schedule in the time that there is; it repeats without a clock."""
    page = page_of("lenet", place)
    told: list[str] = []
    few = begin(page.name, {**page.settings, "steps": 1_000_000}, Order(**page.order(minutes=0.02, paced=True)),
                tmp_path, told.append)  # fmt: skip
    steps = few.report["config"]["steps"]
    assert 1 < steps < 10_000
    assert any(f"{steps:,} updates instead of 1,000,000" in line for line in told)
    assert f"--steps {steps}" in few.report["command"]
    assert few.report["steps"] <= steps and few.report["seconds"] < 1.5
    assert "paced" not in json.loads((few.folder / "config.json").read_text())
    resume(few.folder, page)
    ample = begin(page.name, page.settings, Order(**page.order(minutes=60.0, paced=True)), tmp_path)
    assert ample.report["config"]["steps"] == page.settings["steps"], "no more than was asked for"


def test_resume_of_a_finished_run_changes_no_bit(tmp_path: Path, page: Page, trained: Path) -> None:
    before, words = weights(trained), log(trained)
    resume(trained, page)
    assert weights(trained) == before
    assert log(trained) == words


def test_two_processes_on_one_folder(tmp_path: Path, trained_lenet: Path) -> None:
    from milestones.core.folder import held

    with (
        held(trained_lenet),
        pytest.raises(UserError, match=r"for this process alone, got a lock held by process \d+ on .* for \d+ min"),
    ):
        go_on(trained_lenet, "", None, lambda _: None)
    go_on(trained_lenet, "", None, lambda _: None)


def test_lock_of_a_living_process(tmp_path: Path, place: Path, fork: Fork) -> None:
    page = page_of("lenet", place)
    child = fork(children.train, str(tmp_path / "runs"), page.name, {**page.settings, "steps": 100_000}, page.order())
    folder, end = tmp_path / "runs" / "lenet-1", time.monotonic() + SECONDS
    while not (folder / "log.jsonl").exists():
        assert child.is_alive()
        assert time.monotonic() < end
        time.sleep(0.05)
    with pytest.raises(UserError, match=f"held by process {child.pid} on"):
        go_on(folder, "", None, lambda _: None)
    child.kill()
    child.join()
    config = json.loads((folder / "config.json").read_text())
    config["config"]["steps"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    resume(folder, page)  # the lock of a killed process holds nobody


def test_seeds_are_a_group(tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from milestones.cli import main

    page = page_of("lenet", place)
    words = ["train", "lenet", "--steps", "5", "--batch", "8", "--data", page.data, "--plan", children.PLAN]
    assert main([*words, "--seeds", "3", "--runs", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    values = [report["scores"]["error"]["value"] for report in found["runs"]]
    group = found["group"]["error"]
    assert [report["seed"] for report in found["runs"]] == [0, 1, 2]
    assert group["values"] == values
    assert group["mean"] == pytest.approx(sum(values) / 3)
    assert group["low"] <= group["mean"] <= group["high"]
    assert len({weights(tmp_path / f"lenet-{n}") for n in (1, 2, 3)}) == 3
    assert main(["compare", "--runs", str(tmp_path), "--json"]) == 0
    assert [g["runs"] for g in json.loads(capsys.readouterr().out)["groups"]] == [["lenet-1", "lenet-2", "lenet-3"]]
    assert main(["compare", "lenet", "--runs", str(tmp_path)]) == 0  # of a page all its runs
    said = capsys.readouterr().out
    assert "lenet-1 .. lenet-3" in said and f"[{group['low']:.4g}, {group['high']:.4g}] (3 seeds)" in said
    assert "[95 %]: of the seeds where there are several" in said
