"""A page that writes words backwards by attention over places: texts in; a text and where it looked out."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.config import Config, Field
from milestones.core.run import Run
from milestones.core.score import Score
from milestones.core.source import Data, Facts, Held, Place
from milestones.core.system import System
from milestones.media import Heat, Media, Text

LONGEST = 12


class Lengths(NamedTuple):
    length: Tensor


class Knobs(Config):
    steps: int = Field(default=150, ge=1, description="updates")


class Net(nn.Module):
    """Where each output of a word of so many letters looks: chances "T T", by learned places from both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = nn.Embedding(LONGEST, 16)
        self.key = nn.Embedding(LONGEST, 16)

    def forward(self, letters: int) -> Tensor:
        at = torch.arange(letters)
        return (self.ask(at) @ self.key(letters - 1 - at).T).log_softmax(-1)


def prepare(knobs: Knobs, place: Place) -> Data[Lengths]:
    held = [
        Held(Lengths(torch.arange(2, LONGEST + 1)[:, None]), place, "lengths", split)
        for split in ("train", "valid", "test")
    ]
    return Data(*held, {"data": {"name": "lengths", "train": 11, "valid": 11, "test": 11}})


def build(knobs: Knobs, facts: Facts) -> Net:
    return Net()


def train(knobs: Knobs, model: Net, data: Data[Lengths], run: Run) -> None:
    rule = torch.optim.Adam(model.parameters(), 5e-2)
    for step in run.steps(knobs.steps, "train", model=model, rule=rule):
        letters = 2 + step % (LONGEST - 1)
        loss = F.nll_loss(model(letters), torch.arange(letters).flip(0))
        rule.zero_grad()
        loss.backward()
        rule.step()
        run.log(loss=loss.detach())


def score(knobs: Knobs, model: Net, data: Data[Lengths], place: Place) -> dict[str, Score]:
    wrong = [bool((model(n).argmax(-1) != torch.arange(n).flip(0)).any()) for n in range(2, LONGEST + 1)]
    share = 100 * sum(wrong) / len(wrong)
    return {"error": Score(share, share, share, "%", "lower", "lengths", "test", len(wrong))}


def use(model: Net, facts: Facts, items: list[Media], *,
        case: Annotated[Literal["kept", "upper"], "of letters"] = "kept",
        longest: Annotated[int, "letters that are read"] = LONGEST) -> list[dict[str, Media]]:  # fmt: skip
    answers: list[dict[str, Media]] = []
    for text in items:
        letters = list((str(text).upper() if case == "upper" else str(text))[:longest])
        look = model(len(letters)).exp()
        written = [letters[k] for k in look.argmax(-1).tolist()]
        heat = Heat(look.numpy(), written, letters, "output letter", "source letter")
        answers.append({"reversed": Text("".join(written)), "attention": heat})
    return answers


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use, takes=(Text,))
