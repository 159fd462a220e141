"""The door of a shared studio: a password makes a browser a viewer. Plain HTML: it works before anything is trusted."""

from __future__ import annotations

import html
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

if TYPE_CHECKING:
    from .serve import Studio

FREE = 3  # wrong passwords before the door slows down
LONGEST = 60.0  # seconds that it may then stay closed
MOST_ADDRESSES = 1000
FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Look on · milestones</title><link rel="stylesheet" href="/login.css"></head>
<body><main><h1>Look on</h1><p>You can look at all of this studio, and change nothing.</p>
<form method="post" action="/login"><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="off" required autofocus maxlength="200">
<button type="submit">Look on</button></form><p role="alert">{said}</p></main></body></html>
"""


class Door:
    """Counts wrong passwords by address: after a few, the next try waits, twice as long each time."""

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}  # address -> how many, and when the next may come

    def wait(self, address: str) -> float:
        """Seconds until the address may try; 0 now."""
        return max(0.0, self._wrong.get(address, (0, 0.0))[1] - time.monotonic())

    def wrong(self, address: str) -> None:
        """Count a wrong password."""
        count = self._wrong.pop(address, (0, 0.0))[0] + 1
        pause = min(LONGEST, 2.0 ** (count - FREE)) if count >= FREE else 0.0
        while len(self._wrong) >= MOST_ADDRESSES:
            self._wrong.pop(next(iter(self._wrong)))
        self._wrong[address] = count, time.monotonic() + pause

    def right(self, address: str) -> None:
        """Forget the wrong ones."""
        self._wrong.pop(address, None)


def add(app: FastAPI, studio: Studio, page: Path) -> None:
    """Add the routes."""
    door, style = Door(), (page / "login.css").read_bytes()

    def form(said: str, status: int) -> Response:
        return Response(FORM.replace("{said}", html.escape(said)), status, media_type="text/html; charset=utf-8")

    @app.get("/login")
    async def asked() -> Response:
        if not studio.keys.shared:
            return form("This studio is not shared. Its owner can: milestones studio --share PASSWORD", 404)
        return form("", 200)

    @app.get("/login.css")
    async def dress() -> Response:
        return Response(style, media_type="text/css; charset=utf-8")

    @app.post("/login")
    async def tried(request: Request) -> Response:
        address = request.client.host if request.client else ""
        if wait := door.wait(address):
            answer = form(f"Too many wrong passwords. Try again in {wait + 1:.0f} s.", 429)
            answer.headers["retry-after"] = f"{wait + 1:.0f}"
            return answer
        try:
            given = parse_qs((await request.body()).decode("ascii", "replace"), max_num_fields=10).get("password", [""])
        except ValueError:
            given = [""]
        value = studio.keys.admit(given[0])
        if not value:
            door.wrong(address)
            return form("That is not the password.", 401)
        door.right(address)
        came = RedirectResponse("/", 303)
        came.set_cookie(studio.cookie, value, httponly=True, samesite="strict", path="/")
        return came
