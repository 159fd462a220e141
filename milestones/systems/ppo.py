"""A policy is improved in many small steps from the same experience, none of which may go far.

Paper       Schulman, Wolski, Dhariwal, Radford & Klimov (2017), Proximal policy optimization algorithms,
            arXiv:1707.06347.
Idea        a step that makes the actions that turned out well likelier is right only near the policy that played. The
            objective stops paying once a chance has changed by more than the clip, so a rollout can be learned from
            several times over.
Deviations  advantages are normalised over the whole rollout; what is foretold of the future has mean 0 and spread 1
            (van Hasselt et al. 2016, without their correction); where time ran out it is not taken for 0 (Pardo et al.
            2018); orthonormal starts and Adam's epsilon as the field has them (Huang et al. 2022). On Atari whole
            games, raw rewards in the score, sticky actions (Machado et al. 2018).
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
from ..core.plan import Plan
from ..core.run import Run
from ..core.score import Score
from ..core.source import Facts, Place, key
from ..core.state import Memo
from ..core.system import System
from ..media import Media
from ..parts.initial import orthogonal
from ..parts.policy import Standard, head, perceptron
from ..parts.returns import advantages, episode_returns
from ..parts.screens import Screens, smallest
from ..worlds.open import opened
from ..worlds.played import choices, episode, normalised_score, played, return_score
from ..worlds.world import World

FORGET = 0.05  # share of the newest rollout in the mean and spread of what is foretold
PUBLISHED = {"pong": 20.7, "breakout": 274.8}  # the paper's table 6
PUBLISHED_ON = "Atari, last 100 training episodes of 40 M frames, 3 seeds, not sticky"


class Knobs(Config):
    world: str = Field(default="CartPole-v1", description="a Gymnasium id, or an Atari game such as pong")
    sticky: float = Field(default=0.25, ge=0, lt=1, description="chance that an Atari game takes the last action again")
    together: int = Field(default=64, ge=1, le=4096, description="episodes stepped together")
    rollout: int = Field(default=32, ge=1, description="steps of each of them per update")
    steps: int = Field(default=40, ge=1, description="updates, each of a rollout")
    epochs: int = Field(default=4, ge=1, description="times that each rollout is learned from")
    batch: int = Field(default=512, ge=1, description="steps of a rollout per gradient")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size at its peak")
    fall: bool = Field(default=True, description="the step size falls to 0 in a straight line")
    discount: float = Field(default=0.99, ge=0, le=1, description="worth of a reward one step later")
    trace: float = Field(
        default=0.95, ge=0, le=1, description="decay of what later errors say of an action; 1: returns"
    )
    clip: float = Field(default=0.2, gt=0, lt=1, description="change of an action's chance that is still paid for")
    entropy: float = Field(default=0.0, ge=0, description="weight of the policy's entropy")
    value: float = Field(default=0.5, gt=0, description="weight of the error of what is foretold")
    bound: float = Field(default=0.5, gt=0, description="largest norm of a gradient")
    clipped: bool = Field(default=False, description="learn from rewards clipped to -1 ... 1, as on Atari")
    spread: float = Field(default=1.0, gt=0, le=5, description="of a continuous action at first; 1: half of the range")
    net: Literal["auto", "mlp", "small", "nature"] = Field(default="auto", description="auto: small for pictures, "
                                                           "mlp for vectors")  # fmt: skip
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64, 64), description="units of an mlp's layers")
    episodes: int = Field(default=100, ge=1, description="played to score")


class Agent(nn.Module):
    """Acts, and foretells what it will get: two nets on a vector, two heads of one net on pictures."""

    def __init__(self, facts: Facts, net: str, hidden: Sequence[int], spread: float) -> None:
        super().__init__()
        shape = facts["shape"]
        self.seen = Standard(shape) if net == "mlp" else None
        self.critic = perceptron(math.prod(shape), hidden) if net == "mlp" else None
        self.actor = perceptron(math.prod(shape), hidden) if net == "mlp" else Screens(net, shape)
        width = self.actor.width if isinstance(self.actor, Screens) else [math.prod(shape), *hidden][-1]
        self.head, self.value, self.worth = head(width, facts, spread), nn.Linear(width, 1), Standard(least=FORGET)
        orthogonal(self.head, 0.01)  # all actions are about equally likely at first
        orthogonal(self.value)

    def forward(self, observation: Shaped[Tensor, "B ..."]) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B"]]:
        """The policy (see its head), and what is foretold, standardised: `worth.back` of it is the value."""
        observation = observation if self.seen is None else self.seen(observation)
        features = self.actor(observation)
        value = self.value(features if self.critic is None else self.critic(observation))
        return self.head(features), value[:, 0].float()

    @torch.no_grad()
    def act(self, observation: Shaped[Tensor, "B ..."], greedy: bool = True) -> Tensor:
        """Actions as the world takes them: the likeliest, or drawn."""
        policy, _ = self(observation)
        return self.head.legal(self.head.best(policy) if greedy else self.head.draw(policy))

    def foretold(self, observation: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B"]:
        """The discounted return to come."""
        return self.worth.back(self(observation)[1])


class Rollout(NamedTuple):
    """T steps of N episodes."""

    observation: Shaped[Tensor, "T N ..."]
    action: Shaped[Tensor, "T N ..."]  # as drawn
    chance: Float[Tensor, "T N"]  # its logarithm
    value: Float[Tensor, "T N"]
    reward: Float[Tensor, "T N"]
    ended: Bool[Tensor, "T N"]
    cut: Bool[Tensor, "T N"]
    final: Shaped[Tensor, "T N ..."]


class Steps(NamedTuple):
    """What a gradient is taken of: steps that were played, judged."""

    observation: Shaped[Tensor, "B ..."]
    action: Shaped[Tensor, "B ..."]
    chance: Float[Tensor, "B"]  # its logarithm under the policy that played
    advantage: Float[Tensor, "B"]  # normalised
    target: Float[Tensor, "B"]  # of the value, standardised


def prepare(knobs: Knobs, place: Place) -> World:
    return opened(knobs.world, knobs.together, key(place.seed, "train"), sticky=knobs.sticky, device=place.device)


def build(knobs: Knobs, facts: Facts) -> Agent:
    shape = facts["shape"]
    net = knobs.net if knobs.net != "auto" else "small" if len(shape) == 3 else "mlp"
    if net != "mlp" and (len(shape) != 3 or min(shape[1:]) < smallest(net)):
        want = f"a world seen as pictures of {smallest(net)} pixels a side or more, for --net {net}"
        raise UserError(want, f"observations of {' x '.join(map(str, shape))}", "Take --net mlp", "ppo")
    return Agent(facts, net, knobs.hidden, knobs.spread)


def surrogate(model: Agent, batch: Steps, knobs: Knobs) -> dict[str, Tensor]:
    """The paper's equation 9, to be minimised, as means over the batch. `kl`: how far the policy is from the one that
    played, in nats (Schulman 2020); `clipped`: percent of steps on which the clip holds."""
    policy, value = model(batch.observation)
    change = model.head.chance(policy, batch.action) - batch.chance
    ratio = change.exp()
    near = ratio.clamp(1 - knobs.clip, 1 + knobs.clip)
    gain = torch.minimum(ratio * batch.advantage, near * batch.advantage).mean()
    miss = (value - batch.target).square().mean()
    entropy = model.head.entropy(policy).mean()
    with torch.no_grad():
        beside = {"kl": (ratio - 1 - change).mean(), "clipped": 100 * (ratio != near).float().mean()}
    return {"loss": knobs.value * miss - gain - knobs.entropy * entropy, "miss": miss, "entropy": entropy, **beside}


@torch.no_grad()
def rollout(model: Agent, world: World, steps: int, plan: Plan) -> Rollout:
    """Play on in all episodes, so many steps."""
    kept: list[Rollout] = []
    with plan.running(world.observation.device):
        for _ in range(steps):
            observation = world.observation.clone()  # a world may write the next one over it
            policy, value = model(observation)
            action = model.head.draw(policy)
            outcome = world.step(model.head.legal(action))
            chance = model.head.chance(policy, action)
            kept.append(Rollout(observation, action, chance, model.worth.back(value), outcome.reward, outcome.ended,
                                outcome.cut, outcome.final.clone()))  # fmt: skip
    return Rollout(*map(torch.stack, zip(*kept, strict=True)))


@torch.no_grad()
def judged(model: Agent, play: Rollout, knobs: Knobs) -> Steps:
    """How good each action was, and what should have been foretold, of whose mean and spread the model takes note."""
    last = play.cut.clone()
    last[-1] = True
    final_value = torch.zeros_like(play.value)
    final_value[last] = model.foretold(play.final[last])
    reward = play.reward.clamp(-1, 1) if knobs.clipped else play.reward
    advantage, target = advantages(reward, play.value, play.ended, play.cut, final_value, knobs.discount, knobs.trace)
    model.worth.update(target.flatten())
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    rows = (play.observation, play.action, play.chance, advantage, model.worth(target))
    return Steps(*(field.flatten(0, 1) for field in rows))


def picked(batch: Steps, index: Tensor) -> Steps:
    return Steps(*(field.index_select(0, index) for field in batch))


def trial(model: Agent, world: World, size: int) -> Steps:
    """So many steps, to time ways of running the model on."""
    observation = world.observation[torch.arange(size, device=world.observation.device) % len(world.observation)]
    with torch.no_grad():
        policy, value = model(observation)
        action = model.head.draw(policy)
    return Steps(observation, action, model.head.chance(policy, action).detach(), torch.ones_like(value), value + 1)


def train(knobs: Knobs, model: Agent, world: World, run: Run) -> None:
    optimizer = torch.optim.Adam(model.parameters(), knobs.lr, eps=1e-5, fused=True)
    size, device = knobs.rollout * knobs.together, run.place.device
    some = trial(model, world, size)

    def epoch(twin: Agent, plan: Plan) -> Tensor:
        parts = (Steps(*fields) for fields in zip(*(field.split(knobs.batch) for field in some), strict=True))
        return torch.stack([surrogate(twin, plan.lay(part), knobs)["loss"] for part in parts]).mean()

    run.measure(model, epoch, size)
    memo = Memo(so_far=torch.zeros(knobs.together, device=device))
    for step in run.steps(knobs.steps, "train", model=model, optimizer=optimizer, world=world, memo=memo):
        for group in optimizer.param_groups:
            group["lr"] = knobs.lr * (1 - step / knobs.steps if knobs.fall else 1.0)
        play = rollout(model, world, knobs.rollout, run.plan)
        returns, memo.so_far = episode_returns(play.reward, play.ended | play.cut, memo.so_far)
        batch = judged(model, play, knobs)
        for _ in range(knobs.epochs):
            for index in torch.randperm(size, device=device).split(knobs.batch):
                with run.plan.running(device):
                    terms = surrogate(model, run.plan.lay(picked(batch, run.place.share(index))), knobs)
                optimizer.zero_grad()
                terms["loss"].backward()
                run.average(model)
                nn.utils.clip_grad_norm_(model.parameters(), knobs.bound)
                optimizer.step()
        if (
            model.seen is not None
        ):  # only now: the chances of this rollout are those of what was seen by the old figures
            model.seen.update(batch.observation)
        run.log(**terms, **({"return": returns.mean()} if len(returns) else {}))


@torch.no_grad()
def score(knobs: Knobs, model: Agent, world: World, place: Place) -> dict[str, Score]:
    """Of fresh episodes: by the likeliest actions, on pictures by drawn ones, as in the paper."""
    fresh = world.fresh(knobs.episodes, key(place.seed, "score"))
    returns = played(fresh, lambda observation: model.act(observation, greedy=model.seen is not None), knobs.episodes)
    fresh.close()
    published = PUBLISHED.get(knobs.world)
    found = return_score(returns, world.facts, paper=published, paper_data=PUBLISHED_ON if published else "")
    return {"return": found} | normalised_score(returns, world.facts)


def use(model: Agent, facts: Facts, inputs: Sequence[Media]) -> list[dict[str, Any]]:
    return [episode(model, facts, seed=0)]


PRESETS = {
    "quick": Knobs(),
    # The paper's table 5, on the game of its figures.
    "paper": Knobs(world="pong", sticky=0.0, together=8, rollout=128, steps=9765, epochs=3, batch=256, lr=2.5e-4,
                   discount=0.99, trace=0.95, clip=0.1, entropy=0.01, value=1.0, clipped=True, net="small",
                   episodes=30),
    "acrobot": Knobs(world="Acrobot-v1", steps=60, epochs=6, lr=1e-3),
    "pendulum": Knobs(world="Pendulum-v1", steps=180, epochs=10, batch=256, lr=2e-3, discount=0.9),
    "mountaincar": Knobs(world="MountainCar-v0", steps=320, lr=3e-3, trace=0.98),
    "lander": Knobs(world="LunarLander-v3", rollout=128, steps=250, epochs=6, batch=512, lr=1e-3, discount=0.995,
                    trace=0.98, entropy=0.01),
    "pong": Knobs(world="pong", steps=1000, epochs=3, batch=256, lr=1e-3, discount=0.99, trace=0.95, clip=0.1,
                  entropy=0.01, clipped=True, net="small", episodes=30),
    "breakout": Knobs(world="breakout", steps=5000, epochs=3, batch=256, lr=1e-3, discount=0.99, trace=0.95, clip=0.1,
                      entropy=0.01, clipped=True, net="nature", episodes=30),
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, build, train, score, use,
                probe=lambda model, batch: choices(lambda seen: model(seen)[0], batch))  # fmt: skip
