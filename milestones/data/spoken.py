"""Spoken numbers, dates and times of day: a small corpus made with espeak-ng, labelled "synthetic" wherever it stands.

`spoken.npz` ships with the package and needs nothing else; `--data spoken:20000` makes so many sentences with the
extra `speech`, once, and keeps them in the cache. Each colour of voice belongs to one split, and so does each meaning
(phrases.part): what is heard in the test is said by voices, and means what, no training has met. Sounds lie there
without noise, as rounded values of a cosine transform (parts/mdct.py); noise and loudness are added when they are
read, equally each time.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Int8, Int16
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Place, keyed
from ..parts import mdct
from . import phrases
from .fetch import cache
from .ragged import Flat

EMBEDDED = Path(__file__).with_name("spoken.npz")
RATE_HZ = 8000
STEP = 0.3  # of the rounding, for sounds of mean square 1: as much noise as white noise 28 dB below the voice
VERSION = 1  # of what is drawn and how it is stored
MOST = 100_000  # sentences on demand: 2.6 GB in memory
SNR_DB = (8.0, 32.0)  # how far the noise lies below the voice
RMS = (0.02, 0.1)  # of the voice, of full scale
SPEED, PITCH = (125, 215), (30, 70)  # words a minute; of 0 to 99
QUIET, ALONE = 15, 5  # windows of silence before and after a sentence and a digit, at most: 0.3 and 0.1 s
TOGETHER = 64  # recordings decoded at once: so many stay in the processor's cache

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
# espeak-ng's colours without its robots, whispers and monsters. Those that sound like one another are together:
# each of validation and test differs from all others by at least 0.38 nats in its mean mel spectrum.
COLOURS: dict[phrases.Part, tuple[str, ...]] = {
    "train": (
        "adam", "alex", "alicia", "andy", "anika", "announcer", "antonio", "aunty", "benjamin", "boris", "caleb",
        "denis", "diogo", "edward", "edward2", "f1", "f2", "f3", "f4", "f5", "gene", "gene2", "grandma", "grandpa",
        "gustave", "henrique", "ian", "iven", "iven2", "iven3", "iven4", "jacky", "john", "klatt", "klatt2", "klatt3",
        "klatt4", "klatt5", "klatt6", "lee", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marco", "max", "michael",
        "michel", "miguel", "mike", "mike2", "nguyen", "paul", "pedro", "reed", "ricishaymax", "ricishaymax2",
        "ricishaymax3", "rob", "robert", "steph", "steph2", "steph3", "storm", "travis", "zac",
    ),
    "valid": ("andrea", "belinda", "ed", "hugo", "mario", "sandro"),
    "test": ("annie", "david", "linda", "marcelo", "norbert", "pablo", "quincy", "shelby", "victor"),
}  # fmt: skip
SHARES: dict[phrases.Part, float] = {"train": 0.8, "valid": 0.08, "test": 0.12}
NOTE = "synthetic: said by espeak-ng in many voices, speeds and noises; voices and sentences of each split are its own"
PARTS: tuple[phrases.Part, ...] = ("train", "valid", "test")


class Line(NamedTuple):
    """What is to be said, and how."""

    split: phrases.Part
    kind: str  # of the phrase; "digit" for one of ten words alone
    value: str
    text: str
    voice: str
    speed: int
    pitch: int
    before: int  # windows of silence
    after: int


class Spoken(NamedTuple):
    """Recordings in memory, and what is known of each."""

    samples: Flat  # int16
    rate_hz: int
    text: list[str]
    voice: list[str]
    split: list[str]  # train, valid, test
    kind: list[str]
    value: list[str]
    name: str  # of the data, for scores
    note: str  # how they were made


def lines(count: int, words: int = 0) -> list[Line]:
    """`count` sentences in all splits, and `words` takes of each digit by each colour of voice; drawn from keyed
    randomness alone. Sentences come first, sorted by
    voice, which is how they are fastest said."""
    found = []
    for split in PARTS:
        rng = keyed("spoken", VERSION, split, count)
        drawn = phrases.sentences(round(count * SHARES[split]), split, rng)
        takes = [phrases.Phrase("number", str(n), phrases.SMALL[n]) for n in range(10)] * words
        said = [("digit", phrase, colour) for colour in COLOURS[split] for phrase in takes]
        said += [(phrase.kind, phrase, COLOURS[split][k % len(COLOURS[split])]) for k, phrase in enumerate(drawn)]
        for kind, phrase, colour in said:
            speed, pitch = (_between(rng, *ends) for ends in (SPEED, PITCH))
            before, after = (_between(rng, 1, ALONE if kind == "digit" else QUIET) for _ in range(2))
            voice = f"{ACCENTS[_between(rng, 0, len(ACCENTS) - 1)]}+{colour}"
            found.append(Line(split, kind, phrase.value, phrase.text, voice, speed, pitch, before, after))
    return sorted(found, key=lambda line: (line.kind == "digit", line.voice))


def _between(rng: torch.Generator, low: int, high: int) -> int:
    return low + int(torch.randint(high - low + 1, (1,), generator=rng))


def make(path: Path, script: Sequence[Line], told: Callable[[int], None] | None = None) -> None:
    """Say the lines and write them to a file, whole or not at all. Called with the number said, every hundred.
    UserError: espeakng-loader is missing."""
    from ..media.voice import spoken as speak

    levels, windows = [], []
    for k, line in enumerate(script):
        sound = torch.from_numpy(speak(line.text, line.voice, line.speed, line.pitch).resampled(RATE_HZ).samples)
        loud = (sound.abs() > 0.01 * sound.abs().max()).nonzero()
        sound = sound[int(loud[0]) : int(loud[-1]) + 1]
        values = mdct.forward(sound / sound.square().mean().sqrt())
        values = torch.nn.functional.pad(values, (0, 0, line.before, line.after))
        levels.append(mdct.rounded(values, STEP))
        windows.append(len(values))
        if told is not None and k % 100 == 99:
            told(k + 1)
    columns = {name: np.array([getattr(line, name) for line in script]) for name in Line._fields[:7]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez_compressed(file, levels=torch.cat(levels).numpy(), windows=np.array(windows, np.int32), **columns)
    os.replace(file.name, path)


def opened(path: Path, name: str, alone: bool = False) -> Spoken:
    """The sentences of a file that `make` wrote, or the digits said `alone`, with their noise."""
    with np.load(path, allow_pickle=False) as archive:
        held = {field: archive[field] for field in archive.files}
    chosen = np.flatnonzero((held["kind"] == "digit") == alone)  # one after the other
    end = torch.from_numpy(held["windows"].cumsum())
    samples = []
    for few in np.split(chosen, range(TOGETHER, len(chosen), TOGETHER)):
        first = int(end[few[0] - 1]) if few[0] else 0
        levels = torch.from_numpy(held["levels"][first : int(end[few[-1]])])
        samples.append(_sound(levels, torch.from_numpy(held["windows"][few]).long(), int(few[0])))
    length = (held["windows"][chosen].astype(np.int64) - 1) * mdct.HOP
    begin = torch.from_numpy(np.concatenate([[0], length.cumsum()]))
    columns = ([str(cell) for cell in held[field][chosen]] for field in ("text", "voice", "split", "kind", "value"))
    return Spoken(Flat(torch.cat(samples), begin), RATE_HZ, *columns, name, NOTE)


def _sound(levels: Int8[Tensor, "N D"], windows: Int[Tensor, "B"], number: int) -> Int16[Tensor, "F"]:
    """The samples of recordings that lie end to end, from the one of this number on: noise added, loudness drawn."""
    rng = keyed("spoken", VERSION, "noise", number)
    below, tilt, loud = torch.rand(3, len(windows), 1, generator=rng)
    snr = SNR_DB[0] + (SNR_DB[1] - SNR_DB[0]) * below
    loud = RMS[0] * (RMS[1] / RMS[0]) ** loud
    band = (1 + torch.arange(mdct.HOP) / 8) ** (-1.5 * tilt)  # from white to falling by 9 dB an octave
    band *= 10 ** (-snr / 20) / band.square().mean(1, keepdim=True).sqrt()
    values = mdct.unrounded(levels, STEP)
    noise = torch.randn(values.shape, generator=rng)
    values = (values + noise * band.repeat_interleave(windows, 0)) * loud.repeat_interleave(windows, 0)
    sound = mdct.inverse(values).view(-1, mdct.HOP)
    inside = torch.ones(len(sound), dtype=torch.bool)
    inside[windows.cumsum(0)[:-1] - 1] = False  # what lies between two recordings is of neither
    return (sound[inside] * 32768).round_().clamp_(-32768, 32767).to(torch.int16).flatten()


def asked(word: str) -> int | None:
    """How many sentences `--data` asks for: 0 for those that ship ("" or "spoken"), None where it names something
    else. UserError: spoken:N with an N out of range."""
    found = re.fullmatch(r"(?:spoken)?(?::(.*))?", word)
    if found is None:
        return None
    if found[1] is None:
        return 0
    count = int(found[1]) if found[1].isascii() and found[1].isdecimal() else -1
    if not 100 <= count <= MOST:
        raise UserError(f"spoken:N with N from 100 to {MOST:,} sentences", word, "For example spoken:20000", "data")
    return count


def spoken(place: Place) -> Spoken:
    """Sentences: those that ship, or with `--data spoken:N` so many new ones, made once and kept in the cache.
    UserError: espeakng-loader is missing, N out of range."""
    count = asked(place.choice.data) or 0
    if not count:
        return opened(EMBEDDED, "spoken numbers and dates (synthetic)")
    path = cache() / "spoken" / f"spoken-{count}-{VERSION}.npz"
    if not path.exists():
        make(path, lines(count))
    return opened(path, f"{count:,} spoken numbers and dates (synthetic)")


def digits() -> Spoken:
    """The ten digits, each said alone by every colour of voice: for telling sounds apart."""
    return opened(EMBEDDED, "spoken digits (synthetic)", alone=True)
