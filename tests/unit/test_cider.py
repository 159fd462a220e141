"""BLEU against sacrebleu, CIDEr-D against cases made by hand and a plain loop."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from milestones.parts.cider import bleu, cider_d, matches

WORDS = ["a", "two", "small", "large", "red", "green", "circle", "square", "left", "right", "of", "above"]


def sentences(count: int, rng: random.Random) -> list[list[str]]:
    return [rng.choices(WORDS, k=rng.randint(4, 12)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_bleu_is_that_of_sacrebleu(seed: int) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    rng = random.Random(seed)
    meant = [sentences(3, rng) for _ in range(40)]
    said = [[word if rng.random() < 0.8 else rng.choice(WORDS) for word in those[0]] for those in meant]
    said[0] = said[0][:3]  # shorter than the longest runs
    streams = [[" ".join(those[k]) for those in meant] for k in range(3)]
    theirs = sacrebleu.corpus_bleu([" ".join(one) for one in said], streams, smooth_method="none", tokenize="none",
                                   force=True)  # fmt: skip
    assert 20 < theirs.score < 95
    assert bleu(matches(said, meant)) == pytest.approx(theirs.score, abs=1e-6)


def test_bleu_of_what_is_right_is_100_and_of_a_part_is_less() -> None:
    one = ["a", "small", "red", "circle", "left", "of", "two", "large", "green", "squares"]
    assert bleu(matches([one], [[one, one[:4]]])) == pytest.approx(100)
    assert bleu(matches([one[:5]], [[one]])) == pytest.approx(100 * math.exp(1 - 2))
    assert bleu(matches([["red"]], [[one]])) == 0
    assert bleu(matches([one], [[["blue"] * 9]])) == 0


def test_matches_are_counted_as_often_as_a_reference_has_them() -> None:
    found = matches([["the"] * 7], [[["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat"]]])
    assert found.met[0].tolist() == [2, 0, 0, 0]  # the paper's example
    assert found.runs[0].tolist() == [7, 6, 5, 4]
    assert (int(found.said[0]), int(found.meant[0])) == (7, 6)
    twice = found.take(np.array([0, 0]))
    assert twice.met.sum(0).tolist() == [4, 0, 0, 0]


def plain_cider(said: list[str], meant: list[str], all_meant: list[list[list[str]]]) -> float:
    """Of one sentence and one reference, as the paper writes it."""
    total = 0.0
    for n in range(1, 5):

        def cut(words: list[str], n: int = n) -> Counter[str]:
            return Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))

        def rare(gram: str, n: int = n) -> float:
            seen = sum(any(gram in cut(one, n) for one in those) for those in all_meant)
            return math.log(len(all_meant) / max(1, seen))

        a, b = cut(said), cut(meant)
        top = sum(min(a[g] * rare(g), b[g] * rare(g)) * b[g] * rare(g) for g in b)
        norm = math.sqrt(sum((a[g] * rare(g)) ** 2 for g in a)) * math.sqrt(sum((b[g] * rare(g)) ** 2 for g in b))
        total += top / norm if norm else 0.0
    return 10 * total / 4 * math.exp(-((len(said) - len(meant)) ** 2) / 72)


def test_cider_is_that_of_a_plain_loop() -> None:
    rng = random.Random(1)
    meant = [sentences(2, rng) for _ in range(12)]
    said = [[word if rng.random() < 0.7 else rng.choice(WORDS) for word in those[0]] for those in meant]
    found = cider_d(said, meant)
    for one, those, value in zip(said, meant, found, strict=True):
        expected = sum(plain_cider(one, other, meant) for other in those) / 2
        assert value == pytest.approx(expected)
    assert found.max() > 1


def test_cider_of_cases_made_by_hand() -> None:
    meant = [[["a", "red", "circle", "over", "there"]], [["a", "blue", "square", "down", "below"]]]
    assert cider_d([meant[0][0], meant[1][0]], meant) == pytest.approx([10, 10])
    assert cider_d([["a"], ["nothing", "like", "it", "at", "all"]], meant) == pytest.approx([0, 0])  # "a" is of both
    short, full = cider_d([["red", "circle"], meant[1][0]], meant)
    grams_of = [4, 4, 3, 2]  # that only this picture has: of one word all but "a", and all longer ones
    expected = (2 / math.sqrt(2 * grams_of[0]) + 1 / math.sqrt(grams_of[1])) / 4 * 10 * math.exp(-9 / 72)
    assert (short, full) == (pytest.approx(expected), pytest.approx(10))
