"""A world that can be solved exactly: a finite decision process, its states seen as one-hot vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from milestones.core.source import keyed
from milestones.parts.decision import Process, drawn
from milestones.worlds.world import Outcome


class Finite:
    """N episodes in a process. Each begins in any state that is not ended, and is cut after `limit` steps (0: none)."""

    def __init__(self, process: Process, count: int, seed: int, limit: int = 0) -> None:
        self.process, self.count, self.seed, self.limit, self.moves = process, count, seed, limit, 0
        states, actions = process.reward.shape
        self.facts: dict[str, Any] = {
            "kind": "world", "world": "finite", "shape": [states], "discrete": True, "actions": actions,
            "labels": [str(k) for k in range(actions)], "version": "1",
        }  # fmt: skip
        self.state = self.begun()
        self.age = torch.arange(count) % max(1, limit)  # so that not all are cut at once
        self.observation = self.seen(self.state)

    def begun(self) -> Tensor:
        where = (~self.process.ended).nonzero()[:, 0]
        return where[torch.randint(len(where), (self.count,), generator=keyed(self.seed, "begin", self.moves))]

    def seen(self, state: Tensor) -> Tensor:
        return F.one_hot(state, len(self.process.ended)).float()

    def step(self, action: Tensor) -> Outcome:
        uniform = torch.rand(self.count, generator=keyed(self.seed, "step", self.moves), dtype=torch.float64)
        reward = self.process.reward[self.state, action].float()
        after = drawn(self.process, self.state, action, uniform)
        self.moves, self.age = self.moves + 1, self.age + 1
        ended = self.process.ended[after]
        cut = (self.age >= self.limit) & ~ended if self.limit else torch.zeros_like(ended)
        self.state = torch.where(ended | cut, self.begun(), after)
        self.age = torch.where(ended | cut, 0, self.age)
        self.observation = self.seen(self.state)
        return Outcome(reward, ended, cut, self.seen(after))

    def fresh(self, count: int, seed: int) -> Finite:
        return Finite(self.process, count, seed, self.limit)

    def picture(self) -> Tensor:
        return torch.zeros(1, 1, 3, dtype=torch.uint8)

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state, "age": self.age, "moves": self.moves}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.state, self.age, self.moves = (state_dict[name] for name in ("state", "age", "moves"))
        self.observation = self.seen(self.state)

    def close(self) -> None: ...
