"""How long one waits for the studio, and what its watching costs a training; in real Chromium.

    ./go bench studio [--repeats 7] [--quick] [--fresh]

Ready: from the command to the first view drawn. First point: from the end of the first step (by the log's own clock) to
the first curve drawn. Updates: how often a second the view's step changes. Watching: LeNet's training (800 updates),
alternating a plain `milestones train` without a studio, and one that the studio started and a browser shows; seconds
are the run's own, from the first step to the last; the studio has been open for 20 s. Many: 100 runs of 100,000 points
each, from a click to the list, and from a click to the curves of all. Maps: from the end of a drawn line to the frame
that shows its maps.
Targets: ready 2 s, first point 1 s, 10 updates a second, watched / alone at most 1.03, listed and drawn 1 s each,
maps 0.05 s.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import HERE, ROOT, Value, ask, ratios, say, spread, table

TARGETS = {
    "ready": 2.0,
    "first_point": 1.0,
    "updates": 10.0,
    "watched": 1.03,
    "listed": 1.0,
    "drawn": 1.0,
    "shown": 0.05,
}
MILESTONES = [sys.executable, "-P", "-m", "milestones"]
COUNT = """() => new Promise((done) => {
  let count = 0;
  const watch = new MutationObserver(() => { count++; });
  watch.observe(document.querySelector('.status .now'), { childList: true, characterData: true, subtree: true });
  setTimeout(() => { watch.disconnect(); done(count); }, 5000);
})"""


class Studio:
    """A studio process over a folder, and a page of Chromium in it."""

    def __init__(self, folder: Path, chromium: Any) -> None:
        self.folder, self.began = folder, time.perf_counter()
        self.process = subprocess.Popen([*MILESTONES, "studio", "--quiet", "--port", "0"], cwd=folder,
                                        stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert self.process.stderr is not None
        link = next(re.search(r"http://\S+", line) for line in self.process.stderr if "/enter?key=" in line)
        assert link is not None
        self.printed = time.perf_counter() - self.began
        self.context = chromium.new_context(viewport={"width": 1280, "height": 800})
        self.page = self.context.new_page()
        self.page.goto(link[0])
        self.page.wait_for_selector("#view[data-ready=timeline]")
        self.drawn = time.perf_counter() - self.began

    def show(self, address: str) -> None:
        self.page.evaluate("(a) => { document.getElementById('view').dataset.ready = ''; location.hash = a; }", address)
        self.page.wait_for_selector('#view:not([data-ready=""])[data-ready]', timeout=60_000)

    def end(self) -> None:
        self.context.close()
        self.process.kill()
        self.process.communicate()


def ready(folder: Path, chromium: Any, question: Value) -> Value:
    """Seconds from the command to the link printed, and to the first view drawn."""
    found: dict[str, list[float]] = {"printed": [], "drawn": []}
    for _ in range(question["repeats"] + 1):
        studio = Studio(folder, chromium)
        studio.end()
        found["printed"].append(studio.printed)
        found["drawn"].append(studio.drawn)
    return {name: values[1:] for name, values in found.items()}  # the first one fills the disk's cache


def train(studio: Studio, settings: str) -> tuple[Path, float]:
    """Start a training in the page; its folder, and the seconds from the end of its first step to its first curve."""
    before = set((studio.folder / "runs").glob("lenet-*"))
    studio.show(f"#/train/lenet?{settings}")
    studio.page.get_by_role("button", name="Train", exact=True).click()
    while not (
        made := [path for path in (studio.folder / "runs").glob("lenet-*/log.jsonl") if path.parent not in before]
    ):
        time.sleep(0.002)
    seen, lines = time.perf_counter(), []
    while not lines:
        lines = [json.loads(line) for line in made[0].read_text().splitlines()]
    written = max(line["seconds"] for line in lines) - min(line["seconds"] for line in lines)
    studio.page.wait_for_selector(".plot canvas", timeout=60_000)
    return made[0].parent, time.perf_counter() - seen + written


def finished(folder: Path) -> float:
    """Seconds that the run trained, once it has ended."""
    while not (folder / "report.json").exists():
        time.sleep(0.1)
    return float(json.loads((folder / "report.json").read_text())["seconds"])


def live(folder: Path, chromium: Any, question: Value) -> Value:
    """Of each training: seconds to the first curve, and updates a second in the view."""
    studio = Studio(folder, chromium)
    found: dict[str, list[float]] = {"first_point": [], "updates": []}
    for number in range(question["repeats"]):
        run, first = train(studio, f"steps={question['steps']}&seed={number}")
        found["first_point"].append(first)
        found["updates"].append(studio.page.evaluate(COUNT) / 5)
        (run / "stop").touch()
        finished(run)
    studio.end()
    return found


def watched(folder: Path, chromium: Any, question: Value) -> Value:
    """Seconds of the same training alone and watched, in turns."""
    found: dict[str, list[float]] = {"alone": [], "watched": []}
    for number in range(question["repeats"] + 1):  # the first one measures the plan, and warms up
        for who in ("alone", "watched") if number % 2 else ("watched", "alone"):
            if who == "alone":
                words = ["train", "lenet", "--steps", str(question["steps"]), "--seed", str(number), "--json"]
                done = subprocess.run([*MILESTONES, *words], cwd=folder, capture_output=True, text=True, check=True)
                seconds = float(json.loads(done.stdout)["seconds"])
            else:
                studio = Studio(folder, chromium)
                time.sleep(SETTLED)  # watching is measured, not the studio's own start, which loads PyTorch
                seconds = finished(train(studio, f"steps={question['steps']}&seed={number}")[0])
                studio.end()
            if number:
                found[who].append(seconds)
    return found


def many(folder: Path, chromium: Any, question: Value) -> Value:
    """Seconds from a click to the list of all runs, and from a click to all their curves."""
    ship = ROOT / "milestones" / "shipped" / "mlp"
    for number in range(1, question["runs"] + 1):
        run = folder / "runs" / f"mlp-{number}"
        shutil.copytree(ship, run)
        with open(run / "log.jsonl", "w", encoding="utf-8") as file:
            for step in range(1, question["points"] + 1):
                loss = 2.3 / (1 + step / (500 + 10 * number)) + 0.02 * ((step * 7919) % 101) / 101
                file.write(f'{{"stage": "train", "step": {step}, "seconds": {step / 100}, "loss": {loss:.6g}}}\n')
    studio = Studio(folder, chromium)
    found: dict[str, list[float]] = {"listed": [], "drawn": []}
    for _ in range(question["repeats"] + 1):
        studio.show("#/")
        began = time.perf_counter()
        studio.show("#/runs")
        studio.page.wait_for_selector("text=mlp-1")
        found["listed"].append(time.perf_counter() - began)
        began = time.perf_counter()
        studio.page.get_by_label("Select all runs of the list").check()
        studio.page.wait_for_selector(".beside canvas", timeout=60_000)
        found["drawn"].append(time.perf_counter() - began)
    studio.end()
    return {"first": {name: values[0] for name, values in found.items()},
            **{name: values[1:] for name, values in found.items()}}  # fmt: skip


def maps(folder: Path, chromium: Any, question: Value) -> Value:
    """Seconds from a digit's end of a line to the frame that shows its maps, by the page's own marks."""
    studio = Studio(folder, chromium)
    studio.show("#/use/shipped%3Alenet")
    found: list[float] = []
    for number in range(5 * question["repeats"] + 2):
        box = studio.page.locator("canvas.pad").bounding_box(timeout=60_000)
        studio.page.evaluate("performance.clearMarks()")
        x = box["x"] + box["width"] * (0.3 + 0.05 * (number % 8))
        studio.page.mouse.move(x, box["y"] + 0.2 * box["height"])
        studio.page.mouse.down()
        studio.page.mouse.move(x, box["y"] + 0.8 * box["height"], steps=4)
        studio.page.mouse.up()
        marks = "(name) => performance.getEntriesByName(name).at(-1)?.startTime ?? -1"
        studio.page.wait_for_function(
            "() => { const at = (n) => performance.getEntriesByName(n).at(-1)?.startTime ?? -1;"
            " return at('use:drawn') >= 0 && at('use:shown') > at('use:drawn'); }",
            timeout=60_000,
        )
        found.append((studio.page.evaluate(marks, "use:shown") - studio.page.evaluate(marks, "use:drawn")) / 1000)
    studio.end()
    return {"shown": found[2:]}  # the first ones wait for PyTorch


SETTLED = 20.0  # seconds after the start until the studio waits

PARTS = {"ready": ready, "live": live, "watched": watched, "many": many, "maps": maps}


def worker(question: Value) -> Value:
    """One part, in a process of its own."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        sys.exit("no Chromium. Install it: apt-get install chromium")
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as root, sync_playwright() as made:
        os.environ["XDG_CACHE_HOME"] = f"{root}/.cache"  # one plan for all trainings of a part
        chromium = made.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found = PARTS[question["part"]](Path(root), chromium, question)
        chromium.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--only", default="", help=f"one part: {', '.join(PARTS)}")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.worker:
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    pages = [p for p in (ROOT / "milestones" / "studio").rglob("*") if p.suffix in (".py", ".js", ".css", ".html")]
    files = [*project("lenet"), Path(__file__), *pages]
    results = Results("studio", files, sys.executable, args.fresh, args.quick, targets=TARGETS, repeats=args.repeats)
    repeats = 1 if args.quick else args.repeats
    questions: dict[str, Value] = {
        "ready": {"repeats": repeats},
        "live": {"repeats": repeats, "steps": 4000},
        "watched": {"repeats": repeats, "steps": 100 if args.quick else 800},
        "maps": {"repeats": repeats},
        "many": {"repeats": repeats, "runs": 100, "points": 1000 if args.quick else 100_000},
    }
    rows, summary = [], {}
    for part in [args.only] if args.only else PARTS:
        command = [sys.executable, str(HERE / "studio.py"), "--worker"]
        tries = 1 if args.quick else measure.TRIES
        found = results.part(part, functools.partial(ask, command, {"part": part, **questions[part]}, None, tries))
        spreads = {name: spread(found[name]) for name in found if isinstance(found[name], list) and name != "rejected"}
        if part == "watched":
            spreads["watched / alone"] = ratios(found["watched"], found["alone"])
        summary[part] = {**spreads, "dirty": found["dirty"], "foreign": found["foreign"]}
        for name, value in spreads.items():
            goal = {"drawn": TARGETS["ready"] if part == "ready" else TARGETS["drawn"],
                    "watched / alone": TARGETS["watched"], "watched": None}.get(name, TARGETS.get(name))  # fmt: skip
            met = goal is None or (value["median"] >= goal if name == "updates" else value["median"] <= goal)
            rows.append([f"{part}: {name}", f"{value['median']:.3f}", f"{value['min']:.3f}-{value['max']:.3f}",
                         "" if goal is None else f"{goal}", "" if goal is None else "yes" if met else "MISSED",
                         f"{found['foreign']:.0f}{' DIRTY' if found['dirty'] else ''}"])  # fmt: skip
    results.write(cases=summary)
    say(table(["", "median", "all", "target", "met", "others, %"], rows))
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
