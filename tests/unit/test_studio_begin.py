"""The studio's beginning: what it refuses in one line, how it ends, who may reach it."""

from __future__ import annotations

import builtins
import os
import re
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from milestones.cli import main
from milestones.core.errors import UserError
from milestones.studio import begin as module
from milestones.studio.begin import begin, listen


def test_what_is_wrong_is_one_line(home: Path, capsys: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = {
            ("--port", str(port)): f"expected a free port, {port} or another, got Address already in use",
            ("--port", "99999"): "expected a free port, 99999 or another",
            ("--share", "short"): "expected a password of at least 8 letters, got 5. Choose a longer one",
            ("nothing.py",): "expected a page's file, got nothing.py, which is no file",
            ("lecture.txt",): "expected a page of the catalog or a file that ends in .py",
        }
        for words, line in cases.items():
            assert main(["studio", "--quiet", *words]) == 2
            said = capsys.readouterr().err
            assert line in said
            assert len(said.strip().splitlines()) == 1
    kept = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "uvicorn":
            raise ImportError("no such package", name="uvicorn")
        return kept(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "milestones.studio.begin")
    assert main(["studio"]) == 2
    assert "pip install 'milestones[studio]'" in capsys.readouterr().err


def test_it_listens_on_this_machine_alone_unless_it_is_shared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    opened: list[str] = []

    def serve(guard: Any, listener: socket.socket, studio: Any) -> int:
        seen.append((listener.getsockname()[0], guard._hosts))
        listener.close()
        return 0

    monkeypatch.setattr(module, "serve", serve)
    monkeypatch.setattr(module, "address", lambda: "10.0.0.7")
    monkeypatch.setattr(webbrowser, "open", opened.append)
    said: list[str] = []
    assert begin("runs", [], 0, "", True, said.append) == 0
    assert begin("runs", [], 0, "long enough", False, said.append) == 0
    (alone, hosts), (all_, more) = seen
    assert (alone, {host.split(":")[0] for host in hosts}) == ("127.0.0.1", {"127.0.0.1", "localhost"})
    assert (all_, {host.split(":")[0] for host in more}) == ("0.0.0.0", {"127.0.0.1", "localhost", "10.0.0.7"})
    assert len(opened) == 1
    assert opened[0] in said[0]
    assert "http://10.0.0.7:" in said[2]
    assert sum(letter in "█▀▄" for letter in said[2]) > 100  # the code of the same address
    monkeypatch.setattr(webbrowser, "open", lambda link: (_ for _ in ()).throw(webbrowser.Error("none")))
    assert begin("runs", [], 0, "", True, said.append) == 0  # the link was printed
    with pytest.raises(UserError, match="a free port"):
        listen("127.0.0.1", -5)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_it_is_ready_soon_and_ends_at_once_with_a_browser_there(home: Path) -> None:
    command = [sys.executable, "-P", "-m", "milestones", "studio", "--quiet", "--port", "0"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        line = child.stderr.readline()
        port, key = re.search(r"http://127\.0\.0\.1:(\d+)/enter\?key=(\S+)", line).groups()  # type: ignore[union-attr]
        host = f"127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", int(port)), 30) as first:
            first.sendall(f"GET /enter?key={key} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while piece := first.recv(4096):
                answer += piece
        cookie = re.search(rb"set-cookie: (\S+);", answer)[1].decode()  # type: ignore[index]
        with socket.create_connection(("127.0.0.1", int(port)), 30) as events:
            events.sendall(f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n".encode())
            heard = b""
            while b"event: runs" not in heard:
                heard += events.recv(4096)
            began = time.monotonic()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        assert child.returncode == 0
        assert time.monotonic() - began < 8
        assert "Traceback" not in err + out
        assert len(err.splitlines()) <= 1  # the link of another browser, and no more
    finally:
        child.kill()
        child.communicate()
