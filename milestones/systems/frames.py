"""What happens in each frame of a film, where one frame alone cannot tell.

Paper       Donahue et al. (2015), Long-term recurrent convolutional networks for visual recognition and description,
            CVPR, 2625-2634; beside it Karpathy et al. (2014), Large-scale video classification with convolutional
            neural networks, CVPR, 1725-1732, where nets that see one frame did nearly as well as those that see more.
Idea        a convolutional net looks at each frame, a recurrent one goes over what it saw, and says a word a frame. The
            same net without memory, trained alike, shows how much is to be seen in single frames.
Deviations  trained from scratch on small drawn films, a label for each frame and not one for the film, read in both
            directions (`memory` forward: only what has been). Of a frame the memory gets how much of each feature there
            is and where, and what changed since the frame before (`changes` false: it must find that itself, and takes
            many times as long to). The net without memory has a layer of the same width.
Result      not yet measured with several seeds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.errors import UserError
from ..core.fit import cosine, fit
from ..core.interval import quantiles
from ..core.run import Run
from ..core.score import Score, wilson
from ..core.source import Data, Facts, Place, keyed
from ..core.system import System
from ..data.clips import Clips, clips, shrunk
from ..data.moving import SIDE
from ..media import Curve, Heat, Image, Listing, Video
from ..media.bands import bands
from ..parts.layers import Normalise, norm
from ..parts.places import Places, change
from ..parts.recurrent import LSTM

CHANGE = 4.0  # changes from frame to frame are small


class Knobs(Config):
    films: int = Field(default=3000, ge=30, le=100_000, description="drawn films to learn from (not with --data)")
    side: int = Field(default=32, ge=16, le=256, description="pixels: frames are scaled to a square; drawn ones are 32")
    colour: bool = Field(default=False, description="look at colours; drawn films have none")
    memory: Literal["both", "forward", "none"] = Field(
        default="both",
        description="the recurrent net reads in both directions, only forwards (for live pictures), or is left out",
    )
    changes: bool = Field(default=True, description="the memory is also told what changed since the frame before")
    single: bool = Field(default=True, description="train the net that sees single frames, too, to compare")
    width: int = Field(default=12, ge=2, le=256, description="channels of the first layer; the others have twice that")
    hidden: int = Field(default=64, ge=2, le=2048, description="units of the LSTM a direction")
    steps: int = Field(default=300, ge=1, description="optimiser updates of each net")
    batch: int = Field(default=16, ge=1, description="pieces of films per update")
    lr: float = Field(default=4e-3, gt=0, description="AdamW's step size at its peak")
    decay: float = Field(default=0.02, ge=0, description="weight decay")


class FrameNet(nn.Module):
    """Convolutions over each frame, then memory over time. Takes raw levels, 0 to 255."""

    def __init__(self, knobs: Knobs, memory: str, facts: Facts) -> None:
        super().__init__()
        w, d = knobs.width, knobs.hidden

        def layer(inputs: int, outputs: int, size: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, size, stride, size // 2), norm("group", outputs)]

        self.eye = nn.Sequential(
            Normalise(float(facts["mean"]), float(facts["spread"])),
            *layer(int(facts["channels"]), w, 5, 2), nn.ReLU(),                       # B w H/2 W/2
            *layer(w, 2 * w, 3, 2), nn.ReLU(), *layer(2 * w, 2 * w, 3, 1),            # B 2w H/4 W/4
            Places(2 * w),                                                            # B 6w
        )  # fmt: skip
        self.changes = knobs.changes and memory != "none"
        seen = 6 * w * (2 if self.changes else 1)
        self.memory = None if memory == "none" else LSTM(seen, d, both=memory == "both")
        self.between = nn.Sequential(nn.Linear(seen, 2 * d), nn.ReLU()) if memory == "none" else nn.Identity()
        self.classifier = nn.Linear(d if memory == "forward" else 2 * d, len(facts["labels"]))

    def forward(self, frames: Shaped[Tensor, "B T C H W"], length: Int[Tensor, "B"]) -> Float[Tensor, "B T K"]:
        seen = self.eye(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])  # B T D
        if self.changes:
            seen = torch.cat([seen, CHANGE * change(seen)], -1)
        return self.classifier(self.memory(seen, length) if self.memory else self.between(seen))


class FrameNets(nn.Module):
    """The net with memory, and the one that sees single frames."""

    def __init__(self, knobs: Knobs, facts: Facts) -> None:
        super().__init__()
        self.film = FrameNet(knobs, knobs.memory, facts)
        self.single = FrameNet(knobs, "none", facts) if knobs.single and knobs.memory != "none" else None

    def forward(self, frames: Shaped[Tensor, "B T C H W"], length: Int[Tensor, "B"]) -> Float[Tensor, "B T K"]:
        return self.film(frames, length)


def prepare(knobs: Knobs, place: Place) -> Data[Clips]:
    if not place.choice.data and (knobs.side != SIDE or knobs.colour):
        got = "--colour true" if knobs.colour else f"--side {knobs.side}"
        raise UserError(f"drawn films, grey and {SIDE} pixels wide, or --data", got, "Leave it out", "frames")
    return clips(place, knobs.films, knobs.side, knobs.colour)


def build(knobs: Knobs, facts: Facts) -> FrameNets:
    return FrameNets(knobs, facts)


def loss_in(net: nn.Module, batch: Clips) -> dict[str, Tensor]:
    """Cross-entropy in nats of a labelled frame, mean over those of the batch; `error`: percent of them wrong."""
    scores, known = net(batch.frames, batch.length), batch.label > 0
    target = batch.label.clamp(min=1) - 1
    each = F.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    over = known.sum().clamp(min=1)
    wrong = (scores.argmax(-1) != target) & known
    return {"loss": (each * known).sum() / over, "error": 100 * wrong.sum() / over}


def loss(model: FrameNets, batch: Clips) -> dict[str, Tensor]:
    """Of the net with memory."""
    return loss_in(model.film, batch)


def train(knobs: Knobs, model: FrameNets, data: Data[Clips], run: Run) -> None:
    for stage, net in (("film", model.film), ("single", model.single)):  # what counts first, if --minutes end it
        if net is not None:
            fit(net, loss_in, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, clip=1.0,
                optimizer=torch.optim.AdamW(net.parameters(), knobs.lr, weight_decay=knobs.decay, fused=True),
                schedule=cosine(knobs.steps, knobs.steps // 10), stage=stage)  # fmt: skip
    nets = {"whole film": model.film, "single frames": model.single}
    found = {name: judged(net, data.valid) for name, net in nets.items() if net is not None}
    run.show(confusion=confusion(found["whole film"], data.facts["labels"]), after_a_change=after_change(found),
             films=strips(model, data))  # fmt: skip


class Judged(NamedTuple):
    """What a net says of each frame."""

    target: Int[Tensor, "N T"]  # classes; -1 where none is known
    said: Int[Tensor, "N T"]
    film: Int[Tensor, "N"]


@torch.no_grad()
def judged(net: nn.Module, source: Any) -> Judged:
    """What the net says over a sweep, in evaluation mode."""
    was, parts = net.training, []
    net.eval()
    for batch in source.sweep(32):
        said = net(batch.frames, batch.length).argmax(-1)
        parts.append(Judged(batch.label.cpu() - 1, said.cpu(), batch.film.cpu()))
    net.train(was)
    time = max(part.target.shape[1] for part in parts)
    return Judged(*(torch.cat([F.pad(part[k], (0, time - part[k].shape[1]), value=-1) for part in parts])
                    for k in range(2)), torch.cat([part.film for part in parts]))  # fmt: skip


def confusion(found: Judged, labels: Sequence[str]) -> Heat:
    """Percent of the frames of each class by what is said of them."""
    known, n = found.target >= 0, len(labels)
    counts = torch.bincount(found.target[known] * n + found.said[known], minlength=n * n).view(n, n).double()
    return Heat((100 * counts / counts.sum(1, keepdim=True).clamp(min=1)).numpy(), labels, labels, "true", "said")


def since(target: Int[Tensor, "N T"]) -> Int[Tensor, "N T"]:
    """Frames since the last change of the label; -1 before the first change, and where no label is known."""
    out = torch.full_like(target, -1)
    for t in range(1, target.shape[1]):
        new = (target[:, t] != target[:, t - 1]) & (target[:, t] >= 0) & (target[:, t - 1] >= 0)
        going = (out[:, t - 1] >= 0) & (target[:, t] == target[:, t - 1])
        out[:, t] = torch.where(new, 0, torch.where(going, out[:, t - 1] + 1, -1))
    return out


def after_change(found: Mapping[str, Judged], most: int = 6) -> Curve:
    """How often each net is wrong so many frames after the label has changed."""
    lines = {}
    for name, one in found.items():
        wrong, when = one.target != one.said, since(one.target)
        lines[name] = [100 * float(wrong[when == k].float().mean()) for k in range(most)]
    return Curve(list(range(most)), lines, "frames since the label changed", "wrong, %")


@torch.no_grad()
def strips(model: FrameNets, data: Data[Clips], count: int = 4) -> Image:
    """Validation films with what is true, what the net says, and what the one without memory says."""
    batch = next(data.valid.sweep(count))
    labels, sheets = data.facts["labels"], []
    lines = {"true": batch.label - 1}
    for name, net in {"said": model.film, "single": model.single}.items():
        if net is not None:
            net.eval()
            lines[name] = net(batch.frames, batch.length).argmax(-1)
    for k, time in enumerate(batch.length.clamp(max=48).tolist()):
        words = {name: [labels[i] if i >= 0 else "" for i in line[k, :time].tolist()] for name, line in lines.items()}
        sheets.append(bands(filmed(batch.frames[k, :time]), words, labels).pixels)
    wide = max(sheet.shape[1] for sheet in sheets)
    sheets = [np.pad(s, ((0, 8), (0, wide - s.shape[1]), (0, 0)), constant_values=255) for s in sheets]
    return Image(np.concatenate(sheets))


def filmed(frames: Shaped[Tensor, "T C H W"]) -> np.ndarray:
    """Frames as a film holds them: "T H W" or "T H W 3"."""
    levels = frames.byte().permute(0, 2, 3, 1).cpu().numpy()
    return levels[..., 0] if levels.shape[-1] == 1 else levels


def score(knobs: Knobs, model: FrameNets, data: Data[Clips], place: Place) -> dict[str, Score]:
    scores = {"error": error(model.film, data.test, f"memory: {knobs.memory}; interval by bootstrap over films")}
    if model.single is not None:
        scores["error_single"] = error(model.single, data.test, "the net without memory, which sees single frames")
    return scores


def error(net: nn.Module, source: Any, note: str) -> Score:
    """Percent of wrong frames; its interval by drawing whole films, for the frames of one are alike."""
    found = judged(net, source)
    known = found.target >= 0
    of = torch.unique(found.film, return_inverse=True)[1]
    films = int(of.max()) + 1
    wrong = torch.zeros(films).index_add_(0, of, ((found.target != found.said) & known).sum(1).float())
    over = torch.zeros(films).index_add_(0, of, known.sum(1).float())
    value = 100 * float(wrong.sum() / over.sum())
    draws = torch.randint(films, (2000, films), generator=keyed("films", films))
    rates = 100 * wrong[draws].sum(1) / over[draws].sum(1).clamp(min=1)
    low, high = quantiles(rates.tolist())
    if low == high:  # all films are alike, as one is: as sure as so many examples make it
        low, high = wilson(round(value / 100 * films), films)
    return Score(value, min(low, value), max(high, value), "%", "lower", source.name, source.split,
                 int(known.sum()), note=note)  # fmt: skip


def read(facts: Facts, films: Sequence[Video]) -> Clips:
    """The films as one batch, without labels."""
    shot = [torch.from_numpy(shrunk(list(film.frames), int(facts["side"]), int(facts["channels"]))) for film in films]
    length = torch.tensor([len(frames) for frames in shot])
    frames = nn.utils.rnn.pad_sequence(shot, batch_first=True)
    return Clips(frames, length, torch.zeros(frames.shape[:2], dtype=torch.long), length, torch.arange(len(shot)))


def use(model: FrameNets, facts: Facts, films: Sequence[Video]) -> list[dict[str, Any]]:
    return [told(model, facts, film) for film in films]


def told(model: FrameNets, facts: Facts, film: Video) -> dict[str, Any]:
    """What happens when in a film, and how sure the net is of each frame."""
    batch, labels = read(facts, [film]), facts["labels"]
    chance = model(batch.frames, batch.length)[0].softmax(-1)  # T K
    best = chance.argmax(-1).tolist()
    begins = [t for t in range(len(best)) if t == 0 or best[t] != best[t - 1]]
    rows = [[labels[best[a]], float(a), float(b - 1), a / film.rate_hz, 100 * float(chance[a:b, best[a]].mean())]
            for a, b in zip(begins, [*begins[1:], len(best)], strict=True)]  # fmt: skip
    lines = {label: chance[:, k].tolist() for k, label in enumerate(labels) if k in best}
    step = max(1, len(best) // 96)
    return {
        "answer": Listing(("label", "from frame", "to frame", "at second", "sure, %"), rows),
        "chances": Curve([t / film.rate_hz for t in range(len(best))], lines, "seconds", "chance"),
        "frames": bands(film.frames[::step], {"said": [labels[k] for k in best[::step]]}, labels),
        "film": Video(film.frames, film.rate_hz, lines),
    }


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(films=20_000, changes=False, width=32, hidden=256, steps=8000),  # the paper's memory, told nothing;
    # its frames are of 227 x 227 pixels, its convolutions those of a net that knows ImageNet
    "live": Knobs(memory="forward"),  # says each frame at once, without the frames to come
    "own": Knobs(side=64, colour=True),  # for --data
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Video,), read=read, loss=loss)
