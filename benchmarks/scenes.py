"""Which mugs the page `scenes` misses: at each scale, with the scene and without, in a world with look-alikes and in
one without.

    ./go bench scenes [--seeds 5] [--only NAME ...] [--quick] [--fresh]

Each part is one `milestones train scenes ... --seeds N --json` in a temporary folder. All seeds are scored once on the
same composed test scenes; the spread of the seeds is printed beside the mean. The difference that the study is about,
misses of giants less misses at the normal scale, is taken seed by seed. It only reports: no threshold.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any

from _results import Results, project
from digits import summed, train
from measure import Value, say, spread, table

PARTS = {"scenes": ["train", "scenes"], "scenes plain": ["train", "scenes", "--preset", "plain"]}
ROWS = ("miss_normal", "miss_giant", "miss_control", "miss_tiny", "false_alarms", "false_alarms_near",
        "false_alarms_jug")  # fmt: skip
WAYS = {"with the scene": "", "each place alone": "alone_"}


def differences(scores: Value) -> Value:
    """For each way: how many more percent of giants are missed than of mugs that fit, and than in the control."""
    found = {}
    for way, prefix in WAYS.items():
        giant, *others = (scores[f"{prefix}miss_{name}"]["values"] for name in ("giant", "normal", "control"))
        for name, other in zip(("normal", "control"), others, strict=True):
            found[f"{way}, giant less {name}"] = spread([a - b for a, b in zip(giant, other, strict=True)])
    return found


def cell(score: Value | None) -> str:
    one = score["seeds"] if score else {"n": 0}
    if not one["n"]:
        return "-"
    return f"{one['mean']:.1f} ± {one['sd']:.1f}" if one["n"] > 1 else f"{one['mean']:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a smoke run of 3 seconds each; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    seeds = 1 if args.quick else args.seeds
    files = [*project("scenes"), Path(__file__)]
    results = Results("scenes", files, sys.executable, args.fresh, args.quick, seeds=seeds)
    summary: Value = {}
    for name, words in PARTS.items():
        key = f"{name}/{seeds}"
        if name in args.only:
            say(f"{name}: {' '.join(words)}, {seeds} seeds")
            results.part(key, functools.partial(train, words, seeds, args.quick))
        if part := results.kept(key):
            page = summed(part)
            summary[name] = {**page, "differences": differences(page["scores"])}
    results.write(pages=summary)
    for name, page in summary.items():
        scores, head = page["scores"], [f"{name}: wrong, %", *WAYS]
        say(table(head, [[row, *(cell(scores.get(f"{way}{row}")) for way in WAYS.values())] for row in ROWS]))
        say(
            table(
                ["difference, points", ""], [[what, cell({"seeds": one})] for what, one in page["differences"].items()]
            )
        )
        error, seconds = cell(scores["error"]), page["seconds"]["mean"]
        say(f"error on scenes that fit {error} %; {seconds:.1f} s of training" + " DIRTY" * page["dirty"])
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
