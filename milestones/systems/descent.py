"""Gradient descent and its kin on surfaces that show where each goes fast, slowly, astray.

Paper       Cauchy (1847), Méthode générale pour la résolution des systèmes d'équations simultanées, Comptes rendus 25,
            536-538; Polyak (1964), Some methods of speeding up the convergence of iteration methods, USSR Computational
            Mathematics and Mathematical Physics 4(5), 1-17.
Idea        step against the gradient, and the value falls. A valley of condition number k makes that slow: at the best
            rate a share (k-1)/(k+1) of the distance is left after a step. With a share of the last step added it is
            (sqrt k - 1)/(sqrt k + 1). Later rules scale each coordinate, or the step's length.
Deviations  constant rates in place of Cauchy's search along the line; nine rules, up to Muon (2024).
Result      not measured yet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.run import Run
from ..core.score import Score, wilson
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import System
from ..data.tables import row_tensor
from ..media import Curve, Listing, Media, Row, Surface
from ..parts.formula import FormulaError, parse
from ..parts.race import Ended, Points, Race, Rule
from ..parts.surfaces import SURFACES, Ground, curvatures, ground_of, heights

MAP = 80  # values along a side of a map


class Knobs(Config):
    surface: Literal["all", "bowl", "ellipse", "plateau", "steep", "rosenbrock", "beale", "himmelblau", "saddle",
                     "styblinski", "rastrigin"] = Field(default="all", description="where to descend")  # fmt: skip
    method: Literal["all", "descent", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "rprop", "muon",
                    "newton"] = Field(default="all", description="the step rule")  # fmt: skip
    formula: str = Field(default="", max_length=300, description="a surface of your own in x and y: 'x^2 + 10*y^2'")
    start: tuple[float, ...] = Field(default=(), max_length=2, description="x and y of the start; none: the surface's")
    window: tuple[float, ...] = Field(default=(), max_length=4, description="x from, x to, y from, y to of the map")
    steps: int = Field(default=500, ge=1, le=20_000, description="updates of each point")
    lr: float | None = Field(default=None, gt=0, le=1e6, description="step size of each method; none: the surface's")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the last step (momentum, nesterov, muon)")
    best: bool = Field(default=False, description="rates that theory says are best for the curvature at the minimum")
    starts: int = Field(default=24, ge=7, le=1000, description="random starts in each window, beside the drawn one")
    tolerance: float = Field(default=0.01, gt=0, lt=1, description="distance to a minimum that counts, of the width")


# Each rule: gradient g, what it keeps (m and v, zero at first), rate lr, share mu, updates so far t -> step, m, v.


def descent(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    return -lr * g, m, v


def momentum(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    m = mu * m + g  # Polyak's heavy ball
    return -lr * m, m, v


def nesterov(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    m = mu * m + g  # Nesterov 1983: the gradient from where the ball is about to be
    return -lr * (g + mu * m), m, v


def adagrad(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    v = v + g * g  # Duchi, Hazan & Singer 2011: coordinates that were steep take small steps
    return -lr * g / (v.sqrt() + 1e-10), m, v


def rmsprop(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    v = 0.9 * v + 0.1 * g * g  # Hinton 2012: the same, and the past is forgotten
    return -lr * g / (v.sqrt() + 1e-8), m, v


def adam(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g  # Kingma & Ba 2015
    return -lr * (m / (1 - 0.9 ** (t + 1))) / ((v / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8), m, v


def rprop(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    same, v = (
        (g * m).sign(),
        v if t else lr.expand_as(v),
    )  # Riedmiller & Braun 1993: m: last gradient, v: steps' lengths
    v = torch.where(same > 0, 1.2 * v, torch.where(same < 0, 0.5 * v, v)).clamp(1e-6, 50)
    g = torch.where(same < 0, 0.0, g)  # after a turn it waits for a step
    return -v * g.sign(), g, v


def muon(g: Tensor, m: Tensor, v: Tensor, lr: Tensor, mu: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    m = mu * m + g  # Jordan 2024. A point is a matrix of 1 x 2: the nearest orthogonal one is its direction
    ahead = g + mu * m
    return -lr * ahead / (ahead.norm(dim=1, keepdim=True) + 1e-12), m, v


# Newton's gradient comes divided by the Hessian (Points.slope): plain Newton, which is drawn to saddles, too.
RULES: dict[str, Rule] = {
    "descent": descent, "momentum": momentum, "nesterov": nesterov, "adagrad": adagrad, "rmsprop": rmsprop,
    "adam": adam, "rprop": rprop, "muon": muon, "newton": descent,
}  # fmt: skip
LENGTHS = {"adagrad": 0.1, "rmsprop": 0.01, "adam": 0.02, "rprop": 0.01, "muon": 0.004}  # rates, of the window's width
GROUPS = {"by the gradient": ("descent", "momentum", "nesterov", "newton"),
          "by its sign or scale": ("adagrad", "rmsprop", "adam", "rprop", "muon")}  # fmt: skip
SHORT = {"local minimum": "local", "saddle point": "saddle", "lost": "lost", "under way": None}  # in a table

# The lecture's cases. On a quadratic with curvatures from a to b plain descent converges at rates below 2/b: 0.1 here.
CASES = (
    Race("descent", "bowl", (-2.2, 1.4), 0.2, case="convergence"),
    Race("descent", "ellipse", (-2.6, 0.8), 0.01, case="slow convergence"),
    Race("descent", "ellipse", (-2.6, 0.8), 0.095, case="zig-zag"),
    Race("descent", "ellipse", (-2.6, 0.2), 0.105, case="divergence"),
    Race("descent", "plateau", (3.3, 2.6), 0.5, case="flat spot"),
    Race("descent", "steep", (-2.4, 1.1), 0.06, case="steep valley"),
    Race("descent", "styblinski", (4.4, 3.6), 0.01, case="local minimum"),
    Race("descent", "styblinski", (-0.6, -4.6), 0.01, case="global minimum"),
    Race("newton", "saddle", (-1.7, 0.4), 1.0, case="saddle point"),
)

# The rate, the share and the part of the distance that is left after a step, at best, for curvatures from a to b of a
# quadratic: Polyak (1964) for the first two, Lessard, Recht & Packard (2016) for the third.
BEST = {
    "descent": lambda a, b: (2 / (a + b), 0.0, (b - a) / (b + a)),
    "momentum": lambda a, b: (4 / (b**0.5 + a**0.5) ** 2, ((b**0.5 - a**0.5) / (b**0.5 + a**0.5)) ** 2,
                              (b**0.5 - a**0.5) / (b**0.5 + a**0.5)),
    "nesterov": lambda a, b: (4 / (3 * b + a), ((r := (3 * b / a + 1) ** 0.5) - 2) / (r + 2), 1 - 2 / r),
}  # fmt: skip


class Starts(NamedTuple):
    at: Tensor  # B 2: shares of a window's width and height


def told(read: Callable[..., Any], formula: str, *more: Any) -> Any:
    """What `read` makes of the user's formula. UserError: it is none."""
    try:
        return read(formula, *more)
    except FormulaError as problem:
        raise UserError(problem.expected, problem.got, problem.do, "descent") from None


def grounds_of(knobs: Knobs) -> dict[str, Ground]:
    """The surfaces to descend, by name; of a formula of the user's the minima are looked for."""
    if len(knobs.start) == 1 or len(knobs.window) not in (0, 4):
        raise UserError("two numbers for start, four for window", f"{[*knobs.start] or [*knobs.window]}",
                        "Say --start 2 1 --window -3 3 -2 2", "descent")  # fmt: skip
    if knobs.formula and knobs.surface != "all":
        raise UserError("a surface or a formula", f"{knobs.surface} and a formula", "Leave one of them out", "descent")
    far = 1.5 * max(1.0, *map(abs, knobs.start)) if knobs.start else 3.0
    window = knobs.window or (-far, far, -far, far)
    if not (window[0] < window[1] and window[2] < window[3]):
        raise UserError("a window from low to high", f"{[*window]}", "Say --window -3 3 -2 2", "descent")
    if not knobs.formula:
        grounds = {name: ground for name, ground in SURFACES.items() if knobs.surface in (name, "all")}
    else:
        grounds = {"formula": told(ground_of, knobs.formula, knobs.start or (far / 2, far / 3), window)}
    given = {"start": knobs.start, "window": knobs.window}
    return {name: ground._replace(**{k: v for k, v in given.items() if v}) for name, ground in grounds.items()}


def prepare(knobs: Knobs, place: Place) -> Data[Starts]:
    if place.choice.data:
        raise UserError(
            "no --data: this page descends surfaces", place.choice.data, "Say --formula 'x^2 + 10*y^2'", "descent"
        )
    grounds = grounds_of(knobs)
    where = next(iter(grounds)) if len(grounds) == 1 else f"{len(grounds)} surfaces"
    name = f"races from random starts on {where} (made for this run)"
    at = torch.rand(knobs.starts, 2, generator=keyed(place.seed, "starts"), dtype=torch.float64)
    held = [Held(Starts(at), place, name, split) for split in ("train", "valid", "test")]
    columns = [{"name": name, "kind": "number", "missing": 0, "median": 0.0} for name in "xy"]
    note = "nothing is learned here that carries over: all splits are the same starts"
    facts: Facts = {"kind": "table", "columns": columns, "grounds": {k: g._asdict() for k, g in grounds.items()},
                    "data": {"name": name, "train": len(at), "note": note, "closed": True}}  # fmt: skip
    return Data(held[0], held[1], held[2], facts)


def races(knobs: Knobs, grounds: dict[str, Ground], starts: Sequence[Any]) -> list[Race]:
    """A race of each method on each surface from each start: (), the surface's own; None, still to be drawn."""
    found = []
    for method in RULES if knobs.method == "all" else [knobs.method]:
        for name, ground in grounds.items():
            lr = 1.0 if method == "newton" else LENGTHS[method] * ground.width if method in LENGTHS else ground.lr
            lr, share = knobs.lr or lr, knobs.momentum
            if knobs.best and method in BEST and ground.lowest:
                lr, share, _ = BEST[method](*curvatures(ground))
            found += [Race(method, name, tuple(ground.start) if start == () else start, lr, share) for start in starts]
    return found


def build(knobs: Knobs, facts: Facts) -> Points:
    if knobs.formula:
        told(parse, knobs.formula)  # of a config.json that was edited
    grounds = {name: Ground(**ground) for name, ground in facts["grounds"].items()}
    drawn, random = races(knobs, grounds, [()]), races(knobs, grounds, [None] * knobs.starts)
    cases = CASES if knobs.surface == knobs.method == "all" and not knobs.formula else ()
    return Points(grounds, [*drawn, *cases, *random], RULES, knobs.steps, knobs.tolerance)


def train(knobs: Knobs, model: Points, data: Data[Starts], run: Run) -> None:
    model.begin(next(data.train.sweep(knobs.starts)).at)
    for _ in run.steps(knobs.steps, model=model):
        model.step()
        reached = 100 * (model.reached >= 0).double().mean()
        run.log(loss=model.value[model.drawn].median(), reached=reached, lost=100 * model.lost.double().mean())
    run.show(**shown(model, model.drawn))


def score(knobs: Knobs, model: Points, data: Data[Starts], place: Place) -> dict[str, Score]:
    races, ended, name, scores = model.races, model.ended(), data.train.name, {}
    for n in [n for n in model.drawn if knobs.best and races[n].method in BEST and model.ground(n).lowest]:
        left, theory = model.left(n), 100 * BEST[races[n].method](*curvatures(model.ground(n)))[2]
        where, note = (
            f"{races[n].surface}, the best constant rate",
            "of the distance to the minimum a step leaves so much",
        )
        scores[f"left_{races[n].method}" + f"_{races[n].surface}" * (len(model.grounds) > 1)] = Score(
            left, left, left, "%", "lower", where, "train", int(model.taken), theory, where, note)  # fmt: skip
    for way in ["", *(model.rules if len(model.rules) > 1 else ())]:
        rows = [n for n, race in enumerate(races) if race.start is None and way in ("", race.method)]
        right = sum(ended[n].end == "global minimum" for n in rows)
        scores[f"reached_{way}".rstrip("_")] = Score(
            100 * right / len(rows), *wilson(right, len(rows)), "%", "higher", name, "train", len(rows),
            note="" if way else "of all races, how many end near a lowest minimum")  # fmt: skip
    if cases := [n for n, race in enumerate(races) if race.case]:
        seen = sum(races[n].case in (ended[n].way, ended[n].end) for n in cases)
        note = "each case is named by what is measured on its path"
        scores["cases"] = Score(seen, seen, seen, "cases", "higher", "the named cases", "train", len(cases), note=note)
    return scores


def drawing(model: Points, ended: Sequence[Ended], rows: Sequence[int]) -> Surface:
    """The map of these races' surface with their paths, each told with its steps or where it ended."""
    ground = model.ground(rows[0])
    paths = {f"{model.races[n].method}: {f'{ended[n].steps} steps' if ended[n].steps else ended[n].end}": model.trail(n)
             for n in rows}  # fmt: skip
    marks = {"start": [model.trail(rows[0])[0]], "minimum": ground.lowest, "local minimum": ground.local}
    return Surface(heights(ground, MAP), ground.window, paths, {name: spots for name, spots in marks.items() if spots})


def shown(model: Points, drawn: Sequence[int]) -> dict[str, Media]:
    """How many steps each method took on each surface; for each surface two groups of methods on a map, and how the
    value falls; a table and a map of each case."""
    ended, races = model.ended(), model.races
    steps: dict[str, list[Any]] = {name: [name] for name in model.grounds}
    cases, shows = [], {}
    for n in drawn:
        if case := races[n].case:
            k, one = [one.case for one in CASES].index(case) + 1, ended[n]
            shows[f"case {k}, {case}"] = drawing(model, ended, [n])
            cases.append((k, [case, races[n].surface, races[n].lr, one.steps, one.value, f"{one.turns:.0f} %",
                              f"{one.rises:.0f} %", f"{one.way}; {one.end}"]))  # fmt: skip
        else:
            steps[races[n].surface].append(ended[n].steps or SHORT[ended[n].end])
    head = ["case", "surface", "lr", "steps", "value", "turns", "rises", "measured: how it went, where it ended"]
    for name, (k, (group, methods)) in itertools.product(model.grounds, enumerate(GROUPS.items(), 1)):
        if rows := [n for n in drawn if not races[n].case and races[n].surface == name and races[n].method in methods]:
            shows[f"surface {name}, {k} {group}"] = drawing(model, ended, rows)
            lines, log = {races[n].method: model.fall(n) for n in rows}, len(model.ground(rows[0]).lowest) > 0
            words = "value above the lowest" if log else "value"
            shows[f"surface {name}, {k + 2} value {group}"] = Curve(model.sampled, lines, "step", words, logy=log)
    table = {"cases": Listing(head, [row for _, row in sorted(cases)])} if cases else {}
    return {"steps to the global minimum": Listing(["surface", *model.rules], [*steps.values()]), **table, **shows}


@torch.inference_mode(False)  # each step takes gradients
def use(model: Points, facts: Facts, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """How many steps each method takes from each start; of a single surface also the maps."""
    starts = [(x, y) for x, y in row_tensor(facts, rows).double().tolist()]
    own = [race for race in model.races if race.start is not None and not race.case]
    races = [race._replace(start=start) for start in dict.fromkeys(starts) for race in own]
    steps = len(model.path) - 1
    points = Points(model.grounds, races, RULES, steps, model.tolerance)
    points.begin(torch.zeros(0, 2))
    for _ in range(steps):
        points.step()
    found = {start: [n for n in points.drawn if points.races[n].start == start] for start in starts}
    answers = [shown(points, found[start]) for start in starts]
    return answers if len(model.grounds) == 1 else [dict(list(answer.items())[:1]) for answer in answers]


system = System(
    Knobs, {"quick": Knobs(), "paper": Knobs(surface="ellipse", steps=1000, best=True)},
    prepare, build, train, score, use, takes=(Row,),
)  # fmt: skip
