"""The shared likelihood protocol: bits that hang on the picture alone, 256 chances that sum to 1, bounds against closed
forms, and how strange a picture is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from milestones.core.errors import UserError
from milestones.core.source import Held, Place
from milestones.data import Labelled
from milestones.data.likely import asked, bits_anew, likelihoods, quantiles, scored, verdict
from milestones.parts.likelihood import (
    Terms,
    atypical,
    auroc,
    bernoulli,
    bits,
    bits_per_dimension,
    complexity,
    dequantised,
    drawn,
    gaussian,
    importance,
    kl,
    logistic,
    percentile,
)


def levels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_bits_hang_on_the_picture_alone() -> None:
    image = levels(40, 1, 28, 28)
    whole = bits(image)
    assert torch.equal(bits(image[7:8]), whole[7:8]), "in any batch"
    assert torch.equal(bits(image.flip(0)), whole.flip(0)), "in any order"
    assert not torch.equal(bits(image, seed=1), whole)
    changed = image.clone()
    changed[0, 0, 27, 27] ^= 1
    assert 200 < (bits(changed)[0] != whole[0]).sum() < 350, "one level changed: a third of bits drawn anew differ"
    assert torch.equal(bits(changed)[1:], whole[1:])


def test_bits_stand_still() -> None:
    """Figures of years to come are measured on the same bits: SplitMix64 in Python's own whole numbers."""
    image = levels(3, 1, 4, 5)
    low = (1 << 64) - 1

    def mixed(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) & low
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & low
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & low
        return (x ^ (x >> 31)) & ((1 << 63) - 1)

    for row, said in zip(image.flatten(1).tolist(), bits(image, 9).flatten(1).tolist(), strict=True):
        own = sum(mixed(k + 1) * (level + 1) for k, level in enumerate(row)) & low
        chance = [mixed((mixed((own + 9) & low) + mixed(k)) & low) % 255 for k in range(20)]
        assert said == [float(c < level) for c, level in zip(chance, row, strict=True)]


def test_bits_have_the_chance_of_their_level() -> None:
    """Each of 16 levels in 20,000 pixels of different pictures, within five standard deviations; neighbours are
    independent."""
    image = torch.arange(0, 256, 17, dtype=torch.uint8).repeat(20_000, 1)
    image = torch.cat([image, levels(20_000, 3, seed=1)], 1)  # which makes the pictures different
    rate = bits(image)[:, :16].mean(0)
    want = torch.arange(0, 256, 17) / 255
    assert rate[0] == 0 and rate[-1] == 1
    assert ((rate - want).abs() <= 5 * (want * (1 - want) / 20_000).sqrt()).all()
    middle = bits(torch.cat([torch.full((20_000, 2), 127, dtype=torch.uint8), levels(20_000, 3, seed=2)], 1))
    assert abs(float(torch.corrcoef(middle[:, :2].T)[0, 1])) < 5 / math.sqrt(20_000)


def test_bits_drawn_anew() -> None:
    image = torch.full((500, 1, 4, 4), 51, dtype=torch.uint8)
    first, second = (bits_anew(Labelled(image, torch.zeros(500)), torch.Generator().manual_seed(k)) for k in (0, 1))
    assert first.image.dtype == torch.uint8 and set(first.image.unique().tolist()) == {0, 255}
    assert not torch.equal(first.image, second.image)
    assert torch.equal(bits(first.image), first.image / 255), "what was drawn stays"
    assert abs(float((first.image / 255).mean()) - 0.2) < 5 * 0.4 / math.sqrt(8000)
    ends = torch.tensor([[0, 255]], dtype=torch.uint8)
    assert torch.equal(drawn(ends, torch.Generator().manual_seed(0)), ends)


def test_dequantised_lies_in_its_level() -> None:
    image = levels(50, 1, 4, 4)
    real = dequantised(image, torch.Generator().manual_seed(0))
    assert torch.equal((256 * real).floor().to(torch.uint8), image)


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.0), (-1.0, -5.0), (0.3, -7.0), (3.0, 1.0), (-0.2, -2.5)])
def test_logistic_sums_to_one(mean: float, scale: float) -> None:
    level = torch.arange(256.0, dtype=torch.float64)
    m, s = (torch.full((256,), value, dtype=torch.float64, requires_grad=True) for value in (mean, scale))
    found = logistic(level.long(), m, s)
    assert float(found.detach().exp().sum()) == pytest.approx(1, abs=1e-5)
    edges = [-math.inf, *((k + 0.5) / 127.5 - 1 for k in range(255)), math.inf]
    below = [1 / (1 + math.exp(min(700.0, -(e - mean) / math.exp(scale)))) if e > -math.inf else 0.0 for e in edges]
    want = np.diff(below)
    likely = want > 1e-9  # below that the difference of two sums is noise
    assert found.exp().detach().numpy()[likely] == pytest.approx(want[likely], rel=1e-4)
    (found * (found > -30)).sum().backward()
    assert torch.isfinite(m.grad).all() and torch.isfinite(s.grad).all()


def test_logistic_stays_finite_far_away() -> None:
    level = torch.tensor([0, 128, 255])
    mean = torch.tensor([9.0, -9.0, -9.0], requires_grad=True)
    found = logistic(level, mean, torch.full((3,), -7.0))
    found.sum().backward()
    assert torch.isfinite(found).all() and torch.isfinite(mean.grad).all()


def test_gaussians_against_torch() -> None:
    from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

    torch.manual_seed(0)
    mean, variance, x = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 3)
    one = Normal(mean, (0.5 * variance).exp())
    assert torch.allclose(kl(mean, variance), kl_divergence(one, Normal(0.0, 1.0)), atol=1e-5)
    assert torch.allclose(gaussian(x, mean, variance), Independent(one, 1).log_prob(x), atol=1e-5)
    bit = (x > 0).float()
    assert torch.allclose(bernoulli(bit, mean), Bernoulli(logits=mean).log_prob(bit), atol=1e-6)


def test_importance_tightens_to_the_exact_likelihood_of_factor_analysis() -> None:
    """x = W z + b + noise has the likelihood of a Gaussian with covariance W W' + D, in closed form: with the posterior
    as proposal one sample is exact; with the prior the bound rises towards it with the samples and stays below."""
    torch.manual_seed(0)
    w, shift, noise = 0.7 * torch.randn(6, 2).double(), torch.randn(6).double(), torch.full((6,), 0.5).double()
    x = torch.randn(20, 6).double()
    exact = torch.distributions.MultivariateNormal(shift, w @ w.T + noise.diag()).log_prob(x)
    covariance = torch.linalg.inv(torch.eye(2).double() + w.T @ (w / noise[:, None]))
    centre = (x - shift) / noise @ w @ covariance

    def weights(z: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        there = gaussian(x - z @ w.T - shift, torch.zeros(6).double(), noise.log())
        return there + gaussian(z, torch.zeros(2).double(), torch.zeros(2).double()) - own

    root = torch.linalg.cholesky(covariance)
    posterior = torch.distributions.MultivariateNormal(centre, scale_tril=root)
    z = posterior.sample((3,))
    assert torch.allclose(importance(weights(z, posterior.log_prob(z))[:1]), exact, atol=1e-10)
    bounds = []
    for samples in (1, 10, 100, 10_000):
        z = torch.randn(samples, 20, 2).double()
        own = gaussian(z, torch.zeros(2).double(), torch.zeros(2).double())
        bounds.append(float((importance(weights(z, own)) - exact).mean()))
    assert bounds == sorted(bounds)
    assert bounds[0] < -1 and abs(bounds[-1]) < 0.05


def test_auroc_against_pairs() -> None:
    torch.manual_seed(0)
    usual, strange = torch.randint(9, (40,)).float(), torch.randint(3, 12, (30,)).float()
    pairs = strange[:, None] - usual
    want = ((pairs > 0).double() + 0.5 * (pairs == 0).double()).mean()
    assert auroc(usual, strange) == pytest.approx(float(want))
    assert auroc(usual, usual) == pytest.approx(0.5)
    assert auroc(torch.zeros(3), torch.ones(2)) == 1


def test_strangeness() -> None:
    plain, noisy = torch.zeros(1, 1, 28, 28, dtype=torch.uint8), levels(1, 1, 28, 28)
    assert complexity(plain)[0] < 200 < 0.9 * 784 * math.log(256) < complexity(noisy)[0]
    usual = torch.arange(101.0)
    assert percentile(torch.tensor([-1.0, 50.0, 200.0]), usual).tolist() == pytest.approx([0, 50, 100], abs=0.01)
    assert atypical(torch.tensor([40.0, 90.0]), usual).tolist() == [10, 40]
    kept = quantiles(usual)
    assert kept[0] == 0 and kept[-1] == 100 and len(kept) == 201
    plain, middle = verdict(torch.tensor([-9.0, 50.0]), kept, Terms("binary", exact=True))
    assert plain["strange"].value == 0 and plain["atypical"].value == 100
    assert "likelier than" in str(plain["answer"])
    assert middle["atypical"].value < 1


def test_terms_stand_beside_the_score() -> None:
    image = levels(30, 1, 2, 2)
    source = Held(Labelled(image, torch.zeros(30)), Place(torch.device("cpu"), 0), "some", "test")
    nats = likelihoods(torch.nn.Identity(), lambda one: one.flatten(1).float().sum(1), source)
    assert torch.equal(nats, image.flatten(1).float().sum(1))
    assert len(likelihoods(torch.nn.Identity(), lambda one: one.flatten(1).float().sum(1), source, most=1)) == 30
    grey = scored(nats, source, Terms("8-bit", exact=True), 4)["bpd"]
    assert grey.value == pytest.approx(float(nats.mean()) / 4 / math.log(2))
    assert float(bits_per_dimension(torch.tensor(4 * math.log(2)), 4)) == pytest.approx(1)
    assert grey.note == "a pixel; 8-bit pixels, not dequantised; exact"
    bound = scored(nats, source, Terms("binary", exact=False, samples=50), 4, paper=1.0, paper_data="x")["nll"]
    assert bound.unit == "nats" and bound.paper == 1
    assert bound.note == ("binary pixels, each drawn once by its level (seed 2014); a bound, 50 importance samples a "
                          "picture")  # fmt: skip
    assert str(Terms("8-bit", exact=False, samples=1, noise=True)).startswith(
        "8-bit pixels, dequantised; a bound, 1 imp"
    )


def test_what_is_asked() -> None:
    with pytest.raises(UserError, match=r"made: expected from 0 to 400 pictures to draw, got 401\. Ask again with"):
        asked(401, 1.0, "made")
    with pytest.raises(UserError, match=r"vae: expected a temperature from 0 to 10, got -1\. 1 draws as the model"):
        asked(1, -1.0, "vae")


def test_bernoulli_against_cross_entropy() -> None:
    torch.manual_seed(0)
    logit = 30 * torch.randn(4, 3, 5)
    bit = (torch.rand(3, 5) < 0.5).float()
    want = -F.binary_cross_entropy_with_logits(logit, bit.expand(4, 3, 5), reduction="none")
    assert torch.allclose(bernoulli(bit, logit), want, atol=1e-5)
