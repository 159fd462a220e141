"""Random distortions of pictures as batched tensor code: shift, rotation, scale, slant and elastic fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=8)
def _gaussian(sigma: float) -> Tensor:
    reach = math.ceil(2.5 * sigma)
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    bell = torch.exp(-(x**2) / (2 * sigma**2))
    return bell / bell.sum()


def smooth(field: Float[Tensor, "B C H W"], sigma: float) -> Float[Tensor, "B C H W"]:
    """`field` convolved with a Gaussian of `sigma` pixels, zero outside."""
    bell, (b, c, h, w) = _gaussian(sigma).to(field.device), field.shape
    reach = len(bell) // 2
    flat = F.conv2d(field.reshape(b * c, 1, h, w), bell.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(flat, bell.view(1, 1, 1, -1), padding=(0, reach)).view(b, c, h, w)


def distort(image: UInt8[Tensor, "B C H W"], rng: torch.Generator, *, shift: float = 0.0, rotate: float = 0.0,
            scale: float = 0.0, slant: float = 0.0, elastic: float = 0.0, sigma: float = 4.0) -> UInt8[Tensor, "B C H W"]:  # fmt: skip
    """Each picture moved by its own random affine map and elastic field (Simard, Steinkraus & Platt 2003).

    `shift` in pixels, `rotate` in degrees, `scale` and `slant` as fractions: each uniform in +- its value. `elastic`
    is the root mean square displacement in pixels of a field smoothed with `sigma` pixels. Bilinear, 0 outside.
    """
    b, _, h, w = image.shape

    def draw(reach: float, *shape: int) -> Tensor:
        return (2 * torch.rand(b, *shape, generator=rng) - 1) * reach

    angle, zoom = draw(math.radians(rotate)), 1 + draw(scale, 2)
    lean, move = draw(slant), draw(shift, 2) * torch.tensor([2 / w, 2 / h])
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack([zoom[:, 0] * cos, -sin + lean, move[:, 0], sin, zoom[:, 1] * cos, move[:, 1]], 1)
    grid = F.affine_grid(theta.view(b, 2, 3), [b, 1, h, w], align_corners=False)  # B H W 2
    if elastic:
        field = smooth(torch.randn(b, 2, h, w, generator=rng), sigma)
        field = field * (elastic / field.square().mean((1, 2, 3), keepdim=True).sqrt())
        grid = grid + field.permute(0, 2, 3, 1) * torch.tensor([2 / w, 2 / h])
    moved = F.grid_sample(image.float(), grid.to(image.device), align_corners=False)
    return moved.round_().to(torch.uint8)


def distorted(**ranges: float) -> Callable[..., tuple[Tensor, ...]]:
    """An `augment` for a source whose batch begins with the picture: `distort` with these ranges."""

    def augment(batch: tuple[Tensor, ...], rng: torch.Generator) -> tuple[Tensor, ...]:
        image, *rest = batch
        return type(batch)(distort(image, rng, **ranges), *rest)  # type: ignore[call-arg]

    return augment
