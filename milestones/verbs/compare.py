"""compare RUN ...: what differs in settings and scores; runs that differ in their seed only are one group. Where they
logged a return, or the --curve that is named, their learning curves are drawn."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .groups import differing, gathered, settings_of
from .words import answer

if TYPE_CHECKING:
    from pathlib import Path


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "which", metavar="RUN", nargs="*", help="run folders, names, or pages: all their finished runs here [all]"
    )
    parser.add_argument("--curve", default="", metavar="NAME", help="of the logs, to be drawn, as loss [return]")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..core.errors import UserError
    from ..core.folder import read_json
    from .tables import columns, group_lines, report_of, score_of

    folders = [folder for word in args.which for folder in named(word, args.runs)] or finished(args.runs)
    if not folders:
        raise UserError("finished runs to compare", f"none in {args.runs}", "Name runs or train some")
    runs = []
    for folder in folders:
        config, report = read_json(folder, "config.json"), report_of(folder)
        runs.append({"run": folder.name, **report, "config": config})
    places = dict(zip((folder.name for folder in folders), folders, strict=True))
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
                interval = f"[{many['low']:.4g}, {many['high']:.4g}]"
                cells.append(f"{many['mean']:.4g} {many['unit']} {interval} ({many['n']} seeds)")
        rows.append([label, *(str(item.get(name, "-")) for name in differ), *cells, f"{found['seconds']['mean']:.1f}"])
        content.append(
            {"runs": [m["run"] for m in members], "differs": {n: item.get(n) for n in differ}, "scores": found}
        )
    whole = drawn(args, groups, content, rows, places)
    brackets = "[95 %]: of the seeds where there are several, else of the test sample"
    text = [columns(rows), *([brackets] if scores else []), *whole.pop("lines")]
    answer(args, {"groups": content, **whole}, "\n".join(text))
    return 0


def finished(root: str, page: str = "*") -> list[Path]:
    """The finished runs here, of a page or of all."""
    from ..catalog import state_of, user_runs

    return [folder for folder in user_runs(root, page) if state_of(folder)["state"] == "finished"]


def named(word: str, root: str) -> list[Path]:
    """The run that a word names; of a page all its finished runs here, else the one that ships. UserError: none."""
    from ..catalog import locate

    return finished(root, word.removesuffix(".py")) or [locate(word, root)]


def drawn(args: argparse.Namespace, groups: Sequence[Sequence[Mapping[str, Any]]], content: list[dict[str, Any]],
          rows: list[list[str]], places: Mapping[str, Path]) -> dict[str, Any]:  # fmt: skip
    """Curves and robust figures of the groups, in a folder of their own; {"lines": []} where there is nothing to draw.
    UserError: no log has the curve that was named."""
    from pathlib import Path

    from ..core.errors import UserError
    from ..core.folder import next_folder, write_json, write_whole
    from ..report import files
    from ..report.compared import html_of
    from .contest import curve, lines, together

    name = args.curve or "return"
    logs = [[files.log(places[run["run"]])[0] for run in group] for group in groups]
    curves = [curve(group, mine, name) for group, mine in zip(groups, logs, strict=True)]
    aggregates = together(groups)
    if not any(curves):
        if args.curve:
            names = dict.fromkeys(key for mine in logs for log in mine for line in log for key in line)
            known = ", ".join(key for key in names if key not in ("stage", "step", "seconds", "vitals"))
            raise UserError(f"a curve of these runs: {known}", f"--curve {name}", "Take one of them", "compare")
        if not aggregates:
            return {"lines": []}
    found = {"curve": name, "table": rows, "aggregates": aggregates, "groups": [
        {"label": row[0], **one, "curve": each} for row, one, each in zip(rows[1:], content, curves, strict=True)
    ]}  # fmt: skip
    folder = next_folder(Path(args.runs), "compare")
    write_json(folder / "compare.json", found)
    write_whole(folder / "report.html", html_of(found).encode())
    said = [*lines(aggregates), f"report: {folder / 'report.html'}"]
    return {"compare": str(folder), "aggregates": aggregates, "curves": curves, "lines": said}
