"""A run's clock."""

from __future__ import annotations

import time

SAVE_SECONDS = 15.0  # between saves, or 50 times what a save took, whichever is longer: at most 2 % of the time


class Clock:
    """When to look, save and write, and how fast it goes; no training decision reads it."""

    def __init__(self, before: float, first: int = 0) -> None:
        self.begin, self.first = time.monotonic(), first  # and the step it begins with
        self.before = before  # seconds spent by earlier processes
        self.look = self.files = self.begin
        self.save = self.begin + SAVE_SECONDS
        self._marks: list[tuple[int, float]] = []

    def here(self) -> float:
        """Seconds in this process."""
        return time.monotonic() - self.begin

    def spent(self) -> float:
        """Seconds in all processes."""
        return self.before + self.here()

    def rate(self, step: int, now: float) -> float:
        """Steps a second over the last few seconds."""
        self._marks = [*self._marks[-50:], (step, now)]
        (first, then), (last, latest) = self._marks[0], self._marks[-1]
        return (last - first) / (latest - then) if latest > then else 0.0
