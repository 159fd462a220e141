"""Parts that say how good drawn pictures are, against plain loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from milestones.core.source import keyed
from milestones.parts import quality
from milestones.parts.quality import FEATURES, Judge, covered, frechet, moments, nearest


def drawn(n: int, *shape: int, shift: float = 0.0, spread: float = 1.0) -> Tensor:
    return shift + spread * torch.randn(n, *shape, generator=keyed(n, shape, shift, spread))


def test_frechet_of_one_number() -> None:
    """(m - m')^2 + (s - s')^2."""
    a, b = drawn(50, 1), drawn(70, 1, shift=2.0, spread=3.0)
    wanted = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert frechet(a, b) == pytest.approx(float(wanted), rel=1e-5)


def test_frechet_against_the_eigenvalues_of_the_product() -> None:
    a, b = drawn(40, 5) @ drawn(5, 5), drawn(60, 5, shift=0.3) @ drawn(5, 5, spread=0.7)
    (mean, one), (other, two) = moments(a), moments(b)
    assert np.allclose(one.numpy(), np.cov(a.double().numpy().T))
    root = np.sqrt(np.linalg.eigvals((one @ two).numpy()).astype(complex)).sum().real
    wanted = float((mean - other).square().sum() + one.trace() + two.trace()) - 2 * root
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-8)
    assert frechet(b, a) == pytest.approx(frechet(a, b), rel=1e-8)


def test_frechet_of_the_same_rows_is_nothing_even_with_fewer_rows_than_columns() -> None:
    rows = drawn(6, 20)
    assert frechet(rows, rows.flip(0)) == pytest.approx(0, abs=1e-5)
    assert frechet(rows, rows + 2) == pytest.approx(80, rel=1e-5)
    assert frechet(torch.zeros(4, 3), torch.zeros(5, 3)) == 0


@pytest.mark.parametrize("k", [1, 3, 100])
def test_covered_against_a_loop(k: int) -> None:
    real, made = drawn(30, 4), drawn(25, 4, shift=0.8)
    found = covered(real, made, k)
    for i, row in enumerate(real):
        apart = sorted(math.dist(row, other) for j, other in enumerate(real) if j != i)
        radius = apart[min(k, len(apart)) - 1]
        assert bool(found[i]) == (min(math.dist(row, other) for other in made) <= radius)


def test_covered_from_all_to_none() -> None:
    real = drawn(40, 3)
    assert covered(real, real[:1] + 1e3).sum() == 0
    assert covered(real, real).all()
    few = covered(real, real[:1].repeat(40, 1))
    assert 1 <= few.sum() < 30, "forty times the same picture covers what lies around it alone"
    with pytest.raises(ValueError, match="two real rows or more, not 1"):
        covered(real[:1], real)


def test_covered_where_real_rows_are_equal() -> None:
    real = torch.zeros(8, 2)
    assert covered(real, torch.zeros(1, 2)).all()
    assert not covered(real, torch.ones(1, 2)).any()


@pytest.mark.parametrize("block", [3, 1000])
def test_nearest_against_a_loop(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "BLOCK", block)
    rows = torch.randint(256, (20, 1, 4, 4), generator=keyed("rows")).byte()
    to = torch.cat([torch.randint(256, (7, 1, 4, 4), generator=keyed("to")).byte(), rows[13:14]])
    found = nearest(rows, to)
    apart = np.array([[np.sqrt(((a.numpy().astype(float) - b.numpy()) ** 2).mean()) for b in rows] for a in to])
    assert found.row.tolist() == apart.argmin(1).tolist()
    assert np.allclose(found.distance.numpy(), apart.min(1), rtol=1e-6)
    assert found.row[-1] == 13
    assert found.distance[-1] == 0, "the same picture is at no distance at all"


def test_judge_sees_raw_levels_of_any_number_of_channels() -> None:
    judge = Judge(7, 3, 28, 120.0, 60.0).eval()
    image = torch.randint(256, (5, 3, 28, 28), generator=keyed("image")).byte()
    assert judge.features(image).shape == (5, FEATURES)
    assert torch.allclose(judge(image), judge.classifier(judge.features(image.float())))
    assert judge(image).shape == (5, 7)
