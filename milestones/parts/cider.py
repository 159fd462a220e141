"""How near a sentence comes to those that people would have said: BLEU and CIDEr-D, over words already cut apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

ORDER = 4  # words of the longest runs compared

Words = Sequence[Any]
"""Or their numbers."""
Grams = Counter[tuple[Any, ...]]


def grams(words: Words, length: int) -> Grams:
    """How often each run of so many words stands in a sentence."""
    return Counter(tuple(words[at : at + length]) for at in range(len(words) - length + 1))


class Matches(NamedTuple):
    """What BLEU counts of each sentence; sums over sentences give that of a whole."""

    met: Int[np.ndarray, "N 4"]  # runs of 1 to 4 words that a reference has, too, as often as there at most
    runs: Int[np.ndarray, "N 4"]
    said: Int[np.ndarray, "N"]  # words
    meant: Int[np.ndarray, "N"]  # words of the reference that is nearest in length; of two the shorter

    def take(self, index: Int[np.ndarray, "M"]) -> Matches:
        """Those of some sentences, as often as they are named."""
        return Matches(*(field[index] for field in self))


def matches(said: Sequence[Words], meant: Sequence[Sequence[Words]]) -> Matches:
    """What BLEU counts of sentences "N", each with its references."""
    met, runs = np.zeros((2, len(said), ORDER), np.int64)
    for row, (words, those) in enumerate(zip(said, meant, strict=True)):
        for n in range(ORDER):
            own, most = grams(words, n + 1), Counter[tuple[Any, ...]]()
            for one in those:
                most |= grams(one, n + 1)
            met[row, n], runs[row, n] = (own & most).total(), own.total()
    near = [min((abs(len(one) - len(words)), len(one)) for one in those)[1]
            for words, those in zip(said, meant, strict=True)]  # fmt: skip
    return Matches(met, runs, np.array([len(words) for words in said]), np.array(near))


def bleu(found: Matches) -> float:
    """BLEU-4 of all sentences together, percent: the geometric mean of the shares of runs that are met, times a penalty
    where less was said than meant (Papineni et al. 2002, equations 1 to 4); not smoothed."""
    met, runs, said, meant = (field.sum(0) for field in found)
    if not met.all():
        return 0.0
    brevity = min(0.0, 1 - float(meant) / float(said))
    return 100 * math.exp(brevity + float(np.log(met / runs).mean()))


def cider_d(said: Sequence[Words], meant: Sequence[Sequence[Words]], spread: float = 6.0) -> Float[np.ndarray, "N"]:
    """CIDEr-D of each sentence, 0 to 10: the likeness of its runs of words to those of each reference, a run counting
    the more the fewer pictures it was said of (Vedantam, Zitnick & Parikh 2015, section 5: runs clipped, unequal
    lengths punished with a Gaussian of `spread` words). The mean is quoted times 100."""
    pictures = Counter[tuple[Any, ...]]()
    for those in meant:
        pictures.update({gram for one in those for n in range(ORDER) for gram in grams(one, n + 1)})
    whole = math.log(len(meant))

    def weighed(words: Words) -> list[dict[tuple[Any, ...], float]]:
        runs = [grams(words, n + 1) for n in range(ORDER)]
        return [
            {gram: count * (whole - math.log(max(1, pictures[gram]))) for gram, count in own.items()} for own in runs
        ]

    found = np.zeros(len(said))
    for row, (words, those) in enumerate(zip(said, meant, strict=True)):
        own = weighed(words)
        for one in those:
            gauss = math.exp(-((len(words) - len(one)) ** 2) / (2 * spread**2))
            found[row] += gauss * sum(map(_likeness, own, weighed(one))) / ORDER / len(those)
    return 10 * found


def _likeness(own: dict[tuple[Any, ...], float], other: dict[tuple[Any, ...], float]) -> float:
    """The cosine of two weighed sets of runs, no run counting more than the reference has it."""
    lengths = math.sqrt(sum(v * v for v in own.values()) * sum(v * v for v in other.values()))
    product = sum(min(own[gram], weight) * weight for gram, weight in other.items() if gram in own)
    return product / lengths if lengths else 0.0
