"""The variational autoencoder: its bound against the exact likelihood of factor analysis, its parts, and its use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from milestones.core.errors import UserError
from milestones.core.source import Held, Place
from milestones.data import Labelled
from milestones.media import Image
from milestones.parts.likelihood import bits
from milestones.systems import vae
from milestones.systems.vae import VAE, Knobs, loss, system


def made(side: int = 28, classes: int = 3, **knobs: Any) -> VAE:
    torch.manual_seed(0)
    chosen = Knobs(**{"hidden": 16, "latent": 2, **knobs})
    return VAE(chosen, side, 30.0, 70.0, [10, 20, 30][:classes])


def digits(count: int, side: int = 28) -> torch.Tensor:
    return torch.randint(256, (count, 1, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Linear(nn.Module):
    """A decoder W z + b with noise of one width, and the encoder that is its exact posterior."""

    def __init__(self, model: VAE, tilt: float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.w, self.b, self.noise = 0.6 * torch.randn(16, 2), 0.1 * torch.randn(16), 0.7
        self.covariance = torch.linalg.inv(torch.eye(2) + self.w.T @ self.w / self.noise)
        self.tilt = tilt
        model.level, model.encoder, model.decoder = nn.Identity(), self.encode, self.decode  # type: ignore
        model.chance = self.chance  # type: ignore[method-assign]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        mean = (x - self.b) @ self.w @ self.covariance / self.noise
        return torch.cat([mean + self.tilt, self.covariance.diagonal().log().expand_as(mean)], -1)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.w.T + self.b

    def chance(self, x: torch.Tensor, z: torch.Tensor, label: Any) -> torch.Tensor:
        return torch.distributions.Normal(self.decode(z), math.sqrt(self.noise)).log_prob(x).sum(-1)

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        covariance = self.w @ self.w.T + self.noise * torch.eye(16)
        return torch.distributions.MultivariateNormal(self.b, covariance).log_prob(x)


def linear(tilt: float) -> tuple[VAE, Linear]:
    model = made(side=4)
    del model.level, model.encoder, model.decoder
    return model, Linear(model, tilt)


def test_bound_of_a_linear_model_is_its_likelihood_less_what_the_encoder_misses() -> None:
    """log p(x) - bound = KL(q(z | x) || p(z | x)), of two Gaussians in closed form; drawn 4,000 times."""
    model, factors = linear(0.3)
    image = (digits(5, 4) > 127).to(torch.uint8) * 255
    x = bits(image).flatten(1)
    labels = torch.zeros(5, dtype=torch.long)
    model.train()
    torch.manual_seed(3)
    bound = torch.stack([-loss(model, Labelled(image, labels))["loss"] for _ in range(4000)])
    covariance = factors.covariance
    spread = covariance.diagonal()
    shift = torch.full((2,), 0.3)
    inverse = torch.linalg.inv(covariance)
    apart = 0.5 * ((inverse.diagonal() * spread).sum() - 2 + shift @ inverse @ shift
                   + covariance.logdet() - spread.log().sum())  # fmt: skip
    want = factors.exact(x).mean() - apart
    error = float(bound.std()) / math.sqrt(4000)
    assert abs(float(bound.mean() - want)) < 5 * error < 0.2


def test_importance_weights_tighten_the_bound_to_the_exact_likelihood() -> None:
    model, factors = linear(0.5)
    x = bits((digits(200, 4) > 127).to(torch.uint8) * 255).flatten(1)
    gaps = []
    for samples in (1, 5, 50, 2000):
        torch.manual_seed(4)
        found = vae.importance(model.weights(x, None, torch.randn(samples, 200, 2)))
        gaps.append(float((factors.exact(x) - found).mean()))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.1 and abs(gaps[-1]) < 0.01


def test_one_sample_and_several_are_the_same_bound() -> None:
    """With pull 1: the bound by samples of one is what the divergence in closed form gives on the average."""
    model, image = made(), digits(4)
    x = model.pixel(image)
    with torch.no_grad():
        torch.manual_seed(5)
        one = model.weights(x, None, torch.randn(3000, 4, 2)).mean()
        two = torch.stack([loss(model.train(), Labelled(image, torch.zeros(4, dtype=torch.long)))["loss"]
                           for _ in range(300)])  # fmt: skip
    assert float(-one) == pytest.approx(float(two.mean()), rel=2e-3)


@pytest.mark.parametrize("pixels", ["binary", "grey"])
@pytest.mark.parametrize("conditional", [False, True])
def test_likelihood_does_not_hang_on_neighbours_and_learns(pixels: str, conditional: bool) -> None:
    model, image = made(pixels=pixels, conditional=conditional), digits(6)
    noise = torch.randn(7, 1, 2)
    found = model.by_class(image, noise)
    assert found.shape == (6, 3 if conditional else 1)
    assert torch.allclose(model.by_class(image[2:3], noise)[0], found[2], rtol=1e-5)
    batch = Labelled(image, torch.tensor([0, 1, 2, 0, 1, 2]))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    before = float(loss(model.eval(), batch)["loss"].detach())
    assert before == float(loss(model, batch)["loss"].detach()), "an evaluation says the same twice"
    for _ in range(30):
        optimizer.zero_grad()
        loss(model.train(), batch, samples=2)["loss"].backward()
        optimizer.step()
    assert float(loss(model.eval(), batch)["loss"].detach()) < before


def test_a_new_model_gives_bits_even_chances() -> None:
    model, image = made(), digits(5)
    nats = -model.by_class(image, torch.randn(20, 1, 2)).logsumexp(1)
    assert nats.tolist() == pytest.approx([784 * math.log(2)] * 5, rel=0.02)


def test_the_class_is_told_by_bayes() -> None:
    """Classes 0 and 1 that differ in all pixels: each is told, and p(x) is the sum over both."""
    torch.manual_seed(0)
    model = VAE(Knobs(hidden=16, latent=2, conditional=True), 6, 30.0, 70.0, [30, 10])
    label = torch.arange(40) % 2
    image = (255 * label[:, None, None, None].expand(40, 1, 6, 6)).to(torch.uint8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model.train(), Labelled(image, label))["loss"].backward()
        optimizer.step()
    found = model.eval().by_class(image, torch.randn(20, 1, 2)).detach()
    assert torch.equal(found.argmax(1), label)
    assert float(found[0].logsumexp(0)) == pytest.approx(math.log(0.75), abs=0.2), "what is certain but for its class"


def test_the_divergence_rises_in_training_alone() -> None:
    class At:
        step = 4

    model, batch = made(), Labelled(digits(4), torch.zeros(4, dtype=torch.long))
    term = vae.warmed(Knobs(warmup=9, beta=2.0), At())  # type: ignore[arg-type]
    for training, pull in ((True, 1.0), (False, 2.0)):
        model.train(training)
        torch.manual_seed(0)
        found = term(model, batch)
        want = found["reconstruction"] + pull * found["divergence"]
        assert float(found["loss"].detach()) == pytest.approx(float(want.detach()), rel=1e-6)


def facts(**more: Any) -> dict[str, Any]:
    return {"labels": ["a", "b", "c"], "side": 28, "reading": "resize", "mean": 30.0, "spread": 70.0,
            "counts": [10, 20, 30], **more}  # fmt: skip


def pictures(count: int) -> list[Image]:
    return [Image(one[0].numpy()) for one in digits(count)]


def test_use() -> None:
    model = made(conditional=True).eval()
    with torch.inference_mode():
        one, two = vae.use(model, facts(), pictures(2), samples=5)
        again = vae.use(model, facts(), pictures(2)[1:], samples=5)[0]
        other = vae.use(model, facts(), pictures(1), samples=5, label="b", seed=1)[0]
        none = vae.use(model, facts(), pictures(1), samples=0)[0]
    assert next(iter(one)) == "answer"
    assert {"nll", "strange", "atypical", "seen", "rebuilt", "class", "drawn"} < set(one)
    assert {name: item.plain() for name, item in two.items()} == {name: item.plain() for name, item in again.items()}
    assert other["drawn"].plain() != one["drawn"].plain()
    assert "drawn" not in none
    assert sum(one["class"].chances) == pytest.approx(1, abs=1e-5)
    with torch.inference_mode():
        cold = vae.use(made().eval(), facts(), pictures(1), samples=2, temperature=0.0)[0]["drawn"].grey()
    assert cold.shape == (64, 124), "two of 56 x 56 with margins of 4"
    assert np.array_equal(cold[4:60, 4:60], cold[4:60, 64:120]), "no temperature: all the same"


def test_use_refuses_a_class_that_it_was_not_told() -> None:
    with pytest.raises(UserError, match=r"expected --label as one of a, b, c, got 'd'"):
        vae.use(made(conditional=True), facts(), pictures(1), label="d")
    with pytest.raises(UserError, match=r"--label as nothing: this model was not told classes, got 'a'\. Leave it out"):
        vae.use(made(), facts(), pictures(1), label="a")
    with pytest.raises(UserError, match="a temperature from 0 to 10"):
        vae.use(made(), facts(), pictures(1), temperature=-1.0)


def test_score_says_its_terms() -> None:
    model = made(pixels="grey", conditional=True)
    place = Place(torch.device("cpu"), 0)
    source = Held(Labelled(digits(60), torch.zeros(60, dtype=torch.long)), place, "some", "test")
    data: Any = type("D", (), {"test": source})
    knobs = Knobs(pixels="grey", conditional=True, scored=3, hidden=16, latent=2)
    found = system.score(knobs, model, data, place)
    assert found["bpd"].note == "a pixel; 8-bit pixels, not dequantised; a bound, 3 importance samples a picture"
    assert found["bpd"].unit == "bits" and found["bpd"].over == 60 and found["error"].note == "by Bayes"
    assert found == system.score(knobs, model, data, place)
