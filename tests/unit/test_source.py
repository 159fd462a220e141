"""Batches as a pure function of the step, against a plain count."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from milestones.core.source import Held, Place, key, keyed

CPU = torch.device("cpu")


class Items(NamedTuple):
    number: torch.Tensor
    double: torch.Tensor


def held(n: int, seed: int = 0, rank: int = 0, of: int = 1, noisy: bool = False) -> Held[Items]:
    def noise(items: Items, rng: torch.Generator) -> Items:
        return Items(items.number + torch.rand(len(items.number), generator=rng), items.double)

    numbers = torch.arange(float(n))
    return Held(Items(numbers, 2 * numbers), Place(CPU, seed, rank, of), "numbers", "train", noise if noisy else None)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 90), st.integers(0, 3))
def test_each_example_once_an_epoch(n: int, size: int, seed: int) -> None:
    """Any size: the stream of batches is one permutation after another."""
    stream = torch.cat([held(n, seed).batch(step, size).number for step in range(-(-3 * n // size))]).tolist()
    for epoch in range(3):
        assert sorted(stream[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_order_differs_by_epoch_and_seed() -> None:
    epochs = [tuple(held(30, seed).batch(step, 30).number.tolist()) for seed in range(3) for step in range(3)]
    assert len(set(epochs)) == 9


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 20))
def test_shares_make_the_batch(of: int, each: int, step: int) -> None:
    whole = held(17, noisy=True).batch(step, of * each)
    shares = [held(17, rank=rank, of=of, noisy=True).batch(step, of * each) for rank in range(of)]
    assert all(len(share.number) == each for share in shares)
    assert torch.equal(torch.cat([share.number for share in shares]), whole.number)
    assert torch.equal(torch.cat([share.double for share in shares]), whole.double)


def test_fields_stay_together() -> None:
    batch = held(50).batch(3, 20)
    assert torch.equal(batch.double, 2 * batch.number)


def test_augmentation_is_keyed_by_the_step_and_not_in_sweeps() -> None:
    torch.manual_seed(0)
    a = held(10, noisy=True).batch(4, 10).number
    torch.manual_seed(1)
    assert torch.equal(held(10, noisy=True).batch(4, 10).number, a)
    assert Counter(held(10, noisy=True).batch(4, 10).number.floor().tolist()) == Counter(range(10))
    assert not torch.equal(held(10, noisy=True).batch(5, 10).number.frac(), a.frac()), "not only the order differs"
    assert torch.cat([b.number for b in held(10, noisy=True).sweep(3)]).tolist() == list(range(10))


def test_sweep_of_any_size() -> None:
    for size in (1, 3, 10, 99):
        found = [b.number.tolist() for b in held(10).sweep(size)]
        assert [x for part in found for x in part] == list(range(10))
        assert all(len(part) == size for part in found[:-1])


def test_keys_are_the_same_on_all_machines() -> None:
    assert key(0, "order", 3) == 228291028133782092
    assert key(0, "a") != key(0, "b") != key(1, "b")
    assert 0 <= key("x") < 2**63
    assert torch.equal(torch.rand(3, generator=keyed(1, "x")), torch.rand(3, generator=keyed(1, "x")))
