"""What a tuning looks through: ranges of a page's settings, from their own bounds and the preset's values."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..core.errors import UserError, nearest

OF_TRAINING = ("lr", "batch", "decay", "momentum", "dropout", "warmup", "average", "smoothing", "clip")
OF_NET = ("hidden", "width", "units", "layers", "depth", "blocks", "channels", "heads", "inner", "cell", "unit",
          "activation", "norm", "pool")  # fmt: skip
LENGTHS = ("steps", "passes")  # how long a page trains
REACH = 10.0  # times the preset's value, up and down, where a setting's own bounds lie further away
SIZES = 4.0  # the same of whole numbers
DECADE = 10.0  # from here on a range is searched by its logarithm
EDGE = 0.05  # of a range: how far from a bound that is excluded itself
MOST_LAYERS = 2  # more than the preset has, of a list of layers


class Range(NamedTuple):
    """Where one setting is looked for."""

    name: str
    kind: Literal["number", "whole", "choice", "below one", "layers"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()
    most: int = 1  # layers of a list

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"{self.name}: {', '.join(map(str, self.choices))}"
        low, high = (1 - self.high, 1 - self.low) if self.kind == "below one" else (self.low, self.high)
        text = f"{self.name}: {low:.6g} to {high:.6g}" + ", by its logarithm" * self.log
        return text + f", 1 to {self.most} layers" * (self.kind == "layers")


def ranged(name: str, schema: Mapping[str, Any], value: Any) -> Range | None:
    """The range of a setting with the preset's value; None where there is nothing to look through."""
    if "enum" in schema or schema.get("type") == "boolean":
        return Range(name, "choice", choices=tuple(schema.get("enum", (False, True))))
    if schema.get("type") == "array" and schema.get("items", {}).get("type") == "integer" and value:
        middle = max(value)
        low, high = bounds(schema["items"], middle, 2 * SIZES)
        return Range(name, "layers", low, high, True, most=len(value) + MOST_LAYERS)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole, top = isinstance(value, int), schema.get("exclusiveMaximum")
    if top == 1 and 0.9 <= value < 1:  # a decay: what matters is how far it is from 1
        low, high = (1 - value) / REACH, min(1.0, (1 - value) * REACH)
        return Range(name, "below one", low, high, True)
    low, high = bounds(schema, value, SIZES if whole else REACH)
    if not low < high:
        return None
    return Range(name, "whole" if whole else "number", low, high, low > 0 and high / low >= DECADE)


def bounds(schema: Mapping[str, Any], value: float, reach: float) -> tuple[float, float]:
    """Low and high: the setting's own bounds, no further than `reach` times the value; equal where the value is 0 and
    nothing bounds it."""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    least = low if low is not None else above if above is not None else -reach * abs(value)
    most = high if high is not None else below if below is not None else reach * abs(value)
    if value > 0:
        near = (max(least, value / reach), min(most, value * reach))
    elif high is not None or below is not None:
        near = (least, most)
    else:
        near = (value, value)
    edge = EDGE * (near[1] - near[0])
    first = near[0] + edge if above is not None and near[0] <= above else near[0]
    last = near[1] - edge if below is not None and near[1] >= below else near[1]
    return (round(first), round(last)) if isinstance(value, int) else (first, last)


def space(who: str, schema: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any], over: Sequence[str],
          fixed: Sequence[str], given: Mapping[str, tuple[float, float]], net: bool) -> list[Range]:  # fmt: skip
    """The ranges to look through: of the settings in `over`, else of the usual ones, without what is `fixed`; `given`
    has ranges of the user's, and `net` says which are usual. UserError: no such setting, nothing left, a range of a
    setting that is not searched."""
    usual = OF_NET if net else OF_TRAINING
    for name in [*over, *given]:
        if name not in schema:
            do = nearest(name, schema, f"Try 'milestones show {who}'")
            raise UserError(f"settings of this page to look through ({', '.join(schema)})", repr(name), do, who)
        if name in fixed or name in LENGTHS:
            do = "Leave it out of --over and --range"
            raise UserError("settings that are not fixed, and not how long it trains", repr(name), do, who)
    names = list(dict.fromkeys([*(over or usual), *given]))
    found = [ranged(name, schema[name], values.get(name)) for name in names if name in schema and name not in fixed]
    ranges = {one.name: one for one in found if one is not None}
    for name in over:
        if name not in ranges and name not in given:
            got = f"{name} = {values.get(name)!r}, which has no bounds that it could be looked for in"
            raise UserError("a setting with a range", got, f"Say --range {name}=LOW:HIGH", who)
    for name, (low, high) in given.items():
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"--range of a number, which {name} is not", f"{name}={low:g}:{high:g}", "Use --over", who)
        if not low < high:
            raise UserError("--range from low to high", f"{name}={low:g}:{high:g}", "Turn it round", who)
        kind = "whole" if isinstance(value, int) else "number"
        ranges[name] = Range(name, kind, low, high, low > 0 and high / low >= DECADE)
    if not ranges:
        want = "settings of the net" if net else "settings of the training"
        do = f"Name some: --over NAME,NAME ('milestones show {who}' lists them)"
        raise UserError(f"a page with {want} to look through ({', '.join(usual)})", "none of them free", do, who)
    return list(ranges.values())


def settings_of(ranges: Sequence[Range], params: Mapping[str, Any]) -> dict[str, Any]:
    """The page's settings for what was drawn; numbers to three figures."""
    found: dict[str, Any] = {}
    for one in ranges:
        value = params[one.name]
        if one.kind == "layers":
            found[one.name] = [int(value)] * int(params[f"{one.name} layers"])
        elif one.kind == "below one":
            found[one.name] = round(1 - float(f"{value:.3g}"), 9)
        else:
            found[one.name] = float(f"{value:.3g}") if one.kind == "number" else value
    return found


def params_of(ranges: Sequence[Range], values: Mapping[str, Any]) -> dict[str, Any]:
    """What would have been drawn for these settings; the nearest where that cannot be."""
    found: dict[str, Any] = {}
    for one in ranges:
        value = values[one.name]
        if one.kind == "choice":
            found[one.name] = value
        elif one.kind == "layers":
            found[one.name] = int(min(max(max(value), one.low), one.high))
            found[f"{one.name} layers"] = min(len(value), one.most)
        else:
            value = 1 - value if one.kind == "below one" else value
            found[one.name] = min(max(value, one.low), one.high)
            found[one.name] = int(found[one.name]) if one.kind == "whole" else float(found[one.name])
    return found


def drawn(ranges: Sequence[Range], rng: random.Random) -> dict[str, Any]:
    """One random draw of all ranges, evenly, or evenly in the logarithm."""
    found: dict[str, Any] = {}
    for one in ranges:
        if one.kind == "choice":
            found[one.name] = rng.choice(one.choices)
            continue
        share = rng.random()
        value = one.low * (one.high / one.low) ** share if one.log else one.low + (one.high - one.low) * share
        found[one.name] = round(value) if one.kind in ("whole", "layers") else value
        if one.kind == "layers":
            found[f"{one.name} layers"] = rng.randint(1, one.most)
    return found


def same_work(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with as many examples as before: fewer updates where batches are larger, more where smaller."""
    if "batch" in settings and "steps" in values and "steps" not in settings:
        return {**settings, "steps": max(1, round(values["steps"] * values["batch"] / settings["batch"]))}
    return dict(settings)
