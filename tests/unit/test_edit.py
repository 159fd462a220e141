"""Edit distance and error rates against jiwer and against a plain recursion."""

from __future__ import annotations

import functools
import random

import jiwer
import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.edit import bootstrap, character_error, edits, word_error

WORDS = ["one", "two", "three", "four"]


def sentences(count: int, seed: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    want = [" ".join(rng.choices(WORDS, k=rng.randint(1, 7))) for _ in range(count)]
    got = []
    for text in want:
        words = [rng.choice(WORDS) if rng.random() < 0.2 else word for word in text.split() if rng.random() < 0.9]
        got.append(" ".join(words + rng.choices(WORDS, k=rng.randint(0, 2) * (rng.random() < 0.3))))
    return want, got


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_jiwer(seed: int) -> None:
    want, got = sentences(40, seed)
    words, signs = word_error(want, got, keyed(0)), character_error(want, got, keyed(0))
    assert words.value == pytest.approx(100 * jiwer.wer(want, got))
    assert signs.value == pytest.approx(100 * jiwer.cer(want, got))
    assert words.over == sum(len(text.split()) for text in want)
    assert words.low <= words.value <= words.high
    theirs = jiwer.process_words(want, got)
    assert words.edits.total == theirs.substitutions + theirs.deletions + theirs.insertions
    assert words.edits.missed - words.edits.added == theirs.deletions - theirs.insertions


def test_edits_against_a_recursion() -> None:
    @functools.cache
    def distance(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))

    rng = random.Random(1)
    for _ in range(200):
        a, b = ("".join(rng.choices("abc", k=rng.randint(0, 6))) for _ in range(2))
        assert edits(a, b).total == distance(a, b)
    assert edits("abc", "abc") == (0, 0, 0)
    assert edits("abc", "ac") == (0, 1, 0)
    assert edits("abc", "axc") == (1, 0, 0)
    assert edits("", "ab") == (0, 0, 2)


def test_the_interval_covers_what_other_draws_give() -> None:
    """Of samples from one rate, about 95 of 100 intervals hold it."""
    rng, held = keyed("coverage"), 0
    for _ in range(200):
        length = torch.randint(2, 9, (80,), generator=rng)
        wrong = torch.binomial(length.double(), torch.full((80,), 0.2, dtype=torch.float64), generator=rng).long()
        low, high = bootstrap(wrong, length, rng, 300)
        held += low <= 20 <= high
    assert 175 <= held <= 199
    assert bootstrap(torch.zeros(5, dtype=torch.long), torch.full((5,), 20), rng) == (0.0, 3.0)
