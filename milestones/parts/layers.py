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


def glorot(model: nn.Module) -> None:
    """Draw the weights of all linear and convolutional layers anew after Glorot & Bengio (2010), biases 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
