"""A page whose inputs are of a kind that the catalog does not have yet: a sound, a text, a board; chosen by a knob."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.config import Config, Field
from milestones.core.fit import fit
from milestones.core.run import Run
from milestones.core.score import Score, error_score
from milestones.core.source import Data, Facts, Held, Place, keyed
from milestones.core.system import Probe, System


class Pairs(NamedTuple):
    input: Tensor
    label: Tensor


class Knobs(Config):
    kind: Literal["sound", "text", "board", "video"] = Field(default="sound", description="of input")
    steps: int = Field(default=150, ge=1, description="updates")
    restless: bool = Field(default=False, description="dropout that is never off")


SHAPES = {"sound": (1, 24, 30), "text": (9,), "board": (3, 8, 8), "video": (2, 3, 4, 4)}
CLASSES = {"sound": 3, "text": 2, "board": 64, "video": 3}


class Net(nn.Module):
    """Spectrograms "B 1 F T"; words "B T" with their embeddings, read by attention and an LSTM; boards "B C 8 8", of
    which each of 64 moves gets a score."""

    def __init__(self, kind: str, restless: bool) -> None:
        super().__init__()
        self.kind, self.restless = kind, restless
        if kind == "sound":
            self.conv, self.out = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8 * 12 * 15, 3)
        elif kind == "text":
            self.embed, self.attend = nn.Embedding(20, 12), nn.MultiheadAttention(12, 2, batch_first=True)
            self.lstm, self.out = nn.LSTM(12, 10, batch_first=True), nn.Linear(10, 2)
        elif kind == "board":
            self.conv, self.policy = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)
        else:
            self.out = nn.Linear(96, 3)

    def scores(self, x: Tensor) -> Tensor:
        x = F.dropout(x, 0.5) if self.restless else x
        if self.kind == "sound":
            return self.out(F.max_pool2d(self.conv(x).relu_(), 2).flatten(1))
        if self.kind == "text":
            return self.out(self.lstm(x + self.attend(x, x, x)[0])[0][:, -1])
        if self.kind == "board":
            return self.policy(F.relu(self.conv(x), inplace=True)).flatten(1)
        return self.out(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.embed(x) if self.kind == "text" else x)


def drawn(kind: str, count: int, rng: torch.Generator) -> Pairs:
    """Sounds with energy in one of three bands; texts with word 3 or without; boards with one stone on its square."""
    label = torch.randint(0, CLASSES[kind], (count,), generator=rng)
    if kind == "text":
        words = torch.randint(4, 20, (count, 9), generator=rng)
        place = torch.randint(0, 9, (count,), generator=rng)
        words[torch.arange(count), place] = torch.where(label == 1, 3, words[torch.arange(count), place])
        return Pairs(words, label)
    input = 0.3 * torch.randn(count, *SHAPES[kind], generator=rng)
    for k in range(count):
        if kind == "sound":
            input[k, 0, 8 * int(label[k]) + 2 : 8 * int(label[k]) + 6, 10:20] += 2
        elif kind == "board":
            input[k] = 0
            input[k, int(torch.randint(0, 3, (), generator=rng)), int(label[k]) // 8, int(label[k]) % 8] = 1
    return Pairs(input, label)


def prepare(knobs: Knobs, place: Place) -> Data[Pairs]:
    held = [Held(drawn(knobs.kind, count, keyed(place.seed, split)), place, "made", split)
            for split, count in (("train", 400), ("valid", 60), ("test", 60))]  # fmt: skip
    labels = [f"class {k}" for k in range(CLASSES[knobs.kind])]
    return Data(*held, {"kind": knobs.kind, "labels": labels,
                        "data": {"name": "made", "train": 400, "valid": 60, "test": 60}})  # fmt: skip


def build(knobs: Knobs, facts: Facts) -> Net:
    return Net(knobs.kind, knobs.restless)


def loss(model: Net, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": F.cross_entropy(model(batch.input), batch.label)}


def train(knobs: Knobs, model: Net, data: Data[Pairs], run: Run) -> None:
    fit(model, loss, data.train, run, steps=knobs.steps, batch=32, valid=data.valid,
        optimizer=torch.optim.Adam(model.parameters(), 1e-2))  # fmt: skip


def score(knobs: Knobs, model: Net, data: Data[Pairs], place: Place) -> dict[str, Score]:
    return {"error": error_score(model, data.test)}


def use(model: Net, facts: Facts, items: list[object]) -> list[dict[str, object]]:
    return []


def probe(model: Net, batch: Pairs) -> Probe:
    """Words by their embeddings, which have a gradient; what is not a board has no bounds."""
    high = 1.0 if model.kind == "board" else math.inf
    low = 0.0 if model.kind == "board" else -math.inf
    input = model.embed(batch.input).detach() if model.kind == "text" else batch.input.float()
    return Probe(input, low, high, model.scores, batch.label)


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use, loss=loss, probe=probe)
