"""What the translator and the transformer reach: dates to ISO, Multi30k, verses, and what attention buys.

    ./go bench translator [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train PAGE ... --json` in a temporary folder, scored once on its test set by sacreBLEU,
whose signature is kept with each score. Multi30k is taken from MILESTONES_DATA. The numbers and dates are generated,
and say so. A table of words with n-grams (IBM model 1) is scored beside the translator. It only reports: no threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import say

MULTI30K, VERSES = (["--preset", name, "--data", name] for name in ("multi30k", "verses"))
PARTS = {
    "dates": ["train", "translator", "--preset", "dates", "--data", "dates"],
    "numbers": ["train", "translator"],
    "numbers plain": ["train", "translator", "--preset", "plain"],
    "numbers transformer": ["train", "transformer"],
    "multi30k": ["train", "translator", *MULTI30K],
    "multi30k plain": ["train", "translator", *MULTI30K, "--attend", "false"],
    "multi30k transformer": ["train", "transformer", *MULTI30K],
    "verses": ["train", "translator", *VERSES],
    "verses transformer": ["train", "transformer", *VERSES],
}
LONG = ("multi30k", "multi30k plain", "multi30k transformer", "verses", "verses transformer")  # one seed each
TARGETS = {"dates": ("exact", 99.0, 180), "multi30k": ("bleu", 28.0, 1800)}  # score, at least, in seconds of training


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    files = [*project("translator", "transformer"), Path(__file__)]
    results = Results("translator", files, sys.executable, args.fresh, args.quick)
    summary = measured(results, PARTS, args, dict.fromkeys(LONG, 1))
    say(scores(summary))
    for name, (score, least, most) in TARGETS.items():
        if name in summary:
            say(target(f"{name}, {score}", summary[name]["scores"][score]["seeds"]["mean"], least))
            say(target(f"{name}, training", summary[name]["seconds"]["max"], most, higher=False, unit="s"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
