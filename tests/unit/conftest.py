"""Of parts no test waits for the choice of a plan: each way of running a model is timed once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def short_measure() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milestones.core.plan.SECONDS", 0.0)
        yield
