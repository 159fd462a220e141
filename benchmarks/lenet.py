"""Seconds until LeNet-5 reads Fashion-MNIST with 10 % validation error: ours against four peers, two columns.

    ./go bench lenet [--seeds 5] [--best 1] [--only PEER ...] [--column documented|tuned] [--quick] [--fresh]

Time runs from the decoded pictures in memory, libraries imported, to the end of the first evaluation (the last 5,000
training images) at or below the target; ours includes the measuring of the plan. The test set is scored once, at the
end. All peers run at the first seed; the fastest of each column goes on (--best). Each training has one of
ours right before or after it, in turns, and is compared with that one. The data: MILESTONES_DATA names a folder with
fashion-mnist in it, or `milestones data fashion --download` fetches it.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import HERE, ROOT, Value, ask, peers_python, ratios, say, spread, table

TARGET, CAP = 10.0, 160.0  # percent of the validation images; seconds
PEERS = ("keras-tensorflow", "keras-torch", "lightning", "skorch", "pytorch")
COLUMNS = ("documented", "tuned")
FALLBACK = {"steps": 5155, "batch": 128, "lr": 5e-3}  # where the page has no preset for Fashion-MNIST
EXAMPLES = 55_000


def data_folder() -> str:
    """The folder of Fashion-MNIST's four files."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    roots = [
        os.environ.get("MILESTONES_DATA", ""),
        str((Path(cache) if cache else Path.home() / ".cache") / "milestones"),
        "/usr/share/datasets",
    ]
    for root in filter(None, roots):
        for name in ("fashion-mnist", "fashion"):
            if list((Path(root) / name).glob("train-images-idx3-ubyte*")):
                return str((Path(root) / name).resolve())
    sys.exit("expected Fashion-MNIST at hand, found none. Fetch it: ./go data fashion --download")


def pair(peer: str, column: str, seed: int, env: dict[str, str], common: Value, settings: Value, quick: bool) -> Value:
    """One training of ours and one of the peer, one after the other; the order changes with the seed."""
    epochs = max(1, round(settings["steps"] * settings["batch"] / EXAMPLES))
    found: Value = {}
    for who in ("ours", peer) if seed % 2 == 0 else (peer, "ours"):
        mine = epochs if column == "tuned" or who == "ours" else int(quick)
        question = {
            **common,
            "who": who,
            "column": column,
            "seed": seed,
            "epochs": mine,
            "settings": settings,
            "most": 2000 if quick else None,
        }
        name = "ours" if who == "ours" else "peer"
        found[name] = ask([peers_python(), str(HERE / "_peers.py")], question, env, tries=1 if quick else measure.TRIES)
        reached = found[name]["reached"]
        error = found[name]["curve"][-1][1]
        end = found[name]["curve"][-1][0]
        text = f"{reached:6.2f} s" if reached is not None else f"not reached, {error:.2f} % after {end:.0f} s"
        test, foreign = found[name]["test_error"], found[name]["foreign"]
        say(f"  seed {seed} {who:17}{text}; test error {test:.2f} %; others {foreign:.0f} %")
    return found


def seconds_of(run: Value) -> float:
    """Seconds to the target; a training that never reached it counts as the cap, or as its own end if that is later."""
    return run["reached"] if run["reached"] is not None else max(CAP, run["curve"][-1][0])


def summed(pairs: Sequence[Value]) -> Value:
    ours, theirs = [p["ours"] for p in pairs], [p["peer"] for p in pairs]
    return {
        "pairs": len(pairs),
        "ours": spread([seconds_of(r) for r in ours]),
        "peer": spread([seconds_of(r) for r in theirs]),
        "cold_ours": spread([r["cold"] or CAP for r in ours]),
        "cold_peer": spread([r["cold"] or CAP for r in theirs]),
        "not_reached": {
            "ours": sum(r["reached"] is None for r in ours),
            "peer": sum(r["reached"] is None for r in theirs),
        },
        "dirty": sum(r["dirty"] for r in ours + theirs),
        "times": ratios([seconds_of(r) for r in theirs], [seconds_of(r) for r in ours]),
        "ours_to_peer": ratios([seconds_of(r) for r in ours], [seconds_of(r) for r in theirs]),
        "test_error": {
            "ours": spread([r["test_error"] for r in ours]),
            "peer": spread([r["test_error"] for r in theirs]),
        },
    }


def finalists(results: Results, cpu: str, column: str, only: Sequence[str], best: int) -> list[str]:
    """The fastest peers at the first seed, or all that were asked for where it is not measured in full."""
    first = {peer: results.kept(f"{cpu}/{column}/{peer}/0") for peer in only}
    if not all(first.values()):
        return list(only)
    return sorted(only, key=lambda peer: (seconds_of(first[peer]["peer"]), first[peer]["peer"]["curve"][-1][1]))[:best]


def verdict(summary: Value) -> list[str]:
    """The two musts, as they came out."""
    lines = []
    for cpu in {key.split("/")[0] for key in summary}:
        for column, least in (("documented", 2.5), ("tuned", 1.0)):
            found = {k.split("/")[2]: v for k, v in summary.items() if k.startswith(f"{cpu}/{column}/")}
            if found:
                most = max(one["pairs"] for one in found.values())
                full = [name for name in found if found[name]["pairs"] == most]
                best = min(full, key=lambda name: found[name]["peer"]["mean"])
                times, missing = found[best]["times"], found[best]["not_reached"]
                # A ratio's mean would favour whoever is above; where ours did not reach the target, nothing is shown.
                ratio = found[best]["peer"]["mean"] / found[best]["ours"]["mean"]
                word = "reached" if ratio >= least and not missing["ours"] else "MISSED"
                lines.append(
                    f"{cpu}: best {column} peer is {best}, mean seconds / ours {ratio:.2f} (pairs {times['min']:.2f} "
                    f"to {times['max']:.2f}; of {most} runs ours did not reach the target in {missing['ours']}, the "
                    f"peer in {missing['peer']}); must: {least}: {word}"
                )
    return lines


def row(key: str, found: Value) -> list[str]:
    def told(value: Value, missing: int) -> str:
        return f"{'≥' if missing else ''}{value['mean']:.2f} ± {value['sd']:.2f}" + (
            f" ({missing} not)" if missing else ""
        )

    cpu, column, peer = key.split("/")
    missing, times, ratio = found["not_reached"], found["times"], found["ours_to_peer"]
    return [
        f"{cpu} {column} {peer}",
        str(found["pairs"]),
        told(found["ours"], missing["ours"]),
        told(found["peer"], missing["peer"]),
        f"{times['mean']:.2f} ({times['min']:.2f}-{times['max']:.2f})",
        f"{ratio['mean']:.3f} ± {ratio['sd']:.3f}",
        f"{found['test_error']['ours']['mean']:.2f}",
        f"{found['test_error']['peer']['mean']:.2f}",
        str(found["dirty"]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--best", type=int, default=1, help="so many of a column go on after the first seed")
    parser.add_argument("--only", nargs="*", default=list(PEERS), choices=PEERS, metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--column", choices=COLUMNS, help="one of the two columns")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: one epoch each, one seed; says nothing about speed"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    seeds = 1 if args.quick else args.seeds
    python, env = peers_python(), {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    common: Value = {"folder": data_folder(), "target": TARGET, "cap": CAP}
    files = [
        *project("lenet"),
        ROOT / "milestones" / "verbs" / "execute.py",
        Path(__file__),
        HERE / "_peers.py",
        HERE / "peers.txt",
    ]
    results = Results("lenet", files, python, args.fresh, args.quick, target=TARGET, cap=CAP, seeds=list(range(seeds)))
    summary: Value = {}
    for cpu, more in measure.instruction_sets().items():
        held = {**env, **more}
        question = {"who": "settings", "fallback": FALLBACK, "steps": 100 if args.quick else 0}
        settings = results.part(
            f"{cpu}/settings",
            functools.partial(
                ask, [python, str(HERE / "_peers.py")], question, held, 1 if args.quick else measure.TRIES
            ),
        )
        names = ("preset", "steps", "batch", "lr", "layout", "precision", "threads")
        settings = {name: settings[name] for name in names}
        say(f"{cpu}: {settings}")
        for seed in range(seeds):  # a round of all peers for each seed: a change of the machine's mood meets all alike
            for column in [args.column] if args.column else COLUMNS:
                for peer in finalists(results, cpu, column, args.only, args.best) if seed else args.only:
                    say(f"{cpu} {column} {peer}")
                    results.part(
                        f"{cpu}/{column}/{peer}/{seed}",
                        functools.partial(pair, peer, column, seed, held, common, settings, args.quick),
                    )
        for column in COLUMNS:
            for peer in PEERS:
                key = f"{cpu}/{column}/{peer}"
                pairs = [found for seed in range(seeds) if (found := results.kept(f"{key}/{seed}"))]
                if len(pairs) in (1, seeds):
                    summary[key] = summed(pairs)
    results.write(peers=summary, verdict=verdict(summary))
    head = ["", "pairs", "ours, s", "peer, s", "peer / ours", "ours / peer", "test ours, %", "peer, %", "dirty runs"]
    say(f"\nSeconds to {TARGET:g} % validation error, mean ± sd; times with smallest and largest pair")
    say(table(head, [row(key, found) for key, found in summary.items()]))
    say("\n".join(verdict(summary)) if not args.quick else "a smoke run: these figures say nothing")
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
