"""What the receiver owes: studies that arrive, plans to make, results to send. Survives a kill at any moment.

An SQLite database holds what is decided; files hold what arrived and what was computed. A file is always complete and
on the disk before a row says that it is there, and only one transaction says that a plan is the one to be sent.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RECEIVING, PLANNING, SENDING, DONE, FAILED = "receiving", "planning", "sending", "done", "failed"
_TABLES = """
CREATE TABLE IF NOT EXISTS studies (
    uid TEXT PRIMARY KEY, state TEXT NOT NULL, instances INTEGER NOT NULL DEFAULT 0, planned INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, next_try_unix_s REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '', out TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS instances (study TEXT NOT NULL, uid TEXT NOT NULL, PRIMARY KEY (study, uid));
CREATE TABLE IF NOT EXISTS results (
    uid TEXT PRIMARY KEY, study TEXT NOT NULL, path TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0);
"""


@dataclass(frozen=True)
class StudyState:
    """A study as the queue knows it. planned: how many of its instances the last plan was made of."""

    uid: str
    state: str
    instances: int
    planned: int
    attempt: int
    """Counts plans begun; each has its own folder."""
    tries: int
    """Failed tries of what is being done now."""
    next_try_unix_s: float
    reason: str
    out: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Queue:
    """The database of one state folder; for any number of threads of one process."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # what a sender was told is safe survives a power cut
        self._db.executescript(_TABLES)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def recover(self) -> list[str]:
        """Take up the plans that a kill broke off; returns the folders of the plans that count."""
        with self._transaction() as db:
            db.execute("UPDATE studies SET state=? WHERE state=?", (RECEIVING, PLANNING))
            return [row["out"] for row in db.execute("SELECT out FROM studies WHERE out != ''")]

    def arrived(self, study: str, instance: str) -> bool:
        """Note an instance whose file is on the disk; False when it was known. A new one opens its study again."""
        with self._transaction() as db:
            fresh = db.execute("INSERT OR IGNORE INTO instances VALUES (?, ?)", (study, instance)).rowcount == 1
            if fresh:
                db.execute("INSERT OR IGNORE INTO studies (uid, state) VALUES (?, ?)", (study, RECEIVING))
                db.execute("UPDATE studies SET instances = instances + 1 WHERE uid=?", (study,))
                db.execute(
                    "UPDATE studies SET state=?, tries=0, next_try_unix_s=0, reason='' WHERE uid=? AND state IN (?, ?)",
                    (RECEIVING, study, DONE, FAILED),
                )
            return fresh

    def is_result(self, instance: str) -> bool:
        """Whether an object is one that was computed here."""
        return bool(self._rows("SELECT 1 FROM results WHERE uid=?", instance))

    def waiting(self, state: str) -> list[StudyState]:
        """Studies in a state whose time for another try has come."""
        found = self._rows("SELECT * FROM studies WHERE state=? AND next_try_unix_s <= ?", state, time.time())
        return [StudyState(**dict(row)) for row in found]

    def begin(self, study: str) -> StudyState:
        """Start a plan of what has arrived up to now."""
        with self._transaction() as db:
            db.execute(
                "UPDATE studies SET state=?, planned=instances, attempt=attempt+1 WHERE uid=?", (PLANNING, study)
            )
        return self.study(study)

    def planned(self, study: str, out: str, results: Sequence[tuple[str, str]]) -> bool:
        """Make a plan the one that is sent; results: (SOP instance UID, path). False, and nothing is sent, when more of
        the study arrived meanwhile: it has to be planned again."""
        with self._transaction() as db:
            row = db.execute("SELECT instances, planned FROM studies WHERE uid=?", (study,)).fetchone()
            if row["instances"] != row["planned"]:
                db.execute("UPDATE studies SET state=? WHERE uid=?", (RECEIVING, study))
                return False
            for uid, path in results:
                db.execute("INSERT OR IGNORE INTO results (uid, study, path) VALUES (?, ?, ?)", (uid, study, path))
            db.execute(
                "UPDATE studies SET state=?, out=?, tries=0, next_try_unix_s=0, reason='' WHERE uid=?",
                (SENDING, out, study),
            )
            return True

    def again(self, study: str, state: str, reason: str, after_s: float) -> None:
        """Note a failed try; the next one is in `after_s` seconds."""
        with self._transaction() as db:
            db.execute(
                "UPDATE studies SET state=?, reason=?, tries=tries+1, next_try_unix_s=? WHERE uid=?",
                (state, reason, time.time() + after_s, study),
            )

    def failed(self, study: str, reason: str) -> None:
        """Give a study up, unless more of it arrived meanwhile."""
        with self._transaction() as db:
            db.execute(
                "UPDATE studies SET reason=?, state=CASE WHEN instances=planned THEN ? ELSE ? END WHERE uid=?",
                (reason, FAILED, RECEIVING, study),
            )

    def put_back(self, study: str) -> None:
        """Undo `begin`: the receiver stops."""
        with self._transaction() as db:
            db.execute("UPDATE studies SET state=? WHERE uid=?", (RECEIVING, study))

    def unsent(self, study: str) -> list[str]:
        """Paths of the results that no archive has confirmed yet."""
        found = self._rows("SELECT path FROM results WHERE study=? AND sent=0 ORDER BY path", study)
        return [row["path"] for row in found]

    def sent(self, path: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE results SET sent=1 WHERE path=?", (path,))

    def finish(self, study: str) -> None:
        """All results are where they belong; more of the study may have come meanwhile."""
        with self._transaction() as db:
            db.execute(
                "UPDATE studies SET tries=0, next_try_unix_s=0, reason='', "
                "state=CASE WHEN instances=planned THEN ? ELSE ? END WHERE uid=?",
                (DONE, RECEIVING, study),
            )

    def study(self, uid: str) -> StudyState:
        return StudyState(**dict(self._rows("SELECT * FROM studies WHERE uid=?", uid)[0]))

    def studies(self) -> list[StudyState]:
        return [StudyState(**dict(row)) for row in self._rows("SELECT * FROM studies ORDER BY rowid")]

    def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return list(self._db.execute(sql, values))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
