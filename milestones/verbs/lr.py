"""lr PAGE: a learning rate from short trainings of this page on this data, and the lecture's quiz as real curves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .words import add_knobs, answer, say, set_knobs


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("page", metavar="PAGE", help="a page of the catalog, or a .py file of yours")
    group = parser.add_argument_group("the study")
    group.add_argument("--preset", default="", help="the page's settings to begin with [quick]")
    group.add_argument("--seed", type=int, default=0, help="the first seed [0]")
    group.add_argument("--seeds", type=int, default=3, help="so many, for the interval [3]")
    group.add_argument("--data", default="", help="a data set's name, or the path of your data")
    group.add_argument("--target", default="", help="the column of a table to predict")
    group.add_argument("--split", default="", help="'final' (validation data too) or percentages as 80/10/10")
    group.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    group.add_argument("--plan", default="auto", help="auto (measured here), exact, or as channels_last/float32/2")
    group.add_argument("--device", default="cpu", help="cpu, cuda, ... [cpu]")
    group.add_argument("--runs", default="runs", help="the folder in which the study gets its own [runs]")
    if words and not words[0].startswith("-"):
        from ..catalog import find, settings

        entry = find(words[0])
        presets, schema = settings(entry)
        parser.epilog = f"presets of {entry.name}: {', '.join(presets)}"
        add_knobs(parser, schema, entry.name)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ..core.folder import next_folder, write_json, write_whole
    from ..report.rates import html_of
    from .execute import Order
    from .study import lines, study

    order = Order(args.preset or "quick", args.seed, args.data, args.target, args.split, args.plan, args.device,
                  skip_unreadable=args.skip_unreadable)  # fmt: skip
    found = study(args.page, set_knobs(args), order, args.seeds, say)
    folder = next_folder(Path(args.runs), f"{found['system']}-lr")
    write_json(folder / "study.json", found)
    write_whole(folder / "report.html", html_of(found).encode())
    answer(args, {"study": str(folder), **found}, "\n".join([*lines(found), f"report: {folder / 'report.html'}"]))
    return 0
