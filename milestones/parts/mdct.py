"""Sound in few bytes: the modified discrete cosine transform, and its values rounded the coarser the larger they are.

Overlapping windows of 2 N samples become N values each, and the overlaps of neighbours cancel what the halving folded
(Princen & Bradley 1986; with a sine window the transform is orthonormal).
"""

from __future__ import annotations

import math
from functools import cache

import torch
from jaxtyping import Float, Int8
from torch import Tensor

HOP = 160  # samples between windows: 20 ms at 8 kHz
BEND = 0.6  # |x| -> |x|^0.6 before rounding: loud partials hide larger errors


@cache
def basis(hop: int = HOP) -> Float[Tensor, "T D"]:
    """The windowed cosines, one column each: 2 `hop` samples by `hop` values."""
    n, k = torch.arange(2 * hop, dtype=torch.float64)[:, None], torch.arange(hop, dtype=torch.float64)
    window = torch.sin(math.pi / (2 * hop) * (n + 0.5))
    wave = torch.cos(math.pi / hop * (n + 0.5 + hop / 2) * (k + 0.5))
    return (math.sqrt(2 / hop) * window * wave).float()


def forward(samples: Float[Tensor, "T"], hop: int = HOP) -> Float[Tensor, "N D"]:
    """The values of each window: ceil(T / hop) + 1 windows, the sound taken as silent before and after it."""
    count = -(-len(samples) // hop) + 1
    padded = torch.nn.functional.pad(samples, (hop, (count + 1) * hop - hop - len(samples)))
    return padded.unfold(0, 2 * hop, hop) @ basis(hop)


def inverse(values: Float[Tensor, "N D"]) -> Float[Tensor, "T"]:
    """The sound of windows, (N - 1) hop samples: what `forward` was given, and the silence that filled its last one.

    Sounds laid end to end come back end to end: between two of them lie `hop` samples that belong to neither.
    """
    hop = values.shape[1]
    cosines = basis(hop)
    return ((values @ cosines[hop:].T)[:-1] + (values @ cosines[:hop].T)[1:]).flatten()


def rounded(values: Float[Tensor, "N D"], step: float) -> Int8[Tensor, "N D"]:
    """The values as whole numbers q with |q| = round((|x| / step)^0.6), at most 127."""
    return (values.sign() * (values.abs() / step).pow(BEND).round().clamp(max=127)).to(torch.int8)


def unrounded(levels: Int8[Tensor, "N D"], step: float) -> Float[Tensor, "N D"]:
    """The values that `rounded` made levels of, but for the rounding."""
    table = torch.arange(-128, 128, dtype=torch.float32)
    table = table.sign() * table.abs().pow(1 / BEND) * step
    return table[levels.int() + 128]
