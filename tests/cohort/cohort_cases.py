"""Small patients on disk, and tables of them. A case of these takes about a second."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simple_case
from liverplan.cohort import Options, Request, Summary, read_cohort, run_cohort
from liverplan.cohort.run import Event
from liverplan.io.writing import write_segmentation, write_volume

SPACING_MM = (4.0, 4.0, 4.0)
NEAR_THE_PORTAL_VEIN = simple_case.Ball((-20.0, 2.0, 8.0), 8.0)
FAR_FROM_VESSELS = simple_case.Ball((-10.0, 3.0, -36.0), 9.0)


def write_patient(folder: Path, *lesions: simple_case.Ball) -> Path:
    """image.nii.gz and masks/ of a patient."""
    folder.mkdir(parents=True)
    drawn = simple_case.masks(simple_case.grid(SPACING_MM), lesions or (FAR_FROM_VESSELS,))
    write_volume(simple_case.image(drawn.grid, drawn), folder / "image.nii.gz")
    write_segmentation(drawn, folder / "masks")
    return folder


def write_patients(folder: Path, count: int) -> Path:
    """A folder of so many patients, p1, p2 ..., every second one with its lesion near the portal vein."""
    first = write_patient(folder / "p1")
    if count > 1:
        write_patient(folder / "p2", NEAR_THE_PORTAL_VEIN)
    for number in range(3, count + 1):
        shutil.copytree(first if number % 2 else folder / "p2", folder / f"p{number}")
    return folder


def write_table(path: Path, rows: Sequence[Mapping[str, object]], delimiter: str = ",") -> Path:
    """A CSV with the columns of all rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, columns, restval="", delimiter=delimiter)
        lines.writeheader()
        lines.writerows(rows)
    return path


def row_of(patient: Path, **more: object) -> dict[str, object]:
    """The row of a patient on disk."""
    return {"id": patient.name, "image": patient / "image.nii.gz", "segmentation": patient / "masks", **more}


def run(source: Path, out: Path, listener: Any = None, **options: Any) -> tuple[Summary, list[Event]]:
    """A run without pictures, and what it told."""
    events: list[Event] = []
    protocol = options.pop("protocol", "nct06934018")
    options.setdefault("workers", 1)

    def listen(event: Event) -> None:
        events.append(event)
        if listener is not None:
            listener(event)

    request = Request(protocol=protocol, device="cpu", pictures=False)
    return run_cohort(read_cohort(source), out, request, Options(**options), listen), events


def told(events: Sequence[Event], what: str) -> list[str | None]:
    """The cases that an event was told of."""
    return [event.case_id for event in events if event.what == what]


def table(out: Path, name: str) -> list[dict[str, str]]:
    """A results table as text."""
    with (out / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def report_of(out: Path, case_id: str) -> dict[str, Any]:
    return json.loads((out / "cases" / case_id / "report.json").read_text(encoding="utf-8"))


def attempts(out: Path) -> list[tuple[str, str]]:
    """Case and end of every attempt, in order."""
    with closing(sqlite3.connect(out / "cohort.sqlite")) as state:
        return list(state.execute("SELECT case_id, ended FROM attempt ORDER BY number"))


def reasons(out: Path) -> list[tuple[str, str]]:
    """Case and reason of every attempt that failed, in order."""
    with closing(sqlite3.connect(out / "cohort.sqlite")) as state:
        return list(state.execute("SELECT case_id, reason FROM attempt WHERE reason IS NOT NULL ORDER BY number"))


def folders(out: Path) -> dict[str, int]:
    """Finished cases, with the inode that their folder was written under."""
    return {path.parent.name: path.parent.stat().st_ino for path in out.glob("cases/*/cohort.json")}


def same_tables(one: Path, other: Path) -> bool:
    """Whether all tables without times are the same, byte by byte."""
    names = {path.name for path in (one / "tables").iterdir()}
    assert names == {path.name for path in (other / "tables").iterdir()}
    kept = [name for name in names if not name.startswith("timings")]
    assert len(kept) == 10
    return all((one / "tables" / name).read_bytes() == (other / "tables" / name).read_bytes() for name in kept)


def touch(path: Path) -> None:
    """Another time of modification, the same content."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000_000))
