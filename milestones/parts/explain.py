"""What in an input speaks for an answer: maps by gradients, along paths, and by hiding parts.

All work on any function from inputs to scores, on many inputs at once, and in chunks: how many copies of an input are
held at a time is chosen from what memory is free, and changes no result beyond rounding. No hook is set on a model, so
none can stay on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .memory import free_memory, kept

SHARE = 0.25  # of the free memory that a chunk may take
FAST = 24 << 20  # bytes of a chunk beyond which the caches lose more than a larger batch wins
LEAST = 16  # examples that are worth a call, whatever the caches say


class Question(NamedTuple):
    """For each of B inputs: what speaks for its `target`, compared with an input that shows nothing."""

    scores: Callable[[Tensor], Tensor]  # "N ..." -> "N K"
    input: Tensor  # "B ..."
    target: Tensor  # "B": the class that is explained
    baseline: Tensor  # "B ..."


def question(scores: Callable[[Tensor], Tensor], input: Tensor, target: Int[Tensor, "B"],
             baseline: Tensor | float = 0.0) -> Question:  # fmt: skip
    """The question about `input` "B ..."; `baseline` is a number, one input "...", or one for each "B ..."."""
    empty = torch.as_tensor(baseline, dtype=input.dtype, device=input.device)
    return Question(scores, input.detach(), target, empty.expand_as(input).contiguous())


def told(scores: Float[Tensor, "N K"], target: Int[Tensor, "N"]) -> Float[Tensor, "N"]:
    """The number that is explained: the target's score. Of two classes, how far it lies above the other's: there, a
    page may keep one score at 0 and say all with the other."""
    own = scores.gather(1, target[:, None])[:, 0]
    return own if scores.shape[1] != 2 else own - scores.gather(1, 1 - target[:, None])[:, 0]


def values(asked: Question, inputs: Tensor, index: Int[Tensor, "N"]) -> Float[Tensor, "N"]:
    """What is explained, at `inputs` "N ...", each in place of the question's input number `index`. It may be changed
    in place by the model."""
    with torch.no_grad():
        return told(asked.scores(inputs), asked.target[index])


def slopes(asked: Question, inputs: Tensor, index: Int[Tensor, "N"]) -> Tensor:
    """The gradient "N ..." of what is explained by `inputs` "N ...", as ``values`` has them."""
    x = inputs.detach().requires_grad_()
    with torch.enable_grad():
        told_here = told(asked.scores(x.clone()), asked.target[index])  # a net may change its input in place
        return torch.autograd.grad(told_here.sum(), x)[0]


def room(asked: Question, free: int | None = None) -> int:
    """How many examples may be asked for at once, within a share of the `free` bytes: what an example makes autograd
    keep, beside the weights, is counted."""
    size = asked.input[0].numel() * asked.input.element_size()

    def held(count: int) -> int:
        x = asked.input[:1].expand(count, *asked.input.shape[1:]).clone().requires_grad_()
        return kept(lambda: asked.scores(x.clone()))

    try:
        each = held(1) - held(0)
    except Exception:  # a net that cannot take an empty batch: whatever it raises
        each = held(2) - held(1)
    each = 2 * max(each, 0) + 4 * size  # kept, and as much again in passing
    free = free_memory(asked.input.device) if free is None else free
    return max(1, min(int(SHARE * free / each), max(LEAST, FAST // each)))


def pieces(total: int, chunk: int) -> Iterator[Tensor]:
    """The numbers from 0 to `total` in tensors of at most `chunk`."""
    for begin in range(0, total, chunk):
        yield torch.arange(begin, min(begin + chunk, total))


def wide(numbers: Tensor, like: Tensor) -> Tensor:
    """ "N" with as many dimensions as `like`, to multiply "N ..." by."""
    return numbers.view(-1, *[1] * (like.dim() - 1))


def summed(asked: Question, point: Callable[[Tensor, Tensor], Tensor], weights: Float[Tensor, "S"], among: Tensor,
           chunk: int) -> Tensor:  # fmt: skip
    """For each input of `among` ("N" numbers) the weighted sum over s of its gradients at ``point(number, s)``."""
    count, chunk = len(weights), chunk or room(asked)
    total = torch.zeros_like(asked.input[among])
    for part in pieces(len(among) * count, chunk):
        place, s = part // count, part % count
        found = slopes(asked, point(among[place], s), among[place])
        total.index_add_(0, place, found * wide(weights[s], found))
    return total


def every(asked: Question) -> Tensor:
    return torch.arange(len(asked.input))


def gradient(asked: Question, chunk: int = 0) -> Tensor:
    """ "B ...": how steeply the score rises with each number of the input (Simonyan, Vedaldi & Zisserman 2013)."""
    return summed(asked, lambda b, s: asked.input[b], torch.ones(1), every(asked), chunk)


def input_gradient(asked: Question, chunk: int = 0) -> Tensor:
    """ "B ...": the gradient times the difference from the baseline (Shrikumar, Greenside & Kundaje 2016)."""
    return gradient(asked, chunk) * (asked.input - asked.baseline)


def smoothgrad(asked: Question, samples: int = 50, noise: float = 0.15, seed: int = 0, chunk: int = 0) -> Tensor:
    """ "B ...": the mean gradient over noisy copies; the noise's spread is `noise` times that from the input's lowest
    to its highest number (Smilkov et al. 2017). All inputs get the same noise, so that none depends on the others."""
    x, rng = asked.input, torch.Generator().manual_seed(seed)
    drawn = torch.randn(samples, *x.shape[1:], generator=rng, dtype=x.dtype).to(x.device)
    flat = x.flatten(1)
    spread = wide(noise * (flat.amax(1) - flat.amin(1)), x)
    weights = torch.full((samples,), 1 / samples)
    return summed(asked, lambda b, s: x[b] + spread[b] * drawn[s], weights, every(asked), chunk)


def integrated_gradients(asked: Question, steps: int = 50, tolerance: float = 1e-3, most: int = 4000,
                         chunk: int = 0) -> Tensor:  # fmt: skip
    """ "B ...": the gradient along the straight line from the baseline, times the difference from it (Sundararajan,
    Taly & Yan 2017, (1)), by Gauss and Legendre's rule.

    The map's sum is the difference of the scores. Where it is off by more than `tolerance` of that, this input's line
    is cut into twice as many pieces of `steps` points each, and so on to `most` points.
    """
    gap, among = asked.input - asked.baseline, every(asked)
    goal, found = difference(asked), torch.zeros_like(asked.input)
    places, weights = np.polynomial.legendre.leggauss(steps)
    cuts = 1
    while True:
        nodes = torch.from_numpy(np.add.outer(np.arange(cuts), (places + 1) / 2).ravel() / cuts).to(gap)
        shares = torch.from_numpy(np.tile(weights / 2 / cuts, cuts)).to(gap)

        def point(b: Tensor, s: Tensor, at: Tensor = nodes) -> Tensor:
            return asked.baseline[b] + wide(at[s], gap) * gap[b]

        found[among] = gap[among] * summed(asked, point, shares, among, chunk)
        off = (found[among].flatten(1).sum(1) - goal[among]).abs()
        among, cuts = among[off > tolerance * goal[among].abs()], 2 * cuts
        if not len(among) or cuts * steps > most:
            return found


def difference(asked: Question) -> Float[Tensor, "B"]:
    """How far the score lies above that of the baseline."""
    numbers = every(asked)
    return values(asked, asked.input.clone(), numbers) - values(asked, asked.baseline.clone(), numbers)


def occlusion(asked: Question, window: Sequence[int], stride: Sequence[int], chunk: int = 0) -> Tensor:
    """ "B ...": how much the score falls when a window of the input is replaced by the baseline, for each number the
    mean over all windows that hide it (Zeiler & Fergus 2014, section 4.2).

    `window` and `stride` have one size for each dimension of an input; the last window of a row may hang over.
    """
    x, shape = asked.input, asked.input.shape[1:]
    starts = [torch.arange(math.ceil(max(0, n - w) / s) + 1) * s
              for n, w, s in zip(shape, window, stride, strict=True)]  # fmt: skip
    corners = torch.cartesian_prod(*starts).view(-1, len(shape))  # M windows
    count, chunk = len(corners), chunk or room(asked)
    here = values(asked, x.clone(), every(asked))

    def hidden(numbers: Tensor) -> Tensor:
        """Where these windows are; a dimension that a window fills has size 1."""
        mask = torch.ones(len(numbers), *[1] * len(shape), dtype=torch.bool)
        for d, (n, w) in enumerate(zip(shape, window, strict=True)):
            if w < n:
                at, start = torch.arange(n), corners[numbers, d][:, None]
                mask = mask & ((at >= start) & (at < start + w)).view(
                    -1, *[n if k == d else 1 for k in range(len(shape))]
                )
        return mask

    total = torch.zeros(len(x), *hidden(torch.arange(1)).shape[1:], dtype=x.dtype)
    often, there = torch.zeros_like(total[:1]), x != asked.baseline
    filled = [d + 1 for d, n in enumerate(total.shape[1:]) if n == 1]
    there = there.amax(filled, keepdim=True) if filled else there
    hides = []  # B n: whether a window hides anything; what is empty already need not be asked
    for part in pieces(count, chunk):
        often += hidden(part).sum(0, keepdim=True)
        hides.append((hidden(part) & there[:, None]).flatten(2).any(2))
    asks = torch.cat(hides, 1).nonzero()
    for part in pieces(len(asks), chunk):
        b, mask = asks[part, 0], hidden(asks[part, 1])
        fell = here[b] - values(asked, torch.where(mask, asked.baseline[b], x[b]), b)
        total.index_add_(0, b, wide(fell, mask) * mask)
    return (total / often).expand_as(x).contiguous()


class Shares(NamedTuple):
    """Shapley values. `map` "B ..." has each group's spread evenly over its numbers; `error` "B M" is the standard
    error of each group's, from how the orders differ."""

    map: Tensor
    error: Tensor


def orders(count: int, groups: int, seed: int = 0) -> Int[Tensor, "P M"]:
    """`count` random orders of the groups, each second one the reverse of the one before: what one order takes too
    early the other takes late (Mitchell, Cooper, Frank & Holmes 2022)."""
    rng = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(groups, generator=rng) for _ in range((count + 1) // 2)]
    return torch.stack([way for one in drawn for way in (one, one.flip(0))][:count])


def shapley(asked: Question, groups: Int[Tensor, "..."], order: Int[Tensor, "P M"], chunk: int = 0) -> Shares:
    """Each group's mean gain when it joins those before it in an order (Shapley 1953; sampled as Castro, Gomez & Tejada
    2009 do). `groups` numbers the parts of one input from 0 to M - 1, with size 1 where a dimension does not matter.

    A map's sum is the difference of the scores, whatever the orders. Exact where all orders are given, or where groups
    do not act together. A group that is as the baseline gains nothing, so that nothing is asked about it.
    """
    x, (count, width), numbers = asked.input, order.shape, every(asked)
    rank, index, chunk = order.argsort(1), groups.expand(x.shape[1:]).flatten(), chunk or room(asked)
    low, high = (values(asked, inputs.clone(), numbers)[:, None, None] for inputs in (asked.baseline, x))
    there = (x != asked.baseline).flatten(1).to(torch.long)
    there = torch.zeros(len(x), width, dtype=torch.long).index_add_(1, index, there) > 0  # B M
    joins = there[:, order]  # B P M: whether the group at a place brings anything
    shown = joins.cumsum(2)
    done = shown == there.sum(1)[:, None, None]
    asks = joins & ~done
    score, places = low.expand(-1, count, width).clone(), asks.nonzero()
    for part in pieces(len(places), chunk):
        b, p, k = places[part].unbind(1)
        mask = (rank[p] <= k[:, None])[:, groups.flatten()].view(-1, *groups.shape)
        score[b, p, k] = values(asked, torch.where(mask, x[b], asked.baseline[b]), b)
    last = torch.where(asks, torch.arange(width), -1).cummax(2).values  # the place with whose input it is the same
    score = torch.where(last < 0, low, score.gather(2, last.clamp(min=0)))
    score = torch.where(done, high, score)
    gains = torch.cat([low.expand(-1, count, 1), score], 2).diff(dim=2)
    each = gains.gather(2, rank.expand(len(x), -1, -1))  # B P M: by group, not by place
    share, size = each.mean(1), torch.bincount(index, minlength=width)
    error = each.std(1) / math.sqrt(count) if count > 1 else torch.zeros_like(share)
    spread = (share / size)[:, groups.flatten()].view(-1, *groups.shape)
    return Shares(spread.expand_as(x).contiguous(), error)
