"""How functions are compiled, and that what numba keeps stays true."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason='Search needs an extra: pip install "milestones[games]"')

PACKAGE = Path(__file__).parents[2] / "milestones"
COMPILED = sorted(file for file in PACKAGE.rglob("*.py") if "compiled import njit" in file.read_text())


def test_there_is_something_to_look_at() -> None:
    assert {"tree.py", "keyed.py", "cache.py"} <= {file.name for file in COMPILED}


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_compiled_functions_call_those_of_their_own_file(file: Path) -> None:
    """numba looks at the date of one file to see whether what it kept is still true."""
    name = ".".join(("milestones", *file.relative_to(PACKAGE).with_suffix("").parts))
    module = importlib.import_module(name)
    own = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
    compiled = [function for word in own if hasattr(function := getattr(module, word), "py_func")]
    assert compiled
    for function in compiled:
        for called in function.py_func.__code__.co_names:
            other = getattr(module, called, None)
            assert not hasattr(other, "py_func") or other.py_func.__module__ == name, called


def test_a_compiled_function() -> None:
    from milestones.parts.keyed import mixed

    assert hasattr(mixed, "py_func") and mixed.targetoptions["nogil"]
    assert int(mixed(np.uint64(1))) > 2**32


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, **env}, cwd=PACKAGE.parent)


def test_without_numba_it_says_what_to_install() -> None:
    done = run("import sys\nsys.modules['numba'] = None\nfrom milestones.parts import compiled")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: games and search need numba, which is not installed: pip install 'milestones[games]'"
    )


CODE = """
from milestones.parts.compiled import njit, KEEP
import numba
print(KEEP, numba.config.CACHE_DIR)
"""


def test_compiled_code_is_kept_in_the_data_cache(tmp_path: Path) -> None:
    done = run(CODE, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout.split() == ["True", str(tmp_path / "milestones" / "compiled")], done.stderr


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    done = run(CODE, NUMBA_CACHE_DIR=str(file / "below"))
    assert done.stdout.split()[0] == "False", done.stderr
