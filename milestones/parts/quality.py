"""How good drawn pictures are: judged by a net that learned from real ones, by where they lie among its features, by
how much of the real ones they cover, and by how near they come to the pictures that were learned from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer, Shaped
from torch import Tensor, nn

from .initial import he
from .layers import Normalise

BLOCK = 4096  # rows that are compared at once
FEATURES = 64


class Judge(nn.Module):
    """A small classifier of pictures of `side` pixels, a multiple of 4. Takes raw levels, 0 to 255."""

    def __init__(self, classes: int, channels: int, side: int, mean: float, spread: float) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            Normalise(mean, spread),
            nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),  # B 16 14 14
            nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),  # B 32*7*7
            nn.Linear(32 * (side // 4) ** 2, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.25), nn.Linear(FEATURES, classes))
        he(self)

    def features(self, image: Integer[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """What the last layer chooses the class by."""
        return self.seen(image)

    def forward(self, image: Integer[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        return self.classifier(self.features(image))


def frechet(real: Float[Tensor, "N D"], drawn: Float[Tensor, "M D"]) -> float:
    """The squared Frechet distance of the normal distributions with the means and covariances of the rows: |m - m'|^2 +
    tr(S + S' - 2 (S S')^(1/2)) (Dowson & Landau 1982; of features of a net, Heusel et al. 2017). It is too large by
    what few rows leave to chance: compare equal numbers only. Two rows or more of each."""
    (mean, spread), (other, wide) = moments(real), moments(drawn)
    values, vectors = torch.linalg.eigh(spread)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # S S' has the eigenvalues of the symmetric S^(1/2) S' S^(1/2), of which roots can be taken safely.
    inner = torch.linalg.eigvalsh(root @ wide @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float((mean - other).square().sum() + spread.trace() + wide.trace() - 2 * inner))


def moments(rows: Float[Tensor, "N D"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D D"]]:
    """Mean and covariance of the rows, in double precision."""
    rows = rows.double()
    mean = rows.mean(0)
    off = rows - mean
    return mean, off.T @ off / max(1, len(rows) - 1)


def covered(real: Float[Tensor, "N D"], drawn: Float[Tensor, "M D"], neighbours: int = 5) -> Bool[Tensor, "N"]:
    """Whether a drawn row lies within the distance of each real row to its `neighbours`-th nearest other real row
    (Naeem et al. 2020, equation 6; coverage is the share for which one does). ValueError: fewer than two real rows."""
    if len(real) < 2:
        raise ValueError(f"two real rows or more, not {len(real)}")
    real, drawn = real.double(), drawn.double()
    apart = torch.cdist(real, real)
    apart.fill_diagonal_(-1.0)  # itself comes first, whatever equals it
    radius = apart.kthvalue(1 + min(neighbours, len(real) - 1), 1).values
    return torch.cdist(real, drawn).amin(1) <= radius


class Nearest(NamedTuple):
    """The row that is nearest to each of others."""

    distance: Float[Tensor, "M"]  # root mean square over the columns
    row: Int[Tensor, "M"]


def nearest(rows: Shaped[Tensor, "N ..."], to: Shaped[Tensor, "M ..."]) -> Nearest:
    """Which of `rows` is nearest to each of `to`, and how far it is."""
    aims = to.flatten(1).float()
    best = torch.full((len(aims),), torch.inf, device=aims.device)
    index = torch.zeros(len(aims), dtype=torch.long, device=aims.device)
    for begin in range(0, len(rows), BLOCK):
        block = rows[begin : begin + BLOCK].flatten(1).float()
        gap, at = (block.square().sum(1) - 2 * aims @ block.T).min(1)  # |a|^2 is the same for all
        index = torch.where(gap < best, at + begin, index)
        best = torch.minimum(gap, best)
    # The distance anew from the rows themselves: the product above leaves too few digits where it is small.
    found = rows[index].flatten(1).double() - aims.double()
    return Nearest(found.square().mean(1).sqrt().float(), index)
