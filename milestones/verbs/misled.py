"""The study of how a run is misled: attacks at several sizes, the nearest misleading inputs, signs of false safety."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.score import wilson
from ..media import Image
from ..parts.attack import Ball, Scores, fgsm, odds, patch, pgd, places, said, universal, within, worn
from ..parts.autoattack import WRONG, autoattack, square
from ..parts.certify import ABSTAIN, certified, smoothed
from ..parts.minimal import carlini, deepfool, distance
from .subject import Subject

SIZES = {  # in parts of the legal range: for grey pictures and boards, for pictures in colour, for what has no range
    ("inf", "grey"): (0.02, 0.05, 0.1, 0.15, 0.2, 0.3), ("2", "grey"): (0.25, 0.5, 1, 1.5, 2, 3),
    ("inf", "colour"): tuple(k / 255 for k in (1, 2, 4, 8, 16, 32)), ("2", "colour"): (0.125, 0.25, 0.5, 1, 2, 3),
    ("inf", "free"): (0.05, 0.1, 0.2, 0.5, 1, 2), ("2", "free"): (0.1, 0.2, 0.5, 1, 2, 4),
}  # fmt: skip
SECONDS = 60.0  # what the usual attacks may take, about
CALLS = 1500  # gradients for an example in the usual attacks, about: AutoAttack where half still stand, CW
CHEAP = 1400  # of them for Carlini and Wagner's
MOST_SHOWN = 8
LEAST = 4  # examples, however slow the net is
EXTREME = 50  # examples that get any change at all
QUERIES = 1000  # of Square where it is asked for alone
SMOOTHED = 20  # examples that are certified by smoothing
Say = Callable[[str], None]
Cells = list[float | None]


class Task(NamedTuple):
    """What is attacked, in units in which a size of 1 means something."""

    scores: Scores
    input: Tensor
    target: Tensor
    low: float
    high: float
    unit: float  # of a size, in the input's own units
    words: str  # what the unit is
    back: Callable[[Tensor], Tensor]  # to raw values

    def ball(self, norm: Any, size: float) -> Ball:
        return Ball(norm, size * self.unit, self.low, self.high)

    def at(self, rows: Any) -> Task:
        return self._replace(input=self.input[rows], target=self.target[rows])


def task_of(subject: Subject) -> Task:
    """The probe as a task. What has no legal range is measured in spreads of the training data, if those are known."""
    probe, facts = subject.probe, subject.trained.facts
    x = probe.input.detach().float()
    if math.isfinite(probe.low) and math.isfinite(probe.high):
        unit = probe.high - probe.low
        return Task(
            probe.scores, x, probe.target, probe.low, probe.high, unit, "in parts of the legal range", torch.clone
        )
    mean, spread = (torch.tensor(facts.get(key, 0.0), dtype=torch.float32).flatten() for key in ("mean", "spread"))
    if x.dim() == 2 and len(mean) == len(spread) == x.shape[1]:
        spread = spread.where(spread > 0, torch.ones_like(spread))

        def back(u: Tensor) -> Tensor:
            return u * spread + mean

        words = "in spreads of the training data"
        return Task(
            lambda u: probe.scores(back(u)), (x - mean) / spread, probe.target, -math.inf, math.inf, 1.0, words, back
        )
    return Task(probe.scores, x, probe.target, probe.low, probe.high, 1.0, "in the input's own units", torch.clone)


def study(subject: Subject, args: argparse.Namespace, say: Say) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What was found, as JSON, and the pictures by file name. UserError: sizes outside the range, nothing that the net
    gets right, a method that does not fit, gradients that cannot be used."""
    begin, who = time.perf_counter(), subject.trained.entry.name
    task = task_of(subject)
    check(args, task, who)
    try:
        return found_of(subject, task, args, say, begin)
    except ValueError as problem:
        raise UserError("scores whose gradient and bounds can be followed", str(problem),
                        "Take another run, or another --method", who) from None  # fmt: skip


def check(args: argparse.Namespace, task: Task, who: str) -> None:
    """UserError: sizes or methods that do not fit this input."""
    bounded, entries = math.isfinite(task.low) and math.isfinite(task.high), task.input[0].numel()
    for norm in args.norm:
        most = (1.0 if norm == "inf" else math.sqrt(entries)) if bounded else math.inf
        for size in args.eps:
            if not 0 < size <= most or not math.isfinite(size):
                legal = f"above 0 and at most {most:.4g} in norm {norm}" if bounded else "above 0"
                raise UserError(f"--eps {legal}, {task.words}", f"{size:g}",
                                "A change of 8 grey levels is 0.031", who)  # fmt: skip
    if "patch" in args.method and not (task.input.dim() == 4 and bounded):
        raise UserError("pictures for --method patch", f"an input of shape {tuple(task.input.shape[1:])}",
                        "Take another method", who)  # fmt: skip


def found_of(subject: Subject, task: Task, args: argparse.Namespace, say: Say,
             begin: float) -> tuple[dict[str, Any], dict[str, bytes]]:  # fmt: skip
    """The study itself."""
    who, chosen, notes = subject.trained.entry.name, list(dict.fromkeys(args.method)), list[str]()
    each = pace(task)
    if not args.examples and subject.known:
        task = task.at(slice(max(LEAST, int(SECONDS / each / CALLS / len(args.norm)))))
    clean = said(task.scores, task.input, 64)
    right = clean.argmax(-1) == task.target
    if not bool(right.any()):
        raise UserError("an example that the net gets right", f"{len(right)} of which it gets none",
                        "Train the run longer, or name inputs of your own", who)  # fmt: skip
    if "carlini" in chosen and args.method == list(chosen) and each * CHEAP * len(right) > SECONDS:
        chosen.remove("carlini")
        notes.append("Carlini and Wagner's attack was left out: it would take more than a minute")
    say(f"{who}: {len(right)} examples, {each * 1e3:.2g} ms for a gradient of one")
    norms = {norm: swept(norm, task, right, args, chosen, say) for norm in dict.fromkeys(args.norm)}
    flags = masking(task, norms, right, args)
    more = [{"name": name, **extra(name, task, norm, norms[norm], subject.labels, args.seed)}
            for name in ("universal", "patch") if name in chosen
            for norm in (norms if name == "universal" else list(norms)[:1])]  # fmt: skip
    bounds = certificates(subject, task, norms, right, args, say) if args.certify else {}
    shown, pictures = show(subject, task, norms, clean)
    for one in more:
        pictures.update(one.pop("pictures"))
    rows = [{"name": subject.names[i], "target": subject.labels[int(task.target[i])],
             "said": subject.labels[int(clean[i].argmax())], "chance": float(clean[i].softmax(-1).max()),
             "misled_by": {norm: [m for m, by in one["by"].items() if bool(by[i])] for norm, one in norms.items()},
             "nearest": {norm: {m: number(far[i]) for m, far in one["far"].items()} for norm, one in norms.items()}}
            for i in range(len(right))]  # fmt: skip
    kept = ("sizes", "accuracy", "loss", "median", "size", "stands", "broken", "low", "high")
    found = {
        "system": who, "run": str(subject.trained.folder), "data": subject.data, "known": subject.known,
        "examples": len(right), "clean": 100 * float(right.float().mean()), "unit": task.words, "seed": args.seed,
        "methods": chosen, "norms": {norm: {name: one[name] for name in kept} for norm, one in norms.items()},
        "flags": flags, "notes": notes, "more": more, "certified": bounds, "shown": shown, "rows": rows,
    }  # fmt: skip
    found["verdict"] = verdict(found)
    found["seconds"] = round(time.perf_counter() - begin, 2)
    return found, pictures


def pace(task: Task) -> float:
    """Seconds for a gradient of one example, measured on a few."""
    few = task.at(slice(16))
    fgsm(few.scores, few.input, few.target, few.ball("inf", 0.01))
    begin = time.perf_counter()
    fgsm(few.scores, few.input, few.target, few.ball("inf", 0.01))
    return (time.perf_counter() - begin) / len(few.input) * 0.6  # the rest sizes the chunks


def swept(
    norm: str, task: Task, right: Tensor, args: argparse.Namespace, chosen: Sequence[str], say: Say
) -> dict[str, Any]:
    """All attacks in one norm: what is still right at each size, and what is nearest."""
    kind = (
        "free"
        if not math.isfinite(task.high)
        else "colour"
        if task.input.dim() == 4 and task.input.shape[1] == 3
        else "grey"
    )
    sizes = sorted(args.eps) if args.eps else list(SIZES[norm, kind])
    count, seed = len(right), args.seed
    sized: dict[str, Callable[[Ball], Tensor]] = {
        "fgsm": lambda ball: fgsm(task.scores, task.input, task.target, ball),
        "pgd": lambda ball: pgd(task.scores, task.input, task.target, ball, seed=seed),
        "square": lambda ball: square(task.scores, task.input, task.target, ball, queries=QUERIES, seed=seed),
    }
    nearest: dict[str, Callable[[Ball], Tensor]] = {
        "deepfool": lambda ball: deepfool(task.scores, task.input, task.target, ball),
        "carlini": lambda ball: carlini(task.scores, task.input, task.target, ball),
    }
    accuracy: dict[str, Cells] = {}
    one: dict[str, Any] = {
        "sizes": sizes,
        "accuracy": accuracy,
        "loss": {},
        "median": {},
        "by": {},
        "far": {},
        "best": {},
    }
    wrong: dict[str, list[Tensor]] = {}
    for name in (n for n in sized if n in chosen):
        say(f"norm {norm}: {name}")
        inputs = [sized[name](task.ball(norm, size)) for size in sizes]
        answers = [said(task.scores, x, 64) for x in inputs]
        wrong[name] = [z.argmax(-1) != task.target for z in answers]
        one["loss"][name] = [number(odds(z, task.target)[right].mean()) for z in answers]
        accuracy[name] = [100 * (1 - float(miss.float().mean())) for miss in wrong[name]]
        one["best"][name] = inputs
    for name in (n for n in nearest if n in chosen and (n != "carlini" or norm == "2")):
        say(f"norm {norm}: {name}")
        x = nearest[name](task.ball(norm, max(sizes)))
        miss = said(task.scores, x, 64).argmax(-1) != task.target
        far = torch.where(miss, distance(x, task.input, norm) / task.unit, torch.inf)
        accuracy[name] = [100 * float((far > size).float().mean()) for size in sizes]
        middle = statistics.median(far[right].tolist())
        one["median"][name], one["far"][name], one["best"][name] = number(middle), far, [x] * len(sizes)
        wrong[name] = [far <= size for size in sizes]
    lead = accuracy.get("pgd") or accuracy.get("fgsm") or accuracy.get("deepfool") or accuracy.get("square") or [0.0]
    half = 50 * float(right.float().mean())
    main = next((k for k, value in enumerate(lead) if value is not None and value <= half), len(sizes) - 1)
    if "autoattack" in chosen:
        accuracy["autoattack"] = [None] * len(sizes)
        wrong["autoattack"], one["best"]["autoattack"] = [~right] * len(sizes), [task.input] * len(sizes)
        one["broken"] = {}
        for k in range(len(sizes)) if args.eps else [main]:
            say(f"norm {norm}: AutoAttack at {sizes[k]:.4g}")
            done = autoattack(task.scores, task.input, task.target, task.ball(norm, sizes[k]), seed=seed)
            miss = torch.tensor([bool(name) for name in done.broken_by])
            accuracy["autoattack"][k] = 100 * (1 - float(miss.float().mean()))
            wrong["autoattack"][k], one["best"]["autoattack"][k] = miss, done.adversarial
            if k == main:
                names = [name for name in dict.fromkeys(done.broken_by) if name]
                one["broken"] = {name: done.broken_by.count(name) for name in names}
    one["broken"] = {name: int((miss[main] & right).sum()) for name, miss in wrong.items()} | {
        name: number for name, number in one.get("broken", {}).items() if name != WRONG}  # fmt: skip
    any_ = torch.stack([~right, *(miss[main] for miss in wrong.values())]).any(0)
    stands = int((~any_).sum())
    one["low"], one["high"] = wilson(stands, count)
    one["by"] = {name: miss[main] & right for name, miss in wrong.items()}
    return {**one, "size": sizes[main], "main": main, "stands": 100 * stands / count}


def masking(task: Task, norms: Mapping[str, Any], right: Tensor, args: argparse.Namespace) -> list[str]:
    """Signs that gradients are hidden, so that the net only seems to stand (Athalye, Carlini & Wagner 2018, section
    3.1): each a sentence."""
    flags = []
    for norm, one in norms.items():
        a, loss = one["accuracy"], one["loss"].get("pgd", [])
        worse = [f"{size:.3g}" for size, x, y in zip(one["sizes"], a.get("fgsm", []), a.get("pgd", []), strict=False)
                 if x is not None and y is not None and x < y - 100 / len(right)]  # fmt: skip
        if worse:
            flags.append(f"norm {norm}: one step misleads more than forty (at {', '.join(worse)})")
        if one["broken"].get("Square", 0):
            count = one["broken"]["Square"]
            flags.append(f"norm {norm}: Square, which sees no gradient, misleads {count} that gradients did not")
        steps = [(x, y) for x, y in pairwise(loss) if x is not None and y is not None]
        if any(y < x - 0.05 * abs(x) for x, y in steps) and "pgd" in a and a["pgd"][-1]:
            flags.append(f"norm {norm}: PGD's loss does not rise with the size")
    if "inf" in norms and "pgd" in norms["inf"]["accuracy"] and math.isfinite(task.high):
        few = task.at(right.nonzero()[:EXTREME, 0])
        x = pgd(few.scores, few.input, few.target, few.ball("inf", 1.0), seed=args.seed)
        left = int((said(few.scores, x, 64).argmax(-1) == few.target).sum())
        if left:
            flags.append(f"norm inf: with any change allowed, {left} of {len(few.input)} are still not misled by PGD")
    return flags


def extra(name: str, task: Task, norm: str, one: Mapping[str, Any], labels: Sequence[str], seed: int) -> dict[str, Any]:
    """One change for all examples, or a sticker: what it does, in words and numbers, with its picture."""
    right = said(task.scores, task.input, 64).argmax(-1) == task.target
    few = task.at(right)
    if name == "universal":
        ball = task.ball(norm, one["size"])
        half = max(1, len(few.input) // 2)  # made on one half, judged on the other
        made, held = few.at(slice(half)), few.at(slice(half, None)) if len(few.input) > 1 else few
        change = universal(made.scores, made.input, made.target, ball, seed=seed)
        miss = said(held.scores, within(held.input + change, held.input, ball), 64).argmax(-1) != held.target
        share = 100 * float(miss.float().mean())
        text = (f"universal, norm {norm}: one change of {one['size']:.3g}, made on {half} examples, misleads "
                f"{share:.1f} % of {len(miss)} others")  # fmt: skip
        return {"norm": norm, "size": one["size"], "misled": share, "words": text,
                "pictures": {f"universal-{norm}.png": magnified(change[0])[0]} if pictured(task) else {}}  # fmt: skip
    aim = int(torch.bincount(few.target, minlength=len(labels)).argmin())
    sticker = patch(few.scores, few.input, aim, few.low, few.high, seed=seed)
    place = places(len(few.input), 0.4, torch.Generator().manual_seed(seed + 1))
    x = worn(few.input, sticker, 0.4, place)
    other = few.target != aim
    share = 100 * float((said(few.scores, x, 64).argmax(-1) == aim)[other].float().mean()) if bool(other.any()) else 0.0
    text = f"patch: a sticker of 0.4 of the side turns {share:.1f} % of {int(other.sum())} into {labels[aim]!r}"
    pictures = {
        "patch.png": picture(sticker[0], few),
        **{f"patch-{i + 1}.png": picture(x[i], few) for i in range(min(4, len(x)))},
    }
    return {"aim": labels[aim], "misled": share, "words": text, "pictures": pictures}


def certificates(subject: Subject, task: Task, norms: Mapping[str, Any], right: Tensor, args: argparse.Namespace,
                 say: Say) -> dict[str, Any]:  # fmt: skip
    """What intervals prove at each size, and what smoothing does for a few examples."""
    found: dict[str, Any] = {"intervals": {}, "words": []}
    for norm, one in norms.items():
        say(f"norm {norm}: interval bounds")
        try:
            shares = [100 * float(certified(task.scores, task.input, task.target, task.ball(norm, size)).float().mean())
                      for size in one["sizes"]]  # fmt: skip
        except ValueError as problem:
            found["intervals"], found["words"] = {}, [f"intervals: none, {problem}"]
            break
        found["intervals"][norm] = shares
        best = max((size for size, share in zip(one["sizes"], shares, strict=True) if share > 0), default=None)
        found["words"].append(
            f"norm {norm}: intervals prove " + (", ".join(f"{share:.1f} % at {size:.3g}" for size, share in
            zip(one["sizes"], shares, strict=True) if share > 0) if best else "nothing at these sizes")
        )  # fmt: skip
    few, sigma = task.at(slice(SMOOTHED)), 0.25
    draws = 10_000 if pace(task) * 10_000 * len(few.input) / 3 < SECONDS else 1000
    say(f"smoothing: {len(few.input)} examples, {draws:,} draws each")
    done = smoothed(few.scores, few.input, sigma * task.unit, draws=draws, seed=args.seed)
    good = done.answer == few.target
    radius = sorted((done.radius[good] / task.unit).tolist())
    found["smoothing"] = {
        "sigma": sigma, "draws": draws, "alpha": 0.001, "examples": len(good),
        "right": 100 * float(good.float().mean()),
        "abstained": 100 * float((done.answer == ABSTAIN).float().mean()), "radii": radius,
    }  # fmt: skip
    half = f", half of those with a radius of {statistics.median(radius):.3g} or more" if radius else ""
    found["words"].append(f"norm 2: smoothing with noise of {sigma} proves {found['smoothing']['right']:.0f} % of "
                          f"{len(good)} right{half}")  # fmt: skip
    return found


def show(subject: Subject, task: Task, norms: Mapping[str, Any], clean: Tensor) -> tuple[list[Any], dict[str, bytes]]:
    """The first misled examples of each norm, or all of the user's: before, difference and after."""
    shown, files = [], {}
    for norm, one in norms.items():
        methods = [m for m in one["best"] if bool(one["by"][m].any())] if subject.known else list(one["best"])
        methods = methods[-1:] if subject.known else methods  # of the user's own input, each attack
        for method in methods:
            x = one["best"][method][one["main"]]
            rows = one["by"][method].nonzero()[:MOST_SHOWN, 0].tolist() if subject.known else range(len(x))
            for i in list(rows)[: MOST_SHOWN if subject.known else None]:
                raw, new = task.back(task.input[i : i + 1]), task.back(x[i : i + 1])
                after = task.scores(x[i : i + 1])[0].softmax(-1)
                item: dict[str, Any] = {
                    "name": subject.names[i], "norm": norm, "method": method,
                    "size": one["size"],
                    "distance": float(distance(x[i : i + 1], task.input[i : i + 1], norm) / task.unit),
                    "before": said_of(clean[i].softmax(-1), subject.labels), "after": said_of(after, subject.labels),
                    "files": [], "magnified": 1.0, "changes": [],
                }  # fmt: skip
                if pictured(task):
                    stem = f"{norm}-{method}-{i + 1}"
                    change, item["magnified"] = magnified((new - raw)[0])
                    names = [f"{stem}-{part}.png" for part in ("before", "difference", "after")]
                    files |= dict(zip(names, (picture(raw[0], task), change, picture(new[0], task)), strict=True))
                    item["files"] = names
                    levels = (255 / task.unit * (new - task.low)).round() * task.unit / 255 + task.low
                    item["as_file"] = said_of(task.scores(levels)[0].softmax(-1), subject.labels)
                else:
                    item["changes"] = changes(raw[0].flatten(), new[0].flatten(), subject.trained.facts)
                shown.append(item)
    return shown, files


def pictured(task: Task) -> bool:
    """Whether an input can be drawn."""
    return task.input.dim() == 4 and task.input.shape[1] in (1, 3) and math.isfinite(task.high - task.low)


def changes(raw: Tensor, new: Tensor, facts: Mapping[str, Any], most: int = 6) -> list[list[Any]]:
    """The entries that changed most: name, before, after."""
    names = facts.get("names") or []
    order = (new - raw).abs().argsort(descending=True)[:most].tolist()
    return [
        [str(names[k]) if len(names) == len(raw) else f"entry {k + 1}", float(raw[k]), float(new[k])] for k in order
    ]


def said_of(chance: Tensor, labels: Sequence[str]) -> dict[str, Any]:
    """The answer and its chance."""
    return {"label": labels[int(chance.argmax())], "chance": float(chance.max())}


def picture(x: Tensor, task: Task) -> bytes:
    """The PNG of "C H W" in the task's legal range."""
    return Image.of(((x - task.low) * (255 / (task.high - task.low))).round()).encode()[1]


def magnified(change: Tensor) -> tuple[bytes, float]:
    """The PNG of a change "C H W", grey where there is none, and by how much it was multiplied."""
    most = float(change.abs().max())
    times = 127 / most if most else 1.0
    return Image.of((128 + times * change).round()).encode()[1], times


def number(value: Any) -> float | None:
    """A finite number for JSON, or None."""
    return float(value) if math.isfinite(float(value)) else None


def verdict(found: Mapping[str, Any]) -> str:
    """One sentence on how the run stands."""
    parts = []
    for norm, one in found["norms"].items():
        by = "AutoAttack" if one["accuracy"].get("autoattack") else "these attacks"
        parts.append(f"changes of {one['size']:.3g} (norm {norm}) leave {one['stands']:.1f} % right under {by} "
                     f"[{one['low']:.1f}, {one['high']:.1f}]")  # fmt: skip
    doubt = "; hidden gradients may flatter it" if found["flags"] else ""
    return f"Of {found['clean']:.1f} % right, {' and '.join(parts)}{doubt}."
