"""Headers of DICOM image files: one `Slice` per image plane, whether a file holds one plane or many.

Nothing here decodes a pixel. A file that is no DICOM image is None; one that is damaged is refused by name. Private
tags, burnt-in annotations and overlays are not looked at.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liverplan.errors import UnreadableInput
from liverplan.io.dicom_geometry import Slice

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
}
NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
DEFLATED = "1.2.840.10008.1.2.1.99"
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "StudyDate",
    "SeriesInstanceUID",
    "SeriesDescription",
    "ProtocolName",
    "PatientID",
    "PatientName",
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
    "ModalityLUTSequence",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "LossyImageCompression",
    "SpecificCharacterSet",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    # What may set the volumes of one series apart: see _TRAITS.
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "EchoTime",
    "DiffusionBValue",
    "InversionTime",
    "FlipAngle",
    "TriggerTime",
    "ConvolutionKernel",
    "ContrastBolusAgent",
    "AcquisitionTime",
]
_TRAITS = (
    ("phase", "TemporalPositionIdentifier", "FrameContentSequence", "TemporalPositionIndex"),
    ("acquisition", "AcquisitionNumber", "FrameContentSequence", "FrameAcquisitionNumber"),
    ("echo time", "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
    ("b-value", "DiffusionBValue", "MRDiffusionSequence", "DiffusionBValue"),
    ("inversion time", "InversionTime", "MRModifierSequence", "InversionTimes"),
    ("flip angle", "FlipAngle", "MRTimingAndRelatedParametersSequence", "FlipAngle"),
    ("kernel", "ConvolutionKernel", "CTReconstructionSequence", "ConvolutionKernel"),
    ("contrast agent", "ContrastBolusAgent", "ContrastBolusUsageSequence", "ContrastBolusAgentNumber"),
    ("trigger time", "TriggerTime", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("time", "AcquisitionTime", "FrameContentSequence", "FrameAcquisitionDateTime"),
)
"""(name, attribute of a single-frame image, functional group and attribute of a multi-frame one)."""
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


def read_headers(path: Path) -> list[Slice]:
    """Every image plane of the DICOM files under a folder, at any depth, or of one file.

    Raises UnreadableInput when there is none, or when a DICOM file is damaged.
    """
    slices: list[Slice] = []
    n_files = 0
    with silently():
        for file in _files(path):
            n_files += 1
            slices += read_header(file)
    if not slices:
        raise UnreadableInput(
            "no DICOM images in the folder",
            got=f"{path} with {n_files} files, none of them a DICOM image",
            wanted="a folder that holds the slices of a CT or MR series, at any depth",
            do="Check the path, or give a NIfTI, NRRD or MetaImage file.",
        )
    return slices


def read_header(path: Path) -> list[Slice]:
    """The planes of one file; none for what is no DICOM image. Raises UnreadableInput for a damaged DICOM file."""
    import pydicom

    try:
        with path.open("rb") as file:
            head = file.read(132)
            if head[128:132] != b"DICM" and head[:2] not in (b"\x08\x00", b"\x02\x00"):
                return []
            file.seek(0)
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            if "Rows" not in dataset:
                _require_complete(path, head, dataset)
                return []
            pixels_at = 0 if syntax_of(dataset) == DEFLATED else file.tell()
        _require_all_pixels(path, dataset, pixels_at)
        return _slices(path, dataset, pixels_at)
    except (UnreadableInput, PermissionError):
        raise
    except Exception as error:  # pydicom raises anything from KeyError to struct.error on damaged files
        raise damaged(path, f"{type(error).__name__}: {error}") from error


@contextmanager
def silently() -> Iterator[None]:
    """Without warnings: those of pydicom and highdicom quote the value they are about, which may be the patient's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_dicom_file(path: Path) -> bool:
    """True for a file with the DICOM preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def syntax_of(dataset: Any) -> str:
    """The transfer syntax; implicit little endian where a file does not say."""
    return str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "1.2.840.10008.1.2"))


def damaged(path: Path, why: str) -> UnreadableInput:
    """The refusal of one file by name."""
    return UnreadableInput(
        f"the DICOM file {path.name} is damaged or incomplete",
        got=why[:200],
        wanted="a complete file",
        do="Send the series again from the archive; a transfer probably broke off.",
    )


def _files(path: Path) -> Iterable[Path]:
    """Files that may be slices: hidden ones and the media directory are not."""
    if not path.is_dir():
        yield path
    for root, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        for name in sorted(names):
            file = Path(root) / name
            if not name.startswith(".") and name.upper() != "DICOMDIR" and file.is_file():
                yield file


def _require_complete(path: Path, head: bytes, dataset: Any) -> None:
    """A DICOM file without an image names its class (a report, a media directory); a cut-off one does not."""
    meta = getattr(dataset, "file_meta", {})
    named = {str(v) for v in (dataset.get("SOPClassUID"), meta.get("MediaStorageSOPClassUID")) if v}
    if head[128:132] == b"DICM" and (not named or named & {CT_IMAGE, MR_IMAGE, *ENHANCED}):
        raise damaged(path, f"a header of {path.stat().st_size} bytes that ends before the image")


def _require_all_pixels(path: Path, dataset: Any, pixels_at: int) -> None:
    syntax = syntax_of(dataset)
    if syntax == DEFLATED:
        return
    if syntax not in NATIVE:
        _require_all_fragments(path, pixels_at)
        return
    n_pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    expected = n_pixels * int(dataset.get("SamplesPerPixel") or 1) * int(dataset.get("BitsAllocated") or 16) // 8
    n_left = path.stat().st_size - pixels_at
    if n_left < expected:
        raise damaged(path, f"{n_left} of {expected} bytes of pixels")


def _require_all_fragments(path: Path, pixels_at: int) -> None:
    """Compressed pixels are items up to a delimiter (PS3.5 A.4); decoders fill in what a broken transfer left out."""
    with path.open("rb") as file:
        file.seek(pixels_at + 12)  # tag, VR, reserved, undefined length
        while True:
            head = file.read(8)
            if head[:4] == _END:
                return
            length = int.from_bytes(head[4:8], "little")
            if len(head) < 8 or head[:4] != _ITEM or file.seek(length, os.SEEK_CUR) > path.stat().st_size:
                raise damaged(path, "compressed pixels that end too early")


def _slices(path: Path, dataset: Any, pixels_at: int) -> list[Slice]:
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    enhanced = str(dataset.get("SOPClassUID", "")) in ENHANCED
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    if not enhanced or not groups:
        return [_slice(path, dataset, pixels_at, None, _Frame(dataset, None), n_frames)]
    if len(groups) != n_frames:
        raise damaged(path, f"{n_frames} frames and {len(groups)} descriptions of frames")
    return [_slice(path, dataset, pixels_at, n, _Frame(dataset, groups[n]), 1) for n in range(n_frames)]


class _Frame:
    """Looks attributes up where they are said: in the frame's functional groups, in the shared ones, or at the top."""

    def __init__(self, dataset: Any, own: Any) -> None:
        shared = dataset.get("SharedFunctionalGroupsSequence")
        self._top = dataset
        self._groups = [] if own is None else [own, *(shared or ())]

    def get(self, name: str, group: str, inside: str | None = None) -> Any:
        for groups in self._groups:
            items = groups.get(group)
            if items and inside is not None and items[0].get(inside) is None:
                continue
            if items and items[0].get(inside or name) is not None:
                return items[0].get(inside or name)
        return self._top.get(name)


def _slice(path: Path, dataset: Any, pixels_at: int, index: int | None, frame: _Frame, n_frames: int) -> Slice:
    slope = frame.get("RescaleSlope", "PixelValueTransformationSequence")
    kind = frame.get("ImageType", "CTImageFrameTypeSequence", "FrameType")
    if index is not None and kind is dataset.get("ImageType"):
        kind = frame.get("ImageType", "MRImageFrameTypeSequence", "FrameType")
    image_type = tuple(str(t).upper() for t in kind or ())
    return Slice(
        path=path,
        frame=index,
        pixels_at=pixels_at,
        syntax=syntax_of(dataset),
        patient=_patient(dataset),
        study_uid=str(dataset.get("StudyInstanceUID") or ""),
        study_day=str(dataset.get("StudyDate") or ""),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        instance_uid=str(dataset.get("SOPInstanceUID") or ""),
        sop_class_uid=str(dataset.get("SOPClassUID", "")),
        description=str(dataset.get("SeriesDescription") or dataset.get("ProtocolName") or ""),
        modality=str(dataset.get("Modality", "")),
        image_type=image_type,
        frame_uid=str(dataset.get("FrameOfReferenceUID") or "") or None,
        position_lps_mm=_numbers(frame.get("ImagePositionPatient", "PlanePositionSequence")),
        orientation=_numbers(frame.get("ImageOrientationPatient", "PlaneOrientationSequence")),
        pixel_spacing_mm=_numbers(frame.get("PixelSpacing", "PixelMeasuresSequence")),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        thickness_mm=float(frame.get("SliceThickness", "PixelMeasuresSequence") or 0) or None,
        slope=float(1 if slope is None else slope),
        intercept=float(frame.get("RescaleIntercept", "PixelValueTransformationSequence") or 0),
        has_table="ModalityLUTSequence" in dataset,
        lossy=str(dataset.get("LossyImageCompression") or "") == "01",
        samples=int(dataset.get("SamplesPerPixel") or 1),
        n_frames=n_frames,
        traits=_traits(frame, image_type),
    )


def _patient(dataset: Any) -> str:
    """A digest that tells patients apart and says nothing about them."""
    told = f"{dataset.get('PatientID') or ''}\0{dataset.get('PatientName') or ''}"
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()


def _traits(frame: _Frame, image_type: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What may set this plane apart from another one at the same place, in the order in which it is believed."""
    found = [(name, _text(frame.get(classic, group, inside))) for name, classic, group, inside in _TRAITS]
    return (found[0], found[1], ("image type", " ".join(image_type[2:])), *found[2:])


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return str(value)
    return " ".join(str(v) for v in value)


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in value) if value else ()
