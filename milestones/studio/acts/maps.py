"""maps: what a run says of an input, and what each step of its net puts out; pixel: the terms under one number."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...core.errors import UserError
from ...parts.products import Step, Traced, kernel, under
from ...parts.watch import PRODUCTS
from ..carry import received
from ..desk import Answer, Desk
from .use import answered, told

SIDE = 112  # pixels of a map that are sent; of larger ones every second, third ...
MOST_MAPS = 128  # of one step
LONGEST = 4096  # numbers of a step without maps


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """Of "maps": the answer as `use` has it, and "steps" with an array "step N" each. Of "pixel": see `pixel`."""
    if ask.get("do") == "pixel":
        return pixel(desk, ask)
    trained = desk.trained(ask.get("run"))
    item = received(ask, payload, trained.system.takes, trained.entry.name)
    said, began = told(trained, ask), time.perf_counter()
    with Traced(trained.model) as seen:
        found = trained.use([item], said)[0]
    milliseconds = round(1000 * (time.perf_counter() - began), 1)
    first = next((k for k, step in enumerate(seen.steps) if step.name), len(seen.steps))
    del seen.steps[:first]  # sums before the first layer with weights are no part of a net
    desk.memory["maps"] = (ask.get("run"), seen.steps)
    steps, arrays = drawn(seen)
    answer = answered(trained, found, ask, ms=milliseconds, steps=steps, left=seen.left if steps else 0)
    return Answer(answer.content, {**answer.arrays, **arrays})


def drawn(seen: Traced) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A line and an array for each step; a new "layer" begins with each product. The input is the step -1."""
    lines, arrays, layer = [], {}, 0
    steps = list(enumerate(seen.steps))
    if seen.input is not None and steps:
        steps.insert(0, (-1, Step("input", "", 0, {}, seen.input)))
    for number, step in steps:
        out = matrices(step)
        layer += step.op in PRODUCTS
        stride = max(1, math.ceil(max(out.shape[1:]) / SIDE)) if out.ndim == 3 else 1
        shown = out[:MOST_MAPS, ::stride, ::stride] if out.ndim == 3 else out[:LONGEST]
        levels, low, high = scaled(shown)
        title = "bias" if step.op == "add" and step.name else step.op
        lines.append({
            "step": number, "op": title, "name": step.name, "layer": layer, "member": step.member,
            "shape": list(step.out.shape), "of": len(out), "stride": stride, "low": low, "high": high,
        })  # fmt: skip
        arrays[f"step {number}"] = levels
    return lines, arrays


def matrices(step: Step) -> np.ndarray:
    """A step's numbers as maps "C H W", or as a strip "D"."""
    out = step.out.numpy()
    if out.ndim == 2:
        return out[None]
    return out if out.ndim in (1, 3) else out.reshape(-1, *out.shape[-2:])


def scaled(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The values as uint8, and what 0 and 255 stand for. Where some are negative, 0 becomes 127.5, the middle."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    low, high = (-max(-low, high), max(-low, high)) if low < 0 else (0.0, high)
    share = (np.nan_to_num(values, nan=0.0, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    return np.round(255 * share.clip(0, 1)).astype(np.uint8), low, high


def pixel(desk: Desk, ask: Mapping[str, Any]) -> Answer:
    """The terms under the number "at" of step "step" of the last input; with them the unit's weights, if it has some.

    UserError: nothing was put in yet, or no such number.
    """
    run, steps = desk.memory.get("maps", (None, []))
    if run is None or run != ask.get("run"):
        raise UserError("an input whose maps are shown", "none yet", "Draw or choose one", "pixel")
    at, spot = ask.get("step"), ask.get("at")
    if type(at) is not int or not 0 <= at < len(steps):
        raise UserError(f"a step from 0 to {len(steps) - 1}", repr(at)[:40], "Choose a map that is shown", "pixel")
    shape = tuple(steps[at].out.shape)
    fits = isinstance(spot, list) and len(spot) == len(shape)
    if not fits or not all(type(i) is int and 0 <= i < n for i, n in zip(spot, shape, strict=True)):
        size = " x ".join(map(str, shape))
        raise UserError(f"a place in the {size} numbers of this step", repr(spot)[:40], "Choose another", "pixel")
    with torch.inference_mode():
        told = under(steps, at, tuple(spot))
        weights = kernel(steps[at], spot[0])
    grids = {name: grid.numpy() for name, grid in told.pop("grids").items()}
    if weights is not None:
        grids["weights"] = weights.numpy()
    return Answer({**told, "step": at, "at": spot, "from": came_from(steps, at)}, grids)


def came_from(steps: list[Step], at: int) -> list[int] | None:
    """The shape "C H W" of the maps whose numbers are this step's inputs, laid out one after the other."""
    given = steps[at].given.get("input")
    if given is None or given.dim() != 2:
        return None
    for step in reversed(steps[:at]):
        if step.out.numel() == given.shape[1] and torch.equal(step.out.flatten(), given[0]):
            return list(step.out.shape) if step.out.dim() == 3 else None
    return None
