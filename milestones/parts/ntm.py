"""A memory that a net writes to and reads from, every step of it differentiable (Graves, Wayne & Danihelka 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

BLANK = 0.1  # what each cell holds before anything is written: a constant, as Collier & Beel (2018) found best
SMALL = 1e-6  # keeps logarithms and lengths away from 0


class Turn(NamedTuple):
    """Where each head shall look next."""

    key: Float[Tensor, "B N M"]  # what to look for, for each of N heads
    strength: Float[Tensor, "B N"]  # how sharply it is looked for, from 0
    gate: Float[Tensor, "B N"]  # 1: where the key is found; 0: where the head was
    shift: Float[Tensor, "B N 3"]  # chances of going back a row, staying, going on a row
    sharpness: Float[Tensor, "B N"]  # from 1


def found(memory: Float[Tensor, "B R M"], key: Float[Tensor, "B N M"], strength: Float[Tensor, "B N"]
          ) -> Float[Tensor, "B N R"]:  # fmt: skip
    """How much each row is what a head looks for (equations 5 and 6): a softmax over the cosines."""
    length = memory.norm(dim=2)[:, None] * key.norm(dim=2)[:, :, None]
    return (strength[:, :, None] * (key @ memory.mT) / (length + SMALL)).softmax(2)


def moved(weight: Float[Tensor, "B N R"], shift: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N R"]:
    """The weights a row back, as they are, and a row on, mixed (equation 8). The last row is beside the first."""
    back, stay, on = shift.split(1, 2)
    return torch.addcmul(torch.addcmul(stay * weight, back, weight.roll(-1, 2)), on, weight.roll(1, 2))


def sharpened(weight: Float[Tensor, "B N R"], sharpness: Float[Tensor, "B N"]) -> Float[Tensor, "B N R"]:
    """Weights to a power, that sum to one again (equation 9)."""
    return (sharpness[:, :, None] * (weight + SMALL).log()).softmax(2)


def addressed(memory: Float[Tensor, "B R M"], before: Float[Tensor, "B N R"], turn: Turn) -> Float[Tensor, "B N R"]:
    """How much of each row every head takes, given where it was `before` (equations 5 to 9)."""
    gated = before.lerp(found(memory, turn.key, turn.strength), turn.gate[:, :, None])  # equation 7
    return sharpened(moved(gated, turn.shift), turn.sharpness)


def written(memory: Float[Tensor, "B R M"], weight: Float[Tensor, "B R"], erase: Float[Tensor, "B M"],
            add: Float[Tensor, "B M"]) -> Float[Tensor, "B R M"]:  # fmt: skip
    """The memory with a share of each row erased and added to (equations 3 and 4)."""
    change = torch.addcmul(add[:, None], erase[:, None], memory, value=-1)
    return torch.addcmul(memory, weight[:, :, None], change)


class NTM(nn.Module):
    """A net of one hidden layer with a memory of `rows` rows of `row` cells: its only way to carry anything from step
    to step. One head writes, then one reads; both begin at row 0. Where they look is no part of the weights, so the
    number of rows may be changed later.

    In training, `noise` of this spread is added to what steers the heads, before it is brought into its range: they
    learn to decide clearly, as codes do (Salakhutdinov & Hinton 2009). The products with the input are made for all
    steps at once, and so is the output; a step is some thirty small operations.
    """

    def __init__(self, inputs: int, outputs: int, width: int, rows: int, row: int, noise: float = 0.0) -> None:
        super().__init__()
        self.rows, self.row, self.noise = rows, row, noise
        self.listen = nn.Linear(inputs, width)
        self.recall = nn.Linear(row, width, bias=False)  # what was read in the step before
        # For each of two heads a key, a strength, a sharpness, a gate, three shifts; and what to add and to erase.
        self.steer = nn.Linear(width, 2 * (row + 6) + 2 * row)
        self.say = nn.Linear(width + row, outputs)
        self.first = nn.Parameter(torch.zeros(row))  # what was "read" before the first step

    def forward(self, symbol: Num[Tensor, "B T C"]) -> Float[Tensor, "B T K"]:
        return self.run(symbol)[0]

    def run(self, symbol: Num[Tensor, "B T C"]) -> tuple[Float[Tensor, "B T K"], Float[Tensor, "B T 2 R"]]:
        """What it says after each step, and how much of each row it wrote to (head 0) and read (head 1) in it."""
        with torch.autocast(symbol.device.type, enabled=False):  # places told by few digits blur over many steps
            return self._run(symbol.float())

    def _run(self, symbol: Tensor) -> tuple[Tensor, Tensor]:
        b, row = len(symbol), self.row
        memory = symbol.new_full((b, self.rows, row), BLANK)
        weight = F.one_hot(symbol.new_zeros(b, 2, dtype=torch.long), self.rows).float()
        read = self.first.expand(b, row)
        heard = self.listen(symbol).unbind(1)  # T of B D
        states, reads, weights = [], [], []
        recall, steer, bias = self.recall.weight.T, self.steer.weight.T, self.steer.bias
        shaken: Sequence[Tensor | None] = [None] * len(heard)
        if self.training and self.noise:
            shaken = (self.noise * torch.randn(len(heard), b, 12 + row, device=symbol.device)).unbind()
        for now, shake in zip(heard, shaken, strict=True):
            state = torch.addmm(now, read, recall).tanh()
            turn, erase, add = self._turn(torch.addmm(bias, state, steer), shake)
            weight = addressed(memory, weight, turn)
            memory = written(memory, weight[:, 0], erase, add)
            read = (weight[:, 1:] @ memory)[:, 0]  # equation 2
            states.append(state)
            reads.append(read)
            weights.append(weight)
        told = torch.cat([torch.stack(states, 1), torch.stack(reads, 1)], 2)
        return self.say(told), torch.stack(weights, 1)

    def _turn(self, told: Tensor, shake: Tensor | None) -> tuple[Turn, Tensor, Tensor]:
        """What the controller tells the heads: each in its range."""
        key, add, steer = told.split([2 * self.row, self.row, 12 + self.row], 1)
        positive, share, shift = (steer if shake is None else steer + shake).split([4, 2 + self.row, 6], 1)
        strength, sharpness = F.softplus(positive).chunk(2, 1)
        share = share.sigmoid()
        shift = shift.unflatten(1, (2, 3)).softmax(2)
        turn = Turn(key.unflatten(1, (2, self.row)), strength, share[:, :2], shift, 1 + sharpness)
        return turn, share[:, 2:], add
