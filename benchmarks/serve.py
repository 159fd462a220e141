"""How a served LeNet bears a load from a second process: time to the answer, memory, and what is lost at its end.

    ./go bench serve [--rate 300] [--side 28] [--seconds 600] [--quick] [--fresh]

`milestones serve lenet` answers questions that come at a fixed rate, whether it keeps up or not: each is a picture file
(28 x 28 as LeNet sees it; larger ones take longer to find the digit in) over one of 32 connections, and its time begins
when it should have been sent. Memory is the server's
resident set every 5 s; growth is the slope of a line through it after the first tenth. Then SIGTERM comes while the
load goes on: lost is what was sent on a connection and not answered.
Targets: 300 questions a second with 99 % of the answers within 50 ms, no growth in 10 minutes, none lost.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from _results import Results, project
from measure import ROOT, Value, ask, say, table

TARGETS = {"rate": 300.0, "p99_ms": 50.0, "growth_mb": 1.0, "lost": 0}
CONNECTIONS = 32
PICTURES = 256  # different ones
WARM = 5.0  # seconds that do not count: the first answers load what they need
LOOK = 5.0  # seconds between two looks at the memory


def questions(side: int) -> list[bytes]:
    """Whole HTTP questions with digits of the embedded set as PNG, `side` pixels a side."""
    import numpy as np
    from PIL import Image

    with np.load(ROOT / "milestones" / "data" / "digits10k.npz") as archive:
        images = archive["image"][-PICTURES:]
    found = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR).save(stream, "PNG")
        body = stream.getvalue()
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: image/png\r\nContent-Length: {len(body)}"
        found.append(head.encode() + b"\r\n\r\n" + body)
    return found


class Load:
    """Questions to a port at a rate, and what came of them."""

    def __init__(self, port: int, rate: float, side: int) -> None:
        self.port, self.rate = port, rate
        self.asked = [text.replace(b"%d", str(port).encode(), 1) for text in questions(side)]
        self.waiting: deque[tuple[float, bytes]] = deque()  # when it should have been sent, and what
        self.there = asyncio.Event()
        self.seconds: list[float] = []  # from when it should have been sent to the answer
        self.codes: dict[str, int] = {}
        self.sent = self.answered = self.lost = 0
        self.ending = self.done = False

    async def connection(self) -> None:
        """Ask over one connection after the other until none is taken any more."""
        while not self.done:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self.ending:
                    return
                raise
            try:
                while not self.done and await self.one(reader, writer):
                    pass
            finally:
                writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask one question; whether the connection lives on."""
        while not self.waiting:
            self.there.clear()
            await self.there.wait()
            if self.done:
                return False
            if reader.at_eof():
                return False  # closed while nothing was asked
        due, text = self.waiting.popleft()
        self.sent += 1
        try:
            writer.write(text)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self.lost += 1
            return False
        code = head.split(b" ", 2)[1].decode()
        self.codes[code] = self.codes.get(code, 0) + 1
        self.answered += 1
        self.seconds.append(time.perf_counter() - due)
        return b"connection: close" not in lower

    async def asking(self) -> None:
        """Put a question into the line whenever one is due."""
        begin, number = time.perf_counter(), 0
        while not self.done:
            now = time.perf_counter()
            while begin + number / self.rate <= now:
                self.waiting.append((begin + number / self.rate, self.asked[number % len(self.asked)]))
                number += 1
            self.there.set()
            await asyncio.sleep(0.001)


def memory_mb(pid: int) -> float:
    """The resident set of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def processor(pid: int) -> float:
    """Processor seconds of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


async def loaded(server: subprocess.Popen[str], port: int, question: Value) -> Value:
    """The load, and the end under it."""
    load = Load(port, question["rate"], question["side"])
    tasks = [asyncio.create_task(load.connection()) for _ in range(CONNECTIONS)]
    asking = asyncio.create_task(load.asking())
    await asyncio.sleep(WARM)
    load.seconds.clear()
    load.codes.clear()
    began, before, used = time.perf_counter(), load.answered, processor(server.pid)
    memory = [[0.0, memory_mb(server.pid)]]
    while (at := time.perf_counter() - began) < question["seconds"]:
        await asyncio.sleep(min(LOOK, question["seconds"] - at + 0.01))
        memory.append([round(time.perf_counter() - began, 1), round(memory_mb(server.pid), 2)])
    seconds, answered = time.perf_counter() - began, load.answered - before
    share = 100 * (processor(server.pid) - used) / seconds
    found = sorted(load.seconds)
    codes = dict(load.codes)
    load.ending = True
    server.send_signal(signal.SIGTERM)
    under = load.sent
    code = await asyncio.to_thread(server.wait, 60)
    await asyncio.sleep(0.2)
    load.done = True
    load.there.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    asking.cancel()
    return {
        "seconds": seconds, "rate": answered / seconds, "codes": codes, "memory_mb": memory, "server_share": share,
        **{f"p{p:g}_ms": 1000 * found[min(len(found) - 1, int(len(found) * p / 100))] for p in (50, 90, 99, 99.9)},
        "max_ms": 1000 * found[-1], "growth_mb": growth(memory), "sent": load.sent, "answered": load.answered,
        "lost": load.lost, "sent_while_ending": load.sent - under, "exit_code": code,
        "problems": [repr(one) for one in ended if isinstance(one, BaseException)],
    }  # fmt: skip


def growth(memory: list[list[float]]) -> float:
    """MB that a line through the memory rises over the whole time, the first tenth left out."""
    kept = [(at, mb) for at, mb in memory if at >= memory[-1][0] / 10]
    mean = [sum(values) / len(kept) for values in zip(*kept, strict=True)]
    rise = sum((at - mean[0]) * (mb - mean[1]) for at, mb in kept)
    return rise / (sum((at - mean[0]) ** 2 for at, _ in kept) or 1.0) * memory[-1][0]


def worker(question: Value) -> Value:
    """Serve in a child and load it from here."""
    words = [sys.executable, "-P", "-m", "milestones", "serve", "lenet", "--port", "0", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
        try:
            assert server.stdout is not None
            port = int(json.loads(server.stdout.readline())["address"].rpartition(":")[2])
            return asyncio.run(loaded(server, port, question))
        finally:
            server.kill()
            server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=TARGETS["rate"], help="questions a second [300]")
    parser.add_argument("--side", type=int, default=28, help="pixels of a picture's side [28]")
    parser.add_argument("--seconds", type=float, default=600.0, help="of load that count [600]")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing about speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.worker:
        print("\n" + json.dumps(worker(json.load(sys.stdin))))
        return 0
    package = ROOT / "milestones"
    served = [package / "studio" / f"{name}.py" for name in ("together", "posted", "predict", "stand", "guard")]
    files = [*project("lenet"), Path(__file__), *served, package / "verbs" / "serve.py"]
    results = Results("serve", files, sys.executable, args.fresh, args.quick, targets=TARGETS)
    question = {"rate": args.rate, "side": args.side, "seconds": 10.0 if args.quick else args.seconds}
    part = results.part(f"lenet {args.side} x {args.side}, {args.rate:g}/s, {question['seconds']:g} s",
                        lambda: ask([sys.executable, "-P", __file__, "--worker"], question,
                                    {"PYTHONPATH": str(Path(__file__).parent)}))  # fmt: skip
    results.write(**{name: part[name] for name in ("rate", "p50_ms", "p99_ms", "max_ms", "growth_mb", "lost")})
    say(table(("", "measured", "target"), [
        ("answers a second", f"{part['rate']:.1f}", f"{TARGETS['rate']:g}"),
        ("half within, ms", f"{part['p50_ms']:.1f}", ""),
        ("99 % within, ms", f"{part['p99_ms']:.1f}", f"{TARGETS['p99_ms']:g}"),
        ("slowest, ms", f"{part['max_ms']:.1f}", ""),
        ("memory grown, MB", f"{part['growth_mb']:.2f}", f"{TARGETS['growth_mb']:g}"),
        ("lost at the end", f"{part['lost']} of {part['sent']:,}", f"{TARGETS['lost']}"),
        ("server's processor, %", f"{part['server_share']:.0f}", ""),
        ("others' share, %", f"{part.get('foreign', 0):.0f}" + (" (dirty)" if part.get("dirty") else ""), ""),
    ]))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
