"""The abdomen around the liver, as shapes in painting order: later ones cover earlier ones.

None of this enters the truth; it exists so that an image looks like an abdomen to a reader and to a network.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from liverplan.phantom.organs import TreeShape, turned
from liverplan.phantom.patient import Phantom
from liverplan.phantom.shapes import (
    Box,
    Capsule,
    Carved,
    Common,
    Ellipsoid,
    EllipticCylinder,
    HalfSpace,
    Shape,
    SmoothUnion,
    Sphere,
    tight_box,
)
from liverplan.phantom.vasculature import chain
from liverplan.quantity import Point
from liverplan.volume import FloatArray

Painted = tuple[str, Shape]
_MIDLINE_MM = 4.0


@dataclass(frozen=True)
class _Frame:
    """Sizes that the body takes from its liver."""

    wall: EllipticCylinder
    """Inner surface of the abdominal wall."""
    top_mm: float
    right_dome: Shape
    left_dome: Shape


def body_of(phantom: Phantom, rng: np.random.Generator) -> Iterator[Painted]:
    """Tissue names of `tissues` and shapes, from the skin inwards, up to but without the liver."""
    frame = _frame(phantom)
    yield from _walls(frame)
    yield from _bowel(rng)
    yield from _chest(phantom, frame)
    yield from _spine(rng)
    yield from _stomach(rng)
    yield from _upper_organs(phantom)


def _frame(phantom: Phantom) -> _Frame:
    low, high = tight_box(phantom.liver, 6.0)
    right = _MIDLINE_MM - low[0] - 3.0
    half_x, front, back = max(right, 118.0), low[1] + 2.0, max(high[1] - 4.0, 82.0)
    wall = EllipticCylinder((_MIDLINE_MM, (front + back) / 2), (half_x, (back - front) / 2), 2.5)
    top = high[2] - 5.0
    right_dome = Ellipsoid((-54.0, 2.0, top - 112.0), (84.0, 96.0, 114.0))
    left_dome = Ellipsoid((62.0, 6.0, top - 120.0), (74.0, 92.0, 112.0))
    return _Frame(wall, top, right_dome, left_dome)


def _grown(wall: EllipticCylinder, by_mm: float, sides_mm: float = 0.0) -> EllipticCylinder:
    x, y = wall.semi_axes_mm
    return EllipticCylinder(wall.centre_xy_mm, (x + by_mm + sides_mm, y + by_mm), wall.power)


def _walls(frame: _Frame) -> Iterator[Painted]:
    x, y = frame.wall.centre_xy_mm
    outline = replace(_grown(frame.wall, 34.0, 1.0), centre_xy_mm=(x, y + 8.0))
    yield "skin", outline
    yield "fat", _Thinner(outline, 2.0)
    yield "muscle", _grown(frame.wall, 13.0)
    yield "fat", Carved(_grown(frame.wall, 9.0), (_grown(frame.wall, 6.0),))
    yield "inner_fat", frame.wall
    for side in (-1.0, 1.0):
        back = Ellipsoid((_MIDLINE_MM + side * 33.0, 106.0, 0.0), (29.0, 19.0, 400.0), turned((0, 0, side * 8)))
        yield "muscle", Common((back, _Thinner(outline, 9.0)))
        psoas = Capsule((_MIDLINE_MM + side * 34.0, 84.0, -60.0), (_MIDLINE_MM + side * 42.0, 78.0, -220.0), 17.0)
        yield "muscle", psoas
    ribs = _Ribs(_grown(frame.wall, 7.5))
    yield "cortex", ribs
    yield "marrow", _Thinner(ribs, 2.2)


@dataclass(frozen=True)
class _Ribs:
    """Hoops in the wall that fall from the spine forward, open at the back of the spine and in front."""

    ring: EllipticCylinder
    pitch_mm: float = 27.0

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        x, y = ((points_mm[:, a] - self.ring.centre_xy_mm[a]) / self.ring.semi_axes_mm[a] for a in (0, 1))
        fall = np.arctan2(np.abs(x), y) / np.pi  # 0 at the spine, 1 in front
        height = points_mm[:, 2] + 78.0 * fall - 18.0
        off_rib = height - self.pitch_mm * np.round(height / self.pitch_mm)
        across = self.ring.signed_mm(points_mm) * 1.15
        rib = np.hypot(off_rib * 0.62, across) - 4.2
        return np.maximum(rib, np.maximum(fall - 0.74, 0.1 - fall) * 100.0)

    def box_mm(self) -> Box:
        low, high = _grown(self.ring, 12.0).box_mm()
        return low, high


@dataclass(frozen=True)
class _Thinner:
    """A solid with its surface moved inwards."""

    solid: Shape
    by_mm: float

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        return self.solid.signed_mm(points_mm) + self.by_mm

    def box_mm(self) -> Box:
        return self.solid.box_mm()


def _bowel(rng: np.random.Generator) -> Iterator[Painted]:
    """Loops below the liver and the colon in front and on the left: wall, fluid, and gas in front in some."""
    colon = np.array([(-74, -34, -92), (-40, -52, -76), (10, -58, -70), (62, -46, -44), (98, -6, -22), (104, 24, -62)])
    for start, end in itertools.pairwise(colon + rng.uniform(-6, 6, colon.shape)):
        yield from _loop(_point(start), _point(end), 17.0, True)
    for number in range(16):
        column = number % 4
        x = (-68.0, -18.0, 30.0, 78.0)[column] + rng.uniform(-9, 9)
        y = rng.uniform(-52, 4) if column in (1, 2) else rng.uniform(-40, 40)
        z = -72.0 - 26.0 * (number // 4) + rng.uniform(-7, 7)
        radius = float(rng.uniform(11, 18))
        reach = rng.normal(0, 16, 3) * np.array([1, 1, 0.7])
        start, end = (x, y, z), (x + reach[0], y + reach[1], z + reach[2])
        yield from _loop(start, end, radius, bool(rng.random() < 0.4))


def _loop(start: Point, end: Point, radius: float, with_gas: bool) -> Iterator[Painted]:
    yield "bowel_wall", Capsule(start, end, radius)
    yield "bowel", Capsule(start, end, radius - 2.5)
    if with_gas:
        front = HalfSpace((0.0, min(start[1], end[1]) - 0.2 * radius, 0.0), (0.0, 1.0, 0.0))
        yield "gas", Common((Capsule(start, end, radius - 3.0), front))


def _chest(phantom: Phantom, frame: _Frame) -> Iterator[Painted]:
    """Diaphragm, lungs over the domes and in the recesses, heart between them, oesophagus."""
    pleura = _grown(frame.wall, 1.0)
    above = HalfSpace((0.0, 0.0, frame.top_mm - 128.0), (0.0, 0.0, -1.0))
    centre = Ellipsoid((_MIDLINE_MM, 30.0, frame.top_mm), (26.0, 60.0, 130.0))
    for dome, side in ((frame.right_dome, -1.0), (frame.left_dome, 1.0)):
        half = HalfSpace((_MIDLINE_MM, 0.0, 0.0), (-side, 0.0, 0.0))
        yield "muscle", Carved(Common((pleura, above, half)), (_Thinner(dome, 3.0), centre))
        lung = Carved(Common((pleura, above, half)), (dome, _Thinner(phantom.liver, -3.5), centre))
        yield "lung", lung
    heart = Ellipsoid((26.0, -34.0, frame.top_mm + 44.0), (62.0, 48.0, 46.0), turned((0, 15, 20)))
    yield "inner_fat", _Thinner(heart, -5.0)
    yield "heart", heart
    yield "muscle", Capsule((10.0, 30.0, frame.top_mm - 25.0), (8.0, 34.0, 300.0), 8.5)


def _spine(rng: np.random.Generator) -> Iterator[Painted]:
    height = 33.0
    offset = float(rng.uniform(0, height))
    yield "disc", EllipticCylinder((_MIDLINE_MM, 76.0), (21.5, 16.5))
    for number in range(-8, 9):
        z = number * height + offset
        slab = (HalfSpace((0, 0, z + 12.5), (0, 0, 1)), HalfSpace((0, 0, z - 12.5), (0, 0, -1)))
        yield "cortex", Common((EllipticCylinder((_MIDLINE_MM, 76.0), (22.0, 17.0), 2.5), *slab))
        inner = (HalfSpace((0, 0, z + 11.0), (0, 0, 1)), HalfSpace((0, 0, z - 11.0), (0, 0, -1)))
        yield "marrow", Common((EllipticCylinder((_MIDLINE_MM, 76.0), (20.2, 15.2), 2.5), *inner))
        for side in (-1.0, 1.0):
            root = (_MIDLINE_MM + side * 13.0, 92.0, z + 4.0)
            tip = (_MIDLINE_MM + side * 36.0, 100.0, z + 5.0)
            yield "cortex", Capsule(root, tip, 5.0)
            yield "marrow", Capsule(root, tip, 3.4)
        spine_tip = (_MIDLINE_MM, 116.0, z - 10.0)
        yield "cortex", Capsule((_MIDLINE_MM, 106.0, z - 2.0), spine_tip, 4.0)
        yield "marrow", Capsule((_MIDLINE_MM, 106.0, z - 2.0), spine_tip, 2.6)
    ring = EllipticCylinder((_MIDLINE_MM, 99.0), (13.0, 10.5))
    yield "marrow", ring
    yield "inner_fat", EllipticCylinder((_MIDLINE_MM, 99.0), (10.5, 8.5))
    yield "canal", EllipticCylinder((_MIDLINE_MM, 99.0), (8.0, 6.5))


def _stomach(rng: np.random.Generator) -> Iterator[Painted]:
    """Fundus under the left dome and antrum towards the midline, gas in front (the patient lies supine)."""
    parts = (
        Ellipsoid((68.0, 16.0, 22.0), (36.0, 36.0, 40.0)),
        Capsule((62.0, -14.0, -14.0), (22.0, -32.0, -38.0), 19.0),
    )
    stomach = SmoothUnion(parts, 18.0)
    yield "stomach_wall", stomach
    inner = _Thinner(stomach, 4.0)
    yield "stomach", inner
    level = -12.0 + float(rng.uniform(-8, 8))
    yield "gas", Common((inner, HalfSpace((0.0, level, 0.0), (0.0, 1.0, 0.0))))


def _upper_organs(phantom: Phantom) -> Iterator[Painted]:
    fork = phantom.portal.start_mm[0]
    pancreas = (
        Capsule((fork[0] + 2, fork[1] - 6, fork[2] - 14), (fork[0] + 4, fork[1] - 12, fork[2] + 2), 13.0),
        Capsule((fork[0] + 4, fork[1] - 12, fork[2] + 2), (58.0, fork[1] + 6, fork[2] + 16), 10.0),
        Capsule((58.0, fork[1] + 6, fork[2] + 16), (94.0, 40.0, fork[2] + 26), 8.0),
    )
    yield "pancreas", SmoothUnion(pancreas, 8.0)
    yield "spleen", Ellipsoid((101.0, 44.0, 8.0), (21.0, 42.0, 50.0), turned((-10, 8, -18)))
    for x, y, z in ((-58.0, 62.0, -84.0), (66.0, 62.0, -62.0)):
        yield from _kidney((x, y, z), 1.0 if x > 0 else -1.0)
    yield "gall_bladder", Ellipsoid((-22.0, -44.0, -42.0), (13.0, 25.0, 17.0), turned((25, 0, 0)))
    splenic = np.array([fork, [40.0, fork[1] - 2, fork[2] + 10], [70.0, fork[1] + 10, fork[2] + 24], [92.0, 42.0, 4.0]])
    yield "portal", TreeShape(chain(splenic, 4.2))
    yield "portal", Capsule(_point(fork), (fork[0] - 2.0, fork[1] - 12.0, -260.0), 5.6)
    yield "aorta", Capsule((18.0, 48.0, -300.0), (20.0, 50.0, 300.0), 10.5)
    yield "aorta", Capsule((18.0, 42.0, -34.0), (14.0, 22.0, -38.0), 3.6)
    yield "vena_cava", TreeShape(phantom.vena_cava)


def _kidney(centre: Point, side: float) -> Iterator[Painted]:
    kidney = Ellipsoid(centre, (27.0, 25.0, 53.0), turned((-10, -side * 12, 0)))
    sinus = Sphere((centre[0] - side * 19.0, centre[1] - 9.0, centre[2]), 15.0)
    yield "kidney", kidney
    yield "renal_sinus", Common((_Thinner(kidney, -4.0), sinus))
    yield "kidney", Sphere((centre[0] - side * 13.0, centre[1] - 6.0, centre[2] + 2.0), 6.5)
    to_cava = (-14.0, 44.0, centre[2] + 6.0) if side < 0 else (8.0, 32.0, centre[2] + 8.0)
    yield "vena_cava", Capsule((centre[0] - side * 15.0, centre[1] - 8.0, centre[2] + 2.0), to_cava, 4.5)


def _point(at: FloatArray) -> Point:
    return float(at[0]), float(at[1]), float(at[2])
