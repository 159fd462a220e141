"""The smallest changes: exact distances of linear nets, an independent optimiser for projections, a fine grid for a
tiny net, and the digits. `test_bug_N` as in test_attack.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor
from unit.test_attack import FREE, drawn, linear, tiny

from milestones.parts.attack import Ball, misled
from milestones.parts.minimal import borders, carlini, closer, deepfool, distance, fab, onto

DUAL = {"inf": 1, "2": 2}


def exact(scores: Any, weight: Tensor, x: Tensor, target: Tensor, norm: str) -> Tensor:
    """The least |f| / ||w|| over the other classes of a linear net."""
    ahead = scores(x).gather(1, target[:, None]) - scores(x)
    pull = (weight[None] - weight[target][:, None]).norm(DUAL[norm], dim=2)
    return (ahead / pull).scatter(1, target[:, None], math.inf).amin(1)


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("method", [deepfool, fab])
def test_distance_of_a_linear_net_is_exact(method: Any, norm: Any) -> None:
    scores, weight = linear(5, 12)
    x = 2 * drawn(40, 12)
    target = scores(x).argmax(-1)
    found = method(scores, x, target, Ball(norm, 1.0, **FREE))
    assert bool(misled(scores, found, target).all())
    want = exact(scores, weight, x, target, norm)
    far = distance(found, x, norm)
    assert bool((far >= want * (1 - 1e-9)).all()), "nothing is nearer than the border"
    # Halving leaves 1 / 4096, and the border is crossed by 1e-5 of the scores; FAB keeps what lies within its overshoot
    # of 5 % and its step back of a tenth.
    assert torch.allclose(far, want, rtol=3e-4 if method is deepfool else 6e-3, atol=1e-4)


def test_carlini_is_near_the_exact_distance_of_a_linear_net() -> None:
    scores, weight = linear(5, 12)
    x = drawn(12, 12) / 4
    target = scores(x).argmax(-1)
    found = carlini(scores, x, target, Ball("2", 1.0, **FREE))
    want = exact(scores, weight, x, target, "2")
    far = distance(found, x, "2")
    assert bool((far >= want * (1 - 1e-9)).all())
    assert float((far / want).max()) < 1.1 and float((far / want).median()) < 1.02


@pytest.mark.parametrize("method", [deepfool, fab, carlini])
def test_nearest_of_a_tiny_net_against_a_grid(method: Any) -> None:
    net, x = tiny(), drawn(16, 2)
    target = net(x).argmax(-1)
    angle = torch.linspace(0, 2 * math.pi, 361, dtype=torch.double)[:-1]
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    radii = torch.linspace(0.01, 4, 400, dtype=torch.double)
    points = ring[None] * radii[:, None, None]  # radii, angles, 2
    want = torch.full((16,), math.inf, dtype=torch.double)
    for i in range(16):
        wrong = (net((x[i] + points).view(-1, 2)).argmax(-1) != target[i]).view(400, -1).any(1)
        want[i] = radii[int(wrong.int().argmax())] if bool(wrong.any()) else math.inf
    found = method(net, x, target, Ball("2", 1.0, **FREE))
    hit = misled(net, found, target)
    far = distance(found, x, "2")
    assert bool((far[hit] >= want[hit] - 0.02).all()), "a ring of the grid, and what lies between two angles"
    assert int(hit.sum()) >= 5, "the first two stop in local minima of so rough a net"
    assert float((far[hit] <= 1.05 * want[hit] + 0.02).double().mean()) >= 0.6


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_the_projection_against_an_independent_optimiser(norm: Any) -> None:
    rng = np.random.default_rng(0)
    for case in range(25):
        x, pull = rng.uniform(-1, 1, 6), rng.normal(size=6)
        if case % 3 == 0:
            x[:3], pull[5] = -1, 0  # at the edge; an entry that plays no part
        room_ = np.where(pull > 0, 1 - x, -1 - x) @ pull
        need = (0.6 if case % 5 else 1.5) * room_ * (1 if case % 2 else -1)
        found = onto(torch.from_numpy(x)[None], torch.from_numpy(pull)[None], torch.tensor([need]).double(),
                     Ball(norm, 1.0, -1.0, 1.0))[0].numpy()  # fmt: skip
        assert (np.abs(x + found) <= 1 + 1e-12).all()
        bounds = list(zip(-1 - x, 1 - x, strict=True))
        most = sum(abs(w) * ((1 - v) if w * np.sign(need) > 0 else (v + 1)) for w, v in zip(pull, x, strict=True))
        if most < abs(need):
            assert pull @ found * np.sign(need) == pytest.approx(most), "as far as it goes"
            continue
        assert pull @ found == pytest.approx(need, rel=1e-5)
        if norm == "inf":
            sides = np.vstack([np.hstack([np.eye(6), -np.ones((6, 1))]), np.hstack([-np.eye(6), -np.ones((6, 1))])])
            best = linprog([0] * 6 + [1], sides, np.zeros(12), np.array([[*pull, 0]]), [need], [*bounds, (0, None)])
            assert np.abs(found).max() == pytest.approx(best.fun, rel=1e-5)
        else:
            line = {"type": "eq", "fun": lambda d, w=pull, n=need: w @ d - n, "jac": lambda d, w=pull: w}
            best = minimize(
                lambda d: d @ d, np.zeros(6), jac=lambda d: 2 * d, bounds=bounds, tol=1e-12, constraints=line
            )
            assert best.success
            assert found @ found == pytest.approx(best.fun, rel=1e-4)


def test_the_projection_without_a_range_is_the_formula() -> None:
    x, pull, need = drawn(8, 5), drawn(8, 5, seed=2), drawn(8, seed=3)
    way = onto(x, pull, need, Ball("2", 1.0, **FREE))
    assert torch.allclose(way, pull * (need / pull.square().sum(1))[:, None])
    way = onto(x, pull, need, Ball("inf", 1.0, **FREE))
    assert torch.allclose(way, pull.sign() * (need / pull.abs().sum(1))[:, None])
    assert torch.allclose(
        onto(x, 1e-25 * pull, 1e-25 * need, Ball("2", 1.0, **FREE)), onto(x, pull, need, Ball("2", 1.0, **FREE))
    )
    assert bool((onto(x, 0 * pull, need, Ball("2", 1.0, **FREE)) == 0).all()), "a flat net pulls nowhere"


def test_borders_against_one_gradient_at_a_time() -> None:
    net, x = tiny(inputs=6, classes=4), drawn(9, 6)
    target = net(x).argmax(-1)
    rivals = torch.stack([torch.tensor([k for k in range(4) if k != t]) for t in target.tolist()])
    for most in (2, 9):
        gap, pulls = borders(net, x, target, rivals, most)
        for i in range(9):
            for r in range(3):
                u = x[i : i + 1].clone().requires_grad_()
                value = net(u)[0, rivals[i, r]] - net(u)[0, target[i]]
                assert float(gap[i, r]) == pytest.approx(-float(value.detach()))
                assert torch.allclose(pulls[r, i], torch.autograd.grad(value, u)[0][0])


def test_closer_is_on_the_border_and_still_misleads() -> None:
    scores, weight = linear(2, 4)
    x = drawn(10, 4)
    target = scores(x).argmax(-1)
    pull = weight[1 - target] - weight[target]
    far = x + 10 * pull
    found = closer(scores, x, far, target, 3)
    assert bool(misled(scores, found, target).all())
    ahead = (scores(x).gather(1, target[:, None])[:, 0] - scores(x).gather(1, 1 - target[:, None])[:, 0]) / pull.norm(
        dim=1
    )
    assert torch.allclose(distance(found, x, "2"), ahead, atol=10 * float(pull.norm(dim=1).max()) / 2**12)


@pytest.mark.parametrize("method", [deepfool, fab, carlini])
def test_neighbours_play_no_part(method: Any) -> None:
    """And bug 3: both libraries stop Carlini and Wagner's attack by the sum of the batch's losses, so that a picture's
    result depends on its neighbours."""
    net, x = tiny(inputs=6), drawn(12, 6)
    target, ball = net(x).argmax(-1), Ball("2", 0.3, -2.0, 2.0)
    x = x.clamp(-2, 2)
    more = {"searches": 3, "steps": 30} if method is carlini else {"steps": 20}
    together = method(net, x, target, ball, **more)
    for rows in ([4], [9, 2, 7]):
        assert torch.allclose(method(net, x[rows], target[rows], ball, **more), together[rows], atol=1e-7)


@pytest.mark.parametrize("shift", [-1000.0, -7.0, 1000.0])
def test_bug_1_scores_below_zero(shift: float) -> None:
    """torchattacks' Carlini-Wagner loss takes the largest of scores times a mask, which is 0 where all are negative."""
    net, x = tiny(inputs=6), drawn(12, 6)
    target, ball = net(x).argmax(-1), Ball("2", 1.0, **FREE)
    plain, moved = (carlini(one, x, target, ball, searches=3, steps=30) for one in (net, lambda u: net(u) + shift))
    assert bool(misled(net, plain, target).any())
    assert torch.allclose(plain, moved, atol=1e-5)


@pytest.mark.parametrize("end", [0.0, 255.0])
def test_bug_2_black_and_white_pixels_move(end: float) -> None:
    """In torchattacks a pixel at the end of the range becomes infinite under the inverse tanh and never moves."""

    def scores(x: Tensor) -> Tensor:
        lead = 60 - x[:, 0] if end == 0 else x[:, 0] - 195
        return torch.stack([lead, 0 * lead], 1)

    x = torch.full((3, 8), end)
    target = scores(x).argmax(-1)
    found = carlini(scores, x, target, Ball("2", 1.0, 0.0, 255.0), searches=5, steps=60, lr=0.1)
    assert bool(misled(scores, found, target).all())
    assert torch.allclose((found[:, 0] - x[:, 0]).abs(), torch.tensor(60.0), rtol=0.02)
    assert float((found[:, 1:] - x[:, 1:]).abs().max()) < 3
    assert float(found.min()) >= 0 and float(found.max()) <= 255


def test_bug_4_carlini_misleads_every_digit() -> None:
    """foolbox #332 and advertorch #101: the attack fails on MNIST."""
    from unit.test_attack_auto import digits

    from milestones.catalog import load
    from milestones.data import Labelled

    trained = load("lenet")
    x, y = digits(8)
    trained.model.eval().requires_grad_(False)
    probe = trained.system.probe(trained.model, Labelled(x, y))  # type: ignore[misc]
    right = ~misled(probe.scores, probe.input, y)
    found = carlini(probe.scores, probe.input, y, Ball("2", 1.0, 0.0, 255.0), searches=4, steps=40, lr=0.1)
    assert bool(misled(probe.scores, found, y).all())
    far = distance(found, probe.input, "2")[right] / 255
    assert float(far.min()) > 0.2 and float(far.max()) < 2.5


@pytest.mark.parametrize("method", [deepfool, fab, carlini])
def test_bug_9_what_comes_back_misleads_or_is_the_input(method: Any) -> None:
    """foolbox #243: an attack returned inputs that do not mislead as if they did."""
    scores, _ = linear(3, 4)
    x = drawn(30, 4).clamp(-1, 1)
    target = scores(x).argmax(-1)
    target[:4] = (target[:4] + 1) % 3  # wrong already
    blind = (torch.arange(30) >= 20)[:, None].double()  # there the scores are flat, and nothing is near

    def held(u: Tensor) -> Tensor:
        gate = (u[:, 4:] > 50).double()
        return scores(u[:, :4]) * (1 - gate) + gate * torch.tensor([1.0, 0.0, 0.0]).double()

    x = torch.cat([x, 99 * blind], 1)
    target = torch.where(blind[:, 0] > 0, 0, target)
    more = {"searches": 3, "steps": 30} if method is carlini else {"steps": 20}
    found = method(held, x, target, Ball("2", 1.0, -100.0, 100.0), **more)
    wrong, same = misled(held, found, target), (found == x).all(1)
    assert bool((wrong | same).all())
    assert bool(same[:4].all())
    assert bool((same & ~wrong).any()), "the case must hold examples that cannot be misled"
