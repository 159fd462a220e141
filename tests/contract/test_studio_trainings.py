"""Trainings as processes of their own, and data of the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from milestones.core.errors import UserError
from milestones.studio import trainings as module
from milestones.studio import uploads as sending
from milestones.studio.library import Library
from milestones.studio.trainings import Trainings, option
from milestones.studio.uploads import Uploads

TABLE = ("size,bought\n" + "".join(f"{i % 7},{'yes' if i % 2 else 'no'}\n" for i in range(40))).encode()


@pytest.fixture
def trainings(home: Path) -> Trainings:
    return Trainings(Library(home / "runs"), {})


def test_a_training_runs_by_itself_is_found_again_and_stopped(trainings: Trainings) -> None:
    words = {"hidden": [4, 3], "steps": 1_000_000, "squared": False, "lr": 0.001}
    more = trainings.options({"minutes": 3.0})
    ticket = trainings.train("mlp", "", words, 5, more)
    run, until = "", time.monotonic() + 90
    while time.monotonic() < until:
        run = trainings.told(ticket)["run"]
        if run and (trainings.library.folder(run) / "log.jsonl").exists():
            break
        time.sleep(0.1)
    found = trainings.library.run(run)
    assert run == "mlp-1"
    assert found["seed"] == 5
    assert {name: found["config"]["config"][name] for name in words} == words
    another = Trainings(Library(trainings.library.root), {})  # a server that was started since
    assert another.library.listed()[0]["state"] in ("training", "starting")
    another.stop(run, finish=False)
    assert trainings.gone(ticket, 60)
    assert another.library.listed()[0]["state"] == "stopped"
    with pytest.raises(UserError, match="a run that trains on this machine"):
        another.stop(run, finish=False)
    another.stop(run, finish=True)
    assert (trainings.library.folder(run) / "stop").exists()


def test_a_start_that_fails_says_why(trainings: Trainings) -> None:
    ticket = trainings.train("perceptron", "quick", {"inputs": 100000}, 0)
    assert trainings.gone(ticket, 90)
    told = trainings.told(ticket)
    assert told["ended"] == 2
    assert told["run"] == ""
    assert told["said"][-1].startswith("perceptron: expected a whole number from 2 to 1000, got inputs = ")


def test_what_the_page_may_not_ask(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="a setting of perceptron"):
        trainings.train("perceptron", "", {"--device": "cuda"}, 0)
    with pytest.raises(UserError, match="a training of this server"):
        trainings.told("none")
    for asked in ({"device": "cuda"}, {"members": "3"}, {"auto_lr": 1}, {"minutes": "--json"}, {"data": 3}):
        with pytest.raises(UserError, match="an option of a run"):
            trainings.options(asked)
    with pytest.raises(UserError, match="an upload of this studio"):
        trainings.options({"data": "/etc"})
    monkeypatch.setattr(module, "MOST", 0)
    with pytest.raises(UserError, match="at most 0 trainings at once, got another"):
        trainings.start(["list"])


def test_values_are_never_options(trainings: Trainings) -> None:
    assert option("max_lr", -1) == ["--max-lr=-1"]
    assert option("name", "--data") == ["--name=--data"]
    assert option("lr", None) == ["--lr=none"]
    assert option("hidden", []) == ["--hidden"]
    assert option("hidden", [3]) == ["--hidden=3"]
    assert option("hidden", [3, 4]) == ["--hidden", "3", "4"]
    assert trainings.options({"data": "fashion", "target": "--json", "members": 2, "auto_lr": True}) == [
        "--data=fashion", "--target=--json", "--members=2", "--auto-lr"]  # fmt: skip


def test_an_upload_is_kept_by_id_and_looked_at(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = trainings.uploads
    found = uploads.take(TABLE)
    assert found["names"] == ["size", "bought"]
    assert Path(found["path"]) == (uploads.folder / found["id"] / "table.csv").resolve()
    assert trainings.options({"data": found["id"]}) == [f"--data={found['path']}"]
    assert uploads.look(found["id"], "")["id"] == found["id"]
    assert "target 'bought': classes" in uploads.look(found["id"], "bought")["notes"][0]
    with pytest.raises(UserError, match="a file of another kind"):
        uploads.take(b"\0\0")
    assert {path.name for path in uploads.folder.iterdir()} == {found["id"], f"{found['id']}.json"}
    for name in ("..", "../said", "0" * 16, "%2e%2e"):
        with pytest.raises(UserError, match="an upload of this studio"):
            uploads.look(name, "")
    monkeypatch.setattr(sending, "MOST_KEPT", 10)
    with pytest.raises(UserError, match="GiB of uploads, got 0 MiB before this one"):
        uploads.take(TABLE)


def test_a_child_that_hangs_or_dies_takes_nothing_with_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(home / "up")
    (home / "up").mkdir()
    monkeypatch.setattr(sending, "SECONDS", 0.01)
    with pytest.raises(UserError, match="data that is read within 0 s"):
        uploads.take(TABLE)
    monkeypatch.setattr(sending, "SECONDS", 60)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="a file that ends the process that reads it"):
        uploads.take(TABLE)
    assert list((home / "up").iterdir()) == []


def test_no_process_of_another_is_stopped(home: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    folder = home / "runs" / "mlp-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"format": 1}')
    (folder / "lock").write_text(f"process {other.pid} on here")
    with pytest.raises(UserError, match="a run that trains on this machine, got mlp-1, which does not"):
        Trainings(Library(home / "runs"), {}).stop("mlp-1", finish=False)
    assert other.poll() is None
    other.kill()
    other.wait()
    assert os.path.exists(folder / "lock")
