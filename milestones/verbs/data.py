"""data PATH: what would be read, how it is split, what is wrong with it; --download brings a known set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .words import answer, say


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "path",
        metavar="PATH|NAME",
        help="a folder, a file, or a known set: digits, mnist, fashion, usps, numbers, dates, verses, multi30k, "
        "tinyshakespeare",
    )
    parser.add_argument("--target", default="", help="the column of a table to predict")
    parser.add_argument("--split", default="", help="'final' or percentages as 80/10/10")
    parser.add_argument(
        "--download", action="store_true", help="fetch a known set into the cache, verified (mnist, fashion)"
    )


def run(args: argparse.Namespace) -> int:
    if args.download:
        from ..data.fetch import download

        folder = download(args.path, say)
        answer(args, {"set": args.path, "folder": str(folder)}, f"{args.path} is in {folder}")
        return 0
    from ..data.kinds import sight
    from ..data.look import look

    kind, reason = sight(args.path)
    if kind == "games":
        from .games import games_found

        found = games_found(args.path, reason, args.split)
    else:
        found = look(args.path, args.target, args.split)
    answer(args, found.plain(), "\n".join(found.lines()))
    return 0
