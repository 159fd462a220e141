"""completion SHELL: the script that completes verbs, pages and runs; `completion words ...` is what it calls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import VERBS
from .words import answer

CALL = "milestones completion words"  # what the scripts run at each press of the key
SCRIPTS = {
    "bash": "_milestones() { local words; words=$(" + CALL + ' "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)\n'
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")); }\n'
    "complete -o default -F _milestones milestones",
    "zsh": '_milestones() { compadd -- ${(f)"$(' + CALL + ' ${words[2,CURRENT]} 2>/dev/null)"}; _files }\n'
    "compdef _milestones milestones",
    "fish": "complete -c milestones -a '(" + CALL + " (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'",
}
PAGE_VERBS = ("train", "show", "fork")
RUN_VERBS = ("use", "score", "resume", "compare", "play", "match")


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "shell", metavar="SHELL", help=f"one of {', '.join(SCRIPTS)}; put its output into the shell's start file"
    )
    parser.add_argument("typed", nargs="*", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from ..core.errors import UserError, nearest

    if args.shell == "words":
        found = candidates(args.typed)
        answer(args, {"words": found}, "\n".join(found))
        return 0
    if args.shell not in SCRIPTS:
        do = nearest(args.shell, SCRIPTS, "For example: milestones completion bash")
        raise UserError(f"a shell: {', '.join(SCRIPTS)}", repr(args.shell), do)
    answer(args, {"script": SCRIPTS[args.shell]}, SCRIPTS[args.shell])
    return 0


def candidates(typed: Sequence[str]) -> list[str]:
    """The words that may stand where the last of `typed` stands."""
    from ..catalog import TIMELINE, user_runs

    if len(typed) <= 1:
        return list(VERBS)
    pages, runs = [entry.name for entry in TIMELINE], [folder.name for folder in user_runs("runs")]
    if typed[0] in PAGE_VERBS:
        return pages
    return runs + pages if typed[0] in RUN_VERBS else []
