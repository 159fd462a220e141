"""Sampling against brute force and against how often each token comes; contexts that are full; pieces of characters."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from milestones.core.source import keyed
from milestones.parts.sampling import Logits, Onward, drawn, filtered, sampled, spelled


def slowly(logits: list[float], temperature: float, top_k: int, top_p: float) -> list[float]:
    """The chances by the definitions, one row, with the nucleus searched among all sets."""
    everyone = range(len(logits))
    if temperature == 0:
        best = max(everyone, key=lambda v: (logits[v], -v))
        return [float(v == best) for v in everyone]
    weight = [math.exp((one - max(logits)) / temperature) for one in logits]
    first = sorted(everyone, key=lambda v: (-weight[v], v))
    stay = set(first[: top_k or len(first)])
    total = sum(weight[v] for v in stay)
    if top_p < 1:
        sets = (group for size in range(1, len(stay) + 1) for group in itertools.combinations(sorted(stay), size))
        enough = [group for group in sets if sum(weight[v] for v in group) / total >= top_p - 1e-12]
        size = min(map(len, enough))
        stay = set(max((g for g in enough if len(g) == size), key=lambda g: sum(weight[v] for v in g)))
        total = sum(weight[v] for v in stay)
    return [weight[v] / total if v in stay else 0.0 for v in everyone]


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 3, 7, 20])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5, 1e-6])
def test_chances_are_those_of_the_definitions(temperature: float, top_k: int, top_p: float) -> None:
    for row in 2 * torch.randn(5, 7, generator=keyed(temperature, top_k, top_p)):
        found = filtered(row.numpy(), temperature, top_k, top_p)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, slowly(row.tolist(), temperature, top_k, top_p), rtol=1e-6, atol=1e-9)


def test_of_equal_chances_the_first_stay() -> None:
    logits = np.array([1.0, 2.0, 2.0, 1.0, 2.0])
    assert filtered(logits, 0.0, 0, 1.0).tolist() == [0, 1, 0, 0, 0]
    assert filtered(logits, 1.0, 2, 1.0).tolist() == [0, 0.5, 0.5, 0, 0]
    assert filtered(np.zeros(4), 1.0, 3, 0.5).nonzero()[0].tolist() == [0, 1]  # of a third each


def test_any_temperature_gives_chances() -> None:
    logits = np.array([3.0, 3.0, -1e4, 2.0], np.float32)
    for temperature in (1e-305, 1e-30, 1e-3, 1e30):
        found = filtered(logits, temperature, 0, 1.0)
        assert np.isfinite(found).all() and found.sum() == pytest.approx(1)
    assert filtered(logits, 1e-305, 0, 1.0).tolist() == [0.5, 0.5, 0, 0]
    np.testing.assert_allclose(filtered(logits, 1e30, 0, 1.0), 0.25)
    assert filtered(logits, 1e-305, 3, 0.6).tolist() == [0.5, 0.5, 0, 0]


def test_what_was_given_is_left_as_it_was() -> None:
    logits = torch.randn(6, generator=keyed("kept"), dtype=torch.float64).numpy()
    before = logits.copy()
    filtered(logits, 0.7, 2, 0.5)
    assert np.array_equal(logits, before)


def test_what_is_no_number_is_not_drawn_from() -> None:
    for wrong in (math.nan, math.inf):
        with pytest.raises(AssertionError):
            filtered(np.array([0.0, wrong, 1.0]), 0.8, 0, 1.0)


@pytest.mark.parametrize("kinds", [1, 2, 65, 300])
def test_it_draws_what_pytorch_draws(kinds: int) -> None:
    mine, other = keyed("drawn", kinds), keyed("drawn", kinds)
    for _ in range(200):
        chance = torch.rand(kinds, generator=keyed("chance", kinds), dtype=torch.float64)
        chance[: kinds // 3] = 0
        chance /= chance.sum()
        assert drawn(chance.numpy(), mine) == int(torch.multinomial(chance, 1, generator=other))


class Echo:
    """A model of a table: what comes next depends on the last token and on how many it has read."""

    def __init__(self, context: int = 0) -> None:
        self.table = 2 * torch.randn(5, 3, 5, generator=keyed("echo")).numpy()
        self.context, self.began = context, list[list[int]]()

    def begin(self, token: Tensor) -> tuple[Logits, Onward]:
        read: list[int] = []

        def onward(*tokens: int) -> Logits:
            read.extend(tokens)
            assert not self.context or len(read) <= self.context, "more than it holds"
            return self.table[read[-1], len(read) % 3]

        self.began.append(token.tolist())
        return onward(*self.began[-1]), onward


def said(model: Echo, prompt: list[int], count: int, temperature: float = 1.0, context: int = 0,
          seed: int = 0) -> list[int]:  # fmt: skip
    return list(sampled(model, torch.tensor(prompt), count, temperature, 0, 1.0, keyed(seed), context))


def test_greedy_goes_where_the_table_says() -> None:
    model, text = Echo(), [2, 0]
    for _ in range(12):
        text.append(int(model.table[text[-1], len(text) % 3].argmax()))
    assert said(model, [2, 0], 12, temperature=0.0) == text[2:]
    assert model.began == [[2, 0]], "read once; then token by token"


def test_the_same_seed_says_the_same() -> None:
    assert said(Echo(), [1], 30) == said(Echo(), [1], 30)
    assert said(Echo(), [1], 30) != said(Echo(), [1], 30, seed=1)
    assert said(Echo(), [1], 30)[:10] == said(Echo(), [1], 10)


def test_tokens_come_as_often_as_their_chance() -> None:
    """Chi-square of the first token over 4,000 texts: 4 degrees of freedom, 23.5 is passed once in 10,000."""
    model, rng, count = Echo(), keyed("often"), 4000
    expected = filtered(model.table[3, 1], 0.8, 4, 0.95)
    found = Counter(next(sampled(model, torch.tensor([3]), 1, 0.8, 4, 0.95, rng, 0)) for _ in range(count))
    assert all(expected[token] > 0 for token in found)
    there = [v for v in range(5) if expected[v] > 0]
    assert 2 <= len(there) < 5
    assert sum((found[v] - count * float(expected[v])) ** 2 / (count * float(expected[v])) for v in there) < 23.5


@pytest.mark.parametrize("context", [1, 2, 5, 8])
def test_a_full_context_begins_again_from_its_last_half(context: int) -> None:
    model, prompt = Echo(context), [0, 1, 2, 3]
    text = [*prompt, *said(model, prompt, 21, context=context)]
    read = min(len(prompt), context)
    assert model.began[0] == prompt[-context:]
    at, half = len(prompt) + context - read + 1, max(1, context // 2)
    for began in model.began[1:]:
        assert began == text[at - half : at]
        at += context - half + 1
    assert len(text) == 25 and len(model.began) > 2


def test_nothing_is_computed_that_nobody_asks_for() -> None:
    model = Echo(2)
    assert said(model, [1], 0, context=2) == []
    assert len(said(model, [1, 2], 1, context=2)) == 1
    assert model.began == [[1], [1, 2]]
    steps = sampled(Echo(), torch.tensor([1]), 10**9, 1.0, 0, 1.0, keyed(0), 0)
    assert len([next(steps) for _ in range(3)]) == 3, "one by one, without end"


def test_characters_come_whole() -> None:
    text = "aé€😀b"
    found = list(spelled(list(text.encode()), lambda token: bytes([token])))
    assert found == ["a", "é", "€", "😀", "b"]
    assert "".join(spelled([0x80, 0xE2, 0x82, 0x41, 0xF0, 0x9F], lambda token: bytes([token]))) == "\ufffd\ufffdA\ufffd"
    assert list(spelled([0, 1], lambda token: ("ab", " cd")[token].encode())) == ["ab", " cd"]
