"""Whatever dies whenever: every task ends exactly once, and no slot has two."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from liverplan.cohort.cases import CohortCase
from liverplan.cohort.engines import Answer, Died
from liverplan.cohort.request import Request
from liverplan.cohort.schedule import NODES_LOST_AT_MOST, run_tasks
from liverplan.cohort.task import RETRIED, Outcome, Task, ended_by_limit, last_stage


class DyingEngine:
    """An engine in memory whose workers end as the script says, in the order of the script."""

    def __init__(self, slots: int, script: list[tuple[int, str]]) -> None:
        self._slots = slots
        self._script = list(script)
        self._busy: dict[int, Task] = {}
        self.ahead: list[tuple[str, str]] = []

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, slot: int, task: Task, ahead: Task | None) -> None:
        assert slot not in self._busy, "a slot plans one case at a time"
        assert task.case.id not in {other.case.id for other in self._busy.values()}, "a case is planned once at a time"
        assert ahead is None or ahead.case.id != task.case.id
        self._busy[slot] = task

    def wait(self) -> list[tuple[int, Answer]]:
        assert self._busy, "nobody waits for nothing"
        which, end = self._script.pop(0) if self._script else (0, "done")
        slot = sorted(self._busy)[which % len(self._busy)]
        task = self._busy.pop(slot)
        if end in ("dies", "node"):
            return [(slot, Died(end, node_lost=end == "node"))]
        kind = None if end == "done" else end
        return [(slot, Outcome(task.case.id, "done" if kind is None else "failed", kind=kind))]

    def release(self, slot: int) -> None:
        assert slot not in self._busy, "a worker that plans a case is not let go"

    def close(self) -> None:
        self._busy.clear()


def tasks(count: int) -> list[Task]:
    return [Task(CohortCase(f"p{n}", Path("image.nii.gz")), Path("/nowhere"), Request()) for n in range(count)]


ENDS = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(["done", "dies", "node", "refused", "resources", "error"])),
    max_size=60,
)


@given(st.integers(0, 20), st.integers(1, 5), ENDS, st.integers(0, 3))
def test_every_task_ends_once_however_workers_end(count: int, slots: int, script: list, retry: int) -> None:
    seen: list[tuple[Task, Outcome, bool]] = []
    started: list[Task] = []
    run_tasks(DyingEngine(slots, script), tasks(count), retry, lambda *end: seen.append(end), started.append)
    last = [task.case.id for task, _, again in seen if not again]
    assert sorted(last) == sorted(task.case.id for task in tasks(count))
    assert Counter(task.case.id for task in started) == Counter(task.case.id for task, _, _ in seen)
    for task, outcome, again in seen:
        free = outcome.reason == "node" and task.nodes_lost < NODES_LOST_AT_MOST
        left = free or task.attempt - task.nodes_lost <= retry
        assert again == (outcome.status == "failed" and outcome.kind in RETRIED and left)
    for case_id, number in Counter(task.case.id for task, _, _ in seen).items():
        lost = max(task.nodes_lost for task, _, _ in seen if task.case.id == case_id)
        assert lost <= NODES_LOST_AT_MOST
        assert number <= retry + 1 + lost
        assert [task.attempt for task, _, _ in seen if task.case.id == case_id] == list(range(1, number + 1))


def ends_of(script: list[str], retry: int) -> list[bool]:
    """Whether each attempt at the only task was followed by another."""
    seen: list[bool] = []
    engine = DyingEngine(1, [(0, end) for end in script])
    run_tasks(engine, tasks(1), retry, lambda task, outcome, again: seen.append(again))
    return seen


def test_an_attempt_that_ended_with_its_node_is_not_held_against_the_case() -> None:
    assert ends_of(["node", "node", "done"], retry=0) == [True, True, False]
    assert ends_of(["node", "dies", "node", "dies", "done"], retry=1) == [True, True, True, False]
    assert ends_of(["dies", "done"], retry=0) == [False]


def test_a_case_that_is_last_on_every_node_that_goes_is_given_up() -> None:
    assert ends_of(["node"] * 20, retry=0) == [True] * NODES_LOST_AT_MOST + [False]


def test_the_last_stage_of_a_log_is_where_a_killed_worker_was(tmp_path: Path) -> None:
    log = tmp_path / "p1.log"
    assert last_stage(log) == "looking at the inputs"
    log.write_text(
        "p1, attempt 1\nstage: reading the image (1.0 s)\nstage: loss field (2.5 s)\nKilled, it seems\n",
        encoding="utf-8",
    )
    assert last_stage(log) == "loss field"


def test_a_log_tells_a_limit_from_a_kill_and_an_attempt_from_the_one_before(tmp_path: Path) -> None:
    log = tmp_path / "p1.log"
    assert not ended_by_limit(log)
    log.write_text("p1, attempt 1, process 7\nstage: meshes (1.0 s)\nTimeout (0:00:05)!\nThread 1:\n", encoding="utf-8")
    assert ended_by_limit(log)
    with log.open("a", encoding="utf-8") as file:
        file.write("p1, attempt 2, process 8\nstage: reading the image (0.1 s)\n")
    assert not ended_by_limit(log)
