"""A text as words, each with those around it: the embedded verses in English, or the user's own text."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place, keyed
from ..parts.grams import words_of
from .parallel import embedded
from .splits import FINAL, SPLITS, divide, shares
from .text import files_of, read

MOST = 4_000_000  # words that are learned from: the words around each must fit the memory
MEASURED = 5000  # words of the validation and of the test part
LEAST = 100  # words a text must have in each part

RELATIONS = {  # written down before any vector was trained, for words that stand in an English Bible
    "family": "man woman, father mother, son daughter, brother sister, king queen, husband wife, he she, his her, "
    "sons daughters, fathers mothers, brothers sisters, men women, boy girl, prince princess, widower widow",
    "plural": "king kings, son sons, city cities, priest priests, prophet prophets, servant servants, house houses, "
    "hand hands, day days, year years, word words, sin sins, tribe tribes, mountain mountains, river rivers, "
    "nation nations, animal animals, stone stones, tree trees, enemy enemies, wall walls, gate gates, spirit spirits",
    "past": "go went, come came, say said, see saw, give gave, take took, make made, know knew, hear heard, eat ate, "
    "speak spoke, bring brought, build built, find found, send sent, call called, fall fell, stand stood, sit sat, "
    "write wrote, keep kept, leave left",
    "third person": "say says, make makes, go goes, come comes, know knows, love loves, give gives, see sees, "
    "hear hears, take takes, speak speaks, eat eats, believe believes, keep keeps, walk walks, call calls",
    "participle": "go going, say saying, come coming, make making, eat eating, speak speaking, see seeing, "
    "give giving, take taking, fight fighting, build building, walk walking, write writing, sit sitting",
    "peoples": "israel israelites, egypt egyptians, moab moabites, edom edomites, canaan canaanites, syria syrians, "
    "assyria assyrians, midian midianites, rome romans, persia persians, ammon ammonites, hamath hamathites",
    "comparison": "great greater, good better, strong stronger, high higher, old older, young younger, wise wiser, "
    "small smaller, heavy heavier, bad worse, large larger, mighty mightier",
    "opposites": "good evil, light darkness, day night, heaven earth, life death, righteous wicked, wise foolish, "
    "clean unclean, right left, north south, east west, rich poor, first last, strong weak, far near, up down",
}


class Near(NamedTuple):
    """Words by number, from 1, and those around each."""

    context: Tensor  # B W int32: before it, then after it, the nearest in the middle; 0 where there is none
    word: Tensor  # B int32
    other: Tensor  # B N int32: words drawn at random


def sentences(place: Place, vocabulary: int, least: int, window: int, negatives: int, sample: float) -> Data[Near]:
    """The text that the user chose, else the verses: its words that stand at least `least` times in the training part,
    of those the `vocabulary` most frequent; with up to `window` words on either side, within a verse or a paragraph.

    In training each batch draws for each word how far is looked (1 to `window`, Mikolov et al. 2013a), leaves out
    frequent words (2013b, section 2.3, `sample` its t; what is left does not move together), and draws `negatives`
    other words by their frequency to the power of 3/4. For validation and test 5,000 words are drawn so once, and the
    others as often as the words around are left. Facts: kind, words, relations and data. UserError: anything wrong with
    the text.
    """
    choice = place.choice
    parts, title, notes = own(choice.data, choice.split) if choice.data else verses()
    if choice.split == FINAL:
        parts[0] = [*parts[0], *parts[1]]
    counts = Counter(word for sentence in parts[0] for word in sentence)
    words = [word for word, count in counts.most_common(vocabulary) if count >= least]
    number = {word: k for k, word in enumerate(words, 1)}
    inside = [sum(word in number for sentence in part for word in sentence) for part in parts]
    if min(inside) < LEAST or len(words) < 10:
        got = f"{min(inside)} in one part of {title}, {len(words)} different"
        do = f"Give a longer text, or lower --least {least}"
        raise UserError(f"at least {LEAST} words that stand {least} times, in each part", got, do, "vectors")
    frequency = np.array([0, *(counts[word] for word in words)], np.float64)
    share, kept = torch.from_numpy(frequency / frequency.sum()), left(torch.from_numpy(frequency), sample)
    drawn, plain = ((chance / chance.sum()).cumsum(0) for chance in (share**0.75, share * kept))
    sources, sizes = [], {}
    for split, part in zip(SPLITS, parts, strict=True):
        word, context = around([[number[one] for one in sentence if one in number] for sentence in part], window)
        if split == "train":
            if len(word) > MOST:
                notes.append(f"of {len(word):,} words only the first {MOST:,} are learned from")
            near = Near(context[:MOST], word[:MOST], torch.zeros(min(MOST, len(word)), 1, dtype=torch.int32))

            def vary(batch: Near, rng: torch.Generator) -> Near:
                return varied(batch, rng, window, kept.float(), drawn, negatives)

            sources.append(Held(near, place, title, split, vary))
        else:
            rng = keyed("vectors", split)
            near = varied(Near(context, word, word[:, None]), rng, window, kept.float(), plain, negatives)
            some = (near.context > 0).any(1).nonzero()[:, 0]
            some = some[torch.randperm(len(some), generator=rng)[:MEASURED].sort().values]
            name = title + (" (seen in training)" if split == "valid" and choice.split == FINAL else "")
            sources.append(Held(Near(*(field[some] for field in near)), place, name, split))
        sizes[split] = len(sources[-1])
    digest = hashlib.sha256("\n".join(" ".join(one) for part in parts for one in part).encode()).hexdigest()
    notes += [f"{len(words):,} different words of {len(counts):,}, each at least {least} times in training",
              f"of validation and test {MEASURED:,} words at most"]  # fmt: skip
    facts: Facts = {"kind": "text", "words": " ".join(words), "relations": related(number),
                    "data": {"name": title, **sizes, "sha256": digest, "note": "; ".join(notes)}}  # fmt: skip
    return Data(sources[0], sources[1], sources[2], facts)


def left(count: Tensor, sample: float) -> Float[Tensor, "V"]:
    """The chance that each word is not left out, by how often it stands: the root of `sample` over its share
    of the text, at most 1 (Mikolov et al. 2013b, equation 5). With `sample` 0 all are kept."""
    share = count.double() / count.sum()
    return (sample / share.clamp(min=1e-12)).sqrt().clamp(max=1.0) if sample else torch.ones_like(share)


def related(number: dict[str, int]) -> dict[str, list[list[int]]]:
    """The pairs of RELATIONS whose words are known, where there are at least two, as numbers."""
    found = {name: [pair.split() for pair in pairs.split(", ")] for name, pairs in RELATIONS.items()}
    known = {name: [[number[a], number[b]] for a, b in pairs if a in number and b in number]
             for name, pairs in found.items()}  # fmt: skip
    return {name: pairs for name, pairs in known.items() if len(pairs) > 1}


def around(sentences: Sequence[Sequence[int]], window: int) -> tuple[Int[Tensor, "N"], Int[Tensor, "N W"]]:
    """Each word of the sentences, and the `window` before and after it in its sentence; zeros where there is none."""
    gap = [0] * window
    line = np.array([*gap, *(one for sentence in sentences for one in (*sentence, *gap))], np.int32)
    at = np.flatnonzero(line)
    steps = np.array([*range(-window, 0), *range(1, window + 1)])
    return torch.from_numpy(line[at]), torch.from_numpy(line[at[:, None] + steps])


def varied(batch: Near, rng: torch.Generator, window: int, kept: Float[Tensor, "V"], drawn: Float[Tensor, "V"],
           negatives: int) -> Near:  # fmt: skip
    """A batch as training has it: see ``sentences``. `drawn` are sums of the chances, from the first word on."""
    b, device = len(batch.word), batch.word.device
    reach = torch.randint(1, window + 1, (b, 1), generator=rng)
    far = torch.tensor([*range(window, 0, -1), *range(1, window + 1)])
    chance, own = torch.rand(b, 2 * window, generator=rng), torch.rand(b, generator=rng)
    near = (far <= reach).to(device) & (chance.to(device) < kept.to(device)[batch.context.long()])
    near &= (own.to(device) < kept.to(device)[batch.word.long()])[:, None]
    other = pick(drawn, torch.rand(b, negatives, generator=rng)).to(device)
    return Near(batch.context * near, batch.word, other)


def pick(sums: Float[Tensor, "V"], chance: Float[Tensor, "B N"]) -> Int[Tensor, "B N"]:
    """Words, by numbers drawn evenly from 0 to 1, as often as the steps of `sums` are high."""
    return torch.searchsorted(sums, chance.double(), right=True).clamp(1, len(sums) - 1).int()


Parts = list[list[list[str]]]
"""Sentences of words, of train, valid and test."""


def verses() -> tuple[Parts, str, list[str]]:
    """The English verses, split by book."""
    head, *rows = embedded("verses")
    english = head.index("en")
    parts = [[words_of(row[english]) for row in rows if row[0] == split] for split in SPLITS]
    notes = ["split by book: validated on Ruth, the Song of Solomon, Zechariah and I John, tested on Esther, "
             "Ecclesiastes, Amos and James"]  # fmt: skip
    return [spoken(part) for part in parts], "verses in English (World English Bible)", notes


def own(name: str, split: str) -> tuple[Parts, str, list[str]]:
    """A text file or the texts in a folder, by paragraphs; where there are no blank lines, by lines. Split by the
    content of the paragraphs. UserError: no text, or one that cannot be read."""
    title, files, notes = files_of(name)
    found: list[str] = []
    for file in files:
        text = "".join(read([file])).strip()
        parted = re.split(r"\n\s*\n", text)
        found += parted if len(parted) > 1 else text.splitlines()
    blocks = [block for block in found if words_of(block)]
    if not blocks:
        raise UserError("a text with words", f"none in {title}", "Give a longer one", "vectors")
    keys = [hashlib.blake2b(block.encode(), digest_size=8).digest() for block in blocks]
    part = divide(keys, np.zeros(len(blocks), np.int64), shares(split))
    parts = [spoken([words_of(blocks[i]) for i in np.flatnonzero(part == k)]) for k in range(3)]
    return parts, title, [f"{len(blocks):,} paragraphs or lines, split by content", *notes]


def spoken(sentences: list[list[str]]) -> list[list[str]]:
    """Sentences without what is no word: signs and empty ones."""
    return [kept for one in sentences if (kept := [word for word in one if word[0].isalnum()])]
