"""look RUN --landscape: the loss around a run's solution, on the way to it, and between it and another run's."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .words import answer, say

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ..parts.landscape import Plane, Terrain
    from ..trained import Trained

LEAST, MOST = 7, 401  # points on a side of the plane
ON_THE_WAY = 51  # points of a line or a curve: an odd number has its middle
PROBES = 20  # of the trace
BENT, BATCH = 400, 128  # updates of a curve between two runs, and examples in each
MARGIN = 0.15  # of a window around what it shall show
FILES = ("landscape.json", "report.html")


def options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("--landscape: the loss around a run")
    group.add_argument("--landscape", action="store_true", help="the loss around the solution and on the way to it")
    group.add_argument("--size", type=int, default=51, help="points on a side of the plane, an odd number [51]")
    group.add_argument("--span", type=float, default=1.0,
                       help="how far the plane reaches on each side, in lengths of the filters [1]")  # fmt: skip
    group.add_argument("--examples", type=int, default=2000, help="so many, of the training examples [2000]")
    group.add_argument("--eigenvalues", type=int, default=5, help="so many, of the Hessian; 0: no curvature [5]")
    group.add_argument("--to", default="", metavar="RUN", help="another run of the page: the ways between both")
    group.add_argument("--path", action="store_true", help="train again, and draw the way that training took")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ..catalog import load
    from ..core.folder import next_folder

    refuse(args)
    trained = load(args.run, args.runs, args.page)
    others = [load(word, args.runs, args.page) for word in args.beside]
    for one in (trained, *others):
        lossless(one)
    other = load(args.to, args.runs, args.page) if args.to else None
    if other:
        matched(trained, other)
    study, beside = Study(trained, args), [Study(one, args) for one in others]
    study.folder = next_folder(Path(args.runs), f"{trained.entry.name}-landscape")
    study.carry_out(other, beside)
    answer(args, {"landscape": str(study.folder), **study.found},
           "\n".join([*lines(study.found), f"report: {study.folder / FILES[1]}"]))  # fmt: skip
    return 0


def refuse(args: argparse.Namespace) -> None:
    """UserError: settings that no plane can be made with."""
    from ..core.errors import UserError

    if args.inputs:
        do = "Leave out the file, or --landscape"
        raise UserError("no INPUT with --landscape, which is about the weights", args.inputs[0], do, args.run)
    if not LEAST <= args.size <= MOST or args.size % 2 == 0:
        do = "The solution is the middle point, so take 51 or 25"
        raise UserError(f"--size as an odd number from {LEAST} to {MOST}", str(args.size), do, args.run)
    if not 0 < args.span <= 100:
        do = "1 reaches as far as the weights are long"
        raise UserError("--span above 0, at most 100", f"{args.span:g}", do, args.run)
    if args.examples < 1:
        raise UserError("--examples from 1", str(args.examples), "2000 give a steady surface", args.run)
    if not 0 <= args.eigenvalues <= 50:
        raise UserError("--eigenvalues from 0 to 50", str(args.eigenvalues), "5 tell most of what there is", args.run)


def lossless(trained: Trained) -> None:
    """UserError: the run's page has no loss."""
    from ..core.errors import UserError

    name = trained.entry.name
    if trained.system.loss is None:
        raise UserError("a run whose page has a `loss`", f"the page {name}, which has none", "Take another run", name)


def matched(trained: Trained, other: Trained) -> None:
    """UserError: between these two runs there is no way, since their weights or their data differ."""
    from ..core.errors import UserError
    from .retrace import sole

    name, do = trained.entry.name, "Take two runs of one page and settings, as --seeds 2 makes them"
    if other.entry.name != name:
        raise UserError(f"--to with another run of {name}", f"a run of {other.entry.name}", do, name)
    ours, theirs = ({n: tuple(p.shape) for n, p in sole(one).named_parameters()} for one in (trained, other))
    if ours != theirs:
        odd = next(n for n in [*ours, *theirs] if ours.get(n) != theirs.get(n))
        want, got = (" x ".join(map(str, found[odd])) if odd in found else "none" for found in (ours, theirs))
        raise UserError(f"--to with weights of the same shape: {odd} of {want}", f"{odd} of {got}", do, name)
    facts = [{n: value for n, value in one.facts.items() if n != "data"} for one in (trained, other)]
    if facts[0] != facts[1]:
        odd = next(n for n in [*facts[0], *facts[1]] if facts[0].get(n) != facts[1].get(n))
        raise UserError("--to with a run on the same data", f"other {odd} in its facts.json", do, name)


def drawn(source: Any, most: int, seed: int) -> list[Any]:
    """At most `most` examples of a source as they are, chosen at random where that is free, as batches."""
    import torch

    from ..core.source import Held, keyed

    count = min(most, len(source))
    if not (isinstance(source, Held) and type(source).sweep is Held.sweep):  # each example may be costly to make
        found: list[Any] = []
        for batch in source.sweep(min(count, 500)):
            found.append(type(batch)(*(field[: count - sum(len(one[0]) for one in found)] for field in batch)))
            if sum(len(one[0]) for one in found) >= count:
                break
        return found
    rows = torch.randperm(len(source), generator=keyed(seed, "landscape"))[:count].sort().values
    return [type(source.examples)(*(field[rows] for field in source.examples))]


def finite(value: float) -> float | None:
    """A number for JSON, of six digits; None for what is none."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


class Study:
    """One landscape: what is found so far, written to its folder after each part, the coarse view first.

    UserError: its page learns from no examples, or what it learned from is gone.
    """

    folder: Path

    def __init__(self, trained: Trained, args: argparse.Namespace) -> None:
        import torch

        from ..core.errors import UserError
        from ..core.source import Place
        from ..parts.landscape import Terrain
        from ..report.evidence import learned_from
        from ..trained import order_of
        from .retrace import sole

        self.trained, self.args, self.began = trained, args, time.perf_counter()
        system, (seed, choice) = trained.system, order_of(trained.config, trained.folder)
        self.data = system.prepare(trained.knobs, Place(torch.device("cpu"), seed, choice=choice))
        if not hasattr(self.data, "train"):
            got = f"the page {trained.entry.name}, which plays"
            raise UserError("a run that learned from examples", got, "Take another run", trained.entry.name)
        net, loss = sole(trained), system.loss
        assert loss is not None
        shown = drawn(self.data.train, args.examples, args.seed)
        self.terrain = Terrain(net, loss, shown)
        self.valid = Terrain(net, loss, drawn(self.data.valid, args.examples, args.seed), statistics=shown)
        self.start: Any = None
        self.found: dict[str, Any] = {
            "system": trained.entry.name, "run": str(trained.folder), "data": self.data.train.name,
            "examples": self.terrain.count, "valid_examples": self.valid.count, "weights": len(self.terrain.home),
            "learned_from_valid": learned_from(self.data.valid), "seed": args.seed,
            "first_member": net is not trained.model, "batch_normalised": bool(self.terrain.norms),
            "here": self.terrain.at(self.terrain.home), "valid_here": self.valid.at(self.valid.home),
        }  # fmt: skip

    def begin(self) -> None:
        """Find the weights before the first update, in a second. Where those that it was trained from are gone,
        all else can be seen."""
        from ..core.errors import UserError
        from .retrace import beginning

        try:
            self.start = beginning(self.trained, self.data)
        except UserError as problem:
            self.found["no_line"] = str(problem)

    def carry_out(self, other: Trained | None, beside: Sequence[Study]) -> None:
        """All parts in their order: first what shows something at once."""
        from ..parts.landscape import Plane, directions

        args, home = self.args, self.terrain.home
        around = Plane(home, *directions(self.terrain.net, args.seed))
        window = (-args.span, args.span, -args.span, args.span)
        fill = self.fill("plane", around, window, args.size)
        next(fill)
        self.write()
        for one in (self, *beside):
            one.begin()
        if self.start:
            self.found["line"] = self.line()
            self.write()
        if beside:
            self.found["beside"] = [one.line() for one in (self, *beside) if one.start]
        if args.eigenvalues:
            self.found["curvature"] = self.curvature()
            self.write()
        if other:
            self.between(other)
            self.write()
        if args.path:
            self.path()
            self.write()
        for _ in fill:
            self.write()
        self.write(last=True)

    def write(self, last: bool = False) -> None:
        from ..core.folder import write_json, write_whole
        from ..report.terrain import html_of

        self.found |= {"finished": last, "seconds": round(time.perf_counter() - self.began, 1)}
        write_json(self.folder / FILES[0], self.found)
        write_whole(self.folder / FILES[1], html_of(self.found).encode())
        if not last:
            say(f"{self.found['seconds']:6.1f} s  {self.folder / FILES[1]}")

    def fill(self, name: str, plane: Plane, window: Sequence[float], size: int, anew: bool = False,
             **more: Any) -> Iterator[None]:  # fmt: skip
        """Fill `found[name]` with the loss on a plane, pass after pass; each leaves a whole, if coarser, surface."""
        from ..core.run import Progress
        from ..parts.landscape import passes
        from .progress import Line

        values: list[list[float | None]] = [[None] * size for _ in range(size)]
        x, y = ([low + (high - low) * k / (size - 1) for k in range(size)] for low, high in
                (window[:2], window[2:]))  # fmt: skip
        done, spent = 0, 0.0
        for stride, places in passes(size):
            line, began = Line(), time.perf_counter()
            try:
                for row, column in places:
                    loss = self.terrain.at(plane.point(x[column], y[row]), anew)["loss"]
                    values[row][column], done = finite(loss), done + 1
                    here = spent + time.perf_counter() - began
                    rate = done * self.terrain.count / max(here, 1e-9)
                    line(Progress(name, done, size * size, here, rate, 0.0, {"loss": loss}))
            finally:
                line.close()
            spent += time.perf_counter() - began
            kept = range(size // 2 % stride, size, stride)
            ends = [axis[k] for axis in (x, y) for k in (kept[0], kept[-1])]
            self.found[name] = {"values": [[values[row][column] for column in kept] for row in kept], "window": ends,
                                "size": len(kept), "of": size, "seconds": round(spent, 2), "anew": anew and
                                bool(self.terrain.norms), **more}  # fmt: skip
            yield

    def line(self) -> dict[str, Any]:
        """The straight line from the starting weights to those of the end (Goodfellow et al. 2015)."""
        from ..parts.landscape import climb, vector

        first, last = vector(self.start), self.terrain.home
        at, terms = along([self.terrain, self.valid], lambda t: first + t * (last - first))
        rise = climb([one["loss"] for one in terms[0]])
        drop = terms[0][0]["loss"] - terms[0][-1]["loss"]
        return {"run": str(self.trained.folder), "name": f"{self.trained.entry.name} ({self.trained.folder.name})",
                "at": at, **columns(terms), "climb": finite(rise), "falls": drop > 0 and rise <= 1e-4 * drop,
                "distance": finite(float((last - first).double().norm()))}  # fmt: skip

    def curvature(self) -> dict[str, Any]:
        """The Hessian of the training loss at the solution: its largest eigenvalues, its trace, its spread."""
        from ..core.interval import spread
        from ..parts.curvature import hessian, largest, sharpness, traces

        began, terrain = time.perf_counter(), self.terrain
        terrain.stand(terrain.home)  # with the running means that it was trained with: at home they belong to it
        product, exact = hessian(terrain)
        say("curvature: eigenvalues of the Hessian")
        top = largest(product, terrain.home, self.args.eigenvalues, self.args.seed)
        seconds = time.perf_counter() - began
        total = spread(traces(product, terrain.home, PROBES, self.args.seed))
        return {
            "eigenvalues": [finite(value) for value in top.values], "bounds": [finite(one) for one in top.bounds],
            "lowest": finite(top.lowest), "nodes": [finite(one) for one in top.nodes],
            "shares": [finite(one) for one in top.weights], "exact": exact, "products": top.products,
            "eigenvalue_seconds": round(seconds, 2), "trace": finite(total["mean"]), "trace_low": finite(total["low"]),
            "trace_high": finite(total["high"]), "probes": PROBES,
            "slope": finite(float(terrain.slope().double().norm())), "sharpness": finite(sharpness(terrain)),
            "seconds": round(time.perf_counter() - began, 2),
        }  # fmt: skip

    def between(self, other: Trained) -> None:
        """The straight line to another run, a curve that was bent to lie low, and the plane of both."""
        from ..parts.landscape import barrier, bend, bezier, through, vector
        from .retrace import sole

        terrain, first, last = self.terrain, self.terrain.home, vector(sole(other))
        say(f"between: bending a curve to {other.folder}")
        size = min(BATCH, len(self.data.train))
        control = bend(terrain, first, last, lambda step: self.data.train.batch(step, size), BENT, self.args.seed)
        ways: dict[str, Callable[[float], Tensor]] = {"straight": lambda t: first + t * (last - first),
                                                      "curve": lambda t: bezier(t, first, control, last)}  # fmt: skip
        found: dict[str, Any] = {"run": str(other.folder), "updates": BENT, "batch": size, "ways": {},
                                 "distance": finite(float((last - first).double().norm()))}  # fmt: skip
        for name, way in ways.items():
            at, terms = along([terrain, self.valid], way)
            middle = {split: one[len(at) // 2] for split, one in zip(("train", "valid"), terms, strict=True)}
            found["ways"][name] = {
                "at": at, **columns(terms), "middle": middle,
                "barrier": {split: {term: finite(barrier(at, [point[term] for point in one])) for term in one[0]}
                            for split, one in zip(("train", "valid"), terms, strict=True)},
            }  # fmt: skip
        plane = through(first, last, control)
        seen = {name: [plane.seen(way(t)) for t in at] for name, way in ways.items()}
        marks = {"this run": [plane.seen(first)]}
        self.found["between"] = found
        self.write()
        spots = [spot for way in seen.values() for spot in way]
        for _ in self.fill("between_plane", plane, around(spots), self.args.size // 4 * 2 + 1, anew=True, paths=seen,
                           marks=marks):  # fmt: skip
            pass

    def path(self) -> None:
        """The way that training took, in the plane that shows most of it (Li et al. 2018, section 7)."""
        from ..parts.landscape import principal
        from .progress import Line
        from .retrace import SPOTS, retraced, thinned

        line = Line()
        try:
            way = thinned(retraced(self.trained, line), SPOTS + 1)
        finally:
            line.close()
        plane, shares = principal(way.points)
        seen = [plane.seen(point) for point in way.points]
        marks = {"start": seen[:1]}
        more = {"paths": {"training": seen}, "marks": marks, "steps": way.steps, "shares": shares, "gap": way.gap}
        for _ in self.fill("path", plane, around(seen), self.args.size // 4 * 2 + 1, anew=True, **more):
            pass


def along(terrains: Sequence[Terrain], way: Callable[[float], Tensor]
          ) -> tuple[list[float], list[list[dict[str, float]]]]:  # fmt: skip
    """Places from 0 to 1, and the terms of each terrain there, with the running means that belong to each place."""
    at = [k / (ON_THE_WAY - 1) for k in range(ON_THE_WAY)]
    return at, [[terrain.at(way(t), anew=True) for t in at] for terrain in terrains]


def columns(terms: Sequence[Sequence[dict[str, float]]]) -> dict[str, list[float | None]]:
    """Lines by name: the terms of training, and with `valid_` before their names those of validation."""
    return {f"{prefix}{name}": [finite(point[name]) for point in line] for prefix, line in
            zip(("", "valid_"), terms, strict=True) for name in line[0]}  # fmt: skip


def around(spots: Sequence[tuple[float, float]]) -> list[float]:
    """A window with all spots in it and a margin around; as high as a third of its width at least."""
    ends = []
    for axis in zip(*spots, strict=True):
        ends.append((min(axis), max(axis)))
    widest = max(high - low for low, high in ends) or 1.0
    found = []
    for low, high in ends:
        half = max(high - low, widest / 3) * (0.5 + MARGIN)
        found += [(low + high) / 2 - half, (low + high) / 2 + half]
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """What was found, for a terminal."""
    from ..report.terrain import sentences

    return [f"{found['system']}: the loss around {found['run']}", *sentences(found)]
