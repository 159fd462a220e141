"""What saving and resuming cost: the share of the time that goes into states, and how long a resumed run waits.

    ./go bench checkpoints [--seconds 60] [--only PAGE ...] [--quick] [--fresh]

A run of the preset quick saves at its default interval (15 s, or 50 times what a save took) and is stopped after so
many seconds. Share: the seconds in saves of the seconds in training, the last save at the stop apart, which is no
matter of the interval. Resumed in a new process: seconds from the order to the first update, less those of a run that
begins, each the median of three; what is more is reading the state and checking what the folder says.
Targets: at most 2 % of the time, at most 2 s.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, TRIES, Value, ask, say, table

TARGETS = {"share_pct": 2.0, "overhead_s": 2.0}
PAGES = {"lenet": {"steps": 1_000_000}, "gpt": {"steps": 1_000_000}, "dqn": {"steps": 10_000_000}}
REPEATS = 3  # runs that begin, and as many that are resumed
SHORT = 2.0  # seconds that these train


def worker(question: Value) -> Value:
    """One process: begin a run or resume it, for so many seconds."""
    sys.path.insert(0, str(ROOT))
    import torch

    from milestones.core.run import Run
    from milestones.verbs.execute import Order, begin, go_on

    torch.set_num_threads(1)
    saves, first = list[tuple[float, bool]](), list[float]()
    save, seed = Run._save, Run.seed

    def timed(self: Run, *words: Any, **named: Any) -> None:
        start = time.perf_counter()
        save(self, *words, **named)
        saves.append((time.perf_counter() - start, bool(self.ended) or bool(named.get("done"))))

    def seeded(self: Run, stage: str, step: int = -1) -> None:
        if step >= 0 and not first:
            first.append(time.perf_counter())
        seed(self, stage, step)

    Run._save, Run.seed = timed, seeded  # type: ignore[method-assign]
    began, minutes = time.perf_counter(), question["seconds"] / 60
    if question["folder"]:
        outcome = go_on(Path(question["folder"]), "", minutes, lambda _: None)
    else:
        order = Order(preset="quick", plan="contiguous/float32/1", minutes=minutes)
        outcome = begin(question["page"], question["settings"], order, question["root"])
    sizes = sum(path.stat().st_size for path in (outcome.folder / "state").iterdir())
    regular = [took for took, last in saves if not last]
    return {"folder": str(outcome.folder), "to_first_s": first[0] - began, "saves": len(regular),
            "saving_s": sum(regular), "last_s": sum(took for took, last in saves if last),
            "training_s": outcome.report["seconds"], "state_mb": sizes / 1e6}  # fmt: skip


def measured(name: str, seconds: float, repeats: int, tries: int) -> Value:
    """What saving and resuming cost one page."""
    once = functools.partial(ask, [sys.executable, __file__, "--worker"], tries=tries)
    with tempfile.TemporaryDirectory() as root:
        question: Value = {"page": name, "settings": PAGES[name], "root": root, "folder": "", "seconds": seconds}
        long = once(question)
        new = [once({**question, "seconds": SHORT}) for _ in range(repeats)]
        again = [once({**question, "folder": long["folder"], "seconds": SHORT}) for _ in range(repeats)]
    begun, resumed = (statistics.median(one["to_first_s"] for one in some) for some in (new, again))
    number = {key: round(long[key], 4) for key in ("saving_s", "last_s", "training_s", "state_mb", "foreign")}
    return {**number, "saves": long["saves"], "share_pct": round(100 * long["saving_s"] / long["training_s"], 3),
            "begun_to_first_s": round(begun, 3), "resumed_to_first_s": round(resumed, 3),
            "overhead_s": round(resumed - begun, 3), "dirty": any(one["dirty"] for one in (long, *new, *again)),
            }  # fmt: skip


def main() -> int:
    if "--worker" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training for each page [60]")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE")
    parser.add_argument("--quick", action="store_true", help="20 s for each page, written aside")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    seconds, repeats, tries = (20.0, 1, 1) if args.quick else (args.seconds, REPEATS, TRIES)
    files = [*project(*PAGES), ROOT / "milestones" / "verbs" / "execute.py", Path(__file__)]
    results = Results("checkpoints", files, sys.executable, args.fresh, args.quick, targets=TARGETS)
    for name in args.only:
        results.part(f"{name}, {seconds:g} s", functools.partial(measured, name, seconds, repeats, tries))
    parts = results.content["parts"]
    results.write(**{name: max(part[name] for part in parts.values()) for name in TARGETS})
    rows = [[key, str(p["saves"]), f"{p['state_mb']:.1f} MB", f"{p['share_pct']:.2f} %",
             f"{p['begun_to_first_s']:.2f} s", f"{p['overhead_s']:+.2f} s",
             f"{p['foreign']:.0f}{' DIRTY' if p['dirty'] else ''}"]
            for key, p in parts.items()]  # fmt: skip
    head = ["", "saves", "state", "share (at most 2 %)", "begun", "resumed (at most 2 s)", "others, %"]
    say(table(head, rows))
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
