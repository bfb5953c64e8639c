"""Bending a cut around the walls of vessels that go on to serve the remnant."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree

from liverplan.margin import TreeLoss
from liverplan.resection.workspace import Float32Array, Workspace
from liverplan.volume import BoolArray, FloatArray

_CALIBRES_MM = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, np.inf)


def kept_clear(work: Workspace, level: Float32Array, tree: TreeLoss, nodes: BoolArray, clear_mm: float) -> Float32Array:
    """The level set with its zero at least `clear_mm` from the walls of some nodes (nodes,) of a tree."""
    found = level.copy()
    # Farther out nothing has to give way.
    where = work.near_liver & (level < clear_mm)
    wall = _distance_to_wall(work.lattice.points_lps_mm[where], tree, nodes, 3.0 * clear_mm)
    found[where] = np.maximum(level[where], clear_mm - wall)
    return found


def _distance_to_wall(points: FloatArray, tree: TreeLoss, nodes: BoolArray, most_mm: float) -> FloatArray:
    """Distance to the nearest wall of the given nodes, `most_mm` where it is more; (P,)."""
    nearest: FloatArray = np.full(len(points), most_mm)
    radius_mm = tree.tree.radius_mm
    # By calibre: the nearest centre may be that of a twig beside a trunk whose wall is nearer.
    for thin, thick in itertools.pairwise(_CALIBRES_MM):
        some = nodes & (radius_mm >= thin) & (radius_mm < thick)
        if not some.any():
            continue
        radius = np.append(radius_mm[some], 0.0)
        reach = float(radius.max()) + most_mm
        distance, at = cKDTree(tree.tree.points_lps_mm[some]).query(points, distance_upper_bound=reach, workers=-1)
        nearest = np.asarray(np.minimum(nearest, np.minimum(distance, reach) - radius[at]))
    return nearest
