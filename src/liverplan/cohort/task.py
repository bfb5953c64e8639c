"""One case as one unit of work: planned into a folder of its own, published by a rename, or a failure with its reason.

Runs in a worker. Nothing that a case can do ends the run: whatever is raised becomes an outcome.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.cohort.cases import CohortCase
from liverplan.cohort.inputs import content_hash, fetched, signature, stamps_of
from liverplan.cohort.places import CASE_FILE, THUMBNAIL, Places
from liverplan.cohort.remote import Location, Remote
from liverplan.cohort.request import Request
from liverplan.errors import InputError, LiverplanError, OutputError, ResourceError
from liverplan.io.folder import write_json_atomic, writing

if TYPE_CHECKING:
    from liverplan.case import Settings

RETRIED = ("killed", "resources")
"""Kinds of failure that another attempt may get past; the others are facts about the input or the program."""
STAGE = "stage: "
"""Begins the lines of a log that say what comes next: all that is left of a worker that was killed."""
_BEFORE = "looking at the inputs"
_ATTEMPT = ", attempt "
_FETCHED = "liverplan-"
"""Begins the name of a temporary folder with what was fetched for a case."""
_COPY = re.compile(rf"[^\s'\"(]*/{_FETCHED}\w+/(\w+)/[^\s'\"/:,;)]+")
"""The path of what was fetched for a role, which is then shown as that of a local file."""
_LIMIT_OVER = "Timeout ("
"""Begins the line that faulthandler writes when it ends a process."""


@dataclass(frozen=True)
class Task:
    """A case to plan. known: a signature and the content that was hashed under it. reuse: a finished folder with the
    same key is taken as it is. limit_s: what an attempt may take. nodes_lost: attempts that do not count. version: the
    driver's, which a worker on another machine must have as well."""

    case: CohortCase
    out: Path
    request: Request
    known: tuple[str, str] | None = None
    reuse: bool = True
    attempt: int = 1
    limit_s: float | None = None
    nodes_lost: int = 0
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """What became of a case. status: "done", "kept" (was finished before, same key) or "failed".

    stage, kind, reason: of a failure; see `state.CaseState`. seconds: wall time of this attempt.
    """

    case_id: str
    status: str
    signature: str | None = None
    content: str | None = None
    key: str | None = None
    kind: str | None = None
    stage: str | None = None
    reason: str | None = None
    seconds: float = 0.0
    worker: str | None = None


class CaseWorker:
    """Plans one case after the other. While one is planned, the files of the next are read and hashed, so that they
    are in memory when their turn comes. Libraries and networks stay loaded."""

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(max_workers=1)
        self._ahead: dict[str, Future[_Identity]] = {}
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def work(self, task: Task, ahead: Task | None = None) -> Outcome:
        """Plan `task`. ahead: what will probably come next. Never raises for what a case does."""
        current = self._ahead.pop(task.case.id, None)
        for unused in self._ahead.values():
            unused.add_done_callback(_forgotten)
        self._ahead.clear()
        with _logging(Places(task.out).log(task.case.id), task) as log:
            waiting = current or self._beside.submit(_identity, task)
            if ahead is not None:
                self._ahead[ahead.case.id] = self._beside.submit(_identity, ahead)
            return replace(_attempt(task, waiting.result, log), worker=self.name)


class _Log:
    """What is being done now, also as a line of the log. Lines are written at once: a killed worker leaves them."""

    def __init__(self, file: IO[str]) -> None:
        self.stage = _BEFORE
        self._file = file
        self._started = time.perf_counter()

    def stages(self, stage: str) -> None:
        """A new stage."""
        if stage != self.stage:
            self.line(f"{STAGE}{stage} ({time.perf_counter() - self._started:.1f} s)")
        self.stage = stage

    def line(self, text: str) -> None:
        """A line; a disk that is full must not fail a case twice."""
        with contextlib.suppress(OSError):
            print(text, file=self._file, flush=True)


def last_stage(log: Path) -> str:
    """The stage that a log ends in."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return _BEFORE
    found = next((line for line in reversed(lines) if line.startswith(STAGE)), STAGE + _BEFORE)
    return found.removeprefix(STAGE).rpartition(" (")[0] or found.removeprefix(STAGE)


def ended_by_limit(log: Path) -> bool:
    """Whether the last attempt of a log was ended because it took too long."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return f"\n{_LIMIT_OVER}" in text[text.rfind(_ATTEMPT) :]


@dataclass(frozen=True)
class _Identity:
    """Signature and content of a case. copy: it with everything on this machine, in a folder that is then removed."""

    signature: str
    content: str
    copy: CohortCase | None = None
    folder: Path | None = None

    def forget(self) -> None:
        """Remove what was fetched."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _forgotten(unused: Future[_Identity]) -> None:
    """Remove what was fetched for a case that another worker plans."""
    if not unused.cancelled() and unused.exception() is None:
        unused.result().forget()


def _identity(task: Task) -> _Identity:
    """A content that is known for the signature is not read again; what is remote is fetched to be read."""
    stamps = stamps_of(task.case)
    current = signature(stamps)
    if task.known is not None and task.known[0] == current:
        return _Identity(*task.known)
    if not task.case.is_remote:
        return _Identity(current, content_hash(stamps), task.case)
    return _fetched(task.case, current)


def _fetched(case: CohortCase, marks: str) -> _Identity:
    folder = Path(tempfile.mkdtemp(prefix=_FETCHED))
    try:
        copy = fetched(case, folder)
        return _Identity(marks, content_hash(stamps_of(copy)), copy, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _attempt(task: Task, identity: Callable[[], _Identity], log: _Log) -> Outcome:
    started = time.perf_counter()
    try:
        outcome = _plan(task, identity, log)
    except Exception as error:
        log.line(traceback.format_exc())
        outcome = _failure(task, error, log.stage)
    return replace(outcome, seconds=round(time.perf_counter() - started, 3))


def _failure(task: Task, error: Exception, stage: str) -> Outcome:
    if isinstance(error, LiverplanError):
        lasting = isinstance(error, InputError) and not isinstance(error, OutputError)
        kind, reason = "refused" if lasting else "resources", f"{error.what}: got {error.got}; wanted {error.wanted}"
    elif isinstance(error, (MemoryError, OSError)):
        kind, reason = "resources", f"{type(error).__name__}: {error}" if str(error) else "out of memory"
    else:
        kind, reason = "error", f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError, LiverplanError):
        marks = signature(stamps_of(task.case))
        return Outcome(task.case.id, "failed", marks, kind=kind, stage=stage, reason=_shown(reason, task))
    return Outcome(task.case.id, "failed", kind=kind, stage=stage, reason=_shown(reason, task))


def _shown(reason: str, task: Task) -> str:
    """One line without folders of this machine: tables travel, and a folder may be named after a patient."""
    for role, path in task.case.inputs:
        reason = reason.replace(str(path), f"<{role}>")
    reason = reason.replace(str(task.out), "<out>")
    reason = _COPY.sub(r"<\1>", reason)
    return " ".join(reason.split())[:1000]


def _plan(task: Task, identity: Callable[[], _Identity], log: _Log) -> Outcome:
    if task.version != __version__:
        raise ResourceError(
            "the worker has another version of liverplan than the run",
            got=__version__,
            wanted=task.version,
            do="Install the same version on every node.",
        )
    found = identity()
    try:
        return _plan_known(task, found, log)
    finally:
        found.forget()


def _plan_known(task: Task, found: _Identity, log: _Log) -> Outcome:
    case, places, marks = task.case, Places(task.out), found.signature
    key = task.request.key(case, found.content)
    outcome = Outcome(case.id, "done", marks, found.content, key)
    if task.reuse and published_key(places, case.id) == key:
        return replace(outcome, status="kept")
    if found.copy is None:
        again = _fetched(case, marks) if case.is_remote else replace(found, copy=case)
        try:
            return _plan_known(task, again, log)
        finally:
            again.forget()
    log.stages("starting")
    work = places.work / f"{case.id}.{uuid.uuid4().hex}"
    try:
        with writing(work):
            work.mkdir(parents=True)
        _write_case(replace(task, case=found.copy), key, found.content, work, log)
        if signature(stamps_of(case)) != marks:
            raise ResourceError(
                "the inputs changed while the case was planned",
                got="files of another size or time than before",
                wanted="files that stay as they are",
                do="Run the command again when they are complete.",
            )
        log.stages("publishing")
        with writing(places.case(case.id)):
            _publish(work, places.case(case.id))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return outcome


def published_key(places: Places, case_id: str) -> str | None:
    """The key of a finished case's folder; None when there is none that can be read."""
    try:
        found = json.loads(places.case_file(case_id).read_text(encoding="utf-8"))
        return str(found["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_case(task: Task, key: str, content: str, work: Path, log: _Log) -> None:
    """`work`/result as `liverplan plan` writes it, and in it what the cohort needs to know."""
    from liverplan.case import plan_case
    from liverplan.cohort.rows import case_rows
    from liverplan.cohort.thumbnail import write_thumbnail

    started = time.perf_counter()
    result = work / "result"
    plan = plan_case(_settings(task, work), result, progress=lambda _fraction, stage: log.stages(stage))
    log.stages("collecting the tables")
    write_thumbnail(plan, result / THUMBNAIL)
    report = json.loads((result / "report.json").read_text(encoding="utf-8"))
    run = json.loads((result / "run.json").read_text(encoding="utf-8"))
    rows = case_rows(task.case.id, report, run)
    rows["cases"][0]["content_sha256"] = content
    total = {"case_id": task.case.id, "stage": "case", "seconds": round(time.perf_counter() - started, 3)}
    rows["timings"].append({**total, "peak_memory_mb": run.get("peak_memory_mb")})
    stated = work / "clinical.json"
    if stated.exists() and not (result / stated.name).exists():
        stated.rename(result / stated.name)
    head = {"key": key, "software_version": __version__, "notice": RESEARCH_USE_ONLY}
    write_json_atomic(result / CASE_FILE, {**head, "rows": rows})


def _settings(task: Task, work: Path) -> Settings:
    """The settings of `plan_case`; the clinical record goes in as a file."""
    from liverplan.case import Settings

    case, request = task.case, task.request
    image, masks = _here(case.image), case.segmentation
    stated = None
    if case.clinical is not None:
        stated = work / "clinical.json"
        write_json_atomic(stated, case.clinical)
    return Settings(
        image,
        None if masks is None else _here(masks),
        request.protocol,
        case.series_uid,
        case.modality,
        request.model,
        request.device,
        request.pictures,
        margin_mm=case.margin_mm,
        resections=tuple(map(_here, case.resections)),
        clinical=stated,
    )


def _here(place: Location) -> Path:
    if isinstance(place, Remote):
        raise TypeError(f"{place} was not fetched")
    return place


def _publish(work: Path, place: Path) -> None:
    """Give the finished folder its name; an earlier one steps aside first and goes with the work folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(work / "earlier")
    (work / "result").rename(place)


@contextlib.contextmanager
def _logging(path: Path, task: Task) -> Iterator[_Log]:
    """Everything that this process writes, from C libraries as well, goes to the case's log while it is planned."""
    with _log_file(path, "a" if task.attempt > 1 else "w") as file, _redirected(file.fileno()):
        log = _Log(file)
        log.line(f"{task.case.id}{_ATTEMPT}{task.attempt}, liverplan {__version__}, process {os.getpid()}")
        with _limited(task.limit_s, file):
            yield log


@contextlib.contextmanager
def _limited(limit_s: float | None, file: IO[str]) -> Iterator[None]:
    """End this process when the limit is over, with the stacks of its threads in the log.

    The watch is a thread of the interpreter's own that needs no lock: it also ends a C library that never returns.
    """
    if limit_s is not None:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _log_file(path: Path, mode: str) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode, encoding="utf-8", errors="replace")
    except OSError:
        return Path(os.devnull).open(mode, encoding="utf-8")


@contextlib.contextmanager
def _redirected(target: int) -> Iterator[None]:
    """Point the descriptors of stdout and stderr at another file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
    try:
        for descriptor, _ in before:
            os.dup2(target, descriptor)
        faulthandler.enable(2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in before:
            os.dup2(copy, descriptor)
            os.close(copy)
