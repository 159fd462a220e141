"""Questions that come at nearly the same time, answered by one call: a forward pass over many inputs costs little more
than one over a single one."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple


class Question(NamedTuple):
    """Some inputs that are answered in one call, with others of an equal `mark`."""

    items: Sequence[Any]
    mark: Hashable
    found: Future[list[Any]]
    at: float  # when it was asked, by the monotonic clock


class Together:
    """A thread that calls `answer(items, mark)` for all questions that came within `window` seconds of the first, up to
    `most` items. A call that fails is repeated for each question alone, so that one bad input spoils no other's."""

    def __init__(self, answer: Callable[[list[Any], Any], list[Any]], window: float, most: int) -> None:
        self._answer, self._window, self._most = answer, window, most
        self._asked: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._aside: deque[Question] = deque()  # of another mark than the batch that was gathered, in their order
        self._ending = False
        self.calls = self.items = 0  # so far
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def ask(self, items: Sequence[Any], mark: Hashable = None) -> Future[list[Any]]:
        """One answer for each item, when it is there. A question that is cancelled before its turn costs nothing."""
        found: Future[list[Any]] = Future()
        self._asked.put(Question(items, mark, found, time.monotonic()))
        return found

    def end(self) -> None:
        """Answer what was asked, then end the thread."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while batch := self._gather():
            self._carry_out([one for one in batch if one.found.set_running_or_notify_cancel()])

    def _gather(self) -> list[Question]:
        """The next batch; empty at the end."""
        first = self._aside.popleft() if self._aside else None if self._ending else self._asked.get()
        if first is None:
            return []
        batch, count, rest = [first], len(first.items), deque[Question]()

        def fits(one: Question) -> bool:
            return one.mark == first.mark and count + len(one.items) <= self._most

        for one in self._aside:
            if fits(one):
                batch.append(one)
                count += len(one.items)
            else:
                rest.append(one)
        self._aside = rest
        while count < self._most and not self._ending:
            try:  # what came while the last batch was answered is there already, and waits for no window
                one = self._asked.get(timeout=max(0.0, first.at + self._window - time.monotonic()))
            except queue.Empty:
                break
            if one is None:
                self._ending = True
            elif fits(one):
                batch.append(one)
                count += len(one.items)
            else:
                self._aside.append(one)
        return batch

    def _carry_out(self, batch: Sequence[Question]) -> None:
        if not batch:
            return
        items = [item for question in batch for item in question.items]
        self.calls, self.items = self.calls + 1, self.items + len(items)
        try:
            answers = self._answer(items, batch[0].mark)
            assert len(answers) == len(items), f"{len(answers)} answers for {len(items)} inputs"
        except Exception as problem:
            if len(batch) == 1:
                batch[0].found.set_exception(problem)
                return
            for question in batch:
                self._carry_out([question])
            return
        at = 0
        for question in batch:
            question.found.set_result(answers[at : at + len(question.items)])
            at += len(question.items)
