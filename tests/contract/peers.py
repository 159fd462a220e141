"""What runs in each of several processes that train together, of which a test ends one. Started as a script by
torchrun, it is the command line, and process 1 is killed once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WAIT = 60.0  # seconds for another process


def often() -> None:
    """Look, and save, at each step."""
    from milestones.verbs import processes

    look = processes.Shared._look

    def eager(self: Any, clock: Any, now: float) -> None:
        self._save_at = 0.0
        look(self, clock, now)

    processes.Shared._look = eager  # type: ignore[method-assign]
    processes.LOOK_SECONDS = 0.0


def part(rank: int, of: int, port: int, root: str, page: str, settings: Mapping[str, Any], order: Mapping[str, Any],
         who: int = -1, when: str = "step", at: int = 0, what: str = "kill", resume: str = "",
         saves: bool = False) -> None:  # fmt: skip
    """Train as process `rank` of `of`; process `who` is killed or signalled at a moment. What it would say goes to the
    file ROOT/said.RANK; the process ends with the command's code."""
    import torch
    from contract import children

    import milestones.core.plan as plan
    from milestones.core.errors import UserError
    from milestones.verbs import processes
    from milestones.verbs.execute import Order, begin, go_on

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(of), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    plan.SECONDS, processes.SECONDS = 0.0, WAIT
    if saves:
        often()
    acts = {
        "kill": children.die,
        "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "stop": lambda: [(folder / "stop").touch() for folder in Path(root).glob("*-*")],
    }
    if rank == who:
        children.arm(when, at, acts[what])
    code, text = 1, ""
    try:
        with processes.joined() as peers:
            if resume:
                outcome = go_on(Path(resume) if rank == 0 else Path(), "", None, lambda _: None, None, peers)
            else:
                outcome = begin(page, settings, Order(**order), root, lambda _: None, None, peers)
        code = 130 if outcome.ended == "interrupted" else 0
    except UserError as problem:
        code, text = 2, str(problem)
    except KeyboardInterrupt:
        code = 130
    Path(root, f"said.{rank}").write_text(text, encoding="utf-8")
    os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from contract import children

    from milestones.cli import main

    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        children.arm("step", 6, children.die)
    sys.exit(main(sys.argv[1:]))
