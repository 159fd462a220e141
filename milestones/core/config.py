"""Settings of a page: a frozen record whose JSON schema feeds options, range errors, forms and docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import UserError, nearest

__all__ = ["Config", "Field", "changed", "knobs"]

C = TypeVar("C", bound="Config")

# The field's other words for our knobs: a suggestion by spelling alone would miss them.
SYNONYMS = {
    "learning_rate": "lr", "epochs": "passes", "batch_size": "batch", "iterations": "steps", "max_steps": "steps",
    "num_steps": "steps", "nepochs": "passes", "optim": "method", "optimizer": "method", "layers": "hidden",
}  # fmt: skip


class Config(BaseModel):
    """Knobs of one page, one line each: ``steps: int = Field(default=6000, ge=1, description="optimiser updates")``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def knobs(config: type[Config]) -> dict[str, dict[str, Any]]:
    """Each knob's JSON schema by name, in the order of the class."""
    return dict(config.model_json_schema()["properties"])


def changed(base: C, changes: Mapping[str, Any], who: str) -> C:
    """``base`` with ``changes`` checked and applied. UserError: unknown knob, wrong type, out of range."""
    schema = knobs(type(base))
    for name in changes:
        if name not in schema:
            near = SYNONYMS.get(name, "")
            do = f"Did you mean {near!r}?" if near in schema else nearest(name, schema, f"Try 'show {who}'")
            raise UserError(f"a setting of this page ({', '.join(schema)})", f"no setting {name!r}", do, who)
    try:
        return type(base).model_validate({**base.model_dump(), **changes})
    except ValidationError as problem:
        first = problem.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        got = f"{name} = {changes.get(name, first['input'])!r}"
        raise UserError(describe(schema.get(name, {})), got, f"Change the setting {name!r}", who) from None


def describe(schema: Mapping[str, Any]) -> str:
    """What a knob takes, in words: ``a whole number from 1``, ``one of adam, sgd``."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return f"{schema['const']!r}"
    if "anyOf" in schema:
        return " or ".join(describe(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"a list, each {describe(schema.get('items', {}))}"
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
    text = words.get(schema.get("type", ""), "another value")
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    text += f" from {low}" if low is not None else f" above {above}" if above is not None else ""
    return text + (f" to {high}" if high is not None else f" below {below}" if below is not None else "")
