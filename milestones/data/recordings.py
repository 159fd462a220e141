"""Trials of many channels over time, cut from recordings: made ones, or the user's own in .npz and .edf files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place
from ..media.edf import Event
from ..media.recording import SUFFIXES, Recording
from ..media.sheet import SPLIT_WORDS
from .listing import entries, ordered
from .rhythms import CLASSES, ELECTRODES, RATE_HZ, sessions, truth
from .splits import FINAL, SPLITS, shares


class Trials(NamedTuple):
    """What was recorded after each cue, and what it was."""

    signal: Tensor  # B C T float32: raw values, for instance microvolt
    label: Tensor  # B int64
    subject: Tensor  # B int64


@dataclass(frozen=True)
class Session:
    """The trials of one file."""

    path: Path
    signal: Float32[np.ndarray, "N C T"]
    label: tuple[str, ...]
    rate_hz: float
    channels: tuple[str, ...]
    subject: str
    split: str  # "" where it is not said
    notes: tuple[str, ...] = ()


def recordings(place: Place, heads: int, trials: int, begin_s: float, length_s: float) -> Data[Trials]:
    """The user's recordings, trials from `begin_s` after each cue for `length_s`; without a choice made ones of so many
    heads and trials a session. The first session is to learn from, its last fifth to validate; the second to test."""
    if place.choice.data:
        return own(Path(place.choice.data), place, begin_s, length_s)
    signal, label, of, when = sessions(heads, trials)
    order = torch.arange(len(label)) % trials
    part = torch.where(when == 1, 2, (order >= trials * 4 // 5).long()).numpy()
    names = [f"made {k + 1}" for k in range(heads)]
    about = {"name": "made recordings", "note": "made: rhythms that fade, in noise; no head was recorded. The second "
             "session of each head is the test"}  # fmt: skip
    title = f"made recordings of {heads} heads"
    facts = {"labels": list(CLASSES), "channels": list(ELECTRODES), "rate_hz": RATE_HZ, "truth": truth(heads)}
    return _data(place, Trials(signal, label, of), part, title, names, facts, about)


def _data(place: Place, whole: Trials, part: np.ndarray, title: str, subjects: list[str], facts: Facts,
          about: dict[str, Any]) -> Data[Trials]:  # fmt: skip
    rows = [torch.from_numpy(np.flatnonzero(part == k)) for k in range(3)]
    held = [Held(Trials(*(field[row] for field in whole)), place, title, split)
            for row, split in zip(rows, SPLITS, strict=True)]  # fmt: skip
    level = whole.signal[rows[0]]
    facts = {
        "kind": "recordings", **facts, "subjects": subjects, "samples": level.shape[-1],
        "mean": [round(v, 6) for v in level.mean((0, 2)).tolist()],
        "spread": [float(f"{max(v, 1e-12):.6g}") for v in level.std((0, 2)).tolist()],
        "data": {**about, **{split: len(row) for split, row in zip(SPLITS, rows, strict=True)}},
    }  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def own(path: Path, place: Place, begin_s: float, length_s: float) -> Data[Trials]:
    """The user's own recordings. UserError: what `listed` finds wrong; sessions that do not fit together; too few."""
    found, problems = listed(path, begin_s, length_s)
    if problems:
        more = f" (and {len(problems) - 1} more problems: 'milestones data {path}' lists them)" if problems[1:] else ""
        raise UserError(problems[0].expected, problems[0].got + more, problems[0].do, "data")
    one = found[0]
    for other in found[1:]:
        if (other.channels, other.rate_hz, other.signal.shape[2]) != (one.channels, one.rate_hz, one.signal.shape[2]):
            got = f"{_shape(other)} in {other.path.name}"
            raise UserError(
                f"{_shape(one)} in each recording, as in {one.path.name}", got, "Convert them alike", "data"
            )
    labels = ordered(label for session in found for label in session.label)
    if len(labels) < 2:
        got = f"{len(labels)} in {path}" + (f" ({labels[0]})" if labels else "")
        raise UserError("trials of at least two classes", got, "Mark what else there is", "data")
    subjects = ordered(session.subject for session in found)
    parts = divided(found, place.choice.split)
    number = {label: k for k, label in enumerate(labels)}
    whole = Trials(
        torch.from_numpy(np.concatenate([session.signal for session in found])),
        torch.tensor([number[label] for session in found for label in session.label]),
        torch.tensor([subjects.index(session.subject) for session in found for _ in session.label]),
    )
    part = np.concatenate(parts)
    for k, split in enumerate(SPLITS):
        for name in subjects:
            here = whole.label[torch.from_numpy(part == k) & (whole.subject == subjects.index(name))]
            if len(here.unique()) < len(labels):
                lacking = next(label for i, label in enumerate(labels) if i not in here.tolist())
                got = f"no {lacking!r} of {name} in {split}, among {len(here)} trials"
                raise UserError("trials of each class of each subject in train, valid and test", got,
                                "Record more trials, or leave the class out", "data")  # fmt: skip
    own_split = any(session.split for session in found)
    notes = [f"{len(found)} recordings of {len(subjects)} subjects, {len(part):,} trials", *one.notes,
             "split: " + ("its own" if own_split else "in the order of time, the last are the test")]  # fmt: skip
    digest = hashlib.sha256(b"".join(session.signal.tobytes() + repr(session.label).encode() for session in found))
    about = {"name": path.resolve().name, "sha256": digest.hexdigest(), "note": "; ".join(notes)}
    facts = {"labels": labels, "channels": list(one.channels), "rate_hz": one.rate_hz, "begin_s": begin_s}
    return _data(place, whole, part, path.resolve().name, subjects, facts, about)


def _shape(session: Session) -> str:
    return f"{len(session.channels)} channels at {session.rate_hz:g} Hz, {session.signal.shape[2]} samples a trial"


def divided(found: Sequence[Session], split: str) -> list[np.ndarray]:
    """For each trial of each session 0, 1 or 2: by the split of its file where files have one, validation the last part
    of train; else in the order of time, so that neighbours are not on both sides. UserError: both asked for."""
    parts, given = shares(split), any(session.split for session in found)
    if given and split not in ("", FINAL):
        raise UserError("no percentages for recordings that have splits of their own", f"--split {split}",
                        "Leave --split out", "data")  # fmt: skip
    lacks = {name for name in SPLITS if not any(session.split == name for session in found)}
    out = []
    for session in found:
        n = len(session.label)
        where = np.full(n, {"valid": 1, "test": 2}.get(session.split, 0))
        if session.split in ("", "train"):
            test = round(parts[2] * n) if "test" in lacks or not given else 0
            valid = round((0.2 if given else parts[1]) * n) if "valid" in lacks or not given else 0
            where[n - test - valid : n - test], where[n - test :] = 1, 2
        out.append(where)
    return out


def listed(path: Path, begin_s: float = 0.0, length_s: float = 4.0) -> tuple[list[Session], list[UserError]]:
    """The sessions in a file or a folder, and what is wrong. UserError: nothing that can be looked at."""
    if not path.exists():
        raise UserError("recordings", f"{path}, which does not exist", "Check the path", "data")
    files = [(path, "")] if path.is_file() else []
    for folder in [path, *(entry for entry in entries(path) if entry.is_dir())] if path.is_dir() else []:
        split = SPLIT_WORDS.get(folder.name.lower(), "") if folder != path else ""
        files += [(file, split) for file in entries(folder) if file.suffix.lower() in SUFFIXES]
    if not files:
        raise UserError("recordings as .npz or .edf", f"none in {path}", "Name another folder", "data")
    found, problems = [], []
    for file, split in files:
        try:
            session = session_of(file, begin_s, length_s)
            found.append(replace(session, split=split or session.split))
        except UserError as problem:
            problems.append(problem)
    return found, problems


def session_of(file: Path, begin_s: float, length_s: float) -> Session:
    """The trials in one file. Whose and of which split it is may stand in its name, as in s1_train.edf or s1-test.npz.
    UserError: unreadable, without trials or labels."""
    found = Recording.open(file)
    words = [word for word in re.split(r"[_\-. ]+", file.stem) if word]
    split = found.split or next((word for word in words[::-1] if word.lower() in SPLIT_WORDS), "")
    if split and split.lower() not in SPLIT_WORDS:
        got = f"{split[:40]!r} in {file}"
        raise UserError("train, valid or test as the split of a recording", got, "Correct it", "data")
    named = "_".join(word for word in words if word.lower() not in SPLIT_WORDS) if split else file.stem
    subject = found.subject or named or file.stem
    signal, labels, notes = found.signal, found.labels, found.notes
    if not labels:
        signal, events, short = cut(found, begin_s, length_s)
        if not events:
            got = f"{len(found.events)} annotations in {file}" + (f", {short} too near an end" if short else "")
            do = "Export it as EDF+ with an annotation at each cue, or give an .npz with label"
            raise UserError(f"annotations that begin trials of {length_s:g} s, or labels", got, do, "data")
        labels, notes = (
            tuple(event.text for event in events),
            (*notes, *[f"{short} cues too near an end left out"] * bool(short)),
        )
    return Session(
        file, signal, labels, found.rate_hz, found.channels, subject, SPLIT_WORDS.get(split.lower(), ""), notes
    )


def cut(found: Recording, begin_s: float, length_s: float) -> tuple[np.ndarray, list[Event], int]:
    """Trials "N C T" from `begin_s` after each event for `length_s`, their events, and how many events are too near the
    beginning or end for it."""
    length, first = round(length_s * found.rate_hz), round(begin_s * found.rate_hz)
    whole, kept, begins = found.signal[0], [], []
    for event in found.events:
        begin = round(event.at * found.rate_hz) + first
        if begin >= 0 and begin + length <= whole.shape[1]:
            kept.append(event)
            begins.append(begin)
    trials = [whole[:, begin : begin + length] for begin in begins]
    signal = np.stack(trials) if trials else np.zeros((0, len(whole), length), np.float32)
    return signal, kept, len(found.events) - len(kept)


def trials_of(facts: Facts, item: Recording) -> tuple[Float[Tensor, "N C T"], list[float]]:
    """The trials of a recording in the order of electrodes that the net knows, and where each begins, in seconds: after
    each event, or one after the other. UserError: other electrodes, another rate, too short."""
    rate, samples, names = float(facts["rate_hz"]), int(facts["samples"]), facts["channels"]
    if lacking := [name for name in names if name not in item.channels]:
        got = f"no {lacking[0]!r} among {', '.join(item.channels[:8])}"
        raise UserError(f"the {len(names)} electrodes that the net learned from", got, "Rename or add it", "eeg")
    if abs(item.rate_hz - rate) > 1e-6 * rate:
        got = f"{item.rate_hz:g} Hz"
        raise UserError(f"a recording at {rate:g} Hz, as those learned from", got, "Resample it", "eeg")
    signal, begins = item.signal, [k * item.signal.shape[2] / rate for k in range(len(item.signal))]
    if len(signal) == 1 and item.events:
        signal, events, _ = cut(item, float(facts.get("begin_s", 0.0)), samples / rate)
        begins = [event.at for event in events]
    elif len(signal) == 1 and signal.shape[2] >= samples:
        count = signal.shape[2] // samples
        signal = signal[0, :, : count * samples].reshape(signal.shape[1], count, samples).transpose(1, 0, 2)
        begins = [k * samples / rate for k in range(count)]
    if not len(signal) or signal.shape[2] < samples:
        raise UserError(f"trials of {samples} samples", f"{item}", "Pass a longer recording", "eeg")
    order = [item.channels.index(name) for name in names]
    return torch.from_numpy(signal[:, order, :samples].copy()), begins
