"""Exact inference for small logic programs over uncertain values (Manhaeve et al. 2018, DeepProbLog).

A program reads values one after the other and keeps a state: what of them still matters for its answer. Worlds that
lead to one state are one from then on, so few states stand for all worlds. Compiled, a program is an arithmetic
circuit, in which chances are multiplied along a world, and added where worlds that exclude each other meet: the sum is
that over all worlds, and PyTorch differentiates it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

MOST = 1_000_000  # edges of a circuit


class Program(NamedTuple):
    """A question about the values of several pictures."""

    says: str  # the question, in words
    order: tuple[int, ...]  # in which the pictures are read
    begin: Hashable  # the state before any is read
    step: Callable[[Any, int, int], Hashable]  # state, how many were read before, value -> state
    answer: Callable[[Any], int | str]  # of the last state

    def __call__(self, values: Sequence[int]) -> int | str:
        """The answer in the world in which the pictures show these values."""
        state = self.begin
        for k, picture in enumerate(self.order):
            state = self.step(state, k, values[picture])
        return self.answer(state)


class Layer(NamedTuple):
    """The edges from the states before a picture is read to those after it."""

    source: list[int]  # of each edge: the state that it leaves
    value: list[int]  # the value that is read
    incoming: list[list[int]]  # of each state after: its edges, then as many times `len(source)` as make all equal


class Circuit(nn.Module):
    """The program compiled for pictures that show one of `values`: sums of products of their chances, in logarithms.

    It has no weights. `answers` are all that the program can say, numbers first. ValueError: more than MOST edges.
    """

    def __init__(self, program: Program, values: Sequence[int]) -> None:
        super().__init__()
        self.order = program.order
        layers, states = unfolded(program, values)
        said = [program.answer(state) for state in states]
        self.answers = sorted(set(said), key=lambda one: (isinstance(one, str), one))
        for k, layer in enumerate(layers):
            self.register_buffer(f"source_{k}", torch.tensor(layer.source), persistent=False)
            self.register_buffer(f"value_{k}", torch.tensor(layer.value), persistent=False)
            self.register_buffer(f"incoming_{k}", torch.tensor(layer.incoming), persistent=False)
        rows = padded([[k for k, one in enumerate(said) if one == answer] for answer in self.answers], len(said))
        self.register_buffer("final", torch.tensor(rows), persistent=False)

    def forward(self, chance: Float[Tensor, "B P K"]) -> Float[Tensor, "B Q"]:
        """The log of the chance of each answer, from the logs of the chances of each picture's values: the sum over
        all worlds that have the answer of the product of their values' chances."""
        state = chance.new_zeros(len(chance), 1)
        for k, picture in enumerate(self.order):
            source, value, incoming = (getattr(self, f"{name}_{k}") for name in ("source", "value", "incoming"))
            state = summed(state[:, source] + chance[:, picture][:, value], incoming)  # B states
        return summed(state, self.final)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def posterior(self, chance: Float[Tensor, "B P K"], answer: Int[Tensor, "B"]) -> Float[Tensor, "B P K"]:
        """The chances of each picture's values given the answer: the slope of the answer's log chance by theirs
        (Darwiche 2003, A differential approach to inference in Bayesian networks, Journal of the ACM 50(3))."""
        chance = chance.detach().clone().requires_grad_()
        told = self(chance).gather(1, answer.clone()[:, None]).sum()
        return torch.autograd.grad(told, chance)[0]


def unfolded(program: Program, values: Sequence[int]) -> tuple[list[Layer], list[Hashable]]:
    """The layers of edges, and the states after the last one. ValueError: more than MOST edges."""
    layers, states = [], [program.begin]
    for k in range(len(program.order)):
        if len(states) * len(values) > MOST:
            raise ValueError(f"{len(states) * len(values):,} edges for picture {k + 1}")
        number: dict[Hashable, int] = {}  # of each state after
        incoming: list[list[int]] = []
        source, value = [], []
        for before, state in enumerate(states):
            for v, shown in enumerate(values):
                after = number.setdefault(program.step(state, k, shown), len(number))
                if after == len(incoming):
                    incoming.append([])
                incoming[after].append(len(source))
                source.append(before)
                value.append(v)
        layers.append(Layer(source, value, padded(incoming, len(source))))
        states = list(number)
    return layers, states


def padded(rows: list[list[int]], filler: int) -> list[list[int]]:
    """The rows filled up to the length of the longest."""
    most = max(map(len, rows))
    return [row + [filler] * (most - len(row)) for row in rows]


def summed(logs: Float[Tensor, "B E"], incoming: Int[Tensor, "S F"]) -> Float[Tensor, "B S"]:
    """For each row of `incoming`, the log of the sum of what these have the logs of; beyond the last there is 0."""
    nothing = logs.new_full((len(logs), 1), -torch.inf)
    return torch.cat([logs, nothing], 1)[:, incoming].logsumexp(-1)
