"""Half an hour of everything in one process: does it grow?

    ./go bench soak [--minutes 30] [--quick] [--fresh]

Half of the time a process trains a page for a few updates, stops, resumes, reads the run and uses it on pictures, again
and again; the other half it trains one net without a pause. After each cycle, and every few seconds of the long
training, its memory, its open files, its threads and its log are noted. Stated: after the first third memory grows by
at most 20 MB, the number of open files and of threads not at all, and the log has at most one line for each window of
updates (a five-hundredth of all, at most 100) and one of findings. Parts that were measured are kept.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, ask, say

MOST_MB = 20.0
STEPS = 3_000_000  # of the long training: more than there is time for


def noted(began: float) -> list[float]:
    """Seconds since it began, megabytes in memory, open files, threads."""
    with open("/proc/self/statm", encoding="ascii") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return [round(time.monotonic() - began, 2), round(memory, 2), len(os.listdir("/proc/self/fd")),
            len(os.listdir("/proc/self/task"))]  # fmt: skip


def cycles(minutes: float, root: Path) -> Value:
    """Train, stop, resume, load, use: notes after each cycle."""
    import shutil

    import numpy as np

    from milestones.catalog import load
    from milestones.media import Image
    from milestones.verbs.execute import Order, begin, go_on

    began, notes = time.monotonic(), list[list[float]]()
    pictures = [Image(np.random.default_rng(k).integers(0, 256, (28, 28), np.uint8)) for k in range(8)]
    while time.monotonic() < began + 60 * minutes:
        settings = {"steps": 40, "batch": 32}
        outcome = begin("lenet", settings, Order(plan="contiguous/float32/1", minutes=0.005), root)
        go_on(outcome.folder, "", None, lambda _: None)
        load(str(outcome.folder)).use(pictures)
        shutil.rmtree(outcome.folder)
        notes.append(noted(began))
    return {"notes": notes}


def training(minutes: float, root: Path) -> Value:
    """One long training: notes every few seconds, and at its end what the log has come to."""
    from milestones.core.run import LONGEST_WINDOW
    from milestones.verbs.execute import Order, begin

    began, notes = time.monotonic(), list[list[float]]()

    def watch(progress: Any) -> None:
        if not notes or time.monotonic() > began + notes[-1][0] + min(5.0, 2 * minutes):
            notes.append(noted(began))

    order = Order(plan="contiguous/float32/1", minutes=minutes)
    outcome = begin("lenet", {"steps": STEPS, "batch": 32}, order, root, watch=watch)
    log = (outcome.folder / "log.jsonl").read_bytes()
    vitals = log.count(b'"vitals"')
    window = max(1, min(LONGEST_WINDOW, STEPS // 500))
    return {"notes": notes, "updates": outcome.report["steps"], "window": window, "log_lines": log.count(b"\n"),
            "log_findings": vitals, "log_bytes": len(log)}  # fmt: skip


def grown(notes: list[list[float]]) -> Value:
    """What came of it: growth from the end of the first third on, each as the highest of the last third less the
    highest of the second."""
    third = max(1, len(notes) // 3)
    second, last = notes[third : 2 * third] or notes, notes[2 * third :] or notes
    memory, handles, threads = (max(n[k] for n in last) - max(n[k] for n in second) for k in (1, 2, 3))
    return {"notes": len(notes), "minutes": round(notes[-1][0] / 60, 2), "memory_mb": max(n[1] for n in notes),
            "memory_grown_mb": round(memory, 2), "handles": notes[-1][2], "handles_grown": handles,
            "threads_grown": threads}  # fmt: skip


def kept_its_word(part: Value) -> bool:
    """Whether nothing grew by more than is stated."""
    log = "updates" not in part or part["log_lines"] <= part["updates"] / part["window"] + 2 + part["log_findings"]
    return part["memory_grown_mb"] <= MOST_MB and part["handles_grown"] <= 0 and part["threads_grown"] <= 0 and log


def worker(question: Value) -> Value:
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        found = {"cycles": cycles, "training": training}[question["kind"]](question["minutes"], Path(root))
    notes = found.pop("notes")
    return {**found, **grown(notes), "some": notes[:: max(1, len(notes) // 40)]}


def main() -> int:
    if "--worker" in sys.argv:  # asked by this script itself
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of both halves together [30]")
    parser.add_argument("--quick", action="store_true", help="one minute, written aside; says little of growth")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    half = 0.5 if args.quick else args.minutes / 2
    files = [*project("lenet"), ROOT / "milestones" / "verbs" / "execute.py", Path(__file__)]
    results = Results("soak", files, sys.executable, args.fresh, args.quick, most_mb=MOST_MB)
    bad = 0
    for kind in ("cycles", "training"):
        question, words = {"kind": kind, "minutes": half}, [sys.executable, __file__, "--worker"]
        part = results.part(f"{kind}, {half:g} min", functools.partial(ask, words, question, tries=1))
        bad += not kept_its_word(part)
        say(f"{kind}: {part['minutes']:.1f} min, {part['notes']} notes; memory {part['memory_mb']:.0f} MB, grown by "
            f"{part['memory_grown_mb']:+.1f} MB; {part['handles']} handles, grown by {part['handles_grown']:+d}"
            + (f"; {part['updates']:,} updates, log of {part['log_lines']:,} lines, {part['log_bytes']:,} bytes"
               if "updates" in part else ""))  # fmt: skip
    results.write(broken=bad)
    say(f"written to {results.path}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
