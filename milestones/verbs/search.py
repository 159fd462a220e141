"""Who leads a tuning: the run of the defaults, the search, its control, the winner beside the defaults, the report."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..catalog import Entry, find, page, state_of
from ..core.config import knobs
from ..core.errors import UserError, nearest
from ..core.folder import held, next_folder, read_json, write_whole
from ..report import files
from . import architecture, trials
from .execute import Outcome, begin, command
from .journal import CONTROL, SEARCH, importance, opened, quiet, told
from .progress import Line
from .space import LENGTHS, space
from .trials import Judge, Tuning, best_of
from .tune import MINUTES, ranges_of, shown

ALIKE = 0.1  # of the time: from here on the defaults are given more or fewer updates
AFTER = 2.2  # times the defaults' run: what is kept of the time for the winner and the defaults
FEW = 8  # trials below which a search says little


class Lead:
    """One call of `tune` that leads a study, or joins it."""

    def __init__(self, args: argparse.Namespace, say: Callable[[str], None]) -> None:
        self.args, self.say, self.begun, self.interrupted = args, say, time.time(), False
        minutes = args.minutes if args.minutes is not None else MINUTES if args.trials is None else math.inf
        self.ends = self.begun + 60 * minutes

    def begin(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A new study. UserError on bad input, before a folder is made or with none left."""
        args, entry = self.args, find(self.args.page)
        system = page(entry).system
        preset = args.preset or "quick"
        if preset not in system.presets:
            raise UserError(f"a preset of this page: {', '.join(system.presets)}", repr(preset),
                            nearest(preset, system.presets, "Leave --preset out for quick"), entry.name)  # fmt: skip
        order = {"data": args.data, "target": args.target, "split": args.split,
                 "skip_unreadable": args.skip_unreadable, "plan": args.plan, "device": args.device}  # fmt: skip
        empty = Tuning(Path(), args.page, entry.name, preset, dict(given), {}, order, args.seed, [], args.architecture,
                       Judge("", "", False), {})  # fmt: skip
        values = trials.knobs_of(empty, {}).model_dump(mode="json")
        if not any(name in values for name in LENGTHS):
            want, do = f"a page that trains for a number of {' or '.join(LENGTHS)}", "Tune another page"
            raise UserError(want, "one without", do, entry.name)
        ranges = space(entry.name, knobs(system.Config), values, args.over, list(given), ranges_of(args.ranges),
                       args.architecture)  # fmt: skip
        for one in ranges:  # what the user's own ranges reach must be legal, too
            if one.name in ranges_of(args.ranges):
                for end in (one.low, one.high):
                    trials.knobs_of(empty, {one.name: int(end) if one.kind == "whole" else end})
        tuning = replace(empty, folder=next_folder(Path(args.runs), f"{entry.name}-tune"), values=values, ranges=ranges)
        for one in ranges:
            self.say(f"{entry.name}: looks through {one}")
        with held(tuning.folder):
            try:
                tuning = self.defaults(tuning)
            except (UserError, KeyboardInterrupt):
                shutil.rmtree(tuning.folder, ignore_errors=True)
                raise
            return self.lead(tuning)

    def defaults(self, tuning: Tuning) -> Tuning:
        """The tuning with the run of its defaults, which tells what trials are judged by and how long one takes."""
        line = Line()
        try:
            outcome, wall = trials.first(tuning, self.say, line)
        finally:
            line.close()
        if outcome.ended:
            raise KeyboardInterrupt
        judge = trials.judge_of(outcome.folder, tuning.values, tuning.who)
        status = state_of(outcome.folder)
        value = judge.value(outcome.folder)
        default = {"run": outcome.folder.name, "value": value, "steps": steps_of(outcome, judge),
                   "seconds": status.get("seconds"), "wall": round(wall, 2)}  # fmt: skip
        trials.tidy(outcome.folder, "trained")
        self.say(f"defaults: {judge.term} {value:.4g}, {default['seconds']:g} s of training, {wall:.1f} s in all")
        tuning = replace(tuning, judge=judge, default=default)
        trials.write(tuning)
        trials.enter(tuning, SEARCH)
        return tuning

    def go_on(self, folder: Path) -> dict[str, Any]:
        """More trials of a study that was made before."""
        with held(folder):
            tuning = trials.read(folder, self.args.file)
            trials.enter(tuning, SEARCH)
            trials.reclaim(tuning, SEARCH, self.say)
            if tuning.architecture:
                trials.reclaim(tuning, CONTROL, self.say)
            return self.lead(tuning)

    def join(self, folder: Path) -> dict[str, Any]:
        """Trials for a study that another process leads; it writes the report."""
        tuning = trials.read(folder, self.args.file)
        self.many(tuning, SEARCH, self.ends)
        return {"study": str(folder), "joined": True}

    def lead(self, tuning: Tuning) -> dict[str, Any]:
        """The search, its control, the winner beside the defaults; what was found."""
        ends = self.ends - AFTER * float(tuning.default["wall"])
        more: dict[str, Any] = {}
        try:
            begun = time.time()
            if tuning.architecture:
                candidates = architecture.ranked(tuning, self.say)
                architecture.enqueue(tuning, candidates)
                more["ranked"] = candidates
                ends = begun + (ends - begun) / 2
            if ends <= time.time():
                self.say("the time allows no search beside the training of the defaults: say more --minutes")
            self.many(tuning, SEARCH, ends)
            if tuning.architecture:
                trials.enter(tuning, CONTROL)
                spent = time.time() - begun
                self.many(tuning, CONTROL, time.time() + spent)
                more["seconds_each"] = round(spent, 1)
        except KeyboardInterrupt:
            self.interrupted = True
            return self.written(tuning, more)
        return self.written(tuning, more | self.finals(tuning))

    def many(self, tuning: Tuning, arm: str, until: float) -> None:
        """Trials by as many processes as were asked for."""
        count, most = self.args.processes, self.args.trials
        if count == 1:
            trials.work(tuning, arm, until, most, os.getpid(), self.say)
            return
        words = [sys.executable, "-m", "milestones", "tune", str(tuning.folder), "--work", arm]
        words += ["--page", tuning.page] if tuning.page.endswith(".py") else []
        words += ["--until", str(until)] if math.isfinite(until) else []
        words += ["--trials", str(most)] if most is not None else []
        threads = str(max(1, (os.cpu_count() or 1) // count))
        env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        started = [subprocess.Popen([*words, "--worker", str(os.getpid() + k)], env=env, stdout=subprocess.DEVNULL)
                   for k in range(count)]  # fmt: skip
        try:
            codes = [process.wait() for process in started]
        except KeyboardInterrupt:  # which they were sent, too
            for process in started:
                process.wait()
            raise
        if all(codes):
            got = f"{count} that ended with {codes[0]}"
            raise UserError("processes that make trials", got, "What they said stands above", tuning.who)

    def finals(self, tuning: Tuning) -> dict[str, Any]:
        """The winner and the defaults trained anew with another seed, one after the other and for as long; each scored
        on the test once."""
        with quiet():
            best = best_of(told(opened(tuning.folder)))
        settings = best["settings"] or {}
        order = tuning.ordered(tuning.seed + 1)
        pace = float(tuning.default["seconds"])
        found: dict[str, Any] = {}
        tries: list[tuple[str, dict[str, Any]]] = [("winner", settings)] if settings else []
        for name, one in [*tries, ("defaults", {})]:
            length = next(key for key in LENGTHS if key in tuning.values)
            if name == "defaults" and settings:
                ratio = found["winner"]["seconds"] / max(pace, 1e-3)
                if abs(ratio - 1) > ALIKE:
                    one = {length: max(1, round(tuning.values[length] * ratio))}
            line = Line()
            try:
                outcome = begin(tuning.page, {**tuning.settings, **one}, order, tuning.folder, self.say, line)
            except UserError as problem:
                if name == "defaults":
                    raise
                self.say(f"the winner could not be trained with another seed: {problem}")
                settings, found = {}, {"lost": str(problem)[:300]}
                continue
            finally:
                line.close()
            if outcome.ended == "interrupted":
                raise KeyboardInterrupt
            report = outcome.report
            found[name] = {"run": outcome.folder.name, "settings": one, "value": tuning.judge.value(outcome.folder),
                           "seconds": report["seconds"], "steps": report["steps"], "scores": report["scores"],
                           "command": self.use(tuning, one)}  # fmt: skip
        return found | {"verdict": verdict(found)}

    def use(self, tuning: Tuning, settings: Mapping[str, Any]) -> str:
        """The command that trains with these settings."""
        entry: Entry = find(tuning.page)
        order = tuning.ordered(tuning.seed)
        return command(tuning.page, trials.knobs_of(tuning, settings), page(entry).system, order)

    def written(self, tuning: Tuning, more: dict[str, Any]) -> dict[str, Any]:
        """tune.json and report.html, and what they hold."""
        from ..report.tuned import html_of

        with quiet():
            study = opened(tuning.folder)
            rows, shares = told(study), importance(study)
            control = told(opened(tuning.folder, CONTROL)) if tuning.architecture else []
        more = {"trials": rows, "importance": shares, **more}
        if control:
            more |= {"control": control, "agreement": architecture.agreement(tuning, control)}
        more["seconds"] = round(time.time() - self.begun, 1)
        looks = read_json(tuning.folder, trials.FILE).get("tests", 0)
        more["tests"] = looks + ("winner" in more) + ("defaults" in more)
        trials.write(tuning, **more)
        content = {"study": str(tuning.folder), **read_json(tuning.folder, trials.FILE)}
        write_whole(tuning.folder / "report.html", html_of(content).encode())
        return content

    def lines(self, found: Mapping[str, Any]) -> list[str]:
        """What a study found, for a terminal."""
        if found.get("joined"):
            return [found["study"]]
        rows = found["trials"]
        kinds = {kind: sum(row["state"] == kind for row in rows) for kind in ("complete", "pruned")}
        best, term = best_of(rows), found["judge"]["term"].replace("valid_", "")
        text = [f"{found['system']}: {kinds['complete']} trials to the end, {kinds['pruned']} ended early, "
                f"{found['seconds'] / 60:.1f} min",
                f"lowest validation {term}: {best['value']:.4g} with {shown(best['settings'] or {})}"]  # fmt: skip
        if len(rows) < FEW:
            text.append(f"{len(rows)} trials say little: more --minutes tell more")
        if found["importance"]:
            text.append("what mattered: " + ", ".join(f"{k} {100 * v:.0f} %" for k, v in found["importance"].items()))
        for name in ("winner", "defaults"):
            if one := found.get(name):
                score, value = next(iter(one["scores"].items()))
                test = f"test {score} {value['value']:.4g} {value['unit']} [{value['low']:.4g}, {value['high']:.4g}]"
                text.append(f"{name}, new seed: validation {term} {one['value']:.4g}, {test}, {one['steps']:,} updates "
                            f"in {one['seconds']:.1f} s")  # fmt: skip
        if found.get("tests", 0) > 2:
            text.append(f"the test was scored {found['tests']} times in this study: the more often, the less it says")
        text += agreed(found)
        if word := found.get("verdict"):
            text += [word["said"], f"use it: {word['use']}"]
        return [*text, f"report: {found['study']}/report.html"]


def steps_of(outcome: Outcome, judge: Judge) -> int:
    """The last step of the stage that is judged."""
    lines = files.log(outcome.folder)[0]
    return max((int(line["step"]) for line in lines if line.get("stage") == judge.stage and "step" in line), default=1)


def agreed(found: Mapping[str, Any]) -> list[str]:
    """Of an architecture search: what the ranking was worth, and the control."""
    text = []
    for one in found.get("agreement", ()):
        rho = "none: all alike" if one["rho"] is None else f"{one['rho']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
        text.append(f"rank correlation of {one['proxy']} with training: {rho}, {one['over']} random nets")
    if found.get("control"):
        mine, others = best_of(found["trials"])["value"], best_of(found["control"])["value"]
        word = "better" if mine < others else "worse" if mine > others else "as good"
        text.append(f"random search for as long, {len(found['control'])} trials: {others:.4g} against {mine:.4g}: the "
                    f"search is {word}")  # fmt: skip
    return text


def verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """Which settings to use, by the validation figures with the new seed, and what the test says of the difference."""
    ours = found["defaults"]
    if "winner" not in found:
        why = "the winner could not be trained again" if "lost" in found else "no trial was better"
        return {"better": "defaults", "test": "same", "said": f"the defaults stand: {why}", "use": ours["command"]}
    won = found["winner"]
    name = next(iter(won["scores"]))
    test = compared(won["scores"][name], ours["scores"][name])
    words = {
        "better": "better than",
        "worse": "worse than",
        "same": "no different, within the samples' intervals, from",
    }
    if won["value"] < ours["value"]:
        said = f"the winner is ahead on validation; on the test its {name} is {words[test]} that of the defaults"
        return {"better": "winner", "test": test, "said": said, "use": won["command"]}
    said = "the defaults stand: with a new seed and as long a training the winner is not ahead on validation; on the "
    said += f"test its {name} is {words[test]} theirs"
    return {"better": "defaults", "test": test, "said": said, "use": ours["command"]}


def compared(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """ "better", "worse", or "same" where the difference lies within both samples' 95 % intervals together."""
    half = math.hypot(one["high"] - one["low"], other["high"] - other["low"]) / 2
    gap = (other["value"] - one["value"]) * (1 if one["better"] == "lower" else -1)
    return "same" if abs(gap) <= half else "better" if gap > 0 else "worse"
