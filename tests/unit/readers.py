"""Every reader of what others made, with whole inputs that are then damaged: for short tests and for long campaigns."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image as Pillow

from milestones.core import folder as core
from milestones.core.errors import UserError
from milestones.core.state import Memo, read_state, write_state
from milestones.data import arrays
from milestones.data.kinds import kind
from milestones.media import Audio, Board, Image, Video
from milestones.media.edf import edf
from milestones.media.files import read
from milestones.media.recording import Recording
from milestones.media.series import recorded
from milestones.media.sgf import read_lines
from milestones.media.sheet import head, header, sheet
from milestones.parts.formula import FormulaError
from milestones.parts.formula import parse as formula
from milestones.studio import unpack

Reads = Callable[[bytes], object]
Original = bytes | dict[str, Any]


class Reader(NamedTuple):
    """How one kind of file is read; `call(content)` returns, or raises one of `refused`."""

    originals: Callable[[], list[Original]]
    reads: Callable[[Path], Reads]  # given a folder in which it may write its input
    refused: tuple[type[Exception], ...] = (UserError,)
    seldom: bool = False  # hardly any damaged input is whole, or hardly any is refused
    needs: str = ""  # what an extra installs


def filed(name: str, call: Callable[[Path], object]) -> Callable[[Path], Reads]:
    """A reader that takes a file of this name."""

    def reads(folder: Path) -> Reads:
        path = folder / name

        def through(content: bytes) -> object:
            path.write_bytes(content)
            return call(path)

        return through

    return reads


def picture(form: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    pixels = Pillow.frombytes("RGB", (12, 12), random.Random(form + mode).randbytes(432)).convert(mode)
    pixels.save(stream, form, **options)
    return stream.getvalue()


def pictures() -> list[Original]:
    """Small ones of each form and, of PNG and JPEG, the smallest photographs that the tests have."""
    photographs = sorted((Path(__file__).parents[1] / "pictures").glob("*-*.*g"), key=lambda path: path.stat().st_size)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    jpegs = [path.read_bytes() for path in photographs if path.suffix == ".jpg"][:1]
    made = [picture(form) for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")]
    made += [picture("PNG", "P"), picture("PNG", "1"), picture("PNG", "I;16"), picture("TIFF", compression="tiff_lzw")]
    return [*made, picture("JPEG", exif=exif), photographs[0].read_bytes(), *jpegs]


def look_at(content: bytes) -> None:
    Image.decoded(content, "x").grey()


def films() -> list[Original]:
    frames = np.random.default_rng(0).integers(0, 255, (3, 8, 8), np.uint8)
    made = Video(frames, values={"reward": (0.0, 1.0, 0.5)})
    return [made.encode()[1], made.written(".gif")]


def wave() -> list[Original]:
    whole = Audio(np.linspace(-1, 1, 60, dtype=np.float32), 8000).encode()[1]
    form, body = struct.pack("<HHIIHH", 3, 2, 8000, 64000, 8, 32), struct.pack("<16f", *(i / 16 for i in range(16)))
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
    return [whole, b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks]


def packed_sound() -> list[Original]:
    import soundfile  # pyright: ignore[reportMissingImports]

    made = []
    for form in ("FLAC", "OGG"):
        stream = io.BytesIO()
        soundfile.write(stream, np.sin(np.linspace(0, 300, 2000)), 8000, format=form)
        made.append(stream.getvalue())
    return [*made]


def hear(content: bytes) -> None:
    json.dumps(Audio.decoded(content, "x.wav").plain(), allow_nan=False)


def tables() -> list[Original]:
    return [b'a,b,"c, d"\n1,2,"x ""y"" z"\n3,,NaN\n', b"\xef\xbb\xbfa;b\r\n1,5;2\r\n",
            b"text,label\nwords of a row,x\nmore words here,y\n",
            b"series,time,x,label\n1,0,2,a\n1,1,3,a\n2,0,1,b\n"]  # fmt: skip


def rows(path: Path) -> None:
    try:
        kind(str(path))
        sheet(path)
    finally:
        header(path)
        head(path)


def parquet() -> list[Original]:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pyarrow.table({"a": [1, 2, None], "b": ["x", "y", "z"]}), stream)
    return [stream.getvalue()]


def games() -> list[Original]:
    return [b"(;FF[4]GM[1]SZ[9]AB[aa][bb:cc]AW[dd]PL[W]C[a \\] note];B[ee];W[ef];B[](;W[fe])(;W[gg];B[tt]))",
            b"(;GM[4]GN[gomoku]SZ[15:13];B[aa];W[bb];B[ab])",
            b"(;GM[1]SZ[5]KM[7.5]RE[B+1];B[cc];W[bb])(;SZ[5];B[aa])"]  # fmt: skip


def board(content: bytes) -> None:
    found = Board.decoded(content, "x.sgf")
    Board.of(found.plain())
    found.sgf()
    for line in read_lines(content, "x.sgf") if b"GM[4]" not in content else ():  # of go alone
        if isinstance(line, UserError):
            raise line


def talk() -> list[Original]:
    return [b"1 boardsize 5\n2 clear_board\n3 komi 6.5\n4 play b c3\n5 play w d3\n6 undo\n7 showboard\n8 final_score\n",
            b"set_free_handicap c3 d4\nfinal_status_list alive\ntime_settings 10 5 2\ntime_left b 3 0\nlist_commands\n",
            b"loadsgf x.sgf 3\nknown_command genmove\nplay w pass\nplay b pass\nfinal_score\nquit\n"]  # fmt: skip


class NoAnswer(AssertionError):
    """A command of the protocol that was not answered as it has to be."""


def engine(folder: Path) -> Reads:
    """Lines for a program that plays go; a move is thought over by a net without training, in two simulations."""
    from types import SimpleNamespace

    from milestones.core.config import changed
    from milestones.core.source import Place
    from milestones.systems import alphazero
    from milestones.verbs import gtp

    knobs = changed(alphazero.PRESETS["go5"], {"blocks": 1, "channels": 8, "together": 2}, "alphazero")
    facts = alphazero.prepare(knobs, Place(torch.device("cpu"), 0)).facts
    names = {"entry": SimpleNamespace(name="alphazero"), "folder": SimpleNamespace(name="alphazero-1")}
    trained = SimpleNamespace(model=alphazero.build(knobs, facts).eval(), facts=facts, **names)

    def through(content: bytes) -> None:
        player = gtp.Engine(trained, 2)  # type: ignore[arg-type]
        refusals = 0
        for line in content.decode("utf-8", "replace").splitlines()[:40]:
            if "genmove" in line or "analy" in line or "/" in line:
                continue  # what is thought over for long is tested elsewhere; no file but those of the folder
            sink = io.StringIO()
            gtp.serve(player, io.StringIO(line + "\n"), sink)  # type: ignore[arg-type]
            said = sink.getvalue()
            refusals += said.startswith("?")
            if said and (said[0] not in "=?" or not said.endswith("\n\n") or said.count("\n\n") != 1):
                raise NoAnswer(repr(said[:200]))
        if refusals:
            raise gtp.Refused

    return through


def idx_bytes() -> list[Original]:
    image = b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 5) + bytes(range(60))
    return [image, b"\0\0\x08\x01" + struct.pack(">I", 4) + bytes(4)]


def npz_bytes(**held: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **held)
    return stream.getvalue()


def archives() -> list[Original]:
    rng, stream = np.random.default_rng(0), io.BytesIO()
    np.savez_compressed(stream, train_x=rng.random((3, 4, 4)), train_y=np.arange(3), test_x=rng.random((2, 4, 4)),
                        test_y=np.array(["a", "b"]))  # fmt: skip
    few = {"image": rng.integers(0, 255, (3, 4, 4), np.uint8), "label": np.arange(3)}
    return [npz_bytes(**few), stream.getvalue(), npz_bytes(x=rng.random((3, 5, 2)), y=np.arange(3)),
            npz_bytes(signal=rng.random((2, 3, 8)), rate_hz=100.0, label=[0, 1], channels=list("xyz"))]  # fmt: skip


def each_archive(path: Path) -> None:
    """All three readers and the one that tells kinds; refused if all refuse."""
    kind(str(path))
    refusals = []
    for call in (arrays.npz, Recording.open, recorded):
        try:
            call(path)
        except UserError as problem:
            refusals.append(problem)
    if len(refusals) == 3:
        raise refusals[0]


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def heads() -> list[bytes]:
    """Arrays as they lie in archives: damaged ones get a right checksum."""
    return [npy(array) for array in (np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4, 3)), np.zeros((3, 5, 2)))]


def packed(path: Path, content: bytes) -> None:
    labels = npy(np.arange(3))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", labels)  # labels of three pictures or series


def within(folder: Path) -> Reads:
    path = folder / "x.npz"

    def through(content: bytes) -> None:
        packed(path, content)
        each_archive(path)

    return through


CONFIG = {"format": 1, "system": "lenet", "preset": "quick", "seed": 3, "began": 1.7e9, "command": "milestones train",
          "config": {"lr": 0.1, "layers": [1, 2]}, "choice": {"data": "x"}}  # fmt: skip


def record(path: Path) -> None:
    found = core.read_json(path.parent, path.name)
    json.dumps(found, allow_nan=False)  # nothing of what was read is infinite


LIKE = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.uint8)}


def weights_bytes() -> list[Original]:
    from safetensors.torch import save

    return [save(LIKE), save(LIKE, metadata={"x": "y"})]


def kept() -> dict[str, Any]:
    model = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(model.parameters(), 0.1)
    model(torch.ones(1, 3)).sum().backward()
    adam.step()
    return {"model": model, "adam": adam, "memo": Memo(best=1.5, words=["a", (1, None)])}


def states(folder: Path) -> bytes:
    write_state(folder / "s.safetensors", kept(), {"step": 3})
    return (folder / "s.safetensors").read_bytes()


def state_bytes() -> list[Original]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return [states(Path(folder))]


def restored(path: Path) -> None:
    read_state(path, kept(), {"step": int})


def recordings() -> list[Original]:
    """An EDF+ file of two channels and annotations, written by hand: two records of a second."""
    names = ["C3", "C4", "EDF Annotations"]
    fields = [[n.ljust(16) for n in names], [" " * 80] * 3, ["uV".ljust(8)] * 3, ["-500".ljust(8)] * 3,
              ["500".ljust(8)] * 3, ["-32768".ljust(8)] * 3, ["32767".ljust(8)] * 3, [" " * 80] * 3,
              ["8".ljust(8), "8".ljust(8), "16".ljust(8)], [" " * 32] * 3]  # fmt: skip
    start = "0".ljust(8) + "X".ljust(80) + "Y".ljust(80) + "01.01.0101.01.01" + "1024".ljust(8) + "EDF+C".ljust(44)
    head_ = (start + "2".ljust(8) + "1".ljust(8) + "3".ljust(4)).encode() + "".join(map("".join, fields)).encode()
    body = b""
    for second in range(2):
        notes = f"+{second}\x14\x14\0+{second}.5\x151\x14left\x14\0".encode().ljust(32, b"\0")
        body += np.arange(16, dtype="<i2").tobytes() + notes
    return [head_ + body]


def recording(path: Path) -> None:
    found = edf(path)
    assert np.isfinite(found.signal).all() and np.isfinite(found.rate_hz)
    json.dumps(Recording.open(path).plain(), allow_nan=False)


def lines_of_series() -> list[Original]:
    return [b"@problemName x\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n"
            b"7,?,9:1,2,3:b\n", b"@classLabel false\n@data\n1,2\n3,4\n"]  # fmt: skip


def series(path: Path) -> None:
    found, problems = recorded(path)
    assert all(not np.isinf(one.values).any() for one in found)
    if problems:
        raise problems[0]


def usps_lines() -> list[Original]:
    return [b"".join(b"%d.0 " % k + b" ".join([b"-1.0", b"0.5"] * 128) + b"\n" for k in range(2))]


def zipped() -> list[Original]:
    made = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name in ("cat/1.png", "dog/ä.png"):
                archive.writestr(name, picture("PNG", "L"))
        made.append(stream.getvalue())
    return [*made]


def unpacked(folder: Path) -> Reads:
    def through(content: bytes) -> None:
        import shutil

        place = folder / "zip"
        try:
            assert unpack.unpack(content, place).resolve().is_relative_to(place.resolve())
            assert not [path for path in place.rglob("*") if path.is_symlink()]
        finally:
            shutil.rmtree(place, ignore_errors=True)

    return through


def texts() -> list[Original]:
    return ["a line\nzwölf Wörter\n\n日本\n".encode(), b"\xef\xbb\xbfwith a mark\r\nand more\r\n"]


def text_of(path: Path) -> None:
    from milestones.media.records import Text

    read(path, (Text,))


READERS = {
    "pictures": Reader(pictures, lambda folder: look_at),
    "films": Reader(films, lambda folder: lambda content: str(Video.decoded(content, "x.webp"))),
    "wav": Reader(wave, lambda folder: hear),
    "flac and ogg": Reader(
        packed_sound, lambda folder: lambda content: str(Audio.decoded(content, "x.flac")), seldom=True,
        needs="soundfile"),
    "CSV": Reader(tables, filed("x.csv", rows)),
    "JSON lines": Reader(lambda: [b'{"a": 1, "b": "x"}\n{"a": null, "c": [1]}\n', {"a": 1, "b": [2, {"c": 3}]}],
                         filed("x.jsonl", rows)),
    "Parquet": Reader(parquet, filed("x.parquet", sheet), seldom=True, needs="pyarrow"),
    "SGF": Reader(games, lambda folder: board),
    "GTP": Reader(talk, engine, needs="numba"),  # its refusals are added below
    "IDX": Reader(idx_bytes, filed("x-idx3-ubyte", arrays.idx)),
    "IDX in gzip": Reader(lambda: [gzip.compress(one) for one in idx_bytes() if isinstance(one, bytes)],
                          filed("x-idx3-ubyte.gz", arrays.idx)),
    "npz": Reader(archives, filed("x.npz", each_archive)),
    "arrays in npz": Reader(lambda: [*heads()], within),
    "JSON": Reader(lambda: [CONFIG], filed("config.json", record)),
    "weights": Reader(weights_bytes, filed("w.safetensors", lambda path: core.read_weights(path, LIKE))),
    "states": Reader(state_bytes, filed("s.safetensors", restored)),
    "EDF": Reader(recordings, filed("x.edf", recording)),
    "series (.ts)": Reader(lines_of_series, filed("x.ts", series)),
    "USPS": Reader(usps_lines, filed("zip.train", arrays._usps_text)),
    "zip": Reader(zipped, unpacked),
    "text": Reader(texts, filed("x.txt", text_of)),
    "formulas": Reader(lambda: [b"x^2 + 10*y^2 - 2x*sin(3.5e1*y)", b"exp(-(x*x)) / abs(y) + pi"],
                       lambda folder: lambda content: formula(content.decode("utf-8", "replace")), (FormulaError,)),
}  # fmt: skip


def refused_by(name: str) -> tuple[type[Exception], ...]:
    """What a reader raises for input that it cannot use."""
    if name == "GTP":
        from milestones.verbs.gtp import Refused

        return (Refused,)
    return READERS[name].refused
