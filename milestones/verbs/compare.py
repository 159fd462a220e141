"""compare RUN ...: what differs in settings and scores; runs that differ in their seed only are one group."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from .words import answer

SAME = ("system", "config", "choice", "from", "page_sha256", "members")  # in a group


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("which", metavar="RUN", nargs="*", help="run folders, names or pages [all finished runs here]")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..catalog import locate, state_of, user_runs
    from ..core.errors import UserError
    from ..core.folder import read_json
    from .tables import columns, group_lines, report_of, score_of

    folders = [locate(word, args.runs) for word in args.which]
    if not args.which:
        folders = [f for f in user_runs(args.runs) if state_of(f)["state"] == "finished"]
    if not folders:
        raise UserError("finished runs to compare", f"none in {args.runs}", "Name runs or train some")
    groups: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        config, report = read_json(folder, "config.json"), report_of(folder)
        same = {name: config.get(name) for name in SAME}
        groups.setdefault(json.dumps(same, sort_keys=True), []).append({"run": folder.name, **report, "settings": same})
    flat = [
        {
            "system": g[0]["settings"]["system"],
            "members": g[0]["settings"]["members"] or 1,
            **(g[0]["settings"]["choice"] or {}),
            **(g[0]["settings"]["config"] or {}),
        }
        for g in groups.values()
    ]
    names = list(dict.fromkeys(name for item in flat for name in item))
    differ = [name for name in names if len({json.dumps(item.get(name, "-")) for item in flat}) > 1]
    scores = list(dict.fromkeys(name for g in groups.values() for name in g[0]["scores"]))
    rows, content = [["runs", *differ, *scores, "seconds"]], []
    for members, item in zip(groups.values(), flat, strict=True):
        label = members[0]["run"] + (f" .. {members[-1]['run']}" if len(members) > 1 else "")
        found = group_lines(members)[1]
        cells = []
        for name in scores:
            if name not in found:
                cells.append("-")
            elif len(members) == 1:
                one = score_of(members[0]["scores"][name])
                cells.append(f"{one.value:.4g} {one.unit} [{one.low:.4g}, {one.high:.4g}]")
            else:
                many = found[name]
                cells.append(f"{many['mean']:.4g} {many['unit']} +-{many['sd']:.2g} ({many['n']} seeds)")
        rows.append([label, *(str(item.get(name, "-")) for name in differ), *cells, f"{found['seconds']['mean']:.1f}"])
        content.append(
            {"runs": [m["run"] for m in members], "differs": {n: item.get(n) for n in differ}, "scores": found}
        )
    answer(args, {"groups": content}, columns(rows))
    return 0
