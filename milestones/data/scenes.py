"""Scenes drawn by code: a table before a wall, things of customary size on it, seen from far or near; in half of them
the mug that is looked for. The same scene can be drawn with the mug at another scale, or seen from nearer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..core.errors import UserError
from ..core.source import Data, Facts, Held, Place, keyed
from ..media import Image

SIDE, CELL = 64, 4  # pixels: of a scene, of the places that it is divided into
GRID = SIDE // CELL
TALL = 7.0  # pixels of a mug seen from afar; a mug's height is the unit of length in a scene
NEAR = 4.0  # times as large as from afar: the nearest that a scene is seen from
WRONG = 4.0  # times too large or too small: as far from fitting as scenes of the study get
WIDE = 0.75  # of a mug, to each side of its middle, with its handle
SLOTS = (-4.2, -2.52, -0.84, 0.84, 2.52, 4.2)  # where things stand
LABELS = ("no mug", "mug")
BLOCK = 256  # scenes drawn together

Levels = np.ndarray
"""float32."""
Layer = tuple[Levels, int]
"""The distance from a form's edge, negative inside, and with which tone it is filled."""
MAIN, DETAIL, DARK = 0, 1, 2


class Scenes(NamedTuple):
    """Pictures of scenes, and where in them the mug is."""

    image: Levels  # B 1 64 64 uint8
    label: Levels  # B int64: is there a mug
    place: Levels  # B int64: the cell of its middle, row by row; 0 if there is none
    tall: Levels  # B float32: pixels; 0 if there is none


class World(NamedTuple):
    """Things on a table. Lengths are in heights of a mug, x to the right, y up from the table's far edge. The last
    thing of each row stands before the others: the mug, or what is in its place."""

    kind: Levels  # B N int64: of KINDS; -1 for nothing
    x: Levels  # B N
    y: Levels  # B N: where it stands
    scale: Levels  # B N: times its customary size
    mirror: Levels  # B N: 1 or -1
    tone: Levels  # B N 3: grey levels of its main part, its details, its dark parts
    room: Levels  # B 4: grey levels of wall, table and window, and where the window is


class View(NamedTuple):
    """From where worlds are seen."""

    x: Levels  # B
    y: Levels  # B
    zoom: Levels  # B: 1 from afar


# Forms, by their distance from (u, v), exact or nearly so close to the edge.
def length(x: Levels, y: Levels) -> Levels:
    return np.sqrt(x * x + y * y)  # in less time than np.hypot


def disc(u: Levels, v: Levels, x: float, y: float, a: float, b: float) -> Levels:
    return (length((u - x) / a, (v - y) / b) - 1) * min(a, b)


def box(u: Levels, v: Levels, x: float, y: float, w: float, h: float, round: float = 0.0) -> Levels:
    across, up = abs(u - x) - w + round, abs(v - y) - h + round
    return length(np.maximum(across, 0), np.maximum(up, 0)) + np.minimum(np.maximum(across, up), 0) - round


def taper(u: Levels, v: Levels, low: float, high: float, below: float, above: float) -> Levels:
    half = below + (above - below) * (v - low) / (high - low)
    return np.maximum(abs(u) - half, np.maximum(low - v, v - high))


def stroke(u: Levels, v: Levels, x: float, y: float, to_x: float, to_y: float, thick: float) -> Levels:
    dx, dy = to_x - x, to_y - y
    along = np.clip(((u - x) * dx + (v - y) * dy) / (dx * dx + dy * dy), 0, 1)
    return length(u - x - along * dx, v - y - along * dy) - thick


def mug(u: Levels, v: Levels) -> list[Layer]:
    handle = abs(disc(u, v, 0.42, 0.5, 0.28, 0.3)) - 0.075
    body = np.maximum(taper(u, v, 0.0, 0.95, 0.36, 0.42), -0.03 - v)
    return [(np.minimum(body, np.maximum(handle, 0.3 - u)), MAIN), (disc(u, v, 0, 0.93, 0.4, 0.09), DARK)]


def jug(u: Levels, v: Levels) -> list[Layer]:
    """A mug with a spout."""
    (body, _), opening = mug(u, v)
    return [(np.minimum(body, stroke(u, v, -0.36, 0.62, -0.66, 0.95, 0.09)), MAIN), opening]


def bottle(u: Levels, v: Levels) -> list[Layer]:
    whole = np.minimum(box(u, v, 0, 0.75, 0.34, 0.75, 0.12), box(u, v, 0, 1.85, 0.12, 0.5, 0.05))
    return [(whole, MAIN), (box(u, v, 0, 0.7, 0.34, 0.28), DETAIL)]


def bowl(u: Levels, v: Levels) -> list[Layer]:
    return [(np.maximum(disc(u, v, 0, 0.7, 0.85, 0.72), v - 0.7), MAIN), (disc(u, v, 0, 0.7, 0.85, 0.14), DARK)]


def books(u: Levels, v: Levels) -> list[Layer]:
    stripes = np.minimum(box(u, v, -0.2, 1.3, 0.2, 0.06), box(u, v, -0.2, 0.3, 0.2, 0.06))
    return [(box(u, v, -0.2, 0.8, 0.2, 0.8), MAIN), (stripes, DARK), (box(u, v, 0.2, 0.68, 0.17, 0.68), DETAIL)]


def lamp(u: Levels, v: Levels) -> list[Layer]:
    foot = np.minimum(disc(u, v, 0, 0.1, 0.5, 0.12), box(u, v, 0, 1.1, 0.06, 1.1))
    return [(foot, MAIN), (taper(u, v, 2.0, 3.1, 0.85, 0.45), DETAIL)]


def plant(u: Levels, v: Levels) -> list[Layer]:
    leaves = np.minimum(stroke(u, v, 0, 0.9, 0.05, 2.2, 0.2), stroke(u, v, 0, 0.9, -0.6, 1.8, 0.18))
    leaves = np.minimum(leaves, stroke(u, v, 0, 0.9, 0.65, 1.6, 0.18))
    return [(leaves, DETAIL), (taper(u, v, 0.0, 0.9, 0.36, 0.5), MAIN)]


def radio(u: Levels, v: Levels) -> list[Layer]:
    return [(box(u, v, 0, 0.5, 0.85, 0.5, 0.1), MAIN), (disc(u, v, -0.38, 0.5, 0.32, 0.32), DARK),
            (box(u, v, 0.4, 0.68, 0.28, 0.1), DETAIL)]  # fmt: skip


def ball(u: Levels, v: Levels) -> list[Layer]:
    whole = disc(u, v, 0, 0.45, 0.45, 0.45)
    return [(whole, MAIN), (np.maximum(whole, abs(v - 0.45) - 0.09), DETAIL)]


KINDS: tuple[tuple[Callable[[Levels, Levels], list[Layer]], float, float], ...] = (  # and how far they reach
    (mug, 0.8, 1.05), (jug, 0.8, 1.1), (bottle, 0.75, 2.4), (bowl, 0.9, 0.9), (books, 0.75, 1.65), (lamp, 0.9, 3.15),
    (plant, 0.9, 2.45), (radio, 0.9, 1.05), (ball, 0.75, 0.95),
)  # fmt: skip
MUG, JUG, OTHERS = 0, 1, 2


def worlds(count: int, rng: torch.Generator, lookalikes: float = 0.0) -> World:
    """So many tables, each with a mug before three to five other things; a share `lookalikes` has a jug among them."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=rng)

    n = len(SLOTS)
    order = torch.rand(count, n, generator=rng).argsort(1)
    middle = (order > 0) & (order < n - 1)  # the last thing stands in one of the four slots there
    last = (middle * torch.rand(count, n, generator=rng)).argmax(1, keepdim=True)
    slot = order.scatter(1, last, order[:, -1:])
    slot[:, -1:] = order.gather(1, last)
    kind = torch.randint(OTHERS, len(KINDS), (count, n), generator=rng)
    there = torch.rand(count, n, generator=rng) < 0.8
    kind, scale = torch.where(there, kind, -1), uniform(0.92, 1.08, n)
    is_jug = torch.rand(count, generator=rng) < lookalikes
    kind[:, 0] = torch.where(is_jug, JUG, kind[:, 0])
    scale[:, 0] = torch.where(is_jug, sizes_of_jugs(count, rng), scale[:, 0])
    kind[:, -1], scale[:, -1] = MUG, uniform(0.95, 1.05)
    y = uniform(-1.5, -0.15, n)
    y[:, :-1] = y[:, :-1].sort(1, descending=True).values  # the farthest first; the last one covers what it meets
    y[:, -1] = torch.minimum(y[:, -1], y[:, -2])
    wall = uniform(105, 195)
    table = wall + torch.where(wall > 150, -1.0, 1.0) * uniform(25, 50)
    room = torch.stack([wall, table, uniform(215, 250), uniform(-3.5, 3.5)], 1)
    tone = torch.where(uniform(0, 1, n) < 0.5, uniform(15, 60, n), uniform(225, 250, n))  # apart from both
    detail = torch.where(tone < 128, uniform(120, 230, n), uniform(30, 140, n))
    dark = torch.where(tone < 128, tone * 0.4 + 70, tone * 0.35)
    x = torch.tensor(SLOTS)[slot] + uniform(-0.35, 0.35, n)
    mirror = torch.where(uniform(0, 1, n) < 0.5, -1.0, 1.0)
    return World(kind, x, y, scale, mirror, torch.stack([tone, detail, dark], 2), room)


def sizes_of_jugs(count: int, rng: torch.Generator) -> Tensor:
    """From twice a mug to four times, or, as seldom as toys, a half to a quarter."""
    size = 2 ** (1 + torch.rand(count, generator=rng))
    return torch.where(torch.rand(count, generator=rng) < 0.25, 1 / size, size)


def without(world: World, rng: torch.Generator, lookalikes: float = 0.0) -> World:
    """The same worlds with something else in the mug's place: in a share `lookalikes` a jug, else one of the rest."""
    count = len(world.kind)
    kind, scale = world.kind.clone(), world.scale.clone()
    is_jug = torch.rand(count, generator=rng) < lookalikes
    kind[:, -1] = torch.where(is_jug, JUG, torch.randint(OTHERS, len(KINDS), (count,), generator=rng))
    scale[:, -1] = torch.where(is_jug, sizes_of_jugs(count, rng), scale[:, -1])
    return world._replace(kind=kind, scale=scale)


def at_scale(world: World, relative: float) -> World:
    """The same worlds with the mug so many times as large as fits; it stands where it stood."""
    scale = world.scale.clone()
    scale[:, -1] *= relative
    return world._replace(scale=scale)


def views(world: World, zoom: Tensor, rng: torch.Generator, room: float = 1.0) -> View:
    """A view of each world at its zoom "B", from where a mug `room` times as large would be seen whole."""
    count, half = len(zoom), SIDE / 2 / TALL / zoom

    def around(middle: Tensor, free: Tensor, low: float, high: float) -> Tensor:
        at = middle + (2 * torch.rand(count, generator=rng) - 1) * free.clamp(min=0.02)
        return torch.maximum(torch.minimum(at, high - half), low + half)

    x = around(world.x[:, -1], half - WIDE * room, -5.8, 5.8)
    return View(x, around(world.y[:, -1] + room / 2, half - room / 2 - 0.05, -3.2, 7.2), zoom)


def drawn(world: World, view: View) -> UInt8[Tensor, "B 1 64 64"]:
    """The pictures, without noise; each thing in its shade, its edges smooth."""
    parts = [_drawn(World(*(f[i : i + BLOCK].numpy() for f in world)), View(*(f[i : i + BLOCK].numpy() for f in view)))
             for i in range(0, len(world.kind), BLOCK)]  # fmt: skip
    return torch.from_numpy(np.concatenate(parts))[:, None]


def painted(canvas: Levels, distance: Levels, level: Levels, pixel: Levels) -> Levels:
    """The canvas with a form in this level upon it."""
    return canvas + (level - canvas) * np.clip(0.5 - distance * pixel, 0, 1)


def _drawn(world: Any, view: Any) -> np.ndarray:
    """Of worlds and views in NumPy: thousands of small steps, for which two threads take longer than one."""
    pixel = (TALL * view.zoom)[:, None, None]  # a unit of length
    at = np.arange(SIDE, dtype=np.float32) + np.float32(0.5 - SIDE / 2)
    across = view.x[:, None, None] + at[None, None] / pixel  # B 1 W
    up = view.y[:, None, None] - at[None, :, None] / pixel  # B H 1
    wall, table, light, window = (level[:, None, None] for level in world.room.T)
    canvas = np.repeat(wall + np.float32(2.5) * (up - 2), SIDE, 2)
    u, v = across - window, up - np.float32(4.4)
    bars = np.minimum(abs(u), abs(v)) - np.float32(0.07) + 9 * (box(u, v, 0, 0, 1.4, 1.7) > 0).astype(np.float32)
    forms = ((box(u, v, 0, 0, 1.5, 1.8), wall * 0.55), (box(u, v, 0, 0, 1.32, 1.62), light), (bars, wall * 0.55),
             (up, table), (up + 1.75, table * 0.6), (up + 2.0, table * 0.35))  # fmt: skip
    for form, level in forms:
        canvas = painted(canvas, form, level, pixel)
    flat = canvas.reshape(-1)
    for n in range(world.kind.shape[1]):
        for k, (form, *reach) in enumerate(KINDS):
            row, spot, u, v, size = _around(world, view, n, np.flatnonzero(world.kind[:, n] == k), *reach)
            own = painted(flat[spot], disc(u, v, 0.12, 0.0, 0.6, 0.1), 0.65 * flat[spot], size)  # its shadow
            for distance, tone in form(u, v):
                own = painted(own, distance, world.tone[row, n, tone] * (1 + 0.12 * np.clip(u, -1, 1)), size)
            flat[spot] = own
    return np.clip(canvas, 0, 255).round().astype(np.uint8)


def _around(world: Any, view: Any, n: int, rows: np.ndarray, wide: float, high: float) -> tuple[np.ndarray, ...]:
    """The pixels around thing `n` of these rows, which reaches so far to both sides and up: their row, their number
    among all pixels, where they lie, seen from its foot, in its own units, and how many pixels one of these has."""
    pixel, scale = TALL * view.zoom[rows], world.scale[rows, n]
    x = (world.x[rows, n] - view.x[rows]) * pixel + SIDE / 2  # of its foot, in pixels
    y = (view.y[rows] - world.y[rows, n]) * pixel + SIDE / 2
    size = scale * pixel
    edges = (x - wide * size - 1, x + wide * size + 2, y - high * size - 1, y + 0.15 * size + 2)
    left, right, top, bottom = (np.clip(edge, 0, SIDE).astype(np.int32) for edge in edges)
    across = right - left
    count = across * (bottom - top)
    one = np.repeat(np.arange(len(rows), dtype=np.int32), count)
    down, over = np.divmod(np.arange(len(one), dtype=np.int32) - (np.cumsum(count) - count)[one].astype(np.int32),
                           across[one])  # fmt: skip
    down, over = top[one] + down, left[one] + over
    u = (over + np.float32(0.5) - x[one]) * (world.mirror[rows, n] / size)[one]
    v = (y[one] - down - np.float32(0.5)) / size[one]
    return rows[one], (rows[one] * SIDE + down) * SIDE + over, u, v, size[one]


def noisy(image: UInt8[Tensor, "B 1 64 64"], rng: torch.Generator, noise: float) -> UInt8[Tensor, "B 1 64 64"]:
    """With a contrast and a noise of its own for each picture: up to `noise` levels, half of that at least."""

    def draw() -> Float[Tensor, "B 1 1 1"]:
        return torch.rand(len(image), 1, 1, 1, generator=rng)

    level = 128 + (image.float() - 128) * (0.6 + 0.4 * draw())
    grain = torch.randn(image.shape, generator=rng) * noise * (0.5 + 0.5 * draw())
    return (level + grain).clamp(0, 255).to(torch.uint8)


def scenes(world: World, view: View, rng: torch.Generator | None = None, noise: float = 0.0) -> Scenes:
    """The worlds as seen, with noise from `rng` if there is one, and where the mug is."""
    image = drawn(world, view)
    label = (world.kind[:, -1] == MUG).long()
    pixel, tall = TALL * view.zoom, world.scale[:, -1]
    x = (world.x[:, -1] - view.x) * pixel + SIDE / 2
    y = (view.y - world.y[:, -1] - tall / 2) * pixel + SIDE / 2
    column, row = ((at / CELL).long().clamp(0, GRID - 1) for at in (x, y))
    return Scenes(image if rng is None else noisy(image, rng, noise), label, label * (row * GRID + column),
                  label * tall * pixel)  # fmt: skip


def mirrored(batch: Scenes, rng: torch.Generator) -> Scenes:
    """Half of the scenes as in a mirror."""
    flip = torch.rand(len(batch.label), generator=rng).to(batch.image.device) < 0.5
    image = torch.where(flip[:, None, None, None], batch.image.flip(3), batch.image)
    across = batch.place - batch.place % GRID + GRID - 1 - batch.place % GRID
    return batch._replace(image=image, place=torch.where(flip & (batch.label > 0), across, batch.place))


def fitting(count: int, rng: torch.Generator, lookalikes: float) -> tuple[World, View]:
    """Worlds in which all is of its size, seen from afar, from near or between; every second without a mug."""
    world = worlds(count, rng, lookalikes)
    other = without(world, rng, lookalikes)
    absent = torch.arange(count) % 2 == 1
    world = world._replace(kind=torch.where(absent[:, None], other.kind, world.kind),
                           scale=torch.where(absent[:, None], other.scale, world.scale))  # fmt: skip
    return world, views(world, NEAR ** torch.rand(count, generator=rng), rng)


def rooms(place: Place, count: int, lookalikes: float, noise: float) -> Data[Scenes]:
    """So many training scenes, noise anew for each batch; an eighth as many, at most 2,000, to validate and to test.
    The test scenes are the same for each seed. UserError: --data."""
    if place.choice.data:
        raise UserError("no --data: scenes draws its own", repr(place.choice.data), "Leave --data out", "scenes")
    fewer = min(2000, max(16, count // 8))

    def changed(batch: Scenes, rng: torch.Generator) -> Scenes:
        batch = mirrored(batch, rng)
        return batch._replace(image=noisy(batch.image.cpu(), rng, noise).to(batch.image.device))

    name, rng = "composed scenes", keyed(place.seed, "scenes")
    train = Held(scenes(*fitting(count, rng, lookalikes)), place, name, "train", changed)
    valid = Held(scenes(*fitting(fewer, rng, lookalikes), rng, noise), place, name, "valid")
    rng = keyed("scenes", "test")
    test = Held(scenes(*fitting(fewer, rng, lookalikes), rng, noise), place, name, "test")
    level = train.examples.image[:2000].float()
    counts = {"train": count, "valid": fewer, "test": fewer}
    note = "drawn by code, not photographed; half of them have the mug, at the scale that fits"
    facts: Facts = {"kind": "pictures", "labels": list(LABELS), "side": SIDE, "mean": float(level.mean()),
                    "spread": float(level.std()), "data": {"name": name, **counts, "note": note}}  # fmt: skip
    return Data(train, valid, test, facts)


class Trial(NamedTuple):
    """Scenes of one condition, named, for a score."""

    examples: Scenes
    name: str
    split: str


def trial(what: str, relative: float, zoom: float, count: int, noise: float, lookalikes: float = 0.0,
          split: str = "test", instead: float | None = None) -> Trial:  # fmt: skip
    """The same `count` worlds for each condition of a split: the mug at `relative` times its size, or without it and
    in a share `instead` with a jug, seen at `zoom`. Views leave room for the
    largest mug."""
    world = worlds(count, keyed("scenes", split, "worlds"), lookalikes)
    view = views(world, torch.full((count,), zoom), keyed("scenes", split, "views"), max(1.0, NEAR / zoom))
    if instead is not None:
        world = without(world, keyed("scenes", split, "others"), instead)
    rng = keyed("scenes", split, "noise")
    return Trial(scenes(at_scale(world, relative), view, rng, noise), f"composed scenes, {what}", split)


class Framed(NamedTuple):
    """A user's picture as the net sees it, and the way back."""

    pixels: np.ndarray  # 64 64
    scale: float  # pixels of the picture for one of these
    left: int  # of these, put before the picture
    top: int


def framed(image: Image) -> Framed:
    """The whole picture in grey, its longer side scaled to 64 pixels; what is missing continues its edges."""
    scale = max(image.height, image.width) / SIDE
    h, w = (max(1, round(length / scale)) for length in (image.height, image.width))
    small = Image(image.grey()).resized(h, w).pixels
    top, left = (SIDE - h) // 2, (SIDE - w) // 2
    pixels = np.pad(small, ((top, SIDE - h - top), (left, SIDE - w - left)), mode="edge")
    return Framed(pixels, scale, left, top)
