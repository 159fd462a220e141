"""The labs: a blank is told, a solution passes for every student, a likely mistake does not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LABS = ROOT / "docs" / "labs"
SOLVED = Path(__file__).parent / "labs"
MISTAKES = {
    "lab1": ("2 / max", "1 / max"),
    "lab2": ("* kernel)", "* kernel[::-1, ::-1])"),
    "lab3": ("np.sqrt(query.shape[1])", "query.shape[1]"),
    "lab4": ("eps * np.sign(slope)", "eps * slope / abs(slope).max()"),
    "lab5": ("reward if ended else ", ""),
    "lab6": ("if low >= high:", "if False:"),
}
STUDENTS = ("ann", "ben", "Zoë 3")


@pytest.fixture(scope="module")
def checker() -> Any:
    """docs/labs/check.py, imported once."""
    spec = importlib.util.spec_from_file_location("labs_check", LABS / "check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["labs_check"] = module
    spec.loader.exec_module(module)
    return module


class Asked:
    """The checker, asked as in a shell: its exit code and what it says."""

    def __init__(self, checker: Any, patch: pytest.MonkeyPatch, said: pytest.CaptureFixture[str]) -> None:
        self.checker, self.patch, self.said = checker, patch, said

    def __call__(self, lab: str, answers: Path, student: str = "ann", *more: str) -> tuple[int, str]:
        self.patch.setattr(sys, "argv", ["check.py", lab, str(answers), "--student", student, *more])
        self.said.readouterr()
        try:
            code = self.checker.main()
        except SystemExit as end:
            code = int(end.code or 0)
        told = self.said.readouterr()
        return code, told.out + told.err


@pytest.fixture
def check(checker: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(checker, monkeypatch, capsys)


@pytest.mark.parametrize("lab", MISTAKES)
def test_a_solution_passes_for_each_student(check: Asked, lab: str) -> None:
    said = [check(lab, SOLVED / f"{lab}.py", student) for student in STUDENTS]
    assert [code for code, _ in said] == [0, 0, 0], said
    assert check(lab, SOLVED / f"{lab}.py") == said[0], "the same student has the same numbers"
    if lab != "lab5":  # whose lake is the same for all, and chance another
        assert len({text.replace(who, "") for who, (_, text) in zip(STUDENTS, said, strict=True)}) == 3


@pytest.mark.parametrize("lab", MISTAKES)
def test_blanks_and_mistakes_do_not_pass(check: Asked, lab: str, tmp_path: Path) -> None:
    code, said = check(lab, LABS / f"{lab}.py")
    assert code == 1 and "blank" in said
    assert check(lab, LABS / f"{lab}.py", "ann", "--explain")[0] == 0
    before, after = MISTAKES[lab]
    text = (SOLVED / f"{lab}.py").read_text()
    assert before in text
    (tmp_path / "answers.py").write_text(text.replace(before, after))
    for student in STUDENTS:
        code, said = check(lab, tmp_path / "answers.py", student)
        assert code == 1 and "wrong: " in said, said


def test_a_missing_file_and_a_file_that_ends_are_told(check: Asked, tmp_path: Path) -> None:
    code, said = check("lab1", tmp_path / "none.py")
    assert code == 2 and "which is no file" in said
    (tmp_path / "answers.py").write_text("def limit(curvatures):\n    return curvatures.maximum\n")
    code, said = check("lab1", tmp_path / "answers.py")
    assert code == 1 and "your file ended with AttributeError" in said
