"""An estimate of the Couinaud segments from the named trees, where nobody has drawn them.

Portal territories come first, because a segment is what its portal branch feeds; the hepatic veins and the level of the
right portal fork divide what the portal branches leave together:

    right anterior branch      5 below the level of the right portal fork, 8 above it
    right posterior branch     6 below, 7 above
    right portal vein alone    front and back parted by the upright plane through confluence and right hepatic vein
    left portal vein           branches to 2, 3 and 4 where they are named; elsewhere 4 where the middle hepatic vein
                               drains, and behind and above the left hepatic vein 2, in front of and below it 3
    segment 1                  beside the vena cava, behind the line from the left portal vein's origin to the middle
                               hepatic vein's

Flat Couinaud planes and portal territories disagree in health by a quarter of a segment's volume and more (the
project's clinical reference, section 3.2): this is an estimate, not a map, and a given map comes before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from liverplan.naming.names import (
    COMMON_TRUNK,
    CONFLUENCE,
    LEFT_HEPATIC,
    LEFT_PORTAL,
    MIDDLE_HEPATIC,
    RIGHT_ANTERIOR,
    RIGHT_HEPATIC,
    RIGHT_PORTAL,
    RIGHT_POSTERIOR,
    SEGMENT_2,
    SEGMENT_3,
    SEGMENT_4,
    TreeNames,
)
from liverplan.vessels import IntArray
from liverplan.volume import BoolArray, FloatArray

SegmentArray = npt.NDArray[np.uint8]

SEGMENTS = tuple(range(1, 9))
CAUDATE_RIGHT_MM = 12.0
CAUDATE_LEFT_MM = 35.0
"""Segment 1 reaches from the vena cava's right border to this far left of its middle (half a vena cava of 24 mm, and
the caudate lobe's usual width)."""
CAUDATE_BELOW_MM = 15.0
"""It reaches so far below the hilum: the caudate and papillary process."""
CAVA_BEHIND_OSTIA_MM = 10.0
"""The vena cava's axis lies about its radius (clinical reference 3.3) behind the main veins' mean ostium."""
TERRITORY, PLANE, CAUDATE = 0.8, 0.6, 0.4
"""Grades of the ways a border is found, judged and not measured: a named branch's territory; a plane or a level; the
caudate lobe's box. A segment's confidence is the least grade of its borders and of the names that they rest on."""


@dataclass(frozen=True)
class SegmentEstimate:
    """labels: (N,) 1 to 8, 0 where it cannot be told. confidence: 0 to 1 per segment that was labelled, absent where
    it was not. basis: per segment what its borders rest on. note: why nothing or not everything is labelled."""

    labels: SegmentArray
    confidence: Mapping[int, float]
    basis: Mapping[int, str]
    note: str | None = None


def estimate_segments(
    points_lps_mm: FloatArray,
    portal: TreeNames,
    hepatic: TreeNames,
    portal_node: IntArray | None = None,
    hepatic_node: IntArray | None = None,
) -> SegmentEstimate:
    """Segments of points (N, 3) LPS mm in the liver, from both trees' names (see `liverplan.naming`).

    portal_node, hepatic_node: (N,) the tree's node nearest to each point where it is known already.
    Without a named portal tree nothing is labelled; without named hepatic veins what needs them stays 0.
    """
    work = _Estimate(points_lps_mm, portal, hepatic, portal_node, hepatic_node)
    if not portal.named:
        return work.done(f"the portal branches are not named: {portal.note}")
    work.right()
    work.left()
    work.caudate()
    return work.done(None if hepatic.named else f"the hepatic veins are not named: {hepatic.note}")


class _Estimate:
    """Labels under construction."""

    def __init__(
        self,
        points: FloatArray,
        portal: TreeNames,
        hepatic: TreeNames,
        portal_node: IntArray | None,
        hepatic_node: IntArray | None,
    ) -> None:
        self.points, self.portal, self.hepatic = points, portal, hepatic
        self.labels = np.zeros(len(points), dtype=np.uint8)
        self.confidence: dict[int, float] = {}
        self.basis: dict[int, str] = {}
        self._portal_node = portal_node
        self._hepatic_node = hepatic_node

    def done(self, note: str | None) -> SegmentEstimate:
        there = set(np.unique(self.labels).tolist()) - {0}
        confidence = {s: c for s, c in sorted(self.confidence.items()) if s in there}
        basis = {s: self.basis[s] for s in confidence}
        return SegmentEstimate(self.labels, MappingProxyType(confidence), MappingProxyType(basis), note)

    def right(self) -> None:
        """5 to 8."""
        if self.portal.has(RIGHT_ANTERIOR):
            names: tuple[str, ...] = (RIGHT_ANTERIOR, RIGHT_POSTERIOR)
            front, back = self.front_and_back()
            level = float(np.mean([self.origin(self.portal, name)[2] for name in names]))
            how, grade = "territory of the {} branch, divided at the level of the right portal fork", PLANE
        elif self.hepatic.named:
            whole = self.fed_by(RIGHT_PORTAL)
            behind = self.behind_right_vein()
            front, back = whole & ~behind, whole & behind
            names = (RIGHT_PORTAL,)
            level = float(self.portal.tree.points_lps_mm[self.portal.nodes(RIGHT_PORTAL)][:, 2].mean())
            how = "territory of the right portal vein, its {} part parted by the right hepatic vein's plane, "
            how, grade = how + "divided at the level of the right portal vein", PLANE * PLANE
        else:
            return
        above = self.points[:, 2] > level
        sure = min(self.portal.confidence[name] for name in names)
        for segment, where in ((5, front & ~above), (8, front & above), (6, back & ~above), (7, back & above)):
            self.label(segment, where, min(grade, sure), how.format("anterior" if segment in (5, 8) else "posterior"))

    def left(self) -> None:
        """2 to 4."""
        whole = self.fed_by(LEFT_PORTAL)
        told = np.zeros(len(self.points), dtype=bool)
        if self.hepatic.named:
            fourth = whole & self.drained_by_middle()
            lateral = whole & ~fourth
            second = lateral & self.behind_left_vein()
            sure = min(self.portal.confidence[LEFT_PORTAL], self.hepatic.confidence[MIDDLE_HEPATIC])
            lateral_sure = min(sure, self.hepatic.confidence[LEFT_HEPATIC])
            how = "territory of the left portal vein {}"
            self.label(4, fourth, min(PLANE, sure), how.format("that the middle hepatic vein drains"))
            self.label(2, second, min(PLANE, lateral_sure), how.format("behind and above the left hepatic vein"))
            self.label(3, lateral & ~second, min(PLANE, lateral_sure), how.format("in front of the left hepatic vein"))
        for segment, name in ((2, SEGMENT_2), (3, SEGMENT_3), (4, SEGMENT_4)):
            if self.portal.has(name):
                mine = self.fed_by(name) & ~told
                told |= mine
                grade = min(TERRITORY, self.portal.confidence[name])
                self.label(segment, mine, grade, f"territory of the {name}, the rest as the hepatic veins drain")

    def caudate(self) -> None:
        """1: behind the line from the left portal vein's origin to the middle hepatic vein's, beside the vena cava."""
        if not self.hepatic.named:
            return
        hilum, confluence = self.origin(self.portal, LEFT_PORTAL), self.confluence()
        ostium = self.origin(self.hepatic, COMMON_TRUNK if self.hepatic.has(COMMON_TRUNK) else MIDDLE_HEPATIC)
        rise = max(float(ostium[2] - hilum[2]), 1.0)
        up = np.clip((self.points[:, 2] - hilum[2]) / rise, 0.0, 1.0)
        line_y = hilum[1] + up * (ostium[1] - hilum[1])
        beside = self.points[:, 0] - confluence[0]
        where = (
            (self.points[:, 1] > line_y)
            & (beside > -CAUDATE_RIGHT_MM)
            & (beside < CAUDATE_LEFT_MM)
            & (self.points[:, 2] > hilum[2] - CAUDATE_BELOW_MM)
            & (self.points[:, 2] < ostium[2])
        )
        sure = min(self.portal.confidence[LEFT_PORTAL], self.hepatic.confidence[MIDDLE_HEPATIC])
        self.label(1, where, min(CAUDATE, sure), "between hilum, confluence and vena cava, by position alone")

    def label(self, segment: int, where: BoolArray, grade: float, basis: str) -> None:
        if where.any():
            self.labels[where] = segment
            self.confidence[segment] = min(grade, self.confidence.get(segment, 1.0))
            self.basis[segment] = basis

    # ------------------------------------------------------------------------------------------------ geometry

    def fed_by(self, name: str) -> BoolArray:
        """Points whose nearest portal node hangs on a named branch."""
        if self._portal_node is None:
            self._portal_node = self.portal.tree.nearest_node(self.points)
        return np.asarray(np.isin(self._portal_node, self.portal.subtree(name)))

    def front_and_back(self) -> tuple[BoolArray, BoolArray]:
        """Territories of the right anterior and posterior branch; what hangs on the right portal vein before it parts
        goes to the nearer of the two."""
        front, back = self.fed_by(RIGHT_ANTERIOR), self.fed_by(RIGHT_POSTERIOR)
        if self.portal.has(RIGHT_PORTAL):
            between = self.fed_by(RIGHT_PORTAL) & ~front & ~back
            off = [self.off(RIGHT_ANTERIOR, between), self.off(RIGHT_POSTERIOR, between)]
            front[between] = off[0] <= off[1]
            back[between] = off[0] > off[1]
        return front, back

    def off(self, name: str, where: BoolArray) -> FloatArray:
        """Distance in mm from some of the points to a named portal branch."""
        course = self.portal.tree.points_lps_mm[self.portal.subtree(name)]
        return np.asarray(cKDTree(course).query(self.points[where])[0])

    def drained_by_middle(self) -> BoolArray:
        """Points that lie nearer to a branch of the middle hepatic vein than to any other."""
        if self._hepatic_node is None:
            self._hepatic_node = self.hepatic.tree.nearest_node(self.points)
        return np.asarray(np.isin(self._hepatic_node, self.hepatic.subtree(MIDDLE_HEPATIC)))

    def origin(self, names: TreeNames, name: str) -> FloatArray:
        """Where a named branch leaves its parent; its first node where it has none."""
        nodes = names.subtree(name)
        above = int(names.tree.parent[nodes[0]])
        return np.asarray(names.tree.points_lps_mm[above if above >= 0 else nodes[0]])

    def confluence(self) -> FloatArray:
        """Mean of the ostia of the named main veins, moved back onto the vena cava's axis; its own height."""
        parts = [n for n in (CONFLUENCE, RIGHT_HEPATIC, MIDDLE_HEPATIC, LEFT_HEPATIC) if self.hepatic.has(n)]
        ostia = [self.origin(self.hepatic, name) for name in parts]
        return np.asarray(np.mean(ostia, axis=0) + np.array([0.0, CAVA_BEHIND_OSTIA_MM, 0.0]))

    def behind_right_vein(self) -> BoolArray:
        """Points behind the upright plane through the confluence and the right hepatic vein's course."""
        centre = self.confluence()
        vein = self.hepatic.tree.points_lps_mm[self.hepatic.nodes(RIGHT_HEPATIC)].mean(axis=0) - centre
        here = self.points - centre
        return np.asarray(vein[1] * here[:, 0] - vein[0] * here[:, 1] > 0)

    def behind_left_vein(self) -> BoolArray:
        """Points behind and above the left hepatic vein: the plane that holds its course, tilted half way between
        upright and level."""
        nodes = self.hepatic.nodes(LEFT_HEPATIC)
        course = self.hepatic.tree.points_lps_mm[nodes]
        start, middle = self.origin(self.hepatic, LEFT_HEPATIC), course.mean(axis=0)
        along = (middle - start) / max(float(np.linalg.norm(middle - start)), 1e-9)
        normal = np.array([0.0, 1.0, 1.0])
        normal -= (normal @ along) * along
        return np.asarray((self.points - middle) @ normal > 0)
