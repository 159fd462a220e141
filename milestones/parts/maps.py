"""All maps by name, how the numbers of an input make parts that a reader knows, and the maps with their trust."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from . import explain, relevance, trust
from .explain import Question

MOST_ROWS = 200  # numbers of a row that are told one by one; longer ones (a sound's samples) are cut into stretches
STRETCHES = 64
BOARD = 20  # up to this side, each square is a part; larger pictures are cut into patches
PATCHES = 14  # along the longer side


class Parts(NamedTuple):
    """The parts of an input, which are hidden and ranked as wholes."""

    groups: Int[Tensor, "..."]  # the part of each number, size 1 where a dimension does not matter
    count: int
    window: tuple[int, ...]  # what is hidden at a time
    stride: tuple[int, ...]
    over: int | None  # the dimension of a map "B ..." that says nothing of where: channels, or a token's numbers


def parts_of(shape: Sequence[int]) -> Parts:
    """The parts of one input of `shape`: columns "D", steps "T D", patches or squares "C H W".

    NotImplementedError: another number of dimensions.
    """
    if len(shape) == 1:
        wide = shape[0] if shape[0] <= MOST_ROWS else STRETCHES
        groups, size = torch.arange(shape[0]) * wide // shape[0], math.ceil(shape[0] / wide)
        return Parts(groups, wide, (size,), (size,), None)
    if len(shape) == 2:
        wide = shape[0] if shape[0] <= MOST_ROWS else STRETCHES
        groups, size = (torch.arange(shape[0]) * wide // shape[0])[:, None], math.ceil(shape[0] / wide)
        return Parts(groups, wide, (size, shape[1]), (size, shape[1]), 2)
    if len(shape) == 3:
        channels, height, width = shape
        side = 1 if max(height, width) <= BOARD else math.ceil(max(height, width) / PATCHES)
        across = math.ceil(width / side)
        groups = (torch.arange(height)[:, None] // side * across + torch.arange(width) // side)[None]
        hidden = 1 if side == 1 else min(2 * side + 1, height, width)
        return Parts(groups, int(groups.max()) + 1, (channels, hidden, hidden), (channels, side, side), 1)
    raise NotImplementedError(f"inputs of {' x '.join(map(str, shape))} have no parts that can be named")


class Setting(NamedTuple):
    """What methods may be told."""

    steps: int = 50  # noisy copies, and points of a path
    orders: int = 20  # in which parts join
    seed: int = 0
    chunk: int = 0  # examples at a time; 0: chosen from the free memory
    exact: bool = True  # a path gets as many points as it takes to add up


class Method(NamedTuple):
    """A way to make maps."""

    title: str
    says: str  # what a number of the map is
    make: Callable[[Question, Parts, Setting], Tensor]  # "B ...", or "B 1 H W"
    adds_up: bool = False  # its sum claims to be the score's difference from the baseline
    signed: bool = True  # numbers against the class mean something of their own


METHODS = {
    "gradient": Method("Gradient", "how steeply the score rises with it",
                       lambda q, p, s: explain.gradient(q, s.chunk)),
    "smoothgrad": Method("SmoothGrad", "the gradient, mean over noisy copies",
                         lambda q, p, s: explain.smoothgrad(q, s.steps, seed=s.seed, chunk=s.chunk)),
    "input-gradient": Method("Input x gradient", "the gradient times the input",
                             lambda q, p, s: explain.input_gradient(q, s.chunk), adds_up=True),
    "integrated": Method("Integrated gradients", "its share of the score, along a line from nothing",
                         lambda q, p, s: explain.integrated_gradients(
                             q, s.steps, 1e-3 if s.exact else math.inf, chunk=s.chunk), adds_up=True),
    "guided": Method("Guided backpropagation", "the gradient, only where it is positive at each ReLU",
                     lambda q, p, s: relevance.guided_backpropagation(q, s.chunk)),
    "deconvolution": Method("Deconvolution", "the way back through the net, ReLUs in place of slopes",
                            lambda q, p, s: relevance.deconvolution(q, s.chunk)),
    "gradcam": Method("Grad-CAM", "what the last convolution's maps mark",
                      lambda q, p, s: relevance.grad_cam(q, s.chunk), signed=False),
    "occlusion": Method("Occlusion", "how much the score falls when it is hidden",
                        lambda q, p, s: explain.occlusion(q, p.window, p.stride, s.chunk)),
    "relevance": Method("Layer-wise relevance", "its share of the score, passed back layer by layer",
                        lambda q, p, s: relevance.relevance(q, chunk=s.chunk), adds_up=True),
    "shapley": Method("Shapley values", "its fair share of the score, over orders in which parts join",
                      lambda q, p, s: explain.shapley(q, p.groups, explain.orders(s.orders, p.count, s.seed),
                                                      s.chunk).map, adds_up=True),
}  # fmt: skip


class Map(NamedTuple):
    """One method's maps of B inputs."""

    values: Tensor  # "B ..." as the method gives them
    seen: Tensor  # "B W", "B T" or "B H W": as one number for each place
    trust: list[trust.Trust]  # of each input


def places(values: Tensor, parts: Parts) -> Tensor:
    """One number for each place: the sum over channels, or over a token's numbers."""
    return values if parts.over is None else values.sum(parts.over)


def randoms(model: nn.Module, seed: int) -> list[nn.Module]:
    """The nets with random weights that maps are compared with."""
    return [trust.shuffled(model, seed + number) for number in range(trust.RANDOM_NETS)]


def maps(asked: Question, random: Sequence[Question], names: Sequence[str], setting: Setting) -> dict[str, Map | str]:
    """The maps of each method with their trust, or the sentence why this net has none. `random` asks the same of nets
    with random weights."""
    parts = parts_of(asked.input.shape[1:])
    setting = setting._replace(chunk=setting.chunk or explain.room(asked))
    made: dict[str, Tensor | str] = {}
    for name in names:
        try:
            made[name] = METHODS[name].make(asked, parts, setting)
        except NotImplementedError as problem:
            made[name] = str(problem)
            continue
        if not bool(torch.isfinite(made[name]).all()):
            made[name] = "its numbers are not finite"
    whole = {name: values for name, values in made.items() if isinstance(values, Tensor)}
    if not whole:
        return {name: str(why) for name, why in made.items()}
    ranks = torch.stack([trust.by_group(values, parts.groups, parts.count) for values in whole.values()])
    chance = trust.random_ranks(len(asked.input), parts.count, seed=setting.seed)
    area = trust.curves(asked, torch.cat([ranks, chance]), parts.groups, chunk=setting.chunk)
    lost, won = (line[len(whole) :].mean(0) for line in area)
    found: dict[str, Map | str] = {}
    for name, values in made.items():
        if isinstance(values, str):
            found[name] = values
            continue
        k, seen = list(whole).index(name), places(values, parts)
        off = trust.completeness(asked, values) if METHODS[name].adds_up else None
        alike = likeness(name, seen, random, parts, setting)
        found[name] = Map(values, seen, [
            trust.Trust(None if off is None else float(off[b]), float(area.deletion[k, b]), float(area.insertion[k, b]),
                        float(lost[b]), float(won[b]), *(alike[b] or (None, None)), not bool(values[b].any()))
            for b in range(len(values))
        ])  # fmt: skip
    return found


def likeness(
    name: str, seen: Tensor, random: Sequence[Question], parts: Parts, setting: Setting
) -> list[trust.Likeness | None]:
    """How alike each map is to those of nets with random weights; None where no such nets are given."""
    if not random:
        return [None] * len(seen)
    others = [
        places(METHODS[name].make(other, parts, setting._replace(exact=False)), parts).flatten(1) for other in random
    ]
    return trust.similarity(seen.flatten(1), torch.stack(others))
