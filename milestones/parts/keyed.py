"""Random numbers that are functions of a key: the noise of a search does not depend on what is searched beside it.

The k-th number of a key is SplitMix64's (Steele, Lea & Flood 2014): the key and k steps of the golden ratio, mixed.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float64, Int, UInt64

from .compiled import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
BY_30, BY_27, BY_31, BY_12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)


def keys(seed: int, game: Int[np.ndarray, "M"], move: Int[np.ndarray, "M"]) -> UInt64[np.ndarray, "M"]:
    """The keys of searches: of the move-th move of game number `game`."""
    found = np.empty(len(game), np.uint64)
    _keys(np.uint64(seed % 2**64), np.asarray(game, np.int64), np.asarray(move, np.int64), found)
    return found


def gumbels(key: UInt64[np.ndarray, "M"], actions: int) -> Float64[np.ndarray, "M A"]:
    """Standard Gumbel noise, one a move."""
    found = np.empty((len(key), actions))
    _gumbels(np.asarray(key, np.uint64), found)
    return found


def dirichlets(
    key: UInt64[np.ndarray, "M"], legal: Bool[np.ndarray, "M A"], alpha: float
) -> Float64[np.ndarray, "M A"]:
    """Shares of the legal moves that sum to 1, from the Dirichlet distribution of equal `alpha`."""
    found = np.zeros(legal.shape)
    _dirichlets(np.asarray(key, np.uint64), np.ascontiguousarray(legal), float(alpha), found)
    return found


@njit
def mixed(x):
    """SplitMix64's finaliser of 64 bits."""
    x = (x ^ (x >> BY_30)) * FIRST
    x = (x ^ (x >> BY_27)) * SECOND
    return x ^ (x >> BY_31)


@njit
def uniform(key, k):
    """The k-th number of the key, between 0 and 1: never one of them."""
    return (np.float64(mixed(key + np.uint64(k + 1) * GOLDEN) >> BY_12) + 0.5) * 2.0**-52


@njit
def _keys(seed, game, move, found):
    for m in range(len(game)):
        found[m] = mixed(mixed(mixed(seed + GOLDEN) + np.uint64(game[m])) + np.uint64(move[m]))


@njit
def _gumbels(key, found):
    for m in range(len(key)):
        for a in range(found.shape[1]):
            found[m, a] = -math.log(-math.log(uniform(key[m], a)))


@njit
def log_gamma(key, alpha):
    """The logarithm of a number from the gamma distribution: small `alpha` give numbers that are 0 to a float.

    Of alpha + 1 by Marsaglia & Tsang (2000), then times u^(1 / alpha) (their section 6)."""
    d = alpha + 2 / 3
    c = 1 / math.sqrt(9 * d)
    k = 1
    while True:
        normal = math.sqrt(-2 * math.log(uniform(key, k))) * math.cos(2 * math.pi * uniform(key, k + 1))
        v = (1 + c * normal) ** 3
        if v > 0 and math.log(uniform(key, k + 2)) < normal * normal / 2 + d - d * v + d * math.log(v):
            return math.log(d * v) + math.log(uniform(key, 0)) / alpha
        k += 3


@njit
def _dirichlets(key, legal, alpha, found):
    for m in range(len(key)):
        top = -np.inf
        for a in range(found.shape[1]):
            if legal[m, a]:  # a move's number depends on its own place alone
                found[m, a] = log_gamma(mixed(key[m] ^ np.uint64(a + 1)), alpha)
                top = max(top, found[m, a])
        total = 0.0
        for a in range(found.shape[1]):
            if legal[m, a]:
                found[m, a] = math.exp(found[m, a] - top)
                total += found[m, a]
        for a in range(found.shape[1]):
            if legal[m, a]:
                found[m, a] /= total
