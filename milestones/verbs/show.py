"""show PAGE: its paper, idea, settings and presets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .words import answer


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("page", metavar="PAGE", help="a page of the catalog, or a .py file of yours")
    parser.add_argument("--bibtex", action="store_true", help="its papers alone, as BibTeX")


def run(args: argparse.Namespace) -> int:
    from ..catalog import find, page
    from ..core.config import describe, knobs
    from ..report.result import bibtex
    from .execute import about
    from .tables import columns

    entry = find(args.page)
    module = page(entry)
    system, fields, schema = module.system, about(entry, module), knobs(module.system.Config)
    presets = {name: preset.model_dump(mode="json") for name, preset in system.presets.items()}
    rows = [["setting", *presets, "takes", "what it is"]]
    for name, knob in schema.items():
        values = [str(preset[name]) for preset in presets.values()]
        rows.append([f"--{name.replace('_', '-')}", *values, describe(knob), knob.get("description", "")])
    takes = ", ".join(kind.__name__.lower() for kind in system.takes) or "nothing: it plays by itself"
    lines = [f"{entry.name} ({entry.year or 'yours'}): {fields['title']}", ""]
    lines += [f"{name:11} {fields[name]}" for name in ("paper", "idea", "deviations", "result") if name in fields]
    lines += [f"takes       {takes}", f"source      {module.__file__}", "", columns(rows)]
    papers = bibtex(fields.get("paper", ""))
    content = {"name": entry.name, "year": entry.year, **fields, "bibtex": papers, "settings": schema,
               "presets": presets}  # fmt: skip
    answer(args, content, papers if args.bibtex else "\n".join(lines))
    return 0
