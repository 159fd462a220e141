"""The downloader against a server on this machine that breaks off, lies, sends wrong bytes or ignores Range."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from milestones.core.errors import UserError
from milestones.data import fetch as module
from milestones.data.fetch import cache, content_hash, fetch

CONTENT = bytes(range(256)) * 4000  # 1 MB
HASH = hashlib.sha256(CONTENT).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """Each path behaves in its own way; `asked` remembers path and Range of each request."""

    asked: list[tuple[str, str | None]]

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        at = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = {"/wrong": CONTENT[:-1] + b"x", "/gz": gzip.compress(CONTENT, 1)}.get(self.path, CONTENT)
        if self.path == "/missing":
            return self.send_error(404)
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://example.org/file")
            return self.end_headers()
        if self.path == "/norange" or not wanted:
            at = 0
            self.send_response(200)
        elif at >= len(body):
            return self.send_error(416)
        else:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
        rest = body[at:]
        if self.path == "/huge":
            self.send_header("Content-Length", str(3 << 30))
        elif self.path == "/short":  # claims less than there is
            self.send_header("Content-Length", "1000")
        elif self.path == "/long":  # claims more than there is
            self.send_header("Content-Length", str(len(rest) + 5000))
        elif self.path != "/silent":
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        part = {"/breaks": 300_000, "/once": 300_000 if not wanted else len(rest), "/dies": 0, "/huge": 10}
        self.wfile.write(rest[: part.get(self.path, len(rest))])
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    asked: list[tuple[str, str | None]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Answers,), {"asked": asked})) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}", asked
        http.shutdown()
        thread.join()


def test_plain_with_progress_then_nothing_to_do(server, tmp_path: Path) -> None:
    address, asked = server
    seen: list[tuple[int, int]] = []
    target = tmp_path / "deep" / "file"
    fetch([f"{address}/good"], HASH, target, lambda *numbers: seen.append(numbers))
    assert target.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    assert [file.name for file in target.parent.iterdir()] == ["file"]
    fetch([f"{address}/good"], HASH, target)
    assert len(asked) == 1


def test_the_hash_is_that_of_the_content(server, tmp_path: Path) -> None:
    address, _ = server
    fetch([f"{address}/gz"], HASH, tmp_path / "file.gz")
    assert content_hash(tmp_path / "file.gz") == HASH
    assert gzip.decompress((tmp_path / "file.gz").read_bytes()) == CONTENT


@pytest.mark.parametrize(("path", "requests"), [("/once", 2), ("/breaks", 4), ("/silent", 1)])
def test_what_breaks_off_is_resumed(server, tmp_path: Path, path: str, requests: int) -> None:
    address, asked = server
    fetch([address + path], HASH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(asked) == requests and [wanted for _, wanted in asked][:2] == [None, "bytes=300000-"][:requests]


def test_a_part_of_an_earlier_run_is_resumed(server, tmp_path: Path) -> None:
    address, asked = server
    (tmp_path / "file.part").write_bytes(CONTENT[:777])
    fetch([f"{address}/good"], HASH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT and asked == [("/good", "bytes=777-")]
    assert not (tmp_path / "file.part").exists()


def test_range_is_ignored(server, tmp_path: Path) -> None:
    address, asked = server
    (tmp_path / "file.part").write_bytes(b"?" * 777)
    fetch([f"{address}/norange"], HASH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT and len(asked) == 1


@pytest.mark.parametrize("size", [777, len(CONTENT), len(CONTENT) + 9])
def test_a_spoilt_part_does_not_spoil_the_file(server, tmp_path: Path, size: int) -> None:
    address, asked = server
    (tmp_path / "file.part").write_bytes(b"?" * size)
    fetch([f"{address}/good"], HASH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert asked[-1] == ("/good", None)


def test_the_next_mirror_helps(server, tmp_path: Path) -> None:
    address, asked = server
    for path in ("wrong", "missing", "dies", "short", "long", "huge"):
        asked.clear()
        target = tmp_path / path
        fetch([f"{address}/{path}", f"{address}/good"], HASH, target)
        assert target.read_bytes() == CONTENT, path
        assert not target.with_name(f"{path}.part").exists()


def test_one_line_tells_what_each_mirror_did(server, tmp_path: Path) -> None:
    address, _ = server
    paths = ["wrong", "missing", "dies", "huge", "elsewhere"]
    mirrors = [*(f"{address}/{path}" for path in paths), "http://example.org/file", "ftp://127.0.0.1/file"]
    with pytest.raises(UserError, match="file with its known content, got") as caught:
        fetch(mirrors, HASH, tmp_path / "file")
    words = str(caught.value)
    for part in ("other content than expected (sha256)", "HTTP 404", "broke off after 0 of", "larger than 2,147,",
                 "not an https address (http)", "not an https address (ftp)", "by hand: "):  # fmt: skip
        assert part in words
    assert "\n" not in words and words.count(f"{address[7:]}: ") == 5 and "example.org: not an https" in words
    assert not (tmp_path / "file").exists()


def test_a_stopped_server_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9: .*refused"):
        fetch(["http://127.0.0.1:9/file"], HASH, tmp_path / "file")


def test_an_old_wrong_file_stays_until_a_right_one_is_there(server, tmp_path: Path) -> None:
    address, _ = server
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(UserError, match="other content than expected"):
        fetch([f"{address}/wrong"], HASH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"
    fetch([f"{address}/good"], HASH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_no_room_and_no_folder(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, asked = server

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(UserError, match=r"room for the download, got .*No space left"):
        fetch([f"{address}/good", f"{address}/good"], HASH, tmp_path / "file")
    assert len(asked) == 1  # another mirror would not help
    (tmp_path / "plain").write_text("")
    with pytest.raises(UserError, match=r"a folder for downloads that can be written, got .*Set XDG_CACHE_HOME"):
        fetch([f"{address}/good"], HASH, tmp_path / "plain" / "file")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(3 << 20)))
    with pytest.raises(OSError, match="unpacks to more than"):
        content_hash(tmp_path / "a.gz")


def test_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "x"))
    assert cache() == home / "x" / "milestones"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache() == Path.home() / ".cache" / "milestones" and str(cache()).startswith(str(home))


def test_the_pinned_hashes_are_those_of_the_sets(shared_data) -> None:
    files = {("mnist", name): shared_data("mnist-test") / f"{name}.gz" for name in module.IDX[2:]}
    files |= {("fashion", name): shared_data("fashion-mnist") / f"{name}.gz" for name in module.IDX}
    for (dataset, name), path in files.items():
        assert content_hash(path) == module.DATASETS[dataset]["sha256"][name]
    for entry in module.DATASETS.values():
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in entry["mirrors"])
