"""Data sets: embedded, downloaded or the user's own. Imports neither torch nor a reader until one is asked
for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Labelled(NamedTuple):
    """Pictures with their class."""

    image: Tensor  # B C H W uint8: raw grey levels
    label: Tensor  # B int64


class Rows(NamedTuple):
    """Rows of a table, encoded as numbers, with what is to be predicted."""

    input: Tensor  # B D float32: raw values, not normalised
    target: Tensor  # B: int64 classes, or float32 values
