"""Surfaces over x and y on which ways of descending differ: formulas with their minima, and what is steep on them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .formula import Formula, FormulaError, parse

Spot = tuple[float, float]
SAME = 1e-3  # of the window's width: minima nearer to each other are one


class Ground(NamedTuple):
    """A surface: a formula, and where to look at it. `lr` suits plain descent; `lowest` are the minima that no other is
    below, `local` the others."""

    formula: str
    start: Spot
    window: tuple[float, float, float, float]  # x from, x to, y from, y to
    lr: float
    lowest: tuple[Spot, ...] = ()
    local: tuple[Spot, ...] = ()
    about: str = ""

    @property
    def width(self) -> float:
        """The longer side of the window: the measure of lengths here."""
        return max(self.window[1] - self.window[0], self.window[3] - self.window[2])


# Rastrigin's minima lie where 2x + 20 pi sin(2 pi x) = 0, near whole numbers: these are the roots in its window.
ROOTS = (0.0, 0.9949586376523, -0.9949586376523, 1.9899122337085, -1.9899122337085, 2.9848557010395, -2.9848557010395)
SURFACES = {
    "bowl": Ground("(x^2 + y^2)/2", (-2.2, 1.4), (-3, 3, -2.4, 2.4), 0.1, ((0, 0),), (), "one curvature everywhere"),
    "ellipse": Ground("(x^2 + 20*y^2)/2", (-2.6, 0.8), (-3, 3, -1.8, 1.8), 0.05, ((0, 0),), (),
                       "a long valley: its curvatures are 1 and 20"),
    "plateau": Ground("1 - exp(-(x^2 + y^2)/2)", (2.4, 1.5), (-3.5, 3.5, -2.8, 2.8), 0.5, ((0, 0),), (),
                       "a hole in a plain: far from it the gradient vanishes"),
    "steep": Ground("x^2/8 + log(1 + 100*y^2)", (-2.4, 1.1), (-3, 3, -1.8, 1.8), 0.06, ((0, 0),), (),
                     "a steep valley: curvature 200 at its floor, gentle slopes beside it"),
    "rosenbrock": Ground("(1 - x)^2 + 100*(y - x^2)^2", (-1.2, 1), (-1.9, 1.9, -0.9, 2.1), 0.001, ((1, 1),), (),
                          "a bent valley; Rosenbrock (1960)"),
    "beale": Ground("(1.5 - x + x*y)^2 + (2.25 - x + x*y^2)^2 + (2.625 - x + x*y^3)^2", (0.6, 1.4),
                     (-0.8, 4.2, -1.6, 2.2), 0.01, ((3, 0.5),), (), "flat ground between steep corners; Beale (1958)"),
    "himmelblau": Ground("(x^2 + y - 11)^2 + (x + y^2 - 7)^2", (-0.5, 0.2), (-5.5, 5.5, -4.8, 4.8), 0.005,
                          ((3, 2), (-2.8051180870, 3.1313125183), (-3.7793102534, -3.2831859913),
                           (3.5844283403, -1.8481265270)), (), "four minima, all as low; Himmelblau (1972)"),
    "saddle": Ground("x^2/2 - y^2/2 + y^4/4", (-1.7, 0.001), (-2.2, 2.2, -1.8, 1.8), 0.1, ((0, 1), (0, -1)), (),
                      "a saddle at (0, 0) between two minima"),
    "styblinski": Ground("(x^4 - 16*x^2 + 5*x + y^4 - 16*y^2 + 5*y)/2", (-0.8, 4.2), (-5, 5, -5, 5), 0.01,
                          ((-2.9035340276, -2.9035340276),),
                          ((2.7468027709, -2.9035340276), (-2.9035340276, 2.7468027709), (2.7468027709, 2.7468027709)),
                          "one global minimum and three local ones; Styblinski & Tang (1990)"),
    "rastrigin": Ground("20 + x^2 + y^2 - 10*cos(2*pi*x) - 10*cos(2*pi*y)", (1.7, -2.3), (-3.4, 3.4, -3.4, 3.4), 0.002,
                         ((0, 0),), tuple(itertools.product(ROOTS, ROOTS))[1:],
                         "a local minimum near each pair of whole numbers; Rastrigin (1974)"),
}  # fmt: skip


Slopes = tuple[Float[Tensor, "N"], Float[Tensor, "N 2"], Float[Tensor, "N 2 2"] | None]
"""Value, gradient and, where it was asked for, the Hessian."""


def slopes(formula: Formula, point: Float[Tensor, "N 2"], curved: bool = False) -> Slopes:
    """Of a formula at each point, by automatic differentiation; the Hessian if `curved`."""
    return slopes_of([(formula, torch.arange(len(point), device=point.device))], point, curved)


def slopes_of(formulas: Sequence[tuple[Formula, Tensor]], point: Float[Tensor, "N 2"], curved: bool = False) -> Slopes:
    """As `slopes`, each formula at the points of its rows; all in one pass backward. 0 in rows that none has."""
    with torch.inference_mode(False), torch.enable_grad():
        at = point.detach().clone().requires_grad_()
        value = torch.zeros(len(point), dtype=at.dtype, device=at.device)
        if formulas:
            x, y = at.unbind(1)
            found = [formula(x[rows], y[rows]) for formula, rows in formulas]
            value = value.index_copy(0, torch.cat([rows for _, rows in formulas]), torch.cat(found))
        gradient = _slope(value, at, curved)
        if not curved:
            return value.detach(), gradient, None
        rows = [_slope(gradient[:, d], at, True) for d in range(2)]
        return value.detach(), gradient.detach(), torch.stack(rows, 1).detach()


def _slope(value: Tensor, at: Tensor, again: bool) -> Tensor:
    if not value.requires_grad:  # a constant
        return torch.zeros_like(at)
    (gradient,) = torch.autograd.grad(value.sum(), at, create_graph=again, materialize_grads=True)
    return gradient


def newton(gradient: Float[Tensor, "N 2"], hessian: Float[Tensor, "N 2 2"]) -> Float[Tensor, "N 2"]:
    """The step to the point where the quadratic that agrees in value, gradient and Hessian is level: a minimum, a
    saddle or a maximum. Along a direction without curvature it does not move (pseudo-inverse); 0 where not finite."""
    good = gradient.isfinite().all(-1) & hessian.isfinite().all(-1).all(-1)
    safe = torch.where(good[:, None, None], hessian, torch.eye(2, dtype=hessian.dtype, device=hessian.device))
    step = -(torch.linalg.pinv(safe, hermitian=True) @ gradient.nan_to_num()[..., None])[..., 0]
    return torch.where(good[:, None], step, torch.zeros_like(step))


def mesh(window: Sequence[int | float], side: int) -> Float[Tensor, "N 2"]:
    """side x side points of the window, row by row, y upward."""
    x = torch.linspace(window[0], window[1], side, dtype=torch.float64)
    y = torch.linspace(window[2], window[3], side, dtype=torch.float64)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def heights(ground: Ground, side: int) -> np.ndarray:
    """The values of side x side points of the window, "R C", the first row at the bottom."""
    at = mesh(ground.window, side)
    return parse(ground.formula)(at[:, 0], at[:, 1]).view(side, side).numpy()


def curvatures(ground: Ground) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of the Hessian at the first of the lowest minima, which there must be."""
    at = torch.tensor(ground.lowest[:1], dtype=torch.float64, device="cpu")
    hessian = slopes(parse(ground.formula), at, curved=True)[2]
    assert hessian is not None
    low, high = torch.linalg.eigvalsh(hessian[0]).tolist()
    return max(low, 1e-9), max(high, 1e-9)


def minima(formula: Formula, window: tuple[float, float, float, float], side: int = 41) -> dict[str, Any]:
    """The minima inside the window, `lowest` and `local`, by Newton's method from a mesh of points; each is a level
    point whose Hessian has no negative eigenvalue. Those that lie too close together for the mesh are missed."""
    width = max(window[1] - window[0], window[3] - window[2])
    point = mesh(window, side)
    used = [name in formula.names for name in "xy"]
    point = torch.where(torch.tensor(used), point, torch.zeros_like(point))
    for _ in range(60):
        _, gradient, hessian = slopes(formula, point, curved=True)
        assert hessian is not None
        values, vectors = torch.linalg.eigh(hessian.nan_to_num(posinf=0.0, neginf=0.0))
        turned = (vectors.mT @ gradient.nan_to_num()[..., None])[..., 0]
        # Newton's step with the curvature's size and not its sign goes down everywhere, so minima are where it ends.
        step = -(vectors @ (turned / values.abs().clamp_min(1e-9))[..., None])[..., 0]
        length = step.norm(dim=1, keepdim=True)
        point = point + step * (0.1 * width / length.clamp_min(0.1 * width))
    value, gradient, hessian = slopes(formula, point, curved=True)
    assert hessian is not None
    low, high = torch.tensor(window[::2]), torch.tensor(window[1::2])
    scale = 1 + hessian.nan_to_num().abs().amax((1, 2))
    level = gradient.norm(dim=1) <= 1e-7 * width * scale
    level &= torch.linalg.eigvalsh(hessian.nan_to_num())[:, 0] >= -1e-9 * scale
    level &= ((point >= low) & (point <= high) | ~torch.tensor(used)).all(1) & value.isfinite()
    found: list[tuple[float, Spot]] = []
    for v, spot in sorted(zip(value[level].tolist(), map(tuple, point[level].tolist()), strict=True)):
        if all(max(abs(spot[0] - s[0]), abs(spot[1] - s[1])) > SAME * width for _, s in found):
            found.append((v, (spot[0], spot[1])))
    bound = found[0][0] + 1e-9 * (1 + abs(found[0][0])) if found else 0.0
    return {"lowest": [s for v, s in found if v <= bound], "local": [s for v, s in found if v > bound]}


def ground_of(text: str, start: Spot, window: tuple[float, float, float, float]) -> Ground:
    """The user's own surface; its rate is half of what the largest curvature of the window's points would bear.
    FormulaError: no formula, or one that has no value at the start."""
    formula = parse(text)
    if not formula.names:
        raise FormulaError("a formula in x or y", f"the number {text.strip()}")
    value, slope, _ = slopes(formula, torch.tensor([start], dtype=torch.float64))
    if not (value.isfinite().all() and slope.isfinite().all()):
        do = "Start elsewhere: --start 2 1"
        raise FormulaError(
            f"a formula with a value and a slope at ({start[0]:g}, {start[1]:g})", f"{float(value):g}", do
        )
    _, _, hessian = slopes(formula, mesh(window, 21), curved=True)
    assert hessian is not None
    most = torch.linalg.eigvalsh(hessian.nan_to_num(posinf=0.0, neginf=0.0)).abs().amax(1)
    lr = 1 / max(float(most.quantile(0.9)), 1e-3)
    found = minima(formula, window)
    return Ground(text, start, window, lr, tuple(found["lowest"]), tuple(found["local"]), "your own")
