"""The contracts that each page of the timeline keeps, and a forked page with them."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import tiny
from contract.conftest import FORKED, PAGES, Page

from milestones.catalog import find, load
from milestones.catalog import page as module_of
from milestones.cli import main
from milestones.core.config import changed
from milestones.core.source import Choice, Place
from milestones.core.system import System

FILES = ["checks.json", "config.json", "env.json", "facts.json", "plan.json", "report.json", "status.json"]


@pytest.fixture(scope="session")
def system(page: Page) -> System[Any, Any, Any, Any]:
    return module_of(find(page.name)).system


def knobs_of(page: Page, system: System[Any, Any, Any, Any]) -> Any:
    return changed(system.presets["quick"], page.settings, page.like)


def place_of(page: Page, seed: int = 0, rank: int = 0, of: int = 1) -> Place:
    return Place(torch.device("cpu"), seed, rank, of, Choice(page.data, page.target))


def prepared(page: Page, system: System[Any, Any, Any, Any], **where: int) -> Any:
    return system.prepare(knobs_of(page, system), place_of(page, **where))


def sources(page: Page, system: System[Any, Any, Any, Any], **where: int) -> Any:
    """`prepared`, of a page that learns from examples."""
    data = prepared(page, system, **where)
    if data.facts.get("kind") in ("world", "game"):
        pytest.skip("it acts in a world or plays against itself, and has no sources of examples")
    return data


def same(a: Any, b: Any) -> bool:
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True))


def rows(batch: Any) -> list[bytes]:
    """Each example of a batch as bytes, without the zeros that pad its sequences to the longest of the batch."""
    return [b"".join(unpadded(field[i]) for field in batch) for i in range(len(batch[0]))]


def unpadded(row: torch.Tensor) -> bytes:
    kept = row.reshape(len(row), -1).any(1).nonzero() if row.dim() else torch.zeros(1, 1)
    length = int(kept[-1, 0]) + 1 if len(kept) else 0
    return (row[:length] if row.dim() else row).numpy().tobytes()


def test_all_pages_are_in_the_table() -> None:
    assert set(tiny.PAGES) >= set(PAGES)


def test_config_to_json_and_back(page: Page, system: System[Any, Any, Any, Any]) -> None:
    assert {"quick", "paper"} <= set(system.presets)
    for preset in system.presets.values():
        assert isinstance(preset, system.Config)
        assert system.Config.model_validate_json(preset.model_dump_json()) == preset
        assert changed(preset, json.loads(preset.model_dump_json()), page.like) == preset
    for name, field in system.Config.model_fields.items():
        assert field.description, f"{name} is described"
        assert not field.is_required(), f"{name} has a default"


def test_knobs_are_the_pages_not_the_runs(system: System[Any, Any, Any, Any]) -> None:
    taken = [
        "seed",
        "seeds",
        "preset",
        "plan",
        "device",
        "minutes",
        "data",
        "target",
        "split",
        "from",
        "auto-lr",
        "members",
        "json",
        "runs",
        "freeze",
    ]
    assert not set(taken) & {name.replace("_", "-") for name in system.Config.model_fields}


def test_batch_is_pure(page: Page, system: System[Any, Any, Any, Any]) -> None:
    train, again = sources(page, system).train, prepared(page, system).train
    noise = torch.get_rng_state()
    batches = [train.batch(step, 8) for step in range(4)]
    assert torch.equal(noise, torch.get_rng_state()), "the global generator is the page's, not the source's"
    torch.manual_seed(123)
    for step in (3, 0, 2, 1):  # in any order, from another object
        assert same(again.batch(step, 8), batches[step])
    assert not same(batches[0], batches[1])
    assert not same(prepared(page, system, seed=1).train.batch(0, 8), batches[0]), "another seed, another batch"


def test_each_example_once_an_epoch(page: Page, system: System[Any, Any, Any, Any]) -> None:
    train = sources(page, system).train
    train.augment = None
    everything = Counter(rows(next(train.sweep(len(train)))))
    size = next(n for n in range(7, len(train)) if len(train) % n == 0)
    each = len(train) // size
    epochs = [[row for step in range(each) for row in rows(train.batch(e * each + step, size))] for e in range(2)]
    assert Counter(epochs[0]) == Counter(epochs[1]) == everything
    assert epochs[0] != epochs[1], "each epoch has its own order"


def test_shares_of_ranks_make_the_batch(page: Page, system: System[Any, Any, Any, Any]) -> None:
    whole = sources(page, system).train.batch(5, 8)
    shares = [prepared(page, system, rank=rank, of=2).train.batch(5, 8) for rank in range(2)]
    assert same([torch.cat(both) for both in zip(*shares, strict=True)], whole)


def test_sweep_is_in_order_once_each(page: Page, system: System[Any, Any, Any, Any]) -> None:
    for source in sources(page, system)[:3]:
        at_once = rows(next(iter(source.sweep(len(source)))))
        assert len(at_once) == len(source)
        assert [row for batch in source.sweep(7) for row in rows(batch)] == at_once


def test_facts_are_json_and_build_the_model(page: Page, system: System[Any, Any, Any, Any]) -> None:
    data = prepared(page, system)
    facts = json.loads(json.dumps(data.facts, allow_nan=False))
    assert facts == json.loads(json.dumps(prepared(page, system).facts))
    assert len(json.dumps(facts)) < 100_000
    torch.manual_seed(0)
    model = system.build(knobs_of(page, system), facts)
    with torch.device("meta"):
        shapes = system.build(knobs_of(page, system), facts).state_dict()
    assert {n: t.shape for n, t in model.state_dict().items()} == {n: t.shape for n, t in shapes.items()}
    parameters = tiny.of(page.like).parameters
    if parameters is not None:
        assert sum(p.numel() for p in model.parameters()) == parameters, "as the paper has it"


def test_evaluation_leaves_no_trace(page: Page, system: System[Any, Any, Any, Any], trained: Path) -> None:
    """score reads float32 in evaluation mode, changes no weight, and says the same twice."""
    run = load(str(trained), page_name=page.name if page.name.endswith(".py") else "")
    data, before = prepared(page, system), {n: t.clone() for n, t in run.model.state_dict().items()}
    found = [run.system.score(run.knobs, run.model, data, place_of(page)) for _ in range(2)]
    assert found[0] == found[1]
    assert all(torch.equal(t, before[n]) for n, t in run.model.state_dict().items())
    reported = json.loads((trained / "report.json").read_text())["scores"]
    assert {name: score.value for name, score in found[0].items()} == {
        name: score["value"] for name, score in reported.items()
    }


def test_run_folder(page: Page, trained: Path) -> None:
    for name in FILES:
        assert json.loads((trained / name).read_text())["format"] == 1, name
    assert [path.name for path in (trained / "state").glob("*")], "a state a stage"
    assert (trained / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "vitals" not in line]  # what the doctor saw has lines of its own
    assert all({"stage", "step", "seconds", "loss"} <= line.keys() for line in lines)
    stages = [line["stage"] for line in lines]
    for stage in dict.fromkeys(stages):
        steps = [line["step"] for line in lines if line["stage"] == stage]
        assert steps == sorted(set(steps)), stage
        assert stages.count(stage) == len(stages) - stages[::-1].index(stage) - stages.index(stage), "one after another"
    assert not list(trained.rglob(".*")), "nothing written aside is left"
    assert not [path for path in trained.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    config = json.loads((trained / "config.json").read_text())
    assert config["system"] == (Path(page.name).stem if page.name.endswith(".py") else page.name)
    assert str(trained) not in (trained / "report.json").read_text(), "a run can be copied to another machine"


def test_the_doctor_looks_at_every_run(page: Page, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    looks = [line for line in lines if "vitals" in line]
    stages = dict.fromkeys(line["stage"] for line in lines)
    for stage in stages:
        steps = [line["step"] for line in looks if line["stage"] == stage]
        assert steps[0] == 1 and steps == sorted(set(steps)) and len(steps) <= 40, stage
    for line in looks:
        names = [layer["name"] for layer in line["vitals"]["layers"]]
        assert len(names) == len(set(names))
        assert all(layer["weight"] is not None for layer in line["vitals"]["layers"])
    report = json.loads((trained / "report.json").read_text())
    assert all(finding.keys() == {"name", "sure", "says", "do"} for finding in report["findings"])
    assert main(["doctor", str(trained), "--json"]) == 0  # needs the files alone, not the page
    said = json.loads(capsys.readouterr().out)
    assert said["findings"] == report["findings"] and said["looks"] == len(looks)
    assert "Doctor" in (trained / "report.html").read_text()


def test_scores(page: Page, trained: Path) -> None:
    report = json.loads((trained / "report.json").read_text())
    assert report.keys() >= {
        "system",
        "preset",
        "config",
        "seed",
        "plan",
        "device",
        "versions",
        "data",
        "steps",
        "seconds",
        "scores",
    }
    assert report["scores"]
    for name, score in report["scores"].items():
        assert all(math.isfinite(score[field]) for field in ("value", "low", "high")), name
        assert score["low"] <= score["value"] <= score["high"], name
        assert score["unit"] and score["data"] and score["split"], name
        assert score["better"] in ("higher", "lower")
        assert score["over"] >= 1
    assert report["seconds"] > 0
    assert report["steps"] >= 1


def test_save_load_use(page: Page, trained: Path, place: Path) -> None:
    """Loaded twice, a run answers the same; its weights are those of the file."""
    from safetensors.torch import load_file

    from milestones.media import read

    own = page.name if page.name.endswith(".py") else ""
    one, two = (load(str(trained), page_name=own) for _ in range(2))
    assert not one.model.training
    for name, tensor in load_file(trained / "weights.safetensors").items():
        assert torch.equal(tensor, one.model.state_dict()[name])
    inputs = [item for file in tiny.inputs(page.like, one.facts, place) for item in read(file, one.system.takes)]
    if one.facts["kind"] == "world":  # it plays by itself
        assert one.system.takes == () and not inputs
        said, again = ([{k: v.plain() for k, v in answer.items()} for answer in run.use([])] for run in (one, two))
        assert said == again and len(said) == 1
        return
    assert inputs
    assert all(isinstance(item, one.system.takes) for item in inputs)
    answers = [[{k: v.plain() for k, v in answer.items()} for answer in run.use(inputs)] for run in (one, two)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(inputs)
    together = answers[0]
    alone = [{k: v.plain() for k, v in one.use([item])[0].items()} for item in inputs]
    for a, b in zip(together, alone, strict=True):
        assert a.keys() == b.keys()
        first = next(iter(a))
        assert json.dumps(a[first])[:12] == json.dumps(b[first])[:12], "an answer does not depend on its neighbours"
    if one.system.read:
        assert len(one.system.read(one.facts, inputs)[0]) == len(inputs)


def test_loss_is_a_scalar_with_a_gradient(page: Page, system: System[Any, Any, Any, Any]) -> None:
    if system.loss is None:
        pytest.skip("the page has no loss of one batch")
    data = prepared(page, system)
    torch.manual_seed(0)
    model = system.build(knobs_of(page, system), data.facts)
    with torch.enable_grad():
        terms = system.loss(model, data.train.batch(0, 8))
        terms["loss"].backward()
    assert all(value.shape == () for value in terms.values())
    assert any(p.grad is not None for p in model.parameters())


def test_probe(page: Page, system: System[Any, Any, Any, Any], trained: Path) -> None:
    if system.probe is None:
        pytest.skip("the page has no probe")
    from milestones.verbs.subject import prepared as examples

    run = load(str(trained), page_name=page.name if page.name.endswith(".py") else "")
    batch = examples(run).test.batch(0, 8)
    probe = system.probe(run.model, batch)
    picture = probe.input.clone().requires_grad_()
    scores = probe.scores(picture)
    assert scores.shape == (8, len(run.facts["labels"]))
    assert probe.target.shape == (8,)
    assert probe.low <= float(probe.input.min()) <= float(probe.input.max()) <= probe.high
    (gradient,) = torch.autograd.grad(scores.sum(), picture)
    assert gradient.abs().sum() > 0


def test_second_run_never_overwrites(page: Page, trained: Path, place: Path) -> None:
    from milestones.verbs.execute import Order, begin

    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in trained.rglob("*")}
    again = begin(page.name, page.settings, Order(**page.order()), trained.parent).folder
    assert again != trained
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in trained.rglob("*")} == before
    assert (again / "weights.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes(), (
        "same seed, same bits"
    )


def test_forked_page_is_the_page(place: Path) -> None:
    """A copy trains to the same weights as its original."""
    from contract.conftest import page_of

    from milestones.verbs.execute import Order, begin

    folders = []
    for name in (FORKED, PAGES[-1]):
        page = page_of(name, place)
        folders.append(begin(page.name, page.settings, Order(**page.order()), place / "forks").folder)
    assert folders[0].name == "my_page-1"
    assert (folders[0] / "weights.safetensors").read_bytes() == (folders[1] / "weights.safetensors").read_bytes()


def test_a_fault_of_a_page_of_ones_own_is_one_line(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says where in the page, leaves no run behind, and hides no fault of ours."""
    monkeypatch.chdir(tmp_path)
    words = ["train", "mine.py", "--steps", "2", "--batch", "8", "--data", tiny.data("digits", place)[0]]
    assert main(["fork", "lenet", "mine.py"]) == 0
    page = Path("mine.py")
    page.write_text(page.read_text().replace("nn.Conv2d(6, 16, 5)", "nn.Conv2d(6, 12, 5)"))
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "mine.py: expected a page that runs, got RuntimeError: " in said and "8x300 and 400x120" in said
    assert "(mine.py line " in said and "in forward: logits = self.classifier" in said
    assert "Traceback" not in said and not list(Path("runs").glob("mine-*"))
    page.write_text(page.read_text().replace("nn.Linear(400, 120)", "nn.Linear(300, 120)"))
    assert main(words) == 0
    page.write_text(page.read_text().replace("def use(model", "def use(no, such"))
    assert main(["score", "mine-1", "--page", "mine.py"]) == 0
    page.write_text(page.read_text() + "\nnothing\n")
    assert main(["score", "mine-1", "--page", "mine.py"]) == 2
    said = capsys.readouterr().err
    assert "got NameError: name 'nothing' is not defined (mine.py line " in said
    monkeypatch.setattr("milestones.verbs.execute.told", lambda facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", "lenet", *words[2:]])


@pytest.mark.parametrize("name", PAGES)
def test_each_page_can_be_forked(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from milestones.cli import main

    file = tmp_path / "copy_of_mine.py"
    assert main(["fork", name, str(file)]) == 0
    assert main(["show", str(file)]) == 0
    assert "from .." not in file.read_text()
    before = file.read_bytes()
    assert main(["fork", name, str(file)]) == 2
    assert "expected a file that does not exist yet" in capsys.readouterr().err
    assert file.read_bytes() == before
