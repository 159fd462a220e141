"""playground, steer, script, terrain: a small net in the plane, which trains while it is looked at and changed.

The page asks for one frame after the other, so that a browser that is slow or asleep is never sent what it cannot draw.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ...core.errors import UserError
from ...parts.landscape import Terrain, passes, principal
from ...parts.plane import CLASSES, VALUES
from ..desk import Answer, Desk
from ..playground.points import read, received
from ..playground.script import script
from ..playground.settings import VALUES as SETS_OF_VALUES
from ..playground.settings import WHO, Settings, plain, settings
from ..playground.trainer import Trainer, examples

SLICE = 0.04  # seconds of training between two frames
SIDE = 41  # points along a side of the loss's map
MOST_UPDATES = 1_000_000
FORMULAS = {"above": "2*sin(x)", "surface": "sin(x)*cos(y/2)"}  # to begin with


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer | Iterator[Answer]:
    """playground: train "updates" on, or as far as a slice of time allows, and show. steer: "set" the experiment, make
    "changes", "read" a CSV file. script: the experiment until now as a script. terrain: the loss around the weights."""
    if ask.get("do") == "steer" and ask.get("what") == "read":
        return _read(ask, payload)
    if ask.get("do") == "steer" and ask.get("what") == "sets":
        return Answer({"formulas": FORMULAS}, pictured())
    if ask.get("do") == "steer" and ask.get("what") == "set":
        made = settings(ask.get("settings"))
        own = received(ask, payload, made.problem) if made.data == "own" else None
        trainer = desk.memory[WHO] = Trainer(made, own)
        return frame(trainer, 0, whole=True)
    found = desk.memory.get(WHO)
    if found is None:
        raise UserError("an experiment that was set", "none", "Reload the page", WHO)
    if ask.get("do") == "terrain":
        return terrain(found)
    if ask.get("do") == "script":
        epochs = max(1, len(found.curve) - 1)
        return Answer({"script": script(found, epochs), "epochs": epochs})
    if ask.get("do") == "steer":
        texts = ask.get("changes")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UserError("a list of changes", repr(texts)[:60], "Reload the page", WHO)
        found.steer(texts)
    else:
        found.advance(_whole(ask, "updates", 1), SLICE)
    return frame(found, _whole(ask, "have", 0))


def _whole(ask: Mapping[str, Any], name: str, least: int) -> int:
    value = ask.get(name, least)
    if type(value) is not int or not least <= value <= MOST_UPDATES:
        raise UserError(f"{name}, a whole number from {least}", repr(value)[:40], "Reload the page", WHO)
    return value


def frame(trainer: Trainer, have: int, whole: bool = False) -> Answer:
    """What the page draws: the curve from point `have` on; `whole`: also what stays as it is until the next "set"."""
    units, tops, output = trainer.maps()
    now = trainer.measured()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trainer.model.parameters()]
    curve = np.array(trainer.curve[have:], np.float32).reshape(-1, 4)
    arrays = {
        "units": units.numpy(), "output": output.numpy(), "weights": trainer.model.flat.numpy(),
        "gradients": torch.cat([part.flatten() for part in gradients]).numpy(), "curve": curve,
    }  # fmt: skip
    content: dict[str, Any] = {
        "step": trainer.step, "per_epoch": trainer.per_epoch, "now": [_plain(value) for value in now], "tops": tops,
        "from": have, "diverged": trainer.diverged, "halted": trainer.halted,
        "changes": [str(one) for one in trainer.changes],
        "lr": trainer.lr, "decay": trainer.decay,
    }  # fmt: skip
    if whole:
        content |= {
            "settings": plain(trainer.settings), "labels": list(trainer.labels), "cut": trainer.cut,
            "scale": list(trainer.scale),
            "layers": [layer.in_features for layer in trainer.model.layers] + [trainer.model.layers[-1].out_features],
            "output": trainer.model.output,
        }  # fmt: skip
        arrays["points"] = torch.cat([trainer.points, trainer.target[:, None]], 1).float().numpy()
    return Answer(content, arrays)


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def pictured() -> dict[str, np.ndarray]:
    """A few points of each data set, "N 3" float32: what the page draws on the buttons."""
    found = {}
    for name in [*CLASSES, "above", *VALUES, "surface"]:
        problem = "values" if name in SETS_OF_VALUES else "classes"
        made = Settings(data=name, problem=problem, formula=FORMULAS.get(name, ""), examples=160)
        points, target, _ = examples(made, None)
        found[name] = torch.cat([points, target[:, None]], 1).float().numpy()
    return found


def _read(ask: Mapping[str, Any], payload: bytes) -> Answer:
    problem = "values" if ask.get("problem") == "values" else "classes"
    own = read(payload, problem)
    return Answer({"labels": list(own.labels), "axes": [list(axis) for axis in own.axes]},
                  {"rows": own.rows.astype(np.int32)})  # fmt: skip


def terrain(trainer: Trainer) -> Iterator[Answer]:
    """The training loss with its penalty over the plane that shows most of the path so far, "R C" float32, filled from
    coarse to fine; and the path on it. UserError: too short a path."""
    path = torch.stack([*trainer.path, trainer.model.flat])
    if len(path) < 4 or not path.isfinite().all():
        raise UserError("a path of three epochs or more", f"{len(path) - 2}", "Press Play first", WHO)
    ground = Terrain(trainer.model, trainer.penalised, [trainer.rows(slice(trainer.cut))])
    plane, shares = principal(path)
    places = torch.tensor([plane.seen(point) for point in path])
    low, high = places.amin(0), places.amax(0)
    room = (0.3 * (high - low)).clamp_min(0.1 * float((high - low).max()) + 1e-3)
    low, high = low - room, high + room
    steps = [torch.linspace(float(a), float(b), SIDE) for a, b in zip(low, high, strict=True)]
    heights = np.full((SIDE, SIDE), np.nan, np.float32)
    told = {"path": places.tolist(), "x": [float(low[0]), float(high[0])], "y": [float(low[1]), float(high[1])],
            "shares": shares, "here": ground.at(path[-1])["loss"]}  # fmt: skip
    until = time.perf_counter() + SLICE
    for one in passes(SIDE):
        for r, c in one.places:
            heights[r, c] = ground.at(plane.point(float(steps[0][c]), float(steps[1][r])))["loss"]
            if time.perf_counter() > until:
                yield Answer({**told, "stride": 2 * one.stride}, {"heights": heights.copy()})
                until = time.perf_counter() + SLICE
    yield Answer({**told, "stride": 1}, {"heights": heights})
