"""AutoAttack: four attacks without a setting to choose, one after the other on what still stands.

Croce & Hein (2020), Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks;
Andriushchenko, Croce, Flammarion & Hein (2020), Square attack. The standard set: APGD on cross-entropy, APGD on the
targeted difference of logits ratio, FAB on targets, Square.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .attack import (
    Ball,
    Scores,
    identity,
    length,
    margin,
    normal,
    odds,
    room,
    said,
    seats,
    slope,
    spread,
    steepest,
    uniform,
    within,
)  # fmt: skip
from .minimal import distance, fab

STEPS = 100
CLASSES = 9  # targets, the likeliest first
RISES = 0.75  # of the steps up to a checkpoint: with fewer, the step is halved
SQUARES = ((10, 1), (50, 2), (200, 4), (500, 8), (1000, 16), (2000, 32), (4000, 64), (6000, 128), (8000, 256))
WRONG = "wrong before"


class AutoAttacked(NamedTuple):
    """What AutoAttack found: the misleading inputs (unchanged where none was found), and by which attack for each
    example: "wrong before", "APGD-CE", "APGD-T", "FAB-T", "Square", or "" where it stands."""

    adversarial: Float[Tensor, "B ..."]
    broken_by: list[str]


def autoattack(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, seed: int = 0,
               most_queries: int = 5000, say: Callable[[str, int], None] | None = None) -> AutoAttacked:  # fmt: skip
    """The standard set in its order. `say` is told each attack and how many stand after it. ValueError: as `fgsm`."""
    most, found = room(scores, input), input.clone()
    right = said(scores, input, most).argmax(-1) == target
    names = ["" if one else WRONG for one in right.tolist()]
    left = right.nonzero()[:, 0]
    attacks: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "APGD-CE": lambda x, true: apgd(scores, x, true, ball, seed=seed),
        "APGD-T": lambda x, true: apgd_targeted(scores, x, true, ball, seed=seed),
        "FAB-T": lambda x, true: fab(scores, x, true, ball, steps=STEPS, classes=CLASSES, enough=True),
        "Square": lambda x, true: square(scores, x, true, ball, queries=most_queries, seed=seed),
    }
    for name, attack in attacks.items():
        if not len(left):
            break
        origin, true = input[left], target[left]
        x = attack(origin, true)
        broken = (said(scores, x, most).argmax(-1) != true) & (distance(x, origin, ball.norm) <= ball.size * (1 + 1e-5))
        found[left[broken]] = x[broken]
        for place in left[broken].tolist():
            names[place] = name
        left = left[~broken]
        if say:
            say(name, len(left))
    return AutoAttacked(found, names)


@torch.no_grad()
def apgd(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, steps: int = STEPS,
         seed: int = 0, loss: Callable[[Tensor, Tensor], Tensor] = odds, aims: Tensor | None = None,
         draw: int = 0) -> Float[Tensor, "B ..."]:  # fmt: skip
    """Ascent with momentum whose step is halved, and which goes back to the best point, where the loss rises too seldom
    or not at all between checkpoints (Croce & Hein 2020, algorithm 1). An example is done as soon as it is misled; one
    that is not comes back at its highest loss. `loss` takes scores and target, or with `aims` "B 2" target and aim."""
    most, found, size = room(scores, input), input.clone(), ball.size
    at = torch.arange(len(input), device=input.device)
    origin, pair, true = input, target if aims is None else torch.stack([target, aims], 1), target
    own, count = identity(input), input[0].numel()
    if ball.norm == "inf":
        way = (2 * uniform(own, seed, draw, count) - 1).to(input.dtype).view(input.shape)
        way = way / spread(way.flatten(1).abs().amax(1), way)
    else:
        way = steepest(normal(own, seed, draw, count).to(input.dtype).view(input.shape), "2")
    x = (origin + size * way).clamp(ball.low, ball.high)
    before, pace = x, torch.full_like(true, 2 * size, dtype=input.dtype)
    value, gradient, answer = slope(scores, x, pair, loss, most)
    best, peak, up = value, x, gradient
    rises, checked, halved = torch.zeros_like(value), value, torch.ones_like(true, dtype=torch.bool)
    window, since, last = max(int(0.22 * steps), 1), 0, value
    for turn in range(steps + 1):
        misled = answer.argmax(-1) != true
        if bool(misled.any()):
            found[at[misled]] = x[misled]
            parts = (at, origin, pair, true, x, before, pace, value, gradient, best, peak, up, rises, checked, halved,
                     last)  # fmt: skip
            (at, origin, pair, true, x, before, pace, value, gradient, best, peak, up, rises, checked, halved,
             last) = (part[~misled] for part in parts)  # fmt: skip
        if turn == steps or not len(at):
            break
        if turn:
            higher = value > best
            best, peak = torch.where(higher, value, best), torch.where(spread(higher, x), x, peak)
            up = torch.where(spread(higher, x), gradient, up)
            rises, since, last = rises + (value > last), since + 1, value
            if since == window:
                few = (rises <= RISES * window) | (~halved & (checked >= best))
                pace = torch.where(few, pace / 2, pace)
                x, gradient = torch.where(spread(few, x), peak, x), torch.where(spread(few, x), up, gradient)
                rises, since, checked, halved = torch.zeros_like(rises), 0, best, few
                window = max(window - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
        next_ = within(x + spread(pace, x) * steepest(gradient, ball.norm), origin, ball)
        if turn:
            next_ = within(x + 0.75 * (next_ - x) + 0.25 * (x - before), origin, ball)
        before, x = x, next_
        value, gradient, answer = slope(scores, x, pair, loss, most)
    if len(at):
        higher = value > best
        found[at] = torch.where(spread(higher, x), x, peak)
    return found


def ratio(scores: Float[Tensor, "B K"], pair: Int[Tensor, "B 2"]) -> Float[Tensor, "B"]:
    """How far the aimed class is ahead of the true one, in parts of the spread of the best scores (Croce & Hein 2020,
    (8)): neither adding to all scores nor multiplying them changes it. With three classes the spread is that of the
    first and third, as in (6); with two there is none."""
    two = scores.gather(1, pair)
    lead = two[:, 1] - two[:, 0]
    if scores.shape[1] < 3:
        return lead
    top = scores.topk(min(4, scores.shape[1]), 1).values
    return lead / (top[:, 0] - (top[:, 2] + top[:, -1]) / 2 + 1e-12)


@torch.no_grad()
def apgd_targeted(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *,
                  steps: int = STEPS, classes: int = CLASSES, seed: int = 0) -> Float[Tensor, "B ..."]:  # fmt: skip
    """APGD on the ratio to each of the likeliest `classes` other ones in turn, on what still stands."""
    most, found = room(scores, input), input.clone()
    clean = said(scores, input, most)
    order = clean.scatter(1, target[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    left = (clean.argmax(-1) == target).nonzero()[:, 0]
    for rank in range(min(classes, clean.shape[1] - 1)):
        if not len(left):
            break
        true, aims = target[left], order[left, rank]
        found[left] = apgd(
            scores, input[left], true, ball, steps=steps, seed=seed, loss=ratio, aims=aims, draw=1 + rank
        )
        left = left[said(scores, found[left], most).argmax(-1) == true]
    return found


@torch.no_grad()
def square(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, queries: int = 5000,
           seed: int = 0, first: float = 0.8) -> Float[Tensor, "B ..."]:  # fmt: skip
    """Random search by squares that raise the margin; it asks for scores alone, never for a gradient (Andriushchenko et
    al. 2020, algorithms 1 to 3). `first`: the share of the picture that the first squares cover.

    Inputs that are no pictures "B C H W" are taken as one row; there a run of entries stands for a square, and in the
    2-norm they come back as they are."""
    most, shape = seats(input), input.shape
    flat = input.dim() != 4
    if flat and ball.norm == "2":
        return input.clone()
    origin = input.reshape(len(input), 1, 1, -1) if flat else input
    ask: Scores = (lambda x: scores(x.reshape(-1, *shape[1:]))) if flat else scores
    rng = torch.Generator().manual_seed(seed)
    own, found, true = identity(input), origin.clone(), target
    begin = stripes if ball.norm == "inf" else tiled
    x = begin(origin, own, ball, rng, seed)
    worth = margin(said(ask, x, most), true)
    at = torch.arange(len(input), device=input.device)
    for query in range(queries):
        found[at] = x
        left = worth <= 0
        if not bool(left.all()):
            at, own, origin, x, true, worth = (part[left] for part in (at, own, origin, x, true, worth))
        if not len(at):
            break
        share = first / next((part for end, part in SQUARES if query <= end), 512)
        tried = (recoloured if ball.norm == "inf" else moved)(x, origin, own, ball, share, rng, seed, query)
        new = margin(said(ask, tried, most), true)
        better = new > worth
        worth, x = torch.where(better, new, worth), torch.where(spread(better, x), tried, x)
    found[at] = x
    return found.reshape(shape)


def signs(own: Int[Tensor, "B"], seed: int, draw: int, channels: int) -> Float[Tensor, "B C 1 1"]:
    """-1 or 1 for each example and channel."""
    return (2 * (uniform(own, seed, draw, channels) < 0.5).float() - 1)[:, :, None, None]


def stripes(origin: Float[Tensor, "B C H W"], own: Int[Tensor, "B"], ball: Ball, rng: torch.Generator,
            seed: int) -> Float[Tensor, "B C H W"]:  # fmt: skip
    """Upright stripes one pixel wide, each as light or as dark as the ball allows (section 3.3)."""
    count, channels, _, width = origin.shape
    colour = signs(own, seed, 1 << 22, channels * width).view(count, channels, 1, width).to(origin.dtype)
    return (origin + ball.size * colour).clamp(ball.low, ball.high)


def recoloured(x: Float[Tensor, "B C H W"], origin: Float[Tensor, "B C H W"], own: Int[Tensor, "B"], ball: Ball,
               share: float, rng: torch.Generator, seed: int, query: int) -> Float[Tensor, "B C H W"]:  # fmt: skip
    """A square at a random place, each channel of it as light or as dark as the ball allows (algorithm 2)."""
    channels, height, width = x.shape[1:]
    side = max(1, round(math.sqrt(share * height * width))) if height > 1 else max(1, round(share * width))
    high, wide = min(side, height), min(side, width)
    top, edge = _place(height, high, rng), _place(width, wide, rng)
    colour = 2 * torch.randint(2, (channels, 1, 1), generator=rng).to(x) - 1
    x = x.clone()
    part = (..., slice(top, top + high), slice(edge, edge + wide))
    x[part] = (origin[part] + ball.size * colour).clamp(ball.low, ball.high)
    return x


def _place(whole: int, part: int, rng: torch.Generator) -> int:
    return int(torch.randint(max(1, whole - part + 1), (1,), generator=rng))


def bump(side: int, rng: torch.Generator) -> Float[Tensor, "side side"]:
    """A positive and a negative hill side by side, of 2-norm 1, lying or upright (section 3.4 and figure 3)."""
    halves = []
    for high in (side // 2, side - side // 2):
        hill, top, left = torch.zeros(high, side), high // 2, side // 2
        for ring in range(max(high // 2, side // 2) + 1):
            rows = slice(max(top - ring, 0), min(top + ring + 1, high))
            hill[rows, max(left - ring, 0) : min(left + ring + 1, side)] += 1 / (ring + 1) ** 2
        halves.append(hill / hill.norm().clamp(min=1e-12))
    both = torch.cat([halves[0], -halves[1]])
    both = both / both.norm()
    return both.T if bool(torch.rand(1, generator=rng) > 0.5) else both


def tiled(origin: Float[Tensor, "B C H W"], own: Int[Tensor, "B"], ball: Ball, rng: torch.Generator,
          seed: int) -> Float[Tensor, "B C H W"]:  # fmt: skip
    """Hills in a grid of five by five or so, of random signs (section 3.4)."""
    channels, height, width = origin.shape[1:]
    side = max(height // 5, 1)
    begin, way = max((height - side * 5) // 2, 0), torch.zeros_like(origin)
    for row in range(height // side):
        for column in range(width // side):
            top, left = begin + row * side, begin + column * side
            hill = bump(side, rng).to(origin) * signs(own, seed, (1 << 22) + row * width + column, channels).to(origin)
            room_ = way[:, :, top : top + side, left : left + side]
            room_ += hill[:, :, : room_.shape[2], : room_.shape[3]]
    return (origin + ball.size * steepest(way, "2")).clamp(ball.low, ball.high)


def moved(x: Float[Tensor, "B C H W"], origin: Float[Tensor, "B C H W"], own: Int[Tensor, "B"], ball: Ball,
          share: float, rng: torch.Generator, seed: int, query: int) -> Float[Tensor, "B C H W"]:  # fmt: skip
    """What one window has of the change, and what is left of the ball, moved to a hill in another one (algorithm 3)."""
    channels, height, width = x.shape[1:]
    side = max(round(math.sqrt(share * height * width)), 3)
    side = min(side + (side % 2 == 0), height, width)
    (top, left), (row, column) = [(_place(height, side, rng), _place(width, side, rng)) for _ in range(2)]
    here = (..., slice(top, top + side), slice(left, left + side))
    there = (..., slice(row, row + side), slice(column, column + side))
    change = x - origin
    mask = torch.zeros_like(change[:1])
    mask[here] = mask[there] = 1
    unused = (ball.size**2 - change.flatten(1).square().sum(1)).clamp(min=0)
    budget = spread(unused, x) / channels + (change * mask).square().sum((2, 3), keepdim=True)
    old = change[here] / (change[here].square().sum((2, 3), keepdim=True).sqrt() + 1e-12)
    hill = bump(side, rng).to(x) * signs(own, seed, (1 << 23) + query, channels).to(x) + old
    hill = hill / (hill.square().sum((2, 3), keepdim=True).sqrt() + 1e-12) * budget.sqrt()
    change[there] = 0
    change[here] = hill
    return (origin + ball.size * change / spread(length(change), x)).clamp(ball.low, ball.high)
