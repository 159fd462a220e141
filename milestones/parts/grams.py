"""Texts as counts of words, of pairs of words and of pieces of words, each known by a hash: no vocabulary is kept, and
what was never seen has a place of its own or shares one (Weinberger et al. 2009; Joulin et al. 2017)."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

BITS = 31
MASK = (1 << BITS) - 1
PRIME = 1_000_003  # of the hash of a pair: FNV's is as good
AT_ONCE = 100_000  # words whose pieces lie in memory together
WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]|_+")


def words_of(text: str) -> list[str]:
    """The words, numbers and signs of a text in small letters; an apostrophe within a word is a part of it."""
    return WORDS.findall(text.lower())


def hashed(text: str) -> int:
    """A hash of 31 bits, the same on all machines."""
    return zlib.crc32(text.encode("utf-8", "replace")) & MASK


def grams(word: str, low: int, high: int) -> list[int]:
    """The hash of a word between its marks, "<word>", then those of its pieces of `low` to `high` letters, marks
    counted (Bojanowski et al. 2017, section 3.2); with `high` 0 that of the word alone."""
    marked = f"<{word}>"
    sizes = range(low, min(high, len(marked) - 1) + 1)
    return [hashed(marked), *(hashed(marked[i : i + n]) for n in sizes for i in range(len(marked) - n + 1))]


class Counted(NamedTuple):
    """The counts of several texts end to end: text i has `length[i]` of them, in the order of the hashes."""

    gram: Int[np.ndarray, "F"]  # int32
    count: Int[np.ndarray, "F"]  # int32, from 1
    length: Int[np.ndarray, "N"]


def counted(texts: Sequence[Sequence[str]], low: int, high: int, pairs: bool = True) -> Counted:
    """How often each word of a text, each piece of its words and, with `pairs`, each pair of words side by side stands
    in it. Texts are lists of words."""
    ends = np.cumsum([0, *map(len, texts)])
    cuts = [0, *(int(np.searchsorted(ends, at)) for at in range(AT_ONCE, int(ends[-1]), AT_ONCE)), len(texts)]
    parts = [_counted(texts[a:b], low, high, pairs) for a, b in itertools.pairwise(dict.fromkeys(cuts))]
    return Counted(*map(np.concatenate, zip(*parts, strict=True))) if parts else _counted([], low, high, pairs)


def _counted(texts: Sequence[Sequence[str]], low: int, high: int, pairs: bool) -> Counted:
    known: dict[str, int] = {}
    word = np.array([known.setdefault(one, len(known)) for text in texts for one in text], np.int64)
    text = np.repeat(np.arange(len(texts)), np.array([len(one) for one in texts], np.int64))
    each = [grams(one, low, high) for one in known]
    size = np.array([len(one) for one in each], np.int64)
    flat, first = np.array(list(itertools.chain.from_iterable(each)), np.int64), size.cumsum() - size
    over = size[word]  # the places of a word's pieces in `flat` follow each other
    at = np.repeat(first[word] - (over.cumsum() - over), over) + np.arange(over.sum())
    key = [(np.repeat(text, over) << BITS) | flat[at]]
    if pairs and len(word) > 1:
        whole, same = flat[first[word]], text[1:] == text[:-1]
        both = (whole[:-1] * PRIME + whole[1:]) & MASK
        key.append((text[1:][same] << BITS) | both[same])
    found, count = np.unique(np.concatenate(key), return_counts=True)
    length = np.bincount(found >> BITS, minlength=len(texts))
    return Counted((found & MASK).astype(np.int32), count.astype(np.int32), length)


def inverse_frequency(documents: Int[np.ndarray, "F"], over: int) -> Float[np.ndarray, "F"]:
    """ln((1 + n) / (1 + df)) + 1 for what stands in df of n = `over` texts (Spärck Jones 1972, smoothed as
    scikit-learn has it): what stands in all texts keeps the weight 1."""
    return np.log((1 + over) / (1 + documents)) + 1
