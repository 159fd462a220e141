"""Run: one execution of one system; it owns the folder, the randomness, the steps, the log, saving and resuming."""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .clock import SAVE_SECONDS, Clock
from .errors import UserError
from .folder import held, inside, read_json, unwritable, write_json, write_status, write_whole
from .plan import Plan, chosen, count_flops, machine, measure, read_plan
from .source import Place, key
from .state import Stateful, read_state, write_state

LONGEST_WINDOW = 100  # steps in one line of the log
META = {"step": int, "done": bool, "log": int, "waiting": list, "seconds": float}
STAGE = re.compile(r"[a-z][a-z0-9_]{0,30}")


class Shown(Protocol):
    """What `show` takes: any Media."""

    def encode(self) -> tuple[str, bytes]: ...  # suffix, content


class Look(Protocol):
    """One step looked at by a doctor: made before it, `findings` (JSON) after it, `close` where it never ended."""

    def findings(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class Progress(NamedTuple):
    """Where a run is, for whoever watches it."""

    stage: str
    step: int
    total: int
    seconds: float  # in this process
    rate: float  # examples a second, lately; 0 if unknown
    share: float  # percent of the machine's peak; 0 if unknown
    numbers: dict[str, float]  # the last logged
    first: int = 0  # step that this process began with


class Run:
    """One execution of one system. Systems call a Run; a Run never calls a system. It alone writes files.

    Use as a context: it holds the folder's lock and catches SIGINT and SIGTERM, which end `steps` with all saved.
    """

    def __init__(self, folder: Path, place: Place, plan: str = "auto", minutes: float | None = None,
                 watch: Callable[[Progress], None] | None = None,
                 doctor: Callable[[nn.Module, int, int], Look | None] | None = None) -> None:  # fmt: skip
        self.folder, self.place, self.step = folder, place, 0
        self.plan, self._given = Plan(), chosen(plan)
        self.rng = torch.Generator(device=place.device)
        self.ended = ""  # why the steps ended early: "interrupted", "minutes", "stopped"
        self.seconds = 0.0  # in steps, over all processes that worked on this run
        self.rate = 0.0
        self.restored = False  # after a loss that was not finite, the state is again the last one saved
        self._minutes, self._watch, self._doctor = minutes, watch, doctor
        self._stage, self._total, self._examples = "train", 0, 0
        self._stages: list[str] = []
        self._member, self.showing = "", True  # of an ensemble: what its stages begin with, whether its shows are kept
        self._waiting: list[tuple[int, dict[str, Any]]] = []  # logged, not yet written: (updates finished, numbers)
        self._numbers: dict[str, float] = {}
        self._offset, self._signal, self._is_enough, self._broken = 0, 0, False, ""
        self._lines = b""  # of the log, not yet written
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Run:
        with contextlib.ExitStack() as exits:
            exits.enter_context(held(self.folder))
            try:
                for name in ("state", "shows"):
                    inside(self.folder, name).mkdir(exist_ok=True)
                for folder in (".", "state", "shows"):
                    for path in (self.folder / folder).glob(".*.[0-9]*"):  # of a killed process
                        path.unlink()
                (self.folder / "stop").unlink(missing_ok=True)
            except OSError as problem:
                raise unwritable(self.folder / "state", problem) from None
            exits.callback(torch.set_num_threads, torch.get_num_threads())  # the next run begins as this one did
            exits.callback(torch.set_flush_denormal, False)
            torch.set_flush_denormal(True)  # the smallest numbers, as of dead filters, are ten times slower than zero
            self._begin_plan()
            with contextlib.suppress(ValueError):  # signals belong to the main thread
                for number in (signal.SIGINT, signal.SIGTERM):
                    exits.callback(signal.signal, number, signal.signal(number, self._catch))
            self._exits = exits.pop_all()
        return self

    def _begin_plan(self) -> None:
        """The plan that the run began with, else the one that was asked for, until `measure`: threads change bits."""
        self.plan = self._given or self.plan
        if (self.folder / "plan.json").exists():
            try:
                self.plan = read_plan(read_json(self.folder, "plan.json"))
            except (TypeError, ValueError):
                raise UserError("a plan.json of this version", "other fields", "Remove it and resume") from None
        self.plan = replace(self.plan, threads=self.plan.threads or torch.get_num_threads())
        torch.set_num_threads(self.plan.threads)

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        self._exits.close()
        if kind is None:
            self.seed("end")  # which tells of a 'break'
            if self._signal and not self.ended:  # it came after the last step
                raise KeyboardInterrupt

    def _catch(self, number: int, frame: object) -> None:
        if self._signal:  # the second time, at once; what was saved is kept
            raise KeyboardInterrupt
        self._signal = number

    def seed(self, stage: str, step: int = -1) -> None:
        """Seed the global generator and `rng` from (seed, stage, step, rank): no generator state is saved."""
        if self._broken:
            raise RuntimeError(f"'break' left the steps of stage {self._broken!r}; use run.enough()")
        number = key(self.place.seed, stage, step, self.place.rank * (step >= 0))  # all alike before step 0
        torch.default_generator.manual_seed(number)
        if self.place.device.type == "cuda":
            torch.cuda.manual_seed(number)
        self.rng.manual_seed(number)

    @contextlib.contextmanager
    def member(self, number: int) -> Generator[None]:
        """Within, one member of an ensemble is made or trained: its own randomness and stages; the first one shows."""
        place, self._member, self.showing = self.place, f"m{number}_", number == 0
        self.place = place._replace(seed=key(place.seed, "member", number))
        yield
        self.place, self._member, self.showing = place, "", True

    def steps(self, total: int, stage: str = "train", /, **state: Stateful) -> Iterator[int]:
        """Yield the step numbers that remain below `total`, saving `state` on the way.

        Resumes where a saved run stopped. Ends early, all saved, on Ctrl-C, SIGTERM, a spent time budget or a `stop`
        file; later stages then yield nothing. A stage finished earlier restores its state and yields nothing.
        `break` is an error: use `enough`.
        """
        stage = self._member + stage
        self.seed(stage)
        if stage in self._stages or not STAGE.fullmatch(stage):
            raise RuntimeError(f"stage {stage!r} must be a new short word")
        self._stages.append(stage)
        if self.ended:  # the run stands where an earlier stage was stopped
            return
        self._stage, self._total, self._is_enough, self.step, done = stage, total, False, 0, False
        path = inside(self.folder, f"state/{stage}.safetensors")
        if path.exists():
            meta = read_state(path, state, META)
            self.step, done, self.seconds = meta["step"], meta["done"], meta["seconds"]
            self._offset, self._waiting = meta["log"], [(step, numbers) for step, numbers in meta["waiting"]]
        if done or (self.step >= total > 0 and path.exists()):
            return
        self._truncate()
        window = max(1, min(LONGEST_WINDOW, total // 500))
        clock, look, model = Clock(self.seconds, self.step), None, state.get("model")
        try:
            for step in range(self.step, total):
                self.step = step
                self.seed(stage, step)
                look = self._doctor(model, step, total) if self._doctor and isinstance(model, nn.Module) else None
                yield step
                if look:
                    line = {"stage": stage, "step": step + 1, "seconds": round(clock.spent(), 3)}
                    self._lines += (json.dumps({**line, "vitals": look.findings()}) + "\n").encode()
                if (step + 1) % window == 0 or step + 1 == total or self._is_enough:
                    self._flush(clock, path, state)
                now = time.monotonic()
                if now >= clock.look or self._signal:
                    self._look(clock, now)
                if self._is_enough or step + 1 == total:
                    break
                if self.ended or now >= clock.save or any(getattr(part, "pressing", False) for part in state.values()):
                    self._save(path, state, clock, done=False)
                if self.ended:
                    self.step, self.seconds = step + 1, clock.spent()
                    return
        except GeneratorExit:
            self._broken = stage
            if look:
                look.close()
            raise
        self.step, self.seconds = min(self.step + 1, total), clock.spent()
        if self._minutes is not None:
            self._minutes -= clock.here() / 60  # the rest is for later stages
        self.rate = self.step * self._examples / max(self.seconds, 1e-9)
        self._save(path, state, clock, done=True)

    def enough(self) -> None:
        """This stage is finished after the present step (gradient near 0, patience spent); later stages go on."""
        self._is_enough = True

    def every(self, n: int) -> bool:
        """True when n, 2n, ... updates are finished (the present one included), and at the last."""
        return (self.step + 1) % n == 0 or self.step + 1 == self._total

    def average(self, model: nn.Module) -> None:
        """The gradients of `model` become their means over all processes; with one there is nothing to do."""

    def log(self, **numbers: float | Tensor) -> None:
        """Log scalars of the present step; the log has means over a few steps. No device is waited for until then."""
        kept = {name: v.detach() if isinstance(v, Tensor) else v for name, v in numbers.items()}
        self._waiting.append((self.step + 1, kept))

    def show(self, **items: Shown) -> None:
        """Keep samples, filters, boards of the present step as files in `shows/`."""
        for name, item in items.items() if self.showing else ():
            suffix, content = item.encode()
            write_whole(self.folder / "shows" / f"{self._stage}-{self.step:08d}-{name}{suffix}", content)

    def beside(self, name: str) -> Path:
        """The path of a file that a state keeps open, as a ring that is too large to be written at each save."""
        return inside(self.folder, f"state/{self._member}{name}")

    def measure(self, model: nn.Module, probe: Callable[[Any, Plan], Tensor], examples: int) -> None:
        """Set the plan: measured on copies of `model`, for which `probe(copy, plan)` gives a loss over `examples`.

        A resumed run keeps its plan; on another machine it is measured again, and bit-identity is gone.
        """
        if self.plan.machine != machine():
            moved = f" (measured again: the run began on {self.plan.machine})" if self.plan.machine else ""
            plan = measure(model, probe, examples, self._given, self.place.device)
            self.plan = replace(plan, words=plan.words + moved)
            write_json(self.folder / "plan.json", asdict(self.plan))
        elif examples != self._examples:  # another stage: its examples may be larger
            self.plan = replace(self.plan, flops=count_flops(model, probe) / examples)
        self._examples = examples
        self.plan.apply(model)

    def _truncate(self) -> None:
        """Cut the log, and the shows of this stage, back to where the state was saved."""
        log = inside(self.folder, "log.jsonl")
        try:
            with open(log, "ab") as file:
                self._offset = min(self._offset, file.tell())  # someone may have shortened it
                file.truncate(self._offset)
        except OSError as problem:
            raise unwritable(log, problem) from None
        for path in (self.folder / "shows").glob(f"{self._stage}-*"):
            number = path.name[len(self._stage) + 1 :].split("-")[0]
            if number.isdigit() and int(number) > self.step:
                path.unlink()

    def _flush(self, clock: Clock, path: Path, state: dict[str, Stateful]) -> None:
        """Write what was logged as one line of means. A loss that is not finite ends the run here."""
        self._waiting = [(step, {k: float(v) for k, v in numbers.items()}) for step, numbers in self._waiting]
        if not self._waiting:
            return
        for step, numbers in self._waiting:
            if not math.isfinite(numbers.get("loss", 0.0)):
                raise self._diverged(step, numbers["loss"], path, state)
        names = dict.fromkeys(name for _, numbers in self._waiting for name in numbers)
        columns = {name: [numbers[name] for _, numbers in self._waiting if name in numbers] for name in names}
        means = {name: sum(values) / len(values) for name, values in columns.items()}
        line = {"stage": self._stage, "step": self._waiting[-1][0], "seconds": round(clock.spent(), 3)}
        text = json.dumps({**line, **{name: float(f"{mean:.6g}") for name, mean in means.items()}}) + "\n"
        self._lines += text.encode()  # written a few times a second: opening a file takes as long as a small step
        self._numbers.update(means)
        self._waiting = []

    def _append(self) -> None:
        """Write the finished lines to the log."""
        if not self._lines:
            return
        try:
            with open(self.folder / "log.jsonl", "ab") as file:
                file.write(self._lines)
        except OSError as problem:
            raise unwritable(self.folder / "log.jsonl", problem) from None
        self._offset += len(self._lines)
        self._lines = b""

    def _diverged(self, step: int, loss: float, path: Path, state: dict[str, Stateful]) -> UserError:
        """Restore the last good state, and say what happened."""
        self._append()
        last = self._numbers.get("loss", math.nan)
        kept = "nothing had been saved yet"
        if path.exists():
            kept = f"the weights of step {read_state(path, state, META)['step']:,} are kept"
            self.restored = True
        cause = "the step size is likely too high: lower lr" if step > 1 else "check the data for extreme values"
        got = f"{loss} at step {step:,} (mean before: {last:.4g})"
        return UserError("a finite loss", got, f"Cause: {cause}; {kept}")

    def _look(self, clock: Clock, now: float) -> None:
        """Ten times a second: is it time to stop? Tell the watcher and status.json."""
        clock.look = now + 0.08  # and a step's time
        self._append()
        if self._signal:
            self.ended = "interrupted"
        elif self._minutes is not None and clock.here() >= 60 * self._minutes and self.step + 1 < self._total:
            self.ended = "minutes"  # a stage that has made its last update was not cut off
        elif now >= clock.files and (self.folder / "stop").exists():
            self.ended = "stopped"
        self.rate = clock.rate(self.step + 1, now) * self._examples
        if self._watch:
            at = (self._stage, self.step + 1, self._total, clock.here(), self.rate)
            self._watch(Progress(*at, self.plan.share(self.rate), self._numbers, clock.first))
        if now >= clock.files:
            clock.files = now + 2.0
            self._status("training", clock)

    def _save(self, path: Path, state: dict[str, Stateful], clock: Clock, done: bool) -> None:
        """Write the state of the stage. One that is not finite is never written."""
        begin = time.monotonic()
        finished = self.step if done else self.step + 1
        self._append()
        self._waiting = [(step, {k: float(v) for k, v in numbers.items()}) for step, numbers in self._waiting]
        meta = {"step": finished, "done": done, "log": self._offset, "waiting": self._waiting, "seconds": clock.spent()}
        if not write_state(path, state, meta):
            raise self._diverged(finished, math.nan, path, state)
        self._status("training", clock)
        clock.save = (now := time.monotonic()) + max(SAVE_SECONDS, 50 * (now - begin))

    def _status(self, word: str, clock: Clock) -> None:
        where = {"state": word, "stage": self._stage, "step": min(self.step + 1, self._total), "total": self._total}
        speed = {"rate": round(self.rate), "peak_share": round(self.plan.share(self.rate), 1)}
        write_status(self.folder, {**where, **speed, "seconds": round(clock.spent(), 1), "updated": time.time()})
