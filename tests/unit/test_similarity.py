"""Likeness and readers of layers: the unbiased estimate as its paper writes it, what other libraries get wrong, brute
force over examples left out, scikit-learn and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from milestones.parts import similarity as alike


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. (2012), equation (5), written out."""
    n = len(k)
    k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(len(k))
    first = np.trace(k @ m)
    second = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ m @ one)
    return (first + second - third) / (n * (n - 3))


@pytest.mark.parametrize(("n", "d", "e"), [(4, 3, 2), (17, 5, 40), (60, 200, 3)])
def test_cka_as_the_paper_writes_it(n: int, d: int, e: int) -> None:
    x, y = normal(n, d), normal(n, e, seed=1)
    y[:, 0] += x[:, 0]
    k, m = (z.double().numpy() @ z.double().numpy().T for z in (x, y))
    want = hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))
    assert float(alike.cka([x], [y])[0, 0]) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("width", [20, 100, 1000])
def test_independent_layers_are_not_alike(width: int) -> None:
    """The biased estimate says .198 of 32 examples; this one is about 0, however wide the layers are."""
    found = [float(alike.cka([normal(32, width, seed=2 * k)], [normal(32, width, seed=2 * k + 1)])) for k in range(60)]
    assert abs(sum(found) / len(found)) <= 0.02
    if width <= 100:
        x, y = normal(32, width), normal(32, width, seed=1)
        centre = torch.eye(32) - 1 / 32
        k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
        assert float((k * m).sum() / k.norm() / m.norm()) > 0.15, "what the biased estimate says"


def test_one_for_itself_turned_and_scaled() -> None:
    x = normal(40, 12)
    turn = torch.linalg.qr(normal(12, 12, seed=3)).Q
    layers = [x, x @ turn, -3e4 * x + 7, 1e-6 * x @ turn.T]
    assert torch.allclose(alike.cka(layers), torch.ones(4, 4).double(), atol=1e-5)


def test_symmetric_and_within_bounds() -> None:
    layers = [normal(30, d, seed=d) for d in (3, 10, 200)] + [normal(30, 3, seed=3).relu()]
    found = alike.cka(layers)
    assert torch.allclose(found, found.T, atol=1e-12)
    assert torch.allclose(found, alike.cka(layers, layers), atol=1e-12)
    assert found.abs().max() <= 1
    assert torch.allclose(found.diagonal(), torch.ones(4).double(), atol=1e-9)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(found, alike.cka([layer[order] for layer in layers]), atol=1e-9)


def test_never_nan() -> None:
    dead = torch.zeros(8, 5)
    layers = [dead, torch.full((8, 3), 7.3), normal(8, 4), 1e30 * normal(8, 4), 1e-30 * normal(8, 4),
              torch.eye(8)[:, :1], normal(8, 2, 3, 3)]  # fmt: skip
    found = alike.cka(layers)
    assert torch.isfinite(found).all()
    assert found[0].abs().max() == 0
    assert found[1].abs().max() == 0
    assert float(found[2, 3]) == pytest.approx(1, abs=1e-4)
    assert float(found[2, 4]) == pytest.approx(1, abs=1e-4)


def test_too_few_examples_and_unequal_ones() -> None:
    with pytest.raises(ValueError, match="4 examples or more"):
        alike.cka([normal(3, 2)])
    with pytest.raises(ValueError, match="the same of all layers"):
        alike.cka.__wrapped__([normal(5, 2)], [normal(6, 2)])


def classes(n: int, d: int, k: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    target = torch.arange(n) % k
    return 3 * torch.eye(k, d)[target] + normal(n, d, seed=seed), target


@pytest.mark.parametrize("d", [4, 30, 120])
def test_the_reader_against_scikit_learn(d: int) -> None:
    x, y = classes(60, d)
    z, t = classes(400, d, seed=1)
    found = alike.probe(x, y, z, 3)
    centred = (x - x.mean(0)).double()
    scale = float(centred.square().mean().sqrt())
    values = torch.linalg.eigvalsh(centred.T @ centred / scale**2)
    alpha = found.penalty * float(values.sum()) / 60
    want = RidgeClassifier(alpha=alpha).fit((x.double() / scale).numpy(), y.numpy()).predict(z.double().numpy() / scale)
    assert torch.equal(found.said, torch.from_numpy(want))
    assert float((found.said == t).double().mean()) > 0.6


@pytest.mark.parametrize("d", [4, 40])
def test_the_penalty_is_that_of_examples_left_out(d: int) -> None:
    x, y = classes(24, d)
    found = alike.probe(x, y, x, 3)
    rows = (x - x.mean(0)).double()
    rows = rows / rows.square().mean().sqrt()
    goal = torch.nn.functional.one_hot(y, 3).double()
    mean = float(rows.square().sum()) / 24
    errors = {}
    for share in alike.PENALTIES:
        error = 0.0
        for i in range(24):
            keep = torch.arange(24) != i
            a, b = rows[keep], goal[keep]
            m, n = a.mean(0), b.mean(0)
            damped = (a - m).T @ (a - m) + share * mean * torch.eye(d).double()
            said = (rows[i] - m) @ torch.linalg.solve(damped, (a - m).T @ (b - n)) + n
            error += float((said - goal[i]).square().sum())
        errors[share] = error
    assert found.penalty == min(errors, key=lambda share: errors[share])


def test_wide_layers_are_read_as_narrow_ones() -> None:
    x, y = classes(50, 10)
    z, _ = classes(80, 10, seed=1)
    narrow = alike.probe(x, y, z, 3)
    turn = torch.linalg.qr(normal(90, 90, seed=5)).Q[:10]
    wide = alike.probe(x @ turn * 9, y, z @ turn * 9, 3)  # the same points in a wider space, seen larger
    assert torch.equal(narrow.said, wide.said)


def test_a_layer_that_says_nothing_gives_the_largest_class() -> None:
    found = alike.probe(torch.ones(10, 4), torch.tensor([2] * 6 + [0] * 4), torch.ones(5, 4), 3)
    assert found.said.tolist() == [2] * 5


@pytest.mark.parametrize(("n", "d"), [(50, 8), (12, 40)])
def test_principal_components_against_svd(n: int, d: int) -> None:
    x = normal(n, d) * torch.linspace(3, 1, d)
    spots, shares = alike.principal(x, 3)
    u, s, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    assert torch.allclose(spots.abs(), (u * s)[:, :3].abs(), atol=1e-3)
    assert shares == pytest.approx((100 * s.square() / s.square().sum())[:3].tolist(), rel=1e-4)
    assert torch.allclose(alike.principal(x.flip(0), 3)[0], spots.flip(0), atol=1e-3), "signs do not hang on the order"


def test_principal_components_of_equal_rows() -> None:
    spots, shares = alike.principal(torch.ones(5, 3))
    assert torch.isfinite(spots).all()
    assert shares == [0, 0]


def test_nearest() -> None:
    rows = torch.tensor([[0.0], [10.0], [4.0]])
    assert alike.nearest(rows, torch.tensor([[5.5], [-1.0]]), 2).tolist() == [[2, 1], [0, 2]]


@pytest.mark.parametrize("far", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_students_t_against_scipy(far: float, n: int) -> None:
    a, b = (normal(n, seed=7) + far).tolist(), normal(n, seed=8).tolist()
    assert alike.differ(a, b) == pytest.approx(stats.ttest_ind(a, b).pvalue, rel=1e-6, abs=1e-12)
    assert alike.differ(b, a) == pytest.approx(alike.differ(a, b))


def test_students_t_of_equal_values() -> None:
    assert alike.differ([1.0, 1.0], [1.0, 1.0]) == 1
    assert alike.differ([1.0, 1.0], [2.0, 2.0]) == 0


def test_chance_findings_are_as_rare_as_they_should_be() -> None:
    found = [alike.differ(normal(6, seed=2 * k).tolist(), normal(6, seed=2 * k + 1).tolist()) for k in range(800)]
    assert sum(chance < 0.05 for chance in found) / 800 == pytest.approx(0.05, abs=0.025)


def test_a_concepts_direction_is_found() -> None:
    true = normal(20, seed=3)
    true = true / true.norm()
    found = alike.direction(normal(300, 20) + 4 * true, normal(300, 20, seed=1))
    assert float(found.vector @ true) > 0.9
    assert float(found.vector.norm()) == pytest.approx(1)
    assert found.right > 90
    slope = torch.stack([true, -true, 2 * true, true])
    assert alike.rising(slope, found.vector) == 75


@pytest.mark.parametrize("far", [0.0, 1.0])
def test_how_well_it_tells_is_measured_on_examples_left_out(far: float) -> None:
    a, b = normal(8, 30) + far, normal(9, 30, seed=1)
    found = alike.direction(a, b)
    rows, sides = torch.cat([a, b]).double(), torch.tensor([1.0] * 8 + [-1.0] * 9).double()
    centred = rows - rows.mean(0)
    damping = 0.1 * float(centred.square().sum()) / 17
    right = 0
    for i in range(17):
        keep = torch.arange(17) != i
        x, y = rows[keep], sides[keep]
        m, n = x.mean(0), y.mean()
        weight = torch.linalg.solve((x - m).T @ (x - m) + damping * torch.eye(30).double(), (x - m).T @ (y - n))
        right += bool(((rows[i] - m) @ weight + n) * sides[i] > 0)
    assert found.right == pytest.approx(100 * right / 17)


def test_a_slope_of_nothing_rises_as_often_as_it_falls() -> None:
    assert alike.rising(torch.zeros(4, 3), torch.ones(3)) == 50


def test_draws_are_kept_by_their_seed() -> None:
    first = alike.draws(30, 10, 4, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, alike.draws(30, 10, 4, 5), strict=True))
    assert all(len(draw.unique()) == 10 for draw in first)
    assert not torch.equal(first[0], first[1])
