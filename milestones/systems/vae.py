"""A net puts pictures into a small space of causes, draws new ones from it, and says how likely a picture is.

Paper       Kingma & Welling (2014), Auto-encoding variational Bayes, ICLR; also Rezende, Mohamed & Wierstra (2014),
            Stochastic backpropagation and approximate inference in deep generative models, ICML.
Idea        the encoder says a Gaussian over causes; a draw from it, written as mean + spread * noise, lets the gradient
            through; the decoder gives each pixel its chance. Both maximise a bound of the likelihood: how well the
            picture comes back, less how far its Gaussian is from the standard one.
Deviations  two hidden layers of rectified units each for one of tanh; Adam with a cosine for Adagrad; the divergence is
            weighted from 0 up to `beta` over the first updates (Sonderby et al. 2016; beta: Higgins et al. 2017);
            training on several importance samples (Burda et al. 2016) and classes as a further cause (Kingma et al.
            2014) are knobs; early stopping. Likelihoods are importance-weighted bounds, their terms beside them.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from ..core.config import Config, Field
from ..core.errors import UserError, nearest
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data import Labelled
from ..data.likely import QUANTILES, asked, bits_anew, likelihoods, quantiles, scored, sheet, verdict
from ..data.pictures import pictures, seen
from ..media import Curve, Image, Media, Ranking
from ..parts.initial import he
from ..parts.layers import Normalise
from ..parts.likelihood import Terms, bernoulli, bits, gaussian, importance, kl, logistic

NARROWEST, WIDEST = -7.0, 8.0  # logarithms: a pixel's width in half ranges of its levels, a cause's variance
ASKED, SEED = 200, 0  # importance samples of a picture in `use` and of validation pictures; of their noise
FAR = 2.0  # standard deviations to either side, of a traversal
ACTIVE = 0.01  # variance over pictures of a cause's mean, from which it is used (Burda et al. 2016)


class Knobs(Config):
    pixels: Literal["binary", "grey"] = Field(default="binary", description="bits drawn by the levels, scored in nats "
                                              "(nll), or the 256 levels, in bits a pixel (bpd)")  # fmt: skip
    hidden: int = Field(default=400, ge=1, le=4096, description="units of each of two hidden layers, on both sides")
    latent: int = Field(default=20, ge=1, le=256, description="causes; with 2 the plane shown holds all")
    beta: float = Field(default=1.0, ge=0, le=100, description="weight of the divergence; 1: the bound itself")
    warmup: int = Field(default=900, ge=0, description="updates over which that weight rises from 0")
    conditional: bool = Field(default=False, description="the class is a cause, too: it can be asked for, and told")
    samples: int = Field(default=1, ge=1, le=100, description="importance samples a training picture; 1: the paper's")
    scored: int = Field(default=200, ge=1, le=10_000, description="importance samples a test picture")
    steps: int = Field(default=7200, ge=1, description="optimiser updates")
    batch: int = Field(default=100, ge=1, description="pictures per update")
    lr: float = Field(default=1e-3, gt=0, description="Adam's step size at its peak")
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    patience: int = Field(default=12, ge=1, description="end after so many evaluations without a better bound")


class VAE(nn.Module):
    """Takes levels 0 to 255 as integers. `usual`: quantiles of -log p of validation pictures, kept for `use`."""

    usual: Tensor
    prior: Tensor

    def __init__(self, knobs: Knobs, side: int, mean: float, spread: float, counts: Sequence[int]) -> None:
        super().__init__()
        self.side, self.latent, self.binary = side, knobs.latent, knobs.pixels == "binary"
        self.classes = len(counts) if knobs.conditional else 0

        def layers(inputs: int, outputs: int) -> nn.Sequential:
            inner = nn.Linear(inputs, knobs.hidden), nn.ReLU(), nn.Linear(knobs.hidden, knobs.hidden), nn.ReLU()
            return nn.Sequential(*inner, nn.Linear(knobs.hidden, outputs))

        self.level = nn.Identity() if self.binary else Normalise(mean, spread)
        self.encoder = layers(side * side + self.classes, 2 * knobs.latent)
        self.decoder = layers(knobs.latent + self.classes, side * side * (1 if self.binary else 2))
        he(self)
        for net in (self.encoder, self.decoder):
            nn.init.normal_(net[-1].weight, std=1e-2)  # begins near the standard Gaussian, and at even chances
        share = torch.tensor(counts, dtype=torch.float32) if knobs.conditional else torch.ones(1)
        self.register_buffer("prior", (share / share.sum()).clamp(min=1e-12).log(), persistent=False)
        self.register_buffer("usual", torch.zeros(QUANTILES))

    def pixel(self, image: Integer[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        """What is observed: bits, fixed by the picture, or levels."""
        return (bits(image) if self.binary else image.float()).flatten(1)

    def told(self, x: Tensor, label: Tensor | None) -> Tensor:
        """`x` with the class of each as a further input, where the model takes one."""
        if not self.classes or label is None:
            return x
        one = nn.functional.one_hot(label, self.classes).to(x.dtype)
        return torch.cat([x, one.expand(*x.shape[:-1], -1)], -1)

    def encode(self, x: Float[Tensor, "B P"], label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of each cause, "B D" each."""
        mean, variance = self.encoder(self.told(self.level(x), label)).chunk(2, -1)
        return mean, variance.clamp(-WIDEST, WIDEST)

    def chance(self, x: Float[Tensor, "B P"], z: Float[Tensor, "*S B D"], label: Tensor | None) -> Tensor:
        """log p(x | z) in nats, "*S B"."""
        said = self.decoder(self.told(z, label))
        if self.binary:
            return bernoulli(x, said).sum(-1)
        mean, width = said.chunk(2, -1)
        return logistic(x, mean, width.clamp(min=NARROWEST)).sum(-1)

    def draw(self, z: Float[Tensor, "B D"], label: Tensor | None) -> Float[Tensor, "B H W"]:
        """The level that is expected of each pixel, 0 to 255."""
        said = self.decoder(self.told(z, label))
        level = 255 * said.sigmoid() if self.binary else 127.5 * (said.chunk(2, -1)[0] + 1)
        return level.clamp(0, 255).unflatten(1, (self.side, self.side))

    def weights(self, x: Float[Tensor, "B P"], label: Tensor | None, noise: Float[Tensor, "S _ D"], pull: float = 1.0,
                ) -> Float[Tensor, "S B"]:  # fmt: skip
        """Logarithms of importance weights, p(x, z) / q(z | x), of z = mean + spread * noise."""
        mean, variance = self.encode(x, label)
        z = mean + (0.5 * variance).exp() * noise
        apart = gaussian(z, mean, variance) - gaussian(z, torch.zeros_like(mean), torch.zeros_like(mean))
        return self.chance(x, z, label) - pull * apart

    def by_class(self, image: Integer[Tensor, "B 1 H W"], noise: Float[Tensor, "S _ D"]) -> Float[Tensor, "B K"]:
        """A bound of log p(x, class) for each class, of log p(x) alone (K is 1) where the model knows none."""
        x = self.pixel(image)
        labels = [torch.full((len(x),), k, device=x.device) for k in range(self.classes)] or [None]
        return torch.stack([importance(self.weights(x, one, noise)) for one in labels], 1) + self.prior


def prepare(knobs: Knobs, place: Place) -> Data[Labelled]:
    return pictures(place, default="digits", side=28, augment=bits_anew if knobs.pixels == "binary" else None)


def build(knobs: Knobs, facts: Facts) -> VAE:
    return VAE(knobs, facts["side"], facts["mean"], facts["spread"], facts["counts"])


def loss(model: VAE, batch: Labelled, pull: float = 1.0, samples: int = 1) -> dict[str, Tensor]:
    """The negative bound in nats a picture, mean over the batch (equation 10; for more samples Burda et al.'s 8), and
    its two parts. The divergence is weighted by `pull`."""
    x, label = model.pixel(batch.image), batch.label
    mean, variance = model.encode(x, label)
    rng = None if model.training else keyed(SEED, "noise")  # an evaluation says the same twice
    noise = torch.randn(samples, *mean.shape, generator=rng).to(x.device)
    apart = kl(mean, variance).sum(-1).mean()
    if samples > 1:
        cost = -importance(model.weights(x, label, noise, pull)).mean()
        return {"loss": cost, "divergence": apart}
    back = -model.chance(x, mean + (0.5 * variance).exp() * noise[0], label).mean()
    return {"loss": back + pull * apart, "divergence": apart, "reconstruction": back}


def warmed(knobs: Knobs, run: Run) -> Callable[[VAE, Labelled], dict[str, Tensor]]:
    """The loss with the weight that the divergence has by now; in validation the bound itself, with its own."""

    def term(model: VAE, batch: Labelled) -> dict[str, Tensor]:
        if not model.training:
            return loss(model, batch, knobs.beta)
        return loss(model, batch, knobs.beta * min(1.0, (run.step + 1) / (knobs.warmup + 1)), knobs.samples)

    return term


def train(knobs: Knobs, model: VAE, data: Data[Labelled], run: Run) -> None:
    fit(model, warmed(knobs, run), data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=100.0,
        optimizer=torch.optim.Adam(model.parameters(), knobs.lr, fused=True), schedule=cosine(knobs.steps),
        average=knobs.average or None, patience=knobs.patience)  # fmt: skip
    noise = torch.randn(ASKED, 1, model.latent, generator=keyed(SEED, "asked"))
    model.usual.copy_(quantiles(likelihoods(model, surprise(model, noise), data.valid, most=1000)))
    if run.showing and not run.ended:
        run.show(**shown(model.eval(), data, keyed(run.place.seed, "shown")))


def surprise(model: VAE, noise: Tensor) -> Callable[[Tensor], Tensor]:
    """A bound from above of -log p of pictures, from the same `noise` for each: it depends on no neighbour."""
    return lambda image: -model.by_class(image, noise.to(image.device)).logsumexp(1)


@torch.no_grad()
def shown(model: VAE, data: Data[Labelled], rng: torch.Generator) -> dict[str, Any]:
    """Drawn by chance, not chosen: new pictures; validation pictures and what comes back of them; ways from one to
    another; what each of the most used causes changes; the plane of the two most used; how much each is used."""
    image, label = data.valid.batch(0, 500)
    mean = model.encode(model.pixel(image), label)[0]
    used = mean.var(0)
    order, of = used.argsort(descending=True), image.device

    def drawn(z: Tensor, label: Tensor) -> Tensor:
        return model.draw(z.to(of), label.to(of))

    z = torch.randn(64, model.latent, generator=rng)
    each = label[torch.randperm(len(label), generator=rng)[:64]] if len(label) >= 64 else label[:1].expand(64)
    back = torch.cat([image[:10, 0].float(), drawn(mean[:10], label[:10])])
    share, rows = torch.linspace(0, 1, 10, device=of)[:, None], min(5, len(mean) // 2)
    ways = [drawn(mean[2 * k] * (1 - share) + mean[2 * k + 1] * share, label[2 * k].expand(10)) for k in range(rows)]
    steps = torch.linspace(-FAR, FAR, 10, device=of)
    spans = [mean[:1] + steps[:, None] * torch.eye(model.latent, device=of)[k] for k in order[:8].tolist()]
    # Equal shares of the standard Gaussian lie between the lines of the plane (the paper's figure 4).
    line = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.025, 0.975, 16)).to(of)
    plane = torch.zeros(256, model.latent, device=of)
    plane[:, order[0]] = line.repeat(16)
    if model.latent > 1:
        plane[:, order[1]] = line.repeat_interleave(16)
    found = {"drawn": sheet(drawn(z, each), 8), "rebuilt": sheet(back, len(back) // 2), "plane": sheet(
        drawn(plane, label[:1].expand(256)), 16), "causes": sheet(drawn(torch.cat(spans), label[:1].expand(
            10 * len(spans))), 10)}  # fmt: skip
    if ways:
        found["ways"] = sheet(torch.cat(ways), 10)
    title = f"variance of its mean over pictures; {int((used > ACTIVE).sum())} of {model.latent} above {ACTIVE}"
    return {**found, "used": Curve(list(range(1, model.latent + 1)), {"used": used[order].tolist()}, "cause", title)}


@torch.no_grad()
def score(knobs: Knobs, model: VAE, data: Data[Labelled], place: Place) -> dict[str, Score]:
    test: Any = data.test
    said, over, rng, wrong = [], len(test), keyed(SEED, "score"), 0
    was = model.training
    model.eval()
    for batch in test.sweep(50):
        noise = torch.randn(knobs.scored, len(batch.image), model.latent, generator=rng).to(batch.image.device)
        found = model.by_class(batch.image, noise)
        said.append(-found.logsumexp(1))
        wrong += int((found.argmax(1) != batch.label).sum())
    model.train(was)
    published = {"paper": 89.9, "paper_data": "MNIST test, binarised once for all, 60,000 training images"}
    scores = scored(torch.cat(said), test, terms(model, knobs.scored), model.side**2, **published)
    return {**scores, **({"error": rate_score(wrong, over, test, note="by Bayes")} if model.classes else {})}


def terms(model: VAE, samples: int) -> Terms:
    return Terms("binary" if model.binary else "8-bit", exact=False, samples=samples)


def read(facts: Facts, images: Sequence[Image]) -> Labelled:
    image = seen(facts, images)
    return Labelled(image, torch.zeros(len(image), dtype=torch.long))


def use(model: VAE, facts: Facts, images: Sequence[Image], *,
        samples: Annotated[int, "new pictures drawn beside each answer"] = 16,
        temperature: Annotated[float, "of their causes: below 1 more usual ones; 0: all the same"] = 1.0,
        label: Annotated[str, "their class, of a conditional model; empty: the one that the picture has"] = "",
        seed: Annotated[int, "of what is drawn"] = 0) -> list[dict[str, Media]]:  # fmt: skip
    asked(samples, temperature, "vae")
    names = facts["labels"] if model.classes else []
    if label and label not in names:
        want = f"one of {', '.join(names)}" if names else "nothing: this model was not told classes"
        raise UserError(f"--label as {want}", repr(label)[:40], nearest(label, names, "Leave it out, or train with "
                        "--conditional true"), "vae")  # fmt: skip
    image = seen(facts, images)
    noise = torch.randn(ASKED, 1, model.latent, generator=keyed(SEED, "asked"))
    each = torch.cat([model.by_class(one[None], noise) for one in image])  # alone: so no answer hangs on its neighbours
    best = each.argmax(1)
    back = model.draw(model.encode(model.pixel(image), best)[0], best)
    z = temperature * torch.randn(samples, model.latent, generator=keyed(seed, "drawn"))
    found: list[dict[str, Media]] = verdict(-each.logsumexp(1), model.usual, terms(model, ASKED))
    for answer, one, own, rebuilt, row in zip(found, image, best, back, each, strict=True):
        answer |= {"seen": Image.of(one), "rebuilt": Image.of(rebuilt[None])}
        if model.classes:
            answer["class"] = Ranking.of(row.softmax(0), names)
            own = torch.tensor(names.index(label)) if label else own
        if samples:
            answer["drawn"] = sheet(model.draw(z, own.expand(samples)))
    return found


PRESETS = {
    "quick": Knobs(),
    "grey": Knobs(pixels="grey", steps=2000),
    "plane": Knobs(latent=2),
    "classes": Knobs(conditional=True, scored=50),
    "weighted": Knobs(samples=5, steps=3000),
    "fashion": Knobs(steps=16_500, patience=20),  # for --data fashion: 30 passes through its 55,000
    "paper": Knobs(hidden=500, steps=100_000, warmup=0, average=0.0, patience=10_000, scored=5000),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), read=read, loss=loss)
