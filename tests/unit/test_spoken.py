"""The spoken corpus and the voice that says it: what ships, what is made on demand, and the transform between."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data import phrases, spoken
from milestones.media import Audio, voice
from milestones.parts import mdct

HERE = Place(torch.device("cpu"), 0)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100])
def test_the_transform_gives_the_sound_back(count: int) -> None:
    sound = torch.randn(count, generator=keyed("mdct", count))
    values = mdct.forward(sound, hop=8)
    assert values.shape == (-(-count // 8) + 1, 8)
    back = mdct.inverse(values)
    assert torch.allclose(back[:count], sound, atol=1e-5)
    assert torch.allclose(back[count:], torch.zeros(len(back) - count), atol=1e-5)
    assert math.isclose(float(values.square().sum()), float(sound.square().sum()), rel_tol=1e-4)  # orthonormal


def test_the_transform_is_that_of_its_formula() -> None:
    hop, sound = 4, torch.randn(9, generator=keyed("mdct"))
    padded = [0.0] * hop + sound.tolist() + [0.0] * (2 * hop)
    found = mdct.forward(sound, hop)
    for window in range(len(found)):
        for k in range(hop):
            value = sum(
                math.sqrt(2 / hop) * math.sin(math.pi / (2 * hop) * (n + 0.5)) * padded[window * hop + n]
                * math.cos(math.pi / hop * (n + 0.5 + hop / 2) * (k + 0.5))
                for n in range(2 * hop)
            )  # fmt: skip
            assert math.isclose(float(found[window, k]), value, abs_tol=1e-5)


def test_rounding_errs_the_more_the_larger_a_value_and_keeps_its_sign() -> None:
    values = torch.cat([torch.logspace(-2, 2, 60), -torch.logspace(-2, 2, 60)])[:, None]
    back = mdct.unrounded(mdct.rounded(values, 0.3), 0.3)
    error = (back - values).abs()
    assert float(error[values.abs() < 1].max()) < 0.3 and float((error / values.abs())[values.abs() > 3].max()) < 0.25
    assert bool(((back == 0) | (back.sign() == values.sign())).all())
    assert float(mdct.unrounded(mdct.rounded(torch.tensor([[1e9]]), 0.3), 0.3)) == pytest.approx(0.3 * 127 ** (1 / 0.6))


@pytest.fixture(scope="module")
def held() -> spoken.Spoken:
    return spoken.spoken(HERE)


def test_no_voice_and_no_sentence_is_in_two_splits(held: spoken.Spoken) -> None:
    rows = list(zip(held.split, held.voice, held.kind, held.value, held.text, strict=True))
    for part in spoken.PARTS:
        mine = [row for row in rows if row[0] == part]
        others = [row for row in rows if row[0] != part]
        assert len(mine) == round(len(rows) * spoken.SHARES[part])
        assert not {row[1].split("+")[1] for row in mine} & {row[1].split("+")[1] for row in others}
        assert not {row[2:4] for row in mine} & {row[2:4] for row in others}
        assert {row[1].split("+")[1] for row in mine} == set(spoken.COLOURS[part])
    colours = [colour for part in spoken.PARTS for colour in spoken.COLOURS[part]]
    assert len(colours) == len(set(colours))


def test_texts_are_what_the_values_mean(held: spoken.Spoken) -> None:
    words = set(phrases.vocabulary())
    for kind, value, text in zip(held.kind, held.value, held.text, strict=True):
        assert text == phrases.words_of(kind, value) and set(text.split()) <= words
    train = {
        word for text, split in zip(held.text, held.split, strict=True) if split == "train" for word in text.split()
    }
    assert train == words


def test_sounds_are_whole_and_loud_enough_and_end_in_noise(held: spoken.Spoken) -> None:
    assert held.samples.values.dtype == torch.int16 and held.rate_hz == 8000 and "synthetic" in held.name + held.note
    assert len(held.samples.length) == len(held.text) and int(held.samples.begin[-1]) == len(held.samples.values)
    seconds = held.samples.length / held.rate_hz
    letters = torch.tensor([len(text) for text in held.text])
    assert float(seconds.min()) > 0.2 and float(seconds.max()) < 12
    assert float(torch.corrcoef(torch.stack([seconds, letters.float()]))[0, 1]) > 0.8  # more letters take longer
    for begin, end in zip(held.samples.begin[:50], held.samples.begin[1:], strict=False):
        sound = held.samples.values[begin:end].float() / 32768
        loud = sound.unfold(0, 160, 160).square().mean(1).sqrt()
        assert float(loud.max()) > 0.02 and 0 < float(loud.min()) < 0.5 * float(loud.max())


def test_the_same_each_time_and_the_digits_apart(held: spoken.Spoken) -> None:
    assert torch.equal(spoken.spoken(HERE).samples.values, held.samples.values)
    alone = spoken.digits()
    assert set(alone.text) == set(phrases.SMALL[:10]) and set(alone.kind) == {"digit"} and "digit" not in held.kind
    counts = {(t, v.split("+")[1]): 0 for t, v in zip(alone.text, alone.voice, strict=True)}
    assert len(counts) == 10 * sum(map(len, spoken.COLOURS.values()))
    assert float(alone.samples.length.max()) / alone.rate_hz < 2


@pytest.mark.parametrize("word", ["", "spoken"])
def test_what_ships_is_asked_for_by_name(word: str) -> None:
    assert spoken.asked(word) == 0


@pytest.mark.parametrize("word", ["digits", "folder/spoken", "spoken2", "a:b"])
def test_other_words_ask_for_other_data(word: str) -> None:
    assert spoken.asked(word) is None


@pytest.mark.parametrize("word", ["spoken:", "spoken:ten", "spoken:-5", "spoken:99", "spoken:100001", "spoken:²"])
def test_a_wrong_count_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="spoken:N with N from 100 to 100,000 sentences, got spoken:"):
        spoken.asked(word)


def test_more_is_made_on_demand_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = Place(torch.device("cpu"), 0, choice=Choice("spoken:100"))
    made = spoken.spoken(place)
    assert [made.split.count(part) for part in spoken.PARTS] == [80, 8, 12] and "synthetic" in made.name
    monkeypatch.setattr(spoken, "make", None)  # it would be called again
    assert torch.equal(spoken.spoken(place).samples.values, made.samples.values)
    assert [file.suffix for file in (tmp_path / "milestones" / "spoken").iterdir()] == [".npz"]


def test_rounding_is_no_louder_than_the_noise_that_is_added() -> None:
    sound = torch.from_numpy(voice.spoken("forty two thousand and seven", "en-us+f3").resampled(8000).samples)
    sound = sound / sound.square().mean().sqrt()
    back = mdct.inverse(mdct.unrounded(mdct.rounded(mdct.forward(sound), spoken.STEP), spoken.STEP))[: len(sound)]
    assert 10 * math.log10(1 / float((back - sound).square().mean())) > 15  # dB; the noise of most lies 8 to 32 below


def tone(sound: Audio) -> float:
    """The voice's fundamental in hertz: the lag at which windows of 60 ms are most alike themselves."""
    windows = np.lib.stride_tricks.sliding_window_view(sound.samples, 1323)[::441]
    alike = np.fft.irfft((np.abs(np.fft.rfft(windows, 4096)) ** 2).sum(0))
    return sound.rate_hz / (80 + int(alike[80:400].argmax()))


def test_words_become_sound() -> None:
    short, long = voice.spoken("seven"), voice.spoken("seventy seven thousand seven hundred and seventy seven")
    assert short.rate_hz == 22050 and 0.2 < short.seconds < 1 < 2 < long.seconds
    assert voice.spoken("seven", speed=80).seconds > 1.3 * voice.spoken("seven", speed=300).seconds
    both = voice.spoken(["seven", "seven"])
    assert abs(both.seconds - 2 * short.seconds - voice.PAUSE) < 0.05
    low, high = (tone(voice.spoken("nine million", pitch=pitch)) for pitch in (10, 90))
    assert high > 1.3 * low


@pytest.mark.parametrize(("more", "message"), [
    ({"voice": "en-uk"}, "a voice by its language, got 'en-uk'"),
    ({"voice": "en-us+m33"}, r"a colour of the voice after the \+, got 'en-us\+m33'. Did you mean 'm3'"),
    ({"speed": 9}, "a speed from 80 to 450, got 9. For example --speed 265"),
    ({"pitch": 100}, "a pitch from 0 to 99, got 100"),
    ({"text": ""}, "a text that can be said, got ''"),
    ({"text": []}, "a text that can be said, got none"),
    ({"text": "..."}, "a text that can be said, got '...'"),
    ({"text": "a" * 20_001}, "lines of at most 20,000 letters, got one of 20,001"),
])  # fmt: skip
def test_what_cannot_be_said(more: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        voice.spoken(**{"text": "seven", **more})


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    voice.engine.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r'which has the voices, got none installed. Install it: pip install "milest'):
        voice.spoken("seven")
    voice.engine.cache_clear()
