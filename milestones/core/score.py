"""Scores with their interval, unit and data; and the error rate, which most pages report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Z95 = 1.959964


@dataclass(frozen=True)
class Score:
    """One measured figure. `low` and `high`: 95 % interval from the test sample alone."""

    value: float
    low: float
    high: float
    unit: str
    better: Literal["higher", "lower"]
    data: str
    split: str
    over: int  # examples or episodes measured
    paper: float | None = None  # published figure; compared only where data and split are the same
    paper_data: str = ""
    note: str = ""

    @property
    def comparable(self) -> bool:
        """True when the published figure was measured on the same data and split."""
        return self.paper is not None and self.paper_data == self.data

    def __str__(self) -> str:
        text = f"{self.value:.4g} {self.unit} [{self.low:.4g}, {self.high:.4g}] on {self.data} ({self.over:,})"
        if self.paper is not None:
            where = "published" if self.comparable else f"published on other data ({self.paper_data}; not comparable)"
            text += f"; {where}: {self.paper:g} {self.unit}"
        return text + (f". {self.note}" if self.note else "")


def wilson(wrong: int, over: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate, in percent (Wilson 1927)."""
    rate, z2 = wrong / over, Z95**2
    middle = (rate + z2 / (2 * over)) / (1 + z2 / over)
    half = Z95 / (1 + z2 / over) * math.sqrt(rate * (1 - rate) / over + z2 / (4 * over**2))
    # Rounding must not move an edge past the rate.
    return 100 * max(0.0, min(rate, middle - half)), 100 * min(1.0, max(rate, middle + half))


def answers(model: nn.Module, source: Any, size: int = 500) -> tuple[Tensor, Tensor]:
    """The model's outputs ("N K") and the targets ("N") over a sweep, in float32 and evaluation mode."""
    was, outputs, targets = model.training, [], []
    model.eval()
    with torch.inference_mode():
        for batch in source.sweep(size):
            outputs.append(model(batch[0]).float())
            targets.append(batch[1])
    model.train(was)
    return torch.cat(outputs), torch.cat(targets)


def rate_score(wrong: int, over: int, source: Any, **more: Any) -> Score:
    """An error in percent with Wilson's interval, of `wrong` among `over`."""
    low, high = wilson(wrong, over)
    return Score(100 * wrong / over, low, high, "%", "lower", source.name, source.split, over, **more)


def error_score(model: nn.Module, source: Any, **more: Any) -> Score:
    """Percent of wrong classes over `source`. `more`: paper, paper_data, note."""
    outputs, targets = answers(model, source)
    return rate_score(int((outputs.argmax(-1) != targets).sum()), len(targets), source, **more)


def top_score(model: nn.Module, source: Any, k: int, **more: Any) -> Score:
    """Percent of `source` whose class is not among the `k` likeliest."""
    outputs, targets = answers(model, source)
    right = (outputs.topk(k).indices == targets[:, None]).any(-1)
    return rate_score(int((~right).sum()), len(targets), source, **more)


def mean_score(values: Tensor, unit: str, source: Any, root: bool = False, **more: Any) -> Score:
    """The mean of `values` ("N"), or its root, with a normal 95 % interval (delta method for the root)."""
    values = values.double()
    mean = float(values.mean())
    half = Z95 * float(values.std(unbiased=True)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    value = math.sqrt(mean) if root else mean
    if root:
        half = half / (2 * value) if value else 0.0
    low = max(0.0, value - half)
    return Score(value, low, value + half, unit, "lower", source.name, source.split, len(values), **more)


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
    table = (
        12.706,
        4.303,
        3.182,
        2.776,
        2.571,
        2.447,
        2.365,
        2.306,
        2.262,
        2.228,
        2.201,
        2.179,
        2.160,
        2.145,
        2.131,
        2.120,
        2.110,
        2.101,
        2.093,
        2.086,
        2.080,
        2.074,
        2.069,
        2.064,
        2.060,
        2.056,
        2.052,
        2.048,
        2.045,
        2.042,
    )
    return table[freedom - 1] if freedom <= len(table) else Z95
