"""This machine, and how busy it is: what every benchmark here measures with.

Each thing measured is a process of its own, so that one's threads, caches and memory never help or harm the next.
While it runs, the processor time that other processes take is read from /proc/stat; a run in which they took more
than 10 % of the machine is repeated, and kept marked as dirty if that does not help.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
MOST_FOREIGN = 10.0  # percent of the machine that other processes may take during a run
TRIES = 3
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

Value = dict[str, Any]


def peers_python() -> str:
    """The Python of the peers' environment, as ./go bench makes it."""
    default = ROOT / ".venv-peers" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python = os.environ.get("MILESTONES_PEERS", str(default))
    if not Path(python).exists():
        sys.exit(f"expected the peers' environment, found no {python}. Run this through './go bench'.")
    return python


@functools.cache
def processor() -> tuple[str, frozenset[str]]:
    """The processor's name and its abilities; empty where the system does not tell."""
    name, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, value = map(str.strip, line.split(":", 1)) if ":" in line else ("", "")
            name = value if key == "model name" else name
            flags = frozenset(value.split()) if key == "flags" else flags
    except OSError:
        pass
    return name, flags


def instruction_sets() -> dict[str, dict[str, str]]:
    """The environments to measure under, by name. A machine without AVX-512 is measured once: native is AVX2."""
    if any(flag.startswith("avx512") for flag in processor()[1]):
        return {"native": {}, "avx2": AVX2}
    return {"native": {}}


def machine() -> Value:
    name, flags = processor()
    wide = sorted(f for f in flags if f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16"))
    memory = 0.0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    note = "" if len(instruction_sets()) == 2 else "no AVX-512 here: native is AVX2, so there is one column for both"
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "instructions": wide,
        "memory_gb": round(memory, 1),
        "system": platform.platform(),
        "note": note,
    }


def used() -> tuple[float, float]:
    """Seconds of processor time: of the whole machine, and of this process with its finished children."""
    total = 0.0
    try:
        with open("/proc/stat") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        total = (sum(ticks) - ticks[3] - ticks[4]) / TICK  # all but idle and waiting for a disk; stolen time counts
    except (OSError, ValueError):
        pass
    own = os.times()
    return total, sum(own[:4])


def adopt() -> None:
    """Make this process the parent of all that its children leave behind (Linux), as browsers and servers do: their
    processor time is then ours, not that of others."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap(seconds: float = 2.0) -> None:
    """Wait a little for what was left behind: processor time is counted when a process is waited for."""
    until = time.monotonic() + seconds
    while sys.platform == "linux" and time.monotonic() < until:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not found:
            time.sleep(0.05)


def run(
    words: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: str | None = None
) -> Value:
    """Run one command to its end: exit code, output, seconds, peak memory, and the others' share in percent."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        adopt()
        before, own = used()
        begin = time.monotonic()
        environment = {**os.environ, "BENCHMARK_BEGAN": repr(begin), **(env or {})}
        pipe = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
        child = subprocess.Popen(list(words), stdin=pipe, stdout=out, stderr=err, env=environment, cwd=cwd)
        if child.stdin and stdin is not None:
            child.stdin.write(stdin.encode())
            child.stdin.close()
        peak = 0.0
        try:
            if hasattr(os, "wait4"):
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
            else:
                child.wait()
        except BaseException:  # stopped: what would run on alone would disturb the next benchmark
            child.terminate()
            raise
        seconds = time.monotonic() - begin
        reap()
        after, mine = used()
        foreign = 100 * max(0.0, (after - before) - (mine - own)) / (seconds * (os.cpu_count() or 1))
        out.seek(0)
        err.seek(0)
        texts = [stream.read().decode(errors="replace") for stream in (out, err)]
    return {
        "code": child.returncode,
        "out": texts[0],
        "err": texts[1],
        "seconds": seconds,
        "peak_mb": peak,
        "foreign": round(foreign, 1),
    }


def clean(measure: Callable[[], Value], tries: int = TRIES, short: float = 0.5) -> Value:
    """What `measure` gives, again while others disturb it. Kept after `tries`, with `dirty` true.

    Processor time is counted in ticks of 10 ms, so a run below `short` seconds cannot be judged and is taken as is.
    """
    rejected = []
    while True:
        value = measure()
        value["dirty"] = value["foreign"] > MOST_FOREIGN and value["seconds"] >= short
        if not value["dirty"] or len(rejected) + 1 >= tries:
            return {**value, "rejected": rejected}
        rejected.append({"foreign": value["foreign"], "seconds": round(value["seconds"], 2)})
        say(f"  other processes took {value['foreign']:.0f} % of the machine: rejected, and again")
        time.sleep(3)


def ask(words: Sequence[str], question: Value, env: Mapping[str, str] | None = None, tries: int = TRIES) -> Value:
    """The JSON object in the last line that a script prints when `question` comes in; measured clean."""

    def once() -> Value:
        done = run(words, env, stdin=json.dumps(question))
        lines = done["out"].strip().splitlines()
        if done["code"] or not lines:
            sys.exit(f"failed with {done['code']}: {shlex.join(words)} < {json.dumps(question)}\n{done['err'][-3000:]}")
        about = {name: done[name] for name in ("foreign", "seconds", "peak_mb")}
        return {**about, "process_seconds": round(done["seconds"], 3), **json.loads(lines[-1])}

    return clean(once, tries)


def spread(values: Sequence[float]) -> Value:
    """Mean, standard deviation, smallest, median and largest of what was measured."""
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    found = {
        "mean": statistics.fmean(values),
        "sd": sd,
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
    }
    return {"n": len(values), **{name: float(f"{value:.5g}") for name, value in found.items()}}


def ratios(above: Sequence[float], below: Sequence[float]) -> Value:
    """The spread of above / below, pair by pair: what was measured one after the other is compared."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows in columns for a terminal: the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    aligned = (
        [cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    )
    return "\n".join(map("  ".join, aligned))


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    say(json.dumps(machine(), indent=1, ensure_ascii=False))
    start, clock = used()[0], time.monotonic()
    time.sleep(2)
    busy = 100 * (used()[0] - start) / ((time.monotonic() - clock) * (os.cpu_count() or 1))
    say(f"processes take {busy:.0f} % of the machine now; a run is clean up to {MOST_FOREIGN:.0f} %")
