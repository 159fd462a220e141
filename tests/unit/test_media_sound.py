"""Sounds: read as other programs write them, refused in one line where damaged; films beside them."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milestones.core.errors import UserError
from milestones.media import Audio, Image, Video, read
from milestones.media import sound as sounds


def tone(count: int = 4000, rate: int = 8000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype(np.float32)


def riff(code: int, bits: int, channels: int, rate: int, data: bytes, more: bytes = b"") -> bytes:
    """A WAV file by hand: chunks of formats that the standard library does not write."""
    form = struct.pack("<HHIIHH", code, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    body = b"fmt " + struct.pack("<I", len(form) + len(more)) + form + more
    body += b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def test_what_is_written_the_standard_library_reads() -> None:
    sound = Audio(tone(), 8000)
    suffix, content = sound.encode()
    assert suffix == ".wav"
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 8000, 4000)
        raw = np.frombuffer(file.readframes(4000), "<i2")
    np.testing.assert_allclose(raw / 32767, sound.samples, atol=1 / 60000)
    again = Audio.decoded(content, "a.wav")
    assert again.rate_hz == 8000
    np.testing.assert_allclose(again.samples, sound.samples, atol=1 / 16000)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_whole_numbers_of_every_width(width: int, channels: int) -> None:
    """Written by the standard library's `wave`; two channels with opposite parts mix to their mean."""
    left = tone()
    mixed = left if channels == 1 else np.stack([left, 0.5 * left], 1)
    levels = np.round(mixed.astype(np.float64) * (2 ** (8 * width - 1) - 1)).astype(np.int64).reshape(-1)
    levels = levels + 128 if width == 1 else levels
    raw = levels.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(44100)
        file.writeframes(raw)
    found = Audio.decoded(stream.getvalue(), "x.wav")
    assert found.rate_hz == 44100 and found.samples.dtype == np.float32
    np.testing.assert_allclose(found.samples, left if channels == 1 else 0.75 * left, atol=2.1 / 2 ** (8 * width - 1)
                               if width < 4 else 1e-6)  # fmt: skip


def test_floats_and_the_extensible_form() -> None:
    left = tone()
    assert np.array_equal(Audio.decoded(riff(3, 32, 1, 16000, left.tobytes()), "x").samples, left)
    more = struct.pack("<HHIH14s", 22, 16, 4, 1, b"")
    raw = (left * 32767).round().astype("<i2")
    found = Audio.decoded(riff(0xFFFE, 16, 1, 16000, raw.tobytes(), more), "x")
    np.testing.assert_allclose(found.samples, left, atol=1 / 16000)
    loud = Audio.decoded(riff(3, 32, 1, 16000, (4 * left).tobytes()), "x")
    assert loud.samples.max() == 1 and loud.samples.min() == -1


def test_a_stream_of_unknown_length_is_read_to_its_end() -> None:
    content = riff(1, 16, 1, 8000, b"\1\2" * 50)
    at = content.index(b"data") + 4
    assert len(Audio.decoded(content[:at] + b"\xff" * 4 + content[at + 4 :], "x").samples) == 50


@pytest.mark.parametrize(("content", "says"), [
    (b"", "which is empty"),
    (b"fLaC" + bytes(40), "which is of another kind"),
    (riff(1, 16, 1, 8000, b"\1\2" * 50)[:-20], "damaged .* of 100 bytes of sound"),
    (riff(1, 16, 1, 8000, b""), "damaged .no samples"),
    (riff(1, 16, 1, 8000, b"")[:20], "damaged .no sound"),
    (riff(3, 32, 1, 8000, np.array([0, np.nan], "<f4").tobytes()), "samples that are no numbers"),
    (riff(2, 4, 1, 8000, b"\0" * 8), "format 2, 4 bits, 1 channels"),
    (riff(1, 16, 0, 8000, b"\0" * 8), "0 channels, 8,000 Hz. Save it as WAV of 16 bits"),
    (riff(1, 16, 1, 0, b"\0" * 8), "0 Hz"),
])  # fmt: skip
def test_damaged_files_are_refused_in_one_line(content: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Audio.decoded(content, "x.wav")
    assert "\n" not in str(caught.value) and "x.wav" in str(caught.value)


def test_too_long_sounds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "MOST", 10)
    with pytest.raises(UserError, match="a sound of at most 10 samples, got 50"):
        Audio.decoded(riff(1, 16, 1, 8000, b"\1\2" * 50), "x.wav")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 80), st.integers(0, 255))
def test_no_bytes_break_the_reader(noise: bytes, at: int, value: int) -> None:
    whole = riff(1, 16, 2, 8000, b"\1\2\3\4" * 8)
    changed = bytearray(whole)
    changed[at % len(whole)] = value
    for content in (noise, b"RIFF" + noise, whole[:20] + noise, bytes(changed), whole[: at % len(whole)]):
        with contextlib.suppress(UserError):
            assert len(Audio.decoded(content, "x").samples)


def test_other_formats_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "a.flac"
    path.write_bytes(b"fLaC" + bytes(40))
    with pytest.raises(UserError, match="soundfile, which reads FLAC, OGG and MP3, got none installed"):
        read(path, (Audio,))
    with pytest.raises(UserError, match="soundfile, which reads FLAC"):  # a folder of them is one of sounds, too
        read(tmp_path, (Audio,))


@pytest.mark.parametrize(("rate", "new"), [(8000, 16000), (44100, 16000), (16000, 8000), (22050, 16000)])
def test_another_rate_keeps_a_tone(rate: int, new: int) -> None:
    count = rate // 2
    found = Audio(tone(count, rate), rate).resampled(new)
    assert found.rate_hz == new and len(found.samples) == new // 2
    expected = tone(new // 2, new)
    inside = slice(new // 20, -new // 20)
    np.testing.assert_allclose(found.samples[inside], expected[inside], atol=0.01)


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    found = Audio(tone(8000, 16000, 6000.0), 16000).resampled(8000)
    assert np.abs(found.samples[400:-400]).max() < 0.02  # it would have come back as 2000 Hz


def test_the_plain_form_is_small_and_true() -> None:
    plain = Audio(tone(80_000), 8000).plain()
    assert plain["rate_hz"] == 8000 and plain["seconds"] == 10 and len(plain["envelope"]) == 400
    assert min(low for low, _ in plain["envelope"]) == pytest.approx(-0.5, abs=0.01)
    assert len(Audio(tone(5), 8000).plain()["envelope"]) == 5


@pytest.mark.parametrize("samples", [np.zeros(3), np.zeros((2, 2), np.float32), np.zeros(0, np.float32),
                                     np.array([np.inf], np.float32)])  # fmt: skip
def test_other_arrays_are_no_sound(samples: np.ndarray) -> None:
    with pytest.raises(UserError, match="one channel of finite float32 samples"):
        Audio(samples, 8000)


@pytest.mark.parametrize("rate", [0, 10**6, 8000.0])
def test_other_rates_are_none(rate: int) -> None:
    with pytest.raises(UserError, match="Give the rate in hertz"):
        Audio(tone(10), rate)


def test_files_of_sounds_are_read(tmp_path: Path) -> None:
    for name in ("b.wav", "a.wav"):
        (tmp_path / name).write_bytes(Audio(tone(100 if name == "a.wav" else 200), 8000).encode()[1])
    (found,) = read(tmp_path / "a.wav")
    assert isinstance(found, Audio) and str(found) == "sound, 0.0125 s at 8,000 Hz"
    (tmp_path / "nameless").write_bytes((tmp_path / "a.wav").read_bytes())
    assert isinstance(read(tmp_path / "nameless")[0], Audio)
    assert [len(each.samples) for each in read(tmp_path, (Audio,))] == [100, 200]  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"float32, got .*none.wav .No such file"):
        Audio.open(tmp_path / "none.wav")


def film(colour: bool = False) -> Video:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (7, 10, 12, 3) if colour else (7, 10, 12), dtype=np.uint8)
    return Video(frames, 8.0, {"value": [k / 3 for k in range(7)]}, rng.random((7, 3, 4), np.float32))


@pytest.mark.parametrize("colour", [False, True])
def test_a_film_comes_back_from_its_file(colour: bool, tmp_path: Path) -> None:
    one = film(colour)
    suffix, content = one.encode()
    again = Video.decoded(content, "x.webp")
    assert suffix == ".webp" and np.array_equal(again.frames, one.frames)
    assert again.rate_hz == pytest.approx(8) and again.values == {"value": [k / 3 for k in range(7)]}
    np.testing.assert_allclose(again.saliency, one.saliency, atol=1 / 500)  # type: ignore[arg-type]
    (tmp_path / "a.webp").write_bytes(content)
    assert isinstance(read(tmp_path / "a.webp", (Video,))[0], Video)
    assert isinstance(read(tmp_path / "a.webp", (Image,))[0], Image)


def test_a_film_without_webp_is_a_gif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.media.film.features.check", lambda name: False)
    suffix, content = film().encode()
    assert suffix == ".gif" and content[:3] == b"GIF"
    again = Video.decoded(content, "x")
    assert again.frames.shape == (7, 10, 12) and again.values == {} and again.saliency is None


def test_a_film_can_be_thinned_and_laid_out() -> None:
    thin = film().thinned(500)
    assert len(thin.frames) == 4 and thin.rate_hz == 4 and list(thin.values["value"]) == [0, 2 / 3, 4 / 3, 2]
    assert film().strip(3).shape == (10, 36)
    assert film().plain() == {"frames": 7, "height": 10, "width": 12, "rate_hz": 8.0,
                              "values": {"value": [k / 3 for k in range(7)]}}  # fmt: skip


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 3, 4)), np.zeros((2, 3, 4, 4), np.uint8), np.zeros((0, 3, 4), np.uint8)]
)
def test_other_arrays_are_no_film(frames: np.ndarray) -> None:
    with pytest.raises(UserError, match="grey or colour frames of uint8"):
        Video(frames)


def test_damaged_films_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = film().encode()[1]
    for bad in (b"", b"GIF89a", content[: len(content) // 2], content[:40]):
        with pytest.raises(UserError, match="an animated WebP or GIF, got x"):
            Video.decoded(bad, "x")
    with pytest.raises(UserError, match=r"an animated WebP or GIF, got .*No such file"):
        Video.open(tmp_path / "none.gif")
    monkeypatch.setattr("milestones.media.film.MOST_FRAMES", 3)
    with pytest.raises(UserError, match="Cut the film"):
        Video.decoded(content, "x")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 255))
def test_a_changed_film_is_read_or_refused(at: int, value: int) -> None:
    content = bytearray(film().encode()[1])
    content[at % len(content)] = value
    with contextlib.suppress(UserError):
        found = Video.decoded(bytes(content), "x")
        assert all(len(line) == len(found.frames) for line in found.values.values())
