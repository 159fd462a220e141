"""Formulas in x and y, read by a small parser into tensor operations: nothing of the text is ever run."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LONGEST = 300  # characters of a formula
DEEPEST = 40  # parentheses, signs and powers within each other
LARGEST_POWER = 100  # of a number as exponent

TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*|[-+*/^()]))", re.ASCII
)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "abs": torch.abs, "tanh": torch.tanh,
}  # fmt: skip
CONSTANTS = {"pi": math.pi, "e": math.e}
OPERATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "^": operator.pow,
}  # fmt: skip
KNOWN = f"x, y, numbers, + - * / ^, {' '.join(FUNCTIONS)}, {' '.join(CONSTANTS)}"

Node = float | str | tuple["str | Callable[..., Tensor]", "Node", "Node | None"]
"""A number, a variable's name, or (operation, its operands)."""


class FormulaError(ValueError):
    """A text that is no formula: what was expected, what came and where, what to do."""

    def __init__(self, expected: str, got: str, do: str = "Write it as x^2 + 10*y^2") -> None:
        self.expected, self.got, self.do = expected, got, do
        super().__init__(f"expected {expected}, got {got}")


class Formula(NamedTuple):
    """A function of x and y, "..." each, to be called with tensors of one shape."""

    text: str
    tree: Node
    names: frozenset[str]  # the variables in it: x, y or both

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        value = _evaluate(self.tree, {"x": x, "y": y})
        return value if isinstance(value, Tensor) else torch.full_like(x, value)


class Word(NamedTuple):
    """A piece of the text: its kind ("number", "name", "sign", "unknown" or "end") and its column, from 1."""

    kind: str
    text: str
    column: int


def parse(text: str) -> Formula:
    """The formula that `text` says: numbers, x, y, + - * / ^ (or **), parentheses, the FUNCTIONS and CONSTANTS; 2x is
    2*x. Powers bind before signs and from the right, as in Python. FormulaError: anything else."""
    if len(text) > LONGEST:
        raise FormulaError(f"a formula of at most {LONGEST} characters", f"{len(text):,}", "Shorten it")
    words, at = [], 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        if not found:
            column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
            words.append(Word("unknown", text[column - 1], column))  # an error only if the parser gets there
            break
        kind = ("number", "name", "sign")[(found.lastindex or 1) - 1]
        words.append(Word(kind, found[found.lastindex or 1].replace("**", "^"), found.start(found.lastindex or 1) + 1))
        at = found.end()
    parser = _Parser([*words, Word("end", "", len(text) + 1)])
    tree = parser.sum(0)
    if parser.word.kind != "end":
        raise parser.unexpected("an operator or the end of the formula")
    return Formula(text, tree, frozenset(parser.names))


class _Parser:
    """Recursive descent, a method for each level of binding."""

    def __init__(self, words: list[Word]) -> None:
        self.words, self.at = words, 0
        self.names: set[str] = set()

    @property
    def word(self) -> Word:
        return self.words[self.at]

    def unexpected(self, expected: str) -> FormulaError:
        end = self.word.kind == "end"
        expected = KNOWN if self.word.kind == "unknown" else expected
        return FormulaError(expected, "the end of it" if end else f"{self.word.text!r} at column {self.word.column}")

    def take(self, *signs: str) -> str:
        """The next word if it is one of `signs`, else ""."""
        if self.word.kind == "sign" and self.word.text in signs:
            self.at += 1
            return self.words[self.at - 1].text
        return ""

    def sum(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise FormulaError(
                f"at most {DEEPEST} parentheses, signs or powers within each other", "more", "Simplify it"
            )
        left = self.product(depth)
        while sign := self.take("+", "-"):
            left = _joined(OPERATORS[sign], left, self.product(depth))
        return left

    def product(self, depth: int) -> Node:
        left = self.signed(depth)
        while True:
            after_number = self.words[self.at - 1].kind == "number"
            if sign := self.take("*", "/"):
                left = _joined(OPERATORS[sign], left, self.signed(depth))
            elif after_number and (self.word.kind == "name" or self.word.text == "("):  # 2x
                left = _joined(operator.mul, left, self.signed(depth))
            else:
                return left

    def signed(self, depth: int) -> Node:
        if depth > DEEPEST:
            return self.sum(depth)  # which says that it is too deep
        if self.take("+"):
            return self.signed(depth + 1)
        return _joined(torch.neg, self.signed(depth + 1)) if self.take("-") else self.power(depth)

    def power(self, depth: int) -> Node:
        base = self.atom(depth)
        if not self.take("^"):
            return base
        column = self.word.column
        exponent = self.signed(depth + 1)
        if isinstance(exponent, float) and not abs(exponent) <= LARGEST_POWER:
            raise FormulaError(f"exponents of at most {LARGEST_POWER}", f"{exponent:g} at column {column}", "Lower it")
        return _joined(operator.pow, base, exponent)

    def atom(self, depth: int) -> Node:
        kind, text, column = self.word
        if self.take("("):
            return self.closed(depth)
        self.at += kind in ("number", "name")
        if kind == "number":
            return float(text)
        if kind == "name" and text in FUNCTIONS:
            if not self.take("("):
                raise self.unexpected(f"'(' after {text}")
            return _joined(FUNCTIONS[text], self.closed(depth))
        if kind == "name" and text in CONSTANTS:
            return CONSTANTS[text]
        if kind == "name" and text in ("x", "y"):
            self.names.add(text)
            return text
        if kind == "name":
            raise FormulaError(KNOWN, f"the name {text[:40]!r} at column {column}")
        raise self.unexpected("a number, x, y, a function or '('")

    def closed(self, depth: int) -> Node:
        """What stands in parentheses, the first of them already read."""
        inside = self.sum(depth + 1)
        if not self.take(")"):
            raise self.unexpected("')' or an operator")
        return inside


def _joined(operation: Callable[..., Tensor], left: Node, right: Node | None = None) -> Node:
    """An operation with its operands; one of numbers alone is done at once, as tensors do it: 1/0 is infinite."""
    operands = [left] if right is None else [left, right]
    if all(isinstance(operand, float) for operand in operands):
        numbers = [torch.tensor(operand, dtype=torch.float64, device="cpu") for operand in operands]
        return float(operation(*numbers))
    return operation, left, right


def _evaluate(node: Node, values: dict[str, Tensor]) -> Tensor | float:
    if isinstance(node, tuple):
        operation, left, right = node
        operands = [_evaluate(left, values)] if right is None else [_evaluate(left, values), _evaluate(right, values)]
        return operation(*operands)
    return values[node] if isinstance(node, str) else node


def written(formula: Formula) -> str:
    """The formula as Python with PyTorch, which gives the same bits: "2 * torch.sin(x)"."""
    return _written(formula.tree) if isinstance(formula.tree, tuple | str) else f"torch.full_like(x, {formula.tree!r})"


def _written(node: Node) -> str:
    if not isinstance(node, tuple):
        return repr(node) if isinstance(node, float) else node
    operation, left, right = node
    if right is not None:
        sign = next(sign for sign, known in OPERATORS.items() if known is operation)
        return f"({_written(left)} {'**' if sign == '^' else sign} {_written(right)})"
    name = next((name for name, known in FUNCTIONS.items() if known is operation), "neg")
    return f"torch.{name}({_written(left)})"
