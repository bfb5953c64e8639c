"""Names of the hepatic veins.

Seen from above, around the confluence, the right, the middle and the left hepatic vein drain the liver from the right
over the front to the left. Stretches that meet the vena cava at the confluence are opened fork by fork, nearest first,
until three limbs lie in that order; if none do, or two ways of opening do, no name is given. The stretch that the
middle and the left vein share is their common trunk (60 to 96 % of livers), and a vein that drains the lower right part
straight into the vena cava well below the confluence is an inferior right hepatic vein (27 %; the project's clinical
reference, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from liverplan.naming.limbs import Limb, Served, graded
from liverplan.naming.names import (
    COMMON_TRUNK,
    CONFLUENCE,
    INFERIOR_RIGHT_HEPATIC,
    LEFT_HEPATIC,
    MIDDLE_HEPATIC,
    OTHER_HEPATIC,
    RIGHT_HEPATIC,
    TreeNames,
    Unnamable,
    numbered,
    painted,
)
from liverplan.vessels import IntArray, VesselTree
from liverplan.volume import BoolArray, FloatArray

LEAST_SHARE = 0.08
"""A main hepatic vein drains at least this part of the liver (20 to 40 % each, clinical reference 3.2)."""
CONFLUENCE_MM = 25.0
"""The main veins' ostia lie within this height of the highest one; an inferior right vein's lies lower."""
LONGEST_TRUNK_MM = 45.0
"""A fork farther from the vena cava parts a vein's own tributaries, not two veins."""
SHORTEST_COMMON_TRUNK_MM = 3.0
"""Shorter ones are the veins' touching rims at the vena cava."""
AZIMUTH_DEG = {RIGHT_HEPATIC: (-75.0, 50.0), MIDDLE_HEPATIC: (30.0, 110.0), LEFT_HEPATIC: (90.0, 190.0)}
"""Where each vein's tissue lies from the confluence, seen from above: 0 to the right, 90 in front, 180 to the left."""
LEAST_BETWEEN_DEG = 20.0
LEAST_TOGETHER = 0.75
"""The three veins and the inferior right one drain at least this part of the liver between them."""
INFERIOR_SHARE = 0.02
MOST_INFERIOR_SHARE = 0.25
"""10.6 % on average where there is one (clinical reference 3.2)."""
INFERIOR_RADIUS_MM = 2.0
"""An inferior right hepatic vein counts from 4 mm across (clinical reference 3.3)."""
OSTIUM_MM = 10.0
"""A vein's calibre is read over this first stretch."""
OTHER_WAY_FACTOR = 1.5
"""Two fitting ways of opening the forks are told apart when one's forks lie so much farther out."""
ASSUMED_ROOT_GRADE = 0.6
ORDER = (RIGHT_HEPATIC, MIDDLE_HEPATIC, LEFT_HEPATIC)


@dataclass(frozen=True)
class _Way:
    """A way of opening the forks at the confluence: limbs, how far out their forks lie, and each limb's trunk."""

    starts: tuple[int, ...]
    reach_mm: float
    trunk: dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class _Veins:
    limbs: tuple[Limb, Limb, Limb]
    way: _Way
    grade: float


def name_hepatic(
    tree: VesselTree, liver_points_lps_mm: FloatArray, volume_ml: FloatArray, node: IntArray | None = None
) -> TreeNames:
    """Names of the hepatic veins, from the liver's tissue: points (N, 3) LPS mm with their volumes (N,) in mL.

    node: (N,) the tree's node nearest to each point where it is known already.
    """
    try:
        served = Served.of(tree, liver_points_lps_mm, volume_ml, node)
        return _named(served)
    except Unnamable as reason:
        return numbered(tree, "hepatic vein branch", str(reason))


def _named(served: Served) -> TreeNames:
    root_grade = ASSUMED_ROOT_GRADE if any("assumed" in w for w in served.tree.warnings) else 1.0
    sure = min(root_grade, served.require_right_side_larger())
    roots = [int(r) for r in served.tree.roots]
    heavy = [r for r in roots if served.share[r] >= LEAST_SHARE]
    if not heavy:
        raise Unnamable("no vein that reaches the vena cava drains a sizeable part of the liver")
    height = served.tree.points_lps_mm[:, 2]
    top = max(height[r] for r in heavy)
    high = [r for r in heavy if height[r] >= top - CONFLUENCE_MM]
    weight = np.array([served.share[r] for r in high])
    confluence = np.average(served.tree.points_lps_mm[high], axis=0, weights=weight)
    low = [r for r in roots if height[r] < top - CONFLUENCE_MM]
    _require_no_main_vein_below(served, low)
    inferior = [limb for limb in map(served.limb, low) if _is_inferior_right(served, limb, confluence)]
    veins = _veins(served, tuple(high), confluence)
    together = sum(limb.share for limb in (*veins.limbs, *inferior))
    why = f"the veins that fit drain only {100 * together:.0f} % of the liver"
    sure = min(sure, veins.grade, graded(together, LEAST_TOGETHER, 0.9, why))
    return _painted(served, veins, inferior, sure)


def _require_no_main_vein_below(served: Served, low: list[int]) -> None:
    """A vein below the confluence that drains as much as a main one has one joined to it, by nature or by the mask."""
    largest = max((float(served.share[r]) for r in low), default=0.0)
    why = f"a vein that meets the vena cava far below the others drains {100 * largest:.0f} % of the liver"
    graded(largest, MOST_INFERIOR_SHARE, 0.0, why)


def _is_inferior_right(served: Served, limb: Limb, confluence: FloatArray) -> bool:
    radius = float(np.median(served.tree.radius_mm[_first(served, limb.start)]))
    beside = float(served.tree.points_lps_mm[limb.start][0] - limb.tissue_lps_mm[0])
    angle = _azimuth(limb.tissue_lps_mm, confluence)
    low, high = AZIMUTH_DEG[RIGHT_HEPATIC]
    return (
        limb.share >= INFERIOR_SHARE
        and radius >= INFERIOR_RADIUS_MM
        and beside >= 0.05 * float(served.size_mm[0])
        and low <= angle <= high
        and limb.tissue_lps_mm[2] < served.centre_lps_mm[2]
    )


def _first(served: Served, start: int, length_mm: float = OSTIUM_MM) -> list[int]:
    """Nodes from a root up to `length_mm`, along the side that drains more."""
    points, path, gone = served.tree.points_lps_mm, [start], 0.0
    while gone < length_mm and served.children[path[-1]]:
        path.append(max(served.children[path[-1]], key=lambda child: float(served.share[child])))
        gone += float(np.linalg.norm(points[path[-1]] - points[path[-2]]))
    return path


# -------------------------------------------------------------------------------------------------- three veins


def _veins(served: Served, high: tuple[int, ...], confluence: FloatArray) -> _Veins:
    """The one way of opening the forks that gives the three veins."""
    if len(high) > 3:
        raise Unnamable(f"{len(high)} large veins meet the vena cava at the confluence")
    why = "the veins at the confluence do not drain the right, the front and the left of the liver"
    fitting: list[_Veins] = []
    for way in _ways(served, _Way(high, 0.0, {})):
        try:
            fitting.append(_fit(served, way, confluence))
        except Unnamable as reason:
            why = str(reason)
    if not fitting:
        raise Unnamable(why)
    fitting.sort(key=lambda veins: veins.way.reach_mm)
    best = fitting[0]
    if len(fitting) > 1 and fitting[1].way.reach_mm < OTHER_WAY_FACTOR * best.way.reach_mm + 5.0:
        raise Unnamable("two readings of the veins at the confluence fit equally well")
    return best


def _ways(served: Served, way: _Way) -> list[_Way]:
    """All ways to three limbs by opening forks near the vena cava."""
    if len(way.starts) >= 3:
        return [way] if len(way.starts) == 3 else []
    found: list[_Way] = []
    for start in way.starts:
        fork = served.fork(start, LEAST_SHARE)
        trunk = way.trunk.get(start, ()) + fork.path
        length = _length(served, trunk)
        if not fork.limbs or length > LONGEST_TRUNK_MM:
            continue
        opened = tuple(limb.start for limb in fork.limbs)
        rest = tuple(s for s in way.starts if s != start)
        kept = {s: t for s, t in way.trunk.items() if s != start}
        found += _ways(served, _Way(rest + opened, max(way.reach_mm, length), kept | dict.fromkeys(opened, trunk)))
    return found


def _fit(served: Served, way: _Way, confluence: FloatArray) -> _Veins:
    """The limbs as right, middle and left vein. Raises Unnamable when they do not lie so."""
    limbs = sorted(map(served.limb, way.starts), key=lambda limb: _azimuth(limb.tissue_lps_mm, confluence))
    why = "the veins at the confluence do not drain the right, the front and the left of the liver"
    angles = [_azimuth(limb.tissue_lps_mm, confluence) for limb in limbs]
    grades = [graded(b - a, LEAST_BETWEEN_DEG, 40.0, why) for a, b in pairwise(angles)]
    for name, angle, limb in zip(ORDER, angles, limbs, strict=True):
        low, high = AZIMUTH_DEG[name]
        grades += [graded(angle, low, low + 15.0, why), graded(angle, high, high - 15.0, why)]
        grades += [graded(limb.share, LEAST_SHARE, 0.15, why), served.require_reached(limb, f"what the {name} drains")]
    grades.append(graded(float(limbs[2].course_lps_mm[0] - limbs[1].course_lps_mm[0]), 10.0, 25.0, why))
    grades.append(graded(float(limbs[1].course_lps_mm[0] - limbs[0].course_lps_mm[0]), 0.0, 15.0, why))
    if len({way.trunk.get(limb.start) for limb in limbs[:2]}) == 1 and way.trunk.get(limbs[0].start):
        shared = _length(served, way.trunk[limbs[0].start])
        grades.append(graded(shared, 20.0, 8.0, "the right and the middle hepatic vein share a long trunk"))
    return _Veins((limbs[0], limbs[1], limbs[2]), way, min(grades))


def _azimuth(point: FloatArray, confluence: FloatArray) -> float:
    """Degrees seen from above: 0 to the patient's right of the confluence, 90 in front, 180 left; from -90 to 270."""
    angle = float(np.degrees(np.arctan2(confluence[1] - point[1], confluence[0] - point[0])))
    return angle if angle >= -90.0 else angle + 360.0


def _length(served: Served, path: tuple[int, ...]) -> float:
    return float(np.linalg.norm(np.diff(served.tree.points_lps_mm[list(path)], axis=0), axis=1).sum())


# ----------------------------------------------------------------------------------------------------- painting


def _painted(served: Served, veins: _Veins, inferior: list[Limb], sure: float) -> TreeNames:
    tree = served.tree
    layers: list[tuple[str, BoolArray, float]] = [(OTHER_HEPATIC, np.ones(len(tree.parent), dtype=bool), sure)]
    variants: list[str] = []
    for root in tree.roots:
        below = served.limb(int(root)).nodes
        if any(below[limb.start] for limb in veins.limbs):
            layers.append((CONFLUENCE, below, sure))
    right, middle, left = veins.limbs
    shared = _shared_trunk(veins)
    if shared and _trunk_length_mm(served, shared, middle, left) >= SHORTEST_COMMON_TRUNK_MM:
        layers.append((COMMON_TRUNK, served.limb(shared[0]).nodes, sure))
        variants.append("common trunk of middle and left hepatic vein")
    layers += [(name, limb.nodes, sure) for name, limb in zip(ORDER, (right, middle, left), strict=True)]
    for limb in inferior:
        layers.append((INFERIOR_RIGHT_HEPATIC, limb.nodes, sure))
    if inferior:
        variants.append("inferior right hepatic vein")
    return painted(tree, layers, variants)


def _trunk_length_mm(served: Served, shared: tuple[int, ...], middle: Limb, left: Limb) -> float:
    """Length of the lumen that the middle and the left vein share: the stretch in common, from the ostium, and as far
    beyond as one's axis still lies in the other's lumen, since traced branches part before the lumen does."""
    above = int(served.tree.parent[shared[0]])
    common = shared if above < 0 else (above, *shared)
    points, radius = served.tree.points_lps_mm, served.tree.radius_mm
    one, other = (np.array([common[-1], *_first(served, limb.start, LONGEST_TRUNK_MM)]) for limb in (middle, left))
    off, nearest = cKDTree(points[other]).query(points[one])
    apart = off > np.maximum(radius[one], radius[other[nearest]])
    within = int(apart.argmax()) if apart.any() else len(one)
    return _length(served, common) + _length(served, tuple(one[:within].tolist()))


def _shared_trunk(veins: _Veins) -> tuple[int, ...]:
    """What only the middle and the left vein share: their trunk without what the right vein shares too."""
    right, middle, left = (veins.way.trunk.get(limb.start, ()) for limb in veins.limbs)
    if not middle or middle != left:
        return ()
    return tuple(node for node in middle if node not in set(right))
