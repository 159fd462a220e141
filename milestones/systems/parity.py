"""Parity: what a small shallow net does not learn, and depth or recurrence do; and formulas that are hard for all.

Paper       Minsky & Papert (1969), Perceptrons, on parity and its order; Shalev-Shwartz, Shamir & Shammah (2017),
            Failures of gradient-based deep learning, ICML; Mitchell, Selman & Levesque (1992), Hard and easy
            distributions of SAT problems, AAAI.
Idea        whether the number of ones is odd depends on every bit at once. n threshold units in one layer can tell it,
            yet no gradient leads there. A net that takes one bit at a time needs two states, one that joins pairs of
            bits in a tree log n layers, and short strings teach both what long ones need.
Deviations  gated units (Cho et al. 2014) for both, chain and tree; the training strings are mostly short, for all nets.
            Task cnf: is a random formula of clauses of three literals satisfiable? Half of them are, all of one size.
Result      not measured yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, evaluate, fit
from ..core.run import Run
from ..core.score import Score, error_score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import System
from ..data.formulas import formulas, satisfiable
from ..media import Ranking, Text, history
from ..parts.metrics import error_rate

NETS = ("recurrent", "deep", "shallow", "counts")  # the first one's error is the page's


class Knobs(Config):
    task: Literal["parity", "cnf"] = Field(default="parity", description="odd or even; or satisfiable or not")
    bits: int = Field(default=20, ge=8, le=60, description="bits of a string (parity)")
    variables: int = Field(default=10, ge=3, le=14, description="variables of a formula (cnf)")
    clauses: int = Field(default=50, ge=1, le=400, description="clauses of a formula (cnf)")
    examples: int = Field(default=100000, ge=10, le=500000, description="strings or formulas to learn from")
    short: float = Field(default=3.0, ge=0, le=10, description="how much shorter most training strings are: 0, all "
                         "have all bits (parity)")  # fmt: skip
    width: int = Field(default=24, ge=1, le=1024, description="units of a state of the chain and the tree")
    hidden: int = Field(default=100, ge=1, le=10000, description="units of the shallow net")
    steps: int = Field(default=2000, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=128, ge=1, description="examples per update")
    lr: float = Field(default=5e-3, gt=0, description="Adam's step size at its peak")


class Strings(NamedTuple):
    """Rows of what is read one after the other: bits (D is 1), or clauses with 1 or -1 at their three variables."""

    input: Tensor  # B T D int8
    label: Tensor  # B int64


class Chain(nn.Module):
    """Reads one element at a time: depth that grows with the string."""

    def __init__(self, length: int, d: int, width: int) -> None:
        super().__init__()
        self.unit = nn.GRU(d, width, batch_first=True)
        self.out = nn.Linear(width, 2)

    def forward(self, input: Int[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        return self.out(self.unit(input.float())[0][:, -1])


class Tree(nn.Module):
    """Joins pairs of neighbours, then pairs of pairs: log2 T layers with the same weights."""

    def __init__(self, length: int, d: int, width: int) -> None:
        super().__init__()
        self.leaf, self.unit, self.out = nn.Linear(d, width), nn.GRUCell(width, width), nn.Linear(width, 2)

    def forward(self, input: Int[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        missing = (1 << (input.shape[1] - 1).bit_length()) - input.shape[1]
        state = self.leaf(F.pad(input.float(), (0, 0, missing, 0))).tanh()  # B T D
        while state.shape[1] > 1:
            left, right = state[:, 0::2].flatten(0, 1), state[:, 1::2].flatten(0, 1)
            state = self.unit(left, right).unflatten(0, (len(input), -1))  # B T/2 D
        return self.out(state[:, 0])


class Shallow(nn.Module):
    """One layer of hidden units over the whole string."""

    def __init__(self, length: int, d: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(length * d, hidden), nn.Linear(hidden, 2)

    def forward(self, input: Int[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        return self.out(self.hidden(input.float().flatten(1)).relu())


class Counts(nn.Module):
    """The baseline: logistic regression on how often each element is 1 and -1, the balance of both without its sign;
    sorted, since names of variables mean nothing."""

    def __init__(self, length: int, d: int, width: int) -> None:
        super().__init__()
        self.scale, self.out = length, nn.Linear(2 * d, 2)

    def forward(self, input: Int[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        many, balance = input.abs().sum(1).sort(1).values, input.long().sum(1).abs().sort(1).values
        return self.out(torch.cat([many, balance], 1) / self.scale)


def by_hand(n: int) -> Shallow:
    """A net of `n` hidden units, its weights set by hand, that tells the parity of `n` bits: unit k is the part of the
    count above k, and the slopes of the sum turn up and down from one count to the next."""
    net = Shallow(n, 1, n)
    turns = torch.tensor([1.0] + [2.0 * (-1) ** k for k in range(1, n)])
    with torch.no_grad():
        net.hidden.weight.fill_(1.0)
        net.hidden.bias.copy_(-torch.arange(n).float())
        net.out.weight.copy_(torch.stack([torch.zeros(n), turns]))
        net.out.bias.copy_(torch.tensor([0.5, 0.0]))
    return net


def strings(rng: torch.Generator, count: int, length: int, short: float = 0.0) -> Strings:
    """Random strings, zeros before the short ones, and whether their number of ones is odd."""
    bits = torch.randint(0, 2, (count, length), generator=rng, dtype=torch.int8)
    if short:
        size = 2 + ((length - 1) * torch.rand(count, 1, generator=rng) ** short).floor()
        bits *= torch.arange(length) >= length - size
    return Strings(bits[..., None], bits.sum(1).long() % 2)


def of_parity(knobs: Knobs, place: Place) -> list[Strings]:
    """Strings to train on, mostly short, and long ones to validate and test on that are not among them."""
    n, rng = knobs.bits, keyed(place.seed, "strings")
    powers = 2 ** torch.arange(n - 1, -1, -1)
    most = min(4000, 2**n // 4)
    values = torch.randint(2 ** (n // 2), 2**n, (4 * most,), generator=rng)  # short ones are all for training
    values = values.unique()
    values = values[torch.randperm(len(values), generator=rng)][:most]
    bits = (values[:, None] // powers % 2).to(torch.int8)
    held = Strings(bits[..., None], bits.sum(1).long() % 2)
    drawn = strings(rng, 2 * knobs.examples, n, knobs.short)
    new = ~torch.isin((drawn.input[..., 0] * powers).sum(1), values)
    cuts = (slice(0, len(values) // 2), slice(len(values) // 2, None))
    return [Strings(*(field[new][: knobs.examples] for field in drawn)),
            *(Strings(*(field[cut] for field in held)) for cut in cuts)]  # fmt: skip


def of_cnf(knobs: Knobs, place: Place) -> list[Strings]:
    """Formulas of one size, half of them satisfiable."""
    rng, over = keyed(place.seed, "formulas"), min(4000, knobs.examples)
    found = formulas(knobs.variables, knobs.clauses, knobs.examples + over, rng)
    ends = (0, knobs.examples, knobs.examples + over // 2, knobs.examples + over)
    return [Strings(*(field[a:b] for field in found)) for a, b in pairwise(ends)]


def prepare(knobs: Knobs, place: Place) -> Data[Strings]:
    if place.choice.data:
        raise UserError("no --data: parity makes its own strings", repr(place.choice.data), "Leave it out", "parity")
    if knobs.task == "parity":
        parts, labels = of_parity(knobs, place), ["even", "odd"]
        name, note = f"random strings of {knobs.bits} bits", "training strings are mostly shorter" * (knobs.short > 0)
    else:
        parts, labels = of_cnf(knobs, place), ["unsatisfiable", "satisfiable"]
        name = f"random formulas of {knobs.clauses} clauses on {knobs.variables} variables"
        note = "as many satisfiable as not, all of one size: neither the labels nor the size tell anything"
    name += " (made for this run)"
    shifted = knobs.task == "parity" and knobs.short > 0  # by design: no fault for the doctor to find
    train, valid, test = (Held(part, place, name, split)
                          for part, split in zip(parts, ("train", "valid", "test"), strict=True))  # fmt: skip
    counts = {"train": len(train), "valid": len(valid), "test": len(test)}
    return Data(train, valid, test, {"kind": "text", "task": knobs.task, "labels": labels,
                                     "shape": list(parts[0].input.shape[1:]),
                                     "data": {"name": name, **counts, "note": note, "shifted": shifted,
                                              "hard": True}})  # one of the nets stays at chance  # fmt: skip


class Nets(nn.Module):
    """All nets, by name."""

    def __init__(self, length: int, d: int, width: int, hidden: int) -> None:
        super().__init__()
        self.of = nn.ModuleDict({"recurrent": Chain(length, d, width), "deep": Tree(length, d, width),
                                 "shallow": Shallow(length, d, hidden), "counts": Counts(length, d, 0)})  # fmt: skip


def build(knobs: Knobs, facts: Facts) -> Nets:
    return Nets(*facts["shape"], knobs.width, knobs.hidden)


def loss_of(net: nn.Module, batch: Strings) -> dict[str, Tensor]:
    """Cross-entropy in nats, mean over the batch, of one net."""
    logits = net(batch.input)
    return {"loss": F.cross_entropy(logits, batch.label), "error": error_rate(logits, batch.label)}


def loss(model: Nets, batch: Strings) -> dict[str, Tensor]:
    """The mean over all nets."""
    each = [loss_of(net, batch) for net in model.of.values()]
    return {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}


def train(knobs: Knobs, model: Nets, data: Data[Strings], run: Run) -> None:
    for name, net in model.of.items():
        fit(net, loss_of, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=1.0,
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
            stage=name)  # fmt: skip
    run.show(learning=history(run.folder, {n: n for n in NETS}, "valid_error", "updates", "validation error, %"),
             nets=compared(knobs, model, data, run.place))  # fmt: skip


def longer(knobs: Knobs, place: Place, split: str) -> Held[Strings]:
    """Strings of twice as many bits."""
    drawn = strings(keyed(place.seed, "longer", split), 2000, 2 * knobs.bits)
    return Held(drawn, place, f"random strings of {2 * knobs.bits} bits (made for this run)", split)


def compared(knobs: Knobs, model: Nets, data: Data[Strings], place: Place) -> Text:
    """Each net's size, and its error on what it learned from, on new strings and on longer ones."""
    rows = [f"{'net':10}{'weights':>8}{'training':>10}{'validation':>12}" + f"{'longer':>9}" * (knobs.task == "parity")]
    for name, net in model.of.items():
        errors = [evaluate(net, loss_of, part)["error"] for part in (data.train, data.valid)]
        row = f"{name:10}{sum(p.numel() for p in net.parameters()):8,}{errors[0]:8.1f} %{errors[1]:10.1f} %"
        if knobs.task == "parity":
            any_length = name in ("recurrent", "deep")
            found = evaluate(net, loss_of, longer(knobs, place, "valid"))["error"] if any_length else 0.0
            row += f"{found:7.1f} %" if any_length else f"{'-':>9}"
        rows.append(row)
    if knobs.task == "parity":
        wrong = evaluate(by_hand(knobs.bits).to(place.device), loss_of, data.valid)["error"]
        rows.append(f"\n{knobs.bits} hidden units set by hand: {wrong:.1f} % wrong")
    return Text("\n".join(rows))


def score(knobs: Knobs, model: Nets, data: Data[Strings], place: Place) -> dict[str, Score]:
    scores = {"error" if name == NETS[0] else f"{name}_error": error_score(net, data.test, note=f"the {name} net")
              for name, net in model.of.items()}  # fmt: skip
    if knobs.task == "parity":
        for name in ("recurrent", "deep"):
            note = f"the {name} net on strings twice as long"
            title = "longer_error" if name == NETS[0] else f"{name}_longer_error"
            scores[title] = error_score(model.of[name], longer(knobs, place, "test"), note=note)
    return scores


def parsed(facts: Facts, text: str) -> Tensor:
    """A string of bits, or a formula as ``1 -2 3, 2 -4 5``, as "T D". UserError: anything else."""
    length, d = facts["shape"]
    if facts["task"] == "parity":
        bits = "".join(text.split())
        if not bits or set(bits) - set("01") or len(bits) > 1000:
            raise UserError("a string of up to 1,000 digits 0 and 1", repr(text[:60]), "Write it as 10110", "parity")
        return torch.tensor([[int(bit)] for bit in bits], dtype=torch.int8)
    rows = torch.zeros(length, d, dtype=torch.int8)
    clauses = text.split(",")
    for k, words in enumerate(clause.split() for clause in clauses):
        numbers = [int(word) if re.fullmatch(r"-?[0-9]{1,3}", word) else 0 for word in words]
        names = {abs(number) for number in numbers}
        if len(numbers) != 3 or len(names) != 3 or min(names) < 1 or max(names) > d or len(clauses) > length:
            expected = f"up to {length} clauses, each of three different variables from 1 to {d}"
            do = "Write clauses as 1 -2 3, 2 -4 5: -2 is 'not 2'"
            raise UserError(expected, repr(clauses[k][:60]), do, "parity")
        for number in numbers:
            rows[k, abs(number) - 1] = 1 if number > 0 else -1
    return rows


def use(model: Nets, facts: Facts, inputs: Sequence[Text]) -> list[dict[str, Any]]:
    answers = []
    for rows in [parsed(facts, item.text) for item in inputs]:
        short = facts["shape"][0] - len(rows)
        filled = F.pad(rows, (0, 0, max(0, short), 0))[None]
        said = {name: Ranking.of(net(filled).softmax(-1)[0], facts["labels"]) if short >= 0 or name in NETS[:2]
                else Text("reads no string as long as this") for name, net in model.of.items()}  # fmt: skip
        true = int(rows.sum()) % 2 if facts["task"] == "parity" else satisfiable(rows.numpy())
        answers.append({"answer": said.pop(NETS[0]), "truth": Text(facts["labels"][int(true)]), **said})
    return answers


def read(facts: Facts, inputs: Sequence[Text]) -> Strings:
    rows = [parsed(facts, item.text) for item in inputs]
    most = max(facts["shape"][0], *map(len, rows))
    filled = torch.stack([F.pad(one, (0, 0, most - len(one), 0)) for one in rows])
    return Strings(filled, torch.zeros(len(rows), dtype=torch.long))


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(bits=30, steps=5000, hidden=300),
    "cnf": Knobs(task="cnf", examples=20000, steps=1000, lr=3e-3),
    "long": Knobs(short=0.0),  # no short strings: nothing is learned
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), read=read, loss=loss)
