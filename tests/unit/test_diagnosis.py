"""The doctor's rules: each on a case made for it, and silence on a healthy one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from milestones.parts.diagnosis import ORDER, Finding, case, diagnose, times

COUNTS = [100, 100, 100, 100]


def layer(name: str, **more: Any) -> dict[str, Any]:
    healthy = {"name": name, "count": 100, "free": True, "weight": 0.1, "gradient": 0.01, "update": 1e-3,
               "examples": 32, "mean": 0.0, "spread": 1.0, "dead": 1.0, "alike": 0.0}  # fmt: skip
    return {**healthy, **more}


def healthy() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Lines of a log, and checks, of a training in which nothing is wrong."""
    lines: list[dict[str, Any]] = []
    for step in range(1, 301):
        lines.append({"stage": "train", "step": step, "loss": 1.4 / (1 + step / 30), "error": 75 / (1 + step / 30)})
        if step in (1, 2, 4, 75, 150, 225, 300):
            layers = [layer(name) for name in ("in.weight", "middle.weight", "out.weight")]
            lines.append({"stage": "train", "step": step, "vitals": {"norm": 1.0, "layers": layers}})
    split = {"count": 400, "mean": 0.0, "spread": 1.0, "moving": 5.0, "classes": COUNTS, "shared": 0.0}
    data = {"train": {**split, "shared": 100.0}, "valid": dict(split), "test": dict(split), "mixed": 1.0}
    model = {"train": {"loss": 0.1, "error": 5.0}, "valid": {"loss": 0.2, "error": 7.0}, "random": False,
             "mates": False, "squashed": False, "frozen": 1.0, "norms": False, "batch": 32}  # fmt: skip
    return lines, {"data": data, "model": model}


def looks(lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [line["vitals"]["layers"] for line in lines if "vitals" in line]


def every(lines: list[dict[str, Any]], which: int | None, **change: Any) -> None:
    """Change the figures of one layer, or of all, in all looks."""
    for layers in looks(lines):
        for one in layers if which is None else [layers[which]]:
            one.update(change)


def failing(lines: list[dict[str, Any]], checks: dict[str, Any], error: float = 74.0) -> None:
    """A training that learned nothing."""
    for line in lines:
        if "loss" in line:
            line["loss"] = 1.39
    checks["model"] |= {"train": {"loss": 1.39, "error": error}, "valid": {"loss": 1.39, "error": 75.0}}


def names(found: list[Finding]) -> list[str]:
    return [one.name for one in found]


def test_nothing_is_wrong_with_a_healthy_training() -> None:
    assert diagnose(case(*healthy())) == []


def test_nothing_can_be_said_of_nothing() -> None:
    assert diagnose(case([], {})) == []
    assert diagnose(case([{"stage": 3, "step": "x", "vitals": []}, {"loss": None}], {"data": 4, "model": []})) == []
    huge = [{"step": 10**400, "loss": 10**400, "vitals": {"layers": [{"name": "a", "update": 10**400, "dead": "b"}]}}]
    assert diagnose(case(huge * 3, {"data": {"train": {"classes": [10**400, True, "c"]}}})) == []


CASES: dict[str, Any] = {
    "labels_constant": lambda lines, checks: checks["data"]["train"].update(classes=[400, 0, 0, 0]),
    "class_missing": lambda lines, checks: checks["data"]["train"].update(classes=[100, 0, 150, 150]),
    "inputs_constant": lambda lines, checks: checks["data"]["train"].update(moving=0.0),
    "unshuffled": lambda lines, checks: checks["data"].update(mixed=0.2),
    "leakage": lambda lines, checks: checks["data"]["test"].update(shared=12.0),
    "split_shift": lambda lines, checks: checks["data"]["valid"].update(mean=3.0),
    "random_evaluation": lambda lines, checks: checks["model"].update(mates=True),
    "squashed_outputs": lambda lines, checks: checks["model"].update(squashed=True),
    "batch_of_one": lambda lines, checks: checks["model"].update(norms=True, batch=1),
    "frozen": lambda lines, checks: every(lines, 1, update=0.0),
    "inputs_unscaled": lambda lines, checks: every(lines, 0, spread=79.0, mean=33.0),
    "dead_units": lambda lines, checks: every(lines, 2, dead=80.0),
    "symmetric": lambda lines, checks: every(lines, 1, alike=1.0),
    "saturated": lambda lines, checks: every(lines, 2, saturated=95.0),
    "vanishing": lambda lines, checks: every(lines, 2, spread=1e-4),
    "exploding": lambda lines, checks: every(lines, 2, spread=3e3),
    "rate_high": lambda lines, checks: (failing(lines, checks), every(lines, None, update=0.3)),
    "rate_low": lambda lines, checks: (failing(lines, checks), every(lines, None, update=1e-6)),
    "labels_wrong": lambda lines, checks: failing(lines, checks),
    "overfitting": lambda lines, checks: checks["model"].update(valid={"loss": 2.0, "error": 40.0}),
    "ascending": lambda lines, checks: [line.update(loss=-line["step"]) for line in lines if "loss" in line],
}


@pytest.mark.parametrize("name", CASES)
def test_each_rule(name: str) -> None:
    lines, checks = healthy()
    CASES[name](lines, checks)
    found = diagnose(case(lines, checks, ["a", "b", "c", "d"]))
    assert name in names(found), found
    said = next(one for one in found if one.name == name)
    assert said.sure in ORDER and len(said.says) > 15 and len(said.do) > 10
    assert said.sure == found[0].sure or ORDER.index(said.sure) > ORDER.index(found[0].sure), "the surest first"
    assert str(said).startswith(f"{said.sure}: ")


def test_validation_that_was_learned_from_on_purpose_is_no_leak() -> None:
    """--split final; test examples among the training examples are one all the same."""
    lines, checks = healthy()
    checks["data"]["valid"].update(shared=100.0)
    assert names(diagnose(case(lines, checks))) == ["leakage"]
    assert diagnose(case(lines, checks, final=True)) == []
    checks["data"]["test"].update(shared=12.0)
    (found,) = diagnose(case(lines, checks, final=True))
    assert found.name == "leakage" and "validation" not in found.says


def test_a_class_is_named() -> None:
    lines, checks = healthy()
    CASES["class_missing"](lines, checks)
    assert "no training example of dog" in diagnose(case(lines, checks, ["cat", "dog", "cow", "hen"]))[0].says


def test_what_explains_itself_is_not_said_twice() -> None:
    lines, checks = healthy()
    failing(lines, checks)
    assert names(diagnose(case(lines, checks))) == ["labels_wrong"]
    CASES["squashed_outputs"](lines, checks)
    assert names(diagnose(case(lines, checks))) == ["squashed_outputs"], "a cause was found; the labels are not blamed"


def test_a_cause_comes_before_what_follows_from_it() -> None:
    lines, checks = healthy()
    failing(lines, checks)
    every(lines, 2, dead=99.0)
    assert names(diagnose(case(lines, checks))) == ["dead_units"]
    every(lines, None, update=0.3)
    found = diagnose(case(lines, checks))
    assert names(found) == ["rate_high", "dead_units"] and found[1].sure == "certain"


def test_sizes_in_words() -> None:
    assert [times(x) for x in (1e-5, 0.034, 2.5, 250.0)] == ["0.001 % of", "3.4 % of", "2.5 times", "250 times"]


def test_frozen_on_purpose_is_no_fault() -> None:
    lines, checks = healthy()
    checks["model"]["frozen"] = 90.0
    assert names(diagnose(case(lines, checks))) == ["frozen"]
    assert diagnose(case(lines, checks, frozen=True)) == []


def test_weights_of_another_stage_are_not_frozen() -> None:
    lines, checks = healthy()
    first = copy.deepcopy(lines)
    every(first, 1, update=0.0, gradient=None)  # the head's stage moves the others
    for line in first:
        line["stage"] = "head"
    assert diagnose(case([*first, *lines], checks)) == []


def test_decay_alone_is_not_learning() -> None:
    lines, checks = healthy()
    every(lines, 0, gradient=0.0)
    assert names(diagnose(case(lines, checks))) == ["frozen"]


def test_a_loss_that_is_not_finite() -> None:
    lines, checks = healthy()
    found = diagnose(case(lines, checks, problem="expected a finite loss, got nan at step 7"))
    assert names(found) == ["rate_high"]


def test_a_closed_world_may_be_tested_on_its_examples() -> None:
    lines, checks = healthy()
    checks["data"]["test"]["shared"] = 100.0
    assert names(diagnose(case(lines, checks))) == ["leakage"]
    checks["data"]["closed"] = True
    assert diagnose(case(lines, checks)) == []


def test_splits_may_differ_by_design() -> None:
    lines, checks = healthy()
    checks["data"]["valid"]["mean"] = 3.0
    assert names(diagnose(case(lines, checks))) == ["split_shift"]
    checks["data"]["shifted"] = True
    assert diagnose(case(lines, checks)) == []


def test_what_is_hard_may_stay_unlearned() -> None:
    lines, checks = healthy()
    failing(lines, checks)
    checks["data"]["hard"] = True
    assert diagnose(case(lines, checks)) == []


def test_flow_through_time() -> None:
    lines, checks = healthy()
    every(lines, 1, flow=1e-7)
    assert names(diagnose(case(lines, checks))) == ["vanishing"]
    every(lines, 1, flow=1e7)
    assert names(diagnose(case(lines, checks))) == ["exploding"]
