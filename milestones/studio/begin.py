"""Begin the studio: a port, a key, a browser."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from ..catalog import find
from ..core.errors import UserError
from .guard import Guard, Keys
from .serve import Studio, build

LEAST_PASSWORD = 8


def begin(root: str, files: Sequence[str], port: int, password: str, browser: bool, say: Callable[[str], None]) -> int:
    """Serve until interrupted. UserError: a port in use, a short password, a page that is none."""
    entries = [find(file) for file in files]
    if password and len(password) < LEAST_PASSWORD:
        raise UserError(f"a password of at least {LEAST_PASSWORD} letters", f"{len(password)}", "Choose a longer one")
    listener = listen("0.0.0.0" if password else "127.0.0.1", port)
    port = listener.getsockname()[1]
    keys = Keys(password)
    names = ["127.0.0.1", "localhost", *([address()] if password else [])]
    studio = Studio(Path(root), {entry.name: entry.module for entry in entries}, keys, f"milestones_{port}")
    guard = build(studio, {f"{name}:{port}" for name in names})

    def link() -> str:
        return f"http://127.0.0.1:{port}/enter?key={keys.key}"

    keys.used = lambda: say(f"another browser: {link()}")
    say(f"the studio: {link()}")
    if password:
        shared = f"http://{names[-1]}:{port}/login"
        say(f"for others, to look only: {shared}\n{code(shared)}")
    if browser:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(link())
    return serve(guard, listener, studio)


def serve(guard: Guard, listener: socket.socket, studio: Studio) -> int:
    """Run the server on a socket that listens, until Ctrl-C."""
    config = uvicorn.Config(guard, log_level="warning", access_log=False, server_header=False, ws_max_size=64 << 20,
                            timeout_graceful_shutdown=1, lifespan="off", proxy_headers=False)  # fmt: skip
    server = uvicorn.Server(config)
    studio.ending = lambda: server.should_exit  # streams end by themselves: none is cut off with a traceback
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.serve(sockets=[listener]))
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. UserError: the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # now: a browser that is opened before the server runs waits, and is not refused
    except (OSError, OverflowError) as problem:
        listener.close()
        got = getattr(problem, "strerror", None) or str(problem)
        raise UserError(f"a free port, {port} or another", got, "Choose one: --port 0 takes any", "studio") from None
    return listener


def address() -> str:
    """This machine's address in its network, by asking the system which way it would send; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))
        return str(probe.getsockname()[0])
    return socket.gethostname().lower()


def code(link: str) -> str:
    """The link as a QR code of letters."""
    import io

    import segno

    text = io.StringIO()
    segno.make(link, error="m").terminal(text, compact=True, border=2)
    return text.getvalue()
