"""A small scan as DICOM files with random masks on it, and what stands in DICOM results, read with pydicom alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dicom_series import AXIAL, THICKNESS_MM, Change, write_series
from pydicom.dataset import Dataset

from liverplan.anatomy import Structure
from liverplan.io.dicom_source import SourceSeries, source_series
from liverplan.io.images import read_image
from liverplan.volume import Grid, Segmentation

FRAME = "1.2.826.0.1.3680043.8.498.77"
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Scan:
    """A series on disk, its grid and its headers."""

    folder: Path
    grid: Grid
    source: SourceSeries


def scan(
    folder: Path,
    shape: tuple[int, int, int] = (16, 12, 6),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-20.0, -30.0, 100.0),
    step: Sequence[float] | None = None,
    spacing: tuple[float, float] = (0.8, 0.7),
    frame: str = FRAME,
    change: Change | None = None,
) -> Scan:
    """Write a series of `shape` (columns, rows, slices); `spacing` is (between rows, between columns)."""

    def told(k: int, dataset: Dataset) -> None:
        dataset.FrameOfReferenceUID = frame
        dataset.PixelSpacing = list(spacing)
        if step is not None:
            dataset.SliceThickness = float(np.linalg.norm(step))
        if change is not None:
            change(k, dataset)

    hu = np.zeros(shape, dtype=np.int16)
    write_series(folder, hu, orientation=orientation, origin=origin, step=step, change=told)
    volume = read_image(folder)
    source = source_series(folder, volume)
    assert source is not None
    return Scan(folder, volume.grid, source)


def random_masks(grid: Grid, seed: int = 0) -> Segmentation:
    """Overlapping masks without symmetry; three lesions, two Couinaud segments, and slices that hold nothing."""
    rng = np.random.default_rng(seed)

    def some(share: float) -> np.ndarray:
        mask = (rng.random(grid.shape) < share).astype(np.uint8)
        mask[:, :, rng.integers(grid.shape[2])] = 0
        return np.asfortranarray(mask)

    lesions = some(0.1) * rng.integers(1, 4, grid.shape, dtype=np.uint8)
    lesions.flat[:3] = (1, 2, 3)
    couinaud = some(0.5) * np.uint8(5)
    couinaud.flat[:2] = (8, 5)
    return Segmentation(
        grid,
        {
            Structure.LIVER: some(0.6),
            Structure.LESIONS: lesions,
            Structure.PORTAL_VEIN: some(0.1),
            Structure.HEPATIC_VEINS: some(0.1),
            Structure.VENA_CAVA: some(0.1),
            Structure.LIVER_VESSELS: some(0.1),
            Structure.COUINAUD: couinaud,
        },
    )


def expected(segmentation: Segmentation) -> dict[str, np.ndarray]:
    """What each segment of the file has to hold, by its label."""
    masks = {}
    for structure, mask in segmentation.masks.items():
        if structure in (Structure.LESIONS, Structure.COUINAUD):
            name = "Lesion" if structure is Structure.LESIONS else "Liver segment"
            masks |= {f"{name} {v}": mask == v for v in np.unique(mask) if v}
        else:
            masks[structure.title] = mask > 0
    return masks


def by_pydicom(seg: Dataset, source: SourceSeries) -> dict[str, np.ndarray]:
    """The segments of a SEG on the source's slices: each frame goes where the image lies that it refers to."""
    k_of = {str(h.SOPInstanceUID): k for k, h in enumerate(source.headers)}
    label_of = {int(s.SegmentNumber): str(s.SegmentLabel) for s in seg.SegmentSequence}
    masks = {label: np.zeros(source.grid.shape, dtype=bool) for label in label_of.values()}
    for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        masks[label_of[number]][:, :, k_of[str(image.ReferencedSOPInstanceUID)]] = frame.T > 0
    return masks


def without_frame(grid: Grid) -> Grid:
    """The grid of a file that knows no frame of reference."""
    return replace(grid, frame_uid=None)


def step_along(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:]) * THICKNESS_MM
