"""train PAGE|PATH: train a page, a page of your own, or the page that fits your data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from .words import add_knobs, answer, say, set_knobs

PAGES = {"pictures": ("lenet", "quick"), "table": ("mlp", "table")}  # the page and preset for each kind of data


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("page", metavar="PAGE|PATH", help="a page of the catalog, a .py file of yours, or data")
    group = parser.add_argument_group("the run")
    group.add_argument("--preset", default="", help="the page's settings to begin with [quick]")
    group.add_argument("--seed", type=int, default=0, help="of all randomness [0]")
    group.add_argument("--seeds", type=int, default=1, help="so many runs, and one summary [1]")
    group.add_argument("--data", default="", help="a data set's name, or the path of your data")
    group.add_argument("--target", default="", help="the column of a table to predict")
    group.add_argument("--split", default="", help="'final' (validation data too) or percentages as 80/10/10")
    group.add_argument("--plan", default="auto", help="auto (measured here), exact, or as channels_last/float32/2")
    group.add_argument("--device", default="cpu", help="cpu, cuda, ... [cpu]")
    group.add_argument("--minutes", type=float, help="train no longer than this, then score")
    group.add_argument("--from", dest="origin", default="", metavar="RUN", help="start from this run's weights")
    group.add_argument("--freeze", action="store_true", help="with --from: do not train what was taken")
    group.add_argument("--runs", default="runs", help="the folder of run folders [runs]")
    if words and not words[0].startswith("-"):
        from ..catalog import find, page
        from ..core.config import knobs

        name = words[0]
        if is_data(name):
            name = choose(name)[0]
        entry = find(name)
        system = page(entry).system
        presets = ", ".join(system.presets)
        parser.epilog = f"presets of {entry.name}: {presets}"
        add_knobs(parser, knobs(system.Config), entry.name)


def synonym(word: str, options: Sequence[str]) -> str:
    """The option for a word of another tool: --learning-rate is --lr here."""
    from ..core.config import SYNONYMS

    near = "--" + SYNONYMS.get(word.lstrip("-").replace("-", "_"), "")
    return near if near in options else ""


def is_data(word: str) -> bool:
    """True if the word is a path and no page."""
    from ..catalog import TIMELINE

    known = any(entry.name == word for entry in TIMELINE)
    return not known and not word.endswith(".py") and Path(word).exists()


def choose(path: str) -> tuple[str, str, str]:
    """The page and preset that fit the data at a path, and why."""
    from ..data.kinds import sight

    found, reason = sight(path)
    return *PAGES[found], f"it is read as {found}, because {reason}"


def run(args: argparse.Namespace) -> int:
    from .execute import Order, begin
    from .progress import Line
    from .tables import group_lines, outcome_lines

    name, data, preset = args.page, args.data, args.preset
    if is_data(name):
        if data:
            raise UserError("data once", f"both {name} and --data {data}", "Leave one of them out")
        data = name
        name, fitting, reason = choose(data)
        preset = preset or fitting
        say(f"{data}: {reason}; the page for it is {name}, preset {preset}")
    if args.seeds < 1:
        raise UserError("--seeds from 1", str(args.seeds), "Leave it out for one run")
    if args.freeze and not args.origin:
        raise UserError("--freeze together with --from RUN", "no --from", "Name the run to start from")
    reports: list[dict[str, Any]] = []
    for seed in range(args.seed, args.seed + args.seeds):
        order = Order(preset or "quick", seed, data, args.target, args.split, args.plan, args.device, args.minutes,
                      args.origin, args.freeze)  # fmt: skip
        line = Line()
        try:
            outcome = begin(name, set_knobs(args), order, args.runs, say, line)
        finally:
            line.close()
        if outcome.ended == "interrupted":
            return 130
        reports.append({"run": str(outcome.folder), **outcome.report})
        if args.seeds > 1:
            say("\n".join(outcome_lines(outcome.folder, outcome.report, short=True)))
    if args.seeds == 1:
        answer(args, reports[0], "\n".join(outcome_lines(outcome.folder, outcome.report)))
    else:
        lines, group = group_lines(reports)
        answer(args, {"runs": reports, "group": group}, "\n".join(lines))
    return 0
