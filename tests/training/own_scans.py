"""Small made-up patients as files in the layouts that `liverplan train` reads. Not data of anybody."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from abdomens import ellipsoid

from liverplan.anatomy import Structure
from liverplan.io.writing import write_mask, write_segmentation, write_volume
from liverplan.training.config import FolderData, TrainingConfig
from liverplan.volume import Grid, Segmentation, Volume

SHAPE = (36, 32, 28)
SPACING_MM = (6.0, 6.0, 8.0)
LABELS = {"background": 0, "liver": 1, "tumor": 2, "portal_vein": 3, "hepatic_veins": 4, "inferior_vena_cava": 5}
TINY = TrainingConfig(
    "segment",
    8.0,
    (16, 16, 16),
    24,
    channels=(4, 8),
    num_res_units=1,
    validate_every=8,
    checkpoint_every=4,
    data=FolderData(validation=0.3),
)


def patient(seed: int, grid: Grid | None = None) -> tuple[Volume, Segmentation]:
    """A liver of its own size with a lesion, two veins, and a vena cava behind it; the image shows them all."""
    grid = grid or Grid.from_spacing(SHAPE, SPACING_MM, (-100.0, -90.0, 10.0 * seed))
    rng = np.random.default_rng(seed)
    n, m, p = shape = grid.shape
    size = rng.uniform(0.9, 1.1)
    liver = ellipsoid(shape, (n * 0.4, m * 0.5, p * 0.5), (n * 0.25 * size, m * 0.3 * size, p * 0.32 * size))
    veins = [ellipsoid(shape, (n * 0.4, m * y, p * 0.5), (n * 0.2, 1.3, 1.3)) & liver for y in (0.4, 0.6)]
    cava = ellipsoid(shape, (n * 0.5, m * 0.85, p * 0.5), (1.6, 1.6, p * 2))
    lesion = ellipsoid(shape, (n * 0.32, m * 0.5, p * 0.5), (2.2, 1.7, 2.2)) & liver
    hounsfield = np.full(shape, -1000.0)
    hounsfield[ellipsoid(shape, (n / 2, m / 2, p / 2), (n * 0.47, m * 0.47, p * 2))] = -80.0
    for mask, value in ((liver, 110), (veins[0], 190), (veins[1], 170), (cava, 150), (lesion, 50)):
        hounsfield[mask] = value
    hounsfield += rng.normal(0, 5, shape)
    masks = dict(
        zip(
            (Structure.LIVER, Structure.LESIONS, Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA),
            (m.astype(np.uint8) for m in (liver, lesion, veins[0], veins[1], cava)),
            strict=True,
        )
    )
    return Volume(grid, hounsfield.astype(np.int16)), Segmentation(grid, masks)


def label_map(segmentation: Segmentation) -> np.ndarray:
    labels = np.zeros(segmentation.grid.shape, dtype=np.uint8)
    for value, structure in (
        (1, Structure.LIVER),
        (5, Structure.VENA_CAVA),
        (4, Structure.HEPATIC_VEINS),
        (3, Structure.PORTAL_VEIN),
        (2, Structure.LESIONS),
    ):
        labels[segmentation.mask(structure)] = value
    return labels


def write_patient(folder: Path, seed: int) -> None:
    """As `liverplan phantom` writes one: image.nii.gz and masks/."""
    volume, segmentation = patient(seed)
    folder.mkdir(parents=True)
    write_volume(volume, folder / "image.nii.gz")
    write_segmentation(segmentation, folder / "masks")


def write_patients(folder: Path, count: int = 4) -> Path:
    for n in range(count):
        write_patient(folder / f"p{n}", n)
    return folder


def write_nnunet(folder: Path, count: int = 3) -> Path:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for n in range(count):
        volume, segmentation = patient(n)
        write_volume(volume, folder / f"imagesTr/case_{n:03d}_0000.nii.gz")
        write_mask(label_map(segmentation), segmentation.grid, folder / f"labelsTr/case_{n:03d}.nii.gz")
    described = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": count, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def write_dicom(folder: Path, seed: int, patient_id: str) -> None:
    """A CT series with a DICOM SEG beside it."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    from liverplan.io.dicom_seg import write_seg
    from liverplan.io.dicom_source import source_series
    from liverplan.io.images import read_image

    volume, segmentation = patient(seed)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    (folder / "series").mkdir(parents=True)
    for k in range(volume.grid.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        one: Dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.Modality, one.PatientID, one.PatientName, one.SeriesDescription = "CT", patient_id, "A^B", "PORTAL"
        one.PatientBirthDate, one.PatientSex, one.StudyDate, one.StudyTime, one.StudyID = "", "", "", "", "1"
        one.AccessionNumber, one.ReferringPhysicianName, one.Manufacturer, one.ImageType = "", "", "M", ["ORIGINAL"]
        one.SeriesNumber, one.InstanceNumber = 1, k + 1
        one.Rows, one.Columns = volume.grid.shape[1], volume.grid.shape[0]
        one.PixelSpacing, one.SliceThickness = [SPACING_MM[1], SPACING_MM[0]], SPACING_MM[2]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [float(v) for v in volume.grid.to_world([0, 0, k])]
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        one.PixelData = np.ascontiguousarray(volume.array[:, :, k].T).astype("<i2").tobytes()
        one.save_as(folder / f"series/{k:03d}", enforce_file_format=True)
    read = read_image(folder / "series")
    source = source_series(folder / "series", read)
    assert source is not None
    there = Segmentation(read.grid, segmentation.masks)
    write_seg(folder / "seg.dcm", there, source)
