"""Scores with their interval, unit and data; and the error rate, which most pages report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .interval import Z95


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
