"""The shared loop against the same loop written out by hand: the same bits."""

from __future__ import annotations

import copy
import inspect
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.fit import blend, constant, cosine, evaluate, fit
from milestones.core.run import Run
from milestones.core.source import Held, Place, keyed

CPU = torch.device("cpu")


class Pairs(NamedTuple):
    input: Tensor
    label: Tensor


def source(n: int, split: str) -> Held[Pairs]:
    input = torch.randn(n, 5, generator=keyed(1, split))
    return Held(Pairs(input, (input.sum(1) > 0).long()), Place(CPU, 0), "made", split)


def made() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2))


def loss(model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    return {"loss": F.cross_entropy(model(batch.input), batch.label)}


def by_hand(steps: int, folder: Path, *, schedule: Callable[[int], float] = constant, clip: float | None = None,
            average: float | None = None, stop: int | None = None) -> nn.Module:  # fmt: skip
    """The loop that a reader would write."""
    torch.set_num_threads(1)
    model, train = made(), source(40, "train")
    adam = torch.optim.Adam(model.parameters(), 0.02)
    mean = copy.deepcopy(model)
    seeds = Run(folder, Place(CPU, 0), "exact")
    for step in range(steps if stop is None else stop):
        seeds.seed("train", step)
        adam.param_groups[0]["lr"] = 0.02 * schedule(step)
        batch = train.batch(step, 8)
        value = F.cross_entropy(model(batch.input), batch.label)
        adam.zero_grad()
        value.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        adam.step()
        if average:
            decay = min(average, (1 + step) / (10 + step))
            with torch.no_grad():
                for kept, now in zip(mean.parameters(), model.parameters(), strict=True):
                    kept.lerp_(now, 1 - decay)
                for kept, now in zip(mean.buffers(), model.buffers(), strict=True):
                    kept.copy_(now)
    return mean if average else model


def by_fit(steps: int, folder: Path, **more: Any) -> nn.Module:
    torch.set_num_threads(1)
    model = made()
    adam = torch.optim.Adam(model.parameters(), 0.02)
    with Run(folder, Place(CPU, 0), "contiguous/float32/1") as run:
        fit(model, loss, source(40, "train"), run, steps=steps, batch=8, optimizer=adam, **more)
    return model


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("more", [
    {}, {"schedule": cosine(30)}, {"schedule": cosine(30, 5)}, {"clip": 0.1}, {"average": 0.9},
    {"schedule": cosine(30), "clip": 0.5, "average": 0.99},
])  # fmt: skip
def test_same_weights_as_by_hand(tmp_path: Path, more: dict[str, Any]) -> None:
    assert same(by_fit(30, tmp_path, **more), by_hand(30, tmp_path, **more))


def test_evaluation_on_the_way_changes_nothing(tmp_path: Path) -> None:
    assert same(by_fit(30, tmp_path, valid=source(30, "valid")), by_hand(30, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    assert [line["step"] for line in lines if "valid_loss" in line] == [5, 10, 15, 20, 25, 30], (
        "once an epoch, and at the end"
    )


def test_each_option_matters(tmp_path: Path) -> None:
    plain = by_fit(30, tmp_path / "1")
    for i, more in enumerate([{"schedule": cosine(30)}, {"clip": 0.1}, {"average": 0.9}]):
        assert not same(plain, by_fit(30, tmp_path / str(i + 2), **more))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for i in range(1, 9):
        (tmp_path / str(i)).mkdir()


def test_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends after so many evaluations without a better one, not before, and with the weights of the best."""
    found = iter([5.0, 4.0, 4.5, 3.0, 3.5, 3.0, 9.0, 0.0, 0.0])
    monkeypatch.setattr("milestones.core.fit.evaluate", lambda *_: {"loss": next(found)})
    model = by_fit(100, tmp_path, valid=source(30, "valid"), patience=3)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 35, "seven evaluations, every five steps: 3.5, 3.0 and 9.0 are not below 3.0"
    assert same(model, by_hand(100, tmp_path, stop=20)), "3.0 came first after the fourth"


def test_resumed_patience_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between two evaluations, the count goes on, and the best weights are still there."""
    values = [5.0, 6.0, 6.0, 6.0, 6.0]
    found = iter(values)
    monkeypatch.setattr("milestones.core.fit.evaluate", lambda *_: {"loss": next(found)})
    inner = Run.log

    def stop(self: Run, **numbers: Any) -> None:
        inner(self, **numbers)
        if self.step == 12 and not self.ended:
            self._signal = 2

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", stop)
        by_fit(100, tmp_path, valid=source(30, "valid"), patience=3)
    model = by_fit(100, tmp_path, valid=source(30, "valid"), patience=3)
    assert same(model, by_hand(100, tmp_path, stop=5))
    assert next(found) == values[-1], "four evaluations in all"


def test_cosine() -> None:
    at = cosine(100)
    assert at(0) == 1
    assert at(50) == pytest.approx(0.5)
    assert at(100) == pytest.approx(0)
    assert all(at(i) > at(i + 1) for i in range(99))
    warm = cosine(100, 4)
    assert [warm(i) for i in range(4)] == [0.2, 0.4, 0.6, 0.8]
    assert warm(4) == 1
    assert cosine(1)(0) == 1
    assert constant(7) == 1


def test_blend_is_an_exponential_mean() -> None:
    mean, model = nn.Linear(2, 2), nn.Linear(2, 2)
    before = mean.weight.detach().clone()
    blend(mean, model, 0.75)
    torch.testing.assert_close(mean.weight.detach(), 0.75 * before + 0.25 * model.weight.detach())


def test_evaluate_is_the_mean_over_examples() -> None:
    model, valid = made(), source(31, "valid")
    model.train()
    state = copy.deepcopy(model.state_dict())
    found = evaluate(model, lambda m, b: {**loss(m, b), "first": b.label.float().mean()}, valid, 7)
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values(), strict=True))
    model.eval()
    whole = next(valid.sweep(31))
    assert found["loss"] == pytest.approx(float(loss(model, whole)["loss"].detach()), rel=1e-5)
    assert found["first"] == pytest.approx(float(whole.label.float().mean()))
    assert math.isfinite(found["loss"])


def test_no_hooks() -> None:
    assert not [name for name in inspect.signature(fit).parameters if "hook" in name or "callback" in name]
