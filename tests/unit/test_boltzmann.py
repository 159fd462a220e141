"""Boltzmann machines against sums over all their states, finite sums and autograd."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from milestones.parts.boltzmann import (
    RBM,
    SHARES,
    Chains,
    annealed,
    contrast,
    exact,
    gibbs,
    log_odds,
    partition,
    stepping,
    temperatures,
)  # fmt: skip


def machine(visible: int, hidden: int, spread: float = 1.0, linear: bool = False, seed: int = 0) -> RBM:
    """One with weights and biases of this size."""
    rng = torch.Generator().manual_seed(seed)
    made = RBM(visible, hidden, linear).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(spread * torch.randn(weight.shape, generator=rng).double())
    return made


def states(units: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=units))).double()


def by_hand(of: RBM, v: Tensor, h: Tensor) -> float:
    """The energy of one state, sum by sum."""
    total = 0.0
    for i in range(len(v)):
        total -= float(of.below[i] * v[i])
        for j in range(len(h)):
            total -= float(v[i] * of.weight[i, j] * h[j])
    for j in range(len(h)):
        total += float(0.5 * (h[j] - of.above[j]) ** 2) if of.linear else -float(of.above[j] * h[j])
    return total


@pytest.mark.parametrize("linear", [False, True])
def test_energy_is_the_sum_over_all_pairs(linear: bool) -> None:
    of = machine(4, 3, linear=linear)
    v, h = states(4), torch.randn(16, 3).double() if linear else states(3).repeat(2, 1)
    with torch.no_grad():
        assert of.energy(v, h).tolist() == pytest.approx([by_hand(of, a, b) for a, b in zip(v, h, strict=True)])


@torch.no_grad()
def test_free_energies_and_log_z_are_sums_over_states() -> None:
    of = machine(5, 3)
    v, h = states(5), states(3)
    each = torch.stack([of.energy(v, one.expand(len(v), -1)) for one in h])  # H-states, V-states
    assert of.free_energy(v).tolist() == pytest.approx((-(-each).logsumexp(0)).tolist())
    assert of.free_energy_above(h).tolist() == pytest.approx((-(-each).logsumexp(1)).tolist())
    want = float((-each).flatten().logsumexp(0))
    assert exact(of) == pytest.approx(want, abs=1e-10)
    turned = machine(3, 5)  # the same machine, its layers exchanged: now the visible one is the smaller
    turned.weight.copy_(of.weight.T)
    turned.below.copy_(of.above)
    turned.above.copy_(of.below)
    assert exact(turned) == pytest.approx(want, abs=1e-10)
    chance = (-of.free_energy(v) - exact(of)).exp()
    assert float(chance.sum()) == pytest.approx(1, abs=1e-12)


@torch.no_grad()
def test_chances_of_one_layer_given_the_other() -> None:
    of = machine(4, 3)
    v, h = states(4), states(3)
    joint = torch.stack([(-of.energy(v, one.expand(len(v), -1))).exp() for one in h], 1)  # V-states, H-states
    assert torch.allclose(of(v), joint @ h / joint.sum(1, keepdim=True))
    assert torch.allclose(of.down(h).sigmoid(), joint.T @ v / joint.T.sum(1, keepdim=True))


@torch.no_grad()
def test_linear_units_are_integrated() -> None:
    of = machine(3, 2, linear=True)
    grid = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    width = float(grid[1] - grid[0])
    h = torch.cartesian_prod(grid, grid)
    for v in states(3):
        weight = (-of.energy(v.expand(len(h), -1), h)).exp() * width**2
        assert float(of.free_energy(v)) == pytest.approx(-math.log(float(weight.sum())), abs=1e-6)
        assert torch.allclose(of(v), weight @ h / weight.sum(), atol=1e-6)


def test_large_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 20 units in the smaller layer, got 21"):
        exact(RBM(30, 21))
    with pytest.raises(ValueError, match="at most 20 units in the smaller layer, got 25"):
        exact(RBM(25, 3, linear=True))
    with pytest.raises(ValueError, match="got linear hidden ones"):
        annealed(RBM(4, 3, linear=True), torch.zeros(4), 10, 5, torch.Generator())


@pytest.mark.parametrize("linear", [False, True])
def test_contrast_is_the_slope_of_the_free_energies(linear: bool) -> None:
    of = machine(6, 4, linear=linear)
    v, fantasy = states(6)[5:12], states(6)[20:60]
    (of.free_energy(v).mean() - of.free_energy(fantasy).mean()).backward()
    want = [weight.grad.clone() for weight in of.parameters() if weight.grad is not None]
    said = contrast(of, v, fantasy)
    for weight, slope in zip(of.parameters(), want, strict=True):
        assert torch.allclose(weight.grad, slope)  # type: ignore[arg-type]
    with torch.no_grad():
        assert float(said) == pytest.approx(float((of.down(of(v)).sigmoid() - v).square().mean()))


def test_contrast_with_the_machines_own_states_is_the_slope_of_the_likelihood() -> None:
    """A machine without weights draws all states alike: all of them once are its expectation."""
    of = machine(5, 3, spread=0.0)
    v = states(5)[3:9]
    inner = torch.stack([of.free_energy(v).mean(), (-of.free_energy(states(5))).logsumexp(0)]).sum()  # -log p(v)
    inner.backward()
    want = [weight.grad.clone() for weight in of.parameters() if weight.grad is not None]
    contrast(of, v, states(5))
    for weight, slope in zip(of.parameters(), want, strict=True):
        assert torch.allclose(weight.grad, slope)  # type: ignore[arg-type]


@torch.no_grad()
def test_dreaming_keeps_the_machines_distribution() -> None:
    of, rng = machine(4, 3), torch.Generator().manual_seed(1)
    v = states(4)
    chance = (-of.free_energy(v) - exact(of)).exp()
    begun = v[chance.multinomial(40_000, True, generator=rng)]
    ended = gibbs(of, begun, 3, rng)
    found = torch.bincount((ended @ torch.tensor([8.0, 4, 2, 1]).double()).long(), minlength=16) / 40_000
    error = (chance * (1 - chance) / 40_000).sqrt()
    assert float(((found - chance) / error).abs().max()) < 4.5
    assert not torch.equal(begun, ended)
    far = gibbs(of, torch.zeros(40_000, 4).double(), 60, rng)  # from anywhere it comes to it
    found = torch.bincount((far @ torch.tensor([8.0, 4, 2, 1]).double()).long(), minlength=16) / 40_000
    assert float(((found - chance) / error).abs().max()) < 4.5


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_annealing_finds_the_exact_sum(spread: float) -> None:
    """Within a tenth of a nat, which was wanted; and its interval is about as wide as it misses."""
    of = machine(30, 12, spread, seed=3)
    base = torch.zeros(30).double()
    found = annealed(of, base, 2000, 200, torch.Generator().manual_seed(0))
    assert abs(found.value - exact(of)) < 0.1
    misses = []
    for seed in range(20):
        one = annealed(of, base, 200, 50, torch.Generator().manual_seed(seed))
        misses.append(not one.low <= exact(of) <= one.high)
    assert sum(misses) <= 5, "of 20 intervals of 95 %"


def test_annealing_begins_where_it_is_told() -> None:
    """From the machine's own biases, where it has no weights, nothing is left to be found."""
    of = machine(8, 5, 0.0)
    with torch.no_grad():
        of.below.copy_(torch.linspace(-2, 2, 8))
    found = annealed(of, of.below.detach(), 10, 20, torch.Generator().manual_seed(0))
    assert found.value == pytest.approx(exact(of), abs=1e-9)
    assert found.high - found.low < 1e-9


def test_annealing_is_right_on_the_average() -> None:
    """Of Z itself, even over three temperatures: the mean of many runs."""
    of = machine(6, 4, 0.7)
    base = torch.zeros(6).double()
    found = annealed(of, base, 3, 200_000, torch.Generator().manual_seed(0))
    assert abs(found.value - exact(of)) < 2 * (found.high - found.value) < 0.05


def test_temperatures_are_the_papers() -> None:
    beta = temperatures(14_500)
    assert len(beta) == 14_501 and float(beta[0]) == 0 and float(beta[-1]) == 1
    assert float(beta[500]) == pytest.approx(0.5) and float(beta[4500]) == pytest.approx(0.9)
    assert bool((beta.diff() > 0).all())
    for steps in (3, 10, 1000):
        beta = temperatures(steps)
        assert len(beta) == steps + 1 and bool((beta.diff() > 0).all())
    assert sum(span for span, _ in SHARES) == pytest.approx(1)


def test_partition_is_exact_where_it_can_be() -> None:
    small, large = machine(30, 8), machine(25, 22, 0.2)
    rng = torch.Generator().manual_seed(0)
    assert partition(small, torch.zeros(30).double(), 10, 5, rng) == (exact(small),) * 3
    found = partition(large, torch.zeros(25).double(), 100, 50, rng)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("persistent", [False, True])
def test_a_machine_learns_what_it_is_shown(persistent: bool) -> None:
    """Bars in a square of 3 x 3, each as likely: 6 states of 512, whose entropy is log 6."""
    square = torch.eye(3)[:, :, None].expand(3, 3, 3)
    data = torch.cat([square, square.transpose(1, 2)]).flatten(1)
    rng = torch.Generator().manual_seed(0)
    of = RBM(9, 12, rng=rng)
    optimizer, chains = stepping(of, 0.1, decay=0.0), Chains(data.repeat(10, 1))

    def nats() -> float:
        with torch.no_grad():
            return float(of.free_energy(data).mean()) + exact(of)

    before = nats()
    for step in range(3000):
        v = data[torch.randint(6, (60,), generator=rng)]
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.1 * (1 - step / 3000)
        fantasy = gibbs(of, chains.visible if persistent else v, 1, rng)
        chains.visible.copy_(fantasy)
        contrast(of, v, fantasy)
        optimizer.step()
    assert before == pytest.approx(9 * math.log(2), abs=0.1)
    assert math.log(6) <= nats() < math.log(6) + 0.7


def test_decay_is_of_weights_alone() -> None:
    of = machine(3, 2)
    groups = stepping(of, 0.1).param_groups
    assert [group["weight_decay"] for group in groups] == [2e-4, 0]
    assert [len(group["params"]) for group in groups] == [1, 2]


def test_biases_from_shares() -> None:
    assert log_odds(torch.tensor([0.0, 0.5, 0.731058578, 1.0])).tolist() == pytest.approx(
        [math.log(0.01 / 0.99), 0, 1, math.log(0.99 / 0.01)], abs=1e-5
    )
