"""What runs cases: a number of slots, each with a worker that plans one case at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from liverplan.cohort.task import Outcome, Task


@dataclass(frozen=True)
class Died:
    """A worker that ended without an answer. reason: in words. node_lost: its machine went, so that the case had no
    part in it."""

    reason: str
    node_lost: bool = False


Answer: TypeAlias = "Outcome | Died"


class Engine(Protocol):
    """Used by `schedule.run_tasks`. A slot whose worker died has a new one by its next `submit`."""

    @property
    def slots(self) -> int:
        """How many cases are planned at a time."""

    def submit(self, slot: int, task: Task, ahead: Task | None) -> None:
        """Start a task in a free slot. ahead: what will probably come next there."""

    def wait(self) -> list[tuple[int, Answer]]:
        """Block until at least one running slot has an answer; return all that have."""

    def release(self, slot: int) -> None:
        """There is nothing for this free slot at present: what its worker holds may go to others."""

    def close(self) -> None:
        """End every worker, whatever it is doing."""
