"""A recurrent net is a dynamical system: it learns to be another one, and runs on freely.

Paper       Funahashi & Nakamura (1993), Approximation of dynamical systems by continuous time recurrent neural
            networks, Neural Networks 6(6), 801-806; the system: Lorenz (1963), Deterministic nonperiodic flow.
Idea        a net that says the next state, fed with what it says, is itself a law of motion. Chaos doubles every error,
            so its path leaves the true one after some Lyapunov times, and stays on the same attractor all the same.
Deviations  discrete time, one step of a cell each; LSTM, gated units or the paper's plain units. It is trained to say
            what one step changes, with a little noise on what it reads. Preset `hidden` sees x alone.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.interval import quantiles
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data.orbits import WARM, Orbit, lorenz, own
from ..data.series import timed
from ..media import Curve, Series, Surface, history
from ..parts.cells import CELLS, recurrent
from ..parts.layers import Normalise
from ..parts.lorenz import horizon

SOON = 2.0  # Lyapunov times within which a run counts as lost
UNSURE = 10  # first steps of a piece that no loss counts: nothing is known yet of what came before


class Knobs(Config):
    cell: Literal["lstm", "gru", "rnn"] = Field(default="lstm", description="whose scores are the page's")
    beside: bool = Field(default=True, description="train nets of the two other cells, too, to compare them")
    only_x: bool = Field(default=False, description="see x alone: the rest must be told from the past")
    windows: int = Field(default=2000, ge=10, le=100_000, description="pieces of trajectories to learn from")
    span: int = Field(default=50, ge=4, le=2000, description="steps of each")
    width: int = Field(default=64, ge=1, le=2048, description="units of the state")
    noise: float = Field(default=1e-3, ge=0, le=1, description="on what is read in training, of a channel's spread")
    steps: int = Field(default=1500, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=32, ge=1, description="pieces per update")
    lr: float = Field(default=8e-3, gt=0, description="Adam's step size at its peak")


class Forecaster(nn.Module):
    """Says the next state after each one that it reads; raw values in, raw values out."""

    def __init__(self, knobs: Knobs, cell: str, facts: Facts) -> None:
        super().__init__()
        self.noise = knobs.noise
        self.normalise = Normalise(facts["mean"], facts["spread"])
        self.register_buffer("change", torch.tensor(facts["change"]), persistent=False)
        self.net = recurrent(cell, facts["inputs"], knobs.width)
        self.out = nn.Linear(knobs.width + facts["inputs"], facts["inputs"])
        nn.init.zeros_(self.out.weight)

    def moved(self, series: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """What each step will change, of a usual change of 1."""
        x = self.normalise(series)
        x = x + self.noise * torch.randn_like(x) if self.training and self.noise else x
        length = torch.full((len(x),), x.shape[1], device=x.device)
        return self.out(torch.cat([self.net(x, length), x], -1))

    def forward(self, series: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return series + self.moved(series) * self.change / self.normalise.scale

    def freely(self, series: Float[Tensor, "B T C"], steps: int) -> Float[Tensor, "B S C"]:
        """Reads the series, then runs on: each state that it says is the next that it reads."""
        layer, found = self.net.forwards[0], []
        x = self.normalise(series)
        said, carried = layer(x)
        said, x = said[:, -1:], x[:, -1:]
        for _ in range(steps):
            x = x + self.out(torch.cat([said, x], -1)) * self.change
            found.append(x)
            said, carried = layer(x, carried)
        return torch.cat(found, 1) / self.normalise.scale + self.normalise.mean


class Forecasters(nn.Module):
    """Nets by the name of their cell; the first is the page's."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        names = [knobs.cell, *(cell for cell in CELLS if cell != knobs.cell and knobs.beside)]
        self.first = knobs.cell
        self.of: Any = nn.ModuleDict({cell: Forecaster(knobs, cell, facts) for cell in names})


def prepare(knobs: Knobs, place: Place) -> Data[Orbit]:
    return own(place, knobs.span) if place.choice.data else lorenz(place, knobs.windows, knobs.span, knobs.only_x)


def build(knobs: Knobs, facts: Facts) -> Forecasters:
    return Forecasters(knobs, facts)


def loss_of(net: Forecaster, batch: Orbit) -> dict[str, Tensor]:
    """The squared error of what a step changes, of a usual change of 1; mean over batch, channels and all but the first
    steps, for which the net has read too little."""
    true = batch.series.diff(dim=1) * net.normalise.scale / net.change
    return {"loss": (net.moved(batch.series[:, :-1]) - true)[:, min(UNSURE, true.shape[1] - 1) :].square().mean()}


def loss(model: Forecasters, batch: Orbit) -> dict[str, Tensor]:
    return loss_of(model.of[model.first], batch)


def train(knobs: Knobs, model: Forecasters, data: Data[Orbit], run: Run) -> None:
    for name, net in model.of.items():
        fit(net, loss_of, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=1.0,
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True),
            schedule=cosine(knobs.steps, knobs.steps // 20), stage=name)  # fmt: skip
    truth = next(iter(data.valid.sweep(100))).series
    model.eval()
    with torch.no_grad():
        found = {name: net.freely(truth[:, : -free_of(data)], free_of(data)) for name, net in model.of.items()}
    truth, first = truth[:, -free_of(data) :], model.first
    spread = torch.tensor(data.facts["spread"], device=truth.device)
    off = {name: ((one - truth) / spread).square().mean((0, 2)).sqrt().tolist() for name, one in found.items()}
    run.show(learning=history(run.folder, {name: name for name in model.of}, "valid_loss", "updates", "squared error"),
             free_run=beside(data.facts, truth[0], found[first][0]),
             drift=Curve(times(data.facts, truth.shape[1]), off, unit_of(data.facts), "error, spreads",
                         logy=True))  # fmt: skip
    if truth.shape[2] > 1:
        run.show(attractor=seen_from_the_side(data.facts, truth, found[first]))


def free_of(data: Data[Orbit]) -> int:
    return int(data.facts["free"])


def unit_of(facts: Facts) -> str:
    return "Lyapunov times" if "lyapunov_steps" in facts else "steps"


def times(facts: Facts, count: int) -> list[float]:
    """From the first step of a free run on, in Lyapunov times where those are known."""
    return [(k + 1) / facts.get("lyapunov_steps", 1.0) for k in range(count)]


def beside(facts: Facts, truth: Tensor, run: Tensor) -> Curve:
    """The first channel of a free run and what came in truth."""
    lines = {"true": truth[:, 0].tolist(), "the net, running freely": run[:, 0].tolist()}
    return Curve(times(facts, len(truth)), lines, unit_of(facts), facts["channels"][0])


def seen_from_the_side(facts: Facts, truth: Tensor, run: Tensor) -> Surface:
    """The first and the last channel: where the true system is, how often (the darker the rarer), and a free run."""
    flat = truth[..., [0, -1]].flatten(0, 1).double().cpu().numpy()
    low, high = flat.min(0), flat.max(0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    counts, _, _ = np.histogram2d(flat[:, 1], flat[:, 0], 40, [[low[1], high[1]], [low[0], high[0]]])
    path = [(float(a), float(b)) for a, b in run[0][:, [0, -1]].tolist()]
    return Surface(np.log1p(counts), (float(low[0]), float(high[0]), float(low[1]), float(high[1])),
                   {"the net, running freely": path}, {}, facts["channels"][0], facts["channels"][-1])  # fmt: skip


def horizons(net: Forecaster, data: Data[Orbit], source: Any) -> Tensor:  # N
    """How long each free run stays true, in Lyapunov times or steps."""
    was, free, found = net.training, free_of(data), []
    net.eval()
    with torch.inference_mode():
        for batch in source.sweep(100):
            truth = batch.series[:, -free:]
            spread = torch.tensor(data.facts["spread"], device=truth.device)
            found.append(horizon(net.freely(batch.series[:, :-free], free), truth, spread).cpu())
    net.train(was)
    return torch.cat(found) / data.facts.get("lyapunov_steps", 1.0)


def score(knobs: Knobs, model: Forecasters, data: Data[Orbit], place: Place) -> dict[str, Score]:
    scores, test = {}, data.test
    known = "lyapunov_steps" in data.facts
    soon = SOON if known else free_of(data) / 2
    for name, net in model.of.items():
        found, title = horizons(net, data, test), "" if name == model.first else f"{name}_"
        n, rng = len(found), keyed("horizon")
        low, high = quantiles([float(found[torch.randint(n, (n,), generator=rng)].median()) for _ in range(500)])
        note = f"{name}: lost where it is off by more than 0.4 of the spread"
        scores[f"{title}error"] = rate_score(
            int((found < soon).sum()), n, test, note=f"{name}: free runs lost within {soon:g} {unit_of(data.facts)}"
        )
        middle = float(found.median())
        scores[f"{title}horizon"] = Score(middle, min(low, middle), max(high, middle), unit_of(data.facts), "higher",
                                          test.name, test.split, n, note=note + "; the median")  # fmt: skip
    return scores


def read(facts: Facts, inputs: Sequence[Series]) -> Orbit:
    return Orbit(timed(facts, inputs).series)


def use(model: Forecasters, facts: Facts, inputs: Sequence[Series], *,
        ahead: Annotated[int, "steps to run on"] = 200) -> list[dict[str, Any]]:  # fmt: skip
    answers, net = [], model.of[model.first]
    for one in inputs:
        past = timed(facts, [one]).series
        run = net.freely(past, max(1, ahead))[0]
        whole = torch.cat([past[0, -WARM:], run])
        begin = 1 - len(whole) + len(run)
        lines = {name: whole[:, k].tolist() for k, name in enumerate(facts["channels"])}
        shown = Curve(list(range(begin, begin + len(whole))), lines, "step, from 1 on its own", "")
        answers.append({"answer": Series(run.numpy(), tuple(facts["channels"])), "read and run": shown})
    return answers


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(cell="rnn", beside=False, steps=6000, width=128),
    "hidden": Knobs(only_x=True, beside=False, steps=4000, span=150, lr=5e-3),
    "long": Knobs(beside=False, steps=10_000, windows=10_000, width=128, lr=5e-3),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Series,), read=read, loss=loss)  # fmt: skip
