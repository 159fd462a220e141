"""What a classifier does with each class, and what data would help it most, in words for who brings the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .pictures import grid, number

MOST_CLASSES = 200
FEW = 50  # test examples of a class, below which its figure says little


class Class(NamedTuple):
    """One class in figures."""

    name: str
    learned: float  # training examples; NaN if unknown
    tested: int
    found: float  # percent of its test examples that were recognised
    true: float  # percent of the answers with its name that were right
    rival: str  # what it is most often taken for; "" if nothing
    taken: int  # how often


def classes(matrix: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Class]:
    """The classes of a confusion matrix (rows are the truth), the least recognised first; [] for another matrix."""
    labels, counts, learned = matrix.get("labels"), matrix.get("counts"), facts.get("counts")
    if not isinstance(labels, list) or not isinstance(counts, list) or not 2 <= len(labels) <= MOST_CLASSES:
        return []
    n = len(labels)
    if len(counts) != n or not all(isinstance(row, list) and len(row) == n for row in counts):
        return []
    if not all(type(value) is int and value >= 0 for row in counts for value in row):
        return []
    known = isinstance(learned, list) and len(learned) == n
    found = []
    for k, label in enumerate(labels):
        tested, said = sum(counts[k]), sum(row[k] for row in counts)
        if not tested:
            continue
        rival = max((j for j in range(n) if j != k), key=lambda j: counts[k][j])
        found.append(
            Class(str(label), number(learned[k]) if known else float("nan"), tested, 100 * counts[k][k] / tested,  # type: ignore[index]
                  100 * counts[k][k] / said if said else float("nan"),
                  str(labels[rival]) if counts[k][rival] else "", counts[k][rival])
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.found, one.name))


def table(found: list[Class]) -> str:
    """A row a class."""
    rows = [
        (one.name, f"{one.learned:,.0f}" if one.learned >= 0 else "–", f"{one.tested:,}", f"{one.found:.1f} %",
         f"{one.true:.1f} %" if one.true >= 0 else "never said", f"{one.rival} ({one.taken})" if one.rival else "–")
        for one in found
    ]  # fmt: skip
    columns = ["Class", "Learned from", "Tested on", "Recognised", "Right when said", "Most often taken for"]
    return grid(columns, rows) if rows else ""


def advice(found: list[Class]) -> list[str]:
    """What to collect next: at most five sentences, the most useful first."""
    out = []
    mean = sum(one.found * one.tested for one in found) / max(1, sum(one.tested for one in found))
    for one in found[:3]:
        if one.found < min(mean, 99.0) and one.taken > 1:
            out.append(
                f"More pictures of {one.name}, above all such as look like {one.rival}: "
                f"{one.found:.0f} % are recognised, {mean:.0f} % of all."
            )
    learned = [one for one in found if one.learned >= 0]
    if learned:
        least, most = min(learned, key=lambda one: one.learned), max(learned, key=lambda one: one.learned)
        if most.learned > 3 * least.learned:
            out.append(
                f"{least.name} has {least.learned:,.0f} training pictures, {most.name} {most.learned:,.0f}: "
                "collect more of the rare ones, or train resnet with --balance 1."
            )
    scarce = [one.name for one in found if one.tested < FEW]
    if scarce:
        more = f" and {len(scarce) - 3} more" if len(scarce) > 3 else ""
        out.append(f"Fewer than {FEW} test pictures of {', '.join(scarce[:3])}{more}: their figures are rough.")
    return out
