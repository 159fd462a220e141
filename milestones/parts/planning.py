"""Planning by the cross-entropy method: sequences of actions are drawn, and the best of them say where to draw next
(Rubinstein 1999; for control with a learned model Chua et al. 2018, section 5).

N plans are sought at once. All of them are drawn with the same noise, so that a plan does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Worth = Callable[[Tensor], Tensor]
"""What sequences of actions, "N P H" numbers of choices or "N P H A" numbers, are worth: "N P"."""


class Search(NamedTuple):
    """How plans are sought."""

    horizon: int  # H: actions in a plan
    candidates: int = 128  # P: sequences that are drawn in each round
    elites: int = 16  # of them that say where to draw in the next
    rounds: int = 4
    keep: float = 0.1  # of the old distribution in the new one, so that it does not narrow at once
    correlation: float = 0.0  # of the noise of neighbours in time: shaking does little, pushing does much


def noise(search: Search, actions: int, rng: torch.Generator) -> Float[Tensor, "P H A"]:
    """Normal numbers, each step's correlated with the one before (Pinneri et al. 2020 use coloured noise for this)."""
    drawn = torch.randn(search.candidates, search.horizon, actions, generator=rng)
    if not search.correlation:
        return drawn
    time = torch.arange(search.horizon)
    matrix = torch.linalg.cholesky(search.correlation ** (time[:, None] - time).abs())  # H H
    return torch.einsum("hk,pka->pha", matrix, drawn)


def best(value: Float[Tensor, "N P"], drawn: Tensor, elites: int) -> Tensor:
    """The `elites` of each plan's candidates "N P ..." that are worth most; what is no number is worth nothing."""
    value = value.nan_to_num(nan=-torch.inf)
    index = value.topk(min(elites, value.shape[1]), 1).indices
    return torch.take_along_dim(drawn, index.view(*index.shape, *[1] * (drawn.dim() - 2)), 1)


def continuous(worth: Worth, low: Float[Tensor, "A"], high: Float[Tensor, "A"], count: int, search: Search,
               rng: torch.Generator) -> Float[Tensor, "N H A"]:  # fmt: skip
    """The means of the last round of `count` plans whose actions lie within `low` and `high`. The mean so far is a
    candidate, too."""
    shape = count, search.horizon, len(low)
    mean, spread = ((low + high) / 2).expand(shape), ((high - low) / 2).expand(shape)
    for _ in range(search.rounds):
        shaken = noise(search, len(low), rng).to(low.device)
        shaken[0] = 0
        drawn = torch.minimum(torch.maximum(mean[:, None] + spread[:, None] * shaken, low), high)  # N P H A
        elite = best(worth(drawn), drawn, search.elites)
        mean = torch.lerp(elite.mean(1), mean, search.keep)
        spread = torch.lerp(elite.std(1, unbiased=False), spread, search.keep)
    return mean


def discrete(worth: Worth, actions: int, count: int, search: Search, rng: torch.Generator,
             device: torch.device | None = None) -> Float[Tensor, "N H A"]:  # fmt: skip
    """The chances of each action at each step, after the last round of `count` plans."""
    chance = torch.full((count, search.horizon, actions), 1 / actions, device=device)
    for _ in range(search.rounds):
        # A normal number's rank is uniform: so choices of neighbours in time can be correlated as numbers are.
        uniform = torch.special.ndtr(noise(search, 1, rng)).to(chance.device)  # P H 1
        edges = chance.cumsum(-1)[..., :-1]  # the last action takes what rounding leaves of 1
        drawn = (uniform > edges[:, None]).sum(-1)  # N P H
        elite = best(worth(drawn), drawn, search.elites)
        chance = torch.lerp(F.one_hot(elite, actions).to(chance.dtype).mean(1), chance, search.keep)
    return chance
