"""When a published figure may stand beside a measured one. Knows no NumPy, so that a list does not wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def comparable(score: Mapping[str, Any]) -> bool:
    """Whether a score has a published figure of the same data and split. Another is shown, and not compared."""
    paper = score.get("paper")
    plain = isinstance(paper, int | float) and not isinstance(paper, bool)
    return plain and bool(score.get("data")) and score.get("paper_data") == score.get("data")
