"""The gate before a DICOM series becomes a volume: equal slices, equally spaced along their common normal.

Two faults are mended, within limits, and said: a tilted gantry (each slice is moved back in its own plane) and single
missing slices of a thin series. Everything else is refused. highdicom's strict geometry is asked as a second opinion.
"""

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
TILT_LIMIT_DEG = 30.0
"""CT gantries tilt no further; a stack that leans more is something else."""
BRIDGED_GAP_MM = 2.5
"""A gap that one interpolated slice may bridge: a scan whose slices all lie that far apart is acceptable too
(`liverplan.quality.SLICE_WARNING_MM`)."""
BRIDGED_SHARE = 0.05
BRIDGED_MOST = 3
"""At most so many slices are bridged: 5 % of the series, rounded up, and never more than 3."""
_ORIENTATION_TOLERANCE = 1e-3
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Slice:
    """What the header says of one image plane; empty tuples and texts where it is silent.

    frame: which frame of a multi-frame file it is, None in a file of one plane. pixels_at: where in the file the pixels
    start (0: not known). patient: a digest. traits: (name, value) of what may set two planes at one place apart.
    has_table: the pixels mean something by a table instead of slope and intercept.
    """

    path: Path
    frame: int | None
    pixels_at: int
    syntax: str
    patient: str
    study_uid: str
    study_day: str
    series_uid: str
    instance_uid: str
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
    has_table: bool
    lossy: bool
    samples: int
    n_frames: int
    traits: tuple[tuple[str, str], ...]

    @property
    def stranger_kind(self) -> str | None:
        """What this file is when it is no slice of a scan, else None."""
        if "LOCALIZER" in self.image_type:
            return "localizers"
        if self.sop_class_uid.startswith(_SECONDARY_CAPTURE):
            return "secondary captures"
        placed = np.isfinite([*self.position_lps_mm, *self.orientation]).all()
        if len(self.position_lps_mm) != 3 or len(self.orientation) != 6 or not placed:
            return "images without a position in the patient"
        return None

    @property
    def is_slice(self) -> bool:
        return self.stranger_kind is None


@dataclass(frozen=True)
class Lattice:
    """How the slices of a series become one regular lattice.

    affine: index (i = column, j = row, k = slice) to LPS mm. shape: (i, j, k). order: the slices along their normal;
    None where one is missing and its neighbours stand in. shift_px: (k, 2), voxels by which slice k moves along (i, j)
    to its place; zeros unless the gantry was tilted. notes: what was mended, for the reader.
    """

    affine: FloatArray
    shape: tuple[int, int, int]
    order: tuple[Slice | None, ...]
    shift_px: FloatArray
    largest_gap_mm: float
    notes: tuple[str, ...]

    @property
    def is_mended(self) -> bool:
        """True when a voxel of the volume is not a pixel of a file."""
        return bool(self.notes)


def series_lattice(slices: Sequence[Slice]) -> Lattice:
    """The lattice of the slices of one volume.

    Source of the mapping: DICOM PS3.3 C.7.6.2.1.1. Raises GeometryError when the slices are not one regular lattice,
    and when what is wrong is more than can be mended.
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
    along_mm = (positions - positions[0]) @ normal
    missing, spacing_mm = _missing(along_mm, ordered)
    tilt_deg = _tilt(positions - positions[0], normal)
    _require_second_opinion(positions, slices[0].orientation, spacing_mm, bool(missing), bool(tilt_deg))
    row_mm, column_mm = slices[0].pixel_spacing_mm
    axes = np.stack([along_row * column_mm, along_column * row_mm], axis=1)
    shift_px = np.zeros((len(slices), 2))
    if tilt_deg:
        shift_px = (positions - positions[0]) @ (axes / np.array([column_mm, row_mm]) ** 2)
    low, high = np.floor(shift_px.min(axis=0) + 1e-3), np.ceil(shift_px.max(axis=0) - 1e-3)
    n_slices = len(slices) + len(missing)
    affine = np.eye(4)
    affine[:3, :2] = axes
    # Of a straight stack the way the positions go, which carries what their rounding left of it.
    affine[:3, 2] = (
        normal * along_mm[-1] / (n_slices - 1) if tilt_deg else (positions[-1] - positions[0]) / (n_slices - 1)
    )
    affine[:3, 3] = positions[0] + axes @ low
    whole: list[Slice | None] = list(ordered)
    for at in sorted(missing, reverse=True):
        whole.insert(at + 1, None)
        shift_px = np.insert(shift_px, at + 1, (shift_px[at] + shift_px[at + 1]) / 2, axis=0)
    columns, rows = (int(n) for n in np.array([slices[0].columns, slices[0].rows]) + high - low)
    gap_mm = 2 * spacing_mm if missing else spacing_mm
    notes = (*_said_of_tilt(tilt_deg), *_said_of_missing(missing, gap_mm))
    return Lattice(affine, (columns, rows, n_slices), tuple(whole), shift_px - low, gap_mm, notes)


def _said_of_tilt(tilt_deg: float) -> tuple[str, ...]:
    if not tilt_deg:
        return ()
    return (
        f"The gantry was tilted by {tilt_deg:.1f} degrees: each slice was moved back in its own plane (resampled "
        "linearly), so that the masks and results lie on an upright grid and not on the slices as stored.",
    )


def _said_of_missing(missing: Sequence[int], gap_mm: float) -> tuple[str, ...]:
    if not missing:
        return ()
    return (
        f"{len(missing)} missing slice{'s were' if len(missing) > 1 else ' was'} interpolated from the neighbours "
        f"(a gap of {gap_mm:.2f} mm): the scan counts as one with slices of {gap_mm:.2f} mm.",
    )


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


def _missing(along_mm: FloatArray, ordered: Sequence[Slice]) -> tuple[list[int], float]:
    """After which slices one is missing that may be bridged, and the spacing. Raises GeometryError otherwise."""
    gaps = np.diff(along_mm)
    spacing = float(np.median(gaps[gaps > 1e-3])) if (gaps > 1e-3).any() else 0.0
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing)
    doubles = int((gaps <= min(tolerance, 0.5 * spacing)).sum())
    do = "Send the whole series again from the archive; do not measure on this one."
    if doubles or spacing == 0.0:
        raise GeometryError(
            "the series has duplicate slices",
            got=f"{doubles} of {len(ordered)} slices at a position that another slice already has",
            wanted="one slice per position",
            do="Export one phase, echo or reconstruction as a series of its own: the files do not say which is which.",
        )
    bad = np.flatnonzero(np.abs(gaps - spacing) > tolerance)
    if not bad.size:
        return [], spacing
    if _may_be_bridged(gaps[bad], spacing, tolerance, len(ordered)):
        return [int(at) for at in bad], spacing
    at, gap = int(bad[0]), float(gaps[bad[0]])
    n_missing = int(np.rint(gaps[bad] / spacing - 1).clip(0).sum())
    whole = np.abs(gaps[bad] / spacing - np.rint(gaps[bad] / spacing)).max() * spacing <= tolerance
    between = f"between {ordered[at].path.name} and {ordered[at + 1].path.name}"
    if n_missing and whole:
        raise GeometryError(
            "the series has missing slices",
            got=f"{n_missing} missing, the first {between}: a gap of {gap:.2f} mm instead of {spacing:.2f} mm",
            wanted=f"every slice; single ones are bridged where the gap stays within {BRIDGED_GAP_MM:g} mm, at most "
            f"{BRIDGED_MOST} and {BRIDGED_SHARE:.0%} of the series",
            do=do,
        )
    raise GeometryError(
        "the slices are not equally spaced",
        got=f"gaps from {gaps.min():.2f} to {gaps.max():.2f} mm, the first odd one {between}",
        wanted=f"{spacing:.2f} mm throughout (within {tolerance:.2f} mm)",
        do=do,
    )


def _may_be_bridged(gaps_mm: FloatArray, spacing: float, tolerance: float, n_slices: int) -> bool:
    """Single missing slices, few of them, in a series that stays thin enough without them."""
    single = np.abs(gaps_mm - 2 * spacing).max() <= tolerance and gaps_mm.max() <= BRIDGED_GAP_MM
    return bool(single and len(gaps_mm) <= min(BRIDGED_MOST, np.ceil(BRIDGED_SHARE * n_slices)))


def _tilt(travel_mm: FloatArray, normal: FloatArray) -> float:
    """Degrees between the stack and the normal of its slices; 0.0 when it is straight.

    travel_mm: (k, 3) from the first slice. Raises GeometryError for a stack that wanders or leans too far.
    """
    along = travel_mm @ normal
    sideways = travel_mm - np.outer(along, normal)
    if not (np.linalg.norm(sideways, axis=1) > np.maximum(SPACING_TOLERANCE_MM, TILT_TOLERANCE * along)).any():
        return 0.0
    per_mm = sideways[-1] / along[-1]
    off_mm = float(np.linalg.norm(sideways - np.outer(along, per_mm), axis=1).max())
    angle = float(np.degrees(np.arctan(np.linalg.norm(per_mm))))
    if off_mm > 2 * SPACING_TOLERANCE_MM or angle > TILT_LIMIT_DEG:
        steady = off_mm <= 2 * SPACING_TOLERANCE_MM
        raise GeometryError(
            "the slices are shifted sideways against each other",
            got=f"{angle:.1f} degrees between the stack and the normal of its slices"
            if steady
            else f"slices up to {off_mm:.2f} mm beside a straight line",
            wanted=f"a straight stack (a tilted gantry is corrected up to {TILT_LIMIT_DEG:g} degrees)",
            do="Separate the acquisitions, or send the original series again.",
        )
    return angle


def _require_second_opinion(
    positions: FloatArray, orientation: Sequence[float], spacing_mm: float, gaps: bool, tilted: bool
) -> None:
    """highdicom's geometry must find the same spacing; it is stricter about some things than this module."""
    from highdicom.spatial import get_volume_positions

    found, _ = get_volume_positions(
        positions.tolist(),
        list(orientation),
        atol=max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing_mm),
        perpendicular_tol=1.0 if tilted else None,
        allow_missing_positions=gaps,
        spacing_hint=spacing_mm if gaps else None,
    )
    if found is None or abs(float(found) - spacing_mm) > max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing_mm):
        raise GeometryError(
            "a second reading of the slices' positions disagrees",
            got=f"{spacing_mm:.3f} mm between slices here, {found or 'no volume'} by highdicom",
            wanted="one spacing",
            do="Send the whole series again from the archive; do not measure on this one.",
        )
