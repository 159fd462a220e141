"""Interval bounds against brute force over corners and samples, and against closed forms; the vote against SciPy."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F
from unit.test_attack import FREE, drawn, tiny

from milestones.parts.attack import Ball, misled
from milestones.parts.autoattack import apgd
from milestones.parts.certify import ABSTAIN, bounds, certified, least_chance, majority, quantile, smoothed, tail, worst
from milestones.parts.layers import Normalise


class Own(nn.Module):
    """A forward of one's own, with all that pages do between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = Normalise(100.0, 50.0)
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.last = nn.Linear(4 * 3 * 3, 3)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.raw(image)
        maps = F.max_pool2d(torch.tanh(self.norm(self.first(maps))), 2)
        maps = maps + F.relu(self.second(maps))
        maps = 2 * F.avg_pool2d(maps.flip(3), 1) - maps / 4
        maps = F.leaky_relu(1 - maps)
        return self.last(self.drop(maps.flatten(1))) - 0.5


def net(kind: str) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if kind == "own":
            made: nn.Module = Own()
            made.norm.running_mean.normal_()  # type: ignore[union-attr]
            made.norm.weight.data.normal_()  # type: ignore[union-attr]  (gains below 0, too)
            return made.eval(), torch.rand(6, 1, 6, 6) * 255
        layers = [nn.Linear(5, 12), {"relu": nn.ReLU(inplace=True), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}[kind],
                  nn.BatchNorm1d(12), nn.Linear(12, 4)]  # fmt: skip
        return nn.Sequential(*layers).double().eval(), torch.randn(6, 5).double()


@pytest.mark.parametrize("kind", ["own", "relu", "tanh", "sigmoid"])
def test_bounds_hold_for_all_that_is_tried(kind: str) -> None:
    model, x = net(kind)
    size = 3.0 if kind == "own" else 0.1
    low, high = bounds(model, x - size, x + size)
    far = torch.rand(3000, *x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0)) * 2 - 1
    far[:1000] = far[:1000].sign()
    with torch.no_grad():
        for change in far[::10]:
            scores = model(x + size * change)
            assert bool((low <= scores + 1e-5).all()) and bool((scores <= high + 1e-5).all())
    same = bounds(model, x, x)
    assert torch.allclose(same[0], model(x), atol=1e-5) and torch.allclose(same[1], model(x), atol=1e-5), (
        "of a point they are the scores"
    )


def test_bounds_of_a_linear_net_are_exact() -> None:
    layer = nn.Linear(6, 3).double()
    x = drawn(5, 6)
    low, high = bounds(layer, x - 0.2, x + 0.2)
    reach = 0.2 * layer.weight.abs().sum(1)
    assert torch.allclose(low, layer(x) - reach) and torch.allclose(high, layer(x) + reach)


def test_the_difference_of_scores_is_bounded_as_one() -> None:
    """Of a linear net: z_k - z_t moves by the difference of weights, exactly."""
    layer, x, target = nn.Linear(6, 3).double(), drawn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    ahead = worst(layer, x - 0.2, x + 0.2, target)
    scores, weight = layer(x), layer.weight
    for i, t in enumerate(target.tolist()):
        for k in range(3):
            want = scores[i, k] - scores[i, t] + 0.2 * (weight[k] - weight[t]).abs().sum()
            assert float(ahead[i, k].detach()) == pytest.approx(0.0 if k == t else float(want.detach()))
    low, high = bounds(layer, x - 0.2, x + 0.2)
    loose = high - low.gather(1, target[:, None])
    assert bool((ahead <= loose + 1e-12).all()) and bool((ahead < loose - 1e-3).any())
    shifted = worst(lambda u: layer(u) + 0.0, x - 0.2, x + 0.2, target)  # no longer a linear layer's answer
    assert torch.allclose(shifted.scatter(1, target[:, None], 0.0), loose.scatter(1, target[:, None], 0.0))


def test_bounds_are_differentiable_by_the_weights() -> None:
    model, x = net("relu")
    target = torch.zeros(6, dtype=torch.long)
    loss = F.cross_entropy(worst(model, x - 0.1, x + 0.1, target), target)
    loss.backward()
    weight = model[0].weight  # type: ignore[index]
    assert weight.grad is not None and float(weight.grad.abs().sum()) > 0
    with torch.no_grad():
        step = 1e-5
        was = weight[0, 0].item()
        values = []
        for change in (step, -step):
            weight[0, 0] = was + change
            values.append(float(F.cross_entropy(worst(model, x - 0.1, x + 0.1, target), target)))
        weight[0, 0] = was
    assert float(weight.grad[0, 0]) == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-6)


def test_no_attack_breaks_what_is_proved() -> None:
    model, x = tiny(inputs=4, seed=2), drawn(120, 4)
    target = model(x).argmax(-1)
    shares = []
    for size in (0.005, 0.02, 0.08):
        ball = Ball("inf", size, **FREE)
        proved = certified(model, x, target, ball)
        broken = misled(model, apgd(model, x, target, ball, steps=30), target)
        assert not bool((proved & broken).any())
        shares.append(int(proved.sum()))
    assert shares[0] > 50 and shares == sorted(shares, reverse=True)
    wrong = (target + 1) % 3
    assert not bool(certified(model, x, wrong, Ball("inf", 1e-6, **FREE)).any())


@pytest.mark.parametrize(("model", "text"), [
    (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)), "interval bounds through 'softmax' are not known"),
    (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), "interval bounds through 'layer_norm' are not known"),
    (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train(), "want a net in evaluation mode"),
    (nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train(), "want a net in evaluation mode"),
    (lambda x: x * x, "a product of two unknowns"),
    (lambda x: torch.zeros(2, 3), "the scores do not come from the input"),
])  # fmt: skip
def test_what_cannot_be_bounded_is_refused(model: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        bounds(model, torch.zeros(2, 4), torch.ones(2, 4))


@pytest.mark.parametrize(("name", "shape"), [("lenet", (3, 1, 28, 28)), ("mlp", (3, 1, 28, 28))])
def test_bounds_of_shipped_runs(name: str, shape: tuple[int, ...]) -> None:
    from milestones.catalog import load

    model = load(name).model.eval()
    x = torch.rand(shape) * 255
    low, high = bounds(model, x - 0.5, x + 0.5)
    with torch.no_grad():
        for seed in range(20):
            change = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5
            scores = model(x + change.sign() / 2 if seed % 2 else x + change)
            assert bool((low <= scores + 1e-3).all()) and bool((scores <= high + 1e-3).all())


@pytest.mark.parametrize(("count", "draws"), [(1, 5), (40, 100), (99, 100), (100, 100), (9900, 10000)])
def test_the_interval_of_clopper_and_pearson(count: int, draws: int) -> None:
    want = stats.binomtest(count, draws, alternative="greater").proportion_ci(0.999, method="exact").low
    assert least_chance(count, draws, 0.001) == pytest.approx(want, rel=1e-6, abs=1e-9)
    assert math.exp(tail(count, draws, 0.3)) == pytest.approx(
        stats.binom.sf(count - 1, draws, 0.3), rel=1e-6, abs=1e-300
    )
    assert least_chance(0, draws, 0.001) == 0
    assert quantile(0.975) == pytest.approx(1.959964, abs=1e-5)


def test_smoothing_of_a_linear_net_in_closed_form() -> None:
    """Under normal noise w . x + b of spread sigma ||w||: the chance is Phi(b / sigma ||w||), the radius the distance
    to the border, less what few draws cost; never more, but in one of a thousand cases."""
    weight = torch.tensor([0.6, 0.8])
    scores = lambda x: torch.stack([x @ weight, 0 * x[:, 0]], 1)  # noqa: E731
    x = torch.tensor([[0.5, 0.5], [0.2, 0.1], [1e-3, 0.0]])
    done = smoothed(scores, x, 0.5, draws=4000)
    far = x @ weight
    assert done.answer.tolist() == [0, 0, ABSTAIN]
    assert bool((done.radius[:2] <= far[:2]).all())
    assert bool((done.radius[:2] > 0.8 * far[:2] - 0.03).all())
    assert float(done.radius[2]) == 0
    assert majority(scores, x, 0.5, draws=2000).tolist() == [0, 0, ABSTAIN]
    alone = smoothed(scores, x[1:2], 0.5, draws=4000)
    assert float(alone.radius) == float(done.radius[1]), "neighbours play no part"
