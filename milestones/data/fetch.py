"""Downloads: https only, resumed, checked against a pinned sha256 of the content, written whole."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UserError

TIMEOUT = 20  # seconds without a byte
LARGEST = 2 << 30  # bytes of a download, and of its content when unpacked
CHUNK = 1 << 18
LOOPBACK = ("127.0.0.1", "localhost", "::1")

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

DATASETS: dict[str, dict[str, Any]] = {
    "mnist": {
        "title": "MNIST",
        "folder": "mnist",
        "mirrors": (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        "sha256": dict(zip(IDX, (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ), strict=True)),
        "labels": tuple("0123456789"),
    },
    "fashion": {
        "title": "Fashion-MNIST",
        "folder": "fashion-mnist",
        "mirrors": ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
        "sha256": dict(zip(IDX, (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ), strict=True)),
        "labels": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
                   "ankle boot"),
    },
}  # fmt: skip

Progress = Callable[[int, int], None]
"""Called with the bytes at hand and the bytes in all (0 where the server did not say)."""


def cache() -> Path:
    """The folder for downloads: ``$XDG_CACHE_HOME/milestones``, else ``~/.cache/milestones``. It may not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "milestones"


def download(name: str, progress: Progress | None = None) -> Path:
    """The cache folder of the data set `name` after each of its files is there and verified."""
    entry = DATASETS[name]
    folder = cache() / entry["folder"]
    for file, sha256 in entry["sha256"].items():
        fetch([f"{mirror}{file}.gz" for mirror in entry["mirrors"]], sha256, folder / f"{file}.gz", progress)
    return folder


def content_hash(path: Path) -> str:
    """The sha256 of a file's content, after gunzip where the name ends with .gz."""
    digest, size = hashlib.sha256(), 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > LARGEST:
                raise OSError(f"unpacks to more than {LARGEST:,} bytes")
            digest.update(chunk)
    return digest.hexdigest()


def fetch(mirrors: Sequence[str], sha256: str, target: Path, progress: Progress | None = None) -> None:
    """Put the verified file at `target`, from the first of `mirrors` that has it; nothing to do if it is there.

    `sha256` is that of the content, after gunzip where the name of `target` ends with .gz. UserError: no
    mirror gave it.
    """
    if target.exists() and _verified(target, sha256):
        return
    part = target.with_name(target.name.removesuffix(".gz") + (".part.gz" if target.suffix == ".gz" else ".part"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        got = f"{target.parent} ({problem.strerror})"
        raise UserError("a folder for downloads that can be written", got, "Set XDG_CACHE_HOME", "data") from None
    reports = []
    for address in mirrors:
        reason = _from_mirror(address, sha256, part, target, progress)
        if not reason:
            return
        reports.append(f"{urllib.parse.urlsplit(address).netloc or address}: {reason}")
    do = f"Check the connection and repeat, or put the file there by hand: {target}"
    raise UserError(f"{target.name} with its known content", "; ".join(reports) or "no mirror", do, "data")


def _from_mirror(address: str, sha256: str, part: Path, target: Path, progress: Progress | None) -> str:
    """Nothing when the verified file is at `target`, else why this mirror failed. What broke off is resumed as long
    as something comes; a part that spoils the whole is thrown away and the file fetched once more from its start."""
    fresh = False
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(address, part, progress)
            if not _verified(part, sha256):
                raise ValueError("other content than expected (sha256)")
            _settle(part, target)
            return ""
        except _NoSpaceError as problem:
            got = f"{target.parent} ({problem})"
            raise UserError("room for the download", got, "Free space, then repeat", "data") from None
        except _BrokenOffError as problem:
            if part.stat().st_size > before and not fresh:
                continue
            return str(problem)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            if isinstance(problem, ValueError):
                part.unlink(missing_ok=True)
            if before and isinstance(problem, ValueError) and not fresh:
                fresh = True
                continue
            return str(getattr(problem, "reason", "") or problem or type(problem).__name__)


class _BrokenOffError(OSError):
    """The connection ended before the length that was promised; what came is kept for the next try."""


class _NoSpaceError(Exception):
    """Our own disk refused, so that another mirror cannot help."""


class _NoPlainText(urllib.request.HTTPRedirectHandler):
    """Follows redirections only to addresses that `_allowed` allows."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _allowed(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _allowed(address: str) -> None:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError(f"not an https address ({parts.scheme})")


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise _NoSpaceError(problem.strerror or str(problem)) from None


def _receive(address: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what is missing of the file at `address`, from its start where the server ignores Range."""
    _allowed(address)
    at = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "milestones", "Accept-Encoding": "identity"})
    if at:
        request.add_header("Range", f"bytes={at}-")
    try:
        answer = urllib.request.build_opener(_NoPlainText).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as problem:
        problem.close()
        if problem.code == 416 and at:
            return  # nothing is missing, or the part is too long: the hash decides
        raise OSError(f"HTTP {problem.code}") from None
    with answer:
        if at and answer.status == 206:
            begins = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").split("-")[0]
            if begins != str(at):
                raise ValueError("the server resumed at another byte")
        else:
            at = 0
        length = answer.headers.get("Content-Length")
        total = at + int(length) if length and length.isdigit() else 0
        if total > LARGEST:
            raise ValueError(f"larger than {LARGEST:,} bytes")
        with _writing():
            stream = part.open("ab" if at else "wb")
        with stream:
            while True:
                try:
                    chunk = answer.read(CHUNK)
                except (OSError, http.client.HTTPException) as problem:
                    raise _BrokenOffError(f"broke off after {at:,} bytes ({type(problem).__name__})") from None
                if not chunk:
                    break
                at += len(chunk)
                if at > LARGEST:
                    raise ValueError(f"larger than {LARGEST:,} bytes")
                with _writing():
                    stream.write(chunk)
                if progress:
                    progress(at, total)
            with _writing():
                stream.flush()
                os.fsync(stream.fileno())
    if total and at < total:
        raise _BrokenOffError(f"broke off after {at:,} of {total:,} bytes")


def _verified(path: Path, sha256: str) -> bool:
    try:
        return content_hash(path) == sha256
    except (OSError, EOFError, zlib.error):
        return False


def _settle(part: Path, target: Path) -> None:
    """Give the finished file its name, so that a crash leaves either none or the whole."""
    with _writing():
        os.replace(part, target)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
