"""Long short-term memory: a net that reads step by step learns what to keep, over hundreds of steps.

Paper       Hochreiter & Schmidhuber (1997), Long short-term memory, Neural Computation 9(8), 1735-1780; with forget
            gates (Gers, Schmidhuber & Cummins 2000).
Idea        back through time a gradient is multiplied at each step, so it vanishes or explodes. A cell that adds to
            its state, and gates that open and shut it, give the error a path on which it stays as it is.
Deviations  gradients through all gates and steps, not cut off; Adam; a linear readout of the last state. Beside it the
            plain recurrent net that it replaced (Elman 1990) and gated units (Cho et al. 2014), all of one width.
            The adding problem of experiment 4 as Le, Jaitly & Hinton (2015) have it: numbers in 0 to 1.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, mean_score, rate_score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.kinds import kind
from ..data.pictures import pictures, seen
from ..data.series import Reading, Timed, adding, as_series, of_pictures, series, timed
from ..media import Curve, Heat, Image, Listing, Number, Ranking, Series, history
from ..parts.cells import CELLS, gradient_flow, recurrent
from ..parts.layers import Normalise
from ..parts.metrics import error_rate
from ..parts.recurrent import inside, last

CLOSE = 0.08  # of a sum from 0 to 2: the paper's 0.04 of a target from 0 to 1
MEASURED = 32  # validation examples by which the flow of gradients is measured


class Knobs(Config):
    task: Literal["classes", "adding"] = Field(default="classes", description="the class of a series (the embedded "
                                               "digits, or --data), or the sum of two marked numbers")  # fmt: skip
    reading: Reading = Field(default="rows", description="a picture as a series: its rows, pixels, or pixels permuted")
    span: int = Field(default=100, ge=4, le=5000, description="steps of a series (adding)")
    cell: Literal["lstm", "gru", "rnn"] = Field(default="lstm", description="whose error is the page's")
    beside: bool = Field(default=True, description="train nets of the two other cells, too, to compare them")
    width: int = Field(default=128, ge=1, le=4096, description="units of a layer, in one direction")
    layers: int = Field(default=1, ge=1, le=16, description="layers, one on the other")
    both: bool = Field(default=False, description="read backwards, too, with as many units")
    readout: Literal["last", "mean"] = Field(default="last", description="of the last state, or the mean of all")
    remember: int = Field(default=0, ge=0, le=100_000, description="steps over which the slowest unit forgets at the "
                          "start; 0: forget gates begin with a bias of 1")  # fmt: skip
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of each layer's output")
    steps: int = Field(default=1000, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=64, ge=1, description="series per update")
    lr: float = Field(default=3e-3, gt=0, description="Adam's step size at its peak")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")


class Reader(nn.Module):
    """Reads raw series of `inputs` channels; says scores of `classes`, or where there are none one number."""

    def __init__(self, knobs: Knobs, cell: str, facts: Facts) -> None:
        super().__init__()
        self.mean, self.both, self.start = knobs.readout == "mean", knobs.both, facts.get("target_mean", 0.0)
        self.classes = len(facts.get("labels", []))
        self.normalise = Normalise(facts["mean"], facts["spread"])
        shape = (facts["inputs"], knobs.width, knobs.layers, knobs.both, knobs.dropout)
        self.net = recurrent(cell, *shape, remember=knobs.remember)
        self.dropped = nn.Dropout(knobs.dropout)
        self.out = nn.Linear(knobs.width * (2 if knobs.both else 1), self.classes or 1)

    def forward(self, series: Float[Tensor, "B T C"] | Integer[Tensor, "B T C"],
                length: Int[Tensor, "B"]) -> Float[Tensor, "B K"]:  # fmt: skip
        return self.told(self.net(self.normalise(series), length), length)

    def told(self, state: Float[Tensor, "B T D"], length: Int[Tensor, "B"]) -> Float[Tensor, "B K"]:
        """What the states of all steps say of the whole."""
        if self.mean:
            here = inside(length, state.shape[1])[..., None]
            whole = (state * here).sum(1) / length[:, None]
        elif self.both:  # the half that reads backwards has read all at the first step
            ahead, behind = state.chunk(2, -1)
            whole = torch.cat([last(ahead, length), behind[:, 0]], -1)
        else:
            whole = last(state, length)
        return self.out(self.dropped(whole)) + self.start


class Readers(nn.Module):
    """Nets by the name of their cell; the first is the page's."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        names = [knobs.cell, *(cell for cell in CELLS if cell != knobs.cell and knobs.beside)]
        self.first = knobs.cell
        self.of: Any = nn.ModuleDict({cell: Reader(knobs, cell, facts) for cell in names})

    def forward(self, series: Tensor, length: Int[Tensor, "B"]) -> Float[Tensor, "B K"]:
        return self.of[self.first](series, length)


def prepare(knobs: Knobs, place: Place) -> Data[Timed]:
    data = place.choice.data
    if knobs.task == "adding":
        if data:
            raise UserError("no --data: the adding problem is made here", repr(data), "Leave out one of both", "lstm")
        return adding(place, knobs.span, 10_000)
    if data and kind(data) != "pictures":
        return series(place)
    return of_pictures(pictures(place, default="digits", side=28), knobs.reading, place)


def build(knobs: Knobs, facts: Facts) -> Readers:
    return Readers(knobs, facts)


def loss_of(net: Reader | Readers, batch: Timed) -> dict[str, Tensor]:
    """Cross-entropy in nats, or of a number the squared error; mean over the batch. Error in percent."""
    said = net(batch.series, batch.length)
    if batch.label.is_floating_point():
        error = (said[:, 0] - batch.label).abs() > CLOSE
        return {"loss": F.mse_loss(said[:, 0], batch.label), "error": 100 * error.float().mean()}
    return {"loss": F.cross_entropy(said, batch.label), "error": error_rate(said, batch.label)}


def loss(model: Readers, batch: Timed) -> dict[str, Tensor]:
    return loss_of(model, batch)


def train(knobs: Knobs, model: Readers, data: Data[Timed], run: Run) -> None:
    names = list(model.of)
    before = flows(model, data)
    for name, net in model.of.items():
        fit(net, loss_of, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=knobs.clip,
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True),
            schedule=cosine(knobs.steps, knobs.steps // 50), stage=name)  # fmt: skip
    after = flows(model, data)
    run.show(learning=history(run.folder, {name: name for name in names}, "valid_error", "updates", "wrong, %"),
             gradients_before=before, gradients_after=after, nets=compared(model, data))  # fmt: skip
    if 1 < len(labels := data.facts.get("labels", [])) <= 40:
        run.show(confusion=confused(model, data, labels))


def flows(model: Readers, data: Data[Timed]) -> Curve:
    """How strongly each step acts on the loss, for each net: see ``gradient_flow``."""
    batch = next(iter(data.valid.sweep(MEASURED)))
    lines = {}
    for name, net in model.of.items():
        was = net.training
        net.eval()

        def objective(state: Tensor, net: Any = net) -> Tensor:
            said = net.told(state, batch.length)
            number = batch.label.is_floating_point()
            return F.mse_loss(said[:, 0], batch.label) if number else F.cross_entropy(said, batch.label)

        for what, flow in gradient_flow(net.net, net.normalise(batch.series), batch.length, objective).items():
            lines[name if what == "hidden" else f"{name}, its cell"] = flow.where(flow > 0, torch.nan).tolist()
        net.train(was)
    steps = list(range(batch.series.shape[1]))
    return Curve(steps, lines, "steps before the end", "gradient by the state", logy=True)


def missed(net: nn.Module, source: Any) -> tuple[Tensor, Tensor]:
    """Whether each answer of a sweep is wrong, and by how much it is (squared, of a number)."""
    was, wrong, by = net.training, [], []
    net.eval()
    with torch.inference_mode():
        for batch in source.sweep(250):
            said = net(batch.series, batch.length)
            off = said[:, 0] - batch.label
            wrong.append(off.abs() > CLOSE if batch.label.is_floating_point() else said.argmax(1) != batch.label)
            by.append(off.square())
    net.train(was)
    return torch.cat(wrong).cpu(), torch.cat(by).cpu()


def compared(model: Readers, data: Data[Timed]) -> Listing:
    """Each net's size and validation error."""
    rows, summed = [], "target_mean" in data.facts
    for name, net in model.of.items():
        wrong, by = missed(net, data.valid)
        weights = f"{sum(weight.numel() for weight in net.parameters()):,}"
        rows.append([name, weights, 100 * float(wrong.float().mean()), *[float(by.mean())] * summed])
    return Listing(["cell", "weights", "validation error, %", *["squared error"] * summed], rows)


def confused(model: Readers, data: Data[Timed], labels: Sequence[str]) -> Heat:
    """How often each class of the validation series was taken for each."""
    counts, was = np.zeros((len(labels), len(labels)), np.int64), model.training
    model.eval()
    with torch.inference_mode():
        for batch in data.valid.sweep(250):
            said = model(batch.series, batch.length).argmax(1)
            np.add.at(counts, (batch.label.cpu().numpy(), said.cpu().numpy()), 1)
    model.train(was)
    return Heat(counts, labels, labels, "true (validation)", "said")


PUBLISHED = {"pixels": 12.8, "permuted": 14.3}  # Bai, Kolter & Koltun (2018), table 1, LSTM, in percent


def score(knobs: Knobs, model: Readers, data: Data[Timed], place: Place) -> dict[str, Score]:
    scores = {}
    for name, net in model.of.items():
        wrong, by = missed(net, data.test)
        more: dict[str, Any] = {"note": f"{name}, {knobs.width} units"}
        if name == "lstm" and "order" in data.facts and knobs.reading in PUBLISHED:
            more |= {"paper": PUBLISHED[knobs.reading], "paper_data": "MNIST test, 60,000 training images, an LSTM"}
        title = "" if name == model.first else f"{name}_"
        scores[f"{title}error"] = rate_score(int(wrong.sum()), len(wrong), data.test, **more)
        if "target_mean" in data.facts:
            scores[f"{title}squared_error"] = mean_score(by, "squared", data.test, note=more["note"])
    return scores


def read(facts: Facts, inputs: Sequence[Any]) -> Timed:
    if facts["kind"] == "series":
        if not all(isinstance(item, Series) for item in inputs):
            raise UserError("series, as it was trained on", "a picture", "Give CSV, .npz or .ts", "lstm")
        return timed(facts, inputs)
    if not all(isinstance(item, Image) for item in inputs):
        raise UserError("pictures, as it was trained on", "a series", "Give a picture", "lstm")
    found = as_series(seen(facts, inputs), facts["order"])
    return Timed(found, torch.zeros(len(found), dtype=torch.long), torch.full((len(found),), found.shape[1]))


def use(model: Readers, facts: Facts, inputs: Sequence[Any]) -> list[dict[str, Any]]:
    batch = read(facts, inputs)
    net, labels = model.of[model.first], facts.get("labels", [])
    state = net.net(net.normalise(batch.series), batch.length)
    answers = []
    for i, length in enumerate(batch.length.tolist()):
        whole = net.told(state[i : i + 1, :length], batch.length[i : i + 1])[0]
        first: Any = Ranking.of(whole.softmax(0), labels) if labels else Number(float(whole), "")
        answers.append({"answer": first, **thinking(net, state[i, :length], first, labels)})
    return answers


def thinking(net: Reader, state: Float[Tensor, "T D"], first: Any, labels: Sequence[str]) -> Mapping[str, Any]:
    """What it would have said after each step, of one that reads forwards: the chances of the best three."""
    if net.both:
        return {}
    so_far = torch.arange(1, len(state) + 1)
    states = state.cumsum(0) / so_far[:, None] if net.mean else state
    said = net.out(states) + net.start
    if not labels:
        return {"after each step": Curve(so_far.tolist(), {"says": said[:, 0].tolist()}, "steps read", "answer")}
    lines = {name: (100 * said.softmax(1)[:, labels.index(name)]).tolist() for name in first.labels[:3]}
    return {"after each step": Curve(so_far.tolist(), lines, "steps read", "chance, %")}


ADDING = {"task": "adding", "batch": 50, "width": 32, "lr": 5e-3}
PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(**ADDING, span=100, remember=100, steps=2000),
    "adding-600": Knobs(**ADDING, span=600, remember=600, steps=4000),
    "pixels": Knobs(reading="pixels", remember=784, beside=False, steps=6000, batch=100),
    "permuted": Knobs(reading="permuted", remember=784, beside=False, steps=6000, batch=100),
    "series": Knobs(both=True, readout="mean", dropout=0.2, beside=False, steps=1500, batch=32),  # for --data
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image, Series), read=read,
                loss=loss)  # fmt: skip
