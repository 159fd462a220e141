"""fork PAGE FILE: copy a page to a file of yours, to change and train."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from .words import answer


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("page", metavar="PAGE", help="a page of the catalog")
    parser.add_argument("file", metavar="FILE", help="the new file, for example my.py")


def run(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from ..catalog import TIMELINE, find
    from ..core.errors import UserError
    from ..core.folder import write_whole

    entry, target = find(args.page), Path(args.file)
    if target.suffix != ".py" or not target.stem.isidentifier() or any(e.name == target.stem for e in TIMELINE):
        raise UserError("a new file whose name is a new word and ends in .py", args.file, "For example my.py")
    if target.exists():
        raise UserError("a file that does not exist yet", f"{target}, which does", "Choose another name")
    if not target.parent.is_dir():
        raise UserError("a file in an existing folder", str(target), f"Make {target.parent} first")
    spec = find_spec(entry.module) if not entry.module.endswith(".py") else None
    source = Path(spec.origin if spec and spec.origin else entry.module).read_text(encoding="utf-8")
    # A file outside the package cannot import relative to it.
    write_whole(target, re.sub(r"^from \.\.", "from milestones.", source, flags=re.MULTILINE).encode())
    text = f"{target} is your copy of {entry.name}. Change it, then: milestones train {target}"
    answer(args, {"file": str(target), "from": entry.name}, text)
    return 0
