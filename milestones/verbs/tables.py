"""Reports and groups of runs as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.folder import read_json
from ..core.interval import spread
from .groups import scored
from .world import told as played

if TYPE_CHECKING:
    from ..core.score import Score


def score_of(content: Mapping[str, Any]) -> Score:
    """A Score from its JSON."""
    from ..core.score import Score  # not above: 'runs' shall not wait for torch

    return Score(**content)


def report_of(folder: Path) -> dict[str, Any]:
    """report.json of a run, checked as far as tables need it. UserError: missing, half-written, edited."""
    report = read_json(folder, "report.json")
    try:
        for score in report["scores"].values():
            str(score_of(score))
        if not isinstance(report["seconds"], int | float):
            raise TypeError("seconds that are no number")
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        got = f"{type(problem).__name__}: {str(problem)[:100]}"
        raise UserError(
            f"scores and seconds in report.json of {folder}", got, "Restore the file or train again"
        ) from None
    return report


def outcome_lines(folder: Path, report: Mapping[str, Any], short: bool = False) -> list[str]:
    """What a finished run says at its end."""
    scores = [f"{name}: {score_of(content)}" for name, content in report["scores"].items()]
    ended = "" if report["ended"] == "finished" else f" (ended early: {report['ended']})"
    head = f"{folder.name}: {report['steps']:,} steps in {report['seconds']:.1f} s{ended}"
    if short:
        return [head, *("  " + line for line in scores)]
    note = report.get("data", {}).get("note", "")
    wrong = [f"doctor: {one['sure']}: {one['says']}. {one['do']}." for one in report.get("findings", [])]
    share = f" {report['peak_share']:.0f} % of this machine's peak." if report.get("peak_share") else ""
    world = report.get("world")
    told = [played(world, report["seconds"])] if isinstance(world, dict) else []
    use = f"see it: milestones play {folder.name}" if told else f"use it: milestones use {folder.name} YOUR-FILE"
    return [
        head, *scores, *wrong, *filter(None, told), *([f"note: {note}"] if note and not told else []),
        *filter(None, [report.get("early")]), f"plan: {report['plan']}.{share}",
        f"report: {folder / 'report.html'}", use,
    ]  # fmt: skip


def group_lines(reports: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """The summary of runs that differ in their seed only: as lines, and as JSON."""
    group, lines = scored([report["scores"] for report in reports]), []
    for name, found in group.items():
        line = f"{name}: {found['mean']:.4g} {found['unit']}, mean of {found['n']} seeds"
        if "sd" in found:
            low, high = found["low"], found["high"]
            sample = max(report["scores"][name]["high"] - report["scores"][name]["low"] for report in reports) / 2
            line += f" (spread {found['sd']:.2g}; 95 % interval of the seeds [{low:.4g}, {high:.4g}]"
            line += f", of the test sample +-{sample:.2g}) on {found['data']}"
        lines.append(line)
    seconds = [report["seconds"] for report in reports]
    lines.append(f"training: {min(seconds):.1f} to {max(seconds):.1f} s a run")
    group["seconds"] = {"values": seconds, **spread(seconds)}
    return lines, group


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as aligned columns, two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
