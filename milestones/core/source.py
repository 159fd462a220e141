"""Where examples come from: batches as a pure function of the step, drawn from tensors in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)
T = TypeVar("T", bound=tuple[Tensor, ...])

Facts = dict[str, Any]
"""Small and JSON: labels, mean, sizes: all that a model needs beside its weights."""


def key(*parts: object) -> int:
    """A seed of 63 bits from anything printable; equal on all machines."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest(), "big") >> 1


def keyed(*parts: object) -> torch.Generator:
    """A CPU generator of its own, seeded by ``key(*parts)``."""
    return torch.Generator().manual_seed(key(*parts))


class Choice(NamedTuple):
    """What the user asked to learn from: `--data --target --split --skip-unreadable`. Empty: the page's own."""

    data: str = ""  # a path, or the name of a data set
    target: str = ""  # the column of a table to predict
    split: str = ""  # "", "final" (train and valid together), or percentages as "80/10/10"
    skip: str = ""  # "unreadable": leave out pictures that cannot be read


class Place(NamedTuple):
    """Where a function runs, and on what."""

    device: torch.device
    seed: int
    rank: int = 0
    of: int = 1
    choice: Choice = Choice()

    def share(self, rows: Tensor) -> Tensor:
        """This process's equal share of the rows of a batch; all of them where there is none."""
        part, rest = divmod(len(rows), self.of)
        return rows if rest else rows[self.rank * part : (self.rank + 1) * part]


class Source(Protocol[B_co]):
    """Examples drawn by step number. `batch` is pure: the same (seed, step, size) gives the same batch anywhere.

    It returns this process's equal share of the global batch of `size` (size % of == 0); per-example randomness is
    drawn for the whole batch, then sliced, from local keyed generators only. `sweep` is not shared out.
    """

    def __len__(self) -> int: ...
    def batch(self, step: int, size: int) -> B_co: ...  # shuffled, each example once an epoch; one size in a stage
    def sweep(self, size: int) -> Iterator[B_co]: ...  # in order, each example once


class Data(NamedTuple, Generic[B]):
    """Three sources, and the facts that decide a model's shape."""

    train: Source[B]
    valid: Source[B]
    test: Source[B]
    facts: Facts


class Held(Generic[T]):
    """A data set held in memory: a named tuple of tensors with one first dimension.

    `name` and `split` say what it is wherever a figure is printed; `augment` changes a batch in training only.
    """

    def __init__(self, examples: T, place: Place, name: str, split: str,
                 augment: Callable[[T, torch.Generator], T] | None = None) -> None:  # fmt: skip
        self.examples = self._map(examples, lambda field: field.to(place.device))
        self.place, self.name, self.split, self.augment = place, name, split, augment
        self._order: tuple[tuple[int, int], Tensor] = ((-1, -1), torch.empty(0))

    @staticmethod
    def _map(examples: T, change: Callable[[Tensor], Tensor]) -> T:
        return type(examples)(*map(change, examples))

    def __len__(self) -> int:
        return len(self.examples[0])

    def _epoch(self, epoch: int) -> Tensor:
        """The order of one epoch. The last one is remembered, which changes no answer."""
        here = (self.place.seed, epoch)  # a copy of this source may get another place
        if self._order[0] != here:
            order = torch.randperm(len(self), generator=keyed(self.place.seed, "order", epoch))
            self._order = (here, order.to(self.place.device))
        return self._order[1]

    def batch(self, step: int, size: int) -> T:
        """This process's share of batch `step`: `size // of` examples, augmented."""
        at, parts, missing = step * size, [], size
        while missing:
            epoch, begin = divmod(at, len(self))
            part = self._epoch(epoch)[begin : begin + missing]
            parts.append(part)
            at, missing = at + len(part), missing - len(part)
        index = parts[0] if len(parts) == 1 else torch.cat(parts)
        examples = self._map(self.examples, lambda field: field.index_select(0, index))  # tenfold faster for uint8
        if self.augment:
            examples = self.augment(examples, keyed(self.place.seed, "augment", step))
        return examples if self.place.of == 1 else self._map(examples, self.place.share)

    def sweep(self, size: int) -> Iterator[T]:
        """All examples in order, as they are, at most `size` at a time."""
        for begin in range(0, len(self), size):
            yield self._map(self.examples, lambda field: field[begin : begin + size])  # noqa: B023  (used at once)
