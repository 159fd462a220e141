"""Speech with its transcripts: the user's own recordings, those of published sets, and strings composed of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.source import Choice, Data, Facts, Place, key, keyed
from ..parts.ctc import needed
from ..parts.mel import LogMel
from ..parts.ngram import NGram, packed
from .ragged import Flat, Ragged
from .splits import FINAL, SPLITS, divide, shares
from .spoken import asked, spoken
from .transcripts import Transcripts, transcripts
from .wavs import rate_of, recordings, refused

AT_ONCE = 64  # recordings of a sweep: their spectra lie in memory together
LONGEST = 40  # seconds of a recording
ALPHABET = 400  # different signs
ORDER, GRAMS = 7, 5500  # of the language model of signs, which is kept in facts.json
MEASURED = 400  # training recordings whose levels are measured
INDEX = (5, 7)  # of --split index: test below the first, validation below the second
STRINGS, PAUSE = 4, (0.05, 0.35)  # how often a held-out recording is used; seconds between two


class Utterances(NamedTuple):
    """Recordings and what is said in them."""

    samples: Tensor  # B S int16
    length: Tensor  # B: samples
    text: Tensor  # B L: classes of the signs, 1 and up, then zeros
    text_length: Tensor  # B: signs


class Spoken(Ragged[Utterances]):
    """Recordings in memory; `texts` are their transcripts as they are, also signs that the training set has not."""

    def __init__(self, samples: Flat, texts: Sequence[str], signs: Sequence[str], place: Place, name: str,
                 split: str) -> None:  # fmt: skip
        super().__init__(Utterances, (samples, encoded(texts, signs)), place, name, split)
        self.sounds, self.texts, self.signs = samples, list(texts), list(signs)

    def sweep(self, size: int) -> Iterator[Utterances]:
        """All in order, at most 64 at a time."""
        return super().sweep(min(size, AT_ONCE))

    def short(self, share: float) -> Spoken:
        """This share of the recordings, those with the shortest transcripts, of equally short ones any."""
        order = sorted(range(len(self)), key=lambda i: (len(self.texts[i]), key("short", i)))
        rows = order[: max(1, round(share * len(self)))]
        values, begin = self.sounds[:2]
        sounds = Flat.of([values[begin[i] : begin[i + 1]] for i in rows])
        return Spoken(sounds, [self.texts[i] for i in rows], self.signs, self.place, self.name, self.split)


class Strung(Spoken):
    """Strings of three to `most` recordings of one speaker, with pauses between, composed anew for each batch."""

    def __init__(self, base: Spoken, speakers: Sequence[str], most: int, rate_hz: int) -> None:
        super().__init__(base.sounds, base.texts, base.signs, base.place, base.name, base.split)
        self.base, self.most, self.rate_hz, self.voices = base, most, rate_hz, voices(speakers)

    def batch(self, step: int, size: int) -> Utterances:
        """This process's share of batch `step`."""
        rng = keyed(self.place.seed, "strings", step)
        rows = [drawn(self.voices, self.most, rng) for _ in range(size)]
        made = Flat.of([joined(self.base, row, self.rate_hz, rng) for row in rows])
        texts = encoded([" ".join(self.texts[i] for i in row) for row in rows], self.signs)
        share, every = size // self.place.of, torch.arange(size)
        mine = slice(self.place.rank * share, (self.place.rank + 1) * share)
        fields = (*made.padded(every), *texts.padded(every))
        return Utterances(*(field[mine].to(self.place.device) for field in fields))


def voices(speakers: Sequence[str]) -> list[list[int]]:
    """The recordings of each speaker."""
    return [[i for i, who in enumerate(speakers) if who == name] for name in sorted(set(speakers))]


def drawn(of: Sequence[Sequence[int]], most: int, rng: torch.Generator) -> list[int]:
    """Three to `most` recordings of one voice."""
    mine = of[int(torch.randint(len(of), (), generator=rng))]
    count = int(torch.randint(3, most + 1, (), generator=rng))
    return [mine[i] for i in torch.randint(len(mine), (count,), generator=rng).tolist()]


def joined(base: Spoken, row: Sequence[int], rate_hz: int, rng: torch.Generator) -> Int[Tensor, "S"]:
    """These recordings one after the other, quiet noise before, between and after them."""
    parts, (values, begin) = [], base.sounds[:2]
    for i in [*row, -1]:
        pause = int(torch.randint(*(round(rate_hz * seconds) for seconds in PAUSE), (), generator=rng))
        parts.append((torch.randn(pause, generator=rng) * 12 * torch.rand((), generator=rng)).short())
        if i >= 0:
            parts.append(values[begin[i] : begin[i + 1]])
    return torch.cat(parts)


def fixed(base: Spoken, speakers: Sequence[str], most: int, rate_hz: int) -> Spoken:
    """Strings of held-out recordings, the same for all: each recording comes about four times."""
    rng, of = keyed("strings", base.split), voices(speakers)
    rows = [drawn(of, most, rng) for _ in range(max(1, round(STRINGS * len(base) * 2 / (3 + most))))]
    sounds = Flat.of([joined(base, row, rate_hz, rng) for row in rows])
    texts = [" ".join(base.texts[i] for i in row) for row in rows]
    return Spoken(sounds, texts, base.signs, base.place, f"composed strings of {base.name}", base.split)


def encoded(texts: Sequence[str], signs: Sequence[str]) -> Flat:
    """The classes of the texts' signs; signs that are none of `signs` are left out."""
    number = {sign: k + 1 for k, sign in enumerate(signs)}
    return Flat.of([torch.tensor([number[c] for c in text if c in number], dtype=torch.long) for text in texts])


class Pile(NamedTuple):
    """Recordings of one rate with what is known of them, before they are divided."""

    samples: Flat
    rate_hz: int
    about: Transcripts
    keys: list[bytes]
    part: np.ndarray  # 0 train, 1 valid, 2 test
    name: str
    notes: list[str]


Frames = Callable[[Tensor, int], Tensor]
"""Numbers of samples "N", samples a second -> how many answers a model gives for each."""


def speech(place: Place, frames: Frames, strings: int = 0) -> Data[Utterances]:
    """The recordings that the user chose, else the embedded synthetic ones; `strings` above 0 composes strings of up to
    so many of them.

    `frames(samples, rate)` says how many answers a model gives for so many samples: what is too short for its
    transcript under CTC is left out, and told of. Facts: kind, labels (signs), rate_hz, bands' mean and spread, ngram,
    data. UserError: anything wrong with the data, the first problem found.
    """
    made = asked(place.choice.data) is not None
    pile = synthetic(place) if made else own(Path(place.choice.data), place.choice)
    texts = pile.about.texts
    signs = sorted({sign for text, part in zip(texts, pile.part, strict=True) if part == 0 for sign in text})
    if strings and " " not in signs:
        signs = [" ", *signs]
    if len(signs) > ALPHABET:
        do = "Write the transcripts in letters: each sign is a class of its own"
        raise UserError(f"transcripts of at most {ALPHABET} different signs", f"{len(signs):,}", do, "speech")
    classes = encoded(texts, signs)
    length = pile.samples.length
    room = frames(length, pile.rate_hz) >= needed(*classes.padded(torch.arange(len(texts))))
    kept = (room & (length <= LONGEST * pile.rate_hz)).numpy()
    notes = [*pile.notes, *_left_out(pile, room.numpy(), kept)]
    strange = [i for i in np.flatnonzero(kept & (pile.part > 0)) if not set(texts[i]) <= set(signs)]
    if strange:
        which = ", ".join(sorted({sign for i in strange for sign in texts[i]} - set(signs))[:8])
        notes.append(f"{len(strange):,} held-out transcripts hold signs that no training transcript has ({which}): "
                     "they count as errors")  # fmt: skip
    held, whose, sizes = [], [], {}
    for k, split in enumerate(SPLITS):
        rows = np.flatnonzero(
            kept & ((pile.part == k) | (place.choice.split.endswith(FINAL) & (k == 0) & (pile.part == 1)))
        )
        if not len(rows):
            do = "Add recordings, or name another --split"
            raise UserError("recordings for each split", f"none for {split} in {pile.name}", do, "speech")
        begin, values = pile.samples.begin, pile.samples.values
        sounds = Flat.of([values[begin[i] : begin[i + 1]] for i in rows])
        held.append(Spoken(sounds, [texts[i] for i in rows], signs, place, pile.name, split))
        whose.append([pile.about.speakers[i] for i in rows])
        sizes[split] = len(rows)
    mean, spread = levels(held[0], pile.rate_hz)
    lines = held[0].texts
    if strings:
        notes.append(f"composed: strings of 3 to {strings} recordings of one speaker with pauses; a held-out recording "
                     f"is used about {STRINGS} times")  # fmt: skip
        rows = [drawn(voices(whose[0]), strings, keyed("strings", "language", n)) for n in range(2000)]
        lines = [" ".join(held[0].texts[i] for i in row) for row in rows]
        strung = [fixed(base, who, strings, pile.rate_hz) for base, who in zip(held[1:], whose[1:], strict=True)]
        held = [Strung(held[0], whose[0], strings, pile.rate_hz), *strung]
        sizes["valid"], sizes["test"] = len(held[1]), len(held[2])
    digest = hashlib.sha256(b"".join(pile.keys) + "\n".join(texts).encode() + pile.part.tobytes()).hexdigest()
    language = NGram.of(([1 + signs.index(sign) for sign in text] for text in lines), ORDER, len(signs), GRAMS)
    facts: Facts = {
        "kind": "speech", "labels": signs, "rate_hz": pile.rate_hz, "mean": mean, "spread": spread,
        "ngram": packed(language, signs),
        "data": {"name": pile.name, **sizes, "sha256": digest, "note": "; ".join(notes)},
    }  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def _left_out(pile: Pile, room: np.ndarray, kept: np.ndarray) -> list[str]:
    """What is said of recordings that are left out."""
    notes = []
    for bad, why in ((~room, "too short for their transcript"), (room & ~kept, f"longer than {LONGEST} s")):
        if bad.any():
            first = ", ".join(pile.about.paths[i].name for i in np.flatnonzero(bad)[:3])
            notes.append(f"{int(bad.sum()):,} recordings are {why} and left out ({first})")
    return notes


def own(path: Path, choice: Choice) -> Pile:
    """The user's own recordings, divided as `choice.split` says. UserError: anything wrong with them."""
    listed = transcripts(path)
    rate = rate_of(listed.paths)
    read = recordings(listed.paths, rate)
    notes = [*listed.notes, refused(read.problems, len(listed.paths), bool(choice.skip), str(path))]
    about = listed.only(read.kept)
    part, how = divided(about, read.keys, choice.split)
    return Pile(read.samples, rate, about, read.keys, part, path.resolve().name, [how, *filter(None, notes)])


def synthetic(place: Place) -> Pile:
    """The spoken numbers and dates that come with the package, or more of them that are made: voices and meanings of
    each split are its own."""
    said = spoken(place)
    split = place.choice.split
    if split not in ("", FINAL):
        got = f"--split {split}"
        raise UserError("no other split for spoken, whose voices are held out", got, "Leave it out", "speech")
    about = Transcripts()
    for text, voice, where in zip(said.text, said.voice, said.split, strict=True):
        about.add(Path(f"{text} ({voice})"), text, voice.partition("+")[2], "", where)
    part = np.array([SPLITS.index(where) for where in said.split])
    keys = [hashlib.blake2b(repr(row).encode(), digest_size=8).digest() for row in zip(about.paths, part, strict=True)]
    return Pile(said.samples, said.rate_hz, about, keys, part, said.name, [said.note])


def divided(about: Transcripts, keys: Sequence[bytes], split: str) -> tuple[np.ndarray, str]:
    """For each recording 0 (train), 1 (valid) or 2 (test), and in words how that was decided.

    "" takes the manifest's own splits, else whole speakers where three or more are known, else content. UserError: the
    split asks for what is not known of these recordings.
    """
    names, texts = sorted(set(about.speakers) - {""}), Counter(about.texts)
    how = split.removesuffix(FINAL).rstrip("+") if split.endswith(FINAL) else split
    if not how and any(about.splits):
        part = np.array([{"": 0, "train": 0, "valid": 1, "test": 2}[where] for where in about.splits])
        rest = np.flatnonzero(part == 0)
        lacking = (0.8, 0.0 if (part == 1).any() else 0.1, 0.0 if (part == 2).any() else 0.1)
        part[rest] = divide([keys[i] for i in rest], np.zeros(len(rest), np.int64), lacking)
        return part, "split: its own"
    if how.split(":")[0] == "speaker" or (not how and len(names) > 2):
        return _by_speaker(about, keys, names, how)
    if how == "index":
        if not all(number.isdecimal() for number in about.numbers):
            do = "Leave --split out, or name the files so"
            raise UserError("files named label_speaker_number for --split index", "others", do, "speech")
        number = np.array([int(number) for number in about.numbers])
        part = np.select([number < INDEX[0], number < INDEX[1]], [2, 1], 0)
        return part, f"split by index: test below {INDEX[0]}, valid below {INDEX[1]}; speakers are shared"
    few = len(texts) * 4 < len(about.texts)  # words that come again and again are divided each for itself
    order = {text: k for k, text in enumerate(texts)}
    label = np.array([order[text] for text in about.texts]) if few else np.zeros(len(about.texts), np.int64)
    return divide(keys, label, shares(how)), "split by content; speakers may be shared"


def _by_speaker(about: Transcripts, keys: Sequence[bytes], names: Sequence[str], how: str) -> tuple[np.ndarray, str]:
    """Whole speakers held out: `speaker:a,b/c` tests on a and b and validates on c, without c on a tenth of the others'
    recordings; `speaker` alone holds out a sixth of the speakers for each."""
    chosen, _, checked = how.partition(":")[2].partition("/")
    test, valid = ([name for name in part.split(",") if name] for part in (chosen, checked))
    lost = [name for name in test + valid if name not in names]
    if lost:
        do = nearest(lost[0], names, "Take one of these")
        raise UserError(f"speakers among {', '.join(names[:12])}", repr(lost[0]), do, "speech")
    if len(names) < 3 - bool(test) or len(names) <= len({*test, *valid}):
        do = "Name them in a column speaker, or say --split 80/10/10"
        raise UserError("three speakers or more, to hold some out", f"{len(names)}", do, "speech")
    if not test:
        order, each = sorted(names, key=lambda name: key("speaker", name)), max(1, round(len(names) / 6))
        test, valid = order[:each], order[each : 2 * each]
    who = np.array(about.speakers)
    part = np.select([np.isin(who, test), np.isin(who, valid)], [2, 1], 0)
    if not valid:
        rest = np.flatnonzero(part == 0)
        part[rest] = divide([keys[i] for i in rest], np.zeros(len(rest), np.int64), (0.9, 0.1, 0.0))
    seen = ", ".join(valid[:6]) or "a tenth of the others by content"
    return part, f"split by speaker: test is {', '.join(test[:6])}, valid {seen}"


def levels(source: Spoken, rate_hz: int) -> tuple[list[float], list[float]]:
    """Mean and spread of each mel band over training recordings."""
    ears, sums = LogMel(rate_hz), torch.zeros(3, LogMel(rate_hz).bank.shape[1], dtype=torch.float64)
    chosen = torch.arange(0, len(source), max(1, len(source) // MEASURED))
    for index in chosen.split(AT_ONCE):
        batch = source.take(index)
        frames = ears.frames(batch.length)
        mel = ears(batch.samples).double()
        here = (torch.arange(mel.shape[1]) < frames[:, None])[..., None]
        sums += torch.stack([here.sum((0, 1)).expand(mel.shape[2]).double(), (mel * here).sum((0, 1)),
                             (mel.square() * here).sum((0, 1))])  # fmt: skip
    count, total, squares = sums
    mean = total / count
    spread = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=1e-2)
    return [round(v, 4) for v in mean.tolist()], [round(v, 4) for v in spread.tolist()]


def spelled(classes: Sequence[int], signs: Sequence[str]) -> str:
    """The text of classes."""
    return "".join(signs[k - 1] for k in classes)
