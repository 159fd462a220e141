"""How likely a picture is, measured so that figures can be set side by side: which pixels, exact or a bound, how many
samples. `Terms` says it, and stands in the note of each Score.

Binary pixels: a pixel is on with the chance level / 255 (Salakhutdinov & Murray 2008). For training drawn anew each
time (`drawn`); for scores drawn once (`bits`), as a function of the picture and a seed alone: the same picture has the
same bits in any batch, in any order and on any machine. Eight bits: the chances of 256 levels, which sum to 1
(`logistic`), so nothing is dequantised; a density over real numbers is one of levels only where noise was added
(`dequantised`), and then bounds their likelihood.
"""

from __future__ import annotations

import math
import zlib
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

SEED = 2014  # of the bits that are scored
LEVELS = 256
MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # Steele, Lea & Flood (2014), SplitMix64


class Terms(NamedTuple):
    """How a likelihood was measured; ``str()`` of it is the note that is printed with the figure."""

    pixels: Literal["binary", "8-bit"]
    exact: bool  # else a lower bound of the likelihood: an upper one of what is printed
    samples: int = 0  # of the bound, each picture
    noise: bool = False  # levels were dequantised: uniform noise of one level added
    seed: int = SEED  # of the bits

    def __str__(self) -> str:
        drawn = f"binary pixels, each drawn once by its level (seed {self.seed})"
        pixels = drawn if self.pixels == "binary" else "8-bit pixels, " + "not " * (not self.noise) + "dequantised"
        if self.exact:
            return f"{pixels}; exact"
        return f"{pixels}; a bound, {self.samples:,} importance sample{'s' * (self.samples != 1)} a picture"


def bits_per_dimension(nats: Tensor, dimensions: int) -> Tensor:
    """Nats a picture as bits a pixel."""
    return nats / (dimensions * math.log(2))


def bits(image: Integer[Tensor, "B *P"], seed: int = SEED) -> Float[Tensor, "B *P"]:
    """Zeros and ones: each pixel of levels 0 to 255 is on with the chance level / 255, decided by the picture's
    content, the pixel's place and `seed`. Levels 0 and 255 stay what they are."""
    level = image.flatten(1).long()
    place = torch.arange(level.shape[1], device=level.device)
    own = (_mixed(place + 1) * (level + 1)).sum(1, keepdim=True)  # wraps, as unsigned numbers do
    chance = _mixed(_mixed(own + seed) + _mixed(place)) % (LEVELS - 1)  # 0 to 254
    return (chance < level).float().view(image.shape)


def _signed(number: int) -> int:
    """The number of 64 bits as Torch has it, which knows no unsigned ones."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _mixed(number: Tensor) -> Tensor:
    """SplitMix64's finaliser: 63 bits, not negative, each depending on all of `number`."""
    number = number + _signed(MIX[0])
    for shift, factor in ((30, MIX[1]), (27, MIX[2])):
        number = (number ^ (number >> shift & (1 << 64 - shift) - 1)) * _signed(factor)
    return (number ^ (number >> 31 & (1 << 33) - 1)) & (1 << 63) - 1


def drawn(image: Integer[Tensor, "B *P"], generator: torch.Generator) -> Integer[Tensor, "B *P"]:
    """Levels 0 and 255 alone: each pixel is 255 with the chance level / 255, drawn anew from `generator`. `bits` then
    gives what was drawn."""
    chance = torch.randint(LEVELS - 1, image.shape, generator=generator, dtype=torch.int16)
    return ((chance.to(image.device) < image) * 255).to(image.dtype)


def dequantised(image: Integer[Tensor, "B *P"], generator: torch.Generator) -> Float[Tensor, "B *P"]:
    """Levels as real numbers between 0 and 1: (level + u) / 256, u uniform. Their density is one of levels, on the
    average of its logarithm a lower bound, once log 256 a pixel is subtracted (Theis et al. 2016)."""
    return (image + torch.rand(image.shape, generator=generator).to(image.device)) / LEVELS


def bernoulli(bit: Tensor, logit: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """Log chance of each bit, in nats. `bit` may lack the first dimensions of `logit`."""
    return bit * logit - F.softplus(logit)


def logistic(level: Tensor, mean: Float[Tensor, "*B"], scale: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """Log chance of each level 0 to 255 under a logistic distribution cut into 256 bins, the outer ones open (Salimans
    et al. 2017, equation 2). `mean` and `scale`, the logarithm of the width, in units where level 0 is -1, 255 is 1."""
    half = 1 / (LEVELS - 1)
    centred, slope = level.float() / 127.5 - 1 - mean, (-scale).exp()
    high, low = slope * (centred + half), slope * (centred - half)
    upper = torch.where(level >= LEVELS - 1, torch.zeros_like(high), F.logsigmoid(high))  # log of what lies below it
    lower = torch.where(level <= 0, torch.zeros_like(low), F.logsigmoid(-low))  # and above
    # s(high) - s(low) = s(high) s(-low) (1 - exp(low - high)); without the last where one side is open.
    inner = torch.log(-torch.expm1(low - high))
    open_ended = (level <= 0) | (level >= LEVELS - 1)
    return upper + lower + torch.where(open_ended, torch.zeros_like(inner), inner)


def kl(mean: Float[Tensor, "B D"], log_variance: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """KL divergence of each coordinate's Gaussian from the standard one, in nats (Kingma & Welling 2014, appendix
    B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def gaussian(x: Float[Tensor, "*B D"], mean: Tensor, log_variance: Tensor) -> Float[Tensor, "*B"]:
    """Log density of `x` under independent Gaussians, summed over the last dimension, in nats."""
    squared = (x - mean).square() * (-log_variance).exp()
    return -0.5 * (squared + log_variance + math.log(2 * math.pi)).sum(-1)


def importance(log_weight: Float[Tensor, "S *B"]) -> Float[Tensor, "*B"]:
    """Log of the mean of S importance weights: a lower bound of the log likelihood on the average, tighter with each
    sample (Burda et al. 2016)."""
    return log_weight.logsumexp(0) - math.log(len(log_weight))


def auroc(usual: Tensor, strange: Tensor) -> float:
    """The chance that a strange one has a higher score than a usual one, ties counted half: the area under the ROC
    curve, 0.5 for no knowledge."""
    both = torch.cat([usual.flatten(), strange.flatten()]).double()
    _, place, count = both.unique(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - (count - 1) / 2.0)[place]  # from 1; the middle one among equals
    n, m = usual.numel(), strange.numel()
    return float((rank[n:].sum() - m * (m + 1) / 2) / (n * m))


def complexity(image: Integer[Tensor, "B *P"]) -> Float[Tensor, "B"]:
    """Nats that a general compressor (zlib) needs for each picture's levels. Subtracted from -log p(x) it mends that
    plain pictures of any kind are likely (Serra et al. 2020)."""
    flat = image.flatten(1).to(torch.uint8).cpu().numpy()
    sizes = [8 * math.log(2) * len(zlib.compress(row.tobytes(), 9)) for row in flat]
    return torch.tensor(sizes, dtype=torch.float32, device=image.device)


def atypical(nats: Tensor, usual: Tensor) -> Tensor:
    """How far each -log p(x) is from the middle of those of `usual` pictures, on either side: what is much too likely
    is strange, too (Nalisnick et al. 2019)."""
    return (nats - usual.median()).abs()


def percentile(value: Float[Tensor, "B"], usual: Float[Tensor, "N"]) -> Float[Tensor, "B"]:
    """Percent of the `usual` values that are lower, those that are equal counted half."""
    lower, equal = value[:, None] > usual, value[:, None] == usual
    return 100 * (lower.float() + 0.5 * equal.float()).mean(1)
