"""Writes small DICOM CT series, good or broken, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS, SPACING_MM, THICKNESS_MM = 12, 16, (0.8, 0.7), 2.5
"""Not square and not isotropic, so that a swap of rows and columns is seen. SPACING_MM is (between rows, columns)."""
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Change = Callable[[int, Dataset], None]


def voxels(n_slices: int = 6) -> np.ndarray:
    """Hounsfield units (i, j, k), every voxel different from its mirror images."""
    i, j, k = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS), np.arange(n_slices), indexing="ij")
    return (-1000 + 100 * k + 7 * j + i).astype(np.int16)


def write_series(
    folder: Path,
    hu: np.ndarray | None = None,
    *,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-20.0, -30.0, 100.0),
    step: Sequence[float] | None = None,
    uid: str | None = None,
    description: str = "ABDOMEN PORTAL VENOUS 2.5",
    change: Change | None = None,
    skip: Sequence[int] = (),
) -> str:
    """Write one file per slice, in shuffled file order, and return the series UID. `change` edits a slice's header."""
    hu = voxels() if hu is None else hu
    uid = uid or generate_uid()
    frame = generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    step = np.cross(row, column) * THICKNESS_MM if step is None else np.array(step)
    for k in range(hu.shape[2]):
        if k in skip:
            continue
        dataset = _slice(hu[:, :, k].T, uid, frame, description)
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.array(origin) + k * step]
        dataset.ImageOrientationPatient = [float(v) for v in orientation]
        dataset.InstanceNumber = k + 1
        if change is not None:
            change(k, dataset)
        dataset.save_as(folder / f"IM{(k * 7 + 3) % 101:04d}", enforce_file_format=True)
    return uid


def _slice(pixels_hu: np.ndarray, uid: str, frame: str, description: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": uid,
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "FrameOfReferenceUID": frame,
        "SeriesDescription": description,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientName": "Secret^Name",
        "PatientID": "PAT-0815",
        "PixelSpacing": list(SPACING_MM),
        "SliceThickness": THICKNESS_MM,
        "Rows": pixels_hu.shape[0],
        "Columns": pixels_hu.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.PixelData = (pixels_hu.astype(np.int32) + 1024).astype("<i2").tobytes()
    return dataset


def multiframe_file(
    path: Path,
    hu: np.ndarray | None = None,
    *,
    step_mm: float = THICKNESS_MM,
    change: Callable[[Dataset], None] | None = None,
) -> Path:
    """Write one Enhanced CT object with a frame per slice; `change` edits it. Returns the path."""
    hu = voxels() if hu is None else hu
    n_frames = hu.shape[2]
    dataset = _slice(hu[:, :, 0].T, generate_uid(), generate_uid(), "ABDOMEN PORTAL VENOUS 2.5")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    for name in ("PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, name)
    dataset.NumberOfFrames = n_frames
    dataset.PixelData = (hu.transpose(2, 1, 0).astype(np.int32) + 1024).astype("<i2").tobytes()
    dataset.SharedFunctionalGroupsSequence = [
        frame_item(
            PixelMeasuresSequence=[frame_item(PixelSpacing=list(SPACING_MM), SliceThickness=THICKNESS_MM)],
            PlaneOrientationSequence=[frame_item(ImageOrientationPatient=list(AXIAL))],
            PixelValueTransformationSequence=[frame_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        frame_item(
            FrameContentSequence=[
                frame_item(StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1])
            ],
            PlanePositionSequence=[frame_item(ImagePositionPatient=[-20.0, -30.0, 100.0 + k * step_mm])],
        )
        for k in range(n_frames)
    ]
    if change is not None:
        change(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def frame_item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item
