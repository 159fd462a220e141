"""Recurrent parts against PyTorch's packed sequences, and the source of ragged sequences."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from milestones.core.source import Place
from milestones.data.ragged import Flat, Ragged
from milestones.parts.recurrent import LSTM, flipped, inside, last

CPU = torch.device("cpu")


def test_flipped_by_hand_and_its_own_inverse() -> None:
    x, length = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7], [8, 0, 0, 0], [0, 0, 0, 0]]), torch.tensor([3, 4, 1, 0])
    found = flipped(x, length)
    assert found.tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [8, 0, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(flipped(found, length), x)
    deep = torch.randn(4, 4, 2, 3)
    assert torch.equal(flipped(deep, length)[0, 0], deep[0, 2])


@pytest.mark.parametrize("layers", [1, 2])
def test_both_directions_are_those_of_a_packed_net(layers: int) -> None:
    torch.manual_seed(0)
    mine, theirs = LSTM(3, 5, layers, both=True), nn.LSTM(3, 5, layers, batch_first=True, bidirectional=True)
    for k in range(layers):
        for nets, end in ((mine.forwards, ""), (mine.backwards, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_l{k}{end}").data.copy_(getattr(nets[k], f"{name}_l0"))
    x, length = torch.randn(4, 7, 3), torch.tensor([7, 2, 5, 1])
    packed = pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
    want, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    here = inside(length, 7)[..., None]
    assert torch.allclose(mine(x, length) * here, want, atol=1e-6)
    assert torch.allclose(last(want, length)[1], want[1, 1])


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    net = LSTM(3, 4, 2, both=True)
    x, length = torch.randn(2, 6, 3), torch.tensor([6, 4])
    other = x.clone()
    other[1, 4:] = 1e3
    assert torch.allclose(net(x, length)[1, :4], net(other, length)[1, :4])


def test_a_stream_in_pieces_is_the_whole() -> None:
    torch.manual_seed(0)
    net, x = LSTM(3, 4, 2), torch.randn(2, 9, 3)
    whole, end = net.stream(x)
    assert torch.allclose(whole, net(x, torch.tensor([9, 9])))
    parts, memory = [], None
    for piece in x.split(4, 1):
        said, memory = net.stream(piece, memory)
        parts.append(said)
    assert memory is not None
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
    assert torch.allclose(memory.cell, end.cell, atol=1e-6)


class Words(NamedTuple):
    word: Tensor
    length: Tensor
    label: Tensor


def words(seed: int = 0, rank: int = 0, of: int = 1, n: int = 103) -> Ragged[Words]:
    rng = torch.Generator().manual_seed(5)
    length = torch.randint(1, 30, (n,), generator=rng)
    sequences = [torch.full((int(k),), i + 1) for i, k in enumerate(length)]
    return Ragged(Words, (Flat.of(sequences), torch.arange(n)), Place(CPU, seed, rank, of), "made", "train")


@pytest.mark.parametrize("size", [1, 7, 8, 50, 103, 150])
def test_each_sequence_once_an_epoch_whatever_the_batch(size: int) -> None:
    source = words()
    seen: list[int] = []
    step = 0
    while len(seen) < 3 * len(source):
        batch = source.batch(step, size)
        assert len(batch.word) == size
        assert all(batch.word[i, : batch.length[i]].eq(batch.label[i] + 1).all() for i in range(size))
        assert all(not batch.word[i, batch.length[i] :].any() for i in range(size))
        seen += batch.label.tolist()
        step += 1
    for epoch in range(3):
        assert Counter(seen[epoch * 103 : (epoch + 1) * 103]) == Counter(range(103))
    assert seen[:103] != seen[103:206]


def test_batches_are_of_like_length() -> None:
    source = words(n=2000)
    padded = total = 0
    for step in range(2000 // 20):
        batch = source.batch(step, 20)
        padded, total = padded + batch.word.numel(), total + int(batch.length.sum())
    assert padded < 1.15 * total, "at random it would be nearly twice"


def test_shares_make_the_batch() -> None:
    whole = words().batch(3, 8)
    shares = [words(rank=rank, of=2).batch(3, 8) for rank in range(2)]
    assert all(torch.equal(torch.cat(both), one) for both, one in zip(zip(*shares, strict=True), whole, strict=True))


def test_an_empty_sequence_is_padding() -> None:
    column = Flat.of([torch.zeros(0, dtype=torch.long), torch.tensor([3, 4])])
    found, length = column.padded(torch.tensor([0, 1]))
    assert found.tolist() == [[0, 0], [3, 4]] and length.tolist() == [0, 2]
    assert column.padded(torch.tensor([0]))[0].tolist() == [[0]]
