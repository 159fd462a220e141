"""Connectionist temporal classification (Graves, Fernandez, Gomez & Schmidhuber 2006): loss and reading.

Class 0 is the blank. Texts are classes "B L", padded with 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


class Reading(NamedTuple):
    """What was read, and where."""

    text: Int[Tensor, "B T"]  # classes, then zeros
    length: Int[Tensor, "B"]
    frame: Int[Tensor, "B T"]  # of each sign: where its chance is first the largest


def ctc_loss(logits: Float[Tensor, "B T K"], text: Int[Tensor, "B L"], length: Int[Tensor, "B"],
             reduction: str = "mean") -> Tensor:  # fmt: skip
    """Minus the log-probability of the texts over all alignments, in nats (equation 8): the mean of a line, divided by
    the number of its signs; with "none" the sum for each line, "B"."""
    chance = logits.float().log_softmax(-1).transpose(0, 1)  # T B K
    frames = torch.full_like(length, len(chance))
    return F.ctc_loss(chance, text, frames, length, 0, reduction, zero_infinity=True)


def greedy(logits: Float[Tensor, "B T K"]) -> Reading:
    """The likeliest path, repetitions and blanks removed (equation 4)."""
    path = logits.argmax(-1)
    before = F.pad(path, (1, 0))[:, :-1]
    kept = (path != 0) & (path != before)
    place = torch.where(kept, kept.cumsum(1) - 1, path.shape[1])  # the rest goes into one more column, then dropped
    empty = path.new_zeros(len(path), path.shape[1] + 1)
    frames = torch.arange(path.shape[1], device=path.device).expand_as(path)
    return Reading(empty.scatter(1, place, path)[:, :-1], kept.sum(1), empty.scatter(1, place, frames)[:, :-1])


def wrong(read: Int[Tensor, "B T"], read_length: Int[Tensor, "B"], text: Int[Tensor, "B L"], length: Int[Tensor, "B"]
          ) -> Tensor:  # fmt: skip
    """True for each line that was not read exactly, "B"."""
    wide = text.shape[1]
    read = F.pad(read[:, :wide], (0, max(0, wide - read.shape[1])))
    return (read_length != length) | (read != text).any(1)
