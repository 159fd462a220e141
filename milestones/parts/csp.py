"""Common spatial patterns: mixtures of electrodes whose power tells classes apart, and the linear rule on it. What nets
for brain signals are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


def in_band(signal: Float[Tensor, "N C T"], rate_hz: float, low: float, high: float) -> Float[Tensor, "N C T"]:
    """The part of the signal between two frequencies, in Hz; edges fall off over 1 Hz as a raised cosine. Without a
    shift in time, over the whole of each trial."""
    spectrum = torch.fft.rfft(signal)
    at = torch.fft.rfftfreq(signal.shape[-1], 1 / rate_hz)
    rise, fall = (at - low + 0.5).clamp(0, 1), (high + 0.5 - at).clamp(0, 1)
    gain = (0.5 - 0.5 * torch.cos(torch.pi * rise)) * (0.5 - 0.5 * torch.cos(torch.pi * fall))
    return torch.fft.irfft(spectrum * gain, signal.shape[-1])


def covariances(signal: Float[Tensor, "N C T"]) -> Float[Tensor, "N C C"]:
    """The covariance of the channels in each trial, in double precision, scaled to trace 1."""
    centred = signal.double() - signal.double().mean(-1, keepdim=True)
    found = centred @ centred.mT
    return found / found.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None].clamp(min=1e-30)


class Patterns(NamedTuple):
    """Filters "F C": rows that mix channels; and patterns "F C": how each of the sources that they single out shows at
    the channels (Haufe et al. 2014, equation 7)."""

    filters: Tensor
    patterns: Tensor


def csp(covariance: Float[Tensor, "N C C"], label: Int[Tensor, "N"], classes: int, each: int = 2) -> Patterns:
    """The filters w whose variance differs most between each class and all the others: solutions of
    A w = v (A + B) w, A and B the mean covariance of the class and of the rest, `each` of the greatest and as many of
    the smallest v (Koles 1991; Ramoser et al. 2000; one against the rest, Dornhege et al. 2004). w'(A + B) w = 1.

    A thousandth of the mean variance is added to A + B, so that channels that are sums of others do no harm.
    """
    n = covariance.shape[-1]
    eye = torch.eye(n, dtype=covariance.dtype)
    filters, patterns = [], []
    for k in range(classes):
        one, rest = covariance[label == k].mean(0), covariance[label != k].mean(0)
        both = one + rest
        both = both + eye * 1e-3 * both.diagonal().mean()
        variance, direction = torch.linalg.eigh(both)
        white = direction / variance.sqrt()  # white' both white = 1
        _, turn = torch.linalg.eigh(white.mT @ one @ white)  # v rises
        w = (white @ turn).mT[[*range(each), *range(n - each, n)]]
        filters.append(w)
        patterns.append(w @ both)  # both w, for w' both w = 1
    return Patterns(torch.cat(filters), torch.cat(patterns))


def log_power(filters: Float[Tensor, "F C"], covariance: Float[Tensor, "N C C"]) -> Float[Tensor, "N F"]:
    """The logarithm of each filtered signal's variance in each trial."""
    return torch.einsum("fc,ncd,fd->nf", filters, covariance, filters).clamp(min=1e-30).log()


class Linear(NamedTuple):
    """A rule with a linear score for each class."""

    weight: Tensor  # K F
    bias: Tensor  # K

    def __call__(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N K"]:
        return features @ self.weight.mT + self.bias


def lda(features: Float[Tensor, "N F"], label: Int[Tensor, "N"], classes: int, shrink: float = 0.1) -> Linear:
    """Fisher's linear discriminant analysis: classes are Gaussians of one covariance, which is shrunk towards its own
    diagonal by `shrink`; equally likely before anything is seen."""
    mean = torch.stack([features[label == k].mean(0) for k in range(classes)])
    centred = features - mean[label]
    covariance = centred.mT @ centred / max(1, len(features) - classes)
    covariance = (1 - shrink) * covariance + shrink * covariance.diagonal().diag()
    weight = torch.linalg.solve(covariance, mean.mT).mT
    return Linear(weight, -0.5 * (weight * mean).sum(1))


class BandPower(NamedTuple):
    """A classical reader of brain signals: spatial patterns in several bands, log power, a linear rule (filter-bank
    common spatial patterns, Ang et al. 2008, without its choice of features)."""

    bands: tuple[tuple[float, float], ...]
    rate_hz: float
    spatial: tuple[Patterns, ...]  # of each band
    rule: Linear

    def __call__(self, signal: Float[Tensor, "N C T"]) -> Float[Tensor, "N K"]:
        """A score of each class."""
        return self.rule(self.features(signal))

    def features(self, signal: Float[Tensor, "N C T"]) -> Float[Tensor, "N F"]:
        """The log power of each filter in each band."""
        parts = [log_power(spatial.filters, covariances(in_band(signal, self.rate_hz, *band)))
                 for band, spatial in zip(self.bands, self.spatial, strict=True)]  # fmt: skip
        return torch.cat(parts, 1)


def band_power(signal: Float[Tensor, "N C T"], label: Int[Tensor, "N"], classes: int, rate_hz: float,
               bands: Sequence[tuple[float, float]], each: int = 2) -> BandPower:  # fmt: skip
    """The reader fitted to trials with their classes."""
    spatial = tuple(csp(covariances(in_band(signal, rate_hz, *band)), label, classes, each) for band in bands)
    empty = Linear(torch.zeros(classes, 0), torch.zeros(classes))
    reader = BandPower(tuple(bands), rate_hz, spatial, empty)
    return reader._replace(rule=lda(reader.features(signal), label, classes))
