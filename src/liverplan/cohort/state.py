"""What became of each case, in SQLite. The driver alone writes it; the folders of the cases are the truth behind it.

Losing the file loses no result: a folder without an entry is recognised by its key and taken over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from liverplan.errors import OutputError, ResourceError

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outcome (
    case_id TEXT PRIMARY KEY, status TEXT NOT NULL, signature TEXT, context TEXT, content TEXT, key TEXT,
    kind TEXT, stage TEXT, reason TEXT, seconds REAL, attempts INTEGER NOT NULL, worker TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
    number INTEGER PRIMARY KEY, case_id TEXT NOT NULL, ended TEXT NOT NULL,
    reason TEXT, worker TEXT, unix_s REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS stamp (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class CaseState:
    """The last that is known of a case. status: "done" or "failed".

    signature, context, content, key: what it was planned under. kind: of a failure, "refused" (the input cannot be
    used), "error" (a fault of the program), "resources" (memory, disk), "timeout" or "killed". worker: where it ran.
    """

    case_id: str
    status: str
    signature: str | None
    context: str | None
    content: str | None
    key: str | None
    kind: str | None
    stage: str | None
    reason: str | None
    seconds: float | None
    attempts: int
    worker: str | None


_COLUMNS = tuple(field.name for field in fields(CaseState))


class State:
    """The open state of a cohort. Use `opened`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, CaseState]:
        """Every case that has an outcome, by id."""
        rows = self._connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM outcome")
        return {row[0]: CaseState(*row) for row in rows}

    def record(self, outcomes: Sequence[CaseState]) -> None:
        """Write outcomes in one transaction. Raises ResourceError when the disk is full, OutputError."""
        marks = ", ".join("?" * len(_COLUMNS))
        with self._writing():
            self._connection.executemany(
                f"INSERT OR REPLACE INTO outcome ({', '.join(_COLUMNS)}) VALUES ({marks})", map(astuple, outcomes)
            )

    def attempted(self, case_id: str, ended: str, reason: str | None, worker: str | None, unix_s: float) -> None:
        """Note how one attempt at a case ended. Raises ResourceError, OutputError."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO attempt (case_id, ended, reason, worker, unix_s) VALUES (?, ?, ?, ?, ?)",
                (case_id, ended, reason, worker, unix_s),
            )

    def stamp(self, name: str) -> str | None:
        """A value that was stored under a name; what the tables were written from."""
        row = self._connection.execute("SELECT value FROM stamp WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_stamp(self, name: str, value: str) -> None:
        """Store a value under a name. Raises ResourceError, OutputError."""
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO stamp (name, value) VALUES (?, ?)", (name, value))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.Error as error:
            raise _unwritable(error) from error


@contextmanager
def opened(path: Path) -> Iterator[State]:
    """The state at `path`, made when absent. Raises OutputError when it is damaged or of another version."""
    try:
        connection = sqlite3.connect(path)
    except sqlite3.Error as error:
        raise _unwritable(error) from error
    try:
        _prepare(connection)
        yield State(connection)
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection) -> None:
    try:
        # One process holds it, without the shared memory that WAL otherwise needs: network file systems have none.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, _VERSION):
            raise _unwritable(f"version {version} of the state, written by another liverplan")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    except sqlite3.Error as error:
        raise _unwritable(error) from error


def _unwritable(error: sqlite3.Error | str) -> OutputError | ResourceError:
    if "full" in str(error):
        return ResourceError(
            "the disk is full",
            got=f"{error} while writing the state of the cohort",
            wanted="room for the results",
            do="Free some space and run the command again: it goes on where it stopped.",
        )
    return OutputError(
        "the state of the cohort cannot be used",
        got=str(error),
        wanted="cohort.sqlite as this version writes it",
        do="Remove cohort.sqlite and run the command again: finished cases are recognised by their content.",
    )
