"""Tuning: gratings by their definition, linear cells against their Fourier transform, simple and complex cells as the
textbooks have them, shifts against a loop."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from milestones.parts import tuning


def gabor(degrees: float, cycles: float, phase: float = 0.0, side: int = 21, wide: float = 3.5) -> Tensor:
    y = (side - 1) / 2 - torch.arange(side)[:, None].float()
    x = torch.arange(side)[None].float() - (side - 1) / 2
    angle = math.radians(degrees)
    across = y * math.cos(angle) - x * math.sin(angle)
    found = torch.cos(2 * math.pi * cycles * across - phase) * torch.exp(-(x**2 + y**2) / (2 * wide**2))
    return found - found.mean()


def cells(*filters: Tensor) -> Callable[[Tensor], Tensor]:
    bank = torch.stack(filters)
    return lambda shown: torch.einsum("bchw,uhw->bu", shown, bank)


def test_orientations_are_what_they_are_called() -> None:
    lying, rising, upright = (tuning.grating(15, 15, degrees, 0.1) for degrees in (0.0, 45.0, 90.0))
    assert torch.allclose(lying, lying[:, :, :1].expand_as(lying), atol=1e-6), "a row is one level"
    assert torch.allclose(upright, upright[:, :1].expand_as(upright), atol=1e-6), "a column is one level"
    assert torch.allclose(rising[:, 1:, :-1], rising[:, :-1, 1:], atol=1e-5), "one up and one right"
    assert not torch.allclose(rising[:, 1:, 1:], rising[:, :-1, :-1], atol=0.1)
    assert lying.min() >= -1 and lying.max() <= 1


@pytest.mark.parametrize("cycles", [0.05, 0.125, 0.25])
def test_a_cycle_is_as_long_as_it_is_called(cycles: float) -> None:
    shown = tuning.grating(41, 3, 0.0, cycles)[0, :, 0]
    step = round(1 / cycles)
    assert torch.allclose(shown[:-step], shown[step:], atol=1e-4)
    tilted = tuning.grating(9, 9, 30.0, cycles, 8)
    assert torch.allclose(tilted[4], -tilted[0], atol=1e-5)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 150.0])
def test_a_gabor_filter_prefers_its_own_bars(degrees: float) -> None:
    orientation, frequency = tuning.orientations(12), [0.06, 0.12, 0.24]
    found = tuning.tune(cells(gabor(degrees, 0.12)), (1, 21, 21), 0.0, 255.0, orientation, frequency)
    f, o = found.best
    assert orientation[o[0]] == degrees
    assert frequency[f[0]] == 0.12
    narrow, mean = tuning.selectivity(found.curve, orientation)
    assert abs((float(mean[0]) - degrees + 90) % 180 - 90) < 2
    assert narrow[0] > 0.5


def test_the_response_of_a_linear_cell_is_its_fourier_transform() -> None:
    torch.manual_seed(0)
    weight, orientation, frequency = torch.randn(11, 11), tuning.orientations(7), [0.1, 0.23]
    found = tuning.tune(cells(weight), (1, 11, 11), -1.0, 1.0, orientation, frequency, phases=64)
    y = (10 / 2 - torch.arange(11)[:, None]).double()
    x = (torch.arange(11)[None] - 10 / 2).double()
    for f, cycles in enumerate(frequency):
        for o, degrees in enumerate(orientation):
            angle = math.radians(degrees)
            wave = 2 * math.pi * cycles * (y * math.cos(angle) - x * math.sin(angle))
            amplitude = math.hypot(float((weight * wave.cos()).sum()), float((weight * wave.sin()).sum()))
            assert float(found.peak[0, f, o]) == pytest.approx(amplitude, rel=3e-3)


def test_what_is_said_of_an_even_grey_is_taken_off() -> None:
    weight = gabor(30, 0.12)
    plain, lifted = (
        tuning.tune(lambda s, b=b: cells(weight)(s) + b, (1, 21, 21), 0.0, 1.0, tuning.orientations(6), [0.12])
        for b in (0.0, 7.0)
    )
    assert torch.allclose(plain.response, lifted.response, atol=1e-4)


def test_colours_get_the_same_bars() -> None:
    shown = []
    tuning.tune(lambda s: shown.append(s) or s.mean((2, 3))[:, :1], (3, 8, 8), 0.0, 1.0, [0.0], [0.2])
    assert torch.equal(shown[1][:, 0], shown[1][:, 2])
    assert shown[1].min() >= 0 and shown[1].max() <= 1


def test_selectivity_at_its_ends() -> None:
    orientation = tuning.orientations(18)
    one = torch.zeros(18)
    one[5] = 3.0
    angle = torch.deg2rad(torch.tensor(orientation))
    curves = torch.stack([one, torch.ones(18), torch.cos(angle - math.radians(40)).square(), torch.zeros(18)])
    narrow, mean = tuning.selectivity(curves, orientation)
    assert narrow.tolist() == pytest.approx([1, 0, 0.5, 0], abs=1e-5)  # cos^2 = (1 + cos 2(a - 40)) / 2
    assert float(mean[0]) == pytest.approx(50, abs=1e-3)
    assert float(mean[2]) == pytest.approx(40, abs=1e-3)


def test_simple_and_complex_cells() -> None:
    """Hubel & Wiesel's: a rectified filter is simple; the energy of two in quadrature (Adelson & Bergen 1985) is
    complex; a pool over shifted rectified filters lies between them."""
    even, odd = cells(gabor(45, 0.12)), cells(gabor(45, 0.12, math.pi / 2))
    shifts = [cells(gabor(45, 0.12, 2 * math.pi * k / 8)) for k in range(8)]

    def respond(shown: Tensor) -> Tensor:
        pooled = torch.stack([cell(shown).relu() for cell in shifts]).amax(0)
        return torch.cat([even(shown).relu(), even(shown) ** 2 + odd(shown) ** 2, pooled], 1)

    found = tuning.tune(respond, (1, 21, 21), -1.0, 1.0, tuning.orientations(8), [0.12])
    ratio = tuning.modulation(found.cycle)
    assert float(ratio[0]) == pytest.approx(math.pi / 2, rel=0.02)
    assert ratio[1] < 0.1
    assert ratio[2] < 0.3


def test_modulation_by_hand() -> None:
    turn = 2 * math.pi * torch.arange(16) / 16
    cycle = torch.stack([1 + torch.cos(turn), 1 + 0.25 * torch.sin(turn), torch.ones(16), 2 + torch.cos(2 * turn)])
    assert tuning.modulation(cycle).tolist() == pytest.approx([1, 0.25, 0, 0], abs=1e-5)
    assert math.isnan(float(tuning.modulation(torch.full((1, 16), -1.0))[0]))


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (-2, 0), (0, 3), (2, -1)])
def test_shifted_against_a_loop(down: int, right: int) -> None:
    picture = torch.randn(2, 3, 6, 7)
    found = tuning.shifted(picture, down, right)
    for y in range(6):
        for x in range(7):
            from_y, from_x = min(max(y - down, 0), 5), min(max(x - right, 0), 6)
            assert torch.equal(found[:, :, y, x], picture[:, :, from_y, from_x])


def test_kept() -> None:
    torch.manual_seed(0)
    here, other = torch.randn(2000, 5), torch.randn(2000, 5)
    assert tuning.kept(here, here, other) == 1
    assert tuning.kept(here, other, here.roll(1, 0)) == pytest.approx(0, abs=0.05)
    assert tuning.kept(here, here + 1, here.roll(1, 0)) == pytest.approx(1 - 5 / (2 * 5), abs=0.05)
    assert math.isnan(tuning.kept(torch.ones(3, 2), torch.ones(3, 2), torch.ones(3, 2)))
