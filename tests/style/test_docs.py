"""What README and docs say is true: their commands exist, their figures come from the committed JSON."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGES.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
OWN = {"check", "bench"}  # verbs of ./go itself
# Verbs whose first word is a page, the path of data or of a page file, or a run.
OF_PAGES = {"train", "show", "fork"}
TEXTS = [*DOCS, *(ROOT / name for name in ("go", "go.py", "pyproject.toml", "constraints.txt", ".ci/run"))]
# Put together here, so that this file does not name one either.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "down" + "load.pytorch.org", "registry.npm" + "js.org"]
# An absolute path that is not one of every machine's.
LOCAL = re.compile(r"(?<![\w.:/~$}-])/(?!usr/share/|usr/bin/|bin/|etc/|dev/|tmp/|path/)[A-Za-z]\w*/[\w.-]+")


def commands(text: str) -> list[list[str]]:
    """The words after ``./go`` or ``milestones`` of each command in a fenced block."""
    found = []
    for block in re.findall(r"^```(?:sh|bash|console|shell)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            line = re.sub(r"^\s*\$ ", "", line)
            if re.match(r"\s*(\./go|milestones|python go\.py|python -m milestones)(\s|$)", line):
                words = shlex.split(line, comments=True)
                before = 3 if words[1:2] == ["-m"] else 2 if words[0] == "python" else 1
                found.append(words[before:])
    return found


def verbs() -> set[str]:
    from milestones.verbs import VERBS

    return set(VERBS)


def wrong(words: list[str], verbs: set[str], pages: set[str]) -> str:
    """Why a command cannot be right, or nothing."""
    if not words or words[0].startswith("-") or words[0] in OWN:
        return ""
    if words[0] not in verbs:
        return f"no verb {words[0]!r}"
    first = words[1] if len(words) > 1 else ""
    path_or_option = not first or first.startswith("-") or "/" in first or "." in first or first.isupper()
    if words[0] in OF_PAGES and not path_or_option and first not in pages:
        return f"no page {first!r}"
    return ""


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_commands_exist(file: Path) -> None:
    from milestones.catalog import TIMELINE

    assert file.exists()
    pages = {entry.name for entry in TIMELINE}
    found = [(words, wrong(words, verbs(), pages)) for words in commands(file.read_text())]
    assert [(" ".join(words), why) for words, why in found if why] == []


def test_a_wrong_command_is_found() -> None:
    inside = "./go trian lenet   # typo\n$ milestones train lenot --seeds 5\n./go train photos/\n"
    text = f"```sh\n{inside}```\n./go nothing\n"
    found = commands(text)
    assert found == [["trian", "lenet"], ["train", "lenot", "--seeds", "5"], ["train", "photos/"]]
    assert [bool(wrong(words, {"train"}, {"lenet"})) for words in found] == [True, True, False]


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_no_local_path_and_no_host(file: Path) -> None:
    text = file.read_text()
    assert LOCAL.findall(text) == []
    assert [host for host in HOSTS if host in text] == []


def test_results_name_no_folder_of_the_machine() -> None:
    folder = re.compile(r"(?<![\w.~-])/(?:tmp|home|root|work|Users)/[^\s\"]*")
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    found = [f"{file.name}: {word}" for file in results for word in folder.findall(file.read_text())]
    assert results
    assert found == []


def test_a_local_path_is_found() -> None:
    assert LOCAL.findall("see /home/ann/x")
    assert not LOCAL.findall("see ../shared/data, ~/x/y, /path/to/x and https://a.example/root/x")


def test_figures_come_from_the_json() -> None:
    script = ROOT / "benchmarks" / "figures.py"
    if not script.exists():
        marked = [file.name for file in DOCS if file.exists() and "<!-- figure " in file.read_text()]
        assert marked == [], "figures without benchmarks/figures.py to make them"
        return
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
