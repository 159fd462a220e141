"""What excites a unit most: in the data, in pictures made for it, in a dream; and which part of a picture it sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from .watch import Step, Watch, responses

STEPS = 160  # of the ascent
RATE = 0.1  # Adam's
SMOOTH = 4.0  # weight of the total variation: standard deviations of the unit for one of the picture's range a pixel
PULL = 3.0  # weight of the distance from the mean level
TURN, ZOOM = 10.0, 0.1  # degrees and share by which a picture is turned and scaled at most, before each step


class Peaks(NamedTuple):
    """The largest response of each unit to each example, over all places of its map."""

    value: Float[Tensor, "N C"]
    where: Int[Tensor, "N C"]  # the place, counted row by row; 0 where a unit has but one
    spread: Float[Tensor, "C"]  # standard deviation of the unit over examples and places


def peaks(model: nn.Module, run: Callable[[Tensor], Any], input: Float[Tensor, "N ..."], steps: Sequence[Step],
          chunk: int) -> dict[str, Peaks]:  # fmt: skip
    """Of each of `steps`, by name."""
    axis = {step.name: step.axis for step in steps}

    def keep(name: str, value: Tensor) -> tuple[Tensor, ...]:
        rows = value.movedim(axis[name], 1).flatten(2) if value.dim() > 2 else value.flatten(1)[..., None]  # B C P
        most, where = rows.max(-1)
        rows = rows.double()
        return most, where, rows.sum((0, 2)), rows.square().sum((0, 2)), torch.tensor(rows.shape[0] * rows.shape[2])

    found = {}
    for name, parts in responses(model, run, input, list(axis), chunk, keep).items():
        most, where, sums, squares, counts = zip(*parts, strict=True)
        count = float(torch.stack(counts).sum())
        mean = torch.stack(sums).sum(0) / count
        spread = (torch.stack(squares).sum(0) / count - mean.square()).clamp(min=0).sqrt()
        found[name] = Peaks(torch.cat(most), torch.cat(where), spread.float())
    return found


def best(peaks: Peaks, count: int = 9) -> Int[Tensor, "C n"]:
    """The examples that excite each unit most, the strongest first; at most `count`."""
    return peaks.value.topk(min(count, len(peaks.value)), dim=0).indices.T


@torch.no_grad()
def fields(model: nn.Module, run: Callable[[Tensor], Any], example: Float[Tensor, "1 C H W"], names: Sequence[str],
           chunk: int) -> dict[str, Int[Tensor, "h w 4"]]:  # fmt: skip
    """The part of the picture that each place of a map can depend on: first and last row, first and last column.

    A row of the picture that is no number (NaN) makes each value that depends on it none, whatever the weights are.
    """
    height, width = example.shape[-2:]
    spoilt = example.repeat(height + width, 1, 1, 1)
    for y in range(height):
        spoilt[y, :, y] = math.nan
    for x in range(width):
        spoilt[height + x, :, :, x] = math.nan
    found = responses(model, run, spoilt, names, chunk, lambda name, value: value.isnan().any(1))
    maps = {}
    for name, parts in found.items():
        hit = torch.cat(parts).int()  # H+W h w
        sides = []
        for lines in (hit[:height], hit[height:]):
            sides += [lines.argmax(0), len(lines) - 1 - lines.flip(0).argmax(0)]  # the first of the largest
        maps[name] = torch.stack(sides, -1)
    return maps


def middle(shape: Sequence[int]) -> int:
    """The place in the middle of a map of "... h w", counted row by row; of a line of places, its middle."""
    sizes = list(shape)
    return sum(size // 2 * math.prod(sizes[i + 1 :]) for i, size in enumerate(sizes))


def reader(model: nn.Module, run: Callable[[Tensor], Any], step: Step, unit: Int[Tensor, "B"], place: int
           ) -> Callable[[Tensor, slice], Float[Tensor, "B"]]:  # fmt: skip
    """A function of inputs and of which rows they are: what unit `unit[i]` of a step says, at one place, of row i."""

    def read(input: Tensor, which: slice) -> Tensor:
        with Watch(model, (step.name,)) as seen:
            run(input)
        value = seen.found[step.name]
        rows = value.movedim(step.axis, 1).flatten(2) if value.dim() > 2 else value.flatten(1)[..., None]
        return rows[torch.arange(len(rows)), unit[which], place]

    return read


def spectrum(height: int, width: int) -> Float[Tensor, "H w"]:
    """What the waves of a picture are scaled by, so that coarse ones grow first (Olah, Mordvintsev & Schubert 2017,
    Feature visualization, with 1 over the frequency): here 1 over its square, which leaves fewer specks in the small
    pictures of digits; the mean is as with the first power."""
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    first = 1 / (rows.square() + columns.square()).sqrt().clamp(min=1 / max(height, width))
    return first.square() * first.mean() / first.square().mean()


def excite(target: Callable[[Tensor, slice], Float[Tensor, "B"]], shape: Sequence[int], low: float, high: float,
           level: float, seed: int, scale: Float[Tensor, "B"], steps: int = STEPS, jitter: float = 1.0, chunk: int = 64,
           smooth: float = SMOOTH, pull: float = PULL
           ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B"]]:  # fmt: skip
    """Pictures of `shape` "B C H W", levels `low` to `high`, that raise `target` (of pictures and their rows, a value
    for each), and what they reach: gradient ascent on the waves of the picture, which is moved by up to `jitter`
    pixels, turned and scaled before each step, so that nothing counts that hangs on a single pixel.

    A value counts in units of `scale`, its standard deviation over data; total variation and distance from `level`, the
    data's mean level, count against it. Each picture starts from noise of its own, so `chunk` changes nothing.
    """
    wave = spectrum(*shape[2:])
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape[:2], *wave.shape, 2, generator=rng)
    moves = torch.rand(steps, 4, generator=rng) * 2 - 1
    share = min(max((level - low) / (high - low), 0.05), 0.95)
    start = math.log(share / (1 - share))
    pictures, values = [], []
    for begin in range(0, shape[0], chunk):
        rows = slice(begin, begin + chunk)
        weight = (0.3 * noise[rows]).requires_grad_()
        optimizer = torch.optim.Adam([weight], RATE)

        def picture(weight: Tensor = weight) -> Tensor:  # fmt: skip
            waves = torch.view_as_complex(weight) * wave
            return torch.sigmoid(torch.fft.irfft2(waves, s=tuple(shape[2:]), norm="ortho") + start)  # 0 to 1

        unit = scale[rows].clamp(min=1e-12)

        with torch.enable_grad():
            for move in moves:
                seen = picture()
                shown = turned(seen, move * torch.tensor([jitter, jitter, TURN, ZOOM]))
                rough = total_variation(seen) * smooth + (seen - share).square().mean((1, 2, 3)) * pull
                loss = (rough - target(low + (high - low) * shown, rows) / unit).sum()
                optimizer.zero_grad()
                (weight.grad,) = torch.autograd.grad(loss, weight)
                optimizer.step()
        with torch.no_grad():
            seen = picture()
            pictures.append(low + (high - low) * seen)
            values.append(target(pictures[-1], rows))
    return torch.cat(pictures), torch.cat(values)


def turned(picture: Float[Tensor, "B C H W"], move: Float[Tensor, "4"]) -> Float[Tensor, "B C H W"]:
    """Moved down and right by pixels, turned by degrees and enlarged by a share; what comes in repeats the border."""
    height, width = picture.shape[2:]
    down, right, degrees, share = move.tolist()
    cos, sin = math.cos(math.radians(degrees)) / (1 + share), math.sin(math.radians(degrees)) / (1 + share)
    rows = [[cos, -sin * height / width, -2 * right / width], [sin * width / height, cos, -2 * down / height]]
    grid = F.affine_grid(torch.tensor([rows], dtype=picture.dtype), [1, *picture.shape[1:]], align_corners=False)
    return F.grid_sample(picture, grid.expand(len(picture), -1, -1, -1), padding_mode="border", align_corners=False)


def total_variation(picture: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
    """The mean absolute difference of neighbours, down and across."""
    down, across = picture.diff(dim=2).abs(), picture.diff(dim=3).abs()
    return down.flatten(1).mean(1) + across.flatten(1).mean(1)


def dream(gain: Callable[[Tensor], Float[Tensor, "B"]], picture: Float[Tensor, "1 C H W"], side: tuple[int, int],
          low: float, high: float, seed: int, octaves: int = 4, steps: int = 8, rate: float = 0.01,
          ratio: float = 1.4) -> Float[Tensor, "1 C H W"]:  # fmt: skip
    """The picture with more of what raises `gain` (Mordvintsev, Olah & Tyka 2015): a value for each of the parts of
    `side` pixels that a net of fixed input size sees.

    It begins small, where what is added is large against the picture, and puts back what shrinking took at each of
    `octaves` sizes. Steps are `rate` of the range for a gradient of mean size; parts lie elsewhere at each step.
    """
    rng = torch.Generator().manual_seed(seed)
    least = max(side[0] / picture.shape[2], side[1] / picture.shape[3])
    scales = [max(least, ratio ** -(octaves - 1 - k)) for k in range(octaves)]
    scales = [scale for k, scale in enumerate(scales) if k == len(scales) - 1 or scale < scales[k + 1]]
    added = None
    for scale in scales:
        size = [max(s, round(n * scale)) for s, n in zip(side, picture.shape[2:], strict=True)]
        base = resized(picture, size)
        added = torch.zeros_like(base) if added is None else resized(added, size)
        for _ in range(steps):
            move = [int(torch.randint(0, n, (), generator=rng)) for n in size]
            now = (base + added).clamp(low, high).roll(move, (2, 3))
            slope = tiled_slope(gain, now, side).roll([-m for m in move], (2, 3))
            added = added + rate * (high - low) * slope / slope.abs().mean().clamp(min=1e-12)
            added = (base + added).clamp(low, high) - base
    assert added is not None
    return (picture + resized(added, picture.shape[2:])).clamp(low, high)


def resized(picture: Float[Tensor, "B C H W"], size: Sequence[int]) -> Float[Tensor, "B C h w"]:
    """Scaled without its fine waves folding into coarse ones."""
    if tuple(picture.shape[2:]) == tuple(size):
        return picture
    return F.interpolate(picture, tuple(size), mode="bicubic", antialias=True, align_corners=False)


def tiled_slope(gain: Callable[[Tensor], Tensor], picture: Tensor, side: tuple[int, int]) -> Tensor:
    """The gradient of the gain's sum over parts of `side` that cover the picture; the mean where they overlap."""
    spots = [(y, x) for y in _starts(picture.shape[2], side[0]) for x in _starts(picture.shape[3], side[1])]
    slope, count = torch.zeros_like(picture), torch.zeros_like(picture)
    parts = torch.cat([picture[:, :, y : y + side[0], x : x + side[1]] for y, x in spots])
    with torch.enable_grad():
        parts = parts.detach().requires_grad_()
        (found,) = torch.autograd.grad(gain(parts).sum(), parts)
    for (y, x), one in zip(spots, found, strict=True):
        slope[:, :, y : y + side[0], x : x + side[1]] += one
        count[:, :, y : y + side[0], x : x + side[1]] += 1
    return slope / count


def _starts(length: int, side: int) -> list[int]:
    return [*range(0, length - side, side), length - side]
