"""What the page `sounds` reaches: on the digits that ship, and on real recordings of digits (fsdd), by two splits.

    ./go bench sounds [--seeds 5] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train sounds ... --json` in a temporary folder. fsdd is the folder MILESTONES_DATA/fsdd of
3,000 recordings by six speakers. `speaker` leaves one speaker after the other out (test; another is validated on), each
with one seed; `index` is the official split, in which speakers are shared. It only reports: no threshold.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

from _pages import end, measured, parser, scores
from _results import Results, project
from measure import say

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
STEPS = "2500"  # of fsdd, whose recordings are of one kind and short


def parts(folder: str) -> dict[str, list[str]]:
    """The commands by name; those on fsdd where its folder is at hand."""
    found = {"digits that ship": ["train", "sounds"]}
    if folder:
        fsdd = ["train", "sounds", "--data", folder, "--steps", STEPS]
        found["fsdd index"] = [*fsdd, "--split", "index"]
        for k, who in enumerate(SPEAKERS):
            found[f"fsdd without {who}"] = [*fsdd, "--split", f"speaker:{who}/{SPEAKERS[k - 1]}"]
    return found


def main() -> int:
    folder = Path(os.environ.get("MILESTONES_DATA", "/nonexistent")) / "fsdd"
    trainings = parts(str(folder) if folder.is_dir() else "")
    args = parser(__doc__, list(trainings), seeds=5).parse_args()
    results = Results("sounds", [*project("sounds"), Path(__file__)], sys.executable, args.fresh, args.quick)
    summary = measured(results, trainings, args, {name: 1 for name in trainings if "without" in name})
    say(scores(summary))
    right = [100 - page["scores"]["error"]["seeds"]["mean"] for name, page in summary.items() if "without" in name]
    if len(right) == len(SPEAKERS):
        say(f"one speaker left out: {statistics.mean(right):.1f} % right on average, {min(right):.1f} at worst")
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
