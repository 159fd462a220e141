"""A probabilistic circuit: a tree over the columns of a table with a hidden state beside each column (Liu & Van den
Broeck 2021), for which every question has an exact answer in one way up the tree and one down.

Its weights are expected counts: chances are their shares, with `smooth` examples more of each. So a step of expectation
maximisation adds the counts of a batch to them, where it has any (Cappe & Moulines 2009), with no gradient and no
step size to look for. Messages are shares of their largest entry, the logarithm of that beside them: as safe as sums of
exponentials, with one logarithm a column instead of one a state.

One circuit holds K of them with one tree, one a class. Columns are V in the order of the fold, B examples, H states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from .chow_liu import folded

LARGEST_SCALE = 1e6  # of the counts, which grow instead of shrinking what is older
NEAR = 8  # levels that are near by
STIFF = 20.0  # transitions are smoothed by so many times fewer examples than values
NARROWEST = 1e-3  # the least variance of a number, in spreads of its column


class Way(NamedTuple):
    """What the way up leaves behind."""

    message: Tensor  # V K B H: the chance of what is at and below a column for its state, in shares of the largest
    above: Tensor  # V K B H: the same for the state of its parent
    joint: Tensor  # K B: log p(row | class)


class Circuit(nn.Module):
    """Takes rows "B C" of `len(parent)` columns, NaN where missing; log p(row, class) "B K". A column of size 0 holds
    real numbers (`mean` and `spread` make them standard), of another the codes from 0."""

    order: Tensor
    above: Tensor
    scale: Tensor
    base: Tensor
    category: Tensor
    moments: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, parent: Sequence[int], sizes: Sequence[int], states: int, classes: int = 1,
                 smooth: float = 0.01, mean: Sequence[float] = (), spread: Sequence[float] = ()) -> None:  # fmt: skip
        super().__init__()
        fold, columns = folded(parent), len(parent)
        self.depths, self.ranks, self.smooth = fold.depths, fold.ranks, smooth
        self.states, self.classes = states, classes
        self.sizes = [sizes[column] for column in fold.order]
        coded = [place for place in range(columns) if self.sizes[place]]
        real = [place for place in range(columns) if not self.sizes[place]]
        most = max(self.sizes)
        for name, value in (("order", fold.order), ("above", fold.above), ("coded", coded), ("real", real)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.long), persistent=False)
        there = torch.arange(most)[None] < torch.tensor([self.sizes[place] for place in coded])[:, None]  # Vc S
        self.register_buffer("there", there, persistent=False)
        for name, given, usual in (("mean", mean, 0.0), ("spread", spread, 1.0)):
            given = [given[column] for column in fold.order] if len(given) else [usual] * columns
            self.register_buffer(name, torch.tensor(given, dtype=torch.float64), persistent=False)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("base", there / there.sum(1, keepdim=True))  # Vc S: what smoothing leans to
        self.prior = nn.Parameter(torch.zeros(classes))  # expected counts, all of them
        self.root = nn.Parameter(torch.zeros(classes, states))
        self.transition = nn.Parameter(torch.zeros(columns, classes, states, states))  # parent's state, own state
        own = {"category": (len(coded), classes, most, states), "moments": (len(real), classes, 3, states)}
        for name, shape in own.items():  # of numbers: count, sum, squares
            if 0 in shape:
                self.register_buffer(name, torch.zeros(shape), persistent=False)
            else:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        for weight in self.parameters():
            weight.requires_grad_(False)

    def shares(self, counts: Tensor, dim: int = -1, each: float = 1.0) -> Tensor:
        """Chances: the counts' shares with `smooth` / `each` examples more."""
        more = self.smooth * self.scale / each
        return (counts + more) / (counts.sum(dim, keepdim=True) + more * counts.shape[dim])

    def transitions(self) -> Float[Tensor, "V K H H"]:
        """p(own state | parent's state)."""
        return self.shares(self.transition, each=STIFF * self.states**2)

    def categories(self) -> Float[Tensor, "V K S H"]:
        """p(code | state), 0 for codes that the column does not have."""
        counts = self.category + self.smooth * self.scale / self.states * self.base[:, None, :, None]
        return counts / counts.sum(2, keepdim=True)

    def normals(self) -> tuple[Float[Tensor, "V K H"], Float[Tensor, "V K H"]]:
        """Mean and variance of each column of numbers for each state, of standard numbers."""
        more = self.smooth * self.scale / self.states
        count, first, second = self.moments.unbind(2)
        mean = first / (count + more)
        return mean, ((second + more) / (count + more) - mean.square()).clamp_min(NARROWEST)

    def standard(self, row: Float[Tensor, "B C"]) -> Float[Tensor, "V B"]:
        """The columns in the order of the fold, numbers in their spreads."""
        value = row.T[self.order]
        if len(self.real):
            value = (value.double() - self.mean[:, None]) / self.spread[:, None]
        return value.to(self.root.dtype)

    def leaves(self, value: Float[Tensor, "V K B"]) -> tuple[Float[Tensor, "V K B H"], Float[Tensor, "V K B"]]:
        """The chance, or density, of each value for each state, 1 where missing; and the log of the factor that was
        left out of it, of numbers alone."""
        missing, (columns, classes, size) = value.isnan(), value.shape
        left = value.new_zeros(columns, classes, size)
        chance = torch.empty(0, device=value.device)
        if len(self.coded):
            code = value if not len(self.real) else value[self.coded]
            most = self.category.shape[2]
            block = torch.arange(len(self.coded) * classes, device=value.device).view(-1, classes, 1) * most
            row = code.nan_to_num(0).long() + block
            chance = self.category.view(-1, self.states).index_select(0, row.flatten()).view(*row.shape, self.states)
            total = self.category.sum(2)  # V K H
            more = self.smooth * self.scale / self.states
            usual = self.base.gather(1, code.nan_to_num(0).long().flatten(1)).view(*code.shape, 1)
            chance.add_(more * usual).mul_((1 / (total + more))[:, :, None])
        if len(self.real):
            mean, variance = (part[:, :, None] for part in self.normals())  # V K 1 H
            number = value[self.real]
            log = -0.5 * ((number[..., None] - mean).square() / variance + variance.log() + math.log(2 * math.pi))
            log = torch.where(number[..., None].isnan(), torch.zeros_like(log), log)
            high = log.amax(-1, keepdim=True)
            width = self.spread[self.real].log().to(log.dtype).view(-1, 1, 1)  # a density of the column's own numbers
            left[self.real] = torch.where(missing[self.real], 0.0, high[..., 0] - width)
            density = (log - high.clamp_min(-torch.finfo(log.dtype).max)).exp()
            if not len(self.coded):
                chance = density
            else:
                whole = density.new_empty(columns, classes, size, self.states)
                whole[self.coded], whole[self.real] = chance, density
                chance = whole
        if missing.any():
            chance = torch.where(missing[..., None], torch.ones_like(chance), chance)
        return chance, left

    def up(self, value: Float[Tensor, "V K B"], most: bool = False) -> Way:
        """From the leaves to the root: sums over hidden states, or with `most` the largest term of each, and of what is
        missing the likeliest value."""
        inner, left = self.leaves(value)
        log = left.sum(0)
        if most:
            high, missing = self.peaks(), value.isnan()
            inner = torch.where(missing[..., None], high[:, :, None], inner)
        above, table, tiny = torch.empty_like(inner), self.transitions(), torch.finfo(inner.dtype).tiny
        for (begin, end), ranks in zip(reversed(self.depths), reversed(self.ranks), strict=True):
            message = inner[begin:end]
            log += _levelled(message, tiny)
            if begin == 0:
                break
            if most:
                above[begin:end] = (message[..., None, :] * table[begin:end, :, None]).amax(-1)
            else:
                torch.matmul(message, table[begin:end].mT, out=above[begin:end])
            for rank, (first, last) in enumerate(ranks):
                place = self.above[first:last]
                product = inner[place] * above[first:last]
                if rank:  # with many children even shares become too small
                    log += _levelled(product, tiny)
                inner[place] = product
        start = self.shares(self.root, each=self.states)[:, None]  # K 1 H
        total = (inner[0] * start).amax(-1) if most else (inner[0] * start).sum(-1)
        return Way(inner, above, log + total.log())

    def peaks(self) -> Float[Tensor, "V K H"]:
        """The chance, or density, of each column's likeliest value for each state."""
        high = torch.empty(len(self.order), self.classes, self.states, dtype=self.root.dtype, device=self.root.device)
        if len(self.coded):
            high[self.coded] = self.categories().amax(2)
        if len(self.real):
            width = self.spread[self.real].to(high.dtype).view(-1, 1, 1)
            high[self.real] = (2 * math.pi * self.normals()[1]).rsqrt() / width
        return high

    def down(self, way: Way, weight: Float[Tensor, "K B"] | None = None,
             counts: Float[Tensor, "V K H H"] | None = None, factor: float | Tensor = 1.0,
             ) -> Float[Tensor, "V K B H"]:  # fmt: skip
        """The chance of each state, given the row: overwrites `way.message`. Rows that cannot be have zeros. `counts`
        gets `factor` times what is expected of transitions."""
        state, table, tiny = way.message, self.transitions(), torch.finfo(way.message.dtype).tiny
        state[0] *= self.shares(self.root, each=self.states)[:, None]
        state[0] /= state[0].sum(-1, keepdim=True).clamp_min(tiny)
        if weight is not None:
            state[0] *= weight[..., None]
        for begin, end in self.depths[1:]:
            ratio = state[self.above[begin:end]] / way.above[begin:end].clamp_min(tiny)
            if counts is not None:
                counts[begin:end] += (ratio.mT @ state[begin:end]).mul_(table[begin:end]).mul_(factor)
            state[begin:end] *= ratio @ table[begin:end]
        return state

    def forward(self, row: Float[Tensor, "B C"]) -> Float[Tensor, "B K"]:
        """log p(row, class), a density for numbers; what is missing is summed out. -inf: it cannot be."""
        value = self.standard(row)[:, None].expand(-1, self.classes, -1)
        return self.up(value).joint.T + self.shares(self.prior).log()

    def parts_of(self, row: Float[Tensor, "B C"], label: Integer[Tensor, "B"] | None) -> tuple[Tensor, Tensor]:
        """The rows by class, "V K B" with as many of each, and the weight of each, 0 for those that fill up."""
        value = self.standard(row)
        if label is None or self.classes == 1:
            return value[:, None], torch.ones(1, len(row), dtype=value.dtype, device=value.device)
        order, count = label.argsort(stable=True), label.bincount(minlength=self.classes)
        place = torch.arange(len(label), device=label.device) - (count.cumsum(0) - count)[label[order]]
        index = torch.zeros(self.classes, int(count.max()), dtype=torch.long, device=label.device)
        weight = torch.zeros(index.shape, dtype=value.dtype, device=value.device)
        index[label[order], place], weight[label[order], place] = order, 1.0
        return value[:, index], weight

    @torch.no_grad()
    def learn(self, row: Float[Tensor, "B C"], label: Integer[Tensor, "B"] | None, rate: float) -> Tensor:
        """One step of expectation maximisation: a share `rate` of the counts is replaced by those of this batch. The
        mean of -log p(row | its class) before it, in nats."""
        value, weight = self.parts_of(row, label)
        way = self.up(value)
        loss = -torch.where(weight > 0, way.joint, 0.0).sum() / len(row)
        self.scale /= max(1 - rate, 1e-6)  # instead of making all older counts smaller
        factor = self.scale * (rate / len(row))
        state = self.down(way, weight, self.transition, factor)
        self.add(value, state, weight, factor)
        if float(self.scale) > LARGEST_SCALE:
            for counts in self.parameters():
                counts /= self.scale
            self.scale.fill_(1.0)
        return loss

    def add(self, value: Tensor, state: Float[Tensor, "V K B H"], weight: Tensor, factor: float | Tensor) -> None:
        """Add `factor` times the counts of examples in these states to the weights, without those of transitions."""
        self.prior += weight.sum(1) * factor
        self.root += state[0].sum(1) * factor
        missing = value.isnan()
        state = (state * factor).masked_fill_(missing[..., None], 0.0) if missing.any() else state * factor
        if len(self.coded):
            code, part = (value, state) if not len(self.real) else (value[self.coded], state[self.coded])
            most = self.category.shape[2]
            block = torch.arange(len(self.coded) * self.classes, device=value.device).view(-1, self.classes, 1) * most
            row = (code.nan_to_num(0).long() + block).flatten()
            flat = self.category.view(-1, self.states)
            flat.scatter_add_(0, row[:, None].expand(-1, self.states), part.reshape(-1, self.states))
        if len(self.real):
            number, part = value[self.real].nan_to_num(0), state[self.real]
            powers = torch.stack([torch.ones_like(number), number, number.square()], -2)  # V K 3 B
            self.moments += powers @ part

    @torch.no_grad()
    def begin(self, row: Float[Tensor, "B C"], label: Integer[Tensor, "B"] | None, rng: torch.Generator,
              levels: bool = False) -> None:  # fmt: skip
        """First counts, from examples dealt to the states: each row goes in all columns to the state whose own example,
        one drawn of its class, it is most like, and a part of it at random."""
        value, weight = self.parts_of(row, label)
        columns, classes, size = value.shape
        filled = value.nan_to_num(0).permute(1, 2, 0)  # K B V
        chosen = torch.rand(classes, size, generator=rng).to(value.device) * weight  # those that fill up come last
        seeds = chosen.topk(min(self.states, size), 1).indices
        centre = filled.gather(1, seeds[..., None].expand(-1, -1, columns))
        for _ in range(3):  # of Lloyd's algorithm
            near = torch.cdist(filled, centre).argmin(-1)  # K B
            own = nn.functional.one_hot(near, self.states).to(value.dtype) * weight[..., None]  # K B H
            count = own.sum(1)[:, : centre.shape[1], None]
            moved = own.mT[:, : centre.shape[1]] @ filled / count.clamp_min(1)
            centre = torch.where(count > 0, moved, centre)
        state = torch.rand(columns, classes, size, self.states, generator=rng).to(value)
        state = (0.5 * own + 0.5 * state / state.sum(-1, keepdim=True)) * weight[..., None]
        for counts in self.parameters():
            counts.zero_()
        self.scale.fill_(1.0)
        self.add(value, state, weight, 1 / len(row))
        self.base.copy_(self.leaning(self.category.sum((1, 3)), levels))
        stay = own.sum(1) / len(row)  # K H
        spread = torch.rand(columns, classes, self.states, self.states, generator=rng).to(value)
        spread = spread / spread.sum(-1, keepdim=True)
        self.transition += (0.5 * torch.eye(self.states, device=value.device) + 0.5 * spread) * (
            stay + 0.1 / self.states / classes
        )[:, :, None]

    def leaning(self, counts: Float[Tensor, "V S"], levels: bool) -> Float[Tensor, "V S"]:
        """What smoothing leans to: half what is usual in a column, a tenth any code, the rest, where codes are
        `levels`, what is usual at levels near by."""
        even = self.there / self.there.sum(1, keepdim=True)
        usual = (counts + 1e-6 * even) / (counts.sum(1, keepdim=True) + 1e-6)
        near = usual
        if levels:
            near = nn.functional.avg_pool1d(usual[:, None], 2 * NEAR + 1, 1, NEAR, count_include_pad=False)[:, 0]
            near = near / near.sum(1, keepdim=True)
        return 0.5 * usual + 0.4 * near + 0.1 * even


def _levelled(message: Float[Tensor, "V K B H"], tiny: float) -> Float[Tensor, "K B"]:
    """The sum over columns of the log of the largest entry, by which the message is divided in place."""
    high = message.amax(-1, keepdim=True).clamp_min_(tiny)
    message /= high
    return high[..., 0].log().sum(0)
