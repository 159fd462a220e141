"""Intervals of a group of runs: of their mean, by Student's t. Knows no torch, so that lists do not wait for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z95 = 1.959964


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and Student's 95 % interval of a group of runs (that of the seeds)."""
    n, mean = len(values), sum(values) / len(values)
    if n < 2:
        return {"mean": mean, "n": n}
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = student(n - 1) * deviation / math.sqrt(n)
    return {"mean": mean, "sd": deviation, "low": mean - half, "high": mean + half, "n": n}


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, from a table up to 30 degrees and the normal's beyond."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
             2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
             2.042)  # fmt: skip
    return table[freedom - 1] if freedom <= len(table) else Z95


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The edges of the middle 95 %, between neighbours by the line: of a bootstrap's draws, its interval."""
    ordered, last = sorted(values), len(values) - 1
    found = []
    for share in (0.025, 0.975):
        k = int(share * last)
        found.append(ordered[k] + (share * last - k) * (ordered[min(k + 1, last)] - ordered[k]))
    return found[0], found[1]
