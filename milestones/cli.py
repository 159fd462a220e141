"""Words to a verb; exit codes: 0 done, 1 our fault, 2 the user's input, 130 interrupted and saved."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__
from .core.errors import UserError, nearest
from .verbs import VERBS
from .verbs.words import say


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


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if words is None else words)
    for stream in (sys.stdout, sys.stderr):  # a terminal of few letters, or half a character from a file's name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            print(overview(), flush=True)
            return 0
        if words[0] in ("-V", "--version"):
            print(f"milestones {__version__}")
            return 0
        from .catalog import blaming

        with blaming():
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
    args, unknown = parser.parse_known_intermixed_args(words)  # "look RUN --steps 9 FILE": files may come last
    if unknown:
        options = [option for action in parser._actions for option in action.option_strings]
        word = unknown[0].split("=")[0]
        synonym = getattr(module, "synonym", lambda word, options: "")(word, options)
        do = f"Did you mean {synonym!r}?" if synonym else nearest(word, options, f"Try 'milestones {verb} --help'")
        raise UserError(f"the options of '{verb}'", f"no option {word!r}", do, words[0] if words else "milestones")
    return int(module.run(args))
