"""Cases in processes of this machine. A process that dies takes one attempt at one case with it, and nothing else."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from liverplan.cohort.engines import Answer, Died
from liverplan.cohort.task import CaseWorker, Task

MEMORY_PER_CASE_MB = 5000
"""What a case from the image may need (contract, section 5): more workers than fit would be killed one by one."""
THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Libraries would each start a thread per core in every worker; a value that the user set stays."""
_SECONDS_TO_END = 5.0


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    busy: bool = False


class LocalEngine:
    """A pool of spawned processes, each started when its slot is first used. See `engines.Engine`."""

    def __init__(self, workers: int) -> None:
        self._slots = workers
        self._workers: dict[int, _Worker] = {}
        self._context = multiprocessing.get_context("spawn")
        self._threads = max(1, cores() // workers)

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, slot: int, task: Task, ahead: Task | None) -> None:
        worker = self._workers.get(slot) or self._start(slot)
        worker.busy = True
        # A worker that died a moment ago is met by `wait`, as one that dies a moment later.
        with contextlib.suppress(OSError):
            worker.connection.send((task, ahead))

    def wait(self) -> list[tuple[int, Answer]]:
        busy = {slot: worker for slot, worker in self._workers.items() if worker.busy}
        wait([*(w.connection for w in busy.values()), *(w.process.sentinel for w in busy.values())])
        answers = ((slot, self._answer(slot, worker)) for slot, worker in busy.items())
        return [(slot, answer) for slot, answer in answers if answer is not None]

    def release(self, slot: int) -> None:
        """An idle process costs no core, and is ready when a case comes back."""

    def close(self) -> None:
        for worker in self._workers.values():
            worker.connection.close()
            if worker.busy:
                worker.process.kill()
        for worker in self._workers.values():
            worker.process.join(_SECONDS_TO_END)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def _start(self, slot: int) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there,), name=f"liverplan-{slot}", daemon=True)
        with _threads(self._threads):
            process.start()
        there.close()
        worker = self._workers[slot] = _Worker(process, here)
        return worker

    def _answer(self, slot: int, worker: _Worker) -> Answer | None:
        """What a worker says, or that it died; None while it works. An answer given before death counts."""
        try:
            if worker.connection.poll():
                answer: Answer = worker.connection.recv()
                worker.busy = False
                return answer
            if worker.process.is_alive():
                return None
        except (EOFError, OSError):
            pass
        worker.process.join()
        worker.connection.close()
        del self._workers[slot]
        return Died(_why(worker.process.exitcode))


def workers_that_fit(cases: int) -> int:
    """As many workers as there are cores, memory and cases for; at least one."""
    free_mb = _available_mb()
    by_memory = cores() if free_mb is None else free_mb // MEMORY_PER_CASE_MB
    return max(1, min(cores(), by_memory, cases))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available_mb() -> int | None:
    """Memory that is free or can be freed; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None


def _serve(connection: Connection) -> None:
    """The worker's life: plan what comes until the driver hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the driver ends its workers.
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    worker = CaseWorker()
    try:
        while True:
            task, ahead = connection.recv()
            connection.send(worker.work(task, ahead))
    except (EOFError, OSError):
        os._exit(0)


def _end_with_the_driver() -> None:
    """A driver that is killed must not leave workers that go on writing beside the next driver's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Environment that a process started meanwhile inherits."""
    added = [name for name in THREAD_SETTINGS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, str(count)))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _why(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = f"signal {-exitcode}"
        hint = " (out of memory, or killed by hand)" if -exitcode == signal.SIGKILL else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with status {exitcode}"
