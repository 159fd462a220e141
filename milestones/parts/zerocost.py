"""What is said of a net before it is trained, from one batch: proxies that rank architectures, and how well a ranking
agrees with another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def parameters(model: nn.Module) -> float:
    """How many numbers are learned."""
    return float(sum(weight.numel() for weight in model.parameters() if weight.requires_grad))


def slopes(model: nn.Module, loss: Tensor) -> tuple[float, float]:
    """The norm of the loss's gradient, and the sum of |weight x its gradient|: what would change if single weights were
    taken away (SNIP: Lee, Ajanthan & Torr 2019)."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found: Any = torch.autograd.grad(loss, weights, allow_unused=True)  # None where one is unused
    norm, kept = 0.0, 0.0
    for weight, gradient in zip(weights, found, strict=True):
        if gradient is not None:
            norm += float(gradient.double().square().sum())
            kept += float((weight.detach() * gradient).double().abs().sum())
    return math.sqrt(norm), kept


def synflow(model: nn.Module, scores: Callable[[Tensor], Tensor], input: Float[Tensor, "B ..."]) -> float:
    """The logarithm of the sum over all weights of weight x slope, when all weights are taken without their signs and
    the input is 1 everywhere (Tanaka, Kunin, Yamins & Ganguli 2020); NaN where that is none. Destroys the weights;
    `scores` is of this model."""
    model.eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()
    value = scores(torch.ones_like(input[:1])).sum()
    if not value.requires_grad:
        return math.nan
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found: Any = torch.autograd.grad(value, weights, allow_unused=True)
    total = sum(float((weight.detach() * gradient).double().sum())
                for weight, gradient in zip(weights, found, strict=True) if gradient is not None)  # fmt: skip
    return math.log(total) if 0 < total < math.inf else math.nan


def jacobian_covariance(scores: Callable[[Tensor], Tensor], input: Float[Tensor, "B ..."]) -> float:
    """How differently the net's slopes lie at different inputs: minus the sum of log v + 1/v over the eigenvalues v of
    their correlations (Mellor, Turner, Storkey & Crowley 2021, first version). Higher where they differ more."""
    x = input.detach().clone().requires_grad_()
    slope = torch.autograd.grad(scores(x).sum(), x)[0].flatten(1).double()
    slope = slope - slope.mean(1, keepdim=True)
    size = slope.norm(dim=1, keepdim=True)
    if not bool((size > 0).all()) or not bool(torch.isfinite(slope).all()):
        return math.nan
    values = torch.linalg.eigvalsh((slope / size) @ (slope / size).T).clamp(min=0) + 1e-5
    return -float((values.log() + 1 / values).sum())


def ranks(values: Sequence[float]) -> list[float]:
    """The place of each value among all, from 1 for the smallest; equal ones share theirs. NaN counts as smallest."""
    clean = [-math.inf if math.isnan(value) else value for value in values]
    return [sum(other < value for other in clean) + (sum(other == value for other in clean) + 1) / 2 for value in clean]


def spearman(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """The rank correlation of two lists with its 95 % interval, by Fisher's z with the spread of Bonett & Wright
    (2000); NaN where one list is all alike, the interval -1 to 1 for fewer than four pairs."""
    x, y = ranks(a), ranks(b)
    mean = (len(x) + 1) / 2
    over = math.sqrt(sum((one - mean) ** 2 for one in x) * sum((one - mean) ** 2 for one in y))
    if not over:
        return math.nan, -1.0, 1.0
    rho = sum((one - mean) * (other - mean) for one, other in zip(x, y, strict=True)) / over
    rho = max(-1.0, min(1.0, rho))
    if len(x) < 4:
        return rho, -1.0, 1.0
    z = math.atanh(max(-0.9999, min(0.9999, rho)))
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, min(rho, math.tanh(z - half)), max(rho, math.tanh(z + half))
