"""What the pages of sequences reach with their quick preset, on the data that ships, by the commands that users type.

    ./go bench sequences [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train PAGE --seeds N --json` in a temporary folder, scored once on its test set; the
interval of the seeds (Student) and that of the test sample are both kept. Data that are made or composed say so in the
name of their set. What a page reaches on other data has a benchmark of its own (speech, translator, lstm ...). It only
reports: no threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores
from _results import Results, project
from measure import say

PAGES = ("dynamics", "lstm", "sounds", "speech", "translator", "captions", "frames", "eeg", "transformer")
PARTS = {name: ["train", name] for name in PAGES}


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    results = Results("sequences", [*project(*PARTS), Path(__file__)], sys.executable, args.fresh, args.quick)
    say(scores(measured(results, PARTS, args)))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
