"""Recurrent nets over padded batches: long short-term memory in both directions, without packing.

PyTorch's packed sequences bypass the fast recurrent kernels of CPUs; padded ones use them. What a net says of a frame
after the end of its sequence means nothing and has no effect on the frames before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F


def inside(length: Int[Tensor, "B"], time: int) -> Bool[Tensor, "B T"]:
    """True at the frames before the end of each sequence."""
    return torch.arange(time, device=length.device) < length[:, None]


def flipped(x: Shaped[Tensor, "B T ..."], length: Int[Tensor, "B"]) -> Shaped[Tensor, "B T ..."]:
    """Each sequence backwards; the padding stays behind. Its own inverse."""
    time = torch.arange(x.shape[1], device=x.device)
    where = torch.where(time < length[:, None], length[:, None] - 1 - time, time)
    return x.gather(1, where.view(*where.shape, *[1] * (x.dim() - 2)).expand_as(x))


def last(x: Float[Tensor, "B T D"], length: Int[Tensor, "B"]) -> Float[Tensor, "B D"]:
    """The last frame of each sequence; of an empty one the first of its padding."""
    return x[torch.arange(len(x), device=x.device), (length - 1).clamp(min=0)]


def through(
    forwards: Sequence[nn.Module] | nn.ModuleList, backwards: Sequence[nn.Module] | nn.ModuleList,
    x: Float[Tensor, "B T C"], length: Int[Tensor, "B"], dropout: float = 0.0,
) -> Float[Tensor, "B T D"]:  # fmt: skip
    """The last layer's output at each frame: `forwards` one after the other, beside each its half of `backwards`, where
    there are any, that reads from the end. `dropout` is the rate between layers, of a net in training."""
    for k, ahead in enumerate(forwards):
        if k and dropout:
            x = F.dropout(x, dropout)
        said = ahead(x)[0]
        x = torch.cat([said, flipped(backwards[k](flipped(x, length))[0], length)], -1) if len(backwards) else said
    return x


class Memory(NamedTuple):
    """What an LSTM carries from frame to frame, of each layer: a stream continues from it."""

    hidden: Float[Tensor, "L B D"]
    cell: Float[Tensor, "L B D"]


class LSTM(nn.Module):
    """Layers of long short-term memory (Hochreiter & Schmidhuber 1997; forget gates: Gers, Schmidhuber & Cummins 2000,
    whose bias begins at 1). With `both`, each layer reads forwards and backwards (Schuster & Paliwal 1997) and its two
    halves, `width` each, are the next layer's input. Dropout is between layers.
    """

    def __init__(self, inputs: int, width: int, layers: int = 1, both: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.both, self.dropout = width, both, dropout
        sizes = [inputs] + [width * (2 if both else 1)] * (layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in sizes if both)
        for net in (*self.forwards, *self.backwards):
            nn.init.orthogonal_(net.weight_hh_l0)
            nn.init.xavier_uniform_(net.weight_ih_l0)
            nn.init.zeros_(net.bias_hh_l0)
            nn.init.zeros_(net.bias_ih_l0)
            net.bias_ih_l0.data[width : 2 * width] = 1.0  # PyTorch's order of gates: input, forget, cell, output

    def forward(self, x: Float[Tensor, "B T C"], length: Int[Tensor, "B"]) -> Float[Tensor, "B T D"]:
        """The last layer's output at each frame."""
        return through(self.forwards, self.backwards, x, length, self.dropout * self.training)

    def stream(self, x: Float[Tensor, "B T C"], memory: Memory | None = None) -> tuple[Float[Tensor, "B T D"], Memory]:
        """As `forward`, of a net that reads forwards only, going on from where `memory` was left; and the memory after
        the last frame, which is no padding."""
        assert not self.both, "the backward half needs the end"
        hidden, cell = [], []
        for k, net in enumerate(self.forwards):
            if k and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            x, (h, c) = net(x, None if memory is None else (memory.hidden[k : k + 1], memory.cell[k : k + 1]))
            hidden.append(h)
            cell.append(c)
        return x, Memory(torch.cat(hidden), torch.cat(cell))
