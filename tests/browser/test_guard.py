"""The guard in real Chromium: pages of other sites, another name for this machine, and run folders made to harm."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, expect

from .conftest import Server, show
from .test_runs import made

HARM = "<img src=x onerror='window.harm=1'><script>window.harm = 1; parent.harm = 1; top.harm = 1</script>"


class Site:
    """Another site: a server on a port of its own."""

    def __init__(self) -> None:
        class Answer(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.0"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>another site</title><link rel=icon href='data:,'>")

            def log_message(self, format: str, *words: Any) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.root = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.server.shutdown()
    found.server.server_close()


def state(folder: Path) -> dict[str, bytes]:
    """All that lies under a studio's runs."""
    return {str(path): path.read_bytes() for path in sorted((folder / "runs").rglob("*")) if path.is_file()}


ATTACK = """async studio => {
    const said = {}, soon = new Promise((done) => setTimeout(() => done('nothing came'), 3000));
    const tried = async (name, call) => { said[name] = await Promise.race([call(), soon]).catch(() => 'refused'); };
    for (const mode of ['cors', 'no-cors']) for (const path of ['/', '/api/runs', '/api/runs/lenet-1/report']) {
        const read = { mode, credentials: 'include' };
        await tried(`${mode} ${path}`, async () => (await fetch(studio + path, read)).text());
        await tried(`${mode} delete`, async () => (await fetch(`${studio}/api/runs/lenet-1/delete`,
            { method: 'POST', mode, credentials: 'include', body: '{}' })).text());
    }
    await tried('own header', async () => (await fetch(`${studio}/api/runs/lenet-1/delete`,
        { method: 'POST', credentials: 'include', body: '{}', headers: { 'X-Milestones': '1' } })).text());
    await tried('socket', () => new Promise((done, fail) => {
        const socket = new WebSocket(studio.replace('http', 'ws') + '/api/desk');
        socket.onopen = () => done('open'); socket.onerror = fail;
    }));
    await tried('events', () => new Promise((done, fail) => {
        const source = new EventSource(studio + '/api/events', { withCredentials: true });
        source.onopen = () => done('open'); source.onerror = fail;
    }));
    await tried('img', () => new Promise((done, fail) => {
        const img = new Image(); img.onload = () => done('loaded'); img.onerror = fail;
        img.src = studio + '/api/runs/lenet-1/shows/train-1-a.png';
    }));
    await tried('script', () => new Promise((done, fail) => {
        const script = document.createElement('script'); script.onload = () => done('loaded'); script.onerror = fail;
        script.src = studio + '/page/main.js'; document.head.append(script);
    }));
    return said;
}"""


def test_another_site_reads_and_changes_nothing(opened: Callable[..., Page], studio: Server, site: Site) -> None:
    folder = made(studio.folder, "lenet-1")
    (folder / "shows").mkdir()
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    (folder / "shows" / "train-1-a.png").write_bytes(stream.getvalue())
    (folder / "report.html").write_text("<h1>the report</h1>")
    before = state(studio.folder)
    page = opened("#/runs")
    (cookie,) = page.context.cookies(studio.root)
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"

    def tries(other: Page) -> None:
        said = other.evaluate(ATTACK, studio.root)
        for name, result in said.items():
            assert result == "refused" or (name.startswith("no-cors") and result == ""), (name, result)
        assert {"socket", "events", "img", "script", "own header", "cors /", "no-cors delete"} <= said.keys()
        for path in ("/", "/api/runs/lenet-1/report"):
            with other.expect_response(studio.root + path) as answer:
                other.evaluate("""address => { const frame = document.createElement('iframe'); frame.src = address;
                                  document.body.append(frame); }""", studio.root + path)  # fmt: skip
            assert answer.value.status in (401, 403)
        with other.expect_navigation() as answer:
            other.evaluate("""address => { const form = document.createElement('form'); form.method = 'post';
                              form.action = address; document.body.append(form); form.submit(); }""",
                           f"{studio.root}/api/runs/lenet-1/delete")  # fmt: skip
        assert answer.value.status == 403
        assert cookie["name"] in answer.value.request.all_headers().get("cookie", "")  # so it was not for want of it
        assert state(studio.folder) == before

    other = page.context.new_page()  # the same browser: it has the cookie, and a port is no other site to cookies
    other.goto(site.root)
    tries(other)
    show(page, "#/runs")  # and the studio's own page works as before
    expect(page.locator(".runs")).to_contain_text("lenet-1")


def test_another_name_for_this_machine_is_refused(playwright: Playwright, browser: Browser, studio: Server) -> None:
    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    rules = ["--no-sandbox", "--host-resolver-rules=MAP evil.test 127.0.0.1", "--no-proxy-server"]
    rebound = playwright.chromium.launch(executable_path=path, args=rules)
    try:
        page = rebound.new_page()
        port = studio.root.rpartition(":")[2]
        for address in ("/", "/api/runs", studio.link.removeprefix(studio.root), "/page/main.js", "/login"):
            answer = page.goto(f"http://evil.test:{port}{address}")
            assert answer is not None and answer.status == 403, address
            assert "expected this studio's own address" in answer.text()
        assert page.context.cookies() == []
        answer = page.goto(studio.link)  # the key was not used up
        assert answer is not None and answer.status == 200
    finally:
        rebound.close()


def hostile(root: Path) -> Path:
    """A run whose every text is HTML."""
    folder = made(root, "lenet-1")
    lines = [{"stage": HARM, "step": i, "seconds": i, "loss": 1 / i, HARM: i} for i in range(1, 9)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = {"format": 1, "system": HARM, "preset": HARM, "seed": 0, "began": 1.7e9, "command": HARM,
              "config": {HARM: HARM, "lr": HARM}, "choice": {"page": HARM}}  # fmt: skip
    score = {"value": 2.0, "low": 1.5, "high": 2.5, "unit": HARM, "better": "lower", "data": HARM, "split": HARM,
             "over": 9, "paper": 1.0, "paper_data": HARM, "note": HARM}  # fmt: skip
    report = {"format": 1, "scores": {HARM: score}, "plan": HARM, "findings": [{"sure": HARM, "says": HARM}],
              "data": {"name": HARM, "train": 3}, "versions": {"machine": HARM}}  # fmt: skip
    status = {**json.loads((folder / "status.json").read_text()), "problem": HARM, "stage": HARM}
    for name, content in (("config", config), ("report", report), ("status", status)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "shows").mkdir()
    (folder / "shows" / "train-1-a.txt").write_text(HARM)
    (folder / "shows" / "train-1-b.json").write_text(json.dumps({"format": 1, "value": {"value": 1.0, "unit": HARM}}))
    (folder / "shows" / "train-1-c.json").write_text(json.dumps({"format": 1, "value": {HARM: HARM}}))
    (folder / "report.html").write_text(f"<!doctype html><title>r</title><h1>the report</h1>{HARM}")
    return folder


def test_a_run_folder_made_to_harm_is_shown_as_text(opened: Callable[..., Page], studio: Server) -> None:
    hostile(studio.folder)
    page = opened("#/runs")
    expect(page.locator(".runs tbody")).to_contain_text("<script>window.harm = 1")
    page.get_by_label("Select lenet-1").check()
    expect(page.locator(".curves[data-drawn='1'] canvas")).to_be_visible()
    assert page.evaluate("window.harm") is None
    show(page, "#/runs/lenet-1")
    expect(page.locator("#view")).to_contain_text("<script>window.harm = 1")
    expect(page.locator(".samples .held").first).not_to_be_empty()
    expect(page.locator("figure.sample", has=page.get_by_text("a", exact=True))).to_contain_text("<script>")
    assert page.locator("#view script, #view img[src=x]").count() == 0
    page.locator("summary", has_text="Report").click()
    expect(page.frame_locator("iframe.report").locator("h1")).to_have_text("the report")
    assert page.evaluate("window.harm") is None
    for address in ("report", "shows/train-1-a.txt", "shows/train-1-c.json"):
        alone = page.context.new_page()
        alone.goto(f"{studio.root}/api/runs/lenet-1/{address}")
        expect(alone.locator("body")).to_contain_text("the report" if address == "report" else "<script>")
        assert alone.evaluate("window.harm") is None
        assert alone.locator("script").count() == (address == "report")  # it is there, and did not run
        alone.close()
    blocked = "Blocked script execution", "Content Security Policy"
    page.problems[:] = [each for each in page.problems if not any(word in each for word in blocked)]


def test_a_script_put_into_the_page_does_not_run(opened: Callable[..., Page]) -> None:
    page = opened("#/")
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.harm = 1';
        document.body.append(script);
        const held = document.createElement('div');
        held.innerHTML = '<img src="data:," onerror="window.harm = 2"><button onclick="window.harm = 3">x</button>';
        document.body.append(held);
        held.querySelector('button').click();
        const far = document.createElement('script');
        far.src = 'data:text/javascript,window.harm = 4';
        document.body.append(far);
        return new Promise((done) => { far.onerror = done; });
    }""")  # fmt: skip
    assert page.evaluate("window.harm") is None
    expected = [each for each in page.problems if "Content Security Policy" in each]
    assert len(expected) >= 3
    page.problems[:] = [each for each in page.problems if each not in expected]


def test_values_of_another_kind_leave_a_run_readable(opened: Callable[..., Page], studio: Server) -> None:
    folder = made(studio.folder, "lenet-1")
    report = {"format": 1, "scores": {"error": {"value": 2, "low": 1, "high": 3}}, "plan": {"a": 1}, "data": 3,
              "findings": [{"says": {"a": 1}, "do": 7}], "versions": "x", "parameters": "many"}  # fmt: skip
    config = {"format": 1, "system": 7, "preset": [], "command": {"a": 1}, "config": "text", "choice": 3, "seed": "x"}
    plan = {"format": 1, "tried": "fast", "words": {"a": 1}}
    for name, content in (("config", config), ("report", report), ("plan", plan)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "shows").mkdir()
    (folder / "shows" / "train-1-a.json").write_text("[[1, null], {}")
    (folder / "shows" / "train-1-b.json").write_text('{"png": 3, "height": -1, "width": "x"}')
    (folder / "shows" / "train-1-c.json").write_text('{"board": [[1], 3], "pieces": 3}')
    page = opened("#/runs")
    expect(page.locator(".runs tbody")).to_contain_text("lenet-1")
    show(page, "#/runs/lenet-1")
    expect(page.locator("h1")).to_have_text("lenet-1")
    expect(page.locator(".samples .held")).to_have_count(3)
