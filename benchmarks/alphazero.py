"""How strong AlphaZero gets in ten minutes and in an hour, against perfect play; and what Gumbel's search is worth.

    ./go bench alphazero [--seeds 3] [--only NAME ...] [--quick] [--fresh]

Each line is one `milestones train alphazero ... --json` in a temporary folder, scored once on positions that no
training saw: `wrong_moves_easy`, `_middle` and `_opening` are percent of moves that give away what the position is
worth, by our solver, after 100 simulations; `against_rollouts` percent of the points against a search by 1,000 random
games a move. `gumbel` and `puct` learn with 8 simulations a move, the same number of games and updates, and are scored
alike. In `tictactoe` all positions are judged, in `hex5` the winner after each first move.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, Value, say

FEW = ["--simulations", "8", "--few", "8", "--steps", "3000"]
PARTS = {
    "quick": ["train", "alphazero"],
    "ten": ["train", "alphazero", "--preset", "ten"],
    "hour": ["train", "alphazero", "--preset", "hour"],
    "tictactoe": ["train", "alphazero", "--preset", "tictactoe"],
    "hex5": ["train", "alphazero", "--preset", "hex5"],
    "gumbel": ["train", "alphazero", "--preset", "ten", *FEW],
    "puct": ["train", "alphazero", "--preset", "ten", *FEW, "--considered", "0"],
}
MOST_SEEDS = {"hour": 1}
WANTED = {  # part: (score, wanted, whether higher is better), and the seconds of training
    "quick": ([("wrong_moves_easy", 3.0, False)], 90.0),
    "ten": ([("wrong_moves_easy", 0.5, False), ("wrong_moves_middle", 4.0, False),
             ("wrong_moves_opening", 12.0, False), ("against_rollouts", 95.0, True)], 600.0),
    "hour": ([("wrong_moves_easy", 0.2, False), ("wrong_moves_middle", 2.0, False),
              ("wrong_moves_opening", 6.0, False)], 3600.0),
    "tictactoe": ([("wrong_moves", 0.0, False)], 60.0),
    "hex5": ([("wrong_openings", 0.0, False)], 600.0),
}  # fmt: skip


def judged(summary: Value) -> None:
    """What was wanted of each part, and what came."""
    for name, (wanted, seconds) in WANTED.items():
        if page := summary.get(name):
            for score, bound, higher in wanted:
                say(target(f"{name}: {score}", page["scores"][score]["seeds"]["mean"], bound, higher))
            say(target(f"{name}: training", page["seconds"]["max"], seconds, higher=False, unit="s"))
    if "gumbel" in summary and "puct" in summary:
        for score in ("wrong_moves_middle", "wrong_moves_opening"):
            one, other = (summary[name]["scores"][score]["values"] for name in ("gumbel", "puct"))
            word = "every seed" if max(one) < min(other) else "not every seed"
            say(f"{score} at 8 simulations: Gumbel {one}, PUCT {other}: {word} of Gumbel is better")


def main() -> int:
    args = parser(__doc__, list(PARTS)).parse_args()
    games = (ROOT / "milestones" / "worlds" / "games").glob("*.py")
    files = [*project("alphazero"), *games, Path(__file__)]
    results = Results("alphazero", files, sys.executable, args.fresh, args.quick, target=WANTED)
    summary = measured(results, PARTS, args, MOST_SEEDS)
    say(scores(summary))
    judged(summary)
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
