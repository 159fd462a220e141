"""A studio that runs, and real Chromium that fails a test on any console error and on any request that leaves."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, sync_playwright

INSTALL = "apt-get install chromium"
VIEWPORT = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as made:
        yield made


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium. Where it is missing: skip with the command; in CI fail."""
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
    )
    if not path:
        if os.environ.get("CI"):
            pytest.fail(f"no Chromium; {INSTALL}")
        pytest.skip(f"no Chromium. Install it: {INSTALL}")
    made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    yield made
    made.close()


class Server:
    """A studio process over a folder of runs."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.begin(*words)

    def begin(self, *words: str) -> None:
        """Start it, also again after its end."""
        command = [sys.executable, "-P", "-m", "milestones", "studio", "--quiet", "--port", "0", *words]
        self.process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self._links: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.link = self.next_link()

    def _read(self) -> None:
        """All that the studio says, so that its pipe is never full."""
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.said.append(line)
                if "/enter?key=" in line:
                    self._links.put(line[line.index("http://") :].strip())

    def next_link(self) -> str:
        """The link that it prints next: each opens one browser."""
        try:
            return self._links.get(timeout=30)
        except queue.Empty:
            pytest.fail("the studio printed no link. It said: " + "".join(self.said[-20:]))

    @property
    def root(self) -> str:
        return self.link.split("/enter")[0]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(timeout=30)  # children that compute hold the pipe until they see that they are alone


@pytest.fixture
def studio(home: Path) -> Iterator[Server]:
    """A studio over an empty folder of runs."""
    server = Server(home)
    yield server
    server.end()


@pytest.fixture
def opened(browser: Browser, studio: Server) -> Iterator[Callable[..., Page]]:
    """opened("#/train/lenet", width=400, dark=True): a page of the studio at a view, which is drawn. After the test,
    console errors, page errors, failed answers and requests that leave this machine fail it; what a test expects it
    may strike from `page.problems`."""
    pages: list[Page] = []
    problems: list[str] = []

    def make(address: str = "#/", width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height},
                                      color_scheme="dark" if dark else "light")  # fmt: skip
        page = context.new_page()
        page.problems = problems  # type: ignore[attr-defined]

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                problems.append(f"console: {message.text}")

        def asked(request: Request) -> None:
            if urlsplit(request.url).hostname not in (None, "", "127.0.0.1") and not request.url.startswith("data:"):
                problems.append(f"left this machine: {request.url}")

        page.on("console", said)
        page.on("pageerror", lambda problem: problems.append(f"page: {problem}"))
        page.on("request", asked)
        page.goto(studio.link)
        studio.link = studio.next_link()
        show(page, address)
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.context.close()
    assert problems == []


def show(page: Page, address: str) -> None:
    """Go to a view and wait until it is drawn."""
    page.evaluate(
        """address => {
        document.getElementById('view').dataset.ready = '';
        if (location.hash === address) dispatchEvent(new HashChangeEvent('hashchange'));
        else location.hash = address;
    }""",
        address,
    )
    words = unquote(address.split("?")[0].removeprefix("#").removeprefix("/")) or "timeline"
    page.wait_for_function(
        "words => document.getElementById('view').dataset.ready === words", arg=words, timeout=30_000
    )
