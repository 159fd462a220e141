"""Trainings of five pages are killed at random moments: does each go on to the same bits?

    ./go bench killed [--kills 200] [--only PAGE ...] [--quick] [--fresh]      # a quarter of an hour on one core

A process trains a small model and saves every few steps. At a random moment of the time that it takes, from its first
file to its last, it gets SIGKILL, which nobody can catch. A new process resumes the run to its end. Its weights, its
log but for the seconds, its scores and what it showed must be those, byte for byte, of a run that nobody disturbed.
Killed runs that had not yet written their config.json are no runs: they count as early and are tried again, and those
that had ended before they could be killed as late. The pages take turns in parts of five kills, so that a campaign that
was stopped has something of each. tests/contract/test_trust.py does the same a few times.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _results import Results
from measure import ROOT, Value, say, table

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

# A loop over data, a text, a replay ring, self-play, two nets that are trained in turns; each longer than in the tests.
PAGES: dict[str, dict[str, Any]] = {
    "lenet": {"steps": 200}, "charrnn": {"steps": 150}, "dqn": {"steps": 300}, "alphazero": {"steps": 30},
    "gan": {"steps": 100},
}  # fmt: skip
EVERY = 3  # steps between two states
PART = 5  # kills that are measured together
SECONDS = 600  # that a run may take
COUNTS = ("kills", "failed", "with a state", "written aside", "scored", "early", "late")
SHOWN = 5  # runs that are told of where they did not go on to the same bits


class Trials:
    """Runs of one page that are killed, resumed and compared."""

    def __init__(self, name: str, root: Path) -> None:
        from contract import children, tiny

        facts = tiny.of(name)
        data, target = tiny.data(facts.data, root)
        self.name, self.root, self.train = name, root, children.train
        self.settings = {**facts.settings, **PAGES[name]}
        self.order = {"data": data, "target": target, "plan": children.PLAN}
        spans = []
        for turn in ("warm", "whole"):  # the first process also imports
            began = time.monotonic()
            child = self.start(root / turn)
            while not (root / turn / f"{name}-1" / "config.json").exists() and child.is_alive():
                time.sleep(0.002)
            first = time.monotonic() - began
            joined(child)
            spans.append((first, time.monotonic() - began))
        self.whole = root / "whole" / f"{name}-1"
        self.first, self.last = map(min, zip(*spans, strict=True))  # others may have held up one of them
        self.wanted = contents(self.whole)

    def start(self, root: Path, resume: str = "") -> Any:
        words: Any = {"every": EVERY, "resume": resume, "said": str(self.root / "said.txt")}
        (self.root / "said.txt").unlink(missing_ok=True)
        given = (str(root), self.name, self.settings, self.order)
        server = multiprocessing.get_context("forkserver")
        child = server.Process(target=self.train, args=given, kwargs=words, daemon=True)
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
        joined(again)
        found = contents(folder) if again.exitcode == 0 else {}
        unlike = sorted(name for name in self.wanted.keys() | found.keys() if self.wanted.get(name) != found.get(name))
        told["kills"] += 1
        if unlike:
            said = (self.root / "said.txt").read_text()[-300:] if (self.root / "said.txt").exists() else ""
            told["unlike"].append({"trial": number, "second": round(moment, 3), "code": again.exitcode,
                                   "files": unlike[:8], "said": said})  # fmt: skip
        shutil.rmtree(place, ignore_errors=True)
        return True


def joined(child: Any) -> None:
    """Wait for a process; seconds in which this one is stopped, too, do not count."""
    for _ in range(SECONDS):
        child.join(1.0)
        if not child.is_alive():
            return


def contents(folder: Path) -> dict[str, Any]:
    """What must be equal: weights and shows as bytes, the log but for the seconds, scores, the state that is told."""
    found: dict[str, Any] = {path.relative_to(folder).as_posix(): path.read_bytes()
                             for path in [folder / "weights.safetensors", *(folder / "shows").glob("*")]}  # fmt: skip
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    found["log.jsonl"] = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    found["scores"] = json.loads((folder / "report.json").read_text())["scores"]
    found["state"] = json.loads((folder / "status.json").read_text())["state"]
    found["left aside"] = [path.name for path in folder.rglob(".*")]
    return found


def campaign(trials: Callable[[str], Trials], name: str, first: int, count: int) -> Value:
    """So many kills of one page, the first with this number."""
    page = trials(name)
    told: Value = {"kills": 0, "unlike": [], "early": 0, "late": 0, "with a state": 0, "written aside": 0, "scored": 0}
    while told["kills"] < count:
        page.kill(first + told["kills"], told)
    return {**told, "unlike": told["unlike"][:SHOWN], "failed": len(told["unlike"]),
            "between_s": [round(page.first, 2), round(page.last, 2)], "settings": page.settings,
            "saved every": EVERY}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of all pages together [200]")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE")
    parser.add_argument("--quick", action="store_true", help="one kill a page, written aside")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    package, tests = ROOT / "milestones", ROOT / "tests" / "contract"
    files = [*(package / "core").glob("*.py"), *(package / "systems" / f"{name}.py" for name in PAGES),
             package / "verbs" / "execute.py", tests / "children.py", Path(__file__)]  # fmt: skip
    results = Results("killed", files, sys.executable, args.fresh, args.quick, every=EVERY)
    pages = [f"milestones.systems.{name}" for name in PAGES]
    known = ["contract.children", "milestones.verbs.execute", "matplotlib", *pages]
    multiprocessing.get_context("forkserver").set_forkserver_preload(known)
    each = 1 if args.quick else -(-args.kills // len(PAGES))
    with tempfile.TemporaryDirectory() as root:
        trials = functools.cache(lambda name: Trials(name, Path(tempfile.mkdtemp(prefix=name, dir=root))))
        for first in range(0, each, PART):
            count = min(PART, each - first)
            for name in args.only:
                key = f"{name}, kills {first + 1} to {first + count}"
                work = functools.partial(campaign, name=name, first=first, count=count, trials=trials)
                part = results.part(key, work)
                say(f"{name}: {part['kills']} kills, {part['failed']} not resumed to the same bytes {part['unlike']}")
                results.write(**summed(results.content["parts"]))
    summary = results.content["summary"]
    rows = [[name, *(str(page[count]) for count in COUNTS)] for name, page in summary["pages"].items()]
    say(table(["page", *COUNTS], rows))
    say(f"written to {results.path}")
    return 1 if summary["failed"] else 0


def summed(parts: dict[str, Value]) -> Value:
    """Counts of each page and of all."""
    pages: dict[str, Value] = {}
    for key, part in parts.items():
        page = pages.setdefault(key.partition(",")[0], dict.fromkeys(COUNTS, 0))
        for name in COUNTS:
            page[name] += part[name]
    return {"kills": sum(page["kills"] for page in pages.values()), "pages": pages,
            "failed": sum(page["failed"] for page in pages.values())}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
