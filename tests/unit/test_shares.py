"""Worlds and games that are shared out among processes (threads here), against the same that are whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.parts.tower import Tower, player
from milestones.worlds.atari import atari
from milestones.worlds.games import game
from milestones.worlds.games.selfplay import Course, SelfPlay
from milestones.worlds.games.thinking import How
from milestones.worlds.gym import gym
from milestones.worlds.shares import joined, shares


class Thread:
    """One of several processes that are threads."""

    here = 1

    def __init__(self, rank: int, said: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.of, self.said, self.barrier = rank, len(said), said, barrier

    def all(self, mine: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
        assert len(mine) == sizes[self.rank]
        self.said[self.rank] = mine.copy()
        self.barrier.wait()
        found = [part.copy() for part in self.said]
        self.barrier.wait()
        return found


def talked(of: int, talk: Callable[[Thread], Any]) -> list[Any]:
    """What each of so many came to."""
    said, barrier = [None] * of, threading.Barrier(of, timeout=60)

    def one(rank: int) -> Any:
        try:
            return talk(Thread(rank, said, barrier))
        except UserError as problem:
            return str(problem)

    with ThreadPoolExecutor(of) as pool:
        return list(pool.map(one, range(of)))


def test_rows_of_all_in_their_order() -> None:
    counts = [2, 0, 3]

    def talk(peer: Thread) -> Any:
        first, count = sum(counts[: peer.rank]), counts[peer.rank]
        rows = np.arange(first, first + count)
        return joined(
            peer, counts, np.ones(3), rows, (rows[:, None] * np.array([0.5, 0.25])).astype(np.float32), rows > 2
        )

    for number, half, late in talked(3, talk):
        assert number.tolist() == [0, 1, 2, 3, 4] and number.dtype == np.int64
        assert half.dtype == np.float32 and half[:, 1].tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert late.tolist() == [False, False, False, True, True]


def test_one_that_went_another_way_is_named() -> None:
    found = talked(3, lambda peer: joined(peer, [1] * 3, np.array([float(peer.rank == 1)]), np.zeros(1)))
    assert len(set(found)) == 1
    assert "expected the same numbers in all 3 processes, got other bits in process 1. Take machines" in found[0]


def test_shares_are_neighbours() -> None:
    assert [part.tolist() for part in shares(5, 3)] == [[0, 1], [2, 3], [4]]
    assert [len(part) for part in shares(2, 4)] == [1, 1, 0, 0]


@pytest.mark.parametrize("of", [2, 3])
@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1"])
def test_a_world_that_is_shared_out_is_the_same(name: str, count: int, of: int) -> None:
    actions = torch.randint(2, (80, count), generator=torch.Generator().manual_seed(3))

    def lived(peer: Thread | None) -> list[Any]:
        world = gym(name, count, 7)
        if peer:
            assert world.share(peer) == count
        kept: list[Any] = [world.observation]
        for action in actions[:60]:
            kept += [*world.step(action), world.observation]
        state = world.state_dict()
        world.close()
        again = gym(name, count, 7)
        if peer:
            again.share(peer)
        again.load_state_dict(state)
        assert again.reproducible
        for action in actions[60:]:
            kept += [*again.step(action), again.observation]
        fresh = again.fresh(3, 1)
        kept += fresh.step(actions[0].repeat(2)[:3])
        fresh.close()
        again.close()
        return kept

    alone = lived(None)
    for one in talked(of, lived):
        assert all(torch.equal(a, b) for a, b in zip(one, alone, strict=True))
    assert any(bool(value.any()) for value in alone if value.dtype == torch.bool) or name == "Acrobot-v1"


def test_screens_that_are_shared_out_are_the_same() -> None:
    pytest.importorskip("ale_py")
    actions = torch.randint(6, (12, 3), generator=torch.Generator().manual_seed(3))

    def lived(peer: Thread | None) -> list[Any]:
        world = atari("pong", 3, 7, threads=1)
        if peer:
            world.share(peer)
        kept = [world.observation, *(field for action in actions for field in world.step(action))]
        world.close()
        return kept

    alone = lived(None)
    for one in talked(2, lived):
        assert all(torch.equal(a, b) for a, b in zip(one, alone, strict=True))


def test_fresh_worlds_are_whole_again() -> None:
    def talk(peer: Thread) -> Any:
        world = gym("CartPole-v1", 4, 7)
        world.share(peer)
        world.share(None)
        if peer.rank:
            return None
        fresh = world.fresh(2, 1)  # in which the other has no part
        return fresh.step(torch.zeros(2, dtype=torch.long)).final

    fresh = gym("CartPole-v1", 4, 7).fresh(2, 1)
    assert torch.equal(talked(2, talk)[0], fresh.step(torch.zeros(2, dtype=torch.long)).final)


def test_the_first_process_draws_the_first_episode() -> None:
    def talk(peer: Thread) -> Any:
        world = gym("CartPole-v1", 2, 7)
        world.share(peer)
        return world.picture() if peer.rank != 1 else None

    alone = gym("CartPole-v1", 2, 7).picture()
    first, _, none = talked(3, talk)
    assert torch.equal(first, alone)
    assert "expected an episode to draw in this process, got none: all are played by others" in none


@pytest.mark.parametrize("of", [2, 4])
@pytest.mark.parametrize("name", ["connect_four", "go5"])
def test_games_that_are_shared_out_are_the_same(name: str, of: int) -> None:
    table, how = game(name), How(4, noise=True)
    torch.manual_seed(0)
    net = player(Tower(table.facts["shape"], table.facts["actions"], 1, 4))

    def played(peer: Thread | None) -> tuple[list[Any], Any]:
        games = SelfPlay(table, 10, 4, 0, Course(strewn=0.5, most=8))  # three groups
        if peer:
            assert games.share(peer) == 3
        rows = [field for _ in range(4) for field in games.play(net, how, 6, 1)]
        state = games.state_dict()
        return rows, [value for group in state["groups"] for value in group.values()]

    rows, state = played(None)
    for ours, theirs in talked(of, played):
        assert all(np.array_equal(a, b) for a, b in zip(ours, rows, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(theirs, state, strict=True))
    assert len(rows[0]) + len(rows[4]) + len(rows[8]) + len(rows[12]) > 5


def test_nets_that_are_not_the_same_are_told() -> None:
    table = game("tictactoe")

    def talk(peer: Thread) -> Any:
        games = SelfPlay(table, 8, 4, 0, Course())
        games.share(peer)
        return games.play(lambda planes: (torch.full((len(planes), 9), 0.1 * peer.rank), torch.zeros(len(planes), 3)),
                          How(2), 1, 1)  # fmt: skip

    assert all("got other bits in process 1" in found for found in talked(2, talk))
