"""`attack` on every page, on the user's own inputs, and on inputs that no page has yet: it works or says why not."""

from __future__ import annotations

import argparse
import json
import math
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import tiny
from contract.conftest import Page
from contract.test_cli import one_json, refused
from torch import Tensor, nn

from milestones.catalog import find
from milestones.catalog import page as module_of
from milestones.cli import main
from milestones.core.errors import UserError
from milestones.core.system import Probe
from milestones.report.attacked import html_of
from milestones.verbs.attack import USUAL, lines
from milestones.verbs.misled import masking, study, task_of
from milestones.verbs.subject import Subject

SHORT = ["--method", "fgsm,pgd,deepfool", "--norm", "inf", "--examples", "12", "--eps", "0.1"]


def run_of(page: Page, trained: Path) -> list[str]:
    return ["attack", str(trained), *(["--page", page.name] if page.name.endswith(".py") else [])]


def test_each_page_is_attacked_or_refused(
    page: Page, trained: Path, place: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = module_of(find(page.name)).system
    if system.probe is None:
        refused(run_of(page, trained), capsys, "expected a run whose scores can be differentiated by its input")
        return
    capsys.readouterr()
    assert main([*run_of(page, trained), *SHORT, "--json"]) == 0
    found = one_json(capsys)
    folder = home / found["study"]
    one = found["norms"]["inf"]
    assert one["accuracy"]["pgd"][0] <= found["clean"]
    assert 0 <= one["low"] <= one["stands"] <= one["high"] <= 100
    assert len(found["rows"]) == found["examples"] == 12
    kept = json.loads((folder / "attack.json").read_text())
    assert kept.pop("format") == 1
    assert kept == {name: value for name, value in found.items() if name != "study"}
    pictures = {name for item in found["shown"] for name in item["files"]}
    assert {path.name for path in (folder / "pictures").iterdir()} == pictures
    report = (folder / "report.html").read_text()
    assert "still right" in report and found["system"] in report
    if not system.takes:  # it plays by itself: there is nothing else to attack
        assert "taken for right" in found["data"] and found["clean"] == 100
        return
    files = tiny.inputs(page.like, json.loads((trained / "facts.json").read_text()), place)
    assert main([*run_of(page, trained), *map(str, files[:1]), *SHORT, "--json"]) == 0
    own = one_json(capsys)
    assert own["clean"] == 100, "the target is what the net says"
    assert own["data"] == "your own"
    assert {one["method"] for one in own["shown"]} == {"fgsm", "pgd", "deepfool"}


def test_the_picture_of_the_user(
    trained_lenet: Path, place: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the panda: before and after with both chances, and the difference magnified."""
    file = str(tiny.inputs("lenet", {"kind": "pictures"}, place)[0])
    capsys.readouterr()
    words = ["attack", str(trained_lenet), "--eps", "0.007", "--method", "fgsm", "--norm", "inf", file]
    assert main(words) == 0, "a file behind options is a file"
    text = capsys.readouterr().out
    assert " % -> " in text and "; difference x 71: runs/lenet-attack-" in text
    shown = text.split("difference x 71: ")[1].splitlines()[0]
    assert Path(home / shown).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_certify_and_the_attacks_on_request(trained_lenet: Path, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("milestones.verbs.misled.SECONDS", 0.0)  # the fewest draws
    monkeypatch.setattr("milestones.verbs.misled.SMOOTHED", 3)
    words = ["attack", str(trained_lenet), "--examples", "10", "--norm", "inf", "--eps", "0.002,0.1", "--certify",
             "--method", "pgd,universal,patch"]  # fmt: skip
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found = one_json(capsys)
    proved = found["certified"]["intervals"]["inf"]
    assert all(p <= a + 1e-9 for p, a in zip(proved, found["norms"]["inf"]["accuracy"]["pgd"], strict=True))
    assert found["certified"]["smoothing"]["examples"] == 3
    assert [one["name"] for one in found["more"]] == ["universal", "patch"]
    text = "\n".join(lines(found, "here"))
    assert "universal, norm inf: one change of" in text and "patch: a sticker of 0.4" in text
    assert "certified: norm inf: intervals prove" in text


@pytest.mark.parametrize(("words", "texts"), {
    "above the range": (["--eps", "1.5"], ["expected --eps above 0 and at most 1 in norm inf", "got 1.5"]),
    "below": (["--eps", "0"], ["--eps above 0 and at most"]),
    "no number": (["--eps", "nan"], ["--eps above 0 and at most"]),
    "the other norm": (["--eps", "29", "--norm", "2"], ["at most 28 in norm 2", "got 29"]),
    "examples": (["--examples", "-3"], ["one example or more, got --examples -3"]),
    "method": (["--method", "pdg"], ["invalid choice: 'pdg'"]),
    "norm": (["--norm", "1"], ["invalid choice: '1'"]),
    "no norm": (["--norm", ","], ["argument --norm: no value"]),
    "a word": (["--eps", "0.1,small"], ["argument --eps: no float: 'small'"]),
    "input": (["no/such.png"], ["no/such.png, which does not exist"]),
}.values(), ids=lambda value: "")  # fmt: skip
def test_what_cannot_be_used(words: list[str], texts: list[str], trained_lenet: Path, home: Path,
                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    refused(["attack", str(trained_lenet), *words], capsys, *texts)
    assert not (home / "runs").exists()


def subject(scores: Callable[[Tensor], Tensor], x: Tensor, low: float = -math.inf, high: float = math.inf,
            target: Tensor | None = None, facts: dict[str, Any] | None = None) -> Subject:  # fmt: skip
    """A net and its examples without a run."""
    target = scores(x).detach().argmax(-1) if target is None else target
    trained: Any = types.SimpleNamespace(
        entry=types.SimpleNamespace(name="tiny"), folder=Path("tiny-1"), facts=facts or {}
    )
    labels = tuple("abcd"[: scores(x[:1]).shape[1]])
    names = tuple(f"test {i + 1}" for i in range(len(x)))
    return Subject(trained, None, Probe(x, low, high, scores, target), labels, names, "noise", True)


def order(**more: Any) -> argparse.Namespace:
    given = {"norm": ["inf", "2"], "eps": [], "method": list(USUAL), "examples": 12, "certify": False, "seed": 0}
    return argparse.Namespace(**{**given, **more})


def net(*shape: int, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        entries = math.prod(shape)
        made = nn.Sequential(nn.Flatten(), nn.Linear(entries, 24), nn.ReLU(inplace=True), nn.Linear(24, classes))
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize(("shape", "low", "high"), [
    ((40, 12), -math.inf, math.inf),  # a spectrogram, or the embedding of words: "B T D"
    ((4, 6, 7), 0.0, 1.0),  # a board's planes
    ((8,), -math.inf, math.inf),  # what a policy observes
    ((3, 24, 24), 0.0, 255.0),  # a picture in colour
], ids=["sound", "board", "observation", "colour"])  # fmt: skip
def test_kinds_of_input_that_have_a_probe_alone(shape: tuple[int, ...], low: float, high: float) -> None:
    model = net(*shape)
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(1))
    x = x * 255 if high == 255 else (x > 0.7).float() if high == 1 else 2 * x - 1
    found, pictures = study(subject(model, x, low, high), order(method=["fgsm", "pgd", "deepfool"]), lambda text: None)
    assert set(found["norms"]) == {"inf", "2"}
    assert bool(pictures) == (shape[0] == 3 and len(shape) == 3)
    assert all(item["changes"] or item["files"] for item in found["shown"])
    text = html_of(found, pictures)
    assert "PGD" in text and found["verdict"].split(" (")[0] in text
    assert lines(found, "here")


def test_a_table_is_measured_in_spreads() -> None:
    """A step of one spread means as much in a column of millions as in one of thousandths."""
    mean, spread = [2e6, 0.005, 1.0], [1e6, 0.001, 0.0]
    scores = lambda x: torch.stack([(x[:, 0] - 2e6) / 1e6 + (x[:, 1] - 0.005) / 0.001, 0 * x[:, 0]], 1)  # noqa: E731
    x = torch.tensor(mean) + torch.tensor([0.6, 0.4, 0.0]) * torch.tensor([1e6, 0.001, 1.0]) * torch.tensor(
        [[1.0], [2.0]]
    )
    facts = {"mean": mean, "spread": spread, "names": ["weight", "length", "constant"]}
    task = task_of(subject(scores, x, facts=facts))
    assert task.words == "in spreads of the training data"
    assert torch.allclose(task.back(task.input), x)
    found, _ = study(
        subject(scores, x, facts=facts), order(method=["deepfool"], norm=["inf"], eps=[0.6]), lambda text: None
    )
    assert found["rows"][0]["nearest"]["inf"]["deepfool"] == pytest.approx(0.5, rel=1e-2), "(0.6 + 0.4) / 2"
    assert found["rows"][1]["nearest"]["inf"]["deepfool"] == pytest.approx(1.0, rel=1e-2)
    assert found["norms"]["inf"]["stands"] == 50
    assert found["shown"][0]["changes"][0][0] == "weight"


def test_bug_10_signs_of_hidden_gradients_are_told() -> None:
    """Published overclaims: one step better than forty, Square better than gradients, a loss that does not rise, any
    change allowed and still right. A net in whole steps hides its gradient; a plain one has no such sign."""
    weight = torch.randn(2, 36, generator=torch.Generator().manual_seed(0))

    def stairs(x: Tensor) -> Tensor:
        score = (x.flatten(1) / 255 - 0.5) @ weight.T
        return score.detach().mul(4).round() / 4 + 0 * score

    x = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 255
    target = ((x.flatten(1) / 255 - 0.5) @ weight.T).argmax(-1)
    words = order(norm=["inf"], eps=[0.3], method=["fgsm", "pgd", "autoattack"])
    found, _ = study(subject(stairs, x, 0.0, 255.0, target), words, lambda text: None)
    assert any("Square, which sees no gradient, misleads" in flag for flag in found["flags"])
    assert any("with any change allowed" in flag for flag in found["flags"])
    assert "hidden gradients may flatter it" in found["verdict"]
    plain, _ = study(
        subject(lambda u: (u.flatten(1) / 255 - 0.5) @ weight.T, x, 0.0, 255.0, target), words, lambda text: None
    )
    assert plain["flags"] == []
    one = {
        "sizes": [0.1, 0.2],
        "accuracy": {"fgsm": [50.0, 20.0], "pgd": [60.0, 55.0]},
        "loss": {"pgd": [2.0, 1.0]},
        "broken": {},
    }
    task = task_of(subject(stairs, x, 0.0, 255.0, target))
    flags = masking(task, {"2": one}, torch.ones(12, dtype=torch.bool), words)
    assert any("one step misleads more than forty (at 0.1, 0.2)" in flag for flag in flags)
    assert any("PGD's loss does not rise with the size" in flag for flag in flags)


def test_nets_that_cannot_be_attacked() -> None:
    x = torch.rand(4, 6)
    with pytest.raises(UserError, match="an example that the net gets right, got 4 of which it gets none"):
        study(subject(net(6), x, target=(net(6)(x).argmax(-1) + 1) % 3), order(), lambda text: None)
    with pytest.raises(UserError, match="pictures for --method patch"):
        study(subject(net(6), x), order(method=["patch"]), lambda text: None)
    late = lambda u: torch.cat([9 + (1.5 - u[:, :1]).sqrt(), 0 * u[:, :2]], 1)  # noqa: E731  (no number from 1.5 on)
    with pytest.raises(UserError, match="whose gradient and bounds can be followed, got a gradient that is no number"):
        study(subject(late, x), order(method=["pgd"], eps=[5.0], norm=["inf"]), lambda text: None)
