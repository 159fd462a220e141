"""What one sees while a run trains: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import time

from ..core.run import Progress

PLAIN_SECONDS = 5.0


def words(now: Progress, step_of: bool = True) -> str:
    """Step, losses, speed, share of the machine's peak and time left, in one line."""
    done = max(now.step - now.first, 1)
    parts = [f"{now.stage} {now.step:,}/{now.total:,}"] if step_of else []
    for name in ("return", "loss", "error", "valid_loss", "valid_error"):
        if name in now.numbers:
            unit = " %" if name.endswith("error") else ""
            parts.append(f"{name.replace('_', ' ')} {now.numbers[name]:.3g}{unit}")
    if now.rate:
        parts.append(f"{now.rate:,.0f} examples/s")
    if now.share:
        parts.append(f"{now.share:.0f} % of peak")
    if now.seconds > 1 and now.rate:
        left = (now.total - now.step) * now.seconds / done
        parts.append(f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left")
    return ", ".join(parts + outlook(now))


def outlook(now: Progress) -> list[str]:
    """When the validation error falls to the next level, as a page foretells it: `to_3` are the steps left to 3 %."""
    error = now.numbers.get("valid_error", 0.0)
    steps = {float(name[3:]): left for name, left in now.numbers.items() if re.fullmatch(r"to_[\d.]+", name)}
    next_one = max((level for level in steps if level < error), default=None)
    if next_one is None or not now.step:
        return []
    seconds = steps[next_one] * now.seconds / max(now.step - now.first, 1)
    return [f"{next_one:g} % in about " + (f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min")]


class Line:
    """Tells of progress on standard error; call it, then `close`."""

    def __init__(self) -> None:
        self._next, self._live = 0.0, None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("[bold]{task.fields[stage]}"), BarColumn(24), TextColumn("{task.description}"))
            self._live = Bar(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
            self._task = self._live.add_task("measuring this machine", total=None, stage="")

    def __call__(self, now: Progress) -> None:
        if self._live:
            text = f"{now.step:,}/{now.total:,}  {words(now, step_of=False)}"
            self._live.update(self._task, completed=now.step, total=now.total, description=text, stage=now.stage)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_SECONDS
            print(words(now), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the live line."""
        if self._live:
            self._live.stop()
