"""A DICOM Segmentation as masks on the image's grid: frame by frame, each voxel to its own place, nothing resampled.

A SEG file leaves empty frames out and may store its planes in any order and direction, so every frame is placed by its
own position (PS3.3 C.7.6.16.2.3). A frame whose voxels are not those of the image is refused, and so is another frame
of reference: the same numbers would be another place in the patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, LiverplanError, SegmentationRefused, UnreadableInput
from liverplan.io.dicom_codes import in_the_liver, structure_of_code
from liverplan.io.slicer import Segment, structure_of
from liverplan.volume import AnyArray, BoolArray, FloatArray, Grid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
PART_OF_A_VOXEL = 0.1
"""How far a frame's voxels may lie from the image's: headers round positions, and the gate for series allows it."""


@dataclass(frozen=True)
class _Place:
    """Where the pixels (row, column) of a frame lie in the grid: an axis and a direction for each, and the start."""

    row_axis: int
    column_axis: int
    row_step: int
    column_step: int
    start: tuple[int, int, int]


def is_dicom(path: Path) -> bool:
    """True for a file with the DICOM preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def segmentation_in(folder: Path) -> Path | None:
    """The one DICOM Segmentation under `folder`, at any depth; None when there is none.

    Raises SegmentationRefused when there are several.
    """
    found = [path for path in sorted(folder.rglob("*")) if _is_seg_file(path)]
    if len(found) > 1:
        raise SegmentationRefused(
            "the folder holds several DICOM segmentations",
            got=", ".join(str(path.relative_to(folder)) for path in found),
            wanted="one",
            do="Give the file itself.",
        )
    return found[0] if found else None


def read_dicom_seg(path: Path, grid: Grid) -> Iterator[Segment]:
    """The segments of the DICOM Segmentation at `path` on `grid`, one after the other.

    A segment's structure follows from its SNOMED CT code, else from its label; None when neither is known.
    Raises UnreadableInput (another object, damaged), SegmentationRefused (probabilities), GeometryMismatch (another
    frame of reference, voxels that are not the image's).
    """
    seg = _read(path)
    with _readable(path):
        _require_same_frame_of_reference(seg, grid, path.name)
        places = [_place(n, seg, grid, path.name) for n in range(_n_frames(seg))]
        frame, segment_of = _frames(seg, path.name)
        described = [_described(description) for description in seg.SegmentSequence]
    for number, name, structure, value in described:
        if number == 0:  # the background of a label map
            continue
        mask = np.zeros(grid.shape, dtype=np.bool_, order="F")
        if structure is not None:
            with _readable(path):
                for n, place in enumerate(places):
                    if segment_of is None or segment_of[n] == number:
                        _put(frame(n, number), place, mask, path.name)
        yield Segment(name, structure, value, mask)


def _described(description: Any) -> tuple[int, str, Structure | None, int | None]:
    """A segment's number, name, structure and number among its kind."""
    number = int(description.SegmentNumber)
    name = str(description.get("SegmentLabel") or f"segment {number}")
    return number, name, *_meaning(description, name)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what pydicom says of damaged values, which it reads when they are asked for, into UnreadableInput."""
    try:
        yield
    except (LiverplanError, MemoryError):
        raise
    except Exception as error:  # as in `_read`: nested sequences, too, are only read now
        raise _unreadable(path, f"an incomplete header ({error})"[:200]) from error


def _is_seg_file(path: Path) -> bool:
    import pydicom

    if path.name.startswith(".") or not path.is_file():
        return False
    try:
        if not is_dicom(path):
            return False
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    except Exception:  # pydicom raises anything on damaged files; those are not what is looked for
        return False
    return str(header.get("SOPClassUID", "")) in (SEGMENTATION, LABEL_MAP_SEGMENTATION)


def _read(path: Path) -> Any:
    import pydicom

    try:
        seg = pydicom.dcmread(path)
        sop_class = str(seg.get("SOPClassUID", ""))
        if sop_class in (SEGMENTATION, LABEL_MAP_SEGMENTATION):
            _ = seg.SegmentSequence, seg.PerFrameFunctionalGroupsSequence, seg.PixelData, seg.Rows, seg.Columns
            return seg
    except Exception as error:  # pydicom raises anything from KeyError to struct.error on damaged files
        raise _unreadable(path, f"{type(error).__name__}: {error}"[:200]) from error
    raise _unreadable(path, f"a DICOM object that is no segmentation ({seg.get('Modality') or 'unknown modality'})")


def _unreadable(path: Path, got: str) -> UnreadableInput:
    return UnreadableInput(
        f"{path.name} cannot be read as a DICOM segmentation",
        got=got,
        wanted="a complete DICOM Segmentation (SEG) drawn on this image",
        do="Send it again, or save it in 3D Slicer as .seg.nrrd.",
    )


def _require_same_frame_of_reference(seg: Any, grid: Grid, what: str) -> None:
    uid = str(seg.get("FrameOfReferenceUID") or "")
    if uid and grid.frame_uid and uid != grid.frame_uid:
        raise GeometryMismatch(
            f"{what} belongs to another scan",
            got="another DICOM frame of reference (register the two scans first)",
            wanted="a segmentation in the image's frame of reference",
            do="Give the image that it was drawn on, or segment this one.",
        )


def _n_frames(seg: Any) -> int:
    return len(seg.PerFrameFunctionalGroupsSequence)


# ---- what a segment is -------------------------------------------------------------------------------------------


def _meaning(description: Any, name: str) -> tuple[Structure | None, int | None]:
    """Structure and number, by code first. A lesion's number is in its label only."""
    regions = frozenset(_codes(description.get("AnatomicRegionSequence")))
    for code in _codes(description.get("SegmentedPropertyTypeCodeSequence")):
        structure, number = structure_of_code(code, regions)
        if structure is Structure.LESIONS:
            labelled, number = structure_of(name)
            return structure, number if labelled is structure else None
        if structure is not None:
            return structure, number
    if regions and not in_the_liver(regions):
        return None, None  # a tumour or a vessel of another organ, whatever its label
    return structure_of(name)


def _codes(sequence: Any) -> list[str]:
    """SNOMED CT codes of a code sequence."""
    return [
        str(item.get("CodeValue", "")) for item in sequence or () if item.get("CodingSchemeDesignator") in ("SCT", None)
    ]


# ---- what a frame holds ------------------------------------------------------------------------------------------


def _frames(seg: Any, what: str) -> tuple[Callable[[int, int], BoolArray], list[int] | None]:
    """A function of (frame, segment number) to a mask (rows, columns), and each frame's segment (None: all of them)."""
    kind = str(seg.get("SegmentationType", "BINARY"))
    if kind == "LABELMAP":
        labels = _decoded(seg, what)
        return lambda n, number: np.asarray(labels(n) == number), None
    segment_of = [_segment_number(n, seg) for n in range(_n_frames(seg))]
    if kind == "BINARY":
        bits = _packed(seg) if _is_packed(seg) else _decoded(seg, what)
        return lambda n, _number: np.asarray(bits(n) != 0), segment_of
    full = int(seg.get("MaximumFractionalValue", 255))
    fractions = _decoded(seg, what)
    return lambda n, _number: _whole(fractions(n), full, what), segment_of


def _segment_number(n: int, seg: Any) -> int:
    return int(_group(n, seg, "SegmentIdentificationSequence", "the segment of a frame").ReferencedSegmentNumber)


def _is_packed(seg: Any) -> bool:
    return int(seg.BitsAllocated) == 1 and not seg.file_meta.TransferSyntaxUID.is_encapsulated


def _packed(seg: Any) -> Callable[[int], AnyArray]:
    """Frames of single bits, which run on from frame to frame (PS3.5 8.1.1)."""
    data = np.frombuffer(seg.PixelData, dtype=np.uint8)
    size = int(seg.Rows) * int(seg.Columns)
    if data.size * 8 < size * _n_frames(seg):
        raise ValueError(f"{data.size} bytes of pixels for {_n_frames(seg)} frames")

    def frame(n: int) -> AnyArray:
        first, last = n * size, (n + 1) * size
        bits = np.unpackbits(data[first // 8 : -(-last // 8)], bitorder="little")
        return bits[first % 8 : first % 8 + size].reshape(int(seg.Rows), int(seg.Columns))

    return frame


def _decoded(seg: Any, what: str) -> Callable[[int], AnyArray]:
    from pydicom.pixels import pixel_array

    def frame(n: int) -> AnyArray:
        try:
            return np.asarray(pixel_array(seg, index=n))
        except Exception as error:  # every decoder has its own errors
            raise _unreadable(Path(what), f"pixels that cannot be decoded ({error})"[:200]) from error

    return frame


def _whole(pixels: AnyArray, full: int, what: str) -> BoolArray:
    if not np.isin(pixels, (0, full)).all():
        raise SegmentationRefused(
            f"{what} is not a mask",
            got="fractions (probabilities?)",
            wanted="a binary segmentation",
            do="Threshold probabilities (usually at 0.5) and store the segmentation as BINARY.",
        )
    return np.asarray(pixels == full)


# ---- where a frame lies ------------------------------------------------------------------------------------------


def _group(n: int, seg: Any, name: str, what: str) -> Any:
    """The functional group `name` of frame n: its own, else the one that all share."""
    shared = seg.get("SharedFunctionalGroupsSequence") or []
    for groups in (seg.PerFrameFunctionalGroupsSequence[n], *shared):
        if groups.get(name):
            return groups[name][0]
    raise _unreadable(Path(str(getattr(seg, "filename", "the file"))), f"a file that does not say {what}")


def _place(n: int, seg: Any, grid: Grid, what: str) -> _Place:
    """Where frame n lies. Raises GeometryMismatch unless its voxels are the grid's or the lattice goes on there."""
    position = _numbers(_group(n, seg, "PlanePositionSequence", "where a frame lies").ImagePositionPatient)
    cosines = _numbers(_group(n, seg, "PlaneOrientationSequence", "how a frame lies").ImageOrientationPatient)
    between = _numbers(_group(n, seg, "PixelMeasuresSequence", "the size of a pixel").PixelSpacing)
    along_row, along_column = cosines[:3] * between[1], cosines[3:] * between[0]
    far = position + along_row * (int(seg.Columns) - 1) + along_column * (int(seg.Rows) - 1)
    start, end = grid.to_index(position), grid.to_index(far)
    column_axis, column_step = _axis(grid.to_index(position + along_row) - start)
    row_axis, row_step = _axis(grid.to_index(position + along_column) - start)
    whole = np.rint(start)
    expected = whole.copy()
    expected[column_axis] += column_step * (int(seg.Columns) - 1)
    expected[row_axis] += row_step * (int(seg.Rows) - 1)
    off = max(np.abs(start - whole).max(), np.abs(end - expected).max())
    if row_axis == column_axis or off > PART_OF_A_VOXEL:
        raise _elsewhere(what, grid, f"frame {n + 1} lies between the image's voxels or has another spacing")
    i, j, k = (int(v) for v in whole)
    return _Place(row_axis, column_axis, row_step, column_step, (i, j, k))


def _numbers(values: Sequence[Any]) -> FloatArray:
    return np.array([float(v) for v in values])


def _axis(step: FloatArray) -> tuple[int, int]:
    """The grid axis that a step of one pixel follows, and its direction."""
    axis = int(np.abs(step).argmax())
    return axis, 1 if step[axis] > 0 else -1


def _put(pixels: BoolArray, place: _Place, mask: BoolArray, what: str) -> None:
    """Write a frame into `mask` (changed in place). Raises GeometryMismatch when set pixels lie beyond the image."""
    normal = 3 - place.row_axis - place.column_axis
    at = place.start[normal]
    rows = _span(place.start[place.row_axis], place.row_step, pixels.shape[0], mask.shape[place.row_axis])
    columns = _span(place.start[place.column_axis], place.column_step, pixels.shape[1], mask.shape[place.column_axis])
    inside = pixels[rows[0], columns[0]] if 0 <= at < mask.shape[normal] else pixels[:0]
    lost = int(np.count_nonzero(pixels)) - int(np.count_nonzero(inside))
    if lost:
        raise GeometryMismatch(
            f"{what} reaches beyond the image",
            got=f"{lost} voxels outside",
            wanted="segments inside the image",
            do="Give the image that it was drawn on.",
        )
    if inside.size:
        plane = np.moveaxis(mask, (place.row_axis, place.column_axis), (0, 1))[:, :, at]
        plane[rows[1], columns[1]] |= inside


def _span(start: int, step: int, n: int, size: int) -> tuple[slice, slice]:
    """Which pixels of a line of n lie inside 0 .. size - 1, and where they go: (of the frame, of the grid)."""
    if step > 0:
        first, last = max(0, -start), min(n, size - start)
        last = max(first, last)
        return slice(first, last), slice(start + first, start + last)
    first, last = max(0, start - (size - 1)), min(n, start + 1)
    last = max(first, last)
    low, high = start - last + 1, start - first
    return slice(first, last), slice(high, low - 1 if low > 0 else None, -1)


def _elsewhere(what: str, grid: Grid, got: str) -> GeometryMismatch:
    spacing = " x ".join(f"{s:.3g}" for s in grid.spacing_mm)
    return GeometryMismatch(
        f"{what} is not on the image's grid",
        got=got,
        wanted=f"the voxels of the image, {spacing} mm",
        do="Give the series that it was drawn on, or resample it in 3D Slicer and save it as .seg.nrrd.",
    )
