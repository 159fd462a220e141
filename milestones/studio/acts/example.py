"""example: some inputs of the data that a run was trained or tested on, each with its true answer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ...core.errors import UserError
from ...verbs.subject import prepared
from ..desk import Answer, Desk
from ..subjects import keep, kept

MOST = 48
SPLITS = ("test", "valid", "train")


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Iterator[Answer]:
    """The page "page" of "count" examples of "split": "labels" their true answers, and either the array "images"
    "N H W C" or "rows", or the array "samples" with the
    "lengths" of sounds at "rate_hz"; "over" is how many there are.

    The data are prepared once, in a thread of their own: while that takes, other questions are answered.
    UserError: examples of another kind, or data that cannot be read.
    """
    trained = desk.trained(ask.get("run"))
    name, split = trained.entry.name, ask.get("split", "test")
    page, count = ask.get("page", 0), ask.get("count", 12)
    if split not in SPLITS:
        raise UserError("test, valid or train", repr(split)[:40], "Choose one of them", name)
    if not all(type(n) is int for n in (page, count)) or page < 0 or not 1 <= count <= MOST:
        raise UserError(f"a page from 0 of 1 to {MOST} examples", f"{page!r} of {count!r}"[:60], "Choose another", name)
    data = kept(desk, trained)
    if data is None:
        found: list[Any] = []
        thread = threading.Thread(target=prepare, args=(trained, found), daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.02)
            yield Answer({"waiting": True})
        if isinstance(found[0], Exception):
            raise found[0]
        data = keep(desk, trained, found[0])
    source = getattr(data, split, None)
    if source is None or not hasattr(source, "sweep"):
        raise UserError("a run with examples", f"the page {name}, which has none", "Use an input of your own", name)
    pages = max(1, -(-len(source) // count))
    batch = next(itertools.islice(source.sweep(count), page % pages, None))
    yield shown(trained, batch, {"over": len(source), "page": page % pages, "data": source.name, "split": split})


def prepare(trained: Any, found: list[Any]) -> None:
    """Put the run's data, or what prevents it, into `found`."""
    try:
        found.append(prepared(trained))
    except Exception as problem:
        found.append(problem)


def shown(trained: Any, batch: Any, content: Mapping[str, Any]) -> Answer:
    """A batch as people see it. UserError: inputs that are neither pictures, sounds nor rows."""
    facts, first = trained.facts, batch[0]
    told = {**content, "labels": truths(facts, batch)}
    if first.dim() == 3 and first.dtype == torch.uint8 and first.shape[1] == first.shape[2]:
        first = first[:, None]  # a picture that is read row by row
    if first.dim() == 4 and first.shape[1] in (1, 3):
        pixels = first.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        return Answer({**told, "kind": "image"}, {"images": np.ascontiguousarray(pixels)})
    if first.dim() == 2 and first.dtype == torch.int16 and isinstance(facts.get("rate_hz"), int):
        lengths = [int(row.nonzero()[-1]) + 1 if row.any() else 1 for row in first]  # zeros fill up to the longest
        sounds = [row[:length].numpy().astype(np.float32) / 32768 for row, length in zip(first, lengths, strict=True)]
        more = {"kind": "audio", "rate_hz": facts["rate_hz"], "lengths": lengths}
        return Answer({**told, **more}, {"samples": np.concatenate(sounds)})
    columns = facts.get("columns")
    if first.dim() == 2 and isinstance(columns, list):
        return Answer({**told, "kind": "row", "rows": [row_of(columns, line) for line in first.tolist()]})
    raise UserError("examples that are pictures, sounds or rows", f"a tensor of {first.dim()} dimensions",
                    "Use an input of your own", trained.entry.name)  # fmt: skip


def truths(facts: Mapping[str, Any], batch: Any) -> list[str]:
    """The true answer of each example as text; "" where it is not known."""
    labels, names = facts.get("labels") or [], getattr(batch, "_fields", ())
    if "text" in names and "length" in names:  # classes from 1, 0 is nothing
        rows = zip(batch.text.tolist(), batch.length.tolist(), strict=True)
        return ["".join(str(labels[k - 1]) for k in text[:length] if 0 < k <= len(labels)) for text, length in rows]
    if len(batch) < 2 or batch[1].dim() != 1:
        return [""] * len(batch[0])
    if batch[1].is_floating_point():
        return [f"{value:.5g}" for value in batch[1].tolist()]
    return [str(labels[k]) if 0 <= k < len(labels) else str(k) for k in batch[1].tolist()]


def row_of(columns: list[dict[str, Any]], line: list[float]) -> dict[str, Any]:
    """The cells of an encoded row: see ``data.tables``. None where one was missing."""
    cells: dict[str, Any] = {}
    at = 0
    for column in columns:
        if column["kind"] == "number":
            cells[column["name"]] = float(f"{line[at]:.6g}")
            at += 1
        else:
            own = line[at : at + len(column["categories"])]
            cells[column["name"]] = column["categories"][own.index(1)] if 1 in own else None
            at += len(own)
        if column.get("missing"):
            cells[column["name"]] = None if line[at] else cells[column["name"]]
            at += 1
    return cells
