"""Log-mel features against a NumPy loop, and what changes them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.mel import (
    FLOOR,
    SETTLED,
    LogMel,
    centred,
    filterbank,
    mel_of,
    noisy,
    running,
    spec_augment,
    warped,
)


def loop(samples: np.ndarray, ears: LogMel) -> np.ndarray:
    """Frame by frame, frequency by frequency."""
    n, bank = len(samples), ears.bank.numpy()
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(ears.window) / ears.window)
    padded, rows = np.concatenate([samples / 32768, np.zeros(ears.size)]), []
    for t in range(-(-n // ears.hop)):
        part = padded[t * ears.hop :][: ears.window] * taper
        power = np.array([
            abs(np.sum(part * np.exp(-2j * np.pi * k * np.arange(ears.window) / ears.size))) ** 2
            for k in range(ears.size // 2 + 1)
        ])  # fmt: skip
        rows.append([math.log(sum(power * bank[:, c]) + FLOOR) for c in range(bank.shape[1])])
    return np.array(rows)


@pytest.mark.parametrize(("rate", "count"), [(8000, 1000), (8000, 81), (16000, 1601), (8000, 1), (11025, 900)])
def test_frames_are_those_of_a_loop(rate: int, count: int) -> None:
    ears = LogMel(rate, 20)
    samples = torch.randint(-9000, 9000, (2, count), generator=keyed("mel", count), dtype=torch.int16)
    found = ears(samples)
    assert found.shape[1] == int(ears.frames(torch.tensor([count])))
    np.testing.assert_allclose(found[1].numpy(), loop(samples[1].numpy().astype(float), ears), atol=2e-4)


def test_padding_changes_only_frames_that_reach_it() -> None:
    ears = LogMel(8000)
    samples = torch.randint(-9000, 9000, (1, 1600), generator=keyed("pad"), dtype=torch.int16)
    padded = torch.cat([samples, torch.zeros(1, 800, dtype=torch.int16)], 1)
    assert torch.allclose(ears(padded)[:, :20], ears(samples), atol=1e-5)


def test_the_filterbank() -> None:
    assert mel_of(1000) == pytest.approx(1000, abs=0.1)
    bank = filterbank(8000, 256, 40)
    assert torch.allclose(bank.sum(0), torch.ones(40))
    tops = (bank * torch.arange(129)[:, None]).sum(0)
    assert (tops.diff() > 0).all()
    assert torch.allclose(filterbank(8000, 64, 40).sum(0), torch.ones(40)), "none is empty where frequencies are few"


def test_a_tone_lies_in_its_band() -> None:
    ears = LogMel(16000)
    for hertz in (300, 1000, 3000):
        wave = (10000 * torch.sin(2 * torch.pi * hertz * torch.arange(8000) / 16000)).short()
        band = int(ears(wave[None])[0, 10].argmax())
        middle = float((ears.bank[:, band] * torch.arange(257)).sum() * 16000 / 512)
        assert abs(middle - hertz) < 0.08 * hertz + 20


def test_warped_against_numpy() -> None:
    x = torch.randn(3, 9, 5, generator=keyed("warp"))
    length, tempo, pitch = torch.tensor([9, 6, 1]), torch.tensor([1.0, 1.5, 0.8]), torch.tensor([0.0, 1.0, -0.5])
    found, new = warped(x, length, tempo, pitch)
    assert new.tolist() == [9, 4, 1]
    assert torch.allclose(found[0], x[0], atol=1e-6)
    slow = np.stack([np.interp(np.arange(4) * 1.5, np.arange(6), x[1, :6, c].numpy()) for c in range(5)], 1)
    for t in range(4):
        np.testing.assert_allclose(found[1, t].numpy(), np.interp(np.arange(5) - 1.0, np.arange(5), slow[t]), atol=1e-5)
    np.testing.assert_allclose(found[2, 0].numpy(), np.interp(np.arange(5) + 0.5, np.arange(5), x[2, 0]), atol=1e-5)


def test_noise_only_adds_power_and_no_more_than_it_may() -> None:
    x = torch.full((64, 50, 40), -9.0)
    x[:, 10, 5] = 2.0
    found = noisy(x, -20.0, keyed("noise"))
    assert (found >= x).all()
    added = (found.exp() - x.exp()).mean((1, 2))
    loudest = math.exp(2.0)
    assert 10 * math.log10(float(added.max()) / loudest) < -10 + 3  # -20 dB, and 10 of the slope at one end
    assert 10 * math.log10(float(added.min()) / loudest) < -45
    assert torch.equal(found, noisy(x, -20.0, keyed("noise")))


def test_stripes_are_hidden() -> None:
    x, length = torch.ones(200, 40, 20), torch.full((200,), 30)
    found = spec_augment(x, length, 4, 0.2, keyed("stripes"))
    gone = found == 0
    bands = gone.all(1).sum(1)  # of a whole band
    times = gone.all(2).sum(1)
    assert int(bands.max()) <= 8
    assert 2 < float(bands.float().mean()) < 5
    assert int(times.max()) <= 12
    assert 2 < float(times.float().mean()) < 7
    assert not gone.all(2)[:, 30:].any(), "the padding counts for nothing"
    assert torch.equal(spec_augment(x, length, 0, 0.0, keyed(1)), x)


def test_means_of_a_recording_and_of_what_was_heard_of_it() -> None:
    x, length = torch.randn(2, 30, 4, generator=keyed("mean")), torch.tensor([30, 7])
    found = centred(x, length)
    assert torch.allclose(found[0].mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(found[1, :7], x[1, :7] - x[1, :7].mean(0), atol=1e-6)
    whole, after = running(x)
    for t in (0, 5, 29):
        want = x[:, t] - x[:, : t + 1].sum(1) / (t + 1 + SETTLED)
        assert torch.allclose(whole[:, t], want, atol=1e-5)
    parts, heard = [], None
    for piece in x.split([3, 0, 11, 16], 1):
        part, heard = running(piece, heard)
        parts.append(part)
    assert heard is not None
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    assert torch.allclose(heard.total, after.total, atol=1e-5)
    assert heard.count == 30


def test_hostile_sizes_are_refused_before_anything_is_made() -> None:
    for rate, bands in ((10**9, 40), (8000, 10**9), (0, 40)):
        with pytest.raises(ValueError, match="hertz"):
            LogMel(rate, bands)
