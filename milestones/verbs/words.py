"""What verbs share of the command line: options from a Config, the answer, lines for the user."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


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


def several(kind: Callable[[str], Any], among: Sequence[str] = ()) -> Callable[[str], list[Any]]:
    """The type of an option of several values with commas between, as --eps 0.1,0.2: one word, so that it does not
    swallow a file that follows."""

    def values(word: str) -> list[Any]:
        parts = [part for part in word.split(",") if part]
        for part in parts:
            if among and part not in among:
                raise argparse.ArgumentTypeError(f"invalid choice: {part!r} (choose from {', '.join(among)})")
            try:
                kind(part)
            except ValueError:
                raise argparse.ArgumentTypeError(f"no {kind.__name__}: {part!r}") from None
        if not parts:
            raise argparse.ArgumentTypeError("no value")
        return [kind(part) for part in parts]

    return values


def set_knobs(args: argparse.Namespace) -> dict[str, Any]:
    """The knobs that were named, as texts; 'none' is None."""
    given = {name[5:]: value for name, value in vars(args).items() if name.startswith("knob_")}
    return {name: None if value == "none" else value for name, value in given.items()}


def rank() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun tells them; 0 and 1 without it."""
    try:
        found = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
    return found if 0 <= found[0] < found[1] and "MASTER_ADDR" in os.environ else (0, 1)


def say(text: str = "") -> None:
    """One line for the user on standard error, where progress goes. Of several processes the first alone speaks."""
    if rank()[0] == 0:
        print(text, file=sys.stderr, flush=True)


def answer(args: argparse.Namespace, content: Mapping[str, Any], text: str) -> None:
    """The verb's answer on standard output: one JSON object with --json, otherwise the text."""
    if rank()[0] == 0:
        print(json.dumps(content, ensure_ascii=False, allow_nan=False) if args.json else text, flush=True)
