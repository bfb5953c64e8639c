"""Killing the workers of a run, from outside, as an operating system does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from liverplan.cohort.run import Event

PATIENCE_S = 90.0


def wait_for(condition: Callable[[], object]) -> object:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def process_of(out: Path, case_id: str, attempt: int) -> int | None:
    """The process that plans a case, from its log, once it has come to read the image."""
    with contextlib.suppress(OSError):
        text = (
            (out / "logs" / f"{case_id}.log").read_text(encoding="utf-8").partition(f"{case_id}, attempt {attempt},")[2]
        )
        found = re.search(r"process (\d+)", text)
        if found and "reading the image" in text:
            return int(found.group(1))
    return None


class Killer:
    """Kills the worker of a case, in each of its first attempts."""

    def __init__(self, out: Path, case_id: str, times: int) -> None:
        self.left = times
        self._out, self._case_id, self._attempt = out, case_id, 0

    def __call__(self, event: Event) -> None:
        if event.what == "case" and event.case_id == self._case_id:
            self._attempt += 1
            if self.left:
                self.left -= 1
                threading.Thread(target=self._kill, args=(self._attempt,)).start()

    def _kill(self, attempt: int) -> None:
        process = wait_for(lambda: process_of(self._out, self._case_id, attempt))
        assert isinstance(process, int)
        os.kill(process, signal.SIGKILL)
