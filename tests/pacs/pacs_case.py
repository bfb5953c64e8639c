"""Small studies as they come from a scanner: a CT series of the hand-made liver and, with it, its segmentation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import simple_case
from liverplan.io.dicom_seg import write_seg
from liverplan.io.dicom_source import derived_uid, source_series
from liverplan.io.images import read_image
from liverplan.volume import Segmentation, Volume

SPACING_MM = (4.0, 4.0, 5.0)
"""Coarse: a study is 31 slices of 34 x 46 pixels and plans in seconds."""
LESIONS = (simple_case.Ball((-22.0, 4.0, 36.0), 9.0), simple_case.Ball((12.0, 3.0, -30.0), 10.0))


def study_uid(number: int) -> str:
    return derived_uid("test study", str(number))


def write_study(
    folder: Path,
    number: int = 1,
    *,
    with_seg: bool = True,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    lesions: tuple[simple_case.Ball, ...] = LESIONS,
) -> str:
    """Write study `number` into `folder`: the same files each time it is written. Returns its UID."""
    grid = simple_case.grid(spacing_mm)
    moved = tuple(replace(b, centre=(b.centre[0], b.centre[1], b.centre[2] - 0.4 * (number % 20))) for b in lesions)
    masks = simple_case.masks(grid, moved)
    write_series(folder / "ct", simple_case.image(grid, masks), number)
    if with_seg:
        volume = read_image(folder / "ct")
        source = source_series(folder / "ct", volume)
        assert source is not None
        write_seg(folder / "seg.dcm", Segmentation(volume.grid, masks.masks), source)
        _by_a_reader(folder / "seg.dcm", number)
    return study_uid(number)


def _by_a_reader(path: Path, number: int) -> None:
    """As somebody else's object: the same masks written by this program would be the same object as the result."""
    seg = dcmread(path)
    seg.Manufacturer = "a reader's workstation"
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = derived_uid("test segmentation", str(number))
    seg.SeriesInstanceUID = derived_uid("test segmentations", str(number))
    seg.save_as(path, enforce_file_format=True)


def write_series(folder: Path, image: Volume, number: int) -> None:
    """One file per slice."""
    folder.mkdir(parents=True)
    for k in range(image.grid.shape[2]):
        _slice(image, k, number).save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)


def files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.dcm"))


def half_of(folder: Path, other: Path) -> Path:
    """The first half of a study's files."""
    files = files_of(folder)
    other.mkdir()
    for n, file in enumerate(files[: len(files) // 2]):
        shutil.copy(file, other / f"{n}.dcm")
    return other


def _slice(image: Volume, k: int, number: int) -> Dataset:
    grid = image.grid
    i_mm, j_mm, k_mm = grid.spacing_mm
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = derived_uid("test slice", str(number), str(k))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SpecificCharacterSet = "ISO_IR 100"
    one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    one.StudyInstanceUID, one.SeriesInstanceUID = study_uid(number), derived_uid("test series", str(number))
    one.FrameOfReferenceUID, one.PositionReferenceIndicator = derived_uid("test frame", str(number)), ""
    one.PatientName, one.PatientID = f"Größe^Zoë {number}", f"P-{number}"
    one.PatientBirthDate, one.PatientSex = "19600102", "F"
    one.StudyDate, one.StudyTime, one.StudyID, one.AccessionNumber = "20260102", "101112", "7", f"A-{number}"
    one.ReferringPhysicianName, one.Manufacturer = "", "nobody"
    one.SeriesDescription, one.SeriesNumber, one.Modality = "ABDOMEN PORTAL VENOUS", 1, "CT"
    one.AcquisitionNumber, one.InstanceNumber, one.KVP, one.Laterality = 1, k + 1, 120, ""
    one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.ImagePositionPatient = [round(float(v), 6) for v in grid.to_world(np.array([0, 0, k]))]
    one.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    one.PixelSpacing, one.SliceThickness = [j_mm, i_mm], k_mm
    one.Rows, one.Columns = grid.shape[1], grid.shape[0]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
    one.PixelData = (image.array[:, :, k].T.astype(np.int32) + 1024).astype("<i2").tobytes()
    return one
