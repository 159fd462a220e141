"""Several processes train as one would, end together, and leave a run that any number of them can go on with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import peers
from contract.conftest import ROOT, page_of
from safetensors.torch import load_file

SETTINGS: dict[str, Any] = {"steps": 12, "batch": 24}
NORMED: dict[str, Any] = {"steps": 10, "batch": 8, "width": 4, "side": 16}
Fork = Callable[..., Any]


def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(fork: Fork, of: int, root: Path, place: Path, page: str = "lenet", settings: dict[str, Any] = SETTINGS,
             **more: Any) -> list[int]:  # fmt: skip
    """The exit codes of so many processes that train a tiny page."""
    root.mkdir(exist_ok=True)
    at, order = port(), page_of(page, place).order()
    started = [fork(peers.part, rank, of, at, str(root), page, settings, order, **more) for rank in range(of)]
    for process in started:
        process.join(2 * peers.WAIT)
    return [process.exitcode for process in started]


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line[name]) for line in lines for name in ("loss", "valid_loss") if name in line]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """What was logged, but for the time and what the doctor, who sees one process, saw."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    kept = [line for line in lines if "vitals" not in line]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in kept]


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def said(root: Path, rank: int) -> str:
    return (root / f"said.{rank}").read_text()


@pytest.fixture(scope="module")
def alone(forks: Fork, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    root = tmp_path_factory.mktemp("alone")
    assert together(forks, 1, root, place) == [0]
    return root / "lenet-1"


@pytest.mark.parametrize("of", [2, 3, 4])
def test_losses_are_those_of_one_process(fork: Fork, alone: Path, tmp_path: Path, place: Path, of: int) -> None:
    assert together(fork, of, tmp_path, place) == [0] * of
    assert [folder.name for folder in tmp_path.glob("*-*")] == ["lenet-1"]  # one run, of the first process
    ours, theirs = losses(tmp_path / "lenet-1"), losses(alone)
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], rel=1e-4)
    assert read(tmp_path / "lenet-1", "report.json")["processes"] == of


def test_nets_with_batch_normalisation_stay_the_same_in_all(fork: Fork, tmp_path: Path, place: Path) -> None:
    # patience and the best weights follow from validation: were the nets to differ, the processes would part
    assert together(fork, 2, tmp_path, place, "resnet", NORMED) == [0, 0]


def test_a_lost_process_ends_the_run_saved_and_it_resumes_to_the_same_bits(
    fork: Fork, tmp_path: Path, place: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert together(fork, 2, whole, place, "resnet", NORMED) == [0, 0]
    began = time.monotonic()
    assert together(fork, 2, cut, place, "resnet", NORMED, who=1, at=5) == [2, -signal.SIGKILL]
    assert time.monotonic() - began < peers.WAIT
    assert "one that was lost" in said(cut, 0) and "resume" in said(cut, 0)
    folder = cut / "resnet-1"
    assert read(folder, "status.json")["state"] == "failed"
    assert together(fork, 2, cut, place, "resnet", NORMED, resume=str(folder)) == [0, 0]
    left, right = (load_file(root / "resnet-1" / "weights.safetensors") for root in (whole, cut))
    assert all(torch.equal(left[name], right[name]) for name in left)
    # of the step at whose log the other was lost no mean is known
    assert losses(folder) == [line for line in losses(whole / "resnet-1") if line[0] != 5]


@pytest.mark.parametrize("of", [1, 3])
def test_a_run_is_resumed_on_another_number(fork: Fork, alone: Path, tmp_path: Path, place: Path, of: int) -> None:
    assert together(fork, 2, tmp_path, place, who=1, at=6) == [2, -signal.SIGKILL]
    assert together(fork, of, tmp_path, place, resume=str(tmp_path / "lenet-1")) == [0] * of
    ours, theirs = losses(tmp_path / "lenet-1"), [line for line in losses(alone) if line[0] != 6]
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], rel=1e-4)


def test_where_the_first_is_lost_the_last_save_is_kept(fork: Fork, alone: Path, tmp_path: Path, place: Path) -> None:
    assert together(fork, 2, tmp_path, place, who=0, at=8, saves=True) == [-signal.SIGKILL, 2]
    assert "one that was lost" in said(tmp_path, 1)
    assert together(fork, 2, tmp_path, place, resume=str(tmp_path / "lenet-1")) == [0, 0]
    assert [loss for _, loss in losses(tmp_path / "lenet-1")] == pytest.approx(
        [loss for _, loss in losses(alone)], rel=1e-4
    )


def test_a_signal_to_one_ends_all_at_one_step(fork: Fork, tmp_path: Path, place: Path) -> None:
    assert together(fork, 3, tmp_path, place, who=2, at=5, what="term", saves=True) == [130, 130, 130]
    folder = tmp_path / "lenet-1"
    assert read(folder, "status.json")["state"] == "stopped"
    assert read(folder, "status.json")["step"] < SETTINGS["steps"]
    assert together(fork, 3, tmp_path, place, resume=str(folder)) == [0, 0, 0]


def test_a_stop_file_ends_the_training_of_all(fork: Fork, tmp_path: Path, place: Path) -> None:
    settings = {**SETTINGS, "steps": 100_000}
    assert together(fork, 2, tmp_path, place, settings=settings, who=0, at=3, what="stop") == [0, 0]
    report = read(tmp_path / "lenet-1", "report.json")
    assert report["ended"] == "stopped" and report["steps"] < 100_000


def test_minutes_end_the_training_of_all(fork: Fork, tmp_path: Path, place: Path) -> None:
    root, at = tmp_path, port()
    order = page_of("lenet", place).order(minutes=0.01)
    settings = {**SETTINGS, "steps": 100_000}
    started = [fork(peers.part, rank, 2, at, str(root), "lenet", settings, order) for rank in range(2)]
    for process in started:
        process.join(2 * peers.WAIT)
    assert [process.exitcode for process in started] == [0, 0]
    assert read(root / "lenet-1", "report.json")["ended"] == "minutes"


def test_a_batch_that_cannot_be_shared_is_refused(fork: Fork, tmp_path: Path, place: Path) -> None:
    assert together(fork, 2, tmp_path, place, settings={"steps": 4, "batch": 9}) == [2, 2]
    assert said(tmp_path, 0) == "milestones: expected a batch that 2 processes can share, got 9. Choose 8 or 10."
    assert not list(tmp_path.glob("lenet-*"))


@pytest.mark.parametrize("page", ["dbn"])
def test_a_loop_that_shares_nothing_is_refused(fork: Fork, tmp_path: Path, place: Path, page: str) -> None:
    settings = page_of(page, place).settings
    assert together(fork, 2, tmp_path, place, page, settings) == [2, 2]
    assert "a loop of its own that does not share its gradients. Train it without torchrun" in said(tmp_path, 0)
    assert not list(tmp_path.glob(f"{page}-*"))


@pytest.mark.parametrize("page", ["autoencoder", "gan", pytest.param("alphago", marks=pytest.mark.slow), "mlp"])
def test_pages_with_loops_of_their_own_that_share(fork: Fork, tmp_path: Path, place: Path, page: str) -> None:
    settings = page_of(page, place).settings
    assert together(fork, 2, tmp_path, place, page, settings) == [0, 0], said(tmp_path, 0)
    assert read(tmp_path / f"{page}-1", "status.json")["state"] == "finished"


def torchrun(root: Path, words: list[str], *options: str, of: int = 2) -> subprocess.Popen[str]:
    """torchrun with so many processes of what `words` name."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(of), *options]
    return subprocess.Popen([*command, *words], cwd=root, env=env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


def lenet(place: Path, *more: str) -> list[str]:
    data = page_of("lenet", place).data
    return ["train", "lenet", "--batch", "16", "--data", data, "--plan", "contiguous/float32/1", "--json", *more]


def test_torchrun_trains_and_restarts(tmp_path: Path, place: Path) -> None:
    # process 1 is killed once; torchrun starts all again, and the run that was begun is resumed
    words = [str(Path(peers.__file__)), *lenet(place, "--steps", "12")]
    with torchrun(tmp_path, words, "--max-restarts", "1") as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    report = json.loads(out)  # of the first process alone, and only once
    assert report["steps"] == 12 and report["processes"] == 2
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["lenet-1"]
    assert sum(line.startswith("milestones: expected") for line in err.splitlines()) == 1, err


def test_sigterm_to_torchrun_saves(tmp_path: Path, place: Path) -> None:
    words = ["-m", "milestones", *lenet(place, "--steps", "1000000")]
    with torchrun(tmp_path, words) as process:
        folder = tmp_path / "runs" / "lenet-1"
        for _ in range(1200):
            if (folder / "log.jsonl").exists():
                break
            time.sleep(0.1)
        process.terminate()
        _, err = process.communicate(timeout=120)
    status = read(folder, "status.json")
    assert status["state"] == "stopped" and status["step"] > 0, err
    assert (folder / "state" / "train.safetensors").exists()


def test_options_that_processes_cannot_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    from milestones.cli import main

    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    for option in (["--seeds", "2"], ["--members", "2"], ["--auto-lr"], ["--device", "cuda"]):
        assert main(["train", "lenet", *option, "--runs", str(tmp_path)]) == 2
        assert f"got {option[0]}" in capfd.readouterr().err
