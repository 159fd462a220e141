"""Actions that were followed by more than usual become likelier: a policy learns from returns alone.

Paper       Williams (1992), Simple statistical gradient-following algorithms for connectionist reinforcement learning,
            Machine Learning 8, 229-256; with an actor and a critic: Barto, Sutton & Anderson (1983), Neuronlike
            adaptive elements that can solve difficult learning control problems, IEEE Transactions on Systems, Man and
            Cybernetics 13(5), 834-846.
Idea        the gradient of the logarithm of an action's chance, times the return that came after it, is on average
            the gradient of the return: no model of the world and no derivative of the reward is needed. A baseline
            that does not depend on the action makes it less noisy, and changes nothing on average.
Deviations  returns count from the action on, discounted (Sutton et al. 2000; the discount of the action's own time is
            left out, as is usual); Adam; a policy of hidden tanh units. Below 1, `trace` has the critic stand for what
            came later (Schulman et al. 2016); at 0 it is the actor and critic of one step.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.run import Run
from ..core.score import Score
from ..core.source import Facts, Place, key
from ..core.system import System
from ..media import Media
from ..parts.initial import orthogonal
from ..parts.policy import Standard, head, perceptron
from ..parts.returns import advantages
from ..worlds.open import opened
from ..worlds.played import choices, episode, played, return_score
from ..worlds.world import World

FORGET = 0.1  # share of the newest episodes in the mean and spread of returns


class Knobs(Config):
    world: str = Field(default="CartPole-v1", description="a Gymnasium id, observed as a vector")
    steps: int = Field(default=70, ge=1, description="updates, each of whole episodes")
    batch: int = Field(default=16, ge=1, le=4096, description="episodes per update, played together")
    longest: int = Field(default=10_000, ge=1, description="steps after which an episode that goes on is cut")
    lr: float = Field(default=1e-2, gt=0, description="Adam's step size of the policy")
    discount: float = Field(default=0.99, ge=0, le=1, description="worth of a reward one step later")
    baseline: Literal["none", "mean", "value"] = Field(default="value", description="what is usual: nothing, the mean "
                                                       "return, or what a net foretells in a state")  # fmt: skip
    trace: float = Field(default=1.0, ge=0, le=1, description="1: returns as they came; below, the critic's values "
                         "stand for what came later; 0: after one step")  # fmt: skip
    entropy: float = Field(default=0.0, ge=0, description="weight of the policy's entropy, in units of the return")
    value_lr: float = Field(default=1e-2, gt=0, description="Adam's step size of the values")
    value_steps: int = Field(default=10, ge=1, description="gradients of the values per update")
    spread: float = Field(default=1.0, gt=0, le=5, description="of a continuous action at first; 1: half of the range")
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64,), description="units of each hidden layer")
    episodes: int = Field(default=100, ge=1, description="played to score")


class Actor(nn.Module):
    """A policy, and beside it a net that foretells returns, which serves as baseline or critic."""

    def __init__(self, facts: Facts, hidden: Sequence[int], spread: float) -> None:
        super().__init__()
        inputs = math.prod(facts["shape"])
        width = [inputs, *hidden][-1]
        self.seen, self.worth = Standard(facts["shape"]), Standard(least=FORGET)
        self.policy, self.head = perceptron(inputs, hidden), head(width, facts, spread)
        self.critic = nn.Sequential(perceptron(inputs, hidden), nn.Linear(width, 1))
        orthogonal(self.head, 0.01)  # all actions are about equally likely at first
        orthogonal(self.critic[1])

    def forward(self, observation: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B A"]:
        """The policy: see its head."""
        return self.head(self.policy(self.seen(observation)))

    @torch.no_grad()
    def act(self, observation: Shaped[Tensor, "B ..."], greedy: bool = True) -> Tensor:
        """Actions as the world takes them: the likeliest, or drawn."""
        policy = self(observation)
        return self.head.legal(self.head.best(policy) if greedy else self.head.draw(policy))

    def foretold(self, observation: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B"]:
        """The return to come, standardised: `worth.back` of it is discounted reward."""
        return self.critic(self.seen(observation))[:, 0]


class Episodes(NamedTuple):
    """N whole episodes side by side, T steps of the longest."""

    observation: Shaped[Tensor, "T N ..."]
    action: Shaped[Tensor, "T N ..."]  # as drawn
    reward: Float[Tensor, "T N"]
    ended: Bool[Tensor, "T N"]
    cut: Bool[Tensor, "T N"]
    final: Shaped[Tensor, "T N ..."]
    there: Bool[Tensor, "T N"]  # the episode was not yet over


class Steps(NamedTuple):
    """The steps of all episodes, judged."""

    observation: Shaped[Tensor, "B ..."]
    action: Shaped[Tensor, "B ..."]
    advantage: Float[Tensor, "B"]
    target: Float[Tensor, "B"]  # of the value: raw


def prepare(knobs: Knobs, place: Place) -> World:
    world = opened(knobs.world, knobs.batch, key(place.seed, "train"), device=place.device)
    shape = world.facts["shape"]
    if len(shape) != 1:
        world.close()
        got = f"{' x '.join(map(str, shape)) or 'a number'} of {knobs.world}"
        raise UserError("observations that are a vector", got, "Take page ppo, with nets for pictures", "reinforce")
    return world


def build(knobs: Knobs, facts: Facts) -> Actor:
    if knobs.trace < 1 and knobs.baseline != "value":
        raise UserError("--baseline value where the trace is below 1: a critic", f"--baseline {knobs.baseline}",
                        "Take --trace 1 to learn from returns alone", "reinforce")  # fmt: skip
    return Actor(facts, knobs.hidden, knobs.spread)


@torch.no_grad()
def lived(model: Actor, world: World, longest: int) -> Episodes:
    """The first episode of each slot, to its end. What follows in a slot is played, too, and not counted."""
    there, kept = torch.ones(len(world.observation), dtype=torch.bool, device=world.observation.device), []
    while len(kept) < longest and there.any():
        observation = world.observation.clone()
        action = model.head.draw(model(observation))
        _, ended, cut, final = outcome = world.step(model.head.legal(action))
        kept.append(Episodes(observation, action, outcome.reward, ended, cut, final.clone(), there))
        there = there & ~(ended | cut)
    return Episodes(*map(torch.stack, zip(*kept, strict=True)))


@torch.no_grad()
def judged(model: Actor, play: Episodes, knobs: Knobs) -> Steps:
    """What came after each action, less what is usual; and what was to be foretold. Where time ran out, what the net
    foretells stands for the rest; without the net it counts for nothing."""
    value, final_value, trace = torch.zeros_like(play.reward), torch.zeros_like(play.reward), knobs.trace
    if knobs.baseline == "value":
        last = play.cut & play.there
        last[-1] = play.there[-1]
        value[play.there] = model.worth.back(model.foretold(play.observation[play.there]))
        final_value[last] = model.worth.back(model.foretold(play.final[last]))
    advantage, target = advantages(play.reward, value, play.ended, play.cut, final_value, knobs.discount, trace)
    if knobs.baseline == "mean":  # of earlier updates: it may not depend on the actions that it judges
        advantage = advantage - model.worth.mean
    return Steps(*(field[play.there] for field in (play.observation, play.action, advantage, target)))


def surrogate(model: Actor, batch: Steps, entropy: float) -> dict[str, Tensor]:
    """Its gradient, downhill, is that of the mean return of an episode over the mean number of its steps (Williams
    1992, theorem 1), as far as the advantages are those of returns."""
    policy = model(batch.observation)
    gain = (model.head.chance(policy, batch.action) * batch.advantage).mean()
    spread = model.head.entropy(policy).mean()
    return {"loss": -gain - entropy * spread, "entropy": spread}


def train(knobs: Knobs, model: Actor, world: World, run: Run) -> None:
    actor = torch.optim.Adam([*model.policy.parameters(), *model.head.parameters()], knobs.lr, fused=True)
    critic = torch.optim.Adam(model.critic.parameters(), knobs.value_lr, fused=True)
    for step in run.steps(knobs.steps, "train", model=model, actor=actor, critic=critic):
        # so no episode outlives an update
        fresh = world.fresh(knobs.batch, key(run.place.seed, "episodes", step))
        play = lived(model, fresh, knobs.longest)
        fresh.close()
        batch = judged(model, play, knobs)
        terms = surrogate(model, batch, knobs.entropy)
        actor.zero_grad()
        terms["loss"].backward()
        actor.step()
        model.worth.update(batch.target)
        for _ in range(knobs.value_steps if knobs.baseline == "value" else 0):
            miss = (model.foretold(batch.observation) - model.worth(batch.target)).square().mean()
            critic.zero_grad()
            miss.backward()
            critic.step()
            terms["miss"] = miss
        model.seen.update(batch.observation)
        run.log(**terms, **{"return": (play.reward * play.there).sum(0).mean()})


@torch.no_grad()
def score(knobs: Knobs, model: Actor, world: World, place: Place) -> dict[str, Score]:
    fresh = world.fresh(knobs.episodes, key(place.seed, "score"))
    returns = played(fresh, model.act, knobs.episodes)
    fresh.close()
    return {"return": return_score(returns, world.facts)}


def use(model: Actor, facts: Facts, inputs: Sequence[Media]) -> list[dict[str, Any]]:
    return [episode(model, facts, seed=0)]


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(baseline="mean", steps=300, lr=3e-3),  # "reinforcement comparison", section 4
    "bare": Knobs(baseline="none", steps=300, lr=3e-3),
    "actor-critic": Knobs(trace=0.9),
    "acrobot": Knobs(world="Acrobot-v1"),
    "pendulum": Knobs(world="Pendulum-v1", trace=0.95, discount=0.95, steps=300),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use,
                probe=lambda model, batch: choices(model, batch))  # fmt: skip
