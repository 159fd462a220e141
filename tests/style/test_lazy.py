"""What shall answer at once imports nothing slow: no torch for help, for the list, for the runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "numpy", "matplotlib", "pandas")
COMMANDS = (["--help"], ["list"], ["runs"])


@pytest.fixture
def folder(home: Path) -> Path:
    """A current folder with a finished run in it, so that `runs` has something to read."""
    run = home / "runs" / "lenet-1"
    run.mkdir(parents=True)
    config = {"format": 1, "system": "lenet", "preset": "quick", "config": {}, "seed": 0}
    (run / "config.json").write_text(json.dumps(config))
    (run / "status.json").write_text(json.dumps({"format": 1, "state": "finished", "step": 1}))
    return home


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)


def fastest(words: list[str], folder: Path) -> float:
    """Milliseconds of the whole process, the best of 5: the machine's other work only ever adds."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        done = run(words, folder)
        best = min(best, 1000 * (time.perf_counter() - began))
        assert done.returncode == 0, done.stderr
    return best


def imported(code: str, folder: Path) -> list[str]:
    ask = f"import sys\nfor name in {SLOW!r}:\n    if name in sys.modules: print('slow:', name)"
    done = run(["-c", f"{code}\n{ask}"], folder)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("slow:")]


def test_import_is_light(home: Path) -> None:
    assert imported("import milestones", home) == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command_is_light(words: list[str], folder: Path) -> None:
    code = f"""
import sys
from milestones.cli import main
sys.argv = ["milestones", *{words!r}]
try:
    code = main()
except SystemExit as end:
    code = end.code
assert not code, code"""
    assert imported(code, folder) == []


def test_a_heavy_import_is_found(home: Path) -> None:
    assert imported("import numpy", home) == ["slow: numpy"]


def test_import_is_quick(home: Path) -> None:
    assert fastest(["-c", "import milestones"], home) <= 150


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command_is_quick(words: list[str], folder: Path) -> None:
    assert fastest(["-m", "milestones", *words], folder) <= 250
