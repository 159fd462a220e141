"""The command line: help, one JSON object, and one line with exit code 2 for whatever cannot be used."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import children, tiny
from contract.conftest import PAGES
from PIL import Image
from safetensors.torch import load_file

from milestones.cli import main
from milestones.verbs import VERBS

QUICK = ["--plan", children.PLAN]
LENET = ["--steps", "3", "--batch", "8", *QUICK]


@pytest.fixture
def data(place: Path) -> str:
    return tiny.data("digits", place)[0]


@pytest.fixture
def here(home: Path, trained_lenet: Path, place: Path) -> Path:
    """A folder with a finished run, lenet-1, a picture and a table."""
    shutil.copytree(trained_lenet, home / "runs" / "lenet-1")
    shutil.copy(tiny.inputs("lenet", {"kind": "pictures"}, place)[0], home / "digit.png")
    tiny.table(home / "rows.csv")
    return home


def one_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def refused(words: list[str], capsys: pytest.CaptureFixture[str], *texts: str) -> str:
    """Exit code 2, and one line that holds each of the texts."""
    capsys.readouterr()
    code = main(words)
    said = capsys.readouterr()
    assert code == 2, said
    lines = [line for line in said.err.splitlines() if ": expected " in line]
    assert len(lines) == 1, said.err
    assert said.out == ""
    for text in texts:
        assert text in lines[0]
    assert "Traceback" not in said.err
    return lines[0]


# Help and answers


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert f"milestones {verb}" in out
    assert "--json" in out


@pytest.mark.parametrize("page", PAGES)
def test_help_of_each_page_has_its_settings(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    from milestones.catalog import find
    from milestones.catalog import page as module_of

    with pytest.raises(SystemExit) as end:
        main(["train", page, "--help"])
    assert end.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for name, field in module_of(find(page)).system.Config.model_fields.items():
        assert f"--{name.replace('_', '-')}" in out
        assert (field.description or "?").split(",")[0][:20] in out


def test_overview(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert all(f"  {verb}" in out for verb in VERBS)
    assert main(["--version"]) == 0


def test_doctor_looks_for_all_extras() -> None:
    from milestones.verbs.doctor import EXTRAS

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"all", "dev"}


def test_json_is_one_object_on_standard_output(here: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, field in [
        (["list"], "systems"), (["show", "lenet"], "presets"), (["runs"], "runs"), (["compare"], "groups"),
        (["score", "lenet-1"], "scores"), (["use", "lenet-1", "digit.png"], "answers"),
        (["train", "lenet", "--data", data, *LENET], "scores"), (["resume", "lenet-2"], "scores"),
        (["fork", "lenet", "mine.py"], "file"), (["data", data], ""),
    ]:  # fmt: skip
        assert main([*words, "--json"]) == 0, words
        found = one_json(capsys)
        assert not field or field in found, words
    assert (here / "runs" / "lenet-2" / "report.json").exists()


def test_same_answers_without_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in [
        (["list"], "1998"), (["show", "lenet"], "--steps"), (["show", "lenet", "--bibtex"], "@misc{lecun1998,"), (["runs"], "lenet-1"), (["compare"], "lenet-1"),
        (["score", "lenet-1"], "error: "), (["use", "lenet-1", "digit.png"], "digit.png:"),
    ]:  # fmt: skip
        assert main(words) == 0, words
        assert text in capsys.readouterr().out, words


def test_runs_that_ship_are_named_beside_the_users(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["use", "lenet", "digit.png", "--json"]) == 0
    assert one_json(capsys)["run"].endswith("lenet-1")
    assert main(["use", "shipped:lenet", "digit.png", "--json"]) == 0
    assert one_json(capsys)["run"].endswith("shipped/lenet")
    words = ["use", "shipped:alphazero-go5", "--simulations", "4", "", "--json"]  # the options of its page, alphazero
    assert main(words) == 0
    assert one_json(capsys)["run"].endswith("shipped/alphazero-go5")


def test_score_again_is_the_score_of_the_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "lenet-1", "--json"]) == 0
    report = json.loads((here / "runs" / "lenet-1" / "report.json").read_text())
    assert one_json(capsys)["scores"] == report["scores"]


def test_a_command_repeats_its_run(here: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex

    assert main(["train", "lenet", "--data", data, "--seed", "3", *LENET, "--json"]) == 0
    report = one_json(capsys)
    words = shlex.split(report["command"])
    assert words[0] == "milestones"
    assert main([*words[1:], "--json"]) == 0
    again = one_json(capsys)
    assert again["run"] != report["run"]
    assert again["scores"] == report["scores"]
    files = [Path(run) / "weights.safetensors" for run in (report["run"], again["run"])]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_train_from_takes_what_fits(here: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = ["train", "lenet", "--data", data, "--from", "lenet-1", "--freeze", *LENET]
    refused(frozen, capsys, "something to train beside what is frozen")
    assert main(["train", "lenet", "--data", data, "--from", "lenet-1", *LENET, "--json"]) == 0
    said = capsys.readouterr()
    assert "took 10 tensors of lenet-1; new: none" in said.err
    two = str(pictures(here / "two", {"a": 20, "b": 20}))
    assert main(["train", "lenet", "--data", two, "--from", "lenet-1", "--freeze", *LENET, "--json"]) == 0
    assert "took and froze 8 tensors of lenet-1; new: classifier.4.weight, classifier.4.bias" in capsys.readouterr().err
    old, new = (load_file(here / "runs" / name / "weights.safetensors") for name in ("lenet-1", "lenet-3"))
    assert [name for name in old if old[name].shape != new[name].shape or not old[name].equal(new[name])] == [
        "classifier.4.bias", "classifier.4.weight"]  # fmt: skip


# Words


@pytest.mark.parametrize(("words", "texts"), {
    "unknown verb": (["trian", "lenet"], ["expected a verb: ", "got 'trian'", "Did you mean 'train'?"]),
    "unknown page": (["train", "lenett"], ["no page 'lenett'", "Did you mean 'lenet'?"]),
    "page like nothing": (["train", "zzzzzz"], ["no page 'zzzzzz'. There are: "]),
    "show unknown page": (["show", "lenett"], ["Did you mean 'lenet'?"]),
    "fork unknown page": (["fork", "lenett", "my.py"], ["Did you mean 'lenet'?"]),
    "unknown preset": (["train", "lenet", "--preset", "papper"], ["a preset of this page: ", "Did you mean 'paper'?"]),
    "unknown knob": (["train", "lenet", "--stepps", "3"], ["no option '--stepps'", "Did you mean '--steps'?"]),
    "knob of another tool": (["train", "lenet", "--learning-rate", "3"], ["no option '--learning-rate'", "Did you mean '--lr'?"]),
    "knob of another tool, with =": (["train", "lenet", "--batch_size=3"], ["no option '--batch_size'", "Did you mean '--batch'?"]),
    "abbreviation": (["train", "lenet", "--step", "3"], ["no option '--step'", "Did you mean '--steps'?"]),
    "knob below": (["train", "lenet", "--steps", "0"], ["a whole number from 1, got steps = '0'"]),
    "knob negative": (["train", "lenet", "--lr=-1"], ["a number above 0, got lr = '-1'"]),
    "knob above": (["train", "lenet", "--shift", "99"], ["a number from 0 to 14, got shift = '99'"]),
    "knob no number": (["train", "lenet", "--steps", "many"], ["a whole number from 1, got steps = 'many'"]),
    "knob of a fraction": (["train", "lenet", "--steps", "2.5"], ["a whole number from 1, got steps = '2.5'"]),
    "knob NaN": (["train", "lenet", "--lr", "nan"], ["got lr = 'nan'"]),
    "knob infinite": (["train", "lenet", "--lr", "inf"], ["got lr = 'inf'"]),
    "knob none": (["train", "lenet", "--steps", "none"], ["got steps = None"]),
    "knob empty": (["train", "lenet", "--steps", ""], ["got steps = ''"]),
    "knob without value": (["train", "lenet", "--steps"], ["expected one argument"]),
    "choice unknown": (["train", "perceptron", "--task", "nor"], ["one of clouds, and, or, xor, majority, got task = 'nor'"]),
    "plan unknown": (["train", "lenet", "--plan", "fast"], ["a plan auto, exact or LAYOUT/PRECISION/THREADS", "'fast'"]),
    "plan of no threads": (["train", "lenet", "--plan", "contiguous/float32/0"], ["a plan auto, exact or"]),
    "plan of a million threads": (["train", "lenet", "--plan", "contiguous/float32/1000000"], ["threads to 256"]),
    "plan of odd figures": (["train", "lenet", "--plan", "contiguous/float32/²"], ["a plan auto, exact or"]),
    "device unknown": (["train", "lenet", "--device", "warp"], ["a device that this machine has", "'warp'"]),
    "device without values": (["train", "lenet", "--device", "meta"], ["a device that this machine has"]),
    "device not here": (["train", "lenet", "--device", "cuda:99"], ["a device that this machine has"]),
    "split unknown": (["train", "lenet", "--data", "$DATA", "--split", "most"], ["--split as three percentages that make 100, or final", "'most'"]),
    "split beyond": (["train", "lenet", "--data", "$DATA", "--split", "80/10/20"], ["three percentages that make 100"]),
    "split NaN": (["train", "lenet", "--data", "$DATA", "--split", "nan/10/10"], ["three percentages that make 100"]),
    "split of embedded digits": (["train", "lenet", "--split", "80/10/10"], ["whose split is fixed"]),
    "seed no number": (["train", "lenet", "--seed", "x"], ["invalid int value: 'x'"]),
    "no seeds": (["train", "lenet", "--seeds", "0"], ["--seeds from 1"]),
    "minutes 0": (["train", "lenet", "--minutes", "0"], ["--minutes above 0"]),
    "minutes NaN": (["train", "lenet", "--minutes", "nan"], ["--minutes above 0"]),
    "resume minutes": (["resume", "lenet-1", "--minutes", "-1"], ["--minutes above 0"]),
    "freeze what": (["train", "lenet", "--freeze"], ["--freeze together with --from RUN"]),
    "from nothing": (["train", "lenet", "--from", "lenet-9"], ["'lenet-9'", "Did you mean 'lenet-1'?"]),
    "no page": (["train"], ["the words that --help lists", "the following arguments are required"]),
    "data that is not there": (["train", "lenet", "--data", "no/such"], ["no/such"]),
    "data twice": (["train", "rows.csv", "--data", "rows.csv"], ["data once, got both rows.csv and", "Leave one of them out"]),
    "use of no run": (["use", "lenet-9", "digit.png"], ["Did you mean 'lenet-1'?"]),
    "use of a path that is not there": (["use", "/no/such/run", "digit.png"], ["a run (a folder, a name as lenet-3, or a page)"]),
    "use of a pattern": (["use", "**", "digit.png"], ["a run (a folder, a name as lenet-3, or a page)"]),
    "use of nothing": (["use", "", "digit.png"], ["a run (a folder, a name as lenet-3, or a page)"]),
    "use of zero bytes": (["use", "a\0b", "digit.png"], ["a run (a folder, a name as lenet-3, or a page)"]),
    "use of a run that does not ship": (["use", "shipped:lenett", "digit.png"], ["a run that ships, got 'shipped:lenett'", "Did you mean 'lenet'?"]),
    "use without input": (["use", "lenet-1"], ["a file to answer for", "Name one or several files"]),
    "use of a file that is not there": (["use", "lenet-1", "no.png"], ["no.png, which does not exist"]),
    "use of rows on pictures": (["use", "lenet-1", "rows.csv"], ["lenet: expected image, got row in rows.csv. Pass a file of that kind"]),
    "use of an unknown kind": (["use", "lenet-1", "notes.txt"], ["notes.txt, of another kind"]),
    "use with another page": (
        ["use", "lenet-1", "digit.png", "--page", "lenet1989"],
        ["the page that made runs/lenet-1: lenet, got the page lenet1989. Name the right page"]),
    "completion of an unknown shell": (["completion", "powershell"], ["For example: milestones completion bash"]),
    "score on other classes": (["score", "lenet-1", "--data", "two"], ["the labels that lenet-1 was trained on"]),
    "resume of no run": (["resume", "lenet-9"], ["'lenet-9'"]),
    "nothing to resume": (["resume"], ["an unfinished run in runs"]),
    "compare of no run": (["compare", "lenet-9"], ["'lenet-9'"]),
    "compare of nothing": (["compare", "--runs", "elsewhere"], ["finished runs to compare"]),
    "fork over a file": (["fork", "lenet", "taken.py"], ["a file that does not exist yet", "taken.py, which does"]),
    "fork to a page's name": (["fork", "lenet", "mlp.py"], ["a new file whose name is a new word and ends in .py"]),
    "fork to no file of Python": (["fork", "lenet", "my.txt"], ["a new file whose name is a new word and ends in .py"]),
    "fork to nowhere": (["fork", "lenet", "no/my.py"], ["a file in an existing folder", "Make no first"]),
    "page file not there": (["train", "no.py"], ["no.py, which is no file"]),
    "page file broken": (["train", "broken.py"], ["a page that can be run in", "SyntaxError"]),
    "page file without a system": (["train", "taken.py"], ["'system = System(...)' at the end of"]),
}.values())  # fmt: skip
def test_words(here: Path, data: str, capsys: pytest.CaptureFixture[str], words: list[str], texts: list[str]) -> None:
    (here / "notes.txt").write_text("nothing")
    (here / "taken.py").write_text("x = 1\n")
    (here / "broken.py").write_text("def (\n")
    pictures(here / "two", {"a": 9, "b": 9})
    before = {p: p.stat().st_mtime_ns for p in (here / "runs").rglob("*") if p.name != "lock"}
    refused([data if word == "$DATA" else word for word in words], capsys, *texts)
    assert {p: p.stat().st_mtime_ns for p in (here / "runs").rglob("*") if p.name != "lock"} == before, (
        "runs/ is as it was"
    )


def test_words_by_api_and_by_process(here: Path) -> None:
    """What a shell sees: streams, exit code, and no traceback."""

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **more}
        return subprocess.run(
            [sys.executable, "-m", "milestones", *words], capture_output=True, text=True, check=False, cwd=here, env=env
        )

    bad = run("train", "lenett")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.count("\n") == 1
    good = run("runs", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["runs"][0]["run"] == "lenet-1"
    narrow = run("use", "lenet-1", "digit.png", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert narrow.returncode == 0, narrow.stderr
    closed = subprocess.Popen(
        [sys.executable, "-m", "milestones", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=here, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert closed.stdout and closed.stderr and closed.stdout.readline()
    closed.stdout.close()  # as `head -n 1` does
    assert closed.stderr.read() == ""
    closed.wait()
    closed.stderr.close()


# Data


def picture(path: Path, level: int, side: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([level, *path.name.encode()])
    Image.fromarray((rng.integers(0, 100, (side, side)) + level).astype(np.uint8)).save(path)


def pictures(folder: Path, classes: dict[str, int]) -> Path:
    """A folder per class of so many pictures."""
    for k, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture(folder / name / f"{i}.png", 100 * k)
    return folder


def png(path: Path, width: int, height: int) -> None:
    """A picture of one colour: 1 bit a pixel, a few kilobytes for a billion of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pack, row = zlib.compressobj(9), b"\0" * (1 + (width + 7) // 8)
    body = b"".join(pack.compress(row * min(500, height - i)) for i in range(0, height, 500)) + pack.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def one_class(here: Path) -> list[str]:
    return [str(pictures(here / "pets", {"cat": 9}))]


def empty_class(here: Path) -> list[str]:
    return [str(pictures(here / "pets", {"cat": 9, "dog": 9, "hen": 0}))]


def truncated(here: Path) -> list[str]:
    folder = pictures(here / "pets", {"cat": 9, "dog": 9})
    content = (folder / "dog" / "3.png").read_bytes()
    (folder / "dog" / "3.png").write_bytes(content[: len(content) // 2])
    return [str(folder)]


def text_as_png(here: Path) -> list[str]:
    folder = pictures(here / "pets", {"cat": 9, "dog": 9})
    (folder / "dog" / "3.png").write_text("a dog")
    return [str(folder)]


def huge(here: Path) -> list[str]:
    folder = pictures(here / "pets", {"cat": 9, "dog": 9})
    png(folder / "dog" / "3.png", 40_000, 40_000)
    return [str(folder)]


def rows(change: Callable[[list[str]], list[str]], *target: str) -> Callable[[Path], list[str]]:
    def make(here: Path) -> list[str]:
        lines = (here / "rows.csv").read_text().splitlines()
        (here / "bad.csv").write_text("\n".join(change(lines)) + "\n")
        return [str(here / "bad.csv"), *target]

    return make


DATA: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "one class": (one_class, ["pictures of at least two classes", "cat"]),
    "an empty class": (empty_class, ["pictures of each class", "hen"]),
    "a truncated picture": (truncated, ["3.png"]),
    "a text named .png": (text_as_png, ["3.png"]),
    "a huge picture": (huge, ["3.png", "at most 100 megapixels"]),
    "an empty folder": (lambda here: [(here / "none").mkdir() or str(here / "none")], ["none"]),
    "no target": (rows(lambda lines: lines), ["a target column", "Say --target kind"]),
    "another target": (rows(lambda lines: lines, "--target", "kinds"), ["the target column 'kinds'", "Did you mean 'kind'?"]),
    "infinite in a table": (rows(lambda lines: [*lines[:5], "inf,1,red,a", *lines[5:]], "--target", "kind"), ["bad.csv line 6"]),
    "a target missing": (rows(lambda lines: [*lines[:5], "1,1,red,", *lines[5:]], "--target", "kind"), ["line 6"]),
    "a target of NaN": (rows(lambda lines: [*lines[:5], "1,1,red,nan", *lines[5:]], "--target", "kind"), ["line 6"]),
    "too many cells": (rows(lambda lines: [*lines[:5], "1,1,red,a,9", *lines[5:]], "--target", "kind"), ["line 6"]),
    "three rows": (rows(lambda lines: lines[:4], "--target", "kind"), ["at least"]),
    "ten rows and a quantity": (
        rows(lambda lines: ["a,b", *(f"{i},{i * i}.5" for i in range(10))], "--target", "b"),
        ["at least 20 rows, for train, valid and test, got 10 different ones"]),
    "an empty table": (rows(lambda lines: [""], "--target", "kind"), ["bad.csv"]),
    "zero bytes": (rows(lambda lines: ["\0\0\0", "\0"], "--target", "kind"), ["bad.csv"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_data(here: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    make, texts = DATA[case]
    words = make(here)
    refused(["train", *words, *QUICK], capsys, *texts)
    assert [p.name for p in (here / "runs").iterdir()] == ["lenet-1"], "nothing was trained, nothing is left"
    assert main(["runs"]) == 0
    assert main(["compare"]) == 0
    refused(["resume"], capsys, "an unfinished run in runs")


@pytest.mark.parametrize("case", ["a truncated picture", "a text named .png", "a huge picture"])
def test_use_of_a_bad_picture(here: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    (folder,) = DATA[case][0](here)
    refused(["use", "lenet-1", f"{folder}/dog/3.png"], capsys, "3.png")


def test_nan_in_a_table_is_a_missing_cell(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spreadsheets and pandas write NaN for an empty cell."""
    words = rows(lambda lines: [*lines[:5], "nan,1,red,a", *lines[5:]], "--target", "kind")(here)
    settings = tiny.of("mlp").settings
    knobs = [word for name, value in settings.items()
             for word in (f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)]))]  # fmt: skip
    assert main(["train", *words, *knobs, *QUICK, "--json"]) == 0
    assert one_json(capsys)["system"] == "mlp"


def test_names_of_files_that_are_no_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class folder of an old disk, in Latin-1."""
    folder = pictures(here / "pets", {"cat": 9, "dog": 9})
    os.rename(os.fsencode(folder / "cat"), os.fsencode(folder) + b"/k\xe4tzchen")
    assert main(["train", "lenet", "--data", str(folder), *LENET, "--json"]) == 0
    assert one_json(capsys)["system"] == "lenet"
    assert main(["use", "lenet-2", "digit.png"]) == 0
    assert main(["score", "lenet-2"]) == 0


def test_failed_training_is_kept(here: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where steps were trained, the folder stays and says why it ended."""
    refused(
        ["train", "lenet", "--data", data, "--steps", "40", "--lr", "3e38", *QUICK], capsys, "a finite loss", "lower lr"
    )
    assert main(["runs", "--json"]) == 0
    found = {item["run"]: item["state"] for item in one_json(capsys)["runs"]}
    assert found == {"lenet-1": "finished", "lenet-2": "failed"}
    assert main(["use", "lenet", "digit.png"]) == 0, "the page's name means its last finished run"
