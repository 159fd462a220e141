"""Words to a verb; exit codes: 0 done, 1 our fault, 2 the user's input, 130 interrupted and saved."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from . import __version__
from .core.errors import UserError, nearest

VERBS = {
    "list": "the timeline: all systems, by year",
    "show": "a page: its paper, idea, settings and presets",
    "train": "train a page, or the page that fits your data: train lenet, train photos/, train my.py",
    "resume": "go on with a run that was stopped, to the same bits",
    "score": "measure a run again, on its test data or on yours",
    "use": "give a run pictures or rows of your own",
    "fork": "copy a page to a file of yours, to change",
    "runs": "what has been trained here",
    "compare": "runs side by side: what differs in settings and scores",
    "data": "what would be read from a path, how it is split, what is wrong with it; --download fetches a set",
    "doctor": "check the installation and this machine",
    "completion": "print the completion script of a shell: bash, zsh or fish",
}


class Parser(argparse.ArgumentParser):
    """argparse, but each complaint is one line and no exit."""

    def error(self, message: str) -> NoReturn:
        raise UserError("the words that --help lists", message, f"Try '{self.prog} --help'")


def overview() -> str:
    """The help of the whole program."""
    width = max(map(len, VERBS)) + 2
    lines = [f"  {name:{width}}{what}" for name, what in VERBS.items()]
    return "\n".join([
        "usage: milestones VERB ... [--json]", "", "The systems that made deep learning: train, use, change, compare.",
        "", "verbs:", *lines, "", "Begin with 'milestones train lenet'; 'milestones VERB --help' tells more.",
    ])  # fmt: skip


def add_knobs(parser: argparse.ArgumentParser, schema: Mapping[str, Mapping[str, Any]], who: str) -> None:
    """One option a knob, from its JSON schema; values stay texts, which the Config checks."""
    group = parser.add_argument_group(f"settings of {who}")
    for name, knob in schema.items():
        default = knob.get("default")
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        text = f"{knob.get('description', '')} [{shown}]".replace("%", "%%")
        more: dict[str, Any] = {"nargs": "*"} if knob.get("type") == "array" else {}
        metavar = "{" + ",".join(map(str, knob["enum"])) + "}" if "enum" in knob else name.upper()
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"knob_{name}", default=argparse.SUPPRESS,
                           metavar=metavar, help=text, **more)  # fmt: skip


def set_knobs(args: argparse.Namespace) -> dict[str, Any]:
    """The knobs that were named, as texts; 'none' is None."""
    given = {name[5:]: value for name, value in vars(args).items() if name.startswith("knob_")}
    return {name: None if value == "none" else value for name, value in given.items()}


def say(text: str = "") -> None:
    """One line for the user on standard error, where progress goes."""
    print(text, file=sys.stderr, flush=True)


def answer(args: argparse.Namespace, content: Mapping[str, Any], text: str) -> None:
    """The verb's answer on standard output: one JSON object with --json, otherwise the text."""
    print(json.dumps(content, ensure_ascii=False, allow_nan=False) if args.json else text, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if words is None else words)
    for stream in (sys.stdout, sys.stderr):  # a terminal of few letters, or half a character from a file's name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"milestones {__version__}")
        return 0
    try:
        return run(words[0], words[1:])
    except UserError as problem:
        say(str(problem))
        return 2
    except KeyboardInterrupt:
        say("interrupted; what was saved is kept: 'milestones runs' lists it")
        return 130
    except BrokenPipeError:  # the reader of our output went away, as 'head' does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run(verb: str, words: Sequence[str]) -> int:
    """Parse the verb's words and run it."""
    if verb not in VERBS:
        raise UserError(f"a verb: {', '.join(VERBS)}", repr(verb), nearest(verb, VERBS, "Try 'milestones --help'"))
    module = importlib.import_module(f".verbs.{verb}", __package__)
    parser = Parser(prog=f"milestones {verb}", description=VERBS[verb], allow_abbrev=False)
    module.add(parser, words)
    parser.add_argument("--json", action="store_true", help="standard output is one JSON object")
    args, unknown = parser.parse_known_args(words)
    if unknown:
        options = [option for action in parser._actions for option in action.option_strings]
        word = unknown[0].split("=")[0]
        synonym = getattr(module, "synonym", lambda word, options: "")(word, options)
        do = f"Did you mean {synonym!r}?" if synonym else nearest(word, options, f"Try 'milestones {verb} --help'")
        raise UserError(f"the options of '{verb}'", f"no option {word!r}", do, words[0] if words else "milestones")
    return int(module.run(args))
