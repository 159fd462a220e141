"""Sequences of unequal length held in memory: batches of nearly equal lengths, padded with zeros to their longest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from ..core.source import Place, keyed
from ..parts.recurrent import inside

T = TypeVar("T", bound=tuple[Tensor, ...])

POOL = 32  # batches whose examples are sorted by length together: more pads less, and mixes less


class Flat(NamedTuple):
    """Sequences laid end to end: that of example i is `values[begin[i]:begin[i + 1]]`."""

    values: Shaped[Tensor, "F ..."]
    begin: Int[Tensor, "N+1"]
    told: bool = True  # whether its lengths are a field of the batch beside it

    @classmethod
    def of(cls, sequences: Sequence[Tensor]) -> Flat:
        """The sequences, equal but for their first dimension, end to end."""
        length = torch.tensor([0, *(len(one) for one in sequences)])
        return cls(torch.cat(list(sequences)), length.cumsum(0))

    @property
    def length(self) -> Int[Tensor, "N"]:
        """How long each is."""
        return self.begin.diff()

    def padded(self, index: Int[Tensor, "B"]) -> tuple[Shaped[Tensor, "B T ..."], Int[Tensor, "B"]]:
        """The sequences of these examples side by side, zeros after the end of each, and their lengths."""
        length = self.length[index]
        time = torch.arange(max(1, int(length.max())))
        here = inside(length, len(time))  # B T
        where = (self.begin[index, None] + time).where(here, 0)
        found = self.values[where]
        return found * here.view(*here.shape, *[1] * (found.dim() - 2)).to(found.dtype), length


class Ragged(Generic[T]):
    """A Source of examples that have sequences. `kind` is the named tuple of a batch; its fields are filled from
    `columns` in order: from a Flat two fields, the padded sequences "B T ..." and (unless its `told` is False) their
    lengths "B"; from a tensor with one row an example, one field.

    Batches are cut from an order that each epoch shuffles, sorts by the first column's length within pools of 32
    batches, and shuffles again batch by batch. `name`, `split` and `augment` are as those of a Held.
    """

    def __init__(self, kind: type[T], columns: Sequence[Flat | Tensor], place: Place, name: str, split: str,
                 augment: Callable[[T, torch.Generator], T] | None = None) -> None:  # fmt: skip
        first = columns[0]
        assert isinstance(first, Flat), "the first column decides which examples come together"
        self.kind, self.columns, self.length = kind, tuple(columns), first.length
        self.place, self.name, self.split, self.augment = place, name, split, augment
        self._order: tuple[tuple[int, int, int], Tensor] = ((-1, -1, -1), torch.empty(0))

    def __len__(self) -> int:
        return len(self.length)

    def take(self, index: Int[Tensor, "B"]) -> T:
        """These examples as one batch, on the place's device."""
        fields: list[Tensor] = []
        for column in self.columns:
            fields += column.padded(index)[: 1 + column.told] if isinstance(column, Flat) else (column[index],)
        return self.kind(*(field.to(self.place.device) for field in fields))

    def _epoch(self, epoch: int, size: int) -> Tensor:
        """The order of one epoch for batches of `size`. The last one is remembered, which changes no answer."""
        here = (self.place.seed, epoch, size)
        if self._order[0] != here:
            rng, n = keyed(self.place.seed, "order", epoch), len(self)
            order = torch.randperm(n, generator=rng)
            first = (-epoch * n) % size  # of this epoch's examples so many fill up the batch that the last one began
            pools = [part[self.length[part].argsort(stable=True)] for part in order[first:].split(POOL * size)]
            batches = [batch for pool in pools for batch in pool.split(size)]
            last = [batches.pop()] if batches and len(batches[-1]) < size else []  # the next epoch fills it up
            mixed = [batches[k] for k in torch.randperm(len(batches), generator=rng).tolist()]
            self._order = (here, torch.cat([order[:first], *mixed, *last]))
        return self._order[1]

    def batch(self, step: int, size: int) -> T:
        """This process's share of batch `step`: `size // of` examples, augmented."""
        at, parts, missing = step * size, [], size
        while missing:
            epoch, begin = divmod(at, len(self))
            part = self._epoch(epoch, size)[begin : begin + missing]
            parts.append(part)
            at, missing = at + len(part), missing - len(part)
        examples = self.take(torch.cat(parts))
        if self.augment:
            examples = self.augment(examples, keyed(self.place.seed, "augment", step))
        share = size // self.place.of
        mine = slice(self.place.rank * share, (self.place.rank + 1) * share)
        return self.kind(*(field[mine] for field in examples))

    def sweep(self, size: int) -> Iterator[T]:
        """All examples in order, as they are, at most `size` at a time."""
        for begin in range(0, len(self), size):
            yield self.take(torch.arange(begin, min(begin + size, len(self))))
