"""Recordings of many channels over time, from .edf and .npz files: trials, or one long one with what was noted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError, nearest
from .edf import Event, edf
from .npz import arrays_in
from .records import as_json, finite

SUFFIXES = frozenset((".edf", ".npz"))
NPZ = "an .npz with signal (trials x channels x samples) and rate_hz"
POINTS = 1000  # samples that a drawing has


@dataclass(frozen=True, eq=False)
class Recording:
    """Trials "N C T" of float32, so many samples a second; or one long recording, N 1, with the events in it."""

    signal: np.ndarray
    rate_hz: float
    channels: tuple[str, ...]
    labels: tuple[str, ...] = ()  # of each trial, where they are known
    events: tuple[Event, ...] = ()
    subject: str = ""
    split: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.signal.ndim == 3 and self.signal.shape[1] == len(self.channels), "a name for each channel"
        assert len(self.labels) in (0, len(self.signal)), "a label for each trial"

    @classmethod
    def open(cls, path: str | Path) -> Recording:
        """What is in a file. UserError: neither .edf nor .npz, or damaged."""
        path = Path(path)
        if path.suffix.lower() == ".npz":
            return _npz(path)
        found = edf(path)
        left = found.left_out
        notes = (f"{len(left)} channels of another rate left out ({left[0]})",) if left else ()
        return cls(found.signal[None], found.rate_hz, found.channels, events=found.events, notes=notes)

    def encode(self) -> tuple[str, bytes]:
        """JSON of `plain`."""
        return as_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """The first trial, or the beginning: the values by channel over seconds, thinned."""
        step = max(1, min(self.signal.shape[2], 10 * POINTS) // POINTS)
        shown = self.signal[0, :, : step * POINTS : step]
        seconds = [round(k * step / self.rate_hz, 4) for k in range(shown.shape[1])]
        lines = {
            name: finite([float(f"{v:.5g}") for v in line]) for name, line in zip(self.channels, shown, strict=True)
        }
        return {"x": seconds, "lines": lines, "xlabel": "seconds", "ylabel": "", "logx": False, "logy": False}

    def __str__(self) -> str:
        n, channels, time = self.signal.shape
        what = f"{n} trials" if n > 1 else f"a recording with {len(self.events)} events"
        return f"{what} of {channels} channels, {time / self.rate_hz:g} s at {self.rate_hz:g} Hz"


def _npz(file: Path) -> Recording:
    """Trials in an .npz: signal "N C T" or "C T", rate_hz; where they are there label "N", channels, subject, split."""
    held = arrays_in(file, NPZ, "data")
    lacking = [name for name in ("signal", "rate_hz") if name not in held]
    if lacking:
        got = f"only {', '.join(held) or 'nothing'} in {file}"
        raise UserError(NPZ, got, nearest(lacking[0], list(held), f"Add {lacking[0]}"), "data")
    signal = held["signal"][None] if held["signal"].ndim == 2 else held["signal"]
    if signal.ndim != 3 or not np.issubdtype(signal.dtype, np.number) or np.iscomplexobj(signal) or not signal.size:
        got = f"signal of {' x '.join(map(str, signal.shape))} {signal.dtype} in {file}"
        raise UserError(NPZ, got, "Save real numbers of that shape", "data")
    labels = held.get("label", np.zeros(0))
    if labels.shape not in ((0,), signal.shape[:1]):
        got = f"{' x '.join(map(str, labels.shape))} labels for {len(signal)} trials in {file}"
        raise UserError("a label for each trial", got, "Give each trial one label", "data")
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite then
        signal = signal.astype(np.float32)
    if not np.isfinite(signal).all():
        i, c, _ = np.argwhere(~np.isfinite(signal))[0]
        got = f"none in trial {i + 1}, channel {c + 1} of {file}"
        raise UserError("finite numbers in each trial", got, "Leave the trial out, or fill the gap", "data")
    rate = held["rate_hz"]
    if rate.size != 1 or not np.issubdtype(rate.dtype, np.number) or not 0 < float(rate.reshape(-1)[0]) < 1e6:
        got = f"{str(rate)[:40]!r} in {file}"
        raise UserError("rate_hz, samples a second", got, "Save one number", "data")
    names = tuple(map(str, held.get("channels", [f"channel {k + 1}" for k in range(signal.shape[1])])))
    if len(names) != signal.shape[1]:
        got = f"{len(names)} for {signal.shape[1]} in {file}"
        raise UserError("a name for each channel", got, "Correct channels", "data")
    subject, split = (str(held[name]) if name in held else "" for name in ("subject", "split"))
    return Recording(signal, float(rate.reshape(-1)[0]), names, tuple(map(str, labels.tolist())),
                     subject=subject, split=split.lower())  # fmt: skip
