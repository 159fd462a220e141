"""Searching and aligning under CTC, against brute force over all paths."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest
import torch
from torch import nn

from milestones.core.source import keyed
from milestones.parts.ctc import aligned, beam_search, ctc_loss, flat_start, greedy, needed
from milestones.parts.ngram import NGram

LANGUAGE = NGram.of([(1, 2), (1, 1, 2), (2,)], 3, 2)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(k for k, _ in itertools.groupby(path) if k)


def all_texts(logits: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The log-chance of each text: summed over all paths one by one."""
    chance = logits.softmax(-1).tolist()
    sums: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        sums[collapsed(path)] += math.prod(row[k] for row, k in zip(chance, path, strict=True))
    return {text: math.log(value) for text, value in sums.items()}


def drawn(seed: int, time: int = 5, classes: int = 3) -> torch.Tensor:
    return 2 * torch.randn(time, classes, generator=keyed("ctc", seed))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("language", [0.0, 0.7])
def test_a_wide_beam_is_the_sum_over_all_paths(seed: int, language: float) -> None:
    logits = drawn(seed)
    want = all_texts(logits)
    found = beam_search(logits, 10_000, LANGUAGE.row, language, bonus=0.3, least=0.0, most=99)
    assert {one.text for one in found} == set(want)
    for one in found:
        assert one.chance == pytest.approx(want[one.text], abs=1e-4)
        added = language * LANGUAGE.log_chance(one.text) + 0.3 * len(one.text)
        assert one.score == pytest.approx(want[one.text] + added, abs=1e-4)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_the_search_finds_what_the_likeliest_path_misses() -> None:
    """Graves' own example in spirit: the likeliest path is all blanks, the likeliest text is not empty."""
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert greedy(logits[None]).length.tolist() == [0]
    assert beam_search(logits, 4)[0].text == (1,)
    assert beam_search(logits, 4)[0].chance == pytest.approx(math.log(0.64))


def test_the_language_decides_what_the_sound_leaves_open() -> None:
    logits = torch.tensor([[0.02, 0.49, 0.49], [0.96, 0.02, 0.02], [0.02, 0.48, 0.5]]).log()
    assert beam_search(logits, 8)[0].text[1] == 2
    model = NGram.of([(2, 1)] * 20, 2, 2)
    assert beam_search(logits, 8, model.row, 1.0)[0].text == (2, 1)


def test_a_narrow_beam_is_sorted_and_bounded() -> None:
    found = beam_search(drawn(3, 40, 12), beam=5)
    assert len(found) <= 5
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize("seed", range(6))
def test_the_alignment_is_the_likeliest_path_of_the_text(seed: int) -> None:
    logits = drawn(seed)
    chance = logits.log_softmax(-1)
    for text in [(1,), (1, 1), (2, 1), (1, 2, 1), ()]:
        paths = [p for p in itertools.product(range(3), repeat=5) if collapsed(p) == text]
        best = max(sum(float(chance[t, k]) for t, k in enumerate(path)) for path in paths)
        found = aligned(logits, text)
        assert found is not None
        path = [0 if at < 0 else text[at] for at in found]
        assert collapsed(tuple(path)) == text
        assert sum(float(chance[t, k]) for t, k in enumerate(path)) == pytest.approx(best, abs=1e-5)
    assert aligned(logits[:2], (1, 1)) is None
    assert aligned(logits[:2], (1, 2)) == [0, 1]


def test_the_loss_and_its_gradient_with_frames_of_their_own() -> None:
    """Against nn.CTCLoss, which was given each line alone, without padding."""
    rng = keyed("loss")
    logits = torch.randn(3, 9, 5, generator=rng, requires_grad=True)
    frames, length = torch.tensor([9, 4, 6]), torch.tensor([3, 2, 4])
    text = torch.randint(1, 5, (3, 4), generator=rng) * (torch.arange(4) < length[:, None])
    mine = ctc_loss(logits, text, length, "none", frames)
    (gradient,) = torch.autograd.grad(mine.sum(), logits)
    assert torch.equal(gradient[1, 4:], torch.zeros(5, 5))
    for i in range(3):
        alone = logits[i : i + 1, : frames[i]].log_softmax(-1).transpose(0, 1)
        want = nn.CTCLoss(reduction="sum")(alone, text[i : i + 1, : length[i]], frames[i : i + 1], length[i : i + 1])
        assert float(mine.detach()[i]) == pytest.approx(float(want.detach()), rel=1e-5)
    read = greedy(logits.detach(), frames)
    alone = [greedy(logits.detach()[i : i + 1, : frames[i]]) for i in range(3)]
    for i, one in enumerate(alone):
        assert read.length[i] == one.length[0]
        assert read.text[i, : one.length[0]].tolist() == one.text[0, : one.length[0]].tolist()


def test_frames_that_a_text_needs() -> None:
    text = torch.tensor([[1, 1, 2, 0], [1, 2, 1, 2], [3, 3, 3, 3], [0, 0, 0, 0]])
    assert needed(text, torch.tensor([3, 4, 4, 0])).tolist() == [4, 4, 7, 0]


def test_a_flat_start_spreads_the_letters_evenly() -> None:
    text, length, frames = torch.tensor([[1, 2, 0], [2, 0, 0]]), torch.tensor([2, 1]), torch.tensor([5, 2])
    logits = torch.randn(2, 6, 3, generator=keyed("flat"))
    chance = logits.log_softmax(-1)
    lies = [(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 3, 2), (0, 4, 2), (1, 0, 2), (1, 1, 2)]
    want = -sum(float(chance[row]) for row in lies) / len(lies)
    assert float(flat_start(logits, text, length, frames)) == pytest.approx(want, rel=1e-5)
