"""Which pages are trained in this check: those that changed last, then others in turn, until its time is used up. The
rest is marked slow, for ./go check --all."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 300.0  # of training on two cores: so the whole check stays within three quarters of an hour
SHARE = 0.45  # of the seconds that a page is allowed, it takes about so many


def rotation(costs: Mapping[str, float], changed: Sequence[str], turn: int, seconds: float) -> set[str]:
    """Pages whose costs together are at most `seconds`, one at least: the changed ones first, as they come, then the
    others from number `turn` on."""
    names = list(costs)
    first = [name for name in changed if name in costs]
    begin = turn % max(1, len(names))
    order = dict.fromkeys([*first, *names[begin:], *names[:begin]])
    kept: set[str] = set()
    left = seconds
    for name in order:
        if costs[name] <= left or not kept:
            kept.add(name)
            left -= costs[name]
    return kept


def told(*words: str) -> str:
    """What git says; nothing where there is no git or no history."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def chosen(allowed: Mapping[str, float]) -> set[str]:
    """The pages of this commit's turn; `allowed`: seconds that each may take. Work that is not committed counts as
    changed; then what the last ten commits changed, the newest first."""
    now = told("status", "--porcelain", "--", "milestones/systems").splitlines()
    before = told("log", "-10", "--format=", "--name-only", "--", "milestones/systems").splitlines()
    changed = [Path(line.split()[-1]).stem for line in [*now, *before] if line.endswith(".py")]
    count = told("rev-list", "--count", "HEAD").strip()
    costs = {name: SHARE * most for name, most in allowed.items()}
    return rotation(costs, changed, int(count) if count.isdecimal() else 0, SECONDS)
