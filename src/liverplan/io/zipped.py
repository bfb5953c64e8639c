"""Gzip in and out, through isal: reads two to three times as fast as zlib, writes label maps ten times as fast."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip, isal_zlib

DAMAGED: tuple[Any, ...] = (EOFError, zlib.error, isal_zlib.error, igzip.BadGzipFile)
"""What reading a truncated or corrupt file raises."""


def is_zipped(file: IO[bytes]) -> bool:
    return isinstance(file, igzip.IGzipFile)


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unzipped when it is gzipped, whatever its name says."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], igzip.open(path, "rb")) if zipped else path.open("rb")


def zipping(file: IO[bytes]) -> IO[bytes]:
    """A stream whose bytes go gzipped into `file`, without name or time: the same input gives the same bytes."""
    return cast(IO[bytes], igzip.IGzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0))
