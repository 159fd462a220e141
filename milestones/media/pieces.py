"""The connected pieces of a mask: letters, strokes, specks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FEW = 400  # runs of a mask that are joined one by one faster than all at once


class Pieces(NamedTuple):
    """Connected pieces of a mask: which one each pixel belongs to (-1 none), and their area and extent."""

    label: np.ndarray  # H W
    area: np.ndarray  # N
    top: np.ndarray
    bottom: np.ndarray  # the last row, inclusive
    left: np.ndarray
    right: np.ndarray


def pieces(mask: np.ndarray) -> Pieces:
    """The connected pieces of a mask "H W", diagonal neighbours connected."""
    height, width = mask.shape
    wide = width + 3  # a gap, so that runs of different rows never meet
    flat = np.zeros((height, wide), bool)
    flat[:, 1 : width + 1] = mask
    flat = flat.ravel()
    change = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begin, end = change[::2], change[1::2]
    n = len(begin)
    first, last = np.searchsorted(end, begin + wide), np.searchsorted(begin, end + wide, "right")
    many = np.maximum(last - first, 0)
    a = np.repeat(np.arange(n), many)
    b = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first, many)
    root = _joined(n, a, b)
    first = root == np.arange(n)
    name, count = (np.cumsum(first) - 1)[root], int(first.sum())
    row, left, right = begin // wide, begin % wide - 1, (end - 1) % wide - 1
    label = np.full(height * wide, -1, np.int64)
    label[flat] = np.repeat(name, end - begin)
    box = [np.full(count, size) for size in (height, -1, width, -1)]
    np.minimum.at(box[0], name, row)
    np.maximum.at(box[1], name, row)
    np.minimum.at(box[2], name, left)
    np.maximum.at(box[3], name, right)
    area = np.bincount(name, end - begin, count).astype(np.int64)
    return Pieces(label.reshape(height, wide)[:, 1 : width + 1], area, *box)


def _joined(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each of `n` runs the first one that it is connected with, where run a[k] touches run b[k]."""
    if n <= FEW:
        to = list(range(n))
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            while to[one] != one:
                to[one] = one = to[to[one]]
            while to[other] != other:
                to[other] = other = to[to[other]]
            to[max(one, other)] = min(one, other)
        for k in range(n):  # what a run points to lies before it
            to[k] = to[to[k]]
        return np.array(to, np.int64)
    root = np.arange(n)
    while True:
        least = np.minimum(root[a], root[b])
        fresh = root.copy()
        for which in (a, b, root[a], root[b]):
            np.minimum.at(fresh, which, least)
        fresh = fresh[fresh]
        if (fresh == root).all():
            return root
        root = fresh
