"""Files of a run folder: written whole, never through a link; locks; numbers of folders."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from milestones.core.errors import UserError
from milestones.core.folder import held, inside, next_folder, read_json, write_json, write_status, write_whole


def test_what_was_there_stays_if_anything_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"first")
    for number, text in (
        (errno.ENOSPC, "Free some space"),
        (errno.EFBIG, "Free some space"),
        (errno.EACCES, "you can write to"),
    ):
        for call in ("fsync", "replace"):
            with monkeypatch.context() as patch:
                patch.setattr(
                    os, call, lambda *_, number=number: (_ for _ in ()).throw(OSError(number, os.strerror(number)))
                )
                with pytest.raises(UserError, match=text):
                    write_whole(path, b"second")
            assert path.read_bytes() == b"first"
            assert os.listdir(tmp_path) == ["a.json"], "nothing aside is left"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_whole(path, b"second")
    assert os.listdir(tmp_path) == ["a.json"]


def test_not_through_a_link_that_someone_laid(tmp_path: Path) -> None:
    (tmp_path / "else").write_text("mine")
    (tmp_path / f".a.json.{os.getpid()}").symlink_to(tmp_path / "else")
    (tmp_path / "a.json").symlink_to(tmp_path / "else")
    write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "else").read_text() == "mine"
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_json_has_its_format_and_any_text(tmp_path: Path) -> None:
    content = {"name": "K\udce4tzchen ü \x00", "list": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path, "a.json") == {"format": 1, **content}
    (tmp_path / "a.json").read_text(encoding="utf-8")  # plain UTF-8
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


def test_status_keeps_its_checksums(tmp_path: Path) -> None:
    write_status(tmp_path, {"state": "stopped", "weights_sha256": "a", "facts_sha256": "b"})
    write_status(tmp_path, {"state": "training", "weights_sha256": "c"})
    assert read_json(tmp_path, "status.json") == {
        "format": 1,
        "state": "training",
        "weights_sha256": "c",
        "facts_sha256": "b",
    }


def test_inside(tmp_path: Path) -> None:
    for name in ("../a", "/etc/passwd", "b/../../a"):
        with pytest.raises(UserError, match="files inside the run folder"):
            inside(tmp_path, name)
    (tmp_path / "up").symlink_to(tmp_path.parent)
    with pytest.raises(UserError, match="that leads out of"):
        inside(tmp_path, "up/a")
    assert inside(tmp_path, "state/a") == tmp_path / "state/a"


def test_a_folder_that_is_reached_by_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_json(tmp_path / "link" / "a.json", {})
    assert read_json(tmp_path / "link", "a.json") == {"format": 1}


def test_numbers_of_folders(tmp_path: Path) -> None:
    for name in ("lenet-1", "lenet-7", "lenet-x", "lenet-²", "lenet-3-4", "lenet1989-50"):
        (tmp_path / name).mkdir()
    assert next_folder(tmp_path, "lenet").name == "lenet-8"
    assert next_folder(tmp_path, "lenet1989").name == "lenet1989-51"
    assert next_folder(tmp_path / "new" / "deep", "mlp").name == "mlp-1"


def test_many_at_once_get_different_folders(tmp_path: Path) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.extend(next_folder(tmp_path, "a") for _ in range(10))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 80


def test_lock(tmp_path: Path) -> None:
    os.utime(tmp_path)
    with held(tmp_path):
        first = (tmp_path / "lock").read_text()
        assert first == f"process {os.getpid()} on {os.uname().nodename}"
        os.utime(tmp_path / "lock", (0, 0))
        with pytest.raises(
            UserError,
            match=rf"got a lock held by process {os.getpid()} on .* for \d{{8,}} min\. Wait for it or stop it",
        ):
            held(tmp_path).__enter__()
        assert (tmp_path / "lock").read_text() == first
    with held(tmp_path):
        pass


def test_lock_on_a_full_disk_holds_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with held(tmp_path), pytest.raises(UserError, match="a lock held by another process"), held(tmp_path):
            pass


def test_bools_are_no_format(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"format": "1"}))
    with pytest.raises(UserError, match="format '1' where this version reads 1"):
        read_json(tmp_path, "a.json")
