"""compare RUN ...: what differs in settings and scores; runs that differ in their seed only are one group."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .groups import differing, gathered, settings_of
from .words import answer


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
    runs = []
    for folder in folders:
        config, report = read_json(folder, "config.json"), report_of(folder)
        runs.append({"run": folder.name, **report, "config": config})
    groups = gathered(runs)
    flat = [settings_of(members[0]["config"]) for members in groups]
    differ = differing(flat)
    scores = list(dict.fromkeys(name for g in groups for name in g[0]["scores"]))
    rows: list[list[str]] = [["runs", *differ, *scores, "seconds"]]
    content = []
    for members, item in zip(groups, flat, strict=True):
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
