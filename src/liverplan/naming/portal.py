"""Names of the portal tree.

The first fork that parts at least LEAST_SHARE of the liver each way is the hilum. Two limbs are the right and the left
portal vein; three are a trifurcation; a small right limb before the fork is the right posterior branch that leaves the
main trunk (variants and their frequencies: 75, 10 and 8 %, the project's clinical reference, section 3.3). Right of the
hilum the anterior and posterior branch part from front to back. On the left the umbilical portion runs forward from the
elbow; branches to segment 4 leave it towards the right, to 2 and 3 towards the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverplan.naming.limbs import Fork, Limb, Served, graded
from liverplan.naming.names import (
    LEFT_PORTAL,
    MAIN_PORTAL,
    RIGHT_ANTERIOR,
    RIGHT_PORTAL,
    RIGHT_POSTERIOR,
    SEGMENT_2,
    SEGMENT_3,
    SEGMENT_4,
    UMBILICAL,
    TreeNames,
    Unnamable,
    numbered,
    painted,
)
from liverplan.vessels import IntArray, VesselTree
from liverplan.volume import BoolArray, FloatArray

LEAST_SHARE = 0.08
"""A limb at the hilum serves at least this part of the liver: more than the caudate lobe, less than any section."""
RIGHT_SHARE = (0.40, 0.85)
"""The right liver's part of the whole: 65 +/- 4.5 % in health (clinical reference 3.2), wider because disease and
earlier chemotherapy shift it."""
TOGETHER_MM = 4.0
TOGETHER_RADII = 0.8
"""Forks nearer to each other than this, or than so many radii of the trunk, are one fork: a traced branch leaves its
parent's axis up to a radius beside the true place."""
LEAST_APART = 0.15
"""Right and left limbs serve tissue whose centres lie at least this part of the liver's width apart."""
LONGEST_TRUNK_BETWEEN_MM = 40.0
"""The trunk between an early right posterior branch and the fork into right anterior and left; longer is no hilum."""
LONGEST_RIGHT_TRUNK_MM = 50.0
LEAST_FRONT_TO_BACK = 0.10
"""Anterior and posterior branch serve tissue whose centres lie at least this part of the liver's depth apart."""
LEAST_PART = 0.20
"""Of the right liver, for the anterior and posterior branch."""
LEFT_PART = 0.10
"""Of the left liver, for its segmental branches."""
LEAST_FORWARD = 0.6
"""Cosine between the umbilical portion and straight forward."""
SHORTEST_UMBILICAL_MM = 8.0
LEAST_BESIDE_MM = 6.0
"""A segmental branch of the left liver leads this far to one side of where it leaves."""
MOST_LATERAL_SHARE = 0.15
"""Segments 2 and 3 hold less than 10 % of the liver each (clinical reference 3.2), half as much again at the most: a
larger limb serves both."""
ASSUMED_ROOT_GRADE = 0.6
"""Most that a tree's names reach when its root had to be assumed."""

_Layer = tuple[str, BoolArray, float]


@dataclass(frozen=True)
class _Hilum:
    """Right limb (None where there is no right trunk), anterior and posterior (None where not told yet), left limb."""

    right: Limb | None
    anterior: Limb | None
    posterior: Limb | None
    left: Limb
    place: FloatArray
    grade: float
    variants: tuple[str, ...] = ()


def name_portal(
    tree: VesselTree, liver_points_lps_mm: FloatArray, volume_ml: FloatArray, node: IntArray | None = None
) -> TreeNames:
    """Names of a portal tree, from the liver's tissue: points (N, 3) LPS mm with their volumes (N,) in mL.

    node: (N,) the tree's node nearest to each point where it is known already.
    """
    try:
        served = Served.of(tree, liver_points_lps_mm, volume_ml, node)
        return _named(served)
    except Unnamable as reason:
        return numbered(tree, "portal branch", str(reason))


def _named(served: Served) -> TreeNames:
    if len(served.tree.roots) != 1:
        raise Unnamable("the portal tree has more than one root")
    root_grade = ASSUMED_ROOT_GRADE if any("assumed" in w for w in served.tree.warnings) else 1.0
    sure = min(root_grade, served.require_right_side_larger())
    hilum = _hilum(served)
    sure = min(sure, hilum.grade)
    layers: list[_Layer] = [(MAIN_PORTAL, np.ones(len(served.tree.parent), dtype=bool), sure)]
    right, remarks = _right(served, hilum, sure)
    left, left_remarks = _left(served, hilum.left, sure)
    return painted(served.tree, layers + right + left, hilum.variants, remarks + left_remarks)


# ------------------------------------------------------------------------------------------------------- hilum


def _hilum(served: Served) -> _Hilum:
    root = int(served.tree.roots[0])
    first = _fork(served, root)
    if len(first.limbs) < 2:
        raise Unnamable("the portal tree has no fork that parts the liver: only one side of it is in the mask")
    if len(first.limbs) > 3:
        raise Unnamable(f"the portal vein parts into {len(first.limbs)} branches at once")
    limbs = sorted(first.limbs, key=lambda limb: float(limb.tissue_lps_mm[0]))
    place = served.tree.points_lps_mm[first.node]
    if len(limbs) == 3:
        return _trifurcation(served, limbs, place)
    if limbs[0].share < RIGHT_SHARE[0]:
        return _early_posterior(served, limbs[0], limbs[1])
    return _bifurcation(served, limbs[0], limbs[1], place)


def _fork(served: Served, start: int) -> Fork:
    plain = served.fork(start, LEAST_SHARE)
    radius = float(served.tree.radius_mm[list(plain.path[-12:])].mean())
    return served.fork(start, LEAST_SHARE, max(TOGETHER_MM, TOGETHER_RADII * radius))


def _bifurcation(served: Served, right: Limb, left: Limb, place: FloatArray) -> _Hilum:
    grades = (
        _right_share(right.share),
        _apart(served, [right], left, place),
        served.require_reached(right, "the right side of the liver"),
        served.require_reached(left, "the left side of the liver"),
    )
    return _Hilum(right, None, None, left, place, min(grades))


def _trifurcation(served: Served, limbs: list[Limb], place: FloatArray) -> _Hilum:
    """Three limbs at one place: two right ones and the left. Sorted from right to left."""
    anterior, posterior = sorted(limbs[:2], key=lambda limb: float(limb.tissue_lps_mm[1]))
    left = limbs[2]
    return _without_right_trunk(served, anterior, posterior, left, place, "trifurcation: no right portal trunk")


def _early_posterior(served: Served, posterior: Limb, rest: Limb) -> _Hilum:
    """A small right limb first: right posterior from the main trunk, when the rest then parts into right and left."""
    second = _fork(served, rest.start)
    if len(second.limbs) != 2 or second.length_mm > LONGEST_TRUNK_BETWEEN_MM:
        raise Unnamable(
            f"the limb to the right of the first fork serves only {100 * posterior.share:.0f} % of the liver, and the "
            "other does not part into a right and a left one"
        )
    anterior, left = sorted(second.limbs, key=lambda limb: float(limb.tissue_lps_mm[0]))
    place = served.tree.points_lps_mm[second.node]
    variant = "right posterior branch from the main trunk"
    return _without_right_trunk(served, anterior, posterior, left, place, variant)


def _without_right_trunk(
    served: Served, anterior: Limb, posterior: Limb, left: Limb, place: FloatArray, variant: str
) -> _Hilum:
    grades = (
        _right_share(anterior.share + posterior.share),
        _apart(served, [anterior, posterior], left, place),
        _together(served, anterior, posterior, left),
        _front_to_back(served, anterior, posterior),
        *(served.require_reached(limb, "part of the liver") for limb in (anterior, posterior, left)),
    )
    return _Hilum(None, anterior, posterior, left, place, min(grades), (variant,))


def _right_share(share: float) -> float:
    low, high = RIGHT_SHARE
    why = f"the limbs on the right serve {100 * share:.0f} % of the liver, which no known pattern fits"
    return min(graded(share, low, low + 0.12, why), graded(share, high, high - 0.08, why))


def _apart(served: Served, right: list[Limb], left: Limb, place: FloatArray) -> float:
    """Right and left tissue lie apart, and the vessels themselves lead to either side of the fork."""
    width, why = float(served.size_mm[0]), "the limbs at the first fork do not part to the right and to the left"
    grades = []
    for limb in right:
        for a, b in ((limb.tissue_lps_mm, left.tissue_lps_mm), (limb.course_lps_mm, left.course_lps_mm)):
            grades.append(graded(float(b[0] - a[0]) / width, LEAST_APART, 0.28, why))
        grades.append(graded(float(place[0] - limb.course_lps_mm[0]) / width, 0.03, 0.08, why))
    grades.append(graded(float(left.course_lps_mm[0] - place[0]) / width, 0.01, 0.05, why))
    return min(grades)


def _together(served: Served, anterior: Limb, posterior: Limb, left: Limb) -> float:
    """From right to left the anterior limb lies nearer to the posterior than to the left one."""
    x = [float(limb.tissue_lps_mm[0]) for limb in (anterior, posterior, left)]
    nearer = (abs(x[2] - x[0]) - abs(x[0] - x[1])) / float(served.size_mm[0])
    return graded(nearer, 0.05, 0.15, "a branch at the hilum lies between the right and the left side")


def _front_to_back(served: Served, anterior: Limb, posterior: Limb) -> float:
    why = "the two right branches do not lie one in front of the other"
    depth = float(served.size_mm[1])
    return min(
        graded(float(b[1] - a[1]) / depth, least, sure, why)
        for a, b, least, sure in (
            (anterior.tissue_lps_mm, posterior.tissue_lps_mm, LEAST_FRONT_TO_BACK, 0.2),
            (anterior.course_lps_mm, posterior.course_lps_mm, 0.04, 0.12),
        )
    )


# ------------------------------------------------------------------------------------------------------- right


def _right(served: Served, hilum: _Hilum, sure: float) -> tuple[list[_Layer], list[str]]:
    if hilum.right is None:
        assert hilum.anterior is not None
        assert hilum.posterior is not None
        return _sections(hilum.anterior, hilum.posterior, sure), []
    layers: list[_Layer] = [(RIGHT_PORTAL, hilum.right.nodes, sure)]
    try:
        anterior, posterior, grade = _anterior_and_posterior(served, hilum.right)
    except Unnamable as reason:
        return layers, [f"right anterior and right posterior branch are not told apart: {reason}"]
    return layers + _sections(anterior, posterior, min(sure, grade)), []


def _sections(anterior: Limb, posterior: Limb, sure: float) -> list[_Layer]:
    return [(RIGHT_ANTERIOR, anterior.nodes, sure), (RIGHT_POSTERIOR, posterior.nodes, sure)]


def _anterior_and_posterior(served: Served, right: Limb) -> tuple[Limb, Limb, float]:
    fork = served.fork(right.start, LEAST_PART * right.share)
    if len(fork.limbs) != 2:
        raise Unnamable(f"the right portal vein parts into {max(len(fork.limbs), 1)} at once")
    if fork.length_mm > LONGEST_RIGHT_TRUNK_MM:
        raise Unnamable(f"the right portal vein parts only after {fork.length_mm:.0f} mm")
    anterior, posterior = sorted(fork.limbs, key=lambda limb: float(limb.tissue_lps_mm[1]))
    return anterior, posterior, _front_to_back(served, anterior, posterior)


# -------------------------------------------------------------------------------------------------------- left


def _left(served: Served, left: Limb, sure: float) -> tuple[list[_Layer], list[str]]:
    layers: list[_Layer] = [(LEFT_PORTAL, left.nodes, sure)]
    try:
        elbow, umbilical, grade = _umbilical(served, left)
    except Unnamable as reason:
        return layers, [f"the umbilical portion is not told: {reason}"]
    sure = min(sure, grade)
    layers.append((UMBILICAL, umbilical.nodes, sure))
    lateral, remarks = _lateral(served, left, elbow, umbilical, sure)
    return layers + lateral + _medial(served, left, umbilical, sure), remarks


def _umbilical(served: Served, left: Limb) -> tuple[Fork, Limb, float]:
    """The elbow, and the limb that runs forward from it."""
    elbow = served.fork(left.start, LEFT_PART * left.share)
    if not elbow.limbs:
        raise Unnamable("the left portal vein does not part")
    forward = max(elbow.limbs, key=lambda limb: limb.share)
    way = served.fork(forward.start, LEFT_PART * left.share)
    points = served.tree.points_lps_mm
    run = points[way.node] - points[elbow.node]
    length = float(np.linalg.norm(run))
    why = "no branch runs forward from the left portal vein"
    return (
        elbow,
        forward,
        min(
            graded(length, SHORTEST_UMBILICAL_MM, 15.0, why),
            graded(-float(run[1]) / max(length, 1e-9), LEAST_FORWARD, 0.8, why),
            graded(forward.share / left.share, 0.4, 0.6, why),
        ),
    )


def _lateral(served: Served, left: Limb, elbow: Fork, umbilical: Limb, sure: float) -> tuple[list[_Layer], list[str]]:
    """Branches to 2 (to the left, at the elbow) and to 3 (to the left, farther on and farther forward)."""
    second = [limb for limb in elbow.limbs if limb.start != umbilical.start and _beside(served, limb)[0] > 0]
    beyond = [limb for limb in _limbs_along(served, umbilical, LEFT_PART * left.share) if _beside(served, limb)[0] > 0]
    if any(limb.share > MOST_LATERAL_SHARE for limb in second + beyond):
        return [], ["branches to segments 2 and 3 are not told apart: one serves more than a segment"]
    layers = [(SEGMENT_2, limb.nodes, min(sure, _beside(served, limb)[1])) for limb in second]
    for limb in beyond:
        if second and limb.tissue_lps_mm[1] < second[0].tissue_lps_mm[1] - LEAST_BESIDE_MM:
            layers.append((SEGMENT_3, limb.nodes, min(sure, _beside(served, limb)[1])))
    return layers, []


def _medial(served: Served, left: Limb, umbilical: Limb, sure: float) -> list[_Layer]:
    """Branches to 4: those that leave the umbilical portion towards the right."""
    layers: list[_Layer] = []
    for limb in _limbs_along(served, umbilical, LEFT_PART * left.share):
        side, grade = _beside(served, limb)
        if side < 0:
            layers.append((SEGMENT_4, limb.nodes, min(sure, grade)))
    return layers


def _limbs_along(served: Served, umbilical: Limb, least_share: float) -> list[Limb]:
    """The limbs that leave the umbilical portion, and those that it ends in."""
    found: list[Limb] = []
    fork = served.fork(umbilical.start, least_share)
    while fork.limbs:
        onward = max(fork.limbs, key=lambda limb: limb.share)
        found += [limb for limb in fork.limbs if limb is not onward]
        if _beside(served, onward)[0] != 0:
            return [*found, onward]
        fork = served.fork(onward.start, least_share)
    return found


def _beside(served: Served, limb: Limb) -> tuple[int, float]:
    """-1 when a limb and its tissue lie to the right of where it leaves, 1 to the left, 0 if neither; and the grade."""
    from_x = float(served.tree.points_lps_mm[max(int(served.tree.parent[limb.start]), 0)][0])
    sides = np.array([limb.tissue_lps_mm[0], limb.course_lps_mm[0]]) - from_x
    least = float(np.abs(sides).min())
    if np.sign(sides[0]) != np.sign(sides[1]) or least < LEAST_BESIDE_MM:
        return 0, 0.0
    return int(np.sign(sides[0])), graded(least, LEAST_BESIDE_MM, 2 * LEAST_BESIDE_MM, "")
