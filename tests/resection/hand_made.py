"""Livers whose resections can be computed by hand: ellipsoids with ball lesions and hand-drawn trees (LPS mm)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverplan.anatomy import Structure
from liverplan.distance import BoundaryError
from liverplan.lesions import find_lesions
from liverplan.margin import liver_cells, loss_field
from liverplan.protocol import Limits
from liverplan.resection.measure import MeasuredResection, Stay, measure
from liverplan.resection.workspace import Workspace
from liverplan.vessels import VesselTree
from liverplan.volume import BoolArray, FloatArray, Grid
from named_case import Drawing, drawn
from simple_case import Ball

HALF_AXES_MM = np.array([44.0, 37.0, 31.0])
LIMITS = Limits(wide_margin_mm=7.0, flr_percent=30.0, max_lesions=5)
ALONE = Stay({})
"""No vena cava."""


def grid(spacing_mm: tuple[float, float, float], beyond_mm: float = 8.0) -> Grid:
    """Around the ellipsoid, off the lattice on purpose: no shape is centred on a voxel."""
    half = HALF_AXES_MM + beyond_mm
    i, j, k = (int(2 * h / s) + 1 for h, s in zip(half, spacing_mm, strict=True))
    return Grid.from_spacing((i, j, k), spacing_mm, tuple((-half + 0.37).tolist()))


def voxels(on: Grid) -> FloatArray:
    return on.to_world(np.stack(np.indices(on.shape), axis=-1))


def workspace(
    on: Grid,
    lesions: Sequence[Ball],
    portal: VesselTree | None = None,
    hepatic: VesselTree | None = None,
    error: BoundaryError | None = None,
) -> Workspace:
    """The ellipsoid around the origin with ball lesions, and trees that may be absent."""
    error = error or BoundaryError()
    where = voxels(on)
    labels = np.zeros(on.shape, dtype=np.uint8)
    for number, ball in enumerate(lesions, start=1):
        labels[np.linalg.norm(where - np.array(ball.centre), axis=-1) <= ball.radius_mm] = number
    liver = (((where / HALF_AXES_MM) ** 2).sum(axis=-1) <= 1.0) | (labels > 0)
    found = find_lesions(labels, on)
    field = loss_field(liver_cells(liver, found.labels, on), found.lesions, portal, hepatic, on, error)
    return Workspace(on, liver, found.labels, field, None, None, error)


def portal_tree(drawing: Drawing) -> VesselTree:
    return drawn(drawing, Structure.PORTAL_VEIN)[0]


def hepatic_tree(drawing: Drawing) -> VesselTree:
    return drawn(drawing, Structure.HEPATIC_VEINS)[0]


TWO_BRANCHES: Drawing = {
    "trunk": (None, 4.0, [(0, 0, -60), (0, 0, 0)]),
    "right": ("trunk", 3.0, [(-38, 0, 0)]),
    "left": ("trunk", 3.0, [(38, 0, 0)]),
}
HIGH_VEIN: Drawing = {"vein": (None, 3.0, [(0, 45, 20), (0, -25, 20)])}
"""From the back to the front above everything that is cut."""


def beyond(work: Workspace, point: Sequence[float], normal: Sequence[float]) -> BoolArray:
    """The liver's voxels on the side of a plane that its normal points to."""
    return work.liver & ((voxels(work.grid) - np.array(point)) @ np.array(normal) >= 0)


def ball(work: Workspace, centre: Sequence[float], radius_mm: float) -> BoolArray:
    return work.liver & (np.linalg.norm(voxels(work.grid) - np.array(centre), axis=-1) <= radius_mm)


def measured(work: Workspace, specimen: BoolArray, stay: Stay = ALONE, name: str = "mine") -> MeasuredResection:
    return measure(work, name, "given", specimen, LIMITS, stay)


def cap_ml(normal: FloatArray, offset_mm: float) -> float:
    """Closed form: the ellipsoid's part beyond the plane { normal . x = offset }, `normal` of length 1."""
    t = offset_mm / float(np.linalg.norm(normal * HALF_AXES_MM))
    return float(np.pi * np.prod(HALF_AXES_MM) * (2 / 3 - t + t**3 / 3) / 1000)


def section_cm2(normal: FloatArray, offset_mm: float) -> float:
    """Closed form: area of the plane inside the ellipsoid (minus the derivative of the cap's volume)."""
    reach = float(np.linalg.norm(normal * HALF_AXES_MM))
    t = offset_mm / reach
    return float(np.pi * np.prod(HALF_AXES_MM) * (1 - t**2) / reach / 100)


def sample(count: int = 400_000) -> FloatArray:
    """Points (count, 3) spread evenly over the ellipsoid: volumes by counting, good to a fraction of a percent."""
    rng = np.random.default_rng(1)
    way = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    return way * rng.random((count, 1)) ** (1 / 3) * HALF_AXES_MM


LIVER_ML = float(4 / 3 * np.pi * np.prod(HALF_AXES_MM) / 1000)
