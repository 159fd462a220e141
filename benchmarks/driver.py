"""How many of 40 unseen roads the driver stays on for three laps, and what DAgger is worth.

    ./go bench driver [--seeds 5] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train driver ... --json` in a temporary folder, scored once, on roads and light that no
training saw: by day, and at dusk (darker than ever in training), beside the expert on the same roads. `cloning` has the
same net, updates and number of pictures, but the expert drives all the time. `paper` is ALVINN's camera and net.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, say

PARTS = {
    "dagger": ["train", "driver"],
    "cloning": ["train", "driver", "--preset", "cloning"],
    "alvinn": ["train", "driver", "--preset", "paper"],
    "alvinn cloning": ["train", "driver", "--preset", "paper", "--rounds", "1"],
    "field": ["train", "driver", "--preset", "field"],
}
LEAST_ROADS, MOST_SECONDS = 95.0, 180.0  # 38 of 40, after 3 minutes


def main() -> int:
    args = parser(__doc__, list(PARTS), seeds=5).parse_args()
    files = [*project("driver"), *(ROOT / "milestones" / "worlds").glob("*.py"), Path(__file__)]
    wanted = {"laps": LEAST_ROADS, "seconds": MOST_SECONDS}
    results = Results("driver", files, sys.executable, args.fresh, args.quick, target=wanted)
    summary = measured(results, PARTS, args)
    say(scores(summary))
    if page := summary.get("dagger"):
        say(target("roads", page["scores"]["laps"]["seeds"]["mean"], LEAST_ROADS))
        say(target("training", page["seconds"]["max"], MOST_SECONDS, higher=False, unit="s"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
