"""Each block of code in README and docs runs, in the order of its document, in a folder of its own. Trainings are
cut: a page gets the settings of `tiny`, the reader's data few updates. What does not run is listed with its reason."""

from __future__ import annotations

import io
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import wave
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from contract import tiny

from milestones import cli
from milestones.catalog import TIMELINE
from milestones.verbs import VERBS

ROOT = Path(__file__).parents[2]
DOCS = [file for name in ("README.md", "CONTRIBUTING.md", "docs") for file in
        (sorted((ROOT / name).rglob("*.md")) if (ROOT / name).is_dir() else [ROOT / name])]  # fmt: skip
GENERATED = ROOT / "docs" / "systems"  # its commands made the runs that ship; test_pages trains each of these pages
NOT_RUN = {  # a command's beginning -> why
    "./go check": "it is the tests",
    ".venv/bin/python -m pre_commit": "it changes the reader's repository",
    "./go bench": "it takes minutes and installs peers",
    "milestones studio": "it serves until it is stopped; tests/browser opens it",
    "milestones say": "it needs espeak-ng's library; test_say speaks",
    "milestones train lenet --device cuda": "it needs a GPU",
    "torchrun": "it starts several processes; test_processes does",
}
CUT = {"steps": 2, "batch": 8, "width": 8}  # of a training on the reader's data, where its page has the setting
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = {entry.name for entry in TIMELINE}


class Block(NamedTuple):
    """A fenced block: its language and text."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(text)]


def lines(text: str) -> list[str]:
    """The commands of a block: a line that ends in a backslash goes on, what follows # is a comment."""
    whole = re.sub(r"\\\n\s*", "", text)
    found = (re.sub(r"^\$ ", "", re.sub(r"(^|\s)#.*", "", line).strip()) for line in whole.splitlines())
    return [line for line in found if line]


def unread(line: str) -> str:
    """Why a command is not run, or nothing."""
    plain = re.sub(r"^\./go (?=[a-z]+)(?!check|bench)", "milestones ", line)
    return next((why for start, why in NOT_RUN.items() if plain.startswith(start)), "")


def cut(words: list[str]) -> list[str]:
    """The words of a training with fewer and smaller steps; others as they are."""
    if words[0] not in ("train", "lr") or len(words) < 2:
        return words
    from milestones.catalog import find, settings
    from milestones.verbs.train import choose, is_data

    name, own = words[1], words[1] in PAGES and not {"--data", "--preset", "--world", "--from"} & set(words)
    small = tiny.PAGES[name].settings if own else CUT
    page = choose(name).page if is_data(name) else name
    known = settings(find(page))[1]
    kept = {key: value for key, value in small.items() if key in known and f"--{key}" not in words}
    if "steps" in known and "--steps" in words:  # of more, two are enough
        words = [*words]
        words[words.index("--steps") + 1] = "2"
    given = [[f"--{key.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
             for key, value in kept.items() if not isinstance(value, bool)]  # fmt: skip
    return [*words, *(word for pair in given for word in pair)]


def run(line: str, given: str = "") -> str:
    """Run a command, `given` on its standard input; what it says on standard output. An assertion on a failure."""
    said = given
    parts = re.split(r"\s\|\s", line)
    if any(map(unread, parts)):
        return said
    for part in parts:
        words = shlex.split(part)
        if words[0] == "python" and words[1:2] != ["-m"]:
            done = subprocess.run([sys.executable, ROOT / words[1], *words[2:]], capture_output=True, text=True, env={
                "PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"})  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            said = done.stdout
            continue
        if words[0] in ("cp", "ls", "cat"):
            words = [str(ROOT / word) if word.startswith("docs/") else word for word in words]
            said = subprocess.run([shutil.which(words[0]) or words[0], *words[1:]], check=True, capture_output=True,
                                  text=True).stdout  # fmt: skip
            continue
        start = {"milestones": 1, "./go": 1, "python": 3}.get(words[0])
        assert start, f"no way to run {part!r}: mend the document, or say in NOT_RUN why not"
        out, problem = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(problem):
            patch.setattr(sys, "stdin", io.StringIO(said))
            code = cli.main(cut(words[start:]) if words[start:] else [])
        assert code == 0, f"{part}\n{problem.getvalue()}"
        said = out.getvalue()
    return said


def furnish(folder: Path) -> None:
    """What README and docs take for granted that a reader has: a picture of a digit, a recording."""
    shutil.copy(ROOT / "tests" / "pictures" / "7-paper.jpg", folder / "my-seven.jpg")
    tone = np.sin(np.arange(8000) / 8)
    with wave.open(str(folder / "talk.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((tone * 8000).astype("<i2").tobytes())


WITH_CODE = [file for file in DOCS if GENERATED not in file.parents and blocks(file.read_text("utf-8"))]


@pytest.mark.parametrize("file", WITH_CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_blocks_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    for number, block in enumerate(blocks(file.read_text("utf-8"))):
        if block.language == "python":
            script = tmp_path / f"block{number}.py"
            script.write_text(block.text, encoding="utf-8")
            with redirect_stdout(io.StringIO()):
                runpy.run_path(str(script), run_name="__main__")
            script.unlink()
            continue
        assert block.language in ("sh", "text"), f"{file.name}: a block of {block.language!r}; sh, python or text"
        for line in lines(block.text) if block.language == "sh" else []:
            run(line)


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", BLOCK.sub("", file.read_text("utf-8")))
    assert [link for link in found if "://" not in link and not (file.parent / link).exists()] == []


def test_every_reason_is_used() -> None:
    found = [block.text for file in WITH_CODE for block in blocks(file.read_text("utf-8")) if block.language == "sh"]
    said = [part for text in found for line in lines(text) for part in re.split(r"\s\|\s", line)]
    unused = [start for start in NOT_RUN if not any(part.startswith(start) for part in said)]
    assert set(unused) <= {"./go bench"}, unused


def test_a_wrong_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"no setting|no option"):
        run("milestones train lenet --stepz 3")
    with pytest.raises(AssertionError, match="no way to run"):
        run("curl somewhere")
    assert json.loads(run("milestones show lenet --json"))["name"] == "lenet"
    assert not (set(VERBS) & {"curl"})
