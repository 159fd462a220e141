"""This machine, and how busy it is: what every benchmark here measures with.

Each thing measured is a process of its own, so that one's threads, caches and memory never help or harm the next.
While it runs, the processor time that other processes take is read from /proc/stat; a run in which they took more
than 10 % of the machine is repeated, and kept marked as dirty if that does not help. What was measured is written
at once to results/NAME.json, with the code's hash: a benchmark that was stopped goes on where it was, and what was
measured with other code is measured again.
"""

from __future__ import annotations

import ast
import datetime
import functools
import hashlib
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
RESULTS = HERE / "results"
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
MOST_FOREIGN = 10.0  # percent of the machine that other processes may take during a run
TRIES = 3
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PACKAGES = ("torch", "numpy", "keras", "tensorflow", "lightning", "skorch", "scikit-learn")

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
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() == "flags":
                flags = frozenset(value.split())
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
    return {"cpu": name, "cores": os.cpu_count(), "instructions": wide, "memory_gb": round(memory, 1),
            "system": platform.platform(), "note": note}  # fmt: skip


def versions(python: str) -> Value:
    """The versions of what is installed beside `python`."""
    code = ("import importlib.metadata as m, json, platform\nfound = {'python': platform.python_version()}\n"
            f"for name in {PACKAGES!r}:\n"
            "    for word in (name, name + '-cpu'):\n"
            "        try: found[name] = m.version(word); break\n        except m.PackageNotFoundError: pass\n"
            "print(json.dumps(found))")  # fmt: skip
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


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


def run(words: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None,
        stdin: str | None = None, timeout: float | None = None) -> Value:  # fmt: skip
    """Run one command to its end: exit code, output, seconds, peak memory, and the others' share in percent."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, own = used()
        begin = time.monotonic()
        environment = {**os.environ, "BENCHMARK_BEGAN": repr(begin), **(env or {})}
        pipe = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
        child = subprocess.Popen(list(words), stdin=pipe, stdout=out, stderr=err, env=environment, cwd=cwd)
        if child.stdin and stdin is not None:
            child.stdin.write(stdin.encode())
            child.stdin.close()
        peak = 0.0
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        else:
            child.wait(timeout)
        seconds = time.monotonic() - begin
        after, mine = used()
        foreign = 100 * max(0.0, (after - before) - (mine - own)) / (seconds * (os.cpu_count() or 1))
        out.seek(0)
        err.seek(0)
        texts = [stream.read().decode(errors="replace") for stream in (out, err)]
    return {"code": child.returncode, "out": texts[0], "err": texts[1], "seconds": seconds, "peak_mb": peak,
            "foreign": round(foreign, 1)}  # fmt: skip


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


def code_hash(files: Iterable[Path]) -> str:
    """Of what the code does: comments, layout and docstrings do not count."""
    digest = hashlib.sha256()
    for file in sorted(files):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".py":
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                    node.body = node.body[1:]
            text = ast.dump(tree)
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def project(*pages: str) -> list[Path]:
    """The files that decide how the project runs a page: no other page, no report."""
    package = ROOT / "milestones"
    files = [p for folder in ("core", "data", "parts") for p in (package / folder).glob("*.py")]
    return files + [package / "systems" / f"{page}.py" for page in pages]


class Results:
    """results/NAME.json: all that one benchmark measured, part by part."""

    def __init__(self, name: str, files: Iterable[Path], python: str, fresh: bool = False, smoke: bool = False, **about: Any) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.path = RESULTS / f"{name}{'.smoke' if smoke else ''}.json"
        self.code = code_hash([Path(__file__), *files])
        try:
            parts = {} if fresh else json.loads(self.path.read_text())["parts"]
        except (OSError, ValueError, KeyError):
            parts = {}
        self.content: Value = {
            "format": 1, "benchmark": name, "command": shlex.join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
            "smoke": smoke, "date": datetime.date.today().isoformat(), "machine": machine(),
            "versions": versions(python), "code": self.code, **about, "parts": parts, "summary": {},
        }  # fmt: skip
        self._here = f"{self.content['machine']['cpu']}, {self.content['versions'].get('torch')}"
        if self.content["machine"]["note"]:
            say(f"note: {self.content['machine']['note']}")

    def part(self, key: str, measure: Callable[[], Value]) -> Value:
        """The part `key`: as measured before with this code on this machine, else measured now and kept."""
        kept = self.content["parts"].get(key)
        if kept and kept["code"] == self.code and kept["here"] == self._here:
            return kept
        value = {"code": self.code, "here": self._here, "when": datetime.datetime.now().isoformat(timespec="seconds")}
        self.content["parts"][key] = {**value, **measure()}
        self.write()
        return self.content["parts"][key]

    def write(self, **summary: Any) -> None:
        self.content["summary"].update(summary)
        current = {key: part for key, part in self.content["parts"].items() if part["code"] == self.code}
        text = json.dumps({**self.content, "parts": current}, indent=1, ensure_ascii=False)
        aside = self.path.with_suffix(".new")
        aside.write_text(text + "\n", encoding="utf-8")
        aside.replace(self.path)


def spread(values: Sequence[float]) -> Value:
    """Mean, standard deviation, smallest, median and largest of what was measured."""
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    found = {"mean": statistics.fmean(values), "sd": sd, "min": min(values), "median": statistics.median(values), "max": max(values)}
    return {"n": len(values), **{name: float(f"{value:.5g}") for name, value in found.items()}}


def ratios(above: Sequence[float], below: Sequence[float]) -> Value:
    """The spread of above / below, pair by pair: what was measured one after the other is compared."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows in columns for a terminal: the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
                     for line in lines)  # fmt: skip


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    say(json.dumps(machine(), indent=1, ensure_ascii=False))
    start, clock = used()[0], time.monotonic()
    time.sleep(2)
    busy = 100 * (used()[0] - start) / ((time.monotonic() - clock) * (os.cpu_count() or 1))
    say(f"processes take {busy:.0f} % of the machine now; a run is clean up to {MOST_FOREIGN:.0f} %")
