"""Runs a benchmark whose results go into a folder of their own, and leaves the committed ones alone: for ./go bench.

python benchmarks/_aside.py FOLDER NAME [its words]
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import _results

if __name__ == "__main__":
    folder, name, *words = sys.argv[1:]
    _results.RESULTS = Path(folder).resolve()
    script = str(Path(__file__).with_name(f"{name}.py"))
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")
