"""What `captions` says of pictures with pairs of colour and shape that it never saw, in 90 seconds and in five minutes,
and whether it looks at the thing that it names.

    ./go bench captions [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train captions ... --json` in a temporary folder, scored once on the same 1,000 pictures;
the interval of the seeds (Student) and that of the test sample are both kept. The pictures are drawn by code, and said
to be so in the name of their set. Targets are of the preset `long`; a missed one is printed as missed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import say

PARTS = {
    "quick": ["train", "captions"],
    "long": ["train", "captions", "--preset", "long"],
}
TARGETS = {"exact": 95.0, "attention_inside": 80.0}  # percent, at least
SECONDS = 300.0


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("captions", [*project("captions"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args)
    say(scores(summary))
    if "long" in summary:
        long = summary["long"]
        for name, least in TARGETS.items():
            if name in long["scores"]:  # where nothing is told rightly, nowhere was looked
                say(target(name, long["scores"][name]["seeds"]["mean"], least))
        say(target("training", long["seconds"]["mean"], SECONDS, higher=False, unit="s"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
