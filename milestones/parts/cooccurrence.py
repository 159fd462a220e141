"""Vectors of words by counting: which words stand together more often than by chance, and the directions in which that
varies most (Levy & Goldberg 2014; Levy, Goldberg & Dagan 2015). And what vectors say of words: who is near, and what is
to c as b is to a."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

AT_ONCE, CHUNK = 512, 400_000  # questions asked together; words counted together
RESAMPLED = 1000  # sets of pairs drawn for an interval


def together(word: Int[Tensor, "N"], context: Int[Tensor, "N W"], kept: Float[Tensor, "V"]) -> Float[Tensor, "V V"]:
    """How often a word (row) and one around it (column) stand together, as skip-gram meets them: `context` are those
    before and after, the nearest in the middle, 0 where there is none; a pair weighs less the farther it is, and by the
    chances `kept` that neither is left out. Sparse."""
    window, size = context.shape[1] // 2, (len(kept), len(kept))
    far = torch.tensor([*range(window, 0, -1), *range(1, window + 1)])
    weight = (window + 1 - far).double() / window  # of a reach drawn from 1 to the window
    total = torch.sparse_coo_tensor(size=size, dtype=torch.double, check_invariants=False)
    for some, near in zip(word.split(CHUNK), context.split(CHUNK), strict=True):
        row, at = (near > 0).nonzero(as_tuple=True)
        where = torch.stack([some[row], near[row, at]]).long()
        value = weight[at] * kept[where[0]] * kept[where[1]]
        total = (total + torch.sparse_coo_tensor(where, value, size, check_invariants=False)).coalesce()
    return total


def ppmi(counts: Float[Tensor, "V V"], smoothing: float = 0.75) -> Float[Tensor, "V V"]:
    """The positive part of the pointwise mutual information of word (row) and context (column), from a sparse matrix
    of how often they stand together; log(P(w, c) / (P(w) P(c))), with the contexts' frequencies taken to the power of
    `smoothing`, so that rare ones weigh less (section 3.3 of 2015). Sparse, too."""
    counts = counts.coalesce()
    (row, column), n = counts.indices(), counts.values().double()
    words = torch.zeros(counts.shape[0], dtype=torch.double).index_add_(0, row, n)
    contexts = torch.zeros(counts.shape[1], dtype=torch.double).index_add_(0, column, n) ** smoothing
    value = (n * contexts.sum() / (words[row] * contexts[column])).log()
    kept = value > 0
    return torch.sparse_coo_tensor(
        counts.indices()[:, kept], value[kept].float(), counts.shape, check_invariants=False
    ).coalesce()


def factors(matrix: Float[Tensor, "V V"], width: int, rng: torch.Generator, rounds: int = 4
            ) -> tuple[Float[Tensor, "V D"], Float[Tensor, "V D"]]:  # fmt: skip
    """Rows u and v so that u v' is nearly the sparse `matrix`: its largest `width` singular values, half of each (their
    root) on either side, found by multiplying random directions with it again and again (Halko, Martinsson & Tropp
    2011, algorithms 4.4 and 5.1)."""
    back = matrix.t().coalesce()
    wide = min(width + 10, *matrix.shape)
    y = torch.sparse.mm(matrix, torch.randn(matrix.shape[1], wide, generator=rng))
    for _ in range(rounds):
        q = torch.linalg.qr(y).Q
        q = torch.linalg.qr(torch.sparse.mm(back, q)).Q
        y = torch.sparse.mm(matrix, q)
    q = torch.linalg.qr(y).Q
    left, values, right = torch.linalg.svd(torch.sparse.mm(back, q).T, full_matrices=False)
    root = values[:width].clamp(min=0).sqrt()
    return (q @ left)[:, :width] * root, right[:width].T * root


def unit(vectors: Float[Tensor, "V D"]) -> Float[Tensor, "V D"]:
    """Each row of length 1; zeros stay."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)


def solved(vectors: Float[Tensor, "V D"], questions: Int[Tensor, "Q 4"], leave_out: bool = True,
           offset: bool = True) -> Bool[Tensor, "Q"]:  # fmt: skip
    """Whether d is the word nearest to b - a + c, of vectors of length 1 (Mikolov, Yih & Zweig 2013), for each question
    a, b, c, d: a is to b as c to d. With `leave_out` a, b and c are no answers, as all published figures have it;
    without `offset` the question is c alone (Linzen 2016: how much of the answer is that d is near c?)."""
    right = []
    for a, b, c, d in (part.T for part in questions.split(AT_ONCE)):
        asked = vectors[c] + (vectors[b] - vectors[a] if offset else 0)
        nearness = asked @ vectors.T  # Q V
        if leave_out:
            nearness.scatter_(1, torch.stack([a, b, c], 1), -torch.inf)
        right.append(nearness.argmax(1) == d)
    return torch.cat(right) if right else torch.zeros(0, dtype=torch.bool)


def questions(relations: Sequence[Sequence[tuple[int, int]]]) -> tuple[Int[Tensor, "Q 4"], Int[Tensor, "Q 3"]]:
    """All questions that pairs of each relation make of each other, and of each question its relation and the numbers
    of its two pairs."""
    found, where = [], []
    for k, pairs in enumerate(relations):
        for i, one in enumerate(pairs):
            for j, two in enumerate(pairs):
                if i != j:
                    found.append((*one, *two))
                    where.append((k, i, j))
    shape = torch.tensor(found, dtype=torch.long).view(-1, 4), torch.tensor(where, dtype=torch.long).view(-1, 3)
    return shape[0], shape[1]


def interval(right: Bool[Tensor, "Q"], where: Int[Tensor, "Q 3"], rng: torch.Generator) -> tuple[float, float]:
    """The 95 % interval of the percent of questions that are right, by drawing the pairs of each relation anew with
    replacement: questions that share a pair are not independent. What two copies of one pair would ask does not
    count."""
    most = int(where[:, 1:].max()) + 1
    grid = torch.zeros(int(where[:, 0].max()) + 1, most, most)
    there = torch.zeros_like(grid)
    grid[tuple(where.T)] = right.float()
    there[tuple(where.T)] = 1.0
    sizes = (there.sum(2) > 0).sum(1)
    shares = []
    for _ in range(RESAMPLED):
        weight = torch.zeros(len(sizes), most)  # how often each pair was drawn
        for k, size in enumerate(sizes.tolist()):
            weight[k] = torch.bincount(torch.randint(size, (size,), generator=rng), minlength=most).float()
        both = weight[:, :, None] * weight[:, None, :] * there
        shares.append(float((both * grid).sum() / both.sum().clamp(min=1)))
    low, high = torch.tensor(shares, dtype=torch.double).quantile(torch.tensor([0.025, 0.975], dtype=torch.double))
    return 100 * float(low), 100 * float(high)
