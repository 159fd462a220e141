"""Recordings with transcripts: found by names and manifests, divided by speaker, index or content; each fault told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data import speech as spoken_data
from milestones.data.kinds import sight
from milestones.data.look import look
from milestones.data.sounding import sounding
from milestones.data.speech import Spoken, Strung, divided, encoded, speech, spelled
from milestones.data.transcripts import spoken_form, transcripts
from milestones.media import Audio

CPU = torch.device("cpu")


def sound(path: Path, seconds: float = 0.4, seed: int = 0, rate: int = 8000) -> Path:
    rng = np.random.default_rng(seed + hash_of(path.name))
    samples = (0.3 * rng.standard_normal(int(seconds * rate))).clip(-1, 1).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Audio(samples, rate).encode()[1])
    return path


def hash_of(name: str) -> int:
    return sum(ord(c) * 31**k for k, c in enumerate(name)) % 100_003


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Twelve recordings of two labels by each of four speakers."""
    folder = tmp_path / "named"
    for speaker in ("ann", "bob", "cy", "dee"):
        for label in ("yes", "no"):
            for number in range(12):
                sound(folder / f"{label}_{speaker}_{number}.wav")
    return folder


def place(path: Path, split: str = "", skip: str = "") -> Place:
    return Place(CPU, 0, choice=Choice(str(path), "", split, skip))


def frames(length: torch.Tensor, rate: int) -> torch.Tensor:
    return length // (rate // 50)


def test_what_can_be_heard_of_a_text() -> None:
    assert spoken_form('  "Hello,   World!" it\u2019s well-known -- ok? ') == "hello world it's well-known ok"
    assert spoken_form("E\u0301te\u0301") == "\u00e9t\u00e9"
    assert spoken_form("'quoted' - rock 'n' roll") == "quoted rock n roll"
    assert spoken_form("...") == ""


def test_names_tell_label_speaker_and_number(named: Path) -> None:
    found = transcripts(named)
    assert len(found.paths) == 96
    at = [path.name for path in found.paths].index("yes_bob_7.wav")
    assert (found.texts[at], found.speakers[at], found.numbers[at]) == ("yes", "bob", "7")
    assert sight(str(named)) == ("speech", "it holds 96 recordings named label_speaker_number")


def test_manifests_of_all_forms_say_the_same(tmp_path: Path) -> None:
    rows = [("a.wav", "one two", "ann", "train"), ("sub/b.wav", "three", "bob", "dev"), ("c.wav", "four", "cy", "test")]
    for name, *_ in rows:
        sound(tmp_path / name)
    header = ("path", "sentence", "speaker", "split")
    manifests: dict[str, str] = {
        "m.tsv": "\n".join("\t".join(row) for row in (header, *rows)),
        "m.csv": "\n".join(",".join(row) for row in (header, *rows)),
        "m.jsonl": "\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows),
    }
    for name, text in manifests.items():
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
        found = transcripts(tmp_path / name)
        assert [path.relative_to(tmp_path).as_posix() for path in found.paths] == [row[0] for row in rows]
        assert found.texts == ["one two", "three", "four"]
        assert found.speakers == ["ann", "bob", "cy"]
        assert found.splits == ["train", "valid", "test"]
        assert sight(str(tmp_path / name)) == ("speech", f"{name} names recordings")


def test_the_manifest_of_ljspeech(tmp_path: Path) -> None:
    for name in ("LJ1", "LJ2"):
        sound(tmp_path / "wavs" / f"{name}.wav")
    text = 'LJ1|He said "no", 3 times.|He said "no", three times.\nLJ2|Yes|Yes\n'
    (tmp_path / "metadata.csv").write_text(text)
    found = transcripts(tmp_path)
    assert found.texts == ["he said no three times", "yes"]
    assert [path.name for path in found.paths] == ["LJ1.wav", "LJ2.wav"]
    assert sounding(tmp_path) == "metadata.csv names recordings"
    (tmp_path / "metadata.csv").write_text("LJ1|a|a\nLJ2\n")
    with pytest.raises(UserError, match=r"a file and a text, with \| between, got .*metadata.csv line 2"):
        transcripts(tmp_path)


def test_texts_beside_recordings(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        sound(tmp_path / f"{name}.wav")
    (tmp_path / "a.txt").write_text("Hello there.")
    (tmp_path / "b.txt").write_text("\n")
    found = transcripts(tmp_path)
    assert found.texts == ["hello there"]
    assert found.notes == ["1 recordings without a .txt beside them are not read",
                           "1 recordings with an empty transcript are left out (b.wav)"]  # fmt: skip
    assert "texts beside them" in sounding(tmp_path)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: transcripts(folder / "none"), "a folder of recordings or a manifest, got .*does not"),
    "alone": (lambda folder: transcripts(folder), r"recordings with transcripts, got 2 recordings without any"),
    "kind": (lambda folder: sight(str(folder)), "recordings with transcripts, got .* with recordings alone"),
    "columns": (lambda folder: manifest(folder, "wav,words\na.wav,x"), r"a column for the text \(text, transcript"),
    "file": (lambda folder: manifest(folder, "song,text\na.wav,x"), r"a column for the file \(file, file_name"),
    "unnamed": (lambda folder: manifest(folder, "wav,text\na.wav,x\n,y"), "a recording in each row, got none in"),
    "split": (lambda folder: manifest(folder, "wav,text,split\na.wav,x,later"), "a split as train, valid or test"),
    "twice": (lambda folder: manifest(folder, "wav,text\na.wav,x\na.wav,y"), "each recording once, got a.wav twice"),
    "empty": (lambda folder: manifest(folder, "wav,text\na.wav,\n"), "recordings with their transcripts, got none in"),
    "bytes": (lambda folder: manifest(folder, b"wav,text\na.wav,caf\xe9\n"),
              r"transcripts in UTF-8, got byte 0xe9 in .*m.csv line 2, byte 10\. Save it as UTF-8"),
    "unreadable": (lambda folder: _directory(folder), "a transcript that can be read"),
}  # fmt: skip


def manifest(folder: Path, content: str | bytes) -> object:
    path = folder / "m.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return transcripts(path)


def _directory(folder: Path) -> object:
    (folder / "a.txt").mkdir()
    (folder / "m.csv").mkdir()
    from milestones.data.transcripts import _read

    return _read(folder / "m.csv")


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_in_a_line(fault: str, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        sound(tmp_path / name)
    call, words = FAULTS[fault]
    with pytest.raises(UserError, match=words):
        call(tmp_path)


def test_whole_speakers_are_held_out(named: Path) -> None:
    data = speech(place(named), frames)
    counts = data.facts["data"]
    assert (counts["train"], counts["valid"], counts["test"]) == (48, 24, 24)
    assert "split by speaker: test is" in counts["note"]
    again = speech(place(named, "speaker:bob/ann,cy"), frames)
    assert [len(part) for part in again[:3]] == [24, 48, 24]
    alone = speech(place(named, "speaker:bob"), frames)
    assert [len(part) for part in alone[:3]] == [65, 7, 24]
    final = speech(place(named, "speaker:bob+final"), frames)
    assert [len(part) for part in final[:3]] == [72, 7, 24]
    assert final.facts["labels"] == ["e", "n", "o", "s", "y"]


def test_other_splits(named: Path) -> None:
    about = transcripts(named)
    keys = [path.name.encode()[-16:].rjust(16) for path in about.paths]
    part, how = divided(about, keys, "index")
    number = np.array([int(number) for number in about.numbers])
    assert (part[number < 5] == 2).all()
    assert (part[(number >= 5) & (number < 7)] == 1).all()
    assert (part[number >= 7] == 0).all()
    assert "speakers are shared" in how
    part, how = divided(about, keys, "50/25/25")
    assert np.bincount(part).tolist() == [48, 24, 24]
    for label in ("yes", "no"):  # each word for itself
        assert np.bincount(part[[text == label for text in about.texts]]).tolist() == [24, 12, 12]
    about.splits = ["test" if i < 8 else "train" for i in range(96)]
    part, how = divided(about, keys, "")
    assert how == "split: its own"
    assert (part[:8] == 2).all()
    assert 0 < (part[8:] == 1).sum() < 20
    about.speakers = [""] * 96
    about.splits = [""] * 96
    assert "speakers may be shared" in divided(about, keys, "")[1]
    with pytest.raises(UserError, match="three speakers or more, to hold some out, got 0"):
        divided(about, keys, "speaker")
    about.numbers[0] = ""
    with pytest.raises(UserError, match="files named label_speaker_number for --split index"):
        divided(about, keys, "index")


def test_a_speaker_that_nobody_knows(named: Path) -> None:
    with pytest.raises(UserError, match=r"speakers among ann, bob, cy, dee, got 'bop'\. Did you mean 'bob'"):
        speech(place(named, "speaker:bop"), frames)


def test_what_is_too_short_or_strange_is_counted_and_left_out(named: Path) -> None:
    sound(named / "a very long sentence that fits into nothing_ann_50.wav", 0.2)
    sound(named / "yes_ann_51.wav", 41.0)
    data = speech(place(named, "speaker:bob/cy"), frames)
    note = data.facts["data"]["note"]
    assert "1 recordings are too short for their transcript and left out (a very long" in note
    assert "1 recordings are longer than 40 s and left out (yes_ann_51.wav)" in note
    assert len(data.train) == 48
    sound(named / "\u00e9y_bob_51.wav")
    test = speech(place(named, "speaker:bob/cy"), frames)
    assert (
        "1 held-out transcripts hold signs that no training transcript has (\u00e9): they count as errors"
        in (test.facts["data"]["note"])
    )
    assert isinstance(test.test, Spoken)
    assert "\u00e9y" in test.test.texts


def test_damaged_recordings_are_refused_or_left_out(named: Path) -> None:
    (named / "yes_ann_0.wav").write_bytes(b"RIFF")
    (named / "yes_bob_0.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"recordings that can be read, got 2 of 96 that cannot"):
        speech(place(named), frames)
    data = speech(place(named, skip="unreadable"), frames)
    assert "2 of 96 recordings left out (--skip-unreadable)" in data.facts["data"]["note"]
    seen = look(named)
    assert len(seen.problems) == 2
    assert not seen.usable


def test_what_data_tells_of_a_folder(named: Path) -> None:
    seen = look(named)
    assert seen.usable
    assert sum(sum(split.values()) for split in seen.counts.values()) == 96
    assert {"ann", "bob", "cy", "dee"} == {name for split in seen.counts.values() for name in split}
    assert "signs: enosy" in seen.notes[0]
    assert look(named, split="speaker:x").problems


def test_too_many_signs_or_too_few_recordings(tmp_path: Path) -> None:
    rows = ["wav,text,split"]
    for k in range(9):
        sound(tmp_path / f"{k}.wav", 2.0)
        rows.append(f"{k}.wav,{''.join(chr(0x4E00 + 60 * k + i) for i in range(60))},{'train' if k < 8 else 'test'}")
    (tmp_path / "m.csv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(UserError, match=r"transcripts of at most 400 different signs, got 420"):
        speech(place(tmp_path / "m.csv"), frames)
    (tmp_path / "m.csv").write_text("wav,text\n0.wav,a\n1.wav,b\n")
    with pytest.raises(UserError, match="recordings for each split, got none for"):
        speech(place(tmp_path / "m.csv"), frames)


def test_strings_are_composed_anew_of_one_speaker(named: Path) -> None:
    data = speech(place(named, "speaker:bob/cy"), frames, strings=5)
    assert isinstance(data.train, Strung)
    a, b = data.train.batch(3, 4), data.train.batch(3, 4)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(a.text, data.train.batch(4, 4).text[:, : a.text.shape[1]])
    words = [
        spelled(row[:n], data.facts["labels"]).split()
        for row, n in zip(a.text.tolist(), a.text_length.tolist(), strict=True)
    ]
    assert all(3 <= len(row) <= 5 and set(row) <= {"yes", "no"} for row in words)
    assert (a.length >= a.text_length * 400).all()
    held = data.test
    assert isinstance(held, Spoken)
    assert held.name == "composed strings of named"
    assert sum(len(text.split()) for text in held.texts) == pytest.approx(4 * 24, rel=0.3)
    assert "composed" in data.facts["data"]["note"]
    third = Place(CPU, 0, 1, 2, Choice(str(named), "", "speaker:bob/cy"))
    half = speech(third, frames, strings=5).train.batch(3, 4)
    assert torch.equal(half.length, a.length[2:])


def test_spelling_there_and_back() -> None:
    signs = [" ", "a", "b"]
    flat = encoded(["ab a", "b?"], signs)
    assert spelled(flat.values[:4].tolist(), signs) == "ab a"
    assert flat.length.tolist() == [4, 1]


def test_the_synthetic_corpus_has_its_own_split() -> None:
    with pytest.raises(UserError, match="no other split for spoken, whose voices are held out"):
        speech(Place(CPU, 0, choice=Choice("", "", "speaker")), frames)
    assert spoken_data.ALPHABET > 100
