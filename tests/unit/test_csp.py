"""Common spatial patterns against another solution of the same problem, and against sources that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from milestones.core.source import keyed
from milestones.parts.csp import band_power, covariances, csp, in_band, lda, log_power


def trials(count: int = 80, channels: int = 6, time: int = 250) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three sources mixed at random: the first is strong in class 0, the second in class 1; signal, label, mixing."""
    rng = keyed("trials")
    label = torch.arange(count) % 2
    source = torch.randn(count, channels, time, generator=rng)
    source[:, 0] *= torch.where(label == 0, 3.0, 1.0)[:, None]
    source[:, 1] *= torch.where(label == 1, 3.0, 1.0)[:, None]
    mixing = torch.randn(channels, channels, generator=rng)
    return torch.einsum("cs,nst->nct", mixing, source), label, mixing


def test_filters_solve_the_generalised_eigenproblem() -> None:
    """Against numpy's general solver of inv(A + B) A, which uses neither symmetry nor whitening."""
    signal, label, _ = trials()
    covariance = covariances(signal)
    found = csp(covariance, label, 2, each=2)
    for k in range(2):
        one, rest = covariance[label == k].mean(0).numpy(), covariance[label != k].mean(0).numpy()
        both = one + rest + 1e-3 * np.mean(np.diag(one + rest)) * np.eye(6)
        value, vector = np.linalg.eig(np.linalg.inv(both) @ one)
        order = np.argsort(value.real)[[0, 1, 4, 5]]
        for w, i in zip(found.filters[4 * k : 4 * k + 4].numpy(), order, strict=True):
            want = vector[:, i].real
            assert abs(w @ want) / np.linalg.norm(w) / np.linalg.norm(want) == pytest.approx(1, abs=1e-6)
            assert w @ one @ w == pytest.approx(value[i].real, abs=1e-8)
            assert w @ both @ w == pytest.approx(1)


def test_no_other_direction_has_more_variance() -> None:
    """By brute force: of 20,000 directions none has a greater ratio than the best filter."""
    signal, label, _ = trials()
    covariance = covariances(signal)
    best = csp(covariance, label, 2, each=1).filters[1]
    one, rest = (covariance[label == k].mean(0) for k in (0, 1))
    ways = torch.cat([torch.randn(20_000, 6, generator=keyed("ways"), dtype=torch.double), best[None]])
    ratio = torch.einsum("fc,cd,fd->f", ways, one, ways) / torch.einsum("fc,cd,fd->f", ways, one + rest, ways)
    assert float(ratio[-1]) > float(ratio[:-1].max()) - 1e-3


def test_patterns_are_how_the_sources_were_mixed() -> None:
    signal, label, mixing = trials()
    found = csp(covariances(signal), label, 2, each=1)
    strong = found.patterns[1].float(), found.patterns[3].float()  # the greatest of class 0, of class 1
    for pattern, want in zip(strong, mixing.T[:2], strict=True):
        cosine = torch.nn.functional.cosine_similarity(pattern, want, dim=0)
        assert abs(float(cosine)) > 0.98


def test_log_power_is_that_of_the_filtered_signal() -> None:
    signal, label, _ = trials(10)
    covariance = covariances(signal)
    filters = csp(covariance, label, 2).filters
    want = torch.einsum("fc,nct->nft", filters, signal.double()).var(-1, unbiased=False).log()
    got = log_power(filters, covariance)
    differ = want - got  # the trace by which each trial is divided
    torch.testing.assert_close(differ, differ[:, :1].expand_as(differ), atol=1e-9, rtol=0)


def test_a_band_keeps_what_is_in_it() -> None:
    time = torch.arange(1000) / 250
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in (5, 10, 13, 20)])[None]
    kept = in_band(tones, 250.0, 8.0, 13.5).std(-1) / tones.std(-1)
    assert kept[0].tolist() == pytest.approx([0, 1, 1, 0], abs=0.01)


def test_lda_is_the_rule_of_equal_gaussians() -> None:
    """Against the densities themselves, for an unshrunk covariance."""
    rng = np.random.default_rng(0)
    mean = np.array([[0, 0], [2, 0], [0, 3.0]])
    label = np.arange(300) % 3
    x = mean[label] + rng.normal(size=(300, 2)) @ np.array([[1, 0.5], [0, 1]])
    rule = lda(torch.tensor(x), torch.tensor(label), 3, shrink=0.0)
    means = np.array([x[label == k].mean(0) for k in range(3)])
    within = sum((x[label == k] - means[k]).T @ (x[label == k] - means[k]) for k in range(3)) / 297
    inverse = np.linalg.inv(within)
    density = np.array([[-0.5 * (row - m) @ inverse @ (row - m) for m in means] for row in x])
    got = rule(torch.tensor(x)).numpy()
    np.testing.assert_allclose(got - got[:, :1], density - density[:, :1], atol=1e-9)


def test_the_reader_reads_what_was_mixed() -> None:
    signal, label, _ = trials(120)
    reader = band_power(signal[:80], label[:80], 2, 250.0, ((4.0, 60.0),), each=1)
    assert float((reader(signal[80:]).argmax(1) != label[80:]).float().mean()) < 0.05
