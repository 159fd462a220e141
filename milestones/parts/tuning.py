"""What Hubel & Wiesel asked of cells, asked of units: which orientation, and does it matter where it lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

PHASES = 16


def orientations(count: int = 18) -> list[float]:
    """Degrees in [0, 180): 0 is a horizontal bar, 90 an upright one, 45 one that rises to the right."""
    return [180 * k / count for k in range(count)]


def frequencies(field: int, count: int = 6) -> list[float]:
    """Cycles a pixel, in equal ratios from one cycle over twice the `field` (pixels) to 0.4; finer ones alias."""
    low, high = 1 / (2 * max(field, 3)), 0.4
    return [low * (high / low) ** (k / (count - 1)) for k in range(count)]


def grating(height: int, width: int, degrees: float, cycles: float, phases: int = PHASES) -> Float[Tensor, "P H W"]:
    """Bars of one orientation from -1 to 1, `cycles` a pixel, moved over one cycle in `phases` equal steps."""
    angle = math.radians(degrees)
    y = (height - 1) / 2 - torch.arange(height, dtype=torch.float64)[:, None]  # upward
    x = torch.arange(width, dtype=torch.float64)[None] - (width - 1) / 2
    across = y * math.cos(angle) - x * math.sin(angle)
    phase = torch.arange(phases, dtype=torch.float64)[:, None, None] / phases
    return torch.cos(2 * math.pi * (cycles * across - phase)).float()


class Tuning(NamedTuple):
    """How units answer to gratings; what they say of an even grey is taken off."""

    response: Float[Tensor, "U F O P"]  # units, frequencies, orientations, phases
    orientation: list[float]  # degrees
    frequency: list[float]  # cycles a pixel

    @property
    def peak(self) -> Float[Tensor, "U F O"]:
        """The largest response over the phases; 0 where none is above that to grey."""
        return self.response.amax(-1).clamp(min=0)

    @property
    def best(self) -> tuple[list[int], list[int]]:
        """The frequency and the orientation to which each unit answers most, by number."""
        flat = self.peak.flatten(1).argmax(1)
        return (flat // len(self.orientation)).tolist(), (flat % len(self.orientation)).tolist()

    @property
    def curve(self) -> Float[Tensor, "U O"]:
        """The tuning curve of each unit: its peaks at the frequency that it likes best."""
        return self.peak[torch.arange(len(self.response)), self.best[0]]

    @property
    def cycle(self) -> Float[Tensor, "U P"]:
        """The responses over one cycle of the grating that each unit likes best."""
        f, o = self.best
        return self.response[torch.arange(len(self.response)), f, o]


@torch.no_grad()
def tune(respond: Callable[[Float[Tensor, "P C H W"]], Float[Tensor, "P U"]], shape: Sequence[int], low: float,
         high: float, orientation: Sequence[float], frequency: Sequence[float], phases: int = PHASES
         ) -> Tuning:  # fmt: skip
    """Show gratings of the whole range from `low` to `high` on pictures of `shape` "C H W", equal in all channels."""
    channels, height, width = shape
    grey, reach = (low + high) / 2, (high - low) / 2
    base = respond(torch.full((1, channels, height, width), grey))[0]
    rows = []
    for cycles in frequency:
        shown = [grating(height, width, degrees, cycles, phases) for degrees in orientation]
        pictures = (grey + reach * torch.cat(shown))[:, None].expand(-1, channels, -1, -1)
        rows.append(respond(pictures).sub(base).unflatten(0, (len(orientation), phases)))  # O P U
    return Tuning(torch.stack(rows).permute(3, 0, 1, 2).contiguous(), list(orientation), list(frequency))


def selectivity(curve: Float[Tensor, "U O"], orientation: Sequence[float]) -> tuple[Tensor, Tensor]:
    """How narrow a tuning curve is, "U" from 0 (no orientation is better) to 1 (only one counts), and its direction in
    degrees: length and half the angle of the mean of R exp(2i angle) (1 - circular variance; Ringach et al. 2002)."""
    angle = 2 * torch.deg2rad(torch.tensor(orientation, dtype=curve.dtype))
    real, imaginary = (curve * angle.cos()).sum(1), (curve * angle.sin()).sum(1)
    length = torch.hypot(real, imaginary) / curve.sum(1).clamp(min=1e-12)
    return length, torch.rad2deg(torch.atan2(imaginary, real)) / 2 % 180


def modulation(cycle: Float[Tensor, "U P"]) -> Float[Tensor, "U"]:
    """F1/F0 of what is above the response to grey, over one cycle: the amplitude of its first wave over its mean.

    A half-rectified sine has pi/2, a response that does not care where the bars lie 0. Above 1 a cell is called simple,
    below it complex (Skottun et al. 1991). NaN for a unit that never answers.
    """
    above = cycle.clamp(min=0).double()
    phases = above.shape[1]
    turn = torch.polar(torch.ones(phases).double(), -2 * math.pi * torch.arange(phases).double() / phases)
    first = 2 * (above.to(turn.dtype) * turn).mean(1).abs()
    return (first / above.mean(1)).float()


def shifted(picture: Float[Tensor, "B C H W"], down: int, right: int) -> Float[Tensor, "B C H W"]:
    """Moved by whole pixels; what comes in at the border repeats it."""
    height, width = picture.shape[2:]
    wide = F.pad(picture, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)), mode="replicate")
    return wide[:, :, max(-down, 0) : max(-down, 0) + height, max(-right, 0) : max(-right, 0) + width]


def kept(here: Float[Tensor, "N D"], moved: Float[Tensor, "N D"], tell: Float[Tensor, "N D"]) -> float:
    """How much of what tells examples apart is the same after a change: 1 - |moved - here|^2 / |tell - here|^2, sums
    over the examples, `tell` holding another example in each row. 1: nothing changed; 0: as far as another example."""
    apart = float((tell.double() - here.double()).square().sum())
    return 1 - float((moved.double() - here.double()).square().sum()) / apart if apart else math.nan
