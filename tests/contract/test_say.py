"""The verb `say`: words, a file or standard input to a sound; and what it refuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from milestones.cli import main
from milestones.media import Audio


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))


def test_words_a_file_and_standard_input_are_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["say", "a.wav", "three", "hundred"]) == 0
    (here / "lines.txt").write_text("three hundred\nthree hundred\n")
    assert main(["say", "b.wav", "lines.txt"]) == 0
    given(monkeypatch, b"three hundred\n\n three hundred\n")
    assert main(["say", "c.wav", "--speed", "160"]) == 0
    one, two, three = (Audio.open(name) for name in ("a.wav", "b.wav", "c.wav"))
    assert one.rate_hz == 22050 and 0.5 < one.seconds < 1.5
    assert two.seconds == pytest.approx(2 * one.seconds + 0.35, abs=0.05) == three.seconds


def test_json_tells_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "a.wav", "dreihundert", "--language", "de", "--voice", "f2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == "a.wav" and found["lines"] == ["dreihundert"] and found["rate_hz"] == 22050
    assert found["seconds"] == pytest.approx(Audio.open("a.wav").seconds)
    assert main(["say", "--voices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"en-us", "de", "es"} <= set(listed["languages"]) and {"f2", "m3"} <= set(listed["voices"])


def test_a_sound_goes_through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["say", "-", "three"]) == 0
    assert Audio.decoded(stream.buffer.getvalue(), "pipe").seconds > 0.2


@pytest.mark.parametrize(("words", "message"), [
    (["say"], "a sound to write, whose name ends in .wav, got ''"),
    (["say", "a.mp3", "three"], "a sound to write, whose name ends in .wav, got 'a.mp3'"),
    (["say", "no/a.wav", "three"], "a sound in an existing folder, got no/a.wav. Make no first"),
    (["say", "-", "three", "--json"], "standard output that takes a sound, got --json"),
    (["say", "a.wav", "three", "--language", "klingonese"], "a voice by its language, got 'klingonese'"),
    (["say", "a.wav", "none.txt"], "a text to say, got none.txt, which does not exist"),
])  # fmt: skip
def test_refusals(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not Path("a.wav").exists()


def test_what_exists_stays_unless_it_may_be_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.wav").write_bytes(b"mine")
    assert main(["say", "a.wav", "three"]) == 2
    assert "a sound that does not exist yet, got a.wav" in capsys.readouterr().err
    assert (here / "a.wav").read_bytes() == b"mine"
    assert main(["say", "a.wav", "three", "--overwrite"]) == 0
    assert Audio.open("a.wav").seconds > 0.2


def test_a_sound_is_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "a.wav", "three"]) == 0
    given(monkeypatch, Path("a.wav").read_bytes())
    assert main(["say", "b.wav"]) == 2
    assert "a text on standard input, one line after the other, got a sound" in capsys.readouterr().err
