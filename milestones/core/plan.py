"""Plan: how this machine runs this model fastest; measured on a copy, checked against float32, remembered."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .errors import UserError
from .folder import cache_folder, read_json, write_json

B = TypeVar("B")
Probe = Callable[[Any, "Plan"], Tensor]  # a copy of the model

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MOST_THREADS = 256  # beyond, the system may refuse to make them
SECONDS = 0.25  # a candidate, in turns
MARGIN = 1.05  # a later candidate must win by this, so that near equals do not flip between runs
BUSY = 10  # percent of the processor: with more in other hands, the race says little about this machine
TOLERANCE = 0.02  # of the loss, against float32; and 1 - cosine of the gradient


@dataclass(frozen=True)
class Plan:
    """Memory layout, precision and threads of a training step."""

    layout: str = "contiguous"
    precision: str = "float32"
    threads: int = 0  # 0: as PyTorch has it
    words: str = "float32 as PyTorch has it; not measured"
    flops: float = 0.0  # floating-point operations an example, forward and backward
    peak_gflops: float = 0.0  # of a large product on this machine, in this precision
    tried: list[dict[str, Any]] = field(default_factory=list)
    machine: str = ""

    def apply(self, model: nn.Module) -> None:
        """Lay out `model` in place and set the number of threads."""
        torch.set_num_threads(self.threads or torch.get_num_threads())
        if self.layout != "contiguous":
            model.to(memory_format=LAYOUTS[self.layout])  # type: ignore[call-overload]

    def running(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The context of the forward pass: autocast where the precision asks for it."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, PRECISIONS[self.precision])

    def lay(self, batch: B) -> B:
        """A batch (named tuple of tensors) with its pictures in this plan's layout."""
        if self.layout == "contiguous" or not isinstance(batch, tuple):
            return batch
        form = LAYOUTS[self.layout]
        return type(batch)(*(t.contiguous(memory_format=form) if t.dim() == 4 else t for t in batch))

    def share(self, rate: float) -> float:
        """The share in percent of the machine's peak that `rate` examples a second reach; 0 if unknown."""
        return 100 * rate * self.flops / (self.peak_gflops * 1e9) if self.peak_gflops else 0.0


def read_plan(content: Mapping[str, Any]) -> Plan:
    """A Plan from its JSON. ValueError or TypeError if it is none of this version."""
    plan = Plan(**{name: value for name, value in content.items() if name != "format"})
    numbers = all(type(value) in (int, float) for value in (plan.flops, plan.peak_gflops))
    if not (numbers and plan.layout in LAYOUTS and plan.precision in PRECISIONS and 0 <= plan.threads <= MOST_THREADS):
        raise ValueError("no layout, precision or number of threads of this version")
    return plan


def machine() -> str:
    """What a plan and bit-identity depend on, in one line."""
    return f"{cpu_name()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def cpu_name() -> str:
    """The processor's own name where the system tells it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def chosen(words: str) -> Plan | None:
    """The plan that `--plan` names: None for auto. UserError for other words."""
    if words == "auto":
        return None
    if words == "exact":
        return Plan(words="exact: float32 as PyTorch has it")
    layout, _, rest = words.partition("/")
    precision, _, threads = rest.partition("/")
    if layout in LAYOUTS and precision in PRECISIONS and threads.isdecimal() and 1 <= int(threads) <= MOST_THREADS:
        return Plan(layout, precision, int(threads), words=f"as asked: {words}")
    raise UserError(
        "a plan auto, exact or LAYOUT/PRECISION/THREADS, as channels_last/float32/2",
        repr(words),
        f"Layouts: {', '.join(LAYOUTS)}; precisions: {', '.join(PRECISIONS)}; threads to {MOST_THREADS}",
    )


def measure(model: nn.Module, probe: Probe, examples: int, given: Plan | None, device: torch.device) -> Plan:
    """The fastest plan for `probe(copy of model, plan)`, a loss over `examples`; or `given`, with its rate and peak."""
    here = machine()
    shapes = [tuple(p.shape) for p in model.parameters()]
    name = hashlib.sha256(f"{here} {device} {torch.get_num_threads()} {shapes} {examples}".encode()).hexdigest()[:24]
    cached = cache_folder() / "plans" / f"{name}.json"
    if given is None:
        with contextlib.suppress(UserError, ValueError, TypeError):
            return read_plan(read_json(cached.parent, cached.name))
    most = torch.get_num_threads()
    plans = [given or Plan(threads=most)]
    if given is None:
        plans = _candidates(model, most, device)
    flops = count_flops(model, probe) / examples
    begin, others = time.perf_counter(), others_seconds()
    tried = _race(model, probe, plans, device)
    busy = 100 * (others_seconds() - others) / max((time.perf_counter() - begin) * (os.cpu_count() or 1), 1e-9)
    best = 0
    for i, result in enumerate(tried):
        if result["within"] and result["seconds"] * MARGIN < tried[best]["seconds"]:
            best = i
    for result in tried:
        result["rate"] = round(examples / result.pop("seconds"))
    plan, rate = plans[best], tried[best]["rate"]
    torch.set_num_threads(plan.threads or most)
    peak = peak_gflops(plan.precision, device)
    words = f"{plan.layout} {plan.precision}, {plan.threads or most} threads: {rate:,} examples/s"
    if len(tried) > 1:
        words += f", {rate / tried[0]['rate']:.1f} x PyTorch's defaults ({len(tried)} ways tried)"
    if busy > BUSY:
        words += f"; other programs took {busy:.0f} % of the processor meanwhile, so this plan is not remembered"
    plan = Plan(plan.layout, plan.precision, plan.threads or most, words, flops, round(peak, 1), tried, here)
    if given is None and busy <= BUSY:
        with contextlib.suppress(OSError, UserError):  # a plan that cannot be remembered is measured again
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_json(cached, asdict(plan))
    return plan


def _candidates(model: nn.Module, most: int, device: torch.device) -> list[Plan]:
    """PyTorch's defaults first, then what may be faster here."""
    layouts = ["contiguous"] + ["channels_last"] * any(p.dim() == 4 for p in model.parameters())
    precisions = ["float32"]
    if bfloat16_pays(device):
        precisions.append("bfloat16")
    threads = [most] + [1] * (most > 1 and device.type == "cpu")
    return [Plan(layout, precision, n) for n in threads for precision in precisions for layout in layouts]


def bfloat16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is worth a trial. Without hardware for it, it is hundreds of times slower: a small product
    tells, before a step takes minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a busy neighbour can slow two threads tenfold, one hardly
    try:
        return peak_gflops("bfloat16", device, 192) > 0.7 * peak_gflops("float32", device, 192)
    finally:
        torch.set_num_threads(threads)


def others_seconds() -> float:
    """Processor seconds that other programs have used so far, where the system tells it; else 0."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system = map(int, file.readline().split()[1:4])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:2])


def _step(twin: nn.Module, probe: Probe, plan: Plan, device: torch.device) -> float:
    twin.zero_grad(set_to_none=True)
    with plan.running(device):
        value = probe(twin, plan)
    value.backward()
    return float(value.detach())  # waits for the device, too


def _race(model: nn.Module, probe: Probe, plans: list[Plan], device: torch.device) -> list[dict[str, Any]]:
    """Seconds a step for each plan (best of several turns), and whether loss and gradient agree with the first."""
    racers, results = [], []
    for plan in plans:
        twin = copy.deepcopy(model)
        plan.apply(twin)
        torch.manual_seed(0)  # the same dropout for all
        name = {"layout": plan.layout, "precision": plan.precision, "threads": plan.threads}
        try:
            value = _step(twin, probe, plan, device)
        except RuntimeError as problem:  # a layer without a kernel for it, as oneDNN's LSTM in bfloat16 before AVX-512
            if plan.precision == "float32":
                raise
            if len(plans) == 1:
                got = f"{plan.precision}, which this processor has not for this model ({str(problem).splitlines()[0]})"
                raise UserError("a plan that can run here", got, "Take --plan auto") from None
            results.append({**name, "within": False, "seconds": float("inf")})
            continue
        grad = torch.cat([p.grad.float().flatten() for p in twin.parameters() if p.grad is not None])
        if not results:
            first, direction = value, grad
        cosine = float(torch.nn.functional.cosine_similarity(grad, direction, dim=0))  # pyright: ignore
        within = abs(value - first) <= TOLERANCE * abs(first) + 1e-6 and cosine >= 1 - TOLERANCE  # pyright: ignore
        results.append({**name, "within": within, "seconds": float("inf")})
        racers.append((plan, twin, results[-1]))
    for _ in range(4):
        for plan, twin, result in racers:
            plan.apply(twin)
            end = time.perf_counter() + SECONDS / 4
            while True:
                begin = time.perf_counter()
                _step(twin, probe, plan, device)
                result["seconds"] = min(result["seconds"], time.perf_counter() - begin)
                if time.perf_counter() > end:
                    break
    return results


def count_flops(model: nn.Module, probe: Probe) -> float:
    """Floating-point operations of one step of a copy; element-wise ones are not counted, as is customary."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        probe(copy.deepcopy(model), Plan()).backward()
    return float(counter.get_total_flops())


def peak_gflops(precision: str, device: torch.device, side: int = 1024) -> float:
    """GFLOP/s of a square matrix product: the best of a few, since other programs can only slow one down."""
    a, b = (torch.ones(side, side, dtype=PRECISIONS[precision], device=device) for _ in range(2))
    best = 0.0
    for _ in range(4 if side > 512 else 15):
        begin = time.perf_counter()
        float((a @ b)[0, 0])
        best = max(best, 2 * side**3 / (time.perf_counter() - begin) / 1e9)
    return best
