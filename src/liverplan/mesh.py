"""Triangle surfaces in the world frame: `Mesh`, its volume and its area, and the surface of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.volume import BoolArray, FloatArray, Grid, bounding_box

IntArray: TypeAlias = npt.NDArray[np.int64]

SURFACE_BLUR_VOXELS = 0.7
"""Blur of a mask before its iso-surface is taken: bias -0.02 mm, sd 0.09 mm on spheres at 0.8 mm isotropic."""
KEEP_INSIDE = 0.2
"""How far above the iso-value a blurred mask is held at its own voxel centres; flat walls lie higher by themselves."""


@dataclass(frozen=True)
class Mesh:
    """A triangle surface. Triangles run counter-clockwise seen from outside, so that a closed volume is positive.

    vertices_lps_mm: (N, 3) float, DICOM LPS in mm. faces: (M, 3) vertex indices; M may be 0.
    Raises ValueError on other shapes, on vertices that are not finite and on faces that point outside the vertices.
    """

    vertices_lps_mm: FloatArray
    faces: IntArray

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices_lps_mm, dtype=np.float64).reshape(-1, 3)
        faces = np.ascontiguousarray(self.faces, dtype=np.int64).reshape(-1, 3)
        if not np.isfinite(vertices).all():
            raise ValueError("a mesh has vertices that are not finite")
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise ValueError(f"a mesh of {len(vertices)} vertices has faces from {faces.min()} to {faces.max()}")
        object.__setattr__(self, "vertices_lps_mm", vertices)
        object.__setattr__(self, "faces", faces)

    @property
    def is_empty(self) -> bool:
        return len(self.faces) == 0

    @property
    def corners_lps_mm(self) -> FloatArray:
        """The three corners of every triangle, (M, 3, 3)."""
        return np.asarray(self.vertices_lps_mm[self.faces])

    @property
    def volume_ml(self) -> float:
        """Enclosed volume by the divergence theorem; meaningful for closed surfaces, negative when inside out."""
        if self.is_empty:
            return 0.0
        # Relative to a vertex: far from the origin the sum of large signed tetrahedra would lose digits.
        a, b, c = np.moveaxis(self.corners_lps_mm - self.vertices_lps_mm[0], 1, 0)
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0 / 1000.0)

    @property
    def area_cm2(self) -> float:
        a, b, c = np.moveaxis(self.corners_lps_mm, 1, 0)
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2.0 / 100.0)

    def flipped(self) -> Mesh:
        """The same surface inside out."""
        return Mesh(self.vertices_lps_mm, self.faces[:, ::-1])


def joined(*meshes: Mesh) -> Mesh:
    """All surfaces as one mesh; shared vertices are not merged."""
    if not meshes:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    starts = np.cumsum([0, *(len(m.vertices_lps_mm) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([m.vertices_lps_mm for m in meshes]), np.concatenate(faces))


def surface_of_mask(mask: BoolArray, grid: Grid, blur_voxels: float = SURFACE_BLUR_VOXELS) -> Mesh:
    """The iso-surface of a blurred mask, closed also where the mask touches the image border.

    Made to be looked at; distances are measured on `liverplan.surface.sub_voxel_surface`.
    mask: (i, j, k) bool on `grid`. Structures thinner than the blur keep their connections and do not vanish.
    An empty mask gives an empty mesh.
    """
    if not mask.any():
        return joined()
    # Two voxels of air around the mask: the blur's reach, and what closes the surface.
    box = bounding_box(mask)
    padded = np.pad(mask[box].astype(np.float32), 2)
    vertices, faces = _iso_surface(padded, blur_voxels)
    start = np.array([s.start for s in box]) - 2
    mesh = Mesh(grid.to_world(vertices + start), faces)
    return mesh.flipped() if mesh.volume_ml < 0 else mesh


def _iso_surface(padded: npt.NDArray[np.float32], blur_voxels: float) -> tuple[FloatArray, IntArray]:
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    field = gaussian_filter(padded, blur_voxels, mode="constant", truncate=2.0) if blur_voxels > 0 else padded
    # Every voxel centre of the mask stays inside: the blur must not break a vessel one voxel thin into beads.
    field = np.where(padded > 0, np.maximum(field, 0.5 + KEEP_INSIDE), field)
    vertices, faces, _, _ = marching_cubes(field, 0.5)
    return vertices.astype(np.float64), faces.astype(np.int64)
