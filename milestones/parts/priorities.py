"""Numbers drawn with chances in proportion to priorities that change all the time: sums of blocks, not a tree."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 1024  # numbers whose sum is kept: a million take a thousand sums, and a draw looks at one of each
LEAST = 1e-6  # that an error counts for, so that what was learned once can be drawn again


class Priorities:
    """Chances P(i) = p_i^alpha / sum_k p_k^alpha of the numbers 0 to `size` - 1 (Schaul, Quan, Antonoglou & Silver
    2016, equation 1); at first all are 0. Draws come from the global generator."""

    def __init__(self, size: int, alpha: float) -> None:
        self.alpha, blocks = alpha, -(-size // BLOCK)
        self.weight = torch.zeros(blocks, BLOCK)  # p^alpha
        self.sums = torch.zeros(blocks, dtype=torch.float64)
        self.largest = torch.ones(())  # of all p^alpha so far: what a new one begins with (algorithm 1, line 6)

    def _put(self, index: Int[Tensor, "B"], weight: Float[Tensor, "B"]) -> None:
        self.weight.view(-1)[index] = weight
        blocks = (index // BLOCK).unique()
        self.sums[blocks] = self.weight[blocks].sum(1, dtype=torch.float64)

    def open(self, index: Int[Tensor, "B"]) -> None:
        """Let these be drawn, with the largest priority there was."""
        self._put(index, self.largest.expand(len(index)))

    def close(self, index: Int[Tensor, "B"]) -> None:
        """Let these be drawn no more."""
        self._put(index, torch.zeros(len(index)))

    def set(self, index: Int[Tensor, "B"], error: Float[Tensor, "B"]) -> None:
        """Their priorities from now on: the size of the error that was made there (proportional variant, 3.3)."""
        weight = (error.detach().abs().cpu().float() + LEAST) ** self.alpha
        self._put(index, weight)
        self.largest = torch.maximum(self.largest, weight.max())

    def draw(self, size: int) -> tuple[Int[Tensor, "B"], Float[Tensor, "B"]]:
        """`size` numbers and their chances P: one from each of `size` equal parts of the whole (appendix B.2.1)."""
        ends = self.sums.cumsum(0)
        at = (torch.arange(size) + torch.rand(size, dtype=torch.float64)) * (ends[-1] / size)
        block = torch.searchsorted(ends, at, right=True).clamp(max=len(ends) - 1)
        inner = self.weight[block].double().cumsum(1)  # B BLOCK
        # What rounding leaves over must not fall behind the last number that has a chance.
        rest = (at - (ends[block] - self.sums[block])).clamp(min=0.0).minimum(inner[:, -1] * (1 - 1e-12))
        index = block * BLOCK + torch.searchsorted(inner, rest[:, None], right=True)[:, 0].clamp(max=BLOCK - 1)
        return index, (self.weight.view(-1)[index].double() / ends[-1]).float()

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "sums": self.sums, "largest": self.largest}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.weight.copy_(state_dict["weight"])
        self.sums.copy_(state_dict["sums"])
        self.largest = state_dict["largest"]


def corrected(chance: Float[Tensor, "B"], beta: float) -> Float[Tensor, "B"]:
    """The weights of what was drawn with these chances, so that its mean is more like that of all: P^-beta, divided by
    the largest of the batch (section 3.4)."""
    return (chance / chance.min()) ** -beta
