"""Who opened, changed and exported a case: a line of JSON per event in CASE/audit.jsonl.

Each line holds the hash of the line before it, and lines are only ever appended. A line that was changed, removed or
put in between breaks the chain at that place; lines cut off at the end do not, so a site that must prove those keeps
the last hash elsewhere (`liverplan audit` prints it). The name is the operating system's; nothing of the patient is
written.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liverplan import __version__
from liverplan.chain import first_broken, last_sha256

FILE = "audit.jsonl"
PLANNED, DECIDED, RENDERED, OPENED, CORRECTED, SENT = "planned", "decided", "rendered", "opened", "corrected", "sent"
COPIED = "copied without its patient"


@dataclass(frozen=True)
class Trail:
    """A case's log. lines: as they stand in the file. broken: the first line (from 1) that does not follow, or None."""

    lines: tuple[str, ...]
    broken: int | None

    @property
    def last_sha256(self) -> str:
        """The hash that covers every line."""
        return last_sha256(self.lines)

    def events(self) -> Iterator[dict[str, Any]]:
        """What the lines say; a damaged one says nothing."""
        for line in self.lines:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict):
                    yield told


def record(case: Path, action: str, **details: str | int) -> None:
    """Append an event to the case's log. Details are words of the program's own (counts, versions), never a name.

    A folder that cannot be written is left without the line: whoever may only read a case may still open it.
    """
    with contextlib.suppress(OSError):
        append(Path(case) / FILE, action, **details)


def carry_over(earlier: Path, case: Path) -> None:
    """The log of an earlier result of the case, copied into the folder that will take its place."""
    path = Path(earlier) / FILE
    if path.is_file():
        (Path(case) / FILE).write_bytes(path.read_bytes())


def append(path: Path, action: str, **details: str | int) -> None:
    """As `record`, to a log's own path. Raises OSError."""
    with path.open("ab+") as file, _alone(file.fileno()):
        file.seek(0)
        lines = file.read().decode("utf-8", "replace").splitlines()
        report = path.parent / "report.json"
        line = json.dumps(
            {
                "number": len(lines) + 1,
                "utc": datetime.now(UTC).isoformat(timespec="seconds"),
                "who": _who(),
                "action": action,
                **details,
                "software": f"liverplan {__version__}",
                "report_sha256": hashlib.sha256(report.read_bytes()).hexdigest() if report.is_file() else None,
                "previous_sha256": last_sha256(lines),
            },
            ensure_ascii=False,
        )
        # A line that a killed program left unfinished stays as it is, and is seen by `read`.
        unfinished = _unfinished(file)
        file.write((b"\n" if unfinished else b"") + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(case: Path) -> Trail:
    """The case's log; empty where there is none."""
    path = Path(case) / FILE
    lines = tuple(path.read_text(encoding="utf-8", errors="replace").splitlines()) if path.is_file() else ()
    return Trail(lines, first_broken(lines))


def _unfinished(file: Any) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")


@contextlib.contextmanager
def _alone(number: int) -> Iterator[None]:
    """One writer at a time, where the system can lock files."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(number, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(number, fcntl.LOCK_UN)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
