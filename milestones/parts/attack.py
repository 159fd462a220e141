"""Adversarial examples: small changes of an input that mislead a classifier, found along its gradient.

An attack takes `scores` (weights frozen, in evaluation mode: the caller's duty), legal examples and their classes. It
is written for all examples at once; only the net is called in chunks. What is drawn at random is keyed by the example
itself, so that its result depends neither on its neighbours nor on the size of a chunk (but for rounding in the net).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from .memory import free_memory, kept

Scores = Callable[[Tensor], Tensor]
"""Inputs "B ..." to scores "B K"; the largest is the answer."""

CUT = 3.0  # odds of 20 to 1: a universal change gains no more from one example
MOST = 512  # examples in a chunk: more are no faster
MEMORY = 1 << 28  # bytes that a chunk may hold for its gradient


class Ball(NamedTuple):
    """What an attack may do: changes of at most `size` in the norm, values from `low` to `high`; in the input's units.
    A picture's legal range is 0 to 255, so the literature's epsilon of 0.3 is a size of 76.5."""

    norm: Literal["inf", "2"]
    size: float
    low: float
    high: float


class Slope(NamedTuple):
    """A loss of each example, its gradient by the input, and the scores."""

    loss: Float[Tensor, "B"]
    gradient: Float[Tensor, "B ..."]
    scores: Float[Tensor, "B K"]


@torch.no_grad()
def fgsm(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball) -> Float[Tensor, "B ..."]:
    """One step to the ball's edge along the gradient's sign, or along the gradient in the 2-norm (Goodfellow, Shlens &
    Szegedy 2015, section 4). ValueError: an input or gradients that cannot be used."""
    gradient = slope(scores, input, target, odds, room(scores, input)).gradient
    return within(input + ball.size * steepest(gradient, ball.norm), input, ball)


@torch.no_grad()
def pgd(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, steps: int = 40,
        restarts: int = 1, step: float | None = None, seed: int = 0,
        drop: bool = True) -> Float[Tensor, "B ..."]:  # fmt: skip
    """The worst point of each example on `restarts` ascents from random points of the ball (Madry et al. 2018, (2)):
    one that misleads before one that does not, then the higher loss. `step`: by default 2.5 size / steps.

    With `drop`, an example is done as soon as it is misled, and one that is wrong already stays as it is. ValueError:
    as `fgsm`."""
    step = 2.5 * ball.size / max(1, steps) if step is None else step
    most, found = room(scores, input), input.clone()
    worth, broken = torch.full_like(target, -torch.inf, dtype=input.dtype), torch.zeros_like(target, dtype=torch.bool)
    left = torch.arange(len(input), device=input.device)
    if drop:
        left = left[said(scores, input, most).argmax(-1) == target]
    for draw in range(restarts):
        at, origin, true = left, input[left], target[left]
        x = within(origin + start(origin, ball, seed, draw), origin, ball)
        for turn in range(steps + 1):
            if not len(at):
                break
            if turn < steps:
                loss, gradient, answer = slope(scores, x, true, odds, most)
            else:  # no step follows, so no gradient is needed
                answer, gradient = said(scores, x, most), x
                loss = odds(answer, true)
            misled = answer.argmax(-1) != true
            better = (misled & ~broken[at]) | ((misled == broken[at]) & (loss > worth[at]))
            found[at[better]], worth[at[better]], broken[at[better]] = x[better], loss[better], misled[better]
            if drop and bool(misled.any()):
                at, origin, true, x, gradient = (part[~misled] for part in (at, origin, true, x, gradient))
            if turn < steps:
                x = within(x + step * steepest(gradient, ball.norm), origin, ball)
        left = left[~broken[left]] if drop else left
    return found


@torch.no_grad()
def universal(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"], ball: Ball, *, passes: int = 10,
              batch: int = 64, seed: int = 0) -> Float[Tensor, "1 ..."]:  # fmt: skip
    """One change that misleads as many of the examples as it can when it is added to any of them (Shafahi et al. 2020,
    algorithm 2: steps along the sign of the gradient of a loss that is cut off above, so that no example counts without
    end). What comes back is the best of all passes; add it with `within`."""
    most, change = room(scores, input), torch.zeros_like(input[:1])
    best, worth = change, -1
    rng = torch.Generator().manual_seed(seed)
    for turn in range(passes):
        step = ball.size / 4 / (1 + turn)
        for rows in torch.randperm(len(input), generator=rng).split(batch):
            x = within(input[rows] + change, input[rows], ball)
            pull = slope(scores, x, target[rows], lambda z, true: odds(z, true).clamp(max=CUT), most).gradient.sum(
                0, True
            )
            change = change + step * steepest(pull, ball.norm)
            change = within(change, torch.zeros_like(change), ball._replace(low=-torch.inf, high=torch.inf))
        x = within(input + change, input, ball)
        count = int((said(scores, x, most).argmax(-1) != target).sum())
        best, worth = (change, count) if count > worth else (best, worth)
    return best


@torch.no_grad()
def patch(scores: Scores, input: Float[Tensor, "B C H W"], aim: int, low: float, high: float, *, share: float = 0.4,
          steps: int = 150, batch: int = 32, seed: int = 0) -> Float[Tensor, "1 C S S"]:  # fmt: skip
    """A round sticker, `share` of the picture's side across, that makes the net say class `aim` wherever it lies,
    turned and scaled (Brown et al. 2017, (1)): Adam on the chance of the class over random pictures and places."""
    side = max(3, round(share * min(input.shape[2:])))
    rng = torch.Generator().manual_seed(seed)
    free = torch.zeros(1, input.shape[1], side, side)
    first, second = torch.zeros_like(free), torch.zeros_like(free)
    for turn in range(1, steps + 1):
        rows = torch.randint(len(input), (batch,), generator=rng)
        free = free.detach().requires_grad_()
        with torch.enable_grad():
            x = worn(input[rows], low + (high - low) * free.sigmoid(), share, places(batch, share, rng))
            loss = odds(scores(x), torch.full((batch,), aim)).mean()
        (pull,) = torch.autograd.grad(loss, free)
        first, second = first.lerp(pull, 0.1), second.lerp(pull**2, 0.01)
        free = free.detach() - 0.2 * (first / (1 - 0.9**turn)) / ((second / (1 - 0.99**turn)).sqrt() + 1e-8)
    return low + (high - low) * free.sigmoid()


def places(count: int, share: float, rng: torch.Generator) -> Float[Tensor, "B 4"]:
    """Where stickers lie: across and down from the middle in halves of the picture, turn in radians, scale."""
    draw = torch.rand(count, 4, generator=rng)
    at = (2 * draw[:, :2] - 1) * (1 - share)
    return torch.cat([at, (draw[:, 2:3] - 0.5) * torch.pi / 2, 0.8 + 0.4 * draw[:, 3:]], 1)


def worn(input: Float[Tensor, "B C H W"], sticker: Float[Tensor, "1 C S S"], share: float,
         place: Float[Tensor, "B 4"]) -> Float[Tensor, "B C H W"]:  # fmt: skip
    """The pictures with the sticker on them, at `places`; differentiable by the sticker."""
    x, y, turn, scale = place.T
    size = share * scale
    tall = input.shape[2] / min(input.shape[2:]), input.shape[3] / min(input.shape[2:])
    along, across = turn.cos() / size, turn.sin() / size
    rows = torch.stack([torch.stack([along * tall[1], across * tall[0], x * 0], 1),
                        torch.stack([-across * tall[1], along * tall[0], y * 0], 1)], 1)  # fmt: skip
    rows[:, :, 2] = -(rows[:, :, :2] @ torch.stack([x, y], 1)[:, :, None])[:, :, 0]
    grid = F.affine_grid(rows.to(input), list(input.shape), align_corners=False)
    inside = (grid.square().sum(3) <= 1)[:, None].to(input)
    seen = F.grid_sample(sticker.expand(len(input), -1, -1, -1), grid, padding_mode="border", align_corners=False)
    return input * (1 - inside) + seen * inside


def odds(scores: Float[Tensor, "B K"], target: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The logarithm of the odds against the true class. Its gradient is that of the cross-entropy but for a factor,
    and does not vanish where the net is sure: 1 - p is never formed."""
    true = scores.gather(1, target[:, None])[:, 0]
    others = scores.scatter(1, target[:, None], -torch.inf)
    return others.logsumexp(1) - true


def margin(scores: Float[Tensor, "B K"], target: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The best of the other classes' scores less the true one's: positive where the net is misled."""
    true = scores.gather(1, target[:, None])[:, 0]
    return scores.scatter(1, target[:, None], -torch.inf).max(1).values - true


def misled(scores: Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"]) -> Bool[Tensor, "B"]:
    """Where the answer is not the target."""
    return said(scores, input, room(scores, input)).argmax(-1) != target


def slope(scores: Scores, input: Shaped[Tensor, "B ..."], target: Int[Tensor, "B ..."],
          loss: Callable[[Tensor, Tensor], Tensor], most: int) -> Slope:  # fmt: skip
    """The loss of each example, with its gradient by the input alone, at most `most` examples at a time.

    ValueError: the input is not one of real numbers, the scores do not depend on it, or a gradient is no number."""
    if not input.is_floating_point():
        raise ValueError(f"an input of {input.dtype} has no gradient")
    parts = []
    for x, true in zip(input.split(most), target.split(most), strict=True):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            answer = scores(x)
            value = loss(answer, true)
            if not value.requires_grad:
                raise ValueError("the scores cannot be differentiated by the input")
            (gradient,) = torch.autograd.grad(value.sum(), x, allow_unused=True)
        if gradient is None:
            raise ValueError("the scores cannot be differentiated by the input")
        if not bool(torch.isfinite(gradient.sum())):
            raise ValueError("a gradient that is no number (NaN or infinite)")
        parts.append((value.detach(), gradient, answer.detach()))
    return Slope(*(torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts, strict=True)))


@torch.no_grad()
def said(scores: Scores, input: Float[Tensor, "B ..."], most: int) -> Float[Tensor, "B K"]:
    """The scores, at most `most` examples at a time."""
    return torch.cat([scores(x) for x in input.split(most)])


def room(scores: Scores, input: Float[Tensor, "B ..."]) -> int:
    """How many examples fit in a chunk: by what two of them hold for their gradient beyond what one does, and by the
    memory that is free. At least 1."""
    if len(input) < 2:
        return 1
    one, two = (input[:count].detach().clone().requires_grad_(input.is_floating_point()) for count in (1, 2))
    each = max(kept(lambda: scores(two)) - kept(lambda: scores(one)), input[0].nbytes)
    free = free_memory(input.device)
    return max(1, min(MOST, max(MEMORY // 8, min(MEMORY, free // 4)) // each))


def seats(input: Float[Tensor, "B ..."]) -> int:
    """How many examples fit in a chunk of which only scores are asked, without asking any: a net holds some tens of
    times its input. At least 1."""
    return max(1, min(MOST, MEMORY // (64 * max(1, input[:1].nbytes))))


def within(x: Float[Tensor, "B ..."], origin: Float[Tensor, "B ..."], ball: Ball) -> Float[Tensor, "B ..."]:
    """The point of the ball around `origin` next to x, then moved into the legal range, which keeps it in the ball."""
    if ball.norm == "inf":
        return torch.clamp(x, origin - ball.size, origin + ball.size).clamp(ball.low, ball.high)
    change = x - origin
    return (origin + change * (ball.size / spread(length(change), x)).clamp(max=1)).clamp(ball.low, ball.high)


def steepest(gradient: Float[Tensor, "B ..."], norm: str) -> Float[Tensor, "B ..."]:
    """The direction of length 1 in the norm in which a loss with this gradient rises fastest; 0 where it is flat."""
    return gradient.sign() if norm == "inf" else gradient / spread(length(gradient), gradient)


def length(x: Float[Tensor, "B ..."]) -> Float[Tensor, "B"]:
    """The 2-norm of each example, above 0 so that it divides. No square underflows: the largest entry is taken
    out first (gradients of a sure net are small)."""
    flat = x.flatten(1)
    most = flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return ((flat / most).norm(dim=1) * most[:, 0]).clamp(min=torch.finfo(x.dtype).tiny)


def spread(each: Tensor, like: Tensor) -> Tensor:
    """A value for each example, "B", shaped so that it goes with `like`, "B ..."."""
    return each.view(-1, *[1] * (like.dim() - 1))


def start(origin: Float[Tensor, "B ..."], ball: Ball, seed: int, draw: int = 0) -> Float[Tensor, "B ..."]:
    """A random change, uniform in the ball (not yet in the legal range), keyed by seed, draw and the example."""
    own, size = identity(origin), origin[0].numel() if len(origin) else 1
    if ball.norm == "inf":
        return (2 * uniform(own, seed, draw, size).to(origin.dtype).view(origin.shape) - 1) * ball.size
    way = normal(own, seed, draw, size).to(origin.dtype).view(origin.shape)
    radius = uniform(own, seed, draw + (1 << 20), 1)[:, 0].to(origin.dtype) ** (1 / size)
    return way * spread(ball.size * radius / length(way), origin)


def identity(input: Float[Tensor, "B ..."]) -> Int[Tensor, "B"]:
    """A key for each example, of its values alone: what is drawn by it is the same among any neighbours."""
    rows = input.detach().flatten(1).to("cpu", torch.float32).contiguous().numpy()
    keys = [int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "big", signed=True) for row in rows]
    return torch.tensor(keys, dtype=torch.long, device=input.device)


def keyed(*parts: int) -> torch.Generator:
    """A generator of its own for these numbers."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def uniform(own: Int[Tensor, "B"], seed: int, draw: int, count: int) -> Float[Tensor, "B D"]:
    """Numbers from [0, 1) for each key, another row of `count` for each seed and draw."""
    rows = [torch.rand(count, generator=keyed(key, seed, draw)) for key in own.tolist()]
    return torch.stack(rows).to(own.device) if rows else torch.empty(0, count)


def normal(own: Int[Tensor, "B"], seed: int, draw: int, count: int) -> Float[Tensor, "B D"]:
    """Standard normal numbers, drawn as `uniform`."""
    rows = [torch.randn(count, generator=keyed(key, seed, draw)) for key in own.tolist()]
    return torch.stack(rows).to(own.device) if rows else torch.empty(0, count)
