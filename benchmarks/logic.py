"""Digits learned from sums alone, against the same pictures and sums without the program; and how that goes with fewer.

    ./go bench logic [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train logic ... --json` in a temporary folder, scored once on its test set. No training
reads a digit's label; they are for scores alone. `pairs N` learns from N sums: with the program and without it, in as
many updates. `numbers`: two numbers of two digits, 2,000 of their sums. `stack`: the page of nets that are
machines, set by hand, and of what learns beside them. It only reports: no threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import say, table

PAIRS = (125, 250, 500, 1000, 2000)
PARTS = {
    "sums": ["train", "logic"],
    "numbers": ["train", "logic", "--preset", "numbers"],
    **{f"pairs {n}": ["train", "logic", "--examples", str(n)] for n in PAIRS},
    "product": ["train", "logic", "--program", "product"],
    "stack": ["train", "stack"],
}
MOST_ERROR, MOST_SECONDS = 5.0, 240.0


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    files = [*project("logic", "stack"), Path(__file__)]
    results = Results("logic", files, sys.executable, args.fresh, args.quick, targets={"sums": MOST_ERROR})
    summary = measured(results, PARTS, args)
    say(scores(summary))
    rows = []
    for n in (*PAIRS, 4000):
        if page := summary.get("sums" if n == 4000 else f"pairs {n}"):
            means = (page["scores"][name]["seeds"] for name in ("error", "answer_error", "direct_answer_error"))
            rows.append([f"{n:,}", *(f"{one['mean']:.2f} ± {one.get('sd', 0.0):.2f}" for one in means)])
    if rows:
        say(table(["sums told", "digits wrong, %", "sums wrong, %", "without the program, %"], rows))
    if page := summary.get("sums"):
        say(target("sums, digits", page["scores"]["error"]["seeds"]["mean"], MOST_ERROR, higher=False))
        say(target("sums, training", page["seconds"]["max"], MOST_SECONDS, higher=False, unit="s"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
