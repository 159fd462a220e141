"""The trials of a tuning: ordinary runs in its folder, judged on validation and never scored on the test."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..catalog import state_of, user_runs
from ..core.config import changed
from ..core.errors import UserError
from ..core.folder import grab, inside, read_json, write_json, write_status
from ..core.run import Progress
from ..report import files
from .execute import Order, Outcome, begin, go_on
from .journal import FIRST, KEEP, distributions, opened, quiet, seed_of
from .space import Range, params_of, same_work, settings_of

FILE = "tune.json"
TERMS = ("valid_error", "valid_loss")  # what a trial is judged by: the first that the page logs, lower is better
RUNGS = (FIRST, FIRST * KEEP)  # percent of a training at which it may be ended
ROW = 40  # trials in a row that could not be trained: then no more are tried


class Ended(Exception):
    """The trial is not worth going on with."""


class Judge(NamedTuple):
    """How trials are compared: the last figure of this name in this stage of the log, or the lowest."""

    term: str
    stage: str
    lowest: bool  # where the page ends with its best weights

    def value(self, folder: Path) -> float:
        """The run's figure; infinite where it has none."""
        found = [line[self.term] for line in files.log(folder)[0]
                 if line.get("stage") == self.stage and isinstance(line.get(self.term), int | float)]  # fmt: skip
        values = [float(value) for value in found if math.isfinite(value)]
        return (min(values) if self.lowest else values[-1]) if values else math.inf


@dataclass(frozen=True)
class Tuning:
    """What is tuned, as tune.json has it."""

    folder: Path
    page: str  # its name, or the path of a .py file
    who: str
    preset: str
    settings: dict[str, Any]  # that were fixed on the command line
    values: dict[str, Any]  # of all settings: the defaults that trials are compared with
    order: dict[str, Any]  # data, target, split, skip_unreadable, plan, device
    seed: int
    ranges: list[Range]
    architecture: bool
    judge: Judge
    default: dict[str, Any]  # the run of the defaults: run, value, steps, seconds, wall

    def ordered(self, seed: int, **more: Any) -> Order:
        return Order(preset=self.preset, seed=seed, **self.order, **more)


def write(tuning: Tuning, **more: Any) -> None:
    """Write tune.json: what is tuned, and in `more` what came of it."""
    plain = {name: value for name, value in asdict(tuning).items() if name not in ("folder", "page", "who")}
    content = {"system": tuning.who, **plain, "judge": tuning.judge._asdict(),
               "ranges": [one._asdict() for one in tuning.ranges]}  # fmt: skip
    write_json(tuning.folder / FILE, {**content, **more})


def read(folder: Path, page_name: str = "") -> Tuning:
    """The tuning of a folder. UserError: half-written or edited, of the user's page without its file."""
    content = read_json(folder, FILE)
    try:
        who = str(content["system"])
        ranges = [Range(**one)._replace(choices=tuple(one["choices"])) for one in content["ranges"]]
        named = ("preset", "settings", "values", "order", "seed", "architecture", "default")
        tuning = Tuning(folder, page_name or who, who, ranges=ranges, judge=Judge(**content["judge"]),
                        **{name: content[name] for name in named})  # fmt: skip
        tuning.ordered(tuning.seed)
        inside(folder, str(tuning.default["run"]))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        got = f"no {problem}" if isinstance(problem, KeyError) else f"other fields ({type(problem).__name__})"
        raise UserError(f"a whole {FILE} in {folder}", got, "Restore the file, or begin a new study") from None
    if who.endswith(".py"):  # a file's name in a folder is no consent to run it
        raise UserError(f"a page's name in {FILE} of {folder}", repr(who), "Say --page FILE for a page of your own")
    return tuning


def judge_of(folder: Path, values: Mapping[str, Any], who: str) -> Judge:
    """What the page's trials are judged by, from the log of its first run. UserError: it logs no such figure."""
    lines = files.log(folder)[0]
    for term in TERMS:
        stages = [str(line["stage"]) for line in lines if isinstance(line.get(term), int | float) and "stage" in line]
        if stages:
            stage = "train" if "train" in stages else stages[-1]
            return Judge(term, stage, bool(values.get("patience")))
    want = f"a page whose log has {' or '.join(TERMS)}, by which trials are judged"
    raise UserError(want, "one that has neither", "Tune another page, or log one with run.log", who)


def tidy(folder: Path, state: str) -> None:
    """Say in status.json how the trial ended, and remove the state that it would be resumed from."""
    for path in (folder / "state").glob("*"):
        path.unlink()
    content = state_of(folder)
    write_status(folder, {**{k: v for k, v in content.items() if k != "format"}, "state": state})


def run_of(tuning: Tuning, arm: str, number: int) -> Path | None:
    """The run folder of a trial, if it has got one."""
    for folder in reversed(user_runs(tuning.folder)):
        with contextlib.suppress(UserError):
            if read_json(folder, "config.json").get("study") == {"arm": arm, "trial": number}:
                return folder
    return None


def first(tuning: Tuning, say: Callable[[str], None], watch: Callable[[Progress], None]) -> tuple[Outcome, float]:
    """The run of the defaults, and the seconds that it took with all that belongs to it."""
    begun = time.monotonic()
    order = tuning.ordered(tuning.seed, study={"arm": "search", "trial": 0})
    outcome = begin(tuning.page, tuning.settings, order, tuning.folder, say, watch)
    return outcome, time.monotonic() - begun


def enter(tuning: Tuning, arm: str) -> None:
    """Put the run of the defaults into the journal as the first trial, with its figures at the rungs."""
    with quiet():
        study = opened(tuning.folder, arm)
        if study.get_trials(deepcopy=False):
            return
        study.enqueue_trial(params_of(tuning.ranges, tuning.values), {"run": tuning.default["run"], "settings": {}})
        trial = study.ask(distributions(tuning.ranges))
        folder, seen = tuning.folder / str(tuning.default["run"]), set[int]()
        for line in files.log(folder)[0]:
            percent = 100 * line.get("step", 0) // max(1, int(tuning.default["steps"]))
            for rung in RUNGS:
                if (
                    tuning.judge.term in line
                    and line.get("stage") == tuning.judge.stage
                    and percent >= rung > max(seen, default=0)
                ):
                    seen.add(rung)
                    trial.report(float(line[tuning.judge.term]), int(percent))
                    trial.should_prune()
        trial.set_user_attr("seconds", tuning.default["seconds"])
        study.tell(trial, float(tuning.default["value"]))


def reclaim(tuning: Tuning, arm: str, say: Callable[[str], None]) -> int:
    """Take up again the trials whose process was stopped or killed: each run goes on where it was saved. How many."""
    from optuna.trial import TrialState

    count = 0
    with quiet():
        study = opened(tuning.folder, arm)
        latest = {int(trial.user_attrs.get("again", trial.number)): trial for trial in study.get_trials(deepcopy=False)}
        for number, trial in latest.items():
            if trial.state != TrialState.RUNNING and trial.user_attrs.get("why") != "time":
                continue
            folder = run_of(tuning, arm, number)
            if folder is not None and busy(folder):
                continue
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            if folder is not None and state_of(folder)["state"] in ("training", "stopped", "trained"):
                study.enqueue_trial(trial.params, {"again": number})
                count += 1
    if count:
        say(f"{count} trial{'s' * (count > 1)} that had been stopped go{'es' * (count == 1)} on")
    return count


def busy(folder: Path) -> bool:
    """True if a living process holds the run."""
    path = inside(folder, "lock")
    if not path.exists():
        return False
    with open(path, "a+", encoding="utf-8") as file:
        return not grab(file)


def counted(study: Any) -> int:
    """Trials that were made or are being made."""
    return sum(trial.state.name in ("COMPLETE", "PRUNED", "RUNNING") for trial in study.get_trials(deepcopy=False))


def work(tuning: Tuning, arm: str, until: float, most: int | None, worker: int, say: Callable[[str], None]) -> None:
    """Make trials until the clock says `until` or there are `most`. UserError: none of many could be trained."""
    with quiet():
        study = opened(tuning.folder, arm)
        seed = seed_of(tuning.seed, f"{arm} {len(study.get_trials(deepcopy=False))}", worker)
        study = opened(tuning.folder, arm, seed)
        failed: list[UserError] = []
        while time.time() < until and (most is None or counted(study) < most):
            trial = study.ask(distributions(tuning.ranges))
            problem = made(tuning, study, arm, trial, until, say)
            failed = [*failed, problem] if problem else []
            if len(failed) >= ROW:
                raise failed[-1]


def made(
    tuning: Tuning, study: Any, arm: str, trial: Any, until: float, say: Callable[[str], None]
) -> UserError | None:
    """Make one trial and tell the study; what was wrong with its settings, if they could not be trained."""
    from optuna.trial import TrialState

    judge, rungs = tuning.judge, list(RUNGS)
    settings = same_work(tuning.values, settings_of(tuning.ranges, trial.params))
    trial.set_user_attr("settings", settings)
    number = int(trial.user_attrs.get("again", trial.number))

    def watch(progress: Progress) -> None:
        value = progress.numbers.get(judge.term, math.nan)
        percent = 100 * progress.step // max(1, progress.total)
        if progress.stage == judge.stage and rungs and percent >= rungs[0] and math.isfinite(value):
            while rungs and percent >= rungs[0]:
                rungs.pop(0)
            trial.report(value, percent)
            if trial.should_prune():
                raise Ended

    def end(state: str, told: str, value: float | None = None, **kept: Any) -> None:
        for name, one in kept.items():
            trial.set_user_attr(name, one)
        if folder := run_of(tuning, arm, number):
            trial.set_user_attr("run", folder.name)
            trial.set_user_attr("seconds", state_of(folder).get("seconds"))
            if state != "fail":
                tidy(folder, "trained" if state == "complete" else "ended early")
        study.tell(trial, value, TrialState[state.upper()])
        words = ", ".join(f"{name} {one}" for name, one in settings.items())
        say(f"{arm} {trial.number}: {told}; {words}")

    left = None if math.isinf(until) else max(0.01, (until - time.time()) / 60)
    try:
        if "again" in trial.user_attrs and (folder := run_of(tuning, arm, number)):
            outcome = go_on(folder, tuning.page if tuning.page.endswith(".py") else "", left, lambda _: None, watch)
        else:
            order = tuning.ordered(tuning.seed, minutes=left, study={"arm": arm, "trial": number})
            given = {**tuning.settings, **settings}
            outcome = begin(tuning.page, given, order, tuning.folder, lambda _: None, watch)
    except Ended:
        end("pruned", "ended early")
        return None
    except UserError as problem:
        end("pruned", f"could not be trained ({problem.got[:80]})", why=str(problem)[:300])
        return problem
    if outcome.ended:
        end("fail", "stopped by the clock" if outcome.ended != "interrupted" else "interrupted", why="time")
        if outcome.ended == "interrupted":
            raise KeyboardInterrupt
        return None
    value = judge.value(outcome.folder)
    if math.isfinite(value):
        end("complete", f"{judge.term} {value:.4g}", value)
    else:
        end("pruned", f"no {judge.term} in its log", why="no figure")
    return None


def knobs_of(tuning: Tuning, settings: Mapping[str, Any]) -> Any:
    """The page's Config with these settings. UserError: out of range."""
    from ..catalog import find, page

    system = page(find(tuning.page)).system
    return changed(system.presets[tuning.preset], {**tuning.settings, **settings}, tuning.who)


def best_of(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The finished trial with the lowest figure; of equals the earliest: the defaults are not left for nothing."""
    complete = [row for row in rows if row["state"] == "complete" and row["value"] is not None]
    return min(complete, key=lambda row: (row["value"], row["number"]))
