"""A page that hears which of three tones a sound has: sounds in; a ranking, the sound and an alignment out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.config import Config, Field
from milestones.core.run import Run
from milestones.core.score import Score, error_score
from milestones.core.source import Data, Facts, Held, Place, keyed
from milestones.core.system import System
from milestones.media import Audio, Heat, Media, Ranking

RATE, FRAME = 8000, 256  # hertz; samples of a moment
HERTZ = {"low": 300.0, "middle": 800.0, "high": 2000.0}


class Sounds(NamedTuple):
    sound: Tensor
    label: Tensor


class Knobs(Config):
    steps: int = Field(default=60, ge=1, description="updates")


class Net(nn.Module):
    """Scores "B T K" of each moment of sounds "B N"; those of the whole are their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(FRAME // 2 + 1, len(HERTZ))

    def moments(self, sound: Tensor) -> Tensor:
        return self.out(torch.fft.rfft(sound.unfold(-1, FRAME, FRAME)).abs().log1p())

    def forward(self, sound: Tensor) -> Tensor:
        return self.moments(sound).mean(1)


def drawn(count: int, rng: torch.Generator) -> Sounds:
    label = torch.randint(0, 3, (count,), generator=rng)
    hertz = torch.tensor(list(HERTZ.values()))[label] * (0.9 + 0.2 * torch.rand(count, generator=rng))
    time = torch.arange(8 * FRAME) / RATE
    noise = 0.05 * torch.randn(count, len(time), generator=rng)
    return Sounds(0.5 * torch.sin(2 * np.pi * hertz[:, None] * time) + noise, label)


def prepare(knobs: Knobs, place: Place) -> Data[Sounds]:
    held = [Held(drawn(count, keyed(place.seed, split)), place, "tones", split)
            for split, count in (("train", 300), ("valid", 60), ("test", 100))]  # fmt: skip
    return Data(*held, {"labels": list(HERTZ), "data": {"name": "tones", "train": 300, "valid": 60, "test": 100}})


def build(knobs: Knobs, facts: Facts) -> Net:
    return Net()


def train(knobs: Knobs, model: Net, data: Data[Sounds], run: Run) -> None:
    rule = torch.optim.Adam(model.parameters(), 1e-2)
    for step in run.steps(knobs.steps, "train", model=model, rule=rule):
        batch = data.train.batch(step, 32)
        loss = F.cross_entropy(model(batch.sound), batch.label)
        rule.zero_grad()
        loss.backward()
        rule.step()
        run.log(loss=loss.detach())
    run.show(sample=Audio(data.train.batch(0, 32).sound[0].clamp(-1, 1).numpy(), RATE))


def score(knobs: Knobs, model: Net, data: Data[Sounds], place: Place) -> dict[str, Score]:
    return {"error": error_score(model, data.test)}


def use(model: Net, facts: Facts, items: list[Media]) -> list[dict[str, Media]]:
    answers: list[dict[str, Media]] = []
    for sound in items:
        assert isinstance(sound, Audio)
        samples = sound.resampled(RATE).samples
        samples = np.pad(samples, (0, -len(samples) % FRAME))
        chance = model.moments(torch.from_numpy(samples)[None])[0].softmax(-1)  # T K
        seconds = [f"{k * FRAME / RATE:.2f}" for k in range(len(chance))]
        whole = model(torch.from_numpy(samples)[None])[0].softmax(-1)
        answers.append({"tone": Ranking.of(whole, facts["labels"]), "sound": sound,
                        "alignment": Heat(chance.T.numpy(), facts["labels"], seconds, "tone", "seconds")})  # fmt: skip
    return answers


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, build, train, score, use, takes=(Audio,))
