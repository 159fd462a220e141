"""explain: what speaks for an answer, map by map, each with what it is worth; and what the layers learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ...core.errors import UserError
from ...media import Image
from ...parts.explain import question
from ...parts.maps import METHODS, Setting, maps, parts_of, randoms
from ...parts.trust import correlation, ranked
from ...verbs import exhibits, interior
from ...verbs.explain import columns, emptied, ranking, steady, told
from ..desk import Answer, Desk
from ..subjects import class_of, data_of, described, shown, subject_of, whole

QUICK_FIRST = ("gradient", "input-gradient", "gradcam", "relevance", "guided", "deconvolution", "occlusion",
               "smoothgrad", "integrated", "shapley")  # fmt: skip
UNITS = 8  # of each layer
LAYERS = 4  # whose units are shown


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Iterator[Answer]:
    """ "part": "maps" of an example or an input for the class "target" (the net's answer where it is none), or
    "inside", which needs none. UserError: a class or methods that there are not, inputs whose parts cannot be named.
    """
    if ask.get("part", "maps") == "inside":
        return inside(desk, desk.trained(ask.get("run")))
    subject = subject_of(desk, ask, payload)
    names = ask.get("methods", list(METHODS))
    if not isinstance(names, list) or not set(map(str, names)) <= set(METHODS):
        raise UserError(f"ways to explain: {', '.join(METHODS)}", repr(names)[:60], "Choose of the list")
    ranges = (("steps", 50, 2, 400), ("orders", 20, 2, 1000), ("seed", 0, 0, 2**31))
    setting = Setting(*(whole(ask, *one) for one in ranges))
    try:
        parts_of(subject.probe.input.shape[1:])
    except NotImplementedError as problem:
        raise UserError("pictures, rows, sequences or boards", str(problem), "Take a run of such inputs",
                        subject.trained.entry.name) from None  # fmt: skip
    chosen = [name for name in QUICK_FIRST if name in names]
    return explained(desk, subject, class_of(subject, ask.get("target")), chosen, setting)


def explained(desk: Desk, subject: Any, aim: int | None, names: list[str], setting: Setting) -> Iterator[Answer]:
    """First the answer, then a map at a time, the quick ones first; last how alike they are."""
    trained, probe = subject.trained, subject.probe
    scores = steady(subject)
    target = scores.argmax(-1) if aim is None else scores.argmax(-1).new_full((1,), aim)
    empty, nothing = emptied(subject)
    said = int(scores[0].argmax())
    yield Answer({**described(desk, subject), "answer": ranking(scores[0], subject.labels), "said": said,
                  "explained": int(target[0]), "nothing": nothing, "columns": columns(subject), "methods": names,
                  }, {"input": shown(probe.input[0], probe.low, probe.high)})  # fmt: skip
    asked = question(probe.scores, probe.input, target, empty)
    nets = [asked._replace(scores=trained.system.probe(net, subject.batch).scores)
            for net in randoms(trained.model, setting.seed)]  # fmt: skip
    seen = {}
    for name in names:
        one = maps(asked, nets, [name], setting)[name]
        about = {"method": name, "title": METHODS[name].title, "says": METHODS[name].says}
        if isinstance(one, str):
            yield Answer({**about, "why": one})
            continue
        seen[name] = one.seen[0]
        yield Answer({**about, **told({name: one}, 0)[0], "signed": METHODS[name].signed},
                     {"map": one.seen[0].float().cpu().numpy()})  # fmt: skip
    if len(seen) > 1:
        yield Answer({"agree": list(seen), "values": agreement(list(seen.values()))})


def agreement(seen: list[torch.Tensor]) -> list[list[float]]:
    """Spearman's rank correlation of each map with each, over the places where not both are 0."""
    flat = [one.flatten().double() for one in seen]
    found = [[1.0] * len(flat) for _ in flat]
    for k, one in enumerate(flat):
        for m, two in enumerate(flat[:k]):
            there = (one != 0) | (two != 0)
            found[k][m] = found[m][k] = round(correlation(ranked(one[there]), ranked(two[there])), 4)
    return found


def inside(desk: Desk, trained: Any) -> Iterator[Answer]:
    """The layers' counts, what can be read of each, the test examples as points, and for pictures the first filters and
    what excites some units of each layer."""
    net = kept(desk, trained)
    yield Answer({"show": "census", **interior.counted(net), "notes": net.notes})
    layers = interior.some(net.layers, interior.MOST_LAYERS)
    new = interior.features(net, net.test.input, layers)
    place = net.last or net.layers[-1]
    for one in interior.laid_out(net, new, "pca", place.name, 0):
        points = np.asarray(one.pop("points"), np.float32)
        yield Answer({"show": "points", **one, "labels": list(net.labels), "chosen": one["layer"] == place.name},
                     {"points": points, "classes": net.test.target.int().numpy(),
                      "numbers": numbers(len(data_of(desk, trained).test), len(points))})  # fmt: skip
    old = interior.features(net, net.train.input, layers)
    yield Answer({"show": "probes", "probes": interior.read_out(net, old, new)})
    if len(net.test.input) >= interior.FEWEST_ALIKE:
        yield Answer({"show": "alike", **interior.alike(new)})
    if not net.pictured:
        return
    found, pictures = exhibits.filters(net)
    if pictures:
        yield Answer({"show": "filters", **found["filters"]}, {"picture": pixels(pictures["filters.png"])})
    for layer in interior.some(net.layers, LAYERS):
        found, pictures = exhibits.excited(net, [layer.name], UNITS, 0)
        one = found["units"][0]
        yield Answer({"show": "units", **{name: one[name] for name in ("layer", "count", "silent", "field")}},
                     {"picture": pixels(pictures[one["picture"]])})  # fmt: skip


def kept(desk: Desk, trained: Any) -> Any:
    """The net to be looked into, opened once."""
    held = desk.memory.get("inside")
    if held is None or held[0] is not trained:
        held = desk.memory["inside"] = trained, interior.opened(trained)
    return held[1]


def numbers(among: int, count: int) -> np.ndarray:
    """Which test examples the points are, from 1: as `interior.picked` takes them, evenly out of all."""
    return 1 + np.unique(np.linspace(0, among - 1, min(interior.TEST, among)).round()).astype(np.int32)[:count]


def pixels(image: Image) -> np.ndarray:
    """ "H W C" of uint8."""
    return image.pixels[..., None] if image.pixels.ndim == 2 else image.pixels
