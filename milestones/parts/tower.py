"""A residual tower that looks at a board: a score for each move, and for winning, drawing and losing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from .initial import he, orthogonal

HEAD = 8  # maps that each head reads
VALUE = 64  # hidden units of the value head
FUSED = ("_convolution_pointwise", "_convolution_pointwise_")  # oneDNN's convolutions that add and rectify


def rectified(layer: nn.Conv2d, x: Tensor, plus: Tensor | None = None, fused: bool = False) -> Tensor:
    """max(0, layer(x) + plus); `fused`: in one pass over the memory, in which `plus` is destroyed."""
    if not fused:
        y = layer(x)
        return F.relu(y if plus is None else y + plus)
    ops, how = torch.ops.mkldnn, (layer.padding, layer.stride, layer.dilation, layer.groups)
    if plus is None:
        return ops._convolution_pointwise(x, layer.weight, layer.bias, *how, "relu", [], "")
    return ops._convolution_pointwise_.binary(plus, x, layer.weight, layer.bias, *how, "add", 1.0, "relu", [], "")


class Block(nn.Module):
    """Two convolutions beside an identity, which the block is at first. `pooled`: each map is told of the mean and the
    largest value of all maps over the whole board (Wu 2019, section 3.3)."""

    def __init__(self, channels: int, pooled: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.pool = nn.Linear(2 * channels, channels) if pooled else None
        he(self)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Float[Tensor, "B C H W"], fused: bool = False) -> Float[Tensor, "B C H W"]:
        if self.pool is None:
            inner = rectified(self.first, x, fused=fused)
        else:
            whole = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)  # B 2C
            inner = F.relu(self.first(x) + self.pool(whole)[:, :, None, None])
        return rectified(self.second, inner, x, fused)


class Tower(nn.Module):
    """Takes planes "B C H W", uint8; gives scores of `actions` moves and of a win, a draw and a loss of the mover.

    Nothing is normalised: each block begins as the identity, so that signals keep their size without it (Zhang, Dauphin
    & Ma 2019), and playing needs no running figures. Each point has a bias of its own, since the worth of a point may
    depend on where it lies. Where moves are points (and perhaps a pass), the policy is a map.
    """

    def __init__(self, shape: Sequence[int], actions: int, blocks: int, channels: int, pooled: int = 2) -> None:
        """Every `pooled`-th block pools over the board, 0: none."""
        super().__init__()
        planes, rows, columns = shape
        points = rows * columns
        self.actions, self.fused = actions, False
        self.stem = nn.Conv2d(planes, channels, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(channels, rows, columns))
        he(self.stem)
        self.blocks = nn.ModuleList(
            Block(channels, pooled > 0 and k % pooled == pooled - 1) for k in range(blocks)
        )  # fmt: skip
        self.seen = nn.Conv2d(channels, 2 * HEAD, 1)
        self.worth, self.wdl = nn.Linear(HEAD * points, VALUE), nn.Linear(VALUE, 3)
        self.map = nn.Conv2d(HEAD, 1, 1) if actions in (points, points + 1) else None
        rest = actions if self.map is None else actions - points  # moves that are no points
        self.moves = nn.Linear(HEAD * points, rest) if rest else None
        for layer in (self.seen, self.worth):
            he(layer)
        for last in (self.wdl, self.map, self.moves):
            if last is not None:
                orthogonal(last, 0.01)  # at first all moves are alike, and nobody wins

    def forward(self, planes: UInt8[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B 3"]]:
        x = self.stem(planes.to(self.stem.weight.dtype))
        x = F.relu(x + self.place.to(x.dtype))
        for block in self.blocks:
            x = block(x, self.fused)
        policy, value = rectified(self.seen, x, fused=self.fused).chunk(2, 1)
        heads = [self.map(policy).flatten(1)] if self.map is not None else []
        heads += [self.moves(policy.flatten(1))] if self.moves is not None else []
        logits = heads[0] if len(heads) == 1 else torch.cat(heads, 1)
        wdl = self.wdl(F.relu(self.worth(value.flatten(1))))
        return logits.float(), wdl.float()


def player(tower: Tower, precision: str = "float32") -> Tower:
    """A copy of `tower` to play with, in evaluation mode: in this precision, laid out for speed, fused where PyTorch
    has oneDNN. It gives float32, and is used in inference alone."""
    twin = copy.deepcopy(tower).eval().requires_grad_(False)
    twin.to(getattr(torch, precision)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    twin.fused = fusible(twin)
    return twin


def refreshed(twin: Tower, tower: Tower) -> Tower:
    """`twin`, a player, with the weights of `tower`."""
    with torch.no_grad():
        for mine, now in zip(twin.parameters(), tower.parameters(), strict=True):
            mine.copy_(now)
    return twin


def fusible(tower: Tower) -> bool:
    """Whether this PyTorch can fuse what the tower does, on the device where it lies."""
    there: Any = getattr(torch.ops, "mkldnn", None)
    return (
        tower.place.device.type == "cpu" and torch.backends.mkldnn.is_available()
        and all(hasattr(there, name) for name in FUSED)
    )  # fmt: skip


def value_of(wdl: Float[Tensor, "B 3"]) -> Float[Tensor, "B"]:
    """What is expected of scores of a win, a draw and a loss: from -1 to 1."""
    chance = wdl.softmax(-1)
    return chance[:, 0] - chance[:, 2]
