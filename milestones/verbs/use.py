"""use RUN FILE ...: give a run pictures, rows or words of your own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .words import answer, say

UNKNOWN = "I don't know"


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, a name as lenet-3, a page, or a .py file of yours")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="files (or words, for pages that take them)")
    parser.add_argument("--at-error", type=float, metavar="PERCENT",
                        help="answer only as often as keeps the errors below this, else: " + UNKNOWN)  # fmt: skip
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..catalog import load
    from ..media import Image
    from .subject import media_of

    trained = load(args.run, args.runs, args.page)
    inputs, names = media_of(trained, args.inputs)
    answers = trained.use(inputs)
    if args.at_error is not None:
        needed, share = threshold(trained.folder, args.at_error, trained.entry.name)
        answers = [cautious(found, needed) for found in answers]
        say(f"answers where it is at least {needed:.2f} % sure: {share:.0f} % of the validation examples, "
            f"of which at most {args.at_error:g} % were wrong")  # fmt: skip
    lines = [f"{trained.entry.name} of {trained.folder.name}" + (" (shipped)" if trained.config.get("shipped") else "")]
    for name, found in zip(names, answers, strict=True):
        lines.append(f"{name}:")
        for key, item in found.items():
            text = item.blocks() if isinstance(item, Image) else str(item)
            lines += (
                [f"  {key}: {text}"]
                if "\n" not in text
                else [f"  {key}:", *("    " + row for row in text.splitlines())]
            )
    content = [
        {"input": name, **{k: v.plain() for k, v in found.items()}} for name, found in zip(names, answers, strict=True)
    ]
    answer(args, {"run": str(trained.folder), "answers": content}, "\n".join(lines))
    return 0


def threshold(folder: Path, most: float, who: str) -> tuple[float, float]:
    """How sure, in percent, an answer must be so that at most `most` percent are wrong, and the percent that is then
    answered: both as the validation examples had it. UserError: the run has no such table, or cannot be so good."""
    from ..core.errors import UserError
    from ..core.folder import read_json
    from ..parts.calibration import Answering, kept

    if not 0 <= most < 100:
        raise UserError("--at-error from 0 and below 100 percent", f"{most:g}", "For example --at-error 1", who)
    try:
        rows = [
            Answering(*map(float, row)) for row in read_json(folder, "report.json")["calibration"]["answering"]["rows"]
        ]
        best = min(rows, key=lambda row: row.error)
    except (UserError, LookupError, TypeError, ValueError):
        got = f"none in report.json of {folder}"
        do = "Train again with this version, without --split final; only classes have one"
        raise UserError("a run that knows how sure it must be", got, do, who) from None
    row = kept(rows, most)
    if row is None:
        do = f"Take --at-error {best.error:.2g} or more, or train longer"
        raise UserError(f"an error that this run can keep, from {best.error:.2g} %", f"{most:g} %", do, who)
    return row.sure, row.answered


def cautious(found: dict[str, Any], needed: float) -> dict[str, Any]:
    """The answer, or that it is not known where its chance is below `needed` percent."""
    from ..media import Ranking, Text

    first, *rest = found.items()
    if not isinstance(first[1], Ranking) or 100 * first[1].chances[0] >= needed:
        return found
    return {first[0]: Text(UNKNOWN), "perhaps": first[1], **dict(rest)}
