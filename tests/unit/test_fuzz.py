"""A few hundred damaged inputs for each reader, as benchmarks/fuzz.py makes many thousands, and what readers promise of
whole ones: written and read again, anything is what it was."""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from unit import damaged
from unit.readers import READERS, refused_by, talk

from milestones.core.errors import UserError
from milestones.core.folder import read_json, write_json
from milestones.data.arrays import idx
from milestones.media import Audio, Board, Image, Video
from milestones.media.edf import edf
from milestones.media.npz import arrays_in
from milestones.media.series import recorded
from milestones.media.sheet import head, header, sheet

COUNT, SLOW, SEED = 300, 2.0, 7_000_000
steady = settings(max_examples=150, derandomize=True, deadline=None,
                  suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip


@pytest.fixture(scope="module")
def guard() -> damaged.Guard:
    return damaged.Guard()


@pytest.mark.parametrize("name", READERS)
def test_damaged_inputs(name: str, tmp_path: Path, guard: damaged.Guard) -> None:
    """A result or a refusal, within 2 s, and nothing written, started or connected elsewhere."""
    reader = READERS[name]
    if reader.needs:
        pytest.importorskip(reader.needs, reason='Some readers need extras: pip install "milestones[all]"')
    reads = reader.reads(tmp_path)
    for one in reader.originals():
        content = one if isinstance(one, bytes) else json.dumps(one).encode()
        try:
            reads(content)  # whole ones are read, but for a conversation with refusals in it
        except refused_by(name):
            assert content in talk()

    def watched(content: bytes) -> None:
        with guard.over(tmp_path):
            reads(content)

    with damaged.quiet():
        given_ = damaged.inputs(*reader.originals(), count=COUNT, seed=SEED)
        told, _, wrong = damaged.met(watched, given_, refused_by(name), SLOW)
    assert not wrong, "\n".join(wrong)
    assert told["refusals"] and (told["results"] or reader.seldom), told


def test_what_a_reader_must_not_do_is_noticed(tmp_path: Path, guard: damaged.Guard) -> None:
    inside = tmp_path / "in"
    inside.mkdir()

    def write(path: Path) -> Callable[[], object]:
        return lambda: path.write_bytes(b"x")

    acts = (write(tmp_path / "out"), (tmp_path / "new").mkdir, lambda: (inside / "l").symlink_to(tmp_path),
            lambda: (inside / ".." / "gone").unlink(missing_ok=True))  # fmt: skip
    for act in acts:
        with pytest.raises(damaged.Strayed), guard.over(inside):
            act()
    with guard.over(inside):
        write(inside / "fine")()
        assert (inside / "fine").read_bytes() == b"x"


def test_what_is_wrong_is_counted_as_wrong() -> None:
    def reader(content: bytes) -> None:
        if content == b"crash":
            raise KeyError
        if content == b"refuse":
            raise UserError("a", "b", "c")
        while content == b"hang":
            pass

    given_ = enumerate((b"crash", b"refuse", b"fine", b"hang"))
    before, damaged.STUCK = damaged.STUCK, 0.2
    try:
        told, _, wrong = damaged.met(reader, iter(given_), (UserError,), 1.0)
    finally:
        damaged.STUCK = before
    assert told == {"wrong": 2, "refusals": 1, "results": 1} and len(wrong) == 2


# What was found so, each mended at its root.


@pytest.mark.parametrize("text", ["0.5", "NaN", "7", "null", "[[1]]", '["a"]'])
def test_a_first_line_that_is_no_object_has_no_columns(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text + "\n")
    assert header(path) == [] and head(path) == {}


def test_frames_of_different_sizes_are_no_film() -> None:
    film, said = Video(np.random.default_rng(0).integers(0, 255, (3, 8, 8), np.uint8)).written(".gif"), set()
    for at in range(6, len(film)):
        try:
            Video.decoded(film[:at] + bytes([film[at] ^ 0x10]) + film[at + 1 :], "x")
        except UserError as problem:
            said.add(str(problem))
    assert any("got x, which is none or damaged (frame 2 of another size than the first)" in one for one in said)


def gif(side: int, frames: int = 1) -> bytes:
    """A film whose head says that it has so many frames of that size; its pixels are missing."""
    size = struct.pack("<HH", side, side)
    frame = b",\0\0\0\0" + size + b"\0\2\2\x44\1\0"
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame * frames + b";"


def test_a_few_bytes_that_say_they_are_large_are_refused_at_once() -> None:
    for content, want in ((gif(9000), "a film as large as its file can hold, got x, which says 1 of 9,000 x 9,000 in"),
                          (gif(2000, 20), r"got x, which says 20 of 2,000 x 2,000 in .* Save the film again"),
                          (gif(2000, 40), "at most 5,000 frames and 381 MiB, got 40 of 2,000 x 2,000 in x"),
                          (gif(30_000), "which is none or damaged .Image size")):  # fmt: skip
        began = time.process_time()
        with pytest.raises(UserError, match=want):
            Video.decoded(content, "x")
        assert time.process_time() - began < 0.1
    stream = io.BytesIO()
    Pillow.new("1", (9000, 9000)).save(stream, "TIFF", compression="group4")
    with pytest.raises(UserError, match="a picture as large as its file can hold, got x, which says 9,000 x 9,000 in"):
        Image.decoded(stream.getvalue()[:4000], "x")
    Pillow.new("1", (9000, 9000)).save(stream := io.BytesIO(), "PNG")
    assert Image.decoded(stream.getvalue(), "x").pixels.shape == (9000, 9000), "a blank sheet is none of these"


def test_a_long_film_of_little_movement_is_read() -> None:
    frames = np.full((60, 400, 600), 255, np.uint8)
    for k, frame in enumerate(frames):
        frame[200:210, k : k + 10] = 0
    film = Video(frames)
    found = Video.decoded(film.encode()[1], "x")
    assert (found.frames == frames).all()


def npz_with(path: Path, described: str, content: bytes, name: str = "x.npy") -> Path:
    import zipfile

    told = described.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"\x93NUMPY\x01\0" + struct.pack("<H", len(told)) + told + content)
    return path


HEADS = {
    "a size that would fill the memory": "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,), }",
    "another size": "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
    "negative sizes": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2), }",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    "an open bracket": "{'descr': '<f8', 'fortran_order': False, 'shape': (2,",
    "deep": "(" * 100,
    "no head": "2",
    "a call": "__import__('os').system('touch ran')",
}


@pytest.mark.parametrize("case", HEADS)
def test_heads_of_arrays_are_checked_before_they_are_loaded(tmp_path: Path, case: str) -> None:
    path = npz_with(tmp_path / "x.npz", HEADS[case], bytes(16))
    with pytest.raises(UserError, match=r"arrays, got .*x\.npz, which is none, or damaged .*Save it again with numpy"):
        arrays_in(path, "arrays")
    assert not Path("ran").exists()


def test_an_entry_that_is_no_array_and_one_of_a_later_format_are_refused(tmp_path: Path) -> None:
    import zipfile

    for content in (b"text", b"\x93NUMPY\x03\0" + bytes(200)):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(UserError, match="which is none, or damaged"):
            arrays_in(tmp_path / "x.npz", "arrays")


@pytest.mark.parametrize(("at", "text"), [
    (256 + 3 * 104, "much"), (256 + 3 * 104, "nan"), (256 + 3 * 104, "1e999"), (256 + 3 * 216, "-8"), (244, "inf"),
])  # fmt: skip
def test_an_edf_head_with_limits_that_are_no_numbers_is_refused(tmp_path: Path, at: int, text: str) -> None:
    content = bytearray(READERS["EDF"].originals()[0])  # type: ignore[arg-type]
    content[at : at + 8] = text.ljust(8).encode()
    (tmp_path / "x.edf").write_bytes(content)
    with pytest.raises(UserError, match=r"numbers in the EDF header|a whole EDF header"):
        edf(tmp_path / "x.edf")


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1" + "0" * 400 + ".0", "NaN", "-Infinity"])
def test_numbers_beyond_all_bounds_are_no_json_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text('{"format": 1, "a": [' + text + "]}")
    with pytest.raises(UserError, match=r"no valid JSON \(the number "):
        read_json(tmp_path, "x.json")


def test_series_beyond_float32_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_text("@classLabel false\n@data\n1,1e39\n3,4\n")
    found, problems = recorded(tmp_path / "x.ts")
    assert len(found) == len(problems) == 1 and "numbers between commas" in str(problems[0])
    np.savez(tmp_path / "x.npz", x=np.full((2, 3, 1), 1e300), y=np.arange(2))
    with pytest.raises(UserError, match="finite values, NaN where one is missing"):
        recorded(tmp_path / "x.npz")


def test_cells_that_are_too_long_for_a_name_name_no_file(tmp_path: Path) -> None:
    from milestones.data.kinds import kind
    from milestones.media.sheet import is_named

    (tmp_path / "x.jsonl").write_text(json.dumps({"file": "a" * 3000, "text": "b"}) + "\n")
    (tmp_path / "x.csv").write_text("file,label\n" + "a" * 3000 + ".png,b\n")
    assert kind(str(tmp_path / "x.jsonl")) and kind(str(tmp_path / "x.csv")) == "pictures"
    assert not is_named(tmp_path / ("a" * 3000)) and not is_named(tmp_path / ("a" * 3000), folder=True)
    assert is_named(tmp_path / "x.csv") and is_named(tmp_path, folder=True)


# What is written is read again as it was.

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@steady
@given(shapes, st.booleans(), st.integers(0, 2**32))
def test_idx(tmp_path: Path, shape: list[int], packed: bool, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    content = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()
    path = tmp_path / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(idx(path), array)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError):
        idx(path)


@steady
@given(shapes, st.sampled_from(["u1", "<i8", "<f4", "<f8", "?", "<U3"]), st.booleans(), st.booleans())
def test_npz(tmp_path: Path, shape: list[int], kind: str, turned: bool, packed: bool) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(kind)
    array = np.asfortranarray(array) if turned else array
    (np.savez_compressed if packed else np.savez)(tmp_path / "x.npz", A=array)
    found = arrays_in(tmp_path / "x.npz", "arrays")
    assert list(found) == ["a"] and found["a"].dtype == array.dtype
    np.testing.assert_array_equal(found["a"], array)


@steady
@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=50), st.integers(1, 768_000))
def test_wav(samples: list[int], rate: int) -> None:
    sound = Audio(np.array(samples, np.float32) / 32767, rate)
    found = Audio.decoded(sound.encode()[1], "x.wav")
    assert found.rate_hz == rate
    np.testing.assert_allclose(found.samples, np.array(samples) / 32768, atol=1e-7)


@steady
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0, 3, 4]), st.integers(0, 2**32))
def test_pictures(height: int, width: int, channels: int, seed: int) -> None:
    shape = (height, width, channels) if channels else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(Image.decoded(Image(pixels).encode()[1], "x").pixels, pixels)


cell = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).map(str.strip)


@steady
@given(st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=6))
def test_csv(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    import csv

    with open(tmp_path / "x.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *rows])
    assert list(zip(*sheet(tmp_path / "x.csv").columns.values(), strict=True)) == rows


points = st.tuples(st.integers(0, 8), st.integers(0, 8))


@steady
@given(st.lists(points, max_size=30, unique=True), st.text(max_size=40))
def test_sgf(moves: list[tuple[int, int]], note: str) -> None:
    letters = "abcdefghi"
    spoken = note.replace("\\", "\\\\").replace("]", "\\]")
    played = "".join(f";{'BW'[k % 2]}[{letters[c]}{letters[r]}]" for k, (r, c) in enumerate(moves))
    text = f"(;FF[4]GM[1]SZ[9]CA[utf-8]C[{spoken}]{played})"
    board = Board.decoded(text.encode(errors="replace"), "x.sgf")
    assert [(m.row, m.column) for m in board.moves] == moves
    again = Board.decoded(board.sgf().encode(), "x.sgf")
    assert again.moves == board.moves and (again.cells == board.cells).all()


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8)  # fmt: skip


@steady
@given(plain)
def test_json(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "x.json", {"value": value})
    assert read_json(tmp_path, "x.json")["value"] == value


@steady
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32) | st.just(math.nan), min_size=1, max_size=5), min_size=1, max_size=4
    )
)
def test_ts(tmp_path: Path, rows: list[list[float]]) -> None:
    said = "\n".join(",".join("?" if math.isnan(v) else repr(v) for v in row) + ":x" for row in rows)
    (tmp_path / "x.ts").write_text(f"@classLabel true x\n@data\n{said}\n")
    found, problems = recorded(tmp_path / "x.ts")
    assert not problems and [one.label for one in found] == ["x"] * len(rows)
    for one, row in zip(found, rows, strict=True):
        np.testing.assert_array_equal(one.values[:, 0], np.array(row, np.float32)[: len(one.values)])
        assert np.isnan(row[len(one.values) :]).all()


words = st.sampled_from(["boardsize", "komi", "play", "undo", "clear_board", "showboard", "final_score", "b", "w",
                         "black", "c3", "pass", "e6", "5", "6.5", "nan", "-1", "#", "\t", "name", "\x00"])  # fmt: skip


@steady
@given(st.lists(words | st.text(max_size=4), max_size=4), st.none() | st.integers(0, 10**6))
def test_gtp(engine: Any, line: list[str], number: int | None) -> None:
    """Each line has one answer that bears its number, or none if nothing was asked."""
    from milestones.verbs.gtp import serve

    sink, text = io.StringIO(), " ".join([*([str(number)] if number is not None else []), *line])
    serve(engine, io.StringIO("".join(text.splitlines()) + "\n"), sink)  # type: ignore[arg-type]
    said = sink.getvalue()
    assert said == "" or (said[0] in "=?" and said.endswith("\n\n") and said.count("\n\n") == 1)
    if said and number is not None:
        assert said[1:].startswith(str(number))


@pytest.fixture(scope="module")
def engine() -> Any:
    pytest.importorskip("numba", reason='Rules need an extra: pip install "milestones[games]"')
    from types import SimpleNamespace

    import torch

    from milestones.core.config import changed
    from milestones.core.source import Place
    from milestones.systems import alphazero
    from milestones.verbs.gtp import Engine

    knobs = changed(alphazero.PRESETS["go5"], {"blocks": 1, "channels": 8, "together": 2}, "alphazero")
    facts = alphazero.prepare(knobs, Place(torch.device("cpu"), 0)).facts
    names = {"entry": SimpleNamespace(name="alphazero"), "folder": SimpleNamespace(name="alphazero-1")}
    return Engine(SimpleNamespace(model=alphazero.build(knobs, facts).eval(), facts=facts, **names), 2)  # type: ignore[arg-type]
