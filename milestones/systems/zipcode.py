"""A convolutional net reads whole zip codes, without being told where a digit ends.

Paper       LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document recognition,
            Proceedings of the IEEE 86(11), 2278-2324, sections VI to VIII (space displacement networks).
Idea        a net of convolutions can be swept over a line; trained on the whole answer, it finds the digits itself.
Deviations  connectionist temporal classification (Graves et al. 2006) instead of a graph transformer with a Viterbi
            search: the same sum over segmentations, in one loss. Single digits come first, as the paper's net had been
            trained; two pairs of layers have a shortcut (He et al. 2015). Lines are composed from digits, since no set
            of real zip codes may be shipped; letters and digits upside down teach it what is none. A reading of five or
            nine digits is taken to be ten times as likely beforehand as any other.
Result      lines_right 92.4 ± 0.18 %, 2 seeds, composed lines of MNIST test and USPS test, 104.5 s, read_at_1
            65.0 %, on 2 cores of Intel Xeon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.config import Config, Field
from ..core.fit import cosine, fit
from ..core.interval import quantiles
from ..core.run import Run
from ..core.score import Score, wilson
from ..core.source import Data, Facts, Held, Place, keyed
from ..core.system import System
from ..data.lines import HEIGHT, SIGNS, STRANGE, Lines, lines
from ..media import Curve, Image, Ranking, Text, mosaic
from ..media.line import find_lines, marked
from ..parts.ctc import ctc_loss, greedy, wrong
from ..parts.distort import stretched
from ..parts.layers import Normalise
from ..parts.muon import Muon

STRIDE = 2  # pixels of the line for each frame of the answer: two ones side by side are 5 apart
NOTHING = "no number"
VIEWS = ((1.0, 0.0), (1.08, 0.0), (0.92, 0.0), (1.0, 0.15), (1.0, -0.15))  # how wide and how slanted a line is read
USUAL = (5, 10)  # signs of a zip code: five digits; five, a dash and four
ODDS = 10.0  # how much likelier than any other number of signs these are, before anything is seen


class Knobs(Config):
    lines: int = Field(default=20_000, ge=100, le=1_000_000, description="training lines; each is composed anew")
    strange: float = Field(default=0.03, ge=0, lt=1, description="share of them with letters and upside-down digits")
    width: int = Field(default=16, ge=4, le=256, description="channels of the first layer; the last has six times it")
    single_steps: int = Field(default=80, ge=0, description="first so many updates read single digits")
    steps: int = Field(default=4400, ge=1, description="updates that read lines of five or six signs")
    batch: int = Field(default=16, ge=1, description="lines an update; of single digits twelve times as many")
    lr: float = Field(default=0.014, gt=0, description="step size at its peak")
    decay: float = Field(default=0.05, ge=0, description="weight decay")
    average: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean of the weights; 0: none is kept")


Size = int | tuple[int, int]


def layer(inputs: int, outputs: int, size: Size, stride: int = 1, padding: Size = 1, pool: Size = 1) -> nn.Sequential:
    """A convolution, normalised; where its answer is pooled that comes first, as there is less to normalise then."""
    pooled = [] if pool == 1 else [nn.MaxPool2d(pool)]
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), *pooled, nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Pair(nn.Module):
    """Two layers, and what they were given added to what they found (He et al. 2015)."""

    def __init__(self, width: int, size: Size, padding: Size) -> None:
        super().__init__()
        self.first = layer(width, width, size, padding=padding)
        self.second = nn.Conv2d(width, width, size, padding=padding, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm.weight)  # it begins as the identity

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return F.relu(x + self.norm(self.second(self.first(x))))


class ZipReader(nn.Module):
    """Lines of 28 pixels and any width that 4 divides, raw levels 0 to 255, ink light; two answers for each four."""

    def __init__(self, width: int, signs: int, mean: float, spread: float) -> None:
        super().__init__()
        w, self.signs = width, signs
        self.normalise = Normalise(mean, spread)
        self.features = nn.Sequential(
            layer(1, w, 5, 2, 2),                                       # B w 14 W/2
            layer(w, 2 * w, 3, pool=2),                                 # B 2w 7 W/4
            layer(2 * w, 4 * w, 3), Pair(4 * w, 3, 1),                  # B 4w 7 W/4
            nn.MaxPool2d((2, 1), ceil_mode=True),                       # B 4w 4 W/4
            layer(4 * w, 6 * w, (4, 3), padding=(0, 1)),                # B 6w 1 W/4
            Pair(6 * w, (1, 5), (0, 2)),                                # what is beside a digit, 20 pixels each way
        )  # fmt: skip
        self.classifier = nn.Conv1d(6 * w, 2 * (signs + 1), 1)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(
        self, image: Integer[Tensor, "B 1 28 W"] | Float[Tensor, "B 1 28 W"]
    ) -> Float[Tensor, "B T K"]:  # class 0: nothing here
        found = self.classifier(self.features(self.normalise(image))[:, :, 0])  # B 2K W/4: left half, right half
        return found.transpose(1, 2).reshape(len(image), -1, self.signs + 1)


def prepare(knobs: Knobs, place: Place) -> Data[Lines]:
    return lines(place, knobs.lines, knobs.strange)


def build(knobs: Knobs, facts: Facts) -> ZipReader:
    return ZipReader(knobs.width, len(facts["labels"]), float(facts["mean"]), float(facts["spread"]))


def loss(model: ZipReader, batch: Lines) -> dict[str, Tensor]:
    logits = model(batch.image)
    reading = greedy(logits.detach())
    missed = wrong(reading.text, reading.length, batch.text, batch.length)
    return {"loss": ctc_loss(logits, batch.text, batch.length), "error": 100 * missed.float().mean()}


def train(knobs: Knobs, model: ZipReader, data: Data[Lines], run: Run) -> None:
    def fresh() -> Muon:
        return Muon(model.parameters(), knobs.lr, decay=knobs.decay)

    if knobs.single_steps:  # without it the net finds the signs among the blanks only after hundreds of updates
        if not model.classifier.weight.any():  # a fresh net: else all drowns in blanks at first
            model.classifier.bias.data[:: model.signs + 1] = -4.0
        fit(model, loss, data.train.short(1), run, steps=knobs.single_steps, batch=12 * knobs.batch, optimizer=fresh(),
            schedule=lambda step: min(1.0, (step + 1) / 20), stage="single")  # fmt: skip
    fit(model, loss, data.train, run, steps=knobs.steps, batch=knobs.batch, valid=data.valid, optimizer=fresh(),
        schedule=cosine(knobs.steps, knobs.steps // 20), average=knobs.average or None)  # fmt: skip
    sure, missed = judged(model, data.valid)
    kept, error = rejecting(sure, missed)
    run.show(rejecting=Curve((100 * (1 - kept)).tolist(), {"error of the lines that are read": (100 * error).tolist()},
                             "rejected lines, %", "error, %"))  # fmt: skip
    worst = sorted(missed.nonzero()[:, 0].tolist(), key=lambda i: -float(sure[i]))[:24]
    if worst:
        image = next(data.valid.sweep(len(missed))).image[worst]
        model.eval()
        answer = answered(model, image)
        said = [spelled(answer, row) or "-" for row in range(len(worst))]
        run.show(mistakes=mosaic([Image.of(line) for line in image], said, columns=3))


class Answer(NamedTuple):
    """What was read."""

    text: Integer[Tensor, "B T"]  # classes, then zeros
    length: Integer[Tensor, "B"]
    x: Float[Tensor, "B T"]  # pixels of the line where each sign was read
    sure: Float[Tensor, "B"]  # the probability of the text: over all its alignments the geometric mean of all views
    strange: Float[Tensor, "B"]  # the probability that something in the line is no digit


@torch.no_grad()
def answered(model: ZipReader, image: Tensor) -> Answer:
    """Each line is read as it is, wider, narrower and slanted both ways; of these readings the one that is the
    likeliest for all five, and for a zip code."""
    n, views = len(image), len(VIEWS)
    logits = model(torch.cat([stretched(image, wide, slant) for wide, slant in VIEWS]))  # of one view after the other
    text, length, frame = (field.unflatten(0, (views, n)) for field in greedy(logits))
    chance = logits.new_full((views, n), -torch.inf)
    for k in range(views):
        if k and (text[k] == text[0]).all():  # the same as before, most often
            continue
        loss = ctc_loss(logits, text[k].repeat(views, 1), length[k].repeat(views), "none")
        chance[k] = -loss.view(views, n).mean(0)
    odds = torch.where(torch.isin(length, length.new_tensor(USUAL)), ODDS, 1.0)
    sure, best = (chance + odds.log() - torch.log1p((odds - 1) * chance.exp())).max(0)  # Bayes' rule
    rows = torch.arange(n, device=best.device)
    wide = torch.tensor([wide for wide, _ in VIEWS], device=best.device)[best, None]
    middle = (image.shape[3] - 1) / 2
    x = middle + (STRIDE * (frame[best, rows] + 0.5) - 0.5 - middle) / wide
    whole = (1 - logits.softmax(-1)[:, :, STRANGE]).log().sum(1).exp()  # no frame says that it sees no digit
    return Answer(text[best, rows], length[best, rows], x, sure.exp(), 1 - whole.view(views, n).mean(0))


def judged(model: ZipReader, source: Any) -> tuple[Float[Tensor, "N"], Tensor]:
    """How sure the net is of each line, and which lines it did not read exactly."""
    was, sure, missed = model.training, [], []
    model.eval()
    for batch in source.sweep(250):
        answer = answered(model, batch.image)
        sure.append(answer.sure)
        missed.append(wrong(answer.text, answer.length, batch.text, batch.length))
    model.train(was)
    return torch.cat(sure).cpu(), torch.cat(missed).cpu()


def rejecting(sure: Float[Tensor, "N"], missed: Tensor) -> tuple[Tensor, Tensor]:
    """The share of lines that is read, and the share of errors among them, as ever less sure ones are read, too."""
    order = sure.argsort(descending=True)
    count = torch.arange(1, len(order) + 1)
    return count / len(order), missed[order].cumsum(0) / count


def read_at(sure: Float[Tensor, "N"], missed: Tensor, most: float = 0.01) -> float:
    """Percent of lines that can be read with at most this share of errors among them."""
    kept, error = rejecting(sure, missed)
    fits = (error <= most).nonzero()
    return 100 * float(kept[fits[-1, 0]]) if len(fits) else 0.0


def score(knobs: Knobs, model: ZipReader, data: Data[Lines], place: Place) -> dict[str, Score]:
    sure, missed = judged(model, data.test)
    n, test = len(missed), cast("Held[Lines]", data.test)

    def percent(value: float, low: float, high: float, note: str = "") -> Score:
        return Score(value, low, high, "%", "higher", test.name, test.split, n, note=note)

    read, rng = read_at(sure, missed), keyed("read_at_1")
    draws = (torch.randint(n, (n,), generator=rng) for _ in range(500))  # bootstrap
    low, high = quantiles([read_at(sure[i], missed[i]) for i in draws])
    return {
        "lines_right": percent(100 * float((~missed).float().mean()), *wilson(int((~missed).sum()), n)),
        "read_at_1": percent(read, min(low, read), max(high, read), "at most 1 % errors; interval by bootstrap"),
    }


def spelled(answer: Answer, row: int) -> str:
    """What was read in this row."""
    return "".join(SIGNS[sign - 1] for sign in answer.text[row, : answer.length[row]].tolist())


def use(model: ZipReader, facts: Facts, images: Sequence[Image]) -> list[dict[str, Any]]:
    return [number(model, image) for image in images]


def number(model: ZipReader, image: Image) -> dict[str, Any]:
    """The number in a picture: of all its lines the one of which the net is most sure, and where each digit is."""
    best: tuple[bool, float] = False, 0.0  # the longest of the lines that are read for sure, else the surest
    chosen: dict[str, Any] = {}
    doubts = [1.0]
    for line in find_lines(image, HEIGHT):
        answer = answered(model, torch.from_numpy(line.pixels)[None, None])
        text, sure = spelled(answer, 0), float(answer.sure[0])
        readable = bool(text) and "?" not in text
        doubts.append(1 - sure if readable else float(answer.strange[0]) if text else 1.0)
        if (rank := (readable and sure > 0.5, sure * len(text))) > best:
            places = [line.place(x) for x in answer.x[0, : len(text)].tolist()]
            where = ", ".join(f"{sign} at {x}, {y}" for sign, (x, y) in zip(text, places, strict=True))
            chosen = {"answer": Ranking((text, NOTHING), (sure, 1 - sure)), "where (x, y in pixels)": Text(where),
                      "seen": Image(line.pixels), "picture": marked(image, text, places)}  # fmt: skip
            best = rank
    if not best[0]:
        return {"answer": Ranking((NOTHING,), (min(doubts),)), **{k: v for k, v in chosen.items() if k == "seen"}}
    return chosen


PRESETS = {
    "quick": Knobs(),
    "paper": Knobs(lines=60_000, steps=15_000, width=24),  # of the size of its training set; not its machine
}
system = System(Knobs, PRESETS, prepare, build, train, score, use, takes=(Image,), loss=loss)  # fmt: skip
