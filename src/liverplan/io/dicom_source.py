"""The DICOM series that a case was planned on, as far as DICOM results have to repeat it: headers, never pixels.

Patient, study, equipment and frame of reference of a result are those of the scan (PS3.3 C.7), so that an archive files
it beside the scan. UIDs are derived from what they name, so that the same run gives the same ones.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from liverplan.errors import UnreadableInput
from liverplan.io.dicom_headers import silently as silently
from liverplan.io.folder import atomic_file
from liverplan.volume import Grid, Volume

Header: TypeAlias = Any
"""A pydicom Dataset without pixels."""

_PER_SLICE = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "InstanceNumber",
    "SpecificCharacterSet",
]
_PATIENT_AND_STUDY = (
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Type 2 attributes: they have to be there and may be empty."""
_UTF_8 = "ISO_IR 192"
_OFF_THE_LATTICE = 0.25
"""A slice may lie this part of a voxel away from its place (the gate of `liverplan.io.dicom_geometry` is narrower)."""


@dataclass(frozen=True)
class SourceSeries:
    """The slices of a series in the order of the grid's last axis, without pixels.

    headers: one pydicom Dataset per k; the first holds everything, the others what says which image it is and where.
    grid: the image's grid. frame_uid: the scan's frame of reference, or one derived from its series where it has none.
    patient_name: kept apart from the headers, because highdicom prints names that it finds odd; `save` adds it.
    """

    headers: tuple[Header, ...]
    grid: Grid
    frame_uid: str
    patient_name: Any

    @property
    def first(self) -> Header:
        return self.headers[0]

    @property
    def series_uid(self) -> str:
        return str(self.first.SeriesInstanceUID)


def source_series(path: Path, volume: Volume) -> SourceSeries | None:
    """The headers of the series that `read_image(path, ...)` made `volume` of; None when it was no DICOM series, and
    when the planes of the volume are not one file each (multi-frame files, a tilt or a gap that was mended).

    Raises UnreadableInput when the files have changed since they were read.
    """
    series_uid = volume.facts.get("series_uid")
    if series_uid is None:
        return None
    from liverplan.io.dicom import series_slices

    folder = path.parent if path.name.upper() == "DICOMDIR" else path
    files = [s.path for s in series_slices(folder, series_uid)]
    if not files:
        return None
    with silently():
        headers = _in_order([_header(file, _PER_SLICE) for file in files], volume.grid, folder)
        whole = _header(Path(headers[0].filename), None)
        patient_name = whole.get("PatientName") or ""
        frame_uid = volume.grid.frame_uid or derived_uid("frame of reference", series_uid)
        completed = tuple(_completed([whole, *headers[1:]], series_uid, frame_uid))
    return SourceSeries(completed, volume.grid, frame_uid, patient_name)


def derived_uid(*parts: str | bytes) -> str:
    """A UID that is always the same for the same parts: a hashed UUID under the root 2.25 (PS3.5 B.2)."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}"


def save(dataset: Any, path: Path, patient_name: Any) -> None:
    """Write a DICOM object whole or not at all, its texts in UTF-8. Raises OutputError, ResourceError."""
    dataset.PatientName = patient_name
    # The scan's character set need not hold what the report says; names of the patient are encoded again.
    dataset.SpecificCharacterSet = _UTF_8
    with atomic_file(path) as file:
        dataset.save_as(file, enforce_file_format=True)


def record_digest(record: Mapping[str, Any]) -> str:
    """sha256 over a report.json record."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _header(file: Path, tags: Sequence[str] | None) -> Header:
    import pydicom

    return pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)


def _in_order(headers: Sequence[Header], grid: Grid, folder: Path) -> list[Header]:
    """The headers by their place on the grid's last axis. Raises UnreadableInput when they are not one per slice."""
    placed = {}
    for header in headers:
        index = grid.to_index([float(v) for v in header.ImagePositionPatient])
        k = int(np.rint(index[2]))
        if np.abs(index - [0, 0, k]).max() < _OFF_THE_LATTICE:
            placed[k] = header
    if sorted(placed) != list(range(grid.shape[2])) or len(headers) != grid.shape[2]:
        raise UnreadableInput(
            "the DICOM series is not the one that was read before",
            got=f"{len(headers)} slices in {folder}, {len(placed)} of them in place",
            wanted=f"the {grid.shape[2]} slices of the image",
            do="Do not change the folder while the case is planned; run it again.",
        )
    return [placed[k] for k in range(grid.shape[2])]


def _completed(headers: Sequence[Header], series_uid: str, frame_uid: str) -> Iterable[Header]:
    """Every header with the scan's patient and study, which have to be there even where the scan leaves them out."""
    first = headers[0]
    study_uid = str(first.get("StudyInstanceUID") or "") or derived_uid("study", series_uid)
    known = {name: _acceptable(name, first.get(name)) for name in _PATIENT_AND_STUDY}
    for header in headers:
        header.SpecificCharacterSet = _UTF_8
        header.StudyInstanceUID = study_uid
        header.FrameOfReferenceUID = frame_uid
        header.PatientName = ""
        for name, value in known.items():
            setattr(header, name, value)
        yield header


def _acceptable(name: str, value: Any) -> Any:
    """The value, or an empty one where the scan's breaks the standard: a result must not repeat it."""
    from pydicom.valuerep import DA, TM

    if value is None:
        return ""
    try:
        if name.endswith("Date"):
            DA(value)
        if name.endswith("Time"):
            TM(value)
    except ValueError:
        return ""
    return value if name != "PatientSex" or value in ("M", "F", "O") else ""
