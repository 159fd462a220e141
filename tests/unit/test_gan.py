"""gan: the two losses against their formulas, the slope of the critic, who learns from what, and what is refused."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place, keyed
from milestones.data import Labelled
from milestones.media import Text
from milestones.systems.gan import NOISE, Critic, Gan, Knobs, build, criticise, levels, played, steepness, system

FACTS = {"labels": [*"abc"], "channels": 1, "side": 28, "mean": 30.0, "spread": 70.0}
KNOBS = changed(Knobs(), {"width": 4, "batch": 8}, "gan")
PLACE = Place(torch.device("cpu"), 0)


def batch(n: int = 8) -> Labelled:
    rng = keyed("batch", n)
    return Labelled(torch.randint(256, (n, 1, 28, 28), generator=rng).byte(), torch.randint(3, (n,), generator=rng))


@pytest.fixture
def model() -> Gan:
    torch.manual_seed(0)
    return build(KNOBS, FACTS)


class Linear(nn.Module):
    """A critic whose slope is known: the sum of the pixels, weighed, and a number for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 28, 28, generator=keyed("weight")))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return (image * self.weight).sum((1, 2, 3)) + label


def test_the_critics_loss_is_the_papers() -> None:
    """- mean log D(x) - mean log (1 - D(G(z))), with D the logistic function of what the critic says."""
    critic, some = Linear(), batch()
    critic.weight.data *= 0.01
    image, false = some.image.float() / 127.5 - 1, torch.randn(8, 1, 28, 28, generator=keyed("false"))
    real, drawn = critic(image, some.label).sigmoid(), critic(false, some.label).sigmoid()
    found = criticise(critic, some, image, false)
    wanted = -real.log().mean() - (1 - drawn).log().mean()
    assert float(found["loss"].detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    wrong = 100 * float(torch.cat([real < 0.5, drawn > 0.5]).float().mean())
    assert float(found["confused"]) == pytest.approx(wrong)


def test_a_critic_that_knows_nothing_costs_two_bits(model: Gan) -> None:
    critic = model.players[0]
    for weight in critic.parameters():
        nn.init.zeros_(weight)
    some = batch()
    image = some.image.float() / 127.5 - 1
    assert float(criticise(critic, some, image, image)["loss"].detach()) == pytest.approx(2 * math.log(2))


def test_steepness_of_a_plane_is_its_slope() -> None:
    critic, some = Linear(), batch()
    found = steepness(critic, some, some.image.float())
    assert float(found.detach()) == pytest.approx(float(critic.weight.detach().square().sum()), rel=1e-5)
    found.backward()
    assert critic.weight.grad is not None
    assert torch.allclose(critic.weight.grad, 2 * critic.weight, rtol=1e-4), "it can be held down"


def test_steepness_against_differences(model: Gan) -> None:
    critic, some = model.players[0].double(), batch(4)
    assert isinstance(critic, Critic)
    image = some.image.double() / 127.5 - 1
    found = float(steepness(critic, some, image).detach())  # of the first of four
    rng, total, step = keyed("pixels"), 0.0, 1e-5
    for pixel in torch.randperm(784, generator=rng)[:60].tolist():
        move = torch.zeros(784, dtype=torch.float64)
        move[pixel] = step
        up, down = (critic(image[:1] + way * move.view(1, 1, 28, 28), some.label[:1]) for way in (1, -1))
        total += float(((up - down) / (2 * step)).detach()) ** 2
    whole = image[:1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(whole, some.label[:1]).sum(), whole)
    at = torch.randperm(784, generator=keyed("pixels"))[:60]
    assert total == pytest.approx(float(slope.flatten()[at].square().sum()), rel=1e-4)
    assert found == pytest.approx(float(slope.square().sum()), rel=1e-9)


def test_each_learns_from_its_own_loss_alone(model: Gan, tmp_path: Path) -> None:
    """The critic's gradient is that of its loss; that of the generator comes through the critic as it is after."""
    players, some = model.players, batch()
    before = copy.deepcopy(players)
    learners = [torch.optim.SGD(net.parameters(), 0.1) for net in players]
    with Run(tmp_path, PLACE, plan="exact") as run:
        torch.manual_seed(5)
        terms = played(KNOBS, players, learners, some, run)
    torch.manual_seed(5)
    image = some.image.float() / 127.5 - 1
    false = before[1](torch.randn(8, NOISE), some.label)
    own = criticise(before[0], some, image, false.detach())["loss"] + 0.5 * steepness(before[0], some, image)
    assert all(weight.grad is None for weight in before.parameters())
    own.backward()
    assert all(weight.grad is None for weight in before[1].parameters()), "the critic's loss teaches the critic alone"
    for weight, then in zip(players[0].parameters(), before[0].parameters(), strict=True):
        assert weight.requires_grad and weight.grad is not None and then.grad is not None
        assert torch.allclose(weight.grad, then.grad, atol=1e-6)
        assert torch.allclose(weight, then - 0.1 * then.grad, atol=1e-6)
    deceiving = F.softplus(-players[0](false, some.label)).mean()  # the critic after its update
    assert float(terms["found"].detach()) == pytest.approx(float(deceiving.detach()), rel=1e-5)
    deceiving.backward()
    for weight, then in zip(players[1].parameters(), before[1].parameters(), strict=True):
        assert then.grad is not None
        assert torch.allclose(weight, then - 0.1 * then.grad, atol=1e-6)


def test_class_and_noise_both_decide_the_picture(model: Gan) -> None:
    noise = torch.randn(1, NOISE, generator=keyed("noise")).repeat(3, 1)
    image = model.players[1](noise, torch.arange(3))
    assert image.shape == (3, 1, 28, 28)
    assert float(image.abs().max().detach()) <= 1
    assert (image[0] - image[1]).abs().max() > 1e-3
    other = model.players[1](noise + 1, torch.arange(3))
    assert (image - other).abs().max() > 1e-3


def test_levels() -> None:
    picture = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).view(5, 1, 1, 1)
    assert levels(picture).flatten().tolist() == [0, 0, 128, 255, 255]


def test_use_draws_pictures_of_a_class_and_refuses_others(model: Gan) -> None:
    with torch.inference_mode():
        (found,) = system.use(model.eval(), FACTS, [Text("b")], samples=3)
    assert list(found) == ["answer", "sample 2", "sample 3", "judged"]
    with pytest.raises(UserError, match="the name of a class that was learned: a, b, c"):
        system.use(model, FACTS, [Text("d")])
