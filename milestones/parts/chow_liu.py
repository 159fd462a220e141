"""The tree of Chow and Liu: of all trees over the columns of a table the one under which its rows are likeliest (1968),
rooted in its middle and folded so that what lies at one depth is one slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

TIE = 1e-7  # nats; far below what any finite table can tell apart


def mutual_information(code: Integer[Tensor, "N C"], sizes: Sequence[int]) -> Float[Tensor, "C C"]:
    """Nats that each column tells of each other one, over the rows where neither is missing. `code` counts from 0 below
    the column's size; -1 is missing. All joint counts are one product of matrices."""
    start = np.cumsum([0, *sizes[:-1]])
    total, n = int(sum(sizes)), len(code)
    hot = torch.zeros(n, total, device=code.device)
    at = code + torch.as_tensor(start, device=code.device)
    row, column = (code >= 0).nonzero(as_tuple=True)
    hot[row, at[row, column]] = 1
    joint = (hot.T @ hot).double()  # total total
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.as_tensor(sizes)).to(code.device)

    def per_column(counts: Tensor) -> Tensor:  # "A total" -> "A C"
        return torch.zeros(len(counts), len(sizes), dtype=counts.dtype, device=code.device).index_add_(1, owner, counts)

    left = per_column(joint)  # total C: how often a value stands beside any value of a column
    pairs = per_column(left.T)  # C C: rows that have both
    # sum of n_ab log (n_ab n / (n_a n_b)), with n_a counted over the rows that have both
    information = per_column(per_column(torch.xlogy(joint, joint)).T)
    single = per_column(torch.xlogy(left, left).T)  # C C
    information = information - single - single.T + torch.xlogy(pairs, pairs)
    return (information / pairs.clamp_min(1)).clamp_min(0).float()


def spanning_tree(weight: Float[Tensor, "C C"]) -> list[int]:
    """The parent of each column in the tree whose edges weigh most, -1 at the root: its middle, so that it is as flat
    as it can be. Columns that tell nothing are tied; lots decide, lest all hang on one (Prim 1957)."""
    edges = weight.double().cpu().numpy()
    count = len(edges)
    lots = np.random.default_rng(1968).random((count, count)) * TIE
    edges = edges + lots + lots.T
    best, parent = edges[0].copy(), np.zeros(count, np.int64)
    inside = np.zeros(count, bool)
    inside[0], parent[0] = True, -1
    for _ in range(count - 1):
        new = int(np.where(inside, -np.inf, best).argmax())
        inside[new] = True
        better = (edges[new] > best) & ~inside
        best[better], parent[better] = edges[new][better], new
    return centred(parent.tolist())


def centred(parent: Sequence[int]) -> list[int]:
    """The same tree, rooted where its longest path has its middle."""
    near: list[list[int]] = [[] for _ in parent]
    for child, above in enumerate(parent):
        if above >= 0:
            near[child].append(above)
            near[above].append(child)

    def reached(root: int) -> tuple[list[int], list[int]]:  # parents, and nodes from near to far
        above, order = [-1] * len(parent), [root]
        for node in order:  # grows as it is read
            for other in near[node]:
                if other != above[node]:
                    above[other] = node
                    order.append(other)
        return above, order

    far = reached(0)[1][-1]
    above, order = reached(far)
    path = [order[-1]]
    while above[path[-1]] >= 0:
        path.append(above[path[-1]])
    return reached(path[len(path) // 2])[0]


class Fold(NamedTuple):
    """A tree by depth. Places count from the root; a depth is a slice of places, first children first."""

    order: list[int]  # place -> column
    above: list[int]  # place -> the parent's place, -1 at the root
    depths: list[tuple[int, int]]  # from the root down
    ranks: list[list[tuple[int, int]]]  # of each depth, slices in which no two have one parent


def folded(parent: Sequence[int]) -> Fold:
    """The tree by depth; what was one step a node becomes one a depth."""
    children: list[list[int]] = [[] for _ in parent]
    for child, up in enumerate(parent):
        if up >= 0:
            children[up].append(child)
    level, order, above, depths, ranks = [parent.index(-1)], [], [-1], [], []
    place = {}
    while level:
        depths.append((len(order), len(order) + len(level)))
        place |= {node: len(order) + i for i, node in enumerate(level)}
        order += level
        below: list[list[int]] = []
        for rank in range(max(len(children[node]) for node in level)):
            below.append([children[node][rank] for node in level if rank < len(children[node])])
        at, slices = len(order), []
        for some in below:
            slices.append((at, at + len(some)))
            at += len(some)
        ranks.append(slices)
        level = [node for some in below for node in some]
        above += [place[parent[node]] for node in level]
    return Fold(order, above, depths, [[(0, 1)], *ranks[:-1]])
