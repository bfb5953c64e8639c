"""Every task to a slot, one case at a time and one ahead; what a worker takes with it comes back to the queue."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from liverplan.cohort.engines import Answer, Died, Engine
from liverplan.cohort.places import Places
from liverplan.cohort.task import RETRIED, Outcome, Task, ended_by_limit, last_stage

NODES_LOST_AT_MOST = 5
"""For one case: what was being planned on every machine that went may be what ended them. A cluster places new workers
on a lost node until that has missed its heartbeats, so that one lost node can take two of these."""

Ended: TypeAlias = Callable[[Task, Outcome, bool], None]
"""Called with the task, what became of this attempt, and whether there will be another."""


def run_tasks(
    engine: Engine, tasks: Iterable[Task], retry: int, ended: Ended, started: Callable[[Task], None] = lambda task: None
) -> None:
    """Plan every task to its end.

    retry: further attempts for the kinds in `RETRIED`; they come last. An attempt that ended with its node is not one
    of them, `NODES_LOST_AT_MOST` times.
    """
    board = _Board(engine, deque(tasks), started)
    while board.fill():
        for slot, answer in engine.wait():
            task, seconds = board.free(slot)
            outcome = _outcome(task, answer, seconds)
            following = _following(task, answer, outcome, retry)
            ended(task, outcome, following is not None)
            if following is not None:
                board.queue.append(following)


class _Board:
    """Which task is where. Waiting tasks are in `queue`, or reserved for a slot that already reads their files."""

    def __init__(self, engine: Engine, queue: deque[Task], started: Callable[[Task], None]) -> None:
        self.queue = queue
        self._engine = engine
        self._started = started
        self._running: dict[int, tuple[Task, float]] = {}
        self._reserved: dict[int, Task] = {}

    def fill(self) -> bool:
        """Give every free slot a task. False when nothing is left to wait for."""
        free = [slot for slot in range(self._engine.slots) if slot not in self._running]
        given = {slot: task for slot in free if (task := self._next(slot)) is not None}
        for slot in free:
            if slot not in given:
                self._engine.release(slot)
        for slot, task in given.items():
            if self.queue:
                self._reserved[slot] = self.queue.popleft()
            self._running[slot] = (task, time.perf_counter())
            self._started(task)
            self._engine.submit(slot, task, self._reserved.get(slot))
        return bool(self._running)

    def free(self, slot: int) -> tuple[Task, float]:
        """The task that a slot has ended, and the seconds it took."""
        task, since = self._running.pop(slot)
        return task, time.perf_counter() - since

    def _next(self, slot: int) -> Task | None:
        """What is reserved here, then the queue, then what is reserved elsewhere."""
        if slot in self._reserved:
            return self._reserved.pop(slot)
        if self.queue:
            return self.queue.popleft()
        return self._reserved.popitem()[1] if self._reserved else None


def _following(task: Task, answer: Answer, outcome: Outcome, retry: int) -> Task | None:
    """The next attempt at a task that has ended like this, if there is one."""
    if outcome.status != "failed" or outcome.kind not in RETRIED:
        return None
    if isinstance(answer, Died) and answer.node_lost and task.nodes_lost < NODES_LOST_AT_MOST:
        return replace(task, attempt=task.attempt + 1, nodes_lost=task.nodes_lost + 1)
    if task.attempt - task.nodes_lost <= retry:
        return replace(task, attempt=task.attempt + 1)
    return None


def _outcome(task: Task, answer: Answer, seconds: float) -> Outcome:
    if not isinstance(answer, Died):
        return answer
    log = Places(task.out).log(task.case.id)
    kind, reason = "killed", answer.reason
    if task.limit_s is not None and ended_by_limit(log):
        kind, reason = "timeout", f"the case took longer than {task.limit_s:g} s"
    return Outcome(task.case.id, "failed", kind=kind, stage=last_stage(log), reason=reason, seconds=round(seconds, 3))
