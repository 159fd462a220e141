"""runs: what has been trained here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from ..cli import answer


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..catalog import state_of, user_runs
    from ..core.errors import UserError
    from ..core.folder import read_json
    from .tables import columns

    found: list[dict[str, Any]] = []
    for folder in user_runs(args.runs):
        try:
            config = read_json(folder, "config.json")
        except UserError as problem:
            found.append({"run": folder.name, "state": "unreadable", "problem": str(problem)})
            continue
        status = state_of(folder)
        scores = read_json(folder, "report.json")["scores"] if (folder / "report.json").is_file() else {}
        found.append({
            "run": folder.name, "system": config.get("system"), "preset": config.get("preset"), "seed": config.get("seed"),
            "state": status["state"], "step": status.get("step"), "seconds": status.get("seconds"),
            "began": config.get("began"), "scores": {name: score["value"] for name, score in scores.items()},
            "units": {name: score["unit"] for name, score in scores.items()},
        })  # fmt: skip
    rows = [["run", "state", "preset", "seed", "steps", "seconds", "began", "scores"]]
    for item in found:
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(item["began"])) if item.get("began") else ""
        scores = ", ".join(f"{n} {v:.4g} {item['units'][n]}" for n, v in item.get("scores", {}).items())
        rows.append([str(item.get(name, "")) for name in ("run", "state", "preset", "seed", "step", "seconds")] + [began, scores])
    nothing = f"no runs in {args.runs}; begin with: milestones train lenet"
    answer(args, {"runs": found}, columns(rows) if found else nothing)
    return 0
