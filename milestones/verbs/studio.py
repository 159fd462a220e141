"""studio: all of this in the browser: train, watch, use, look inside, attack, play."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .words import say


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("pages", metavar="PAGE.py", nargs="*", help="pages of your own, beside those of the catalog")
    parser.add_argument("--port", type=int, default=8421, help="where it listens; 0 for any free one [8421]")
    parser.add_argument("--quiet", action="store_true", help="do not open a browser, print the link alone")
    parser.add_argument("--share", metavar="PASSWORD", default="",
                        help="let others of this network look, not touch; prints a QR code")  # fmt: skip
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..core.errors import UserError

    try:
        from ..studio.begin import begin
    except ImportError as problem:
        got = f"no package {problem.name}"
        raise UserError("the studio's packages", got, "Install them: pip install 'milestones[studio]'") from None
    return begin(args.runs, args.pages, args.port, args.share, not args.quiet, say)
