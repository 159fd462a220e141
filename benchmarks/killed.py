"""Trainings of five pages are killed at random moments: does each go on to the same bits?

    ./go bench killed [--kills 200] [--only PAGE ...] [--fresh]        # about half an hour on one core

A process trains a small model and saves every few steps. At a random moment of the time that it takes, from its first
file to its last, it gets SIGKILL, which nobody can catch. A new process resumes the run to its end. Its weights, its
log but for the seconds, its scores and what it showed must be those, byte for byte, of a run that nobody disturbed.
Killed runs that had not yet written their config.json are no runs: they count as early and tried again, and those
that had ended before they could be killed as late. tests/contract/test_trust.py does the same a few times.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import Results
from measure import ROOT, Value, say, table

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

# A loop over data, a text, a replay ring, self-play, two nets that are trained in turns; each longer than in the tests.
PAGES: dict[str, dict[str, Any]] = {
    "lenet": {"steps": 400}, "charrnn": {"steps": 300}, "dqn": {"steps": 600}, "alphazero": {"steps": 60},
    "gan": {"steps": 200},
}  # fmt: skip
EVERY, SECONDS, SHOWN = 3, 600, 5


class Trials:
    """Runs of one page that are killed, resumed and compared."""

    def __init__(self, name: str, root: Path) -> None:
        from contract import children, tiny

        facts = tiny.of(name)
        data, target = tiny.data(facts.data, root)
        self.name, self.root, self.train = name, root, children.train
        self.settings = {**facts.settings, **PAGES[name]}
        self.order = {"data": data, "target": target, "plan": children.PLAN}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["contract.children", "milestones.verbs.execute", "matplotlib",
                                             f"milestones.systems.{name}"])  # fmt: skip
        began, first = 0.0, 0.0
        for turn in ("warm", "whole"):  # the first process also imports
            began = time.monotonic()
            child = self.start(root / turn)
            while not (root / turn / f"{name}-1" / "config.json").exists() and child.is_alive():
                time.sleep(0.002)
            first = time.monotonic() - began
            child.join(SECONDS)
        self.whole = root / "whole" / f"{name}-1"
        self.first, self.last = first, time.monotonic() - began
        self.wanted = contents(self.whole)

    def start(self, root: Path, resume: str = "") -> Any:
        words: Any = {"every": EVERY, "resume": resume, "said": str(self.root / "said.txt")}
        child = self.context.Process(target=self.train, args=(str(root), self.name, self.settings, self.order),
                                     kwargs=words, daemon=True)  # fmt: skip
        child.start()
        return child

    def kill(self, number: int, told: Value) -> bool:
        """One run that is killed and resumed; False if the moment was too early or too late."""
        chance = random.Random(f"{self.name} {number} {told['early']} {told['late']}")
        place, moment = self.root / f"killed-{number}", chance.uniform(0.9 * self.first, self.last)
        shutil.rmtree(place, ignore_errors=True)
        child = self.start(place)
        time.sleep(moment)
        child.kill()
        child.join()
        folder = place / f"{self.name}-1"
        if child.exitcode != -9 or not (folder / "config.json").exists():
            told["late" if child.exitcode != -9 else "early"] += 1
            return False
        states = list((folder / "state").glob("*.safetensors")) if (folder / "state").exists() else []
        told["with a state"] += bool(states)
        told["written aside"] += any(folder.rglob(".*"))
        told["scored"] += (folder / "report.json").exists()
        again = self.start(place, str(folder))
        again.join(SECONDS)
        found = contents(folder) if again.exitcode == 0 else {}
        unlike = sorted(name for name in self.wanted.keys() | found.keys() if self.wanted.get(name) != found.get(name))
        told["kills"] += 1
        if unlike:
            said = (self.root / "said.txt").read_text()[-300:] if (self.root / "said.txt").exists() else ""
            told["unlike"].append({"trial": number, "second": round(moment, 3), "code": again.exitcode,
                                   "files": unlike[:8], "said": said})  # fmt: skip
        shutil.rmtree(place, ignore_errors=True)
        return True


def contents(folder: Path) -> dict[str, Any]:
    """What must be equal: weights and shows as bytes, the log but for the seconds, scores, the state that is told."""
    import json

    found: dict[str, Any] = {path.relative_to(folder).as_posix(): path.read_bytes()
                             for path in [folder / "weights.safetensors", *(folder / "shows").glob("*")]}  # fmt: skip
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    found["log.jsonl"] = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    found["scores"] = json.loads((folder / "report.json").read_text())["scores"]
    found["state"] = json.loads((folder / "status.json").read_text())["state"]
    found["left aside"] = [path.name for path in folder.rglob(".*")]
    return found


def campaign(name: str, kills: int) -> Value:
    """So many kills of one page."""
    with tempfile.TemporaryDirectory() as root:
        trials = Trials(name, Path(root))
        told: Value = {"kills": 0, "unlike": [], "early": 0, "late": 0, "with a state": 0, "written aside": 0,
                       "scored": 0}  # fmt: skip
        while told["kills"] < kills:
            trials.kill(told["kills"], told)
        span = [round(trials.first, 2), round(trials.last, 2)]
    return {**told, "unlike": told["unlike"][:SHOWN], "failed": len(told["unlike"]), "between_s": span,
            "settings": trials.settings, "saved every": EVERY}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of all pages together")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    package = ROOT / "milestones"
    files = [*(package / "core").glob("*.py"), package / "verbs" / "execute.py", ROOT / "tests/contract/children.py"]
    results = Results("killed", [*files, Path(__file__)], sys.executable, args.fresh)
    each = -(-args.kills // len(PAGES))
    for name in args.only:
        part = results.part(f"{name}, {each}", lambda n=name: campaign(n, each))  # type: ignore[misc]
        say(f"{name}: {part['kills']} kills, {part['failed']} not resumed to the same bytes; {part['unlike']}")
    parts = results.content["parts"]
    results.write(kills=sum(part["kills"] for part in parts.values()), pages=len(parts),
                  failed=sum(part["failed"] for part in parts.values()))  # fmt: skip
    columns = ("kills", "failed", "with a state", "written aside", "scored", "early", "late")
    say(table(["page", *columns], [[key.split(",")[0], *(str(p[c]) for c in columns)] for key, p in parts.items()]))
    say(f"written to {results.path}")
    return 1 if results.content["summary"]["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
