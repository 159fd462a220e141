"""The smallest changes that mislead a classifier: how near its border is. Distances are in the input's units.

Each attack returns an example unchanged where it finds nothing, or where the answer is wrong already; of the ball, norm
and legal range count, and its size does not.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .attack import Ball, Scores, length, margin, room, said, slope, spread

HALVINGS = 12  # of the way back to the border
NEWTON = 60  # steps to a hyperplane at most; about ten are needed
CLEAR = 1e-5  # of the scores: by so much a border must be crossed
EDGE = 0.99  # of tanh's range: where the legal range ends, so that a black pixel still has a slope


def past(scores: Float[Tensor, "B K"], target: Int[Tensor, "B"]) -> Bool[Tensor, "B"]:
    """Where the border is crossed by more than rounding, which is other in other company."""
    return margin(scores, target) > CLEAR * reach(scores)


def reach(scores: Tensor) -> Tensor:
    """From the lowest score to the highest."""
    return scores.amax(1) - scores.amin(1)


def distance(a: Float[Tensor, "B ..."], b: Float[Tensor, "B ..."], norm: str) -> Float[Tensor, "B"]:
    """How far apart two inputs are in the norm."""
    change = (a - b).flatten(1)
    return change.abs().amax(1) if norm == "inf" else change.norm(dim=1)


@torch.no_grad()
def deepfool(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, steps: int = 50,
             overshoot: float = 0.02, classes: int = 10) -> Float[Tensor, "B ..."]:  # fmt: skip
    """Steps to the nearest border of the linearised net until one is crossed (Moosavi-Dezfooli, Fawzi & Frossard 2016,
    algorithm 2), to the likeliest `classes`, each clipped to the legal range; then back to the border by halving."""
    free = ball._replace(low=-math.inf, high=math.inf)
    clean = said(scores, input, most := room(scores, input))
    left = (clean.argmax(-1) == target).nonzero()[:, 0]
    rivals = clean.scatter(1, target[:, None], -torch.inf).topk(min(classes, clean.shape[1]) - 1).indices
    found, x, scale = input.clone(), input[left], reach(clean)
    for _ in range(steps):
        if not len(left):
            break
        gap, pulls = borders(scores, x, target[left], rivals[left], most)
        size = pulls.flatten(2).abs().sum(2) if ball.norm == "inf" else pulls.flatten(2).norm(dim=2)
        near = (gap / size.T.clamp(min=torch.finfo(size.dtype).tiny)).argmin(1)
        row = torch.arange(len(left), device=input.device)
        way = onto(x, pulls[near, row], gap[row, near] * (1 + overshoot) + 2 * CLEAR * scale[left], free)
        x = (x + way).clamp(ball.low, ball.high)
        crossed = past(said(scores, x, most), target[left])
        found[left[crossed]] = x[crossed]
        left, x = left[~crossed], x[~crossed]
    return closer(scores, input, found, target, most)


def borders(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], rivals: Int[Tensor, "B R"],
            most: int) -> tuple[Float[Tensor, "B R"], Float[Tensor, "R B ..."]]:  # fmt: skip
    """How far the true class is ahead of each rival, and the gradient of rival less true: one forward pass, and one
    backward pass of all examples for each rival."""
    gaps, pulls = [], []
    for x, true, others in zip(input.split(most), target.split(most), rivals.split(most), strict=True):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            answer = scores(x)
            behind = answer.gather(1, others) - answer.gather(1, true[:, None])
            each = behind.sum(0).unbind()
        parts = [torch.autograd.grad(one, x, retain_graph=one is not each[-1])[0] for one in each]
        pulls.append(torch.stack(parts))
        gaps.append(-behind.detach())
    return torch.cat(gaps), torch.cat(pulls, 1)


def onto(x: Float[Tensor, "B ..."], pull: Float[Tensor, "B ..."], need: Float[Tensor, "B"],
         ball: Ball) -> Float[Tensor, "B ..."]:  # fmt: skip
    """The smallest change d in the norm with pull . d = need that stays in the legal range; where none reaches it, the
    one that comes nearest (the projections of Croce & Hein 2020b, (4)).

    Each entry moves at its pace until its range ends, so what is gained is concave and piecewise linear in the reach;
    Newton's steps from 0 never pass the solution."""
    flat, most = x.flatten(1), length(pull)
    way = (pull / spread(most, pull)).flatten(1)  # small gradients must not underflow when squared
    need = need / most
    way, need = way * need.sign()[:, None], need.abs()
    space = torch.where(way > 0, ball.high - flat, flat - ball.low).clamp(min=0)
    weight = way.abs()
    space = space.where(weight > 0, torch.zeros_like(space))
    pace = torch.ones_like(weight) if ball.norm == "inf" else weight
    far = torch.zeros_like(need)
    for _ in range(NEWTON):
        ahead = far[:, None] * pace
        gap = need - (weight * torch.minimum(ahead, space)).sum(1)
        gain = (weight * pace * (ahead < space)).sum(1)
        open_ = (gap > 1e-6 * need) & (gain > 0)
        if not bool(open_.any()):
            break
        far = torch.where(open_, far + gap / gain.clamp(min=torch.finfo(gain.dtype).tiny), far)
    return (way.sign() * torch.minimum(far[:, None] * pace, space)).view(x.shape)


@torch.no_grad()
def closer(scores: Scores, input: Float[Tensor, "B ..."], adversarial: Float[Tensor, "B ..."],
           target: Int[Tensor, "B"], most: int) -> Float[Tensor, "B ..."]:  # fmt: skip
    """The misleading point next to the border on the straight way back, by halving."""
    left = (adversarial != input).flatten(1).any(1).nonzero()[:, 0]
    if not len(left):
        return adversarial
    origin, way, true = input[left], (adversarial - input)[left], target[left]
    low, high = torch.zeros(len(left), dtype=way.dtype, device=way.device), torch.ones_like(origin.flatten(1)[:, 0])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = past(said(scores, origin + spread(middle, way) * way, most), true)
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    nearer = origin + spread(high, way) * way
    nearer = torch.where(spread(high < 1, way), nearer, adversarial[left])
    return adversarial.index_copy(0, left, nearer)


@torch.no_grad()
def carlini(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, searches: int = 7,
            steps: int = 100, lr: float = 0.1, weight: float = 1.0) -> Float[Tensor, "B ..."]:  # fmt: skip
    """The smallest change in the 2-norm that Adam finds for squared distance + weight x lead of the true class
    (Carlini & Wagner 2017, section VI.A, confidence 0), the weight searched for each example: tenfold until it
    misleads, then between. An example whose loss no longer falls rests until the next weight.

    Distances count in parts of the legal range. As in the paper a tanh keeps to it, but of a range that ends at 0.99
    of tanh's: at its own ends, where black pixels lie, it has no slope."""
    most, bounded = room(scores, input), math.isfinite(ball.low) and math.isfinite(ball.high)
    span, middle = (ball.high - ball.low, (ball.high + ball.low) / 2) if bounded else (1.0, 0.0)
    limit, pace = math.atanh(EDGE), lr if bounded else lr / 5  # tanh's range is five wide
    left = said(scores, input, most).argmax(-1) == target
    origin, true = input[left], target[left]
    below, above = torch.zeros_like(true, dtype=input.dtype), torch.full_like(true, torch.inf, dtype=input.dtype)
    price, best, found = torch.full_like(below, weight), torch.full_like(below, torch.inf), origin.clone()

    def bent(x: Tensor) -> Tensor:
        return torch.atanh(EDGE * (x - middle) * (2 / span)) if bounded else x.clone()

    for _ in range(searches):
        at, y, free = torch.arange(len(true), device=input.device), origin.clone(), bent(origin)
        hit, last = torch.zeros_like(true, dtype=torch.bool), torch.full_like(below, torch.inf)
        first, second = torch.zeros_like(free), torch.zeros_like(free)
        for turn in range(1, steps + 1):
            if not len(at):
                break
            lead, gradient, answer = slope(scores, y, true[at], trailing, most)
            change = (y - origin[at]) / span
            far, misled = change.flatten(1).norm(dim=1), past(answer, true[at])
            hit[at[misled]] = True
            better = at[nearer := misled & (far < best[at])]
            best[better], found[better] = far[nearer], y[nearer]
            gradient = 2 * change / span + spread(price[at], y) * gradient
            if bounded:
                gradient = gradient * (1 - free.tanh() ** 2) * (span / 2 / EDGE)
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient**2, 0.001)
            rate = pace * (1 - (turn - 1) / steps)  # so that a search ends near its lowest point
            free = free - rate * (first / (1 - 0.9**turn)) / ((second / (1 - 0.999**turn)).sqrt() + 1e-8)
            if turn % max(1, steps // 10) == 0:
                loss = far**2 + price[at] * lead
                falls = loss < 0.999 * last[at]
                last[at] = loss
                at, free, first, second = (part[falls] for part in (at, free, first, second))
            free = free.clamp(-limit, limit) if bounded else free
            y = (middle + free.tanh() * (span / 2 / EDGE)).clamp(ball.low, ball.high) if bounded else free
        above, below = torch.where(hit, price.minimum(above), above), torch.where(hit, below, price.maximum(below))
        between = torch.where(below > 0, (below * above).sqrt(), above / 10)
        price = torch.where(above.isfinite(), between, below * 10)
    result = input.clone()
    result[left] = found
    return closer(scores, input, result, target, most)


def trailing(scores: Float[Tensor, "B K"], target: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """How far the true class is ahead of the best other one, and 0 where it is behind by more than rounding (Carlini &
    Wagner 2017, f6)."""
    return (2 * CLEAR * reach(scores.detach()) - margin(scores, target)).clamp(min=0)


@torch.no_grad()
def fab(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, steps: int = 100,
        classes: int = 9, enough: bool = False) -> Float[Tensor, "B ..."]:  # fmt: skip
    """The nearest misleading point found on ways along the linearised border to each of the likeliest `classes` other
    ones, drawn back to the example (Croce & Hein 2020b, algorithm 1, targeted; 1.05, 0.9 and 0.1 as there).

    With `enough`, an example is done once it is misled within the ball's size, which then does count."""
    most, found = room(scores, input), input.clone()
    clean = said(scores, input, most)
    best = torch.full_like(clean[:, 0], torch.inf)
    order = clean.scatter(1, target[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    left = (clean.argmax(-1) == target).nonzero()[:, 0]
    for rival in order[:, : min(classes, clean.shape[1] - 1)].T:
        at, origin, x = left, input[left], input[left]
        for _ in range(steps):
            if not len(at):
                break
            pair = torch.stack([target[at], rival[at]], 1)
            ahead, pull, _ = slope(
                scores, x, pair, lambda z, two: z.gather(1, two[:, 1:])[:, 0] - z.gather(1, two[:, :1])[:, 0], most
            )
            near = onto(x, pull, -ahead, ball)
            first = onto(origin, pull, -ahead + (pull * (x - origin)).flatten(1).sum(1), ball)
            a, b = (distance(way, torch.zeros_like(way), ball.norm).clamp(min=1e-8) for way in (near, first))
            share = spread((a / (a + b)).clamp(max=0.1), x)
            x = ((x + 1.05 * near) * (1 - share) + (origin + 1.05 * first) * share).clamp(ball.low, ball.high)
            misled = said(scores, x, most).argmax(-1) != target[at]
            far = distance(x, origin, ball.norm)
            better = misled & (far < best[at])
            best[at[better]], found[at[better]] = far[better], x[better]
            x = torch.where(spread(misled, x), origin + 0.9 * (x - origin), x)
            if enough and bool((done := best[at] <= ball.size).any()):
                at, origin, x = at[~done], origin[~done], x[~done]
        left = left[best[left] > ball.size] if enough else left
    return found
