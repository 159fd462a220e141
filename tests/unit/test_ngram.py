"""N-grams: chances that sum to one, a hand-reckoned case, and what was forgotten."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from milestones.parts.ngram import NGram, log_chances, packed, unpacked

TEXTS = [(1, 2, 1), (1, 2, 2), (2, 1), (3,), ()]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_chances_sum_to_one(order: int) -> None:
    model = NGram.of(TEXTS, order, 4)
    for context in [(), (1,), (1, 2), (4,), (3, 3, 3), (1, 2, 1, 2)]:
        assert sum(map(math.exp, model.row(context))) == pytest.approx(1)
        assert min(model.row(context)) > -20, "class 4 never occurs, and is still possible"
        one_by_one = [math.log(model.chance(context, one)) for one in range(5)]
        assert one_by_one == pytest.approx(model.row(context))


def test_by_hand() -> None:
    """Witten and Bell, reckoned by hand for two texts: 'a b' and 'a'."""
    model = NGram.of([(1, 2), (1,)], 2, 2)
    # One at a time: a 2, b 1, end 2 of 5, three kinds; all alike: 1/3.
    one = [(2 + 3 / 3) / 8, (2 + 3 / 3) / 8, (1 + 3 / 3) / 8]
    assert [math.exp(v) for v in NGram.of([(1, 2), (1,)], 1, 2).row(())] == pytest.approx(one)
    # After a: b once, the end once: two kinds.
    after = [(1 + 2 * one[0]) / 4, 2 * one[1] / 4, (1 + 2 * one[2]) / 4]
    assert [math.exp(v) for v in model.row((1,))] == pytest.approx(after)
    start = [1 * one[0] / 3, (2 + 1 * one[1]) / 3, 1 * one[2] / 3]
    assert [math.exp(v) for v in model.row(())] == pytest.approx(start)
    assert model.log_chance((1,)) == pytest.approx(math.log(start[1] * after[0]))
    assert model.perplexity([(1,)]) == pytest.approx((start[1] * after[0]) ** -0.5)


def test_more_context_foretells_better() -> None:
    texts = [(1, 2, 3, 4) * 3, (4, 3, 2, 1) * 3] * 10
    scores = [NGram.of(texts, order, 4).perplexity(texts) for order in (1, 2, 3)]
    assert scores[0] > 1.5 * scores[1] > 2 * scores[2]


def test_the_rarest_are_forgotten_and_json_brings_it_back() -> None:
    whole, less = NGram.of(TEXTS, 3, 3), NGram.of(TEXTS, 3, 3, most=6)
    assert len(less.counts) == 6 < len(whole.counts)
    assert min(less.counts.values()) >= sorted(whole.counts.values(), reverse=True)[5]
    assert sum(map(math.exp, less.row((1, 2)))) == pytest.approx(1)
    again = unpacked(json.loads(json.dumps(packed(whole, "abc"))), "abc")
    assert again.counts == whole.counts
    assert again.row((1, 2)) == whole.row((1, 2))


@pytest.mark.parametrize(
    "bad",
    [{}, {"order": 0, "counts": {}}, {"order": 2, "counts": {"x": 1}}, {"order": 2, "counts": {"abc": 1}},
     {"order": 2, "counts": {"a": "many"}}, {"order": 2, "counts": {"a": 0}}],
)  # fmt: skip
def test_what_is_no_model_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"order|signs|counts|literal"):
        unpacked(bad, "abc")


@pytest.mark.parametrize("order", [1, 2, 4])
def test_all_at_once_says_what_counting_one_by_one_says(order: int) -> None:
    rng = np.random.default_rng(0)
    learned, told = (np.where(rng.random(n) < 0.7, np.arange(n) % 3, rng.integers(0, 5, n)) for n in (400, 60))
    found = log_chances(learned, told, 5, order)
    text = [*learned.tolist(), *told.tolist()]
    for k in range(60):
        chance = 1 / 5
        for size in range(order):
            context = text[400 + k - size : 400 + k]
            after = [text[i + size] for i in range(400 - size) if text[i : i + size] == context]
            if after:
                kinds = len(set(after))
                chance = (after.count(text[400 + k]) + kinds * chance) / (len(after) + kinds)
        assert found[k] == pytest.approx(math.log(chance))
