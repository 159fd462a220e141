"""Language models of n-grams, interpolated: which sign, or word, follows which."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Integer

END = 0  # the class that ends a text; the same number before its start


class NGram:
    """The chance of a class after the last `order - 1` classes, which are 1 to `classes`; 0 is the end of a text.

    Interpolated as Witten & Bell (1991) have it: what a context of n - 1 classes was followed by, and, with the weight
    of how many different ones that were, what the context without its first class says; at last all alike.
    """

    def __init__(self, order: int, classes: int, counts: Mapping[tuple[int, ...], int]) -> None:
        assert order >= 1
        self.order, self.classes, self.counts = order, classes, dict(counts)
        self._after: dict[tuple[int, ...], dict[int, int]] = {}
        for gram, count in self.counts.items():
            self._after.setdefault(gram[:-1], {})[gram[-1]] = count
        self._total = {context: sum(after.values()) for context, after in self._after.items()}
        self._rows: dict[tuple[int, ...], list[float]] = {}

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]], order: int, classes: int, most: int | None = None) -> NGram:
        """Counted in `texts`; of more than `most` n-grams, the longest of the rarest are forgotten."""
        counts: Counter[tuple[int, ...]] = Counter()
        for text in texts:
            padded = (*[END] * (order - 1), *text, END)
            for end in range(order - 1, len(padded)):
                for n in range(1, order + 1):
                    counts[padded[end - n + 1 : end + 1]] += 1
        if most is not None and len(counts) > most:
            kept = sorted(counts, key=lambda gram: (-counts[gram], len(gram), gram))[:most]
            counts = Counter({gram: counts[gram] for gram in kept})
        return cls(order, classes, counts)

    def row(self, context: Sequence[int]) -> list[float]:
        """The log-chance of each class, 0 to `classes`, after `context` (all of the text so far), in nats."""
        return self._row(self._last(context))

    def chance(self, context: Sequence[int], one: int) -> float:
        """The chance of one class after `context`: of many classes, as words are, a whole row would take long."""
        found, last = 1 / (self.classes + 1), self._last(context)
        for begin in range(len(last), -1, -1):
            if after := self._after.get(last[begin:]):
                kinds = len(after)
                found = (after.get(one, 0) + kinds * found) / (self._total[last[begin:]] + kinds)
        return found

    def _last(self, context: Sequence[int]) -> tuple[int, ...]:
        """The `order - 1` classes that count; before a text stands its end."""
        padded = (*[END] * (self.order - 1), *context[max(0, len(context) - self.order + 1) :])
        return padded[len(padded) - self.order + 1 :]

    def _row(self, context: tuple[int, ...]) -> list[float]:
        found = self._rows.get(context)
        if found is None:
            size = self.classes + 1
            less = [math.exp(value) for value in self._row(context[1:])] if context else [1 / size] * size
            after = self._after.get(context, {})
            kinds, total = len(after), self._total.get(context, 0)
            chance = [kinds * value / (kinds + total) for value in less] if after else less
            for one, count in after.items():
                chance[one] += count / (kinds + total)
            found = self._rows[context] = [math.log(value) for value in chance]
        return found

    def log_chance(self, text: Sequence[int]) -> float:
        """The log-chance of a whole text, its end included, in nats."""
        whole = [*text, END]
        return sum(self.row(whole[:at])[whole[at]] for at in range(len(whole)))

    def perplexity(self, texts: Sequence[Sequence[int]]) -> float:
        """How many classes, all alike, would be as hard to foretell: over each sign and end of `texts`."""
        total = sum(self.log_chance(text) for text in texts)
        return math.exp(-total / max(1, sum(len(text) + 1 for text in texts)))


def packed(model: NGram, signs: Sequence[str]) -> dict[str, object]:
    """The model of single signs for JSON: each n-gram as its signs, the end as a line's end."""
    spelled = ["\n", *signs]
    return {"order": model.order, "counts": {"".join(spelled[k] for k in gram): n for gram, n in model.counts.items()}}


def unpacked(content: Mapping[str, object], signs: Sequence[str]) -> NGram:
    """The model that `packed` wrote. ValueError: it is none."""
    number = {sign: k for k, sign in enumerate(["\n", *signs])}
    order, counts = content.get("order"), content.get("counts")
    if type(order) is not int or not 1 <= order <= 20 or not isinstance(counts, Mapping):
        raise ValueError("no order and counts")
    try:
        grams = {tuple(number[sign] for sign in str(text)): int(count) for text, count in counts.items()}
    except (KeyError, TypeError):
        raise ValueError("signs that are none of the model's") from None
    if any(count < 1 or not 1 <= len(gram) <= order for gram, count in grams.items()):
        raise ValueError("counts from 1, of n-grams up to the order")
    return NGram(order, len(signs), grams)


def log_chances(learned: Integer[np.ndarray, "N"], told: Integer[np.ndarray, "M"], classes: int, order: int
                ) -> Float[np.ndarray, "M"]:  # fmt: skip
    """The log-chance of each class of `told` after those before it, in nats, by n-grams up to `order` counted in
    `learned`: Witten & Bell as in `NGram`, but all at once, of one endless text without a class for its end. Classes
    are 0 to `classes` - 1. What stands before `told` is taken to be the end of `learned`."""
    n, x = len(learned), np.concatenate([learned, told]).astype(np.int64)
    chance, context = np.full(len(told), 1 / classes), np.zeros(len(x), np.int64)  # of no class before, all are alike
    for _ in range(order):
        grams, number = np.unique(context * classes + x, return_inverse=True)  # each n-gram that occurs, numbered
        often = np.bincount(number[:n], minlength=len(grams))
        before = grams // classes  # the context of each
        total = np.bincount(before, often)
        kinds = np.bincount(before, often > 0)
        here = context[n:]
        met = kinds[here] > 0
        mixed = (often[number[n:]] + kinds[here] * chance) / np.maximum(total[here] + kinds[here], 1)
        chance = np.where(met, mixed, chance)
        context = np.concatenate([[len(grams)], number[:-1]])  # an n-gram is the context of what comes after it
    return np.log(chance)
