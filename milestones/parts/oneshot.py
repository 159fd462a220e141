"""Classes told apart by few examples of each: distances to prototypes, how often they are right, and pairs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

ROUNDS = 50  # of Newton's method
RIDGE = 1e-4  # keeps the slope finite where a threshold tells all pairs apart


def barred(label: Int[Tensor, "B"], group: Int[Tensor, "B"]) -> Bool[Tensor, "B B"]:
    """Which rows are no rivals: of another group, or of the same class; each is a rival of itself."""
    met = (label[:, None] == label[None]) | (group[:, None] != group[None])
    return met & ~torch.eye(len(label), dtype=torch.bool, device=label.device)


def prototype_logits(x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S B"]:
    """Minus the squared distance of each of a class's S examples to the mean of the other examples of each class: each
    example in turn is the one that is asked about (Snell et al. 2017, (1) and (2), with all rows used both ways)."""
    assert x.shape[1] >= 2, "one to learn from and one to ask about"
    others = (x.sum(1, keepdim=True) - x) / (x.shape[1] - 1)
    return -(x[:, :, None] - others.transpose(0, 1)[None]).square().sum(-1)


def nearer(query: Shaped[Tensor, "N ..."], example: Shaped[Tensor, "N ..."], label: Int[Tensor, "N"],
           group: Int[Tensor, "N"]) -> tuple[Int[Tensor, "N"], Int[Tensor, "N"]]:  # fmt: skip
    """For each query, how many examples of other classes in its group are as near as its own class's example, or
    nearer (Euclidean; a tie is not told apart); and how many others there are."""
    far = torch.cdist(query.flatten(1).double(), example.flatten(1).double(),
                      compute_mode="donot_use_mm_for_euclid_dist")  # fmt: skip
    others = ~barred(label, group)
    others.fill_diagonal_(False)
    return ((far <= far.diagonal()[:, None]) & others).sum(1), others.sum(1)


def missed(ahead: Int[Tensor, "N"], others: Int[Tensor, "N"], way: int) -> Float[Tensor, "N"]:
    """The chance that each query is taken for another class in an episode of `way` classes: its own, and the rest drawn
    from its `others`, of which `ahead` are nearer. Exact, by counting; fewer others make a smaller episode."""
    found = []
    for k, n in zip(ahead.tolist(), others.tolist(), strict=True):
        drawn = min(way - 1, n)
        found.append(1 - math.comb(n - k, drawn) / math.comb(n, drawn))
    return torch.tensor(found, dtype=torch.float64)


def same_chance(far: Float[Tensor, "..."], slope: Float[Tensor, ""], middle: Float[Tensor, ""]) -> Float[Tensor, "..."]:
    """The chance that two things this far apart are of one class, where that is as likely as not beforehand."""
    return (slope * (middle - far)).sigmoid()


def threshold(same: Float[Tensor, "N"], different: Float[Tensor, "M"]) -> tuple[float, float]:
    """Slope and middle of the logistic curve over the distance that fits pairs of one class and of two best, both kinds
    weighed alike, by Newton's method."""
    far = torch.cat([same, different]).double()
    scale = float(far.std().clamp(min=1e-12))
    z = torch.stack([-far / scale, torch.ones_like(far)], 1)
    y = torch.cat([torch.ones(len(same)), torch.zeros(len(different))]).double().to(far.device)
    weight = torch.cat([torch.full((len(same),), 0.5 / len(same)), torch.full((len(different),), 0.5 / len(different))])
    weight = weight.double().to(far.device)
    w = torch.zeros(2, dtype=torch.float64, device=far.device)
    ridge = RIDGE * torch.eye(2, dtype=torch.float64, device=far.device)
    for _ in range(ROUNDS):
        p = (z @ w).sigmoid()
        slope = z.T @ (weight * (p - y)) + ridge @ w
        curve = (z * (weight * p * (1 - p))[:, None]).T @ z + ridge
        step = torch.linalg.solve(curve, slope)
        w = w - step * (1 / max(1.0, float(step.norm())))
    steep = max(float(w[0]), 1e-9)
    return steep / scale, float(w[1]) * scale / steep
