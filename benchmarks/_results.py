"""results/NAME.json: all that a benchmark measured, written part by part.

Each part carries its time and the hash of the code that measured it: a benchmark that was stopped goes on where it
was, and what was measured with other code, on another machine or under another PyTorch is measured again when it is
asked for. Until then the older part stays, under its own hash.
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import json
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from measure import HERE, ROOT, Value, machine, say

RESULTS = HERE / "results"
PACKAGES = ("torch", "numpy", "keras", "tensorflow", "lightning", "skorch", "scikit-learn", "captum", "grad-cam")


def versions(python: str) -> Value:
    """The versions of what is installed beside `python`."""
    code = (
        "import importlib.metadata as m, json, platform\nfound = {'python': platform.python_version()}\n"
        f"for name in {PACKAGES!r}:\n"
        "    for word in (name, name + '-cpu'):\n"
        "        try: found[name] = m.version(word); break\n        except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


def code_hash(files: Iterable[Path]) -> str:
    """Of what the code does: comments, layout and docstrings do not count."""
    digest = hashlib.sha256()
    for file in sorted(set(files)):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".py":
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                    node.body = node.body[1:]
            text = ast.dump(tree)
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def project(*pages: str) -> list[Path]:
    """The files that decide how the project runs a page: no other page, no report."""
    package = ROOT / "milestones"
    files = [p for folder in ("core", "data", "parts") for p in (package / folder).glob("*.py")]
    return files + [package / "systems" / f"{page}.py" for page in pages]


class Results:
    """results/NAME.json: all that one benchmark measured, part by part."""

    def __init__(
        self, name: str, files: Iterable[Path], python: str, fresh: bool = False, smoke: bool = False, **about: Any
    ) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that a child is ended, too
        RESULTS.mkdir(exist_ok=True)
        self.path = Path(tempfile.gettempdir(), f"{name}.smoke.json") if smoke else RESULTS / f"{name}.json"
        self.code = code_hash([Path(__file__), HERE / "measure.py", *files])
        try:
            parts = {} if fresh else json.loads(self.path.read_text())["parts"]
        except (OSError, ValueError, KeyError):
            parts = {}
        self.content: Value = {
            "format": 1,
            "benchmark": name,
            "command": shlex.join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
            "smoke": smoke,
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": versions(python),
            "code": self.code,
            **about,
            "parts": parts,
            "summary": {},
        }
        self._here = f"{self.content['machine']['cpu']}, {self.content['versions'].get('torch')}"
        if self.content["machine"]["note"]:
            say(f"note: {self.content['machine']['note']}")

    def part(self, key: str, measure: Callable[[], Value]) -> Value:
        """The part `key`: as measured before with this code on this machine, else measured now and kept."""
        if kept := self.kept(key):
            return kept
        value = {"code": self.code, "here": self._here, "when": datetime.datetime.now().isoformat(timespec="seconds")}
        self.content["parts"][key] = {**value, **measure()}
        self.write()
        return self.content["parts"][key]

    def kept(self, key: str) -> Value | None:
        """The part `key` if it was measured with this code on this machine."""
        part = self.content["parts"].get(key)
        return part if part and part["code"] == self.code and part["here"] == self._here else None

    def write(self, **summary: Any) -> None:
        self.content["summary"].update(summary)
        text = json.dumps(self.content, indent=1, ensure_ascii=False)
        aside = self.path.with_suffix(".new")
        aside.write_text(text + "\n", encoding="utf-8")
        aside.replace(self.path)
