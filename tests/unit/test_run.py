"""Run, without a page: steps, log, show, seeds, stages."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.run import Progress, Run
from milestones.core.source import Place
from milestones.core.state import Memo

CPU = Place(torch.device("cpu"), 0)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_steps_once_each(tmp_path: Path) -> None:
    with Run(tmp_path, CPU, "exact") as run:
        assert list(run.steps(5)) == [0, 1, 2, 3, 4]
        assert run.step == 5
        assert list(run.steps(0, "none")) == []
    with Run(tmp_path, CPU, "exact") as run:
        assert list(run.steps(5)) == [], "finished before"
        assert run.step == 5
        assert list(run.steps(2, "more")) == [0, 1]


def test_every(tmp_path: Path) -> None:
    with Run(tmp_path, CPU, "exact") as run:
        assert [step + 1 for step in run.steps(8) if run.every(3)] == [3, 6, 8]


def test_enough_ends_this_stage_only(tmp_path: Path) -> None:
    with Run(tmp_path, CPU, "exact") as run:
        seen = []
        for step in run.steps(9, "one"):
            seen.append(step)
            if step == 3:
                run.enough()
        assert seen == [0, 1, 2, 3]
        assert list(run.steps(2, "two")) == [0, 1]
        assert run.ended == ""
    with Run(tmp_path, CPU, "exact") as run:
        assert list(run.steps(9, "one")) == list(run.steps(2, "two")) == []


def test_randomness_of_a_step_is_its_own(tmp_path: Path) -> None:
    def drawn(skip: int) -> list[tuple[float, float]]:
        with Run(tmp_path / str(skip), CPU, "exact") as run:
            found = []
            for step in run.steps(4):
                torch.rand(step * skip)  # what another step drew changes nothing
                if step:
                    run.seed("train", step)
                found.append((float(torch.rand(())), float(torch.rand((), generator=run.rng))))
            return found

    (tmp_path / "0").mkdir(), (tmp_path / "7").mkdir()
    assert drawn(0) == drawn(7)
    assert len({x for pair in drawn_again(tmp_path) for x in pair}) == 12


def drawn_again(tmp_path: Path) -> list[tuple[float, ...]]:
    """Two seeds, two stages, two ranks: all different."""
    found = []
    for i, (seed, stage, rank) in enumerate([(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]):
        run = Run(tmp_path, Place(torch.device("cpu"), seed, rank, 2), "exact")
        run.seed(stage, 3)
        found.append((float(torch.rand(())), float(torch.rand(())) + 10, i + 100.0))
    return found


def test_log_holds_means_of_a_window(tmp_path: Path) -> None:
    with Run(tmp_path, CPU, "exact") as run:
        for step in run.steps(1500):
            run.log(loss=torch.tensor(float(step)))
            if run.every(1000):
                run.log(valid_loss=7.0)
    found = lines(tmp_path)
    assert [line["step"] for line in found] == list(range(3, 1501, 3))
    assert [line["loss"] for line in found[:3]] == [1.0, 4.0, 7.0]
    assert {line["step"]: line["valid_loss"] for line in found if "valid_loss" in line} == {1002: 7.0, 1500: 7.0}


def test_log_waits_for_no_device(tmp_path: Path) -> None:
    """A number is looked at when its line is written, not when it is logged."""
    with Run(tmp_path, CPU, "exact") as run:
        for step in run.steps(1000):
            value = torch.zeros(())
            run.log(loss=value)
            if step % 2 == 0:
                value += 5.0
    assert [line["loss"] for line in lines(tmp_path)] == [2.5] * 500


def test_not_finite_in_the_middle_of_a_window(tmp_path: Path) -> None:
    with (  # noqa: PT012
        Run(tmp_path, CPU, "exact") as run,
        pytest.raises(UserError, match=r"a finite loss, got inf at step 601 \(mean before: 1\)"),
    ):
        for step in run.steps(2000):
            run.log(loss=float("inf") if step == 600 else 1.0)


def test_show_writes_whole_files(tmp_path: Path) -> None:
    class Item:
        def encode(self) -> tuple[str, bytes]:
            return ".txt", b"shown"

    with Run(tmp_path, CPU, "exact") as run:
        for step in run.steps(4):
            if step == 2:
                run.show(sample=Item())
        run.show(end=Item())
    assert sorted(p.name for p in (tmp_path / "shows").iterdir()) == [
        "train-00000002-sample.txt",
        "train-00000004-end.txt",
    ]


def test_memo_and_module_come_back(tmp_path: Path) -> None:
    model, memo = torch.nn.Linear(1, 1), Memo(seen=[])
    with Run(tmp_path, CPU, "exact") as run:
        for step in run.steps(9, model=model, memo=memo):
            with torch.no_grad():
                model.weight += 1
            memo.seen.append(step)
            if step == 4:
                run._signal = signal.SIGTERM
        assert run.ended == "interrupted"
        assert run.step == 5
        assert list(run.steps(3, "later")) == []
    other, again = torch.nn.Linear(1, 1), Memo(seen=[])
    with Run(tmp_path, CPU, "exact") as run:
        first = next(steps := run.steps(9, model=other, memo=again))
        assert (first, again.seen) == (5, [0, 1, 2, 3, 4])
        assert torch.equal(other.weight, model.weight)
        assert list(steps) == [6, 7, 8]


def test_watcher(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with Run(tmp_path, CPU, "exact", watch=seen.append) as run:
        for _ in run.steps(3):
            run.log(loss=2.0)
    assert seen[0][:3] == ("train", 1, 3)
    assert seen[0].numbers == {"loss": 2.0}


def test_time_left_counts_the_steps_of_this_process(tmp_path: Path) -> None:
    """A run that goes on at step 800 after 10 s has not made 810 steps in them."""
    from milestones.verbs.progress import words

    seen: list[Progress] = []
    with Run(tmp_path, CPU, "exact") as run:
        for step in run.steps(1000):
            if step == 799:
                run._signal = signal.SIGINT
    with Run(tmp_path, CPU, "exact", watch=seen.append) as run:
        list(run.steps(1000))
    assert seen[0][:3] == ("train", 801, 1000) and seen[0].first == 800
    assert words(Progress("train", 810, 1000, 10.0, 5.0, 0.0, {}, 800)).endswith("3 min left")


def test_numbers_below_the_smallest_normal_one_are_zero_in_a_run(tmp_path: Path) -> None:
    """Such numbers are ten times slower. After the run they are numbers again."""
    small = torch.full((10,), 1.2e-38)
    with Run(tmp_path, CPU, "exact"):
        assert not (small * 0.5).count_nonzero()
    assert (small * 0.5).count_nonzero() == 10


def test_signals_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Run(tmp_path, CPU, "exact"):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_threads_are_given_back_and_kept_on_resume(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    with Run(tmp_path, CPU, "contiguous/float32/1") as run:
        assert torch.get_num_threads() == 1, "a page that measures nothing keeps to the plan, too"
        assert run.plan.threads == 1
    assert torch.get_num_threads() == 2, "the next run in this process begins as this one did"
    with Run(tmp_path, CPU, "exact") as run:
        assert run.plan.threads == torch.get_num_threads() == 2


def test_a_run_that_cannot_begin_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    run = Run(tmp_path, CPU, "exact")
    with pytest.raises(UserError, match="a readable plan"):
        run.__enter__()
    (tmp_path / "plan.json").unlink()
    with Run(tmp_path, CPU, "exact"):
        pass
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_error_in_a_step_is_the_pages_own(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Run(tmp_path, CPU, "exact") as run:  # noqa: PT012
        for step in run.steps(3):
            1 / (step - 1)


def test_the_work_of_an_example_is_counted_for_each_stage(tmp_path: Path) -> None:
    net = torch.nn.Linear(10, 4, bias=False)
    with Run(tmp_path, CPU, "exact") as run:
        run.measure(net, lambda twin, plan: twin(torch.zeros(6, 10)).sum(), 6)
        assert run.plan.flops == 2 * 2 * 10 * 4
        run.measure(net, lambda twin, plan: twin(torch.zeros(9, 10)).sum(), 3)
        assert run.plan.flops == 3 * 2 * 2 * 10 * 4, "examples of the second stage are three rows each"


def test_a_file_that_a_state_keeps_open(tmp_path: Path) -> None:
    with Run(tmp_path, CPU, "exact") as run:
        assert run.beside("some.ring") == tmp_path / "state" / "some.ring"
        with run.member(1):
            assert run.beside("some.ring") == tmp_path / "state" / "m1_some.ring"
        (tmp_path / "state" / "other.ring").symlink_to("/dev/null")
        with pytest.raises(UserError, match=r"files inside the run folder, got state/other\.ring that leads out"):
            run.beside("other.ring")


def test_a_state_may_ask_for_a_save(tmp_path: Path) -> None:
    class Full(Memo):
        @property
        def pressing(self) -> bool:
            return self.since == 3

        def state_dict(self) -> dict[str, Any]:
            saved.append(run.step)
            self.since = 0
            return super().state_dict()

    saved: list[int] = []
    with Run(tmp_path, CPU, "exact") as run:
        memo = Full(since=0)
        for _ in run.steps(8, memo=memo):
            memo.since += 1
    assert saved == [2, 5, 8], "after three steps each, and at the end, when all are done"
