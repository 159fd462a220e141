"""European data format: recordings of many channels in .edf files, with the annotations of EDF+ (Kemp et al. 1992; Kemp
& Olivan 2003)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ..core.errors import UserError

NOTES = "EDF Annotations"
LARGEST = 4_000_000_000  # bytes of samples
FIELDS = (("label", 16), ("transducer", 80), ("unit", 8), ("low", 8), ("high", 8), ("digital_low", 8),
          ("digital_high", 8), ("filter", 80), ("count", 8), ("reserved", 32))  # fmt: skip


LIMITS = ("low", "high", "digital_low", "digital_high")


class Event(NamedTuple):
    """Something that was noted while recording."""

    at: float  # seconds from the beginning
    seconds: float  # how long it lasted; 0 where that is not said
    text: str


class Signals(NamedTuple):
    """Signals of one rate from one file."""

    signal: Float32[np.ndarray, "C T"]  # in `unit`
    rate_hz: float
    channels: tuple[str, ...]
    unit: str  # of the first channel
    events: tuple[Event, ...]
    left_out: tuple[str, ...]  # channels of another rate


def edf(path: str | Path) -> Signals:
    """What is in an .edf file: all channels of the rate that most of them have. UserError: none, cut off, with
    gaps."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(256)
            if len(head) < 256 or head[:8].strip() != b"0":
                raise UserError("an EDF file", f"{path}, which is none", "Export it as EDF or EDF+", "data")
            count = _number(head[252:256], "signals", path)
            rest = file.read(256 * count)
            records = _number(head[236:244], "records", path)
            seconds = float(head[244:252].decode("latin-1").strip() or "nan")
            real = 0 < seconds <= LARGEST or (seconds == 0 and _whole_notes(rest, count))
            if len(rest) < 256 * count or count < 1 or not real:
                raise UserError("a whole EDF header", f"{path}, cut off or without signals", "Export it again", "data")
            info = _fields(rest, count)
            each = [_number(text.encode(), "samples of a record", path) for text in info["count"]]
            limits = [[float(text) for text in info[name]] for name in LIMITS]
            frame = 2 * sum(each)
            if min(each) < 0 or not all(abs(value) <= LARGEST for values in limits for value in values):
                raise ValueError  # also for NaN
            if frame == 0 or frame * max(records, 0) > LARGEST:
                raise UserError(f"an EDF file of at most {LARGEST:,} bytes", f"more in {path}", "Cut it", "data")
            there = (size - 256 * (count + 1)) // frame
            if records < 0:  # -1: still recording when it was written
                records = there
            if there < records or records == 0:
                got = f"{there:,} of {records:,} in {path}"
                raise UserError("as many records as the EDF header says", got, "Copy the file again", "data")
            raw = np.fromfile(file, "<i2", records * (frame // 2)).reshape(records, frame // 2)
    except OSError as problem:
        raise UserError("an EDF file", f"{path} ({problem.strerror or problem})", "Check the path", "data") from None
    except ValueError:
        raise UserError("numbers in the EDF header", f"others in {path}", "Export it again", "data") from None
    at = np.cumsum([0, *each])
    notes = [k for k, label in enumerate(info["label"]) if label == NOTES]
    events, begins = _annotations([raw[:, at[k] : at[k + 1]] for k in notes])
    gaps = [k for k in range(1, len(begins)) if abs(begins[k] - begins[k - 1] - seconds) > 1e-3 + 0.5 / max(each)]
    if head[192:197] == b"EDF+D" and gaps:
        got = f"a gap after second {begins[gaps[0] - 1] + seconds:g} of {path}"
        raise UserError("an EDF recording without gaps (EDF+C)", got, "Export its parts one by one", "data")
    used = [k for k in range(count) if k not in notes and each[k] > 0]
    if not used:
        raise UserError("signals in the EDF file", f"only annotations in {path}", "Name another file", "data")
    most = max((each[k] for k in used), key=[each[k] for k in used].count)
    kept = [k for k in used if each[k] == most]
    signal = np.empty((len(kept), records * most), np.float32)
    for row, k in enumerate(kept):
        low, high, below, above = (values[k] for values in limits)
        if above == below:
            got = f"{below:g} and {above:g} for {info['label'][k]} in {path}"
            raise UserError("two different digital limits of an EDF signal", got, "Export it again", "data")
        scale = (high - low) / (above - below)
        signal[row] = (raw[:, at[k] : at[k + 1]].reshape(-1).astype(np.float32) - below) * scale + low
    first = begins[0] if begins else 0.0
    return Signals(
        signal, most / seconds, tuple(info["label"][k] for k in kept), info["unit"][kept[0]],
        tuple(sorted(Event(e.at - first, e.seconds, e.text) for e in events)),
        tuple(info["label"][k] for k in used if k not in kept),
    )  # fmt: skip


def _number(text: bytes, what: str, path: Path) -> int:
    try:
        return int(text.decode("latin-1").strip())
    except ValueError:
        got = f"{text.decode('latin-1').strip()!r} in {path}"
        raise UserError(f"a number of {what} in the EDF header", got, "Export it again", "data") from None


def _fields(rest: bytes, count: int) -> dict[str, list[str]]:
    """Each field of the header with its text for each signal."""
    found, at = {}, 0
    for name, wide in FIELDS:
        found[name] = [rest[at + k * wide : at + (k + 1) * wide].decode("latin-1").strip() for k in range(count)]
        at += count * wide
    return found


def _whole_notes(rest: bytes, count: int) -> bool:
    """Whether all signals are annotations: then a record may last 0 seconds."""
    return all(rest[16 * k : 16 * k + 16].decode("latin-1").strip() == NOTES for k in range(count))


def _annotations(signals: list[np.ndarray]) -> tuple[list[Event], list[float]]:
    """The events of all records, and when each record begins."""
    events, begins = [], []
    for number, signal in enumerate(signals):
        for record in signal:
            content = record.astype("<i2").tobytes()
            first = True
            for entry in content.split(b"\0"):
                match = re.match(rb"([+-]\d{1,12}(?:\.\d*)?)(?:\x15(\d{1,12}(?:\.\d*)?))?\x14", entry)
                if not match:
                    continue
                texts = entry[match.end() :].decode("utf-8", "replace").split("\x14")
                if first and number == 0:
                    begins.append(float(match[1]))
                first = False
                events += [Event(float(match[1]), float(match[2] or 0), text) for text in texts if text]
    return events, begins
