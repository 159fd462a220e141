"""Lorenz's equations, and how long a forecast of a chaotic system stays true."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
LYAPUNOV = 0.9056  # the largest exponent at these values, per unit of time (Sprott 2003); a test measures it


def slope(state: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3"]:
    """The change per unit of time (Lorenz 1963, equations 25 to 27)."""
    x, y, z = state.unbind(-1)
    return torch.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z], -1)


def stepped(state: Float[Tensor, "B 3"], dt: float) -> Float[Tensor, "B 3"]:
    """The state a time `dt` later, by one step of the classical Runge-Kutta method of fourth order."""
    one = slope(state)
    two = slope(state + dt / 2 * one)
    three = slope(state + dt / 2 * two)
    four = slope(state + dt * three)
    return state + dt / 6 * (one + 2 * two + 2 * three + four)


def trajectories(start: Float[Tensor, "B 3"], steps: int, dt: float, fine: int = 4) -> Float[Tensor, "B T 3"]:
    """`steps` states from `start` on, `dt` apart, in double precision, `fine` steps of the method for each."""
    state, found = start.double(), []
    for _ in range(steps):
        found.append(state)
        for _ in range(fine):
            state = stepped(state, dt / fine)
    return torch.stack(found, 1)


def on_attractor(rng: torch.Generator, count: int, dt: float, settle: float = 20.0) -> Float[Tensor, "B 3"]:
    """Random states near the attractor: after a time `settle` from random ones around it."""
    start = torch.randn(count, 3, generator=rng, dtype=torch.float64) * 8 + torch.tensor([0.0, 0.0, 25.0])
    for _ in range(round(settle / dt)):
        start = stepped(start, dt)
    return start


def horizon(forecast: Float[Tensor, "B T C"], truth: Float[Tensor, "B T C"], spread: Float[Tensor, "C"],
            most: float = 0.4) -> Int[Tensor, "B"]:  # fmt: skip
    """Steps until a forecast is off by more than `most`: the root of the mean square over the channels, each in units
    of its `spread` (as Pathak et al. 2018 measure it, whose bound this is). T where it never is."""
    off = ((forecast - truth) / spread).square().mean(-1).sqrt()  # B T
    lost = ~(off <= most)  # also where it is no number
    return torch.where(lost.any(1), lost.int().argmax(1), lost.shape[1])
