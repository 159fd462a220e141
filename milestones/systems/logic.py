"""Digits are learned from sums alone: a net perceives, and a logic program knows what a sum is.

Paper       Manhaeve, Dumancic, Kimmig, Demeester & De Raedt (2018), DeepProbLog: neural probabilistic logic
            programming, NeurIPS 31, 3749-3759, section 6, task T1 (and T2: `program` numbers).
Idea        nobody says what a picture shows, only that two show numbers whose sum is 8. The net gives chances to what
            each may show, the program adds up those of all worlds in which the sum is right, and the gradient of
            that chance goes back through the program into the net.
Deviations  programs are states and steps, compiled into a circuit once, in place of ProbLog's proofs and decision
            diagrams for each query; batches; Adam with a cosine, a mean of the weights, distortions. Beside it a net of
            the same layers learns from the same pictures to the same answers, without the program.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError, nearest
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Place
from ..core.system import Probe, System
from ..data.pictures import seen
from ..data.told import Told, told
from ..media import Heat, Image, Media, Ranking, Text, history, mosaic
from ..parts.distort import distort
from ..parts.initial import he
from ..parts.layers import Normalise
from ..parts.logic import Circuit, Program
from ..parts.metrics import error_rate


def column(state: tuple[int, int], k: int, digit: int) -> tuple[int, int]:
    """Addition as it is written, from the right: what is carried, and what stands below the line so far."""
    carried, below = state[0] + digit, state[1]
    return (carried // 10, below + carried % 10 * 10 ** (k // 2)) if k % 2 else (carried, below)


# What each program says of the values that its pictures show; a state is all that it keeps of what it has read.
PROGRAMS = {
    "sum": Program("the sum", (0, 1), 0, lambda state, k, value: state + value, lambda state: state),
    "product": Program("the product", (0, 1), 1, lambda state, k, value: state * value, lambda state: state),
    "larger": Program("which is larger", (0, 1), 0, lambda state, k, value: value if k == 0 else state - value,
                      lambda gap: "the first" if gap > 0 else "the second" if gap else "neither"),
    # Two numbers of two digits: pictures 0 and 1 above 2 and 3; units first.
    "numbers": Program("the sum of two numbers", (1, 3, 0, 2), (0, 0), column, lambda state: 100 * state[0] + state[1]),
}  # fmt: skip


class Knobs(Config):
    program: Literal["sum", "product", "larger", "numbers"] = Field(default="sum", description="what is told")
    examples: int = Field(default=0, ge=0, description="groups of pictures to learn from; 0: all there are")
    direct: bool = Field(default=True, description="train a net without the program beside it")
    steps: int = Field(default=2000, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=32, ge=1, description="groups per update")
    lr: float = Field(default=2e-3, gt=0, description="Adam's step size at its peak")
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    shift: float = Field(default=1.5, ge=0, le=14, description="random shift of training pictures, pixels")
    rotate: float = Field(default=8.0, ge=0, le=180, description="random rotation, degrees")
    scale: float = Field(default=0.1, ge=0, lt=1, description="random scaling, fraction")
    slant: float = Field(default=0.1, ge=0, lt=1, description="random slant, fraction")
    elastic: float = Field(default=0.6, ge=0, le=10, description="elastic distortion, pixels (root mean square)")


def layers(facts: Facts) -> nn.Sequential:
    """The paper's net up to its last hidden layer: takes raw grey levels "B 1 28 28", puts out "B 84"."""
    return nn.Sequential(
        Normalise(facts["mean"], facts["spread"]),
        nn.Conv2d(facts["channels"], 6, 5), nn.MaxPool2d(2), nn.ReLU(),  # B 6 12 12
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),  # B 16*4*4
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
    )  # fmt: skip


class Reader(nn.Module):
    """Scores of what one picture shows, and the compiled program that reasons about several."""

    def __init__(self, facts: Facts, circuit: Circuit) -> None:
        super().__init__()
        self.net, self.circuit = nn.Sequential(*layers(facts), nn.Linear(84, len(facts["labels"]))), circuit
        he(self)

    def forward(self, image: Integer[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        return self.net(image)


class Direct(nn.Module):
    """Without a program: the same layers see each picture, and what they make of all is classified by the answers."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.each, wide = layers(facts), 84 * facts["pictures"]
        self.all = nn.Sequential(nn.Linear(wide, 84), nn.ReLU(), nn.Linear(84, len(facts["answers"])))
        he(self)

    def forward(self, image: Integer[Tensor, "B P C H W"] | Float[Tensor, "B P C H W"]) -> Float[Tensor, "B Q"]:
        return self.all(self.each(image.flatten(0, 1)).unflatten(0, image.shape[:2]).flatten(1))


class Nets(nn.Module):
    """The reader, which answers for a picture; and beside it, if any, the net that has no program."""

    def __init__(self, reader: Reader, direct: Direct | None) -> None:
        super().__init__()
        self.reader, self.direct = reader, direct

    @property
    def circuit(self) -> Circuit:
        return self.reader.circuit

    def forward(self, image: Integer[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        return self.reader(image)


def prepare(knobs: Knobs, place: Place) -> Data[Told]:
    ranges = knobs.model_dump(include={"shift", "rotate", "scale", "slant", "elastic"})
    change = (lambda image, rng: distort(image, rng, **ranges)) if any(ranges.values()) else None
    data = told(place, PROGRAMS[knobs.program], knobs.examples, change)
    values = data.facts["values"]
    if knobs.program == "numbers" and not set(values) <= set(range(10)):
        got = f"{next(value for value in values if value not in range(10))} among the classes"
        raise UserError("digits 0 to 9, of which numbers are written", got, "Take --program sum", "logic")
    return data


def build(knobs: Knobs, facts: Facts) -> Nets:
    circuit = Circuit(PROGRAMS[knobs.program], facts["values"])
    return Nets(Reader(facts, circuit), Direct(facts) if knobs.direct else None)


def chances(model: nn.Module, image: Integer[Tensor, "B P C H W"]) -> Float[Tensor, "B P K"]:
    """The logs of the chances of what each picture of each group shows."""
    return model(image.flatten(0, 1)).log_softmax(-1).unflatten(0, image.shape[:2])


def loss(model: Any, batch: Told) -> dict[str, Tensor]:
    """Minus the log of the chance, over all worlds, of what is told: nats, mean over the groups. It sees no digit."""
    said = model.circuit(chances(model, batch.image))
    return {"loss": F.nll_loss(said, batch.answer), "error": error_rate(said, batch.answer)}


def direct_loss(model: Direct, batch: Told) -> dict[str, Tensor]:
    """Cross-entropy of the answers, in nats, mean over the groups."""
    said = model(batch.image)
    return {"loss": F.cross_entropy(said, batch.answer), "error": error_rate(said, batch.answer)}


def train(knobs: Knobs, model: Nets, data: Data[Told], run: Run) -> None:
    for stage, net, term in (("train", model.reader, loss), ("direct", model.direct, direct_loss)):
        if net is not None:
            fit(net, term, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, stage=stage,
                optimizer=torch.optim.Adam(net.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
                average=knobs.average or None)  # fmt: skip
    if run.showing and not run.ended:
        run.show(**shown(model.eval(), data))
        stages = {"with the program": "train", "without": "direct"} if knobs.direct else {"with the program": "train"}
        curve = history(run.folder, stages, "valid_error", "updates", "validation answers that are wrong, %")
        run.show(**({"learning": curve} if curve.x else {}))


@torch.no_grad()
def shown(model: Nets, data: Data[Told]) -> dict[str, Media]:
    """What the net says each class is, which shows where it has taken one for another; and what is told, with what it
    then believes of each picture. Of validation pictures."""
    batch, labels, answers = next(iter(data.valid.sweep(1000))), data.facts["labels"], data.facts["answers"]
    chance = chances(model, batch.image)
    true, said = batch.digit[:, 0], chance[:, 0].argmax(-1)
    counts = torch.zeros(len(labels), len(labels)).index_put_((true, said), torch.ones(len(true)), accumulate=True)
    apart = torch.arange(len(true), device=true.device) % data.facts["pictures"] == 0  # groups that share no picture
    used, unlike = len(said.unique()), (chance.argmax(-1) != batch.digit).any(1)
    sure = model.circuit.posterior(chance, batch.answer)
    frames, words = [], []
    for row in [*(unlike & apart).nonzero()[:4, 0].tolist(), *(~unlike & apart).nonzero()[:4, 0].tolist()]:
        frames += [Image.of(one) for one in batch.image[row]]
        alone, then = ([labels[k] for k in found[row].argmax(-1).tolist()] for found in (chance, sure))
        words += [
            f"reads {a}\ntold {answers[int(batch.answer[row])]}\nthen {b}" for a, b in zip(alone, then, strict=True)
        ]
    return {
        "digits": Heat(counts.numpy().astype(np.int64), labels, labels, "what it shows", "what the net says"),
        "classes": Text(f"{used} of {len(labels)} classes are said: fewer would be a dead end of the training"),
        "told": mosaic(frames, words, 2 * data.facts["pictures"]),
    }  # fmt: skip


@torch.no_grad()
def score(knobs: Knobs, model: Any, data: Data[Told], place: Place) -> dict[str, Score]:
    wrong: dict[str, list[Tensor]] = {"digit": [], "answer": [], "direct": []}
    for batch in data.test.sweep(500):
        chance = chances(model, batch.image)
        wrong["digit"].append(chance[:, 0].argmax(-1) != batch.digit[:, 0])
        wrong["answer"].append(model.circuit(chance).argmax(-1) != batch.answer)
        if model.direct is not None:
            wrong["direct"].append(model.direct(batch.image).argmax(-1) != batch.answer)
    digit, count = torch.cat(wrong["digit"]), data.facts["pictures"]
    what, apart = PROGRAMS[knobs.program].says, slice(0, len(digit) - count + 1, count)  # groups that share no picture
    scores = {"error": rate_score(int(digit.sum()), len(digit), data.test, note=f"of digits; only {what} was told")}
    for name, how in (("answer", "with the program"), ("direct", "end to end, without it")):
        if wrong[name]:
            missed = torch.cat(wrong[name])[apart]
            title = "answer_error" if name == "answer" else "direct_answer_error"
            scores[title] = rate_score(int(missed.sum()), len(missed), data.test, note=f"{what}, {how}")
    return scores


def read(facts: Facts, images: Sequence[Image]) -> Told:
    image, none = seen(facts, images), torch.zeros(len(images), dtype=torch.long)
    return Told(image[:, None], none[:, None], none)


def use(model: Any, facts: Facts, images: Sequence[Image], *,
        together: Annotated[bool, "take the pictures in groups and say what the program says of each group"] = False,
        tell: Annotated[str, "what is known of each group: each picture is then read in its light"] = "",
        ) -> list[dict[str, Any]]:  # fmt: skip
    image, labels, count = seen(facts, images), facts["labels"], facts["pictures"]
    chance = model(image).log_softmax(-1)
    answers: list[dict[str, Any]] = [{"answer": Ranking.of(row, labels)} for row in chance.exp()]
    if together or tell:
        if len(images) % count:
            got = f"{len(images)} picture" + "s" * (len(images) > 1)
            raise UserError(f"pictures in groups of {count}", got, "Name them in the program's order", "logic")
        groups = chance.unflatten(0, (-1, count))
        said = model.circuit(groups).exp()
        if tell:
            sure = model.circuit.posterior(groups, told_as(facts, tell, len(groups))).flatten(0, 1)
            answers = [{"answer": Ranking.of(row, labels), "alone": one["answer"]}
                       for row, one in zip(sure, answers, strict=True)]  # fmt: skip
        for k, answer in enumerate(answers):
            answer["together"] = Ranking.of(said[k // count], facts["answers"])
    return [{**answer, "seen": Image.of(one)} for answer, one in zip(answers, image, strict=True)]


def told_as(facts: Facts, tell: str, groups: int) -> Int[Tensor, "B"]:
    """The number of the answer that `tell` names, for each group. UserError: the program cannot say it."""
    answers = facts["answers"]
    if tell not in answers:
        some = ", ".join(answers) if len(answers) < 8 else f"{answers[0]}, {answers[1]}, ... {answers[-1]}"
        do = nearest(tell, answers, "Take one of these")
        raise UserError(f"--tell as one of {some}", repr(tell[:40]), do, "logic")
    return torch.full((groups,), answers.index(tell))


def probe(model: Any, batch: Told) -> Probe:
    """Of each group the first picture, and what it shows."""
    return Probe(batch.image[:, 0].float(), 0.0, 255.0, model, batch.digit[:, 0])


PLAIN = {"shift": 0.0, "rotate": 0.0, "scale": 0.0, "slant": 0.0, "elastic": 0.0}
PRESETS = {
    "quick": Knobs(),
    "numbers": Knobs(program="numbers"),
    "paper": Knobs(**PLAIN, steps=15_000, lr=1e-3, average=0.0),  # for --data mnist: its 30,000 pairs; not its batches
}
system = System(Knobs, PRESETS, prepare, build, train, score, use,
                takes=(Image,), read=read, loss=loss, probe=probe)  # fmt: skip
