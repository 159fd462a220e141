"""The newest positions that were played, to learn from: the more there were, the more of them are kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int8, Shaped, UInt8
from torch import Tensor

from .game import Game


class Positions(NamedTuple):
    """Positions with what should be said of them."""

    states: Shaped[np.ndarray, "N W"]
    policy: Float[np.ndarray, "N A"]
    chance: Float[np.ndarray, "N 2"]  # that the mover wins, and that it loses
    owner: Int8[np.ndarray, "N P"]  # of each point in the end: 1 the mover, -1 the other; no points: nobody counts


class Examples(NamedTuple):
    """The same as the net is asked: what a loss is taken of."""

    planes: UInt8[Tensor, "B C H W"]
    policy: Float[Tensor, "B A"]
    chance: Float[Tensor, "B 3"]  # of a win, a draw, a loss
    owner: Float[Tensor, "B P"]  # of each point in the end, from -1 to 1; no points: nobody counts


class Window:
    """A ring of at most `most` positions. Of n that there ever were the newest `first` (n / first) ** `growth` are
    drawn from, while n is small all (Wu 2019, appendix C)."""

    def __init__(self, words: int, actions: int, most: int, first: int, growth: float, points: int = 0) -> None:
        self.most, self.first, self.growth, self.count = most, first, growth, 0
        self.states = np.zeros((most, words), np.uint64)
        self.policy = np.zeros((most, actions), np.float16)
        self.chance = np.zeros((most, 2), np.float16)
        self.owner = np.zeros((most, points), np.int8)

    def __len__(self) -> int:
        """Positions that are drawn from."""
        return round(min(self.count, self.most, self.first * max(1.0, self.count / self.first) ** self.growth))

    def _newest(self, back: np.ndarray) -> np.ndarray:
        """Where the position lies after which `back` others came."""
        return (self.count - 1 - back) % self.most

    def add(self, more: Positions) -> None:
        """Keep more, in place of the oldest."""
        size = len(more.states)
        more = more._replace(owner=more.owner[:, : self.owner.shape[1]])
        kept = Positions(*(field[max(0, size - self.most) :] for field in more))
        self.count += size
        at = self._newest(np.arange(len(kept.states))[::-1])
        self.states[at], self.policy[at], self.chance[at], self.owner[at] = kept

    def draw(self, size: int) -> Positions:
        """So many at random, with equal chance, by the global generator."""
        at = self._newest(torch.randint(len(self), (size,)).numpy())
        return Positions(self.states[at], self.policy[at], self.chance[at], self.owner[at])

    def state_dict(self) -> dict[str, Any]:
        """The positions that can still be drawn, the newest first."""
        at = self._newest(np.arange(len(self)))
        states = torch.from_numpy(self.states[at].view(np.int64))
        return {"count": self.count, "states": states, "policy": torch.from_numpy(self.policy[at]),
                "chance": torch.from_numpy(self.chance[at]), "owner": torch.from_numpy(self.owner[at])}  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        states, policy, chance, owner = (state_dict[name].numpy() for name in ("states", "policy", "chance", "owner"))
        self.count = int(state_dict["count"])
        if len(states) != len(self) or policy.shape[1:] != self.policy.shape[1:]:
            raise ValueError(f"{len(states)} positions of {policy.shape[1:]} moves, not {len(self)}")
        at = self._newest(np.arange(len(self)))
        self.states[at], self.policy[at], self.chance[at] = states.view(np.uint64), policy, chance
        self.owner[at] = owner


def turned(game: Game, found: Positions) -> Examples:
    """Positions as planes, each turned or mirrored at random into one of its twins, by the global generator."""
    cells, moves = (torch.from_numpy(np.ascontiguousarray(twin)).long() for twin in game.twins())
    planes, policy = torch.from_numpy(game.planes(found.states)), torch.from_numpy(found.policy).float()
    which = torch.randint(len(cells), (len(policy),))
    (size, channels, rows, columns), places = planes.shape, cells[which]  # B HW
    chance = torch.from_numpy(found.chance).float()
    three = torch.stack([chance[:, 0], 1 - chance.sum(1), chance[:, 1]], 1)
    planes = planes.flatten(2).gather(2, places[:, None].expand(-1, channels, -1))
    owner = torch.from_numpy(found.owner).float()
    owner = owner.gather(1, places) if owner.shape[1] else owner
    return Examples(planes.view(size, channels, rows, columns), policy.gather(1, moves[which]), three, owner)
