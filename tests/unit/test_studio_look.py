"""What attack, look and landscape answer in the studio is what the verbs find with the same settings."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.catalog import load
from milestones.core.errors import UserError
from milestones.parts.attack import fgsm, misled, pgd
from milestones.parts.maps import METHODS, Setting
from milestones.studio.acts import attack, explain, giants, landscape
from milestones.studio.desk import Answer, Desk
from milestones.verbs import explain as verb
from milestones.verbs.landscape import Study
from milestones.verbs.misled import study, task_of
from milestones.verbs.subject import of

RUN = "shipped:mlp"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("runs"), {})


def answers(found: Any) -> list[Answer]:
    return [found] if isinstance(found, Answer) else list(found)


def ask(desk: Desk, module: Any, payload: bytes = b"", **header: Any) -> list[Answer]:
    return answers(module.act(desk, {"run": RUN, **header}, payload))


@pytest.mark.parametrize(("norm", "size"), [("inf", 0.05), ("2", 1.0)])
def test_an_attack_is_the_parts_own(desk: Desk, norm: Any, size: float) -> None:
    subject = of(load("mlp", desk.root), (), 1, first=5)
    task = task_of(subject)
    for method, x in (("fgsm", fgsm(task.scores, task.input, task.target, task.ball(norm, size))),
                      ("pgd", pgd(task.scores, task.input, task.target, task.ball(norm, size)))):  # fmt: skip
        (one,) = ask(desk, attack, example=5, method=method, norm=norm, size=size)
        assert one.content["misled"] == bool(misled(task.scores, x, task.target)[0])
        assert np.abs(one.arrays["attacked"][..., 0].astype(float) - x[0, 0].numpy()).max() <= 1
        assert one.content["distance"] <= size * 1.0001
        chance = task.scores(x)[0].softmax(-1)
        assert one.arrays["chances"][1] == pytest.approx(chance.numpy(), abs=1e-4)


def test_no_change_at_size_0(desk: Desk) -> None:
    (one,) = ask(desk, attack, example=2, size=0)
    assert one.content["distance"] == 0 and not one.content["misled"]
    assert (one.arrays["original"] == one.arrays["attacked"]).all()


def test_a_class_to_aim_at_is_reached(desk: Desk) -> None:
    (one,) = ask(desk, attack, example=1, size=0.3, target=3)
    assert one.content["hit"] and one.content["after"] == 3 and one.content["before"] != 3


def test_the_nearest_change_misleads_and_gets_no_larger(desk: Desk) -> None:
    found = [one.content["found"] for one in ask(desk, attack, example=1, part="nearest", norm="2")]
    assert len(found) == 3 and found == sorted(found, reverse=True) and 0 < found[-1] < 3
    (one,) = ask(desk, attack, example=1, method="deepfool", norm="2")
    assert one.content["misled"] and one.content["distance"] >= found[-1] - 1e-6


def test_the_curve_is_that_of_the_verb(desk: Desk) -> None:
    args = argparse.Namespace(norm=["inf"], eps=[], method=["fgsm"], examples=30, certify=False, seed=0)
    found, _ = study(of(load("mlp", desk.root), (), 30), args, lambda text: None)
    told = [one.content for one in ask(desk, attack, part="curve", method="fgsm", examples=30)]
    assert told[-1]["done"] == 30 and [one["share"] for one in told] == sorted(one["share"] for one in told)
    assert told[-1]["sizes"][1:] == found["norms"]["inf"]["sizes"]
    assert told[-1]["accuracy"][1:] == pytest.approx(found["norms"]["inf"]["accuracy"]["fgsm"])
    assert told[-1]["accuracy"][0] == pytest.approx(found["clean"])


def test_a_picture_of_the_users_own(desk: Desk) -> None:
    (test,) = ask(desk, attack, example=1, size=0.1)
    pixels = test.arrays["original"]
    (own,) = ask(desk, attack, pixels.tobytes(), kind="image", shape=[28, 28], size=0.1)
    assert own.content["truth"] is None and own.content["name"] == "yours"


@pytest.mark.parametrize(
    ("header", "words"),
    [({"example": 0}, "an example by its number, from 1"), ({"example": 10**7}, "They are numbered from 1"),
     ({"norm": "3"}, "a norm, inf or 2, got '3'. Choose one of the list"),
     ({"method": "magic"}, "a method of fgsm, pgd"), ({"size": -1}, "a size from 0, got -1. Move the slider"),
     ({"size": 7.0}, "--eps above 0 and at most 1"), ({"steps": 0}, "a whole number from 1 to 400 for steps"),
     ({"target": 10}, "a class of this run, 0 to 9"), ({"run": "shipped:perceptron"}, "which has no probe"),
     ({"method": "carlini"}, "norm 2 for Carlini and Wagner's attack"),
     ({"part": "curve", "method": "patch"}, "pgd, square for a curve, got patch. Choose one of these")],
)  # fmt: skip
def test_attacks_that_cannot_be(desk: Desk, header: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        ask(desk, attack, **header)


def test_a_page_without_classes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = desk.trained(RUN)
    probe = trained.system.probe
    assert probe is not None
    fields = {**trained.system.__dict__, "probe": lambda *words: probe(*words)._replace(target=torch.zeros(1))}
    monkeypatch.setattr(desk, "trained", lambda run: trained._replace(system=trained.system.__class__(**fields)))
    with pytest.raises(UserError, match="a run that chooses among classes, got a number"):
        ask(desk, attack, example=9)


def test_a_page_that_reads_no_files(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = desk.trained(RUN)
    monkeypatch.setattr(desk, "trained", lambda run: trained._replace(
        system=trained.system.__class__(**{**trained.system.__dict__, "read": None})))  # fmt: skip
    with pytest.raises(UserError, match="a run that reads files"):
        ask(desk, attack, bytes(784), kind="image", shape=[28, 28])


def test_maps_and_their_trust_are_those_of_the_verb(desk: Desk) -> None:
    names = ["gradient", "relevance", "occlusion", "gradcam"]
    found, tensors = verb.study(of(load("mlp", desk.root), (), 1, first=3), names, "", Setting())
    first, *maps, agree = ask(desk, explain, example=3, methods=names)
    assert first.content["answer"] == found["inputs"][0]["answer"]
    want = {one["method"]: one for one in found["inputs"][0]["maps"]}
    for one in maps:
        name = one.content["method"]
        if name not in want:
            assert one.content["why"] == found["left_out"][name]
            continue
        assert {key: one.content[key] for key in want[name]} == want[name]
        whole = tensors[f"1/{name}"]
        assert np.array_equal(one.arrays["map"], (whole.sum(0) if whole.dim() == 3 else whole).numpy())
    assert agree.content["agree"] == ["gradient", "relevance", "occlusion"]
    values = np.array(agree.content["values"])
    assert (values == values.T).all() and (np.diag(values) == 1).all() and (np.abs(values) <= 1).all()


def test_inside_shows_all_layers(desk: Desk) -> None:
    shown = {}
    for one in explain.act(desk, {"run": RUN, "part": "inside"}, b""):
        shown.setdefault(one.content["show"], one)
        if one.content["show"] == "units":
            break
    assert list(shown) == ["census", "points", "probes", "alike", "filters", "units"]
    points = shown["points"].arrays
    assert len(points["points"]) == len(points["classes"]) == len(points["numbers"])
    number = int(points["numbers"][7])  # is the example that the point is
    (one,) = ask(desk, attack, example=number, size=0)
    assert one.content["truth"] == points["classes"][7]


def test_explanations_that_cannot_be(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="ways to explain: gradient"):
        ask(desk, explain, methods=["tarot"])
    subject = of(load("mlp", desk.root), (), 1)
    odd = subject._replace(probe=subject.probe._replace(input=torch.zeros(1, 2, 2, 2, 2)))
    monkeypatch.setattr(explain, "subject_of", lambda *_: odd)
    with pytest.raises(UserError, match="pictures, rows, sequences or boards"):
        ask(desk, explain)
    assert set(explain.QUICK_FIRST) == set(METHODS)


def test_the_plane_is_that_of_the_verb(desk: Desk) -> None:
    args = argparse.Namespace(examples=64, seed=3, span=0.5, size=25, eigenvalues=0)
    study = Study(load("mlp", desk.root), args)
    told = ask(desk, landscape, size=25, span=0.5, examples=64, seed=3)
    last = told[-1].content
    assert (last["done"], last["of"], last["examples"]) == (625, 625, 64)
    values = told[-1].arrays["values"]
    assert not np.isnan(values).any() and values[12, 12] == pytest.approx(study.found["here"]["loss"], rel=1e-5)
    from milestones.parts.landscape import Plane, directions

    plane = Plane(study.terrain.home, *directions(study.terrain.net, 3))
    for row, column in ((0, 0), (24, 3), (5, 20)):
        at = study.terrain.at(plane.point(0.5 * (column / 12 - 1), 0.5 * (row / 12 - 1)))["loss"]
        assert values[row, column] == pytest.approx(at, rel=1e-4)


def test_the_line_is_that_of_the_verb(desk: Desk) -> None:
    study = Study(load("mlp", desk.root), argparse.Namespace(examples=64, seed=0))
    study.begin()
    want = study.line()
    told = ask(desk, landscape, part="line", examples=64)[-1].content
    assert told["at"] == want["at"] and told["lines"]["training, loss"] == pytest.approx(want["loss"], rel=1e-4)
    assert told["lines"]["validation, loss"] == pytest.approx(want["valid_loss"], rel=1e-4)


def test_a_path_that_cannot_be_taken_again_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = desk.trained(RUN)
    monkeypatch.setattr(desk, "trained", lambda run: trained._replace(folder=Path("/nowhere/at/all")))
    with pytest.raises(UserError, match="a training that can be done again"):
        ask(desk, landscape, part="path")


@pytest.mark.parametrize(
    ("header", "words"),
    [({"span": 0}, "a reach above 0, at most 100"), ({"size": 51}, "25, 49, 97 points on a side"),
     ({"examples": 1}, "a whole number from 8 to 10,000 for examples")],
)  # fmt: skip
def test_planes_that_cannot_be(desk: Desk, header: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        ask(desk, landscape, **header)


def test_a_page_that_plays_has_no_plane(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscape, "data_of", lambda *_: object())
    with pytest.raises(UserError, match="a run that learned from examples"):
        ask(desk, landscape)


def test_rooms_are_balanced_and_follow_from_the_seed(desk: Desk) -> None:
    (one,) = answers(giants.act(desk, {"count": 24, "seed": 5}, b""))
    (two,) = answers(giants.act(desk, {"count": 24, "seed": 5}, b""))
    (other,) = answers(giants.act(desk, {"count": 24, "seed": 6}, b""))
    pairs = list(zip(one.content["kinds"], one.content["there"], strict=True))
    assert {pair: pairs.count(pair) for pair in pairs} == {(k, t): 4 for k in giants.SHOWN for t in (0, 1)}
    assert one.content == two.content and (one.arrays["rooms"] == two.arrays["rooms"]).all()
    assert not (one.arrays["rooms"] == other.arrays["rooms"]).all()
    assert one.content["people"] == {"miss_normal": "about 20 %", "miss_giant": "about 30 %",
                                     "miss_control": "hardly any"}  # fmt: skip
    assert pairs != sorted(pairs) and len(np.unique(one.arrays["rooms"].reshape(24, -1), axis=0)) == 24


def test_rooms_that_cannot_be(desk: Desk) -> None:
    with pytest.raises(UserError, match="a number of rooms that 6 divides"):
        giants.act(desk, {"count": 20}, b"")
    with pytest.raises(UserError, match=r"a run of scenes, got one of mlp\. Choose another run"):
        giants.act(desk, {"run": RUN}, b"")


def test_no_number_is_kept_from_json() -> None:
    assert landscape.finite(math.inf) is None and landscape.finite(2.0) == 2.0


def test_the_way_of_training_is_taken_again(desk: Desk) -> None:
    told = ask(desk, landscape, run="shipped:perceptron", part="path", examples=50)
    last = told[-1]
    assert last.content["whole"] and len(last.content["paths"]["training"]) == len(last.content["steps"]) >= 3
    assert last.arrays["values"].shape == (last.content["size"],) * 2 and np.isfinite(last.arrays["values"]).all()
    assert last.content["gap"] < 1e-3  # it comes to the run's own weights
