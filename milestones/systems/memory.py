"""A net with a memory that it writes to and reads from learns a procedure, and carries it on to what is far longer.

Paper       Graves, Wayne & Danihelka (2014), Neural Turing machines, arXiv:1410.5401; who carries on to longer strings:
            Deletang et al. (2023), Neural networks and the Chomsky hierarchy, ICLR.
Idea        the net is one thing, what it remembers another: rows of memory, found by what they hold or by the place
            beside the last. Where to write and read is a matter of degree, so gradients teach it. What was learned on
            short strings is a procedure, and it holds for long ones, where an LSTM has no room left.
Deviations  a controller of one hidden layer, without a state of its own; Adam and a cosine; rows begin with the same
            constant (Collier & Beel 2018), both heads at row 0; a channel says when an answer is due. Noise on what
            steers the heads, and at last a price for being at many rows at once: else a head that waits blurs, and one
            that is done rubs out, which short strings do not punish. Beside it: an LSTM, and a transformer.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, mean_score, rate_score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.tapes import TASKS, Tape, measured, tapes
from ..media import Curve, Heat, Listing, Number, Text
from ..parts.attention import Layer, before, positions
from ..parts.ntm import NTM, SMALL
from ..parts.recurrent import LSTM

Length = Annotated[int, Field(ge=1, le=1000)]


class Knobs(Config):
    task: Literal["copy", "recall", "parity", "counting", "dyck1", "dyck2"] = Field(
        default="copy", description="copy vectors, recall what came after an item, or a formal language: odd or even, "
        "a^n b^n c^n, brackets of one kind or two")  # fmt: skip
    beside: Literal["nothing", "lstm", "both"] = Field(
        default="lstm", description="train an LSTM, or that and a transformer, on the same, too, to compare them"
    )
    longest: int = Field(default=20, ge=2, le=1000, description="the longest strings to learn from")
    tested: tuple[Length, ...] = Field(
        default=(20, 40, 80, 120), min_length=1, max_length=10,
        description="lengths that are scored; the last is the page's figure")  # fmt: skip
    rows: int = Field(default=128, ge=3, le=4096, description="rows of the memory")
    row: int = Field(default=20, ge=1, le=512, description="cells of a row")
    width: int = Field(default=100, ge=1, le=4096, description="hidden units beside the memory")
    units: int = Field(default=256, ge=1, le=4096, description="units of the LSTM")
    layers: int = Field(default=2, ge=1, le=12, description="layers of the transformer, of half as wide a vector")
    noise: float = Field(default=1.0, ge=0, le=10, description="in training, on what steers the heads")
    price: float = Field(default=0.01, ge=0, le=1, description="in the loss, for a nat of entropy of where a head is; "
                         "in the second stage")  # fmt: skip
    examples: int = Field(default=20_000, ge=10, le=1_000_000, description="strings to learn from")
    short: float = Field(default=0.0, ge=0, le=4, description="how much rarer long ones are: 0, as many of each length")
    steps: int = Field(default=350, ge=1, description="optimiser updates of the net with a memory")
    tidy_steps: int = Field(default=200, ge=1, description="more updates of it, with the price")
    beside_steps: int = Field(default=600, ge=1, description="optimiser updates of each of the others")
    batch: int = Field(default=32, ge=1, description="strings per update")
    lr: float = Field(default=5e-3, gt=0, description="Adam's step size at its peak")
    beside_lr: float = Field(default=2e-3, gt=0, description="that of the others")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")


class Recurrent(nn.Module):
    """An LSTM: it remembers what fits into its cells."""

    def __init__(self, inputs: int, outputs: int, units: int) -> None:
        super().__init__()
        self.net, self.out = LSTM(inputs, units), nn.Linear(units, outputs)

    def forward(self, symbol: Num[Tensor, "B T C"]) -> Float[Tensor, "B T K"]:
        return self.out(self.net.stream(symbol.float())[0])


class Attending(nn.Module):
    """A transformer: each step looks at those before, whose number it knows."""

    def __init__(self, inputs: int, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        self.embed, self.norm, self.out = nn.Linear(inputs, width), nn.LayerNorm(width), nn.Linear(width, outputs)
        self.layers = nn.ModuleList(Layer(width, 4, 2 * width, 0.0) for _ in range(layers))

    def forward(self, symbol: Num[Tensor, "B T C"]) -> Float[Tensor, "B T K"]:
        time, width, device = symbol.shape[1], self.embed.out_features, symbol.device
        x, seen = self.embed(symbol.float()) + positions(0, time, width, device), before(time, device)
        for layer in self.layers:
            x = layer(x, seen)[0]
        return self.out(self.norm(x))


class Nets(nn.Module):
    """Nets by name; the first is the page's."""

    def __init__(self, knobs: Knobs, inputs: int, outputs: int) -> None:
        super().__init__()
        of: dict[str, nn.Module] = {"memory": NTM(inputs, outputs, knobs.width, knobs.rows, knobs.row,
                                               knobs.noise)}  # fmt: skip
        if knobs.beside != "nothing":
            of["lstm"] = Recurrent(inputs, outputs, knobs.units)
        if knobs.beside == "both":
            of["transformer"] = Attending(inputs, outputs, max(8, knobs.units // 2 // 8 * 8), knobs.layers)
        self.of: Any = nn.ModuleDict(of)

    def forward(self, symbol: Num[Tensor, "B T C"]) -> Float[Tensor, "B T K"]:
        return self.of["memory"](symbol)


def prepare(knobs: Knobs, place: Place) -> Data[Tape]:
    return tapes(knobs.task, place, knobs.examples, knobs.longest, knobs.tested, knobs.short)


def build(knobs: Knobs, facts: Facts) -> Nets:
    return Nets(knobs, facts["inputs"], facts["outputs"])


def terms(said: Float[Tensor, "B T K"], goal: Int[Tensor, "B T K"]) -> dict[str, Tensor]:
    """Cross-entropy in nats, mean over the bits that are asked; error in percent of them."""
    margin, asked = goal * said, goal != 0  # above 0 where a bit is said rightly
    bits = asked.sum().clamp(min=1)
    return {"loss": (F.softplus(-margin) * asked).sum() / bits, "error": 100 * ((margin <= 0) & asked).sum() / bits}


def loss_of(net: nn.Module, batch: Tape) -> dict[str, Tensor]:
    return terms(net(batch.symbol), batch.goal)


def priced(net: NTM, batch: Tape, price: float) -> dict[str, Tensor]:
    """The loss, and the price of not knowing where: the entropy of each head's weights, mean over heads and steps."""
    said, weight = net.run(batch.symbol)
    found, there = terms(said, batch.goal), batch.goal.any(2).flip(1).cumsum(1).flip(1) > 0  # the last step is asked
    entropy = (torch.special.entr(weight + SMALL).sum(3).mean(2) * there).sum() / there.sum().clamp(min=1)
    return {**found, "loss": found["loss"] + price * entropy, "entropy": entropy}


def loss(model: Nets, batch: Tape) -> dict[str, Tensor]:
    return loss_of(model, batch)


def train(knobs: Knobs, model: Nets, data: Data[Tape], run: Run) -> None:
    for name, net in model.of.items():
        stages = {name: (loss_of, knobs.beside_steps, knobs.beside_lr)}
        if name == "memory":
            tidy = partial(priced, price=knobs.price)
            stages = {name: (loss_of, knobs.steps, knobs.lr), "tidy": (tidy, knobs.tidy_steps, knobs.lr)}
        for stage, (goal, steps, lr) in stages.items():
            fit(net, goal, data.train, run, steps=steps, batch=knobs.batch, valid=data.valid, clip=knobs.clip,
                optimizer=torch.optim.Adam(net.parameters(), lr, fused=True), schedule=cosine(steps, steps // 20),
                stage=stage)  # fmt: skip
    model.eval()
    wrong = {name: lengths(net, data.facts, run.place, "valid") for name, net in model.of.items()}
    share = {name: [100 * float(w.double().mean()) / bits for w, bits in found] for name, found in wrong.items()}
    rows = [[name, f"{sum(weight.numel() for weight in model.of[name].parameters()):,}",
             *[float(w.double().mean()) for w, _ in found]] for name, found in wrong.items()]  # fmt: skip
    unit, tested = TASKS[knobs.task].unit, data.facts["tested"]
    run.show(nets=Listing(["net", "weights", *[f"bits wrong at {n} {unit}" for n in tested]], rows),
             longer=Curve(tested, share, f"length, {unit}", "bits wrong, %"),
             **pictures(model.of["memory"], next(data.valid.sweep(1))))  # fmt: skip


@torch.inference_mode()
def lengths(net: nn.Module, facts: Facts, place: Place, split: str) -> list[tuple[Int[Tensor, "N"], float]]:
    """For each length that is scored: the number of wrong bits of each string, and how many bits one asks for."""
    was, found = net.training, []
    net.eval()
    for length in facts["tested"]:
        source, wrong, bits = measured(facts["task"], place, split, length), [], 0
        for batch in source.sweep(50):
            margin = batch.goal * net(batch.symbol)
            wrong.append(((margin <= 0) & (batch.goal != 0)).sum((1, 2)).cpu())
            bits += int((batch.goal != 0).sum())
        found.append((torch.cat(wrong), bits / len(source)))
    net.train(was)
    return found


@torch.inference_mode()
def pictures(net: NTM, batch: Tape) -> dict[str, Heat]:
    """Of one string: what was to be said and what is said, and in which rows of its memory the net wrote and read."""
    said, weight = net.run(batch.symbol)
    asked = batch.goal[0].any(1)
    target, chance = (batch.goal[0, asked] > 0).float(), said[0, asked].sigmoid()
    bits = range(1, target.shape[1] + 1)
    both = torch.cat([target, chance], 1).T
    found = {"target_and_said": Heat(digits(both), [*[f"to say {k}" for k in bits], *[f"said {k}" for k in bits]],
                                     ylabel="bit", xlabel="step of the answer")}  # fmt: skip
    half = net.rows // 2  # row 0, where both begin, comes into the middle: they may go either way
    ring = weight[0].roll(half, 2)
    used = (ring.amax((0, 1)) > 0.05).nonzero().flatten().tolist() or [half]
    rows = range(used[0], used[-1] + 1)
    names = [str((row - half) % net.rows) for row in rows]
    for head, name in enumerate(("written", "read")):
        found[name] = Heat(digits(ring[:, head, list(rows)].T), names, ylabel="row of the memory", xlabel="step")
    return found


def digits(x: Tensor) -> np.ndarray:
    """With two places after the point, which are enough to be seen."""
    return x.double().cpu().numpy().round(2)


def score(knobs: Knobs, model: Nets, data: Data[Tape], place: Place) -> dict[str, Score]:
    scores, tested = {}, data.facts["tested"]
    for name, net in model.of.items():
        found = lengths(net, data.facts, place, "test")
        for length, (wrong, bits) in reversed(list(zip(tested, found, strict=True))):
            title = "_".join(["bit_error", *[name] * (name != "memory"), *[str(length)] * (length != tested[-1])])
            note = f"{name}: wrong bits of a string, of {bits:g}"
            scores[title] = mean_score(wrong, "bits", measured(knobs.task, place, "test", length), note=note)
            if title == "bit_error":
                whole = int((wrong > 0).sum())
                scores["error"] = rate_score(whole, len(wrong), data.test, note="strings with a wrong bit")
    return scores


def parsed(facts: Facts, inputs: Sequence[Text]) -> list[Tape]:
    """What each text gives. UserError: no string of the run's task."""
    return [TASKS[facts["task"]].read("".join(item.text.split())) for item in inputs]


def read(facts: Facts, inputs: Sequence[Text]) -> Tape:
    found = parsed(facts, inputs)
    longest = max(tape.symbol.shape[1] for tape in found)
    return Tape(*(torch.cat([F.pad(one, (0, 0, 0, longest - one.shape[1])) for one in field])
                  for field in zip(*found, strict=True)))  # fmt: skip


def use(model: Nets, facts: Facts, inputs: Sequence[Text]) -> list[dict[str, Any]]:
    task, answers = TASKS[facts["task"]], []
    for tape in parsed(facts, inputs):
        asked = tape.goal[0].any(1)
        said = {name: net(tape.symbol)[0, asked] > 0 for name, net in model.of.items()}
        truth = tape.goal[0, asked] > 0
        wrong = Number(int((said["memory"] != truth).sum()), f"of {truth.numel()} bits")
        others = {name: Text(task.spell(bits)) for name, bits in said.items() if name != "memory"}
        answers.append({"answer": Text(task.spell(said["memory"])), "truth": Text(task.spell(truth)), "wrong": wrong,
                        **others, **pictures(model.of["memory"], tape)})  # fmt: skip
    return answers


FORMAL: Mapping[str, Any] = {"beside": "both", "longest": 40, "tested": (40, 80, 160, 320), "short": 1.0,
                             "examples": 8000, "units": 128, "steps": 1000, "beside_steps": 1500,
                             "beside_lr": 3e-3}  # fmt: skip
PRESETS = {
    "quick": Knobs(),
    "copy": Knobs(beside="both", steps=600, tidy_steps=400, beside_steps=6000),
    "recall": Knobs(task="recall", beside="both", longest=6, tested=(6, 10, 15, 20), steps=3000, beside_steps=6000),
    "parity": Knobs(task="parity", **FORMAL),
    "counting": Knobs(task="counting", **{**FORMAL, "longest": 20, "tested": (20, 40, 80, 160)}),
    "dyck": Knobs(task="dyck2", **FORMAL),
    "paper": Knobs(units=400, steps=3000, tidy_steps=1000, beside_steps=30_000, examples=200_000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), read=read, loss=loss)
