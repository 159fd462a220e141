"""Scores of several runs in several worlds as one figure with an interval (Agarwal et al. 2021, Deep reinforcement
learning at the edge of the statistical precipice, NeurIPS 34): few runs, so robust means and the bootstrap.

Scores come as one row of runs for each task (a game, a world); tasks may have different numbers of runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

DRAWS = 2000  # of the bootstrap

Rows = Sequence[Tensor]
"""Of each task the scores of its runs, "R"."""


def normalised(score: Tensor, random: float, human: float) -> Tensor:
    """0 for a random player, 1 for the human (Mnih et al. 2015)."""
    return (score - random) / (human - random)


def middle(values: Float[Tensor, "*B N"]) -> Float[Tensor, "*B"]:
    """The interquartile mean along the last dimension: of what is left when a quarter of the values, rounded down, is
    taken away at either end."""
    cut = values.shape[-1] // 4
    return values.sort(-1).values[..., cut : values.shape[-1] - cut].mean(-1)


def interquartile_mean(rows: Rows) -> float:
    """The interquartile mean of all runs of all tasks together."""
    return float(middle(torch.cat([row.double() for row in rows])))


def mean(rows: Rows) -> float:
    """The mean over the tasks of the mean over a task's runs."""
    return float(torch.stack([row.double().mean() for row in rows]).mean())


def median(rows: Rows) -> float:
    """The median over the tasks of the mean over a task's runs; of an even number the mean of the middle two."""
    return float(torch.stack([row.double().mean() for row in rows]).quantile(0.5))


def optimality_gap(rows: Rows, enough: float = 1.0) -> float:
    """How far the runs stay below `enough`, on average; what is above it counts as `enough`."""
    return float(torch.cat([(enough - row.double()).clamp(min=0) for row in rows]).mean())


def bootstrap(rows: Rows, figure: Callable[[Rows], float], rng: torch.Generator,
              draws: int = DRAWS) -> tuple[float, float]:  # fmt: skip
    """The stratified bootstrap's 95 % interval of a figure: each draw takes as many runs of each task as there are,
    with replacement. With one run a task there is no spread to see: the figure itself, twice."""
    found = sorted(figure(_drawn(rows, rng)) for _ in range(draws))
    return found[int(0.025 * draws)], found[min(draws - 1, math.ceil(0.975 * draws) - 1)]


def _drawn(rows: Rows, rng: torch.Generator) -> list[Tensor]:
    return [row[torch.randint(len(row), (len(row),), generator=rng)] for row in rows]


def profile(rows: Rows, at: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
    """The performance profile: the share of runs that score above each of `at`, the mean over the tasks."""
    return torch.stack([(row.double()[:, None] > at.double()).double().mean(0) for row in rows]).mean(0)


def profile_band(rows: Rows, at: Float[Tensor, "P"], rng: torch.Generator,
                 draws: int = DRAWS) -> tuple[Float[Tensor, "P"], Float[Tensor, "P"]]:  # fmt: skip
    """The pointwise 95 % interval of the profile, by the stratified bootstrap."""
    found = torch.stack([profile(_drawn(rows, rng), at) for _ in range(draws)])
    low, high = found.quantile(torch.tensor([0.025, 0.975], dtype=found.dtype), dim=0)
    return low, high


def improvement(rows: Rows, others: Rows) -> float:
    """The chance that a run of these scores above one of the others on the same task, equal ones counted half; the mean
    over the tasks."""
    each = []
    for row, other in zip(rows, others, strict=True):
        apart = row.double()[:, None] - other.double()
        each.append(((apart > 0).double() + 0.5 * (apart == 0).double()).mean())
    return float(torch.stack(each).mean())
