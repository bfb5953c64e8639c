"""Workers and drivers that are killed: nothing is lost, nothing is planned twice, and the next run goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cohort_cases import attempts, folders, run, same_tables, table, told, write_patients
from killing import PATIENCE_S, Killer, wait_for

from liverplan.cohort.task import last_stage


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("cohort") / "patients", 5)


@pytest.fixture(scope="module")
def undisturbed(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run gives."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(patients, out, workers=2)
    return out


def test_a_worker_that_is_killed_costs_one_attempt_and_no_result(
    patients: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary, events = run(patients, out, Killer(out, "p2", 1), workers=2)
    assert (summary.done, summary.failed) == (5, 0)
    assert told(events, "again") == ["p2"]
    assert next(event for event in events if event.what == "again").reason == (
        "the worker was ended by SIGKILL (out of memory, or killed by hand)"
    )
    ends = attempts(out)
    assert [end for case_id, end in ends if case_id == "p2"] == ["killed", "done"]
    assert all([end for case_id, end in ends if case_id == f"p{n}"] == ["done"] for n in (1, 3, 4, 5))
    assert same_tables(out, undisturbed)
    assert not (out / ".work").exists(), "nothing half-written stays"


def test_a_case_that_kills_every_worker_is_a_row_and_the_others_are_done(patients: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary, _ = run(patients, out, Killer(out, "p3", 2), workers=2, retry=1)
    assert (summary.done, summary.failed, summary.failures) == (4, 1, {"killed": 1})
    row = next(row for row in table(out, "cases") if row["case_id"] == "p3")
    assert (row["status"], row["failure_kind"]) == ("failed", "killed")
    assert "SIGKILL" in row["failure_reason"]
    assert row["failure_stage"] not in ("", "looking at the inputs")
    assert (out / row["log"]).is_file()
    _, again = run(patients, out)
    assert told(again, "case") == told(again, "done") == ["p3"], "the next run tries it again, and nothing else"


def driver(patients: Path, out: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    arguments = ["cohort", str(patients), "-o", str(out), "--no-pictures", "--workers", str(workers), "--quiet"]
    # A suite that a shell runs in the background inherits that Ctrl-C is ignored, and would hand it on.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; import sys; from liverplan.cli import main; main(sys.argv[1:])"
    return subprocess.Popen([sys.executable, "-c", program, *arguments])


def just_begun(out: Path) -> str | None:
    """A case that is being planned and has most of its work before it."""
    early = ("starting", "reading the image", "reading the masks", "vessel trees")
    running = (log for log in out.glob("logs/*.log") if log.stem not in folders(out))
    return next((log.stem for log in running if last_stage(log) in early), None)


def alive(process: int) -> bool:
    """Whether a process runs (one that has ended and waits for its parent does not)."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers_of(process: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1]) == process:
                found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_driver_that_is_killed_is_gone_on_with_and_every_case_is_planned_once(
    patients: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = driver(patients, out)
    try:
        begun = wait_for(lambda: len(folders(out)) >= 2 and just_begun(out))
        workers = workers_of(first.pid)
    finally:
        first.kill()
        first.wait()
    assert workers
    wait_for(lambda: not any(alive(process) for process in workers))
    finished = folders(out)
    assert begun not in finished, "workers end with their driver, and do not write beside the next one"
    assert 2 <= len(finished) < 5

    summary, events = run(patients, out, workers=2)
    assert (summary.done, summary.failed) == (5, 0)
    assert set(filter(None, told(events, "done"))) == {f"p{n}" for n in range(1, 6)} - set(finished)
    after = folders(out)
    assert {name: after[name] for name in finished} == finished, "finished cases were not touched"
    assert len(after) == 5
    ends = [case_id for case_id, end in attempts(out) if end == "done"]
    assert len(ends) == len(set(ends)), "no case was planned twice"
    assert same_tables(out, undisturbed)


def test_an_interrupted_run_ends_with_status_130_and_is_gone_on_with(patients: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = driver(patients, out, workers=1)  # two may have done the rest before the signal comes
    try:
        wait_for(lambda: len(folders(out)) >= 1)
        first.send_signal(signal.SIGINT)
        assert first.wait(PATIENCE_S) == 130
    finally:
        first.kill()
        first.wait()
    finished = folders(out)
    summary, events = run(patients, out, workers=2)
    assert summary.done == 5
    assert not set(finished) & set(told(events, "done"))
