"""A residual tower that looks at a board: a score for each move, and for winning, drawing and losing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from .initial import he, orthogonal

HEAD = 8  # maps that each head reads
VALUE = 64  # hidden units of the value head
FUSED = ("_convolution_pointwise", "_convolution_pointwise_")  # oneDNN's convolutions that add and rectify


class Rectified(nn.Module):
    """max(0, a convolution + a bias of a point or an example, or what goes past it). With `batch` the convolution is
    normalised over the batch."""

    def __init__(self, before: int, channels: int, side: int, batch: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(before, channels, side, padding=side // 2)
        self.norm = nn.BatchNorm2d(channels) if batch else None
        self.fused = False  # in one pass over the memory, in which what goes past it is destroyed

    def forward(self, x: Float[Tensor, "B K H W"], bias: Tensor | None = None,
                past: Float[Tensor, "B C H W"] | None = None) -> Float[Tensor, "B C H W"]:  # fmt: skip
        layer = self.layer
        if self.fused:
            ops, how = torch.ops.mkldnn, (layer.padding, layer.stride, layer.dilation, layer.groups)
            if bias is not None:  # faster than to add it afterwards
                size = (len(x), len(layer.weight), *x.shape[2:])
                past = bias.expand(size).clone(memory_format=torch.channels_last)
            if past is not None:
                add = (*how, "add", 1.0, "relu", [], "")
                return ops._convolution_pointwise_.binary(past, x, layer.weight, layer.bias, *add)
            return ops._convolution_pointwise(x, layer.weight, layer.bias, *how, "relu", [], "")
        y = layer(x) if self.norm is None else self.norm(layer(x))
        for more in (bias, past):
            y = y if more is None else y + more.to(y.dtype)
        return F.relu(y)

    def fold(self) -> None:
        """Make batch normalisation, by its running figures, a part of the convolution."""
        if self.norm is not None:
            self.layer, self.norm = fuse_conv_bn_eval(self.layer, self.norm), None


class Block(nn.Module):
    """Two convolutions beside an identity, which the block is at first. `pooled`: each map is told of the mean and the
    largest value of all maps over the whole board (Wu 2019, section 3.3)."""

    def __init__(self, channels: int, pooled: bool, batch: bool) -> None:
        super().__init__()
        self.first, self.second = (Rectified(channels, channels, 3, batch) for _ in range(2))
        self.pool = nn.Linear(2 * channels, channels) if pooled else None
        he(self)
        last = self.second.layer if self.second.norm is None else self.second.norm
        nn.init.zeros_(last.weight)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if self.pool is None:
            return self.second(self.first(x), past=x)
        size = x.shape[2:]
        whole = torch.cat([F.avg_pool2d(x, size), F.max_pool2d(x, size)], 1).flatten(1)  # B 2C
        return self.second(self.first(x, self.pool(whole)[:, :, None, None]), past=x)


class Heads(NamedTuple):
    """All that a tower says of a board."""

    moves: Float[Tensor, "B A"]  # scores of moves
    wdl: Float[Tensor, "B 3"]  # of the mover's win, draw and loss
    owner: Float[Tensor, "B P"]  # logits that each point will be the mover's in the end; no points: "B 0"
    score: Float[Tensor, "B"]  # points by which the mover will own more, as a part of the board; of none 0


class Tower(nn.Module):
    """Takes planes "B C H W", uint8 to `levels`; gives scores of `actions` moves and of the mover's win, draw and loss.

    Without `batch` normalisation each block begins as the identity, so that signals keep their size (Zhang, Dauphin &
    Ma 2019). Each point has a bias of its own, since the worth of a point may depend on where it lies. Every
    `pooled`-th block pools over the board (0: none). Where moves are points, or points and a pass, the policy is a map.
    `counted`: it also learns whose each point will be, and by how much (Wu 2019, section 3.4.2); a player says neither.
    """

    def __init__(self, shape: Sequence[int], actions: int, blocks: int, channels: int, pooled: int = 2,
                 batch: bool = False, levels: float = 1.0, counted: bool = False) -> None:  # fmt: skip
        super().__init__()
        planes, rows, columns = shape
        points = rows * columns
        self.scale, self.plays = 1 / levels, False
        self.stem = Rectified(planes, channels, 3, batch)
        self.place = nn.Parameter(torch.zeros(rows, columns, channels))
        he(self.stem)
        self.blocks = nn.Sequential(
            *(Block(channels, pooled > 0 and k % pooled == pooled - 1, batch) for k in range(blocks))
        )
        self.seen = Rectified(channels, 2 * HEAD, 1, batch)
        self.worth, self.wdl = nn.Linear(HEAD * points, VALUE), nn.Linear(VALUE, 3)
        self.map = nn.Conv2d(HEAD, 1, 1) if actions in (points, points + 1) else None
        rest = actions if self.map is None else actions - points  # moves that are no points
        self.moves = nn.Linear(HEAD * points, rest) if rest else None
        self.owner = nn.Conv2d(HEAD, 1, 1) if counted else None
        self.score = nn.Linear(VALUE, 1) if counted else None
        for layer in (self.seen, self.worth):
            he(layer)
        for last in (self.wdl, self.map, self.moves, self.owner, self.score):
            if last is not None:
                orthogonal(last, 0.01)  # at first all moves are alike, and nobody wins

    def forward(self, planes: UInt8[Tensor, "B C H W"] | Float[Tensor, "B C H W"]
                ) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B 3"]]:  # fmt: skip
        moves, worth, _ = self._seen(planes)
        return moves, self.wdl(worth).float()

    def heads(self, planes: UInt8[Tensor, "B C H W"]) -> Heads:
        """What is learned, of which a player asks for the first two alone."""
        moves, worth, maps = self._seen(planes)
        if self.owner is None or self.score is None:
            return Heads(moves, self.wdl(worth).float(), moves[:, :0], moves.new_zeros(len(moves)))
        owner, score = self.owner(maps).flatten(1), self.score(worth)[:, 0]
        return Heads(moves, self.wdl(worth).float(), owner.float(), score.float())

    def _seen(self, planes: UInt8[Tensor, "B C H W"] | Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of moves "B A", the value's hidden units, its maps."""
        x = planes.to(self.place.dtype)
        x = x if self.scale == 1 else x * self.scale
        x = self.blocks(self.stem(x, self.place.permute(2, 0, 1)))
        policy, value = self.seen(x).chunk(2, 1)
        scores = [self.map(policy).flatten(1)] if self.map is not None else []
        scores += [self.moves(policy.flatten(1))] if self.moves is not None else []
        return torch.cat(scores, 1).float(), F.relu(self.worth(value.flatten(1))), value


def player(tower: Tower, precision: str = "float32") -> Tower:
    """A copy of `tower` to play with: in evaluation mode and this precision, laid out for speed, fused where PyTorch
    has oneDNN. It is for inference alone. A player is its own."""
    if tower.plays:
        return tower
    twin = copy.deepcopy(tower).eval().requires_grad_(False)
    twin.plays, fused = True, fusible(twin.place.device, precision)
    for part in twin.modules():
        if isinstance(part, Rectified):
            part.fold()
            part.fused = fused
    return twin.to(getattr(torch, precision)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fusible(device: torch.device, precision: str) -> bool:
    """Whether this PyTorch has the fused convolutions there, and the processor this precision for them."""
    there: Any = getattr(torch.ops, "mkldnn", None)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available() or not all(hasattr(there, n) for n in FUSED):
        return False
    return precision == "float32" or (precision == "bfloat16" and there._is_mkldnn_bf16_supported())


def value_of(wdl: Float[Tensor, "B 3"]) -> Float[Tensor, "B"]:
    """What scores of a win, a draw and a loss expect: from -1 to 1."""
    chance = wdl.softmax(-1)
    return chance[:, 0] - chance[:, 2]
