"""Muon: steps of one length in every direction, for the filters and matrices of a net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: near 1 for singular values in 0 to 1 after five rounds


def orthogonal(matrices: Sequence[Float[Tensor, "_ _"]], rounds: int = 5) -> list[Float[Tensor, "_ _"]]:
    """The semi-orthogonal matrix nearest to each, roughly: singular values between 0.7 and 1.2 (Newton-Schulz).

    A round replaces X by p(XX') X, p an even polynomial; so the rounds need no more than XX', of the smaller side, and
    all matrices of one smaller side go through them together: many small products in one.
    """
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [x / (x.norm() + 1e-7) for x in wide]
    found = list(wide)
    for side in {len(x) for x in wide}:
        rows = [row for row, x in enumerate(wide) if len(x) == side]
        gram = torch.stack([wide[row] @ wide[row].mT for row in rows])  # G side side
        factor = product = _factor(gram)
        for _ in range(rounds - 1):
            gram = factor @ gram @ factor
            factor = _factor(gram)
            product = factor @ product
        for row, turn in zip(rows, product, strict=True):
            found[row] = turn @ wide[row]
    return [x.mT if matrix.shape[0] > matrix.shape[1] else x for matrix, x in zip(matrices, found, strict=True)]


def _factor(gram: Float[Tensor, "G M M"]) -> Float[Tensor, "G M M"]:
    """p(XX') of a round."""
    a, b, c = NEWTON_SCHULZ
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


class Muon(torch.optim.Optimizer):
    """Jordan's Muon (2024) for filters, "out in H W", as matrices "out, in H W", and for those `matrices` "out in" that
    it is given; AdamW for all else, at the same rate.

    Such a step is the orthogonalised momentum (Nesterov's), scaled to the size that Adam's would have (Liu et al.
    2025): 0.2 sqrt(larger side) of its matrix. `decay` shrinks what has two dimensions or more, decoupled.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.9, decay: float = 0.0,
                 betas: tuple[float, float] = (0.9, 0.99), matrices: Iterable[nn.Parameter] = ()) -> None:  # fmt: skip
        defaults = {"lr": lr, "momentum": momentum, "decay": decay, "betas": betas}
        groups: list[dict[str, Any]] = [{"params": [p for p in params if p.requires_grad]}]
        if chosen := [p for p in matrices if p.requires_grad]:
            groups.append({"params": chosen, "matrices": True})
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        assert closure is None, "no closure is needed: gradients are ready"
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if p.dim() > 1 and group["decay"]:
                    p.mul_(1 - group["lr"] * group["decay"])
            turned = (2, 4) if group.get("matrices") else (4,)
            self._filters([p for p in moved if p.dim() in turned], group)
            if rest := [p for p in moved if p.dim() not in turned]:
                self._rest(rest, group)

    def _filters(self, filters: list[Tensor], group: dict[str, Any]) -> None:
        rate, ahead = group["momentum"], []
        for p in filters:
            state = self.state[p]
            if not state:
                state["mean"] = torch.zeros_like(p)
            assert p.grad is not None
            mean = state["mean"].lerp_(p.grad, 1 - rate)
            ahead.append(p.grad.lerp(mean, rate).flatten(1))
        for p, step in zip(filters, orthogonal(ahead), strict=True):
            p.add_(step.view_as(p), alpha=-group["lr"] * 0.2 * max(step.shape) ** 0.5)

    def _rest(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        states, (first, second) = [self.state[p] for p in weights], group["betas"]
        for p, state in zip(weights, states, strict=True):
            if not state:
                state.update(
                    step=torch.zeros((), device=p.device), mean=torch.zeros_like(p), square=torch.zeros_like(p)
                )
        mean, square, step = ([state[name] for state in states] for name in ("mean", "square", "step"))
        adamw(weights, [p.grad for p in weights if p.grad is not None], mean, square, [], step, fused=True,
              amsgrad=False, beta1=first, beta2=second, lr=group["lr"], weight_decay=0.0, eps=1e-8,
              maximize=False)  # fmt: skip
