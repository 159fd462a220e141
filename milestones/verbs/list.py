"""list: the timeline."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..catalog import TIMELINE
from .words import answer


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """No words of its own."""


def run(args: argparse.Namespace) -> int:
    width = max(len(entry.name) for entry in TIMELINE) + 2
    text = "\n".join(f"{entry.year}  {entry.name:{width}}{entry.showed}" for entry in TIMELINE)
    systems = [{"name": entry.name, "year": entry.year, "showed": entry.showed} for entry in TIMELINE]
    answer(args, {"systems": systems}, text)
    return 0
