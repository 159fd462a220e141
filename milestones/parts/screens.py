"""Convolutional nets that look at the screen of a game: four frames of 84 x 84 grey levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from .initial import orthogonal

# Per layer: filters, side, stride; then the units of the layer that is fully connected.
NETS = {
    "nature": ([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512),  # Mnih et al. (2015): 9.3 million products a look
    "small": ([(16, 8, 4), (32, 4, 2)], 256),  # Mnih et al. (2013): 3.0 million
}


class Screens(nn.Module):
    """Features of frames: "B C H W", 0 to 255, to "B D"."""

    def __init__(self, kind: str, shape: Sequence[int]) -> None:
        super().__init__()
        filters, self.width = NETS[kind]
        (channels, *sides), layers = shape, list[nn.Module]()
        for maps, side, stride in filters:
            layers += [nn.Conv2d(channels, maps, side, stride), nn.ReLU()]
            channels, sides = maps, [(s - side) // stride + 1 for s in sides]
        layers += [nn.Flatten(), nn.Linear(channels * math.prod(sides), self.width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        orthogonal(self.layers, math.sqrt(2))

    def forward(self, screen: UInt8[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        return self.layers(screen.float() * (1 / 255))


def smallest(kind: str) -> int:
    """The shortest side of a screen that leaves the last filter something to look at."""
    side = 1
    for _, size, stride in reversed(NETS[kind][0]):
        side = (side - 1) * stride + size
    return side
