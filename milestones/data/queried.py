"""What a circuit answers about pictures and rows, as people read it: classes, gaps filled, and what is strange."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.source import Facts
from ..media import Image, Listing, Media, Number, Ranking, Text
from ..parts.circuit import Circuit
from ..parts.likelihood import percentile
from ..parts.queries import chances, completion, expectation, posterior, sample, surprise
from .likely import sheet

NATS = 5  # of surprise, for white
IMPOSSIBLE = "impossible: its chance is zero, or too small for a number of 32 bits"


def pictured(row: Float[Tensor, "N C"], most: int, columns: int = 8) -> Image:
    """Rows of levels 0 to `most` as pictures side by side."""
    side = math.isqrt(row.shape[1])
    return sheet((row * (255 / most)).unflatten(1, (side, side)), columns)


def heat(circuit: Circuit, row: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """Where a picture surprises, given the rest of it: from black to white for 5 nats, in its own levels."""
    return (circuit.category.shape[2] - 1) * (surprise(circuit, row) / NATS).clamp(0, 1).nan_to_num(1)


def completed(circuit: Circuit, row: Float[Tensor, "B C"], gone: Tensor, samples: int,
              rng: torch.Generator) -> Float[Tensor, "N C"]:  # fmt: skip
    """For each picture: what is left of it without the pixels `gone`, its mean, draws, the likeliest (approximate)."""
    left = row.masked_fill(gone, math.nan)
    drawn = [sample(circuit, left, rng) for _ in range(samples)]
    pieces = [left.nan_to_num(0), expectation(circuit, left), *drawn, completion(circuit, left).row]
    return torch.stack(pieces, 1).flatten(0, 1)


def drawn_anew(circuit: Circuit, row: Float[Tensor, "B C"], rng: torch.Generator) -> dict[str, Image]:
    """New pictures; pictures whose lower half is hidden: mean, three draws, the likeliest, beside themselves; and where
    they surprise."""
    most, half = circuit.category.shape[2] - 1, torch.arange(row.shape[1], device=row.device) >= row.shape[1] // 2
    new = sample(circuit, row.new_full((32, row.shape[1]), math.nan), rng)
    filled = completed(circuit, row, half, 3, rng).unflatten(0, (len(row), -1))
    beside = torch.cat([row[:, None], filled], 1)
    return {"drawn": pictured(new, most), "completed": pictured(beside.flatten(0, 1), most, beside.shape[1]),
            "surprise": pictured(torch.cat([row, heat(circuit, row)]), most, len(row))}  # fmt: skip


def strangest(circuit: Circuit, value: Float[Tensor, "N C"], facts: Facts) -> Listing:
    """The five rows that are least likely, and the cell of each that its other cells make least likely."""
    nats = -circuit(value).logsumexp(1)
    top = nats.topk(min(5, len(nats))).indices
    odd = surprise(circuit, value[top])
    cells = [
        [str(int(i) + 1), float(nats[i]), *odd_cell(facts, value[i], o)] for i, o in zip(top, odd, strict=True)
    ]  # fmt: skip
    return Listing(("validation row", "nats", "strangest cell", "nats of it"), cells)


def odd_cell(facts: Facts, row: Float[Tensor, "C"], nats: Float[Tensor, "C"]) -> tuple[str, float]:
    """The cell that is least likely given the others, as ``column=value``, and its nats."""
    column = int(nats.nan_to_num(-math.inf).argmax())
    return f"{facts['fields'][column]}={said(facts, column, float(row[column]))}", float(nats[column])


def said(facts: Facts, column: int, value: float) -> str:
    """A value as the table has it."""
    categories = facts["columns"][column].get("categories") if column < len(facts["columns"]) else None
    if math.isnan(value):
        return "missing"
    return f"{value:.6g}" if categories is None else (categories[int(value)] if categories else "unknown")


def in_picture(circuit: Circuit, row: Float[Tensor, "1 C"], facts: Facts, hide: str, samples: int,
               rng: torch.Generator) -> dict[str, Media]:  # fmt: skip
    """The class by Bayes, or the likelihood where there is one circuit alone; and a half filled in from the other."""
    side = math.isqrt(row.shape[1])
    far = torch.arange(side) >= side // 2
    lines = far[:, None].expand(side, side)
    gone = {"bottom": lines, "top": ~lines, "right": lines.T, "left": ~lines.T}[hide].flatten().to(row.device)
    most, found = circuit.category.shape[2] - 1, posterior(circuit, row)
    if not found.possible[0]:
        return {"answer": Text(IMPOSSIBLE)}
    log = float(circuit(row).logsumexp(1)[0])
    answer = Ranking.of(found.label[0], facts["labels"]) if circuit.classes > 1 else Number(log, "nats, log p")
    filled = completed(circuit, row, gone, samples, rng)
    note = f"the other half, its mean, {samples} draws, the likeliest (approximate: together with hidden states)"
    return {"answer": answer, "completed": pictured(filled, most, len(filled)), "completed_are": Text(note),
            "surprise": pictured(heat(circuit, row), most)}  # fmt: skip


def in_row(circuit: Circuit, row: Float[Tensor, "1 C"], facts: Facts, usual: Float[Tensor, "Q"], samples: int,
           rng: torch.Generator) -> dict[str, Media]:  # fmt: skip
    """The class by Bayes or the target's expectation; how likely the cells that are given are; what the gaps hold, and
    draws of them together; how strange the row is and by which cell."""
    found = posterior(circuit, row)
    if not found.possible[0]:
        return {"answer": Text(IMPOSSIBLE)}
    nats, mean, likeliest = -circuit(row).logsumexp(1), expectation(circuit, row)[0], completion(circuit, row)
    gaps = row[0].isnan().nonzero()[:, 0].tolist()
    column, odd = odd_cell(facts, row[0], surprise(circuit, row)[0])
    answer: Media = Number(float(nats[0]), "nats, -log p")
    if circuit.classes > 1:
        answer = Ranking.of(found.label[0], facts["labels"])
    elif "labels" not in facts:
        answer, gaps = Number(float(mean[-1]), facts["target"]), gaps[:-1]
    answers: dict[str, Any] = {"answer": answer}
    if circuit.classes > 1 or "labels" not in facts:
        answers["likelihood"] = Number(-float(nats[0]), "nats, log p of the cells that are given, exact")
    if gaps:
        how = "exact" if bool(likeliest.exact[0]) else "approximate: together with hidden states"
        cells = [filled(circuit, row, facts, gap, float(mean[gap]), float(likeliest.row[0, gap])) for gap in gaps]
        answers["filled"] = Listing(("column", "expected, with chances", f"likeliest ({how})"), cells)
        if samples:
            drawn = sample(circuit, row.expand(samples, -1), rng)[:, gaps].tolist()
            lines = [[said(facts, *one) for one in zip(gaps, values, strict=True)] for values in drawn]
            answers["drawn"] = Listing([facts["fields"][gap] for gap in gaps], lines)
    low = float(percentile(nats, usual)[0])
    answers["strange"] = Number(round(low, 1), "% of the validation rows are likelier")
    if not row.isnan().all():
        answers["strangest_cell"] = Text(f"{column}: {odd:.2f} nats given the other cells")
    return answers


def filled(circuit: Circuit, row: Float[Tensor, "1 C"], facts: Facts, gap: int, mean: float,
           likeliest: float) -> list[str | float | None]:  # fmt: skip
    """One gap of a row: what is expected of it, and the likeliest value."""
    expected = said(facts, gap, mean)
    if facts["sizes"][gap]:
        chance = chances(circuit, row, gap)[0]
        top = chance.topk(min(3, len(chance)))
        expected = ", ".join(
            f"{said(facts, gap, int(code))} {100 * float(share):.0f} %"
            for share, code in zip(top.values, top.indices, strict=True)
        )
    return [facts["fields"][gap], expected, said(facts, gap, likeliest)]
