"""Which rhythms a net listens to: against finite differences of the strength of a frequency."""

from __future__ import annotations

import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.rhythm import rises


@pytest.mark.parametrize("time", [40, 41])
def test_rises_are_slopes_of_the_strength(time: int) -> None:
    signal = torch.randn(3, 2, time, generator=keyed("signal"), dtype=torch.double)
    weight = torch.randn(2, 2, time, generator=keyed("weight"), dtype=torch.double)

    def scores(x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nct,kct->nk", x.square() + x.sin(), weight)

    found = rises(scores, signal, 2)
    assert found.shape == (2, 2, time // 2 + 1)
    for channel, bin in ((0, 0), (0, 3), (1, 7), (1, time // 2)):
        spectrum = torch.zeros(3, 2, time // 2 + 1, dtype=torch.complex128)
        spectrum[:, channel, bin] = torch.fft.rfft(signal)[:, channel, bin]
        part = torch.fft.irfft(spectrum, time)
        e = 1e-5
        slope = (scores(signal + e * part) - scores(signal - e * part)).mean(0) / (2 * e)
        torch.testing.assert_close(found[:, channel, bin], slope, atol=1e-6, rtol=1e-6)


def test_over_all_frequencies_it_is_gradient_times_input() -> None:
    signal = torch.randn(4, 3, 50, generator=keyed("other"), dtype=torch.double)
    found = rises(lambda x: torch.stack([x.square().sum((1, 2)), x.sum((1, 2))], 1), signal, 2)
    assert float(found[0].sum()) == pytest.approx(float(2 * signal.square().sum((1, 2)).mean()))
    assert float(found[1].sum()) == pytest.approx(float(signal.sum((1, 2)).mean()))
