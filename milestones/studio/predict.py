"""A run behind HTTP: what it is, what it answers, and whether it is well. What every question must pass stands before
the routes, in one layer."""

from __future__ import annotations

import asyncio
import functools
import json
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as NoRoute

from .. import __version__
from ..core.errors import UserError, nearest
from ..verbs.use import cautious, chosen, plain, threshold
from .carry import options
from .guard import App, Message, Receive, Scope, Send, after, same, whole
from .posted import FORM, JSON, MOST_INPUTS, posted
from .together import Together

if TYPE_CHECKING:
    from ..trained import Trained

READERS = 2  # threads that read what was sent: a large picture shall not hold up the small ones
AT_ONCE = 16  # questions of the largest size that may be held in memory
OPEN = "/health"  # what needs no token
HEADERS = {b"x-content-type-options": b"nosniff", b"cache-control": b"no-store"}
INPUT = {
    "oneOf": [
        {"type": "string", "description": "a text"},
        {"type": "array", "description": "a picture: rows of grey levels 0 to 255, or of red, green and blue"},
        {"type": "object", "description": "a row of a table, column by column; or a board"},
        {"type": "object", "description": "a file of any kind that 'milestones use' reads", "additionalProperties":
         False, "required": ["name", "base64"],
         "properties": {"name": {"type": "string"}, "base64": {"type": "string"}}},
    ]
}  # fmt: skip

ANSWER = {
    "type": "object",
    "properties": {
        "run": {"type": "string"},
        "answers": {"type": "array", "items": {"type": "object", "properties": {"input": {"type": "string"}},
                    "description": "the input's name, then the answer, then what belongs to it"}},
    },
}  # fmt: skip
WRONG = {"type": "object", "properties": {"error": {"type": "string"}}}
OUTCOMES = {
    200: "answers, in the order of the inputs",
    401: "no token, or a wrong one",
    408: "the rest of a question did not come",
    413: "too large",
    422: "what was sent cannot be used",
    503: "too many questions now",
    504: "no answer in time",
}


class Limits(NamedTuple):
    """What one who asks may cost."""

    body: int  # bytes of a question
    queue: int  # questions that are read, wait or are answered, together
    seconds: float  # from a question's first line to its answer


class Service:
    """What the routes share."""

    def __init__(self, trained: Trained, limits: Limits, window: float, most: int) -> None:
        self.trained, self.limits = trained, limits
        self.schema = options(trained.system.use)
        self.together = Together(self._answers, window, most)
        self.readers = ThreadPoolExecutor(READERS)
        self.needed = functools.lru_cache(16)(self._needed)
        self.ending: Callable[[], bool] = lambda: False  # whether the server takes no more
        self.inside = 0  # questions now
        self.held = 0  # bytes that those may have

    def _needed(self, most: float) -> float:
        return threshold(self.trained.folder, most, self.trained.entry.name)[0]

    def _answers(self, items: list[Any], mark: Any) -> list[dict[str, Any]]:
        """For each input its answer for JSON, made here: a text that flows asks the net until its end."""
        said, needed = mark
        found = self.trained.use(items, dict(said))
        return [plain(cautious(one, needed) if needed is not None else one) for one in found]

    def asked(self, words: Mapping[str, str]) -> tuple[tuple[tuple[str, Any], ...], float | None]:
        """The options in an address, and how sure an answer must be. UserError: none of the page's options."""
        said, who, needed = dict(words), self.trained.entry.name, None
        if (most := said.pop("at_error", None)) is not None:
            try:
                needed = self.needed(float(most))
            except ValueError:
                raise UserError("at_error as a percentage of errors", repr(most)[:40], "For example 1", who) from None
        for name in said.keys() - self.schema.keys():
            names = [*self.schema, "at_error"]
            do = nearest(name, names, f"There are: {', '.join(names)}")
            raise UserError("an option of this run", repr(name)[:40], do, who)
        return tuple(sorted(chosen(self.schema, said, who).items())), needed

    def about(self) -> dict[str, Any]:
        """What is served."""
        labels = self.trained.facts.get("labels")
        return {
            "run": self.trained.folder.name, "system": self.trained.entry.name, "milestones": __version__,
            "takes": [kind.__name__.lower() for kind in self.trained.system.takes], "options": self.schema,
            "labels": [str(label) for label in labels] if isinstance(labels, list) else [],
            "now": self.inside, "calls": self.together.calls, "answered": self.together.items,
            "limits": self.limits._asdict(), "described": "/openapi.json",
        }  # fmt: skip

    def end(self) -> None:
        """Let the threads go; all is answered."""
        self.readers.shutdown(wait=False, cancel_futures=True)


def build(service: Service, token: str, hosts: set[str]) -> Door:
    """The application, behind its door. `hosts`: the names by which it may be asked; empty: any."""
    who = service.trained.entry.name
    app = FastAPI(title=f"milestones: {who}", version=__version__, docs_url=None, redoc_url=None)

    @app.get("/health", summary="Whether it answers: 200, or 503 while it ends")
    async def health() -> Response:
        ending = service.ending()
        return JSONResponse({"state": "ending" if ending else "ready"}, 503 if ending else 200)

    @app.get("/", summary="What is served")
    async def about() -> dict[str, Any]:
        return service.about()

    @app.post("/predict", summary="Answers, one for each input", openapi_extra=described(service),
              responses={code: {"description": why, "content": {JSON: {"schema": ANSWER if code == 200 else WRONG}}}
                         for code, why in OUTCOMES.items()})  # fmt: skip
    async def predict(request: Request) -> Response:
        mark = service.asked(request.query_params)
        kind, name = request.headers.get("content-type", ""), request.headers.get("x-file-name", "")
        work = functools.partial(posted, service.trained, kind, name, await request.body())
        items, names = await asyncio.get_running_loop().run_in_executor(service.readers, work)
        found = await asyncio.wrap_future(service.together.ask(items, mark))
        answers = [{"input": name, **one} for name, one in zip(names, found, strict=True)]
        content = {"run": service.trained.folder.name, "answers": answers}
        return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), media_type=JSON)

    @app.exception_handler(UserError)
    async def told(request: Request, problem: UserError) -> Response:
        return JSONResponse({"error": str(problem)}, 422)

    @app.exception_handler(NoRoute)
    async def lost(request: Request, problem: HTTPException) -> Response:
        return JSONResponse({"error": f"expected /predict, /health, / or /openapi.json: {problem.detail}"},
                            problem.status_code)  # fmt: skip

    if token:
        content = app.openapi()
        content["components"] = {**content.get("components", {}),
                                 "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}  # fmt: skip
        content["security"] = [{"token": []}]
    return Door(app, service, token, hosts)


def described(service: Service) -> dict[str, Any]:
    """What OpenAPI says of a question: the page's own options, and the three forms of a body."""
    known = [
        {"name": name, "in": "query", "description": one["description"],
         "schema": {key: one[key] for key in ("type", "default", "enum") if key in one}}
        for name, one in service.schema.items()
    ]  # fmt: skip
    sure = {"name": "at_error", "in": "query", "schema": {"type": "number", "minimum": 0, "exclusiveMaximum": 100},
            "description": "answer only as often as keeps the errors below so many percent; for classes"}  # fmt: skip
    file = {"type": "string", "format": "binary"}
    inputs = {"type": "array", "items": INPUT, "minItems": 1, "maxItems": MOST_INPUTS}
    return {"parameters": [*known, sure], "requestBody": {"required": True, "content": {
        JSON: {"schema": {"type": "object", "required": ["inputs"], "properties": {"inputs": inputs}}},
        FORM: {"schema": {"type": "object", "additionalProperties": file}},
        "*/*": {"schema": file},
    }}}  # fmt: skip


class Door:
    """An ASGI layer: refuses what may not come in, before any route sees it.

    Checked in this order: the Host on loopback (against DNS rebinding), other sites' pages, the token, how many
    questions are inside, how large they are and may be. A body is read here, whole. While the server ends, what comes
    is answered, and told to come no more.
    """

    def __init__(self, app: App, service: Service, token: str, hosts: set[str]) -> None:
        self.app = app
        self._service, self._token, self._hosts = service, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        send = self._dressed(send)
        code, why = self._refused(scope, headers)
        if code:
            await refuse(send, code, why, {b"www-authenticate": b"Bearer"} if code == 401 else {})
        elif scope["path"] == "/predict":
            await self._counted(scope, headers, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refused(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str]:
        """A status above 0 and the reason, if it is to be refused."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts and host not in self._hosts:
            return 403, "expected this machine's own address, got another Host. Ask 127.0.0.1, or serve with --host"
        origin = headers.get(b"origin")
        if (origin is not None and origin.decode("latin-1") != f"http://{host}") or headers.get(
            b"sec-fetch-site", b"none"
        ) not in (b"none", b"same-origin"):
            return 403, "expected a program's question, got one of another site's page"
        if self._token and scope["path"] != OPEN:
            kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            if kind.lower() != "bearer" or not same(given.strip(), self._token):
                return 401, "expected the header 'Authorization: Bearer TOKEN', got none or another token"
        return 0, ""

    async def _counted(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """A question among at most so many, of at most so many bytes, answered in at most so many seconds."""
        service, limits = self._service, self._service.limits
        length = headers.get(b"content-length", b"")
        size = min(int(length), limits.body) if length.isdigit() and len(length) < 16 else limits.body
        if service.inside >= limits.queue or (service.inside and service.held + size > AT_ONCE * limits.body):
            why = f"expected at most {limits.queue:,} questions at once, got more. Ask again in a second"
            await refuse(send, 503, why, {b"retry-after": b"1"})
            return
        service.inside, service.held, arrived = service.inside + 1, service.held + size, False
        begun = Begun(send)
        try:
            async with asyncio.timeout(limits.seconds):
                body = await whole(receive, length, limits.body)
                arrived = True
                if body is None:
                    most = f"{limits.body:,} bytes"
                    await refuse(send, 413, f"expected at most {most}, got more. Send less, or serve with --largest")
                    return
                await self.app(scope, after(body, receive), begun)
        except TimeoutError:
            if not begun.begun:
                why = ("no answer" if arrived else "no whole question") + f" within {limits.seconds:g} s"
                await refuse(send, 504 if arrived else 408, f"expected less to do, got {why}. Send fewer inputs",
                             {b"retry-after": b"1"} if arrived else {})  # fmt: skip
        except Exception as problem:
            traceback.print_exception(problem)
            if not begun.begun:
                await refuse(send, 500, f"This is our fault: {type(problem).__name__}. The terminal has the details")
        finally:
            service.inside, service.held = service.inside - 1, service.held - size

    def _dressed(self, send: Send) -> Send:
        async def inner(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(b"connection", b"close")] if self._service.ending() else []
                message = {**message, "headers": [*message.get("headers", []), *HEADERS.items(), *more]}
            await send(message)

        return inner


class Begun:
    """A `send` that knows whether an answer was begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


async def refuse(send: Send, code: int, why: str, more: Mapping[bytes, bytes] | None = None) -> None:
    """Answer with a status and one line."""
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode()), *(more or {}).items()]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
