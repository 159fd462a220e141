"""Episodes and games that several processes play together: each plays its share, and all come to know of all."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from ..core.errors import UserError


@runtime_checkable
class Peers(Protocol):
    """All processes of a run: `rank` is this one's number among `of`; `here` of them are on this machine."""

    rank: int
    of: int
    here: int

    def all(self, mine: UInt8[np.ndarray, "B"], sizes: Sequence[int]) -> list[UInt8[np.ndarray, "M"]]:
        """The bytes of all processes in their order, of which each has as many as `sizes` says."""
        ...


def shares(count: int, of: int) -> list[Int[np.ndarray, "M"]]:
    """Which of `count` each process plays: neighbours, as evenly as can be; where they are few, some play none."""
    return np.array_split(np.arange(count), of)


def joined(peers: Peers, counts: Sequence[int], alike: np.ndarray, *fields: Shaped[np.ndarray, "N ..."]
           ) -> tuple[Shaped[np.ndarray, "M ..."], ...]:  # fmt: skip
    """The rows of all processes in their order, of which each has as many as `counts` says. `alike`: what all of them
    came to by themselves, which tells whether they are still one run. UserError: another process came to another."""
    sizes = [field.dtype.itemsize * math.prod(field.shape[1:]) for field in fields]  # of a row, in bytes
    words = [np.array([zlib.crc32(alike.tobytes())], np.uint32), *fields]
    mine = np.concatenate([np.frombuffer(word.tobytes(), np.uint8) for word in words])
    found = peers.all(mine, [4 + count * sum(sizes) for count in counts])
    others = [str(k) for k, part in enumerate(found) if not np.array_equal(part[:4], found[0][:4])]
    if others:
        got = f"other bits in process {', '.join(others)}"
        raise UserError(f"the same numbers in all {peers.of} processes", got, "Take machines of one kind, with one "
                        "version of PyTorch; what was saved is kept, and 'milestones resume' goes on")  # fmt: skip
    parts: list[list[np.ndarray]] = [[] for _ in fields]
    for count, part in zip(counts, found, strict=True):
        pieces = np.split(part[4:], np.cumsum([count * size for size in sizes])[:-1])
        for rows, field, piece in zip(parts, fields, pieces, strict=True):
            rows.append(np.frombuffer(piece.tobytes(), field.dtype).reshape(count, *field.shape[1:]))
    return tuple(map(np.concatenate, parts))
