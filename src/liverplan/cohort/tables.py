"""OUT/tables: the results of all cases as CSV and, with pyarrow, Parquet; columns as in `columns`, rows as the input.

Read from the folders of the cases, written anew as a whole and atomically. No times but in `timings`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, TypeAlias

from liverplan import RESEARCH_USE_ONLY
from liverplan.cohort.cases import CohortCase
from liverplan.cohort.columns import TABLES, TABLES_VERSION, Column
from liverplan.cohort.places import Places
from liverplan.cohort.state import CaseState
from liverplan.errors import OutputError
from liverplan.io.folder import atomic_file, writing

Row: TypeAlias = Mapping[str, Any]
_Write: TypeAlias = Callable[[Sequence[Row]], None]
BATCH = 500
"""Cases that are in memory at a time, and a row group of Parquet."""
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
    """Write every table, some cases at a time. Raises OutputError, ResourceError."""
    with writing(places.tables):
        places.tables.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writers = {name: _writers(name, columns, places, stack) for name, columns in TABLES.items()}
        for start in range(0, len(cases), BATCH):
            batch: dict[str, list[Row]] = {name: [] for name in TABLES}
            for position, case in enumerate(cases[start : start + BATCH], start=start + 1):
                for name, rows in _rows(case.id, position, known.get(case.id), places).items():
                    batch[name] += rows
            for name, rows_of_table in batch.items():
                for write in writers[name]:
                    write(rows_of_table)


def read_table(path: Path, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """The rows of a CSV table with their types; an empty cell is None. Raises OSError, ValueError."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if next(lines, None) != [column.name for column in columns]:
            raise ValueError(f"{path.name} has other columns than version {TABLES_VERSION}")
        for line in lines:
            yield {column.name: _typed(cell, column.kind) for column, cell in zip(columns, line, strict=True)}


def _writers(name: str, columns: Sequence[Column], places: Places, stack: ExitStack) -> list[_Write]:
    """What takes rows of a table; the files get their names when `stack` ends well."""
    return [
        _csv_writer(stack.enter_context(atomic_file(places.tables / f"{name}.csv")), columns),
        *_parquet_writers(places.tables / f"{name}.parquet", columns, stack),
    ]


def _csv_writer(file: IO[bytes], columns: Sequence[Column]) -> _Write:
    """Full precision, true and false, an empty cell for what there is not."""

    def write(lines: Iterable[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        file.write(text.getvalue().encode())

    write([[column.name for column in columns]])
    return lambda rows: write([_cell(row.get(column.name)) for column in columns] for row in rows)


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


def _parquet_writers(path: Path, columns: Sequence[Column], stack: ExitStack) -> list[_Write]:
    """With pyarrow only; without it an older file goes, so that it is not taken for these results."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        with writing(path):
            path.unlink(missing_ok=True)
        return []
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
    file = stack.enter_context(atomic_file(path))
    writer = stack.enter_context(parquet.ParquetWriter(file, schema, compression="zstd"))

    def write(rows: Sequence[Row]) -> None:
        data = {c.name: [row.get(c.name) for row in rows] for c in columns}
        writer.write_table(pyarrow.table(data, schema=schema))

    return [write]
