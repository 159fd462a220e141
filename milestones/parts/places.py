"""What a net's maps show and where: how much of it, and the expected place."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Places(nn.Module):
    """For each of C maps three numbers: its mean where it is positive, and across and down its expected place from -1
    to 1, the map taken as the logarithm of a probability (spatial softmax: Levine et al. 2016, section 5.1). How
    sharply is learned, a factor for each map; 1 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.zeros(channels))  # its logarithm

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        high, wide = maps.shape[2:]
        chance = (maps.flatten(2) * self.sharpness.exp()[:, None]).softmax(-1).view_as(maps)
        across = torch.linspace(-1, 1, wide, device=maps.device, dtype=maps.dtype)
        down = torch.linspace(-1, 1, high, device=maps.device, dtype=maps.dtype)
        x, y = (chance.sum(2) * across).sum(-1), (chance.sum(3) * down).sum(-1)
        return torch.cat([maps.relu().mean((2, 3)), x, y], -1)


def change(x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """What is other than in the frame before; of the first frame nothing."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], 1)
