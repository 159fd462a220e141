"""Tiny runs of all pages and of a forked one; processes that tests may kill."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from contract import children, tiny

from milestones.catalog import TIMELINE

ROOT = Path(__file__).parents[2]
PAGES = [entry.name for entry in TIMELINE]
FORKED = "forked"  # the last page of the timeline, as a file of the user's


@pytest.fixture(scope="session", autouse=True)
def short_measure() -> Iterator[None]:
    """Each way of running a model is timed once; of an episode that is filmed, the beginning is enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milestones.core.plan.SECONDS", 0.0)
        patch.setattr("milestones.worlds.played.PLAYED", 40)
        yield


class Page(NamedTuple):
    """How the tests ask for a page."""

    name: str  # a name, or the path of a .py file
    like: str  # the page of the catalog that it is, or was copied from
    settings: dict[str, Any]
    data: str
    target: str

    def order(self, **more: Any) -> dict[str, Any]:
        """The words of an Order."""
        return {"data": self.data, "target": self.target, "plan": children.PLAN, **more}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tiny data, the forked page and runs that tests only read are."""
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="session", params=[*PAGES, FORKED])
def page(request: pytest.FixtureRequest, place: Path) -> Page:
    return page_of(request.param, place)


def page_of(name: str, place: Path) -> Page:
    like = PAGES[-1] if name == FORKED else name
    file = place / "my_page.py"
    if name == FORKED and not file.exists():
        from milestones.cli import main

        assert main(["fork", like, str(file)]) == 0
    facts = tiny.of(like)
    data, target = tiny.data(facts.data, place)
    return Page(str(file) if name == FORKED else name, like, dict(facts.settings), data, target)


@pytest.fixture(scope="session")
def trained(page: Page, place: Path) -> Path:
    """The folder of a finished run of the page, uninterrupted, that tests only read."""
    from milestones.verbs.execute import Order, begin

    return begin(page.name, page.settings, Order(**page.order()), place / "runs").folder


@pytest.fixture(scope="session")
def forks() -> Callable[..., BaseProcess]:
    """A function: runs a function of `children` in a process forked from a clean one (this one has threads)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "contract.children",
            "milestones.verbs.execute",
            "torch._dynamo",
            "matplotlib.backends.backend_agg",
            *(e.module for e in TIMELINE),
        ]
    )
    before = os.environ.get("PYTHONPATH")
    # Before Python 3.13 the server does not get our path of modules.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *([before] if before else [])])

    def start(function: Callable[..., None], *words: Any, **named: Any) -> BaseProcess:
        process = context.Process(target=function, args=words, kwargs=named, daemon=True)
        process.start()
        return process

    start(children.nothing).join()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return start


@pytest.fixture
def fork(forks: Callable[..., BaseProcess]) -> Iterator[Callable[..., BaseProcess]]:
    """`forks`, with all that is left at the end of the test killed."""
    started: list[BaseProcess] = []

    def start(*words: Any, **named: Any) -> BaseProcess:
        started.append(forks(*words, **named))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def trained_lenet(place: Path) -> Path:
    """A finished run of lenet, uninterrupted."""
    from milestones.verbs.execute import Order, begin

    page = page_of("lenet", place)
    return begin(page.name, page.settings, Order(**page.order()), place / "lenet").folder
