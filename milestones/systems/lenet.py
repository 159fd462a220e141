"""LeNet-5 reads handwritten digits.

Paper       LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document recognition,
            Proceedings of the IEEE 86(11), 2278-2324, section II.B.
Idea        local receptive fields, shared weights and sub-sampling: tolerance to shift and distortion by design.
Deviations  softmax instead of RBF outputs; average pooling without trained gains; all C3 connections; Adam with a
            cosine instead of stochastic Levenberg-Marquardt; distortions are drawn anew for each batch. Preset
            `modern` adds batch normalisation and Muon.
Result      error 0.99 ± 0.02 %, 5 seeds, MNIST test, 9,000 training images, 52.9 s, on 2 cores of AMD EPYC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, error_score
from ..core.source import Data, Facts, Place
from ..core.system import System, classifier_probe
from ..data import Labelled
from ..data.pictures import pictures, seen
from ..media import Image, Ranking, tiles
from ..parts.augment import augmented, chained
from ..parts.distort import distorted
from ..parts.initial import glorot, he
from ..parts.layers import Normalise, norm
from ..parts.metrics import error_rate
from ..parts.muon import Muon


class Knobs(Config):
    steps: int = Field(default=5500, ge=1, description="optimiser updates")
    batch: int = Field(default=64, ge=1, description="images per update")
    method: Literal["adam", "muon"] = Field(default="adam", description="optimiser")
    lr: float = Field(default=2.5e-3, gt=0, description="step size at its peak")
    norm: Literal["none", "batch", "layer", "group"] = Field(default="none", description="normalised before the unit")
    unit: Literal["tanh", "relu"] = Field(default="tanh", description="of all hidden layers; relu came later")
    pool: Literal["average", "max"] = Field(default="average", description="how four neighbours become one")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of the two fully connected hidden layers")
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    shift: float = Field(default=1.5, ge=0, le=14, description="random shift of training images, pixels")
    rotate: float = Field(default=8.0, ge=0, le=180, description="random rotation, degrees")
    scale: float = Field(default=0.1, ge=0, lt=1, description="random scaling, fraction")
    slant: float = Field(default=0.1, ge=0, lt=1, description="random slant, fraction")
    flip: bool = Field(default=False, description="mirror training images at random, and average both when used")
    elastic: float = Field(default=0.6, ge=0, le=10, description="elastic distortion, pixels (root mean square)")


class LeNet(nn.Module):
    """61,706 parameters for ten classes, without `norm`. Takes raw grey levels, 0 to 255."""

    def __init__(self, classes: int, mean: float, spread: float, mirrored: bool = False, kind: str = "none",
                 dropout: float = 0.0, unit: str = "tanh", pool: str = "average") -> None:  # fmt: skip
        super().__init__()
        self.mirrored = mirrored
        bent, pooled = nn.Tanh if unit == "tanh" else nn.ReLU, nn.AvgPool2d if pool == "average" else nn.MaxPool2d

        def units(width: int, maps: bool = False) -> list[nn.Module]:
            dropped = [] if maps or not dropout else [nn.Dropout(dropout)]
            return [*([] if kind == "none" else [norm(kind, width, maps)]), bent(), *dropped]

        self.features = nn.Sequential(
            Normalise(mean, spread),
            nn.Conv2d(1, 6, 5, padding=2), *units(6, maps=True), pooled(2),  # B 6 14 14
            nn.Conv2d(6, 16, 5), *units(16, maps=True), pooled(2),  # B 16 5 5
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(400, 120), *units(120), nn.Linear(120, 84), *units(84), nn.Linear(84, classes)
        )
        (glorot if unit == "tanh" else he)(self)  # PyTorch's own are too small for tanh and cost an epoch

    def forward(self, image: Integer[Tensor, "B 1 28 28"] | Float[Tensor, "B 1 28 28"]) -> Float[Tensor, "B K"]:
        logits = self.classifier(self.features(image).flatten(1))
        if self.mirrored and not self.training:
            return (logits + self.classifier(self.features(image.flip(3)).flatten(1))) / 2
        return logits


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    ranges = knobs.model_dump(include={"shift", "rotate", "scale", "slant", "elastic"})
    changes = [augmented(flip=True)] * knobs.flip + [distorted(**ranges)] * any(ranges.values())
    return pictures(place, default="digits", side=28, augment=chained(*changes) if changes else None)


def build(knobs: Knobs, facts: Facts) -> LeNet:
    if knobs.norm == "batch" and knobs.batch < 2:
        raise UserError("two images or more per update to normalise over", "--batch 1", "Take norm layer", "lenet")
    normal = float(facts["mean"]), float(facts["spread"])
    return LeNet(len(facts["labels"]), *normal, knobs.flip, knobs.norm, knobs.dropout, knobs.unit, knobs.pool)


def loss(model: LeNet, batch: Labelled) -> dict[str, Tensor]:
    logits = model(batch.image)
    return {"loss": F.cross_entropy(logits, batch.label), "error": error_rate(logits, batch.label)}


METHODS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr, fused=True),
    "muon": Muon,
}


def train(knobs: Knobs, model: LeNet, data: Data[Labelled], run: Run) -> None:
    optimizer = METHODS[knobs.method](model.parameters(), knobs.lr)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=optimizer, schedule=cosine(knobs.steps), average=knobs.average or None)  # fmt: skip
    run.show(filters=tiles(model.features[1].weight))


def score(knobs: Knobs, model: LeNet, data: Data[Labelled], place: Place) -> dict[str, Score]:
    published = {"paper": 0.8, "paper_data": "MNIST test, 60,000 training images"}
    return {"error": error_score(model, data.test, **published)}


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: LeNet, facts: Facts, images: Sequence[Image]) -> list[dict[str, Ranking | Image]]:
    image = seen(facts, images)
    chance = model(image).softmax(-1)
    return [
        {"answer": Ranking.of(row, facts["labels"]), "seen": Image(picture[0].numpy())}
        for row, picture in zip(chance, image, strict=True)
    ]


PLAIN = {"shift": 0.0, "rotate": 0.0, "scale": 0.0, "slant": 0.0, "elastic": 0.0}
PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(steps=18750),  # 20 passes through MNIST's 60,000, as the paper has it
    "plain": Knobs(**PLAIN),
    # for --data fashion, with what came after 1998
    "modern": Knobs(**PLAIN, norm="batch", method="muon", steps=1300, batch=128, lr=5e-3, average=0.99),
    "fashion": Knobs(**PLAIN, steps=5155, batch=128, lr=5e-3, average=0.0),  # for --data fashion
    "fashion-long": Knobs(**PLAIN, unit="relu", pool="max", flip=True, steps=16000, batch=128, lr=3e-3, average=0.999),
}
system = System(
    Knobs, PRESETS, prepare, build, train, score, use,
    takes=(Image,), read=read, loss=loss, probe=classifier_probe,
)  # fmt: skip
