"""A car with a camera over flat ground: what each pixel looks at, in what light, how the car drives and is steered.

Lengths are metres. A car looks along its heading; `ahead` and `left` are distances from it in its own directions.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

EYE = 2.0  # of the camera above the ground
NEAR = 2.7  # ahead of the camera: what the lowest row of pixels sees
STEP = 1.0  # that a car drives between two pictures: 5 m/s, five pictures a second
RATE_HZ = 5.0  # pictures a second
WHEELBASE = 2.5
TIGHTEST = 8.0  # radius of a turn with the wheel at its stop
LOCK = math.atan(WHEELBASE / TIGHTEST)  # radians: angle of the front wheels at its stop
AHEAD = 6.0  # where pure pursuit aims
GRAINS = 1 << 17  # of the table of noise


class Camera(NamedTuple):
    """Where the pixels below the horizon meet the ground: inverse perspective."""

    ahead: Float[Tensor, "G W"]
    left: Float[Tensor, "G W"]
    width: Float[Tensor, "G W"]  # that a pixel covers of the ground, from left to right
    height: int  # rows of the whole picture
    horizon: int  # rows of sky
    focus: float  # columns from the middle to what is 45 degrees to the side
    fall: float  # rows below the horizon of the ground a metre ahead
    noise: float  # of the sensor, times that of the light; 0: as an eye would have it


def camera(height: int, width: int, device: torch.device, noise: float = 1.0) -> Camera:
    """The camera with a picture of `height` x `width` pixels: a quarter is sky, and it sees 45 degrees to each side."""
    horizon = height // 4
    rows = torch.arange(height - horizon, device=device) + 0.5
    columns = torch.arange(width, device=device) + 0.5 - width / 2
    fall = NEAR * (height - horizon - 0.5)
    ahead = (fall / rows)[:, None].expand(-1, width)
    return Camera(ahead, -columns * ahead / (width / 2), ahead / (width / 2), height, horizon, width / 2, fall, noise)


class Light(NamedTuple):
    """How N pictures are lit: all that a camera's exposure, the sun and its shadows do to them."""

    gain: Float[Tensor, "N 3"]  # of each colour
    tilt: Float[Tensor, "N"]  # how much brighter the right edge is than the middle
    noise: Float[Tensor, "N"]  # grey levels, standard deviation
    grain: Int[Tensor, "N"]  # where in the table of noise an episode begins
    wave: Float[Tensor, "N 2"]  # radians a metre: shadows lie across the ground in bands
    phase: Float[Tensor, "N"]
    level: Float[Tensor, "N"]  # above which the sine of a band is shadow; above 1: none
    depth: Float[Tensor, "N"]  # share of the light that a shadow takes


LIGHTS = 12  # numbers that a light is drawn from


def light(drawn: Float[Tensor, "N L"], dusk: bool = False) -> Light:
    """The light that LIGHTS uniform numbers stand for: from dull to glaring; at dusk darker than any of those."""
    u = drawn.unbind(1)
    low, high = (0.28, 0.42) if dusk else (0.6, 1.25)
    tint = 0.88 + 0.24 * torch.stack(u[1:4], 1)
    angle, pitch = 2 * math.pi * u[4], 0.25 + 0.75 * u[5]
    return Light(
        (low + (high - low) * u[0])[:, None] * tint, 0.5 * u[6] - 0.25, 1 + 11 * u[7],
        (GRAINS * u[8]).long().clamp(max=GRAINS - 1), torch.stack([pitch * angle.cos(), pitch * angle.sin()], 1),
        2 * math.pi * u[9], 0.2 + 1.6 * u[10], 0.25 + 0.4 * u[11],
    )  # fmt: skip


@functools.cache
def noise(device: torch.device) -> Float[Tensor, "G"]:
    """A table of normal numbers, always the same: to read from a place costs less than to draw them."""
    return torch.randn(GRAINS, generator=torch.Generator().manual_seed(1989)).to(device)


def shade(x: Float[Tensor, "N P"], y: Float[Tensor, "N P"], by: Light) -> Float[Tensor, "N P"]:
    """The share of the light that reaches places on the ground."""
    wave = torch.sin(x * by.wave[:, :1] + y * by.wave[:, 1:] + by.phase[:, None])
    return 1 - by.depth[:, None] * (8 * (wave - by.level[:, None])).clamp(0, 1)


def speckled(x: Float[Tensor, "N P"], y: Float[Tensor, "N P"]) -> Float[Tensor, "N P"]:
    """Normal numbers that belong to places on the ground, each about half a metre large: they pass by as one drives."""
    cell = (2 * x).floor().long() * 7919 + (2 * y).floor().long() * 104729
    return noise(x.device).index_select(0, (cell & (GRAINS - 1)).view(-1)).view_as(x)  # a third of an index's time


def exposed(picture: Float[Tensor, "N 3 H W"], by: Light, steps: Int[Tensor, "N"],
            noisy: float = 1.0) -> UInt8[Tensor, "N 3 H W"]:  # fmt: skip
    """What the camera makes of it: brightness, colour cast, and noise that is another in each picture."""
    n, width = len(picture), picture.shape[3]
    amount = (noisy * by.noise).view(n, 1, 1, 1)
    ramp = torch.linspace(-1, 1, width, device=picture.device)
    bright = picture * by.gain[:, :, None, None] * (1 + by.tilt[:, None] * ramp)[:, None, None]
    size = picture[0].numel()
    begin = ((by.grain + 6607 * steps) % (GRAINS - size)).tolist()
    grains = torch.stack([noise(picture.device)[k : k + size] for k in begin]).view_as(picture)
    return torch.addcmul(bright, grains, amount).clamp_(0, 255).byte()


def driven(x: Float[Tensor, "N"], y: Float[Tensor, "N"], heading: Float[Tensor, "N"],
           steering: Float[Tensor, "N"]) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Where cars are a STEP later: the kinematic bicycle. `steering` from -1 (the wheel at its left stop) to 1 (right);
    headings are radians, counter-clockwise from x."""
    turn = -STEP * torch.tan(LOCK * steering) / WHEELBASE
    middle = heading + turn / 2  # along the chord of the arc, to second order
    after = torch.remainder(heading + turn + math.pi, 2 * math.pi) - math.pi
    return x + STEP * middle.cos(), y + STEP * middle.sin(), after


def pursuit(ahead: Float[Tensor, "N"], left: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Steering onto the circle through a point (Coulter 1992, CMU-RI-TR-92-01: curvature 2 left / distance^2)."""
    curvature = 2 * left / (ahead.square() + left.square()).clamp(min=1e-6)
    return (-torch.atan(WHEELBASE * curvature) / LOCK).clamp(-1, 1)


def toward(x: Tensor, y: Tensor, heading: Tensor, at_x: Tensor, at_y: Tensor) -> tuple[Tensor, Tensor]:
    """How far ahead and to the left of cars places are; all of shape "N", or the places "N P" and the cars "N 1"."""
    dx, dy, cos, sin = at_x - x, at_y - y, heading.cos(), heading.sin()
    return dx * cos + dy * sin, dy * cos - dx * sin
