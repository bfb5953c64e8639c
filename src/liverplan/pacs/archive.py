"""One way to ask, fetch and send, whatever the archive speaks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from liverplan.errors import ArchiveError, UnreadableInput
from liverplan.io.dicom_headers import is_dicom_file
from liverplan.io.folder import MARKER, output_folder
from liverplan.pacs.addresses import Address, Node, require_uid
from liverplan.pacs.find import Row, Wanted, find, nothing_found
from liverplan.pacs.move import Kept, move
from liverplan.pacs.receiver import Receiver
from liverplan.pacs.store import Sent, store
from liverplan.pacs.web import web_fetch, web_find, web_store


def query(address: Address, wanted: Wanted, own_title: str, limit: int = 100) -> list[Row]:
    """Studies, or the series of one study, `limit` at most. Raises ArchiveError."""
    if isinstance(address, Node):
        return find(address, wanted, own_title, limit)
    return web_find(address, wanted, limit)


def retrieve(address: Address, study: str, series: str | None, out: Path, receiver: Receiver) -> int:
    """Fetch a study (or one series) into OUT/SERIES/INSTANCE.dcm, whole or not at all; returns how many objects.

    receiver: where a C-MOVE sends to. Raises ArchiveError, OutputError, ResourceError.
    """
    require_uid(study, "the study")
    if series is not None:
        require_uid(series, "the series")
    with output_folder(out) as folder:
        kept = Kept(folder, study)
        if isinstance(address, Node):
            said = move(address, study, series, receiver, kept)
        else:
            said = _over_web(address, study, series, kept)
        if kept.error is not None:
            raise kept.error
        if not kept.names:
            raise nothing_found(address)
        if len(kept.names) < said:
            raise ArchiveError(
                "objects are missing",
                got=f"{len(kept.names)} objects of {said} that {address} says it sent",
                wanted="all of them",
                do="Fetch the study again.",
            )
    return len(kept.names)


def send(address: Address, paths: Sequence[Path], own_title: str, sent: Sent = lambda path: None) -> None:
    """Send files; `sent` is called with each that the archive keeps. Raises ArchiveError, UnreadableInput."""
    if isinstance(address, Node):
        store(address, paths, own_title, sent)
    else:
        web_store(address, paths, sent)


def objects_in(path: Path) -> list[Path]:
    """The DICOM files to send: of a planned case its `dicom/`, of another folder all at any depth, or the file.

    Raises UnreadableInput when there is none.
    """
    folder = path / "dicom" if (path / MARKER).is_file() else path
    files = [path] if path.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    found = [file for file in files if is_dicom_file(file) and file.name != "DICOMDIR"]
    if not found:
        raise UnreadableInput(
            "there is nothing to send",
            got=f"{path.name}, without a DICOM object",
            wanted="a folder that `liverplan plan` wrote from a DICOM series, or DICOM files",
            do="Plan a DICOM series: only then are DICOM results written.",
        )
    return found


def _over_web(address: Address, study: str, series: str | None, kept: Kept) -> int:
    assert not isinstance(address, Node)
    n = 0
    for dataset in web_fetch(address, study, series):
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        n += 1
        if kept(buffer.getvalue()):
            break
    return n
