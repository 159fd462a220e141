"""What is uploaded is unpacked inside its folder, under safe names, or refused in one line."""

from __future__ import annotations

import contextlib
import io
import json
import random
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.studio import unpack as module
from milestones.studio.unpack import Names, held, told, unpack
from milestones.studio.uploads import path_of


def picture(level: int = 90, side: int = 8, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Pillow.new("L", (side, side), level).save(stream, kind)
    return stream.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def classes(count: int = 4, before: str = "") -> dict[str, bytes]:
    return {
        f"{before}{name}/{i}.png": picture(40 * k + i, 8) for k, name in enumerate(("cat", "dog")) for i in range(count)
    }


def under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_picture_folders_are_classes_and_files_lose_their_names(tmp_path: Path) -> None:
    files = {
        **classes(2, "my pets/"),
        "__MACOSX/my pets/cat/._0.png": b"x",
        "my pets/.DS_Store": b"x",
        "my pets/note.txt": b"hello",
    }
    root = unpack(zipped(files), tmp_path / "a")
    assert root == tmp_path / "a" / "pictures"
    assert under(root) == {"cat/000000.png", "cat/000001.png", "dog/000002.png", "dog/000003.png"}
    assert held(zipped(files)).others == 1


def test_splits_stay_and_class_names_become_safe(tmp_path: Path) -> None:
    files = {
        "train/a:b/1.png": picture(),
        "train/a?b/1.jpg": picture(kind="JPEG"),
        "test/con/x.bmp": picture(kind="BMP"),
    }
    root = unpack(zipped(files), tmp_path)
    assert under(root) == {"train/a_b/000000.png", "train/a_b-2/000001.jpg", "test/con_/000002.bmp"}
    names = Names()
    assert names.safe("Größe 1", tmp_path) == "Größe 1"
    assert names.safe("grösse", tmp_path) != names.safe("GRÖSSE", tmp_path)  # equal on some file systems
    assert names.safe("  ", tmp_path) == "class"
    assert len(names.safe("ß" * 300, tmp_path).encode()) <= 200


@pytest.mark.parametrize(("content", "suffix"), [
    (b"a,b\n1,2\n", ".csv"), (b"a\tb\n1\t2\n", ".tsv"), (b'\xef\xbb\xbf{"a": 1}\n', ".jsonl"), (b"PAR1xx", ".parquet"),
    (zipped({"x/deep/any.tsv": b"a\tb\n"}), ".tsv"),
])  # fmt: skip
def test_tables_by_their_content(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = unpack(content, tmp_path / "a")
    assert path == tmp_path / "a" / f"table{suffix}"
    assert path_of(tmp_path / "a") == path


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/x.png", "a\\b.png", "C:/x.png", "c:x.png", "a/\0b.png"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    content = zipped({"a/zzzz.png": picture()})
    if "\0" in name or "\\" in name:  # zipfile would mend these as it writes
        held_name = b"a/zz\0z.png" if "\0" in name else b"a\\zzzz.png"
        content = content.replace(b"a/zzzz.png", held_name)
    else:
        content = zipped({name: picture()})
    with pytest.raises(UserError, match="a zip of plain folder and file names"):
        unpack(content, tmp_path / "in")
    assert under(tmp_path) == set()


def test_links_and_passwords_and_other_packings_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/x.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="a zip of files and folders, got a link or device"):
        unpack(stream.getvalue(), tmp_path)
    content = bytearray(zipped({"a/x.png": picture()}))
    at = content.index(b"PK\1\2")
    struct.pack_into("<H", content, at + 8, 1)
    with pytest.raises(UserError, match="a zip without a password"):
        unpack(bytes(content), tmp_path)
    with pytest.raises(UserError, match="packed as usual"):
        unpack(zipped({"a/x.png": picture()}, zipfile.ZIP_LZMA), tmp_path)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="a zip that unpacks to at most 512 MiB"):
        unpack(zipped({"a/x.png": bytes(30 << 20)}), tmp_path)
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="a zip that unpacks to at most"):
        unpack(zipped(classes(20)), tmp_path)
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    with pytest.raises(UserError, match="a zip of at most 3 entries"):
        unpack(zipped(classes()), tmp_path)
    assert under(tmp_path) == set()


def test_pictures_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = bytearray(picture())
    struct.pack_into(">II", header, 16, 60_000, 60_000)
    with pytest.raises(UserError, match="pictures of at most 100,000,000 pixels"):
        unpack(zipped({"a/x.png": _crc(header)}), tmp_path / "a")
    monkeypatch.setattr(module, "ALL_PIXELS", 200)
    with pytest.raises(UserError, match="pictures of at most 200 pixels together"):
        unpack(zipped(classes()), tmp_path / "b")


def _crc(png: bytearray) -> bytes:
    import zlib

    struct.pack_into(">I", png, 29, zlib.crc32(png[12:29]))
    return bytes(png)


def test_what_is_neither(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF\0\0", b"MZ\x01\x02", b"   "):
        with pytest.raises(UserError, match="a zip of picture folders, CSV, TSV, JSON lines or Parquet"):
            unpack(content, tmp_path)
    with pytest.raises(UserError, match="with one table, got a damaged one"):
        unpack(b"PK\3\4 and no more", tmp_path)
    with pytest.raises(UserError, match="0 tables and no picture"):
        unpack(zipped({"a/readme.txt": b"x"}), tmp_path)
    with pytest.raises(UserError, match="each picture in the folder of its class"):
        unpack(zipped({"1.png": picture(), "a/2.png": picture()}), tmp_path / "b")
    with pytest.raises(UserError, match="in a folder too deep"):
        unpack(zipped({"a/2.png": picture(), "b/c/d/2.png": picture()}), tmp_path / "c")
    whole = bytearray(zipped({"a/2.png": picture() * 50}, zipfile.ZIP_STORED))
    whole[200] ^= 255
    with pytest.raises(UserError, match="a whole zip, got a damaged entry"):
        unpack(bytes(whole), tmp_path / "d")
    with pytest.raises(UserError, match="an upload of this studio"):
        path_of(tmp_path / "none")


def test_damaged_zips_end_in_one_line(tmp_path: Path) -> None:
    draw, whole = random.Random(0), zipped({**classes(), "a/t.csv": b"a,b\n" * 9})
    for number in range(200):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        content = content[: draw.randrange(4, len(content))] if draw.random() < 0.2 else content
        with contextlib.suppress(UserError):
            unpack(bytes(content), tmp_path / "new" / str(number))
    assert under(tmp_path), "none of them was whole enough: this test tries nothing"
    assert {path.name for path in tmp_path.iterdir()} == {"new"}


def test_the_child_says_what_would_be_read(tmp_path: Path) -> None:
    files = {**classes(12), "cat/broken.png": b"no picture", "cat/notes.txt": b"x"}
    done = subprocess.run([sys.executable, "-P", "-m", "milestones.studio.unpack", str(tmp_path / "up")],
                          input=zipped(files), stdout=subprocess.PIPE, check=True)  # fmt: skip
    found = json.loads(done.stdout)
    assert found["kind"] == "pictures"
    assert any("pictures/cat/000024.png" in problem for problem in found["problems"]), found["problems"]
    assert any("left out: 1" in note for note in found["notes"])
    assert str(tmp_path) not in done.stdout.decode()
    (tmp_path / "up" / "pictures" / "cat" / "000024.png").unlink()
    assert told(tmp_path / "up", "")["fit"]["page"] == "lenet"


def test_a_table_names_its_columns(tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{'yes' if i % 2 else 'no'},{i}\n" for i in range(60))
    unpack(f"size,bought,age\n{rows}".encode(), tmp_path)
    found = told(tmp_path, "")
    assert found["names"] == ["size", "bought", "age"]
    assert found["fit"]["page"] == "mlp"
    assert "target 'bought': classes" in told(tmp_path, "bought")["notes"][0]
    wrong = subprocess.run([sys.executable, "-P", "-m", "milestones.studio.unpack", str(tmp_path / "up")],
                           input=b"\0\0\0", stdout=subprocess.PIPE, check=True)  # fmt: skip
    assert json.loads(wrong.stdout)["error"][1] == "a file of another kind"
