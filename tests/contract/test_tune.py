"""Tuning: what is looked through, what stands in the journal, trials that are ended, stopped and taken up again."""

from __future__ import annotations

import argparse
import json
import math
import pickle
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milestones.cli import main
from milestones.core.errors import UserError
from milestones.core.folder import held, read_json
from milestones.verbs import architecture, journal, search, space, trials
from milestones.verbs.space import Range, ranged

optuna = pytest.importorskip("optuna")
NUMBER, WHOLE = {"type": "number"}, {"type": "integer"}


CASES = [
    ({**NUMBER, "exclusiveMinimum": 0}, 0.002, Range("x", "number", 0.0002, 0.02, True)),
    ({**NUMBER, "minimum": 0.001, "maximum": 0.004}, 0.002, Range("x", "number", 0.001, 0.004)),
    ({**NUMBER, "minimum": 0, "exclusiveMaximum": 1}, 0.0, Range("x", "number", 0, 0.95)),
    ({**NUMBER, "minimum": 0}, 0.0, None),
    ({**NUMBER, "minimum": 0, "exclusiveMaximum": 1}, 0.99, Range("x", "below one", 0.001, 0.1, True)),
    ({**WHOLE, "minimum": 1}, 64, Range("x", "whole", 16, 256, True)),
    ({**WHOLE, "minimum": 1}, 1, Range("x", "whole", 1, 4)),
    ({"enum": ["a", "b"]}, "a", Range("x", "choice", choices=("a", "b"))),
    ({"type": "boolean"}, True, Range("x", "choice", choices=(False, True))),
    ({"type": "array", "items": {**WHOLE, "minimum": 1}}, [32, 16], Range("x", "layers", 4, 256, True, most=4)),
    ({"type": "array", "items": WHOLE}, [], None),
    ({"type": "string"}, "x", None),
]


@pytest.mark.parametrize(("schema", "value", "want"), CASES)
def test_ranges_come_from_bounds_and_the_preset(schema: Any, value: Any, want: Range | None) -> None:
    found = ranged("x", schema, value)
    if found is None or want is None:
        assert found is want
        return
    assert (found.kind, found.log, found.choices, found.most) == (want.kind, want.log, want.choices, want.most)
    assert (found.low, found.high) == pytest.approx((want.low, want.high))


def test_what_is_drawn_is_within_and_comes_back() -> None:
    ranges = [found for schema, value, _ in CASES if (found := ranged("x", schema, value))]
    ranges = [one._replace(name=f"x{k}") for k, one in enumerate(ranges)]
    rng = random.Random(0)
    for _ in range(200):
        params = space.drawn(ranges, rng)
        settings = space.settings_of(ranges, params)
        back = space.params_of(ranges, settings)
        for one in ranges:
            if one.kind == "choice":
                assert params[one.name] in one.choices
                continue
            assert one.low <= params[one.name] <= one.high
            assert back[one.name] == pytest.approx(params[one.name], rel=0.006)
            if one.kind == "layers":
                assert settings[one.name] == [params[one.name]] * params[f"{one.name} layers"]
                assert back[f"{one.name} layers"] == params[f"{one.name} layers"]


def test_equal_examples() -> None:
    values = {"steps": 100, "batch": 32}
    assert space.same_work(values, {"batch": 64}) == {"batch": 64, "steps": 50}
    assert space.same_work(values, {"batch": 16, "lr": 1}) == {"batch": 16, "lr": 1, "steps": 200}
    assert space.same_work(values, {"lr": 1}) == {"lr": 1}


def test_what_is_searched_can_be_said() -> None:
    schema = {"lr": NUMBER, "decay": {**NUMBER, "minimum": 0}, "steps": WHOLE, "width": WHOLE}
    values = {"lr": 0.1, "decay": 0.0, "steps": 100, "width": 8}

    def names(*words: Any, **more: Any) -> list[str]:
        given = {"over": [], "fixed": [], "given": {}, "net": False, **more}
        return [one.name for one in space.space("page", schema, values, **given)]

    assert names() == ["lr"], "decay 0 has no bound above"
    assert names(net=True) == ["width"]
    assert names(given={"decay": (0.001, 0.1)}) == ["lr", "decay"]
    with pytest.raises(UserError, match="page with settings of the training to look through"):
        names(fixed=["lr"])
    with pytest.raises(UserError, match=r"settings of this page to look through .* got 'lrr'. Did you mean 'lr'"):
        names(over=["lrr"])
    with pytest.raises(UserError, match="settings that are not fixed, and not how long it trains, got 'steps'"):
        names(over=["steps"])
    with pytest.raises(UserError, match=r"a setting with a range, got decay = 0.0, which has no bounds"):
        names(over=["decay"])
    with pytest.raises(UserError, match=r"--range from low to high, got lr=1:0.1"):
        names(given={"lr": (1.0, 0.1)})


# The whole verb, on few small pictures.


@pytest.fixture
def pictures(home: Path) -> Path:
    import milestones.data

    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        np.savez(home / "some.npz", image=archive["image"][:300], label=archive["label"][:300])
    return home / "some.npz"


@pytest.fixture
def words(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("milestones.core.plan.SECONDS", 0.0)
    return ["tune", "lenet", "--data", str(pictures), "--steps", "40", "--plan", "contiguous/float32/1"]


def tuned(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_study(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("something was pickled")

    for name in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, name, never)
    found = tuned([*words, "--trials", "4", "--over", "lr,batch"], capsys)
    folder = Path(found["study"])
    assert folder.name == "lenet-tune-1"
    assert [one["name"] for one in found["ranges"]] == ["lr", "batch"]
    assert len(found["trials"]) == 4
    assert found["trials"][0]["settings"] == {} and found["trials"][0]["value"] == found["default"]["value"]
    best = trials.best_of(found["trials"])
    finals = [name for name in ("winner", "defaults") if name in found]
    assert finals == (["winner", "defaults"] if best["number"] else ["defaults"])
    assert found["tests"] == len(finals)
    runs = {path.parent.name: path.parent for path in folder.glob("*/config.json")}
    scored = {name for name, run in runs.items() if (run / "report.json").exists()}
    assert scored == {found[name]["run"] for name in finals}, "the test is scored for these alone"
    for row in found["trials"]:
        config = read_json(runs[row["run"]], "config.json")
        assert config["study"] == {"arm": "search", "trial": row["number"]}
        assert not list((runs[row["run"]] / "state").glob("*")), "it is not resumed any more"
        if row["settings"]:
            assert config["config"]["steps"] == round(40 * 64 / row["settings"]["batch"])
    for line in journal.lines_of(folder):
        assert isinstance(line, dict)
    text = (folder / "report.html").read_text()
    assert "Lowest so far" in text and "Looked through" in text and "Use it" in text
    # Going on adds trials, and says how often the test was looked at.
    again = tuned(["tune", "lenet-tune-1", "--trials", "6"], capsys)
    assert len(again["trials"]) == 6
    assert again["trials"][:4] == found["trials"]
    assert again["tests"] > found["tests"]


def test_the_defaults_of_as_long_a_training(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A rate that learns nothing is the default here, so what is found is better, on validation and on the test."""
    found = tuned([*words, "--lr", "1e-6", "--trials", "2"], capsys)
    assert "lr" not in {one["name"] for one in found["ranges"]}, "what is fixed is not looked through"
    capsys.readouterr()
    wide = tuned(["tune", "lenet", *words[2:], "--over", "average", "--trials", "3"], capsys)
    assert wide["ranges"][0]["kind"] == "below one"
    assert 0.98 <= wide["trials"][1]["settings"]["average"] < 1


def test_verdict() -> None:
    def one(value: float, test: float, better: str = "lower") -> dict[str, Any]:
        score = {"value": test, "low": test - 1, "high": test + 1, "better": better, "unit": "%"}
        return {"value": value, "scores": {"error": score}, "command": f"train {value}"}

    ours = one(5.0, 5.0)
    assert search.verdict({"defaults": ours})["better"] == "defaults"
    won = search.verdict({"winner": one(3.0, 2.0), "defaults": ours})
    assert (won["better"], won["test"], won["use"]) == ("winner", "better", "train 3.0")
    close = search.verdict({"winner": one(4.9, 5.5), "defaults": ours})
    assert (close["better"], close["test"]) == ("winner", "same") and "no different" in close["said"]
    bad = search.verdict({"winner": one(4.9, 8.0), "defaults": ours})
    assert bad["test"] == "worse" and "worse than" in bad["said"], "it is never silently worse"
    lost = search.verdict({"winner": one(6.0, 2.0), "defaults": ours})
    assert (lost["better"], lost["use"]) == ("defaults", "train 5.0") and "the defaults stand" in lost["said"]
    higher = search.verdict({"winner": one(3.0, 9.0, "higher"), "defaults": one(5.0, 5.0, "higher")})
    assert higher["test"] == "better"


def test_halving_ends_the_worst(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Rates that learn nothing are ended early where the defaults came further."""
    found = tuned([*words, "--steps", "200", "--range", "lr=1e-9:1e-8", "--over", "lr", "--trials", "4"], capsys)
    early = [row for row in found["trials"] if row["state"] == "pruned"]
    assert len(early) == 3
    for row in early:
        assert list(row["way"]) and max(map(int, row["way"])) < 90, "most of its training was saved"
        assert read_json(Path(found["study"]) / row["run"], "status.json")["state"] == "ended early"
    assert found["verdict"]["better"] == "defaults"


def test_a_killed_trial_goes_on(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from milestones.verbs.execute import begin

    found = tuned([*words, "--trials", "2", "--over", "lr"], capsys)
    folder = Path(found["study"])
    tuning = trials.read(folder)
    with journal.quiet():
        study = journal.opened(folder)
        trial = study.ask(journal.distributions(tuning.ranges))  # of a process that is no more
        settings = space.settings_of(tuning.ranges, trial.params)
        order = tuning.ordered(0, study={"arm": "search", "trial": trial.number}, minutes=1e-9)
        begun = begin("lenet", {**tuning.settings, **settings}, order, folder)
    assert begun.ended == "minutes" and read_json(begun.folder, "status.json")["state"] == "stopped"
    with held(begun.folder):
        assert trials.reclaim(tuning, "search", lambda _: None) == 0, "a living process has it"
    assert trials.reclaim(tuning, "search", lambda _: None) == 1
    assert trials.reclaim(tuning, "search", lambda _: None) == 0, "it waits already"
    trials.work(tuning, "search", time.time() + 60, 3, 0, lambda _: None)
    rows = journal.told(journal.opened(folder))
    last = rows[-1]
    assert last["run"] == begun.folder.name and last["settings"] == settings
    if last["state"] == "pruned":  # it went on up to a rung, and was behind
        assert last["way"] and last["why"] is None
    else:
        assert last["state"] == "complete" and math.isfinite(last["value"])


def test_two_processes_share_a_journal(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    found = tuned([*words, "--trials", "4", "--processes", "2", "--over", "lr"], capsys)
    assert 4 <= len(found["trials"]) <= 5, "both may begin the last"
    assert len({row["run"] for row in found["trials"]}) == len(found["trials"])
    joined = tuned(["tune", found["study"], "--join", "--trials", "6"], capsys)
    assert joined == {"study": found["study"], "joined": True}
    assert len(journal.told(journal.opened(Path(found["study"])))) >= 6


def test_processes_that_all_fail(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    lead = search.Lead(argparse.Namespace(minutes=None, trials=3, processes=2), lambda _: None)
    tuning = trials.Tuning(home / "absent", "lenet", "lenet", "quick", {}, {}, {}, 0, [], False,
                           trials.Judge("valid_loss", "train", False), {})  # fmt: skip
    with pytest.raises(UserError, match="lenet: expected processes that make trials, got 2 that ended with 2"):
        lead.many(tuning, "search", time.time() + 60)


def test_architecture(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.verbs.architecture.CANDIDATES", 6)
    found = tuned(["tune", "mlp", *words[2:], "--architecture", "--pipelines", "false", "--trials", "5"], capsys)
    assert {one["name"] for one in found["ranges"]} == {"hidden", "norm", "activation"}
    assert len(found["ranked"]) == 6
    votes = [one["vote"] for one in found["ranked"]]
    assert votes == sorted(votes, reverse=True)
    assert found["trials"][1]["settings"] == found["ranked"][0]["settings"], "the ranking's first is trained first"
    assert found["control"]
    rows = [{**one, "state": "complete", "number": k + 1, "value": float(k)} for k, one in enumerate(found["ranked"])]
    agreed = {row["proxy"]: row for row in architecture.agreement(trials.read(Path(found["study"])), rows)}
    assert set(agreed) == {"vote", "synflow", "jacobian covariance", "snip", "gradient norm", "parameters"}
    assert agreed["vote"]["rho"] == pytest.approx(1), "the figures were made to follow the vote"
    assert agreed["vote"]["over"] == 6
    text = (Path(found["study"]) / "report.html").read_text()
    assert "Before training" in text and "random search" in text
    assert main(["tune", Path(found["study"]).name, "--trials", "5"]) == 0
    said = capsys.readouterr().out
    assert "random search for as long" in said


def refused(words: list[str], capsys: pytest.CaptureFixture[str], text: str) -> None:
    capsys.readouterr()
    assert main(words) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if ": expected " in line]
    assert len(said) == 1 and text in said[0], said


@pytest.mark.parametrize(("words", "text"), [
    (["lenett"], "Did you mean 'lenet'?"),
    (["lenet", "--minutes", "0"], "--minutes above 0, got 0. Leave it out for 10"),
    (["lenet", "--trials", "1"], "--trials from 2, the defaults among them, got 1"),
    (["lenet", "--processes", "0"], "--processes from 1 to 256, got 0"),
    (["lenet", "--split", "final"], "a split with validation data to judge by"),
    (["lenet", "--preset", "papper"], "Did you mean 'paper'?"),
    (["lenet", "--over", "lrr"], "Did you mean 'lr'?"),
    (["lenet", "--range", "lr=1"], "--range as lr=0.001:0.1, got 'lr=1'"),
    (["lenet", "--range", "lr=-1:1"], "a number above 0, got lr = -1.0"),
    (["lenet", "--range", "unit=1:2"], "--range of a number, which unit is not"),
    (["lenet", "--steps", "0"], "a whole number from 1"),
    (["lenet", "--join"], "the folder of a study to join"),
    (["lenet", "--work", "search"], "expected the folder of a study, got 'lenet'"),
    (["perceptron", "--architecture"], "a page with settings of the net to look through"),
    (["descent", "--over", "momentum", "--steps", "5"], "a page whose log has valid_error or valid_loss"),
    (["lenet", "--data", "no/such", "--trials", "2"], "no/such"),
])  # fmt: skip
def test_what_cannot_be_used(words: list[str], text: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["tune", *words], capsys, text)
    assert not list((home / "runs").glob("*"))


def test_a_page_without_a_length(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from milestones.catalog import TIMELINE, settings

    without = [entry.name for entry in TIMELINE if not {"steps", "passes"} & set(settings(entry)[1])]
    for name in without:
        refused(["tune", name], capsys, "a page that trains for a number of steps or passes")
    source = "from milestones.systems.lenet import system\n"
    (home / "bare.py").write_text(source.replace("system\n", "system as whole, Config, Field\nimport dataclasses\n") + (
        "class Bare(Config):\n    lr: float = Field(default=0.1, gt=0, description='x')\n"
        "system = dataclasses.replace(whole, Config=Bare, presets={'quick': Bare(), 'paper': Bare()})\n"))  # fmt: skip
    refused(["tune", "bare.py"], capsys, "a page that trains for a number of steps or passes")


def test_damaged_files(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = tuned([*words, "--trials", "2", "--over", "lr"], capsys)
    folder = Path(found["study"])
    whole = (folder / "tune.json").read_text()
    for change in ({"ranges": [{"name": "lr"}]}, {"judge": {}}, {"ranges": 3}):
        (folder / "tune.json").write_text(json.dumps({**json.loads(whole), **change}))
        refused(["tune", str(folder)], capsys, "a whole tune.json in ")
    (folder / "tune.json").write_text(json.dumps({**json.loads(whole), "system": "evil.py"}))
    refused(["tune", str(folder)], capsys, "a page's name in tune.json of ")
    away = {**json.loads(whole)["default"], "run": "../../elsewhere"}
    (folder / "tune.json").write_text(json.dumps({**json.loads(whole), "default": away}))
    refused(["tune", str(folder)], capsys, "files inside the run folder")
    less = json.loads(whole)
    del less["values"]
    (folder / "tune.json").write_text(json.dumps(less))
    refused(["tune", str(folder)], capsys, "got no 'values'")
    (folder / "tune.json").write_text(whole)
    with open(folder / "journal.jsonl", "a") as file:
        file.write('{"op_code": 3\n{}\n')
    refused(["tune", str(folder)], capsys, "a damaged line (JSONDecodeError)")


def test_without_optuna(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    refused(["tune", "lenet"], capsys, 'pip install "milestones[tune]"')


def test_where_all_fail(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates that no number comes of: after some in a row nothing more is tried."""
    monkeypatch.setattr("milestones.verbs.trials.ROW", 3)
    found = [*words, "--range", "lr=1e37:1e38", "--over", "lr", "--trials", "9"]
    refused(found, capsys, "expected a finite loss")
