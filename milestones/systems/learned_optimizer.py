"""A net learns to train nets.

Paper       Andrychowicz, Denil, Gómez, Hoffman, Pfau, Schaul, Shillingford & de Freitas (2016), Learning to learn by
            gradient descent by gradient descent, NeurIPS 29, 3981-3989.
Idea        an optimiser is a function from gradients to steps, and a function can be learned. One small recurrent net
            sees each weight's gradient alone, remembers, and says the weight's step; its own weights follow the slope
            of the losses that it leads to.
Deviations  pictures of 8 x 8 pixels and few trajectories (preset quick); losses are measured on pictures that the
            trained nets have not seen; rivals' rates are tuned for each task. After so few trajectories it does not
            reach tuned Adam, as the paper's does; it is furthest from it with other units and more layers.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine
from ..core.run import Run
from ..core.score import Score, mean_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.pictures import pictures
from ..media import Curve, Listing, Media, Text
from ..parts.optimisees import UNITS, Rule, Task, adam, begun, best_rate, descended, held_losses, losses, momentum

RATES = [10 ** (k / 3) for k in range(-8, 2)]  # that rivals are tuned over: 0.002 to 2
RIVALS: dict[str, Callable[[Tensor], Rule]] = {"adam": adam, "momentum": momentum}
TUNED = 2  # starts at each rate
ASKED = re.compile(r"\s*(\d{1,3}(?:\s*,\s*\d{1,3}){0,2})\s+(\w+)\s+(\d{1,4})\s*")  # "20,20 relu 100"
MOST_WEIGHTS = 60_000  # of a net that `use` trains


class Knobs(Config):
    hidden: int = Field(default=20, ge=1, le=500, description="hidden units of the nets to learn on")
    side: int = Field(default=8, ge=4, le=28, description="pixels of a picture's side")
    horizon: int = Field(default=100, ge=2, le=10_000, description="updates of each net to learn on")
    unroll: int = Field(default=20, ge=1, le=1000, description="updates that a gradient goes back through")
    longer: int = Field(default=3, ge=1, le=100, description="times the horizon, of one of the unseen tasks")
    batch: int = Field(default=128, ge=1, description="pictures in each update of these nets")
    nets: int = Field(default=1, ge=1, le=64, description="nets that are trained side by side")
    units: int = Field(default=20, ge=1, le=256, description="of each layer of the recurrent net")
    layers: int = Field(default=2, ge=1, le=4, description="of the recurrent net")
    steps: int = Field(default=50, ge=1, description="trajectories to learn from, each from a new start")
    lr: float = Field(default=5e-3, gt=0, description="Adam's step size for the recurrent net, at its peak")
    clip: float = Field(default=1.0, gt=0, description="largest norm of its gradient")
    starts: int = Field(default=8, ge=2, le=1000, description="nets of each task that are scored")


class Family(NamedTuple):
    """Tasks of one kind."""

    hidden: tuple[int, ...]
    unit: str
    steps: int


def families(knobs: Knobs) -> dict[str, Family]:
    """The tasks that are scored, by name; the first is the one that is learned from, from new starts."""
    h, steps = knobs.hidden, knobs.horizon
    return {"": Family((h,), "sigmoid", steps), "wider": Family((2 * h,), "sigmoid", steps),
            "deeper": Family((h, h), "sigmoid", steps), "relu": Family((h,), "relu", steps),
            "longer": Family((h,), "sigmoid", knobs.longer * steps)}  # fmt: skip


class Optimizer(nn.Module):
    """5,301 parameters with two layers of 20 units. Kept for `score` and `use`: `rates` "F 2", the rivals' tuned ones
    for each family."""

    rates: Tensor

    def __init__(self, units: int, layers: int, families: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.LSTMCell(units if k else 2, units) for k in range(layers))
        self.out = nn.Linear(units, 1)
        self.register_buffer("rates", torch.full((families, len(RIVALS)), 0.01))

    def forward(self, gradient: Float[Tensor, "G N"], kept: Any, step: int = 0) -> tuple[Float[Tensor, "G N"], Any]:
        """What is added to each weight, a tenth of what the net says; the states, None at first."""
        x, states = preprocessed(gradient.flatten()), []
        for k, cell in enumerate(self.cells):
            state = cell(x, kept[k] if kept else None)
            states.append(state)
            x = state[0]
        return 0.1 * self.out(x).view_as(gradient), states


def preprocessed(gradient: Float[Tensor, "N"], p: float = 10.0) -> Float[Tensor, "N 2"]:
    """Size and sign of each gradient: its logarithm over p and its sign; of one below exp(-p), -1 and e^p times it
    (appendix A)."""
    large = gradient.abs() >= torch.e**-p
    size = torch.where(large, gradient.abs().clamp(min=1e-30).log() / p, -1.0)
    return torch.stack([size, torch.where(large, gradient.sign(), gradient * torch.e**p)], -1)


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    data = pictures(place, default="digits", side=knobs.side)
    return data._replace(facts={**data.facts, "kind": "text"})  # what `use` takes are words


def build(knobs: Knobs, facts: Facts) -> Optimizer:
    if knobs.horizon % knobs.unroll:
        got = f"horizon {knobs.horizon}, unroll {knobs.unroll}"
        raise UserError("a horizon of whole unrolls", got, "Take a multiple", "learned_optimizer")
    return Optimizer(knobs.units, knobs.layers, len(families(knobs)))


def task_of(family: Family, facts: Facts) -> Task:
    return Task(facts["channels"] * facts["side"] ** 2, family.hidden, family.unit, len(facts["labels"]))


def seen(image: Tensor, facts: Facts) -> Float[Tensor, "B I"]:
    return (image.flatten(1).float() - facts["mean"]) / facts["spread"]


def batches(knobs: Knobs, data: Data[Labelled], count: int, first: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Update by update, from number `first`: pictures of the training set, others for each of `count` nets."""

    def at(step: int) -> tuple[Tensor, Tensor]:
        batch = data.train.batch(first + step, count * knobs.batch)
        return seen(batch.image, data.facts).unflatten(0, (count, -1)), batch.label.view(count, -1)

    return at


def held(source: Any, facts: Facts) -> tuple[Tensor, Tensor]:
    batch = next(iter(source.sweep(len(source))))
    return seen(batch.image, facts), batch.label


def train(knobs: Knobs, model: Optimizer, data: Data[Labelled], run: Run) -> None:
    optimizer, schedule = torch.optim.Adam(model.parameters(), knobs.lr), cosine(knobs.steps)
    task, valid = task_of(families(knobs)[""], data.facts), held(data.valid, data.facts)
    for step in run.steps(knobs.steps, model=model, optimizer=optimizer):
        optimizer.param_groups[0]["lr"] = knobs.lr * schedule(step)
        theta, kept = begun(task, knobs.nets, keyed(run.place.seed, "start", step)).to(run.place.device), None
        draw, seen_losses = batches(knobs, data, knobs.nets, step * knobs.horizon), []
        for begin in range(0, knobs.horizon, knobs.unroll):
            total, theta = theta.new_zeros(()), theta.requires_grad_()
            for k in range(begin, begin + knobs.unroll):
                loss = losses(task, theta, *draw(k))
                gradient = torch.autograd.grad(loss.sum(), theta, retain_graph=True)[
                    0
                ]  # what depends on it is left out
                update, kept = model(gradient, kept)
                theta = theta + update
                total = total + loss.mean() * bool(k)  # at a start nothing was learned yet
                seen_losses.append(loss.detach().mean())
            total = total + losses(task, theta, *draw(begin + knobs.unroll - 1)).mean()  # after the last update, too
            optimizer.zero_grad()
            (total / knobs.unroll).backward()
            nn.utils.clip_grad_norm_(model.parameters(), knobs.clip)
            optimizer.step()
            theta, kept = theta.detach(), [tuple(part.detach() for part in state) for state in kept or ()]
        run.log(loss=torch.stack(seen_losses).mean(), last=seen_losses[-1])
        if run.every(max(1, knobs.steps // 10)):
            run.log(
                valid_loss=ended(knobs, model, families(knobs)[""], data, run.place, "look", TUNED, valid)[1].mean()
            )
    if not run.ended:
        tune(knobs, model, data, run.place)
        run.show(**shown(knobs, model, data, run.place))


def ended(knobs: Knobs, rule: Rule, family: Family, data: Data[Labelled], place: Place, word: str, count: int,
          judged: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The losses on the way "T G" and, on pictures that they did not learn from, at the end "G", of `count` nets from
    starts that `word` names."""
    task = task_of(family, data.facts)
    theta = begun(task, count, keyed(place.seed, word, *family)).to(place.device)
    theta, way = descended(task, rule, theta, batches(knobs, data, count, 0), family.steps)
    return way, held_losses(task, theta, *judged)


def tune(knobs: Knobs, model: Optimizer, data: Data[Labelled], place: Place) -> None:
    """Keep the rates at which each rival's loss on validation pictures is lowest, for each family of tasks."""
    valid = held(data.valid, data.facts)
    for k, family in enumerate(families(knobs).values()):
        task = task_of(family, data.facts)
        theta = begun(task, TUNED, keyed(place.seed, "tuned", *family)).to(place.device)
        draw = batches(knobs, data, TUNED, 0)
        rates = [best_rate(task, make, RATES, theta, draw, family.steps, valid) for make in RIVALS.values()]
        model.rates[k] = torch.tensor(rates)


def rules(model: Optimizer, k: int) -> dict[str, Rule]:
    """The learned optimiser and its rivals, by name, at the rates of family number k."""
    rivals = {name: make(rate.view(1, 1)) for (name, make), rate in zip(RIVALS.items(), model.rates[k], strict=True)}
    return {"learned": model, **rivals}


def curve(ways: dict[str, tuple[Tensor, Tensor]]) -> Curve:
    """The losses on the way by each optimiser, mean over the starts."""
    lines = {name: way.mean(1).tolist() for name, (way, _) in ways.items()}
    return Curve(list(range(1, len(next(iter(lines.values()))) + 1)), lines, "update", "loss, nats", logy=True)


def shown(knobs: Knobs, model: Optimizer, data: Data[Labelled], place: Place) -> dict[str, Media]:
    """For each family the losses of all optimisers on the way; a table of where they end, on validation pictures."""
    valid, rows, found = held(data.valid, data.facts), [], {}
    for k, (name, family) in enumerate(families(knobs).items()):
        ways = {one: ended(knobs, rule, family, data, place, "shown", TUNED, valid)
                for one, rule in rules(model, k).items()}  # fmt: skip
        found[f"losses, {name or 'as learned'}"] = curve(ways)
        finals = {one: float(final.mean()) for one, (_, final) in ways.items()}
        rates = [f"{rate:.2g}" for rate in model.rates[k].tolist()]
        rows.append([name or "as learned", *(f"{value:.3f}" for value in finals.values()), *rates,
                     min(finals, key=finals.__getitem__)])  # fmt: skip
    head = ["task", "learned", *RIVALS, *(f"rate of {name}" for name in RIVALS), "lowest"]
    return {**found, "validation": Listing(head, rows)}


def score(knobs: Knobs, model: Optimizer, data: Data[Labelled], place: Place) -> dict[str, Score]:
    """`loss`: of nets trained by it, on test pictures, in nats, mean over the starts; so of each family and rival."""
    test, scores = held(data.test, data.facts), {}
    for k, (name, family) in enumerate(families(knobs).items()):
        finals = {one: ended(knobs, rule, family, data, place, "scored", knobs.starts, test)[1].cpu()
                  for one, rule in rules(model, k).items()}  # fmt: skip
        for one, final in finals.items():
            said = f"{family.unit} {'-'.join(map(str, family.hidden))}, {family.steps} updates, {len(final)} starts"
            lowest = min(finals, key=lambda other: float(finals[other].mean()))
            rate = float(model.rates[k][list(RIVALS).index(one)]) if one in RIVALS else 0.0
            said += f"; tuned rate {rate:.2g}" if rate else f"; lowest: {lowest}"
            label = "_".join(filter(None, ("loss", name, "" if one == "learned" else one)))
            scores[label] = mean_score(final, "nats", data.test, note=said)
    return scores


def asked(text: str) -> Family:
    """The task that the user's words tell of."""
    match = ASKED.fullmatch(text)
    if match is None or match[2] not in UNITS:
        do = "Say hidden units, unit and updates; for two layers '20,20 tanh 100'"
        raise UserError(f"a task as '20 relu 100', its unit one of {', '.join(UNITS)}", repr(text[:60]), do,
                        "learned_optimizer")  # fmt: skip
    hidden, steps = tuple(int(word) for word in match[1].split(",")), int(match[3])
    if not all(hidden) or not 1 <= steps <= 2000:
        raise UserError("1 to 2,000 updates of nets with units", repr(text[:60]), "Ask for others", "learned_optimizer")
    return Family(hidden, match[2], steps)


def use(model: Optimizer, facts: Facts, texts: Sequence[Text]) -> list[dict[str, Media]]:
    """How a task of the user's goes, on the embedded digits: by this optimiser, and by Adam at the rate that was tuned
    for the tasks it learned from."""
    asks, place = [asked(item.text) for item in texts], Place(torch.device("cpu"), 0)
    with torch.inference_mode(False):
        data = prepare(Knobs(side=facts["side"]), place)
        valid, answers = held(data.valid, data.facts), []
        for family in asks:
            if (size := task_of(family, data.facts).size) > MOST_WEIGHTS:
                want = f"a net of at most {MOST_WEIGHTS:,} weights"
                raise UserError(want, f"{size:,}", "Ask for fewer units", "learned_optimizer")
            ways = {one: ended(Knobs(), rule, family, data, place, "asked", 2, valid)
                    for one, rule in rules(model, 0).items() if one != "momentum"}  # fmt: skip
            ends = {one: float(final.mean()) for one, (_, final) in ways.items()}
            said = " and ".join(f"{value:.3f} nats by {name}" for name, value in ends.items())
            answers.append({"answer": Text(said), "losses": curve(ways)})
    return answers


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(side=28, steps=10_000, lr=1e-3),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,))
