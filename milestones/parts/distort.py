"""Random distortions of pictures as batched tensor code: shift, rotation, scale, slant and elastic fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=16)
def bumps(size: int, sigma: float) -> Float[Tensor, "size bumps"]:
    """Gaussian bumps of width `sigma`, one every `sigma` pixels, along `size` pixels; each row has length 1.

    Independent normal weights on them make a smooth random line of variance 1 at each pixel.
    """
    centres = torch.arange(-1, math.ceil(size / sigma) + 2) * sigma
    rows = torch.exp(-((torch.arange(size)[:, None] - centres) ** 2) / (2 * sigma**2))
    return rows / rows.norm(dim=1, keepdim=True)


def distort(
    image: UInt8[Tensor, "B C H W"],
    rng: torch.Generator,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    slant: float = 0.0,
    elastic: float = 0.0,
    sigma: float = 4.0,
) -> UInt8[Tensor, "B C H W"]:
    """Each picture moved by its own random affine map and elastic field (Simard, Steinkraus & Platt 2003).

    `shift` in pixels, `rotate` in degrees, `scale` and `slant` as fractions: each uniform in +- its value. `elastic`
    is the root mean square displacement in pixels, smooth over `sigma` pixels. Bilinear, 0 outside.
    """
    b, _, h, w = image.shape

    def draw(reach: float) -> Tensor:
        return (2 * torch.rand(b, 1, generator=rng) - 1) * reach

    angle, lean = draw(math.radians(rotate)), draw(slant)
    cos, sin = angle.cos(), angle.sin()
    x = (torch.arange(w) - (w - 1) / 2)[None]  # pixels from the middle
    y = (torch.arange(h) - (h - 1) / 2)[None]
    wide, high = 1 + draw(scale), 1 + draw(scale)
    # Where each pixel comes from: what depends on its column plus what depends on its row.
    from_x = (wide * cos * x + draw(shift))[:, None, :] + ((lean - sin) * y)[:, :, None]  # B H W
    from_y = (sin * x)[:, None, :] + (high * cos * y + draw(shift))[:, :, None]
    grid = torch.stack([from_x, from_y], -1)  # B H W 2
    if elastic:
        down, along = bumps(h, sigma), bumps(w, sigma)
        weights = torch.randn(b, 2, down.shape[1], along.shape[1], generator=rng) * elastic
        grid += (down @ weights @ along.t()).permute(0, 2, 3, 1)
    grid *= torch.tensor([2 / w, 2 / h])  # grid_sample's unit: half the picture
    moved = F.grid_sample(image.float(), grid.to(image.device), align_corners=False)
    return moved.round_().to(torch.uint8)


def stretched(image: Tensor, wide: float, slant: float) -> Float[Tensor, "B C H W"]:
    """Pictures ("B C H W", any kind of number) `wide` times as wide and slanted by this fraction, both about the
    middle; bilinear, 0 outside, of the same size."""
    height, width = image.shape[2:]
    x, y = torch.arange(width) - (width - 1) / 2, torch.arange(height) - (height - 1) / 2
    from_x = x[None] / wide + slant * y[:, None]  # H W
    grid = torch.stack([from_x * 2 / width, (y * 2 / height)[:, None].expand_as(from_x)], -1).to(image.device)
    return F.grid_sample(image.float(), grid.expand(len(image), -1, -1, -1), align_corners=False)


def distorted(**ranges: float) -> Callable[..., tuple[Tensor, ...]]:
    """An `augment` for a source whose batch begins with the picture: `distort` with these ranges."""

    def augment(batch: tuple[Tensor, ...], rng: torch.Generator) -> tuple[Tensor, ...]:
        image, *rest = batch
        return type(batch)(distort(image, rng, **ranges), *rest)  # type: ignore[call-arg]

    return augment
