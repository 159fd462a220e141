"""Drawings as points along strokes: how one drawing is bent into another, how likely that is, and their picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SMOOTH = 2.0  # pixels: what a path is smoothed by before it is measured


class Drawing(NamedTuple):
    """Points evenly along the strokes of B drawings, about their mean, in units of their root mean square distance."""

    point: Tensor  # B P 2 float: x, then y downwards
    stroke: Tensor  # B P int64: of which stroke each point is, from 0; the points of a stroke in its direction


def smoothed(path: Float[np.ndarray, "N 2"], width: float = SMOOTH) -> Float[np.ndarray, "N 2"]:
    """The path without the steps of its pixels, its ends where they are."""
    if len(path) < 5:
        return path
    reach = min(int(3 * width), len(path) - 1)
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    before, after = 2 * path[0] - path[reach:0:-1], 2 * path[-1] - path[-2 : -reach - 2 : -1]
    whole = np.concatenate([before, path, after])
    return np.stack([np.convolve(one, weight / weight.sum(), "valid") for one in whole.T], 1)


def along(path: Float[np.ndarray, "N 2"], count: int) -> Float[np.ndarray, "M 2"]:
    """`count` points at equal distances along the path, the middles of as many equal pieces."""
    far = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = (np.arange(count) + 0.5) / count * far[-1]
    return np.stack([np.interp(at, far, one) for one in path.T], 1)


def shares(strokes: Sequence[Float[np.ndarray, "_ 2"]], points: int) -> list[int]:
    """How many of `points` each stroke gets: by its length, at least one."""
    size = np.array([np.hypot(*np.diff(path, axis=0).T).sum() for path in strokes]) + 1e-6
    whole = np.maximum(1, np.floor(size / size.sum() * points)).astype(int)
    while (gap := points - whole.sum()) != 0:
        best = np.argmax(size / (whole + 0.5)) if gap > 0 else np.argmin(np.where(whole > 1, size / whole, np.inf))
        whole[best] += 1 if gap > 0 else -1
    return whole.tolist()


def laid_along(strokes: Sequence[Float[np.ndarray, "_ 2"]], points: int,
               count: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The points "P 2" and strokes "P" of one drawing, before `centred`."""
    count = count or shares(strokes, points)
    return np.concatenate([along(path, n) for path, n in zip(strokes, count, strict=True)]), np.repeat(
        np.arange(len(count)), count
    )


def centred(point: Float[Tensor, "B P 2"]) -> Float[Tensor, "B P 2"]:
    point = point - point.mean(-2, keepdim=True)
    return point / point.square().sum(-1, keepdim=True).mean(-2, keepdim=True).sqrt().clamp(min=1e-6)


def heading(point: Float[Tensor, "B P 2"], stroke: Int[Tensor, "B P"]) -> Float[Tensor, "B P 2"]:
    """Cosine and sine of twice the angle of the stroke at each point: what does not tell back from forth. 0 at dots."""
    same = stroke[:, 1:] == stroke[:, :-1]
    step = (point[:, 1:] - point[:, :-1]) * same[..., None]
    pad = step.new_zeros(len(step), 1, 2)
    x, y = (torch.cat([step, pad], 1) + torch.cat([pad, step], 1)).unbind(-1)
    size = (x * x + y * y).clamp(min=1e-12)
    return torch.stack([(x * x - y * y) / size, 2 * x * y / size], -1)


class Bend(nn.Module):
    """How far the same character's points lie from another drawing's: a Gaussian process over the points, the sum of a
    change that is affine, one of neighbourhoods, one of each stroke and one along it, and what is left. Six standard
    deviations and two lengths, as logarithms, in units of a drawing's size."""

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor([0.05, 0.15, 0.15, 0.1, 0.1, 0.03, 0.5, 0.4]).log())

    def forward(self, drawing: Drawing) -> Float[Tensor, "B P P"]:
        """The covariance of either coordinate's change."""
        shift, affine, near, stroke, bend, rest, reach, span = self.log.exp()
        point, one = drawing.point, (drawing.stroke[:, :, None] == drawing.stroke[:, None]).float()
        far = (point[:, :, None] - point[:, None]).square().sum(-1)
        step = (point[:, 1:] - point[:, :-1]).norm(dim=-1)
        at = torch.cat([step.new_zeros(len(step), 1), step.cumsum(1)], 1)
        apart = (at[:, :, None] - at[:, None]).square()
        k = shift**2 + affine**2 * point @ point.mT + near**2 * (-far / (2 * reach**2)).exp()
        k = k + one * (stroke**2 + bend**2 * (-apart / (2 * span**2)).exp())
        return k + rest**2 * torch.eye(point.shape[1]).to(point)


def nats(cov: Float[Tensor, "B P P"], change: Float[Tensor, "B P 2"]) -> Float[Tensor, "B"]:
    """-log density of a change of both coordinates."""
    root = torch.linalg.cholesky(cov)
    z = torch.linalg.solve_triangular(root, change, upper=False)
    size = change.shape[1] * 2
    return (
        0.5 * z.square().sum((1, 2)) + 2 * root.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * size * np.log(2 * np.pi)
    )


class Ink(NamedTuple):
    """How ink is scattered about the points of a program."""

    first: float = 0.35  # standard deviation that the search begins with
    last: float = 0.09  # and ends with, in units of a drawing's size
    turn: float = 1.0  # what a direction across counts
    stray: float = 1e-3  # density of ink from anywhere
    steps: int = 24  # rounds of the search
    back: float = 1.0  # weight of the program's points that have no ink near them
    prior: float = 1.0  # weight of how unusual the change is


def bent(cov: Float[Tensor, "B P P"], drawing: Drawing, target: Drawing, ink: Ink) -> tuple[Tensor, Tensor]:
    """-log of how likely each target is under each drawing's program, up to a constant, in nats a point; and the
    drawing's points bent to it. Expectation and maximisation: the target's points are drawn from Gaussians along the
    program, whose width falls step by step; the program's change has the prior `cov`."""
    p, q, toward = drawing.point, target.point, heading(target.point, target.stroke)
    size, moved = p.shape[1], p
    cost = p.new_zeros(len(p))
    for step in range(ink.steps + 1):
        width = ink.first * (ink.last / ink.first) ** min(1.0, step / max(1, ink.steps - 4))
        far = torch.cdist(moved, q).square() / (2 * width**2)
        logit = -far - ink.turn * (1 - heading(moved, drawing.stroke) @ toward.mT) / 2  # B P Q
        if step == ink.steps:
            floor = logit.new_tensor(ink.stray).log()
            ahead = -torch.logaddexp(logit.logsumexp(1) - np.log(size), floor).mean(1)
            back = -torch.logaddexp(logit.logsumexp(2) - np.log(size), floor).mean(1)
            cost = ahead + ink.back * back + ink.prior * cost / size
            break
        e = (logit - logit.amax((1, 2), keepdim=True)).exp()
        stray = (np.log(ink.stray * size) - logit.amax((1, 2), keepdim=True)).exp()
        weight = e / (e.sum(1, keepdim=True) + stray) + ink.back * e / (e.sum(2, keepdim=True) + stray)
        total = weight.sum(2).clamp(min=1e-4)
        want = weight @ q / total[..., None] - p
        root = torch.linalg.cholesky(cov + torch.diag_embed(width**2 / total))
        pull = torch.cholesky_solve(want, root)
        change = cov @ pull
        cost = 0.5 * (change * pull).sum((1, 2))
        moved = p + change
    return cost, moved


def drawn(point: Float[Tensor, "B P 2"], side: int, scale: float, width: float) -> Float[Tensor, "B H W"]:
    """The chance of ink at each pixel: 1 minus the chance that none of the points left any there. Differentiable."""
    at = torch.arange(side).to(point) - (side - 1) / 2
    x, y = ((at - scale * point[..., k, None]).square() / (-2 * width**2) for k in (0, 1))
    spot = (y.exp()[..., :, None] * x.exp()[..., None, :]).clamp(max=1 - 1e-4)  # B P H W
    return 1 - (-spot).log1p().sum(-3).exp()
