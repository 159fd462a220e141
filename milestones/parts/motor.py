"""How pens draw: how many strokes, of which shapes, from where. Learned from drawings, and new ones drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .strokes import Drawing

MOST = 8  # strokes of a character
SHAPE = 8  # points of a stroke's shape
ROUNDS = 30  # of expectation and maximisation
RIDGE = 2e-3  # variance added to each shape's, in squared sizes of a drawing
JOINED = 0.2  # sizes of a drawing: a stroke that begins nearer to an earlier one begins on it


def shape(path: Float[Tensor, "N 2"]) -> Float[Tensor, "D"]:
    """A stroke as points at equal distances, relative to its beginning."""
    at = torch.linspace(0, len(path) - 1, SHAPE)
    low = at.floor().long()
    high, part = (low + 1).clamp(max=len(path) - 1), (at - low)[:, None]
    points = path[low] * (1 - part) + path[high] * part
    return (points[1:] - points[:1]).flatten()


def split(drawing: Drawing) -> list[list[Float[Tensor, "_ 2"]]]:
    """The strokes of each drawing."""
    return [[p[s == k] for k in range(int(s.max()) + 1)] for p, s in zip(*drawing, strict=True)]


class Motor(nn.Module):
    """A mixture of Gaussians over strokes' shapes, the chances of each number of strokes, where each begins, and how
    often on an earlier one. All buffers: counted and estimated, not descended."""

    count: Tensor
    joined: Tensor
    start: Tensor
    start_spread: Tensor
    weight: Tensor
    mean: Tensor
    root: Tensor

    def __init__(self, kinds: int) -> None:
        super().__init__()
        size = 2 * (SHAPE - 1)
        self.register_buffer("count", torch.full((MOST,), 1 / MOST))
        self.register_buffer("joined", torch.tensor(0.5))
        self.register_buffer("start", torch.zeros(MOST, 2))
        self.register_buffer("start_spread", torch.ones(MOST, 2))
        self.register_buffer("weight", torch.full((kinds,), 1 / kinds))
        self.register_buffer("mean", torch.zeros(kinds, size))
        self.register_buffer("root", torch.eye(size).repeat(kinds, 1, 1))

    def logits(self, shape: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """log p(shape, kind)."""
        eye = torch.eye(shape.shape[1]).to(shape)
        whiten = torch.linalg.solve_triangular(self.root, eye.expand_as(self.root), upper=False)
        z = ((shape - self.mean[:, None]) @ whiten.mT).transpose(0, 1)  # N K D
        scale = self.root.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * shape.shape[1] * math.log(2 * math.pi)
        return self.weight.log() - 0.5 * z.square().sum(-1) - scale

    def nats(self, strokes: Sequence[Float[Tensor, "_ 2"]]) -> float:
        """-log of how likely a pen draws these, each in its likelier direction, in any order."""
        both = torch.stack([shape(way) for path in strokes for way in (path, path.flip(0))])
        each = self.logits(both).logsumexp(1).view(-1, 2).amax(1)
        number = self.count[min(len(strokes), MOST) - 1].log()
        return -float(each.sum() + number)

    @torch.no_grad()
    def learn(self, drawings: Sequence[Sequence[Float[Tensor, "_ 2"]]], rng: torch.Generator) -> list[float]:
        """Estimate all from drawings; the mean of log p(shape) after each round."""
        number = torch.tensor([min(len(one), MOST) for one in drawings])
        self.count.copy_((number.bincount(minlength=MOST + 1)[1:] + 0.5) / (len(number) + 0.5 * MOST))
        near, starts = [], [[torch.zeros(2)] for _ in range(MOST)]
        for one in drawings:
            for k, path in enumerate(one[:MOST]):
                starts[k].append(path[0])
                if k:
                    near.append(float(torch.cdist(path[:1], torch.cat(list(one[:k]))).min()) < JOINED)
        self.joined.fill_((sum(near) + 1) / (len(near) + 2))
        for k, rows in enumerate(starts):
            self.start[k] = torch.stack(rows).mean(0)
            self.start_spread[k] = torch.stack(rows).std(0, correction=0) + 0.1
        x = torch.stack([shape(path) for one in drawings for path in one])
        chosen = [int(torch.randint(len(x), (), generator=rng))]
        while len(chosen) < len(self.mean):  # far from those chosen before (Arthur & Vassilvitskii 2007)
            far = torch.cdist(x, x[chosen]).amin(1).square() + 1e-9
            chosen.append(int(torch.multinomial(far, 1, generator=rng)))
        self.mean.copy_(x[chosen])
        self.root.copy_(torch.linalg.cholesky(x.T.cov() + RIDGE * torch.eye(x.shape[1])) / 2)
        found = []
        for _ in range(ROUNDS):
            logit = self.logits(x)
            found.append(float(logit.logsumexp(1).mean()))
            share = logit.softmax(1)  # N K
            total = share.sum(0) + 1e-3
            self.weight.copy_(total / total.sum())
            self.mean.copy_(share.T @ x / total[:, None])
            gap = x - self.mean[:, None]  # K N D
            spread = (gap * share.T[..., None]).mT @ gap / total[:, None, None]
            self.root.copy_(torch.linalg.cholesky(spread + RIDGE * torch.eye(x.shape[1])))
        return found

    @torch.no_grad()
    def draw(self, rng: torch.Generator) -> list[Float[Tensor, "_ 2"]]:
        """The strokes of a new character."""
        paths: list[Tensor] = []
        for k in range(1 + int(torch.multinomial(self.count, 1, generator=rng))):
            kind = int(torch.multinomial(self.weight, 1, generator=rng))
            step = self.mean[kind] + self.root[kind] @ torch.randn(self.mean.shape[1], generator=rng)
            start = self.start[k] + self.start_spread[k] * torch.randn(2, generator=rng)
            if paths and float(torch.rand((), generator=rng)) < float(self.joined):
                earlier = torch.cat(paths)
                start = earlier[int(torch.cdist(start[None], earlier).argmin())]
            paths.append(torch.cat([start[None], start + step.view(-1, 2)]))
        return paths


def strung(paths: Sequence[Float[Tensor, "_ 2"]], points: int) -> tuple[Float[Tensor, "P 2"], Int[Tensor, "P"]]:
    """Paths as equally many points each, `points` in all or a few less."""
    each = max(2, points // len(paths))
    spread = [torch.nn.functional.interpolate(path.T[None], size=each, mode="linear", align_corners=True)[0].T
              for path in paths]  # fmt: skip
    return torch.cat(spread), torch.arange(len(paths)).repeat_interleave(each)
