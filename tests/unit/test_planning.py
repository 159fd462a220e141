"""The cross-entropy method against problems whose best plan is known."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from milestones.parts.planning import Search, best, continuous, discrete, noise


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0])
AIM = torch.rand(3, 4, 2, generator=rng(5)) * 1.6 * (HIGH - LOW) / 2 + LOW + 0.2  # N H A, some of it out of reach
SHAPE = torch.tensor([[2.0, 0.6], [0.6, 1.0]])


def valley(drawn: Tensor) -> Tensor:
    """A quadratic that ties both numbers of a step."""
    off = drawn - AIM[: len(drawn), None]
    return -torch.einsum("nphi,ij,nphj->np", off, SHAPE, off)


def lowest() -> Tensor:
    """The best of a fine grid over one step: steps do not touch each other."""
    x, y = (torch.linspace(float(LOW[k]), float(HIGH[k]), 401) for k in (0, 1))
    grid = torch.cartesian_prod(x, y)  # G A
    off = grid - AIM.flatten(0, 1)[:, None]
    value = -torch.einsum("bgi,ij,bgj->bg", off, SHAPE, off)
    return grid[value.argmax(1)].view_as(AIM)


def test_a_quadratic_within_its_bounds() -> None:
    found = continuous(valley, LOW, HIGH, 3, Search(4, candidates=400, elites=40, rounds=15), rng())
    assert found.shape == (3, 4, 2)
    assert ((found >= LOW) & (found <= HIGH)).all()
    assert (found - lowest()).abs().max() < 0.03


def test_more_rounds_come_nearer() -> None:
    off = [
        (continuous(valley, LOW, HIGH, 3, Search(4, 200, 20, rounds), rng()) - lowest()).abs().mean()
        for rounds in (1, 4, 12)
    ]
    assert off[0] > 2 * off[1] > 4 * off[2]


def test_correlated_noise_finds_what_lasts() -> None:
    """A push for twenty steps: independent draws cancel out."""

    def lasting(drawn: Tensor) -> Tensor:
        return -(drawn.mean((2, 3)) - 0.8).abs()

    off = [
        continuous(lasting, -torch.ones(1), torch.ones(1), 1, Search(20, 64, 8, 2, correlation=c), rng()).mean()
        for c in (0.0, 0.9)
    ]
    assert off[0] < 0.6 < off[1]


PAYS = torch.rand(2, 6, 3, generator=rng(1))  # N H A


def bandits(drawn: Tensor) -> Tensor:
    """A row of bandits: each choice pays, and the same choice twice running costs."""
    paid = torch.take_along_dim(PAYS[: len(drawn), None], drawn[..., None], -1)[..., 0].sum(-1)
    return paid - 0.3 * (drawn[..., 1:] == drawn[..., :-1]).sum(-1)


def test_a_row_of_bandits() -> None:
    every = torch.tensor(list(itertools.product(range(3), repeat=6)))  # all there are
    right = every[bandits(every.expand(2, -1, -1)).argmax(1)]
    chance = discrete(bandits, 3, 2, Search(6, 300, 20, 12), rng())
    assert chance.shape == (2, 6, 3)
    assert torch.allclose(chance.sum(-1), torch.ones(2, 6))
    assert torch.equal(chance.argmax(-1), right)


def test_a_lock_opens_only_to_one_sequence_of_two_actions() -> None:
    code = torch.tensor([1, 0, 0, 1, 1, 0, 1])

    def opened(drawn: Tensor) -> Tensor:
        return (drawn == code).long().cumprod(-1).sum(-1).float()  # how far one came

    chance = discrete(opened, 2, 1, Search(7, 128, 12, 8), rng())
    assert torch.equal(chance[0].argmax(-1), code)


def test_a_plan_does_not_depend_on_its_neighbours() -> None:
    search = Search(4, 64, 8, 4, correlation=0.3)
    together, alone = continuous(valley, LOW, HIGH, 3, search, rng()), continuous(valley, LOW, HIGH, 1, search, rng())
    assert torch.allclose(together[:1], alone, atol=1e-5)
    search = Search(6, 64, 8, 4)
    assert torch.equal(discrete(bandits, 3, 2, search, rng())[:1], discrete(bandits, 3, 1, search, rng()))


def test_the_first_round_draws_all_actions_alike() -> None:
    search = Search(5, 4000, 4000, 1, keep=0.0, correlation=0.9)
    chance = discrete(lambda drawn: torch.zeros(drawn.shape[:2]), 4, 1, search, rng())
    assert (chance - 0.25).abs().max() < 0.03
    chance = discrete(lambda drawn: torch.zeros(drawn.shape[:2]), 1, 1, search, rng())
    assert torch.equal(chance, torch.ones(1, 5, 1))


def test_the_noise_is_as_correlated_as_asked() -> None:
    for asked in (0.0, 0.6):
        drawn = noise(Search(8, 20_000, correlation=asked), 2, rng())
        assert drawn.var(0).sub(1).abs().max() < 0.06
        for gap in (1, 3):
            product = (drawn[:, gap:] * drawn[:, :-gap]).mean(0)
            assert (product - asked**gap).abs().max() < 0.05
        assert (drawn[..., 0] * drawn[..., 1]).mean().abs() < 0.01


def test_what_is_no_number_is_never_among_the_best() -> None:
    value = torch.tensor([[1.0, torch.nan, 3.0, -torch.inf, 2.0]])
    drawn = torch.arange(5)[None, :, None].expand(1, 5, 2)
    assert best(value, drawn, 3)[0, :, 0].tolist() == [2, 4, 0]
    assert best(value, drawn, 9).shape == (1, 5, 2), "no more than there are"
