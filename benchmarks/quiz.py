"""Make the curves of the studio's learning-rate quiz: real trainings of a few pages, each at four rates.

    python benchmarks/quiz.py [--runs FOLDER]

Each is `milestones train PAGE --lr RATE ...` with seed 0 on the embedded digits; what is kept of its log goes to
milestones/studio/quiz.json. With --runs the trainings are kept in FOLDER, and those that were finished there are taken.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import ROOT
from ship import mean

from milestones.core.folder import write_json
from milestones.report import files

ROUNDS = {  # page: updates, and the rates
    "mlp": (800, (3e-6, 1e-4, 2e-3, 1e-1)),
    "lenet": (600, (1e-5, 2e-4, 2.5e-3, 5e-2)),
}
POINTS = 60  # of a curve


def trained(page: str, steps: int, rate: float, root: Path) -> Path:
    """The run folder of one training, made unless it is there."""
    for folder in sorted(root.glob(f"{page}-*")):
        config = json.loads((folder / "config.json").read_text())
        done = json.loads((folder / "status.json").read_text())["state"] == "finished"
        if done and config["config"]["lr"] == rate and config["config"]["steps"] == steps and config["seed"] == 0:
            return folder
    before = set(root.glob(f"{page}-*"))
    words = ["train", page, "--steps", str(steps), "--lr", str(rate), "--plan", "contiguous/float32/2"]
    subprocess.run([sys.executable, "-m", "milestones", *words, "--runs", str(root)], check=True)
    (folder,) = set(root.glob(f"{page}-*")) - before
    return folder


def curve(folder: Path) -> dict[str, Any]:
    """Rate, steps, losses (means between points) and the final score of a run."""
    config = json.loads((folder / "config.json").read_text())
    lines = [line for line in files.log(folder)[0] if "loss" in line]
    size = -(-len(lines) // POINTS)
    points = [mean(lines[k : k + size]) for k in range(0, len(lines), size)]
    error = json.loads((folder / "report.json").read_text())["scores"]["error"]
    return {"rate": config["config"]["lr"], "x": [p["step"] for p in points],
            "y": [float(f"{p['loss']:.4g}") for p in points], "error": error["value"],
            "command": config["command"]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="keep the trainings here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        root = args.runs or Path(passing)
        rounds = [
            {"system": page, "steps": steps, "curves": [curve(trained(page, steps, rate, root)) for rate in rates]}
            for page, (steps, rates) in ROUNDS.items()
        ]
    write_json(ROOT / "milestones" / "studio" / "quiz.json", {"rounds": rounds})


if __name__ == "__main__":
    main()
