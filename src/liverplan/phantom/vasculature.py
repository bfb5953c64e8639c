"""The vena cava and the two trees inside a liver, in the anatomy that surgery plans with.

Portal: a 12 mm trunk of about 55 mm climbs from below and left to the hilum and forks into a right (65 % of the flow)
and a left branch. Hepatic: right, middle and left veins converge on the vena cava under the dome, the middle and left
through a common trunk in 80 % of patients, and an inferior right vein in 27 % (the project's clinical reference,
sections 3.2 and 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverplan.phantom.organs import TreeShape
from liverplan.phantom.shapes import Carved, Common, HalfSpace, Shape, sobol_points, tight_box
from liverplan.phantom.trees import Tree, disentangle, grow_tree
from liverplan.quantity import Point
from liverplan.volume import FloatArray

MURRAY_EXPONENT = 2.8
PORTAL_RADIUS_MM = 6.0
CAVA_RADIUS_MM = 12.5
TREE_CLEARANCE_MM = 0.8
_PORTAL_LEAVES = 110
_HEPATIC_LEAVES = 150
_HEPATIC_LEAF_RADIUS_MM = 1.1
_RIGHT_SHARE = 0.65
_HEPATIC_SHARES = (0.43, 0.34, 0.23)
"""Right, middle, left hepatic vein: share of the liver drained (Tani 2016: 39.6 + 7.0 accessory, 32.7, 20.7 %)."""


@dataclass(frozen=True)
class Vasculature:
    """The liver with the vena cava taken out of it, and what flows through."""

    liver: Shape
    portal: Tree
    hepatic: Tree
    vena_cava: Tree


def grow_vasculature(outline: Shape, rng: np.random.Generator, exponent: float = MURRAY_EXPONENT) -> Vasculature:
    """Vena cava, portal and hepatic tree for a liver outline in the body frame of `organs`."""
    cava = vena_cava()
    liver = Carved(outline, (TreeShape(cava),), 0.0)
    low, high = tight_box(liver)
    cloud = sobol_points(low, high, 14, int(rng.integers(2**31)))
    cloud = cloud[liver.signed_mm(cloud) < 0]
    portal = _portal(liver, cloud, rng, exponent)
    hepatic = _hepatic(liver, cava, cloud, rng, exponent)
    portal, hepatic = disentangle(portal, hepatic, liver.signed_mm, TREE_CLEARANCE_MM, murray_exponent=exponent)
    return Vasculature(liver, portal, hepatic, cava)


def vena_cava() -> Tree:
    """A gently curved tube from below the liver to the right atrium, on the right of the spine."""
    z = np.arange(-160.0, 121.0, 20.0)
    axis = np.stack([-21.0 - 4.0 * np.cos(z / 60.0), 42.0 - 5.0 * ((z - 10.0) / 80.0) ** 2 * (z > 10), z], 1)
    return chain(axis, CAVA_RADIUS_MM)


def chain(points: FloatArray, radius_mm: float) -> Tree:
    """A tree without branches through points (N, 3)."""
    count = len(points) - 1
    return Tree(points[:-1], points[1:], np.full(count, radius_mm), np.arange(-1, count - 1, dtype=np.int32))


def _portal(liver: Shape, cloud: FloatArray, rng: np.random.Generator, exponent: float) -> Tree:
    hilum = _hilum(liver)
    below = hilum + np.array([34.0, 6.0, -46.0]) + rng.normal(0, 2.0, 3)
    trunk = chain(_bezier(below, hilum + np.array([9.0, 3.0, -22.0]), hilum, 10), PORTAL_RADIUS_MM)
    right_leaves = round(_PORTAL_LEAVES * _RIGHT_SHARE)
    plane_x = float(np.quantile(cloud[:, 0], _RIGHT_SHARE))
    point, right_radius = (plane_x, 0.0, 0.0), PORTAL_RADIUS_MM * _RIGHT_SHARE ** (1 / exponent)
    right = Common((liver, HalfSpace(point, (1.0, 0.0, 0.0))))
    left = Common((liver, HalfSpace(point, (-1.0, 0.0, 0.0))))
    left_radius = PORTAL_RADIUS_MM * (1 - _RIGHT_SHARE) ** (1 / exponent)
    left_leaves = _PORTAL_LEAVES - right_leaves
    right_tree = grow_tree(
        right.signed_mm, hilum, (-1.0, 0.1, 0.25), right_radius, right_leaves, rng, exponent, min_radius_mm=0.9
    )
    left_tree = grow_tree(
        left.signed_mm, hilum, (1.0, -0.5, 0.35), left_radius, left_leaves, rng, exponent, min_radius_mm=0.9
    )
    fork = len(trunk) - 1
    return trunk.followed_by(right_tree, fork).followed_by(left_tree, fork)


def _hilum(liver: Shape) -> FloatArray:
    """The fork of the portal vein: 9 mm deep in the visceral face, in front of the vena cava."""
    climb = np.array([-20.0, 10.0, -70.0]) + np.arange(0.0, 100.0, 0.5)[:, None] * np.array([0.0, 0.0, 1.0])
    deep = np.flatnonzero(liver.signed_mm(climb) < -9.0)
    if deep.size == 0:
        raise ValueError("the liver has no hilum in front of the vena cava")
    return np.asarray(climb[deep[0]])


def _hepatic(liver: Shape, cava: Tree, cloud: FloatArray, rng: np.random.Generator, exponent: float) -> Tree:
    height = _confluence_height(liver, cava)
    centre = _axis_at(cava, height)
    azimuth = np.arctan2(cloud[:, 1] - centre[1], -(cloud[:, 0] - centre[0]))  # 0 to the right, negative in front
    azimuth = np.where(azimuth > np.pi / 2, azimuth - 2 * np.pi, azimuth)
    cuts = np.quantile(-azimuth, np.cumsum(_HEPATIC_SHARES)[:2])
    right, middle, left = (_wedge(liver, centre, a, b) for a, b in ((None, cuts[0]), tuple(cuts), (cuts[1], None)))
    leaves = [round(_HEPATIC_LEAVES * share) for share in _HEPATIC_SHARES]
    radii = [_HEPATIC_LEAF_RADIUS_MM * n ** (1 / exponent) for n in leaves]

    def vein(domain: Shape, root: FloatArray, direction: FloatArray, number: int) -> Tree:
        return grow_tree(domain.signed_mm, root, direction, radii[number], leaves[number], rng, exponent, 0.9)

    way = np.array([-0.95, -0.3, -0.35])
    tree = vein(right, _ostium(centre, way, radii[0]), way, 0)
    if rng.random() < 0.8:
        common_radius = (radii[1] ** exponent + radii[2] ** exponent) ** (1 / exponent)
        start = _ostium(centre, np.array([0.25, -0.95, 0.0]), common_radius)
        end = start + np.array([3.0, -17.0, -3.0])
        trunk = chain(np.linspace(start, end, 4), common_radius)
        at = len(tree) + len(trunk) - 1
        tree = tree.followed_by(trunk)
        tree = tree.followed_by(vein(middle, end, np.array([-0.45, -0.7, -0.6]), 1), at)
        tree = tree.followed_by(vein(left, end, np.array([0.8, -0.6, -0.1]), 2), at)
    else:
        for domain, heading, number in ((middle, (-0.15, -0.95, -0.3), 1), (left, (0.75, -0.65, 0.0), 2)):
            direction = np.array(heading)
            tree = tree.followed_by(vein(domain, _ostium(centre, direction, radii[number]), direction, number))
    return tree if rng.random() >= 0.27 else _with_inferior_right(tree, liver, cava, rng, exponent)


def _with_inferior_right(tree: Tree, liver: Shape, cava: Tree, rng: np.random.Generator, exponent: float) -> Tree:
    """A 5 mm vein that drains the lower right part straight into the vena cava."""
    centre, leaves = _axis_at(cava, -12.0), 14
    low_right = Common((liver, HalfSpace((float(centre[0]) - 14.0, 0.0, 0.0), (1.0, 0.0, 0.0)), _below(-22.0)))
    radius, way = _HEPATIC_LEAF_RADIUS_MM * leaves ** (1 / exponent), np.array([-0.9, 0.0, -0.3])
    root = _ostium(centre, way, radius)
    return tree.followed_by(grow_tree(low_right.signed_mm, root, way, radius, leaves, rng, exponent, 0.9))


def _below(height_mm: float) -> HalfSpace:
    return HalfSpace((0.0, 0.0, height_mm), (0.0, 0.0, 1.0))


def _wedge(liver: Shape, centre: FloatArray, first: float | None, last: float | None) -> Common:
    """The liver between two upright half planes through the vena cava; angles from the right towards the front."""
    here = (float(centre[0]), float(centre[1]), 0.0)
    parts: list[Shape] = [liver]
    for angle, side in ((first, 1.0), (last, -1.0)):
        if angle is not None:
            # Unit vector square to the half plane, towards growing angle.
            ahead: Point = (float(np.sin(angle)), float(-np.cos(angle)), 0.0)
            parts.append(HalfSpace(here, (-side * ahead[0], -side * ahead[1], 0.0)))
    return Common(tuple(parts))


def _confluence_height(liver: Shape, cava: Tree) -> float:
    """The highest level at which 24 mm of liver in front and to the right of the vena cava is 14 mm deep."""
    heights = np.arange(80.0, 0.0, -1.0)
    axis = np.array([_axis_at(cava, h) for h in heights])
    beside = liver.signed_mm(axis + np.array([-26.0, -14.0, 0.0]))
    front = liver.signed_mm(axis + np.array([4.0, -28.0, 0.0]))
    good = np.flatnonzero((beside < -12.0) & (front < -12.0))
    if good.size == 0:
        raise ValueError("the liver has no room for the confluence of its veins")
    return float(heights[good[0]])


def _axis_at(cava: Tree, height_mm: float) -> FloatArray:
    points = np.concatenate([cava.start_mm, cava.end_mm[-1:]])
    return np.array([np.interp(height_mm, points[:, 2], points[:, a]) for a in range(3)])


def _ostium(centre: FloatArray, way: FloatArray, radius_mm: float) -> FloatArray:
    """A start so deep in the vena cava that the vein's round end stays inside it."""
    flat = way * np.array([1.0, 1.0, 0.0])
    return np.asarray(centre + flat / np.linalg.norm(flat) * (CAVA_RADIUS_MM - radius_mm - 0.3))


def _bezier(start: FloatArray, bend: FloatArray, end: FloatArray, segments: int) -> FloatArray:
    t = np.linspace(0.0, 1.0, segments + 1)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)
