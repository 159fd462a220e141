"""Which mugs the page `scenes` misses: at each scale, with the scene and without, in a world with look-alikes and in
one without.

    ./go bench scenes [--seeds 5] [--only NAME ...] [--quick] [--fresh]

Each part is one `milestones train scenes ... --seeds N --json` in a temporary folder. All seeds are scored once on the
same composed test scenes; the spread of the seeds is printed beside the mean. The difference that the study is about,
misses of giants less misses at the normal scale, is taken seed by seed. It only reports: no threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser
from _results import Results, project
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
    args = parser(__doc__, list(PARTS), seeds=5).parse_args()
    results = Results("scenes", [*project("scenes"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = {name: {**page, "differences": differences(page["scores"])}
               for name, page in measured(results, PARTS, args).items()}  # fmt: skip
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
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
