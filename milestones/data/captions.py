"""Pictures with sentences about them: the embedded world of shapes, or the user's own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from ..core.source import Data, Facts, Held, Place, keyed
from .captioned import read, split_words
from .shapes import HELD_OUT, KNOWN, Drawn, Pair, World, drawn, groups_of, named, sentences, worlds
from .splits import FINAL, SPLITS

PAD, BEGIN, END, UNKNOWN = range(4)
SIGNS = ("", "<begin>", "<end>", "<unknown>")
NAME = "synthetic shapes"
SHORT = 0.3  # of the training pictures are those that are told most shortly
MOST_WORDS = 8000  # of the user's: the rest is unknown; the words are kept in facts.json


Look = Callable[[Tensor, Sequence[list[int]]], Tensor]
"""Pictures "B 3 H W" and the tokens of their sentences to "B T P"."""


class Captioned(NamedTuple):
    """Pictures and what may be said of each."""

    image: UInt8[Tensor, "B 3 H W"]
    words: Int[Tensor, "B R T"]  # the sentences of each, int16: BEGIN, words, END, then PAD
    count: Int[Tensor, "B"]  # sentences of each picture; the rest of the R rows is PAD


def numbered(said: Sequence[Sequence[str]], words: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The sentences of each picture as numbers of `words`, "N R T", and how many each has, "N"."""
    number = {word: k for k, word in enumerate(words)}
    rows = [[[BEGIN, *(number.get(word, UNKNOWN) for word in split_words(one)), END] for one in each] for each in said]
    most, longest = max(map(len, rows)), max(len(row) for each in rows for row in each)
    out = np.zeros((len(rows), most, longest), np.int16)
    for n, each in enumerate(rows):
        for k, row in enumerate(each):
            out[n, k, : len(row)] = row
    return torch.from_numpy(out), torch.tensor([len(each) for each in rows])


def brief(source: Held[Captioned]) -> Held[Captioned]:
    """The pictures whose shortest sentence is no longer than that of the first SHORT of all: from them, what is seen is
    learned before what lies where."""
    words, count = source.examples.words, source.examples.count
    length = (words != PAD).sum(-1)  # N R
    length = length.masked_fill(torch.arange(words.shape[1]) >= count[:, None], words.shape[2]).amin(1)
    rows = length <= length.float().quantile(SHORT)
    return Held(Captioned(*(field[rows] for field in source.examples)), source.place, source.name, source.split,
                source.augment)  # fmt: skip


def attended(seen: Examples, said: Sequence[list[int]], words: Sequence[str], look: Look, stride: int
             ) -> tuple[Tensor, float]:  # fmt: skip
    """Of each picture that is told rightly: the share in percent of the words for a size, a colour and a shape at which
    the place most looked at has a pixel of a thing of their group; and the share of such places. `look` gives, for
    pictures and their sentences, how much each place of a map of `stride` pixels is looked at for each word."""
    shares, chances = [], []
    right = [row for row, tokens in enumerate(said) if spell(tokens, words) in seen.said[row]]
    for some in (right[k : k + 250] for k in range(0, len(right), 250)):
        looked = look(seen.drawn.image[some], [said[row] for row in some]).argmax(-1)  # B T
        for row, places in zip(some, looked, strict=True):
            hits = []
            for name, at in groups_of([words[token] for token in said[row]]):
                group = 0 if name == named(seen.world, row, 0) else 1
                own = F.max_pool2d((seen.drawn.owner[row] == group + 1).float()[None], stride).flatten()
                hits += own[places[at.start + 1 : at.stop]].tolist()
                chances.append(float(own.mean()))
            shares.append(100 * sum(hits) / len(hits))
    return torch.tensor(shares), 100 * sum(chances) / max(1, len(chances))


def spell(tokens: Sequence[int], words: Sequence[str]) -> str:
    """The sentence of these numbers; the signs of begin and end are not said."""
    return " ".join(words[token] for token in tokens if token not in (PAD, BEGIN, END))


def drawn_by_lot(batch: Captioned, rng: torch.Generator) -> Captioned:
    """Each picture with two of its sentences, drawn anew, or twice with its only one: a second one costs the net little
    more, for it looks at the picture once."""
    lot = torch.rand(len(batch.count), generator=rng).to(batch.count.device)
    first = (lot * batch.count).long()
    second = (first + 1 + (lot * batch.count % 1 * (batch.count - 1)).long()) % batch.count
    rows = torch.arange(len(first), device=first.device)[:, None]
    words = batch.words[rows, torch.stack([first, second], 1)]
    return batch._replace(words=words, count=torch.full_like(batch.count, 2))


class Examples(NamedTuple):
    """Pictures of worlds, with these worlds and who owns each pixel."""

    world: World
    drawn: Drawn
    said: list[list[str]]


def examples(count: int, rng: torch.Generator, pairs: Sequence[Pair] = KNOWN, must: Sequence[Pair] = (),
             two: float = 0.65) -> Examples:  # fmt: skip
    """So many pictures and all true and complete sentences of each."""
    world = worlds(count, rng, pairs, must, two)
    return Examples(world, drawn(world, rng), [sentences(world, row) for row in range(count)])


def trials(count: int, split: str, two: float = 0.65) -> Examples:
    """The same worlds for each seed: of "test" and "valid" each has a colour on a shape that training never shows (of
    each split others), of "known" none has."""
    must = HELD_OUT.get(split, ())
    return examples(count, keyed("shapes", split), (*KNOWN, *must), must, two)


def batch_of(those: Examples, words: Sequence[str]) -> Captioned:
    """The examples with their sentences as numbers of `words`."""
    return Captioned(those.drawn.image, *numbered(those.said, words))


def held(those: Examples, words: Sequence[str], place: Place, name: str, split: str) -> Held[Captioned]:
    """The examples as a source."""
    return Held(batch_of(those, words), place, name, split)


def captions(place: Place, count: int, side: int, two: float = 0.65) -> Data[Captioned]:
    """So many pictures of the world of shapes to learn from, and an eighth, at most 1,000, to validate and to test,
    which show held-out pairs of colour and shape; a share `two` of all with two groups of things. Or the user's own, at
    `side` pixels. UserError: anything wrong with the user's."""
    if place.choice.data:
        return own(place, side)
    fewer = min(1000, max(16, count // 8))
    parts = {"train": examples(count, keyed(place.seed, "shapes"), two=two), "valid": trials(fewer, "valid", two),
             "test": trials(fewer, "test", two)}  # fmt: skip
    words = vocabulary(parts["train"].said)
    batches = {name: batch_of(those, words) for name, those in parts.items()}
    note = (f"drawn by code, {100 * two:.0f} % of the pictures with two groups of things; each picture to validate or "
            "to test has a colour on a shape that no training picture has")  # fmt: skip
    names = [NAME, *[f"{NAME}, held-out pairs of colour and shape"] * 2]
    return arranged(place, batches, words, names, {"name": NAME, "note": note})


def own(place: Place, side: int) -> Data[Captioned]:
    """The user's pictures with their sentences, the middle square of each at `side` pixels; words that are said once
    are unknown where there are many."""
    path = Path(place.choice.data)
    found, image, part = read(path, place.choice, side)
    said = {name: [found.said[i] for i in np.flatnonzero(part == k)] for k, name in enumerate(SPLITS)}
    words = vocabulary(said["train"], least=2 if len(said["train"]) >= 1000 else 1)
    batches = {name: Captioned(torch.from_numpy(image[part == k]), *numbered(said[name], words))
               for k, name in enumerate(SPLITS)}  # fmt: skip
    if place.choice.split == FINAL:
        batches["train"] = Captioned(*map(torch.cat, zip(*padded(batches["train"], batches["valid"]), strict=True)))
        found.notes.append("the validation pictures are learned from, too (--split final)")
    name, unknown = path.resolve().name, float((batches["test"].words == UNKNOWN).float().sum())
    share = unknown / max(1, int((batches["test"].words >= UNKNOWN).sum()))
    note = "; ".join([*found.notes, f"{100 * share:.1f} % of the words to test are unknown"])
    return arranged(place, batches, words, [name] * 3, {"name": name, "note": note})


def vocabulary(said: Sequence[Sequence[str]], least: int = 1) -> list[str]:
    """The words that are said at least so often, the commonest where there are too many, in order, after the signs."""
    counts = Counter(word for each in said for one in each for word in split_words(one))
    return [*SIGNS, *sorted(word for word, count in counts.most_common(MOST_WORDS) if count >= least)]


def padded(*batches: Captioned) -> list[Captioned]:
    """The batches with their sentences padded to one number and one length."""
    most, longest = (max(batch.words.shape[k] for batch in batches) for k in (1, 2))
    missing = [(longest - batch.words.shape[2], most - batch.words.shape[1]) for batch in batches]
    return [batch._replace(words=F.pad(batch.words, (0, short, 0, few)))
            for batch, (short, few) in zip(batches, missing, strict=True)]  # fmt: skip


def arranged(place: Place, batches: dict[str, Captioned], words: list[str], names: Sequence[str],
             about: Facts) -> Data[Captioned]:  # fmt: skip
    """The sources of these batches, and the facts that a model needs: words, size and levels of the pictures, the
    longest sentence."""
    train, valid, test = (Held(batches[split], place, name, split, drawn_by_lot if split == "train" else None)
                          for split, name in zip(SPLITS, names, strict=True))  # fmt: skip
    learned, digest = train.examples, hashlib.sha256()
    for batch in batches.values():
        for part in batch:
            digest.update(part.numpy().tobytes())
    level = learned.image[:2000].float()
    about |= {split: len(batch.image) for split, batch in batches.items()} | {"sha256": digest.hexdigest()}
    facts = {"kind": "captions", "words": words, "side": learned.image.shape[-1], "channels": 3,
             "longest": learned.words.shape[2], "mean": float(level.mean()), "spread": max(float(level.std()), 1e-3),
             "data": about}  # fmt: skip
    return Data(train, valid, test, facts)
