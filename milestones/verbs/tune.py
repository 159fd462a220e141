"""tune PAGE: a page's settings by many runs that are judged on validation; the winner beside the page's defaults."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from .words import add_knobs, answer, say, set_knobs, several

if TYPE_CHECKING:
    from .trials import Tuning

MINUTES = 10.0  # where neither --minutes nor --trials is said


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    text = "a page of the catalog, a .py file of yours, or the folder of a study to go on with"
    parser.add_argument("page", metavar="PAGE|STUDY", help=text)
    group = parser.add_argument_group("the study")
    group.add_argument("--minutes", type=float, help=f"of all of it [{MINUTES:g}, or no limit with --trials]")
    group.add_argument("--trials", type=int, help="most trainings, that of the defaults among them")
    group.add_argument("--processes", type=int, default=1, help="trials at a time, which share the cores [1]")
    group.add_argument(
        "--over", type=several(str), default=[], metavar="NAME,NAME", help="the settings to look through"
    )
    group.add_argument("--range", dest="ranges", type=several(str), default=[], metavar="NAME=LOW:HIGH,...",
                       help="where to look for a number, in place of around the preset's")  # fmt: skip
    group.add_argument("--architecture", action="store_true", help="depth, width and cell of the net, ranked before "
                       "training, with a random search for as long to compare with")  # fmt: skip
    group.add_argument("--join", action="store_true", help="help a study that another process or machine leads")
    group.add_argument("--page", dest="file", default="", metavar="FILE", help="a study's page of your own")
    group.add_argument("--preset", default="", help="the page's settings to begin with [quick]")
    group.add_argument("--seed", type=int, default=0, help="of all randomness [0]")
    group.add_argument("--data", default="", help="a data set's name, or the path of your data")
    group.add_argument("--target", default="", help="the column of a table to predict")
    group.add_argument("--split", default="", help="percentages as 80/10/10")
    group.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    group.add_argument("--plan", default="auto", help="auto (measured here), exact, or as channels_last/float32/2")
    group.add_argument("--device", default="cpu", help="cpu, cuda, ... [cpu]")
    group.add_argument("--runs", default="runs", help="the folder in which the study gets its own [runs]")
    for name, kind in (("--work", str), ("--until", float), ("--worker", int)):  # of a process that a study starts
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    if words and not words[0].startswith("-") and folder_of(words[0], after(words, "--runs")) is None:
        from ..catalog import find, settings

        entry = find(words[0])
        presets, schema = settings(entry)
        parser.epilog = f"presets of {entry.name}: {', '.join(presets)}"
        add_knobs(parser, schema, entry.name)


def after(words: Sequence[str], option: str) -> str:
    """The word after an option, or the default of --runs."""
    place = list(words).index(option) + 1 if option in words else len(words)
    return words[place] if place < len(words) else "runs"


def folder_of(word: str, root: str) -> Path | None:
    """The folder of the study that the word names; None if it names none."""
    for folder in (Path(word), Path(root) / word):
        if (folder / "tune.json").is_file():
            return folder
    return None


def run(args: argparse.Namespace) -> int:
    from .journal import needed

    refuse(args)
    needed()
    folder = folder_of(args.page, args.runs)
    if args.work:
        return worker(args, folder)
    if folder is None and args.join:
        raise UserError("the folder of a study to join", repr(args.page), "Begin one: milestones tune PAGE")
    from .search import Lead

    lead = Lead(args, say)
    found = lead.join(folder) if folder and args.join else lead.go_on(folder) if folder else lead.begin(set_knobs(args))
    answer(args, found, "\n".join(lead.lines(found)))
    return 130 if lead.interrupted else 0


def refuse(args: argparse.Namespace) -> None:
    """UserError: a number that cannot be."""
    if args.minutes is not None and not args.minutes > 0:
        raise UserError("--minutes above 0", f"{args.minutes:g}", "Leave it out for 10")
    if args.trials is not None and args.trials < 2:
        raise UserError("--trials from 2, the defaults among them", str(args.trials), "Leave it out for no limit")
    if not 1 <= args.processes <= 256:
        raise UserError("--processes from 1 to 256", str(args.processes), "Leave it out for one")
    if args.split == "final":
        do = "Leave it out; train the winner on all afterwards"
        raise UserError("a split with validation data to judge by", "--split final", do)


def ranges_of(words: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The ranges of --range, by name. UserError: not as NAME=LOW:HIGH."""
    import math

    found = {}
    for word in words:
        name, _, ends = word.partition("=")
        low, _, high = ends.partition(":")
        try:
            found[name] = float(low), float(high)
        except ValueError:
            found[name] = math.nan, math.nan
        if not all(map(math.isfinite, found[name])):
            raise UserError("--range as lr=0.001:0.1", repr(word), "Say a number on both sides of the colon")
    return found


def worker(args: argparse.Namespace, folder: Path | None) -> int:
    """One process of a study: trials until its time is up."""
    from .trials import read, work

    if folder is None:
        raise UserError("the folder of a study", repr(args.page), "Leave --work out")
    tuning: Tuning = read(folder, args.file)
    work(tuning, args.work, args.until or float("inf"), args.trials, args.worker or 0, say)
    return 0


def shown(found: dict[str, Any]) -> str:
    """Settings in words."""
    return ", ".join(f"{name} {value}" for name, value in found.items()) or "the defaults"
