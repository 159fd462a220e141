"""Ensembles of nets, run as one, that say a Gaussian: what they expect, and how unsure each of them is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Together(nn.Module):
    """E linear layers, each for inputs of its own: one batched product. Starting weights as in Chua et al. (2018):
    normal, cut at two deviations, of 1 / (2 sqrt(inputs))."""

    def __init__(self, nets: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.nets, spread = nets, 0.5 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(nets, inputs, outputs))
        nn.init.trunc_normal_(self.weight, 0.0, spread, -2 * spread, 2 * spread)
        self.bias = nn.Parameter(torch.zeros(nets * outputs))  # in one line, as all biases are: no matrix

    def forward(self, x: Float[Tensor, "E B I"]) -> Float[Tensor, "E B O"]:
        return torch.baddbmm(self.bias.view(self.nets, 1, -1), x, self.weight)


class Ensemble(nn.Module):
    """E nets of one shape, with layers of `hidden` smooth units (SiLU) between inputs and outputs."""

    def __init__(self, nets: int, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(Together(nets, a, b) for a, b in pairwise(sizes))

    def forward(self, x: Float[Tensor, "E B I"]) -> Float[Tensor, "E B O"]:
        for layer in self.layers[:-1]:
            x = F.silu(layer(x))
        return self.layers[-1](x)


def bounded(log_variance: Float[Tensor, "*B D"], low: Float[Tensor, "D"], high: Float[Tensor, "D"]
            ) -> Float[Tensor, "*B D"]:  # fmt: skip
    """The log of a variance, bent smoothly to stay within `low` and `high`: outside of what was seen a net may say any
    number (Chua et al. 2018, appendix A.1)."""
    log_variance = high - F.softplus(high - log_variance)
    return low + F.softplus(log_variance - low)


def surprisal(mean: Float[Tensor, "*B D"], log_variance: Float[Tensor, "*B D"], value: Float[Tensor, "*B D"]
              ) -> Float[Tensor, "*B D"]:  # fmt: skip
    """Minus the log of the density of `value` under a normal distribution, in nats, of each number."""
    return 0.5 * ((value - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))
