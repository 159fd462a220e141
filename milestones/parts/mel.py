"""Log-mel features of sound, and the changes that make of one recording many: all on padded batches.

A frame begins every hop and sees no further than its window, so that what is heard live is what was learned. Random
changes draw from the generator they are given; from PyTorch's own, as dropout does, where it is None.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from .recurrent import inside

SETTLED = 50  # frames that count as the mean of all recordings before anything was heard
FLOOR = 1e-5  # power added before the logarithm: what a band of a silent recording holds


def mel_of(hertz: float) -> float:
    """A pitch as it is heard, in mel: 1,000 for 1,000 hertz (O'Shaughnessy 1987)."""
    return 2595 * math.log10(1 + hertz / 700)


def filterbank(rate_hz: int, size: int, bands: int, low_hz: float = 60.0) -> Float[Tensor, "F C"]:
    """Triangles over the `size // 2 + 1` frequencies of a spectrum, their feet and tops evenly spaced in mel from
    `low_hz` to half the rate; each sums to 1."""
    edges = np.linspace(mel_of(low_hz), mel_of(rate_hz / 2), bands + 2)
    at = np.array([mel_of(k * rate_hz / size) for k in range(size // 2 + 1)])[:, None]
    rising, falling = (at - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - at) / np.diff(edges)[1:]
    weight = np.minimum(rising, falling).clip(min=0)
    empty = np.flatnonzero(weight.sum(0) == 0)  # a triangle that lies between two frequencies takes the nearest
    weight[np.abs(at - edges[1:-1]).argmin(0)[empty], empty] = 1.0
    return torch.from_numpy((weight / weight.sum(0)).astype(np.float32))


class LogMel(nn.Module):
    """The logarithm of a sound's power in mel bands: samples as they lie in a file, -32,768 to 32,767, come in; one
    frame for each hop that was begun comes out. It has no weights."""

    def __init__(self, rate_hz: int, bands: int = 40, window_ms: float = 25.0, hop_ms: float = 10.0) -> None:
        super().__init__()
        if not (1000 <= rate_hz <= 768_000 and 1 <= bands <= 1000):
            raise ValueError(f"{bands} bands at {rate_hz} hertz")
        self.window, self.hop = round(rate_hz * window_ms / 1000), round(rate_hz * hop_ms / 1000)
        self.size = 1 << (self.window - 1).bit_length()
        self.register_buffer("bank", filterbank(rate_hz, self.size, bands), persistent=False)
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)

    def frames(self, length: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """How many frames so many samples give."""
        return (length + self.hop - 1) // self.hop

    def forward(self, samples: Shaped[Tensor, "B S"]) -> Float[Tensor, "B T C"]:
        before = (self.size - self.window) // 2  # PyTorch puts a short window into the middle of its `size`
        after = -samples.shape[1] % self.hop + self.size - self.hop - before
        x = F.pad(samples.float() / 32768, (before, max(0, after)))
        bent = torch.stft(x, self.size, self.hop, self.window, self.taper, center=False, return_complex=True)
        power = bent.real.square() + bent.imag.square()  # B F T
        return (power.transpose(1, 2) @ self.bank + FLOOR).log()[:, : -(-samples.shape[1] // self.hop)]


def centred(x: Float[Tensor, "B T C"], length: Int[Tensor, "B"]) -> Float[Tensor, "B T C"]:
    """Frames less the mean of their recording in each band: of the room, the microphone and much of the voice."""
    here = inside(length, x.shape[1])[..., None]
    return x - (x * here).sum(1, keepdim=True) / here.sum(1, keepdim=True).clamp(min=1)


class Heard(NamedTuple):
    """What was heard so far: the sum of the frames in each band, and how many they are."""

    total: Float[Tensor, "B C"]
    count: int


def running(x: Float[Tensor, "B T C"], before: Heard | None = None) -> tuple[Float[Tensor, "B T C"], Heard]:
    """As `centred`, for who does not know the end: less the mean of all frames up to each, of which the first half
    second counts as 0, the mean of all recordings; and what was heard after the last frame."""
    total, count = before or Heard(x.new_zeros(len(x), x.shape[2]), 0)
    sums = total[:, None] + x.cumsum(1)
    over = count + SETTLED + torch.arange(1, x.shape[1] + 1, device=x.device)
    return x - sums / over[:, None], Heard(sums[:, -1] if x.shape[1] else total, count + x.shape[1])


def warped(x: Float[Tensor, "B S C"], length: Int[Tensor, "B"], tempo: Float[Tensor, "B"], pitch: Float[Tensor, "B"]
           ) -> tuple[Float[Tensor, "B T C"], Int[Tensor, "B"]]:  # fmt: skip
    """Frames of a speaker who is `tempo` times as fast, and whose bands lie `pitch` bands higher: both by linear
    interpolation; and how many there are then, at least 1. What comes in from beyond the outermost band is that band's.
    """
    new = (length / tempo).round().long().clamp(min=1)
    at = torch.arange(int(new.max()), device=x.device) * tempo[:, None]  # B T'
    at = torch.minimum(at, (length - 1).clamp(min=0)[:, None].to(at.dtype))
    x = _between(x, at[:, :, None].expand(-1, -1, x.shape[2]), 1)
    band = (torch.arange(x.shape[2], device=x.device) - pitch[:, None]).clamp(0, x.shape[2] - 1)  # B C
    return _between(x, band[:, None, :].expand(-1, x.shape[1], -1), 2), new


def _between(x: Tensor, at: Tensor, axis: int) -> Tensor:
    """`x` read at broken places along an axis."""
    low = at.long()
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    return torch.lerp(x.gather(axis, low), x.gather(axis, high), at - low)


def noisy(x: Float[Tensor, "B T C"], most_db: float, rng: torch.Generator | None = None) -> Float[Tensor, "B T C"]:
    """Log-mel frames with noise: of a level and a slope over the bands drawn for each recording, from far below it to
    `most_db` against its loudest frame, and of a power drawn for each frame and band."""
    b, t, c = x.shape
    level, slope = torch.rand(2, b, 1, 1, generator=rng, device=x.device)
    loudest = x.amax((1, 2), keepdim=True)
    decibel = most_db - 40 * level + 20 * (slope - 0.5) * torch.linspace(-1, 1, c, device=x.device)
    power = -torch.rand(b, t, c, generator=rng, device=x.device).clamp(min=1e-6).log()  # exponential, as of a spectrum
    return torch.logaddexp(x, loudest + decibel * (math.log(10) / 10) + power.log())


def spec_augment(x: Float[Tensor, "B T C"], length: Int[Tensor, "B"], bands: int, share: float,
                 rng: torch.Generator | None = None) -> Float[Tensor, "B T C"]:  # fmt: skip
    """Frames with two stripes of up to `bands` bands and two of up to `share` of the frames set to 0, which is the mean
    (Park et al. 2019)."""
    b, t, c = x.shape
    drawn = torch.rand(4, 2, b, 1, generator=rng, device=x.device)
    hidden = torch.zeros(b, t, c, dtype=torch.bool, device=x.device)
    for wide, where in drawn[:2]:
        width = (wide * (bands + 1)).floor()
        begin = where * (c - width)
        at = torch.arange(c, device=x.device)
        hidden |= ((at >= begin.floor()) & (at < begin.floor() + width))[:, None, :]
    for wide, where in drawn[2:]:
        width = (wide * share * length[:, None]).floor()
        begin = (where * (length[:, None] - width)).floor()
        at = torch.arange(t, device=x.device)
        hidden |= ((at >= begin) & (at < begin + width))[:, :, None]
    return x.masked_fill(hidden, 0.0)
