"""runs: what has been trained here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from .words import answer


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from ..catalog import state_of, user_runs
    from ..core.errors import UserError
    from ..core.folder import read_json
    from .tables import columns

    found: list[dict[str, Any]] = []
    rows = [["run", "state", "preset", "seed", "steps", "seconds", "began", "scores"]]
    for folder in user_runs(args.runs):
        item: dict[str, Any] = {"run": folder.name, "state": state_of(folder)["state"]}
        began = words = ""
        try:
            config, status = read_json(folder, "config.json"), state_of(folder)
            scores = read_json(folder, "report.json")["scores"] if (folder / "report.json").is_file() else {}
            item |= {name: config.get(name) for name in ("system", "preset", "seed", "began")}
            item |= {name: status.get(name) for name in ("step", "seconds")}
            item |= {
                "scores": {n: s["value"] for n, s in scores.items()},
                "units": {n: s["unit"] for n, s in scores.items()},
            }
            began = time.strftime("%Y-%m-%d %H:%M", time.localtime(config["began"]))
            words = ", ".join(f"{n} {s['value']:.4g} {s['unit']}" for n, s in scores.items())
        except (UserError, LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError) as problem:
            item |= {
                "state": "unreadable",
                "problem": f"{type(problem).__name__}: {problem}",
            }  # the others are still listed
        found.append(item)
        rows.append(
            [str(item.get(name, "")) for name in ("run", "state", "preset", "seed", "step", "seconds")] + [began, words]
        )
    nothing = f"no runs in {args.runs}; begin with: milestones train lenet"
    answer(args, {"runs": found}, columns(rows) if found else nothing)
    return 0
