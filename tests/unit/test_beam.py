"""Beam search against all sequences tried, and against reading greedily."""

from __future__ import annotations

import itertools

import pytest
import torch

from milestones.parts.beam import Hypothesis, beam, penalised

BEGIN, END, SIGNS, LONGEST = 0, 1, 5, 4


def table(seed: int = 0, sources: int = 3) -> torch.Tensor:
    """Scores of the next sign after each two signs, of each source: nothing that a greedy reading would find."""
    return 2 * torch.randn(sources, SIGNS, SIGNS, SIGNS, generator=torch.Generator().manual_seed(seed))


def step_of(scores: torch.Tensor):
    """A step whose state is the source's number and the sign before the last."""

    def step(token, state):
        source, before = state
        return scores[source, before, token], (source, token)

    return step


def state_of(scores: torch.Tensor):
    sources = len(scores)
    return torch.arange(sources), torch.full((sources,), BEGIN)


def all_sequences(scores: torch.Tensor, penalty: float) -> list[Hypothesis]:
    """Every sequence of one source that ends within LONGEST signs, best first."""
    chance = scores.log_softmax(-1)
    found = []
    others = [sign for sign in range(SIGNS) if sign != END]
    for length in range(LONGEST):
        for signs in itertools.product(others, repeat=length):
            path, total = [BEGIN, BEGIN, *signs, END], 0.0
            for a, b, c in zip(path, path[1:], path[2:], strict=False):
                total += float(chance[a, b, c])
            found.append(Hypothesis(list(signs), penalised(total, length + 1, penalty)))
    return sorted(found, key=lambda one: -one.score)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_of_all(penalty: float) -> None:
    scores = table()
    found = beam(step_of(scores), state_of(scores), BEGIN, END, 400, LONGEST, penalty)
    for mine, source in zip(found, scores, strict=True):
        best = all_sequences(source, penalty)
        whole = [one for one in mine if one.whole]
        assert len(whole) == len(best) == 1 + 4 + 16 + 64
        assert [one.tokens for one in whole[:20]] == [one.tokens for one in best[:20]]
        assert [one.score for one in whole] == pytest.approx([one.score for one in best], abs=1e-4)


def test_one_hypothesis_reads_greedily() -> None:
    scores = table(1, 20)
    found = beam(step_of(scores), state_of(scores), BEGIN, END, 1, 12)
    for source, (one,) in zip(scores, found, strict=True):
        before, last, signs = BEGIN, BEGIN, []
        while len(signs) < 12:
            before, last = last, int(source[before, last].argmax())
            if last == END:
                break
            signs.append(last)
        assert one.tokens == signs
        assert one.whole == (last == END)


def test_more_hypotheses_find_better_and_sources_do_not_mix() -> None:
    scores = table(2, 30)
    narrow, wide = (beam(step_of(scores), state_of(scores), BEGIN, END, width, 8, 0.0) for width in (1, 8))
    better = [b[0].score - a[0].score for a, b in zip(narrow, wide, strict=True)]
    assert sum(better) > 1 and sum(one < -1e-5 for one in better) <= 3  # a wide beam may lose what a narrow one kept
    alone = [beam(step_of(scores[k : k + 1]), state_of(scores[:1]), BEGIN, END, 8, 8, 0.0)[0] for k in range(30)]
    assert [[one.tokens for one in those] for those in alone] == [[one.tokens for one in those] for those in wide]


def test_a_penalty_favours_the_longer() -> None:
    scores = table(3, 30)
    mean = [
        sum(len(those[0].tokens) for those in beam(step_of(scores), state_of(scores), BEGIN, END, 8, 8, penalty)) / 30
        for penalty in (0.0, 1.5)
    ]
    assert mean[1] > mean[0]


def test_each_source_may_begin_with_its_own_sign() -> None:
    scores = table(4, 2)
    both = beam(step_of(scores), state_of(scores), torch.tensor([0, 3]), END, 4, 6)
    other = beam(step_of(scores), state_of(scores), 3, END, 4, 6)
    assert both[1] == other[1]
    assert both[0] != beam(step_of(scores), state_of(scores), 3, END, 4, 6)[0]


def test_what_never_ends_is_cut_off() -> None:
    def step(token, state):
        return torch.tensor([[0.0, -torch.inf, 1.0]]).expand(len(token), 3), state

    (those,) = beam(step, (torch.zeros(1, 1),), 0, 1, 2, 5)
    assert [one.whole for one in those] == [False, False]
    assert those[0].tokens == [2] * 5


def test_each_source_may_have_its_own_longest() -> None:
    scores = table(5, 4)
    scores[..., END] = -9.0
    several = beam(step_of(scores), state_of(scores), BEGIN, END, 3, torch.tensor([2, 7, 1, 4]))
    for k, longest in enumerate((2, 7, 1, 4)):
        alone = beam(step_of(scores), state_of(scores), BEGIN, END, 3, longest)
        assert several[k] == alone[k]
        assert max(len(one.tokens) for one in several[k]) == longest
