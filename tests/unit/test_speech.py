"""The page speech: padding changes nothing, what is heard in pieces is what is heard at once, and its answers."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import keyed
from milestones.media import Audio, Heat, Image, Listing, Text, read
from milestones.media import microphone as ear
from milestones.media.spoken import over_time, spans, transcribed, words
from milestones.parts.diagnosis import case, diagnose
from milestones.parts.ngram import NGram, packed
from milestones.parts.stream import Stream, latency_ms
from milestones.systems import speech as page

FACTS: dict[str, Any] = {
    "kind": "speech", "labels": [" ", "a", "b"], "rate_hz": 8000, "mean": [-4.0] * 40, "spread": [3.0] * 40,
    "ngram": packed(NGram.of([(2, 3), (2, 1, 3)], 3, 3), [" ", "a", "b"]),
}  # fmt: skip


def net(**knobs: Any) -> page.Listener:
    torch.manual_seed(0)
    model = page.build(page.Knobs(**{"channels": 12, "width": 10, "layers": 2, **knobs}), FACTS)
    for p in model.parameters():
        p.data.mul_(2)  # so that answers differ from frame to frame
    return model.eval()


def sound(count: int, seed: int = 0) -> torch.Tensor:
    level = torch.rand(count // 500 + 1, generator=keyed("level", seed)).repeat_interleave(500)[:count]
    return (6000 * level * torch.randn(count, generator=keyed("sound", seed))).short()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_changes_no_answer(streaming: bool, stride: int) -> None:
    model, long, short = net(streaming=streaming, stride=stride), sound(6000), sound(2345, 1)
    both = torch.zeros(2, 6000, dtype=torch.int16)
    both[0], both[1, :2345] = long, short
    logits, frames = model(both, torch.tensor([6000, 2345]))
    alone, count = model(short[None], torch.tensor([2345]))
    assert frames[1] == count[0] == alone.shape[1] == -(-30 // stride)
    assert torch.allclose(logits[1, : int(count)], alone[0], atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("piece", [80, 333, 1600, 9000])
def test_in_pieces_is_as_at_once(stride: int, piece: int) -> None:
    model, samples = net(streaming=True, stride=stride), sound(7777)
    with torch.no_grad():
        whole = model(samples[None], torch.tensor([7777]))[0][0]
    stream, parts, pieces = Stream(model), [], samples.split(piece)
    for number, one in enumerate(pieces, 1):
        parts.append(stream.hear(one, number == len(pieces)))
        known = min(number * piece, 7777)
        if number < len(pieces):  # certain are all whose sound came, and what is looked ahead
            late = known - sum(map(len, parts)) * stride * 80
            assert late <= latency_ms(model, 8000) / 1000 * 8000 + 80
    assert torch.allclose(torch.cat(parts), whole, atol=1e-4)
    assert len(stream.frames) <= 2 * model.reach + 3 * stride + piece // 80 + 1


def test_the_latency_is_the_look_ahead() -> None:
    assert latency_ms(net(streaming=True, stride=2), 8000) == 25 + 60 + 10
    assert latency_ms(net(streaming=True, stride=4), 8000) == 25 + 100 + 30


def test_a_net_of_both_directions_does_not_stream() -> None:
    with pytest.raises(AssertionError, match="needs the end"):
        Stream(net())


def test_the_loss_learns_what_is_said_and_counts_silence() -> None:
    model = net()
    batch = page.Utterances(torch.stack([sound(3000), sound(3000, 1)]), torch.tensor([3000, 3000]),
                            torch.tensor([[2, 3], [3, 0]]), torch.tensor([2, 1]))  # fmt: skip
    model.classifier.bias.data[0] = 100.0
    terms = page.loss(model, batch)
    assert float(terms["blank"]) == 100
    assert float(terms["error"]) == 100
    terms["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_training_changes_what_is_heard_and_evaluation_does_not() -> None:
    model, samples, length = net(), sound(4000)[None], torch.tensor([4000])
    assert torch.equal(model(samples, length)[0], model(samples, length)[0])
    model.train()
    torch.manual_seed(1)
    a = model(samples, length)
    torch.manual_seed(1)
    assert torch.equal(a[0], model(samples, length)[0])
    assert a[0].shape != model(samples, length)[0].shape or not torch.equal(a[0], model(samples, length)[0])


def test_answers_have_their_evidence() -> None:
    rate = 16000
    given = Audio((sound(16000).numpy() / 32768).astype(np.float32), rate)
    for model in (net(), net(streaming=True)):
        (found,) = page.use(model, FACTS, [given])
        assert next(iter(found)) == "answer"
        assert isinstance(found["answer"], Text)
        assert isinstance(found["words"], Listing)
        assert isinstance(found["alignment"], Image)
        assert isinstance(found["chances"], Heat)
        assert str(found["others"].cells[0][0]) == str(found["answer"]) or str(found["answer"]) == page.NOTHING
        assert ("as it was heard" in found) == ("latency" in found)
    plain = page.use(net(), FACTS, [given], beam=0)[0]["answer"]
    assert isinstance(plain, Text)
    with pytest.raises(UserError, match=r"a beam of 0 to 1,000 and pieces of 10 to 60,000 ms, got -1 and 200"):
        page.use(net(), FACTS, [given], beam=-1)


def test_silence_holds_no_words() -> None:
    model = net()
    model.classifier.bias.data[1] = 20.0  # it would hear its first sign everywhere
    for loudness, silent in ((0.0, True), (1e-4, True), (0.1, False)):
        (found,) = page.use(model, FACTS, [Audio(np.full(16000, loudness, np.float32), 16000)])
        assert (str(found["answer"]) == page.NOTHING) == silent


def test_streaming_tells_what_was_understood_after_each_piece() -> None:
    model = net(streaming=True)
    model.classifier.weight.data.mul_(3)
    found = page.heard(model, FACTS, sound(8000), beam=0, piece_ms=100)
    seen = found["as it was heard"]
    assert list(seen.columns) == ["after, s", "text"]
    assert seen.cells[-1][1] == str(found["answer"])
    assert [row[0] for row in seen.cells] == sorted(row[0] for row in seen.cells)
    assert found["latency"].value == 100 + 25 + 80 + 20


def test_words_and_their_times() -> None:
    marks = spans("ab c", [-1, 0, 0, -1, 1, 2, 2, -1, 3], 0.02)
    assert [(round(a, 2), round(b, 2), sign) for a, b, sign in marks] == [
        (0.02, 0.06, "a"), (0.08, 0.1, "b"), (0.1, 0.14, " "), (0.16, 0.18, "c"),
    ]  # fmt: skip
    table = words(marks, [0.9, 0.5, 1.0, 0.75])
    assert [tuple(row) for row in table.cells] == [("ab", 0.02, 0.1, 50.0), ("c", 0.16, 0.18, 75.0)]
    assert words([], []).cells == []
    picture = transcribed(np.random.default_rng(0).normal(size=(90, 40)), marks, 0.01)
    assert picture.pixels.shape[2] == 3
    heat = over_time(np.eye(4)[np.arange(1000) % 4], "abcd", 0.02)
    assert heat.values.shape == (4, 250)
    assert heat.values.max() == 1


def test_a_net_that_says_nothing_is_told_so_with_the_reason() -> None:
    layer = {"name": "x", "weight": 1.0, "gradient": 1.0, "free": True, "examples": 8}

    def found(update: float, steps: int = 400) -> str:
        looks = [
            {"stage": "train", "step": steps, "loss": 3.0, "vitals": {"layers": [{**layer, "update": update}]}}
        ] * 3
        checks = {"model": {"train": {"loss": 3.0, "error": 100.0, "blank": 100.0}, "valid": {}}}
        return " ".join(str(one) for one in diagnose(case(looks, checks)) if one.name == "all_blank")

    assert "nothing is read of 100 % of the training examples" in found(1e-3)
    assert "it had 400 updates to get out of it. Train longer" in found(1e-3)
    assert "it had 12 updates to get out of it. Train longer" in found(0.1, 12)
    assert "too much to get out of it. Divide the step size by 10" in found(0.1)
    assert "too little to get out of it. Multiply the step size by 10" in found(1e-6)
    checks = {"model": {"train": {"loss": 0.1, "error": 5.0, "blank": 1.0}, "valid": {}}}
    assert "all_blank" not in [one.name for one in diagnose(case([], checks))]


class Fake(types.ModuleType):
    """A sounddevice that hears what it is told to."""

    class PortAudioError(Exception):
        """As the library's."""

    def __init__(self, heard: np.ndarray | None, opens: bool = True) -> None:
        super().__init__("sounddevice")
        self.heard, self.opens = heard, opens

    def query_devices(self, kind: str) -> None:
        if self.heard is None:
            raise ValueError("No input device matching")

    def sleep(self, milliseconds: int) -> None:
        assert milliseconds == 100

    def InputStream(self, rate: int, channels: int, dtype: str, callback: Any) -> Any:  # noqa: N802  (the library's)
        if not self.opens:
            raise self.PortAudioError("Device unavailable")
        assert (rate, channels, dtype) == (ear.RATE_HZ, 1, "float32")
        callback(self.heard)

        class Open:
            def __enter__(self) -> None: ...
            def __exit__(self, *_: object) -> None: ...

        return Open()


def test_the_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = (0.1 * np.ones((1600, 1))).astype(np.float32)
    monkeypatch.setitem(sys.modules, "sounddevice", Fake(heard))
    (found,) = read("microphone:0.3", (Audio,))
    assert isinstance(found, Audio)
    assert found.rate_hz == 16000
    assert len(found.samples) == 1600
    with pytest.raises(UserError, match="microphone, or microphone:5 for five seconds, got microphone:long"):
        read("microphone:long", (Audio,))
    with pytest.raises(UserError, match="a recording of up to 3,600 seconds, got 1e"):
        read("microphone:1e9", (Audio,))
    for module, why in ((Fake(None), "No input device"), (Fake(heard, False), "Device unavailable"),
                        (Fake(0 * heard), "only silence came")):  # fmt: skip
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        with pytest.raises(UserError, match=f"a microphone that can be heard, got {why}"):
            read("microphone:0.1", (Audio,))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match="sounddevice, which hears the microphone, got none installed"):
        read("microphone:0.1", (Audio,))


def test_a_file_called_microphone_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("microphone").write_bytes(Audio(np.ones(80, np.float32), 8000).encode()[1])
    (found,) = read("microphone", (Audio,))
    assert isinstance(found, Audio)
    assert len(found.samples) == 80
