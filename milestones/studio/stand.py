"""Serve a run: a socket, a server, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import uvicorn

from ..verbs.serve import local
from .begin import listen
from .predict import Limits, Service, build

if TYPE_CHECKING:
    from ..trained import Trained

LINGER = 1.0  # seconds that those who have connected may begin to ask, once the server was told to end
SWITCH = 0.0005  # seconds until a thread lets another one run: the socket waits for the net's Python no longer


class Server(uvicorn.Server):
    """uvicorn's, which cuts off who has connected and not yet asked; this one hears and answers them first."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(0)  # what the system has connected is taken in
        for server in self.servers:
            server.close()
        clock = asyncio.get_running_loop().time
        until = clock() + LINGER
        while self.server_state.connections and clock() < until:
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)


def stand(trained: Trained, host: str, port: int, token: str, limits: Limits, window: float, most: int,
          ready: Callable[[str], None]) -> int:  # fmt: skip
    """Serve until SIGTERM or Ctrl-C; `ready` is told the address. UserError: the port is taken."""
    listener = listen(host, port)
    port = listener.getsockname()[1]
    near = local(host)
    service = Service(trained, limits, window, most)
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", host)} if near else set[str]()
    config = uvicorn.Config(build(service, token, hosts), log_level="warning", access_log=False, server_header=False,
                            timeout_graceful_shutdown=int(limits.seconds) + 5, lifespan="off", proxy_headers=False,
                            ws="none")  # fmt: skip
    server = Server(config)
    service.ending = lambda: server.should_exit
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    threads, switch = torch.get_num_threads(), sys.getswitchinterval()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, min(threads, cores - 1)))  # one core reads, and says what was found
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()  # the net and the packages are not looked through again and again
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        gc.unfreeze()
        sys.setswitchinterval(switch)
        torch.set_num_threads(threads)
        for number, handler in before.items():
            signal.signal(number, handler)
        service.end()
    return 0
