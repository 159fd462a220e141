"""AlexNet recognises photographs: the net that brought deep learning to computer vision.

Paper       Krizhevsky, Sutskever & Hinton (2012), ImageNet classification with deep convolutional neural networks,
            Advances in Neural Information Processing Systems 25.
Idea        a large convolutional net of rectified units, dropout and many altered copies of each picture.
Deviations  both towers run on one device as two groups; the rate falls at fixed steps instead of by hand. `quick` and
            `small` are the net for pictures of 32 to 64 pixels, with smaller filters, a twelfth of the units, He's
            starting weights and AdamW. `single` is the net of one tower that many libraries ship.
Result      error 1.39 ± 0.13 %, 5 seeds, MNIST test, 8,000 training images, 83.8 s, on 2 cores of AMD EPYC.
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
from ..core.score import Score, error_score, top_score
from ..core.source import Data, Facts, Place
from ..core.system import System, classifier_probe
from ..data import Labelled
from ..data.pictures import pictures, seen
from ..media import Image, Ranking, tiles
from ..parts.augment import colour_axes, cropped, tinted
from ..parts.layers import Normalise
from ..parts.metrics import error_rate


class Knobs(Config):
    size: Literal["small", "full"] = Field(default="small", description="small: for pictures of 32 to 64 pixels")
    towers: int = Field(default=2, ge=1, le=2, description="groups that layers 2, 4 and 5 are divided into")
    unit: Literal["relu", "tanh"] = Field(default="relu", description="of all hidden layers")
    normalise: bool = Field(default=True, description="local response normalisation after layers 1 and 2")
    overlap: bool = Field(default=True, description="pooling windows of 3 pixels, 2 apart; else of 2")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="of the first two fully connected layers")
    tint: float = Field(default=0.1, ge=0, le=2, description="random colour along the principal axes, deviations")
    flip: bool = Field(default=False, description="mirror training pictures at random, and look at both when used")
    crops: bool = Field(default=True, description="average over the corners and the middle when used; else the middle")
    crop: int = Field(default=32, ge=24, le=448, description="pixels of the part of a picture that the net sees")
    side: int = Field(default=36, ge=24, le=512, description="pixels of a picture's side")
    start: Literal["he", "paper"] = Field(
        default="he", description="starting weights: He's, or N(0, 0.01) and biases 1"
    )
    method: Literal["adam", "sgd"] = Field(default="adam", description="optimiser; sgd with the paper's steps of lr")
    steps: int = Field(default=900, ge=1, description="optimiser updates")
    batch: int = Field(default=128, ge=1, description="pictures an update")
    lr: float = Field(default=1e-3, gt=0, description="step size at its peak")
    decay: float = Field(default=5e-4, ge=0, description="weight decay")


CHANNELS = {("full", 2): (96, 256, 384, 384, 256), ("full", 1): (64, 192, 384, 256, 256),
            ("small", 2): (32, 64, 96, 96, 64), ("small", 1): (32, 64, 96, 96, 64)}  # fmt: skip
FIRST = {"full": (11, 4, 2), "small": (5, 2, 2)}  # size, stride and padding of the first layer's filters
WIDE = {"full": 4096, "small": 320}  # units of the fully connected layers
GRID = {"full": 6, "small": 2}  # what the last pooled maps are brought to, side
UNITS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class AlexNet(nn.Module):
    """Takes raw levels, 0 to 255. With one tower and no normalisation its tensors have torchvision's names and shapes:
    61,100,840 parameters for 1,000 classes and pictures in colour; the paper's two towers have 60,965,224."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        if knobs.size == "full" and knobs.crop < 63:
            do = "Raise 'crop' and 'side', or take size small"
            raise UserError("a crop from 63 pixels for the full net", str(knobs.crop), do, "alexnet")
        c1, c2, c3, c4, c5 = CHANNELS[knobs.size, knobs.towers]
        unit, g = UNITS[knobs.unit], knobs.towers
        size, stride, padding = FIRST[knobs.size]
        grid, wide = GRID[knobs.size], WIDE[knobs.size]

        def between() -> list[nn.Module]:
            # The paper's alpha is for the sum of five squares, PyTorch's for their mean.
            response = [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] if knobs.normalise else []
            return [unit(), *response, pool()]

        def pool() -> nn.Module:
            return nn.MaxPool2d(3 if knobs.overlap else 2, 2)

        self.raw = Normalise(facts["mean"], facts["spread"])
        self.features = nn.Sequential(
            nn.Conv2d(facts["channels"], c1, size, stride, padding), *between(),
            nn.Conv2d(c1, c2, 5, padding=2, groups=g), *between(),
            nn.Conv2d(c2, c3, 3, padding=1), unit(),  # where the towers meet
            nn.Conv2d(c3, c4, 3, padding=1, groups=g), unit(),
            nn.Conv2d(c4, c5, 3, padding=1, groups=g), unit(), pool() if knobs.size == "full" else nn.Identity(),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(knobs.dropout), nn.Linear(c5 * grid * grid, wide), unit(),
            nn.Dropout(knobs.dropout), nn.Linear(wide, wide), unit(),
            nn.Linear(wide, len(facts["labels"])),
        )  # fmt: skip
        self.grid, self.crop, self.crops, self.flip = grid, knobs.crop, knobs.crops, knobs.flip
        START[knobs.start](self)

    def once(self, image: Tensor) -> Float[Tensor, "B K"]:
        maps = self.features(self.raw(image))
        return self.classifier(F.adaptive_avg_pool2d(maps, self.grid).flatten(1))

    def forward(self, image: Integer[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Of a picture larger than the net's, the mean over its parts (section 4.1: 10-crop testing)."""
        if self.training or image.shape[-1] == self.crop:
            return self.once(image)
        s, end = self.crop, image.shape[-1] - self.crop
        corners = [(0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)][0 if self.crops else 4 :]
        parts = [image[:, :, y : y + s, x : x + s] for y, x in corners]
        parts += [part.flip(3) for part in parts] if self.flip else []
        return torch.stack([self.once(part).softmax(-1) for part in parts]).mean(0).clamp(min=1e-12).log()


def he(net: AlexNet) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def paper(net: AlexNet) -> None:
    """Section 5: so that the rectifiers of layers 2, 4, 5 and of the fully connected ones begin with positive input."""
    convolutions = [layer for layer in net.features if isinstance(layer, nn.Conv2d)]
    full = [layer for layer in net.classifier if isinstance(layer, nn.Linear)]
    for layer in (*convolutions, *full):
        nn.init.normal_(layer.weight, 0, 0.01)
        ones = layer in (convolutions[1], convolutions[3], convolutions[4], full[0], full[1])
        nn.init.constant_(layer.bias, float(ones))  # type: ignore[arg-type]


START = {"he": he, "paper": paper}


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    data = pictures(place, default="digits", side=max(knobs.side, knobs.crop), colour=True)
    axes = colour_axes(next(data.train.sweep(2000)).image)

    def altered(batch: Labelled, rng: torch.Generator) -> Labelled:
        image = cropped(batch.image, rng, knobs.crop, knobs.flip)
        return Labelled(tinted(image, rng, axes, knobs.tint) if knobs.tint else image, batch.label)

    data.train.augment = altered
    return data


def build(knobs: Knobs, facts: Facts) -> AlexNet:
    return AlexNet(knobs, facts)


def loss(model: AlexNet, batch: Labelled) -> dict[str, Tensor]:
    logits = model(batch.image)
    return {"loss": F.cross_entropy(logits, batch.label), "error": error_rate(logits, batch.label)}


def stepped(steps: int) -> Callable[[int], float]:
    """A tenth of the rate after each quarter of the updates: the paper divided it three times."""
    return lambda step: 0.1 ** (4 * step // steps)


METHODS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda weights, lr, decay: torch.optim.AdamW(weights, lr, weight_decay=decay, fused=True),
    "sgd": lambda weights, lr, decay: torch.optim.SGD(weights, lr, 0.9, weight_decay=decay, fused=True),
}
SCHEDULES = {"adam": lambda steps: cosine(steps, steps // 20), "sgd": stepped}


def train(knobs: Knobs, model: AlexNet, data: Data[Labelled], run: Run) -> None:
    optimizer = METHODS[knobs.method](model.parameters(), knobs.lr, knobs.decay)
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=optimizer, schedule=SCHEDULES[knobs.method](knobs.steps))  # fmt: skip
    run.show(filters=tiles(model.features[0].weight))


def score(knobs: Knobs, model: AlexNet, data: Data[Labelled], place: Place) -> dict[str, Score]:
    found = {"error": error_score(model, data.test, paper=37.5, paper_data="ImageNet ILSVRC-2010 test")}
    return found | ({"top5_error": top_score(model, data.test, 5)} if len(data.facts["labels"]) > 10 else {})


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: AlexNet, facts: Facts, images: Sequence[Image]) -> list[dict[str, Ranking | Image]]:
    image = seen(facts, images)
    chance = model(image).softmax(-1)
    return [{"answer": Ranking.of(row, facts["labels"]), "seen": Image.of(picture)}
            for row, picture in zip(chance, image, strict=True)]  # fmt: skip


FULL = {"size": "full", "flip": True, "crop": 224, "side": 256, "start": "paper", "method": "sgd", "lr": 0.01}
PRESETS = {
    "quick": Knobs(steps=800, lr=2e-3, dropout=0.3),  # in so few updates half of the units are too few
    "paper": Knobs(**FULL, steps=843_750),  # 90 passes through 1.2 million pictures
    "single": Knobs(**FULL, towers=1, normalise=False, steps=843_750),
    "small": Knobs(flip=True, steps=6000, lr=2e-3),
}
system = System(
    Knobs, PRESETS, prepare, build, train, score, use,
    takes=(Image,), read=read, loss=loss, probe=classifier_probe,
)  # fmt: skip
