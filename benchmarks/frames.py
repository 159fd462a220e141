"""What memory is worth to the page `frames`: the whole film, only what has been, and single frames; and what it is
worth to be told what changed.

    ./go bench frames [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each part is one `milestones train frames ... --seeds N --json` in a temporary folder, scored once on 400 drawn test
films that are the same for all; each run trains the net without memory, too, so that both stand beside each other. Two
targets, seed by seed: at most 3 % of frames wrong, where single frames leave at least 25 % wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import say

PARTS = {
    "frames": ["train", "frames"],
    "frames live": ["train", "frames", "--preset", "live"],
    "frames told no changes": ["train", "frames", "--changes", "false", "--single", "false"],
}
MOST, LEAST = 3.0, 25.0  # percent wrong: of the net with memory, of the one that sees single frames


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("frames", [*project("frames"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args)
    say(scores(summary))
    for name, page in summary.items():  # by every seed
        say(target(f"{name}, error of the worst seed", page["scores"]["error"]["seeds"]["max"], MOST, higher=False))
        if single := page["scores"].get("error_single"):
            say(target(f"{name}, single frames of the best seed", single["seeds"]["min"], LEAST))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
