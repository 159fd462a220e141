"""Beam search: the likeliest sequences of a net that says one token after the other, for a batch of sources at once.

A net is given as a function of one step, so that the search knows nothing of what it searches for: translations,
captions, anything that ends with a sign of its own. Greedy reading is the search with one hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

State = tuple[Tensor, ...]
"""What a net carries from token to token, each with one row a hypothesis: "H ...". Those of one source lie side by
side, so that what belongs to the source alone (its encoding) need not be here: a step may view H rows as "B H/B"."""

Step = Callable[[Int[Tensor, "H"], State], tuple[Float[Tensor, "H V"], State]]
"""From the last token of each hypothesis and the state: log-probabilities (or logits) of the next, and the state."""


class Hypothesis(NamedTuple):
    """A sequence that was found."""

    tokens: list[int]  # without the signs of begin and end
    score: float  # log-probability in nats, divided by the length penalty
    whole: bool = True  # false: cut off at the longest length, before its end


def penalised(chance: float, length: int, penalty: float) -> float:
    """A log-probability over `length` tokens (the end is one) divided by the length penalty (Wu et al. 2016, eq. 14):
    ((5 + length) / 6) ** penalty. Without it (0) short sequences win, since each token costs."""
    return chance / ((5 + length) / 6) ** penalty


@torch.no_grad()
def beam(step: Step, state: State, begin: int | Int[Tensor, "B"], end: int, width: int = 4,
         longest: int | Int[Tensor, "B"] = 100, penalty: float = 0.6) -> list[list[Hypothesis]]:  # fmt: skip
    """For each source at most `width` hypotheses, best first.

    `state` has one row a source at first. Of each source the `width` likeliest beginnings go on in parallel; one that
    ends is set aside; the search for a source ends with `width` of these, or after `longest` tokens. `begin` is the
    first token; both are one for all or one a source.
    """
    sources, device = len(state[0]), state[0].device
    limits = torch.as_tensor(longest).expand(sources).tolist()
    assert width >= 1 and min(limits) >= 1
    first = torch.as_tensor(begin, device=device)
    last = first.expand(sources).repeat_interleave(width)  # H
    state = tuple(part.repeat_interleave(width, 0) for part in state)
    chance = torch.full((sources, width), -torch.inf, device=device)
    chance[:, 0] = 0.0  # all begin alike: one is enough
    said = last.new_empty(sources, width, 0)
    found: list[list[Hypothesis]] = [[] for _ in range(sources)]
    row = torch.arange(sources, device=device)[:, None]
    for length in range(1, max(limits) + 1):
        scores, state = step(last, state)
        vocabulary = scores.shape[-1]
        total = chance[..., None] + scores.float().log_softmax(-1).view(sources, width, vocabulary)
        best, at = total.flatten(1).topk(min(2 * width, width * vocabulary))  # enough: at most `width` of them end
        token, before = at % vocabulary, at // vocabulary
        ending = token == end
        for b, k in (ending[:, :width] & best[:, :width].isfinite()).nonzero().tolist():
            if len(found[b]) < width:
                score = penalised(float(best[b, k]), length, penalty)
                found[b].append(Hypothesis(said[b, before[b, k]].tolist(), score))
        order = ending.long().argsort(dim=1, stable=True)[:, :width]  # those that go on, best first
        chance = best.gather(1, order).masked_fill(ending.gather(1, order), -torch.inf)
        if order.shape[1] < width:  # fewer different tokens than hypotheses
            order = torch.cat([order, order[:, :1].expand(-1, width - order.shape[1])], 1)
            chance = torch.cat([chance, chance.new_full((sources, width - chance.shape[1]), -torch.inf)], 1)
        token, before = token.gather(1, order), before.gather(1, order)
        said = torch.cat([said[row, before], token[..., None]], -1)
        for b in (b for b, limit in enumerate(limits) if limit == length):
            for k in range(width - len(found[b])):  # best first
                if bool(chance[b, k].isfinite()):
                    cut = penalised(float(chance[b, k]), length, penalty)
                    found[b].append(Hypothesis(said[b, k].tolist(), cut, whole=False))
            chance[b] = -torch.inf
        if all(len(those) >= width or not alive for those, alive in zip(found, living(chance), strict=True)):
            break
        rows = (row * width + before).flatten()
        state = tuple(part.index_select(0, rows) for part in state)
        last = token.flatten()
    return [sorted(those, key=lambda one: (not one.whole, -one.score)) for those in found]


def living(chance: Float[Tensor, "B H"]) -> list[bool]:
    """For each source whether any of its hypotheses can go on."""
    return chance.isfinite().any(1).tolist()
