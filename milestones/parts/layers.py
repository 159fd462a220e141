"""Layers that several pages use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """A model's first layer: raw values to mean 0 and spread 1, by figures of the training set.

    `mean` and `spread` are one number, or one for each column of the last dimension.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: float | Sequence[float], spread: float | Sequence[float]) -> None:
        super().__init__()
        # Not in the weights: they are facts of the data, kept in facts.json.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(spread, dtype=torch.float32), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        return (raw.float() - self.mean) * self.scale


def norm(kind: str, width: int, maps: bool = False) -> nn.Module:
    """The layer that normalises "B D", or `maps` "B D H W", of `width` D; each unit then has a gain and a shift.

    `kind`: "batch", each unit over the batch and the map (Ioffe & Szegedy 2015), in evaluation by its running mean and
    variance; "layer", each example over all (Ba, Kiros & Hinton 2016); "group", each example over equal groups of its
    units, of eight or, where that does not divide them, the next number that does (Wu & He 2018); "none".
    """
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm2d(width) if maps else nn.BatchNorm1d(width)
    size = width if kind == "layer" else next(n for n in range(min(8, width), width + 1) if width % n == 0)
    return nn.GroupNorm(width // size, width)  # one group is layer normalisation, of maps too


@torch.no_grad()
def whiten(layer: nn.Conv2d, image: Tensor, least: float = 5e-3) -> None:
    """Set `layer` ("2 C h w" filters over C channels) to the principal directions of the patches of `image`
    ("B C H W", normalised), both signs of each, scaled so that patches come out with variance 1.

    `least` is added to the variances, so that directions without any are not blown up (Page 2019, Jordan 2024).
    """
    size, channels = layer.kernel_size[0], layer.in_channels
    patches = image.unfold(2, size, size).unfold(3, size, size)  # B C h w size size
    rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * size * size).double()
    rows = rows - rows.mean(0)
    variance, direction = torch.linalg.eigh(rows.T @ rows / len(rows))
    filters = (direction / (variance + least).sqrt()).T.flip(0)  # the greatest variance first
    filters = filters * torch.where(filters.sum(1, keepdim=True) < 0, -1.0, 1.0)  # a sign that no library decides
    filters = filters.reshape(-1, channels, size, size).to(layer.weight.dtype)
    layer.weight.copy_(torch.cat([filters, -filters]))
