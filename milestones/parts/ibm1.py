"""Translation before nets learned it: a table of words (IBM model 1, Brown et al. 1993) and a model of the target's
n-grams, searched together. What the nets of 2014 replaced, in its smallest form."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from .ngram import END, NGram

NONE = 0  # the empty source word, which may say any word
Text = Sequence[int]


def word_table(sources: Sequence[Text], targets: Sequence[Text], rounds: int = 8) -> dict[tuple[int, int], float]:
    """The chance of each target word given a source word with which it stands in some pair, by expectation and
    maximisation (equations 15 to 17); NONE stands in each source. Words are numbers from 1."""
    ones = [np.array([NONE, *source]) for source in sources]
    twos = [np.asarray(target, np.int64) for target in targets]
    width = 1 + max(int(two.max(initial=0)) for two in twos)
    # A cell for each word of a target with each of its source; equal pairs of words share an entry of the table.
    cell = np.concatenate([(one[None] * width + two[:, None]).ravel() for one, two in zip(ones, twos, strict=True)])
    group = np.repeat(np.arange(sum(map(len, twos))), np.repeat([len(one) for one in ones], [len(two) for two in twos]))
    pair, entry = np.unique(cell, return_inverse=True)
    source = pair // width
    chance = np.full(len(pair), 1.0)
    for _ in range(rounds):
        part = chance[entry]
        part /= np.bincount(group, part)[group]  # how much each source word explains of this target word
        count = np.bincount(entry, part, len(pair))
        chance = count / np.bincount(source, count)[source]
    return {(int(p // width), int(p % width)): float(c) for p, c in zip(pair, chance, strict=True)}


class WordByWord:
    """Translates by its table and its n-grams: each source word becomes one word or none, in an order that may leave
    its own by a few places; the best beginnings are kept (Koehn, Och & Marcu 2003, with single words)."""

    def __init__(self, sources: Sequence[Text], targets: Sequence[Text], size: int, order: int = 3, rounds: int = 8,
                 choices: int = 6) -> None:  # fmt: skip
        self.order, self.words = order, NGram.of(targets, order, size)
        table: dict[int, list[tuple[float, int]]] = {}
        for (one, two), chance in word_table(sources, targets, rounds).items():
            table.setdefault(one, []).append((chance, two))
        self.table = {one: heapq.nlargest(choices, those) for one, those in table.items()}

    def translate(self, source: Text, width: int = 8, reach: int = 2, silent: float = 0.05, far: float = 0.3,
                  bonus: float = 0.6) -> list[int]:  # fmt: skip
        """The likeliest target that is found. `reach`: how far ahead of the first word left a word is taken;
        `silent`: the chance that a source word says nothing; `far`: nats for each place of a jump; `bonus`: nats for
        each word said, since each costs. A source word that is in no table is left out."""
        known = [word for word in source if word in self.table]
        # A beginning: its score, words said, which source words are done (bits), where the last one stood.
        stack = [(0.0, (END,) * (self.order - 1), 0, -1)]
        for _ in known:
            grown: dict[tuple[tuple[int, ...], int, int], tuple[float, tuple[int, ...], int, int]] = {}
            for score, said, done, last in stack:
                first = next(k for k in range(len(known)) if not done >> k & 1)
                for k in range(first, min(first + reach + 1, len(known))):
                    if done >> k & 1:
                        continue
                    here = score - far * abs(k - last - 1)
                    options = [(here + math.log(silent), said)]
                    for chance, word in self.table[known[k]]:
                        if chance > 0.01:
                            likely = math.log(chance) + math.log(self.words.chance(said, word)) + bonus
                            options.append((here + likely, (*said, word)))
                    for total, text in options:
                        key = text[1 - self.order :] if self.order > 1 else (), done | 1 << k, k
                        if key not in grown or grown[key][0] < total:
                            grown[key] = total, text, done | 1 << k, k
            stack = heapq.nlargest(width, grown.values())
        ended = [(score + math.log(self.words.chance(said, END)), said) for score, said, _, _ in stack]
        return list(max(ended)[1][self.order - 1 :])
