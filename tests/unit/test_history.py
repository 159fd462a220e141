"""The page of history repeats its rows, each with a source, and its picture has them all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CURVES = json.loads((ROOT / "docs" / "history.json").read_text("utf-8"))["curves"]


def test_the_page_repeats_the_rows() -> None:
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "history.py", "--check"])
    assert done.returncode == 0, "python benchmarks/history.py"


def test_every_point_has_a_source_and_is_drawn() -> None:
    picture = (ROOT / "docs" / "pictures" / "history.svg").read_text("utf-8")
    for curve in CURVES.values():
        years = [row[0] for row in curve["rows"]]
        assert years == sorted(years)
        for _, who, value, source in curve["rows"]:
            assert re.search(r"\b(19|20)\d\d\b", source), f"{who}: a source with its year"
            assert f"{who} {value:g}" in picture
