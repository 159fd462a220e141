"""Distortions of pictures: identity, purity, and known motions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.parts.distort import distort, distorted, stretched


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=rng(9), dtype=torch.uint8)


ALL = {"shift": 2.0, "rotate": 10.0, "scale": 0.1, "slant": 0.1, "elastic": 1.0}


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 16, 20), (1, 1, 7, 5)])
def test_no_range_no_change(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    assert torch.equal(distort(image, rng()), image)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 16, 20)])
def test_shape_type_and_input_stay(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    before = image.clone()
    moved = distort(image, rng(), **ALL)
    assert moved.shape == image.shape
    assert moved.dtype == torch.uint8
    assert torch.equal(image, before)
    assert not torch.equal(moved, image)


def test_pure_in_the_generator() -> None:
    image = noise(4, 1, 28, 28)
    torch.manual_seed(0)
    one = distort(image, rng(5), **ALL)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(distort(image, rng(5), **ALL), one)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not drawn from"
    assert not torch.equal(distort(image, rng(6), **ALL), one)


def exact(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Each draw is `value` in place of uniform in 0 .. 1."""
    monkeypatch.setattr("torch.rand", lambda *shape, generator: torch.full(shape, value))


@pytest.mark.parametrize(("value", "by"), [(1.0, 1), (0.0, -1)])
def test_a_shift_of_exactly_one_pixel(monkeypatch: pytest.MonkeyPatch, value: float, by: int) -> None:
    """Both ways at once: what was at (y + 1, x + 1) is now at (y, x), and the border is background."""
    image = noise(2, 1, 12, 9)
    exact(monkeypatch, value)
    moved = distort(image, rng(), shift=1.0)
    expected = torch.zeros_like(image)
    if by == 1:
        expected[..., :-1, :-1] = image[..., 1:, 1:]
    else:
        expected[..., 1:, 1:] = image[..., :-1, :-1]
    assert torch.equal(moved, expected)


@pytest.mark.parametrize(("degrees", "turns"), [(90.0, 1), (180.0, 2)])
def test_a_quarter_turn(monkeypatch: pytest.MonkeyPatch, degrees: float, turns: int) -> None:
    image = noise(1, 1, 10, 10)
    exact(monkeypatch, 1.0)
    moved = distort(image, rng(), rotate=degrees)
    found = {k for k in range(4) if torch.equal(moved, torch.rot90(image, k, (2, 3)))}
    assert found in ({turns}, {-turns % 4})


def test_scale_by_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 1.5 in place of 1: against a bilinear interpolation by hand."""
    image = noise(1, 1, 9, 9)
    exact(monkeypatch, 1.0)
    moved = distort(image, rng(), scale=0.5)[0, 0].numpy()
    pixels = np.pad(image[0, 0].numpy().astype(float), 4)
    for y in range(9):
        for x in range(9):
            fy, fx = 4 + 4 + 1.5 * (y - 4), 4 + 4 + 1.5 * (x - 4)
            iy, ix = int(np.floor(fy)), int(np.floor(fx))
            ay, ax = fy - iy, fx - ix
            found = ((1 - ay) * (1 - ax) * pixels[iy, ix] + (1 - ay) * ax * pixels[iy, ix + 1]
                     + ay * (1 - ax) * pixels[iy + 1, ix] + ay * ax * pixels[iy + 1, ix + 1])  # fmt: skip
            assert abs(found - moved[y, x]) <= 0.51


def test_elastic_moves_by_its_root_mean_square() -> None:
    """On a ramp, grey levels tell where a pixel came from."""
    ramp = (torch.arange(64) * 4).to(torch.uint8).expand(64, 1, 64, 64).contiguous()
    moved = distort(ramp, rng(), elastic=1.5)
    inner = (moved.float() - ramp.float())[:, :, 8:-8, 8:-8] / 4
    assert float(inner.square().mean().sqrt()) == pytest.approx(1.5, rel=0.15)
    assert abs(float(inner.mean())) < 0.3


def test_each_picture_has_its_own() -> None:
    image = noise(1, 1, 28, 28).expand(4, 1, 28, 28).contiguous()
    moved = distort(image, rng(), **ALL)
    assert len({frame.numpy().tobytes() for frame in moved}) == 4


def test_augment_keeps_the_label() -> None:
    from milestones.data import Labelled

    batch = Labelled(noise(3, 1, 8, 8), torch.tensor([4, 5, 6]))
    moved = distorted(shift=1.0)(batch, rng())
    assert isinstance(moved, Labelled)
    assert torch.equal(moved.label, batch.label)


def test_stretched_and_slanted_about_the_middle() -> None:
    image = torch.zeros(1, 1, 21, 41, dtype=torch.uint8)
    image[..., 10, 20], image[..., 10, 30], image[..., 2, 20] = 200, 100, 150
    assert torch.allclose(stretched(image, 1.0, 0.0), image.float(), atol=1e-2)
    wide = stretched(image, 1.2, 0.0)
    assert int(wide[0, 0, 10, 25:].argmax()) + 25 == 32, "12 from the middle where 10 were"
    assert int(wide[0, 0, 10].argmax()) == 20
    slanted = stretched(image, 1.0, 0.5)
    assert int(slanted[0, 0, 2].argmax()) == 24, "8 rows above the middle, half of that to the right"
    assert int(slanted[0, 0, 10].argmax()) == 20
