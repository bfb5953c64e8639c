"""DICOM series in: every slice is looked at before any voxel is believed.

SimpleITK alone reads a series with missing slices, a tilted gantry or a localizer among the slices into a volume with
a wrong spacing, with a warning at best. A 12 % error of spacing is a 12 % error of every cranio-caudal margin: so the
gate of `liverplan.io.dicom_geometry` refuses, and GDCM (through SimpleITK) only decodes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.errors import GeometryError, UnreadableInput
from liverplan.io.dicom_geometry import Slice, series_affine
from liverplan.io.nifti import integer_type
from liverplan.volume import AnyArray, Grid, Volume

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
_ENHANCED = {"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2", "1.2.840.10008.5.1.4.1.1.4.1"}
_UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "ProtocolName",
    "Modality",
    "ImageType",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "SpecificCharacterSet",
]

_PHASES = {
    "arterial": r"arter|\bart\b|\bhap\b",
    "portal_venous": r"porto?[- _]?ven|portal|\bpvp?\b|(?<!delayed )\bvenous\b|\bven[oö]s\b|\bveineux\b"
    r"|\b[678]\d ?s(ec)?\b",
    "delayed": r"delay|\blate\b|equilib|tardi|\b(3|5|10) ?min\b",
    "hepatobiliary": r"hepatobil|\bhbp\b|\b20 ?min\b",
    "unenhanced": r"unenhanced|non[- _]?(contrast|enhanced)|without|\bnative?\b|\bplain\b|sans inj"
    r"|\bpre[- _]?contrast\b",
}


@dataclass(frozen=True)
class SeriesInfo:
    """One image series of a folder: enough to choose by. thickness_mm and phase are None where the files are silent."""

    uid: str
    description: str
    modality: str
    n_slices: int
    thickness_mm: float | None
    phase: str | None
    files: tuple[Path, ...]
    is_scan: bool
    """False for localizers, secondary captures, single images and multi-frame objects."""

    @property
    def line(self) -> str:
        """One line for a person: what to choose by. No patient data."""
        thickness = f"{self.thickness_mm:g} mm" if self.thickness_mm else "thickness unknown"
        phase = f", {self.phase.replace('_', '-')}" if self.phase else ""
        return f"{self.uid} ({self.modality} {self.description!r}, {self.n_slices} slices, {thickness}{phase})"


def list_series(folder: Path) -> tuple[SeriesInfo, ...]:
    """The image series under `folder`, at any depth; real scans first, larger ones before smaller ones.

    Raises UnreadableInput when there is none, or when a DICOM file in it is damaged.
    """
    found = [_series_info(slices) for slices in _slices_by_series(folder).values()]
    return tuple(sorted(found, key=lambda s: (not s.is_scan, -s.n_slices, s.uid)))


def choose_series(series: Sequence[SeriesInfo], uid: str | None = None) -> SeriesInfo:
    """The series asked for, else the only scan, else the only portal-venous one.

    Raises UnreadableInput with the list of series when that leaves none or several.
    """
    if uid is not None:
        chosen = [s for s in series if s.uid == uid]
    else:
        scans = [s for s in series if s.is_scan] or list(series)
        portal = [s for s in scans if s.phase == "portal_venous"]
        chosen = scans if len(scans) == 1 else portal
    if len(chosen) == 1:
        return chosen[0]
    lines = "; ".join(s.line for s in series)
    raise UnreadableInput(
        "the series to plan on is not clear" if uid is None else "the chosen series is not in the folder",
        got=f"{len(series)} series: {lines}",
        wanted="one portal-venous scan of the liver" if uid is None else f"series {uid}",
        do="Choose one with --series UID.",
    )


def read_series(folder: Path, series_uid: str | None = None) -> Volume:
    """Read one series under `folder` into a volume on its own grid, rescaled (Hounsfield units for CT).

    Slices run along the normal of the image plane. facts: sha256 (over the digests of the
    slices' files in the order of their positions: names do not matter),
    series_uid, series_description, slice_thickness_mm, phase, modality_source.
    Raises UnreadableInput (no series, unclear choice, damaged files, not CT or MR) and GeometryError (missing,
    duplicate or tilted slices, localizers, mixed sizes, orientations or frames of reference).
    """
    by_uid = _slices_by_series(folder)
    info = choose_series([_series_info(s) for s in by_uid.values()], series_uid)
    slices = by_uid[info.uid]
    _require_scan(info, slices)
    affine, ordered = series_affine(slices)
    array, sha256 = _read_voxels(ordered)
    shape = (ordered[0].columns, ordered[0].rows, len(ordered))
    return Volume(Grid(shape, affine, ordered[0].frame_uid), array, info.modality, _facts(info, sha256))


def phase_of(description: str) -> str | None:
    """The contrast phase that a series description names, or None when it names none or several."""
    text = description.lower().replace("_", " ")
    named = [phase for phase, pattern in _PHASES.items() if re.search(pattern, text)]
    return named[0] if len(named) == 1 else None


def _facts(info: SeriesInfo, sha256: str) -> dict[str, str]:
    facts = {"sha256": sha256, "modality_source": "file", "series_uid": info.uid}
    if info.description:
        facts["series_description"] = info.description
    if info.thickness_mm:
        facts["slice_thickness_mm"] = f"{info.thickness_mm:g}"
    if info.phase:
        facts["phase"] = info.phase
    return facts


def _slices_by_series(folder: Path) -> dict[str, list[Slice]]:
    found: dict[str, list[Slice]] = {}
    n_files = 0
    for path in _files(folder):
        n_files += 1
        header = _read_header(path)
        if header is not None:
            found.setdefault(header.series_uid, []).append(header)
    if not found:
        raise UnreadableInput(
            "no DICOM images in the folder",
            got=f"{folder} with {n_files} files, none of them a DICOM image",
            wanted="a folder that holds the slices of a CT or MR series, at any depth",
            do="Check the path, or give a NIfTI, NRRD or MetaImage file.",
        )
    return found


def _files(folder: Path) -> Iterable[Path]:
    """Files that may be slices: hidden ones and the media directory are not."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        for name in sorted(names):
            if not name.startswith(".") and name.upper() != "DICOMDIR":
                yield Path(root) / name


def _read_header(path: Path) -> Slice | None:
    """The header of one file; None for what is no DICOM image. Raises UnreadableInput for a damaged DICOM file."""
    import pydicom

    try:
        with path.open("rb") as file:
            head = file.read(132)
            if head[128:132] != b"DICM" and head[:2] not in (b"\x08\x00", b"\x02\x00"):
                return None
            file.seek(0)
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            n_left = path.stat().st_size - file.tell()
        if "Rows" not in dataset:
            _require_complete(path, head, dataset)
            return None
        _require_all_pixels(path, dataset, n_left)
        return _slice(path, dataset)
    except (UnreadableInput, PermissionError):
        raise
    except Exception as error:  # pydicom raises anything from KeyError to struct.error on damaged files
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _require_complete(path: Path, head: bytes, dataset: Any) -> None:
    """A DICOM file without an image names its class (a report, a media directory); a cut-off one does not."""
    meta = getattr(dataset, "file_meta", {})
    named = {str(v) for v in (dataset.get("SOPClassUID"), meta.get("MediaStorageSOPClassUID")) if v}
    if head[128:132] == b"DICM" and (not named or named & {CT_IMAGE, MR_IMAGE, *_ENHANCED}):
        raise _damaged(path, f"a header of {path.stat().st_size} bytes that ends before the image")


def _slice(path: Path, dataset: Any) -> Slice:
    return Slice(
        path=path,
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        sop_class_uid=str(dataset.get("SOPClassUID", "")),
        description=str(dataset.get("SeriesDescription") or dataset.get("ProtocolName") or ""),
        modality=str(dataset.get("Modality", "")),
        image_type=tuple(str(t).upper() for t in dataset.get("ImageType") or ()),
        frame_uid=str(dataset.get("FrameOfReferenceUID") or "") or None,
        position_lps_mm=_numbers(dataset.get("ImagePositionPatient")),
        orientation=_numbers(dataset.get("ImageOrientationPatient")),
        pixel_spacing_mm=_numbers(dataset.get("PixelSpacing")),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        thickness_mm=float(dataset.get("SliceThickness") or 0) or None,
        slope=float(1 if dataset.get("RescaleSlope") is None else dataset.RescaleSlope),
        intercept=float(dataset.get("RescaleIntercept") or 0),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        n_frames=int(dataset.get("NumberOfFrames") or 1),
    )


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in value) if value else ()


def _require_all_pixels(path: Path, dataset: Any, n_left: int) -> None:
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    if syntax not in _UNCOMPRESSED:
        return
    n_pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    expected = n_pixels * int(dataset.get("SamplesPerPixel") or 1) * int(dataset.get("BitsAllocated") or 16) // 8
    if n_left < expected:
        raise _damaged(path, f"{n_left} of {expected} bytes of pixels")


def _series_info(slices: Sequence[Slice]) -> SeriesInfo:
    first = slices[0]
    thicknesses = {s.thickness_mm for s in slices}
    return SeriesInfo(
        uid=first.series_uid,
        description=first.description,
        modality=first.modality,
        n_slices=len(slices),
        thickness_mm=first.thickness_mm if len(thicknesses) == 1 else None,
        phase=phase_of(first.description),
        files=tuple(s.path for s in slices),
        is_scan=len(slices) > 1 and sum(s.is_slice for s in slices) * 2 > len(slices),
    )


def _require_scan(info: SeriesInfo, slices: Sequence[Slice]) -> None:
    what = f"series {info.uid} is not a scan that can be measured"
    do = "Give the axial CT or MR series itself, not a screenshot, a report or a reformat; --series UID chooses one."
    if any(s.n_frames > 1 or s.sop_class_uid in _ENHANCED for s in slices):
        raise UnreadableInput(
            what,
            got="an enhanced (multi-frame) object",
            wanted="one file per slice (CT Image Storage or MR Image Storage)",
            do="Export it as classic single-frame DICOM, or convert it to NIfTI.",
        )
    if info.modality not in ("CT", "MR"):
        raise UnreadableInput(what, got=f"modality {info.modality or 'unknown'}", wanted="CT or MR", do=do)
    if any(s.samples != 1 for s in slices):
        raise UnreadableInput(what, got="colour pixels", wanted="one number per pixel", do=do)
    strangers = [s for s in slices if not s.is_slice]
    if strangers:
        kinds = sorted({s.stranger_kind or "" for s in strangers})
        raise GeometryError(
            what,
            got=f"{len(strangers)} of {len(slices)} files are {' and '.join(kinds)}",
            wanted="slices of one scan only",
            do=f"Remove {strangers[0].path.name} and its like from the series. {do}",
        )


def _read_voxels(slices: Sequence[Slice]) -> tuple[AnyArray, str]:
    """(i, j, k) array of the slices in order and the sha256 over the digests of their files."""
    whole = all(s.slope.is_integer() and s.intercept.is_integer() for s in slices)
    first = slices[0]
    array = np.empty((first.columns, first.rows, len(slices)), dtype=np.int16 if whole else np.float32, order="F")
    digests = []
    for k, one in enumerate(slices):
        pixels = _decode(one)
        if array.dtype.kind == "i" and integer_type(float(pixels.min()), float(pixels.max())) is not array.dtype.type:
            array = array.astype(np.int32)
        array[:, :, k] = pixels.T
        with one.path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return array, hashlib.sha256(b"".join(digests)).hexdigest()


def _decode(one: Slice) -> AnyArray:
    """One slice (rows, columns), rescaled by GDCM."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(one.path))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _damaged(one.path, "pixels that cannot be decoded") from error
    pixels = np.array(sitk.GetArrayViewFromImage(image)).reshape(-1, one.columns)
    if pixels.shape != (one.rows, one.columns):
        raise _damaged(one.path, f"{pixels.shape} pixels instead of {(one.rows, one.columns)}")
    return pixels


def _damaged(path: Path, why: str) -> UnreadableInput:
    return UnreadableInput(
        f"the DICOM file {path.name} is damaged or incomplete",
        got=why[:200],
        wanted="a complete file",
        do="Send the series again from the archive; a transfer probably broke off.",
    )
