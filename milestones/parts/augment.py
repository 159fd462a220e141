"""Random changes of training pictures as batched tensor code: mirror, shift, cut-out; mixup and CutMix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F


def moved(image: UInt8[Tensor, "B C H W"], rng: torch.Generator, shift: int, flip: bool) -> UInt8[Tensor, "B C H W"]:
    """Each picture shifted by its own whole pixels, at most `shift`, its border reflected; half of them mirrored."""
    b, c, h, w = image.shape
    down, across = torch.randint(-shift, shift + 1, (2, b, 1), generator=rng)
    rows, columns = reflected(torch.arange(h) + down, h), reflected(torch.arange(w) + across, w)
    if flip:
        mirror = torch.rand(b, 1, generator=rng) < 0.5
        columns = torch.where(mirror, columns.flip(1), columns)
    if shift:
        image = image.gather(2, rows.to(image.device)[:, None, :, None].expand(b, c, h, w))
    return image.gather(3, columns.to(image.device)[:, None, None, :].expand(b, c, h, w))


def reflected(index: Int[Tensor, "..."], size: int) -> Int[Tensor, "..."]:
    """Positions beyond a border of `size` pixels, as in a mirror that stands on its outermost pixel."""
    index = index.abs()
    return torch.where(index >= size, 2 * (size - 1) - index, index).clamp(0, size - 1)


def cut(image: UInt8[Tensor, "B C H W"], rng: torch.Generator, size: int, level: int) -> UInt8[Tensor, "B C H W"]:
    """A square of `size` pixels, its centre anywhere, set to `level` in each picture (DeVries & Taylor 2017)."""
    b, _, h, w = image.shape
    y, x = torch.randint(0, h, (b, 1), generator=rng), torch.randint(0, w, (b, 1), generator=rng)
    rows = (torch.arange(h) - y + size // 2).div(size, rounding_mode="floor") == 0
    columns = (torch.arange(w) - x + size // 2).div(size, rounding_mode="floor") == 0
    inside = (rows[:, :, None] & columns[:, None, :])[:, None].to(image.device)
    return image.masked_fill(inside, level)


def cropped(image: UInt8[Tensor, "B C H W"], rng: torch.Generator, side: int, flip: bool) -> UInt8[Tensor, "B C s s"]:
    """A square of `side` pixels from anywhere in each picture; half of them mirrored."""
    b, c, h, w = image.shape
    rows = torch.randint(0, h - side + 1, (b, 1), generator=rng) + torch.arange(side)
    columns = torch.randint(0, w - side + 1, (b, 1), generator=rng) + torch.arange(side)
    if flip:
        columns = torch.where(torch.rand(b, 1, generator=rng) < 0.5, columns.flip(1), columns)
    image = image.gather(2, rows.to(image.device)[:, None, :, None].expand(b, c, side, w))
    return image.gather(3, columns.to(image.device)[:, None, None, :].expand(b, c, side, side))


def colour_axes(image: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "C C"]:
    """The principal axes of the colours of all pixels as columns, each as long as its standard deviation."""
    step = max(1, image.shape[-1] // 32)  # of large pictures some pixels say enough
    pixels = image[:, :, ::step, ::step].transpose(0, 1).flatten(1).double()  # C pixels
    pixels = pixels - pixels.mean(1, keepdim=True)
    variance, axis = torch.linalg.eigh(pixels @ pixels.T / pixels.shape[1])
    return (axis * variance.clamp(min=0).sqrt()).float().cpu()


def tinted(image: UInt8[Tensor, "B C H W"], rng: torch.Generator, axes: Float[Tensor, "C C"],
           strength: float) -> UInt8[Tensor, "B C H W"]:  # fmt: skip
    """Each picture with its own colour added to all of its pixels: a normal amount, `strength` standard deviations,
    of each principal axis (Krizhevsky, Sutskever & Hinton 2012, section 4.1)."""
    amount = strength * torch.randn(len(image), image.shape[1], generator=rng)
    colour = (amount @ axes.T)[:, :, None, None].to(image.device)
    return (image + colour).round_().clamp_(0, 255).to(torch.uint8)


def mixup(image: Float[Tensor, "B C H W"], target: Float[Tensor, "B K"], rng: torch.Generator,
          strength: float) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Each picture blended with another of the batch, and so its target (Zhang et al. 2018; share from a Beta)."""
    share, other = _beta(strength, rng), torch.randperm(len(image), generator=rng).to(image.device)
    return image.lerp(image[other], share), target.lerp(target[other], share)


def cutmix(image: Tensor, target: Float[Tensor, "B K"], rng: torch.Generator, strength: float) -> tuple[Tensor, Tensor]:
    """A rectangle of each picture taken from another of the batch, targets by its area (Yun et al. 2019)."""
    _, _, h, w = image.shape
    side, other = _beta(strength, rng) ** 0.5, torch.randperm(len(image), generator=rng).to(image.device)
    high, wide = round(side * h), round(side * w)
    y = int(torch.randint(0, h - high + 1, (), generator=rng))
    x = int(torch.randint(0, w - wide + 1, (), generator=rng))
    image = image.clone()
    image[:, :, y : y + high, x : x + wide] = image[other, :, y : y + high, x : x + wide]
    return image, target.lerp(target[other], high * wide / (h * w))


def _beta(strength: float, rng: torch.Generator) -> float:
    """A share in 0 to 1/2: of Beta(strength, strength), the smaller part (so that a picture stays mostly itself)."""
    seed = int(torch.randint(2**62, (), generator=rng))  # torch's own Beta draws from the global generator
    share = float(np.random.default_rng(seed).beta(strength, strength))
    return min(share, 1 - share)


def augmented(classes: int | None = None, *, shift: int = 0, flip: bool = False, cutout: int = 0, level: int = 0,
              mix: float = 0.0, paste: float = 0.0) -> Callable[..., Any]:  # fmt: skip
    """An `augment` for a source of (picture, label): `shift`, `cutout` in pixels, `mix` and `paste` the strengths of
    mixup and CutMix. With `mix` or `paste` labels become targets "B K" over `classes`."""

    def augment(batch: Any, rng: torch.Generator) -> Any:
        image, target = batch
        if shift or flip:
            image = moved(image, rng, shift, flip)
        if cutout:
            image = cut(image, rng, cutout, level)
        if mix or paste:
            target = F.one_hot(target, classes or -1).float()
        if mix:
            image, target = mixup(image.float(), target, rng, mix)
        if paste:
            image, target = cutmix(image, target, rng, paste)
        return type(batch)(image, target)

    return augment


def chained(*changes: Callable[..., Any]) -> Callable[..., Any]:
    """An `augment` that makes all of these, one after the other."""

    def augment(batch: Any, rng: torch.Generator) -> Any:
        for change in changes:
            batch = change(batch, rng)
        return batch

    return augment
