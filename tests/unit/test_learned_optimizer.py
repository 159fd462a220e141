"""learned_optimizer: nets as vectors against PyTorch's, rules against its optimisers, the paper's inputs by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Place, keyed
from milestones.media import Text
from milestones.parts import optimisees
from milestones.parts.optimisees import Task, adam, begun, best_rate, descended, held_losses, losses, momentum
from milestones.systems.learned_optimizer import (
    Knobs,
    Optimizer,
    build,
    families,
    prepare,
    preprocessed,
    rules,
    system,
    task_of,
)

PLACE = Place(torch.device("cpu"), 0)
SMALL = changed(Knobs(), {"hidden": 4, "side": 5, "horizon": 6, "unroll": 3, "longer": 2, "batch": 8, "units": 4,
                          "layers": 2, "steps": 3, "starts": 2}, "learned_optimizer")  # fmt: skip
TASK = Task(3, (5, 4), "tanh", 2)


def modules(task: Task, theta: torch.Tensor) -> nn.Sequential:
    """The net of one vector, as PyTorch has it."""
    kinds = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    net, at = nn.Sequential(), 0
    for k, (a, b) in enumerate(task.layers):
        layer = nn.Linear(a, b)
        layer.weight.data = theta[at : at + a * b].view(a, b).T.clone()
        layer.bias.data = theta[at + a * b : at + (a + 1) * b].clone()
        net.append(layer)
        if k < len(task.layers) - 1:
            net.append(kinds[task.unit]())
        at += (a + 1) * b
    return net


@pytest.mark.parametrize("unit", optimisees.UNITS)
def test_a_vector_is_a_net(unit: str) -> None:
    task = TASK._replace(unit=unit)
    theta, x = begun(task, 3, keyed(0)), torch.randn(3, 7, 3)
    label = torch.randint(2, (3, 7))
    assert theta.shape == (3, task.size) and task.size == 3 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2
    found = losses(task, theta, x, label)
    for k in range(3):
        want = F.cross_entropy(modules(task, theta[k])(x[k]), label[k])
        assert float(found[k]) == pytest.approx(float(want.detach()), rel=1e-5)
    held = held_losses(task, theta, x[0], label[0])
    want = F.cross_entropy(modules(task, theta[1])(x[0]), label[0]).detach()
    assert float(held[1]) == pytest.approx(float(want), rel=1e-5)


def test_starts_differ_and_are_glorots() -> None:
    theta = begun(TASK, 200, keyed(1))
    first = theta[:, :15]
    assert first.abs().max() <= math.sqrt(6 / 8)
    assert float(first.std()) == pytest.approx(math.sqrt(2 / 8), rel=0.05)
    assert (theta[:, 15:20] == 0).all() and not torch.equal(theta[0], theta[1])


@pytest.mark.parametrize(("rule", "optimizer"), [
    (adam, lambda weights: torch.optim.Adam(weights, 0.03)),
    (momentum, lambda weights: torch.optim.SGD(weights, 0.03, 0.9)),
])  # fmt: skip
def test_rivals_are_pytorchs(rule: Any, optimizer: Any) -> None:
    theta, x, label = begun(TASK, 1, keyed(2)), torch.randn(1, 9, 3), torch.randint(2, (1, 9))
    end, way = descended(TASK, rule(torch.full((1, 1), 0.03)), theta, lambda step: (x, label), 12)
    vector = theta[0].clone().requires_grad_()
    theirs = optimizer([vector])
    for step in range(12):
        loss = losses(TASK, vector[None], x, label)[0]
        assert float(way[step, 0]) == pytest.approx(float(loss.detach()), rel=1e-4)
        theirs.zero_grad()
        loss.backward()
        theirs.step()
    assert torch.allclose(end[0], vector.detach(), atol=1e-4)


def test_rates_are_tried_on_the_same_nets() -> None:
    theta, x = begun(TASK, 2, keyed(3)), torch.randn(2, 20, 3)
    label = (x.sum(-1) > 0).long()
    held = x[0], label[0]
    tried = [1e-6, 0.05, 1e6]
    assert best_rate(TASK, adam, tried, theta, lambda step: (x, label), 30, held) == 0.05
    ends = [descended(TASK, adam(torch.full((1, 1), one)), theta, lambda step: (x, label), 30)[0] for one in tried]
    each = [held_losses(TASK, end, *held) for end in ends]
    assert min(range(3), key=lambda k: float(each[k].mean())) == 1


def test_inputs_by_hand() -> None:
    """Appendix A, p = 10."""
    found = preprocessed(torch.tensor([1.0, -math.e, 0.5 * math.e**-10, 0.0]))
    want = torch.tensor([[0.0, 1.0], [0.1, -1.0], [-1.0, 0.5], [-1.0, 0.0]])
    assert torch.allclose(found, want, atol=1e-5)


def test_the_papers_net() -> None:
    model = build(Knobs(), prepare(Knobs(), PLACE).facts)
    assert sum(weight.numel() for weight in model.parameters()) == 5301
    gradient = torch.randn(2, 6)
    update, kept = model(gradient, None)
    assert update.shape == gradient.shape and len(kept) == 2
    again, _ = model(gradient.flip(1), None)
    assert torch.allclose(again.flip(1), update, atol=1e-6), "each weight is seen alone, by the same net"
    later, _ = model(gradient, kept)
    assert not torch.allclose(later, update), "it remembers"


def test_it_learns_to_lower_the_loss(tmp_path: Path) -> None:
    """After some trajectories, nets that it trains end lower than they did under its first weights."""
    knobs = changed(SMALL, {"steps": 25, "lr": 0.01, "horizon": 20, "unroll": 10}, "learned_optimizer")
    data = prepare(knobs, PLACE)
    torch.manual_seed(0)
    model = build(knobs, data.facts)

    def end() -> float:
        task = task_of(families(knobs)[""], data.facts)
        batch = data.valid.batch(0, 64)
        x = (batch.image.flatten(1).float() - data.facts["mean"]) / data.facts["spread"]
        draw = x[None].expand(4, -1, -1), batch.label[None].expand(4, -1)
        theta, _ = descended(task, model, begun(task, 4, keyed(9)), lambda step: draw, 20)
        return float(losses(task, theta, *draw).mean())

    before = end()
    with Run(tmp_path, PLACE, plan="exact") as run:
        system.train(knobs, model, data, run)
    assert end() < before - 0.1
    assert (model.rates != 0.01).any(), "the rivals' rates were tuned"
    names = {path.name.split("-", 2)[2] for path in (tmp_path / "shows").iterdir()}
    assert "losses, as learned.json" in names and "losses, longer.json" in names and "validation.json" in names


def test_scores() -> None:
    data = prepare(SMALL, PLACE)
    torch.manual_seed(0)
    model = build(SMALL, data.facts)
    found = system.score(SMALL, model, data, PLACE)
    kinds = [name or "" for name in families(SMALL)]
    assert set(found) == {"_".join(filter(None, ("loss", kind, rival)))
                          for kind in kinds for rival in ("", "adam", "momentum")}  # fmt: skip
    assert found["loss"].over == 2 and found["loss"].split == "test"
    assert "lowest: " in found["loss_relu"].note and "tuned rate 0.01" in found["loss_relu_adam"].note
    assert "12 updates" in found["loss_longer"].note
    again = system.score(SMALL, model, data, PLACE)
    assert again["loss_wider"].value == found["loss_wider"].value


def test_rules_have_the_family_s_rates() -> None:
    model = Optimizer(4, 1, 5)
    model.rates[3] = torch.tensor([0.5, 0.25])
    gradient = torch.tensor([[2.0, -3.0]])
    found = rules(model, 3)
    assert torch.allclose(found["adam"](gradient, None, 0)[0], torch.tensor([[-0.5, 0.5]]), atol=1e-5)
    assert torch.allclose(found["momentum"](gradient, None, 0)[0], -0.25 * gradient)
    assert found["learned"] is model


def test_use() -> None:
    data = prepare(SMALL, PLACE)
    torch.manual_seed(0)
    model = build(SMALL, data.facts).eval()
    with torch.inference_mode():
        one, two = system.use(model, data.facts, [Text("3 relu 4"), Text(" 4, 3 tanh 2 ")])
    assert " nats by learned and " in one["answer"].text
    assert set(one["losses"].lines) == {"learned", "adam"} and len(one["losses"].x) == 4
    assert len(two["losses"].x) == 2


@pytest.mark.parametrize(("text", "said"), [
    ("relu", "a task as '20 relu 100'"),
    ("20 cube 100", "its unit one of sigmoid, tanh, relu"),
    ("20 relu 0", "1 to 2,000 updates of nets with units"),
    ("0 relu 5", "1 to 2,000 updates of nets with units"),
    ("999,999 relu 5", "a net of at most 60,000 weights"),
])  # fmt: skip
def test_tasks_that_cannot_be(text: str, said: str) -> None:
    data = prepare(SMALL, PLACE)
    with pytest.raises(UserError, match=said):
        system.use(build(SMALL, data.facts), data.facts, [Text(text)])


def test_a_horizon_of_whole_unrolls() -> None:
    with pytest.raises(UserError, match="a horizon of whole unrolls, got horizon 6, unroll 4"):
        build(changed(SMALL, {"unroll": 4}, "x"), prepare(SMALL, PLACE).facts)
