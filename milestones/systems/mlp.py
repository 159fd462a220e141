"""Layers of units learn by back-propagating errors.

Paper       Rumelhart, Hinton & Williams (1986), Learning representations by back-propagating errors,
            Nature 323, 533-536.
Idea        the error's slope at a layer follows from that at the layer above, so hidden units learn what to represent.
Deviations  cross-entropy for squared error, except with `squared` (preset paper); Glorot's starting weights; other
            units and step rules beside logistic units and momentum; digits and tables for family trees and symmetry.
Result      not measured yet
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, evaluate, fit
from ..core.run import Run
from ..core.score import Score, answers, mean_score, rate_score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import Probe, System
from ..data import Labelled, Rows
from ..data.kinds import kind
from ..data.pictures import pictures, seen
from ..data.tables import row_tensor, table, unknown_categories
from ..media import Curve, Image, Media, Number, Ranking, Row, Text, tiles
from ..parts.classic import pipelines
from ..parts.layers import Normalise
from ..parts.metrics import error_rate

UNITS = {  # a unit's output y for its total input, and dy/dx written with y
    "logistic": (torch.sigmoid, lambda y: y * (1 - y)),
    "tanh": (torch.tanh, lambda y: 1 - y * y),
    "relu": (torch.relu, lambda y: (y > 0).to(y.dtype)),
    "linear": (lambda x: x, torch.ones_like),
}
WHOLE = ("descent", "rprop")  # each step looks at the whole training set
SIZES = (100, 300, 1000, 3000)  # training examples at which the pipelines are compared, before all


class Knobs(Config):
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(512, 256), description="units of each hidden layer; none: a linear model")  # fmt: skip
    activation: Literal["logistic", "tanh", "relu", "linear"] = Field(default="relu", description="of hidden units")
    squared: bool = Field(default=False, description="classes by logistic units and squared error, as in 1986")
    method: Literal["descent", "sgd", "momentum", "adagrad", "rmsprop", "adam", "rprop"] = Field(default="adam", description="step rule; descent and rprop look at the whole training set in each step")  # fmt: skip
    steps: int = Field(default=2000, ge=1, description="optimiser updates")
    batch: int = Field(default=128, ge=1, description="examples per update, unless it looks at all")
    lr: float = Field(default=1e-3, gt=0, description="step size at its peak; of rprop, the first step's length")
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="share of the last step in the next (descent, momentum)"
    )
    decay: float = Field(default=0.0, ge=0, description="pull of weights towards 0")
    tolerance: float = Field(default=1e-4, ge=0, description="norm of the gradient at which descent and rprop end")
    pipelines: bool = Field(default=True, description="compare with the standard pipelines of scikit-learn")


class MLP(nn.Module):
    """Takes raw values; "B K" scores whose softmax is the chance of K classes, or "B" values in the target's unit."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, output: str, classes: int,
                 normal: tuple[Any, Any], target: tuple[float, float] = (0.0, 1.0)) -> None:  # fmt: skip
        super().__init__()
        self.activation, self.output, self.classes, self.target = activation, output, classes, target
        self.normalise = Normalise(*normal)
        last = {"linear": 1, "logistic": 1, "softmax": classes, "units": classes}[output]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([inputs, *hidden, last]))
        self.draw()

    @torch.no_grad()
    def draw(self, rng: torch.Generator | None = None) -> None:
        """New starting weights (Glorot & Bengio 2010), so that signals keep their spread from layer to layer."""
        gain = {"logistic": 4.0, "relu": math.sqrt(2)}.get(self.activation, 1.0)
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight, gain if layer is not self.layers[-1] else 1.0, generator=rng)
            nn.init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Float[Tensor, "B K"] | Float[Tensor, "B"]:
        y = self.normalise(input.flatten(1))  # B D
        for layer in self.layers[:-1]:
            y = UNITS[self.activation][0](layer(y))
        x = self.layers[-1](y)
        if self.output == "linear":
            mean, spread = self.target
            return x[:, 0] * spread + mean
        if self.output == "logistic":
            return F.pad(x, (1, 0))  # the chances of scores (0, x) are the logistic function's
        return F.logsigmoid(x) if self.output == "units" else x

    @property
    def flat(self) -> Float[Tensor, "N"]:
        """All weights and biases as one vector: a copy. Setting it sets them."""
        return nn.utils.parameters_to_vector(self.parameters()).detach()

    @flat.setter
    @torch.no_grad()
    def flat(self, vector: Float[Tensor, "N"]) -> None:
        sizes = [parameter.numel() for parameter in self.parameters()]
        for parameter, part in zip(self.parameters(), vector.split(sizes), strict=True):
            parameter.copy_(part.view_as(parameter))


def prepare(knobs: Knobs, place: Place) -> Data[Any]:
    if place.choice.data and kind(place.choice.data) == "table":
        return table(place)
    return pictures(place, default="digits", side=28)


def build(knobs: Knobs, facts: Facts) -> MLP:
    normal, labels = (facts["mean"], facts["spread"]), facts.get("labels", [])
    inputs = facts.get("inputs") or facts["channels"] * facts["side"] ** 2
    if not labels:
        target = (facts["target_mean"], facts["target_spread"])
        return MLP(inputs, knobs.hidden, knobs.activation, "linear", 0, normal, target)
    output = "units" if knobs.squared else "logistic" if len(labels) == 2 else "softmax"
    return MLP(inputs, knobs.hidden, knobs.activation, output, len(labels), normal)


def loss(model: MLP, batch: Labelled | Rows) -> dict[str, Tensor]:
    """Half the squared error (for values in spreads of the target), or the cross-entropy in nats; mean over the batch."""
    answer, target = model(batch[0]), batch[1]
    if model.output == "linear":
        gap = answer - target
        return {"loss": (gap / model.target[1]).square().mean() / 2, "mae": gap.abs().mean()}
    if model.output == "units":
        gap = answer.exp() - F.one_hot(target, model.classes)
        return {"loss": gap.square().sum(1).mean() / 2, "error": error_rate(answer, target)}
    return {"loss": F.cross_entropy(answer, target), "error": error_rate(answer, target)}


@torch.no_grad()
def backpropagate(model: MLP, input: Tensor, target: Tensor) -> list[Tensor]:
    """The gradient of `loss` for each weight and bias, in the order of `model.parameters()`: by hand, from the last
    layer to the first, with what each layer put out on the way forward. Numbers are those of the paper's equations."""
    function, slope = UNITS[model.activation]
    y = [model.normalise(input.flatten(1))]  # what goes into each layer
    for layer in model.layers[:-1]:
        y.append(function(layer(y[-1])))  # (1), (2)
    answer = model(input)
    if model.output == "linear":
        delta = ((answer - target) / model.target[1])[:, None]  # B 1
    elif model.output == "units":
        chance = answer.exp()
        delta = (chance - F.one_hot(target, model.classes)) * chance * (1 - chance)  # (4), (5)
    else:  # cross-entropy cancels the slope of its units: what is left is answer less target, as for values
        delta = (answer.softmax(1) - F.one_hot(target, model.classes))[:, -model.layers[-1].out_features :]
    delta = delta / len(input)  # B K: the loss's slope for the total input of each unit
    gradients: list[Tensor] = []
    for k in reversed(range(len(model.layers))):
        gradients = [delta.T @ y[k], delta.sum(0), *gradients]  # (6)
        if k:
            delta = delta @ model.layers[k].weight * slope(y[k])  # (7), (5)
    return gradients


def optimizer_of(knobs: Knobs, model: MLP) -> torch.optim.Optimizer:
    weights, lr, decay = list(model.parameters()), knobs.lr, {"weight_decay": knobs.decay}
    make = {
        "descent": lambda: torch.optim.SGD(weights, lr, knobs.momentum),  # (8), (9)
        "rprop": lambda: torch.optim.Rprop(weights, lr),  # Riedmiller & Braun 1993: signs of the gradient alone
        "sgd": lambda: torch.optim.SGD(weights, lr, **decay),
        "momentum": lambda: torch.optim.SGD(weights, lr, knobs.momentum, **decay),
        "adagrad": lambda: torch.optim.Adagrad(weights, lr, **decay),
        "rmsprop": lambda: torch.optim.RMSprop(weights, lr, **decay),
        "adam": lambda: torch.optim.AdamW(weights, lr, fused=True, **decay),
    }
    return make[knobs.method]()


def downhill(model: MLP, batch: Any, decay: float) -> dict[str, Tensor]:
    """The terms of `loss` on the whole training set, and the norm of the gradient that is left in the weights."""
    model.zero_grad()
    terms = loss(model, batch)
    terms["loss"].backward()
    gradients = []
    for weight in model.parameters():
        if weight.grad is not None:  # it is where weights are frozen
            gradients.append(weight.grad.add_(weight.detach(), alpha=decay))
    return {**terms, "gradient": nn.utils.get_total_norm(gradients)}


def descend(knobs: Knobs, model: MLP, data: Data[Any], run: Run) -> None:
    """Follow the gradient of the whole training set until it is nearly 0. In float32: near the minimum a coarser
    gradient has no direction, so no faster plan is looked for."""
    everything, optimizer = whole(data.train), optimizer_of(knobs, model)
    for _ in run.steps(knobs.steps, model=model, optimizer=optimizer):
        terms = downhill(model, everything, knobs.decay)
        optimizer.step()
        run.log(**terms)
        if float(terms["gradient"]) < knobs.tolerance:
            run.enough()
        if run.every(max(1, knobs.steps // 40)):
            run.log(**{f"valid_{name}": value for name, value in evaluate(model, loss, data.valid).items()})


def train(knobs: Knobs, model: MLP, data: Data[Any], run: Run) -> None:
    if knobs.method in WHOLE:
        descend(knobs, model, data, run)
    else:
        fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
            optimizer=optimizer_of(knobs, model), schedule=cosine(knobs.steps))  # fmt: skip
    if "side" in data.facts:
        side = data.facts["side"]
        run.show(filters=tiles(model.layers[0].weight[:64].view(-1, 1, side, side)))
    if knobs.pipelines and not run.ended:
        run.show(examples=by_examples(knobs, model, data, run.place))


def whole(source: Any) -> Any:
    return next(iter(source.sweep(len(source))))


def relearned(knobs: Knobs, model: MLP, source: Held[Any]) -> MLP:
    """A net as `model`, trained from new weights on the few examples of `source` by the same method, in few steps."""
    twin, is_whole = copy.deepcopy(model), knobs.method in WHOLE
    twin.draw(keyed(source.place.seed, "relearned", len(source)))
    optimizer, size = optimizer_of(knobs, twin), len(source) if is_whole else min(knobs.batch, len(source))
    steps = knobs.steps if is_whole else min(knobs.steps, 100 + 20 * len(source) // size)
    for step in range(steps):
        if not is_whole:
            optimizer.param_groups[0]["lr"] = knobs.lr * cosine(steps)(step)
        terms = downhill(twin, source.batch(step, size), knobs.decay * is_whole)
        optimizer.step()
        if is_whole and float(terms["gradient"]) < knobs.tolerance:
            break
    return twin


def rivals(facts: Facts, train: Any, asked: Tensor) -> dict[str, tuple[str, Tensor]]:
    """By the name of each standard pipeline, what it is, and its predictions for `asked` after learning from `train`."""
    rows, target, asked_rows = (field.flatten(1 if field.dim() > 1 else 0).cpu().numpy() for field in (*train, asked))
    found = pipelines("classes" if "labels" in facts else "numbers", len(target), facts.get("side", 0))
    return {name: (it.words, torch.from_numpy(it.predict(rows, target, asked_rows))) for name, it in found.items()}


def by_examples(knobs: Knobs, model: MLP, data: Data[Any], place: Place) -> Curve:
    """The error on the validation set against the number of training examples: this net's and each pipeline's."""
    everything, (asked, target) = whole(data.train), (field.cpu() for field in whole(data.valid))
    order = torch.randperm(len(data.train), generator=keyed(place.seed, "examples")).to(place.device)
    sizes, lines = [*(n for n in SIZES if n < len(order)), len(order)], {}
    name = "error" if "labels" in data.facts else "mae"
    for n in sizes:
        part = Held(type(everything)(*(field[order[:n]] for field in everything)), place, "", "train")
        twin = model if n == len(order) else relearned(knobs, model, part)
        lines.setdefault("this net", []).append(evaluate(twin, loss, data.valid)[name])
        for rival, (_, said) in rivals(data.facts, part.examples, asked).items():
            gap = 100.0 * (said != target) if name == "error" else (said - target).abs()
            lines.setdefault(rival.replace("_", " "), []).append(float(gap.mean()))
    unit = "error, %" if name == "error" else f"mean absolute error of {data.facts['target']}"
    return Curve(sizes, lines, "training examples", f"{unit} (validation)", logx=True)


def judged(said: Tensor, target: Tensor, facts: Facts, source: Any, name: str = "", note: str = "") -> dict[str, Score]:
    """The scores of predictions, their names ending in `name`."""
    if "labels" in facts:
        return {f"error{name}": rate_score(int((said != target).sum()), len(target), source, note=note)}
    gap, unit = said - target, facts["target"]
    return {f"mae{name}": mean_score(gap.abs(), unit, source, note=note),
            f"rmse{name}": mean_score(gap.square(), unit, source, root=True, note=note)}  # fmt: skip


def score(knobs: Knobs, model: MLP, data: Data[Any], place: Place) -> dict[str, Score]:
    answer, target = (field.cpu() for field in answers(model, data.test))
    found = rivals(data.facts, whole(data.train), whole(data.test)[0]) if knobs.pipelines else {}
    note = "" if found or not knobs.pipelines else 'Standard pipelines beside it: pip install "milestones[tables]"'
    scores = judged(answer.argmax(-1) if answer.dim() > 1 else answer, target, data.facts, data.test, note=note)
    for name, (words, said) in found.items():
        scores |= judged(said, target, data.facts, data.test, f"_{name}", words)
    return scores


def read(facts: Facts, items: Sequence[Media]) -> Labelled | Rows:
    want: type = Row if facts["kind"] == "table" else Image
    wrong = next((type(item).__name__.lower() for item in items if not isinstance(item, want)), "")
    if wrong:
        do = "Give this run what it was trained on"
        raise UserError(
            "a row of a table" if want is Row else "a picture, as this net learned from", f"a {wrong}", do, "mlp"
        )
    no_class = torch.zeros(len(items), dtype=torch.long)
    return Rows(row_tensor(facts, items), no_class) if want is Row else Labelled(seen(facts, items), no_class)


def use(model: MLP, facts: Facts, items: Sequence[Media]) -> list[dict[str, Media]]:
    input, found = read(facts, items)[0], []
    answer = model(input)
    for row, item, y in zip(input, items, answer.softmax(-1) if "labels" in facts else answer, strict=True):
        said = Ranking.of(y, facts["labels"]) if "labels" in facts else Number(float(y), facts["target"])
        found.append({"answer": said} if isinstance(item, Row) else {"answer": said, "seen": Image(row[0].numpy())})
        unknown = unknown_categories(facts, [item]) if isinstance(item, Row) else []
        found[-1] |= {"note": Text(f"read as missing, never seen in training: {', '.join(unknown)}")} if unknown else {}
    return found


def probe(model: MLP, batch: Labelled | Rows) -> Probe:
    """Pictures have grey levels 0 to 255; a table's numbers have no bounds."""
    low, high = (0.0, 255.0) if isinstance(batch, Labelled) else (-math.inf, math.inf)
    return Probe(batch[0].float(), low, high, model, batch[1])


table_knobs = {"hidden": (64, 64), "steps": 1500, "batch": 64, "decay": 0.1}
presets = {
    "quick": Knobs(),
    "paper": Knobs(hidden=(100,), activation="logistic", squared=True, method="descent", lr=1.0, steps=1500),
    "table": Knobs(**table_knobs),
    "descent": Knobs(hidden=(100,), activation="tanh", method="descent", lr=0.1, steps=300),
    "rprop": Knobs(hidden=(100,), activation="tanh", method="rprop", lr=1e-3, steps=100),
    "deep": Knobs(hidden=(128,) * 6),
    "linear": Knobs(hidden=(), method="descent", lr=0.1, steps=300),
}
system = System(
    Knobs, presets, prepare, build, train, score, use, takes=(Image, Row), read=read, loss=loss, probe=probe
)
