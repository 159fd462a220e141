"""How long one waits before anything happens, and how much memory a run of LeNet takes.

    ./go bench start [--repeats 11] [--quick] [--fresh]

Each command is a process of its own, repeated; the median counts, since the first one fills the disk's cache.
`import milestones` is what it adds to a bare Python. Targets: import 150 ms, --help, list, runs and completion 250 ms,
a page's own help 2 s, peak resident memory of `train lenet` (quick, 600 updates) 700 MB.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import ROOT, Value, clean, run, say, spread, table

MILESTONES = [sys.executable, "-m", "milestones"]
COMMANDS = {  # name: words, target in milliseconds
    "bare python": ([sys.executable, "-c", "pass"], None),
    "import milestones": ([sys.executable, "-c", "import milestones"], 150),
    "milestones --help": ([*MILESTONES, "--help"], 250),
    "milestones list": ([*MILESTONES, "list"], 250),
    "milestones runs": ([*MILESTONES, "runs"], 250),
    "milestones completion words": ([*MILESTONES, "completion", "words", "train", "le"], 250),
    "milestones train lenet --help": ([*MILESTONES, "train", "lenet", "--help"], 2000),
}
MEMORY = [*MILESTONES, "train", "lenet", "--json"]
MOST_MB = 700


def times(words: list[str], repeats: int, folder: Path) -> Value:
    """Milliseconds of each repeat; measured clean as one block."""

    def block() -> Value:
        runs = [run(words, {"PYTHONPATH": str(ROOT)}, folder) for _ in range(repeats + 1)][1:]
        for one in runs:
            if one["code"]:
                sys.exit(f"failed with {one['code']}: {words}\n{one['err'][-2000:]}")
        seconds = sum(one["seconds"] for one in runs)
        foreign = sum(one["foreign"] * one["seconds"] for one in runs) / seconds
        return {
            "ms": [round(1000 * one["seconds"], 1) for one in runs],
            "seconds": seconds,
            "foreign": round(foreign, 1),
        }

    return clean(block, 1 if repeats == 1 else measure.TRIES)


def memory(steps: list[str], folder: Path) -> Value:
    done = run([*MEMORY, *steps], {"PYTHONPATH": str(ROOT)}, folder)
    if done["code"]:
        sys.exit(f"failed with {done['code']}: {MEMORY}\n{done['err'][-2000:]}")
    return {
        "peak_mb": round(done["peak_mb"], 1),
        "seconds": round(done["seconds"], 1),
        "foreign": done["foreign"],
        "steps": steps,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    package = ROOT / "milestones"
    files = [*project("lenet"), *package.glob("*.py"), *(package / "verbs").glob("*.py"), Path(__file__)]
    results = Results("start", files, sys.executable, args.fresh, args.quick, repeats=args.repeats)
    summary: Value = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (words, target) in COMMANDS.items():
            found = results.part(name, functools.partial(times, words, 1 if args.quick else args.repeats, Path(folder)))
            summary[name] = {**spread(found["ms"]), "target": target, "unit": "ms", "dirty": found["dirty"]}
        steps = ["--steps", "60" if args.quick else "600"]
        found = results.part("memory of train lenet", lambda: memory(steps, Path(folder)))
    bare, ours = summary["bare python"]["median"], summary["import milestones"]
    ours["above_bare"] = round(ours["median"] - bare, 1)
    summary["memory of train lenet"] = {**spread([found["peak_mb"]]), "target": MOST_MB, "unit": "MB", "dirty": False}
    results.write(commands=summary)
    rows = []
    for name, value in summary.items():
        shown = value.get("above_bare", value["median"])
        word = "" if value["target"] is None else "yes" if shown <= value["target"] else "MISSED"
        rows.append(
            [
                name + (" (above bare)" if "above_bare" in value else ""),
                f"{shown:.0f} {value['unit']}",
                f"{value['min']:.0f}-{value['max']:.0f}",
                str(value["target"] or ""),
                word,
                "DIRTY" * value["dirty"],
            ]
        )
    say(table(["", "median", "all", "target", "reached", ""], rows))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
