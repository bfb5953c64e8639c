"""Distances between structures: sub-voxel, with an interval and two witness points.

Where the interval comes from (terms are combined as the root of the sum of squares):
- discretisation: what the voxels cannot tell, from the grid and the direction of measurement, calibrated on phantoms by
  `scripts/bench/accuracy`;
- segmentation: how far a reader's (or the model's) boundary lies from the true one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

from liverplan.mesh import Mesh
from liverplan.quantity import Distance, as_point
from liverplan.surface import Surface, sub_voxel_surface
from liverplan.volume import BoolArray, FloatArray, Grid, border, bounding_box

IndexArray = npt.NDArray[np.int64]

READER_BOUNDARY_MM = 0.5
"""Expected error of one reader's boundary: 17 % of volume on a lesion of 10 mm radius is 5.4 % of the radius
(Moltz 2011, tumour delineation by one reader). Two boundaries combine to 0.7 mm."""
FINE_TERM = 0.3
"""Half-width per mm of the finest spacing; 95 % of phantom errors lie within 0.2 (scripts/bench/accuracy)."""
THICK_TERM = 0.5
"""Half-width per mm by which the spacing along the line of measurement exceeds the finest spacing."""
THICK_FLOOR = 0.3
"""The same for lines within the slices: a vessel's wall still moves between them."""
_CONTEXT_MM = 6.0


@dataclass(frozen=True)
class BoundaryError:
    """95 % half-widths in mm of where a boundary was drawn, per structure kind."""

    lesion_mm: float = READER_BOUNDARY_MM
    vessel_mm: float = READER_BOUNDARY_MM
    liver_mm: float = READER_BOUNDARY_MM


def discretisation_mm(grid: Grid, direction_lps: FloatArray | None = None) -> float:
    """Half-width in mm of a sub-voxel distance on `grid`, along a direction (3,) in LPS or in the worst one."""
    spacing = np.array(grid.spacing_mm)
    fine = float(spacing.min())
    excess = spacing - fine
    if direction_lps is None or not np.linalg.norm(direction_lps) > 0:
        along = 1.0
    else:
        axes = grid.affine[:3, :3] / spacing
        cosines = np.abs(np.asarray(direction_lps) @ axes) / np.linalg.norm(direction_lps)
        along = float(cosines @ excess / excess.sum()) if excess.sum() > 0 else 0.0
    return FINE_TERM * fine + (THICK_FLOOR + (THICK_TERM - THICK_FLOOR) * along) * float(excess.max())


def combined_mm(*terms_mm: float) -> float:
    """Root of the sum of squares of half-widths."""
    return math.sqrt(sum(t * t for t in terms_mm))


def distance_between(
    value_mm: float, start: FloatArray, end: FloatArray, grid: Grid, boundary_mm: tuple[float, ...]
) -> Distance:
    """A Distance with its interval: `value_mm` between two LPS points on structures drawn on `grid`."""
    discretisation = discretisation_mm(grid, np.asarray(end) - np.asarray(start))
    segmentation = combined_mm(*boundary_mm)
    half = combined_mm(discretisation, segmentation)
    terms = {"discretisation_mm": discretisation, "segmentation_mm": segmentation}
    return Distance(value_mm, value_mm - half, value_mm + half, (as_point(start), as_point(end)), terms)


@dataclass(frozen=True)
class Wall:
    """A structure's mask with its border voxels, found once and used for every lesion: (N, 3) indices and LPS mm."""

    mask: BoolArray
    grid: Grid
    voxels: IndexArray
    points_lps_mm: FloatArray

    @classmethod
    def of(cls, mask: BoolArray, grid: Grid) -> Wall:
        """Raises ValueError when the mask is empty: the clearance to an absent structure does not exist."""
        if not mask.any():
            raise ValueError("the clearance to an empty mask does not exist")
        box = bounding_box(mask)
        voxels = np.argwhere(border(mask[box])) + np.array([s.start for s in box])
        return cls(mask, grid, voxels, grid.to_world(voxels))


def clearance(lesion: Surface, wall: Wall, error: BoundaryError) -> Distance:
    """Least distance from a lesion to the wall of a structure, negative when they overlap.

    The wall is meshed only where it can be nearest.
    """
    value, on_lesion, on_wall = nearest_points(lesion, _wall_near(lesion, wall))
    return distance_between(value, on_lesion, on_wall, wall.grid, (error.lesion_mm, error.vessel_mm))


def nearest_points(first: Surface, second: Surface) -> tuple[float, FloatArray, FloatArray]:
    """Signed distance between two closed surfaces and the points on each, (value, (3,), (3,)).

    Disjoint: the least distance. Overlapping: minus the depth of the deepest vertex of `second` inside `first`.
    """
    signed = first.signed_distance_mm(second.vertices_lps_mm)
    deepest = int(signed.argmin())
    if signed[deepest] < 0:
        end = second.vertices_lps_mm[deepest]
        return float(signed[deepest]), first.nearest_vertex(end), end
    return _refine(first, second, signed)


def _refine(first: Surface, second: Surface, signed: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Vertex-to-triangle distances, both ways, around the nearest pairs of vertices."""
    on_second = second.vertices_lps_mm[np.argsort(signed)[:16]]
    on_first = first.vertices_lps_mm[np.unique(first.tree.query(on_second, k=4)[1].ravel())]
    value_a, start_a, end_a = _points_to_triangles(on_first, _triangles_near(second, on_second))
    value_b, start_b, end_b = _points_to_triangles(on_second, _triangles_near(first, on_first))
    return (value_a, start_a, end_a) if value_a <= value_b else (value_b, end_b, start_b)


def _triangles_near(surface: Surface, points: FloatArray) -> FloatArray:
    """Triangles (T, 3, 3) with a corner within two pitches of the points."""
    near = np.zeros(len(surface.vertices_lps_mm), dtype=bool)
    for hits in surface.tree.query_ball_point(points, 2.0 * surface.pitch_mm):
        near[hits] = True
    faces = surface.mesh.faces[near[surface.mesh.faces].any(axis=1)]
    return surface.vertices_lps_mm[faces]


def _points_to_triangles(points: FloatArray, triangles: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Least distance between points (P, 3) and triangles (T, 3, 3), with the point and its foot."""
    feet = closest_on_triangles(points[:, None, :], triangles[None])
    squared = ((feet - points[:, None, :]) ** 2).sum(-1)
    p, t = np.unravel_index(int(squared.argmin()), squared.shape)
    return float(np.sqrt(squared[p, t])), points[p], feet[p, t]


def closest_on_triangles(points: FloatArray, triangles: FloatArray) -> FloatArray:
    """Foot of each point on each triangle; points (P, 1, 3), triangles (1, T, 3, 3), result (P, T, 3).

    Projects onto the plane where the foot falls inside, otherwise onto the nearest edge.
    """
    a, b, c = triangles[..., 0, :], triangles[..., 1, :], triangles[..., 2, :]
    normal = np.cross(b - a, c - a)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    plane = points - np.sum((points - a) * normal, -1, keepdims=True) * normal
    inside = np.ones(plane.shape[:-1], dtype=bool)
    best, best_squared = plane, np.full(plane.shape[:-1], np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        inside &= np.sum(np.cross(edge, plane - start) * normal, -1) >= 0
        along = np.sum((points - start) * edge, -1) / np.maximum(np.sum(edge * edge, -1), 1e-12)
        foot = start + np.clip(along, 0.0, 1.0)[..., None] * edge
        squared = np.sum((foot - points) ** 2, -1)
        closer = squared < best_squared
        best = np.where(closer[..., None], foot, best)
        best_squared = np.where(closer, squared, best_squared)
    return np.asarray(np.where(inside[..., None], plane, best))


def _wall_near(lesion: Surface, wall: Wall) -> Surface:
    """The vessel's surface, meshed in a box around the voxels that can hold the nearest wall point."""
    vessel, grid = wall.mask, wall.grid
    distance = lesion.signed_distance_mm(wall.points_lps_mm)
    close = wall.voxels[distance <= max(distance.min(), 0.0) + 3.0 * max(grid.spacing_mm)]
    pad = np.ceil(_CONTEXT_MM / np.array(grid.spacing_mm)).astype(int)
    low = np.maximum(close.min(0) - pad, 0)
    high = np.minimum(close.max(0) + 1 + pad, vessel.shape)
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    surface = sub_voxel_surface(vessel[box], grid.cropped(box))
    return _without_cut_faces(surface, grid.cropped(box), grid)


def _without_cut_faces(surface: Surface, part: Grid, whole: Grid) -> Surface:
    """Drop the caps that cropping put on vessels which go on beyond the box (unless the image ends there)."""
    index = part.to_index(surface.vertices_lps_mm)
    offset = np.rint(whole.to_index(part.origin_lps_mm)).astype(int)
    keep = np.ones(len(index), dtype=bool)
    for axis in range(3):
        if offset[axis] > 0:
            keep &= index[:, axis] > 0.75
        if offset[axis] + part.shape[axis] < whole.shape[axis]:
            keep &= index[:, axis] < part.shape[axis] - 1.75
    if not keep.any() or keep.all():
        return surface
    renumber = np.cumsum(keep) - 1
    faces = surface.mesh.faces[keep[surface.mesh.faces].all(axis=1)]
    return Surface(Mesh(surface.vertices_lps_mm[keep], renumber[faces]), surface.normals[keep], surface.pitch_mm)


def farthest_pair(points: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Longest distance between any two of the points (N, 3): (mm, (3,), (3,)); the hull carries it."""
    try:
        hull = points[ConvexHull(points).vertices]
    except QhullError:  # flat or tiny sets have no hull
        hull = points
    squared = cdist(hull, hull, "sqeuclidean")
    i, j = np.unravel_index(int(squared.argmax()), squared.shape)
    return float(np.sqrt(squared[i, j])), hull[i], hull[j]


__all__ = [
    "BoundaryError",
    "Wall",
    "clearance",
    "closest_on_triangles",
    "combined_mm",
    "discretisation_mm",
    "distance_between",
    "farthest_pair",
    "nearest_points",
]
