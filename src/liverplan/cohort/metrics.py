"""The state of a run as a text file of Prometheus' format, for the textfile collector of its node exporter.

A file needs no port that others could reach, and stays when the driver is gone.
"""

from __future__ import annotations

import time
from pathlib import Path

from liverplan.cohort.run import Event
from liverplan.io.folder import write_text_atomic

SECONDS_BETWEEN = 2.0
_HELP = {
    "cases": ("gauge", "Cases of the cohort by state."),
    "kept_cases": ("gauge", "Those of them that an earlier run had finished."),
    "failed_attempts_total": ("counter", "Attempts of this run that failed and are followed by another."),
    "cases_per_hour": ("gauge", "Cases planned per hour in this run."),
    "seconds": ("gauge", "Seconds since this run was started."),
    "last_event_unix_seconds": ("gauge", "When something happened last: a run that hangs is seen by its age."),
}


class Metrics:
    """A listener of `run_cohort` that keeps a file up to date, every two seconds at most and at the end."""

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._written = 0.0
        self._again = 0

    def __call__(self, event: Event) -> None:
        self._again += event.what == "again"
        now = time.monotonic()
        if event.what in ("started", "finished") or now - self._written >= SECONDS_BETWEEN:
            write_text_atomic(self._path, exposition(event, self._again, time.time()))
            self._written = now


def exposition(event: Event, failed_attempts: int, unix_s: float) -> str:
    """Prometheus' text format, version 0.0.4."""
    states = {"done": event.done, "failed": event.failed, "open": event.total - event.done - event.failed}
    values: dict[str, dict[str, float]] = {
        "cases": {f'{{state="{name}"}}': count for name, count in states.items()},
        "kept_cases": {"": event.kept},
        "failed_attempts_total": {"": failed_attempts},
        "cases_per_hour": {"": event.cases_per_hour or 0.0},
        "seconds": {"": event.seconds},
        "last_event_unix_seconds": {"": unix_s},
    }
    lines = []
    for name, (kind, says) in _HELP.items():
        lines += [f"# HELP liverplan_cohort_{name} {says}", f"# TYPE liverplan_cohort_{name} {kind}"]
        lines += [f"liverplan_cohort_{name}{labels} {value:.10g}" for labels, value in values[name].items()]
    return "\n".join(lines) + "\n"
