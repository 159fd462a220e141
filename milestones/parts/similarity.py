"""How alike layers are, what can be read from them, and which direction in them is a concept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

FEWEST = 4  # examples, below which the unbiased estimate does not exist


def centred(rows: Shaped[Tensor, "N ..."]) -> Float[Tensor, "N N"]:
    """The inner products of the rows, their diagonal left out, centred so that the product of two such matrices is the
    unbiased HSIC up to a factor (Song et al. 2012, (5); as an inner product: Szekely & Rizzo 2014, (3.1))."""
    flat = rows.detach().flatten(1).double()
    flat = flat - flat.mean(0)  # changes nothing but the rounding
    flat = flat / flat.abs().max().clamp(min=1e-300)
    inner = flat @ flat.T
    inner.fill_diagonal_(0)
    n, sums = len(inner), inner.sum(1)
    inner = inner - (sums[:, None] + sums[None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    return inner.fill_diagonal_(0)


def cka(first: Sequence[Shaped[Tensor, "N ..."]], second: Sequence[Shaped[Tensor, "N ..."]] | None = None
        ) -> Float[Tensor, "L M"]:  # fmt: skip
    """Linear CKA of each layer of `first` with each of `second` (or of `first`), from the unbiased HSIC (Kornblith et
    al. 2019; debiased as Nguyen et al. 2021): 1 for equal layers up to a turn and a factor, about 0 for independent
    ones, however few the N examples. A layer that says the same of all examples is like none: 0.

    ValueError: fewer than 4 examples, or not as many in all layers.
    """
    counts = {len(rows) for rows in [*first, *(second or [])]}
    if len(counts) != 1 or min(counts) < FEWEST:
        raise ValueError(f"{FEWEST} examples or more, the same of all layers, not {sorted(counts)}")
    ours = torch.stack([unit(centred(rows)) for rows in first])
    theirs = ours if second is None else torch.stack([unit(centred(rows)) for rows in second])
    return (ours @ theirs.T).clamp(-1, 1)


def unit(matrix: Float[Tensor, "N N"]) -> Float[Tensor, "NN"]:
    """The matrix as a vector of length 1; of length 0 if nothing is in it but rounding."""
    flat = matrix.flatten()
    length = flat.norm()
    return flat / length if float(length) > 1e-12 * len(matrix) else torch.zeros_like(flat)


class Reading(NamedTuple):
    """A linear probe's result."""

    said: Int[Tensor, "M"]  # a class for each test example
    penalty: float  # chosen, as a share of the mean variance


PENALTIES = tuple(10.0**k for k in range(-6, 3))


def probe(train: Shaped[Tensor, "N ..."], target: Int[Tensor, "N"], test: Shaped[Tensor, "M ..."], classes: int
          ) -> Reading:  # fmt: skip
    """The classes that a linear reader of a layer gives to `test` (Alain & Bengio 2016, with ridge regression on one
    column a class for their logistic one, since it has a closed form).

    Its penalty is that of the lowest squared error when each training example in turn is left out, which needs no
    further training (Allen's PRESS); the test examples choose nothing.
    """
    x, z = train.detach().flatten(1).double(), test.detach().flatten(1).double()
    mean = x.mean(0)
    x, z = x - mean, z - mean
    scale = x.square().mean().sqrt().clamp(min=1e-300)
    x, z = x / scale, z / scale
    goal = torch.nn.functional.one_hot(target, classes).double()
    offset = goal.mean(0)
    y = goal - offset
    if x.shape[1] <= len(x):
        values, vectors = torch.linalg.eigh(x.T @ x)
        left, into = x @ vectors, vectors.T @ (x.T @ y)  # N D, D K
        outside = z @ vectors
    else:
        values, left = torch.linalg.eigh(x @ x.T)
        into, outside = left.T @ y, (z @ x.T) @ left
    values, best = values.clamp(min=0), (math.inf, 0.0, torch.zeros(0))
    mean_value = float(values.sum()) / len(x)
    tall = x.shape[1] <= len(x)
    for share in PENALTIES:
        damped = values + share * mean_value + 1e-300
        inner = 1 / damped if tall else values / damped
        fit = (left * inner) @ into
        lever = (left.square() * inner).sum(1) + 1 / len(x)  # the mean is fitted, too
        error = float(((y - fit) / (1 - lever).clamp(min=1e-9)[:, None]).square().mean())
        if error < best[0]:
            best = error, share, (outside / damped) @ into
    return Reading((best[2] + offset).argmax(-1), best[1])


def principal(rows: Shaped[Tensor, "N ..."], count: int = 2) -> tuple[Float[Tensor, "N n"], list[float]]:
    """The first principal components of the rows, and each one's share of the variance in percent. Signs are such that
    the largest weight of each is positive."""
    flat = rows.detach().flatten(1).double()
    flat = flat - flat.mean(0)
    if flat.shape[1] <= len(flat):
        values, vectors = torch.linalg.eigh(flat.T @ flat)
        spots = flat @ vectors
    else:
        values, vectors = torch.linalg.eigh(flat @ flat.T)
        spots = vectors * values.clamp(min=0).sqrt()
        vectors = flat.T @ vectors
    values, spots, vectors = values.flip(0)[:count], spots.flip(1)[:, :count], vectors.flip(1)[:, :count]
    sign = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    total = float(flat.square().sum())
    return (spots * sign).float(), [100 * max(0.0, float(v)) / total if total else 0.0 for v in values]


def nearest(rows: Float[Tensor, "N D"], to: Float[Tensor, "M D"], count: int) -> Int[Tensor, "M n"]:
    """The rows nearest to each of `to`, the nearest first."""
    return torch.cdist(to.double(), rows.double()).topk(min(count, len(rows)), largest=False).indices


class Direction(NamedTuple):
    """A concept activation vector."""

    vector: Float[Tensor, "D"]  # of length 1, towards the concept
    right: float  # percent of the examples that lie on their side when each in turn is left out


def direction(concept: Float[Tensor, "n D"], others: Float[Tensor, "m D"], penalty: float = 0.1) -> Direction:
    """What is orthogonal to the plane that tells a concept's examples from others (Kim et al. 2018, section 3.2), by
    ridge regression to 1 and -1, with the penalty as a share of the mean variance."""
    x = torch.cat([concept, others]).double()
    x = x - x.mean(0)
    y = torch.cat([torch.ones(len(concept)), -torch.ones(len(others))]).double()
    offset = y.mean()
    inner = x @ x.T
    damped = inner + torch.eye(len(x)).double() * (penalty * float(inner.trace()) / len(x) + 1e-300)
    hat = torch.linalg.solve(damped, inner)
    weights = torch.linalg.solve(damped, y - offset)
    left = (y - offset - hat @ (y - offset)) / (1 - hat.diagonal() - 1 / len(x)).clamp(min=1e-9)
    right = ((y - left) * y > 0).double().mean()
    vector = weights @ x
    return Direction((vector / vector.norm().clamp(min=1e-300)).float(), 100 * float(right))


def rising(slope: Float[Tensor, "N D"], vector: Float[Tensor, "D"]) -> float:
    """Percent of the examples whose score rises along the vector (Kim et al. 2018, (2)); `slope` is its gradient."""
    moved = slope.double() @ vector.double()
    return 100 * float(((moved > 0).double() + 0.5 * (moved == 0)).mean())


def differ(first: Sequence[float], second: Sequence[float]) -> float:
    """The chance of means as far apart as these if there were no difference: Student's t-test on two sides, for groups
    of equal size and spread, in closed form (Abramowitz & Stegun 26.7.4: the degrees of freedom are even)."""
    n = len(first)
    assert n == len(second) >= 2, "groups of one size"
    means = [sum(group) / n for group in (first, second)]
    squares = sum((v - m) ** 2 for group, m in zip((first, second), means, strict=True) for v in group)
    if squares == 0:
        return 1.0 if means[0] == means[1] else 0.0
    freedom = 2 * n - 2
    t = abs(means[0] - means[1]) / math.sqrt(squares / freedom * 2 / n)
    angle = math.atan2(t, math.sqrt(freedom))
    term, total = 1.0, 1.0
    for k in range(1, freedom // 2):
        term *= (2 * k - 1) / (2 * k) * math.cos(angle) ** 2
        total += term
    return max(0.0, 1 - math.sin(angle) * total)


def draws(count: int, size: int, times: int, seed: int) -> list[Int[Tensor, "M"]]:
    """`times` samples of `size` out of `count`, each without repetition."""
    rng = torch.Generator().manual_seed(seed)
    return [torch.randperm(count, generator=rng)[:size] for _ in range(times)]
