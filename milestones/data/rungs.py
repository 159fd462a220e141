"""A ladder of representations: the same linear reader for each, so that what differs is what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.score import Score, rate_score
from ..core.source import Data
from ..media import Listing
from ..parts.similarity import probe
from . import Labelled

MOST = 10_000  # training pictures that the reader learns from: it is solved at once
PARTS = 500  # pictures at a time

Code = Callable[[Tensor], Tensor]  # uint8 pictures -> "B D"


def pixels(image: Tensor) -> Float[Tensor, "B P"]:
    """The lowest rung: levels from 0 to 1."""
    return image.flatten(1).float() / 255


@torch.no_grad()
def read(code: Code, source: Any, most: int = 0) -> tuple[Float[Tensor, "N D"], Tensor]:
    """What `code` makes of the pictures of `source`, or of its first `most`, and their classes."""
    found, labels, over = [], [], 0
    for batch in source.sweep(PARTS):
        found.append(code(batch.image).float())
        labels.append(batch.label)
        over += len(batch.label)
        if most and over >= most:
            break
    codes, label = torch.cat(found), torch.cat(labels)
    return (codes[:most], label[:most]) if most else (codes, label)


def missed(code: Code, data: Data[Labelled], source: Any) -> tuple[int, int, int]:
    """Of how many pictures of `source` a linear reader of their codes tells another class, among how many, from how
    many numbers each. It learns from the first MOST training pictures."""
    train, label = read(code, data.train, MOST)
    asked, right = read(code, source)
    said = probe(train, label, asked, len(data.facts["labels"])).said
    return int((said != right).sum()), len(right), train.shape[1]


def rungs(codes: Mapping[str, Code], data: Data[Labelled]) -> Listing:
    """A line for each of `codes`: how many numbers it has, and the reader's error on the validation pictures."""
    rows: list[list[str | float | None]] = []
    for name, code in codes.items():
        wrong, over, numbers = missed(code, data, data.valid)
        rows.append([name, numbers, 100 * wrong / over])
    return Listing(["what a linear reader is given", "numbers", "validation error, %"], rows)


def probe_score(code: Code, data: Data[Labelled], what: str) -> Score:
    """The reader's error on the test pictures."""
    wrong, over, numbers = missed(code, data, data.test)
    first = min(MOST, len(data.train))
    note = f"a linear reader (ridge regression) of {numbers} numbers, {what}, taught {first:,} labels"
    return rate_score(wrong, over, data.test, note=note)
