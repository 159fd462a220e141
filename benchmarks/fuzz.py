"""Damaged files for every reader: each gives a result or a refusal in one line, and soon; and it does nothing else.

    ./go bench fuzz [--count 20000] [--only NAME ...] [--fresh]        # about half an hour on one core

Whole inputs are damaged by one to four changes of bits, bytes, lengths, pieces and words each, JSON also in its values;
the seeds are the inputs' numbers, so that each can be made again. Counted: results, refusals, and what should not have
happened: another exception, more than 2 s of the processor, a write outside of the reader's folder, a program or a
connection that was started (Python's audit events tell). tests/unit/test_fuzz.py does the same with a few hundred each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import Results
from measure import ROOT, Value, say, table

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SLOW = 2.0  # seconds of the processor
SHOWN = 5  # inputs that are kept of what went wrong
SEEDS = 1_000_000  # the first input of a reader has this seed


def campaign(name: str, count: int) -> Value:
    """What a reader did with so many damaged inputs."""
    import torch
    from unit import damaged
    from unit.readers import READERS, refused_by

    torch.set_num_threads(1)
    damaged.STUCK = 120.0  # by the clock: others may work on this machine, too
    began, reader = time.process_time(), READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        guard, reads = damaged.Guard(), reader.reads(Path(folder))
        given = damaged.inputs(*reader.originals(), count=count, seed=SEEDS)

        def watched(content: bytes) -> None:
            with guard.over(Path(folder)):
                reads(content)

        with damaged.quiet():
            for one in reader.originals():  # what is imported when it is first used is no act of a reader
                with contextlib.suppress(*refused_by(name)):
                    reads(one if isinstance(one, bytes) else json.dumps(one).encode())
            told, longest, wrong = damaged.met(watched, given, refused_by(name), SLOW)
    return {"inputs": count, "seeds": [SEEDS, SEEDS + count - 1], "results": told["results"],
            "refusals": told["refusals"], "wrong": len(wrong), "longest_s": round(longest, 3),
            "seconds": round(time.process_time() - began, 1),
            "shown": [line[:1500] for line in wrong[:SHOWN]]}  # fmt: skip


def main() -> int:
    from unit.readers import READERS

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="inputs for each reader")
    parser.add_argument("--only", nargs="*", default=list(READERS), choices=READERS, metavar="NAME")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    package, tests = ROOT / "milestones", ROOT / "tests" / "unit"
    files = [p for folder in ("core", "media") for p in (package / folder).glob("*.py")]
    files += [package / "data" / "arrays.py", package / "data" / "kinds.py", package / "verbs" / "gtp.py"]
    files += [tests / "damaged.py", tests / "readers.py", Path(__file__)]
    results = Results("fuzz", files, sys.executable, args.fresh)
    for name in args.only:
        part = results.part(f"{name}, {args.count}", lambda n=name: campaign(n, args.count))
        say(f"{name}: {part['results']:,} results, {part['refusals']:,} refusals, {part['wrong']} wrong "
            f"({part['seconds']:.0f} s)")  # fmt: skip
        for line in part["shown"]:
            say(f"  {line[:400]}")
    parts = results.content["parts"]
    wrong = sum(part["wrong"] for part in parts.values())
    results.write(readers=len(parts), inputs=sum(part["inputs"] for part in parts.values()), wrong=wrong,
                  least=min(part["inputs"] for part in parts.values()),
                  longest_s=max(part["longest_s"] for part in parts.values()))  # fmt: skip
    body = [[key.rpartition(",")[0], f"{part['inputs']:,}", f"{part['results']:,}", f"{part['refusals']:,}",
             str(part["wrong"]), f"{part['longest_s']:.2f} s"] for key, part in parts.items()]  # fmt: skip
    say(table(["reader", "inputs", "results", "refusals", "wrong", "longest"], body))
    say(f"written to {results.path}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
