"""train PAGE|PATH: train a page, a page of your own, or the page that fits your data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import UserError
from .words import add_knobs, answer, rank, say, set_knobs


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("page", metavar="PAGE|PATH", help="a page of the catalog, a .py file of yours, or data")
    group = parser.add_argument_group("the run")
    group.add_argument("--preset", default="", help="the page's settings to begin with [quick]")
    group.add_argument("--seed", type=int, default=0, help="of all randomness [0]")
    group.add_argument("--seeds", type=int, default=1, help="so many runs, and one summary [1]")
    group.add_argument("--members", type=int, default=1, help="so many nets, trained one by one, used as one [1]")
    group.add_argument("--data", default="", help="a data set's name, or the path of your data")
    group.add_argument("--target", default="", help="the column of a table to predict")
    group.add_argument("--split", default="", help="'final' (validation data too) or percentages as 80/10/10")
    group.add_argument("--skip-unreadable", action="store_true", help="leave out pictures that cannot be read")
    group.add_argument("--plan", default="auto", help="auto (measured here), exact, or as channels_last/float32/2")
    group.add_argument("--device", default="cpu", help="cpu, cuda, ... [cpu]")
    group.add_argument("--minutes", type=float, help="train no longer than this, then score")
    group.add_argument("--from", dest="origin", default="", metavar="RUN|FILE",
                       help="start from the weights of a run or a .safetensors file")  # fmt: skip
    group.add_argument("--freeze", action="store_true", help="with --from: do not train what was taken")
    group.add_argument("--auto-lr", action="store_true", help="find the learning rate first, as 'lr' does, and use it")
    group.add_argument("--runs", default="runs", help="the folder of run folders [runs]")
    if words and not words[0].startswith("-"):
        from ..catalog import find, settings

        name = words[0]
        if is_data(name):
            fit = choose(name)
            parser.set_defaults(fit=fit)  # looked at once
            name = fit.page
        entry = find(name)
        presets, schema = settings(entry)
        parser.epilog = f"presets of {entry.name}: {', '.join(presets)}"
        add_knobs(parser, schema, entry.name)


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


class Fit(NamedTuple):
    """The page for the user's data, how to train it, and why."""

    page: str
    preset: str
    settings: dict[str, Any]
    why: str


def choose(path: str, target: str = "") -> Fit:
    """The page, preset and settings that fit the data at a path, from a look at a few of its files."""
    from ..data.kinds import sight

    found, reason = sight(path)
    why = f"it is read as {found}, because {reason}"
    if found == "table":
        return Fit("mlp", "table", {}, why)
    if found == "frames":
        return Fit("frames", "own", {}, why)
    if found == "speech":
        from ..data.transcripts import transcripts

        count = len(transcripts(Path(path)).paths)
        return Fit("speech", "quick", {"steps": min(10_000, max(1000, count))}, why)
    if found == "pairs":
        return Fit("translator", "text", {}, why)
    if found == "recordings":
        return Fit("eeg", "quick", {}, why)
    if found == "series":
        return Fit("lstm", "series", {}, why)
    if found == "sounds":
        return Fit("sounds", "quick", {}, why)
    if found == "captions":
        return Fit("captions", "quick", {}, why)
    if found == "text":
        return Fit("gpt", "text", {}, why)
    if found == "texts":
        return Fit("words", "own", {"steps": min(3000, max(300, _texts(Path(path)) // 25))}, why)
    if found == "games":
        from ..worlds.games.records import usual_size

        return Fit("alphago", "quick", {"game": f"go{usual_size(path)}"}, why)
    from ..data.glance import glance

    seen = glance(path, target)
    if seen is None or (seen.grey and seen.side <= 40):
        return Fit("lenet", "quick", {}, why + ("; small and grey" if seen else ""))
    side = 32 if seen.side < 48 else 64
    steps = min(6000, max(300, 30 * seen.count * 8 // 10 // 128))
    settings: dict[str, Any] = {"side": side, "steps": steps}
    kind = "grey" if seen.grey else "colour"
    why += f"; {seen.count:,} pictures in {kind}, typically {seen.side} pixels high or wide: seen at {side} x {side}"
    if seen.uneven > 3:
        settings["balance"] = 0.5
        why += f"; the largest class has {seen.uneven:.0f} times the pictures of the smallest, so rare ones weigh more"
    return Fit("resnet", "photos", settings, why)


def _texts(path: Path) -> int:
    """About how many texts there are: files in folders, or lines of a table."""
    if path.is_dir():
        return sum(file.suffix.lower() == ".txt" for file in path.rglob("*"))
    return path.read_bytes().count(b"\n")


def refuse(args: argparse.Namespace) -> None:
    """UserError: what several processes cannot do together."""
    for option, given, do in (
        ("--seeds", args.seeds > 1, "Train the seeds one after the other, each with torchrun or without"),
        ("--members", args.members > 1, "Train the members without torchrun"),
        ("--auto-lr", args.auto_lr, "Find the rate first with 'milestones lr', then give --lr"),
        ("--device", not args.device.startswith("cpu"), "Leave it out: several processes train on processors alone"),
    ):
        if given:
            raise UserError("a run that torchrun's processes can share", option, do)


def run(args: argparse.Namespace) -> int:
    from .execute import Order, begin
    from .processes import joined
    from .progress import Line
    from .tables import group_lines, outcome_lines

    name, data, preset = args.page, args.data, args.preset
    settings: dict[str, Any] = {}
    if is_data(name):
        if data:
            raise UserError("data once", f"both {name} and --data {data}", "Leave one of them out")
        data = name
        fit = args.fit if "fit" in args and not args.target else choose(data, args.target)
        name, preset, settings = fit.page, preset or fit.preset, {} if preset else fit.settings
        given = "".join(f" --{key} {value}" for key, value in settings.items())
        say(f"{data}: {fit.why}; so: train {name} --preset {preset}{given} --data {data}")
    if args.seeds < 1:
        raise UserError("--seeds from 1", str(args.seeds), "Leave it out for one run")
    if args.freeze and not args.origin:
        raise UserError("--freeze together with --from RUN", "no --from", "Name the run to start from")
    alone = rank()[1] == 1
    if not alone:
        refuse(args)
    paced = alone and "steps" in settings and "steps" not in set_knobs(args)
    settings, rate = {**settings, **set_knobs(args)}, None
    if args.auto_lr:
        from .study import for_training

        order = Order(preset or "quick", args.seed, data, args.target, args.split, args.plan, args.device,
                      args.minutes, args.origin, skip_unreadable=args.skip_unreadable)  # fmt: skip
        rate = for_training(name, settings, order, say)
        settings["lr"] = rate["rate"]
    reports: list[dict[str, Any]] = []
    for seed in range(args.seed, args.seed + args.seeds):
        order = Order(preset or "quick", seed, data, args.target, args.split, args.plan, args.device, args.minutes,
                      args.origin, args.freeze, args.skip_unreadable, args.members,
                      paced=paced, auto_lr=rate)  # fmt: skip
        line = Line() if rank()[0] == 0 else None
        try:
            with joined() as peers:
                outcome = begin(name, settings, order, args.runs, say, line, peers)
        finally:
            if line:
                line.close()
        if outcome.ended == "interrupted":
            return 130
        if rank()[0]:
            return 0
        reports.append({"run": str(outcome.folder), **outcome.report})
        if args.seeds > 1:
            say("\n".join(outcome_lines(outcome.folder, outcome.report, short=True)))
    if args.seeds == 1:
        answer(args, reports[0], "\n".join(outcome_lines(outcome.folder, outcome.report)))
    else:
        lines, group = group_lines(reports)
        answer(args, {"runs": reports, "group": group}, "\n".join(lines))
    return 0
