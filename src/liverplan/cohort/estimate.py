"""What a run will probably take, before it is started: hours, core hours, bytes, and money where a price is given."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from liverplan.cohort.inputs import stamps_of
from liverplan.cohort.state import CaseState
from liverplan.cohort.task import Task
from liverplan.errors import LiverplanError

MASKS_S, SEGMENT_S, PICTURES_S = 15.0, 6.0, 10.0
"""Core seconds of a case that was never timed here: planned from masks, and what segmenting and drawing add. Those of
phantoms of 2.5 mm and of a scan of 512 x 512 x 300 (docs/segmentation.md); a large liver takes several times that."""
RESULT_MB = 12.0
"""Of a planned case with pictures; the masks of a large scan are several times that."""
FEWEST = 3
"""Cases of this cohort that were planned before, from which their own times are believed."""


@dataclass(frozen=True)
class Estimate:
    """basis: where `seconds_per_case` comes from. cost: at the price of an hour of a worker, None without a price."""

    cases: int
    workers: int
    seconds_per_case: float
    basis: str
    hours: float
    worker_hours: float
    read_gb: float
    result_gb: float
    cost: float | None

    def sentence(self) -> str:
        """For people."""
        money = "" if self.cost is None else f", {self.cost:.2f} at the price given"
        return (
            f"about {self.hours:.2g} hours with {self.workers} at a time "
            f"({self.worker_hours:.2g} worker hours{money}): {self.seconds_per_case:.0f} s a case, {self.basis}; "
            f"{self.read_gb:.2g} GB to read, about {self.result_gb:.2g} GB of results"
        )


def estimate(tasks: Sequence[Task], known: Sequence[CaseState], workers: int, price: float | None = None) -> Estimate:
    """known: cases that are finished, with the seconds that they took. price: of an hour of one worker."""
    timed = [state.seconds for state in known if state.status == "done" and state.seconds]
    if len(timed) >= FEWEST:
        seconds, basis = statistics.median(timed), f"the median of {len(timed)} cases of this cohort"
    else:
        seconds, basis = _assumed(tasks), "assumed (times of phantoms; plan some cases with --limit for your own)"
    worker_hours = len(tasks) * seconds / 3600
    workers = max(1, min(workers, len(tasks)))
    return Estimate(
        cases=len(tasks),
        workers=workers,
        seconds_per_case=round(seconds, 1),
        basis=basis,
        hours=worker_hours / workers,
        worker_hours=worker_hours,
        read_gb=sum(map(_bytes, tasks)) / 1e9,
        result_gb=len(tasks) * RESULT_MB / 1000,
        cost=None if price is None else round(worker_hours * price, 2),
    )


def _assumed(tasks: Sequence[Task]) -> float:
    each = [
        MASKS_S + SEGMENT_S * (task.case.segmentation is None) + PICTURES_S * task.request.pictures for task in tasks
    ]
    return statistics.fmean(each) if each else 0.0


def _bytes(task: Task) -> int:
    """Of everything that a case reads; what cannot be looked at counts nothing here and fails in the run."""
    try:
        return sum(stamp.size for stamp in stamps_of(task.case))
    except (OSError, LiverplanError):
        return 0
