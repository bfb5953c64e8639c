"""The receiver: studies come in, each is planned when it is complete, and its results go to an archive.

Three kinds of threads share one Queue: the server's keep what arrives, one plans, one sends. Whatever happens to them,
the next start goes on from the queue.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liverplan.errors import ArchiveError, UnreadableInput
from liverplan.io.folder import write_bytes_atomic, writing
from liverplan.pacs.addresses import Address
from liverplan.pacs.archive import send
from liverplan.pacs.child import Ended, PlanWishes, plan_in_child
from liverplan.pacs.objects import IMAGE, SEG, ObjectHeader, header_of
from liverplan.pacs.queue import PLANNING, RECEIVING, SENDING, Queue, StudyState
from liverplan.pacs.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, Receiver, serving

DATABASE, EVENTS, LOCK = "queue.sqlite", "events.jsonl", "lock"
_FOLDERS = {IMAGE: "images", SEG: "segmentations"}
_LOOK_S = 0.2
_LONGEST_WAIT_S = 600.0


@dataclass(frozen=True)
class Listening:
    """What a receiver is told.

    state: folder that holds all it knows. send_to: None leaves the results in it. idle_s: a study is complete when
    nothing of it has come for so long. plan_tries: for plans whose process died; refused studies are not tried again.
    first_wait_s: before the second try of anything; it doubles up to ten minutes.
    """

    state: Path
    receiver: Receiver
    send_to: Address | None = None
    idle_s: float = 60.0
    plan_tries: int = 3
    first_wait_s: float = 5.0
    wishes: PlanWishes = field(default_factory=PlanWishes)


def listen(told: Listening, stop: threading.Event, ready: Any = lambda port: None) -> None:
    """Serve until `stop` is set; `ready(port)` is called when objects can be sent. Raises ArchiveError, OutputError."""
    with ExitStack() as stack:
        stack.enter_context(_only_one(told.state))
        queue = Queue(told.state / DATABASE)
        stack.callback(queue.close)
        desk = _Desk(told, queue, stop)
        desk.recover()
        workers = [threading.Thread(target=work, daemon=True) for work in (desk.plan_all, desk.send_all)]
        try:
            with serving(told.receiver, desk.keep) as port:
                for worker in workers:
                    worker.start()
                ready(port)
                stop.wait()
        finally:
            stop.set()
            for worker in workers:
                if worker.is_alive():
                    worker.join()


def status_of(state: Path) -> list[StudyState]:
    """Every study of a state folder, also while a receiver runs. Raises UnreadableInput when there was none."""
    if not (state / DATABASE).is_file():
        raise UnreadableInput(
            "nothing has listened here",
            got=f"{state} without {DATABASE}",
            wanted="the --state folder of a receiver",
            do="Check the path.",
        )
    queue = Queue(state / DATABASE)
    try:
        return queue.studies()
    finally:
        queue.close()


def counts(studies: list[StudyState]) -> dict[str, int]:
    """How many studies are in each state."""
    return {state: sum(s.state == state for s in studies) for state in sorted({s.state for s in studies})}


class _Desk:
    """What the threads do."""

    def __init__(self, told: Listening, queue: Queue, stop: threading.Event) -> None:
        self._told, self._queue, self._stop = told, queue, stop
        self._seen: dict[str, float] = {}
        self._started = time.monotonic()
        self._writing = threading.Lock()

    def recover(self) -> None:
        """What a kill left: files whose rows are missing, plans without an owner."""
        counted = set(self._queue.recover())
        for file in sorted((self._told.state / "studies").glob("*/*/*.dcm")):
            self._queue.arrived(file.parent.parent.name, file.stem)
        for attempt in (self._told.state / "results").glob("*/*"):
            if attempt.is_dir() and self._relative(attempt) not in counted:
                shutil.rmtree(attempt, ignore_errors=True)
        self._note("started")

    def keep(self, content: bytes) -> int:
        """Take one object; success is said only when it is on the disk and in the queue."""
        try:
            header = header_of(content)
            if header.kind not in _FOLDERS or self._queue.is_result(header.instance):
                self._note("left out", header.study, instance=header.instance, kind=header.kind)
                return 0x0000
            self._file(header, content)
        except UnreadableInput as error:
            self._note("refused", reason=str(error))
            return CANNOT_UNDERSTAND
        except Exception as error:  # whatever it was, the sender has to keep the object
            self._note("not kept", reason=f"{type(error).__name__}: {error}")
            return OUT_OF_RESOURCES
        return 0x0000

    def plan_all(self) -> None:
        """Plan what is complete, one study after the other, until the stop."""
        while not self._stop.wait(_LOOK_S):
            for study in self._queue.waiting(RECEIVING):
                if not self._stop.is_set() and self._is_complete(study.uid):
                    self._guarded(self._plan, self._queue.begin(study.uid), PLANNING)

    def send_all(self) -> None:
        """Send what is planned until the stop; what fails waits and does not hold up the others."""
        while not self._stop.wait(_LOOK_S):
            for study in self._queue.waiting(SENDING):
                if not self._stop.is_set():
                    self._guarded(self._send, study, SENDING)

    def _guarded(self, work: Any, study: StudyState, state: str) -> None:
        """One study's trouble (a full disk, a file that somebody removed) must not end the thread."""
        try:
            work(study)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._queue.again(study.uid, RECEIVING if state == PLANNING else state, reason, self._wait_s(study.tries))
            self._note(f"{state} failed", study.uid, reason=reason)

    def _file(self, header: ObjectHeader, content: bytes) -> None:
        folder = self._told.state / "studies" / header.study / _FOLDERS[header.kind]
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{header.instance}.dcm"
        # The first one counts: an object that is sent again under its UID is the same object (PS3.5 9).
        if not path.is_file():
            write_bytes_atomic(path, content)
            _settle(folder)
        first = header.study not in self._seen
        self._seen[header.study] = time.monotonic()
        self._queue.arrived(header.study, header.instance)
        if first:  # a line per study and start, not one per slice
            self._note("receiving", header.study)

    def _is_complete(self, study: str) -> bool:
        return time.monotonic() - self._seen.get(study, self._started) >= self._told.idle_s

    def _plan(self, study: StudyState) -> None:
        home = self._told.state / "studies" / study.uid
        out = self._told.state / "results" / study.uid / str(study.attempt)
        self._note("planning", study.uid, attempt=study.attempt, instances=study.planned)
        ended = plan_in_child(home / "images", _segmentation(home), out, self._told.wishes, self._stop)
        if ended is None:
            self._queue.put_back(study.uid)
        elif ended.reason:
            self._not_planned(study, ended)
        elif self._queue.planned(study.uid, self._relative(out), self._results(out)):
            self._note("planned", study.uid, out=self._relative(out))
        else:
            shutil.rmtree(out, ignore_errors=True)
            self._note("more arrived while planning", study.uid)

    def _not_planned(self, study: StudyState, ended: Ended) -> None:
        if ended.refused or study.tries + 1 >= self._told.plan_tries:
            self._queue.failed(study.uid, ended.reason)
            self._note("failed", study.uid, reason=ended.reason)
            return
        self._queue.again(study.uid, RECEIVING, ended.reason, self._wait_s(study.tries))
        self._note("planning failed", study.uid, reason=ended.reason)

    def _results(self, out: Path) -> list[tuple[str, str]]:
        paths = sorted((out / "dicom").glob("*.dcm"))
        return [(header_of(path.read_bytes()).instance, self._relative(path)) for path in paths]

    def _send(self, study: StudyState) -> None:
        left = [self._told.state / path for path in self._queue.unsent(study.uid)]
        if self._told.send_to is not None and left:
            try:
                send(self._told.send_to, left, self._told.receiver.title, self._sent)
            except ArchiveError as error:
                self._queue.again(study.uid, SENDING, str(error), self._wait_s(study.tries))
                self._note("sending failed", study.uid, reason=str(error))
                return
        self._queue.finish(study.uid)
        self._note("done", study.uid, sent=len(left) if self._told.send_to else 0)

    def _sent(self, path: Path) -> None:
        self._queue.sent(self._relative(path))
        self._note("sent", path.parent.parent.parent.name, object=path.name)

    def _wait_s(self, tries: int) -> float:
        return float(min(self._told.first_wait_s * 2 ** min(tries, 20), _LONGEST_WAIT_S))

    def _relative(self, path: Path) -> str:
        """Paths in the queue are relative, so that the folder can be moved."""
        return path.relative_to(self._told.state).as_posix()

    def _note(self, event: str, study: str = "", **more: object) -> None:
        """A line for the log: UIDs and reasons, nothing of the patient."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **({"study": study} if study else {})}
        with self._writing, (self._told.state / EVENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **more}) + "\n")


def _settle(folder: Path) -> None:
    """Have the names in a folder on the disk as well: a power cut must not take back what a sender was told."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _segmentation(home: Path) -> Path | None:
    """The segmentation that came with a study; the folder when there are several, which is refused by name."""
    found = sorted((home / "segmentations").glob("*.dcm"))
    return None if not found else found[0] if len(found) == 1 else home / "segmentations"


@contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """The right to a state folder. Raises ArchiveError when another receiver has it, OutputError."""
    with writing(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (state / LOCK).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ArchiveError(
                "another receiver uses this folder",
                got=str(state),
                wanted="a state folder of its own for each receiver",
                do="Stop the other one, or choose another --state.",
            ) from error
        yield


__all__ = ["Listening", "counts", "listen", "status_of"]
