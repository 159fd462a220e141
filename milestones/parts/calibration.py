"""How far the chances that a classifier states can be trusted, and when it had better say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

BINS = 15
ROWS = 200  # of the table of answers, at most


class Bin(NamedTuple):
    """The answers whose chance lies above `low` and up to `high`; all but the count in percent."""

    low: float
    high: float
    count: int
    sure: float  # the mean chance that the answers had; 0 if there are none
    right: float  # how many of them were right


def reliability(scores: Float[Tensor, "N K"], target: Int[Tensor, "N"], bins: int = BINS) -> list[Bin]:
    """The answers (the likeliest classes after a softmax) by their chance, in bins of equal width."""
    sure, said = scores.double().softmax(-1).max(-1)
    right = (said == target).double()
    place = (sure * bins).ceil().long().clamp(1, bins) - 1
    count = torch.zeros(bins).double().index_add_(0, place, torch.ones_like(sure))
    sums = [torch.zeros(bins).double().index_add_(0, place, value) / count.clamp(min=1) for value in (sure, right)]
    return [Bin(100 * k / bins, 100 * (k + 1) / bins, int(count[k]), 100 * float(sums[0][k]), 100 * float(sums[1][k]))
            for k in range(bins)]  # fmt: skip


def calibration_error(bins: Sequence[Bin]) -> float:
    """Percent: the gap between chance and share of right answers, mean over all answers (Guo et al. 2017, (3))."""
    return sum(one.count * abs(one.sure - one.right) for one in bins) / max(1, sum(one.count for one in bins))


def log_loss(scores: Float[Tensor, "N K"], target: Int[Tensor, "N"]) -> float:
    """The negative log-likelihood in nats, mean over the examples."""
    return float(F.cross_entropy(scores.double(), target))


def temperature(scores: Float[Tensor, "N K"], target: Int[Tensor, "N"], most: float = 20.0) -> float:
    """What `scores` must be divided by for the lowest negative log-likelihood (Guo et al. 2017, (9)); from 1 / `most`
    to `most`. The loss is convex in the inverse, so a golden section finds it. 1 where no answer is wrong: the loss
    would fall without end."""
    if bool((scores.argmax(-1) == target).all()):
        return 1.0
    low, high, ratio = 1 / most, most, (5**0.5 - 1) / 2
    scores = scores.double().log_softmax(-1)
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(scores * left, target) <= log_loss(scores * right, target):
            high = right
        else:
            low = left
    return 2 / (low + high)


class Answering(NamedTuple):
    """What comes of answering only where the chance is at least `sure`; all in percent."""

    sure: float
    answered: float
    error: float  # among the answers


def answering(sure: Float[Tensor, "N"], right: Bool[Tensor, "N"], most: int = ROWS) -> list[Answering]:
    """For each error that can be kept, the threshold with which most is answered: error and share rise from row to
    row. Of more than `most` rows some are left out; the first and the last stay."""
    sure, order = sure.double().sort(descending=True)
    count = torch.arange(1, len(sure) + 1)
    error = (~right[order]).cumsum(0).double() / count
    ends = F.pad(sure[1:] != sure[:-1], (0, 1), value=True)  # equal chances are answered all or none
    error = torch.where(ends, error, 2.0)
    later = F.pad(error.flip(0).cummin(0).values.flip(0)[1:], (0, 1), value=2.0)
    rows = (error < later).nonzero()[:, 0]  # with more answers there is no error as low
    if len(rows) > most:
        rows = rows[torch.linspace(0, len(rows) - 1, most).long()]
    return [Answering(100 * float(sure[k]), 100 * float(count[k]) / len(sure), 100 * float(error[k])) for k in rows]


def kept(rows: Sequence[Answering], most: float) -> Answering | None:
    """The row with the most answers whose error is at most `most` percent; None if there is none."""
    fits = [row for row in rows if row.error <= most]
    return max(fits, key=lambda row: row.answered) if fits else None
