"""use RUN FILE ...: give a run pictures, rows or words of your own."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..catalog import SHIPS, described, find, published, published_page, shipped
from ..core.errors import UserError, nearest
from ..core.folder import read_json
from .words import add_knobs, answer, say, set_knobs
from .world import add_world, admit

UNKNOWN = "I don't know"
TRUTH = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run folder, a name as lenet-3, a page, shipped:PAGE, a .py file of yours, or published weights "
        "(.safetensors, or GPT-2's folder)",
    )
    parser.add_argument("inputs", metavar="INPUT", nargs="*",
                        help="files (or words, for pages that take them); none, or -: standard input")  # fmt: skip
    parser.add_argument("--at-error", type=float, metavar="PERCENT",
                        help="answer only as often as keeps the errors below this, else: " + UNKNOWN)  # fmt: skip
    parser.add_argument("--seconds", type=float, default=0.0, metavar="N",
                        help="of the input 'microphone': how long to listen [until Enter]")  # fmt: skip
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")
    add_world(parser)
    if words and not words[0].startswith("-"):
        with contextlib.suppress(UserError):  # no such run: said when it is opened
            entry = find(page_of(words[0]))
            add_knobs(parser, described(entry)["options"], entry.name)


def page_of(word: str) -> str:
    """The page of a run that is named by a folder, as lenet-3, or by its page. UserError: a folder that is no run."""
    if weights := published(word):
        return published_page(weights)
    if Path(word).is_dir():
        return str(read_json(Path(word), "config.json").get("system"))
    if folder := shipped().get(word.removeprefix(SHIPS)):
        return str(read_json(folder, "config.json").get("system"))
    return re.sub(r"-\d+$", "", word)


def run(args: argparse.Namespace) -> int:
    from ..catalog import load
    from ..media import Text
    from .subject import media_of

    admit(args.world)
    trained = load(args.run, args.runs, args.page)
    words = [f"{word}:{args.seconds:g}" if word == "microphone" else word for word in args.inputs or ["-"]]
    if trained.system.takes:
        inputs, names = media_of(trained, words)
    elif args.inputs:
        do = f"Leave {args.inputs[0]} out; 'milestones play' shows more"
        raise UserError("no input for a run that plays by itself", args.inputs[0], do, trained.entry.name)
    else:
        inputs, names = [], ["by itself"]
    answers = trained.use(inputs, chosen(described(trained.entry)["options"], set_knobs(args), trained.entry.name))
    if args.at_error is not None:
        needed, share = threshold(trained.folder, args.at_error, trained.entry.name)
        answers = [cautious(found, needed) for found in answers]
        say(f"answers where it is at least {needed:.2f} % sure: {share:.0f} % of the validation examples, "
            f"of which at most {args.at_error:g} % were wrong")  # fmt: skip
    if args.json:
        listed = [{"input": name, **plain(found)} for name, found in zip(names, answers, strict=True)]
        answer(args, {"run": str(trained.folder), "answers": listed}, "")
        return 0
    first = [next(iter(found.values())) for found in answers]
    if not sys.stdout.isatty() and all(isinstance(item, Text) for item in first):
        return written(piece for found in answers for piece in bare(found))  # for the next program of a pipe
    title = f"{trained.entry.name} of {trained.folder.name}" + (" (shipped)" if trained.config.get("shipped") else "")
    drawn = (piece for name, found in zip(names, answers, strict=True) for piece in told(name, found))
    return written(itertools.chain([f"{title}\n"], drawn))


def written(pieces: Iterable[str]) -> int:
    """Write on standard output each piece as soon as it is made. The exit code: 130 where Ctrl-C ended it; what was
    said until then stays."""
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        print(flush=True)
        say("interrupted")
        return 130
    return 0


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """An answer for JSON."""
    return {key: item.plain() for key, item in found.items()}


def bare(found: Mapping[str, Any]) -> Iterator[str]:
    """An answer alone: a text on one line, or all texts that flow, as they are."""
    from ..media import Text

    flowing = [item for item in found.values() if isinstance(item, Text) and item.flows]
    for item in flowing:
        yield from item.pieces()
        yield "\n"
    if not flowing:
        yield " ".join(str(next(iter(found.values()))).split()) + "\n"


def told(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """An answer for a terminal, in pieces: what flows as it is made."""
    from ..media import Image, Text

    yield f"{name}:\n"
    for key, item in found.items():
        if isinstance(item, Text) and item.flows:
            yield f"  {key}:\n    "
            yield from (piece.replace("\n", "\n    ") for piece in item.pieces())
            yield "\n"
            continue
        text = item.blocks() if isinstance(item, Image) else str(item)
        yield f"  {key}: {text}\n" if "\n" not in text else f"  {key}:\n"
        if "\n" in text:
            yield from (f"    {row}\n" for row in text.splitlines())


def chosen(schema: Mapping[str, Mapping[str, Any]], words: Mapping[str, Any], who: str) -> dict[str, Any]:
    """The options of a page's `use` that were named, as values. UserError: not of their kind."""
    kinds: dict[str, Callable[[str], Any]] = {
        "integer": int, "number": float, "string": str, "boolean": TRUTH.__getitem__
    }  # fmt: skip
    found = {}
    for name, word in words.items():
        kind, what, choices = (schema[name].get(key) for key in ("type", "description", "enum"))
        try:
            found[name] = kinds[str(kind)](str(word))
        except (ValueError, KeyError):
            raise UserError(f"--{name} as {kind}", repr(word), str(what), who) from None
        if choices and found[name] not in choices:
            do = nearest(str(word), choices, "Take one of these")
            raise UserError(f"--{name} as one of {', '.join(choices)}", repr(word), do, who)
    return found


def threshold(folder: Path, most: float, who: str) -> tuple[float, float]:
    """How sure, in percent, an answer must be so that at most `most` percent are wrong, and the percent that is then
    answered: both as the validation examples had it. UserError: the run has no such table, or cannot be so good."""
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
