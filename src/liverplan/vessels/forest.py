"""Paths through a lumen from its roots, as in TEASAR, and the centreline and radii that they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from liverplan.vessels.forks import radii_through_forks
from liverplan.vessels.lumen import Lumen
from liverplan.vessels.tree import IntArray
from liverplan.volume import BoolArray, FloatArray

CLAIM_RADII = 1.5
CLAIM_MM = 2.0
"""A path claims the voxels within CLAIM_RADII x radius + CLAIM_MM: shorter side branches are bumps of the wall."""
_SLAB_PITCHES = 1.5
"""Half-thickness of the slab of voxels that a cross-section is taken from, in lattice pitches."""
_SMALLEST_DISC = 12
_SMOOTHING_PASSES = 3


@dataclass(frozen=True)
class Forest:
    """Traced paths over lumen voxels: node voxels, parents, branch numbers, and nodes' positions and radii."""

    voxel: IntArray
    parent: IntArray
    branch: IntArray
    points: FloatArray
    radius: FloatArray

    def ends(self) -> IntArray:
        """Nodes that one stretch of vessel leads to: those without children, and roots with one child."""
        children = np.bincount(self.parent[self.parent >= 0], minlength=len(self.parent))
        return np.flatnonzero((children == 0) | ((self.parent < 0) & (children <= 1)))

    def stretch(self, end: int, length_mm: float) -> IntArray:
        """Nodes from an end inwards, up to `length_mm` (from a root: down its thickest children)."""
        nodes, gone = [end], 0.0
        node = end
        while gone < length_mm:
            following = int(self.parent[node]) if self.parent[end] >= 0 else self._first_child(node)
            if following < 0:
                break
            gone += float(np.linalg.norm(self.points[following] - self.points[node]))
            nodes.append(following)
            node = following
        return np.array(nodes)

    def _first_child(self, node: int) -> int:
        children = np.flatnonzero(self.parent == node)
        return int(children[self.radius[children].argmax()]) if len(children) else -1


def trace(lumen: Lumen, roots: list[int]) -> Forest:
    """Paths to the farthest unclaimed voxels until every voxel that can be reached from the roots is claimed."""
    cost, before = _multi_source(lumen.graph, roots)
    length = _lengths(lumen.points, before)
    length[~np.isfinite(cost)] = -1.0
    claimed = ~np.isfinite(cost)
    search = cKDTree(lumen.points)
    node_of = {root: n for n, root in enumerate(roots)}
    above, voxels = [-1] * len(roots), list(roots)
    _claim(lumen, search, np.array(roots), claimed)
    for voxel in np.argsort(-length, kind="stable"):
        if claimed[voxel]:
            continue
        path = _path(int(voxel), before, node_of)
        for step in path:
            above.append(node_of[int(before[step])])
            node_of[step] = len(voxels)
            voxels.append(step)
        _claim(lumen, search, np.array(path), claimed)
    voxel, parent = np.array(voxels), np.array(above)
    points, radius = _centred(lumen, search, voxel, parent)
    return Forest(voxel, parent, branches(parent), points, radii_through_forks(points, radius, parent))


def _claim(lumen: Lumen, search: cKDTree, path: IntArray, claimed: BoolArray) -> None:
    radii = CLAIM_RADII * lumen.depth_mm[path] + CLAIM_MM
    for hits in search.query_ball_point(lumen.points[path], radii):
        claimed[hits] = True


def _centred(lumen: Lumen, search: cKDTree, voxel: IntArray, parent: IntArray) -> tuple[FloatArray, FloatArray]:
    """Nodes in the middle of their cross-section, and the radius of a disc of its area.

    The deepest voxel can lie most of a voxel off the axis, and its depth is short by as much; the cross-section's
    centroid and area average over its voxels. Both stay within a voxel of the depth map: at a branching the
    cross-section belongs to two vessels.
    """
    points, depth, pitch_mm = smooth(lumen.points[voxel], parent), lumen.depth_mm[voxel], lumen.pitch_mm
    heading = tangents(points, parent)
    near = search.query_ball_point(points, 1.6 * depth + 1.5 * pitch_mm)
    centres, radius = points.copy(), depth.copy()
    for node, members in enumerate(near):
        offset = lumen.points[members] - points[node]
        along = offset @ heading[node]
        disc = offset[np.abs(along) <= _SLAB_PITCHES * pitch_mm]
        if len(disc) < _SMALLEST_DISC:
            continue
        area = len(disc) * lumen.grid.voxel_ml * 1000.0 / (2.0 * _SLAB_PITCHES * pitch_mm)
        radius[node] = np.clip(np.sqrt(area / np.pi), depth[node], depth[node] + pitch_mm)
        shift = disc.mean(axis=0)
        shift = shift - (shift @ heading[node]) * heading[node]
        centres[node] += shift * min(1.0, pitch_mm / max(float(np.linalg.norm(shift)), 1e-9))
    return smooth(centres, parent), radius


def _multi_source(graph: sparse.csr_matrix, roots: list[int]) -> tuple[FloatArray, IntArray]:
    """Cost of the cheapest path from any root, and the voxel before each on it (negative at roots and where none)."""
    cost, before, _ = dijkstra(graph, directed=False, indices=roots, return_predecessors=True, min_only=True)
    return np.asarray(cost), np.asarray(before, dtype=np.int64)


def _lengths(points: FloatArray, before: IntArray) -> FloatArray:
    """Length in mm of the path to each voxel, by doubling: the way to an ancestor, then to that one's ancestor."""
    ancestor = np.where(before >= 0, before, np.arange(len(before)))
    length = np.linalg.norm(points - points[ancestor], axis=1)
    while True:
        further = ancestor[ancestor]
        if np.array_equal(further, ancestor):
            return np.asarray(length)
        length += length[ancestor]
        ancestor = further


def _path(end: int, before: IntArray, node_of: dict[int, int]) -> list[int]:
    """New voxels from the existing tree down to `end`."""
    path = []
    voxel = end
    while voxel not in node_of:
        path.append(voxel)
        voxel = int(before[voxel])
    return path[::-1]


def branches(parent: IntArray) -> IntArray:
    """Number of the unbranched stretch of each node: a new one starts at every root and below every branching."""
    children = np.bincount(parent[parent >= 0], minlength=len(parent))
    branch = np.zeros(len(parent), dtype=np.int64)
    count = 0
    for node, above in enumerate(parent):
        if above < 0 or children[above] > 1:
            branch[node] = count
            count += 1
        else:
            branch[node] = branch[above]
    return branch


def smooth(points: FloatArray, parent: IntArray) -> FloatArray:
    """Centreline without its voxel steps: each inner node moves to the mean of itself, its parent and its children."""
    children = np.bincount(parent[parent >= 0], minlength=len(parent))
    child = np.flatnonzero(parent >= 0)
    inner = (parent >= 0) & (children == 1)
    smooth = points.copy()
    for _ in range(_SMOOTHING_PASSES):
        below = np.zeros_like(points)
        np.add.at(below, parent[child], smooth[child])
        moved = (smooth + smooth[np.maximum(parent, 0)] + below) / 3.0
        smooth = np.where(inner[:, None], moved, smooth)
    return np.asarray(smooth)


def tangents(points: FloatArray, parent: IntArray) -> FloatArray:
    """Unit direction of the vessel at each node: from its parent to its last child where it has them; (N, 3)."""
    child = np.flatnonzero(parent >= 0)
    ahead, behind = points.copy(), points.copy()
    ahead[parent[child]] = points[child]
    behind[child] = points[parent[child]]
    heading = ahead - behind
    return np.asarray(heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9))
