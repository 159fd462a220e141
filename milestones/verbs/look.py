"""look RUN: what a net learned. look RUN INPUT: what it looks at. look RUN --landscape: the loss around it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .subject import add_run
from .words import several


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    from . import explain, inside, landscape

    add_run(parser)
    parser.add_argument("inputs", metavar="INPUT", nargs="*", help="files of your own; none: what the layers learned")
    parser.add_argument("--beside", type=several(str), default=[], metavar="RUN,...",
                        help="other runs: their layers, or with --landscape their lines, beside its own")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random [0]")
    for part in (explain, inside, landscape):
        part.options(parser)


def run(args: argparse.Namespace) -> int:
    from . import explain, inside, landscape

    if args.landscape:
        return landscape.run(args)
    return explain.run(args) if args.inputs or args.example else inside.run(args)
