"""What somebody imagines, read from the rhythms of the brain.

Paper       Schirrmeister et al. (2017), Deep learning with convolutional neural networks for EEG decoding and
            visualization, Human Brain Mapping 38(11), 5391-5420.
Idea        filters over time, then over electrodes, then the power: a net whose layers are those of the classical
            method, all learned together. Trained on crops of a trial, it has many examples of each.
Deviations  a crop begins with each step of the last pooling, not with each sample; AdamW for a set number of updates;
            raw signals, only scaled for each electrode. Made recordings, until real ones are named with --data.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.run import Run
from ..core.score import Score, rate_score
from ..core.source import Data, Facts, Held, Place
from ..core.system import System
from ..data.recordings import Trials, recordings, trials_of
from ..media import Curve, Heat, Listing, Ranking
from ..media.recording import Recording
from ..parts.csp import BandPower, band_power
from ..parts.layers import Normalise
from ..parts.metrics import error_rate
from ..parts.rhythm import rises

BANDS, PAIRS = ((8.0, 30.0),), 1  # Hz; filters a class. More of either was no better on validation trials
EDGE_S = 0.5  # seconds at both ends that the classical method leaves out: rhythms take a while to fade
SHOWN_HZ = (4.0, 40.0)


class Knobs(Config):
    net: Literal["shallow", "deep"] = Field(default="shallow", description="one layer and the power, or four blocks")
    crop_s: float = Field(default=2.0, ge=0, le=60, description="seconds of a crop; 0: whole trials")
    heads: int = Field(default=3, ge=1, le=20, description="made heads, each with a net of its own (not with --data)")
    trials: int = Field(default=576, ge=20, le=2000, description="trials of a made session")
    begin_s: float = Field(default=0.0, ge=-10, le=60, description="where a trial begins after its cue, in .edf files")
    length_s: float = Field(default=4.0, gt=0, le=60, description="how long a trial is, in .edf files")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="before each later layer")
    steps: int = Field(default=120, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=32, ge=2, description="trials per update")
    lr: float = Field(default=6e-3, gt=0, description="AdamW's step size at its peak")
    decay: float = Field(default=0.01, ge=0, description="weight decay")


class Mixed(nn.Module):
    """Filters over time, then over electrodes, without a unit between: done as the one convolution that they are."""

    def __init__(self, channels: int, filters: int, size: int) -> None:
        super().__init__()
        self.time, self.space = nn.Conv2d(1, filters, (1, size)), nn.Conv2d(filters, filters, (channels, 1), bias=False)

    def weight(self) -> Float[Tensor, "D C _"]:
        """The filters over time and electrodes at once."""
        return torch.einsum("ofc,ft->oct", self.space.weight[:, :, :, 0], self.time.weight[:, 0, 0])

    def forward(self, signal: Float[Tensor, "B C T"]) -> Float[Tensor, "B D _"]:
        bias = torch.einsum("ofc,f->o", self.space.weight[:, :, :, 0], self.time.bias)
        return F.conv1d(signal, self.weight(), bias)


class Power(nn.Module):
    """The logarithm of the mean square over 75 samples, each 15."""

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D _"]:
        return F.avg_pool1d(x.square(), 75, 15).clamp(min=1e-6).log()


class Reader(nn.Module):
    """The shallow net (46,084 parameters for 22 electrodes, whole trials of 1,000 samples, 4 classes) or the deep one
    (282,879). Takes raw values, gives the mean over crops of the logarithm of each class's chance."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        channels, rate, samples = len(facts["channels"]), float(facts["rate_hz"]), int(facts["samples"])
        self.normalise, out = Normalise(facts["mean"], facts["spread"]), nn.Dropout(knobs.dropout)
        if knobs.net == "shallow":
            self.mixed, width = Mixed(channels, 40, 25), 40
            self.features = nn.Sequential(nn.BatchNorm1d(40), Power(), out)
        else:
            self.mixed, width = Mixed(channels, 25, 10), 200
            blocks: list[nn.Module] = [nn.BatchNorm1d(25), nn.ELU(), nn.MaxPool1d(3)]
            for d in (25, 50, 100):
                blocks += [nn.Dropout(knobs.dropout), nn.Conv1d(d, 2 * d, 10, bias=False), nn.BatchNorm1d(2 * d),
                           nn.ELU(), nn.MaxPool1d(3)]  # fmt: skip
            self.features = nn.Sequential(*blocks)
        length = min(samples, round(knobs.crop_s * rate) or samples)
        self.classifier = nn.Conv1d(width, len(facts["labels"]), self.places(knobs.net, length))

    @staticmethod
    def places(net: str, samples: int) -> int:
        """How many values a signal of so many samples leaves for the last layer. UserError: none."""
        if net == "shallow":
            left = (samples - 24 - 75) // 15 + 1
        else:
            left = (samples - 9) // 3
            for _ in range(3):
                left = (left - 9) // 3
        if left < 1:
            least = 99 if net == "shallow" else 441
            raise UserError(f"crops of at least {least} samples for the {net} net", f"{samples}",
                            "Take longer ones (--crop-s, --length-s)", "eeg")  # fmt: skip
        return left

    def forward(self, signal: Float[Tensor, "B C T"]) -> Float[Tensor, "B K"]:
        scaled = self.normalise(signal.mT).mT
        return self.classifier(self.features(self.mixed(scaled))).log_softmax(1).mean(-1)  # of B K crops


class Readers(nn.Module):
    """A net for each subject."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        self.of = nn.ModuleList(Reader(knobs, facts) for _ in facts["subjects"])

    def forward(self, signal: Float[Tensor, "B C T"], subject: Int[Tensor, "B"]) -> Float[Tensor, "B K"]:
        out = signal.new_zeros(len(signal), self.of[0].classifier.out_channels)
        for k in subject.unique().tolist():
            out = out.index_copy(0, (rows := (subject == k).nonzero()[:, 0]), self.of[k](signal[rows]))
        return out


def prepare(knobs: Knobs, place: Place) -> Data[Trials]:
    return recordings(place, knobs.heads, knobs.trials, knobs.begin_s, knobs.length_s)


def build(knobs: Knobs, facts: Facts) -> Readers:
    return Readers(knobs, facts)


def loss_of(net: Callable[[Tensor], Tensor], batch: Trials) -> dict[str, Tensor]:
    """Cross-entropy of a crop in nats, mean over crops and trials; `error`: percent of trials."""
    chance = net(batch.signal)
    return {"loss": F.nll_loss(chance, batch.label), "error": error_rate(chance, batch.label)}


def loss(model: Readers, batch: Trials) -> dict[str, Tensor]:
    """Each trial by the net of its subject."""
    return loss_of(lambda signal: model(signal, batch.subject), batch)


def part(source: Any, subject: int) -> Held[Trials]:
    """The trials of one subject."""
    rows = (source.examples.subject == subject).nonzero()[:, 0]
    return Held(Trials(*(field[rows] for field in source.examples)), source.place, source.name, source.split)


def train(knobs: Knobs, model: Readers, data: Data[Trials], run: Run) -> None:
    for k, net in enumerate(model.of):
        fit(net, loss_of, part(data.train, k), run, steps=knobs.steps, batch=knobs.batch, valid=part(data.valid, k),
            optimizer=torch.optim.AdamW(net.parameters(), knobs.lr, weight_decay=knobs.decay, fused=True),
            schedule=cosine(knobs.steps, knobs.steps // 10), clip=5.0, stage=f"subject{k + 1}")  # fmt: skip
    model.eval()
    facts, slopes = data.facts, heard(model, data)
    run.show(found=found(slopes, facts), where=where(slopes, facts), frequencies=frequencies(slopes, facts),
             filters=filters(model, facts), classical=classical(data))  # fmt: skip


def heard(model: Readers, data: Data[Trials]) -> Tensor:  # S K C F
    """How each class's score rises with the strength of each frequency of each electrode, for each subject."""
    parts = []
    for k, net in enumerate(model.of):
        signal = part(data.train, k).examples.signal[:64]
        parts.append(rises(net, signal, len(data.facts["labels"])))
    return torch.stack(parts)


def hertz(facts: Facts) -> Float[Tensor, "F"]:
    """The frequencies of a trial's spectrum."""
    return torch.fft.rfftfreq(int(facts["samples"]), 1 / float(facts["rate_hz"]))


def within(facts: Facts) -> Tensor:
    """Which of them are in the classical band."""
    hz = hertz(facts)
    return (hz >= BANDS[0][0]) & (hz <= BANDS[0][1])


def found(slopes: Float[Tensor, "S K C F"], facts: Facts) -> Listing:
    """For each subject and class the electrodes and the frequency whose fading speaks for it; and what was put in."""
    truth, band, hz, rows = facts.get("truth", {}), within(facts), hertz(facts), []
    for name, of in zip(facts["subjects"], slopes, strict=True):
        for label, slope in zip(facts["labels"], of, strict=True):
            order = slope[:, band].sum(1).argsort()  # the most negative first
            smooth = F.avg_pool1d(slope[order[0]][None, None], 5, 1, 2)[0, 0]
            peak = hz[band][smooth[band].argmin()]
            put = truth.get(name, {"electrodes": {}, "hz": []})
            rows.append([name, label, " ".join(facts["channels"][c] for c in order[:3].tolist()),
                         " ".join(put["electrodes"].get(label, ())) or None, float(peak),
                         " and ".join(map(str, put["hz"])) or None])  # fmt: skip
    return Listing(("subject", "class", "fades at (found)", "put in at", "Hz (found)", "Hz put in"), rows)


def where(slopes: Float[Tensor, "S K C F"], facts: Facts) -> Heat:
    """By how much 8 to 30 Hz at an electrode speak for a class (less than 0: their absence does), largest 1."""
    speaks = slopes[..., within(facts)].sum(-1).flatten(0, 1)
    speaks = speaks / speaks.abs().amax(1, keepdim=True).clamp(min=1e-12)
    names = [f"{name}: {label}" for name in facts["subjects"] for label in facts["labels"]]
    return Heat(speaks.numpy(), names, facts["channels"], "class", "electrode")


def frequencies(slopes: Float[Tensor, "S K C F"], facts: Facts) -> Curve:
    """How much the scores of all classes hang on each frequency, over all electrodes; of each subject its largest 1."""
    hz, weight = hertz(facts), slopes.abs().sum((1, 2))
    shown = (hz >= SHOWN_HZ[0]) & (hz <= SHOWN_HZ[1])
    smooth = F.avg_pool1d(weight[:, None], 5, 1, 2)[:, 0, shown]
    smooth = smooth / smooth.amax(1, keepdim=True).clamp(min=1e-12)
    lines = {name: line.tolist() for name, line in zip(facts["subjects"], smooth, strict=True)}
    return Curve(hz[shown].tolist(), lines, "Hz", "weight of the frequency")


def filters(model: Readers, facts: Facts) -> Curve:
    """The gain of the filters over time, each by how much the electrodes' filters take of it; largest 1."""
    rate = float(facts["rate_hz"])
    hz = torch.fft.rfftfreq(256, 1 / rate)
    lines = {}
    for name, net in zip(facts["subjects"], model.of, strict=True):
        gain = torch.fft.rfft(net.mixed.time.weight.detach()[:, 0, 0], 256).abs()
        taken = net.mixed.space.weight.detach().square().sum((0, 2, 3)).sqrt()
        mean = (gain * taken[:, None]).sum(0)[hz <= SHOWN_HZ[1]]
        lines[name] = (mean / mean.max().clamp(min=1e-12)).tolist()
    return Curve(hz[hz <= SHOWN_HZ[1]].tolist(), lines, "Hz", "gain of the time filters")


def inner(facts: Facts) -> slice:
    """The samples of a trial that the classical method looks at: all but half a second at both ends, if that leaves
    half of it."""
    edge = round(EDGE_S * float(facts["rate_hz"])) if facts["samples"] >= 4 * EDGE_S * float(facts["rate_hz"]) else 0
    return slice(edge, int(facts["samples"]) - edge)


def rule(data: Data[Trials], subject: int) -> BandPower:
    """The classical method, fitted to a subject's training trials."""
    trials, facts = part(data.train, subject).examples, data.facts
    signal = trials.signal[..., inner(facts)]
    return band_power(signal, trials.label, len(facts["labels"]), float(facts["rate_hz"]), BANDS, PAIRS)


def classical(data: Data[Trials]) -> Heat:
    """The spatial pattern of common spatial patterns that fades most for each class, largest 1."""
    subjects = range(len(data.facts["subjects"]))
    rows = torch.cat([rule(data, k).spatial[0].patterns[:: 2 * PAIRS] for k in subjects])
    rows = rows.abs() / rows.abs().amax(1, keepdim=True)
    names = [f"{name}: {label}" for name in data.facts["subjects"] for label in data.facts["labels"]]
    return Heat(rows.numpy(), names, data.facts["channels"], "class", "electrode")


@torch.no_grad()
def score(knobs: Knobs, model: Readers, data: Data[Trials], place: Place) -> dict[str, Score]:
    was, wrong, classic, over = model.training, 0, 0, 0
    model.eval()
    for k, net in enumerate(model.of):
        test, reader = part(data.test, k), rule(data, k)
        for batch in test.sweep(64):
            wrong += int((net(batch.signal).argmax(1) != batch.label).sum())
            classic += int((reader(batch.signal[..., inner(data.facts)]).argmax(1) != batch.label).sum())
            over += len(batch.label)
    model.train(was)
    how = f"the {knobs.net} net, one for each subject"
    return {"error": rate_score(wrong, over, data.test, note=how),
            "error_csp": rate_score(classic, over, data.test, note="common spatial patterns of 8 to 30 Hz and linear "
                                    "discriminant analysis, fitted to the same trials")}  # fmt: skip


def use(model: Readers, facts: Facts, items: Sequence[Recording], *,
        subject: Annotated[str, "whose net to ask; without it the file's own, else the mean of all"] = "",
        ) -> list[dict[str, Any]]:  # fmt: skip
    names = facts["subjects"]
    if subject and subject not in names:
        raise UserError(f"a subject of {', '.join(names)}", repr(subject), "Take one of these, or leave it out", "eeg")
    answers = []
    for item in items:
        signal, begins = trials_of(facts, item)
        whose = subject or (item.subject if item.subject in names else "")
        nets = [model.of[names.index(whose)]] if whose else list(model.of)
        chance = torch.stack([net(signal).softmax(1) for net in nets]).mean(0)
        best = chance.max(1)
        rows = [[k + 1, begin, facts["labels"][label], 100 * sure] for k, (begin, label, sure) in
                enumerate(zip(begins, best.indices.tolist(), best.values.tolist(), strict=True))]  # fmt: skip
        lines = {label: chance[:, k].tolist() for k, label in enumerate(facts["labels"])}
        answers.append({
            "answer": Listing(("trial", "at second", "imagined", "sure, %"), rows),
            "first trial": Ranking.of(chance[0], facts["labels"]),
            "chances": Curve(list(range(1, len(rows) + 1)), lines, "trial", "chance"),
        })  # fmt: skip
    return answers


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(crop_s=0, heads=9, steps=1500, batch=60, lr=6.25e-4, decay=0.0),  # nine subjects, whole trials
    "deep": Knobs(net="deep", lr=3e-3, steps=300),
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Recording,), loss=loss)
