"""The one exception that a user may cause, and its one-line template."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The user's input cannot be used: what was expected, what came, what to do. Ends a command with exit code 2."""

    def __init__(self, expected: str, got: str, do: str, who: str = "milestones") -> None:
        self.expected, self.got, self.do, self.who = expected, got, do, who
        end = "" if do.endswith((".", "?", "!")) else "."
        line = f"{who}: expected {expected}, got {got}. {do}{end}"
        line = " ".join(line.split())
        super().__init__("".join(c if c.isprintable() else "?" for c in line))  # no escape sequences from a file


def nearest(word: str, words: Iterable[str], otherwise: str) -> str:
    """``Did you mean 'x'?`` for the word of ``words`` that is nearest to ``word``, or ``otherwise`` if none is near."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"Did you mean {found[0]!r}?" if found else otherwise
