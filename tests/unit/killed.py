"""Runs that die in the middle, as by kill -9, and how often they save before."""

from __future__ import annotations

from typing import Any

import pytest

import milestones.core.run as core
from milestones.core.clock import Clock


class Killed(Exception):
    """Nothing more is saved, nothing flushed."""


def save_every(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs save after every so many steps in place of every so many seconds; 0: never before the end."""

    class Often(Clock):
        looked = 0

        @property
        def save(self) -> float:
            self.looked += 1
            return -1.0 if steps and self.looked % steps == 0 else float("inf")

        @save.setter
        def save(self, value: float) -> None: ...

    monkeypatch.setattr(core, "Clock", Often)


def dying(world: Any, at: int) -> Any:
    """The world, which dies at its step `at` (counted as `moves`, which it saves)."""
    step = world.step

    def until(action: Any) -> Any:
        if world.moves == at:
            raise Killed
        return step(action)

    world.step = until
    return world
