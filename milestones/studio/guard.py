"""Who may ask the studio: one layer before every route and socket, so that none can be forgotten."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 1 << 20  # bytes of a question
LARGEST_UPLOAD = 64 << 20  # bytes of a file of the user's, on the one route that takes them
LARGEST_LOGIN = 1 << 12  # bytes from one who has no key yet
SLOWEST = 20.0  # seconds between two pieces of a body
UPLOADS = "/api/uploads"
ENTRIES = ("/enter", "/login", "/login.css")  # for those who have no key yet
REPORT = re.compile(r"/api/runs/[^/]+/report")
MARK = b"x-milestones"  # a header that no form of another site can set
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
          "media-src 'self' blob:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "
          "frame-ancestors 'none'")  # fmt: skip
REPORT_POLICY = ("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
                 "form-action 'none'; frame-ancestors 'self'")  # fmt: skip
HEADERS = {
    b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin", b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin", b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(self)",
}  # fmt: skip


class Keys:
    """The secrets of one server: a key for one browser at a time, the cookies they became, and a password.

    `owner` may do all; a `viewer`, who came by the password of a shared studio, may only look.
    """

    def __init__(self, password: str = "") -> None:
        self.key = secrets.token_urlsafe(32)
        self.password = password
        self._owner, self._viewer = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self.used: Callable[[], None] = lambda: None  # told when a key was used, and another is valid

    @property
    def shared(self) -> bool:
        """Whether others may look."""
        return bool(self.password)

    def exchange(self, key: str) -> str:
        """The cookie's value for a key, which is then of no use any more; empty for a wrong one."""
        if not same(key, self.key):
            return ""
        self.key = secrets.token_urlsafe(32)
        self.used()
        return self._owner

    def admit(self, password: str) -> str:
        """The cookie's value of a viewer, for the password; empty for a wrong one or where none is set."""
        return self._viewer if self.password and same(password, self.password) else ""

    def role(self, cookie: str) -> str:
        """owner, viewer, or empty."""
        if same(cookie, self._owner):
            return "owner"
        return "viewer" if self.password and same(cookie, self._viewer) else ""


def same(one: str, other: str) -> bool:
    """Equal, in a time that tells nothing."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


class Guard:
    """An ASGI layer: refuses what does not come from the studio's own page, before any route sees it.

    Checked in this order: Host (against DNS rebinding), Origin and Sec-Fetch-Site (against other sites), the method,
    the cookie, a header of our own (against forms), the role, the size of the body. A body is read here, whole, so that
    no route meets one that is too large or that never ends.
    """

    def __init__(self, app: App, keys: Keys, hosts: set[str], cookie: str) -> None:
        self.app = app  # to be asked for its routes; what is served is the guard
        self._keys, self._hosts, self._cookie = keys, hosts, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scope["role"] = self._role(scope, headers)
        code, why = self._refused(scope, headers)
        if code:
            await refuse(scope, receive, send, code, why, self._keys.shared and code == 401)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        limit = LARGEST_UPLOAD if scope["path"] == UPLOADS else LARGEST_BODY
        limit = LARGEST_LOGIN if scope["path"] in ENTRIES else limit
        try:
            body = await whole(receive, headers.get(b"content-length", b""), limit)
        except TimeoutError:
            await refuse(scope, receive, send, 408, f"expected the rest of a question within {SLOWEST:.0f} s, got none")
            return
        if body is None:
            size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit >> 10} KiB"
            await refuse(scope, receive, send, 413, f"expected at most {size}, got more. Send a smaller file")
            return
        await self.app(scope, after(body, receive), dressed(send, scope["path"]))

    def _role(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        """owner, viewer or empty. Whoever comes from another machine is no owner, whatever the cookie."""
        for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):  # other programs' may have any form
            name, _, value = part.strip().partition("=")
            if name == self._cookie and (role := self._keys.role(value)):
                return role if role != "owner" or near(scope) else ""
        return ""

    def _refused(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str]:
        """A status above 0 and the reason, if it is to be refused."""
        names = [name for name, _ in scope["headers"]]
        if any(names.count(name) > 1 for name in (b"host", b"origin", b"sec-fetch-site", b"content-length")):
            return 400, "expected each header once"
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            return 403, "expected this studio's own address, got another Host. Open the link that the terminal printed"
        socket = scope["type"] == "websocket"
        changes = socket or scope.get("method") not in ("GET", "HEAD")
        origin = headers.get(b"origin")
        if (origin is None and changes) or (origin is not None and origin.decode("latin-1") != f"http://{host}"):
            return 403, "expected a question of the studio's own page, got one of another site"
        entering = scope["path"] in ENTRIES
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin") and (changes or not entering):
            return 403, "expected a question of the studio's own page, got one of another site"
        if not socket and scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST"
        if scope["path"] == "/enter" and not near(scope):
            return 403, "expected the browser of the machine that runs the studio, got another. Go to /login instead"
        if entering and not socket:  # a link or a form, by a browser that has no cookie: a key or the password decides
            return 0, ""
        if not scope["role"]:
            return 401, "Open the link that the terminal printed: this browser has no key to the studio yet"
        if changes and not socket and MARK not in headers:
            return 403, "expected a question of the studio's own page, got a form"
        costs = changes or scope["path"].startswith(f"{UPLOADS}/")  # reading an upload starts a process
        if costs and scope["role"] != "owner":
            return 403, "this studio is shared for looking only"
        return 0, ""


def near(scope: Scope) -> bool:
    """Whether who asks is on this machine."""
    client = scope.get("client")
    return bool(client) and (client[0] == "::1" or client[0].startswith("127."))


def key_of(scope: Scope) -> str:
    """The key in the query of /enter."""
    found = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key", [""])
    return found[0]


async def whole(receive: Receive, length: bytes, most: int) -> bytes | None:
    """The body, whatever it said of its length; None where it is larger. What is too large is heard a little further,
    since a browser that is cut off while it sends does not read the answer. TimeoutError: it does not go on."""
    told = int(length) if length.isdigit() and len(length) < 16 else most + 1 if length else 0
    parts, size, more = [], 0, True
    while more and size <= 2 * max(most, LARGEST_BODY):
        message = await asyncio.wait_for(receive(), SLOWEST)
        if message["type"] != "http.request":
            break  # it has gone
        part = message.get("body", b"")
        size += len(part)
        more = message.get("more_body", False)
        if max(size, told) <= most:
            parts.append(part)
        else:
            parts.clear()
    return b"".join(parts) if max(size, told) <= most else None


def after(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, and then what comes."""
    given = False

    async def inner() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return inner


def dressed(send: Send, path: str) -> Send:
    """`send`, with the headers that every answer has."""
    report = REPORT.fullmatch(path) is not None

    async def inner(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = {**HEADERS, b"content-security-policy": (REPORT_POLICY if report else POLICY).encode()}
            if not report:
                more[b"x-frame-options"] = b"DENY"
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in more]
            message = {**message, "headers": [*kept, *more.items()]}
        await send(message)

    return inner


async def refuse(scope: Scope, receive: Receive, send: Send, code: int, why: str, door: bool = False) -> None:
    """Answer with a status and one line; a socket is closed before it opens. `door`: with the way to the password."""
    if scope["type"] == "websocket":
        await receive()  # the question to connect
        await send({"type": "websocket.close", "code": 4000 + code, "reason": why[:100]})
        return
    body = json.dumps({"error": why}).encode()
    kind = b"application/json"
    if b"text/html" in dict(scope["headers"]).get(b"accept", b""):
        way = ' To look on, <a href="/login">give the password</a>.' if door else ""
        body = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>milestones</title><p>{why}.{way}'.encode()
        kind = b"text/html; charset=utf-8"
    send = dressed(send, "")
    await send({"type": "http.response.start", "status": code, "headers": [(b"content-type", kind),
                (b"content-length", str(len(body)).encode())]})  # fmt: skip
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})
