"""What a margin removes, to be looked at: R(m) as a surface and as outlines on slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from liverplan.mesh import Mesh, surface_of_mask
from liverplan.report.figures import SHELL_RGB
from liverplan.report.slices import Plane
from liverplan.viewer.margins import Rebuilt
from liverplan.viewer.outlines import Outlined
from liverplan.volume import FloatArray, Grid

if TYPE_CHECKING:
    from liverplan.lesions import Lesion

_BLUR = 0.9
"""Voxels of the lattice: the steps of the cells are rounded, nothing is measured on the surface."""


@dataclass(frozen=True)
class Region:
    """R(m) of a case for any m: on the loss field's cells in 3D, exactly on slices."""

    rebuilt: Rebuilt

    @cached_property
    def _lattice(self) -> tuple[Grid, npt.NDArray[np.int64], tuple[int, int, int]]:
        """The lattice of the cells' blocks: its grid, the place (N, 3) of each cell on it, its shape."""
        points = self.rebuilt.field.cells.points_lps_mm
        index = self.rebuilt.grid.to_index(points)
        pool = np.array([max(1.0, _step(index[:, axis])) for axis in range(3)])
        first = index.min(axis=0)
        place = np.rint((index - first) / pool).astype(np.int64)
        affine = self.rebuilt.grid.affine.copy()
        affine[:3, :3] = affine[:3, :3] * pool
        affine[:3, 3] = self.rebuilt.grid.to_world(first)
        i, j, k = (int(n) for n in place.max(axis=0) + 1)
        return Grid((i, j, k), affine), place, (i, j, k)

    def surface(self, margin_mm: float) -> Mesh:
        """The surface of R(m), LPS mm."""
        grid, place, shape = self._lattice
        removed = self.rebuilt.field.parts_mm()[0] <= margin_mm
        inside = np.zeros(shape, dtype=np.bool_)
        inside[tuple(place[removed].T)] = True
        return surface_of_mask(inside, grid, _BLUR)

    def on_slice(self, grid: Grid, plane: Plane, index: int, margin_mm: float) -> Outlined | None:
        """R(m) on one slice of the whole image's grid, exactly; None where the slice has none of it."""
        rebuilt = self.rebuilt
        start = np.rint(grid.to_index(rebuilt.grid.origin_lps_mm)).astype(int)
        inside = index - int(start[plane.across])
        if not 0 <= inside < rebuilt.liver.shape[plane.across]:
            return None
        box = [slice(0, n) for n in rebuilt.liver.shape]
        box[plane.across] = slice(inside, inside + 1)
        place = (box[0], box[1], box[2])
        liver, part = rebuilt.liver[place], rebuilt.grid.cropped(place)
        near = [lesion for lesion in rebuilt.lesions if _reaches(lesion, part, plane, margin_mm)]
        if not near or not liver.any():
            return None
        from liverplan.margin import margin_region

        begin = start.copy()
        begin[plane.across] = index
        mask = margin_region(liver, near, part, margin_mm)
        i, j, k = (int(n) for n in begin)
        return Outlined(mask, part, (i, j, k), SHELL_RGB) if mask.any() else None


def _reaches(lesion: Lesion, part: Grid, plane: Plane, margin_mm: float) -> bool:
    """Whether a lesion is within the margin of a slice, that is of the slab `part` one voxel thick."""
    across = part.to_index(lesion.surface.vertices_lps_mm)[:, plane.across] * part.spacing_mm[plane.across]
    return bool(across.min() <= margin_mm and across.max() >= -margin_mm)


def _step(values: FloatArray) -> float:
    """The distance between neighbouring values of a lattice."""
    known = np.unique(np.round(values, 6))
    return float(np.diff(known).min()) if len(known) > 1 else 1.0
