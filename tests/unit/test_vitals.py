"""What a doctor measures in a step: against NumPy, and without a trace left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from milestones.parts.vitals import EARLY, MOST_LAYERS, due, look, short, signals


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def test_a_look_measures_one_step() -> None:
    model, x, y = net(), torch.randn(16, 6), torch.randint(0, 3, (16,))
    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    found = look(model, 0, 100)
    assert found is not None
    step(model, optimizer, x, y)
    vitals = found.findings()
    after = {name: p.detach().numpy() for name, p in model.named_parameters()}
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    assert [layer["name"] for layer in vitals["layers"]] == ["0.weight", "2.weight", "4.weight"]
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert vitals["norm"] == pytest.approx(norm, rel=1e-3)
    for layer in vitals["layers"]:
        name = layer["name"]
        was, now, gradient = before[name], after[name], gradients[name]
        assert layer["weight"] == pytest.approx(np.sqrt((was**2).mean()), rel=1e-3)
        assert layer["gradient"] == pytest.approx(np.sqrt((gradient**2).mean()), rel=1e-3)
        assert layer["update"] == pytest.approx(np.linalg.norm(now - was) / np.linalg.norm(was), rel=1e-3)
        assert layer["free"] and layer["count"] == was.size and layer["examples"] == 16
    hidden = np.tanh(x.numpy() @ before["0.weight"].T + before["0.bias"])
    assert vitals["layers"][1]["mean"] == pytest.approx(hidden.mean(), rel=1e-2, abs=1e-4)
    assert vitals["layers"][1]["spread"] == pytest.approx(hidden.std(ddof=1), rel=1e-3)
    assert vitals["layers"][1]["saturated"] == pytest.approx(100 * (np.abs(hidden) > 0.97).mean(), abs=0.1)
    assert "saturated" not in vitals["layers"][2], "rectified units have no ends"


def test_a_look_changes_nothing() -> None:
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    models = [net(), net()]
    for number, model in enumerate(models):
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        for i in range(5):
            found = look(model, i, 5) if number else None
            step(model, optimizer, x, y)
            if found:
                found.findings()
    noise = torch.get_rng_state()
    (found := look(models[0], 0, 5)).close()  # type: ignore[union-attr]
    assert torch.equal(noise, torch.get_rng_state())
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, two)
    assert not any(module._forward_pre_hooks for model in models for module in model.modules()), "hooks are gone"


def test_only_the_first_call_with_gradients_counts() -> None:
    model, x, y = net(), torch.randn(16, 6), torch.randint(0, 3, (16,))
    found = look(model, 0, 9)
    with torch.no_grad():
        model(100 * x)  # an evaluation
    step(model, torch.optim.SGD(model.parameters(), 0.1), x, y)
    model(100 * x)
    assert found is not None
    assert found.findings()["layers"][0]["spread"] == pytest.approx(float(x.std()), rel=1e-3)


def test_weights_without_gradient_say_so() -> None:
    model, x, y = net(), torch.randn(16, 6), torch.randint(0, 3, (16,))
    model[0].weight.requires_grad_(False)
    found = look(model, 0, 9)
    step(model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1), x, y)
    assert found is not None
    first = found.findings()["layers"][0]
    assert first["gradient"] is None and first["update"] == 0.0 and not first["free"]


def test_signals_of_units() -> None:
    x = torch.randn(50, 4)
    x[:, 1] = 3.0  # says the same to everything
    assert signals(x, -1)["dead"] == 25.0
    assert signals(x, -1)["alike"] == 0.0
    assert signals(x[:, :1].expand(50, 4), -1)["alike"] == 1.0
    maps = torch.randn(10, 3, 5, 5)
    maps[:, 2] = 0.0
    assert signals(maps, 1)["dead"] == pytest.approx(100 / 3)
    assert signals(maps, 1)["spread"] == pytest.approx(float(maps.std()), rel=1e-4)
    ends = torch.tensor([[1.0, -1.0], [1.0, -0.5], [-0.99, 0.0], [0.2, 0.1]])
    assert signals(ends, -1)["saturated"] == 50.0


@pytest.mark.parametrize("first", [True, False], ids=["batch first", "time first"])
def test_gradient_through_time(first: bool) -> None:
    torch.manual_seed(1)
    model = nn.ModuleDict({"letters": nn.Embedding(5, 4), "net": nn.RNN(4, 4, batch_first=first)})
    with torch.no_grad():
        model["net"].weight_hh_l0.mul_(0.1)  # what happened long ago is soon forgotten
    letters = torch.randint(0, 5, (3, 40) if first else (40, 3))
    found = look(model, 0, 9)
    out = model["net"](model["letters"](letters))[0]
    (out[:, -1] if first else out[-1]).square().sum().backward()
    assert found is not None
    layers = {layer["name"]: layer for layer in found.findings()["layers"]}
    assert layers["net.weight_ih_l0"]["flow"] < 1e-6
    assert "spread" not in layers["letters.weight"], "letters have no size"


def test_due() -> None:
    assert [step for step in range(100) if due(step, 100)] == [0, 1, 3, 25, 50, 75, 99]
    assert {0, 999, *EARLY} <= {step for step in range(1000) if due(step, 1000)}
    for total in (1, 2, 5, 40, 300, 5500, 167_693):
        count = sum(due(step, total) for step in range(total))
        assert 1 <= count <= max(7, min(24 + len(EARLY) + 2, total // 100 + len(EARLY) + 2))


def test_many_layers_are_not_all_written() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(MOST_LAYERS + 5)))
    found = look(model, 0, 1)
    model(torch.ones(1, 2)).sum().backward()
    assert found is not None
    assert len(found.findings()["layers"]) == MOST_LAYERS


def test_what_json_has_no_word_for() -> None:
    assert short(float("nan")) is None and short(float("inf")) is None and short(1.23456) == 1.235
