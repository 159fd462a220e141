"""A net learns to compare, and so knows a new class from a picture or a few.

Paper       Snell, Swersky & Zemel (2017), Prototypical networks for few-shot learning, NeurIPS 30, 4077-4087.
Idea        a net places pictures so that a class lies around the mean of its examples, its prototype. It is trained on
            episodes, small tasks of classes drawn anew, as it will be asked: a class that it has never seen needs no
            training, only its mean.
Deviations  five alphabets to learn from where the paper has over thirty; each drawing of an episode is asked about in
            turn, the others are what is known; drawings are distorted, scaled to a box and centred by mass; a cosine
            for halved rates; the mean of the weights over time. A curve that is fitted to pairs of validation says how
            likely two drawings are of one class.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, mean_score, rate_score
from ..core.source import Data, Facts, Place
from ..core.system import System
from ..data.omniglot import Drawn, classes, omniglot, redrawn, seen
from ..media import Image, Ranking, mosaic
from ..parts.layers import Normalise
from ..parts.oneshot import barred, missed, nearer, prototype_logits, same_chance, threshold

WAY = 5  # classes of the small episodes that are scored
SHOWN = 10  # questions in the report
SAME = ("same", "different")


class Knobs(Config):
    background: Literal["first", "second"] = Field(default="first", description="which five alphabets to learn from")
    shots: int = Field(default=1, ge=1, le=19, description="drawings that a class is known by in training")
    steps: int = Field(default=800, ge=1, description="optimiser updates")
    batch: int = Field(default=48, ge=2, description="characters of an episode, one of each update")
    lr: float = Field(default=3e-3, gt=0, description="Adam's step size at its peak")
    width: int = Field(default=64, ge=1, le=1024, description="maps of a layer, and numbers of an embedding")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    turn: bool = Field(default=True, description="characters turned by quarters are characters, too")
    shift: float = Field(default=1.0, ge=0, le=14, description="random shift of training drawings, pixels")
    rotate: float = Field(default=12.0, ge=0, le=180, description="random rotation, degrees")
    scale: float = Field(default=0.15, ge=0, lt=1, description="random scaling, fraction")
    slant: float = Field(default=0.15, ge=0, lt=1, description="random slant, fraction")
    elastic: float = Field(default=0.8, ge=0, le=10, description="elastic distortion, pixels (root mean square)")


class Embedding(nn.Module):
    """111,936 parameters at the paper's width. Takes raw grey levels, 0 to 255; for 28 x 28 pixels an embedding has
    `width` numbers. Kept for `use`: `known`, the prototypes of the training characters; `pair`, slope and middle of the
    curve over squared distances."""

    known: Tensor
    pair: Tensor

    def __init__(self, width: int, characters: int, mean: float, spread: float) -> None:
        super().__init__()

        def block(inputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]

        self.net = nn.Sequential(Normalise(mean, spread), *block(1), *block(width), *block(width), *block(width))
        self.register_buffer("known", torch.zeros(characters, width))
        self.register_buffer("pair", torch.tensor([1.0, 0.0]))

    def forward(self, image: Integer[Tensor, "B 1 28 28"] | Float[Tensor, "B 1 28 28"]) -> Float[Tensor, "B D"]:
        return self.net(image).flatten(1)


def prepare(knobs: Knobs, place: Place) -> Data[Drawn]:
    ranges = knobs.model_dump(include={"shift", "rotate", "scale", "slant", "elastic"})
    return omniglot(place, knobs.background, redrawn(knobs.shots, knobs.turn, **ranges))


def build(knobs: Knobs, facts: Facts) -> Embedding:
    return Embedding(knobs.width, len(facts["characters"]), float(facts["mean"]), float(facts["spread"]))


def embedded(model: Embedding, batch: Drawn) -> Float[Tensor, "B S D"]:
    """Where each drawing of each character lies."""
    return model(batch.image.flatten(0, 1)).float().unflatten(0, batch.image.shape[:2])


def loss(model: Embedding, batch: Drawn) -> dict[str, Tensor]:
    """Cross-entropy in nats of naming each drawing by the prototypes of the others; the percent named wrongly."""
    logits = prototype_logits(embedded(model, batch))  # B S B
    logits = logits.masked_fill(barred(batch.label, batch.group)[:, None], -torch.inf).flatten(0, 1)
    target = torch.arange(len(batch.label), device=logits.device).repeat_interleave(batch.image.shape[1])
    return {"loss": F.cross_entropy(logits, target), "error": 100 * (logits.argmax(-1) != target).float().mean()}


def train(knobs: Knobs, model: Embedding, data: Data[Drawn], run: Run) -> None:
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid,
        optimizer=torch.optim.Adam(model.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
        average=knobs.average or None)  # fmt: skip
    settle(model, data)
    run.show(asked=asked(model, whole(data.valid)))


def whole(source: Any) -> Drawn:
    """All of a source at once."""
    return next(iter(source.sweep(len(source))))


@torch.no_grad()
def settle(model: Embedding, data: Data[Drawn]) -> None:
    """Keep where the training characters lie, and how far apart two drawings of one character are in validation."""
    was = model.training
    model.eval()
    model.known.copy_(torch.cat([embedded(model, batch).mean(1) for batch in data.train.sweep(20)]))
    model.pair.copy_(torch.tensor(threshold(*pairs(model, whole(data.valid)))))
    model.train(was)


def pairs(model: Embedding, batch: Drawn) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Squared distances of two drawings of each character, and of one of it and one of the next in its group."""
    x, group = embedded(model, batch), batch.group  # groups stand one after the other
    start = torch.searchsorted(group, group)
    other = start + (torch.arange(len(group), device=group.device) - start + 1) % group.bincount()[group]
    return (x[:, 0] - x[:, 1]).square().sum(-1), (x[other, 0] - x[:, 1]).square().sum(-1)


@torch.no_grad()
def asked(model: Embedding, batch: Drawn) -> Image:
    """The first questions above the drawing that each is named by, with whether that is right."""
    was = model.training
    model.eval()
    x = embedded(model, batch)
    rivals = ~barred(batch.label, batch.group)
    far = (x[:, 1][:, None] - x[:, 0][None]).square().sum(-1).masked_fill(~rivals, torch.inf)
    model.train(was)
    said = far.argmin(1)[:SHOWN]
    drawn = [*batch.image[:SHOWN, 1], *batch.image[said, 0]]
    words = ["right" if k == said[k] else "wrong" for k in range(len(said))]
    return mosaic([Image.of(one) for one in drawn], [*["asked"] * len(said), *words], len(said))


@torch.no_grad()
def score(knobs: Knobs, model: Embedding, data: Data[Drawn], place: Place) -> dict[str, Score]:
    """`error`: of naming each second drawing by the first ones of its run; `error_5way`: in episodes of five of these
    classes; both also by the nearest picture, pixel for pixel; `error_pairs`: of telling pairs of one class from pairs
    of two, as many of each."""
    batch = whole(data.test)
    x, source, found = embedded(model, batch), data.test, {}
    for name, one in (("", x), ("_pixels", batch.image.float())):
        ahead, others = nearer(one[:, 1], one[:, 0], batch.label, batch.group)
        how = "nearest picture, pixel for pixel" if name else "nearest prototype"
        runs, way = len(batch.group.unique()), int(others.max()) + 1
        published = {} if name or knobs.shots > 1 else {
            "paper": 30.1, "paper_data": "these runs, both small backgrounds, Lake et al. 2019"}  # fmt: skip
        found[f"error{name}"] = rate_score(int((ahead > 0).sum()), len(ahead), source, **published,
                                           note=f"{runs} runs, {way}-way 1-shot, {how}")  # fmt: skip
        note = f"{WAY}-way 1-shot, the mean over all episodes within a run, {how}"
        found[f"error_{WAY}way{name}"] = mean_score(100 * missed(ahead, others, WAY), "%", source, note=note)
    same, different = pairs(model, batch)
    wrong = int((same_chance(same, *model.pair) < 0.5).sum() + (same_chance(different, *model.pair) >= 0.5).sum())
    note = "half of the pairs of one class; the threshold is from validation"
    found["error_pairs"] = rate_score(wrong, len(same) + len(different), source, note=note)
    return found


def read(facts: Facts, images: Sequence[Image]) -> Drawn:
    image = seen(images)
    one = torch.arange(len(image))
    return Drawn(image[:, None].expand(-1, 2, -1, -1, -1), one, torch.zeros_like(one))


def use(model: Embedding, facts: Facts, images: Sequence[Image], *,
        learn: Annotated[str, "a folder with a folder of pictures, one or more, for each class", "path"] = "",
        like: Annotated[str, "a picture: is each input of the same class as it?", "path"] = "",
        ) -> list[dict[str, Ranking | Image]]:  # fmt: skip
    """Which class each picture is of, of those in `learn`, else of the characters of the training set."""
    image = seen(images)
    x, names, prototypes = model(image), facts["characters"], model.known
    if learn:
        examples = classes(Path(learn), "fewshot")
        names, prototypes = list(examples), torch.stack([model(seen(one)).mean(0) for one in examples.values()])
    chance = (-(x[:, None] - prototypes[None]).square().sum(-1)).softmax(-1)
    found: list[dict[str, Ranking | Image]] = [{} for _ in images]
    if like:
        far = (x - model(seen([Image.open(like)]))).square().sum(-1)
        for answer, p in zip(found, same_chance(far, *model.pair), strict=True):
            answer["same"] = Ranking.of(torch.stack([p, 1 - p]), SAME)
    for answer, row, picture in zip(found, chance, image, strict=True):
        answer |= {"answer": Ranking.of(row, names), "seen": Image.of(picture)}
    return found


PLAIN = dict.fromkeys(("average", "shift", "rotate", "scale", "slant", "elastic"), 0.0)
PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(steps=20000, batch=60, lr=1e-3, **PLAIN),
    "second": Knobs(background="second"),
    "five": Knobs(shots=5),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss)
