"""What tuning is worth: the winner of `milestones tune` beside the page's defaults, as long a training.

    ./go bench tune [--minutes 15] [--only PAGE ...] [--seed 0] [--fresh] [--quick]

Each page is one study. Its winner and its defaults are trained anew with another seed, one after the other; whether the
winner is better is read from the test scores, "same" where the difference lies within both samples' 95 % intervals.
Two pages are searched for an architecture, too: printed are the rank correlations of what is said of untrained nets
with what training makes of them, and a random search for as long.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, run, say, table

MORE = {"mlp": ["--pipelines", "false"], "lstm": ["--beside", "false"], "words": ["--beside", "false"]}
PAGES = ("mlp", "lenet", "lstm", "resnet", "gpt", "sounds", "parity", "charrnn", "words")
NETS = ("mlp", "resnet")


def studied(words: Sequence[str]) -> Value:
    """One study: its winner, its defaults, the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        done = run(
            [sys.executable, "-m", "milestones", "tune", *words, "--json"], {"PYTHONPATH": str(ROOT)}, Path(folder)
        )
        if done["code"]:
            sys.exit(f"failed with {done['code']}: {words}\n{done['err'][-2000:]}")
        found = json.loads(done["out"])
        kept = ("winner", "defaults", "verdict", "importance", "agreement", "judge", "seconds", "lost")
        states = [row["state"] for row in found["trials"]]
        control = [row["value"] for row in found.get("control", []) if row["value"] is not None]
        best = min(row["value"] for row in found["trials"] if row["value"] is not None)
        return {"words": list(words), **{name: found[name] for name in kept if name in found}, "best": best,
                "control": min(control, default=None), "trials": {kind: states.count(kind) for kind in set(states)},
                "foreign": done["foreign"]}  # fmt: skip


def verdict(part: Value) -> str:
    """better, same or worse: what is recommended, against the defaults of as long a training, on the test."""
    return part["verdict"]["test"] if part["verdict"]["better"] == "winner" else "same"


def row_of(page: str, part: Value) -> list[str]:
    ours = part["defaults"]
    won = part.get("winner", ours)
    name = next(iter(ours["scores"]))
    cells = [f"{one['scores'][name]['value']:.4g} {one['scores'][name]['unit']}" for one in (won, ours)]
    settings = ", ".join(f"{key} {value}" for key, value in won["settings"].items()) or "the defaults"
    return [page, name, *cells, f"{won['seconds']:.0f} / {ours['seconds']:.0f}", verdict(part),
            part["verdict"]["test"], str(sum(part["trials"].values())), settings]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="of each study [15]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE", help=", ".join(PAGES))
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--quick", action="store_true", help="a smoke run of three trials each; says nothing")
    args: Any = parser.parse_args()
    verbs = [ROOT / "milestones" / "verbs" / f"{name}.py" for name in
             ("tune", "search", "trials", "space", "journal", "architecture")]  # fmt: skip
    results = Results("tune", [*project(*PAGES), *verbs, Path(__file__)], sys.executable, args.fresh, args.quick,
                      minutes=args.minutes)  # fmt: skip
    summary: Value = {}
    studies = [(page, []) for page in args.only] + [(page, ["--architecture"]) for page in args.only if page in NETS]
    for page, kind in studies:
        name = page + " architecture" * bool(kind)
        words = [page, *MORE.get(page, []), *kind, "--seed", str(args.seed)]
        words += ["--trials", "3", "--steps", "20"] if args.quick else ["--minutes", f"{args.minutes:g}"]
        say(f"{name}: {' '.join(words)}")
        summary[name] = results.part(" ".join(words), functools.partial(studied, words))
        results.write(studies=summary)
    say(table(["page", "test", "winner", "defaults", "training, s", "recommended", "winner's test", "trials", "winner"],
              [row_of(name, part) for name, part in summary.items()]))  # fmt: skip
    for name, part in summary.items():
        for one in part.get("agreement", []):
            rho = "all alike" if one["rho"] is None else f"{one['rho']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
            say(f"{name}: {one['proxy']}: rank correlation with training {rho}, {one['over']} random nets")
        if part["control"] is not None:
            say(f"{name}: lowest validation figure {part['best']:.4g}, random search for as long {part['control']:.4g}")
    plain = [part for name, part in summary.items() if "architecture" not in name]
    counts = {word: sum(verdict(part) == word for part in plain) for word in ("better", "same", "worse")}
    results.write(studies=summary, counts=counts)
    say(f"recommended settings against the defaults, on {len(plain)} pages: " +
        ", ".join(f"{count} {word}" for word, count in counts.items()))  # fmt: skip
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
