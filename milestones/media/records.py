"""Small records of what a system answers and reads, each with a file form, a JSON form and a terminal
form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor


@runtime_checkable
class Media(Protocol):
    """Anything that can be put in or got out: ``str()`` of it is a short text for terminals."""

    def encode(self) -> tuple[str, bytes]: ...  # file suffix (".png", ".json", ".txt") and the file's content
    def plain(self) -> Any: ...  # a value that JSON can hold


def as_json(value: object) -> tuple[str, bytes]:
    """``.json`` and the bytes of ``value``."""
    return ".json", (json.dumps({"format": 1, "value": value}, allow_nan=False) + "\n").encode()


def finite(values: Sequence[float]) -> list[float | None]:
    """The values for JSON, which knows no NaN and no infinity: those become None."""
    return [float(value) if math.isfinite(value) else None for value in values]


class Text:
    """A text. Given as an iterator of pieces it `flows`: each is made when it is asked for, and the text is whole when
    somebody asks for the whole. Equal texts are equal, however they came."""

    def __init__(self, text: str | Iterator[str]) -> None:
        self.flows = not isinstance(text, str)
        self._made, self._rest = ([text], iter(())) if isinstance(text, str) else ([], text)

    def pieces(self) -> Iterator[str]:
        """The pieces from the first, those that are not made yet as they come. One that fails is the last."""
        at = 0
        while True:
            if at == len(self._made):
                piece = next(self._rest, None)
                if piece is None:
                    return
                self._made.append(piece)
            yield self._made[at]
            at += 1

    @property
    def text(self) -> str:
        """The whole."""
        return "".join(self.pieces())

    def encode(self) -> tuple[str, bytes]:
        """The text in UTF-8."""
        return ".txt", self.text.encode()

    def plain(self) -> str:
        """The text."""
        return self.text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Text({''.join(self._made)!r}{', flows' * self.flows})"  # what is made: to look at it makes nothing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(frozen=True)
class Number:
    """A figure and its unit."""

    value: float
    unit: str = ""

    def encode(self) -> tuple[str, bytes]:
        """JSON of value and unit."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Value (None if not finite) and unit."""
        return {"value": finite([self.value])[0], "unit": self.unit}

    def __str__(self) -> str:
        return f"{self.value:.6g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Row:
    """One row of a table, as input: column name -> cell (text, number, truth value, or None where
    missing)."""

    values: Mapping[str, Any]

    def encode(self) -> tuple[str, bytes]:
        """JSON of the cells."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """The cells by column; what JSON cannot hold as its text."""
        fits = (str, int, bool, type(None))
        return {
            name: cell if isinstance(cell, fits) or (isinstance(cell, float) and math.isfinite(cell)) else str(cell)
            for name, cell in self.values.items()
        }

    def __str__(self) -> str:
        text = ", ".join(f"{name}={cell}" for name, cell in self.values.items())
        return text if len(text) <= 100 else text[:97] + "..."


@dataclass(frozen=True)
class Ranking:
    """Labels with their chances in [0, 1], best first."""

    labels: tuple[str, ...]
    chances: tuple[float, ...]

    @classmethod
    def of(cls, row: Tensor, labels: Sequence[str]) -> Ranking:
        """The ranking of one row of chances, "K", for K labels. Equal chances keep the order of the
        labels."""
        chances = row.detach().float().cpu().tolist()
        assert len(chances) == len(labels), f"{len(chances)} chances for {len(labels)} labels"
        best = sorted(range(len(chances)), key=lambda k: -chances[k])
        return cls(tuple(str(labels[k]) for k in best), tuple(chances[k] for k in best))

    @property
    def best(self) -> str:
        """The first label."""
        return self.labels[0]

    def encode(self) -> tuple[str, bytes]:
        """JSON of the pairs."""
        return as_json(self.plain())

    def plain(self) -> list[dict[str, Any]]:
        """``[{"label": ..., "chance": ...}, ...]``, best first."""
        return [
            {"label": label, "chance": chance} for label, chance in zip(self.labels, finite(self.chances), strict=True)
        ]

    def __str__(self) -> str:
        shown = [
            f"{label} {100 * chance:.1f} %" for label, chance in zip(self.labels[:3], self.chances[:3], strict=True)
        ]
        return "  ".join(shown)


@dataclass(frozen=True)
class Curve:
    """Lines over one x axis. Each line has as many values as x."""

    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    xlabel: str = ""
    ylabel: str = ""
    logx: bool = False
    logy: bool = False

    def __post_init__(self) -> None:
        for name, y in self.lines.items():
            assert len(y) == len(self.x), f"line {name!r} has {len(y)} values for {len(self.x)} of x"

    def encode(self) -> tuple[str, bytes]:
        """JSON of axes and lines."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Axes and lines as lists."""
        return {
            "x": finite(self.x), "lines": {name: finite(y) for name, y in self.lines.items()},
            "xlabel": self.xlabel, "ylabel": self.ylabel, "logx": self.logx, "logy": self.logy,
        }  # fmt: skip

    def __str__(self) -> str:
        ends = [f"{name} {y[0]:.4g} -> {y[-1]:.4g}" for name, y in self.lines.items() if len(y)]
        return f"{self.ylabel or 'y'} over {self.xlabel or 'x'}: " + ", ".join(ends)


@dataclass(frozen=True)
class Heat:
    """A matrix drawn as colours, for instance a confusion matrix: values "R C" with a label for rows and
    columns."""

    values: np.ndarray
    rows: Sequence[str] = field(default_factory=tuple)
    columns: Sequence[str] = field(default_factory=tuple)
    ylabel: str = ""  # what the rows are
    xlabel: str = ""  # what the columns are

    def __post_init__(self) -> None:
        assert self.values.ndim == 2, f"a matrix, not {self.values.shape}"
        assert len(self.rows) in (0, self.values.shape[0]) and len(self.columns) in (0, self.values.shape[1])

    def encode(self) -> tuple[str, bytes]:
        """JSON of the values and labels."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Values row by row, and labels."""
        return {
            "values": [finite(row) for row in self.values.tolist()], "rows": list(self.rows),
            "columns": list(self.columns), "ylabel": self.ylabel, "xlabel": self.xlabel,
        }  # fmt: skip

    def __str__(self) -> str:
        low, high = self.values.min(), self.values.max()
        return f"{self.values.shape[0]} x {self.values.shape[1]} values, {low:.4g} to {high:.4g}"


@dataclass(frozen=True)
class Listing:
    """A table to be read: a name for each column, and rows of texts and numbers (None: nothing to say)."""

    columns: Sequence[str]
    cells: Sequence[Sequence[str | float | None]]

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.cells), f"rows of {len(self.columns)} cells"

    def encode(self) -> tuple[str, bytes]:
        """JSON of names and rows."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Names and rows as lists."""
        cells = [[finite([cell])[0] if isinstance(cell, float) else cell for cell in row] for row in self.cells]
        return {"columns": list(self.columns), "cells": cells}

    def __str__(self) -> str:
        rows = [list(self.columns)] + [[_short(cell) for cell in row] for row in self.cells]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def _short(cell: str | float | None) -> str:
    return "-" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


@dataclass(frozen=True)
class Surface:
    """A function of two variables seen from above, with paths on it: values "R C" over `window` (x from, x to, y from,
    y to), the first row at the bottom; `paths` by name, `marks` by what they are ("minimum"), each a list of (x, y)."""

    values: np.ndarray
    window: tuple[float, float, float, float]
    paths: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    marks: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    xlabel: str = "x"
    ylabel: str = "y"

    def __post_init__(self) -> None:
        assert self.values.ndim == 2, f"a matrix, not {self.values.shape}"
        assert self.window[0] < self.window[1] and self.window[2] < self.window[3], f"from low to high: {self.window}"

    def encode(self) -> tuple[str, bytes]:
        """JSON of values, window, paths and marks."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Values row by row, of five digits; window, paths and marks as lists."""
        return {
            "surface": [finite([float(f"{v:.5g}") for v in row]) for row in self.values.tolist()],
            "window": finite(self.window),
            "paths": {n: [finite([float(f"{c:.6g}") for c in at]) for at in way] for n, way in self.paths.items()},
            "marks": {name: [finite(at) for at in spots] for name, spots in self.marks.items()},
            "xlabel": self.xlabel, "ylabel": self.ylabel,
        }  # fmt: skip

    def __str__(self) -> str:
        ends = [f"{name} to ({path[-1][0]:.4g}, {path[-1][1]:.4g})" for name, path in self.paths.items() if len(path)]
        low, high = np.nanmin(self.values), np.nanmax(self.values)
        return f"a surface from {low:.4g} to {high:.4g}; " + (", ".join(ends) or "no paths")
