"""What the training doctor costs each page: its looks at steps of the quick preset, and its questions before and after.

    ./go bench doctor [--page NAME ...] [--quick] [--fresh]

Each page trains its quick preset for a while, in a process of its own. In blocks of BLOCK steps, by turns, every step
is looked at or none; what a look costs is the difference of the medians. The share is that of the looks that a whole
run has, in the time of all its steps. The questions (to the data before a training, to the net after it) are timed as
they are. Stages without a net of PyTorch's have no looks.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import measure
from _results import Results, project
from measure import HERE, Value, ask, say, table

from milestones.catalog import TIMELINE

BLOCK = 8
BLOCKS = 24  # half of them looked at


def worker(question: Value) -> Value:
    """Stages of a page's quick preset: steps, looks, seconds of a step with and without; seconds of the questions."""
    from milestones.catalog import find, page
    from milestones.core.run import Run
    from milestones.parts import vitals
    from milestones.verbs import execute

    name, blocks = question["page"], question["blocks"]
    stages: dict[str, Value] = {}
    plain_steps, now = Run.steps, {"looking": False}

    def steps(self: Run, total: int, stage: str = "train", /, **state: Any) -> Iterator[int]:
        times: list[tuple[bool, float]] = []
        looks = sum(vitals.due(step, total) for step in range(total))
        most = min(total, BLOCK * blocks)
        began, now["looking"] = time.perf_counter(), False
        for taken, step in enumerate(plain_steps(self, total, stage, **state), start=1):
            yield step
            if taken % BLOCK == 0:  # the loop asks for the next step after this
                times.append((now["looking"], (time.perf_counter() - began) / (BLOCK - 1)))
                now["looking"] = not now["looking"]
            if taken % BLOCK == 1:
                began = time.perf_counter()  # the first step of a block still ends the last of the one before
            if taken == most:
                self.enough()
        now["looking"] = False
        stages.setdefault(stage, {"steps": total, "looks": looks, "times": times[1:]})  # the first block warms up

    def look(model: Any, step: int, total: int) -> Any:
        return vitals.Look(model) if now["looking"] else None

    questions: dict[str, float] = {}

    def timed(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args)
            finally:
                questions[what] = round(time.perf_counter() - began, 3)

        return wrapped

    settings = {"pipelines": False} if hasattr(page(find(name)).system.presets["quick"], "pipelines") else {}
    asked = {what: timed(what, getattr(execute, what)) for what in ("data_checks", "model_checks")}
    with (
        tempfile.TemporaryDirectory() as root,
        mock.patch.object(Run, "steps", steps),
        mock.patch.multiple(execute, look=look, **asked),
    ):
        execute.begin(name, settings, execute.Order(), root)
    return {"stages": stages, "questions": questions}


def figures(part: Value) -> Value:
    """Milliseconds of a step and of a look, looks of a whole run, and the looks' share of its time in percent."""
    whole = looking = 0.0
    stages = {}
    for name, stage in part["stages"].items():
        plain, looked = ([seconds for was, seconds in stage["times"] if was is kind] for kind in (False, True))
        if not plain or not looked:
            continue
        step, extra = statistics.median(plain), statistics.median(looked) - statistics.median(plain)
        stages[name] = {"step_ms": 1e3 * step, "look_ms": 1e3 * extra, "steps": stage["steps"], "looks": stage["looks"]}
        whole, looking = whole + step * stage["steps"], looking + extra * stage["looks"]
    asked = sum(part["questions"].values())
    return {"stages": stages, "share": 100 * looking / whole if whole else 0.0, "training_seconds": whole,
            "questions_seconds": asked, "dirty": part["dirty"], "foreign": part["foreign"]}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", nargs="*", default=[entry.name for entry in TIMELINE], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.worker:
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    files = [*project(*args.page), HERE.parent / "milestones" / "report" / "checks.py", Path(__file__)]
    results = Results("doctor", files, sys.executable, args.fresh, args.quick)
    for name in args.page:
        question = {"page": name, "blocks": 4 if args.quick else BLOCKS}
        command = [sys.executable, str(HERE / "doctor.py"), "--worker"]
        env = {"PYTHONPATH": str(HERE.parent)}
        tries = 1 if args.quick else measure.TRIES
        found = figures(results.part(name, functools.partial(ask, command, question, env, tries)))
        say(f"{name}: {found['share']:.2f} % of the training")
    parts = results.content["parts"]  # of pages that were not asked for now, what was measured before
    summary: Value = {entry.name: figures(parts[entry.name]) for entry in TIMELINE if entry.name in parts}
    results.write(pages=summary)
    rows = []
    for name, found in summary.items():
        stages = list(found["stages"].values())
        rows.append([name, *(", ".join(f"{stage[key]:.{digits}f}" for stage in stages) or "none"
                             for key, digits in (("step_ms", 2), ("look_ms", 2), ("looks", 0))),
                     f"{found['share']:.2f}", f"{found['questions_seconds']:.2f}",
                     f"{found['foreign']:.0f}{' DIRTY' if found['dirty'] else ''}"])  # fmt: skip
    say(table(["", "step, ms", "look, ms", "looks", "looks, % of training", "questions, s", "others, %"], rows))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
