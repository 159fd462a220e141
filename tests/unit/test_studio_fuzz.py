"""Readers of what others made meet thousands of damaged inputs: each gives a result or a refusal, and soon."""

from __future__ import annotations

import io
import json
import random
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from unit import damaged
from unit.damaged import changed

from milestones.core import folder as core
from milestones.core.errors import UserError
from milestones.media import Audio, Board, Image
from milestones.media.files import read
from milestones.media.sheet import header, sheet
from milestones.report import files
from milestones.studio import collection, frames, library, unpack

COUNT = 5000
SLOW = 1.0  # seconds of the processor for one input of a few hundred bytes
REFUSED = (UserError, frames.Malformed)


def inputs(*originals: bytes | dict[str, Any], count: int = COUNT) -> Iterator[tuple[int, bytes]]:
    return damaged.inputs(*originals, count=count, seed=damaged.SEED * COUNT)


def survived(call: Callable[[bytes], object], given: Iterator[tuple[int, bytes]]) -> None:
    told, _, wrong = damaged.met(call, given, REFUSED, SLOW)
    assert not wrong, "\n".join(wrong)
    assert told["results"] and told["refusals"], told


def sendable(value: object) -> None:
    """As the server writes it to the browser."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    chance, stream = random.Random(kind + mode), io.BytesIO()
    pixels = Pillow.frombytes("RGB", (8, 8), chance.randbytes(192)).convert(mode)
    pixels.save(stream, kind, **options)
    return stream.getvalue()


def test_messages() -> None:
    one = frames.pack({"do": "look", "id": 3, "arrays": [{"name": "x", "dtype": "float32", "shape": [2], "offset": 0}]},
                      b"\0" * 8)  # fmt: skip
    survived(frames.unpack, inputs(one, frames.pack({}), count=2 * COUNT))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_pictures(kind: str) -> None:
    originals = [picture(kind)]
    originals += [picture(kind, "L"), picture(kind, "1")] if kind in ("PNG", "TIFF") else []
    originals += [picture(kind, "P")] if kind in ("PNG", "BMP") else []
    originals += [picture("TIFF", compression="tiff_lzw")] if kind == "TIFF" else []
    if kind == "JPEG":
        exif = Pillow.Exif()
        exif[0x0112] = 6
        originals.append(picture("JPEG", exif=exif))
    survived(lambda content: Image.decoded(content, "x"), inputs(*originals))


def test_sounds() -> None:
    import numpy as np

    wave = Audio(np.linspace(-1, 1, 60, dtype=np.float32), 8000).encode()[1]
    form = struct.pack("<HHIIHH", 3, 2, 8000, 64000, 8, 32)
    body = struct.pack("<16f", *(i / 16 for i in range(16)))
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
    floats = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
    survived(lambda content: sendable(Audio.decoded(content, "x.wav").plain()), inputs(wave, floats))


def test_boards() -> None:
    game = b"(;FF[4]GM[1]SZ[9]AB[aa][bb:cc]AW[dd]PL[W]C[a \\] note];B[ee];W[ef];B[](;W[fe])(;W[gg];B[tt]))"
    other = b"(;GM[4]GN[gomoku]SZ[15:13];B[aa];W[bb];B[ab])"

    def through(content: bytes) -> None:
        board = Board.decoded(content, "x.sgf")
        Board.of(board.plain())
        board.sgf()
        str(board)

    survived(through, inputs(game, other))
    value = Board.decoded(game, "x.sgf").plain()
    survived(lambda content: Board.of(json.loads(content)), (
        (number, json.dumps(changed(random.Random(number), value)).encode()) for number in range(COUNT)
    ))  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_tables(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    originals: list[bytes | dict[str, Any]] = [
        b'a,b,"c, d"\n1,2,"x ""y"" z"\n3,,NaN\n', b"\xef\xbb\xbfa;b\r\n1,5;2\r\n", b"a\tb\n1\t2\n3\t4\n",
    ]  # fmt: skip
    if suffix == ".jsonl":
        originals = [b'{"a": 1, "b": "x"}\n{"a": null, "c": [1]}\n', {"a": 1, "b": [2, {"c": 3}]}]

    def through(content: bytes) -> None:
        path.write_bytes(content)
        try:
            sheet(path)
        finally:
            header(path)

    survived(through, inputs(*originals))


def test_rows_of_a_command() -> None:
    survived(lambda content: read("{" + content.decode("utf-8", "replace")), inputs(b'"a": 1, "b": "x"}'))


def zipped(files_: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files_.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_zips(tmp_path: Path) -> None:
    png, counted = picture("PNG", "L"), iter(range(10**9))
    pictures = {"cat/1.png": png, "dog/ä.png": png}
    originals = [zipped(pictures), zipped(pictures, zipfile.ZIP_STORED), zipped({"x/t.csv": b"a,b\n1,2\n"})]

    def through(content: bytes) -> None:
        folder = tmp_path / "all" / str(next(counted))
        found = unpack.unpack(content, folder)
        assert found.resolve().is_relative_to(folder.resolve())

    survived(through, inputs(*originals))
    assert [path.name for path in tmp_path.iterdir()] == ["all"]  # nothing was written beside it
    assert not [path for path in (tmp_path / "all").rglob("*") if path.is_symlink()]


def test_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    fields = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
              "b": {"dtype": "U8", "shape": [4], "data_offsets": [24, 28]}, "__metadata__": {"x": "y"}}  # fmt: skip
    text = json.dumps(fields).encode()

    def whole(content: bytes) -> bytes:
        return struct.pack("<Q", len(content)) + content + bytes(28)

    def through(content: bytes) -> None:
        path.write_bytes(content)
        core.header(path)

    survived(through, inputs(whole(text), count=COUNT // 2))
    survived(through, ((number, whole(content)) for number, content in inputs(fields, count=COUNT // 2)))


CONFIG = {"format": 1, "system": "lenet", "preset": "quick", "seed": 3, "began": 1.7e9, "command": "milestones train",
          "config": {"lr": 0.1, "layers": [1, 2]}, "choice": {}}  # fmt: skip
STATUS = {"format": 1, "state": "training", "stage": "train", "step": 3, "total": 9, "seconds": 1.5, "updated": 1.0,
          "rate": 10.0, "peak_share": 2.0, "problem": ""}  # fmt: skip
SCORE = {"value": 2.0, "low": 1.5, "high": 2.5, "unit": "%", "better": "lower", "data": "digits", "split": "test",
         "over": 1000, "paper": 0.8, "paper_data": "digits", "note": ""}  # fmt: skip
REPORT = {"format": 1, "scores": {"error": SCORE}, "seconds": 3.0, "parameters": 60000, "plan": "plain", "rate": 3.0,
          "findings": [{"sure": "likely", "says": "it falls", "do": "train longer"}]}  # fmt: skip


def run_in(place: Path) -> tuple[Path, library.Library]:
    """A run's folder, and the library that holds it."""
    folder = place / "runs" / "lenet-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder, library.Library(folder.parent)


def test_records(tmp_path: Path) -> None:
    def through(content: bytes) -> None:
        (tmp_path / "config.json").write_bytes(content)
        found, wrong = files.record(tmp_path, "config.json")
        if wrong:
            raise frames.Malformed(wrong)
        assert found["format"] == 1

    survived(through, inputs(CONFIG, REPORT))


def test_summaries(tmp_path: Path) -> None:
    folder, mine = run_in(tmp_path)
    records, turn = {"config": CONFIG, "status": STATUS, "report": REPORT}, 0

    def through(content: bytes) -> None:
        nonlocal turn
        name = ("config", "status", "report")[turn % 3]
        turn += 1
        (folder / f"{name}.json").write_bytes(content)
        line = library.summary("lenet-1", folder)
        sendable(line)
        if turn % 30 < 3:  # one of each
            sendable([mine.line("lenet-1", folder), mine.run("lenet-1")])
        if line["problem"]:
            raise frames.Malformed(line["problem"])

    survived(through, inputs(*records.values()))
    sendable(mine.listed())


def test_logs(tmp_path: Path) -> None:
    folder, mine = run_in(tmp_path)
    line = {"stage": "train", "step": 3, "seconds": 0.5, "loss": 0.25, "valid_error": 4.5, "vitals": {"a": [1, 2]}}
    lines = b"".join(json.dumps({**line, "step": step}).encode() + b"\n" for step in range(4))
    broken = 0

    def through(content: bytes) -> None:
        nonlocal broken
        (folder / "log.jsonl").write_bytes(content + b"\n")
        found, wrong = files.log(folder)
        broken += bool(wrong)
        rows, end = mine.tail("lenet-1", 0)
        assert end == len(content) + 1 and len(rows) <= len(found)
        sendable(rows)
        if broken % 4 == 0:
            collection.told(mine.log("lenet-1")[0])
            collection.told(mine.drawn(["lenet-1"], "loss", "step", -1e9, 1e9))
        if not rows:
            raise frames.Malformed("no whole line")

    survived(through, inputs(lines, line))
    assert broken


# What was found so, each mended at its root.


def test_a_board_set_up_again_in_one_node_begins_there() -> None:
    board = Board.decoded(b"(;GM[1]SZ[5]AB[aa]AW[bb]AB[aa][cc];B[dd])", "x")
    assert {(m.piece, m.row, m.column) for m in board.setup} == {(1, 0, 0), (2, 1, 1), (1, 2, 2)}
    assert board.moves == ((1, 3, 3),)


@pytest.mark.parametrize("node", [b"AB" + b"[aa:ZZ]" * 19_000, b";AB[aa:ZZ]" + b";AE[aa]" * 19_000])
def test_a_board_set_up_without_end_is_refused_soon(node: bytes) -> None:
    began = time.process_time()
    with pytest.raises(UserError, match="a game that can be played through, got x, of too many stones"):
        Board.decoded(b"(;GM[1]SZ[52]" + node + b")", "x")
    assert time.process_time() - began < 20 * SLOW  # it took minutes; 5 s where two workers share a cache


def test_numbers_of_thousands_of_digits_and_deep_nests_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for text in ('{"a": ' + "9" * 5000 + "}", '{"a": ' + "[" * 100_000):
        path.write_text(text)
        assert header(path) == []
        with pytest.raises(UserError, match="a JSON object on each line"):
            sheet(path)
        with pytest.raises(UserError, match="a row as JSON"):
            read(text)


def test_a_cell_that_is_too_long_and_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a," + "b" * 200_000 + "\n1,2\n")
    assert header(path) == []
    path.write_text(",".join(map(str, range(50_000))) + "\n")
    began = time.process_time()
    with pytest.raises(UserError, match="a table with a line of column names and rows"):
        sheet(path)
    assert time.process_time() - began < SLOW  # each name was compared with each


def test_an_entry_without_a_name_is_refused() -> None:
    content = bytearray(zipped({"x": b"1"}))
    at = content.index(b"PK\1\2")
    content[at + 28 : at + 30], content[at + 30 : at + 32] = b"\0\0", b"\1\0"  # the name becomes an extra field
    with pytest.raises(UserError, match="a zip"):
        unpack.held(bytes(content))


def test_records_that_no_browser_could_read_are_mended(tmp_path: Path) -> None:
    folder, mine = run_in(tmp_path)
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    texts = {"config": {**CONFIG, "system": "\ud800", "config": {"\udfff": deep}},
             "report": {"format": 1, "findings": None}, "status": {**STATUS, "problem": ["\ud800"]}}  # fmt: skip
    for name, content in texts.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    line = library.summary("lenet-1", folder)
    assert (line["system"], line["findings"], line["problem"]) == ("?", [], "")
    sendable(mine.run("lenet-1"))
    told = collection.told([deep, float("nan"), "\ud800"])
    assert json.loads(bytes(told.body))[1:] == [None, "?"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
def test_a_folder_whose_name_is_no_text_is_listed(tmp_path: Path) -> None:
    folder, mine = run_in(tmp_path)
    (folder / "shows").mkdir()
    (folder / "shows" / "train-1-\udcff.txt").write_text("x")
    folder.rename(folder.with_name("\udcff-1"))
    assert [line["run"] for line in mine.listed() if not line["shipped"]] == ["?-1"]
    sendable(mine.run("?-1"))
