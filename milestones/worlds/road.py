"""Closed roads seen by a car's camera: N cars together, each alone on a road made by rule from a seed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..core.source import Facts, keyed
from ..parts.camera import (
    AHEAD,
    LIGHTS,
    RATE_HZ,
    STEP,
    Camera,
    Light,
    camera,
    driven,
    exposed,
    light,
    pursuit,
    shade,
    speckled,
    toward,
)  # fmt: skip
from .world import Outcome

VERSION = "1"  # of the rules: another one is another world
HALF = 3.5  # metres from the middle of a road to its edge
EDGE = HALF - 0.9  # from the middle to the middle of a car whose wheel is on the edge
LINE = 0.25  # metres: width of a marking
SHARPEST = 14.0  # metres: radius of the sharpest bend
WAVES = (2, 3, 4, 5, 6)  # bends that a road has on its way round
CELLS = 2048  # directions in which a road is kept
LAPS = 3  # of an episode
MOST_STEPS = 2500
ROADS, LOOKS = 15, 12  # numbers that a road with its start, and its colours are drawn from
LANDS = ((70, 120, 50), (190, 170, 120), (225, 228, 235), (110, 85, 60))  # grass, sand, snow, earth
CPU = torch.device("cpu")


class Paint(NamedTuple):
    """The colours of N roads, grey levels; which markings they have, 0 or 1."""

    land: Float[Tensor, "N 3"]
    road: Float[Tensor, "N 3"]
    sky: Float[Tensor, "N 3"]
    line: Float[Tensor, "N 3"]
    rough: Float[Tensor, "N"]  # standard deviation of the ground's speckles
    edges: Float[Tensor, "N"]
    middle: Float[Tensor, "N"]


def painted(u: Float[Tensor, "N L"]) -> Paint:
    """The colours that LOOKS uniform numbers stand for. A road is at least a little unlike its land."""
    lands = torch.tensor(LANDS, dtype=u.dtype, device=u.device)
    land = lands[(len(LANDS) * u[:, 0]).long().clamp(max=len(LANDS) - 1)] * (0.8 + 0.4 * u[:, 1:4])
    road = (50 + 130 * u[:, 4:5]) * (0.94 + 0.12 * u[:, 5:8])
    alike = (road - land).abs().amax(1, keepdim=True) < 60
    sky = 120 + 120 * u[:, 8:9] + torch.tensor([0.0, 10.0, 30.0], device=u.device)
    yellow = torch.tensor([235.0, 200.0, 60.0], device=u.device)
    line = torch.where(u[:, 9:10] < 0.7, torch.full_like(yellow, 235.0), yellow)
    kind = u[:, 11]  # a quarter has none, a quarter edges, a quarter the middle, a quarter both
    return Paint(land, torch.where(alike, 0.5 * road, road), sky, line, 3 + 12 * u[:, 10],
                 ((kind >= 0.25) & (kind < 0.5) | (kind >= 0.75)).float(), (kind >= 0.5).float())  # fmt: skip


def outline(u: Float[Tensor, "L"]) -> tuple[Float[Tensor, "C 3"], Float[Tensor, "C"]]:
    """A closed road round the origin in CELLS + 1 directions, counter-clockwise: the distance to its middle, the cosine
    of its angle to a circle, metres along it so far; and that angle, positive outwards. Its waves are as high as the
    sharpest bend allows."""
    waves, angle = torch.tensor(WAVES, dtype=u.dtype), torch.arange(CELLS + 1) * (2 * math.pi / CELLS)
    radius, size = 35 + 20 * u[0], (u[1:6] - 0.5) / waves
    turn = waves[:, None] * angle + 2 * math.pi * u[6:11, None]
    bump = (size[:, None] * turn.cos()).sum(0)
    slope = -((size * waves)[:, None] * turn.sin()).sum(0)
    bend = -((size * waves * waves)[:, None] * turn.cos()).sum(0)
    high = torch.arange(20, -1, -1, dtype=u.dtype)[:, None] / 20  # shares to try, the highest first
    r, d, b = 1 + high * bump[::4], high * slope[::4], high * bend[::4]
    curved = (r.square() + 2 * d.square() - r * b).abs() / (r.square() + d.square()) ** 1.5 / radius
    fits = (curved.amax(1) <= 1 / SHARPEST) & ((d / r).abs().amax(1) <= 0.7) & (r.amin(1) > 0.3)
    share = high[int(fits.int().argmax()), 0]  # the last, a circle, always fits
    r, d = radius * (1 + share * bump), radius * share * slope
    speed = torch.hypot(r, d)
    steps = (speed[1:] + speed[:-1]) * (math.pi / CELLS)
    along = torch.cat([torch.zeros(1), steps.cumsum(0)])
    return torch.stack([r, r / speed, along], 1), torch.atan2(d, r)


class Road:
    """`count` cars. Each drives round and round its own road at a steady 5 m/s, five pictures a second; half of the
    roads turn the other way. An episode begins near the middle; it has ended when a wheel leaves the road, and is cut
    after LAPS laps. What it is follows from (seed, slot, episode) alone: road, colours, light.

    observation: N 3 H W uint8. action: N 1, from -1 (full left) to 1 (full right). reward: metres along the middle over
    metres driven, minus the distance from the middle over the largest one: 1 a step at best. `dusk`: darker than ever
    by day. Distances from the middle are right to a few centimetres on the road.
    """

    reproducible = True  # its state is exact

    def __init__(self, count: int, seed: int, *, height: int = 24, width: int = 48, dusk: bool = False,
                 device: torch.device = CPU) -> None:  # fmt: skip
        assert count >= 1, f"a car or more, not {count}"
        self.count, self.seed, self.dusk, self.device = count, seed, dusk, device
        self.size = height, width
        self.facts: Facts = {
            "kind": "world", "world": "road", "shape": [3, height, width], "discrete": False, "actions": 1,
            "low": [-1.0], "high": [1.0], "version": VERSION, "dtype": "uint8", "limit": MOST_STEPS,
            "rate_hz": RATE_HZ, "laps": LAPS,
            "data": {"name": "roads drawn for this run", "note": "drawn pictures: they tell nothing of real roads"},
        }  # fmt: skip
        self._view, self._large = camera(height, width, device), camera(96, 192, device, noise=0.0)
        self._slot = torch.arange(count, device=device)
        self.number = torch.full((count,), -1)  # of each slot's episode
        self._drawn = torch.zeros(count, ROADS + LOOKS + LIGHTS, device=device)
        self._table = torch.zeros(count, CELLS + 1, 3, device=device)
        self.x, self.y, self.heading, self.along, self.offset, self.travelled, self.last = (
            torch.zeros(count, device=device) for _ in range(7)
        )
        self.steps = torch.zeros(count, dtype=torch.long, device=device)
        self.observation: Tensor = torch.zeros(count, 3, height, width, dtype=torch.uint8, device=device)
        self._begin(range(count))
        self.observation = self._seen(self._view, self._slot)

    @property
    def laps(self) -> Float[Tensor, "N"]:
        """How often each car has gone round its road."""
        return self.travelled / self._table[:, -1, 2]

    def step(self, action: Tensor) -> Outcome:
        """Drive STEP metres. `last` keeps the laps of each slot's last episode that is over."""
        steering = action.to(self.device, torch.float32).reshape(self.count).clamp(-1, 1) * self._hand
        self.x, self.y, self.heading = driven(self.x, self.y, self.heading, steering)
        before, length = self.along, self._table[:, -1, 2]
        self._locate()
        progress = torch.remainder(self.along - before + length / 2, length) - length / 2
        self.travelled, self.steps = self.travelled + progress, self.steps + 1
        ended = self.offset.abs() > EDGE
        cut = ~ended & ((self.laps >= LAPS) | (self.steps >= MOST_STEPS))
        reward = progress / STEP - self.offset.abs() / EDGE
        final = self._seen(self._view, self._slot)
        self.observation = final
        over = (ended | cut).nonzero()[:, 0]
        if len(over):
            self.last = torch.where(ended | cut, self.laps, self.last)
            self._begin(over.tolist())
            self.observation = final.clone()
            self.observation[over] = self._seen(self._view, over)
        return Outcome(reward, ended, cut, final)

    def __len__(self) -> int:
        return self.count

    def expert(self) -> Float[Tensor, "N 1"]:
        """What one steers who knows where the middle of the road is: pure pursuit of a place on it AHEAD metres on."""
        angle = torch.atan2(self.y, self.x)
        radius, cosine, _ = self._at(angle).unbind(1)
        angle = angle + AHEAD * cosine / radius
        radius = self._at(angle)[:, 0]
        aim = toward(self.x, self.y, self.heading, radius * angle.cos(), radius * angle.sin())
        return (pursuit(*aim) * self._hand)[:, None]

    def fresh(self, count: int, seed: int, dusk: bool | None = None) -> Road:
        """Other roads in other light, for scoring and for play."""
        dusk = self.dusk if dusk is None else dusk
        return Road(count, seed, height=self.size[0], width=self.size[1], dusk=dusk, device=self.device)

    def picture(self) -> UInt8[Tensor, "H W 3"]:
        """What the first car sees, larger; in the corner its road from above, and the car on it."""
        first = self._slot[:1]
        seen = self._seen(self._large, first)[0].permute(1, 2, 0).contiguous()
        side, far = 40, 80.0
        line = (torch.arange(side, device=self.device) + 0.5) * (2 * far / side) - far
        offset = self._table_at(line.repeat(side)[None], -line.repeat_interleave(side)[None], first)[0]
        road = (offset.view(side, side).abs() < 0.9 * HALF).byte() * 190
        plan = road[..., None].expand(-1, -1, 3).clone()
        row, column = (int((far + v) * side / (2 * far)) for v in (-float(self.y[0]), float(self.x[0])))
        plan[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = plan.new_tensor([255, 60, 40])
        plan = plan if float(self._hand[0]) > 0 else plan.flip(1)  # as it is turned, so it is seen
        seen[4 : 4 + side, -side - 4 : -4] = plan
        return seen

    def state_dict(self) -> dict[str, Any]:
        """Which episodes they are, and where: the roads are drawn again. With the pictures, since a sine may differ in
        its last bit by the company in which it is computed."""
        return {name: getattr(self, name) for name in self._kept()}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        if state_dict["observation"].shape != self.observation.shape:
            raise ValueError(
                f"a world of {tuple(state_dict['observation'].shape)}, not {tuple(self.observation.shape)}"
            )
        self.number = state_dict["number"] - 1
        self._begin(range(self.count))
        for name in self._kept():
            setattr(self, name, state_dict[name].to(getattr(self, name).device, copy=True))

    def close(self) -> None:
        """Nothing is held."""

    @staticmethod
    def _kept() -> tuple[str, ...]:
        return ("number", "x", "y", "heading", "along", "offset", "travelled", "last", "steps", "observation")

    def _begin(self, slots: Any) -> None:
        """Begin the next episode of these slots. Each road is made alone, so that it is the same in any company."""
        for slot in slots:
            self.number[slot] += 1
            rng = keyed(self.seed, "road", slot, int(self.number[slot]))
            u = torch.rand(self._drawn.shape[1], generator=rng)
            table, tilt = outline(u)
            cell = min(CELLS - 1, int(CELLS * float(u[11])))
            angle, radius = cell * 2 * math.pi / CELLS, float(table[cell, 0]) + float(u[12]) - 0.5
            self._drawn[slot], self._table[slot] = u.to(self.device), table.to(self.device)
            self.x[slot], self.y[slot] = radius * math.cos(angle), radius * math.sin(angle)
            heading = angle + math.pi / 2 - float(tilt[cell]) + 0.1 * (float(u[13]) - 0.5)
            self.heading[slot] = math.remainder(heading, 2 * math.pi)
            self.travelled[slot], self.steps[slot], self.along[slot] = 0.0, 0, table[cell, 2]
            self.offset[slot] = (float(u[12]) - 0.5) * float(table[cell, 1])
        _, looks, lights = self._drawn.split([ROADS, LOOKS, LIGHTS], 1)
        self._paint, self._light = painted(looks), light(lights, self.dusk)
        self._hand = torch.where(self._drawn[:, 14] < 0.5, 1.0, -1.0)  # the mirror image of a road turns the other way

    def _at(self, angle: Float[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """The row of each road's table in a direction, between its neighbours by the line."""
        where = torch.remainder(angle, 2 * math.pi) * (CELLS / (2 * math.pi))
        cell = where.long().clamp(max=CELLS - 1)
        low, high = self._table[self._slot, cell], self._table[self._slot, cell + 1]
        return low + (where - cell)[:, None] * (high - low)

    def _locate(self) -> None:
        """Where the cars are: metres to the outer side of the middle (to first order), and along it."""
        radius, cosine, self.along = self._at(torch.atan2(self.y, self.x)).unbind(1)
        self.offset = (torch.hypot(self.x, self.y) - radius) * cosine

    def _table_at(self, x: Float[Tensor, "n P"], y: Float[Tensor, "n P"], which: Tensor) -> tuple[Tensor, Tensor]:
        """As `_locate` for many places by each of some roads, to the nearest cell: for pictures."""
        cell = (torch.atan2(y, x) * (CELLS / (2 * math.pi))).floor().long().remainder(CELLS)
        rows = self._table.view(-1, 3).index_select(0, (cell + which[:, None] * (CELLS + 1)).view(-1))
        radius, cosine, along = rows.view(*x.shape, 3).unbind(2)
        return (torch.hypot(x, y) - radius) * cosine, along

    def _seen(self, view: Camera, which: Tensor) -> UInt8[Tensor, "n 3 H W"]:
        """The pictures of some cars."""
        lit, paint = Light(*(f[which] for f in self._light)), Paint(*(f[which] for f in self._paint))
        cos, sin = self.heading[which, None].cos(), self.heading[which, None].sin()
        ahead, left = view.ahead.reshape(-1), view.left.reshape(-1) * self._hand[which, None]
        x, y = self.x[which, None] + ahead * cos - left * sin, self.y[which, None] + ahead * sin + left * cos
        offset, along = self._table_at(x, y, which)
        width = view.width.reshape(-1)
        part = ((HALF - offset.abs()) / width + 0.5).clamp_(0, 1)[:, None]  # of a pixel that is road
        ground = torch.lerp(paint.land[..., None], paint.road[..., None], part)  # n 3 P
        ground += (speckled(x, y) * paint.rough[:, None] / (1 + 4 * width))[:, None]
        edge = stripe((offset.abs() - (HALF - 0.3)).abs(), width) * paint.edges[:, None]
        dash = stripe(offset.abs(), width) * paint.middle[:, None] * (along.remainder(6) < 3)
        ground = torch.lerp(ground, paint.line[..., None], torch.maximum(edge, dash)[:, None])
        ground = ground * shade(x, y, lit)[:, None]
        height, wide = view.height, view.ahead.shape[1]
        sky = paint.sky[..., None, None].expand(-1, -1, view.horizon, wide)
        picture = torch.cat([sky, ground.view(len(which), 3, height - view.horizon, wide)], 2)
        return exposed(picture, lit, self.steps[which], view.noise)


def road(count: int, seed: int, device: torch.device = CPU) -> Road:
    """Roads with the usual camera, by day."""
    return Road(count, seed, device=device)


def stripe(distance: Float[Tensor, "n P"], width: Float[Tensor, "P"]) -> Float[Tensor, "n P"]:
    """How much of a pixel a marking covers whose middle is so far away."""
    return torch.minimum(((LINE / 2 - distance) / width + 0.5).clamp(0, 1), LINE / width)
