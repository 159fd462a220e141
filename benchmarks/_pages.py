"""What is alike in benchmarks of pages: the words they take, the trainings by name, and the table of their scores."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from _results import Results
from digits import summed, train
from measure import Value, say, table


def parser(doc: str | None, names: Sequence[str], seeds: int = 3) -> argparse.ArgumentParser:
    """--seeds --only --quick --fresh, for the parts of these names."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--only", nargs="*", default=list(names), choices=names, metavar="NAME", help=", ".join(names))
    made.add_argument("--quick", action="store_true", help="a smoke run of 3 seconds each; says nothing")
    made.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    return made


def measured(results: Results, parts: Mapping[str, list[str]], args: Any, most: Mapping[str, int] | None = None,
             ) -> Value:  # fmt: skip
    """The summary of each part by its name, of those that `args` asks for or that were measured before, written one by
    one: a run that is stopped loses none. A part's words are `milestones` words; `most` bounds the seeds of some."""
    summary: Value = {}
    for name, words in parts.items():
        seeds = 1 if args.quick else min(args.seeds, (most or {}).get(name, args.seeds))
        key = f"{name}/{seeds}"
        if name in args.only:
            say(f"{name}: {' '.join(words)}, {seeds} seeds")
            results.part(key, functools.partial(train, words, seeds, args.quick))
        if part := results.kept(key):
            summary[name] = summed(part)
            results.write(pages=summary)
    return summary


def scores(summary: Value) -> str:
    """A line for each score: mean and spread over the seeds, interval of the test sample, data, seconds."""
    rows = []
    for name, page in summary.items():
        for score, one in page["scores"].items():
            seeds, sample = one["seeds"], one["sample_interval"]
            spread = f" ± {seeds['sd']:.2f}" if seeds["n"] > 1 else ""
            rows.append([name, score, f"{seeds['mean']:.2f}{spread} {one['unit']}", str(seeds["n"]),
                         f"[{sample['low']:.2f}, {sample['high']:.2f}]", one["data"] or "",
                         f"{page['seconds']['mean']:.0f}" + " DIRTY" * page["dirty"]])  # fmt: skip
    return table(["", "score", "mean", "seeds", "sample 95 %", "data", "training, s"], rows)


def target(what: str, value: float, wanted: float, higher: bool = True, unit: str = "%") -> str:
    """One line: what was wanted, what came, and whether it is met."""
    met, edge = (value >= wanted, "least") if higher else (value <= wanted, "most")
    return f"{what}: {value:.2f} {unit}, at {edge} {wanted:g} wanted: {'met' if met else 'MISSED'}"


def end(results: Results, args: Any) -> int:
    """The last line, and the exit code."""
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0
