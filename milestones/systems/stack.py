"""A recurrent net with rational weights is a machine with stacks: set by hand it does what no trained one finds.

Paper       Siegelmann & Sontag (1995), On the computational power of neural nets, Journal of Computer and System
            Sciences 50(1), 132-150.
Idea        a stack of any depth fits into one number between 0 and 1: its digits are the stack. To push, to pop and to
            read the top are slopes and shifts, with a clamp to 0..1 as the only nonlinearity. Two stacks and a few
            states are a Turing machine, so one fixed net can be any program. The price is precision: two bits a
            bracket, more than a float has.
Deviations  nine units tell balanced brackets, one tick a bracket; whole Turing machines are compiled to three ticks a
            step (the paper needs four, or one with more work). Beside them nets that learn the same brackets: an LSTM,
            and a net of the hand-set kind.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import System
from ..data.brackets import LABELS, Strings, brackets, strings
from ..media import Curve, Heat, Listing, Media, Number, Text, history
from ..parts import stack

EXAMPLE = "([()[[]]])[(]()"  # shown: balanced until the second [, broken by the ] after it
MOST_DEPTH = 60  # brackets: beyond what any float holds
LONGER, DEEPEST = 5, 24  # times as many brackets as in training; no deeper than float64 holds
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
LONGEST = {"brackets": 400, "successor": 60, "abc": 30, "palindrome": 24}  # symbols that `use` reads


class Knobs(Config):
    pairs: int = Field(default=10, ge=2, le=15, description="pairs of brackets in a string to learn from")
    examples: int = Field(default=20_000, ge=10, le=200_000, description="strings to learn from")
    hidden: int = Field(default=48, ge=1, le=1024, description="units of each net that learns")
    steps: int = Field(default=2000, ge=1, description="optimiser updates of each")
    batch: int = Field(default=64, ge=1, description="strings per update")
    lr: float = Field(default=5e-3, gt=0, description="Adam's step size at its peak")


class Lstm(nn.Module):
    """Reads brackets with gates and a cell, and says after each what the string so far is."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.unit, self.out = nn.LSTM(4, hidden, batch_first=True), nn.Linear(hidden, 3)

    def forward(self, token: Int[Tensor, "B T"]) -> Float[Tensor, "B T 3"]:
        return self.out(self.unit(F.one_hot(token, 4).float())[0])


class Clamped(nn.Module):
    """The hand-set net's kind, its weights to be learned: x' = clamp(W x + U u + b, 0, 1), and a linear reader."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.recurrent, self.inward = nn.Linear(hidden, hidden), nn.Linear(4, hidden, bias=False)
        self.out = nn.Linear(hidden, 3)
        nn.init.orthogonal_(self.recurrent.weight)  # signals keep their size over many ticks
        nn.init.constant_(self.recurrent.bias, 0.2)

    def forward(self, token: Int[Tensor, "B T"]) -> Float[Tensor, "B T 3"]:
        into, x, found = self.inward(F.one_hot(token, 4).float()), None, []
        for u in into.unbind(1):
            x = (u + (self.recurrent.bias if x is None else self.recurrent(x))).clamp(0, 1)
            found.append(x)
        return self.out(torch.stack(found, 1))


class Nets(nn.Module):
    """The nets that learn, by name; what is set by hand has no parameters."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.of = nn.ModuleDict({"lstm": Lstm(hidden), "clamped": Clamped(hidden)})


def prepare(knobs: Knobs, place: Place) -> Data[Strings]:
    return brackets(place, knobs.pairs, knobs.examples)


def build(knobs: Knobs, facts: Facts) -> Nets:
    return Nets(knobs.hidden)


def loss_of(net: nn.Module, batch: Strings) -> dict[str, Tensor]:
    """Cross-entropy in nats, mean over all beginnings of the strings; errors are of whole strings."""
    said = net(batch.token)
    wrong = said[:, -1].argmax(-1) != batch.verdict[:, -1]
    return {"loss": F.cross_entropy(said.flatten(0, 1), batch.verdict.flatten()), "error": 100 * wrong.float().mean()}


def loss(model: Nets, batch: Strings) -> dict[str, Tensor]:
    """The mean over both nets."""
    each = [loss_of(net, batch) for net in model.of.values()]
    return {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}


def train(knobs: Knobs, model: Nets, data: Data[Strings], run: Run) -> None:
    for name, net in model.of.items():
        fit(net, loss_of, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=1.0,
            optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
            stage=name)  # fmt: skip
    if run.showing and not run.ended:
        titles = {name: name for name in model.of}
        learning = history(run.folder, titles, "valid_error", "updates", "validation strings that are wrong, %")
        run.show(learning=learning, lengths=by_length(knobs, model, run.place), **shown())


def longer(knobs: Knobs, place: Place, split: str, times: int = LONGER) -> Held[Strings]:
    """Strings of so many times as many brackets."""
    pairs = times * knobs.pairs
    drawn = strings(2000, pairs, keyed("longer", split, times), DEEPEST)
    return Held(drawn, place, f"strings of {2 * pairs} brackets, at most {DEEPEST} deep", split)


@torch.no_grad()
def missed(say: Any, source: Any) -> Tensor:
    """Which strings `say`, from tokens to the number of a verdict for each beginning, gets wrong at their end."""
    parts = [say(batch.token)[:, -1] != batch.verdict[:, -1] for batch in source.sweep(500)]
    return torch.cat(parts).cpu()


def sayers(model: Nets) -> dict[str, Any]:
    """By name, what says a verdict for each beginning of strings "B T"; first the net set by hand, in float64."""
    net = stack.brackets()
    found: dict[str, Any] = {"by hand": lambda token: stack.verdicts(net, token, torch.float64)}
    return found | {name: lambda token, net=net: net(token).argmax(-1) for name, net in model.of.items()}


def by_length(knobs: Knobs, model: Nets, place: Place) -> Curve:
    """The errors of each net on longer and longer strings."""
    times, found = range(1, LONGER + 2), sayers(model)
    sources = [longer(knobs, place, "valid", n) for n in times]
    lines = {name: [100 * float(missed(say, source).double().mean()) for source in sources]
             for name, say in found.items()}  # fmt: skip
    return Curve([2 * n * knobs.pairs for n in times], lines, "brackets", "strings that are wrong, %")


def nested(depth: int, spoiled: bool) -> Int[Tensor, "B T"]:
    """Brackets of one kind, of the other, and of both at random, so deep; or with the last one of the wrong kind."""
    kind = torch.randint(0, 2, (32, depth), generator=keyed("nested", depth))
    kind[0], kind[1] = 0, 1
    close = 2 + kind.flip(1)
    if spoiled:
        close[:, -1] = 5 - close[:, -1]
    return torch.cat([kind, close], 1)


def deepest(dtype: torch.dtype) -> int:
    """How deep brackets may be nested so that the net set by hand still tells all of them, reckoned in `dtype`."""
    net = stack.brackets()
    for depth in range(1, MOST_DEPTH + 1):
        for spoiled, true in ((False, stack.BALANCED), (True, stack.BROKEN)):
            if (stack.verdicts(net, nested(depth, spoiled), dtype)[:, -1] != true).any():
                return depth - 1
    return MOST_DEPTH


def shown() -> dict[str, Media]:
    """The weights of the net set by hand; its stack along a string; what each precision holds; compiled machines."""
    net = stack.brackets()
    recurrent, inward, bias = stack.matrices(net, torch.float64)
    whole = torch.cat([recurrent, inward, bias[:, None]], 1).numpy()
    depths = [[name, f"{torch.finfo(dtype).bits} bits", deepest(dtype)] for name, dtype in PRECISIONS.items()]
    machines = [[name, len(machine.rules), len(stack.compiled(machine).units)]
                for name, machine in stack.MACHINES.items()]  # fmt: skip
    return {
        "weights": Heat(whole, [*net.units], [*net.units, *net.inputs, "bias"], "unit", "what it adds up"),
        "stack": Curve(*along(EXAMPLE)), "states": Listing(["bracket", "stack", "in base 4", "so far"], steps(EXAMPLE)),
        "precision": Listing(["reckoned in", "size", "brackets deep"], [*depths, ["fractions", "any", "any"]]),
        "machines": Listing(["Turing machine", "rules", "units of its net"], machines),
    }  # fmt: skip


def along(text: str) -> tuple[Any, ...]:
    """The stack's number, exactly, after each bracket: x, lines and their names for a Curve."""
    numbers = [float(stack.stack_of(x)) for x in stack.exactly(stack.brackets(), text)][:-1]
    return [*range(len(text) + 1)], {"the stack's number": [0.0, *numbers]}, "brackets read", "number"


def steps(text: str) -> list[list[str | float | None]]:
    """A row for each bracket: the stack's number as a fraction and in base 4, and what the string is then."""
    found: list[list[str | float | None]] = []
    states = list(stack.exactly(stack.brackets(), text))
    for symbol, x, after in zip(text, states, states[1:], strict=False):
        number, said = stack.stack_of(x), stack.verdict_of(after)
        digits = "" if said == stack.BROKEN else stack.decoded(number, stack.OPEN)
        code = "".join("13"[stack.OPEN.index(one)] for one in digits)
        found.append([symbol, str(number), f"0.{code or 0}" if said != stack.BROKEN else "-", LABELS[said]])
    return found


def score(knobs: Knobs, model: Nets, data: Data[Strings], place: Place) -> dict[str, Score]:
    scores, far = {}, longer(knobs, place, "test")
    for name, say in sayers(model).items():
        note, title = "nine units set by hand, in float64" if name == "by hand" else f"the {name} net", f"{name}_"
        for source, word in ((data.test, ""), (far, "longer_")):
            wrong = missed(say, source)
            which = f"{'' if name == 'by hand' else title}{word}error"
            scores[which] = rate_score(int(wrong.sum()), len(wrong), source, note=note)
    for name, dtype in PRECISIONS.items():
        depth, what = deepest(dtype), "nested brackets, of one kind and of both"
        scores[f"depth_{name}"] = Score(depth, depth, depth, "brackets", "higher", what, "test", 64 * (depth + 1),
                                        note="set by hand; exact fractions have no limit")  # fmt: skip
    return scores


def checked(text: str, machine: str) -> str:
    """The text without blanks. UserError: other symbols than the machine reads, or too many."""
    letters = stack.BRACKETS if machine == "brackets" else "abc" if machine == "abc" else "01"
    word, most = "".join(text.split()), LONGEST[machine]
    if set(word) - set(letters) or not 1 <= len(word) <= most:
        got, do = repr(text[:60]), f"Write it of {' '.join(letters)} alone, or name another --machine"
        raise UserError(f"1 to {most} symbols {' '.join(letters)} for the machine {machine}", got, do, "stack")
    return word


def use(model: Nets, facts: Facts, texts: Sequence[Text], *,
        machine: Annotated[Literal["brackets", "successor", "abc", "palindrome"], "what the net is: it tells balanced "
                           "brackets, adds one in base two, tells a^n b^n c^n, or palindromes"] = "brackets",
        ) -> list[dict[str, Any]]:  # fmt: skip
    words = [checked(item.text, machine) for item in texts]
    return [told(model, word) if machine == "brackets" else computed(word, machine) for word in words]


def told(model: Nets, word: str) -> dict[str, Any]:
    """What the net set by hand says of a string, exactly and in floats, and what the nets say that learned."""
    token = torch.tensor([[stack.BRACKETS.index(one) for one in word]])
    net = stack.brackets()
    floats = {name: int(stack.verdicts(net, token, dtype)[0, -1]) for name, dtype in PRECISIONS.items()}
    learned = {name: int(one(token)[0, -1].argmax()) for name, one in model.of.items()}
    said = {name: Text(LABELS[verdict]) for name, verdict in (floats | learned).items()}
    table = {"states": Listing(["bracket", "stack", "in base 4", "so far"], steps(word))} if len(word) <= 40 else {}
    return {"answer": Text(LABELS[stack.verdict_exactly(net, word)]), **said, "stack": Curve(*along(word)), **table}


def computed(word: str, name: str) -> dict[str, Any]:
    """What the net of a Turing machine makes of a word, in exact fractions."""
    machine = stack.MACHINES[name]
    end = stack.run(machine, word)
    assert end is not None, "long enough for all inputs that are taken"
    lines = {
        side: [float(number) for number in numbers]
        for side, numbers in (("left of the head", end.left), ("from the head on", end.right))
    }
    return {"answer": Text(end.state if end.state in ("yes", "no") else end.tape), "steps": Number(end.steps, "steps"),
            "ticks": Number(3 * end.steps, "ticks of the net"),
            "units": Number(len(stack.compiled(machine).units), "units"),
            "tape": Curve([*range(end.steps + 1)], lines, "steps", "the two stacks")}  # fmt: skip


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(pairs=15, examples=100_000, hidden=128, steps=10_000),  # of the nets that learn; it has none
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), loss=loss)
