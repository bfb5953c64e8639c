"""The liver and its neighbours as shapes, in one body frame (LPS mm, origin near the liver's middle).

The liver is a thick right lobe and a tapering left lobe, blended, with the diaphragm's dome above; the visceral face,
the spine's bed and the impressions of right kidney, gall bladder and stomach are carved out below and behind.
Sizes follow the project's clinical reference, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverplan.phantom.shapes import (
    Capsule,
    Carved,
    Ellipsoid,
    HalfSpace,
    Placed,
    Shape,
    SmoothUnion,
    volume_ml,
)
from liverplan.phantom.trees import Tree
from liverplan.quantity import Point
from liverplan.volume import FloatArray

LIVER_ML = (1000.0, 1900.0)
"""Adult liver volumes that phantoms are drawn from (Chinese 1205 +/- 258, Western CRLM cohort 1603 +/- 491)."""


@dataclass(frozen=True)
class TreeShape:
    """A tree's lumen as a shape."""

    tree: Tree

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        low, high = self.box_mm()
        bound = np.linalg.norm(np.maximum(np.maximum(low - points_mm, points_mm - high), 0.0), axis=1)
        near = np.flatnonzero(bound < 25.0)  # farther off, the distance to the box is bound enough
        bound[near] = self.tree.distance_mm(points_mm[near])
        return np.asarray(bound)

    def box_mm(self) -> tuple[FloatArray, FloatArray]:
        ends = np.concatenate([self.tree.start_mm, self.tree.end_mm])
        radius = self.tree.radius_mm.max()
        return ends.min(0) - radius, ends.max(0) + radius


def turned(degrees: Point) -> tuple[Point, Point, Point]:
    """Rows: x, y and z axes turned about z, then y, then x."""
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    rows = (about_x @ about_y @ about_z).T
    return tuple(tuple(float(v) for v in row) for row in rows)  # type: ignore[return-value]


def liver_outline(rng: np.random.Generator) -> Shape:
    """A liver of unit scale before the vena cava is taken out; lobes, tilt and impressions vary a little."""

    def vary(value: float, by: float) -> float:
        return value + by * float(rng.uniform(-1, 1))

    right = Ellipsoid((-62.0, 8.0, 0.0), (vary(60, 4), vary(72, 4), vary(76, 5)), turned((0, vary(4, 4), 0)))
    dome = Ellipsoid((-48.0, -2.0, 22.0), (vary(62, 3), vary(64, 3), vary(52, 3)))
    left = Ellipsoid(
        (vary(24, 4), vary(-34, 3), vary(24, 4)), (vary(76, 9), vary(40, 3), vary(31, 3)), turned((0, vary(-6, 5), 8))
    )
    impressions = (  # the first, a half space, is everything below the visceral face
        HalfSpace((-8.0, 0.0, vary(-24, 4)), (-0.42, -0.12, 0.9)),
        Capsule((8.0, 74.0, -200.0), (8.0, 74.0, 200.0), 41.0),
        Ellipsoid((-58.0, 66.0, -62.0), (34.0, 34.0, 52.0), turned((-8, 0, 0))),
        Ellipsoid((62.0, 22.0, 6.0), (50.0, 44.0, 44.0)),
        Ellipsoid((-22.0, -46.0, -44.0), (15.0, 28.0, 20.0), turned((25, 0, 0))),
    )
    return Carved(SmoothUnion((right, dome, left), 30.0), impressions, 12.0)


def sized(outline: Shape, wanted_ml: float) -> Placed:
    """The outline scaled to a volume."""
    return Placed(outline, (wanted_ml / volume_ml(outline, 15)) ** (1 / 3))
