"""What all tests share: data sets at hand, a home of their own, no network, a fixed number of threads."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Sums split over threads differ in their last bits, so the number is the same on all machines: one where ./go check
# gives each core a worker of its own, two in the stage that trains. Set before anything imports torch, and not by
# importing it: style tests shall not wait for it.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)
os.environ.setdefault("MPLBACKEND", "agg")
# What numba compiled is kept outside of the homes that tests have of their own, or each would compile it anew.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE / "milestones" / "compiled"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one worker shall run because it shares what was made for it: the tests of a page, else those of a file."""
    for item in items:
        page = getattr(getattr(item, "callspec", None), "params", {}).get("page", "")
        item.add_marker(pytest.mark.xdist_group(f"page {page}" if page else item.path.name))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A function: name of a data set -> its path in $MILESTONES_DATA. Where missing: skip; in CI fail."""

    def path(name: str) -> Path:
        folder = os.environ.get("MILESTONES_DATA", "")
        found = Path(folder) / name
        if folder and found.exists():
            return found
        missing = f"{name} is not in {folder}" if folder else "MILESTONES_DATA is not set"
        reason = f"{missing}. Run: MILESTONES_DATA=/a/folder/with/{name} ./go check"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return path


@pytest.fixture(scope="session")
def gnugo() -> str:
    """The path of GNU Go. Where it is missing: skip with the command; in CI fail."""
    if found := shutil.which("gnugo") or shutil.which("gnugo", path="/usr/games"):
        return found
    reason = "GNU Go is needed: sudo apt-get install gnugo"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and current folder. Returns the current folder; HOME is ``home`` in it."""
    place = tmp_path / "home"
    place.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(place))
    folders = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config", "MPLCONFIGDIR": ".mpl"}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(place / folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A plan under test may change the number of threads; the next test shall not feel it."""
    yield
    if (torch := sys.modules.get("torch")) and torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)


def loopback(host: object) -> bool:
    try:
        return host in ("", None, "localhost") or ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections and look-ups end at this machine: a test that needs the world fails at random."""

    def guarded(call: Callable[..., object], host_of: Callable[..., object]) -> Callable[..., object]:
        def guard(*words: object, **named: object) -> object:
            host = host_of(*words, **named)
            if not loopback(host):
                # Not an OSError: code under test may rightly catch those.
                raise AssertionError(f"a test reached for the network: {host!r}")
            return call(*words, **named)

        return guard

    def of_socket(this: socket.socket, address: object, *_: object) -> object:
        return address[0] if isinstance(address, tuple) else None  # a path: a socket of this machine

    def of_name(host: object = None, *_: object, **__: object) -> object:
        return host.decode() if isinstance(host, bytes) else host

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name), of_socket))
    for name in ("getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, guarded(getattr(socket, name), of_name))
