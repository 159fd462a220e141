"""The recurrent writer on tinyshakespeare, beside page `gpt` on the same split; what carrying its memory on buys.

    ./go bench charrnn [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train PAGE ... --json` in a temporary folder, scored once on the last 5 % of the text:
nanoGPT's split, its validation part halved. `loss` reads each window with an empty memory, as the page `gpt` reads its
windows; `carried_loss` carries the memory on. `equal time` is preset `shakespeare` of page `gpt`, in as many updates as
take the time that charrnn's took, so both nets have the same wall time. It only reports: no threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores
from _results import Results, project
from measure import say

DATA = ["--data", "tinyshakespeare"]
PARTS = {
    "verses": ["train", "charrnn"],
    "shakespeare": ["train", "charrnn", "--preset", "shakespeare", *DATA],
    "gpt": ["train", "gpt", "--preset", "shakespeare", *DATA],
    "long": ["train", "charrnn", "--preset", "long", *DATA],
}


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    files = [*project("charrnn", "gpt"), Path(__file__)]
    results = Results("charrnn", files, sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args, {"long": 1})
    say(scores(summary))
    if {"shakespeare", "gpt"} <= summary.keys():
        mine, other = summary["shakespeare"], summary["gpt"]
        steps = max(1, int(other["steps"] * mine["seconds"]["mean"] / other["seconds"]["mean"]))
        more = {"equal time": [*PARTS["gpt"], "--steps", str(steps)]}
        args.only = list(more)
        same = measured(results, more, args)
        say(scores(same))
        loss = {name: one["scores"]["loss"]["seeds"]["mean"] for name, one in (("charrnn", mine), *same.items())}
        carried = mine["scores"]["carried_loss"]["seeds"]["mean"]
        found = {"gpt_below_charrnn": loss["charrnn"] - loss["equal time"], "carrying_buys": loss["charrnn"] - carried}
        results.write(pages=summary, equal_time={**same["equal time"], **found})
        say(f"in {mine['seconds']['mean']:.0f} s: charrnn {loss['charrnn']:.3f} nats a character, {carried:.3f} with "
            f"its memory carried on; gpt {loss['equal time']:.3f}")  # fmt: skip
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
