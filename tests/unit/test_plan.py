"""Plans: what is tried, what is rejected, what is remembered."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from milestones.core import plan as plans
from milestones.core.errors import UserError
from milestones.core.plan import Plan, chosen, measure, read_plan
from milestones.data import Labelled

CPU = torch.device("cpu")
others_seconds = plans.others_seconds  # the tests below stand still for it
NET = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 2))
IMAGE, LABEL = torch.randn(8, 1, 8, 8), torch.zeros(8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(plans, "SECONDS", 0.0)
    monkeypatch.setattr(plans, "peak_gflops", lambda *_: 100.0)
    monkeypatch.setattr(plans, "bfloat16_pays", lambda _: True)
    monkeypatch.setattr(plans, "others_seconds", lambda: 0.0)


class Clock:
    """A clock on which a step takes as long as `seconds(plan)` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Any) -> None:
        self.now, self.steps = 0.0, 0
        inner = plans._step

        def step(twin: nn.Module, probe: Any, plan: Plan, device: torch.device) -> float:
            self.now += seconds(plan)
            self.steps += 1
            return inner(twin, probe, plan, device)

        monkeypatch.setattr(plans, "_step", step)
        monkeypatch.setattr(plans.time, "perf_counter", lambda: self.now)


def probe(twin: nn.Module, plan: Plan) -> Tensor:
    return twin(plan.lay(Labelled(IMAGE, LABEL)).image).square().mean()


def fastest(plan: Plan) -> float:
    return 1.0 if (plan.layout, plan.precision, plan.threads) == ("channels_last", "bfloat16", 1) else 2.0


def test_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plans._candidates(NET, 2, CPU)
    assert found[0] == Plan(threads=2), "PyTorch's defaults are the first"
    assert len({(p.layout, p.precision, p.threads) for p in found}) == len(found) == 8
    assert {p.layout for p in plans._candidates(nn.Linear(2, 2), 2, CPU)} == {"contiguous"}
    assert {p.threads for p in plans._candidates(NET, 1, CPU)} == {1}
    monkeypatch.setattr(plans, "bfloat16_pays", lambda _: False)
    assert {p.precision for p in plans._candidates(NET, 2, CPU)} == {"float32"}


def test_the_fastest_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, fastest)
    torch.set_num_threads(2)
    weights = [p.detach().clone() for p in NET.parameters()]
    found = measure(NET, probe, 8, None, CPU)
    assert (found.layout, found.precision, found.threads) == ("channels_last", "bfloat16", 1)
    assert "2.0 x PyTorch's defaults (8 ways tried)" in found.words
    assert torch.get_num_threads() == 1
    assert all(p.grad is None for p in NET.parameters()), "measured on copies"
    assert all(torch.equal(a, b) for a, b in zip(weights, NET.parameters(), strict=True))
    assert all(p.is_contiguous() for p in NET.parameters())


def test_near_equals_do_not_flip(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, lambda plan: 1.0 if plan.layout == "contiguous" and plan.precision == "float32" else 0.97)
    found = measure(NET, probe, 8, None, CPU)
    assert (found.layout, found.precision) == ("contiguous", "float32"), "3 % are no reason"


@pytest.mark.parametrize("wrong", ["loss", "gradient"])
def test_a_fast_plan_that_computes_another_thing_is_rejected(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    Clock(monkeypatch, fastest)

    def broken(twin: nn.Module, plan: Plan) -> Tensor:
        value = probe(twin, plan)
        if plan.precision == "float32":
            return value
        if wrong == "loss":
            return 1.1 * value
        return 2 * value.detach() - value  # the same loss, uphill

    found = measure(NET, broken, 8, None, CPU)
    assert found.precision == "float32"
    assert {t["precision"]: t["within"] for t in found.tried} == {"float32": True, "bfloat16": False}


def test_remembered(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    clock = Clock(monkeypatch, fastest)
    torch.set_num_threads(2)
    first = measure(NET, probe, 8, None, CPU)
    steps = clock.steps
    torch.set_num_threads(2)
    assert measure(NET, probe, 8, None, CPU) == first
    assert clock.steps == steps, "nothing is measured"
    torch.set_num_threads(2)
    measure(NET, probe, 4, None, CPU)
    assert clock.steps > steps, "another batch is another question"
    (file,) = [
        f
        for f in (home / "home" / ".cache" / "milestones" / "plans").iterdir()
        if read_plan(json.loads(f.read_text())) == first
    ]
    for damage in (
        b"",
        b"[]",
        b"{}",
        b'"x"',
        file.read_bytes()[:50],
        json.dumps({"format": 1, "layout": "spiral"}).encode(),
    ):
        file.write_bytes(damage)
        torch.set_num_threads(2)
        assert measure(NET, probe, 8, None, CPU).layout == first.layout
        assert read_plan(json.loads(file.read_text())) == first, "measured again and put right"


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "home" / ".cache").write_text("a file")
    Clock(monkeypatch, fastest)
    assert measure(NET, probe, 8, None, CPU).precision == "bfloat16"


def test_a_given_plan_is_taken_whatever_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, fastest)
    found = measure(NET, probe, 8, chosen("contiguous/float32/1"), CPU)
    assert (found.layout, found.precision, found.threads, len(found.tried)) == ("contiguous", "float32", 1, 1)
    torch.set_num_threads(2)
    exact = measure(NET, probe, 8, chosen("exact"), CPU)
    assert (exact.layout, exact.precision, exact.threads) == ("contiguous", "float32", 2)


def lacking(twin: nn.Module, plan: Plan) -> Tensor:
    if torch.is_autocast_enabled("cpu"):
        raise RuntimeError("bf16 path needs a processor with avx512\nand more lines")
    return probe(twin, plan)


def test_what_the_processor_lacks_is_left_out_of_the_race() -> None:
    plan = measure(NET, lacking, 8, None, CPU)
    assert plan.precision == "float32"
    tried = {(one["layout"], one["precision"]): one for one in plan.tried}
    assert tried["contiguous", "bfloat16"]["within"] is False and tried["contiguous", "bfloat16"]["rate"] == 0
    with pytest.raises(
        UserError,
        match=r"a plan that can run here, got bfloat16, which this processor has not for this "
        r"model \(bf16 path needs a processor with avx512\)",
    ):
        measure(NET, lacking, 8, Plan(precision="bfloat16", threads=1), CPU)


def test_a_model_that_cannot_run_is_not_blamed_on_the_plan() -> None:
    def broken(twin: nn.Module, plan: Plan) -> Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        measure(NET, broken, 8, Plan(precision="bfloat16", threads=1), CPU)


def test_words() -> None:
    assert chosen("auto") is None
    assert chosen("channels_last/bfloat16/2") == Plan(
        "channels_last", "bfloat16", 2, "as asked: channels_last/bfloat16/2"
    )
    for words in ("", "fast", "contiguous", "contiguous/float32", "contiguous/float32/0", "contiguous/float16/1",
                  "rows/float32/1", "contiguous/float32/-1", "contiguous/float32/x", "contiguous/float32/²",
                  "contiguous/float32/257", "contiguous/float32/1/1", "Exact"):  # fmt: skip
        with pytest.raises(UserError, match="a plan auto, exact or LAYOUT/PRECISION/THREADS"):
            chosen(words)


def test_read_plan() -> None:
    plan = Plan("channels_last", "bfloat16", 2, "w", 1.0, 2.0, [{"rate": 3}], "m")
    assert read_plan(json.loads(json.dumps({"format": 1, **asdict(plan)}))) == plan
    for changes in (
        {"layout": "x"},
        {"precision": []},
        {"threads": "2"},
        {"threads": 10**9},
        {"threads": -1},
        {"flops": "x"},
        {"more": 1},
    ):
        with pytest.raises((TypeError, ValueError)):
            read_plan({**asdict(plan), **changes})


def test_flops_and_share() -> None:
    layer = nn.Linear(100, 50, bias=False)
    x = torch.randn(4, 100)
    found = plans.count_flops(layer, lambda twin, _: twin(x).sum()) / 4
    assert found == 2 * 2 * 100 * 50, "forward, and the gradient of the weights"
    assert Plan(flops=1e6, peak_gflops=10.0).share(1000.0) == pytest.approx(10.0)
    assert Plan().share(1000.0) == 0


def test_layout_of_a_batch() -> None:

    batch = Labelled(torch.zeros(2, 3, 4, 4), torch.zeros(2))
    laid = Plan("channels_last").lay(batch)
    assert isinstance(laid, Labelled)
    assert laid.image.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(laid.image, batch.image)
    assert Plan().lay(batch) is batch


def test_a_plan_of_a_busy_machine_is_not_remembered(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    clock = Clock(monkeypatch, fastest)
    monkeypatch.setattr(plans, "others_seconds", lambda: 0.5 * clock.now)  # half of one processor
    monkeypatch.setattr(plans.os, "cpu_count", lambda: 2)
    found = measure(NET, probe, 8, None, CPU)
    assert "other programs took 25 % of the processor meanwhile, so this plan is not remembered" in found.words
    assert not list(home.rglob("plans/*.json"))
    monkeypatch.setattr(plans, "others_seconds", lambda: 0.1 * clock.now)
    assert "not remembered" not in measure(NET, probe, 8, None, CPU).words
    assert len(list(home.rglob("plans/*.json"))) == 1


def test_others_seconds_grow_with_others_work() -> None:
    import subprocess
    import sys

    before = others_seconds()
    subprocess.run([sys.executable, "-c", "while __import__('time').process_time() < 0.5: pass"], check=True)
    assert others_seconds() - before >= 0.3  # a child is another program, too
