"""Pictures in every usual form are read right, bad ones refused in one line; records have three forms."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.media import (
    Curve,
    Heat,
    Image,
    Listing,
    Media,
    Number,
    Ranking,
    Row,
    Surface,
    Text,
    lit,
    mosaic,
    read,
    tiles,
)
from milestones.media.image import scaled
from milestones.media.sheet import sheet

COLOUR = np.zeros((6, 4, 3), np.uint8)
COLOUR[:3, :, 0], COLOUR[3:, :, 2] = 255, 255  # red above blue


def test_rotation_in_exif_is_applied(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was turned: its left is our top
    Pillow.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    assert Image.open(tmp_path / "a.png").pixels.shape == (4, 6, 3)
    np.testing.assert_array_equal(Image.open(tmp_path / "a.png").pixels, np.rot90(COLOUR, -1))


@pytest.mark.parametrize(("suffix", "worst"), [(".png", 0), (".bmp", 0), (".tiff", 0), (".webp", 60), (".jpg", 60)])
def test_each_format(tmp_path: Path, suffix: str, worst: int) -> None:
    large = COLOUR.repeat(8, 0).repeat(8, 1)
    Pillow.fromarray(large).save(tmp_path / f"a{suffix}")
    error = np.abs(Image.open(tmp_path / f"a{suffix}").pixels.astype(int) - large)
    assert error.mean() <= worst / 20
    assert error.max() <= max(worst, 0) * 2


def test_sixteen_bits_palette_alpha_cmyk_and_one_bit(tmp_path: Path) -> None:
    deep = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    Pillow.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "deep.png").pixels, [[0, 100], [200, 255]])
    Pillow.fromarray(COLOUR).quantize(4).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "palette.png").pixels, COLOUR)
    clear = np.dstack([COLOUR, np.full((6, 4), 0, np.uint8)])
    clear[0, 0, 3] = 255
    Pillow.fromarray(clear).save(tmp_path / "clear.png")
    grey = Image.open(tmp_path / "clear.png").grey()
    assert grey[0, 0] == 76  # red
    assert (grey.ravel()[1:] == 255).all()  # nothing, seen on white
    Pillow.fromarray(COLOUR).convert("CMYK").save(tmp_path / "print.tiff")
    np.testing.assert_array_equal(Image.open(tmp_path / "print.tiff").pixels, COLOUR)
    Pillow.fromarray(COLOUR[..., 0]).convert("1").save(tmp_path / "bits.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "bits.png").pixels, COLOUR[..., 0])


def test_grey_is_the_luma_of_601() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (9, 7, 3), np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(Image(pixels).grey() - luma).max() <= 0.51


def test_scaled_is_nearly_grey_and_resized() -> None:
    y, x = np.mgrid[0:600, 0:800]
    pixels = np.stack([y % 256, x % 256, (x + y) % 256], 2).astype(np.uint8)
    smooth = np.asarray(Pillow.fromarray(pixels).resize((40, 30)).resize((800, 600)))
    for format in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Pillow.fromarray(smooth).save(stream, format)
        plain = Image(Image.decoded(stream.getvalue(), "a").grey()).resized(28, 28).pixels
        assert np.abs(scaled(stream.getvalue(), "a", 28).astype(int) - plain).max() <= 3


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose head claims a size, with hardly any pixels."""
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"0")),
    ):
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out


@pytest.mark.parametrize("side", [40_000, 11_000, 9_999_999])
def test_a_huge_picture_is_refused_by_its_head(tmp_path: Path, side: int) -> None:
    (tmp_path / "huge.png").write_bytes(png_claiming(side, side))
    with pytest.raises(UserError, match=r"a picture of at most 100 megapixels, got .*huge\.png, which has more"):
        Image.open(tmp_path / "huge.png")


def test_just_below_the_limit_only_its_pixels_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_claiming(9_900, 9_900) + bytes(10_000))
    with pytest.raises(UserError, match="which is truncated or damaged"):
        Image.open(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_claiming(9_900, 9_900))
    with pytest.raises(UserError, match=r"as large as its file can hold, got .*a\.png, which says 9,900 x 9,900 in"):
        Image.open(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_claiming(3_100, 3_100))
    with pytest.raises(UserError, match="which is truncated or damaged"):
        Image.open(tmp_path / "a.png")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_truncated(tmp_path: Path, format: str) -> None:
    stream = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(stream, format)
    (tmp_path / "a.png").write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])
    with pytest.raises(UserError, match=r"a PNG, JPEG, BMP, TIFF or WebP picture, got .*a\.png") as caught:
        Image.open(tmp_path / "a.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Dear reader,\nthis is a letter.", "which is a text file"),
        ("übermäßig".encode() * 90, "which is a text file"),
        (b"", "which is empty"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "an HEIC, AVIF or video file"),
        (b"GIF89a", "which is a GIF"),
        (b"%PDF-1.4 ", "which is a PDF"),
        (bytes([255, 254, 0, 200]) * 99, "no picture or a damaged one"),
    ],
)
def test_no_picture(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"{words}\. Save it again as PNG or JPEG"):
        Image.open(tmp_path / "a.png")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png \(No such file or directory\)\. Check the path\."):
        Image.open(tmp_path / "a.png")


def test_pixels_of_another_shape_are_refused() -> None:
    for pixels in (np.zeros((3, 4, 4, 2), np.uint8), np.zeros((2, 2)), np.zeros((0, 2), np.uint8)):
        with pytest.raises(UserError, match="a grey or colour picture of uint8 values"):
            Image(pixels)


def test_tiles_scale_each_filter_to_its_own_peak() -> None:
    weights = torch.zeros(3, 1, 2, 2)
    weights[0, 0, 0, 0], weights[1, 0, 1, 1] = 1e-3, -50
    sheet = tiles(weights, columns=3, enlarge=1).pixels
    assert sheet.shape == (6, 14)
    assert sheet[2, 2] == 255 and sheet[2, 3] == 128  # first filter
    assert sheet[3, 7] == 1 and sheet[2, 6] == 128  # second
    assert (sheet[2:4, 10:12] == 128).all() and (sheet[:2] == 255).all()  # third, and the border
    assert tiles(torch.randn(4, 3, 5, 5)).pixels.ndim == 3
    assert tiles(torch.randn(2, 6, 5, 5), columns=4, enlarge=1).pixels.shape == (3 * 7 + 2, 4 * 7 + 2)


def test_mosaic_has_a_place_for_each() -> None:
    images = [Image(np.full((56, 56), level, np.uint8)) for level in (0, 100, 200)]
    plain, captioned = mosaic(images, columns=3).pixels, mosaic(images, ["a", "b", "ü漢"], columns=3).pixels
    assert [int(plain[30, 30 + 60 * k]) for k in range(3)] == [0, 100, 200]
    assert captioned.shape[0] == plain.shape[0] + 12
    mixed = [images[1], Image(np.full((56, 56, 3), (10, 20, 30), np.uint8)), Image(np.zeros((56, 56, 4), np.uint8))]
    colours = mosaic(mixed, ["one", "two\nlines", ""], columns=3).pixels
    assert colours.shape == (plain.shape[0] + 24, plain.shape[1], 3)
    assert [colours[30, 30 + 60 * k].tolist() for k in range(3)] == [[100] * 3, [10, 20, 30], [255] * 3]


def test_a_picture_is_lit_where_the_weights_are() -> None:
    picture, weights = torch.full((3, 8, 8), 200, dtype=torch.uint8), torch.zeros(2, 2, 2)
    weights[0, 0, 1], weights[1] = 0.5, 0.25
    plain, corner, everywhere = lit(picture, weights, 3)
    assert plain.pixels.shape == corner.pixels.shape == (24, 24, 3)
    assert (plain.pixels == 200).all() and (everywhere.pixels == 200).all()
    assert corner.pixels[0, 23, 0] == 200 and corner.pixels[23, 0, 0] == 50


def test_records_are_media_with_json() -> None:
    ranking = Ranking.of(torch.tensor([0.1, 0.7, 0.2]), ["a", "b", "c"])
    assert ranking.labels == ("b", "c", "a") and ranking.best == "b"
    assert str(ranking) == "b 70.0 %  c 20.0 %  a 10.0 %"
    items = [
        ranking, Text("hé"), Number(2.5, "m"), Number(float("nan")), Row({"a": 1, "b": float("inf")}),
        Curve([1, 2], {"loss": [3.0, float("nan")]}, "step", "loss", logy=True),
        Heat(np.eye(2), ["x", "y"], ["x", "y"]), Listing(["a", "b"], [["x", 1.5], ["y", None]]),
        Surface(np.eye(2), (0, 1, 0, 1), {"p": [(0.0, 1.0)]}, {"start": [(0.0, 1.0)]}), Image(COLOUR),
    ]  # fmt: skip
    for item in items:
        suffix, content = item.encode()
        assert isinstance(item, Media) and suffix.startswith(".") and str(item)
        json.dumps(item.plain(), allow_nan=False)
        if suffix == ".json":
            assert json.loads(content) == {"format": 1, "value": item.plain()}
    back = Image.decoded(items[-1].encode()[1], "back")
    np.testing.assert_array_equal(back.pixels, COLOUR)


def test_blocks_draw_dark_on_light() -> None:
    pixels = np.zeros((8, 4), np.uint8)
    pixels[:4] = 255
    assert Image(pixels).blocks(4) == "####\n####\n    \n    "


def test_read_by_suffix_and_content(tmp_path: Path) -> None:
    Pillow.fromarray(COLOUR).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "nameless")
    assert isinstance(read(tmp_path / "nameless")[0], Image)
    (tmp_path / "rows.csv").write_text('a,b\n1,"x, y"\n\n2,\n')
    (tmp_path / "rows.tsv").write_text("a\tb\n1\tx, y\n2\t\n")
    (tmp_path / "rows.jsonl").write_text('{"a": "1", "b": "x, y"}\n{"a": "2", "b": ""}\n')
    for suffix in ("csv", "tsv", "jsonl"):
        assert read(tmp_path / f"rows.{suffix}") == [Row({"a": "1", "b": "x, y"}), Row({"a": "2", "b": ""})]
    assert read('{"a": 1}') == [Row({"a": 1})]
    with pytest.raises(UserError, match="a row as JSON"):
        read("{a: 1}")
    (tmp_path / "a.xyz").write_text("?")
    with pytest.raises(UserError, match=r"a picture or a table, got .*a\.xyz, of another kind"):
        read(tmp_path / "a.xyz")
    with pytest.raises(UserError, match="a file or a folder, got nothing-here, which does not exist"):
        read("nothing-here")
    with pytest.raises(UserError, match="an empty argument"):
        read("")
    for name in ("gone.txt", "gone.csv", "gone.sgf"):  # also where words that are no file are a text
        with pytest.raises(UserError, match=f"a text, or a file of texts, got {name}, which does not exist"):
            read(name, (Text,))
    assert read("not in gone.txt", (Text,)) == [Text("not in gone.txt")]
    (tmp_path / "loose").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="a readable file, got"):
        read(tmp_path / "loose")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="a folder with pictures, got"):
        read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"a,b\n1,2\n1,2,3\n", r"2 columns in each row, got 3 in .*a\.csv line 3"),
        ("a.csv", b"a,a\n1,2\n", r"columns of different names, got 'a' twice"),
        ("a.csv", b"", "a table with a line of column names and rows"),
        ("a.csv", b"PK\3\4\0\0\0\0", "a CSV or TSV table, got .*which is no text"),
        ("a.csv", b'a,b\n"1' + b"x" * 200_000 + b'",2\n', r"a CSV or TSV table, got .*field larger than field limit"),
        ("a.jsonl", b'{"a": 1}\n[2]\n', r"a JSON object on each line, got another text in .* line 2"),
        ("a.parquet", b"PAR1 no", "a Parquet file, got"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason='Parquet needs an extra: pip install "milestones[tables]"')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        sheet(tmp_path / name)


def test_missing_table_and_missing_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"a table, got .*no\.csv"):
        sheet(tmp_path / "no.csv")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r'pyarrow, which reads Parquet files.*pip install "milestones\[tables\]"'):
        sheet(tmp_path / "a.parquet")


def test_a_table_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas", reason='Parquet needs an extra: pip install "milestones[tables]"')
    pandas.DataFrame({"a": range(9)}).to_parquet(tmp_path / "a.parquet")
    assert sheet(tmp_path / "a.parquet").columns == {"a": list(range(9))}
    monkeypatch.setattr("milestones.media.sheet.CELLS", 8)
    with pytest.raises(UserError, match=r"a table of at most 8 cells, got more in .*Take a sample of its rows"):
        sheet(tmp_path / "a.parquet")


def test_a_table_from_an_old_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("größe;preis\n1,5;2\n".encode("latin-1"))
    table = sheet(tmp_path / "a.csv")
    assert table.columns == {"größe": ["1,5"], "preis": ["2"]} and table.comma


def test_a_text_that_flows_is_made_as_it_is_read() -> None:
    made: list[str] = []

    def making() -> Iterator[str]:
        for piece in ("to ", "be", "", " or"):
            made.append(piece)
            yield piece

    text = Text(making())
    assert text.flows and not Text("to").flows and made == []
    assert repr(text) == "Text('', flows)"
    pieces, others = text.pieces(), text.pieces()
    assert [next(pieces), next(pieces), next(others)] == ["to ", "be", "to "] and made == ["to ", "be"]
    assert text.text == str(text) == text.plain() == "to be or" and text.encode() == (".txt", b"to be or")
    assert [*pieces] == ["", " or"] and [*others] == ["be", "", " or"] and [*text.pieces()] == made
    assert text == Text("to be or") != Text("to be") and hash(text) == hash(Text("to be or"))
    assert Text("a") != "a" and isinstance(text, Media)


def test_a_text_that_fails_keeps_what_was_made() -> None:
    def making() -> Iterator[str]:
        yield "to be"
        raise KeyboardInterrupt

    text = Text(making())
    with pytest.raises(KeyboardInterrupt):
        list(text.pieces())
    assert text.text == "to be"


def test_words_that_are_no_file() -> None:
    for words in ("", " ", "\n", "{", '{"a": 1}', "to be"):
        assert read(words, (Text,)) == [Text(words)]
    assert read('{"a": 1}', (Text, Row)) == [Row({"a": 1})]
