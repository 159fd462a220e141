"""`look RUN INPUT` on every page with a probe, and on pages of kinds that the catalog does not have yet."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import children, tiny
from contract.conftest import Page
from contract.test_cli import one_json, refused
from PIL import Image
from safetensors.torch import load_file

from milestones.catalog import find
from milestones.catalog import page as module_of
from milestones.cli import main

KINDS = Path(__file__).parent / "pages" / "kinds.py"
FEW = ["--steps", "4", "--orders", "2"]


def kept(found: dict[str, Any]) -> list[str]:
    return [each["method"] for each in found["inputs"][0]["maps"]]


def test_each_page_is_explained_or_refused(
    page: Page, trained: Path, place: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = find(page.name)
    words = [
        "look",
        str(trained),
        "--example",
        "2",
        *FEW,
        *(["--page", page.name] if page.name.endswith(".py") else []),
    ]
    system = module_of(entry).system
    if system.probe is None:
        refused(words, capsys, "expected a run whose scores can be differentiated by its input")
        return
    assert main([*words, "--json"]) == 0
    found = one_json(capsys)
    folder = home / found["study"]
    assert {"gradient", "input-gradient", "integrated", "occlusion", "shapley"} <= set(kept(found))
    assert set(kept(found)) | set(found["left_out"]) == set(found["methods"])
    one = found["inputs"][0]
    assert one["name"] == "test 2" and one["truth"] in json.loads((trained / "facts.json").read_text())["labels"]
    assert one["explained"] == one["answer"][0]["label"]
    assert [each["trusted"] for each in one["maps"]] == sorted((each["trusted"] for each in one["maps"]), reverse=True)
    for each in one["maps"]:
        if each["method"] in ("integrated", "shapley"):
            assert each["completeness"] < 1e-2
    whole = json.loads((folder / "look.json").read_text())
    assert whole.pop("format") == 1
    assert whole == {name: value for name, value in found.items() if name != "study"}
    tensors = load_file(folder / "maps.safetensors")
    assert {f"1/{name}" for name in kept(found)} | {"1/input", "1/nothing"} == set(tensors)
    text = (folder / "report.html").read_text()
    assert all(each["title"] in text for each in one["maps"])
    files = {path.name for path in folder.iterdir()}
    if tensors["1/input"].dim() == 3:
        assert files == {"look.json", "maps.safetensors", "report.html", "1-input.png",
                         *(f"1-{name}.png" for name in kept(found))}  # fmt: skip
        for name in kept(found):
            with Image.open(folder / f"1-{name}.png") as image:
                assert min(image.size) >= 16 and np.asarray(image).std() > 0, name
    else:
        assert files == {"look.json", "maps.safetensors", "report.html"}
        assert len(one["maps"][0]["values"]) == len(found["columns"]) == tensors["1/input"].numel()
        assert found["columns"][0] in text


@pytest.fixture(scope="module")
def kinds(place: Path) -> dict[str, Path]:
    """Runs of the page of other kinds."""
    from milestones.verbs.execute import Order, begin

    settings: dict[str, dict[str, Any]] = {
        "sound": {}, "text": {"steps": 300}, "board": {}, "video": {"steps": 3},
        "restless": {"restless": True, "steps": 3},
    }  # fmt: skip
    return {
        name: begin(str(KINDS), {"kind": name if name != "restless" else "sound", **more}, Order(plan=children.PLAN),
                    place / "kinds").folder
        for name, more in settings.items()
    }  # fmt: skip


def look(run: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    assert main(["look", str(run), "--page", str(KINDS), "--json", *words]) == 0
    found = one_json(capsys)
    return found, load_file(Path(found["study"]) / "maps.safetensors")


def test_a_sound_is_explained_in_time_and_frequency(
    kinds: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, tensors = look(kinds["sound"], capsys, "--example", "1")
    assert found["left_out"] == {}, "its ReLU in place is seen"
    band = int(found["inputs"][0]["explained"].split()[1])
    map = tensors["1/shapley"][0]
    inside = map[8 * band + 2 : 8 * band + 6, 10:20].sum()
    assert inside > 0.5 * map.clamp(min=0).sum(), "the energy of this band speaks for it"


def test_a_text_is_explained_word_by_word(
    kinds: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, tensors = look(kinds["text"], capsys, "--example", "1", "--against", "class 1")
    assert set(found["left_out"]) == {"guided", "deconvolution", "gradcam", "relevance"}
    assert "relevance has no rule for" in found["left_out"]["relevance"]
    assert tensors["1/integrated"].shape == (9, 12)
    assert len(found["inputs"][0]["maps"][0]["values"]) == 9
    titles = [one["title"] for one in found["inputs"][0]["inside"]]
    assert titles[:2] == ["Attention 1, head 1", "Attention 1, head 2"]
    assert "LSTM layer 1: forget gate" in titles and "LSTM layer 1: cell" in titles
    rows = np.array(found["inputs"][0]["inside"][0]["heat"]["values"])
    assert rows.shape == (9, 9) and np.allclose(rows.sum(1), 1, atol=1e-5)
    text = (home / found["study"] / "report.html").read_text()
    assert "Its own attention and gates, as they are" in text and "step 9" in text


def test_a_move_is_explained_over_the_board(
    kinds: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, tensors = look(kinds["board"], capsys, "--example", "1")
    one = found["inputs"][0]
    assert one["answer"][0]["label"] == one["truth"], "else it has not learned, and this test shows nothing"
    square = int(one["truth"].split()[1])
    map = tensors["1/shapley"].sum(0)
    assert map.shape == (8, 8) and int(map.argmax()) == square
    assert {"guided", "deconvolution", "gradcam", "relevance", "occlusion"} <= set(kept(found))


def test_another_class_other_maps_and_the_same_command_again(
    home: Path, trained_lenet: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained_lenet, home / "runs" / "lenet-1")
    file = str(tiny.inputs("lenet", {"kind": "pictures"}, place)[0])
    assert main(["look", "lenet-1", file, file, "--against", "3", *FEW, "--method", "shapley,gradient", "--json"]) == 0
    found = one_json(capsys)
    assert found["study"] == "runs/lenet-look-1"
    assert [one["explained"] for one in found["inputs"]] == ["3", "3"] and found["inputs"][0]["truth"] is None
    assert set(kept(found)) == {"shapley", "gradient"} and found["seconds"] > 0
    assert main([*shlex.split(found["command"])[1:], "--json"]) == 0
    again = one_json(capsys)
    one, two = (load_file(Path(study["study"]) / "maps.safetensors") for study in (found, again))
    assert all(one[name].equal(two[name]) for name in one), "the same command gives the same bits"
    assert one["1/gradient"].equal(one["2/gradient"])
    assert main(["look", "lenet-1", "--example", "1", *FEW]) == 0
    said = capsys.readouterr().out
    assert "points over chance. " in said and "left out: guided" in said and "lenet-look-3/report.html" in said


@pytest.mark.parametrize(("words", "texts"), {
    "no such class": (["--example", "1", "--against", "sevn"], ["a class of this run (0, 1, 2", "got --against sevn"]),
    "nearly a class": (["--example", "1", "--against", "77"], ["Did you mean '7'?"]),
    "no such method": (["--example", "1", "--method", "oclusion"], ["ways to explain an answer", "mean 'occlusion'?"]),
    "example 0": (["--example", "0"], ["a whole number from 1 to", "for --example, got 0"]),
    "no number": (["--example", "first"], ["for --example, got first"]),
    "beyond the data": (["--example", "99999"], ["examples of", "got example 99,999. They are numbered from 1"]),
    "one step": (["--example", "1", "--steps", "1"], ["a whole number from 2 to 400 for --steps, got 1"]),
    "no orders": (["--example", "1", "--orders", "none"], ["for --orders, got none"]),
    "both": (["digit.png", "--example", "1"], ["a file or --example, got both"]),
    "no such file": (["no.png"], ["no.png, which does not exist"]),
    "a table": (["rows.csv"], ["expected image, got row in rows.csv. Pass a file of that kind"]),
}.values(), ids=lambda value: "")  # fmt: skip
def test_what_cannot_be_used(
    words: list[str], texts: list[str], home: Path, trained_lenet: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained_lenet, home / "runs" / "lenet-1")
    shutil.copy(tiny.inputs("lenet", {"kind": "pictures"}, place)[0], home / "digit.png")
    tiny.table(home / "rows.csv")
    refused(["look", "lenet-1", *words], capsys, *texts)
    assert not (home / "runs" / "lenet-look-1").exists()


def test_runs_that_cannot_be_explained(kinds: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--page", str(KINDS), "--example", "1"]
    refused(["look", str(kinds["video"]), *words], capsys, "pictures, rows, sequences or boards",
            "inputs of 2 x 3 x 4 x 4 have no parts that can be named")  # fmt: skip
    refused(["look", str(kinds["restless"]), *words], capsys, "a net that is not in training",
            "different answers to the same input")  # fmt: skip
