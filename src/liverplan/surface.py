"""Sub-voxel surfaces of masks, and signed distances to them.

A voxel mask tells the boundary to half a voxel only. The estimator here takes the symmetric signed distance map of
the mask, interpolates it between thick slices (shape-based interpolation), smooths it by a little more than a voxel
with the shrinkage of curved walls compensated, and meshes the zero level. The smoothed field is kept on the mask's
side at every voxel centre, so that no thin vessel can vanish. Bias and spread: `scripts/bench/accuracy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from liverplan.mesh import Mesh
from liverplan.volume import BoolArray, FloatArray, Grid, bounding_box, pooled_count

SMOOTHING_FINE_VOXELS = 1.3
"""Gaussian sigma in units of the finest spacing; chosen on spheres beside cylinders (bias 0.0, sd 0.1 mm at 0.8 mm)."""
FINEST_MM = 0.6
"""No axis is refined below this spacing: it costs time and adds nothing to what the voxels know."""
KEEP_SIDE_FINE_VOXELS = 0.05
"""Least absolute value of the field at a voxel centre, in units of the finest spacing."""
FAR_MM = 12.0
FAR_SAMPLE_MM = 2.0
"""Distances above FAR_MM are taken to one vertex in every FAR_SAMPLE_MM: sample^2 / (4 FAR_MM) = 0.08 mm too long."""
EXACT_MM = 40.0
"""Of few points (vessel axes) all within any margin are measured to every vertex: 0.06 mm decide whether one is cut."""
VERY_FAR_MM = 24.0
VERY_FAR_PITCH_MM = 3.0
"""Distances above VERY_FAR_MM are interpolated on a lattice of this pitch: pitch^2 / (4 VERY_FAR_MM) = 0.09 mm too
long where it is most."""
_MANY_POINTS = 100_000
"""From here on the lattice is cheaper than the points."""
_PAD_VOXELS = 4

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Solid:
    """The voxels that a surface encloses: a mask (i, j, k) on its grid."""

    mask: BoolArray
    grid: Grid

    def contains(self, points_lps_mm: FloatArray) -> BoolArray:
        """Whether the voxel nearest to each point (N, 3) is set; (N,)."""
        index = np.rint(self.grid.to_index(points_lps_mm)).astype(np.int64)
        within = ((index >= 0) & (index < self.mask.shape)).all(axis=-1)
        inside = np.zeros(len(index), dtype=np.bool_)
        inside[within] = self.mask[tuple(index[within].T)]
        return inside


@dataclass(frozen=True)
class Surface:
    """A triangle surface with outward unit normals at its vertices, and the lattice pitch it was sampled at.

    solid: what it encloses, for telling inside from outside away from the surface; None for open pieces of a surface.
    """

    mesh: Mesh
    normals: FloatArray
    pitch_mm: float
    solid: Solid | None = None

    @property
    def vertices_lps_mm(self) -> FloatArray:
        return self.mesh.vertices_lps_mm

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.mesh.vertices_lps_mm)

    @cached_property
    def _sample(self) -> tuple[npt.NDArray[np.int64], cKDTree]:
        """One vertex for every FAR_SAMPLE_MM of surface: numbers and search tree."""
        lattice = np.floor(self.vertices_lps_mm / FAR_SAMPLE_MM).astype(np.int64)
        _, chosen = np.unique(lattice, axis=0, return_index=True)
        return chosen, cKDTree(self.vertices_lps_mm[chosen])

    def signed_distance_mm(self, points_lps_mm: FloatArray) -> FloatArray:
        """Distance of points (N, 3) to the surface in mm, negative inside; (N,). Raises ValueError without a solid.

        At the surface the distance to the tangent plane of the nearest vertex is taken, which removes the error of
        measuring to vertices. Of many points those beyond FAR_MM are measured to a sample of the vertices, too long by
        at most 0.1 mm, and those beyond VERY_FAR_MM are interpolated, too long by at most 0.2 mm.
        """
        if len(points_lps_mm) < _MANY_POINTS:
            return self._signed_mm(points_lps_mm, EXACT_MM)
        distance = self._very_far_mm(points_lps_mm)
        near = np.abs(distance) <= VERY_FAR_MM
        distance[near] = self._signed_mm(points_lps_mm[near], FAR_MM)
        return distance

    def _very_far_mm(self, points: FloatArray) -> FloatArray:
        """Signed distances (N,) interpolated between those of a lattice around the points; coarse near the surface."""
        low = points.min(axis=0)
        shape = np.ceil((points.max(axis=0) - low) / VERY_FAR_PITCH_MM).astype(int) + 1
        nodes = low + VERY_FAR_PITCH_MM * np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
        lattice = self._signed_mm(nodes, FAR_MM).reshape(shape)
        where = ((points - low) / VERY_FAR_PITCH_MM).T
        return np.asarray(ndimage.map_coordinates(lattice, where, order=1, mode="nearest"))

    def _signed_mm(self, points: FloatArray, exact_mm: float) -> FloatArray:
        if self.solid is None:
            raise ValueError("an open surface has no inside")
        chosen, sample = self._sample
        distance, nearest = sample.query(points, workers=-1)
        nearest = chosen[nearest]
        close = distance < exact_mm
        distance[close], nearest[close] = self.tree.query(points[close], workers=-1)
        plane = np.einsum("ij,ij->i", points - self.vertices_lps_mm[nearest], self.normals[nearest])
        # Away from the surface the voxels tell the side: the nearest vertex's normal may point anywhere at an edge.
        signed = np.where(self.solid.contains(points), -distance, distance)
        return np.asarray(np.where(distance < 2.0 * self.pitch_mm, plane, signed))

    def nearest_vertex(self, point_lps_mm: FloatArray) -> FloatArray:
        """The vertex nearest to one point, (3,)."""
        return np.asarray(self.vertices_lps_mm[self.tree.query(point_lps_mm)[1]])


def symmetric_distance_map(mask: BoolArray, spacing_mm: tuple[float, float, float]) -> Float32Array:
    """Signed distance in mm from voxel centres to the boundary between voxels, negative inside.

    The mean of the distance to the nearest voxel centre on the other side and to the nearest border centre on the own
    side; this removes the half-voxel bias of either map alone. A mask without voxels on one side is a ValueError.
    """
    if not mask.any() or mask.all():
        raise ValueError("a distance map needs voxels inside and outside the mask")
    outside = signed_distance_map(mask, spacing_mm)
    inside = signed_distance_map(~mask, spacing_mm)
    return (outside - inside) * np.float32(0.5)


def sub_voxel_surface(mask: BoolArray, grid: Grid, fine_mm: float | None = None) -> Surface:
    """The boundary of a mask (i, j, k) as a closed surface in LPS mm, sub-voxel. `fine_mm` sets the lattice pitch.

    Raises ValueError on an empty mask.
    """
    box = bounding_box(mask)
    padded = np.pad(mask[box], _PAD_VOXELS)
    fine = max(min(grid.spacing_mm), FINEST_MM) if fine_mm is None else fine_mm
    factors = [max(1, round(s / fine)) for s in grid.spacing_mm]
    pitch = [s / f for s, f in zip(grid.spacing_mm, factors, strict=True)]
    field_mm = refined(symmetric_distance_map(padded, grid.spacing_mm), factors)
    field_mm = _smoothed(field_mm, [SMOOTHING_FINE_VOXELS * fine / p for p in pitch])
    _keep_sides(field_mm, padded, factors, KEEP_SIDE_FINE_VOXELS * fine)
    vertices, faces, _, _ = marching_cubes(field_mm, 0.0, gradient_direction="ascent")
    start = np.array([s.start for s in box], dtype=float) - _PAD_VOXELS
    solid = Solid(mask[box], grid.cropped(box))
    return surface_of(grid.to_world(vertices / np.array(factors) + start), faces, max(pitch), solid)


def pooled_surface(mask: BoolArray, grid: Grid, about_mm: float) -> Surface:
    """The boundary of a large mask from the share of set voxels in blocks of about `about_mm`; fast, for whole organs.

    Raises ValueError on an empty mask.
    """
    box = bounding_box(mask)
    pool = [max(1, round(about_mm / s)) for s in grid.spacing_mm]
    share = np.pad(pooled_count(mask[box], pool).astype(np.float32) / float(np.prod(pool)), 1)
    vertices, faces, _, _ = marching_cubes(share, 0.5)
    start = np.array([s.start for s in box], dtype=float) + (np.array(pool) - 1) / 2.0
    pitch = max(p * s for p, s in zip(pool, grid.spacing_mm, strict=True))
    solid = Solid(mask[box], grid.cropped(box))
    return surface_of(grid.to_world((vertices - 1.0) * np.array(pool) + start), faces, pitch, solid)


def surface_of(
    vertices_lps_mm: FloatArray, faces: npt.NDArray[np.integer], pitch_mm: float, solid: Solid | None = None
) -> Surface:
    """A Surface from vertices and faces, wound so that the enclosed volume is positive."""
    a, b, c = (vertices_lps_mm[faces[:, n]] for n in range(3))
    face_normals = np.cross(b - a, c - a)
    if np.einsum("ij,ij->", a, face_normals) < 0:
        faces, face_normals = faces[:, ::-1], -face_normals
    normals = np.zeros_like(vertices_lps_mm)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    mesh = Mesh(vertices_lps_mm, faces.astype(np.int64))
    return Surface(mesh, normals / np.maximum(length, 1e-12), pitch_mm, solid)


def signed_distance_map(mask: BoolArray, spacing_mm: tuple[float, float, float]) -> Float32Array:
    """Distance in mm from voxel centres to the nearest border voxel of the mask, negative inside (Maurer 2003)."""
    image = sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))
    image.SetSpacing(spacing_mm)
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.asarray(sitk.GetArrayViewFromImage(distance)).transpose(2, 1, 0).copy()


def refined(values: Float32Array, factors: list[int]) -> Float32Array:
    """Linear interpolation to `factors` lattice points per voxel and axis; voxel centres stay lattice points."""
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        count = values.shape[axis]
        position = np.arange((count - 1) * factor + 1) / factor
        lower = np.minimum(position.astype(int), count - 2)
        weight = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        values = np.take(values, lower, axis) * (1 - weight) + np.take(values, lower + 1, axis) * weight
    return values


def _smoothed(values: Float32Array, sigma: list[float]) -> Float32Array:
    """Gaussian smoothing, sharpened once (2 G - G G): a wall of curvature k would otherwise move by sigma^2 k / 2."""
    once = ndimage.gaussian_filter(values, sigma)
    return np.asarray(2 * once - ndimage.gaussian_filter(once, sigma), dtype=np.float32)


def _keep_sides(values: Float32Array, mask: BoolArray, factors: list[int], least: float) -> None:
    """Put the field back on the mask's side at every voxel centre, in place."""
    centres = values[tuple(slice(None, None, f) for f in factors)]
    centres[...] = np.where(mask, np.minimum(centres, -least), np.maximum(centres, least))
