"""CTC: readings by hand, and the probability of a text against the sum over all paths."""

from __future__ import annotations

import itertools

import pytest
import torch

from milestones.parts.ctc import ctc_loss, greedy, wrong


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sign for k, sign in enumerate(path) if sign and (k == 0 or path[k - 1] != sign))


def test_greedy_by_hand() -> None:
    paths = torch.tensor([[0, 1, 1, 0, 1, 2], [3, 3, 3, 3, 3, 3], [0, 0, 0, 0, 0, 0], [1, 2, 1, 2, 0, 2]])
    found = greedy(torch.nn.functional.one_hot(paths, 4).float())
    assert found.length.tolist() == [3, 1, 0, 5]
    assert [found.text[i, : found.length[i]].tolist() for i in range(4)] == [[1, 1, 2], [3], [], [1, 2, 1, 2, 2]]
    assert found.frame[0, :3].tolist() == [1, 4, 5]
    assert found.text[1, 1:].tolist() == [0] * 5


def test_the_loss_is_the_sum_over_all_paths() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 3)
    chance = logits.softmax(-1)
    texts, lengths = torch.tensor([[1, 2, 0], [1, 1, 0], [0, 0, 0]]), torch.tensor([2, 2, 0])
    for i in range(3):
        want = 0.0
        for path in itertools.product(range(3), repeat=5):
            if collapsed(path) == tuple(texts[i, : lengths[i]].tolist()):
                want += float(torch.stack([chance[i, t, k] for t, k in enumerate(path)]).prod())
        got = ctc_loss(logits[i : i + 1], texts[i : i + 1], lengths[i : i + 1], "none")
        assert float((-got).exp()) == pytest.approx(want, rel=1e-4)


def test_wrong() -> None:
    paths = torch.tensor([[1, 0, 1, 2, 0], [1, 2, 0, 0, 0], [0, 0, 0, 0, 0]])
    reading = greedy(torch.nn.functional.one_hot(paths, 3).float())[:2]
    right = torch.tensor([[1, 1, 2, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0, 0], [0] * 7])
    assert wrong(*reading, right, torch.tensor([3, 2, 0])).tolist() == [False] * 3
    assert wrong(*reading, right, torch.tensor([3, 3, 1])).tolist() == [False, True, True]
    assert wrong(*reading, right.roll(1, 0), torch.tensor([3, 2, 0])).tolist() == [True] * 3
