"""A run behind HTTP: batches, limits, the token, what is no file, and an end that loses nothing."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image as Pillow

from milestones.catalog import load
from milestones.cli import main
from milestones.core.errors import UserError
from milestones.media import Audio, Text
from milestones.studio.posted import File, posted
from milestones.studio.together import Together

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-many-letters"


def png(seed: int) -> bytes:
    """A stroke of ink somewhere."""
    rng, pixels = np.random.default_rng(seed), np.full((40, 40), 255, np.uint8)
    row, column = rng.integers(4, 20, 2)
    pixels[row : row + 14, column : column + 3 + seed % 4] = 0
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class Slow:
    """Doubles numbers, notes what came together, and waits at a gate."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, items: list[Any], mark: Any) -> list[Any]:
        self.gate.wait(10)
        self.batches.append(list(items))
        if "bad" in items:
            raise UserError("a number", "'bad'", "Send one")
        return [item * 2 for item in items]


@pytest.fixture
def slow() -> Slow:
    return Slow()


def test_what_comes_together_is_answered_together(slow: Slow) -> None:
    together = Together(slow, window=0.2, most=8)
    found = [together.ask([n, n + 100]) for n in range(3)]
    assert [one.result(5) for one in found] == [[2 * n, 2 * n + 200] for n in range(3)]
    assert slow.batches == [[0, 100, 1, 101, 2, 102]]
    assert (together.calls, together.items) == (1, 6)
    together.end()


def test_a_batch_has_an_end_and_one_mark(slow: Slow) -> None:
    together = Together(slow, window=0.05, most=4)
    slow.gate.clear()
    marks = ["a", "b", "a", "a", "b", "a"]
    first = together.ask([9], "first")
    time.sleep(0.2)  # its window is over: what follows waits behind it, and for no window of its own
    found = [together.ask([n], mark) for n, mark in enumerate(marks)]
    large = together.ask(list(range(10, 16)), "a")
    slow.gate.set()
    assert [one.result(5) for one in [first, *found]] == [[18], *([2 * n] for n in range(6))]
    assert large.result(5) == [2 * n for n in range(10, 16)]
    assert slow.batches == [[9], [0, 2, 3, 5], [1, 4], list(range(10, 16))]
    together.end()


def test_a_bad_one_spoils_no_other(slow: Slow) -> None:
    together = Together(slow, window=0.2, most=8)
    found = [together.ask([item]) for item in (1, "bad", 3)]
    assert [found[0].result(5), found[2].result(5)] == [[2], [6]]
    with pytest.raises(UserError, match="expected a number, got 'bad'"):
        found[1].result(5)
    assert slow.batches == [[1, "bad", 3], [1], ["bad"], [3]]
    together.end()


def test_what_was_given_up_is_not_computed(slow: Slow) -> None:
    together = Together(slow, window=0.0, most=8)
    slow.gate.clear()
    first = together.ask([1])
    time.sleep(0.1)
    second, third = together.ask([2]), together.ask([3])
    assert second.cancel()
    slow.gate.set()
    assert third.result(5) == [6]
    assert first.result(5) == [2]
    with pytest.raises(CancelledError):
        second.result()
    assert [2] not in slow.batches
    together.end()


def test_the_end_answers_what_was_asked(slow: Slow) -> None:
    together = Together(slow, window=0.5, most=8)
    found = [together.ask([n], n % 2) for n in range(6)]
    together.end()
    assert [one.result(0) for one in found] == [[2 * n] for n in range(6)]


def wav() -> bytes:
    return Audio(np.sin(np.arange(8000) / 5).astype(np.float32), 8000).encode()[1]


def form(files: dict[str, bytes]) -> tuple[str, bytes]:
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in files.items()
    ]
    return "multipart/form-data; boundary=cut", b"".join(parts) + b"--cut--\r\n"


def test_bodies_become_media() -> None:
    """The same picture in each of the forms is the same media."""
    lenet = load("lenet")
    pixels = np.asarray(Pillow.open(io.BytesIO(png(1))))
    told = json.dumps({"inputs": [pixels.tolist(), {"name": "x.png", "base64": base64.b64encode(png(1)).decode()}]})
    several, body = form({"a/b.png": png(1), "c.png": png(1)})
    sent = [("image/png", "", png(1)), ("", "../../x.png", png(1)), (several, "", body)]
    for kind, name, content in [*sent, ("application/json; charset=utf-8", "", told.encode())]:
        items, names = posted(lenet, kind, name, content)
        assert all(np.array_equal(item.pixels, pixels) for item in items)
        assert not any("/" in one for one in names)
    words = load("words")
    assert posted(words, "application/json", "", b'{"inputs": ["a walk", "/etc/hosts"]}')[0] == [
        Text("a walk"),
        Text("/etc/hosts"),  # words, never a file of this machine
    ]
    assert posted(words, "text/plain", "", "ä b\nc\n".encode())[0] == [Text("ä b"), Text("c")]
    assert posted(load("perceptron"), "text/csv", "", b"x1,x2\n1,2\n3,4\n")[1] == ["input.csv:1", "input.csv:2"]
    kind, body = form({"a.wav": wav(), "b.wav": wav()})
    sounds, names = posted(load("sounds"), kind, "", body)
    assert names == ["a.wav", "b.wav"]
    assert len(sounds[0].samples) == 8000


BAD = [
    ("application/json", b"[1", 'expected JSON as {"inputs": [...]}, got something else'),
    ("application/json", b"[" * 100_000, 'expected JSON as {"inputs": [...]}'),
    ("application/json", b'{"inputs": []}', "expected an input, got none"),
    ("application/json", b'{"inputs": [3]}', "expected an input, got 3. Send a text, a list of lists"),
    ("application/json", b'{"inputs": ["x"]}', "expected image, got 'text'"),
    ("application/json", b'{"inputs": [{"a": 1}]}', "expected image, got 'board'"),
    ("application/json", b'{"inputs": [[[1, 2], [3]]]}', "expected a picture as rows of levels"),
    ("application/json", b'{"inputs": [[[1, 256]]]}', "expected levels from 0 to 255"),
    ("application/json", b'{"inputs": [[[0.5]]]}', "expected levels from 0 to 255"),
    ("application/json", b'{"inputs": [[1, 2]]}', "expected as many bytes as the picture's shape says"),
    ("application/json", b'{"inputs": [{"name": "x.png", "base64": "?"}]}', "expected a file's content in base 64"),
    ("application/json", b'{"inputs": [' + b"[[0]]," * 1000 + b"[[0]]]}",
     "expected at most 1,000 inputs in one question, got 1,001"),
    ("multipart/form-data", b"x", "expected a form of files, got a body without its boundary"),
    ("multipart/form-data; boundary=cut", b'--cut\r\nContent-Disposition: form-data; name="x"\r\n\r\n4\r\n--cut--\r\n',
     "expected a form of files alone, got a field that is no file"),
    ("image/png", b"", "expected a PNG, JPEG, BMP, TIFF or WebP picture, got input.png, which is empty"),
    ("image/png", png(1)[:60], "which is truncated or damaged"),
    ("audio/wav", wav(), "expected image, got audio in input.wav"),
    ("application/octet-stream", b"MZ\0\1", "expected a picture or a table, got input"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "words"), BAD, ids=[words[9:40] for *_, words in BAD])
def test_bodies_that_are_refused(kind: str, body: bytes, words: str) -> None:
    with pytest.raises(UserError) as told:
        posted(load("lenet"), kind, "", body)
    assert words in str(told.value)
    assert "milestones-" not in str(told.value), "no path of this machine"


def test_a_long_text_is_refused() -> None:
    body = json.dumps({"inputs": ["x" * 100_001]}).encode()
    with pytest.raises(UserError, match="a text of at most 100,000 letters, got 100,001"):
        posted(load("words"), "application/json", "", body)


def test_names_of_files_stay_names() -> None:
    lenet = load("lenet")
    for name in ("..", "/", "", "C:\\x\\y.png", "a\0b.png", "x" * 300 + ".png", ".png", "é ü.png"):
        kind, body = form({"x.png": png(1)})
        items, names = posted(lenet, "image/png", name, png(1)) if name else posted(lenet, kind, "", body)
        assert len(items) == 1
        assert "/" not in names[0] and "\\" not in names[0] and "\0" not in names[0]
    assert File("a", b"").name == "a"


class Served(NamedTuple):
    process: subprocess.Popen[str]
    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, the answer's JSON, and its headers."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        link.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = link.getresponse()
        content = answer.read()
        link.close()
        return answer.status, json.loads(content), {name.lower(): value for name, value in answer.getheaders()}

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, words = self.process.communicate(timeout=60)
        return self.process.returncode, words


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """A function: the words of `milestones serve` -> the server that runs."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **env: str) -> Served:
        command = [sys.executable, "-m", "milestones", "serve", *words, "--port", "0", "--json"]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "PYTHONPATH": path, **env})  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        return Served(process, int(json.loads(line)["address"].rpartition(":")[2]))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_is_served(serve: Callable[..., Served], tmp_path: Path) -> None:
    """Answers are those of `use`, also among others; errors are one line; the end is in order."""
    served = serve("lenet", "--largest", "0.1", "--queue", "64", "--window", "20")
    assert served.ask("GET", "/health")[:2] == (200, {"state": "ready"})
    code, about, _ = served.ask("GET", "/")
    assert (code, about["system"], about["takes"], about["labels"]) == (200, "lenet", ["image"], list("0123456789"))
    used = load("lenet")
    bodies = [png(seed) for seed in range(24)]
    wanted = [used.use(posted(used, "image/png", "", body)[0])[0]["answer"].plain() for body in bodies]

    def one(number: int) -> Any:
        code, content, _ = served.ask("POST", "/predict", bodies[number], content_type="image/png")
        assert code == 200, content
        assert [answer["input"] for answer in content["answers"]] == ["input.png"]
        return content["answers"][0]

    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(one, range(24)))
    for found, want in zip(together, wanted, strict=True):
        chances = {row["label"]: row["chance"] for row in found["answer"]}
        assert chances == pytest.approx({row["label"]: row["chance"] for row in want}, abs=1e-6)
    calls = served.ask("GET", "/")[1]
    assert calls["answered"] == 24
    assert calls["calls"] < 24, "several were answered by one call"

    kind, body = form({"a.png": bodies[0], "b.png": bodies[1]})
    code, content, _ = served.ask("POST", "/predict", body, content_type=kind)
    assert (code, [one["input"] for one in content["answers"]]) == (200, ["a.png", "b.png"])
    assert content["answers"][1]["answer"][0]["label"] == wanted[1][0]["label"]

    for path, content_type, body, code, words in (
        ("/predict", "image/png", b"no picture", 422, "which is a text file"),
        ("/predict?beam=3", "image/png", bodies[0], 422, "expected an option of this run, got 'beam'"),
        ("/predict?at_error=x", "image/png", bodies[0], 422, "expected at_error as a percentage of errors"),
        ("/predict", "image/png", bytes(200_000), 413, "expected at most 104,857 bytes"),
        ("/other", "image/png", bodies[0], 404, "expected /predict"),
        ("/health", "image/png", bodies[0], 405, "expected /predict"),
    ):
        status, content, _ = served.ask("POST", path, body, content_type=content_type)
        assert (status, list(content)) == (code, ["error"]), content
        assert words in content["error"] and "\n" not in content["error"]
    status, content, _ = served.ask("POST", "/predict?at_error=2", bodies[0], content_type="image/png")
    assert status in (200, 422)  # as the run has the table or not
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}):
        assert served.ask("GET", "/", **headers)[0] == 403
    described = served.ask("GET", "/openapi.json")[1]
    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == {"/", "/health", "/predict"}
    assert "multipart/form-data" in described["paths"]["/predict"]["post"]["requestBody"]["content"]
    code, words = served.end()
    assert code == 0
    assert "Traceback" not in words
    assert list(tmp_path.iterdir()) == []


def test_a_token(serve: Callable[..., Served]) -> None:
    served = serve("lenet", "--host", "0.0.0.0", MILESTONES_TOKEN=TOKEN)
    assert served.ask("GET", "/health")[0] == 200
    right = {"authorization": f"Bearer {TOKEN}"}
    for headers in ({}, {"authorization": TOKEN}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": "Bearer é"}):
        for method, path in (("GET", "/"), ("GET", "/openapi.json"), ("POST", "/predict"), ("GET", "/other")):
            code, content, more = served.ask(method, path, **headers)
            assert code == 401
            assert "expected the header 'Authorization: Bearer TOKEN'" in content["error"]
            assert more["www-authenticate"] == "Bearer"
    assert served.ask("GET", "/", **right)[0] == 200
    code, content, _ = served.ask("POST", "/predict", png(0), content_type="image/png", **right)
    assert (code, len(content["answers"])) == (200, 1)
    described = served.ask("GET", "/openapi.json", **right)[1]
    assert described["security"] == [{"token": []}]


def test_too_many_and_too_slow(serve: Callable[..., Served]) -> None:
    """A window longer than the time that a question has: those inside wait, the next are told to come again."""
    served = serve("lenet", "--queue", "2", "--window", "1000", "--seconds", "0.6")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: served.ask("POST", "/predict", png(n), content_type="image/png"), range(6)))
    codes = sorted(code for code, *_ in found)
    assert codes == [503, 503, 503, 503, 504, 504]
    assert all(more["retry-after"] == "1" for code, _, more in found if code == 503)
    assert "expected at most 2 questions at once" in next(content["error"] for code, content, _ in found if code == 503)
    assert "no answer within 0.6 s" in next(content["error"] for code, content, _ in found if code == 504)
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    link.putrequest("POST", "/predict")
    link.putheader("Content-Length", "100")
    link.endheaders(b"some")
    answer = link.getresponse()
    assert answer.status == 408
    assert "no whole question within 0.6 s" in json.loads(answer.read())["error"]
    link.close()


def test_the_end_loses_nothing(serve: Callable[..., Served]) -> None:
    """SIGTERM while many ask: each question that was sent on a connection is answered; new connections are refused."""
    served = serve("lenet", "--window", "30")
    body, sent, answered, lost = png(3), [0] * 12, [0] * 12, []
    head = {"content-type": "image/png"}
    enough = threading.Event()

    def client(number: int) -> None:
        while not enough.is_set():
            link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
            try:
                link.connect()
            except OSError:
                return  # it takes no more
            with contextlib.closing(link):
                while True:
                    sent[number] += 1
                    try:
                        link.request("POST", "/predict", body, head)
                        answer = link.getresponse()
                        content = json.loads(answer.read())
                    except (OSError, http.client.HTTPException) as problem:
                        lost.append(repr(problem))
                        return
                    assert answer.status == 200, content
                    answered[number] += 1
                    if answer.will_close:
                        break

    threads = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while sum(answered) < 100 and time.monotonic() < until:
        time.sleep(0.01)
    code, words = served.end()
    enough.set()
    for thread in threads:
        thread.join(30)
    assert lost == []
    assert sum(sent) == sum(answered) >= 100
    assert code == 0, words
    assert "Traceback" not in words


@pytest.mark.parametrize(("words", "match"), [
    (["lenet", "--host", "0.0.0.0"], "expected a --token, got none, and --host 0.0.0.0, which others can reach"),
    (["lenet", "--host", "::"], "expected a --token"),
    (["lenet", "--host", "here"], "expected --host as an address of this machine, got 'here'"),
    (["lenet", "--token", "short"], "expected a token of at least 16 letters without spaces or accents, got one of 5"),
    (["lenet", "--queue", "0"], "expected --queue from 1 to 10,000, got 0. Change it"),
    (["lenet", "--seconds", "nan"], "expected --seconds from 0.1 to 3,600, got nan"),
    (["dqn"], "expected a run that takes inputs, got the page dqn, which plays by itself"),
    (["lenet", "--port", "-5"], "expected a free port, -5 or another"),
])  # fmt: skip
def test_what_cannot_be_served(words: list[str], match: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *words]) == 2
    assert match in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("uvicorn", "milestones.studio.stand"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "lenet"]) == 2
    assert "expected the server's packages, got no package uvicorn" in capsys.readouterr().err
