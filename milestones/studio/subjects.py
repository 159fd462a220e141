"""What attack, look and landscape are asked about: a run and one example, or the user's input; kept between questions,
so that a slider moves without preparing anything again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import UserError
from ..media import Image
from ..verbs.subject import Subject, about, prepared, probed, taken
from .carry import received
from .desk import Desk

if TYPE_CHECKING:
    from torch import Tensor

    from ..trained import Trained

MOST_DATA = 3  # runs whose data is kept


def data_of(desk: Desk, trained: Trained) -> Any:
    """The data of an opened run, prepared once."""
    return kept(desk, trained) or keep(desk, trained, prepared(trained))


def kept(desk: Desk, trained: Trained) -> Any:
    """The data of a run if it was prepared already, else None."""
    return desk.memory.get("data", {}).get(id(trained), (None, None))[1]


def keep(desk: Desk, trained: Trained, data: Any) -> Any:
    """Keep a run's prepared data, in place of the oldest, and give it back."""
    held = desk.memory.setdefault("data", {})
    while len(held) >= MOST_DATA:
        held.pop(next(iter(held)))
    held[id(trained)] = trained, data  # with the run, so that its id stays its own
    return data


def subject_of(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Subject:
    """The run "run" with its test example number "example", or with the input that the question brings as "kind".

    UserError: no such run or example, a page without a probe, an input of another kind.
    """
    trained = desk.trained(ask.get("run"))
    probed(trained)
    asked = {name: ask.get(name) for name in ("example", "kind", "shape", "text", "values")}
    mark = json.dumps(asked, sort_keys=True, default=str) + hashlib.sha256(payload).hexdigest()
    last = desk.memory.get("subject")
    if last is not None and last[0] is trained and last[1] == mark:
        return last[2]  # type: ignore[no-any-return]
    found = own(trained, ask, payload) if ask.get("kind") else example(desk, trained, ask.get("example", 1))
    desk.memory["subject"] = trained, mark, found
    return found


def example(desk: Desk, trained: Trained, number: object) -> Subject:
    """A test example by its number. UserError: there is none."""
    if type(number) is not int or number < 1:
        raise UserError("an example by its number, from 1", repr(number)[:40], "Change the number", trained.entry.name)
    source = data_of(desk, trained).test
    batch, names = taken(trained, source, "test", 1, number)
    return about(trained, batch, names, source.name, known=True)


def own(trained: Trained, ask: Mapping[str, Any], payload: bytes) -> Subject:
    """The user's input. UserError: of another kind than the page reads."""
    who = trained.entry.name
    item = received(ask, payload, trained.system.takes, who)
    if trained.system.read is None:
        raise UserError("a run that reads files", f"the page {who}, which reads none", "Take a test example", who)
    return about(trained, trained.system.read(trained.facts, [item]), ["yours"], "your own", known=False)


def class_of(subject: Subject, number: object) -> int | None:
    """The class of a question by its number; None for none. UserError: there is no such class."""
    if number is None:
        return None
    if type(number) is not int or not 0 <= number < len(subject.labels):
        raise UserError(f"a class of this run, 0 to {len(subject.labels) - 1}", repr(number)[:40], "Choose another",
                        subject.trained.entry.name)  # fmt: skip
    return number


def whole(ask: Mapping[str, Any], name: str, usual: int, low: int, high: int) -> int:
    """A whole number of a question. UserError: none, or outside its range."""
    value = ask.get(name, usual)
    if type(value) is not int or not low <= value <= high:
        raise UserError(f"a whole number from {low} to {high:,} for {name}", repr(value)[:40], "Change it")
    return value


def described(desk: Desk, subject: Subject) -> dict[str, Any]:
    """What the page says of a subject beside its figures."""
    target = int(subject.probe.target[0])
    data = kept(desk, subject.trained)
    return {"system": subject.trained.entry.name, "labels": list(subject.labels), "name": subject.names[0],
            "data": subject.data, "truth": target if subject.known else None,
            "count": len(data.test) if data else None, "own": [k.__name__.lower() for k in
            subject.trained.system.takes] if subject.trained.system.read else []}  # fmt: skip


def shown(x: Tensor, low: float, high: float) -> np.ndarray:
    """One input as the page draws it: "H W C" of uint8 for pictures, else float32."""
    if x.dim() == 3 and x.shape[0] in (1, 3) and high - low < float("inf"):
        pixels = Image.of(((x - low) * (255 / (high - low))).round()).pixels
        return pixels[..., None] if pixels.ndim == 2 else pixels
    return x.detach().float().cpu().numpy()
