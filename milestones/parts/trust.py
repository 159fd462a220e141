"""Whether a map of what a net looks at can be trusted: does it add up, does taking away what it marks change the
answer, and does it depend on what the net has learned."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .explain import Question, difference, pieces, room

STEPS = 28  # of a curve of deletion or insertion
RANDOM_ORDERS = 8  # that a map's order is compared with
ALIKE = 0.5  # rank correlation with the map of a random net, from which a map does not depend on the net
RANDOM_NETS = 4  # that a map is compared with
FEWEST = 8  # places, below which a rank correlation says nothing


class Trust(NamedTuple):
    """What is known of one map. Areas are the mean chance of the explained class, in percent."""

    completeness: float | None  # how far the map's sum is from the score's difference, relative; None: it claims none
    deletion: float  # while what the map marks most is taken away: low is good
    insertion: float  # while it is put into an empty input: high is good
    random_deletion: float  # the same in random order
    random_insertion: float
    similarity: float | None  # to the maps of nets with random weights: from -1 to 1, 0 is good; None: too few places
    strength: float | None  # the same of their absolute values
    empty: bool = False  # the map is 0 everywhere

    @property
    def trusted(self) -> bool:
        """It depends on the net, and what it marks matters more than what chance marks."""
        return not self.empty and not self.alike and self.matters

    @property
    def alike(self) -> bool:
        """Whether nets that have learned nothing have this map, too."""
        return self.similarity is not None and not abs(self.similarity) < ALIKE

    @property
    def matters(self) -> bool:
        """Whether both curves are better than in random order."""
        return self.deletion < self.random_deletion and self.insertion > self.random_insertion

    @property
    def gain(self) -> float:
        """How much better than random orders it tells what the answer hangs on, in points, mean of both curves."""
        return (
            0.0 if self.empty else (self.insertion - self.random_insertion + self.random_deletion - self.deletion) / 2
        )

    @property
    def sentence(self) -> str:
        """The verdict."""
        if self.empty:
            return "Empty: it finds nothing that speaks for this class."
        if self.alike:
            return "Looks the same for a net with random weights: do not trust."
        if not self.matters:
            return "Depends on the net, but what it marks matters no more than what chance would mark: do not trust."
        if self.strength is not None and not abs(self.strength) < ALIKE:
            return (
                "What speaks for and against depends on the net; where it marks at all, random weights would mark, too."
            )
        if self.completeness is not None and not self.completeness < 0.1:
            return "Depends on the net and marks what the answer hangs on, but does not add up to the score."
        return "Depends on the net, and marks what the answer hangs on."


def completeness(asked: Question, maps: Tensor) -> Float[Tensor, "B"]:
    """How far each map's sum is from the difference between the score and that of the baseline, relative to it."""
    goal = difference(asked)
    return (maps.flatten(1).sum(1) - goal).abs() / goal.abs().clamp(min=1e-12)


def by_group(map: Tensor, groups: Int[Tensor, "..."], count: int) -> Float[Tensor, "B M"]:
    """The mean of the map's numbers in each group of an input's parts."""
    index = groups.expand(map.shape[1:]).flatten()
    size = torch.bincount(index, minlength=count)
    return torch.zeros(len(map), count, dtype=map.dtype).index_add_(1, index, map.flatten(1)) / size


class Curves(NamedTuple):
    """Mean chances of the explained class over the curve, in percent."""

    deletion: Float[Tensor, "L B"]
    insertion: Float[Tensor, "L B"]


def curves(asked: Question, ranks: Float[Tensor, "L B M"], groups: Int[Tensor, "..."], steps: int = STEPS,
           chunk: int = 0) -> Curves:  # fmt: skip
    """For L rankings of the M parts of each of B inputs: the chance of the explained class while the parts with the
    highest numbers are replaced by the baseline, and while they are put into it (Petsiuk, Das & Saenko 2018, section
    4.3), each by the trapezoid rule. All rankings and steps go through the net together."""
    many, inputs, parts = ranks.shape
    place = ranks.argsort(dim=-1, descending=True, stable=True).argsort(-1)  # L B M
    stops = torch.linspace(0, parts, min(steps, parts) + 1).round().long()
    size, chunk = len(stops), chunk or room(asked)
    chance = torch.zeros(2 * many * inputs * size)
    for some in pieces(len(chance), chunk):
        s, b = some % size, some // size % inputs
        line, way = some // (size * inputs) % many, some // (size * inputs * many)
        marked = place[line, b] < stops[s][:, None]  # N M
        mask = (marked == (way == 1)[:, None])[:, groups.flatten()].view(-1, *groups.shape)
        with torch.no_grad():
            scores = asked.scores(torch.where(mask, asked.input[b], asked.baseline[b]))
        chance[some] = scores.softmax(-1).gather(1, asked.target[b][:, None])[:, 0].float()
    share = stops / parts
    area = 100 * torch.trapezoid(chance.view(2, many, inputs, size), share, dim=-1)
    return Curves(area[0], area[1])


def random_ranks(inputs: int, parts: int, count: int = RANDOM_ORDERS, seed: int = 0) -> Float[Tensor, "L B M"]:
    """Rankings by chance, the same for each input."""
    drawn = torch.rand(count, 1, parts, generator=torch.Generator().manual_seed(seed))
    return drawn.expand(-1, inputs, -1)


def shuffled(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of the model in which each tensor of weights has its values in a random order: what it learned is gone,
    how large its weights are is not. The model itself is not touched."""
    rng, twin = torch.Generator().manual_seed(seed), copy.deepcopy(model)
    with torch.no_grad():
        for weight in twin.parameters():
            order = torch.randperm(weight.numel(), generator=rng).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return twin


class Likeness(NamedTuple):
    """How alike a map is to those of nets with random weights: rank correlations from -1 to 1, 0 is good."""

    signed: float  # of the maps as they are
    strength: float  # of their absolute values: only where they mark, not whether for or against


def similarity(map: Float[Tensor, "B M"], others: Float[Tensor, "R B M"]) -> list[Likeness | None]:
    """Spearman's rank correlations of each map with those of R random nets, mean over the nets, over the places where
    not both are 0, as where a map is multiplied by an empty part of the input. None: fewer than FEWEST places.

    Adebayo et al. (2018), section 3, use both. An input that is mostly empty makes strengths alike by itself: nothing
    can be marked but its ink.
    """
    if map.shape[1] < FEWEST:
        return [None] * len(map)
    found: list[Likeness | None] = []
    for b, one in enumerate(map.double()):
        pairs = []
        for two in others[:, b].double():
            there = (one != 0) | (two != 0)
            pairs.append([correlation(ranked(x[there]), ranked(y[there]))
                          for x, y in ((one, two), (one.abs(), two.abs()))])  # fmt: skip
        found.append(Likeness(*(sum(same) / len(pairs) for same in zip(*pairs, strict=True))))
    return found


def ranked(values: Float[Tensor, "M"]) -> Float[Tensor, "M"]:
    """The rank of each value; equal ones share their mean rank."""
    _, inverse, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    return (last - (count.double() - 1) / 2)[inverse]


def correlation(a: Float[Tensor, "M"], b: Float[Tensor, "M"]) -> float:
    """Pearson's; 0 where one does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if len(a) > 2 and size > 0 else 0.0
