"""Adding numbers in Roman against Arabic numerals: the same net, the same sums, another way to write them.

Paper       The lecture's example; Minsky (1961), Steps toward artificial intelligence, Proceedings of the IRE 49(1),
            8-30, on how much a problem's difficulty depends on its representation.
Idea        two nets of equal size start from equal weights and see the same sums in the same order. One reads and
            writes 42+7=49, the other XLII+VII=XLIX. The representation alone decides what is learned.
Deviations  a net of fixed width: each number stands at the right end of a frame that is wide enough for both ways of
            writing, so that Arabic digits of equal place come to stand in equal columns (`align` left: they do not).
Result      not measured yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import System
from ..media import Text, history

SIGNS = " +0123456789IVXLCDM"  # one alphabet for both, so that both nets have the same weights to learn
STYLES = ("roman", "arabic")
ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
         (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip


class Knobs(Config):
    largest: int = Field(default=999, ge=9, le=1999, description="largest number to add: sums reach twice as much")
    examples: int = Field(default=20000, ge=10, le=200000, description="sums to learn from; no other order of one is "
                          "in the test set")  # fmt: skip
    subtractive: bool = Field(default=True, description="Roman 4 as IV; false: as IIII, the older way")
    align: Literal["right", "left"] = Field(default="right", description="the end of its frame where a number stands")
    hidden: int = Field(default=512, ge=1, le=8192, description="units of each of the two hidden layers")
    steps: int = Field(default=4000, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=128, ge=1, description="sums per update")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size at its peak")


class Sums(NamedTuple):
    """Two numbers and their sum as indices into SIGNS, written in both ways. Fields are in the order of STYLES."""

    roman: Tensor  # B T: first number, +, second number
    arabic: Tensor  # B T
    roman_sum: Tensor  # B S
    arabic_sum: Tensor  # B S


def numeral(number: int, style: str, subtractive: bool = True) -> str:
    """A number from 0 (nothing in Roman) in Roman or Arabic numerals."""
    if style == "arabic":
        return str(number)
    text = ""
    for value, letters in ROMAN:
        if subtractive or len(letters) == 1:
            text += letters * (number // value)
            number %= value
    return text


class Adder(nn.Module):
    """A net with two hidden layers. Takes the signs of two numbers, gives scores of SIGNS at each place of the sum."""

    def __init__(self, wide: int, answer: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(wide * len(SIGNS), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, answer * len(SIGNS)),
        )  # fmt: skip

    def forward(self, signs: Integer[Tensor, "B T"]) -> Float[Tensor, "B S K"]:
        return self.net(F.one_hot(signs, len(SIGNS)).float().flatten(1)).unflatten(1, (-1, len(SIGNS)))


class Adders(nn.Module):
    """An adder for each style, equal at first."""

    def __init__(self, wide: int, answer: int, hidden: int) -> None:
        super().__init__()
        self.of = nn.ModuleDict({style: Adder(wide, answer, hidden) for style in STYLES})
        self.of["arabic"].load_state_dict(self.of["roman"].state_dict())


class Writing(NamedTuple):
    """How numbers are written: what `use` needs of the settings."""

    largest: int
    subtractive: bool
    align: str
    frame: int  # signs of a number
    answer: int  # signs of a sum

    def numbers(self, style: str) -> list[str]:
        """The numerals of 0 to twice the largest number."""
        return [numeral(n, style, self.subtractive) for n in range(2 * self.largest + 1)]

    def signs(self, text: str, width: int) -> list[int]:
        """The text as indices, filled up with blanks."""
        filled = text.ljust(width) if self.align == "left" else text.rjust(width)
        return [SIGNS.index(sign) for sign in filled]

    def frames(self, style: str, pairs: Integer[Tensor, "B 2"]) -> tuple[Tensor, Tensor]:
        """Pairs of numbers in their frames with the + between, "B T", and their sums, "B S"."""
        written = self.numbers(style)
        number = torch.tensor([self.signs(text, self.frame) for text in written[: self.largest + 1]])
        answer = torch.tensor([self.signs(text, self.answer) for text in written])
        plus = torch.full((len(pairs), 1), SIGNS.index("+"))
        return torch.cat([number[pairs[:, 0]], plus, number[pairs[:, 1]]], 1), answer[pairs.sum(1)]


def prepare(knobs: Knobs, place: Place) -> Data[Sums]:
    if place.choice.data:
        raise UserError("no --data: roman makes its own sums", repr(place.choice.data), "Leave --data out", "roman")
    every = knobs.largest * (knobs.largest + 1) // 2  # pairs, their order left out
    fewer = min(4000, every // 4)
    least = min(knobs.examples, every - 2 * (fewer // 2))
    rng = keyed(place.seed, "sums")
    chosen = torch.randperm(every, generator=rng)[: least + fewer // 2 * 2]
    second = ((torch.sqrt(8.0 * chosen.double() + 1) - 1) / 2).long()  # row of a triangle of pairs
    second -= (second * (second + 1) // 2 > chosen).long()  # where the root was rounded up
    pairs = torch.stack([chosen - second * (second + 1) // 2 + 1, second + 1], 1)
    flip = torch.randint(0, 2, (len(pairs), 1), generator=rng).bool()
    pairs = torch.where(flip, pairs.flip(1), pairs)
    numerals = [numeral(n, style, knobs.subtractive) for style in STYLES for n in range(2 * knobs.largest + 1)]
    half = len(numerals) // 2
    frame = max(map(len, [*numerals[: knobs.largest + 1], *numerals[half : half + knobs.largest + 1]]))
    writing = Writing(knobs.largest, knobs.subtractive, knobs.align, frame, max(map(len, numerals)))
    (roman, roman_sum), (arabic, arabic_sum) = (writing.frames(style, pairs) for style in STYLES)
    everything = Sums(roman, arabic, roman_sum, arabic_sum)
    name = f"sums of numbers from 1 to {knobs.largest:,} (made for this run)"
    cuts = (slice(0, least), slice(least, least + fewer // 2), slice(least + fewer // 2, None))
    train, valid, test = (Held(Sums(*(field[cut] for field in everything)), place, name, split)
                          for cut, split in zip(cuts, ("train", "valid", "test"), strict=True))  # fmt: skip
    counts = {"train": len(train), "valid": len(valid), "test": len(test)}
    note = f"{100 * least / every:.2g} % of all pairs are learned from; no pair is in two sets, in either order"
    return Data(train, valid, test, {"kind": "text", "writing": writing._asdict(),
                                     "data": {"name": name, **counts, "note": note}})  # fmt: skip


def build(knobs: Knobs, facts: Facts) -> Adders:
    writing = Writing(**facts["writing"])
    return Adders(2 * writing.frame + 1, writing.answer, knobs.hidden)


def loss_in(style: str, adder: nn.Module, batch: Sums) -> dict[str, Tensor]:
    """Cross-entropy in nats of a sign, mean over the batch; `error`: percent of sums with a wrong sign."""
    k = STYLES.index(style)
    scores, target = adder(batch[k]), batch[k + 2]
    wrong = (scores.argmax(-1) != target).any(1)
    return {"loss": F.cross_entropy(scores.flatten(0, 1), target.flatten()), "error": 100 * wrong.float().mean()}


def loss(model: Adders, batch: Sums) -> dict[str, Tensor]:
    """The mean over both nets."""
    both = [loss_in(style, model.of[style], batch) for style in STYLES]
    return {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}


def train(knobs: Knobs, model: Adders, data: Data[Sums], run: Run) -> None:
    for style in STYLES:
        adder = model.of[style]
        fit(adder, partial(loss_in, style), data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
            optimizer=torch.optim.Adam(adder.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
            stage=style)  # fmt: skip
    titles = {"Roman": "roman", "Arabic": "arabic"}
    run.show(learning=history(run.folder, titles, "valid_error", "updates", "wrong validation sums, %"),
             sums=examples(model, data), where=by_carries(model, data))  # fmt: skip


def said(model: Adders, style: str, signs: Integer[Tensor, "B T"]) -> list[str]:
    """The sums that the net of a style writes."""
    return ["".join(SIGNS[i] for i in row).strip() for row in model.of[style](signs).argmax(-1).tolist()]


def texts(signs: Integer[Tensor, "B T"]) -> list[str]:
    """Rows of indices as text, without blanks."""
    return ["".join(SIGNS[i] for i in row).replace(" ", "") for row in signs.tolist()]


@torch.no_grad()
def examples(model: Adders, data: Data[Sums], count: int = 10) -> Text:
    """Some sums of the validation set, as both nets write them."""
    batch, rows = next(iter(data.valid.sweep(count))), []
    for k, style in enumerate(STYLES):
        answers = zip(texts(batch[k]), said(model, style, batch[k]), texts(batch[k + 2]), strict=True)
        rows += [f"{task} = {got}" + ("" if got == want else f", not {want}") for task, got, want in answers]
        rows.append("")
    return Text("\n".join(rows).rstrip())


@torch.no_grad()
def by_carries(model: Adders, data: Data[Sums]) -> Text:
    """Wrong validation sums by the number of carries that the sum takes in decimal places."""
    batch = next(iter(data.valid.sweep(len(data.valid))))
    pairs = [tuple(map(int, text.split("+"))) for text in texts(batch.arabic)]
    carries = torch.tensor([sum(a % m + b % m >= m for m in (10, 100, 1000, 10000)) for a, b in pairs])
    wrong = {s: (model.of[s](batch[k]).argmax(-1) != batch[k + 2]).any(1).float() for k, s in enumerate(STYLES)}
    rows = ["carries   sums  " + "  ".join(f"{style:>8}" for style in STYLES)]
    for n in carries.unique().tolist():
        here = carries == n
        errors = "  ".join(f"{100 * float(wrong[style][here].mean()):>6.1f} %" for style in STYLES)
        rows.append(f"{n:>7}  {int(here.sum()):>5}  {errors}")
    return Text("\n".join(rows))


def score(knobs: Knobs, model: Adders, data: Data[Sums], place: Place) -> dict[str, Score]:
    wrong = dict.fromkeys(STYLES, 0)
    with torch.inference_mode():
        for batch in data.test.sweep(500):
            for style in STYLES:
                wrong[style] += round(float(loss_in(style, model.of[style], batch)["error"]) * len(batch[0]) / 100)
    over, notes = len(data.test), {style: f"whole sums in {style.capitalize()} numerals" for style in STYLES}
    return {"error": rate_score(wrong["arabic"], over, data.test, note=notes["arabic"]),
            "roman_error": rate_score(wrong["roman"], over, data.test, note=notes["roman"])}  # fmt: skip


def parsed(facts: Facts, text: str) -> tuple[str, list[int]]:
    """The style of a sum such as ``XIV + VIII``, and its two numbers. UserError: anything else."""
    writing = Writing(**facts["writing"])
    words = [word.strip().upper() for word in text.split("+")]
    style = "arabic" if re.search(r"[0-9]", text) else "roman"
    written = writing.numbers(style)
    known = dict(zip(written[1 : writing.largest + 1], range(1, writing.largest + 1), strict=True))
    least, most = written[1], written[writing.largest]
    for word in words if len(words) == 2 else [text]:
        if len(words) != 2 or word not in known:
            raise UserError(f"two numbers from {least} to {most} in {style.capitalize()} numerals, as "
                            f"{written[min(14, writing.largest)]} + {written[8]}", repr(word[:60]),
                            "Write both numbers in one way, without a sign, the Roman ones in their usual form",
                            "roman")  # fmt: skip
    return style, [known[word] for word in words]


def use(model: Adders, facts: Facts, inputs: Sequence[Text]) -> list[dict[str, Text]]:
    writing: Writing = Writing(**facts["writing"])
    answers = []
    for style, numbers in (parsed(facts, item.text) for item in inputs):
        signs, _ = writing.frames(style, torch.tensor([numbers]))
        got, want = said(model, style, signs)[0], numeral(sum(numbers), style, writing.subtractive)
        other = numeral(sum(numbers), STYLES[1 - STYLES.index(style)], writing.subtractive)
        answers.append({"answer": Text(got or "(nothing)"), "true sum": Text(f"{want} ({other})"),
                        "right": Text("yes" if got == want else "no")})  # fmt: skip
    return answers


def read(facts: Facts, inputs: Sequence[Text]) -> Sums:
    writing = Writing(**facts["writing"])
    pairs = torch.tensor([parsed(facts, item.text)[1] for item in inputs])
    (roman, roman_sum), (arabic, arabic_sum) = (writing.frames(style, pairs) for style in STYLES)
    return Sums(roman, arabic, roman_sum, arabic_sum)


PRESETS: dict[str, Knobs] = {
    "quick": Knobs(),
    "paper": Knobs(examples=100000, hidden=1024, steps=20000),
    "additive": Knobs(subtractive=False),
    "left": Knobs(align="left"),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Text,), read=read, loss=loss)
