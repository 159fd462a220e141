"""What a reader of a text could keep count of, sign by sign, and which cells of a net follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FAR = 200  # signs; what is further counts no more


def traces(text: str) -> dict[str, Float[np.ndarray, "N"]]:
    """Of each sign, it included: how many signs the line, the sentence and the word have so far, and whether (1 or 0)
    quotes or brackets are open and a word in capitals goes on."""
    found: dict[str, list[int]] = {name: [] for name in ("line", "sentence", "word", "quotes", "brackets", "capitals")}
    line = sentence = word = quotes = brackets = 0
    before = ""
    for sign in text:
        line = 0 if sign == "\n" else line + 1
        sentence = 0 if sign in ".?!" else sentence + 1
        word = word + 1 if sign.isalpha() else 0
        if sign in "“”":
            quotes = int(sign == "“")
        elif sign == '"':
            quotes = 1 - quotes
        elif sign == before == "\n":  # a paragraph ends: whoever forgot to close them means them closed
            quotes = brackets = 0
        if sign in "([":
            brackets = 1
        elif sign in ")]":
            brackets = 0
        capitals = int(sign.isupper() and before.isupper())
        for counts, value in zip(found.values(), (line, sentence, word, quotes, brackets, capitals), strict=True):
            counts.append(min(value, FAR))
        before = sign
    return {name: np.array(values, np.float64) for name, values in found.items()}


class Follower(NamedTuple):
    """A cell that follows what a reader keeps count of."""

    what: str
    cell: int
    sign: int  # -1: it falls where the trace rises
    correlation: float  # times that sign, on the half of the text on which the cell was not chosen


def followers(cells: Float[np.ndarray, "N C"], traced: Mapping[str, Float[np.ndarray, "N"]]) -> list[Follower]:
    """For each trace the cell that correlates most with it, either way, on the first half of the text, and how much it
    does on the second, the surest first. Counts on a logarithmic scale: cells have bounds. Traces that do not move in
    both halves are left out."""
    half, found = len(cells) // 2, []
    for what, counts in traced.items():
        if not half or 0 in (np.ptp(counts[:half]), np.ptp(counts[half:])):
            continue
        trace = np.log1p(counts)
        first = correlations(cells[:half], trace[:half])
        cell = int(np.abs(first).argmax())
        sign = 1 if first[cell] >= 0 else -1
        found.append(Follower(what, cell, sign, sign * float(correlations(cells[half:, [cell]], trace[half:])[0])))
    return sorted(found, key=lambda one: -one.correlation)


def correlations(cells: Float[np.ndarray, "N C"], trace: Float[np.ndarray, "N"]) -> Float[np.ndarray, "C"]:
    """Pearson's correlation of each cell with the trace; 0 of a cell that does not move."""
    off, by = cells - cells.mean(0), trace - trace.mean()
    size = np.sqrt((off**2).sum(0) * (by**2).sum())
    return np.divide(by @ off, size, out=np.zeros(cells.shape[1]), where=size > 1e-12)
