"""Layers of units learn by back-propagating errors.

Paper       Rumelhart, Hinton & Williams (1986), Learning representations by back-propagating errors,
            Nature 323, 533-536.
Idea        the error's slope at a layer follows from that at the layer above, so hidden units learn what to represent.
Deviations  cross-entropy for squared error, except with `squared` (preset paper); Glorot's starting weights; other
            units and step rules beside logistic units and momentum; digits and tables for family trees and symmetry.
Result      error 3.86 ± 0.06 %, 5 seeds, MNIST test, 8,000 training images, 4.3 s, on 2 cores of AMD EPYC.
"""

from __future__ import annotations

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
from ..parts.classic import SIZES, compared, learning_curves, task_of
from ..parts.layers import Normalise, norm
from ..parts.metrics import error_rate

UNITS = {  # a unit's output y for its total input, and dy/dx written with y
    "logistic": (torch.sigmoid, lambda y: y * (1 - y)),
    "tanh": (torch.tanh, lambda y: 1 - y * y),
    "relu": (torch.relu, lambda y: (y > 0).to(y.dtype)),
    "linear": (lambda x: x, torch.ones_like),
}
WHOLE = ("descent", "rprop")  # the rules whose step looks at the whole training set
Method = Literal["descent", "sgd", "momentum", "adagrad", "rmsprop", "adam", "rprop"]


class Knobs(Config):
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(300,), description="units of each hidden layer")
    activation: Literal["logistic", "tanh", "relu", "linear"] = Field(default="relu", description="of hidden units")
    norm: Literal["none", "batch", "layer", "group"] = Field(default="none", description="of hidden units' inputs")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of hidden units")
    squared: bool = Field(default=False, description="classes by logistic units and squared error, as in 1986")
    method: Method = Field(default="adam", description="step rule; descent and rprop look at all examples in each step")
    steps: int = Field(default=2000, ge=1, description="optimiser updates")
    batch: int = Field(default=128, ge=1, description="examples per update, unless it looks at all")
    lr: float = Field(default=4e-3, gt=0, description="step size at its peak; of rprop, the first step's length")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the last step (descent, momentum)")
    decay: float = Field(default=2e-3, ge=0, description="weight of half the squared weights in the loss")
    patience: int = Field(default=0, ge=0, description="end after so many evaluations without a lower loss; 0: never")
    tolerance: float = Field(default=1e-4, ge=0, description="norm of the gradient at which descent and rprop end")
    pipelines: bool = Field(default=True, description="compare with the standard pipelines of scikit-learn")


class MLP(nn.Module):
    """Takes raw values; "B K" scores whose softmax is the chance of K classes, or "B" values in the target's unit."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, output: str, classes: int,
                 normal: tuple[Any, Any], target: tuple[float, float] = (0.0, 1.0), kind: str = "none",
                 dropout: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self.activation, self.output, self.classes, self.target = activation, output, classes, target
        self.normalise = Normalise(*normal)
        last = {"linear": 1, "logistic": 1, "softmax": classes, "units": classes}[output]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([inputs, *hidden, last]))
        self.norms, self.dropout = nn.ModuleList(norm(kind, width) for width in hidden), nn.Dropout(dropout)
        self.draw()

    @torch.no_grad()
    def draw(self, rng: torch.Generator | None = None) -> None:
        """New starting weights (Glorot & Bengio 2010), so that signals keep their spread from layer to layer."""
        gain = {"logistic": 4.0, "relu": math.sqrt(2)}.get(self.activation, 1.0)
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight, gain if layer is not self.layers[-1] else 1.0, generator=rng)
            nn.init.zeros_(layer.bias)

    def signals(self, input: Tensor) -> list[Tensor]:
        """What goes into each layer, "B D", and last the total input of the last one's units."""
        y = [self.normalise(input.flatten(1))]
        for layer, normed in zip(self.layers, self.norms, strict=False):  # of the last layer, all is the answer's
            y.append(self.dropout(UNITS[self.activation][0](normed(layer(y[-1])))))  # (1), (2)
        return [*y, self.layers[-1](y[-1])]

    def read_out(self, x: Tensor) -> Float[Tensor, "B K"] | Float[Tensor, "B"]:
        if self.output == "linear":
            return x[:, 0] * self.target[1] + self.target[0]
        if self.output == "logistic":
            return F.pad(x, (1, 0))  # the chances of scores (0, x) are the logistic function's
        return F.logsigmoid(x) if self.output == "units" else x

    def forward(self, input: Tensor) -> Float[Tensor, "B K"] | Float[Tensor, "B"]:
        return self.read_out(self.signals(input)[-1])

    @property
    def flat(self) -> Float[Tensor, "N"]:
        """All weights and biases as one vector: a copy. Setting it sets them."""
        return nn.utils.parameters_to_vector(self.parameters()).detach()

    @flat.setter
    def flat(self, vector: Float[Tensor, "N"]) -> None:
        nn.utils.vector_to_parameters(vector.detach().clone(), self.parameters())


def prepare(knobs: Knobs, place: Place) -> Data[Any]:
    if place.choice.data and kind(place.choice.data) in ("table", "texts"):
        return table(place)
    return pictures(place, default="digits", side=28)


def build(knobs: Knobs, facts: Facts) -> MLP:
    if knobs.norm == "batch" and knobs.batch < 2:
        raise UserError("two examples or more per update to normalise over", "--batch 1", "Take norm layer", "mlp")
    if knobs.patience and knobs.method in WHOLE:
        raise UserError("patience 0 where --tolerance ends it", f"patience {knobs.patience}", "Leave it out", "mlp")
    normal, labels = (facts["mean"], facts["spread"]), facts.get("labels", [])
    inputs = facts.get("inputs") or facts["channels"] * facts["side"] ** 2
    output = "linear" if not labels else "units" if knobs.squared else "logistic" if len(labels) == 2 else "softmax"
    target = (0.0, 1.0) if labels else (facts["target_mean"], facts["target_spread"])
    return MLP(inputs, knobs.hidden, knobs.activation, output, len(labels), normal, target, knobs.norm, knobs.dropout)


def loss(model: MLP, batch: Labelled | Rows) -> dict[str, Tensor]:
    """Half the squared error (of values: in the target's spreads) or cross-entropy in nats; mean over the batch."""
    answer, target = model(batch[0]), batch[1]
    if model.output == "linear":
        gap = answer - target
        return {"loss": (gap / model.target[1]).square().mean() / 2, "mae": gap.abs().mean()}
    if model.output == "units":
        value = (answer.exp() - F.one_hot(target, model.classes)).square().sum(1).mean() / 2
    else:
        value = F.cross_entropy(answer, target)
    return {"loss": value, "error": error_rate(answer, target)}


@torch.no_grad()
def backpropagate(model: MLP, input: Tensor, target: Tensor) -> list[Tensor]:
    """The gradient of `loss` for each weight and bias, in the order of `model.parameters()`: by hand, from the last
    layer to the first, with what each put out on the way forward, without norm and dropout. Numbers: the paper's."""
    *y, x = model.signals(input)
    answer, slope = model.read_out(x), UNITS[model.activation][1]
    if model.output == "linear":
        delta = ((answer - target) / model.target[1])[:, None]  # B 1
    elif model.output == "units":
        chance = answer.exp()
        delta = (chance - F.one_hot(target, model.classes)) * chance * (1 - chance)  # (4), (5)
    else:  # cross-entropy cancels the slope of its units: what is left is answer less target, as for values
        delta = (answer.softmax(1) - F.one_hot(target, model.classes))[:, -model.layers[-1].out_features :]
    delta = delta / len(input)  # B K: the loss's slope for the total input of each unit
    gradients: list[Tensor] = []  # by layer: weights, biases
    for k in reversed(range(len(model.layers))):
        gradients = [delta.T @ y[k], delta.sum(0), *gradients]  # (6)
        if k:
            delta = delta @ model.layers[k].weight * slope(y[k])  # (7), (5)
    return gradients


def optimizer_of(knobs: Knobs, model: MLP) -> torch.optim.Optimizer:
    weights, lr, decay = list(model.parameters()), knobs.lr, {"weight_decay": knobs.decay}
    return {
        "descent": lambda: torch.optim.SGD(weights, lr, knobs.momentum),  # (8), (9)
        "rprop": lambda: torch.optim.Rprop(weights, lr),  # Riedmiller & Braun 1993: the gradient's signs alone
        "sgd": lambda: torch.optim.SGD(weights, lr, **decay),
        "momentum": lambda: torch.optim.SGD(weights, lr, knobs.momentum, **decay),
        "adagrad": lambda: torch.optim.Adagrad(weights, lr, **decay),
        "rmsprop": lambda: torch.optim.RMSprop(weights, lr, **decay),
        "adam": lambda: torch.optim.Adam(weights, lr, fused=True, **decay),
    }[knobs.method]()


def downhill(model: MLP, batch: Any, decay: float) -> dict[str, Tensor]:
    """The terms of `loss`, and the norm of the gradient that is left in the weights, the pull towards 0 included."""
    model.zero_grad()
    terms = loss(model, batch)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    (terms["loss"] + decay / 2 * sum(weight.square().sum() for weight in weights)).backward()
    return {**terms, "gradient": nn.utils.get_total_norm([weight.grad for weight in weights])}


def descend(knobs: Knobs, model: MLP, data: Data[Any], run: Run) -> None:
    """Follow the whole training set's gradient until it is nearly 0; in float32, as a coarser one ends in noise."""
    everything, optimizer = whole(data.train), optimizer_of(knobs, model)
    for _ in run.steps(knobs.steps, model=model, optimizer=optimizer):
        terms = downhill(model, everything, knobs.decay)
        optimizer.step()
        run.log(**terms)
        if small := float(terms["gradient"]) < knobs.tolerance:
            run.enough()
        if small or run.every(max(1, knobs.steps // 40)):
            run.log(**{f"valid_{name}": value for name, value in evaluate(model, loss, data.valid).items()})


def train(knobs: Knobs, model: MLP, data: Data[Any], run: Run) -> None:
    if knobs.method in WHOLE:
        descend(knobs, model, data, run)
    else:
        fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
            optimizer=optimizer_of(knobs, model), schedule=cosine(knobs.steps), patience=knobs.patience)  # fmt: skip
    if side := data.facts.get("side"):
        run.show(filters=tiles(model.layers[0].weight[:64].view(-1, 1, side, side)))
    if knobs.pipelines and run.showing and not run.ended:
        run.seed("examples")  # the same whether it was resumed or not: dropout draws
        run.show(examples=by_examples(knobs, model, data, run.place))


def whole(source: Any) -> Any:
    return next(iter(source.sweep(len(source))))


def relearned(knobs: Knobs, facts: Facts, source: Held[Any]) -> MLP:
    """A net of these knobs, trained on the few examples of `source` by the same method, in few steps."""
    twin, n, steps = build(knobs, facts).to(source.place.device), len(source), knobs.steps
    twin.draw(keyed(source.place.seed, "relearned", n))
    optimizer, size, decay = optimizer_of(knobs, twin), n, knobs.decay
    if knobs.method not in WHOLE:
        size, steps, decay = min(knobs.batch, n), min(steps, 100 + 20 * n // knobs.batch), 0.0  # it is the optimiser's
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = knobs.lr * cosine(steps)(step)
        downhill(twin, source.batch(step, size), decay)
        optimizer.step()
    return twin


def by_examples(knobs: Knobs, model: MLP, data: Data[Any], place: Place) -> Curve:
    """The error on the validation set against the number of training examples: this net's and each pipeline's."""
    everything, over = whole(data.train), len(data.train)
    order = torch.randperm(over, generator=keyed(place.seed, "examples")).to(place.device)
    mixed, sizes = type(everything)(*(field[order] for field in everything)), [*(n for n in SIZES if n < over), over]
    parts = [Held(type(mixed)(*(field[:n] for field in mixed)), place, "", "train") for n in sizes[:-1]]
    nets = [*(relearned(knobs, data.facts, part) for part in parts), model]
    term, unit = ("error", "%") if "labels" in data.facts else ("mae", data.facts["target"])
    lines = {"this net": [evaluate(net, loss, data.valid)[term] for net in nets]}
    lines |= learning_curves(*task_of(data.facts), mixed, whole(data.valid), sizes)
    return Curve(sizes, lines, "training examples", f"validation {term}, {unit}", logx=True)


def judged(said: Tensor, target: Tensor, facts: Facts, source: Any, name: str = "", note: str = "") -> dict[str, Score]:
    """The scores of predictions; `name` ends their names."""
    gap, unit = said - target, facts.get("target", "")
    if "labels" in facts:
        return {f"error{name}": rate_score(int((gap != 0).sum()), len(gap), source, note=note)}
    return {f"mae{name}": mean_score(gap.abs(), unit, source, note=note),
            f"rmse{name}": mean_score(gap.square(), unit, source, root=True, note=note)}  # fmt: skip


def score(knobs: Knobs, model: MLP, data: Data[Any], place: Place) -> dict[str, Score]:
    answer, target = (field.cpu() for field in answers(model, data.test))
    rivals = compared(*task_of(data.facts), *whole(data.train), whole(data.test)[0]) if knobs.pipelines else {}
    note = 'standard pipelines beside it: pip install "milestones[tables]"' if knobs.pipelines and not rivals else ""
    scores = judged(answer.argmax(1) if "labels" in data.facts else answer, target, data.facts, data.test, note=note)
    for name, (words, said) in rivals.items():
        scores |= judged(torch.from_numpy(said), target, data.facts, data.test, f"_{name}", words)
    return scores


def read(facts: Facts, items: Sequence[Media]) -> Labelled | Rows:
    want, words = (Row, "a row of a table") if facts["kind"] == "table" else (Image, "a picture")
    if wrong := [type(item).__name__.lower() for item in items if not isinstance(item, want)]:
        raise UserError(f"{words}, as this net learned from", f"a {wrong[0]}", "Pass what it was trained on", "mlp")
    none = torch.zeros(len(items), dtype=torch.long)
    return Rows(row_tensor(facts, items), none) if want is Row else Labelled(seen(facts, items), none)


def use(model: MLP, facts: Facts, items: Sequence[Media]) -> list[dict[str, Media]]:
    input, labels = read(facts, items)[0], facts.get("labels")
    answer = model(input)
    numbers = [Number(value, facts["target"]) for value in answer.tolist()] if not labels else []
    said = numbers or [Ranking.of(row, labels) for row in answer.softmax(1)]
    if facts["kind"] == "pictures":
        return [{"answer": one, "seen": Image(raw[0].numpy())} for one, raw in zip(said, input, strict=True)]
    unknown = [", ".join(unknown_categories(facts, [row])) for row in items]
    more = [{"never_seen": Text(new)} if new else {} for new in unknown]
    return [{"answer": one, **new} for one, new in zip(said, more, strict=True)]


def probe(model: MLP, batch: Labelled | Rows) -> Probe:
    """Pictures have grey levels 0 to 255; a table's numbers have no bounds."""
    bounds = (0.0, 255.0) if isinstance(batch, Labelled) else (-math.inf, math.inf)
    return Probe(batch[0].float(), *bounds, model, batch[1])


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(hidden=(100,), decay=0, activation="logistic", squared=True, method="descent", lr=0.03, steps=1500),
    "descent": Knobs(hidden=(100,), decay=0, activation="tanh", method="descent", lr=0.1, steps=300),
    "rprop": Knobs(hidden=(100,), decay=0, activation="tanh", method="rprop", lr=1e-3, steps=100),
    "table": Knobs(steps=300, batch=64, lr=2e-3, decay=1e-2),
    "deep": Knobs(hidden=(128,) * 6),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use,
                takes=(Image, Row), read=read, loss=loss, probe=probe)  # fmt: skip
