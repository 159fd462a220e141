"""Gates, the mistake bound, and XOR."""

from __future__ import annotations

import math

import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Place
from milestones.systems.perceptron import GATES, Knobs, Perceptron, build, loss, mistake_bound, prepare, train, truth

CPU = torch.device("cpu")


def trained(knobs: Knobs, folder, seed: int = 0):
    place = Place(CPU, seed)
    data = prepare(knobs, place)
    model = build(knobs, data.facts)
    with Run(folder, place, plan="exact") as run:
        train(knobs, model, data, run)
    return model, data, run


def test_gates() -> None:
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [GATES["and"](*p) for p in pairs] == [0, 0, 0, 1]
    assert [GATES["or"](*p) for p in pairs] == [0, 1, 1, 1]
    assert [GATES["nand"](*p) for p in pairs] == [1, 1, 1, 0]
    assert [GATES["xor"](*p) for p in pairs] == [0, 1, 1, 0]
    assert "1 1    1   1     0    0" in truth().text


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("task", ["clouds", "and", "or", "majority"])
def test_mistakes_stay_below_the_bound(task: str, seed: int, tmp_path) -> None:
    model, data, run = trained(Knobs(task=task, inputs=7, examples=300, passes=500), tmp_path, seed)
    inputs, targets = next(data.train.sweep(10000))
    assert int((model(inputs).argmax(1) != targets).sum()) == 0
    assert run.step < 500  # it ended because a pass was without mistakes
    bound = mistake_bound(model, data)
    assert 0 < int(model.mistakes) <= bound < math.inf


def test_the_clouds_keep_their_distance() -> None:
    knobs = Knobs(margin=0.3, inputs=5, examples=600)
    data = prepare(knobs, Place(CPU, 3))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [400, 100, 100]
    inputs, targets = next(data.train.sweep(1000))
    # No separator is known to the page's users; a support vector machine without slack finds the widest one.
    svm = pytest.importorskip("sklearn.svm").SVC(kernel="linear", C=1e6).fit(inputs.numpy(), targets.numpy())
    assert 1 / float((svm.coef_**2).sum() ** 0.5) >= 0.299


def test_xor_is_never_learned(tmp_path) -> None:
    model, data, run = trained(Knobs(task="xor", passes=60), tmp_path)
    assert run.step == 60
    assert mistake_bound(model, data) == math.inf
    inputs, targets = next(data.train.sweep(4))
    assert int((model(inputs).argmax(1) != targets).sum()) >= 1


def test_the_rule_on_one_mistake() -> None:
    model = Perceptron(2)
    with torch.no_grad():
        assert model.learn(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]), [1, 0]) == 1
    assert model.weight.tolist() == [1, 2]
    assert model.bias.tolist() == 1
    assert int(model.mistakes) == 1
    with torch.no_grad():
        assert model.learn(torch.tensor([[0.0, 1.0]]), [0]) == 1  # 2 + 1 > 0: taken away
    assert model.weight.tolist() == [1, 1]
    assert model.bias.tolist() == 0


def test_criterion_is_the_distance_of_mistakes() -> None:
    model = Perceptron(1)
    with torch.no_grad():
        model.weight.fill_(2.0)
    batch = next(prepare(Knobs(task="and"), Place(CPU, 0)).train.sweep(4))
    one = type(batch)(torch.tensor([[3.0], [-1.0]]), torch.tensor([0, 0]))
    assert float(loss(model, one)["loss"].detach()) == pytest.approx(3.0)  # (6 + 0) / 2
    assert float(loss(model, one)["error"]) == pytest.approx(50.0)


def test_a_table_of_three_classes_is_refused(tmp_path) -> None:
    path = tmp_path / "three.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i * i % 7},{'uvw'[i % 3]}\n" for i in range(90)))
    with pytest.raises(UserError, match=r"expected a target of two classes, got 3 classes in 'y'\. Train mlp on it"):
        prepare(Knobs(), Place(CPU, 0, choice=Choice(str(path), "y")))
