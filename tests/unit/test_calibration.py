"""Calibration against an independent loop, an example worked by hand, a grid, and brute force over all thresholds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from milestones.core.errors import UserError
from milestones.media import Ranking, Text
from milestones.parts.calibration import (
    Answering,
    answering,
    calibration_error,
    kept,
    log_loss,
    reliability,
    temperature,
)
from milestones.verbs.use import cautious, threshold


def made(count: int, classes: int = 5, hot: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, `hot` times as far apart as they should be, and targets drawn from the chances that are true."""
    rng = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(count, classes, generator=rng)
    return hot * scores, torch.multinomial(scores.softmax(-1), 1, generator=rng)[:, 0]


def test_worked_by_hand() -> None:
    chance = torch.tensor([[0.95, 0.05], [0.9, 0.1], [0.4, 0.6], [0.45, 0.55]]).double()
    target = torch.tensor([0, 1, 1, 0])
    bins = reliability(chance.log(), target, bins=2)  # all four answers lie in (50, 100]
    assert bins[0].count == 0
    assert bins[1] == pytest.approx((50, 100, 4, 75, 50))
    assert calibration_error(bins) == pytest.approx(25)
    bins = reliability(chance.log(), target, bins=4)  # .55 and .6 in (50, 75]; .9 and .95 in (75, 100]
    assert [one.count for one in bins] == [0, 0, 2, 2]
    assert calibration_error(bins) == pytest.approx((2 * (57.5 - 50) + 2 * (92.5 - 50)) / 4)
    assert log_loss(chance.log(), target) == pytest.approx(-sum(map(math.log, (0.95, 0.1, 0.6, 0.45))) / 4)


@pytest.mark.parametrize(("hot", "bins"), [(1.0, 15), (2.0, 15), (0.5, 10), (3.0, 7)])
def test_against_a_loop(hot: float, bins: int) -> None:
    scores, target = made(700, hot=hot)
    sums: dict[int, list[float]] = {}
    for row, label in zip(scores.double().softmax(-1).tolist(), target.tolist(), strict=True):
        sure = max(row)
        one = sums.setdefault(math.ceil(sure * bins) - 1, [0, 0, 0])
        one[0] += 1
        one[1] += sure
        one[2] += row.index(sure) == label
    want = sum(n / 700 * abs(right / n - sure / n) for n, sure, right in sums.values())
    found = reliability(scores, target, bins)
    assert calibration_error(found) == pytest.approx(100 * want)
    assert sum(one.count for one in found) == 700


def test_a_chance_of_one_and_of_equal_classes_have_a_bin() -> None:
    bins = reliability(torch.tensor([[900.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 0]))
    assert (bins[14].count, bins[7].count) == (1, 1)


@pytest.mark.parametrize("hot", [0.5, 1.0, 1.5, 4.0])
def test_temperature_against_a_grid(hot: float) -> None:
    scores, target = made(4000, hot=hot)
    found = temperature(scores, target)
    grid = [math.exp(k / 200) for k in range(-400, 400)]
    best = min(grid, key=lambda heat: log_loss(scores / heat, target))
    assert found == pytest.approx(best, rel=0.006)
    assert found == pytest.approx(hot, rel=0.1), "what they were made too hot by"
    assert log_loss(scores / found, target) <= log_loss(scores / best, target) + 1e-9


def test_temperature_without_a_mistake() -> None:
    assert temperature(torch.eye(3), torch.arange(3)) == 1.0


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40),
    st.sampled_from([0.0, 1.0, 10.0, 25.0, 50.0, 99.0]),
)
def test_thresholds_against_brute_force(answers: list[tuple[int, bool]], most: float) -> None:
    sure, right = torch.tensor([s / 10 for s, _ in answers]), torch.tensor([r for _, r in answers])
    best = 0.0
    for limit in {s for s, _ in answers}:
        given = [r for s, r in answers if s >= limit]
        if 100 * (len(given) - sum(given)) / len(given) <= most:
            best = max(best, 100 * len(given) / len(answers))
    row = kept(answering(sure, right), most)
    assert (row.answered if row else 0.0) == pytest.approx(best)
    if row:
        given = [r for s, r in zip(sure.double().tolist(), right.tolist(), strict=True) if 100 * s >= row.sure]
        assert 100 * len(given) / len(answers) == pytest.approx(row.answered)
        assert 100 * (len(given) - sum(given)) / len(given) == pytest.approx(row.error)


def test_a_long_table_is_thinned() -> None:
    rng = torch.Generator().manual_seed(0)
    sure = torch.rand(20_000, generator=rng)
    right = torch.rand(20_000, generator=rng) < sure
    whole, thin = answering(sure, right, 20_000), answering(sure, right, 50)
    assert len(thin) == 50 < len(whole)
    assert (thin[0], thin[-1]) == (whole[0], whole[-1])
    assert set(thin) <= set(whole)


def folder_with(folder: Path, rows: Any) -> Path:
    (folder / "report.json").write_text(json.dumps({"format": 1, "calibration": {"answering": {"rows": rows}}}))
    return folder


def test_threshold_of_a_run(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [[99.0, 40.0, 0.5], [90.0, 70.0, 1.0], [60.0, 100.0, 4.0]])
    assert threshold(folder, 1.0, "lenet") == (90.0, 70.0)
    assert threshold(folder, 50.0, "lenet") == (60.0, 100.0)
    with pytest.raises(UserError, match=r"an error that this run can keep, from 0.5 %, got 0.1 %.*--at-error 0.5"):
        threshold(folder, 0.1, "lenet")


@pytest.mark.parametrize("most", [-1.0, 100.0, math.nan, math.inf])
def test_an_error_that_is_no_percentage(tmp_path: Path, most: float) -> None:
    with pytest.raises(UserError, match="--at-error from 0 and below 100 percent"):
        threshold(tmp_path, most, "lenet")


@pytest.mark.parametrize("rows", [[], "all", [[1.0]], [["a", "b", "c"]], [None], {"0": 1}, 7])
def test_a_run_without_a_table(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(UserError, match="a run that knows how sure it must be"):
        threshold(folder_with(tmp_path, rows), 1.0, "lenet")
    (tmp_path / "report.json").unlink()
    with pytest.raises(UserError, match=r"without --split final"):
        threshold(tmp_path, 1.0, "lenet")


def test_what_is_not_known_is_not_answered() -> None:
    sure, unsure = Ranking(("7", "1"), (0.97, 0.03)), Ranking(("7", "1"), (0.6, 0.4))
    assert cautious({"answer": sure, "seen": 1}, 97.0) == {"answer": sure, "seen": 1}
    found = cautious({"answer": unsure, "seen": 1}, 97.0)
    assert list(found) == ["answer", "perhaps", "seen"]
    assert str(found["answer"]) == "I don't know"
    assert found["perhaps"] is unsure
    assert cautious({"answer": Text("12")}, 97.0) == {"answer": Text("12")}, "no chance, no doubt"


def test_rows_are_percent() -> None:
    assert answering(torch.tensor([0.9, 0.8]), torch.tensor([True, False])) == [
        Answering(pytest.approx(90.0), 50.0, 0.0),
        Answering(pytest.approx(80.0), 100.0, 50.0),
    ]
