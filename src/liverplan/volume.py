"""Where voxels are: `Grid`, `Volume`, `Segmentation`.

The world frame is DICOM LPS (x to the patient's left, y to posterior, z to superior), in millimetres, at voxel
centres. Arrays are indexed (i, j, k) and the affine beside them maps (i, j, k, 1) to (x, y, z, 1). Nothing in this
package stores points in voxel coordinates. See docs/decisions/0001-lps-everywhere.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import GeometryError, GeometryMismatch

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]

_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))
AFFINE_TOLERANCE_MM = 1e-2
"""Two affines are the same grid when no corner voxel moves further than this (files store float32)."""
SHEAR_TOLERANCE = 1e-3
"""Largest cosine between two voxel axes that still counts as orthogonal."""


@dataclass(frozen=True)
class Grid:
    """A regular lattice of voxel centres in the world frame.

    shape: voxels along (i, j, k). affine: (4, 4), index to LPS mm. frame_uid: DICOM Frame of Reference UID or None.
    Raises GeometryError when the affine is not finite, singular, sheared, or a spacing is not positive.
    """

    shape: tuple[int, int, int]
    affine: FloatArray
    frame_uid: str | None = None

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        _require_usable(self.shape, affine)
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @classmethod
    def from_spacing(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        origin_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
        frame_uid: str | None = None,
    ) -> Grid:
        """A grid whose axes run along L, P and S."""
        affine = np.diag([*spacing_mm, 1.0])
        affine[:3, 3] = origin_lps_mm
        return cls(shape, affine, frame_uid)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def origin_lps_mm(self) -> tuple[float, float, float]:
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    @property
    def orientation(self) -> str:
        """Three letters: the direction that i, j and k travel in, e.g. "LPS" for the identity affine."""
        world_axis, sign = _axis_map(self.affine)
        return "".join(_LETTERS[w][0 if s > 0 else 1] for w, s in zip(world_axis, sign, strict=True))

    def to_world(self, ijk: npt.ArrayLike) -> FloatArray:
        """Index coordinates (..., 3), fractional allowed, to LPS mm (..., 3)."""
        ijk = np.asarray(ijk, dtype=np.float64)
        return np.asarray(ijk @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, xyz_mm: npt.ArrayLike) -> FloatArray:
        """LPS mm (..., 3) to fractional index coordinates (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        xyz = np.asarray(xyz_mm, dtype=np.float64)
        return np.asarray(xyz @ inverse[:3, :3].T + inverse[:3, 3])

    def cropped(self, box: tuple[slice, slice, slice]) -> Grid:
        """The grid of `array[box]`; slices with unit step and non-negative start."""
        start = [s.start for s in box]
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(start)
        return Grid((box[0].stop - start[0], box[1].stop - start[1], box[2].stop - start[2]), affine, self.frame_uid)

    def corners_lps_mm(self) -> FloatArray:
        """Centres of the eight corner voxels, (8, 3)."""
        return self.to_world(list(itertools.product(*[(0, n - 1) for n in self.shape])))

    def same_as(self, other: Grid) -> bool:
        """Same shape, same voxel positions, and no two different frames of reference."""
        return self.mismatch(other) is None

    def mismatch(self, other: Grid) -> str | None:
        """Why `other` is not this grid, or None when it is."""
        if self.shape != other.shape:
            return f"shape {other.shape} instead of {self.shape}"
        # Compared with the other's UID on purpose: a check against oneself can never fire.
        if self.frame_uid and other.frame_uid and self.frame_uid != other.frame_uid:
            return "another DICOM frame of reference (register the two scans first)"
        shift = np.linalg.norm(self.corners_lps_mm() - other.corners_lps_mm(), axis=1).max()
        if shift > AFFINE_TOLERANCE_MM:
            return f"voxels up to {shift:.2f} mm away from the image's (origin, spacing or orientation differ)"
        return None

    def require_same(self, other: Grid, what: str) -> None:
        """Raise GeometryMismatch unless `other`, the grid of `what`, is this grid."""
        reason = self.mismatch(other)
        if reason is not None:
            raise GeometryMismatch(
                f"{what} is not on the image's grid",
                got=reason,
                wanted=f"shape {self.shape}, spacing {_mm(self.spacing_mm)} mm, orientation {self.orientation}",
                do="Resample the mask onto the image (nearest neighbour), or give the image it was drawn on.",
            )


@dataclass(frozen=True)
class Reorientation:
    """Axis permutation and flips that bring an array to the storage order nearest to L, P, S."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def to_lps(cls, grid: Grid) -> Reorientation:
        world_axis, sign = _axis_map(grid.affine)
        order = [world_axis.index(w) for w in range(3)]
        return cls((order[0], order[1], order[2]), (sign[order[0]] < 0, sign[order[1]] < 0, sign[order[2]] < 0))

    def apply(self, array: AnyArray) -> AnyArray:
        """A view of `array` in the canonical order."""
        flip = tuple(slice(None, None, -1 if f else 1) for f in self.flips)
        return array.transpose(self.axes)[flip]

    def undo(self, array: AnyArray) -> AnyArray:
        """A view of a canonical `array` in the original order."""
        flip = tuple(slice(None, None, -1 if f else 1) for f in self.flips)
        return array[flip].transpose(np.argsort(self.axes))

    def grid(self, grid: Grid) -> Grid:
        """The grid of `apply(array)` for an array on `grid`."""
        shape = tuple(grid.shape[a] for a in self.axes)
        columns = grid.affine[:3, list(self.axes)].copy()
        corner = [0.0, 0.0, 0.0]
        for position, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            if flip:
                corner[axis] = grid.shape[axis] - 1.0
                columns[:, position] *= -1.0
        affine = np.eye(4)
        affine[:3, :3] = columns
        affine[:3, 3] = grid.to_world(corner)
        return Grid((shape[0], shape[1], shape[2]), affine, grid.frame_uid)


@dataclass(frozen=True)
class Volume:
    """An image: values on a grid. CT in Hounsfield units. `array` has `grid.shape`.

    Raises GeometryError when the array does not have the grid's shape or holds NaN or infinity.
    """

    grid: Grid
    array: AnyArray
    modality: str = "CT"
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the file said beside the voxels: series_uid, phase, slice_thickness_mm, sha256 ... as text."""

    def __post_init__(self) -> None:
        _require_shape(self.array, self.grid, "the image")
        if np.issubdtype(self.array.dtype, np.floating) and not np.isfinite(self.array).all():
            bad = int((~np.isfinite(self.array)).sum())
            raise GeometryError(
                "the image has voxels without a value",
                got=f"{bad} voxels that are NaN or infinite",
                wanted="finite values everywhere",
                do="Export the image again; do not fill gaps with zero, which is soft tissue in CT.",
            )

    def canonical(self) -> Volume:
        """The same image stored in the order nearest to L, P, S (a view; positions do not change)."""
        turn = Reorientation.to_lps(self.grid)
        return Volume(turn.grid(self.grid), turn.apply(self.array), self.modality, self.facts)


@dataclass(frozen=True)
class Confidence:
    """How sure a model is of a mask, by its own word.

    expected_dice: the overlap with the truth that it expects, 0 to 1. boundary_mm: 95 % half-width of where the
    boundary may lie.
    """

    expected_dice: float
    boundary_mm: float


@dataclass(frozen=True)
class Segmentation:
    """Masks of named structures on one grid; they may overlap. Lesions and Couinaud maps hold label values.

    masks: (i, j, k) uint8 arrays, 0 outside; for LESIONS either 1 or one value per lesion.
    origin: "given" (a reader's masks) or "model". model: name and sha256 when a model made them.
    """

    grid: Grid
    masks: Mapping[Structure, npt.NDArray[np.uint8]]
    origin: str = "given"
    model: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    """Sentences for the report's quality list: files not recognised, structures that could not be split, ..."""
    confidence: Mapping[Structure, Confidence] = field(default_factory=dict)
    """Of the masks whose model states one."""

    def __post_init__(self) -> None:
        if self.origin not in ("given", "model"):
            raise ValueError(f"origin is 'given' or 'model', got {self.origin!r}")
        for structure, mask in self.masks.items():
            _require_shape(mask, self.grid, f"the mask of {structure.value}")

    def has(self, structure: Structure) -> bool:
        """True when the structure was segmented and has at least one voxel."""
        # The maximum of bytes is found ten times faster than whether any of them is set.
        return structure in self.masks and bool(self.masks[structure].max() > 0)

    def mask(self, structure: Structure) -> BoolArray:
        """The structure as a boolean array, not to be written to; all False when it is absent."""
        if structure not in self.masks:
            return np.zeros(self.grid.shape, dtype=np.bool_)
        mask = self.masks[structure]
        inside = mask.view(np.bool_) if mask.dtype == np.uint8 and mask.max() <= 1 else np.asarray(mask > 0)
        inside.flags.writeable = False
        return inside

    def canonical(self) -> Segmentation:
        """The same masks stored in the order nearest to L, P, S (views; positions do not change)."""
        turn = Reorientation.to_lps(self.grid)
        masks = {s: turn.apply(m) for s, m in self.masks.items()}
        return replace(self, grid=turn.grid(self.grid), masks=masks)


def bounding_box(mask: AnyArray, margin: tuple[int, int, int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """Smallest box around the non-zero voxels, grown by `margin` voxels and clipped to the array.

    Raises ValueError on an empty mask.
    """
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if hit.size == 0:
            raise ValueError("the bounding box of an empty mask does not exist")
        slices.append(slice(max(int(hit[0]) - margin[axis], 0), min(int(hit[-1]) + 1 + margin[axis], mask.shape[axis])))
    return slices[0], slices[1], slices[2]


def border(mask: BoolArray) -> BoolArray:
    """Voxels of the mask with a face on the outside; voxels at the array's end count as border. (i, j, k)."""
    inner = mask.copy()
    for axis in range(3):
        line, own = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        own[1:] &= line[:-1]
        own[:-1] &= line[1:]
        own[[0, -1]] = False
    return mask & ~inner


def pooled_count(mask: BoolArray, pool: Sequence[int]) -> npt.NDArray[np.int32]:
    """Number of set voxels in each block of `pool` voxels along (i, j, k); the last blocks may be partly outside."""
    if max(pool) == 1:
        return mask.astype(np.int32)
    i, j, k = (-(-n // p) for n, p in zip(mask.shape, pool, strict=True))
    count = np.zeros((i, j, k), dtype=np.int32, order="F" if mask.flags.f_contiguous else "C")
    # Every voxel of a block in turn: each a strided view of the whole mask, three times as fast as summing blocks.
    for corner in np.ndindex(*pool):
        part = mask[tuple(slice(c, None, p) for c, p in zip(corner, pool, strict=True))]
        count[tuple(slice(n) for n in part.shape)] += part
    return count


def _axis_map(affine: FloatArray) -> tuple[list[int], list[float]]:
    """For each voxel axis the world axis it follows best (one-to-one) and the sign of travel."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(itertools.permutations(range(3)), key=lambda p: sum(abs(cosines[p[a], a]) for a in range(3)))
    return list(best), [float(np.sign(cosines[best[a], a])) for a in range(3)]


def _require_usable(shape: tuple[int, ...], affine: FloatArray) -> None:
    if len(shape) != 3 or any(int(n) < 1 for n in shape):
        raise GeometryError(
            "not a three-dimensional image",
            got=f"shape {tuple(shape)}",
            wanted="three axes with at least one voxel each",
            do="Give one 3D volume: a single phase of the scan, not a slice, a time series or a localizer.",
        )
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise GeometryError(
            "the image's affine cannot be used",
            got=f"{affine.tolist()}",
            wanted="a finite 4 x 4 matrix from voxel index to millimetres",
            do="Convert the original DICOM series again.",
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing <= 1e-6).any():
        raise GeometryError(
            "a voxel spacing is zero",
            got=f"spacing {_mm(spacing)} mm",
            wanted="three positive spacings in mm",
            do="Convert the original DICOM series again; the header lost the voxel size.",
        )
    cosines = affine[:3, :3] / spacing
    off_diagonal = np.abs(cosines.T @ cosines - np.eye(3)).max()
    if off_diagonal > SHEAR_TOLERANCE:
        raise GeometryError(
            "the voxel axes are not at right angles",
            got=f"axes up to {np.degrees(np.arcsin(min(off_diagonal, 1.0))):.1f} degrees off",
            wanted="orthogonal axes (gantry tilt and shear distort distances)",
            do="Correct the gantry tilt (resample to an orthogonal grid) before measuring.",
        )


def _require_shape(array: AnyArray, grid: Grid, what: str) -> None:
    if array.shape != grid.shape:
        raise GeometryMismatch(
            f"{what} does not have its grid's shape",
            got=f"shape {array.shape}",
            wanted=f"shape {grid.shape}",
            do="Store array and affine together.",
        )


def _mm(values: npt.ArrayLike) -> str:
    return " x ".join(f"{v:.3g}" for v in np.asarray(values, dtype=float))
