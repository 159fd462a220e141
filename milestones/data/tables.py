"""Tables with a target column: numbers and categories encoded as numbers, all that is fitted taken from train
alone."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Data, Facts, Held, Place
from ..media.records import Row
from ..media.sheet import MISSING, Sheet, sheet
from . import Rows
from .listing import few, ordered
from .splits import FINAL, divide, shares

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
CLASSES_AT_MOST = 20  # distinct whole numbers in a target; with more it is a quantity
CATEGORIES_AT_MOST = 20  # distinct texts that need not repeat; above it a column of mostly different texts is dropped
INPUTS_AT_MOST = 20_000


def table(place: Place) -> Data[Rows]:
    """The table that the user chose, its target column in ``place.choice.target``: inputs "B D" raw, not
    normalised.

    Facts: kind, task ("classes" or "numbers"), target, labels (classes) or target_mean and target_spread
    (numbers),
    columns, names and mean and spread of each of the D inputs, inputs (D), data (counts, sha256, note).
    Missing numbers
    become train's median beside an input that is 1 where one was missing; missing and unknown categories one
    category.
    UserError: no target, a cell that does not fit, too few rows.
    """
    path = Path(place.choice.data)
    if not place.choice.data:
        raise UserError("a table", "none", "Name it with --data FILE.csv --target COLUMN", "data")
    read = sheet(path)
    target = place.choice.target
    if target not in read.columns:
        have = f"columns {', '.join(read.columns)} in {path}"
        near = (
            nearest(target, read.columns, "Name one of these with --target")
            if target
            else f"Say --target {list(read.columns)[-1]}"
        )
        raise UserError(f"the target column {target!r}" if target else "a target column", have, near, "data")
    cells = {name: [_text(cell) for cell in column] for name, column in read.columns.items()}
    goal, labels = _goal(read, target, cells.pop(target))
    columns, notes = _columns(read, cells)
    names = sorted(columns)
    lines = ("\x1f".join(row) for row in zip(*map(cells.get, names), map(str, goal.tolist()), strict=True))
    keys = [hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=8).digest() for line in lines]
    part = divide(keys, goal if labels else np.zeros(len(goal), np.int64), shares(place.choice.split))
    rows = [np.flatnonzero(part == k) for k in range(3)]
    fewest = 1 if labels else 2  # the mean of one example has no interval
    if not all(map(len, rows)) or len(rows[2]) < fewest:
        got = f"{len(set(keys))} different ones in {path}"
        raise UserError(f"at least {10 * fewest} rows, for train, valid and test", got, "Add rows", "data")
    if place.choice.split == FINAL:
        rows[0] = np.sort(np.concatenate(rows[:2]))
    specs = [_fit(read, name, columns[name], cells[name], rows[0]) for name in columns]
    inputs, wide = _encode(specs, cells, len(goal), read.comma), _names(specs)
    if not wide:
        raise UserError("a column that varies, beside the target", f"none in {path}", "Add columns", "data")
    fitted = inputs[rows[0]].astype(np.float64)
    spread = fitted.std(0)
    tensors = [Rows(torch.from_numpy(inputs[row]), torch.from_numpy(goal[row])) for row in rows]
    digest = hashlib.sha256()
    for tensor in (tensor for both in tensors for tensor in both):
        digest.update(tensor.numpy())
    facts: Facts = {"kind": "table", "task": "classes" if labels else "numbers", "target": target}
    if labels:
        facts["labels"] = labels
    else:
        facts |= {
            "target_mean": float(goal[rows[0]].mean()),
            "target_spread": float(goal[rows[0]].std()) or 1.0,
        }
    facts |= {
        "columns": specs, "names": wide, "inputs": len(wide), "mean": fitted.mean(0).tolist(),
        "spread": np.where(spread > 1e-9, spread, 1.0).tolist(), "comma": read.comma,
        "data": {"name": path.name, "train": len(rows[0]), "valid": len(rows[1]), "test": len(rows[2]),
                 "sha256": digest.hexdigest(), "note": "; ".join(notes)},
    }  # fmt: skip
    seen_in_training = " (seen in training)" if place.choice.split == FINAL else ""
    held = [Held(both, place, path.name + (seen_in_training if split == "valid" else ""), split)
            for both, split in zip(tensors, ("train", "valid", "test"), strict=True)]  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def row_tensor(facts: Facts, rows: Sequence[Row]) -> Tensor:
    """Rows of the user's as inputs "B D", columns by name in any order; others are ignored. UserError: a
    column that
    is not there, a text where numbers are."""
    cells: dict[str, list[str]] = {}
    for spec in facts["columns"]:
        name = spec["name"]
        for number, row in enumerate(rows, 1):
            if name not in row.values:
                do = nearest(name, row.values, "Add it, empty where it is missing")
                raise UserError(f"a column {name!r}", f"{', '.join(row.values) or 'none'} in row {number}", do, "use")
        cells[name] = [_text(row.values[name]) for row in rows]
        if spec["kind"] == "number":
            for number, cell in enumerate(cells[name], 1):
                if not _missing(cell) and _value(cell, facts.get("comma", False)) is None:
                    raise UserError(
                        f"a number in {name!r}",
                        f"{cell!r} in row {number}",
                        "Correct it, or leave it empty",
                        "use",
                    )
    return torch.from_numpy(_encode(facts["columns"], cells, len(rows), facts.get("comma", False)))


def unknown_categories(facts: Facts, rows: Sequence[Row]) -> list[str]:
    """What the model has never seen and reads as missing, as ``column=value``, each once."""
    found = [
        f"{spec['name']}={cell}"
        for spec in facts["columns"] if spec["kind"] == "category"
        for cell in dict.fromkeys(_text(row.values.get(spec["name"])) for row in rows)
        if not _missing(cell) and cell not in spec["categories"]
    ]  # fmt: skip
    return found


def _text(cell: Any) -> str:
    """A cell as text; truth values in one spelling, whole floats as whole numbers."""
    if cell is None:
        return ""
    if isinstance(cell, (bool, np.bool_)):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    text = str(cell).strip()
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


def _missing(text: str) -> bool:
    return text.lower() in MISSING


def _value(text: str, comma: bool) -> float | None:
    """The finite number that a text is, or None."""
    text = text.replace(",", ".") if comma else text
    if not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) and abs(value) < 1e30 else None  # float32 ends at 3e38


def _goal(read: Sheet, target: str, cells: list[str]) -> tuple[np.ndarray, list[str]]:
    """The target: float32 values and no labels, or int64 classes and their labels."""
    for cell, line in zip(cells, read.lines, strict=True):
        if _missing(cell) or INFINITE.fullmatch(cell):
            got = f"{cell!r} in {read.path} line {line}" if cell else f"an empty cell in {read.path} line {line}"
            raise UserError(f"a target {target!r} in each row", got, "Correct the line, or remove it", "data")
    values = [_value(cell, read.comma) for cell in cells]
    numeric = [value for value in values if value is not None]
    if len(numeric) == len(cells):
        if len(set(numeric)) > CLASSES_AT_MOST or any(value != round(value) for value in numeric):
            if len(set(numeric)) < 2:
                raise UserError("a target that varies", f"one value in {read.path}", "Choose another column", "data")
            return np.array(numeric, dtype=np.float32), []
        cells = [str(round(value)) for value in numeric]
    elif len(numeric) > 0.9 * len(cells):
        i = values.index(None)
        got = f"{cells[i]!r} in {read.path} line {read.lines[i]}"
        raise UserError(f"numbers in the target {target!r}, as in its other rows", got, "Correct the line", "data")
    counts = Counter(cells)
    if len(counts) < 2:
        raise UserError(
            f"at least two classes in {target!r}",
            f"{len(counts)} in {read.path}",
            "Choose another column",
            "data",
        )
    problems: list[UserError] = []
    few(counts, problems)
    if problems:
        do = f"{problems[0].do}; is {target!r} really a class?"
        raise UserError(problems[0].expected, f"{problems[0].got} in {read.path}", do, "data")
    labels = ordered(counts)
    number = {label: k for k, label in enumerate(labels)}
    return np.array([number[cell] for cell in cells], dtype=np.int64), labels


def _columns(read: Sheet, cells: Mapping[str, list[str]]) -> tuple[dict[str, str], list[str]]:
    """The kind ("number" or "category") of each column that is kept, and notes on those that are not."""
    kinds, notes = {}, []
    for name, column in cells.items():
        filled = [cell for cell in column if not _missing(cell)]
        distinct = set(filled)
        if len(distinct) < 2 and len(filled) in (0, len(column)):
            notes.append(f"{name!r} dropped: {'empty' if not distinct else 'one value'}")
            continue
        for cell, line in zip(column, read.lines, strict=True):
            if INFINITE.fullmatch(cell):
                do = "Write a number, or leave it empty"
                raise UserError(f"finite numbers in {name!r}", f"{cell!r} in {read.path} line {line}", do, "data")
        numeric = sum(_value(cell, read.comma) is not None for cell in distinct)
        if numeric == len(distinct):
            if name.lower() in ("", "id", "index", "unnamed: 0") and len(distinct) == len(column):
                notes.append(f"{name!r} dropped: numbers the rows")
            else:
                kinds[name] = "number"
        elif numeric > 0.95 * len(distinct) and numeric > CATEGORIES_AT_MOST:
            i = next(i for i, cell in enumerate(column) if not _missing(cell) and _value(cell, read.comma) is None)
            got = f"{column[i]!r} in {read.path} line {read.lines[i]}"
            raise UserError(f"numbers in {name!r}, as in its other rows", got, "Correct it, or leave it empty", "data")
        elif (len(distinct) > CATEGORIES_AT_MOST and len(distinct) > len(filled) / 2) or len(distinct) == len(column):
            notes.append(f"{name!r} dropped: free text or names ({len(distinct):,} different)")
        else:
            kinds[name] = "category"
    return kinds, notes


def _fit(read: Sheet, name: str, kind: str, column: Sequence[str], rows: np.ndarray) -> dict[str, Any]:
    """What train says of a column: its median, mean and spread, or its categories; and whether any cell is
    missing."""
    cells = [column[i] for i in rows]
    filled = [cell for cell in cells if not _missing(cell)]
    spec: dict[str, Any] = {"name": name, "kind": kind, "missing": len(cells) - len(filled)}
    if kind == "category":
        return {**spec, "categories": ordered(filled)}
    values = np.array([_value(cell, read.comma) for cell in filled] or [0.0], dtype=np.float64)
    return {
        **spec,
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "spread": float(values.std()) or 1.0,
    }


def _names(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name of each input, in the order of `_encode`."""
    names = []
    for spec in specs:
        names += (
            [spec["name"]] if spec["kind"] == "number" else [f"{spec['name']}={label}" for label in spec["categories"]]
        )
        names += [f"{spec['name']} missing"] if spec["missing"] else []
    if len(names) > INPUTS_AT_MOST:
        most = max(specs, key=lambda spec: len(spec.get("categories", ())))
        got = f"{len(names):,}, most of them from {most['name']!r}"
        raise UserError(f"at most {INPUTS_AT_MOST:,} inputs", got, "Remove that column, or merge its values", "data")
    return names


def _encode(
    specs: Sequence[Mapping[str, Any]], cells: Mapping[str, Sequence[str]], over: int, comma: bool = False
) -> np.ndarray:
    """Inputs "N D": a number as it is, a category as one input for each of its values, then one for
    missing."""
    out = np.zeros((over, len(_names(specs))), dtype=np.float32)
    at = 0
    for spec in specs:
        column = cells[spec["name"]]
        if spec["kind"] == "number":
            values = [_value(cell, comma) for cell in column]
            out[:, at] = [spec["median"] if value is None else value for value in values]
            gaps = np.array([value is None for value in values], dtype=bool)
            at += 1
        else:
            number = {label: k for k, label in enumerate(spec["categories"])}
            place = np.array([number.get(cell, -1) for cell in column], dtype=np.int64)
            gaps = place < 0
            out[np.flatnonzero(~gaps), at + place[~gaps]] = 1
            at += len(number)
        if spec["missing"]:
            out[gaps, at] = 1
            at += 1
    return out
