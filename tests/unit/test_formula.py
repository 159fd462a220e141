"""Formulas mean what Python says that they mean; what is no formula is told in words; nothing of a text is run."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from unit.sums import valued

from milestones.parts.formula import DEEPEST, LONGEST, FormulaError, parse

NAMES = {name: getattr(math, name) for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "tanh", "pi", "e")}
NAMES |= {"abs": abs}
# Floats alone: whole numbers of Python's would grow without end in a tower of powers.
LEAVES = st.one_of(
    st.sampled_from(["x", "y", "pi", "e", ".5", "1e-2", "3."]),
    st.decimals(0, 20, places=2).map(lambda number: f"{number:.2f}"),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", " - ", " * "]), inner).map("".join),
        st.tuples(inner, st.sampled_from(["**2.0", "**3.0", "**-1.0", "**0.5", "**x", "**(y)", "**2.0**x"])).map(
            "".join
        ),
        st.tuples(st.sampled_from(["-", "+", "- -"]), inner).map("".join),
        inner.map("({})".format),
        st.tuples(st.sampled_from(["sin", "cos", "exp", "sqrt", "abs", "tanh", "log", "tan"]), inner).map(
            lambda both: f"{both[0]}({both[1]})"
        ),
    ),
    max_leaves=10,
)


def at(text: str, x: float, y: float) -> float:
    point = torch.tensor([[x, y]], dtype=torch.float64)
    return float(parse(text)(point[:, 0], point[:, 1]))


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, st.floats(-3, 3), st.floats(-3, 3), st.booleans())
def test_means_what_python_says(text: str, x: float, y: float, caret: bool) -> None:
    assume(len(text) <= LONGEST)
    try:
        wanted = valued(text, {**NAMES, "x": x, "y": y})
    except (ArithmeticError, ValueError, TypeError):  # no real value; a complex one inside a function
        assume(False)
    assume(isinstance(wanted, float) and math.isfinite(wanted))
    try:
        found = at(text.replace("**", "^") if caret else text, x, y)
    except FormulaError as problem:
        assume("exponents of at most" not in str(problem))
        raise
    # A step of rounding inside may weigh much at the end (sin of a large number): so few digits, and no infinities.
    assume(not any(word in text for word in ("tan(", "sin(", "cos(")) or abs(wanted) < 1e3)
    moved = valued(text, {**NAMES, "x": x * (1 + 1e-13), "y": y * (1 + 1e-13)})
    assume(isinstance(moved, float))
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9 + 100 * abs(moved - wanted))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("-x^2", -4), ("2^3^2", 512), ("2^-1", 0.5), ("2x", 4), ("3x^2 + 2(y+1)", 20), ("1/2x", 1), ("x - -y", 5),
     ("2 pi", 2 * math.pi), ("1e2x", 200), ("(-x)**2", 4), ("abs(-3)*x", 6)],
)  # fmt: skip
def test_what_binds_first(text: str, wanted: float) -> None:
    assert at(text, 2.0, 3.0) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x + z", "x, y, numbers, .* got the name 'z' at column 5"),
        ("__import__('os')", "got the name '__import__' at column 1"),
        ("x.__class__", "got '.' at column 2"),
        ("lambda: x", "got the name 'lambda' at column 1"),
        ("x if y else x", "expected an operator or the end of the formula, got 'if'"),
        ("[x for x in y]", r"got '\[' at column 1"),
        ("x; y", "got ';' at column 2"),
        ("x == y", "got '=' at column 3"),
        ("'x'", 'got "\'" at column 1'),
        ("9**9**9**9", "exponents of at most 100, got 3.8742e\\+08 at column 7"),
        ("x^1e308", "exponents of at most 100"),
        ("x^(1/0)", "exponents of at most 100, got inf"),
        ("(" * 200 + "x" + ")" * 99, "at most 40 parentheses"),
        ("-" * 250 + "x", "at most 40 parentheses"),
        ("x^" * 100 + "x", "at most 40 parentheses"),
        ("sin(" * 70 + "x", "at most 40 parentheses"),
        ("x+" * 200 + "x", f"at most {LONGEST} characters, got 401"),
        ("", "a number, x, y, a function or '\\(', got the end of it"),
        ("x +", "got the end of it"),
        ("x ** * y", r"a function or '\(', got '\*' at column 6"),
        ("(x", r"'\)' or an operator, got the end of it"),
        ("x)", r"got '\)' at column 2"),
        ("sin x", r"'\(' after sin, got 'x' at column 5"),
        ("x y", "got 'y' at column 3"),
        ("x(2)", r"got '\(' at column 2"),
        ("sin(x, y)", "got ',' at column 6"),
        ("\N{ARABIC-INDIC DIGIT THREE}x", "at column 1"),
        ("x\0y", "at column 2"),
    ],
)
def test_what_is_no_formula(text: str, words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        parse(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="xyzsincoe0123456789.+-*/^() ,_'", max_size=60))
def test_any_text_is_a_formula_or_a_message(text: str) -> None:
    try:
        formula = parse(text)
    except FormulaError:
        return
    value = formula(torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    assert value.shape == (3,) and value.dtype == torch.float64


def test_as_deep_as_allowed() -> None:
    assert at("(" * DEEPEST + "x" + ")" * DEEPEST, 2.0, 0.0) == 2.0
    assert parse("x + 2").names == {"x"} and parse("y*x").names == {"x", "y"} and parse("7").names == set()
