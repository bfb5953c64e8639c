"""Sending objects to an application entity: C-STORE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from liverplan.errors import ArchiveError, UnreadableInput
from liverplan.pacs.addresses import Node
from liverplan.pacs.association import associated, is_stored

Sent = Callable[[Path], None]
_CONTEXTS = 128
"""What one association can offer (PS3.8 9.3.2.2)."""


def store(node: Node, paths: Sequence[Path], own_title: str, sent: Sent = lambda path: None) -> None:
    """Send DICOM files as they are; `sent(path)` is called as soon as the archive has said that it keeps one.

    Raises ArchiveError at the first that it does not take, UnreadableInput for what is no DICOM object.
    """
    with associated(node, own_title, _contexts([_syntaxes(path) for path in paths])) as association:
        for path in paths:
            try:
                status = association.send_c_store(path)
            except (ValueError, RuntimeError, AttributeError) as error:
                raise _refused(path, node, "it takes no objects of this kind or the connection broke") from error
            if not is_stored(status):
                said = f"status 0x{status.Status:04X}" if status else "no answer"
                raise _refused(path, node, said)
            sent(path)


def _refused(path: Path, node: Node, why: str) -> ArchiveError:
    return ArchiveError(
        "the archive did not take an object",
        got=f"{path.name} to {node}: {why}",
        wanted="an archive that stores segmentations, structured reports and encapsulated PDF",
        do="Look into the archive's log. What was sent before stays there; sending again stores nothing twice.",
    )


def _syntaxes(path: Path) -> tuple[str, str]:
    """SOP class and transfer syntax of a file."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(path)
        return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, OSError, EOFError) as error:
        raise UnreadableInput(
            "the file is no DICOM object", got=path.name, wanted="a DICOM file", do="Leave it out."
        ) from error


def _contexts(pairs: Sequence[tuple[str, str]]) -> list[Any]:
    from pynetdicom.presentation import build_context

    different = sorted(set(pairs))
    if len(different) > _CONTEXTS:
        raise ArchiveError(
            "too many kinds of objects for one connection",
            got=f"{len(different)} pairs of SOP class and transfer syntax",
            wanted=f"{_CONTEXTS} at most",
            do="Send them in several calls.",
        )
    return [build_context(sop_class, syntax) for sop_class, syntax in different]
