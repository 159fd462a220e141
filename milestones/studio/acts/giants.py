"""scene: rooms for the test of people, each with what is in it, and what a run of the same page says of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...catalog import find, page
from ...core.errors import UserError
from ...core.folder import read_json
from ...core.source import keyed
from ...data.scenes import LABELS, NEAR, Scenes, trial
from ...media import Image
from ..desk import Answer, Desk
from ..subjects import whole

PAGE = "scenes"
SHOWN = ("miss_normal", "miss_giant", "miss_control")
MOST = 96


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """Rooms, "count" of them, in a random but balanced order that follows from "seed": half have the mug, a third of
    these at its customary size, a third as a giant, a third at its customary size from near; and as many of the others
    from near. With "run", a run of the page: what it says of the same rooms, and its scores.

    UserError: a count that 6 does not divide, a run of another page.
    """
    count, seed = whole(ask, "count", 24, 6, MOST), whole(ask, "seed", 0, 0, 2**31)
    if count % 6:
        raise UserError("a number of rooms that 6 divides", str(count), "Then all kinds come equally often", "giants")
    module = page(find(PAGE))
    knobs, conditions = module.PRESETS["quick"], module.CONDITIONS
    each, split = count // 6, f"people {seed}"
    rooms, kinds = [], []
    for name in SHOWN:
        one = conditions[name]
        for absent in (False, True):
            instead = 0.0 if absent else None
            found = trial(name, 1.0 if absent else one.relative, one.zoom, each, knobs.noise, knobs.lookalikes,
                          f"{split} {name} {absent}", instead)  # fmt: skip
            rooms.append(found.examples)
            kinds += [name] * each
    image, label, place, tall = (torch.cat(parts) for parts in zip(*rooms, strict=True))
    order = torch.randperm(count, generator=keyed("giants", seed)).tolist()
    shown = Scenes(image[order], label[order], place[order], tall[order])
    content: dict[str, Any] = {
        "kinds": [kinds[k] for k in order], "there": shown.label.tolist(), "labels": list(LABELS), "seed": seed,
        "people": {name: conditions[name].people for name in SHOWN}, "source": module.PEOPLE.partition(", by ")[2],
        "sizes": {"giant": conditions["miss_giant"].relative, "near": NEAR},
    }  # fmt: skip
    arrays: dict[str, Any] = {"rooms": shown.image[:, 0].numpy(), "examples": samples(knobs, seed)}
    if ask.get("run"):
        content["net"] = net_of(desk, ask.get("run"), shown)
    return Answer(content, arrays)


def samples(knobs: Any, seed: int) -> np.ndarray:
    """Two rooms from near to show before the test what is looked for: one with the mug, one with a jug in its place;
    "2 64 64" of uint8."""
    mug = trial("shown", 1.0, NEAR, 1, 0.0, 0.0, f"example {seed}").examples
    jug = trial("shown", 1.0, 1.0, 1, 0.0, 0.0, f"example {seed}", 1.0).examples
    return torch.cat([mug.image, jug.image])[:, 0].numpy()


def net_of(desk: Desk, run: object, shown: Scenes) -> dict[str, Any]:
    """What a run of the page says of the same rooms, and its scores with their intervals. UserError: another page's."""
    trained = desk.trained(run)
    if trained.entry.name != PAGE:
        raise UserError(f"a run of {PAGE}", f"one of {trained.entry.name}", "Choose another run", "giants")
    answers = trained.use([Image(one.numpy()) for one in shown.image[:, 0]])
    yes = [each["answer"].plain()[0]["label"] == LABELS[1] for each in answers]
    scores: dict[str, Any] = {}
    with contextlib.suppress(UserError):
        report = read_json(trained.folder, "report.json")
        scores = {name: report["scores"][name] for name in SHOWN if name in report.get("scores", {})}
    return {"run": run, "yes": yes, "scores": scores}
