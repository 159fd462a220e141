"""The perceptron learns from its mistakes, as often as the bound allows, and fails at XOR.

Paper       McCulloch & Pitts (1943), A logical calculus of the ideas immanent in nervous activity, Bulletin of
            Mathematical Biophysics 5, 115-133; Rosenblatt (1958), The perceptron, Psychological Review 65(6), 386-408;
            Novikoff (1962), On convergence proofs for perceptrons; Minsky & Papert (1969), Perceptrons.
Idea        a unit fires when its weighted inputs pass a threshold; each mistake adds the input to the weights, or
            takes it away. If any separator has margin m on inputs of length R, at most (R/m)^2 mistakes are made.
Deviations  one response unit; Rosenblatt's random layer of association units is left out.
Result      error 0.40 ± 0.42 %, 5 seeds, points on both sides of a random plane (made for this run), 0.2 s,
            on 2 cores of AMD EPYC.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.run import Run
from ..core.score import Score, error_score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.state import Memo
from ..core.system import System
from ..data import Rows
from ..data.tables import row_tensor, table
from ..media import Curve, Ranking, Row, Text
from ..parts.metrics import error_rate


class Knobs(Config):
    task: Literal["clouds", "and", "or", "xor", "majority"] = Field(
        default="clouds", description="what to learn when no --data is given"
    )
    inputs: int = Field(default=20, ge=2, le=1000, description="inputs of clouds; a majority takes at most 12 of them")
    examples: int = Field(default=1200, ge=30, description="points of clouds, two thirds of them to train")
    margin: float = Field(default=0.1, gt=0, lt=1, description="gap on each side of the plane between the clouds")
    passes: int = Field(default=200, ge=1, description="passes through the training set at most")


def fires(inputs: Sequence[int], weights: Sequence[int], threshold: int) -> int:
    """McCulloch and Pitts's unit: 1 if the weighted sum of the inputs reaches the threshold."""
    return int(sum(w * x for w, x in zip(weights, inputs, strict=True)) >= threshold)


# Each gate is one unit; XOR, which no single unit can be, takes a layer of two and a third one.
GATES: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: fires((a, b), (1, 1), 2),
    "or": lambda a, b: fires((a, b), (1, 1), 1),
    "nand": lambda a, b: fires((a, b), (-1, -1), -1),
    "xor": lambda a, b: GATES["and"](GATES["or"](a, b), GATES["nand"](a, b)),
}


class Perceptron(nn.Module):
    """Weights and a bias, all 0 at first. Takes numbers as they are; scores are (0, activation), so that class 1 wins
    above the threshold."""

    weight: Tensor
    bias: Tensor
    mistakes: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs))
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("mistakes", torch.zeros((), dtype=torch.long))

    def forward(self, input: Float[Tensor, "B D"]) -> Float[Tensor, "B 2"]:
        activation = input @ self.weight + self.bias
        return torch.stack([torch.zeros_like(activation), activation], 1)

    def learn(self, input: Float[Tensor, "N D"], target: Sequence[int]) -> int:
        """Rosenblatt's rule on each row in turn; the number of mistakes."""
        made = 0
        for x, t in zip(input.unbind(), target, strict=True):
            said = int(torch.dot(self.weight, x) + self.bias > 0)
            if said != t:  # at a mistake, and only there
                self.weight += (t - said) * x
                self.bias += t - said
                made += 1
        self.mistakes += made
        return made


def clouds(knobs: Knobs, place: Place) -> tuple[Tensor, Tensor]:
    """Points of a Gaussian on both sides of a random plane, none nearer to it than the margin."""
    rng = keyed(place.seed, "clouds")
    normal = torch.randn(knobs.inputs, generator=rng)
    normal /= normal.norm()
    side = torch.randint(0, 2, (knobs.examples,), generator=rng)
    points = torch.randn(knobs.examples, knobs.inputs, generator=rng)
    distance = points @ normal
    wanted = (2 * side - 1) * (knobs.margin + distance.abs())
    return points + (wanted - distance)[:, None] * normal, side


def prepare(knobs: Knobs, place: Place) -> Data[Rows]:
    if place.choice.data:
        data = table(place)
        if len(data.facts.get("labels", ())) != 2:
            got = f"{len(data.facts.get('labels', ())) or 'a quantity instead of'} classes in {place.choice.target!r}"
            raise UserError("a target of two classes", got, "Train mlp on it", "perceptron")
        return data
    if knobs.task == "clouds":
        name = "points on both sides of a random plane (made for this run)"
        points, label = clouds(knobs, place)
        cut = [knobs.examples * 4 // 6, knobs.examples * 5 // 6]
        parts = [slice(0, cut[0]), slice(cut[0], cut[1]), slice(cut[1], None)]
        note = "separable by construction"
    else:
        d = min(knobs.inputs, 12) | 1 if knobs.task == "majority" else 2
        points = torch.tensor(list(itertools.product((0.0, 1.0), repeat=d)))
        label = torch.tensor(
            [int(sum(p) > d / 2) if d > 2 else GATES[knobs.task](*map(int, p)) for p in points.tolist()]
        )
        name, parts = f"{knobs.task} of {d} bits, all {2**d} inputs", [slice(None)] * 3
        note = "trained and tested on the same inputs: there are no others"
    held = [Held(Rows(points[p], label[p]), place, name, split)
            for p, split in zip(parts, ("train", "valid", "test"), strict=True)]  # fmt: skip
    width = points.shape[1]
    columns = [{"name": f"x{i + 1}", "kind": "number", "missing": 0, "median": 0.0} for i in range(width)]
    counts = dict(zip(("train", "valid", "test"), map(len, held), strict=True))
    data = {"name": name, **counts, "note": note, "closed": knobs.task != "clouds"}
    facts: Facts = {"kind": "table", "task": "classes", "target": "fires", "labels": ["0", "1"], "columns": columns,
                    "inputs": width, "data": data}  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def build(knobs: Knobs, facts: Facts) -> Perceptron:
    return Perceptron(facts["inputs"])


def loss(model: Perceptron, batch: Rows) -> dict[str, Tensor]:
    """The perceptron criterion: how far mistakes lie on the wrong side, mean over the batch."""
    scores = model(batch.input)
    wrong = torch.relu((1 - 2 * batch.target) * scores[:, 1])
    return {"loss": wrong.mean(), "error": error_rate(scores, batch.target)}


@torch.no_grad()
def train(knobs: Knobs, model: Perceptron, data: Data[Rows], run: Run) -> None:
    memo = Memo(curve=[])
    for step in run.steps(knobs.passes, model=model, memo=memo):
        batch = data.train.batch(step, len(data.train))
        made = model.learn(batch.input, batch.target.tolist())
        memo.curve.append(int(model.mistakes))
        run.log(mistakes=made, **loss(model, batch))
        if made == 0:
            run.enough()
    bound = mistake_bound(model, data)
    lines = {"mistakes so far": memo.curve} | ({"bound": [bound] * len(memo.curve)} if bound < math.inf else {})
    run.show(mistakes=Curve(list(range(1, len(memo.curve) + 1)), lines, "passes", "mistakes", logy=True), gates=truth())


def truth() -> Text:
    """The truth table of the gates."""
    rows = ["a b  " + "  ".join(GATES)]
    for a, b in itertools.product((0, 1), repeat=2):
        rows.append(f"{a} {b}  " + "  ".join(f"{gate(a, b):>{len(name)}}" for name, gate in GATES.items()))
    return Text("\n".join(rows) + "\n\nxor takes two layers: and(or(a, b), nand(a, b))")


def mistake_bound(model: Perceptron, data: Data[Rows]) -> float:
    """Novikoff's (R/m)^2 with the margin of the plane that was learned, its bias moved to the middle of the gap;
    infinite where it separates nothing.

    The proof holds for every separator, so for this one, too: a better one would only make the bound tighter.
    """
    inputs, targets = (torch.cat(field) for field in zip(*data.train.sweep(1000), strict=True))
    side = inputs.double() @ model.weight.detach().double()
    fire, rest = side[targets == 1], side[targets == 0]
    if not len(fire) or not len(rest) or fire.min() <= rest.max():
        return math.inf
    bias = -(fire.min() + rest.max()) / 2
    margin = (fire.min() - rest.max()) / 2 / torch.sqrt(model.weight.detach().double().square().sum() + bias**2)
    longest = inputs.double().square().sum(1).max() + 1  # the bias is one more input, always 1
    return float(longest / margin**2)


def score(knobs: Knobs, model: Perceptron, data: Data[Rows], place: Place) -> dict[str, Score]:
    made, bound = float(model.mistakes), mistake_bound(model, data)
    note = f"the bound for the plane found is {bound:,.0f}" if bound < math.inf else "no plane found: no bound holds"
    mistakes = Score(made, made, made, "mistakes", "lower", data.train.name, "train", len(data.train), note=note)
    return {"error": error_score(model, data.test), "mistakes": mistakes}


def read(facts: Facts, rows: Sequence[Row]) -> Rows:
    return Rows(row_tensor(facts, rows), torch.zeros(len(rows), dtype=torch.long))


def use(model: Perceptron, facts: Facts, rows: Sequence[Row]) -> list[dict[str, Any]]:
    activation = model(row_tensor(facts, rows))[:, 1]
    fired = (activation > 0).long()
    return [{"answer": Ranking.of(torch.eye(2)[f], facts["labels"]), "activation": Text(f"{float(a):.4g}")}
            for f, a in zip(fired, activation, strict=True)]  # fmt: skip


system = System(
    Knobs, {"quick": Knobs(), "paper": Knobs(task="majority", inputs=11), "and": Knobs(task="and"),
            "or": Knobs(task="or"), "xor": Knobs(task="xor", passes=50)},
    prepare, build, train, score, use, takes=(Row,), read=read, loss=loss,
)  # fmt: skip
