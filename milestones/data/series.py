"""Series of several channels with their class: the user's own, and pictures read step by step."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Data, Facts, Held, Place, keyed
from ..media.series import Series, files_of, recorded
from . import Labelled
from .listing import few, ordered
from .own import divided
from .ragged import Flat, Ragged
from .splits import FINAL, SPLITS

LONGEST, WIDEST = 100_000, 1000
Reading = Literal["rows", "pixels", "permuted"]


class Timed(NamedTuple):
    """Series with their class, zeros after the end of each."""

    series: Tensor  # B T C: raw values, or uint8 grey levels
    label: Tensor  # B int64: classes; float32 where it is a number
    length: Tensor  # B int64: steps


def series(place: Place) -> Data[Timed]:
    """The series that the user chose, files as ``media.series`` reads them or a folder of such; split as they are
    themselves (NAME_TRAIN.ts and NAME_TEST.ts, a column "split", train_x in a .npz), else by content.

    Facts: kind, labels, channels (their names), missing (for each whether train lacks values), inputs, mean and spread
    (of the inputs, of train), longest (steps), data (counts, sha256, note). A missing value becomes the channel's mean
    beside a further input that is 1. UserError: anything wrong with the data, the first of the problems, with their
    number.
    """
    path = Path(place.choice.data)
    found, problems = read(path, place.choice.target)
    if problems:
        more = f"; {len(problems) - 1} more problems, listed by: milestones data {path}" if problems[1:] else ""
        one = problems[0]
        raise UserError(one.expected, one.got + more, one.do, "data")
    labels = ordered({one.label for one in found})
    label = np.array([labels.index(one.label) for one in found])
    part = divided(keys_of(found), label, np.array([one.split for one in found]), place.choice.split, path)
    rows = [np.flatnonzero(part == k) for k in range(3)]
    if not all(map(len, rows)):
        got = f"{', '.join(str(len(row)) for row in rows)} from {path}"
        raise UserError("series for train, valid and test", got, "Add series, or another --split", "data")
    if place.choice.split == FINAL:
        rows[0] = np.sort(np.concatenate(rows[:2]))
    facts: Facts = {"kind": "series", "labels": labels, "channels": list(found[0].channels)}
    facts |= _fitted([found[i].values for i in rows[0]])
    digest = hashlib.sha256()
    for one in found:
        digest.update(one.values.tobytes() + one.label.encode())
    facts["counts"] = np.bincount(label[rows[0]], None, len(labels)).tolist()
    sizes = [len(one.values) for one in found]
    lacking = sum(bool(np.isnan(one.values).any()) for one in found)
    notes = [f"{min(sizes)} to {max(sizes)} steps" if min(sizes) < max(sizes) else f"{max(sizes)} steps"]
    notes += [f"values missing in {lacking:,} series"] * bool(lacking)
    facts["longest"] = max(sizes)
    counts = {split: len(row) for split, row in zip(SPLITS, rows, strict=True)}
    facts["data"] = {"name": path.name, **counts, "sha256": digest.hexdigest(), "note": "; ".join(notes)}
    sources: list[Ragged[Timed]] = []
    for split, row in zip(SPLITS, rows, strict=True):
        flat = Flat.of([torch.from_numpy(encoded(facts, found[i].values)) for i in row])._replace(told=False)
        name = path.name + (" (seen in training)" if split == "valid" and place.choice.split == FINAL else "")
        sources.append(Ragged(Timed, (flat, torch.from_numpy(label[row]), flat.length), place, name, split))
    return Data(*sources, facts)


def read(path: Path, target: str = "") -> tuple[list[Series], list[UserError]]:
    """All series with a class at a path, and what is wrong with them."""
    files = list(files_of(path)) if path.is_dir() else [path]
    if not files:
        raise UserError("files of series in the folder", f"none in {path}", "Give .ts, .npz or CSV files", "data")
    found: list[Series] = []
    problems: list[UserError] = []
    for file in files:
        some, wrong = recorded(file, target)
        found += some
        problems += wrong
    problems += _faults(found, path)
    return found, problems


def _faults(found: Sequence[Series], path: Path) -> list[UserError]:
    """What is wrong with series as a set."""
    problems: list[UserError] = []
    if not found:
        return [UserError("at least one series", f"none in {path}", "Add some", "data")]
    channels = found[0].channels
    for one in found:
        if not one.label:
            do = "Name the column of the classes with --target" if one is found[0] else "Write it"
            problems.append(UserError("a class for each series", f"none in {one.name}", do, "data"))
        elif len(one.channels) != len(channels):
            got = f"{len(one.channels)} in {one.name}"
            want = f"{len(channels)} channels in all series, as in the first"
            problems.append(UserError(want, got, "Keep files of one kind", "data"))
        elif not 1 <= len(one.values) <= LONGEST or len(one.channels) > WIDEST:
            got = f"{len(one.values):,} steps of {len(one.channels)} channels in {one.name}"
            do = "Cut it into pieces, or leave it out"
            problems.append(UserError(f"1 to {LONGEST:,} steps of up to {WIDEST} channels", got, do, "data"))
    if problems:
        return problems
    known = Counter(one.label for one in found if one.split in ("", "train"))
    if len(known) < 2:
        do = "Name another column with --target" if path.suffix != ".ts" else "Take another set"
        return [UserError("series of at least two classes", f"{', '.join(known) or 'none'} in {path}", do, "data")]
    for one in found:
        if one.label not in known:
            do = nearest(one.label, known, "Add training series of this class")
            problems.append(UserError("in test only classes of train", f"{one.label!r} in {one.name}", do, "data"))
    if not any(one.split for one in found):
        few(known, problems)
    return problems


def keys_of(found: Sequence[Series]) -> list[bytes]:
    """A key of each one's content."""
    return [hashlib.blake2b(one.values.tobytes(), digest_size=8).digest() for one in found]


def _fitted(values: Sequence[np.ndarray]) -> Facts:
    """What the training series say of the inputs."""
    steps = np.concatenate([block.astype(np.float64) for block in values])
    lacking = np.isnan(steps).any(0)
    filled = np.where(np.isnan(steps).all(0), 0.0, steps)
    mean, spread = np.nanmean(filled, 0), np.nanstd(filled, 0)
    more = int(lacking.sum())
    return {
        "missing": lacking.tolist(), "inputs": len(mean) + more, "mean": [*mean.tolist(), *[0.0] * more],
        "spread": [*np.where(spread > 1e-9, spread, 1.0).tolist(), *[1.0] * more],
    }  # fmt: skip


def encoded(facts: Facts, values: np.ndarray) -> np.ndarray:
    """Values "T C" as the model's inputs: missing ones as train's mean, beside them whether they were missing."""
    gaps = np.isnan(values)
    mean = np.array(facts["mean"][: values.shape[1]], np.float32)
    return np.concatenate([np.where(gaps, mean, values), gaps[:, facts["missing"]]], 1).astype(np.float32)


def timed(facts: Facts, items: Sequence[Series]) -> Timed:
    """The user's series as the model reads them. UserError: other channels, or no steps."""
    names = facts["channels"]
    blocks = []
    for one in items:
        if len(one.channels) != len(names) or not 1 <= len(one.values) <= LONGEST:
            got = f"{one} in {one.name or 'the input'}"
            raise UserError(f"series with channels as in training: {', '.join(names)[:100]}", got, "Take others", "use")
        order = [one.channels.index(name) for name in names] if set(one.channels) == set(names) else slice(None)
        blocks.append(torch.from_numpy(encoded(facts, one.values[:, order])))
    padded, length = Flat.of(blocks).padded(torch.arange(len(blocks)))
    return Timed(padded, torch.zeros(len(blocks), dtype=torch.long), length)


def as_series(image: Tensor, order: Sequence[int]) -> Tensor:
    """Grey pictures "B 1 H W" step by step: a row at a time where `order` is empty, else a pixel at a time in it."""
    return image[:, 0] if not order else image.flatten(1)[:, list(order)][..., None]


def of_pictures(data: Data[Labelled], reading: Reading, place: Place) -> Data[Timed]:
    """Pictures as series: "rows" from top to bottom, or "pixels" in the order of reading, or "permuted", in another
    order, the same in all runs. Facts: those of the pictures, and order, inputs, longest."""
    side = data.facts["side"]
    order: list[int] = []
    if reading != "rows":
        rng = keyed("permuted", side)
        order = torch.randperm(side * side, generator=rng).tolist() if reading == "permuted" else [*range(side * side)]
    sources = []
    for part in data[:3]:
        image = as_series(part.examples.image, order).contiguous()  # type: ignore[attr-defined]
        length = torch.full((len(image),), image.shape[1])
        found = Timed(image, part.examples.label, length)  # type: ignore[attr-defined]
        sources.append(Held(found, place, f"{part.name}, {reading}", part.split))  # type: ignore[attr-defined]
    facts = {**data.facts, "order": order, "inputs": image.shape[2], "longest": image.shape[1]}
    return Data(*sources, facts)


def adding(place: Place, steps: int, examples: int, held: int = 1000) -> Data[Timed]:
    """The adding problem (Hochreiter & Schmidhuber 1997, experiment 4, as Le, Jaitly & Hinton 2015 have it): numbers
    uniform in 0 to 1, two of them marked, one in each half; to be told is their sum. Training series are drawn anew for
    each batch."""

    def drawn(rng: torch.Generator, count: int) -> Timed:
        value, half = torch.rand(count, steps, generator=rng), steps // 2
        one = torch.randint(0, half, (count, 1), generator=rng)
        two = torch.randint(half, steps, (count, 1), generator=rng)
        where = torch.cat([one, two], 1)
        mark = torch.zeros(count, steps).scatter_(1, where, 1.0)
        length = torch.full((count,), steps)
        return Timed(torch.stack([value, mark], 2), value.gather(1, where).sum(1), length)

    def anew(batch: Timed, rng: torch.Generator) -> Timed:
        found = drawn(rng, len(batch.label))
        return Timed(*(field.to(place.device) for field in found))

    name = f"the adding problem, {steps} steps (made for this run)"
    counts = {"train": examples, "valid": held, "test": held}
    changes = {"train": anew, "valid": None, "test": None}
    sources = [Held(drawn(keyed(place.seed, "adding", split), n), place, name, split, changes[split])
               for split, n in counts.items()]  # fmt: skip
    note = "made by rule; each training batch is drawn anew"
    facts: Facts = {"kind": "series", "channels": ["number", "mark"], "missing": [False, False], "inputs": 2,
                    "mean": [0.5, 0.0], "spread": [0.3, 1.0], "longest": steps, "target_mean": 1.0,
                    "data": {"name": name, **counts, "note": note}}  # fmt: skip
    return Data(sources[0], sources[1], sources[2], facts)
