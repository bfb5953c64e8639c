"""The run of a cohort: what is still to do, who does it, and what is written at the end. One driver per folder."""

from __future__ import annotations

import fcntl
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.cohort.cases import CohortCase
from liverplan.cohort.engines import Engine
from liverplan.cohort.inputs import signature, stamps_of
from liverplan.cohort.places import Places
from liverplan.cohort.request import Options, Request, pinned
from liverplan.cohort.schedule import run_tasks
from liverplan.cohort.state import CaseState, State, opened
from liverplan.cohort.task import Outcome, Task
from liverplan.errors import LiverplanError, OutputError
from liverplan.io.folder import write_json_atomic, writing

LASTING = ("refused", "error")
"""Kinds of failure that stay until the inputs, the model, the protocol or the version change."""
REMOTE_AT_A_TIME = 32
"""Cases on a storage that are looked at side by side."""


@dataclass(frozen=True)
class Event:
    """Something that happened: "started" (the run), "case", "done", "kept", "failed", "again" (a failed attempt that
    is followed by another), "tables", "finished". Counts are of the whole cohort; seconds since the start."""

    what: str
    case_id: str | None
    stage: str | None
    reason: str | None
    total: int
    done: int
    failed: int
    kept: int
    seconds: float

    @property
    def cases_per_hour(self) -> float | None:
        """Of those that were planned in this run; None before there is a rate (in its first millisecond)."""
        planned = self.done + self.failed - self.kept
        return 3600.0 * planned / self.seconds if planned > 0 and self.seconds >= 1e-3 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at this rate."""
        left = self.total - self.done - self.failed
        return None if self.cases_per_hour is None else 3600.0 * left / self.cases_per_hour


Listener: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True)
class Summary:
    """What a run left. kept: done or failed before and not computed again. seconds: of this run."""

    total: int
    done: int
    failed: int
    kept: int
    failures: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Todo:
    """The tasks of a run, and the cases whose outcome stands."""

    tasks: tuple[Task, ...]
    kept: tuple[CaseState, ...]


@dataclass
class _Tally:
    """Counts while the run goes on."""

    total: int
    listener: Listener
    done: int = 0
    failed: int = 0
    kept: int = 0
    kept_before: int = 0
    started: float = field(default_factory=time.monotonic)

    def tell(self, what: str, outcome: Outcome | None = None, case_id: str | None = None) -> None:
        name = outcome.case_id if outcome else case_id
        stage, reason = (outcome.stage, outcome.reason) if outcome else (None, None)
        seconds = round(time.monotonic() - self.started, 3)
        self.listener(Event(what, name, stage, reason, self.total, self.done, self.failed, self.kept, seconds))


def run_cohort(
    cases: Sequence[CohortCase],
    out: Path,
    request: Request,
    options: Options,
    listener: Listener = lambda event: None,
) -> Summary:
    """Plan the cases that are not finished, and write tables, cohort.html and run.json into `out`.

    A case that fails is a row, never the end of the run. Raises OutputError (a folder that is not a cohort's, or that
    another run uses), ProtocolError, ModelError, ResourceError, InputError when the engine cannot be had.
    """
    chosen = _chosen(cases, options)
    request = pinned(request, any(case.segmentation is None for case in chosen))
    out = Path(out).absolute()
    places = Places(out)
    with _owned(places), opened(places.state) as state:
        shutil.rmtree(places.work, ignore_errors=True)
        todo = _todo(chosen, places, request, options, state.all())
        tally = _Tally(len(chosen), listener, kept=len(todo.kept), kept_before=len(todo.kept))
        tally.done = sum(known.status == "done" for known in todo.kept)
        tally.failed = tally.kept - tally.done
        if todo.tasks:
            write_json_atomic(places.run, _run_record(request, options, tally, "running"))
        tally.tell("started")
        if todo.tasks:
            _plan_all(todo.tasks, places, request, options, state, tally)
        shutil.rmtree(places.work, ignore_errors=True)
        return _finish(chosen, places, request, options, state, tally)


def what_is_left(cases: Sequence[CohortCase], out: Path, request: Request, options: Options) -> Todo:
    """What a run would do, without doing it. Writes nothing. Raises as `run_cohort`."""
    chosen = _chosen(cases, options)
    request = pinned(request, any(case.segmentation is None for case in chosen))
    places = Places(Path(out).absolute())
    if not places.state.exists():
        _require_ours(places)
        return _todo(chosen, places, request, options, {})
    with _owned(places), opened(places.state) as state:
        return _todo(chosen, places, request, options, state.all())


def _chosen(cases: Sequence[CohortCase], options: Options) -> tuple[CohortCase, ...]:
    return tuple(cases if options.limit is None else cases[: options.limit])


def _todo(
    cases: Sequence[CohortCase], places: Places, request: Request, options: Options, known: dict[str, CaseState]
) -> Todo:
    tasks, kept = [], []
    for case, marks in zip(cases, _signatures(cases), strict=True):
        state = known.get(case.id)
        if state is not None and options.resume and _stands(state, marks, request.context(case), places, options):
            kept.append(state)
            continue
        seen = (state.signature, state.content) if state is not None else (None, None)
        again = (str(seen[0]), str(seen[1])) if seen[0] is not None and seen[1] is not None else None
        tasks.append(Task(case, places.out, request, again, options.resume, limit_s=options.case_timeout_s))
    return Todo(tuple(tasks), tuple(kept))


def _signatures(cases: Sequence[CohortCase]) -> Iterable[str | None]:
    """In the order of the cases; storages are asked for many at once, because each answer takes its time."""
    if not any(case.is_remote for case in cases):
        return map(_signature, cases)
    with ThreadPoolExecutor(REMOTE_AT_A_TIME) as pool:
        return list(pool.map(_signature, cases))


def _signature(case: CohortCase) -> str | None:
    """None when something cannot be looked at: the worker will say what."""
    try:
        return signature(stamps_of(case))
    except (OSError, LiverplanError):
        return None


def _stands(state: CaseState, marks: str | None, context: str, places: Places, options: Options) -> bool:
    """Whether an outcome is still that of these inputs, this model, protocol and version."""
    if marks is None or state.signature != marks or state.context != context:
        return False
    if state.status == "done":
        return places.case_file(state.case_id).is_file()
    return state.kind in LASTING and not options.retry_failed


def _plan_all(
    tasks: Sequence[Task], places: Places, request: Request, options: Options, state: State, tally: _Tally
) -> None:
    def ended(task: Task, outcome: Outcome, again: bool) -> None:
        state.attempted(task.case.id, outcome.kind or outcome.status, outcome.reason, outcome.worker, time.time())
        if again:
            tally.tell("again", outcome)
            return
        if outcome.status == "failed":
            _set_aside(places, task.case.id)
        state.record([_entry(task, outcome)])
        tally.failed += outcome.status == "failed"
        tally.done += outcome.status != "failed"
        tally.kept += outcome.status == "kept"
        tally.tell(outcome.status, outcome)

    with closing(_engine(tasks, request, options)) as engine:
        run_tasks(engine, tasks, options.retry, ended, lambda task: tally.tell("case", case_id=task.case.id))


def _entry(task: Task, outcome: Outcome) -> CaseState:
    done = outcome.status != "failed"
    return CaseState(
        case_id=outcome.case_id,
        status="done" if done else "failed",
        signature=outcome.signature,
        context=task.request.context(task.case),
        content=outcome.content,
        key=outcome.key,
        kind=outcome.kind,
        stage=outcome.stage,
        reason=outcome.reason,
        seconds=outcome.seconds,
        attempts=task.attempt,
        worker=outcome.worker,
    )


def _set_aside(places: Places, case_id: str) -> None:
    """An earlier result that is not that of the present inputs must not be met under the case's name."""
    if places.case(case_id).exists():
        aside = places.superseded(case_id)
        with writing(aside):
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(parents=True, exist_ok=True)
            places.case(case_id).rename(aside)


def _engine(tasks: Sequence[Task], request: Request, options: Options) -> Engine:
    cases = len(tasks)
    if options.engine == "ray":
        from liverplan.cohort.engine_ray import RayEngine

        networks = request.device != "cpu" and any(task.case.segmentation is None for task in tasks)
        return RayEngine(options, cases, networks)
    from liverplan.cohort.engine_local import LocalEngine, workers_that_fit

    return LocalEngine(min(options.workers or workers_that_fit(cases), cases))


def _finish(
    cases: Sequence[CohortCase], places: Places, request: Request, options: Options, state: State, tally: _Tally
) -> Summary:
    """Tables, page and run.json; left alone when nothing has changed since they were written."""
    from liverplan.cohort.tables import tables_stamp, write_cohort_tables

    known = state.all()
    stamp = tables_stamp(cases, known)
    fresh = tally.done + tally.failed > tally.kept_before
    if state.stamp("tables") != stamp or not places.page.is_file():
        from liverplan.cohort.page import write_page

        tally.tell("tables")
        write_cohort_tables(cases, known, places)
        write_page(places.out)
        state.set_stamp("tables", stamp)
        fresh = True
    if fresh:
        write_json_atomic(places.run, _run_record(request, options, tally, "finished"))
    tally.tell("finished")
    failures = Counter(str(known[c.id].kind) for c in cases if c.id in known and known[c.id].status == "failed")
    seconds = round(time.monotonic() - tally.started, 3)
    return Summary(tally.total, tally.done, tally.failed, tally.kept, dict(failures), seconds)


def _run_record(request: Request, options: Options, tally: _Tally, status: str) -> dict[str, object]:
    """run.json: what was asked for, pinned by version and hash."""
    from liverplan.cohort.tables import PINNED_PACKAGES, installed

    return {
        "command": "cohort",
        "software": {"name": "liverplan", "version": __version__},
        "notice": RESEARCH_USE_ONLY,
        "status": status,
        "settings": {
            "protocol": Path(request.protocol).name,
            "model": None if request.model is None else Path(request.model).name,
            "device": request.device,
            "pictures": request.pictures,
            **replace(options, address=None).plain(),
        },
        "hashes": {
            "protocol_sha256": request.protocol_sha256,
            "model_sha256": request.model_sha256,
            "models_sha256": dict(request.models_sha256),
        },
        "versions": {"python": platform.python_version()} | {name: installed(name) for name in PINNED_PACKAGES},
        "platform": platform.platform(),
        "counts": {"cases": tally.total, "done": tally.done, "failed": tally.failed, "kept": tally.kept},
        "seconds": round(time.monotonic() - tally.started, 3),
    }


@contextmanager
def _owned(places: Places) -> Iterator[None]:
    """Hold the folder of a cohort, made when absent. Raises OutputError when it is something else or in use."""
    _require_ours(places)
    with writing(places.out):
        places.out.mkdir(parents=True, exist_ok=True)
        file = places.lock.open("ab")
    with closing(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                "another run works on this cohort",
                got=str(places.out),
                wanted="one run at a time",
                do="Wait for it, or end it; then run the command again.",
            ) from error
        yield


def _require_ours(places: Places) -> None:
    with writing(places.out):
        used = places.out.exists() and (not places.out.is_dir() or any(places.out.iterdir()))
    if used and not (places.lock.exists() or places.state.exists()):
        raise OutputError(
            "the output is not the folder of a cohort",
            got=f"{places.out}, which holds something else",
            wanted="a new or empty folder, or one of an earlier `liverplan cohort`",
            do="Choose another folder with -o.",
        )
