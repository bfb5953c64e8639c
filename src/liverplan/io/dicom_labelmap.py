"""Masks as a DICOM Label Map Segmentation (PS3.3 A.51, 2024): one number per voxel, as few archives read yet.

Where masks overlap, the later of liver, vena cava, hepatic veins, portal vein and lesions has the voxel: the liver
segment is what none of the others takes. Couinaud segments have no place beside it and are left out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from liverplan import __version__
from liverplan.anatomy import Structure
from liverplan.io.dicom_seg import Entry, WrittenSegmentation, seg_object
from liverplan.io.dicom_source import SourceSeries, derived_uid, save
from liverplan.io.labels import label_values
from liverplan.volume import AnyArray, Segmentation

ORDER = (
    Structure.LIVER,
    Structure.LIVER_VESSELS,
    Structure.VENA_CAVA,
    Structure.HEPATIC_VEINS,
    Structure.PORTAL_VEIN,
    Structure.LESIONS,
)


def write_label_map(path: Path, segmentation: Segmentation, source: SourceSeries) -> WrittenSegmentation:
    """As `dicom_seg.write_seg`, in one label map. Raises GeometryMismatch, OutputError, ResourceError."""
    source.grid.require_same(segmentation.grid, "the segmentation")
    labels, named = painted(segmentation)
    key = hashlib.sha256(np.asfortranarray(labels).tobytes("F") + repr((named, segmentation.model)).encode()).digest()
    uid = derived_uid("label map", source.series_uid, __version__, key)
    entries = tuple(
        Entry(n, structure, value, title, derived_uid("segment", uid, str(n)))
        for n, (structure, value, title) in enumerate(named, start=1)
    )
    seg = seg_object(segmentation, entries, source, uid, "LABELMAP", labels.transpose(2, 1, 0))
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = derived_uid("dimensions", uid)
    save(seg, path, source.patient_name)
    del seg.PixelData
    slices = tuple(tuple(np.flatnonzero((labels == entry.number).any(axis=(0, 1))).tolist()) for entry in entries)
    return WrittenSegmentation(seg, entries, slices)


def painted(segmentation: Segmentation) -> tuple[AnyArray, list[tuple[Structure, int | None, str]]]:
    """Labels (i, j, k) from 1, and what each means: structure, its value in the mask, title."""
    found: list[tuple[Structure, int | None, str]] = []
    labels: AnyArray = np.zeros(segmentation.grid.shape, dtype=np.uint16, order="F")
    for structure in ORDER:
        mask = segmentation.masks.get(structure)
        if mask is None:
            continue
        for value in label_values(mask) if structure is Structure.LESIONS else [None]:
            here = mask != 0 if value is None else mask == value
            if here.any():
                found.append((structure, value, structure.title if value is None else f"Lesion {value}"))
                labels[here] = len(found)
    left = [n for n in range(1, len(found) + 1) if (labels == n).any()]
    number = np.zeros(len(found) + 1, dtype=np.uint16 if len(left) > 255 else np.uint8)
    number[left] = np.arange(1, len(left) + 1)
    return number[labels], [found[n - 1] for n in left]
