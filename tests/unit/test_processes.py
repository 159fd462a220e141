"""What processes tell each other: means, the first one's words, who differs, who is lost."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from milestones.core.errors import UserError
from milestones.verbs.processes import Lost, Peers, begun_by_launch, launch
from milestones.verbs.words import rank


def _part(talk: Callable[[Peers], Any], number: int, of: int, port: int, seconds: float, answers: Any) -> None:
    import os

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(of), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        found = talk(Peers(seconds))
    except UserError as problem:
        found = type(problem).__name__, str(problem)
    answers.put((number, found))


def talked(talk: Callable[[Peers], Any], of: int = 2, seconds: float = 20.0) -> list[Any]:
    """What each of so many processes came to."""
    context = multiprocessing.get_context("fork")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    answers = context.Queue()
    parts = [context.Process(target=_part, args=(talk, k, of, port, seconds, answers)) for k in range(of)]
    for part in parts:
        part.start()
    got = dict(answers.get(timeout=60) for _ in parts)
    for part in parts:
        part.join(10)
        part.kill()
    return [got[k] for k in range(of)]


def test_means_and_words_are_the_same_in_all() -> None:
    def talk(peers: Peers) -> Any:
        mean = peers.mean(torch.tensor([1.0, 2.0]) * peers.rank).tolist()
        told = peers.told({"from": peers.rank}), peers.sent(b"" if peers.rank else b"bytes"), peers.sent(b"")
        return mean, *told, peers.any(peers.rank == 1), peers.any(False)

    assert talked(talk, 3) == [([1.0, 2.0], {"from": 0}, b"bytes", b"", True, False)] * 3


def test_nets_become_that_of_the_first() -> None:
    def talk(peers: Peers) -> Any:
        torch.manual_seed(peers.rank)
        net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        peers.equal(net)
        return [tensor.tolist() for tensor in net.state_dict().values()]

    one, other = talked(talk)
    assert one == other


def test_who_has_something_else_is_named() -> None:
    found = talked(lambda peers: peers.same("data", {"name": "x" if peers.rank < 2 else "y"}), 3)
    assert {kind for kind, _ in found} == {"UserError"}
    assert "expected the same data in all 3 processes, got other data in process 2" in found[0][1]


def test_one_that_does_not_answer_is_lost_in_time() -> None:
    def talk(peers: Peers) -> Any:
        began = time.monotonic()
        if peers.rank:
            time.sleep(6)
            return 0.0
        with pytest.raises(Lost):
            peers.any(True)
        return time.monotonic() - began

    assert 1 < talked(talk, seconds=2.0)[0] < 5


def test_without_torchrun_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert rank() == (0, 1)
    monkeypatch.setenv("RANK", "1")
    assert rank() == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    assert rank() == (1, 4)
    monkeypatch.setenv("RANK", "x")
    assert rank() == (0, 1)


def test_a_launch_finds_what_it_began(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from milestones.core.folder import write_json

    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert launch() == ""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    config = {"system": "lenet", "command": "milestones train lenet --seed 0", "launch": launch()}
    for number, (state, more) in enumerate([("finished", {}), ("failed", {"launch": "other"}), ("failed", {})], 1):
        folder = tmp_path / f"lenet-{number}"
        folder.mkdir()
        write_json(folder / "config.json", config | more)
        write_json(folder / "status.json", {"state": state})
    assert begun_by_launch(tmp_path, config) == tmp_path / "lenet-3"
    assert begun_by_launch(tmp_path, {**config, "command": "another"}) is None
    assert begun_by_launch(tmp_path, {"system": "lenet", "command": config["command"]}) is None
