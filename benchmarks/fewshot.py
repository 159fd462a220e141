"""How well `fewshot` names characters of alphabets that it never saw, from one drawing of each.

    ./go bench fewshot [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train fewshot ... --json` in a temporary folder. Scored on Omniglot's 20 official runs, 400
questions of 20 characters of one alphabet each, after learning from one of the two small background sets; beside it the
nearest picture, pixel for pixel, of the same pictures. Settings were chosen on alphabets of the other background set.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import say

PARTS = {"first": ["train", "fewshot"], "second": ["train", "fewshot", "--preset", "second"]}
ERROR, AHEAD = 25.0, 25.0  # percent at most; points at least before pixels, 5-way


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("fewshot", [*project("fewshot"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args)
    say(scores(summary))
    for name, part in summary.items():
        mean = {score: one["seeds"]["mean"] for score, one in part["scores"].items()}
        say(target(f"{name}: 20 official runs", mean["error"], ERROR, higher=False))
        say(target(f"{name}: 5-way, ahead of pixels", mean["error_5way_pixels"] - mean["error_5way"], AHEAD))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
