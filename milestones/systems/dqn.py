"""A net learns what each action is worth, from the screen and the score alone, and plays by it.

Paper       Mnih, Kavukcuoglu, Silver, Graves, Antonoglou, Wierstra & Riedmiller (2013), Playing Atari with deep
            reinforcement learning, arXiv:1312.5602; Mnih et al. (2015), Human-level control through deep reinforcement
            learning, Nature 518, 529-533.
Idea        Q-learning with a net in place of the table. What was lived through is kept, and moments are drawn from it
            again and again, so that neighbours in time do not teach together (replay); and what follows a moment is
            judged by an older copy of the net, which stands still for a while (target network).
Deviations  several episodes are played side by side, and each step of all of them is followed by one update. A lost
            life ends no episode, and where time ran out what follows is still worth something (Pardo et al. 2018).
            Of what came later there is: which action is best is told by one net and its worth by the other (`double`,
            van Hasselt 2016), the worth of a state apart from what its actions add (`duelling`, Wang 2016), rewards of
            several steps (`ahead`, Sutton 1988), surprising moments drawn more often (`surprise`, Schaul 2016).
Result      not yet measured with several seeds
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.run import Run
from ..core.score import Score
from ..core.source import Facts, Place, key
from ..core.state import Memo
from ..core.system import System
from ..media import Media, history
from ..parts.initial import he, orthogonal
from ..parts.policy import Standard
from ..parts.returns import episode_returns
from ..parts.screens import Screens, smallest
from ..worlds.gym import needs
from ..worlds.open import opened
from ..worlds.played import choices, episode, normalised_score, played, return_score
from ..worlds.replay import Lived, Memory
from ..worlds.world import World

PUBLISHED = {"pong": 18.9, "breakout": 401.2}  # Nature, extended data table 2
PUBLISHED_ON = "Atari, 30 episodes of 5 min after 200 M frames, not sticky, 5 % of the actions random"


class Knobs(Config):
    world: str = Field(default="CartPole-v1", description="a Gymnasium id, or an Atari game such as pong")
    sticky: float = Field(default=0.25, ge=0, le=1, description="chance that an Atari game takes the last action again")
    together: int = Field(default=16, ge=1, le=4096, description="episodes stepped together")
    steps: int = Field(default=2500, ge=1, description="steps of each of them, each followed by an update")
    batch: int = Field(default=128, ge=1, description="moments per update")
    method: Literal["adam", "rmsprop"] = Field(default="adam", description="optimiser; rmsprop is the paper's")
    lr: float = Field(default=1e-3, gt=0, description="step size at its peak")
    fall: bool = Field(default=True, description="the step size falls to 0 in a straight line")
    discount: float = Field(default=0.99, ge=0, le=1, description="worth of a reward one step later")
    replay: int = Field(default=50_000, ge=0, description="moments that are kept; 0: only the latest are learned from")
    start: int = Field(default=1000, ge=0, description="moments lived through before the first update")
    frozen: int = Field(default=100, ge=0, description="updates for which the target network stands still before it "
                        "becomes the net again; 0: there is none")  # fmt: skip
    explore: float = Field(default=0.05, ge=0, le=1, description="chance of a random action in the end")
    decay: float = Field(default=0.3, ge=0, le=1, description="share of the steps in which it falls from 1 to that")
    tested: float = Field(default=0.0, ge=0, le=1, description="chance of a random action when it is scored")
    double: bool = Field(default=False, description="the net chooses what the target network judges")
    duelling: bool = Field(default=False, description="worth of the state, and what each action adds to it")
    ahead: int = Field(default=1, ge=1, le=100, description="steps whose rewards are taken as they came")
    surprise: float = Field(default=0.0, ge=0, le=1, description="exponent of the last error in the chance of being "
                            "drawn; 0: all alike")  # fmt: skip
    clipped: bool = Field(default=False, description="learn from rewards clipped to -1 ... 1, as on Atari")
    straight: float = Field(default=1.0, gt=0, description="error beyond which the loss grows in a straight line")
    bound: float = Field(default=10.0, ge=0, description="largest norm of a gradient; 0: any")
    net: Literal["auto", "mlp", "small", "nature"] = Field(default="auto", description="auto: small, which is 2013's, "
                                                           "for pictures, else mlp")  # fmt: skip
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(128, 128), description="units of an mlp's layers")
    episodes: int = Field(default=100, ge=1, description="played to score")


class Values(nn.Module):
    """Q: what each action is worth, discounted. Takes raw observations."""

    chance: Tensor

    def __init__(self, facts: Facts, knobs: Knobs, net: str) -> None:
        super().__init__()
        widths = [math.prod(facts["shape"]), *knobs.hidden]
        self.seen = Standard(facts["shape"]) if net == "mlp" else None
        if net == "mlp":
            pairs = itertools.pairwise(widths)
            self.features: nn.Module = nn.Sequential(
                nn.Flatten(), *(layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU()))
            )
            he(self.features)
        else:
            self.features = Screens(net, facts["shape"])
        width = self.features.width if isinstance(self.features, Screens) else widths[-1]
        self.actions = nn.Linear(width, facts["actions"])
        self.state = nn.Linear(width, 1) if knobs.duelling else None
        for layer in (self.actions, self.state):
            if layer is not None:
                orthogonal(layer, 0.01)  # nothing is worth anything at first
        self.tested = knobs.tested
        self.register_buffer("chance", torch.ones(()))  # of a random action, in training

    def forward(self, observation: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B A"]:
        features = self.features(observation) if self.seen is None else None
        with torch.autocast(observation.device.type, enabled=False):  # in bfloat16, 200 and 201 are the same number
            features = self.features(self.seen(observation)) if self.seen is not None else features.float()
            added = self.actions(features)
            return added if self.state is None else self.state(features) + added - added.mean(1, keepdim=True)

    @torch.no_grad()
    def act(self, observation: Shaped[Tensor, "N ..."], greedy: bool = True) -> Int[Tensor, "N"]:
        """The best action, but with a small chance any: `tested`, or if not greedy that of the training."""
        best = self(observation).argmax(1)
        chance = self.tested if greedy else self.chance
        anything = torch.rand(best.shape, device=best.device) < chance
        return torch.where(anything, torch.randint_like(best, self.actions.out_features), best)


def prepare(knobs: Knobs, place: Place) -> World:
    world = opened(knobs.world, knobs.together, key(place.seed, "train"), sticky=knobs.sticky, device=place.device)
    needs(world, discrete=True, page="dqn")
    return world


def build(knobs: Knobs, facts: Facts) -> Values:
    shape = facts["shape"]
    net = knobs.net if knobs.net != "auto" else "small" if len(shape) == 3 else "mlp"
    if net != "mlp" and (len(shape) != 3 or min(shape[1:]) < smallest(net)):
        want = f"a world seen as pictures of {smallest(net)} pixels a side or more, for --net {net}"
        raise UserError(want, f"observations of {' x '.join(map(str, shape))}", "Take --net mlp", "dqn")
    if first_update(knobs) > knobs.steps:
        got = (
            f"{knobs.start:,} moments before the first one, which {knobs.steps:,} steps of {knobs.together} do not make"
        )
        raise UserError("an update before the steps are over", got, "Raise steps, or lower start", "dqn")
    return Values(facts, knobs, net)


@torch.no_grad()
def targets(model: Values, frozen: Values, batch: Lived, knobs: Knobs) -> Float[Tensor, "B"]:
    """What the actions should have been said to be worth: the rewards that came, and what the best action after them is
    worth (2015, algorithm 1)."""
    reward = batch.reward.clamp(-1, 1) if knobs.clipped else batch.reward
    powers = knobs.discount ** torch.arange(reward.shape[1], device=reward.device)
    after = frozen(batch.following)
    best = (model(batch.following) if knobs.double else after).argmax(1, keepdim=True)
    worth = after.gather(1, best)[:, 0].masked_fill(batch.ended, 0.0)
    return (reward * powers).sum(1) + knobs.discount**batch.steps * worth


def loss(model: Values, frozen: Values, batch: Lived, knobs: Knobs) -> tuple[dict[str, Tensor], Float[Tensor, "B"]]:
    """Half the squared error, from `straight` on along its tangent (2015: "clipped to -1 ... 1", which is the slope),
    mean over the batch; and the errors."""
    worth = model(batch.observation).gather(1, batch.action[:, None])[:, 0]
    error = targets(model, frozen, batch, knobs) - worth
    each = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=knobs.straight)
    return {"loss": (batch.weight * each).mean(), "worth": worth.mean()}, error.detach()


def first_update(knobs: Knobs) -> int:
    """The step that is followed by the first update, from 1."""
    return max(-(-knobs.start // knobs.together), knobs.ahead + 1)


def trial(world: World, knobs: Knobs) -> Lived:
    """A batch like those to come, to time ways of running the model on."""
    seen, size = world.observation, knobs.batch
    seen = seen[torch.arange(size, device=seen.device) % len(seen)]
    one = torch.ones(size, dtype=torch.long, device=seen.device)
    return Lived(seen, 0 * one, torch.ones(size, knobs.ahead, device=seen.device), one, seen, one > 1, one.float(), one)


def random_share(knobs: Knobs, step: int) -> float:
    """The chance of a random action at a step: from 1 along a line, then constant."""
    along = min(1.0, step / max(1.0, knobs.decay * knobs.steps))
    return 1 - along * (1 - knobs.explore)


METHODS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr, fused=True),
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr, alpha=0.95, eps=0.01, centered=True),
}


def lived(model: Values, world: World, memory: Memory, run: Run, memo: Memo) -> Tensor:
    """One step of all episodes, kept in memory; the returns of those that are over, "E"."""
    memory.follow(world.observation)
    with run.plan.running(run.place.device):
        action = model.act(world.observation, greedy=False)
    outcome = world.step(action)
    memory.add(action, outcome, world.observation)
    over = outcome.ended | outcome.cut
    returns, memo.so_far = episode_returns(outcome.reward[None], over[None], memo.so_far)
    return returns


def train(knobs: Knobs, model: Values, world: World, run: Run) -> None:
    device, optimizer = run.place.device, METHODS[knobs.method](model.parameters(), knobs.lr)
    frozen = copy.deepcopy(model).requires_grad_(False) if knobs.frozen else model
    memory = Memory(run.beside("replay.ring"), knobs.together, knobs.replay, world.facts, knobs.ahead, knobs.surprise)
    first, some = first_update(knobs), trial(world, knobs)
    memo = Memo(so_far=torch.zeros(knobs.together, device=device))
    run.measure(model, lambda twin, plan: loss(twin, twin, plan.lay(some), knobs)[0]["loss"], knobs.batch)
    kept: dict[str, Any] = {"frozen": frozen} if knobs.frozen else {}
    for step in run.steps(knobs.steps, "train", model=model, optimizer=optimizer, memory=memory, world=world,
                          memo=memo, **kept):  # fmt: skip
        if model.seen is not None and (step < first or step % 8 == 0):
            model.seen.update(world.observation)
        model.chance.fill_(random_share(knobs, step))
        returns = lived(model, world, memory, run, memo)
        if step + 1 < first:
            continue
        for group in optimizer.param_groups:
            group["lr"] = knobs.lr * (1 - step / knobs.steps if knobs.fall else 1.0)
        drawn = memory.draw(knobs.batch, 0.4 + 0.6 * step / knobs.steps) if knobs.replay else memory.latest()
        mine = drawn if memory.priorities else Lived(*map(run.place.share, drawn))  # which need the errors of all
        with run.plan.running(device):
            terms, error = loss(model, frozen, run.plan.lay(Lived(*(part.to(device) for part in mine))), knobs)
        optimizer.zero_grad()
        terms["loss"].backward()
        run.average(model)
        if knobs.bound:
            nn.utils.clip_grad_norm_(model.parameters(), knobs.bound)
        optimizer.step()
        if memory.priorities:
            memory.priorities.set(drawn.row, error)
        if knobs.frozen and run.every(knobs.frozen):
            frozen.load_state_dict(model.state_dict())
        run.log(**terms, **({"return": returns.mean()} if len(returns) else {}))
    if not run.ended:
        memory.drop()
        curve = history(run.folder, {"while exploring": "train"}, "return", "updates", "return")
        run.show(**({"returns": curve} if curve.x else {}))


@torch.no_grad()
def score(knobs: Knobs, model: Values, world: World, place: Place) -> dict[str, Score]:
    fresh = world.fresh(knobs.episodes, key(place.seed, "score"))
    returns = played(fresh, model.act, knobs.episodes)
    fresh.close()
    published = PUBLISHED.get(str(world.facts["world"]))
    found = return_score(returns, world.facts, paper=published, paper_data=PUBLISHED_ON if published else "")
    return {"return": found} | normalised_score(returns, world.facts)


def use(model: Values, facts: Facts, inputs: Sequence[Media]) -> list[dict[str, Any]]:
    return [episode(model, facts, seed=0)]


ATARI = {"clipped": True, "tested": 0.05, "episodes": 30}
CLASSIC = {"double": True, "ahead": 3, "straight": 1000.0, "explore": 0.1}  # returns are large: errors as they are
PRESETS = {
    "quick": Knobs(**CLASSIC, steps=2000, start=500, frozen=20),
    "pong": Knobs(**ATARI, world="pong", steps=60_000, lr=2.5e-4, batch=64, replay=200_000, start=10_000, frozen=500,
                  decay=0.1, explore=0.01, double=True, ahead=3),
    "breakout": Knobs(**ATARI, world="breakout", steps=300_000, lr=2.5e-4, batch=64, replay=1_000_000, start=20_000,
                      frozen=1000, decay=0.1, explore=0.01, double=True, ahead=3),
    # Nature's extended data table 1: 50 million actions, an update of 32 moments after every fourth.
    "paper": Knobs(**ATARI, world="breakout", sticky=0.0, together=4, steps=12_500_000, method="rmsprop", lr=2.5e-4,
                   fall=False, batch=32, replay=1_000_000, start=50_000, frozen=10_000, explore=0.1, decay=0.02,
                   bound=0.0, net="nature"),
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, build, train, score, use,
                probe=lambda model, batch: choices(model, batch))  # fmt: skip
