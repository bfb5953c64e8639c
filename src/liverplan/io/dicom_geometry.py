"""The gate before a DICOM series becomes a volume: equal slices, equally spaced along their common normal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverplan.errors import GeometryError
from liverplan.volume import FloatArray

SPACING_TOLERANCE_MM = 0.05
SPACING_TOLERANCE = 0.01
"""Gaps between slices may differ by 1 % of the spacing or by 0.05 mm (headers round), whichever is more."""
TILT_TOLERANCE = 2e-3
"""Largest sideways shift per mm along the normal: 0.1 degree of gantry tilt."""
_ORIENTATION_TOLERANCE = 1e-3
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Slice:
    """What the header of one DICOM image file says; empty tuples where it is silent."""

    path: Path
    series_uid: str
    sop_class_uid: str
    description: str
    modality: str
    image_type: tuple[str, ...]
    frame_uid: str | None
    position_lps_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, ...]
    rows: int
    columns: int
    thickness_mm: float | None
    slope: float
    intercept: float
    samples: int
    n_frames: int

    @property
    def stranger_kind(self) -> str | None:
        """What this file is when it is no slice of a scan, else None."""
        if "LOCALIZER" in self.image_type:
            return "localizers"
        if self.sop_class_uid.startswith(_SECONDARY_CAPTURE):
            return "secondary captures"
        if len(self.position_lps_mm) != 3 or len(self.orientation) != 6:
            return "images without a position in the patient"
        return None

    @property
    def is_slice(self) -> bool:
        return self.stranger_kind is None


def series_affine(slices: Sequence[Slice]) -> tuple[FloatArray, list[Slice]]:
    """The affine (index i = column, j = row, k = slice, to LPS mm) and the slices ordered along their normal.

    Source of the mapping: DICOM PS3.3 C.7.6.2.1.1. Raises GeometryError when the slices are not one regular lattice.
    """
    _require_several(slices)
    _require_one(slices, lambda s: (s.rows, s.columns), "image sizes (rows, columns)")
    _require_one(slices, lambda s: s.frame_uid, "frames of reference")
    _require_spacing(slices)
    along_row, along_column, normal = _axes(slices)
    positions = np.array([s.position_lps_mm for s in slices])
    order = np.argsort(positions @ normal, kind="stable")
    ordered = [slices[i] for i in order]
    positions = positions[order]
    _require_regular(positions @ normal, ordered)
    _require_straight(positions, normal)
    row_mm, column_mm = slices[0].pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = along_row * column_mm
    affine[:3, 1] = along_column * row_mm
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(slices) - 1)
    affine[:3, 3] = positions[0]
    return affine, ordered


def _require_several(slices: Sequence[Slice]) -> None:
    if len(slices) < 2:
        raise GeometryError(
            "the series is a single slice",
            got="one image",
            wanted="a stack of slices",
            do="Give the whole series; --series UID chooses another.",
        )


def _require_one(slices: Sequence[Slice], key: Callable[[Slice], Hashable], what: str) -> None:
    found = Counter(key(s) for s in slices)
    if len(found) > 1:
        listed = ", ".join(f"{value} ({n} slices)" for value, n in found.most_common(3))
        raise GeometryError(
            f"the slices of the series have different {what}",
            got=listed,
            wanted="the same in every slice",
            do="Separate the acquisitions; they are not one volume.",
        )


def _require_spacing(slices: Sequence[Slice]) -> None:
    for one in slices:
        spacing = one.pixel_spacing_mm
        if len(spacing) != 2 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError(
                f"the pixel spacing of {one.path.name} cannot be used",
                got=f"{spacing or 'none'} mm (missing, zero or negative)",
                wanted="two positive spacings in mm",
                do="Send the original series again; this copy lost the pixel size.",
            )
    reference = np.array(slices[0].pixel_spacing_mm)
    worst = max(float(np.abs(np.array(s.pixel_spacing_mm) / reference - 1).max()) for s in slices)
    if worst > 1e-4:
        _require_one(slices, lambda s: s.pixel_spacing_mm, "pixel spacings")


def _axes(slices: Sequence[Slice]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unit vectors along a row, along a column and along the normal; the same for every slice."""
    cosines = np.array([s.orientation for s in slices])
    spread = np.abs(cosines - cosines[0]).max()
    if not spread <= _ORIENTATION_TOLERANCE:
        raise GeometryError(
            "the slices of the series are not parallel",
            got=f"direction cosines that differ by up to {spread:.3f}",
            wanted="one orientation (a localizer or a reformat may lie among the slices)",
            do="Remove the slices that do not belong to the scan, or choose another series.",
        )
    along_row, along_column = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not np.allclose(lengths, 1, atol=1e-2) or abs(along_row @ along_column) > _ORIENTATION_TOLERANCE:
        raise GeometryError(
            "the orientation of the slices cannot be used",
            got=f"direction cosines {cosines[0].tolist()}",
            wanted="two perpendicular unit vectors",
            do="Send the original series again.",
        )
    along_row, along_column = along_row / lengths[0], along_column / lengths[1]
    return along_row, along_column, np.cross(along_row, along_column)


def _require_regular(along_normal_mm: FloatArray, ordered: Sequence[Slice]) -> None:
    gaps = np.diff(along_normal_mm)
    spacing = float(np.median(gaps[gaps > 1e-3])) if (gaps > 1e-3).any() else 0.0
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing)
    doubles = int((gaps <= min(tolerance, 0.5 * spacing)).sum())
    do = "Send the whole series again from the archive; do not measure on this one."
    if doubles or spacing == 0.0:
        raise GeometryError(
            "the series has duplicate slices",
            got=f"{doubles} of {len(ordered)} slices at a position that another slice already has",
            wanted="one slice per position",
            do="Remove the copies; where they are several phases or echoes, export one of them as a series of its own.",
        )
    bad = np.flatnonzero(np.abs(gaps - spacing) > tolerance)
    if not bad.size:
        return
    at, gap = int(bad[0]), float(gaps[bad[0]])
    n_missing = int(np.rint(gaps[bad] / spacing - 1).clip(0).sum())
    whole = np.abs(gaps[bad] / spacing - np.rint(gaps[bad] / spacing)).max() * spacing <= tolerance
    between = f"between {ordered[at].path.name} and {ordered[at + 1].path.name}"
    if n_missing and whole:
        raise GeometryError(
            "the series has missing slices",
            got=f"{n_missing} missing, the first {between}: a gap of {gap:.2f} mm instead of {spacing:.2f} mm",
            wanted="every slice",
            do=do,
        )
    raise GeometryError(
        "the slices are not equally spaced",
        got=f"gaps from {gaps.min():.2f} to {gaps.max():.2f} mm, the first odd one {between}",
        wanted=f"{spacing:.2f} mm throughout (within {tolerance:.2f} mm)",
        do=do,
    )


def _require_straight(positions: FloatArray, normal: FloatArray) -> None:
    """Slices must follow each other along their normal: a tilted gantry moves them sideways."""
    travel = positions - positions[0]
    along = travel @ normal
    sideways = np.linalg.norm(travel - np.outer(along, normal), axis=1)
    if (sideways > np.maximum(SPACING_TOLERANCE_MM, TILT_TOLERANCE * along)).any():
        angle = float(np.degrees(np.arctan2(sideways[-1], along[-1])))
        raise GeometryError(
            "the slices are shifted sideways against each other (gantry tilt)",
            got=f"{angle:.1f} degrees between the stack and the normal of its slices",
            wanted="slices that follow each other along their normal",
            do="Correct the gantry tilt (resample to an orthogonal grid) before measuring.",
        )
