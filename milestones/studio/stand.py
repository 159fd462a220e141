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
TURN = 0.01  # seconds between two looks whether all have asked
SWITCH = 0.0005  # seconds until a thread lets another one run: the socket waits for the net's Python no longer


class Server(uvicorn.Server):
    """uvicorn's, which cuts off who has connected and not yet asked; this one hears and answers them first.

    Nobody is told to come no more before it takes no more: whoever came anew just then would be lost with its queue.
    """

    ending = False  # whether it takes no more

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(0)  # what the system has connected is taken in
        for server in self.servers:
            server.close()
        self.ending = True
        for _ in range(round(LINGER / TURN)):  # counted in turns: on a busy machine those who ask are late, too
            if not self.server_state.connections:
                break
            await asyncio.sleep(TURN)
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
    service.ending = lambda: server.ending
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
