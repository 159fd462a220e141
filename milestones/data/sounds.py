"""Sounds of classes: spoken digits (synthetic, embedded), and the user's own: a folder for each class, or recordings
named label_speaker_number."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Choice, Data, Facts, Place
from ..media.sheet import SPLIT_WORDS
from ..parts.mel import LogMel
from .listing import Listing, check_splits, entries, ordered, subfolders
from .ragged import Flat, Ragged
from .speech import divided as by_speaker
from .splits import FINAL, SPLITS, divide, shares
from .spoken import digits
from .transcripts import transcripts
from .wavs import is_sound, rate_of, recordings, refused

LONGEST = 30  # seconds heard of a recording
MEASURED = 300  # training recordings whose level is measured
SHOWN = 3


class Sounded(NamedTuple):
    """Recordings with their class. Zeros at the end of one are no sound: they fill up to the longest."""

    samples: Tensor  # B S int16
    label: Tensor  # B int64


class Sounds(Ragged[Sounded]):
    """Recordings held in memory. Those longer than `most` samples come in training as a piece of that length, drawn
    anew for each batch."""

    def __init__(self, samples: Flat, label: Int[Tensor, "N"], place: Place, name: str, split: str, most: int) -> None:
        super().__init__(Sounded, (samples._replace(told=False), label), place, name, split, self.cut)
        self.most = most

    def cut(self, batch: Sounded, rng: torch.Generator) -> Sounded:
        """A piece of each that is too long."""
        if batch.samples.shape[1] <= self.most:
            return batch
        over = (lasting(batch.samples) - self.most).clamp(min=0)
        begin = (torch.rand(len(over), generator=rng).to(over.device) * (over + 1)).long()
        at = begin[:, None] + torch.arange(self.most, device=over.device)
        return batch._replace(samples=batch.samples.gather(1, at))


def lasting(samples: Tensor) -> Int[Tensor, "B"]:
    """How many samples "B S" of each come before the zeros at its end; at least 1."""
    place = torch.arange(1, samples.shape[1] + 1, device=samples.device)
    return ((samples != 0) * place).amax(1).clamp(min=1)


def sounds(place: Place, seconds: float) -> Data[Sounded]:
    """The recordings that the user chose, else the embedded digits, said by other voices in each split.

    Training hears at most `seconds` of each at a time. Facts: kind, labels, counts, rate_hz, mean and spread (of
    log-mel values) and data. UserError: anything wrong with the data, the first problem found.
    """
    chosen = place.choice.data
    flat, rate, label, part, labels, name, notes = _own(Path(chosen), place.choice) if chosen else _embedded(place)
    length = flat.length.clamp(max=LONGEST * rate)
    if long := int((flat.length > length).sum()):
        notes.append(f"of {long:,} recordings only the first {LONGEST} s are heard")
    found = []
    for k, split in enumerate(SPLITS):
        with_valid = place.choice.split == FINAL and k == 0
        rows = np.flatnonzero((part == k) | (with_valid & (part == 1))).tolist()
        pieces = [flat.values[int(flat.begin[i]) :][: int(length[i])] for i in rows]
        found.append(Sounds(Flat.of(pieces), label[rows], place, name, split, round(seconds * rate)))
    mean, spread = level(found[0], rate)
    digest = hashlib.sha256(flat.values.numpy().tobytes() + label.numpy().tobytes() + part.tobytes()).hexdigest()
    counts = [int((found[0].columns[1] == k).sum()) for k in range(len(labels))]
    facts: Facts = {
        "kind": "sounds", "labels": labels, "counts": counts,
        "rate_hz": rate, "mean": mean, "spread": spread,
        "data": {"name": name, **{split: len(one) for split, one in zip(SPLITS, found, strict=True)},
                 "sha256": digest, "note": "; ".join(notes)},
    }  # fmt: skip
    return Data(found[0], found[1], found[2], facts)


def level(source: Sounds, rate_hz: int) -> tuple[float, float]:
    """Mean and spread of the log-mel values of some training recordings."""
    chosen, ears = torch.arange(0, len(source), max(1, len(source) // MEASURED)), LogMel(rate_hz)
    values = []
    for index in chosen.split(50):
        samples = source.take(index).samples
        mel, frames = ears(samples), ears.frames(lasting(samples))
        values.append(mel[torch.arange(mel.shape[1]) < frames[:, None]].flatten())
    heard = torch.cat(values)
    return round(float(heard.mean()), 4), round(max(0.01, float(heard.std())), 4)


Held = tuple[Flat, int, Tensor, np.ndarray, list[str], str, list[str]]
"""Samples, their rate, class and split (0, 1, 2) of each, the classes, the name of the data, notes."""


def _embedded(place: Place) -> Held:
    if place.choice.split not in ("", FINAL):
        got = f"--split {place.choice.split}"
        raise UserError("no other split for the digits, whose voices are held out", got, "Leave it out", "sounds")
    held = digits()
    labels = list(dict.fromkeys(sorted(held.text, key=lambda text: held.value[held.text.index(text)])))
    label = torch.tensor([labels.index(text) for text in held.text])
    part = np.array([SPLITS.index(split) for split in held.split])
    return held.samples, held.rate_hz, label, part, labels, held.name, [held.note]


def _own(path: Path, choice: Choice) -> Held:
    named = path.is_dir() and not subfolders(path)
    about = transcripts(path) if named else None
    listed = classes(path) if about is None else Listing(about.paths, about.texts, [""] * len(about.paths))
    if listed.problems:
        raise listed.problems[0]
    rate = rate_of(listed.paths)
    read = recordings(listed.paths, rate)
    notes = [
        *listed.notes[:SHOWN],
        *filter(None, [refused(read.problems, len(listed.paths), bool(choice.skip), str(path))]),
    ]
    labels = [listed.labels[i] for i in read.kept]
    where = [listed.splits[i] for i in read.kept]
    if lost := ordered(set(listed.labels) - set(labels)):
        do = "Mend some of them, or remove the class"
        raise UserError("a recording that can be read of each class", f"none of {lost[0]!r} in {path}", do, "sounds")
    problems: list[UserError] = []
    check_splits(labels, where, problems)
    if problems:
        raise problems[0]
    names = ordered(labels)
    label = np.array([names.index(one) for one in labels])
    if about is not None:
        part, how = by_speaker(about.only(read.kept), read.keys, choice.split)
    else:
        part, how = divided(read.keys, label, where, choice.split)
    for k, split in enumerate(SPLITS):
        if not (part == k).any():
            do = "Add recordings, or choose another --split"
            raise UserError("different recordings for each split", f"none for {split} in {path}", do, "sounds")
    return read.samples, rate, torch.from_numpy(label), part, names, path.resolve().name, [*notes, how]


def divided(keys: Sequence[bytes], label: np.ndarray, where: Sequence[str], split: str) -> tuple[np.ndarray, str]:
    """The split (0, 1, 2) of each recording, and how it was decided: by folders for the splits, which come first, what
    they lack being taken from train; else by content within each class, equal sounds together."""
    if any(where) and split in ("", FINAL):
        part = np.array([{"": 0, "train": 0, "valid": 1, "test": 2}[one] for one in where])
        rest = np.flatnonzero(part == 0)
        lacking = (0.8, 0.0 if (part == 1).any() else 0.1, 0.0 if (part == 2).any() else 0.1)
        part[rest] = divide([keys[i] for i in rest], label[rest], lacking)
        return part, "split: its own"
    return divide(keys, label, shares(split)), "split: by content within each class"


def classes(path: Path) -> Listing:
    """The recordings in a folder with a folder for each class, or with such folders in train, valid and test; what is
    wrong is collected. UserError: no such folder."""
    if not path.is_dir():
        got = f"{path}, which " + ("is a file" if path.exists() else "does not exist")
        raise UserError("a folder of sounds with a folder for each class", got, "Check the path", "sounds")
    found, below = Listing(), subfolders(path)
    official = [folder for folder in below if folder.name.lower() in SPLIT_WORDS]
    if any(SPLIT_WORDS[folder.name.lower()] == "train" for folder in official):
        for folder in official:
            _class_folders(folder, SPLIT_WORDS[folder.name.lower()], found)
        found.notes += [
            f"{folder.name}/ stands beside the splits and is not read" for folder in below if folder not in official
        ]
    else:
        _class_folders(path, "", found)
    if len(set(found.labels)) < 2:
        do = "Put the recordings of each class into a folder of its own"
        got = f"{len(set(found.labels))} in {path}"
        found.problems.insert(0, UserError("sounds of at least two classes", got, do, "sounds"))
    check_splits(found.labels, found.splits, found.problems)
    return found


def _class_folders(folder: Path, split: str, found: Listing) -> None:
    """Add the recordings of a folder per class."""
    for entry in entries(folder):
        if not entry.is_dir():
            continue
        inside = entries(entry)
        mine = [file for file in inside if is_sound(file) and file.is_file()]
        for file in mine:
            found.add(file, entry.name, split)
        if others := Counter(file.suffix.lower() or "no suffix" for file in inside if file not in set(mine)):
            kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
            found.notes.append(f"{entry.name}/ holds other things that are not read: {kinds}")
        if not mine:
            do = "Add WAV files to it, or remove it"
            found.problems.append(UserError("recordings of each class", f"none in {entry}", do, "sounds"))
