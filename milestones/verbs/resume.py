"""resume RUN: go on with a run that was stopped, to the same bits as if it had not been."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .words import answer, rank, say
from .world import add_world, admit


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "run", nargs="?", default="", metavar="RUN", help="a run folder, or a name as lenet-3 [the latest unfinished]"
    )
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--minutes", type=float, help="train no longer than this, then score")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")
    add_world(parser)


def run(args: argparse.Namespace) -> int:
    from ..catalog import locate, state_of, user_runs
    from ..core.errors import UserError

    first = rank()[0] == 0
    if not first:  # it may run on another machine, and has a folder of its own
        folder = Path()
    elif args.run:
        folder = locate(args.run, args.runs)
    else:
        open_ = [f for f in user_runs(args.runs) if state_of(f)["state"] != "finished"]
        if not open_:
            raise UserError(f"an unfinished run in {args.runs}", "none", "Name one; 'milestones runs' lists them")
        folder = max(open_, key=lambda f: (f / "config.json").stat().st_mtime)
    from .execute import go_on
    from .processes import joined
    from .progress import Line
    from .tables import outcome_lines

    admit(args.world)
    line = Line() if first else None
    try:
        with joined() as peers:
            outcome = go_on(folder, args.page, args.minutes, say, line, peers)
    finally:
        if line:
            line.close()
    if outcome.ended == "interrupted":
        return 130
    if not first:
        return 0
    answer(args, {"run": str(folder), **outcome.report}, "\n".join(outcome_lines(folder, outcome.report)))
    return 0
