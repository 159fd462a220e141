"""Recordings in files, read into memory at one rate: int16 samples laid end to end."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..core.errors import UserError
from ..media.sound import MOST, Audio
from .ragged import Flat
from .sounding import is_sound, sound_files

__all__ = ["Recordings", "is_sound", "rate_of", "recordings", "refused", "sound_files", "whole"]

RATES = (8_000, 16_000)  # hertz: speech keeps what it says in this range
PROBED = 32  # files whose rate is looked at
SILENT = 16  # of 32,768: what is never louder holds no sound
TOTAL = 20 * MOST  # samples of all files: 20 hours at 16 kHz, 2.4 GB


class Recordings(NamedTuple):
    """Sounds in memory, and what could not be read."""

    samples: Flat  # int16 at one rate; one sequence for each of `kept`
    kept: list[int]  # which of the paths they are, in order
    keys: list[bytes]  # of each kept one: a hash of its samples, equal for equal sounds
    problems: dict[int, UserError]  # by path: damaged, missing, silent


def rate_of(paths: Sequence[Path]) -> int:
    """The rate at which to hold these files, in hertz: their most frequent one, within 8 to 16 kHz. Looks at a few."""
    rates: Counter[int] = Counter()
    for path in paths[:: max(1, len(paths) // PROBED)]:
        try:
            rates[Audio.open(path).rate_hz] += 1
        except UserError:  # told where all are read
            continue
    return min(max(rates.most_common(1)[0][0], RATES[0]), RATES[1]) if rates else RATES[1]


def recordings(paths: Sequence[Path], rate_hz: int) -> Recordings:
    """The sounds in these files at `rate_hz`, one channel each. What is damaged, missing or silent is collected, not
    raised. UserError: more than memory should hold."""
    sounds, kept, keys, problems, total = [], [], [], {}, 0
    for i, path in enumerate(paths):
        try:
            samples = whole(Audio.open(path), rate_hz)
        except UserError as problem:
            problems[i] = problem
            continue
        if np.abs(samples.astype(np.int32)).max() < SILENT:
            got = f"{path} of {len(samples) / rate_hz:.2g} s, which is silent"
            problems[i] = UserError("a recording with a sound in it", got, "Record it again, or remove it", "data")
            continue
        total += len(samples)
        if total > TOTAL:
            got = f"more, from {path} on"
            do = "Take a part of them: what is trained on is held in memory"
            raise UserError(f"recordings of at most {TOTAL / rate_hz / 3600:.0f} hours", got, do, "data")
        sounds.append(torch.from_numpy(samples))
        kept.append(i)
        keys.append(hashlib.blake2b(samples.tobytes(), digest_size=8).digest())
    samples = Flat.of(sounds) if sounds else Flat(torch.zeros(0, dtype=torch.int16), torch.zeros(1, dtype=torch.long))
    return Recordings(samples, kept, keys, problems)


def whole(sound: Audio, rate_hz: int) -> np.ndarray:
    """The samples at `rate_hz` as whole numbers, int16 "T": how recordings are held, and what a model takes."""
    samples = sound.resampled(rate_hz).samples
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def refused(problems: dict[int, UserError], count: int, skip: bool, where: str) -> str:
    """A note on what is left out with --skip-unreadable, "" if all can be read. UserError: the first problem, and how
    many there are, without."""
    if not problems:
        return ""
    first = next(iter(problems.values()))
    if skip:
        return f"{len(problems):,} of {count:,} recordings left out (--skip-unreadable), first {first.got}"
    if len(problems) == 1:
        raise first
    do = f"'milestones data {where}' lists them: mend or remove them, or train with --skip-unreadable"
    raise UserError("recordings that can be read", f"{len(problems):,} of {count:,} that cannot, first {first.got}",
                    do, "data")  # fmt: skip
