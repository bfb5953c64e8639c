"""What a case is made of, twice: a cheap signature (sizes and times) that is looked at on every run, and the content.

A signature that did not change stands for the content that was hashed under it, so that 10 000 finished cases are
recognised without reading an image. A file that was touched or copied is hashed again, and recognised by its content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from liverplan.cohort.cases import CohortCase
from liverplan.cohort.remote import Location, Remote, fetch, files_at

_HEADERS = (".nhdr", ".mhd")
"""Images whose voxels lie in a file beside them."""


@dataclass(frozen=True)
class FileStamp:
    """A file that a case reads. name: its role and its path inside what was given, never a path of the machine.

    mark: the time of modification in ns, or what a storage has in its place; it changes with the content.
    """

    name: str
    path: Location
    size: int
    mark: int | str


def stamps_of(case: CohortCase) -> tuple[FileStamp, ...]:
    """Every file that the case reads, by name. Raises OSError when something cannot be looked at, and as `files_at`."""
    return tuple(sorted(_stamps(case), key=lambda stamp: stamp.name))


def signature(stamps: Sequence[FileStamp]) -> str:
    """One hash over names, sizes and times of modification."""
    return _digest([stamp.name, stamp.size, stamp.mark] for stamp in stamps)


def content_hash(stamps: Sequence[FileStamp]) -> str:
    """One hash over names and sha256 of the content. Reads every byte. Raises OSError, TypeError for what is remote."""
    return _digest([stamp.name, _sha256(stamp.path)] for stamp in stamps)


def fetched(case: CohortCase, home: Path) -> CohortCase:
    """The case with copies below `home` of what lies at addresses. Raises UnreadableInput, ResourceError."""

    def local(place: Location, role: str) -> Path:
        if isinstance(place, Path):
            return place
        fetch(place, home / role / place.name)
        return home / role / place.name

    return replace(
        case,
        image=local(case.image, "image"),
        segmentation=None if case.segmentation is None else local(case.segmentation, "segmentation"),
        resections=tuple(local(place, f"resection{n}") for n, place in enumerate(case.resections, start=1)),
    )


def _stamps(case: CohortCase) -> Iterator[FileStamp]:
    for role, path in case.inputs:
        # The image's name says nothing but its format; masks and resections are known by theirs.
        name = "".join(path.suffixes[-2:]).lower() if role == "image" else path.name
        if isinstance(path, Remote):
            for file in files_at(path):
                # No file of that name on a storage: a folder. The copy that is planned has the same names.
                yield FileStamp(f"{role}/{file.path or name}", path, file.size, file.mark)
        elif path.is_dir():
            yield from _inside(path, f"{role}/")
        else:
            yield from (_stamp(found, f"{role}/{name if found == path else found.name}") for found in _files(path))


def _inside(folder: Path, prefix: str) -> Iterator[FileStamp]:
    """Files at any depth. Sorted by the caller; scandir knows sizes without opening anything."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _inside(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                facts = entry.stat()
                yield FileStamp(f"{prefix}{entry.name}", Path(entry.path), facts.st_size, facts.st_mtime_ns)


def _files(path: Path) -> list[Path]:
    if path.name.upper() == "DICOMDIR":
        return [found for found in path.parent.rglob("*") if found.is_file()]
    if path.suffix.lower() in _HEADERS:
        return [found for found in path.parent.iterdir() if found.name.startswith(f"{path.stem}.") and found.is_file()]
    return [path]


def _stamp(path: Path, name: str) -> FileStamp:
    facts = path.stat()
    return FileStamp(name, path, facts.st_size, facts.st_mtime_ns)


def _sha256(path: Location) -> str:
    if isinstance(path, Remote):
        raise TypeError(f"{path} was not fetched")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(lines: Iterable[object]) -> str:
    return hashlib.sha256("\n".join(json.dumps(line) for line in lines).encode()).hexdigest()
