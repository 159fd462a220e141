"""Each message to the user is matched in a test: a distinctive piece of it stands in a text under tests/."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "milestones").rglob("*.py"))
LEAST = 12  # letters that make a piece distinctive


def pieces(node: ast.AST) -> list[str]:
    """The literal pieces of an argument, those of f-strings and conditional expressions included."""
    found = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [piece.strip() for piece in found if len(piece.strip()) >= LEAST]


def sites(file: Path) -> list[tuple[int, list[str]]]:
    """Each construction of a UserError: its line, and the pieces of expected, got and do (not of who)."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "UserError":
            words = [*node.args[:3], *(k.value for k in node.keywords if k.arg in ("expected", "got", "do"))]
            found.append((node.lineno, [piece for word in words for piece in pieces(word)]))
    return found


@cache
def strings_of_tests() -> str:
    """All string literals of the tests, joined: comments match no message. This folder does not count."""
    texts = []
    for file in (ROOT / "tests").rglob("*.py"):
        if file.parent.name != "style":
            literals = (n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant))
            texts += [value for value in literals if isinstance(value, str)]
    # A pattern for pytest.raises(match=...) escapes what is special in it.
    return "\n".join(texts).replace("\\", "")


def matched(words: list[str]) -> bool:
    """Whether a piece, or at least LEAST letters of it from a word's start, stand in a test."""
    text = strings_of_tests()
    for piece in words:
        starts = [0, *(i + 1 for i, letter in enumerate(piece) if letter == " ")]
        if any(piece[i : i + LEAST] in text for i in starts if len(piece) - i >= LEAST):
            return True
    return False


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "milestones")))
def test_each_message_is_matched(file: Path) -> None:
    unmatched = [
        f"{file.relative_to(ROOT)}:{line}: {' | '.join(words) or 'no literal piece of 12 letters to match'}"
        for line, words in sites(file)
        if not matched(words)
    ]
    assert unmatched == [], "\n" + "\n".join(unmatched)


def test_an_unmatched_message_is_found() -> None:
    assert not matched(["zyx" * LEAST])
