"""A vessel tree seen through the tissue that it serves: limbs worth naming, and where they part.

Spurs and bumps of a mask serve next to nothing, whatever their length; what counts as a fork is therefore decided by
the share of the liver that hangs on each side of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from liverplan.naming.names import Unnamable, downstream
from liverplan.vessels import IntArray, VesselTree
from liverplan.volume import BoolArray, FloatArray

FAR_MM = 40.0
"""Tissue farther than this from every branch is not served by what the mask shows: a neighbour only inherits it."""
MOST_FAR_SHARE = 0.15


def graded(value: float, least: float, sure: float, why: str) -> float:
    """0.5 at `least` to 1 at `sure` and beyond, linear between. Raises Unnamable(why) below `least`.

    `sure` may lie below `least`: then smaller is better.
    """
    grade = (value - least) / (sure - least)
    if not grade >= 0.0:
        raise Unnamable(why)
    return 0.5 + 0.5 * min(grade, 1.0)


@dataclass(frozen=True)
class Limb:
    """The subtree below `start`: its share of the liver (0 to 1), the centre of the tissue that it serves, the centre
    of its own nodes (LPS mm), and the share of its tissue that lies far from every node."""

    start: int
    nodes: BoolArray
    share: float
    tissue_lps_mm: FloatArray
    course_lps_mm: FloatArray
    far_share: float


@dataclass(frozen=True)
class Fork:
    """Where limbs part. path: nodes from where the walk began to the fork; length_mm along it. limbs: two or more,
    none when the path ends without a fork."""

    path: tuple[int, ...]
    length_mm: float
    limbs: tuple[Limb, ...]

    @property
    def node(self) -> int:
        return self.path[-1]


@dataclass(frozen=True)
class Served:
    """A tree and the liver's tissue that hangs on it.

    points_lps_mm: (N, 3), volume_ml: (N,). node: (N,) the node that serves each point. share: (nodes,) part of the
    liver served by the subtree below each node. low, high: (3,) the liver's box without its outermost 1 %.
    """

    tree: VesselTree
    points_lps_mm: FloatArray
    volume_ml: FloatArray
    node: IntArray
    share: FloatArray
    children: tuple[tuple[int, ...], ...]
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, tree: VesselTree, points_lps_mm: FloatArray, volume_ml: FloatArray, node: IntArray | None) -> Served:
        """Raises Unnamable for an empty liver."""
        if len(volume_ml) == 0 or volume_ml.sum() <= 0:
            raise Unnamable("there is no liver tissue to tell the branches by")
        served_by = tree.nearest_node(points_lps_mm) if node is None else node
        share = np.bincount(served_by, volume_ml, len(tree.parent)) / volume_ml.sum()
        children: list[list[int]] = [[] for _ in tree.parent]
        for below in range(len(tree.parent) - 1, -1, -1):
            above = tree.parent[below]
            if above >= 0:
                share[above] += share[below]
                children[above].append(below)
        low, high = np.percentile(points_lps_mm, (1.0, 99.0), axis=0)
        frozen = tuple(tuple(reversed(c)) for c in children)
        return cls(tree, points_lps_mm, volume_ml, served_by, share, frozen, low, high)

    @property
    def size_mm(self) -> FloatArray:
        """Extent of the liver along x, y and z; (3,)."""
        return np.maximum(self.high - self.low, 1e-6)

    @property
    def centre_lps_mm(self) -> FloatArray:
        return np.average(self.points_lps_mm, axis=0, weights=self.volume_ml)

    def limb(self, start: int) -> Limb:
        seed = np.zeros(len(self.tree.parent), dtype=bool)
        seed[start] = True
        nodes = downstream(self.tree, seed)
        course = self.tree.points_lps_mm[nodes].mean(axis=0)
        volume_ml, far_ml, moment = (part[nodes].sum(axis=0) for part in self._by_node)
        if volume_ml <= 0:
            return Limb(start, nodes, 0.0, course, course, 1.0)
        return Limb(start, nodes, float(self.share[start]), moment / volume_ml, course, float(far_ml / volume_ml))

    @cached_property
    def _by_node(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of the tissue at each node: mL (nodes,), mL that lies far from it (nodes,), mL times place (nodes, 3)."""
        count = len(self.tree.parent)
        off = np.linalg.norm(self.points_lps_mm - self.tree.points_lps_mm[self.node], axis=1)
        volume, far = (np.bincount(self.node, ml, count) for ml in (self.volume_ml, self.volume_ml * (off > FAR_MM)))
        moment = [np.bincount(self.node, self.volume_ml * axis, count) for axis in self.points_lps_mm.T]
        return np.asarray(volume, float), np.asarray(far, float), np.stack(moment, axis=1).astype(float)

    def fork(self, start: int, least_share: float, together_mm: float = 0.0) -> Fork:
        """Down from `start` to where two or more limbs part that each serve at least `least_share` of the liver.

        Lesser side branches are passed by. Limbs that part again within `together_mm` part in one place.
        """
        path, length = self._walk(start, least_share)
        starts = self._heavy(path[-1], least_share)
        while together_mm > 0.0:
            split = {s: self._walk(s, least_share) for s in starts}
            near = [
                s
                for s, (way, mm) in split.items()
                if mm + self._step(s) <= together_mm and len(self._heavy(way[-1], least_share)) > 1
            ]
            if not near:
                break
            together_mm -= min(split[s][1] + self._step(s) for s in near)
            starts = [b for s in starts for b in (self._heavy(split[s][0][-1], least_share) if s in near else [s])]
        return Fork(tuple(path), length, tuple(self.limb(s) for s in starts))

    def require_reached(self, limb: Limb, what: str) -> float:
        """Grade of the limb's reach. Raises Unnamable when much of its tissue lies far from every branch."""
        why = f"{what} is not reached by the branches in the mask ({100 * limb.far_share:.0f} % of it lies beyond"
        return graded(limb.far_share, MOST_FAR_SHARE, 0.02, f"{why} {FAR_MM:.0f} mm)")

    def require_right_side_larger(self) -> float:
        """Grade of the liver's own asymmetry. Raises Unnamable when its bulk does not lie on the patient's right."""
        bulk = (self.centre_lps_mm[0] - self.low[0]) / self.size_mm[0]
        return graded(
            bulk, 0.5, 0.45, "the liver's bulk does not lie on the patient's right: mirrored, resected or very unusual"
        )

    def _walk(self, start: int, least_share: float) -> tuple[list[int], float]:
        path, length = [start], 0.0
        while len(heavy := self._heavy(path[-1], least_share)) == 1:
            path.append(heavy[0])
            length += self._step(heavy[0])
        return path, length

    def _heavy(self, node: int, least_share: float) -> list[int]:
        return [c for c in self.children[node] if self.share[c] >= least_share]

    def _step(self, node: int) -> float:
        above = self.tree.parent[node]
        points = self.tree.points_lps_mm
        return 0.0 if above < 0 else float(np.linalg.norm(points[node] - points[above]))
