"""Output folders and files that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from liverplan.errors import LiverplanError, OutputError, ResourceError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ABANDONED_S = 24 * 3600.0
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>."""
MARKER = "run.json"
"""A folder that holds this file was written by liverplan, so that `--overwrite` may empty it."""


@contextmanager
def output_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new folder to write into; it takes the name `path` when the block ends well and vanishes when it fails.

    Raises OutputError when `path` exists and is not empty (unless `overwrite` and it holds an earlier result),
    or cannot be written; ResourceError when the disk is full.
    """
    path = Path(path)
    _require_free(path, overwrite)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        inside = path.is_dir() and (path.is_mount() or not os.access(path.parent, os.W_OK))
        home = path if inside else path.parent
        _remove_abandoned(home, path.name)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=home))
    try:
        with _only_what_concerns(work, path):
            yield work
        with writing(path):
            work.chmod(0o777 & ~_umask())
            (_move_up if inside else _put_in_place)(work, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_abandoned(home: Path, name: str) -> None:
    """Half-written results of runs that were killed: nothing was written there for a day."""
    for folder in home.glob(f".{glob.escape(name)}.*.partial"):
        with suppress(OSError):
            touched = max(item.lstat().st_mtime for item in (folder, *folder.rglob("*")))
            if folder.is_dir() and time.time() - touched > _ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _only_what_concerns(work: Path, path: Path) -> Iterator[None]:
    """As `writing`, but an unreadable input met in between is not called an unwritable output."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL and not str(error.filename or "").startswith(str(work)):
            raise
        with writing(path):
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system says while `path` is written into OutputError or ResourceError."""
    try:
        yield
    except LiverplanError:
        raise
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise ResourceError(
                "the disk is full",
                got=f"{error.strerror} while writing {path}",
                wanted="room for the results (about the size of the image)",
                do="Free some space or choose another output folder; nothing half-written was left behind.",
            ) from error
        raise OutputError(
            "the results cannot be written",
            got=f"{error.strerror or error} at {error.filename or path}",
            wanted="a folder that can be written to",
            do="Choose another output folder or change its permissions.",
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the name `path` when the block ends well. Raises OutputError, ResourceError."""
    path = Path(path)
    with writing(path):
        # Opened with the user's own permissions: asking for the umask would change it for files of other threads.
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises OutputError, ResourceError."""
    with atomic_file(path) as file:
        file.write(content)


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all. Raises OutputError, ResourceError."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, payload: Mapping[str, Any]) -> None:
    """Write `payload` as JSON. Raises ValueError on NaN or infinity (no reader of JSON is owed those)."""
    write_text_atomic(path, json.dumps(payload, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _require_free(path: Path, overwrite: bool) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(
            "the output is not a folder",
            got=f"{path}, a file or a link",
            wanted="a folder that does not exist yet",
            do="Choose another name with -o.",
        )
    with writing(path):
        used = path.is_dir() and any(path.iterdir())
    if used and not overwrite:
        raise OutputError(
            "the output folder is not empty",
            got=str(path),
            wanted="a new or empty folder",
            do="Choose another folder, or pass --overwrite to replace the earlier result.",
        )
    if used and not (path / MARKER).is_file():
        raise OutputError(
            "the output folder holds something else than an earlier result",
            got=f"{path} without a {MARKER}",
            wanted="a folder that this program wrote, or an empty one",
            do="Choose another folder; --overwrite replaces earlier results only.",
        )


def _put_in_place(work: Path, path: Path) -> None:
    """Rename `work` to `path`; an earlier result changes places with it, or steps aside first where that cannot be.

    Exchanged, there is no moment without a result. Where the system or the file system cannot, a program killed between
    the two renames leaves the earlier result in `.NAME.*.old`.
    """
    if not path.exists():
        work.rename(path)
        return
    if _exchanged(work, path):
        return  # the earlier result lies in `work` now, which the caller removes
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    earlier = aside / path.name
    path.rename(earlier)
    try:
        work.rename(path)
    except OSError:
        earlier.rename(path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change names in one step (Linux: renameat2, RENAME_EXCHANGE); False where that is not known."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def _move_up(work: Path, path: Path) -> None:
    """For a folder that cannot be renamed (a mounted volume): its earlier content goes, the new content moves up."""
    for earlier in list(path.iterdir()):
        if earlier != work:
            shutil.rmtree(earlier) if earlier.is_dir() and not earlier.is_symlink() else earlier.unlink()
    for new in list(work.iterdir()):
        new.rename(path / new.name)


def _umask() -> int:
    """The process's umask: temporary folders are private, results follow the user's habit. For one thread at a time."""
    current = os.umask(0)
    os.umask(current)
    return current
