"""Names that are used are defined. Ruff's own rule is off, since shapes in annotations ("B T D") look like names to it;
those are capitals, so all others are held here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNDEFINED = re.compile(r"^(.*F821 Undefined name `(?![A-Z][A-Z0-9_]*`).*)$", re.MULTILINE)


def undefined(*paths: str) -> list[str]:
    words = [sys.executable, "-m", "ruff", "check", "--select", "F821", "--output-format", "concise", *paths]
    return UNDEFINED.findall(subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout)


def test_names_are_defined() -> None:
    assert undefined(".") == []


def test_an_undefined_name_is_found(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text('def f(x: "B T") -> int:\n    return cosine(x)\n')
    assert len(undefined(str(file))) == 1
