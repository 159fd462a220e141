"""Restricted Boltzmann machines: two layers of units, each joined to all of the other and to none of its own.

p(v, h) = exp(-E(v, h)) / Z with E = -b v - c h - v W h for units that are on or off (Smolensky 1986); h may instead be
real numbers with noise of variance 1, E = -b v + |h - c|^2 / 2 - v W h (Hinton & Salakhutdinov 2006). What a layer does
given the other is known in closed form; Z is a sum over all states of one of them: exact for small machines, else
estimated by annealed importance sampling. Energies and log Z are in nats.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

MOST = 20  # units of the smaller layer, over whose states log Z is summed
PART = 4096  # states at a time
SHARES = ((0.5, 500), (0.4, 4000), (0.1, 10_000))  # spans of inverse temperature, and how many steps each has
Z95 = 1.96


class RBM(nn.Module):
    """A machine; called, the expected hidden units "B H" of visible ones "B V"."""

    def __init__(self, visible: int, hidden: int, linear: bool = False, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.linear = linear  # hidden units are real numbers
        # Small and random, as units that begin alike stay alike (Hinton 2010, section 8).
        self.weight = nn.Parameter(0.01 * torch.randn(visible, hidden, generator=rng))
        self.below, self.above = nn.Parameter(torch.zeros(visible)), nn.Parameter(torch.zeros(hidden))

    def total(self, v: Float[Tensor, "*B V"]) -> Float[Tensor, "*B H"]:
        """What each hidden unit adds up."""
        return v @ self.weight + self.above

    def forward(self, v: Float[Tensor, "*B V"]) -> Float[Tensor, "*B H"]:
        return self.total(v) if self.linear else self.total(v).sigmoid()

    def down(self, h: Float[Tensor, "*B H"]) -> Float[Tensor, "*B V"]:
        """The logit of each visible unit's chance to be on."""
        return h @ self.weight.T + self.below

    def draw_up(self, v: Float[Tensor, "*B V"], rng: torch.Generator) -> Float[Tensor, "*B H"]:
        """Hidden units, drawn given the visible ones."""
        mean = self(v)
        if self.linear:
            return mean + torch.randn(mean.shape, generator=rng, device=mean.device)
        return mean.bernoulli(generator=rng)

    def draw_down(self, h: Float[Tensor, "*B H"], rng: torch.Generator) -> Float[Tensor, "*B V"]:
        """Visible units, drawn given the hidden ones."""
        return self.down(h).sigmoid().bernoulli(generator=rng)

    def energy(self, v: Float[Tensor, "*B V"], h: Float[Tensor, "*B H"]) -> Float[Tensor, "*B"]:
        own = -0.5 * (h - self.above).square().sum(-1) if self.linear else h @ self.above
        return -(v @ self.below) - own - ((v @ self.weight) * h).sum(-1)

    def free_energy(self, v: Float[Tensor, "*B V"]) -> Float[Tensor, "*B"]:
        """-log of the sum of exp(-E) over all h: log p(v) = -free_energy(v) - log Z."""
        if not self.linear:
            return -(v @ self.below) - F.softplus(self.total(v)).sum(-1)
        field = v @ self.weight
        inner = 0.5 * field.square() + field * self.above + 0.5 * math.log(2 * math.pi)
        return -(v @ self.below) - inner.sum(-1)

    def free_energy_above(self, h: Float[Tensor, "*B H"]) -> Float[Tensor, "*B"]:
        """-log of the sum of exp(-E) over all v."""
        own = -0.5 * (h - self.above).square().sum(-1) if self.linear else h @ self.above
        return -own - F.softplus(self.down(h)).sum(-1)


class Chains(nn.Module):
    """Visible states "N V" that are never set back to the data (persistent contrastive divergence, Tieleman 2008)."""

    visible: Tensor

    def __init__(self, visible: Float[Tensor, "N V"]) -> None:
        super().__init__()
        self.register_buffer("visible", visible.clone())


@torch.no_grad()
def gibbs(machine: RBM, v: Float[Tensor, "B V"], k: int, rng: torch.Generator) -> Float[Tensor, "B V"]:
    """Visible units after `k` rounds of drawing h given v and v given h."""
    for _ in range(k):
        v = machine.draw_down(machine.draw_up(v, rng), rng)
    return v


@torch.no_grad()
def contrast(machine: RBM, v: Float[Tensor, "B V"], fantasy: Float[Tensor, "N V"]) -> Float[Tensor, ""]:
    """The squared error of a unit of `v` after one way up and down, to be watched. Sets the gradients of -log p(v),
    mean over the batch, with `fantasy` for what the machine would draw by itself: what units do together in its draws,
    less what they do together in the data (Hinton 2002, equation 5).

    A fantasy of `gibbs(machine, v, k)` makes it contrastive divergence, one of `Chains` the persistent one.
    """
    up, dreamt = machine(v), machine(fantasy)
    machine.weight.grad = fantasy.T @ dreamt / len(fantasy) - v.T @ up / len(v)
    machine.below.grad = fantasy.mean(0) - v.mean(0)
    machine.above.grad = dreamt.mean(0) - up.mean(0)
    return (machine.down(up).sigmoid() - v).square().mean()


def stepping(machine: RBM, lr: float, momentum: float = 0.5, decay: float = 2e-4) -> torch.optim.SGD:
    """Momentum, with decay of the weights alone (Hinton 2010, sections 9 and 10)."""
    groups = [{"params": [machine.weight], "weight_decay": decay}, {"params": [machine.below, machine.above]}]
    return torch.optim.SGD(groups, lr, momentum)


def log_odds(share: Float[Tensor, "V"], least: float = 0.01) -> Float[Tensor, "V"]:
    """The biases under which units that nothing else reaches are on with these chances, kept from 0 and 1."""
    return share.clamp(least, 1 - least).logit()


@torch.no_grad()
def exact(machine: RBM) -> float:
    """log Z, summed over all states of the smaller layer. ValueError: more than MOST units in it."""
    visible, hidden = machine.weight.shape
    over_hidden = hidden < visible and not machine.linear  # states of real numbers cannot be summed one by one
    units = hidden if over_hidden else visible
    if units > MOST:
        raise ValueError(f"at most {MOST} units in the smaller layer, got {units}")
    place = torch.arange(units, device=machine.weight.device)
    found = []
    for begin in range(0, 2**units, PART):
        number = torch.arange(begin, min(begin + PART, 2**units), device=place.device)
        state = (number[:, None] >> place & 1).to(machine.weight.dtype)
        energy = machine.free_energy_above(state) if over_hidden else machine.free_energy(state)
        found.append((-energy.double()).logsumexp(0))
    return float(torch.stack(found).logsumexp(0))


class Partition(NamedTuple):
    """log Z in nats and its 95 % interval: of the estimate, from the spread of its runs; of an exact sum, none."""

    value: float
    low: float
    high: float


def temperatures(steps: int) -> Float[Tensor, "N"]:
    """Inverse temperatures from 0 to 1 in `steps` steps, closest to each other near 1, where most changes
    (Salakhutdinov & Murray 2008, section 4.2, have 14,500 so)."""
    at, whole, spans = 0.0, sum(count for _, count in SHARES), []
    left = max(steps, len(SHARES))
    for k, (span, share) in enumerate(SHARES):
        count = left if k == len(SHARES) - 1 else max(1, round(steps * share / whole))
        spans.append(at + span * torch.arange(count, dtype=torch.float64) / count)
        at, left = at + span, left - count
    return torch.cat([*spans, torch.ones(1, dtype=torch.float64)])


@torch.no_grad()
def annealed(machine: RBM, base: Float[Tensor, "V"], steps: int, runs: int, rng: torch.Generator) -> Partition:
    """log Z by annealed importance sampling (Neal 2001; Salakhutdinov & Murray 2008, section 4.1), of binary units.

    `base` are biases of visible units without hidden ones, whose Z is known: `log_odds` of the data's means. From it
    `runs` states go over `steps` temperatures to the machine. The estimate of Z is right on the average, so that of its
    logarithm is too low where runs differ by nats; the interval is as wide as they differ, and cannot tell of what none
    of them met. ValueError: linear hidden units.
    """
    if machine.linear:
        raise ValueError("units that are on or off, got linear hidden ones")
    hidden = machine.weight.shape[1]
    start = F.softplus(base.double()).sum() + hidden * math.log(2)
    v = base.sigmoid().expand(runs, -1).bernoulli(generator=rng)
    weight = torch.zeros(runs, dtype=torch.float64, device=base.device)
    beta = temperatures(steps).tolist()
    for before, now in pairwise(beta):
        total = machine.total(v)
        grown = (F.softplus(now * total) - F.softplus(before * total)).sum(1)
        weight += (grown + (now - before) * (v @ (machine.below - base))).double()
        h = (now * total).sigmoid().bernoulli(generator=rng)
        v = ((1 - now) * base + now * machine.down(h)).sigmoid().bernoulli(generator=rng)
    share = (weight - weight.max()).exp()
    value = float(start + weight.max() + share.mean().log())
    half = Z95 * float(share.std() / share.mean()) / math.sqrt(runs) if runs > 1 else math.inf
    return Partition(value, value - half, value + half)


def partition(machine: RBM, base: Float[Tensor, "V"], steps: int, runs: int, rng: torch.Generator) -> Partition:
    """log Z: exact where the smaller layer allows it, else annealed."""
    if min(machine.weight.shape) <= MOST:
        return Partition(*[exact(machine)] * 3)
    return annealed(machine, base, steps, runs, rng)


@torch.no_grad()
def checked(machine: RBM, base: Float[Tensor, "V"], units: int, steps: int, runs: int, rng: torch.Generator,
            ) -> tuple[float, Partition]:  # fmt: skip
    """log Z of the machine cut to its first hidden `units`, exactly and annealed: what annealing is worth here."""
    few = copy.deepcopy(machine)
    few.weight, few.above = (nn.Parameter(part[..., :units].detach()) for part in (machine.weight, machine.above))
    return exact(few), annealed(few, base, steps, runs, rng)
