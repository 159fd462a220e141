"""Byte pairs against the algorithm of the paper, word for word; and that nothing is lost."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from milestones.parts.bpe import BYTES, Vocabulary, learn, pieces, unspelled

TEXT = ["low lower lowest", "newer newest wider", "new low", "the widest, the newest; Ä ä ß 12 1984-03-12"] * 3


def by_counting(texts: list[str], size: int) -> list[tuple[int, int]]:
    """As the paper's listing does it: all pairs counted anew for each merge."""
    words = Counter(tuple(piece.encode()) for text in texts for piece in pieces(text))
    merges: list[tuple[int, int]] = []
    while len(merges) < size:
        count: Counter[tuple[int, int]] = Counter()
        for word, often in words.items():
            for pair in itertools.pairwise(word):
                count[pair] += often
        if not count or max(count.values()) < 2:
            break
        best = min(count, key=lambda pair: (-count[pair], pair))
        new, merged = BYTES + len(merges), Counter()
        for word, often in words.items():
            out, k = [], 0
            while k < len(word):
                if word[k : k + 2] == best:
                    out.append(new)
                    k += 2
                else:
                    out.append(word[k])
                    k += 1
            merged[tuple(out)] += often
        words = merged
        merges.append(best)
    return merges


@pytest.mark.parametrize("seed", range(4))
def test_merges_are_those_of_the_paper(seed: int) -> None:
    rng = random.Random(seed)
    texts = TEXT if not seed else [
        " ".join("".join(rng.choices("aabbc", k=rng.randint(1, 9))) for _ in range(8)) for _ in range(20)
    ]  # fmt: skip
    found = learn(texts, 60)
    assert found == by_counting(texts, 60)
    assert len(found) > 15


@pytest.mark.parametrize(
    "text", ["", "a", "low lower", "unseen Wörter: 東京 🙂", "  two  blanks ", "tab\tand\nline", "a_b__c"]
)
def test_nothing_is_lost(text: str) -> None:
    words = Vocabulary(learn(TEXT, 100), ["de", "es"])
    assert words.decode(words.encode(text)) == text
    assert all(words.first <= token < len(words) for token in words.encode(text))


def test_what_is_frequent_is_one_token() -> None:
    words = Vocabulary(learn(TEXT, 100))
    assert len(words.encode("newest")) == 1
    assert words.shown(words.encode("newest")[0]) == "_newest"
    assert len(words.encode("1984")) == 4, "digits stay apart"
    assert words.encode("low low") == 2 * words.encode("low")


def test_written_and_read_again() -> None:
    merges = learn(TEXT, 100)
    assert unspelled(Vocabulary(merges).spell()) == merges
    assert unspelled("") == []


def test_marks_have_tokens_of_their_own() -> None:
    words = Vocabulary([], ["de", "es"])
    assert (words.mark("de"), words.mark("es"), words.first, len(words)) == (3, 4, 5, 261)
    assert words.decode([1, 3, *words.encode("x"), 2, 0]) == "x"
    assert [words.shown(k) for k in (1, 4, 5 + 0xC3)] == ["<s>", "<es>", "c3"]
    assert words.decode([5 + 0xC3]) == "�"
