"""Resume across stages, and what ends a run: no finite loss, a break, a full disk, a folder that is not ours."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import children
from contract.conftest import Page
from contract.test_resume import log, run, same, weights

from milestones.core.errors import UserError
from milestones.verbs.execute import Order, begin, go_on

Fork = Callable[..., Any]
FILE = str(Path(__file__).parent / "pages" / "stages.py")
PLAN = {"plan": "channels_last/float32/1"}
PAGE = Page(FILE, "stages", {}, "", "")
SMALL = Page(FILE, "stages", {"steps": 30, "fitted": 10}, "", "")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(FILE, {}, Order(**PLAN), tmp_path_factory.mktemp("stages")).folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(FILE, SMALL.settings, Order(**PLAN), tmp_path_factory.mktemp("small")).folder


def resume(folder: Path) -> None:
    assert go_on(folder, FILE, None, lambda _: None).ended == ""


# Lines of the log hold two steps here, and saves fall between: what waits for its line is part of the state.
@pytest.mark.parametrize("at", [100, 999, 1001, 1030])
def test_killed_in_either_stage(whole: Path, tmp_path: Path, fork: Fork, at: int) -> None:
    code, folder, said = run(fork, PAGE, tmp_path / "runs", order=PLAN, every=29, when="step", at=at)
    assert code == -9, said
    resume(folder)
    same(folder, whole)


@pytest.mark.parametrize("at", [3, 1000, 1015])
def test_signal_in_either_stage(whole: Path, tmp_path: Path, fork: Fork, at: int) -> None:
    code, folder, said = run(fork, PAGE, tmp_path / "runs", order=PLAN, when="step", at=at, what="term")
    assert code == 130, said
    assert (folder / "state" / "second.safetensors").exists() == (at > 1000), "later stages do not begin"
    resume(folder)
    same(folder, whole)


def test_minutes_are_of_the_run_not_of_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import milestones.core.run as core

    begun: list[core.Clock] = []

    class Slow(core.Clock):
        def __init__(self, before: float, step: int) -> None:
            super().__init__(before, step)
            begun.append(self)

        def here(self) -> float:
            return 40.0  # seconds that each stage takes

    with monkeypatch.context() as patch:
        patch.setattr(core, "Clock", Slow)
        outcome = begin(FILE, SMALL.settings, Order(**PLAN, minutes=1.0), tmp_path)
    assert len(begun) == 2
    assert outcome.ended == "minutes", "the first stage took 40 s of 60, the second may take 20"


def test_stages_have_short_new_names(tmp_path: Path) -> None:
    from milestones.core.run import Run
    from milestones.core.source import Place

    for names in (["train", "train"], ["../up"], ["Train"], [""], ["a" * 40]):
        with (
            Run(tmp_path, Place(torch.device("cpu"), 0), "exact") as run_,
            pytest.raises(RuntimeError, match="short word"),
        ):
            _ = [list(run_.steps(1, name)) for name in names]


def test_break_is_an_error_and_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'break' left the steps of stage 'first'; use run\.enough.*in train: "):
        begin(FILE, {**SMALL.settings, "leave_at": 3}, Order(**PLAN), tmp_path)
    assert json.loads((tmp_path / "stages-1" / "status.json").read_text())["state"] != "finished"
    assert not (tmp_path / "stages-1" / "report.json").exists()


def test_break_in_a_bare_loop(tmp_path: Path) -> None:
    from milestones.core.run import Run
    from milestones.core.source import Place

    def leave() -> None:
        with Run(tmp_path, Place(torch.device("cpu"), 0), "exact") as run_:
            for _ in run_.steps(3):
                break

    with pytest.raises(RuntimeError, match="'break' left the steps"):
        leave()


def test_nan_names_step_and_cause_and_keeps_the_last_good(tmp_path: Path, fork: Fork) -> None:
    from milestones.catalog import load

    page = PAGE._replace(settings={"steps": 30, "nan_at": 17})
    code, folder, said = run(fork, page, tmp_path / "runs", order=PLAN, every=4)
    assert code == 2
    assert re.search(
        "expected a finite loss, got nan at step 18 .*Cause: the step size is likely too high: lower lr", said
    )
    assert "the weights of step 16 are kept" in said
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "failed"
    assert "step 18" in status["problem"]
    kept = load(str(folder), page_name=FILE)  # usable
    assert all(torch.isfinite(t).all() for t in kept.model.state_dict().values())
    with pytest.raises(UserError, match="nan at step 18"):  # and as often as one resumes
        go_on(folder, FILE, None, lambda _: None)


def test_nan_in_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nan at step 1 .*check the data for extreme values; nothing had been saved yet"
    ):
        begin(FILE, {**SMALL.settings, "nan_at": 0}, Order(**PLAN), tmp_path)
    assert not (tmp_path / "stages-1" / "weights.safetensors").exists() or finite(tmp_path / "stages-1")


def finite(folder: Path) -> bool:
    from milestones.core.folder import read_weights

    return bool(read_weights(folder / "weights.safetensors"))


def test_state_that_is_not_finite_is_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from milestones.core.run import Run
    from milestones.core.source import Place

    with monkeypatch.context() as patch:
        patch.setattr("milestones.core.run.Clock", often(1))
        model = torch.nn.Linear(2, 2)
        with (  # noqa: PT012
            Run(tmp_path, Place(torch.device("cpu"), 0), "exact") as run_,
            pytest.raises(UserError, match="a finite loss, got nan at step 4"),
        ):
            for step in run_.steps(9, model=model):  # logs no loss
                with torch.no_grad():
                    model.weight += 1 if step < 3 else float("inf")
        good = model.weight.clone()
    assert torch.isfinite(good).all(), "put back to what was saved"
    assert (tmp_path / "state" / "train.safetensors").exists()


def often(steps: int) -> type:
    import milestones.core.run as core

    before = core.Clock
    try:
        children.save_every(steps)
        return core.Clock
    finally:
        core.Clock = before


@pytest.mark.parametrize("when", ["step", "rename", "renamed", "weights", "score", "report"])
def test_full_disk(small: Path, tmp_path: Path, fork: Fork, when: str) -> None:
    at = {"step": 20, "rename": 4, "renamed": 3}.get(when, 1)
    code, folder, said = run(fork, SMALL, tmp_path / "runs", order=PLAN, every=3, when=when, at=at, what="full")
    assert code == 2, said
    assert "Free some space, then 'milestones resume'. What was saved before is kept" in said
    assert said.count("\n") == 0
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    resume(folder)  # there is room again
    same(folder, small)


def message(act: Callable[[], object]) -> str:
    """What the user is told, or nothing."""
    try:
        act()
    except UserError as problem:
        return str(problem)
    return ""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def may_mount() -> bool:
    """Whether this process may mount: root outside of a locked container."""
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="only root can mount a small disk; test_full_disk asks the same of all")
def test_really_full_disk(small: Path, tmp_path: Path) -> None:
    resumed = 0
    with small_disk(tmp_path / "disk", 1.0) as disk:
        filler = disk / "filler"
        for kilobytes in (96, 64, 48, 36, 28, 20, 0):  # ever less room: it ends at one place after another
            filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - 1024 * kilobytes))
            said = message(lambda: begin(FILE, SMALL.settings, Order(**PLAN), disk / "runs"))
            assert not said or "No space left on device. Free some space, then 'milestones resume'" in said
            filler.unlink()
            for folder in (disk / "runs").glob("stages-*"):
                if not (folder / "report.html").exists():
                    resumed += 1
                    resume(folder)
                same(folder, small)
            shutil.rmtree(disk / "runs", ignore_errors=True)
    assert resumed >= 2, "some were stopped on the way"


def test_folder_in_whose_place_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match=r"to write stages in .*runs.*Choose a folder that you can write to"):
        begin(FILE, SMALL.settings, Order(**PLAN), tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "a file"


def test_files_in_whose_place_folders_are(small: Path, tmp_path: Path) -> None:
    for name in ("lock", "stop", "log.jsonl", "state", "shows"):
        folder = tmp_path / name
        shutil.copytree(small, folder)
        (folder / "state" / "second.safetensors").unlink()
        if name in ("state", "shows"):
            shutil.rmtree(folder / name)
            (folder / name).write_text("a file")
        else:
            (folder / name).unlink(missing_ok=True)
            (folder / name).mkdir()
        with pytest.raises(UserError, match="you can write to"):
            go_on(folder, FILE, None, lambda _: None)


@pytest.mark.skipif(not may_mount(), reason="permission bits bind all but root, and root can mount")
def test_read_only_folder(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "runs" / "stages-1")
    subprocess.run(["mount", "--bind", tmp_path / "runs", tmp_path / "runs"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "runs"], check=True)
    try:
        with pytest.raises(UserError, match=r"Read-only file system\. Choose a folder that you can write to"):
            begin(FILE, SMALL.settings, Order(**PLAN), tmp_path / "runs")
        with pytest.raises(UserError, match="Read-only file system"):
            go_on(tmp_path / "runs" / "stages-1", FILE, None, lambda _: None)
    finally:
        subprocess.run(["umount", tmp_path / "runs"], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root")
def test_folder_without_permission(small: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o555)
    with pytest.raises(UserError, match="Choose a folder that you can write to"):
        begin(FILE, SMALL.settings, Order(**PLAN), tmp_path / "runs")


def test_log_that_someone_shortened(whole: Path, tmp_path: Path, fork: Fork) -> None:
    code, folder, said = run(fork, PAGE, tmp_path / "runs", order=PLAN, every=99, when="step", at=600)
    assert code == -9, said
    (folder / "log.jsonl").write_bytes(b"")
    resume(folder)
    assert weights(folder) == weights(whole)
    assert log(folder) == log(whole)[-len(log(folder)) :], "whole lines, no zero bytes"


def test_what_a_killed_process_wrote_aside_is_removed(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "run")
    for name in (".config.json.4711", "state/.first.safetensors.4711", "shows/.a.png.4711"):
        (tmp_path / "run" / name).write_text("half")
    resume(tmp_path / "run")
    same(tmp_path / "run", small)
