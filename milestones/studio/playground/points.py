"""The user's own points: read from a CSV file, or drawn; in whole numbers, so that a link holds them exactly."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.errors import UserError
from .settings import WHO

PLACE, VALUE = 5000, 30000  # whole numbers to 1 of a place in the plane, and of a value
LARGEST, MOST, FEWEST, CLASSES = 1 << 20, 2000, 4, 4  # bytes of a file, rows, rows, classes
SIDE = 5.0  # columns are stretched to -5 ... 5


class Own(NamedTuple):
    """Points "N 3" int16: place in 1/5000, and class, or value in 1/30000."""

    rows: np.ndarray
    labels: tuple[str, ...]  # names of the classes; of values none
    axes: tuple[tuple[str, float, float], ...] = ()  # of each column: name, and what -5 and 5 (of a value: -1, 1) are

    def tensors(self, problem: str) -> tuple[Tensor, Tensor]:
        """Points "N 2" and classes or values "N"."""
        raw = torch.from_numpy(self.rows.astype(np.int64))
        target = raw[:, 2] if problem == "classes" else raw[:, 2] / VALUE
        return raw[:, :2] / PLACE, target


def received(ask: Mapping[str, Any], payload: bytes, problem: str) -> Own:
    """The points that a page sends: int16 "N 3", the names of the classes in "labels". UserError: too few or many."""
    if len(payload) % 6 or not FEWEST * 6 <= len(payload) <= MOST * 6:
        got = f"{len(payload) // 6:,}"
        raise UserError(f"{FEWEST} to {MOST:,} points of your own", got, "Draw some, or load a CSV file", WHO)
    rows = np.frombuffer(payload, "<i2").reshape(-1, 3).astype(np.int16)
    labels = ask.get("labels")
    labels = [str(label)[:40] for label in labels[:CLASSES]] if isinstance(labels, list) else []
    if problem == "classes":
        last = int(rows[:, 2].max())
        if rows[:, 2].min() < 0 or last >= CLASSES:
            raise UserError(f"classes 0 to {CLASSES - 1} of your own points", str(last), "Draw them again", WHO)
        labels += [str(k) for k in range(len(labels), max(2, last + 1))]
    return Own(rows, tuple(labels))


def read(raw: bytes, problem: str) -> Own:
    """The points of a CSV file: two columns of numbers, and the class or value. UserError says the line."""
    if len(raw) > LARGEST:
        raise UserError("a file of at most 1 MB", f"{len(raw) / 1e6:.1f} MB", "Take a part of it", WHO)
    if b"\0" in raw:
        raise UserError("a CSV file, which is text", "one with zero bytes", "Save it as CSV, UTF-8", WHO)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MOST + 1:
        raise UserError(f"at most {MOST:,} rows", f"{len(lines):,}", "Take a part of them", WHO)
    mark = next((mark for mark in ";\t," if lines and mark in lines[0][1]), " ")
    rows = [(number, _cells(line, mark)) for number, line in lines]
    for number, cells in rows:
        if len(cells) != 3:
            got = f"{len(cells)} column{'s' * (len(cells) != 1)} in line {number}"
            raise UserError("three columns: two numbers, then the class or value", got, "Keep three", WHO)
    names = ["x1", "x2", "target"]
    if rows and _number(rows[0][1][0], mark) is None and _number(rows[0][1][1], mark) is None:
        names = [cell[:40] for cell in rows.pop(0)[1]]
    if len(rows) < FEWEST:
        raise UserError(f"at least {FEWEST} rows", f"{len(rows)} in the file", "Add rows", WHO)
    columns = [_column(rows, k, names[k], mark) for k in (0, 1)]
    labels: tuple[str, ...] = ()
    if problem == "classes":
        labels, third = _classes(rows)
        ranges = [_range(column, name) for column, name in zip(columns, names, strict=False)]
    else:
        columns.append(_column(rows, 2, names[2], mark))
        ranges = [_range(column, name) for column, name in zip(columns, names, strict=True)]
        third = _stretched(columns[2], ranges[2], VALUE)
    places = [_stretched(column, span, SIDE * PLACE) for column, span in zip(columns[:2], ranges, strict=False)]
    rows16 = np.stack([*places, third], 1).astype(np.int16)
    return Own(rows16, labels, tuple((name[:40], *span) for name, span in zip(names, ranges, strict=False)))


def _cells(line: str, mark: str) -> list[str]:
    cells = line.split() if mark == " " else next(csv.reader([line], delimiter=mark))
    return [cell.strip() for cell in cells]


def _number(cell: str, mark: str) -> float | None:
    """The number that a cell says; where columns are not separated by commas, a comma may stand for the point."""
    try:
        found = float(cell.replace(",", ".") if mark != "," else cell)
    except ValueError:
        return None
    return found if math.isfinite(found) and "_" not in cell else None


def _column(rows: Sequence[tuple[int, list[str]]], k: int, name: str, mark: str) -> list[float]:
    found = []
    for number, cells in rows:
        value = _number(cells[k], mark)
        if value is None:
            got = f"{cells[k][:40]!r} in line {number}"
            raise UserError(f"a number in column {k + 1}, {name}", got, "Mend or leave out that line", WHO)
        found.append(value)
    return found


def _classes(rows: Sequence[tuple[int, list[str]]]) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes in the order of their names, and each row's."""
    names = sorted({cells[2] for _, cells in rows})
    if not 2 <= len(names) <= CLASSES:
        do = "Choose regression for numbers, or leave classes out"
        raise UserError(f"2 to {CLASSES} classes in column 3", f"{len(names)} different entries", do, WHO)
    return tuple(name[:40] for name in names), np.array([names.index(cells[2]) for _, cells in rows])


def _range(column: Sequence[float], name: str) -> tuple[float, float]:
    low, high = min(column), max(column)
    if not 0 < high - low < math.inf:
        raise UserError("a column that varies", f"{low:g} in each row of {name}", "Choose another column", WHO)
    return low, high


def _stretched(column: Sequence[float], span: tuple[float, float], most: float) -> np.ndarray:
    low, high = span
    return np.rint(most * (2 * (np.array(column) - low) / (high - low) - 1))
