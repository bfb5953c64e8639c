"""Where a vessel tree starts."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from liverplan.vessels.forest import Forest
from liverplan.vessels.lumen import Lumen, Walls
from liverplan.volume import BoolArray, FloatArray, Grid, border, bounding_box

ROOT_CONTACT_MM = 3.0
"""A hepatic vein that comes this near to the vena cava's voxels joins it there."""
SMALLEST_ROOT_RADIUS_MM = 1.2
"""Thinner contacts with the vena cava are no root: veins that drain into it measure 3 mm and more across."""

_OPENING_SPACINGS = 2.0
"""Walls nearer than this many voxels to the vena cava's voxels are its opening, or its own wall."""


def depth_outside(points: FloatArray, liver: BoolArray, grid: Grid) -> FloatArray:
    """Distance in mm from points outside the liver to its nearest voxel; 0 inside."""
    index = np.rint(grid.to_index(points)).astype(int)
    within = ((index >= 0) & (index < liver.shape)).all(axis=1)
    inside = np.zeros(len(points), dtype=bool)
    inside[within] = liver[tuple(index[within].T)]
    if inside.all() or not liver.any():
        return np.zeros(len(points))
    return np.where(inside, 0.0, _to_mask(points, liver, grid, np.inf))


def thick_end(forest: Forest, outside_mm: FloatArray) -> tuple[int, tuple[str, ...]]:
    """The lumen voxel of the thickest end, of those outside the liver if there are any."""
    ends = forest.ends()
    thickness = np.array([np.median(forest.radius[forest.stretch(int(e), 12.0)]) for e in ends])
    outside = outside_mm[ends] > 3.0
    warnings: tuple[str, ...] = ()
    if outside.any():
        thickness = np.where(outside, thickness, -1.0)
    else:
        warnings = ("the vein's trunk outside the liver is not in the mask; the root is assumed at its thickest end",)
    return int(forest.voxel[ends[int(thickness.argmax())]]), warnings


def contacts(lumen: Lumen, vena_cava: BoolArray, grid: Grid) -> list[int]:
    """One root voxel for each patch where a vein's lumen meets the vena cava: the deepest voxel of the patch.

    Patches thinner than a vein are left-overs of the two masks' common border and drain nothing. Such a film often
    joins two veins along the vena cava's wall; they stay two.
    """
    near = _to_mask(lumen.points, vena_cava, grid, ROOT_CONTACT_MM) <= ROOT_CONTACT_MM
    touching = np.flatnonzero(near & (lumen.depth_mm >= 0.5 * SMALLEST_ROOT_RADIUS_MM))
    if len(touching) == 0:
        return []
    _, patch = connected_components(lumen.graph[touching][:, touching], directed=False)
    roots = []
    for number in range(patch.max() + 1):
        members = touching[patch == number]
        deepest = int(members[lumen.depth_mm[members].argmax()])
        if lumen.depth_mm[deepest] >= SMALLEST_ROOT_RADIUS_MM:
            roots.append(deepest)
    return roots


def away_from(walls: Walls, vena_cava: BoolArray, grid: Grid) -> Walls:
    """Walls without those where a vein opens into the vena cava: its lumen goes on there."""
    opening_mm = _OPENING_SPACINGS * max(grid.spacing_mm)
    return walls.where(_to_mask(walls.points, vena_cava, grid, opening_mm) > opening_mm)


def nearest_to(lumen: Lumen, vena_cava: BoolArray, grid: Grid) -> int:
    return int(_to_mask(lumen.points, vena_cava, grid, np.inf).argmin())


def _to_mask(points: FloatArray, mask: BoolArray, grid: Grid, reach_mm: float) -> FloatArray:
    """Distance of points (N, 3) to the nearest voxel of a mask, infinite beyond `reach_mm`."""
    box = bounding_box(mask)
    voxels = np.argwhere(border(mask[box])) + np.array([s.start for s in box])
    tree = cKDTree(grid.to_world(voxels))
    return np.asarray(tree.query(points, distance_upper_bound=reach_mm, workers=-1)[0])
