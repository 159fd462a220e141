"""Attacks on nets whose worst points are known: linear ones in closed form, tiny ones by a fine grid.

Regressions are tests `test_bug_N`: N is the number that the notes on other libraries' bugs give them, from 1 (the
Carlini-Wagner loss of torchattacks) to 10 (robustness that was only hidden gradients).
"""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from milestones.parts import attack
from milestones.parts.attack import (
    Ball,
    fgsm,
    identity,
    length,
    margin,
    misled,
    normal,
    odds,
    patch,
    pgd,
    places,
    room,
    slope,
    uniform,
    universal,
    within,
    worn,
)  # fmt: skip

FREE = {"low": -math.inf, "high": math.inf}


def linear(classes: int, entries: int, seed: int = 0, scale: float = 1.0) -> tuple[Any, Tensor]:
    """Scores W x, and W."""
    weight = scale * torch.randn(classes, entries, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return (lambda x: x.flatten(1) @ weight.T), weight


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def tiny(seed: int = 0, inputs: int = 2, classes: int = 3, width: int = 16) -> nn.Module:
    """A net of rectified units in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                            nn.Linear(width, classes))  # fmt: skip
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 1.5 / math.sqrt(layer.in_features))
    return net.double().requires_grad_(False)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_two_classes_of_a_linear_net_in_closed_form(norm: Any) -> None:
    scores, weight = linear(2, 12)
    x = drawn(20, 12)
    target = scores(x).argmax(-1)
    pull = weight[1 - target] - weight[target]
    way = pull.sign() if norm == "inf" else pull / pull.norm(dim=1, keepdim=True)
    best = x + 0.7 * way
    ball = Ball(norm, 0.7, **FREE)
    assert torch.allclose(fgsm(scores, x, target, ball), best)
    found = pgd(scores, x, target, ball, steps=60, step=0.35, drop=False)
    assert torch.allclose(margin(scores(found), target), margin(scores(best), target), atol=1e-6)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_pgd_against_a_grid(norm: Any) -> None:
    """In two dimensions every point of the ball can be tried."""
    net, x, size = tiny(), drawn(60, 2), 0.8
    target = net(x).argmax(-1)
    line = torch.linspace(-size, size, 101, dtype=torch.double)
    grid = torch.cartesian_prod(line, line)
    grid = grid[grid.norm(dim=1) <= 1.02 * size] if norm == "2" else grid
    reached = torch.stack([(net(one + grid).argmax(-1) != true).any() for one, true in zip(x, target, strict=True)])
    found = misled(net, pgd(net, x, target, Ball(norm, size, **FREE), steps=40, restarts=10), target)
    assert 10 < int(reached.sum()) < 50, "the case must be able to fail"
    assert not bool((found & ~reached).any()), "what the grid cannot reach is not reached"
    assert int((reached & ~found).sum()) <= 0.1 * int(reached.sum()), "nine in ten"


def test_stays_in_the_ball_and_the_legal_range() -> None:
    net, x = tiny(inputs=8), drawn(30, 8).clamp(-1, 1)
    target = net(x).argmax(-1)
    for norm in ("inf", "2"):
        ball = Ball(norm, 0.4, -1.0, 1.0)  # type: ignore[arg-type]
        for found in (
            fgsm(net, x, target, ball),
            pgd(net, x, target, ball, restarts=2),
            pgd(net, x, target, ball, drop=False),
        ):
            change = found - x
            far = change.abs().amax(1) if norm == "inf" else change.norm(dim=1)
            assert float(far.max()) <= 0.4 + 1e-12
            assert float(found.abs().max()) <= 1
            assert float(far.max()) > 0.3


def test_dropped_examples_change_nothing_else() -> None:
    """With `drop` fewer gradients are asked for, and the same examples are misled."""
    net, x = tiny(inputs=6), drawn(80, 6)
    target = net(x).argmax(-1)
    asked = [0]

    def counted(u: Tensor) -> Tensor:
        asked[0] += len(u)
        return net(u)

    counts, results = [], []
    for drop in (True, False):
        asked[0] = 0
        results.append(misled(net, pgd(counted, x, target, Ball("inf", 0.4, **FREE), drop=drop), target))
        counts.append(asked[0])
    assert bool((results[0] == results[1]).all())
    assert counts[0] < 0.8 * counts[1]


def test_a_wrong_example_stays_as_it_is() -> None:
    net, x = tiny(inputs=6), drawn(10, 6)
    target = (net(x).argmax(-1) + 1) % 3
    assert bool((pgd(net, x, target, Ball("inf", 0.4, **FREE)) == x).all())


@pytest.mark.parametrize("attacked", [fgsm, pgd])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_neighbours_play_no_part(attacked: Any, norm: Any) -> None:
    net, x = tiny(inputs=6), drawn(12, 6)
    target, ball = net(x).argmax(-1), Ball(norm, 0.3, **FREE)
    together = attacked(net, x, target, ball)
    order = torch.tensor([7, 3, 11, 0])
    assert torch.allclose(attacked(net, x[order], target[order], ball), together[order], atol=1e-9)
    for i in (0, 5):
        assert torch.allclose(attacked(net, x[i : i + 1], target[i : i + 1], ball)[0], together[i], atol=1e-9)


@pytest.mark.parametrize("most", [1, 5, 64])
def test_chunks_play_no_part(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = tiny(inputs=6), drawn(30, 6)
    target, ball = net(x).argmax(-1), Ball("inf", 0.3, **FREE)
    want = pgd(net, x, target, ball)
    monkeypatch.setattr(attack, "room", lambda scores, input: most)
    assert torch.allclose(pgd(net, x, target, ball), want, atol=1e-9)


def test_room_is_by_what_an_example_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack, "MEMORY", 1 << 20)
    x = torch.zeros(8, 1000)
    small, large = (nn.Sequential(nn.Linear(1000, width), nn.Tanh(), nn.Linear(width, 2)) for width in (1000, 20_000))
    assert room(lambda u: large(u), x) < room(lambda u: small(u), x) <= attack.MOST
    assert room(small, x[:1]) == 1


def test_nothing_is_kept() -> None:
    """No tensor and no gradient stays after a call, also of one that raises; memory does not grow."""
    net, x = tiny(inputs=6), drawn(8, 6)
    net.requires_grad_(True)
    target, ball = net(x).argmax(-1), Ball("inf", 0.3, **FREE)

    def held() -> int:
        gc.collect()
        return sum(issubclass(type(one), Tensor) for one in gc.get_objects())

    pgd(net, x, target, ball, steps=2)
    before = held()
    for _ in range(200):
        pgd(net, x, target, ball, steps=2)
        with pytest.raises(ValueError, match="a gradient that is no number"):
            pgd(lambda u: net(u) * u.new_tensor(math.nan), x, target, ball, steps=2)
    assert held() == before
    assert all(weight.grad is None for weight in net.parameters())


def test_the_loss_is_that_of_the_cross_entropy_without_its_underflow() -> None:
    scores, target = drawn(50, 7), torch.arange(50) % 7
    chance = scores.softmax(-1).gather(1, target[:, None])[:, 0]
    assert torch.allclose(odds(scores, target), torch.log((1 - chance) / chance))
    rows = zip(scores.tolist(), target.tolist(), strict=True)
    assert margin(scores, target).tolist() == pytest.approx([max(r[:t] + r[t + 1 :]) - r[t] for r, t in rows])
    sure = torch.zeros(1, 3)
    net = lambda x: torch.stack([3000 * x[:, 0] + 3000, 3000 * x[:, 1], 3000 * x[:, 2]], 1)  # noqa: E731
    plain = torch.autograd.grad(
        nn.functional.cross_entropy(net(u := sure.clone().requires_grad_()), torch.tensor([0])), u
    )[0]
    assert float(plain.abs().max()) == 0, "the case that hides the gradient"
    assert float(slope(net, sure, torch.tensor([0]), odds, 8).gradient.abs().max()) > 100
    found = pgd(net, sure, torch.tensor([0]), Ball("inf", 0.6, **FREE))
    assert bool(misled(net, found, torch.tensor([0])))


def test_noise_is_even_keyed_and_normal() -> None:
    own = identity(drawn(200, 5))
    one = uniform(own, 3, 0, 500)
    assert float(one.min()) >= 0 and float(one.max()) < 1
    assert float(one.mean()) == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 1e5))
    assert float(one.var()) == pytest.approx(1 / 12, rel=0.02)
    counts = torch.histc(one, 20, 0, 1)
    assert float(((counts - 5000) ** 2 / 5000).sum()) < 45, "chi-squared, 19 degrees of freedom, 0.1 %"
    both = torch.corrcoef(torch.stack([one[:, 1:].flatten(), one[:, :-1].flatten()]))[0, 1]
    rows = torch.corrcoef(torch.stack([one[1:].flatten(), one[:-1].flatten()]))[0, 1]
    other = torch.corrcoef(torch.stack([one.flatten(), uniform(own, 4, 0, 500).flatten()]))[0, 1]
    assert max(map(abs, (float(both), float(rows), float(other)))) < 4 / math.sqrt(1e5)
    assert not bool((one == uniform(own, 3, 1, 500)).any(1).all())
    bell = normal(own, 3, 0, 500).double()
    assert float(bell.mean()) == pytest.approx(0, abs=4 / math.sqrt(1e5))
    assert float(bell.std()) == pytest.approx(1, rel=0.01)
    assert float((bell.abs() > 1.959964).double().mean()) == pytest.approx(0.05, abs=0.003)


def test_within_is_a_projection() -> None:
    x, origin = 3 * drawn(40, 9), drawn(40, 9, seed=2)
    round_ = within(x, origin, Ball("2", 1.5, **FREE))
    change = x - origin
    want = origin + change * (1.5 / change.norm(dim=1, keepdim=True)).clamp(max=1)
    assert torch.allclose(round_, want)
    assert bool((within(origin, origin, Ball("2", 1.5, **FREE)) == origin).all())
    assert torch.allclose(
        within(x, origin, Ball("inf", 0.5, -1, 1)),
        torch.minimum(torch.maximum(x, origin - 0.5), origin + 0.5).clamp(-1, 1),
    )


def test_universal_change_of_a_linear_net() -> None:
    """All examples of one class: the best change for each is the best for all."""
    weight = drawn(2, 10)
    scores = lambda x: x @ weight.T  # noqa: E731
    x = drawn(200, 10)
    x = x[scores(x).argmax(-1) == 0]
    target = torch.zeros(len(x), dtype=torch.long)
    ball = Ball("inf", 0.5, **FREE)
    change = universal(scores, x, target, ball)
    assert float(change.abs().max()) <= 0.5 + 1e-12
    best = misled(scores, x + 0.5 * (weight[1] - weight[0]).sign(), target)
    assert int(misled(scores, x + change, target).sum()) == int(best.sum()) > 10


def test_patch_is_worn_where_it_lies_and_misleads() -> None:
    x = torch.zeros(2, 3, 40, 60)
    sticker = torch.full((1, 3, 8, 8), 200.0)
    place = torch.tensor([[0.5, -0.5, 0.0, 1.0], [-0.5, 0.5, 0.7, 1.0]])
    seen = worn(x, sticker, 0.4, place)
    lit = seen[0, 0].nonzero().double()
    assert lit.mean(0).tolist() == pytest.approx([9.5, 44.5], abs=0.6), "rows and columns: from the middle in halves"
    assert len(lit) == pytest.approx(math.pi * 8**2, rel=0.06), "a circle of 0.4 of 40 pixels across"
    assert bool((seen[0, 0][seen[0, 0] > 0] == 200).all())
    scores = lambda u: torch.stack([u.mean((1, 2, 3)) - 60, (u[:, 0] - u[:, 1]).mean((1, 2))], 1)  # noqa: E731
    pictures = torch.full((30, 3, 40, 60), 100.0)
    made = patch(scores, pictures, 1, 0.0, 255.0, steps=40)
    assert float(made.min()) >= 0 and float(made.max()) <= 255
    assert float(made[:, 0].mean()) > 200 and float(made[:, 1].mean()) < 55, "red, not green"
    rng = torch.Generator().manual_seed(1)
    better = scores(worn(pictures, made, 0.4, places(30, 0.4, rng))) - scores(pictures)
    assert bool((better[:, 1] > better[:, 0]).all())


def test_an_input_without_a_gradient_is_refused() -> None:
    target, ball = torch.zeros(3, dtype=torch.long), Ball("inf", 1, 0, 255)
    with pytest.raises(ValueError, match=r"an input of torch\.uint8 has no gradient"):
        slope(lambda x: x.float(), torch.zeros(3, 2, dtype=torch.uint8), target, odds, 8)
    with pytest.raises(ValueError, match="the scores cannot be differentiated"):
        fgsm(lambda x: x.detach(), torch.zeros(3, 2), target, ball)
    with pytest.raises(ValueError, match="the scores cannot be differentiated"):
        fgsm(lambda x: torch.ones(len(x), 2, requires_grad=True), torch.zeros(3, 2), target, ball)
    with pytest.raises(ValueError, match="a gradient that is no number"):
        pgd(lambda x: x.sqrt(), torch.zeros(3, 2), target, ball)


def test_bug_6_a_ball_of_size_0_leaves_the_accuracy() -> None:
    """torchattacks #124: PGD with eps 0 gave another accuracy than none. And #136: a value just outside the range."""
    net, x = tiny(inputs=6), drawn(50, 6)
    target = torch.arange(50) % 3
    for norm in ("inf", "2"):
        found = pgd(net, x, target, Ball(norm, 0.0, **FREE), drop=False, restarts=2)  # type: ignore[arg-type]
        assert torch.allclose(found, x)
        assert bool((misled(net, found, target) == misled(net, x, target)).all())
    x = torch.full((4, 6), -2.98e-8).double()
    assert float(pgd(net, x, net(x).argmax(-1), Ball("inf", 0.1, 0.0, 1.0)).min()) >= -2.98e-8


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12])
def test_bug_7_steps_in_the_2_norm_have_the_length_of_the_step(scale: float) -> None:
    """cleverhans #1175: gradients were normalised wrongly, so that an attack of size 2 read 26 % where 2 % stand. Each
    example's own gradient counts, however small, beside that of any neighbour."""
    weight = drawn(2, 12).float()
    scores = lambda x: (x[:, :12] @ weight.T) * torch.where(x[:, 12:] > 9, scale, 1.0)  # noqa: E731
    x = torch.cat([drawn(2, 12).float(), torch.tensor([[0.0], [99.0]])], 1)
    target = scores(x).argmax(-1)
    for found in (
        fgsm(scores, x, target, Ball("2", 0.5, **FREE)),
        pgd(scores, x, target, Ball("2", 0.5, **FREE), drop=False, step=0.2),
    ):
        pull = weight[1 - target] - weight[target]
        best = x[:, :12] + 0.5 * pull / pull.norm(dim=1, keepdim=True)
        assert torch.allclose((found[:, :12] * pull).sum(1), (best * pull).sum(1), atol=1e-4)
    assert float(length(torch.tensor([[3e-30, 4e-30]]))) == pytest.approx(5e-30, rel=1e-5)


def test_bug_9_inputs_that_cannot_be_written_are_not_written() -> None:
    """ART #2454 and #2558: arrays that are not writable. The input is never changed, strided ones work."""
    net = tiny(inputs=6)
    array = drawn(6, 8).numpy()
    x = torch.from_numpy(array.copy()).T  # columns as rows
    before = x.clone()
    target = net(x).argmax(-1)
    found = pgd(net, x, target, Ball("inf", 0.5, **FREE))
    assert bool((x == before).all())
    assert torch.allclose(found, pgd(net, x.contiguous(), target, Ball("inf", 0.5, **FREE)))
    row = torch.from_numpy(np.broadcast_to(array[:1, :6], (4, 6)).copy())[:1].expand(4, 6)
    same = pgd(net, row, net(row).argmax(-1), Ball("inf", 0.2, **FREE))
    assert bool((same == same[:1]).all()), "equal examples have equal results"
