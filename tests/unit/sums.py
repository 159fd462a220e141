"""What Python's own grammar makes of a sum, without running any of it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

TWO: dict[type, Callable[[Any, Any], Any]] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
                                              ast.Div: operator.truediv, ast.Pow: operator.pow}  # fmt: skip
ONE: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def valued(text: str, names: Mapping[str, Any]) -> Any:
    """The value of a text of numbers, names, their functions and + - * / **, as Python reads it."""

    def of(node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return names[node.id]
            case ast.Attribute():
                return getattr(of(node.value), node.attr)
            case ast.UnaryOp():
                return ONE[type(node.op)](of(node.operand))
            case ast.BinOp():
                return TWO[type(node.op)](of(node.left), of(node.right))
            case ast.Call():
                return of(node.func)(*map(of, node.args))
        raise TypeError(ast.dump(node))

    return of(ast.parse(text, mode="eval").body)
