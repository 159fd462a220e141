"""Data sets in the plane: n points "N 2" within about -6 to 6, and their classes or values "N".

Each function uses torch and math alone, since its source is copied into scripts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def circle(n: int, noise: float, classes: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rings around the middle, one for each class."""
    label = torch.arange(n) % classes
    radius = 5 / (1.4 * classes - 0.4) * (1.4 * label + torch.rand(n, generator=rng))
    angle = 2 * math.pi * torch.rand(n, generator=rng)
    point = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1)
    return point + 2 * noise * torch.randn(n, 2, generator=rng), label


def xor(n: int, noise: float, classes: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Four quadrants, whose classes take turns."""
    point = 10 * torch.rand(n, 2, generator=rng) - 5
    label = torch.floor(torch.atan2(point[:, 1], point[:, 0]) / (math.pi / 2)).long() % 4 % classes
    point = point + 0.3 * point.sign()
    return point + 2 * noise * torch.randn(n, 2, generator=rng), label


def gauss(n: int, noise: float, classes: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Normal clouds, one for each class."""
    label = torch.arange(n) % classes
    angle = 2 * math.pi * (label / classes + 1 / 8)
    middle = 2.8 * torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    return middle + (0.7 + 2.6 * noise) * torch.randn(n, 2, generator=rng), label


def spiral(n: int, noise: float, classes: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Arms that wind around each other, one for each class."""
    label, t = torch.arange(n) % classes, torch.rand(n, generator=rng)
    angle = 2 * math.pi * (1.75 * t + label / classes)
    point = 5 * t[:, None] * torch.stack([torch.sin(angle), torch.cos(angle)], 1)
    return point + 2 * noise * torch.randn(n, 2, generator=rng), label


def moons(n: int, noise: float, classes: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two half circles that reach into each other."""
    label, t = torch.arange(n) % 2, math.pi * torch.rand(n, generator=rng)
    side = 1.0 - 2.0 * label
    point = 3 * torch.stack([side * (torch.cos(t) - 0.5), side * (torch.sin(t) - 0.25)], 1)
    return point + 2 * noise * torch.randn(n, 2, generator=rng), label


def above(n: int, noise: float, rng: torch.Generator, f: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Class 1 where y > f(x)."""
    point = 11 * torch.rand(n, 2, generator=rng) - 5.5
    label = (point[:, 1] > f(point[:, 0])).long()
    return point + 2 * noise * torch.randn(n, 2, generator=rng), label


def plane(n: int, noise: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A value that grows evenly from one corner to the other."""
    point = 10 * torch.rand(n, 2, generator=rng) - 5
    return point, point.sum(1) / 10 + noise * torch.randn(n, generator=rng)


def hills(n: int, noise: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three hills and three hollows."""
    point, value = 11 * torch.rand(n, 2, generator=rng) - 5.5, noise * torch.randn(n, generator=rng)
    for x, y, height in [(-4, 2.5, 1), (0, 2.5, -1), (4, 2.5, 1), (-4, -2.5, -1), (0, -2.5, 1), (4, -2.5, -1)]:
        value += height * torch.exp(-((point - torch.tensor([x, y])).square().sum(1)) / 2)
    return point, value


def surface(n: int, noise: float, rng: torch.Generator, f: Callable[[Tensor, Tensor], Tensor]
            ) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The value f(x, y); the noise is a share of its spread."""
    point = 11 * torch.rand(n, 2, generator=rng) - 5.5
    value = f(point[:, 0], point[:, 1])
    return point, value + noise * value.std() * torch.randn(n, generator=rng)


CLASSES = {"circle": circle, "xor": xor, "gauss": gauss, "spiral": spiral, "moons": moons}
VALUES = {"plane": plane, "hills": hills}
