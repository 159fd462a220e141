"""Each message to the user is matched in a test: a distinctive piece of it stands in a text under tests/."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "milestones").rglob("*.py"))
LEAST = 12  # letters that make a piece distinctive


def pieces(node: ast.AST, where: ast.AST) -> list[str]:
    """The literal pieces of an argument in their order, with those of names that `where` sets."""
    found = []
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.append(part.value.strip())
        elif isinstance(part, ast.Name):
            sets = (n for n in ast.walk(where) if isinstance(n, ast.Assign))
            values = [n.value for n in sets if ast.unparse(n.targets[0]) == part.id]
            texts = [c.value for value in values for c in ast.walk(value) if isinstance(c, ast.Constant)]
            found += [text.strip() for text in texts if isinstance(text, str)]
    return found


def sites(file: Path) -> list[tuple[int, list[str]]]:
    """Each construction of a UserError: its line, and the pieces of expected, got and do (not of who)."""
    found = {}
    tree = ast.parse(file.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for where in [tree, *functions]:  # the innermost function comes last, and stays
        for node in ast.walk(where):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "UserError":
                words = [
                    *node.args[:3],
                    *(k.value for k in node.keywords if k.arg in ("expected", "got", "do")),
                ]
                if not any(isinstance(w, ast.Attribute) and w.attr == "expected" for w in words):
                    # (One that takes another's words only passes it on.)
                    found[node.lineno] = [piece for word in words for piece in pieces(word, where)]
    return sorted(found.items())


@cache
def strings_of_tests() -> list[str]:
    """All string literals of the tests: comments match no message. This folder does not count."""
    texts = []
    for file in (ROOT / "tests").rglob("*.py"):
        if file.parent.name != "style":
            literals = (n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant))
            texts += [value for value in literals if isinstance(value, str)]
    # A pattern for pytest.raises(match=...) escapes what is special in it.
    return [text.replace("\\", "") for text in texts]


def matched(words: list[str]) -> bool:
    """Whether LEAST letters of a piece, from a word's start, stand in a test; of short ones all, in one."""
    long = [piece for piece in words if len(piece) >= LEAST]
    for piece in long:
        starts = [0, *(i + 1 for i, letter in enumerate(piece) if letter == " ")]
        distinctive = [piece[i : i + LEAST] for i in starts if len(piece) - i >= LEAST]
        if any(part in text for part in distinctive for text in strings_of_tests()):
            return True
    in_order = ".*".join(re.escape(piece) for piece in words if len(piece) > 1)
    return not long and bool(in_order) and any(re.search(in_order, text) for text in strings_of_tests())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "milestones")))
def test_each_message_is_matched(file: Path) -> None:
    unmatched = [
        f"{file.relative_to(ROOT)}:{line}: {' | '.join(filter(None, words)) or 'no literal piece to match'}"
        for line, words in sites(file)
        if not matched(words)
    ]
    assert unmatched == [], "\n" + "\n".join(unmatched)


def test_an_unmatched_message_is_found() -> None:
    assert not matched(["zyx" * LEAST])
