"""The multi-layer perceptron: back-propagation by hand, the flat vector, its outputs, its loops, tables end to end."""

from __future__ import annotations

import csv
import itertools
import random
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from milestones.catalog import load
from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place, keyed
from milestones.data import Labelled, Rows
from milestones.media import Image, Ranking, Row
from milestones.systems.mlp import (
    MLP,
    UNITS,
    Knobs,
    Method,
    backpropagate,
    by_examples,
    downhill,
    loss,
    optimizer_of,
    system,
)
from milestones.verbs.execute import Order, begin

OUTPUTS = {"linear": 0, "logistic": 2, "softmax": 3, "units": 3}
PLACE = Place(torch.device("cpu"), 0)


def net(hidden: tuple[int, ...] = (7, 5), activation: str = "tanh", output: str = "softmax", seed: int = 0) -> MLP:
    torch.manual_seed(seed)
    return MLP(4, hidden, activation, output, OUTPUTS[output], ([1.0, 0, 2, 0], [2.0, 1, 3, 1]), (10.0, 4.0))


def examples(output: str, n: int = 30, seed: int = 1) -> Rows:
    rng = torch.Generator().manual_seed(seed)
    input = 2 * torch.randn(n, 4, generator=rng)
    if output == "linear":
        return Rows(input, 10 + 4 * (input[:, 0] - 0.5 * input[:, 2]))
    return Rows(input, (input[:, 0] + input[:, 3] > 0).long() + (input[:, 1] > 1.5).long() * (OUTPUTS[output] > 2))


@pytest.mark.parametrize("activation", UNITS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", [(), (6,), (7, 5, 6)], ids=str)
def test_backpropagation_is_autograds(activation: str, output: str, hidden: tuple[int, ...]) -> None:
    model, batch = net(hidden, activation, output).double(), examples(output)
    batch = Rows(batch.input.double(), batch.target.double() if output == "linear" else batch.target)
    mean, scale = model.normalise.mean, model.normalise.scale
    model.normalise.forward = lambda raw: (raw - mean) * scale  # type: ignore[method-assign]  # stays float64
    loss(model, batch)["loss"].backward()
    ours = backpropagate(model, *batch)
    theirs = [weight.grad for weight in model.parameters()]
    assert len(ours) == len(theirs) == 2 * (len(hidden) + 1)
    for mine, other in zip(ours, theirs, strict=True):
        assert other is not None
        assert other.abs().max() > 1e-6
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def test_flat_vector() -> None:
    model, other = net(seed=0), net(seed=1)
    batch = examples("softmax")
    assert model.flat.shape == (sum(w.numel() for w in model.parameters()),)
    assert not torch.equal(model(batch.input), other(batch.input))
    other.flat = model.flat
    torch.testing.assert_close(model(batch.input), other(batch.input), rtol=0, atol=0)
    assert torch.equal(model.flat, other.flat)
    vector = model.flat
    model.flat = vector
    vector.zero_()  # a copy: the model is not the vector's
    assert torch.equal(model.flat, other.flat)
    assert list(model.state_dict()) == list(net().state_dict())
    moved = other.flat.clone()
    moved[3] += 0.5
    other.flat = moved
    assert other.layers[0].weight[0, 3] == model.layers[0].weight[0, 3] + 0.5


def test_the_vector_follows_the_gradient() -> None:
    """One step along minus the flat gradient lowers the loss by about its squared norm."""
    model, batch = net(activation="logistic"), examples("softmax")
    before = float(loss(model, batch)["loss"].detach())
    gradient = torch.nn.utils.parameters_to_vector(backpropagate(model, *batch))
    model.flat = model.flat - 1e-2 * gradient
    fall = (before - float(loss(model, batch)["loss"].detach())) / (1e-2 * float(gradient.square().sum()))
    assert 0.95 < fall < 1.05


def test_parameters_of_known_nets() -> None:
    """784-300-10, LeCun et al. (1998) fig. 9: 784 * 300 + 300 + 300 * 10 + 10."""
    facts = {"labels": list("0123456789"), "mean": 33.0, "spread": 78.0, "side": 28, "channels": 1}
    for hidden, count in (((300,), 238_510), ((), 7_850), ((300, 100), 266_610)):
        model = system.build(Knobs(hidden=hidden), facts)
        assert len(model.flat) == count


def test_two_classes_have_one_logistic_unit() -> None:
    model, batch = net(output="logistic"), examples("logistic")
    assert model.layers[-1].out_features == 1
    answer = model(batch.input)
    chance = torch.sigmoid(
        model.layers[-1](torch.tanh(model.layers[1](torch.tanh(model.layers[0](model.normalise(batch.input))))))
    )
    torch.testing.assert_close(answer.softmax(1)[:, 1:], chance)
    entropy = torch.nn.functional.binary_cross_entropy(chance[:, 0], batch.target.float())
    torch.testing.assert_close(loss(model, batch)["loss"], entropy)


def test_values_are_in_the_targets_unit() -> None:
    model, batch = net(output="linear"), examples("linear")
    for weight in model.parameters():
        torch.nn.init.zeros_(weight)
    assert model(batch.input).tolist() == [10.0] * 30
    terms = loss(model, batch)
    torch.testing.assert_close(terms["loss"], ((batch.target - 10) / 4).square().mean() / 2)
    torch.testing.assert_close(terms["mae"], (batch.target - 10).abs().mean())


def test_squared_error_of_logistic_units() -> None:
    model, batch = net(output="units"), examples("units")
    chance, goal = model(batch.input).exp(), torch.eye(3)[batch.target]
    assert ((chance > 0) & (chance < 1)).all()
    assert (chance.sum(1) - 1).abs().max() > 0.01  # the units know nothing of each other
    torch.testing.assert_close(loss(model, batch)["loss"], (chance - goal).square().sum(1).mean() / 2)


def held(batch: Any, facts: dict[str, Any]) -> Data[Any]:
    return Data(*(Held(batch, PLACE, "made", split) for split in ("train", "valid", "test")), facts)


def tried(tmp_path: Path, data: Data[Any], **settings: Any) -> tuple[MLP, Run]:
    knobs = Knobs(**{"pipelines": False, "hidden": (), "steps": 3000, **settings})
    with Run(tmp_path, PLACE, "exact") as run:
        run.seed("build")
        model = system.build(knobs, data.facts)
        system.train(knobs, model, data, run)
    return model, run


@pytest.mark.parametrize("method", ["descent", "rprop"])
def test_descent_ends_at_the_minimum(tmp_path: Path, method: str) -> None:
    """Least squares with a ridge is convex, its minimum known; the run ends when the gradient is below tolerance."""
    rng = torch.Generator().manual_seed(3)
    input = torch.randn(60, 3, generator=rng)
    target = 5 + 2 * (input @ torch.tensor([1.0, -2.0, 0.5])) + 0.3 * torch.randn(60, generator=rng)
    facts = {
        "kind": "table",
        "target": "y",
        "target_mean": 5.0,
        "target_spread": 2.0,
        "inputs": 3,
        "mean": [0.0] * 3,
        "spread": [1.0] * 3,
    }
    decay = 0.1
    model, run = tried(tmp_path, held(Rows(input, target), facts), method=method, lr=0.1, tolerance=1e-4, decay=decay)
    assert 5 < run.step < 3000
    wide = torch.cat([input, torch.ones(60, 1)], 1).double()
    best = torch.linalg.solve(
        wide.T @ wide / 60 + decay * torch.eye(4).double(), wide.T @ ((target.double() - 5) / 2) / 60
    )
    torch.testing.assert_close(model.flat.double(), best, rtol=0, atol=2e-3)
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    assert '"gradient"' in log[-1]
    assert '"valid_loss"' in log[-1]


@pytest.mark.parametrize("method", get_args(Method))
def test_each_method_learns(tmp_path: Path, method: str) -> None:
    batch = examples("softmax", 200)
    facts = {"kind": "table", "labels": list("abc"), "inputs": 4, "mean": [0.0] * 4, "spread": [2.0] * 4}
    rates = {"descent": 1.0, "sgd": 0.3, "momentum": 0.1, "adagrad": 0.2, "rmsprop": 0.02, "adam": 0.02, "rprop": 0.01}
    model, _ = tried(
        tmp_path,
        held(batch, facts),
        hidden=(16,),
        activation="tanh",
        method=method,
        lr=rates[method],
        steps=600,
        batch=50,
    )
    assert batch.target.bincount().max() < 0.6 * 200
    assert float(loss(model, batch)["error"]) < 5.0  # always the same class: above 40


def test_two_hidden_units_find_symmetry() -> None:
    """The paper's figure 1, by its recipe: the 8 symmetric ones of 64 patterns, with two hidden units, squared error,
    weights from -0.3 to 0.3, rate 0.1 on the sum over patterns, momentum 0.9. There it took 1,425 sweeps."""
    patterns = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
    batch = Rows(patterns, (patterns == patterns.flip(1)).all(1).long())
    model = MLP(6, (2,), "logistic", "units", 2, ([0.0] * 6, [1.0] * 6))
    model.flat = 0.6 * torch.rand(len(model.flat), generator=keyed(0)) - 0.3
    optimizer = optimizer_of(Knobs(method="descent", lr=0.1 * 64, momentum=0.9), model)
    for _ in range(1425):
        error = float(downhill(model, batch, 0.0)["error"])
        if error == 0:
            break
        optimizer.step()
    assert error == 0
    weight = model.layers[0].weight.detach()
    assert (weight + weight.flip(1)).abs().max() < 0.05 * weight.abs().max()  # mirrored: equal and opposite


@pytest.fixture
def data_files(home: Path) -> dict[str, Path]:
    """A table with categories and missing values, for a class and for a number."""
    draw, rows = random.Random(0), []
    for k in range(300):
        size, colour, weight = draw.gauss(0, 1), draw.choice(["red", "green", "blue"]), draw.gauss(50, 10)
        value = 100 + 30 * size + {"red": 20, "green": 0, "blue": -20}[colour] + draw.gauss(0, 3)
        kind = "big" if 2 * size + (colour == "red") + draw.gauss(0, 0.2) > 0.3 else "small"
        rows.append(
            ["" if k % 11 == 0 else f"{size:.4f}", "" if k % 13 == 0 else colour, f"{weight:.2f}", f"{value:.3f}", kind]
        )
    files = {}
    for target, drop in (("value", 4), ("kind", 3)):
        files[target] = home / f"{target}.csv"
        with open(files[target], "w", newline="") as file:
            names = ["size", "colour", "weight", "value", "kind"]
            csv.writer(file).writerows([n for i, n in enumerate(row) if i != drop] for row in [names, *rows])
    return files


def train(home: Path, path: Path, target: str, **settings: Any) -> dict[str, Any]:
    order = Order("table", data=str(path), target=target, plan="exact")
    return dict(begin("mlp", {"steps": 300, **settings}, order, home / "runs").report)


def test_a_table_of_classes(home: Path, data_files: dict[str, Path]) -> None:
    report = train(home, data_files["kind"], "kind")
    scores = report["scores"]
    assert {
        "error",
        "error_nearest_neighbours",
        "error_linear",
        "error_logistic",
        "error_l1",
        "error_boosted_trees",
    } == set(scores)
    assert all(scores[name]["value"] < 30 and scores[name]["note"] for name in scores if name != "error")
    assert scores["error"]["value"] < 20  # chance: about 48
    assert report["confusion"]["labels"] == ["big", "small"]
    trained = load("mlp", home / "runs")
    big = {"size": 2.0, "colour": "red", "weight": 50}
    found = trained.use([Row(big), Row({"size": "-2", "colour": "", "weight": ""}), Row({**big, "colour": "mauve"})])
    assert [answer["answer"].best for answer in found] == ["big", "small", "big"]
    assert list(found[0]) == ["answer"]
    assert str(found[2]["never_seen"]) == "colour=mauve"
    assert isinstance(found[0]["answer"], Ranking)
    with pytest.raises(UserError, match="a row of a table, as this net learned from"):
        trained.use([Image(np.zeros((28, 28), np.uint8))])
    assert list((home / "runs" / "mlp-1" / "shows").glob("*-examples.json"))


def test_a_table_of_numbers(home: Path, data_files: dict[str, Path]) -> None:
    scores = train(home, data_files["value"], "value")["scores"]
    assert {"mae", "rmse", "mae_linear", "rmse_boosted_trees", "mae_l1"} <= set(scores)
    assert scores["mae"]["unit"] == "value"
    assert scores["mae"]["value"] < 15  # of a spread of about 35
    trained = load("mlp", home / "runs")
    low, high = trained.use([Row({"size": x, "colour": "red", "weight": 50}) for x in (-1, 1)])
    assert 60 < float(low["answer"].value) < 120 < float(high["answer"].value) < 180
    assert "value" in str(low["answer"])


def test_digits_end_to_end(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_DATA", "")
    order = Order(plan="exact")
    report = begin("mlp", {"hidden": [32], "steps": 150, "pipelines": False}, order, home / "runs").report
    assert set(report["scores"]) == {"error"}
    assert report["scores"]["error"]["value"] < 25
    trained = load("mlp", home / "runs")
    page = np.full((200, 160), 255, np.uint8)
    page[30:170, 70:90] = 0
    answer = trained.use([Image(page)])[0]
    assert answer["answer"].best == "1"
    assert answer["seen"].pixels.shape == (28, 28)
    with pytest.raises(UserError, match="a picture, as this net learned from"):
        trained.use([Row({"size": 1})])


def test_the_comparison_depends_on_the_seed_alone() -> None:
    facts = {"kind": "table", "labels": list("abc"), "inputs": 4, "mean": [0.0] * 4, "spread": [2.0] * 4}
    data, knobs = held(examples("softmax", 350), facts), Knobs(hidden=(8,), steps=60)
    curves = []
    for noise in range(2):
        torch.manual_seed(noise)  # the global generator has no say
        torch.rand(noise)
        curves.append(by_examples(knobs, net((8,)), data, PLACE))
    first, second = curves
    assert list(first.x) == [100, 300, 350]
    assert "this net" in first.lines and "boosted trees" in first.lines
    assert first.lines == second.lines
    other = by_examples(knobs, net((8,)), data, PLACE._replace(seed=1))
    assert other.lines["this net"] != first.lines["this net"]
    assert other.lines["this net"][-1] == first.lines["this net"][-1]  # all examples: the trained net as it is


def test_without_scikit_learn_the_score_says_so(
    home: Path, data_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    scores = train(home, data_files["kind"], "kind", steps=30)["scores"]
    assert set(scores) == {"error"}
    assert "milestones[tables]" in scores["error"]["note"]


def test_settings() -> None:
    assert changed(system.presets["quick"], {"hidden": ["300", "100"]}, "mlp").hidden == (300, 100)
    assert changed(system.presets["quick"], {"hidden": []}, "mlp").hidden == ()
    for settings in ({"hidden": [0]}, {"method": "newton"}, {"momentum": 1.0}):
        with pytest.raises(UserError):
            changed(system.presets["quick"], settings, "mlp")


def test_probe_of_pictures_and_rows() -> None:
    model = net()
    rows = system.probe(model, examples("softmax"))
    assert rows.scores(rows.input).shape == (30, 3)
    assert rows.low == -rows.high == -float("inf")
    pictures = MLP(784, (4,), "relu", "softmax", 10, (33.0, 78.0))
    found = system.probe(
        pictures, Labelled(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.zeros(2, dtype=torch.long))
    )
    assert (found.low, found.high) == (0.0, 255.0)
    assert found.scores(found.input).shape == (2, 10)
