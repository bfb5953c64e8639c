"""The radius that a vessel keeps through a fork, where its own wall cannot be seen.

Inside the lumen of its parent a branch has no wall of its own: what is measured there is the parent's lumen and the
sibling's. Its radius is then what it measures beyond the fork, which is also how Murray's law describes a tree. Left
as measured, branches came 0.2 mm too thick within a radius of their fork, and clearances there as much too small.
"""

from __future__ import annotations

import numpy as np

from liverplan.vessels.tree import IntArray
from liverplan.volume import FloatArray

_SHARED_RADII = 1.2
"""Up to this many radii below a fork its branches share their lumen ..."""
_SHARED_RADII_ABOVE = 1.0
_SEEN_RADII = 3.0
"""... and from there up to here each is measured alone."""
_ENOUGH_NODES = 4


def radii_through_forks(points: FloatArray, radius: FloatArray, parent: IntArray) -> FloatArray:
    """Radii (N,) mm of a tree's nodes (N, 3), where no branch is thicker at its fork than beyond it."""
    child = np.flatnonzero(parent >= 0)
    children = np.bincount(parent[child], minlength=len(parent))
    below = np.full(len(parent), -1)
    below[parent[child]] = child
    # The next node along an unbranched run, -1 where it ends.
    down = np.where(children == 1, below, -1)
    up = np.where(children == 1, parent, -1)
    result = radius.copy()
    for node in child[children[parent[child]] > 1].tolist():
        fork = int(parent[node])
        _cap(result, _run(fork, node, down, points, radius[fork]), radius, _SHARED_RADII * radius[fork])
    for fork in np.flatnonzero((children > 1) & (parent >= 0)).tolist():
        run = _run(fork, int(parent[fork]), up, points, radius[fork])
        own = _cap(result, run, radius, _SHARED_RADII_ABOVE * radius[fork])
        result[fork] = min(result[fork], own)
    return result


def _run(
    fork: int, start: int, following: IntArray, points: FloatArray, fork_radius_mm: float
) -> tuple[IntArray, FloatArray]:
    """The unbranched run that leaves a fork, as far as it is looked at: nodes, and their way from the fork in mm."""
    nodes, way, before, node = [], [0.0], fork, start
    while node >= 0 and way[-1] <= _SEEN_RADII * fork_radius_mm:
        nodes.append(node)
        way.append(way[-1] + float(np.linalg.norm(points[node] - points[before])))
        before, node = node, int(following[node])
    return np.array(nodes), np.array(way[1:])


def _cap(result: FloatArray, run: tuple[IntArray, FloatArray], radius: FloatArray, shared_mm: float) -> float:
    """Hold a run's nodes in the shared lumen to the radius seen beyond; that radius, infinite when too little is."""
    nodes, way = run
    alone = way >= shared_mm
    if alone.sum() < _ENOUGH_NODES:
        return np.inf
    own = float(np.median(radius[nodes[alone]]))
    result[nodes[~alone]] = np.minimum(result[nodes[~alone]], own)
    return own
