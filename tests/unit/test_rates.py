"""The study of the learning rate: on problems whose best rate is known, and what its trials leave behind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from milestones.core.config import Config, Field
from milestones.core.errors import UserError
from milestones.core.fit import cosine, fit
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place, keyed
from milestones.core.system import System
from milestones.report.rates import html_of
from milestones.verbs import study as module
from milestones.verbs.execute import Order
from milestones.verbs.study import BUDGET, RANGE, lines, lowest, study, turn
from milestones.verbs.trial import Ground, Over, Trial

CPU = torch.device("cpu")


class Rows(NamedTuple):
    input: Tensor
    target: Tensor


class Knobs(Config):
    steps: int = Field(default=1000, ge=1)
    lr: float = Field(default=1e-9, gt=0, description="far from good: the study must not lean on it")


def prepare(knobs: Knobs, place: Place) -> Data[Rows]:
    input = torch.randn(600, 4, generator=keyed(0, "rows"))
    rows = Rows(input, input @ torch.tensor([1.0, -2.0, 3.0, 1.0]))
    parts = [
        Held(Rows(*(t[i::3] for t in rows)), place, "rows", name) for i, name in enumerate(("train", "valid", "test"))
    ]
    return Data(*parts, {"data": {"name": "rows"}})


def loss(model: nn.Module, batch: Rows) -> dict[str, Tensor]:
    return {"loss": (model(batch.input)[:, 0] - batch.target).square().mean() / 2}


def optimizer(knobs: Knobs, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), knobs.lr)


def train(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
    fit(model, loss, data.train, run, steps=knobs.steps, batch=100, optimizer=optimizer(knobs, model),
        valid=data.valid, schedule=cosine(knobs.steps))  # fmt: skip
    raise AssertionError("a trial ends with its updates")


def score(*_: Any) -> dict[str, Any]:
    raise AssertionError("a study scores nothing")


def linear(knobs: Knobs, facts: Any) -> nn.Module:
    return nn.Linear(4, 1, bias=False)


LINEAR = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, linear, train, score, lambda *_: [], loss=loss)


@pytest.fixture
def studying(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A function: the study of a System, as if a page of the catalog ended with it."""

    def of(system: System[Any, Any, Any, Any], seeds: int = 3, quiz: bool = True, **settings: Any) -> dict[str, Any]:
        monkeypatch.setattr(module, "page", lambda entry: type("Page", (), {"system": system}))
        return study("lenet", settings, Order(plan="exact"), seeds, lambda _: None, quiz)

    return of


# The estimator


@pytest.mark.parametrize("shift", [-0.9, -0.3, 0.0, 0.4, 0.8])
def test_the_vertex_of_a_parabola_is_found(shift: float) -> None:
    rates, best = [1e-3, 3e-3, 9e-3], 3e-3 * 3.0**shift
    curves = [[0.3 * (math.log(rate / best) ** 2) - 1 + seed for seed in range(3)] for rate in rates]
    rate, low, high = lowest(rates, curves)
    assert rate == pytest.approx(best)
    inner = abs(shift) < 0.5  # else the lowest of the three is an end
    assert (low == pytest.approx(best) == high) == inner


def test_seeds_that_differ_have_an_interval_with_the_mean_inside() -> None:
    rates = [1e-3, 3e-3, 9e-3]
    own = [2e-3, 3e-3, 4.5e-3]
    rate, low, high = lowest(rates, [[math.log(rate / best) ** 2 for best in own] for rate in rates])
    assert rate == pytest.approx(statistics.geometric_mean(own))
    assert low < min(own) < max(own) < high, "three seeds say little: Student's factor is 4.3"


def test_at_an_end_the_interval_goes_on() -> None:
    assert lowest([1.0, 3.0, 9.0], [[0.1, 0.2], [0.5, 0.5], [0.9, 0.8]]) == pytest.approx((1.0, 1 / 3, 1.0))
    assert lowest([1.0, 3.0, 9.0], [[0.9, 0.8], [0.5, 0.5], [0.1, 0.2]]) == pytest.approx((9.0, 9.0, 27.0))


def test_a_cliff_on_one_side_keeps_the_vertex_between_the_neighbours() -> None:
    rate, low, high = lowest([1.0, 3.0, 9.0], [[0.2, 0.3], [0.0, 0.0], [90.0, 80.0]])
    assert 1.0 < rate < 3.0
    assert low <= rate <= high


def test_the_turn_of_a_range_test() -> None:
    rates = [10.0**k for k in range(-5, 2)]
    assert turn(rates, [2.0, 2.0, 1.5, 0.5, 0.4, 3.0, 90.0]) == 1e-2
    assert turn(rates, [2.0, 2.0, 1.5, 0.5, 0.4, math.inf, math.nan]) == 1e-2


# The whole study


def test_linear_regression(studying: Callable[..., dict[str, Any]]) -> None:
    """The loss of a linear net is a bowl: above 2 over its greatest curvature it diverges."""
    found = studying(LINEAR)
    input = prepare(Knobs(), Place(CPU, 0)).train.examples.input  # type: ignore[attr-defined]
    curvature = torch.linalg.eigvalsh(input.T @ input / len(input))
    assert 0.1 / float(curvature[-1]) < found["rate"] < 2 / float(curvature[-1])
    assert found["low"] <= found["rate"] <= found["high"]
    names = {one["name"]: one for one in found["quiz"]}
    assert list(names) == ["low", "good", "high", "very high"]
    ends = {name: one["losses"][-1] for name, one in names.items()}
    assert ends["good"] < 0.1 * ends["low"]
    assert ends["good"] < ends["high"]
    assert names["very high"]["did"].startswith(("rises", "is no number"))
    assert names["good"]["did"].startswith("falls")


def test_it_costs_at_most_its_budget(studying: Callable[..., dict[str, Any]]) -> None:
    made: list[int] = []

    def counted(model: nn.Module, batch: Rows) -> dict[str, Tensor]:
        made.append(len(batch.input) if torch.is_grad_enabled() else len(batch.input) / 3)  # type: ignore[arg-type]
        return loss(model, batch)

    def counting(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
        fit(model, counted, data.train, run, steps=knobs.steps, batch=100, optimizer=optimizer(knobs, model))

    for steps in (800, 5000):
        made.clear()
        found = studying(replace(LINEAR, train=counting, loss=counted), steps=steps)
        assert 0.05 < found["share"] <= BUDGET
        looks = 100 * (3 + 1)  # the flops of an update are counted once
        assert sum(made) / 100 <= BUDGET * steps + looks
        assert sum(made) / 100 == pytest.approx(found["share"] * steps, abs=looks), "what is said is what was done"


def test_it_is_deterministic_and_leaves_no_trace(studying: Callable[..., dict[str, Any]], home: Path) -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    one, two = studying(LINEAR), studying(LINEAR)
    assert one | {"seconds": 0} == two | {"seconds": 0}
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert [path for path in home.rglob("*") if path.is_file()] == []
    without = studying(LINEAR, quiz=False)
    assert (without["rate"], without["low"], without["quiz"]) == (one["rate"], one["low"], [])
    assert without["share"] < one["share"]


def test_the_rate_of_the_settings_plays_no_part(studying: Callable[..., dict[str, Any]]) -> None:
    good = replace(LINEAR, presets={"quick": Knobs(lr=0.1), "paper": Knobs()})
    assert studying(good)["rate"] == studying(LINEAR)["rate"]


def test_earlier_stages_are_trained_once(studying: Callable[..., dict[str, Any]]) -> None:
    begun: list[float] = []

    def staged(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
        for step in run.steps(200, "before", model=model):
            begun.append(step)
            nn.init.ones_(model.weight)  # type: ignore[arg-type]
        for step in run.steps(knobs.steps, model=model, sgd=(sgd := optimizer(knobs, model))):
            if not run.step:
                assert torch.equal(model.weight, torch.ones(1, 4)), "each trial goes on from there"  # type: ignore
            sgd.zero_grad()
            terms = loss(model, data.train.batch(step, 100))
            terms["loss"].backward()
            sgd.step()
            run.log(**terms)

    found = studying(replace(LINEAR, train=staged))
    assert len(begun) == 60, "5 % of 1,200 updates"
    assert found["share"] <= BUDGET
    assert 0.05 < found["rate"] < 2


def test_stages_without_a_main_one_are_studied_together(studying: Callable[..., dict[str, Any]]) -> None:
    def twice(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
        for number, layer in enumerate(model):  # type: ignore[arg-type]
            fit(layer, loss, data.train, run, steps=knobs.steps, batch=100, optimizer=optimizer(knobs, layer),
                schedule=cosine(knobs.steps), stage=f"net{number}")  # fmt: skip
        assert run.folder, "what a page draws after training needs a folder"

    def both(model: nn.Module, batch: Rows) -> dict[str, Tensor]:
        return {"loss": sum(loss(layer, batch)["loss"] for layer in model) / 2}  # type: ignore[arg-type,attr-defined]

    two = replace(LINEAR, build=lambda *_: nn.Sequential(*(linear(*_) for _i in range(2))), train=twice, loss=both)
    found = studying(two)
    assert found["updates"] == 2000
    assert found["share"] <= BUDGET
    assert 0.05 < found["rate"] < 2


def test_an_optimiser_of_the_pages_own_has_no_range_test(studying: Callable[..., dict[str, Any]]) -> None:
    def by_hand(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
        for step in run.steps(knobs.steps, model=model):
            terms = loss(model, data.train.batch(step, 100))
            (slope,) = torch.autograd.grad(terms["loss"], list(model.parameters()))
            model.weight.data.sub_(knobs.lr * slope)  # type: ignore[operator,union-attr]
            run.log(**terms)

    found = studying(replace(LINEAR, train=by_hand))
    assert found["range_tests"] == []
    assert 0.05 < found["rate"] < 2
    assert "keeps its optimiser to itself" in "\n".join(lines(found))
    assert "keeps its optimiser to itself" in html_of(found)


@pytest.mark.parametrize("factor", [math.nan, 0.0])
def test_a_study_in_which_nothing_is_learned(factor: float, studying: Callable[..., dict[str, Any]]) -> None:
    def broken(model: nn.Module, batch: Rows) -> dict[str, Tensor]:
        value = loss(model, batch)["loss"]
        return {"loss": value * factor if factor else value.detach() + 0 * value}

    def hopeless(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
        fit(model, broken, data.train, run, steps=knobs.steps, batch=100, optimizer=optimizer(knobs, model))

    with pytest.raises(UserError, match="expected a rate at which the loss falls, got none from"):
        studying(replace(LINEAR, train=hopeless, loss=broken))


def test_a_page_without_steps_is_refused(studying: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UserError, match="expected a page that trains in steps, got one without"):
        studying(replace(LINEAR, train=lambda *_: None))


def test_a_page_without_a_logged_loss_is_refused(studying: Callable[..., dict[str, Any]]) -> None:
    def silent(knobs: Knobs, model: nn.Module, data: Data[Rows], run: Run) -> None:
        for _ in run.steps(knobs.steps, model=model):
            run.log(other=1.0)

    with pytest.raises(UserError, match="expected a page that logs its 'loss', got one that does not"):
        studying(replace(LINEAR, train=silent))


# A trial in place of a Run


def test_a_trial_has_all_that_a_run_offers() -> None:
    public = {name for name in dir(Run) if not name.startswith("_")}
    assert public <= set(dir(Trial))
    run, trial = Run(Path("nowhere"), Place(CPU, 0), "exact"), Trial(Ground("exact"), Place(CPU, 0), 1)
    offered = {name for name in vars(run) if not name.startswith("_")} - {"folder"}
    assert offered <= set(vars(trial))
    with pytest.raises(Over):
        print(trial.folder)
    assert not trial.showing, "nothing is kept"
    with run.member(2), trial.member(2):
        assert trial.place == run.place
    assert trial.place == run.place == Place(CPU, 0)


def ground(total: int = 100) -> Ground:
    """One whose only stage is known."""
    made = Ground("exact")
    list(Trial(made, Place(CPU, 0), 0).steps(total, "only"))
    return made


def ran(trial: Trial, each: Callable[[int], None], **state: Any) -> list[int]:
    """The numbers of all steps, until the trial is over."""
    found: list[int] = []
    try:
        for step in trial.steps(100, "only", **state):
            each(step)
            found.append(step)
    except Over:
        return found
    raise AssertionError("a trial ends by Over")


def test_a_ramp_reaches_every_group_and_goes_away() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    sgd = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.5}], 1.0)
    trial, seen = Trial(ground(), Place(CPU, 0), 3, ramp=[1e-3, 1e-2, 1e-1], base=1.0), []

    def update(step: int) -> None:
        for group in sgd.param_groups:
            group["lr"] = 7.0  # a schedule of the page's
        model(torch.ones(1, 2)).sum().backward()
        sgd.step()
        seen.append([group["lr"] for group in sgd.param_groups])
        trial.log(loss=1.0)

    assert ran(trial, update, sgd=sgd) == [0, 33, 66]
    assert trial.ramped
    assert seen == [[1e-3, 5e-4], [1e-2, 5e-3], [1e-1, 5e-2]]
    assert not sgd._optimizer_step_pre_hooks


def test_a_lost_trial_ends_at_once() -> None:
    for value in (math.nan, math.inf, 1e6):
        trial = Trial(ground(), Place(CPU, 0), 50)
        worse = [1.0] * 5 + [value] * 50
        assert ran(trial, lambda step: trial.log(loss=torch.tensor(worse.pop(0)))) == [0, 2, 4, 6, 8, 10]  # noqa: B023
        assert trial.lost


def test_numbers_run_through_the_whole_schedule() -> None:
    assert ran(Trial(ground(), Place(CPU, 0), 4, shift=0.5), lambda step: None) == [12, 37, 62, 87]
    trial = Trial(ground(), Place(CPU, 0), 4, shift=0.5)
    assert ran(trial, lambda step: trial.enough() if step > 50 else None) == [12, 37, 62]


# The page of a study


def test_the_quiz_hides_its_answer(studying: Callable[..., dict[str, Any]]) -> None:
    found = studying(LINEAR)
    text = html_of(found)
    assert text == html_of(found)
    assert "<script" not in text
    assert "default-src 'none'" in text
    before, answer = text.split("<details>")
    assert "very high" not in before.split("Which rate is very high, high, good, low?")[-1]
    for one in found["quiz"]:
        assert f"{one['rate']:g}" in answer
    narrow = found | {"low": 0.1, "high": 0.2}
    assert not any(line.startswith("a wide interval") for line in lines(narrow))
    assert any(line.startswith("a wide interval") for line in lines(found | {"low": 0.01, "high": 0.2}))
    assert RANGE[0] < found["rate"] < RANGE[1]
