"""Tables as rows of values with gaps, for models that know what a gap is: numbers as they are, categories as codes, NaN
where a cell is empty or was never seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.source import Data, Facts, Held, Place
from ..media.records import Row
from ..media.sheet import MISSING
from . import Rows
from .tables import row_tensor, table


class Mixed(NamedTuple):
    """Rows of a table, not filled up."""

    value: Tensor  # B C float32: numbers, codes of categories, NaN where missing
    label: Tensor  # B int64: classes; 0 where the target is a number, which is then the last column


def mixed(place: Place) -> Data[Mixed]:
    """The table that the user chose, as `table` reads it, gaps left open. A target of numbers is one more column, the
    last.

    Facts: those of `table`, and sizes (of each column the number of categories, 0 of numbers) and fields (their names).
    """
    data = table(place)
    facts = dict(data.facts)
    number = "labels" not in facts
    sizes = [max(1, len(spec["categories"])) if spec["kind"] == "category" else 0 for spec in facts["columns"]]
    facts["sizes"] = sizes + [0] * number
    facts["fields"] = [spec["name"] for spec in facts["columns"]] + [facts["target"]] * number
    facts["centre"] = [spec.get("mean", 0.0) for spec in facts["columns"]]
    facts["width"] = [spec.get("spread", 1.0) for spec in facts["columns"]]
    if number:
        facts["centre"] = [*facts["centre"], facts["target_mean"]]
        facts["width"] = [*facts["width"], facts["target_spread"]]
    held = []
    for source, split in zip(data[:3], ("train", "valid", "test"), strict=True):
        rows: Rows = next(iter(source.sweep(len(source))))
        value, label = opened(facts, rows.input), rows.target
        if number:
            value, label = torch.cat([value, label[:, None].float()], 1), torch.zeros(len(label), dtype=torch.long)
        held.append(Held(Mixed(value, label), place, source.name, split))
    return Data(held[0], held[1], held[2], facts)


def opened(facts: Facts, input: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
    """Rows as `table` encodes them, one value a column, NaN where it was missing or unknown."""
    columns, at = [], 0
    for spec in facts["columns"]:
        wide = 1 if spec["kind"] == "number" else len(spec["categories"])
        part = input[:, at : at + wide]
        at += wide
        if spec["kind"] == "number":
            gap = input[:, at] > 0 if spec["missing"] else torch.zeros(len(input), dtype=torch.bool)
            value = part[:, 0]
        else:
            gap = part.sum(1) == 0
            value = part.argmax(1).float() if wide else torch.zeros(len(input))
        at += bool(spec["missing"])
        columns.append(torch.where(gap.to(value.device), math.nan, value))
    return torch.stack(columns, 1)


def gaps(facts: Facts, rows: Sequence[Row]) -> Float[Tensor, "B C"]:
    """The user's rows likewise, whichever cells are empty. UserError: a column that is not there, a text where numbers
    are."""
    value = opened(facts, row_tensor(facts, rows))
    empty = [[_empty(row.values[spec["name"]]) for spec in facts["columns"]] for row in rows]
    value = torch.where(torch.tensor(empty), math.nan, value)
    if "labels" in facts:
        return value
    asked = torch.full((len(rows), 1), math.nan)  # the target, even where it is told
    return torch.cat([value, asked], 1)


def _empty(cell: object) -> bool:
    return cell is None or str(cell).strip().lower() in MISSING


def coarse(value: Float[Tensor, "N C"], sizes: Sequence[int], bins: int) -> tuple[Tensor, list[int]]:
    """Codes "N C" for the structure alone, -1 where missing, and how many each has: numbers by their quantiles."""
    codes, found = value.nan_to_num(-1).long(), []
    for column, size in enumerate(sizes):
        if not size:
            known = value[:, column][~value[:, column].isnan()].double()
            shares = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
            edges = known.quantile(shares.to(known.device)).unique() if len(known) else known
            code = torch.bucketize(value[:, column].double(), edges)
            codes[:, column] = torch.where(value[:, column].isnan(), -1, code)
        found.append(size or bins)
    return codes, found
