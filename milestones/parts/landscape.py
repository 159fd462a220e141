"""The loss as a function of all weights: planes and lines through it, and a curve from one solution to another."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .memory import free_memory, kept

AT_ONCE = 1 << 18  # numbers of the input in one chunk: what fits the caches is fastest
STATISTICS = 200  # examples in each batch over which running means are taken anew
FREE = 0.25  # of the free memory that one chunk may take
BatchNorm = nn.modules.batchnorm._BatchNorm


class Terrain:
    """The mean of a loss over examples, as a function of all weights, "D": the parameters in their order, flattened.

    It stands at one point at a time, on a copy: the model that was given stays as it is. All is in evaluation mode and
    in the weights' own precision. `batches`: tuples of tensors with one first dimension; `loss(model, batch)` gives the
    batch's means by name, of which "loss" is the height. They are put together in chunks of `chunk` examples, each with
    its weight; 0: by what fits the caches and the free memory. `statistics`: where running means are taken anew.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], dict[str, Tensor]], batches: Sequence[Any],
                 chunk: int = 0, statistics: Sequence[Any] = ()) -> None:  # fmt: skip
        self.net, self.loss = copy.deepcopy(model).eval().requires_grad_(False), loss
        self.parameters = list(self.net.parameters())
        self.home = vector(model)
        self.point = self.home.clone()
        for parameter, part in zip(self.parameters, self.shaped(self.point), strict=True):
            parameter.data = part  # so that a move of the point is one copy
        self.norms = [m for m in self.net.modules() if isinstance(m, BatchNorm) and m.running_mean is not None]
        self._own = [(m.running_mean.clone(), m.running_var.clone()) for m in self.norms]
        self._strange = False  # whether the running means belong to another point
        batches = [batch for batch in batches if len(batch[0])]
        change = laid if batches and self._stands(cut(batches[0], 2)) else tuple
        self.chunk = chunk or self._fitting(batches[0])
        self.chunks = [type(one)(*change(part)) for one in batches for part in cut(one, self.chunk)]
        self.count = sum(len(part[0]) for part in self.chunks)
        parts = [part for one in statistics or batches for part in cut(one, STATISTICS)] if self.norms else []
        even = [part for part in parts if len(part[0]) == STATISTICS] or parts[:1]  # each batch counts as much
        self._even = [type(part)(*change(part)) for part in even]

    def shaped(self, vector: Float[Tensor, "D"]) -> list[Tensor]:
        """The parts of a vector in the shapes of the parameters: views."""
        sizes = [parameter.numel() for parameter in self.parameters]
        return [part.view(p.shape) for part, p in zip(vector.split(sizes), self.parameters, strict=True)]

    def stand(self, point: Float[Tensor, "D"], anew: bool = False) -> None:
        """Move to a point; `anew`: with the running means of batch normalisation that belong to it. Between solutions
        those of the trained net belong to no point, and the loss with them is not that of any net."""
        self.point.copy_(point)
        if self._strange and not anew:
            for part, (mean, variance) in zip(self.norms, self._own, strict=True):
                part.running_mean.copy_(mean)
                part.running_var.copy_(variance)
            self._strange = False
        if anew and self.norms:
            with self.normalising(), torch.no_grad():
                for part in self.norms:
                    part.reset_running_stats()
                for batch in self._even:
                    self.loss(self.net, batch)

    @contextlib.contextmanager
    def normalising(self) -> Generator[None]:
        """Within, batches are normalised by themselves, and the running means become the means over all batches."""
        kept, self._strange = [part.momentum for part in self.norms], True
        for part in self.norms:
            part.momentum = None
            part.train()
        try:
            yield
        finally:
            for part, momentum in zip(self.norms, kept, strict=True):
                part.momentum = momentum
                part.eval()

    def terms(self) -> dict[str, float]:
        """The mean of each term where it stands."""
        sums: dict[str, float] = {}
        with torch.no_grad():
            for batch in self.chunks:
                for name, value in self.loss(self.net, batch).items():
                    sums[name] = sums.get(name, 0.0) + float(value) * len(batch[0])
        return {name: total / self.count for name, total in sums.items()}

    def at(self, point: Float[Tensor, "D"], anew: bool = False) -> dict[str, float]:
        """The mean of each term at a point, as `stand` has it."""
        self.stand(point, anew)
        return self.terms()

    @contextlib.contextmanager
    def differentiable(self) -> Generator[list[nn.Parameter]]:
        """Within, gradients can be asked for, by the parameters."""
        try:
            with torch.inference_mode(False), torch.enable_grad():
                self.net.requires_grad_(True)
                yield self.parameters
        finally:
            self.net.requires_grad_(False)

    def slope(self, batch: Any = None) -> Float[Tensor, "D"]:
        """The gradient where it stands: of the mean over all examples, or of one batch."""
        total = torch.zeros_like(self.point)
        with self.differentiable() as parameters:
            for part in self.chunks if batch is None else [batch]:
                value = self.loss(self.net, part)["loss"]
                each = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
                total.add_(joined(each), alpha=len(part[0]) / self.count if batch is None else 1.0)
        return total

    def _stands(self, pieces: Iterator[Any]) -> bool:
        """Whether the loss is the same on `laid` examples."""
        few = next(pieces)
        with torch.no_grad():
            want = float(self.loss(self.net, few)["loss"])
            try:
                found = float(self.loss(self.net, type(few)(*laid(few)))["loss"])
            except (RuntimeError, TypeError, IndexError):  # the page asks for whole numbers
                return False
        return math.isclose(want, found, rel_tol=1e-5, abs_tol=1e-7)

    def _fitting(self, batch: Any) -> int:
        """Examples in a chunk: as many as the caches hold, fewer where the memory for their gradient is short."""
        size = max(1, batch[0][0].numel())
        best = min(max(8, AT_ONCE // size), 512)
        with self.differentiable():
            held = kept(lambda: self.loss(self.net, next(cut(batch, 2))))
        # the second derivative holds a few times what the first does
        return max(1, min(best, int(FREE * free_memory() / max(1, 4 * held / 2))))


def cut(batch: Any, size: int) -> Iterator[Any]:
    """The batch in parts of at most `size` examples."""
    for begin in range(0, len(batch[0]), size):
        yield type(batch)(*(field[begin : begin + size] for field in batch))


def laid(fields: Sequence[Tensor]) -> list[Tensor]:
    """Pictures as numbers once, not at each point, and with their channels last, even if there is one."""
    return [field.float().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            if field.dim() == 4 and (field.dtype == torch.uint8 or field.is_floating_point()) else field
            for field in fields]  # fmt: skip


def joined(parts: Sequence[Tensor]) -> Float[Tensor, "D"]:
    return torch.cat([part.reshape(-1) for part in parts])


def vector(model: nn.Module) -> Float[Tensor, "D"]:
    """All parameters in their order as one vector: a copy."""
    return joined([parameter.detach() for parameter in model.parameters()])


def directions(model: nn.Module, seed: int) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
    """Two random directions, each filter of which is as long as the model's own: filter normalisation (Li et al. 2018,
    section 4). A filter is what makes one unit's input: a row of a matrix, one kernel over all its channels. Biases and
    gains keep their values, as there. A filter's two directions stand at right angles, where it has two weights or
    more, so that distance in the plane means the same in all directions. Equal seeds give equal directions."""
    rng, found = torch.Generator().manual_seed(seed), []
    alone = all(parameter.dim() < 2 for parameter in model.parameters())  # of such a net, each parameter is a filter
    for weight in (parameter.detach() for parameter in model.parameters()):
        if weight.dim() < 2 and not alone:
            found.append(weight.new_zeros(2, weight.numel()))
            continue
        rows = weight.reshape(1 if alone else len(weight), -1)
        pair = torch.randn(2, *rows.shape, generator=rng, dtype=torch.float64)
        if rows.shape[1] > 1:
            first = pair[0] / pair[0].norm(dim=1, keepdim=True)
            pair[1] -= (pair[1] * first).sum(1, keepdim=True) * first
        pair *= rows.double().norm(dim=1, keepdim=True) / pair.norm(dim=2, keepdim=True).clamp_min(1e-30)
        found.append(pair.to(weight.dtype).reshape(2, -1))
    first, second = torch.cat(found, 1)
    return first, second


class Pass(NamedTuple):
    """One pass over a grid: with those before, all points whose distance from the middle `stride` divides."""

    stride: int
    places: list[tuple[int, int]]  # row and column of the points that are new


def passes(size: int) -> list[Pass]:
    """The points of a grid of `size` x `size`, an odd number, in passes from coarse to fine; the middle comes first."""
    half, found, known = size // 2, [], set()
    halved = [stride << k for k in range(half.bit_length()) for stride in (1, 3)]  # each divides the one before it
    stride = max([1, *(stride for stride in halved if half // stride >= 2)])  # at first 5 x 5, as soon as may be
    while stride:
        steps = range(-(half // stride) * stride, half + 1, stride)
        near = sorted(itertools.product(steps, steps), key=lambda at: (max(map(abs, at)), at))
        found.append(Pass(stride, [(half + r, half + c) for r, c in near if (r, c) not in known]))
        known |= set(near)
        stride //= 2
    return found


def barrier(at: Sequence[float], heights: Sequence[float]) -> float:
    """How far the loss along a way rises above the straight line between its two ends (Frankle et al. 2020); `at` from
    0 to 1."""
    return max(h - ((1 - t) * heights[0] + t * heights[-1]) for t, h in zip(at, heights, strict=True))


def climb(heights: Sequence[float]) -> float:
    """The largest rise from any point of a way to a later one: 0 where it never rises."""
    lowest, most = math.inf, 0.0
    for height in heights:
        lowest = min(lowest, height)
        most = max(most, height - lowest)
    return most


def bezier(t: float, first: Float[Tensor, "D"], control: Float[Tensor, "D"], last: Float[Tensor, "D"]
           ) -> Float[Tensor, "D"]:  # fmt: skip
    """The point at t of the quadratic curve between two ends (Garipov et al. 2018, (6))."""
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t**2 * last


def bend(terrain: Terrain, first: Float[Tensor, "D"], last: Float[Tensor, "D"], batch: Callable[[int], Any], steps: int,
         seed: int = 0, rate: float = 0.02) -> Float[Tensor, "D"]:  # fmt: skip
    """The control point of a curve from `first` to `last` along which the loss is low: by descent at a random place of
    the curve in each step (Garipov et al. 2018, (5)), on `batch(step)`. Adam, with a cosine; `rate` is its first step
    in units of the weights' root mean square. Batches are normalised by themselves, as in training."""
    rng = torch.Generator().manual_seed(seed)
    control = nn.Parameter((first + last) / 2)
    start = rate * float(first.square().mean().sqrt())
    descent = torch.optim.Adam([control], start)
    for step in range(steps):
        t = float(torch.rand((), generator=rng))
        descent.param_groups[0]["lr"] = start * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        terrain.stand(bezier(t, first, control.detach(), last))
        with terrain.normalising():
            slope = terrain.slope(batch(step))
        control.grad = 2 * t * (1 - t) * slope
        descent.step()
    return control.detach()


class Plane(NamedTuple):
    """A plane through `centre`: its points are centre + x * first + y * second."""

    centre: Float[Tensor, "D"]
    first: Float[Tensor, "D"]
    second: Float[Tensor, "D"]

    def point(self, x: float, y: float) -> Float[Tensor, "D"]:
        return torch.add(self.centre, self.first, alpha=x).add_(self.second, alpha=y)

    def seen(self, point: Float[Tensor, "D"]) -> tuple[float, float]:
        """Where a point falls on the plane at a right angle, whose directions must have length 1."""
        away = (point - self.centre).double()
        return float(away @ self.first.double()), float(away @ self.second.double())


def through(one: Float[Tensor, "D"], two: Float[Tensor, "D"], three: Float[Tensor, "D"]) -> Plane:
    """The plane through three points: `one` is its centre, `two` lies on its first axis, at its distance."""
    across, up = (two - one).double(), (three - one).double()
    across = across / across.norm().clamp_min(1e-30)
    for _ in range(2):  # the second time for rounding
        up = up - (up @ across) * across
    up = up / up.norm().clamp_min(1e-30)
    return Plane(one, across.to(one.dtype), up.to(one.dtype))


def principal(path: Float[Tensor, "T D"]) -> tuple[Plane, list[float]]:
    """The plane through the last point of a path that shows most of it: its directions are the first two principal
    components of the differences to that point (Li et al. 2018, section 7). And their shares of the squared length."""
    away = (path[:-1] - path[-1]).double()
    values, mixed = torch.linalg.eigh(away @ away.T)
    values = values.clamp_min(0).flip(0)
    axes = mixed.flip(1)[:, :2].T @ away  # 2 D
    axes = axes / axes.norm(dim=1, keepdim=True).clamp_min(1e-30)
    axes = axes * torch.where((axes @ away[0])[:, None] < 0, -1.0, 1.0)  # the path comes from the right, from above
    shares = (values[:2] / values.sum().clamp_min(1e-30)).tolist()
    return Plane(path[-1], *axes.to(path.dtype)), shares


def factored(at: Sequence[float], depth: int = 3, start: float = 0.1) -> list[float]:
    """The loss (1 - w^depth)^2 / 2 of a chain of `depth` equal linear factors that shall make 1, along the straight
    line from `start` to the solution: what a net of linear layers does, in closed form (Goodfellow et al. 2015, section
    7; Saxe et al. 2014)."""
    return [0.5 * (1 - (start + t * (1 - start)) ** depth) ** 2 for t in at]
