"""AutoAttack's four on nets whose worst points are known; its losses against loops; what only Square can break.
`test_bug_N` as in test_attack.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from unit.test_attack import FREE, drawn, linear, tiny

from milestones.parts.attack import Ball, margin, misled, pgd
from milestones.parts.autoattack import (
    SQUARES,
    WRONG,
    apgd,
    apgd_targeted,
    autoattack,
    bump,
    ratio,
    square,
)  # fmt: skip
from milestones.parts.minimal import distance


def digits(count: int) -> tuple[Tensor, Tensor]:
    """The first embedded digits."""
    import milestones.data

    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        image, label = archive["image"][:count], archive["label"][:count]
    return torch.from_numpy(image.copy())[:, None], torch.from_numpy(label.astype(np.int64))


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_apgd_reaches_the_best_point_of_a_linear_net(norm: Any) -> None:
    scores, weight = linear(2, 12)
    x = 3 * drawn(30, 12)
    target = scores(x).argmax(-1)
    pull = weight[1 - target] - weight[target]
    way = pull.sign() if norm == "inf" else pull / pull.norm(dim=1, keepdim=True)
    ball = Ball(norm, 0.3, **FREE)
    found = apgd(scores, x, target, ball)
    best = margin(scores(x + 0.3 * way), target)
    stands = best < 0
    assert 5 < int(stands.sum()) < 30
    assert torch.allclose(margin(scores(found), target)[stands], best[stands], atol=2e-3)
    assert bool((misled(scores, found, target) == ~stands).all())
    assert float(distance(found, x, norm).max()) <= 0.3 + 1e-12


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_bug_5_against_a_grid_for_any_number_of_classes(classes: int, norm: Any) -> None:
    """torchattacks #188: its AutoAttack gives another figure, and the number of classes must be told it. Here every
    other class is a target, and with two or three there is a ratio still."""
    net, x, size = tiny(seed=classes, classes=classes), drawn(30, 2, seed=classes), 0.7
    target = net(x).argmax(-1)
    line = torch.linspace(-size, size, 121, dtype=torch.double)
    grid = torch.cartesian_prod(line, line)
    grid = grid[grid.norm(dim=1) <= size] if norm == "2" else grid
    reached = torch.stack([(net(one + grid).argmax(-1) != true).any() for one, true in zip(x, target, strict=True)])
    done = autoattack(net, x, target, Ball(norm, size, **FREE), most_queries=50)
    found = torch.tensor([bool(name) for name in done.broken_by])
    assert 4 < int(reached.sum()) < 30
    assert int((reached & ~found).sum()) <= 1
    assert int((found & ~reached).sum()) <= 1, "a sliver between the grid's points"
    assert bool((misled(net, done.adversarial, target) == found).all())
    assert float(distance(done.adversarial, x, norm).max()) <= size * (1 + 1e-5)


def test_ratio_against_a_loop_and_its_invariance() -> None:
    scores = drawn(40, 7)
    target, aim = torch.arange(40) % 7, (torch.arange(40) + 3) % 7
    pair = torch.stack([target, aim], 1)
    want = []
    for row, t, a in zip(scores.tolist(), target.tolist(), aim.tolist(), strict=True):
        top = sorted(row, reverse=True)
        want.append((row[a] - row[t]) / (top[0] - (top[2] + top[3]) / 2))
    assert ratio(scores, pair).tolist() == pytest.approx(want, rel=1e-6)
    assert torch.allclose(ratio(1000 * scores - 77, pair), ratio(scores, pair), atol=1e-6)
    assert bool(ratio(scores[:, :3], pair[:1].clamp(max=2).expand(40, 2)).isfinite().all())


def test_apgd_is_more_than_pgd_at_equal_steps() -> None:
    """What the paper claims, on a net where both leave something; all examples at the loss they reach."""
    net, x = tiny(seed=3, inputs=20, width=32), drawn(150, 20)
    target, ball = net(x).argmax(-1), Ball("inf", 0.12, **FREE)
    counts = [int(misled(net, found, target).sum()) for found in
              (apgd(net, x, target, ball, steps=50), pgd(net, x, target, ball, steps=50, step=0.12))]  # fmt: skip
    assert 20 < counts[1] < 150
    assert counts[0] >= counts[1]


def test_targets_find_what_the_cross_entropy_does_not() -> None:
    net, x = tiny(seed=5, inputs=8, classes=6, width=32), drawn(150, 8)
    target, ball = net(x).argmax(-1), Ball("inf", 0.25, **FREE)
    one = misled(net, apgd(net, x, target, ball), target)
    many = misled(net, apgd_targeted(net, x, target, ball), target)
    assert int(many.sum()) >= int(one.sum()) > 30
    assert int((one & ~many).sum()) <= 2


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_square_raises_the_margin_within_the_ball_by_scores_alone(norm: Any) -> None:
    weight = drawn(4, 2 * 9 * 9).float()
    asked = [0]

    def scores(x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        asked[0] += 1
        return (x.flatten(1) / 20) @ weight.T

    x = (drawn(25, 2, 9, 9) * 50 + 128).clamp(0, 255).float()
    target = scores(x).argmax(-1) if not torch.is_grad_enabled() else (x.flatten(1) @ weight.T).argmax(-1)
    size = 8.0 if norm == "inf" else 40.0
    ball = Ball(norm, size, 0.0, 255.0)
    margins = []
    for queries in (1, 150):
        found = square(scores, x, target, ball, queries=queries)
        assert float(distance(found, x, norm).max()) <= size * (1 + 1e-5)
        assert float(found.min()) >= 0 and float(found.max()) <= 255
        with torch.no_grad():
            margins.append(margin(scores(found), target))
    assert bool((margins[1] >= margins[0]).all())
    assert float((margins[1] - margins[0]).mean()) > 0.3
    assert asked[0] > 150


def test_square_takes_what_is_no_picture() -> None:
    net, x = tiny(inputs=8), drawn(40, 8)
    target, ball = net(x).argmax(-1), Ball("inf", 0.5, **FREE)
    found = square(net, x, target, ball, queries=100)
    assert int(misled(net, found, target).sum()) > 5
    assert float(distance(found, x, "inf").max()) <= 0.5 + 1e-12
    assert bool((square(net, x, target, ball._replace(norm="2"), queries=5) == x).all())


def test_the_first_pictures_of_square() -> None:
    x = torch.full((2, 1, 10, 10), 100.0)
    flat = lambda u: torch.stack([torch.ones(len(u)), torch.zeros(len(u))], 1)  # noqa: E731
    found = square(flat, x, torch.zeros(2, dtype=torch.long), Ball("inf", 10.0, 0.0, 255.0), queries=0) - x
    assert bool((found.abs() == 10).all()) and bool((found == found[:, :, :1]).all()), "upright stripes"
    assert len(found[0, 0, 0].unique()) == 2
    found = square(flat, x, torch.zeros(2, dtype=torch.long), Ball("2", 10.0, 0.0, 255.0), queries=0) - x
    assert found.flatten(1).norm(dim=1).tolist() == pytest.approx([10, 10], rel=1e-5)
    assert [end for end, _ in SQUARES] == [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]


def test_a_hill_has_length_1_and_two_signs() -> None:
    for side in (1, 3, 5, 9):
        hill = bump(side, torch.Generator().manual_seed(side))
        assert hill.shape == (side, side)
        assert float(hill.norm()) == pytest.approx(1, rel=1e-5)
        if side > 2:
            assert float(hill.max()) > 0 > float(hill.min())


def test_the_order_and_what_breaks_what() -> None:
    """A net whose gradient is zero almost everywhere: only Square gets through, and says so."""
    weight = drawn(2, 36).float()

    def stairs(x: Tensor) -> Tensor:
        score = (x.flatten(1) / 255) @ weight.T
        return score.detach().mul(50).round() / 50 + 0 * score

    x = (drawn(12, 1, 6, 6) * 60 + 128).clamp(0, 255).float()
    target = stairs(x).argmax(-1)
    target[0] = 1 - target[0]
    told: list[tuple[str, int]] = []
    done = autoattack(
        stairs, x, target, Ball("inf", 60.0, 0.0, 255.0), most_queries=400, say=lambda *one: told.append(one)
    )
    assert [name for name, _ in told] == ["APGD-CE", "APGD-T", "FAB-T", "Square"]
    assert done.broken_by[0] == WRONG and bool((done.adversarial[0] == x[0]).all())
    assert done.broken_by.count("Square") >= 3
    left = [count for _, count in told]
    assert left == sorted(left, reverse=True)
    assert left[-1] == done.broken_by.count("")


def test_only_survivors_go_on() -> None:
    net, x = tiny(inputs=6), drawn(40, 6)
    target = net(x).argmax(-1)
    asked = [0]

    def counted(u: Tensor) -> Tensor:
        asked[0] += len(u)
        return net(u)

    done = autoattack(counted, x, target, Ball("inf", 5.0, **FREE), most_queries=20)
    assert set(done.broken_by) == {"APGD-CE"}
    assert asked[0] < 40 * 30


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_neighbours_play_no_part(norm: Any) -> None:
    net = tiny(inputs=16)
    scores = lambda u: net(u.flatten(1))  # noqa: E731
    x = drawn(10, 1, 4, 4)
    target, ball = scores(x).argmax(-1), Ball(norm, 0.15, -3.0, 3.0)
    together = autoattack(scores, x, target, ball, most_queries=12)
    assert 0 < together.broken_by.count("") < 10
    for rows in ([3], [8, 1, 5]):
        alone = autoattack(scores, x[rows], target[rows], ball, most_queries=12)
        assert alone.broken_by == [together.broken_by[i] for i in rows]
        assert torch.allclose(alone.adversarial, together.adversarial[rows], atol=1e-9)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_bug_8_a_ball_far_smaller_than_1e_minus_12_of_it(norm: Any) -> None:
    """adv-lib #7: a 1e-12 in the wrong place of APGD's start. A tiny ball is filled as a large one is."""
    scores, weight = linear(2, 6)
    x = torch.zeros(1, 6, dtype=torch.double)
    for size in (1e-9, 1e-3):
        ball = Ball(norm, size, **FREE)
        found = apgd(lambda u: scores(u) + torch.tensor([1.0, 0.0]).double(), x, torch.tensor([0]), ball)
        assert float(distance(found, x, norm)) == pytest.approx(size, rel=1e-6)
        pull = weight[1] - weight[0]
        best = pull.abs().sum() if norm == "inf" else pull.norm()
        assert float(found[0] @ pull) == pytest.approx(float(size * best), rel=1e-2)


def test_bug_6_square_does_not_touch_the_normalisation() -> None:
    """torchattacks #103: a function named normalize of Square replaced that of the input. Here scores are all there is,
    and are asked with legal raw values."""
    seen: list[tuple[float, float]] = []

    def scores(u: Tensor) -> Tensor:
        seen.append((float(u.detach().min()), float(u.detach().max())))
        return torch.stack([u.mean((1, 2, 3)) - 100, 0 * u[:, 0, 0, 0]], 1)

    x = torch.full((2, 1, 8, 8), 120.0)
    square(scores, x, torch.zeros(2, dtype=torch.long), Ball("inf", 10.0, 0.0, 255.0), queries=10)
    assert min(low for low, _ in seen) >= 110 and max(high for _, high in seen) <= 130
    assert math.isfinite(seen[0][0])
