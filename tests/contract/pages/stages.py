"""Two stages with all that is hard to resume: dropout, tied weights, a Memo, batch normalisation, a mean of weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.config import Config, Field
from milestones.core.fit import cosine, fit
from milestones.core.run import Run
from milestones.core.score import Score, rate_score
from milestones.core.source import Data, Facts, Held, Place, keyed
from milestones.core.state import Memo
from milestones.core.system import System


class Pairs(NamedTuple):
    image: Tensor
    label: Tensor


class Knobs(Config):
    steps: int = Field(default=1000, ge=1, description="updates of the first stage")
    fitted: int = Field(default=40, ge=1, description="updates of the second")
    lr: float = Field(default=1e-2, gt=0, description="step size")
    nan_at: int = Field(default=-1, description="a step of the first stage with a loss that is no number")
    leave_at: int = Field(default=-1, description="a step of the first stage that breaks off")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.up, self.down = nn.Linear(16, 16), nn.Linear(16, 16)
        self.down.weight = self.up.weight
        self.out = nn.Linear(16, 2)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.conv(image)).relu().flatten(1)  # B 16
        x = F.dropout(self.down(F.dropout(self.up(x), 0.2, self.training).tanh()), 0.2, self.training)
        return self.out(x)


def prepare(knobs: Knobs, place: Place) -> Data[Pairs]:
    image = torch.randn(90, 1, 4, 4, generator=keyed(place.seed, "images"))
    pairs = Pairs(image, (image.sum((1, 2, 3)) > 0).long())
    parts = [
        Held(Pairs(*(t[i::3] for t in pairs)), place, "noise", name)
        for i, name in enumerate(("train", "valid", "test"))
    ]
    return Data(*parts, {"labels": ["low", "high"], "data": {"name": "noise", "train": 30, "valid": 30, "test": 30}})


def loss(model: Net, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": F.cross_entropy(model(batch.image), batch.label)}


def train(knobs: Knobs, model: Net, data: Data[Pairs], run: Run) -> None:
    memo = Memo(best=float("inf"), noise=0.0)
    optimizer = torch.optim.SGD(model.parameters(), knobs.lr, momentum=0.9)
    for step in run.steps(knobs.steps, "first", model=model, optimizer=optimizer, memo=memo):
        value = loss(model, data.train.batch(step, 8))["loss"]
        if step == knobs.nan_at:
            value = value * float("nan")
        if step == knobs.leave_at:
            break
        memo.noise = 0.9 * memo.noise + float(torch.randn((), generator=run.rng))
        optimizer.zero_grad()
        (value + 0.01 * memo.noise * model.out.bias.sum()).backward()
        optimizer.step()
        memo.best = min(memo.best, value.item())
        run.log(loss=value, best=memo.best)
    adam = torch.optim.Adam(model.parameters(), knobs.lr, fused=True)
    fit(model, loss, data.train, run, steps=knobs.fitted, batch=8, valid=data.valid, optimizer=adam, clip=1.0,
        schedule=cosine(knobs.fitted), patience=30, average=0.9, stage="second")  # fmt: skip


def score(knobs: Knobs, model: Net, data: Data[Pairs], place: Place) -> dict[str, Score]:
    with torch.inference_mode():
        wrong = sum(int((model(b.image).argmax(1) != b.label).sum()) for b in data.test.sweep(50))
    return {"error": rate_score(wrong, len(data.test), data.test)}


def use(model: Net, facts: Facts, inputs: object) -> list[dict[str, object]]:
    return []


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, lambda knobs, facts: Net(), train, score, use)
