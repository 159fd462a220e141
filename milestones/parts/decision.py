"""Finite Markov decision processes and their exact solution (Bellman 1957; Howard 1960).

All is float64 and sparse: a backup is one product of a sparse matrix with the values, so a million states take tens of
milliseconds.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEVER = -1e30  # the reward of an action that a state has not: below all, and a number that can be saved


class Process(NamedTuple):
    """S states, A actions, what each leads to and pays. In a state that is `ended` nothing more is paid."""

    chance: Tensor  # SA S: sparse; row s A + a is where action a leads from state s, and sums to 1 or is empty
    reward: Float[Tensor, "S A"]  # expected; NEVER where a state has not this action
    ended: Bool[Tensor, "S"]
    start: int
    states: tuple[str, ...] = ()  # names
    actions: tuple[str, ...] = ()
    sides: tuple[int, ...] = ()  # rows and columns, where states are cells of a plane

    @property
    def given(self) -> Bool[Tensor, "S A"]:
        """Which actions there are: none in a state that is ended."""
        return (self.reward > NEVER / 2) & ~self.ended[:, None]


def sparse(begin: Int[Tensor, "R_1"], column: Int[Tensor, "N"], chance: Float[Tensor, "N"], columns: int) -> Tensor:
    """A matrix in compressed rows: row r has the entries `begin[r]` to `begin[r + 1]`."""
    if len(column) < 1 << 31:  # what the library of sparse products takes; others are copied at each product
        begin, column = begin.int(), column.int()
    with warnings.catch_warnings(action="ignore"):  # PyTorch calls these "beta", once a process
        shape = len(begin) - 1, columns
        return torch.sparse_csr_tensor(begin, column, chance, shape, check_invariants=False)


def backup(process: Process, value: Float[Tensor, "S"], discount: float) -> Float[Tensor, "S A"]:
    """What each action of each state is worth if `value` is what comes after it: r + discount P v (Bellman 1957)."""
    after = process.chance @ value
    return process.reward + discount * after.view_as(process.reward)


def bounds(change: Float[Tensor, "S"], discount: float, ends: bool) -> tuple[float, float]:
    """Between which numbers the optimal values less those after a sweep that changed them by `change` lie (MacQueen
    1966; Porteus 1971). `ends`: whether an outcome may end the episode, after which nothing changes any more."""
    share, low, high = discount / (1 - discount), float(change.min()), float(change.max())
    return (share * min(0.0, low), share * max(0.0, high)) if ends else (share * low, share * high)


def greedy(worth: Float[Tensor, "S A"], policy: Int[Tensor, "S"] | None = None, least: float = 1e-10
           ) -> Int[Tensor, "S"]:  # fmt: skip
    """The best action of each state; that of `policy` is kept where no other is better by `least`, so that equals do
    not take turns for ever."""
    best = worth.argmax(1)
    if policy is None:
        return best
    gain = worth.gather(1, best[:, None]) - worth.gather(1, policy[:, None])
    return torch.where(gain[:, 0] > least, best, policy)


def under(process: Process, policy: Int[Tensor, "S"]) -> tuple[Tensor, Float[Tensor, "S"]]:
    """The chain that a policy makes of a process: a sparse matrix "S S", and what each state pays."""
    begin, index, chance = process.chance.crow_indices(), process.chance.col_indices(), process.chance.values()
    states = len(policy)
    rows = torch.arange(states) * process.reward.shape[1] + policy
    count = begin[rows + 1] - begin[rows]
    start = torch.cat([torch.zeros(1, dtype=torch.long), count.cumsum(0)])
    entry = torch.arange(int(start[-1])) + torch.repeat_interleave(begin[rows] - start[:-1], count)
    chain = sparse(start, index[entry], chance[entry], states)
    paid = process.reward.gather(1, policy[:, None])[:, 0]
    return chain, torch.where(process.ended, 0.0, paid)


def evaluated(process: Process, policy: Int[Tensor, "S"], discount: float, value: Float[Tensor, "S"],
              tolerance: float = 1e-9, most: int = 2000) -> Float[Tensor, "S"]:  # fmt: skip
    """The values of a policy to within `tolerance`: solves (I - discount P) v = r from `value` on by the stabilised
    method of biconjugate gradients (van der Vorst 1992), whose work grows with how far away rewards are felt, not with
    the number of states cubed; where it stalls, by plain sweeps."""
    chain, paid = under(process, policy)

    def apply(x: Tensor) -> Tensor:
        return x - discount * (chain @ x)

    x, enough = value.clone(), tolerance * (1 - discount)  # an error is at most the residual over 1 - discount
    residual = paid - apply(x)
    shadow, direction = residual.clone(), residual.clone()
    along = torch.dot(shadow, residual)
    for _ in range(most):
        if residual.abs().max() <= enough:
            break
        moved = apply(direction)
        across = torch.dot(shadow, moved)
        if across.abs() < 1e-300:
            break
        alpha = along / across
        half = residual - alpha * moved
        turned = apply(half)
        norm = torch.dot(turned, turned)
        omega = torch.dot(turned, half) / norm if norm > 0 else norm
        x = x + alpha * direction + omega * half
        residual = half - omega * turned
        before, along = along, torch.dot(shadow, residual)
        if before.abs() < 1e-300 or omega.abs() < 1e-300:
            break
        direction = residual + (along / before) * (alpha / omega) * (direction - omega * moved)
    residual = paid - apply(x)  # the true one: the recurrence drifts
    while residual.abs().max() > enough:
        x = x + residual
        residual = paid - apply(x)
    return x


def drawn(process: Process, state: Int[Tensor, "N"], action: Int[Tensor, "N"], uniform: Float[Tensor, "N"]
          ) -> Int[Tensor, "N"]:  # fmt: skip
    """The next state of each, where `uniform` numbers of 0 to 1 fall into the chances of its outcomes. A state that is
    ended stays."""
    begin, index, chance = process.chance.crow_indices(), process.chance.col_indices(), process.chance.values()
    row = state * process.reward.shape[1] + action
    count = begin[row + 1] - begin[row]
    widest = max(1, int(count.max()))
    offset = torch.arange(widest)
    inside = offset < count[:, None]
    entry = torch.where(inside, begin[row][:, None] + offset, 0)
    share = torch.where(inside, chance[entry], 0.0).cumsum(1)
    # The last outcome takes what rounding leaves of 1.
    which = torch.minimum((share <= uniform[:, None]).sum(1), (count - 1).clamp(min=0))
    return torch.where(count > 0, index[entry.gather(1, which[:, None])[:, 0]].long(), state)
