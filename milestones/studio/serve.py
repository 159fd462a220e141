"""The server: routes and sockets over the library, the trainings and the desks. Imports nothing slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse

from ..core.errors import UserError
from . import collection, login, pages
from .frames import LARGEST
from .guard import Guard, Keys, key_of
from .library import Library
from .trainings import Trainings

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".json": "application/json", ".png": "image/png"}  # fmt: skip
SHOWN = {
    ".png": "image/png",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
ONWARD = '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0;url=/"><title>milestones</title>'
TICK = 0.05  # seconds between two looks at the logs
MOST_DESKS = 4
MOST_STREAMS = 64  # event streams open at once: each looks at the logs twenty times a second


def assets() -> dict[str, bytes]:
    """The page's files by their address; read once, so that no address ever becomes a path."""
    return {
        path.relative_to(PAGE).as_posix(): path.read_bytes()
        for path in sorted(PAGE.rglob("*"))
        if path.suffix in KINDS and path.is_file()
    }


def read(body: bytes) -> Any:
    """The JSON of a question; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class Studio:
    """What the routes share."""

    def __init__(self, root: Path, files: Mapping[str, str], keys: Keys, cookie: str) -> None:
        self.library, self.pages, self.keys, self.cookie = Library(root), dict(files), keys, cookie
        self.trainings = Trainings(self.library, self.pages)
        self.desks = self.streams = 0
        self.ending: Callable[[], bool] = lambda: False  # whether the server was told to end


def build(studio: Studio, hosts: set[str]) -> Guard:
    """The application, guarded."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.studio = studio
    _page(app, studio)
    _reading(app, studio)
    collection.add(app, studio)
    _training(app, studio)
    _live(app, studio)
    login.add(app, studio, PAGE)

    @app.exception_handler(UserError)
    async def told(request: Request, problem: UserError) -> Response:
        return JSONResponse({"error": str(problem)}, 422)

    return Guard(app, studio.keys, hosts, studio.cookie)


def _page(app: FastAPI, studio: Studio) -> None:
    held = assets()

    def cookie(answer: Response, value: str) -> Response:
        answer.set_cookie(studio.cookie, value, httponly=True, samesite="strict", path="/")
        return answer

    @app.get("/enter")
    async def enter(request: Request) -> Response:
        value = studio.keys.exchange(key_of(request.scope))
        if not value:
            return Response("This link was used already. The terminal has printed another.", 401)
        if request.headers.get("sec-fetch-site", "none") != "none":
            # From a link in another page (a terminal in the browser): a strict cookie is not sent on by a redirect.
            return cookie(Response(ONWARD, media_type=KINDS[".html"]), value)
        return cookie(RedirectResponse("/", 303), value)

    @app.get("/")
    async def index() -> Response:
        return Response(held["index.html"], media_type=KINDS[".html"])

    @app.get("/page/{name:path}")
    async def asset(name: str) -> Response:
        if name not in held:
            return Response("no such file", 404)
        return Response(held[name], media_type=KINDS[Path(name).suffix])


def _reading(app: FastAPI, studio: Studio) -> None:
    library = studio.library

    @app.get("/api/me")
    async def me(request: Request) -> dict[str, Any]:
        return {"role": request.scope["role"], "root": library.root.name}

    @app.get("/api/timeline")
    def timeline() -> list[dict[str, Any]]:
        return pages.timeline(library, studio.pages)

    @app.get("/api/quiz")
    def quiz() -> dict[str, Any]:
        return pages.quiz()

    @app.get("/api/lectures")
    def lectures() -> dict[str, Any]:
        return pages.lectures()

    @app.get("/api/systems/{name}")
    def system(name: str) -> dict[str, Any]:
        return pages.system(name, studio.pages)

    @app.get("/api/runs")
    def runs() -> list[dict[str, Any]]:
        return library.listed()

    @app.get("/api/runs/{run}")
    def run(run: str) -> dict[str, Any]:
        return library.run(run)

    @app.get("/api/runs/{run}/shows/{name}")
    def show(run: str, name: str) -> Response:
        return Response(library.show(run, name), media_type=SHOWN[Path(name).suffix])

    @app.get("/api/runs/{run}/report")
    def report(run: str) -> Response:
        from ..core.folder import inside

        path = inside(library.folder(run), "report.html")
        if not path.is_file() or path.stat().st_size > 64 << 20:
            return Response("This run has no report yet.", 404)
        return Response(path.read_bytes(), media_type=KINDS[".html"])


def _training(app: FastAPI, studio: Studio) -> None:
    @app.post("/api/trainings")
    async def train(request: Request) -> dict[str, Any]:
        ask = read(await request.body())
        if not isinstance(ask, dict) or not isinstance(ask.get("settings", {}), dict):
            raise UserError("a form with settings", "something else", "Reload the page", "studio")
        seed = ask.get("seed", 0)
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise UserError("a seed: a whole number from 0", repr(seed)[:40], "Change the seed", "studio")
        options = ask.get("options", {})
        more = studio.trainings.options(options if isinstance(options, dict) else {"options": options})
        ticket = studio.trainings.train(
            str(ask.get("system")), str(ask.get("preset", "")), ask.get("settings", {}), seed, more
        )
        return {"ticket": ticket}

    @app.get("/api/trainings/{ticket}")
    def told(ticket: str) -> dict[str, Any]:
        return studio.trainings.told(ticket)

    @app.post("/api/runs/{run}/stop")
    def stop(run: str) -> dict[str, Any]:
        studio.trainings.stop(run, finish=False)
        return {}

    @app.post("/api/runs/{run}/finish")
    def finish(run: str) -> dict[str, Any]:
        studio.trainings.stop(run, finish=True)
        return {}

    @app.post("/api/runs/{run}/resume")
    def resume(run: str) -> dict[str, Any]:
        folder = studio.library.folder(run)
        page = studio.pages.get(run.rpartition("-")[0], "")
        return {"ticket": studio.trainings.start(["resume", folder.name, *(["--page", page] if page else [])])}

    @app.post("/api/uploads")
    async def upload(request: Request) -> dict[str, Any]:
        content = await request.body()
        return await asyncio.to_thread(studio.trainings.uploads.take, content)

    @app.get("/api/uploads/{name}")
    def uploaded(name: str, target: str = "") -> dict[str, Any]:
        return studio.trainings.uploads.look(name, target)

    @app.get("/api/runs/{run}/doctor")
    def doctor(run: str) -> list[dict[str, Any]]:
        from ..report.health import diagnosis

        return [finding._asdict() for finding in diagnosis(studio.library.folder(run))]


def _live(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/events")
    async def events(request: Request, follow: str = "") -> Response:
        """Server-sent events: "runs", the list when it changed; "rows" of the logs followed as RUN@OFFSET,..."""
        if studio.streams >= MOST_STREAMS:
            return Response(f"at most {MOST_STREAMS} pages at once", 429)
        offsets: dict[str, int] = {}
        for item in follow.split(",")[:100]:
            run, _, at = item.rpartition("@")
            if run and at.isdecimal() and len(at) < 16:
                offsets[run] = int(at)
        return StreamingResponse(_counted(studio, _told(studio, offsets, request)), media_type="text/event-stream")

    @app.websocket("/api/desk")
    async def desk(socket: WebSocket) -> None:
        """Questions to a process with PyTorch, one for each socket; the messages are those of frames.py, both ways."""
        if studio.desks >= MOST_DESKS:
            await socket.close(4429, f"at most {MOST_DESKS} browsers at once")
            return
        await socket.accept()
        studio.desks += 1
        try:
            await _desk(studio, socket)
        finally:
            studio.desks -= 1


async def _counted(studio: Studio, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    studio.streams += 1
    try:
        async for event in stream:
            yield event
    finally:
        studio.streams -= 1


async def _told(studio: Studio, offsets: dict[str, int], request: Request) -> AsyncIterator[bytes]:
    before, ticks = "", 0
    while not studio.ending() and not await request.is_disconnected():
        sent = False
        for run, offset in list(offsets.items()):
            rows, offsets[run] = await asyncio.to_thread(studio.library.tail, run, offset)
            if rows or offsets[run] < offset:
                yield _event("rows", {"run": run, "from": offset, "offset": offsets[run], "rows": rows})
                sent = True
        if ticks % 20 == 0:
            listed = json.dumps(await asyncio.to_thread(studio.library.listed))
            if listed != before:
                before = listed
                yield b"event: runs\ndata: " + listed.encode() + b"\n\n"
            elif not sent and ticks % 300 == 0:
                yield b"event: alive\ndata: 1\n\n"
        ticks += 1
        await asyncio.sleep(TICK)


def _event(name: str, content: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n".encode()


async def _desk(studio: Studio, socket: WebSocket) -> None:
    """Carry messages between a socket and its child until either ends."""
    words = [sys.executable, "-P", "-m", "milestones.studio", str(studio.library.root), *studio.pages.values()]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, limit=LARGEST,
                                                 env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    source, sink = child.stdout, child.stdin

    async def asked() -> None:
        with contextlib.suppress(WebSocketDisconnect, ConnectionError, KeyError):
            while True:
                message = await socket.receive_bytes()
                sink.write(struct.pack("<I", len(message)) + message)
                await sink.drain()

    async def answered() -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, RuntimeError, ConnectionError):
            while True:
                (length,) = struct.unpack("<I", await source.readexactly(4))
                await socket.send_bytes(await source.readexactly(length))

    tasks = [asyncio.create_task(asked()), asyncio.create_task(answered())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the browser has gone already
            await socket.close(4500, "the desk's process has ended")
