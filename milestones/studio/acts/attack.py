"""attack: how an example changes the answer when it is attacked; the nearest change; the accuracy over sizes."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.errors import UserError
from ...core.score import wilson
from ...parts.attack import fgsm, patch, pgd, places, said, universal, within, worn
from ...parts.autoattack import autoattack, square
from ...parts.minimal import carlini, deepfool, distance, fab
from ...verbs.misled import SIZES, Task, changes, check, pace, pictured, task_of
from ...verbs.subject import about, taken
from ..desk import Answer, Desk
from ..subjects import class_of, data_of, described, shown, subject_of, whole

SIZED = ("fgsm", "pgd", "square", "autoattack", "universal")
FREE = ("deepfool", "carlini", "patch")  # of no given size: the nearest change, or a sticker
UNAIMED = ("autoattack", "universal")
CURVE = ("fgsm", "pgd", "square")
MADE_ON = 100  # test examples that one change for all, or a sticker, is made on
QUERIES = 1000  # of Square
SHARE = 0.4  # of a picture's side: a sticker
MOMENT = 0.25  # seconds between two answers of a stream, about
MOST_EXAMPLES = 1000


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer | Iterator[Answer]:
    """ "part": "one" attack at a "size"; "nearest", a stream; "curve", a stream over the test data.

    UserError: a size, norm or method that does not fit the run's inputs.
    """
    subject = subject_of(desk, ask, payload)
    task, who = task_of(subject), subject.trained.entry.name
    norm, method, size = ask.get("norm", "inf"), ask.get("method", "pgd"), ask.get("size", 0.0)
    if norm not in ("inf", "2"):
        raise UserError("a norm, inf or 2", repr(norm)[:40], "Choose one of the list", who)
    if method not in SIZED + FREE:
        raise UserError(f"a method of {', '.join(SIZED + FREE)}", repr(method)[:40], "Choose one of the list", who)
    if type(size) not in (int, float) or not math.isfinite(size) or size < 0:
        raise UserError("a size from 0", repr(size)[:40], "Move the slider", who)
    seed = whole(ask, "seed", 0, 0, 2**31)
    check(argparse.Namespace(norm=[norm], eps=[size] if size else [], method=[method]), task, who)
    if method == "carlini" and norm == "inf":
        raise UserError("norm 2 for Carlini and Wagner's attack", "norm inf", "Change the norm", who)
    if ask.get("part") == "curve":
        if method not in CURVE:
            raise UserError(f"a method of {', '.join(CURVE)} for a curve", method, "Choose one of these", who)
        return curve(desk, subject, ask, norm, method, seed)
    if ask.get("part") == "nearest":
        return nearest(desk, subject, task, norm, class_of(subject, ask.get("target")))
    began = time.perf_counter()
    aim = None if method in UNAIMED else class_of(subject, ask.get("target"))
    steps = whole(ask, "steps", 40, 1, 400)
    x = attacked(desk, subject, task, method, norm, float(size), steps, aim, seed)
    content, arrays = told(desk, subject, task, x, norm, aim)
    return Answer({**content, "ms": round(1000 * (time.perf_counter() - began), 1)}, arrays)


def attacked(desk: Desk, subject: Any, task: Task, method: str, norm: str, size: float, steps: int, aim: int | None,
             seed: int) -> Tensor:  # fmt: skip
    """The example after an attack; itself at size 0."""
    goal = task if aim is None else aimed(task, aim)
    ball = task.ball(norm, size or 1.0)
    if method == "patch":
        return stickered(desk, subject, task, aim, seed)
    if method in FREE:
        return {"deepfool": deepfool, "carlini": carlini}[method](goal.scores, goal.input, goal.target, ball)
    if not size:
        return task.input
    if method == "autoattack":
        return autoattack(goal.scores, goal.input, goal.target, ball, seed=seed).adversarial
    if method == "universal":
        change = kept(desk, (subject.trained, "universal", norm, size, seed),
                      lambda: universal(*others(desk, subject), ball, seed=seed))  # fmt: skip
        return within(task.input + change, task.input, ball)
    return sized(goal, method, norm, size, steps, seed)


def aimed(task: Task, aim: int) -> Task:
    """The task to make the net say a class: of two scores, the best of the others' and its own; misled is who says the
    second."""

    def scores(x: Tensor) -> Tensor:
        each = task.scores(x)
        rest = each.scatter(1, torch.full_like(each[:, :1], aim, dtype=torch.long), -torch.inf)
        return torch.stack([rest.max(1).values, each[:, aim]], 1)

    return task._replace(scores=scores, target=torch.zeros_like(task.target))


def stickered(desk: Desk, subject: Any, task: Task, aim: int | None, seed: int) -> Tensor:
    """The picture with a sticker that says class `aim`, made on test pictures; by default the class after its own."""
    aim = (int(task.target[0]) + 1) % len(subject.labels) if aim is None else aim

    def make() -> Tensor:
        scores, input, _ = others(desk, subject)
        return patch(scores, input, aim, task.low, task.high, share=SHARE, seed=seed)

    sticker = kept(desk, (subject.trained, "patch", aim, seed), make)
    return worn(task.input, sticker, SHARE, places(len(task.input), SHARE, torch.Generator().manual_seed(seed + 1)))


def kept(desk: Desk, mark: tuple[Any, ...], make: Callable[[], Tensor]) -> Tensor:
    """What is made of many examples, once; the last one alone is kept."""
    mark = id(mark[0]), *mark[1:]
    if desk.memory.get("attack", (None,))[0] != mark:
        desk.memory["attack"] = mark, make()
    return desk.memory["attack"][1]  # type: ignore[no-any-return]


def several(desk: Desk, subject: Any, count: int) -> Task:
    """The first test examples as a task."""
    trained = subject.trained
    source = data_of(desk, trained).test
    batch, names = taken(trained, source, "test", count)
    return task_of(about(trained, batch, names, source.name, known=True))


def others(desk: Desk, subject: Any) -> tuple[Any, Tensor, Tensor]:
    """Scores, test examples that the net gets right, and their classes."""
    task = several(desk, subject, MADE_ON)
    right = said(task.scores, task.input, 64).argmax(-1) == task.target
    task = task.at(right) if bool(right.any()) else task
    return task.scores, task.input, task.target


def kind_of(task: Task) -> str:
    """Which sizes are usual for the input."""
    if not math.isfinite(task.high - task.low):
        return "free"
    return "colour" if task.input.dim() == 4 and task.input.shape[1] == 3 else "grey"


def told(desk: Desk, subject: Any, task: Task, x: Tensor, norm: str, aim: int | None
         ) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """What the page shows of an attacked example: JSON and arrays."""
    before, after = (said(task.scores, part, 64)[0].softmax(-1) for part in (task.input, x))
    raw, new = task.back(task.input)[0], task.back(x)[0]
    answer, was = int(after.argmax()), int(before.argmax())
    most = float((new - raw).abs().max())
    content = {
        **described(desk, subject), "before": was, "after": answer, "unit": task.words,
        "wrong_before": was != int(task.target[0]), "misled": answer != was, "hit": aim is not None and answer == aim,
        "distance": float(distance(x, task.input, norm)[0] / task.unit), "sizes": list(SIZES[norm, kind_of(task)]),
        "picture": pictured(task), "times": 127 / most if most else 1.0,
    }  # fmt: skip
    arrays: dict[str, Any] = {"chances": torch.stack([before, after]).float().numpy(),
                              "original": shown(raw, task.low, task.high), "attacked": shown(new, task.low, task.high),
                              }  # fmt: skip
    if pictured(task):
        arrays["change"] = shown(128 + content["times"] * (new - raw), 0.0, 255.0)
        levels = (255 / task.unit * (new - task.low)).round() * task.unit / 255 + task.low
        content["as_file"] = int(task.scores(levels[None])[0].argmax())
    elif x.dim() == 2:
        content["columns"] = [name for name, _, _ in changes(raw, new, named(subject, raw), len(raw))]
        order = (new - raw).abs().argsort(descending=True)
        arrays["original"], arrays["attacked"] = (part[order].float().numpy() for part in (raw, new))
    return content, arrays


def named(subject: Any, row: Tensor) -> dict[str, Any]:
    """The names of a row's columns, as `changes` takes them."""
    from ...verbs.explain import columns

    return {"names": columns(subject)} if row.dim() == 1 else {}


def nearest(desk: Desk, subject: Any, task: Task, norm: str, aim: int | None) -> Iterator[Answer]:
    """The smallest change that misleads: of each attack that looks for it, while none finds a smaller one."""
    goal = task if aim is None else aimed(task, aim)
    best, least = None, math.inf
    for name, attack in (("DeepFool", deepfool), ("FAB", fab), ("Carlini and Wagner", carlini)):
        if attack is carlini and norm == "inf":
            continue
        x = attack(goal.scores, goal.input, goal.target, task.ball(norm, 1.0))
        far = float(distance(x, task.input, norm)[0] / task.unit)
        misled = int(said(goal.scores, x, 64)[0].argmax()) != int(goal.target[0])
        if misled and far < least:
            best, least = (x, name), far
        if best is None:
            yield Answer({"found": None, "tried": name})
            continue
        content, arrays = told(desk, subject, task, best[0], norm, aim)
        yield Answer({**content, "found": least, "by": best[1], "tried": name}, arrays)


def curve(desk: Desk, subject: Any, ask: Mapping[str, Any], norm: str, method: str, seed: int) -> Iterator[Answer]:
    """The accuracy over the sizes on test examples, a few more with each answer; in percent, with Wilson's interval."""
    task = several(desk, subject, whole(ask, "examples", 200, 1, MOST_EXAMPLES))
    steps = whole(ask, "steps", 40, 1, 400)
    sizes, count = list(SIZES[norm, kind_of(task)]), len(task.input)
    calls = {"fgsm": 1, "pgd": steps, "square": QUERIES / 3}[method]
    each = max(1, int(MOMENT / max(1e-6, pace(task) * calls)))
    right, done = [0] * (len(sizes) + 1), 0
    while done < count:
        part = task.at(slice(done, done + each))
        found = []
        for k, size in enumerate([0.0, *sizes]):
            x = sized(part, method, norm, size, steps, seed) if size else part.input
            found.append(int((said(part.scores, x, 64).argmax(-1) == part.target).sum()))
            if k < len(sizes):
                yield Answer({"share": (done + len(part.input) * k / len(sizes)) / count})  # so that others are heard
        right, done = [a + b for a, b in zip(right, found, strict=True)], done + len(part.input)
        bounds = [wilson(one, done) for one in right]
        yield Answer({"sizes": [0.0, *sizes], "accuracy": [100 * one / done for one in right], "done": done,
                      "of": count, "low": [low for low, _ in bounds], "high": [high for _, high in bounds],
                      "share": done / count, "unit": task.words, "method": method, "norm": norm})  # fmt: skip


def sized(task: Task, method: str, norm: str, size: float, steps: int, seed: int) -> Tensor:
    """Examples after an attack of a size."""
    ball = task.ball(norm, size)
    if method == "fgsm":
        return fgsm(task.scores, task.input, task.target, ball)
    if method == "square":
        return square(task.scores, task.input, task.target, ball, queries=QUERIES, seed=seed)
    return pgd(task.scores, task.input, task.target, ball, steps=steps, seed=seed)
