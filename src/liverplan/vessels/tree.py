"""A vessel tree: centreline nodes with radii, one parent each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from liverplan.anatomy import Structure
from liverplan.quantity import Point
from liverplan.volume import AnyArray, FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gap:
    """A stretch where the mask was interrupted and the tree was joined: two LPS points and their distance."""

    start_lps_mm: Point
    end_lps_mm: Point
    length_mm: float


@dataclass(frozen=True)
class VesselTree:
    """Centreline graph of one vessel system. Parents stand before their children.

    points_lps_mm: (N, 3). radius_mm: (N,) distance to the wall. parent: (N,) index, -1 at a root.
    branch: (N,) number of the unbranched stretch that the node belongs to.
    gaps: where pieces were joined. left_out_ml: volume of pieces that could not be joined.
    warnings: sentences on what had to be assumed.
    """

    structure: Structure
    points_lps_mm: FloatArray
    radius_mm: FloatArray
    parent: IntArray
    branch: IntArray
    gaps: tuple[Gap, ...] = ()
    left_out_ml: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def roots(self) -> IntArray:
        return np.flatnonzero(self.parent < 0)

    @property
    def length_mm(self) -> float:
        child = np.flatnonzero(self.parent >= 0)
        steps = self.points_lps_mm[child] - self.points_lps_mm[self.parent[child]]
        return float(np.linalg.norm(steps, axis=1).sum())

    def path_minimum(self, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """For each node the least of `values` (N,) on the path from its root, and the node that it stands at."""
        least = values.astype(np.float64, copy=True)
        where = np.arange(len(values))
        for node, above in enumerate(self.parent):
            if above >= 0 and least[above] <= least[node]:
                least[node] = least[above]
                where[node] = where[above]
        return least, where

    def subtree_sum(self, values: AnyArray) -> FloatArray:
        """For each node the sum of `values` (N,) over itself and everything that hangs on it."""
        total: FloatArray = values.astype(np.float64, copy=True)
        for node in range(len(self.parent) - 1, -1, -1):
            if self.parent[node] >= 0:
                total[self.parent[node]] += total[node]
        return total

    def nearest_node(self, points_lps_mm: FloatArray, workers: int = -1) -> IntArray:
        """tau: the node whose centreline segment (to its parent) is nearest to each point (M, 3); (M,).

        Nodes lie closer than a voxel apart, so the segment's nearest end decides, refined among the two segments there.
        """
        return np.asarray(cKDTree(self.points_lps_mm).query(points_lps_mm, workers=workers)[1])
