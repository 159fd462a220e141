"""A convolutional net tells sounds apart by the picture of their pitches over time.

Paper       Piczak (2015), Environmental sound classification with convolutional neural networks, IEEE International
            Workshop on Machine Learning for Signal Processing.
Idea        a spectrogram is a picture: nets that recognise photographs recognise barking and rain by it.
Deviations  four small convolutions with batch normalisation, mean over all moments, Adam with a cosine; training sounds
            are made faster, higher and noisier, parts are hidden. Preset `paper` has Piczak's net and optimiser,
            without deltas; its answers for pieces of a sound are averaged before the softmax.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Place
from ..core.system import Probe, System
from ..data.sounds import LONGEST, Sounded, lasting, sounds
from ..data.wavs import whole
from ..media import Audio, Heat, Image, Ranking, mosaic
from ..parts.initial import he
from ..parts.mel import FLOOR, LogMel, noisy, spec_augment, warped
from ..parts.metrics import error_rate

LOUDEST = 0.0  # log of the power of a full-scale sound: grey level 255 of a picture
AT_ONCE = 64  # recordings whose spectra lie in memory together
QUIET = float(np.log(FLOOR))


class Knobs(Config):
    steps: int = Field(default=1200, ge=1, description="optimiser updates")
    batch: int = Field(default=32, ge=2, description="sounds per update")
    method: Literal["adam", "momentum"] = Field(default="adam", description="optimiser; momentum is Piczak's")
    lr: float = Field(default=3e-3, gt=0, description="step size at its peak")
    net: Literal["small", "piczak"] = Field(default="small", description="four convolutions, or those of the paper")
    width: int = Field(default=16, ge=1, le=256, description="filters of the first layer; of the paper's net 80")
    hidden: int = Field(default=5000, ge=1, le=20_000, description="units of each fully connected layer of the paper's")
    bands: int = Field(default=40, ge=30, le=128, description="mel bands")
    hop_ms: float = Field(default=10.0, ge=2, le=100, description="from one frame to the next, milliseconds")
    seconds: float = Field(default=2.0, ge=0.1, le=LONGEST, description="most that training hears of a sound at a time")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="before the fully connected layers")
    tempo: float = Field(
        default=0.15, ge=0, lt=1, description="training sounds are faster or slower by up to this part"
    )
    pitch: float = Field(default=1.5, ge=0, le=10, description="and their bands higher or lower by up to so many")
    noise: float = Field(default=-15.0, ge=-100, le=20, description="most added noise, dB of the loudest; -100: none")
    hide: float = Field(default=0.15, ge=0, lt=1, description="part of bands and of time hidden, twice")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")


class Small(nn.Module):
    """Four 3 x 3 convolutions, each but the last halving the picture; a moment of the answer is eight frames."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 4 * width, 4 * width]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, classes))

    def forward(self, x: Float[Tensor, "B T C"], inside: Bool[Tensor, "B T"]) -> tuple[Tensor, Tensor]:
        """Log-odds of each class at each moment "B T K", and which moments are of the sound."""
        x = x[:, None]  # B 1 T C
        for k, (layer, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.relu(norm(layer(x))) * inside[:, None, :, None]
            if k < 3:
                x, inside = F.max_pool2d(x, 2, ceil_mode=True), inside[:, ::2]
        return self.classifier(x.mean(3).transpose(1, 2)), inside


class Piczak(nn.Module):
    """Filters nearly as tall as the spectrum, then two wide layers, for each moment of 41 frames."""

    SEEN, STRIDE = 41, 9  # frames

    def __init__(self, bands: int, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, (6, bands - 3)), nn.ReLU(), nn.MaxPool2d((3, 4), (3, 1)), nn.Dropout(dropout),
            nn.Conv2d(width, width, (3, 1)), nn.ReLU(), nn.MaxPool2d((3, 1)),
            nn.Conv2d(width, hidden, (3, 1)), nn.ReLU(), nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(hidden, classes, 1),
        )  # fmt: skip

    def forward(self, x: Float[Tensor, "B T C"], inside: Bool[Tensor, "B T"]) -> tuple[Tensor, Tensor]:
        x = F.pad(x, (0, 0, 0, max(0, self.SEEN - x.shape[1])))
        answer = self.layers(x[:, None])[..., 0].transpose(1, 2)
        whole = (inside.sum(1, keepdim=True) - self.SEEN).clamp(min=0) // self.STRIDE  # the last moment that is full
        return answer, torch.arange(answer.shape[1], device=x.device) <= whole


class Listener(nn.Module):
    """Samples as they lie in a 16-bit file come in, zeros at the end of one being no sound; log-odds come out."""

    def __init__(self, knobs: Knobs, classes: int, rate_hz: int, mean: float, spread: float) -> None:
        super().__init__()
        self.knobs, self.mean, self.spread = knobs, mean, spread
        self.ears = LogMel(rate_hz, knobs.bands, max(25.0, 2 * knobs.hop_ms), knobs.hop_ms)
        self.net = (
            Small(knobs.width, classes, knobs.dropout) if knobs.net == "small"
            else Piczak(knobs.bands, knobs.width, knobs.hidden, classes, knobs.dropout)
        )  # fmt: skip
        he(self)

    def forward(self, samples: Integer[Tensor, "B ..."] | Float[Tensor, "B ..."]) -> Float[Tensor, "B K"]:
        if samples.dim() == 4:  # a picture of sounds, as the probe gives it
            return self.seen(samples)
        if not self.training and len(samples) > AT_ONCE:
            return torch.cat([self(part) for part in samples.split(AT_ONCE)])
        mel, frames = self.ears(samples), self.ears.frames(lasting(samples))
        if self.training:
            mel, frames = self.varied(mel, frames)
        return self.judged(mel, frames)

    def varied(self, mel: Float[Tensor, "B T C"], frames: Int[Tensor, "B"]) -> tuple[Tensor, Tensor]:
        """The frames as they might have been elsewhere and another time."""
        draw = 2 * torch.rand(2, len(mel), device=mel.device) - 1
        if self.knobs.tempo or self.knobs.pitch:
            mel, frames = warped(mel, frames, 1 + self.knobs.tempo * draw[0], self.knobs.pitch * draw[1])
        return noisy(mel, self.knobs.noise) if self.knobs.noise > -100 else mel, frames

    def moments(self, mel: Float[Tensor, "B T C"], frames: Int[Tensor, "B"]) -> tuple[Tensor, Tensor]:
        """Log-odds at each moment "B T K", and which of them count. How loud a sound is as a whole says nothing."""
        inside = torch.arange(mel.shape[1], device=mel.device) < frames[:, None]
        x = (mel - self.mean) / self.spread * inside[..., None]
        x = (x - x.sum((1, 2), keepdim=True) / (frames * x.shape[2])[:, None, None]) * inside[..., None]
        if self.training and self.knobs.hide:
            x = spec_augment(x, frames, round(self.knobs.hide * x.shape[2]), self.knobs.hide)
        return self.net(x, inside)

    def judged(self, mel: Float[Tensor, "B T C"], frames: Int[Tensor, "B"]) -> Float[Tensor, "B K"]:
        answer, counts = self.moments(mel, frames)
        return (answer * counts[..., None]).sum(1) / counts.sum(1, keepdim=True)

    def picture(self, mel: Float[Tensor, "B T C"]) -> Float[Tensor, "B 1 C T"]:
        """Grey levels 0 to 255, low pitches at the bottom."""
        return ((mel - QUIET) / (LOUDEST - QUIET) * 255).clamp(0, 255).transpose(1, 2).flip(1)[:, None]

    def seen(self, picture: Float[Tensor, "B 1 C T"]) -> Float[Tensor, "B K"]:
        """Log-odds by such a picture. Black columns at its end are no sound; one that is all black is all silence."""
        mel = (picture[:, 0].flip(1).transpose(1, 2) / 255) * (LOUDEST - QUIET) + QUIET
        heard = (picture.detach() > 0).any(2)[:, 0]  # B T
        return self.judged(mel, lasting(heard).where(heard.any(1), heard.shape[1]))


def prepare(knobs: Knobs, place: Place) -> Data[Sounded]:
    return sounds(place, knobs.seconds)


def build(knobs: Knobs, facts: Facts) -> Listener:
    return Listener(knobs, len(facts["labels"]), int(facts["rate_hz"]), float(facts["mean"]), float(facts["spread"]))


def loss(model: Listener, batch: Sounded) -> dict[str, Tensor]:
    logits = model(batch.samples)
    return {"loss": F.cross_entropy(logits, batch.label), "error": error_rate(logits, batch.label)}


def train(knobs: Knobs, model: Listener, data: Data[Sounded], run: Run) -> None:
    optimizer = (
        torch.optim.Adam(model.parameters(), knobs.lr, fused=True) if knobs.method == "adam"
        else torch.optim.SGD(model.parameters(), knobs.lr, momentum=0.9, nesterov=True, weight_decay=1e-3)
    )  # fmt: skip
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=optimizer,
        schedule=cosine(knobs.steps, knobs.steps // 20), average=knobs.average or None)  # fmt: skip
    batch = next(iter(data.valid.sweep(500)))
    with torch.inference_mode():
        each = [int((batch.label == k).nonzero()[0]) for k in batch.label.unique().tolist()[:20]]
        pictures = model.picture(model.ears(batch.samples[each])).cpu()
    names = [data.facts["labels"][int(batch.label[i])][:12] for i in each]
    run.show(classes=mosaic([Image.of(one) for one in pictures], names, 5))


def score(knobs: Knobs, model: Listener, data: Data[Sounded], place: Place) -> dict[str, Score]:
    wrong, over = 0, 0
    model.eval()
    with torch.inference_mode():
        for batch in data.test.sweep(AT_ONCE):
            wrong, over = wrong + int((model(batch.samples).argmax(-1) != batch.label).sum()), over + len(batch.label)
    return {"error": rate_score(wrong, over, data.test)}


def read(facts: Facts, heard: Sequence[Audio]) -> Sounded:
    rate = int(facts["rate_hz"])
    samples = [torch.from_numpy(whole(sound, rate)[: LONGEST * rate]) for sound in heard]
    padded = nn.utils.rnn.pad_sequence(samples, batch_first=True)
    return Sounded(padded, torch.zeros(len(samples), dtype=torch.long))


def use(model: Listener, facts: Facts, heard: Sequence[Audio]) -> list[dict[str, Ranking | Heat | Image]]:
    samples = read(facts, heard).samples
    mel, frames = model.ears(samples), model.ears.frames(lasting(samples))
    answers, each, chances = [], model.ears.hop / int(facts["rate_hz"]), model(samples).softmax(-1)
    for i, count in enumerate(frames.tolist()):
        one = mel[i : i + 1, :count]
        moments, inside = model.moments(one, frames[i : i + 1])
        chance, said = chances[i], moments[0, inside[0]].softmax(-1)
        best = chance.topk(min(5, len(chance))).indices
        step = count * each / len(said)
        heat = Heat(said[:, best].T.detach().numpy(), [facts["labels"][k] for k in best.tolist()],
                    [f"{k * step:.2f}" for k in range(len(said))], "class", "from, s")  # fmt: skip
        answers.append({"answer": Ranking.of(chance, facts["labels"]), "when": heat,
                        "heard": Image.of(model.picture(one)[0])})  # fmt: skip
    return answers


def probe(model: Listener, batch: Sounded) -> Probe:
    """Of the spectrogram as a grey picture: which pitches at which time decide."""
    return Probe(model.picture(model.ears(batch.samples)), 0.0, 255.0, model, batch.label)


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(net="piczak", width=80, bands=60, hop_ms=23.0, seconds=0.95, dropout=0.5, method="momentum", lr=2e-3,
                   batch=100, steps=15_000, tempo=0.0, pitch=0.0, noise=-100.0, hide=0.0, average=0.0),
}  # fmt: skip
system = System(
    Knobs, PRESETS, prepare, build, train, score, use, takes=(Audio,), read=read, loss=loss, probe=probe
)  # fmt: skip
