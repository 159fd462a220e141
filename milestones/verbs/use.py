"""use RUN FILE ...: give a run pictures, rows or words of your own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .words import answer


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, a name as lenet-3, a page, or a .py file of yours")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="files (or words, for pages that take them)")
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..catalog import load
    from ..core.errors import UserError
    from ..media import Image, read

    trained = load(args.run, args.runs, args.page)
    takes = trained.system.takes
    names, inputs = [], []
    for word in args.inputs:
        found = read(word, takes)
        for number, item in enumerate(found):
            if not isinstance(item, takes):
                want = " or ".join(kind.__name__.lower() for kind in takes) or "no input"
                raise UserError(
                    want,
                    f"{type(item).__name__.lower()} in {Path(word).name}",
                    "Pass a file of that kind",
                    trained.entry.name,
                )
            names.append(word if len(found) == 1 else f"{word}:{number + 1}")
            inputs.append(item)
    answers = trained.use(inputs)
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
