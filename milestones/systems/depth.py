"""Depth: deep against shallow nets at equal numbers of weights, on pictures and on a function; and how a net starts.

Paper       Telgarsky (2016), Benefits of depth in neural networks, COLT; Montufar, Pascanu, Cho & Bengio (2014), On the
            number of linear regions of deep neural networks, NIPS; starts: see `parts/initial.py`.
Idea        a layer folds its input, so that m layers of two units make a triangle wave of 2^m pieces, for which one
            layer needs 2^m - 1 units. Pictures are made of parts of parts. Yet what can be said with few weights is not
            yet learned: signals must get through all layers, on the way forward and back.
Deviations  small convolutional nets whose last layer sees 2 x 2 means, whatever their depth (`layer` full: connected to
            all); one step size for all depths; Adam, except for the starts, which plain momentum shows best.
Result      not measured yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, evaluate, fit
from ..core.run import Run
from ..core.score import Score, answers, error_score, mean_score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.pictures import pictures, seen
from ..media import Curve, Image, Listing, Ranking, history
from ..parts.initial import glorot, he, lsuv, orthogonal
from ..parts.layers import Normalise
from ..parts.metrics import error_rate

Kind = Literal["convolution", "full"]
GRID = 2  # places, in each direction, over which the last layer of convolutions is averaged
STARTS: dict[str, Callable[[nn.Module], None]] = {
    "glorot": glorot,
    "he": he,
    "orthogonal": lambda net: orthogonal(net, 2**0.5),  # a rectified unit passes half of the mean square
    "lsuv": he,  # until it has seen data: in `train`
    "small": lambda net: he(net, 0.5),
    "large": lambda net: he(net, 2.0),
}


class Knobs(Config):
    layers: tuple[Annotated[int, Field(ge=1, le=50)], ...] = Field(
        default=(1, 2, 3), min_length=1, max_length=10, description="hidden layers of the nets that are compared"
    )
    layer: Kind = Field(default="convolution", description="kind of the hidden layers for pictures")
    weights: int = Field(default=3000, ge=1, le=10_000_000, description="most weights of each net for pictures")
    steps: int = Field(default=600, ge=1, description="optimiser updates of each net for pictures")
    folds: int = Field(default=3, ge=1, le=12, description="folds of the wave: it has 2 to the power of this pieces")
    wave_weights: int = Field(default=300, ge=4, le=1_000_000, description="most weights of each net for the wave")
    wave_steps: int = Field(default=1500, ge=1, description="optimiser updates of each net for the wave")
    start_layers: int = Field(default=20, ge=1, le=200, description="hidden layers of the net that is started in turn "
                              "in each way")  # fmt: skip
    start_width: int = Field(default=32, ge=1, le=4096, description="units of each of its layers")
    start_steps: int = Field(default=200, ge=1, description="its optimiser updates")
    start_lr: float = Field(default=0.01, gt=0, description="its step size, with a momentum of 0.9")
    batch: int = Field(default=128, ge=1, description="examples per update")
    lr: float = Field(default=3e-2, gt=0, description="Adam's step size at its peak, for pictures and the wave")


class Points(NamedTuple):
    """A function of one variable."""

    x: Tensor  # B 1, from 0 to 1
    y: Tensor  # B


def wave(x: Float[Tensor, "..."], folds: int) -> Float[Tensor, "..."]:
    """The triangle wave from 0 to 1 and back, put into itself `folds` times."""
    for _ in range(folds):
        x = 1 - (2 * x - 1).abs()
    return x


def points(knobs: Knobs, place: Place, split: str) -> Held[Points]:
    x = torch.rand(2000, 1, generator=keyed(place.seed, "points", split))
    name = f"a triangle wave of {2**knobs.folds} pieces (made for this run)"
    return Held(Points(x, wave(x[:, 0], knobs.folds)), place, name, split)


def stack(inputs: int, depth: int, width: int, outputs: int, kind: str) -> nn.Sequential:
    """`depth` hidden layers of `width` rectified units or filters, and a linear layer."""
    net = nn.Sequential() if kind == "convolution" else nn.Sequential(nn.Flatten())
    for k in range(depth):
        before = width if k else inputs
        net.append(nn.Conv2d(before, width, 3, 2 if k < 2 else 1, 1) if kind == "convolution"
                   else nn.Linear(before, width)).append(nn.ReLU())  # fmt: skip
    if kind == "convolution":
        net.append(nn.AdaptiveAvgPool2d(GRID)).append(nn.Flatten())
        width *= GRID**2
    return net.append(nn.Linear(width, outputs))


def count(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def within(budget: int, inputs: int, depth: int, outputs: int, kind: str) -> nn.Sequential:
    """The widest `stack` of at most `budget` weights and biases. UserError: the narrowest one has more."""
    with torch.device("meta"):
        width = bisect_right(range(1, budget + 1), budget, key=lambda w: count(stack(inputs, depth, w, outputs, kind)))
        least = count(stack(inputs, depth, 1, outputs, kind))
    if not width:
        got = f"at most {budget:,}, where one unit a layer takes {least:,}"
        raise UserError(f"enough weights for {depth} layers", got, "Raise weights or wave_weights", "depth")
    net = stack(inputs, depth, width, outputs, kind)
    he(net)
    return net


def by_hand(folds: int) -> nn.Sequential:
    """Telgarsky's net: `folds` hidden layers of two units, set by hand, that are the wave exactly."""
    net = stack(1, folds, 2, 1, "full")
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for k, layer in enumerate(linear):  # a fold is 2 x - 4 (x - 1/2) of what is positive of both
            layer.weight.copy_(torch.tensor([[2.0, -4.0]] if k else [[1.0]]).expand_as(layer.weight))
            layer.bias.copy_(torch.tensor([0.0, -0.5]) if k < folds else torch.zeros(1))
    return net


def scattered(net: nn.Sequential) -> nn.Sequential:
    """The net with its first units' kinks anywhere from -1 to 1, where its input will be."""
    first = next(layer for layer in net if isinstance(layer, nn.Linear))
    nn.init.uniform_(first.bias, -1, 1)
    with torch.no_grad():
        first.bias.mul_(first.weight[:, 0])
    return net


class Nets(nn.Module):
    """All nets: for pictures and for the wave by their layers, the deep one by its start. Takes grey levels."""

    def __init__(self, knobs: Knobs, channels: int, side: int, classes: int, normal: tuple[float, float]) -> None:
        super().__init__()
        inputs, layers = channels * side**2, sorted(set(knobs.layers))
        taken = channels if knobs.layer == "convolution" else inputs

        self.pictures, self.waves, self.starts = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for n in layers:
            net = within(knobs.weights, taken, n, classes, knobs.layer)
            self.pictures[str(n)] = nn.Sequential(Normalise(*normal), net)
            net = scattered(within(knobs.wave_weights, 1, n, 1, "full"))
            self.waves[str(n)] = nn.Sequential(Normalise(0.5, 0.5), net)
        for name, start in STARTS.items():
            net = stack(inputs, knobs.start_layers, knobs.start_width, classes, "full")
            start(net)
            self.starts[name] = nn.Sequential(Normalise(*normal), net)


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28)


def build(knobs: Knobs, facts: Facts) -> Nets:
    return Nets(knobs, facts["channels"], facts["side"], len(facts["labels"]), (facts["mean"], facts["spread"]))


def loss_of(net: nn.Module, batch: Labelled) -> dict[str, Tensor]:
    """Cross-entropy in nats, mean over the batch, of one net."""
    scores = net(batch.image)
    return {"loss": F.cross_entropy(scores, batch.label), "error": error_rate(scores, batch.label)}


def gap_of(net: nn.Module, batch: Points) -> dict[str, Tensor]:
    """The squared error, mean over the batch."""
    return {"loss": F.mse_loss(net(batch.x)[:, 0], batch.y)}


def loss(model: Nets, batch: Labelled) -> dict[str, Tensor]:
    """The mean over the nets for pictures."""
    each = [loss_of(net, batch) for net in model.pictures.values()]
    return {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}


def train(knobs: Knobs, model: Nets, data: Data[Labelled], run: Run) -> None:
    first = next(iter(data.train.sweep(500))).image  # the same in all processes
    lsuv(model.starts["lsuv"], first)
    begun = spreads(model, first)  # before the steps change them
    schedule = cosine(knobs.steps, knobs.steps // 10)
    for n, net in model.pictures.items():
        fit(net, loss_of, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, schedule=schedule,
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True), stage=f"pictures_{n}")  # fmt: skip
    learn, valid = points(knobs, run.place, "train"), points(knobs, run.place, "valid")
    for n, net in model.waves.items():
        fit(net, gap_of, learn, run, steps=knobs.wave_steps, batch=knobs.batch, valid=valid, stage=f"wave_{n}",
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True),
            schedule=cosine(knobs.wave_steps))  # fmt: skip
    for name, net in model.starts.items():
        fit(net, loss_of, data.train, run, steps=knobs.start_steps, batch=knobs.batch, valid=data.valid, clip=1.0,
            optimizer=torch.optim.SGD(net.parameters(), knobs.start_lr, 0.9), stage=f"start_{name}")  # fmt: skip
    titles = {f"{n} hidden": f"pictures_{n}" for n in model.pictures}
    started = history(run.folder, {name: f"start_{name}" for name in STARTS}, "valid_loss", "updates", "loss, nats")
    run.show(learning=history(run.folder, titles, "valid_error", "updates", "validation error, %"),
             nets=compared(knobs, model, data, valid), starts=replace(started, logy=True), spreads=begun,
             wave=drawn(knobs, model, run.place))  # fmt: skip


@torch.no_grad()
def spreads(model: Nets, image: Tensor) -> Curve:
    """The standard deviation of what each layer of the deep net puts out, by its start."""
    lines: dict[str, list[float]] = {}
    for name, whole in model.starts.items():
        normalise, net = whole.children()
        x, lines[name] = normalise(image), []
        for layer in net.children():
            x = layer(x)
            if isinstance(layer, nn.Linear):
                lines[name].append(float(x.std()))
    number = len(next(iter(lines.values())))
    return Curve(range(1, number + 1), lines, "layer", "spread of its output before training", logy=True)


def compared(knobs: Knobs, model: Nets, data: Data[Labelled], valid: Held[Points]) -> Listing:
    """Each net's size, and its error on what it learned from and on what it did not."""
    rows = [[f"pictures, {n} hidden", count(net), *(evaluate(net, loss_of, part)["error"] for part in data[:2]), None]
            for n, net in model.pictures.items()]  # fmt: skip
    nets = {f"{n} hidden": net for n, net in model.waves.items()}
    for name, net in {**nets, "by hand": by_hand(knobs.folds).to(valid.place.device)}.items():
        rows.append([f"wave, {name}", count(net), None, None, evaluate(net, gap_of, valid)["loss"] ** 0.5])
    rows += [[f"start, {name}", count(net), *(evaluate(net, loss_of, part)["error"] for part in data[:2]), None]
             for name, net in model.starts.items()]  # fmt: skip
    return Listing(["net", "weights", "training, %", "validation, %", "root mean square"], rows)


@torch.no_grad()
def drawn(knobs: Knobs, model: Nets, place: Place) -> Curve:
    """The wave, and what each net makes of it."""
    x = torch.linspace(0, 1, 401)
    lines = {f"{n} hidden": net(x[:, None].to(place.device))[:, 0].tolist() for n, net in model.waves.items()}
    return Curve(x.tolist(), {"wave": wave(x, knobs.folds).tolist(), **lines}, "x", "y")


def score(knobs: Knobs, model: Nets, data: Data[Labelled], place: Place) -> dict[str, Score]:
    scores, test = {}, points(knobs, place, "test")
    for n, net in list(model.pictures.items())[::-1]:  # the deepest one's error is the page's
        note = f"{n} hidden layers, {count(net):,} weights"
        scores[f"layers_{n}_error" if scores else "error"] = error_score(net, data.test, note=note)
    for n, net in model.waves.items():
        said, y = answers(net, test)
        gap, note = (said[:, 0] - y).square(), f"{n} hidden layers, {count(net):,} weights; a constant: 0.289"
        scores[f"layers_{n}_wave_rmse"] = mean_score(gap, "of the wave's height", test, root=True, note=note)
    return scores


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    return Labelled(seen(facts, images), torch.zeros(len(images), dtype=torch.long))


def use(model: Nets, facts: Facts, images: Sequence[Image]) -> list[dict[str, Ranking | Image]]:
    image, answers = read(facts, images).image, []
    chances = {n: net(image).softmax(-1) for n, net in list(model.pictures.items())[::-1]}
    for i, raw in enumerate(image):
        said = {f"{n} hidden": Ranking.of(rows[i], facts["labels"]) for n, rows in chances.items()}
        answers.append({"answer": next(iter(said.values())), **said, "seen": Image(raw[0].numpy())})
    return answers


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(layers=(1, 2, 3, 4, 6), steps=5000, wave_steps=10000, start_steps=2000, lr=1e-2),
    "full": Knobs(layer="full", weights=13000, lr=1e-2),  # depth is worth nothing here
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss)
