"""Who carries on to longer strings: the net with a memory, an LSTM and a transformer, on copying, recall and formal
languages.

    ./go bench memory [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train memory --preset NAME ... --json` in a temporary folder: all three nets are trained on
the same short strings, made for the run, and scored once at each length on others. The target is that of copying:
with strings of 120 vectors, six times as long as in training, less than one wrong bit each, after at most 8 minutes;
the minutes are those of the net with a memory alone, in `copy alone`. It only reports: no threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, target
from _results import Results, project
from measure import Value, say, table

PARTS = {
    "copy alone": ["train", "memory", "--preset", "copy", "--beside", "nothing"],
    **{name: ["train", "memory", "--preset", name] for name in ("copy", "recall", "parity", "counting")},
    "dyck1": ["train", "memory", "--preset", "dyck", "--task", "dyck1"],
    "dyck2": ["train", "memory", "--preset", "dyck"],
}
NETS = ("memory", "lstm", "transformer")
BITS, SECONDS = 1.0, 480.0  # wrong bits of a string of 120 vectors, and seconds of training, at most


def who(summary: Value) -> str:
    """The table: net x task x length. Wrong bits of a string, mean over the seeds."""
    rows = []
    for name, page in summary.items():
        for net in NETS:
            found = [one for score, one in page["scores"].items() if of(score) == net]
            cells = []
            for one in sorted(found, key=length):
                seeds = one["seeds"]
                spread = f" ± {seeds['sd']:.2g}" if seeds["n"] > 1 else ""
                cells.append(f"{length(one)}: {seeds['mean']:.3g}{spread}")
            rows += [[name, net, *cells, *[""] * (4 - len(cells))]] if cells else []
    return table(["task", "net", "length: wrong bits of a string", "", "", ""], rows)


def of(score: str) -> str:
    """The net whose figure it is; nothing where it counts no bits."""
    words = score.split("_")
    if words[:2] != ["bit", "error"]:
        return ""
    return next((net for net in NETS if net in words), "memory")


def length(one: Value) -> int:
    """That of the strings, from the name of their set."""
    return int(one["data"].rsplit("; ", 1)[-1].split()[0])


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("memory", [*project("memory"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args)
    say(who(summary))
    if "copy alone" in summary:
        page = summary["copy alone"]
        bits = page["scores"]["bit_error"]
        for what, value in (("mean of the seeds", bits["seeds"]["mean"]), ("worst seed", max(bits["values"]))):
            say(target(f"copy at 120, {what}", value, BITS, higher=False, unit="wrong bits"))
        say(target("copy, training", page["seconds"]["max"], SECONDS, higher=False, unit="s"))
        say(f"strings of 120 with a wrong bit: {page['scores']['error']['seeds']['mean']:.1f} %")
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
