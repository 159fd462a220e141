"""A probabilistic circuit answers any question about its pictures or rows, exactly.

Paper       Poon & Domingos (2011), Sum-product networks: a new deep architecture, UAI, 337-346; Liu & Van den Broeck
            (2021), Tractable regularization of probabilistic circuits, NeurIPS 34 (hidden Chow-Liu trees).
Idea        a tree over the columns, learned from what they tell of each other (Chow & Liu 1968), with a hidden state
            beside each. Sums and products alone lead from the leaves to the root: so any columns can be summed out, and
            likelihoods, marginals, conditionals and samples are exact, in a pass up and a pass down.
Deviations  one circuit a class with one tree; expectation maximisation by small batches on running counts (Cappe &
            Moulines 2009); first states by clusters; the tree is learned from coarse levels of some thousand pictures.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.run import Run
from ..core.score import Score, mean_score, rate_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.kinds import kind
from ..data.likely import QUANTILES, bits_anew, quantiles, scored, verdict
from ..data.mixed import Mixed, coarse, gaps, mixed
from ..data.pictures import pictures, seen
from ..data.queried import drawn_anew, in_picture, in_row, strangest
from ..data.tables import unknown_categories
from ..media import Curve, Image, Media, Row, Text
from ..parts.ascent import Ascent
from ..parts.chow_liu import mutual_information, spanning_tree
from ..parts.circuit import Circuit
from ..parts.likelihood import Terms, bits
from ..parts.queries import expectation

LOOKED_AT, LEVELS, BINS = 4000, 3, 8  # for the tree: pictures, levels of grey; bins of a column of numbers
WEIGHTS = 2**28  # at most: a gigabyte
ABREAST = 100  # rows that are asked about at once
SHARES = (0, 25, 50, 75, 90)  # percent of a row that is hidden


class Knobs(Config):
    pixels: Literal["binary", "grey"] = Field(default="binary", description="bits drawn by the levels, or 256 levels")
    by_class: bool = Field(
        default=True, description="a circuit a class, with one tree; off: one alone, which names none"
    )
    states: int = Field(default=16, ge=1, le=512, description="hidden states of each column (and class)")
    method: Literal["em", "gradient"] = Field(default="em", description="learn by counts, or by Adam on slopes")
    steps: int = Field(default=250, ge=1, description="updates")
    batch: int = Field(default=500, ge=1, description="pictures or rows per update")
    lr: float = Field(default=0.3, gt=0, le=1, description="of em, the share of the counts that a batch replaces, at "
                      "first; it falls to a tenth. Of gradient, Adam's step size")  # fmt: skip
    smooth: float = Field(default=1e-3, gt=0, le=1, description="examples added to all counts, as a share of all")


class HCLT(nn.Module):
    """Hidden Chow-Liu trees. Takes pictures, or rows with NaN for gaps; log p(input, class) "B K". `usual`: quantiles
    of -log p of validation examples, kept for `use`."""

    usual: Tensor

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        self.binary, self.pictured = knobs.pixels == "binary", facts["kind"] == "pictures"
        sizes = facts.get("sizes") or [2 if self.binary else 256] * facts["side"] ** 2
        classes = len(facts.get("labels", ())) if knobs.by_class else 0
        self.circuit = Circuit(facts["parent"], sizes, knobs.states, classes or 1, knobs.smooth,
                               facts.get("centre", ()), facts.get("width", ()))  # fmt: skip
        self.register_buffer("usual", torch.zeros(QUANTILES))

    def rows(self, input: Tensor) -> Float[Tensor, "B C"]:
        """What the circuit is asked about: levels, or bits fixed by the picture; rows as they are."""
        if not self.pictured or input.is_floating_point():
            return input.flatten(1)
        return (bits(input) if self.binary else input.float()).flatten(1)

    def forward(self, input: Tensor) -> Float[Tensor, "B K"]:
        return self.circuit(self.rows(input))

    @torch.no_grad()
    def through_noise(self) -> HCLT:
        """The same circuit over bits: a bit is on with the chance level / 255, so its chance, too, is exact."""
        twin = object.__new__(HCLT)
        nn.Module.__init__(twin)
        own, count = self.circuit, len(self.circuit.order)
        parent = [-1] * count
        for place, up in enumerate(own.above.tolist()):
            parent[int(own.order[place])] = int(own.order[up]) if up >= 0 else -1
        binary = Circuit(parent, [2] * count, own.states, own.classes, own.smooth).to(own.root)
        for name, chance in (("prior", own.shares(own.prior)), ("root", own.shares(own.root, each=own.states)),
                             ("transition", own.transitions())):  # fmt: skip
            getattr(binary, name).copy_(chance)
        on = torch.einsum("vksh,s->vkh", own.categories(), torch.arange(256).to(own.root) / 255)
        binary.smooth = 0.0
        binary.category.copy_(torch.stack([1 - on, on], 2))
        twin.binary, twin.pictured, twin.circuit = True, True, binary
        return twin


def prepare(knobs: Knobs, place: Place) -> Data[Any]:
    if place.choice.data and kind(place.choice.data) == "table":
        data: Data[Any] = mixed(place)
        rows = next(iter(data.train.sweep(LOOKED_AT))).value
        code, sizes = coarse(rows, data.facts["sizes"], BINS)
    else:
        data = pictures(place, default="digits", side=28, augment=bits_anew if knobs.pixels == "binary" else None)
        code = next(iter(data.train.sweep(LOOKED_AT))).image.flatten(1).long() * LEVELS // 256
        sizes = [LEVELS] * code.shape[1]
    return data._replace(facts={**data.facts, "parent": spanning_tree(mutual_information(code, sizes))})


def build(knobs: Knobs, facts: Facts) -> HCLT:
    classes = len(facts.get("labels", ())) if knobs.by_class else 1
    most = max(facts["sizes"]) if "sizes" in facts else 2 if knobs.pixels == "binary" else 256
    weights = len(facts["parent"]) * max(classes, 1) * knobs.states * (most + knobs.states)
    if weights > WEIGHTS:
        do = "Take fewer states, or by_class false"
        raise UserError(f"at most {WEIGHTS:,} weights", f"{weights:,}", do, "circuit")
    return HCLT(knobs, facts)


def train(knobs: Knobs, model: HCLT, data: Data[Any], run: Run) -> None:
    circuit = model.circuit
    first = data.train.batch(0, min(len(data.train), 4 * knobs.batch, 4000))
    circuit.begin(
        model.rows(first[0]),
        first[1] if circuit.classes > 1 else None,
        keyed(run.place.seed, "begin"),
        levels=model.pictured and not model.binary,
    )
    free = Ascent(circuit) if knobs.method == "gradient" else None
    optimizer = torch.optim.Adam(free.parameters(), knobs.lr) if free else None
    kept = {"model": model} | ({"free": free, "optimizer": optimizer} if free else {})
    for step in run.steps(knobs.steps, **kept):
        batch = data.train.batch(step, knobs.batch)
        row, label = model.rows(batch[0]), batch[1] if circuit.classes > 1 else None
        if free and optimizer:
            nats = free.slopes(circuit, row, label)
            optimizer.step()
            free.write(circuit)
        else:
            nats = circuit.learn(row, label, knobs.lr * (1 - 0.9 * step / knobs.steps))
        run.log(loss=nats)
        if run.every(max(1, knobs.steps // 5)):
            run.log(valid_loss=likelihood(model, data.valid, 500).mean())
    model.usual.copy_(quantiles(likelihood(model, data.valid, 1000)))
    if run.showing and not run.ended:
        run.show(**shown(model.eval(), data, run.place.seed))


@torch.no_grad()
def likelihood(model: HCLT, source: Any, most: int = 0) -> Float[Tensor, "N"]:
    """-log p of each example, or of the first `most`, in nats, the class summed out."""
    found = []
    for batch in source.sweep(ABREAST):
        found.append(-model(batch[0]).logsumexp(1))
        if most and len(found) * ABREAST >= most:
            break
    return torch.cat(found)


def hidden(row: Float[Tensor, "B C"], percent: int, seed: int) -> Float[Tensor, "B C"]:
    """The rows with `percent` of their columns hidden, drawn for each."""
    gone = torch.rand(row.shape, generator=keyed(seed, "hidden", len(row))).to(row.device) < percent / 100
    return row.masked_fill(gone, math.nan)


@torch.no_grad()
def wrong(model: HCLT, source: Any, percent: int, most: int = 0) -> tuple[int, int]:
    """How many examples get another class than theirs with `percent` of them hidden, and of how many."""
    missed = over = 0
    for number, batch in enumerate(source.sweep(ABREAST)):
        joint = model.circuit(hidden(model.rows(batch[0]), percent, number))
        missed, over = missed + int((joint.argmax(1) != batch[1]).sum()), over + len(joint)
        if most and over >= most:
            break
    return missed, over


def shown(model: HCLT, data: Data[Any], seed: int) -> dict[str, Any]:
    """Drawn by chance, not chosen: new pictures and completions; or the strangest rows of a table. And the errors with
    so much hidden."""
    found: dict[str, Any] = {}
    if model.circuit.classes > 1:
        rates = [wrong(model, data.valid, percent, 300) for percent in SHARES]
        lines = {"circuits by Bayes": [100 * a / b for a, b in rates]}
        found["hidden"] = Curve(list(SHARES), lines, "% of a picture or row hidden", "error, %")
    if not model.pictured:
        return {**found, "strangest": strangest(model.circuit, next(iter(data.valid.sweep(1000))).value, data.facts)}
    row = model.rows(data.valid.batch(0, min(6, len(data.valid)))[0])
    return {**found, **drawn_anew(model.circuit, row, keyed(seed, "shown"))}


def score(knobs: Knobs, model: HCLT, data: Data[Any], place: Place) -> dict[str, Score]:
    found: dict[str, Score] = {}
    if model.pictured:
        published = {"paper": 3.34, "paper_data": "Fashion-MNIST test, 60,000 training images"}
        if not model.binary:
            nats = likelihood(model, data.test)
            found |= scored(nats, data.test, Terms("8-bit", exact=True), data.facts["side"] ** 2, **published)
        seer = model if model.binary else model.through_noise()
        found |= scored(likelihood(seer, data.test), data.test, Terms("binary", exact=True), data.facts["side"] ** 2)
    else:
        nats = likelihood(model, data.test).double()
        half = 1.96 * float(nats.std()) / math.sqrt(len(nats)) if len(nats) > 1 else 0.0
        note = "a row; densities of numbers in their own units; exact"
        mean, source = float(nats.mean()), data.test
        found["nll"] = Score(mean, mean - half, mean + half, "nats", "lower", source.name, source.split, len(nats),
                             note=note)  # fmt: skip
    if model.circuit.classes > 1:
        found["error"] = rate_score(*wrong(model, data.test, 0), data.test)
        note = "half of the columns of each, drawn by lot, hidden and summed out"
        found["error_half"] = rate_score(*wrong(model, data.test, 50), data.test, note=note)
    if not model.pictured and "labels" not in data.facts:
        value = next(iter(data.test.sweep(len(data.test)))).value
        asked = value.clone()
        asked[:, -1] = math.nan
        gap = expectation(model.circuit, asked)[:, -1] - value[:, -1]
        found["mae"] = mean_score(gap.abs(), data.facts["target"], data.test)
    return found


def read(facts: Facts, items: Sequence[Media]) -> Labelled | Mixed:
    want, words = (Row, "a row of a table") if facts["kind"] == "table" else (Image, "a picture")
    if other := [type(item).__name__.lower() for item in items if not isinstance(item, want)]:
        raise UserError(f"{words}, as these circuits learned from", other[0], "Pass what it was trained on",
                        "circuit")  # fmt: skip
    none = torch.zeros(len(items), dtype=torch.long)
    return Mixed(gaps(facts, items), none) if want is Row else Labelled(seen(facts, items), none)


def use(model: HCLT, facts: Facts, items: Sequence[Media], *,
        hide: Annotated[Literal["bottom", "top", "left", "right"], "half of a picture that is completed"] = "bottom",
        samples: Annotated[int, "completions drawn"] = 4,
        seed: Annotated[int, "of what is drawn"] = 0) -> list[dict[str, Media]]:  # fmt: skip
    if not 0 <= samples <= 100:
        raise UserError("from 0 to 100 completions", str(samples), "Ask again with another seed", "circuit")
    found: list[dict[str, Media]] = []
    for input, item in zip(read(facts, items)[0], items, strict=True):  # alone: so no answer hangs on its neighbours
        row = model.rows(input[None])
        if model.pictured:
            how = Terms("binary" if model.binary else "8-bit", exact=True)
            strange = verdict(-model(input[None]).logsumexp(1), model.usual, how)[0]
            answer = in_picture(model.circuit, row, facts, hide, samples, keyed(seed, "completed"))
            found.append({**answer, **{name: value for name, value in strange.items() if name != "answer"},
                          "seen": Image.of(input)})  # fmt: skip
        else:
            new = ", ".join(unknown_categories(facts, [item]))
            answer = in_row(model.circuit, row, facts, model.usual, samples, keyed(seed, "completed"))
            found.append(answer | ({"never_seen": Text(new)} if new else {}))
    return found


PRESETS = {
    "quick": Knobs(),
    "grey": Knobs(pixels="grey", by_class=False, states=32, steps=120, smooth=1e-2),
    "gradient": Knobs(method="gradient", lr=0.05),
    "table": Knobs(states=4, steps=200, batch=256, smooth=1e-2),
    "fashion": Knobs(pixels="grey", by_class=False, states=32, steps=1500, smooth=3e-3),  # for --data fashion
    "paper": Knobs(pixels="grey", by_class=False, states=128, steps=12_000, smooth=3e-3),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image, Row), read=read)
