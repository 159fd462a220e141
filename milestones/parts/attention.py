"""Attention in heads, layers of it, and positions (Vaswani et al. 2017; turned: Su et al. 2021).

Products and a softmax as they are written: on CPUs PyTorch's fused attention is slow on the way back.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn

from .seq2seq import locked


class Kept(NamedTuple):
    """Keys and values of what may be looked at, head by head."""

    keys: Float[Tensor, "B N S E"]
    values: Float[Tensor, "B N S E"]


class Attention(nn.Module):
    """Each place takes a mean of values, weighted by how its query meets their keys, in each head for itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0, f"{width} in {heads} heads"
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def keep(self, x: Float[Tensor, "B S D"]) -> Kept:
        """The keys and values of these places."""
        return Kept(*(part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.keys_values(x).chunk(2, -1)))

    def forward(self, x: Float[Tensor, "B T D"], kept: Kept, seen: Bool[Tensor, "#B #T S"]
                ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B N T S"]]:  # fmt: skip
        """Equation 1 in each head, and its weights; what is not `seen` has none."""
        query = self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # B N T E
        scores = query @ kept.keys.mT / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
        return self.out((weights @ kept.values).transpose(1, 2).flatten(2)), weights


class Layer(nn.Module):
    """Self-attention, for a writing net attention to what was read, then two layers for each place alone; each adds to
    its input, normalised before (Xiong et al. 2020), so that no slow start is needed."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, writes: bool = False) -> None:
        super().__init__()
        self.dropout, self.writes = dropout, writes
        self.own, self.own_norm = Attention(width, heads), nn.LayerNorm(width)
        if writes:
            self.other, self.other_norm = Attention(width, heads), nn.LayerNorm(width)
        self.each, self.each_norm = (
            nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width)),
            nn.LayerNorm(width),
        )

    def forward(
        self, x: Float[Tensor, "B T D"], seen: Bool[Tensor, "#B #T S"], past: Kept | None = None,
        read: tuple[Kept, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], Kept, Tensor | None]:  # fmt: skip
        """The places after this layer; keys and values of all places so far, those of `past` first; and where a
        writing net looked in what was `read` (its keys and values, and what of it is there), "B N T S"."""
        y, looked = self.own_norm(x), None
        kept = self.own.keep(y)
        if past is not None:
            kept = Kept(*(torch.cat(both, 2) for both in zip(past, kept, strict=True)))
        x = x + locked(self.own(y, kept, seen)[0], self.dropout, self.training)
        if read is not None:
            # Hypotheses of one source lie side by side: all of them look at it at once.
            y = self.other_norm(x).reshape(len(read[1]), -1, x.shape[2])
            found, looked = self.other(y, *read)
            x = x + locked(found.reshape(x.shape), self.dropout, self.training)
        return x + locked(self.each(self.each_norm(x)), self.dropout, self.training), kept, looked


def positions(first: int, count: int, width: int, device: torch.device) -> Float[Tensor, "T D"]:
    """Sines and cosines of places `first`, ... of wave lengths from 2 pi to 10,000 times that (section 3.5)."""
    place = torch.arange(first, first + count, device=device)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], -1).flatten(1)[:, :width]


def before(count: int, device: torch.device) -> Bool[Tensor, "1 T T"]:
    """Which places each may look at: itself and those before."""
    return torch.ones(count, count, dtype=torch.bool, device=device).tril()[None]


def turns(count: int, width: int) -> Complex[Tensor, "T F"]:
    """Of places 0 to `count` - 1 by how much each of width / 2 pairs of features is turned, as complex numbers of
    length 1: by place / 10,000^(2k / width) (Su et al. 2021, equation 15)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(count)[:, None] * rate
    return torch.polar(torch.ones_like(angle), angle)


def turned(x: Float[Tensor, "B T N E"], turn: Complex[Tensor, "T F"]) -> Float[Tensor, "B T N E"]:
    """Queries or keys with their places in them: features 2k and 2k + 1 are turned as one complex number. The product
    of two then depends on how far apart they are, not on where (equation 16)."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn[:, None]).flatten(-2)
