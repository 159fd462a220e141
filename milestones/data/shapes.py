"""A world of shapes, drawn by code, and all that may be said of a picture of it: one or two groups of equal things, how
many they are, how large, of what colour and shape, and how the groups lie to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

SIDE = 64  # pixels
COLOURS = {
    "red": (214, 38, 40), "green": (40, 158, 62), "blue": (48, 82, 214), "yellow": (236, 212, 44),
    "purple": (140, 48, 172), "orange": (240, 132, 24), "white": (246, 246, 246), "black": (18, 18, 18),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SIZES = {"small": (5.6, 6.6), "large": (8.8, 9.8)}  # pixels from the middle to the edge
COUNTS = ("a", "two", "three")
MOST = 4  # things in a picture
APART = 1.0  # pixels between things of one group, and between groups of which one is said to be left or above
DOUBT = 3.0  # pixels of overlap below which it would be a matter of taste: no such picture is drawn
TRIES = 512  # places tried together, at least
BLOCK = 256  # pictures drawn together
REACH = 13  # pixels around a thing's middle that are drawn

Pair = tuple[str, str]
"""A colour and a shape."""

# Never seen in training. Each shape once, each in another colour: to be right is to have learned both apart.
HELD_OUT: dict[str, tuple[Pair, ...]] = {
    "valid": (("green", "circle"), ("red", "square"), ("blue", "triangle"), ("black", "star"), ("white", "cross"),
              ("orange", "ring")),
    "test": (("purple", "circle"), ("white", "square"), ("green", "triangle"), ("red", "star"), ("yellow", "cross"),
             ("blue", "ring")),
}  # fmt: skip
PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
KNOWN = tuple(pair for pair in PAIRS if not any(pair in held for held in HELD_OUT.values()))

Array = np.ndarray


class World(NamedTuple):
    """What is in each picture. Of the two groups, the second may be empty."""

    count: Array  # N 2: things in the group
    size: Array  # N 2: of SIZES
    colour: Array  # N 2: of COLOURS
    shape: Array  # N 2: of SHAPES
    x: Array  # N 4: pixels from the left, of each thing's middle
    y: Array  # N 4: pixels from the top
    radius: Array  # N 4: pixels
    group: Array  # N 4: 0, 1, or -1 for nothing
    side: Array  # N 2: 1 where the first group is left of the second or above it, -1 if it is the other way, 0: neither


class Drawn(NamedTuple):
    """Pictures, and whose pixels they are."""

    image: UInt8[Tensor, "N 3 64 64"]
    owner: UInt8[Tensor, "N 64 64"]  # 0 for the ground, 1 and 2 for things of the first and the second group


def worlds(count: int, rng: torch.Generator, pairs: Sequence[Pair] = KNOWN, must: Sequence[Pair] = (),
           two: float = 0.65) -> World:  # fmt: skip
    """So many worlds with things of these pairs of colour and shape only; with `must`, one group of each is of one of
    those. A share `two` of them has two groups of things."""

    def draw(*shape: int) -> Array:
        return torch.rand(count, *shape, generator=rng).numpy()

    def chosen(among: int, *shape: int) -> Array:
        return (draw(*shape) * among).astype(np.int64)

    both = draw() < two
    counts = np.array([(1, 1), (1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3)])[chosen(8)]
    counts = np.where(both[:, None], counts, np.stack([chosen(3) + 1, np.zeros(count, np.int64)], 1))
    kinds = np.array([PAIRS.index(pair) for pair in pairs])
    kind = kinds[chosen(len(kinds), 2)]
    if must:
        which = np.where(both, chosen(2), 0)
        kind[np.arange(count), which] = np.array([PAIRS.index(pair) for pair in must])[chosen(len(must))]
    again = draw()  # the second group differs from the first; if it must not change, the first does
    for row in np.flatnonzero(both & (kind[:, 0] == kind[:, 1])):
        kind[row, 1] = (others := kinds[kinds != kind[row, 0]])[int(again[row] * len(others))]
    group = np.where(
        np.arange(MOST) < counts[:, :1], 0, np.where(np.arange(MOST) < counts.sum(1, keepdims=True), 1, -1)
    )
    size, of = chosen(2, 2), np.maximum(group, 0)
    low, high = np.array(list(SIZES.values())).T
    rows = np.arange(count)[:, None]
    radius = low[size][rows, of] + (high - low)[size][rows, of] * draw(MOST)
    x, y, side = placed(counts, group, radius, chosen(2), rng)
    order = chosen(2) * both  # the group that lies left or above is the first in half of them
    turned = order.astype(bool)
    swap = np.where(turned[:, None], [1, 0], [0, 1])
    counts, size, kind = (field[rows, swap] for field in (counts, size, kind))
    group = np.where(turned[:, None] & (group >= 0), 1 - group, group)
    side = np.where(turned[:, None], -side, side)
    return World(counts, size, kind // len(SHAPES), kind % len(SHAPES), x, y, radius, group, side)


def placed(counts: Array, group: Array, radius: Array, axis: Array, rng: torch.Generator) -> tuple[Array, Array, Array]:
    """Where things lie: the second group right of the first (axis 0) or below it (1), nothing on anything else; and
    `side` of a World. Tried again until all fits."""
    n = len(counts)
    at, todo = np.zeros((n, MOST, 2)), np.arange(n)
    while len(todo):
        trying = np.tile(todo, max(1, TRIES // len(todo)))  # the few that are hard are tried often at once
        g, r, a = group[trying], radius[trying], axis[trying]
        both = (counts[trying, 1] > 0)[:, None]
        widest = [np.where(g == k, r, 0).max(1) for k in (0, 1)]
        least, most = 2 * widest[0] + APART, SIDE - 2 * widest[1] - APART
        line = least[:, None] + (most - least)[:, None] * torch.rand(len(trying), 1, generator=rng).numpy()
        low, high = np.zeros((*g.shape, 2)), np.full((*g.shape, 2), float(SIDE))
        along = np.arange(2) == a[:, None]  # of the axis that parts the groups
        high = np.where((both & (g == 0))[..., None] & along[:, None], (line - APART / 2)[..., None], high)
        low = np.where((both & (g == 1))[..., None] & along[:, None], (line + APART / 2)[..., None], low)
        low, high = low + r[..., None] + 0.5, high - r[..., None] - 0.5
        free = torch.rand(*low.shape, generator=rng).numpy()
        spot = low + (high - low) * free
        there = g >= 0
        gap = np.linalg.norm(spot[:, :, None] - spot[:, None], axis=-1) - r[:, :, None] - r[:, None] - APART
        pair = there[:, :, None] & there[:, None] & ~np.eye(MOST, dtype=bool)
        good = (low <= high).all(-1).all(-1, where=there) & ((gap >= 0) | ~pair).all((1, 2))
        other = gaps(spot, r, g)  # M 2 2
        good &= (((other >= APART) | (other <= -DOUBT)) | ~both[..., None]).all((1, 2))
        at[trying[good]] = spot[good]
        todo = np.setdiff1d(todo, trying[good])
    gap = gaps(at, radius, group)
    clear = (gap >= APART) & (counts[:, 1] > 0)[:, None, None]
    return at[..., 0], at[..., 1], clear[..., 0].astype(int) - clear[..., 1].astype(int)


def gaps(at: Array, radius: Array, group: Array) -> Array:
    """Pixels along each axis "N 2" from the first group's end to the second's begin, and the other way, "N 2 2";
    negative where they overlap."""
    first, second, r = (group == 0)[..., None], (group == 1)[..., None], radius[..., None]
    ends = [(at + r).max(1, where=own, initial=-1e3) for own in (first, second)]
    begins = [(at - r).min(1, where=own, initial=1e3) for own in (first, second)]
    return np.stack([begins[1] - ends[0], begins[0] - ends[1]], -1)


def star(u: Array, v: Array) -> Array:
    angle = abs((np.arctan2(u, v) + math.pi / 5) % (math.tau / 5) - math.pi / 5)
    far, tip, dent = np.hypot(u, v), 1.12, 0.48
    inner = dent * math.cos(math.pi / 5), dent * math.sin(math.pi / 5)
    edge = inner[1], tip - inner[0]
    length = math.hypot(*edge)
    return (edge[0] * (far * np.cos(angle) - tip) + edge[1] * far * np.sin(angle)) / length


FORMS = (  # their distance from (u, v), negative inside, in units of the radius
    lambda u, v: np.hypot(u, v) - 0.97,
    lambda u, v: np.maximum(abs(u), abs(v)) - 0.84,
    lambda u, v: np.maximum(0.866 * abs(u) + 0.5 * (v - 0.1), -(v - 0.1) - 0.18) - 0.52,
    star,
    lambda u, v: np.minimum(np.maximum(abs(u) - 1, abs(v) - 0.32), np.maximum(abs(u) - 0.32, abs(v) - 1)),
    lambda u, v: abs(np.hypot(u, v) - 0.75) - 0.25,
)


def drawn(world: World, rng: torch.Generator) -> Drawn:
    """The pictures: a grey ground that is lighter on one side, things in their colour more or less, a little noise."""
    blocks = range(0, len(world.count), BLOCK)
    parts = [_drawn(World(*(field[i : i + BLOCK] for field in world)), rng) for i in blocks]
    image, owner = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Drawn(torch.from_numpy(image), torch.from_numpy(owner))


def _drawn(world: World, rng: torch.Generator) -> tuple[Array, Array]:
    n = len(world.count)

    def uniform(low: float, high: float, *shape: int) -> Array:
        return (low + (high - low) * torch.rand(n, *shape, generator=rng)).numpy()

    level, slope, tint = uniform(85, 165, 1, 1, 1), uniform(-14, 14, 2, 1, 1, 1), uniform(-8, 8, 1, 1, 3)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    canvas = (level + tint) + (slope[:, 0] * ramp[:, None, None] + slope[:, 1] * ramp[:, None])  # N H W 3
    canvas += 4 * torch.randn(n, SIDE, SIDE, 1, generator=rng).numpy()
    owner = np.zeros((n, SIDE, SIDE), np.uint8)
    turn, shade = uniform(-0.25, 0.25, MOST), uniform(-14, 14, MOST, 3)
    paint = np.array(list(COLOURS.values()), np.float32)
    near = np.arange(-REACH, REACH)
    for k in range(MOST):
        for shape, form in enumerate(FORMS):
            g = world.group[:, k]
            rows = np.flatnonzero((g >= 0) & (world.shape[np.arange(n), np.maximum(g, 0)] == shape))
            if not len(rows):
                continue
            x, y, r = (field[rows, k][:, None, None].astype(np.float32) for field in (world.x, world.y, world.radius))
            row = np.round(y).astype(np.int64) + near[:, None]  # M R 1
            column = np.round(x).astype(np.int64) + near  # M 1 R
            across, up = (column + 0.5 - x) / r, (y - row - 0.5) / r
            cos, sin = np.cos(turn[rows, k])[:, None, None], np.sin(turn[rows, k])[:, None, None]
            cover = np.clip(0.5 - form(across * cos + up * sin, up * cos - across * sin) * r, 0, 1)
            cover = cover * ((row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE))
            at = rows[:, None, None], row.clip(0, SIDE - 1), column.clip(0, SIDE - 1)
            hit = np.nonzero(cover > 0)
            spot = tuple(np.broadcast_to(index, cover.shape)[hit] for index in at)
            own = g[rows][hit[0]]
            fill = paint[world.colour[rows[hit[0]], own]] + shade[rows[hit[0]], k]
            canvas[spot] += (fill - canvas[spot]) * cover[hit][:, None].astype(np.float32)
            owner[spot] = np.where(cover[hit] >= 0.5, own + 1, owner[spot])
    image = np.clip(canvas + 0.5, 0, 255).astype(np.uint8).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(image), owner


def named(world: World, row: int, group: int) -> str:
    """A group in words: how many, how large, which colour and shape."""
    many, size = int(world.count[row, group]), list(SIZES)[world.size[row, group]]
    shape, colour = SHAPES[world.shape[row, group]], list(COLOURS)[world.colour[row, group]]
    plural = "" if many == 1 else "es" if shape == "cross" else "s"
    return f"{COUNTS[many - 1]} {size} {colour} {shape}{plural}"


# What may be said of a first group and a second: where the first lies left (1) or right (-1), and above or below.
RELATIONS = {
    (0, 1): ("{0} left of {1}", "{1} right of {0}", "{0} to the left of {1}", "{1} to the right of {0}"),
    (0, -1): ("{0} right of {1}", "{1} left of {0}", "{0} to the right of {1}", "{1} to the left of {0}"),
    (1, 1): ("{0} above {1}", "{1} below {0}", "{0} over {1}", "{1} under {0}"),
    (1, -1): ("{0} below {1}", "{1} above {0}", "{0} under {1}", "{1} over {0}"),
}


def sentences(world: World, row: int) -> list[str]:
    """All sentences that are true of this picture and leave nothing out: the plainest first."""
    groups = [named(world, row, group) for group in range(2) if world.count[row, group]]
    if len(groups) == 1:
        said = [groups[0], f"the picture shows {groups[0]}"]
    else:
        said = [form.format(*groups) for (axis, way), forms in RELATIONS.items() if world.side[row, axis] == way
                for form in forms]  # fmt: skip
    return said + [f"there {'is' if one.startswith('a ') else 'are'} {one}" for one in said if "picture" not in one]


def groups_of(words: Sequence[str]) -> list[tuple[str, range]]:
    """The groups that a sentence names, in words as `named` has them, and where each stands in it."""
    found = []
    for at, word in enumerate(words):
        if word in COUNTS and at + 3 < len(words) and words[at + 1] in SIZES:
            found.append((" ".join(words[at : at + 4]), range(at, at + 4)))
    return found
