"""Changes of training pictures: known motions, untouched input, purity, and targets that follow the pictures."""

from __future__ import annotations

import itertools

import pytest
import torch

from milestones.data import Labelled
from milestones.parts.augment import augmented, colour_axes, cropped, cut, cutmix, mixup, moved, reflected, tinted


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=rng(9), dtype=torch.uint8)


def test_reflected_is_numpys_reflection() -> None:
    import numpy as np

    padded = np.pad(np.arange(7), 5, mode="reflect")
    assert reflected(torch.arange(-5, 12), 7).tolist() == padded.tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_moved_is_a_shift_or_its_mirror_with_a_reflected_border(channels: int) -> None:
    image = noise(40, channels, 9, 12)
    found = moved(image, rng(), 2, True)
    padded = torch.nn.functional.pad(image.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    kinds = set()
    for one, wide in zip(found, padded, strict=True):
        fits = []
        for y, x, flip in itertools.product(range(5), range(5), (False, True)):
            part = wide[:, y : y + 9, x : x + 12]
            if torch.equal(one, part.flip(2) if flip else part):
                fits.append((y, x, flip))
        assert fits
        kinds.add(fits[0])
    assert len(kinds) > 15, "each picture has its own"
    assert len({flip for *_, flip in kinds}) == 2


def test_no_range_no_change() -> None:
    image = noise(4, 3, 8, 8)
    assert torch.equal(moved(image, rng(), 0, False), image)


def test_cropped_is_a_part() -> None:
    image = noise(30, 3, 10, 10)
    found = cropped(image, rng(), 8, False)
    places = set()
    for one, whole in zip(found, image, strict=True):
        fits = [(y, x) for y in range(3) for x in range(3) if torch.equal(one, whole[:, y : y + 8, x : x + 8])]
        assert fits
        places.add(fits[0])
    assert len(places) > 5


def test_cut_hides_one_square() -> None:
    image = torch.full((50, 3, 12, 12), 200, dtype=torch.uint8)
    found = cut(image, rng(), 4, 7)
    hidden = (found == 7).all(1)
    assert set(found.unique().tolist()) == {7, 200}
    counts = hidden.sum((1, 2))
    assert counts.max() == 16 and counts.min() >= 4, "at the border a part of it"
    one = hidden[int(counts.argmax())]
    assert one.any(0).sum() == one.any(1).sum() == 4


def test_mixup_and_cutmix_keep_the_sum_of_targets() -> None:
    image, target = noise(16, 3, 8, 8).float(), torch.nn.functional.one_hot(torch.arange(16) % 4).float()
    blended, soft = mixup(image, target, rng(), 1.0)
    assert torch.allclose(soft.sum(1), torch.ones(16)) and not torch.equal(soft, target)
    share = 1 - float(soft.max(1).values.min())
    assert 0 < share <= 0.5
    mean_moved = (blended - image).abs().mean() / (image - image.roll(1, 0)).abs().mean()
    assert float(mean_moved) == pytest.approx(share, rel=0.35)
    pasted, soft = cutmix(image, target, rng(3), 1.0)
    changed = (pasted != image).any(1).float().mean((1, 2))
    other = 1 - soft.max(1).values
    assert float(changed.max()) == pytest.approx(float(other.max()), abs=0.02), "targets follow the area"


def test_colour_axes_and_tint() -> None:
    grey = noise(20, 1, 8, 8).float()
    image = torch.cat([grey, grey * 0.5, grey * 0.1], 1).to(torch.uint8)
    axes = colour_axes(image)
    variance = image.transpose(0, 1).flatten(1).double().var(1, correction=0).sum()
    assert float((axes**2).sum()) == pytest.approx(float(variance), rel=1e-4)
    flat = torch.full((500, 3, 2, 2), 120, dtype=torch.uint8)
    found = tinted(flat, rng(), axes, 0.1).float()
    assert (found[:, :, 0, 0] == found[:, :, 1, 1]).all(), "one colour for a whole picture"
    spread = found[:, :, 0, 0].std(0)
    assert float(spread[0]) == pytest.approx(0.1 * float(grey.std()), rel=0.15)
    assert spread[0] > spread[1] > spread[2]


def test_augmented_is_pure_and_gives_targets() -> None:
    batch = Labelled(noise(8, 3, 12, 12), torch.arange(8) % 3)
    before = batch.image.clone()
    change = augmented(3, shift=2, flip=True, cutout=4, mix=0.4, paste=1.0)
    state = torch.get_rng_state()
    first, again, other = change(batch, rng(1)), change(batch, rng(1)), change(batch, rng(2))
    assert torch.equal(state, torch.get_rng_state()), "the global generator is not touched"
    assert torch.equal(first.image, again.image) and torch.equal(first.label, again.label)
    assert not torch.equal(first.image, other.image)
    assert first.label.shape == (8, 3)
    assert torch.equal(batch.image, before)
    plain = augmented(3, shift=1)(batch, rng())
    assert torch.equal(plain.label, batch.label) and plain.image.dtype == torch.uint8


def test_changes_in_a_chain() -> None:
    from milestones.parts.augment import chained

    found = chained(lambda batch, rng: batch * 2, lambda batch, rng: batch + 1)(3, torch.Generator())
    assert found == 7
