"""What runs in a process of its own, which a test kills, fills the disk of, or signals."""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PLAN = "contiguous/float32/1"


class Moment:
    """Counts calls; at the given one it does what it is told."""

    def __init__(self, at: int, act: Callable[[], Any]) -> None:
        self.left, self.act = at, act

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def save_every(steps: int) -> None:
    """Save after every so many steps in place of every so many seconds."""
    from milestones.core import run

    class Often(run.Clock):
        looked = 0

        @property
        def save(self) -> float:
            self.looked += 1
            return -math.inf if self.looked % steps == 0 else math.inf

        @save.setter
        def save(self, value: float) -> None: ...

    run.Clock = Often


def before(owner: Any, name: str, moment: Callable[..., None]) -> None:
    """Call `moment(*arguments)` before each call of `owner.name`."""
    inner = getattr(owner, name)

    def outer(*words: Any, **named: Any) -> Any:
        moment(*words)
        return inner(*words, **named)

    setattr(owner, name, outer)


def arm(when: str, at: int, act: Callable[[], Any]) -> None:
    """Have `act` happen at the `at`-th of the moments that `when` names."""
    import milestones.core.folder as folder
    import milestones.verbs.execute as execute
    from milestones.core.run import Run

    tick = Moment(at, act)
    if when == "step":  # in the page's own code, which logs once a step
        before(Run, "log", lambda *_, **__: tick())
    elif when == "rename":  # the new state is written, the old one still stands
        before(os, "replace", lambda old, new: tick() if Path(new).parent.name == "state" else None)
    elif when == "renamed":  # the new state stands, status.json does not know
        before(Run, "_status", lambda *_: tick())
    elif when == "line":  # half a line of the log is written

        def half(run: Run, *_: Any) -> None:
            if tick.left == 1:
                with open(run.folder / "log.jsonl", "ab") as file:
                    file.write(b'{"stage": "tr')
            tick()

        before(Run, "_flush", half)
    elif when == "score":
        before(execute, "examine", lambda *_: tick())
    elif when == "report":
        before(execute, "write_report", lambda *_: tick())
    elif when == "weights":
        before(folder.os, "replace", lambda old, new: tick() if Path(new).name.startswith("weights") else None)
    else:
        raise ValueError(when)


def train(root: str, page: str, settings: Mapping[str, Any], order: Mapping[str, Any], every: int = 0,
          when: str = "", at: int = 0, what: str = "kill", resume: str = "", said: str = "") -> None:  # fmt: skip
    """Train as the command does, saving every few steps, and end as it would; at a moment, be killed or signalled.

    The message to the user, or the traceback, goes to the file `said`."""
    import milestones.core.plan as plan
    from milestones.core.errors import UserError
    from milestones.verbs.execute import Order, begin, go_on

    plan.SECONDS = 0.0

    if every:
        save_every(every)
    acts = {
        "kill": die,
        "int": lambda: os.kill(os.getpid(), signal.SIGINT),
        "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "int twice": lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)],
        "stop": lambda: [(folder / "stop").touch() for folder in Path(root).iterdir()],
        "full": fill,
    }
    if when:
        arm(when, at, acts[what])
    code, text = 1, ""
    try:
        if resume:
            outcome = go_on(Path(resume), page if page.endswith(".py") else "", None, lambda _: None)
        else:
            outcome = begin(page, settings, Order(**order), root)
        code = 130 if outcome.ended == "interrupted" else 0
    except UserError as problem:
        code, text = 2, str(problem)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        text = traceback.format_exc()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if said:
        Path(said).write_text(text, encoding="utf-8")
    os._exit(code)


def fill() -> None:
    """From now on no file can grow, not even for root, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def command(words: list[str], folder: str, out: str) -> None:
    """Run the command line in a folder; its standard output and error go to files `out`.out and `out`.err."""
    os.chdir(folder)
    sys.stdout = open(out + ".out", "w", encoding="utf-8")  # noqa: SIM115  (the process ends)
    sys.stderr = open(out + ".err", "w", encoding="utf-8")  # noqa: SIM115
    from milestones.cli import main

    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))


def nothing() -> None:
    """Start the server."""
