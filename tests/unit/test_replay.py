"""Replay against a plain list of what happened, across ends of episodes and the end of the ring; and killed runs."""

from __future__ import annotations

import copy
import errno
import os
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from milestones.core.errors import UserError
from milestones.core.source import keyed
from milestones.parts.priorities import BLOCK, LEAST, Priorities, corrected
from milestones.worlds import replay
from milestones.worlds.replay import Lived, Memory
from milestones.worlds.world import Outcome

ACTIONS = 5


class Moment(NamedTuple):
    """What a plain memory would keep: everything, whole."""

    observation: Tensor
    action: int
    reward: float
    ended: bool
    cut: bool
    final: Tensor


class Script:
    """N worlds whose frames all show different numbers; episodes of 1 to 12 steps, and stacks that begin black."""

    def __init__(self, count: int, stack: int) -> None:
        self.count, self.stack, self.frames, self.rng = count, stack, 0, np.random.default_rng(7)
        self.facts: dict[str, Any] = {"shape": [stack, 1, 2] if stack > 1 else [2], "actions": ACTIONS}
        self.facts |= {"stack": stack} if stack > 1 else {}
        self.past: list[list[Moment]] = [[] for _ in range(count)]
        # What a ring of rows holds: the number of a moment, or None between episodes. The last one waits.
        self.rows: list[list[int | None]] = [[] for _ in range(count)]
        self.left = [0] * count
        self.seen = [self.begun(n) for n in range(count)]

    @property
    def observation(self) -> Tensor:
        return torch.stack(self.seen)

    def frame(self) -> Tensor:
        self.frames += 1
        return torch.tensor([self.frames, -self.frames], dtype=torch.float32)

    def begun(self, n: int) -> Tensor:
        self.left[n] = int(self.rng.integers(1, 13))
        self.rows[n] += [None] * (self.stack - 1) + [len(self.past[n])]
        frame = self.frame()
        return torch.cat([torch.zeros(self.stack - 1, 1, 2), frame[None, None]]) if self.stack > 1 else frame

    def step(self, action: Tensor) -> Outcome:
        rewards = torch.from_numpy(self.rng.standard_normal(self.count).astype(np.float32))
        ends = self.rng.random(self.count) < 0.5
        found = []
        for n in range(self.count):
            self.left[n] -= 1
            frame, over = self.frame(), self.left[n] == 0
            final = torch.cat([self.seen[n][1:], frame[None, None]]) if self.stack > 1 else frame
            ended, cut = over and bool(ends[n]), over and not ends[n]
            self.past[n].append(Moment(self.seen[n], int(action[n]), float(rewards[n]), ended, cut, final))
            found.append((ended, cut, final))
            self.rows[n].append(None if over else len(self.past[n]))
            self.seen[n] = self.begun(n) if over else final
        ended, cut, final = zip(*found, strict=True)
        return Outcome(rewards, torch.tensor(ended), torch.tensor(cut), torch.stack(final))

    def jump(self) -> None:
        """Other episodes begin, as after a restore that did not lead to where it should."""
        for n in range(self.count):
            if self.rows[n][-2:-1] not in ([], [None]):  # the episode had begun
                self.past[n][-1] = self.past[n][-1]._replace(cut=True)
            self.rows[n][-1] = None  # it was seen, and nothing was done there
            self.seen[n] = self.begun(n)

    def drawable(self, keep: int, ahead: int) -> dict[float, tuple[int, int]]:
        """The newest frame of each moment that can be drawn -> its world and number, by plain deques of rows."""
        found = {}
        for n in range(self.count):
            ring: deque[tuple[int, int | None]] = deque(maxlen=keep)
            ring.extend(enumerate(self.rows[n]))
            for place, moment in list(ring)[self.stack - 1 :]:
                if moment is not None and place < len(self.rows[n]) - ahead:
                    found[float(newest(self.past[n][moment].observation, self.stack))] = n, moment
        return found


def newest(observation: Tensor, stack: int) -> Tensor:
    return observation[-1, 0, 0] if stack > 1 else observation[0]


def check(lived: Lived, world: Script, drawable: dict[float, tuple[int, int]], ahead: int) -> set[float]:
    """Each moment is as it was lived through; their frames."""
    found = set()
    for b in range(len(lived.action)):
        name = float(newest(lived.observation[b], world.stack))
        n, at = drawable[name]
        path = []
        for moment in world.past[n][at : at + ahead]:
            path.append(moment)
            if moment.ended or moment.cut:
                break
        assert torch.equal(lived.observation[b], path[0].observation)
        assert lived.action[b] == path[0].action
        rewards = [moment.reward for moment in path] + [0.0] * (ahead - len(path))
        assert lived.reward[b].tolist() == pytest.approx(rewards)
        assert lived.steps[b] == len(path)
        assert torch.equal(lived.following[b], path[-1].final)
        assert bool(lived.ended[b]) == path[-1].ended
        found.add(name)
    return found


def lived_on(memory: Memory, world: Script, steps: int, save: bool = True) -> list[Lived]:
    """So many steps, with a save where it presses, and what was drawn after each."""
    found = []
    for _ in range(steps):
        memory.follow(world.observation)
        action = torch.from_numpy(world.rng.integers(0, ACTIONS, world.count))
        outcome = world.step(action)
        memory.add(action, outcome, world.observation)
        if len(memory):
            torch.manual_seed(world.frames)
            found.append(memory.draw(16, 0.5))
            if memory.priorities:
                memory.priorities.set(found[-1].row, found[-1].reward.sum(1))
        if save and memory.pressing:
            memory.state_dict()
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize(("stack", "ahead", "rows"), [(1, 1, 60), (1, 3, 60), (4, 1, 90), (4, 3, 120)])
def test_it_gives_back_what_was_lived(tmp_path: Path, stack: int, ahead: int, rows: int, alpha: float) -> None:
    world = Script(3, stack)
    memory = Memory(tmp_path / "ring", 3, rows, world.facts, ahead, alpha, slack=30)
    for turns in (ahead + 1, 4, 7, 20, 60, 60):
        lived_on(memory, world, turns)
        drawable = world.drawable(memory.keep, ahead)
        torch.manual_seed(turns)
        found = check(memory.draw(1500, 0.5), world, drawable, ahead)
        if memory.priorities:  # some are drawn seldom
            assert int((memory.priorities.weight > 0).sum()) == len(drawable)
        else:
            assert found == set(drawable), "all that can be drawn is, and nothing else"
    assert int(memory.count.min()) > memory.length, "the end of the ring was passed"


@pytest.mark.parametrize(("stack", "ahead"), [(1, 1), (4, 2)])
def test_all_are_drawn_equally_often(tmp_path: Path, stack: int, ahead: int) -> None:
    world = Script(3, stack)
    memory = Memory(tmp_path / "ring", 3, 90, world.facts, ahead)
    lived_on(memory, world, 70)
    torch.manual_seed(0)
    names = newest(memory.draw(40_000).observation.movedim(0, -1), stack)
    counts = torch.unique(names, return_counts=True)[1].double()
    mean = 40_000 / len(world.drawable(memory.keep, ahead))
    assert len(counts) == round(40_000 / mean)
    assert float(((counts - mean).square() / mean).sum()) < len(counts) + 5 * (2 * len(counts)) ** 0.5  # chi squared


@pytest.mark.parametrize(("stack", "ahead"), [(1, 1), (4, 3)])
def test_the_latest_without_replay(tmp_path: Path, stack: int, ahead: int) -> None:
    world = Script(4, stack)
    memory = Memory(tmp_path / "ring", 4, 0, world.facts, ahead)
    lived_on(memory, world, ahead + 1)
    for _ in range(60):
        lived_on(memory, world, 1)
        drawable = world.drawable(10**6, ahead)
        found = check(memory.latest(), world, drawable, ahead)
        last = {n: max(at for m, at in drawable.values() if m == n) for n in range(4)}
        assert {drawable[name] for name in found} == set(last.items())


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("stack", [1, 4])
def test_killed_and_gone_on(tmp_path: Path, stack: int, alpha: float) -> None:
    """The ring is ahead of what was saved by as much as it may be; the same is drawn all the same."""
    world = Script(3, stack)
    memory = Memory(tmp_path / "ring", 3, 60, world.facts, 2, alpha, slack=60)
    lived_on(memory, world, 50)
    saved, then = copy.deepcopy(memory.state_dict()), copy.deepcopy(world)
    ahead = 0
    while not memory.pressing:
        lived_on(memory, world, 1, save=False)
        ahead += 1
    assert ahead >= 3
    again = Memory(tmp_path / "ring", 3, 60, world.facts, 2, alpha, slack=60)
    again.load_state_dict(saved)
    other, twin = copy.deepcopy(then), Memory(tmp_path / "twin", 3, 60, world.facts, 2, alpha, slack=60)
    lived_on(twin, Script(3, stack), 50)
    for one, two in zip(lived_on(again, then, 40), lived_on(twin, other, 40), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert again.state_dict()["count"].tolist() == twin.state_dict()["count"].tolist()


def test_one_step_too_far_would_be_noticed(tmp_path: Path) -> None:
    """The test above can fail: with no regard to `pressing`, rows that the saved state knows are overwritten."""
    world = Script(3, 1)
    memory = Memory(tmp_path / "ring", 3, 60, world.facts, slack=60)
    lived_on(memory, world, 50)
    saved, then = copy.deepcopy(memory.state_dict()), copy.deepcopy(world)
    lived_on(memory, world, 60, save=False)
    again = Memory(tmp_path / "ring", 3, 60, world.facts, slack=60)
    again.load_state_dict(saved)
    again.follow(then.observation)
    with pytest.raises((AssertionError, KeyError)):
        check(again.draw(500), then, then.drawable(again.keep, 1), 1)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize(("stack", "ahead"), [(1, 3), (4, 1), (4, 3)])
def test_a_world_that_comes_back_elsewhere(tmp_path: Path, stack: int, ahead: int, alpha: float) -> None:
    """What was lived before and after is not mixed, and what was seen last is still what followed."""
    world = Script(3, stack)
    memory = Memory(tmp_path / "ring", 3, 120, world.facts, ahead, alpha, slack=60)
    for _ in range(4):
        lived_on(memory, world, 12)
        saved = copy.deepcopy(memory.state_dict())
        memory = Memory(tmp_path / "ring", 3, 120, world.facts, ahead, alpha, slack=60)
        memory.load_state_dict(saved)
        world.jump()
    lived_on(memory, world, 3)
    drawable = world.drawable(memory.keep, ahead)
    torch.manual_seed(1)
    found = check(memory.draw(1500, 0.5), world, drawable, ahead)
    if memory.priorities:
        assert int((memory.priorities.weight > 0).sum()) == len(drawable)
    else:
        assert found == set(drawable)


def test_a_million_screens_fit_in_8_gb(tmp_path: Path) -> None:
    facts = {"shape": [4, 84, 84], "stack": 4, "actions": 18}
    memory = Memory(tmp_path / "ring", 4, 1_000_000, facts)
    assert memory.keep * 4 >= 1_000_000 and sum(memory.sizes("uint8")) <= 8e9
    assert not (tmp_path / "ring").exists(), "made at the first use"


def test_screens_stay_bytes(tmp_path: Path) -> None:
    facts = {"shape": [4, 6, 5], "stack": 4, "actions": 3}
    memory, rng = Memory(tmp_path / "ring", 2, 40, facts, slack=20), keyed("screens")
    seen = torch.randint(256, (2, 4, 6, 5), generator=rng, dtype=torch.uint8)
    none, past = torch.zeros(2, dtype=torch.bool), [seen]
    for _ in range(8):
        memory.follow(seen)
        frame = torch.randint(256, (2, 1, 6, 5), generator=rng, dtype=torch.uint8)
        seen = torch.cat([seen[:, 1:], frame], 1)
        memory.add(torch.tensor([1, 2]), Outcome(torch.ones(2), none, none, seen), seen)
        past.append(seen)
    lived = memory.latest()
    assert lived.observation.dtype == torch.uint8
    assert torch.equal(lived.observation, past[-2]) and torch.equal(lived.following, past[-1])
    assert (tmp_path / "ring").stat().st_size == sum(memory.sizes("uint8"))
    memory.drop()
    assert not (tmp_path / "ring").exists()


def ring(folder: Path) -> tuple[Memory, dict[str, Any], Script]:
    world = Script(3, 1)
    memory = Memory(folder / "ring", 3, 60, world.facts)
    lived_on(memory, world, 10)
    return memory, memory.state_dict(), world


def again(folder: Path, saved: dict[str, Any], world: Script) -> None:
    memory = Memory(folder / "ring", 3, 60, world.facts)
    memory.load_state_dict(saved)
    memory.follow(world.observation)


def test_a_ring_that_is_missing_or_damaged(tmp_path: Path) -> None:
    memory, saved, world = ring(tmp_path)
    again(tmp_path, saved, world)
    memory.action[4] = 77
    with pytest.raises(UserError, match=r"actions 0 to 4 in .*ring, got others: it is damaged. Train anew"):
        again(tmp_path, saved, world)
    (tmp_path / "ring").write_bytes(b"short")
    with pytest.raises(UserError, match=r"the replay memory of [\d,]+ bytes in .*ring, got 5 bytes. Restore it"):
        again(tmp_path, saved, world)
    (tmp_path / "ring").unlink()
    with pytest.raises(UserError, match=r"got no such file\. Restore it or train anew"):
        again(tmp_path, saved, world)
    with pytest.raises(ValueError, match="a memory of"):
        Memory(tmp_path / "ring", 3, 90, world.facts).load_state_dict(saved)


def test_a_full_disk_is_told_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    world = Script(3, 1)
    with pytest.raises(UserError, match=r"to write ring in .*, got No space left on device. Free some space"):
        Memory(tmp_path / "ring", 3, 60, world.facts).follow(world.observation)
    assert not (tmp_path / "ring").exists()


def test_priorities_come_as_often_as_they_should() -> None:
    size = 3 * BLOCK + 100
    priorities, error = Priorities(size, 0.6), torch.zeros(size)
    some = torch.randperm(size, generator=keyed("some"))[:40]
    error[some] = torch.rand(40, generator=keyed("error")) * 5
    priorities.set(some, error[some])
    closed = some[:5]
    priorities.close(closed)
    weight = torch.zeros(size, dtype=torch.float64)
    weight[some[5:]] = (error[some[5:]].double() + LEAST) ** 0.6
    chance = weight / weight.sum()
    torch.manual_seed(0)
    index, told = priorities.draw(200_000)
    counts = torch.bincount(index, minlength=size).double()
    assert counts[closed].sum() == 0 and counts[weight == 0].sum() == 0
    far = (counts - 200_000 * chance).abs() / (200_000 * chance * (1 - chance) + 1e-9).sqrt()
    assert float(far[some[5:]].max()) < 4
    np.testing.assert_allclose(told.double(), chance[index], rtol=1e-5, atol=1e-12)


def test_a_new_one_has_the_largest_priority_there_was() -> None:
    priorities = Priorities(50, 0.5)
    priorities.open(torch.tensor([1, 2]))
    assert priorities.weight.view(-1)[:3].tolist() == [0, 1, 1]
    priorities.set(torch.tensor([1]), torch.tensor([-9.0]))
    priorities.open(torch.tensor([7]))
    assert priorities.weight.view(-1)[[1, 7]].tolist() == pytest.approx([3.0, 3.0], rel=1e-5)
    priorities.set(torch.tensor([1, 7]), torch.zeros(2))
    priorities.open(torch.tensor([8]))
    assert float(priorities.weight.view(-1)[8]) == pytest.approx(3.0, rel=1e-5)
    twin = Priorities(50, 0.5)
    twin.load_state_dict(copy.deepcopy(priorities.state_dict()))
    for one in (priorities, twin):
        torch.manual_seed(3)
        one.drawn = one.draw(64)
    assert all(torch.equal(a, b) for a, b in zip(priorities.drawn, twin.drawn, strict=True))


def test_weights_make_up_for_the_chances() -> None:
    """With beta 1 the weighted mean of what is drawn is, but for one factor, the mean of all."""
    chance = torch.tensor([0.1, 0.2, 0.7])
    weight = corrected(chance, 1.0)
    assert weight.tolist() == pytest.approx([1.0, 0.5, 1 / 7])
    value = torch.tensor([3.0, -1.0, 2.0])
    assert float((chance * weight * value).sum() / (chance * weight).sum()) == pytest.approx(float(value.mean()))
    assert corrected(chance, 0.0).tolist() == [1, 1, 1]
    assert replay.SLACK >= 10_000
