"""What saving and resuming cost: the share of the time that goes into states, and how long a resumed run waits.

    ./go bench checkpoints [--seconds 60] [--only PAGE ...] [--fresh]

A run of the preset quick saves at its default interval (15 s, or 50 times what a save took) and is stopped after so
many seconds. Share: the seconds in saves of the seconds in training, the last save at the stop apart, which is no
matter of the interval. Resumed in a new process: seconds from the order to the first update, less those of a run that
begins; what is more is reading the state and checking what the folder says. Targets: at most 2 %, at most 2 s.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, ask, say, table

MOST_SHARE, MOST_SECONDS = 2.0, 2.0
PAGES = {"lenet": {"steps": 1_000_000}, "gpt": {"steps": 1_000_000}, "dqn": {"steps": 10_000_000}}


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
    training = time.perf_counter() - first[0]
    sizes = sum(path.stat().st_size for path in (outcome.folder / "state").iterdir())
    regular = [took for took, last in saves if not last]
    return {"folder": str(outcome.folder), "to_first_s": first[0] - began,
            "saves": len(regular), "saving_s": sum(regular),
            "last_s": sum(took for took, last in saves if last), "training_s": min(training, question["seconds"]),
            "state_mb": sizes / 1e6}  # fmt: skip


def measured(name: str, seconds: float) -> Value:
    with tempfile.TemporaryDirectory() as root:
        words = [sys.executable, __file__, "--worker"]
        question: Value = {"page": name, "settings": PAGES[name], "root": root, "folder": "", "seconds": seconds}
        new = ask(words, question)
        again = ask(words, {**question, "folder": new["folder"], "seconds": 2.0})
    number = {key: round(value, 4) for key, value in new.items() if isinstance(value, float)}
    return {**number, "saves": new["saves"], "share_pct": round(100 * new["saving_s"] / new["training_s"], 3),
            "resumed_to_first_s": round(again["to_first_s"], 3), "dirty": new["dirty"] or again["dirty"],
            "overhead_s": round(again["to_first_s"] - new["to_first_s"], 3)}  # fmt: skip


def main() -> int:
    if "--worker" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training for each page")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    results = Results("checkpoints", [*project(*PAGES), Path(__file__)], sys.executable, args.fresh)
    for name in args.only:
        results.part(f"{name}, {args.seconds:g} s", lambda n=name: measured(n, args.seconds))  # type: ignore[misc]
    parts = results.content["parts"]
    rows = [[key, str(p["saves"]), f"{p['state_mb']:.1f} MB", f"{p['share_pct']:.2f} %", f"{p['overhead_s']:+.2f} s"]
            for key, p in parts.items()]  # fmt: skip
    say(
        table(
            ["page", "saves", "state", f"share (at most {MOST_SHARE:g} %)", f"resumed (at most {MOST_SECONDS:g} s)"],
            rows,
        )
    )
    results.write(share_pct=max(p["share_pct"] for p in parts.values()),
                  overhead_s=max(p["overhead_s"] for p in parts.values()))  # fmt: skip
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
