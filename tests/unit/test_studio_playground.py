"""The playground's net: what it learns from, how it is changed by hand, and the script that repeats it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.sums import valued

from milestones.core.errors import UserError
from milestones.parts import plane
from milestones.parts.formula import parse, written
from milestones.studio.acts.playground import act
from milestones.studio.desk import Answer, Desk
from milestones.studio.playground.points import PLACE, VALUE, Own, read, received
from milestones.studio.playground.script import script
from milestones.studio.playground.settings import change, settings
from milestones.studio.playground.trainer import Trainer

CLOUDS = np.random.default_rng(0).normal(0, 1, (60, 2)) + np.repeat([[2, 2], [-2, 1]], 30, 0)
ROWS = np.column_stack([np.rint(CLOUDS * PLACE), np.repeat([0, 1], 30)]).astype(np.int16)


def trained(epochs: int = 3, own: Own | None = None, **changes: object) -> Trainer:
    trainer = Trainer(settings({"examples": 60, **changes}), own)
    trainer.advance(epochs * trainer.per_epoch, 1e9)
    return trainer


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sets_are_what_they_say() -> None:
    point, label = plane.circle(900, 0.0, 3, rng())
    radius = point.norm(dim=1)
    for inner, outer in itertools.pairwise(range(3)):
        assert radius[label == inner].max() < radius[label == outer].min()
    point, label = plane.xor(400, 0.0, 2, rng())
    assert torch.equal(label == 1, point[:, 0] * point[:, 1] < 0)
    assert set(plane.xor(400, 0.0, 4, rng())[1].tolist()) == {0, 1, 2, 3}
    point, label = plane.gauss(2000, 0.0, 2, rng())
    assert float(point[label == 0].std(0).mean()) == pytest.approx(0.7, rel=0.1)
    point, label = plane.spiral(300, 0.0, 2, rng())
    turned = torch.atan2(point[:, 0], point[:, 1]) - 2 * np.pi * (1.75 * point.norm(dim=1) / 5 + label / 2)
    assert torch.allclose(torch.cos(turned), torch.ones(300), atol=1e-4)
    point, label = plane.moons(300, 0.0, 2, rng())
    side = 1.0 - 2.0 * label
    assert torch.allclose((point - side[:, None] * torch.tensor([-1.5, -0.75])).norm(dim=1), torch.tensor(3.0))
    point, label = plane.above(300, 0.0, rng(), torch.sin)
    assert torch.equal(label == 1, point[:, 1] > point[:, 0].sin())
    point, value = plane.plane(300, 0.0, rng())
    assert torch.allclose(value, point.sum(1) / 10)
    point, value = plane.hills(5000, 0.0, rng())
    best = point[value.argmax()]
    assert value.abs().max() < 1.2 and torch.allclose(best[1].abs(), torch.tensor(2.5), atol=0.3)
    point, value = plane.surface(300, 0.0, rng(), lambda x, y: x * y)
    assert torch.equal(value, point[:, 0] * point[:, 1])


@pytest.mark.parametrize("text", ["x^2 + 3*sin(y)", "-x/(y + 7)", "2", "exp(-x^2) - abs(y)*pi", "sqrt(x*x)^3"])
def test_a_formula_is_written_as_python(text: str) -> None:
    x, y = torch.randn(2, 50, generator=rng())
    values = {"torch": torch, "x": x, "y": y}
    found = valued(written(parse(text)), values)  # what parse let through
    assert torch.equal(found, parse(text)(x, y))


def test_the_same_settings_give_the_same_curve() -> None:
    fast = Trainer(settings({"noise": 20}))
    for _ in range(50):  # in slices of one update
        fast.advance(1, 1e9)
    slow = Trainer(settings({"noise": 20}))
    slow.advance(50, 1e9)
    assert fast.step == slow.step == 50 and fast.curve == slow.curve and torch.equal(fast.model.flat, slow.model.flat)
    other = Trainer(settings({"noise": 20, "seed": 1}))
    assert other.curve[0] != slow.curve[0] and not torch.equal(other.points, slow.points)
    assert slow.curve[-1][0] < slow.curve[0][0]


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_an_update_is_the_gradient_step(penalty: str) -> None:
    """One step of SGD against differences of the penalised loss."""
    trainer = Trainer(
        settings({"examples": 20, "batch": 20, "penalty": penalty, "decay": 0.1, "lr": 0.5, "hidden": [2]})
    )
    before, twin = trainer.model.flat.double(), Trainer(trainer.settings).model.double()
    twin.normalise.double()
    batch = trainer.rows(slice(trainer.cut))

    def height(weights: torch.Tensor) -> float:
        twin.flat = weights
        with torch.no_grad():
            return float(trainer.penalised(twin, type(batch)(batch.input.double(), batch.target))["loss"])

    each = torch.eye(len(before), dtype=torch.float64) * 1e-5
    slope = torch.tensor([(height(before + e) - height(before - e)) / 2e-5 for e in each])
    trainer.update()
    assert torch.allclose(trainer.model.flat.double(), before - 0.5 * slope, atol=2e-5)


def test_a_changed_weight_changes_the_output_as_numpy_says() -> None:
    trainer = trained(2, hidden=[3], inputs=["x", "y^2"], share=90)
    before = trainer.maps()[2].numpy()
    trainer.steer(["w0.2.1=1.25", "b1.0=-0.5"])
    w0, w1 = (layer.weight.detach().numpy().astype(np.float64) for layer in trainer.model.layers)
    b0, b1 = (layer.bias.detach().numpy().astype(np.float64) for layer in trainer.model.layers)
    assert w0[2, 1] == 1.25 and b1[0] == -0.5
    at = 12 * (np.arange(100) + 0.5) / 100 - 6
    x, y = np.meshgrid(at, -at)
    raw = np.stack([x.ravel(), y.ravel() ** 2])
    normal = (raw - np.array(trainer.facts["mean"])[:, None]) / np.array(trainer.facts["spread"])[:, None]
    answer = 1 / (1 + np.exp(-(w1 @ np.tanh(w0 @ normal + b0[:, None]) + b1[:, None])))
    after = trainer.maps()[2].numpy()
    assert np.abs(after.reshape(-1) - 255 * answer[0]).max() < 0.51
    assert (after != before).mean() > 0.5


def test_changes_by_hand_belong_to_the_experiment() -> None:
    trainer = trained(2)
    trainer.steer(["w0.0.1=2", "lr=0.5"])
    trainer.advance(3, 1e9)
    trainer.steer(["w0.0.1=-1.23456789"])
    trainer.steer(["w0.0.1=-1"])  # at the same update: the last counts
    trainer.advance(2 * trainer.per_epoch, 1e9)
    assert [str(one) for one in trainer.changes][-1].endswith("w0.0.1=-1") and len(trainer.changes) == 3
    again = Trainer(settings({**trainer.settings.model_dump(), "changes": [str(one) for one in trainer.changes]}))
    again.advance(trainer.step, 1e9)
    assert again.curve == trainer.curve and torch.equal(again.model.flat, trainer.model.flat) and again.lr == 0.5


CASES = {
    "plain": {}, "three classes": {"data": "gauss", "classes": 3, "noise": 20, "activation": "relu"},
    "squared": {"squared": True, "activation": "logistic"}, "l1": {"penalty": "l1", "decay": 0.01, "method": "adam"},
    "l2": {"penalty": "l2", "decay": 0.01, "method": "momentum", "lr": 0.03, "data": "xor"},
    "values": {"problem": "values", "data": "hills", "noise": 10, "method": "nesterov", "lr": 0.01},
    "own formula": {"data": "above", "formula": "2*sin(x)", "hidden": [], "inputs": ["x", "y", "sin(x)"]},
    "surface": {"problem": "values", "data": "surface", "formula": "x*y - 2", "method": "rmsprop", "lr": 0.01},
    "rings": {"data": "spiral", "classes": 4, "method": "adagrad", "hidden": [5, 4, 3]},
    "own classes": {"data": "own", "batch": 7}, "own values": {"problem": "values", "data": "own", "share": 80},
    "changes": {"changes": ["0:w0.0.0=1.5", "7:lr=0.3", "7:b1.0=0.25", "9:decay=0.1"], "penalty": "l2"},
    "moons": {"data": "moons", "activation": "linear"}, "plane": {"problem": "values", "data": "plane"},
}  # fmt: skip


def test_the_script_gives_the_same_curve(tmp_path: Path) -> None:
    """Each script runs by itself, without milestones; several in one process, since PyTorch takes seconds to begin."""
    toys, runner = {}, ["import runpy, sys"]
    for name, case in CASES.items():
        values = np.column_stack([ROWS[:, :2], ROWS[:, 0] * (VALUE // 30000)]).astype(np.int16)
        own = Own(values if name == "own values" else ROWS, () if name == "own values" else ("a", "b"))
        trainer = toys[name] = trained(4, own if case.get("data") == "own" else None, **case)
        text = script(trainer, 4)
        assert "milestones import" not in text and "import milestones" not in text
        if case.get("data") != "own":
            assert len(text.splitlines()) <= 80
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        runner += [f"print('#', {name!r})", f"runpy.run_path({str(path)!r})"]
    done = subprocess.run([sys.executable, "-I", "-c", "\n".join(runner)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = {part.split("\n")[0]: part.split("\n")[1:] for part in done.stdout.replace("# ", "#").split("#")[1:]}
    assert set(printed) == set(toys)
    for name, trainer in toys.items():
        rows = np.array([[float(cell) for cell in line.split()] for line in printed[name] if line])
        assert rows[:, 0].tolist() == [0, 1, 2, 3, 4], name
        np.testing.assert_allclose(rows[:, 1:], np.array(trainer.curve)[:, [0, 2]], rtol=1e-5, atol=1e-6, err_msg=name)
        assert abs(rows[-1, 1] - rows[0, 1]) > 1e-4, name


def asked(desk: Desk, payload: bytes = b"", **ask: object) -> Answer:
    found = act(desk, ask, payload)
    assert isinstance(found, Answer)
    return found


def test_acts(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {})
    with pytest.raises(UserError, match="an experiment that was set"):
        act(desk, {"do": "playground"}, b"")
    first = asked(desk, do="steer", what="set", settings={"hidden": [3, 2], "data": "gauss", "classes": 3})
    assert first.content["layers"] == [2, 3, 2, 3] and first.content["output"] == "softmax"
    assert first.arrays["units"].shape == (10, 24, 24) and first.arrays["output"].shape == (3, 100, 100)
    assert first.arrays["points"].shape == (500, 3)
    assert np.array_equal(first.arrays["units"][0, 0], np.sort(first.arrays["units"][0, 0]))  # x1 grows to the right
    with pytest.raises(UserError, match="a path of three epochs"):
        next(iter(act(desk, {"do": "terrain"}, b"")))
    while desk.memory["playground"].step < 150:
        told = asked(desk, do="playground", updates=150 - desk.memory["playground"].step, have=1)
    assert told.content["step"] == 150 and told.arrays["curve"].shape == (6, 4) and "points" not in told.arrays
    assert told.arrays["weights"].shape == told.arrays["gradients"].shape == (26,)
    assert asked(desk, do="steer", what="change", changes=["lr=1"]).content["changes"] == ["150:lr=1"]
    answers = list(act(desk, {"do": "terrain"}, b""))
    heights, place = answers[-1].arrays["heights"], answers[-1].content["path"]
    assert np.isfinite(heights).all() and place[-1] == pytest.approx([0, 0], abs=1e-5)
    assert answers[-1].content["here"] == pytest.approx(told.content["now"][0], rel=1e-4)
    assert sum(answers[-1].content["shares"]) > 0.5
    assert "gauss(500" in asked(desk, do="script").content["script"]
    assert set(asked(desk, do="steer", what="sets").arrays) >= {"circle", "xor", "hills", "surface"}
    for answer in (first, told, *answers):
        assert answer.packed(1, True)
    for wrong in ({"do": "playground", "updates": 0}, {"do": "playground", "have": "all"}):
        with pytest.raises(UserError, match="a whole number from"):
            act(desk, wrong, b"")
    with pytest.raises(UserError, match="a list of changes"):
        act(desk, {"do": "steer", "changes": "lr=1"}, b"")


def test_a_diverging_net_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {})
    asked(
        desk, do="steer", what="set", settings={"problem": "values", "data": "plane", "lr": 100, "activation": "linear"}
    )
    for _ in range(20):
        told = asked(desk, do="playground", updates=1000)
    assert told.content["diverged"] and told.content["now"][0] is None
    assert told.packed(1, True) and told.arrays["output"].dtype == np.uint8


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (None, "settings of an experiment"),
        ({"noise": 80}, "a whole number from 0 to 50"),
        ({"rate": 1}, "no setting 'rate'"),
        ({"hidden": [9]}, "Change the setting 'hidden'"),
        ({"data": "plane"}, "a data set of classes"),
        ({"problem": "values"}, "a data set of values: plane, hills, surface"),
        ({"data": "moons", "classes": 3}, "Choose gauss or spiral for more"),
        ({"data": "above", "formula": "x + y"}, "a formula of x alone"),
        ({"data": "above", "formula": "import os"}, "the name 'import' at column 1 in the formula"),
        ({"inputs": ["x", "x"]}, "different inputs"),
        ({"inputs": ["1/(x-x)"]}, "inputs that are below a million"),
        ({"problem": "values", "data": "surface", "formula": "exp(x^2)"}, "a formula that is below 10,000"),
        ({"problem": "values", "data": "surface", "formula": "sqrt(x)"}, "a formula that is below 10,000"),
        ({"data": "own"}, "points of your own, got none"),
        ({"changes": ["now:lr=1"]}, "a change, as 120:w0.1.0=0.5"),
        ({"changes": ["0:w9.0.0=1"]}, "a weight of this net"),
    ],
)
def test_what_is_no_experiment(asks: object, words: str) -> None:
    with pytest.raises(UserError) as found:
        Trainer(settings(asks))
    assert words in str(found.value)


def test_changes_have_an_end() -> None:
    trainer = Trainer(settings({"changes": [f"{k}:lr=0.1" for k in range(500)]}))
    trainer.advance(500, 1e9)
    with pytest.raises(UserError, match="at most 500 changes by hand"):
        trainer.steer(["lr=0.2"])
    assert change("3:decay=0").value == 0


def test_own_points_arrive() -> None:
    own = received({"labels": ["hot", "cold"]}, ROWS.astype("<i2").tobytes(), "classes")
    assert own.labels == ("hot", "cold") and np.array_equal(own.rows, ROWS)
    point, label = own.tensors("classes")
    assert torch.allclose(point, torch.tensor(CLOUDS, dtype=torch.float32), atol=1e-4) and label.sum() == 30
    with pytest.raises(UserError, match="points of your own"):
        received({}, ROWS[:3].tobytes(), "classes")
    wrong = ROWS.copy()
    wrong[0, 2] = 7
    with pytest.raises(UserError, match="of your own points, got 7"):
        received({}, wrong.tobytes(), "classes")


def test_csv_is_read() -> None:
    text = "width;height;kind\n1,5;10;cat\n2,5;20;dog\n\n3,5;30;cat\n0,5;40;dog\n"
    own = read(text.encode(), "classes")
    assert own.labels == ("cat", "dog") and own.axes == (("width", 0.5, 3.5), ("height", 10, 40))
    assert own.rows.tolist()[0] == [round(5 * PLACE * (2 * 1 / 3 - 1)), -5 * PLACE, 0]
    own = read(b"1 2 3.5\n2 3 4.5\n3 1 0.5\n0 0 1\n", "values")
    assert own.axes == (("x1", 0, 3), ("x2", 0, 3), ("target", 0.5, 4.5))
    assert own.rows[:, 2].tolist() == [VALUE // 2, VALUE, -VALUE, -VALUE * 3 // 4] and own.labels == ()


@pytest.mark.parametrize(
    ("raw", "problem", "words"),
    [
        (b"", "classes", "at least 4 rows, got 0 in the file. Add rows"),
        (b"1,2,a\n" * 3, "classes", "at least 4 rows"),
        (b"1,2\n" * 9, "classes", "three columns: two numbers, then the class or value, got 2 columns in line 1"),
        (b"1,2,a\n1,2,3,4\n" + b"1,2,b\n" * 9, "classes", "got 4 columns in line 2"),
        (b"x,y,k\n1,2,a\n2,zwei,b\n3,4,a\n5,6,b\n", "classes", "a number in column 2, y, got 'zwei' in line 3"),
        (b"1,2,a\n2,3,b\n3,nan,a\n4,5,b\n", "classes", "got 'nan' in line 3"),
        (b"1,2,a\n2,3,b\n3,4,c\n4,5,d\n6,7,e\n", "classes", "2 to 4 classes in column 3, got 5 different entries"),
        (b"1,2,a\n2,3,b\n3,4,c\n4,5,d\n", "values", "a number in column 3, target, got 'a' in line 1"),
        (b"1,2,a\n1,3,b\n1,4,a\n1,5,b\n", "classes", "a column that varies, got 1 in each row of x1"),
        (b"1,2,a\n" * 2002, "classes", "at most 2,000 rows, got 2,002"),
        (b"PK\0\0" * 9, "classes", "a CSV file, which is text"),
        (b" " * ((1 << 20) + 1), "classes", "a file of at most 1 MB"),
    ],
)
def test_a_csv_that_is_wrong(raw: bytes, problem: str, words: str) -> None:
    with pytest.raises(UserError) as found:
        read(raw, problem)
    assert words in str(found.value) and "\n" not in str(found.value)
