"""Several processes that train one net, as torchrun starts them: each takes its share of a batch, and all take the mean
of the gradients; of a world or of games against itself each plays its share, and all come to know of all. The first
alone has the run folder; the others keep theirs in a temporary one."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import math
import operator
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Shaped, UInt8
from torch import Tensor, nn

from ..core.clock import SAVE_SECONDS, Clock
from ..core.errors import UserError
from ..core.folder import inside, read_json
from ..core.plan import Plan, read_plan
from ..core.run import Run, Shown
from ..core.state import Stateful
from ..parts.policy import Standard
from .words import rank, say
from .world import is_world

SECONDS = 300.0  # that a process waits for the others: one may read data, or measure, for so long
LOOK_SECONDS = 0.2  # between looks for a signal, a stop file or the time, at which all agree
ENDINGS = ("", "interrupted", "minutes", "stopped")
CHUNK = 1 << 26  # bytes of a file that are sent at once


class Lost(UserError):
    """Another process is no longer there."""


def launch() -> str:
    """What tells this launch of torchrun from others, also after it restarted its processes; "" without torchrun."""
    word = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{socket.gethostname()}-{os.getppid()}" if word == "none" else word


def begun_by_launch(root: Path, config: dict[str, Any]) -> Path | None:
    """The unfinished run with this command that the same launch of torchrun began, if there is one."""
    for folder in sorted(root.glob(f"{config['system']}-*")) if "launch" in config else ():
        with contextlib.suppress(UserError):
            before = read_json(folder, "config.json")
            same = all(before.get(name) == config[name] for name in ("launch", "command"))
            if same and read_json(folder, "status.json").get("state") != "finished":
                return folder
    return None


class Unshared(UserError):
    """The page's training cannot be shared out."""


class Peers:
    """All processes of a run, on one machine or several. Whoever waits too long for another raises Lost."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.rank, self.of = rank()
        self.here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of them on this machine
        self.scratch = Path()  # of another process than the first: a temporary folder
        wait = datetime.timedelta(seconds=seconds)
        try:
            store, _, _ = next(dist.rendezvous("env://", self.rank, self.of, timeout=wait))
            store.set_timeout(wait)
            again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # addresses of processes that are gone are no use
            self._store = dist.PrefixStore(f"milestones{again}", store)
            dist.init_process_group("gloo", store=self._store, rank=self.rank, world_size=self.of, timeout=wait)
        except (RuntimeError, ValueError) as problem:
            got = f"none of them at {os.environ['MASTER_ADDR']} ({str(problem).splitlines()[0][:100]})"
            raise UserError(f"{self.of} processes that reach each other", got, "See docs/processes.md") from None

    def _done(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except RuntimeError:  # gloo's own words name its files
            do = "What was saved is kept; 'milestones resume' goes on, with any number of processes"
            raise Lost(f"all {self.of} processes to the end", self._cause(), do) from None

    def _cause(self) -> str:
        """Why another process is gone, if it said so."""
        with contextlib.suppress(RuntimeError):
            for _ in range(10):
                if self._store.check(["problem"]):
                    return self._store.get("problem").decode(errors="replace")
                time.sleep(0.1)
        return "one that was lost"

    def mean(self, values: Shaped[Tensor, "N"]) -> Shaped[Tensor, "N"]:
        """The mean of the values over all processes, in place: to the same bits in each."""
        self._done(lambda: dist.all_reduce(values))
        return values.div_(self.of)

    def all(self, mine: UInt8[np.ndarray, "B"], sizes: Sequence[int]) -> list[UInt8[np.ndarray, "M"]]:
        """The bytes of all processes in their order, in all; of each process as many as `sizes` says."""
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(mine)] = torch.from_numpy(mine)
        found = [torch.empty_like(padded) for _ in range(self.of)]
        self._done(lambda: dist.all_gather(found, padded))
        return [part[:size].numpy() for part, size in zip(found, sizes, strict=True)]

    def any(self, flag: bool) -> bool:
        """True in all processes if it is true in one."""
        found = torch.tensor([int(flag)])
        self._done(lambda: dist.all_reduce(found))
        return bool(found)

    def sent(self, content: bytes) -> bytes:
        """The first process's bytes, in all."""
        size = torch.tensor([len(content)])
        self._done(lambda: dist.broadcast(size, 0))
        parts = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == 0 and content:
            parts = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if len(parts):
            self._done(lambda: dist.broadcast(parts, 0))
        return parts.numpy().tobytes()

    def told(self, value: Any) -> Any:
        """The first process's value (JSON), in all."""
        return json.loads(self.sent(json.dumps(value).encode() if self.rank == 0 else b""))

    def same(self, what: str, value: Any) -> None:
        """UserError in all processes where the value (JSON) of one is another than that of the first."""
        text = json.dumps(value, sort_keys=True).encode()
        mine = torch.frombuffer(bytearray(hashlib.sha256(text).digest()), dtype=torch.uint8).long()
        theirs = [torch.zeros_like(mine) for _ in range(self.of)]
        self._done(lambda: dist.all_gather(theirs, mine))
        others = [str(k) for k, each in enumerate(theirs) if not torch.equal(each, theirs[0])]
        if others:
            got = f"other {what} in process {', '.join(others)}"
            raise UserError(f"the same {what} in all {self.of} processes", got, "Bring the same to each machine")

    @torch.no_grad()
    def equal(self, model: nn.Module) -> None:
        """Weights and buffers become those of the first process."""
        for tensor in [*model.parameters(), *model.buffers()]:
            flat = tensor.detach().contiguous().flatten().clone()
            self._done(lambda: dist.broadcast(flat.view(torch.uint8), 0))  # noqa: B023  (called at once)
            tensor.copy_(flat.view(tensor.shape))

    def shared(self, folder: Path) -> Path:
        """The run folder in the first process; in others a temporary one with what is needed to go on."""
        names = [str(path.relative_to(folder)) for pattern in ("config.json", "plan.json", "facts.json",
                 "state/*.safetensors", "state/*.ring") for path in sorted(folder.glob(pattern))
                 ] if self.rank == 0 else []  # fmt: skip
        for name in self.told(names):
            path = self.scratch / name if self.rank else inside(folder, name)
            path.parent.mkdir(exist_ok=True)
            with open(path, "wb" if self.rank else "rb") as file:  # a memory for replay is large
                while content := self.sent(b"" if self.rank else file.read(CHUNK)):
                    file.write(content) if self.rank else None
        return self.scratch if self.rank else folder

    def say(self, problem: UserError) -> None:
        """One process alone tells of a problem: the first, unless it is lost itself."""
        lost = isinstance(problem, Lost)
        with contextlib.suppress(RuntimeError):
            if not lost and not self._store.check(["problem"]):
                self._store.set("problem", f"process {self.rank}, which {str(problem).partition(': ')[2]}")
            if self.rank == 0:
                self._store.set("said", "yes")
            if self.rank == 0 or not lost:
                return
            for _ in range(20):
                if self._store.check(["said"]):
                    return
                time.sleep(0.1)
            if self._store.add("saying", 1) > 1:
                return
        if lost:
            print(problem, file=sys.stderr, flush=True)


@contextlib.contextmanager
def joined() -> Generator[Peers | None]:
    """The processes that torchrun started together, this one among them; None where it is alone."""
    if rank()[1] == 1:
        yield None
        return
    peers = Peers()
    with contextlib.ExitStack() as exits:
        exits.callback(dist.destroy_process_group)
        if peers.rank:
            peers.scratch = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        try:
            yield peers
        except UserError as problem:
            peers.say(problem)
            raise


class Shared(Run):
    """A Run that several processes share. What depends on the clock, a signal or a file is decided by the first of
    them and told to all, at the same step."""

    def __init__(self, peers: Peers, *words: Any) -> None:
        super().__init__(*words)
        self.peers = peers
        self._next, self._save_at = 0, math.inf  # the step of the next look, the time of the next save
        self._kept: dict[str, Stateful] = {}
        self._clock: Clock | None = None
        self._calls, self._running = 0, list[tuple[Tensor, Tensor]]()
        self._single = Plan()
        self._alike, self._parts = False, 0  # see `playing`

    @contextlib.contextmanager
    def playing(self, data: Any) -> Generator[None]:
        """Within, a world or games are played by all processes together: each plays its share, all see all, and within
        steps all draw the same. So each goes the way that one process alone would go, and has all that is saved."""
        self._alike = is_world(data)
        shared = self._alike and hasattr(data, "share")
        self._parts = data.share(self.peers) if shared else 0
        if 1 < self._parts < self.peers.of:
            say(f"what is played has {self._parts} parts: the other processes only learn")
        try:
            yield
        finally:
            self._alike = False
            if shared:
                data.share(None)

    def seed(self, stage: str, step: int = -1) -> None:
        """As Run's; where worlds are played together, as in the first process."""
        place = self.place
        self.place = place._replace(rank=0) if self._alike else place
        super().seed(stage, step)
        self.place = place

    def _begin_plan(self) -> None:
        most = torch.get_num_threads()  # torchrun gives each process its share
        super()._begin_plan()
        self.plan = replace(self.plan, threads=min(most, self.plan.threads))
        self._single = self.plan
        torch.set_num_threads(self.plan.threads)

    def measure(self, model: nn.Module, probe: Callable[[Any, Plan], Tensor], examples: int) -> None:
        """As Run's, by the first process: all take its plan. UserError: a batch that cannot be shared out."""
        of = self.peers.of
        if examples % of and not self._alike:
            got, near = f"{examples}", (examples // of * of, (examples // of + 1) * of)
            raise UserError(f"a batch that {of} processes can share", got,
                            f"Choose {' or '.join(str(n) for n in near if n)}")  # fmt: skip
        self.plan = self._single
        if self.place.rank == 0:
            super().measure(model, probe, examples if self._alike else examples // of)
        threads = self.plan.threads
        self._single = read_plan(self.peers.told(asdict(self.plan)))
        self._single = replace(self._single, threads=min(threads, self._single.threads))
        # Rates are those of all processes, and so is what the machine could do.
        self.plan = replace(self._single, peak_gflops=self._single.peak_gflops * of)
        self._examples = examples
        self.plan.apply(model)

    def steps(self, total: int, stage: str = "train", /, **state: Stateful) -> Iterator[int]:
        """As Run's; all processes begin with the same state. UserError: a loop that shares nothing."""
        for part in state.values():
            if isinstance(part, nn.Module):
                self.peers.equal(part)
        self._kept, self._next, self._save_at, self._running = state, 0, time.monotonic() + SAVE_SECONDS, []
        begun = False
        for step in super().steps(total, stage, **state):
            self._calls = 0
            yield step
            if not begun and not self._calls and self._parts < 2:
                got = f"the stage {stage!r}, a loop of its own that does not share its gradients"
                raise Unshared("a page whose training several processes can share", got, "Train it without torchrun")
            begun = True

    @torch.no_grad()
    def average(self, model: nn.Module) -> None:
        """The gradients of `model` become their means over all processes, and so do the running statistics of batch
        normalisation and of observations: the nets stay the same everywhere. A weight that has a gradient in none of
        them has none afterwards."""
        self._calls += 1
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        passed = [t for part in norms for t in (part.running_mean, part.running_var) if t is not None]
        seen = [t for part in model.modules() if isinstance(part, Standard) for t in (part.mean, part.variance)]
        seen = [] if self._alike else seen  # where all see all they are the same
        running = passed + seen
        grads = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        has = torch.tensor([float(weight.grad is not None) for weight in weights])
        flat = torch.cat([has, *(t.flatten() for t in (*grads, *running))])
        try:
            parts = self.peers.mean(flat).split([len(weights), *(t.numel() for t in (*grads, *running))])
        except Lost:
            last = [now for now, _ in self._running]
            known = len(last) == len(passed) and all(map(operator.is_, last, passed))
            if self._calls == 1 and known and not self._alike:  # in this step only the statistics have moved
                for now, before in self._running:
                    now.copy_(before)
                for part in norms:
                    if part.num_batches_tracked is not None:
                        part.num_batches_tracked.sub_(1)
                self.step -= 1
                self._last_save()
            raise
        for weight, grad, share, new in zip(weights, grads, parts[0].tolist(), parts[1:], strict=False):
            weight.grad = grad.copy_(new.view_as(grad)) if share else None
        pairs = [(t, new.view_as(t)) for t, new in zip(running, parts[1 + len(grads) :], strict=True)]
        for now, new in pairs:
            now.copy_(new)
        self._running = pairs[: len(passed)]

    def show(self, **items: Shown) -> None:
        """As Run's, by the first process."""
        if self.place.rank == 0:
            super().show(**items)

    def _last_save(self) -> None:
        """Save what the first process has, as another is lost; but for what was logged, of which no mean is known."""
        self._waiting = []
        if self.place.rank == 0 and self._clock is not None:
            super()._save(inside(self.folder, f"state/{self._stage}.safetensors"), self._kept, self._clock, done=False)

    def _mean_log(self) -> None:
        """What was logged and is not yet written becomes the mean over all processes."""
        numbers = [float(value) for _, each in self._waiting for value in each.values()]
        if numbers:
            found = iter(self.peers.mean(torch.tensor(numbers, dtype=torch.float64)).tolist())
            self._waiting = [(step, {name: next(found) for name in each}) for step, each in self._waiting]

    def _flush(self, clock: Clock, path: Path, state: dict[str, Stateful]) -> None:
        self._clock = clock
        try:
            self._mean_log()
        except Lost:
            self._last_save()
            raise
        super()._flush(clock, path, state)

    def _look(self, clock: Clock, now: float) -> None:
        """At a step that all know: what one was signalled, and what the first sees in its folder and on its clock."""
        clock.look = -math.inf
        clock.save = math.inf
        if self.step < self._next:
            return
        try:
            is_signalled = self.peers.any(bool(self._signal))
            if self.place.rank == 0:
                super()._look(clock, now)
                self.ended = "interrupted" if is_signalled else self.ended
            done = max(1, self.step + 1 - clock.first)
            ahead = max(1, int(LOOK_SECONDS * done / max(clock.here(), 1e-9)))
            ending, is_due, ahead = self.peers.told([ENDINGS.index(self.ended), now >= self._save_at, ahead])
        except Lost:
            self._last_save()
            raise
        self.ended, self._next = ENDINGS[ending], self.step + ahead
        clock.look, clock.save = -math.inf, -math.inf if is_due else math.inf

    def _save(self, path: Path, state: dict[str, Stateful], clock: Clock, done: bool) -> None:
        """As Run's, by the first process; the others go on."""
        try:
            self._mean_log()
        except Lost:
            self._waiting = []
            if self.place.rank == 0:
                super()._save(path, state, clock, done)
            raise
        if self.place.rank == 0:
            super()._save(path, state, clock, done)
            self._save_at = clock.save
        else:
            self._append()  # of its own log, which a page may draw
            for part in state.values():
                if hasattr(part, "pressing"):  # a memory, which takes note of the save
                    part.state_dict()
        clock.save = math.inf
