"""The journal of a tuning: one file of JSON lines that processes and machines share, written and read by Optuna."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.folder import inside
from ..core.source import key
from .space import Range

FILE = "journal.jsonl"
SEARCH, CONTROL = "search", "control"  # the two studies that a journal may hold
FIRST = 11  # percent of a training at which the first trials are ended
KEEP = 3  # one of so many goes on, at FIRST, KEEP times FIRST, and so on
RANDOM = 8  # trials before the sampler looks at what came of others


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Within, Optuna neither warns of what is experimental in it nor writes its own lines."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def needed() -> None:
    """UserError: Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        do = 'Install it: pip install "milestones[tune]"'
        raise UserError("the package optuna, which draws the settings", "none", do) from None


def opened(folder: Path, arm: str = SEARCH, seed: int = 0, halving: bool = True) -> Any:
    """The Optuna study in the folder, made when there is none. The search draws by TPE, its control at random. A file
    backend takes no snapshots, the only thing that Optuna would pickle. UserError: a damaged journal."""
    from optuna import create_study
    from optuna.pruners import NopPruner, SuccessiveHalvingPruner
    from optuna.samplers import RandomSampler, TPESampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(inside(folder, FILE))
    sampler = TPESampler(n_startup_trials=RANDOM, seed=seed) if arm == SEARCH else RandomSampler(seed=seed)
    pruner = SuccessiveHalvingPruner(FIRST, KEEP) if halving and arm == SEARCH else NopPruner()
    try:
        storage = JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
        return create_study(storage=storage, study_name=arm, sampler=sampler, pruner=pruner, load_if_exists=True)
    except (ValueError, KeyError, TypeError, AttributeError, LookupError) as problem:
        got = f"a damaged line ({type(problem).__name__})"
        raise UserError(f"a whole {FILE} in {folder}", got, "Restore the file, or begin a new study") from None


def seed_of(seed: int, arm: str, worker: int) -> int:
    """A seed of 32 bits for one process's sampler."""
    return key(seed, "tune", arm, worker) % 2**32


def distributions(ranges: Sequence[Range]) -> dict[str, Any]:
    """The ranges as Optuna has them."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for one in ranges:
        if one.kind == "choice":
            found[one.name] = CategoricalDistribution(one.choices)
        elif one.kind in ("whole", "layers"):
            found[one.name] = IntDistribution(int(one.low), int(one.high), log=one.log)
            if one.kind == "layers":
                found[f"{one.name} layers"] = IntDistribution(1, one.most)
        else:
            found[one.name] = FloatDistribution(one.low, one.high, log=one.log)
    return found


def told(study: Any) -> list[dict[str, Any]]:
    """Each trial as JSON: number, state, params, value (None where it has none), and what was kept of it."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        at = {str(step): value for step, value in trial.intermediate_values.items()}
        began, done = trial.datetime_start, trial.datetime_complete
        rows.append({
            "number": trial.number, "state": trial.state.name.lower(), "params": dict(trial.params),
            "value": trial.value if trial.state.name == "COMPLETE" else None, "way": at,
            "began": began.timestamp() if began else None, "ended": done.timestamp() if done else None,
            **{name: trial.user_attrs.get(name) for name in ("run", "settings", "seconds", "why")},
        })  # fmt: skip
    return rows


def importance(study: Any) -> dict[str, float]:
    """How much each setting has to do with being among the best, shares of 1 (PED-ANOVA: Watanabe, Bansal & Hutter
    2023); {} where too few trials were finished to tell."""
    from optuna.importance import get_param_importances

    complete = [row for row in told(study) if row["state"] == "complete"]
    if len(complete) < 4 or len({row["value"] for row in complete}) < 2:
        return {}
    try:
        found = get_param_importances(study)
    except (ValueError, RuntimeError):
        return {}
    return {name: round(float(value), 4) for name, value in found.items()}


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The journal's lines, for whoever looks into it without Optuna."""
    return [json.loads(line) for line in inside(folder, FILE).read_text(encoding="utf-8").splitlines()]
