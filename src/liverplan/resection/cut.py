"""The cut surface of a resection: the margin of each lesion to what stays behind, its area and how curved it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes

from liverplan.anatomy import Structure
from liverplan.distance import distance_between, nearest_points
from liverplan.lesions import Lesion
from liverplan.mesh import Mesh
from liverplan.quantity import Distance, Unknown
from liverplan.resection.workspace import IntArray, Workspace
from liverplan.surface import Surface, signed_distance_map, sub_voxel_surface
from liverplan.volume import BoolArray, FloatArray, Grid

_CONTEXT_MM, _CONTEXT_VOXELS = 3.0, 3.0
"""Around what may be nearest: the reach of the surface's smoothing."""
_SMOOTHING_BLOCKS = 0.7


@dataclass(frozen=True)
class CutMargin:
    """The margin of a lesion in a resection, and what sets it: "parenchyma" (the cut surface) or "vessel" (one that
    stays). distance: Unknown when the lesion itself is not taken out."""

    distance: Distance | Unknown
    by: str
    structure: Structure | None = None


@dataclass(frozen=True)
class CutSurface:
    """The cut itself, for showing it: mesh in LPS mm, area in cm2, mean absolute curvature in 1/mm."""

    mesh: Mesh
    area_cm2: float
    mean_curvature_per_mm: float


def parenchymal_margin(work: Workspace, row: int, specimen: BoolArray, nearest_mm: float) -> Distance | None:
    """Least distance from a lesion (row number) to liver that stays behind; None when no liver stays.

    specimen: (i, j, k). nearest_mm: distance to the nearest remnant cell, which bounds the search. The capsule does not
    count: outside the liver the cut is continued half way between specimen and remnant, and no vertex there is used.
    """
    if not np.isfinite(nearest_mm):
        return None
    lesion = work.field.lesions[row]
    context_mm = max(_CONTEXT_MM, _CONTEXT_VOXELS * max(work.grid.spacing_mm))
    box = _box_around(lesion, work.grid, max(nearest_mm, 0.0) + context_mm)
    remnant = work.liver[box] & ~specimen[box]
    if not remnant.any():
        return None
    key = (row, np.packbits(specimen[box]).tobytes())
    if key not in work.margins_found:
        work.margins_found[key] = _nearest_remnant(work, lesion, remnant, specimen[box], box)
    return work.margins_found[key]


def _nearest_remnant(
    work: Workspace, lesion: Lesion, remnant: BoolArray, specimen: BoolArray, box: tuple[slice, slice, slice]
) -> Distance | None:
    part, liver = work.grid.cropped(box), work.liver[box]
    found = []
    if specimen.any():
        cut = _cut_through(remnant, specimen, liver, part)
        if len(cut.mesh.faces):
            found.append(nearest_points(lesion.surface, cut))
    if not found or _nearer_elsewhere(lesion, remnant, specimen, part, found[0][0]):
        # Remnant across a fissure, not beside the cut: its own surface counts.
        whole = _inner_part(sub_voxel_surface(remnant, part), part, np.ones_like(liver))
        if len(whole.mesh.faces):
            found.append(nearest_points(lesion.surface, whole))
    if not found:
        return None
    value, start, end = min(found, key=lambda f: f[0])
    return distance_between(value, start, end, work.grid, (work.error.lesion_mm,))


def _nearer_elsewhere(lesion: Lesion, remnant: BoolArray, specimen: BoolArray, grid: Grid, value_mm: float) -> bool:
    """Whether remnant voxels that are not beside the specimen may lie nearer to the lesion than the cut does."""
    beside = ndimage.binary_dilation(specimen, np.ones((3, 3, 3)), iterations=2)
    away = np.argwhere(remnant & ~beside)
    if len(away) == 0:
        return False
    distance = lesion.surface.tree.query(grid.to_world(away), distance_upper_bound=max(value_mm, 0.5), workers=-1)[0]
    return bool(np.isfinite(distance).any())


def _cut_through(remnant: BoolArray, specimen: BoolArray, liver: BoolArray, grid: Grid) -> Surface:
    to_remnant, to_specimen = (signed_distance_map(part, grid.spacing_mm) for part in (remnant, specimen))
    continued = remnant | (~liver & (to_remnant < to_specimen))
    return _inner_part(sub_voxel_surface(continued, grid), grid, liver)


def _inner_part(surface: Surface, grid: Grid, where: BoolArray) -> Surface:
    """The surface's vertices whose voxel is in `where`, off the faces that cropping made."""
    index = grid.to_index(surface.vertices_lps_mm)
    size = np.array(grid.shape)
    nearest = np.clip(np.rint(index).astype(int), 0, size - 1)
    keep = where[tuple(nearest.T)] & (index > 0.75).all(axis=1) & (index < size - 1.75).all(axis=1)
    number = np.cumsum(keep) - 1
    faces = surface.mesh.faces[keep[surface.mesh.faces].all(axis=1)]
    return Surface(Mesh(surface.vertices_lps_mm[keep], number[faces]), surface.normals[keep], surface.pitch_mm)


def _box_around(lesion: Lesion, grid: Grid, reach_mm: float) -> tuple[slice, slice, slice]:
    index = grid.to_index(lesion.surface.vertices_lps_mm)
    reach = reach_mm / np.array(grid.spacing_mm)
    low = np.maximum(np.floor(index.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + reach) + 1, grid.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def vessel_margin(work: Workspace, row: int, stays: tuple[BoolArray, ...]) -> tuple[Distance, Structure] | None:
    """The lesion's clearance to the nearest vessel that stays; stays: (nodes,) per tree of the workspace."""
    best: tuple[Distance, Structure] | None = None
    lesion = work.field.lesions[row]
    for tree, kept in zip(work.trees, stays, strict=True):
        if not kept.any():
            continue
        clearance = np.where(kept, tree.clearance_mm[row], np.inf)
        node = int(clearance.argmin())
        if best is not None and clearance[node] >= best[0].value_mm:
            continue
        start, wall = tree.witness(lesion, node)
        error = (work.error.lesion_mm, work.error.vessel_mm)
        best = distance_between(float(clearance[node]), start, wall, work.grid, error), tree.tree.structure
    return best


def cut_surface(work: Workspace, specimen: BoolArray) -> CutSurface:
    """The surface between specimen and remnant inside the liver, on the lattice: for showing it and for its area."""
    lattice = work.lattice
    taken, liver = lattice.blocks(specimen).astype(np.float32), work.liver_blocks.astype(np.float32)
    known = liver > 0
    # Signed filling: -1 where all of a block's liver is taken, +1 where none is; carried on outside the liver.
    filling = np.where(known, 1.0 - 2.0 * taken / np.maximum(liver, 1.0), 0.0)
    weight = ndimage.gaussian_filter(known.astype(np.float32), 1.0 + _SMOOTHING_BLOCKS)
    near = ndimage.gaussian_filter(filling.astype(np.float32), 1.0 + _SMOOTHING_BLOCKS) / np.maximum(weight, 1e-6)
    smooth = ndimage.gaussian_filter(np.where(known, filling, np.sign(near)), _SMOOTHING_BLOCKS)
    if not (smooth.min() < 0 < smooth.max()):
        return CutSurface(Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)), 0.0, 0.0)
    vertices, faces, _, _ = marching_cubes(smooth, 0.0)
    world = work.grid.to_world(vertices * np.array(lattice.step) + (np.array(lattice.step) - 1) / 2.0)
    middle = np.rint(work.grid.to_index(world[faces].mean(axis=1))).astype(int)
    within = np.flatnonzero(((middle >= 0) & (middle < work.liver.shape)).all(axis=1))
    inside = within[work.liver[tuple(middle[within].T)]]
    mesh = _compact(world, faces[inside])
    return CutSurface(mesh, mesh.area_cm2 if len(mesh.faces) else 0.0, _mean_curvature(mesh))


def _compact(vertices: FloatArray, faces: IntArray) -> Mesh:
    used, number = np.unique(faces, return_inverse=True)
    return Mesh(vertices[used], number.reshape(-1, 3).astype(np.int64))


def _mean_curvature(mesh: Mesh) -> float:
    """Area-weighted mean of |mean curvature|, 1/mm: half the sum of edge length x |dihedral angle| over the area."""
    if len(mesh.faces) < 2:
        return 0.0
    corners = mesh.corners_lps_mm
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    owner = np.tile(np.arange(len(mesh.faces)), 3)
    key = np.sort(edges, axis=1) @ np.array([len(mesh.vertices_lps_mm), 1])
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    first, second = owner[order][same], owner[order][same + 1]
    angle = np.arccos(np.clip((normal[first] * normal[second]).sum(axis=1), -1.0, 1.0))
    ends = mesh.vertices_lps_mm[edges[order][same]]
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    return float(0.5 * (length * angle).sum() / max(100.0 * mesh.area_cm2, 1e-9))


__all__ = ["CutMargin", "CutSurface", "cut_surface", "parenchymal_margin", "vessel_margin"]
