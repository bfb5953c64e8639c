"""Fetching a study into a folder, whole or not at all: C-MOVE to a receiver of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import Node
from liverplan.pacs.association import associated, require_success
from liverplan.pacs.receiver import Receiver, serving

_PENDING = 0xFF00
_UNKNOWN_DESTINATION = 0xA801


def move(node: Node, study: str, series: str | None, receiver: Receiver, keep: Callable[[bytes], int]) -> int:
    """Let `node` send a study (or one series) to `receiver`; `keep` gets each object and returns a C-STORE status.

    Returns how many objects the archive says it sent. Raises ArchiveError when it fails at any of them.
    """
    from pydicom.dataset import Dataset
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as Model

    query = Dataset()
    query.QueryRetrieveLevel = "STUDY" if series is None else "SERIES"
    query.StudyInstanceUID = study
    if series is not None:
        query.SeriesInstanceUID = series
    last: Any = None
    with serving(receiver, keep), associated(node, receiver.title, [Model]) as association:
        for status, _ in association.send_c_move(query, receiver.title, Model):
            last = status
            if not status or status.Status != _PENDING:
                break
    if last and last.Status == _UNKNOWN_DESTINATION:
        raise ArchiveError(
            "the archive does not know where to send the study",
            got=f"status 0x{last.Status:04X} from {node}",
            wanted=f"an archive that knows {receiver.title} at this machine's address and port {receiver.port}",
            do="Have it entered there, or fetch over DICOMweb.",
        )
    require_success(last, node, "sending the study")
    return int(last.get("NumberOfCompletedSuboperations") or 0)


class Kept:
    """Writes what arrives into folder/SERIES/INSTANCE.dcm and remembers what cannot be written."""

    def __init__(self, folder: Path, study: str) -> None:
        self.folder, self.study = folder, study
        self.names: set[str] = set()
        self.error: Exception | None = None
        self._lock = threading.Lock()

    def __call__(self, content: bytes) -> int:
        from liverplan.io.folder import write_bytes_atomic
        from liverplan.pacs.objects import header_of

        try:
            header = header_of(content)
            if header.study != self.study:
                return 0xA900  # does not match what was asked for
            target = self.folder / header.series
            target.mkdir(exist_ok=True)
            write_bytes_atomic(target / f"{header.instance}.dcm", content)
        except Exception as error:  # told to the person who waits; the archive is told that it failed
            self.error = error
            return 0xC000
        with self._lock:
            self.names.add(header.instance)
        return 0x0000
