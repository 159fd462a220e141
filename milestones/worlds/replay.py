"""Replay: what was lived through in N worlds, a row a moment, in a mapped file; a stopped run goes on with it exactly.

A row holds one frame, what was done there, what that paid, and how it went on. The rows of a world follow one another
as it went: after an episode's last action comes a row with what was seen then (`Outcome.final`), and before an
episode's first the older frames of its first stack. So what follows a row is the next one, a stack is the rows before
it, and neither ever mixes episodes.
"""

from __future__ import annotations

import contextlib
import os
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..core.errors import UserError
from ..core.folder import unwritable
from ..core.source import Facts
from ..parts.priorities import Priorities, corrected
from .world import Outcome

LIVE, ENDED, CUT = 1, 2, 4  # marks of a row: something was done there, and then the episode was over
SLACK = 50_000  # rows of all worlds between two saves, at least; 15 s at the pace of an emulator on two cores


class Lived(NamedTuple):
    """Moments drawn from a memory, each with what the next n steps led to."""

    observation: Tensor  # B ...: as the world gave it
    action: Int[Tensor, "B"]
    reward: Float[Tensor, "B T"]  # raw; 0 once the episode is over
    steps: Int[Tensor, "B"]  # n, or less where the episode was over before
    following: Tensor  # B ...: what was seen after these steps
    ended: Bool[Tensor, "B"]  # the world ended the episode: nothing follows `following`
    weight: Float[Tensor, "B"]  # 1, or what makes up for the chance with which it was drawn
    row: Int[Tensor, "B"]  # where it lies


class Memory:
    """The last `rows` moments of `worlds` worlds together, in the file `path`.

    An observation of `facts["stack"]` frames (1 where that is missing) along its first dimension is kept as its newest
    frame, the last; stacks are built again when drawn. `ahead` is n, the steps that a drawn moment looks ahead. With
    `alpha` above 0, moments are drawn by their last error. There are `slack` rows (0: SLACK) more in the file than are
    drawn from: what is written after a save overwrites only rows that the saved state does not know any more, and when
    they are used up, `pressing` asks for the next save. The file is made at the first use.
    """

    def __init__(self, path: Path, worlds: int, rows: int, facts: Facts, ahead: int = 1, alpha: float = 0.0,
                 slack: int = 0) -> None:  # fmt: skip
        shape, self.stack = list(facts["shape"]), facts.get("stack", 1)
        self.path, self.worlds, self.ahead, self.actions = path, worlds, ahead, facts["actions"]
        self.shape = shape[1:] if self.stack > 1 else shape
        self.margin = self.stack + 1  # rows that one step may write in one world
        self.keep = max(-(-rows // worlds), 2 * (self.margin + ahead))  # rows of a world that are drawn from
        self.slack = max(-(-(slack or SLACK) // worlds), 2 * self.margin)
        self.length = self.keep + self.slack
        self.count = torch.zeros(worlds, dtype=torch.long)  # rows written so far; the last one waits for its action
        self.saved = self.count.clone()
        self.known = False  # that the last rows are what the worlds show now
        self.file: np.memmap[Any, Any] | None = None
        self.reward = self.action = self.frame = self.mark = torch.empty(0)
        self.priorities = Priorities(worlds * self.length, alpha) if alpha else None

    def sizes(self, kind: str) -> list[int]:
        """Bytes of rewards, actions, frames (whose numbers are of this kind) and marks in the file."""
        total = self.worlds * self.length
        return [4 * total, 4 * total, np.dtype(kind).itemsize * prod(self.shape) * total, total]

    def _map(self, kind: str) -> None:
        """Open the file, made anew where nothing was saved. UserError: no space for it; it is missing, or damaged."""
        sizes = self.sizes(kind)
        there = self.path.exists() and self.path.stat().st_size == sum(sizes)
        if self.count.any() and not there:
            got = f"{self.path.stat().st_size:,} bytes" if self.path.exists() else "no such file"
            raise UserError(
                f"the replay memory of {sum(sizes):,} bytes in {self.path}", got, "Restore it or train anew"
            )
        try:
            with open(self.path, "r+b" if there else "w+b") as file:
                if not there and hasattr(os, "posix_fallocate"):  # a full disk is told now, and not by a signal later
                    os.posix_fallocate(file.fileno(), 0, sum(sizes))
                file.truncate(sum(sizes))
            self.file = np.memmap(self.path, np.uint8, "r+", shape=(sum(sizes),))
        except OSError as problem:
            if not there:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            raise unwritable(self.path, problem) from None
        parts = np.split(np.asarray(self.file), np.cumsum(sizes)[:-1])
        kinds = (np.float32, np.int32, kind, np.uint8)
        views = [torch.from_numpy(part.view(one)) for part, one in zip(parts, kinds, strict=True)]
        self.reward, self.action, self.frame, self.mark = views
        self.frame = self.frame.view(-1, *self.shape)
        if self.count.any() and not bool(((self.action >= 0) & (self.action < self.actions)).all()):
            raise UserError(f"actions 0 to {self.actions - 1} in {self.path}", "others: it is damaged", "Train anew")

    def _at(self, world: Tensor, row: Tensor) -> Tensor:
        """Where the row-th row of a world lies."""
        return world * self.length + row % self.length

    def _push(self, world: Int[Tensor, "M"], frame: Tensor) -> None:
        """One more row for each of these worlds, in which nothing was done yet."""
        at = self._at(world, self.count[world])
        self.frame.index_copy_(0, at, frame)
        self.mark[at] = 0
        self.action[at] = 0
        self.count[world] += 1

    def _begin(self, world: Int[Tensor, "M"], observation: Tensor) -> None:
        """An episode begins in these worlds: all frames of its first observation."""
        for k in range(self.stack):
            self._push(world, observation[:, k] if self.stack > 1 else observation)

    def _newest(self, observation: Tensor) -> Tensor:
        return (observation[:, -1] if self.stack > 1 else observation).cpu()

    def follow(self, observation: Tensor) -> None:
        """What the worlds show now, before the first action: told at each step, looked at where a run begins or goes
        on. A world that was restored to another place begins there an episode of its own."""
        if self.known:
            return
        if self.file is None:
            self._map(str(observation.dtype).removeprefix("torch."))
        every, before = torch.arange(self.worlds), self._edges()
        last, last_done = self._at(every, self.count - 1), self._at(every, self.count - 2)
        self.mark[last] = 0  # a killed process may have gone on from here
        same = (self.frame[last] == self._newest(observation)).flatten(1).all(1) & (self.count > 0)
        lost = last_done[~same & (self.count > 1)]
        self.mark[lost] = torch.where(self.mark[lost] > 0, self.mark[lost] | CUT, 0)
        self._begin(every[~same], observation.cpu()[~same])
        self._weigh(before)
        self.known = True

    def add(self, action: Int[Tensor, "N"], outcome: Outcome, observation: Tensor) -> None:
        """What was done in each world, what came of it, and what the worlds show now."""
        every, before = torch.arange(self.worlds), self._edges()
        at = self._at(every, self.count - 1)
        ended, cut = outcome.ended.cpu(), outcome.cut.cpu()
        self.action[at], self.reward[at] = action.cpu().int(), outcome.reward.cpu().float()
        self.mark[at] = LIVE + ENDED * ended.byte() + CUT * (cut & ~ended).byte()
        self._push(every, self._newest(outcome.final))
        over = ended | cut
        if bool(over.any()):
            self._begin(every[over], observation.cpu()[over])
        self._weigh(before)

    def _edges(self) -> tuple[Tensor, Tensor] | None:
        return self.edges() if self.priorities else None

    def _weigh(self, before: tuple[Tensor, Tensor] | None) -> None:
        """Rows that came to be known since `before` can be drawn, those that left the memory no more."""
        if self.priorities and before:
            (low, high), (lower, higher) = before, self.edges()
            self.priorities.close(self._at(*between(low, lower)))
            opened = self._at(*between(high, higher))
            self.priorities.open(opened[self.mark[opened] > 0])

    def edges(self) -> tuple[Int[Tensor, "N"], Int[Tensor, "N"]]:
        """The first row of each world that can be drawn, and the first that cannot: what it led to is not yet known."""
        low = (self.count - self.keep).clamp(min=0) + self.stack - 1
        return low, (self.count - self.ahead).maximum(low)

    def __len__(self) -> int:
        """Rows that can be drawn, and those between episodes."""
        low, high = self.edges()
        return int((high - low).sum())

    @property
    def pressing(self) -> bool:
        """Whether a save must come before the next step, since one more may overwrite what the last one relies on."""
        return int((self.count - self.saved).max()) > self.slack - 2 * self.margin

    def draw(self, size: int, beta: float = 0.0) -> Lived:
        """Moments drawn with equal chance; by their priorities, if there are some, with weights of exponent `beta`.
        Draws come from the global generator."""
        if self.priorities:
            at, chance = self.priorities.draw(size)
            return self._lived(*self._row(at), corrected(chance, beta))
        low, high = self.edges()
        ends, found, missing = (high - low).cumsum(0), [], size
        while missing > 0:  # the rows between episodes are few
            number = torch.randint(int(ends[-1]), (missing + missing // 4 + 4,))
            world = torch.searchsorted(ends, number, right=True)
            row = high[world] - (ends[world] - number)
            live = self.mark[self._at(world, row)] > 0
            found.append(torch.stack([world, row])[:, live])
            missing -= int(live.sum())
        world, row = torch.cat(found, 1)[:, :size]
        return self._lived(world, row, torch.ones(size))

    def latest(self) -> Lived:
        """The latest moment of each world of which it is known what it led to: learning without replay."""
        back = self.count[:, None] - 1 - self.ahead - torch.arange(self.margin + 1)  # N M
        every = torch.arange(self.worlds)
        live = (self.mark[self._at(every[:, None], back)] > 0) & (back >= 0)
        row = back[every, live.int().argmax(1)]
        return self._lived(every, row, torch.ones(self.worlds))

    def _row(self, at: Int[Tensor, "B"]) -> tuple[Tensor, Tensor]:
        """The world and the number of the row that lies there; the latest that was written."""
        world, place = at // self.length, at % self.length
        last = self.count[world] - 1
        return world, last - (last - place) % self.length

    def _seen(self, world: Int[Tensor, "B"], row: Int[Tensor, "B"]) -> Tensor:
        """The observation at a row, its frames stacked again."""
        back = torch.arange(1 - self.stack, 1)
        at = self._at(world[:, None], row[:, None] + back)  # B S
        frames = self.frame.index_select(0, at.flatten())
        return frames.unflatten(0, at.shape) if self.stack > 1 else frames

    def _lived(self, world: Int[Tensor, "B"], row: Int[Tensor, "B"], weight: Float[Tensor, "B"]) -> Lived:
        at = self._at(world[:, None], row[:, None] + torch.arange(self.ahead))  # B T
        over = (self.mark[at] & (ENDED | CUT)) > 0
        before = over.cumsum(1) - over.long()  # how often it was over before this step
        on = before == 0
        steps = on.sum(1)
        last = at[torch.arange(len(at)), steps - 1]
        reward = torch.where(on, self.reward[at], 0.0)
        ended = (self.mark[last] & ENDED) > 0
        return Lived(self._seen(world, row), self.action[at[:, 0]].long(), reward, steps,
                     self._seen(world, row + steps), ended, weight, at[:, 0])  # fmt: skip

    def drop(self) -> None:
        """Remove the file: the stage is finished, and never goes on."""
        self.known, self.file = False, None
        self.reward = self.action = self.frame = self.mark = torch.empty(0)
        with contextlib.suppress(OSError):
            self.path.unlink()

    def state_dict(self) -> dict[str, Any]:
        """How far it was written; the file is flushed, so that it is there after the power failed, too."""
        if self.file is not None:
            self.file.flush()
        self.saved = self.count.clone()
        held = {"priorities": self.priorities.state_dict()} if self.priorities else {}
        return {"count": self.count, "length": self.length, **held}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        if state_dict["length"] != self.length:
            raise ValueError(f"a memory of {state_dict['length']} rows a world")
        self.count.copy_(state_dict["count"])
        self.saved = self.count.clone()
        if self.priorities:
            self.priorities.load_state_dict(state_dict["priorities"])
        self.known = False


def between(start: Int[Tensor, "N"], end: Int[Tensor, "N"]) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
    """All pairs (n, row) with start[n] <= row < end[n]."""
    length = (end - start).clamp(min=0)
    which = torch.arange(len(start)).repeat_interleave(length)
    first = (length.cumsum(0) - length)[which]
    return which, start[which] + torch.arange(len(which)) - first
