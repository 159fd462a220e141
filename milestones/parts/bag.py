"""The standard pipeline for texts: counts of words and their pieces, weighted by rarity, into logistic regression."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from .grams import inverse_frequency


@runtime_checkable
class Counts(Protocol):
    """A batch of texts by their counts."""

    @property
    def gram(self) -> Int[Tensor, "B G"]: ...  # hashes
    @property
    def count(self) -> Int[Tensor, "B G"]: ...  # 0: no gram stands here
    @property
    def label(self) -> Int[Tensor, "B"]: ...


class Bag(nn.Module):
    """Counts damped by a logarithm and weighted by rarity, each text of length 1, into logistic regression, whose loss
    is cross-entropy, mean over the texts, and `pull` times half the squares of the weights."""

    idf: Tensor

    def __init__(self, buckets: int, classes: int, pull: float) -> None:
        super().__init__()
        self.buckets, self.pull = buckets, pull
        self.weights = nn.EmbeddingBag(buckets, classes, mode="sum")
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(classes))
        self.register_buffer("idf", torch.ones(buckets))

    def weighted(self, batch: Counts) -> tuple[Int[Tensor, "B G"], Float[Tensor, "B G"]]:
        """The bucket and the weight of each count."""
        place = batch.gram % self.buckets
        weight = self.idf[place] * (1 + batch.count.clamp(min=1).log()) * (batch.count > 0)
        return place, weight / weight.norm(dim=1, keepdim=True).clamp(min=1e-9)

    def forward(self, batch: Counts) -> Float[Tensor, "B K"]:
        place, weight = self.weighted(batch)
        return self.weights(place, per_sample_weights=weight) + self.bias

    @torch.no_grad()
    def rarity(self, batches: Iterable[Counts]) -> None:
        """Count in how many of these texts each bucket stands."""
        documents, over = np.zeros(self.buckets, np.int64), 0
        for batch in batches:
            row = torch.arange(len(batch.count), device=batch.gram.device)[:, None] * self.buckets
            both = (row + batch.gram % self.buckets)[batch.count > 0].unique()  # a bucket counts once a text
            documents += np.bincount((both % self.buckets).cpu().numpy(), minlength=self.buckets)
            over += len(batch.count)
        self.idf.copy_(torch.from_numpy(inverse_frequency(documents, over)))

    @torch.no_grad()
    def rows(self, batches: Iterable[Counts]) -> tuple[Float[Tensor, "N V"], Float[Tensor, "V N"], Int[Tensor, "N"]]:
        """The weighted counts of all these texts as a sparse matrix, its transpose, and their classes."""
        places, weights, labels, over = [], [], [], 0
        for batch in batches:
            place, weight = self.weighted(batch)
            there = batch.count > 0
            row = torch.arange(over, over + len(place), device=place.device)[:, None].expand_as(place)
            places.append(torch.stack([row[there], place[there].long()]))
            weights.append(weight[there])
            labels.append(batch.label)
            over += len(place)
        where, size = torch.cat(places, 1), (over, self.buckets)
        x: Any = torch.sparse_coo_tensor(where, torch.cat(weights), size, check_invariants=False).coalesce()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows one after the other are "in beta", and several times as fast
            return x.to_sparse_csr(), x.t().coalesce().to_sparse_csr(), torch.cat(labels)

    @torch.no_grad()
    def downhill(self, x: Float[Tensor, "N V"], back: Float[Tensor, "V N"], label: Int[Tensor, "N"]) -> Tensor:
        """The loss of all these texts (see ``rows``); its gradient is left in the weights."""
        scores = x @ self.weights.weight + self.bias
        delta = (scores.softmax(1) - F.one_hot(label, scores.shape[1])) / len(label)  # N K: the loss's slope
        self.weights.weight.grad = back @ delta + self.pull * self.weights.weight
        self.bias.grad = delta.sum(0)
        return F.cross_entropy(scores, label) + self.pull / 2 * self.weights.weight.square().sum()
