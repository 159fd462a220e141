"""Splits that depend on the content alone: not on names, order or seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import UserError

FINAL = "final"
SPLITS = ("train", "valid", "test")


def shares(split: str) -> tuple[float, float, float]:
    """The parts for train, valid and test that ``--split`` asks for. UserError: not three percentages that make 100."""
    if split in ("", FINAL):
        return 0.8, 0.1, 0.1
    try:
        parts = [float(part) / 100 for part in split.split("/")]
    except ValueError:
        parts = []
    if len(parts) != 3 or not all(part > 0 for part in parts) or abs(sum(parts) - 1) > 1e-6:
        raise UserError("--split as three percentages that make 100, or final", repr(split), "Write 80/10/10", "data")
    return parts[0], parts[1], parts[2]


def divide(keys: Sequence[bytes], classes: np.ndarray, parts: tuple[float, float, float]) -> np.ndarray:
    """For each example 0 (train), 1 (valid) or 2 (test), within each class by the order of the keys of the content.

    Equal content always comes into one split. A part of 0 gets nothing, another at least one of each class
    that has
    enough different examples.
    """
    keyed, where = np.array(keys, dtype="S16"), np.zeros(len(keys), dtype=np.int64)
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        distinct, group = np.unique(keyed[rows], return_inverse=True)
        n = len(distinct)
        test = max(1, round(parts[2] * n)) if parts[2] and n > 1 else 0
        valid = max(1, round(parts[1] * n)) if parts[1] and n > 1 + bool(test) else 0
        test, valid = min(test, n - 1), min(valid, max(0, n - test - 1))
        part = np.zeros(n, dtype=np.int64)
        part[:test], part[test : test + valid] = 2, 1
        where[rows] = part[group]
    return where
