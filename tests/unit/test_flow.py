"""flow: paths against their closed forms, guidance, what is hidden and when, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import keyed
from milestones.data import Labelled
from milestones.media import Text
from milestones.systems.flow import Flow, Knobs, Velocity, build, loss, system

FACTS = {"labels": [*"abc"], "channels": 1, "side": 28, "mean": 30.0, "spread": 70.0}
KNOBS = changed(Knobs(), {"width": 4, "blocks": 1}, "flow")


@pytest.fixture
def model() -> Flow:
    torch.manual_seed(0)
    return build(KNOBS, FACTS)


def batch(n: int = 6) -> Labelled:
    rng = keyed("batch", n)
    return Labelled(torch.randint(256, (n, 1, 28, 28), generator=rng).byte(), torch.randint(3, (n,), generator=rng))


class Field(nn.Module):
    """A velocity in closed form, in place of the net; it keeps what it was asked."""

    classes = 3

    def __init__(self, at: Any) -> None:
        super().__init__()
        self.at = at
        self.asked: list[tuple[int, float, list[int]]] = []

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        self.asked.append((len(x), float(time[0]), label.tolist()))
        return self.at(x, time[:, None, None, None], label[:, None, None, None])


def test_straight_paths_end_at_the_picture_whatever_the_moves(model: Flow) -> None:
    """Of one picture alone the best velocity is (picture - x) / (1 - t): a straight line."""
    image = batch(2).image
    aim = image.float() / 127.5 - 1
    model.net = Field(lambda x, t, label: (aim - x) / (1 - t))  # type: ignore[assignment]
    noise = torch.randn(aim.shape, generator=keyed("noise"))
    for moves in (1, 2, 5):
        way = model.way(torch.zeros(2).long(), noise, moves, 1.0)
        assert len(way) == moves + 1
        assert torch.equal(way[-1], image)


@pytest.mark.parametrize("moves", [1, 2, 4, 8])
def test_midpoint_rule_against_the_exact_path(model: Flow, moves: int) -> None:
    """dx/dt = -x: a move multiplies by 1 - h + h^2 / 2, in the limit by exp(-h)."""
    model.net = field = Field(lambda x, t, label: -x)  # type: ignore[assignment]
    noise = torch.linspace(-1, 1, 2 * 784).view(2, 1, 28, 28)
    h = 1 / moves
    found = model.draw(torch.zeros(2).long(), noise, moves, 1.0).float() / 127.5 - 1
    assert (found - noise * (1 - h + h * h / 2) ** moves).abs().max() <= 0.51 / 127.5
    assert abs((1 - h + h * h / 2) ** moves - math.exp(-1)) < 0.14 * h * h
    assert [time for _, time, _ in field.asked] == pytest.approx([k * h / 2 for k in range(2 * moves)])


def test_guidance_goes_on_from_whatever_class_towards_the_class(model: Flow) -> None:
    model.net = field = Field(lambda x, t, label: label.float().expand_as(x))  # type: ignore[assignment]
    x, label = torch.zeros(2, 1, 28, 28), torch.tensor([0, 2])
    for guidance in (0.0, 1.0, 1.5):
        found = model.velocity(x, 0.25, label, guidance)[:, 0, 0, 0]
        assert found.tolist() == pytest.approx([3 + guidance * (0 - 3), 3 + guidance * (2 - 3)])
    asked = field.asked
    assert [rows for rows, *_ in asked] == [4, 2, 4], "at 1 the class alone is asked for, which is half the work"
    assert asked[0][2] == [0, 2, 3, 3]


def test_classes_are_hidden_in_training_alone() -> None:
    torch.manual_seed(0)
    net = Velocity(3, 1, 4, 1, hidden=0.5)
    seen: list[Tensor] = []
    net.label.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x, time, label = torch.zeros(400, 1, 28, 28), torch.zeros(400), torch.ones(400).long()
    net(x, time, label)
    net.eval()(x, time, label)
    share = (seen[0] == 3).float().mean()
    assert 0.4 < share < 0.6
    assert set(seen[0].tolist()) == {1, 3}
    assert torch.equal(seen[1], label)


def test_a_new_net_says_nothing_and_costs_what_pictures_and_noise_are_apart(model: Flow) -> None:
    """Mean over pixels of (picture - noise)^2: the picture's square, and 1 of the noise."""
    some = batch(64)
    wanted = float((some.image.float() / 127.5 - 1).square().mean()) + 1
    assert float(loss(model.eval(), some)["loss"].detach()) == pytest.approx(wanted, rel=0.02)


def test_evaluation_draws_the_same_noise_and_leaves_the_generator_alone(model: Flow) -> None:
    nn.init.normal_(model.net.leave.weight)
    model.eval()
    before = torch.get_rng_state()
    first, again = loss(model, batch())["loss"], loss(model, batch())["loss"]
    assert torch.equal(before, torch.get_rng_state())
    assert first == again
    model.train()
    assert loss(model, batch())["loss"] != loss(model, batch())["loss"]


def test_what_the_net_is_asked_lies_on_the_line_between_noise_and_picture(model: Flow) -> None:
    """x = t picture + (1 - t) noise, aim = picture - noise: x + (1 - t) aim is the picture."""
    some, seen = batch(8), {}

    def told(x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        seen.update(x=x, time=time, label=label)
        return torch.zeros_like(x)

    model.net.forward = told  # type: ignore[method-assign]
    value = float(loss(model, some)["loss"].detach())
    image, share = some.image.float() / 127.5 - 1, seen["time"][:, None, None, None]
    noise = (seen["x"] - share * image) / (1 - share)
    assert value == pytest.approx(float((image - noise).square().mean()), rel=1e-3)
    gaps = seen["time"].sort().values.diff()
    assert torch.allclose(gaps, torch.full((7,), 1 / 8), atol=1e-6), "times in even steps"
    assert torch.equal(seen["label"], some.label)


def test_the_net_can_learn(model: Flow) -> None:
    some = batch(16)
    some.image[:] = some.label[:, None, None, None] * 100  # a level for each class
    optimizer = torch.optim.Adam(model.net.parameters(), 1e-2)
    before = float(loss(model.eval(), some)["loss"].detach())
    model.train()
    torch.manual_seed(0)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model, some)["loss"].backward()
        optimizer.step()
    assert float(loss(model.eval(), some)["loss"].detach()) < 0.5 * before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"moves": 0}, "--moves from 1 to 1000, got 0"),
        ({"moves": 1001}, "--moves from 1 to 1000, got 1001"),
        ({"guidance": -0.5}, "--guidance from 0 to 100, got -0.5"),
        ({"guidance": math.nan}, "--guidance from 0 to 100, got nan"),
        ({"samples": 0}, "--samples from 1 to 100 pictures, got 0"),
    ],
)
def test_what_is_refused(model: Flow, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        system.use(model.eval(), FACTS, [Text("a")], **options)


def test_use_draws_pictures_of_a_class(model: Flow) -> None:
    with torch.inference_mode():
        found = system.use(model.eval(), FACTS, [Text("b"), Text("C")], samples=2, moves=2)
    assert [list(answer) for answer in found] == [["answer", "sample 2", "judged"]] * 2
    assert found[0]["answer"].pixels.shape == (28, 28)
