"""The page lstm: what it reads of pictures and series, and how its answers are made."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.media import Image, Number, Series
from milestones.systems.lstm import CLOSE, Knobs, flows, loss_of, missed, system


def place(path: Path | str = "", seed: int = 0) -> Place:
    return Place(torch.device("cpu"), seed, choice=Choice(str(path)))


def digits(path: Path, count: int = 60) -> Path:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (count, 28, 28), np.uint8)
    np.savez(path, image=image, label=np.arange(count) % 3)
    return path


def test_rows_pixels_and_the_same_permutation_for_all(tmp_path: Path) -> None:
    path = digits(tmp_path / "some.npz")
    rows, pixels, mixed, again = (
        system.prepare(Knobs(reading=reading), place(path, seed))  # type: ignore[arg-type]
        for reading, seed in (("rows", 0), ("pixels", 0), ("permuted", 0), ("permuted", 7))
    )
    one = [next(data.test.sweep(3)) for data in (rows, pixels, mixed)]
    assert [tuple(batch.series.shape) for batch in one] == [(3, 28, 28), (3, 784, 1), (3, 784, 1)]
    assert torch.equal(one[0].series.flatten(1), one[1].series[..., 0])
    assert torch.equal(one[1].series[:, mixed.facts["order"]], one[2].series)
    assert mixed.facts["order"] == again.facts["order"] and sorted(mixed.facts["order"]) == list(range(784))
    assert rows.facts["order"] == [] and (rows.facts["inputs"], pixels.facts["inputs"]) == (28, 1)


@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("both", [False, True])
def test_padding_changes_no_answer(readout: str, both: bool) -> None:
    facts = {"labels": ["a", "b"], "mean": [0.0, 1.0], "spread": [1.0, 2.0], "inputs": 2, "kind": "series",
             "channels": ["a", "b"], "missing": [False, False]}  # fmt: skip
    torch.manual_seed(0)
    knobs = changed(Knobs(width=6, layers=2), {"readout": readout, "both": both}, "lstm")
    model = system.build(knobs, facts).eval()
    long, short = torch.randn(1, 9, 2), torch.randn(1, 5, 2)
    together = torch.cat([long, torch.nn.functional.pad(short, (0, 0, 0, 4), value=7.0)])
    with torch.no_grad():
        for net in model.of.values():
            said = net(together, torch.tensor([9, 5]))
            assert torch.allclose(said[0], net(long, torch.tensor([9]))[0], atol=1e-6)
            assert torch.allclose(said[1], net(short, torch.tensor([5]))[0], atol=1e-6)


def test_an_answer_is_that_of_its_last_step(tmp_path: Path) -> None:
    data = system.prepare(Knobs(), place(digits(tmp_path / "some.npz")))
    torch.manual_seed(0)
    model = system.build(Knobs(width=6, beside=False), data.facts).eval()
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 10:14] = 255
    with torch.no_grad():
        answer = system.use(model, data.facts, [Image(pixels)])[0]
    curve = answer["after each step"]
    assert len(curve.x) == 28
    assert {name: line[-1] / 100 for name, line in curve.lines.items()} == pytest.approx(
        dict(zip(answer["answer"].labels[:3], answer["answer"].chances[:3], strict=True)), abs=1e-6
    )
    with pytest.raises(UserError, match="pictures, as it was trained on, got a series"):
        system.use(model, data.facts, [Series(np.zeros((3, 1)), ("a",))])


def test_the_adding_problem_counts_what_is_not_close() -> None:
    knobs = Knobs(task="adding", span=10, width=6, beside=False)
    data = system.prepare(knobs, place())
    torch.manual_seed(0)
    model = system.build(knobs, data.facts).eval()
    torch.nn.init.zeros_(model.of["lstm"].out.weight)
    torch.nn.init.zeros_(model.of["lstm"].out.bias)
    wrong, by = missed(model.of["lstm"], data.test)
    label = data.test.examples.label
    assert torch.equal(wrong, (label - 1).abs() > CLOSE), "a net without weights says the mean, 1"
    assert float(by.mean()) == pytest.approx(1 / 6, abs=0.03)
    scores = system.score(knobs, model, data, place())
    assert scores["error"].value == pytest.approx(100 * float(wrong.float().mean()))
    assert scores["squared_error"].low < 1 / 6 < scores["squared_error"].high
    assert float(loss_of(model, next(data.test.sweep(1000)))["loss"].detach()) == pytest.approx(
        float(by.mean()), rel=1e-4
    )
    assert set(flows(model, data).lines) == {"lstm", "lstm, its cell"}
    with torch.no_grad():
        answer = system.use(model, data.facts, [Series(np.random.rand(10, 2), ("number", "mark"))])[0]
    assert isinstance(answer["answer"], Number) and answer["answer"].value == pytest.approx(1)
    with pytest.raises(UserError, match="series, as it was trained on, got a picture"):
        system.use(model, data.facts, [Image(np.zeros((9, 9), np.uint8))])
    with pytest.raises(UserError, match=re.escape("no --data: the adding problem is made here")):
        system.prepare(knobs, place("some.csv"))
