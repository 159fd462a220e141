"""The labs: a blank is told, a solution passes for every student, a likely mistake does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LABS = ROOT / "docs" / "labs"
SOLVED = Path(__file__).parent / "labs"
MISTAKES = {
    "lab1": ("2 / max", "1 / max"),
    "lab2": ("* kernel)", "* kernel[::-1, ::-1])"),
    "lab3": ("np.sqrt(query.shape[1])", "query.shape[1]"),
    "lab4": ("eps * np.sign(weights[wrong] - weights[right])", "eps * np.sign(weights[wrong])"),
    "lab5": ("reward if ended else ", ""),
    "lab6": ("if low >= high:", "if False:"),
}


def check(lab: str, answers: Path, student: str = "ann", *more: str) -> tuple[int, str]:
    words = [sys.executable, str(LABS / "check.py"), lab, str(answers), "--student", student, *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("lab", MISTAKES)
def test_a_solution_passes_for_each_student(lab: str) -> None:
    said = [check(lab, SOLVED / f"{lab}.py", student) for student in ("ann", "ben", "Zoë 3")]
    assert [code for code, _ in said] == [0, 0, 0], said
    assert check(lab, SOLVED / f"{lab}.py") == said[0], "the same student has the same numbers"


@pytest.mark.parametrize("lab", MISTAKES)
def test_blanks_and_mistakes_do_not_pass(lab: str, tmp_path: Path) -> None:
    code, said = check(lab, LABS / f"{lab}.py")
    assert code == 1 and "blank" in said
    assert check(lab, LABS / f"{lab}.py", "ann", "--explain")[0] == 0
    before, after = MISTAKES[lab]
    text = (SOLVED / f"{lab}.py").read_text()
    assert before in text
    (tmp_path / "answers.py").write_text(text.replace(before, after))
    code, said = check(lab, tmp_path / "answers.py")
    assert code == 1 and "wrong: " in said, said


def test_students_have_other_numbers_and_a_missing_file_is_told(tmp_path: Path) -> None:
    assert (
        check("lab1", SOLVED / "lab1.py", "ann")[1].splitlines()[0]
        != check("lab1", SOLVED / "lab1.py", "ben")[1].splitlines()[0]
    )
    code, said = check("lab1", tmp_path / "none.py")
    assert code == 2 and "which is no file" in said
