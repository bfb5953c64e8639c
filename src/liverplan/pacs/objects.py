"""What a received object is: the UIDs it is filed by, and whether it is an image, a segmentation or something else."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from liverplan.errors import UnreadableInput
from liverplan.io.dicom_headers import silently
from liverplan.io.dicom_seg_in import LABEL_MAP_SEGMENTATION, SEGMENTATION
from liverplan.pacs.addresses import is_uid

IMAGE, SEG, OWN, OTHER = "image", "segmentation", "own", "other"
"""Kinds: pixels; a segmentation; what this program's own model drew; reports, documents, presentation states."""
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Manufacturer",
    "Rows",
    "SegmentSequence",
]


@dataclass(frozen=True)
class ObjectHeader:
    """UIDs that are safe to name files by, and the kind."""

    study: str
    series: str
    instance: str
    kind: str


def header_of(content: bytes) -> ObjectHeader:
    """The header of an encoded DICOM file. Raises UnreadableInput when it has no valid UIDs."""
    import pydicom

    try:
        with silently():
            found = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=_TAGS)
            uids = [str(found.get(n, "")) for n in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
            kind = _kind(found)
    except Exception as error:  # pydicom raises anything from KeyError to struct.error on damaged files
        raise _odd(type(error).__name__) from error
    if not all(is_uid(uid) for uid in uids):
        raise _odd("a UID that is none")
    return ObjectHeader(uids[0], uids[1], uids[2], kind)


def _kind(found: Any) -> str:
    if str(found.get("SOPClassUID", "")) not in (SEGMENTATION, LABEL_MAP_SEGMENTATION):
        return IMAGE if "Rows" in found else OTHER
    drawn_by = {str(s.get("SegmentAlgorithmType", "")) for s in found.get("SegmentSequence") or ()}
    # Masks that nobody has confirmed since our model drew them must not come back as a reader's.
    unread = str(found.get("Manufacturer", "")) == "liverplan" and drawn_by == {"AUTOMATIC"}
    return OWN if unread else SEG


def _odd(why: str) -> UnreadableInput:
    return UnreadableInput(
        "a received object cannot be filed", got=why, wanted="a DICOM object with valid UIDs", do="Send it again."
    )
