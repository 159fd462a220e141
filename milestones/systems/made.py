"""A net says each pixel's chance given those before it, all at once, and so the exact likelihood of a picture.

Paper       Germain, Gregor, Murray & Larochelle (2015), MADE: masked autoencoder for distribution estimation, ICML,
            PMLR 37, 881-889.
Idea        p(x) is a product over the pixels of each one's chance given the ones before it. Weights of an autoencoder
            are masked so that no path leads from a pixel to its own chance or to those before it: one pass gives all
            factors. Drawing takes a pass a pixel.
Deviations  Adam with a cosine and early stopping for Adadelta; bits are drawn anew for each update; pixels of 256
            levels by a mixture of cut logistics (Salimans et al. 2017), of which the paper has none. With several
            `masks` the model is their mixture, exact as well, where the paper averages chances of pixels.
Result      not yet measured with several seeds
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.likely import QUANTILES, asked, bits_anew, likelihoods, quantiles, scored, sheet, verdict
from ..data.pictures import pictures, seen
from ..media import Image, Media
from ..parts.layers import Normalise
from ..parts.likelihood import Terms, bernoulli, bits, logistic

NARROWEST = -7.0  # logarithm of a logistic's width, in half ranges of levels
LARGEST = 2**26  # weights, of each kind: a quarter of a gigabyte


class Knobs(Config):
    pixels: Literal["binary", "grey"] = Field(default="binary", description="bits drawn by the levels, scored in nats "
                                              "(nll), or the 256 levels, in bits a pixel (bpd)")  # fmt: skip
    hidden: int = Field(default=500, ge=1, le=8192, description="units of a hidden layer")
    layers: int = Field(default=1, ge=1, le=8, description="hidden layers")
    masks: int = Field(default=1, ge=1, le=64, description="ways to connect, each with its own order of the pixels, "
                       "taken by turns; 1: line by line")  # fmt: skip
    direct: bool = Field(default=True, description="pixels also reach later chances without a hidden layer")
    parts: int = Field(default=3, ge=1, le=20, description="logistics mixed for a pixel's level (grey)")
    steps: int = Field(default=3000, ge=1, description="optimiser updates")
    batch: int = Field(default=100, ge=1, description="pictures per update")
    lr: float = Field(default=5e-3, gt=0, description="Adam's step size at its peak")
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    patience: int = Field(default=8, ge=1, description="end after so many evaluations without a lower loss")


def places(pixels: int, hidden: int, layers: int, number: int) -> list[np.ndarray]:
    """Who comes when, for one way to connect: the pixels' places, 0 to pixels - 1, and the place of the last pixel that
    each hidden unit of each layer may see (the paper's m, less 1)."""
    rng = np.random.default_rng(number)
    found = [np.arange(pixels) if number == 0 else rng.permutation(pixels)]
    for _ in range(layers):
        least = min(int(found[-1].min()), max(pixels - 2, 0))
        found.append(rng.integers(least, max(pixels - 1, 1), hidden))
    return found


class Masked(nn.Linear):
    """A linear layer whose weights are off where one of its masks says so."""

    mask: Tensor

    def __init__(self, mask: np.ndarray, bias: bool = True) -> None:
        super().__init__(mask.shape[2], mask.shape[1], bias)
        self.register_buffer("mask", torch.from_numpy(mask), persistent=False)  # N outputs inputs

    def forward(self, x: Float[Tensor, "B I"], number: int = 0, only: slice = slice(None)) -> Float[Tensor, "B O"]:
        """The outputs `only`, under mask `number`."""
        shift = None if self.bias is None else self.bias[only]
        return F.linear(x, self.weight[only] * self.mask[number][only], shift)


class MADE(nn.Module):
    """Takes levels 0 to 255 as integers. `usual`: quantiles of -log p of validation pictures, kept for `use`."""

    usual: Tensor
    order: Tensor

    def __init__(self, knobs: Knobs, side: int, mean: float, spread: float) -> None:
        super().__init__()
        pixels = side * side
        self.side, self.masks, self.binary = side, knobs.masks, knobs.pixels == "binary"
        self.per = 1 if self.binary else 3 * knobs.parts  # numbers that say a pixel's chances
        size = knobs.masks * max(pixels * self.per, knobs.hidden) * max(pixels, knobs.hidden)
        if size > LARGEST:
            raise UserError(f"at most {LARGEST:,} masked connections", f"{size:,}", "Take fewer hidden units, masks or "
                            "parts", "made")  # fmt: skip
        ways = [places(pixels, knobs.hidden, knobs.layers, number) for number in range(knobs.masks)]

        def mask(later: int, sooner: int, strict: bool) -> np.ndarray:
            pairs = [(way[later][:, None], way[sooner][None]) for way in ways]
            on = np.stack([after > before if strict else after >= before for after, before in pairs])
            return on.repeat(self.per, 1) if strict else on  # all numbers that say a pixel's chances are masked alike

        self.level = nn.Identity() if self.binary else Normalise(mean, spread)
        self.inner = nn.ModuleList(Masked(mask(k + 1, k, False)) for k in range(knobs.layers))
        self.out = Masked(mask(0, knobs.layers, True))
        self.direct = Masked(mask(0, 0, True), bias=False) if knobs.direct else None
        for layer in (*self.inner, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)
        if not self.binary:  # the logistics begin apart, over the range of levels
            with torch.no_grad():
                self.out.bias.view(-1, 3, knobs.parts)[:, 1] = torch.linspace(-1, 1, knobs.parts + 2)[1:-1]
                self.out.bias.view(-1, 3, knobs.parts)[:, 2] = -1.0
        self.register_buffer("order", torch.from_numpy(np.stack([way[0].argsort() for way in ways])), persistent=False)
        self.register_buffer("usual", torch.zeros(QUANTILES))

    def pixel(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        """What is observed: bits, fixed by the picture, or levels."""
        return (bits(image) if self.binary else image.float()).flatten(1)

    def said(self, x: Float[Tensor, "B P"], number: int = 0, only: slice = slice(None)) -> Float[Tensor, "B N"]:
        """What says the chances of each pixel, or of the outputs `only`, under one mask."""
        h = level = self.level(x)
        for layer in self.inner:
            h = F.relu(layer(h, number))
        said = self.out(h, number, only)
        return said if self.direct is None else said + self.direct(level, number, only)

    def factors(self, x: Float[Tensor, "B P"], number: int = 0) -> Float[Tensor, "B P"]:
        """Log chance of each pixel given those before it, in nats; their sum is log p(x) under one mask."""
        said = self.said(x, number)
        if self.binary:
            return bernoulli(x, said)
        share, mean, width = said.unflatten(1, (x.shape[1], 3, -1)).unbind(2)
        return (share.log_softmax(-1) + logistic(x[..., None], mean, width.clamp(min=NARROWEST))).logsumexp(-1)

    def forward(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B"]:
        """log p(x) in nats, exactly: of the mixture of all masks."""
        x = self.pixel(image)
        each = torch.stack([self.factors(x, number).sum(1) for number in range(self.masks)])
        return each.logsumexp(0) - math.log(self.masks)

    @torch.no_grad()
    def draw(self, count: int, temperature: float, rng: torch.Generator, given: Tensor | None = None,
             before: int = 0) -> Float[Tensor, "N H W"]:  # fmt: skip
        """New pictures of levels 0 to 255, pixel after pixel; with `given` "P" their first pixels, `before` so many,
        as it has them. `temperature` divides logits and multiplies widths: 0 is the likeliest of each."""
        number = int(torch.randint(self.masks, (1,), generator=rng)) if given is None else 0
        x = torch.zeros(count, self.side**2, device=self.usual.device)
        if given is not None:
            x[:, self.order[0, :before]] = given[self.order[0, :before]]
        heat = max(temperature, 1e-4)
        for place in self.order[number, before:].tolist():
            said = self.said(x, number, slice(place * self.per, (place + 1) * self.per))
            chance = torch.rand(count, generator=rng).clamp(1e-6, 1 - 1e-6).to(x.device)
            if self.binary:
                x[:, place] = (chance < (said[:, 0] / heat).sigmoid()).float()
                continue
            share, mean, width = said.unflatten(1, (3, -1)).unbind(1)
            one = (share / heat).softmax(-1).cpu().multinomial(1, generator=rng).to(x.device)
            mean, width = (part.gather(1, one)[:, 0] for part in (mean, width.clamp(min=NARROWEST)))
            x[:, place] = (127.5 * (mean + heat * width.exp() * chance.logit() + 1)).round().clamp(0, 255)
        return (x * (255 if self.binary else 1)).unflatten(1, (self.side, self.side))


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28, augment=bits_anew if knobs.pixels == "binary" else None)


def build(knobs: Knobs, facts: Facts) -> MADE:
    return MADE(knobs, facts["side"], facts["mean"], facts["spread"])


def loss(model: MADE, batch: Labelled, number: int | None = None) -> dict[str, Tensor]:
    """-log p(x) in nats a picture, mean over the batch: of the mixture of all masks, or of mask `number`."""
    if number is None:
        return {"loss": -model(batch.image).mean()}
    return {"loss": -model.factors(model.pixel(batch.image), number).sum(1).mean()}


def by_turns(run: Run) -> Callable[[MADE, Labelled], dict[str, Tensor]]:
    """The loss in training under one mask after the other; in validation of all."""
    return lambda model, batch: loss(model, batch, run.step % model.masks if model.training else None)


def train(knobs: Knobs, model: MADE, data: Data[Labelled], run: Run) -> None:
    fit(model, by_turns(run), data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=100.0,
        optimizer=torch.optim.Adam(model.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
        average=knobs.average or None, patience=knobs.patience)  # fmt: skip
    model.usual.copy_(quantiles(likelihoods(model, lambda image: -model(image), data.valid, most=1000)))
    if run.showing and not run.ended:
        run.show(**shown(model.eval(), data, keyed(run.place.seed, "shown")))


@torch.no_grad()
def shown(model: MADE, data: Data[Labelled], rng: torch.Generator) -> dict[str, Any]:
    """Drawn by chance, not chosen: new pictures; validation pictures whose second half, in the order of the pixels, is
    drawn anew; and where validation pictures surprise."""
    image = data.valid.batch(0, 10).image
    x, half = model.pixel(image), model.side**2 // 2
    was = x.unflatten(1, (model.side, model.side)) * (255 if model.binary else 1)
    rows = [torch.cat([was[k : k + 1], model.draw(5, 1.0, rng, x[k], half)]) for k in range(6)]
    return {
        "drawn": sheet(model.draw(64, 1.0, rng), 8),
        "completed": sheet(torch.cat(rows), 12),
        "surprise": sheet(torch.cat([was, surprise(model, x)]), len(x)),
    }


def surprise(model: MADE, x: Float[Tensor, "B P"]) -> Float[Tensor, "B H W"]:
    """Where a picture surprises: -log chance of each pixel, from 0 to 255 for 5 nats."""
    return (-51 * model.factors(x)).clamp(0, 255).unflatten(1, (model.side, model.side))


def score(knobs: Knobs, model: MADE, data: Data[Labelled], place: Place) -> dict[str, Score]:
    nats = likelihoods(model, lambda image: -model(image), data.test)
    published = {"paper": 88.04, "paper_data": "MNIST test, binarised once for all, 60,000 training images"}
    return scored(nats, data.test, terms(model), model.side**2, **published)


def terms(model: MADE) -> Terms:
    return Terms("binary" if model.binary else "8-bit", exact=True)


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: MADE, facts: Facts, images: Sequence[Image], *,
        samples: Annotated[int, "new pictures, and second halves of this one, drawn beside each answer"] = 8,
        temperature: Annotated[float, "below 1 more of what is likely, above 1 less; 0: the likeliest"] = 1.0,
        seed: Annotated[int, "of what is drawn"] = 0) -> list[dict[str, Media]]:  # fmt: skip
    asked(samples, temperature, "made")
    image = seen(facts, images)
    nats = torch.cat([-model(one[None]) for one in image])  # alone: so no answer hangs on its neighbours
    found: list[dict[str, Media]] = verdict(nats, model.usual, terms(model))
    drawn = sheet(model.draw(samples, temperature, keyed(seed, "drawn"))) if samples else None
    for answer, one in zip(found, image, strict=True):
        x = model.pixel(one[None])
        answer |= {"seen": Image.of(one), "surprise": sheet(surprise(model, x))}
        if drawn is not None:
            rng, half = keyed(seed, "completed"), model.side**2 // 2
            answer["completed"] = sheet(model.draw(samples, temperature, rng, x[0], half))
            answer["drawn"] = drawn
    return found


PRESETS = {
    "quick": Knobs(),
    "grey": Knobs(pixels="grey", direct=False, hidden=300, steps=1800),
    "orders": Knobs(masks=8, layers=2, steps=5400),
    "fashion": Knobs(steps=11_000, patience=20),  # for --data fashion: 20 passes through its 55,000
    "paper": Knobs(hidden=8000, direct=False, steps=100_000, average=0.0, patience=30),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss)
