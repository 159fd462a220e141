"""What can be asked of a circuit, beside how likely a row is: all exact but where it says otherwise.

Rows are "B C" with NaN where a value is not given; a row that cannot be has NaN for an answer, and `possible` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from .circuit import Circuit


class Posterior(NamedTuple):
    """What a row says of all that it does not give."""

    possible: Bool[Tensor, "B"]
    label: Float[Tensor, "B K"]  # chances of the classes
    state: Float[Tensor, "V K B H"]  # chances of the states and the class together, in the order of the fold
    value: Float[Tensor, "V K B"]  # the row, likewise


class Completion(NamedTuple):
    """Rows with their gaps filled."""

    row: Float[Tensor, "B C"]
    exact: Bool[Tensor, "B"]  # else likeliest together with hidden states, which need not be the likeliest


@torch.no_grad()
def posterior(circuit: Circuit, row: Float[Tensor, "B C"]) -> Posterior:
    """The chances of classes and hidden states, given what the row gives."""
    value = circuit.standard(row)[:, None].expand(-1, circuit.classes, -1)
    way = circuit.up(value)
    joint = way.joint + circuit.shares(circuit.prior).log()[:, None]  # K B
    possible = joint.amax(0) > -math.inf
    label = torch.where(possible, joint, 0.0).softmax(0) * possible
    return Posterior(possible, label.T, circuit.down(way, label), value)


def conditional(circuit: Circuit, row: Float[Tensor, "B C"], given: Float[Tensor, "B C"]) -> Float[Tensor, "B"]:
    """log p(row | given): -inf where the row cannot be, NaN where what is given cannot be."""
    both = torch.where(given.isnan(), row, given)
    clash = (~given.isnan() & ~row.isnan() & (given != row)).any(1)
    evidence, whole = circuit(given).logsumexp(1), circuit(both).logsumexp(1)
    found = torch.where(clash, -math.inf, whole) - evidence
    return torch.where(evidence > -math.inf, found, math.nan)


def _back(circuit: Circuit, found: Tensor) -> Tensor:
    """Rows of standard values in the order of the fold as "B C" of the columns' own."""
    if len(circuit.real):
        found = (found.double() * circuit.spread[:, None] + circuit.mean[:, None]).to(found.dtype)
    return torch.empty_like(found).index_copy_(0, circuit.order, found).T


@torch.no_grad()
def expectation(circuit: Circuit, row: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """The mean of each column, given what the row gives; of codes that of their numbers, as of levels of grey."""
    found = posterior(circuit, row)
    each = torch.empty(len(circuit.order), circuit.classes, circuit.states, dtype=found.state.dtype, device=row.device)
    if len(circuit.coded):
        codes = torch.arange(circuit.category.shape[2], dtype=each.dtype, device=row.device)
        each[circuit.coded] = torch.einsum("vksh,s->vkh", circuit.categories(), codes)
    if len(circuit.real):
        each[circuit.real] = circuit.normals()[0]
    mean = torch.einsum("vkbh,vkh->vb", found.state, each)
    mean = torch.where(found.value[:, 0].isnan(), mean, found.value[:, 0])
    return _back(circuit, torch.where(found.possible, mean, math.nan))


@torch.no_grad()
def chances(circuit: Circuit, row: Float[Tensor, "B C"], column: int) -> Float[Tensor, "B S"]:
    """The chance of each code of a column, given the other columns of the row."""
    found = posterior(circuit, row.index_fill(1, torch.tensor([column], device=row.device), math.nan))
    place = int((circuit.order == column).nonzero())
    at = int((circuit.coded == place).nonzero())
    table = circuit.categories()[at, :, : circuit.sizes[place]]
    chance = torch.einsum("kbh,ksh->bs", found.state[place], table)
    return torch.where(found.possible[:, None], chance, math.nan)


@torch.no_grad()
def surprise(circuit: Circuit, row: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """-log p(value | the rest of its row) of each value at once, in nats, of numbers a density's. 0 where missing."""
    found = posterior(circuit, row)
    leaf, left = circuit.leaves(found.value)
    # A state's chance without its own leaf is proportional to (chance with it) / leaf.
    high = left.amax(1, keepdim=True)
    density = leaf * (left - high)[..., None].exp()
    odds = torch.where(density > 0, found.state / density, 0.0).sum((1, 3))  # V B
    nats = torch.where(found.value[:, 0].isnan(), 0.0, odds.log() - high[:, 0])
    nats = torch.where(found.possible, nats, math.nan)
    return torch.empty_like(nats).index_copy_(0, circuit.order, nats).T


@torch.no_grad()
def sample(circuit: Circuit, row: Float[Tensor, "B C"], rng: torch.Generator) -> Float[Tensor, "B C"]:
    """The rows with their gaps drawn from p(gaps | what is given). All gaps: a draw from the circuit."""

    def draw(chance: Tensor) -> Tensor:
        flat = chance.reshape(-1, chance.shape[-1])
        flat = torch.where(flat.sum(-1, keepdim=True) > 0, flat, 1.0)  # of a row that cannot be: thrown away below
        return torch.multinomial(flat, 1, generator=rng).view(chance.shape[:-1])

    return _descended(circuit, row, draw, lambda mean, variance: torch.normal(mean, variance.sqrt(), generator=rng))


@torch.no_grad()
def completion(circuit: Circuit, row: Float[Tensor, "B C"]) -> Completion:
    """The rows with their gaps filled by the likeliest values. Exact where one code is missing, or where the circuit
    has nothing hidden; else likeliest together with class and hidden states (max-product)."""
    filled = _descended(circuit, row, lambda chance: chance.argmax(-1), lambda mean, variance: mean, most=True)
    plain = circuit.states == circuit.classes == 1
    exact = (row.isnan().sum(1) == 0) | plain
    for column in [int(circuit.order[place]) for place in circuit.coded.tolist()]:
        one = row[:, column].isnan() & (row.isnan().sum(1) == 1)
        if one.any():
            filled[one, column] = chances(circuit, row[one], column).argmax(1).to(filled.dtype)
            exact = exact | one
    return Completion(filled, exact)


Draw = Callable[[Float[Tensor, "*b N"]], Integer[Tensor, "*b"]]


def _descended(circuit: Circuit, row: Tensor, draw: Draw, real: Callable[[Tensor, Tensor], Tensor],
               most: bool = False) -> Tensor:  # fmt: skip
    """From the root to the leaves: a class, each state given its parent's, each gap given its state."""
    value = circuit.standard(row)
    way = circuit.up(value[:, None].expand(-1, circuit.classes, -1), most=most)
    joint = way.joint + circuit.shares(circuit.prior).log()[:, None]
    possible = joint.amax(0) > -math.inf
    label = draw(torch.where(possible, joint, 0.0).softmax(0).T)
    index, table = torch.arange(row.shape[0], device=row.device), circuit.transitions()
    state = torch.empty(len(value), len(row), dtype=torch.long, device=row.device)
    state[0] = draw(way.message[0, label, index] * circuit.shares(circuit.root, each=circuit.states)[label])
    for begin, end in circuit.depths[1:]:
        place = torch.arange(begin, end, device=row.device)[:, None]
        chance = table[place, label, state[circuit.above[begin:end]]]  # n B H
        state[begin:end] = draw(chance * way.message[place, label, index])
    filled = torch.empty_like(value)
    if len(circuit.coded):
        own = torch.arange(len(circuit.coded), device=row.device)[:, None]
        codes = circuit.categories().transpose(2, 3)[own, label, state[circuit.coded]]  # Vc B S
        filled[circuit.coded] = draw(codes).to(value.dtype)
    if len(circuit.real):
        own = torch.arange(len(circuit.real), device=row.device)[:, None]
        mean, variance = (part[own, label, state[circuit.real]] for part in circuit.normals())
        filled[circuit.real] = real(mean, variance)
    filled = torch.where(value.isnan(), filled, value)
    return _back(circuit, torch.where(possible, filled, math.nan))
