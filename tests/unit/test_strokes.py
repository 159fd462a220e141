"""Strokes as points, the prior of how hands differ, the likelihood of ink under a program, and its picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.motor import Motor, shape, split
from milestones.parts.strokes import (
    Bend,
    Drawing,
    Ink,
    along,
    bent,
    centred,
    drawn,
    heading,
    laid_along,
    nats,
    shares,
    smoothed,
)


def cross(points: int = 24) -> Drawing:
    strokes = [np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, -1.0], [0.0, 1.0]])]
    point, stroke = laid_along(strokes, points)
    return Drawing(centred(torch.from_numpy(point)[None].float()), torch.from_numpy(stroke)[None])


def test_points_lie_evenly() -> None:
    path = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]])
    assert np.allclose(along(path, 4), [[0.5, 0], [1.5, 0], [2.5, 0], [3, 0.5]])
    assert np.allclose(along(np.array([[2.0, 5.0]]), 2), [[2, 5], [2, 5]])
    assert shares([path, path[:1], path[:2]], 10) == [5, 1, 4]
    line = np.stack([np.arange(20.0), 2 * np.arange(20.0)], 1)
    assert np.allclose(smoothed(line), line)


def test_size_and_place_do_not_count() -> None:
    drawing = cross()
    assert torch.allclose(centred(7 * drawing.point + 3), drawing.point, atol=1e-5)
    assert float(drawing.point.square().sum(-1).mean()) == pytest.approx(1, abs=1e-5)


def test_headings_tell_across_from_along_but_not_back_from_forth() -> None:
    drawing = cross()
    found = heading(drawing.point, drawing.stroke)[0]
    want = torch.where(drawing.stroke[0, :, None] == 0, torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0]))
    assert torch.allclose(found, want, atol=1e-5)
    back = Drawing(drawing.point.flip(1), drawing.stroke.flip(1))
    assert torch.allclose(heading(*back)[0].flip(0), found, atol=1e-5)


def test_the_density_is_the_gaussians() -> None:
    drawing, bend = cross(10), Bend()
    cov, change = bend(drawing), 0.1 * torch.randn(1, 10, 2, generator=keyed("change"))
    normal = torch.distributions.MultivariateNormal(torch.zeros(10), cov[0])
    want = -sum(float(normal.log_prob(change[0, :, k]).detach()) for k in (0, 1))
    assert float(nats(cov, change).detach()) == pytest.approx(want, rel=1e-4)


def test_the_prior_is_the_sum_of_its_parts() -> None:
    """Alone, each part is what its name says: all points shift; a stroke shifts; the rest is independent."""
    drawing, bend = cross(6), Bend()
    same = (drawing.stroke[0][:, None] == drawing.stroke[0]).float()
    with torch.no_grad():
        for part, want in ((0, torch.ones(6, 6)), (1, drawing.point[0] @ drawing.point[0].T), (3, same),
                           (5, torch.eye(6))):  # fmt: skip
            bend.log[:6] = -20.0
            bend.log[part] = math.log(0.5)
            assert torch.allclose(bend(drawing)[0], 0.25 * want, atol=1e-5)


def test_it_finds_an_affine_change_and_likes_its_own_ink_best() -> None:
    drawing, bend = cross(), Bend()
    turned = Drawing(centred(drawing.point @ torch.tensor([[0.95, 0.2], [-0.2, 1.05]])), drawing.stroke)
    ring = torch.linspace(0, 2 * math.pi, 25)[:-1]
    other = Drawing(centred(torch.stack([ring.cos(), ring.sin()], 1)[None]), torch.zeros(1, 24, dtype=torch.long))
    with torch.no_grad():
        cov = bend(drawing)
        same, moved = bent(cov, drawing, turned, Ink())
        far, _ = bent(cov, drawing, other, Ink())
        itself, still = bent(cov, drawing, drawing, Ink())
    assert float((moved - turned.point).norm(dim=-1).mean()) < 0.5 * float(
        (drawing.point - turned.point).norm(dim=-1).mean()
    )
    assert float((still - drawing.point).norm(dim=-1).max()) < 0.05
    assert float(itself) <= float(same) < float(far)


def test_pairs_together_are_as_pairs_alone() -> None:
    one, bend = cross(), Bend()
    both = Drawing(torch.cat([one.point, one.point.flip(2) * 0.9]), one.stroke.repeat(2, 1))
    with torch.no_grad():
        cov = bend(both)
        together = bent(cov, both, Drawing(*(field.flip(0) for field in both)), Ink())[0]
        alone = bent(cov[:1], one, Drawing(*(field[1:] for field in both)), Ink())[0]
    assert float(together[0]) == pytest.approx(float(alone), rel=1e-4)


def test_the_picture_is_the_chance_of_ink() -> None:
    """One point: a Gaussian; two at one place: 1 - (1 - p)^2; and it has a slope towards the point."""
    point = torch.zeros(1, 1, 2, requires_grad=True)
    page = drawn(point, 9, 1.0, 1.5)
    want = math.exp(-(1 + 4) / (2 * 1.5**2))
    assert float(page.detach()[0, 5, 6]) == pytest.approx(want, rel=1e-4)
    twice = drawn(torch.zeros(1, 2, 2), 9, 1.0, 1.5)
    assert float(twice[0, 5, 6]) == pytest.approx(1 - (1 - want) ** 2, rel=1e-4)
    page[0, 4, 6].backward()
    assert point.grad is not None and float(point.grad[0, 0, 0]) > 0 == float(point.grad[0, 0, 1])


def test_the_motor_learns_shapes_counts_and_joins() -> None:
    rng = keyed("motor")
    across, down = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    drawings = []
    for k in range(40):
        first = across + 0.02 * torch.randn(2, 2, generator=rng)
        drawings.append([first] if k % 4 == 0 else [first, down + first[0]])
    motor = Motor(2)
    found = motor.learn(drawings, rng)
    assert found[-1] > Motor(1).learn(drawings, rng)[-1] + 1, "two kinds say more than one"
    assert float(motor.count[1]) == pytest.approx(30.5 / 44) and float(motor.joined) == pytest.approx(31 / 32)
    assert motor.nats([across, down]) < motor.nats([across, 3 * down])
    assert motor.nats([across, down]) == pytest.approx(motor.nats([across.flip(0), down]), rel=1e-3)
    assert float(motor.weight.sum()) == pytest.approx(1, abs=1e-5)
    assert shape(down).view(-1, 2)[-1].tolist() == [0, 1]
    assert all(1 <= len(motor.draw(rng)) <= 8 for _ in range(20))


def test_strokes_come_apart_as_they_were() -> None:
    drawing = cross()
    one, other = split(drawing)[0]
    assert len(one) == len(other) == 12 and torch.equal(torch.cat([one, other]), drawing.point[0])
