"""Films drawn for a page: one solid figure that moves, grows, shrinks, comes and goes among outlines that move on their
own. What it does shows in no single frame."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

DEEDS = ("still", "left", "right", "up", "down", "growing", "shrinking", "appearing", "disappearing")
STILL, LEFT, RIGHT, UP, DOWN, GROWING, SHRINKING, APPEARING, DISAPPEARING = range(9)
SIDE = 32  # pixels of a frame
SMALL, LARGE = 3.0, 9.0  # pixels: half the width of the figure
BRIEF, LONG = 4, 7  # frames that one deed lasts
SHRUNK = (1.0, 1.1, 0.75)  # of disc, square and diamond, so that they seem of one size
BLOCK = 16  # films drawn together: what fits a processor's cache
ACROSS = torch.arange(SIDE) + 0.5  # pixels: the middles of columns and rows


class Script(NamedTuple):
    """What the figure does in each frame, and where it then is."""

    deed: Int[Tensor, "N T"]  # in DEEDS: the change from the frame before; the first frame is of the second's deed
    x: Float[Tensor, "N T"]  # pixels from the left edge
    y: Float[Tensor, "N T"]
    size: Float[Tensor, "N T"]  # pixels: half its width
    there: Float[Tensor, "N T"]  # 0 gone to 1 there


def scripts(count: int, time: int, rng: torch.Generator) -> Script:
    """Deeds of four to seven frames, one after another, each such that the figure stays inside and of a fit size."""

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    size, there = draw(SMALL, LARGE), (draw(0, 1) > 0.12).float()
    x, y = (size + 1 + (SIDE - 2 - 2 * size) * torch.rand(count, generator=rng) for _ in range(2))
    deed, left = torch.full((count,), -1), torch.zeros(count, dtype=torch.long)
    speed, rate, fade = torch.zeros(count), torch.zeros(count), torch.zeros(count)
    rows: list[Script] = []
    for t in range(time):
        if t:  # the first frame is where all begins
            new = left == 0
            n = torch.randint(BRIEF, LONG + 1, (count,), generator=rng)
            v, g = draw(1.5, 2.5), draw(0.6, 0.9)
            room = torch.stack([x, y, SIDE - x, SIDE - y]).amin(0)  # pixels to the nearest edge
            low, high, way = size + 1, SIDE - 1 - size, v * n
            free = torch.stack([
                there == 1, x - way >= low, x + way <= high, y - way >= low, y + way <= high,
                (size + g * n <= LARGE) & (size + g * n + 1 <= room), size - g * n >= SMALL, there == 0, there == 1,
            ], 1)  # fmt: skip
            free[:, LEFT:APPEARING] &= (there == 1)[:, None]  # what is gone can only appear
            free[torch.arange(count), deed.clamp(min=0)] &= deed < 0  # another deed than before
            score = torch.rand(count, len(DEEDS), generator=rng)
            score[:, STILL] -= 0.2
            score[:, DISAPPEARING] -= 0.3
            chosen = score.masked_fill(~free, -1.0).argmax(1)
            deed, left = torch.where(new, chosen, deed), torch.where(new, n, left) - 1
            speed, rate = torch.where(new, v, speed), torch.where(new, g, rate)
            fade = torch.where(new, 1 / n, fade)
            x = x + speed * ((deed == RIGHT).float() - (deed == LEFT).float())
            y = y + speed * ((deed == DOWN).float() - (deed == UP).float())
            size = size + rate * ((deed == GROWING).float() - (deed == SHRINKING).float())
            there = there + fade * ((deed == APPEARING).float() - (deed == DISAPPEARING).float())
            ends = (left == 0) & ((deed == APPEARING) | (deed == DISAPPEARING))
            there = torch.where(ends, there.round(), there)  # without what the sum of floats lost
        rows.append(Script(deed, x, y, size, there))
    rows[0] = rows[0]._replace(deed=rows[1].deed if time > 1 else torch.zeros_like(deed))
    return Script(*(torch.stack(field, 1) for field in zip(*rows, strict=True)))


def drawn(script: Script, rng: torch.Generator) -> UInt8[Tensor, "N T 1 H W"]:
    """The films of these scripts: the figure a disc, a square or a diamond, lighter or darker than a slanting ground;
    two outlines, a ring and a frame, cross it at their own pace, larger and smaller in turn; spots stand still; each
    frame has its own light and noise."""
    blocks = [_draw(Script(*(field[k : k + BLOCK] for field in script)), rng) for k in range(0, len(script.x), BLOCK)]
    return torch.cat(blocks)


def _draw(script: Script, rng: torch.Generator) -> UInt8[Tensor, "N T 1 H W"]:
    n, time = script.x.shape

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *(shape or (1, 1, 1)), generator=rng)

    slope = draw(-1, 1) * (ACROSS / SIDE - 0.5) + draw(-1, 1) * (ACROSS[:, None] / SIDE - 0.5)
    light = draw(0, 1) < 0.5  # a light figure on dark ground, or the reverse
    frame = (torch.where(light, draw(30, 90), draw(165, 225)) + 30 * slope).expand(n, time, SIDE, SIDE).clone()
    sign = torch.where(light, 1.0, -1.0)

    def offsets(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # across "N T 1 W", down "N T H 1"
        return (ACROSS - x[..., None, None]).abs(), (ACROSS[:, None] - y[..., None, None]).abs()

    for _ in range(3):  # spots that stand still
        far = torch.hypot(*offsets(draw(0, SIDE, 1), draw(0, SIDE, 1)))
        frame += sign * draw(15, 60) * (draw(1, 2.5) - far + 0.5).clamp_(0, 1)
    beat = torch.arange(time)
    for distance in (torch.hypot, torch.maximum):  # a ring and a frame that move as they like
        x, y = (_to_and_fro(draw(0, 2 * SIDE, 1) + draw(0.4, 2, 1) * beat) for _ in range(2))
        wide = 3.5 + 1.5 * torch.sin(draw(0, 6.28, 1) + draw(0.2, 0.7, 1) * beat)
        far = (distance(*offsets(x, y)) - wide[..., None, None]).abs_()
        frame += (1.1 - far).clamp_(0, 1) * (sign * draw(50, 110))
    dx, dy = offsets(script.x, script.y)
    kind = torch.randint(0, 3, (n,), generator=rng)
    far = torch.empty_like(frame)
    for k, distance in enumerate((torch.hypot, torch.maximum, torch.add)):  # a disc, a square, a diamond
        far[kind == k] = SHRUNK[k] * distance(dx[kind == k], dy[kind == k])
    cover = (script.size[..., None, None] - far + 0.5).clamp_(0, 1) * script.there[..., None, None]
    frame += cover * (torch.where(light, draw(170, 240), draw(15, 85)) - frame)
    frame += 2 * torch.randn(n, time, 1, 1, generator=rng)
    frame += draw(2, 8) * torch.randn(frame.shape, generator=rng)
    return frame.clamp_(0, 255).to(torch.uint8)[:, :, None]


def _to_and_fro(way: Tensor) -> Tensor:
    """The place between both edges of what goes on and on and is thrown back by them."""
    return (way % (2 * SIDE) - SIDE).abs()
