"""Muon: steps of one length in every direction, for the filters of a net."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: near 1 for singular values in 0 to 1 after five rounds


def orthogonal(matrix: Float[Tensor, "... M N"], rounds: int = 5) -> Float[Tensor, "... M N"]:
    """The nearest semi-orthogonal matrix, roughly: singular values between 0.7 and 1.2 (Newton-Schulz iteration)."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Jordan's Muon (2024) for filters, "out in H W", as matrices "out, in H W"; AdamW for all else, at the same rate.

    A filter's step is the orthogonalised momentum (Nesterov's), scaled to the size that Adam's would have (Liu et al.
    2025): 0.2 sqrt(larger side) of its matrix. `decay` shrinks what has two dimensions or more, decoupled.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.9, decay: float = 0.0,
                 betas: tuple[float, float] = (0.9, 0.99)) -> None:  # fmt: skip
        defaults = {"lr": lr, "momentum": momentum, "decay": decay, "betas": betas}
        super().__init__([p for p in params if p.requires_grad], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        assert closure is None, "no closure is needed: gradients are ready"
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.dim() > 1 and group["decay"]:
                    p.mul_(1 - group["lr"] * group["decay"])
                (self._filters if p.dim() == 4 else self._adam)(p, group)

    def _filters(self, p: Tensor, group: dict[str, Any]) -> None:
        state, rate = self.state[p], group["momentum"]
        if not state:
            state["mean"] = torch.zeros_like(p)
        assert p.grad is not None
        mean = state["mean"].lerp_(p.grad, 1 - rate)
        ahead = p.grad.lerp(mean, rate).flatten(1)
        p.add_(orthogonal(ahead).view_as(p), alpha=-group["lr"] * 0.2 * max(ahead.shape) ** 0.5)

    def _adam(self, p: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[p], group["betas"]
        if not state:
            state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
        assert p.grad is not None
        state["step"] += 1
        mean = state["mean"].lerp_(p.grad, 1 - first)
        square = state["square"].mul_(second).addcmul_(p.grad, p.grad, value=1 - second)
        size = (square / (1 - second ** state["step"])).sqrt_().add_(1e-8)
        p.addcdiv_(mean, size, value=-group["lr"] / (1 - first ** state["step"]))
