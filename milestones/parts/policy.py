"""What a net needs to act: running means of what it sees, and chances of actions, of which one is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .initial import orthogonal

FURTHEST = 10.0  # spreads from the mean that a standardised value may be
NARROWEST, WIDEST = -5.0, 2.0  # logarithms of a normal distribution's spread


class Standard(nn.Module):
    """Brings values to mean 0 and spread 1, by those of all rows it has been shown; and back.

    `least`: the share that new rows have at least in what is kept, so that old ones are forgotten; 0: all count alike.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int] = (), least: float = 0.0) -> None:
        super().__init__()
        self.least = least
        self.register_buffer("mean", torch.zeros(tuple(shape)))
        self.register_buffer("variance", torch.ones(tuple(shape)))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))  # float32 stands still at 17 million

    @torch.no_grad()
    def update(self, rows: Shaped[Tensor, "B ..."]) -> None:
        """Count these rows in (Chan, Golub & LeVeque 1983)."""
        variance, mean = torch.var_mean(rows.float(), 0, unbiased=False)
        self.count += len(rows)
        share = (len(rows) / self.count).clamp(min=self.least).float()
        gap = mean - self.mean
        self.variance.copy_((1 - share) * (self.variance + share * gap.square()) + share * variance)
        self.mean += share * gap

    def forward(self, raw: Tensor) -> Tensor:
        return ((raw.float() - self.mean) * (self.variance + 1e-8).rsqrt()).clamp(-FURTHEST, FURTHEST)

    def back(self, standard: Tensor) -> Tensor:
        """Raw values of standardised ones."""
        return standard * (self.variance + 1e-8).sqrt() + self.mean


class Choices(nn.Module):
    """One of A actions, with the softmax of what the net puts out as chances."""

    def __init__(self, width: int, actions: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, actions)

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B A"]:
        """The policy: logarithms of chances."""
        return self.out(features).float().log_softmax(-1)

    def draw(self, policy: Float[Tensor, "B A"]) -> Shaped[Tensor, "B"]:
        """An action each, by the global generator (the largest of the logarithms with Gumbel's noise)."""
        return (policy - torch.empty_like(policy).exponential_().log()).argmax(-1)

    def best(self, policy: Float[Tensor, "B A"]) -> Shaped[Tensor, "B"]:
        return policy.argmax(-1)

    def chance(self, policy: Float[Tensor, "B A"], action: Shaped[Tensor, "B"]) -> Float[Tensor, "B"]:
        """The logarithms of the chances of actions."""
        return policy.gather(1, action[:, None])[:, 0]

    def entropy(self, policy: Float[Tensor, "B A"]) -> Float[Tensor, "B"]:
        """In nats."""
        return -(policy.exp() * policy).sum(-1)

    def legal(self, action: Shaped[Tensor, "B"]) -> Shaped[Tensor, "B"]:
        """The action as the world takes it."""
        return action


class Gaussian(nn.Module):
    """A vector of A numbers, each drawn from a normal distribution whose mean the net puts out; the spreads are weights
    of their own, the same in all states. -1 and 1 are the least and most that the world takes, if it has such."""

    middle: Tensor
    reach: Tensor

    def __init__(self, width: int, low: Sequence[float], high: Sequence[float], spread: float = 1.0) -> None:
        super().__init__()
        self.out = nn.Linear(width, len(low))
        self.spread = nn.Parameter(torch.full((len(low),), math.log(spread)))  # its logarithm
        bounds = torch.tensor([list(low), list(high)], dtype=torch.float32)
        bounded = torch.isfinite(bounds).all(0)
        ends = torch.where(bounded, bounds, torch.tensor([[-1.0], [1.0]]))
        self.register_buffer("middle", ends.mean(0), persistent=False)  # facts of the world
        self.register_buffer("reach", (ends[1] - ends[0]) / 2, persistent=False)

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B A"]:
        """The policy: means."""
        return self.out(features).float()

    def logarithm(self) -> Float[Tensor, "A"]:
        """Of the spreads, within what is sensible."""
        return self.spread.clamp(NARROWEST, WIDEST)

    def draw(self, policy: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return policy + self.logarithm().exp() * torch.randn_like(policy)

    def best(self, policy: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return policy

    def chance(self, policy: Float[Tensor, "B A"], action: Float[Tensor, "B A"]) -> Float[Tensor, "B"]:
        """The logarithms of the densities of actions."""
        spread = self.logarithm()
        far = (action - policy) * (-spread).exp()
        return -(0.5 * far.square() + spread + 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, policy: Float[Tensor, "B A"]) -> Float[Tensor, "B"]:
        """In nats; the same in all states."""
        return (self.logarithm() + 0.5 * math.log(2 * math.pi * math.e)).sum().expand(len(policy))

    def legal(self, action: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """The action as the world takes it, which clips it to its bounds."""
        return self.middle + self.reach * action


def head(width: int, facts: dict[str, Any], spread: float = 1.0) -> Choices | Gaussian:
    """What draws the actions of a world with these facts. `spread`: that of a continuous action at the start, where 1
    is half of what the world takes."""
    if facts["discrete"]:
        return Choices(width, facts["actions"])
    return Gaussian(width, facts["low"], facts["high"], spread)


def perceptron(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    """Layers of tanh units on a flat observation, started orthonormally with gain sqrt(2) (Saxe et al. 2014)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, width in zip([inputs, *hidden], hidden, strict=False):
        layers += [nn.Linear(before, width), nn.Tanh()]
    net = nn.Sequential(*layers)
    orthogonal(net, math.sqrt(2))
    return net
