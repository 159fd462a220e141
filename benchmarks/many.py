"""What several processes on this machine cost and give: time of their common sums, time of an update, the cost model.

    ./go bench many [--repeats 5] [--quick] [--fresh]

An update of N processes takes a + b B / N seconds of computing, B the batch, and a common sum of G bytes of gradients,
2 (N - 1) (alpha + G / (N beta)): a ring, as gloo does it. `a` and `b` come from one process at two batch sizes, alpha
and beta from sums over loopback; updates of 2 and 4 processes then say whether the model holds. Beyond what was
measured the figures are extrapolated, and said to be. Where processes are more than cores, computing takes as many
times longer.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
from _results import Results, project
from measure import HERE, Value, ask, say, table

TARGET = 0.8  # of one process with all cores: two processes with half of them each, for resnet
SIZES = (1 << 12, 1 << 16, 1 << 20, 1 << 23)  # bytes of a sum
COUNTS = (1, 2, 4)
FAR = (8, 16, 64)
NETWORKS = {"loopback": (0.0, 0.0), "10 Gbit/s": (50e-6, 1.25e9), "1 Gbit/s": (100e-6, 0.125e9)}  # alpha, bytes/s
PAGES = {"resnet": 128, "lenet": 128}


def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environments(of: int, threads: int) -> list[dict[str, str]]:
    """What each process finds, as torchrun would tell it."""
    common = {"WORLD_SIZE": str(of), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port())}
    common |= {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(HERE.parent)}
    return [{**os.environ, **common, "RANK": str(k), "LOCAL_RANK": str(k)} for k in range(of)]


def started(words: list[str], of: int, threads: int) -> list[str]:
    """Run so many processes to their end: what each wrote to standard output."""
    with tempfile.TemporaryDirectory() as root:
        children = [
            subprocess.Popen([sys.executable, *words], cwd=root, env=env, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) for env in environments(of, threads)
        ]  # fmt: skip
        told = [child.communicate() for child in children]
    for child, (_, err) in zip(children, told, strict=True):
        if child.returncode:
            sys.exit(f"failed with {child.returncode}: {' '.join(words)}\n{err[-2000:]}")
    return [out for out, _ in told]


def sums(turns: int) -> None:
    """In each process: seconds of a common sum of each size, the median of some turns."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = {}
    for size in SIZES:
        values, times = torch.zeros(size // 4), []
        for turn in range(turns + 3):
            dist.barrier()
            begin = time.perf_counter()
            dist.all_reduce(values)
            if turn >= 3:
                times.append(time.perf_counter() - begin)
        found[size] = statistics.median(times)
    if dist.get_rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


def updates(page: str, batch: int, of: int, threads: int, steps: int, layout: str) -> Value:
    """Seconds of an update of `page`, from the log of a run, and how many numbers the gradients have."""
    with tempfile.TemporaryDirectory() as runs:
        words = ["-m", "milestones", "train", page, "--steps", str(steps), "--batch", str(batch), "--runs", runs,
                 "--plan", f"{layout}/float32/{threads}", "--json"]  # fmt: skip
        out = started(words, of, threads)[0]
        lines = [json.loads(line) for line in next(Path(runs).glob("*-1/log.jsonl")).read_text().splitlines()]
    at = {line["step"]: line["seconds"] for line in lines if "loss" in line}
    # the first third warms up; the last update is validated, too
    first, last = steps // 3, steps - 1
    return {"seconds": (at[last] - at[first]) / (last - first), "parameters": json.loads(out)["parameters"]}


def worker(question: Value) -> Value:
    if question["what"] == "sums":
        words = [str(HERE / "many.py"), "--sums", str(question["turns"])]
        return {"sums": json.loads(started(words, question["of"], 1)[0])}
    names = ("page", "batch", "of", "threads", "steps", "layout")
    found = [updates(*(question[name] for name in names)) for _ in range(question["repeats"])]
    return {"update": min(each["seconds"] for each in found), "parameters": found[0]["parameters"],
            "all": [each["seconds"] for each in found]}  # fmt: skip


def fitted(found: dict[int, dict[str, float]]) -> tuple[float, float]:
    """alpha and beta: of the smallest sums, what a round takes; of the largest, bytes a second. Of two processes, as
    with more than there are cores a sum waits for the processor."""
    times = {int(size): seconds for size, seconds in found[2].items()}
    alpha = times[SIZES[0]] / 2
    return alpha, SIZES[-1] / max(times[SIZES[-1]] - times[SIZES[0]], 1e-9)


def ring(of: int, size: float, alpha: float, beta: float) -> float:
    """Seconds of a common sum of `size` bytes in a ring."""
    return 2 * (of - 1) * (alpha + size / (of * beta))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sums", type=int, help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.sums:
        sums(args.sums)
        return 0
    if args.worker:
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    cores = os.cpu_count() or 1
    files = [*project(*PAGES), HERE.parent / "milestones" / "verbs" / "processes.py", Path(__file__)]
    results = Results("many", files, sys.executable, args.fresh, args.quick, target=TARGET, repeats=args.repeats)
    command, tries = [sys.executable, str(HERE / "many.py"), "--worker"], 1 if args.quick else measure.TRIES
    steps, repeats = (9, 1) if args.quick else (60, args.repeats)

    def told(key: str, **question: Any) -> Value:
        return results.part(key, functools.partial(ask, command, question, None, tries))

    found = {of: told(f"sums/{of}", what="sums", of=of, turns=20 if args.quick else 200)["sums"] for of in COUNTS[1:]}
    alpha, beta = fitted(found)
    rows = [[f"{int(size):,}", *(f"{1e3 * found[of][size]:.3f}" for of in found)] for size in found[2]]
    say(table(["bytes of a sum", *(f"{of} processes, ms" for of in found)], rows))
    say(f"alpha {1e6 * alpha:.0f} us a round, beta {beta / 1e9:.2f} GB/s over loopback\n")
    for page, batch in PAGES.items():
        ask_page = functools.partial(told, what="updates", page=page, steps=steps, repeats=repeats,
                                     layout="channels_last")  # fmt: skip
        each = {of: ask_page(f"{page}/{of}", batch=batch, of=of, threads=1) for of in COUNTS}
        half = ask_page(f"{page}/half", batch=batch // 2, of=1, threads=1)
        whole = ask_page(f"{page}/whole", batch=batch, of=1, threads=cores)
        size = 4 * each[1]["parameters"]
        slope = (each[1]["update"] - half["update"]) / (batch / 2)
        fixed = each[1]["update"] - slope * batch

        def computing(of: int, fixed: float = fixed, slope: float = slope, batch: int = batch) -> float:
            return fixed + slope * batch / of

        rows = []
        for of in COUNTS:
            model = computing(of) * max(1.0, of / cores) + ring(of, size, alpha, beta)
            real = each[of]["update"]
            rows.append([str(of), f"{1e3 * real:.1f}", f"{1e3 * model:.1f}", f"{100 * (model / real - 1):+.0f}",
                         f"{batch / real:,.0f}", f"{2 * (of - 1) / of * size / 1e6:.2f}"])  # fmt: skip
        parts = f"a {1e3 * fixed:.1f} ms, b {1e6 * slope:.0f} us a picture"
        say(f"{page}, batch {batch}, {size / 1e6:.2f} MB of gradients, {parts}")
        say(table(["processes", "ms an update", "model, ms", "off, %", "examples/s", "MB sent by each"], rows))
        for name, (delay, rate) in NETWORKS.items():
            link = (delay or alpha, rate or beta)
            times = [f"{of}: {1e3 * (computing(of) + ring(of, size, *link)):.1f} ms" for of in FAR]
            say(f"extrapolated, a core each, {name}{'' if rate == 0 else ' (not measured)'}: {', '.join(times)}")
        ratio = whole["update"] / each[2]["update"]
        reached = "reached" if ratio >= TARGET else "MISSED"
        dirty = [key for key, part in {**{str(k): v for k, v in each.items()}, "whole": whole}.items() if part["dirty"]]
        goal = f", at least {TARGET} asked: {reached}" if page == "resnet" and cores == 2 else ""
        say(f"2 processes of a core each, against one of {cores}: {ratio:.2f} times its speed{goal}"
            f"{'; DIRTY: ' + ', '.join(dirty) if dirty else ''}\n")  # fmt: skip
        results.write(**{page: {"fixed": fixed, "slope": slope, "bytes": size, "against_threads": ratio,
                                "updates": {str(of): part["update"] for of, part in each.items()}}},
                      alpha=alpha, beta=beta)  # fmt: skip
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
