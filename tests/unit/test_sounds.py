"""Sounds of classes: folders read and divided, what is refused, and the net that hears them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.cli import main
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data import phrases
from milestones.data.ragged import Flat
from milestones.data.sounds import Sounds, classes, lasting, sounds
from milestones.media import Audio, Ranking
from milestones.systems import sounds as page


def written(path: Path, samples: np.ndarray, rate_hz: int = 8000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat((samples * 32767).astype("<i2"), channels).tobytes())
    return path


def tone(hertz: float, seconds: float, rate_hz: int = 8000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten high and ten low tones, of several lengths, rates and channels."""
    for k in range(10):
        for name, hertz in (("low", 200), ("high", 1500)):
            rate = (8000, 8000, 16000)[k % 3]
            written(tmp_path / "tones" / name / f"{k}.wav", tone(hertz + 9 * k, 0.2 + 0.05 * k, rate), rate, 1 + k % 2)
    return tmp_path / "tones"


def place(path: Path | str = "", split: str = "", skip: str = "") -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(path), "", split, skip))


def test_a_folder_of_classes_is_read_at_one_rate(folder: Path) -> None:
    (folder / "low" / "notes.txt").write_text("mine")
    data = sounds(place(folder), 4.0)
    assert data.facts["labels"] == ["high", "low"] and data.facts["rate_hz"] == 8000 and data.facts["kind"] == "sounds"
    assert [len(part) for part in data[:3]] == [16, 2, 2] and data.facts["counts"] == [8, 8]
    assert "low/ holds other things that are not read: 1 .txt" in data.facts["data"]["note"]
    batch = next(data.train.sweep(16))
    spectrum = np.abs(np.fft.rfft(batch.samples.numpy().astype(float), 8000))
    assert [int(hertz > 800) for hertz in spectrum.argmax(1)] == [1 - int(label) for label in batch.label]
    seconds = sorted(round(n / 8000, 2) for n in lasting(batch.samples).tolist())
    assert seconds[0] >= 0.19 and seconds[-1] <= 0.66


def test_official_folders_are_kept_and_what_lacks_is_taken_from_train(folder: Path) -> None:
    for split, numbers in (("train", range(7)), ("test", range(7, 10))):
        for name in ("low", "high"):
            (folder / split / name).mkdir(parents=True)
            for k in numbers:
                (folder / name / f"{k}.wav").rename(folder / split / name / f"{k}.wav")
    for name in ("low", "high"):
        (folder / name).rmdir()
    data = sounds(place(folder), 4.0)
    assert [len(part) for part in data[:3]] == [12, 2, 6] and "split: its own" in data.facts["data"]["note"]
    final = sounds(place(folder, "final"), 4.0)
    assert [len(part) for part in final[:3]] == [14, 2, 6]


def test_equal_sounds_come_into_one_split(folder: Path) -> None:
    for name in ("low", "high"):
        for k in range(10):
            (folder / name / f"copy-{k}.wav").write_bytes((folder / name / f"{k}.wav").read_bytes())
    data = sounds(place(folder), 4.0)
    held = [{bytes(row.numpy().tobytes().rstrip(b"\0")) for row in next(part.sweep(99)).samples} for part in data[:3]]
    assert sum(map(len, (part for part in data[:3]))) == 40 and not held[0] & held[1] and not held[0] & held[2]


def test_training_hears_pieces_of_long_sounds() -> None:
    ramp = torch.arange(1, 1001, dtype=torch.int16)
    source = Sounds(Flat.of([ramp, ramp[:80]]), torch.tensor([0, 1]), place(), "", "train", 100)
    starts = set()
    for step in range(20):
        for row, label in zip(*source.batch(step, 2), strict=True):
            assert len(row) == 100
            if label == 0:
                assert torch.equal(row.diff(), torch.ones(99, dtype=torch.int16))
                starts.add(int(row[0]))
            else:
                assert torch.equal(row[:80], ramp[:80]) and not row[80:].any()
    assert len(starts) > 10 and max(starts) <= 901
    assert next(source.sweep(2)).samples.shape[1] == 1000


@pytest.mark.parametrize(("make", "message"), [
    (lambda f: f / "none", r"a folder of sounds with a folder for each class, got .*none, which does not exist"),
    (lambda f: f / "low" / "0.wav", r"a folder of sounds with a folder for each class, got .*0.wav, which is a file"),
    (lambda f: f / "low", r"recordings with transcripts, got 10 recordings without any in .*low"),
    (lambda f: (f / "empty").mkdir() or f, r"recordings of each class, got none in .*empty. Add WAV files"),
    (lambda f: [p.unlink() for p in list((f / "low").iterdir())[2:]] and f, r"of each class, got 2 of 'low'"),
    (lambda f: (f / "low" / "0.wav").write_bytes(b"RIFF") and f, r"0.wav"),
])  # fmt: skip
def test_refusals(folder: Path, make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sounds(place(make(folder)), 4.0)


def test_unreadable_ones_are_left_out_when_told(folder: Path) -> None:
    (folder / "low" / "0.wav").write_bytes(b"RIFF")
    written(folder / "high" / "1.wav", np.zeros(800))
    data = sounds(place(folder, skip="unreadable"), 4.0)
    assert sum(len(part) for part in data[:3]) == 18 and "2 of 20 recordings left out" in data.facts["data"]["note"]
    for file in (folder / "low").iterdir():
        file.write_bytes(b"RIFF")
    with pytest.raises(UserError, match="a recording that can be read of each class, got none of 'low'"):
        sounds(place(folder, skip="unreadable"), 4.0)


def test_the_embedded_digits_have_their_own_split() -> None:
    data = sounds(place(), 4.0)
    assert data.facts["labels"] == phrases.SMALL[:10]
    assert "synthetic" in data.test.name and [len(part) for part in data[:3]] == [1400, 120, 180]
    with pytest.raises(UserError, match="no other split for the digits, whose voices are held out"):
        sounds(place(split="80/10/10"), 4.0)


def test_classes_lists_all_that_is_wrong(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    assert len(classes(folder).problems) == 2 and len(classes(folder).paths) == 20


def net(**knobs: object) -> page.Listener:
    torch.manual_seed(0)
    return page.build(
        page.Knobs(**knobs), {"labels": ["a", "b", "c"], "rate_hz": 8000, "mean": -8.0, "spread": 2.0}
    ).eval()


@pytest.mark.parametrize("kind", ["small", "piczak"])
@torch.inference_mode()
def test_an_answer_does_not_depend_on_what_fills_up_its_batch(kind: str) -> None:
    model, rng = net(net=kind, hidden=30, width=4), keyed("net")
    noise = (3000 * torch.randn(70, 9000, generator=rng)).to(torch.int16)
    for i in range(70):
        noise[i, 100 + 127 * i :] = 0
    alone = torch.cat([model(noise[i : i + 1, : 100 + 127 * i]) for i in range(70)])
    assert torch.allclose(model(noise), alone, atol=2e-4)


@torch.inference_mode()
def test_the_picture_of_a_sound_says_what_the_sound_does() -> None:
    model, rng = net(), keyed("picture")
    batch = page.Sounded((1000 * torch.randn(3, 4000, generator=rng)).to(torch.int16), torch.zeros(3, dtype=torch.long))
    batch.samples[1, 2500:] = 0
    found = page.probe(model, batch)
    assert found.input.shape == (3, 1, 40, 50) and float(found.input.min()) >= 0 and float(found.input.max()) <= 255
    assert torch.allclose(found.scores(found.input), model(batch.samples), atol=1e-3)
    black = torch.zeros(1, 1, 40, 50)
    assert torch.allclose(found.scores(black), found.scores(black + 1e-4), atol=1e-2)  # no jump where nothing is left


def test_the_papers_net_has_the_papers_layers() -> None:
    layers = [tuple(p.shape) for p in page.Piczak(60, 80, 5000, 10, 0.5).parameters() if p.dim() > 1]
    assert layers == [(80, 1, 6, 57), (80, 80, 3, 1), (5000, 80, 3, 1), (5000, 5000, 1, 1), (10, 5000, 1, 1)]
    net = page.Piczak(60, 8, 16, 10, 0.0).eval()
    for frames, moments in ((1, 1), (41, 1), (50, 2), (59, 3)):
        answer, inside = net(torch.randn(1, frames, 60), torch.ones(1, frames, dtype=torch.bool))
        assert int(inside.sum()) == moments <= answer.shape[1]


def test_tones_are_told_apart_from_a_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--steps", "40", "--width", "4", "--batch", "8", "--plan", "exact"]
    assert main(["train", "sounds", "--data", str(folder), *words]) == 0
    from milestones.catalog import load

    trained = load("sounds-1")
    heard = [Audio(tone(hertz, 1.0, 44100).astype(np.float32), 44100) for hertz in (230.0, 1480.0)]
    answers = trained.use(heard)
    assert [answer["answer"].best for answer in answers] == ["low", "high"]
    assert isinstance(answers[0]["answer"], Ranking) and answers[0]["when"].values.shape[0] == 2


def test_a_folder_of_sounds_is_known_and_looked_through(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from milestones.data.kinds import sight
    from milestones.data.look import look
    from milestones.verbs.train import choose

    kind, why = sight(str(folder))
    assert kind == "sounds" and why == "it holds 2 folders of sounds (high, low)"
    assert choose(str(folder)).page == "sounds"
    found = look(folder)
    assert found.usable and found.counts["train"] == {"high": 8, "low": 8} and "at 8,000 Hz" in found.notes[0]
    (folder / "low" / "0.wav").write_bytes(b"RIFF")
    (folder / "low" / "1.wav").write_bytes((folder / "low" / "2.wav").read_bytes())
    found = look(folder)
    assert not found.usable and "0.wav" in found.problems[0]
    assert found.duplicates == {"recordings with the sound of another": 1}
    split = folder.parent / "divided"
    for name in ("train", "test"):
        (split / name).mkdir(parents=True)
    (folder / "low").rename(split / "train" / "low")
    assert sight(str(split))[0] == "sounds"


def test_recordings_named_by_label_and_speaker_are_divided_by_speaker(tmp_path: Path) -> None:
    for k, (label, speaker) in enumerate((a, b) for a in ("low", "high") for b in "wxyz"):
        for n in range(8):
            hertz = (300 if label == "low" else 1500) + 20 * k + n
            written(tmp_path / "all" / f"{label}_{speaker}_{n}.wav", tone(hertz, 0.2))
    data = sounds(place(tmp_path / "all"), 4.0)
    assert data.facts["labels"] == ["high", "low"] and [len(part) for part in data[:3]] == [32, 16, 16]
    data = sounds(place(tmp_path / "all", "speaker:z/y"), 4.0)
    assert [len(part) for part in data[:3]] == [32, 16, 16] and "z" in data.facts["data"]["note"]
    data = sounds(place(tmp_path / "all", "index"), 4.0)
    assert [len(part) for part in data[:3]] == [8, 16, 40]
