"""How a loss bends around a point: the Hessian's largest eigenvalues, its trace and how its eigenvalues are spread,
without ever writing it down (Ghorbani, Krishnan & Xiao 2019; Yao et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .landscape import Terrain, joined

Product = Callable[[Tensor], Tensor]
"""The Hessian times a vector "D"."""

WITHIN = 2e-3  # of an eigenvalue: how large its bound may be; a looser one may be the next one's
MOST = 250  # Lanczos steps of one run
MEMORY = 1 << 28  # numbers that the vectors of one run may take
STEP = 2e-3  # of the weights' length: how far to go for a difference of gradients


def hessian(terrain: Terrain) -> tuple[Product, bool]:
    """The Hessian of a terrain's loss where it stands, as a product with a vector; and whether it is exact.

    By differentiating the gradient's product with the vector, chunk after chunk. Where a layer has no second
    derivative (CTC), by the difference of two gradients, which is true to about three digits.
    """
    here = terrain.point.clone()

    def slopes(batch: Any) -> tuple[Tensor | None, ...]:
        value = terrain.loss(terrain.net, batch)["loss"]
        return torch.autograd.grad(value, terrain.parameters, create_graph=True, allow_unused=True)

    def exact(vector: Tensor) -> Tensor:
        total, parts = torch.zeros_like(vector), terrain.shaped(vector)
        with terrain.differentiable() as parameters:
            for batch in terrain.chunks:
                pairs = zip(slopes(batch), parts, strict=True)
                terms = [(slope * part).sum() for slope, part in pairs if slope is not None and slope.requires_grad]
                if terms:
                    again = torch.autograd.grad(sum(terms), parameters, allow_unused=True, materialize_grads=True)
                    total.add_(joined(again), alpha=len(batch[0]) / terrain.count)
        return total

    def difference(vector: Tensor) -> Tensor:
        length = float(vector.norm())
        if length == 0:
            return torch.zeros_like(vector)
        step = STEP * max(float(here.norm()), 1e-3) / length
        try:
            terrain.stand(torch.add(here, vector, alpha=step))
            ahead = terrain.slope()
            terrain.stand(torch.sub(here, vector, alpha=step))
            return (ahead - terrain.slope()) / (2 * step)
        finally:
            terrain.stand(here)

    try:
        exact(torch.ones_like(here))
    except RuntimeError:  # what PyTorch raises where there is no such derivative
        return difference, False
    with terrain.differentiable():
        found = slopes(terrain.chunks[0])
    fixed = [slope is not None and not slope.requires_grad for slope in found]
    del found
    if any(fixed):  # a slope that does not change; or a layer that says so of one that does
        change = difference(torch.ones_like(here))
        most = 0.01 * float(change.abs().max())
        for part, still in zip(terrain.shaped(change), fixed, strict=True):
            if still and bool((part.abs() > most).any()):
                return difference, False
    return exact, True


class Eigenvalues(NamedTuple):
    """The largest eigenvalues, and what one run of Lanczos tells of the others."""

    values: list[float]  # the largest first, each as often as it occurs
    bounds: list[float]  # an eigenvalue lies within this of each
    lowest: float  # the smallest eigenvalue is not above it
    nodes: list[float]  # of the spread of all eigenvalues: a share of `weights` of them lies about here
    weights: list[float]
    products: int  # how often the Hessian was multiplied


class Run(NamedTuple):
    """What Lanczos found, the largest first."""

    values: Tensor
    bounds: Tensor
    shares: Tensor  # of the first vector
    vectors: Tensor  # of the first `count`, "count D"
    products: int


def largest(product: Product, like: Float[Tensor, "D"], count: int, seed: int = 0, within: float = WITHIN,
            most: int = MOST) -> Eigenvalues:  # fmt: skip
    """The `count` largest eigenvalues of a symmetric matrix, of which only the product with vectors as `like` is known.

    By Lanczos' method with full reorthogonalisation: what others leave out, and find eigenvalues twice that occur once.
    One run sees an eigenvalue that occurs several times only once; so further runs, at right angles to all that was
    found, go on until they find no larger one than the last of the list.
    """
    count = min(count, len(like))
    rng = torch.Generator().manual_seed(seed)
    first = lanczos(product, like, like.new_zeros(0, len(like)), count, -math.inf, rng, within, most)
    values, bounds, vectors = first.values[:count], first.bounds[:count], first.vectors[:count]
    products = first.products
    for _ in range(count):
        if len(vectors) == len(like):
            break
        floor = float(values[-1])
        more = lanczos(product, like, vectors, count, floor, rng, within, most)
        products += more.products
        head = more.values[:count]
        new = head > floor + within * abs(floor)
        if not new.any():
            break
        order = torch.cat([values, head[new]]).argsort(descending=True, stable=True)[:count]
        values = torch.cat([values, head[new]])[order]
        bounds = torch.cat([bounds, more.bounds[:count][new]])[order]
        vectors = torch.cat([vectors, more.vectors[new]])[order]
    spread = first.values.tolist(), first.shares.tolist()
    return Eigenvalues(values.tolist(), bounds.tolist(), float(first.values.min()), *spread, products)


def lanczos(product: Product, like: Float[Tensor, "D"], known: Float[Tensor, "K D"], count: int, floor: float,
            rng: torch.Generator, within: float = WITHIN, most: int = MOST) -> Run:  # fmt: skip
    """Lanczos' method at right angles to the vectors `known`, until the `count` largest eigenvalues above `floor` are
    found to `within`, or none is above it (Golub & Van Loan, section 10.1; each new vector is orthogonalised twice)."""
    size = len(like) - len(known)
    most = min(size, most, max(2 * count + 10, MEMORY // len(like)))
    basis = like.new_empty(most, len(like))
    diagonal, beside = torch.zeros(most).double(), torch.zeros(most).double()
    scale, m = 0.0, 0

    def straightened(vector: Tensor) -> Tensor:
        for _ in range(2):
            for others in (known, basis[:m]):
                vector = vector - (others @ vector) @ others
        return vector

    def fresh() -> Tensor:
        vector = straightened(torch.randn(len(like), generator=rng, dtype=torch.float64).to(like))
        return vector / vector.norm()

    vector = fresh()
    while True:
        basis[m] = vector
        image = product(vector)
        diagonal[m] = float(image.double() @ vector.double())
        m += 1
        scale = max(scale, float(image.double().norm()))
        image = straightened(image)
        beta = float(image.double().norm())
        ended = beta <= 50 * torch.finfo(like.dtype).eps * scale  # what the vectors span maps into itself
        found = ritz(diagonal[:m], beside[: m - 1], 0.0 if ended else beta)
        if m == most or done(found, count, floor, within):
            break
        beside[m - 1] = 0.0 if ended else beta
        vector = fresh() if ended else image / beta
    values, bounds, mixed = found
    bounds = bounds + 10 * torch.finfo(like.dtype).eps * scale  # what rounding may have moved them by
    return Run(values, bounds, mixed[0].square(), mixed.T[:count].to(like) @ basis[:m], m)


def ritz(diagonal: Tensor, beside: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues of a symmetric tridiagonal matrix, the largest first, their bounds and their vectors as columns."""
    matrix = torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0), (beta * vectors[-1].abs()).flip(0), vectors.flip(1)


def done(found: tuple[Tensor, Tensor, Tensor], count: int, floor: float, within: float) -> bool:
    """Whether the eigenvalues that are asked for are found."""
    values, bounds, _ = found
    if len(values) < (count if floor == -math.inf else 5):
        return False
    scale = 1e-3 * float(values.abs().max())
    small = bounds <= within * values.abs().clamp_min(scale)
    above = int((values > floor).sum()) if floor > -math.inf else count
    if above == 0:  # none is larger, once the largest of them is found
        return float(bounds[0]) <= max(within * abs(floor), scale)
    return bool(small[: min(above, count)].all())


def traces(product: Product, like: Float[Tensor, "D"], probes: int = 20, seed: int = 0) -> list[float]:
    """Estimates of the sum of all eigenvalues, independent and each right in the mean: v' H v for vectors v of random
    signs (Hutchinson 1990). Their mean is the estimate, their spread says how good it is."""
    rng, found = torch.Generator().manual_seed(seed), []
    for _ in range(probes):
        signs = torch.randint(0, 2, (len(like),), generator=rng).to(like) * 2 - 1
        found.append(float(signs.double() @ product(signs).double()))
    return found


def sharpness(terrain: Terrain, radius: float = 0.05) -> float:
    """How far the loss rises at `radius` from where the terrain stands, in the direction of its gradient (Foret et al.
    2021, (2))."""
    here = terrain.point.clone()
    low, slope = terrain.terms()["loss"], terrain.slope()
    if not float(slope.norm()):
        return 0.0
    try:
        return terrain.at(torch.add(here, slope, alpha=radius / float(slope.norm())))["loss"] - low
    finally:
        terrain.stand(here)
