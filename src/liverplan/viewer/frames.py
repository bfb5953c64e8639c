"""Slices as they lie on the page, in millimetres: x to the right, y up; radiological convention as in the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from liverplan.report.slices import PLANES, Plane, View
from liverplan.volume import AnyArray, FloatArray, Grid

__all__ = ["PLANES", "Plane", "flat", "to_index", "to_page", "upright"]


def flat(plane: Plane, grid: Grid, index: int, start: Sequence[int] = (0, 0, 0)) -> View:
    """The report's view of a slice with a millimetre per pixel and nothing moved.

    start: where `grid` begins in the whole image's voxels, for grids that were cut out of it.
    """
    spacing = grid.spacing_mm
    moved = -start[plane.right] * spacing[plane.right], -start[plane.down] * spacing[plane.down]
    return View(plane, grid, index, moved, 1.0, 0)


def to_page(plane: Plane, grid: Grid, points_lps_mm: npt.ArrayLike) -> FloatArray:
    """LPS points (..., 3) to (..., 2) mm on the page, whatever slice they lie in."""
    return upright(flat(plane, grid, 0).to_pixel(grid.to_index(points_lps_mm)))


def upright(pixels: FloatArray) -> FloatArray:
    """Pixels (..., 2), y down, as page millimetres, y up."""
    return np.asarray(pixels * np.array([1.0, -1.0]))


def to_index(plane: Plane, grid: Grid, page_mm: Sequence[float], across: float) -> FloatArray:
    """A place on the page of a slice, as index coordinates (3,). across: the slice's number."""
    spacing = grid.spacing_mm
    found = np.zeros(3)
    found[plane.across] = across
    found[plane.right] = page_mm[0] / spacing[plane.right]
    found[plane.down] = (page_mm[1] if plane.flip_down else -page_mm[1]) / spacing[plane.down]
    return found


def pixels_of(plane: Plane, grid: Grid, array: AnyArray, index: int) -> tuple[AnyArray, tuple[float, float]]:
    """A slice as rows from below upwards, and where its first pixel's centre lies on the page (mm)."""
    cut = flat(plane, grid, index).slice_of(array)
    if plane.flip_down:
        return cut, (0.0, 0.0)
    return cut[::-1], (0.0, -(cut.shape[0] - 1) * grid.spacing_mm[plane.down])
