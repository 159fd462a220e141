"""Draws docs/pictures/history.svg and writes docs/history.md, from docs/history.json and the runs that ship.

    python benchmarks/history.py [--check]

With --check nothing is written: the exit code is 1 where docs/history.md differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BEGIN = (
    "# Four curves of history\n\nWhat the best published systems reached on four tasks, with the source of each point; "
    "the rows are in [history.json](history.json), the picture and this page are made by `benchmarks/history.py`. Most "
    "values were read where others quote these papers, not in the papers themselves, and are not checked there yet.\n\n"
    "![Four curves over the years](pictures/history.svg)\n\nNo figure of ours stands in the curves: none was measured "
    "on these data. What the pages of this project reached on theirs stands below each table, and is not comparable."
)


def curves() -> dict[str, Any]:
    return json.loads((DOCS / "history.json").read_text(encoding="utf-8"))["curves"]


def text(found: dict[str, Any]) -> str:
    """docs/history.md."""
    lines = [BEGIN, ""]
    for name, curve in found.items():
        lines += [
            f"## {name}",
            "",
            f"{curve['what']}; {curve['note']}.",
            "",
            "| year | system | value | source |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {int(year)} | {who} | {value:g} {curve['unit']} | {source} |"
            for year, who, value, source in curve["rows"]
        ]
        lines += ["", "| page here | score | value | on |", "|---|---|---|---|"]
        for page in curve["pages"]:
            report = json.loads((ROOT / "milestones" / "shipped" / page / "report.json").read_text(encoding="utf-8"))
            key, score = next(iter(report["scores"].items()))
            told = f"{key} | {score['value']:.4g} {score['unit']} (one seed) | {score['data']}"
            lines.append(f"| [{page}](systems/{page}.md) | {told} |")
        lines.append("")
    return "\n".join(lines)


def draw(found: dict[str, Any], file: Path) -> None:
    """The four curves as an SVG whose words stay words."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "history", "font.size": 8}):
        figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
        for place, curve in zip(axes.flat, found.values(), strict=True):
            years, names, values, _ = zip(*curve["rows"], strict=True)
            place.plot(years, values, "o-", color="#1f5f8b", markersize=4)
            for year, name, value in zip(years, names, values, strict=True):
                place.annotate(f"{name} {value:g}", (year, value), xytext=(4, 5), textcoords="offset points")
            place.set_title(curve["what"], fontsize=9)
            place.set_ylabel(curve["unit"])
            place.set_ylim(0, max(values) * 1.15)
            place.set_xlim(min(years) - 0.4, max(years) + (max(years) - min(years)) * 0.35)
            place.xaxis.get_major_locator().set_params(integer=True)
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def main() -> int:
    found, page = curves(), DOCS / "history.md"
    if "--check" in sys.argv[1:]:
        return int(not page.exists() or page.read_text(encoding="utf-8") != text(found))
    page.write_text(text(found), encoding="utf-8")
    draw(found, DOCS / "pictures" / "history.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
