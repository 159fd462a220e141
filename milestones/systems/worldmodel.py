"""A net learns how the world answers, and one thinks ahead in it before each step: few real steps are enough.

Paper       Chua, Calandra, McAllister & Levine (2018), Deep reinforcement learning in a handful of trials using
            probabilistic dynamics models, NeurIPS 31, 4759-4770 (PETS); of its kin Sutton (1990), Dyna.
Idea        an ensemble of nets learns from real steps what comes next and what it pays, as a Gaussian. Sequences of
            actions are lived through in it, each net going its own way, and of the best of them one takes the first
            action. Where little was seen the nets disagree: the model says what it does not know.
Deviations  reward and the end of an episode are learned, too; a few updates after each real step, not many after each
            episode; each step is planned anew; a path keeps its net (TS-infinity) and all sequences share its noise.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.run import Run
from ..core.score import Score
from ..core.source import Facts, Place, key, keyed
from ..core.state import Memo
from ..core.system import System
from ..media import Curve, Media
from ..media.foretold import foretold, over_plane
from ..parts.dyna import curves
from ..parts.gaussians import Ensemble, bounded, surprisal
from ..parts.planning import Search, continuous, discrete
from ..worlds.known import REWARDS
from ..worlds.open import opened
from ..worlds.played import episode, played, return_score
from ..worlds.world import World

SHOWN, AHEAD = 8, 50  # episodes that are imagined and played, and for how many steps


class Knobs(Config):
    world: str = Field(default="CartPole-v0", description="a Gymnasium id whose observation is a list of numbers")
    steps: int = Field(default=1000, ge=1, description="real steps in the world")
    random: int = Field(default=100, ge=1, description="first of them whose actions are drawn, not planned")
    reward: Literal["learned", "known"] = Field(default="learned", description="what the model knows of the reward")
    nets: int = Field(default=5, ge=1, le=64, description="of the ensemble")
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(48, 48), description="units of each net's layers")
    updates: int = Field(default=5, ge=1, description="optimiser updates after each real step")
    batch: int = Field(default=64, ge=1, description="real steps that each net sees in an update")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size")
    decay: float = Field(default=1e-4, ge=0, description="of the weights, AdamW's")
    horizon: int = Field(default=20, ge=1, le=1000, description="steps that are thought ahead")
    candidates: int = Field(default=64, ge=2, description="sequences of actions in a round of planning")
    elites: int = Field(default=8, ge=1, description="of them that say where to draw in the next round")
    rounds: int = Field(default=3, ge=1, description="of planning")
    correlation: float = Field(default=0.5, ge=0, lt=1, description="of drawn actions that follow one another")
    particles: int = Field(default=1, ge=1, description="paths that each net imagines for a sequence")
    discount: float = Field(default=1.0, gt=0, le=1, description="worth of a reward one step later")
    episodes: int = Field(default=20, ge=1, description="fresh ones that are played to score")
    maze: bool = Field(default=True, description="show beside it what Dyna-Q gains in a maze")


class Steps(NamedTuple):
    """Real steps."""

    observation: Float[Tensor, "*B D"]
    action: Float[Tensor, "*B A"]  # encoded
    next: Float[Tensor, "*B D"]
    reward: Float[Tensor, "*B"]
    ended: Bool[Tensor, "*B"]
    weight: Float[Tensor, "*B E"]  # how often each net's bootstrap sample holds it


class Imagined(NamedTuple):
    """One step of paths that begin together: E nets, their particles, N plans, P sequences of actions each."""

    observation: Float[Tensor, "E B D"]  # B: particles x N x P
    reward: Float[Tensor, "E B"]
    alive: Float[Tensor, "E B"]  # the chance that the episode had not ended before the step


class WorldModel(nn.Module):
    """E nets that say the change of the observation and the reward of an action, and nets that say of an observation
    whether it ends the episode. Takes raw observations; their figures are buffers, of all that was seen."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        (size,), self.discrete, self.actions = facts["shape"], facts["discrete"], facts["actions"]
        self.size, self.nets, self.particles, self.discount = size, knobs.nets, knobs.particles, knobs.discount
        self.search = Search(knobs.horizon, knobs.candidates, knobs.elites, knobs.rounds, 0.1, knobs.correlation)
        self.known = REWARDS[facts["world"]] if knobs.reward == "known" else None
        self.net = Ensemble(knobs.nets, size + self.actions, knobs.hidden, 2 * (size + 1))
        self.ends = Ensemble(knobs.nets, size, (32,), 1)
        self.low_variance = nn.Parameter(torch.full((size + 1,), -10.0))  # logs; of a usual change of 1
        self.high_variance = nn.Parameter(torch.full((size + 1,), 0.5))
        for name, values in {"mean": torch.zeros(size), "spread": torch.ones(size), "least": torch.full((size,), -1e3),
                             "most": torch.full((size,), 1e3), "usual": torch.zeros(size + 1),
                             "change": torch.ones(size + 1)}.items():  # fmt: skip
            self.register_buffer(name, values)
        for name in () if self.discrete else ("low", "high"):
            self.register_buffer(name, torch.tensor(facts[name], dtype=torch.float32), persistent=False)

    def encoded(self, action: Tensor) -> Float[Tensor, "*B A"]:
        """A choice as one of A ones, a number as a part of what is legal, -1 to 1."""
        if self.discrete:
            return F.one_hot(action, self.actions).float()
        return 2 * (action - self.low) / (self.high - self.low) - 1

    def at_random(self) -> Tensor:
        """An action at random, for one world."""
        if self.discrete:
            return torch.randint(self.actions, (1,), device=self.mean.device)
        return self.low + (self.high - self.low) * torch.rand(1, self.actions, device=self.mean.device)

    @torch.no_grad()
    def measure(self, seen: Steps) -> None:
        """Take the figures of all that was seen. Paths may leave it by its whole width, so that none runs away."""
        observations = torch.cat([seen.observation, seen.next])
        changes = told(seen) if len(seen.reward) > 1 else torch.tensor([[-1.0], [1.0]]).expand(2, self.size + 1)
        for values, mean, spread in ((observations, self.mean, self.spread), (changes, self.usual, self.change)):
            mean.copy_(values.mean(0))
            spread.copy_(values.std(0, unbiased=False).clamp(min=1e-6))
        low, high = observations.aminmax(dim=0)
        self.least.copy_(2 * low - high)
        self.most.copy_(2 * high - low)

    def forward(self, observation: Float[Tensor, "E B D"], action: Float[Tensor, "E B A"]
                ) -> tuple[Float[Tensor, "E B M"], Float[Tensor, "E B M"]]:  # fmt: skip
        """Mean and log of the variance of the D changes and the reward, of a usual change of 1."""
        x = torch.cat([(observation - self.mean) / self.spread, action], -1)
        mean, log_variance = self.net(x).float().chunk(2, -1)
        return mean, bounded(log_variance, self.low_variance, self.high_variance)

    def ending(self, observation: Float[Tensor, "E B D"]) -> Float[Tensor, "E B"]:
        """The logit of the chance that an episode has ended where this is seen."""
        return self.ends((observation - self.mean) / self.spread)[..., 0].float()

    def apart(self, observation: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """How far the nets are from each other about what no action leads to: the deviation, mean over what is said."""
        at = observation.expand(self.nets, -1, -1)
        mean, _ = self(at, torch.zeros(*at.shape[:2], self.actions, device=at.device))
        return mean.std(0, unbiased=False).mean(-1)

    def imagine(self, observation: Float[Tensor, "N D"], action: Tensor, rng: torch.Generator) -> Iterator[Imagined]:
        """Live through N P sequences "N P H ..." of actions, step by step. All share the noise of each particle."""
        n, p, horizon = action.shape[:3]
        shape = self.nets, self.particles, n * p, -1
        noise = torch.randn(horizon, self.nets, self.particles, 1, self.size + 1, generator=rng).to(observation.device)
        x = observation.repeat_interleave(p, 0).expand(*shape).flatten(1, 2)  # E B D
        alive = torch.ones(x.shape[:2], device=x.device)
        for t in range(horizon):
            taken = action[:, :, t].flatten(0, 1)
            mean, log_variance = self(x, self.encoded(taken).expand(*shape).flatten(1, 2))
            drawn = mean + (log_variance / 2).exp() * noise[t].expand(*shape).flatten(1, 2)
            moved = drawn * self.change + self.usual
            reward = moved[..., -1] if self.known is None else self.known(x, taken.expand(*shape).flatten(1, 2))
            x = torch.minimum(torch.maximum(x + moved[..., :-1], self.least), self.most)
            yield Imagined(x, reward, alive)
            alive = alive * self.ending(x).neg().sigmoid()

    def worth(self, observation: Float[Tensor, "N D"], action: Tensor, rng: torch.Generator) -> Float[Tensor, "N P"]:
        """The discounted return of each sequence of actions, mean over the nets and their particles."""
        paths = self.imagine(observation, action, rng)
        total = sum(self.discount**t * at.alive * at.reward for t, at in enumerate(paths))
        return total.unflatten(1, (self.particles, *action.shape[:2])).mean((0, 1))

    @torch.no_grad()
    def act(self, observation: Float[Tensor, "N D"], greedy: bool = True) -> Tensor:
        """The first action of the best plan from here. Greedy: always the same one; else by other noise each time."""
        rng, count = keyed("plan") if greedy else torch.default_generator, len(observation)
        worth = partial(self.worth, observation, rng=rng)
        if self.discrete:
            return discrete(worth, self.actions, count, self.search, rng, observation.device)[:, 0].argmax(-1)
        return continuous(worth, self.low, self.high, count, self.search, rng)[:, 0]


def told(steps: Steps) -> Float[Tensor, "*B M"]:
    """What is to be foretold of each step: the changes and the reward."""
    return torch.cat([steps.next - steps.observation, steps.reward[..., None]], -1)


def prepare(knobs: Knobs, place: Place) -> World:
    world = opened(knobs.world, 1, key(place.seed, "train"), device=place.device)
    shape, name = world.facts["shape"], world.facts["world"]
    if len(shape) != 1:
        got = f"{' x '.join(map(str, shape))} in {name}"
        raise UserError("a world that is seen as a list of numbers", got, "Train ppo or dqn on it", "worldmodel")
    if knobs.reward == "known" and name not in REWARDS:
        got = f"{name}, whose reward is not written down here"
        raise UserError(f"--reward known with {', '.join(REWARDS)}", got, "Take --reward learned", "worldmodel")
    return world


def loss(model: WorldModel, batch: Steps) -> dict[str, Tensor]:
    """Surprisal of what came (nats, mean over the changes and the reward) and of whether it ended, by the weight that a
    step "E B" has for each net; and a pull that keeps the bounds of the variance close."""
    mean, log_variance = model(batch.observation, batch.action)
    weight = batch.weight / batch.weight.sum().clamp(min=1)
    change = (surprisal(mean, log_variance, (told(batch) - model.usual) / model.change).mean(-1) * weight).sum()
    end = F.binary_cross_entropy_with_logits(model.ending(batch.next), batch.ended.float(), weight, reduction="sum")
    pull = (model.high_variance - model.low_variance).sum()
    return {"loss": change + end + 0.01 * pull, "change": change, "end": end}


def batch_of(memo: Memo, rows: int, batch: int, device: torch.device) -> Steps:
    """So many of the first `rows` steps for each net, at random: fields "E B ..."."""
    nets = memo.weight.shape[1]
    index, of = torch.randint(rows, (nets, batch)), torch.arange(nets)[:, None]
    fields = [getattr(memo, name)[index] for name in Steps._fields[:-1]]
    return Steps(*(field.to(device) for field in (*fields, memo.weight[index, of])))


def train(knobs: Knobs, model: WorldModel, world: World, run: Run) -> None:
    count, size, batch, device = knobs.steps, model.size, knobs.batch, run.place.device
    room = Steps(torch.zeros(count, size), torch.zeros(count, model.actions), torch.zeros(count, size),
                 torch.zeros(count), torch.zeros(count, dtype=torch.bool), torch.ones(count, knobs.nets))  # fmt: skip
    memo = Memo(**room._asdict(), total=torch.zeros(1))
    run.measure(model, lambda twin, plan: loss(twin, batch_of(memo, count, batch, device))["loss"], knobs.nets * batch)
    optimizer = torch.optim.AdamW(model.parameters(), knobs.lr, weight_decay=knobs.decay, fused=True)
    for step in run.steps(count, "train", model=model, optimizer=optimizer, world=world, memo=memo):
        before = world.observation.clone()
        action = model.at_random() if step < knobs.random else model.act(before, greedy=False)
        came = world.step(action)
        often = torch.poisson(torch.ones(1, knobs.nets, device=device))
        now = Steps(before, model.encoded(action), came.final, came.reward, came.ended, often)
        numbers = {"surprise": surprise(model, now)}
        for name, value in now._asdict().items():
            getattr(memo, name)[step] = value[0]
        model.measure(Steps(*(getattr(memo, name)[: step + 1] for name in Steps._fields)))
        for _ in range(knobs.updates):
            with run.plan.running(device):
                terms = loss(model, batch_of(memo, step + 1, batch, device))
            optimizer.zero_grad()
            terms["loss"].backward()
            optimizer.step()
        memo.total += came.reward.cpu()
        if bool(came.ended | came.cut):
            numbers["return"], memo.total = memo.total, torch.zeros(1)
        run.log(**terms, **numbers)
    if run.showing and not run.ended:
        lines = curves() if knobs.maze else {}  # the same idea with a table for a model
        maze = Curve(list(range(1, 51)), lines, "episode", "steps to the goal of a maze", logy=True)
        run.show(**shown(model, world, run.place.seed), **({"dyna": maze} if lines else {}))


@torch.no_grad()
def surprise(model: WorldModel, step: Steps) -> Tensor:
    """How far the mean of all nets is off what came of a step "1", before they learn from it; of a usual change of 1,
    mean over the changes."""
    mean, _ = model(*(x.expand(model.nets, 1, -1) for x in (step.observation, step.action)))
    moved = mean.mean(0) * model.change + model.usual
    return ((moved - told(step)) / model.change)[..., :-1].abs().mean()


@torch.no_grad()
def shown(model: WorldModel, world: World, seed: int) -> dict[str, Media]:
    """Fresh episodes, of which nothing was learned, beside what the model says of the same actions beforehand; and
    where its nets disagree."""
    fresh = world.fresh(SHOWN, key(seed, "shown"))
    real, actions, there = [fresh.observation.clone()], [], [torch.ones(SHOWN, dtype=torch.bool)]
    for _ in range(AHEAD):
        actions.append(model.act(real[-1]))
        came = fresh.step(actions[-1])
        real.append(came.final.clone())
        there.append(there[-1] & ~(came.ended | came.cut).cpu())
    fresh.close()
    paths = model.imagine(real[0], torch.stack(actions, 1)[:, None], keyed("shown"))
    path = torch.stack([at.observation.unflatten(1, (-1, SHOWN)).flatten(0, 1) for at in paths]).cpu()  # T P N D
    true, still = torch.stack(real[1:]).cpu(), torch.stack(there[:-1])  # T N D, T N
    long = int(still[:, 0].sum())
    ways = {"real": true[:long, 0], "imagined": path[:long, :, 0].mean(1)}
    return foretold(path, true, still, model.spread.cpu()) | over_plane(model.apart, model.mean, model.spread, ways)


def score(knobs: Knobs, model: WorldModel, world: World, place: Place) -> dict[str, Score]:
    fresh = world.fresh(knobs.episodes, key(place.seed, "score"))
    returns = played(fresh, model.act, knobs.episodes)
    fresh.close()
    return {"return": return_score(returns, world.facts)}


def use(model: WorldModel, facts: Facts, inputs: Sequence[Media]) -> list[dict[str, Any]]:
    return [episode(model, facts, seed=0)]


PRESETS = {
    "quick": Knobs(),
    "pendulum": Knobs(world="Pendulum-v1", steps=2500, random=200, correlation=0.7),
    "known": Knobs(world="Pendulum-v1", steps=2500, random=200, correlation=0.7, reward="known"),
    "paper": Knobs(world="Pendulum-v1", steps=3000, random=200, hidden=(200, 200, 200), candidates=400, elites=40,
                   rounds=5, correlation=0, particles=4, lr=1e-3, batch=32),  # its settings; its worlds need MuJoCo
}  # fmt: skip
system = System(Knobs, PRESETS, prepare, WorldModel, train, score, use)
