"""Recordings in files, read into memory at one rate; what cannot be read is collected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from milestones.core.errors import UserError
from milestones.data import wavs
from milestones.data.wavs import is_sound, rate_of, recordings, refused, sound_files
from milestones.media import Audio


def sound(path: Path, hertz: float = 440.0, rate: int = 8000, seconds: float = 0.25) -> Path:
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    path.write_bytes(Audio(samples.astype(np.float32), rate).encode()[1])
    return path


def test_all_come_at_one_rate(tmp_path: Path) -> None:
    files = [sound(tmp_path / f"{rate}.wav", rate=rate) for rate in (8000, 16000, 48000)]
    found = recordings(files, 16000)
    assert found.kept == [0, 1, 2]
    assert found.problems == {}
    assert found.samples.length.tolist() == [4000, 4000, 4000]
    assert str(found.samples.values.dtype) == "torch.int16"
    a, b, c = (found.samples.values[i * 4000 + 200 : i * 4000 + 3800].numpy() for i in range(3))
    expected = 0.5 * 32767 * np.sin(2 * np.pi * 440 * np.arange(4000) / 16000)[200:3800]
    for one in (a, b, c):
        assert np.abs(one - expected).max() < 400  # of 16,384: only what resampling does near the ends


def test_equal_sounds_have_equal_keys(tmp_path: Path) -> None:
    files = [sound(tmp_path / "a.wav"), sound(tmp_path / "b.wav"), sound(tmp_path / "c.wav", 500)]
    keys = recordings(files, 8000).keys
    assert keys[0] == keys[1] != keys[2]


def test_the_rate_is_the_most_frequent_one_in_the_range_of_speech(tmp_path: Path) -> None:
    low = [sound(tmp_path / f"low{i}.wav", rate=6000) for i in range(3)]
    high = [sound(tmp_path / f"high{i}.wav", rate=44100) for i in range(2)]
    assert rate_of(low + high) == 8000
    assert rate_of(high) == 16000
    assert rate_of([sound(tmp_path / "x.wav", rate=11025)]) == 11025
    assert rate_of([tmp_path / "missing.wav"]) == 16000


def test_what_cannot_be_read_is_collected(tmp_path: Path) -> None:
    good = sound(tmp_path / "good.wav")
    cut = tmp_path / "cut.wav"
    cut.write_bytes(good.read_bytes()[:1000])
    empty = tmp_path / "empty.wav"
    empty.write_bytes(good.read_bytes()[:40] + bytes(4))
    silent = tmp_path / "silent.wav"
    silent.write_bytes(Audio(np.zeros(2000, np.float32), 8000).encode()[1])
    files = [cut, good, empty, silent, tmp_path / "missing.wav"]
    found = recordings(files, 8000)
    assert found.kept == [1]
    assert list(found.problems) == [0, 2, 3, 4]
    for i, words in ((0, "damaged"), (2, "no samples"), (3, "which is silent"), (4, "No such file")):
        assert words in str(found.problems[i])
    assert "expected a recording with a sound in it" in str(found.problems[3])
    with pytest.raises(UserError, match=r"recordings that can be read, got 4 of 5 that cannot, first .*cut\.wav"):
        refused(found.problems, 5, False, str(tmp_path))
    with pytest.raises(UserError, match="which is silent"):
        refused({3: found.problems[3]}, 5, False, str(tmp_path))
    assert refused(found.problems, 5, True, "").startswith("4 of 5 recordings left out")
    assert refused({}, 5, False, "") == ""
    assert len(recordings([cut], 8000).samples.length) == 0


def test_more_than_memory_should_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wavs, "TOTAL", 3000)
    with pytest.raises(UserError, match=r"recordings of at most .* hours, got more, from .*b\.wav on"):
        recordings([sound(tmp_path / "a.wav"), sound(tmp_path / "b.wav")], 8000)


def test_the_sounds_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.wav", "a.flac", ".hidden.wav", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in sound_files(tmp_path)] == ["a.flac", "b.wav"]
    assert is_sound("x.WAV")
    assert not is_sound("x.png")
    with pytest.raises(UserError, match="a folder of recordings that can be read, got"):
        sound_files(tmp_path / "none")
