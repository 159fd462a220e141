"""Residual nets recognise photographs.

Paper       He, Zhang, Ren & Sun (2015), Deep residual learning for image recognition, arXiv:1512.03385, CVPR 2016.
Idea        each block adds to what it was given: identity shortcuts let gradients reach a hundred layers down.
Deviations  `paper` is the paper's net for small pictures (6n + 2 layers, shortcuts without parameters) and its
            training. `quick`, `fashion` and `photos` take eight layers on a whitened stem of half the size, Muon, label
            smoothing and a mean of the weights (after Jordan's airbench, 2024), for machines without a GPU.
Result      error 0.63 ± 0.06 %, 5 seeds, MNIST test, 8,000 training images, 76.9 s, on 2 cores of AMD EPYC;
            fashion: error 6.55 ± 0.16 %, 2 seeds, Fashion-MNIST test, 55,000 training images, 70.0 s; fashion
            long: error 5.54 %, 1 seed, Fashion-MNIST test, 55,000 training images, 475.4 s, on 2 cores of
            Intel Xeon.
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
from ..parts.augment import augmented
from ..parts.layers import Normalise, norm, whiten
from ..parts.metrics import error_rate
from ..parts.muon import Muon


class Knobs(Config):
    depth: int = Field(default=8, ge=8, le=1202, description="layers: 6n + 2 for small pictures; 18, 34 or 50 for 224")
    width: int = Field(default=32, ge=4, le=512, description="channels of the first group; small pictures only")
    norm: Literal["batch", "layer", "group", "none"] = Field(default="batch", description="normalisation of each layer")
    stem: Literal["whitened", "plain"] = Field(default="whitened", description="first layer; small pictures only")
    side: int = Field(default=32, ge=16, le=512, description="pixels of a picture's side")
    method: Literal["muon", "sgd"] = Field(default="muon", description="optimiser; sgd with the paper's steps of lr")
    steps: int = Field(default=800, ge=1, description="optimiser updates")
    batch: int = Field(default=128, ge=2, description="pictures an update")
    lr: float = Field(default=0.01, gt=0, description="step size at its peak")
    decay: float = Field(default=0.05, ge=0, description="weight decay")
    head_steps: int = Field(default=0, ge=0, description="first so many updates train the last layer alone (--from)")
    smoothing: float = Field(default=0.1, ge=0, lt=1, description="of each target is spread over all classes")
    balance: float = Field(default=0.0, ge=0, le=1, description="1: rare classes weigh as much as frequent ones")
    average: float = Field(default=0.98, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    shift: int = Field(default=2, ge=0, le=64, description="random shift of training pictures, pixels")
    flip: bool = Field(default=False, description="mirror training pictures at random, and average both when used")
    cutout: int = Field(default=0, ge=0, le=256, description="side of a square hidden in training pictures, pixels")
    mixup: float = Field(default=0.0, ge=0, le=4, description="strength of blending pairs of training pictures")
    cutmix: float = Field(default=0.0, ge=0, le=4, description="strength of pasting parts of one into another")


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution that keeps the picture's size up to its stride; a normalisation after it has the bias."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias)


class Block(nn.Module):
    """Two 3 x 3 layers, or (`narrow`) 1 x 1, 3 x 3, 1 x 1, and the shortcut around them (the paper's Figures 2, 5)."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool, narrow: bool = False,
                 kind: str = "batch") -> None:  # fmt: skip
        super().__init__()
        bare = kind == "none"
        plan = [(outputs // 4, 1, 1), (outputs // 4, 3, stride), (outputs, 1, 1)] if narrow else \
               [(outputs, 3, stride), (outputs, 3, 1)]  # fmt: skip
        self.layers = len(plan)
        for number, (channels, size, pace) in enumerate(plan, 1):
            before = inputs if number == 1 else plan[number - 2][0]
            self.add_module(f"conv{number}", convolution(before, channels, size, pace, bare))
            self.add_module(f"bn{number}", norm(kind, channels, maps=True))
        last = getattr(self, f"{'conv' if bare else 'bn'}{self.layers}")
        nn.init.zeros_(last.weight)  # a block begins as the identity (Goyal et al. 2017)
        if bare:
            nn.init.zeros_(last.bias)
        self.stride, self.more = stride, outputs - inputs
        changes = stride > 1 or self.more
        self.downsample = nn.Sequential(
            convolution(inputs, outputs, 1, stride, bare), norm(kind, outputs, maps=True)
        ) if project and changes else None  # fmt: skip

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        found = x
        for number in range(1, self.layers + 1):
            found = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(found))
            found = F.relu(found) if number < self.layers else found
        if self.downsample is not None:
            return F.relu(found + self.downsample(x))
        if self.stride > 1 or self.more:  # shortcut A: every second pixel, zeros for the channels that are new
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(found + x)


LARGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # blocks in each group of the nets for 224 pixels


class ResNet(nn.Module):
    """Takes raw levels, 0 to 255. Its tensors have torchvision's names, so weights of that net can be taken."""

    whitened: Tensor
    class_weight: Tensor

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        depth, channels, counts = knobs.depth, facts["channels"], torch.tensor(facts["counts"], dtype=torch.float32)
        large = depth in LARGE
        if not large and depth % 6 != 2:
            raise UserError("a depth of 6n + 2 (8, 20, 32, ...), 18, 34 or 50", str(depth), "Change 'depth'", "resnet")
        blocks = LARGE[depth] if large else (depth // 6,) * 3
        width, narrow, self.white = 64 if large else knobs.width, depth == 50, knobs.stem == "whitened" and not large
        self.normalise = Normalise(facts["mean"], facts["spread"])
        before = 18 * channels if self.white else width
        bare = knobs.norm == "none" and not self.white
        self.conv1 = convolution(channels, before, 7 if large else 3, 2 if large or self.white else 1, bare)
        self.conv1.weight.requires_grad_(not self.white)
        self.bn1 = nn.Identity() if self.white else norm(knobs.norm, before, maps=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.groups = len(blocks)
        for group, count in enumerate(blocks):
            outputs = width * 2**group * (4 if narrow else 1)
            made = []
            for number in range(count):
                stride = 2 if group and not number else 1
                made.append(Block(before, outputs, stride, large or self.white, narrow, knobs.norm))
                before = outputs
            self.add_module(f"layer{group + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(before, len(facts["labels"]))
        self.mirrored, self.smoothing = knobs.flip, knobs.smoothing
        self.register_buffer("whitened", torch.zeros(channels))
        self.register_buffer("class_weight", (counts.mean() / counts.clamp(min=1)) ** knobs.balance, persistent=False)

    def features(self, image: Tensor) -> Float[Tensor, "B D"]:
        x = self.maxpool(F.relu(self.bn1(self.conv1(self.normalise(image)))))
        for group in range(self.groups):
            x = getattr(self, f"layer{group + 1}")(x)
        return x.mean((2, 3))

    def forward(self, image: Integer[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        logits = self.fc(self.features(image))
        if self.mirrored and not self.training:
            return (logits + self.fc(self.features(image.flip(3)))) / 2
        return logits


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    data = pictures(place, default="digits", side=knobs.side, colour=True)
    changes = augmented(len(data.facts["labels"]), shift=knobs.shift, flip=knobs.flip, cutout=knobs.cutout,
                        level=round(data.facts["mean"]), mix=knobs.mixup, paste=knobs.cutmix)  # fmt: skip
    data.train.augment = changes
    return data


def build(knobs: Knobs, facts: Facts) -> ResNet:
    return ResNet(knobs, facts)


def loss(model: ResNet, batch: Labelled) -> dict[str, Tensor]:
    logits, label = model(batch.image), batch.label
    smoothing = model.smoothing if model.training else 0.0
    value = F.cross_entropy(logits, label, model.class_weight, label_smoothing=smoothing)
    return {"loss": value, "error": error_rate(logits, label if label.dim() == 1 else label.argmax(-1))}


def stepped(steps: int) -> Callable[[int], float]:
    """The paper's rates: a tenth after half of the updates, a hundredth after three quarters."""
    return lambda step: 1.0 if 2 * step < steps else 0.1 if 4 * step < 3 * steps else 0.01


METHODS = {
    "muon": lambda knobs, weights: Muon(weights, knobs.lr, decay=knobs.decay),
    "sgd": lambda knobs, weights: torch.optim.SGD(weights, knobs.lr, 0.9, weight_decay=knobs.decay, fused=True),
}
SCHEDULES = {"muon": lambda steps: cosine(steps, steps // 10), "sgd": stepped}


def train(knobs: Knobs, model: ResNet, data: Data[Labelled], run: Run) -> None:
    if model.white and not model.whitened.any():  # a net that another run lends has its own
        examples = next(data.train.sweep(max(64, min(5000, 5000 * 32**2 // knobs.side**2)))).image
        whiten(model.conv1, model.normalise(examples))
        model.whitened.fill_(1.0)
    make, schedule = METHODS[knobs.method], SCHEDULES[knobs.method]
    if knobs.head_steps:
        fit(model, loss, data.train, run, steps=knobs.head_steps, batch=knobs.batch, stage="head",
            optimizer=torch.optim.Adam(model.fc.parameters(), 3e-3))  # fmt: skip
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=make(knobs, model.parameters()), schedule=schedule(knobs.steps),
        average=knobs.average or None)  # fmt: skip
    run.show(filters=tiles(model.conv1.weight))


def score(knobs: Knobs, model: ResNet, data: Data[Labelled], place: Place) -> dict[str, Score]:
    found = {"error": error_score(model, data.test, paper=8.75, paper_data="CIFAR-10, ResNet-20")}
    return found | ({"top5_error": top_score(model, data.test, 5)} if len(data.facts["labels"]) > 10 else {})


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: ResNet, facts: Facts, images: Sequence[Image]) -> list[dict[str, Ranking | Image]]:
    image = seen(facts, images)
    chance = model(image).softmax(-1)
    return [{"answer": Ranking.of(row, facts["labels"]), "seen": Image.of(picture)}
            for row, picture in zip(chance, image, strict=True)]  # fmt: skip


PHOTOS = {"flip": True, "width": 48, "decay": 0.2}
PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(depth=20, width=16, stem="plain", method="sgd", steps=64_000, lr=0.1, decay=1e-4, smoothing=0.0,
                   average=0.0, shift=4, flip=True),
    "fashion": Knobs(flip=True, side=28, shift=1, steps=2300),
    "fashion-long": Knobs(flip=True, side=28, shift=1, width=64, steps=6000, lr=0.02, average=0.99, cutout=6),
    "photos": Knobs(**PHOTOS, steps=4000, lr=0.04),
    "photos-long": Knobs(flip=True, width=64, decay=0.2, steps=7000, lr=0.03, average=0.99, cutout=6),
    "photos-longest": Knobs(flip=True, width=96, decay=0.2, steps=6500, batch=256, lr=0.03, average=0.995, shift=3,
                            cutout=8),
    "tune": Knobs(**PHOTOS, steps=1000, lr=0.003, head_steps=150),
}  # fmt: skip
system = System(
    Knobs, PRESETS, prepare, build, train, score, use,
    takes=(Image,), read=read, loss=loss, probe=classifier_probe,
)  # fmt: skip
