"""Series to be continued: trajectories of Lorenz's equations, or the user's own recordings, cut into windows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place, keyed
from ..media.series import recorded
from ..parts.lorenz import LYAPUNOV, on_attractor, trajectories
from .splits import FINAL, SPLITS, shares

DT = 0.02  # time units between two steps of Lorenz's
WARM, FREE = 100, 500  # steps that are read before the free run, and its length: 10 times 1 / LYAPUNOV is 552
HELD = 200  # windows to validate and as many to test on


class Orbit(NamedTuple):
    """Windows of series."""

    series: Tensor  # B T C float32: raw values


def lorenz(place: Place, windows: int, span: int, only_x: bool) -> Data[Orbit]:
    """Windows of `span` + 1 steps of Lorenz's equations to train on, each from another trajectory, and longer ones to
    validate and test on. With `only_x` the other two channels are hidden: what they are must be told from the past."""
    found = {}
    for split, count, steps in zip(SPLITS, (windows, HELD, HELD), (span + 1, WARM + FREE, WARM + FREE), strict=True):
        start = on_attractor(keyed(place.seed, "lorenz", split), count, DT)
        found[split] = trajectories(start, steps, DT)[..., : 1 if only_x else 3].float()
    name = "Lorenz's equations" + (", x alone" if only_x else "") + " (made for this run)"
    facts = _facts(found["train"], ["x", "y", "z"][: 1 if only_x else 3])
    facts["lyapunov_steps"] = 1 / LYAPUNOV / DT
    return _data(place, found, facts, name, f"steps of {DT} time units; made by rule")


def own(place: Place, span: int) -> Data[Orbit]:
    """Windows of the user's recordings, the first part of each to train on, the next to validate, the last to test on.
    Facts: channels, mean, spread, change (spread of what a step changes, of a spread of 1), free (steps of a free run);
    of Lorenz's equations also lyapunov_steps. UserError: anything wrong with the file, or too few steps."""
    path = Path(place.choice.data)
    series, problems = recorded(path)
    if problems:
        raise problems[0]
    parts, warm = shares(place.choice.split), min(WARM, span)
    train_part = parts[0] + (parts[1] if place.choice.split == FINAL else 0)
    cut: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for one in series:
        values, n = one.values, len(one.values)
        if np.isnan(values).any() or len(one.channels) != len(series[0].channels):
            got = f"{one} in {one.name}, with gaps or other channels"
            raise UserError("recordings without gaps, all of the same channels", got, "Fill or cut them", "dynamics")
        first, second = round(parts[0] * n), round((parts[0] + parts[1]) * n)
        cut["train"].append(values[: round(train_part * n)])
        cut["valid"].append(values[first:second])
        cut["test"].append(values[second:])
    sizes = {"train": span + 1, "valid": 2 * warm, "test": 2 * warm}
    found = {}
    for split, blocks in cut.items():
        size, hop = sizes[split], max(1, sizes[split] // 4)
        windows = [block[begin : begin + size] for block in blocks for begin in range(0, len(block) - size + 1, hop)]
        if len(windows) < 2:
            longest = max(len(one.values) for one in series)
            least = round(2 * (size + hop) / min(parts))
            do = f"Record more steps, or take --span {max(4, longest // 60)}"
            raise UserError(f"a recording of about {least:,} steps or more", f"{longest:,} in {path}", do, "dynamics")
        found[split] = torch.from_numpy(np.stack(windows))
    facts = _facts(found["train"], list(series[0].channels))
    return _data(place, found, facts | {"free": warm}, path.name, "split in time: the end is tested on")


def _facts(train: Tensor, channels: list[str]) -> Facts:
    steps = train.double().flatten(0, 1)
    mean, spread = steps.mean(0), steps.std(0).clamp(min=1e-9)
    change = (train.double().diff(dim=1) / spread).flatten(0, 1).std(0).clamp(min=1e-9)
    return {"kind": "series", "channels": channels, "missing": [False] * len(channels), "inputs": len(channels),
            "mean": mean.tolist(), "spread": spread.tolist(), "change": change.tolist(), "free": FREE}  # fmt: skip


def _data(place: Place, found: dict[str, Tensor], facts: Facts, name: str, note: str) -> Data[Orbit]:
    digest = hashlib.sha256()
    for windows in found.values():
        digest.update(windows.contiguous().numpy())
    counts = {split: len(windows) for split, windows in found.items()}
    facts["data"] = {"name": name, **counts, "sha256": digest.hexdigest(), "note": note}
    held = [Held(Orbit(found[split]), place, name, split) for split in SPLITS]
    return Data(held[0], held[1], held[2], facts)
