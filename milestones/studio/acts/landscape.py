"""landscape: the loss around a run's solution, on a line to it, and along the way that training took."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from ...parts.landscape import Plane, Terrain, climb, directions, passes, vector
from ...verbs.landscape import ON_THE_WAY, drawn, lossless
from ...verbs.retrace import beginning, sole
from ..desk import Answer, Desk
from ..subjects import data_of, whole

SIZES = (25, 49, 97)  # points on a side: a coarse view of each reaches to the edges
MOMENT = 0.12  # seconds between two answers, about
POINT = 0.2  # seconds that one point may take
FEW = 32  # examples, by which that is measured
PATH_SIZE = 51  # a quarter of which is the side of the path's own plane, twice
POLL = 0.1


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Iterator[Answer]:
    """ "part": "plane", "line" or "path"; each a stream, the coarse view first.

    UserError: a run without a loss or without examples, a size or span that is none.
    """
    trained = desk.trained(ask.get("run"))
    lossless(trained)
    part = ask.get("part", "plane")
    examples, seed = whole(ask, "examples", 500, 8, 10_000), whole(ask, "seed", 0, 0, 2**31)
    if part == "path":
        return path(trained, examples, seed)
    data = data_of(desk, trained)
    if not hasattr(data, "train"):
        raise UserError("a run that learned from examples", f"the page {trained.entry.name}, which plays",
                        "Take another run", trained.entry.name)  # fmt: skip
    if part == "line":
        return line(trained, data, examples, seed)
    span = ask.get("span", 1.0)
    if type(span) not in (int, float) or not 0 < span <= 100:
        raise UserError("a reach above 0, at most 100", repr(span)[:40], "1 is as far as the weights are long")
    if (size := whole(ask, "size", 49, 7, 401)) not in SIZES:
        raise UserError(f"{', '.join(map(str, SIZES))} points on a side", str(size), "Choose one of these")
    return plane(trained, data, size, float(span), examples, seed)


def terrain_of(trained: Any, source: Any, examples: int, seed: int, statistics: Any = ()) -> Terrain:
    """The loss over as many examples as leave a point in `POINT` seconds, at most `examples`."""
    net = sole(trained)
    few = Terrain(net, trained.system.loss, drawn(source, min(FEW, examples), seed), statistics=statistics)
    few.terms()
    began = time.perf_counter()
    few.terms()
    each = (time.perf_counter() - began) / few.count
    most = min(examples, max(FEW, int(POINT / max(each, 1e-9))))
    return Terrain(net, trained.system.loss, drawn(source, most, seed), statistics=statistics)


def plane(trained: Any, data: Any, size: int, span: float, examples: int, seed: int) -> Iterator[Answer]:
    """The loss on a plane, from the middle outwards, pass after pass; points that are not known yet are no numbers."""
    terrain = terrain_of(trained, data.train, examples, seed)
    around = Plane(terrain.home, *directions(terrain.net, seed))
    values = np.full((size, size), math.nan, np.float32)
    at = [span * (2 * k / (size - 1) - 1) for k in range(size)]
    done, begun = 0, time.perf_counter()
    told = begun
    for stride, spots in passes(size):
        for row, column in spots:
            loss = terrain.at(around.point(at[column], at[row]))["loss"]
            values[row, column], done = loss if math.isfinite(loss) else math.inf, done + 1
            now = time.perf_counter()
            if now - told > MOMENT or done == size * size:
                told = now
                yield Answer({"done": done, "of": size * size, "stride": stride, "window": [-span, span, -span, span],
                              "examples": terrain.count, "data": data.train.name, "weights": len(terrain.home),
                              "seconds": round(now - begun, 2), "normalised": bool(terrain.norms)},
                             {"values": values})  # fmt: skip


def line(trained: Any, data: Any, examples: int, seed: int) -> Iterator[Answer]:
    """The straight line from the starting weights to those of the end (Goodfellow et al. 2015)."""
    shown = drawn(data.train, examples, seed)
    terrains = {"training": terrain_of(trained, data.train, examples, seed),
                "validation": terrain_of(trained, data.valid, examples, seed, shown)}  # fmt: skip
    first, last = vector(beginning(trained, data)), terrains["training"].home
    at = [k / (ON_THE_WAY - 1) for k in range(ON_THE_WAY)]
    terms: dict[str, list[dict[str, float]]] = {name: [] for name in terrains}
    told = time.perf_counter()
    for k, t in enumerate(at):
        for name, terrain in terrains.items():
            terms[name].append(terrain.at(first + t * (last - first), anew=True))
        if (now := time.perf_counter()) - told > MOMENT or k == len(at) - 1:
            told = now
            lines = {f"{name}, {term}": [finite(point[term]) for point in points]
                     for name, points in terms.items() for term in points[0]}  # fmt: skip
            yield Answer({"at": at[: k + 1], "lines": lines, "of": len(at), "examples": terrains["training"].count,
                          "climb": finite(climb([point["loss"] for point in terms["training"]])),
                          "distance": float((last - first).double().norm())})  # fmt: skip


def path(trained: Any, examples: int, seed: int) -> Iterator[Answer]:
    """Training once more, and the way that it took in the plane that shows most of it: by `look --landscape --path` in
    a process of its own, since it may take minutes; closed with the question."""
    with tempfile.TemporaryDirectory() as root:
        words = ["look", str(trained.folder), "--landscape", "--path", "--size", str(PATH_SIZE), "--eigenvalues", "0",
                 "--examples", str(examples), "--seed", str(seed), "--runs", root]  # fmt: skip
        words += ["--page", trained.entry.module] if trained.entry.module.endswith(".py") else []
        with open(Path(root) / "said", "wb") as file:
            command = [sys.executable, "-P", "-m", "milestones.studio.leash", *words]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True)
        begun, stamp = time.perf_counter(), 0
        try:
            while True:
                ended = child.poll()
                seconds = round(time.perf_counter() - begun, 1)
                for found in Path(root).glob("*-landscape-*/landscape.json"):
                    if (now := found.stat().st_mtime_ns) == stamp:
                        continue
                    stamp, content = now, json.loads(found.read_text())
                    if "path" in content:
                        one = content["path"]
                        values = np.array(one.pop("values"), np.float32)  # None becomes no number
                        yield Answer({**one, "seconds": seconds, "whole": one["size"] == one["of"]}, {"values": values})
                        if one["size"] == one["of"]:
                            return
                if ended is not None:
                    last = (Path(root) / "said").read_text(errors="replace").strip().splitlines()[-1:]
                    raise UserError("a training that can be done again", (last or ["an end without a word"])[0][:300],
                                    "Take another run", trained.entry.name)  # fmt: skip
                yield Answer({"seconds": seconds, "said": said(Path(root) / "said")})
                time.sleep(POLL)
        finally:
            child.kill()
            child.wait()
            with contextlib.suppress(OSError):
                child.stdin.close()  # type: ignore[union-attr]


def said(file: Path) -> str:
    """The last line that the training told of itself."""
    lines = file.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def finite(value: float) -> float | None:
    """A number for JSON; None for what is none."""
    return value if math.isfinite(value) else None
