"""Edit distance, and the error rates of what was read: of words, of signs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


class Edits(NamedTuple):
    """The fewest changes that make the reference of what was read."""

    wrong: int  # taken for another
    missed: int  # in the reference alone
    added: int  # in the reading alone

    @property
    def total(self) -> int:
        """All of them: Levenshtein's distance."""
        return self.wrong + self.missed + self.added


def edits(reference: Sequence[Hashable], reading: Sequence[Hashable]) -> Edits:
    """The edits between two sequences (Levenshtein 1966), of equally few those with fewer wrong ones counted first."""
    before = [Edits(0, 0, j) for j in range(len(reading) + 1)]
    for i, want in enumerate(reference, 1):
        row = [Edits(0, i, 0)]
        for j, got in enumerate(reading, 1):
            if want == got:
                row.append(before[j - 1])
                continue
            wrong, missed, added = before[j - 1], before[j], row[j - 1]
            best = min(sum(wrong), sum(missed), sum(added))
            if sum(wrong) == best:
                row.append(Edits(wrong.wrong + 1, wrong.missed, wrong.added))
            elif sum(missed) == best:
                row.append(Edits(missed.wrong, missed.missed + 1, missed.added))
            else:
                row.append(Edits(added.wrong, added.missed, added.added + 1))
        before = row
    return before[-1]


class Rate(NamedTuple):
    """An error rate in percent, over all references together, with a 95 % interval over utterances."""

    value: float
    low: float
    high: float
    edits: Edits
    over: int  # words or signs of the references


def word_error(references: Sequence[str], readings: Sequence[str], rng: torch.Generator) -> Rate:
    """Edits of words for each word of the references: a sentence without a word counts what was added."""
    return error_rate([text.split() for text in references], [text.split() for text in readings], rng)


def character_error(references: Sequence[str], readings: Sequence[str], rng: torch.Generator) -> Rate:
    """Edits of signs, blanks included, for each sign of the references."""
    return error_rate([*references], [*readings], rng)


def error_rate(references: Sequence[Sequence[Hashable]], readings: Sequence[Sequence[Hashable]],
               rng: torch.Generator) -> Rate:  # fmt: skip
    """All edits over the length of all references, in percent; the interval is that of `bootstrap`."""
    each = [edits(want, got) for want, got in zip(references, readings, strict=True)]
    length = torch.tensor([len(want) for want in references])
    total = torch.tensor([one.total for one in each])
    over = max(1, int(length.sum()))
    low, high = bootstrap(total, length, rng)
    return Rate(100 * float(total.sum()) / over, low, high, Edits(*map(sum, zip(*each, strict=True))), over)


def bootstrap(edits: Int[Tensor, "N"], length: Int[Tensor, "N"], rng: torch.Generator, draws: int = 1000
              ) -> tuple[float, float]:  # fmt: skip
    """95 % interval, in percent, of the sum of `edits` over the sum of `length`: utterances are drawn with replacement
    (Bisani & Ney 2004). Without an edit its upper end is that of three in all words, as of a rate of none."""
    n = len(edits)
    if not int(edits.sum()):
        return 0.0, 100 * min(1.0, 3.0 / max(1, int(length.sum())))
    counts = torch.stack([torch.bincount(torch.randint(n, (n,), generator=rng), minlength=n) for _ in range(draws)])
    rates = 100 * (counts @ edits.long()).double() / (counts @ length.long()).double().clamp(min=1)
    low, high = torch.quantile(rates, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    value = 100 * float(edits.sum()) / max(1, int(length.sum()))
    return min(low, value), max(high, value)
