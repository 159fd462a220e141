"""What is still to come, from what was paid: advantages of actions and targets of values, right where time ran out.

All are of T steps of N episodes that follow one another in N slots. `ended`: the world ended the episode, so that
nothing follows; `cut`: a limit of time did, so that what would have followed is still worth something (Pardo et al.
2018): it is taken from the value of the last that was seen, not from the first of the next episode.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def advantages(reward: Float[Tensor, "T N"], value: Float[Tensor, "T N"], ended: Bool[Tensor, "T N"],
               cut: Bool[Tensor, "T N"], final_value: Float[Tensor, "T N"], discount: float, trace: float
               ) -> tuple[Float[Tensor, "T N"], Float[Tensor, "T N"]]:  # fmt: skip
    """How much better each action was than the value foretold, and what the value should have been: their sum.

    Generalised advantage estimation (Schulman et al. 2016, equation 16): errors of one step, discounted by
    discount * trace. `trace` 1: what came, less the value (Monte Carlo); 0: the error of one step (actor-critic).
    `value`: of what was seen before each step. `final_value`: of what was seen after it; read only where `cut` and in
    the last step, since elsewhere it is the next `value`.
    """
    after = torch.cat([value[1:], final_value[-1:]])
    after = torch.where(cut, final_value, after).masked_fill(ended, 0.0)
    error = reward + discount * after - value
    on = (discount * trace) * (~(ended | cut)).to(error.dtype)
    found, last = torch.empty_like(error), torch.zeros_like(error[0])
    for t in range(len(error) - 1, -1, -1):
        last = torch.addcmul(error[t], on[t], last, out=found[t])
    return found, found + value


def lambda_returns(reward: Float[Tensor, "T N"], best_next: Float[Tensor, "T N"], ended: Bool[Tensor, "T N"],
                   cut: Bool[Tensor, "T N"], final_best: Float[Tensor, "T N"], discount: float, trace: float
                   ) -> Float[Tensor, "T N"]:  # fmt: skip
    """Targets of the actions that were taken: Q(lambda) of Peng & Williams (1996), as in Gallici et al. (2025).

    G(t) = r(t) + discount ((1 - trace) best(t + 1) + trace G(t + 1)), where best is the worth of the best action.
    `best_next`: of the observation after each step; it is not read where the episode is over. `final_best`: of what was
    seen last; read only where `cut`. After the last step nothing is known but `best_next`.
    """
    after = torch.where(cut, final_best, best_next).masked_fill(ended, 0.0)
    on = trace * (~(ended | cut)).to(after.dtype)
    on[-1] = 0.0
    near = reward + discount * (1 - on) * after
    on = on * discount
    found, last = torch.empty_like(near), torch.zeros_like(near[0])
    for t in range(len(near) - 1, -1, -1):
        last = torch.addcmul(near[t], on[t], last, out=found[t])
    return found


def episode_returns(reward: Float[Tensor, "T N"], over: Bool[Tensor, "T N"], so_far: Float[Tensor, "N"]
                    ) -> tuple[Float[Tensor, "E"], Float[Tensor, "N"]]:  # fmt: skip
    """The undiscounted returns of the episodes that are over, in the order of their ends, and what the running ones
    have so far. `so_far`: what they had before."""
    total = so_far + reward.cumsum(0)  # T N: since the slot's running episode began, if none were over
    begun = torch.zeros_like(so_far)
    ends: list[Tensor] = []
    for t in over.any(1).nonzero()[:, 0].tolist():
        here = over[t]
        ends.append((total[t] - begun)[here])
        begun = torch.where(here, total[t], begun)
    return torch.cat(ends) if ends else so_far[:0], total[-1] - begun
