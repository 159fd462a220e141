"""Every route and socket of the studio, listed from the application itself, refuses what is not its own page's."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milestones.core.errors import UserError
from milestones.studio import guard, login
from milestones.studio.guard import MARK, POLICY, Guard, Keys
from milestones.studio.serve import Studio, build

HOST = "127.0.0.1:8421"
PASSWORD = "a long password"
SECRET = "the content of a file that is nobody's business"
OWN = {"host": HOST, "origin": f"http://{HOST}", MARK.decode(): "1", "sec-fetch-site": "same-origin"}
OPEN = ("/enter", "/login", "/login.css")


class Told:
    """An answer."""

    def __init__(self, messages: list[Any]) -> None:
        first = messages[0] if messages else {}
        self.code: int = first.get("status", first.get("code", 0))
        self.headers = {name.decode(): value.decode() for name, value in first.get("headers", [])}
        self.body = b"".join(message.get("body", b"") for message in messages)
        self.opened = first.get("type") == "websocket.accept"


def ask(app: Guard, method: str, path: str, headers: Any, body: bytes | list[bytes] = b"", client: str = "") -> Told:
    """What the application answers, spoken to as a server does; a stream is left after its first piece."""
    raw, _, query = path.partition("?")
    fields = headers.items() if isinstance(headers, dict) else headers
    parts = [body] if isinstance(body, bytes) else body
    socket = method == "SOCKET"
    scope = {
        "type": "websocket" if socket else "http", "http_version": "1.1", "method": method,
        "query_string": query.encode(),
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"), "raw_path": raw.encode(), "root_path": "",
        "scheme": "ws" if socket else "http", "client": (client or "127.0.0.1", 5000), "server": ("127.0.0.1", 8421),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields], "subprotocols": [],
    }  # fmt: skip
    if socket:
        del scope["method"]
    inbox = [{"type": "websocket.connect"}] if socket else [
        {"type": "http.request", "body": part, "more_body": at < len(parts) - 1} for at, part in enumerate(parts)
    ]  # fmt: skip
    messages: list[Any] = []

    async def receive() -> Any:
        if inbox:
            return inbox.pop(0)
        while not any(message.get("body") for message in messages) and not socket:
            await asyncio.sleep(0.01)
        return {"type": "websocket.disconnect"} if socket else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))
    return Told(messages)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one in it, and files beside it that are nobody's business."""
    place = tmp_path_factory.mktemp("place")
    run = place / "runs" / "mlp-1"
    (run / "shows").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"format": 1, "system": "mlp", "config": {}, "seed": 0}))
    (run / "log.jsonl").write_text('{"stage": "train", "step": 1, "loss": 2.0}\n')
    (run / "report.html").write_text("<!doctype html><p>a report")
    (run / "shows" / "train-1-a.txt").write_text("a sample")
    for path in (place / "secret.txt", place / "secret.py", place / "runs" / "secret.json", run / "secret.txt"):
        path.write_text(SECRET)
    return place


@pytest.fixture(scope="module")
def studio(folder: Path) -> Studio:
    return Studio(folder / "runs", {}, Keys(PASSWORD), "milestones_8421")


@pytest.fixture(scope="module")
def app(studio: Studio) -> Guard:
    return build(studio, {HOST, "localhost:8421", "10.0.0.7:8421"})


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, studio: Studio) -> None:
    """No route starts a process here: what reaches one is told by what it answers."""

    def started(*_: object) -> str:
        return "started"

    monkeypatch.setattr(studio.trainings, "start", started)
    monkeypatch.setattr(studio.trainings.uploads, "take", lambda content: {"id": len(content)})


def owner(studio: Studio) -> dict[str, str]:
    return {"cookie": f'other={{"x": 1}}; milestones_8421={studio.keys.exchange(studio.keys.key)}; more'}


def viewer(studio: Studio) -> dict[str, str]:
    return {"cookie": f"milestones_8421={studio.keys.admit(PASSWORD)}"}


def routes(app: Guard) -> Iterator[tuple[str, str]]:
    """(method, address) of all routes and sockets, with words for their parameters."""
    found = 0
    for route in app.app.routes:  # type: ignore[attr-defined]
        assert isinstance(route, APIRoute | APIWebSocketRoute), f"{route} is served, but not looked at here"
        address = re.sub(r"\{\w+(:path)?\}", "mlp-1", route.path)
        found += 1
        for method in sorted(route.methods) if isinstance(route, APIRoute) else ["SOCKET"]:
            yield method, address
    assert found > 15


def test_without_a_key_or_with_a_wrong_one_nothing_is_told(app: Guard) -> None:
    for method, address in routes(app):
        if address not in OPEN:
            for cookie in ({}, {"cookie": "milestones_8421=guess"}, {"cookie": "milestones_8421="},
                           {"cookie": "milestones_8422=x; =; ;;\x80"}):  # fmt: skip
                told = ask(app, method, address, {**OWN, **cookie})
                assert told.code in (401, 4401), (method, address, cookie)
                assert not told.opened
    assert ask(app, "POST", "/enter", OWN).code == 405


@pytest.mark.parametrize("host", [
    "", "evil.example", "evil.example:8421", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8421.evil.example", "localhost",
    "127.0.0.1:8421@evil.example", "evil.example#127.0.0.1:8421", "127.1:8421", "0.0.0.0:8421", "[::1]:8421",
    "127.0.0.1:08421", "127.0.0.1:8421 ", "2130706433:8421", "10.0.0.8:8421",
])  # fmt: skip
def test_another_host_is_refused_even_with_the_key(app: Guard, studio: Studio, host: str) -> None:
    key = owner(studio)
    for method, address in routes(app):
        headers = {**OWN, **key, "host": host, "origin": f"http://{host}"}
        assert ask(app, method, address, headers).code in (403, 4403), (method, address)
    without = {name: value for name, value in {**OWN, **key}.items() if name != "host"}
    assert ask(app, "GET", "/", without).code == 403


def test_two_hosts_or_two_origins_are_refused(app: Guard, studio: Studio) -> None:
    for name, value in (("host", "evil.example"), ("host", HOST), ("origin", "null"), ("content-length", "0")):
        headers = [(name, value), *{**OWN, **owner(studio), "content-length": "0"}.items()]
        assert ask(app, "GET", "/api/runs", headers).code == 400


def test_other_sites_are_refused_even_with_the_key(app: Guard, studio: Studio, quiet: None) -> None:
    key = owner(studio)
    foreign = ["null", "http://evil.example", f"https://{HOST}", "http://127.0.0.1:9999", "http://127.0.0.1",
               "http://localhost:8421", f"http://{HOST}.evil.example", f"http://{HOST}/", ""]  # fmt: skip
    for method, address in routes(app):
        for origin in foreign:
            told = ask(app, method, address, {**OWN, **key, "origin": origin})
            assert told.code in (403, 4403), (method, address, origin)
        for site in ("cross-site", "same-site", "anything"):
            told = ask(app, method, address, {**OWN, **key, "sec-fetch-site": site})
            assert told.code in (403, 4403) or (address in OPEN and method == "GET"), (method, address, site)
        if method in ("POST", "SOCKET"):
            without = {name: value for name, value in {**OWN, **key}.items() if name != "origin"}
            assert ask(app, method, address, without).code in (403, 4403), (method, address)
        if method == "POST" and address != "/login":  # as a form sends it
            form = {name: value for name, value in {**OWN, **key}.items() if name != MARK.decode()}
            form["content-type"] = "application/x-www-form-urlencoded"
            assert ask(app, method, address, form, b"a=b").code == 403, address


def test_a_viewer_looks_and_changes_nothing(app: Guard, studio: Studio, quiet: None) -> None:
    key = viewer(studio)
    for method, address in routes(app):
        told = ask(app, method, address, {**OWN, **key}, client="10.0.0.9")
        if address in OPEN:
            continue
        if method in ("POST", "SOCKET") or address.startswith("/api/uploads"):
            assert told.code in (403, 4403), (method, address)
        else:
            assert told.code in (200, 404, 422), (method, address)
    assert json.loads(ask(app, "GET", "/api/me", {**OWN, **key}).body)["role"] == "viewer"


def test_nobody_of_the_network_is_owner(app: Guard, studio: Studio) -> None:
    key = owner(studio)
    assert ask(app, "GET", "/api/me", {**OWN, **key}).code == 200
    assert ask(app, "GET", "/api/me", {**OWN, **key}, client="10.0.0.9").code == 401
    link = f"/enter?key={studio.keys.key}"
    assert ask(app, "GET", link, OWN, client="10.0.0.9").code == 403
    assert ask(app, "GET", link, {"host": HOST}).code == 303  # it was not spent


def test_other_methods_are_refused(app: Guard, studio: Studio) -> None:
    key = owner(studio)
    for address in sorted({address for _, address in routes(app)}):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"):
            told = ask(app, method, address, {**OWN, **key})
            assert told.code == 405, (method, address)
            assert "access-control-allow-origin" not in told.headers


def test_a_large_body_is_refused_however_it_comes(app: Guard, studio: Studio, quiet: None,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(guard, "LARGEST_UPLOAD", 2 << 20)
    key = {**OWN, **owner(studio)}
    piece = b"x" * (1 << 18)
    for method, address in routes(app):
        if method != "POST":
            continue
        many = [piece] * (10 if address == guard.UPLOADS else 6)
        assert ask(app, method, address, key, many).code == 413, address  # chunked: no length is told
        assert ask(app, method, address, {**key, "content-length": "5"}, many).code == 413, address
        for length in ("99999999999", "9" * 5000, "-1", "five", "1e3", "+5"):
            assert ask(app, method, address, {**key, "content-length": length}).code == 413, (address, length)
    assert json.loads(ask(app, "POST", guard.UPLOADS, key, [piece] * 8).body) == {"id": 2 << 20}
    endless = ask(app, "POST", guard.UPLOADS, key, [piece] * 400)
    assert endless.code == 413


def test_a_body_that_does_not_go_on_is_not_waited_for(app: Guard, studio: Studio,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(guard, "SLOWEST", 0.05)

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def body() -> bytes | None:
        return await guard.whole(receive, b"10", 100)

    with pytest.raises(TimeoutError):
        asyncio.run(body())


def test_every_answer_has_the_headers(app: Guard, studio: Studio, quiet: None) -> None:
    answers = []
    key = owner(studio)
    for method, address in routes(app):
        if method != "SOCKET":
            answers += [ask(app, method, address, {**OWN, **key}), ask(app, method, address, {**OWN, "host": "x"})]
            answers.append(ask(app, method, address, OWN))
    answers += [ask(app, "GET", "/nothing/here", {**OWN, **key}), ask(app, "PUT", "/", {**OWN, **key}),
                ask(app, "GET", "/", {**OWN, "accept": "text/html"}),
                ask(app, "POST", "/api/trainings", {**OWN, **key, "content-length": "9" * 12})]  # fmt: skip
    assert {answer.code for answer in answers} >= {200, 401, 403, 404, 405, 413, 422}
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy or policy.startswith("sandbox; ")
        assert not any(name.startswith("access-control") for name in answer.headers)
    report = ask(app, "GET", "/api/runs/mlp-1/report", {**OWN, **key})
    assert report.headers["content-security-policy"] == guard.REPORT_POLICY
    odd = ask(app, "GET", "/page/x/report", {**OWN, **key})
    assert odd.headers["content-security-policy"] == POLICY


def test_a_key_opens_once_and_the_cookie_is_strict(app: Guard, studio: Studio) -> None:
    said: list[str] = []
    studio.keys.used = lambda: said.append(studio.keys.key)
    first = studio.keys.key
    told = ask(app, "GET", f"/enter?key={first}", {"host": HOST})
    assert (told.code, told.headers["location"]) == (303, "/")
    words = told.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= set(words)
    assert said == [studio.keys.key] != [first]
    again = ask(app, "GET", f"/enter?key={first}", OWN)
    assert (again.code, "set-cookie" in again.headers) == (401, False)
    for wrong in ("", "?key=", "?key=%00", "?key=%ff", "?other=1", f"?key={first}x"):
        assert ask(app, "GET", f"/enter{wrong}", OWN).code == 401
    afar = ask(app, "GET", f"/enter?key={studio.keys.key}", {**OWN, "sec-fetch-site": "cross-site"})
    assert (afar.code, b'content="0;url=/"' in afar.body) == (200, True)  # a redirect would come without the cookie
    studio.keys.used = lambda: None


def test_the_password_makes_a_viewer_and_wrong_ones_slow_the_door(app: Guard, studio: Studio,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    form = {"host": "10.0.0.7:8421", "origin": "http://10.0.0.7:8421", "sec-fetch-site": "same-origin"}

    def tried(word: str, client: str = "10.0.0.9") -> Told:
        return ask(app, "POST", "/login", form, f"password={quote(word)}".encode(), client)

    assert b'action="/login"' in ask(app, "GET", "/login", {"host": HOST}).body
    assert b"prefers-color-scheme" in ask(app, "GET", "/login.css", {"host": HOST}).body
    right = tried(PASSWORD)
    assert (right.code, right.headers["location"]) == (303, "/")
    assert {"httponly", "samesite=strict"} <= set(right.headers["set-cookie"].lower().split("; "))
    cookie = right.headers["set-cookie"].split(";")[0].split("=")[1]
    assert studio.keys.role(cookie) == "viewer"
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert [tried("guess").code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert tried(PASSWORD).code == 429  # closed for the right one, too
    assert tried(PASSWORD, "10.0.0.10").code == 303  # but not for others
    now[0] += 1.1
    assert b"not the password" in tried("<script>").body
    assert int(tried(PASSWORD).headers["retry-after"]) >= 2  # longer than before
    now[0] += login.LONGEST
    assert tried(PASSWORD).code == 303
    monkeypatch.undo()
    for body in (b"", b"password", b"password=%ff%00", b"\xff" * 100, b"&" * 4000, b"x=1&" * 900):
        assert ask(app, "POST", "/login", form, body, "10.0.0.11").code in (401, 429), body[:20]
    assert ask(app, "POST", "/login", form, b"password=" + b"x" * 5000).code == 413
    assert ask(app, "POST", "/login", {**form, "origin": "http://evil.example"}, b"password=x").code == 403
    door = login.Door()
    for at in range(3 * login.MOST_ADDRESSES):
        door.wrong(str(at))
    assert len(door._wrong) <= login.MOST_ADDRESSES
    alone = Studio(studio.library.root, {}, Keys(), "milestones_8421")
    assert ask(build(alone, {HOST}), "GET", "/login", {"host": HOST}).code == 404
    assert alone.keys.admit("") == alone.keys.role("") == ""


TRICKS = [
    "..", "../secret.txt", "../../secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "%252e%252e%252fsecret.txt",
    "..\\secret.txt", "..%5csecret.txt", "%2e%2e%5csecret.txt", "C:\\secret.txt", "C:%5csecret.txt", "c:secret.txt",
    "%5c%5cserver%5cshare%5csecret.txt", "//server/share", "%2fetc%2fpasswd", "/etc/passwd", "%00", "secret.txt%00.png",
    "mlp-1%2f..%2f..%2fsecret.txt", "shipped:..%2f..%2fsecret", "shipped:", ".studio", "~%2fsecret.txt", "%ff%fe",
    "....//secret.txt", "..;/secret.txt", "secret.txt", "secret.json", "secret.py", "..%2fsecret.py",
    "file:%2f%2f%2fetc",     "CON", "nul.png",
    "a" * 5000, "%0d%0aset-cookie:x=1", "\u202e", "%F0%9F%92%A9", ".", "*", "train-1-a.txt%2f..%2f..",
]  # fmt: skip


def test_no_word_for_a_parameter_gives_a_file_outside(app: Guard, studio: Studio, folder: Path, quiet: None,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    key = {**OWN, **owner(studio)}
    for trick in [*TRICKS, str(folder / "secret.txt"), quote(str(folder / "secret.py"), safe="")]:
        word = quote(trick, safe="/%:;~*\\.")
        for route in app.app.routes:  # type: ignore[attr-defined]
            if not isinstance(route, APIRoute):
                continue
            names = re.findall(r"\{(\w+)", route.path)
            for name in names:  # one at a time: the others are real
                address = route.path
                for each in re.findall(r"\{\w+(?::path)?\}", address):
                    real = "mlp-1" if each == "{run}" else "x"
                    address = address.replace(each, word if each.startswith("{" + name) else real)
                for method in route.methods:
                    told = ask(app, method, address, key, b"{}")
                    assert told.code in (400, 403, 404, 405, 422, 401), (method, address[:90], told.code)
                    assert SECRET.encode() not in told.body
    for trick in [*TRICKS, str(folder / "secret.py"), "secret.py", "../secret.py"]:
        body = json.dumps({"system": trick, "settings": {}}).encode()
        told = ask(app, "POST", "/api/trainings", key, body)
        assert (told.code, b"a page of this studio" in told.body) == (422, True), trick
        for more in ({"options": {"data": trick}}, {"options": {trick: trick}}, {"settings": {trick: trick}}):
            told = ask(app, "POST", "/api/trainings", key, json.dumps({"system": "mlp", **more}).encode())
            assert told.code == 422, (trick, more)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(word=st.text(min_size=1, max_size=40), more=st.sampled_from(["", "/", "../", "..\\", "%2e%2e/"]))
def test_no_route_takes_a_path(app: Guard, studio: Studio, word: str, more: str) -> None:
    key = {**OWN, **viewer(studio)}
    word = quote(more + word, safe="")
    for address in (f"/page/{word}", f"/api/runs/{word}", f"/api/runs/{word}/log", f"/api/runs/{word}/zip",
                    f"/api/runs/mlp-1/shows/{word}", f"/api/systems/{word}", f"/api/events?follow={word}@{word}",
                    f"/api/curves?runs={word}&name={word}&low={word}", f"/api/compare?runs={word},{word}"):  # fmt: skip
        told = ask(app, "GET", address, key)
        assert told.code < 500, address
        assert SECRET.encode() not in told.body


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["system", "preset", "settings", "seed", "options", "data", "hidden", "runs", "lr"]), inner),
    max_leaves=8).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_question_is_our_fault(app: Guard, studio: Studio, quiet: None, body: bytes) -> None:
    key = {**OWN, **owner(studio)}
    for method, address in routes(app):
        if method == "POST" and address not in (guard.UPLOADS, "/login") and not address.endswith("/delete"):
            told = ask(app, method, address, key, body)
            assert told.code < 500, (address, body)


def test_a_page_is_one_of_the_studio(studio: Studio, folder: Path) -> None:
    from milestones.studio import pages

    for name in (str(folder / "secret.py"), "secret.py", "", "mlp.py"):
        with pytest.raises(UserError, match="a page of this studio"):
            pages.system(name, {})


def test_streams_are_counted_and_limited(app: Guard, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"host": HOST, **owner(studio)}
    told = ask(app, "GET", "/api/events", mine)
    assert told.code == 200 and b"event: runs" in told.body
    assert studio.streams == 0, "a stream that was left is not counted any longer"
    monkeypatch.setattr(studio, "streams", 64)
    told = ask(app, "GET", "/api/events", mine)
    assert told.code == 429 and told.body == b"at most 64 pages at once"
