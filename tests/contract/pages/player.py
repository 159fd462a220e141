"""A page that plays by itself: Williams' rule in any world, with as little as that takes.

Paper       none; a page for tests.
Idea        actions that were followed by more than usual become likelier.
Deviations  none.
Result      none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from milestones.core.config import Config, Field
from milestones.core.run import Run
from milestones.core.score import Score
from milestones.core.source import Facts, Place, key
from milestones.core.state import Memo
from milestones.core.system import System
from milestones.worlds.gym import needs
from milestones.worlds.open import opened
from milestones.worlds.played import episode, normalised_score, played, return_score
from milestones.worlds.world import World


class Knobs(Config):
    world: str = Field(default="CartPole-v1", description="what to act in")
    together: int = Field(default=4, ge=1, description="episodes stepped together")
    sticky: float = Field(default=0.25, ge=0, le=1, description="chance that Atari's actions stick")
    rollout: int = Field(default=16, ge=1, description="steps of each episode an update")
    steps: int = Field(default=30, ge=1, description="updates")
    lr: float = Field(default=1e-2, gt=0, description="step size")
    episodes: int = Field(default=4, ge=1, description="played to score")


class Player(nn.Module):
    def __init__(self, shape: Sequence[int], actions: int) -> None:
        super().__init__()
        width = int(torch.Size(shape).numel())
        self.last = nn.Linear(width, actions)

    def forward(self, observation: Tensor) -> Tensor:
        return self.last(observation.flatten(1).float() / (1 if observation.is_floating_point() else 255))

    def act(self, observation: Tensor, greedy: bool = True) -> Tensor:
        scores = self(observation)
        return scores.argmax(-1) if greedy else torch.multinomial(scores.softmax(-1), 1)[:, 0]


def prepare(knobs: Knobs, place: Place) -> World:
    world = opened(knobs.world, knobs.together, key(place.seed, "train"), sticky=knobs.sticky, device=place.device)
    needs(world, discrete=True, page="player")
    return world


def build(knobs: Knobs, facts: Facts) -> Player:
    return Player(facts["shape"], facts["actions"])


def train(knobs: Knobs, model: Player, world: World, run: Run) -> None:
    optimizer = torch.optim.Adam(model.parameters(), knobs.lr)
    memo = Memo(returns=[0.0] * knobs.together)
    for _ in run.steps(knobs.steps, "train", model=model, optimizer=optimizer, world=world, memo=memo):
        chances, rewards, ends = [], [], []
        for _ in range(knobs.rollout):
            scores = model(world.observation).log_softmax(-1)
            action = torch.multinomial(scores.detach().exp(), 1)[:, 0]
            out = world.step(action)
            chances.append(scores.gather(1, action[:, None])[:, 0])
            rewards.append(out.reward - (out.ended | out.cut).float())
            for slot, paid in enumerate(out.reward.tolist()):
                memo.returns[slot] += paid
                if bool(out.ended[slot] | out.cut[slot]):
                    ends.append(memo.returns[slot])
                    memo.returns[slot] = 0.0
        gain = torch.stack(rewards).flip(0).cumsum(0).flip(0)
        value = -(torch.stack(chances) * (gain - gain.mean())).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        run.log(loss=value, **({"return": sum(ends) / len(ends)} if ends else {}))


def score(knobs: Knobs, model: Player, world: World, place: Place) -> dict[str, Score]:
    fresh = world.fresh(knobs.episodes, key(place.seed, "score"))
    returns = played(fresh, model.act, knobs.episodes)
    fresh.close()
    return {"return": return_score(returns, world.facts), **normalised_score(returns, world.facts)}


def use(model: Player, facts: Facts, inputs: Sequence[Any]) -> list[dict[str, Any]]:
    return [episode(model, facts, seed=0)]


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use)
