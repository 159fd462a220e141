"""A recurrent net writes down what is said, though nobody told it where each sound lies.

Paper       Graves, Mohamed & Hinton (2013), Speech recognition with deep recurrent neural networks, ICASSP, 6645-6649;
            the loss: Graves, Fernandez, Gomez & Schmidhuber (2006), Connectionist temporal classification, ICML.
Idea        a deep bidirectional LSTM says at each moment which letter it hears, or none; the loss sums over all ways to
            stretch the transcript along the recording, so that no alignment is ever given.
Deviations  letters for phonemes, since transcripts are what people have; 40 log-mel bands without deltas, less their
            mean over the recording, and two convolutions that halve the rate before the net; AdamW, SpecAugment and
            changes of tempo, pitch and noise for weight noise; beam search with an n-gram model of the letters. Preset
            `streaming` hears forwards only.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data.speech import Spoken, Utterances, speech, spelled
from ..data.wavs import SILENT, whole
from ..media import Audio, Heat, Image, Listing, Number, Text
from ..media.spoken import over_time, spans, transcribed, words
from ..parts.ctc import Heard, aligned, beam_search, ctc_loss, flat_start, greedy, wrong
from ..parts.edit import Rate, character_error, edits, word_error
from ..parts.mel import LogMel, centred, noisy, running, spec_augment, warped
from ..parts.ngram import NGram, unpacked
from ..parts.recurrent import LSTM, inside
from ..parts.stream import Stream, latency_ms

KERNEL = 5  # frames that each of the two convolutions sees
BEAM = 8  # texts kept by the search
SHORT = 0.25  # of the recordings are short ones
SHOWN = 64  # validation recordings whose mistakes are listed
NOTHING = "(nothing was understood)"


class Knobs(Config):
    steps: int = Field(default=1600, ge=1, description="optimiser updates")
    flat_steps: int = Field(default=80, ge=0, description="first updates: letters lie evenly along short recordings")
    short_steps: int = Field(default=200, ge=0, description="then updates on short recordings alone")
    batch: int = Field(default=16, ge=1, description="recordings per update")
    lr: float = Field(default=0.005, gt=0, description="AdamW step size at its peak")
    decay: float = Field(default=0.02, ge=0, description="weight decay")
    channels: int = Field(default=96, ge=1, le=1024, description="of the two convolutions over the mel bands")
    width: int = Field(default=64, ge=1, le=1024, description="of each LSTM in each direction")
    layers: int = Field(default=1, ge=1, le=8, description="LSTM layers")
    stride: int = Field(default=3, ge=1, le=8, description="frames of 10 ms for each answer")
    streaming: bool = Field(default=False, description="hear forwards only, so that it answers while one speaks")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="before and between the LSTM layers")
    tempo: float = Field(default=0.15, ge=0, lt=1, description="training speech is faster or slower by up to this part")
    pitch: float = Field(default=1.5, ge=0, le=10, description="and its bands higher or lower by up to so many")
    noise: float = Field(default=-15.0, ge=-100, le=20, description="most added noise, dB of the loudest; -100: none")
    hide: float = Field(default=0.15, ge=0, lt=1, description="SpecAugment: part of bands and of time hidden, twice")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")
    language: float = Field(default=0.4, ge=0, le=5, description="weight of the n-gram model in the beam search")
    bonus: float = Field(default=0.3, ge=-5, le=10, description="what each letter adds to a score of the search, nats")
    strings: int = Field(default=0, ge=0, le=20, description="compose strings of 3 to so many recordings; 0: none")


class Listener(nn.Module):
    """Samples as they lie in a 16-bit file come in; log-odds of each letter, class 0 being none, come out."""

    def __init__(self, knobs: Knobs, signs: int, rate_hz: int, mean: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__()
        self.knobs, channels = knobs, knobs.channels
        self.stride, self.reach = knobs.stride, KERNEL // 2 * (1 + knobs.stride)
        self.ears = LogMel(rate_hz, len(mean))
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("spread", torch.tensor(spread))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(inputs, channels, KERNEL, stride, KERNEL // 2)
            for inputs, stride in ((len(mean), knobs.stride), (channels, 1))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in self.convolutions)
        self.memory = LSTM(channels, knobs.width, knobs.layers, not knobs.streaming, knobs.dropout)
        self.classifier = nn.Linear(knobs.width * (1 if knobs.streaming else 2), signs + 1)

    def features(self, samples: Integer[Tensor, "B S"] | Float[Tensor, "B S"]) -> Float[Tensor, "B T C"]:
        """Log-mel frames of mean 0 and spread 1."""
        return (self.ears(samples) - self.mean) / self.spread

    def convolved(self, x: Float[Tensor, "B S C"], frames: Int[Tensor, "B"]) -> Float[Tensor, "B T D"]:
        """What the LSTM hears: one for each `stride` frames. Behind its end a recording is silent for all layers."""
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            x = x * inside(frames, x.shape[1])[..., None]
            x = F.relu(norm(layer(x.transpose(1, 2)).transpose(1, 2)))
            frames = -(-frames // layer.stride[0])
        return F.dropout(x, self.knobs.dropout, self.training)

    def forward(self, samples: Integer[Tensor, "B S"] | Float[Tensor, "B S"], length: Int[Tensor, "B"]
                ) -> tuple[Float[Tensor, "B T K"], Int[Tensor, "B"]]:  # fmt: skip
        """The answers, and how many of each recording count."""
        x, frames = self.features(samples), self.ears.frames(length)
        if self.training:
            x, frames = self.varied(x, frames)
        x = running(x)[0] if self.knobs.streaming else centred(x, frames)
        if self.training:
            x = spec_augment(x, frames, round(self.knobs.hide * x.shape[2]), self.knobs.hide)
        answers = -(-frames // self.knobs.stride)
        return self.classifier(self.memory(self.convolved(x, frames), answers)), answers

    def varied(self, x: Float[Tensor, "B S C"], frames: Int[Tensor, "B"]
               ) -> tuple[Float[Tensor, "B T C"], Int[Tensor, "B"]]:  # fmt: skip
        """The frames as another voice might have said them in another room."""
        knobs = self.knobs
        draw = 2 * torch.rand(2, len(x), device=x.device) - 1
        if knobs.tempo or knobs.pitch:
            x, frames = warped(x, frames, 1 + knobs.tempo * draw[0], knobs.pitch * draw[1])
        if knobs.noise > -100:
            x = (noisy(x * self.spread + self.mean, knobs.noise) - self.mean) / self.spread
        return x, frames


def answers_for(knobs: Knobs, length: Int[Tensor, "N"], rate_hz: int) -> Int[Tensor, "N"]:
    return -(-LogMel(rate_hz).frames(length) // knobs.stride)


def prepare(knobs: Knobs, place: Place) -> Data[Utterances]:
    return speech(place, lambda length, rate_hz: answers_for(knobs, length, rate_hz), knobs.strings)


def build(knobs: Knobs, facts: Facts) -> Listener:
    return Listener(knobs, len(facts["labels"]), int(facts["rate_hz"]), facts["mean"], facts["spread"])


def loss(model: Listener, batch: Utterances) -> dict[str, Tensor]:
    logits, frames = model(batch.samples, batch.length)
    reading = greedy(logits.detach(), frames)
    missed = wrong(reading.text, reading.length, batch.text, batch.text_length)
    return {"loss": ctc_loss(logits, batch.text, batch.text_length, frames=frames),
            "error": 100 * missed.float().mean(), "blank": 100 * (reading.length == 0).float().mean()}  # fmt: skip


def flat(model: Listener, batch: Utterances) -> dict[str, Tensor]:
    logits, frames = model(batch.samples, batch.length)
    return {"loss": flat_start(logits, batch.text, batch.text_length, frames)}


def train(knobs: Knobs, model: Listener, data: Data[Utterances], run: Run) -> None:
    def fresh() -> torch.optim.AdamW:
        return torch.optim.AdamW(model.parameters(), knobs.lr, (0.9, 0.95), weight_decay=knobs.decay, fused=True)

    short = cast("Spoken", data.train).short(SHORT)
    for stage, steps, term in (("flat", knobs.flat_steps, flat), ("short", knobs.short_steps, loss)):
        if steps:
            fit(model, term, short, run, steps=steps, batch=2 * knobs.batch, optimizer=fresh(), clip=5.0, stage=stage,
                schedule=lambda step: min(1.0, (step + 1) / 20))  # fmt: skip
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=fresh(),
        schedule=cosine(knobs.steps, knobs.steps // 20), clip=5.0, average=knobs.average or None)  # fmt: skip
    valid, said = cast("Spoken", data.valid), read_aloud(model, data.valid, data.facts, most=SHOWN)
    missed = [(edits(a, b).total / len(a), a, b) for a, b in zip(valid.texts, said, strict=False) if a != b]
    rows = [(a, b, round(100 * rate)) for rate, a, b in sorted(missed, reverse=True)[:25]]
    run.show(mistakes=Listing(("what was said", "what was read", "signs wrong, %"), rows))
    best = max(range(len(said)), key=lambda i: (said[i] == valid.texts[i], len(said[i])))
    values, begin = valid.sounds[:2]
    found = heard(model, data.facts, values[begin[best] : begin[best + 1]])
    run.show(alignment=found["alignment"], chances=found["chances"])


@torch.inference_mode()
def read_aloud(model: Listener, source: Any, facts: Facts, beam: int = BEAM, most: int | None = None) -> list[str]:
    """What is read of each recording of a source, or of the first `most`: by the search, or with a `beam` of 0 by the
    likeliest path."""
    signs, language, found = facts["labels"], unpacked(facts["ngram"], facts["labels"]), []
    model.eval()
    for batch in source.sweep(min(len(source), most or len(source))):
        for row, frames in zip(*model(batch.samples, batch.length), strict=True):
            found.append(spelled(searched(model, row[:frames], language, beam)[0].text, signs))
        if len(found) >= (most or len(source)):
            break
    return found


def searched(model: Listener, logits: Float[Tensor, "T K"], language: NGram, beam: int) -> list[Heard]:
    """The best texts, best first."""
    if not beam:
        reading = greedy(logits[None])
        return [Heard(tuple(reading.text[0, : reading.length[0]].tolist()), 0.0, 0.0)]
    return beam_search(logits, beam, language.row, model.knobs.language, model.knobs.bonus)


def score(knobs: Knobs, model: Listener, data: Data[Utterances], place: Place) -> dict[str, Score]:
    test = cast("Spoken", data.test)
    said, plain = (read_aloud(model, test, data.facts, beam) for beam in (BEAM, 0))

    def of(rate: Rate, without: Rate) -> Score:
        wrong, missed, added = rate.edits
        note = f"{wrong} wrong, {missed} missed, {added} added; without search and language model {without.value:.2f} %"
        return Score(rate.value, rate.low, rate.high, "%", "lower", test.name, test.split, rate.over, note=note)

    return {name: of(*(rate(test.texts, texts, keyed(name)) for texts in (said, plain)))
            for name, rate in (("word_error", word_error), ("character_error", character_error))}  # fmt: skip


def heard(model: Listener, facts: Facts, samples: Int[Tensor, "S"], beam: int = BEAM, piece_ms: int = 0
          ) -> dict[str, Any]:  # fmt: skip
    """The text of one recording, when each word was said and how surely, other texts, pictures of what was heard where;
    in pieces of `piece_ms`, what was understood after each."""
    signs, language, rate_hz = facts["labels"], unpacked(facts["ngram"], facts["labels"]), int(facts["rate_hz"])
    live: list[tuple[float, str]] = []
    model.eval()
    with torch.inference_mode():
        mel = model.ears(samples[None])[0]
        if piece_ms:
            stream, parts = Stream(model), []
            pieces = samples.split(max(1, rate_hz * piece_ms // 1000))
            for number, piece in enumerate(pieces, 1):
                parts.append(stream.hear(piece, number == len(pieces)))
                text = spelled(searched(model, torch.cat(parts), language, 0)[0].text, signs)
                if text and (not live or text != live[-1][1]):
                    live.append((round(min(number * piece_ms / 1000, len(samples) / rate_hz), 2), text))
            logits = torch.cat(parts)
        else:
            logits = model(samples[None], torch.tensor([len(samples)]))[0][0]
    found = searched(model, logits, language, beam)
    answer, chance = spelled(found[0].text, signs), logits.softmax(-1)
    each = model.ears.hop * model.stride / rate_hz
    where = aligned(logits, found[0].text) or []
    marks = spans(answer, where, each)
    sure = [
        max((float(chance[t, sign]) for t, at in enumerate(where) if at == k)) for k, sign in enumerate(found[0].text)
    ]
    shown = [0, *dict.fromkeys(found[0].text)]
    texts = [(spelled(one.text, signs), round(one.score, 2), round(one.chance, 2)) for one in found[:5]]
    loud = bool((samples.int().abs() >= SILENT).any())  # a language model hears words in silence, too
    answers: dict[str, Any] = {"answer": Text(answer if loud and answer else NOTHING)}
    if live:
        answers["latency"] = Number(latency_ms(model, rate_hz) + piece_ms, "ms, computing left out")
        answers["as it was heard"] = Listing(("after, s", "text"), live)
    return {
        **answers, "words": words(marks, sure),
        "others": Listing(("text", "score", "log-chance, nats"), texts),
        "alignment": transcribed(mel.numpy(), marks, model.ears.hop / rate_hz),
        "chances": over_time(chance[:, shown].numpy(), ["(none)", *(signs[k - 1] for k in shown[1:])], each),
    }  # fmt: skip


def use(model: Listener, facts: Facts, sounds: Sequence[Audio], *,
        beam: Annotated[int, "texts kept by the search; 0: the likeliest path, without the language model"] = BEAM,
        piece: Annotated[int, "milliseconds that a streaming net hears at a time"] = 200,
        ) -> list[dict[str, Text | Number | Listing | Image | Heat]]:  # fmt: skip
    if not 0 <= beam <= 1000 or not 10 <= piece <= 60_000:
        raise UserError(
            "a beam of 0 to 1,000 and pieces of 10 to 60,000 ms", f"{beam} and {piece}", "Change them", "speech"
        )
    rate_hz, pieces = int(facts["rate_hz"]), piece if model.knobs.streaming else 0
    return [heard(model, facts, torch.from_numpy(whole(sound, rate_hz)), beam, pieces) for sound in sounds]


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(layers=3, width=250, steps=12_000),  # of the net's size; not its corpus
    "streaming": Knobs(streaming=True, width=128),
    # for spoken digits, one a recording: --data fsdd/
    "digits": Knobs(batch=32, flat_steps=40, short_steps=0, steps=2800, stride=2, lr=6e-3, noise=-100),
    "strings": Knobs(strings=7, steps=3000, stride=2),  # for strings composed of them
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Audio,), loss=loss)
