"""What an experiment of the playground is: all that its link says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from ...core.config import Config, Field, changed
from ...core.errors import UserError
from ...parts.formula import Formula, FormulaError, parse

WHO = "playground"
VALUES = ("plane", "hills", "surface")  # the data sets of values; "own" may be of either kind
PAIRS = ("moons", "above")  # those that have two classes, no more
MOST_CHANGES = 500
CHANGE = re.compile(r"(\d{1,9}):(?:(lr|decay)|w(\d)\.(\d)\.(\d)|b(\d)\.(\d))=(-?\d+(?:\.\d+)?(?:e-?\d+)?)", re.ASCII)


class Settings(Config):
    problem: Literal["classes", "values"] = Field(default="classes", description="what to predict")
    data: Literal["circle", "xor", "gauss", "spiral", "moons", "above", "plane", "hills", "surface", "own"] = Field(
        default="circle", description="the data set")  # fmt: skip
    formula: str = Field(default="", max_length=300, description="f of above (y > f(x)) and surface (f(x, y))")
    classes: int = Field(default=2, ge=2, le=4, description="of circle, xor, gauss and spiral")
    examples: int = Field(default=500, ge=20, le=2000, description="points, unless they are your own")
    noise: int = Field(default=0, ge=0, le=50, description="percent")
    share: int = Field(default=50, ge=10, le=90, description="percent of the points to train on")
    batch: int = Field(default=10, ge=1, le=2000, description="points per update")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of data, starting weights and order")
    inputs: tuple[str, ...] = Field(default=("x", "y"), min_length=1, max_length=10, description="formulas of x and y")
    hidden: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        default=(4, 2), max_length=6, description="units of each hidden layer")  # fmt: skip
    activation: Literal["tanh", "relu", "logistic", "linear"] = Field(default="tanh", description="of hidden units")
    squared: bool = Field(default=False, description="classes by logistic units and squared error")
    method: Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"] = Field(
        default="sgd", description="step rule")  # fmt: skip
    lr: float = Field(default=0.1, gt=0, le=100, description="step size")
    penalty: Literal["none", "l1", "l2"] = Field(default="none", description="on the weights")
    decay: float = Field(default=0.0, ge=0, le=100, description="rate of the penalty")
    changes: tuple[str, ...] = Field(default=(), max_length=MOST_CHANGES, description="made by hand while it trained")

    @property
    def formulas(self) -> list[Formula]:
        return [_parsed(text, "input") for text in self.inputs]

    @property
    def function(self) -> Formula:
        """The formula of the data set. UserError: none, or one of y where it is y that is compared."""
        found = _parsed(self.formula, "formula")
        if self.data == "above" and "y" in found.names:
            raise UserError("a formula of x alone, as in y > sin(x)", self.formula, "Leave y out", WHO)
        return found


class Change(NamedTuple):
    """A change made by hand before update `at`: of "lr" or "decay", or of a weight ("w") or bias ("b")."""

    at: int
    what: str
    layer: int
    unit: int
    source: int  # the unit of the layer below; of a bias 0
    value: float

    @property
    def spot(self) -> tuple[int, str, int, int, int]:
        return self[:5]

    def __str__(self) -> str:
        where = {"w": f"w{self.layer}.{self.unit}.{self.source}", "b": f"b{self.layer}.{self.unit}"}
        return f"{self.at}:{where.get(self.what, self.what)}={self.value:.6g}"


def settings(asked: object) -> Settings:
    """The settings that a page sends. UserError: unknown, out of range, or not fit for each other."""
    if not isinstance(asked, Mapping):
        raise UserError("settings of an experiment", type(asked).__name__, "Reload the page", WHO)
    made = changed(Settings(), {str(name): value for name, value in asked.items()}, WHO)
    if made.data != "own" and (made.data in VALUES) != (made.problem == "values"):
        fit = ", ".join(VALUES) if made.problem == "values" else "circle, xor, gauss, spiral, moons or above"
        raise UserError(f"a data set of {made.problem}: {fit}", made.data, "Choose another data set", WHO)
    if made.data in PAIRS and made.classes > 2:
        raise UserError(f"2 classes in {made.data}", str(made.classes), "Choose gauss or spiral for more", WHO)
    if made.data in ("above", "surface"):
        made.function  # noqa: B018  (what is wrong is said now)
    if len({formula.text for formula in made.formulas}) < len(made.inputs):
        raise UserError("different inputs", ", ".join(made.inputs), "Leave one out", WHO)
    return made


def changes(made: Settings) -> list[Change]:
    """The changes of an experiment in the order in which they came. UserError: a text that is none."""
    return sorted((change(text) for text in made.changes), key=lambda found: found.at)


def change(text: str) -> Change:
    """The change that a text says: "120:w0.1.0=0.5" (layer, unit, source, from 0), "120:b0.1=0.5", "120:lr=0.1"."""
    found = CHANGE.fullmatch(text)
    if not found or (found[2] and not 0 <= float(found[8]) <= 100) or abs(float(found[8])) > 1e4:
        raise UserError("a change, as 120:w0.1.0=0.5 or 120:lr=0.1", repr(text)[:60], "Reset the net", WHO)
    at, rate, layer, unit, source, of, bias, value = found.groups()
    if rate:
        return Change(int(at), rate, 0, 0, 0, float(value))
    return Change(int(at), "w" if layer else "b", int(layer or of), int(unit or bias), int(source or 0), float(value))


def _parsed(text: str, what: str) -> Formula:
    try:
        return parse(text)
    except FormulaError as problem:
        raise UserError(problem.expected, f"{problem.got} in the {what} {text!r}"[:160], problem.do, WHO) from None


def plain(made: Settings) -> dict[str, Any]:
    """The settings as JSON."""
    return made.model_dump(mode="json")
