"""Masks as a DICOM Segmentation (BINARY, PS3.3 A.51): what today's archives and viewers read.

highdicom makes the object: modules, references, dimensions. The frames are packed here, plane by plane, because
highdicom wants every segment of the whole image in memory at once (2 GB for 512 x 512 x 300 and 25 segments).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.anatomy import Structure
from liverplan.io.dicom_codes import LIVER, category_of, concept, type_of
from liverplan.io.dicom_source import Header, SourceSeries, derived_uid, save
from liverplan.io.labels import Mask, label_values
from liverplan.volume import Segmentation

SERIES_NUMBER = 901
_SOFTWARE = "liverplan"


@dataclass(frozen=True)
class Entry:
    """One segment: its number in the file, what it is, and how it is found again in another report."""

    number: int
    structure: Structure
    value: int | None
    """The label value in the structure's mask; None for every voxel that is not 0."""
    title: str
    tracking_uid: str


@dataclass(frozen=True)
class WrittenSegmentation:
    """seg.dcm as others refer to it: its header without pixels, its segments, and the slices each segment lies on."""

    header: Header
    entries: tuple[Entry, ...]
    slices: tuple[tuple[int, ...], ...]

    def find(self, structure: Structure, value: int | None = None) -> int | None:
        """The place in `entries` of a structure (a lesion by its number); None when it is not there."""
        found = (n for n, e in enumerate(self.entries) if e.structure is structure and value in (None, e.value))
        return next(found, None)

    def tracking_uid(self, structure: Structure, value: int | None = None) -> str | None:
        """What the segment of a structure is found again by; None when it is not there."""
        at = self.find(structure, value)
        return None if at is None else self.entries[at].tracking_uid


@dataclass(frozen=True)
class _Packed:
    """Frames in file order: (place in entries, k), their bits, and whether two segments share a voxel."""

    frames: tuple[tuple[int, int], ...]
    bits: bytes
    overlap: bool


def write_seg(path: Path, segmentation: Segmentation, source: SourceSeries) -> WrittenSegmentation:
    """Write `segmentation` to `path`. A segment per structure, lesion and Couinaud segment; empty frames are left out.

    Lesions that were looked for and not found are a segment without frames. Raises GeometryMismatch when the masks are
    not on the series' grid; OutputError, ResourceError.
    """
    source.grid.require_same(segmentation.grid, "the segmentation")
    found = _found(segmentation)
    packed = _packed(segmentation, found)
    key = hashlib.sha256(packed.bits + repr((found, packed.frames, segmentation.model)).encode()).digest()
    uid = derived_uid("seg", source.series_uid, __version__, key)
    entries = tuple(
        Entry(n, structure, value, title, derived_uid("segment", uid, str(n)))
        for n, (structure, value, title) in enumerate(found, start=1)
    )
    seg = _unfilled(segmentation, entries, source, uid)
    _add_frames(seg, packed, entries, source)
    save(seg, path, source.patient_name)
    del seg.PixelData
    slices = tuple(tuple(k for n, k in packed.frames if n == at) for at in range(len(entries)))
    return WrittenSegmentation(seg, entries, slices)


def _found(segmentation: Segmentation) -> list[tuple[Structure, int | None, str]]:
    """(structure, value in its mask, title) of every segment."""
    found: list[tuple[Structure, int | None, str]] = []
    for structure, mask in segmentation.masks.items():
        if structure in (Structure.LESIONS, Structure.COUINAUD):
            values = label_values(mask)
            name = "Lesion" if structure is Structure.LESIONS else "Liver segment"
            found += [(structure, v, f"{name} {v}") for v in values]
            if not values and structure is Structure.LESIONS:
                found.append((structure, None, structure.title))
        elif mask.any():
            found.append((structure, None, structure.title))
    return found


def _packed(segmentation: Segmentation, found: Sequence[tuple[Structure, int | None, str]]) -> _Packed:
    """Every frame that holds a voxel, row by row; bits run on from frame to frame (PS3.5 8.1.1)."""
    frames: list[tuple[int, int]] = []
    parts: list[bytes] = []
    rest = np.zeros(0, dtype=np.uint8)
    used = [_slices_in_use(segmentation.masks[s], v) for s, v, _ in found]
    for n, (structure, value, _) in enumerate(found):
        for k in used[n]:
            plane = _plane(segmentation.masks[structure], value, k)
            bits = np.concatenate([rest, plane.T.reshape(-1)]) if rest.size else plane.T.reshape(-1)
            whole = bits.size // 8 * 8
            parts.append(np.packbits(bits[:whole], bitorder="little").tobytes())
            rest = bits[whole:]
            frames.append((n, k))
    parts.append(np.packbits(rest, bitorder="little").tobytes())
    bits_of_all = b"".join(parts)
    return _Packed(tuple(frames), bits_of_all + b"\0" * (len(bits_of_all) % 2), _overlap(segmentation, found, used))


def _slices_in_use(mask: Mask, value: int | None) -> list[int]:
    return [k for k in range(mask.shape[2]) if _plane(mask, value, k).any()]


def _plane(mask: Mask, value: int | None, k: int) -> Mask:
    """0 and 1, (columns, rows)."""
    plane = mask[:, :, k]
    return np.asarray(plane != 0 if value is None else plane == value).view(np.uint8)


def _overlap(
    segmentation: Segmentation, found: Sequence[tuple[Structure, int | None, str]], used: Sequence[Sequence[int]]
) -> bool:
    for k in range(segmentation.grid.shape[2]):
        here = [_plane(segmentation.masks[s], v, k) for n, (s, v, _) in enumerate(found) if k in used[n]]
        if len(here) > 1 and np.add.reduce(here).max() > 1:
            return True
    return False


def _unfilled(segmentation: Segmentation, entries: Sequence[Entry], source: SourceSeries, uid: str) -> Any:
    """The Segmentation with one full frame per segment in place of the real ones."""
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    first = source.first
    columns, rows, _ = segmentation.grid.shape
    thickness_mm = float(first.get("SliceThickness") or 0) or source.grid.spacing_mm[2]
    return seg_object(
        segmentation,
        entries,
        source,
        uid,
        "BINARY",
        np.ones((1, rows, columns, len(entries)), dtype=np.uint8),
        pixel_measures=PixelMeasuresSequence(
            [float(v) for v in first.PixelSpacing], thickness_mm, source.grid.spacing_mm[2]
        ),
        plane_orientation=PlaneOrientationSequence("PATIENT", [float(v) for v in first.ImageOrientationPatient]),
        plane_positions=[PlanePositionSequence("PATIENT", [float(v) for v in first.ImagePositionPatient])],
    )


def seg_object(
    segmentation: Segmentation,
    entries: Sequence[Entry],
    source: SourceSeries,
    uid: str,
    kind: str,
    pixels: Any,
    **planes: Any,
) -> Any:
    """highdicom's Segmentation of a kind ("BINARY", "LABELMAP") with what every one of ours says of itself."""
    from highdicom.seg import Segmentation as SegmentationObject

    return SegmentationObject(
        source_images=list(source.headers),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[_description(entry, segmentation) for entry in entries],
        series_instance_uid=derived_uid("series", uid),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=_SOFTWARE,
        manufacturer_model_name=_SOFTWARE,
        software_versions=__version__,
        device_serial_number=__version__,
        content_label="LIVER_PLAN",
        content_description=RESEARCH_USE_ONLY,
        series_description="Liver segmentation (research use only)",
        **planes,
    )


def _description(entry: Entry, segmentation: Segmentation) -> Any:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    of_the_liver = entry.structure in (Structure.LESIONS, Structure.LIVER_VESSELS)
    model = segmentation.origin == "model"
    return SegmentDescription(
        segment_number=entry.number,
        segment_label=entry.title,
        segmented_property_category=concept(category_of(entry.structure)),
        segmented_property_type=concept(type_of(entry.structure, entry.value)),
        # Masks that somebody gave are read as drawn by a person; what drew them is not known here.
        algorithm_type="AUTOMATIC" if model else "MANUAL",
        algorithm_identification=_algorithm(segmentation) if model else None,
        tracking_uid=entry.tracking_uid,
        tracking_id=entry.title,
        anatomic_regions=[concept(LIVER)] if of_the_liver else None,
        display_color=CIELabColor.from_rgb(*entry.structure.info.rgb),
    )


def _algorithm(segmentation: Segmentation) -> Any:
    from highdicom import AlgorithmIdentificationSequence

    model = segmentation.model or {}
    sha256 = model.get("sha256", "")
    return AlgorithmIdentificationSequence(
        name=model.get("name", "unnamed model")[:64],
        family=concept(("123109", "DCM", "Artificial Intelligence")),
        version=sha256[:16] or __version__,
        source=_SOFTWARE,
        parameters={"sha256": sha256} if sha256 else None,
    )


def _add_frames(seg: Any, packed: _Packed, entries: Sequence[Entry], source: SourceSeries) -> None:
    """Put the real frames in the place of those that the object was made with."""
    from pydicom.valuerep import DS

    # highdicom takes both from the one plane it was shown.
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = DS(source.grid.spacing_mm[2], auto_format=True)
    if "DimensionOrganizationType" in seg:
        del seg.DimensionOrganizationType
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = derived_uid("dimensions", seg.SOPInstanceUID)
    seg.SegmentsOverlap = "YES" if packed.overlap else "NO"
    seg.NumberOfFrames = len(packed.frames)
    rank = {k: n for n, k in enumerate(sorted({k for _, k in packed.frames}), start=1)}
    seg.PerFrameFunctionalGroupsSequence = list(_frame_groups(packed, entries, rank, source))
    seg.PixelData = packed.bits


def _frame_groups(
    packed: _Packed, entries: Sequence[Entry], rank: dict[int, int], source: SourceSeries
) -> Iterator[Any]:
    """Per frame: index, position, the slice that it was drawn on, segment (PS3.3 C.7.6.16, C.8.20.3)."""
    from pydicom.dataset import Dataset

    for n, k in packed.frames:
        content, position, segment, derivation, image, item = (Dataset() for _ in range(6))
        content.DimensionIndexValues = [entries[n].number, rank[k]]
        position.ImagePositionPatient = source.headers[k].ImagePositionPatient
        segment.ReferencedSegmentNumber = entries[n].number
        image.ReferencedSOPClassUID = source.headers[k].SOPClassUID
        image.ReferencedSOPInstanceUID = source.headers[k].SOPInstanceUID
        image.PurposeOfReferenceCodeSequence = [_code(("121322", "DCM", "Source image for image processing operation"))]
        image.SpatialLocationsPreserved = "YES"
        derivation.SourceImageSequence = [image]
        derivation.DerivationCodeSequence = [_code(("113076", "DCM", "Segmentation"))]
        item.FrameContentSequence = [content]
        item.PlanePositionSequence = [position]
        item.SegmentIdentificationSequence = [segment]
        item.DerivationImageSequence = [derivation]
        yield item


def _code(code: tuple[str, str, str]) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item
