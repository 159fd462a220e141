"""Points that go down surfaces by several rules at once, and what is measured on their way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .formula import Formula, parse
from .surfaces import Ground, Spot, newton, slopes_of

AWAY = 20  # widths of the window from its middle: a point that gets so far is lost, and stays where it was
STILL = 0.05  # of the width: a point that went no farther has not left its flat spot
SOON = 0.2  # of all updates

Rule = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]
"""gradient "N 2", what it keeps (two of "N 2", zero at first), rate and share "N 1", updates so far -> step, kept."""


class Race(NamedTuple):
    """One point's way down."""

    method: str
    surface: str
    start: Spot | None  # none: drawn at random
    lr: float
    share: float = 0.0  # of the last step that is added to the next
    case: str = ""


class Ended(NamedTuple):
    """What came of a race."""

    steps: int | None  # updates until it was near a lowest minimum and stayed there
    value: float
    distance: float  # to the nearest lowest minimum
    turns: float  # percent of its steps that went back along x or y
    rises: float  # percent of its steps after which the value was higher
    end: str  # where: "global minimum", "local minimum", "saddle point", "lost" or "under way"
    way: str  # how: "convergence", "slow convergence", "zig-zag", "divergence", "flat spot" or "steep valley"


class Points(nn.Module):
    """A point for each race. Its weights are where the points are, and what their rules and the measuring keep; `path`
    has x, y and value of the races with a start of their own, `drawn`, at each step."""

    def __init__(self, grounds: Mapping[str, Ground], races: Sequence[Race], rules: Mapping[str, Rule], steps: int,
                 tolerance: float) -> None:  # fmt: skip
        super().__init__()
        order = list(rules)
        self.races = sorted(races, key=lambda race: order.index(race.method))  # so that a rule's rows lie together
        self.grounds, self.formulas = grounds, {name: parse(ground.formula) for name, ground in grounds.items()}
        self.rules = {method: rule for method, rule in rules.items() if any(r.method == method for r in races)}
        self.rows = {method: slice(first := [race.method for race in self.races].index(method),
                                   first + sum(race.method == method for race in races))
                     for method in self.rules}  # fmt: skip
        self.drawn = [n for n, race in enumerate(self.races) if race.start is not None]
        each, count = [grounds[race.surface] for race in self.races], len(self.races)
        most = max(1, *(len(ground.lowest) for ground in grounds.values()))
        given = {
            "lr": [[race.lr] for race in self.races], "share": [[race.share] for race in self.races],
            "width": [ground.width for ground in each],
            "middle": [[(g.window[0] + g.window[1]) / 2, (g.window[2] + g.window[3]) / 2] for g in each],
            "lowest": [[*g.lowest, *[(math.inf, math.inf)] * (most - len(g.lowest))] for g in each],
        }  # fmt: skip
        for name, values in given.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)
        names = list(grounds)
        self.register_buffer("on", torch.tensor([names.index(race.surface) for race in self.races]), persistent=False)
        curved = torch.tensor([race.method == "newton" for race in self.races])
        self.register_buffer("curved", curved, persistent=False)
        self.sloped: list[tuple[Formula, Tensor]] = []  # `where` of all but Newton's, found at the first step
        at = torch.tensor([race.start or (0.0, 0.0) for race in self.races], dtype=torch.float64)
        self.point, self.tolerance = nn.Parameter(at, requires_grad=False), tolerance
        nothing, never = torch.zeros(count, 2, dtype=torch.float64), torch.zeros(count, dtype=torch.long)
        path = torch.zeros(steps + 1, len(self.drawn), 3, dtype=torch.float64)
        kept = {
            "m": nothing, "v": nothing, "last": nothing, "value": nothing[:, 0], "path": path, "turns": never,
            "rises": never, "reached": never - 1, "moved": never, "lost": never > 0, "taken": never[0],
        }  # fmt: skip
        for name, tensor in kept.items():
            self.register_buffer(name, tensor.clone())

    @torch.no_grad()
    def begin(self, starts: Float[Tensor, "S 2"]) -> None:
        """Put the points whose races have no start at `starts`, in shares of their window, one after the other."""
        for k, n in enumerate(n for n, race in enumerate(self.races) if race.start is None):
            window = torch.tensor(self.grounds[self.races[n].surface].window, dtype=torch.float64)
            self.point[n] = window[::2] + (window[1::2] - window[::2]) * starts[k % len(starts)]
        self.path[0, :, :2] = self.point[self.drawn]

    def slope(self) -> tuple[Float[Tensor, "N"], Float[Tensor, "N 2"]]:
        """Value and gradient at each point; for Newton's method the gradient is divided by the Hessian. A point of
        Newton's that is level stays where it is, which spares its Hessian."""
        self.sloped = self.sloped or self.where(~self.curved)
        curved = self.curved & ((self.last != 0).any(1) | (self.taken == 0)) & ~self.lost
        value, slope, _ = slopes_of(self.sloped, self.point)
        at, gradient, hessian = slopes_of(self.where(curved), self.point, curved=True)
        assert hessian is not None
        slope[curved] = -newton(gradient[curved], hessian[curved])
        value = torch.where(curved, at, torch.where(self.curved, self.value, value))
        return value, slope

    def where(self, these: Tensor) -> list[tuple[Formula, Tensor]]:
        """Each surface's formula with the rows of `these`, "N", that are on it."""
        rows = [(formula, (these & (self.on == k)).nonzero()[:, 0]) for k, formula in enumerate(self.formulas.values())]
        return [(formula, row) for formula, row in rows if len(row)]

    @torch.no_grad()
    def step(self) -> None:
        """One update of each point that is not lost."""
        t, step = int(self.taken), torch.zeros_like(self.m)
        value, slope = self.slope()
        finite = value.isfinite() & slope.isfinite().all(1)
        slope = torch.where(finite[:, None], slope, 0.0)
        for method, rule in self.rules.items():
            rows = self.rows[method]
            kept = self.m[rows], self.v[rows], self.lr[rows], self.share[rows]
            step[rows], self.m[rows], self.v[rows] = rule(slope[rows], *kept, t)
        after = self.point + step
        near = (after - self.middle).abs().amax(1) <= AWAY * self.width  # false for what is no number
        self.lost |= ~(finite & near & self.m.isfinite().all(1) & self.v.isfinite().all(1))
        going = ~self.lost
        for kept in (self.m, self.v, step):
            kept[self.lost] = 0.0
        self.moved += going
        self.turns += going & (step * self.last < 0).any(1)
        self.rises += going & (value > self.value + 1e-12 * (1 + value.abs())) & (t > 0)
        self.point += step
        self.last.copy_(step)
        self.value.copy_(torch.where(finite, value, self.value))  # where the step began
        self.path[t, :, 2] = self.value[self.drawn]
        self.path[t + 1 :, :, :2] = self.point[self.drawn]
        inside = (self.gaps() <= self.tolerance * self.width) & going
        self.reached.copy_(torch.where(inside, torch.where(self.reached < 0, t + 1, self.reached), -1))
        self.taken += 1

    def ground(self, n: int) -> Ground:
        """The surface of a race."""
        return self.grounds[self.races[n].surface]

    @property
    def sampled(self) -> list[int]:
        """Steps at which `fall` has a value: all, or some 300 of them."""
        return list(range(0, int(self.taken), 1 + int(self.taken) // 300))

    def fall(self, n: int) -> list[float]:
        """The value above the lowest minimum at the `sampled` steps of a race that is drawn; the value itself where no
        minimum is known."""
        values, lowest = self.path[self.sampled, self.drawn.index(n), 2].cpu(), self.ground(n).lowest
        if not lowest:
            return values.tolist()
        goal = torch.tensor(lowest[:1], dtype=torch.float64)
        least = self.formulas[self.races[n].surface](goal[:, 0], goal[:, 1])
        return (values - least).clamp_min(1e-15).tolist()

    def trail(self, n: int) -> list[Spot]:
        """The way of a race that is drawn, without points so near to the last one that no map shows both."""
        way, least = self.path[: int(self.taken) + 1, self.drawn.index(n), :2].tolist(), self.ground(n).width / 400
        kept = way[:1]
        for spot in way[1:]:
            if math.dist(spot, kept[-1]) >= least:
                kept.append(spot)
        return [(x, y) for x, y in [*kept, way[-1]]]

    def left(self, n: int) -> float:
        """The percent of the distance to the minimum that a step leaves: the mean over the second half of those steps
        whose end float64 can tell from the minimum; of a distance that swings, the largest of 20. 0: too few steps."""
        goal = torch.tensor(self.ground(n).lowest[0], dtype=torch.float64)
        gaps = (self.path[: int(self.taken) + 1, self.drawn.index(n), :2].cpu() - goal).norm(dim=1)
        told = gaps > 1e-250 + 1e-12 * goal.norm()
        last = len(gaps) if bool(told.all()) else int((~told).int().argmax())
        half = last // 2
        if half < 20:
            return 0.0
        early, late = float(gaps[half - 20 : half].max()), float(gaps[last - 20 : last].max())
        return 100 * (late / early) ** (1 / (last - half))

    def gaps(self) -> Float[Tensor, "N"]:
        """The distance of each point to the nearest of the lowest minima of its surface; infinite if none is known."""
        return (self.point[:, None] - self.lowest).norm(dim=2).amin(1)

    @torch.no_grad()
    def ended(self) -> list[Ended]:
        """What came of each race so far."""
        value, gradient, hessian = slopes_of(self.where(self.on >= 0), self.point, curved=True)
        assert hessian is not None
        curvature = torch.linalg.eigvalsh(hessian.nan_to_num(posinf=0.0, neginf=0.0))
        level = gradient.norm(dim=1) <= 1e-6 * (1 + curvature.abs().amax(1))
        saddle = level & (curvature[:, 0] < -1e-6) & (curvature[:, 1] > 1e-6)
        gaps, moved, found = self.gaps().tolist(), self.moved.clamp_min(1).tolist(), []
        for n, race in enumerate(self.races):
            x, y = self.point[n].tolist()
            ground, steps = self.grounds[race.surface], int(self.reached[n])
            close = self.tolerance * ground.width
            local = any(math.dist((x, y), spot) <= close for spot in ground.local)
            turns, rises = (100 * int(count[n]) / moved[n] for count in (self.turns, self.rises))
            far = race.start is None or math.dist((x, y), race.start) > STILL * ground.width
            end = ("lost" if self.lost[n] else "global minimum" if steps >= 0 else "local minimum" if local
                   else "saddle point" if saddle[n] else "under way")  # fmt: skip
            way = ("divergence" if self.lost[n] else "steep valley" if rises >= 10 else "zig-zag" if turns >= 50
                   else "flat spot" if end == "under way" and not far
                   else "convergence" if 0 <= steps <= SOON * int(self.taken) or (steps < 0 and end != "under way")
                   else "slow convergence")  # fmt: skip
            found.append(Ended(steps if steps >= 0 else None, float(value[n]), gaps[n], turns, rises, end, way))
        return found
