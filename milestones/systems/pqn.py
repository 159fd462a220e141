"""Many games at once make a memory of old moments needless, and a normalised net needs no older copy of itself.

Paper       Gallici, Fellows, Ellis, Pou, Masmitja, Foerster & Martin (2025), Simplifying deep temporal difference
            learning, ICLR, arXiv:2407.04811.
Idea        Q-learning with a net goes astray when it chases its own guesses. What replay and a target network do
            against it, many episodes side by side and layer normalisation do, too: neighbours in the batch are of other
            episodes, and the net cannot run away. Targets mix the rewards of many steps: Q(lambda).
Deviations  what is seen is standardised by running figures in front of the net; a screen's maps are normalised all
            together, as are the units of a layer. Where time ran out what follows is still worth something (Pardo et
            al. 2018). On Atari sticky actions and whole games (Machado et al. 2018).
Result      not yet measured with several seeds
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.plan import Plan
from ..core.run import Run
from ..core.score import Score
from ..core.source import Facts, Place, key
from ..core.state import Memo
from ..core.system import System
from ..media import Media, history
from ..parts.initial import he, orthogonal
from ..parts.layers import norm
from ..parts.policy import Standard
from ..parts.returns import episode_returns, lambda_returns
from ..parts.screens import NETS, smallest
from ..worlds.gym import needs
from ..worlds.open import opened
from ..worlds.played import choices, episode, normalised_score, played, return_score
from ..worlds.world import World


class Knobs(Config):
    world: str = Field(default="CartPole-v1", description="a Gymnasium id, or an Atari game such as pong")
    sticky: float = Field(default=0.25, ge=0, le=1, description="chance that an Atari game takes the last action again")
    together: int = Field(default=64, ge=1, le=4096, description="episodes stepped together")
    rollout: int = Field(default=16, ge=1, description="steps of each of them per update")
    steps: int = Field(default=120, ge=1, description="updates, each of a rollout")
    epochs: int = Field(default=4, ge=1, description="times that each rollout is learned from")
    batch: int = Field(default=128, ge=1, description="moments of a rollout per gradient")
    lr: float = Field(default=1e-3, gt=0, description="RAdam's step size at its peak")
    fall: bool = Field(default=True, description="the step size falls to 0 in a straight line")
    discount: float = Field(default=0.99, ge=0, le=1, description="worth of a reward one step later")
    trace: float = Field(default=0.8, ge=0, le=1, description="lambda: how much rewards that came count before what is "
                         "foretold; 0: one step")  # fmt: skip
    explore: float = Field(default=0.1, ge=0, le=1, description="chance of a random action in the end")
    decay: float = Field(default=0.3, ge=0, le=1, description="share of the updates in which it falls from 1 to that")
    tested: float = Field(default=0.0, ge=0, le=1, description="chance of a random action when it is scored")
    normal: Literal["layer", "none"] = Field(default="layer", description="what keeps the net from running away")
    clipped: bool = Field(default=False, description="learn from rewards clipped to -1 ... 1, as on Atari")
    bound: float = Field(default=10.0, gt=0, description="largest norm of a gradient")
    net: Literal["auto", "mlp", "small", "nature"] = Field(default="auto", description="auto: small, which is DQN's of "
                                                           "2013, for pictures, else mlp")  # fmt: skip
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(128, 128), description="units of an mlp's layers")
    episodes: int = Field(default=100, ge=1, description="played to score")


class Values(nn.Module):
    """Q: what each action is worth, discounted; each layer normalised before its unit. Takes raw observations."""

    chance: Tensor

    def __init__(self, facts: Facts, knobs: Knobs, net: str) -> None:
        super().__init__()
        shape, layers = facts["shape"], list[nn.Module]()
        if net == "mlp":
            widths = [math.prod(shape), *knobs.hidden]
        else:
            filters, wide = NETS[net]
            (channels, *sides) = shape
            for maps, side, stride in filters:
                layers += [nn.Conv2d(channels, maps, side, stride), norm(knobs.normal, maps, maps=True), nn.ReLU()]
                channels, sides = maps, [(s - side) // stride + 1 for s in sides]
            widths = [channels * math.prod(sides), wide]
        layers.append(nn.Flatten())
        for before, width in itertools.pairwise(widths):
            layers += [nn.Linear(before, width), norm(knobs.normal, width), nn.ReLU()]
        self.seen = Standard(shape) if net == "mlp" else None
        self.layers, self.actions = nn.Sequential(*layers), nn.Linear(widths[-1], facts["actions"])
        he(self.layers)
        orthogonal(self.actions, 0.01)  # nothing is worth anything at first
        self.tested = knobs.tested
        self.register_buffer("chance", torch.ones(()))  # of a random action, in training

    def forward(self, observation: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B A"]:
        screens = self.seen is None
        given = observation.float() * (1 / 255) if self.seen is None else self.seen(observation)
        features = self.layers(given) if screens else given
        with torch.autocast(observation.device.type, enabled=False):  # in bfloat16, 200 and 201 are the same number
            return self.actions(features.float() if screens else self.layers(features))

    @torch.no_grad()
    def act(self, observation: Shaped[Tensor, "N ..."], greedy: bool = True) -> Int[Tensor, "N"]:
        """The best action, but with a small chance any: `tested`, or if not greedy that of the training."""
        return self.chosen(self(observation), self.tested if greedy else self.chance)

    def chosen(self, worth: Float[Tensor, "N A"], chance: float | Tensor) -> Int[Tensor, "N"]:
        """The best action; with this chance any."""
        best = worth.argmax(1)
        anything = torch.rand(best.shape, device=best.device) < chance
        return torch.where(anything, torch.randint_like(best, worth.shape[1]), best)


class Moments(NamedTuple):
    """What a gradient is taken of."""

    observation: Shaped[Tensor, "B ..."]
    action: Int[Tensor, "B"]
    target: Float[Tensor, "B"]  # what it should have been said to be worth


def prepare(knobs: Knobs, place: Place) -> World:
    world = opened(knobs.world, knobs.together, key(place.seed, "train"), sticky=knobs.sticky, device=place.device)
    needs(world, discrete=True, page="pqn")
    return world


def build(knobs: Knobs, facts: Facts) -> Values:
    shape = facts["shape"]
    net = knobs.net if knobs.net != "auto" else "small" if len(shape) == 3 else "mlp"
    if net != "mlp" and (len(shape) != 3 or min(shape[1:]) < smallest(net)):
        want = f"a world seen as pictures of {smallest(net)} pixels a side or more, for --net {net}"
        raise UserError(want, f"observations of {' x '.join(map(str, shape))}", "Take --net mlp", "pqn")
    return Values(facts, knobs, net)


def loss(model: Values, batch: Moments) -> dict[str, Tensor]:
    """Half the squared error of what the actions are said to be worth, mean over the batch."""
    worth = model(batch.observation).gather(1, batch.action[:, None])[:, 0]
    return {"loss": 0.5 * (batch.target - worth).square().mean(), "worth": worth.mean()}


@torch.no_grad()
def lived(model: Values, world: World, knobs: Knobs, plan: Plan, memo: Memo) -> tuple[Moments, Tensor]:
    """So many steps of all episodes, with their targets (algorithm 1), by the net that played; and the returns of the
    episodes that were over, "E"."""
    seen: list[Tensor] = []
    done: list[tuple[Tensor, ...]] = []
    with plan.running(world.observation.device):
        for _ in range(knobs.rollout):
            seen.append(world.observation.clone())  # a world may write the next one over it
            worth = model(seen[-1])
            action = model.chosen(worth, model.chance)
            reward, ended, cut, final = world.step(action)
            last = torch.zeros_like(reward)
            if bool(cut.any()):
                last[cut] = model(final[cut]).amax(1)
            done.append((action, worth.amax(1), reward, ended, cut, last))
        after = model(world.observation).amax(1)
    action, best, reward, ended, cut, last = map(torch.stack, zip(*done, strict=True))  # T N
    returns, memo.so_far = episode_returns(reward, ended | cut, memo.so_far)
    paid = reward.clamp(-1, 1) if knobs.clipped else reward
    target = lambda_returns(paid, torch.cat([best[1:], after[None]]), ended, cut, last, knobs.discount, knobs.trace)
    return Moments(torch.cat(seen), action.flatten(), target.flatten()), returns


def trial(world: World, size: int) -> Moments:
    """A batch like those to come, to time ways of running the model on."""
    seen = world.observation
    seen = seen[torch.arange(size, device=seen.device) % len(seen)]
    one = torch.ones(size, device=seen.device)
    return Moments(seen, 0 * one.long(), one)


def random_share(knobs: Knobs, step: int) -> float:
    """The chance of a random action in an update: from 1 along a line, then constant."""
    along = min(1.0, step / max(1.0, knobs.decay * knobs.steps))
    return 1 - along * (1 - knobs.explore)


def train(knobs: Knobs, model: Values, world: World, run: Run) -> None:
    optimizer, device = torch.optim.RAdam(model.parameters(), knobs.lr), run.place.device
    size, some = knobs.together * knobs.rollout, trial(world, knobs.batch)
    run.measure(model, lambda twin, plan: loss(twin, plan.lay(some))["loss"], knobs.batch)
    memo = Memo(so_far=torch.zeros(knobs.together, device=device))
    for step in run.steps(knobs.steps, "train", model=model, optimizer=optimizer, world=world, memo=memo):
        for group in optimizer.param_groups:
            group["lr"] = knobs.lr * (1 - step / knobs.steps if knobs.fall else 1.0)
        model.chance.fill_(random_share(knobs, step))
        moments, returns = lived(model, world, knobs, run.plan, memo)
        if model.seen is not None:
            model.seen.update(moments.observation)
        for _ in range(knobs.epochs):
            for index in torch.randperm(size, device=device).split(knobs.batch):
                mine = run.place.share(index)
                batch = run.plan.lay(Moments(*(field.index_select(0, mine) for field in moments)))
                with run.plan.running(device):
                    terms = loss(model, batch)
                optimizer.zero_grad()
                terms["loss"].backward()
                run.average(model)
                nn.utils.clip_grad_norm_(model.parameters(), knobs.bound)
                optimizer.step()
        run.log(**terms, **({"return": returns.mean()} if len(returns) else {}))
    if not run.ended:
        curve = history(run.folder, {"while exploring": "train"}, "return", "updates", "return")
        run.show(**({"returns": curve} if curve.x else {}))


@torch.no_grad()
def score(knobs: Knobs, model: Values, world: World, place: Place) -> dict[str, Score]:
    fresh = world.fresh(knobs.episodes, key(place.seed, "score"))
    returns = played(fresh, model.act, knobs.episodes)
    fresh.close()
    return {"return": return_score(returns, world.facts)} | normalised_score(returns, world.facts)


def use(model: Values, facts: Facts, inputs: Sequence[Media]) -> list[dict[str, Any]]:
    return [episode(model, facts, seed=0)]


# The paper's settings for Atari; the episodes side by side are ours.
ATARI = {"trace": 0.65, "clipped": True, "episodes": 30, "explore": 0.01, "decay": 0.1, "epochs": 2}
PRESETS = {
    "quick": Knobs(),
    "pong": Knobs(**ATARI, world="pong", rollout=32, steps=1000, batch=256, lr=5e-4),
    "breakout": Knobs(**ATARI, world="breakout", rollout=32, steps=5000, batch=256, lr=5e-4),
    "paper": Knobs(world="breakout", sticky=0.0, together=128, rollout=32, steps=12_207, epochs=2, batch=128, lr=2.5e-4,
                   trace=0.65, explore=0.001, decay=0.1, clipped=True, net="nature", episodes=30),
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, build, train, score, use,
                probe=lambda model, batch: choices(model, batch))  # fmt: skip
