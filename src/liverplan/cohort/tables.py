"""OUT/tables: the results of all cases as CSV and, with pyarrow, Parquet; columns as in `columns`, rows as the input.

Read from the folders of the cases, written anew as a whole and atomically. No times but in `timings`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from liverplan import RESEARCH_USE_ONLY
from liverplan.cohort.cases import CohortCase
from liverplan.cohort.columns import TABLES, TABLES_VERSION, Column
from liverplan.cohort.places import Places
from liverplan.cohort.state import CaseState
from liverplan.errors import OutputError
from liverplan.io.folder import atomic_file, write_text_atomic, writing

Row: TypeAlias = Mapping[str, Any]
PINNED_PACKAGES = ("numpy", "scipy", "SimpleITK", "scikit-image", "monai", "torch", "vtk", "pyarrow", "ray")


def tables_stamp(cases: Sequence[CohortCase], known: Mapping[str, CaseState]) -> str:
    """One hash over everything that the tables are written from: they need not be written again under the same."""
    digest = hashlib.sha256(TABLES_VERSION.encode())
    for case in cases:
        state = known.get(case.id)
        digest.update(f"{case.id}\n{state and (state.status, state.key, state.kind, state.reason)}\n".encode())
        digest.update(f"{state and (state.seconds, state.attempts)}\n".encode())
    return digest.hexdigest()


def write_cohort_tables(cases: Sequence[CohortCase], known: Mapping[str, CaseState], places: Places) -> None:
    """Write every table. Raises OutputError, ResourceError."""
    with writing(places.tables):
        places.tables.mkdir(parents=True, exist_ok=True)
    collected: dict[str, list[Row]] = {name: [] for name in TABLES}
    for position, case in enumerate(cases, start=1):
        for name, rows in _rows(case.id, position, known.get(case.id), places).items():
            collected[name] += rows
    for name, columns in TABLES.items():
        write_text_atomic(places.tables / f"{name}.csv", csv_text(columns, collected[name]))
        _write_parquet(places.tables / f"{name}.parquet", columns, collected[name])


def read_table(path: Path, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The rows of a CSV table with their types; an empty cell is None. Raises OSError, ValueError."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        if lines.fieldnames != [column.name for column in columns]:
            raise ValueError(f"{path.name} has other columns than version {TABLES_VERSION}")
        kinds = {column.name: column.kind for column in columns}
        return [{name: _typed(cell, kinds[name]) for name, cell in line.items()} for line in lines]


def csv_text(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """A table as CSV: full precision, true and false, an empty cell for what there is not."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([column.name for column in columns])
    lines.writerows([_cell(row.get(column.name)) for column in columns] for row in rows)
    return text.getvalue()


def installed(package: str) -> str | None:
    """The version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rows(case_id: str, position: int, state: CaseState | None, places: Places) -> dict[str, list[dict[str, Any]]]:
    head = {"case_id": case_id, "position": position, "status": "pending" if state is None else state.status}
    if state is None:
        return {"cases": [head]}
    if state.status == "failed":
        log = places.log(case_id)
        failure = {"failure_kind": state.kind, "failure_stage": state.stage, "failure_reason": state.reason}
        return {"cases": [head | failure | {"log": f"logs/{log.name}" if log.is_file() else None}]}
    rows = _published(case_id, places)
    done = {**rows["cases"][0], **head, "result": f"cases/{case_id}"}
    whole = {"attempts": state.attempts, "worker": state.worker}
    timings = [row | whole if row["stage"] == "case" else row for row in rows["timings"]]
    return rows | {"cases": [done], "timings": timings}


def _published(case_id: str, places: Places) -> dict[str, list[dict[str, Any]]]:
    path = places.case_file(case_id)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {name: list(rows[name]) for name in TABLES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"the finished case {case_id} cannot be read",
            got=f"{path.name}: {type(error).__name__}",
            wanted="the folder as it was written",
            do=f"Remove cases/{case_id} and run the command again: the case is planned anew.",
        ) from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _typed(cell: str, kind: str) -> Any:
    if cell == "":
        return None
    if kind == "flag":
        return cell == "true"
    if kind == "integer":
        return int(cell)
    return float(cell) if kind == "number" else cell


def _write_parquet(path: Path, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """With pyarrow only; without it an older file goes, so that it is not taken for these results."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        with writing(path):
            path.unlink(missing_ok=True)
        return
    types = {
        "text": pyarrow.string(),
        "number": pyarrow.float64(),
        "integer": pyarrow.int64(),
        "flag": pyarrow.bool_(),
    }
    about = {"liverplan_cohort_version": TABLES_VERSION, "notice": RESEARCH_USE_ONLY}
    schema = pyarrow.schema(
        [pyarrow.field(c.name, types[c.kind], metadata={"description": c.says}) for c in columns], metadata=about
    )
    data = {c.name: [row.get(c.name) for row in rows] for c in columns}
    table = pyarrow.table(data, schema=schema)
    with atomic_file(path) as file:
        parquet.write_table(table, file, compression="zstd")
