"""Open fields with posts, seen by a car's camera: N cars together, each to reach the red posts one after another."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..core.source import Facts, keyed
from ..parts.camera import (
    AHEAD,
    EYE,
    LIGHTS,
    RATE_HZ,
    STEP,
    TIGHTEST,
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
)
from .road import CPU, LOOKS, Paint, painted
from .world import Outcome

VERSION = "1"  # of the rules: another one is another world
GOALS = 3  # of an episode, one after another
REACHED = 3.0  # metres from a post
NEAREST, FARTHEST = 12.0, 30.0  # metres: where the next goal may stand
SIDE = 40.0  # metres from the middle of a field to where goals may stand
MOST_STEPS = 300
TRIES = 24  # places that are drawn for a goal
OTHERS = 3  # posts of other colours
THICK, TALL = 0.8, 3.0  # metres: of a post
RED, COLOURS = (225.0, 35.0, 30.0), ((40.0, 70.0, 210.0), (235.0, 235.0, 235.0), (25.0, 25.0, 25.0))
NUMBERS = 3 + 2 * OTHERS  # that a start and the other posts are drawn from


class Field:
    """`count` cars at a steady 5 m/s, five pictures a second, each in a field of its own. An episode has ended, and
    well, at the last of GOALS red posts, and is cut after MOST_STEPS. Blue, white and black posts mean nothing, and can
    be driven through. The next goal stands anywhere, as often as not out of sight: then it must be looked for.

    observation: N 3 H W uint8. action: N 1, from -1 (full left) to 1 (full right). reward: metres nearer to the goal
    over metres driven, and 10 a goal.
    """

    reproducible = True  # its state is exact

    def __init__(self, count: int, seed: int, *, height: int = 24, width: int = 48, dusk: bool = False,
                 device: torch.device = CPU) -> None:  # fmt: skip
        assert count >= 1, f"a car or more, not {count}"
        self.count, self.seed, self.dusk, self.device = count, seed, dusk, device
        self.size = height, width
        self.facts: Facts = {
            "kind": "world", "world": "field", "shape": [3, height, width], "discrete": False, "actions": 1,
            "low": [-1.0], "high": [1.0], "version": VERSION, "dtype": "uint8", "limit": MOST_STEPS,
            "rate_hz": RATE_HZ, "goals": GOALS,
            "data": {"name": "fields drawn for this run", "note": "drawn pictures: they tell nothing of real fields"},
        }  # fmt: skip
        self._view, self._large = camera(height, width, device), camera(96, 192, device, noise=0.0)
        self._slot = torch.arange(count, device=device)
        self.number = torch.full((count,), -1)  # of each slot's episode
        self._drawn = torch.zeros(count, NUMBERS + LOOKS + LIGHTS, device=device)
        self.x, self.y, self.heading, self.goal_x, self.goal_y = (torch.zeros(count, device=device) for _ in range(5))
        self.steps, self.reached, self.last = (torch.zeros(count, dtype=torch.long, device=device) for _ in range(3))
        self.observation: Tensor = torch.zeros(count, 3, height, width, dtype=torch.uint8, device=device)
        self._begin(range(count))
        self.observation = self._seen(self._view, self._slot)

    def step(self, action: Tensor) -> Outcome:
        """Drive STEP metres. `last` keeps the goals that each slot's last episode reached."""
        steering = action.to(self.device, torch.float32).reshape(self.count).clamp(-1, 1)
        before = torch.hypot(self.goal_x - self.x, self.goal_y - self.y)
        self.x, self.y, self.heading = driven(self.x, self.y, self.heading, steering)
        after = torch.hypot(self.goal_x - self.x, self.goal_y - self.y)
        there = after < REACHED
        self.reached, self.steps = self.reached + there, self.steps + 1
        ended = self.reached >= GOALS
        cut = ~ended & (self.steps >= MOST_STEPS)
        reward = (before - after) / STEP + 10.0 * there
        self._place((there & ~ended).nonzero()[:, 0].tolist())
        final = self._seen(self._view, self._slot)
        self.observation = final
        over = (ended | cut).nonzero()[:, 0]
        if len(over):
            self.last = torch.where(ended | cut, self.reached, self.last)
            self._begin(over.tolist())
            self.observation = final.clone()
            self.observation[over] = self._seen(self._view, over)
        return Outcome(reward, ended, cut, final)

    def __len__(self) -> int:
        return self.count

    def expert(self) -> Float[Tensor, "N 1"]:
        """What one steers who knows where the goal is: toward it, when the camera sees it; else full left, to look for
        it, since from a picture without it nobody could tell more."""
        ahead, left = toward(self.x, self.y, self.heading, self.goal_x, self.goal_y)
        far = torch.hypot(ahead, left)
        steering = pursuit(AHEAD * ahead / far, AHEAD * left / far)
        return torch.where(ahead > left.abs(), steering, -1.0)[:, None]

    def fresh(self, count: int, seed: int, dusk: bool | None = None) -> Field:
        """Other fields in other light, for scoring and for play."""
        dusk = self.dusk if dusk is None else dusk
        return Field(count, seed, height=self.size[0], width=self.size[1], dusk=dusk, device=self.device)

    def picture(self) -> UInt8[Tensor, "H W 3"]:
        """What the first car sees, larger."""
        return self._seen(self._large, self._slot[:1])[0].permute(1, 2, 0).contiguous()

    def state_dict(self) -> dict[str, Any]:
        """Which episodes they are, and where; with the pictures, as those of a road."""
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
        return ("number", "x", "y", "heading", "goal_x", "goal_y", "steps", "reached", "last", "observation")

    def _begin(self, slots: Any) -> None:
        """Begin the next episode of these slots."""
        for slot in slots:
            self.number[slot] += 1
            rng = keyed(self.seed, "field", slot, int(self.number[slot]))
            u = torch.rand(self._drawn.shape[1], generator=rng)
            self._drawn[slot] = u.to(self.device)
            self.x[slot], self.y[slot] = (0.5 * SIDE * (2 * float(v) - 1) for v in u[:2])
            self.heading[slot] = math.pi * (2 * float(u[2]) - 1)
            self.steps[slot], self.reached[slot] = 0, 0
        self._place(slots)
        posts, looks, lights = self._drawn.split([NUMBERS, LOOKS, LIGHTS], 1)
        self._paint, self._light = painted(looks), light(lights, self.dusk)
        self._others = SIDE * (2 * posts[:, 3:].view(-1, OTHERS, 2) - 1)

    def _place(self, slots: Any) -> None:
        """Put up the next goal of these slots: the first drawn place in the field that a car which looks for it to its
        left cannot circle for ever."""
        for slot in slots:
            rng = keyed(self.seed, "goal", slot, int(self.number[slot]), int(self.reached[slot]))
            u = torch.rand(TRIES, 2, generator=rng).tolist()
            x, y, heading = float(self.x[slot]), float(self.y[slot]), float(self.heading[slot])
            centre = x - TIGHTEST * math.sin(heading), y + TIGHTEST * math.cos(heading)
            places = [(SIDE * (2 * a - 1), SIDE * (2 * b - 1)) for a, b in u]
            right = [p for p in places if NEAREST <= math.dist(p, (x, y)) <= FARTHEST and math.dist(p, centre) > 12]
            ahead = x + 20 * math.cos(heading), y + 20 * math.sin(heading)
            self.goal_x[slot], self.goal_y[slot] = right[0] if right else ahead

    def _seen(self, view: Camera, which: Tensor) -> UInt8[Tensor, "n 3 H W"]:
        """The pictures of some cars."""
        lit, paint = Light(*(f[which] for f in self._light)), Paint(*(f[which] for f in self._paint))
        cos, sin = self.heading[which, None].cos(), self.heading[which, None].sin()
        ahead, left, width = (field.reshape(-1) for field in (view.ahead, view.left, view.width))
        x, y = self.x[which, None] + ahead * cos - left * sin, self.y[which, None] + ahead * sin + left * cos
        rough = (speckled(x, y) * paint.rough[:, None] / (1 + 4 * width))[:, None]
        ground = (paint.land[..., None] + rough) * shade(x, y, lit)[:, None]
        n, height, wide = len(which), view.height, view.ahead.shape[1]
        sky = paint.sky[..., None, None].expand(-1, -1, view.horizon, wide)
        picture = torch.cat([sky, ground.view(n, 3, height - view.horizon, wide)], 2)
        return exposed(self._posted(picture, view, which), lit, self.steps[which], view.noise)

    def _posted(self, picture: Float[Tensor, "n 3 H W"], view: Camera, which: Tensor) -> Float[Tensor, "n 3 H W"]:
        """The picture with its posts, the farthest first."""
        place = torch.cat([torch.stack([self.goal_x, self.goal_y], 1)[which, None], self._others[which]], 1)  # n P 2
        here = (field[which, None] for field in (self.x, self.y, self.heading))
        ahead, left = toward(*here, place[..., 0], place[..., 1])
        colours = torch.tensor((RED, *COLOURS), device=self.device)
        order = ahead.argsort(dim=1, descending=True, stable=True)
        ahead, left = ahead.gather(1, order), left.gather(1, order)
        column = torch.arange(picture.shape[3], device=self.device) + 0.5
        row = torch.arange(picture.shape[2], device=self.device) + 0.5
        for k in range(order.shape[1]):
            near, side = ahead[:, k, None].clamp(min=0.5), left[:, k, None]
            half = view.focus * THICK / 2 / near
            middle = picture.shape[3] / 2 - view.focus * side / near
            foot = view.horizon + view.fall / near
            top = view.horizon + view.fall * (1 - TALL / EYE) / near
            across = (half - (column - middle).abs() + 0.5).clamp(0, 1) * (2 * half).clamp(max=1)
            upright = (row - top + 0.5).clamp(0, 1) * (foot - row + 0.5).clamp(0, 1)
            part = (upright[:, :, None] * across[:, None, :])[:, None] * (ahead[:, k] > 0.5)[:, None, None, None]
            picture = torch.lerp(picture, colours[order[:, k]][:, :, None, None], part)
        return picture


def field(count: int, seed: int, device: torch.device = CPU) -> Field:
    """Fields with the usual camera, by day."""
    return Field(count, seed, device=device)
